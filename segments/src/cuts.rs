//! The cuts of all incarnations that have ended, and what they say of an epoch.
//!
//! Contract: [`Cuts::of`] joins the cuts that the superblock records with those that headers of segments name, and refuses what
//! contradicts itself; [`Cuts::fate`] says of any epoch whether it counts.
//!
//! Where cuts are: the superblock records the latest, of incarnations that left anything. Each header of a segment names the cut
//! before its own incarnation's, so the cuts that the superblock has no more room for hang together as a chain. No link of it
//! goes unnoticed: an incarnation whose cut is known must be followed up to it, from the header of its first segment on, and that
//! header names the cut before.
//!
//! Invariants: cuts ascend, at most one an incarnation, all before the present one; an incarnation without a cut left nothing.

use crate::ids::{EpochId, Incarnation};
use crate::superblock::Superblock;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// The cuts up to the present incarnation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cuts {
    present: Incarnation,
    past: Vec<EpochId>,
}

/// What has become of an epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is of the present incarnation: the horizon tells.
    Present,
    /// Its incarnation has ended, and it survived that.
    Survived,
    /// Its incarnation has ended before it was persistent: what it held is gone.
    Lost,
    /// Its incarnation has not begun.
    Unborn,
}

/// Cuts that cannot both be ours. They come from pages with good checksums: a defect or a mixed-up device, no matter of a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CutsError {
    /// Two cuts of one incarnation.
    #[error("one place records {one} as an incarnation's cut, another {other}")]
    Contradiction {
        /// One.
        one: EpochId,
        /// The other.
        other: EpochId,
    },
    /// A header that names another cut than the one before its incarnation's.
    #[error("a segment of {writer:?} names {named} as the cut before, which is {before}")]
    Misnamed {
        /// The incarnation that wrote the segment.
        writer: Incarnation,
        /// The cut it names.
        named: EpochId,
        /// The cut before that is known.
        before: EpochId,
    },
}

impl Cuts {
    /// No incarnation before `present` left anything.
    #[must_use]
    pub fn none(present: Incarnation) -> Self {
        Self { present, past: Vec::new() }
    }

    /// The cuts that the superblock records, those that segments name, each with the incarnation that wrote the segment, and those that
    /// a checkpoint says.
    ///
    /// ```
    /// use segments::cuts::{Cuts, Fate};
    /// use segments::superblock::Superblock;
    /// use segments::{DomainId, EpochId, Incarnation};
    /// let e = |incarnation, counter| EpochId::new(Incarnation(incarnation), counter);
    /// let mut superblock = Superblock::formatted(DomainId(1), 2, [3; 16], 64, 1);
    /// (superblock.incarnation, superblock.cuts) = (Incarnation(9), vec![(Incarnation(7), e(7, 5))]);
    /// let cuts = Cuts::of(&superblock, &[(Incarnation(7), e(4, 3))].into(), &[])?;
    /// assert_eq!(cuts.iter().collect::<Vec<_>>(), [e(4, 3), e(7, 5)]);
    /// assert_eq!([e(4, 3), e(4, 4), e(5, 1), e(9, 1)].map(|epoch| cuts.fate(epoch)), [
    ///     Fate::Survived,
    ///     Fate::Lost,
    ///     Fate::Lost,
    ///     Fate::Present,
    /// ]);
    /// # Ok::<(), segments::cuts::CutsError>(())
    /// ```
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn of(
        superblock: &Superblock,
        named: &BTreeSet<(Incarnation, EpochId)>,
        said: &[EpochId],
    ) -> Result<Self, CutsError> {
        let recorded = superblock.cuts.iter().filter(|(_, cut)| cut.counter() > 0);
        let mut past: BTreeMap<Incarnation, EpochId> = recorded.copied().collect();
        for &cut in named.iter().map(|(_, cut)| cut).chain(said) {
            let known = *past.entry(cut.incarnation()).or_insert(cut);
            if known != cut {
                return Err(CutsError::Contradiction { one: known, other: cut });
            }
        }
        for &(writer, cut) in named {
            let before = past.range(..writer).next_back().map_or(EpochId::base(writer), |(_, before)| *before);
            if before != cut {
                return Err(CutsError::Misnamed { writer, named: cut, before });
            }
        }
        Ok(Self { present: superblock.incarnation, past: past.into_values().collect() })
    }

    /// The cuts when the present incarnation has ended with this one, and the next begins.
    ///
    /// # Panics
    /// If it is no epoch of the present incarnation.
    #[must_use]
    pub fn ended(mut self, cut: EpochId) -> Self {
        assert!(cut.incarnation() == self.present, "cut {cut} is not of incarnation {}", self.present);
        // Without a cut nothing of an incarnation counts, and with one at its base neither.
        if cut.counter() > 0 {
            self.past.push(cut);
        }
        Self { present: self.present.next(), past: self.past }
    }

    /// The incarnation that has not ended.
    #[must_use]
    pub fn present(&self) -> Incarnation {
        self.present
    }

    /// What has become of an epoch. The base of an incarnation, in which nothing is, survives with it.
    #[must_use]
    pub fn fate(&self, epoch: EpochId) -> Fate {
        match self.cut_of(epoch.incarnation()) {
            Some(cut) if epoch <= cut => Fate::Survived,
            Some(_) => Fate::Lost,
            None if epoch.incarnation() == self.present => Fate::Present,
            None => Fate::Unborn,
        }
    }

    /// The last epoch of an incarnation that survived its end, its base if none did; nothing while it has not ended.
    #[must_use]
    pub fn cut_of(&self, incarnation: Incarnation) -> Option<EpochId> {
        if incarnation >= self.present {
            return None;
        }
        let found = self.past.binary_search_by_key(&incarnation, |cut| cut.incarnation());
        Some(found.map_or(EpochId::base(incarnation), |at| self.past[at]))
    }

    /// The cuts of incarnations that left anything, ascending.
    pub fn iter(&self) -> impl Iterator<Item = EpochId> {
        self.past.iter().copied()
    }

    /// The last of them: what segments of the present incarnation name.
    #[must_use]
    pub fn last(&self) -> Option<EpochId> {
        self.past.last().copied()
    }
}

#[cfg(test)]
mod tests;
