//! Every short program, at every moment, with every power failure: what chance might miss, gone through.
//!
//! Contract: [`Explorer::explore`] runs each program from the same store, and whenever something has changed, recovers each image
//! that a power failure could leave ([`SimDevice::sectors_left`](crate::SimDevice::sectors_left)) and has the oracle judge it: what
//! was announced is there, and what is there is a prefix of whole epochs. [`Explorer::explore_lives`] ends the first life at each
//! such moment in each of the ways of [`Ending`], crashes the recovery that follows at each of its requests, and has a second
//! program run through the life after it, again with the power off at every moment.
//!
//! The device completes one request at a time, the oldest or the newest first; which of the requests in flight a power failure
//! takes is gone through all the same.

mod program;
mod recoveries;
mod run;

pub use program::{Act, Start, Update, programs};
pub use run::Ending;

use super::engine::Engine;
use super::gather::Asking;
use crate::clock::SimClock;
use crate::device::{Bounds, SimDevice};
use crate::image::Image;
use crate::model::{Violation, violation};
use crate::rng::Rng;
use domains::schema::{TableHome, TableKind};
use domains::{Answer, Error, Level, Op, TableSpec};
use recoveries::Recoveries;
pub(super) use run::value_of;
use run::{Halt, Run};
use txn::{CommitSet, PutOptions};

/// How programs are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// What is there at the beginning.
    pub start: Start,
    /// Bytes of each value that is put or appended: at least 8, for they carry a stamp.
    pub value_bytes: usize,
    /// Whether values are written out before their commits.
    pub writes_out: bool,
    /// Requests that the device completes after each operation, at most: none, so that all of them meet, or so many that
    /// everything comes to rest between them.
    pub steps_between: u32,
    /// Whether of several requests in flight the one that was asked last is done first; else it is the one that was asked first.
    pub newest_first: bool,
    /// How finely power failures are gone through.
    pub bounds: Bounds,
}

/// What was gone through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Explored {
    /// Programs.
    pub programs: u64,
    /// Second lives.
    pub lives: u64,
    /// Moments at which the power could fail: something had been asked, done, answered or announced since the one before.
    pub moments: u64,
    /// Images judged.
    pub judged: u64,
    /// Of them, those that no moment before had led to: they were recovered.
    pub recovered: u64,
}

impl Explored {
    /// Adds another's figures.
    pub fn add(&mut self, other: &Self) {
        self.programs += other.programs;
        self.lives += other.lives;
        self.moments += other.moments;
        self.judged += other.judged;
        self.recovered += other.recovered;
    }
}

/// Explores an engine.
#[expect(missing_debug_implementations, reason = "an engine need not be printed")]
pub struct Explorer<'e, E: Engine> {
    recoveries: Recoveries<'e, E>,
    shape: Shape,
    begin: Image,
    explored: Explored,
}

impl<'e, E: Engine> Explorer<'e, E> {
    /// Prepares the store that all programs begin with.
    ///
    /// # Errors
    /// When that cannot be had.
    pub fn new(engine: &'e E, shape: Shape) -> Result<Self, Violation> {
        let begin = begin(engine, &shape)?;
        Ok(Self { recoveries: Recoveries::new(engine), shape, begin, explored: Explored::default() })
    }

    /// What was gone through so far.
    #[must_use]
    pub fn explored(&self) -> Explored {
        Explored { judged: self.recoveries.judged, recovered: self.recoveries.images, ..self.explored }
    }

    /// Runs each program, and lets the power fail at each moment.
    ///
    /// # Errors
    /// The first violation, with the program that showed it.
    pub fn explore(&mut self, all: &[Vec<Act>]) -> Result<(), Violation> {
        for program in all {
            let mut run = Run::new(&mut self.recoveries, SimDevice::on(self.begin.clone(), 1), &self.shape)?;
            let played = run.play(program, None);
            self.explored.programs += 1;
            self.explored.moments += run.moments();
            match played {
                Ok(()) => {}
                Err(Halt::Violation(Violation(what))) => {
                    return violation(format!("{program:?} of {:?}: {what}", self.shape));
                }
                Err(Halt::Moment) => unreachable!("nobody asked it to halt"),
            }
        }
        Ok(())
    }

    /// Ends a life in which `before` runs at each moment, crashes the recovery at each request, and goes through `after` in the
    /// next life.
    ///
    /// # Errors
    /// The first violation, with what showed it.
    pub fn explore_lives(&mut self, before: &[Act], ending: Ending, after: &[Act]) -> Result<(), Violation> {
        for moment in 1.. {
            let named = |Violation(what): Violation| {
                let shape = self.shape;
                Violation(format!("{before:?}, {ending:?} at moment {moment}, {after:?} of {shape:?}: {what}"))
            };
            let mut run = Run::new(&mut self.recoveries, SimDevice::on(self.begin.clone(), 1), &self.shape)?;
            match run.play(before, Some(moment)) {
                Ok(()) => break,
                Err(Halt::Violation(what)) => return Err(named(what)),
                Err(Halt::Moment) => {}
            }
            let Some(next) = run.end(ending).map_err(named)? else { continue };
            let mut next = next;
            match next.play(after, None) {
                Ok(()) => {}
                Err(Halt::Violation(what)) => return Err(named(what)),
                Err(Halt::Moment) => unreachable!("nobody asked it to halt"),
            }
            self.explored.lives += 1;
            self.explored.moments += next.moments();
        }
        Ok(())
    }
}

/// A store with one table and the pairs that it is to begin with, all of it durable.
fn begin<E: Engine>(engine: &E, shape: &Shape) -> Result<Image, Violation> {
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
    for key in shape.start.keys() {
        let (mut set, value) = (CommitSet::new(), value_of(u64::MAX - *key as u64, shape.value_bytes));
        set.insert(info.id, &run::key_of(*key), &value, PutOptions::default()).expect("a small set takes it");
        asking.ask(Op::Commit { set, level: Level::Persistent })?.map_err(refused)?;
    }
    Ok(device.minimal_image())
}
