//! A device whose every liberty is taken: completions in any order, late, and after a power failure any mixture of what was not
//! flushed.
//!
//! Contract: it is a [`Device`] and nothing an engine can see tells it from another. [`SimDevice::crash`] is a power failure
//! and leaves an [`Image`]; [`SimDevice::kill`] is the end of a process and leaves a device that still holds its unflushed writes;
//! [`SimDevice::minimal_image`] is the worst that a power failure could leave at this moment: what was promised and no more.
//!
//! Invariants: `durable` + `unflushed`, applied in order, = `view`; a flush makes durable what had completed when the flush was
//! *submitted*; overlapping writes in flight, and whatever overlaps a punch in flight, are a mistake of the engine and end the run;
//! once gone, always gone.
//!
//! Each sector of a punched page is zeros or what was there: chosen by chance, anew at any read until a flush has covered the punch,
//! and once more at a power failure before that.

mod faults;
mod mood;
mod punched;
mod sectors;
mod states;
#[cfg(test)]
mod tests;

pub use faults::{Fault, FaultKind, Faults};
pub use sectors::{Bounds, Left};

use crate::image::{Fate, Image, PageBytes, Slot};
use crate::rng::Rng;
use crate::trace::Trace;
use mood::Mood;
use punched::Zeroed;
use segments::{Completion, Device, DeviceError, Frames, PAGE_BYTES, PageNo, Request, Tag};
use std::sync::Arc;

/// Requests of each kind that a device has completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Reads.
    pub reads: u64,
    /// Pages read.
    pub pages_read: u64,
    /// Writes and zeroings.
    pub writes: u64,
    /// Punches.
    pub punches: u64,
    /// Flushes.
    pub flushes: u64,
    /// All of them, growths included.
    pub requests: u64,
}

/// A change that completed and is not durable.
#[derive(Clone, Debug)]
struct Unflushed {
    change: Change,
    /// A flush that covered it has failed: no later flush can be believed about it.
    doubtful: bool,
    /// Its number among all changes of the device.
    number: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Pages { at: u64, slots: Vec<Slot> },
    Grow { pages: u64 },
    Punch { at: u64, zeroed: Vec<Zeroed> },
}

#[derive(Debug)]
struct Flying {
    tag: Tag,
    request: Request,
    /// For a flush: changes numbered below this are covered.
    covers: u64,
}

/// A simulated device.
#[derive(Debug)]
pub struct SimDevice {
    durable: Image,
    unflushed: Vec<Unflushed>,
    view: Image,
    flying: Vec<Flying>,
    /// What was in flight when the power failed.
    interrupted: Vec<Change>,
    changes: u64,
    faults: Faults,
    /// Requests that were given errors: what they were, and the first page of those that write.
    struck: Vec<(FaultKind, Option<PageBytes>)>,
    rng: Rng,
    trace: Trace,
    counts: Counts,
    /// Requests that may still complete before the power fails.
    fuse: Option<u64>,
    /// The same, once something other than a read is asked.
    fuse_behind_reads: Option<u64>,
    gone: bool,
    buffered: bool,
}

impl SimDevice {
    /// A device of `pages` zeroed pages.
    #[must_use]
    pub fn new(pages: u64, seed: u64) -> Self {
        Self::on(Image::zeroed(pages), seed)
    }

    /// A device that holds `image`, all of it durable.
    #[must_use]
    pub fn on(image: Image, seed: u64) -> Self {
        Self {
            view: image.clone(),
            durable: image,
            unflushed: Vec::new(),
            flying: Vec::new(),
            interrupted: Vec::new(),
            changes: 0,
            faults: Faults::none(),
            struck: Vec::new(),
            rng: Rng::new(seed),
            trace: Trace::new(),
            counts: Counts::default(),
            fuse: None,
            fuse_behind_reads: None,
            gone: false,
            buffered: false,
        }
    }

    /// Has reads go through a cache that a failed flush leaves as it was: the next process sees what the medium has not.
    /// No engine survives that (the protocol's mutant 21); it is why a device is read directly.
    pub fn set_buffered(&mut self) {
        self.buffered = true;
    }

