//! One program on its way: operations asked, requests done one by one, and the power off at every moment.

use super::super::engine::Engine;
use super::super::gather::Asking;
use super::Shape;
use super::program::{Act, Update};
use super::recoveries::{Recoveries, hash_of_image};
use crate::clock::SimClock;
use crate::device::{Bounds, SimDevice};
use crate::model::{Model, Violation, violation};
use domains::{Answer, Domain, Driven, Error, Level, Op, OpId, StageValue};
use segments::{Device, Incarnation, Request, TableId};
use std::collections::{BTreeMap, BTreeSet};
use txn::{Change, CommitSet, Expect, Outgrown, PutOptions};

/// Steps of a program's device at most.
const STEPS_MAX: u32 = 1_000;
/// Time that passes when the device has nothing to do: half of what a commit waits for its epoch's end.
const PAUSE_NANOS: u64 = 500_000;
/// In the middle of a recovery that is crashed, subsets are gone through less finely: superblock copies are many sectors.
const RECOVERY_BOUNDS: Bounds = Bounds { sectors: 2, requests: 4 };

/// How a first life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The power fails, and nothing is left that was not durable.
    Least,
    /// The power fails, and everything is there.
    Whole,
    /// The power fails, and of what was not durable the last request alone is there.
    Last,
    /// The process ends; what it had under way lands, and nothing of what was not durable has become so.
    KilledLanding,
    /// The process ends; what it had under way is missing.
    Killed,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Least, Self::Whole, Self::Last, Self::KilledLanding, Self::Killed];
}

/// Why a program stopped.
#[derive(Debug)]
pub(super) enum Halt {
    /// Something was wrong.
    Violation(Violation),
    /// It has come to the moment that was asked for.
    Moment,
}

impl From<Violation> for Halt {
    fn from(found: Violation) -> Self {
        Self::Violation(found)
    }
}

/// A set as the domain gets it and as its client made it: without and with the values that were written out.
#[derive(Clone, Debug, Default)]
struct Draft {
    set: CommitSet,
    whole: CommitSet,
}

/// What a moment is told from the one before by. A power failure leaves the same and is judged in the same way while no change was
/// asked of the device, no flush has ended, and no commit was sent, answered or announced; a killed process leaves something else
/// also when a request has ended.
type Moment = (u64, u64, u64, usize, u64, u64);

pub(super) struct Run<'x, 'e, E: Engine> {
    recoveries: &'x mut Recoveries<'e, E>,
    shape: Shape,
    domain: E::Domain,
    device: SimDevice,
    clock: SimClock,
    model: Model,
    incarnation: Incarnation,
    table: TableId,
    drafts: [Draft; 2],
    /// Transactions with updates, in the order in which they were begun.
    open: Vec<usize>,
    flying: BTreeSet<u64>,
    answers: BTreeMap<u64, Answer>,
    next_op: u64,
    /// Requests asked that change something, and commits sent.
    asked: (u64, u64),
    /// The hash of what is durable, and after how many flushes it was.
    durable: (u64, u128),
    seen: Option<Moment>,
    moments: u64,
    halt_at: Option<u64>,
}

/// A value that nobody else writes.
pub(in super::super) fn value_of(stamp: u64, bytes: usize) -> Vec<u8> {
    let mut value = vec![7; bytes.max(8)];
    value[..8].copy_from_slice(&stamp.to_le_bytes());
    value
}

/// The bytes of a key.
pub(super) fn key_of(key: usize) -> [u8; 1] {
    [u8::from(key == 1)]
}

impl<'x, 'e, E: Engine> Run<'x, 'e, E> {
    pub(super) fn new(
        recoveries: &'x mut Recoveries<'e, E>,
        device: SimDevice,
        shape: &Shape,
    ) -> Result<Self, Violation> {
        Self::live(recoveries, device, shape, (Model::new(), None))
    }

    /// Opens the device, and goes on with an oracle of the life before, if there was one.
    fn live(
        recoveries: &'x mut Recoveries<'e, E>,
        mut device: SimDevice,
        shape: &Shape,
        (mut model, before): (Model, Option<Incarnation>),
    ) -> Result<Self, Violation> {
        let mut clock = SimClock::new(0);
        let opened = recoveries.engine.open(&mut device, clock.now());
        let (mut domain, opened) = opened.map_err(|error| Violation(format!("opening: {error}")))?;
        let recovered = Asking { domain: &mut domain, device: &mut device, clock: &mut clock }.gather(100)?;
        if let Some(before) = before {
            model.judge(&recovered, opened.cut_of(before))?;
        }
        model.settle(&recovered, opened.incarnation)?;
        let [info] = &recovered.tables[..] else {
            return violation(format!("{} tables were there at the open", recovered.tables.len()));
        };
        let (table, incarnation) = (info.id, opened.incarnation);
        let durable = (device.counts().flushes, hash_of_image(device.durable()));
        Ok(Self {
            recoveries,
            shape: *shape,
            domain,
            device,
            clock,
            model,
            incarnation,
            table,
            drafts: Default::default(),
            open: Vec::new(),
            flying: BTreeSet::new(),
            answers: BTreeMap::new(),
            // Stamps of two lives are not to be the same.
            next_op: u64::from(incarnation.0) << 32,
            asked: (0, 0),
            durable,
            seen: None,
            moments: 0,
            halt_at: None,
        })
    }

