//! Records that no index names, and that may be a part of one that an index names: of values that grew by appends, or were written out
//! before their commit.
//!
//! Contract: every such record of the segments to be emptied is told to [`Parts::suspect`]. Where it is part of a pair's value, the pair
//! is given as a whole, to be written as one record. What is too long for that stays where it is, and its segment with it.

use crate::engine::core::Core;
use crate::engine::find::{Known, Located, Sight, Want};
use crate::error::Error;
use crate::index::Loc;
use crate::schema::TableHome;
use crate::seam::Tick;
use segments::record::{self, Extents, Record, RecordKind};
use segments::{Place, TableId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The longest value that is made whole: what is longer is read through without end, and held in memory.
const WHOLE_BYTES_MAX: usize = 1 << 20;

/// Records of one key that may be parts.
#[derive(Debug, Default)]
pub(super) struct Parts {
    suspects: BTreeMap<(TableId, Box<[u8]>), Vec<Place>>,
    known: Known,
    unread: bool,
}

/// What one step has found.
#[derive(Debug)]
pub(super) enum Found {
    /// They are nobody's part.
    Nothing,
    /// These must be read first.
    Unread(Vec<Place>),
    /// A pair of which one is a part.
    Whole { table: TableId, from: Place, record: Vec<u8>, key: Range<usize> },
    /// This place is still wanted where it is.
    Stays(Place),
    /// All have been looked at.
    Over,
}

impl Parts {
    pub(super) fn suspect(&mut self, table: TableId, key: &[u8], place: Place) {
        self.suspects.entry((table, key.into())).or_default().push(place);
    }

    pub(super) fn came(&mut self, place: Place, admitted: Result<Arc<[u8]>, Error>) {
        match admitted {
            Ok(record) => self.known.add(place, record),
            Err(_) => self.unread = true,
        }
    }

    /// Looks at the records of the next key. `room` is how many bytes may still be made whole.
    pub(super) fn step(&mut self, core: &Core, room: usize) -> Found {
        let Some(((table, key), places)) = self.suspects.pop_first() else { return Found::Over };
        let found = match core.catalog.table(table) {
            // A read has failed: whose part they are cannot be known.
            Some(_) if self.unread => Found::Stays(places[0]),
            Some(_) => self.look(core, table, &key, &places, room).unwrap_or(Found::Stays(places[0])),
            None => Found::Nothing,
        };
        match found {
            Found::Unread(_) => drop(self.suspects.insert((table, key), places)),
            Found::Stays(_) if places.len() > 1 => {
                self.suspects.insert((table, key), places[1..].to_vec());
            }
            Found::Nothing | Found::Whole { .. } | Found::Stays(_) | Found::Over => {
                (self.known, self.unread) = (Known::default(), false);
            }
        }
        found
    }

    fn look(&self, core: &Core, table: TableId, key: &[u8], places: &[Place], room: usize) -> Result<Found, Error> {
        let entry = core.table(table)?;
        // What has expired is still a pair of the index.
        let any_time = Tick { nanos: 0, unix_ms: 0 };
        let (loc, found) = match core.locate(entry, core.sought(entry, key), &self.known, Want::Head, any_time)? {
            Located::Unread { places } => return Ok(Found::Unread(places)),
            Located::Present { loc, found: Some(found) } => (loc, found),
            Located::Absent | Located::Expired { .. } | Located::Present { found: None, .. } => {
                return Ok(Found::Nothing);
            }
        };
        if core.keeps(TableHome::Persistent, loc) {
            return Ok(Found::Stays(places[0]));
        }
        if !found.extents().iter().any(|extent| places.contains(&extent.place)) {
            return Ok(Found::Nothing);
        }
        if found.total_bytes > WHOLE_BYTES_MAX.min(room) {
            return Ok(Found::Stays(places[0]));
        }
        drop(found);
        whole(core, entry, loc, &self.known)
    }
}

/// The record that holds a pair's whole value.
fn whole(core: &Core, table: &crate::engine::table::Table, loc: Loc, known: &Known) -> Result<Found, Error> {
    let found = match core.found_at(table, loc, known, Want::Record)? {
        Sight::Unread(places) => return Ok(Found::Unread(places)),
        Sight::Found(found) => found,
    };
    let (key, value) = (found.key(), found.value());
    let record = Record {
        kind: RecordKind::Pair,
        table: table.info.id,
        version: found.version,
        key,
        value,
        extents: Extents::default(),
        expires_ms: found.expires_ms,
        compressed: found.compressed,
        compact: found.compact,
        revertible: None,
    };
    let mut bytes = vec![0; record.encoded_bytes()];
    record::encode(&record, &mut bytes);
    let at = record::head(&bytes).expect("it was encoded just now").value_at;
    Ok(Found::Whole { table: table.info.id, from: Place::from(loc), key: at - key.len()..at, record: bytes })
}
