//! The one seam between the API and what carries an operation to a domain: the caller's thread, a shard thread, a socket.
//!
//! Contract: `start` never blocks on a device or a peer; an operation is answered exactly once; a [`Pending`] that is dropped
//! detaches (the operation still happens, its answer is thrown away).

use crate::error::Error;
use crate::{Capabilities, Horizon, TableId};
pub use domains::{Answer, Committed, Level, Op, Pair, PairRef, Versions};
use std::task::{Poll, Waker};

/// Carries operations to a domain and answers back.
pub trait Backend {
    /// An operation under way.
    type Pending;

    /// Starts an operation.
    ///
    /// # Errors
    /// When it could not be sent at all: it has not happened and will not.
    fn start(&self, op: Op) -> Result<Self::Pending, Error>;

    /// Looks whether the answer is there; if not and a waker is given, it is woken when the answer comes.
    fn poll(&self, pending: &mut Self::Pending, waker: Option<&Waker>) -> Poll<Result<Answer, Error>>;

    /// Waits for the answer on the calling thread.
    ///
    /// # Errors
    /// The operation's own.
    fn wait(&self, pending: Self::Pending) -> Result<Answer, Error>;

    /// Up to where the domain is persistent, as last heard.
    fn horizon(&self) -> Horizon;

    /// What the domain can promise.
    fn capabilities(&self) -> Capabilities;

    /// Whether an [`Op::AwaitCommit`] follows a commit that is made again, into another epoch than its caller was told.
    fn follows_commits(&self) -> bool {
        false
    }

    /// Looks a key up and shows the pair in place where the backend can (inline), through a copy where it cannot.
    ///
    /// # Errors
    /// As [`Self::wait`].
    fn lookup_in_place(
        &self,
        table: TableId,
        key: &[u8],
        see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<(), Error> {
        lookup_by_operation(self, table, key, see)
    }
}

/// Looks a key up as an operation of its own and shows the copy that comes back.
///
/// # Errors
/// The lookup's own.
pub fn lookup_by_operation<B: Backend + ?Sized>(
    backend: &B,
    table: TableId,
    key: &[u8],
    see: &mut dyn FnMut(Option<PairRef<'_>>),
) -> Result<(), Error> {
    let pending = backend.start(Op::Lookup { table, key: key.to_vec() })?;
    let answer = backend.wait(pending)?;
    let Answer::Pair(pair) = answer else { unreachable!("a lookup was answered with {answer:?}") };
    see(pair.as_ref().map(Pair::as_ref));
    Ok(())
}
