//! The indexes that live in memory: from a key to the place of its record.
//!
//! Contract: pure data structures. They hold places, never records; they do no I/O, read no clock and draw no random
//! number, and the same calls in the same order leave the same structure. None of them ever stops to copy itself: growing
//! and shrinking happen in steps of a few microseconds, one with an insert or remove.
//!
//! * [`HashIndex`]: hashes of keys in slots of 16 bytes; keys themselves are not kept, so a match is a candidate.
//!   [`CompactIndex`] is the same with slots of 8 bytes, [`AnyHashIndex`] the one of the two that a table asks for.
//!   [`KeyHasher`] says how a table's keys become hashes.
//! * [`OrderedIndex`]: keys in order, in a B-tree of packed nodes.
//! * [`SackIndex`]: addresses that it gives out itself and never gives again.
//!
//! What they do not do: they know no versions, no tombstones and no shards; whoever owns them does.

mod chunks;
pub mod hash;
pub mod hasher;
pub mod ordered;
pub mod sack;

pub use hash::{AnyHashIndex, CompactIndex, HashConfig, HashIndex, HashOrder, KeyHash};
pub use hasher::KeyHasher;
pub use ordered::OrderedIndex;
pub use sack::{Address, SackIndex, Stale};

use segments::Place;
use segments::place::PLACE_BITS;

/// Bits of a location.
pub const LOC_BITS: u32 = PLACE_BITS;

/// Where a record is: a packed [`Place`], or a handle that a table in memory gave. The index does not look inside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Loc(u64);

impl Loc {
    /// The largest location. The one number of 55 bits above it marks what is empty; as a place it would be a record that
    /// starts in the last page of 4 PiB and is longer than a page, which cannot be.
    pub const MAX: Self = Self((1 << LOC_BITS) - 2);

    /// A location from its bits.
    ///
    /// # Panics
    /// Above [`Loc::MAX`]: locations are made by the engine, so that is our mistake.
    #[must_use]
    pub fn new(bits: u64) -> Self {
        assert!(bits <= Self::MAX.0, "location {bits:#x} does not fit a slot");
        Self(bits)
    }

    /// Its bits, at most those of [`Loc::MAX`].
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }
}

impl From<Place> for Loc {
    fn from(place: Place) -> Self {
        Self::new(place.to_bits())
    }
}

/// The place that a location packs. Only for locations that were made from places.
impl From<Loc> for Place {
    fn from(loc: Loc) -> Self {
        Self::from_bits(loc.0)
    }
}

/// Eight bytes that compare as the number does: the most significant byte first.
///
/// ```
/// use domains::index::order_preserving;
/// assert_eq!(order_preserving(0x0102), [0, 0, 0, 0, 0, 0, 1, 2]);
/// assert!(order_preserving(255) < order_preserving(256));
/// ```
#[must_use]
pub fn order_preserving(number: u64) -> [u8; 8] {
    let mut bytes = number.to_le_bytes();
    bytes.reverse();
    bytes
}

/// The number that [`order_preserving`] made these bytes from.
#[must_use]
pub fn from_order_preserving(mut bytes: [u8; 8]) -> u64 {
    bytes.reverse();
    u64::from_le_bytes(bytes)
}

/// A number as a position in memory.
fn position(number: u64) -> usize {
    usize::try_from(number).expect("what it counts is in memory, and the machine has 64 bits")
}

#[cfg(test)]
mod tests;
