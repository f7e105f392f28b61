//! From a command to what it asks of the domain.

use super::command::{self, Blind, Call, Does, Fast, Outcome, Spec};
use super::connection::Multi;
use super::fault::{Fault, quoted};
use super::parser::{Args, Request};
use super::script::Script;
use super::shared::Keyspace;
use super::slots::{Class, Machine};
use super::task::{Step, Task};
use super::writer::Writer;
use super::{Life, Session};
use crate::acl::Right;
use crate::budget::{Kind, reply_bytes};
use crate::session::World;
use crate::transactions::memory_of;
use domains::{Answer, Error, Level, Op, Seen};
use segments::TableId;
use txn::limits::{SET_BYTES_MAX, SET_PARTS_MAX};

/// The number under which a lookup or a commit that stands alone is asked.
const ONLY: u32 = 0;
/// What a command in flight takes beside its bytes.
pub(super) const COMMAND_BYTES: usize = 256;

impl Session {
    /// Begins a command; `false` when it must wait for those before it.
    pub(super) fn begin(&mut self, args: Args<'_>, world: &mut World<'_>) -> bool {
        let call = Call { args, now_ms: world.now.unix_ms };
        let spec = match self.check(&call).and_then(|spec| permitted(spec, world)) {
            Ok(spec) => spec,
            Err(fault) => {
                if let Some(multi) = &mut self.connection.multi {
                    multi.broken = true;
                }
                self.say_fault(&fault, world);
                return true;
            }
        };
        if self.connection.multi.is_some() && !ends_or_looks_at_multi(spec) {
            // The reply to `MULTI` was written, so nothing but earlier replies is waited for.
            let queued = self.put_off(spec, args, world);
            self.show(spec, args, world);
            match queued {
                Ok(()) => self.say(|out| out.simple("QUEUED")),
                Err(fault) => self.say_fault(&fault, world),
            }
            return true;
        }
        let begun = match spec.does {
            Does::Say(say) => {
                let mut reply = Writer::new(self.connection.dialect);
                match say(&call, &mut reply) {
                    Ok(()) if !self.has_reply(reply.len(), world) => self.say_fault(&Fault::Memory, world),
                    Ok(()) => self.say(|out| out.append(&reply)),
                    Err(fault) => self.say_fault(&fault, world),
                }
                true
            }
            Does::Read(..) | Does::Write(..) => self.begin_on_keys(spec, &call, world),
            Does::Connection(change) => self.begin_on_connection(change, &call, world),
            Does::Task(make) => {
                let bytes = args.bytes();
                self.begin_task((spec, bytes), |session| make(&mut session.connection, &call), world)
            }
            Does::Exec => self.begin_task((spec, 0), |session| session.exec(), world),
        };
        if begun {
            self.show(spec, args, world);
            if spec.name == "RESET" {
                world.shared.feed.leave(self.connection.id);
            }
            world.shared.counters.commands += 1;
            self.connection.last = spec.name;
        }
        begun
    }

