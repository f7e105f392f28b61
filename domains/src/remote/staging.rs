//! A commit that does not fit one frame: its parts travel one frame after the other into a transaction of the server's, which is then
//! committed as a whole.
//!
//! Contract: all or nothing, as for any commit, and one answer. What was submitted behind it is sent after it, so that the order of
//! effects is that of the submissions. The commit is sent only when the server has said that it has every part.
//!
//! Invariants: one frame of it is in flight at a time; what was answered with an error is aborted, never committed.

use super::asked::{Asked, Subject, asked, op_bytes, refusal};
use super::{Client, Lost, Refusal, lost};
use crate::error::Error;
use crate::seam::{Level, Op, OpId};
use crate::translate;
use txn::CommitSet;
use wire::limits::PARTS_MAX;
use wire::{Answer, List, Outcome, Part};

/// Bytes of a frame of parts, as far as they can be cut: large enough to cost little, small enough to find memory in the server.
const PIECE_BYTES: usize = 4 << 20;

/// What a frame in flight is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// An operation: its answer is the operation's.
    Whole,
    /// A step towards a commit.
    Step,
    /// A transaction of which nobody here has the name any more is given up.
    Farewell,
    /// The client says who it is.
    Identify,
    /// The client asks what became of what had no answer.
    Fates,
}

/// How far a commit in pieces is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The server was asked for a transaction.
    Opening,
    /// So many parts are on their way or there.
    Adding { txn: u64, parts: usize },
    /// It was refused; the transaction is being given up.
    Aborting,
}

/// A commit in pieces.
#[derive(Debug)]
pub(super) struct Staging {
    id: OpId,
    set: CommitSet,
    level: Level,
    /// Its number, if it has one.
    request: Option<u64>,
    stage: Stage,
}

/// Whether an operation is a commit too large for a frame.
pub(super) fn is_larger(op: &Op, frame_bytes: usize) -> bool {
    let (Op::Commit { set, .. } | Op::CommitOnce { set, .. }) = op else { return false };
    op_bytes(op) > frame_bytes || set.len() + set.ranges().len() > PARTS_MAX
}

/// The parts of a set from the one at `first` on, as many as one frame of so many bytes should have.
fn piece(set: &CommitSet, first: usize, bytes_max: usize) -> Vec<Part<'_>> {
    let mut bytes = 0;
    let parts = translate::parts_out(set).skip(first).take(PARTS_MAX);
    parts
        .enumerate()
        .take_while(|(at, part)| {
            bytes += part_bytes(part);
            *at == 0 || bytes <= bytes_max
        })
        .map(|(_, part)| part)
        .collect()
}

/// About how many bytes a part takes; what is not its content is less than the constant.
fn part_bytes(part: &Part<'_>) -> usize {
    64 + part.content_bytes()
}

impl Client {
    /// The first operation that waits is a commit too large for a frame: begins to send it in pieces, unless a part of it is too large
    /// alone.
    pub(super) fn stage_ahead(&mut self, frame_bytes: usize) -> bool {
        let Some((_, op @ Op::Commit { set, .. })) = self.waiting.front() else { return false };
        let stage = set.stage().cloned();
        if stage.is_none() && !is_larger(op, frame_bytes) {
            return false;
        }
        let largest = translate::parts_out(set).map(|part| part_bytes(&part)).max().unwrap_or(0);
        let (id, op) = self.take_waiting();
        if largest > frame_bytes {
            let (what, value, limit) = ("the largest part of the commit", largest as u64, frame_bytes as u64);
            self.answers.push((id, Err(Refusal::Domain(Error::Limit { what, value, limit }))));
            return true;
        }
        let Op::Commit { set, level } = op else { unreachable!("it was looked at just now") };
        if let Some(stage) = stage {
            // The server's transaction that has its values gets its parts too, and ends with the commit.
            self.stages.retain(|open| *open != stage);
            self.add_piece(Staging { id, set, level, request: None, stage: Stage::Opening }, stage.number(), 0);
            return true;
        }
        let request = self.keeper.as_mut().map(|keeper| keeper.number().request);
        if let (Some(request), Some(keeper)) = (request, &mut self.keeper) {
            keeper.keep(request, id, set.clone(), level);
        }
        self.begin_staging(id, set, level, request);
        true
    }

    /// Begins to send a commit in pieces.
    pub(super) fn begin_staging(&mut self, id: OpId, set: CommitSet, level: Level, request: Option<u64>) {
        self.staging = Some(Staging { id, set, level, request, stage: Stage::Opening });
        self.step(id, wire::Op::TxnOpen);
    }

    /// Whether an operation names a stage that is open on this connection, or none.
    pub(super) fn check_stage(&self, op: &Op) -> Result<(), Refusal> {
        let names = |stage: &txn::Stage| self.stages.contains(stage);
        let known = if let Op::Stage(what) = op {
            names(&what.stage)
        } else if let Op::ReadStaged { stage, .. } = op {
            names(stage)
        } else if let Op::Commit { set, .. } | Op::CommitOnce { set, .. } = op {
            set.stage().is_none_or(names)
        } else {
            true
        };
        if known { Ok(()) } else { Err(Refusal::Domain(Error::StageGone)) }
    }

