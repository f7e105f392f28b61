//! Replay: from records in the order of their log to indexes and catalog, as they were at the cut.
//!
//! Contract: only records of valid epochs count, the last of a key wins. Records of the last incarnation wait until it is known
//! that their epoch is not behind the cut: until a page or summary names it as persistent, or until the cut itself is known.
//!
//! Invariant: what waits is of epochs that were never announced, so it is bounded by what a domain may have in flight.

use super::failed;
use crate::engine::catalog::CATALOG;
use crate::engine::core::Core;
use crate::engine::find::Sought;
use crate::engine::records::extract;
use crate::engine::table::{Index, Table, point_hash};
use crate::error::Error;
use crate::index::{Address, KeyHash, Loc};
use crate::schema::TableHome;
use segments::blocking::Blocking;
use segments::cuts::{Cuts, Fate};
use segments::mutants::{Mutant, planted};
use segments::probes::{Probe, hit};
use segments::record::{self, Extents, RecordHead, RecordKind, Revertible};
use segments::summary::{ItemKind, SummaryItem, SummaryKey};
use segments::{EpochId, Incarnation, PageNo, Place, SegmentId, TableId};
use std::collections::VecDeque;
use std::sync::Arc;

/// A record's key, or the hash that a summary keeps for it.
#[derive(Debug)]
enum Named {
    Key(Box<[u8]>),
    Hash(KeyHash),
}

/// What replay needs of a record.
#[derive(Debug)]
struct Change {
    epoch: EpochId,
    is_pair: bool,
    table: TableId,
    named: Named,
    place: Place,
    expires: bool,
    revertible: Option<Revertible>,
    /// Of its record and what it names; where a summary stands for a record that names none, at most so many.
    bytes: u64,
    /// It names earlier records as the beginning of its value.
    extends: bool,
    /// Which, as they are encoded; a summary does not say.
    extents: Box<[u8]>,
}

/// Rebuilds a core from the records it is shown.
pub(super) struct Replay {
    core: Core,
    cuts: Cuts,
    last: Incarnation,
    announced: EpochId,
    waiting: VecDeque<Change>,
    dropped: u64,
    /// It begins with a checkpoint, which was written while commits went on.
    fuzzy: bool,
}

impl Replay {
    pub(super) fn new(core: Core, cuts: Cuts, fuzzy: bool) -> Self {
        let last = cuts.present();
        let announced = EpochId::base(last);
        Self { core, cuts, last, announced, waiting: VecDeque::new(), dropped: 0, fuzzy }
    }

    /// Whether a summary may stand for the data: it keeps hashes for keys, which will do only where a fingerprint is trusted.
    pub(super) fn takes_summaries(&self) -> bool {
        self.core.config.fingerprint_bits == 64
    }

    /// The records of a run come next: all of them, whatever a checkpoint has counted.
    pub(super) fn begin_run(&mut self, segment: SegmentId) {
        self.core.records.map.get_mut(segment).records = 0;
    }

    /// All records of a run have come; so many of its pages are the log's.
    pub(super) fn end_run(&mut self, segment: SegmentId, pages: u64) {
        self.core.records.map.get_mut(segment).pages = u32::try_from(pages).expect("a run's pages are counted in u32");
    }

    /// Takes a record of the log.
    pub(super) fn record(
        &mut self,
        device: &mut Blocking<'_>,
        head: &RecordHead<'_>,
        place: Place,
    ) -> Result<(), Error> {
        let change = Change {
            epoch: head.version.epoch,
            is_pair: head.kind != RecordKind::Tombstone,
            table: head.table,
            named: Named::Key(head.key.into()),
            place,
            expires: head.expires_ms.is_some(),
            revertible: head.revertible,
            bytes: head.live_bytes(),
            extends: !head.extents.is_empty(),
            extents: head.extents.bytes().into(),
        };
        self.core.records.map.put(place);
        self.take(device, change)
    }

    /// Takes a record of a summary, of so many bytes at most.
    pub(super) fn item(
        &mut self,
        device: &mut Blocking<'_>,
        item: &SummaryItem<'_>,
        bytes: usize,
    ) -> Result<(), Error> {
        let named = match item.key {
            SummaryKey::Key(key) => Named::Key(key.into()),
            SummaryKey::Hash(hash) => Named::Hash(KeyHash(hash)),
        };
        let change = Change {
            epoch: item.version.epoch,
            is_pair: item.kind == ItemKind::Pair,
            table: item.table,
            named,
            place: item.place,
            expires: item.expires_ms.is_some(),
            revertible: item.revertible,
            bytes: item.live_bytes.unwrap_or(bytes as u64),
            extends: item.live_bytes.is_some(),
            extents: Box::default(),
        };
        self.core.records.map.put(item.place);
        self.take(device, change)
    }

