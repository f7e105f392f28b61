//! Every short program, at every moment, with every power failure: what chance might miss, gone through.
//!
//! Contract: [`explore`] runs each program of up to so many operations of two transactions on two keys, and whenever something has
//! changed, recovers each image that a power failure could leave ([`SimDevice::power_failures`]) and has the oracle judge it.
//! Of programs that differ only in which transaction comes first, one is run, and none that commits nothing.

use super::engine::Engine;
use super::gather::Asking;
use crate::clock::SimClock;
use crate::device::SimDevice;
use crate::image::Image;
use crate::model::{Model, Violation, violation};
use crate::rng::Rng;
use domains::schema::{TableHome, TableKind};
use domains::{Answer, Domain, Driven, Error, Level, Op, OpId, TableSpec};
use segments::{Device, Incarnation, TableId};
use txn::{CommitSet, Expect, PutOptions};

/// One operation of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// A transaction puts a key.
    Put(usize, usize),
    /// A transaction removes a key that is there.
    Delete(usize, usize),
    /// A transaction asks that a key be as it was when the program began.
    Check(usize, usize),
    /// A transaction is committed; the next operation with its number begins another.
    Commit(usize),
    /// A transaction is dropped.
    Abort(usize),
    /// Everything committed is to be made persistent.
    Force,
}

/// What was gone through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Explored {
    /// Programs.
    pub programs: u64,
    /// Images recovered and judged.
    pub images: u64,
    /// Moments at which the power could fail.
    pub moments: u64,
}

/// Steps of a program's device at most.
const STEPS_MAX: u32 = 1_000;

