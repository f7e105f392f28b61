//! The commands of a connection without a reply on its way, in their order.
//!
//! Contract: a command has a sequence number and a place until its reply is moved to what is sent, which happens in the order of the
//! numbers. At most one run is under way: of reads, of blind updates, or one command of another kind.
//!
//! A command that is carried out, but whose reply must wait until that is persistent, is *held*: it is under way no more, so
//! those behind it may begin.
//!
//! Invariants: credits and bytes are the sums over the places; an answer to a command that has ended finds no machine.

use super::command::Outcome;
use super::task::Task;
use super::writer::Writer;
use crate::budget::Held;
use crate::limits::{Limits, OP_REPLY_BYTES};
use domains::Tick;
use segments::EpochId;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// What a lookup's reply is taken to have before one has come: 256 of them fill the room there is for replies.
const REPLY_BYTES_FIRST: usize = 16 << 10;

/// Which commands may be under way together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Class {
    /// Any: they are answered without the domain.
    #[default]
    Any,
    /// With other reads.
    Read,
    /// With other blind updates, for commits are applied in their order.
    Write,
    /// With nothing else.
    Alone,
}

/// What a command in flight is.
#[derive(Debug)]
pub(crate) enum Machine {
    /// A lookup; the key, in case it must be looked up elsewhere.
    Get { key: SmallVec<[u8; 32]> },
    /// A commit.
    Put { outcome: Outcome },
    /// Anything else, and what it has written.
    Task { task: Task, reply: Writer },
}

#[derive(Debug)]
enum State {
    Running(Machine),
    /// Its machine is looked at.
    Taken,
    Done(Writer),
    /// Carried out in this epoch, which is to be persistent before the reply goes.
    Held(Writer, EpochId),
}

#[derive(Debug)]
struct Slot {
    state: State,
    credits: usize,
    bytes: usize,
    /// Memory that its machine has taken since.
    grown: Held,
}

