//! The demo's book-keeping: what was checked, what failed, and what is printed of it.
//!
//! Contract: every check is counted, one by one; failures are named, the first hundred of them. As text each step is a line
//! when it is done; as JSON there is one document at the end and nothing before.

use crate::failure::Failure;
use crate::output::{Format, Output};
use serde_json::{Map, Value};
use std::time::Duration;

/// Failed checks that are named.
const NAMED_MAX: usize = 100;

/// Counts of checks, and where they are told.
pub(super) struct Checks<'o> {
    output: &'o mut Output,
    json: bool,
    steps: u32,
    passed: u64,
    failed: u64,
    named: Vec<String>,
    facts: Map<String, Value>,
}

impl<'o> Checks<'o> {
    pub(super) fn new(output: &'o mut Output, json: bool) -> Self {
        let json = json || matches!(output.format, Format::Json | Format::Jsonl);
        Self { output, json, steps: 0, passed: 0, failed: 0, named: Vec::new(), facts: Map::new() }
    }

    /// Counts one check.
    pub(super) fn check(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
        } else {
            self.fail(what.to_owned());
        }
    }

    /// Counts checks that were made elsewhere.
    pub(super) fn add(&mut self, of: &str, passed: u64, first: impl Iterator<Item = String>, failed: u64) {
        self.passed += passed;
        let before = self.failed;
        for what in first {
            self.fail(format!("{of}: {what}"));
        }
        // Only the first were named; all count.
        self.failed = before + failed;
    }

    fn fail(&mut self, what: String) {
        self.failed += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(what);
        }
    }

    /// Tells of a step that is done, and of what failed in it.
    pub(super) fn step(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        self.steps += 1;
        let line = format!("{} {name:<8} {text}", self.steps);
        self.line(&line)
    }

    /// Tells something.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        for failed in self.named.drain(..) {
            self.output.line(&format!("  FAILED   {failed}"))?;
        }
        self.output.line(text)?;
        self.output.flush()
    }

    /// Keeps a figure for the document.
    pub(super) fn fact(&mut self, name: &str, value: Value) {
        self.facts.insert(name.to_owned(), value);
    }

    /// Keeps the figures of a step for the document.
    pub(super) fn facts(&mut self, step: &str, value: Value) {
        self.fact(step, value);
    }

    /// How many checks passed and failed.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.passed, self.failed)
    }

    /// Prints the document, if that was asked for.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let mut document = self.facts;
        document.insert("passed".to_owned(), self.passed.into());
        document.insert("failed".to_owned(), self.failed.into());
        document.insert("failures".to_owned(), self.named.into());
        self.output.document(&Value::Object(document))
    }
}

/// So many a second.
pub(super) fn rate(count: u64, time: Duration) -> u64 {
    let micros = time.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

/// A time for people.
pub(super) fn seconds(time: Duration) -> String {
    let millis = time.as_millis();
    if millis < 1000 { format!("{millis} ms") } else { format!("{}.{} s", millis / 1000, millis % 1000 / 100) }
}

/// The middle and the slow end of some times.
#[derive(Debug)]
pub(super) struct Spread {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Spread {
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let last = times.len().saturating_sub(1);
            times.get(last * percent / 100).copied().unwrap_or_default()
        };
        Self { p50: at(50), p99: at(99) }
    }

    pub(super) fn text(&self) -> String {
        format!("p50 {} us, p99 {} us", self.p50.as_micros(), self.p99.as_micros())
    }
}
