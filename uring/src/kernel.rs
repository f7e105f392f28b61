//! The seam between the ring's bookkeeping and io_uring itself, so that tests can put a kernel of their own underneath.
//!
//! Contract: every order pushed is answered by exactly one (tag, result), at any time after the next `enter`; answers are
//! taken by `reap`. No order is linked to another. It does not know buffers, only addresses, and keeps none.

use crate::file::PUNCH;
use crate::limits::SUBMIT_MAX;
use crate::loan::Target;
use core::time::Duration;
use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode, squeue};
use rustix::fd::RawFd;
use rustix::io::Errno;

/// One request as the kernel is to see it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Read { fd: RawFd, target: Target, offset: u64 },
    Write { fd: RawFd, target: Target, offset: u64 },
    Sync { fd: RawFd },
    Punch { fd: RawFd, offset: u64, bytes: u64 },
    Receive { fd: RawFd, target: Target },
    Send { fd: RawFd, target: Target },
    Accept { fd: RawFd },
    Ready { fd: RawFd, to_send: bool },
    Cancel { tag: u64 },
}

/// Whoever carries orders out.
pub(crate) trait Kernel {
    /// Queues an order; `false` when the queue is full and must be entered first.
    ///
    /// # Safety
    /// The order's target stays valid memory, touched by nobody else, until its answer is reaped; its descriptor stays open as
    /// long.
    #[must_use]
    unsafe fn push(&mut self, tag: u64, order: Order) -> bool;

    /// Hands queued orders over and waits until `want` answers are there, or the time is over, or a signal came.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> Result<(), Errno>;

    /// Whether [`Self::enter`] has anything to do, waiting aside.
    fn is_pending(&mut self) -> bool;

    /// Takes the answers that are there.
    fn reap(&mut self, answers: &mut Vec<(u64, i32)>);

    /// Answers that the kernel had to throw away.
    fn lost(&mut self) -> u32;
}

/// The real one.
pub(crate) struct Uring {
    ring: IoUring,
}

/// What a machine lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lack {
    /// The kernel refused to set a ring up.
    Setup(Errno),
    /// The kernel is too old: it has no such thing.
    Feature(&'static str),
}

impl Uring {
    /// Sets a ring up with at least `places` places for completions, and asks what it can do.
    pub(crate) fn start(places: u32) -> Result<Self, Lack> {
        assert!(places.is_power_of_two(), "{places} places are no power of two");
        // Twice the places: cancels take some of their own, and a queue that cannot run over needs no luck.
        let (submissions, completions) = (places.min(SUBMIT_MAX), places * 2);
        let errno = |error: std::io::Error| Lack::Setup(Errno::from_io_error(&error).unwrap_or(Errno::IO));
        let mut builder = IoUring::builder();
        builder.dontfork().setup_cqsize(completions);
        // One thread per ring, and completions only when that thread asks (both since 6.1): no interrupts of our own work.
        let mut modern = builder.clone();
        modern.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        let ring = match modern.build(submissions) {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => builder.build(submissions),
            done => done,
        };
        let ring = ring.map_err(errno)?;
        if !ring.params().is_feature_ext_arg() {
            return Err(Lack::Feature("waiting with a time limit (Linux 5.11)"));
        }
        if !ring.params().is_feature_nodrop() {
            return Err(Lack::Feature("completions that are never dropped (Linux 5.5)"));
        }
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(errno)?;
        for (code, name) in CODES {
            if !probe.is_supported(code) {
                return Err(Lack::Feature(name));
            }
        }
        Ok(Self { ring })
    }

    /// The places for completions.
    pub(crate) fn completions(&self) -> u32 {
        self.ring.params().cq_entries()
    }
}

const CODES: [(u8, &str); 9] = [
    (opcode::Read::CODE, "reads (Linux 5.6)"),
    (opcode::Write::CODE, "writes (Linux 5.6)"),
    (opcode::Fsync::CODE, "syncs (Linux 5.1)"),
    (opcode::Fallocate::CODE, "room given back (Linux 5.6)"),
    (opcode::Recv::CODE, "receives (Linux 5.6)"),
    (opcode::Send::CODE, "sends (Linux 5.6)"),
    (opcode::Accept::CODE, "accepts (Linux 5.5)"),
    (opcode::PollAdd::CODE, "polls (Linux 5.1)"),
    (opcode::AsyncCancel::CODE, "cancels (Linux 5.5)"),
];

// poll(2)'s bits; the socket and signal flags are those of every Linux architecture that io_uring runs on here.
const POLLIN: u32 = 1;
const POLLOUT: u32 = 4;
const MSG_NOSIGNAL: i32 = 0x4000;

fn submission(order: Order) -> squeue::Entry {
    match order {
        Order::Read { fd, target, offset } => {
            opcode::Read::new(Fd(fd), target.first(), target.bytes()).offset(offset).build()
        }
        Order::Write { fd, target, offset } => {
            opcode::Write::new(Fd(fd), target.first(), target.bytes()).offset(offset).build()
        }
        Order::Sync { fd } => opcode::Fsync::new(Fd(fd)).flags(FsyncFlags::DATASYNC).build(),
        Order::Punch { fd, offset, bytes } => {
            let mode = i32::try_from(PUNCH.bits()).expect("the kernel's own flags fit");
            opcode::Fallocate::new(Fd(fd), bytes).offset(offset).mode(mode).build()
        }
        Order::Receive { fd, target } => opcode::Recv::new(Fd(fd), target.first(), target.bytes()).build(),
        Order::Send { fd, target } => {
            opcode::Send::new(Fd(fd), target.first(), target.bytes()).flags(MSG_NOSIGNAL).build()
        }
        Order::Accept { fd } => {
            let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
            let flags = i32::try_from(flags.bits()).expect("the kernel's own flags fit");
            opcode::Accept::new(Fd(fd), core::ptr::null_mut(), core::ptr::null_mut()).flags(flags).build()
        }
        Order::Ready { fd, to_send } => opcode::PollAdd::new(Fd(fd), if to_send { POLLOUT } else { POLLIN }).build(),
        Order::Cancel { tag } => opcode::AsyncCancel::new(tag).build(),
    }
}

impl Kernel for Uring {
    unsafe fn push(&mut self, tag: u64, order: Order) -> bool {
        let entry = submission(order).user_data(tag);
        let mut queue = self.ring.submission();
        // SAFETY: `push` wants the entry's addresses and descriptor to stay valid while it is in flight: our caller vouches for
        // both, in the same words. It copies the entry itself.
        let pushed = unsafe { queue.push(&entry) };
        pushed.is_ok()
    }

    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> Result<(), Errno> {
        let entered = match timeout {
            Some(timeout) if want > 0 => {
                let timespec = Timespec::from(timeout);
                self.ring.submitter().submit_with_args(want, &SubmitArgs::new().timespec(&timespec))
            }
            Some(_) | None => self.ring.submit_and_wait(want),
        };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }

    fn is_pending(&mut self) -> bool {
        let queue = self.ring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    fn reap(&mut self, answers: &mut Vec<(u64, i32)>) {
        answers.extend(self.ring.completion().map(|answer| (answer.user_data(), answer.result())));
    }

    fn lost(&mut self) -> u32 {
        self.ring.completion().overflow()
    }
}
