//! The client's side of the protocol: operations in, bytes out; bytes in, answers out. A domain that lives in a server.
//!
//! Contract: no I/O and no clock. Each operation that was submitted is answered exactly once, be it with [`Refusal::Lost`] when
//! the connection ends. Operations submitted before the next [`Client::pack`] travel together; at most as many as the server
//! gave credits for are without an answer, the rest wait here. Answers come in any order.
//!
//! Invariants: a frame's number is never used twice in a connection; `flying` counts the operations of all frames in flight
//! and never exceeds the credits. Operations whose answer may take long (a persistent commit, a wait, a force) travel in
//! frames of their own, since a batch is answered as a whole. A commit that is larger than a frame travels in several (`staging`).

use crate::error::{Error, ErrorKind};
use crate::seam::{Answer, Capabilities, Horizon, Op, OpId};
use crate::translate;
use asked::{Asked, Subject, is_brisk, op_bytes, op_parts, refusal};
use keeper::Keeper;
use segments::{EpochId, Incarnation};
use staging::{Role, Staging};
use std::collections::{BTreeMap, VecDeque};
use thiserror::Error as ThisError;
use txn::Stage;
use wire::limits::{HELLO_FRAME_BYTES_MAX, REPLY_FRAME_BYTES_MAX, REQUEST_FRAME_BYTES_MAX};
use wire::{ConnectionLimits, Cut, Element, FrameReader, FrameWriter, Hello, Kind, Known, Outcome, WriteError};

mod asked;
mod keeper;
mod resume;
mod staging;

pub use keeper::Resume;

/// Bytes after which a batch is closed: a reply to it is then of about the size of a socket's buffer.
const BATCH_BYTES_MAX: usize = 128 << 10;
/// Operations after which a batch is closed, whatever the server would take: it is answered as a whole.
const BATCH_OPS_MAX: usize = 256;
/// Bytes of a client's name in its hello.
const NAME_BYTES_MAX: usize = 64;
/// Operations that may wait here for a credit.
pub const WAITING_OPS_MAX: usize = 65_536;
/// Bytes of keys and values that may wait here: two of the largest commit sets.
pub const WAITING_BYTES_MAX: usize = 256 << 20;

/// Why an operation was not done, as far as a client can tell.
#[derive(Clone, PartialEq, Debug, ThisError)]
pub enum Refusal {
    /// The domain's own error.
    #[error(transparent)]
    Domain(#[from] Error),
    /// An error that travels as code, kind and text only.
    #[error("{message}")]
    Fault {
        /// Its stable code.
        code: u16,
        /// What to do about it.
        kind: ErrorKind,
        /// Whether the effect happened in spite of it.
        applied: bool,
        /// What and why.
        message: String,
    },
    /// The connection ended before the answer came.
    #[error("the connection is lost ({why})")]
    Lost {
        /// What ended it.
        why: String,
        /// Whether it may have been applied.
        maybe_applied: bool,
    },
}

/// What the server said at the beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Greeting {
    /// The store's identity.
    pub server_id: [u8; 16],
    /// The server's version, for people.
    pub server_version: String,
    /// What the domain can promise.
    pub capabilities: Capabilities,
    /// What the server takes.
    pub limits: ConnectionLimits,
    /// What became of the incarnation that was named in the hello.
    pub cut: Cut,
}

/// What ended a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The stream ended, by whichever side.
    Ended,
    /// What came is not the protocol's.
    Broken,
    /// The server refused the connection as a whole.
    Refused {
        /// The fault's stable code.
        code: u16,
        /// What to do about it.
        kind: ErrorKind,
    },
}

/// The connection cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
#[error("{why}")]
pub struct Lost {
    /// What ended it.
    pub cause: Cause,
    /// Why, in words.
    pub why: String,
}

