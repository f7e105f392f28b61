//! One life of a store: work in flight, answers judged, until it ends.

use super::Engine;
use super::draft::{Drafts, Step};
use super::gather::{STEPS_STUCK, check_order, content_of};
use super::told::describe;
use super::world::World;
use crate::device::{Faults, SimDevice};
use crate::features::Feature;
use crate::model::{Found, Key, Known, Mark, Model, TableChange, Violation, name_of, violation};
use crate::workload::{Action, POINTER_FIELD, Range, STAMPS, pointer_of};
use domains::schema::TableKind;
use domains::{
    Answer, Asker, Cursor, Direction, Domain, Driven, Error, ErrorKind, Followed, Op, OpId, Pair, TableSpec, Tick,
};
use segments::{Completion, Device, EpochId, TableId, Version};
use std::collections::{BTreeMap, BTreeSet};

/// Steps of work before the last rest of a seed.
const LAST_STEPS: u64 = 30;

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The power fails.
    Power,
    /// The process is killed.
    Kill,
    /// In order: the end is written down.
    InOrder,
}

/// An operation without an answer.
#[derive(Clone, Debug)]
pub(super) enum Flying {
    Commit,
    Draft { number: u64, step: Step },
    Lookup { key: Key, mark: Mark },
    Scan(Box<Scan>),
    Follow { key: Key, mark: Mark, targets: Targets },
    Reserve(TableId),
    Await(EpochId),
    Table(TableChange),
    DropCache,
}

/// What each key held that a pointer may name.
pub(super) type Targets = BTreeMap<Vec<u8>, Option<Known>>;

/// A listing under way.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// What is listed.
    range: Range,
    from: Cursor,
    since: usize,
    /// The wall clock when the batch was asked for.
    asked_ms: u64,
    /// What was there when it began.
    started: BTreeMap<Vec<u8>, Option<Known>>,
    seen: BTreeSet<Vec<u8>>,
}

/// A life under way.
pub(super) struct Life<'w, 'e, E: Engine> {
    pub(super) world: &'w mut World<'e, E>,
    pub(super) domain: &'w mut E::Domain,
    pub(super) device: &'w mut SimDevice,
    flying: BTreeMap<u64, Flying>,
    pub(super) drafts: Drafts,
    pub(super) next_op: u64,
    flying_max: usize,
    /// How many ask, each in its order.
    askers: u64,
    /// Who asked each operation.
    asked_by: BTreeMap<u64, u64>,
    /// The commits of each that gave versions: the first and the last of each.
    given: BTreeMap<(u64, u64), (Version, Version)>,
    wake: Option<Tick>,
    minimal_left: u32,
    pub(super) poisoned: bool,
    /// Errors that the device gave before its faults ended.
    faulted: u64,
}

impl<'w, 'e, E: Engine> Life<'w, 'e, E> {
    pub(super) fn new(world: &'w mut World<'e, E>, domain: &'w mut E::Domain, device: &'w mut SimDevice) -> Self {
        let flying_max = *world.rng.pick(&[1, 2, 4, 8, 32]);
        let askers = [1, 2, 5][usize::try_from(world.stats.crashes % 3).expect("less than three")];
        let minimal_left = if world.options.minimal && world.rng.chance(1, 8) { 3 } else { 0 };
        let (flying, drafts) = (BTreeMap::new(), Drafts::default());
        let (asked_by, given) = (BTreeMap::new(), BTreeMap::new());
        Self {
            world,
            domain,
            device,
            flying,
            drafts,
            next_op: 0,
            flying_max,
            askers,
            asked_by,
            given,
            wake: None,
            minimal_left,
            poisoned: false,
            faulted: 0,
        }
    }

    /// Works until the power fails, the steps are used up, or everything has been brought to rest.
    pub(super) fn live(&mut self) -> Result<End, Violation> {
        let steps = self.world.rng.below(self.world.options.steps_max);
        self.live_for(steps)
    }

    /// Works on a sound device and comes to rest: what a store must be able to do whatever was done to it before.
    pub(super) fn come_to_rest(mut self) -> Result<(), Violation> {
        self.device.crash_never();
        for _ in 0..LAST_STEPS {
            self.step()?;
        }
        self.rest()
    }

