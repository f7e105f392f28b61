//! A core out of an index checkpoint: what recovery begins with instead of the first page of the first log.
//!
//! Contract: the newest checkpoint that is whole serves; one that is not is passed over, and the core that it had begun to fill is
//! thrown away. What the checkpoint says of a table that its catalog does not know is passed over too: the table came after the catalog
//! was written, and replay brings it.

use super::failed;
use super::recovery::{core_for, scan_failed};
use crate::config::Config;
use crate::engine::catalog::CATALOG;
use crate::engine::checkpoint::Kept;
use crate::engine::core::Core;
use crate::engine::records::extract;
use crate::engine::table::{Index, Table};
use crate::error::Error;
use crate::index::hash::slot::Compact;
use crate::index::{Address, AnyHashIndex, CompactIndex, HashOrder, Loc};
use crate::schema::TableHome;
use segments::blocking::Blocking;
use segments::checkpoint::{self, Footer, FoundCheckpoint, IndexKind, Item, Read, SegmentUse};
use segments::log::scan::{DeviceIdentity, FoundRun, ScanError};
use segments::map::{Life, Use};
use segments::probes::{Probe, hit};
use segments::record::{self, Revertible};
use segments::segment::Purpose;
use segments::superblock::Superblock;
use segments::{EpochId, Place, SegmentId, TableId};
use std::collections::BTreeSet;

/// What was loaded.
pub(super) struct Loaded {
    pub(super) core: Core,
    /// The checkpoint's, if there was one.
    pub(super) footer: Option<Footer>,
    /// Checkpoints that are whole, the older first: two at most.
    pub(super) kept: Vec<Kept>,
    /// Cuts that it says.
    pub(super) cuts: Vec<EpochId>,
    /// Segments that were free when it was written.
    pub(super) free: BTreeSet<SegmentId>,
    /// Why others did not serve.
    pub(super) passed_over: Vec<String>,
}

/// Loads the newest checkpoint that is whole, or nothing.
pub(super) fn newest(
    device: &mut Blocking<'_>,
    identity: &DeviceIdentity,
    runs: &[FoundRun],
    config: &Config,
    superblock: &Superblock,
) -> Result<Loaded, Error> {
    let mut passed_over = Vec::new();
    let found = checkpoint::find(runs);
    for (number, candidate) in found.iter().enumerate() {
        let mut loading = Loading::new(core_with_map(config, superblock, runs, device.pages()));
        match loading.read(device, identity, candidate)? {
            Read::Whole(footer) => {
                hit(Probe::CheckpointServes);
                let older = found[number + 1..].iter().find_map(|older| whole(device, identity, older).transpose());
                let kept = older.transpose()?.into_iter().chain([kept_of(candidate)]).collect();
                let Loading { core, cuts, free, .. } = loading;
                return Ok(Loaded { core, footer: Some(footer), kept, cuts, free, passed_over });
            }
            Read::Not { why } => {
                hit(Probe::CheckpointPassedOver);
                passed_over.push(format!("checkpoint {} of {:?}: {why}", candidate.number, candidate.incarnation));
            }
        }
    }
    let core = core_with_map(config, superblock, runs, device.pages());
    let (kept, cuts, free) = (Vec::new(), Vec::new(), BTreeSet::new());
    Ok(Loaded { core, footer: None, kept, cuts, free, passed_over })
}

/// A checkpoint that is whole and does not serve: what it needs must stay.
fn whole(device: &mut Blocking<'_>, identity: &DeviceIdentity, found: &FoundCheckpoint) -> Result<Option<Kept>, Error> {
    let read = checkpoint::read(device, identity, found, &mut |_, _, _| Ok(())).map_err(scan_failed)?;
    Ok(matches!(read, Read::Whole(_)).then(|| kept_of(found)))
}

fn kept_of(found: &FoundCheckpoint) -> Kept {
    let segments = found.segments.iter().map(|run| run.run.segment).collect();
    Kept { incarnation: found.incarnation, number: found.number, segments }
}

