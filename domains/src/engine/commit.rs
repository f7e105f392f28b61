//! Commit: every compare holds and every update is applied, in one turn, or nothing is.
//!
//! Contract: the checks and the appends happen in one step without a wait between them. What must be waited for (records that a
//! compare needs, room in the log) is waited for before, and the checks start afresh after it.
//!
//! A set that is applied cannot fail any more: keys, tables, compares and room were checked in the same step.

use super::catalog::CATALOG;
use super::core::{Core, Old, Restores};
use super::find::{Known, Located, Want};
use super::ops::{Need, READ_PAGES_AT_ONCE, Step, answer_of};
use super::rewrite::{Rewrite, Rewrites, check_token, kept_by};
use super::table::Index;
use crate::error::{Error, Failure};
use crate::index::{Address, KeyHash};
use crate::schema::TableHome;
use crate::seam::{Committed, Level, Op, Persistence, TableInfo, Tick, Versions};
use segments::log::room::RoomNeed;
use segments::log::writer::Room;
use segments::probes::{Probe, hit};
use segments::record::{Record, RecordKind};
use segments::{DeviceError, EpochId, PAGE_BYTES, Place, TableId, Version};
use smallvec::SmallVec;
use txn::{Change, CommitSet, Expect, Part, PutOptions};

pub(crate) mod ranges;

/// What is answered when a commit is done.
#[derive(Debug)]
pub(crate) enum After {
    /// The commit itself.
    Committed,
    /// The table it created, changed or renamed.
    Table(Box<TableInfo>),
    /// That it is done.
    Done,
}

#[derive(Debug)]
enum State {
    /// Not yet applied: waiting for records that the checks need, for room, or for the commits before it. Whatever it was,
    /// everything is checked again.
    Checking,
    /// Applied; waiting for its epoch.
    WaitingForPersistence(Committed),
    /// A compare did not hold on a key on which many fail; waiting for its turn to be told so.
    Contending(Error),
}

/// A commit set on its way.
#[derive(Debug)]
pub(crate) struct Commit {
    set: CommitSet,
    level: Level,
    after: After,
    need: RoomNeed,
    /// Whether any update is of a persistent table, so that room is needed.
    persistent: bool,
    /// Whether it reverts or seals anything.
    rewrites: bool,
    /// Whether it changes anything at all: then commits sent after it are not applied before it.
    changes: bool,
    /// Whether it was told to wait for room: what is refused then is its refusal.
    waited_for_room: bool,
    pub(crate) known: Known,
    /// The first part whose record had to be read last: those before it need not be looked at until all have come.
    read_from: usize,
    pub(crate) failed: Option<Error>,
    state: State,
    /// The operation on tables that this set was made of, and how often the catalog had changed then.
    made_of: Option<(Box<Op>, u64)>,
}

/// Reads in flight for one commit at most: 64 pages are 256 KiB.
const READS_AT_ONCE: usize = 64;
/// Failures of one set that count for contention: as many words as a compare-and-swap may have.
const COUNTED_FAILURES_MAX: usize = 64;

impl Commit {
    /// A user's commit.
    pub(crate) fn new(core: &Core, set: CommitSet, level: Level) -> Result<Self, Error> {
        for part in set.parts() {
            check_part(core, &part)?;
        }
        ranges::check_ranges(core, &set)?;
        Self::unchecked(core, set, level, After::Committed)
    }

    /// A commit of the engine's own: of the catalog.
    pub(crate) fn unchecked(core: &Core, set: CommitSet, level: Level, after: After) -> Result<Self, Error> {
        let (mut need, mut persistent, mut changes, mut rewrites) = (RoomNeed::default(), false, false, false);
        for part in set.parts() {
            changes |= part.change != Change::None;
            rewrites |= matches!(part.change, Change::Revert { .. } | Change::Seal { .. });
            if core.table(part.table)?.home() == TableHome::Volatile {
                continue;
            }
            match part.change {
                Change::None => {}
                // What these write is known when it has been read.
                Change::Revert { .. } | Change::Seal { .. } => persistent = true,
                Change::Put { value, options } if options.revertible_ms.is_some() => {
                    persistent = true;
                    need.add_revertible(part.key.len(), value.len(), options.expires_ms.is_some());
                }
                Change::Put { value, options } => {
                    persistent = true;
                    need.add(part.key.len(), value.len(), options.expires_ms.is_some());
                }
                Change::Delete => {
                    persistent = true;
                    need.add(part.key.len(), 0, false);
                }
            }
        }
        Ok(Self {
            set,
            level,
            after,
            need,
            persistent,
            rewrites,
            changes,
            waited_for_room: false,
            known: Known::of_heads(),
            read_from: 0,
            failed: None,
            state: State::Checking,
            made_of: None,
        })
    }

