//! The life of a transaction, as a table: what it may be, what it waits for, what may happen to it.
//!
//! Contract: [`TxnState::after`] is the only way from one state to another. The table is data: the diagram in
//! `design/transactions.md` is printed from it and compared in a test.
//!
//! Invariants: each pair of state and input leads to one state; no state is reached from a later one, except that a set that
//! met a lock is tried again; a state without a way out is an answer for good.
//!
//! It holds no data of the transaction: the commit set, the votes and the epoch belong to whoever carries it out.

use core::fmt::Write as _;
use thiserror::Error;

/// What a transaction waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TxnState {
    /// For its owner: updates and compares are gathered privately, nobody else sees any of it.
    Open,
    /// For the votes of its participants, when it has updates on several shards: each locks its keys, checks its compares and
    /// reserves log space, so that nothing can fail once it is decided.
    Preparing,
    /// For the participants that said yes to let go, after another said no or busy.
    Aborting,
    /// For the participants to append and apply their parts. It has its epoch and cannot be taken back.
    Decided,
    /// For its epoch to become persistent. It is ordered, visible, and its owner has been told.
    Committed,
    /// For an index checkpoint that covers it; until then its log is needed for recovery. It survives.
    Persistent,
    /// For nothing: the older kept checkpoint covers it, so recovery does not need its log.
    Placed,
    /// For nothing: its owner dropped it, and it had no effect.
    Aborted,
    /// For nothing: a compare failed, there was no room or the domain has failed. It had no effect.
    Failed,
    /// For the next open of the domain: it is visible, a write or flush failed before it was persistent, and whether it
    /// survives is not known.
    InDoubt,
}

/// What happens to a transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TxnInput {
    /// Its owner commits it, and one shard holds all of it: compares checked, updates appended and applied in one turn.
    Commit,
    /// Its owner commits it, and it has parts on several shards.
    Prepare,
    /// Its owner drops it.
    Abort,
    /// It cannot be: a compare failed, there is no room, or the domain is read-only.
    Refuse,
    /// A participant said no, or found a key locked.
    Withhold,
    /// Every participant has said yes, and the participants have joined the open epoch at once.
    Decide,
    /// Every participant has applied its part.
    Applied,
    /// Every participant that had said yes has let go; the reason was a lock, so it is tried again.
    Retry,
    /// Its epoch is persistent.
    Notice,
    /// The older kept checkpoint was started after it was applied.
    Cover,
    /// A write or flush of the domain has failed.
    Poison,
}

/// A state meets an input that the table does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a transaction in state {state:?} cannot take {input:?}")]
pub struct Illegal {
    /// The state.
    pub state: TxnState,
    /// The input.
    pub input: TxnInput,
}

use TxnInput::{Abort, Applied, Commit, Cover, Decide, Notice, Poison, Prepare, Refuse, Retry, Withhold};
use TxnState::{Aborted, Aborting, Committed, Decided, Failed, InDoubt, Open, Persistent, Placed, Preparing};

/// Every state, in the order of the diagram.
pub const TXN_STATES: [TxnState; 10] =
    [Open, Preparing, Aborting, Decided, Committed, Persistent, Placed, Aborted, Failed, InDoubt];

/// Every move there is.
pub const TXN_TRANSITIONS: &[(TxnState, TxnInput, TxnState)] = &[
    (Open, Commit, Committed),
    (Open, Prepare, Preparing),
    (Open, Abort, Aborted),
    (Open, Refuse, Failed),
    (Preparing, Decide, Decided),
    (Preparing, Withhold, Aborting),
    (Aborting, Retry, Preparing),
    (Aborting, Refuse, Failed),
    (Decided, Applied, Committed),
    (Decided, Poison, InDoubt),
    (Committed, Notice, Persistent),
    (Committed, Poison, InDoubt),
    (Persistent, Cover, Placed),
];

impl TxnState {
    /// The state after `input`.
    ///
    /// ```
    /// use txn::lifecycle::{TxnInput, TxnState};
    /// assert_eq!(TxnState::Open.after(TxnInput::Commit), Ok(TxnState::Committed));
    /// assert!(TxnState::Committed.after(TxnInput::Abort).is_err(), "what is visible is not taken back");
    /// ```
    ///
    /// # Errors
    /// When the table has no such move: what an owner asks of its transaction (to abort a committed one) may be wrong.
    pub fn after(self, input: TxnInput) -> Result<Self, Illegal> {
        let found = TXN_TRANSITIONS.iter().find(|(from, by, _)| (*from, *by) == (self, input));
        found.map(|(_, _, to)| *to).ok_or(Illegal { state: self, input })
    }

    /// The states that may come next.
    pub fn successors(self) -> impl Iterator<Item = Self> {
        TXN_TRANSITIONS.iter().filter(move |(from, _, _)| *from == self).map(|(_, _, to)| *to)
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.successors().next().is_none()
    }

    /// Whether others see its updates.
    #[must_use]
    pub fn is_visible(self) -> bool {
        match self {
            Committed | Persistent | Placed | InDoubt => true,
            // While it is decided, some parts are applied and their keys still locked.
            Open | Preparing | Aborting | Decided | Aborted | Failed => false,
        }
    }
}

/// The table as a diagram in the language of mermaid.
#[must_use]
pub fn diagram() -> String {
    let mut lines = String::from("stateDiagram-v2\n    [*] --> Open\n");
    for (from, by, to) in TXN_TRANSITIONS {
        writeln!(lines, "    {from:?} --> {to:?}: {by:?}").expect("writing to memory");
    }
    for last in TXN_STATES.into_iter().filter(|state| state.is_final()) {
        writeln!(lines, "    {last:?} --> [*]").expect("writing to memory");
    }
    lines
}

#[cfg(test)]
mod tests;
