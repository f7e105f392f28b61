//! Verify: a record as it is stored, read from the device even where memory has it.
//!
//! Contract: what is answered was read after the operation came, and is the pair's record at the moment of the answer; its value
//! travels with the checksum that it was written with. A record that was overwritten meanwhile is looked for anew.

use super::core::Core;
use super::find::{Found, Known, Located, Want};
use super::ops::{Need, Step};
use super::records::place_of;
use crate::error::Error;
use crate::schema::TableHome;
use crate::seam::{Answer, Stored, Tick};
use segments::{EpochId, Place, TableId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A verification.
#[derive(Debug)]
pub(crate) struct Verify {
    table: TableId,
    key: Vec<u8>,
    /// What was read to find the record.
    known: Known,
    /// What was read of the device for this operation.
    fresh: BTreeMap<Place, Arc<[u8]>>,
    failed: Option<Error>,
}

impl Verify {
    pub(crate) fn new(table: TableId, key: Vec<u8>) -> Self {
        Self { table, key, known: Known::of_heads(), fresh: BTreeMap::new(), failed: None }
    }

    pub(crate) fn came(&mut self, place: Place, admitted: Result<Arc<[u8]>, Error>) {
        match admitted {
            Ok(record) => {
                self.known.add(place, Arc::clone(&record));
                self.fresh.insert(place, record);
            }
            Err(error) => self.failed = Some(error),
        }
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.table)));
        }
        match self.look(core, now) {
            Ok(Looked::Stored(stored)) => Step::Done(Ok(Answer::Stored(stored))),
            Ok(Looked::Read(place)) => Step::Wait(Need::Reads(vec![place])),
            Ok(Looked::Unwritten(epoch)) => match core.check_poison() {
                Ok(()) => {
                    core.force(now);
                    Step::Wait(Need::Persistent(epoch))
                }
                Err(error) => Step::Done(Err(error)),
            },
            Err(error) => Step::Done(Err(error)),
        }
    }

    fn look(&self, core: &Core, now: Tick) -> Result<Looked, Error> {
        let table = core.table(self.table)?;
        let home = table.home();
        let want = if home == TableHome::Volatile { Want::Record } else { Want::Head };
        let (loc, found) = match core.locate(table, core.sought(table, &self.key), &self.known, want, now)? {
            Located::Unread { place } => return Ok(Looked::Read(place)),
            Located::Absent | Located::Expired { .. } => return Ok(Looked::Stored(None)),
            Located::Present { loc, found } => (loc, found.expect("the record was asked for")),
        };
        if home == TableHome::Volatile {
            return Ok(stored(&found, false));
        }
        let place = place_of(loc);
        match self.fresh.get(&place) {
            Some(record) => {
                let found =
                    Found::stored(record, self.table).map_err(|why| super::find::corrupt(self.table, loc, why))?;
                Ok(stored(&found, true))
            }
            None if core.is_persistent(found.version.epoch) => Ok(Looked::Read(place)),
            None => Ok(Looked::Unwritten(found.version.epoch)),
        }
    }
}

/// What a look came to.
enum Looked {
    Stored(Option<Box<Stored>>),
    /// This must be read.
    Read(Place),
    /// The record is on its way to the device, with this epoch.
    Unwritten(EpochId),
}

fn stored(found: &Found<'_>, from_device: bool) -> Looked {
    Looked::Stored(Some(Box::new(Stored { pair: found.to_pair(), value_crc: found.value_crc, from_device })))
}
