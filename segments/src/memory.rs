//! A device in memory: for volatile stores and for tests.
//!
//! Contract: that of [`device`](crate::device); requests complete at the next poll, in the order in which they were taken, and
//! nothing ever fails but for reasons of length.
//! Invariants: pages that were never written take no memory (but what shares a chunk of 64 pages with one that was), nor do
//! those that were punched, once their chunk holds nothing but zeros; writes, zeroings and punches in flight never overlap, which
//! is asserted; what lies past `pages_max` is never there.
//! It loses nothing at a power failure that the process survives: whoever wants to see crashes uses a simulated device.

use crate::device::{Completion, Device, DeviceError, Request, Tag};
use crate::frame::{Frames, PAGE_BYTES};
use crate::ids::PageNo;
use std::collections::{BTreeMap, VecDeque};

/// Pages that are given memory together: 256 KiB, so that a table of a terabyte's chunks has 32 MiB.
const CHUNK_PAGES: usize = 64;
/// What a file system says when it has no room (ENOSPC).
const NO_ROOM: i32 = 28;

/// An array of pages in memory.
///
/// ```
/// use segments::memory::MemoryDevice;
/// use segments::{Device, Frames, PageNo, Request, Tag};
/// let mut device = MemoryDevice::new(2);
/// device.submit(Tag(1), Request::Read { at: PageNo(1), frames: Frames::zeroed(1) });
/// let mut done = Vec::new();
/// device.poll(&mut done);
/// assert!(done[0].result.is_ok());
/// ```
#[derive(Debug, Default)]
pub struct MemoryDevice {
    chunks: Vec<Option<Frames>>,
    pages: u64,
    pages_max: u64,
    waiting: VecDeque<(Tag, Request)>,
    /// First page and end of each write that waits.
    writes: BTreeMap<u64, u64>,
}

impl MemoryDevice {
    /// A device of this many pages, all zeros, that may grow as far as memory goes.
    #[must_use]
    pub fn new(pages: u64) -> Self {
        Self::with_pages_max(pages, u64::MAX)
    }

    /// A device that refuses to grow past `pages_max`, as a full file system would.
    ///
    /// # Panics
    /// If it is to be longer than that from the start.
    #[must_use]
    pub fn with_pages_max(pages: u64, pages_max: u64) -> Self {
        assert!(pages <= pages_max, "{pages} pages on a device of at most {pages_max}");
        Self { pages, pages_max, ..Self::default() }
    }

    /// Sets how far the device may grow; what it has already it keeps.
    pub fn set_pages_max(&mut self, pages_max: u64) {
        self.pages_max = pages_max;
    }

    /// How many pages have memory of their own.
    #[must_use]
    pub fn pages_held(&self) -> usize {
        self.chunks.iter().flatten().map(Frames::pages).sum()
    }

    fn perform(&mut self, request: Request) -> (Option<Frames>, Result<(), DeviceError>) {
        match request {
            Request::Read { at, mut frames } => {
                let result = self.inside(at, frames.pages() as u64);
                if result.is_ok() {
                    self.read(at, &mut frames);
                }
                (Some(frames), result)
            }
            Request::Write { at, frames } => {
                self.writes.remove(&at.0);
                let result = self.inside(at, frames.pages() as u64);
                if result.is_ok() {
                    self.write(at, &frames);
                }
                (Some(frames), result)
            }
            Request::Flush => (None, Ok(())),
            Request::Grow { pages } if pages > self.pages_max => (None, Err(DeviceError::NoSpace { errno: NO_ROOM })),
            Request::Grow { pages } => {
                self.pages = self.pages.max(pages);
                (None, Ok(()))
            }
            Request::Zero { at, pages } => {
                self.writes.remove(&at.0);
                let result = self.inside(at, pages);
                if result.is_ok() {
                    self.zero(at, pages);
                }
                (None, result)
            }
            Request::Punch { at, pages } => {
                self.writes.remove(&at.0);
                let result = self.inside(at, pages);
                if result.is_ok() {
                    self.zero(at, pages);
                    self.give_back(at.0);
                    self.give_back(at.0 + pages - 1);
                }
                (None, result)
            }
        }
    }

