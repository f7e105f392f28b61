//! The operations: each a struct that remembers what it has, and one `step` that goes as far as memory allows.
//!
//! Contract: a step that must wait names its need and has changed nothing that others see; it is stepped again when the need has
//! been met and starts its look at the shared state afresh, so nothing it concluded before the wait can be stale.

use super::chain::{FollowChain, Links};
use super::clients::{Fates, Identify, Stepped};
use super::commit::{After, Commit};
use super::core::Core;
use super::extend::OrPlaces;
use super::find::{Found, Known, Located, Want};
use super::many::LookupMany;
use super::next::Next;
use super::passes::PassAsked;
use super::read_ranges::ReadRanges;
use super::records::PagePart;
use super::space;
use super::stage::{ReadStaged, WriteOut};
use super::status;
use super::verify::Verify;
use crate::error::Error;
use crate::index::KeyHash;
use crate::schema::FieldType;
use crate::schema::envelope;
use crate::seam::{Answer, Asker, Committed, Followed, Op, OpId, TableInfo, Tick};
use segments::cuts::Fate;
use segments::{EpochId, PageNo, Place, TableId, Version};
use std::ops::Range;
use std::sync::Arc;

/// Pages that one operation reads at a time, give or take a record: 16 MiB. What is read waits in memory for the rest of it.
pub(crate) const READ_PAGES_AT_ONCE: u32 = 4096;

/// What an operation waits for.
#[derive(Debug)]
pub(crate) enum Need {
    /// These records, from the device.
    Reads(Vec<Place>),
    /// These pages of a record, each run of so many from the device with one read.
    Pages(Vec<(PageNo, u32)>),
    /// Room in the log, or the commits before it.
    Turn,
    /// An epoch to be persistent.
    Persistent(EpochId),
    /// The end of a pass of reclaim.
    Pass,
    /// Its turn among those that fail on this key.
    Contended(KeyHash),
    /// Nothing but another step: it has worked for as long as one may, and others are to have their turn.
    Again,
}

/// How far a step came.
#[must_use]
#[derive(Debug)]
pub(crate) enum Step {
    Done(Result<Answer, Error>),
    Wait(Need),
}

/// An operation under way.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: OpId,
    pub(crate) asker: Asker,
    /// Which of all operations it is, as they began.
    pub(crate) born: u64,
    pub(crate) machine: Machine,
    /// Reads that are with the device.
    pub(crate) reads: u32,
    /// Whether it stands among the commits that wait to be applied.
    pub(crate) queued: bool,
    /// It waits for its turn to be looked at, and a line stands behind it.
    pub(crate) unseen: bool,
}

/// Every kind of operation that may have to wait.
#[derive(Debug)]
pub(crate) enum Machine {
    Lookup(Lookup),
    Follow(Follow),
    Verify(Box<Verify>),
    Chain(Box<FollowChain>),
    Many(Box<LookupMany>),
    Ranges(Box<ReadRanges>),
    Next(Box<Next>),
    Commit(Box<Commit>),
    Identify(Box<Identify>),
    Fates(Fates),
    WriteOut(Box<WriteOut>),
    ReadStaged(Box<ReadStaged>),
    Await(Await),
    Untold(Untold),
    Pass(PassAsked),
    /// Answered without waiting.
    Ready(Box<Answer>),
}

