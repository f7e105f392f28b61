//! What the engine does beside its operations: checkpoints and reclaim, in bounded slices, when there is something to be won.
//!
//! Contract: a turn of it takes a bounded time, and what it asks of the device it asks a little at a time. It changes nothing that
//! anybody can see but the space that is free. Where nothing is to be won it asks for nothing: an idle store is idle.
//!
//! Where the log has no room, commits wait for it as long as there is hope: as long as space is being won, or could be.

use super::checkpoint::{Checkpoints, Kept};
use super::core::Core;
use super::reclaim::{Figures, Reclaim};
use super::table::Table;
use crate::seam::{CheckpointStatus, ReclaimStatus, Tick};
use segments::log::LogIdentity;
use segments::probes::{Probe, hit};
use segments::{Completion, DeviceError, Frames, Place, Request, SegmentId};
use std::collections::BTreeMap;

/// Whose a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    /// A write of a checkpoint.
    Checkpoint,
    /// A write of records that are moved.
    Move,
    /// A read of pages that reclaim goes through.
    Pages,
    /// A read of a record that names others.
    Record(Place),
    /// The room of a free segment goes back to the device.
    Punch(SegmentId),
}

/// Requests to the device.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    next_tag: u64,
    jobs: BTreeMap<u64, Job>,
    requests: Vec<(u64, Request)>,
}

impl Asks {
    pub(crate) fn ask(&mut self, job: Job, request: Request) {
        self.next_tag += 1;
        self.jobs.insert(self.next_tag, job);
        self.requests.push((self.next_tag, request));
    }
}

/// Whether waiting for space is of any use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hope {
    /// Nobody has looked.
    Unknown,
    Yes,
    No,
}

/// Checkpoints and reclaim of one engine.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) checkpoints: Checkpoints,
    pub(crate) reclaim: Reclaim,
    asks: Asks,
    /// When it may look again whether there is anything to be done.
    next_look: u64,
    /// What was known at the last look: pages of the log, segments found empty.
    looked_at: (u64, usize),
    /// Pages that a checkpoint takes, about.
    cost: u64,
    ending: bool,
}

impl Background {
    pub(crate) fn new(identity: LogIdentity, kept: Vec<Kept>) -> Self {
        Self {
            checkpoints: Checkpoints::new(identity, kept),
            reclaim: Reclaim::new(identity),
            asks: Asks::default(),
            next_look: 0,
            looked_at: (u64::MAX, 0),
            cost: 0,
            ending: false,
        }
    }

    /// Nothing new is begun.
    pub(crate) fn end(&mut self) {
        self.ending = true;
    }

    /// Requests that are with the device, or about to be.
    pub(crate) fn in_flight(&self) -> usize {
        self.asks.jobs.len()
    }

    pub(crate) fn take_requests(&mut self) -> impl Iterator<Item = (u64, Request)> {
        self.asks.requests.drain(..)
    }

    pub(crate) fn wants_flush(&self) -> bool {
        !self.ending && (self.checkpoints.wants_flush() || self.reclaim.wants_flush())
    }

    /// A flush is asked for: it covers what has completed by now.
    pub(crate) fn sync(&mut self) {
        self.checkpoints.sync();
        self.reclaim.sync();
    }

    /// That flush has come back.
    pub(crate) fn synced(&mut self) {
        self.checkpoints.synced();
        self.reclaim.synced();
    }

    pub(crate) fn completed(&mut self, core: &mut Core, tag: u64, completion: Completion) {
        let Completion { frames, result, .. } = completion;
        match self.asks.jobs.remove(&tag).expect("a completion belongs to a request") {
            Job::Checkpoint => self.checkpoints.written(result),
            Job::Move => self.reclaim.written(result),
            Job::Pages => self.reclaim.pages_came(frames_of(frames, result)),
            Job::Record(place) => {
                let admitted = core.admit(place, frames.as_ref(), result);
                self.reclaim.record_came(place, admitted);
            }
            // Where it could not be given back it may still be used.
            Job::Punch(segment) => core.log_mut().give(segment, 0),
        }
    }

    /// Goes on as far as one turn may; when it is to be asked again, if nothing else happens. `oldest_reader` is the first of the
    /// operations under way that may hold places, counted as they began, `begun` the last of all.
    pub(crate) fn turn(&mut self, core: &mut Core, now: Tick, readers: Readers) -> Option<u64> {
        if self.ending || core.poisoned.is_some() || core.closed {
            return None;
        }
        let looks = self.is_changed(core) && (now.nanos >= self.next_look || core.short_of_space);
        if looks || core.passes.wants_look(self.reclaim.is_running()) {
            self.next_look = now.nanos.saturating_add(core.config.reclaim_interval_nanos);
            self.looked_at = (core.log().pages_written(), self.reclaim.waiting());
            self.look(core, readers);
        }
        let wanted = self.wants_checkpoint(core);
        let mut again = self.reclaim.step(core, &mut self.asks, self.checkpoints.begun(), readers, now);
        let failed = self.checkpoints.failed;
        again |= self.checkpoints.step(core, &mut self.asks, wanted);
        self.reclaim.fruitless += u32::from(self.checkpoints.failed > failed);
        again |= self.reclaim.free(core, self.checkpoints.oldest_kept(), readers);
        let freeing = self.reclaim.is_about_to_free(core, self.checkpoints.oldest_kept());
        again |= core.passes.step(&self.reclaim, &self.checkpoints, freeing);
        self.give_back(core);
        if again {
            return Some(now.nanos);
        }
        self.is_changed(core).then_some(self.next_look)
    }

