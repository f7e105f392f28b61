//! Every image that a power failure at this moment could leave, up to a bound.

use super::{Change, SimDevice, change_of};
use crate::image::{Fate, Image, SECTOR_BYTES, Slot};
use crate::rng::Rng;
use segments::PAGE_BYTES;
use std::sync::Arc;

/// Pending pages and growths whose subsets are all tried; of more, these are the last, with all or none of those before them.
const UNITS_MAX: usize = 8;
/// Sectors of a torn page whose subsets are all tried; of more, each one alone and all but each one.
const SECTORS_MAX: usize = 3;

/// One page of a change, or a growth, that may be there or not. A page of zeros that was punched is never torn into garbage.
enum Unit {
    Page { at: u64, slot: Slot, punched: bool },
    Grow { pages: u64 },
}

impl SimDevice {
    /// Shows every image that a power failure now could leave: each subset of what is not durable, and with the rest there each
    /// pending page torn. `garbage` says whether a torn sector of a write may also be neither old nor new.
    ///
    /// # Errors
    /// The first of `see`.
    pub fn power_failures<E>(&self, garbage: bool, see: &mut dyn FnMut(Image) -> Result<(), E>) -> Result<u64, E> {
        let units = self.units();
        let mut shown = 0;
        let mut show = |image: Image| {
            shown += 1;
            see(image)
        };
        let last = units.len().min(UNITS_MAX);
        let first = units.len() - last;
        let all: u32 = (1 << last) - 1;
        for kept in 0..=all {
            let keeps = |number: usize| number >= first && kept >> (number - first) & 1 == 1;
            show(self.image_of(&units, &keeps))?;
            if first > 0 {
                show(self.image_of(&units, &|number| number < first || keeps(number)))?;
            }
        }
        for (number, unit) in units.iter().enumerate() {
            let Unit::Page { at, slot, punched } = unit else { continue };
            let rest = self.image_of(&units, &|other| other != number);
            let alone = self.image_of(&units, &|other| matches!(units[other], Unit::Grow { .. }));
            for base in [rest, alone].into_iter().filter(|base| *at < base.pages()) {
                for torn in tears(base.page(*at), slot, garbage && !punched) {
                    let mut image = base.clone();
                    image.put(*at, Some(Arc::new(torn)));
                    show(image)?;
                }
            }
        }
        Ok(shown)
    }

    /// Changes that are not durable, in the order in which they were asked for.
    pub(super) fn pending(&self) -> Vec<Change> {
        let unflushed = self.unflushed.iter().map(|unflushed| unflushed.change.clone());
        let flying = self.flying.iter().filter_map(|flying| change_of(&flying.request));
        let interrupted = self.interrupted.iter().cloned();
        if self.gone { unflushed.chain(interrupted).collect() } else { unflushed.chain(flying).collect() }
    }

    /// What is not durable and would make a difference, in the order in which it was asked for.
    fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        for change in self.pending() {
            match change {
                Change::Grow { pages } if pages > self.durable.pages() => units.push(Unit::Grow { pages }),
                Change::Grow { .. } => {}
                Change::Pages { at, slots } => {
                    for (at, slot) in (at..).zip(slots) {
                        self.add_page(&mut units, at, slot, false);
                    }
                }
                Change::Punch { at, zeroed } => {
                    for at in at..at + zeroed.len() as u64 {
                        self.add_page(&mut units, at, None, true);
                    }
                }
            }
        }
        units
    }

    /// Adds a page of a change, if it makes a difference.
    fn add_page(&self, units: &mut Vec<Unit>, at: u64, slot: Slot, punched: bool) {
        let old = if at < self.durable.pages() { self.durable.slot(at).as_deref() } else { None };
        let pending = units.iter().any(|unit| matches!(unit, Unit::Page { at: other, .. } if *other == at));
        if pending || old != slot.as_deref() {
            units.push(Unit::Page { at, slot, punched });
        }
    }

    fn image_of(&self, units: &[Unit], keeps: &dyn Fn(usize) -> bool) -> Image {
        let mut image = self.durable.clone();
        let mut unused = Rng::new(0);
        for (_, unit) in units.iter().enumerate().filter(|(number, _)| keeps(*number)) {
            match unit {
                Unit::Grow { pages } => image.grow(*pages),
                Unit::Page { at, slot, .. } => image.put_by_fate(*at, slot, Fate::Keep, &mut unused),
            }
        }
        image
    }
}

/// A page with each subset of its changed sectors new, and with each changed sector garbage.
fn tears(old: &[u8; PAGE_BYTES], new: &Slot, garbage: bool) -> Vec<[u8; PAGE_BYTES]> {
    let new = new.as_deref().copied().unwrap_or([0; PAGE_BYTES]);
    let sector = |number: usize| number * SECTOR_BYTES..(number + 1) * SECTOR_BYTES;
    let changed: Vec<usize> = (0..PAGE_BYTES / SECTOR_BYTES).filter(|&at| old[sector(at)] != new[sector(at)]).collect();
    let subsets: Vec<u32> = if changed.len() <= SECTORS_MAX {
        (0..1 << changed.len()).collect()
    } else {
        let all = (1 << changed.len()) - 1;
        (0..changed.len()).flat_map(|number| [1 << number, all & !(1 << number)]).collect()
    };
    let with = |pick: &dyn Fn(usize) -> bool, from: &[u8; PAGE_BYTES]| {
        let mut page = *old;
        for (_, &at) in changed.iter().enumerate().filter(|(number, _)| pick(*number)) {
            page[sector(at)].copy_from_slice(&from[sector(at)]);
        }
        page
    };
    let mut torn: Vec<_> = subsets.iter().map(|subset| with(&|number| subset >> number & 1 == 1, &new)).collect();
    if garbage {
        let noise = [0xA5; PAGE_BYTES];
        torn.extend((0..changed.len()).map(|broken| with(&|number| number == broken, &noise)));
        torn.push(noise);
    }
    torn
}
