//! What is known of an operation on its way: whose it is, what its answer is read with, how it may travel.

use super::Refusal;
use super::staging::Role;
use crate::error::Error;
use crate::seam::{Level, Op, OpId};
use crate::translate;
use segments::{EpochId, TableId, Version};
use wire::Fault;

/// What an answer is read with.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: OpId,
    pub(super) subject: Subject,
    pub(super) changes: bool,
    pub(super) role: Role,
    /// Its number, of a commit that has one.
    pub(super) request: Option<u64>,
    /// The operation itself, of a client that resumes, when it may be sent again as it is.
    pub(super) op: Option<Op>,
}

impl Asked {
    /// Something that changes nothing.
    pub(super) fn of(id: OpId, subject: Subject) -> Self {
        Self { id, subject, changes: false, role: Role::Whole, request: None, op: None }
    }
}

/// What an error may have to name.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Nothing,
    /// A transaction of the server's was asked for, to write values out in.
    Stage,
    Table(TableId),
    Name {
        is: String,
        to_be: Option<String>,
    },
    Epoch(EpochId),
}

/// Rebuilds the errors that callers look into; the others keep code, kind and text.
pub(super) fn refusal(subject: &Subject, fault: &Fault<'_>) -> Refusal {
    let error = match (fault.code, subject) {
        (303, _) => Some(Error::CompareFailed { failures: translate::failures_in(&fault.failures) }),
        (201, Subject::Name { is: name, .. }) => Some(Error::NoSuchTable { name: name.clone() }),
        (202, Subject::Table(table)) => Some(Error::TableGone { table: *table }),
        (203, Subject::Name { is, to_be }) => Some(Error::TableExists { name: to_be.as_ref().unwrap_or(is).clone() }),
        (305, Subject::Epoch(epoch)) => Some(Error::EpochLost { epoch: *epoch }),
        (103, _) => Some(Error::Closing),
        (105, _) => Some(Error::Busy),
        (_, _) => None,
    };
    match error {
        Some(error) => Refusal::Domain(error),
        None => {
            let (code, kind) = (fault.code, translate::kind_in(fault.kind));
            Refusal::Fault { code, kind, applied: fault.applied, message: fault.message.to_owned() }
        }
    }
}

pub(super) fn asked(id: OpId, op: &Op) -> Asked {
    let name = |is: &str, to_be: Option<&str>| Subject::Name { is: is.to_owned(), to_be: to_be.map(str::to_owned) };
    let subject = match op {
        Op::Lookup { table, .. }
        | Op::LookupMany { table, .. }
        | Op::ReadRanges { table, .. }
        | Op::Next { table, .. }
        | Op::Follow { table, .. }
        | Op::ReadStaged { table, .. }
        | Op::Reserve { table, .. }
        | Op::Verify { table, .. }
        | Op::FollowChain { table, .. } => Subject::Table(*table),
        Op::CreateTable { name: is, .. } | Op::OpenTable { name: is, .. } | Op::DestroyTable { name: is } => {
            name(is, None)
        }
        Op::RenameTable { from, to } => name(from, Some(to)),
        Op::Await { epoch } | Op::AwaitCommit { version: Version { epoch, .. } } => Subject::Epoch(*epoch),
        Op::Commit { .. } | Op::CommitOnce { .. } | Op::Identify { .. } | Op::Fates { .. } => Subject::Nothing,
        Op::Stage(what) => Subject::Table(what.table),
        Op::OpenStage => Subject::Stage,
        Op::Force | Op::ListTables | Op::Status | Op::DropCache => Subject::Nothing,
        Op::Reclaim | Op::Segments { .. } => Subject::Nothing,
    };
    let changes = matches!(
        op,
        Op::Commit { .. }
            | Op::CommitOnce { .. }
            | Op::CreateTable { .. }
            | Op::RenameTable { .. }
            | Op::DestroyTable { .. }
            | Op::OpenTable { .. }
    );
    Asked { changes, ..Asked::of(id, subject) }
}

/// Whether the answer comes soon, so that others may wait for it in the same batch.
pub(super) fn is_brisk(op: &Op) -> bool {
    match op {
        Op::Lookup { .. } | Op::Follow { .. } | Op::Reserve { .. } | Op::Stage(_) | Op::ReadStaged { .. } => true,
        Op::Commit { level, .. } | Op::CommitOnce { level, .. } => *level == Level::Committed,
        Op::OpenStage
        | Op::LookupMany { .. }
        | Op::ReadRanges { .. }
        | Op::Next { .. }
        | Op::Verify { .. }
        | Op::FollowChain { .. }
        | Op::Identify { .. }
        | Op::Fates { .. }
        | Op::Await { .. }
        | Op::AwaitCommit { .. }
        | Op::Force
        | Op::CreateTable { .. }
        | Op::OpenTable { .. }
        | Op::RenameTable { .. }
        | Op::DestroyTable { .. }
        | Op::ListTables
        | Op::Status
        | Op::DropCache
        | Op::Reclaim
        | Op::Segments { .. } => false,
    }
}

/// About how many bytes an operation takes: what is not a key or a value is less than the constant.
pub(super) fn op_bytes(op: &Op) -> usize {
    64 + match op {
        Op::Lookup { key, .. } | Op::Follow { key, .. } | Op::Verify { key, .. } => key.len(),
        Op::ReadStaged { key, .. } => key.len(),
        Op::Stage(what) => what.key.len() + what.value.len() + 5 * what.forget.len(),
        Op::ReadRanges { key, ranges, .. } => key.len() + 20 * ranges.len(),
        Op::LookupMany { keys, .. } => keys.iter().map(|key| key.len() + 3).sum(),
        Op::FollowChain { key, fields, .. } => key.len() + 3 * fields.len(),
        Op::Fates { requests, .. } => 10 * requests.len(),
        Op::Commit { set, .. } | Op::CommitOnce { set, .. } => set.bytes() + 64 * (set.len() + set.ranges().len()),
        Op::OpenStage
        | Op::Next { .. }
        | Op::Identify { .. }
        | Op::Reserve { .. }
        | Op::Await { .. }
        | Op::AwaitCommit { .. }
        | Op::Force
        | Op::CreateTable { .. }
        | Op::OpenTable { .. }
        | Op::RenameTable { .. }
        | Op::DestroyTable { .. }
        | Op::ListTables
        | Op::Status
        | Op::DropCache
        | Op::Reclaim
        | Op::Segments { .. } => 0,
    }
}

pub(super) fn op_parts(op: &Op) -> usize {
    if let Op::Commit { set, .. } | Op::CommitOnce { set, .. } = op { set.len() + set.ranges().len() } else { 0 }
}
