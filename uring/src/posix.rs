//! The POSIX backend: the same contract without io_uring, for machines that refuse it.
//!
//! File operations go to two threads, with their buffers by value, and come back through a list and a doorbell; sockets and
//! doorbells are watched with poll(2) and served without blocking on the caller's thread. Slower than a ring, by a system call
//! and two thread switches per file operation.
//!
//! Invariants: as in [`Io`]. What a thread has taken up is always finished, also when the backend is dropped. No unsafe code.

use crate::doorbell::Doorbell;
use crate::error::Error;
use crate::file::File;
use crate::io::{Completion, Io, IoError, Memory, Op, OpId, Outcome};
use crate::slots::{Slots, Ticket};
use crate::socket::{Listener, Socket};
use crate::spans::Spans;
use crate::verdict::{Kind, Tries, Verdict, judge};
use core::ops::Range;
use core::time::Duration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use std::time::Instant;
use zerocopy::IntoBytes;

mod workers;
use workers::{FileWork, Task, Workers};

/// An operation on a socket or doorbell.
enum SocketWork<P> {
    Receive { socket: Socket, buffer: Box<[P]>, range: Range<usize> },
    Heed { socket: Socket },
    Send { socket: Socket, buffer: Box<[P]>, range: Range<usize> },
    Accept { listener: Listener },
    Watch { doorbell: Doorbell },
}

/// Where an operation is.
enum Place<P> {
    /// With the threads; they have its buffer.
    Threads,
    /// Here, until its descriptor is ready.
    Waiting(SocketWork<P>),
}

struct Flight<P> {
    user: u64,
    place: Place<P>,
    tries: Tries,
}

/// The backend on threads and poll(2). Used by one thread, like the other.
pub struct Posix<P: Memory> {
    workers: Workers<P>,
    slots: Slots<Flight<P>>,
    waiting: Vec<Ticket>,
    spans: Spans,
    done: Vec<Completion<P>>,
    strays: u64,
}

impl<P: Memory> Posix<P> {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the process has no descriptor or thread left.
    pub fn start() -> Result<Self, Error> {
        Ok(Self {
            workers: Workers::start()?,
            slots: Slots::new(),
            waiting: Vec::new(),
            spans: Spans::default(),
            done: Vec::new(),
            strays: 0,
        })
    }

    fn settle(&mut self, ticket: Ticket, buffer: Option<Box<[P]>>, result: Result<Outcome, IoError>) {
        let flight = self.slots.remove(ticket).expect("only what is in flight is settled");
        let id = OpId { slot: ticket.slot, generation: ticket.generation };
        self.done.push(Completion { user: flight.user, id, buffer, result });
    }

    /// Takes back what the threads have finished.
    fn take_finished(&mut self) {
        for (task, result) in self.workers.take_finished() {
            let Some(flight) = self.slots.get_mut(task.ticket) else {
                self.strays += 1;
                continue;
            };
            match judge(task.work.kind(), task.work.asked(), result, &mut flight.tries) {
                Verdict::Done(_) => self.finish(task, Ok(Outcome::Done)),
                Verdict::Failed(error) => self.finish(task, Err(error)),
                Verdict::Again => self.workers.give(task),
                Verdict::AwaitReady => unreachable!("files are always ready"),
            }
        }
    }

    fn finish(&mut self, task: Task<P>, result: Result<Outcome, IoError>) {
        if let FileWork::Write { file, offset, .. } | FileWork::Punch { file, offset, .. } = &task.work {
            self.spans.remove(file.id(), *offset);
        }
        self.settle(task.ticket, task.work.into_buffer(), result);
    }

    /// Waits for a descriptor to be ready, and does what is ready to be done.
    fn turn(&mut self, timeout: Option<Duration>) {
        // The caller's duration comes down to whole nanoseconds in 64 bits, three centuries at most.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let (rang, ready) = self.ready(timeout.as_ref());
        if rang {
            self.workers.hear();
            self.take_finished();
        }
        for ticket in ready {
            self.serve(ticket);
        }
        let slots = &mut self.slots;
        self.waiting.retain(|ticket| slots.get_mut(*ticket).is_some());
    }

