//! What revertible writes keep: of each that is not sealed, reverted, superseded or past its lease, the record before it.
//!
//! Contract: a revertible write is told of by [`Core::keep`] and forgotten by [`Core::release`], whatever ends it; the end of a
//! lease is noticed when an operation comes or a turn is taken ([`Core::end_leases`]). Whether a write can be reverted is not
//! decided here but by its record.
//!
//! Invariants: a write is listed while its record is the pair's and its lease has not been seen to end; the earlier record of a
//! volatile table lies in the heap as long as its write is listed, and not longer; `bytes` is the sum over the list.

use super::checkpoint::KeptItem;
use super::core::Core;
use super::records::place_of;
use crate::error::Error;
use crate::index::Loc;
use crate::schema::TableHome;
use crate::seam::Tick;
use segments::record::Revertible;
use segments::{Place, TableId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Revertible writes at a time: what is known of each takes about 150 bytes of memory, so this is 10 MiB.
const WRITES_MAX: usize = 65_536;

/// Leases whose end is noticed in one go.
const ENDED_AT_ONCE: usize = 256;

/// A revertible write, by where its record lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WriteId {
    volatile: bool,
    loc: u64,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    table: TableId,
    revertible: Revertible,
    bytes: u64,
}

/// All revertible writes whose state before is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    writes: BTreeMap<WriteId, Write>,
    by_end: BTreeSet<(u64, WriteId)>,
    bytes: u64,
    /// How many there ever were.
    made: u64,
}

impl Kept {
    /// How many there are.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.len() as u64
    }

    /// How many there ever were.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Bytes of the records that they keep.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether so many more may be kept.
    pub(crate) fn check(&self, writes: usize, bytes: u64, bytes_max: u64) -> Result<(), Error> {
        if writes > 0 && (self.writes.len() + writes > WRITES_MAX || self.bytes + bytes > bytes_max) {
            return Err(Error::KeptFull { writes: self.writes(), bytes: self.bytes });
        }
        Ok(())
    }

    /// Those of persistent tables behind this one, so many at most, and the last of them.
    pub(crate) fn persistent_after(&self, past: Option<WriteId>, max: usize) -> (Vec<KeptItem>, Option<WriteId>) {
        let from = past.map_or(Bound::Unbounded, Bound::Excluded);
        let writes = self.writes.range((from, Bound::Unbounded)).take_while(|(id, _)| !id.volatile).take(max);
        let mut last = None;
        let items = writes.map(|(id, write)| {
            last = Some(*id);
            let Write { table, revertible: Revertible { previous, until_ms }, bytes } = *write;
            KeptItem { table, place: Place::from_bits(id.loc), previous, until_ms, bytes }
        });
        (items.collect(), last)
    }

    /// The places in the log of the records that revertible writes keep, and of those writes themselves.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        let persistent = self.writes.iter().take_while(|(id, _)| !id.volatile);
        persistent.flat_map(|(id, write)| {
            let previous = write.revertible.previous;
            [Some(id.loc), (previous != 0).then_some(previous)].into_iter().flatten().map(Place::from_bits)
        })
    }

    fn take(&mut self, id: WriteId) -> Option<Write> {
        let write = self.writes.remove(&id)?;
        let listed = self.by_end.remove(&(write.revertible.until_ms, id));
        assert!(listed, "every write is listed by the end of its lease");
        self.bytes -= write.bytes;
        Some(write)
    }
}

fn id_of(home: TableHome, loc: Loc) -> WriteId {
    match home {
        TableHome::Volatile => WriteId { volatile: true, loc: loc.to_bits() },
        TableHome::Persistent => WriteId { volatile: false, loc: place_of(loc).to_bits() },
    }
}

impl Core {
    /// A revertible write was put at `loc`, and the record before it took so many bytes.
    pub(crate) fn keep(&mut self, table: TableId, loc: Loc, revertible: Revertible, bytes: u64) {
        let entry = self.catalog.table_mut(table).expect("a record of a table that is there");
        let bytes = if revertible.previous == 0 { 0 } else { bytes };
        entry.kept_bytes += bytes;
        let id = id_of(entry.home(), loc);
        self.kept.bytes += bytes;
        self.kept.made += 1;
        let before = self.kept.writes.insert(id, Write { table, revertible, bytes });
        assert!(before.is_none(), "{id:?} is listed twice");
        self.kept.by_end.insert((revertible.until_ms, id));
    }

    /// Whether the revertible write whose record lies at `loc` can still be reverted.
    pub(crate) fn keeps(&self, home: TableHome, loc: Loc) -> bool {
        self.kept.writes.contains_key(&id_of(home, loc))
    }

    /// The record at `loc` is no revertible write any more, if it was one: what it kept is let go.
    pub(crate) fn release(&mut self, home: TableHome, loc: Loc) {
        if let Some(write) = self.kept.take(id_of(home, loc)) {
            self.let_go(home, write);
        }
    }

    /// Lets go what is kept by writes whose lease has ended; says whether there may be more of them.
    pub(crate) fn end_leases(&mut self, now: Tick) -> bool {
        for _ in 0..ENDED_AT_ONCE {
            let Some(&(until_ms, id)) = self.kept.by_end.first() else { return false };
            if until_ms > now.unix_ms {
                return false;
            }
            let write = self.kept.take(id).expect("whatever is listed by its end is listed");
            let home = if id.volatile { TableHome::Volatile } else { TableHome::Persistent };
            self.let_go(home, write);
        }
        true
    }

    fn let_go(&mut self, home: TableHome, write: Write) {
        // Of a table on its way out of memory nothing is counted any more.
        if let Some(table) = self.catalog.table_mut(write.table) {
            table.kept_bytes -= write.bytes;
        }
        if home == TableHome::Volatile && write.revertible.previous != 0 {
            self.records.heap.take(Loc::new(write.revertible.previous));
        }
    }
}
