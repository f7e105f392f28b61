//! The io_uring backend: one thread, one ring, a table of what is in flight.
//!
//! Invariants: at most `places` orders are with the kernel, fewer than its completion queue holds; each has its own ticket,
//! and an answer whose ticket is not current is counted and dropped; a buffer is a [`Loan`] from submission to the answer, in
//! a slot that also holds the descriptor's handle; dropping the ring first brings every loan home.
//! A quarter of the places is kept from what may wait for ever (receives, accepts, watches), so that files always move.
//!
//! It does not order requests: no link and no drain flag is ever used.

use crate::doorbell::Doorbell;
use crate::file::File;
use crate::io::{Completion, Io, IoError, Memory, Op, OpId, Outcome};
use crate::kernel::{Kernel, Lack, Order, Uring};
use crate::loan::Loan;
use crate::slots::{Slots, Ticket};
use crate::socket::{Listener, Socket};
use crate::spans::Spans;
use crate::verdict::{Kind, Tries, Verdict, judge};
use core::ops::Range;
use core::time::Duration;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::time::Instant;

/// Tag of the cancels that nobody asked for: no slot has the last number.
const OWN_CANCEL: Ticket = Ticket { slot: u32::MAX, generation: 0 };

/// An operation as it lies in its slot.
enum Work<P> {
    Read { file: File, offset: u64, loan: Loan<P> },
    Write { file: File, offset: u64, loan: Loan<P> },
    Sync { file: File },
    Punch { file: File, offset: u64, bytes: u64 },
    Receive { socket: Socket, loan: Loan<P>, range: Range<usize> },
    Heed { socket: Socket },
    Send { socket: Socket, loan: Loan<P>, range: Range<usize> },
    Accept { listener: Listener },
    Watch { doorbell: Doorbell },
    Cancel { target: OpId },
}

/// Where an operation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// In the backlog, to be issued.
    Queued,
    /// With the kernel.
    Issued,
    /// With the kernel: its descriptor is being watched until the operation itself can go.
    Watched,
}

struct Flight<P> {
    user: u64,
    /// Generation of the first ticket, by which the caller knows the operation.
    first: u32,
    work: Work<P>,
    stage: Stage,
    /// The next order is to watch the descriptor, not to use it.
    await_ready: bool,
    cancelled: bool,
    tries: Tries,
}

/// The backend on io_uring. Made on the thread that uses it, and kept there:
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<uring::Ring<u8>>();
/// ```
pub struct Ring<P: Memory> {
    engine: Engine<P, Uring>,
}

impl<P: Memory> Ring<P> {
    /// Sets a ring up with at least `places` operations in flight.
    pub(crate) fn start(places: u32) -> Result<Self, Lack> {
        let kernel = Uring::start(places)?;
        assert!(places < kernel.completions(), "{places} in flight may overrun {} completions", kernel.completions());
        Ok(Self { engine: Engine::new(kernel, places) })
    }
}

impl<P: Memory> Io<P> for Ring<P> {
    fn submit(&mut self, op: Op<P>, user: u64) -> OpId {
        self.engine.submit(op, user)
    }

    fn poll(&mut self, done: &mut Vec<Completion<P>>) {
        self.engine.poll(done);
    }

    fn wait(&mut self, timeout: Option<Duration>, done: &mut Vec<Completion<P>>) {
        self.engine.wait(timeout, done);
    }

    fn in_flight(&self) -> usize {
        self.engine.in_flight()
    }

    fn strays(&self) -> u64 {
        self.engine.strays()
    }
}

impl<P: Memory> core::fmt::Debug for Ring<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Ring({} in flight)", self.engine.in_flight())
    }
}

/// The bookkeeping, over any kernel.
pub(crate) struct Engine<P: Memory, K: Kernel> {
    kernel: K,
    slots: Slots<Flight<P>>,
    spans: Spans,
    /// Orders with the kernel, and how many there may be.
    issued: usize,
    places: usize,
    /// Of those, orders that may wait for ever, and how many there may be.
    waiting: usize,
    waiting_max: usize,
    /// Tickets to be issued: what ends by itself, and what may wait for ever.
    brisk: VecDeque<Ticket>,
    idle: VecDeque<Ticket>,
    /// What is complete and not yet given back.
    done: Vec<Completion<P>>,
    answers: Vec<(u64, i32)>,
    strays: u64,
    closing: bool,
}

