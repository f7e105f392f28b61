//! Every image that a power failure at this moment could leave, sector by sector as long as they are few, and else request by request.
//!
//! Contract: [`SimDevice::sectors_left`] shows each subset of the pending sectors when there are at most [`Bounds::sectors`] of
//! them. Of more it shows each subset of whole requests (of the last [`Bounds::requests`], with all and with none of those before
//! them), and each request torn, with all and with none of the others there: its first half, its last half, all of its sectors but
//! each one. A sector that a write leaves as it was is not pending: whether it was written makes no difference.

use super::{Change, SimDevice};
use crate::image::{Image, PageBytes, SECTOR_BYTES, Slot};
use crate::rng::Rng;
use segments::{Completion, PAGE_BYTES};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SECTORS: usize = PAGE_BYTES / SECTOR_BYTES;
const ZEROS: PageBytes = [0; PAGE_BYTES];

/// How many subsets are gone through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Pending sectors of which every subset is shown.
    pub sectors: usize,
    /// Pending requests of which every subset is shown, where there are more sectors.
    pub requests: usize,
}

/// What a power failure may leave: what is durable, but for these pages.
#[derive(Clone, Debug)]
pub struct Left<'d> {
    durable: &'d Image,
    /// The device's length in pages.
    pub pages: u64,
    /// The pages that are not as they were when all was durable.
    pub changed: BTreeMap<u64, PageBytes>,
}

impl Left<'_> {
    /// All of it.
    #[must_use]
    pub fn image(&self) -> Image {
        let mut image = self.durable.clone();
        image.grow(self.pages);
        for (at, page) in &self.changed {
            image.put(*at, Some(Arc::new(*page)));
        }
        image
    }
}

/// The least of what a power failure leaves there or missing.
struct Unit {
    request: usize,
    what: What,
}

enum What {
    Grow { pages: u64 },
    Sector { page: u64, number: usize, of: Slot },
}

impl SimDevice {
    /// What survives every power failure from now on.
    #[must_use]
    pub fn durable(&self) -> &Image {
        &self.durable
    }

    /// How many changes have completed and are not durable, and how many are under way.
    #[must_use]
    pub fn changes_pending(&self) -> (usize, usize) {
        let all = self.pending().len();
        (self.unflushed.len(), all - self.unflushed.len())
    }

    /// What a power failure leaves that takes whole requests: of those that are pending the ones that `keeps`, told their number
    /// and how many there are, says to be there.
    #[must_use]
    pub fn requests_left(&self, keeps: &dyn Fn(usize, usize) -> bool) -> Image {
        let units = self.sectors_pending();
        let all = self.pending().len();
        let grows = |unit: usize| matches!(units[unit].what, What::Grow { .. }) && keeps(all - 1, all);
        self.left_of(&units, &|unit| grows(unit) || keeps(units[unit].request, all)).image()
    }

    /// Completes the request in flight that was asked first, or last, if there is any.
    pub fn complete_in_order(&mut self, newest: bool, done: &mut Vec<Completion>) {
        let of_all = if newest { self.flying.len().checked_sub(1) } else { Some(0) };
        if let Some(chosen) = of_all.filter(|chosen| *chosen < self.flying.len()) {
            let flying = self.flying.remove(chosen);
            done.push(self.complete(flying));
        }
    }

    /// Ends the process that used the device, as [`SimDevice::kill`] does and without chance: what was in flight has landed, or it is
    /// lost; what a failed flush had left in doubt is lost. What is planned for the device stays planned.
    #[must_use]
    pub fn kill_with(self, landed: bool) -> Self {
        let (faults, fuse) = (self.faults.clone(), self.fuse);
        let left = self.end_process(&mut Rng::new(0), &mut |_, doubtful| landed && !doubtful);
        Self { faults, fuse, ..left }
    }

    /// Another device in the same state. Nothing may be in flight.
    ///
    /// # Panics
    /// If something is.
    #[must_use]
    pub fn copy(&self) -> Self {
        assert!(self.flying.is_empty(), "what is in flight belongs to one device");
        let mut copy = Self::on(self.durable.clone(), 0);
        (copy.view, copy.unflushed) = (self.view.clone(), self.unflushed.clone());
        (copy.changes, copy.rng, copy.buffered) = (self.changes, self.rng.clone(), self.buffered);
        copy
    }