    fn live_for(&mut self, steps: u64) -> Result<End, Violation> {
        let rng = &mut self.world.rng;
        let in_order = rng.chance(1, 8);
        if !in_order && rng.chance(1, 2) {
            let fuse = rng.below(40);
            self.device.crash_after(fuse);
        }
        for _ in 0..steps {
            self.step()?;
            if self.device.is_gone() {
                return Ok(End::Power);
            }
        }
        if in_order {
            self.rest()?;
            if self.world.features.has(Feature::Ends) && self.world.rng.chance(3, 4) {
                return self.close();
            }
        }
        let kill = self.world.rng.chance(1, 4);
        Ok(if kill { End::Kill } else { End::Power })
    }

    fn step(&mut self) -> Result<(), Violation> {
        match self.world.rng.below(8) {
            0..=3 if self.flying.len() < self.flying_max && !self.poisoned => self.act()?,
            4..=5 => self.world.clock.advance(20_000),
            _ => {
                let mut done = Vec::new();
                self.device.poll(&mut done);
                self.complete(done);
            }
        }
        self.turn()
    }

    /// Lets the domain move, hands its requests on and takes its answers.
    fn turn(&mut self) -> Result<(), Violation> {
        self.world.model.clock(self.world.clock.now().unix_ms);
        self.wake = self.domain.turn(self.world.clock.now());
        let mut requests = Vec::new();
        self.domain.take_requests(&mut requests);
        for (tag, request) in requests {
            self.device.submit(tag, request);
        }
        let horizon = self.domain.horizon().persistent;
        if horizon < self.world.model.last_noticed() {
            return violation(format!("the horizon went back to {horizon}"));
        }
        let announced = horizon > self.world.model.last_noticed();
        if announced {
            self.world.told.say(|| format!("    persistent up to epoch {horizon}"));
        }
        self.world.model.noticed(horizon);
        let mut answers = Vec::new();
        self.domain.take_answers(&mut answers);
        for (OpId(op), answer) in answers {
            let Some(flying) = self.flying.remove(&op) else {
                return violation(format!("operation {op} was answered, and was not in flight"));
            };
            self.world.trace.note(op);
            self.judge(op, flying, answer)?;
        }
        if announced && self.minimal_left > 0 && !self.device.is_gone() {
            self.minimal_left -= 1;
            self.world.check_minimal(self.device)?;
        }
        Ok(())
    }

    pub(super) fn complete(&mut self, done: Vec<Completion>) {
        for completion in done {
            self.domain.complete(completion, self.world.clock.now());
        }
    }

    /// Without further faults and requests everything is answered and everything committed becomes persistent, unless the
    /// domain says that it is poisoned. A last force asks it.
    fn rest(&mut self) -> Result<(), Violation> {
        let given = self.device.faults_given();
        self.faulted += given;
        self.world.stats.faults += given;
        self.device.set_faults(Faults::none());
        self.drafts.ended = true;
        self.submit(Flying::Await(self.world.model.last_epoch()), Op::Force);
        self.world.stats.rests += 1;
        let last = |life: &Self| life.world.model.last_epoch();
        for _ in 0..STEPS_STUCK {
            self.turn()?;
            let persistent = self.domain.horizon().persistent >= last(self);
            if self.flying.is_empty() && (persistent || self.poisoned) {
                return Ok(());
            }
            let mut done = Vec::new();
            self.device.wait(&mut done);
            if done.is_empty() {
                match self.wake {
                    Some(wake) => self.world.clock.advance_to(wake),
                    None => self.world.clock.advance(100_000),
                }
            }
            self.complete(done);
        }
        let waiting: Vec<_> = self.flying.values().collect();
        violation(format!(
            "never came to rest: {} of {} persistent, {waiting:?}",
            self.domain.horizon().persistent,
            last(self)
        ))
    }

