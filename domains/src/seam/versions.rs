//! The versions that a commit gave.

use segments::{EpochId, Ordinal, Version};
use smallvec::SmallVec;

/// The versions a commit gave, one for each part that changed something, in the set's order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Versions(SmallVec<[Version; 2]>);

impl Versions {
    /// Appends one.
    pub fn push(&mut self, version: Version) {
        self.0.push(version);
    }

    /// So many of one commit, which follow each other without a gap. A count that nobody can have is cut.
    #[must_use]
    pub fn in_a_row(epoch: EpochId, first: Ordinal, count: u32) -> Self {
        let count = u64::from(count).min(txn::limits::SET_PARTS_MAX as u64);
        let ordinals = (0..count).map(|at| Ordinal(first.0.saturating_add(at)));
        Self(ordinals.map(|ordinal| Version { epoch, ordinal }).collect())
    }

    /// All, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Version] {
        &self.0
    }
}
