//! What a checkpoint says of an engine, gathered in slices between operations.
//!
//! Contract: a slice is what the indexes say at its moment, whatever was said before and comes after; replay from where the checkpoint
//! begins makes up for what changed meanwhile. Pairs that are there from the first slice to the last are met exactly once.
//!
//! Order: the tables by their ids, so the catalog first; then what the device's segments are used for, the cuts, and the revertible
//! writes. These come last, for what they say must not be older than what the indexes say.

use crate::engine::catalog::CATALOG;
use crate::engine::core::Core;
use crate::engine::kept::WriteId;
use crate::engine::table::{Index, Table};
use crate::index::{Address, HashOrder, Loc};
use segments::checkpoint::{IndexKind, Item, SegmentUse};
use segments::map::{SegmentState, Use};
use segments::{EpochId, Place, SegmentId, TableId};
use std::ops::Bound;

/// Pairs of a slice: about twenty microseconds.
const PAIRS: usize = 1_024;
/// Of an ordered table, whose keys are written too.
const ORDERED_PAIRS: usize = 128;
/// Segments, cuts and revertible writes of a slice.
const OTHERS: usize = 1_024;

/// How far the gathering has come.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// Before this table.
    Table(TableId),
    Hash(TableId, HashOrder),
    Ordered(TableId, Vec<u8>),
    Sack(TableId, Address),
    /// Before this segment.
    Segments(u32),
    /// Behind so many cuts.
    Cuts(usize),
    Kept(Option<WriteId>),
    End,
}

/// What one slice says.
#[derive(Debug)]
pub(super) enum Slice {
    Table(TableId, IndexKind, TableFigures),
    Hash(TableId, Vec<(HashOrder, Loc)>),
    Ordered(TableId, Vec<(Vec<u8>, Loc)>),
    Sack(TableId, Vec<(Address, Loc)>),
    Segments(Vec<(SegmentId, SegmentState)>),
    Cuts(Vec<EpochId>),
    Kept(Vec<KeptItem>),
}

/// A table's figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableFigures {
    pairs: u64,
    record_bytes: u64,
    expires: bool,
    named: bool,
}

/// A revertible write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptItem {
    pub(crate) table: TableId,
    pub(crate) place: Place,
    pub(crate) previous: u64,
    pub(crate) until_ms: u64,
    pub(crate) bytes: u64,
}

impl At {
    pub(super) const START: Self = Self::Table(TableId(0));

    /// The next slice, and where the one after it begins; nothing at the end.
    pub(super) fn slice(&self, core: &Core) -> Option<(Slice, Self)> {
        match self {
            Self::Table(from) => match core.catalog.next_persistent(*from) {
                Some(table) => Some((figures(table), first_of(table))),
                None => Self::Segments(0).slice(core),
            },
            Self::Hash(id, from) => pairs_of_hash(core, *id, *from),
            Self::Ordered(id, from) => pairs_in_order(core, *id, from),
            Self::Sack(id, from) => pairs_of_sack(core, *id, *from),
            Self::Segments(from) => {
                let states = core.records.map.iter().skip(*from as usize).take(OTHERS);
                let states: Vec<_> = states.map(|(segment, state)| (segment, *state)).collect();
                let next = match states.last() {
                    Some((last, _)) if states.len() == OTHERS => Self::Segments(last.0 + 1),
                    Some(_) | None => Self::Cuts(0),
                };
                Some((Slice::Segments(states), next))
            }
            Self::Cuts(from) => {
                let cuts: Vec<_> = core.cuts.iter().skip(*from).take(OTHERS).collect();
                let next = if cuts.len() == OTHERS { Self::Cuts(from + OTHERS) } else { Self::Kept(None) };
                Some((Slice::Cuts(cuts), next))
            }
            Self::Kept(past) => {
                let (kept, last) = core.kept.persistent_after(*past, OTHERS);
                let next = if kept.len() == OTHERS { Self::Kept(last) } else { Self::End };
                Some((Slice::Kept(kept), next))
            }
            Self::End => None,
        }
    }
}

/// Where the pairs of a table begin.
fn first_of(table: &Table) -> At {
    let id = table.info.id;
    match &table.index {
        Index::Hash(_) => At::Hash(id, HashOrder::FIRST),
        Index::Ordered(_) => At::Ordered(id, Vec::new()),
        Index::Sack(_) => At::Sack(id, Address::FIRST),
    }
}

fn figures(table: &Table) -> Slice {
    let kind = match &table.index {
        Index::Hash(index) => index.skip().map_or(IndexKind::HashWide, |skip| IndexKind::HashCompact { skip }),
        Index::Ordered(_) => IndexKind::Ordered,
        Index::Sack(_) => IndexKind::Sack,
    };
    let Table { record_bytes, expires, named, .. } = *table;
    Slice::Table(table.info.id, kind, TableFigures { pairs: table.pairs(), record_bytes, expires, named })
}

/// Behind a table's pairs its figures are said once more: those of before may be older than what the slices between say.
fn behind(core: &Core, id: TableId) -> Option<(Slice, At)> {
    let next = id.0.checked_add(1).map_or(At::Segments(0), |next| At::Table(TableId(next)));
    match core.catalog.table(id) {
        Some(table) => Some((figures(table), next)),
        None => next.slice(core),
    }
}