    /// Waits; whether the threads rang, and the tickets whose descriptors are ready.
    fn ready(&mut self, timeout: Option<&Timespec>) -> (bool, Vec<Ticket>) {
        let slots = &self.slots;
        let mut tickets = Vec::with_capacity(self.waiting.len());
        let mut watched = Vec::with_capacity(self.waiting.len() + 1);
        watched.push(PollFd::from_borrowed_fd(self.workers.doorbell().as_fd(), PollFlags::IN));
        for ticket in &self.waiting {
            if let Some(Flight { place: Place::Waiting(work), .. }) = slots.get(*ticket) {
                tickets.push(*ticket);
                let (fd, flags) = work.watched();
                watched.push(PollFd::from_borrowed_fd(fd, flags));
            }
        }
        match poll(&mut watched, timeout) {
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => panic!("descriptors that are open cannot be polled: {errno}"),
        }
        // Errors and hang-ups are readiness too: the operation itself tells which.
        let is_ready = |watched: &PollFd<'_>| !watched.revents().is_empty();
        let ready = watched[1..].iter().zip(&tickets).filter(|(watched, _)| is_ready(watched));
        (is_ready(&watched[0]), ready.map(|(_, ticket)| *ticket).collect())
    }

    /// Does one operation whose descriptor was ready.
    fn serve(&mut self, ticket: Ticket) {
        let Some(flight) = self.slots.get_mut(ticket) else { return };
        let Place::Waiting(work) = &mut flight.place else {
            unreachable!("only what waits here is polled");
        };
        let result = match work.serve() {
            Ok(Some(outcome)) => Ok(outcome),
            Ok(None) => return,
            Err(errno) => match judge(work.kind(), 0, -errno.raw_os_error(), &mut flight.tries) {
                Verdict::Again | Verdict::AwaitReady => return,
                Verdict::Failed(error) => Err(error),
                Verdict::Done(_) => unreachable!("an error is not done"),
            },
        };
        self.end_waiting(ticket, result);
    }

    fn end_waiting(&mut self, ticket: Ticket, result: Result<Outcome, IoError>) {
        let flight = self.slots.get_mut(ticket).expect("it is current");
        // The threads' place holds nothing; the slot is emptied right after.
        let Place::Waiting(work) = core::mem::replace(&mut flight.place, Place::Threads) else {
            unreachable!("only what waits here ends here");
        };
        self.settle(ticket, work.into_buffer(), result);
    }

    /// Ends the target if it has not begun; whether there was such an operation.
    fn cancel(&mut self, target: OpId) -> Result<Outcome, IoError> {
        let ticket = Ticket { slot: target.slot, generation: target.generation };
        let Some(flight) = self.slots.get_mut(ticket) else {
            return Err(IoError::Os { errno: Errno::NOENT.raw_os_error() });
        };
        match &flight.place {
            Place::Waiting(_) => self.end_waiting(ticket, Err(IoError::Cancelled)),
            Place::Threads => match self.workers.take_back(ticket) {
                Some(task) => self.finish(task, Err(IoError::Cancelled)),
                None => return Err(IoError::Os { errno: Errno::ALREADY.raw_os_error() }),
            },
        }
        Ok(Outcome::Done)
    }

    fn give(&mut self, user: u64, work: FileWork<P>) -> Ticket {
        let ticket = self.slots.insert(Flight { user, place: Place::Threads, tries: Tries::default() });
        self.workers.give(Task { ticket, work });
        ticket
    }

    fn wait_for(&mut self, user: u64, work: SocketWork<P>) -> Ticket {
        let ticket = self.slots.insert(Flight { user, place: Place::Waiting(work), tries: Tries::default() });
        self.waiting.push(ticket);
        ticket
    }

    fn write(&mut self, user: u64, file: File, offset: u64, buffer: Box<[P]>) -> Ticket {
        let bytes = u64::try_from(buffer.as_bytes().len()).expect("a length fits 64 bits");
        self.spans.insert(file.id(), offset, bytes);
        self.give(user, FileWork::Write { file, offset, buffer })
    }
}

