//! What a commit gives: the epoch it joined, the versions it made, and the notice of its persistence.
//!
//! Contract: a ticket exists when the transaction is committed: ordered and visible. Persistence is a second event; wait for it
//! ([`Ticket::persistent`]), look at it ([`Ticket::is_persistent`]), or await the ticket.

use crate::backend::Backend;
use crate::error::Error;
use crate::pending::{Pending, Reply};
use crate::store::Store;
use domains::{Answer, Committed, Horizon, Op, Persistence};
use segments::{EpochId, Version};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A transaction that is committed.
pub struct Ticket<B: Backend> {
    store: Store<B>,
    committed: Committed,
    notice: Option<Pending<B, NoticeReply>>,
}

impl<B: Backend> Ticket<B> {
    pub(crate) fn new(store: &Store<B>, committed: Committed, notice: bool) -> Self {
        let mut ticket = Self { store: store.clone(), committed, notice: None };
        if notice && !ticket.is_persistent() && ticket.committed.persistence == Persistence::Pending {
            ticket.ask();
        }
        ticket
    }

    /// The epoch it joined; the last persistent one when it had no updates.
    #[must_use]
    pub fn epoch(&self) -> EpochId {
        self.committed.epoch
    }

    /// The versions it gave, one for each pair that it changed, in the order in which the keys were first named.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        self.committed.versions.as_slice()
    }

    /// Whether it is known to survive a power failure. Costs nothing: it compares with what the store has last heard.
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        match self.committed.persistence {
            Persistence::Persistent => true,
            Persistence::Volatile => false,
            Persistence::Pending => covers(self.store.horizon(), self.epoch()) == Some(true),
        }
    }

    /// Waits until it survives a power failure. A transaction that updated volatile tables only never will: that is said at once.
    ///
    /// # Errors
    /// When a device write has failed, or the store was opened anew since and the transaction had not been persistent
    /// ([`EpochLost`](domains::Error::EpochLost)).
    pub fn persistent(mut self) -> Result<Persistence, Error> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        self.ask();
        let notice = self.notice.take().expect("the notice was just asked for");
        self.judge(notice.wait()?)
    }

    /// The persistence, when it is known without asking.
    fn known(&self) -> Option<Persistence> {
        match self.committed.persistence {
            Persistence::Pending => self.is_persistent().then_some(Persistence::Persistent),
            known @ (Persistence::Persistent | Persistence::Volatile) => Some(known),
        }
    }

    /// Asks for the notice, unless that was done.
    fn ask(&mut self) {
        if self.notice.is_none() {
            let op = match self.versions().last() {
                Some(&version) if self.store.backend().follows_commits() => Op::AwaitCommit { version },
                Some(_) | None => Op::Await { epoch: self.epoch() },
            };
            self.notice = Some(Pending::start(&self.store, op, NoticeReply));
        }
    }

    fn judge(&self, horizon: Horizon) -> Result<Persistence, Error> {
        // Of an epoch of a life before the answer is that it survived, with the horizon of now, which is always later.
        match horizon.persistent >= self.epoch() {
            true => Ok(Persistence::Persistent),
            false => Err(Error::WrongAnswer { asked: "an await" }),
        }
    }
}

/// Whether the horizon covers the epoch; `None` when they are of different lives of the domain and cannot be compared.
fn covers(horizon: Horizon, epoch: EpochId) -> Option<bool> {
    // The last persistent epoch of a domain that was just opened may be of the life before.
    let comparable =
        epoch.incarnation() == horizon.incarnation || epoch.incarnation() == horizon.persistent.incarnation();
    comparable.then(|| horizon.persistent >= epoch)
}

impl<B: Backend> Future for Ticket<B> {
    type Output = Result<Persistence, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(known) = self.known() {
            return Poll::Ready(Ok(known));
        }
        self.ask();
        let notice = self.notice.as_mut().expect("the notice was just asked for");
        let horizon = ready!(Pin::new(notice).poll(context));
        self.notice = None;
        Poll::Ready(horizon.and_then(|horizon| self.judge(horizon)))
    }
}

impl<B: Backend> fmt::Debug for Ticket<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?} {:?})", self.committed.epoch, self.committed.persistence)
    }
}

/// The answer of an await or a force: up to where the domain is persistent.
#[derive(Clone, Copy, Debug)]
pub struct NoticeReply;

impl<B: Backend> Reply<B> for NoticeReply {
    type Output = Horizon;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Horizon, Error> {
        let Answer::Persistent(horizon) = answer else { return Err(Error::WrongAnswer { asked: "an await" }) };
        Ok(horizon)
    }
}

/// The answer of a commit.
#[derive(Clone, Copy, Debug)]
pub struct CommitReply {
    pub(crate) notice: bool,
    pub(crate) force: bool,
}

impl<B: Backend> Reply<B> for CommitReply {
    type Output = Ticket<B>;

    fn read(self, store: &Store<B>, answer: Answer) -> Result<Ticket<B>, Error> {
        let Answer::Committed(committed) = answer else { return Err(Error::WrongAnswer { asked: "a commit" }) };
        if self.force {
            // Asked for and not waited for; the commit stands whatever becomes of it.
            drop(store.start_force());
        }
        Ok(Ticket::new(store, committed, self.notice))
    }
}
