//! The catalog: which tables there are. It is itself a table of the domain, number 0, so creating, renaming and destroying a
//! table are commits like any other, and recovery rebuilds the catalog as it rebuilds every table.
//!
//! Bytes: the key is the table's name, the record 4 bytes of table id (little-endian) and the spec's own encoding. The key of
//! one zero byte, which no name can be, holds the next id to be given: ids are never given twice.
//!
//! Invariants: a table is in `tables` exactly when its pair is in table 0; the id of a table is told to nobody before its
//! creation is persistent, for an id whose table was lost in a crash is given again.

use super::clients::REQUESTS;
use super::commit::{After, Commit};
use super::core::Core;
use super::ops::{Machine, ready};
use super::records::place_of;
use super::table::{Index, Table, Width};
use crate::error::Error;
use crate::index::HashConfig;
use crate::schema::limits::{KEY_FIELDS_MAX, RECORD_FIELDS_MAX};
use crate::schema::rules::{self, RULES_MAX};
use crate::schema::{TableHome, TableKind, TableSpec, compat};
use crate::seam::{Answer, Level, TableInfo};
use segments::superblock::Features;
use segments::{EpochId, TableId};
use std::collections::BTreeMap;
use txn::{CommitSet, PutOptions};

/// The catalog's own table.
pub(crate) const CATALOG: TableId = TableId(0);
/// Key of the next table id.
const NEXT_ID_KEY: &[u8] = &[0];
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Most addresses of one reservation: a block that a client keeps.
pub(crate) const RESERVE_MAX: u32 = 1024;

/// Pairs of a destroyed table whose memory one turn gives back, or a part of the index more: about as many microseconds.
const DISMANTLED_PAIRS_MIN: usize = 4_096;

/// All tables, by id and by name.
#[derive(Debug)]
pub(crate) struct Catalog {
    tables: BTreeMap<TableId, Table>,
    names: BTreeMap<String, TableId>,
    next_id: u32,
    hash: HashConfig,
    /// How wide the slots of persistent hash tables are.
    width: Width,
    /// How often a pair of table 0 has changed.
    changes: u64,
}

impl Catalog {
    /// A catalog with nothing in it but itself and the table of requests.
    pub(crate) fn new(home: TableHome, hash: HashConfig) -> Self {
        let own = |id, type_name: &str| {
            let spec = TableSpec { type_name: type_name.to_owned(), ..TableSpec::plain(TableKind::Ordered, home) };
            let info = TableInfo { id, name: String::new(), spec };
            (id, Table::new(info, &hash, EpochId::default(), Width::Wide))
        };
        let tables = BTreeMap::from([own(CATALOG, "catalog"), own(REQUESTS, "requests")]);
        Self { tables, names: BTreeMap::new(), next_id: 1, hash, width: Width::Wide, changes: 0 }
    }

    /// From now on the slots of every table are as wide as its type asks.
    pub(crate) fn narrow(&mut self) {
        self.width = Width::Asked;
        self.tables.values_mut().for_each(Table::narrow);
    }

    /// How often it has changed: whoever concluded something from it and then waited looks here whether that still holds.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.get(&id)
    }

    pub(crate) fn table_mut(&mut self, id: TableId) -> Option<&mut Table> {
        self.tables.get_mut(&id)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<TableId> {
        self.names.get(name).copied()
    }

    /// Every table of the user's, by name.
    fn named(&self) -> impl Iterator<Item = &Table> {
        self.names.values().map(|id| &self.tables[id])
    }

    /// The first persistent table from this id on.
    pub(crate) fn next_persistent(&self, from: TableId) -> Option<&Table> {
        self.tables.range(from..).map(|(_, table)| table).find(|table| table.home() == TableHome::Persistent)
    }

    /// Every table, the catalog first and that of requests last.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// Takes a change of table 0 in this epoch over: a table that came, went, got another name or more fields. Returns the one
    /// that went.
    pub(crate) fn changed(
        &mut self,
        key: &[u8],
        record: Option<&[u8]>,
        epoch: EpochId,
    ) -> Result<Option<Table>, &'static str> {
        self.changes += 1;
        if key == NEXT_ID_KEY {
            let bytes = record.and_then(|record| record.try_into().ok()).ok_or("the next table id is not a number")?;
            self.next_id = self.next_id.max(u32::from_le_bytes(bytes));
            return Ok(None);
        }
        let name = std::str::from_utf8(key).map_err(|_| "a table's name is not text")?;
        match record {
            Some(record) => self.put(name, record, epoch).map(|()| None),
            None => Ok(self.drop_name(name)),
        }
    }

    fn put(&mut self, name: &str, record: &[u8], epoch: EpochId) -> Result<(), &'static str> {
        let (id, spec) = decode(record)?;
        self.names.insert(name.to_owned(), id);
        if let Some(table) = self.tables.get_mut(&id) {
            name.clone_into(&mut table.info.name);
            table.info.spec = spec;
        } else {
            let width = if spec.home == TableHome::Volatile { Width::Asked } else { self.width };
            let info = TableInfo { id, name: name.to_owned(), spec };
            self.tables.insert(id, Table::new(info, &self.hash, epoch, width));
        }
        Ok(())
    }

    /// A name goes. The table goes with it, unless it has got another name in the same commit.
    fn drop_name(&mut self, name: &str) -> Option<Table> {
        let id = self.names.remove(name)?;
        let goes = self.tables.get(&id).is_some_and(|table| table.info.name == name);
        if goes { self.tables.remove(&id) } else { None }
    }
}

