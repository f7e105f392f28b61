//! Figures of space as they come out of the protocol's counters.
//!
//! Contract: a counter that is not there is 0: the server is older.

use crate::seam::{
    CheckpointStatus, KeptCheckpoint, ReclaimStatus, Reclaimed, SegmentRun, SegmentUse, SpaceStatus, UseStatus,
};
use segments::{EpochId, Incarnation, SegmentId};
use wire::Counter;
use wire::answer::{counter as id, reclaimed, segment_use};

const _: () = assert!(crate::engine::space::RUNS_MAX == wire::limits::SEGMENTS_MAX);

fn small(figure: u64) -> u32 {
    u32::try_from(figure).unwrap_or(u32::MAX)
}

pub(super) fn space_in(figure: &impl Fn(u16) -> u64) -> SpaceStatus {
    let of = |segments: u16, records: u64, live: u64| UseStatus { segments: small(figure(segments)), records, live };
    SpaceStatus {
        log: of(id::SEGMENTS_LOG, figure(id::RECORDS_LOG), figure(id::LIVE_LOG)),
        table: of(id::SEGMENTS_TABLE, figure(id::RECORDS_TABLE), figure(id::LIVE_TABLE)),
        checkpoint: of(id::SEGMENTS_CHECKPOINT, 0, 0),
        waiting: of(id::SEGMENTS_WAITING, figure(id::RECORDS_WAITING), 0),
        aside: small(figure(id::SEGMENTS_ASIDE)),
    }
}

pub(super) fn checkpoints_in(counters: &[Counter]) -> CheckpointStatus {
    let each = |wanted: u16| counters.iter().filter(move |counter| counter.id == wanted).map(|counter| counter.value);
    let figure = |wanted: u16| each(wanted).next().unwrap_or_default();
    let kept = |value: u64| KeptCheckpoint {
        incarnation: Incarnation(small(value >> 32)),
        number: small(value & u64::from(u32::MAX)),
    };
    CheckpointStatus {
        kept: each(id::CHECKPOINT_KEPT).map(kept).collect(),
        running: figure(id::CHECKPOINT_RUNNING) > 0,
        begun: figure(id::CHECKPOINTS_BEGUN),
        failed: figure(id::CHECKPOINTS_FAILED),
        bytes: figure(id::CHECKPOINT_BYTES),
        recovered: each(id::CHECKPOINT_RECOVERED).next().map(EpochId),
    }
}

pub(super) fn reclaim_in(figure: &impl Fn(u16) -> u64) -> ReclaimStatus {
    ReclaimStatus {
        on: figure(id::RECLAIM_ON) > 0,
        running: figure(id::RECLAIM_RUNNING) > 0,
        segments_freed: figure(id::SEGMENTS_FREED),
        records_moved: figure(id::RECORDS_MOVED),
        bytes_moved: figure(id::BYTES_MOVED),
        records_expired: figure(id::RECORDS_EXPIRED),
        batches_failed: figure(id::BATCHES_FAILED),
        pass_segments: small(figure(id::PASS_SEGMENTS)),
        pass_left: small(figure(id::PASS_LEFT)),
    }
}

pub(super) fn reclaimed_in(counters: &[Counter]) -> Reclaimed {
    let figure = |wanted: u16| counters.iter().find(|counter| counter.id == wanted).map_or(0, |counter| counter.value);
    Reclaimed {
        segments: small(figure(reclaimed::SEGMENTS)),
        segments_freed: figure(reclaimed::SEGMENTS_FREED),
        segments_waiting: small(figure(reclaimed::SEGMENTS_WAITING)),
        records_moved: figure(reclaimed::RECORDS_MOVED),
        bytes_moved: figure(reclaimed::BYTES_MOVED),
        records_expired: figure(reclaimed::RECORDS_EXPIRED),
        batches_failed: figure(reclaimed::BATCHES_FAILED),
        checkpoints: figure(reclaimed::CHECKPOINTS),
        checkpoints_failed: figure(reclaimed::CHECKPOINTS_FAILED),
    }
}

pub(super) fn run_in(run: &wire::answer::SegmentRun) -> SegmentRun {
    let used = match run.used {
        segment_use::FREE => SegmentUse::Free,
        segment_use::TABLE => SegmentUse::Table,
        segment_use::CHECKPOINT => SegmentUse::Checkpoint,
        segment_use::WAITING => SegmentUse::Waiting,
        // What a later version does with it is a use all the same.
        _ => SegmentUse::Log,
    };
    let wire::answer::SegmentRun { segment, segments, pages, records, live, .. } = *run;
    SegmentRun { segment: SegmentId(segment), segments, used, pages, records, live }
}
