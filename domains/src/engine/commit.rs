//! Commit: every compare holds and every update is applied, in one turn, or nothing is.
//!
//! Contract: the checks and the appends happen in one step without a wait between them. What must be waited for (records that a
//! compare needs, room in the log) is waited for before, and the checks start afresh after it.
//!
//! A set that is applied cannot fail any more: keys, tables, compares and room were checked in the same step.

use super::catalog::CATALOG;
use super::clients::{self, REQUESTS};
use super::contention::Verdict;
use super::core::{Core, Old};
use super::find::Known;
use super::ops::{Need, Step, answer_of};
use super::rewrite::{Rewrite, Rewrites, kept_by};
use crate::error::{Error, Failure};
use crate::index::KeyHash;
use crate::schema::TableHome;
use crate::seam::{Answer, Asker, Committed, Level, Once, Op, Persistence, TableInfo, Tick, Versions};
use segments::log::room::{Extras, RoomNeed};
use segments::log::writer::Room;
use segments::probes::{Probe, hit};
use segments::record::{Record, RecordKind};
use segments::superblock::Features;
use segments::{DeviceError, EpochId, PAGE_BYTES, TableId};
use txn::{Change, CommitSet, Expect, Part, PutOptions};

mod check;
pub(crate) mod ranges;

use check::Resume;

/// What is answered when a commit is done.
#[derive(Debug)]
pub(crate) enum After {
    /// The commit itself.
    Committed,
    /// The table it created, changed or renamed.
    Table(Box<TableInfo>),
    /// That it is done.
    Done,
    /// This, which was known before.
    Answer(Box<Answer>),
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
    /// Features of the store that its bytes use.
    features: u64,
    /// Whether it was told to wait for room: what is refused then is its refusal.
    waited_for_room: bool,
    pub(crate) known: Known,
    /// Where the checks go on when what they lacked has been read.
    resumes: Resume,
    pub(crate) failed: Option<Error>,
    state: State,
    /// The operation on tables that this set was made of, and how often the catalog had changed then.
    made_of: Option<(Box<Op>, u64)>,
    /// The client's request that it is.
    once: Option<Once>,
    /// Who asks it.
    asker: Asker,
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

    /// The same commit, of bytes that use these features of the store.
    pub(crate) fn using(self, features: u64) -> Self {
        Self { features: self.features | features, ..self }
    }

