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

use crate::calls::Ticket;
use crate::faults;
use crate::limits::Limits;
use crate::session::{Facts, World, after};
use begin::PutReply;
use connection::Connection;
use domains::{Answer, Error, Tick};
use fault::Fault;
use parser::{Parser, Request};
use script::Script;
use slots::{Class, Machine, Slots};
use task::{Context, Step, Stepped, Task};
use writer::Writer;

mod begin;
mod command;
mod connect;
mod connection;
mod expiry;
mod fault;
pub mod fuzz;
pub mod glob;
mod inline;
mod iterate;
mod keys;
mod number;
mod options;
pub mod parser;
mod persist;
mod script;
mod server;
pub(crate) mod shared;
mod slots;
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
    out: Writer,
    slots: Slots,
    connection: Connection,
    /// The first command waits: for room, or for those before it.
    stalled: bool,
    received_at: Tick,
    /// Since when replies wait and the socket has taken nothing.
    unsent_since: Option<Tick>,
    title: String,
}

impl Session {
    pub(crate) fn new(id: u64, facts: &Facts, now: Tick) -> Self {
        Self {
            life: Life::Open,
            stopping: false,
            parser: Parser::new(facts.limits.request_frame_bytes_max as usize),
            out: Writer::default(),
            slots: Slots::new(),
            connection: Connection::new(id, facts.redis_level, now),
            stalled: false,
            received_at: now,
            unsent_since: None,
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
        if self.life == Life::Open && self.stalled {
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
        let Some(machine) = self.slots.take(sequence) else { return };
        match machine {
            Machine::Get { key } => self.got(sequence, &key, result, world),
            Machine::Put { outcome } => match PutReply::of(outcome, result) {
                Ok(reply) => self.settle(sequence, |out| reply.write(out)),
                Err(fault) => {
                    if let Err(Error::TableGone { table }) = result {
                        world.shared.forget_table(*table);
                    }
                    self.refuse(sequence, &fault, world);
                }
            },
            Machine::Task { task, reply } => {
                self.step(sequence, (task, reply), world, |task, context, reply| {
                    task.answered(number, result, context, reply)
                });
            }
        }
        self.flush();
        self.proceed(world);
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
        (mut task, mut reply): (Task, Writer),
        world: &mut World<'_>,
        call: impl FnOnce(&mut Task, &mut Context<'_>, &mut Writer) -> Stepped,
    ) {
        let mut context = Context {
            connection: &mut self.connection,
            shared: world.shared,
            limits: &world.facts.limits,
            now: world.now,
            horizon: world.horizon,
            sequence,
            look: &mut *world.look,
            asked: world.asked,
        };
        match call(&mut task, &mut context, &mut reply) {
            Ok(Step::Wait) => self.slots.put_back(sequence, Machine::Task { task, reply }),
            Ok(Step::Done) => self.slots.settle(sequence, reply),
            Err(fault) => self.refuse(sequence, &fault, world),
        }
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
        self.proceed(world);
        let limits = &world.facts.limits;
        // Inside a command: between commands a connection may be idle for ever, and a stalled one waits for us.
        let inside = self.life == Life::Open && !self.parser.is_empty() && !self.stalled;
        let reading = inside.then(|| after(self.received_at, limits.stall_patience));
        if reading.is_some_and(|due| due.nanos <= world.now.nanos) {
            self.refuse_connection(wire::codes::TIMED_OUT);
            return None;
        }
        if self.unsent_since.is_none() && !self.out.is_empty() {
            self.unsent_since = Some(world.now);
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
        self.life == Life::Open && !self.stalled
    }

    /// Whether the connection can be closed: all is answered and sent.
    pub(crate) fn is_over(&self) -> bool {
        let ends = self.life == Life::Ending || self.stopping && !self.stalled;
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
    }

    /// The socket has taken bytes: the peer reads, and there may be room to go on.
    pub(crate) fn sent(&mut self, world: &mut World<'_>) {
        self.unsent_since = (!self.out.is_empty()).then_some(world.now);
        self.proceed(world);
    }

    /// The connection's number.
    pub(crate) fn id(&self) -> u64 {
        self.connection.id
    }

    /// Who it is, for people.
    pub(crate) fn client(&self) -> &str {
        &self.title
    }

    /// Begins what waits in the parser, as far as there is room.
    fn proceed(&mut self, world: &mut World<'_>) {
        // The parser is out of the session while its commands are looked at.
        let mut parser = std::mem::replace(&mut self.parser, Parser::new(0));
        while self.life != Life::Ending {
            match parser.poll() {
                Ok(false) => {
                    self.stalled = false;
                    if self.life == Life::Closing {
                        self.end();
                    }
                    break;
                }
                Err(error) => {
                    let sequence = self.slots.begin(Class::Any, (0, 0));
                    self.settle(sequence, |out| out.error(&format!("ERR Protocol error: {error}")));
                    self.end();
                }
                Ok(true) => {
                    self.stalled = !self.has_room(&world.facts.limits) || !self.begin(parser.command(), world);
                    if self.stalled {
                        break;
                    }
                    parser.advance();
                }
            }
        }
        if self.life != Life::Ending {
            self.parser = parser;
        }
    }

    fn has_room(&self, limits: &Limits) -> bool {
        let waiting = self.out.len() + self.slots.gathered();
        waiting + self.slots.expected() <= limits.unsent_bytes_max && self.slots.has_room(limits)
    }

    fn end(&mut self) {
        self.life = Life::Ending;
        self.stalled = false;
        self.connection.discard();
        self.parser = Parser::new(0);
    }
}

#[cfg(test)]
mod tests;
