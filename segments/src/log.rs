//! One shard's log: where its pages go, what is open, what is written, and how it is read again.
//!
//! Contract: a record that is appended has its final address at once and can be read from the tail at once. The log asks its
//! device through requests and is told of completions; it never waits. What it promises about order is exactly this: when
//! [`LogWriter::written`](writer::LogWriter) reports an epoch, every page up to and including that epoch's close record has
//! completed, so a flush issued from then on covers the epoch.
//!
//! Invariants (`design/data-format.md`): a page carries one epoch tag; sequence numbers rise by one a page; each page names the
//! checksum of the page before it; a page once handed to the device is never handed again.

pub mod room;
pub mod run;
pub mod scan;
pub mod tail;
pub mod writer;

use crate::ids::{DomainId, EpochId, Incarnation, ShardId};

/// Whose log it is: what every page of it must say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogIdentity {
    /// The domain.
    pub domain: DomainId,
    /// Seed of the page checksums.
    pub salt: u32,
    /// The incarnation that writes, or wrote, it.
    pub incarnation: Incarnation,
    /// Which of that incarnation's logs.
    pub log: ShardId,
    /// The cut before that incarnation, if any earlier one left anything.
    pub cut_before: Option<EpochId>,
}