    /// Gives the room of a free segment back to the device, when there are enough to go on with.
    fn give_back(&mut self, core: &mut Core) {
        let busy = self.asks.jobs.values().any(|job| matches!(job, Job::Punch(_)));
        let Some(segment) = (!busy)
            .then(|| {
                let keep = core.config.spare_segments;
                core.log_mut().take_spare(keep)
            })
            .flatten()
        else {
            return;
        };
        hit(Probe::RoomGivenBack);
        let geometry = core.records.identity.geometry;
        let (at, pages) = (geometry.first_page(segment), u64::from(geometry.segment_pages()));
        self.asks.ask(Job::Punch(segment), Request::Punch { at, pages });
    }

    /// How checkpoints and reclaim go.
    pub(crate) fn status(&self, core: &Core) -> (CheckpointStatus, ReclaimStatus) {
        let Figures { segments_freed, records_moved, bytes_moved, records_expired, failed } = self.reclaim.figures;
        let (pass_segments, pass_left) = core.passes.progress();
        let reclaim = ReclaimStatus {
            on: true,
            running: self.reclaim.is_running(),
            segments_freed,
            records_moved,
            bytes_moved,
            records_expired,
            batches_failed: failed,
            pass_segments,
            pass_left,
        };
        let checkpoints = CheckpointStatus {
            kept: self.checkpoints.kept().collect(),
            running: self.checkpoints.is_running(),
            begun: self.checkpoints.begun().into(),
            failed: self.checkpoints.failed,
            bytes: core.counters.checkpoint_bytes,
            recovered: core.recovered,
        };
        (checkpoints, reclaim)
    }

    fn is_changed(&self, core: &Core) -> bool {
        core.short_of_space || self.looked_at != (core.log().pages_written(), self.reclaim.waiting())
    }

    /// Looks whether there is anything to be won.
    fn look(&mut self, core: &mut Core, readers: Readers) {
        self.cost = checkpoint_pages(core);
        let a_segment = u64::from(core.records.identity.geometry.segment_pages()) - 1;
        core.set_reserve(u32::try_from(self.cost.div_ceil(a_segment)).unwrap_or(u32::MAX));
        self.reclaim.look(core, &self.checkpoints, readers);
        if core.short_of_space {
            let hope = self.reclaim.waiting() > 0 || self.reclaim.is_running() || self.checkpoints.is_running();
            core.hope = if hope && self.reclaim.fruitless < FRUITLESS_MAX { Hope::Yes } else { Hope::No };
            // Whoever asks next is worth one more try.
            self.reclaim.fruitless = self.reclaim.fruitless.min(FRUITLESS_MAX - 1);
            core.short_of_space = false;
        }
    }

    /// Whether a checkpoint would win something: space that waits for it, or a shorter replay.
    fn wants_checkpoint(&self, core: &Core) -> bool {
        if self.checkpoints.is_running() {
            return false;
        }
        if core.passes.wants_checkpoint(self.checkpoints.begun()) {
            return true;
        }
        let log_pages = self.checkpoints.log_pages_since(core);
        let waiting = self.reclaim.waiting() as u64;
        if waiting == 0 && log_pages < core.config.checkpoint_pages {
            return false;
        }
        let replay = log_pages >= core.config.checkpoint_pages.max(2 * self.cost);
        let segment_pages = u64::from(core.records.identity.geometry.segment_pages());
        let space = waiting > 0 && (waiting * segment_pages * 2 >= self.cost || core.hope == Hope::Yes);
        replay || space
    }
}

/// Pages that a checkpoint takes, about.
fn checkpoint_pages(core: &Core) -> u64 {
    let bytes = core.catalog.tables().map(Table::index_bytes).sum::<u64>();
    bytes / segments::PAGE_BYTES as u64 + core.catalog.tables().count() as u64 + 4
}

/// Batches of reclaim, and checkpoints that failed, on end without a segment that was given back: then there is no hope any more.
const FRUITLESS_MAX: u32 = 8;

/// Operations under way that may hold places, counted as they began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Readers {
    /// The first of them; the next to begin when there is none.
    pub(crate) oldest: u64,
    /// The next to begin.
    pub(crate) next: u64,
}

/// Pages that were read, or why not.
fn frames_of(frames: Option<Frames>, result: Result<(), DeviceError>) -> Result<Frames, DeviceError> {
    result.map(|()| frames.expect("a read brings its frames home"))
}

impl Core {
    /// Sets aside what reclaim and a checkpoint need where the device has a cap: an eighth of it at most.
    fn set_reserve(&mut self, checkpoint_segments: u32) {
        let Some(pages_max) = self.config.space_pages_max else { return };
        let all = self.records.identity.geometry.segments_in(pages_max);
        let reserve = checkpoint_segments.saturating_add(2).min(all / 4);
        self.log_mut().set_reserve(reserve);
    }

    /// Gives a segment, or a run, back.
    pub(crate) fn free_segment(&mut self, segment: SegmentId) {
        let state = self.records.map.get(segment);
        self.records.map.free(segment);
        self.hope = Hope::Unknown;
        let log = self.log_mut();
        log.forget_run(segment);
        for number in 0..state.run {
            // Its pages own their room as far as they were used.
            let pages = if state.run == 1 { u64::from(state.pages) } else { 0 };
            log.give(SegmentId(segment.0 + number), pages);
        }
    }
}