    /// Plans errors.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Lets the power fail when `requests` more have completed; everything later is answered `Gone`.
    pub fn crash_after(&mut self, requests: u64) {
        self.fuse = Some(requests);
    }

    /// Lets the power fail when, from the first request on that is no read, `requests` more have completed.
    pub fn crash_after_reads(&mut self, requests: u64) {
        self.fuse_behind_reads = Some(requests);
    }

    /// Forgets a planned power failure.
    pub fn crash_never(&mut self) {
        self.fuse = None;
        self.fuse_behind_reads = None;
    }

    /// Whether the power has failed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Hash of all that was asked and done so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// What it has done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What the planned errors have come to: how many were given.
    #[must_use]
    pub fn faults_given(&self) -> u64 {
        self.faults.given()
    }

    /// Each request that was given an error, and the first page of one that writes.
    #[must_use]
    pub fn struck(&self) -> &[(FaultKind, Option<PageBytes>)] {
        &self.struck
    }

    /// What reads see now, were they to complete at once.
    #[must_use]
    pub fn view(&self) -> &Image {
        &self.view
    }

    /// Lets the power fail now, and chooses what is left. The device is gone afterwards.
    pub fn crash(&mut self, rng: &mut Rng) -> Image {
        if !self.gone {
            self.fail_power();
        }
        let mut changes: Vec<_> = self.unflushed.iter().map(|unflushed| unflushed.change.clone()).collect();
        // Requests in flight do not overlap, so their order among themselves means nothing.
        changes.extend(self.interrupted.iter().cloned());
        let mut image = self.durable.clone();
        let mood = Mood::draw(changes.len(), rng);
        for (position, change) in changes.iter().enumerate() {
            match change {
                Change::Grow { pages } => {
                    if mood.fate(position, rng) == Fate::Keep {
                        image.grow(*pages);
                    }
                }
                Change::Pages { at, slots } => {
                    for (offset, slot) in slots.iter().enumerate() {
                        let fate = mood.fate(position, rng);
                        image.put_by_fate(at + offset as u64, slot, fate, rng);
                    }
                }
                Change::Punch { at, zeroed } => {
                    for (at, zeroed) in (*at..).zip(zeroed) {
                        let fate = mood.fate(position, rng);
                        zeroed.apply_by_fate(&mut image, at, fate, rng);
                    }
                }
            }
        }
        image
    }

    /// Ends the process that used the device: what was in flight has landed or is lost, each by chance, what had completed can be
    /// read and is as volatile as before. The device's lock kept the next opener waiting until nothing was in flight.
    ///
    /// What a failed flush had left in doubt is decided now: reads of the next process see what the medium holds.
    #[must_use]
    pub fn kill(self, rng: &mut Rng) -> Self {
        self.end_process(rng, &mut |rng, _| rng.chance(1, 2))
    }

    fn end_process(mut self, rng: &mut Rng, lands: &mut dyn FnMut(&mut Rng, bool) -> bool) -> Self {
        let unflushed = std::mem::take(&mut self.unflushed);
        self.view = self.durable.clone();
        for Unflushed { change, doubtful, .. } in unflushed {
            if self.buffered {
                self.land(change);
                self.unflushed.last_mut().expect("it has just landed").doubtful = doubtful;
            } else if !doubtful || lands(rng, true) {
                self.land(change);
            }
        }
        for flying in std::mem::take(&mut self.flying) {
            if let Some(change) = change_of(&flying.request)
                && lands(rng, false)
            {
                self.land(change);
            }
        }
        self.rng = rng.fork();
        self.faults = Faults::none();
        self.crash_never();
        self
    }

    /// The least that a power failure now may leave: everything unflushed is missing.
    #[must_use]
    pub fn minimal_image(&self) -> Image {
        self.durable.clone()
    }

    /// Completes one request in flight, if there is any: the smallest step that a device can make.
    pub fn complete_next(&mut self, done: &mut Vec<Completion>) {
        if !self.flying.is_empty() {
            done.push(self.complete_one());
        }
    }

