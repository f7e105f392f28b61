//! Values that transactions write out before they commit: what each has in the log, and how a commit takes it.
//!
//! Contract: such a value is a record of kind extent in the open epoch of the log. Nothing points at it, and replay passes it over, so it
//! is dead until a commit's pair names it as a part of its value. The record lies before the pair's in the same log and in no later
//! epoch, so wherever the pair survives, so does it. Places never leave the engine: a set has numbers, which hold for one stage,
//! one table and one key, and are checked in the turn of the commit.
//!
//! To write one joins the open epoch like a commit that changes nothing: the epoch is closed and made persistent as ever, and nobody waits
//! for a transaction that is still open.
//!
//! Invariants: the bytes of all stages are within [`Config::staged_bytes_max`](crate::config::Config); each byte written is counted as staged
//! until a commit names it or it is let go, and then as dead; a stage that nobody has any more is let go in the next turn.

use super::catalog::CATALOG;
use super::clients::REQUESTS;
use super::core::Core;
use super::extend::{COPIED_BYTES_MAX, OrPlaces, check_total, merge_within, spend};
use super::find::Known;
use super::ops::{Need, Step};
use crate::error::Error;
use crate::index::KeyHash;
use crate::schema::TableHome;
use crate::seam::{Answer, StageValue, Tick};
use segments::limits::KEY_BYTES_MAX;
use segments::log::room::RoomNeed;
use segments::log::writer::Room;
use segments::probes::{Probe, hit};
use segments::record::{self, Extent, Record, RecordKind};
use segments::{Place, TableId};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use txn::limits::SET_PARTS_MAX;
use txn::{CommitSet, Part, SetError, Stage};

/// Transactions at a time that have written values out: looking which of them are still there takes a microsecond a turn.
const STAGES_MAX: usize = 1024;

/// One value, in the records that it was written in.
#[derive(Debug)]
struct Value {
    /// Of the table and the key that it is for.
    whose: KeyHash,
    /// The records, in the order of the value's bytes.
    extents: SmallVec<[Extent; 1]>,
    key_bytes: usize,
}

impl Value {
    fn value_bytes(&self) -> usize {
        self.extents.iter().map(|extent| extent.bytes as usize).sum()
    }

    /// Bytes of the log.
    fn log_bytes(&self) -> u64 {
        self.extents.iter().map(|extent| log_bytes(self.key_bytes, extent)).sum()
    }
}

fn log_bytes(key_bytes: usize, extent: &Extent) -> u64 {
    record::encoded_bytes(key_bytes, extent.bytes as usize, false) as u64
}

/// What one transaction has written out.
#[derive(Debug)]
struct Open {
    stage: Stage,
    values: BTreeMap<u32, Value>,
    next: u32,
}

/// What all transactions have written out that are not committed.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    open: BTreeMap<u64, Open>,
    next: u64,
    /// Bytes of the log in all values.
    staged_bytes: u64,
    /// Bytes of the log that were let go since the open.
    unstaged_bytes: u64,
}

impl Stages {
    /// How many transactions there are.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn staged_bytes(&self) -> u64 {
        self.staged_bytes
    }

    pub(crate) fn unstaged_bytes(&self) -> u64 {
        self.unstaged_bytes
    }

    /// Where the records of all values lie.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        let values = self.open.values().flat_map(|open| open.values.values());
        values.flat_map(|value| value.extents.iter().map(|extent| extent.place))
    }

    /// Lets go of what nobody can commit any more.
    pub(crate) fn sweep(&mut self) {
        let gone: SmallVec<[u64; 4]> =
            self.open.iter().filter(|(_, open)| open.stage.is_abandoned()).map(|(number, _)| *number).collect();
        for number in gone {
            hit(Probe::StageAbandoned);
            let open = self.open.remove(&number).expect("just seen");
            self.let_go(open.values.values());
        }
    }

    fn let_go<'v>(&mut self, values: impl Iterator<Item = &'v Value>) {
        let bytes = values.map(Value::log_bytes).sum::<u64>();
        self.staged_bytes -= bytes;
        self.unstaged_bytes += bytes;
    }

    fn begin(&mut self) -> Result<Stage, Error> {
        self.sweep();
        if self.open.len() >= STAGES_MAX {
            let (value, limit) = (self.open.len() as u64, STAGES_MAX as u64);
            return Err(Error::Limit { what: "the number of open transactions that write values out", value, limit });
        }
        self.next += 1;
        let stage = Stage::new(self.next);
        self.open.insert(self.next, Open { stage: stage.clone(), values: BTreeMap::new(), next: 0 });
        Ok(stage)
    }

    fn find(&self, stage: &Stage) -> Result<&Open, Error> {
        self.open.get(&stage.number()).filter(|open| open.stage == *stage).ok_or(Error::StageGone)
    }

    fn find_mut(&mut self, stage: &Stage) -> Result<&mut Open, Error> {
        self.open.get_mut(&stage.number()).filter(|open| open.stage == *stage).ok_or(Error::StageGone)
    }

    fn forget(&mut self, stage: &Stage, numbers: &[u32]) -> Result<(), Error> {
        let open = self.find_mut(stage)?;
        let gone: Vec<Value> = numbers.iter().filter_map(|number| open.values.remove(number)).collect();
        self.let_go(gone.iter());
        Ok(())
    }

    /// The records of a value, if it was written out for this key.
    fn value(&self, stage: &Stage, number: u32, whose: KeyHash) -> Result<&Value, Error> {
        let value = self.find(stage)?.values.get(&number).filter(|value| value.whose == whose);
        value.ok_or(Error::NotStaged { number })
    }
}

