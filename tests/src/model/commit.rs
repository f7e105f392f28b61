//! Commits as the oracle keeps them: sent and perhaps applied, or answered with versions.

use super::tokens::Tokens;
use domains::{Committed, Level, Persistence};
use segments::{EpochId, TableId, Version};
use std::collections::BTreeSet;
use std::rc::Rc;
use txn::{Change, CommitSet, Expect, PutOptions};

/// A key and its table.
pub type Key = (TableId, Vec<u8>);

/// What a pair holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// The record's bytes.
    pub value: Vec<u8>,
    /// When it expires.
    pub expires_ms: Option<u64>,
    /// The client's flag.
    pub compressed: bool,
}

impl Content {
    /// Whether its time is over.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= now_ms)
    }
}

/// What a part does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It only compares.
    None,
    /// The pair becomes this.
    Put(Rc<Content>),
    /// The pair goes.
    Delete,
}

impl Effect {
    /// What the pair holds afterwards.
    #[must_use]
    pub fn content(&self) -> Option<Rc<Content>> {
        match self {
            Self::Put(content) => Some(Rc::clone(content)),
            Self::None | Self::Delete => None,
        }
    }
}

/// One key of a commit.
#[derive(Clone, Debug)]
pub struct PartOf {
    /// Which.
    pub key: Key,
    /// What must hold before.
    pub expect: Expect,
    /// What is done.
    pub effect: Effect,
    /// Whether it may be reverted.
    pub revertible: bool,
    /// The version that it was given; none when it only compared, changed nothing, or was not answered.
    pub version: Option<Version>,
    /// Whether the table is volatile.
    pub volatile: bool,
}

impl PartOf {
    /// Whether it may change something.
    fn changes(&self) -> bool {
        self.effect != Effect::None
    }

    /// Whether it is a delete that may find nothing: one that asks for nothing, or one of what must be absent (of what the set
    /// itself had put), which finds at most a pair whose time is over.
    fn is_loose(&self) -> bool {
        self.effect == Effect::Delete && matches!(self.expect, Expect::Any | Expect::Absent)
    }
}

/// The keys of a commit.
pub type Parts = Vec<PartOf>;

/// What the oracle knows of a key.
pub(super) type There<'a> = dyn Fn(&Key) -> Option<(Version, Rc<Content>)> + 'a;

/// A commit that was sent and has no answer.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its parts.
    pub parts: Parts,
    /// When it wants to be answered.
    pub level: Level,
    /// The highest version that had been answered when it was sent.
    pub(super) highest: Version,
    /// How many commits had been answered when it was sent.
    pub since: usize,
    /// The wall clock then.
    pub sent_ms: u64,
}

impl Sent {
    /// `there` is what the oracle knows of a key. An append says at which version it finds what it appends to, so what the pair
    /// becomes is known as with a put; where it says nothing of the kind, it is one that fails.
    pub(super) fn new(
        set: &CommitSet,
        level: Level,
        highest: Version,
        volatile: &BTreeSet<TableId>,
        (tokens, there): (&Tokens, &There<'_>),
    ) -> Self {
        let grown = |part: &txn::Part<'_>, value: &[u8], options: PutOptions| {
            let found = there(&(part.table, part.key.to_vec()));
            let found = found.filter(|(version, _)| part.expect == Expect::At(*version));
            let (before, kept) = found.map_or((Vec::new(), PutOptions::default()), |(_, content)| {
                let (expires_ms, compressed) = (content.expires_ms, content.compressed);
                (content.value.clone(), PutOptions { expires_ms, compressed, compact: false, revertible_ms: None })
            });
            let options = txn::appended(kept, options);
            let (expires_ms, compressed) = (options.expires_ms, options.compressed);
            Content { value: [&before[..], value].concat(), expires_ms, compressed }
        };
        let part_of = |part: txn::Part<'_>| PartOf {
            key: (part.table, part.key.to_vec()),
            expect: part.expect,
            revertible: match part.change {
                Change::Put { options, .. } | Change::Append { options, .. } => options.revertible_ms.is_some(),
                Change::None | Change::Delete | Change::Revert { .. } | Change::Seal { .. } => false,
            },
            effect: match part.change {
                Change::None => Effect::None,
                Change::Put { value, options } => Effect::Put(Rc::new(Content {
                    value: value.to_vec(),
                    expires_ms: options.expires_ms,
                    compressed: options.compressed,
                })),
                Change::Delete => Effect::Delete,
                Change::Revert { token } => tokens.reverted(&(part.table, part.key.to_vec()), token),
                Change::Seal { token } => tokens.sealed(&(part.table, part.key.to_vec()), token),
                Change::Append { value, options } => Effect::Put(Rc::new(grown(&part, value, options))),
            },
            version: None,
            volatile: volatile.contains(&part.table),
        };
        Self { parts: set.parts().map(part_of).collect(), level, highest, since: 0, sent_ms: 0 }
    }
}

/// A commit that was applied.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) parts: Parts,
    pub(super) epoch: EpochId,
    pub(super) persistence: Persistence,
    /// Its place among all commits: its first version.
    pub(super) order: Version,
    /// Whether it changed something, and in volatile tables only.
    pub(super) volatile_only: bool,
    /// The wall clock when it was sent and when it had been applied at the latest.
    pub(super) within_ms: (u64, u64),
}

impl Done {
    /// Gives the versions of an answer to the parts they belong to.
    ///
    /// A delete that finds nothing has no version. The workload puts at most one such delete in a set, so
    /// the number of versions says whether it was effective.
    pub(super) fn new(sent: &Sent, committed: &Committed, now_ms: u64) -> Result<Self, String> {
        let versions = committed.versions.as_slice();
        let changes = sent.parts.iter().filter(|part| part.changes()).count();
        let loose_count = sent.parts.iter().filter(|part| part.is_loose()).count();
        assert!(loose_count <= 1, "the workload puts at most one delete that may find nothing in a set");
        let loose_had_effect = versions.len() == changes;
        if !loose_had_effect && versions.len() + loose_count != changes {
            return Err(format!("{} versions for {changes} changes", versions.len()));
        }
        let mut left = versions.iter();
        let mut parts = sent.parts.clone();
        for part in parts.iter_mut().filter(|part| part.changes()) {
            if loose_had_effect || !part.is_loose() {
                part.version = left.next().copied();
            }
        }
        if let Some(version) = versions.iter().find(|version| version.epoch != committed.epoch) {
            return Err(format!("version {version} of a commit in epoch {}", committed.epoch));
        }
        if !versions.is_sorted_by(|a, b| a < b) {
            return Err(format!("versions do not rise: {versions:?}"));
        }
        let order = versions.first().copied().unwrap_or_default();
        let volatile_only = !versions.is_empty() && parts.iter().all(|part| part.version.is_none() || part.volatile);
        Ok(Self {
            parts,
            epoch: committed.epoch,
            persistence: committed.persistence,
            order,
            volatile_only,
            within_ms: (sent.sent_ms, now_ms),
        })
    }
}
