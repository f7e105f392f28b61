//! The superblock: the small truth from which everything else on a device is found, in four copies of which two must agree.
//!
//! Contract: [`Superblock::encode`] gives the bytes of a copy; [`Superblock::choose`] decides from four copies, in whatever state
//! a crash or the medium left them, which superblock holds, or why none does.
//! Invariants: a superblock counts only if two copies hold it whole and alike; at rest all four do; an update writes one pair of
//! copies, flushes, then writes the other ([`update_order`]), so at every moment two intact copies of the old or the new exist.
//! It does no I/O, and does not decide when to repair: after the flush of recovery, and before the next update, whoever opened the
//! device writes the copies in [`Choice::stale`] anew. Before that flush the winner itself may still sit in a volatile cache.

use crate::field::is_zero;
use crate::frame::{Frames, PAGE_BYTES};
use crate::ids::{DomainId, EpochId, INCARNATION_MAX, Incarnation, PageNo};
use thiserror::Error;

mod copy;

#[cfg(test)]
pub(crate) use copy::LAYOUT;
pub use copy::{CUTS_MAX, FORMAT_VERSION, SUPERBLOCK_MAGIC};

/// How many copies there are.
pub const SUPERBLOCK_COPIES: u8 = 4;
/// Pages of one copy: 64 KiB.
pub const SUPERBLOCK_COPY_PAGES: u64 = 16;
/// Pages of all copies: the first segment begins behind them.
pub const SUPERBLOCK_PAGES: u64 = 64;
/// Copies that must agree.
pub const SUPERBLOCK_QUORUM: usize = 2;
/// Bytes of one copy.
pub const SUPERBLOCK_COPY_BYTES: usize = 16 * PAGE_BYTES;

const _: () =
    assert!(SUPERBLOCK_PAGES == SUPERBLOCK_COPIES as u64 * SUPERBLOCK_COPY_PAGES, "the copies fill their pages");
const _: () =
    assert!(SUPERBLOCK_COPY_BYTES as u64 == SUPERBLOCK_COPY_PAGES * PAGE_BYTES as u64, "a copy fills its pages");
const _: () = assert!(SUPERBLOCK_QUORUM * 2 == SUPERBLOCK_COPIES as usize, "each half of an update is a quorum");

/// What somebody who opens the device must understand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Who does not know all of these must not open the device.
    pub incompatible: u64,
    /// Who does not know all of these may read, and must not write.
    pub read_only_compatible: u64,
    /// Who does not know these may ignore them.
    pub compatible: u64,
}

impl Features {
    /// Incompatible: headers of segments name the cut before their incarnation's.
    pub const CUTS_IN_HEADERS: u64 = 1;
    /// Incompatible: the superblock says how long the device is and where an orderly end was. Who does not look would take a log
    /// that was damaged for a shorter one.
    pub const ENDS: u64 = 1 << 1;
    /// Incompatible: there are tables whose keys the client hashed. Who does not know would look for their pairs elsewhere.
    pub const CLIENT_HASH: u64 = 1 << 2;
    /// Incompatible: records may have the flag of those that are to be packed. Who does not know would take it for damage.
    pub const COMPACT: u64 = 1 << 3;
    /// Incompatible: there are tables whose specs ask for compact slots. Who does not know could not read these specs.
    pub const COMPACT_SLOTS: u64 = 1 << 5;
    /// Incompatible: there may be segments that belong to no log, and the log's beginning may be gone, since checkpoints stand for it.
    /// Who does not know would take a log without its beginning for a damaged one.
    pub const CHECKPOINTS: u64 = 1 << 6;
    /// The features that this version knows.
    pub const KNOWN: Self = Self {
        incompatible: Self::CUTS_IN_HEADERS
            | Self::ENDS
            | Self::CLIENT_HASH
            | Self::COMPACT
            | Self::COMPACT_SLOTS
            | Self::CHECKPOINTS,
        read_only_compatible: 0,
        compatible: 0,
    };
}

