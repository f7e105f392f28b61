//! How far one epoch has come on one shard: the states, and the table of what may follow what.

/// What a shard waits for in an epoch of which it is a member. Later in this list is further along.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EpochState {
    /// For the epoch to be left, its members to be published, and every prepare made at or before it to be decided.
    Open,
    /// For the engine to append the close record and seal the pages before it.
    Closing,
    /// For the writes of all pages up to the close record to complete.
    Closed,
    /// For a flush to be issued, now that the writes have completed.
    Written,
    /// For that flush to complete.
    Flushing,
    /// For the other members and the earlier epochs: this shard has done its share.
    Acked,
    /// For nothing: a write or flush of this shard has failed. The next open decides.
    InDoubt,
}

/// What a shard learns about an epoch of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EpochInput {
    /// The epoch may be closed and the close record was asked for.
    Left,
    /// The close record is in the log.
    Appended,
    /// All page writes up to the close record have completed.
    WritesDone,
    /// A flush was asked for.
    FlushAsked,
    /// That flush has completed.
    FlushDone,
    /// A write or a flush of this shard has failed, of this epoch or another.
    Failed,
}

use EpochInput::{Appended, Failed, FlushAsked, FlushDone, Left, WritesDone};
use EpochState::{Acked, Closed, Closing, Flushing, InDoubt, Open, Written};

/// Every move there is. What is not here is our own mistake.
pub const EPOCH_TRANSITIONS: &[(EpochState, EpochInput, EpochState)] = &[
    (Open, Left, Closing),
    (Closing, Appended, Closed),
    (Closed, WritesDone, Written),
    (Written, FlushAsked, Flushing),
    (Flushing, FlushDone, Acked),
    (Open, Failed, InDoubt),
    (Closing, Failed, InDoubt),
    (Closed, Failed, InDoubt),
    (Written, Failed, InDoubt),
    (Flushing, Failed, InDoubt),
];

impl EpochState {
    /// The state after `input`.
    ///
    /// # Panics
    /// If the table has no such move.
    #[must_use]
    pub fn after(self, input: EpochInput) -> Self {
        let found = EPOCH_TRANSITIONS.iter().find(|(from, by, _)| (*from, *by) == (self, input));
        let Some((_, _, to)) = found else { unreachable!("an epoch in state {self:?} meets {input:?}") };
        *to
    }
}

/// The table as a diagram in the language of mermaid.
#[must_use]
pub fn diagram() -> String {
    let moves = EPOCH_TRANSITIONS.iter().map(|(from, by, to)| format!("    {from:?} --> {to:?}: {by:?}\n"));
    let ends = ["    Acked --> [*]\n", "    InDoubt --> [*]\n"].map(str::to_owned);
    let start = "stateDiagram-v2\n    [*] --> Open\n".to_owned();
    core::iter::once(start).chain(moves).chain(ends).collect()
}
