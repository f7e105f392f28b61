//! A commit set: the compares and updates of one transaction, private until commit.
//!
//! Contract: one [`Part`] a key. Later updates of a key win; the compares of one key are joined, so what commit must verify
//! is one [`Expect`] a key, stated against what was there *before* the transaction. A transaction's own reads look here first.
//!
//! Invariants: parts stand in the order in which their keys were first named; `bytes` holds every key and value once (an
//! overwritten value stays as dead bytes until the set is cleared); a set that has been refused an update is unchanged.
//!
//! Keys and values lie in one buffer, so a set that is cleared and filled again allocates nothing.

use crate::limits::{SET_BYTES_MAX, SET_INDEX_PARTS_MIN, SET_PARTS_MAX};
use segments::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use segments::{TableId, Version};
use std::collections::BTreeMap;
use thiserror::Error;

mod append;
mod ranges;
mod staged;

pub use append::appended;
use ranges::RangeEntry;
pub use ranges::{RANGES_FIRST, RangeCompare};
pub use staged::{Outgrown, Stage, Staged};

/// What commit verifies about a key before it applies anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expect {
    /// Nothing.
    #[default]
    Any,
    /// The key has no pair.
    Absent,
    /// The key has a pair.
    Present,
    /// The key's pair is at this version.
    At(Version),
    /// Two compares of this key contradict each other: commit fails.
    Never,
}

/// Options of a write, kept with the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PutOptions {
    /// When the pair ceases to exist: milliseconds since the Unix epoch, absolute.
    pub expires_ms: Option<u64>,
    /// The client says that it compressed the value; the store keeps the flag and never looks inside.
    pub compressed: bool,
    /// Pack the record with other small ones at the next opportunity, at the price of writing it again. Today's opportunity is an
    /// append: a record of up to 16 KiB is then written as a whole, and read with one request. The flag is kept with the record,
    /// so that reclaim can pack it too. It changes no result and no read tells it; an append keeps it, a write says it anew.
    pub compact: bool,
    /// How long the write may be reverted, in milliseconds from its commit on: until then the state before it is kept, and the
    /// version that the commit gives is the token to [revert](CommitSet::revert) or [seal](CommitSet::seal) it by.
    pub revertible_ms: Option<u64>,
}

/// What a part does to its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<'a> {
    /// Nothing: the part only compares.
    None,
    /// The pair becomes this.
    Put {
        /// The record's bytes.
        value: &'a [u8],
        /// Its options.
        options: PutOptions,
    },
    /// The pair goes.
    Delete,
    /// A revertible write is undone: the state before it is the pair's again, under a new version.
    Revert {
        /// The version that the write gave.
        token: Version,
    },
    /// A revertible write stands from now on, under a new version.
    Seal {
        /// The version that the write gave.
        token: Version,
    },
    /// The pair's record grows by this at its end; a pair that is not there becomes this.
    Append {
        /// The bytes to add.
        value: &'a [u8],
        /// An expiry replaces the record's, the flag of compression is added to it; what is not given stays as it is. With a lease
        /// the append is revertible: a revert brings back what was there before it.
        options: PutOptions,
    },
}

/// One key of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'a> {
    /// The key's table.
    pub table: TableId,
    /// The key, encoded.
    pub key: &'a [u8],
    /// What must hold before.
    pub expect: Expect,
    /// What is done.
    pub change: Change<'a>,
    /// The beginning of the value, of one that was written out in part or whole: what `change` has comes behind it.
    pub staged: Option<Staged>,
}