/// A connection's state.
#[derive(Debug)]
pub struct Client {
    writer: FrameWriter,
    reader: FrameReader,
    greeting: Option<Greeting>,
    /// Features of the protocol that both know.
    features: u64,
    horizon: Horizon,
    waiting: VecDeque<(OpId, Op)>,
    waiting_bytes: usize,
    frames: BTreeMap<u64, Vec<Asked>>,
    /// A commit that is being sent in pieces; what waits is sent after it.
    staging: Option<Staging>,
    /// Where transactions of the server's hold what ours have written out.
    stages: Vec<Stage>,
    flying: usize,
    frame_last: u64,
    answers: Vec<(OpId, Result<Answer, Refusal>)>,
    lost: Option<Lost>,
    /// The program's name, as it is said to servers.
    name: String,
    /// The commits under their numbers, of a client that resumes.
    keeper: Option<Box<Keeper>>,
    /// Those who wait for the persistence of commits that are to be applied again.
    parked: Vec<(OpId, Op)>,
}

impl Client {
    /// A connection that begins with a hello in its output. `known` names the server and incarnation of an earlier one.
    #[must_use]
    pub fn new(name: &str, known: Option<Known>) -> Self {
        let mut client = Self {
            writer: FrameWriter::new(HELLO_FRAME_BYTES_MAX),
            reader: FrameReader::new(HELLO_FRAME_BYTES_MAX),
            greeting: None,
            features: 0,
            horizon: Horizon::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            frames: BTreeMap::new(),
            staging: None,
            stages: Vec::new(),
            flying: 0,
            frame_last: 1,
            answers: Vec::new(),
            lost: None,
            name: short(name).to_owned(),
            keeper: None,
            parked: Vec::new(),
        };
        client.write_hello(0, known);
        client
    }

    fn write_hello(&mut self, features: u64, known: Option<Known>) {
        let hello = Hello {
            version_min: wire::VERSION,
            version_max: wire::VERSION,
            features: features | wire::FEATURE_RULES | wire::FEATURE_STAGES | wire::FEATURE_SLOTS,
            in_order: false,
            client_name: &self.name,
            client_version: env!("CARGO_PKG_VERSION"),
            known,
        };
        self.writer.hello(1, &hello).expect("a hello of short names fits its frame");
        self.writer.set_frame_bytes_max(REQUEST_FRAME_BYTES_MAX);
    }

    /// What the server said, once it has.
    #[must_use]
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// Up to where the domain is persistent, as last heard.
    #[must_use]
    pub fn horizon(&self) -> Horizon {
        self.horizon
    }

    /// Why the connection ended, if it has.
    #[must_use]
    pub fn lost(&self) -> Option<&Lost> {
        self.lost.as_ref()
    }