fn pairs_of_hash(core: &Core, id: TableId, from: HashOrder) -> Option<(Slice, At)> {
    let Some(Table { index: Index::Hash(index), .. }) = core.catalog.table(id) else { return behind(core, id) };
    let mut batch = Vec::new();
    let more = index.scan(from, PAIRS, &mut batch);
    let Some((last, _)) = batch.last() else { return behind(core, id) };
    let after = index.after(*last).filter(|_| more);
    let next = after.map_or_else(|| behind_at(id), |from| At::Hash(id, from));
    Some((Slice::Hash(id, batch), next))
}

fn pairs_in_order(core: &Core, id: TableId, from: &[u8]) -> Option<(Slice, At)> {
    let Some(Table { index: Index::Ordered(index), .. }) = core.catalog.table(id) else { return behind(core, id) };
    let mut batch = Vec::new();
    // A table that is renamed is under another key: with the catalog in two slices it could be met in neither.
    let pairs = if id == CATALOG { usize::MAX } else { ORDERED_PAIRS };
    let more = index.next_batch(Bound::Included(from), pairs, &mut batch);
    let Some((last, _)) = batch.last() else { return behind(core, id) };
    let next = if more { At::Ordered(id, after(last)) } else { behind_at(id) };
    Some((Slice::Ordered(id, batch), next))
}

/// The least key behind a key.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn pairs_of_sack(core: &Core, id: TableId, from: Address) -> Option<(Slice, At)> {
    let Some(Table { index: Index::Sack(index), .. }) = core.catalog.table(id) else { return behind(core, id) };
    let mut batch = Vec::new();
    let more = index.next_batch(from, PAIRS, &mut batch);
    let Some((last, _)) = batch.last() else { return behind(core, id) };
    let next = last.after().filter(|_| more).map_or_else(|| behind_at(id), |from| At::Sack(id, from));
    Some((Slice::Sack(id, batch), next))
}

/// Where a table has no pairs any more: its last address is behind all of them.
fn behind_at(id: TableId) -> At {
    At::Sack(id, Address::from_bits(u64::MAX))
}

impl Slice {
    /// Pages that it takes at most, whatever page is open. Items do not straddle, so a page may be left with less than one unused.
    pub(super) fn pages_max(&self) -> u64 {
        let (items, longest) = match self {
            Self::Table(..) => (1, 64),
            Self::Hash(_, pairs) => (pairs.len(), 16),
            Self::Sack(_, pairs) => (pairs.len(), 16),
            Self::Ordered(_, pairs) => {
                (pairs.len(), 16 + pairs.iter().map(|(key, _)| key.len()).max().unwrap_or_default())
            }
            Self::Segments(states) => (states.len(), 32),
            Self::Cuts(cuts) => (cuts.len(), 16),
            Self::Kept(kept) => (kept.len(), 64),
        };
        let a_page = (segments::page::PAGE_PAYLOAD_BYTES - 64) / longest;
        items.div_ceil(a_page) as u64 + 1
    }

    /// Shows its items, each with the table that it is of.
    pub(super) fn each(&self, see: &mut dyn FnMut(TableId, &Item<'_>)) {
        match self {
            Self::Table(id, kind, TableFigures { pairs, record_bytes, expires, named }) => {
                let (kind, pairs, record_bytes) = (*kind, *pairs, *record_bytes);
                see(*id, &Item::Table { kind, pairs, record_bytes, expires: *expires, named: *named });
            }
            Self::Hash(id, pairs) => {
                for (order, loc) in pairs {
                    let (high, low) = order.to_parts();
                    see(*id, &Item::Hash { high, low, place: (*loc).into() });
                }
            }
            Self::Ordered(id, pairs) => {
                pairs.iter().for_each(|(key, loc)| see(*id, &Item::Ordered { key, place: (*loc).into() }));
            }
            Self::Sack(id, pairs) => {
                for (address, loc) in pairs {
                    see(*id, &Item::Sack { address: address.to_bits(), place: (*loc).into() });
                }
            }
            Self::Segments(states) => {
                for (segment, state) in states {
                    see(TableId(0), &item_of(*segment, state));
                }
            }
            Self::Cuts(cuts) => cuts.iter().for_each(|epoch| see(TableId(0), &Item::Cut { epoch: *epoch })),
            Self::Kept(kept) => {
                for KeptItem { table, place, previous, until_ms, bytes } in kept.iter().copied() {
                    see(TableId(0), &Item::Kept { table, place, previous, until_ms, bytes });
                }
            }
        }
    }
}

fn item_of(segment: SegmentId, state: &SegmentState) -> Item<'static> {
    let used = match (state.run, state.used) {
        (0, _) => SegmentUse::Body,
        (_, Use::Free) => SegmentUse::Free,
        (_, Use::Log) => SegmentUse::Log,
        (_, Use::Table) => SegmentUse::Table,
        (_, Use::Checkpoint) => SegmentUse::Checkpoint,
    };
    let SegmentState { records, pages, .. } = *state;
    let run = if state.used == Use::Free { 0 } else { state.run };
    Item::Segment { segment, run, used, named: state.named > 0, records, pages }
}
