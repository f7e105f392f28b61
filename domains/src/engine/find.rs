//! Finding a pair: from a key through the index to the record that has this very key.
//!
//! Contract: a result is exact. A fingerprint only names candidates; what is returned had its key compared. The one exception is
//! a full fingerprint where only presence matters ([`Want::Place`]): 73 bits of a keyed hash stand for the key then
//! (architecture D6; odds below 2^-13 that any two of 10^9 keys ever meet), so that an overwrite never reads what it replaces.
//! Of a key that the client hashed they are the key itself, and no two meet.

use super::core::Core;
use super::extend::OrPlaces;
use super::records::place_of;
use super::table::{Index, Table};
use crate::error::Error;
use crate::index::{Address, KeyHash, Loc};
use crate::schema::TableHome;
use crate::seam::{Pair, PairRef, Tick};
use segments::checksum;
use segments::mutants::{Mutant, planted};
use segments::probes::{Probe, hit};
use segments::record::{self, Extents, RecordKind, Revertible};
use segments::{PageNo, Place, TableId, Version};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use txn::PutOptions;

/// How much of a pair's record is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// Nothing: whether and where the pair is. Where pairs may expire that takes the head all the same.
    Place,
    /// Everything but the value: key, version, expiry, length.
    Head,
    /// The record as it lies there, the checksum of the value in it checked; not what its extents hold.
    Own,
    /// All of it, the value's checksum checked.
    Record,
}

/// A key on its way through the engine, with the hash that a hash table needs: computed once an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought<'k> {
    pub(crate) key: &'k [u8],
    /// In hash tables only.
    pub(crate) hash: Option<KeyHash>,
}

/// Records that an operation has read from the device, kept by it so that the cache may forget them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    records: BTreeMap<Place, Arc<[u8]>>,
    /// Whether they are kept without their values. A commit may compare 65,536 records of 64 MiB each; what it keeps of them is
    /// about as long as their keys, which its own set has too.
    heads_only: bool,
    /// Of those kept without their values, the exceptions: what an append, a revert or a seal is to write again.
    whole: BTreeSet<Place>,
}

impl Known {
    /// For an operation that wants no values.
    pub(crate) fn of_heads() -> Self {
        Self { heads_only: true, ..Self::default() }
    }

    /// From now on these records are kept with their values; the caller has them read.
    pub(crate) fn want_whole(&mut self, places: &[Place]) {
        for place in places {
            if self.whole.insert(*place) {
                self.records.remove(place);
            }
        }
    }

    /// Those of which all bytes are here.
    pub(crate) fn of_whole(&self) -> Self {
        let whole = |record: &Arc<[u8]>| record::head(record).is_ok_and(|head| head.record_bytes <= record.len());
        let records = self.records.iter().filter(|(_, record)| whole(record));
        let records = records.map(|(place, record)| (*place, Arc::clone(record))).collect();
        Self { records, ..Self::default() }
    }

    /// Forgets all but these.
    pub(crate) fn keep_only(&mut self, places: &BTreeSet<Place>) {
        self.records.retain(|place, _| places.contains(place));
    }

    /// Forgets what lies in these pages: other records will.
    pub(crate) fn forget(&mut self, pages: &Range<PageNo>) {
        let stays = |place: &Place| !pages.contains(&place.page());
        self.records.retain(|place, _| stays(place));
        self.whole.retain(stays);
    }

    pub(crate) fn add(&mut self, place: Place, record: Arc<[u8]>) {
        let kept = match record::head(&record) {
            Ok(head) if self.heads_only && !self.whole.contains(&place) => record[..head.value_at].into(),
            // What is damaged is found out by whoever looks at it.
            Ok(_) | Err(_) => record,
        };
        self.records.insert(place, kept);
    }

    /// Whether nothing had to be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records had to be read.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Memory of the records.
    pub(crate) fn bytes(&self) -> usize {
        self.records.values().map(|record| record.len()).sum()
    }

    pub(crate) fn get(&self, place: Place, want: Want) -> Option<&[u8]> {
        let whole = !self.heads_only || self.whole.contains(&place);
        self.records.get(&place).filter(|_| whole || !matches!(want, Want::Own | Want::Record)).map(|record| &**record)
    }
}

/// A record that was found, with its parts named inside its bytes.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    bytes: Cow<'a, [u8]>,
    extents: (usize, usize),
    key: (usize, usize),
    value: (usize, usize),
    /// The whole value, where it begins in extents.
    whole: Option<Vec<u8>>,
    pub(crate) version: Version,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) compressed: bool,
    pub(crate) compact: bool,
    pub(crate) revertible: Option<Revertible>,
    /// Bytes of the value that lies in the record itself.
    pub(crate) own_bytes: usize,
    /// Their checksum.
    pub(crate) value_crc: u32,
    /// Bytes of the whole value.
    pub(crate) total_bytes: usize,
    /// Of the whole record, its value and its extents included.
    pub(crate) live_bytes: u64,
}

