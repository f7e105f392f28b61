//! Verify: a record as it is stored, read from the device even where memory has it.
//!
//! Contract: what is answered was read after the operation came, all records that its value lies in, and is the pair's record at the
//! moment of the answer; its value travels with the checksum that it was written with. A record that was overwritten meanwhile is looked for anew.

use super::core::Core;
use super::find::{Found, Known, Located, Want};
use super::ops::{Need, Step};
use super::records::place_of;
use crate::error::Error;
use crate::schema::TableHome;
use crate::seam::{Answer, Stored, Tick};
use segments::{EpochId, Place, TableId};
use std::sync::Arc;

/// A verification.
#[derive(Debug)]
pub(crate) struct Verify {
    table: TableId,
    key: Vec<u8>,
    /// What was read to find the record.
    known: Known,
    /// What was read of the device for this operation.
    fresh: Known,
    failed: Option<Error>,
}

impl Verify {
    pub(crate) fn new(table: TableId, key: Vec<u8>) -> Self {
        Self { table, key, known: Known::of_heads(), fresh: Known::default(), failed: None }
    }

    pub(crate) fn came(&mut self, place: Place, admitted: Result<Arc<[u8]>, Error>) {
        match admitted {
            Ok(record) => {
                self.known.add(place, Arc::clone(&record));
                self.fresh.add(place, record);
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
            Ok(Looked::Read(places)) => Step::Wait(Need::Reads(places)),
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
            Located::Unread { places } => return Ok(Looked::Read(places)),
            Located::Absent | Located::Expired { .. } => return Ok(Looked::Stored(None)),
            Located::Present { loc, found } => (loc, found.expect("the record was asked for")),
        };
        if home == TableHome::Volatile {
            return Ok(stored(found, false));
        }
        let place = place_of(loc);
        let Some(record) = self.fresh.get(place, Want::Own) else {
            let epoch = found.version.epoch;
            return Ok(if core.is_persistent(epoch) { Looked::Read(vec![place]) } else { Looked::Unwritten(epoch) });
        };
        let damaged = |why| super::find::corrupt(self.table, loc, why);
        let mut found = Found::stored(record, self.table).map_err(damaged)?;
        // What a persistent record names is persistent, and it must come from the device as well.
        let extents = found.extents().iter().map(|extent| extent.place);
        let missing: Vec<Place> = extents.filter(|place| self.fresh.get(*place, Want::Own).is_none()).collect();
        if !missing.is_empty() {
            return Ok(Looked::Read(missing));
        }
        match core.fill(table, &mut found, &self.fresh).map_err(damaged)? {
            Ok(()) => Ok(stored(found, true)),
            Err(places) => unreachable!("{places:?} have just been read"),
        }
    }
}

/// What a look came to.
enum Looked {
    Stored(Option<Box<Stored>>),
    /// These must be read.
    Read(Vec<Place>),
    /// The record is on its way to the device, with this epoch.
    Unwritten(EpochId),
}

fn stored(found: Found<'_>, from_device: bool) -> Looked {
    let value_crc = found.whole_crc();
    Looked::Stored(Some(Box::new(Stored { pair: found.into_pair(), value_crc, from_device })))
}