/// The commands in flight.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: VecDeque<Slot>,
    /// The number of the first.
    first: u32,
    class: Class,
    running: usize,
    credits: usize,
    bytes: usize,
    grown: Held,
    /// The last reply that is held and its epoch, until persistence is asked for.
    held_last: Option<(u32, EpochId)>,
    /// Bytes of replies whose turn has not come.
    gathered: usize,
    /// Bytes of a lookup's reply, going by those before it.
    reply_bytes: usize,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            slots: VecDeque::new(),
            first: 0,
            class: Class::Any,
            running: 0,
            credits: 0,
            bytes: 0,
            grown: [0; 2],
            held_last: None,
            gathered: 0,
            reply_bytes: REPLY_BYTES_FIRST,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of replies whose turn has not come.
    pub(crate) fn gathered(&self) -> usize {
        self.gathered
    }

    /// Memory that commands in flight take, beside the replies whose turn has not come.
    pub(crate) fn held(&self) -> Held {
        [self.bytes + self.grown[0], self.grown[1] + self.slots.len() * OP_REPLY_BYTES]
    }

    /// What a command's machine has taken since it began.
    pub(crate) fn grown(&self, sequence: u32) -> Held {
        self.slots.get(sequence.wrapping_sub(self.first) as usize).map_or([0; 2], |slot| slot.grown)
    }

    /// Notes what a command's machine has taken since it began.
    pub(crate) fn set_grown(&mut self, sequence: u32, grown: Held) {
        let slot = self.slot(sequence).expect("a command stays while its machine is looked at");
        let before = std::mem::replace(&mut slot.grown, grown);
        for kind in 0..2 {
            self.grown[kind] = self.grown[kind] - before[kind] + grown[kind];
        }
    }

    /// Gives back the memory of places that nobody has.
    pub(crate) fn rest(&mut self) {
        if self.slots.is_empty() {
            self.slots = VecDeque::new();
        }
    }

    /// Bytes that the lookups in flight will probably bring.
    pub(crate) fn expected(&self) -> usize {
        if self.class == Class::Read { self.running * self.reply_bytes } else { 0 }
    }

    /// Whether a command of this class may be under way with those that are.
    pub(crate) fn admits(&self, class: Class) -> bool {
        match class {
            Class::Any => true,
            Class::Read | Class::Write => self.running == 0 || self.class == class,
            Class::Alone => self.running == 0,
        }
    }

    /// Whether nothing is under way, so that what begins now takes effect behind everything before it. Replies may still be held.
    pub(crate) fn is_quiet(&self) -> bool {
        self.running == 0
    }

    /// Whether there are credits left.
    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.slots.is_empty() || self.credits < limits.ops_in_flight_max && self.bytes <= limits.request_bytes_max
    }

    /// Takes a place at the end, for so many credits and bytes; returns its number. Its machine is put in later.
    pub(crate) fn begin(&mut self, class: Class, (credits, bytes): (usize, usize)) -> u32 {
        assert!(self.admits(class), "a command of class {class:?} waits for those before it");
        if class != Class::Any {
            self.class = class;
        }
        self.running += 1;
        self.credits += credits;
        self.bytes += bytes;
        self.slots.push_back(Slot { state: State::Taken, credits, bytes, grown: [0; 2] });
        let position = u32::try_from(self.slots.len() - 1).expect("credits bound the commands in flight");
        self.first.wrapping_add(position)
    }

    fn slot(&mut self, sequence: u32) -> Option<&mut Slot> {
        self.slots.get_mut(sequence.wrapping_sub(self.first) as usize)
    }

    /// Takes a command's machine out; nothing when the command has ended.
    pub(crate) fn take(&mut self, sequence: u32) -> Option<Machine> {
        let slot = self.slot(sequence)?;
        match std::mem::replace(&mut slot.state, State::Taken) {
            State::Running(machine) => Some(machine),
            state @ (State::Done(_) | State::Held(..) | State::Taken) => {
                slot.state = state;
                None
            }
        }
    }

    /// Puts a machine where it was taken from.
    pub(crate) fn put_back(&mut self, sequence: u32, machine: Machine) {
        let slot = self.slot(sequence).expect("a command stays while its machine is looked at");
        assert!(matches!(slot.state, State::Taken), "command {sequence} has one machine");
        slot.state = State::Running(machine);
    }

    pub(crate) fn is_first(&self, sequence: u32) -> bool {
        self.first == sequence
    }

    /// The first command's reply has been written by the caller.
    pub(crate) fn pop_first(&mut self) {
        self.set_grown(self.first, [0; 2]);
        let slot = self.slots.pop_front().expect("there is a first command");
        if matches!(slot.state, State::Taken) {
            self.running -= 1;
        }
        self.first = self.first.wrapping_add(1);
        self.credits -= slot.credits;
        self.bytes -= slot.bytes;
    }

    /// A command's reply is whole.
    pub(crate) fn settle(&mut self, sequence: u32, reply: Writer) {
        self.end(sequence, reply.len(), State::Done(reply));
    }

    /// A command's reply is whole, and goes when this epoch is persistent.
    pub(crate) fn hold(&mut self, sequence: u32, reply: Writer, epoch: EpochId) {
        self.end(sequence, reply.len(), State::Held(reply, epoch));
        self.held_last = Some((sequence, epoch));
    }

    fn end(&mut self, sequence: u32, reply_bytes: usize, state: State) {
        self.set_grown(sequence, [0; 2]);
        self.gathered += reply_bytes;
        self.expect_bytes(reply_bytes);
        let slot = self.slot(sequence).expect("a command stays until its reply is sent");
        assert!(matches!(slot.state, State::Taken), "command {sequence} is answered once");
        slot.state = state;
        self.running -= 1;
    }

    /// The last reply that was held since the last call, and its epoch, for which is to be waited.
    pub(crate) fn take_held(&mut self) -> Option<(u32, EpochId)> {
        self.held_last.take()
    }

    /// Lets go the replies that are held, up to this command: as they are, or as what `say` makes of their epochs.
    pub(crate) fn release(&mut self, last: u32, mut say: impl FnMut(EpochId) -> Option<Writer>) {
        let count = last.wrapping_sub(self.first) as usize + 1;
        // When the last one has gone, all have: numbers are not used twice while one could be meant.
        let count = if count > self.slots.len() { 0 } else { count };
        for slot in self.slots.iter_mut().take(count) {
            let State::Held(reply, epoch) = &mut slot.state else { continue };
            let before = reply.len();
            let reply = say(*epoch).unwrap_or_else(|| std::mem::take(reply));
            self.gathered = self.gathered - before + reply.len();
            slot.state = State::Done(reply);
        }
    }

    /// Notes how large a reply was, for those to come: the largest of late.
    pub(crate) fn expect_bytes(&mut self, bytes: usize) {
        self.reply_bytes = bytes.max(self.reply_bytes - self.reply_bytes / 8);
    }

    /// Moves the replies whose turn it is.
    pub(crate) fn flush(&mut self, out: &mut Writer) {
        while let Some(Slot { state: State::Done(reply), .. }) = self.slots.front() {
            self.gathered -= reply.len();
            out.append(reply);
            self.pop_first();
        }
    }

    /// The tasks in flight.
    pub(crate) fn tasks(&self) -> Vec<u32> {
        let is_task = |slot: &Slot| matches!(slot.state, State::Running(Machine::Task { .. }));
        let numbers = (0..).zip(&self.slots).filter(|(_, slot)| is_task(slot));
        numbers.map(|(position, _): (u32, _)| self.first.wrapping_add(position)).collect()
    }

    /// When a task wants to be told that time has passed.
    pub(crate) fn due(&self) -> Option<Tick> {
        let due = |slot: &Slot| match &slot.state {
            State::Running(Machine::Task { task, .. }) => task.due(),
            State::Running(Machine::Get { .. } | Machine::Put { .. }) => None,
            State::Taken | State::Done(_) | State::Held(..) => None,
        };
        self.slots.iter().filter_map(due).min()
    }
}
