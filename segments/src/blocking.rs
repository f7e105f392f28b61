//! Drives a device one step at a time: for format, recovery and offline tools, which have nothing else to do meanwhile.
//!
//! Contract: nothing else is in flight on the device while a [`Blocking`] drives it. A failed request ends the work with an error
//! that says where, and no write or flush is ever tried again. Reads that may do without some of their pages say so.

use crate::device::{Completion, Device, DeviceError, Request, Tag};
use crate::frame::Frames;
use crate::ids::PageNo;
use thiserror::Error;

/// A request that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{error}")]
pub struct Failed {
    /// What the device was asked for.
    pub asked: Asked,
    /// The page, where one is known to be the one; else the request's first.
    pub page: PageNo,
    /// The device's answer.
    pub error: DeviceError,
}

/// What a device was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// To read.
    Read,
    /// To write.
    Write,
    /// To flush.
    Flush,
    /// To grow.
    Grow,
    /// To give room back.
    Punch,
}

impl Failed {
    /// Whether it is the medium at this place, so that other places may be read.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.asked == Asked::Read && matches!(self.error, DeviceError::Io { .. } | DeviceError::PastEnd { .. })
    }
}

/// What could be read of a extent of pages: those that could not are zeros, and named by their index.
pub type ExtentRead = (Frames, Vec<(usize, Failed)>);

/// A device driven by the calling thread.
pub struct Blocking<'d> {
    device: &'d mut dyn Device,
    next_tag: u64,
    done: Vec<Completion>,
    pages_read: u64,
}

impl core::fmt::Debug for Blocking<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Blocking").field("pages_read", &self.pages_read).finish_non_exhaustive()
    }
}

impl<'d> Blocking<'d> {
    /// Takes the wheel of a device that has nothing in flight.
    pub fn new(device: &'d mut dyn Device) -> Self {
        assert_eq!(device.in_flight(), 0, "nobody else uses the device meanwhile");
        Self { device, next_tag: 0, done: Vec::new(), pages_read: 0 }
    }

