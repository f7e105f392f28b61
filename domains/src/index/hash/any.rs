//! The hash index of a table, in the width that its type asks for.
//!
//! Contract: the two answer alike but for the strangers among their candidates; which it is never changes what a table answers.

use super::page::Candidates;
use super::slot::{Compact, Wide};
use super::{HashOrder, KeyHash, PAGE_SLOTS, SlotIndex};
use crate::index::Loc;

/// The index of wide slots: 16 bytes each.
pub type HashIndex = SlotIndex<Wide>;
/// The index of compact slots: 8 bytes each.
pub type CompactIndex = SlotIndex<Compact>;

/// Fewest leading bits that the pages' numbers of a compact index tell: with its tag 32 bits of a hash. The 1,024 pages have
/// 32 KiB of directory.
const SKIP_MIN: u32 = 10;
/// The most: 38 bits of a hash, and 2 MiB of directory, so that a hint that is far too large costs no more.
const SKIP_MAX: u32 = 16;
/// Where nobody said how many pairs there will be: 34 bits, and a stranger in one lookup of 17,000 at a million pairs.
const SKIP_UNKNOWN: u32 = 12;

impl HashIndex {
    /// Empty.
    ///
    /// # Panics
    /// Unless `fingerprint_bits` is 1 to 64: the configuration was checked when it was taken.
    #[must_use]
    pub fn new(fingerprint_bits: u8) -> Self {
        Self::with_pages(fingerprint_bits, 0)
    }

    /// The same pairs in compact slots, for about so many. Each page's memory is given back before the next is looked at.
    ///
    /// # Panics
    /// If a location is not one that compact slots [reach](Compact::reaches).
    #[must_use]
    pub fn narrowed(mut self, pairs_hint: u64) -> CompactIndex {
        let mut compact = CompactIndex::for_pairs(self.fingerprint_bits, pairs_hint);
        let mut slots = Vec::new();
        while self.dismantle_ordered(&mut slots) {
            slots.drain(..).for_each(|(order, loc)| compact.insert(order, loc));
        }
        compact
    }
}

impl CompactIndex {
    /// Empty, for about so many pairs; 0 when nobody knows. However wrong that is, it costs memory or reads and nothing else.
    ///
    /// # Panics
    /// Unless `fingerprint_bits` is 1 to 64: the configuration was checked when it was taken.
    #[must_use]
    pub fn for_pairs(fingerprint_bits: u8, pairs_hint: u64) -> Self {
        let pages = (pairs_hint / PAGE_SLOTS as u64).max(1);
        let skip = if pairs_hint == 0 { SKIP_UNKNOWN } else { pages.ilog2().clamp(SKIP_MIN, SKIP_MAX) };
        Self::with_pages(fingerprint_bits, skip)
    }
}

impl CompactIndex {
    /// Empty, as one that has said that it is of so many [leading bits](AnyHashIndex::skip); none for a number that no index has.
    #[must_use]
    pub fn with_skip(fingerprint_bits: u8, skip: u8) -> Option<Self> {
        let skip = u32::from(skip);
        (SKIP_MIN..=SKIP_MAX).contains(&skip).then(|| Self::with_pages(fingerprint_bits, skip))
    }
}

/// The index of a table.
#[derive(Debug)]
pub enum AnyHashIndex {
    /// Of wide slots.
    Wide(HashIndex),
    /// Of compact slots.
    Compact(CompactIndex),
}

/// What [`AnyHashIndex::candidates`] gives.
#[derive(Debug)]
pub enum AnyCandidates<'a> {
    /// Of wide slots.
    Wide(Candidates<'a, Wide>),
    /// Of compact slots.
    Compact(Candidates<'a, Compact>),
}

impl Iterator for AnyCandidates<'_> {
    type Item = Loc;

    fn next(&mut self) -> Option<Loc> {
        match self {
            Self::Wide(candidates) => candidates.next(),
            Self::Compact(candidates) => candidates.next(),
        }
    }
}

/// As of [`SlotIndex`].
impl AnyHashIndex {
    /// Whether its slots are compact.
    #[must_use]
    pub fn is_compact(&self) -> bool {
        matches!(self, Self::Compact(_))
    }