/// The machine of an operation, or why there can be none.
pub(crate) fn machine_for(core: &mut Core, op: Op) -> Result<Machine, Error> {
    Ok(match op {
        Op::Lookup { table, key } => Machine::Lookup(Lookup { table, key, known: Known::default(), failed: None }),
        Op::LookupMany { table, keys } => Machine::Many(Box::new(LookupMany::new(table, keys)?)),
        Op::ReadRanges { table, key, ranges } => Machine::Ranges(Box::new(ReadRanges::new(table, key, ranges)?)),
        Op::Follow { table, key, field } => {
            Machine::Follow(Follow { table, key, field, known: Known::default(), failed: None })
        }
        Op::Verify { table, key } => Machine::Verify(Box::new(Verify::new(table, key))),
        Op::FollowChain { table, key, fields, depth_max, records_max } => {
            let links = Links::new(fields, depth_max, records_max)?;
            Machine::Chain(Box::new(FollowChain::new(core, (table, key), links)?))
        }
        Op::Next { table, from, until, direction, pairs_max, bytes_max } => {
            let limits = (pairs_max, bytes_max);
            Machine::Next(Box::new(Next::new(core, table, from, until, direction, limits)?))
        }
        Op::Commit { set, level } => Machine::Commit(Box::new(Commit::new(core, set, level)?)),
        Op::Await { .. } | Op::AwaitCommit { .. } if !core.capabilities().persistence => {
            let domain = core.capabilities().name;
            return Err(Error::Unsupported { domain, what: "notices of persistence" });
        }
        Op::Await { epoch } | Op::AwaitCommit { version: Version { epoch, .. } } => {
            Machine::Await(Await { epoch: Some(epoch) })
        }
        Op::Force => Machine::Await(Await { epoch: None }),
        Op::CommitOnce { set, level, once } => Machine::Commit(Box::new(Commit::new(core, set, level)?.once(once))),
        Op::Identify { client, attempt } => Machine::Identify(Box::new(Identify::new(client, attempt)?)),
        Op::Fates { client, requests } => Machine::Fates(Fates::new(client, requests)?),
        Op::OpenStage => ready(core.open_stage()?),
        Op::Stage(what) => Machine::WriteOut(Box::new(WriteOut::new(*what))),
        Op::ReadStaged { stage, number, table, key } => {
            Machine::ReadStaged(Box::new(ReadStaged::new(stage, number, table, key)))
        }
        Op::Reserve { table, count } => ready(Answer::Reserved(core.reserve(table, count)?)),
        Op::CreateTable { .. } | Op::OpenTable { .. } | Op::RenameTable { .. } | Op::DestroyTable { .. } => {
            catalog_machine(core, op)?
        }
        Op::ListTables => ready(Answer::Tables(core.tables_told())),
        Op::Status => {
            core.stages.sweep();
            ready(Answer::Status(Box::new(status::of(core))))
        }
        Op::DropCache => {
            core.records.cache.clear();
            if let Some(log) = &mut core.records.log {
                log.drop_tail();
            }
            ready(Answer::Done)
        }
        Op::Reclaim => Machine::Pass(core.ask_for_pass()?),
        Op::Segments { from } => ready(Answer::Segments(space::segments(core, from))),
    })
}

/// The machine of an operation on tables. Its commit is made from what the catalog says now, and anew when that has changed
/// before it could be applied.
fn catalog_machine(core: &mut Core, op: Op) -> Result<Machine, Error> {
    if let Op::OpenTable { name, .. } = &op
        && let Some(epoch) = core.untold(name)
    {
        return Ok(Machine::Untold(Untold { op, epoch }));
    }
    let made_of = op.clone();
    let mut machine = match op {
        Op::CreateTable { name, spec } => core.create_table(name, spec)?,
        Op::OpenTable { name, spec } => core.open_table(&name, spec)?,
        Op::RenameTable { from, to } => core.rename_table(&from, to)?,
        Op::DestroyTable { name } => core.destroy_table(&name)?,
        Op::Lookup { .. }
        | Op::LookupMany { .. }
        | Op::ReadRanges { .. }
        | Op::Next { .. }
        | Op::Follow { .. }
        | Op::Verify { .. }
        | Op::FollowChain { .. }
        | Op::Commit { .. }
        | Op::CommitOnce { .. }
        | Op::Identify { .. }
        | Op::Fates { .. }
        | Op::OpenStage
        | Op::Stage(_)
        | Op::ReadStaged { .. }
        | Op::Reserve { .. }
        | Op::Await { .. }
        | Op::AwaitCommit { .. }
        | Op::Force
        | Op::ListTables
        | Op::Status
        | Op::DropCache
        | Op::Reclaim
        | Op::Segments { .. } => unreachable!("{made_of:?} does not change the catalog"),
    };
    if let Machine::Commit(commit) = &mut machine {
        commit.made_of(made_of, core.catalog.changes());
    }
    Ok(machine)
}

