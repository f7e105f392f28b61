//! Appends of a commit set: bytes that join what the transaction itself has put or appended to the key before.
//!
//! Contract: behind an own put the append is part of that put, behind an own append one longer append. Appending to several keys
//! in turn takes memory for about three times the bytes: a value that is no longer the last of the buffer moves to its end with as
//! much room behind it as it is long.

use super::{CommitSet, Expect, PutOptions, SetError, Slot, Span, join};
use crate::limits::SET_BYTES_MAX;
use segments::TableId;
use segments::limits::VALUE_BYTES_MAX;

const EMPTY: Span = Span { start: 0, bytes: 0 };

impl CommitSet {
    /// Adds bytes to the end of a pair's record. `expect` says what must be there: with [`Expect::Any`] or [`Expect::Absent`] a pair
    /// that is not there becomes these bytes. Behind an own put or append it joins that one.
    ///
    /// # Errors
    /// When a limit is met, or the expectation contradicts what this transaction has left there.
    pub fn append(
        &mut self,
        table: TableId,
        key: &[u8],
        value: &[u8],
        options: PutOptions,
        expect: Expect,
    ) -> Result<(), SetError> {
        self.check_against_own(table, key, expect)?;
        let before = self.position(table, key).map(|at| self.entries[at].slot);
        let (span, is_put, options) = match before {
            Some(Slot::Put { value: span, options: before }) => (span, true, appended(before, options)),
            Some(Slot::Append { value: span, options: before }) => (span, false, appended(before, options)),
            Some(Slot::Delete) => (EMPTY, true, options),
            Some(Slot::None | Slot::Revert { .. } | Slot::Seal { .. }) | None => (EMPTY, false, options),
        };
        let written = self.position(table, key).and_then(|at| self.entries[at].staged);
        let whole = written.map_or(0, |staged| staged.bytes as usize) + span.bytes as usize + value.len();
        if whole > VALUE_BYTES_MAX {
            return Err(SetError::ValueTooLarge { bytes: whole });
        }
        let (at, span) = self.longer(table, key, span, value)?;
        let entry = &mut self.entries[at];
        if entry.slot == Slot::None {
            entry.expect = join(entry.expect, expect);
        }
        let value = span;
        entry.slot = if is_put { Slot::Put { value, options } } else { Slot::Append { value, options } };
        Ok(())
    }

    /// The key's entry, and where its longer value lies.
    fn longer(&mut self, table: TableId, key: &[u8], span: Span, value: &[u8]) -> Result<(usize, Span), SetError> {
        let (from, until) = (span.start as usize, span.start as usize + span.bytes as usize);
        let bytes = u32::try_from(until - from + value.len()).expect("a value is at most 64 MiB");
        let room = self.position(table, key).map_or(0, |at| self.entries[at].room as usize);
        if room >= value.len() && span != EMPTY {
            let at = self.entry(table, key, 0)?;
            self.bytes[until..until + value.len()].copy_from_slice(value);
            self.entries[at].room = u32::try_from(room - value.len()).expect("it became less");
            return Ok((at, Span { bytes, ..span }));
        }
        if span != EMPTY && until == self.bytes.len() {
            let at = self.entry(table, key, value.len())?;
            self.bytes.extend_from_slice(value);
            return Ok((at, Span { bytes, ..span }));
        }
        let whole = bytes as usize;
        let at = self.entry(table, key, whole)?;
        let start = u32::try_from(self.bytes.len()).expect("a set is at most 128 MiB");
        self.bytes.extend_from_within(from..until);
        self.bytes.extend_from_slice(value);
        // Only who comes back to a key comes back again.
        let room = if span == EMPTY { 0 } else { whole.min(SET_BYTES_MAX - self.bytes.len()) };
        self.make_room(room);
        self.bytes.resize(self.bytes.len() + room, 0);
        self.entries[at].room = u32::try_from(room).expect("a set is at most 128 MiB");
        Ok((at, Span { start, bytes }))
    }
}

/// What an append makes of the options that are there.
#[must_use]
pub fn appended(before: PutOptions, options: PutOptions) -> PutOptions {
    PutOptions {
        expires_ms: options.expires_ms.or(before.expires_ms),
        compressed: before.compressed || options.compressed,
        compact: before.compact || options.compact,
        revertible_ms: options.revertible_ms.or(before.revertible_ms),
    }
}
