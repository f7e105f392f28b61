//! A command under way: what it is told, what it may ask, and how it ends.
//!
//! Contract: a task asks through its context, each operation under a number of its own choosing, is told every answer, and is done
//! once; what it wrote by then is its reply.

use super::connection::Connection;
use super::fault::Fault;
use super::shared::{Keyspace, Shared};
use super::writer::Writer;
use crate::budget::{Account, Kind};
use crate::calls::Ticket;
use crate::gate::Guard;
use crate::limits::Limits;
use crate::session::Direct;
use domains::schema::{TableHome, TableKind};
use domains::{Answer, Committed, Error, Horizon, Level, Op, Persistence, Tick};
use segments::{EpochId, TableId};
use std::fmt::Debug;
use std::sync::Arc;

/// How far a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Step {
    /// Something it asked is not answered yet, or its time has not come.
    Wait,
    /// Its reply is whole.
    Done,
    /// Its reply is whole, and goes when this epoch is persistent.
    Committed(EpochId),
}

/// What a task is told, and where it puts what it asks.
pub(crate) struct Context<'a, 'b> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) shared: &'a mut Shared,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Tick,
    pub(crate) horizon: Horizon,
    pub(crate) sequence: u32,
    /// The connection's part of all memory.
    pub(crate) memory: &'a mut Account<'b>,
    /// What was had of it in this call.
    pub(crate) had: usize,
    /// What the connection may do.
    pub(crate) guard: Guard<'a>,
    /// Something was asked at once: the task cannot be refused any more.
    pub(crate) committed: bool,
    pub(crate) direct: &'a mut dyn Direct<Ticket>,
    pub(crate) asked: &'a mut Vec<(Ticket, Op)>,
}

impl Context<'_, '_> {
    /// Asks the domain.
    pub(crate) fn ask(&mut self, number: u32, op: Op) {
        self.asked.push((Some((self.sequence, number)), op));
    }

    /// Asks the domain before anything else that is asked in this call. The answer when it is there within the call; else it comes
    /// later under the number.
    pub(crate) fn ask_now(&mut self, number: u32, op: Op) -> Option<Result<Answer, Error>> {
        self.committed = true;
        self.direct.ask(Some((self.sequence, number)), op)
    }

    /// Memory for what is about to be read.
    pub(crate) fn take_memory(&mut self, bytes: usize) -> Result<(), Fault> {
        if !self.memory.raise(Kind::Request, bytes) {
            return Err(Fault::Memory);
        }
        self.had += bytes;
        Ok(())
    }

    /// Whether the connection may know of a table of this name.
    pub(crate) fn knows(&self, name: &str) -> Result<(), Fault> {
        if self.guard.knows(name) { Ok(()) } else { Err(Fault::NoTable { name: name.to_owned() }) }
    }

    /// Asks the domain for something whose answer nobody waits for.
    pub(crate) fn ask_aside(&mut self, op: Op) {
        self.asked.push((None, op));
    }
}

impl Step {
    /// After a commit, for a connection whose updates are answered at this level.
    pub(crate) fn after(committed: &Committed, level: Level) -> Self {
        let waits = level == Level::Persistent && committed.persistence == Persistence::Pending;
        if waits { Self::Committed(committed.epoch) } else { Self::Done }
    }
}

/// What a task does when it is told something: it waits, it is done, or it fails, which is written for it.
pub(crate) type Stepped = Result<Step, Fault>;