    /// Length of the device in pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.device.pages()
    }

    /// Pages read so far.
    #[must_use]
    pub fn pages_read(&self) -> u64 {
        self.pages_read
    }

    /// The first page from `at` on that may hold anything but zeros.
    #[must_use]
    pub fn next_data(&self, at: PageNo) -> PageNo {
        self.device.next_data(at)
    }

    /// Reads `pages` pages from `at` on.
    ///
    /// # Errors
    /// The device's, with the first page that cannot be read.
    pub fn read(&mut self, at: PageNo, pages: usize) -> Result<Frames, Failed> {
        let (frames, failed) = self.read_what_can_be(at, pages)?;
        failed.first().map_or(Ok(frames), |(_, failed)| Err(*failed))
    }

    /// Reads `pages` pages from `at` on; those that cannot be read are zeros, and named by their index.
    ///
    /// # Errors
    /// When it is not the medium that fails.
    pub fn read_what_can_be(&mut self, at: PageNo, pages: usize) -> Result<ExtentRead, Failed> {
        let mut read = self.read_extents(&[(at, pages)])?;
        Ok(read.pop().expect("one extent, one answer"))
    }

    /// Reads each of these extents of pages, all in flight together, in the order given; as [`Self::read_what_can_be`].
    ///
    /// # Errors
    /// When it is not the medium that fails.
    pub fn read_extents(&mut self, extents: &[(PageNo, usize)]) -> Result<Vec<ExtentRead>, Failed> {
        self.pages_read += extents.iter().map(|(_, pages)| *pages as u64).sum::<u64>();
        let requests = extents.iter().map(|&(at, pages)| Request::Read { at, frames: Frames::zeroed(pages) });
        let results = self.all(requests.collect());
        let mut read = Vec::new();
        for (&(at, pages), result) in extents.iter().zip(results) {
            read.push(match result {
                Ok(frames) => (frames.expect("a read brings its frames home"), Vec::new()),
                Err(failed) if !failed.is_local() => return Err(failed),
                Err(failed) if pages == 1 => (Frames::zeroed(1), vec![(0, failed)]),
                Err(_) => self.read_singly(at, pages)?,
            });
        }
        Ok(read)
    }

    /// Reads each page of a extent by itself, since not all of them can be read.
    fn read_singly(&mut self, at: PageNo, pages: usize) -> Result<ExtentRead, Failed> {
        let (mut frames, mut bad) = (Frames::zeroed(pages), Vec::new());
        for index in 0..pages {
            match self.one(Request::Read { at: at.plus(index as u64), frames: Frames::zeroed(1) }) {
                Ok(page) => *frames.page_mut(index) = *page.expect("a read brings its frames home").page(0),
                Err(failed) if failed.is_local() => bad.push((index, failed)),
                Err(failed) => return Err(failed),
            }
        }
        Ok((frames, bad))
    }

    /// Reads one page at each of these places, all in flight together, in the order given.
    ///
    /// # Errors
    /// When it is not the medium that fails.
    pub fn read_each(&mut self, places: &[PageNo]) -> Result<Vec<Result<Frames, Failed>>, Failed> {
        self.pages_read += places.len() as u64;
        let requests = places.iter().map(|&at| Request::Read { at, frames: Frames::zeroed(1) });
        let mut read = Vec::new();
        for result in self.all(requests.collect()) {
            match result {
                Err(failed) if !failed.is_local() => return Err(failed),
                Ok(frames) => read.push(Ok(frames.expect("a read brings its frames home"))),
                Err(failed) => read.push(Err(failed)),
            }
        }
        Ok(read)
    }

    /// Writes each of these, all in flight together.
    ///
    /// # Errors
    /// The device's first.
    pub fn write_each(&mut self, writes: Vec<(PageNo, Frames)>) -> Result<(), Failed> {
        let requests = writes.into_iter().map(|(at, frames)| Request::Write { at, frames });
        self.all(requests.collect()).into_iter().try_for_each(|result| result.map(drop))
    }

    /// Makes what was written survive a power failure.
    ///
    /// # Errors
    /// The device's.
    pub fn flush(&mut self) -> Result<(), Failed> {
        self.one(Request::Flush).map(drop)
    }

    /// Makes the device at least so many pages long.
    ///
    /// # Errors
    /// The device's.
    pub fn grow(&mut self, pages: u64) -> Result<(), Failed> {
        self.one(Request::Grow { pages }).map(drop)
    }

    /// Lets the room of `pages` pages from `at` on go back: their content is not needed any more.
    ///
    /// # Errors
    /// The device's; then some of it may have gone back.
    pub fn punch(&mut self, at: PageNo, pages: u64) -> Result<(), Failed> {
        self.one(Request::Punch { at, pages }).map(drop)
    }

    fn one(&mut self, request: Request) -> Result<Option<Frames>, Failed> {
        self.all(vec![request]).pop().expect("one request, one completion")
    }

    /// What became of each of these, in their order.
    fn all(&mut self, requests: Vec<Request>) -> Vec<Result<Option<Frames>, Failed>> {
        let first = self.next_tag;
        let asked: Vec<_> = requests.iter().map(asked).collect();
        let mut results: Vec<Option<Result<Option<Frames>, Failed>>> = Vec::new();
        results.resize_with(requests.len(), || None);
        let mut missing = requests.len();
        for request in requests {
            self.device.submit(Tag(self.next_tag), request);
            self.next_tag += 1;
        }
        while missing > 0 {
            self.device.wait(&mut self.done);
            assert!(!self.done.is_empty(), "a device with requests in flight brings one home");
            for completion in self.done.drain(..) {
                let index = usize::try_from(completion.tag.0 - first).expect("tags of this call");
                let (asked, page) = asked[index];
                let result = completion.result.map(|()| completion.frames);
                results[index] = Some(result.map_err(|error| Failed { asked, page, error }));
                missing -= 1;
            }
        }
        results.into_iter().map(|result| result.expect("none is missing")).collect()
    }
}

fn asked(request: &Request) -> (Asked, PageNo) {
    match request {
        Request::Read { at, .. } => (Asked::Read, *at),
        Request::Write { at, .. } | Request::Zero { at, .. } => (Asked::Write, *at),
        Request::Punch { at, .. } => (Asked::Punch, *at),
        Request::Flush => (Asked::Flush, PageNo(0)),
        Request::Grow { pages } => (Asked::Grow, PageNo(*pages)),
    }
}
