//! What a slot of the hash index holds, in one of two widths.
//!
//! * [`Wide`]: 16 bytes, with 73 bits of a hash and any location. Two keys practically never share them, so a slot that matches
//!   stands for its key where only presence is asked for.
//! * [`Compact`]: 8 bytes, with 22 bits of a hash (a *tag*) and a location in the first 2^32 pages of a device: 16 TiB. An index
//!   of them begins with so many pages that their numbers give ten to sixteen bits more; still, a match is a candidate and no more.
//!
//! Contract: a slot that is made of an order and a location gives both back, the order as far as it is kept. All zero is empty.

use super::HashOrder;
use crate::index::{LOC_BITS, Loc};
use core::fmt::Debug;
use segments::page::PAGE_HEADER_BYTES;
use segments::place::RECORD_ALIGN;

/// Pages of a device that a compact slot tells apart: 16 TiB.
pub const COMPACT_PAGES_MAX: u64 = 1 << 32;

const LOC_MASK: u64 = (1 << LOC_BITS) - 1;
/// Bits of a compact slot's tag, in front of those of the page and of the code.
pub(super) const TAG_BITS: u32 = 64 - 32 - CODE_BITS;
/// Bits that tell where in its page a record starts, or of which size class it is: one that is longer than a page starts at the
/// page's payload. None of them is 0, which would be a record that starts in the page's header.
const CODE_BITS: u32 = 10;
/// Size classes begin here, behind the 512 starts in a page.
const CODE_OF_CLASS: u64 = 512;
/// A location's bits behind its page: nine of the start, six of the class.
const START_BITS: u32 = 9;
const CLASS_BITS: u32 = 6;
/// Where all that is longer than a page starts.
const LONG_STARTS: u64 = (PAGE_HEADER_BYTES / RECORD_ALIGN) as u64;

const _: () = assert!(CODE_OF_CLASS == 1 << START_BITS, "every start has a code");
const _: () = assert!(CODE_OF_CLASS + (1 << CLASS_BITS) <= 1 << CODE_BITS, "every class has a code");
const _: () = assert!(TAG_BITS == 22, "what 8 bytes have left beside a page and a code");
const _: () = assert!(LONG_STARTS > 0, "no record starts in the header of its page");

/// One slot. Orders are as the index hands them in: without the leading bits that all of its pages' numbers tell.
pub trait Slot: Copy + PartialEq + Default + Debug + 'static {
    /// Those of one cache line.
    type Line: AsRef<[Self]> + AsMut<[Self]> + Copy + Default + Debug;
    /// Slots of a cache line.
    const LINE_SLOTS: usize;
    /// Leading bits of an order that it keeps.
    const ORDER_BITS: u32;
    /// Whether one that matches may be taken for the key's own.
    const TRUSTED: bool;

    /// Of a pair.
    fn new(order: HashOrder, loc: Loc) -> Self;

    /// Of an order alone, to compare with.
    fn probe(order: HashOrder) -> Self;

    /// Which bits are to be the same in two that match, when of a fingerprint so many bits count: 64 for all.
    fn mask(fingerprint_bits: u8) -> Self;

    /// Whether both have the same bits where the mask says so.
    fn agrees(self, probe: Self, mask: Self) -> bool;

    /// Whether it is in use and agrees with the probe.
    fn matches(self, probe: Self, mask: Self) -> bool {
        self.agrees(probe, mask) && !self.is_empty()
    }

    /// Whether it is not in use.
    fn is_empty(self) -> bool;

    /// Its location.
    fn loc(self) -> Loc;

    /// As much of its order as it keeps, zeros behind that.
    fn order(self) -> HashOrder;

    /// The bits that choose its first bucket and how far on the second lies, in a page whose number tells `depth` bits.
    fn choices(self, depth: u32) -> (u32, u32);
}

/// A hash's 73 bits and a location: the first 64 bits; the last 9, then the location plus 1.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wide {
    high: u64,
    rest: u64,
}

impl Slot for Wide {
    type Line = [Self; 4];
    const LINE_SLOTS: usize = 4;
    const ORDER_BITS: u32 = 128 - LOC_BITS;
    const TRUSTED: bool = true;