impl<P: Memory, K: Kernel> Engine<P, K> {
    pub(crate) fn new(kernel: K, places: u32) -> Self {
        let places = places as usize;
        assert!(places >= 4, "{places} places leave none for what may wait");
        Self {
            kernel,
            slots: Slots::new(),
            spans: Spans::default(),
            issued: 0,
            places,
            waiting: 0,
            waiting_max: places - places / 4,
            brisk: VecDeque::new(),
            idle: VecDeque::new(),
            done: Vec::new(),
            answers: Vec::new(),
            strays: 0,
            closing: false,
        }
    }

    /// Puts a ticket at the end of its backlog.
    fn queue(&mut self, ticket: Ticket) {
        let flight = self.slots.get_mut(ticket).expect("only current tickets are queued");
        flight.stage = Stage::Queued;
        if flight.work.may_wait() { self.idle.push_back(ticket) } else { self.brisk.push_back(ticket) }
    }

    /// Issues what there is room for.
    fn issue(&mut self) {
        while self.issued < self.places {
            // What may wait for ever goes first, since it cannot take the last quarter: so neither kind keeps the other out.
            let room = self.waiting < self.waiting_max;
            let idle = if room { self.idle.pop_front() } else { None };
            let Some(ticket) = idle.or_else(|| self.brisk.pop_front()) else {
                return;
            };
            self.issue_one(ticket);
        }
    }

    fn issue_one(&mut self, ticket: Ticket) {
        let Some(flight) = self.slots.get_mut(ticket) else {
            return; // It was cancelled while it was queued.
        };
        assert!(flight.stage == Stage::Queued, "{ticket:?} is {:?} and was to be issued", flight.stage);
        flight.stage = if flight.await_ready { Stage::Watched } else { Stage::Issued };
        self.waiting += usize::from(flight.work.may_wait());
        self.issued += 1;
        let order = if let Work::Cancel { target } = flight.work {
            match self.current(target) {
                Some(tag) => Order::Cancel { tag: tag.to_user_data() },
                None => return self.settle(ticket, Err(IoError::Os { errno: Errno::NOENT.raw_os_error() })),
            }
        } else if flight.await_ready {
            flight.work.readiness()
        } else {
            flight.work.order()
        };
        self.push(ticket.to_user_data(), order);
    }

    /// Hands an order to the kernel's queue, emptying it when it is full.
    fn push(&mut self, tag: u64, order: Order) {
        for _ in 0..PUSH_ATTEMPTS_MAX {
            // SAFETY: the order's target is that of a loan, which stays memory until `home`, and its descriptor is that of a
            // handle beside the loan; both lie in the slot until the answer to this tag is reaped, and nobody touches the
            // loan's content meanwhile.
            if unsafe { self.kernel.push(tag, order) } {
                return;
            }
            self.enter(0, None);
        }
        panic!("the kernel took nothing from a full queue in {PUSH_ATTEMPTS_MAX} attempts");
    }