/// The content of a superblock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// The domain's random identity.
    pub domain: DomainId,
    /// Rises by one with each update.
    pub sequence: u64,
    /// Random; every page's checksum starts from it.
    pub salt: u32,
    /// Random; the key of the hash that spreads keys over index buckets.
    pub hash_key: [u8; 16],
    /// Pages of each segment.
    pub segment_pages: u32,
    /// What an opener must understand.
    pub features: Features,
    /// The present life of the domain; 0 until it is opened for the first time.
    pub incarnation: Incarnation,
    /// How many logs the present incarnation writes.
    pub shards: u8,
    /// Length of the device in pages when this was written, and durable then: it never gets shorter. 0 without
    /// [`Features::ENDS`].
    pub pages: u64,
    /// The last epoch that the present incarnation announced, once it was closed in order; nothing is announced behind it.
    /// None without [`Features::ENDS`].
    pub closed: Option<EpochId>,
    /// Of each earlier incarnation that left anything, or the latest of them: its last epoch that survived. Ascending.
    pub cuts: Vec<(Incarnation, EpochId)>,
}

/// Which superblock holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The one that two or more copies agree on.
    pub superblock: Superblock,
    /// Which copies hold it.
    pub good: [bool; SUPERBLOCK_COPIES as usize],
    /// Whether it has features that allow this version to read only.
    pub read_only: bool,
}

/// What was found in the place of a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyFound {
    /// A whole copy.
    Valid {
        /// Its superblock's sequence.
        sequence: u64,
    },
    /// The device did not give the bytes.
    Unreadable,
    /// Zeros.
    Blank,
    /// Something that was never a superblock.
    Foreign,
    /// A copy of ours that is torn, garbled, or lies where another belongs.
    Damaged,
    /// A whole copy in a format of another version.
    OtherFormat {
        /// The version.
        version: u32,
    },
    /// A whole copy with features that this version must not ignore.
    UnknownFeatures {
        /// Those bits.
        incompatible: u64,
    },
}

/// Why there is no superblock to go by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SuperblockError {
    /// All copies are zeros: nothing was ever formatted here.
    #[error("the device is empty")]
    Empty,
    /// Nothing that was read looks like a superblock.
    #[error("the device is not a store")]
    NotAStore,
    /// No two copies agree.
    #[error("no two copies of the superblock agree: {found:?}")]
    NoQuorum {
        /// What each copy is.
        found: [CopyFound; SUPERBLOCK_COPIES as usize],
    },
    /// The store was written by a version with another format.
    #[error("the store has format {found}, this version knows format {known}")]
    OtherFormat {
        /// The store's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The store uses features that this version does not know.
    #[error("the store uses features that this version does not know: {incompatible:#x}")]
    UnknownFeatures {
        /// Those bits.
        incompatible: u64,
    },
    /// There is no room for another cut, and no segment names the oldest, so that it could make room.
    #[error("the superblock holds {max} cuts and has no room for another")]
    CutsFull {
        /// How many fit.
        max: usize,
    },
    /// The incarnations have been used up.
    #[error("there have been {max} incarnations, and there can be no other")]
    IncarnationsSpent {
        /// How many there can be.
        max: u32,
    },
}

/// A copy, read.
enum CopyRead {
    Valid(Superblock),
    Other(CopyFound),
}

