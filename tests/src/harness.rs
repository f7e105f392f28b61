//! A domain in its simulated world: driven, crashed, recovered and judged, from one seed.
//!
//! Contract: [`run`] plays one seed to its end and returns what was done, or the first [`Failure`]. A seed is some lives of one
//! store: recovery (perhaps crashed itself, up to three times on end), comparison with the oracle, work, and an end by power
//! failure, process kill or in order. Nothing outside the seed and the options has a say, so a failure is repeated by its seed.
//!
//! The engine is reached through [`Engine`], two functions and the domain seam; nothing in it knows that it is simulated.

mod damage;
mod draft;
mod engine;
pub mod exhaustive;
mod gather;
mod life;
pub mod script;
pub mod shrink;
mod told;
mod world;

pub use engine::{Engine, Opened, Persistent};

use crate::device::Fault;
use crate::model::Violation;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use told::Told;
use world::World;

/// What a run may do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Lives of the store at most.
    pub lives_max: u64,
    /// Steps of work in a life at most.
    pub steps_max: u64,
    /// Whether recovery is crashed too.
    pub nested: bool,
    /// Whether devices fail.
    pub faults: bool,
    /// Whether each announcement is checked against the least that a power failure could leave.
    pub minimal: bool,
    /// An error in the first life, for going through all of them.
    pub fault: Option<Fault>,
    /// Whether a killed process leaves a cache that shows failed writes.
    pub buffered: bool,
    /// The last recovery is crashed when it has made so many requests, for going through all of them.
    pub crash_recovery_at: Option<u64>,
}

impl Options {
    /// A short history without chance in what fails: what is to fail is said.
    #[must_use]
    pub fn scripted() -> Self {
        Self { lives_max: 2, nested: false, faults: false, minimal: false, ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lives_max: 16,
            steps_max: 120,
            nested: true,
            faults: true,
            minimal: true,
            buffered: false,
            fault: None,
            crash_recovery_at: None,
        }
    }
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Ends of a life or of a recovery that were followed by a recovery.
    pub crashes: u64,
    /// Power failures among them.
    pub power_failures: u64,
    /// Process kills among them.
    pub kills: u64,
    /// Those that struck inside a recovery.
    pub in_recovery: u64,
    /// Recoveries that were compared with the oracle.
    pub compared: u64,
    /// Announcements checked against the least image.
    pub minimal_checks: u64,
    /// Commits answered.
    pub commits: u64,
    /// Commits that were lost with their epochs.
    pub commits_lost: u64,
    /// Commits refused by compares.
    pub refused: u64,
    /// Errors that the device was told to give.
    pub faults: u64,
    /// Lookups and pairs judged.
    pub reads: u64,
    /// Times that everything was brought to rest on a sound device.
    pub rests: u64,
    /// Lives that ended poisoned.
    pub poisoned: u64,
    /// Lives that ended in order.
    pub ends: u64,
    /// Orderly ends that were cut short.
    pub ends_cut_short: u64,
    /// Damage after an orderly end that the next open, or a read, named.
    pub damage_named: u64,
    /// Damage after an orderly end that took nothing away.
    pub damage_harmless: u64,
    /// Damage to the last checkpoint that took nothing away.
    pub older_served: u64,
    /// Pairs whose time came and that were then looked for and not found.
    pub expired: u64,
    /// Pointers followed to a pair.
    pub followed: u64,
    /// Pointers followed to nothing: null, dangling, or no holder.
    pub followed_nowhere: u64,
    /// Prefixes listed to their end.
    pub prefixes: u64,
    /// Of them, those listed backward.
    pub prefixes_backward: u64,
    /// Values that were written out before their commit.
    pub staged: u64,
    /// Transactions that had written values out and were given up.
    pub given_up: u64,
    /// Hash of everything.
    pub trace: u64,
}

impl Stats {
    /// Adds another run's figures.
    pub fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.power_failures += other.power_failures;
        self.kills += other.kills;
        self.in_recovery += other.in_recovery;
        self.compared += other.compared;
        self.minimal_checks += other.minimal_checks;
        self.commits += other.commits;
        self.commits_lost += other.commits_lost;
        self.refused += other.refused;
        self.faults += other.faults;
        self.reads += other.reads;
        self.rests += other.rests;
        self.poisoned += other.poisoned;
        self.ends += other.ends;
        self.ends_cut_short += other.ends_cut_short;
        self.damage_named += other.damage_named;
        self.damage_harmless += other.damage_harmless;
        self.older_served += other.older_served;
        self.expired += other.expired;
        self.followed += other.followed;
        self.followed_nowhere += other.followed_nowhere;
        self.prefixes += other.prefixes;
        self.prefixes_backward += other.prefixes_backward;
        self.staged += other.staged;
        self.given_up += other.given_up;
        self.trace = self.trace.rotate_left(1) ^ other.trace;
    }
}

/// A seed that showed a violation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was wrong.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// Plays one seed.
///
/// # Errors
/// The first violation, or the engine's panic.
pub fn run<E: Engine>(engine: &E, seed: u64, options: Options) -> Result<Stats, Failure> {
    run_told(engine, seed, options, Told::default())
}

fn run_told<E: Engine>(engine: &E, seed: u64, options: Options, told: Told) -> Result<Stats, Failure> {
    let played = catch_unwind(AssertUnwindSafe(|| World::new(engine, seed, options, told).play()));
    match played {
        Ok(Ok(stats)) => Ok(stats),
        Ok(Err(Violation(what))) => Err(Failure { seed, what }),
        Err(panic) => Err(Failure { seed, what: format!("panic: {}", message_of(panic.as_ref())) }),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}