fn encode(id: TableId, spec: &TableSpec) -> Vec<u8> {
    let mut record = id.0.to_le_bytes().to_vec();
    record.extend_from_slice(&spec.to_bytes());
    record
}

fn decode(record: &[u8]) -> Result<(TableId, TableSpec), &'static str> {
    let (id, spec) = record.split_first_chunk().ok_or("a catalog record has no table id")?;
    let spec = TableSpec::from_bytes(spec).map_err(|_| "a table's spec cannot be read")?;
    Ok((TableId(u32::from_le_bytes(*id)), spec))
}

impl Core {
    /// Lets a commit's change of table 0 take effect. Of a table that goes, name and id are gone at once, and its memory goes in
    /// the turns that follow ([`Core::dismantle`]).
    pub(crate) fn catalog_changed(&mut self, key: &[u8], record: Option<&[u8]>, epoch: EpochId) {
        let gone = self.catalog.changed(key, record, epoch).expect("a commit of the engine's own is well formed");
        self.leaving.extend(gone);
    }

    /// Gives back some of the memory of tables that were destroyed; says whether there is more. One call takes parts of an index
    /// until they had so many pairs, so that a table of any size holds nobody up.
    pub(crate) fn dismantle(&mut self) -> bool {
        let (mut pairs, mut locs) = (0, Vec::new());
        while pairs < DISMANTLED_PAIRS_MIN {
            let Some(table) = self.leaving.last_mut() else { return false };
            if !table.dismantle(&mut locs) {
                self.leaving.pop();
                continue;
            }
            // An empty part costs something too.
            pairs += locs.len() + 1;
            let home = table.home();
            for loc in locs.drain(..) {
                self.release(home, loc);
                match home {
                    TableHome::Volatile => self.records.heap.take(loc),
                    TableHome::Persistent => self.records.map.unpoint(place_of(loc)),
                }
            }
        }
        true
    }

    /// Every table of the user's whose id may be told, by name.
    pub(crate) fn tables_told(&self) -> Vec<TableInfo> {
        self.catalog.named().filter(|table| self.is_told(table)).map(|table| table.info.clone()).collect()
    }

    /// Whether the id of this table may be told.
    pub(crate) fn is_told(&self, table: &Table) -> bool {
        self.is_persistent(table.created)
    }

    /// The epoch to wait for before the id of the table of this name may be told.
    pub(crate) fn untold(&self, name: &str) -> Option<EpochId> {
        let table = self.catalog.table(self.catalog.by_name(name)?)?;
        (!self.is_told(table)).then_some(table.created)
    }

    pub(crate) fn create_table(&mut self, name: String, spec: TableSpec) -> Result<Machine, Error> {
        check_name(&name)?;
        if self.catalog.by_name(&name).is_some() {
            return Err(Error::TableExists { name });
        }
        let mut spec = spec;
        if !self.capabilities().persistence {
            // Everything here is volatile; the table says so rather than promise more.
            spec.home = TableHome::Volatile;
        }
        check_spec(&spec)?;
        self.check_slots(&spec)?;
        let id = TableId(self.catalog.next_id);
        self.catalog.next_id += 1;
        let mut set = CommitSet::new();
        set.insert(CATALOG, name.as_bytes(), &encode(id, &spec), PutOptions::default())?;
        set.upsert(CATALOG, NEXT_ID_KEY, &self.catalog.next_id.to_le_bytes(), PutOptions::default())?;
        let features = features_of(&spec);
        let after = After::Table(Box::new(TableInfo { id, name, spec }));
        let commit = Commit::unchecked(self, set, Level::Persistent, after)?;
        Ok(Machine::Commit(Box::new(commit.using(features))))
    }

    /// Whether the slots that a table asks for tell all records of this store apart.
    fn check_slots(&self, spec: &TableSpec) -> Result<(), Error> {
        if !spec.has_compact_slots() || spec.home == TableHome::Volatile {
            return Ok(());
        }
        let (pages, pages_max) = (self.log().space().pages, self.config.compact_pages_max);
        if pages > pages_max { Err(Error::SlotsTooShort { pages, pages_max }) } else { Ok(()) }
    }

