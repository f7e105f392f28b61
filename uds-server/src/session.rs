//! One connection, without its socket: bytes in, operations out; answers in, bytes out.
//!
//! Contract:
//! * a request is answered exactly once, and its operations are begun in the order in which they came;
//! * nothing is begun while the connection has used up its credits, or does not read; then [`Session::wants_bytes`] is
//!   `false` and stays so until an answer or a send makes room;
//! * memory for a frame is had before the frame is received, or the frame is not received (`intake`); what is held is said at any
//!   time ([`Session::held`]), and was granted before;
//! * what a peer sends is data: whatever it is, the session answers, or ends, and the domain sees whole requests only;
//! * a connection that ends leaves no transaction open, and what was begun for it is answered to nobody.
//!
//! Invariants: credits taken equal the operations of calls without a reply; a session that is ending begins nothing.
//!
//! It reads no clock and no socket: time comes as a [`Tick`], bytes as slices.

use crate::acl::Right;
use crate::budget::{Account, Held, Kind, reply_bytes};
use crate::calls::{Calls, Purpose, Ticket};
use crate::convert::{horizon_out, outcome};
use crate::fair::Allowance;
use crate::faults::fault;
use crate::gate::Guard;
use crate::limits::{BATCH_RESERVE_BYTES, Limits, NOTICES_MAX, OP_BYTES, OP_REPLY_BYTES, READ_BYTES_MIN};
use crate::metrics::Metrics;
use crate::resp::shared::Shared;
use crate::transactions::Transactions;
use domains::{Answer, Capabilities, ClientId, Error, Horizon, Level, Pair, PairRef, Persistence, Seen, Tick};
use intake::Intake;
use segments::cuts::Cuts;
use segments::{EpochId, TableId};
use staged::{Filling, Spill};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use strict::{Came, TxnRead};
use txn::PutOptions;
use wire::codes;
use wire::{Element, FrameReader, FrameWriter, Outcome};

mod begin;
mod hello;
mod intake;
mod once;
mod staged;
mod strict;

/// What a server tells its clients about itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The store's identity.
    pub server_id: [u8; 16],
    /// What the domain can promise.
    pub capabilities: Capabilities,
    /// The cuts of incarnations that have ended.
    pub cuts: Cuts,
    /// Bounds of a connection.
    pub limits: Limits,
    /// When updates of a text connection are answered, until it chooses.
    pub redis_level: Level,
}

/// What the domain does within a call, for who names what he asks so.
pub(crate) trait Direct<Name> {
    /// Shows a pair, or that it is absent, when memory alone can.
    fn look(&mut self, table: TableId, key: &[u8], see: &mut dyn FnMut(Option<PairRef<'_>>)) -> Result<Seen, Error>;

    /// Asks, before everything that is only put on the list in this call. The answer when it is there within the call; else it
    /// comes later under the name.
    fn ask(&mut self, name: Name, op: domains::Op) -> Option<Result<Answer, Error>>;
}

/// What a session is told at each call, and where it puts what it asks.
pub(crate) struct World<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) now: Tick,
    pub(crate) horizon: Horizon,
    /// What the text connections have in common.
    pub(crate) shared: &'a mut Shared,
    /// The connection's part of all memory.
    pub(crate) memory: Account<'a>,
    /// What was counted.
    pub(crate) metrics: &'a RefCell<Metrics>,
    /// What the connection may do. What it asks of the domain is held against that in any case.
    pub(crate) guard: Guard<'a>,
    /// What the connection may begin in its turn.
    pub(crate) allowance: Allowance,
    /// What the domain does at once.
    pub(crate) direct: &'a mut dyn Direct<Ticket>,
    /// What is asked when the call is over.
    pub(crate) asked: &'a mut Vec<(Ticket, domains::Op)>,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// It has not said hello since then.
    Greeting(Tick),
    /// It is served.
    Open,
    /// Nothing more is taken from it; it ends when what was begun is answered and sent.
    Ending,
}