/// All programs of `length` operations, but for those that another one stands for.
#[must_use]
pub fn programs(length: usize) -> Vec<Vec<Act>> {
    let mut acts = vec![Act::Force];
    for txn in 0..2 {
        acts.extend([Act::Commit(txn), Act::Abort(txn)]);
        for key in 0..2 {
            acts.extend([Act::Put(txn, key), Act::Delete(txn, key), Act::Check(txn, key)]);
        }
    }
    let mut all = vec![Vec::new()];
    for _ in 0..length {
        let longer = |program: &Vec<Act>| {
            acts.iter().map(|act| program.iter().copied().chain([*act]).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all.retain(|program| matters(program));
    all
}

/// Whether a program commits something, and begins with transaction 0.
fn matters(program: &[Act]) -> bool {
    let txn = |act: &Act| match *act {
        Act::Put(txn, _) | Act::Delete(txn, _) | Act::Check(txn, _) | Act::Commit(txn) | Act::Abort(txn) => Some(txn),
        Act::Force => None,
    };
    let commits = program.iter().enumerate().any(|(at, act)| match *act {
        Act::Commit(of) => {
            program[..at].iter().any(|act| matches!(act, Act::Put(txn, _) | Act::Delete(txn, _) if *txn == of))
        }
        Act::Put(..) | Act::Delete(..) | Act::Check(..) | Act::Abort(_) | Act::Force => false,
    });
    commits && program.iter().find_map(txn) == Some(0)
}

/// Runs each program from the same store, whose first key is there, with values of `value_bytes`.
///
/// # Errors
/// The first violation, with the program that showed it.
pub fn explore<E: Engine>(engine: &E, all: &[Vec<Act>], value_bytes: usize) -> Result<Explored, Violation> {
    let mut explored = Explored::default();
    let begin = begin(engine)?;
    for (number, program) in all.iter().enumerate() {
        let run = Run::new(engine, begin.clone(), number as u64, value_bytes)?;
        match run.play(program) {
            Ok(of_one) => {
                explored.programs += 1;
                explored.images += of_one.images;
                explored.moments += of_one.moments;
            }
            Err(Violation(what)) => return violation(format!("{program:?}, {value_bytes} bytes: {what}")),
        }
    }
    Ok(explored)
}

/// A store with one table and one pair, all of it durable.
fn begin<E: Engine>(engine: &E) -> Result<Image, Violation> {
    let mut device = SimDevice::new(engine.device_pages(), 1);
    let refused = |error: Error| Violation(format!("the store to begin with: {error}"));
    engine.format(&mut device, &mut Rng::new(1)).map_err(refused)?;
    let mut clock = SimClock::new(0);
    let (mut domain, _) = engine.open(&mut device, clock.now()).map_err(refused)?;
    let mut asking = Asking { domain: &mut domain, device: &mut device, clock: &mut clock };
    let (kind, home) = (TableKind::Hash, TableHome::Persistent);
    let spec = TableSpec { type_name: "simulated".to_owned(), ..TableSpec::plain(kind, home) };
    let Answer::Table(info) = asking.ask(Op::CreateTable { name: "t".to_owned(), spec })?.map_err(refused)? else {
        return violation("a table was not created".to_owned());
    };
    let mut set = CommitSet::new();
    set.insert(info.id, &[0], &u64::MAX.to_le_bytes(), PutOptions::default()).expect("a small set takes it");
    asking.ask(Op::Commit { set, level: Level::Persistent })?.map_err(refused)?;
    Ok(device.minimal_image())
}

struct Run<'e, E: Engine> {
    engine: &'e E,
    domain: E::Domain,
    device: SimDevice,
    clock: SimClock,
    model: Model,
    incarnation: Incarnation,
    table: TableId,
    value_bytes: usize,
    open: [CommitSet; 2],
    flying: Vec<u64>,
    next_op: u64,
    seen: Explored,
}

impl<'e, E: Engine> Run<'e, E> {
    fn new(engine: &'e E, image: Image, seed: u64, value_bytes: usize) -> Result<Self, Violation> {
        let (mut device, mut clock, mut model) = (SimDevice::on(image, seed), SimClock::new(0), Model::new());
        let opened = engine.open(&mut device, clock.now());
        let (mut domain, opened) = opened.map_err(|error| Violation(format!("opening: {error}")))?;
        let recovered = Asking { domain: &mut domain, device: &mut device, clock: &mut clock }.gather(100)?;
        model.settle(&recovered, opened.incarnation)?;
        let (table, incarnation) = (recovered.tables[0].id, opened.incarnation);
        let (open, flying, seen) = ([CommitSet::new(), CommitSet::new()], Vec::new(), Explored::default());
        Ok(Self {
            engine,
            domain,
            device,
            clock,
            model,
            incarnation,
            table,
            value_bytes,
            open,
            flying,
            next_op: 0,
            seen,
        })
    }

    fn play(mut self, program: &[Act]) -> Result<Explored, Violation> {
        for act in program {
            self.act(*act);
            self.turn()?;
        }
        for _ in 0..STEPS_MAX {
            if self.flying.is_empty() && self.domain.horizon().persistent >= self.model.last_epoch() {
                return Ok(self.seen);
            }
            let mut done = Vec::new();
            self.device.complete_next(&mut done);
            if done.is_empty() {
                self.clock.advance(500_000);
            }
            self.check()?;
            for completion in done {
                self.domain.complete(completion, self.clock.now());
            }
            self.turn()?;
        }
        violation("the program never came to rest".to_owned())
    }

    fn act(&mut self, act: Act) {
        let (table, stamp) = (self.table, self.next_op);
        let key = |key: usize| [u8::from(key == 1)];
        // What a set itself refuses, such as two changes that exclude each other, is left out.
        let _ = match act {
            Act::Put(txn, of) => {
                let mut value = vec![7; self.value_bytes];
                value[..8]
                    .copy_from_slice(&(stamp << 8 | self.open[txn].len() as u64 | (txn as u64) << 4).to_le_bytes());
                self.open[txn].upsert(table, &key(of), &value, PutOptions::default())
            }
            Act::Delete(txn, of) => self.open[txn].delete(table, &key(of)),
            Act::Check(txn, of) => {
                self.open[txn].compare(table, &key(of), if of == 0 { Expect::Present } else { Expect::Absent })
            }
            Act::Commit(txn) => {
                let set = std::mem::take(&mut self.open[txn]);
                self.model.submitted(self.next_op, &set, Level::Committed);
                self.submit(Op::Commit { set, level: Level::Committed });
                Ok(())
            }
            Act::Abort(txn) => {
                self.open[txn].clear();
                Ok(())
            }
            Act::Force => {
                self.submit(Op::Force);
                Ok(())
            }
        };
    }

    fn submit(&mut self, op: Op) {
        self.domain.submit(OpId(self.next_op), op, self.clock.now());
        self.flying.push(self.next_op);
        self.next_op += 1;
    }

    fn turn(&mut self) -> Result<(), Violation> {
        self.domain.turn(self.clock.now());
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        self.domain.take_requests(&mut requests);
        for (tag, request) in requests {
            self.device.submit(tag, request);
        }
        self.model.noticed(self.domain.horizon().persistent);
        self.domain.take_answers(&mut answers);
        for (OpId(op), answer) in answers {
            self.flying.retain(|flying| *flying != op);
            match answer {
                Ok(Answer::Committed(committed)) => self.model.answered(op, &committed)?,
                Ok(Answer::Persistent(_)) => {}
                Err(Error::CompareFailed { failures }) => {
                    let sent = self.model.refused(op);
                    self.model.judge_failures(&sent, &failures)?;
                }
                other => return violation(format!("operation {op} was answered with {other:?}")),
            }
        }
        self.check()
    }

    /// Lets the power fail now, in every way.
    fn check(&mut self) -> Result<(), Violation> {
        self.seen.moments += 1;
        let Self { engine, device, clock, model, incarnation, seen, .. } = self;
        seen.images += device.power_failures(false, &mut |image| {
            let (mut device, mut clock) = (SimDevice::on(image, 3), clock.clone());
            let opened = engine.open(&mut device, clock.now());
            let (mut domain, opened) = opened.map_err(|error| Violation(format!("recovery failed: {error}")))?;
            let recovered = Asking { domain: &mut domain, device: &mut device, clock: &mut clock }.gather(100)?;
            model.judge(&recovered, opened.cut_of(*incarnation)).map(drop)
        })?;
        Ok(())
    }
}
