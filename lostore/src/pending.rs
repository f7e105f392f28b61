//! An operation under way, for those who do not want to block: wait for it, poll it, or await it.
//!
//! Contract: the operation has been sent when its `Pending` exists; dropping it detaches, the operation still happens. It is a
//! `Future` for any runtime: the backend wakes the task when the answer comes. Nothing here needs or brings a runtime.

use crate::backend::Backend;
use crate::error::Error;
use crate::store::Store;
use domains::{Answer, Op};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Turns the answer of an operation into what its caller asked for.
pub trait Reply<B: Backend>: Sized {
    /// What the caller asked for.
    type Output;

    /// Reads the answer.
    ///
    /// # Errors
    /// When the answer cannot be read as that.
    fn read(self, store: &Store<B>, answer: Answer) -> Result<Self::Output, Error>;
}

enum State<B: Backend, R> {
    Running(B::Pending, R),
    /// It could not be sent; the next look says why.
    Refused(Error),
    Done,
}

/// An operation under way.
#[must_use = "dropping it detaches the operation; wait for it, poll it, or await it"]
pub struct Pending<B: Backend, R: Reply<B>> {
    store: Store<B>,
    state: State<B, R>,
}

/// Nothing in it is ever pinned: the backend's part is polled through a plain reference.
impl<B: Backend, R: Reply<B>> Unpin for Pending<B, R> {}

impl<B: Backend, R: Reply<B>> Pending<B, R> {
    /// Sends an operation; a refusal is the first thing that the pending says.
    pub(crate) fn start(store: &Store<B>, op: Op, reply: R) -> Self {
        let state = match store.backend().start(op) {
            Ok(pending) => State::Running(pending, reply),
            Err(error) => State::Refused(error),
        };
        Self { store: store.clone(), state }
    }

    /// An operation that was never sent, for this reason.
    pub(crate) fn refused(store: &Store<B>, error: Error) -> Self {
        Self { store: store.clone(), state: State::Refused(error) }
    }

    /// The same, unless it was refused.
    pub(crate) fn sent(self) -> Result<Self, Error> {
        match self.state {
            State::Refused(error) => Err(error),
            State::Running(..) | State::Done => Ok(self),
        }
    }

    /// Looks whether the answer is there; `None` when it is not yet, or has been taken before.
    pub fn poll(&mut self) -> Option<Result<R::Output, Error>> {
        match self.look(None) {
            Poll::Ready(output) => output,
            Poll::Pending => None,
        }
    }

    /// Waits for the answer on the calling thread.
    ///
    /// # Errors
    /// The operation's own.
    ///
    /// # Panics
    /// If the answer was taken by [`Self::poll`] before.
    pub fn wait(self) -> Result<R::Output, Error> {
        match self.state {
            State::Running(pending, reply) => reply.read(&self.store, self.store.backend().wait(pending)?),
            State::Refused(error) => Err(error),
            State::Done => panic!("the operation's answer was taken before"),
        }
    }

    fn look(&mut self, waker: Option<&Waker>) -> Poll<Option<Result<R::Output, Error>>> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Running(mut pending, reply) => match self.store.backend().poll(&mut pending, waker) {
                Poll::Ready(answer) => Poll::Ready(Some(answer.and_then(|answer| reply.read(&self.store, answer)))),
                Poll::Pending => {
                    self.state = State::Running(pending, reply);
                    Poll::Pending
                }
            },
            State::Refused(error) => Poll::Ready(Some(Err(error))),
            State::Done => Poll::Ready(None),
        }
    }
}

impl<B: Backend, R: Reply<B>> Future for Pending<B, R> {
    type Output = Result<R::Output, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.look(Some(context.waker())).map(|output| output.expect("a future is not polled again behind its end"))
    }
}

impl<B: Backend, R: Reply<B>> fmt::Debug for Pending<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Running(..) => "Pending(running)",
            State::Refused(_) => "Pending(refused)",
            State::Done => "Pending(done)",
        })
    }
}
