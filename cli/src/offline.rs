//! A store's bytes without the store: read from the file, never written, whatever is asked of the device.
//!
//! Contract: the file is opened for reading only and shared-locked, so that nobody has the store open meanwhile. What is
//! written to the device stays in memory and is read back from there: the engine can recover on it, and the file stays as it was.
//! Room is not given back: a punch is refused, as a file system that is mounted for reading only would.

use crate::failure::Failure;
use lostore::OpenError;
use lostore::open::DATA_FILE;
use segments::{Completion, Device, DeviceError, Frames, PAGE_BYTES, PageNo, Request, Tag};
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uring::{Access, Caching, Patience};

const PAGE: u64 = PAGE_BYTES as u64;
/// What a file system that is mounted for reading only says (EROFS).
const READ_ONLY: i32 = 30;

/// A device whose pages come from a file and whose writes go nowhere else than memory.
pub(crate) struct Overlay {
    file: std::fs::File,
    /// Holds the lock.
    _locked: uring::File,
    pages_in_file: u64,
    pages: u64,
    written: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
    done: VecDeque<Completion>,
}

impl Overlay {
    /// The data file of the store in a directory, or a file of one.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let path = data_file(path)?;
        let locked = uring::File::open(&path, Access::Read, Caching::Buffered)?;
        // An opener that has just ended is gone before the kernel has let go of its ring, and the lock is kept until then.
        locked.lock_shared(Patience::Dying)?;
        let file =
            std::fs::File::open(&path).map_err(|error| Failure::file("open", &path.to_string_lossy(), &error))?;
        let bytes = locked.bytes()?;
        let pages = bytes / PAGE;
        Ok(Self { file, _locked: locked, pages_in_file: pages, pages, written: BTreeMap::new(), done: VecDeque::new() })
    }

    fn read(&self, at: PageNo, frames: &mut Frames) -> Result<(), DeviceError> {
        self.inside(at, frames.pages() as u64)?;
        let from_file = self.pages_in_file.saturating_sub(at.0).min(frames.pages() as u64);
        let bytes = usize::try_from(from_file * PAGE).expect("no more than the frames have");
        let read = self.file.read_exact_at(&mut frames.bytes_mut()[..bytes], at.0 * PAGE);
        read.map_err(|error| DeviceError::Io { errno: error.raw_os_error().unwrap_or(0) })?;
        for index in 0..frames.pages() {
            if let Some(page) = self.written.get(&(at.0 + index as u64)) {
                *frames.page_mut(index) = **page;
            }
        }
        Ok(())
    }

    fn write(&mut self, at: PageNo, frames: &Frames) -> Result<(), DeviceError> {
        self.inside(at, frames.pages() as u64)?;
        for index in 0..frames.pages() {
            self.written.insert(at.0 + index as u64, Box::new(*frames.page(index)));
        }
        Ok(())
    }

    fn inside(&self, at: PageNo, pages: u64) -> Result<(), DeviceError> {
        match at.0.checked_add(pages) {
            Some(end) if end <= self.pages => Ok(()),
            _ => Err(DeviceError::PastEnd { page: self.pages.max(at.0), end: self.pages }),
        }
    }
}

impl Device for Overlay {
    fn pages(&self) -> u64 {
        self.pages
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        let (frames, result) = match request {
            Request::Read { at, mut frames } => {
                let result = self.read(at, &mut frames);
                (Some(frames), result)
            }
            Request::Write { at, frames } => {
                let result = self.write(at, &frames);
                (Some(frames), result)
            }
            Request::Flush => (None, Ok(())),
            Request::Grow { pages } => {
                self.pages = self.pages.max(pages);
                (None, Ok(()))
            }
            Request::Zero { at, pages } => {
                let result = self.inside(at, pages);
                if result.is_ok() {
                    for page in at.0..at.0 + pages {
                        self.written.insert(page, Box::new([0; PAGE_BYTES]));
                    }
                }
                (None, result)
            }
            Request::Punch { .. } => (None, Err(DeviceError::Io { errno: READ_ONLY })),
        };
        self.done.push_back(Completion { tag, frames, result });
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        done.extend(self.done.drain(..));
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.poll(done);
    }

    fn in_flight(&self) -> usize {
        self.done.len()
    }
}

/// The file that holds a store's bytes.
fn data_file(path: &Path) -> Result<PathBuf, Failure> {
    let missing = || Failure::from(OpenError::Missing { path: path.to_owned() });
    let found = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(),
        _ => Failure::file("look at", &path.to_string_lossy(), &error),
    })?;
    if !found.is_dir() {
        return Ok(path.to_owned());
    }
    let data = path.join(DATA_FILE);
    if std::fs::symlink_metadata(&data).is_err() { Err(missing()) } else { Ok(data) }
}

#[cfg(test)]
mod tests;