impl Superblock {
    /// The first superblock of a device: no incarnation yet, nothing stored.
    ///
    /// ```
    /// use segments::superblock::Superblock;
    /// use segments::DomainId;
    /// let first = Superblock::formatted(DomainId(1), 2, [3; 16], 64, 1);
    /// let copies = [0, 1, 2, 3].map(|copy| first.encode(copy));
    /// let chosen = Superblock::choose([None, Some(copies[1].bytes()), Some(copies[2].bytes()), None]).unwrap();
    /// assert_eq!(chosen.superblock, first);
    /// assert_eq!(chosen.stale(), [0, 3]);
    /// ```
    #[must_use]
    pub fn formatted(domain: DomainId, salt: u32, hash_key: [u8; 16], segment_pages: u32, shards: u8) -> Self {
        Self {
            domain,
            sequence: 1,
            salt,
            hash_key,
            segment_pages,
            features: Features::default(),
            incarnation: Incarnation(0),
            shards,
            pages: 0,
            closed: None,
            cuts: Vec::new(),
        }
    }

    /// The bytes of copy `copy`.
    ///
    /// # Panics
    /// If the content breaks a rule that [`choose`](Self::choose) checks: it is ours.
    #[must_use]
    pub fn encode(&self, copy: u8) -> Frames {
        copy::encode(self, copy)
    }

    /// Decides which superblock the copies hold; `None` stands for a copy that could not be read.
    ///
    /// # Errors
    /// If no two copies agree, or what they agree on is not for this version.
    pub fn choose(copies: [Option<&[u8]>; SUPERBLOCK_COPIES as usize]) -> Result<Choice, SuperblockError> {
        let mut position = 0;
        let read = copies.map(|bytes| {
            let copy = bytes.map_or(CopyRead::Other(CopyFound::Unreadable), |bytes| copy::read(bytes, position));
            position += 1;
            copy
        });
        let found = read.each_ref().map(CopyRead::found);
        refuse_later_versions(&found)?;
        let good_for =
            |wanted: &Self| read.each_ref().map(|copy| matches!(copy, CopyRead::Valid(have) if have == wanted));
        let mut winners: Vec<(&Self, [bool; 4])> = Vec::new();
        for copy in &read {
            let CopyRead::Valid(superblock) = copy else { continue };
            let good = good_for(superblock);
            let known = winners.iter().any(|(winner, _)| *winner == superblock);
            if !known && good.iter().filter(|good| **good).count() >= SUPERBLOCK_QUORUM {
                winners.push((superblock, good));
            }
        }
        winners.sort_by_key(|(superblock, _)| superblock.sequence);
        let none = Err(no_superblock(found));
        let Some((superblock, good)) = winners.pop() else { return none };
        if winners.last().is_some_and(|(other, _)| other.sequence == superblock.sequence) {
            // Two pairs under one sequence: no order of our writes leaves that, so neither can be trusted.
            return none;
        }
        let read_only = superblock.features.read_only_compatible & !Features::KNOWN.read_only_compatible != 0;
        Ok(Choice { superblock: superblock.clone(), good, read_only })
    }

    /// The superblock after a recovery that found `cut` to be the last epoch that survived: the next incarnation, with `shards`
    /// logs, on a device of so many durable pages. The oldest cut makes room for another if `is_named` says that segments name it.
    ///
    /// # Errors
    /// [`SuperblockError::CutsFull`], [`SuperblockError::IncarnationsSpent`].
    ///
    /// # Panics
    /// If the cut is not an epoch of the incarnation that ended.
    pub fn with_recovery(
        &self,
        cut: EpochId,
        shards: u8,
        pages: u64,
        is_named: impl FnOnce(EpochId) -> bool,
    ) -> Result<Self, SuperblockError> {
        assert!(cut.incarnation() == self.incarnation, "cut {cut} is not of incarnation {}", self.incarnation);
        if self.incarnation.0 >= INCARNATION_MAX {
            return Err(SuperblockError::IncarnationsSpent { max: INCARNATION_MAX });
        }
        let mut next = self.clone();
        next.sequence += 1;
        next.incarnation = self.incarnation.next();
        next.shards = shards;
        next.ends(pages, None);
        // Without a cut nothing of an incarnation counts, and with one at its base neither.
        next.cuts.retain(|(_, cut)| cut.counter() > 0);
        if cut.counter() > 0 {
            if next.cuts.len() >= CUTS_MAX {
                if !is_named(next.cuts[0].1) {
                    return Err(SuperblockError::CutsFull { max: CUTS_MAX });
                }
                next.cuts.remove(0);
            }
            next.cuts.push((self.incarnation, cut));
        }
        if !next.cuts.is_empty() {
            next.features.incompatible |= Features::CUTS_IN_HEADERS;
        }
        Ok(next)
    }

