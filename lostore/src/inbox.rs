//! The way into a shard: a bounded queue from many threads to one, and the doorbell that wakes it.
//!
//! Contract:
//! * a message that was taken in comes out exactly once, in the order of its thread; one that was refused comes back;
//! * after [`Inbox::close`] nothing is taken in, and all that was taken in before still comes out;
//! * no wake-up is lost: the receiver sleeps only after it said so and looked again, and whoever puts a message in looks
//!   afterwards whether the receiver said so. The two fences make one of the two see the other.
//!
//! Invariants: `tail` counts the places given out, its top bit says closed, in one word: a place is never given out after
//! the close. A cell's `turn` equals the position that may fill it, and that position plus one once it is filled. The
//! lock of a cell is never contended: its turn says who may touch it; it is there because this crate has no unsafe code.
//!
//! It does not know what a message is, nor how a bell rings.

use super::sync::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering, fence, relax};

/// The top bit of `tail`: no place is given out any more. The other bits count messages: 2^63 of them never come.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Why a message was not taken in; it comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<T> {
    /// All places are taken.
    Full(T),
    /// The receiver is closing or gone.
    Closed(T),
}

/// What the senders hold.
pub(crate) struct Inbox<T> {
    cells: Box<[Cell<T>]>,
    tail: AtomicUsize,
    asleep: AtomicBool,
    bell: Box<dyn Fn() + Send + Sync>,
}

struct Cell<T> {
    turn: AtomicUsize,
    message: Mutex<Option<T>>,
}

/// What the one receiver holds. When it is dropped the inbox closes, and what is left in it is dropped.
pub(crate) struct Receiver<T> {
    inbox: Arc<Inbox<T>>,
    head: usize,
    close_seen: bool,
}

impl<T> Inbox<T> {
    /// An inbox of `places` (a power of two) whose bell rings when a message comes while the receiver sleeps.
    pub(crate) fn new(places: usize, bell: Box<dyn Fn() + Send + Sync>) -> (Arc<Self>, Receiver<T>) {
        assert!(places.is_power_of_two(), "{places} places: positions are masked");
        let cells = (0..places).map(|at| Cell { turn: AtomicUsize::new(at), message: Mutex::new(None) }).collect();
        let inbox = Arc::new(Self { cells, tail: AtomicUsize::new(0), asleep: AtomicBool::new(false), bell });
        let receiver = Receiver { inbox: Arc::clone(&inbox), head: 0, close_seen: false };
        (inbox, receiver)
    }

    /// Puts a message in and wakes the receiver if it sleeps. It never waits.
    pub(crate) fn push(&self, message: T) -> Result<(), Refused<T>> {
        let position = match self.claim() {
            Ok(position) => position,
            Err(Unclaimed::Full) => return Err(Refused::Full(message)),
            Err(Unclaimed::Closed) => return Err(Refused::Closed(message)),
        };
        let cell = self.cell(position);
        let before = cell.message.lock().expect("nothing panics while it holds a cell").replace(message);
        assert!(before.is_none(), "place {position} was still taken");
        cell.turn.store(position + 1, Ordering::Release);
        self.notify();
        Ok(())
    }

    /// Takes nothing in any more. What is in still comes out.
    pub(crate) fn close(&self) {
        self.tail.fetch_or(CLOSED, Ordering::Relaxed);
        self.notify();
    }

    fn claim(&self) -> Result<usize, Unclaimed> {
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(Unclaimed::Closed);
            }
            let turn = self.cell(tail).turn.load(Ordering::Acquire);
            if turn == tail {
                match self.tail.compare_exchange_weak(tail, tail + 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(position) => return Ok(position),
                    Err(now) => tail = now,
                }
                continue;
            }
            // Either the place still holds the message of one round ago, or somebody was faster and `tail` is old.
            let now = self.tail.load(Ordering::Relaxed);
            if now == tail && turn < tail {
                return Err(Unclaimed::Full);
            }
            tail = now;
        }
    }

    fn notify(&self) {
        // Pairs with the fence in `begin_sleep`: either this load sees `asleep`, or the receiver's second look sees the
        // message (or the close).
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            (self.bell)();
        }
    }

    fn cell(&self, position: usize) -> &Cell<T> {
        &self.cells[position & (self.cells.len() - 1)]
    }
}

enum Unclaimed {
    Full,
    Closed,
}

impl<T> Receiver<T> {
    /// The next message, if one is there.
    pub(crate) fn pop(&mut self) -> Option<T> {
        if !self.is_ready() {
            return None;
        }
        let cell = self.inbox.cell(self.head);
        let message = cell.message.lock().expect("nothing panics while it holds a cell").take();
        assert!(message.is_some(), "place {} was announced as filled", self.head);
        cell.turn.store(self.head + self.inbox.cells.len(), Ordering::Release);
        self.head += 1;
        message
    }

    /// Whether a message is there.
    pub(crate) fn is_ready(&self) -> bool {
        self.inbox.cell(self.head).turn.load(Ordering::Acquire) == self.head + 1
    }

    /// Whether nothing is taken in any more.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.close_seen = self.inbox.tail.load(Ordering::Relaxed) & CLOSED != 0;
        self.close_seen
    }

    /// Whether it is closed and all that was taken in has come out.
    pub(crate) fn is_drained(&self) -> bool {
        self.inbox.tail.load(Ordering::Relaxed) == self.head | CLOSED
    }

    /// Closes it from this side.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }

    /// Says that the receiver is going to sleep and looks again; `true` when it may, and the bell will then ring.
    pub(crate) fn begin_sleep(&self) -> bool {
        // A swap, as everywhere: the word's changes are then one chain, in which a sender's late swap cannot hide this one.
        self.inbox.asleep.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let closed = self.inbox.tail.load(Ordering::Relaxed) & CLOSED != 0;
        if self.is_ready() || closed != self.close_seen {
            self.end_sleep();
            return false;
        }
        true
    }

    /// Says that the receiver is awake, so that nobody rings for nothing.
    pub(crate) fn end_sleep(&self) {
        self.inbox.asleep.swap(false, Ordering::Relaxed);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.inbox.close();
        while !self.is_drained() {
            // A sender that has a place fills it at once; it cannot be waiting for us.
            if self.pop().is_none() {
                relax();
            }
        }
    }
}

impl<T> std::fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("places", &self.cells.len()).finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("head", &self.head).finish_non_exhaustive()
    }
}