    pub(super) fn moments(&self) -> u64 {
        self.moments
    }

    /// Runs the program to its end, and until everything is persistent; or to the moment of this number, and judges nothing.
    pub(super) fn play(&mut self, program: &[Act], halt_at: Option<u64>) -> Result<(), Halt> {
        self.halt_at = halt_at;
        for act in program {
            self.act(*act)?;
            self.turn()?;
            for _ in 0..self.shape.steps_between {
                if self.is_at_rest() {
                    break;
                }
                self.step()?;
            }
        }
        for txn in std::mem::take(&mut self.open) {
            self.commit(txn, Level::Committed);
            self.turn()?;
        }
        for _ in 0..STEPS_MAX {
            if self.is_at_rest() {
                return Ok(());
            }
            self.step()?;
        }
        Err(Violation("the program never came to rest".to_owned()).into())
    }

    fn is_at_rest(&self) -> bool {
        self.flying.is_empty() && self.domain.horizon().persistent >= self.model.last_epoch()
    }

    /// The device does one thing, and the domain hears of it a moment later.
    fn step(&mut self) -> Result<(), Halt> {
        let mut done = Vec::new();
        self.device.complete_in_order(self.shape.newest_first, &mut done);
        if done.is_empty() {
            self.clock.advance(PAUSE_NANOS);
        }
        self.check()?;
        for completion in done {
            self.domain.complete(completion, self.clock.now());
        }
        self.turn()
    }

    fn act(&mut self, act: Act) -> Result<(), Halt> {
        match act {
            Act::Update { txn, key, update } => self.update(txn, key, update)?,
            Act::Commit(txn) => self.commit(txn, Level::Committed),
            Act::Persist(txn) => self.commit(txn, Level::Persistent),
            Act::Abort(txn) => {
                self.open.retain(|open| *open != txn);
                self.drafts[txn] = Draft::default();
            }
            Act::Force => drop(self.submit(Op::Force)),
        }
        Ok(())
    }

    fn update(&mut self, txn: usize, key: usize, update: Update) -> Result<(), Halt> {
        let (table, bytes) = (self.table, key_of(key));
        let there = self.model.get(&(table, bytes.to_vec())).and_then(|known| known.version);
        let expect = there.map_or(Expect::Absent, Expect::At);
        let value = value_of(
            self.next_op << 8 | self.drafts[txn].whole.len() as u64 | (txn as u64) << 4,
            self.shape.value_bytes,
        );
        self.next_op += 1;
        let options = PutOptions::default();
        let change = |set: &mut CommitSet| match update {
            Update::Put => set.upsert(table, &bytes, &value, options),
            Update::Delete => set.delete(table, &bytes),
            Update::Append => set.append(table, &bytes, &value, options, expect),
            Update::Swap => {
                set.compare(table, &bytes, expect)?;
                set.upsert(table, &bytes, &value, options)
            }
        };
        // What a set itself refuses, such as two changes that exclude each other, is left out.
        let Draft { set, whole } = &mut self.drafts[txn];
        let mut changed = whole.clone();
        if change(&mut changed).is_err() || loose_deletes(&changed) > 1 {
            return Ok(());
        }
        *whole = changed;
        change(set).expect("its twin has taken it");
        if !self.open.contains(&txn) {
            self.open.push(txn);
        }
        if self.shape.writes_out && update != Update::Delete {
            self.write_out(txn, &bytes)?;
        }
        Ok(())
    }

    /// Writes the values of a set out that it still has with it.
    fn write_out(&mut self, txn: usize, key: &[u8]) -> Result<(), Halt> {
        if self.drafts[txn].set.stage().is_none() {
            let Answer::Stage(stage) = self.answer_of(Op::OpenStage)? else {
                return Err(Violation("opening a stage was answered with something else".to_owned()).into());
            };
            self.drafts[txn].set.stage_at(stage);
        }
        let left: Vec<Outgrown> = self.drafts[txn].set.values_from(1);
        for of in left {
            let set = &mut self.drafts[txn].set;
            let forget = set.take_forgotten();
            // Bytes that were appended go behind those that were written out for the same key.
            let onto = set.staged_parts().find(|(part, _)| part.key == key).map(|(_, staged)| staged.number);
            let value = set.outgrown_value(&of).expect("nobody has changed it").to_vec();
            let stage = set.stage().expect("it was just opened").clone();
            let (table, key) = (self.table, key.to_vec());
            let what = StageValue { stage, table, key, onto, value, forget };
            let answer = self.answer_of(Op::Stage(Box::new(what)))?;
            let Answer::Staged(Some(number)) = answer else {
                return Err(Violation(format!("writing a value out answered {answer:?}")).into());
            };
            self.drafts[txn].set.staged(&of, number);
        }
        Ok(())
    }

