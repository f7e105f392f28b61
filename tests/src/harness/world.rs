//! One seed's world: the lives of one store, one after the other.

use super::gather::Asking;
use super::life::{End, Life};
use super::told::Told;
use super::{Engine, Opened, Options, Stats};
use crate::clock::SimClock;
use crate::device::{Fault, FaultKind, Faults, SimDevice};
use crate::features::Features;
use crate::model::{Key, Model, Recovered, Violation, violation};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::workload::{Workload, key_of};
use domains::{Answer, Error, Op};
use segments::{EpochId, Incarnation, TableId};
use std::collections::BTreeSet;

/// The wall clock at the start: some day in 2026.
const START_MS: u64 = 1_790_000_000_000;
/// Crashes inside one recovery and those that repeat it, at most.
const NESTED_MAX: u64 = 3;

/// About as many requests as a recovery makes after it has read: flushes, and writes of superblock copies.
const RECORD_REQUESTS: u64 = 8;
/// What a life's device may fail at. Punches are left out: no engine asks for any yet, and an error of theirs would only be a life
/// without one.
const FAULT_KINDS: [FaultKind; 5] =
    [FaultKind::Read, FaultKind::Write, FaultKind::Flush, FaultKind::Grow, FaultKind::Zero];

/// Everything of one seed.
pub(super) struct World<'e, E: Engine> {
    pub(super) engine: &'e E,
    pub(super) options: Options,
    pub(super) rng: Rng,
    pub(super) clock: SimClock,
    pub(super) model: Model,
    pub(super) features: Features,
    pub(super) workload: Workload,
    pub(super) stats: Stats,
    pub(super) trace: Trace,
    pub(super) told: Told,
    /// Requests that the last whole recovery took: where a crash inside the next one may strike.
    recovery_requests: u64,
    pub(super) incarnation: Incarnation,
    /// The life before ended in order, having announced something: the next open has nothing to search for.
    ended: bool,
}

impl<'e, E: Engine> World<'e, E> {
    pub(super) fn new(engine: &'e E, seed: u64, options: Options, told: Told) -> Self {
        let mut rng = Rng::new(seed);
        let features = Features::of(E::FEATURES).draw(&mut rng);
        let workload = Workload::new(rng.fork(), features);
        Self {
            engine,
            options,
            features,
            workload,
            clock: SimClock::new(START_MS),
            model: Model::new(),
            stats: Stats::default(),
            trace: Trace::new(),
            told,
            recovery_requests: 8,
            incarnation: Incarnation::default(),
            ended: false,
            rng,
        }
    }

    /// Plays all lives.
    pub(super) fn play(mut self) -> Result<Stats, Violation> {
        let mut device = SimDevice::new(self.engine.device_pages(), self.rng.next_u64());
        let mut format_rng = self.rng.fork();
        if let Err(error) = self.engine.format(&mut device, &mut format_rng) {
            return violation(format!("formatting failed: {error}"));
        }
        let lives = self.rng.between(self.options.lives_max / 2 + 1, self.options.lives_max);
        for number in 0..=lives {
            if !self.told.begins(number) && number < lives {
                continue;
            }
            self.told.say(|| format!("life {number} of {lives} begins"));
            let crash_at = self.options.crash_recovery_at.filter(|_| number == lives);
            let (mut domain, mut left) = self.recover(device, crash_at)?;
            if number == 0 {
                self.make_tables(&mut domain, &mut left)?;
                left.set_faults(self.options.fault.map_or_else(Faults::none, |fault| Faults::plan(&[fault])));
            }
            if number == lives {
                left.set_faults(Faults::none());
                Life::new(&mut self, &mut domain, &mut left).come_to_rest()?;
                self.trace.note(left.trace().value());
                break;
            }
            let end = Life::new(&mut self, &mut domain, &mut left).live()?;
            drop(domain);
            self.trace.note(left.trace().value());
            self.stats.faults += left.faults_given();
            device = if end == End::InOrder { self.end_in_order(left)? } else { self.end(left, end) };
        }
        self.stats.trace = self.trace.value();
        Ok(self.stats)
    }

