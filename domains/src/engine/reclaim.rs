//! Reclaim: live records leave segments that are mostly dead, and the segments are free again.
//!
//! Contract (`design/transactions.md`): records are copied with the versions that they have, put in the order of their tables and keys,
//! into segments of their own; an index names the copy from when it is durable, if it still names the original; a segment that holds
//! nothing any more is given back when both kept checkpoints were begun after that was found, and no operation under way can have seen
//! a place in it. So nobody notices: neither values nor versions nor addresses change.
//!
//! What a record names moves with it: a value in several records becomes one again. Segments that hold what a revert may bring back, or
//! what an open transaction has written out, wait until that is over. A segment with a page that cannot be read stays as it is.
//!
//! Work goes in slices: so many pages looked through a turn, so many records pointed at anew.

use super::background::{Asks, Readers};
use super::checkpoint::Checkpoints;
use super::core::Core;
use super::passes::DEAD_PERCENT_MIN;
use super::table::{Index, Table};
use crate::error::Error;
use crate::index::{Address, Loc};
use crate::schema::TableHome;
use crate::seam::Tick;
use segments::log::LogIdentity;
use segments::map::SegmentState;
use segments::mutants::{Mutant, planted};
use segments::probes::{Probe, hit};
use segments::{DeviceError, Frames, Place, SegmentId, TableId};
use std::collections::BTreeSet;
use std::sync::Arc;

mod batch;
mod pack;
mod parts;

use batch::Batch;
use pack::Target;

/// Segments of one batch at most.
const VICTIMS_MAX: usize = 16;

/// All there is of reclaim.
#[derive(Debug)]
pub(crate) struct Reclaim {
    running: Option<Box<Batch>>,
    target: Target,
    /// Segments that hold nothing: when that was found, by the operations that had begun.
    empty: Vec<(SegmentId, u64)>,
    /// Batches since the log last had room, or none since.
    pub(crate) fruitless: u32,
    pub(crate) figures: Figures,
}

/// What has been done since the open.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Figures {
    pub(crate) segments_freed: u64,
    pub(crate) records_moved: u64,
    pub(crate) bytes_moved: u64,
    pub(crate) records_expired: u64,
    pub(crate) failed: u64,
}