/// A machine that has its answer already.
pub(crate) fn ready(answer: Answer) -> Machine {
    Machine::Ready(Box::new(answer))
}

impl Machine {
    /// Goes as far as it can. `behind` says that older commits wait to be applied.
    pub(crate) fn step(&mut self, core: &mut Core, now: Tick, behind: bool) -> Step {
        match self {
            Self::Lookup(lookup) => lookup.step(core, now),
            Self::Follow(follow) => follow.step(core, now),
            Self::Verify(verify) => verify.step(core, now),
            Self::Chain(chain) => chain.step(core, now),
            Self::Many(many) => many.step(core, now),
            Self::Ranges(ranges) => ranges.step(core, now),
            Self::Next(next) => next.step(core, now),
            Self::Commit(commit) => match commit.take_stale(core) {
                None => commit.step(core, now, behind),
                Some(op) => self.begin_anew(op, core, now, behind),
            },
            Self::Identify(identify) => match identify.step(core, now) {
                Stepped::As(step) => step,
                Stepped::Becomes(commit) => {
                    *self = Self::Commit(commit);
                    self.step(core, now, behind)
                }
            },
            Self::Fates(fates) => fates.step(core, now, behind),
            Self::WriteOut(write) => write.step(core, now, behind),
            Self::ReadStaged(read) => read.step(core),
            Self::Await(wait) => wait.step(core, now, behind),
            Self::Untold(untold) if core.is_persistent(untold.epoch) => {
                let op = untold.op.clone();
                self.begin_anew(op, core, now, behind)
            }
            Self::Untold(untold) => match core.check_poison() {
                Ok(()) => Step::Wait(Need::Persistent(untold.epoch)),
                Err(error) => Step::Done(Err(error)),
            },
            Self::Pass(pass) => pass.step(core),
            Self::Ready(answer) => Step::Done(Ok(core::mem::replace(answer, Answer::Done))),
        }
    }