/// A record that the index names: found, or what must be read first.
#[derive(Debug)]
pub(crate) enum Sight<'a> {
    Found(Found<'a>),
    Unread(Vec<Place>),
}

impl<'a> Found<'a> {
    /// Checks as much of a record's bytes as is wanted and names the parts; without the value's bytes its value is empty.
    fn parse(bytes: Cow<'a, [u8]>, table: TableId, want: Want) -> Result<Self, &'static str> {
        let damaged = |_| "its bytes are not what was written";
        let head = record::head(&bytes).map_err(damaged)?;
        if head.kind != RecordKind::Pair || head.table != table {
            return Err("it is not a pair of this table");
        }
        let mut value = (head.value_at, head.value_at);
        if matches!(want, Want::Own | Want::Record) {
            head.check_value(&bytes).map_err(damaged)?;
            value.1 += head.value_bytes;
        }
        let key = (head.value_at - head.key.len(), head.value_at);
        let extents = (key.0 - head.extents.len() * record::EXTENT_BYTES, key.0);
        let (version, expires_ms) = (head.version, head.expires_ms);
        let (compressed, compact) = (head.compressed, head.compact);
        let (own_bytes, value_crc, revertible) = (head.value_bytes, head.value_crc, head.revertible);
        let (total_bytes, live_bytes) = (head.total_bytes(), head.live_bytes());
        Ok(Self {
            extents,
            key,
            value,
            whole: None,
            version,
            expires_ms,
            compressed,
            compact,
            revertible,
            own_bytes,
            value_crc,
            total_bytes,
            live_bytes,
            bytes,
        })
    }

    /// The record in these bytes, every byte of it checked; what its extents hold is not there yet.
    pub(crate) fn stored(bytes: &'a [u8], table: TableId) -> Result<Self, &'static str> {
        Self::parse(Cow::Borrowed(bytes), table, Want::Own)
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[self.key.0..self.key.1]
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.whole.as_deref().unwrap_or_else(|| self.own())
    }

    /// The value that lies in the record itself.
    pub(crate) fn own(&self) -> &[u8] {
        &self.bytes[self.value.0..self.value.1]
    }

    /// The earlier records that its value begins in.
    pub(crate) fn extents(&self) -> Extents<'_> {
        Extents::new(&self.bytes[self.extents.0..self.extents.1])
    }

    /// The checksum of the whole value, made of those that its parts have had since they were written.
    pub(crate) fn whole_crc(&self) -> u32 {
        let parts = self.extents().iter().map(|extent| (extent.crc, extent.bytes as usize));
        let parts = parts.chain([(self.value_crc, self.own_bytes)]);
        parts.fold(0, |whole, (crc, bytes)| checksum::joined(whole, crc, bytes))
    }

    pub(crate) fn is_expired(&self, now: Tick) -> bool {
        self.expires_ms.is_some_and(|at| at <= now.unix_ms)
    }

    /// The pair, seen in place. What is to be packed no read tells.
    pub(crate) fn as_ref(&self) -> PairRef<'_> {
        let options = PutOptions { compact: false, ..self.options() };
        PairRef { value: self.value(), version: self.version, options }
    }

    /// What a write must be given to make the pair what it is.
    pub(crate) fn options(&self) -> PutOptions {
        let (expires_ms, compressed, compact) = (self.expires_ms, self.compressed, self.compact);
        PutOptions { expires_ms, compressed, compact, revertible_ms: None }
    }

    pub(crate) fn into_pair(mut self) -> Pair {
        let value = self.whole.take().unwrap_or_else(|| self.value().to_vec());
        Pair {
            key: self.key().to_vec(),
            value,
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
    /// It takes reading these places to know.
    Unread { places: Vec<Place> },
}

impl Core {
    /// A key to be found in a table.
    pub(crate) fn sought<'k>(&self, table: &Table, key: &'k [u8]) -> Sought<'k> {
        let hash = matches!(table.index, Index::Hash(_)).then(|| table.hasher.hash(key));
        Sought { key, hash }
    }

