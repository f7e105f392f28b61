//! A script: operations in a fixed order, one after the other, and what must hold whatever the device refuses meanwhile.
//!
//! Contract: [`play`] runs a script with one error planned, or with none. Who is refused stops there. Then it is asked whether the
//! store still commits, which it must unless a log write or a flush has failed, and must not if one has; and what the device could hold
//! after a power failure, at the least and at the most, and after the end of the process, is recovered on a sound device and judged by
//! the oracle. Every error must say what it is by its code, and every question is answered.

use super::engine::{Engine, Opened, Persistent};
use super::gather::{Asking, STEPS_STUCK};
use crate::clock::SimClock;
use crate::device::{FaultKind, Faults, SimDevice};
use crate::model::{Model, TableChange, Violation, violation};
use domains::persistent::{self, Entropy};
use domains::schema::{TableHome, TableKind};
use domains::{Answer, Driven, Error, ErrorKind, Level, Op, OpId, StageValue, TableSpec};
use segments::page::{self, PageKind};
use segments::{Device, DeviceError, DomainId, Incarnation, TableId};
use std::collections::BTreeMap;
use std::task::Poll;
use txn::{CommitSet, PutOptions};

/// By which the script's store tells its pages from others'.
const SALT: u32 = 77;
/// A lease longer than any script.
const LEASE_MS: u64 = 1 << 50;

