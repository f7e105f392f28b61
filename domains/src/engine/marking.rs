//! Superblocks that are written while the engine runs: that of the orderly end, and that of a feature which comes into use.
//!
//! Contract: the order is recovery's: flush, one pair of copies, flush, the other pair, flush, each step when the one before is
//! done. The first flush makes the length durable that is about to be named. A failure ends it: the device then holds the
//! superblock that it held, or the new one, and nothing that was announced is lost.
//!
//! * The *end* of a persistent domain is evidence of what was announced last and how long the device is. It is begun when everything
//!   committed is persistent and nothing is with the device, and nothing is applied from then on.
//! * A *feature* is marked before the first byte that only those understand who know it: the commit that would write it waits.
//!   An older build then refuses the store by that bit, instead of misreading it. A feature once marked stays.

use super::core::Core;
use crate::error::Error;
use segments::probes::{Probe, hit};
use segments::superblock::{Superblock, copy_page, update_order};
use segments::{DeviceError, PAGE_BYTES, Request};
use std::collections::VecDeque;
use std::task::Poll;

/// Writes a superblock.
#[derive(Debug)]
pub(crate) struct Marking {
    superblock: Superblock,
    /// Requests that go out together, when those before are done.
    steps: VecDeque<Vec<Request>>,
    in_flight: usize,
    failed: Option<DeviceError>,
}

impl Marking {
    pub(crate) fn new(superblock: Superblock) -> Self {
        let mut steps = VecDeque::from([vec![Request::Flush]]);
        for pair in update_order(superblock.sequence) {
            let write = |copy| Request::Write { at: copy_page(copy), frames: superblock.encode(copy) };
            steps.extend([pair.map(write).into(), vec![Request::Flush]]);
        }
        Self { superblock, steps, in_flight: 0, failed: None }
    }

    /// What is to be asked for now: nothing while the step before is under way.
    pub(crate) fn next(&mut self) -> Vec<Request> {
        if self.in_flight > 0 || self.failed.is_some() {
            return Vec::new();
        }
        let step = self.steps.pop_front().unwrap_or_default();
        self.in_flight = step.len();
        step
    }

    pub(crate) fn completed(&mut self, result: Result<(), DeviceError>) {
        assert!(self.in_flight > 0, "a completion belongs to a step under way");
        self.in_flight -= 1;
        self.failed = self.failed.or(result.err());
        let (ends, over) = (self.superblock.closed.is_some(), self.in_flight == 0 && self.steps.is_empty());
        match (ends, self.failed) {
            (true, Some(_)) => hit(Probe::EndFailed),
            (true, None) if over => hit(Probe::EndWritten),
            (false, None) if over => hit(Probe::FeatureMarked),
            (_, _) => {}
        }
    }

    /// Whether it is over, and how.
    pub(crate) fn state(&self) -> Poll<Result<(), Error>> {
        match (self.in_flight, self.failed) {
            (0, Some(error)) => {
                let doing = match self.superblock.closed {
                    Some(_) => "writing the superblock of the end",
                    None => "writing the superblock of a feature that comes into use",
                };
                Poll::Ready(Err(Error::DeviceFailed { doing, offset: copy_page(0).0 * PAGE_BYTES as u64, error }))
            }
            (0, None) if self.steps.is_empty() => Poll::Ready(Ok(())),
            (_, _) => Poll::Pending,
        }
    }

    /// The superblock that it writes.
    pub(crate) fn into_superblock(self) -> Superblock {
        self.superblock
    }
}

/// Which features the store says that it uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InUse {
    /// Those in the durable superblock.
    marked: u64,
    /// Those that commits wait for, and the marked ones.
    wanted: u64,
}

impl InUse {
    /// Where no superblock is, nothing is to be marked.
    pub(crate) const NO_SUPERBLOCK: Self = Self { marked: u64::MAX, wanted: u64::MAX };

    /// Those of a superblock.
    pub(crate) fn of(superblock: &Superblock) -> Self {
        let marked = superblock.features.incompatible;
        Self { marked, wanted: marked }
    }

    /// This superblock is durable.
    pub(crate) fn marked(&mut self, superblock: &Superblock) {
        self.marked = superblock.features.incompatible;
        self.wanted |= self.marked;
    }

    /// The features to be marked now, if any.
    pub(crate) fn to_mark(self) -> Option<u64> {
        (self.wanted != self.marked).then_some(self.wanted)
    }
}

impl Core {
    /// Whether a commit may write what only those understand who know these features; if not, they are marked next.
    pub(crate) fn may_use(&mut self, features: u64) -> bool {
        self.in_use.wanted |= features;
        self.in_use.marked & features == features
    }
}