    fn answer_of(&mut self, op: Op) -> Result<Answer, Halt> {
        let id = self.submit(op);
        self.turn()?;
        for _ in 0..STEPS_MAX {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            self.step()?;
        }
        Err(Violation("an operation was never answered".to_owned()).into())
    }

    fn commit(&mut self, txn: usize, level: Level) {
        self.open.retain(|open| *open != txn);
        let Draft { set, whole } = std::mem::take(&mut self.drafts[txn]);
        self.asked.1 += 1;
        self.model.submitted(self.next_op, &whole, level);
        self.submit(Op::Commit { set, level });
    }

    fn submit(&mut self, op: Op) -> u64 {
        let id = self.next_op;
        self.domain.submit(OpId(id), op, self.clock.now());
        self.flying.insert(id);
        self.next_op += 1;
        id
    }

    fn turn(&mut self) -> Result<(), Halt> {
        self.domain.turn(self.clock.now());
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        self.domain.take_requests(&mut requests);
        for (tag, request) in requests {
            self.asked.0 += u64::from(!matches!(request, Request::Read { .. } | Request::Flush));
            self.device.submit(tag, request);
        }
        self.model.noticed(self.domain.horizon().persistent);
        self.domain.take_answers(&mut answers);
        for (OpId(op), answer) in answers {
            self.flying.remove(&op);
            match answer {
                Ok(Answer::Committed(committed)) => self.model.answered(op, &committed)?,
                Ok(Answer::Persistent(_)) => {}
                Ok(answer @ (Answer::Stage(_) | Answer::Staged(_))) => drop(self.answers.insert(op, answer)),
                Err(Error::CompareFailed { failures }) => {
                    let sent = self.model.refused(op);
                    self.model.judge_failures(&sent, &failures)?;
                }
                other => return Err(Violation(format!("operation {op} was answered with {other:?}")).into()),
            }
        }
        self.check()
    }

    /// Lets the power fail now, in every way, if this moment is another than the last.
    fn check(&mut self) -> Result<(), Halt> {
        let (flushes, requests) = (self.device.counts().flushes, self.device.counts().requests);
        let ended = if self.halt_at.is_some() { requests } else { 0 };
        let ((asked, sent), answered) = (self.asked, self.model.commits());
        let moment = (asked, flushes, sent, answered, self.model.last_noticed().0, ended);
        if self.seen.replace(moment) == Some(moment) {
            return Ok(());
        }
        self.moments += 1;
        if self.halt_at.is_some() {
            return if self.halt_at == Some(self.moments) { Err(Halt::Moment) } else { Ok(()) };
        }
        if self.durable.0 != flushes {
            self.durable = (flushes, hash_of_image(self.device.durable()));
        }
        let Self { device, model, incarnation, recoveries, durable, shape, .. } = self;
        device.sectors_left(shape.bounds, &mut |left| {
            recoveries.judge(durable.1, left, (model, *incarnation)).map(drop)
        })?;
        Ok(())
    }

    /// Ends the life and begins the next, whose recovery is first crashed at each of its requests; nothing when another ending
    /// leaves the same here.
    pub(super) fn end(self, ending: Ending) -> Result<Option<Self>, Violation> {
        let Self { recoveries, shape, device, model, incarnation, .. } = self;
        let (unflushed, under_way) = device.changes_pending();
        let is_another = match ending {
            Ending::Least => true,
            Ending::Whole => unflushed + under_way > 0,
            Ending::Last => unflushed + under_way > 1,
            Ending::KilledLanding => unflushed + under_way > 0,
            Ending::Killed => unflushed > 0 && under_way > 0,
        };
        if !is_another {
            return Ok(None);
        }
        let left = match ending {
            Ending::Least => SimDevice::on(device.requests_left(&|_, _| false), 2),
            Ending::Whole => SimDevice::on(device.requests_left(&|_, _| true), 2),
            Ending::Last => SimDevice::on(device.requests_left(&|number, of| number + 1 == of), 2),
            Ending::KilledLanding => device.kill_with(true),
            Ending::Killed => device.kill_with(false),
        };
        for requests in 0.. {
            let mut device = left.copy();
            device.crash_after_reads(requests);
            let opened = recoveries.engine.open(&mut device, SimClock::new(0).now());
            if !device.is_gone() {
                opened.map_err(|error| Violation(format!("opening: {error}")))?;
                break;
            }
            let durable = hash_of_image(device.durable());
            device.sectors_left(RECOVERY_BOUNDS, &mut |left| {
                let judged = recoveries.judge(durable, left, (&model, incarnation));
                judged
                    .map(drop)
                    .map_err(|Violation(what)| Violation(format!("recovery crashed after {requests}: {what}")))
            })?;
        }
        Self::live(recoveries, left, &shape, (model, Some(incarnation))).map(Some)
    }
}

/// Deletes that may find nothing: the oracle can take one a set.
fn loose_deletes(set: &CommitSet) -> usize {
    let loose = |expect| matches!(expect, Expect::Any | Expect::Absent);
    set.parts().filter(|part| part.change == Change::Delete && loose(part.expect)).count()
}
