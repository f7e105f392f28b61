//! From bytes to frames that are begun: one after the other, as far as there is room and memory for them.
//!
//! Contract: what a header announces is had from the budget before more than one receive of the frame's bytes is taken in; until
//! then the connection is not read, and holds nothing for that frame but those bytes. A frame that is refused memory is
//! answered so and its bytes are dropped as they come; the connection goes on. A frame beyond the connection's share must come
//! at a pace, so that nobody holds memory by sending slowly.

use super::{Life, Session, World, after};
use crate::budget::{Kind, Turn, request_bytes};
use crate::limits::{OP_BYTES, OP_REPLY_BYTES, OP_WORK, PACE_BYTES, PART_BYTES};
use domains::Tick;
use std::time::Duration;
use wire::{FrameError, FrameReader, Header, Kind as FrameKind, codes};

/// Whether a request may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    Now,
    /// Not before something that was begun is answered, or read.
    Later,
    /// Nothing that is under way can help.
    Never,
}

/// How the first frame stands with its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Intake {
    /// It has not asked: its header has not come.
    Unasked,
    /// It waits for so much.
    Waiting { bytes: usize },
    /// It waited too long.
    Refused,
    /// It has so much, and is to be whole by then.
    Paid { bytes: usize, due: Option<Tick> },
}

impl Intake {
    /// Memory that is held for the frame.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Paid { bytes, .. } => bytes,
            Self::Unasked | Self::Waiting { .. } | Self::Refused => 0,
        }
    }

    /// When the frame must be whole, at the latest when the connection has stood still for too long.
    pub(super) fn due(self, still: Tick) -> Tick {
        match self {
            Self::Paid { due: Some(due), .. } => due.min(still),
            Self::Paid { due: None, .. } | Self::Unasked | Self::Waiting { .. } | Self::Refused => still,
        }
    }

    /// Paid for a frame of so many bytes.
    fn paid(bytes: usize, content: u64, world: &World<'_>) -> Self {
        let limits = &world.facts.limits;
        let pace = Duration::from_secs(content / PACE_BYTES);
        let due = (bytes > limits.share_bytes()).then(|| after(world.now, limits.stall_patience + pace));
        Self::Paid { bytes, due }
    }
}

impl Session {
    /// Begins what waits in the reader, as far as there is room.
    pub(super) fn proceed(&mut self, world: &mut World<'_>) {
        // The reader is out of the session while its frames are looked at.
        let mut reader = std::mem::replace(&mut self.reader, FrameReader::new(0));
        while self.life != Life::Ending {
            match reader.header() {
                Ok(None) => {
                    self.stalled = None;
                    break;
                }
                Err(FrameError::Mark { .. }) => self.fail(0, codes::NOT_A_FRAME, world.horizon),
                Err(FrameError::TooLarge { id, .. }) => self.fail(id, codes::FRAME_TOO_LARGE, world.horizon),
                Ok(Some(header)) => {
                    if !self.take_in(&header, &mut reader, world) {
                        break;
                    }
                }
            }
        }
        self.reader = if self.life == Life::Ending { FrameReader::new(0) } else { reader };
    }

    /// Goes on with the frame of this header, to its end if that can be; `false` when something must happen first.
    fn take_in(&mut self, header: &Header, reader: &mut FrameReader, world: &mut World<'_>) -> bool {
        if !self.pay(header, reader, world) {
            // What was refused is dropped, and behind it may stand another.
            return self.intake == Intake::Unasked;
        }
        let Ok(Some(frame)) = reader.frame() else {
            self.stalled = None;
            return false;
        };
        if !world.allowance.has() {
            self.stalled = Some(self.stalled.unwrap_or(1));
            return false;
        }
        match self.room(reader, world) {
            Room::Later => {
                self.stalled = Some(self.stalled.unwrap_or(1));
                return false;
            }
            Room::Never => self.turn_away(header, world),
            Room::Now => {
                self.stalled = None;
                if !self.begin_frame(&frame, reader, world) {
                    return false;
                }
            }
        }
        self.stalled = None;
        let bytes = usize::try_from(header.content_bytes()).expect("a frame's length has 32 bits");
        world.allowance.spend(OP_WORK + bytes);
        reader.advance();
        self.intake = Intake::Unasked;
        if self.life == Life::Open {
            reader.set_frame_bytes_max(world.facts.limits.request_frame_bytes_max);
        }
        true
    }

