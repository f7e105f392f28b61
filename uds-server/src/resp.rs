//! One connection that speaks RESP, without its socket: commands in, operations out; answers in, replies out.
//!
//! Contract:
//! * replies come in the order of their commands;
//! * the commands of a connection take effect in their order: a run of reads is in flight together, and so is a run of blind
//!   updates; anything else waits for those before it and is waited for;
//! * nothing is begun while the connection has used up its credits, or does not read;
//! * what a peer sends is data: a command that cannot be carried out is answered with an error, and only bytes that are no
//!   commands end the connection.
//!
//! `parser` and `writer` are the bytes, `table` lists the commands, `script` carries out those on keys, the other families have a
//! file each. What lostore does otherwise than Redis stands in `design/redis-differences.md`.
//!
//! It reads no clock and no socket: time comes as a [`Tick`], bytes as slices.

use crate::budget::{Held, Kind, reply_bytes};
use crate::calls::Ticket;
use crate::faults;
use crate::limits::{Limits, READ_BYTES_MIN};
use crate::session::{Facts, World, after};
use crate::transactions::memory_of;
use connection::Connection;
use domains::{Answer, Error, Op, Tick};
use fault::Fault;
use intake::Intake;
use parser::{Parser, Request};
use script::Script;
use slots::{Class, Machine, Slots};
use task::{Context, Step, Stepped, Task};
use writer::Writer;

/// The number under which it is waited until what replies are held for is persistent.
const PERSISTENT: u32 = u32::MAX - 1;

mod begin;
mod command;
mod connect;
mod connection;
mod expiry;
mod fault;
mod feed;
pub mod fuzz;
pub mod glob;
mod inline;
mod intake;
mod iterate;
mod keys;
mod now;
mod number;
mod options;
pub mod parser;
mod part;
mod persist;
mod script;
mod server;
pub(crate) mod shared;
mod slots;
mod space;
mod store;
mod strings;
mod table;
mod tables;
mod task;
mod view;
mod watch;
mod words;
pub mod writer;

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Open,
    /// It sends no more; what it has sent is carried out.
    Closing,
    /// Nothing more is taken from it; it ends when what was begun is answered and sent.
    Ending,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    life: Life,
    /// The server stops: commands are answered with an error.
    stopping: bool,
    parser: Parser,
    /// What the first command has of the memory.
    intake: Intake,
    out: Writer,
    slots: Slots,
    connection: Connection,
    /// The first command waits: for room, or for those before it.
    stalled: bool,
    received_at: Tick,
    /// Since when replies wait and the socket has taken nothing.
    unsent_since: Option<Tick>,
    /// Bytes taken by the socket since then.
    drained: usize,
    title: String,
}

impl Session {
    pub(crate) fn new(id: u64, facts: &Facts, now: Tick) -> Self {
        Self {
            life: Life::Open,
            stopping: false,
            parser: Parser::new(facts.limits.request_frame_bytes_max as usize),
            intake: Intake::default(),
            out: Writer::default(),
            slots: Slots::new(),
            connection: Connection::new(id, facts.redis_level, now),
            stalled: false,
            received_at: now,
            unsent_since: None,
            drained: 0,
            title: String::new(),
        }
    }

    /// Takes bytes from the socket and begins what they ask for.
    pub(crate) fn receive(&mut self, bytes: &[u8], world: &mut World<'_>) {
        if self.life == Life::Ending {
            return;
        }
        self.received_at = world.now;
        self.parser.push(bytes);
        self.proceed(world);
    }

    /// The peer will send no more. What it has sent is carried out and answered, in case it still reads.
    pub(crate) fn end_of_input(&mut self) {
        if self.life == Life::Open && (self.stalled || self.waits_for_memory()) {
            self.life = Life::Closing;
        } else {
            self.end();
        }
    }

    /// The connection is not served: the peer is told why.
    pub(crate) fn refuse_connection(&mut self, code: u16) {
        let sequence = self.slots.begin(Class::Any, (0, 0));
        self.settle(sequence, |out| out.error(&format!("ERR LS{code:04} {}", faults::message(code))));
        self.end();
    }