    /// Notes the operation that this set was made of, and when.
    pub(crate) fn made_of(&mut self, op: Op, catalog_changes: u64) {
        self.made_of = Some((Box::new(op), catalog_changes));
    }

    /// The operation to make this set of anew, when the catalog has changed since and nothing is applied yet.
    pub(crate) fn take_stale(&mut self, core: &Core) -> Option<Op> {
        let applied = matches!(self.state, State::WaitingForPersistence(_));
        self.made_of.take_if(|(_, changes)| !applied && *changes != core.catalog.changes()).map(|(op, _)| *op)
    }

    pub(crate) fn waits_to_apply(&self) -> bool {
        self.changes && matches!(self.state, State::Checking)
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick, behind: bool) -> Step {
        if let State::WaitingForPersistence(committed) = &mut self.state {
            let horizon = core.horizon();
            if committed.epoch > horizon.persistent {
                return match core.check_poison() {
                    Err(error) => Step::Done(Err(error.of_applied(committed.epoch))),
                    Ok(()) => Step::Wait(Need::Persistent(committed.epoch)),
                };
            }
            committed.persistence = Persistence::Persistent;
            let committed = core::mem::replace(committed, nothing(horizon.persistent));
            return Step::Done(Ok(answer_of(&self.after, committed)));
        }
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error));
        }
        if let State::Contending(error) = &self.state {
            return Step::Done(Err(self.fails_now(error.clone(), core, now)));
        }
        match self.try_apply(core, now, behind) {
            Err(error) => {
                if let Error::CompareFailed { failures } = &error {
                    core.counters.compare_failures += 1;
                    if let Some(key) = self.hot_key(core, failures, now) {
                        hit(Probe::KeyIsHot);
                        self.state = State::Contending(error);
                        return Step::Wait(Need::Contended(key));
                    }
                }
                Step::Done(Err(error))
            }
            Ok(Err(need)) => Step::Wait(need),
            Ok(Ok(committed)) => self.applied(committed),
        }
    }

    /// Counts what failed; the first key among them that is hot.
    fn hot_key(&self, core: &mut Core, failures: &[Failure], now: Tick) -> Option<KeyHash> {
        // An operation on tables is made anew by itself, and who changes nothing has nothing to try again.
        if !self.changes || !matches!(self.after, After::Committed) || !core.config.takes_turns {
            return None;
        }
        let mut hot = None;
        for failure in failures.iter().take(COUNTED_FAILURES_MAX) {
            let Some(part) = self.set.part(failure.part as usize) else { continue };
            let key = core.contended(part.table, part.key);
            if core.contention.count(key, now.nanos) {
                hot = hot.or(Some(key));
            }
        }
        hot
    }

    /// What fails by now. It has failed once, and is not applied any more, even if it could be: others that were sent after it
    /// may have been applied meanwhile.
    fn fails_now(&mut self, before: Error, core: &Core, now: Tick) -> Error {
        self.read_from = 0;
        match self.check(core, now) {
            Err(error @ Error::CompareFailed { .. }) => error,
            Err(_) | Ok(_) => before,
        }
    }

    fn applied(&mut self, committed: Committed) -> Step {
        let pending = committed.persistence == Persistence::Pending;
        if self.level == Level::Persistent && pending {
            let epoch = committed.epoch;
            self.state = State::WaitingForPersistence(committed);
            return Step::Wait(Need::Persistent(epoch));
        }
        Step::Done(Ok(answer_of(&self.after, committed)))
    }

    /// Checks and applies in one go; or says what must come first.
    fn try_apply(&mut self, core: &mut Core, now: Tick, behind: bool) -> Result<Result<Committed, Need>, Error> {
        core.check_poison()?;
        let olds = match self.check(core, now) {
            Ok(Ok(olds)) => olds,
            Ok(Err(places)) => return Ok(Err(Need::Reads(places))),
            // What it misses may be what one of those before it is about to make; it is checked again when its turn comes.
            Err(Error::CompareFailed { .. }) if self.changes && behind => return Ok(Err(Need::Turn)),
            Err(error) => return Err(error),
        };
        if self.changes && behind {
            hit(Probe::BehindOthers);
            return Ok(Err(Need::Turn));
        }
        let rewrites =
            if self.rewrites { Rewrites::of(core, &self.set, &olds, &self.known)? } else { Rewrites::default() };
        let (writes, bytes) = kept_by(&self.set, &olds);
        core.kept.check(writes, bytes, core.config.kept_bytes_max)?;
        if self.persistent {
            let mut need = self.need;
            rewrites.add_to(&mut need);
            match core.room(&need, self.waited_for_room) {
                Room::Ready => {}
                Room::Wait => {
                    self.waited_for_room = true;
                    return Ok(Err(Need::Turn));
                }
                Room::Refused(error) => return Err(no_room(core, error)),
            }
        }
        Ok(Ok(self.apply(core, now, &olds, &rewrites)))
    }

    /// Verifies every compare; says what each key's pair is now, or which records must be read to know. When reads have come it
    /// goes on where they were missing, and once none is missing any more it looks at everything afresh.
    fn check(&mut self, core: &Core, now: Tick) -> Result<Result<SmallVec<[Old; 4]>, Vec<Place>>, Error> {
        loop {
            let from = core::mem::take(&mut self.read_from);
            let (mut olds, mut unread, mut pages) = (SmallVec::new(), Vec::new(), 0);
            let mut failures = Vec::new();
            for number in from..self.set.len() {
                let part = self.set.part(number).expect("the set has so many parts");
                match self.check_one(core, &part, now)? {
                    Checked::Holds(old) => olds.push(old),
                    Checked::Unread { place, whole } => {
                        if whole {
                            self.known.want_whole(place);
                        }
                        if unread.is_empty() {
                            self.read_from = number;
                        }
                        if !unread.contains(&place) {
                            pages += place.pages();
                            unread.push(place);
                        }
                        if unread.len() == READS_AT_ONCE || pages >= READ_PAGES_AT_ONCE {
                            break;
                        }
                    }
                    Checked::Fails { found } => {
                        let part = u32::try_from(number).expect("a set has at most 65,536 parts");
                        failures.push(Failure { part, found });
                    }
                }
            }
            if unread.is_empty() && from == 0 {
                let strangers = self.strangers(core, now)?;
                failures.extend(strangers.failures);
                unread = strangers.unread;
            }
            match (unread.is_empty(), from, failures.is_empty()) {
                (false, _, _) => return Ok(Err(unread)),
                (true, 0, true) => return Ok(Ok(olds)),
                (true, 0, false) => return Err(Error::CompareFailed { failures }),
                (true, _, _) => {}
            }
        }
    }

    fn check_one(&self, core: &Core, part: &Part<'_>, now: Tick) -> Result<Checked, Error> {
        let table = core.table(part.table)?;
        if let Change::Revert { token } | Change::Seal { token } = part.change {
            check_token(core, table, token)?;
        }
        let sought = core.sought(table, part.key);
        let want = if matches!(part.expect, Expect::At(_) | Expect::Never) { Want::Head } else { Want::Place };
        let mut located = core.locate(table, sought, &self.known, want, now)?;
        let holds = match (&located, part.expect) {
            (Located::Unread { place }, _) => return Ok(Checked::Unread { place: *place, whole: false }),
            (_, Expect::Never) => false,
            (Located::Present { .. }, Expect::Absent) => false,
            (Located::Absent | Located::Expired { .. }, Expect::Present | Expect::At(_)) => false,
            (Located::Present { found, .. }, Expect::At(version)) => {
                found.as_ref().is_some_and(|found| found.version == version)
            }
            (_, Expect::Any | Expect::Absent | Expect::Present) => true,
        };
        if !holds {
            // The answer names the version that is there, so the record itself is wanted now.
            if matches!(located, Located::Present { found: None, .. }) {
                located = core.locate(table, sought, &self.known, Want::Head, now)?;
            }
            return Ok(match located {
                Located::Unread { place } => Checked::Unread { place, whole: false },
                Located::Present { found, .. } => Checked::Fails { found: found.map(|found| found.version) },
                Located::Absent | Located::Expired { .. } => Checked::Fails { found: None },
            });
        }
        if let (Index::Sack(sack), Change::Put { .. }, Located::Absent) = (&table.index, part.change, &located) {
            let address = Address::decode(part.key).filter(|&address| sack.is_reserved(address));
            if address.is_none() {
                let want = "an address that the store has set aside for an insert";
                return Err(Error::BadKey { table: part.table, bytes: part.key.len(), want });
            }
        }
        let mut restores = Restores::Nothing;
        if let (Change::Revert { .. } | Change::Seal { .. }, Located::Present { loc, found: Some(found) }) =
            (part.change, &located)
        {
            match core.restores(table, part, (*loc, found), &self.known, now)? {
                Ok(what) => restores = what,
                Err(place) => return Ok(Checked::Unread { place, whole: true }),
            }
        }
        let hash = sought.hash;
        Ok(Checked::Holds(match located {
            Located::Present { loc, found } => {
                let found = match found {
                    Some(found) => Some(found.record_bytes),
                    None => {
                        let found = core.found_at(table, loc, &self.known, Want::Head);
                        found.ok().flatten().map(|found| found.record_bytes)
                    }
                };
                let bytes = found.unwrap_or_else(|| table.record_bytes_mean());
                Old { hash, loc: Some(loc), bytes, live: true, restores }
            }
            Located::Expired { loc } => {
                Old { hash, loc: Some(loc), bytes: table.record_bytes_mean(), ..Old::default() }
            }
            Located::Absent | Located::Unread { .. } => Old { hash, ..Old::default() },
        }))
    }

    fn apply(&self, core: &mut Core, now: Tick, olds: &[Old], rewrites: &Rewrites) -> Committed {
        // Deleting what is not there changes nothing and leaves nothing, not even an epoch.
        let changes = |part: &Part<'_>, old: &Old| match part.change {
            Change::None => false,
            Change::Put { .. } | Change::Revert { .. } | Change::Seal { .. } => true,
            Change::Delete => old.loc.is_some(),
        };
        let lasting = self.persistent
            && self.set.parts().zip(olds).any(|(part, old)| changes(&part, old) && is_persistent(core, part.table));
        let epoch = if lasting { core.join(now) } else { core.epoch_open() };
        let mut versions = Versions::default();
        for (number, (part, &old)) in self.set.parts().zip(olds).enumerate() {
            if !changes(&part, &old) {
                continue;
            }
            let Rewrite { kind, value, options } = match part.change {
                Change::Put { value, options } => Rewrite { kind: RecordKind::Pair, value, options },
                Change::None | Change::Delete => Rewrite::GONE,
                Change::Revert { .. } | Change::Seal { .. } => rewrites.part(number),
            };
            let version = core.next_version(epoch);
            let revertible = old.revertible(options, now);
            let PutOptions { expires_ms, compressed, .. } = options;
            let (table, key) = (part.table, part.key);
            let record = Record { kind, table, version, key, value, expires_ms, compressed, revertible };
            core.put(&record, old);
            if !core.contention.is_calm() {
                let key = core.contended(part.table, part.key);
                core.contention.changed(key, now.nanos);
            }
            if part.table == CATALOG {
                core.catalog_changed(part.key, (kind == RecordKind::Pair).then_some(value), epoch);
            }
            versions.push(version);
        }
        core.counters.commits += 1;
        let (epoch, persistence) = match (lasting, versions.as_slice().is_empty()) {
            (true, _) => (epoch, Persistence::Pending),
            // What it saw and left as it was may be younger than the last persistent epoch, and is persistent no sooner.
            (false, true) if self.saw_persistent(core) && core.joined > core.horizon().persistent => {
                (core.joined, Persistence::Pending)
            }
            (false, true) => (core.horizon().persistent, Persistence::Persistent),
            (false, false) => (epoch, Persistence::Volatile),
        };
        Committed { epoch, versions, persistence }
    }

    fn saw_persistent(&self, core: &Core) -> bool {
        let ranges = self.set.ranges().map(|range| range.table);
        self.set.parts().map(|part| part.table).chain(ranges).any(|table| is_persistent(core, table))
    }
}