    pub(crate) fn open_table(&mut self, name: &str, wanted: Option<TableSpec>) -> Result<Machine, Error> {
        let info = self.info_of(name)?;
        let Some(mut wanted) = wanted else { return Ok(ready(Answer::Table(info))) };
        if !self.capabilities().persistence {
            wanted.home = TableHome::Volatile;
        }
        let merged = compat::merge(&info.spec, &wanted).map_err(|difference| Error::Incompatible {
            name: name.to_owned(),
            wanted: wanted.type_name.clone(),
            field: difference.field,
            why: difference.why,
        })?;
        if merged == info.spec {
            return Ok(ready(Answer::Table(info)));
        }
        check_spec(&merged)?;
        let mut set = CommitSet::new();
        set.update(CATALOG, name.as_bytes(), &encode(info.id, &merged), PutOptions::default())?;
        self.catalog_commit(set, After::Table(Box::new(TableInfo { spec: merged, ..info })))
    }

    pub(crate) fn rename_table(&mut self, from: &str, to: String) -> Result<Machine, Error> {
        check_name(&to)?;
        let info = self.info_of(from)?;
        if self.catalog.by_name(&to).is_some() {
            return Err(Error::TableExists { name: to });
        }
        let mut set = CommitSet::new();
        // The new name first: when the old one goes, the table has another already.
        set.insert(CATALOG, to.as_bytes(), &encode(info.id, &info.spec), PutOptions::default())?;
        set.delete(CATALOG, from.as_bytes())?;
        self.catalog_commit(set, After::Table(Box::new(TableInfo { name: to, ..info })))
    }

    pub(crate) fn destroy_table(&mut self, name: &str) -> Result<Machine, Error> {
        self.info_of(name)?;
        let mut set = CommitSet::new();
        set.delete(CATALOG, name.as_bytes())?;
        self.catalog_commit(set, After::Done)
    }

    /// Sets addresses of a sack aside.
    pub(crate) fn reserve(&mut self, table: TableId, count: u32) -> Result<Vec<[u8; 8]>, Error> {
        if count > RESERVE_MAX {
            let (value, limit) = (u64::from(count), u64::from(RESERVE_MAX));
            return Err(Error::Limit { what: "the number of addresses to reserve", value, limit });
        }
        let incarnation = self.horizon().incarnation;
        let entry = self.catalog.table_mut(table).ok_or(Error::TableGone { table })?;
        let Index::Sack(sack) = &mut entry.index else {
            return Err(Error::WrongKind { op: "a reservation", table, why: "only a sack gives addresses" });
        };
        let addresses = (0..count).map_while(|_| sack.reserve(incarnation)).map(|address| address.to_key()).collect();
        Ok(addresses)
    }

    fn info_of(&self, name: &str) -> Result<TableInfo, Error> {
        let id = self.catalog.by_name(name).ok_or_else(|| Error::NoSuchTable { name: name.to_owned() })?;
        Ok(self.catalog.tables[&id].info.clone())
    }

    fn catalog_commit(&mut self, set: CommitSet, after: After) -> Result<Machine, Error> {
        Ok(Machine::Commit(Box::new(Commit::unchecked(self, set, Level::Persistent, after)?)))
    }
}

/// What of a store somebody must understand who is to open it with such a table.
fn features_of(spec: &TableSpec) -> u64 {
    let client_hash = if spec.kind == TableKind::ClientHash { Features::CLIENT_HASH } else { 0 };
    let slots = if spec.has_compact_slots() { Features::COMPACT_SLOTS } else { 0 };
    client_hash | slots
}

/// What the catalog could not read again must not get into it.
pub(crate) fn check_spec(spec: &TableSpec) -> Result<(), Error> {
    let key = ("the number of fields of a key", spec.key.len(), KEY_FIELDS_MAX);
    let record = ("the number of fields of a record", spec.record.len(), RECORD_FIELDS_MAX);
    let rules = ("the number of rules of a table", spec.rules.len(), RULES_MAX);
    match [key, record, rules].into_iter().find(|(_, fields, limit)| fields > limit) {
        Some((what, fields, limit)) => Err(Error::Limit { what, value: fields as u64, limit: limit as u64 }),
        None => {
            spec.check_client_hash()?;
            spec.check_slots()?;
            rules::check(spec).map_err(|bad| Error::BadRule { field: bad.field, why: bad.why })
        }
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let bytes = name.len();
    if bytes == 0 || bytes > NAME_BYTES_MAX || name.starts_with('\0') {
        return Err(Error::TableName { bytes });
    }
    Ok(())
}