    /// Makes it the machine of an operation on tables, from what the catalog says now.
    fn begin_anew(&mut self, op: Op, core: &mut Core, now: Tick, behind: bool) -> Step {
        match catalog_machine(core, op) {
            Ok(machine) => {
                *self = machine;
                self.step(core, now, behind)
            }
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// Takes a record that was read, or why it could not be.
    pub(crate) fn came(&mut self, place: Place, admitted: Result<Arc<[u8]>, Error>) {
        let (known, failed) = match self {
            Self::Lookup(lookup) => (&mut lookup.known, &mut lookup.failed),
            Self::Follow(follow) => (&mut follow.known, &mut follow.failed),
            Self::Verify(verify) => return verify.came(place, admitted),
            Self::Chain(chain) => (&mut chain.known, &mut chain.failed),
            Self::Many(many) => (&mut many.known, &mut many.failed),
            Self::Ranges(ranges) => (&mut ranges.known, &mut ranges.failed),
            Self::Next(next) => (&mut next.known, &mut next.failed),
            Self::Commit(commit) => (&mut commit.known, &mut commit.failed),
            Self::Identify(identify) => (&mut identify.known, &mut identify.failed),
            Self::WriteOut(write) => (&mut write.known, &mut write.failed),
            Self::ReadStaged(read) => (&mut read.known, &mut read.failed),
            Self::Await(_) | Self::Fates(_) | Self::Untold(_) | Self::Pass(_) | Self::Ready(_) => {
                unreachable!("only operations on pairs read")
            }
        };
        match admitted {
            Ok(record) => known.add(place, record),
            Err(error) => *failed = Some(error),
        }
    }

    /// What commits and others that wait long have read in these pages they do not keep: other records will lie there. Those that only
    /// read hold places too, and are waited for ([`Self::holds_places`]).
    pub(crate) fn forget(&mut self, pages: &Range<PageNo>) {
        let known = match self {
            Self::Commit(commit) => &mut commit.known,
            Self::Identify(identify) => &mut identify.known,
            Self::WriteOut(write) => &mut write.known,
            Self::ReadStaged(read) => &mut read.known,
            Self::Lookup(_) | Self::Follow(_) | Self::Verify(_) | Self::Chain(_) | Self::Many(_) => return,
            Self::Ranges(_) | Self::Next(_) => return,
            Self::Await(_) | Self::Fates(_) | Self::Untold(_) | Self::Pass(_) | Self::Ready(_) => return,
        };
        known.forget(pages);
    }

    /// Whether it may go on with places that it found before it waited. It only reads, so it does not wait for long.
    pub(crate) fn holds_places(&self) -> bool {
        match self {
            Self::Lookup(_) | Self::Follow(_) | Self::Verify(_) | Self::Chain(_) | Self::Many(_) => true,
            Self::Ranges(_) | Self::Next(_) => true,
            Self::Commit(_) | Self::Identify(_) | Self::WriteOut(_) | Self::ReadStaged(_) => false,
            Self::Await(_) | Self::Fates(_) | Self::Untold(_) | Self::Pass(_) | Self::Ready(_) => false,
        }
    }

    /// Takes pages that were read.
    pub(crate) fn pages_came(&mut self, pages: Vec<(PageNo, Result<PagePart, Error>)>) {
        let Self::Ranges(ranges) = self else { unreachable!("only a read of ranges reads pages") };
        ranges.pages_came(pages);
    }

    /// Whether it has its turn among the commits still before it: a commit with changes that are not applied yet, or a force
    /// that is to cover those before it.
    pub(crate) fn waits_to_apply(&self) -> bool {
        match self {
            Self::Commit(commit) => commit.waits_to_apply(),
            Self::Await(wait) => wait.epoch.is_none(),
            Self::Fates(_) | Self::WriteOut(_) => true,
            Self::Identify(_) => false,
            Self::Verify(_) | Self::Chain(_) | Self::Many(_) | Self::Ranges(_) => false,
            Self::Lookup(_) | Self::Follow(_) | Self::Next(_) | Self::Untold(_) | Self::Ready(_) => false,
            Self::ReadStaged(_) | Self::Pass(_) => false,
        }
    }
}

/// A lookup. It waits for at most one read a candidate.
#[derive(Debug)]
pub(crate) struct Lookup {
    table: TableId,
    key: Vec<u8>,
    known: Known,
    failed: Option<Error>,
}

impl Lookup {
    fn step(&mut self, core: &mut Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.table)));
        }
        let located = core.table(self.table).and_then(|table| {
            let sought = core.sought(table, &self.key);
            core.locate(table, sought, &self.known, Want::Record, now)
        });
        let pair = match located {
            Err(error) => return Step::Done(Err(error)),
            Ok(Located::Unread { places }) => return Step::Wait(Need::Reads(places)),
            Ok(Located::Present { found, .. }) => found.map(Found::into_pair),
            Ok(Located::Absent | Located::Expired { .. }) => None,
        };
        if self.known.is_empty() {
            core.counters.lookups_memory += 1;
        } else {
            core.counters.lookups_device += 1;
        }
        Step::Done(Ok(Answer::Pair(pair)))
    }
}

/// A follow: two lookups, the second's key out of the first's record.
#[derive(Debug)]
pub(crate) struct Follow {
    table: TableId,
    key: Vec<u8>,
    field: u16,
    known: Known,
    failed: Option<Error>,
}

