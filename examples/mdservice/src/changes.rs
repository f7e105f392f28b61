//! Reading the changelog: what happened since a cursor, in the order in which it happened.
//!
//! Contract: successive calls, each with the cursor of the one before, give every change of every service exactly once, in the
//! order of commits. The cursor may be stored and used by another process. How: see the head of the crate.

use crate::error::Error;
use crate::service::MdService;
use crate::tables::{Change, Op};
use lostore::{Backend, Found, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A place in the order of commits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
struct Moment {
    epoch: u64,
    ordinal: u64,
}

impl From<Version> for Moment {
    fn from(version: Version) -> Self {
        Self { epoch: version.epoch.0, ordinal: version.ordinal.0 }
    }
}

/// How far a reader of the changelog has come. The default is the beginning.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ChangeCursor {
    /// All changes up to here have been read.
    seen: Moment,
    /// For each writer, a number below which nothing is to be read any more.
    settled: BTreeMap<u32, u64>,
}

/// A change that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Happened {
    /// Rises from change to change.
    pub version: Version,
    /// Which service made it.
    pub writer: u32,
    /// What was done.
    pub op: Op,
}

/// Changes in the order in which they happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// The changes.
    pub changes: Vec<Happened>,
    /// Where to go on.
    pub cursor: ChangeCursor,
    /// Whether there were more than asked for.
    pub more: bool,
}

impl<B: Backend> MdService<B> {
    /// The changes since the cursor, at most `limit` (at least 1).
    ///
    /// # Errors
    /// When the store fails.
    pub fn changes_since(&self, cursor: &ChangeCursor, limit: usize) -> Result<Changes, Error> {
        let limit = limit.max(1);
        let mut newest = cursor.seen;
        for writer in self.writers.iter() {
            newest = newest.max(writer?.version().into());
        }
        // Who has written is read anew: a service may have begun meanwhile and made a change before the newest one.
        let mut found = Vec::new();
        for writer in self.writers.iter() {
            let writer = writer?;
            if Moment::from(writer.version()) > cursor.seen {
                self.changes_of(writer.id, cursor, newest, limit, &mut found)?;
            }
        }
        found.sort_by_key(|change| change.version());
        let later = found.split_off(limit.min(found.len()));
        let cursor = cursor.advanced(&found, &later, newest);
        Ok(Changes { changes: found.into_iter().map(happened).collect(), cursor, more: !later.is_empty() })
    }

    /// The changes of one writer behind the cursor and up to `newest`; of these, at least the first `limit` in order of version,
    /// and one more to tell that there are more.
    fn changes_of(
        &self,
        writer: u32,
        cursor: &ChangeCursor,
        newest: Moment,
        limit: usize,
        found: &mut Vec<Found<Change>>,
    ) -> Result<(), Error> {
        let from = cursor.settled.get(&writer).copied().unwrap_or_default();
        let limit = found.len() + limit;
        // The number of the first change that is not wanted; those behind it are wanted only if they may have come before it.
        let mut unwanted = None;
        for change in self.changes.range((writer, from)..=(writer, u64::MAX)) {
            let change = change?;
            if unwanted.is_some_and(|number| change.settled > number) {
                break;
            }
            let (number, moment) = (change.number, Moment::from(change.version()));
            if moment > cursor.seen && moment <= newest {
                found.push(change);
            }
            if moment > newest || found.len() > limit {
                unwanted.get_or_insert(number);
            }
        }
        Ok(())
    }
}

impl ChangeCursor {
    /// The cursor behind `taken`, when `later` were found as well and nothing else up to `newest`.
    fn advanced(&self, taken: &[Found<Change>], later: &[Found<Change>], newest: Moment) -> Self {
        let mut cursor = self.clone();
        cursor.seen = match taken.last() {
            Some(last) if !later.is_empty() => last.version().into(),
            Some(_) | None => newest,
        };
        for change in taken.iter().chain(later) {
            let settled = cursor.settled.entry(change.writer).or_default();
            *settled = change.settled.max(*settled);
        }
        for change in later {
            let settled = cursor.settled.entry(change.writer).or_default();
            *settled = change.number.min(*settled);
        }
        cursor
    }
}

fn happened(change: Found<Change>) -> Happened {
    let version = change.version();
    let Change { writer, op, .. } = change.into_record();
    Happened { version, writer, op }
}
