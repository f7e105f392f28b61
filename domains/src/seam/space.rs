//! What the room of a device is used for, and what is done to win it back.
//!
//! Contract: uses partition the device. Every segment has exactly one, so what they have sums to what the device has. Records are
//! counted exactly where their indexes were loaded whole; how many bytes of a segment live is an estimate by their number.

use segments::{EpochId, Incarnation, SegmentId};

/// What a segment is used for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SegmentUse {
    /// It holds nothing.
    Free,
    /// Records in the order in which they were committed.
    Log,
    /// Records that reclaim has put together by their tables.
    Table,
    /// An index checkpoint.
    Checkpoint,
    /// Nothing that lives, but a checkpoint that is kept may still name it: it is free when two later ones are.
    Waiting,
}

impl SegmentUse {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Log, Self::Table, Self::Checkpoint, Self::Waiting, Self::Free];

    /// Its name, the same everywhere it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Log => "log",
            Self::Table => "table",
            Self::Checkpoint => "checkpoint",
            Self::Waiting => "waiting",
        }
    }
}

/// Segments of one use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UseStatus {
    /// How many.
    pub segments: u32,
    /// Records that were put there.
    pub records: u64,
    /// Of them, those that live.
    pub live: u64,
}

/// What the segments of a device are used for. All of them and those that are free are told besides
/// ([`Status::segments`](super::Status::segments)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpaceStatus {
    /// Of the log.
    pub log: UseStatus,
    /// Of records that reclaim has put together.
    pub table: UseStatus,
    /// Of index checkpoints, whose items are not counted.
    pub checkpoint: UseStatus,
    /// Those that hold nothing that lives and are not free yet.
    pub waiting: UseStatus,
    /// Those that hold nothing and cannot be taken now: their room is on its way back to the device, or the open before took them and
    /// wrote nothing there.
    pub aside: u32,
}

/// An index checkpoint that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeptCheckpoint {
    /// The incarnation that wrote it.
    pub incarnation: Incarnation,
    /// Its number there.
    pub number: u32,
}

/// How checkpoints go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckpointStatus {
    /// Those that are kept, the older first: at most two. A recovery begins with the last that is whole.
    pub kept: Vec<KeptCheckpoint>,
    /// One is being written.
    pub running: bool,
    /// How many were begun since the open.
    pub begun: u64,
    /// Of them, those that could not be finished.
    pub failed: u64,
    /// Bytes of checkpoints since the open.
    pub bytes: u64,
    /// Up to where the one reaches that this open began with, if there was one.
    pub recovered: Option<EpochId>,
}

/// How reclaim goes. All counts are since the open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReclaimStatus {
    /// Space is won back by itself, and can be asked for.
    pub on: bool,
    /// Records are being moved.
    pub running: bool,
    /// Segments that were given back.
    pub segments_freed: u64,
    /// Records that were moved.
    pub records_moved: u64,
    /// Their bytes.
    pub bytes_moved: u64,
    /// Records whose time was over and that went instead.
    pub records_expired: u64,
    /// Batches that a failing device or a full one ended.
    pub batches_failed: u64,
    /// Segments that the pass which was asked for goes through; 0 when none is under way.
    pub pass_segments: u32,
    /// Of them, those that it has not come to yet.
    pub pass_left: u32,
}

/// What a pass of reclaim that was asked for has done, everything that was done meanwhile included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reclaimed {
    /// Segments that it went through.
    pub segments: u32,
    /// Segments that were given back.
    pub segments_freed: u64,
    /// Segments that hold nothing any more and are not free yet.
    pub segments_waiting: u32,
    /// Records that were moved.
    pub records_moved: u64,
    /// Their bytes.
    pub bytes_moved: u64,
    /// Records whose time was over and that went instead.
    pub records_expired: u64,
    /// Batches that the device ended: their segments stay as they were.
    pub batches_failed: u64,
    /// Checkpoints that were finished.
    pub checkpoints: u64,
    /// Checkpoints that could not be.
    pub checkpoints_failed: u64,
}

/// A segment, or a run of adjacent ones with one life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentRun {
    /// The first of them.
    pub segment: SegmentId,
    /// How many.
    pub segments: u32,
    /// What for.
    pub used: SegmentUse,
    /// Pages in use. Of a checkpoint all of them.
    pub pages: u32,
    /// Records that were put there.
    pub records: u32,
    /// Of them, those that live.
    pub live: u32,
}

/// A part of a device's segments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Segments {
    /// Pages of the device, those before the first segment included.
    pub device_pages: u64,
    /// Pages of a segment.
    pub segment_pages: u32,
    /// The segments from the one that was asked for on, without a gap.
    pub runs: Vec<SegmentRun>,
    /// Whether there are more behind them.
    pub more: bool,
}