    /// Of compact slots, how many leading bits of an order the pages' numbers tell.
    #[must_use]
    pub fn skip(&self) -> Option<u8> {
        match self {
            Self::Wide(_) => None,
            Self::Compact(index) => Some(u8::try_from(index.skip).expect("at most 16")),
        }
    }

    /// Makes its slots compact, for about so many pairs, if they are not.
    pub fn narrow(&mut self, pairs_hint: u64) {
        if let Self::Wide(index) = self {
            let index = core::mem::replace(index, HashIndex::new(64));
            *self = Self::Compact(index.narrowed(pairs_hint));
        }
    }

    /// See [`SlotIndex::trusts`].
    #[must_use]
    pub fn trusts(&self) -> bool {
        match self {
            Self::Wide(index) => index.trusts(),
            Self::Compact(index) => index.trusts(),
        }
    }

    /// See [`SlotIndex::confuses`].
    #[must_use]
    pub fn confuses(&self, one: KeyHash, other: KeyHash) -> bool {
        match self {
            Self::Wide(index) => index.confuses(one, other),
            Self::Compact(index) => index.confuses(one, other),
        }
    }

    /// See [`SlotIndex::order`].
    #[must_use]
    pub fn order(&self, hash: KeyHash) -> HashOrder {
        match self {
            Self::Wide(index) => index.order(hash),
            Self::Compact(index) => index.order(hash),
        }
    }

    /// See [`SlotIndex::after`].
    #[must_use]
    pub fn after(&self, order: HashOrder) -> Option<HashOrder> {
        match self {
            Self::Wide(index) => index.after(order),
            Self::Compact(index) => index.after(order),
        }
    }

    /// See [`SlotIndex::len`].
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Wide(index) => index.len(),
            Self::Compact(index) => index.len(),
        }
    }

    /// See [`SlotIndex::is_empty`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// See [`SlotIndex::memory_bytes`].
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Wide(index) => index.memory_bytes(),
            Self::Compact(index) => index.memory_bytes(),
        }
    }

    /// See [`SlotIndex::dismantle`].
    pub fn dismantle(&mut self, out: &mut Vec<Loc>) -> bool {
        match self {
            Self::Wide(index) => index.dismantle(out),
            Self::Compact(index) => index.dismantle(out),
        }
    }

    /// See [`SlotIndex::candidates`].
    #[must_use]
    pub fn candidates(&self, hash: KeyHash) -> AnyCandidates<'_> {
        match self {
            Self::Wide(index) => AnyCandidates::Wide(index.candidates(hash)),
            Self::Compact(index) => AnyCandidates::Compact(index.candidates(hash)),
        }
    }

    /// See [`SlotIndex::insert`].
    pub fn insert(&mut self, hash: KeyHash, loc: Loc) {
        match self {
            Self::Wide(index) => index.insert(hash, loc),
            Self::Compact(index) => index.insert(hash, loc),
        }
    }

    /// The same for what a slot of such an index has held.
    pub fn insert_at(&mut self, order: HashOrder, loc: Loc) {
        match self {
            Self::Wide(index) => index.insert(order, loc),
            Self::Compact(index) => index.insert(order, loc),
        }
    }

    /// See [`SlotIndex::replace`].
    pub fn replace(&mut self, hash: KeyHash, old: Loc, new: Loc) -> bool {
        match self {
            Self::Wide(index) => index.replace(hash, old, new),
            Self::Compact(index) => index.replace(hash, old, new),
        }
    }

    /// See [`SlotIndex::remove`].
    pub fn remove(&mut self, hash: KeyHash, loc: Loc) -> bool {
        match self {
            Self::Wide(index) => index.remove(hash, loc),
            Self::Compact(index) => index.remove(hash, loc),
        }
    }

    /// See [`SlotIndex::scan`].
    pub fn scan(&self, from: HashOrder, slots_min: usize, out: &mut Vec<(HashOrder, Loc)>) -> bool {
        match self {
            Self::Wide(index) => index.scan(from, slots_min, out),
            Self::Compact(index) => index.scan(from, slots_min, out),
        }
    }
}

#[cfg(test)]
mod tests;
