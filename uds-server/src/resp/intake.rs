//! From bytes to commands that are begun: one after the other, as far as there is room and memory for them.
//!
//! Contract: what a command announces is had from the budget before more than one receive of its bytes is taken in. A command that
//! has nothing beyond the connection's share waits for it; one that has, and turns out to need more, does not wait, for others
//! may be waiting for what it has: it gets it at once or not at all. One that is refused memory ends the connection when it is
//! not whole, for its end cannot be found. A command beyond the share must come at a pace.

use super::fault::Fault;
use super::parser::{Parser, ProtocolError};
use super::slots::Class;
use super::{Life, PERSISTENT, Session};
use crate::budget::{Kind, Turn, request_bytes};
use crate::limits::{OP_REPLY_BYTES, OP_WORK, PACE_BYTES};
use crate::session::{World, after};
use domains::{Op, Tick};
use std::time::Duration;

/// What the first command has of the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Intake {
    /// So much.
    pub(super) paid: usize,
    /// It waits until it has so much.
    pub(super) waits: Option<usize>,
    /// Since when it has had more than the share.
    began: Option<Tick>,
    /// When it must be whole.
    pub(super) due: Option<Tick>,
}

/// Whether a command has its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Paid {
    Yes,
    NotYet,
    Refused,
}

impl Session {
    /// Begins what waits in the parser, as far as there is room.
    pub(super) fn proceed(&mut self, world: &mut World<'_>) {
        // The parser is out of the session while its commands are looked at.
        let mut parser = std::mem::replace(&mut self.parser, Parser::new(0));
        while self.life != Life::Ending {
            let whole = parser.poll();
            let paid = if whole.is_ok() { self.pay(&parser, world) } else { Paid::Yes };
            if !self.take_in(whole, paid, &mut parser, world) {
                break;
            }
            // What was carried out at once needs no memory any more, and many may stand in one receive.
            if self.slots.is_quiet() {
                world.memory.settle(self.held_beside(&parser), false);
            }
        }
        if self.life != Life::Ending {
            self.parser = parser;
        }
        // Once for all that was carried out here: their epochs become persistent together.
        if let Some((last, epoch)) = self.slots.take_held() {
            world.asked.push((None, Op::Force));
            world.asked.push((Some((last, PERSISTENT)), Op::Await { epoch }));
        }
    }

    /// Goes on with the first command, to its end if that can be; `false` when something must happen first.
    fn take_in(
        &mut self,
        whole: Result<bool, ProtocolError>,
        paid: Paid,
        parser: &mut Parser,
        world: &mut World<'_>,
    ) -> bool {
        match (whole, paid) {
            (Ok(_), Paid::NotYet) => {
                self.stalled = false;
                return false;
            }
            (Ok(false), Paid::Yes) => {
                self.stalled = false;
                if self.life == Life::Closing {
                    self.end();
                }
                return false;
            }
            (Ok(false), Paid::Refused) => {
                self.say_fault(&Fault::Memory, world);
                self.end();
            }
            (Err(error), _) => {
                let sequence = self.slots.begin(Class::Any, (0, 0));
                self.settle(sequence, |out| out.error(&format!("ERR Protocol error: {error}")));
                self.end();
            }
            (Ok(true), Paid::Refused) => {
                self.say_fault(&Fault::Memory, world);
                self.next(parser);
            }
            (Ok(true), Paid::Yes) => {
                let turn = world.allowance.has();
                self.stalled = !turn || !self.has_room(parser, world) || !self.begin(parser.command(), world);
                if self.stalled {
                    return false;
                }
                world.allowance.spend(OP_WORK + parser.announced());
                self.next(parser);
            }
        }
        true
    }

    fn next(&mut self, parser: &mut Parser) {
        parser.advance();
        self.intake = Intake::default();
    }

    /// Sees that the first command has the memory for what it is known to need.
    fn pay(&mut self, parser: &Parser, world: &mut World<'_>) -> Paid {
        if let Some(bytes) = self.intake.waits {
            match world.memory.turn() {
                Turn::Waiting { .. } => return Paid::NotYet,
                Turn::Granted => {
                    // It was not read while it waited.
                    self.received_at = world.now;
                    self.intake.waits = None;
                    self.paid(bytes, world);
                }
                Turn::Refused | Turn::Idle => {
                    self.intake.waits = None;
                    return Paid::Refused;
                }
            }
        }
        let bytes = request_bytes(parser.announced());
        let has = self.intake.paid.max(parser.capacity());
        if bytes <= self.intake.paid {
            return Paid::Yes;
        }
        let more = bytes.saturating_sub(has);
        if world.memory.raise(Kind::Request, more) {
            self.paid(bytes, world);
            return Paid::Yes;
        }
        // Commands before this one have been begun meanwhile, and need less now than they had.
        world.memory.settle(self.held_beside(parser), false);
        if self.intake.paid > world.facts.limits.share_bytes() {
            // It may not wait while others may wait for what it has.
            let had = world.memory.raise(Kind::Request, more);
            self.paid(if had { bytes } else { self.intake.paid }, world);
            return if had { Paid::Yes } else { Paid::Refused };
        }
        match world.memory.ask(more, world.now) {
            Turn::Granted => {
                self.paid(bytes, world);
                Paid::Yes
            }
            Turn::Waiting { .. } => {
                self.intake.waits = Some(bytes);
                Paid::NotYet
            }
            Turn::Refused | Turn::Idle => Paid::Refused,
        }
    }

    fn paid(&mut self, bytes: usize, world: &World<'_>) {
        let limits = &world.facts.limits;
        self.intake.paid = bytes;
        if bytes > limits.share_bytes() {
            let began = *self.intake.began.get_or_insert(world.now);
            let pace = Duration::from_secs(bytes as u64 / 2 / PACE_BYTES);
            self.intake.due = Some(after(began, limits.stall_patience + pace));
        }
    }

    /// Whether a command may begin: credits, unread replies, and memory for a small reply.
    fn has_room(&self, parser: &Parser, world: &mut World<'_>) -> bool {
        let limits = &world.facts.limits;
        let waiting = self.out.len() + self.slots.gathered();
        if waiting + self.slots.expected() > limits.unsent_bytes_max || !self.slots.has_room(limits) {
            return false;
        }
        if world.memory.raise(Kind::Reply, OP_REPLY_BYTES) {
            return true;
        }
        world.memory.settle(self.held_beside(parser), false);
        // With nothing in flight and nothing unsent the share suffices, so there is something to wait for.
        world.memory.raise(Kind::Reply, OP_REPLY_BYTES)
    }
}
