//! A run: one or more adjacent segments that a log fills as one. Almost always one segment; more for a record, or a commit set,
//! that is larger than a segment, so that it lies contiguously.
//!
//! Invariants: page 0 of a run is its header and part of the chain; its last page is kept for the summary's footer.

use crate::ids::{PageNo, SegmentId};
use crate::segment::Geometry;

/// Adjacent segments filled as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first segment.
    pub segment: SegmentId,
    /// How many.
    pub segments: u32,
    /// Where segments lie.
    pub geometry: Geometry,
    /// Sequence number of the header page.
    pub first_seq: u64,
}

impl Run {
    /// The first page on the device.
    #[must_use]
    pub fn start(&self) -> PageNo {
        self.geometry.first_page(self.segment)
    }

    /// All pages, header and footer included.
    #[must_use]
    pub fn pages(&self) -> u64 {
        u64::from(self.geometry.run_pages(self.segments))
    }

    /// The page kept for the footer.
    #[must_use]
    pub fn footer(&self) -> PageNo {
        self.geometry.footer_page(self.segment, self.segments)
    }

    /// Whether a page of this sequence number lies in it.
    #[must_use]
    pub fn holds(&self, seq: u64) -> bool {
        seq >= self.first_seq && seq - self.first_seq < self.pages()
    }

    /// The sequence number of a page of this run, if it is one.
    #[must_use]
    pub fn seq_of(&self, page: PageNo) -> Option<u64> {
        let index = page.0.checked_sub(self.start().0)?;
        (index < self.pages()).then(|| self.first_seq + index)
    }
}
