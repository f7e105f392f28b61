//! Flushes of the engine: the log's, and those of what is done beside the operations; one is with the device at a time.
//!
//! Contract: of two flushes at a time one may fail and take the error with it, and the other succeed: then nothing says that what was written
//! before both is lost. So the log's wait while a superblock, a checkpoint or reclaim has its own, and these wait for the log's.

use super::background::Readers;
use super::ops::Running;
use super::{Engine, TagClass, tag};
use crate::seam::Tick;
use segments::mutants::{Mutant, planted};
use segments::probes::{Probe, hit};
use segments::{DeviceError, Request};
use txn::epoch::FlushTicket;

impl Engine {
    /// Whether a flush of the log is to wait: a superblock or a checkpoint has its own.
    pub(super) fn holds_flushes(&self) -> bool {
        self.marking.is_some()
            || self.syncing
            || self.background.as_ref().is_some_and(|background| background.wants_flush())
    }

    pub(super) fn flush_held(&mut self) {
        for ticket in std::mem::take(&mut self.flushes_held) {
            self.flush(ticket);
        }
    }

    /// Lets checkpoints and reclaim go on; when they are to be asked again.
    pub(super) fn step_background(&mut self, now: Tick) -> Option<u64> {
        let Some(background) = &mut self.background else { return None };
        let next = self.born + 1;
        // Who reads is of interest only where something is about to be given back.
        let holds = |running: &&Running| running.machine.holds_places();
        let reading = self.running.iter().flatten().filter(holds).map(|running| running.born);
        let oldest = if background.reclaim.waiting() > 0 { reading.min().unwrap_or(next) } else { next };
        let readers = Readers { oldest, next };
        let again = background.turn(&mut self.core, now, readers);
        for pages in std::mem::take(&mut self.core.forgotten) {
            self.running.iter_mut().flatten().for_each(|running| running.machine.forget(&pages));
        }
        if background.wants_flush() && self.flushes.is_empty() && self.marking.is_none() && !self.syncing {
            self.syncing = true;
            background.sync();
            self.core.counters.device_flushes += 1;
            self.requests.push((tag(TagClass::Sync, 0), Request::Flush));
        }
        if !self.holds_flushes() {
            self.flush_held();
        }
        self.end_passes();
        again
    }

    pub(super) fn synced(&mut self, result: Result<(), DeviceError>) {
        self.syncing = false;
        match result {
            Err(error) => {
                hit(Probe::PoisonedByFlush);
                self.core.poison(format!("a flush failed: {error}"));
            }
            Ok(()) => {
                if let Some(background) = &mut self.background {
                    background.synced();
                }
            }
        }
        if self.marking.is_none() {
            self.flush_held();
        }
    }

    pub(super) fn flush(&mut self, ticket: FlushTicket) {
        self.flushes_asked += 1;
        self.flushes.insert(self.flushes_asked, ticket);
        self.core.counters.device_flushes += 1;
        self.requests.push((tag(TagClass::Flush, self.flushes_asked), Request::Flush));
        if planted(Mutant::AcknowledgesAtIssue) {
            self.core.flushed(ticket, Ok(()));
        }
    }
}