    /// Enters the kernel and takes what it answers.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) {
        match self.kernel.enter(want, timeout) {
            // Busy and out of memory mean that completions are to be reaped first, which every caller does.
            Ok(()) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN | Errno::NOMEM) => {}
            Err(errno) => panic!("the kernel refuses a ring it has set up: {errno}"),
        }
        self.take_answers();
    }

    fn take_answers(&mut self) {
        let mut answers = core::mem::take(&mut self.answers);
        self.kernel.reap(&mut answers);
        for (tag, result) in answers.drain(..) {
            self.answer(Ticket::from_user_data(tag), result);
        }
        self.answers = answers;
        let lost = self.kernel.lost();
        // A lost answer is a buffer that never comes home and a write of which nobody knows: there is no way on from here.
        assert!(lost == 0, "the kernel dropped {lost} completions");
    }

    /// Takes one answer of the kernel.
    fn answer(&mut self, ticket: Ticket, result: i32) {
        if ticket == OWN_CANCEL {
            return;
        }
        let closing = self.closing;
        let Some(flight) = self.slots.get_mut(ticket).filter(|flight| flight.stage != Stage::Queued) else {
            self.strays += 1;
            return;
        };
        let watched = flight.stage == Stage::Watched;
        let kind = if watched { Kind::Ready } else { flight.work.kind() };
        let verdict = judge(kind, flight.work.asked(), result, &mut flight.tries);
        // A watched doorbell is heard without another order: its rings are there or they are not.
        if let (true, Verdict::Again, Work::Watch { doorbell }) = (watched, verdict, &flight.work) {
            match doorbell.hear() {
                Ok(Some(rings)) => return self.settle(ticket, Ok(Outcome::Rang(rings))),
                Ok(None) => {}
                Err(errno) => return self.settle(ticket, Err(IoError::Os { errno: errno.raw_os_error() })),
            }
        }
        // Nor is there anything to do for who only waits: any answer of the watch says that a receive would not wait.
        if let (true, Verdict::Again, Work::Heed { .. }, true) = (watched, verdict, &flight.work, result >= 0) {
            return self.settle(ticket, Ok(Outcome::Done));
        }
        match verdict {
            Verdict::Done(count) => {
                let outcome = flight.work.outcome(count);
                self.settle(ticket, Ok(outcome));
            }
            Verdict::Failed(error) => self.settle(ticket, Err(error)),
            Verdict::Again | Verdict::AwaitReady if closing || flight.cancelled => {
                self.settle(ticket, Err(IoError::Cancelled));
            }
            Verdict::Again | Verdict::AwaitReady => {
                flight.await_ready = verdict == Verdict::AwaitReady || flight.work.only_watches();
                self.waiting -= usize::from(flight.work.may_wait());
                self.issued -= 1;
                let ticket = self.slots.renew(ticket);
                self.queue(ticket);
            }
        }
    }

    /// Ends an operation: its slot is free and its buffer is home.
    fn settle(&mut self, ticket: Ticket, result: Result<Outcome, IoError>) {
        let flight = self.slots.remove(ticket).expect("only what is in flight is settled");
        if flight.stage != Stage::Queued {
            self.waiting -= usize::from(flight.work.may_wait());
            self.issued -= 1;
        }
        if let Work::Write { file, offset, .. } | Work::Punch { file, offset, .. } = &flight.work {
            self.spans.remove(file.id(), *offset);
        }
        let buffer = flight.work.into_loan().map(|loan| {
            // SAFETY: `home` wants no request with the loan's address in flight: each ticket has one order at a time, this
            // ticket's was answered (or never pushed, when it was queued), and the slot is empty now, so none will follow.
            unsafe { loan.home() }
        });
        let id = OpId { slot: ticket.slot, generation: flight.first };
        self.done.push(Completion { user: flight.user, id, buffer, result });
    }

    /// The current ticket of an operation, if it is still in flight.
    fn current(&mut self, id: OpId) -> Option<Ticket> {
        let (ticket, flight) = self.slots.at_slot(id.slot)?;
        (flight.first == id.generation).then_some(ticket)
    }

    /// Ends an operation that the kernel does not have; marks one that it has, so that it is not issued again.
    fn cancel_here(&mut self, target: OpId) {
        let Some(ticket) = self.current(target) else { return };
        let flight = self.slots.get_mut(ticket).expect("it is current");
        flight.cancelled = true;
        if flight.stage == Stage::Queued {
            self.settle(ticket, Err(IoError::Cancelled));
        }
    }

    /// How many slots are taken, completions not counted: zero when every buffer is home.
    #[cfg(test)]
    pub(crate) fn slots_taken(&self) -> usize {
        self.slots.len()
    }

    /// The kernel underneath.
    #[cfg(test)]
    pub(crate) fn kernel_mut(&mut self) -> &mut K {
        &mut self.kernel
    }
}

/// How often a full queue is handed over before the kernel is taken for broken; each attempt also reaps.
const PUSH_ATTEMPTS_MAX: u32 = 1_000_000;

impl<P: Memory, K: Kernel> Io<P> for Engine<P, K> {
    fn submit(&mut self, op: Op<P>, user: u64) -> OpId {
        op.check();
        let work = Work::from_op(op);
        if let Some((file, offset, bytes)) = work.span() {
            self.spans.insert(file.id(), offset, bytes);
        }
        let cancels = if let Work::Cancel { target } = &work { Some(*target) } else { None };
        let await_ready = work.only_watches();
        let (stage, tries) = (Stage::Queued, Tries::default());
        let flight = Flight { user, first: 0, work, stage, await_ready, cancelled: false, tries };
        let ticket = self.slots.insert(flight);
        self.slots.get_mut(ticket).expect("it was just put there").first = ticket.generation;
        let id = OpId { slot: ticket.slot, generation: ticket.generation };
        match cancels {
            Some(target) if self.current(target).is_some_and(|target| self.is_queued(target)) => {
                self.cancel_here(target);
                self.settle(ticket, Ok(Outcome::Done));
            }
            Some(target) => {
                self.cancel_here(target);
                self.queue(ticket);
            }
            None => self.queue(ticket),
        }
        id
    }

