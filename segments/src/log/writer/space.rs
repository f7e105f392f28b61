//! Where a log's next pages come from: runs of new segments behind the device's end, zero-filled ahead of their use.
//!
//! Contract: one request at a time. A log takes segments that did not exist when it began, or that its owner has given back as free,
//! so it never writes where an earlier incarnation's last writes could still land (`design/transactions.md`). Zero-filling runs ahead
//! in steps, so a small store takes little room and a commit seldom waits. A segment that was given back is zero-filled only where its
//! pages do not own their room any more.
//!
//! Others (reclaim, checkpoints) take single segments from the same space. Where the device has a cap, the log leaves them as many as
//! were set aside: without them no space could ever be won back.
//!
//! A refusal is answered only to whoever waited for it and needs at least as much as the device has refused, once; the next who
//! asks tries again. What was asked for ahead of its use and refused is nobody's refusal: from then on only what somebody waits
//! for is asked for, and no more of it than that, until the device gives something again. Segments that were grown are kept,
//! whatever is refused later: a run that needs more is made of them and of those that follow.

use super::LogConfig;
use crate::device::{DeviceError, Request};
use crate::ids::SegmentId;
use crate::log::run::Run;
use crate::probes::{Probe, hit};
use crate::segment::Geometry;
use std::collections::BTreeMap;

/// What a log knows of its space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpaceStatus {
    /// Segments of the device.
    pub segments: u32,
    /// Of them, those that hold nothing.
    pub segments_free: u32,
    /// Pages of the device, as asked for so far.
    pub pages: u64,
    /// The cap.
    pub pages_max: Option<u64>,
}

/// What somebody needs of the next run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Need {
    segments: u32,
    /// Pages at its beginning, zero-filled.
    pages: u64,
}

/// The segments at the device's end that no run has taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Ahead {
    segments: u32,
    /// Pages zero-filled so far.
    zeroed: u64,
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
    /// Of the segments ahead.
    ZeroAhead {
        through: u64,
    },
    /// Of the free segment that is to be used again.
    ZeroReuse {
        through: u64,
    },
}

/// A free segment that the log uses next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reuse {
    segment: SegmentId,
    zeroed: u64,
}