/// A command that asks the domain.
pub(crate) trait Work: Debug {
    /// Begins.
    fn start(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped;

    /// Takes an answer. Who asks nothing hears none.
    fn answered(
        &mut self,
        _number: u32,
        result: &Result<Answer, Error>,
        _context: &mut Context<'_, '_>,
        _reply: &mut Writer,
    ) -> Stepped {
        unreachable!("nothing was asked, and the answer is {result:?}")
    }

    /// Time has passed, or other connections have moved on.
    fn turn(&mut self, _context: &mut Context<'_, '_>, _reply: &mut Writer) -> Stepped {
        Ok(Step::Wait)
    }

    /// When it wants to be told that time has passed.
    fn due(&self) -> Option<Tick> {
        None
    }

    /// Memory that it takes beside the command's own bytes, its reply, and what it has asked.
    fn bytes(&self) -> usize {
        0
    }

    /// Operations that it has in flight at most.
    fn credits(&self) -> usize {
        1
    }
}

/// A task on the heap.
pub(crate) type Task = Box<dyn Work>;

/// The number under which a table is opened or created.
pub(crate) const OPENING: u32 = u32::MAX;

/// What a keyspace is at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// This table.
    Table(TableId),
    /// No table has the name.
    Nothing,
}

/// Finds a keyspace's table, and creates it where that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) name: Arc<str>,
    /// Whether a database's table is created when it is not there.
    pub(crate) create: bool,
    /// It waits for another connection.
    parked: bool,
    /// Whether it may be a sack.
    sacks: bool,
}

impl Opening {
    pub(crate) fn new(name: Arc<str>, create: bool) -> Self {
        Self { name, create, parked: false, sacks: false }
    }

    /// Of a table of any kind.
    pub(crate) fn of_any_kind(name: Arc<str>) -> Self {
        Self { name, create: false, parked: false, sacks: true }
    }

    /// What is known already; else it asks. Who has no right on the name is told so, whether or not there is a table.
    pub(crate) fn begin(&mut self, context: &mut Context<'_, '_>) -> Result<Option<Found>, Fault> {
        context.knows(&self.name)?;
        self.parked = false;
        match context.shared.keyspace(&self.name) {
            Keyspace::At(table) => return Ok(Some(Found::Table(table))),
            Keyspace::Busy(_) => self.parked = true,
            Keyspace::Unknown => self.open(context),
        }
        Ok(None)
    }

    fn open(&self, context: &mut Context<'_, '_>) {
        context.ask(OPENING, Op::OpenTable { name: self.name.to_string(), spec: None });
    }

    /// Looks again when it had to wait for another connection.
    pub(crate) fn turn(&mut self, context: &mut Context<'_, '_>) -> Result<Option<Found>, Fault> {
        if self.parked { self.begin(context) } else { Ok(None) }
    }

    pub(crate) fn due(&self, now: Tick) -> Option<Tick> {
        self.parked.then(|| crate::session::after(now, std::time::Duration::from_millis(1)))
    }

    /// Takes the answer; nothing when it had to ask further.
    pub(crate) fn answered(
        &mut self,
        result: &Result<Answer, Error>,
        context: &mut Context<'_, '_>,
    ) -> Result<Option<Found>, Fault> {
        match result {
            Ok(Answer::Table(info)) if info.spec.kind == TableKind::Sack && !self.sacks => Err(Fault::Unserved {
                what: "a sack as a keyspace",
                instead: "use LS.GET and LS.NEXT, which name the table",
            }),
            Ok(Answer::Table(info)) => {
                // A sack is looked up again each time, so that it is never taken for a keyspace.
                if info.spec.kind != TableKind::Sack {
                    context.shared.set_keyspace(&self.name, Keyspace::At(info.id));
                }
                Ok(Some(Found::Table(info.id)))
            }
            Err(Error::NoSuchTable { .. }) if self.create => {
                let spec = lostore::plain_spec(TableKind::Hash, TableHome::Persistent);
                context.ask(OPENING, Op::CreateTable { name: self.name.to_string(), spec });
                Ok(None)
            }
            Err(Error::NoSuchTable { .. }) => Ok(Some(Found::Nothing)),
            Err(Error::TableExists { .. }) => {
                self.open(context);
                Ok(None)
            }
            Err(error) => Err(error.clone().into()),
            Ok(other) => unreachable!("a table was opened, and the answer is {other:?}"),
        }
    }
}
