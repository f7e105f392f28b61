//! Reclaim that somebody asked for: passes through everything from which there is something to be won.
//!
//! Contract: a pass begins with the segments that hold dead records at that moment, at least one of a hundred, and comes to each of them
//! once; then checkpoints are written until those that hold nothing are free, or one fails. So it ends, whatever is committed meanwhile.
//! Whoever asks while one is under way is served by the next. It ends early, after the batch under way, when nobody waits for it any more.

use super::Engine;
use super::checkpoint::Checkpoints;
use super::core::Core;
use super::ops::{Machine, Need, Running, Step};
use super::reclaim::{Figures, Reclaim};
use crate::error::Error;
use crate::seam::{Answer, Asker, Reclaimed};
use segments::SegmentId;
use segments::map::SegmentState;
use std::collections::BTreeMap;

/// Of so many of a hundred records in a segment that are dead a pass makes something.
pub(crate) const DEAD_PERCENT_MIN: u32 = 1;

/// How far a pass has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    #[default]
    None,
    /// Live records leave their segments.
    Moving,
    /// Until this checkpoint of the incarnation is finished, or one fails: then there are more of those than so many.
    Checkpoints { last: u32, failed: u64 },
}

/// Passes that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    /// Counts of passes.
    asked: u64,
    begun: u64,
    ended: u64,
    stage: Stage,
    /// Segments to come to, each with its life.
    left: BTreeMap<SegmentId, u32>,
    segments: u32,
    /// What had been done when it began.
    before: Figures,
    checkpoints_before: (u64, u64),
    last: Reclaimed,
    /// Those who asked have gone.
    unwanted: bool,
    /// One has ended, and those who wait for it are to be told.
    news: bool,
}

impl Passes {
    /// The segments of the pass under way, and how many of them it has not come to.
    pub(crate) fn progress(&self) -> (u32, u32) {
        let left = u32::try_from(self.left.len()).expect("segments are counted in u32");
        if self.stage == Stage::None { (0, 0) } else { (self.segments, left) }
    }

    /// Whether segments are to be looked at, be there anything new or not.
    pub(crate) fn wants_look(&self, batch_runs: bool) -> bool {
        match self.stage {
            Stage::None => self.asked > self.begun,
            Stage::Moving => !batch_runs,
            Stage::Checkpoints { .. } => false,
        }
    }

    /// Whether records are being moved for a pass: then least is dead where one is worth it.
    pub(crate) fn is_moving(&self) -> bool {
        self.stage == Stage::Moving
    }

    /// Whether another checkpoint is to be begun, when so many were.
    pub(crate) fn wants_checkpoint(&self, begun: u32) -> bool {
        matches!(self.stage, Stage::Checkpoints { last, .. } if begun < last)
    }

    /// Begins, of these candidates, if it was asked for.
    pub(crate) fn begin(
        &mut self,
        candidates: &[(SegmentId, SegmentState)],
        figures: Figures,
        checkpoints: &Checkpoints,
    ) {
        if self.stage != Stage::None || self.asked == self.begun {
            return;
        }
        let is_worth = |state: &SegmentState| {
            state.run == 1 && u64::from(state.dead()) * 100 >= u64::from(state.records) * u64::from(DEAD_PERCENT_MIN)
        };
        let wanted = candidates.iter().filter(|(_, state)| state.dead() > 0 && is_worth(state));
        let wanted = wanted.filter(|_| !self.unwanted);
        self.left = wanted.map(|(segment, state)| (*segment, state.lives)).collect();
        self.segments = u32::try_from(self.left.len()).expect("segments are counted in u32");
        (self.begun, self.stage, self.before) = (self.asked, Stage::Moving, figures);
        self.checkpoints_before = (u64::from(checkpoints.begun()), checkpoints.failed);
    }

    /// Of the candidates those that the pass has not come to, while records are moved for one.
    pub(crate) fn narrow(&mut self, candidates: &mut Vec<(SegmentId, SegmentState)>) {
        if self.stage != Stage::Moving {
            return;
        }
        // What is none any more was reclaimed, or found empty, meanwhile.
        let still: BTreeMap<SegmentId, u32> =
            candidates.iter().map(|(segment, state)| (*segment, state.lives)).collect();
        self.left.retain(|segment, lives| still.get(segment) == Some(lives));
        candidates.retain(|(segment, _)| self.left.contains_key(segment));
    }