    /// Whether the frame has its memory. When it was refused it is gone, and the next one has not asked.
    fn pay(&mut self, header: &Header, reader: &mut FrameReader, world: &mut World<'_>) -> bool {
        let content = header.content_bytes();
        self.intake = match self.intake {
            paid @ Intake::Paid { .. } => paid,
            Intake::Unasked => self.ask_memory(content, reader, world),
            Intake::Waiting { bytes } => match world.memory.turn() {
                Turn::Granted => {
                    // It was not read while it waited.
                    self.received_at = world.now;
                    Intake::paid(bytes, content, world)
                }
                Turn::Waiting { .. } => Intake::Waiting { bytes },
                Turn::Refused | Turn::Idle => {
                    self.received_at = world.now;
                    Intake::Refused
                }
            },
            Intake::Refused => unreachable!("a frame that was refused is dropped at once"),
        };
        if self.intake == Intake::Refused {
            self.skipped = reader.abandon();
            self.intake = Intake::Unasked;
            self.turn_away(header, world);
        }
        matches!(self.intake, Intake::Paid { .. })
    }

    fn ask_memory(&mut self, content: u64, reader: &FrameReader, world: &mut World<'_>) -> Intake {
        let bytes = request_bytes(usize::try_from(content).expect("a frame's length has 32 bits"));
        // The bytes that have come lie in memory that is held already.
        let more = bytes.saturating_sub(reader.capacity());
        if world.memory.raise(Kind::Request, more) {
            return Intake::paid(bytes, content, world);
        }
        // Frames before this one have been begun meanwhile, and need less now than they had.
        world.memory.settle(self.held_beside(reader), false);
        match world.memory.ask(more, world.now) {
            Turn::Granted => Intake::paid(bytes, content, world),
            Turn::Waiting { .. } => Intake::Waiting { bytes },
            Turn::Refused | Turn::Idle => Intake::Refused,
        }
    }

    /// Whether the next request, of as many operations as it was found to have, may begin: credits, unread replies, and memory for
    /// what an operation takes beside its bytes.
    pub(super) fn room(&mut self, reader: &FrameReader, world: &mut World<'_>) -> Room {
        let limits = &world.facts.limits;
        let need = self.stalled.unwrap_or(1);
        let credits = self.writer.len() <= limits.unsent_bytes_max
            && self.calls.bytes() <= limits.request_bytes_max
            && self.writer.len() + self.calls.expected() <= limits.unsent_bytes_max
            && (self.calls.is_empty() || self.calls.ops() + need <= limits.ops_in_flight_max);
        if !credits {
            return Room::Later;
        }
        // A frame has paid for one operation.
        let (requests, replies) = ((need - 1) * OP_BYTES, need * OP_REPLY_BYTES);
        let raise = |world: &mut World<'_>| {
            world.memory.raise(Kind::Request, requests) && world.memory.raise(Kind::Reply, replies)
        };
        if raise(world) {
            return Room::Now;
        }
        world.memory.settle(self.held_beside(reader), false);
        if raise(world) {
            return Room::Now;
        }
        // Answers that come, or replies that go, make room; without any there is none to come.
        if self.calls.is_empty() && self.writer.is_empty() { Room::Never } else { Room::Later }
    }

    /// Answers a frame, of which only the header is looked at, that there is no memory for it. It may have added to any
    /// transaction, so none of them may be committed any more.
    pub(super) fn turn_away(&mut self, header: &Header, world: &mut World<'_>) {
        self.transactions.abort_all();
        let request = matches!(FrameKind::from_u8(header.kind), Some(FrameKind::Request | FrameKind::Batch));
        if !request || header.id == 0 || self.calls.has(header.id) {
            // Nobody can be told that it was this one.
            return self.fail(0, codes::MEMORY_FULL, world.horizon);
        }
        self.refuse_frame(header.id, codes::MEMORY_FULL, world);
    }

    /// Memory for so many parts more of a frame's commit sets, where they are so small that the frame has not paid for them.
    pub(super) fn pay_parts(&self, before: usize, more: usize, world: &mut World<'_>) -> bool {
        let paid = self.intake.bytes() / 2;
        let owed = |parts: usize| (parts * PART_BYTES).saturating_sub(paid);
        world.memory.raise(Kind::Request, owed(before + more) - owed(before))
    }
}
