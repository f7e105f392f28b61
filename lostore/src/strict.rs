//! What a strict transaction has read: compared again when it commits, so that it is as if it had run alone at that moment.
//!
//! Contract: every pair read is compared at its version, every key found empty as absent, and every stretch of a table that an
//! iteration has gone over as holding nothing else. Two reads of one key that saw different versions contradict each other, and
//! the commit fails.
//!
//! The reads are kept apart from the transaction's updates, since reading takes it by shared reference and iterations outlive
//! the call that made them.

use crate::error::Error;
use crate::key::KeySpan;
use crate::sync::{Arc, Mutex, MutexGuard};
use ::txn::{CommitSet, Expect};
use domains::{Cursor, Direction};
use segments::{TableId, Version};

/// The reads of one strict transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads(Arc<Mutex<CommitSet>>);

impl Reads {
    /// A key was looked up, and this is what was there.
    pub(crate) fn saw(&self, table: TableId, key: &[u8], version: Option<Version>) -> Result<(), Error> {
        let expect = version.map_or(Expect::Absent, Expect::At);
        self.hold().compare(table, key, expect).map_err(Error::refused)
    }

    /// An iteration of this span has gone on: from where it stood to behind `to`, or to the span's end.
    pub(crate) fn passed(
        &self,
        table: TableId,
        span: &KeySpan,
        direction: Direction,
        stood: &Cursor,
        to: Option<&[u8]>,
    ) -> Result<(), Error> {
        let (from, until) = match direction {
            Direction::Next => {
                let from = match stood {
                    Cursor::Start => span.start.clone(),
                    Cursor::At(key) => key.clone(),
                    Cursor::Past(key) => after(key),
                };
                (from, to.map(after).or_else(|| span.end.clone()))
            }
            Direction::Previous => {
                let until = match stood {
                    Cursor::Start => span.end.clone(),
                    Cursor::At(key) => Some(after(key)),
                    Cursor::Past(key) => Some(key.clone()),
                };
                (to.map_or_else(|| span.start.clone(), <[u8]>::to_vec), until)
            }
        };
        self.hold().compare_range(table, &from, until.as_deref()).map_err(Error::refused)
    }

    /// Adds all that was read to the set that is committed.
    pub(crate) fn add_to(&self, set: &mut CommitSet) -> Result<(), Error> {
        set.add_compares(&self.hold()).map_err(Error::refused)
    }

    fn hold(&self) -> MutexGuard<'_, CommitSet> {
        self.0.lock().expect("nothing panics while it holds the reads of a transaction")
    }
}

/// The least key that is greater.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Why a table without an order cannot be iterated in a strict transaction.
pub(crate) fn unordered(table: TableId) -> Error {
    let why = "only an ordered table can tell at the commit that nobody has put another pair among those that were read; \
               look the keys up one by one, read before the transaction, or make the table an ordered one";
    Error::Domain(domains::Error::WrongKind { op: "an iteration in a strict transaction", table, why })
}