/// A core that knows what its device's segments were used for last.
fn core_with_map(config: &Config, superblock: &Superblock, runs: &[FoundRun], device_pages: u64) -> Core {
    let mut core = core_for(config, superblock);
    for segment in 0..core.records.identity.geometry.segments_in(device_pages) {
        // Nothing is known of it. It may be used when nothing is found to name what lies there.
        core.records.map.begin(SegmentId(segment), 1, Use::Table, None);
        core.records.map.get_mut(SegmentId(segment)).sealed = true;
    }
    let mut runs: Vec<&FoundRun> = runs.iter().collect();
    // Where an earlier run reached over a segment, what came later holds.
    runs.sort_by_key(|run| (run.header.incarnation, run.header.first_seq));
    for run in runs {
        let used = match run.header.purpose {
            Purpose::Log => Use::Log,
            Purpose::Table => Use::Table,
            Purpose::Checkpoint => Use::Checkpoint,
        };
        let life = Life { incarnation: run.header.incarnation, first_seq: run.header.first_seq };
        let map = &mut core.records.map;
        map.begin(run.run.segment, run.run.segments, used, Some(life));
        let state = map.get_mut(run.run.segment);
        state.sealed = true;
        if used == Use::Table {
            // Nobody says how many: those that are of this life.
            state.pages = u32::try_from(run.run.pages()).expect("a segment's pages are counted in u32");
        }
    }
    core
}

/// A core that is being filled.
struct Loading {
    core: Core,
    cuts: Vec<EpochId>,
    free: BTreeSet<SegmentId>,
    failure: Option<Error>,
}

impl Loading {
    fn new(core: Core) -> Self {
        Self { core, cuts: Vec::new(), free: BTreeSet::new(), failure: None }
    }

    fn read(
        &mut self,
        device: &mut Blocking<'_>,
        identity: &DeviceIdentity,
        found: &FoundCheckpoint,
    ) -> Result<Read, Error> {
        let read = checkpoint::read(device, identity, found, &mut |device, table, item| {
            self.item(device, table, item).map_err(|error| {
                self.failure = Some(error);
                ScanError::Stopped
            })
        });
        match (read, self.failure.take()) {
            // What it says of a record that cannot be read says nothing of the checkpoint itself, but nothing can be made of it.
            (_, Some(error @ (Error::CorruptRecord { .. } | Error::CorruptStore { .. }))) => {
                Ok(Read::Not { why: error.to_string() })
            }
            (_, Some(error)) => Err(error),
            (read, None) => read.map_err(scan_failed),
        }
    }

    fn item(&mut self, device: &mut Blocking<'_>, id: TableId, item: Item<'_>) -> Result<(), Error> {
        match item {
            Item::Segment { segment, used, named, records, pages, .. } => {
                self.segment(segment, used, (named, records, pages));
                return Ok(());
            }
            Item::Cut { epoch } => {
                self.cuts.push(epoch);
                return Ok(());
            }
            Item::Kept { table, place, previous, until_ms, bytes } => {
                self.kept(table, place, Revertible { previous, until_ms }, bytes);
                return Ok(());
            }
            Item::Hash { .. } | Item::Ordered { .. } | Item::Sack { .. } | Item::Table { .. } => {}
        }
        let fingerprint_bits = self.core.hash.fingerprint_bits;
        let Some(table) = self.core.catalog.table_mut(id).filter(|table| table.home() == TableHome::Persistent) else {
            return Ok(());
        };
        let misfit = || Error::CorruptStore { why: format!("a checkpoint's pairs of table {id} are of another kind") };
        let (place, before) = match (item, &mut table.index) {
            (Item::Table { kind, record_bytes, expires, named, .. }, _) => {
                table.record_bytes = record_bytes;
                table.expires |= expires;
                table.named |= named;
                return prepare(table, kind, fingerprint_bits).ok_or_else(misfit);
            }
            (Item::Hash { high, low, place }, Index::Hash(index)) => {
                let loc = Loc::from(place);
                if index.is_compact() && !Compact::reaches(loc) {
                    return Err(misfit());
                }
                index.insert_at(HashOrder::from_parts(high, low), loc);
                (place, None)
            }
            (Item::Ordered { key, place }, Index::Ordered(index)) => (place, index.insert(key, Loc::from(place))),
            (Item::Sack { address, place }, Index::Sack(index)) => {
                let address = Address::from_bits(address);
                (place, index.restore(address, Loc::from(place)).map_err(|_| misfit())?)
            }
            (_, Index::Hash(_) | Index::Ordered(_) | Index::Sack(_)) => return Err(misfit()),
        };
        if before.is_some() {
            return Err(misfit());
        }
        self.core.records.map.point(place);
        match (item, id) {
            (Item::Ordered { key, .. }, CATALOG) => self.catalog(device, key, place),
            (_, _) => Ok(()),
        }
    }

