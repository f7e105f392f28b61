//! Range compares: that a range of keys holds nothing but what the set itself compares at a version.
//!
//! Contract: a range is from a key, itself included, to another, itself excluded, or to the table's end. A range that touches one
//! of the few added last is joined to that one, which says the same: an iteration, batch by batch, is one range. A range compare
//! speaks of what was there *before* the transaction, so the set's own updates are no strangers in it.
//!
//! Only a compare `At` a version makes a key expected in a range: it says that the transaction has read that very pair. A key
//! that must merely be present may have come after the range was read.

use super::{CommitSet, Expect, SetError, Span, push};
use crate::limits::{SET_BYTES_MAX, SET_PARTS_MAX};
use segments::TableId;
use segments::limits::KEY_BYTES_MAX;

/// The number that stands for the set's first range compare where parts are numbered: ranges come after all parts there can be.
pub const RANGES_FIRST: u32 = 65_536;
const _: () = assert!(RANGES_FIRST as usize == SET_PARTS_MAX);

/// Ranges that a new one is held against, the latest: more than there are iterations side by side in one transaction, and few
/// enough that a set of nothing but ranges is made in a time proportional to its size.
const JOINED_RANGES_MAX: usize = 16;

/// A range of a table in which there must be no pair but those that the set compares at a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RangeCompare<'a> {
    /// The table, an ordered one.
    pub table: TableId,
    /// The first key of the range, encoded.
    pub from: &'a [u8],
    /// The first key behind it; `None` for the table's end.
    pub until: Option<&'a [u8]>,
}

impl RangeCompare<'_> {
    /// Whether the key lies in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.from && self.until.is_none_or(|until| key < until)
    }

    /// Whether both together are one range without a gap.
    fn touches(&self, other: &Self) -> bool {
        let reaches = |until: Option<&[u8]>, from: &[u8]| until.is_none_or(|until| from <= until);
        self.table == other.table && reaches(self.until, other.from) && reaches(other.until, self.from)
    }
}

/// A range in the set's buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeEntry {
    table: TableId,
    from: Span,
    until: Option<Span>,
}

impl CommitSet {
    /// Adds a range compare: in the range there is no pair but those that this set compares [`Expect::At`] a version, whatever
    /// the order in which the compares are added. An empty range says nothing.
    ///
    /// # Errors
    /// When a limit is met: range compares count as parts.
    pub fn compare_range(&mut self, table: TableId, from: &[u8], until: Option<&[u8]>) -> Result<(), SetError> {
        for key in [Some(from), until].into_iter().flatten() {
            // The key that follows the longest one is a byte longer than any.
            if key.len() > KEY_BYTES_MAX + 1 {
                return Err(SetError::KeyTooLong { bytes: key.len() });
            }
        }
        if until.is_some_and(|until| until <= from) {
            return Ok(());
        }
        if self.bytes.len() + from.len() + until.map_or(0, <[u8]>::len) > SET_BYTES_MAX {
            return Err(SetError::TooManyBytes);
        }
        self.make_room(from.len() + until.map_or(0, <[u8]>::len));
        let new = RangeCompare { table, from, until };
        let mut latest = (0..self.ranges.len()).rev().take(JOINED_RANGES_MAX);
        let Some(at) = latest.find(|&at| self.range_at(at).touches(&new)) else {
            if self.entries.len() + self.ranges.len() >= SET_PARTS_MAX {
                return Err(SetError::TooManyParts);
            }
            let from = push(&mut self.bytes, from);
            let until = until.map(|until| push(&mut self.bytes, until));
            self.ranges.push(RangeEntry { table, from, until });
            return Ok(());
        };
        let old = self.range_at(at);
        let starts = (from < old.from).then_some(from);
        let ends = old.until.is_some_and(|old| until.is_none_or(|until| until > old)).then_some(until);
        if let Some(from) = starts {
            self.ranges[at].from = push(&mut self.bytes, from);
        }
        if let Some(until) = ends {
            self.ranges[at].until = until.map(|until| push(&mut self.bytes, until));
        }
        Ok(())
    }

    /// The range compares, in the order of their numbers from [`RANGES_FIRST`] on.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = RangeCompare<'_>> {
        (0..self.ranges.len()).map(|at| self.range_at(at))
    }

    /// Whether the set says of this key that its pair is at a version: then it is expected in a range.
    #[must_use]
    pub fn compares_at(&self, table: TableId, key: &[u8]) -> bool {
        self.find(table, key).is_some_and(|part| matches!(part.expect, Expect::At(_) | Expect::Never))
    }

    /// Takes over all compares of another set; its updates stay where they are.
    ///
    /// # Errors
    /// When a limit is met; some compares have been added then.
    pub fn add_compares(&mut self, of: &CommitSet) -> Result<(), SetError> {
        for part in of.parts().filter(|part| part.expect != Expect::Any) {
            self.compare(part.table, part.key, part.expect)?;
        }
        of.ranges().try_for_each(|range| self.compare_range(range.table, range.from, range.until))
    }

    /// Bytes of the ranges' ends.
    pub(super) fn range_bytes(&self) -> usize {
        self.ranges().map(|range| range.from.len() + range.until.map_or(0, <[u8]>::len)).sum()
    }

    /// Moves the ranges' ends behind the other bytes, out of a buffer that they lay in.
    pub(super) fn move_ranges(&mut self, old: &[u8]) {
        for range in &mut self.ranges {
            let moved =
                |bytes: &mut Vec<u8>, span: Span| push(bytes, &old[span.start as usize..][..span.bytes as usize]);
            range.from = moved(&mut self.bytes, range.from);
            range.until = range.until.map(|until| moved(&mut self.bytes, until));
        }
    }

    fn range_at(&self, at: usize) -> RangeCompare<'_> {
        let RangeEntry { table, from, until } = self.ranges[at];
        RangeCompare { table, from: self.span(from), until: until.map(|until| self.span(until)) }
    }
}