    /// The command, if there is one and it may be carried out.
    fn check(&self, call: &Call<'_>) -> Result<&'static Spec, Fault> {
        let name = call.at(0);
        let spec = command::find(name).ok_or_else(|| Fault::Unknown { name: quoted(name) })?;
        if !spec.takes(call.len()) {
            return Err(Fault::ArgCount { name: call.name() });
        }
        if self.stopping {
            return Err(Fault::Stopping);
        }
        Ok(spec)
    }

    /// Answers at once, behind the replies that are still to come.
    pub(super) fn say(&mut self, write: impl FnOnce(&mut Writer)) {
        let sequence = self.slots.begin(Class::Any, (0, COMMAND_BYTES));
        self.settle(sequence, write);
    }

    pub(super) fn say_fault(&mut self, fault: &Fault, world: &mut World<'_>) {
        world.shared.counters.errors += 1;
        self.say(|out| fault.write(out));
    }

    /// Keeps a command for `EXEC`.
    fn put_off(&mut self, spec: &'static Spec, args: Args<'_>, world: &mut World<'_>) -> Result<(), Fault> {
        let multi = self.connection.multi.as_mut().expect("it was looked at just now");
        let bytes = args.bytes() + args.len() * 8 + COMMAND_BYTES;
        let fault = match spec.does {
            Does::Connection(_) | Does::Task(_) | Does::Exec => {
                Some(Fault::Unserved { what: "this command inside MULTI", instead: "send it before or after" })
            }
            _ if multi.commands.len() >= SET_PARTS_MAX => Some(txn::SetError::TooManyParts.into()),
            _ if multi.bytes + bytes > SET_BYTES_MAX => Some(txn::SetError::TooManyBytes.into()),
            _ if !world.memory.raise(Kind::Request, 2 * bytes) => Some(Fault::Memory),
            Does::Read(..) | Does::Write(..) | Does::Say(_) => None,
        };
        if let Some(fault) = fault {
            multi.broken = true;
            return Err(fault);
        }
        multi.bytes += bytes;
        multi.commands.push((spec, Request::new(args)));
        Ok(())
    }

    fn exec(&mut self) -> Result<Task, Fault> {
        let Multi { commands, broken, .. } =
            self.connection.multi.take().ok_or(Fault::Text("ERR EXEC without MULTI"))?;
        let watched = std::mem::take(&mut self.connection.watched);
        if broken {
            return Err(Fault::Aborted);
        }
        Ok(Box::new(Script::transaction(commands, watched, &self.connection)))
    }

    fn begin_on_connection(
        &mut self,
        change: fn(&mut super::connection::Connection, &Call<'_>, &mut Writer) -> Result<(), Fault>,
        call: &Call<'_>,
        world: &mut World<'_>,
    ) -> bool {
        if !self.slots.admits(Class::Alone) {
            return false;
        }
        let mut reply = Writer::new(self.connection.dialect);
        match change(&mut self.connection, call, &mut reply) {
            Ok(()) => self.say(|out| out.append(&reply)),
            Err(fault) => self.say_fault(&fault, world),
        }
        self.out.set_dialect(self.connection.dialect);
        self.title = self.connection.title();
        if self.connection.quit {
            self.life = Life::Ending;
        }
        true
    }

    fn begin_task(
        &mut self,
        (spec, bytes): (&'static Spec, usize),
        make: impl FnOnce(&mut Self) -> Result<Task, Fault>,
        world: &mut World<'_>,
    ) -> bool {
        if !self.slots.admits(Class::Alone) {
            return false;
        }
        match make(self) {
            Ok(task) => self.start(Class::Alone, task, COMMAND_BYTES + bytes, world),
            Err(fault) => self.say_fault(&fault, world),
        }
        assert!(!spec.writes(), "{} is carried out on a view", spec.name);
        true
    }

    fn start(&mut self, class: Class, task: Task, bytes: usize, world: &mut World<'_>) {
        let sequence = self.slots.begin(class, (task.credits(), bytes));
        let reply = Writer::new(self.connection.dialect);
        self.step(sequence, (task, reply), world, |task, context, reply| task.start(context, reply));
        self.flush();
    }

    /// Begins a command on keys: as one lookup or one commit where that is enough, else as a script.
    fn begin_on_keys(&mut self, spec: &'static Spec, call: &Call<'_>, world: &mut World<'_>) -> bool {
        if !world.guard.knows(&self.connection.keyspace) {
            self.say_fault(&Fault::NoTable { name: self.connection.keyspace.to_string() }, world);
            return true;
        }
        let known = match world.shared.keyspace(&self.connection.keyspace) {
            Keyspace::At(table) => Some(table),
            Keyspace::Unknown | Keyspace::Busy(_) => None,
        };
        match (spec.does, known) {
            (Does::Read(_, Fast::Get), Some(table)) => self.begin_get(call, table, world),
            (Does::Read(_, Fast::Part(make)), _) => self.begin_part(make(&self.connection, call), call, world),
            (Does::Write(_, Fast::Put(put)), Some(table)) => match put(call, table) {
                Ok(Some(blind)) => self.begin_put(blind, world),
                Ok(None) => self.carry_out(spec, call, table, world) || self.begin_script(spec, call, world),
                Err(fault) => {
                    self.say_fault(&fault, world);
                    true
                }
            },
            (_, Some(table)) if self.carry_out(spec, call, table, world) => true,
            _ => self.begin_script(spec, call, world),
        }
    }

    fn begin_get(&mut self, call: &Call<'_>, table: TableId, world: &mut World<'_>) -> bool {
        if !self.slots.admits(Class::Read) {
            return false;
        }
        let key = call.at(1);
        if self.get_now(table, key, world) {
            return true;
        }
        let sequence = self.slots.begin(Class::Read, (1, COMMAND_BYTES + key.len()));
        world.asked.push((Some((sequence, ONLY)), Op::Lookup { table, key: key.to_vec() }));
        self.slots.put_back(sequence, Machine::Get { key: key.into() });
        true
    }

    /// Answers a lookup at once, where memory can and earlier replies are out of the way.
    fn get_now(&mut self, table: TableId, key: &[u8], world: &mut World<'_>) -> bool {
        if !self.slots.is_quiet() {
            return false;
        }
        // Behind replies that are held it waits for its turn.
        let mut held = (!self.slots.is_empty()).then(|| Writer::new(self.connection.dialect));
        let (before, waiting) = (self.out.len(), self.out.len() + self.slots.gathered());
        let (out, counters, memory) = (&mut self.out, &mut world.shared.counters, &mut world.memory);
        let shown = world.direct.look(table, key, &mut |pair| {
            let out = held.as_mut().unwrap_or(out);
            counters.looked(pair.is_some());
            let bytes = pair.map_or(0, |pair| pair.value.len());
            if memory.raise(Kind::Reply, reply_bytes(waiting + bytes) - reply_bytes(waiting)) {
                out.bulk_or_null(pair.map(|pair| pair.value));
            } else {
                counters.errors += 1;
                Fault::Memory.write(out);
            }
        });
        if self.out.len() > before {
            self.slots.expect_bytes(self.out.len() - before);
        }
        if let Some(reply) = held.filter(|reply| !reply.is_empty()) {
            let sequence = self.slots.begin(Class::Any, (0, COMMAND_BYTES));
            self.slots.settle(sequence, reply);
        }
        shown == Ok(Seen::Ready)
    }

    fn begin_part(&mut self, task: Result<Task, Fault>, call: &Call<'_>, world: &mut World<'_>) -> bool {
        if !self.slots.admits(Class::Read) {
            return false;
        }
        match task {
            Ok(task) => self.start(Class::Read, task, COMMAND_BYTES + call.args.bytes(), world),
            Err(fault) => self.say_fault(&fault, world),
        }
        true
    }

    fn begin_put(&mut self, blind: Blind, world: &mut World<'_>) -> bool {
        if !self.slots.admits(Class::Write) {
            return false;
        }
        let Blind { set, outcome } = blind;
        let bytes = memory_of(&set);
        // Where the parts are so small that the command has not paid for them.
        if !world.memory.raise(Kind::Request, bytes.saturating_sub(self.intake.paid / 2)) {
            self.say_fault(&Fault::Memory, world);
            return true;
        }
        let first = self.slots.is_quiet();
        let sequence = self.slots.begin(Class::Write, (1, COMMAND_BYTES + bytes));
        let (ticket, op) = (Some((sequence, ONLY)), Op::Commit { set, level: Level::Committed });
        if !first {
            world.asked.push((ticket, op));
        } else if let Some(result) = world.direct.ask(ticket, op) {
            self.put(sequence, outcome, &result, world);
            return true;
        }
        self.slots.put_back(sequence, Machine::Put { outcome });
        true
    }

    /// A commit without a look has ended.
    pub(super) fn put(
        &mut self,
        sequence: u32,
        outcome: Outcome,
        result: &Result<Answer, Error>,
        world: &mut World<'_>,
    ) {
        match PutReply::of(outcome, result) {
            Ok(reply) => {
                let step = if let Ok(Answer::Committed(committed)) = result {
                    Step::after(committed, self.connection.level)
                } else {
                    Step::Done
                };
                if let Step::Committed(epoch) = step {
                    let mut held = Writer::new(self.connection.dialect);
                    reply.write(&mut held);
                    self.slots.hold(sequence, held, epoch);
                } else {
                    self.settle(sequence, |out| reply.write(out));
                }
            }
            Err(fault) => {
                if let Err(Error::TableGone { table }) = result {
                    world.shared.forget_table(*table);
                }
                self.refuse(sequence, &fault, world);
            }
        }
    }

    fn begin_script(&mut self, spec: &'static Spec, call: &Call<'_>, world: &mut World<'_>) -> bool {
        let class = if spec.writes() { Class::Alone } else { Class::Read };
        if !self.slots.admits(class) {
            return false;
        }
        let script = Script::single(spec, Request::new(call.args), &self.connection);
        self.start(class, Box::new(script), COMMAND_BYTES + call.args.bytes(), world);
        true
    }
}

/// The command, if it keeps nothing on the server between requests, or the caller may do that.
fn permitted(spec: &'static Spec, world: &World<'_>) -> Result<&'static Spec, Fault> {
    if ["MULTI", "WATCH"].contains(&spec.name) {
        world.guard.server(Right::Txn)?;
    }
    Ok(spec)
}

/// Whether a command is carried out between `MULTI` and `EXEC`, rather than put off.
fn ends_or_looks_at_multi(spec: &Spec) -> bool {
    ["EXEC", "DISCARD", "LS.ABORT", "MULTI", "WATCH", "RESET", "QUIT"].contains(&spec.name)
}

/// What a commit without a look is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PutReply {
    Ok,
    Null,
    Integer(i64),
}

impl PutReply {
    /// The reply to a commit's end.
    pub(super) fn of(outcome: Outcome, result: &Result<Answer, Error>) -> Result<Self, Fault> {
        match (result, outcome) {
            (Ok(Answer::Committed(_)), Outcome::OkOrNull) => Ok(Self::Ok),
            (Ok(Answer::Committed(_)), Outcome::OneOrZero) => Ok(Self::Integer(1)),
            (Err(Error::CompareFailed { .. }), Outcome::OkOrNull) => Ok(Self::Null),
            (Err(Error::CompareFailed { .. }), Outcome::OneOrZero) => Ok(Self::Integer(0)),
            (Err(error), _) => Err(error.clone().into()),
            (Ok(other), _) => unreachable!("a set was committed, and the answer is {other:?}"),
        }
    }

    pub(super) fn write(self, out: &mut Writer) {
        match self {
            Self::Ok => out.simple("OK"),
            Self::Null => out.null(),
            Self::Integer(number) => out.integer(number),
        }
    }
}