    /// The server stops: what is under way is answered, and then the connection ends.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        self.connection.discard();
    }

    /// The domain has answered.
    pub(crate) fn answered(&mut self, ticket: Ticket, result: &Result<Answer, Error>, world: &mut World<'_>) {
        let Some((sequence, number)) = ticket else { return };
        if number == PERSISTENT {
            self.persistent(sequence, result, world);
            return self.proceed(world);
        }
        let Some(machine) = self.slots.take(sequence) else { return };
        match machine {
            Machine::Get { key } => self.got(sequence, &key, result, world),
            Machine::Put { outcome } => self.put(sequence, outcome, result, world),
            Machine::Task { task, reply } => {
                let after = matches!(result, Ok(Answer::Committed(_)));
                self.step_after(sequence, (task, reply), after, world, |task, context, reply| {
                    task.answered(number, result, context, reply)
                });
            }
        }
        self.flush();
        self.proceed(world);
    }

    /// What was committed up to this command is persistent, or never will be.
    fn persistent(&mut self, last: u32, result: &Result<Answer, Error>, world: &mut World<'_>) {
        let dialect = self.connection.dialect;
        self.slots.release(last, |epoch| {
            let error = result.as_ref().err()?;
            world.shared.counters.errors += 1;
            let mut reply = Writer::new(dialect);
            Fault::from(error.clone().of_applied(epoch)).write(&mut reply);
            Some(reply)
        });
        self.flush();
    }

    /// A lookup has come back.
    fn got(&mut self, sequence: u32, key: &[u8], result: &Result<Answer, Error>, world: &mut World<'_>) {
        match result {
            Ok(Answer::Pair(pair)) => {
                world.shared.counters.looked(pair.is_some());
                let value = pair.as_ref().map(|pair| pair.value.as_slice());
                let waiting = self.out.len() + self.slots.gathered();
                let too_much = waiting + value.map_or(0, <[u8]>::len) > world.facts.limits.unsent_bytes_hard;
                if too_much && waiting > 0 {
                    return self.refuse(sequence, &Fault::SlowReader, world);
                }
                if !self.has_reply(value.map_or(0, <[u8]>::len), world) {
                    return self.refuse(sequence, &Fault::Memory, world);
                }
                self.settle(sequence, |out| out.bulk_or_null(value));
            }
            Ok(other) => unreachable!("a key was looked up, and the answer is {other:?}"),
            Err(Error::TableGone { table }) => {
                // The keyspace was emptied meanwhile: look where it is now.
                world.shared.forget_table(*table);
                let task = Script::single(&table::GET, Request::of(&[b"GET", key]), &self.connection);
                let reply = Writer::new(self.connection.dialect);
                self.step(sequence, (Box::new(task), reply), world, |task, context, reply| task.start(context, reply));
            }
            Err(error) => self.refuse(sequence, &error.clone().into(), world),
        }
    }

    /// Lets a task go on, and settles it when it is done.
    fn step(
        &mut self,
        sequence: u32,
        task: (Task, Writer),
        world: &mut World<'_>,
        call: impl FnOnce(&mut Task, &mut Context<'_, '_>, &mut Writer) -> Stepped,
    ) {
        self.step_after(sequence, task, false, world, call);
    }

    /// The same, perhaps after a commit, which cannot be refused any more, nor when it commits itself. Before, a task that takes more memory than there is ends
    /// with that, and what it asked in this step is not asked.
    fn step_after(
        &mut self,
        sequence: u32,
        (mut task, mut reply): (Task, Writer),
        after_commit: bool,
        world: &mut World<'_>,
        call: impl FnOnce(&mut Task, &mut Context<'_, '_>, &mut Writer) -> Stepped,
    ) {
        let asked_before = world.asked.len();
        let mut context = Context {
            connection: &mut self.connection,
            shared: world.shared,
            limits: &world.facts.limits,
            now: world.now,
            horizon: world.horizon,
            sequence,
            memory: &mut world.memory,
            had: 0,
            guard: world.guard,
            committed: after_commit,
            direct: &mut *world.direct,
            asked: world.asked,
        };
        let mut stepped = call(&mut task, &mut context, &mut reply);
        let (had, committed, before) = (context.had, context.committed, self.slots.grown(sequence));
        let asked: usize = world.asked[asked_before..].iter().map(|(_, op)| set_bytes(op)).sum();
        let grown = [task.bytes() + asked, reply_bytes(reply.len())];
        let has = world.memory.raise(Kind::Request, grown[0].saturating_sub(before[0] + had))
            && world.memory.raise(Kind::Reply, grown[1].saturating_sub(before[1]));
        if has || committed {
            self.slots.set_grown(sequence, grown);
        } else if stepped.is_ok() {
            world.asked.truncate(asked_before);
            stepped = Err(Fault::Memory);
        }
        match stepped {
            Ok(Step::Wait) => self.slots.put_back(sequence, Machine::Task { task, reply }),
            Ok(Step::Done) => self.slots.settle(sequence, reply),
            Ok(Step::Committed(epoch)) => self.slots.hold(sequence, reply, epoch),
            Err(fault) => self.refuse(sequence, &fault, world),
        }
    }

    /// Whether there is memory for a reply of so many bytes.
    fn has_reply(&self, bytes: usize, world: &mut World<'_>) -> bool {
        let waiting = self.out.len() + self.slots.gathered();
        world.memory.raise(Kind::Reply, reply_bytes(waiting + bytes) - reply_bytes(waiting))
    }

    /// Whether the first command waits for memory.
    pub(crate) fn waits_for_memory(&self) -> bool {
        self.intake.waits.is_some()
    }

    /// Memory that the connection takes.
    pub(crate) fn held(&self) -> Held {
        self.held_beside(&self.parser)
    }

    fn held_beside(&self, parser: &Parser) -> Held {
        let [requests, replies] = self.slots.held();
        let command = parser.capacity().max(self.intake.paid);
        let unsent = self.out.len() + self.slots.gathered();
        [requests + command + self.connection.held(), replies + reply_bytes(unsent)]
    }

    /// Nothing happens for a while: memory that is kept for what may come is given back.
    pub(crate) fn rest(&mut self) {
        self.parser.rest();
        self.out.rest();
        self.slots.rest();
    }

    /// Writes a command's reply: at its place, or at once when it is the first.
    fn settle(&mut self, sequence: u32, write: impl FnOnce(&mut Writer)) {
        if self.slots.is_first(sequence) {
            let before = self.out.len();
            write(&mut self.out);
            self.slots.expect_bytes(self.out.len() - before);
            self.slots.pop_first();
            return;
        }
        let mut reply = Writer::new(self.connection.dialect);
        write(&mut reply);
        self.slots.settle(sequence, reply);
    }

    fn refuse(&mut self, sequence: u32, fault: &Fault, world: &mut World<'_>) {
        world.shared.counters.errors += 1;
        self.settle(sequence, |out| fault.write(out));
    }

    /// Moves the replies whose turn it is to what is sent.
    fn flush(&mut self) {
        self.slots.flush(&mut self.out);
    }

    /// What time and other connections have brought. Says when to call again, by the clock alone.
    pub(crate) fn turn(&mut self, world: &mut World<'_>) -> Option<Tick> {
        for sequence in self.slots.tasks() {
            if let Some(Machine::Task { task, reply }) = self.slots.take(sequence) {
                self.step(sequence, (task, reply), world, |task, context, reply| task.turn(context, reply));
            }
        }
        self.flush();
        self.show_news(world);
        self.proceed(world);
        let limits = &world.facts.limits;
        // Inside a command: between commands a connection may be idle for ever, and a stalled one waits for us.
        let waits = self.stalled || self.waits_for_memory();
        let inside = self.life == Life::Open && !self.parser.is_empty() && !waits;
        let reading =
            [Some(after(self.received_at, limits.stall_patience)), self.intake.due].into_iter().flatten().min();
        let reading = reading.filter(|_| inside);
        if reading.is_some_and(|due| due.nanos <= world.now.nanos) {
            self.refuse_connection(wire::codes::TIMED_OUT);
            return None;
        }
        if self.unsent_since.is_none() && !self.out.is_empty() {
            (self.unsent_since, self.drained) = (Some(world.now), 0);
        }
        let sending = self.unsent_since.map(|since| after(since, limits.stall_patience));
        [reading, sending, self.slots.due()].into_iter().flatten().min()
    }

    /// Whether the peer has not read for too long, so that the connection is cut.
    pub(crate) fn is_stuck(&self, limits: &Limits, now: Tick) -> bool {
        self.unsent_since.is_some_and(|since| after(since, limits.stall_patience).nanos <= now.nanos)
    }

    /// Whether bytes should be received.
    pub(crate) fn wants_bytes(&self) -> bool {
        self.life == Life::Open && !self.stalled && !self.waits_for_memory()
    }

    /// Whether the connection can be closed: all is answered and sent.
    pub(crate) fn is_over(&self) -> bool {
        let ends = self.life == Life::Ending || self.stopping && !self.stalled && !self.waits_for_memory();
        ends && self.slots.is_empty() && self.out.is_empty()
    }

    /// Bytes to be sent next, at most so many. They stay until [`Self::consume`].
    pub(crate) fn output(&self, bytes_max: usize) -> &[u8] {
        let bytes = self.out.bytes();
        &bytes[..bytes.len().min(bytes_max)]
    }

    /// The socket has taken so many bytes.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.out.consume(bytes);
        self.drained += bytes;
    }

    /// The socket has taken bytes: the peer reads, and there may be room to go on.
    pub(crate) fn sent(&mut self, world: &mut World<'_>) {
        // A reader that takes a byte now and then is none.
        if self.out.is_empty() {
            self.unsent_since = None;
        } else if self.drained >= READ_BYTES_MIN {
            (self.unsent_since, self.drained) = (Some(world.now), 0);
        }
        self.show_news(world);
        self.proceed(world);
    }

    /// Its turn has come.
    pub(crate) fn go_on(&mut self, world: &mut World<'_>) {
        self.proceed(world);
    }

    /// Bytes of replies that are not sent.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len() + self.slots.gathered()
    }

    /// The connection's number.
    pub(crate) fn id(&self) -> u64 {
        self.connection.id
    }

    /// Who it is, for people.
    pub(crate) fn client(&self) -> &str {
        &self.title
    }

    fn end(&mut self) {
        self.life = Life::Ending;
        self.stalled = false;
        self.intake = Intake::default();
        self.connection.discard();
        self.parser = Parser::new(0);
    }
}

/// Memory of what is committed: the set, and the values that it was made of.
fn set_bytes(op: &Op) -> usize {
    if let Op::Commit { set, .. } = op { 2 * memory_of(set) } else { 0 }
}

#[cfg(test)]
mod tests;
