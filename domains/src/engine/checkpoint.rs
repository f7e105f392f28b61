//! Index checkpoints: when one is begun, how it is written while commits go on, and when it counts.
//!
//! Contract (`design/transactions.md`): replay begins where the log stood before the first slice, to the page: what was applied before
//! may have moved since, and what it named may be gone. The footer is written when everything up to the last epoch that any slice knows is persistent and all that the slices name is durable, and the
//! checkpoint counts when the footer is durable itself. Two are kept; the one before them goes when the newer counts.
//!
//! A write that fails ends the checkpoint and nothing else: what was kept stays, and another is tried when more has been logged. A flush
//! that fails poisons, as every flush does.

use super::background::{Asks, Job};
use super::core::Core;
use crate::seam::KeptCheckpoint;
use segments::checkpoint::{CheckpointWriter, Start};
use segments::log::LogIdentity;
use segments::map::Use;
use segments::mutants::{Mutant, planted};
use segments::probes::{Probe, hit};
use segments::superblock::Features;
use segments::{DeviceError, EpochId, Incarnation, PAGE_BYTES, PageNo, Request, SegmentId};

mod dump;
pub(crate) use dump::KeptItem;
use dump::{At, Slice};

/// Writes of a checkpoint in flight together.
const WRITES_AT_ONCE: usize = 4;

/// A checkpoint that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) incarnation: Incarnation,
    pub(crate) number: u32,
    /// Where its pages lie.
    pub(crate) segments: Vec<SegmentId>,
}

/// All there is of checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    identity: LogIdentity,
    /// The number of the last one that was begun in this incarnation.
    begun: u32,
    /// Those that count, the older first: two at most.
    kept: Vec<Kept>,
    running: Option<Box<Writing>>,
    /// Pages of the log when the last one was begun.
    log_pages: u64,
    /// How many could not be finished.
    pub(crate) failed: u64,
}

/// How far a checkpoint under way has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Slices,
    /// Everything is said; the last epoch that it knows must be persistent.
    Settling,
    /// The footer is on its way.
    Footer,
    /// It could not be written: when nothing of it is with the device any more, its segments are free.
    Failed,
}

#[derive(Debug)]
struct Writing {
    number: u32,
    writer: CheckpointWriter,
    start: Start,
    at: At,
    /// The last epoch that the slices may know.
    applied: EpochId,
    state: State,
    in_flight: usize,
    /// A flush that covers the footer is with the device; it has come back.
    syncing: bool,
    flushed: bool,
}

impl Checkpoints {
    pub(crate) fn new(identity: LogIdentity, kept: Vec<Kept>) -> Self {
        Self { identity, begun: 0, kept, running: None, log_pages: 0, failed: 0 }
    }

    /// The number of the last one that was begun in this incarnation; 0 for none.
    pub(crate) fn begun(&self) -> u32 {
        self.begun
    }

    /// Of those that are kept: the number that the oldest has in this incarnation; nothing while fewer than two are kept, or one is
    /// of an earlier incarnation. What was found empty before that was begun, nobody needs.
    pub(crate) fn oldest_kept(&self) -> Option<u32> {
        let ours = |kept: &&Kept| kept.incarnation == self.identity.incarnation;
        let wanted = if planted(Mutant::FreesUnderNewest) { 1 } else { 2 };
        let numbers = self.kept.iter().rev().take(wanted).filter(ours).map(|kept| kept.number);
        (numbers.clone().count() == wanted).then(|| numbers.min()).flatten()
    }

    /// Those that count, the older first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = KeptCheckpoint> {
        self.kept.iter().map(|kept| KeptCheckpoint { incarnation: kept.incarnation, number: kept.number })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Pages of the log that an open would replay at most, by how many were written since the last one was begun.
    pub(crate) fn log_pages_since(&self, core: &Core) -> u64 {
        core.log().pages_written() - self.log_pages
    }

    pub(crate) fn wants_flush(&self) -> bool {
        let waits = |writing: &Writing| writing.state == State::Footer && writing.in_flight == 0 && !writing.flushed;
        self.running.as_deref().is_some_and(waits)
    }

    /// A flush is asked for: it covers what has completed by now.
    pub(crate) fn sync(&mut self) {
        let wants = self.wants_flush();
        if let Some(writing) = &mut self.running {
            writing.syncing = wants;
        }
    }

    /// That flush has come back.
    pub(crate) fn synced(&mut self) {
        if let Some(writing) = &mut self.running {
            writing.flushed |= core::mem::take(&mut writing.syncing);
        }
    }

    pub(crate) fn written(&mut self, result: Result<(), DeviceError>) {
        let writing = self.running.as_mut().expect("a checkpoint's write belongs to one under way");
        writing.in_flight -= 1;
        if result.is_err() {
            writing.state = State::Failed;
        }
    }

