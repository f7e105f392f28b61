//! A shard on a thread of its own, and the handle to it that a whole program shares.
//!
//! Contract: handles may be cloned and used from any thread; each operation is answered once. When the last handle goes,
//! the shard carries out what it was given, makes it persistent, and ends; that is waited for. If the shard's thread ends by
//! a panic, everything under way and everything after answers [`Error::Stopped`]; nobody hangs.
//!
//! Invariant: the engine, its device and its ring are made on the shard's thread and never leave it.

#![expect(
    clippy::disallowed_methods,
    reason = "this is where the shard's thread starts and where callers spin for a bounded time"
)]

use crate::answer::{Abandoned, Ticket, ask};
use crate::backend::Backend;
use crate::error::{Error, OpenError};
use crate::inbox::{Inbox, Receiver, Refused};
use crate::port::Port;
use crate::shard::{Front, Message, Shard, SharedHorizon};
use domains::{Answer, Asker, Capabilities, Driven, Horizon, Op};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Operations that may wait in a shard's mailbox. A message is about 200 bytes, so the mailbox takes about 1 MiB.
const INBOX_PLACES: usize = 4_096;

/// How a shard's thread behaves.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// How long an idle shard polls before it sleeps. Waking a sleeping thread costs about 20 microseconds, a polling one
    /// two to three. Zero: never.
    pub poll: Duration,
    /// How long a caller that waits looks for its answer before it sleeps.
    pub spin: Duration,
    /// The processor that the shard's thread is bound to.
    pub pin: Option<usize>,
    /// The thread's name, as debuggers show it (at most 15 bytes).
    pub name: String,
}

impl Default for ShardOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_micros(50),
            spin: Duration::from_micros(20),
            pin: None,
            name: "lostore-shard".to_owned(),
        }
    }
}

/// A handle to a shard's thread.
#[derive(Clone, Debug)]
pub struct Shared {
    link: Arc<Link>,
}

/// An operation under way on a shard's thread.
#[derive(Debug)]
pub struct SharedPending {
    ticket: Ticket<Result<Answer, domains::Error>>,
}

#[derive(Debug)]
struct Link {
    inbox: Arc<Inbox<Message>>,
    horizon: Arc<SharedHorizon>,
    capabilities: Capabilities,
    spin: Duration,
    /// Set when the thread has ended by a panic, before anybody learns that no answer will come.
    fault: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<Option<domains::Error>>>>,
}

/// What a shard's thread tells when it is ready.
struct Ready {
    inbox: Arc<Inbox<Message>>,
    horizon: Arc<SharedHorizon>,
    capabilities: Capabilities,
}

impl Shared {
    /// Starts a thread, lets it make its engine, port and front, and returns the handle when that is done.
    ///
    /// # Errors
    /// What `make` answers, or the system's refusal to start a thread.
    pub fn start<D, P, F>(
        options: &ShardOptions,
        make: impl FnOnce() -> Result<(D, P, F), Error> + Send + 'static,
    ) -> Result<Self, Error>
    where
        D: Driven,
        P: Port,
        F: Front<P>,
    {
        let (tell, told) = mpsc::sync_channel(1);
        let fault = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name(options.name.clone());
        let (poll, pin, faulted) = (options.poll, options.pin, Arc::clone(&fault));
        let thread = thread
            .spawn(move || {
                pin_thread(pin);
                live(make, poll, &tell, &faulted)
            })
            .map_err(|error| OpenError::System {
                what: "starting the shard's thread",
                path: PathBuf::new(),
                why: error.to_string(),
            })?;
        match told.recv() {
            Ok(Ok(Ready { inbox, horizon, capabilities })) => {
                let thread = Mutex::new(Some(thread));
                let link = Link { inbox, horizon, capabilities, spin: options.spin, fault, thread };
                Ok(Self { link: Arc::new(link) })
            }
            Ok(Err(error)) => Err(error),
            // It panicked while it made its engine.
            Err(mpsc::RecvError) => Err(Error::Stopped),
        }
    }

    /// Closes the store now, whoever else holds a handle: what was started is carried out and made persistent, what comes
    /// after answers [`domains::Error::Closing`].
    ///
    /// # Errors
    /// When the last commits could not be made persistent.
    pub fn close(&self) -> Result<(), Error> {
        self.link.close()
    }

    /// Waits until the shard ends, be it that its front wants it to or that somebody closes it.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub fn join(&self) -> Result<(), Error> {
        self.link.join()
    }
}

impl Link {
    fn close(&self) -> Result<(), Error> {
        self.inbox.close();
        self.join()
    }