/// Grows the device and zero-fills ahead of one log.
#[derive(Debug)]
pub(super) struct Space {
    geometry: Geometry,
    zero_pages: u64,
    pages_max: Option<u64>,
    segments: u32,
    ahead: Ahead,
    /// Segments that were given back, and how many pages of each, from its first on, own their room.
    free: BTreeMap<u32, u64>,
    reuse: Option<Reuse>,
    /// Segments that the log leaves to others where the device has a cap.
    reserve: u32,
    /// Others wait for a segment.
    others_wait: bool,
    others_refused: Option<DeviceError>,
    /// What is waited for: of the next run.
    wanted: Option<Need>,
    run: Option<Run>,
    zeroed: u64,
    /// What is waited for: pages of the run in use.
    zero_wanted: u64,
    busy: Option<Busy>,
    /// The device has refused something: nothing is asked for ahead of its use until it gives something again.
    sparing: bool,
    /// What was refused of the next run, segments or pages, while somebody waited for that much.
    run_refused: Option<(Need, DeviceError)>,
    /// The same of the run in use: how many of its pages.
    zero_refused: Option<(u64, DeviceError)>,
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
            ahead: Ahead::default(),
            free: BTreeMap::new(),
            reuse: None,
            reserve: 0,
            others_wait: false,
            others_refused: None,
            wanted: None,
            run: None,
            zeroed: 0,
            zero_wanted: 0,
            busy: None,
            sparing: false,
            run_refused: None,
            zero_refused: None,
        }
    }

    /// Somebody asks for the first time: what was refused before, while another waited, says nothing about now.
    pub(super) fn asked_anew(&mut self) {
        (self.run_refused, self.zero_refused) = (None, None);
    }

    /// The next run, when it is there with its first `pages` pages zero-filled; `None` while it is on its way. What is taken can
    /// be written at once, so a log never moves on to a run that the device then refuses.
    pub(super) fn take(&mut self, pages: u64) -> Result<Option<Run>, DeviceError> {
        let pages_wanted = u32::try_from(pages).expect("a commit set is at most 128 MiB");
        let need = Need { segments: self.geometry.run_for(pages_wanted), pages };
        self.wanted = None;
        if need.segments == 1 && self.reuse.is_none() && self.may_reuse() {
            self.reuse = self.free.pop_first().map(|(segment, zeroed)| Reuse { segment: SegmentId(segment), zeroed });
        }
        let reuse = self.reuse.filter(|_| need.segments == 1);
        if reuse.is_some_and(|reuse| reuse.zeroed >= pages) {
            return Ok(self.switch_to_free());
        }
        let ready = reuse.is_none() && self.ahead.segments >= need.segments && self.ahead.zeroed >= pages;
        if ready && self.leaves(need.segments) {
            return Ok(self.switch());
        }
        if let Some((refused, error)) = self.run_refused.take()
            && refused.segments <= need.segments
            && refused.pages <= need.pages
        {
            hit(Probe::RefusedToWhoWaits);
            return Err(error);
        }
        let more = need.segments.saturating_sub(self.ahead.segments);
        if reuse.is_none() && !(self.may_grow(more) && self.leaves(need.segments)) {
            return Err(DeviceError::NoSpace { errno: NO_SPACE_ERRNO });
        }
        self.wanted = Some(need);
        Ok(None)
    }

    /// A segment for somebody else than the log, when one is there; `None` while it is on its way.
    pub(super) fn take_other(&mut self) -> Result<Option<SegmentId>, DeviceError> {
        if let Some((segment, _)) = self.free.pop_first() {
            return Ok(Some(SegmentId(segment)));
        }
        if self.ahead.segments > 0 && !matches!(self.busy, Some(Busy::ZeroAhead { .. })) {
            let first = SegmentId(self.segments - self.ahead.segments);
            self.ahead.segments -= 1;
            self.ahead.zeroed = self.ahead.zeroed.saturating_sub(self.pages_of(1));
            return Ok(Some(first));
        }
        if let Some(error) = self.others_refused.take() {
            return Err(error);
        }
        if self.ahead.segments == 0 && !self.may_grow(1) {
            return Err(DeviceError::NoSpace { errno: NO_SPACE_ERRNO });
        }
        self.others_wait = true;
        Ok(None)
    }

    /// A segment is free, and its first `zeroed` pages own their room.
    pub(super) fn give(&mut self, segment: SegmentId, zeroed: u64) {
        let before = self.free.insert(segment.0, zeroed);
        assert!(before.is_none(), "segment {segment} was free already");
        self.others_wait = false;
    }

    /// A free segment of which pages own room, when there are more than `keep` free ones: its room can go back to the device. It is to be
    /// [given](Self::give) again.
    pub(super) fn take_spare(&mut self, keep: u32) -> Option<SegmentId> {
        if self.free() <= keep {
            return None;
        }
        let (&segment, _) = self.free.iter().rev().find(|(_, zeroed)| **zeroed > 0)?;
        self.free.remove(&segment);
        Some(SegmentId(segment))
    }

    /// Sets segments aside for others.
    pub(super) fn set_reserve(&mut self, segments: u32) {
        self.reserve = segments;
    }

    /// Segments that others are left with, when the device has a cap.
    fn reserved(&self) -> u32 {
        if self.pages_max.is_some() { self.reserve } else { 0 }
    }

    /// Whether the log may take a free segment.
    fn may_reuse(&self) -> bool {
        self.free() > 0 && self.free() + self.ahead.segments + self.growable() > self.reserved()
    }

    /// Whether others are left with what was set aside when the log takes so many new segments.
    fn leaves(&self, segments: u32) -> bool {
        self.free() + self.ahead.segments + self.growable() >= self.reserved() + segments || self.reserved() == 0
    }

    fn free(&self) -> u32 {
        u32::try_from(self.free.len()).expect("segments are counted in u32")
    }

    /// Segments that the cap still allows; as many as were set aside are enough to know where there is none.
    fn growable(&self) -> u32 {
        let Some(most) = self.pages_max else { return u32::MAX >> 1 };
        self.geometry.segments_in(most).saturating_sub(self.segments)
    }

    /// Makes the free segment the run in use.
    fn switch_to_free(&mut self) -> Option<Run> {
        if self.busy.is_some() {
            return None;
        }
        let Reuse { segment, zeroed } = self.reuse.take()?;
        hit(Probe::SegmentUsedAgain);
        Some(self.use_run(Run { segment, segments: 1, geometry: self.geometry, first_seq: 0 }, zeroed))
    }

    fn use_run(&mut self, run: Run, zeroed: u64) -> Run {
        self.run_refused = None;
        (self.run, self.zeroed) = (Some(run), zeroed);
        (self.zero_wanted, self.zero_refused) = (0, None);
        run
    }

    /// Makes the segments ahead the run in use.
    fn switch(&mut self) -> Option<Run> {
        // A request that still runs belongs to the run that is left; its completion must not count for the new one.
        if self.busy.is_some() {
            return None;
        }
        let Ahead { segments, zeroed } = core::mem::take(&mut self.ahead);
        let first = SegmentId(self.segments - segments);
        let run = Run { segment: first, segments, geometry: self.geometry, first_seq: 0 };
        if segments > 1 {
            hit(Probe::RunOfSegments);
        }
        Some(self.use_run(run, zeroed))
    }

    /// Whether the run is zero-filled up to page `end` of it; if not, it will be asked for.
    pub(super) fn zero_ahead(&mut self, end: u64) -> Result<bool, DeviceError> {
        if self.zeroed >= end {
            return Ok(true);
        }
        self.zero_wanted = 0;
        match self.zero_refused.take() {
            Some((refused, error)) if refused <= end => Err(error),
            Some(_) | None => {
                self.zero_wanted = end;
                Ok(false)
            }
        }
    }

    /// The next request, given how many pages of the run are used.
    pub(super) fn next_request(&mut self, used: u64) -> Option<Request> {
        if self.busy.is_some() {
            return None;
        }
        let wanted = self.wanted.filter(|need| need.segments > 1 || self.reuse.is_none());
        if let (Some(need), Some(Reuse { segment, zeroed })) = (self.wanted, self.reuse)
            && wanted.is_none()
            && zeroed < need.pages
        {
            // As with a new run: the first step at once, so that it is not asked for a page at a time.
            let step = if self.sparing { 0 } else { self.zero_pages };
            let through = need.pages.max(step).min(self.pages_of(1));
            self.busy = Some(Busy::ZeroReuse { through });
            let at = self.geometry.first_page(segment).plus(zeroed);
            return Some(Request::Zero { at, pages: through.saturating_sub(zeroed) });
        }
        if let Some(need) = wanted
            && need.segments > self.ahead.segments
        {
            return Some(self.grow(need.segments - self.ahead.segments));
        }
        if self.others_wait && self.ahead.segments == 0 && self.may_grow(1) {
            return Some(self.grow(1));
        }
        let Ahead { segments, zeroed } = self.ahead;
        let step = if self.sparing { 0 } else { self.zero_pages };
        let pages = wanted.map_or(0, |need| need.pages).max(step).min(self.pages_of(segments));
        if zeroed < pages {
            self.busy = Some(Busy::ZeroAhead { through: pages });
            let at = self.geometry.first_page(SegmentId(self.segments - segments)).plus(zeroed);
            return Some(Request::Zero { at, pages: pages - zeroed });
        }
        self.next_of_run(self.run?, used)
    }

    /// The next request for the run in use, or for the one behind it when that is nearly full.
    fn next_of_run(&mut self, run: Run, used: u64) -> Option<Request> {
        // The footer's page is part of what is zeroed last; the log itself never reaches it.
        let low = if self.sparing { 0 } else { (used + self.zero_pages / 2).min(run.pages()) };
        if self.zeroed < low.max(self.zero_wanted) {
            let least = self.zero_wanted.saturating_sub(self.zeroed);
            let step = if self.sparing { least } else { self.zero_pages.max(least) };
            let pages = step.min(run.pages() - self.zeroed);
            self.busy = Some(Busy::Zero { through: self.zeroed + pages });
            return Some(Request::Zero { at: run.start().plus(self.zeroed), pages });
        }
        let nearly_full = used * 4 > run.pages() * 3;
        let next = self.ahead.segments > 0 || self.reuse.is_some() || self.may_reuse();
        let grows = nearly_full && !self.sparing && self.wanted.is_none() && !next;
        if grows && self.may_grow(1) && self.leaves(1) { Some(self.grow(1)) } else { None }
    }

    fn grow(&mut self, segments: u32) -> Request {
        self.busy = Some(Busy::Grow { segments });
        Request::Grow { pages: self.pages_with(segments) }
    }

    /// Takes the completion of the one request under way.
    pub(super) fn completed(&mut self, result: Result<(), DeviceError>) {
        let busy = self.busy.take().expect("space has one request under way");
        self.sparing = result.is_err();
        match (busy, result) {
            (Busy::Grow { segments }, Ok(())) => {
                self.segments += segments;
                self.ahead.segments += segments;
                self.others_wait = false;
            }
            (Busy::ZeroReuse { through }, Ok(())) => {
                self.reuse.as_mut().expect("it waits for its zeros").zeroed = through;
            }
            (Busy::ZeroReuse { through }, Err(error)) => self.run_refuses(Need { segments: 0, pages: through }, error),
            (Busy::Zero { through }, Ok(())) => self.zeroed = through,
            (Busy::ZeroAhead { through }, Ok(())) => self.ahead.zeroed = through,
            (Busy::Grow { segments }, Err(error)) => {
                if core::mem::take(&mut self.others_wait) {
                    self.others_refused = Some(error);
                }
                self.run_refuses(Need { segments: self.ahead.segments + segments, pages: 0 }, error);
            }
            (Busy::ZeroAhead { through }, Err(error)) => self.run_refuses(Need { segments: 0, pages: through }, error),
            (Busy::Zero { through }, Err(error)) => {
                if self.zero_wanted >= through {
                    (self.zero_refused, self.zero_wanted) = (Some((through, error)), 0);
                } else {
                    hit(Probe::RefusedAhead);
                }
            }
        }
    }

    /// Keeps a refusal for whoever waits for so much. Who waits for less has not been refused yet.
    fn run_refuses(&mut self, refused: Need, error: DeviceError) {
        let Some(need) = self.wanted else { return hit(Probe::RefusedAhead) };
        if need.segments >= refused.segments && need.pages >= refused.pages {
            (self.run_refused, self.wanted) = (Some((refused, error)), None);
        } else {
            hit(Probe::RefusedAhead);
        }
    }

    pub(super) fn status(&self) -> SpaceStatus {
        SpaceStatus {
            segments: self.segments,
            segments_free: self.ahead.segments + self.free() + u32::from(self.reuse.is_some()),
            pages: self.pages_with(0),
            pages_max: self.pages_max,
        }
    }

    /// Pages of so many adjacent segments.
    fn pages_of(&self, segments: u32) -> u64 {
        if segments == 0 { 0 } else { u64::from(self.geometry.run_pages(segments)) }
    }

    fn pages_with(&self, more: u32) -> u64 {
        self.geometry.pages_for(self.segments + more)
    }

    /// Whether the cap allows so many segments more.
    fn may_grow(&self, more: u32) -> bool {
        more == 0 || self.pages_max.is_none_or(|most| self.pages_with(more) <= most)
    }
}

#[cfg(test)]
mod tests;
