//! What the server counts of the operations that pass through it: how many of each verb and how long they took, and how far
//! persistence lags behind commits.
//!
//! Contract: an operation is counted when its answer comes, with the time from the turn that asked to the turn that was answered;
//! a lookup that memory served within the asking turn took no time that a turn could measure, and is counted apart. The lag of an
//! epoch is the time from the first answer that told of a commit in it to the turn that saw it persistent: the longest that
//! anybody in it waited.
//!
//! Invariants: memory is fixed but for the epochs under way, of which at most [`EPOCHS_MAX`] are remembered.

use domains::{Answer, Committed, Error, Horizon, Level, Op, Persistence, Tick};
use segments::EpochId;
use std::collections::VecDeque;

/// Bounds of a histogram: 1 µs, 2 µs, 4 µs … 16.8 s, and no bound.
pub(crate) const BUCKETS: usize = 25;
/// Epochs whose lag is being measured. Few are in flight at a time; a domain that promises no persistence never ends one.
const EPOCHS_MAX: usize = 64;

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Histogram {
    /// The counts up to each bound, each without those before it; the last has no bound.
    pub(crate) counts: [u64; BUCKETS + 1],
    /// The sum.
    pub(crate) nanos: u128,
}

impl Histogram {
    pub(crate) fn observe(&mut self, nanos: u64) {
        let micros = nanos.div_ceil(1000);
        let at = if micros <= 1 { 0 } else { (micros - 1).ilog2() as usize + 1 };
        self.counts[at.min(BUCKETS)] += 1;
        self.nanos += u128::from(nanos);
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// An operation's verb: its place in [`VERBS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verb(usize);

/// The verbs, by name. A commit that is answered when it is persistent is a verb of its own: it takes as long as the device.
pub(crate) const VERBS: [&str; 28] = [
    "lookup",
    "lookup_many",
    "read_ranges",
    "next",
    "follow",
    "follow_chain",
    "verify",
    "commit",
    "commit_persistent",
    "commit_once",
    "commit_once_persistent",
    "identify",
    "fates",
    "open_stage",
    "stage",
    "read_staged",
    "reserve",
    "await",
    "force",
    "create_table",
    "open_table",
    "rename_table",
    "destroy_table",
    "list_tables",
    "status",
    "drop_cache",
    "reclaim",
    "segments",
];

/// The verb of an operation.
pub(crate) fn verb(op: &Op) -> Verb {
    match op {
        Op::Lookup { .. } => const { named("lookup") },
        Op::LookupMany { .. } => const { named("lookup_many") },
        Op::ReadRanges { .. } => const { named("read_ranges") },
        Op::Next { .. } => const { named("next") },
        Op::Follow { .. } => const { named("follow") },
        Op::FollowChain { .. } => const { named("follow_chain") },
        Op::Verify { .. } => const { named("verify") },
        Op::Commit { level: Level::Committed, .. } => const { named("commit") },
        Op::Commit { level: Level::Persistent, .. } => const { named("commit_persistent") },
        Op::CommitOnce { level: Level::Committed, .. } => const { named("commit_once") },
        Op::CommitOnce { level: Level::Persistent, .. } => const { named("commit_once_persistent") },
        Op::Identify { .. } => const { named("identify") },
        Op::Fates { .. } => const { named("fates") },
        Op::OpenStage => const { named("open_stage") },
        Op::Stage(_) => const { named("stage") },
        Op::ReadStaged { .. } => const { named("read_staged") },
        Op::Reserve { .. } => const { named("reserve") },
        Op::Await { .. } | Op::AwaitCommit { .. } => const { named("await") },
        Op::Force => const { named("force") },
        Op::CreateTable { .. } => const { named("create_table") },
        Op::OpenTable { .. } => const { named("open_table") },
        Op::RenameTable { .. } => const { named("rename_table") },
        Op::DestroyTable { .. } => const { named("destroy_table") },
        Op::ListTables => const { named("list_tables") },
        Op::Status => const { named("status") },
        Op::DropCache => const { named("drop_cache") },
        Op::Reclaim => const { named("reclaim") },
        Op::Segments { .. } => const { named("segments") },
    }
}

/// The verb of a name, found when the program is built: an operation pays for no search.
const fn named(name: &str) -> Verb {
    let mut at = 0;
    while at < VERBS.len() {
        let (verb, wanted) = (VERBS[at].as_bytes(), name.as_bytes());
        let mut same = 0;
        while same < verb.len() && same < wanted.len() && verb[same] == wanted[same] {
            same += 1;
        }
        if same == verb.len() && same == wanted.len() {
            return Verb(at);
        }
        at += 1;
    }
    panic!("every verb is in the list")
}

/// What was counted since the server began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// By verb, in the order of [`VERBS`].
    verbs: [Histogram; VERBS.len()],
    /// Operations that were answered with an error.
    pub(crate) errors: u64,
    /// Operations that were refused for want of a right, and never reached the domain.
    pub(crate) denied: u64,
    /// Lookups that memory served within the turn that asked.
    pub(crate) at_once: u64,
    /// From a commit's answer to its persistence, of the first commit in each epoch.
    pub(crate) lag: Histogram,
    /// Epochs that somebody was told of and that are not persistent, with the time of the first answer.
    under_way: VecDeque<(EpochId, u64)>,
}

impl Metrics {
    /// What was counted of each verb that was used.
    pub(crate) fn verbs(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        VERBS.into_iter().zip(&self.verbs).filter(|(_, histogram)| histogram.count() > 0)
    }

    /// An operation that was asked at this time has its answer.
    pub(crate) fn answered(&mut self, verb: Verb, asked: u64, result: &Result<Answer, Error>, now: Tick) {
        self.verbs[verb.0].observe(now.nanos.saturating_sub(asked));
        match result {
            Ok(Answer::Committed(Committed { epoch, persistence: Persistence::Pending, .. })) => {
                if self.under_way.back().is_none_or(|(last, _)| last < epoch) {
                    self.under_way.push_back((*epoch, now.nanos));
                }
                if self.under_way.len() > EPOCHS_MAX {
                    self.under_way.pop_front();
                }
            }
            Ok(_) => {}
            Err(_) => self.errors += 1,
        }
    }

    /// The domain is persistent up to here.
    pub(crate) fn persistent(&mut self, horizon: Horizon, now: Tick) {
        while let Some(&(epoch, since)) = self.under_way.front()
            && epoch <= horizon.persistent
        {
            self.under_way.pop_front();
            self.lag.observe(now.nanos.saturating_sub(since));
        }
    }
}

#[cfg(test)]
mod tests;
