//! Epochs: the unit in which commits become persistent, over one shard or many.
//!
//! Contract: to commit is to join the open epoch; an epoch that has been left has its members for good; it is persistent
//! once all its members and all earlier epochs are on the device. [`Shared`] is the only memory that two shards both touch
//! (mailboxes aside); [`ShardEpochs`] is one shard's own machine, which asks for close records and flushes and is told of them.
//!
//! Invariants: only an epoch with a member is left, so the numbers of left epochs are consecutive and none is empty; a shard
//! closes in ascending order; the last persistent epoch never passes one that a member has not acknowledged.
//!
//! It does not write, flush, wake or wait: it says what is to be done. It does not know records, keys or pages.
//!
//! The files below name each other through `super`, so that a test can include them beside another `sync` or `rules`: the
//! models under loom run this very source, and so do the weakened twins that must fail.

use crate::limits::{EPOCHS_IN_FLIGHT_MAX, FORCED_IN_FLIGHT_MAX};

mod machine;
mod ring;
mod rules;
mod shared;
mod state;
mod sync;

pub use machine::{Action, Actions, FlushTicket, ShardEpochs};
pub use shared::Shared;
pub use state::{EPOCH_TRANSITIONS, EpochInput, EpochState, diagram};

#[cfg(test)]
mod tests;
