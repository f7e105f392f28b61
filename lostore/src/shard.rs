//! The shard: one thread's loop around an engine, its device, the mailbox of the embedding program, and a front of sockets.
//!
//! Contract: everything that happens to a shard is one closed `Event`, applied by one synchronous function; after each batch
//! of events upkeep leaves nothing undone that could be done: requests are with the device, answers with whoever asked.
//! Every operation that was taken in is answered once, also while the shard closes.
//!
//! Invariants: the embedding program's operations have numbers with the top bit clear, the front's with the top bit set,
//! the shard's own force has `u64::MAX >> 1`. The shard ends only when a force was answered after the mailbox had been
//! drained and the front was done, and the domain has written down its end.
//!
//! A shard with nothing to do polls for a short, configured time and then sleeps at its [`Port`]; asleep it costs nothing.
//! It knows nothing of sockets, and of no domain more than the seam.

use crate::answer::Reply;
use crate::clock::Clock;
use crate::inbox::Receiver;
use crate::port::Port;
use crate::slots::Slots;
use domains::{Answer, Asker, Capabilities, Driven, Error, Horizon, Op, OpId, PairRef, Seen, Tick};
use segments::{Completion, Request, TableId, Tag};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

/// Messages taken from the mailbox in one round, so that the device and the sockets get their turn.
const ROUND_MESSAGES_MAX: usize = 256;
/// The bit of an operation's number that says: the front's.
const FRONT: u64 = 1 << 63;
/// The shard's own force, on its way out.
const LAST_FORCE: OpId = OpId(u64::MAX >> 1);

/// Names an operation of a front; the top bit must be clear. Unique among the front's operations in flight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrontOp(pub u64);

/// What a front wants of its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// To go on.
    Serving,
    /// The whole shard should close.
    Closing,
    /// Nothing more: it was told to stop, and all its answers are out.
    Done,
}

/// What a front says after its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// When it wants the next turn by the clock alone.
    pub due: Option<Tick>,
    /// How it wants to go on.
    pub life: Life,
}

/// What a shard lends a front: the domain to ask, the port to start socket operations at.
pub struct Desk<'a, P: Port> {
    domain: &'a mut dyn Driven,
    /// The device's ring, for the front's socket operations.
    pub port: &'a mut P,
    /// What time it is.
    pub now: Tick,
    submitted: &'a mut bool,
    answered: &'a mut bool,
}

impl<P: Port> Desk<'_, P> {
    /// Asks the domain for somebody; the answer comes through [`Front::answered`], never within this call.
    pub fn submit(&mut self, asker: Asker, id: FrontOp, op: Op) {
        assert!(id.0 & FRONT == 0, "the top bit of {id:?} is the shard's");
        *self.submitted = true;
        self.domain.submit_for(asker, OpId(id.0 | FRONT), op, self.now);
    }

    /// Somebody for whom the domain was asked is no more.
    pub fn gone(&mut self, asker: Asker) {
        *self.submitted = true;
        self.domain.gone(asker, self.now);
    }

    /// Asks the domain for somebody; the answer when it is there within the call, else it comes through [`Front::answered`].
    pub fn ask(&mut self, asker: Asker, id: FrontOp, op: Op) -> Option<Result<Answer, Error>> {
        assert!(id.0 & FRONT == 0, "the top bit of {id:?} is the shard's");
        *self.submitted = true;
        let answer = self.domain.submit_now(asker, OpId(id.0 | FRONT), op, self.now);
        *self.answered |= answer.is_some();
        answer
    }

    /// Looks a key up and shows the pair in place, without an operation, when memory alone can answer.
    ///
    /// # Errors
    /// As [`Op::Lookup`]; nothing was shown then.
    pub fn lookup_now(
        &mut self,
        table: TableId,
        key: &[u8],
        see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<Seen, Error> {
        self.domain.lookup_now(table, key, self.now, see)
    }

    /// Up to where the domain is persistent.
    #[must_use]
    pub fn horizon(&self) -> Horizon {
        self.domain.horizon()
    }

    /// What the domain can promise.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.domain.capabilities()
    }
}

