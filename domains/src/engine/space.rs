//! What the segments of an engine's device are used for, gathered when it is asked for.

use super::core::Core;
use crate::seam::{SegmentRun, SegmentUse, Segments, SpaceStatus, UseStatus};
use segments::SegmentId;
use segments::map::{SegmentState, Use};

/// Runs of one answer: a third of a millisecond, and what one message carries.
pub(crate) const RUNS_MAX: usize = 16_384;

/// What it is used for, as it is told.
fn use_of(state: &SegmentState) -> SegmentUse {
    match state.used {
        Use::Free => SegmentUse::Free,
        _ if state.empty_since.is_some() => SegmentUse::Waiting,
        Use::Log => SegmentUse::Log,
        Use::Table => SegmentUse::Table,
        Use::Checkpoint => SegmentUse::Checkpoint,
    }
}

/// The segments by what they are used for.
pub(super) fn of(core: &Core) -> SpaceStatus {
    let mut space = SpaceStatus::default();
    let Some(log) = &core.records.log else { return space };
    for (_, state) in core.records.map.iter() {
        let of = match use_of(state) {
            SegmentUse::Free => continue,
            SegmentUse::Log => &mut space.log,
            SegmentUse::Table => &mut space.table,
            SegmentUse::Checkpoint => &mut space.checkpoint,
            SegmentUse::Waiting => &mut space.waiting,
        };
        // A run is counted at its first segment, for all of them.
        of.segments += state.run;
        of.records += u64::from(state.records);
        of.live += u64::from(state.live);
    }
    let UseStatus { segments, .. } = space.log;
    let used = segments + space.table.segments + space.checkpoint.segments + space.waiting.segments;
    let told = log.space();
    space.aside = told.segments.saturating_sub(used + told.segments_free);
    space
}

/// The segments from this one on.
pub(super) fn segments(core: &Core, from: SegmentId) -> Segments {
    let Some(log) = &core.records.log else { return Segments::default() };
    let (geometry, all) = (core.records.identity.geometry, log.space().segments);
    let segment_pages = geometry.segment_pages();
    let mut part = Segments { device_pages: log.space().pages, segment_pages, ..Segments::default() };
    let mut at = from.0;
    while at < all && part.runs.len() < RUNS_MAX {
        let run = run_at(core, SegmentId(at), all);
        at += run.segments;
        part.runs.push(run);
    }
    part.more = at < all;
    part
}

/// The run that begins here; of one that began before, what is left of it.
fn run_at(core: &Core, segment: SegmentId, all: u32) -> SegmentRun {
    let map = &core.records.map;
    let state = map.get(segment);
    let begun_before = state.run == 0;
    let first = map.get(if begun_before { state.first } else { segment });
    let end = if begun_before { state.first.0 + first.run } else { segment.0 + first.run };
    let segments = end.clamp(segment.0 + 1, all) - segment.0;
    let used = use_of(&first);
    let run = SegmentRun { segment, segments, used, pages: 0, records: 0, live: 0 };
    if begun_before || used == SegmentUse::Free {
        return run;
    }
    let geometry = core.records.identity.geometry;
    let pages = match used {
        SegmentUse::Checkpoint => geometry.run_pages(segments),
        SegmentUse::Log if first.pages == 0 => core.log().pages_of_open(segment).unwrap_or_default(),
        SegmentUse::Log | SegmentUse::Table | SegmentUse::Waiting | SegmentUse::Free => first.pages,
    };
    SegmentRun { pages: pages.min(geometry.run_pages(segments)), records: first.records, live: first.live, ..run }
}