    /// Goes as far as may be in one turn; says whether it can go on at once. `wanted` says that one should be begun.
    pub(crate) fn step(&mut self, core: &mut Core, asks: &mut Asks, wanted: bool) -> bool {
        let Some(writing) = &mut self.running else { return self.begin(core, wanted) };
        match writing.state {
            State::Slices => {
                if writing.in_flight >= WRITES_AT_ONCE || writing.slice(core) {
                    writing.send(core, asks);
                }
                writing.state == State::Slices && writing.in_flight < WRITES_AT_ONCE
            }
            State::Settling => self.settle(core, asks),
            State::Footer if writing.flushed && writing.in_flight == 0 => {
                self.count(core);
                true
            }
            State::Footer => false,
            State::Failed if writing.in_flight == 0 => {
                hit(Probe::CheckpointFailed);
                let failed = self.running.take().expect("it is under way");
                self.failed += 1;
                free(core, failed.writer.segments());
                true
            }
            State::Failed => false,
        }
    }

    fn begin(&mut self, core: &mut Core, wanted: bool) -> bool {
        if !wanted || core.check_poison().is_err() || !core.may_use(Features::CHECKPOINTS) {
            return false;
        }
        self.begun += 1;
        self.log_pages = core.log().pages_written();
        let LogIdentity { incarnation, log, .. } = self.identity;
        let (chain, closed) = core.log_mut().mark();
        self.running = Some(Box::new(Writing {
            number: self.begun,
            writer: CheckpointWriter::new(self.identity, core.records.identity.geometry, self.begun),
            start: Start { incarnation, log, chain, closed },
            at: At::START,
            applied: EpochId::base(incarnation),
            state: State::Slices,
            in_flight: 0,
            syncing: false,
            flushed: false,
        }));
        true
    }

    fn settle(&mut self, core: &mut Core, asks: &mut Asks) -> bool {
        let writing = self.running.as_mut().expect("it is under way");
        let persistent = core.horizon().persistent;
        let early = writing.applied > persistent && !planted(Mutant::FootsBeforePersistent);
        if writing.in_flight > 0 || early {
            return false;
        }
        if writing.writer.pages_left() == 0 && !writing.take_segment(core) {
            return false;
        }
        if planted(Mutant::BeginsAtTheEnd) {
            (writing.start.chain, writing.start.closed) = core.log_mut().mark();
            writing.applied = core.joined;
        }
        let persistent = persistent.max(writing.applied);
        writing.writer.finish(writing.start, writing.applied, persistent);
        writing.state = State::Footer;
        writing.send(core, asks);
        false
    }

    /// The footer is durable.
    fn count(&mut self, core: &mut Core) {
        hit(Probe::CheckpointCounts);
        let written = self.running.take().expect("it is under way");
        let (incarnation, number) = (self.identity.incarnation, written.number);
        self.kept.push(Kept { incarnation, number, segments: written.writer.segments().to_vec() });
        while self.kept.len() > 2 {
            free(core, &self.kept.remove(0).segments);
        }
    }
}

impl Writing {
    /// Gathers the next slice; says whether there is anything to be sent.
    fn slice(&mut self, core: &mut Core) -> bool {
        let Some((slice, next)) = self.at.slice(core) else {
            self.writer.end_items();
            self.applied = core.joined;
            self.state = State::Settling;
            return true;
        };
        while self.writer.pages_left() < slice.pages_max() + 1 {
            if !self.take_segment(core) {
                return false;
            }
        }
        // What waits for a segment may have waited: then it says what is the case now.
        self.push(core, &slice);
        self.at = next;
        true
    }

    fn push(&mut self, core: &Core, slice: &Slice) {
        let horizon = core.horizon().persistent;
        slice.each(&mut |table, item| self.writer.push(table, item, horizon));
    }

    /// Takes a segment, if one is there. Without any the checkpoint fails.
    fn take_segment(&mut self, core: &mut Core) -> bool {
        match core.log_mut().take_segment() {
            Ok(Some(segment)) => {
                self.writer.add_segment(segment);
                core.records.map.begin(segment, 1, Use::Checkpoint, None);
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.state = State::Failed;
                false
            }
        }
    }

    fn send(&mut self, core: &mut Core, asks: &mut Asks) {
        let mut writes: Vec<(PageNo, segments::Frames)> = Vec::new();
        self.writer.take_writes(&mut writes);
        for (at, frames) in writes {
            self.in_flight += 1;
            core.counters.checkpoint_bytes += (frames.pages() * PAGE_BYTES) as u64;
            asks.ask(Job::Checkpoint, Request::Write { at, frames });
        }
    }
}

/// The pages of a checkpoint that nobody needs.
fn free(core: &mut Core, segments: &[SegmentId]) {
    for segment in segments {
        core.free_segment(*segment);
    }
}