impl<P: Memory> Io<P> for Posix<P> {
    fn submit(&mut self, op: Op<P>, user: u64) -> OpId {
        op.check();
        let ticket = match op {
            Op::Read { file, offset, buffer } => self.give(user, FileWork::Read { file, offset, buffer }),
            Op::Write { file, offset, buffer } => self.write(user, file, offset, buffer),
            Op::Sync { file } => self.give(user, FileWork::Sync { file }),
            Op::Punch { file, offset, bytes } => {
                self.spans.insert(file.id(), offset, bytes);
                self.give(user, FileWork::Punch { file, offset, bytes })
            }
            Op::Receive { socket, buffer, range } => self.wait_for(user, SocketWork::Receive { socket, buffer, range }),
            Op::Heed { socket } => self.wait_for(user, SocketWork::Heed { socket }),
            Op::Send { socket, buffer, range } => self.wait_for(user, SocketWork::Send { socket, buffer, range }),
            Op::Accept { listener } => self.wait_for(user, SocketWork::Accept { listener }),
            Op::Watch { doorbell } => self.wait_for(user, SocketWork::Watch { doorbell }),
            Op::Cancel { id } => {
                let result = self.cancel(id);
                let ticket = self.slots.insert(Flight { user, place: Place::Threads, tries: Tries::default() });
                self.settle(ticket, None, result);
                ticket
            }
        };
        OpId { slot: ticket.slot, generation: ticket.generation }
    }

    fn poll(&mut self, done: &mut Vec<Completion<P>>) {
        self.turn(Some(Duration::ZERO));
        done.append(&mut self.done);
    }

    fn wait(&mut self, timeout: Option<Duration>, done: &mut Vec<Completion<P>>) {
        let until = timeout.map(|timeout| (Instant::now(), timeout));
        let before = done.len();
        loop {
            self.poll(done);
            if done.len() > before || self.slots.len() == 0 {
                return;
            }
            let left = until.map(|(start, timeout)| timeout.saturating_sub(start.elapsed()));
            if left == Some(Duration::ZERO) {
                return;
            }
            self.turn(left);
        }
    }

    fn in_flight(&self) -> usize {
        self.slots.len() + self.done.len()
    }

    fn strays(&self) -> u64 {
        self.strays
    }
}

impl<P: Memory> SocketWork<P> {
    fn kind(&self) -> Kind {
        match self {
            Self::Receive { .. } | Self::Heed { .. } => Kind::Receive,
            Self::Send { .. } => Kind::Send,
            Self::Accept { .. } => Kind::Accept,
            Self::Watch { .. } => Kind::Watch,
        }
    }

    fn watched(&self) -> (BorrowedFd<'_>, PollFlags) {
        match self {
            Self::Receive { socket, .. } | Self::Heed { socket } => (socket.as_fd(), PollFlags::IN),
            Self::Send { socket, .. } => (socket.as_fd(), PollFlags::OUT),
            Self::Accept { listener } => (listener.as_fd(), PollFlags::IN),
            Self::Watch { doorbell } => (doorbell.as_fd(), PollFlags::IN),
        }
    }

    /// Does it, if it can be done now.
    fn serve(&mut self) -> Result<Option<Outcome>, Errno> {
        match self {
            Self::Receive { socket, buffer, range } => {
                let bytes = &mut buffer.as_mut_bytes()[range.clone()];
                let (moved, _) = rustix::net::recv(socket, bytes, RecvFlags::DONTWAIT)?;
                Ok(Some(Outcome::Moved(moved)))
            }
            // It is served when its descriptor is ready, which is all it waits for.
            Self::Heed { .. } => Ok(Some(Outcome::Done)),
            Self::Send { socket, buffer, range } => {
                let bytes = &buffer.as_bytes()[range.clone()];
                let moved = rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
                Ok(Some(Outcome::Moved(moved)))
            }
            Self::Accept { listener } => {
                let fd = rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
                Ok(Some(Outcome::Accepted(Socket::from_accepted(fd))))
            }
            Self::Watch { doorbell } => Ok(doorbell.hear()?.map(Outcome::Rang)),
        }
    }

    fn into_buffer(self) -> Option<Box<[P]>> {
        match self {
            Self::Receive { buffer, .. } | Self::Send { buffer, .. } => Some(buffer),
            Self::Heed { .. } | Self::Accept { .. } | Self::Watch { .. } => None,
        }
    }
}

impl<P: Memory> core::fmt::Debug for Posix<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Posix({} in flight)", self.slots.len())
    }
}