/// Why a set did not take an update.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SetError {
    /// The key is longer than the format allows.
    #[error("the key has {bytes} bytes, the limit is {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The value is longer than the format allows.
    #[error("the value has {bytes} bytes, the limit is {VALUE_BYTES_MAX}")]
    ValueTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The set has as many keys as it may.
    #[error("a transaction has at most {SET_PARTS_MAX} keys")]
    TooManyParts,
    /// The set has as many bytes as it may.
    #[error("a transaction has at most {SET_BYTES_MAX} bytes of keys and values")]
    TooManyBytes,
    /// An insert of a key that this transaction itself has put.
    #[error("the transaction has already put this key")]
    PutBefore,
    /// An update or delete of a key that this transaction itself has deleted.
    #[error("the transaction has already deleted this key")]
    DeletedBefore,
    /// A revert or seal, and another update of the same key.
    #[error(
        "a transaction that reverts or seals a write does nothing else to its key and cannot read it; use one transaction for each"
    )]
    RevertsAlone,
    /// A write has flags that this version does not know.
    #[error(
        "the write has flags that this version does not know ({unknown:#x}); leave them away, or ask a later version"
    )]
    UnknownFlags {
        /// Those.
        unknown: u32,
    },
    /// A value that was written out before, behind another update of the key.
    #[error("a value that was written out is its key's first update in the transaction; name it before any other")]
    StagedBehind,
    /// A part that compares a range and has an update as well.
    #[error("a part that compares a range changes nothing; put the update into a part of its own")]
    RangeChange,
}

/// A place in the set's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    start: u32,
    bytes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slot {
    None,
    Put { value: Span, options: PutOptions },
    Delete,
    Revert { token: Version },
    Seal { token: Version },
    Append { value: Span, options: PutOptions },
}

#[derive(Clone, Debug)]
struct Entry {
    table: TableId,
    key: Span,
    expect: Expect,
    slot: Slot,
    /// Bytes behind the value of its slot that are kept free for appends to come.
    room: u32,
    /// What was written out of its value: the beginning.
    staged: Option<Staged>,
    /// How often its value was replaced.
    replaced: u32,
    /// Its value is not to be written out.
    stays: bool,
}

/// The compares and updates of one transaction.
///
/// ```
/// use segments::TableId;
/// use txn::{Change, CommitSet, PutOptions};
/// let mut set = CommitSet::new();
/// set.insert(TableId(1), b"a", b"1", PutOptions::default())?;
/// assert!(matches!(set.find(TableId(1), b"a").unwrap().change, Change::Put { value: b"1", .. }));
/// # Ok::<(), txn::SetError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CommitSet {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Ranges of ordered tables that are compared.
    ranges: Vec<RangeEntry>,
    /// Key to entry, once there are many; empty before.
    index: BTreeMap<(TableId, Box<[u8]>), u32>,
    /// Above so many bytes values are written out.
    memory_max: Option<usize>,
    /// Up to how many bytes they need not be looked through again.
    looked_at: usize,
    /// Where they were written out.
    stage: Option<Stage>,
    /// Numbers there that no entry has any more.
    forgotten: Vec<u32>,
}