    fn fail_power(&mut self) {
        assert!(!self.gone, "the power fails once");
        self.gone = true;
        self.interrupted = self.flying.iter().filter_map(|flying| change_of(&flying.request)).collect();
    }

    /// Completes one request in flight, chosen by chance.
    fn complete_one(&mut self) -> Completion {
        if !self.gone && self.fuse == Some(0) {
            self.fail_power();
        }
        let chosen = self.rng.index(self.flying.len());
        let flying = self.flying.swap_remove(chosen);
        self.complete(flying)
    }

    fn complete(&mut self, flying: Flying) -> Completion {
        if self.gone {
            return gone(flying);
        }
        self.fuse = self.fuse.map(|left| left - 1);
        self.trace.note(flying.tag.0);
        let (frames, result) = self.perform(flying.request, flying.covers);
        self.trace.note(u64::from(result.is_ok()));
        Completion { tag: flying.tag, frames, result }
    }

    fn perform(&mut self, request: Request, covers: u64) -> (Option<Frames>, Result<(), DeviceError>) {
        self.counts.requests += 1;
        let kind = FaultKind::of(&request);
        let failure = self.faults.next(kind);
        if failure.is_some() {
            let page = if let Request::Write { frames, .. } = &request { Some(*frames.page(0)) } else { None };
            self.struck.push((kind, page));
        }
        match request {
            Request::Read { at, mut frames } => {
                self.counts.reads += 1;
                self.counts.pages_read += frames.pages() as u64;
                let result = failure.map_or_else(|| self.read(at.0, &mut frames), Err);
                (Some(frames), result)
            }
            Request::Write { at, frames } => {
                self.counts.writes += 1;
                let result = self.change(at.0, slots_of(&frames), failure);
                (Some(frames), result)
            }
            Request::Zero { at, pages } => {
                self.counts.writes += 1;
                let slots = vec![None; usize::try_from(pages).expect("a simulated device fits memory")];
                (None, self.change(at.0, slots, failure))
            }
            Request::Grow { pages } => {
                if failure.is_none() && pages > self.view.pages() {
                    self.land(Change::Grow { pages });
                }
                (None, failure.map_or(Ok(()), Err))
            }
            Request::Punch { at, pages } => {
                self.counts.punches += 1;
                (None, self.punch(at.0, pages, failure))
            }
            Request::Flush => {
                self.counts.flushes += 1;
                (None, self.flush(covers, failure))
            }
        }
    }

    fn read(&mut self, at: u64, frames: &mut Frames) -> Result<(), DeviceError> {
        let pages = frames.pages();
        self.check_inside(at, pages as u64)?;
        self.redraw_punched(at, at + pages as u64);
        for index in 0..pages {
            frames.page_mut(index).copy_from_slice(self.view.page(at + index as u64));
        }
        Ok(())
    }

    fn change(&mut self, at: u64, slots: Vec<Slot>, failure: Option<DeviceError>) -> Result<(), DeviceError> {
        self.check_inside(at, slots.len() as u64)?;
        let Some(error) = failure else {
            self.land(Change::Pages { at, slots });
            return Ok(());
        };
        // Nobody knows what a failed write has done: some pages are there, some not, some in part.
        for (offset, slot) in slots.iter().enumerate() {
            let at = at + offset as u64;
            let fate = *self.rng.pick(&[Fate::Keep, Fate::Drop, Fate::Tear]);
            let mut rng = self.rng.fork();
            self.view.put_by_fate(at, slot, fate, &mut rng);
            let landed = self.view.slot(at).clone();
            self.note_unflushed(Change::Pages { at, slots: vec![landed] });
        }
        Err(error)
    }

    fn punch(&mut self, at: u64, pages: u64, failure: Option<DeviceError>) -> Result<(), DeviceError> {
        self.check_inside(at, pages)?;
        // A failed one has changed nothing, or some of it.
        if failure.is_none() || self.rng.chance(1, 2) {
            let zeroed = Zeroed::draw_each(pages, &mut self.rng);
            self.land(Change::Punch { at, zeroed });
        }
        failure.map_or(Ok(()), Err)
    }

