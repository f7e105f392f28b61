//! What a seed's client may do: each seed takes some of the features and leaves the others, so that rare combinations occur and
//! none hides another (swarm testing: Groce and others, "Swarm Testing", 2012).

use crate::rng::Rng;

/// Something that a client may do and another may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// Writes that can be reverted, reverts and seals.
    Reverts,
    /// Tables that come, go and get other names.
    Tables,
    /// Sacks.
    Sacks,
    /// Records larger than a page, some larger than a segment.
    Large,
    /// Compare and swap: an update at the version that was seen.
    Swaps,
    /// Listings of a prefix, forward and backward.
    Prefixes,
    /// Pointers, and following them.
    Follows,
    /// Pairs that expire soon.
    Expiry,
    /// Lives that end in order, some of them cut short or damaged afterwards.
    Ends,
    /// Commits that fail on one key so often that their answers are handed out in turn.
    Crowds,
    /// Tables whose keys the client hashed.
    ClientHash,
    /// Transactions that write values out before they commit.
    WritesOut,
    /// Hash tables with compact slots.
    CompactSlots,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Reverts,
        Self::Tables,
        Self::Sacks,
        Self::Large,
        Self::Swaps,
        Self::Prefixes,
        Self::Follows,
        Self::Expiry,
        Self::Ends,
        Self::Crowds,
        Self::ClientHash,
        Self::WritesOut,
        Self::CompactSlots,
    ];
}

/// A set of features.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features(u16);

impl Features {
    /// These.
    #[must_use]
    pub fn of(features: &[Feature]) -> Self {
        Self(features.iter().fold(0, |all, feature| all | 1 << *feature as u16))
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u16 & 1 == 1
    }

    /// Each of these by chance.
    ///
    /// A revert brings back what a write had replaced, and the oracle knows what that was only while nothing of it expires by
    /// itself: of the two a seed has one at most.
    #[must_use]
    pub fn draw(self, rng: &mut Rng) -> Self {
        let mut drawn = Self(Feature::ALL.into_iter().fold(0, |all, feature| {
            let taken = rng.chance(1, 2) && self.has(feature);
            all | u16::from(taken) << feature as u16
        }));
        if drawn.has(Feature::Reverts) && drawn.has(Feature::Expiry) {
            let gone = *rng.pick(&[Feature::Reverts, Feature::Expiry]);
            drawn.0 &= !(1 << gone as u16);
        }
        drawn
    }
}