    /// The superblock of an incarnation that ends in order, `last` being the last epoch it announced, on a device of so many
    /// durable pages.
    ///
    /// # Panics
    /// If the epoch is not of the present incarnation, or the device was longer before.
    #[must_use]
    pub fn with_close(&self, last: EpochId, pages: u64) -> Self {
        assert!(last.incarnation() == self.incarnation, "epoch {last} is not of incarnation {}", self.incarnation);
        let mut next = self.clone();
        next.sequence += 1;
        next.ends(pages, Some(last));
        next
    }

    /// The superblock of the same moment, of a store that uses these incompatible features too.
    #[must_use]
    pub fn with_features(&self, incompatible: u64) -> Self {
        let mut next = self.clone();
        next.sequence += 1;
        next.features.incompatible |= incompatible;
        next
    }

    /// Notes length and end.
    fn ends(&mut self, pages: u64, closed: Option<EpochId>) {
        assert!(pages >= self.pages, "the device had {} pages and has {pages}", self.pages);
        self.features.incompatible |= Features::ENDS;
        (self.pages, self.closed) = (pages, closed);
    }
}

impl Choice {
    /// The copies that do not hold the superblock, to be written anew before the next update.
    #[must_use]
    pub fn stale(&self) -> Vec<u8> {
        (0..SUPERBLOCK_COPIES).filter(|copy| !self.good[usize::from(*copy)]).collect()
    }
}

impl CopyRead {
    fn found(&self) -> CopyFound {
        match self {
            Self::Valid(superblock) => CopyFound::Valid { sequence: superblock.sequence },
            Self::Other(found) => *found,
        }
    }
}

/// The page at which a copy begins.
#[must_use]
pub fn copy_page(copy: u8) -> PageNo {
    assert!(copy < SUPERBLOCK_COPIES, "there are {SUPERBLOCK_COPIES} copies, not {copy}");
    PageNo(u64::from(copy) * SUPERBLOCK_COPY_PAGES)
}

/// The order in which the copies of the superblock with this sequence are written: the first pair, a flush, the second pair, a
/// flush. Sequences alternate between the pairs, so an update that a crash cut short is followed by one that starts with the
/// pair it did not reach.
#[must_use]
pub fn update_order(sequence: u64) -> [[u8; 2]; 2] {
    if sequence.is_multiple_of(2) { [[0, 1], [2, 3]] } else { [[2, 3], [0, 1]] }
}

/// A store that two whole copies call another version's is left alone, whatever the other copies say.
fn refuse_later_versions(found: &[CopyFound; 4]) -> Result<(), SuperblockError> {
    for copy in found {
        if found.iter().filter(|other| *other == copy).count() < SUPERBLOCK_QUORUM {
            continue;
        }
        if let CopyFound::OtherFormat { version } = *copy {
            return Err(SuperblockError::OtherFormat { found: version, known: FORMAT_VERSION });
        }
        if let CopyFound::UnknownFeatures { incompatible } = *copy {
            return Err(SuperblockError::UnknownFeatures { incompatible });
        }
    }
    Ok(())
}

fn no_superblock(found: [CopyFound; 4]) -> SuperblockError {
    if found.iter().all(|copy| *copy == CopyFound::Blank) {
        return SuperblockError::Empty;
    }
    if found.iter().all(|copy| matches!(copy, CopyFound::Blank | CopyFound::Foreign)) {
        return SuperblockError::NotAStore;
    }
    SuperblockError::NoQuorum { found }
}

#[cfg(test)]
mod tests;