    /// How many operations have no answer yet.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        // A commit in pieces has one step in flight, which stands for it.
        self.unpacked() + self.flying + self.parked.len()
    }

    /// How many of those have not been put into a frame, or are to be sent again.
    #[must_use]
    pub fn unpacked(&self) -> usize {
        self.waiting.len() + self.again()
    }

    fn again(&self) -> usize {
        self.keeper.as_ref().map_or(0, |keeper| keeper.again.len())
    }

    /// Takes an operation; its answer comes through [`Self::take_answers`].
    ///
    /// # Errors
    /// When the connection is lost or too much waits already: the operation has not happened and will not.
    pub fn submit(&mut self, id: OpId, op: Op) -> Result<(), Refusal> {
        if let Some(Lost { why, .. }) = &self.lost {
            return Err(Refusal::Lost { why: why.clone(), maybe_applied: false });
        }
        self.check_stage(&op)?;
        let bytes = op_bytes(&op);
        if self.waiting.len() >= WAITING_OPS_MAX || self.waiting_bytes + bytes > WAITING_BYTES_MAX {
            return Err(Refusal::Domain(Error::Busy));
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back((id, op));
        Ok(())
    }

    /// Puts what waits into frames, as far as the credits go.
    pub fn pack(&mut self) {
        let Some(greeting) = &self.greeting else { return };
        let limits = greeting.limits;
        let batch_max = BATCH_OPS_MAX.min(limits.batch_ops as usize).max(1);
        while self.lost.is_none() && self.staging.is_none() && self.is_open() {
            let credits = (limits.ops_in_flight as usize).saturating_sub(self.flying);
            if credits == 0 {
                return;
            }
            if self.send_again(limits.request_frame_bytes as usize) || self.give_up_stage() {
                continue;
            }
            if self.waiting.is_empty() || self.must_wait() {
                return;
            }
            if self.stage_ahead(limits.request_frame_bytes as usize) {
                continue;
            }
            match self.batch_ahead(batch_max.min(credits)) {
                0 | 1 => self.pack_one(),
                count => self.pack_batch(count),
            }
        }
    }

    /// What is to be sent.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.writer.bytes()
    }

    /// Says that the first `count` bytes of the output were sent.
    pub fn sent(&mut self, count: usize) {
        self.writer.consume(count);
    }

    /// Takes bytes from the server.
    ///
    /// # Errors
    /// When they are not the protocol's; everything under way has then been answered.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        self.reader.push(bytes);
        // The reader lends its frame, so it is taken out for the time of reading.
        let mut reader = std::mem::replace(&mut self.reader, FrameReader::new(0));
        let read = self.read_frames(&mut reader);
        self.reader = reader;
        read.inspect_err(|lost| self.lose(lost.clone()))
    }

    /// The connection has ended: everything without an answer gets one, unless the client resumes; then it is down.
    pub fn end(&mut self, why: &str) {
        self.lose(Lost { cause: Cause::Ended, why: why.to_owned() });
    }

    /// Nobody will connect again, or wants to: everything without an answer gets one.
    pub fn give_up(&mut self, why: &str) {
        if self.lost.is_none() {
            self.finish(Lost { cause: Cause::Ended, why: why.to_owned() });
        }
    }

    fn lose(&mut self, lost: Lost) {
        if self.lost.is_some() {
            return;
        }
        if self.outlives(lost.cause) {
            self.go_down(&lost.why);
        } else {
            self.finish(lost);
        }
    }

    fn finish(&mut self, lost: Lost) {
        let Lost { why, .. } = &*self.lost.insert(lost);
        for (_, asked) in std::mem::take(&mut self.frames) {
            let of_callers = |asked: &Asked| asked.role == Role::Whole && asked.request.is_none();
            for Asked { id, changes, .. } in asked.into_iter().filter(of_callers) {
                let refusal = Refusal::Lost { why: why.clone(), maybe_applied: changes };
                self.answers.push((id, Err(refusal)));
            }
        }
        let why = why.clone();
        self.unstage(&why);
        self.answer_kept(&why);
        for (id, _) in std::mem::take(&mut self.waiting) {
            self.answers.push((id, Err(Refusal::Lost { why: why.clone(), maybe_applied: false })));
        }
        self.flying = 0;
        self.stages.clear();
    }

    /// Appends the answers that have come since the last call.
    pub fn take_answers(&mut self, answers: &mut Vec<(OpId, Result<Answer, Refusal>)>) {
        answers.append(&mut self.answers);
    }

    /// How many operations at the front of the queue may share a frame.
    fn batch_ahead(&self, most: usize) -> usize {
        let (mut bytes, mut parts, mut commits) = (0, 0, 0);
        let room = self.keeper.as_ref().map_or(usize::MAX, |keeper| keeper.room());
        self.waiting
            .iter()
            .take(most)
            .take_while(|(_, op)| {
                bytes += op_bytes(op);
                parts += op_parts(op);
                commits += usize::from(matches!(op, Op::Commit { .. }));
                is_brisk(op) && commits <= room && bytes <= BATCH_BYTES_MAX && parts <= wire::limits::PARTS_MAX
            })
            .count()
    }

    fn take_waiting(&mut self) -> (OpId, Op) {
        let (id, op) = self.waiting.pop_front().expect("the caller has looked");
        self.waiting_bytes -= op_bytes(&op);
        (id, translate::as_known(op, self.features))
    }

    fn pack_one(&mut self) {
        let (id, op) = self.take_waiting();
        let (op, request) = self.numbered(op);
        let frame = self.frame_last + 1;
        let written = match Self::out(self.keeper.as_deref(), &op) {
            Some(sent) => self.writer.request(frame, 0, sent),
            None => return self.answers.push((id, Err(Refusal::Domain(translate::too_long(&op))))),
        };
        match written {
            Ok(()) => {
                let asked = self.note(id, op, request);
                self.fly(frame, vec![asked]);
            }
            Err(error) => {
                let (value, limit) = match error {
                    WriteError::TooLarge { bytes, limit } => (bytes, u64::from(limit)),
                    WriteError::TooManyOps { ops } => (ops as u64, wire::limits::BATCH_OPS_MAX as u64),
                };
                let refused = Error::Limit { what: "the size of the request's frame", value, limit };
                self.answers.push((id, Err(Refusal::Domain(refused))));
            }
        }
    }

    fn pack_batch(&mut self, count: usize) {
        let mut ops = Vec::with_capacity(count);
        for _ in 0..count {
            let (id, op) = self.take_waiting();
            ops.push((id, self.numbered(op)));
        }
        let keeper = self.keeper.as_deref();
        let out = |op| Self::out(keeper, op).expect("a commit, a read or a reservation always has a form of its own");
        let elements: Vec<Element> = ops.iter().map(|(_, (op, _))| Element::op(out(op))).collect();
        let frame = self.frame_last + 1;
        self.writer.batch(frame, 0, &elements).expect("the batch was kept below every limit");
        let asked = ops.into_iter().map(|(id, (op, request))| self.note(id, op, request)).collect();
        self.fly(frame, asked);
    }

    fn fly(&mut self, frame: u64, asked: Vec<Asked>) {
        self.frame_last = frame;
        self.flying += asked.len();
        let before = self.frames.insert(frame, asked);
        assert!(before.is_none(), "frame {frame} is in flight");
    }

    fn land(&mut self, frame: u64) -> Result<Vec<Asked>, Lost> {
        let asked = self.frames.remove(&frame).ok_or_else(|| lost("it answered what was not asked"))?;
        self.flying -= asked.len();
        Ok(asked)
    }

    fn read_frames(&mut self, reader: &mut FrameReader) -> Result<(), Lost> {
        loop {
            let Some(frame) = reader.frame().map_err(|error| lost(&error.to_string()))? else { return Ok(()) };
            let id = frame.header.id;
            match Kind::from_u8(frame.header.kind) {
                Some(Kind::Welcome) if self.greeting.is_none() => {
                    self.welcome(&frame.welcome().map_err(malformed)?)?;
                    reader.advance();
                    reader.set_frame_bytes_max(REPLY_FRAME_BYTES_MAX);
                    continue;
                }
                Some(Kind::Reply) => {
                    let reply = frame.reply().map_err(malformed)?;
                    self.reply(id, reply)?;
                }
                Some(Kind::BatchReply) => {
                    let (horizon, outcomes) = frame.batch_reply().map_err(malformed)?;
                    self.advance_horizon(horizon);
                    if self.frames.get(&id).is_some_and(|asked| asked.len() != outcomes.len()) {
                        return Err(lost("a batch was answered with another number of outcomes"));
                    }
                    let asked = self.land(id)?;
                    // All are settled, also behind one that is nonsense: none may be left without an answer.
                    let settle = |(asked, (body, tail))| self.settle(asked, Outcome::decode(body, tail));
                    let ends: Vec<_> = asked.into_iter().zip(outcomes).map(settle).collect();
                    ends.into_iter().collect::<Result<(), Lost>>()?;
                }
                Some(Kind::Push) => match frame.push() {
                    Ok(wire::Push::Persistent(horizon)) => self.advance_horizon(horizon),
                    // A push of a later version is for clients that know it.
                    Err(wire::DecodeError::Unknown { .. }) => {}
                    Err(error) => return Err(malformed(error)),
                },
                Some(Kind::Welcome | Kind::Hello | Kind::Request | Kind::Batch) | None => {
                    return Err(lost("it sent a frame that no server sends"));
                }
            }
            reader.advance();
        }
    }

    fn welcome(&mut self, welcome: &wire::Welcome<'_>) -> Result<(), Lost> {
        if welcome.version != wire::VERSION || welcome.limits.ops_in_flight == 0 {
            return Err(lost("it welcomed with a version that was not offered, or without credits"));
        }
        let name = match welcome.domain {
            "persistent" => "persistent",
            "volatile" => "volatile",
            "light" => "light",
            _ => "remote",
        };
        let (abortable, persistence) = (welcome.abortable, welcome.persistence);
        // What a client that resumes would send again it must have itself.
        let writes_out = welcome.features & wire::FEATURE_STAGES != 0 && self.keeper.is_none();
        let capabilities = Capabilities { name, abortable, persistence, writes_out };
        self.writer.set_frame_bytes_max(welcome.limits.request_frame_bytes.min(REQUEST_FRAME_BYTES_MAX));
        self.features = welcome.features;
        self.greeting = Some(Greeting {
            server_id: welcome.server_id,
            server_version: welcome.server_version.to_owned(),
            capabilities,
            limits: welcome.limits,
            cut: welcome.cut,
        });
        self.advance_horizon(welcome.horizon);
        self.identify(welcome.features)
    }

    fn reply(&mut self, id: u64, reply: wire::Reply<'_>) -> Result<(), Lost> {
        if self.greeting.is_none() || id == 0 {
            // Refused before or outside of any request: the text says why, and the connection ends.
            return match reply.outcome {
                Outcome::Err(fault) => {
                    let cause = Cause::Refused { code: fault.code, kind: translate::kind_in(fault.kind) };
                    Err(Lost { cause, why: fault.message.to_owned() })
                }
                Outcome::Ok(_) => Err(lost("it answered what was not asked")),
            };
        }
        self.advance_horizon(reply.horizon);
        if self.frames.get(&id).is_none_or(|asked| asked.len() != 1) {
            return self.fault_of_a_batch(id, reply.outcome);
        }
        let asked = self.land(id)?.pop().expect("there is one");
        match asked.role {
            Role::Whole => self.settle(asked, Ok(reply.outcome)),
            Role::Step => self.stepped(reply.outcome),
            // Whether it was still there or not, it is not now.
            Role::Farewell => Ok(()),
            Role::Identify => self.identified(reply.outcome),
            Role::Fates => self.fates_came(reply.outcome),
        }
    }

    /// A batch that was refused as a whole.
    fn fault_of_a_batch(&mut self, id: u64, outcome: Outcome<'_>) -> Result<(), Lost> {
        let Outcome::Err(fault) = outcome else { return Err(lost("a batch was answered like one operation")) };
        let asked = self.land(id)?;
        for asked in asked {
            self.settle(asked, Ok(Outcome::Err(fault.clone())))?;
        }
        Ok(())
    }

    /// Answers one operation with what came for it; if that is nonsense it is answered as lost, like all after it.
    fn settle(&mut self, mut asked: Asked, outcome: Result<Outcome<'_>, wire::DecodeError>) -> Result<(), Lost> {
        let read = outcome.map_err(malformed).and_then(|outcome| match outcome.into_result() {
            Ok(wire::Answer::Opened { txn }) if matches!(asked.subject, Subject::Stage) => {
                let stage = Stage::new(txn);
                self.stages.push(stage.clone());
                Ok(Ok(Answer::Stage(stage)))
            }
            Ok(answer) => {
                translate::answer_in(answer).map(Ok).ok_or_else(|| lost("it answered with what was not asked"))
            }
            Err(fault) => Ok(Err(refusal(&asked.subject, &fault))),
        });
        let (result, end) = match read {
            Ok(result) => (result, Ok(())),
            Err(lost) => (Err(Refusal::Lost { why: lost.why.clone(), maybe_applied: asked.changes }), Err(lost)),
        };
        if let Some(lost) = self.survives(&mut asked, &result) {
            return Err(lost);
        }
        match asked.request {
            Some(request) => self.settle_request(request, result),
            None => self.answers.push((asked.id, result)),
        }
        end
    }

    fn advance_horizon(&mut self, horizon: wire::Horizon) {
        let heard = Horizon { incarnation: Incarnation(horizon.incarnation), persistent: EpochId(horizon.persistent) };
        if heard.persistent > self.horizon.persistent || heard.incarnation != self.horizon.incarnation {
            self.horizon = heard;
            if let Some(keeper) = self.keeper.as_mut().filter(|keeper| keeper.stage == keeper::Stage::Open) {
                keeper.trim(heard);
            }
        }
    }
}

/// As much of a name as a hello has room for.
fn short(name: &str) -> &str {
    let end = (0..=name.len().min(NAME_BYTES_MAX)).rev().find(|&at| name.is_char_boundary(at));
    &name[..end.expect("the start is a boundary")]
}

fn lost(why: &str) -> Lost {
    Lost { cause: Cause::Broken, why: format!("the server does not keep to the protocol: {why}") }
}

fn malformed(error: wire::DecodeError) -> Lost {
    lost(&error.to_string())
}

#[cfg(test)]
mod tests;
