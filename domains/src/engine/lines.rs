//! What askers have sent behind a commit of theirs that waits for its turn.
//!
//! Contract: the operations of one asker take effect in their order, as far as one sees what another does. So while a commit that was
//! not looked at waits, those commits that come behind it wait too, and reads of what any of them changes; they begin, in their order,
//! when it has been looked at. What has nothing to do with them goes on. That is for one lease at most
//! ([`contention`](super::contention)), or one for each of them that is itself such a commit.
//!
//! An operation in a line has not begun: it is made into a machine when it leaves, as if it had come then.

use crate::seam::{Asker, Op, OpId};
use segments::TableId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use txn::{Change, CommitSet};

/// The lines of all askers. Nobody has none.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: BTreeMap<Asker, Line>,
    ops: usize,
}

/// The line behind one commit.
#[derive(Debug, Default)]
struct Line {
    ops: VecDeque<(OpId, Op)>,
    /// Tables that the commits in it change, and the one before it.
    tables: BTreeSet<TableId>,
    /// Something in it may change any table.
    any: bool,
}

impl Line {
    fn add(&mut self, set: &CommitSet) {
        self.tables.extend(set.parts().filter(|part| part.change != Change::None).map(|part| part.table));
    }

    /// Whether this must stand behind what is there.
    fn holds(&self, op: &Op) -> bool {
        match op {
            Op::Lookup { table, .. }
            | Op::LookupMany { table, .. }
            | Op::ReadRanges { table, .. }
            | Op::Verify { table, .. }
            | Op::Next { table, .. } => self.any || self.tables.contains(table),
            // What is written out for a transaction is seen with its commit.
            Op::OpenStage
            | Op::Stage(_)
            | Op::ReadStaged { .. }
            | Op::Reserve { .. }
            | Op::Await { .. }
            | Op::AwaitCommit { .. }
            | Op::Status
            | Op::DropCache
            | Op::Reclaim
            | Op::Segments { .. } => false,
            Op::Follow { .. }
            | Op::FollowChain { .. }
            | Op::Commit { .. }
            | Op::CommitOnce { .. }
            | Op::Identify { .. }
            | Op::Fates { .. }
            | Op::Force
            | Op::CreateTable { .. }
            | Op::OpenTable { .. }
            | Op::RenameTable { .. }
            | Op::DestroyTable { .. }
            | Op::ListTables => true,
        }
    }

    fn push(&mut self, id: OpId, op: Op) {
        match &op {
            Op::Commit { set, .. } | Op::CommitOnce { set, .. } => self.add(set),
            Op::CreateTable { .. } | Op::OpenTable { .. } | Op::RenameTable { .. } | Op::DestroyTable { .. } => {
                self.any = true;
            }
            Op::Lookup { .. }
            | Op::LookupMany { .. }
            | Op::ReadRanges { .. }
            | Op::Verify { .. }
            | Op::Next { .. }
            | Op::Follow { .. }
            | Op::FollowChain { .. }
            | Op::Identify { .. }
            | Op::Fates { .. }
            | Op::Force
            | Op::OpenStage
            | Op::Stage(_)
            | Op::ReadStaged { .. }
            | Op::Reserve { .. }
            | Op::Await { .. }
            | Op::AwaitCommit { .. }
            | Op::ListTables
            | Op::Status
            | Op::DropCache
            | Op::Reclaim
            | Op::Segments { .. } => {}
        }
        self.ops.push_back((id, op));
    }
}

impl Lines {
    /// Operations that stand in lines.
    pub(crate) fn ops(&self) -> usize {
        self.ops
    }

    /// A commit of this asker waits and was not looked at.
    pub(crate) fn begin(&mut self, asker: Asker, set: &CommitSet) {
        if asker != Asker::Nobody {
            self.lines.entry(asker).or_default().add(set);
        }
    }

    /// Whether an operation of this asker must stand in a line.
    pub(crate) fn hold(&self, asker: Asker, op: &Op) -> bool {
        !self.lines.is_empty() && self.lines.get(&asker).is_some_and(|line| line.holds(op))
    }

    /// Puts an operation into its asker's line, which there is.
    pub(crate) fn push(&mut self, asker: Asker, id: OpId, op: Op) {
        self.lines.get_mut(&asker).expect("it was found to hold the operation").push(id, op);
        self.ops += 1;
    }

    /// The commit has been looked at: what stands behind it, to begin.
    pub(crate) fn end(&mut self, asker: Asker) -> VecDeque<(OpId, Op)> {
        let ops = self.lines.remove(&asker).unwrap_or_default().ops;
        self.ops -= ops.len();
        ops
    }
}
