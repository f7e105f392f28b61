//! Values of a commit set that were written out before its commit: they lie in the domain's log, and the set has their numbers.
//!
//! Contract: a set with a bound on its memory says which values have outgrown it ([`CommitSet::outgrown`]); whoever keeps it has
//! them written out and says what became of each ([`CommitSet::staged`], [`CommitSet::stays`]), then lets go of their memory
//! ([`CommitSet::compact`]). A part whose value was written out has it in two: first what lies there, then what lies here. The
//! set may go on changing meanwhile: a value that was replaced since is not the one that was written, and its number is forgotten.
//!
//! Invariants: a number stands in one part at most; one that the set had and has no more is told
//! ([`CommitSet::take_forgotten`]), so that the domain can let its bytes go.

use super::{CommitSet, Entry, Expect, Part, PutOptions, SetError, Slot, Span, push};
use crate::limits::{FORGOTTEN_AT_ONCE_MAX, STAGED_VALUE_BYTES_MIN};
use segments::TableId;
use segments::limits::VALUE_BYTES_MAX;
use std::sync::Arc;

/// Names, to one domain, the values that one transaction has written out. They are let go when nobody has this name any more, be it
/// that the transaction was aborted, that its connection is gone, or that nobody remembered to say anything.
#[derive(Clone, Debug)]
pub struct Stage(Arc<u64>);

impl Stage {
    /// A name that nobody else has.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(Arc::new(number))
    }

    /// Its number, in the terms of whoever gave it.
    #[must_use]
    pub fn number(&self) -> u64 {
        *self.0
    }

    /// Whether nobody has it but the one who asks.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl PartialEq for Stage {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A value, or its beginning, that was written out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Staged {
    /// Its number among those of the set's stage.
    pub number: u32,
    /// How long it is.
    pub bytes: u32,
}

/// A value that is to be written out, as it was when it was named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outgrown {
    /// The position of its part.
    pub position: usize,
    /// How long it was.
    bytes: u32,
    /// How often the part's value had been replaced.
    replaced: u32,
}

impl Outgrown {
    /// How many bytes are to be written.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

impl CommitSet {
    /// An empty set that has values written out when its keys and values take more memory than this.
    #[must_use]
    pub fn bounded(memory_max: usize) -> Self {
        Self { memory_max: Some(memory_max), ..Self::default() }
    }

    /// Memory of the keys and values, room that is kept for more included.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where its values were written out, if any was to be.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        self.stage.as_ref()
    }

    /// Says where its values are written out.
    ///
    /// # Panics
    /// If that was said before: their numbers are of that stage.
    pub fn stage_at(&mut self, stage: Stage) {
        assert!(self.stage.is_none(), "a set has one stage");
        self.stage = Some(stage);
    }

    /// The values that are to be written out now. They are none while the set is within its bound, or has just been looked at: keys,
    /// values that are too small to gain by it, and those that [stay](Self::stays) may take all of it, and are then not gone through
    /// each time.
    pub fn outgrown(&mut self) -> Vec<Outgrown> {
        let Some(memory_max) = self.memory_max else { return Vec::new() };
        if self.bytes.len() <= memory_max.max(self.looked_at) {
            return Vec::new();
        }
        let outgrown = self.values_from(STAGED_VALUE_BYTES_MIN);
        if outgrown.is_empty() {
            self.compact();
        }
        self.looked_at = self.bytes.len() + memory_max / 4;
        outgrown
    }

    /// The values of so many bytes or more that could be written out, whatever the bound.
    #[must_use]
    pub fn values_from(&self, bytes_min: usize) -> Vec<Outgrown> {
        let bytes_min = bytes_min.max(1);
        self.entries.iter().enumerate().filter_map(|(at, entry)| entry.outgrown(at, bytes_min)).collect()
    }

    /// The bytes of a value that is to be written out; nothing when it was replaced since.
    #[must_use]
    pub fn outgrown_value(&self, of: &Outgrown) -> Option<&[u8]> {
        let entry = self.entries.get(of.position).filter(|entry| entry.replaced == of.replaced)?;
        let (Slot::Put { value, .. } | Slot::Append { value, .. }) = entry.slot else { return None };
        Some(&self.span(value)[..of.bytes()])
    }

    /// A value was written out under this number, behind what was there under it before.
    pub fn staged(&mut self, of: &Outgrown, number: u32) {
        let entry = &mut self.entries[of.position];
        let before = entry.staged.map_or(0, |staged| staged.bytes);
        if let Slot::Put { value, .. } | Slot::Append { value, .. } = &mut entry.slot
            && entry.replaced == of.replaced
        {
            value.start += of.bytes;
            value.bytes -= of.bytes;
            entry.staged = Some(Staged { number, bytes: before + of.bytes });
        } else if !self.forgotten.contains(&number) {
            // What it was to go behind was forgotten when it was replaced.
            self.forgotten.push(number);
        }
    }

    /// A value need not be written out: it takes memory in the domain too, and would take it twice.
    pub fn stays(&mut self, of: &Outgrown) {
        let entry = &mut self.entries[of.position];
        entry.stays |= entry.replaced == of.replaced;
    }

