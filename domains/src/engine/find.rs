//! Finding a pair: from a key through the index to the record that has this very key.
//!
//! Contract: a result is exact. A fingerprint only names candidates; what is returned had its key compared. The one exception is
//! a full fingerprint where only presence matters (`record` not wanted): 73 bits of a keyed hash stand for the key then
//! (architecture D6; odds below 2^-13 that any two of 10^9 keys ever meet), so that an overwrite never reads what it replaces.

use super::core::Core;
use super::records::place_of;
use super::table::{Index, Table};
use crate::error::Error;
use crate::index::{Address, Loc};
use crate::schema::TableHome;
use crate::seam::{Pair, Tick};
use segments::record::{self, EXPIRY_BYTES, RECORD_HEADER_BYTES};
use segments::{Place, TableId, Version};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records that an operation has read from the device, kept by it so that the cache may forget them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(BTreeMap<Place, Arc<[u8]>>);

impl Known {
    pub(crate) fn add(&mut self, place: Place, record: Arc<[u8]>) {
        self.0.insert(place, record);
    }

    /// Whether nothing had to be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, place: Place) -> Option<&[u8]> {
        self.0.get(&place).map(|record| &**record)
    }
}

/// A record that was found, with its parts named inside its bytes.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    bytes: Cow<'a, [u8]>,
    key: (usize, usize),
    value: (usize, usize),
    pub(crate) version: Version,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) compressed: bool,
}

impl<'a> Found<'a> {
    /// Checks a record's bytes and names its parts.
    fn parse(bytes: Cow<'a, [u8]>) -> Result<Self, &'static str> {
        let (record, _) = record::decode(&bytes).map_err(|_| "its bytes are not what was written")?;
        let key_at = RECORD_HEADER_BYTES + if record.expires_ms.is_some() { EXPIRY_BYTES } else { 0 };
        let value_at = key_at + record.key.len();
        let (key, value) = ((key_at, value_at), (value_at, value_at + record.value.len()));
        let (version, expires_ms, compressed) = (record.version, record.expires_ms, record.compressed);
        Ok(Self { key, value, version, expires_ms, compressed, bytes })
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[self.key.0..self.key.1]
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.bytes[self.value.0..self.value.1]
    }

    pub(crate) fn record_bytes(&self) -> u64 {
        record::encoded_bytes(self.key().len(), self.value().len(), self.expires_ms.is_some()) as u64
    }

    pub(crate) fn is_expired(&self, now: Tick) -> bool {
        self.expires_ms.is_some_and(|at| at <= now.unix_ms)
    }

    pub(crate) fn to_pair(&self) -> Pair {
        Pair {
            key: self.key().to_vec(),
            value: self.value().to_vec(),
            version: self.version,
            expires_ms: self.expires_ms,
            compressed: self.compressed,
        }
    }
}

/// What is there under a key.
#[derive(Debug)]
pub(crate) enum Located<'a> {
    /// A pair. `found` is missing only where presence alone was asked for and the record is not in memory.
    Present { loc: Loc, found: Option<Found<'a>> },
    /// A pair whose time is over: absent to everybody, but its place is still indexed.
    Expired { loc: Loc },
    /// Nothing.
    Absent,
    /// It takes reading this place to know.
    Unread { place: Place },
}

impl Core {
    /// Finds the pair of a key. With `record` the record itself is wanted; without, whether and where it is.
    pub(crate) fn locate<'a>(
        &'a self,
        table: &'a Table,
        key: &[u8],
        known: &'a Known,
        record: bool,
        now: Tick,
    ) -> Result<Located<'a>, Error> {
        match &table.index {
            Index::Hash(index) => {
                let sure = index.trusts() && !record && !table.expires;
                for loc in index.candidates(self.hash.hash(key)) {
                    if sure {
                        return Ok(Located::Present { loc, found: None });
                    }
                    match self.found_at(table, loc, known)? {
                        None => return Ok(Located::Unread { place: place_of(loc) }),
                        Some(found) if found.key() == key => return Ok(in_time(loc, found, now)),
                        Some(_) => {}
                    }
                }
                Ok(Located::Absent)
            }
            Index::Ordered(index) => self.located_at(table, index.get(key), key, known, record, now),
            Index::Sack(index) => {
                let Some(address) = Address::decode(key) else { return Ok(Located::Absent) };
                self.located_at(table, index.get(address), key, known, record, now)
            }
        }
    }

    fn located_at<'a>(
        &'a self,
        table: &'a Table,
        loc: Option<Loc>,
        key: &[u8],
        known: &'a Known,
        record: bool,
        now: Tick,
    ) -> Result<Located<'a>, Error> {
        let Some(loc) = loc else { return Ok(Located::Absent) };
        if !record && !table.expires {
            return Ok(Located::Present { loc, found: None });
        }
        match self.found_at(table, loc, known)? {
            None => Ok(Located::Unread { place: place_of(loc) }),
            Some(found) if found.key() == key => Ok(in_time(loc, found, now)),
            Some(_) => Err(corrupt(table.info.id, loc, "it has another key than the index says")),
        }
    }

    /// The record at a location, when memory has it.
    pub(crate) fn found_at<'a>(
        &'a self,
        table: &Table,
        loc: Loc,
        known: &'a Known,
    ) -> Result<Option<Found<'a>>, Error> {
        let home = table.home();
        let from_known = match home {
            TableHome::Volatile => None,
            TableHome::Persistent => known.get(place_of(loc)).map(Cow::Borrowed),
        };
        let Some(bytes) = from_known.or_else(|| self.records.bytes(home, loc)) else { return Ok(None) };
        Found::parse(bytes).map(Some).map_err(|why| corrupt(table.info.id, loc, why))
    }

    /// A table by id.
    pub(crate) fn table(&self, table: TableId) -> Result<&Table, Error> {
        self.catalog.table(table).ok_or(Error::TableGone { table })
    }
}

fn in_time(loc: Loc, found: Found<'_>, now: Tick) -> Located<'_> {
    if found.is_expired(now) { Located::Expired { loc } } else { Located::Present { loc, found: Some(found) } }
}

fn corrupt(table: TableId, loc: Loc, why: &'static str) -> Error {
    Error::CorruptRecord { table, page: place_of(loc).page().0, why }
}
