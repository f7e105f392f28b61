//! Orderly ends: written down, sometimes cut short, and what damage does to a store that has one.
//!
//! After an orderly end the store knows what must be there. So whatever page is damaged then, the next open has everything, or it
//! or the read that meets the damage says that something is damaged; nothing is missing in silence.

use super::Engine;
use super::gather::{Asking, STEPS_STUCK};
use super::life::{End, Life};
use super::world::World;
use crate::device::{Fault, FaultKind, Faults, SimDevice};
use crate::image::Image;
use crate::model::{Violation, violation};
use domains::{Driven, ErrorKind};
use segments::superblock::SUPERBLOCK_PAGES;
use segments::{Device, PAGE_BYTES};
use std::task::Poll;

/// Whether a page is a checkpoint's footer, by its magic and its kind.
fn is_footer(page: &[u8; PAGE_BYTES]) -> bool {
    page[8..12] == *b"lopg" && page[12] == 9
}

/// When it was written: by the incarnation, then by the sequence number.
fn age(page: &[u8; PAGE_BYTES]) -> (u32, u64) {
    let incarnation = page[20..24].try_into().expect("four bytes");
    let seq = page[32..40].try_into().expect("eight bytes");
    (u32::from_le_bytes(incarnation), u64::from_le_bytes(seq))
}

/// Damaged pages side by side, at most: two copies of the superblock may be among them, never three.
const PAGES_DAMAGED_MAX: u64 = 3;

impl<E: Engine> Life<'_, '_, E> {
    /// Ends in order, or is cut short by a power failure or an error while it does.
    pub(super) fn close(&mut self) -> Result<End, Violation> {
        let rng = &mut self.world.rng;
        match rng.below(6) {
            0 | 1 => self.device.crash_after(rng.below(10)),
            2 if self.world.options.faults => {
                let kind = *rng.pick(&[FaultKind::Write, FaultKind::Flush]);
                let fault = Fault::medium(kind, rng.below(4), rng.chance(1, 2));
                self.device.set_faults(Faults::plan(&[fault]));
            }
            _ => {}
        }
        for _ in 0..STEPS_STUCK {
            match self.domain.close() {
                Poll::Ready(Ok(())) if self.poisoned => return Ok(End::Kill),
                Poll::Ready(Ok(())) => return Ok(End::InOrder),
                Poll::Ready(Err(_)) if self.device.is_gone() || self.device.faults_given() > 0 => {
                    self.world.stats.ends_cut_short += 1;
                    return Ok(End::Kill);
                }
                Poll::Ready(Err(error)) => return violation(format!("an end failed: {error}")),
                Poll::Pending => {}
            }
            let (mut requests, mut done) = (Vec::new(), Vec::new());
            self.domain.take_requests(&mut requests);
            for (tag, request) in requests {
                self.device.submit(tag, request);
            }
            self.device.wait(&mut done);
            self.complete(done);
            if self.device.is_gone() {
                self.world.stats.ends_cut_short += 1;
                return Ok(End::Power);
            }
        }
        violation("an end never came".to_owned())
    }
}

impl<E: Engine> World<'_, E> {
    /// Damages a copy of a store that ended in order, and opens it.
    pub(super) fn check_damage(&mut self, image: &Image) -> Result<(), Violation> {
        let mut damaged = image.clone();
        let (first, pages) = self.damage(&mut damaged);
        let damage = format!("pages {first}+{pages} of {} damaged after an orderly end", image.pages());
        let (mut aside, mut clock) = (SimDevice::on(damaged, self.rng.next_u64()), self.clock.clone());
        let named = match self.engine.open(&mut aside, clock.now()) {
            Ok((mut domain, opened)) => {
                let mut asking = Asking { domain: &mut domain, device: &mut aside, clock: &mut clock };
                match asking.try_gather(100)? {
                    Ok(recovered) => {
                        let judged = self.model.judge(&recovered, opened.cut_of(self.incarnation));
                        judged.map_err(|Violation(what)| Violation(format!("{damage}: {what}")))?;
                        None
                    }
                    Err(error) => Some(error),
                }
            }
            Err(error) => Some(error),
        };
        match named {
            None => self.stats.damage_harmless += 1,
            Some(error) if error.kind() == ErrorKind::Corrupt => self.stats.damage_named += 1,
            Some(error) => return violation(format!("{damage}, and the error is {error}")),
        }
        Ok(())
    }

    /// Damages the last checkpoint of a store that ended in order: the one before it is kept for that, so nothing is lost, and nobody is
    /// told of any damage.
    pub(super) fn check_older_checkpoint(&mut self, image: &Image) -> Result<(), Violation> {
        let footers = (SUPERBLOCK_PAGES..image.pages()).filter(|page| is_footer(image.page(*page)));
        let mut footers: Vec<u64> = footers.collect();
        footers.sort_by_key(|page| age(image.page(*page)));
        let [.., _, newest] = footers[..] else { return Ok(()) };
        let mut damaged = image.clone();
        damaged.page_mut(newest)[100] ^= 1;
        let (mut aside, mut clock) = (SimDevice::on(damaged, newest), self.clock.clone());
        let what = |why: String| Violation(format!("the last checkpoint, page {newest}, is damaged: {why}"));
        let opened = self.engine.open(&mut aside, clock.now());
        let (mut domain, opened) = opened.map_err(|error| what(error.to_string()))?;
        let mut asking = Asking { domain: &mut domain, device: &mut aside, clock: &mut clock };
        let recovered = asking.try_gather(100)?.map_err(|error| what(error.to_string()))?;
        let judged = self.model.judge(&recovered, opened.cut_of(self.incarnation));
        judged.map_err(|Violation(why)| what(why))?;
        self.stats.older_served += 1;
        Ok(())
    }

    /// Damages a few pages: flipped bits, garbage, zeros, or what another page holds.
    fn damage(&mut self, image: &mut Image) -> (u64, u64) {
        let begin = if self.rng.chance(1, 8) { 0 } else { SUPERBLOCK_PAGES };
        // The last page that was written has nobody behind it who speaks of it: only the end does.
        let last = (begin..image.pages()).rev().find(|page| image.slot(*page).is_some());
        let anywhere = self.rng.between(begin, image.pages() - 1);
        let first = last.filter(|_| self.rng.chance(1, 2)).unwrap_or(anywhere);
        let pages = self.rng.between(1, PAGES_DAMAGED_MAX).min(image.pages() - first);
        for page in first..first + pages {
            let other = *image.page(self.rng.below(image.pages()));
            let bytes = image.page_mut(page);
            match self.rng.below(4) {
                0 => bytes[self.rng.index(bytes.len())] ^= 1 << self.rng.below(8),
                1 => self.rng.fill(bytes),
                2 => bytes.fill(0),
                _ => *bytes = other,
            }
        }
        (first, pages)
    }
}
