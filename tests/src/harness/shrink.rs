//! A seed that fails, made short: operations, lives and kinds of trouble are left out as long as it goes on failing.
//!
//! Contract: [`tell`] plays a seed and tells what it does; [`shrink`] answers with a failing run in which hardly anything can be left
//! out any more. That run may fail in another way than the seed did; both are told. It takes a bounded number of runs, and the
//! same seed is always shrunk to the same run.
//!
//! An operation that is left out changes what is drawn after it, so a failure that needs one order of completions among many is
//! sometimes lost on the way; then that operation stays. The sizes that are tried go down by halves, as in delta debugging (Zeller and Hildebrandt,
//! "Simplifying and Isolating Failure-Inducing Input", 2002).

pub use super::told::Only;
use super::told::Progress;
use super::{Engine, Failure, Options, Stats};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Runs that the tests allow: seconds.
pub const RUNS_MAX: u64 = 400;

/// A run, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// What came of it.
    pub outcome: Result<Stats, Failure>,
    /// Operations drawn in it.
    pub acts: u64,
    /// Lives begun in it.
    pub lives: u64,
    /// What was done, a line each.
    pub program: Vec<String>,
}

/// A failure that was made short.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shrunk {
    /// How the seed failed.
    pub found: Failure,
    /// How it fails now.
    pub left: Failure,
    /// Operations it had drawn, and those that are left.
    pub acts: (u64, u64),
    /// What is done now, a line each.
    pub program: Vec<String>,
    /// Runs that it took.
    pub runs: u64,
}

impl std::fmt::Display for Shrunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.found)?;
        if self.left.what != self.found.what {
            writeln!(f, "made short, it says: {}", self.left.what)?;
        }
        write!(f, "{} of {} operations are left after {} runs:", self.acts.1, self.acts.0, self.runs)?;
        for line in &self.program {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// Plays what is left of a seed, and tells it.
pub fn tell<E: Engine>(engine: &E, seed: u64, options: Options, only: &Only) -> Run {
    let progress = Rc::new(RefCell::new(Progress { program: Some(Vec::new()), ..Progress::default() }));
    let outcome = super::run_told(engine, seed, options, super::told::Told::new(only.clone(), Rc::clone(&progress)));
    let Progress { acts, lives, program } = progress.take();
    Run { outcome, acts, lives, program: program.unwrap_or_default() }
}

/// Makes a seed that fails short, in so many runs; nothing when it does not fail.
pub fn shrink<E: Engine>(engine: &E, seed: u64, options: Options, runs_max: u64) -> Option<Shrunk> {
    let run = tell(engine, seed, options, &Only::default());
    let found = run.outcome.clone().err()?;
    let acts = run.acts;
    let mut shrinking = Shrinking { engine, seed, options, only: Only::default(), run, found, runs: 1, runs_max };
    let calm = [
        |options: &mut Options| options.faults = false,
        |options: &mut Options| options.nested = false,
        |options: &mut Options| options.minimal = false,
    ];
    for leave_out in calm {
        let mut without = shrinking.options;
        leave_out(&mut without);
        shrinking.attempt(without, shrinking.only.clone());
    }
    shrinking.halve(|only| &mut only.lives, |run| run.lives);
    shrinking.halve(|only| &mut only.acts, |run| run.acts);
    shrinking.halve(|only| &mut only.lives, |run| run.lives);
    Some(shrinking.end(acts))
}

struct Shrinking<'e, E> {
    engine: &'e E,
    seed: u64,
    options: Options,
    only: Only,
    /// The shortest run that fails.
    run: Run,
    found: Failure,
    runs: u64,
    runs_max: u64,
}

impl<E: Engine> Shrinking<'_, E> {
    /// Takes a shorter run, if it fails.
    fn attempt(&mut self, options: Options, only: Only) -> bool {
        if self.runs == self.runs_max {
            return false;
        }
        self.runs += 1;
        let run = tell(self.engine, self.seed, options, &only);
        let fails = run.outcome.is_err();
        if fails {
            (self.options, self.only, self.run) = (options, only, run);
        }
        fails
    }

    /// Leaves out as many as it can of what `of` names and `count` counts: halves first, then ever fewer at a time.
    fn halve(&mut self, of: fn(&mut Only) -> &mut Option<BTreeSet<u64>>, count: fn(&Run) -> u64) {
        let all = count(&self.run);
        let mut kept: Vec<u64> =
            of(&mut self.only).clone().map_or((0..all).collect(), |kept| kept.into_iter().collect());
        let mut size = kept.len().div_ceil(2);
        while size > 0 && self.runs < self.runs_max {
            let (mut at, before) = (0, kept.len());
            while at < kept.len() {
                let rest = kept.iter().enumerate().filter(|(place, _)| !(at..at + size).contains(place));
                let fewer: Vec<u64> = rest.map(|(_, number)| *number).collect();
                let mut only = self.only.clone();
                *of(&mut only) = Some(fewer.iter().copied().collect());
                if self.attempt(self.options, only) {
                    kept = fewer;
                } else {
                    at += size;
                }
            }
            // One at a time is done again as long as that helps.
            size = if size == 1 && kept.len() < before { 1 } else { size / 2 };
        }
    }

    fn end(self, acts: u64) -> Shrunk {
        let left = self.run.outcome.expect_err("only runs that fail are taken");
        let kept = self.only.acts.map_or(self.run.acts, |kept| kept.range(..self.run.acts).count() as u64);
        Shrunk { found: self.found, left, acts: (acts, kept), program: self.run.program, runs: self.runs }
    }
}