impl<P: Port> std::fmt::Debug for Desk<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("now", &self.now).finish_non_exhaustive()
    }
}

/// What serves other processes on a shard's thread.
///
/// All calls come from the shard's thread, between its other work, and must not wait.
pub trait Front<P: Port> {
    /// The shard begins.
    fn start(&mut self, desk: &mut Desk<'_, P>);

    /// A socket operation has completed.
    fn completed(&mut self, io: P::Io, desk: &mut Desk<'_, P>);

    /// An operation submitted at the desk has been answered.
    fn answered(&mut self, id: FrontOp, answer: Result<Answer, Error>, desk: &mut Desk<'_, P>);

    /// Everything that happened has been told; now is the time to send what is ready. Called after each batch of events,
    /// again whenever that led to answers, and when its time has come. The horizon may have moved.
    fn turn(&mut self, desk: &mut Desk<'_, P>) -> Wish;

    /// Take nothing more in, answer what is under way, and say [`Life::Done`] when all is out.
    fn stop(&mut self, desk: &mut Desk<'_, P>);
}

/// No front: the shard serves its own process only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFront {
    stopping: bool,
}

impl<P: Port> Front<P> for NoFront {
    fn start(&mut self, _desk: &mut Desk<'_, P>) {}

    fn completed(&mut self, io: P::Io, _desk: &mut Desk<'_, P>) {
        unreachable!("a socket operation that nobody started completed: {io:?}");
    }

    fn answered(&mut self, id: FrontOp, _answer: Result<Answer, Error>, _desk: &mut Desk<'_, P>) {
        unreachable!("an operation that nobody submitted was answered: {id:?}");
    }

    fn turn(&mut self, _desk: &mut Desk<'_, P>) -> Wish {
        Wish { due: None, life: if self.stopping { Life::Done } else { Life::Serving } }
    }

    fn stop(&mut self, _desk: &mut Desk<'_, P>) {
        self.stopping = true;
    }
}

/// An operation of the embedding program and where its answer goes.
pub(crate) struct Message {
    pub(crate) asker: Asker,
    pub(crate) op: Op,
    pub(crate) reply: Reply<Result<Answer, Error>>,
}

/// Where handles read the horizon that the shard last saw.
#[derive(Debug, Default)]
pub(crate) struct SharedHorizon {
    incarnation: AtomicU64,
    persistent: AtomicU64,
}

impl SharedHorizon {
    pub(crate) fn store(&self, horizon: Horizon) {
        self.incarnation.store(u64::from(horizon.incarnation.0), Ordering::Relaxed);
        self.persistent.store(horizon.persistent.0, Ordering::Release);
    }

    pub(crate) fn load(&self) -> Horizon {
        let persistent = segments::EpochId(self.persistent.load(Ordering::Acquire));
        let incarnation = self.incarnation.load(Ordering::Relaxed);
        let incarnation = u32::try_from(incarnation).expect("it was stored from 32 bits");
        Horizon { incarnation: segments::Incarnation(incarnation), persistent }
    }
}

/// Everything that can happen to a shard.
enum Event<Io> {
    /// The embedding program asks.
    Message(Message),
    /// The device has done something.
    Device(Completion),
    /// A socket operation has completed.
    Socket(Io),
    /// The domain has answered.
    Answered(OpId, Result<Answer, Error>),
    /// The mailbox was closed, or the front wants to close.
    Close,
}

/// How far a shard is with closing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Closing {
    /// Not at all.
    No,
    /// Nobody puts anything in any more; what is in is carried out.
    Draining,
    /// All is in the domain's hands; the last force is under way.
    Forcing,
    /// The last force was answered.
    Forced,
}

/// One shard.
pub(crate) struct Shard<D: Driven, P: Port, F: Front<P>> {
    domain: D,
    port: P,
    front: F,
    inbox: Receiver<Message>,
    horizon: Arc<SharedHorizon>,
    poll_nanos: u64,
    clock: Clock,
    now: Tick,
    replies: Slots<Reply<Result<Answer, Error>>>,
    closing: Closing,
    /// Something was answered after the last force had been asked for: a commit that waited may have been applied behind it.
    answered_late: bool,
    /// When the engine and the front next want a turn by the clock alone.
    domain_due: Option<Tick>,
    wish: Wish,
    /// The engine was given something since its last turn.
    submitted: bool,
    /// Why the last force failed, if it did.
    failure: Option<Error>,
    events: Vec<Event<P::Io>>,
    done: Vec<Completion>,
    io: Vec<P::Io>,
    answers: Vec<(OpId, Result<Answer, Error>)>,
    requests: Vec<(Tag, Request)>,
}

impl<D: Driven, P: Port, F: Front<P>> Shard<D, P, F> {
    pub(crate) fn new(
        (domain, port, front): (D, P, F),
        inbox: Receiver<Message>,
        horizon: Arc<SharedHorizon>,
        poll_nanos: u64,
    ) -> Self {
        let mut clock = Clock::start();
        let now = clock.read();
        Self {
            domain,
            port,
            front,
            inbox,
            horizon,
            poll_nanos,
            clock,
            now,
            replies: Slots::new(),
            closing: Closing::No,
            answered_late: false,
            domain_due: None,
            wish: Wish { due: None, life: Life::Serving },
            submitted: true,
            failure: None,
            events: Vec::new(),
            done: Vec::new(),
            io: Vec::new(),
            answers: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// Works until it is closed; returns why what was committed last may not be persistent, if so.
    pub(crate) fn run(&mut self) -> Option<Error> {
        self.with_front(|front, desk| front.start(desk));
        self.upkeep();
        let mut busy_nanos = self.now.nanos;
        while !self.is_over() {
            self.now = self.clock.read();
            if self.round() {
                busy_nanos = self.now.nanos;
            } else if self.now.nanos - busy_nanos >= self.poll_nanos {
                self.sleep();
            } else {
                std::hint::spin_loop();
            }
        }
        self.failure.take()
    }

    /// Takes in what has happened, applies it, and puts everything in order; `false` when nothing had happened.
    fn round(&mut self) -> bool {
        self.gather();
        let idle = self.events.is_empty();
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            self.apply(event);
        }
        self.events = events;
        if idle && !self.is_due() {
            return false;
        }
        self.upkeep();
        true
    }

    fn gather(&mut self) {
        self.port.poll_io(&mut self.io);
        if self.port.in_flight() > 0 {
            self.port.poll(&mut self.done);
            self.events.extend(self.done.drain(..).map(Event::Device));
        }
        self.events.extend(self.io.drain(..).map(Event::Socket));
        for _ in 0..ROUND_MESSAGES_MAX {
            let Some(message) = self.inbox.pop() else { break };
            self.events.push(Event::Message(message));
        }
        if self.closing == Closing::No && self.inbox.is_closed() {
            self.events.push(Event::Close);
        }
    }

    /// What each event means. It waits for nothing.
    fn apply(&mut self, event: Event<P::Io>) {
        match event {
            Event::Message(Message { asker, op, reply }) => {
                let id = self.replies.insert(reply);
                self.domain.submit_for(asker, id, op, self.now);
                self.submitted = true;
            }
            Event::Device(completion) => {
                self.domain.complete(completion, self.now);
                self.submitted = true;
            }
            Event::Socket(io) => self.with_front(|front, desk| front.completed(io, desk)),
            Event::Answered(LAST_FORCE, answer) => {
                assert_eq!(self.closing, Closing::Forcing, "the last force was answered before it was asked");
                self.failure = answer.err().filter(|error| error.kind() != domains::ErrorKind::Unsupported);
                self.closing = Closing::Forced;
            }
            Event::Answered(OpId(id), answer) if id & FRONT != 0 => {
                self.answered_late = true;
                self.with_front(|front, desk| front.answered(FrontOp(id & !FRONT), answer, desk));
            }
            Event::Answered(id, answer) => {
                self.answered_late = true;
                let reply = self.replies.remove(id).unwrap_or_else(|| unreachable!("nobody asked {id:?}: {answer:?}"));
                reply.send(answer);
            }
            Event::Close => {
                if self.closing == Closing::No {
                    self.closing = Closing::Draining;
                    self.inbox.close();
                    self.with_front(|front, desk| front.stop(desk));
                }
            }
        }
    }

    /// Leaves nothing undone that could be done now. Ends, since each lap but the last hands out an answer, and a front has
    /// only so much input to turn into operations.
    fn upkeep(&mut self) {
        loop {
            self.turn_domain();
            self.domain.take_answers(&mut self.answers);
            let answered = !self.answers.is_empty();
            // Before the answers: whoever has one reads a horizon that is at least as new.
            self.horizon.store(self.domain.horizon());
            let mut answers = std::mem::take(&mut self.answers);
            for (id, answer) in answers.drain(..) {
                self.apply(Event::Answered(id, answer));
            }
            self.answers = answers;
            let wish = self.with_front(|front, desk| front.turn(desk));
            self.wish = wish;
            if wish.life == Life::Closing {
                self.apply(Event::Close);
            }
            self.close_further();
            if !answered && !self.submitted {
                return;
            }
        }
    }

    fn turn_domain(&mut self) {
        // Requests first: the device works while the engine goes on thinking.
        self.send_requests();
        if std::mem::take(&mut self.submitted) || is_due(self.domain_due, self.now) {
            self.domain_due = self.domain.turn(self.now);
            self.send_requests();
        }
    }

    fn send_requests(&mut self) {
        self.domain.take_requests(&mut self.requests);
        for (tag, request) in self.requests.drain(..) {
            self.port.submit(tag, request);
        }
    }

    /// The force covers what is committed by then. Operations that still waited for a read or for room commit behind it, so it is
    /// asked for again until nothing has been answered since: what was answered before the end is persistent.
    fn close_further(&mut self) {
        let drained = self.closing == Closing::Draining && self.inbox.is_drained() && self.wish.life == Life::Done;
        if drained || self.closing == Closing::Forced && self.answered_late {
            self.closing = Closing::Forcing;
            self.answered_late = false;
            self.domain.submit(LAST_FORCE, Op::Force, self.now);
            self.submitted = true;
        }
    }

    /// Whether the last force was answered, nothing under way can come any further, and the end is written down.
    fn is_over(&mut self) -> bool {
        let stuck = self.replies.len() == 0 || self.domain_due.is_none();
        if self.closing != Closing::Forced || self.port.in_flight() > 0 || self.submitted || !stuck {
            return false;
        }
        match self.domain.close() {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                self.failure.get_or_insert(error);
                true
            }
            Poll::Pending => {
                self.send_requests();
                false
            }
        }
    }

    fn is_due(&self) -> bool {
        is_due(self.domain_due, self.now) || is_due(self.wish.due, self.now)
    }

    fn sleep(&mut self) {
        // A sender may stand between its place and its message: then the drain is not over, and no bell will ring for it.
        if self.closing == Closing::Draining && !self.inbox.is_drained() {
            std::hint::spin_loop();
            return;
        }
        if !self.inbox.begin_sleep() {
            return;
        }
        let due = match (self.domain_due, self.wish.due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.port.sleep(due.map(|due| due.nanos.saturating_sub(self.now.nanos)));
        self.inbox.end_sleep();
    }

    fn with_front<R>(&mut self, call: impl FnOnce(&mut F, &mut Desk<'_, P>) -> R) -> R {
        let (submitted, answered) = (&mut self.submitted, &mut self.answered_late);
        let mut desk = Desk { domain: &mut self.domain, port: &mut self.port, now: self.now, submitted, answered };
        call(&mut self.front, &mut desk)
    }
}

fn is_due(due: Option<Tick>, now: Tick) -> bool {
    due.is_some_and(|due| due.nanos <= now.nanos)
}

#[cfg(test)]
mod tests;
