//! Commit: every compare holds and every update is applied, in one turn, or nothing is.
//!
//! Contract: the checks and the appends happen in one step without a wait between them. What must be waited for (records that a
//! compare needs, room in the log) is waited for before, and the checks start afresh after it.
//!
//! A set that is applied cannot fail any more: keys, tables, compares and room were checked in the same step.

use super::catalog::CATALOG;
use super::core::{Core, Old};
use super::extend::{Grown, OrPlaces, check_total};
use super::find::{Found, Known, Located, Sight, Want};
use super::ops::{Need, READ_PAGES_AT_ONCE, Step, answer_of};
use super::records::place_of;
use super::table::{Index, Table};
use crate::error::{Error, Failure};
use crate::index::{Address, Loc};
use crate::schema::TableHome;
use crate::seam::{Committed, Level, Op, Persistence, TableInfo, Tick, Versions};
use segments::log::room::RoomNeed;
use segments::log::writer::Room;
use segments::record::{EXTENT_BYTES, Extents, Record, RecordKind};
use segments::{DeviceError, EpochId, Place, TableId, Version};
use smallvec::SmallVec;
use txn::{Change, CommitSet, Expect, Part, PutOptions};

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
    /// Whether it changes anything at all: then commits sent after it are not applied before it.
    changes: bool,
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

impl Commit {
    /// A user's commit.
    pub(crate) fn new(core: &Core, set: CommitSet, level: Level) -> Result<Self, Error> {
        for part in set.parts() {
            check_part(core, &part)?;
        }
        Self::unchecked(core, set, level, After::Committed)
    }

    /// A commit of the engine's own: of the catalog.
    pub(crate) fn unchecked(core: &Core, set: CommitSet, level: Level, after: After) -> Result<Self, Error> {
        let (mut need, mut persistent, mut changes) = (RoomNeed::default(), false, false);
        for part in set.parts() {
            changes |= part.change != Change::None;
            if core.table(part.table)?.home() == TableHome::Volatile {
                continue;
            }
            match part.change {
                Change::None => {}
                // What it writes is known when it is checked.
                Change::Append { .. } => persistent = true,
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
            changes,
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
        self.changes && !matches!(self.state, State::WaitingForPersistence(_))
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
        match self.try_apply(core, now, behind) {
            Err(error) => {
                core.counters.compare_failures += u64::from(matches!(error, Error::CompareFailed { .. }));
                Step::Done(Err(error))
            }
            Ok(Err(need)) => Step::Wait(need),
            Ok(Ok(committed)) => self.applied(committed),
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
            return Ok(Err(Need::Turn));
        }
        if self.persistent {
            match core.room(&self.need_with(core, &olds)) {
                Room::Ready => {}
                Room::Wait => return Ok(Err(Need::Turn)),
                Room::Refused(error) => return Err(no_space(core, error)),
            }
        }
        Ok(Ok(self.apply(core, now, &olds)))
    }

    /// The room that its records take, those that grow included.
    fn need_with(&self, core: &Core, olds: &[Old]) -> RoomNeed {
        let mut need = self.need;
        for (part, old) in self.set.parts().zip(olds) {
            let Some(grown) = old.grown.as_deref().filter(|_| is_persistent(core, part.table)) else { continue };
            let (extents, expires) = (grown.extents.len() / EXTENT_BYTES, grown.options.expires_ms.is_some());
            need.add_extended(part.key.len(), grown.value.len(), expires, extents);
        }
        need
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
                match check_one(core, &part, &self.known, now)? {
                    Checked::Holds(old) => olds.push(old),
                    Checked::Unread(places) => {
                        if unread.is_empty() {
                            self.read_from = number;
                        }
                        for place in places {
                            if !unread.contains(&place) {
                                pages += place.pages();
                                unread.push(place);
                            }
                        }
                        if unread.len() >= READS_AT_ONCE || pages >= READ_PAGES_AT_ONCE {
                            break;
                        }
                    }
                    Checked::UnreadWhole(places) => {
                        self.known.want_whole(&places);
                        if unread.is_empty() {
                            self.read_from = number;
                        }
                        unread.extend(places);
                        break;
                    }
                    Checked::Fails { found } => {
                        let part = u32::try_from(number).expect("a set has at most 65,536 parts");
                        failures.push(Failure { part, found });
                    }
                }
            }
            match (unread.is_empty(), from, failures.is_empty()) {
                (false, _, _) => return Ok(Err(unread)),
                (true, 0, true) => return Ok(Ok(olds)),
                (true, 0, false) => return Err(Error::CompareFailed { failures }),
                (true, _, _) => {}
            }
        }
    }

