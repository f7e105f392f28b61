//! Records of volatile tables: encoded like those of the log, each in memory of its own.
//!
//! Invariant: a handle names a record from `put` to `take`; then it may be given again. None is 0, which in a revertible record
//! means that there is no earlier one. Handles have the form of places, so that any slot holds them: the record of slot n is in
//! page n of memory.

use crate::index::Loc;
use segments::{PageNo, Place, Version, record};
use txn::PutOptions;

/// Where in its page of memory a record starts: anywhere but at 0.
const START: u16 = 8;

/// Records in memory, by handle.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    records: Vec<Option<Vec<u8>>>,
    free: Vec<u32>,
    bytes: usize,
}

impl Heap {
    /// Keeps a record and returns its handle.
    pub(crate) fn put(&mut self, record: Vec<u8>) -> Loc {
        self.bytes += record.capacity();
        let slot = if let Some(slot) = self.free.pop() {
            self.records[slot as usize] = Some(record);
            slot
        } else {
            self.records.push(Some(record));
            u32::try_from(self.records.len() - 1).expect("a volatile domain has at most 2^32 pairs")
        };
        Place::new(PageNo(u64::from(slot)), START, 1).into()
    }

    /// The record of a handle.
    pub(crate) fn get(&self, loc: Loc) -> &[u8] {
        self.records[slot_of(loc)].as_deref().expect("an index names records that are there")
    }

    /// Lets a record grow at its end; says how long it is now. It keeps room to grow on, so that many appends cost what they add.
    pub(crate) fn grow(&mut self, loc: Loc, version: Version, added: &[u8], options: PutOptions) -> usize {
        let record = self.records[slot_of(loc)].as_mut().expect("an index names records that are there");
        self.bytes -= record.capacity();
        record::grow(record, version, added, options.expires_ms, (options.compressed, options.compact));
        self.bytes += record.capacity();
        record.len()
    }

    /// Lets a record go.
    pub(crate) fn take(&mut self, loc: Loc) {
        let slot = slot_of(loc);
        let record = self.records[slot].take().expect("an index names records that are there");
        self.bytes -= record.capacity();
        self.free.push(u32::try_from(slot).expect("handles have 32 bits"));
    }

    /// Memory of the records.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn slot_of(loc: Loc) -> usize {
    usize::try_from(Place::from(loc).page().0).expect("handles have 32 bits")
}