impl Core {
    /// The stage of a transaction that is about to write values out.
    pub(crate) fn open_stage(&mut self) -> Result<Answer, Error> {
        if self.records.log.is_none() {
            let (domain, what) = (self.capabilities().name, "writing out values of a transaction before its commit");
            return Err(Error::Unsupported { domain, what });
        }
        self.check_poison()?;
        self.stages.begin().map(Answer::Stage)
    }

    /// What a part's value begins with, where that was written out.
    pub(crate) fn staged(&self, stage: Option<&Stage>, part: &Part<'_>) -> Result<Vec<Extent>, Error> {
        let Some(staged) = part.staged else { return Ok(Vec::new()) };
        let Some(stage) = stage else { return Err(Error::StageGone) };
        let value = self.stages.value(stage, staged.number, self.contended(part.table, part.key))?;
        if value.value_bytes() != staged.bytes as usize {
            return Err(Error::NotStaged { number: staged.number });
        }
        Ok(value.extents.to_vec())
    }

    /// Whether all that a set names was written out for it, and for the keys that name it, each once.
    pub(crate) fn check_staged(&self, set: &CommitSet) -> Result<(), Error> {
        let mut numbers = Vec::new();
        for (part, staged) in set.staged_parts() {
            self.staged(set.stage(), &part)?;
            numbers.push(staged.number);
        }
        numbers.sort_unstable();
        match numbers.windows(2).find(|two| two[0] == two[1]) {
            Some(two) => Err(Error::NotStaged { number: two[0] }),
            None => Ok(()),
        }
    }

    /// A set was applied: what it names lives with its pairs, the rest of what its transaction wrote out is let go.
    pub(crate) fn take_stage(&mut self, set: &CommitSet) {
        let Some(mut open) = set.stage().and_then(|stage| self.stages.open.remove(&stage.number())) else { return };
        for (_, staged) in set.staged_parts() {
            let value = open.values.remove(&staged.number).expect("checked in the same turn");
            self.stages.staged_bytes -= value.log_bytes();
        }
        self.stages.let_go(open.values.values());
    }
}

/// Writes a value out.
#[derive(Debug)]
pub(crate) struct WriteOut {
    what: StageValue,
    /// Whether it was told to wait for room: what is refused then is its refusal.
    waited_for_room: bool,
    pub(crate) known: Known,
    pub(crate) failed: Option<Error>,
}