    /// Shows what each power failure now could leave, within these bounds; answers how many there were.
    ///
    /// # Errors
    /// The first of `see`.
    pub fn sectors_left<E>(&self, bounds: Bounds, see: &mut dyn FnMut(&Left<'_>) -> Result<(), E>) -> Result<u64, E> {
        let units = self.sectors_pending();
        let mut shown = 0;
        let mut show = |keeps: &dyn Fn(usize) -> bool| {
            shown += 1;
            see(&self.left_of(&units, keeps))
        };
        if units.len() <= bounds.sectors {
            for kept in 0..1u64 << units.len() {
                show(&|unit| kept >> unit & 1 == 1)?;
            }
            return Ok(shown);
        }
        let requests: Vec<usize> = units.iter().map(|unit| unit.request).collect::<BTreeSet<_>>().into_iter().collect();
        let place = |unit: usize| requests.binary_search(&units[unit].request).expect("its request is in the list");
        let first = requests.len().saturating_sub(bounds.requests);
        for kept in 0..1u64 << (requests.len() - first) {
            let keeps = |unit: usize| place(unit) >= first && kept >> (place(unit) - first) & 1 == 1;
            show(&keeps)?;
            if first > 0 {
                show(&|unit| place(unit) < first || keeps(unit))?;
            }
        }
        for request in requests {
            let of: Vec<usize> = (0..units.len()).filter(|unit| units[*unit].request == request).collect();
            for torn in tears(&of) {
                for others in [true, false] {
                    show(&|unit| {
                        let grows = matches!(units[unit].what, What::Grow { .. });
                        if units[unit].request == request { torn.contains(&unit) } else { others || grows }
                    })?;
                }
            }
        }
        Ok(shown)
    }

    /// What is not durable and would make a difference, in the order in which it was asked for.
    fn sectors_pending(&self) -> Vec<Unit> {
        let (mut units, mut written) = (Vec::new(), BTreeSet::new());
        for (request, change) in self.pending().into_iter().enumerate() {
            match change {
                Change::Grow { pages } if pages > self.durable.pages() => {
                    units.push(Unit { request, what: What::Grow { pages } });
                }
                Change::Grow { .. } => {}
                Change::Pages { at, slots } => {
                    for (page, of) in (at..).zip(slots) {
                        self.add_sectors(&mut units, &mut written, (request, page), &of);
                    }
                }
                // A punch has made each sector zeros or not.
                Change::Punch { at, zeroed } => {
                    for page in at..at + zeroed.len() as u64 {
                        self.add_sectors(&mut units, &mut written, (request, page), &None);
                    }
                }
            }
        }
        units
    }

    /// Adds the sectors of a page that differ from what is durable, or that were written already.
    fn add_sectors(
        &self,
        units: &mut Vec<Unit>,
        written: &mut BTreeSet<(u64, usize)>,
        (request, page): (usize, u64),
        of: &Slot,
    ) {
        let new = of.as_deref().unwrap_or(&ZEROS);
        let old = if page < self.durable.pages() { self.durable.page(page) } else { &ZEROS };
        for number in 0..SECTORS {
            let bytes = number * SECTOR_BYTES..(number + 1) * SECTOR_BYTES;
            if old[bytes.clone()] != new[bytes] || written.contains(&(page, number)) {
                written.insert((page, number));
                units.push(Unit { request, what: What::Sector { page, number, of: of.clone() } });
            }
        }
    }

    fn left_of(&self, units: &[Unit], keeps: &dyn Fn(usize) -> bool) -> Left<'_> {
        let mut left = Left { durable: &self.durable, pages: self.durable.pages(), changed: BTreeMap::new() };
        for (_, unit) in units.iter().enumerate().filter(|(number, _)| keeps(*number)) {
            match &unit.what {
                What::Grow { pages } => left.pages = left.pages.max(*pages),
                // The growth that was to make room for it is missing.
                What::Sector { page, .. } if *page >= left.pages => {}
                What::Sector { page, number, of } => {
                    let old = || if *page < self.durable.pages() { *self.durable.page(*page) } else { ZEROS };
                    let bytes = number * SECTOR_BYTES..(number + 1) * SECTOR_BYTES;
                    let into = left.changed.entry(*page).or_insert_with(old);
                    into[bytes.clone()].copy_from_slice(&of.as_deref().unwrap_or(&ZEROS)[bytes]);
                }
            }
        }
        left
    }
}

/// A request of which these units are pending, torn.
fn tears(of: &[usize]) -> Vec<BTreeSet<usize>> {
    let half = of.len() / 2;
    let but = |left_out: &usize| of.iter().copied().filter(|unit| unit != left_out).collect();
    if of.len() < 2 {
        return Vec::new();
    }
    let halves = [of[..half].iter().copied().collect(), of[half..].iter().copied().collect()];
    halves.into_iter().chain(of.iter().map(but)).collect()
}