/// What a transaction has appended to a key that it looks up: it stands behind what the domain has.
#[derive(Debug)]
struct OwnAppend {
    key: Vec<u8>,
    value: Vec<u8>,
    options: PutOptions,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    life: Life,
    /// The server stops: requests are answered with a fault.
    stopping: bool,
    in_order: bool,
    /// The client knows tables with rules.
    features: u64,
    reader: FrameReader,
    /// How the first frame stands.
    intake: Intake,
    /// Bytes to come of a frame that was refused.
    skipped: u64,
    writer: FrameWriter,
    /// Bytes taken by the socket since [`Self::unsent_since`].
    drained: usize,
    calls: Calls,
    /// Calls in the order of their requests, where replies must come in that order.
    order: VecDeque<u32>,
    transactions: Transactions,
    /// What transactions have appended to keys that are being looked up for them.
    own_appends: BTreeMap<(u32, u32), OwnAppend>,
    /// Reads of transactions that are not answered.
    txn_reads: BTreeMap<(u32, u32), TxnRead>,
    /// Values of transactions that are being written out, for the requests that brought them.
    spills: BTreeMap<(u32, u32), Spill>,
    /// Answers that lack what was written out.
    fillings: BTreeMap<(u32, u32), Filling>,
    /// The client that the connection speaks for, and under which attempt.
    identity: Option<(ClientId, u64)>,
    /// Who it has said that it is, where that is not answered yet.
    claims: BTreeMap<(u32, u32), ClientId>,
    /// Epochs whose persistence is to be pushed.
    notices: BTreeSet<EpochId>,
    /// The first frame waits for room: for so many operations.
    stalled: Option<usize>,
    received_at: Tick,
    /// Since when replies wait and the socket has taken nothing.
    unsent_since: Option<Tick>,
    client: String,
    /// Bytes of a reply frame, and of replies not sent above which reads are not answered.
    limits: (usize, usize),
}

/// A status with what the domain does not know: how the connections stand.
fn with_figures(result: &Result<Answer, Error>, world: &World<'_>) -> Option<Result<Answer, Error>> {
    let Ok(Answer::Status(status)) = result else { return None };
    if world.guard.server(Right::Admin).is_err() {
        return None;
    }
    let mut status = status.clone();
    status.connections = world.memory.figures();
    Some(Ok(Answer::Status(status)))
}

/// The moment so long after another.
pub(crate) fn after(tick: Tick, wait: Duration) -> Tick {
    let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Tick { nanos: tick.nanos.saturating_add(nanos), unix_ms: tick.unix_ms.saturating_add(millis) }
}

impl Session {
    pub(crate) fn new(facts: &Facts, now: Tick) -> Self {
        Self {
            life: Life::Greeting(now),
            stopping: false,
            in_order: false,
            features: 0,
            reader: FrameReader::new(wire::limits::HELLO_FRAME_BYTES_MAX),
            intake: Intake::Unasked,
            skipped: 0,
            drained: 0,
            writer: FrameWriter::new(facts.limits.reply_frame_bytes_max),
            calls: Calls::default(),
            order: VecDeque::new(),
            transactions: Transactions::default(),
            own_appends: BTreeMap::new(),
            txn_reads: BTreeMap::new(),
            spills: BTreeMap::new(),
            fillings: BTreeMap::new(),
            identity: None,
            claims: BTreeMap::new(),
            notices: BTreeSet::new(),
            stalled: None,
            received_at: now,
            unsent_since: None,
            client: String::new(),
            limits: (facts.limits.reply_frame_bytes_max as usize, facts.limits.unsent_bytes_hard),
        }
    }

