//! What the transactions of a connection write out before they commit: values that have outgrown a transaction's memory, and values
//! that a client, which gathers the transaction itself, sends ahead of its commit.
//!
//! Contract: a request that adds to a transaction is answered when what it made the transaction outgrow is written out, so who sends on
//! without waiting is held up by its credits. A transaction may be committed meanwhile: it is then committed with what is in
//! memory. One whose values cannot be written out is gone, as one of whose parts one was refused. What was written out is read back
//! for the transaction's own reads, one value after the other.
//!
//! Invariant: numbers of one connection are good in that connection's transactions alone; places never leave the domain.

use super::{OwnAppend, Session, World};
use crate::budget::Kind;
use crate::calls::Purpose;
use crate::convert::outcome;
use domains::{Answer, Error, Op, Pair, StageValue};
use segments::{TableId, Version};
use txn::{Change, CommitSet, Outgrown, Part, PutOptions, Stage, Staged};
use wire::codes;

type Place = (u32, u32);

/// Values of a transaction that are being written out.
#[derive(Debug)]
pub(super) struct Spill {
    txn: u64,
    /// The one that is on its way.
    of: Outgrown,
    left: Vec<Outgrown>,
}

/// A pair that a transaction reads, of whose value a part was written out.
#[derive(Debug)]
pub(super) struct Missing {
    /// Its position among the pairs of the answer.
    pub(super) at: usize,
    /// Where in its value the part belongs.
    pub(super) offset: usize,
    pub(super) staged: Staged,
}

/// An answer that lacks what was written out.
#[derive(Debug)]
pub(super) struct Filling {
    stage: Stage,
    table: TableId,
    pairs: Vec<Pair>,
    missing: Vec<Missing>,
    becomes: Becomes,
}

/// What becomes of an answer when nothing is missing any more.
#[derive(Debug)]
pub(super) enum Becomes {
    /// A lookup's.
    Pair,
    /// A batch of an iteration, with whether there may be more.
    Pairs { more: bool },
    /// What the transaction has appended; what it stands behind is looked up then.
    Append { txn: u64, options: PutOptions },
}

/// A pair of a transaction's own, as far as it is in memory: it has no version yet.
pub(super) fn own_pair(part: &Part<'_>, value: &[u8], options: PutOptions) -> Pair {
    let (key, value, version) = (part.key.to_vec(), value.to_vec(), Version::default());
    Pair { key, value, version, expires_ms: options.expires_ms, compressed: options.compressed }
}

impl Session {
    /// A transaction has parts more: what it has outgrown is written out, and the request that brought them answered.
    pub(super) fn spill(&mut self, place: Place, txn: u64, world: &mut World<'_>) {
        let mut left = self.transactions.set(txn, world.now).map_or_else(Vec::new, CommitSet::outgrown);
        let Some(of) = left.pop() else { return self.added(place, world) };
        if let Err(error) = self.begin_stage(txn, world) {
            return self.spill_failed(place, txn, error, world);
        }
        self.spills.insert(place, Spill { txn, of, left });
        self.write_out(place, world);
    }

    /// Gives a transaction its stage, if it has none.
    pub(super) fn begin_stage(&mut self, txn: u64, world: &mut World<'_>) -> Result<Option<Stage>, Error> {
        let Some(set) = self.transactions.set(txn, world.now) else { return Ok(None) };
        if set.stage().is_none() {
            match world.direct.ask(None, Op::OpenStage) {
                Some(Ok(Answer::Stage(stage))) => set.stage_at(stage),
                Some(Err(error)) => return Err(error),
                other => unreachable!("a stage is opened within the call, and came as {other:?}"),
            }
        }
        Ok(set.stage().cloned())
    }

    /// Writes out the value whose turn it is, and all after it that the domain takes at once.
    fn write_out(&mut self, place: Place, world: &mut World<'_>) {
        loop {
            let spill = self.spills.get(&place).expect("the caller has looked");
            let set = self.transactions.set(spill.txn, world.now);
            // Replaced since, or with its transaction gone: there is nothing to write.
            let Some(what) = set.and_then(|set| stage_value(set, &spill.of)) else {
                if self.next_value(place, world) { continue } else { return }
            };
            match world.direct.ask(Some(place), Op::Stage(Box::new(what))) {
                None => return,
                Some(result) => {
                    if !self.written(place, &result, world) {
                        return;
                    }
                }
            }
        }
    }