impl CommitSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of keys named so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key has been named, and no range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.ranges.is_empty()
    }

    /// Bytes of memory that the keys and values take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.ranges.clear();
        self.index.clear();
        self.forgotten.clear();
        (self.stage, self.looked_at) = (None, 0);
    }

    /// The parts, in the order in which their keys were first named.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = Part<'_>> {
        self.entries.iter().map(|entry| self.part_of(entry))
    }

    /// The part at `position` of [`Self::parts`].
    #[must_use]
    pub fn part(&self, position: usize) -> Option<Part<'_>> {
        self.entries.get(position).map(|entry| self.part_of(entry))
    }

    /// What this transaction says of a key.
    #[must_use]
    pub fn find(&self, table: TableId, key: &[u8]) -> Option<Part<'_>> {
        self.position(table, key).map(|at| self.part_of(&self.entries[at]))
    }

    /// Adds a compare. It is verified against what was there before the transaction, wherever it stands among the updates.
    ///
    /// # Errors
    /// When a limit is met.
    pub fn compare(&mut self, table: TableId, key: &[u8], expect: Expect) -> Result<(), SetError> {
        let at = self.entry(table, key, 0)?;
        let entry = &mut self.entries[at];
        entry.expect = join(entry.expect, expect);
        Ok(())
    }

    /// Puts a pair that must not be there.
    ///
    /// # Errors
    /// When a limit is met, or this transaction has put the key before.
    pub fn insert(&mut self, table: TableId, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), SetError> {
        self.put(table, key, value, options, Expect::Absent)
    }

    /// Replaces the record of a pair that must be there.
    ///
    /// # Errors
    /// When a limit is met, or this transaction has deleted the key before.
    pub fn update(&mut self, table: TableId, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), SetError> {
        self.put(table, key, value, options, Expect::Present)
    }

    /// Puts a pair, there or not.
    ///
    /// # Errors
    /// When a limit is met.
    pub fn upsert(&mut self, table: TableId, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), SetError> {
        self.put(table, key, value, options, Expect::Any)
    }

    /// Deletes a pair that must be there.
    ///
    /// # Errors
    /// When a limit is met, or this transaction has deleted the key before.
    pub fn delete(&mut self, table: TableId, key: &[u8]) -> Result<(), SetError> {
        self.drop_pair(table, key, Expect::Present)
    }

    /// Deletes a pair if it is there.
    ///
    /// # Errors
    /// When a limit is met.
    pub fn remove(&mut self, table: TableId, key: &[u8]) -> Result<(), SetError> {
        self.drop_pair(table, key, Expect::Any)
    }

    /// Undoes a revertible write: puts back what the key had before it. Commit fails unless the pair is still at the token's
    /// version and its lease has not ended.
    ///
    /// # Errors
    /// When a limit is met, or this transaction has another update of the key.
    pub fn revert(&mut self, table: TableId, key: &[u8], token: Version) -> Result<(), SetError> {
        self.end_lease(table, key, token, Slot::Revert { token })
    }

    /// Ends the time in which a revertible write may be undone. Commit fails unless the pair is still at the token's version and
    /// its lease has not ended.
    ///
    /// # Errors
    /// When a limit is met, or this transaction has another update of the key.
    pub fn seal(&mut self, table: TableId, key: &[u8], token: Version) -> Result<(), SetError> {
        self.end_lease(table, key, token, Slot::Seal { token })
    }

    fn end_lease(&mut self, table: TableId, key: &[u8], token: Version, slot: Slot) -> Result<(), SetError> {
        let before = self.position(table, key).map(|at| self.entries[at].slot);
        if before.is_some_and(|before| before != Slot::None && before != slot) {
            return Err(SetError::RevertsAlone);
        }
        let at = self.entry(table, key, 0)?;
        let entry = &mut self.entries[at];
        entry.expect = join(entry.expect, Expect::At(token));
        entry.slot = slot;
        Ok(())
    }

    fn put(
        &mut self,
        table: TableId,
        key: &[u8],
        value: &[u8],
        options: PutOptions,
        expect: Expect,
    ) -> Result<(), SetError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(SetError::ValueTooLarge { bytes: value.len() });
        }
        self.check_against_own(table, key, expect)?;
        let at = self.entry(table, key, value.len())?;
        self.replace_staged(at);
        let value = push(&mut self.bytes, value);
        let entry = &mut self.entries[at];
        if entry.slot == Slot::None {
            entry.expect = join(entry.expect, expect);
        }
        (entry.slot, entry.room) = (Slot::Put { value, options }, 0);
        Ok(())
    }

    fn drop_pair(&mut self, table: TableId, key: &[u8], expect: Expect) -> Result<(), SetError> {
        self.check_against_own(table, key, expect)?;
        let at = self.entry(table, key, 0)?;
        self.replace_staged(at);
        let entry = &mut self.entries[at];
        if entry.slot == Slot::None {
            entry.expect = join(entry.expect, expect);
        }
        (entry.slot, entry.room) = (Slot::Delete, 0);
        Ok(())
    }

    /// An update's presence compare speaks of what this transaction itself left there, once it has touched the key.
    fn check_against_own(&self, table: TableId, key: &[u8], expect: Expect) -> Result<(), SetError> {
        let Some(at) = self.position(table, key) else { return Ok(()) };
        match (self.entries[at].slot, expect) {
            (Slot::Put { .. } | Slot::Append { .. }, Expect::Absent) => Err(SetError::PutBefore),
            (Slot::Delete, Expect::Present) => Err(SetError::DeletedBefore),
            (Slot::Revert { .. } | Slot::Seal { .. }, _) => Err(SetError::RevertsAlone),
            _ => Ok(()),
        }
    }

    /// The key's entry, made when there is none, with room for `value_bytes` more.
    fn entry(&mut self, table: TableId, key: &[u8], value_bytes: usize) -> Result<usize, SetError> {
        if key.len() > KEY_BYTES_MAX {
            return Err(SetError::KeyTooLong { bytes: key.len() });
        }
        if self.bytes.len() + key.len() + value_bytes > SET_BYTES_MAX {
            return Err(SetError::TooManyBytes);
        }
        if let Some(at) = self.position(table, key) {
            self.make_room(value_bytes);
            return Ok(at);
        }
        if self.entries.len() + self.ranges.len() >= SET_PARTS_MAX {
            return Err(SetError::TooManyParts);
        }
        // One growth for both, where a fresh set would take two.
        self.make_room(key.len() + value_bytes);
        let (key, expect, slot) = (push(&mut self.bytes, key), Expect::Any, Slot::None);
        self.entries.push(Entry { table, key, expect, slot, room: 0, staged: None, replaced: 0, stays: false });
        self.index_last();
        Ok(self.entries.len() - 1)
    }

    /// Keeps the index, which covers either all entries or none.
    fn index_last(&mut self) {
        let count = self.entries.len();
        if count < SET_INDEX_PARTS_MIN {
            return;
        }
        let from = if self.index.is_empty() { 0 } else { count - 1 };
        for at in from..count {
            let entry = &self.entries[at];
            let key = self.span(entry.key).into();
            let at = u32::try_from(at).expect("a set has at most 65,536 parts");
            self.index.insert((entry.table, key), at);
        }
        assert_eq!(self.index.len(), count, "every key of the set is indexed once");
    }

    fn position(&self, table: TableId, key: &[u8]) -> Option<usize> {
        if self.index.is_empty() {
            return self.entries.iter().position(|entry| entry.table == table && self.span(entry.key) == key);
        }
        // The map owns its keys; a borrowed pair cannot look one up without a copy.
        self.index.get(&(table, key.into())).map(|&at| at as usize)
    }

    fn span(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..][..span.bytes as usize]
    }

    fn part_of(&self, entry: &Entry) -> Part<'_> {
        let change = match entry.slot {
            Slot::None => Change::None,
            Slot::Put { value, options } => Change::Put { value: self.span(value), options },
            Slot::Delete => Change::Delete,
            Slot::Revert { token } => Change::Revert { token },
            Slot::Seal { token } => Change::Seal { token },
            Slot::Append { value, options } => Change::Append { value: self.span(value), options },
        };
        let Entry { table, expect, staged, .. } = *entry;
        Part { table, key: self.span(entry.key), expect, change, staged }
    }
}

fn push(buffer: &mut Vec<u8>, bytes: &[u8]) -> Span {
    let start = u32::try_from(buffer.len()).expect("a set is at most 128 MiB");
    buffer.extend_from_slice(bytes);
    Span { start, bytes: u32::try_from(bytes.len()).expect("a set is at most 128 MiB") }
}

/// Both compares of one key as one.
fn join(a: Expect, b: Expect) -> Expect {
    use Expect::{Absent, Any, At, Never, Present};
    match (a, b) {
        (Any, other) | (other, Any) => other,
        (Absent, Absent) => Absent,
        (Present, Present) => Present,
        (At(version), Present) | (Present, At(version)) => At(version),
        (At(one), At(two)) if one == two => At(one),
        (Absent | Present | At(_) | Never, Absent | Present | At(_) | Never) => Never,
    }
}

#[cfg(test)]
mod tests;