    fn new(order: HashOrder, loc: Loc) -> Self {
        Self { high: order.high, rest: u64::from(order.low) << LOC_BITS | (loc.to_bits() + 1) }
    }

    fn probe(order: HashOrder) -> Self {
        Self { high: order.high, rest: u64::from(order.low) << LOC_BITS }
    }

    /// All 73 bits for 64; below that the low bits of the first word, which are the last to choose a page.
    fn mask(fingerprint_bits: u8) -> Self {
        match fingerprint_bits {
            64 => Self { high: u64::MAX, rest: !LOC_MASK },
            bits => Self { high: (1 << bits) - 1, rest: 0 },
        }
    }

    fn agrees(self, probe: Self, mask: Self) -> bool {
        (self.high ^ probe.high) & mask.high == 0 && (self.rest ^ probe.rest) & mask.rest == 0
    }

    fn is_empty(self) -> bool {
        self.rest & LOC_MASK == 0
    }

    fn loc(self) -> Loc {
        Loc::new((self.rest & LOC_MASK) - 1)
    }

    fn order(self) -> HashOrder {
        HashOrder { high: self.high, low: u16::try_from(self.rest >> LOC_BITS).expect("9 bits remain after the shift") }
    }

    fn choices(self, depth: u32) -> (u32, u32) {
        (leading(self.high << depth), trailing(self.high))
    }
}

/// A tag, a page and a code, from the most significant bit on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Compact(u64);

impl Compact {
    /// Whether it can hold a location: one in a page that it tells apart.
    #[must_use]
    pub fn reaches(loc: Loc) -> bool {
        loc.to_bits() >> (START_BITS + CLASS_BITS) < COMPACT_PAGES_MAX
    }
}

impl Slot for Compact {
    type Line = [Self; 8];
    const LINE_SLOTS: usize = 8;
    const ORDER_BITS: u32 = TAG_BITS;
    const TRUSTED: bool = false;

    fn new(order: HashOrder, loc: Loc) -> Self {
        let bits = loc.to_bits();
        let (page, start) = (bits >> (START_BITS + CLASS_BITS), bits >> CLASS_BITS & (CODE_OF_CLASS - 1));
        assert!(page < COMPACT_PAGES_MAX, "page {page} is past those of compact slots");
        let code = match bits & ((1 << CLASS_BITS) - 1) {
            0 => start,
            class => {
                assert!(start == LONG_STARTS, "what is longer than a page starts at its payload");
                CODE_OF_CLASS | class
            }
        };
        assert!(code > 0, "no record starts in the header of its page");
        Self(Self::probe(order).0 | page << CODE_BITS | code)
    }

    fn probe(order: HashOrder) -> Self {
        Self(order.high >> (64 - TAG_BITS) << (64 - TAG_BITS))
    }

    /// The whole tag, or its low bits, which are the last to choose a page.
    fn mask(fingerprint_bits: u8) -> Self {
        let bits = u32::from(fingerprint_bits).min(TAG_BITS);
        Self(((1 << bits) - 1) << (64 - TAG_BITS))
    }

    fn agrees(self, probe: Self, mask: Self) -> bool {
        (self.0 ^ probe.0) & mask.0 == 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn loc(self) -> Loc {
        let (page, code) = (self.0 >> CODE_BITS & (COMPACT_PAGES_MAX - 1), self.0 & ((1 << CODE_BITS) - 1));
        let (start, class) = if code < CODE_OF_CLASS { (code, 0) } else { (LONG_STARTS, code & (CODE_OF_CLASS - 1)) };
        Loc::new(page << (START_BITS + CLASS_BITS) | start << CLASS_BITS | class)
    }

    fn order(self) -> HashOrder {
        HashOrder { high: Self::probe(HashOrder { high: self.0, low: 0 }).0, low: 0 }
    }

    /// Both of all the bits that are left: they are few, and what parts two slots shall part their second buckets too.
    fn choices(self, depth: u32) -> (u32, u32) {
        let left = leading(self.order().high << depth);
        (left, left >> (32 - TAG_BITS))
    }
}

/// The first half of a word.
fn leading(word: u64) -> u32 {
    u32::try_from(word >> 32).expect("32 bits remain after the shift")
}

/// The second half of a word.
fn trailing(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).expect("masked to 32 bits")
}

#[cfg(test)]
mod tests;