    /// Everything up to this epoch was announced as persistent.
    pub(super) fn announced(&mut self, device: &mut Blocking<'_>, epoch: EpochId) -> Result<(), Error> {
        self.announced = self.announced.max(epoch);
        while self.waiting.front().is_some_and(|change| change.epoch <= self.announced) {
            let change = self.waiting.pop_front().expect("just seen");
            self.apply(device, change)?;
        }
        Ok(())
    }

    /// The cut is known: what waits is applied up to it and dropped behind it.
    pub(super) fn cut(&mut self, device: &mut Blocking<'_>, cut: EpochId) -> Result<(), Error> {
        for change in core::mem::take(&mut self.waiting) {
            if change.epoch <= cut || planted(Mutant::ReplaysPastCut) {
                hit(Probe::KeptAtTheCut);
                self.apply(device, change)?;
            } else {
                hit(Probe::DroppedBehindTheCut);
                self.dropped += 1;
            }
        }
        Ok(())
    }

    /// The core as it was at the cut, and how many records were dropped.
    pub(super) fn finish(self) -> (Core, u64) {
        assert!(self.waiting.is_empty(), "the cut decided on everything that waited");
        (self.core, self.dropped)
    }

    fn take(&mut self, device: &mut Blocking<'_>, change: Change) -> Result<(), Error> {
        let of_last = change.epoch.incarnation() == self.last;
        if of_last && (change.epoch > self.announced || !self.waiting.is_empty()) {
            self.waiting.push_back(change);
            return Ok(());
        }
        let survived = self.cuts.fate(change.epoch) == Fate::Survived;
        if of_last || survived || planted(Mutant::ReplaysPastCut) {
            return self.apply(device, change);
        }
        Ok(())
    }

    fn apply(&mut self, device: &mut Blocking<'_>, change: Change) -> Result<(), Error> {
        if self.core.catalog.table(change.table).is_none_or(|table| table.home() == TableHome::Volatile) {
            hit(Probe::ReplayedWithoutTable);
            // Of a table that was destroyed since, or, before its catalog entry, of one that never was.
            return Ok(());
        }
        let table = self.core.catalog.table(change.table).expect("looked up above");
        let hash = match &change.named {
            Named::Key(key) => self.core.sought(table, key).hash,
            Named::Hash(hash) => Some(*hash),
        };
        let old = self.find(device, &change, hash)?;
        if let Some(old) = old {
            self.core.release(TableHome::Persistent, old);
        }
        let new = change.is_pair.then(|| Loc::from(change.place));
        let outdated = |table: &Table| match (&change.named, &table.index) {
            (Named::Key(key), Index::Sack(index)) => {
                Address::decode(key).is_some_and(|address| index.is_outdated(address))
            }
            _ => false,
        };
        // A checkpoint may be younger than where replay begins: it knows already that the slot has been given out again.
        if self.fuzzy && new.is_some() && outdated(self.core.catalog.table(change.table).expect("looked up above")) {
            return Ok(());
        }
        self.count(device, &change, old)?;
        let table = self.core.catalog.table_mut(change.table).expect("looked up above");
        table.expires |= change.expires;
        table.named |= change.extends || change.revertible.is_some();
        let (pairs_before, mean) = (table.pairs(), table.record_bytes_mean());
        match (&change.named, &mut table.index) {
            (Named::Key(key), Index::Hash(_) | Index::Ordered(_)) => table.point(Sought { key, hash }, old, new),
            (Named::Key(key), Index::Sack(index)) => {
                let address =
                    Address::decode(key).ok_or_else(|| damaged(change.place, "a sack's key is no address"))?;
                if let Some(new) = new {
                    hit(Probe::AddressRestored);
                    index.restore(address, new).map_err(|_| damaged(change.place, "a stale address"))?;
                } else {
                    index.remove(address);
                }
            }
            (Named::Hash(hashed), Index::Hash(index)) => point_hash(index, *hashed, old, new),
            (Named::Hash(_), Index::Ordered(_) | Index::Sack(_)) => {
                return Err(damaged(change.place, "a summary keeps a hash where the table needs the key"));
            }
        }
        let came = if change.is_pair { change.bytes } else { 0 };
        let went = table.pairs() < pairs_before + u64::from(change.is_pair);
        table.record_bytes = (table.record_bytes + came).saturating_sub(if went { mean } else { 0 });
        if let (Some(new), Some(revertible)) = (new, change.revertible)
            && !self.core.keeps(TableHome::Persistent, new)
        {
            hit(Probe::LeaseRestored);
            // What an append names lives with it anyway.
            self.core.keep(change.table, new, revertible, if change.extends { 0 } else { mean });
        }
        if change.table == CATALOG {
            self.catalog_changed(device, &change)?;
        }
        Ok(())
    }