    /// Takes the answer to a value that was written out; whether there is another to be written.
    fn written(&mut self, place: Place, result: &Result<Answer, Error>, world: &mut World<'_>) -> bool {
        let Spill { txn, of, .. } = self.spills.get(&place).expect("the caller has looked");
        match (result, self.transactions.set(*txn, world.now)) {
            (Ok(Answer::Staged(Some(number))), Some(set)) => set.staged(of, *number),
            (Ok(Answer::Staged(None)), Some(set)) => set.stays(of),
            (Err(error), Some(_)) => {
                let (txn, error) = (*txn, error.clone());
                self.spills.remove(&place);
                self.spill_failed(place, txn, error, world);
                return false;
            }
            (Ok(Answer::Staged(_)) | Err(_), None) => {}
            (Ok(other), _) => unreachable!("a value that was written out was answered with {other:?}"),
        }
        self.next_value(place, world)
    }

    /// Goes on to the next value. When there is none the memory is given back and the request answered.
    fn next_value(&mut self, place: Place, world: &mut World<'_>) -> bool {
        let spill = self.spills.get_mut(&place).expect("the caller has looked");
        if let Some(of) = spill.left.pop() {
            spill.of = of;
            return true;
        }
        let txn = spill.txn;
        self.spills.remove(&place);
        let others = self.spills.values().any(|spill| spill.txn == txn);
        if let Some(set) = self.transactions.set(txn, world.now).filter(|_| !others) {
            set.compact();
        }
        self.added(place, world);
        false
    }

    fn spill_failed(&mut self, place: Place, txn: u64, error: Error, world: &mut World<'_>) {
        drop(self.transactions.take(txn));
        self.fault_of(place, error, world);
    }

    /// The domain has answered a value that was written out; `false` when it was none.
    pub(super) fn spilled(&mut self, place: Place, result: &Result<Answer, Error>, world: &mut World<'_>) -> bool {
        if !self.spills.contains_key(&place) {
            return false;
        }
        if self.written(place, result, world) {
            self.write_out(place, world);
        }
        true
    }

    /// A client writes a value of its own transaction out.
    pub(super) fn txn_stage(&mut self, place: Place, op: &wire::Op<'_>, world: &mut World<'_>) {
        let wire::Op::TxnStage { txn, table, key, onto, value, forget } = op else {
            unreachable!("the dispatcher has looked")
        };
        match self.begin_stage(*txn, world) {
            Ok(None) => self.refuse(place, codes::NO_SUCH_TRANSACTION, world),
            Err(error) => self.spill_failed(place, *txn, error, world),
            Ok(Some(stage)) => {
                let (table, key, value) = (TableId(*table), key.0.to_vec(), value.bytes().to_vec());
                let what = StageValue { stage, table, key, onto: *onto, value, forget: forget.to_vec() };
                world.asked.push((Some(place), Op::Stage(Box::new(what))));
            }
        }
    }

    /// A client reads back what its own transaction has written out.
    pub(super) fn txn_staged(
        &mut self,
        place: Place,
        (txn, number): (u64, u32),
        (table, key): (u32, &[u8]),
        world: &mut World<'_>,
    ) {
        match self.transactions.set(txn, world.now).map(|set| set.stage().cloned()) {
            None => self.refuse(place, codes::NO_SUCH_TRANSACTION, world),
            Some(None) => self.fault_of(place, Error::NotStaged { number }, world),
            Some(Some(stage)) => {
                self.calls.set_purpose(place, Purpose { reads: true, ..Purpose::default() });
                let (table, key) = (TableId(table), key.to_vec());
                world.asked.push((Some(place), Op::ReadStaged { stage, number, table, key }));
            }
        }
    }

