//! The log's most recent pages in memory: those still open, those on their way, and as many written ones as the budget allows.
//!
//! Invariants: the pages are consecutive by sequence number; a page that is not yet written is never dropped.

use crate::frame::{PAGE_BYTES, Page};
use std::collections::VecDeque;

/// Pages kept, by sequence number.
#[derive(Debug)]
pub(crate) struct Tail {
    pages: VecDeque<Box<Page>>,
    first: u64,
    keep: usize,
    /// Frames of dropped pages, to be used again.
    spare: Vec<Box<Page>>,
}

/// Dropped frames kept for reuse: more would only hold memory that a burst once needed.
const SPARE_MAX: usize = 64;

impl Tail {
    /// An empty tail whose next page has this sequence number; it keeps about `keep` written pages.
    pub(crate) fn new(first: u64, keep: usize) -> Self {
        Self { pages: VecDeque::new(), first, keep, spare: Vec::new() }
    }

    /// Appends a zeroed page and returns its sequence number; pages up to `written` may be dropped for it.
    pub(crate) fn push(&mut self, written: u64) -> u64 {
        while self.pages.len() >= self.keep.max(1) && self.first <= written {
            let dropped = self.pages.pop_front().expect("the tail has at least one page");
            self.first += 1;
            if self.spare.len() < SPARE_MAX {
                self.spare.push(dropped);
            }
        }
        let mut page = self.spare.pop().unwrap_or_else(|| Box::new(Page([0; PAGE_BYTES])));
        page.0.fill(0);
        self.pages.push_back(page);
        self.first + self.pages.len() as u64 - 1
    }

    /// The page of a sequence number, while it is kept.
    pub(crate) fn get(&self, seq: u64) -> Option<&[u8; PAGE_BYTES]> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.pages.get(index).map(|page| &page.0)
    }

    /// The page of a sequence number, to be filled.
    pub(crate) fn get_mut(&mut self, seq: u64) -> &mut [u8; PAGE_BYTES] {
        let index = usize::try_from(seq - self.first).expect("the tail fits memory");
        &mut self.pages[index].0
    }

    /// The oldest sequence number kept.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Memory of the pages kept.
    pub(crate) fn bytes(&self) -> usize {
        (self.pages.len() + self.spare.len()) * PAGE_BYTES
    }

    /// Drops every written page.
    pub(crate) fn drop_written(&mut self, written: u64) {
        while self.first <= written && !self.pages.is_empty() {
            self.pages.pop_front();
            self.first += 1;
        }
    }
}
