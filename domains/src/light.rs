//! The light domain: tables as linked lists, for the smallest uses and as the baseline that needs no explanation.
//!
//! Contract: the same operations and answers as every domain. A commit set is applied in order and at once; there is nothing to
//! abort and nothing becomes persistent, so both are refused where they are asked for, never ignored.
//!
//! Every table is one list in key order; finding a pair walks it.

use crate::engine::catalog::RESERVE_MAX;
use crate::engine::chain::Links;
use crate::engine::extend::check_total;
use crate::engine::many::{self, Budget};
use crate::engine::ops::{pointer_key, pointer_table};
use crate::error::{Error, Failure};
use crate::index::{Address, SackIndex};
use crate::ranges::{self, Ranges};
use crate::schema::{TableHome, TableKind, TableSpec, compat};
use crate::seam::{
    Answer, Capabilities, Chain, Committed, Cursor, Direction, Domain, Followed, Horizon, Level, Op, OpId, Pair,
    PairRef, Persistence, Seen, Segments, Status, Stored, TableInfo, TableStatus, Tick, Versions,
};
use list::List;
use segments::{EpochId, Incarnation, Ordinal, TableId, Version};
use std::collections::BTreeMap;
use txn::{Change, CommitSet, Expect, Part};

mod list;

/// The only incarnation of a light domain.
const INCARNATION: Incarnation = Incarnation(1);

#[derive(Debug)]
struct Table {
    info: TableInfo,
    pairs: List,
    /// Gives a sack its addresses; unused otherwise.
    addresses: SackIndex,
}

/// Tables as linked lists.
#[derive(Debug)]
pub struct Light {
    tables: BTreeMap<TableId, Table>,
    names: BTreeMap<String, TableId>,
    next_id: u32,
    next_ordinal: u64,
    commits: u64,
    compare_failures: u64,
    answers: Vec<(OpId, Result<Answer, Error>)>,
}

impl Default for Light {
    fn default() -> Self {
        Self::new()
    }
}

