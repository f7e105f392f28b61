//! Following a chain: from a record through its pointer to the next, until something ends it.
//!
//! Contract: every step is a lookup of its own; records that memory has are met in one turn, the others are read one after the
//! other, since none is known before the one that names it. What was found stays in the answer although it may change meanwhile.
//!
//! Invariant: no record is in a chain twice, so a chain ends.

use super::core::Core;
use super::find::{Known, Located, Want};
use super::ops::{Need, Step, pointer_key, pointer_table};
use crate::error::Error;
use crate::index::Address;
use crate::schema::TableKind;
use crate::seam::{Answer, Chain, ChainEnd, Pair, TableInfo, Tick};
use segments::{Place, TableId};
use std::collections::BTreeMap;

/// Records of one chain: what one answer carries.
const RECORDS_MAX: u32 = 4096;
/// Bytes of keys and values of one chain, give or take the last record.
const BYTES_MAX: usize = 16 << 20;
/// Fields that may be named one by one.
const FIELDS_MAX: usize = 1024;
/// Records that one step follows when memory has them; then others have their turn.
const LINKS_AT_ONCE: usize = 64;

/// A follow of many pointers.
#[derive(Debug)]
pub(crate) struct FollowChain {
    links: Links,
    /// What comes next.
    next: (TableId, Vec<u8>),
    pub(crate) known: Known,
    pub(crate) failed: Option<Error>,
}

/// How far one step along the chain came.
enum Along {
    /// To the next record.
    Next(TableId, Vec<u8>),
    /// To the end.
    End(ChainEnd),
    /// To records that must be read.
    Unread(Vec<Place>),
}

impl FollowChain {
    pub(crate) fn new(core: &Core, first: (TableId, Vec<u8>), links: Links) -> Result<Self, Error> {
        pointer_table(&core.table(first.0)?.info, links.first_field())?;
        Ok(Self { links, next: first, known: Known::default(), failed: None })
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.next.0)));
        }
        for _ in 0..LINKS_AT_ONCE {
            match self.along(core, now) {
                Err(error) => return Step::Done(Err(error)),
                Ok(Along::Unread(places)) => return Step::Wait(Need::Reads(places)),
                Ok(Along::End(end)) => return Step::Done(Ok(Answer::Chain(self.links.end(end)))),
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
            Located::Unread { places } => return Ok(Along::Unread(places)),
            Located::Absent => return Ok(Along::End(self.links.missing(key, false))),
            Located::Expired { .. } => return Ok(Along::End(self.links.missing(key, true))),
            Located::Present { found, .. } => found.expect("the record was asked for").into_pair(),
        };
        let led = self.links.take(&table.info, pair, |name| {
            let to = core.catalog.by_name(name)?;
            core.catalog.table(to).map(|table| (to, table.info.spec.kind))
        })?;
        Ok(led.map_or_else(Along::End, |(table, key)| Along::Next(table, key)))
    }
}

/// The records of a chain so far, and how far it may go.
#[derive(Debug)]
pub(crate) struct Links {
    links: Vec<(TableId, Pair)>,
    /// Of keys and values.
    bytes: usize,
    /// Where each record of the chain is in it.
    met: BTreeMap<(TableId, Vec<u8>), u32>,
    /// The pointer field of each record in turn; the last goes for all that follow.
    fields: Vec<u16>,
    depth_max: u32,
    records_max: u32,
}

impl Links {
    /// None yet.
    pub(crate) fn new(fields: Vec<u16>, depth_max: u32, records_max: u32) -> Result<Self, Error> {
        if fields.is_empty() || fields.len() > FIELDS_MAX {
            let (value, limit) = (fields.len() as u64, FIELDS_MAX as u64);
            return Err(Error::Limit { what: "the number of fields to follow (at least 1)", value, limit });
        }
        if !(1..=RECORDS_MAX).contains(&records_max) {
            let (value, limit) = (u64::from(records_max), u64::from(RECORDS_MAX));
            return Err(Error::Limit { what: "the number of a chain's records (at least 1)", value, limit });
        }
        Ok(Self { links: Vec::new(), bytes: 0, met: BTreeMap::new(), fields, depth_max, records_max })
    }

    /// The field of the first record that leads on.
    pub(crate) fn first_field(&self) -> u16 {
        self.fields[0]
    }

    /// How the chain ends when its next record is not there.
    pub(crate) fn missing(&self, key: &[u8], expired: bool) -> ChainEnd {
        match (self.links.is_empty(), expired) {
            (true, _) => ChainEnd::Absent,
            (false, true) => ChainEnd::Expired { key: key.to_vec() },
            (false, false) => ChainEnd::Dangling { key: key.to_vec() },
        }
    }

    /// Takes the next record in: the pair that it leads to, or why the chain ends with it. `kind_of` knows tables by name.
    pub(crate) fn take(
        &mut self,
        info: &TableInfo,
        pair: Pair,
        kind_of: impl FnOnce(&str) -> Option<(TableId, TableKind)>,
    ) -> Result<Result<(TableId, Vec<u8>), ChainEnd>, Error> {
        let number = u32::try_from(self.links.len()).expect("a chain has at most 4096 records");
        let field = self.fields[self.links.len().min(self.fields.len() - 1)];
        let earlier = self.met.insert((info.id, pair.key.clone()), number);
        assert!(earlier.is_none(), "no record is in a chain twice");
        self.bytes += pair.key.len() + pair.value.len();
        self.links.push((info.id, pair));
        let wrong_type = Err(ChainEnd::WrongType { field });
        let Ok(name) = pointer_table(info, field) else { return Ok(wrong_type) };
        let Some(key) = pointer_key(info.id, field, &self.links[self.links.len() - 1].1.value)? else {
            return Ok(Err(ChainEnd::Null));
        };
        let Some((to, kind)) = kind_of(name) else { return Ok(wrong_type) };
        if kind == TableKind::Sack && Address::decode(key).is_none() {
            return Ok(wrong_type);
        }
        let next = (to, key.to_vec());
        Ok(match self.met.get(&next) {
            Some(&link) => Err(ChainEnd::Cycle { link }),
            None if number >= self.depth_max => Err(ChainEnd::Depth),
            None if number + 1 == self.records_max || self.bytes >= BYTES_MAX => Err(ChainEnd::Count),
            None => Ok(next),
        })
    }

    /// The chain, which ends so.
    pub(crate) fn end(&mut self, end: ChainEnd) -> Chain {
        Chain { links: core::mem::take(&mut self.links), end }
    }
}