impl Follow {
    fn step(&mut self, core: &mut Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.table)));
        }
        match self.look(core, now) {
            Ok(Ok(followed)) => Step::Done(Ok(Answer::Followed(followed))),
            Ok(Err(places)) => Step::Wait(Need::Reads(places)),
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// The answer, or the places that must be read first.
    fn look(&self, core: &Core, now: Tick) -> Result<OrPlaces<Followed>, Error> {
        let table = core.table(self.table)?;
        let target = pointer_table(&table.info, self.field)?;
        let from = match core.locate(table, core.sought(table, &self.key), &self.known, Want::Record, now)? {
            Located::Unread { places } => return Ok(Err(places)),
            Located::Absent | Located::Expired { .. } => return Ok(Ok(Followed::Absent)),
            Located::Present { found, .. } => found.expect("the record was asked for"),
        };
        let Some(target_key) = pointer_key(self.table, self.field, from.value())? else {
            return Ok(Ok(Followed::Null { from: from.into_pair() }));
        };
        let target = core.catalog.by_name(target).ok_or_else(|| Error::NoSuchTable { name: target.to_owned() })?;
        let target = core.table(target)?;
        match core.locate(target, core.sought(target, target_key), &self.known, Want::Record, now)? {
            Located::Unread { places } => Ok(Err(places)),
            Located::Absent | Located::Expired { .. } => {
                Ok(Ok(Followed::Dangling { target: target_key.to_vec(), from: from.into_pair() }))
            }
            Located::Present { found, .. } => {
                let to = found.expect("the record was asked for").into_pair();
                Ok(Ok(Followed::Found { from: from.into_pair(), to }))
            }
        }
    }
}

/// The table that a pointer field names.
pub(crate) fn pointer_table(info: &TableInfo, field: u16) -> Result<&str, Error> {
    match info.spec.record.get(usize::from(field)).map(|field| &field.field_type) {
        Some(FieldType::Pointer { table }) => Ok(table),
        _ => Err(Error::NotAPointer { table: info.id, field }),
    }
}

/// The key that a record's pointer field names; nothing when it is null, or older than the field.
pub(crate) fn pointer_key(table: TableId, field: u16, record: &[u8]) -> Result<Option<&[u8]>, Error> {
    envelope::field(record, usize::from(field))
        .and_then(|field| field.map_or(Ok(None), envelope::pointer_target))
        .map_err(|_| Error::CorruptRecord { table, page: 0, why: "its fields cannot be told apart" })
}

/// Waits for an epoch to be persistent.
#[derive(Debug)]
pub(crate) struct Await {
    /// Which; of a force nothing until all commits that came before it are applied, then the last that one of them joined.
    epoch: Option<EpochId>,
}

impl Await {
    fn step(&mut self, core: &mut Core, now: Tick, behind: bool) -> Step {
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => {
                // What those before it wait for may itself wait for an epoch to end, so it is asked for here too.
                core.force(now);
                if behind && core.poisoned.is_none() {
                    return Step::Wait(Need::Turn);
                }
                *self.epoch.insert(core.joined)
            }
        };
        let horizon = core.horizon();
        match core.cuts.fate(epoch) {
            Fate::Lost => return Step::Done(Err(Error::EpochLost { epoch })),
            Fate::Survived => return Step::Done(Ok(Answer::Persistent(horizon))),
            Fate::Present if epoch <= horizon.persistent => return Step::Done(Ok(Answer::Persistent(horizon))),
            // The last is refused below, as one that no commit has joined.
            Fate::Present | Fate::Unborn => {}
        }
        if let Err(error) = core.check_poison() {
            return Step::Done(Err(error));
        }
        // An epoch that no commit has joined yet may never be left: whoever waits for it made it up.
        if epoch > core.joined {
            let limit = core.joined.0;
            return Step::Done(Err(Error::Limit { what: "the epoch", value: epoch.0, limit }));
        }
        Step::Wait(Need::Persistent(epoch))
    }
}

/// An open of a table whose creation is not persistent yet. It begins anew when it is.
#[derive(Debug)]
pub(crate) struct Untold {
    op: Op,
    epoch: EpochId,
}

/// What a commit that is an operation of its own answers in the end.
pub(crate) fn answer_of(after: &After, committed: Committed) -> Answer {
    match after {
        After::Committed => Answer::Committed(committed),
        After::Table(info) => Answer::Table((**info).clone()),
        After::Done => Answer::Done,
        After::Answer(answer) => (**answer).clone(),
    }
}