impl Light {
    /// An empty domain.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tables: BTreeMap::new(),
            names: BTreeMap::new(),
            next_id: 1,
            next_ordinal: 1,
            commits: 0,
            compare_failures: 0,
            answers: Vec::new(),
        }
    }

    fn run(&mut self, op: Op, now: Tick) -> Result<Answer, Error> {
        match op {
            Op::Lookup { table, key } => Ok(Answer::Pair(self.table(table)?.find(&key, now).cloned())),
            Op::LookupMany { table, keys } => self.lookup_many(table, &keys, now).map(Answer::Many),
            Op::ReadRanges { table, key, ranges } => {
                ranges::check(&ranges)?;
                let pair = self.table(table)?.find(&key, now);
                pair.map(|pair| Ranges::of(pair.as_ref(), &ranges)).transpose().map(Answer::Ranges)
            }
            Op::Next { table, from, until, direction, pairs_max, bytes_max } => {
                self.next(table, &from, until.as_deref(), direction, (pairs_max, bytes_max), now)
            }
            Op::Follow { table, key, field } => self.follow(table, &key, field, now).map(Answer::Followed),
            Op::Verify { table, key } => {
                let pair = self.table(table)?.find(&key, now).cloned();
                let stored = |pair: Pair| {
                    let value_crc = segments::checksum::checksum(0, &pair.value);
                    Box::new(Stored { pair, value_crc, from_device: false })
                };
                Ok(Answer::Stored(pair.map(stored)))
            }
            Op::FollowChain { table, key, fields, depth_max, records_max } => {
                let links = Links::new(fields, depth_max, records_max)?;
                self.chain((table, key), links, now).map(Answer::Chain)
            }
            Op::Commit { set, level } => self.commit(&set, level, now).map(Answer::Committed),
            Op::OpenStage | Op::Stage(_) | Op::ReadStaged { .. } => {
                let what = "writing out values of a transaction before its commit";
                Err(Error::Unsupported { domain: "light", what })
            }
            Op::CommitOnce { .. } | Op::Identify { .. } | Op::Fates { .. } => {
                Err(Error::Unsupported { domain: "light", what: "requests that are applied once" })
            }
            Op::Reserve { table, count } => self.reserve(table, count).map(Answer::Reserved),
            Op::Await { .. } | Op::AwaitCommit { .. } => {
                Err(Error::Unsupported { domain: "light", what: "notices of persistence" })
            }
            Op::Force => Ok(Answer::Persistent(self.horizon())),
            Op::DropCache => Ok(Answer::Done),
            Op::Reclaim => Err(Error::Unsupported { domain: "light", what: "reclaim, for it has no device" }),
            Op::Segments { .. } => Ok(Answer::Segments(Segments::default())),
            Op::CreateTable { name, spec } => self.create(name, spec).map(Answer::Table),
            Op::OpenTable { name, spec } => self.open(&name, spec).map(Answer::Table),
            Op::RenameTable { from, to } => self.rename(&from, to).map(Answer::Table),
            Op::DestroyTable { name } => {
                let id = self.names.remove(&name).ok_or(Error::NoSuchTable { name })?;
                self.tables.remove(&id);
                Ok(Answer::Done)
            }
            Op::ListTables => Ok(Answer::Tables(self.names.values().map(|id| self.tables[id].info.clone()).collect())),
            Op::Status => Ok(Answer::Status(Box::new(self.status()))),
        }
    }

    fn table(&self, table: TableId) -> Result<&Table, Error> {
        self.tables.get(&table).ok_or(Error::TableGone { table })
    }

    fn lookup_many(&self, table: TableId, keys: &[Vec<u8>], now: Tick) -> Result<Vec<Option<Pair>>, Error> {
        many::check(keys.len())?;
        let (table, mut budget) = (self.table(table)?, Budget::default());
        let found = keys.iter().map(|key| table.find(key, now));
        let fits = |pair: &Option<&Pair>| budget.takes(pair.map_or(0, |pair| pair.key.len() + pair.value.len()));
        Ok(found.take_while(fits).map(Option::<&Pair>::cloned).collect())
    }

    fn next(
        &self,
        id: TableId,
        from: &Cursor,
        until: Option<&[u8]>,
        direction: Direction,
        limits: (u32, u32),
        now: Tick,
    ) -> Result<Answer, Error> {
        let table = self.table(id)?;
        let ordered = table.info.spec.kind == TableKind::Ordered;
        if !ordered && (until.is_some() || direction == Direction::Previous) {
            let why = "only an ordered table has an order to go back in or stop by";
            return Err(Error::WrongKind { op: "this iteration", table: id, why });
        }
        let forward = direction == Direction::Next;
        let mut wanted: Vec<&Pair> =
            table.pairs.iter().filter(|pair| pair.expires_ms.is_none_or(|at| at > now.unix_ms)).collect();
        if !forward {
            wanted.reverse();
        }
        let past = |key: &[u8], than: &[u8]| if forward { key > than } else { key < than };
        let before_until = |key: &[u8]| until.is_none_or(|until| past(until, key));
        let begun = |key: &[u8]| match from {
            Cursor::Start => true,
            Cursor::At(at) => key == at || past(key, at),
            Cursor::Past(at) => past(key, at),
        };
        let (mut pairs, mut bytes, mut more) = (Vec::new(), 0u64, false);
        for pair in wanted.into_iter().filter(|pair| begun(&pair.key) && before_until(&pair.key)) {
            bytes += (pair.key.len() + pair.value.len()) as u64;
            let full = pairs.len() as u64 == u64::from(limits.0.max(1)) || bytes > u64::from(limits.1);
            if full && !pairs.is_empty() {
                more = true;
                break;
            }
            pairs.push(pair.clone());
        }
        Ok(Answer::Pairs { pairs, more })
    }

    fn follow(&self, id: TableId, key: &[u8], field: u16, now: Tick) -> Result<Followed, Error> {
        let table = self.table(id)?;
        let target = pointer_table(&table.info, field)?;
        let Some(from) = table.find(key, now) else { return Ok(Followed::Absent) };
        let from = from.clone();
        let Some(target_key) = pointer_key(id, field, &from.value)? else { return Ok(Followed::Null { from }) };
        let &target = self.names.get(target).ok_or_else(|| Error::NoSuchTable { name: target.to_owned() })?;
        Ok(match self.table(target)?.find(target_key, now) {
            Some(to) => Followed::Found { to: to.clone(), from },
            None => Followed::Dangling { target: target_key.to_vec(), from },
        })
    }

    fn chain(&self, first: (TableId, Vec<u8>), mut links: Links, now: Tick) -> Result<Chain, Error> {
        pointer_table(&self.table(first.0)?.info, links.first_field())?;
        let (mut id, mut key) = first;
        loop {
            let table = self.table(id)?;
            let Some(pair) = table.find(&key, now) else {
                let end = links.missing(&key, table.pairs.get(&key).is_some());
                return Ok(links.end(end));
            };
            let led = links.take(&table.info, pair.clone(), |name| {
                let &to = self.names.get(name)?;
                self.tables.get(&to).map(|table| (to, table.info.spec.kind))
            })?;
            match led {
                Ok(next) => (id, key) = next,
                Err(end) => return Ok(links.end(end)),
            }
        }
    }

    fn commit(&mut self, set: &CommitSet, level: Level, now: Tick) -> Result<Committed, Error> {
        if level == Level::Persistent {
            return Err(Error::Unsupported { domain: "light", what: "the persistent level" });
        }
        for part in set.parts() {
            let keeps = match part.change {
                Change::None | Change::Delete => false,
                Change::Put { options, .. } | Change::Append { options, .. } => options.revertible_ms.is_some(),
                Change::Revert { .. } | Change::Seal { .. } => true,
            };
            if keeps {
                return Err(Error::Unsupported { domain: "light", what: "revertible writes" });
            }
        }
        if set.ranges().len() > 0 {
            return Err(Error::Unsupported { domain: "light", what: "range compares, and so strict transactions" });
        }
        let mut failures = Vec::new();
        for (number, part) in set.parts().enumerate() {
            if let Err(found) = self.check(&part, now)? {
                let part = u32::try_from(number).expect("a set has at most 65,536 parts");
                failures.push(Failure { part, found });
            }
        }
        if !failures.is_empty() {
            self.compare_failures += 1;
            return Err(Error::CompareFailed { failures });
        }
        let mut epoch = EpochId::new(INCARNATION, 1);
        let mut versions = Versions::default();
        for part in set.parts() {
            let version = Version { epoch, ordinal: Ordinal(self.next_ordinal) };
            if self.apply(&part, version, now) {
                self.next_ordinal += 1;
                versions.push(version);
            }
        }
        self.commits += 1;
        let mut persistence = Persistence::Volatile;
        if versions.as_slice().is_empty() {
            // Nothing was changed, so there is nothing to lose.
            (epoch, persistence) = (self.horizon().persistent, Persistence::Persistent);
        }
        Ok(Committed { epoch, versions, persistence })
    }

    /// Whether a part's compare holds; if not, what is there.
    fn check(&self, part: &Part<'_>, now: Tick) -> Result<Result<(), Option<Version>>, Error> {
        let table = self.table(part.table)?;
        let there = table.find(part.key, now).map(|pair| pair.version);
        let holds = match part.expect {
            Expect::Any => true,
            Expect::Absent => there.is_none(),
            Expect::Present => there.is_some(),
            Expect::At(version) => there == Some(version),
            Expect::Never => false,
        };
        if !holds {
            return Ok(Err(there));
        }
        if let (Change::Append { value, .. }, Some(pair)) = (part.change, table.find(part.key, now)) {
            check_total(pair.value.len() + value.len())?;
        }
        let bad = |want| Error::BadKey { table: part.table, bytes: part.key.len(), want };
        if let Some(want) = table.info.spec.key_wanted(part.key) {
            return Err(bad(want));
        }
        if table.info.spec.kind == TableKind::Sack {
            let address = Address::decode(part.key).ok_or_else(|| bad("8-byte addresses that it gave"))?;
            let put = matches!(part.change, Change::Put { .. } | Change::Append { .. });
            // An expired pair still holds its address, so it may be put anew.
            if put && table.pairs.get(part.key).is_none() && !table.addresses.is_reserved(address) {
                return Err(bad("an address that the store has set aside for an insert"));
            }
        }
        Ok(Ok(()))
    }

    /// Applies a part; says whether it changed anything.
    fn apply(&mut self, part: &Part<'_>, version: Version, now: Tick) -> bool {
        let table = self.tables.get_mut(&part.table).expect("the table was checked in the same turn");
        match part.change {
            Change::None => false,
            Change::Revert { .. } | Change::Seal { .. } => unreachable!("refused before anything was applied"),
            Change::Delete => {
                if let (TableKind::Sack, Some(address)) = (table.info.spec.kind, Address::decode(part.key)) {
                    table.addresses.remove(address);
                }
                table.pairs.remove(part.key)
            }
            Change::Append { value, options } if table.find(part.key, now).is_some() => {
                table.pairs.append(part.key, value, version, options);
                true
            }
            Change::Put { value, options } | Change::Append { value, options } => {
                if let (TableKind::Sack, Some(address)) = (table.info.spec.kind, Address::decode(part.key)) {
                    table.addresses.put(address, crate::index::Loc::new(0)).expect("checked in the same turn");
                }
                table.pairs.put(Pair {
                    key: part.key.to_vec(),
                    value: value.to_vec(),
                    version,
                    expires_ms: options.expires_ms,
                    compressed: options.compressed,
                });
                true
            }
        }
    }

    fn reserve(&mut self, id: TableId, count: u32) -> Result<Vec<[u8; 8]>, Error> {
        if count > RESERVE_MAX {
            let (value, limit) = (u64::from(count), u64::from(RESERVE_MAX));
            return Err(Error::Limit { what: "the number of addresses to reserve", value, limit });
        }
        let table = self.tables.get_mut(&id).ok_or(Error::TableGone { table: id })?;
        if table.info.spec.kind != TableKind::Sack {
            return Err(Error::WrongKind { op: "a reservation", table: id, why: "only a sack gives addresses" });
        }
        let given = (0..count).map_while(|_| table.addresses.reserve(INCARNATION));
        Ok(given.map(|address| address.to_key()).collect())
    }

    fn create(&mut self, name: String, spec: TableSpec) -> Result<TableInfo, Error> {
        crate::engine::catalog::check_name(&name)?;
        if self.names.contains_key(&name) {
            return Err(Error::TableExists { name });
        }
        crate::engine::catalog::check_spec(&spec)?;
        let id = TableId(self.next_id);
        self.next_id += 1;
        let info = TableInfo { id, name: name.clone(), spec: TableSpec { home: TableHome::Volatile, ..spec } };
        self.names.insert(name, id);
        let table = Table { info: info.clone(), pairs: List::default(), addresses: SackIndex::new() };
        self.tables.insert(id, table);
        Ok(info)
    }

    fn open(&mut self, name: &str, wanted: Option<TableSpec>) -> Result<TableInfo, Error> {
        let id = *self.names.get(name).ok_or_else(|| Error::NoSuchTable { name: name.to_owned() })?;
        let table = self.tables.get_mut(&id).expect("a name is of a table");
        if let Some(wanted) = wanted {
            let wanted = TableSpec { home: TableHome::Volatile, ..wanted };
            let merged = compat::merge(&table.info.spec, &wanted).map_err(|difference| Error::Incompatible {
                name: name.to_owned(),
                wanted: wanted.type_name.clone(),
                field: difference.field,
                why: difference.why,
            })?;
            crate::engine::catalog::check_spec(&merged)?;
            table.info.spec = merged;
        }
        Ok(table.info.clone())
    }

    fn rename(&mut self, from: &str, to: String) -> Result<TableInfo, Error> {
        crate::engine::catalog::check_name(&to)?;
        if self.names.contains_key(&to) {
            return Err(Error::TableExists { name: to });
        }
        let id = self.names.remove(from).ok_or_else(|| Error::NoSuchTable { name: from.to_owned() })?;
        self.names.insert(to.clone(), id);
        let table = self.tables.get_mut(&id).expect("a name is of a table");
        table.info.name = to;
        Ok(table.info.clone())
    }

    fn status(&self) -> Status {
        let tables = self.tables.values().map(|table| TableStatus {
            info: table.info.clone(),
            pairs: table.pairs.len() as u64,
            index_bytes: 0,
            record_bytes: table.pairs.iter().map(|pair| (pair.key.len() + pair.value.len()) as u64).sum(),
        });
        Status {
            horizon: self.horizon(),
            epoch_open: EpochId::new(INCARNATION, 1),
            tables: tables.collect(),
            commits: self.commits,
            compare_failures: self.compare_failures,
            ..Status::default()
        }
    }
}

