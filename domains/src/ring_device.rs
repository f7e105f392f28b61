//! The device of a persistent domain: a data file, reached through a ring that also serves its owner's sockets.
//!
//! Contract: [`Device`]'s. A transfer past the file's end is refused before the kernel sees it; growing is one call that
//! changes the length and nothing else, so it is done at once; zeroing goes out in pieces of 1 MiB, one after another, from a
//! buffer that is used again; a punch is one call, and a file system that says it cannot keeps the room and is not asked again;
//! `no room` of any kind is [`DeviceError::NoSpace`].
//!
//! The ring has one completion queue for both: requests of the device carry the top bit in their number, operations of the
//! owner must not, and each side is given its own. A completion that one side's call took for the other is kept for it.
//!
//! It does not lock, format or understand the file.

use segments::{Completion, Device, DeviceError, Frames, PAGE_BYTES, Page, PageNo, Request, Tag};
use std::collections::BTreeMap;
use std::time::Duration;
use uring::{Data, Error, File, Io, Op, OpId, Zeroing};

/// Marks the numbers of the device's own operations.
const DEVICE_BIT: u64 = 1 << 63;

/// Bytes of a page, as files count.
const PAGE: u64 = PAGE_BYTES as u64;

/// A completion of an operation that the owner submitted.
pub type OwnCompletion = uring::Completion<Page>;

/// What the device waits for.
#[derive(Debug)]
enum Job {
    /// A read, write or flush.
    Whole,
    /// The rest of a zeroing.
    Zeroing(Zeroing),
    /// A punch.
    Punch,
}

/// A data file behind a ring.
pub struct RingDevice {
    io: Box<dyn Io<Page>>,
    file: File,
    pages: u64,
    jobs: BTreeMap<u64, (Tag, Job)>,
    /// The number of the next operation.
    next: u64,
    /// The zeros that came home last, to go out again.
    zeros: Option<Box<[Page]>>,
    /// The file system has said that it gives no room back.
    keeps_room: bool,
    /// Complete, and not yet given back.
    done: Vec<Completion>,
    own_done: Vec<OwnCompletion>,
    fresh: Vec<OwnCompletion>,
}

