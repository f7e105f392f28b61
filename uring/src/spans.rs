//! The byte ranges that are being written or punched, so that no two writes in flight overlap; a punch writes zeros.
//!
//! The kernel orders nothing between two requests on one file: of two overlapping writes in flight either may be the last.
//! Pure: a set of disjoint intervals per file.

use crate::file::FileId;
use std::collections::BTreeMap;

/// Disjoint byte ranges, by file.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    /// First byte to the byte after the last.
    ranges: BTreeMap<(FileId, u64), u64>,
}

impl Spans {
    /// Takes a range in.
    ///
    /// # Panics
    /// If it overlaps one that is in: the caller wrote over a write in flight.
    pub(crate) fn insert(&mut self, file: FileId, start: u64, bytes: u64) {
        assert!(bytes > 0, "a write has at least one byte");
        let end = start.checked_add(bytes).expect("a file's end fits 64 bits");
        // Of all ranges that begin before our end, the last is the only one that can reach past our start: they are disjoint.
        if let Some((&(_, other), &other_end)) = self.ranges.range((file, 0)..(file, end)).next_back() {
            assert!(
                other_end <= start,
                "a write of bytes {start}..{end} overlaps the write of {other}..{other_end} that is in flight"
            );
        }
        self.ranges.insert((file, start), end);
    }

    /// Takes a range out.
    pub(crate) fn remove(&mut self, file: FileId, start: u64) {
        let range = self.ranges.remove(&(file, start));
        assert!(range.is_some(), "the write at {start} was in flight");
    }

    /// How many ranges are in.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }
}

#[cfg(test)]
mod tests;