    /// Chooses anew what punches that no flush has covered have made of these pages: a read may see the one or the other.
    fn redraw_punched(&mut self, at: u64, end: u64) {
        let mut redrawn = Vec::new();
        for unflushed in &mut self.unflushed {
            let Change::Punch { at: first, zeroed } = &mut unflushed.change else { continue };
            let pages = zeroed.len() as u64;
            if *first < end && at < *first + pages && self.rng.chance(1, 2) {
                *zeroed = Zeroed::draw_each(pages, &mut self.rng);
                redrawn.push((*first, *first + pages));
            }
        }
        for (first, end) in redrawn {
            for page in first..end {
                let durable = (page < self.durable.pages()).then(|| self.durable.slot(page).clone());
                self.view.put(page, durable.flatten());
                self.unflushed.iter().for_each(|unflushed| apply_to_page(&mut self.view, &unflushed.change, page));
            }
        }
    }

    fn flush(&mut self, covers: u64, failure: Option<DeviceError>) -> Result<(), DeviceError> {
        if let Some(error) = failure {
            for unflushed in self.unflushed.iter_mut().filter(|unflushed| unflushed.number < covers) {
                // A file's length is kept by the file system, not by the medium's cache: a failed flush does not shorten it.
                unflushed.doubtful = matches!(unflushed.change, Change::Pages { .. } | Change::Punch { .. });
            }
            return Err(error);
        }
        let (covered, left) = std::mem::take(&mut self.unflushed)
            .into_iter()
            .partition::<Vec<_>, _>(|unflushed| unflushed.number < covers && !unflushed.doubtful);
        self.unflushed = left;
        for unflushed in covered {
            apply(&mut self.durable, &unflushed.change);
        }
        Ok(())
    }

    /// A change has reached the device's cache.
    fn land(&mut self, change: Change) {
        apply(&mut self.view, &change);
        self.note_unflushed(change);
    }

    fn note_unflushed(&mut self, change: Change) {
        self.unflushed.push(Unflushed { change, doubtful: false, number: self.changes });
        self.changes += 1;
    }

    fn check_inside(&self, at: u64, pages: u64) -> Result<(), DeviceError> {
        let end = self.view.pages();
        if at + pages > end {
            return Err(DeviceError::PastEnd { page: at.max(end), end });
        }
        Ok(())
    }

    /// Overlapping writes in flight have no defined outcome on any device, nor has a read of what is being punched.
    fn assert_alone(&self, request: &Request) {
        let Some((touch, at, pages)) = touched(request) else { return };
        for flying in &self.flying {
            if let Some((other_touch, other, other_pages)) = touched(&flying.request) {
                let apart = at + pages <= other || other + other_pages <= at;
                assert!(
                    apart || touch.may_overlap(other_touch),
                    "{touch:?} of pages {at}+{pages} while {other_touch:?} of {other}+{other_pages} is in flight"
                );
            }
        }
    }

    fn note_request(&mut self, tag: Tag, request: &Request) {
        self.trace.note(tag.0);
        match request {
            Request::Read { at, frames } => self.trace.note(at.0 << 16 | frames.pages() as u64),
            Request::Write { at, frames } => {
                self.trace.note(at.0 << 16);
                self.trace.note_bytes(frames.bytes());
            }
            Request::Flush => self.trace.note(1),
            Request::Grow { pages } => self.trace.note(pages << 2 | 2),
            Request::Zero { at, pages } => self.trace.note(at.0 << 20 | pages << 2 | 3),
            Request::Punch { at, pages } => {
                self.trace.note(4);
                self.trace.note(at.0 << 20 | pages);
            }
        }
    }
}

impl Device for SimDevice {
    fn pages(&self) -> u64 {
        self.view.pages()
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        let end = self.view.pages();
        PageNo((at.0..end).find(|page| self.view.slot(*page).is_some()).unwrap_or(end.max(at.0)))
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        assert!(self.flying.iter().all(|flying| flying.tag != tag), "{tag:?} is in flight already");
        self.assert_alone(&request);
        self.note_request(tag, &request);
        if !matches!(request, Request::Read { .. }) {
            self.fuse = self.fuse_behind_reads.take().or(self.fuse);
        }
        self.flying.push(Flying { tag, request, covers: self.changes });
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        let ready = self.rng.below(self.flying.len() as u64 + 1);
        for _ in 0..ready {
            done.push(self.complete_one());
        }
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        if !self.flying.is_empty() {
            done.push(self.complete_one());
            self.poll(done);
        }
    }