    /// What is left of a device when a life, or a recovery, has ended.
    fn end(&mut self, mut device: SimDevice, end: End) -> SimDevice {
        self.stats.crashes += 1;
        self.told.say(|| match end {
            End::Kill if !device.is_gone() => "the process is killed".to_owned(),
            End::Kill | End::Power | End::InOrder => "the power fails".to_owned(),
        });
        if end == End::Kill && !device.is_gone() {
            self.stats.kills += 1;
            if self.options.buffered {
                device.set_buffered();
            }
            return device.kill(&mut self.rng);
        }
        self.stats.power_failures += 1;
        let image = device.crash(&mut self.rng);
        SimDevice::on(image, self.rng.next_u64())
    }

    /// What is left when a life has ended in order: everything, which is tried with damage first.
    fn end_in_order(&mut self, device: SimDevice) -> Result<SimDevice, Violation> {
        self.told.say(|| "the store ends in order".to_owned());
        let announced = self.model.last_noticed() > EpochId::base(self.incarnation);
        self.stats.ends += u64::from(announced);
        self.ended = announced;
        if announced && self.rng.chance(1, 2) {
            self.check_older_checkpoint(device.view())?;
            self.check_damage(device.view())?;
        }
        let end = if self.rng.chance(1, 2) { End::Kill } else { End::Power };
        Ok(self.end(device, end))
    }

    /// Recovers, through crashes inside recovery, and compares.
    fn recover(
        &mut self,
        mut device: SimDevice,
        mut crash_at: Option<u64>,
    ) -> Result<(E::Domain, SimDevice), Violation> {
        let mut interrupted = 0;
        loop {
            let may_crash = self.options.nested && interrupted < NESTED_MAX && self.stats.crashes > 0;
            if may_crash && self.rng.chance(2, 5) {
                self.plan_recovery_crash(&mut device);
            }
            if let Some(requests) = crash_at.take() {
                device.crash_after(requests);
            }
            let faulty = may_crash && self.options.faults && self.rng.chance(1, 10);
            if faulty {
                let kind = *self.rng.pick(&[FaultKind::Read, FaultKind::Write, FaultKind::Flush, FaultKind::Flush]);
                let most = if kind == FaultKind::Read { self.recovery_requests + 2 } else { RECORD_REQUESTS / 2 };
                let nth = self.rng.below(most);
                device.set_faults(Faults::plan(&[Fault::medium(kind, nth, self.rng.chance(1, 2))]));
            }
            let before = device.counts().requests;
            let opened = self.engine.open(&mut device, self.clock.now());
            if device.is_gone() {
                self.told.say(|| "the recovery is cut short".to_owned());
                interrupted += 1;
                self.stats.in_recovery += 1;
                device = self.end(device, End::Power);
                continue;
            }
            device.crash_never();
            self.stats.faults += device.faults_given();
            if device.faults_given() > 0 && opened.is_err() {
                self.told.say(|| "a recovery was refused, since the device failed".to_owned());
                // It is done again on a sound device. One that says it could do without what failed must serve like any other.
                interrupted += 1;
                self.stats.in_recovery += 1;
                let end = if self.rng.chance(1, 2) { End::Kill } else { End::Power };
                device = self.end(device, end);
                continue;
            }
            device.set_faults(Faults::none());
            let (mut domain, found) = match opened {
                Ok(opened) => opened,
                Err(error) => return violation(format!("recovery failed: {error}")),
            };
            self.recovery_requests = device.counts().requests - before;
            if std::mem::take(&mut self.ended) && interrupted == 0 && found.searched > 0 {
                return violation(format!("{} pages were searched after an orderly end", found.searched));
            }
            self.compare(&mut domain, &mut device, &found)?;
            // A recovered store that is crashed before anything is done must be recovered the same way.
            if may_crash && self.rng.chance(1, 8) {
                interrupted += 1;
                drop(domain);
                let end = if self.rng.chance(1, 2) { End::Kill } else { End::Power };
                device = self.end(device, end);
                continue;
            }
            self.plan_faults(&mut device);
            return Ok((domain, device));
        }
    }

    /// Anywhere, and often where what was read is made durable and recorded.
    fn plan_recovery_crash(&mut self, device: &mut SimDevice) {
        if self.rng.chance(1, 2) {
            device.crash_after(self.rng.below(self.recovery_requests + 2));
        } else {
            device.crash_after_reads(self.rng.below(RECORD_REQUESTS));
        }
    }

