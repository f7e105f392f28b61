//! What commands see: the pairs that they name, as they were read and as the commands before them left them.
//!
//! Contract: a command reads and changes a view and nothing else, so it is a pure function; whatever it saw is compared when the
//! view becomes a commit set, so what it answered is what was committed. A key that no command reads is put blindly.
//!
//! Invariants: a key that a command reads was loaded or changed before.

use domains::{Pair, PairRef};
use segments::{TableId, Version};
use std::collections::BTreeMap;
use txn::{CommitSet, Expect, PutOptions, SetError};

/// A string and when it goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Value {
    pub(crate) bytes: Vec<u8>,
    /// Milliseconds since the Unix epoch.
    pub(crate) expires_ms: Option<u64>,
}

/// One key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Cell {
    /// What was read: a version, or that nothing is there. `None`: it was not read.
    seen: Option<Option<Version>>,
    value: Option<Value>,
    changed: bool,
    /// The value still begins with so many bytes that were read; what stands behind them was appended.
    kept: Option<usize>,
}

/// The pairs of one table that some commands name.
#[derive(Debug, Default)]
pub(crate) struct View {
    cells: BTreeMap<Box<[u8]>, Cell>,
    bytes: usize,
}

impl View {
    /// Takes what was read.
    pub(crate) fn load(&mut self, key: &[u8], pair: Option<&Pair>) {
        self.see(key, pair.map(Pair::as_ref));
    }

    /// Takes what memory showed.
    pub(crate) fn see(&mut self, key: &[u8], pair: Option<PairRef<'_>>) {
        let cell = match pair {
            Some(PairRef { value, version, options }) => {
                self.bytes += value.len();
                let kept = Some(value.len());
                let value = Value { bytes: value.to_vec(), expires_ms: options.expires_ms };
                Cell { seen: Some(Some(version)), value: Some(value), changed: false, kept }
            }
            None => Cell { seen: Some(None), ..Cell::default() },
        };
        self.cells.insert(key.into(), cell);
    }

    /// Bytes of the values that were loaded.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key's value as it is now.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Value> {
        let cell = self.cells.get(key).expect("a key that a command reads was loaded");
        cell.value.as_ref()
    }

    /// Gives the key a value.
    pub(crate) fn put(&mut self, key: &[u8], bytes: Vec<u8>, expires_ms: Option<u64>) {
        let cell = self.cells.entry(key.into()).or_default();
        cell.value = Some(Value { bytes, expires_ms });
        (cell.changed, cell.kept) = (true, None);
    }

    /// Makes the key's value so long, with zeros, and then adds bytes; returns how long it is then. What was read of it is not
    /// written again: the commit appends.
    pub(crate) fn append(&mut self, key: &[u8], from: usize, bytes: &[u8]) -> usize {
        let cell = self.cells.entry(key.into()).or_default();
        let value = cell.value.get_or_insert_default();
        assert!(from >= value.bytes.len(), "bytes of a value that are there are put, not appended");
        value.bytes.resize(from, 0);
        value.bytes.extend_from_slice(bytes);
        cell.changed = true;
        value.bytes.len()
    }

    /// Takes the key away; says whether it was there.
    pub(crate) fn delete(&mut self, key: &[u8]) -> bool {
        let cell = self.cells.entry(key.into()).or_default();
        (cell.changed, cell.kept) = (true, None);
        cell.value.take().is_some()
    }

    /// Whether a command has changed anything.
    pub(crate) fn is_changed(&self) -> bool {
        self.cells.values().any(Cell::is_changed)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Adds to a set what was seen, as compares, and what was changed.
    ///
    /// # Errors
    /// When the set does not take it.
    pub(crate) fn add_to(&self, set: &mut CommitSet, table: TableId) -> Result<(), SetError> {
        for (key, cell) in &self.cells {
            if let Some(seen) = cell.seen {
                set.compare(table, key, seen.map_or(Expect::Absent, Expect::At))?;
            }
            match (&cell.value, cell.kept) {
                _ if !cell.is_changed() => {}
                (Some(Value { bytes, .. }), Some(kept)) => {
                    set.append(table, key, &bytes[kept..], PutOptions::default(), Expect::Any)?;
                }
                (Some(Value { bytes, expires_ms }), None) => {
                    let options =
                        PutOptions { expires_ms: *expires_ms, compressed: false, compact: false, revertible_ms: None };
                    set.upsert(table, key, bytes, options)?;
                }
                (None, _) => set.remove(table, key)?,
            }
        }
        Ok(())
    }
}

impl Cell {
    /// Whether there is something to commit: taking away what was seen not to be there is nothing.
    fn is_changed(&self) -> bool {
        self.changed && !(self.value.is_none() && self.seen == Some(None))
    }
}