    fn act(&mut self) -> Result<(), Violation> {
        let world = &mut *self.world;
        world.model.clock(world.clock.now().unix_ms);
        let action = world.workload.next(&world.model);
        if !world.told.next_act() {
            return Ok(());
        }
        world.told.say(|| format!("{}: {}", self.next_op, describe(&action)));
        match action {
            Action::Idle(nanos) => self.world.clock.advance(nanos),
            Action::Commit(set, level) => {
                let large = self.world.features.has(Feature::WritesOut) && self.world.rng.chance(1, 4);
                if large && self.begin_draft(&set, level) {
                    return Ok(());
                }
                let op = self.next_op;
                self.world.model.submitted(op, &set, level);
                self.submit(Flying::Commit, Op::Commit { set, level });
            }
            Action::Lookup(key) => {
                let mark = self.world.model.mark(&key);
                let op = Op::Lookup { table: key.0, key: key.1.clone() };
                self.submit(Flying::Lookup { key, mark }, op);
            }
            Action::Scan(range) => self.scan(range),
            Action::Follow(key) => {
                let mark = self.world.model.mark(&key);
                let targets = self.held(self.world.model.tables[STAMPS].id);
                let op = Op::Follow { table: key.0, key: key.1.clone(), field: POINTER_FIELD };
                self.submit(Flying::Follow { key, mark, targets }, op);
            }
            Action::Reserve(table, count) => self.submit(Flying::Reserve(table), Op::Reserve { table, count }),
            Action::Await(epoch) => self.submit(Flying::Await(epoch), Op::Await { epoch }),
            Action::Force => self.submit(Flying::Await(self.world.model.last_epoch()), Op::Force),
            Action::DropCache => self.submit(Flying::DropCache, Op::DropCache),
            Action::Table(change, spec) => self.change_table(change, spec),
        }
        Ok(())
    }

    /// What each key of a table holds.
    fn held(&self, table: TableId) -> BTreeMap<Vec<u8>, Option<Known>> {
        let model = &self.world.model;
        model.keys(table).into_iter().map(|key| (key.clone(), model.get(&(table, key)).cloned())).collect()
    }

    fn scan(&mut self, range: Range) {
        let mut started = self.held(range.table);
        if self.is_ordered(range.table) {
            started.retain(|key, _| range.holds(key));
        }
        let (from, since, asked_ms) = (range.from.clone(), self.world.model.commits(), 0);
        self.submit_scan(Scan { range, from, since, asked_ms, started, seen: BTreeSet::new() });
    }

    fn change_table(&mut self, change: TableChange, spec: Option<TableSpec>) {
        let op = match (&change, spec) {
            (TableChange::Create { name, .. }, spec) => {
                Op::CreateTable { name: name.clone(), spec: spec.expect("a table is created with a spec") }
            }
            (TableChange::Rename { from, to }, _) => Op::RenameTable { from: from.clone(), to: to.clone() },
            (TableChange::Destroy { name }, _) => Op::DestroyTable { name: name.clone() },
        };
        self.world.model.table_change = Some(change.clone());
        self.submit(Flying::Table(change), op);
    }

    pub(super) fn submit(&mut self, flying: Flying, op: Op) {
        let id = self.next_op;
        self.next_op += 1;
        self.flying.insert(id, flying);
        let asker = id % self.askers;
        self.asked_by.insert(id, asker);
        self.domain.submit_for(Asker::Connection(asker), OpId(id), op, self.world.clock.now());
    }

    fn submit_scan(&mut self, mut scan: Scan) {
        scan.asked_ms = self.world.model.now_ms();
        let op = Op::Next {
            table: scan.range.table,
            from: scan.from.clone(),
            until: scan.range.until.clone(),
            direction: scan.range.direction,
            pairs_max: u32::try_from(self.world.rng.between(1, 8)).expect("at most 8"),
            bytes_max: 1 << 16,
        };
        self.submit(Flying::Scan(Box::new(scan)), op);
    }