/// One operation. Tables go by their names, keys by a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The device is formatted if it is blank, and recovered.
    Open,
    /// A table comes to be.
    Create(&'static str, TableKind),
    /// A table goes.
    Destroy(&'static str),
    /// One commit puts so many keys, from this one on, each with so many bytes.
    Put(&'static str, u8, u8, usize, Level),
    /// Bytes go behind what a key holds.
    Append(&'static str, u8, usize),
    /// A key goes.
    Delete(&'static str, u8),
    /// A value is written out, then committed.
    Staged(&'static str, u8, usize),
    /// A value is written out, and given up.
    GivenUp(&'static str, u8, usize),
    /// A key is put so that it can be put back.
    Revertible(&'static str, u8, usize),
    /// What the last of those did is undone.
    Revert(&'static str, u8),
    /// A key is read from the device.
    Read(&'static str, u8),
    /// Everything is made persistent.
    Force,
    /// The store ends in order.
    Close,
    /// Everything is to be made persistent, and the process ends when the device has done so many requests of that.
    Kill(u32),
}

/// What the device is to refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The n-th request of all, counted from 0.
    Once(u64, DeviceError),
    /// That one and all later ones.
    From(u64, DeviceError),
    /// The device is gone after so many.
    Gone(u64),
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Requests that were given an error, or were cut off.
    pub refused: u64,
    /// The code of the error that ended the script.
    pub code: Option<u16>,
    /// Whether the store took nothing more.
    pub poisoned: bool,
    /// Whether it went on although something had been refused.
    pub went_on: bool,
    /// Refused writes that poisoned nothing: of summaries, which are a hint.
    pub hints: u64,
    /// Recoveries judged.
    pub judged: u64,
}

/// Plays a script.
///
/// # Errors
/// The first thing that must not be.
pub fn play(engine: &Persistent, script: &[Step], refusal: Option<Refusal>) -> Result<Report, Violation> {
    let mut player = Player::new(engine);
    match refusal {
        Some(Refusal::Once(nth, error)) => player.device.set_faults(Faults::of_any(nth, false, error)),
        Some(Refusal::From(nth, error)) => player.device.set_faults(Faults::of_any(nth, true, error)),
        Some(Refusal::Gone(after)) => player.device.crash_after(after),
        None => {}
    }
    for step in script {
        if let Err(error) = player.step(*step)? {
            player.judge_error(*step, &error)?;
            player.report.code = Some(error.code());
            break;
        }
        if player.domain.is_none() && player.device.is_gone() {
            break;
        }
    }
    if refusal.is_none() && player.report.code.is_some() {
        return violation(format!("without a refusal the script ended with {:?}", player.report.code));
    }
    player.finish(matches!(refusal, Some(Refusal::Once(..)) | None))
}

struct Player<'e> {
    engine: &'e Persistent,
    device: SimDevice,
    domain: Option<Box<dyn Driven>>,
    clock: SimClock,
    model: Model,
    incarnation: Incarnation,
    tables: BTreeMap<&'static str, TableId>,
    next_op: u64,
    /// Requests that had been refused when the store was opened last: those later were asked by the store at work.
    struck_at_open: usize,
    report: Report,
}

impl<'e> Player<'e> {
    fn new(engine: &'e Persistent) -> Self {
        Self {
            engine,
            device: SimDevice::new(0, 1),
            domain: None,
            clock: SimClock::new(1_790_000_000_000),
            model: Model::new(),
            incarnation: Incarnation::default(),
            tables: BTreeMap::new(),
            next_op: 0,
            struck_at_open: 0,
            report: Report::default(),
        }
    }

    fn step(&mut self, step: Step) -> Result<Result<(), Error>, Violation> {
        let options = PutOptions::default();
        match step {
            Step::Open => self.open(),
            Step::Create(name, kind) => self.create(name, kind),
            Step::Destroy(name) => self.destroy(name),
            Step::Put(table, first, count, bytes, level) => {
                let (table, mut set) = (self.tables[table], CommitSet::new());
                for key in first..first + count {
                    let value = self.value(bytes);
                    set.upsert(table, &[key], &value, options).expect("it has room");
                }
                self.commit(set.clone(), &set, level)
            }
            Step::Append(table, key, bytes) => {
                let (table, mut set, value) = (self.tables[table], CommitSet::new(), self.value(bytes));
                let there = self.model.get(&(table, vec![key])).and_then(|known| known.version);
                let expect = txn::Expect::At(there.expect("a script appends to what is there"));
                set.append(table, &[key], &value, options, expect).expect("it has room");
                self.commit(set.clone(), &set, Level::Committed)
            }
            Step::Delete(table, key) => {
                let (table, mut set) = (self.tables[table], CommitSet::new());
                set.delete(table, &[key]).expect("it has room");
                self.commit(set.clone(), &set, Level::Committed)
            }
            Step::Staged(table, key, bytes) => self.staged(table, key, bytes, true),
            Step::GivenUp(table, key, bytes) => self.staged(table, key, bytes, false),
            Step::Revertible(table, key, bytes) => {
                let (table, mut set, value) = (self.tables[table], CommitSet::new(), self.value(bytes));
                let options = PutOptions { revertible_ms: Some(LEASE_MS), ..options };
                set.upsert(table, &[key], &value, options).expect("it has room");
                self.commit(set.clone(), &set, Level::Committed)
            }
            Step::Revert(table, key) => {
                let (table, mut set) = (self.tables[table], CommitSet::new());
                let token = self.model.token(&(table, vec![key])).expect("a script reverts what it has written");
                set.revert(table, &[key], token).expect("it has room");
                self.commit(set.clone(), &set, Level::Committed)
            }
            Step::Read(table, key) => self.read(self.tables[table], key),
            Step::Force => Ok(self.ask(Op::Force)?.map(drop)),
            Step::Close => self.close(),
            Step::Kill(requests) => {
                self.kill(requests);
                Ok(Ok(()))
            }
        }
    }

    /// A value that nobody else writes.
    fn value(&mut self, bytes: usize) -> Vec<u8> {
        self.next_op += 1;
        super::exhaustive::value_of(self.next_op, bytes)
    }

    fn open(&mut self) -> Result<Result<(), Error>, Violation> {
        self.struck_at_open = self.device.struck().len();
        let begun = persistent::is_blank(&mut self.device).and_then(|blank| {
            let entropy = Entropy { domain: DomainId(5), salt: SALT, hash_key: [3; 16] };
            if blank { persistent::format(&mut self.device, &self.engine.config, entropy) } else { Ok(()) }
        });
        let opened = match begun.and_then(|()| self.engine.open(&mut self.device, self.clock.now())) {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        self.struck_at_open = self.device.struck().len();
        let (mut domain, opened) = opened;
        let mut compare = || {
            let sight = (&mut self.device, &mut self.clock);
            judge(&mut self.model, &mut domain, sight, &opened, self.incarnation)
        };
        // A listing that was refused is asked for once more. Until it has been compared the store is asked nothing else.
        let judged = match compare()? {
            Err(_) => compare()?,
            Ok(()) => Ok(()),
        };
        if judged.is_err() {
            return Ok(judged);
        }
        self.incarnation = opened.incarnation;
        self.domain = Some(domain);
        Ok(Ok(()))
    }

    fn create(&mut self, name: &'static str, kind: TableKind) -> Result<Result<(), Error>, Violation> {
        let home = TableHome::Persistent;
        let spec = TableSpec { type_name: "scripted".to_owned(), ..TableSpec::plain(kind, home) };
        self.model.table_change = Some(TableChange::Create { name: name.to_owned(), home });
        let answer = self.change_table(Op::CreateTable { name: name.to_owned(), spec })?;
        Ok(match answer {
            Ok(Answer::Table(info)) => {
                self.tables.insert(name, info.id);
                self.model.table_is(info)?;
                Ok(())
            }
            Ok(other) => return violation(format!("creating a table answered {other:?}")),
            Err(error) => Err(error),
        })
    }

    fn destroy(&mut self, name: &'static str) -> Result<Result<(), Error>, Violation> {
        self.model.table_change = Some(TableChange::Destroy { name: name.to_owned() });
        let answer = self.change_table(Op::DestroyTable { name: name.to_owned() })?;
        Ok(answer.map(|_| self.model.table_gone(name)))
    }

    /// Whether a change of the catalog that was not answered for good has happened is seen at the next open.
    fn change_table(&mut self, op: Op) -> Result<Result<Answer, Error>, Violation> {
        let answer = self.ask(op)?;
        if !matches!(&answer, Err(error) if error.kind() == ErrorKind::Poisoned) {
            self.model.table_change = None;
        }
        Ok(answer)
    }

    /// Commits a set; `whole` is what it is with all of its values.
    fn commit(&mut self, set: CommitSet, whole: &CommitSet, level: Level) -> Result<Result<(), Error>, Violation> {
        let op = self.next_op;
        self.next_op += 1;
        self.model.submitted(op, whole, level);
        Ok(match self.ask(Op::Commit { set, level })? {
            Ok(Answer::Committed(committed)) => {
                self.model.answered(op, &committed)?;
                Ok(())
            }
            Ok(other) => return violation(format!("a commit answered {other:?}")),
            // Whether it was applied, and survives, is seen at the next open.
            Err(error) if error.kind() == ErrorKind::Poisoned => Err(error),
            Err(error) => {
                drop(self.model.refused(op));
                Err(error)
            }
        })
    }

    fn staged(
        &mut self,
        table: &'static str,
        key: u8,
        bytes: usize,
        commits: bool,
    ) -> Result<Result<(), Error>, Violation> {
        let (table, mut set, value) = (self.tables[table], CommitSet::new(), self.value(bytes));
        set.upsert(table, &[key], &value, PutOptions::default()).expect("it has room");
        let whole = set.clone();
        let stage = match self.ask(Op::OpenStage)? {
            Ok(Answer::Stage(stage)) => stage,
            Ok(other) => return violation(format!("opening a stage answered {other:?}")),
            Err(error) => return Ok(Err(error)),
        };
        set.stage_at(stage.clone());
        for of in set.values_from(1) {
            let value = set.outgrown_value(&of).expect("nobody has changed it").to_vec();
            let (stage, key) = (stage.clone(), vec![key]);
            let what = StageValue { stage, table, key, onto: None, value, forget: Vec::new() };
            match self.ask(Op::Stage(Box::new(what)))? {
                Ok(Answer::Staged(Some(number))) => set.staged(&of, number),
                Ok(other) => return violation(format!("writing a value out answered {other:?}")),
                Err(error) => return Ok(Err(error)),
            }
        }
        if commits { self.commit(set, &whole, Level::Committed) } else { Ok(Ok(())) }
    }

    fn read(&mut self, table: TableId, key: u8) -> Result<Result<(), Error>, Violation> {
        if let Err(error) = self.ask(Op::DropCache)? {
            return Ok(Err(error));
        }
        let key = (table, vec![key]);
        let mark = self.model.mark(&key);
        Ok(match self.ask(Op::Lookup { table, key: key.1.clone() })? {
            Ok(Answer::Pair(pair)) => {
                let found = pair.map(super::gather::content_of);
                if !self.model.may_read(&key, &mark, found.as_ref()) {
                    return violation(format!("a read of {key:?} was answered wrongly"));
                }
                Ok(())
            }
            Ok(other) => return violation(format!("a lookup answered {other:?}")),
            Err(error) => Err(error),
        })
    }

    fn ask(&mut self, op: Op) -> Result<Result<Answer, Error>, Violation> {
        let Some(domain) = &mut self.domain else { return violation(format!("a script asks a closed store {op:?}")) };
        let answer = Asking { domain, device: &mut self.device, clock: &mut self.clock }.ask(op)?;
        self.model.noticed(domain.horizon().persistent);
        Ok(answer)
    }

    fn kill(&mut self, requests: u32) {
        let mut domain = self.domain.take().expect("a script kills what is open");
        domain.submit(OpId(self.next_op), Op::Force, self.clock.now());
        self.next_op += 1;
        for done in 0..=requests {
            domain.turn(self.clock.now());
            let (mut asked, mut completed) = (Vec::new(), Vec::new());
            domain.take_requests(&mut asked);
            asked.into_iter().for_each(|(tag, request)| self.device.submit(tag, request));
            if done < requests {
                self.device.complete_next(&mut completed);
            }
            completed.into_iter().for_each(|completion| domain.complete(completion, self.clock.now()));
        }
        self.model.noticed(domain.horizon().persistent);
        self.end_process();
    }

    /// A device that is gone stays so, whoever asks.
    fn end_process(&mut self) {
        if !self.device.is_gone() {
            let device = std::mem::replace(&mut self.device, SimDevice::new(0, 0));
            self.device = device.kill_with(true);
        }
    }

    fn close(&mut self) -> Result<Result<(), Error>, Violation> {
        let Some(mut domain) = self.domain.take() else { return violation("a script closes twice".to_owned()) };
        for _ in 0..STEPS_STUCK {
            if let Poll::Ready(ended) = domain.close() {
                return Ok(ended);
            }
            let (mut requests, mut done) = (Vec::new(), Vec::new());
            domain.take_requests(&mut requests);
            for (tag, request) in requests {
                self.device.submit(tag, request);
            }
            self.device.wait(&mut done);
            done.into_iter().for_each(|completion| domain.complete(completion, self.clock.now()));
        }
        violation("an end never came".to_owned())
    }

    /// The error that ends a script is one of what was refused, and says so by its code.
    fn judge_error(&self, step: Step, error: &Error) -> Result<(), Violation> {
        let (struck, gone) = (self.device.struck(), self.device.is_gone());
        let refused = |of: &[FaultKind]| gone || struck.iter().any(|(kind, _)| of.contains(kind));
        let ends_or_begins = matches!(step, Step::Open | Step::Close);
        let fits = match (error.kind(), error.code()) {
            (ErrorKind::Poisoned, 304) => self.has_poison() || gone,
            // A record cannot be read.
            (ErrorKind::Corrupt, 402) => refused(&[FaultKind::Read]),
            // An open or an end says of whatever it asked for that it failed, a store at work of room alone.
            (ErrorKind::Full, 104) | (ErrorKind::Environment, 108) => {
                let all = if ends_or_begins { &FaultKind::ALL[..] } else { &[FaultKind::Grow, FaultKind::Zero] };
                refused(all)
            }
            _ => false,
        };
        if fits && !error.to_string().is_empty() {
            return Ok(());
        }
        let kinds: Vec<FaultKind> = struck.iter().map(|(kind, _)| *kind).collect();
        violation(format!("{step:?} failed with LS{:04} ({error}), and refused were {kinds:?}", error.code()))
    }

    /// Whether the store at work was refused a flush, or a write that is not of a summary.
    fn has_poison(&self) -> bool {
        self.device.struck()[self.struck_at_open..].iter().any(|(kind, page)| match kind {
            FaultKind::Flush => true,
            FaultKind::Write => !page.as_ref().is_some_and(is_hint),
            FaultKind::Read | FaultKind::Grow | FaultKind::Zero | FaultKind::Punch => false,
        })
    }

    /// Asks whether the store goes on, and recovers what could be left of it.
    fn finish(mut self, once: bool) -> Result<Report, Violation> {
        let hints = self.device.struck().iter().filter(|(_, page)| page.as_ref().is_some_and(is_hint));
        self.report.hints = hints.count() as u64;
        if self.domain.is_none() && once && !self.device.is_gone() {
            // What failed was an open or an end: done again by another process, it does what it should.
            self.end_process();
            if let Err(error) = self.open()? {
                return violation(format!("after one refusal the next open failed: {error}"));
            }
        }
        if let Some(table) = self.tables.values().next().copied()
            && self.domain.is_some()
            && self.model.tables.values().any(|info| info.id == table)
        {
            self.probe(table, once)?;
        }
        self.report.refused = self.device.faults_given() + u64::from(self.device.is_gone());
        let left = [self.device.requests_left(&|_, _| false), self.device.requests_left(&|_, _| true)];
        let left = left.map(|image| SimDevice::on(image, 2));
        let killed = std::mem::replace(&mut self.device, SimDevice::new(0, 0)).kill_with(true);
        let killed = Some(killed).filter(|device| !device.is_gone());
        let sound = |mut device: SimDevice| {
            device.set_faults(Faults::none());
            device.crash_never();
            device
        };
        for mut device in left.into_iter().chain(killed.map(sound)) {
            if self.engine_is_missing(&mut device)? {
                continue;
            }
            let mut clock = self.clock.clone();
            let opened = self.engine.open(&mut device, clock.now());
            let (mut domain, opened) =
                opened.map_err(|error| Violation(format!("what is left is refused: {error}")))?;
            let mut model = self.model.clone();
            judge(&mut model, &mut domain, (&mut device, &mut clock), &opened, self.incarnation)?
                .map_err(|error| Violation(format!("what is left cannot be listed: {error}")))?;
            self.report.judged += 1;
        }
        Ok(self.report)
    }

    /// A store that was never whole is begun anew; one that was answered is not.
    fn engine_is_missing(&self, device: &mut SimDevice) -> Result<bool, Violation> {
        let blank =
            persistent::is_blank(device).map_err(|error| Violation(format!("a sound device failed: {error}")))?;
        if blank && self.incarnation > Incarnation::default() {
            return violation("a store that was open is blank".to_owned());
        }
        Ok(blank)
    }

    /// A commit: refused if and only if the store is poisoned, where the device refuses nothing more.
    fn probe(&mut self, table: TableId, once: bool) -> Result<(), Violation> {
        loop {
            let (mut set, value) = (CommitSet::new(), self.value(16));
            set.upsert(table, b"probe", &value, PutOptions::default()).expect("it has room");
            let (struck, poisoned) = (self.device.struck().len(), self.has_poison());
            match self.commit(set.clone(), &set, Level::Persistent)? {
                Ok(()) if poisoned => {
                    return violation("a log write or a flush had failed, and the store went on".to_owned());
                }
                Ok(()) => {
                    self.report.went_on = struck > 0;
                    return Ok(());
                }
                Err(error) => self.judge_error(Step::Force, &error)?,
            }
            self.report.poisoned = self.has_poison();
            // The one refusal may have struck the probe; the next one then succeeds.
            let goes_on = once && !self.report.poisoned && !self.device.is_gone();
            if !goes_on {
                return Ok(());
            }
            if self.device.struck().len() == struck {
                return violation("one refusal, and later the store did not go on".to_owned());
            }
        }
    }
}

/// Recovered, and listed: compared with the oracle, which then goes on with it.
fn judge(
    model: &mut Model,
    domain: &mut Box<dyn Driven>,
    (device, clock): (&mut SimDevice, &mut SimClock),
    opened: &Opened,
    before: Incarnation,
) -> Result<Result<(), Error>, Violation> {
    match (Asking { domain, device, clock }).try_gather(100)? {
        Ok(recovered) => {
            model.judge(&recovered, opened.cut_of(before))?;
            model.settle(&recovered, opened.incarnation)?;
            Ok(Ok(()))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// Whether a page is of a summary: a hint, without which an open reads more.
fn is_hint(bytes: &crate::image::PageBytes) -> bool {
    let kind = page::parse(bytes, SALT).map(|header| header.kind);
    matches!(kind, Ok(PageKind::Summary | PageKind::SummaryFooter))
}