    fn inside(&self, at: PageNo, pages: u64) -> Result<(), DeviceError> {
        match at.0.checked_add(pages) {
            Some(end) if end <= self.pages => Ok(()),
            _ => Err(DeviceError::PastEnd { page: self.pages.max(at.0), end: self.pages }),
        }
    }

    fn read(&self, at: PageNo, frames: &mut Frames) {
        for index in 0..frames.pages() {
            let (chunk, page) = place(at.0 + index as u64);
            match self.chunks.get(chunk) {
                Some(Some(chunk)) => *frames.page_mut(index) = *chunk.page(page),
                Some(None) | None => frames.page_mut(index).fill(0),
            }
        }
    }

    fn write(&mut self, at: PageNo, frames: &Frames) {
        for index in 0..frames.pages() {
            let (chunk, page) = place(at.0 + index as u64);
            if chunk >= self.chunks.len() {
                self.chunks.resize(chunk + 1, None);
            }
            let chunk = self.chunks[chunk].get_or_insert_with(|| Frames::zeroed(CHUNK_PAGES));
            *chunk.page_mut(page) = *frames.page(index);
        }
    }

    fn zero(&mut self, at: PageNo, pages: u64) {
        let held = (self.chunks.len() * CHUNK_PAGES) as u64;
        let mut next = at.0;
        let end = (at.0 + pages).min(held);
        while next < end {
            let (chunk, page) = place(next);
            let count = (CHUNK_PAGES - page).min(usize::try_from(end - next).unwrap_or(CHUNK_PAGES));
            if count == CHUNK_PAGES {
                self.chunks[chunk] = None;
            } else if let Some(chunk) = &mut self.chunks[chunk] {
                chunk.bytes_mut()[page * PAGE_BYTES..(page + count) * PAGE_BYTES].fill(0);
            }
            next += count as u64;
        }
    }

    /// Lets a page's chunk go if it holds nothing but zeros: the ends of what is punched share theirs with others.
    fn give_back(&mut self, page: u64) {
        let (chunk, _) = place(page);
        if let Some(held) = self.chunks.get_mut(chunk) {
            held.take_if(|held| held.bytes().iter().all(|&byte| byte == 0));
        }
    }

    /// Notes a write that waits, and asserts that no other waits for the same page.
    fn reserve(&mut self, at: PageNo, pages: u64) {
        assert!(pages > 0, "a write of no pages at {at}");
        let end = at.0.saturating_add(pages);
        let before = self.writes.range(..end).next_back();
        assert!(before.is_none_or(|(_, other_end)| *other_end <= at.0), "a write at {at}..{end} overlaps {before:?}");
        self.writes.insert(at.0, end);
    }
}

impl Device for MemoryDevice {
    fn pages(&self) -> u64 {
        self.pages
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        let (first, _) = place(at.0);
        let held = self.chunks.iter().enumerate().skip(first).find(|(_, chunk)| chunk.is_some());
        let page = held.map_or(self.pages, |(chunk, _)| (chunk * CHUNK_PAGES) as u64);
        PageNo(page.clamp(at.0, self.pages.max(at.0)))
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        match &request {
            Request::Write { at, frames } => self.reserve(*at, frames.pages() as u64),
            Request::Zero { at, pages } | Request::Punch { at, pages } => self.reserve(*at, *pages),
            Request::Read { .. } | Request::Flush | Request::Grow { .. } => {}
        }
        self.waiting.push_back((tag, request));
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        while let Some((tag, request)) = self.waiting.pop_front() {
            let (frames, result) = self.perform(request);
            done.push(Completion { tag, frames, result });
        }
        assert!(self.writes.is_empty(), "every write that waited is done");
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.poll(done);
    }

    fn in_flight(&self) -> usize {
        self.waiting.len()
    }
}

/// A page's chunk and its place there.
fn place(page: u64) -> (usize, usize) {
    let page = usize::try_from(page).expect("pages of a device in memory are counted by a usize");
    (page / CHUNK_PAGES, page % CHUNK_PAGES)
}

#[cfg(test)]
mod tests;