    fn compare(&mut self, domain: &mut E::Domain, device: &mut SimDevice, opened: &Opened) -> Result<(), Violation> {
        if opened.incarnation <= self.incarnation {
            return violation(format!("{:?} follows {:?}", opened.incarnation, self.incarnation));
        }
        let (recovered, looked_up) = self.gather(domain, device)?;
        let cut = self.model.judge(&recovered, opened.cut_of(self.incarnation))?;
        let commits = self.model.commits() as u64;
        let survived = self.model.commits_up_to(cut) as u64;
        self.stats.compared += 1;
        self.stats.reads += looked_up;
        self.stats.commits_lost += commits - survived;
        self.told.say(|| format!("recovered {} pairs, up to epoch {cut}", recovered.pairs.len()));
        self.trace.note(cut.0);
        self.trace.note(recovered.pairs.len() as u64);
        self.incarnation = opened.incarnation;
        self.model.settle(&recovered, opened.incarnation)?;
        self.workload.restarted();
        Ok(())
    }

    fn gather(&mut self, domain: &mut E::Domain, device: &mut SimDevice) -> Result<(Recovered, u64), Violation> {
        let batch = *self.rng.pick(&[1, 2, 7, 100]);
        let mut asking = Asking { domain, device, clock: &mut self.clock };
        let recovered = asking.gather(batch)?;
        let tables: Vec<TableId> = recovered.tables.iter().map(|info| info.id).collect();
        let mut others = BTreeSet::<Key>::new();
        for _ in 0..4 {
            if let Some(index) = (!tables.is_empty()).then(|| self.rng.index(tables.len())) {
                let of_sack = recovered.tables[index].spec.kind == domains::schema::TableKind::Sack;
                let key = if of_sack { vec![0; 8] } else { key_of(self.rng.below(24)) };
                others.insert((tables[index], key));
            }
        }
        let looked_up = asking.look_up(&recovered, &others)?;
        Ok((recovered, looked_up))
    }

    /// Recovers the least that a power failure could leave now, aside, and judges it: what was announced must be there.
    pub(super) fn check_minimal(&mut self, device: &SimDevice) -> Result<(), Violation> {
        let mut aside = SimDevice::on(device.minimal_image(), self.rng.next_u64());
        let mut clock = self.clock.clone();
        let (mut domain, opened) = match self.engine.open(&mut aside, clock.now()) {
            Ok(opened) => opened,
            Err(error) => return violation(format!("the least image cannot be recovered: {error}")),
        };
        let recovered = Asking { domain: &mut domain, device: &mut aside, clock: &mut clock }.gather(100)?;
        self.stats.minimal_checks += 1;
        match self.model.judge(&recovered, opened.cut_of(self.incarnation)) {
            Ok(_) => Ok(()),
            Err(Violation(what)) => violation(format!("least image: {what}")),
        }
    }

    fn make_tables(&mut self, domain: &mut E::Domain, device: &mut SimDevice) -> Result<(), Violation> {
        device.set_faults(Faults::none());
        for (name, spec) in self.workload.first_tables() {
            let mut asking = Asking { domain: &mut *domain, device: &mut *device, clock: &mut self.clock };
            match asking.ask(Op::CreateTable { name, spec })? {
                Ok(Answer::Table(info)) => self.model.table_is(info)?,
                // An engine may lack a kind of table; the first one it must have.
                Err(Error::Unsupported { .. }) if !self.model.tables.is_empty() => {}
                Err(Error::NoSpace { .. }) if !self.model.tables.is_empty() && self.engine.is_capped() => {}
                other => return violation(format!("creating a table answered {other:?}")),
            }
        }
        Ok(())
    }

    /// One life in eight has a device that fails once or from some request on.
    fn plan_faults(&mut self, device: &mut SimDevice) {
        if !self.options.faults || !self.rng.chance(1, 8) {
            return;
        }
        let kind = *self.rng.pick(&FAULT_KINDS);
        let (nth, sticky) = (self.rng.below(8), self.rng.chance(1, 2));
        let grows = matches!(kind, FaultKind::Write | FaultKind::Grow | FaultKind::Zero);
        let full = grows && self.rng.chance(1, 2);
        let fault = if full { Fault::no_space(kind, nth, sticky) } else { Fault::medium(kind, nth, sticky) };
        self.told.say(|| format!("the device is to fail: {fault:?}"));
        device.set_faults(Faults::plan(&[fault]));
    }
}