    /// A batch of these is about to begin. When it is of none, moving the others is of no use.
    pub(crate) fn come_to(&mut self, victims: &[SegmentId]) {
        if victims.is_empty() {
            self.left.clear();
        }
        for victim in victims {
            self.left.remove(victim);
        }
    }

    /// Nobody waits any more.
    pub(crate) fn give_up(&mut self) {
        self.unwanted = true;
        self.left.clear();
        if let Stage::Checkpoints { last, .. } = &mut self.stage {
            *last = 0;
        }
    }

    /// Goes on to the next stage when the present one is over; says whether it did. `freeing` says that segments can be given back.
    pub(crate) fn step(&mut self, reclaim: &Reclaim, checkpoints: &Checkpoints, freeing: bool) -> bool {
        match self.stage {
            Stage::Moving if self.left.is_empty() && !reclaim.is_running() => {
                // What was found empty while one was being written, that one may still name; and the two that are kept both count.
                let wanted = match (self.unwanted, reclaim.waiting()) {
                    (true, _) => 0,
                    (false, 0) => 1,
                    (false, _) => 2,
                };
                self.stage = Stage::Checkpoints { last: checkpoints.begun() + wanted, failed: checkpoints.failed };
                true
            }
            Stage::Checkpoints { last, failed } => {
                let finished = checkpoints.begun() >= last && !checkpoints.is_running();
                let over = finished || checkpoints.failed > failed;
                if over && !freeing {
                    self.end(reclaim, checkpoints);
                }
                over && !freeing
            }
            Stage::None | Stage::Moving => false,
        }
    }

    fn end(&mut self, reclaim: &Reclaim, checkpoints: &Checkpoints) {
        let (now, before) = (reclaim.figures, self.before);
        let (begun, failed) = self.checkpoints_before;
        let failed = checkpoints.failed - failed;
        self.last = Reclaimed {
            segments: self.segments,
            segments_freed: now.segments_freed - before.segments_freed,
            segments_waiting: u32::try_from(reclaim.waiting()).expect("segments are counted in u32"),
            records_moved: now.records_moved - before.records_moved,
            bytes_moved: now.bytes_moved - before.bytes_moved,
            records_expired: now.records_expired - before.records_expired,
            batches_failed: now.failed - before.failed,
            checkpoints: (u64::from(checkpoints.begun()) - begun).saturating_sub(failed),
            checkpoints_failed: failed,
        };
        (self.stage, self.ended, self.news) = (Stage::None, self.begun, true);
    }
}

impl Engine {
    /// Wakes those who wait for a pass that has ended, or will never.
    pub(super) fn end_passes(&mut self) {
        if std::mem::take(&mut self.core.passes.news) || self.core.poisoned.is_some() {
            self.ready.append(&mut self.passing.drain(..).collect());
        }
    }

    /// Somebody is gone, who may have been the last to wait for a pass.
    pub(super) fn leave_pass(&mut self, asker: Asker) {
        let mut waiting = 0;
        for slot in &self.passing {
            if let Some(Running { machine: Machine::Pass(pass), asker: owner, .. }) = &mut self.running[*slot as usize]
            {
                pass.gone |= *owner == asker;
                waiting += u32::from(!pass.gone);
            }
        }
        if waiting == 0 && !self.passing.is_empty() {
            self.core.passes.give_up();
        }
    }
}

impl Core {
    /// Asks for a pass: its number.
    pub(crate) fn ask_for_pass(&mut self) -> Result<PassAsked, Error> {
        let Some(_) = &self.records.log else {
            let domain = self.capabilities().name;
            return Err(Error::Unsupported { domain, what: "reclaim, for it has no device" });
        };
        self.check_poison()?;
        if !self.config.reclaims {
            return Err(Error::ReclaimOff);
        }
        self.passes.unwanted = false;
        self.passes.asked = self.passes.asked.max(self.passes.begun + 1);
        Ok(PassAsked { number: self.passes.asked, gone: false })
    }
}

/// Waits for the end of a pass.
#[derive(Debug)]
pub(crate) struct PassAsked {
    number: u64,
    /// Nobody waits for it.
    gone: bool,
}

impl PassAsked {
    pub(crate) fn step(&self, core: &Core) -> Step {
        if core.passes.ended >= self.number {
            return Step::Done(Ok(Answer::Reclaimed(core.passes.last)));
        }
        match core.check_poison() {
            Ok(()) => Step::Wait(Need::Pass),
            Err(error) => Step::Done(Err(error)),
        }
    }
}
