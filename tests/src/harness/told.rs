//! What a run tells of itself, and which of its operations and lives are left out of it.
//!
//! Contract: an operation that is left out is drawn like any other and not asked, a life that is left out is not lived; so a seed
//! and an [`Only`] explain a run as a seed alone does. What is told is text for people and has no say in anything.

use crate::model::name_of;
use crate::workload::Action;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use txn::{Change, CommitSet, Expect};

/// The operations and lives that are played, by their numbers; nothing stands for all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Only {
    /// Operations, counted over all lives.
    pub acts: Option<BTreeSet<u64>>,
    /// Lives. The first, which makes the tables, is always played.
    pub lives: Option<BTreeSet<u64>>,
}

/// What a run has come to, kept outside of it: it may end in a panic.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Operations drawn.
    pub(super) acts: u64,
    /// Lives begun.
    pub(super) lives: u64,
    /// What was done, in words, if that was asked for.
    pub(super) program: Option<Vec<String>>,
}

/// A run's view of both.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    only: Only,
    progress: Rc<RefCell<Progress>>,
}

impl Told {
    pub(super) fn new(only: Only, progress: Rc<RefCell<Progress>>) -> Self {
        Self { only, progress }
    }

    /// Whether the next operation is to be asked.
    pub(super) fn next_act(&self) -> bool {
        let mut progress = self.progress.borrow_mut();
        progress.acts += 1;
        self.only.acts.as_ref().is_none_or(|acts| acts.contains(&(progress.acts - 1)))
    }

    /// Whether this life is to be lived.
    pub(super) fn begins(&self, life: u64) -> bool {
        self.progress.borrow_mut().lives = life + 1;
        life == 0 || self.only.lives.as_ref().is_none_or(|lives| lives.contains(&life))
    }

    /// Tells something, if anybody listens.
    pub(super) fn say(&self, text: impl FnOnce() -> String) {
        if let Some(program) = &mut self.progress.borrow_mut().program {
            program.push(text());
        }
    }
}

/// An operation in words.
pub(super) fn describe(action: &Action) -> String {
    match action {
        Action::Commit(set, level) => format!("commit, {level:?}: {}", describe_set(set)),
        Action::Lookup(key) => format!("look up {}", name_of(key)),
        Action::Scan(range) => format!("list {:?} from {:?}, {:?}", range.table, range.from, range.direction),
        Action::Follow(key) => format!("follow the pointer of {}", name_of(key)),
        Action::Reserve(table, count) => format!("reserve {count} addresses of {table:?}"),
        Action::Await(epoch) => format!("await epoch {epoch}"),
        Action::Force => "force".to_owned(),
        Action::Table(change, spec) => match spec {
            Some(spec) => format!("{change:?} as a table of kind {}", spec.kind.name()),
            None => format!("{change:?}"),
        },
        Action::DropCache => "drop what is cached".to_owned(),
        Action::Idle(nanos) => format!("let {} us pass", nanos / 1_000),
    }
}

fn describe_set(set: &CommitSet) -> String {
    let part = |part: txn::Part<'_>| {
        let what = match part.change {
            Change::None => "look at".to_owned(),
            Change::Put { value, options } => {
                let kept = if options.revertible_ms.is_some() { ", revertible," } else { "" };
                format!("put {} bytes{kept} at", value.len())
            }
            Change::Append { value, .. } => format!("append {} bytes to", value.len()),
            Change::Delete => "delete".to_owned(),
            Change::Revert { token } => format!("revert to before {token}"),
            Change::Seal { token } => format!("seal {token} of"),
        };
        let when = match part.expect {
            Expect::Any => String::new(),
            Expect::Absent => " if it is absent".to_owned(),
            Expect::Present => " if it is present".to_owned(),
            Expect::At(version) => format!(" if it is at {version}"),
            Expect::Never => " never".to_owned(),
        };
        format!("{what} {}{when}", name_of(&(part.table, part.key.to_vec())))
    };
    let parts: Vec<String> = set.parts().map(part).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
}