fn is_persistent(core: &Core, table: TableId) -> bool {
    core.table(table).is_ok_and(|table| table.home() == TableHome::Persistent)
}

/// What became of one part's checks.
enum Checked {
    Holds(Old),
    Fails {
        found: Option<Version>,
    },
    /// This must be read first; its value too when it is to be written again.
    Unread {
        place: Place,
        whole: bool,
    },
}

fn nothing(epoch: EpochId) -> Committed {
    Committed { epoch, versions: Versions::default(), persistence: Persistence::Persistent }
}

/// Why there is no room: there is none, or the device fails.
fn no_room(core: &Core, error: DeviceError) -> Error {
    let space = core.log().space();
    match error {
        DeviceError::NoSpace { .. } => {
            Error::NoSpace { limit_pages: space.pages_max.unwrap_or(space.pages), why: error.to_string() }
        }
        DeviceError::Io { .. } | DeviceError::PastEnd { .. } | DeviceError::Gone => {
            Error::DeviceFailed { doing: "making room in the log", offset: space.pages * PAGE_BYTES as u64, error }
        }
    }
}

/// What does not depend on the moment: the table is the user's to change, and takes this key.
fn check_part(core: &Core, part: &Part<'_>) -> Result<(), Error> {
    let table = core.table(part.table)?;
    if part.table == CATALOG && part.change != Change::None {
        let why = "the catalog is changed by creating, renaming and destroying tables";
        return Err(Error::WrongKind { op: "an update", table: TableId(0), why });
    }
    if matches!(table.index, Index::Sack(_)) && Address::decode(part.key).is_none() {
        return Err(Error::BadKey { table: part.table, bytes: part.key.len(), want: "8-byte addresses that it gave" });
    }
    Ok(())
}
