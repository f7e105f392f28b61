//! Following a chain: from a record through its pointer to the next, until something ends it.
//!
//! Contract: every step is a lookup of its own; records that memory has are met in one turn, the others are read one after the
//! other, since none is known before the one that names it. What was found stays in the answer although it may change meanwhile.
//!
//! Invariant: no record is in a chain twice, so a chain ends.

use super::core::Core;
use super::find::{Known, Located, Want};
use super::ops::{Need, Step, pointer_key, pointer_table};
use super::table::Index;
use crate::error::Error;
use crate::index::Address;
use crate::seam::{Answer, Chain, ChainEnd, Pair, Tick};
use segments::{Place, TableId};
use std::collections::BTreeMap;

/// Records of one chain: what one answer carries.
pub(crate) const RECORDS_MAX: u32 = 4096;
/// Bytes of keys and values of one chain, give or take the last record.
pub(crate) const BYTES_MAX: usize = 16 << 20;
/// Fields that may be named one by one.
pub(crate) const FIELDS_MAX: usize = 1024;

/// A follow of many pointers.
#[derive(Debug)]
pub(crate) struct Follow {
    links: Vec<(TableId, Pair)>,
    bytes: usize,
    /// Where each record of the chain is in it.
    met: BTreeMap<(TableId, Vec<u8>), u32>,
    /// What comes next.
    next: (TableId, Vec<u8>),
    fields: Vec<u16>,
    depth_max: u32,
    records_max: u32,
    pub(crate) known: Known,
    pub(crate) failed: Option<Error>,
}

/// How far one step along the chain came.
enum Along {
    /// To the next record.
    Next(TableId, Vec<u8>),
    /// To the end.
    End(ChainEnd),
    /// To a record that must be read.
    Unread(Place),
}

impl Follow {
    pub(crate) fn new(
        core: &Core,
        first: (TableId, Vec<u8>),
        fields: Vec<u16>,
        depth_max: u32,
        records_max: u32,
    ) -> Result<Self, Error> {
        check(&fields, records_max)?;
        pointer_table(&core.table(first.0)?.info, fields[0])?;
        Ok(Self {
            links: Vec::new(),
            bytes: 0,
            met: BTreeMap::new(),
            next: first,
            fields,
            depth_max,
            records_max,
            known: Known::default(),
            failed: None,
        })
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.next.0)));
        }
        // As many as one may before others have their turn.
        for _ in 0..64 {
            match self.along(core, now) {
                Err(error) => return Step::Done(Err(error)),
                Ok(Along::Unread(place)) => return Step::Wait(Need::Reads(vec![place])),
                Ok(Along::End(end)) => {
                    let links = core::mem::take(&mut self.links);
                    return Step::Done(Ok(Answer::Chain(Chain { links, end })));
                }
                Ok(Along::Next(table, key)) => {
                    self.next = (table, key);
                    // What was read of one record is of no use for the next.
                    self.known = Known::default();
                }
            }
        }
        Step::Wait(Need::Again)
    }

    /// Takes the next record in and says what it leads to.
    fn along(&mut self, core: &Core, now: Tick) -> Result<Along, Error> {
        let (id, key) = (self.next.0, &self.next.1);
        let table = core.table(id)?;
        let pair = match core.locate(table, core.sought(table, key), &self.known, Want::Record, now)? {
            Located::Unread { place } => return Ok(Along::Unread(place)),
            Located::Absent | Located::Expired { .. } if self.links.is_empty() => {
                return Ok(Along::End(ChainEnd::Absent));
            }
            Located::Absent => return Ok(Along::End(ChainEnd::Dangling { key: key.clone() })),
            Located::Expired { .. } => return Ok(Along::End(ChainEnd::Expired { key: key.clone() })),
            Located::Present { found, .. } => found.expect("the record was asked for").to_pair(),
        };
        let number = u32::try_from(self.links.len()).expect("a chain has at most 4096 records");
        self.met.insert((id, key.clone()), number);
        self.bytes += pair.key.len() + pair.value.len();
        let field = self.fields[self.links.len().min(self.fields.len() - 1)];
        self.links.push((id, pair));
        let value = &self.links[self.links.len() - 1].1.value;
        let Ok(name) = pointer_table(&table.info, field) else { return Ok(Along::End(ChainEnd::WrongType { field })) };
        let Some(target) = pointer_key(id, field, value)? else { return Ok(Along::End(ChainEnd::Null)) };
        let Some(to) = core.catalog.by_name(name) else { return Ok(Along::End(ChainEnd::WrongType { field })) };
        let sack = matches!(core.table(to)?.index, Index::Sack(_));
        if sack && Address::decode(target).is_none() {
            return Ok(Along::End(ChainEnd::WrongType { field }));
        }
        let next = (to, target.to_vec());
        if let Some(&link) = self.met.get(&next) {
            return Ok(Along::End(ChainEnd::Cycle { link }));
        }
        if number >= self.depth_max {
            return Ok(Along::End(ChainEnd::Depth));
        }
        if number + 1 == self.records_max || self.bytes >= BYTES_MAX {
            return Ok(Along::End(ChainEnd::Count));
        }
        Ok(Along::Next(next.0, next.1))
    }
}

/// Whether a chain can be followed so.
pub(crate) fn check(fields: &[u16], records_max: u32) -> Result<(), Error> {
    if fields.is_empty() || fields.len() > FIELDS_MAX {
        let (value, limit) = (fields.len() as u64, FIELDS_MAX as u64);
        return Err(Error::Limit { what: "the number of fields to follow (at least 1)", value, limit });
    }
    if !(1..=RECORDS_MAX).contains(&records_max) {
        let (value, limit) = (u64::from(records_max), u64::from(RECORDS_MAX));
        return Err(Error::Limit { what: "the number of a chain's records (at least 1)", value, limit });
    }
    Ok(())
}
