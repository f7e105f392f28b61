//! Punched pages: each sector is zeros or what was there, as chance has it.
//!
//! Invariant: a sector of a punched page is never anything else, torn or not: a punch moves no bytes that could go wrong on the way.

use crate::image::{Fate, Image, SECTOR_BYTES};
use crate::rng::Rng;
use segments::PAGE_BYTES;

/// The sectors of a page that are zeros: the lowest bit is the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Zeroed(u8);

const _: () = assert!(PAGE_BYTES / SECTOR_BYTES == 8, "a sector a bit");

impl Zeroed {
    const NONE: Self = Self(0);
    const ALL: Self = Self(u8::MAX);

    /// What has become of a page.
    fn draw(rng: &mut Rng) -> Self {
        match rng.below(4) {
            0 => Self::NONE,
            1 => Self::ALL,
            _ => Self(rng.next_u64().to_le_bytes()[0]),
        }
    }

    /// What has become of so many pages. That all are alike is what real devices do, so it is made common.
    pub(super) fn draw_each(pages: u64, rng: &mut Rng) -> Vec<Self> {
        match rng.below(4) {
            0 => (0..pages).map(|_| Self::NONE).collect(),
            1 => Self::all(pages),
            _ => (0..pages).map(|_| Self::draw(rng)).collect(),
        }
    }

    /// So many pages, all zeros.
    pub(super) fn all(pages: u64) -> Vec<Self> {
        (0..pages).map(|_| Self::ALL).collect()
    }

    /// Makes these sectors of page `at` zeros. Past the end there is nothing to do: the growth that made the page was lost.
    pub(super) fn apply(self, image: &mut Image, at: u64) {
        if self == Self::NONE || at >= image.pages() || image.slot(at).is_none() {
            return;
        }
        let page = image.page_mut(at);
        for (sector, bytes) in page.chunks_mut(SECTOR_BYTES).enumerate() {
            if self.0 >> sector & 1 == 1 {
                bytes.fill(0);
            }
        }
        if page.iter().all(|byte| *byte == 0) {
            image.put(at, None);
        }
    }

    /// What a power failure leaves of page `at`: what reads saw last, what was there before, or each sector by itself.
    pub(super) fn apply_by_fate(self, image: &mut Image, at: u64, fate: Fate, rng: &mut Rng) {
        match fate {
            Fate::Keep => self.apply(image, at),
            Fate::Drop => {}
            Fate::Tear => Self::draw(rng).apply(image, at),
        }
    }
}