    fn judge(&mut self, op: u64, flying: Flying, answer: Result<Answer, Error>) -> Result<(), Violation> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.judge_error(op, &flying, error),
        };
        match (flying, answer) {
            (Flying::Commit, Answer::Committed(committed)) => {
                self.world.stats.commits += 1;
                self.world.trace.note(committed.epoch.0);
                self.world.told.say(|| format!("    {op} is committed in epoch {}", committed.epoch));
                self.world.model.answered(op, &committed)?;
                self.judge_order(op, committed.versions.as_slice())
            }
            (Flying::Draft { number, step }, answer) => self.drafted(number, step, answer),
            (Flying::Lookup { key, mark }, Answer::Pair(pair)) => {
                self.world.stats.reads += 1;
                let found = pair.map(content_of);
                self.judge_read(&key, &mark, found.as_ref())
            }
            (Flying::Scan(scan), Answer::Pairs { pairs, more }) => self.judge_batch(*scan, pairs, more),
            (Flying::Follow { key, mark, targets }, Answer::Followed(followed)) => {
                self.judge_follow(&key, &mark, &targets, followed)
            }
            (Flying::Reserve(table), Answer::Reserved(addresses)) => {
                self.world.workload.reserved(table, &addresses);
                self.world.model.reserved(table, &addresses)
            }
            (Flying::Await(epoch), Answer::Persistent(horizon)) => {
                if horizon.persistent < epoch {
                    return violation(format!("waited for {epoch}, told that {} is persistent", horizon.persistent));
                }
                self.world.model.noticed(horizon.persistent);
                Ok(())
            }
            (Flying::Table(change), Answer::Table(info)) => {
                self.world.model.table_change = None;
                let destroyed = matches!(change, TableChange::Destroy { .. });
                if destroyed {
                    violation("a destroyed table was answered".to_owned())
                } else {
                    self.world.model.table_is(info)
                }
            }
            (Flying::Table(TableChange::Destroy { name }), Answer::Done) => {
                self.world.model.table_change = None;
                self.world.model.table_gone(&name);
                Ok(())
            }
            (Flying::DropCache, Answer::Done) => Ok(()),
            (flying, answer) => violation(format!("{flying:?} was answered with {answer:?}")),
        }
    }

    /// The commits of one asker are applied in the order in which it sent them.
    fn judge_order(&mut self, op: u64, versions: &[Version]) -> Result<(), Violation> {
        let (Some(first), Some(last)) = (versions.first(), versions.last()) else { return Ok(()) };
        let asker = self.asked_by[&op];
        let earlier = self.given.range((asker, 0)..(asker, op)).next_back();
        let later = self.given.range((asker, op)..=(asker, u64::MAX)).next();
        let overtaken = earlier.filter(|(_, given)| given.1 > *first).or(later.filter(|(_, given)| given.0 < *last));
        if let Some(((_, other), given)) = overtaken {
            return violation(format!("commits {other} and {op} of asker {asker} gave {given:?} and {versions:?}"));
        }
        self.given.insert((asker, op), (*first, *last));
        Ok(())
    }

    fn judge_read(&mut self, key: &Key, mark: &Mark, found: Option<&Found>) -> Result<(), Violation> {
        if self.world.model.may_read(key, mark, found) {
            let now_ms = self.world.model.now_ms();
            let over = |known: &Known| known.content.as_ref().is_some_and(|content| content.is_over(now_ms));
            self.world.stats.expired += u64::from(found.is_none() && mark.held.as_ref().is_some_and(over));
            return Ok(());
        }
        let found = found.map(|found| (found.version, found.content.value.len()));
        let held = Model::show(mark.held.as_ref());
        violation(format!("read {}: found {found:?}, it held {held}", name_of(key)))
    }

    /// Both pairs are as one instant of the follow had them; each is judged by itself.
    fn judge_follow(&mut self, key: &Key, mark: &Mark, targets: &Targets, followed: Followed) -> Result<(), Violation> {
        let (from, target, to) = match followed {
            Followed::Found { from, to } => (Some(from), Some(to.key.clone()), Some(to)),
            Followed::Absent => (None, None, None),
            Followed::Null { from } => (Some(from), None, None),
            Followed::Dangling { from, target } => (Some(from), Some(target), None),
        };
        let pointer = from.as_ref().and_then(|from| pointer_of(&from.value));
        if pointer != target {
            return violation(format!("{} points at {pointer:02x?}, and {target:02x?} was followed", name_of(key)));
        }
        self.world.stats.followed += u64::from(to.is_some());
        self.world.stats.followed_nowhere += u64::from(to.is_none());
        self.judge_read(key, mark, from.map(content_of).as_ref())?;
        let Some(target) = target else { return Ok(()) };
        let held = targets.get(&target).cloned().flatten();
        let key = (self.world.model.tables[STAMPS].id, target);
        self.judge_read(&key, &Mark { held, ..mark.clone() }, to.map(content_of).as_ref())
    }

    fn judge_batch(&mut self, mut scan: Scan, pairs: Vec<Pair>, more: bool) -> Result<(), Violation> {
        let (table, asked_ms) = (scan.range.table, scan.asked_ms);
        if let Some(info) = self.world.model.tables.values().find(|info| info.id == table) {
            check_order(info, &Range { from: scan.from.clone(), ..scan.range.clone() }, &pairs)?;
        }
        if let Some(last) = pairs.last() {
            scan.from = Cursor::Past(last.key.clone());
        } else if more {
            return violation("an empty batch promises more".to_owned());
        }
        for pair in pairs {
            self.world.stats.reads += 1;
            let key = (table, pair.key.clone());
            let held = scan.started.get(&pair.key).cloned().flatten();
            if !scan.seen.insert(pair.key.clone()) {
                return violation(format!("a scan saw {} twice", name_of(&key)));
            }
            self.judge_read(&key, &Mark { since: scan.since, held, asked_ms }, Some(&content_of(pair)))?;
        }
        if more {
            self.submit_scan(scan);
            return Ok(());
        }
        let prefix = scan.range != Range::whole(table);
        self.world.stats.prefixes += u64::from(prefix);
        self.world.stats.prefixes_backward += u64::from(scan.range.direction == Direction::Previous);
        let now_ms = self.world.model.now_ms();
        for (key, held) in scan.started.iter().filter(|(key, _)| !scan.seen.contains(*key)) {
            let gone = !self.has_table(table) || held.as_ref().is_some_and(|held| held.is_gone(now_ms));
            if !gone && !self.world.model.touched(&(table, key.clone()), scan.since) {
                return violation(format!(
                    "a scan missed {}, which was there throughout",
                    name_of(&(table, key.clone()))
                ));
            }
        }
        Ok(())
    }

    fn judge_error(&mut self, op: u64, flying: &Flying, error: Error) -> Result<(), Violation> {
        self.world.told.say(|| format!("    {op} failed: {error}"));
        let faulty = self.faulted + self.device.faults_given() > 0 || self.device.is_gone();
        if let Error::CompareFailed { failures } = &error {
            let sent = self.world.model.refused(op);
            self.world.stats.refused += 1;
            return self.world.model.judge_failures(&sent, failures);
        }
        let excused = match error.kind() {
            ErrorKind::Poisoned if faulty => {
                self.world.stats.poisoned += u64::from(!self.poisoned && !self.device.is_gone());
                self.poisoned = true;
                // Whether it was applied, and survives, is not known: it stays without an answer.
                return Ok(());
            }
            ErrorKind::Poisoned => false,
            ErrorKind::Invalid => matches!(error, Error::BadKey { table, .. } if self.is_sack(table)),
            ErrorKind::NotFound => matches!(error, Error::TableGone { table } if !self.has_table(table)),
            ErrorKind::Full => matches!(error, Error::Busy) || faulty || self.world.engine.is_capped(),
            ErrorKind::Unsupported => matches!(flying, Flying::Table(_)),
            ErrorKind::Conflict | ErrorKind::Corrupt | ErrorKind::Environment => faulty,
        };
        if !excused {
            return violation(format!("{flying:?} failed: {error}"));
        }
        match flying {
            Flying::Commit => drop(self.world.model.refused(op)),
            Flying::Draft { number, .. } => self.draft_failed(*number),
            Flying::Table(_) => self.world.model.table_change = None,
            Flying::Lookup { .. }
            | Flying::Scan(_)
            | Flying::Follow { .. }
            | Flying::Reserve(_)
            | Flying::Await(_)
            | Flying::DropCache => {}
        }
        Ok(())
    }

    fn has_table(&self, table: TableId) -> bool {
        let model = &self.world.model;
        let Some(info) = model.tables.values().find(|info| info.id == table) else { return false };
        !matches!(&model.table_change, Some(TableChange::Destroy { name }) if *name == info.name)
    }

    fn is_ordered(&self, table: TableId) -> bool {
        let info = self.world.model.tables.values().find(|info| info.id == table);
        info.is_some_and(|info| info.spec.kind == TableKind::Ordered)
    }

    fn is_sack(&self, table: TableId) -> bool {
        let info = self.world.model.tables.values().find(|info| info.id == table);
        info.is_none_or(|info| info.spec.kind == TableKind::Sack)
    }
}