impl Table {
    fn find(&self, key: &[u8], now: Tick) -> Option<&Pair> {
        self.pairs.get(key).filter(|pair| pair.expires_ms.is_none_or(|at| at > now.unix_ms))
    }
}

impl Domain for Light {
    fn capabilities(&self) -> Capabilities {
        Capabilities { name: "light", abortable: false, persistence: false, writes_out: false }
    }

    fn horizon(&self) -> Horizon {
        Horizon { incarnation: INCARNATION, persistent: EpochId::base(INCARNATION) }
    }

    fn submit(&mut self, id: OpId, op: Op, now: Tick) {
        let answer = self.run(op, now);
        self.answers.push((id, answer));
    }

    fn submit_now(
        &mut self,
        _asker: crate::seam::Asker,
        _id: OpId,
        op: Op,
        now: Tick,
    ) -> Option<Result<Answer, Error>> {
        Some(self.run(op, now))
    }

    fn lookup_now(
        &mut self,
        table: TableId,
        key: &[u8],
        now: Tick,
        see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<Seen, Error> {
        let pair = self.table(table)?.find(key, now);
        see(pair.map(Pair::as_ref));
        Ok(Seen::Ready)
    }

    fn turn(&mut self, _now: Tick) -> Option<Tick> {
        None
    }

    fn take_answers(&mut self, answers: &mut Vec<(OpId, Result<Answer, Error>)>) {
        answers.append(&mut self.answers);
    }
}

impl crate::seam::Driven for Light {
    fn take_requests(&mut self, _requests: &mut Vec<(segments::Tag, segments::Request)>) {}

    fn complete(&mut self, completion: segments::Completion, _now: Tick) {
        unreachable!("the light domain has no device, and {completion:?} came");
    }
}
