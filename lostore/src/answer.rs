//! One answer from one thread to another: whoever asked holds the [`Ticket`], whoever answers holds the [`Reply`].
//!
//! Contract: an answer is taken at most once and no wake-up is lost. A ticket that is dropped detaches: the answer is thrown
//! away when it comes. A reply that is dropped unsent tells the ticket that no answer will come.
//!
//! Invariant: `settled` is set after the state has left `Asked`, so a poller that sees it finds the outcome under the lock,
//! and one that does not see it never touches the lock.

use super::sync::{Arc, AtomicBool, Mutex, Ordering, Thread, current, park};
use std::task::Waker;

/// The asking half.
pub(crate) struct Ticket<T>(Arc<Slot<T>>);

/// The answering half.
pub(crate) struct Reply<T>(Option<Arc<Slot<T>>>);

/// That the reply was dropped: no answer will come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Abandoned;

struct Slot<T> {
    settled: AtomicBool,
    state: Mutex<State<T>>,
}

enum State<T> {
    /// No answer yet, and who is to be woken when it comes.
    Asked(Sleeper),
    /// The answer, not yet taken.
    Answered(T),
    /// No answer will come.
    Abandoned,
    /// The answer was taken, or the ticket was dropped.
    Over,
}

enum Sleeper {
    Nobody,
    Thread(Thread),
    Task(Waker),
}

/// Both halves of one question.
pub(crate) fn ask<T>() -> (Reply<T>, Ticket<T>) {
    let slot = Arc::new(Slot { settled: AtomicBool::new(false), state: Mutex::new(State::Asked(Sleeper::Nobody)) });
    (Reply(Some(Arc::clone(&slot))), Ticket(slot))
}

impl<T> Reply<T> {
    /// Gives the answer and wakes whoever waits for it.
    pub(crate) fn send(mut self, answer: T) {
        let slot = self.0.take().expect("a reply is sent once, by value");
        slot.settle(State::Answered(answer));
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.settle(State::Abandoned);
        }
    }
}

impl<T> Ticket<T> {
    /// Whether an answer, or the news that none will come, is there.
    pub(crate) fn is_settled(&self) -> bool {
        self.0.settled.load(Ordering::Acquire)
    }

    /// Takes the outcome if it is there; if not, leaves the waker to be woken when it comes.
    ///
    /// # Panics
    /// When the answer was taken before.
    pub(crate) fn poll(&mut self, waker: Option<&Waker>) -> Option<Result<T, Abandoned>> {
        if !self.is_settled() && waker.is_none() {
            return None;
        }
        let sleeper = waker.map_or(Sleeper::Nobody, |waker| Sleeper::Task(waker.clone()));
        self.0.take_or_leave(sleeper)
    }

    /// Sleeps until the outcome is there.
    pub(crate) fn wait(self) -> Result<T, Abandoned> {
        if !self.is_settled() {
            if let Some(outcome) = self.0.take_or_leave(Sleeper::Thread(current())) {
                return outcome;
            }
            while !self.is_settled() {
                park();
            }
        }
        self.0.take_or_leave(Sleeper::Nobody).expect("what is settled has an outcome")
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        // The old state, and with it perhaps an answer, is dropped outside the lock: it may run a caller's code.
        let before = self.0.replace(State::Over);
        drop(before);
    }
}

impl<T> Slot<T> {
    fn settle(&self, outcome: State<T>) {
        let sleeper = {
            let mut state = self.state.lock().expect("nothing panics while it holds a slot");
            match std::mem::replace(&mut *state, State::Over) {
                State::Asked(sleeper) => {
                    *state = outcome;
                    sleeper
                }
                // Detached: the outcome is thrown away.
                State::Over => Sleeper::Nobody,
                State::Answered(_) | State::Abandoned => unreachable!("a question was settled twice"),
            }
        };
        self.settled.store(true, Ordering::Release);
        match sleeper {
            Sleeper::Nobody => {}
            Sleeper::Thread(thread) => thread.unpark(),
            Sleeper::Task(waker) => waker.wake(),
        }
    }

    fn take_or_leave(&self, sleeper: Sleeper) -> Option<Result<T, Abandoned>> {
        let mut state = self.state.lock().expect("nothing panics while it holds a slot");
        match std::mem::replace(&mut *state, State::Over) {
            State::Answered(answer) => Some(Ok(answer)),
            State::Abandoned => Some(Err(Abandoned)),
            State::Asked(_) => {
                *state = State::Asked(sleeper);
                None
            }
            State::Over => panic!("the answer was taken before"),
        }
    }

    fn replace(&self, next: State<T>) -> State<T> {
        std::mem::replace(&mut *self.state.lock().expect("nothing panics while it holds a slot"), next)
    }
}

impl<T> std::fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("settled", &self.is_settled()).finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}