    fn poll(&mut self, done: &mut Vec<Completion<P>>) {
        self.take_answers();
        self.issue();
        if self.kernel.is_pending() {
            self.enter(0, None);
            // What was asked to go out again goes out now, not at the next poll.
            self.issue();
        }
        done.append(&mut self.done);
    }

    fn wait(&mut self, timeout: Option<Duration>, done: &mut Vec<Completion<P>>) {
        let until = timeout.map(|timeout| (Instant::now(), timeout));
        let before = done.len();
        loop {
            self.poll(done);
            if done.len() > before || self.issued == 0 {
                return;
            }
            let left = until.map(|(start, timeout)| timeout.saturating_sub(start.elapsed()));
            if left == Some(Duration::ZERO) {
                return;
            }
            self.enter(1, left);
        }
    }

    fn in_flight(&self) -> usize {
        self.slots.len() + self.done.len()
    }

    fn strays(&self) -> u64 {
        self.strays
    }
}

impl<P: Memory, K: Kernel> Engine<P, K> {
    fn is_queued(&mut self, ticket: Ticket) -> bool {
        self.slots.get_mut(ticket).is_some_and(|flight| flight.stage == Stage::Queued)
    }

    /// Brings everything home: what was not issued at once, what waits by cancelling it, the rest by waiting for it.
    fn drain(&mut self) {
        self.closing = true;
        while self.issued > 0 || self.slots.len() > 0 {
            self.end_waits();
            // A cancel can miss an operation that is just being taken up, so whoever still waits when nothing has come home
            // for a while is cancelled again.
            let mut before = usize::MAX;
            while self.issued > 0 && self.issued < before {
                before = self.issued;
                self.enter(1, Some(DRAIN_PAUSE));
            }
        }
    }

    /// Ends what is not with the kernel, and asks it to end what may wait for ever.
    fn end_waits(&mut self) {
        for ticket in self.slots.tickets() {
            // Handing cancels over also reaps, so what was listed may have come home since.
            let Some(flight) = self.slots.get_mut(ticket) else { continue };
            let endless = flight.work.may_wait() || matches!(flight.work, Work::Send { .. });
            if flight.stage == Stage::Queued {
                self.settle(ticket, Err(IoError::Cancelled));
            } else if endless {
                self.push(OWN_CANCEL.to_user_data(), Order::Cancel { tag: ticket.to_user_data() });
            }
        }
    }
}

/// How long a drain waits for a completion before it cancels again.
const DRAIN_PAUSE: Duration = Duration::from_secs(1);

impl<P: Memory, K: Kernel> Drop for Engine<P, K> {
    fn drop(&mut self) {
        // Should the kernel refuse to be entered, this panics and the loans leak, which is the safe way to fail.
        self.drain();
    }
}

