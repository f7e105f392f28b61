//! A device in memory that fails where a test wants it, and knows what of it a power failure would leave.
//!
//! Contract: the plan is asked about every request, before anything is done. [`Failing::durable`] is the least that a power failure
//! could leave: what a flush has covered that succeeded. What a failed flush was to cover is not there for good, whatever
//! later flushes say: so do page caches behave that drop what they could not write.

use super::*;

/// How a request fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// Nothing is done.
    Refused(DeviceError),
    /// Half of the pages are written; of the rest the medium says that it failed.
    Short,
}

/// EIO.
pub(super) const BAD: DeviceError = DeviceError::Io { errno: 5 };

/// What a device is to fail at.
pub(super) type Fails<'f> = dyn FnMut(&Request) -> Option<How> + 'f;

/// The device.
pub(super) struct Failing<'f> {
    pub(super) device: MemoryDevice,
    fails: Box<Fails<'f>>,
    done: Vec<Completion>,
    durable: MemoryDevice,
    /// Written and not covered by a flush yet.
    unflushed: Vec<(PageNo, Frames)>,
}

impl<'f> Failing<'f> {
    /// All that the device holds is durable.
    pub(super) fn new(mut device: MemoryDevice, fails: impl FnMut(&Request) -> Option<How> + 'f) -> Self {
        let pages = device.pages();
        let durable = ends::copy(&mut device, pages);
        Self { device, fails: Box::new(fails), done: Vec::new(), durable, unflushed: Vec::new() }
    }

    /// One of which some pages cannot be read.
    pub(super) fn with_bad(device: MemoryDevice, bad: std::ops::Range<u64>) -> Self {
        Self::new(device, move |request| match request {
            Request::Read { at, frames } if at.0 < bad.end && bad.start < at.0 + frames.pages() as u64 => {
                Some(How::Refused(BAD))
            }
            Request::Read { .. }
            | Request::Write { .. }
            | Request::Flush
            | Request::Grow { .. }
            | Request::Zero { .. }
            | Request::Punch { .. } => None,
        })
    }

    /// What the process has written, and the least of it that a power failure leaves.
    pub(super) fn crashed(self) -> [MemoryDevice; 2] {
        [self.device, self.durable]
    }

    fn note(&mut self, request: &Request) {
        match request {
            Request::Write { at, frames } => self.unflushed.push((*at, frames.clone())),
            Request::Flush => {
                for (at, frames) in std::mem::take(&mut self.unflushed) {
                    self.durable.submit(Tag(0), Request::Write { at, frames });
                    self.durable.poll(&mut Vec::new());
                }
            }
            // A file's length is kept by the file system, and zeros over zeros make no difference.
            Request::Grow { pages } => {
                self.durable.submit(Tag(0), Request::Grow { pages: *pages });
                self.durable.poll(&mut Vec::new());
            }
            // A power failure may bring back what was punched, and this one always does.
            Request::Read { .. } | Request::Zero { .. } | Request::Punch { .. } => {}
        }
    }

    fn fail(&mut self, tag: Tag, request: Request, how: How) {
        let error = match how {
            How::Refused(error) => error,
            How::Short => BAD,
        };
        if let (How::Short, Request::Write { at, frames }) = (how, &request) {
            for index in 0..frames.pages() / 2 {
                let mut page = Frames::zeroed(1);
                *page.page_mut(0) = *frames.page(index);
                ends::write(&mut self.device, at.0 + index as u64, page);
            }
        }
        if matches!(request, Request::Flush) {
            self.unflushed.clear();
        }
        let frames = match request {
            Request::Read { frames, .. } | Request::Write { frames, .. } => Some(frames),
            Request::Flush | Request::Grow { .. } | Request::Zero { .. } | Request::Punch { .. } => None,
        };
        self.done.push(Completion { tag, frames, result: Err(error) });
    }
}

impl Device for Failing<'_> {
    fn pages(&self) -> u64 {
        self.device.pages()
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        self.device.next_data(at)
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        if let Some(how) = (self.fails)(&request) {
            self.fail(tag, request, how);
        } else {
            self.note(&request);
            self.device.submit(tag, request);
            self.device.poll(&mut self.done);
        }
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        done.append(&mut self.done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.poll(done);
    }

    fn in_flight(&self) -> usize {
        self.done.len()
    }
}

/// What a device may fail at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Read,
    Write,
    Flush,
    /// Growths, zeroings and punches: how room is made and given back.
    Room,
}

impl Kind {
    fn of(request: &Request) -> Self {
        match request {
            Request::Read { .. } => Self::Read,
            Request::Write { .. } => Self::Write,
            Request::Flush => Self::Flush,
            Request::Grow { .. } | Request::Zero { .. } | Request::Punch { .. } => Self::Room,
        }
    }
}

/// Which requests fail: the n-th of a kind, or all from it on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) n: u64,
    pub(super) sticky: bool,
    pub(super) how: How,
}

impl Plan {
    /// Whether this request fails, `seen` being how many of the kind there were before it.
    pub(super) fn strikes(&self, request: &Request, seen: &mut u64) -> Option<How> {
        if Kind::of(request) != self.kind {
            return None;
        }
        *seen += 1;
        (*seen == self.n || self.sticky && *seen > self.n).then_some(self.how)
    }
}
