//! Range compares, in the commit's own turn: nothing is in the range but what the set compares at a version.
//!
//! Contract: exact. The index is walked over the range; a key that the set does not compare must be expired, which its record
//! says. The walk is bounded by the set itself and by [`STRANGERS_MAX`]: one live stranger ends it.

use super::super::core::Core;
use super::super::find::{Sight, Want};
use super::super::ops::READ_PAGES_AT_ONCE;
use super::super::table::Index;
use super::{Commit, READS_AT_ONCE};
use crate::error::{Error, Failure};
use crate::seam::{Direction, Tick};
use segments::Place;
use std::ops::{Bound, ControlFlow};
use txn::{CommitSet, RANGES_FIRST, RangeCompare};

/// Expired pairs that the range compares of one set may meet: looking at their heads takes a few milliseconds.
const STRANGERS_MAX: usize = 8_192;

/// What is in the ranges of a set that should not be there, or must be read to know.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    pub(super) failures: Vec<Failure>,
    pub(super) unread: Vec<Place>,
    pages: u32,
    met: usize,
}

impl Commit {
    /// Looks for pairs in the set's ranges that the set does not expect there.
    pub(super) fn strangers(&self, core: &Core, now: Tick) -> Result<Strangers, Error> {
        let mut strangers = Strangers::default();
        for (number, range) in (RANGES_FIRST..).zip(self.set.ranges()) {
            self.walk(core, now, (number, range), &mut strangers)?;
            if strangers.unread.len() >= READS_AT_ONCE || strangers.pages >= READ_PAGES_AT_ONCE {
                break;
            }
        }
        Ok(strangers)
    }

    /// Walks one range until a live stranger is found or enough is to be read.
    fn walk(
        &self,
        core: &Core,
        now: Tick,
        (number, range): (u32, RangeCompare<'_>),
        strangers: &mut Strangers,
    ) -> Result<(), Error> {
        let table = core.table(range.table)?;
        let Index::Ordered(index) = &table.index else { unreachable!("ranges of ordered tables alone are taken") };
        let mut end = Ok(());
        let _ = index.for_each_from(Bound::Included(range.from), Direction::Next, |key, loc| {
            if !range.contains(key) {
                return ControlFlow::Break(());
            }
            if self.set.compares_at(range.table, key) {
                return ControlFlow::Continue(());
            }
            strangers.met += 1;
            if strangers.met > STRANGERS_MAX {
                let (value, limit) = (strangers.met as u64, STRANGERS_MAX as u64);
                end =
                    Err(Error::Limit { what: "the number of expired pairs in ranges that are compared", value, limit });
                return ControlFlow::Break(());
            }
            match core.found_at(table, loc, &self.known, Want::Head) {
                Err(error) => end = Err(error),
                Ok(Sight::Found(found)) if found.is_expired(now) => return ControlFlow::Continue(()),
                Ok(Sight::Found(found)) => {
                    strangers.failures.push(Failure { part: number, found: Some(found.version) });
                }
                Ok(Sight::Unread(places)) => {
                    strangers.pages += places.iter().map(|place| place.pages()).sum::<u32>();
                    strangers.unread.extend(places);
                    let enough = strangers.unread.len() >= READS_AT_ONCE || strangers.pages >= READ_PAGES_AT_ONCE;
                    // Where nothing expires it is a stranger for sure, and is read only to say its version.
                    if table.expires && !enough {
                        return ControlFlow::Continue(());
                    }
                }
            }
            ControlFlow::Break(())
        });
        end
    }
}

/// Whether the ranges of a set can be compared at all.
pub(super) fn check_ranges(core: &Core, set: &CommitSet) -> Result<(), Error> {
    for range in set.ranges() {
        match &core.table(range.table)?.index {
            Index::Ordered(_) => {}
            Index::Hash(_) | Index::Sack(_) => return Err(unordered(range.table)),
        }
    }
    Ok(())
}

/// The error of a range compare on a table without an order.
pub(crate) fn unordered(table: segments::TableId) -> Error {
    let why = "only an ordered table can say that nobody has put a pair between two keys; \
               compare the keys one by one, or make the table an ordered one";
    Error::WrongKind { op: "a range compare", table, why }
}
