//! Rules that can be broken on purpose, to show that the simulator notices. Only in builds for tests.
//!
//! Contract: whoever keeps a rule that a *mutant* breaks asks [`planted`] at that very place. Without the feature `mutants`, which
//! only the tests' crate asks for and only for its tests, the answer is a constant, so nothing of this is in the shipped program.
//!
//! The numbers are those of the protocol's list of mutants (`design/transactions.md`); the table of what is found, and within how
//! many crashes, is printed by the tests' `mutants`.

/// A rule to break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// 2: an epoch is acknowledged when its flush is issued.
    AcknowledgesAtIssue,
    /// 7: recovery begins no new incarnation and records no cut.
    KeepsIncarnation,
    /// 8: recovery begins a new incarnation and records no cut.
    RecordsNoCut,
    /// 10: recovery does not flush what it read before it records the cut.
    RecoversWithoutFlush,
    /// 12: recovery serves before its record is durable.
    ServesBeforeRecord,
    /// 15: a commit goes on with the epoch that the one before it joined, although that was left.
    KeepsEpoch,
    /// 17: a close record counts without the chain before it.
    ClosesWithoutChain,
    /// 20: a flush that failed is believed.
    BelievesFailedFlush,
    /// 22: the flush is issued before the writes have completed.
    FlushesBeforeWritten,
    /// 24: the new incarnation begins in the last segment of the old one.
    ReusesSegment,
    /// 33: a page is taken by its own checksum, whatever it follows.
    ReadsWithoutChain,
    /// Half of 33: a page is taken by its sequence number, whatever page it says that it follows.
    IgnoresPrevious,
    /// The other half: a page is taken by the page that it follows, whatever its sequence number.
    IgnoresSequence,
    /// 35: replay takes what lies behind the cut.
    ReplaysPastCut,
    /// 20, inside recovery.
    RecoversOnFailedFlush,
    /// A pair is shown although its time is over.
    ShowsWhatIsOver,
    /// An open takes no evidence from an orderly end.
    IgnoresTheEnd,
    /// Replay takes a value that was written out before its commit for a pair of its own.
    StagedLives,
    /// 27: a checkpoint's footer is written before all that its slices know is persistent.
    FootsBeforePersistent,
    /// 28: an index names records that were moved, and so a checkpoint or the log does, before they are durable.
    PointsBeforeDurable,
    /// 29: a segment is freed when the newest checkpoint was begun after it was found empty.
    FreesUnderNewest,
    /// 31, 32: a segment is freed when it holds nothing, whatever checkpoints say.
    FreesAtOnce,
    /// 34: replay begins where the log is when the last slice has been taken.
    BeginsAtTheEnd,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::AcknowledgesAtIssue,
        Self::KeepsIncarnation,
        Self::RecordsNoCut,
        Self::RecoversWithoutFlush,
        Self::ServesBeforeRecord,
        Self::KeepsEpoch,
        Self::ClosesWithoutChain,
        Self::BelievesFailedFlush,
        Self::FlushesBeforeWritten,
        Self::ReusesSegment,
        Self::ReadsWithoutChain,
        Self::IgnoresPrevious,
        Self::IgnoresSequence,
        Self::ReplaysPastCut,
        Self::RecoversOnFailedFlush,
        Self::ShowsWhatIsOver,
        Self::IgnoresTheEnd,
        Self::StagedLives,
        Self::FootsBeforePersistent,
        Self::PointsBeforeDurable,
        Self::FreesUnderNewest,
        Self::FreesAtOnce,
        Self::BeginsAtTheEnd,
    ];
}

/// Whether this rule is to be broken.
#[cfg(not(feature = "mutants"))]
#[inline]
#[must_use]
pub const fn planted(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use switch::{plant, planted};

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    std::thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Breaks a rule, or none, for whatever runs on this thread from now on.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }

    /// Whether this rule is to be broken.
    #[must_use]
    pub fn planted(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}
