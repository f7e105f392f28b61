//! A column whose every value is written out before its commit: no answer tells, so the whole suite holds for it, but for how much
//! a record takes and how often the device is read for it.
//!
//! Contract: a commit whose values cannot be written out (its table is gone, its key is none) is sent as it came, so that what is wrong is
//! told by the commit.

use super::{Column, Lack, Persistent};
use domains::{Answer, Capabilities, Horizon, Op, StageValue};
use lostore::Error;
use segments::{TableId, Version};
use txn::CommitSet;

/// The persistent domain, by way of stages.
pub(super) struct WrittenOut {
    inner: Persistent,
}

impl WrittenOut {
    pub(super) fn new() -> Self {
        Self { inner: Persistent::new(64) }
    }

    /// The set with its values written out; nothing when that is refused.
    fn write_out(&mut self, mut set: CommitSet) -> Result<CommitSet, Error> {
        let values = set.values_from(1);
        if values.is_empty() || set.stage().is_some() {
            return Ok(set);
        }
        let Answer::Stage(stage) = self.inner.call(Op::OpenStage)? else { panic!("a stage was asked for") };
        set.stage_at(stage.clone());
        for of in values {
            let part = set.part(of.position).expect("a value is of a part");
            let (table, key) = (part.table, part.key.to_vec());
            let value = set.outgrown_value(&of).expect("nobody has changed it").to_vec();
            let what = StageValue { stage: stage.clone(), table, key, onto: None, value, forget: Vec::new() };
            match self.inner.call(Op::Stage(Box::new(what)))? {
                Answer::Staged(Some(number)) => set.staged(&of, number),
                Answer::Staged(None) => set.stays(&of),
                other => panic!("a value that was written out was answered with {other:?}"),
            }
        }
        set.compact();
        Ok(set)
    }
}

impl Column for WrittenOut {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn call(&mut self, op: Op) -> Result<Answer, Error> {
        let Op::Commit { set, level } = op else { return self.inner.call(op) };
        let set = self.write_out(set.clone()).unwrap_or(set);
        self.inner.call(Op::Commit { set, level })
    }

    fn peek(&mut self, table: TableId, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Error> {
        self.inner.peek(table, key)
    }

    fn horizon(&self) -> Horizon {
        self.inner.horizon()
    }

    fn unix_ms(&self) -> u64 {
        self.inner.unix_ms()
    }

    fn pass(&mut self, ms: u64) {
        self.inner.pass(ms);
    }

    fn lacks(&self, what: Lack) -> bool {
        what == Lack::OneRecord || self.inner.lacks(what)
    }

    fn reopen(&mut self) {
        self.inner.reopen();
    }
}
