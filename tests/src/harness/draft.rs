//! Transactions that write values out before they commit: a client that has no memory for them.
//!
//! Contract: a draft is a set whose values are written out one after the other, some in two pieces and some read back, and that is then
//! committed or, now and then, given up. The oracle hears of it when it is committed, as of any commit: until then nobody may see
//! anything of it, and of one that is given up, or that a crash finds open, nobody ever does.

use super::Engine;
use super::life::{Flying, Life};
use crate::model::{Violation, violation};
use domains::{Answer, Level, Op, StageValue};
use segments::TableId;
use std::collections::BTreeMap;
use txn::{Change, CommitSet, Outgrown, Stage};

/// A transaction on its way to its commit.
#[derive(Debug)]
struct Draft {
    /// As the domain will get it.
    set: CommitSet,
    /// As its client made it.
    whole: CommitSet,
    level: Level,
    left: Vec<Outgrown>,
    is_given_up: bool,
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    open: BTreeMap<u64, Draft>,
    next: u64,
    /// Everything is brought to rest: none goes on.
    pub(super) ended: bool,
}

/// What an operation does for a draft.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// It begins.
    Open,
    /// A value is written, or its first half.
    Write { of: Outgrown, rest: Vec<u8> },
    /// A value that was written is read back.
    Read { number: u32, value: Vec<u8> },
}

/// Whether a set may wait a while for its commit: what a revert finds then the oracle could not tell.
fn may_wait(set: &CommitSet) -> bool {
    set.parts().all(|part| !matches!(part.change, Change::Revert { .. } | Change::Seal { .. }))
}

impl<E: Engine> Life<'_, '_, E> {
    /// Begins to write the values of a set out, if it can be one of those.
    pub(super) fn begin_draft(&mut self, set: &CommitSet, level: Level) -> bool {
        let (rng, few) = (&mut self.world.rng, [1, 1, 300]);
        let left = set.values_from(*rng.pick(&few));
        if left.is_empty() || !may_wait(set) {
            return false;
        }
        let is_given_up = rng.chance(1, 5);
        self.drafts.next += 1;
        let draft = Draft { set: set.clone(), whole: set.clone(), level, left, is_given_up };
        self.drafts.open.insert(self.drafts.next, draft);
        self.submit(Flying::Draft { number: self.drafts.next, step: Step::Open }, Op::OpenStage);
        true
    }

    /// Takes the answer to a step.
    pub(super) fn drafted(&mut self, number: u64, step: Step, answer: Answer) -> Result<(), Violation> {
        let Some(draft) = self.drafts.open.get_mut(&number) else {
            return violation(format!("draft {number} is gone, and {step:?} of it was answered"));
        };
        if self.drafts.ended {
            self.draft_failed(number);
            return Ok(());
        }
        match (step, answer) {
            (Step::Open, Answer::Stage(stage)) => draft.set.stage_at(stage),
            (Step::Write { of, .. }, Answer::Staged(None)) => draft.set.stays(&of),
            (Step::Write { of, rest }, Answer::Staged(Some(onto))) if !rest.is_empty() => {
                self.write(number, of, Some(onto), rest, Vec::new());
                return Ok(());
            }
            (Step::Write { of, .. }, Answer::Staged(Some(named))) => {
                let value = draft.set.outgrown_value(&of).expect("nobody has changed it").to_vec();
                draft.set.staged(&of, named);
                self.world.stats.staged += 1;
                if self.world.rng.chance(1, 6) {
                    self.read_back(number, &of, named, value);
                    return Ok(());
                }
            }
            (Step::Read { number: named, value }, Answer::Value(found)) => {
                if found != value {
                    let (found, value) = (found.len(), value.len());
                    return violation(format!("what was written out under {named} reads {found} bytes, not {value}"));
                }
            }
            (step, answer) => return violation(format!("{step:?} of a draft was answered with {answer:?}")),
        }
        self.go_on(number);
        Ok(())
    }

    /// A step was refused: the transaction is given up.
    pub(super) fn draft_failed(&mut self, number: u64) {
        self.drafts.open.remove(&number);
    }

    fn go_on(&mut self, number: u64) {
        let draft = self.drafts.open.get_mut(&number).expect("the caller has looked");
        let Some(of) = draft.left.pop() else {
            let Draft { set, whole, level, is_given_up, .. } = self.drafts.open.remove(&number).expect("just seen");
            if is_given_up {
                self.world.stats.given_up += 1;
            } else {
                self.world.model.submitted(self.next_op, &whole, level);
                self.submit(Flying::Commit, Op::Commit { set, level });
            }
            return;
        };
        let mut value = draft.set.outgrown_value(&of).expect("nobody has changed it").to_vec();
        let rest = match self.world.rng.chance(1, 4) && value.len() > 1 {
            true => value.split_off(value.len() / 2),
            false => Vec::new(),
        };
        self.write(number, of, None, value, rest);
    }

    fn write(&mut self, number: u64, of: Outgrown, onto: Option<u32>, value: Vec<u8>, rest: Vec<u8>) {
        let (stage, table, key) = self.place_in(number, &of);
        let what = StageValue { stage, table, key, onto, value, forget: Vec::new() };
        self.submit(Flying::Draft { number, step: Step::Write { of, rest } }, Op::Stage(Box::new(what)));
    }

    fn read_back(&mut self, draft: u64, of: &Outgrown, number: u32, value: Vec<u8>) {
        let (stage, table, key) = self.place_in(draft, of);
        let step = Step::Read { number, value };
        self.submit(Flying::Draft { number: draft, step }, Op::ReadStaged { stage, number, table, key });
    }

    fn place_in(&self, number: u64, of: &Outgrown) -> (Stage, TableId, Vec<u8>) {
        let draft = &self.drafts.open[&number];
        let part = draft.set.part(of.position).expect("a value is of a part");
        let stage = draft.set.stage().expect("it was opened first");
        (stage.clone(), part.table, part.key.to_vec())
    }
}