    /// A commit of the engine's own: of the catalog.
    pub(crate) fn unchecked(core: &Core, set: CommitSet, level: Level, after: After) -> Result<Self, Error> {
        let (mut need, mut persistent, mut changes, mut rewrites) = (RoomNeed::default(), false, false, false);
        let mut features = 0;
        for part in set.parts() {
            changes |= part.change != Change::None;
            rewrites |= matches!(part.change, Change::Revert { .. } | Change::Seal { .. });
            if core.table(part.table)?.home() == TableHome::Volatile {
                continue;
            }
            if let Change::Put { options, .. } | Change::Append { options, .. } = part.change {
                features |= if options.compact { Features::COMPACT } else { 0 };
            }
            match part.change {
                Change::None => {}
                // What these write is known when it has been read.
                Change::Revert { .. } | Change::Seal { .. } | Change::Append { .. } => persistent = true,
                Change::Put { .. } if part.staged.is_some() => persistent = true,
                Change::Put { value, options } => {
                    persistent = true;
                    need.add_with(part.key.len(), value.len(), extras(options));
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
            features,
            waited_for_room: false,
            known: Known::of_heads(),
            resumes: Resume::default(),
            failed: None,
            state: State::Checking,
            made_of: None,
            once: None,
            asker: Asker::Nobody,
        })
    }

    /// Makes it a request of a client, which is applied once.
    pub(crate) fn once(mut self, once: Once) -> Self {
        if self.persistent {
            self.need.add(clients::KEY_BYTES, clients::VALUE_BYTES, false);
        }
        Self { once: Some(once), ..self }
    }

    /// Notes who asks it.
    pub(crate) fn set_asker(&mut self, asker: Asker) {
        self.asker = asker;
    }

    pub(crate) fn set(&self) -> &CommitSet {
        &self.set
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

    /// Whether it has turns on hot keys. An operation on tables is made anew by itself, and who changes nothing has nothing to try again.
    fn takes_turns(&self, core: &Core) -> bool {
        self.changes && matches!(self.after, After::Committed) && core.config.takes_turns
    }

    /// Whether it must not be looked at before its turn has come: on the first key of those that it compares where that is so.
    pub(crate) fn waits_unseen(&self, core: &mut Core, slot: u32, now: Tick) -> bool {
        if core.contention.is_calm() || !self.takes_turns(core) || core.check_poison().is_err() {
            return false;
        }
        let compared = self.set.parts().filter(|part| part.expect != Expect::Any).take(COUNTED_FAILURES_MAX);
        compared.into_iter().any(|part| {
            let key = core.contended(part.table, part.key);
            core.contention.comes(key, (slot, self.asker), now.nanos) == Verdict::Wait
        })
    }

    /// Counts what failed; the first key among them that is hot.
    fn hot_key(&self, core: &mut Core, failures: &[Failure], now: Tick) -> Option<KeyHash> {
        if !self.takes_turns(core) {
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
        self.resumes = Resume::default();
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
        if let Some(once) = &self.once
            && let Some(committed) = core.applied_before(once)?
        {
            return Ok(Ok(committed));
        }
        core.check_poison()?;
        core.check_staged(&self.set)?;
        if !core.may_use(self.features) {
            return Ok(Err(Need::Turn));
        }
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
            let mut need = self.need_with(core, &olds);
            rewrites.add_to(&mut need);
            match core.room(&need, self.waited_for_room) {
                Room::Ready => {}
                Room::Wait => {
                    self.waited_for_room = true;
                    return Ok(Err(Need::Turn));
                }
                Room::Refused(error) => return Err(no_room(core, error)),
            }
            self.check_slots(core)?;
        }
        Ok(Ok(self.apply(core, now, &olds, &rewrites)))
    }

    /// Whether the slots of its tables tell the places apart that its records are about to get: all of the log's.
    fn check_slots(&self, core: &Core) -> Result<(), Error> {
        let (pages, pages_max) = (core.log().space().pages, core.config.compact_pages_max);
        if pages <= pages_max {
            return Ok(());
        }
        for part in self.set.parts() {
            let table = core.table(part.table)?;
            let puts = !matches!(part.change, Change::None | Change::Delete);
            if puts && table.is_compact() && table.home() == TableHome::Persistent {
                return Err(Error::SlotsOutgrown { table: part.table, pages, pages_max });
            }
        }
        Ok(())
    }

    /// The room that its records take, those that grow included.
    fn need_with(&self, core: &Core, olds: &[Old]) -> RoomNeed {
        let mut need = self.need;
        for (part, old) in self.set.parts().zip(olds) {
            match (&old.grown, part.change) {
                (
                    None,
                    Change::None | Change::Put { .. } | Change::Delete | Change::Revert { .. } | Change::Seal { .. },
                ) => {}
                _ if !is_persistent(core, part.table) => {}
                (Some(grown), _) => grown.add_to(&mut need, part.key.len()),
                (None, Change::Append { value, options }) => {
                    need.add_with(part.key.len(), value.len(), extras(options));
                }
            }
        }
        need
    }

    fn apply(&self, core: &mut Core, now: Tick, olds: &[Old], rewrites: &Rewrites) -> Committed {
        // Deleting what is not there changes nothing and leaves nothing, not even an epoch.
        let changes = |part: &Part<'_>, old: &Old| match part.change {
            Change::None => false,
            Change::Put { .. } | Change::Revert { .. } | Change::Seal { .. } | Change::Append { .. } => true,
            Change::Delete => old.loc.is_some(),
        };
        let lasting = self.persistent
            && self.set.parts().zip(olds).any(|(part, old)| changes(&part, old) && is_persistent(core, part.table));
        let epoch = if lasting { core.join(now) } else { core.epoch_open() };
        let mut versions = Versions::default();
        for (number, (part, old)) in self.set.parts().zip(olds).enumerate() {
            let changes = changes(&part, old);
            if !core.contention.is_calm() && (changes || part.expect != Expect::Any) {
                let key = core.contended(part.table, part.key);
                core.contention.applied(key, self.asker, changes, now.nanos);
            }
            if !changes {
                continue;
            }
            let version = core.next_version(epoch);
            versions.push(version);
            let becomes = match (part.change, old.grown.as_deref()) {
                (Change::Append { .. } | Change::Put { .. }, Some(grown)) => Rewrite::grown(grown),
                (Change::Put { value, options } | Change::Append { value, options }, _) => {
                    Rewrite::pair(value, options)
                }
                (Change::None | Change::Delete, _) => Rewrite::GONE,
                (Change::Revert { .. } | Change::Seal { .. }, _) => rewrites.part(number),
            };
            let Rewrite { kind, extents, value, options } = becomes;
            let (table, key) = (part.table, part.key);
            if let (Change::Append { value, .. }, true) = (part.change, old.grows_in_place()) {
                core.grow(table, version, value, options, old);
            } else {
                let revertible = old.revertible(options, now);
                let PutOptions { expires_ms, compressed, compact, .. } = options;
                let record =
                    Record { kind, table, version, key, value, extents, expires_ms, compressed, compact, revertible };
                core.put(&record, old);
            }
            if part.table == CATALOG {
                core.catalog_changed(part.key, (kind == RecordKind::Pair).then_some(value), epoch);
            }
        }
        core.take_stage(&self.set);
        core.counters.commits += 1;
        if let Some(once) = &self.once {
            core.remember(once, &versions, epoch, lasting, now);
        }
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

fn extras(options: PutOptions) -> Extras {
    Extras { expires: options.expires_ms.is_some(), revertible: options.revertible_ms.is_some(), extents: 0 }
}

fn is_persistent(core: &Core, table: TableId) -> bool {
    core.table(table).is_ok_and(|table| table.home() == TableHome::Persistent)
}

fn nothing(epoch: EpochId) -> Committed {
    Committed { epoch, versions: Versions::default(), persistence: Persistence::Persistent }
}

/// Why there is no room: there is none, or the device fails.
pub(super) fn no_room(core: &Core, error: DeviceError) -> Error {
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
    if part.table == REQUESTS && part.change != Change::None {
        let why = "the store keeps there which requests of clients were applied";
        return Err(Error::WrongKind { op: "an update", table: REQUESTS, why });
    }
    table.check_key(part.key)
}