    /// Answers pairs of which parts were written out, when these have been read.
    pub(super) fn fill(
        &mut self,
        place: Place,
        (stage, table): (Stage, TableId),
        (pairs, missing): (Vec<Pair>, Vec<Missing>),
        becomes: Becomes,
        world: &mut World<'_>,
    ) {
        let more = missing.iter().map(|missing| missing.staged.bytes as usize).sum();
        if !world.memory.raise(Kind::Request, more) {
            return self.refuse(place, codes::MEMORY_FULL, world);
        }
        self.fillings.insert(place, Filling { stage, table, pairs, missing, becomes });
        self.read_missing(place, world);
    }

    /// Memory of answers that lack what was written out.
    pub(super) fn filling_bytes(&self) -> usize {
        let missing =
            |filling: &Filling| filling.missing.iter().map(|missing| missing.staged.bytes as usize).sum::<usize>();
        let there = |filling: &Filling| filling.pairs.iter().map(|pair| pair.value.len()).sum::<usize>();
        self.fillings.values().map(|filling| missing(filling) + there(filling)).sum()
    }

    /// Asks for the next part that is missing.
    fn read_missing(&mut self, place: Place, world: &mut World<'_>) {
        let filling = &self.fillings[&place];
        let missing = filling.missing.last().expect("something is missing");
        let (stage, table) = (filling.stage.clone(), filling.table);
        let (number, key) = (missing.staged.number, filling.pairs[missing.at].key.clone());
        world.asked.push((Some(place), Op::ReadStaged { stage, number, table, key }));
    }

    /// The domain has answered a part that was missing; `false` when it was none.
    pub(super) fn filled(&mut self, place: Place, result: &Result<Answer, Error>, world: &mut World<'_>) -> bool {
        let Some(filling) = self.fillings.get_mut(&place) else { return false };
        let value = match result {
            Ok(Answer::Value(value)) => value,
            Ok(other) => unreachable!("what was written out was answered with {other:?}"),
            Err(error) => {
                self.fillings.remove(&place);
                self.fault_of(place, error.clone(), world);
                return true;
            }
        };
        let Missing { at, offset, .. } = filling.missing.pop().expect("something was missing");
        filling.pairs[at].value.splice(offset..offset, value.iter().copied());
        if !filling.missing.is_empty() {
            self.read_missing(place, world);
            return true;
        }
        let Filling { table, mut pairs, becomes, .. } = self.fillings.remove(&place).expect("just seen");
        let whole = match becomes {
            Becomes::Pairs { more } => Answer::Pairs { pairs, more },
            Becomes::Pair => Answer::Pair(pairs.pop()),
            Becomes::Append { txn, options } => {
                let Pair { key, value, .. } = pairs.pop().expect("it is of one pair");
                let own = OwnAppend { key: key.clone(), value, options };
                let key = wire::Bytes(&key);
                self.lookup_below(place, txn, (table.0, key), own, world);
                return true;
            }
        };
        let (whole, purpose, mut text) = (Ok(whole), self.calls.purpose(place), String::new());
        let outcome = outcome(&whole, self.features, &mut text);
        self.settle(place, purpose, outcome, world);
        true
    }
}

/// What a transaction reads of a key of which it has written something out: nothing if it has not.
pub(super) fn own_lookup(set: &CommitSet, txn: u64, table: TableId, key: &[u8]) -> Option<(Pair, Missing, Becomes)> {
    let part = set.find(table, key)?;
    let missing = Missing { at: 0, offset: 0, staged: part.staged? };
    match part.change {
        Change::Put { value, options } => Some((own_pair(&part, value, options), missing, Becomes::Pair)),
        Change::Append { value, options } => {
            Some((own_pair(&part, value, options), missing, Becomes::Append { txn, options }))
        }
        Change::None | Change::Delete | Change::Revert { .. } | Change::Seal { .. } => None,
    }
}

/// What is to be written of a value that is still the set's.
fn stage_value(set: &mut CommitSet, of: &Outgrown) -> Option<StageValue> {
    let value = set.outgrown_value(of)?.to_vec();
    let part = set.part(of.position)?;
    let (table, key, onto) = (part.table, part.key.to_vec(), part.staged.map(|staged| staged.number));
    let stage = set.stage().expect("it was opened first").clone();
    Some(StageValue { stage, table, key, onto, value, forget: set.take_forgotten() })
}