    /// Lets go of memory that no key and no value has any more.
    pub fn compact(&mut self) {
        let spans = self.entries.iter().map(|entry| entry.key.bytes as usize + entry.slot.value_bytes());
        let live = spans.sum::<usize>() + self.range_bytes();
        let old = std::mem::replace(&mut self.bytes, Vec::with_capacity(live));
        for entry in &mut self.entries {
            let moved =
                |bytes: &mut Vec<u8>, span: Span| push(bytes, &old[span.start as usize..][..span.bytes as usize]);
            entry.key = moved(&mut self.bytes, entry.key);
            if let Slot::Put { value, .. } | Slot::Append { value, .. } = &mut entry.slot {
                *value = moved(&mut self.bytes, *value);
            }
            entry.room = 0;
        }
        self.move_ranges(&old);
        self.looked_at = self.bytes.len() + self.memory_max.unwrap_or(0) / 4;
    }

    /// The parts whose values, or their beginnings, were written out, and what was.
    pub fn staged_parts(&self) -> impl Iterator<Item = (Part<'_>, Staged)> {
        self.entries.iter().filter_map(|entry| entry.staged.map(|staged| (self.part_of(entry), staged)))
    }

    /// Numbers that no part has any more, as many as are told at a time.
    pub fn take_forgotten(&mut self) -> Vec<u32> {
        self.forgotten.drain(..self.forgotten.len().min(FORGOTTEN_AT_ONCE_MAX)).collect()
    }

    /// From now on it may take any memory: there is nowhere to write its values.
    pub fn unbound(&mut self) {
        self.memory_max = None;
    }

    /// Puts a pair whose value begins with what was written out, by somebody who has the number from elsewhere.
    ///
    /// # Errors
    /// When a limit is met, or the transaction has changed the key before.
    pub fn put_staged(
        &mut self,
        (table, key): (TableId, &[u8]),
        staged: Staged,
        value: &[u8],
        options: PutOptions,
        expect: Expect,
    ) -> Result<(), SetError> {
        self.check_staged((table, key), staged, value)?;
        self.put(table, key, value, options, expect)?;
        self.begin_staged((table, key), staged);
        Ok(())
    }

    /// Appends bytes that begin with what was written out, by somebody who has the number from elsewhere.
    ///
    /// # Errors
    /// As [`Self::put_staged`].
    pub fn append_staged(
        &mut self,
        (table, key): (TableId, &[u8]),
        staged: Staged,
        value: &[u8],
        options: PutOptions,
        expect: Expect,
    ) -> Result<(), SetError> {
        self.check_staged((table, key), staged, value)?;
        self.append(table, key, value, options, expect)?;
        self.begin_staged((table, key), staged);
        Ok(())
    }

    fn check_staged(&self, (table, key): (TableId, &[u8]), staged: Staged, value: &[u8]) -> Result<(), SetError> {
        let whole = staged.bytes as usize + value.len();
        if whole > VALUE_BYTES_MAX {
            return Err(SetError::ValueTooLarge { bytes: whole });
        }
        let before = self.position(table, key).map(|at| self.entries[at].slot);
        if before.is_some_and(|before| before != Slot::None) {
            return Err(SetError::StagedBehind);
        }
        Ok(())
    }

    fn begin_staged(&mut self, (table, key): (TableId, &[u8]), staged: Staged) {
        let at = self.position(table, key).expect("it was put there just now");
        self.entries[at].staged = Some(staged);
    }

    /// A part's value is another from now on: what was written out of the one before is forgotten.
    pub(super) fn replace_staged(&mut self, at: usize) {
        let entry = &mut self.entries[at];
        entry.replaced = entry.replaced.wrapping_add(1);
        entry.stays = false;
        self.forgotten.extend(entry.staged.take().map(|staged| staged.number));
    }

    /// Makes room for so many bytes more. Of a bounded set the room grows to a little beyond the bound and not by doubling, which
    /// would take up to twice the bound just before values are written out.
    pub(super) fn make_room(&mut self, more: usize) {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        let needed = length + more;
        match self.memory_max {
            Some(memory_max) if needed > capacity && 2 * capacity > memory_max => {
                let wanted = (2 * capacity).min(memory_max.saturating_add(memory_max / 4)).max(needed);
                self.bytes.reserve_exact(wanted - length);
            }
            _ => self.bytes.reserve(more),
        }
    }
}

impl Entry {
    fn outgrown(&self, position: usize, bytes_min: usize) -> Option<Outgrown> {
        let (Slot::Put { value, .. } | Slot::Append { value, .. }) = self.slot else { return None };
        let gains = !self.stays && value.bytes as usize >= bytes_min;
        gains.then_some(Outgrown { position, bytes: value.bytes, replaced: self.replaced })
    }
}

impl Slot {
    /// Bytes of the value that lies in the set.
    fn value_bytes(&self) -> usize {
        match self {
            Self::Put { value, .. } | Self::Append { value, .. } => value.bytes as usize,
            Self::None | Self::Delete | Self::Revert { .. } | Self::Seal { .. } => 0,
        }
    }
}
