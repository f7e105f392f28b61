//! Figures of space as they travel: counters, and runs of segments.

use domains::{Reclaimed, SegmentRun, SegmentUse, Status};
use wire::Counter;
use wire::answer::{counter as id, reclaimed, segment_use};

/// Adds what a status says of space.
pub(super) fn counters_out(status: &Status, counters: &mut Vec<Counter>) {
    let Status { space, checkpoints, reclaim, .. } = status;
    let figures = [
        (id::SEGMENTS_LOG, u64::from(space.log.segments)),
        (id::RECORDS_LOG, space.log.records),
        (id::LIVE_LOG, space.log.live),
        (id::SEGMENTS_TABLE, space.table.segments.into()),
        (id::RECORDS_TABLE, space.table.records),
        (id::LIVE_TABLE, space.table.live),
        (id::SEGMENTS_CHECKPOINT, space.checkpoint.segments.into()),
        (id::SEGMENTS_WAITING, space.waiting.segments.into()),
        (id::RECORDS_WAITING, space.waiting.records),
        (id::SEGMENTS_ASIDE, space.aside.into()),
        (id::CHECKPOINT_RUNNING, checkpoints.running.into()),
        (id::CHECKPOINTS_BEGUN, checkpoints.begun),
        (id::CHECKPOINTS_FAILED, checkpoints.failed),
        (id::CHECKPOINT_BYTES, checkpoints.bytes),
        (id::RECLAIM_ON, reclaim.on.into()),
        (id::RECLAIM_RUNNING, reclaim.running.into()),
        (id::SEGMENTS_FREED, reclaim.segments_freed),
        (id::RECORDS_MOVED, reclaim.records_moved),
        (id::BYTES_MOVED, reclaim.bytes_moved),
        (id::RECORDS_EXPIRED, reclaim.records_expired),
        (id::BATCHES_FAILED, reclaim.batches_failed),
        (id::PASS_SEGMENTS, reclaim.pass_segments.into()),
        (id::PASS_LEFT, reclaim.pass_left.into()),
    ];
    counters.extend(figures.map(|(id, value)| Counter { id, value }));
    let kept = checkpoints.kept.iter().map(|kept| u64::from(kept.incarnation.0) << 32 | u64::from(kept.number));
    counters.extend(kept.map(|value| Counter { id: id::CHECKPOINT_KEPT, value }));
    let recovered = checkpoints.recovered.map(|epoch| Counter { id: id::CHECKPOINT_RECOVERED, value: epoch.0 });
    counters.extend(recovered);
}

/// What a pass has done.
pub(super) fn reclaimed_out(done: &Reclaimed) -> Vec<Counter> {
    let figures = [
        (reclaimed::SEGMENTS, u64::from(done.segments)),
        (reclaimed::SEGMENTS_FREED, done.segments_freed),
        (reclaimed::SEGMENTS_WAITING, done.segments_waiting.into()),
        (reclaimed::RECORDS_MOVED, done.records_moved),
        (reclaimed::BYTES_MOVED, done.bytes_moved),
        (reclaimed::RECORDS_EXPIRED, done.records_expired),
        (reclaimed::BATCHES_FAILED, done.batches_failed),
        (reclaimed::CHECKPOINTS, done.checkpoints),
        (reclaimed::CHECKPOINTS_FAILED, done.checkpoints_failed),
    ];
    figures.map(|(id, value)| Counter { id, value }).to_vec()
}

pub(super) fn run_out(run: &SegmentRun) -> wire::answer::SegmentRun {
    let used = match run.used {
        SegmentUse::Free => segment_use::FREE,
        SegmentUse::Log => segment_use::LOG,
        SegmentUse::Table => segment_use::TABLE,
        SegmentUse::Checkpoint => segment_use::CHECKPOINT,
        SegmentUse::Waiting => segment_use::WAITING,
    };
    let SegmentRun { segment, segments, pages, records, live, .. } = *run;
    wire::answer::SegmentRun { segment: segment.0, segments, used, pages, records, live }
}