    /// Gives a transaction up whose name nobody has any more; `false` when there is none.
    pub(super) fn give_up_stage(&mut self) -> bool {
        let Some(at) = self.stages.iter().position(txn::Stage::is_abandoned) else { return false };
        let stage = self.stages.swap_remove(at);
        let frame = self.frame_last + 1;
        self.writer.request(frame, 0, wire::Op::TxnAbort { txn: stage.number() }).expect("an abort is small");
        self.fly(frame, vec![Asked { role: Role::Farewell, ..Asked::of(OpId(0), Subject::Nothing) }]);
        true
    }

    /// A commit in pieces was refused before it was sent.
    fn refused_step(&mut self, id: OpId, request: Option<u64>, fault: &wire::Fault<'_>) -> Result<(), Lost> {
        let result = Err(refusal(&Subject::Nothing, fault));
        let mut asked = Asked { request, ..Asked::of(id, Subject::Nothing) };
        if let Some(lost) = self.survives(&mut asked, &result) {
            return Err(lost);
        }
        match request {
            Some(request) => self.settle_request(request, result),
            None => self.answers.push((id, result)),
        }
        Ok(())
    }

    /// Sends a frame that is a step towards the commit.
    fn step(&mut self, id: OpId, op: wire::Op<'_>) {
        let frame = self.frame_last + 1;
        self.writer.request(frame, 0, op).expect("a step was made to fit its frame");
        self.fly(frame, vec![Asked { role: Role::Step, ..Asked::of(id, Subject::Nothing) }]);
    }

    /// The server has answered a step.
    pub(super) fn stepped(&mut self, outcome: Outcome<'_>) -> Result<(), Lost> {
        let Some(mut staging) = self.staging.take() else { return Err(lost("it answered a step of nothing")) };
        let (id, request, stage) = (staging.id, staging.request, staging.stage);
        match (stage, outcome.into_result()) {
            (Stage::Opening, Ok(Answer::Opened { txn })) => self.add_piece(staging, txn, 0),
            (Stage::Adding { txn, parts }, Ok(Answer::Done)) => self.add_piece(staging, txn, parts),
            (Stage::Opening, Err(fault)) => return self.refused_step(id, request, &fault),
            (Stage::Adding { txn, .. }, Err(fault)) => {
                self.refused_step(id, request, &fault)?;
                // The server may have given it up already, which it says, and which is as well.
                (staging.set, staging.stage) = (CommitSet::new(), Stage::Aborting);
                self.staging = Some(staging);
                self.step(id, wire::Op::TxnAbort { txn });
            }
            (Stage::Aborting, Ok(Answer::Done) | Err(_)) => {}
            (Stage::Opening | Stage::Adding { .. } | Stage::Aborting, Ok(_)) => {
                self.staging = Some(staging);
                return Err(lost("it answered with what was not asked"));
            }
        }
        Ok(())
    }

    /// Sends the parts from this one on, or the commit when all are there.
    fn add_piece(&mut self, mut staging: Staging, txn: u64, first: usize) {
        let frame_bytes = self.greeting.as_ref().map_or(0, |greeting| greeting.limits.request_frame_bytes as usize);
        let mut parts = piece(&staging.set, first, PIECE_BYTES.min(frame_bytes));
        if let Some(keeper) = &self.keeper {
            keeper.rename_in(&mut parts);
        }
        if parts.is_empty() {
            let options = translate::options_out(staging.level);
            let frame = self.frame_last + 1;
            let commit = match staging.request {
                None => wire::Op::TxnCommit { txn, options },
                Some(request) => wire::Op::TxnCommitOnce { request, txn, options },
            };
            self.writer.request(frame, 0, commit).expect("a commit by its handle is small");
            // An empty set of the same level: what is asked of the answer is the same for all commits.
            let commit = Op::Commit { set: CommitSet::new(), level: staging.level };
            self.fly(frame, vec![Asked { request: staging.request, ..asked(staging.id, &commit) }]);
            return;
        }
        let sent = first + parts.len();
        let frame = self.frame_last + 1;
        let parts = List::new(parts).expect("a piece has no more parts than a frame");
        self.writer.request(frame, 0, wire::Op::TxnAdd { txn, parts }).expect("a piece was made to fit its frame");
        let step = Asked { role: Role::Step, ..Asked::of(staging.id, Subject::Nothing) };
        staging.stage = Stage::Adding { txn, parts: sent };
        self.staging = Some(staging);
        self.fly(frame, vec![step]);
    }

    /// The connection has ended: the commit was not sent, so it has not happened.
    pub(super) fn unstage(&mut self, why: &str) {
        let Some(Staging { id, stage, request, .. }) = self.staging.take() else { return };
        // One with a number is kept under it, and answered with those.
        if stage != Stage::Aborting && request.is_none() {
            self.answers.push((id, Err(Refusal::Lost { why: why.to_owned(), maybe_applied: false })));
        }
    }
}