    /// Keeps the account of what lives where.
    fn count(&mut self, device: &mut Blocking<'_>, change: &Change, old: Option<Loc>) -> Result<(), Error> {
        if change.is_pair {
            self.core.records.map.point(change.place);
        }
        if let Some(old) = old {
            self.core.records.map.unpoint(old.into());
        }
        if !change.extends || !change.extents.is_empty() {
            self.core.records.counts_named(Extents::new(&change.extents), change.revertible);
            return Ok(());
        }
        // A summary does not say which records the pair names.
        hit(Probe::NamesReadInReplay);
        let record = self.read(device, change.place)?;
        let head = record::head(&record).map_err(|_| damaged(change.place, "a record of the log"))?;
        self.core.records.counts_named(head.extents, change.revertible);
        Ok(())
    }

    /// Where the key's pair lies so far.
    fn find(&self, device: &mut Blocking<'_>, change: &Change, hash: Option<KeyHash>) -> Result<Option<Loc>, Error> {
        let table = self.core.catalog.table(change.table).expect("looked up by the caller");
        match (&change.named, &table.index) {
            (Named::Key(key), Index::Ordered(index)) => Ok(index.get(key)),
            (Named::Key(key), Index::Hash(index)) => {
                for loc in index.candidates(hash.expect("a key of a hash table comes with its hash")) {
                    if index.trusts() || self.key_at(device, table, loc)? == **key {
                        return Ok(Some(loc));
                    }
                }
                Ok(None)
            }
            (Named::Hash(hashed), Index::Hash(index)) if index.trusts() => Ok(index.candidates(*hashed).next()),
            (Named::Hash(hashed), Index::Hash(index)) => {
                for loc in index.candidates(*hashed) {
                    if table.hasher.hash(&self.key_at(device, table, loc)?) == *hashed {
                        return Ok(Some(loc));
                    }
                }
                Ok(None)
            }
            (Named::Key(key), Index::Sack(index)) => Ok(Address::decode(key).and_then(|address| index.get(address))),
            (Named::Hash(_), Index::Sack(_) | Index::Ordered(_)) => Ok(None),
        }
    }

    fn key_at(&self, device: &mut Blocking<'_>, table: &Table, loc: Loc) -> Result<Vec<u8>, Error> {
        hit(Probe::KeyReadInReplay);
        let record = self.read(device, Place::from(loc)).map_err(|error| error.in_table(table.info.id))?;
        let (record, _) = record::decode(&record).map_err(|_| damaged(Place::from(loc), "a record of the log"))?;
        Ok(record.key.to_vec())
    }

    fn read(&self, device: &mut Blocking<'_>, place: Place) -> Result<Arc<[u8]>, Error> {
        let pages = u64::from(place.pages()).min(device.pages() - place.page().0);
        let pages = usize::try_from(pages).expect("a record's pages fit memory");
        let read = device.read(PageNo(place.page().0), pages);
        let frames = read.map_err(|error| failed("reading a record", error))?;
        extract(&self.core.records.identity, &self.core.records.map, place, &frames)
    }

    fn catalog_changed(&mut self, device: &mut Blocking<'_>, change: &Change) -> Result<(), Error> {
        let Named::Key(key) = &change.named else { unreachable!("the catalog is an ordered table") };
        let record = if change.is_pair { Some(self.read(device, change.place)?) } else { None };
        let value = match &record {
            None => None,
            Some(record) => {
                let decoded = record::decode(record).map_err(|_| damaged(change.place, "a catalog record"))?;
                Some(decoded.0.value)
            }
        };
        let gone = self.core.catalog.changed(key, value, change.epoch).map_err(|why| damaged(change.place, why))?;
        let mut locs = Vec::new();
        if let Some(mut table) = gone.filter(|table| table.home() == TableHome::Persistent) {
            while table.dismantle(&mut locs) {
                for loc in locs.drain(..) {
                    self.core.release(TableHome::Persistent, loc);
                    self.core.records.map.unpoint(loc.into());
                }
            }
        }
        Ok(())
    }
}

fn damaged(place: Place, why: &'static str) -> Error {
    Error::CorruptRecord { table: TableId(0), page: place.page().0, why }
}