    fn in_flight(&self) -> usize {
        self.flying.len()
    }
}

fn apply(image: &mut Image, change: &Change) {
    match change {
        Change::Grow { pages } => image.grow(*pages),
        Change::Pages { at, slots } => {
            image.grow(at + slots.len() as u64);
            for (offset, slot) in slots.iter().enumerate() {
                image.put(at + offset as u64, slot.clone());
            }
        }
        Change::Punch { at, zeroed } => (*at..).zip(zeroed).for_each(|(at, zeroed)| zeroed.apply(image, at)),
    }
}

/// As [`apply`], to one page alone.
fn apply_to_page(image: &mut Image, change: &Change, page: u64) {
    let index_in = |at: u64| page.checked_sub(at).and_then(|index| usize::try_from(index).ok());
    match change {
        Change::Grow { .. } => {}
        Change::Pages { at, slots } => {
            if let Some(slot) = index_in(*at).and_then(|index| slots.get(index)) {
                image.put(page, slot.clone());
            }
        }
        Change::Punch { at, zeroed } => {
            if let Some(zeroed) = index_in(*at).and_then(|index| zeroed.get(index)) {
                zeroed.apply(image, page);
            }
        }
    }
}

/// What a request would change.
fn change_of(request: &Request) -> Option<Change> {
    match request {
        Request::Write { at, frames } => Some(Change::Pages { at: at.0, slots: slots_of(frames) }),
        Request::Zero { at, pages } => {
            let pages = usize::try_from(*pages).expect("a simulated device fits memory");
            Some(Change::Pages { at: at.0, slots: vec![None; pages] })
        }
        Request::Grow { pages } => Some(Change::Grow { pages: *pages }),
        Request::Punch { at, pages } => Some(Change::Punch { at: at.0, zeroed: Zeroed::all(*pages) }),
        Request::Read { .. } | Request::Flush => None,
    }
}

/// What a request does with its pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Touch {
    Read,
    Write,
    Punch,
}

impl Touch {
    /// Whether two requests for the same pages may be in flight together. A read beside a write is given some of both.
    fn may_overlap(self, other: Self) -> bool {
        match (self, other) {
            (Self::Read, Self::Read | Self::Write) | (Self::Write, Self::Read) => true,
            (Self::Write, Self::Write) | (Self::Punch, _) | (_, Self::Punch) => false,
        }
    }
}

/// The pages that a request is about, and what it does with them.
fn touched(request: &Request) -> Option<(Touch, u64, u64)> {
    match request {
        Request::Read { at, frames } => Some((Touch::Read, at.0, frames.pages() as u64)),
        Request::Write { at, frames } => Some((Touch::Write, at.0, frames.pages() as u64)),
        Request::Zero { at, pages } => Some((Touch::Write, at.0, *pages)),
        Request::Punch { at, pages } => Some((Touch::Punch, at.0, *pages)),
        Request::Flush | Request::Grow { .. } => None,
    }
}

fn slots_of(frames: &Frames) -> Vec<Slot> {
    static ZEROES: PageBytes = [0; PAGE_BYTES];
    let slot = |page: &PageBytes| (*page != ZEROES).then(|| Arc::new(*page));
    (0..frames.pages()).map(|index| slot(frames.page(index))).collect()
}

fn gone(flying: Flying) -> Completion {
    let frames = match flying.request {
        Request::Read { frames, .. } | Request::Write { frames, .. } => Some(frames),
        Request::Flush | Request::Grow { .. } | Request::Zero { .. } | Request::Punch { .. } => None,
    };
    Completion { tag: flying.tag, frames, result: Err(DeviceError::Gone) }
}

const _: () = assert!(PAGE_BYTES.is_multiple_of(crate::image::SECTOR_BYTES), "a page is a whole number of sectors");