impl<P: Memory> Work<P> {
    fn from_op(op: Op<P>) -> Self {
        match op {
            Op::Read { file, offset, buffer } => Self::Read { file, offset, loan: Loan::new(buffer) },
            Op::Write { file, offset, buffer } => Self::Write { file, offset, loan: Loan::new(buffer) },
            Op::Sync { file } => Self::Sync { file },
            Op::Punch { file, offset, bytes } => Self::Punch { file, offset, bytes },
            Op::Receive { socket, buffer, range } => Self::Receive { socket, loan: Loan::new(buffer), range },
            Op::Heed { socket } => Self::Heed { socket },
            Op::Send { socket, buffer, range } => Self::Send { socket, loan: Loan::new(buffer), range },
            Op::Accept { listener } => Self::Accept { listener },
            Op::Watch { doorbell } => Self::Watch { doorbell },
            Op::Cancel { id } => Self::Cancel { target: id },
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } => Kind::Read,
            Self::Write { .. } => Kind::Write,
            Self::Sync { .. } => Kind::Sync,
            Self::Punch { .. } => Kind::Punch,
            Self::Receive { .. } | Self::Heed { .. } => Kind::Receive,
            Self::Send { .. } => Kind::Send,
            Self::Accept { .. } => Kind::Accept,
            Self::Watch { .. } => Kind::Watch,
            Self::Cancel { .. } => Kind::Cancel,
        }
    }

    /// The bytes of a file that it changes, and how many.
    fn span(&self) -> Option<(&File, u64, u64)> {
        match self {
            Self::Write { file, offset, loan } => {
                let bytes = u64::try_from(loan.bytes()).expect("a length fits 64 bits");
                Some((file, *offset, bytes))
            }
            Self::Punch { file, offset, bytes } => Some((file, *offset, *bytes)),
            Self::Read { .. }
            | Self::Sync { .. }
            | Self::Receive { .. }
            | Self::Heed { .. }
            | Self::Send { .. }
            | Self::Accept { .. }
            | Self::Watch { .. }
            | Self::Cancel { .. } => None,
        }
    }

    /// Whether it may wait for ever for somebody else.
    fn may_wait(&self) -> bool {
        matches!(self, Self::Receive { .. } | Self::Heed { .. } | Self::Accept { .. } | Self::Watch { .. })
    }

    /// Whether its descriptor is watched, and nothing else done with it.
    fn only_watches(&self) -> bool {
        matches!(self, Self::Heed { .. } | Self::Watch { .. })
    }

    fn asked(&self) -> usize {
        match self {
            Self::Read { loan, .. } | Self::Write { loan, .. } => loan.bytes(),
            Self::Receive { range, .. } | Self::Send { range, .. } => range.len(),
            Self::Sync { .. }
            | Self::Punch { .. }
            | Self::Heed { .. }
            | Self::Accept { .. }
            | Self::Watch { .. }
            | Self::Cancel { .. } => 0,
        }
    }

    /// The order that does the work.
    fn order(&self) -> Order {
        match self {
            Self::Read { file, offset, loan } => {
                let target = loan.target(0..loan.bytes());
                Order::Read { fd: file.as_fd().as_raw_fd(), target, offset: *offset }
            }
            Self::Write { file, offset, loan } => {
                let target = loan.target(0..loan.bytes());
                Order::Write { fd: file.as_fd().as_raw_fd(), target, offset: *offset }
            }
            Self::Sync { file } => Order::Sync { fd: file.as_fd().as_raw_fd() },
            Self::Punch { file, offset, bytes } => {
                Order::Punch { fd: file.as_fd().as_raw_fd(), offset: *offset, bytes: *bytes }
            }
            Self::Receive { socket, loan, range } => {
                Order::Receive { fd: socket.as_fd().as_raw_fd(), target: loan.target(range.clone()) }
            }
            Self::Send { socket, loan, range } => {
                Order::Send { fd: socket.as_fd().as_raw_fd(), target: loan.target(range.clone()) }
            }
            Self::Accept { listener } => Order::Accept { fd: listener.as_fd().as_raw_fd() },
            Self::Heed { .. } | Self::Watch { .. } => self.readiness(),
            Self::Cancel { .. } => unreachable!("a cancel's order names another ticket"),
        }
    }

    /// The order that waits until the work can be done without waiting.
    fn readiness(&self) -> Order {
        match self {
            Self::Receive { socket, .. } | Self::Heed { socket } => {
                Order::Ready { fd: socket.as_fd().as_raw_fd(), to_send: false }
            }
            Self::Send { socket, .. } => Order::Ready { fd: socket.as_fd().as_raw_fd(), to_send: true },
            Self::Accept { listener } => Order::Ready { fd: listener.as_fd().as_raw_fd(), to_send: false },
            Self::Watch { doorbell } => Order::Ready { fd: doorbell.as_fd().as_raw_fd(), to_send: false },
            Self::Read { .. } | Self::Write { .. } | Self::Sync { .. } | Self::Punch { .. } | Self::Cancel { .. } => {
                unreachable!("files and cancels are always ready")
            }
        }
    }

    /// What the kernel's count means.
    fn outcome(&self, count: u32) -> Outcome {
        match self {
            Self::Read { .. } | Self::Write { .. } | Self::Sync { .. } | Self::Punch { .. } | Self::Cancel { .. } => {
                Outcome::Done
            }
            Self::Receive { .. } | Self::Send { .. } => Outcome::Moved(count as usize),
            Self::Accept { .. } => {
                let fd = i32::try_from(count).expect("it was an i32");
                // SAFETY: `from_raw_fd` wants an open descriptor that nobody else owns: the kernel has just made this one for
                // an accept whose ticket is current, and an answer is taken once.
                let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                Outcome::Accepted(Socket::from_accepted(fd))
            }
            Self::Heed { .. } | Self::Watch { .. } => unreachable!("what is only watched has no count"),
        }
    }

    fn into_loan(self) -> Option<Loan<P>> {
        match self {
            Self::Read { loan, .. }
            | Self::Write { loan, .. }
            | Self::Receive { loan, .. }
            | Self::Send { loan, .. } => Some(loan),
            Self::Sync { .. }
            | Self::Punch { .. }
            | Self::Heed { .. }
            | Self::Accept { .. }
            | Self::Watch { .. }
            | Self::Cancel { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