impl WriteOut {
    pub(crate) fn new(what: StageValue) -> Self {
        Self { what, waited_for_room: false, known: Known::default(), failed: None }
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick, behind: bool) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.what.table)));
        }
        match self.write(core, now, behind) {
            Ok(Ok(number)) => Step::Done(Ok(Answer::Staged(number))),
            Ok(Err(need)) => Step::Wait(need),
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// Writes it; or says what must come first. The number, unless it stays where it is.
    fn write(&mut self, core: &mut Core, now: Tick, behind: bool) -> Result<Result<Option<u32>, Need>, Error> {
        core.check_poison()?;
        core.stages.forget(&self.what.stage, &self.what.forget)?;
        if self.check(core)? == TableHome::Volatile {
            return Ok(Ok(None));
        }
        if behind {
            return Ok(Err(Need::Turn));
        }
        let (merged, value) = match self.merged(core)? {
            Ok(merged) => merged,
            Err(places) => return Ok(Err(Need::Reads(places))),
        };
        let (key_bytes, staged) = (self.what.key.len(), core.stages.staged_bytes);
        let more = record::encoded_bytes(key_bytes, value.len(), false) as u64;
        if staged + more > core.config.staged_bytes_max {
            return Err(Error::StagedFull { bytes: staged, more, limit: core.config.staged_bytes_max });
        }
        let mut need = RoomNeed::default();
        need.add(key_bytes, value.len(), false);
        match core.room(&need, self.waited_for_room) {
            Room::Ready => {}
            Room::Wait => {
                self.waited_for_room = true;
                return Ok(Err(Need::Turn));
            }
            Room::Refused(error) => return Err(super::commit::no_room(core, error)),
        }
        self.append(core, now, merged, &value).map(|number| Ok(Some(number)))
    }

    /// Whether it may be written, and where its table lies.
    fn check(&self, core: &Core) -> Result<TableHome, Error> {
        let StageValue { stage, table, key, onto, value, .. } = &self.what;
        if *table == CATALOG || *table == REQUESTS {
            let why = "it is the store's own";
            return Err(Error::WrongKind { op: "writing out a value", table: *table, why });
        }
        let found = core.table(*table)?;
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::Set(SetError::KeyTooLong { bytes: key.len() }));
        }
        found.check_key(key)?;
        if value.is_empty() {
            return Err(Error::Limit {
                what: "the length of a value that is written out (at least 1)",
                value: 0,
                limit: 1,
            });
        }
        let before = onto.map(|number| core.stages.value(stage, number, core.contended(*table, key))).transpose()?;
        check_total(before.map_or(0, Value::value_bytes) + value.len())?;
        let values = core.stages.find(stage)?.values.len();
        if before.is_none() && values >= SET_PARTS_MAX {
            let what = "the number of values that a transaction has written out";
            return Err(Error::Limit { what, value: values as u64 + 1, limit: SET_PARTS_MAX as u64 });
        }
        Ok(found.home())
    }

    /// What is written, and how many of the newest records before it are written again in it: as with appends their number is bounded.
    fn merged(&self, core: &Core) -> Result<OrPlaces<(usize, Vec<u8>)>, Error> {
        let StageValue { stage, table, key, onto, value, .. } = &self.what;
        let Some(number) = *onto else { return Ok(Ok((0, value.clone()))) };
        let extents = &core.stages.value(stage, number, core.contended(*table, key))?.extents;
        let mut budget = COPIED_BYTES_MAX;
        let merged = merge_within(extents, value.len(), false, budget);
        let again = extents[extents.len() - merged..].iter().copied();
        spend(&mut budget, again.clone().map(|extent| extent.bytes as usize).sum())?;
        let page = extents.last().map_or(0, |extent| extent.place.page().0);
        let damaged = |why| Error::CorruptRecord { table: *table, page, why };
        let joined = core.joined(core.table(*table)?, key, again, &self.known, value.len()).map_err(damaged)?;
        Ok(joined.map(|mut joined| {
            joined.extend_from_slice(value);
            (merged, joined)
        }))
    }

    fn append(&mut self, core: &mut Core, now: Tick, merged: usize, value: &[u8]) -> Result<u32, Error> {
        hit(Probe::WrittenOut);
        let (key, table) = (&self.what.key[..], self.what.table);
        let epoch = core.join(now);
        let version = core.next_version(epoch);
        let record = Record { kind: RecordKind::Extent, ..Record::pair(table, version, key, value) };
        let place = core.log_mut().append(epoch, &record, None);
        core.records.map.put(place);
        let bytes = u32::try_from(value.len()).expect("a value is at most 64 MiB");
        let extent = Extent { place, bytes, crc: segments::checksum::checksum(0, value) };
        let (whose, more) = (core.contended(table, key), log_bytes(key.len(), &extent));
        let open = core.stages.find_mut(&self.what.stage)?;
        let (number, mut dead) = (self.what.onto.unwrap_or(open.next), 0);
        open.next = open.next.max(number + 1);
        let value =
            open.values.entry(number).or_insert(Value { whose, extents: SmallVec::new(), key_bytes: key.len() });
        for gone in value.extents.drain(value.extents.len() - merged..) {
            dead += log_bytes(key.len(), &gone);
        }
        value.extents.push(extent);
        core.stages.staged_bytes = core.stages.staged_bytes + more - dead;
        core.stages.unstaged_bytes += dead;
        Ok(number)
    }
}

/// Reads a value that was written out.
#[derive(Debug)]
pub(crate) struct ReadStaged {
    stage: Stage,
    number: u32,
    table: TableId,
    key: Vec<u8>,
    pub(crate) known: Known,
    pub(crate) failed: Option<Error>,
}

impl ReadStaged {
    pub(crate) fn new(stage: Stage, number: u32, table: TableId, key: Vec<u8>) -> Self {
        Self { stage, number, table, key, known: Known::default(), failed: None }
    }

    pub(crate) fn step(&mut self, core: &Core) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.table)));
        }
        match self.read(core) {
            Ok(Ok(value)) => Step::Done(Ok(Answer::Value(value))),
            Ok(Err(places)) => Step::Wait(Need::Reads(places)),
            Err(error) => Step::Done(Err(error)),
        }
    }

    fn read(&self, core: &Core) -> Result<Result<Vec<u8>, Vec<Place>>, Error> {
        let table = core.table(self.table)?;
        let value = core.stages.value(&self.stage, self.number, core.contended(self.table, &self.key))?;
        let page = value.extents.first().map_or(0, |extent| extent.place.page().0);
        let damaged = |why| Error::CorruptRecord { table: self.table, page, why };
        core.joined(table, &self.key, value.extents.iter().copied(), &self.known, 0).map_err(damaged)
    }
}
