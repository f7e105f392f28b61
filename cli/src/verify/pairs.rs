//! The pairs that a store's logs say there are: the last valid record of each key, as plain as it can be kept.
//!
//! Contract: records come in the order of their log, incarnation after incarnation. A record of the last incarnation counts when
//! its epoch was announced or lies before the cut; until that is known it waits.
//! Where the log begins behind a checkpoint, the pairs that this names come first, whatever their epochs: all of them survived.
//! This is a second, simple way to the same answer as the engine's recovery, from the data alone and never from summaries.

use domains::schema::TableSpec;
use segments::checksum::checksum;
use segments::cuts::{Cuts, Fate};
use segments::record::{Extent, RecordHead, RecordKind};
use segments::{EpochId, Incarnation, Place, TableId, Version};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// The catalog's own table.
const CATALOG: TableId = TableId(0);
/// The table of the requests that were applied once.
const REQUESTS: TableId = TableId(u32::MAX);

/// A record of the log, as much of it as is compared.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) table: TableId,
    pub(crate) key: Box<[u8]>,
    pub(crate) version: Version,
    pub(crate) place: Place,
    /// Of a pair: the length and checksum of the value that lies in its record; none of a tombstone.
    pub(crate) value: Option<(usize, u32)>,
    /// The same of what comes before it, which lies in earlier records.
    pub(crate) parts: Box<[Extent]>,
    /// Of a record with such parts: the bytes of log that live as long as it does.
    pub(crate) live_bytes: Option<u64>,
    pub(crate) expires_ms: Option<u64>,
    /// The value itself, of the catalog's own records.
    pub(crate) catalog: Option<Box<[u8]>>,
}

impl Seen {
    /// What is compared of a record that lies at a place.
    pub(crate) fn of(head: &RecordHead<'_>, place: Place, record: &[u8]) -> Self {
        let has_value = matches!(head.kind, RecordKind::Pair | RecordKind::Extent);
        let value = &record[head.value_at..head.value_at + head.value_bytes];
        Self {
            table: head.table,
            key: head.key.into(),
            version: head.version,
            place,
            value: has_value.then_some((head.value_bytes, head.value_crc)),
            parts: head.extents.iter().collect(),
            live_bytes: (!head.extents.is_empty()).then(|| head.live_bytes()),
            expires_ms: head.expires_ms,
            catalog: (head.table == CATALOG && head.kind == RecordKind::Pair).then(|| value.into()),
        }
    }
}

/// A pair that is there.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) version: Version,
    pub(crate) place: Place,
    value: (usize, u32),
    parts: Box<[Extent]>,
    pub(crate) expires_ms: Option<u64>,
    catalog: Option<Box<[u8]>>,
}

impl Live {
    /// Whether a value is, part by part, what the log has.
    pub(crate) fn has_value(&self, value: &[u8]) -> bool {
        let mut rest = value;
        let parts = self.parts.iter().map(|extent| (extent.bytes as usize, extent.crc));
        let whole = parts.chain([self.value]).all(|(bytes, crc)| {
            let Some((part, behind)) = rest.split_at_checked(bytes) else { return false };
            rest = behind;
            checksum(0, part) == crc
        });
        whole && rest.is_empty()
    }
}

/// All pairs, by table and key.
#[derive(Debug)]
pub(crate) struct Pairs {
    cuts: Cuts,
    last: Incarnation,
    announced: EpochId,
    waiting: VecDeque<Seen>,
    live: HashMap<TableId, HashMap<Box<[u8]>, Live>>,
    pub(crate) behind_cut: u64,
}

impl Pairs {
    pub(crate) fn new(cuts: Cuts) -> Self {
        let last = cuts.present();
        Self {
            cuts,
            last,
            announced: EpochId::base(last),
            waiting: VecDeque::new(),
            live: HashMap::new(),
            behind_cut: 0,
        }
    }

    /// Takes a pair that a checkpoint names: what the log says from there on comes after it.
    pub(crate) fn base(&mut self, seen: Seen) {
        self.apply(seen);
    }

    /// The records that are the beginnings of values of pairs that are there, each with its table.
    pub(crate) fn extents(&self) -> Vec<(TableId, Extent)> {
        let tables = self.tables();
        let mut extents = Vec::new();
        for (table, pairs) in self.live.iter().filter(|(table, _)| tables.contains_key(*table)) {
            extents.extend(pairs.values().flat_map(|live| &live.parts).map(|extent| (*table, *extent)));
        }
        extents
    }

    /// Takes a record.
    pub(crate) fn take(&mut self, seen: Seen) {
        let epoch = seen.version.epoch;
        if epoch.incarnation() == self.last {
            self.waiting.push_back(seen);
            self.settle();
        } else if self.cuts.fate(epoch) == Fate::Survived {
            self.apply(seen);
        } else {
            self.behind_cut += 1;
        }
    }

    /// Up to this epoch everything of the last incarnation was announced.
    pub(crate) fn announced(&mut self, epoch: EpochId) {
        if epoch.incarnation() == self.last && epoch > self.announced {
            self.announced = epoch;
            self.settle();
        }
    }

    /// The last epoch of the last incarnation that a page announced.
    pub(crate) fn announced_last(&self) -> EpochId {
        self.announced
    }

    /// The cut of the last incarnation decides on what waits.
    pub(crate) fn cut(&mut self, cut: EpochId) {
        for seen in std::mem::take(&mut self.waiting) {
            if seen.version.epoch <= cut {
                self.apply(seen);
            } else {
                self.behind_cut += 1;
            }
        }
    }

    fn settle(&mut self) {
        while self.waiting.front().is_some_and(|seen| seen.version.epoch <= self.announced) {
            let seen = self.waiting.pop_front().expect("just seen");
            self.apply(seen);
        }
    }

    fn apply(&mut self, seen: Seen) {
        let table = self.live.entry(seen.table).or_default();
        match seen.value {
            Some(value) => {
                let (version, place, expires_ms) = (seen.version, seen.place, seen.expires_ms);
                let live = Live { version, place, value, parts: seen.parts, expires_ms, catalog: seen.catalog };
                table.insert(seen.key, live);
            }
            None => drop(table.remove(&seen.key)),
        }
    }

    /// The tables of the catalog.
    pub(crate) fn tables(&self) -> BTreeMap<TableId, (String, Option<TableSpec>)> {
        let mut tables = BTreeMap::new();
        for (key, live) in self.live.get(&CATALOG).into_iter().flatten() {
            let Ok(name) = std::str::from_utf8(key) else { continue };
            let Some((id, spec)) = live.catalog.as_deref().and_then(|record| record.split_first_chunk::<4>()) else {
                continue;
            };
            // A key that begins with a zero byte is the catalog's own bookkeeping, and no table.
            if !name.starts_with('\0') {
                let id = TableId(u32::from_le_bytes(*id));
                tables.insert(id, (name.to_owned(), TableSpec::from_bytes(spec).ok()));
            }
        }
        tables
    }

    /// Names of tables, the catalog's too.
    pub(crate) fn names(&self) -> Vec<(TableId, String)> {
        let tables = self.tables().into_iter().map(|(id, (name, _))| (id, name));
        tables.chain([(CATALOG, "the catalog".to_owned()), (REQUESTS, "the requests of clients".to_owned())]).collect()
    }

    /// Takes a table's pairs out.
    pub(crate) fn take_table(&mut self, table: TableId) -> HashMap<Box<[u8]>, Live> {
        self.live.remove(&table).unwrap_or_default()
    }
}
