//! Marks at rare branches, to show that the simulator comes there. Only in builds for tests.
//!
//! Contract: code that takes a rare branch says so with [`hit`]. Without the feature `mutants`, which only the tests' crate asks for
//! and only for its tests, that is nothing. The tests' `what_was_announced_survives_any_crash` fails when its default run leaves
//! one of them unhit: a branch that no simulated crash reaches is not tested by it, whatever else passes.

/// A rare branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// A summary stood for a run's data.
    SummaryServes,
    /// A run has a footer, but its summary is not whole: the data is read.
    SummaryIsNotWhole,
    /// A chain ends inside a large record.
    LargeRecordIsCut,
    /// A page of the log lies behind the chain's end.
    PageBehindTheEnd,
    /// A copy of the superblock had to be repaired.
    CopyRepaired,
    /// A run of several segments was taken.
    RunOfSegments,
    /// The device refused what nobody waited for, or more than somebody did.
    RefusedAhead,
    /// Somebody was told that the device refuses.
    RefusedToWhoWaits,
    /// A commit waited for pages to be written.
    TailIsFull,
    /// Records behind the cut were dropped.
    DroppedBehindTheCut,
    /// Records waited for the cut and were kept.
    KeptAtTheCut,
    /// A record of a table that is gone was replayed.
    ReplayedWithoutTable,
    /// A sack's pair came back at its address.
    AddressRestored,
    /// A revertible write came back with its lease.
    LeaseRestored,
    /// A key had to be read to be told from another with its fingerprint, in replay.
    KeyReadInReplay,
    /// Another key with the same fingerprint was met.
    FingerprintsMeet,
    /// A pair was there whose time was over.
    PairIsOver,
    /// A commit waited for those before it.
    BehindOthers,
    /// A commit that failed waits for its turn to be told.
    KeyIsHot,
    /// A commit waits for its turn to be looked at.
    WaitsUnseen,
    /// An operation stands behind such a commit of the same asker.
    StandsInLine,
    /// A write of the log failed.
    PoisonedByWrite,
    /// A flush failed.
    PoisonedByFlush,
    /// An end was written down.
    EndWritten,
    /// An end could not be written down.
    EndFailed,
    /// A feature was marked in the superblock.
    FeatureMarked,
    /// A flush of the log waited for a superblock's.
    FlushHeld,
    /// A value was written out before its transaction committed.
    WrittenOut,
    /// A transaction had written values out and was never committed.
    StageAbandoned,
    /// Recovery passed over a value that was written out.
    StagedPassedOver,
    /// The log went on in a segment that had been given back.
    SegmentUsedAgain,
    /// A checkpoint counts: its footer is durable.
    CheckpointCounts,
    /// A checkpoint could not be written.
    CheckpointFailed,
    /// Reclaim begins with some segments.
    ReclaimBegins,
    /// A segment that was gone through still holds something.
    VictimStays,
    /// A page of a segment that reclaim goes through is not what was written.
    VictimDamaged,
    /// What lives could not be written elsewhere.
    BatchFailed,
    /// A record was changed while it was moved.
    MovedInVain,
    /// Reclaim dropped a pair whose time was over.
    ExpiredDropped,
    /// A segment was given back.
    SegmentFreed,
    /// A commit waits for space that is being won back.
    WaitsForSpace,
    /// Recovery began with a checkpoint.
    CheckpointServes,
    /// A checkpoint was not whole.
    CheckpointPassedOver,
    /// What a record names had to be read, in replay.
    NamesReadInReplay,
    /// The room of a free segment went back to the device.
    RoomGivenBack,
}

impl Probe {
    /// All of them.
    pub const ALL: [Self; 45] = [
        Self::SummaryServes,
        Self::SummaryIsNotWhole,
        Self::LargeRecordIsCut,
        Self::PageBehindTheEnd,
        Self::CopyRepaired,
        Self::RunOfSegments,
        Self::RefusedAhead,
        Self::RefusedToWhoWaits,
        Self::TailIsFull,
        Self::DroppedBehindTheCut,
        Self::KeptAtTheCut,
        Self::ReplayedWithoutTable,
        Self::AddressRestored,
        Self::LeaseRestored,
        Self::KeyReadInReplay,
        Self::FingerprintsMeet,
        Self::PairIsOver,
        Self::BehindOthers,
        Self::KeyIsHot,
        Self::WaitsUnseen,
        Self::StandsInLine,
        Self::PoisonedByWrite,
        Self::PoisonedByFlush,
        Self::EndWritten,
        Self::EndFailed,
        Self::FeatureMarked,
        Self::FlushHeld,
        Self::WrittenOut,
        Self::StageAbandoned,
        Self::StagedPassedOver,
        Self::SegmentUsedAgain,
        Self::CheckpointCounts,
        Self::CheckpointFailed,
        Self::ReclaimBegins,
        Self::VictimStays,
        Self::VictimDamaged,
        Self::BatchFailed,
        Self::MovedInVain,
        Self::ExpiredDropped,
        Self::SegmentFreed,
        Self::WaitsForSpace,
        Self::CheckpointServes,
        Self::CheckpointPassedOver,
        Self::NamesReadInReplay,
        Self::RoomGivenBack,
    ];
}

/// This branch was taken.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn hit(_: Probe) {}

#[cfg(feature = "mutants")]
pub use counters::{Hits, hit, take};

#[cfg(feature = "mutants")]
mod counters {
    use super::Probe;
    use std::cell::Cell;

    /// How often each was hit.
    pub type Hits = [u64; Probe::ALL.len()];

    std::thread_local! {
        static HITS: Cell<Hits> = const { Cell::new([0; Probe::ALL.len()]) };
    }

    /// This branch was taken.
    pub fn hit(probe: Probe) {
        let mut hits = HITS.get();
        hits[probe as usize] += 1;
        HITS.set(hits);
    }

    /// How often each was hit on this thread since the last call, in the order of [`Probe::ALL`].
    #[must_use]
    pub fn take() -> Hits {
        HITS.replace([0; Probe::ALL.len()])
    }
}