impl Reclaim {
    pub(crate) fn new(identity: LogIdentity) -> Self {
        Self {
            running: None,
            target: Target::new(identity),
            empty: Vec::new(),
            fruitless: 0,
            figures: Figures::default(),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Segments that hold nothing and are not free yet.
    pub(crate) fn waiting(&self) -> usize {
        self.empty.len()
    }

    /// Looks for segments that hold nothing, and for a batch of those that hold least.
    pub(crate) fn look(&mut self, core: &mut Core, checkpoints: &Checkpoints, readers: Readers) {
        let begun = checkpoints.begun();
        let mut pinned = pinned(core);
        // Those of a batch are looked at when it is over.
        pinned.extend(self.running.iter().flat_map(|batch| batch.victims()).map(|victim| victim.segment));
        let mut candidates: Vec<(SegmentId, SegmentState)> = core
            .records
            .map
            .iter()
            .filter(|(segment, state)| state.is_candidate() && !pinned.contains(segment))
            .filter(|(_, state)| {
                state.not_before <= begun || core.passes.wants_look(false) && state.not_before < u32::MAX
            })
            .map(|(segment, state)| (segment, *state))
            .collect();
        let is_empty = |state: &SegmentState| state.live == 0 && state.named == 0;
        for (segment, _) in candidates.iter().filter(|(_, state)| is_empty(state)) {
            self.found_empty(core, *segment, begun, readers);
        }
        candidates.retain(|(_, state)| !is_empty(state));
        core.passes.begin(&candidates, self.figures, checkpoints);
        if self.running.is_none() {
            core.passes.narrow(&mut candidates);
            let victims = choose(core, candidates);
            core.passes.come_to(&victims);
            if !victims.is_empty() {
                hit(Probe::ReclaimBegins);
                self.fruitless += u32::from(core.short_of_space);
                self.running = Some(Box::new(Batch::new(core, victims)));
            }
        }
    }

    fn found_empty(&mut self, core: &mut Core, segment: SegmentId, begun: u32, readers: Readers) {
        core.records.map.get_mut(segment).empty_since = Some(begun);
        self.empty.push((segment, readers.next));
    }

    /// Goes on; says whether it can go on at once.
    pub(crate) fn step(&mut self, core: &mut Core, asks: &mut Asks, begun: u32, readers: Readers, now: Tick) -> bool {
        let Some(batch) = &mut self.running else { return false };
        if !batch.is_over() {
            return batch.step(core, asks, &mut self.target, &mut self.figures, now);
        }
        let batch = self.running.take().expect("it was running");
        self.target.settle(core);
        let pinned = pinned(core);
        for victim in batch.victims() {
            let state = core.records.map.get(victim.segment);
            let holds_nothing = state.live == 0 && state.named == victim.named && !pinned.contains(&victim.segment);
            let outrun = victim.named > 0 && batch.is_outrun(core);
            if holds_nothing && !victim.stays && !outrun {
                self.found_empty(core, victim.segment, begun, readers);
            } else {
                hit(Probe::VictimStays);
                core.records.map.get_mut(victim.segment).not_before = victim.not_before(begun);
            }
        }
        true
    }

    /// Whether there is a segment that no checkpoint needs any more: it is free as soon as nobody reads there.
    pub(crate) fn is_about_to_free(&self, core: &Core, oldest_kept: Option<u32>) -> bool {
        let since = |segment| core.records.map.get(segment).empty_since.expect("it was found empty");
        oldest_kept.is_some_and(|kept| self.empty.iter().any(|(segment, _)| kept > since(*segment)))
    }

    /// Gives back what nobody needs any more; says whether there was anything.
    pub(crate) fn free(&mut self, core: &mut Core, oldest_kept: Option<u32>, readers: Readers) -> bool {
        let is_free = |state: &SegmentState| {
            let since = state.empty_since.expect("it was found empty");
            oldest_kept.is_some_and(|kept| kept > since) || planted(Mutant::FreesAtOnce)
        };
        let map = &core.records.map;
        let at = self.empty.iter().position(|(segment, born)| *born <= readers.oldest && is_free(&map.get(*segment)));
        let Some(at) = at else { return false };
        let (segment, _) = self.empty.swap_remove(at);
        hit(Probe::SegmentFreed);
        let state = core.records.map.get(segment);
        assert!(state.live == 0 && state.sealed, "segment {segment} is given back and holds something: {state:?}");
        self.figures.segments_freed += u64::from(state.run);
        self.fruitless = 0;
        core.forget(segment, state.run);
        core.free_segment(segment);
        true
    }

    pub(crate) fn wants_flush(&self) -> bool {
        self.running.as_ref().is_some_and(|batch| batch.wants_flush())
    }

    pub(crate) fn sync(&mut self) {
        if let Some(batch) = &mut self.running {
            batch.sync();
        }
    }

    pub(crate) fn synced(&mut self) {
        if let Some(batch) = &mut self.running {
            batch.synced();
        }
    }

    pub(crate) fn written(&mut self, result: Result<(), DeviceError>) {
        self.running.as_mut().expect("what is moved is of a batch").written(result);
    }

    pub(crate) fn pages_came(&mut self, frames: Result<Frames, DeviceError>) {
        self.running.as_mut().expect("what is read is of a batch").pages_came(frames);
    }

    pub(crate) fn record_came(&mut self, place: Place, admitted: Result<Arc<[u8]>, Error>) {
        self.running.as_mut().expect("what is read is of a batch").record_came(place, admitted);
    }
}

/// Segments in which something lies that no index names and somebody may still want.
fn pinned(core: &Core) -> BTreeSet<SegmentId> {
    let map = &core.records.map;
    let places = core.kept.places().chain(core.stages.places());
    places.filter_map(|place| map.segment_of(place.page())).collect()
}

/// The segments of which most is dead, oldest first among equals: as many as there is to be won from, and to be held in memory.
fn choose(core: &Core, mut candidates: Vec<(SegmentId, SegmentState)>) -> Vec<SegmentId> {
    let least = if core.short_of_space || core.passes.is_moving() {
        DEAD_PERCENT_MIN
    } else {
        u32::from(core.config.reclaim_dead_percent)
    };
    let dead_percent = |state: &SegmentState| {
        let dead = u64::from(state.dead()) * 100 / u64::from(state.records.max(1));
        u32::try_from(dead).expect("at most a hundred")
    };
    let live_pages = |state: &SegmentState| {
        (u64::from(state.pages) * u64::from(state.live)).div_ceil(u64::from(state.records.max(1)))
    };
    // A run longer than a segment is of one large record, which would move to another run: it goes as a whole, when it is dead.
    candidates.retain(|(_, state)| state.run == 1 && dead_percent(state) >= least);
    candidates.sort_by_key(|(segment, state)| (std::cmp::Reverse(dead_percent(state)), *segment));
    let (mut victims, mut live) = (Vec::new(), 0);
    for (segment, state) in candidates {
        live += live_pages(&state);
        let enough = victims.len() == VICTIMS_MAX || live > u64::from(core.config.reclaim_batch_pages);
        if enough && !victims.is_empty() {
            break;
        }
        victims.push(segment);
    }
    // Moving is of no use when as much is written as is won.
    let segment_pages = u64::from(core.records.identity.geometry.segment_pages());
    let won = victims.len() as u64 * segment_pages > live + segment_pages / 4;
    if won || !core.short_of_space { victims } else { Vec::new() }
}

impl Core {
    /// Whether an index names this place under this key.
    fn names(&self, table: &Table, key: &[u8], place: Place) -> bool {
        let loc = Loc::from(place);
        match &table.index {
            Index::Hash(index) => index.candidates(table.hasher.hash(key)).any(|there| there == loc),
            Index::Ordered(index) => index.get(key) == Some(loc),
            Index::Sack(index) => Address::decode(key).and_then(|address| index.get(address)) == Some(loc),
        }
    }

    /// Makes an index name another place of the same record, or none, if it names this one; says whether it did.
    fn repoint(&mut self, table: TableId, key: &[u8], from: Place, to: Option<Place>) -> bool {
        let Some(entry) = self.catalog.table(table) else { return false };
        if !self.names(entry, key, from) {
            return false;
        }
        let sought = self.sought(entry, key);
        let entry = self.catalog.table_mut(table).expect("just seen");
        entry.point(sought, Some(Loc::from(from)), to.map(Loc::from));
        self.records.map.unpoint(from);
        if let Some(to) = to {
            self.records.map.point(to);
        }
        true
    }

    /// A pair whose time is over goes, if its record is still this one; says whether it was. Nothing is logged: after a crash it is over
    /// as well.
    fn let_expire(&mut self, table: TableId, key: &[u8], from: Place, bytes: u64) -> bool {
        if !self.repoint(table, key, from, None) {
            return false;
        }
        self.release(TableHome::Persistent, Loc::from(from));
        if let Some(table) = self.catalog.table_mut(table) {
            table.record_bytes = table.record_bytes.saturating_sub(bytes);
        }
        true
    }

    /// Nothing in a segment is asked for any more: what operations under way have read there they do not keep.
    fn forget(&mut self, segment: SegmentId, run: u32) {
        let geometry = self.records.identity.geometry;
        let (from, until) = (geometry.first_page(segment), geometry.first_page(SegmentId(segment.0 + run)));
        self.forgotten.push(from..until);
    }
}