    /// Takes bytes from the socket and begins what they ask for.
    pub(crate) fn receive(&mut self, bytes: &[u8], world: &mut World<'_>) {
        if self.life == Life::Ending {
            return;
        }
        self.received_at = world.now;
        let skipped = bytes.len().min(usize::try_from(self.skipped).unwrap_or(usize::MAX));
        self.skipped -= skipped as u64;
        self.reader.push(&bytes[skipped..]);
        self.proceed(world);
    }

    /// The peer will send no more. What it had begun is answered, in case it still reads; and it is told of a frame without an end.
    pub(crate) fn end_of_input(&mut self, horizon: Horizon) {
        if self.life != Life::Ending && self.is_inside() {
            self.fail(0, codes::MALFORMED, horizon);
        } else {
            self.end();
        }
    }

    /// The connection is not served: the peer is told why.
    pub(crate) fn refuse_connection(&mut self, code: u16, horizon: Horizon) {
        self.fail(0, code, horizon);
    }

    /// The server stops: transactions are aborted, what is under way is answered, and then the connection ends.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        self.transactions.abort_all();
    }

    /// The domain has answered.
    pub(crate) fn answered(&mut self, ticket: Ticket, result: &Result<Answer, Error>, world: &mut World<'_>) {
        let Some(place) = ticket else { return };
        let purpose = self.calls.purpose(place);
        if self.spilled(place, result, world) || self.filled(place, result, world) {
            return self.proceed(world);
        }
        self.identified(place, result);
        if purpose.recalls.is_some() {
            self.recalled(place, result, world);
            return self.proceed(world);
        }
        if let Ok(Answer::Committed(committed)) = result
            && purpose.notify
            && committed.persistence == Persistence::Pending
        {
            self.await_notice(committed.epoch);
        }
        let own = self.own_appends.remove(&place);
        let read =
            self.txn_reads.remove(&place).map_or(Ok(Came::AsIs), |read| self.read_came(place, read, result, world));
        let served = match (read, own, result) {
            (Err(code), _, _) => {
                self.settle(place, purpose, fault(code), world);
                return self.proceed(world);
            }
            (Ok(Came::Again), _, _) => return self.proceed(world),
            (Ok(Came::Instead(read)), _, _) => Some(read),
            (Ok(Came::AsIs), Some(own), Ok(Answer::Pair(found))) => {
                let pair = Pair::with_own_append(found.clone(), &own.key, &own.value, own.options);
                Some(Ok(Answer::Pair(Some(pair))))
            }
            (Ok(Came::AsIs), _, result) => with_figures(result, world),
        };
        let mut text = String::new();
        let outcome = outcome(served.as_ref().unwrap_or(result), self.features, &mut text);
        self.settle(place, purpose, outcome, world);
        self.proceed(world);
    }

    /// Whether bytes of a frame are to come.
    fn is_inside(&self) -> bool {
        self.skipped > 0 || !self.reader.is_empty() && self.stalled.is_none() && !self.waits_for_memory()
    }

    /// Whether the first frame waits for memory.
    pub(crate) fn waits_for_memory(&self) -> bool {
        matches!(self.intake, Intake::Waiting { .. })
    }

    /// Memory that the connection takes.
    pub(crate) fn held(&self) -> Held {
        self.held_beside(&self.reader)
    }

    fn held_beside(&self, reader: &FrameReader) -> Held {
        let frame = reader.capacity().max(self.intake.bytes());
        let ops = self.calls.ops();
        let transactions = self.transactions.held() + self.own_append_bytes();
        let requests = frame + self.calls.bytes() + ops * OP_BYTES + transactions;
        let replies = reply_bytes(self.writer.len() + self.calls.gathered()) + ops * OP_REPLY_BYTES;
        [requests, replies]
    }

    /// Bytes of appends that wait for what they stand behind.
    fn own_append_bytes(&self) -> usize {
        self.own_appends.values().map(|own| own.value.len()).sum::<usize>() + self.filling_bytes()
    }

    /// Nothing happens for a while: memory that is kept for what may come is given back.
    pub(crate) fn rest(&mut self) {
        self.reader.rest();
        self.writer.rest();
        self.calls.rest();
    }

    /// What time and the domain's progress have brought: notices, ends of patience. Says when to call again, by the clock alone.
    pub(crate) fn turn(&mut self, world: &mut World<'_>) -> Option<Tick> {
        self.notice(world.horizon);
        if self.waits_for_memory() {
            self.proceed(world);
        }
        let limits = &world.facts.limits;
        let expiry = self.transactions.expire(limits, world.now);
        let greeting = match self.life {
            Life::Greeting(since) => Some(after(since, limits.hello_patience)),
            Life::Open | Life::Ending => None,
        };
        // Inside a frame: between frames a connection may be idle for ever, and a stalled one waits for us.
        let inside = self.life == Life::Open && self.is_inside();
        let reading = inside.then(|| self.intake.due(after(self.received_at, limits.stall_patience)));
        for due in [greeting, reading].into_iter().flatten() {
            if due.nanos <= world.now.nanos {
                self.fail(0, codes::TIMED_OUT, world.horizon);
                return expiry;
            }
        }
        if self.unsent_since.is_none() && !self.writer.is_empty() {
            (self.unsent_since, self.drained) = (Some(world.now), 0);
        }
        let sending = self.unsent_since.map(|since| after(since, limits.stall_patience));
        [expiry, greeting, reading, sending].into_iter().flatten().min()
    }

    /// Whether notices of persistence are owed.
    pub(crate) fn watches_horizon(&self) -> bool {
        !self.notices.is_empty()
    }

    /// Whether the peer has not read for too long, so that the connection is cut.
    pub(crate) fn is_stuck(&self, limits: &Limits, now: Tick) -> bool {
        self.unsent_since.is_some_and(|since| after(since, limits.stall_patience).nanos <= now.nanos)
    }

    /// Whether bytes should be received.
    pub(crate) fn wants_bytes(&self) -> bool {
        self.life != Life::Ending && self.stalled.is_none() && !self.waits_for_memory()
    }

    /// Whether the connection can be closed: all is answered and sent.
    pub(crate) fn is_over(&self) -> bool {
        let ends = self.life == Life::Ending || (self.stopping && self.stalled.is_none() && !self.waits_for_memory());
        ends && self.calls.is_empty() && self.writer.is_empty()
    }

    /// Bytes to be sent next, at most so many. They stay until [`Self::consume`].
    pub(crate) fn output(&self, bytes_max: usize) -> &[u8] {
        let bytes = self.writer.bytes();
        &bytes[..bytes.len().min(bytes_max)]
    }

    /// The socket has taken so many bytes.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.writer.consume(bytes);
        self.drained += bytes;
    }

    /// The socket has taken bytes: the peer reads, and there may be room to go on.
    pub(crate) fn sent(&mut self, world: &mut World<'_>) {
        // A reader that takes a byte now and then is none.
        if self.writer.is_empty() {
            self.unsent_since = None;
        } else if self.drained >= READ_BYTES_MIN {
            (self.unsent_since, self.drained) = (Some(world.now), 0);
        }
        self.proceed(world);
    }

    /// Its turn has come.
    pub(crate) fn go_on(&mut self, world: &mut World<'_>) {
        self.proceed(world);
    }

    /// Bytes of replies that are not sent.
    pub(crate) fn unsent(&self) -> usize {
        self.writer.len() + self.calls.gathered()
    }

    /// Who it is, for people.
    pub(crate) fn client(&self) -> &str {
        &self.client
    }

    /// Notes an operation's outcome and replies when its call is complete.
    fn settle(&mut self, place: (u32, u32), purpose: Purpose, outcome: Outcome<'_>, world: &mut World<'_>) {
        let call = self.calls.call(place.0);
        let mut element = if call.cancelled { Element::default() } else { Element::outcome(outcome) };
        // A batch's reply is one frame, and a client that does not read must not fill our memory with what it can ask for again.
        let frame_full = call.gathered() + element.len() + BATCH_RESERVE_BYTES > self.limits.0;
        if purpose.reads && call.batch && frame_full {
            element = Element::outcome(fault(codes::REPLY_TOO_LARGE));
        } else if purpose.reads && self.writer.len() + element.len() > self.limits.1 && !self.writer.is_empty() {
            element = Element::outcome(fault(codes::SLOW_READER));
        }
        self.settle_element(place, purpose.reads, element, world);
    }

    /// The same of an outcome that is encoded. A read is refused where there is no memory for what it brings.
    fn settle_element(&mut self, place: (u32, u32), reads: bool, mut outcome: Element, world: &mut World<'_>) {
        let waiting = self.writer.len() + self.calls.gathered();
        let more = reply_bytes(waiting + outcome.len()) - reply_bytes(waiting);
        if more > OP_REPLY_BYTES && !world.memory.raise(Kind::Reply, more) && reads {
            outcome = Element::outcome(fault(codes::MEMORY_FULL));
        }
        if self.calls.answer(place, outcome) {
            self.reply_to(place.0, world.horizon);
        }
    }

    /// A call is complete or cancelled: its reply is written now, or in its turn.
    fn reply_to(&mut self, at: u32, horizon: Horizon) {
        if self.calls.call(at).told {
            drop(self.calls.finish(at));
            return;
        }
        if !self.in_order {
            self.write_reply(at, horizon);
            return;
        }
        while let Some(&first) = self.order.front() {
            let call = self.calls.call(first);
            if !call.is_complete() && !call.cancelled {
                return;
            }
            self.order.pop_front();
            self.write_reply(first, horizon);
        }
    }

    fn write_reply(&mut self, at: u32, horizon: Horizon) {
        let call = self.calls.call(at);
        if call.cancelled {
            let (id, complete) = (call.id, call.is_complete());
            self.calls.tell(at);
            self.reply_at_once(id, fault(codes::CANCELLED), horizon);
            if complete {
                drop(self.calls.finish(at));
            }
            return;
        }
        let call = self.calls.finish(at);
        let (id, batch) = (call.id, call.batch);
        let outcomes = call.into_outcomes();
        let horizon = horizon_out(horizon);
        let written = if batch {
            self.writer.batch_reply(id, horizon, &outcomes)
        } else {
            self.writer.reply_element(id, horizon, &outcomes[0])
        };
        if written.is_err() {
            self.writer.reply(id, horizon, fault(codes::REPLY_TOO_LARGE)).expect("a fault is small");
        }
    }

    /// Replies to what is no call.
    fn reply_at_once(&mut self, id: u64, outcome: Outcome<'_>, horizon: Horizon) {
        self.writer.reply(id, horizon_out(horizon), outcome).expect("what the session says itself is small");
    }

    /// Tells the peer why, and ends the connection when what was begun is answered.
    fn fail(&mut self, id: u64, code: u16, horizon: Horizon) {
        self.reply_at_once(id, fault(code), horizon);
        self.end();
    }

    fn end(&mut self) {
        self.life = Life::Ending;
        self.stalled = None;
        (self.intake, self.skipped) = (Intake::Unasked, 0);
        self.transactions.abort_all();
        self.notices.clear();
        self.reader = FrameReader::new(0);
    }

    fn await_notice(&mut self, epoch: EpochId) {
        self.notices.insert(epoch);
        // The notice of a later epoch speaks for all before it, so the earliest can wait for the next.
        if self.notices.len() > NOTICES_MAX {
            self.notices.pop_first();
        }
    }

    fn notice(&mut self, horizon: Horizon) {
        if self.notices.first().is_some_and(|&first| first <= horizon.persistent) {
            self.notices = self.notices.split_off(&EpochId(horizon.persistent.0 + 1));
            self.writer.push(wire::Push::Persistent(horizon_out(horizon))).expect("a push is small");
        }
    }
}
