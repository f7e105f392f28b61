//! Where a log's next pages come from: runs of new segments behind the device's end, zero-filled ahead of their use.
//!
//! Contract: one request at a time. A log takes only segments that did not exist when it began, so it never writes where an
//! earlier incarnation's last writes could still land (`design/transactions.md`). Zero-filling runs ahead in steps, so a small
//! store takes little room and a commit seldom waits.
//!
//! A refusal is answered to whoever waits for room, once; the next who asks tries again.

use super::LogConfig;
use crate::device::{DeviceError, Request};
use crate::ids::SegmentId;
use crate::log::run::Run;
use crate::segment::Geometry;

/// What a log knows of its space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpaceStatus {
    /// Segments of the device.
    pub segments: u32,
    /// Of them, those that were taken ahead and hold nothing yet.
    pub segments_free: u32,
    /// Pages of the device, as asked for so far.
    pub pages: u64,
    /// The cap.
    pub pages_max: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// Nobody has asked.
    None,
    /// The device is to grow by so many segments, of which so many pages are wanted zero-filled.
    Wanted { segments: u32, pages: u64 },
    /// These are there, zero-filled so far; they are taken when that is as far as wanted.
    Grown { first: SegmentId, segments: u32, zeroed: u64, pages: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Busy {
    Grow {
        segments: u32,
    },
    /// Of the run in use.
    Zero {
        through: u64,
    },
    /// Of the next one.
    ZeroNext {
        through: u64,
    },
}

/// Grows the device and zero-fills ahead of one log.
#[derive(Debug)]
pub(super) struct Space {
    geometry: Geometry,
    zero_pages: u64,
    pages_max: Option<u64>,
    segments: u32,
    next: Next,
    run: Option<Run>,
    zeroed: u64,
    zero_wanted: u64,
    busy: Option<Busy>,
    refused: Option<DeviceError>,
    /// Somebody waits for the next run, and is owed a refusal.
    waited_for: bool,
}

/// ENOSPC: what a cap of our own answers with, as a full device does.
const NO_SPACE_ERRNO: i32 = 28;

impl Space {
    pub(super) fn new(config: &LogConfig) -> Self {
        Self {
            geometry: Geometry::new(config.segment_pages),
            zero_pages: u64::from(config.zero_pages.max(1)),
            pages_max: config.pages_max,
            segments: config.segments,
            next: Next::None,
            run: None,
            zeroed: 0,
            zero_wanted: 0,
            busy: None,
            refused: None,
            waited_for: false,
        }
    }

    /// The next run, when it is there with its first `pages` pages zero-filled; `None` while it is on its way. What is taken can
    /// be written at once, so a log never moves on to a run that the device then refuses.
    pub(super) fn take(&mut self, pages: u64) -> Result<Option<Run>, DeviceError> {
        let pages_wanted = u32::try_from(pages).expect("a commit set is at most 128 MiB");
        let wanted = self.geometry.run_for(pages_wanted);
        match &mut self.next {
            Next::Grown { first, segments, zeroed, pages: ahead } if *segments >= wanted => {
                if *zeroed >= pages {
                    let run = Run { segment: *first, segments: *segments, geometry: self.geometry, first_seq: 0 };
                    return Ok(self.switch_to(run));
                }
                *ahead = pages.max(*ahead);
                self.owed()
            }
            Next::Wanted { segments, pages: ahead } if *segments >= wanted => {
                *ahead = pages.max(*ahead);
                self.owed()
            }
            Next::None | Next::Wanted { .. } | Next::Grown { .. } => {
                let refused = self.owed()?;
                assert!(refused.is_none(), "nothing is owed but a refusal");
                if self.pages_with(wanted) > self.pages_max.unwrap_or(u64::MAX) {
                    return Err(DeviceError::NoSpace { errno: NO_SPACE_ERRNO });
                }
                if !matches!(self.busy, Some(Busy::Grow { .. } | Busy::ZeroNext { .. })) {
                    self.next = Next::Wanted { segments: wanted, pages: self.ahead(wanted, pages) };
                }
                Ok(None)
            }
        }
    }

    /// The refusal that whoever waits for room is owed, once; without one, the next try may go ahead.
    fn owed(&mut self) -> Result<Option<Run>, DeviceError> {
        let refused = self.refused.take();
        match (core::mem::replace(&mut self.waited_for, true), refused) {
            (true, Some(error)) => {
                self.waited_for = false;
                Err(error)
            }
            (true | false, _) => Ok(None),
        }
    }

    fn switch_to(&mut self, run: Run) -> Option<Run> {
        // A request that still runs belongs to the run that is left; its completion must not count for the new one.
        if self.busy.is_some() {
            return None;
        }
        let Next::Grown { zeroed, .. } = self.next else { unreachable!("only a grown run is taken") };
        self.next = Next::None;
        self.waited_for = false;
        self.run = Some(run);
        self.zeroed = zeroed;
        self.zero_wanted = 0;
        Some(run)
    }

    /// Whether the run is zero-filled up to page `end` of it; if not, it will be asked for.
    pub(super) fn zero_ahead(&mut self, end: u64) -> Result<bool, DeviceError> {
        if self.zeroed >= end {
            return Ok(true);
        }
        self.zero_wanted = end;
        match self.refused.take() {
            Some(error) => Err(error),
            None => Ok(false),
        }
    }

    /// The next request, given how many pages of the run are used.
    pub(super) fn next_request(&mut self, used: u64) -> Option<Request> {
        if self.busy.is_some() || self.refused.is_some() {
            return None;
        }
        match self.next {
            Next::Wanted { segments, .. } => {
                self.busy = Some(Busy::Grow { segments });
                return Some(Request::Grow { pages: self.pages_with(segments) });
            }
            Next::Grown { first, segments, zeroed, pages } if zeroed < pages => {
                let run_pages = u64::from(self.geometry.run_pages(segments));
                let through = pages.min(run_pages);
                self.busy = Some(Busy::ZeroNext { through });
                let at = self.geometry.first_page(first).plus(zeroed);
                return Some(Request::Zero { at, pages: through - zeroed });
            }
            Next::None | Next::Grown { .. } => {}
        }
        let run = self.run?;
        // The footer's page is part of what is zeroed last; the log itself never reaches it.
        let low = (used + self.zero_pages / 2).min(run.pages());
        if self.zeroed < low.max(self.zero_wanted) {
            let least = self.zero_wanted.saturating_sub(self.zeroed);
            let pages = self.zero_pages.max(least).min(run.pages() - self.zeroed);
            self.busy = Some(Busy::Zero { through: self.zeroed + pages });
            return Some(Request::Zero { at: run.start().plus(self.zeroed), pages });
        }
        let nearly_full = used * 4 > run.pages() * 3;
        if nearly_full && self.next == Next::None && self.pages_with(1) <= self.pages_max.unwrap_or(u64::MAX) {
            self.next = Next::Wanted { segments: 1, pages: self.ahead(1, 0) };
            return self.next_request(used);
        }
        None
    }

    /// Takes the completion of the one request under way.
    pub(super) fn completed(&mut self, result: Result<(), DeviceError>) {
        let busy = self.busy.take().expect("space has one request under way");
        match (busy, result) {
            (Busy::Grow { segments }, Ok(())) => {
                let Next::Wanted { pages, .. } = self.next else { unreachable!("a device grows when it is wanted") };
                let pages = pages.min(u64::from(self.geometry.run_pages(segments)));
                self.next = Next::Grown { first: SegmentId(self.segments), segments, zeroed: 0, pages };
                self.segments += segments;
            }
            (Busy::Zero { through }, Ok(())) => self.zeroed = through,
            (Busy::ZeroNext { through }, Ok(())) => {
                let Next::Grown { zeroed, .. } = &mut self.next else { unreachable!("what is zeroed is there") };
                *zeroed = through;
            }
            (Busy::Grow { .. }, Err(error)) => {
                self.next = Next::None;
                self.refused = Some(error);
            }
            (Busy::Zero { .. } | Busy::ZeroNext { .. }, Err(error)) => self.refused = Some(error),
        }
    }

    pub(super) fn status(&self) -> SpaceStatus {
        let segments_free = match self.next {
            Next::Grown { segments, .. } => segments,
            Next::None | Next::Wanted { .. } => 0,
        };
        SpaceStatus { segments: self.segments, segments_free, pages: self.pages_with(0), pages_max: self.pages_max }
    }

    /// How far to zero-fill a run of so many segments before it is taken: a step at least, the run at most.
    fn ahead(&self, segments: u32, pages: u64) -> u64 {
        pages.max(self.zero_pages).min(u64::from(self.geometry.run_pages(segments)))
    }

    fn pages_with(&self, more: u32) -> u64 {
        self.geometry.pages_for(self.segments + more)
    }
}
