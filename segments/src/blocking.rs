//! Drives a device one step at a time: for format, recovery and offline tools, which have nothing else to do meanwhile.
//!
//! Contract: nothing else is in flight on the device while a [`Blocking`] drives it. Any failed request ends the work with its
//! error; nothing is retried.

use crate::device::{Completion, Device, DeviceError, Request, Tag};
use crate::frame::Frames;
use crate::ids::PageNo;

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

    /// Reads `pages` pages from `at` on.
    ///
    /// # Errors
    /// The device's.
    pub fn read(&mut self, at: PageNo, pages: usize) -> Result<Frames, DeviceError> {
        self.pages_read += pages as u64;
        let request = Request::Read { at, frames: Frames::zeroed(pages) };
        Ok(self.one(request)?.expect("a read brings its frames home"))
    }

    /// Reads one page at each of these places, all in flight together, in the order given.
    ///
    /// # Errors
    /// The device's first.
    pub fn read_each(&mut self, places: &[PageNo]) -> Result<Vec<Frames>, DeviceError> {
        self.pages_read += places.len() as u64;
        let requests = places.iter().map(|&at| Request::Read { at, frames: Frames::zeroed(1) });
        let frames = self.all(requests.collect())?;
        Ok(frames.into_iter().map(|frames| frames.expect("a read brings its frames home")).collect())
    }

    /// Writes each of these, all in flight together.
    ///
    /// # Errors
    /// The device's first.
    pub fn write_each(&mut self, writes: Vec<(PageNo, Frames)>) -> Result<(), DeviceError> {
        self.all(writes.into_iter().map(|(at, frames)| Request::Write { at, frames }).collect()).map(drop)
    }

    /// Makes what was written survive a power failure.
    ///
    /// # Errors
    /// The device's.
    pub fn flush(&mut self) -> Result<(), DeviceError> {
        self.one(Request::Flush).map(drop)
    }

    /// Makes the device at least so many pages long.
    ///
    /// # Errors
    /// The device's.
    pub fn grow(&mut self, pages: u64) -> Result<(), DeviceError> {
        self.one(Request::Grow { pages }).map(drop)
    }

    fn one(&mut self, request: Request) -> Result<Option<Frames>, DeviceError> {
        Ok(self.all(vec![request])?.pop().expect("one request, one completion"))
    }

    fn all(&mut self, requests: Vec<Request>) -> Result<Vec<Option<Frames>>, DeviceError> {
        let first = self.next_tag;
        let count = requests.len();
        let mut frames: Vec<Option<Frames>> = Vec::new();
        frames.resize_with(count, || None);
        for request in requests {
            self.device.submit(Tag(self.next_tag), request);
            self.next_tag += 1;
        }
        let mut failed = None;
        let mut missing = count;
        while missing > 0 {
            self.device.wait(&mut self.done);
            assert!(!self.done.is_empty(), "a device with requests in flight brings one home");
            for completion in self.done.drain(..) {
                let index = usize::try_from(completion.tag.0 - first).expect("tags of this call");
                frames[index] = completion.frames;
                missing -= 1;
                if let (None, Err(error)) = (failed, completion.result) {
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(frames), Err)
    }
}