    /// Finds the pair of a key, and as much of its record as is wanted.
    pub(crate) fn locate<'a>(
        &'a self,
        table: &'a Table,
        sought: Sought<'_>,
        known: &'a Known,
        want: Want,
        now: Tick,
    ) -> Result<Located<'a>, Error> {
        match &table.index {
            Index::Hash(index) => {
                let hash = sought.hash.expect("a key sought in a hash table comes with its hash");
                let sure = index.trusts() && want == Want::Place && !table.expires;
                for loc in index.candidates(hash) {
                    if sure {
                        return Ok(Located::Present { loc, found: None });
                    }
                    match self.found_at(table, loc, known, want)? {
                        Sight::Unread(places) => return Ok(Located::Unread { places }),
                        Sight::Found(found) if found.key() == sought.key => return Ok(in_time(loc, found, now)),
                        Sight::Found(found) if index.confuses(table.hasher.hash(found.key()), hash) => {
                            hit(Probe::FingerprintsMeet)
                        }
                        Sight::Found(_) => return Err(corrupt(table.info.id, loc, OTHER_KEY)),
                    }
                }
                Ok(Located::Absent)
            }
            Index::Ordered(index) => self.located_at(table, index.get(sought.key), sought.key, known, want, now),
            Index::Sack(index) => {
                let Some(address) = Address::decode(sought.key) else { return Ok(Located::Absent) };
                self.located_at(table, index.get(address), sought.key, known, want, now)
            }
        }
    }

    fn located_at<'a>(
        &'a self,
        table: &'a Table,
        loc: Option<Loc>,
        key: &[u8],
        known: &'a Known,
        want: Want,
        now: Tick,
    ) -> Result<Located<'a>, Error> {
        let Some(loc) = loc else { return Ok(Located::Absent) };
        if want == Want::Place && !table.expires {
            return Ok(Located::Present { loc, found: None });
        }
        match self.found_at(table, loc, known, want)? {
            Sight::Unread(places) => Ok(Located::Unread { places }),
            Sight::Found(found) if found.key() == key => Ok(in_time(loc, found, now)),
            Sight::Found(_) => Err(corrupt(table.info.id, loc, OTHER_KEY)),
        }
    }

    /// The record at a location, when memory has it: a pair of this table. Whose key it is, is the caller's to check.
    pub(crate) fn found_at<'a>(
        &'a self,
        table: &Table,
        loc: Loc,
        known: &'a Known,
        want: Want,
    ) -> Result<Sight<'a>, Error> {
        let home = table.home();
        let from_known = match home {
            TableHome::Volatile => None,
            TableHome::Persistent => known.get(place_of(loc), want).map(Cow::Borrowed),
        };
        let Some(bytes) = from_known.or_else(|| self.records.bytes(home, loc)) else {
            return Ok(Sight::Unread(vec![place_of(loc)]));
        };
        let damaged = |why| corrupt(table.info.id, loc, why);
        let mut found = Found::parse(bytes, table.info.id, want).map_err(damaged)?;
        if want == Want::Record
            && let Err(places) = self.fill(table, &mut found, known).map_err(damaged)?
        {
            return Ok(Sight::Unread(places));
        }
        Ok(Sight::Found(found))
    }

    /// Puts the whole value of a record together, of which all but its extents is there; or says what must be read first.
    pub(crate) fn fill(
        &self,
        table: &Table,
        found: &mut Found<'_>,
        known: &Known,
    ) -> Result<OrPlaces<()>, &'static str> {
        if found.extents().is_empty() {
            return Ok(Ok(()));
        }
        let joined = self.joined(table, found.key(), found.extents().iter(), known, found.own_bytes)?;
        Ok(joined.map(|mut whole| {
            whole.extend_from_slice(found.own());
            found.whole = Some(whole);
        }))
    }

    /// The places of a record of a persistent table and of what it names, when memory has the record, whoever keeps it there.
    pub(crate) fn parts_of(&self, loc: Loc, known: &Known) -> Vec<Place> {
        let place = place_of(loc);
        let bytes = known.records.get(&place).map(|record| Cow::Borrowed(&**record));
        let Some(bytes) = bytes.or_else(|| self.records.bytes(TableHome::Persistent, loc)) else { return Vec::new() };
        let Ok(head) = record::head(&bytes) else { return Vec::new() };
        core::iter::once(place).chain(head.extents.iter().map(|extent| extent.place)).collect()
    }

    /// A table by id.
    pub(crate) fn table(&self, table: TableId) -> Result<&Table, Error> {
        self.catalog.table(table).ok_or(Error::TableGone { table })
    }
}

fn in_time(loc: Loc, found: Found<'_>, now: Tick) -> Located<'_> {
    if found.is_expired(now) && !planted(Mutant::ShowsWhatIsOver) {
        hit(Probe::PairIsOver);
        return Located::Expired { loc };
    }
    Located::Present { loc, found: Some(found) }
}

/// Why a record is not the one that the index led to.
pub(crate) const OTHER_KEY: &str = "it has another key than the index says";

/// The error of a record that is not what the index says.
pub(crate) fn corrupt(table: TableId, loc: Loc, why: &'static str) -> Error {
    Error::CorruptRecord { table, page: place_of(loc).page().0, why }
}