    /// What the catalog says of a table, or of the next one's id.
    fn catalog(&mut self, device: &mut Blocking<'_>, key: &[u8], place: Place) -> Result<(), Error> {
        let damaged = |why| Error::CorruptRecord { table: CATALOG, page: place.page().0, why };
        let pages = u64::from(place.pages()).min(device.pages().saturating_sub(place.page().0));
        let pages = usize::try_from(pages).expect("a record's pages fit memory");
        if pages == 0 {
            return Err(damaged("it lies behind the device's end"));
        }
        let frames = match device.read(place.page(), pages) {
            Ok(frames) => frames,
            Err(error) if error.is_local() => return Err(damaged("it cannot be read")),
            Err(error) => return Err(failed("reading a record", error)),
        };
        let record = extract(&self.core.records.identity, &self.core.records.map, place, &frames)?;
        let (record, _) = record::decode(&record).map_err(|_| damaged("a catalog record"))?;
        if record.key != key {
            return Err(damaged("it has another key than the checkpoint says"));
        }
        let epoch = record.version.epoch;
        self.core.catalog.changed(key, Some(record.value), epoch).map(drop).map_err(damaged)
    }

    fn segment(&mut self, segment: SegmentId, used: SegmentUse, (named, records, pages): (bool, u32, u32)) {
        if used == SegmentUse::Free {
            self.free.insert(segment);
            return;
        }
        let map = &mut self.core.records.map;
        let state = map.get(segment);
        let same = match used {
            // Where the header is damaged nothing but this says what lies there.
            SegmentUse::Log => state.used == Use::Log || state.life.is_none(),
            SegmentUse::Table => state.used == Use::Table,
            SegmentUse::Free | SegmentUse::Checkpoint | SegmentUse::Body => false,
        };
        if same && state.run > 0 && segment.0 < map.len() {
            let state = map.get_mut(segment);
            state.records = records;
            if used == SegmentUse::Log {
                state.pages = pages;
            }
            if named {
                map.name(Place::new(self.core.records.identity.geometry.first_page(segment), 80, 1));
            }
        }
    }

    fn kept(&mut self, table: TableId, place: Place, revertible: Revertible, bytes: u64) {
        let there = self.core.catalog.table(table).is_some_and(|table| table.home() == TableHome::Persistent);
        if there && !self.core.keeps(TableHome::Persistent, Loc::from(place)) {
            self.core.keep(table, Loc::from(place), revertible, bytes);
        }
    }
}

/// Makes a table's index one that its pairs fit in; nothing where it cannot be.
fn prepare(table: &mut Table, kind: IndexKind, fingerprint_bits: u8) -> Option<()> {
    match (kind, &mut table.index) {
        (IndexKind::HashCompact { skip }, Index::Hash(index)) => {
            if index.is_empty() && !index.is_compact() {
                *index = AnyHashIndex::Compact(CompactIndex::with_skip(fingerprint_bits, skip)?);
            }
            Some(())
        }
        (IndexKind::HashWide, Index::Hash(_))
        | (IndexKind::Ordered, Index::Ordered(_))
        | (IndexKind::Sack, Index::Sack(_)) => Some(()),
        (_, Index::Hash(_) | Index::Ordered(_) | Index::Sack(_)) => None,
    }
}
