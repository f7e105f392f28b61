//! The device seam: an array of pages that is read, written, grown, punched and flushed by requests that own their frames.
//!
//! Contract of every device:
//! * requests complete in any order; nothing may be concluded from the order of submission;
//! * a completed write is *not* durable; it becomes so when a [`Request::Flush`] that was submitted **after the write's
//!   completion was taken** completes without an error;
//! * overlapping writes are never in flight together, and a punch overlaps nothing in flight, not even a read (the caller's
//!   duty, asserted by the devices; of reads by the simulated one alone);
//! * what has never been written reads as zeros;
//! * a sector of what was punched reads as zeros or as what was there, until it is written again. It may be the one now and the
//!   other then until a flush has covered the punch, and a power failure before that leaves either; afterwards it stays what it is;
//! * frames come home with the completion, also of a failed request;
//! * transfers are whole: a device that moves fewer bytes than asked re-issues the whole request or reports an error.

use crate::frame::Frames;
use crate::ids::PageNo;
use thiserror::Error;

/// Ties a completion to its request. The caller's to choose; unique among the requests in flight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag(pub u64);

/// What a device is asked to do.
#[derive(Debug)]
pub enum Request {
    /// Fill the frames from `at` on. Pages past the device's end are an error.
    Read {
        /// The first page.
        at: PageNo,
        /// Where the bytes go.
        frames: Frames,
    },
    /// Write the frames to `at` and after. The pages must lie inside the device.
    Write {
        /// The first page.
        at: PageNo,
        /// The bytes.
        frames: Frames,
    },
    /// Make everything whose completion was taken before this request was submitted survive a power failure.
    Flush,
    /// Make the device at least this many pages long; new pages read as zeros and may take no room yet.
    Grow {
        /// The new length in pages.
        pages: u64,
    },
    /// Overwrite `pages` pages with zeros so that they own their room on the medium (not a hole, not an unwritten extent).
    Zero {
        /// The first page.
        at: PageNo,
        /// How many.
        pages: u64,
    },
    /// The content of `pages` pages is not needed any more: their room may go back to whoever has the medium. The device stays as
    /// long as it is, and a write of such pages may find no room. A device that cannot give room back keeps it, which is no error;
    /// a punch that fails has given back nothing or some of it. The pages must lie inside the device.
    Punch {
        /// The first page.
        at: PageNo,
        /// How many.
        pages: u64,
    },
}

/// What became of a request.
#[derive(Debug)]
pub struct Completion {
    /// The request's tag.
    pub tag: Tag,
    /// The frames of a read or write, back home.
    pub frames: Option<Frames>,
    /// Whether it was done, wholly.
    pub result: Result<(), DeviceError>,
}

/// Why a device did not do what it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DeviceError {
    /// The medium or the kernel failed the request.
    #[error("device error {errno}")]
    Io {
        /// The operating system's error number.
        errno: i32,
    },
    /// There is no room: the file system is full or a quota or file-size limit was met.
    #[error("no room on the device (error {errno})")]
    NoSpace {
        /// The operating system's error number.
        errno: i32,
    },
    /// The request reaches past the device's end.
    #[error("page {page} is past the device's end at page {end}")]
    PastEnd {
        /// The first page that is not there.
        page: u64,
        /// The device's length in pages.
        end: u64,
    },
    /// The device is gone for good (a simulated power failure, a closed ring); nothing more completes.
    #[error("the device is gone")]
    Gone,
}

/// An array of pages somewhere.
pub trait Device {
    /// Present length in pages.
    fn pages(&self) -> u64;

    /// The first page from `at` on that may hold anything but zeros; the device's length when there is none. Whoever only looks for
    /// what is not zero need not read the pages before it: none of them was ever written, or they were punched since. A device that
    /// does not know answers `at`.
    fn next_data(&self, at: PageNo) -> PageNo {
        at
    }

    /// Takes a request. It never waits; a device that has no room for it queues it.
    fn submit(&mut self, tag: Tag, request: Request);

    /// Appends the completions that are ready to `done`. It never waits.
    fn poll(&mut self, done: &mut Vec<Completion>);

    /// Waits until at least one request has completed and appends what is ready; returns at once when nothing is in flight.
    fn wait(&mut self, done: &mut Vec<Completion>);

    /// How many requests have been taken and not yet given back.
    fn in_flight(&self) -> usize;
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn pages(&self) -> u64 {
        (**self).pages()
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        (**self).next_data(at)
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        (**self).submit(tag, request);
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        (**self).poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        (**self).wait(done);
    }

    fn in_flight(&self) -> usize {
        (**self).in_flight()
    }
}
