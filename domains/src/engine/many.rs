//! Looking many keys up: all reads of the device are asked for before any is waited for.
//!
//! Contract: the pairs of one answer were there together, at the moment of the answer: when something had to be read, all keys are
//! looked up anew once it has come. The answer is about the first keys alone when all would be too much; it is about one at least.
//!
//! Invariant: what waits in memory for the rest is about [`KNOWN_BYTES_MAX`] at most.

use super::core::Core;
use super::find::{Found, Known, Located, Want};
use super::ops::{Need, Step};
use crate::error::Error;
use crate::seam::{Answer, Pair, Tick};
use segments::limits::VALUE_BYTES_MAX;
use segments::{PAGE_BYTES, Place, TableId};
use std::collections::BTreeSet;

/// Most keys of one operation.
pub(crate) const KEYS_MAX: usize = 4096;
/// Bytes of one answer, and of the pages that are read for it, give or take a record. As many as [`KEYS_MAX`] pages have: the
/// records of that many keys that lie in a page each are read together.
const BYTES_MAX: usize = KEYS_MAX * PAGE_BYTES;
/// Bytes of records that were read for one operation. More have come only if pairs change as fast as they are read.
const KNOWN_BYTES_MAX: usize = 2 * BYTES_MAX + VALUE_BYTES_MAX;

/// A lookup of many keys.
#[derive(Debug)]
pub(crate) struct LookupMany {
    table: TableId,
    keys: Vec<Vec<u8>>,
    pub(crate) known: Known,
    pub(crate) failed: Option<Error>,
}

/// What one look at all keys came to.
enum Looked {
    Pairs(Vec<Option<Pair>>),
    Unread(Vec<Place>),
}

impl LookupMany {
    pub(crate) fn new(table: TableId, keys: Vec<Vec<u8>>) -> Result<Self, Error> {
        check(keys.len())?;
        Ok(Self { table, keys, known: Known::default(), failed: None })
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.table)));
        }
        match self.look(core, now) {
            Ok(Looked::Unread(places)) => Step::Wait(Need::Reads(places)),
            Ok(Looked::Pairs(pairs)) => {
                // A record that grew is read in parts: of the keys no more were read than there are.
                let read = self.known.len().min(pairs.len());
                core.counters.lookups_device += read as u64;
                core.counters.lookups_memory += (pairs.len() - read) as u64;
                Step::Done(Ok(Answer::Many(pairs)))
            }
            Err(error) => Step::Done(Err(error)),
        }
    }

    fn look(&mut self, core: &Core, now: Tick) -> Result<Looked, Error> {
        let table = core.table(self.table)?;
        let (mut pairs, mut unread) = (Vec::with_capacity(self.keys.len()), BTreeSet::new());
        let mut budget = Budget::default();
        for key in &self.keys {
            let located = core.locate(table, core.sought(table, key), &self.known, Want::Record, now)?;
            let bytes = match &located {
                Located::Unread { places } => {
                    let more = places.iter().filter(|place| !unread.contains(*place));
                    more.map(|place| place.pages() as usize * PAGE_BYTES).sum()
                }
                Located::Present { found, .. } => {
                    found.as_ref().map_or(0, |found| found.key().len() + found.value().len())
                }
                Located::Absent | Located::Expired { .. } => 0,
            };
            if !budget.takes(bytes) {
                break;
            }
            pairs.push(match located {
                Located::Unread { places } => {
                    unread.extend(places);
                    None
                }
                // When something is still to be read this look is not the last one.
                Located::Present { found, .. } if unread.is_empty() => found.map(Found::into_pair),
                Located::Present { .. } | Located::Absent | Located::Expired { .. } => None,
            });
        }
        assert!(!pairs.is_empty(), "the first key always finds room");
        self.keys.truncate(pairs.len());
        if unread.is_empty() {
            return Ok(Looked::Pairs(pairs));
        }
        if self.known.bytes() > KNOWN_BYTES_MAX {
            // What was read is overwritten or evicted before the rest comes: fewer keys are sooner together.
            self.keys.truncate(self.keys.len().div_ceil(2));
            self.known = Known::default();
        }
        Ok(Looked::Unread(unread.into_iter().collect()))
    }
}

/// How much of an answer is spoken for.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    bytes: usize,
}

impl Budget {
    /// Whether so many bytes still find room; the first always do.
    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.bytes == 0 || self.bytes + bytes <= BYTES_MAX;
        self.bytes += bytes;
        fits
    }
}

/// Whether so many keys may be looked up together.
pub(crate) fn check(keys: usize) -> Result<(), Error> {
    if (1..=KEYS_MAX).contains(&keys) {
        return Ok(());
    }
    let (value, limit) = (keys as u64, KEYS_MAX as u64);
    Err(Error::Limit { what: "the number of keys to look up (at least 1)", value, limit })
}