    fn join(&self) -> Result<(), Error> {
        let mut thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(handle) = thread.take() else { return Ok(()) };
        if handle.thread().id() == std::thread::current().id() {
            // The last handle went on the shard's own thread (a waker held it). It closes when this call has returned.
            return Ok(());
        }
        match handle.join() {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(Error::Domain(error)),
            Err(_panic) => Err(Error::Stopped),
        }
    }

    fn ended(&self) -> Error {
        if self.fault.load(Ordering::Acquire) { Error::Stopped } else { Error::Domain(domains::Error::Closing) }
    }

    fn settle(&self, outcome: Result<Result<Answer, domains::Error>, Abandoned>) -> Result<Answer, Error> {
        match outcome {
            Ok(answer) => answer.map_err(Error::Domain),
            Err(Abandoned) => Err(self.ended()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "closing the store could not make the last commits persistent");
        }
    }
}

impl Backend for Shared {
    type Pending = SharedPending;

    fn start(&self, op: Op) -> Result<SharedPending, Error> {
        let (reply, ticket) = ask();
        match self.link.inbox.push(Message { asker: this_thread(), op, reply }) {
            Ok(()) => Ok(SharedPending { ticket }),
            Err(Refused::Full(_)) => Err(Error::Domain(domains::Error::Busy)),
            Err(Refused::Closed(_)) => Err(self.link.ended()),
        }
    }

    fn poll(&self, pending: &mut SharedPending, waker: Option<&Waker>) -> Poll<Result<Answer, Error>> {
        match pending.ticket.poll(waker) {
            Some(outcome) => Poll::Ready(self.link.settle(outcome)),
            None => Poll::Pending,
        }
    }

    fn wait(&self, pending: SharedPending) -> Result<Answer, Error> {
        if !pending.ticket.is_settled() && !self.link.spin.is_zero() {
            let start = Instant::now();
            while !pending.ticket.is_settled() && start.elapsed() < self.link.spin {
                std::hint::spin_loop();
            }
        }
        self.link.settle(pending.ticket.wait())
    }

    fn horizon(&self) -> Horizon {
        self.link.horizon.load()
    }

    fn capabilities(&self) -> Capabilities {
        self.link.capabilities
    }
}

/// The calling thread, as one of those who ask. What it sends keeps its order, and it has its turns with others on a hot key.
fn this_thread() -> Asker {
    static THREADS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NUMBER: Cell<Option<u64>> = const { Cell::new(None) };
    }
    let number = NUMBER.get().unwrap_or_else(|| {
        let number = THREADS.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    });
    Asker::Thread(number)
}

/// The life of a shard's thread.
fn live<D: Driven, P: Port, F: Front<P>>(
    make: impl FnOnce() -> Result<(D, P, F), Error>,
    poll: Duration,
    tell: &mpsc::SyncSender<Result<Ready, Error>>,
    fault: &AtomicBool,
) -> Option<domains::Error> {
    let parts = match make() {
        Ok(parts) => parts,
        Err(error) => {
            // Nobody to tell means that nobody waits: the caller cannot have gone, it blocks until it is told.
            tell.send(Err(error)).expect("the caller waits to be told");
            return None;
        }
    };
    let bell = parts.1.bell();
    let (inbox, receiver): (_, Receiver<Message>) = Inbox::new(INBOX_PLACES, Box::new(move || bell.ring()));
    let horizon = Arc::new(SharedHorizon::default());
    horizon.store(parts.0.horizon());
    let ready = Ready { inbox, horizon: Arc::clone(&horizon), capabilities: parts.0.capabilities() };
    let poll_nanos = u64::try_from(poll.as_nanos()).unwrap_or(u64::MAX);
    let mut shard = Shard::new(parts, receiver, horizon, poll_nanos);
    tell.send(Ok(ready)).expect("the caller waits to be told");
    match catch_unwind(AssertUnwindSafe(|| shard.run())) {
        Ok(failure) => failure,
        Err(panic) => {
            // Said before the shard is dropped, for that is how everybody who waits learns that no answer will come.
            fault.store(true, Ordering::Release);
            drop(shard);
            std::panic::resume_unwind(panic)
        }
    }
}

/// Binds the calling thread to one processor; a refusal costs speed only, so it is told and no more.
fn pin_thread(pin: Option<usize>) {
    let Some(processor) = pin else { return };
    let mut set = rustix::thread::CpuSet::new();
    if processor >= rustix::thread::CpuSet::MAX_CPU {
        tracing::warn!(processor, "there is no such processor; the shard's thread is not bound");
        return;
    }
    set.set(processor);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::warn!(processor, %error, "the shard's thread could not be bound");
    }
}

#[cfg(test)]
mod tests;
