//! Newtypes for every id, position and count that crosses a module boundary.
//!
//! Invariants: an [`EpochId`] carries its incarnation in its high 24 bits, so ids of different incarnations never meet; a
//! [`Version`] compares as one number and is never issued twice.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Bits of an [`EpochId`] that count epochs inside one incarnation.
pub const EPOCH_COUNTER_BITS: u32 = 40;
/// The largest incarnation: 24 bits, 16.7 million opens.
pub const INCARNATION_MAX: u32 = (1 << 24) - 1;

/// Random identity of a domain, drawn once when its device is formatted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub u128);

/// One life of a domain, from open to close or crash; +1 at each recovery. Incarnation 0 is the formatted, never opened device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u32);

/// The unit of persistence: `incarnation << 40 | counter`. Counter 0 is the base of an incarnation and holds no update.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct EpochId(pub u64);

/// Rises with each update a shard makes in an incarnation, whatever the epoch tags do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Ordinal(pub u64);

/// What a pair's content is told apart by: given at commit, never issued twice, unchanged by moves. A record may keep one in a
/// field: that is what serde is here for; the store's own bytes are written by hand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Version {
    /// The epoch that the commit joined.
    pub epoch: EpochId,
    /// The update's place in its shard's order.
    pub ordinal: Ordinal,
}

/// A table of the domain. Never reused, also after destroy. 0 is the catalog.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TableId(pub u32);

/// A shard, and the log it writes. At most 24 (the member bits of an epoch).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShardId(pub u8);

/// A segment of the device: its index, counted from 0 behind the superblock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SegmentId(pub u32);

/// A page of the device, counted from the device's first byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PageNo(pub u64);

impl EpochId {
    /// The epoch `counter` of `incarnation`.
    ///
    /// # Panics
    /// If either does not fit its bits: ids are ours, so that is our mistake.
    #[must_use]
    pub fn new(incarnation: Incarnation, counter: u64) -> Self {
        assert!(incarnation.0 <= INCARNATION_MAX, "incarnation {} needs more than 24 bits", incarnation.0);
        assert!(counter < 1 << EPOCH_COUNTER_BITS, "epoch counter {counter} needs more than 40 bits");
        Self(u64::from(incarnation.0) << EPOCH_COUNTER_BITS | counter)
    }

    /// The epoch before the first of `incarnation`: what is persistent before anything is.
    #[must_use]
    pub fn base(incarnation: Incarnation) -> Self {
        Self::new(incarnation, 0)
    }

    /// The incarnation that issued this epoch.
    #[must_use]
    pub fn incarnation(self) -> Incarnation {
        Incarnation(u32::try_from(self.0 >> EPOCH_COUNTER_BITS).expect("24 bits remain after the shift"))
    }

    /// The epoch's number inside its incarnation.
    #[must_use]
    pub fn counter(self) -> u64 {
        self.0 & ((1 << EPOCH_COUNTER_BITS) - 1)
    }

    /// The epoch after this one, in the same incarnation.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.incarnation(), self.counter() + 1)
    }
}

impl Incarnation {
    /// The incarnation after this one.
    ///
    /// # Panics
    /// After 16.7 million opens.
    #[must_use]
    pub fn next(self) -> Self {
        assert!(self.0 < INCARNATION_MAX, "a domain cannot be opened more than {INCARNATION_MAX} times");
        Self(self.0 + 1)
    }
}

impl PageNo {
    /// The page `pages` further on.
    #[must_use]
    pub fn plus(self, pages: u64) -> Self {
        Self(self.0 + pages)
    }
}

impl fmt::Display for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation().0, self.counter())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.ordinal.0)
    }
}

macro_rules! debug_as {
    ($($name:ident => $format:literal),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}
debug_as!(Incarnation => "i{}", TableId => "t{}", ShardId => "s{}", SegmentId => "seg{}", PageNo => "p{}", Ordinal => "o{}");

impl fmt::Debug for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{self}")
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{self}")
    }
}

impl fmt::Debug for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{:032x}", self.0)
    }
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
