//! The orderly end of a persistent domain: evidence, in the superblock, of what was announced last and how long the device is.
//!
//! Contract: it is begun when everything committed is persistent and nothing is with the device, and nothing is applied from then
//! on. The order is recovery's: flush, one pair of copies, flush, the other pair, flush, each step when the one before is done.
//! The first flush makes the length durable that is about to be named. A failure ends it: the superblock then holds what it held,
//! and the store is as after a crash; nothing that was announced is lost.

use crate::error::Error;
use segments::probes::{Probe, hit};
use segments::superblock::{Superblock, copy_page, update_order};
use segments::{DeviceError, PAGE_BYTES, Request};
use std::collections::VecDeque;
use std::task::Poll;

/// Writes the superblock of the end.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Requests that go out together, when those before are done.
    steps: VecDeque<Vec<Request>>,
    in_flight: usize,
    failed: Option<DeviceError>,
}

impl Ending {
    pub(crate) fn new(superblock: &Superblock) -> Self {
        let mut steps = VecDeque::from([vec![Request::Flush]]);
        for pair in update_order(superblock.sequence) {
            let write = |copy| Request::Write { at: copy_page(copy), frames: superblock.encode(copy) };
            steps.extend([pair.map(write).into(), vec![Request::Flush]]);
        }
        Self { steps, in_flight: 0, failed: None }
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
        if self.failed.is_some() {
            hit(Probe::EndFailed);
        } else if self.in_flight == 0 && self.steps.is_empty() {
            hit(Probe::EndWritten);
        }
    }

    /// Whether it is over, and how.
    pub(crate) fn state(&self) -> Poll<Result<(), Error>> {
        match (self.in_flight, self.failed) {
            (0, Some(error)) => {
                let (doing, offset) = ("writing the superblock of the end", copy_page(0).0 * PAGE_BYTES as u64);
                Poll::Ready(Err(Error::DeviceFailed { doing, offset, error }))
            }
            (0, None) if self.steps.is_empty() => Poll::Ready(Ok(())),
            (_, _) => Poll::Pending,
        }
    }
}