impl RingDevice {
    /// The device in `file`, which the caller has locked. A length that is no whole number of pages is rounded down: such a
    /// tail was never a page.
    ///
    /// # Errors
    /// When the file's length cannot be had.
    pub fn new(io: Box<dyn Io<Page>>, file: File) -> Result<Self, Error> {
        let pages = file.bytes()? / PAGE;
        Ok(Self {
            io,
            file,
            pages,
            jobs: BTreeMap::new(),
            next: 0,
            zeros: None,
            keeps_room: false,
            done: Vec::new(),
            own_done: Vec::new(),
            fresh: Vec::new(),
        })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The ring, for looking at it. Operations of the owner go through [`Self::submit_own`].
    #[must_use]
    pub fn io(&self) -> &dyn Io<Page> {
        &*self.io
    }

    /// The ring, for operations of the owner, whose numbers must be below 2^63. Its completions must not be taken here:
    /// [`Self::wait_all`] sorts them.
    pub fn io_mut(&mut self) -> &mut dyn Io<Page> {
        &mut *self.io
    }

    /// Submits an operation of the owner's on the same ring; its completion comes back through [`Self::poll_all`] or
    /// [`Self::wait_all`].
    ///
    /// # Panics
    /// If `user` is not below 2^63.
    pub fn submit_own(&mut self, op: Op<Page>, user: u64) -> OpId {
        assert!(user & DEVICE_BIT == 0, "number {user:#x} has the device's bit");
        self.io.submit(op, user)
    }

    /// Appends what is complete, the device's requests and the owner's operations each to their own list. It never waits.
    pub fn poll_all(&mut self, disk: &mut Vec<Completion>, own: &mut Vec<OwnCompletion>) {
        self.io.poll(&mut self.fresh);
        self.sort();
        disk.append(&mut self.done);
        own.append(&mut self.own_done);
    }

    /// As [`Self::poll_all`], but waits for at least one completion of either kind, `timeout` at most. Returns at once when
    /// nothing is in flight.
    pub fn wait_all(&mut self, timeout: Option<Duration>, disk: &mut Vec<Completion>, own: &mut Vec<OwnCompletion>) {
        if self.done.is_empty() && self.own_done.is_empty() {
            self.io.wait(timeout, &mut self.fresh);
        }
        self.poll_all(disk, own);
    }

    /// Sorts what the ring gave back.
    fn sort(&mut self) {
        // A zeroing's piece leads to the next one, so completions are taken out of the list before they are looked at.
        let mut fresh = core::mem::take(&mut self.fresh);
        for completion in fresh.drain(..) {
            if completion.user & DEVICE_BIT == 0 {
                self.own_done.push(completion);
            } else {
                self.finish(completion);
            }
        }
        self.fresh = fresh;
    }

    /// Takes one completion of the device's own.
    fn finish(&mut self, completion: OwnCompletion) {
        let uring::Completion { user, buffer, result, .. } = completion;
        let (tag, job) = self.jobs.remove(&user).expect("a completion with the device's bit belongs to a job");
        let result = result.map(drop).map_err(|error| device_error(error.errno()));
        match job {
            Job::Whole => self.done.push(Completion { tag, frames: buffer.map(Frames::from_inner), result }),
            Job::Zeroing(zeroing) => {
                self.zeros = buffer.or(self.zeros.take());
                match result {
                    Ok(()) => self.zero_on(tag, zeroing),
                    Err(error) => self.answer(tag, None, Err(error)),
                }
            }
            Job::Punch => {
                // It will say the same of every other punch, and room that is kept does no harm.
                let refused = result == Err(DeviceError::Io { errno: EOPNOTSUPP });
                self.keeps_room |= refused;
                self.answer(tag, None, if refused { Ok(()) } else { result });
            }
        }
    }

    fn start(&mut self, tag: Tag, job: Job, op: Op<Page>) {
        let user = DEVICE_BIT | self.next;
        self.next = (self.next + 1) & !DEVICE_BIT;
        let before = self.jobs.insert(user, (tag, job));
        assert!(before.is_none(), "number {user:#x} is in flight");
        self.io.submit(op, user);
    }

    /// Answers a request without the kernel.
    fn answer(&mut self, tag: Tag, frames: Option<Frames>, result: Result<(), DeviceError>) {
        self.done.push(Completion { tag, frames, result });
    }

    /// Whether pages `at` to `at + pages` are all there.
    fn check(&self, at: PageNo, pages: u64) -> Result<(), DeviceError> {
        let end = self.pages;
        if at.0 >= end {
            return Err(DeviceError::PastEnd { page: at.0, end });
        }
        if end - at.0 < pages {
            return Err(DeviceError::PastEnd { page: end, end });
        }
        Ok(())
    }

    fn grow(&mut self, pages: u64) -> Result<(), DeviceError> {
        if pages <= self.pages {
            return Ok(());
        }
        // What does not fit a file's length does not fit the file system either.
        let bytes = pages.checked_mul(PAGE).ok_or(DeviceError::NoSpace { errno: EFBIG })?;
        match self.file.set_bytes(bytes) {
            Ok(()) => {
                self.pages = pages;
                Ok(())
            }
            Err(Error::Os { errno, .. }) => Err(device_error(errno)),
            Err(other) => unreachable!("resizing a file fails with an operating system's error, not {other}"),
        }
    }

    /// Sends the next piece of a zeroing out, or answers it.
    fn zero_on(&mut self, tag: Tag, mut zeroing: Zeroing) {
        match zeroing.next(&mut self.zeros) {
            Some(op) => self.start(tag, Job::Zeroing(zeroing), op),
            None => self.answer(tag, None, Ok(())),
        }
    }
}

impl Device for RingDevice {
    fn pages(&self) -> u64 {
        self.pages
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        match self.file.data_from(at.0 * PAGE) {
            Some(Data::At(byte)) => PageNo((byte / PAGE).clamp(at.0, self.pages.max(at.0))),
            Some(Data::NoMore) => PageNo(self.pages.max(at.0)),
            None => at,
        }
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        match request {
            Request::Read { at, frames } => match self.check(at, frames.pages() as u64) {
                Ok(()) => {
                    let (file, offset, buffer) = (self.file.clone(), at.0 * PAGE, frames.into_inner());
                    self.start(tag, Job::Whole, Op::Read { file, offset, buffer });
                }
                refused => self.answer(tag, Some(frames), refused),
            },
            Request::Write { at, frames } => match self.check(at, frames.pages() as u64) {
                Ok(()) => {
                    let (file, offset, buffer) = (self.file.clone(), at.0 * PAGE, frames.into_inner());
                    self.start(tag, Job::Whole, Op::Write { file, offset, buffer });
                }
                refused => self.answer(tag, Some(frames), refused),
            },
            Request::Flush => self.start(tag, Job::Whole, Op::Sync { file: self.file.clone() }),
            Request::Grow { pages } => {
                let result = self.grow(pages);
                self.answer(tag, None, result);
            }
            Request::Zero { at, pages } => match self.check(at, pages) {
                Ok(()) => self.zero_on(tag, Zeroing::new(self.file.clone(), at.0 * PAGE, pages * PAGE)),
                refused => self.answer(tag, None, refused),
            },
            Request::Punch { at, pages } => match self.check(at, pages) {
                Ok(()) if pages > 0 && !self.keeps_room => {
                    let (file, offset, bytes) = (self.file.clone(), at.0 * PAGE, pages * PAGE);
                    self.start(tag, Job::Punch, Op::Punch { file, offset, bytes });
                }
                answered => self.answer(tag, None, answered),
            },
        }
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        self.io.poll(&mut self.fresh);
        self.sort();
        done.append(&mut self.done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.sort();
        while self.done.is_empty() && !self.jobs.is_empty() {
            self.io.wait(None, &mut self.fresh);
            self.sort();
        }
        done.append(&mut self.done);
    }

    fn in_flight(&self) -> usize {
        self.jobs.len() + self.done.len()
    }
}

impl core::fmt::Debug for RingDevice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RingDevice({} pages, {} in flight)", self.pages, self.in_flight())
    }
}

// Linux's numbers, the same on every architecture it runs on here.
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;
const EOPNOTSUPP: i32 = 95;
const EDQUOT: i32 = 122;

fn device_error(errno: i32) -> DeviceError {
    match errno {
        EFBIG | ENOSPC | EDQUOT => DeviceError::NoSpace { errno },
        errno => DeviceError::Io { errno },
    }
}

#[cfg(test)]
mod tests;