    fn apply(&self, core: &mut Core, now: Tick, olds: &[Old]) -> Committed {
        // Deleting what is not there changes nothing and leaves nothing, not even an epoch.
        let changes = |part: &Part<'_>, old: &Old| match part.change {
            Change::None => false,
            Change::Put { .. } | Change::Append { .. } => true,
            Change::Delete => old.loc.is_some(),
        };
        let lasting = self.persistent
            && self.set.parts().zip(olds).any(|(part, old)| changes(&part, old) && is_persistent(core, part.table));
        let epoch = if lasting { core.join(now) } else { core.epoch_open() };
        let mut versions = Versions::default();
        for (part, old) in self.set.parts().zip(olds) {
            if !changes(&part, old) {
                continue;
            }
            let version = core.next_version(epoch);
            versions.push(version);
            let (kind, value, options, extents) = match (part.change, old.grown.as_deref()) {
                (Change::Append { value, .. }, Some(grown)) if grown.in_place => {
                    core.grow(part.table, version, value, grown.options, old);
                    continue;
                }
                (Change::Append { .. }, Some(grown)) => {
                    (RecordKind::Pair, &grown.value[..], grown.options, Extents::new(&grown.extents))
                }
                (Change::Put { value, options } | Change::Append { value, options }, _) => {
                    (RecordKind::Pair, value, options, Extents::default())
                }
                (Change::None | Change::Delete, _) => {
                    (RecordKind::Tombstone, &[][..], PutOptions::default(), Extents::default())
                }
            };
            let (table, key, expires_ms, compressed) = (part.table, part.key, options.expires_ms, options.compressed);
            let record = Record { kind, table, version, key, value, extents, expires_ms, compressed };
            core.put(&record, old);
            if part.table == CATALOG {
                core.catalog_changed(part.key, (kind == RecordKind::Pair).then_some(value), epoch);
            }
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
        self.set.parts().any(|part| is_persistent(core, part.table))
    }
}

fn is_persistent(core: &Core, table: TableId) -> bool {
    core.table(table).is_ok_and(|table| table.home() == TableHome::Persistent)
}

/// What a part's compare and change find.
fn check_one(core: &Core, part: &Part<'_>, known: &Known, now: Tick) -> Result<Checked, Error> {
    let table = core.table(part.table)?;
    let sought = core.sought(table, part.key);
    let appends = matches!(part.change, Change::Append { .. });
    let head = appends || matches!(part.expect, Expect::At(_) | Expect::Never);
    let want = if head { Want::Head } else { Want::Place };
    let mut located = core.locate(table, sought, known, want, now)?;
    let holds = match (&located, part.expect) {
        (Located::Unread { places }, _) => return Ok(Checked::Unread(places.clone())),
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
            located = core.locate(table, sought, known, Want::Head, now)?;
        }
        return Ok(match located {
            Located::Unread { places } => Checked::Unread(places),
            Located::Present { found, .. } => Checked::Fails { found: found.map(|found| found.version) },
            Located::Absent | Located::Expired { .. } => Checked::Fails { found: None },
        });
    }
    if let (Index::Sack(sack), Change::Put { .. } | Change::Append { .. }, Located::Absent) =
        (&table.index, part.change, &located)
    {
        let address = Address::decode(part.key).filter(|&address| sack.is_reserved(address));
        if address.is_none() {
            let want = "an address that the store has set aside for an insert";
            return Err(Error::BadKey { table: part.table, bytes: part.key.len(), want });
        }
    }
    let hash = sought.hash;
    Ok(Checked::Holds(match located {
        Located::Present { loc, found } => {
            let grown = match (part.change, &found) {
                (Change::Append { value, options }, Some(found)) => {
                    match grown(core, table, loc, found, (value, options), known)? {
                        Ok(grown) => Some(Box::new(grown)),
                        Err(places) => return Ok(Checked::UnreadWhole(places)),
                    }
                }
                (Change::None | Change::Put { .. } | Change::Delete | Change::Append { .. }, _) => None,
            };
            let bytes = match found {
                Some(found) => Some(found.live_bytes),
                None => match core.found_at(table, loc, known, Want::Head) {
                    Ok(Sight::Found(found)) => Some(found.live_bytes),
                    Ok(Sight::Unread(_)) | Err(_) => None,
                },
            };
            let bytes = bytes.unwrap_or_else(|| table.record_bytes_mean());
            Old { hash, loc: Some(loc), bytes, grown }
        }
        Located::Expired { loc } => {
            let (bytes, grown) = (table.record_bytes_mean(), created(part));
            Old { hash, loc: Some(loc), bytes, grown }
        }
        Located::Absent | Located::Unread { .. } => Old { hash, grown: created(part), ..Old::default() },
    }))
}

/// What an append makes of a record that is there.
fn grown(
    core: &Core,
    table: &Table,
    loc: Loc,
    found: &Found<'_>,
    (value, options): (&[u8], PutOptions),
    known: &Known,
) -> Result<OrPlaces<Grown>, Error> {
    match table.home() {
        TableHome::Persistent => core.grown(table, place_of(loc), found, value, options, known),
        TableHome::Volatile => {
            let total = found.total_bytes + value.len();
            check_total(total)?;
            let options = txn::appended(found.as_ref().options, options);
            Ok(Ok(Grown { extents: Vec::new(), value: Vec::new(), options, in_place: true }))
        }
    }
}

/// What an append makes where nothing is.
fn created(part: &Part<'_>) -> Option<Box<Grown>> {
    let Change::Append { value, options } = part.change else { return None };
    Some(Box::new(Grown { extents: Vec::new(), value: value.to_vec(), options, in_place: false }))
}

/// What became of one part's checks.
enum Checked {
    Holds(Old),
    Fails {
        found: Option<Version>,
    },
    Unread(Vec<Place>),
    /// These must be read for their values, since an append writes them anew.
    UnreadWhole(Vec<Place>),
}

fn nothing(epoch: EpochId) -> Committed {
    Committed { epoch, versions: Versions::default(), persistence: Persistence::Persistent }
}

fn no_space(core: &Core, error: DeviceError) -> Error {
    let space = core.log().space();
    Error::NoSpace { limit_pages: space.pages_max.unwrap_or(space.pages), why: error.to_string() }
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
