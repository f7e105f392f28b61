//! Reading parts of a record: of one that is longer than a page and not in memory, only the pages that the parts lie in.
//!
//! Contract: all parts are of one version, for the record is found anew whenever something had to be read. A part of a record that is
//! read whole is checked by the value's checksum; one that comes out of pages by the checksum of each page, by its place and by what it
//! says of the record it belongs to. What is read of a longer record by pages is not kept for others.
//!
//! Invariant: of one record no page is asked for twice.

use super::core::Core;
use super::find::{Found, Known, Located, OTHER_KEY, Sight, Want, corrupt};
use super::ops::{Need, Step};
use super::records::{PagePart, place_of};
use super::table::Table;
use crate::error::Error;
use crate::index::Loc;
use crate::ranges::{self, Range, Ranges};
use crate::schema::TableHome;
use crate::seam::{Answer, Tick};
use segments::large;
use segments::page::PAGE_PAYLOAD_BYTES;
use segments::record::{self, EXPIRY_BYTES, RECORD_HEADER_BYTES, REVERTIBLE_BYTES};
use segments::{PageNo, Place, TableId};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that may stand before a record's key beside its header.
const BESIDE_BYTES: usize = EXPIRY_BYTES + REVERTIBLE_BYTES;

/// A read of ranges.
#[derive(Debug)]
pub(crate) struct ReadRanges {
    table: TableId,
    key: Vec<u8>,
    ranges: Vec<Range>,
    /// Records of one page, and the heads of longer ones.
    pub(crate) known: Known,
    /// Pages of longer ones.
    pages: BTreeMap<PageNo, Result<PagePart, Error>>,
    pub(crate) failed: Option<Error>,
}

/// What one look came to.
enum Looked {
    Ranges(Option<Ranges>),
    Wait(Need),
}

impl ReadRanges {
    pub(crate) fn new(table: TableId, key: Vec<u8>, ranges: Vec<Range>) -> Result<Self, Error> {
        ranges::check(&ranges)?;
        Ok(Self { table, key, ranges, known: Known::default(), pages: BTreeMap::new(), failed: None })
    }

    /// Takes pages that were read.
    pub(crate) fn pages_came(&mut self, pages: Vec<(PageNo, Result<PagePart, Error>)>) {
        self.pages.extend(pages);
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.table)));
        }
        match self.look(core, now) {
            Ok(Looked::Ranges(ranges)) => Step::Done(Ok(Answer::Ranges(ranges))),
            Ok(Looked::Wait(need)) => Step::Wait(need),
            Err(error) => Step::Done(Err(error.in_table(self.table))),
        }
    }

    fn look(&mut self, core: &Core, now: Tick) -> Result<Looked, Error> {
        let table = core.table(self.table)?;
        loop {
            let place = match core.locate(table, core.sought(table, &self.key), &self.known, Want::Head, now)? {
                // Of a head that is wanted there is one place.
                Located::Unread { places } => places[0],
                Located::Absent | Located::Expired { .. } => return Ok(Looked::Ranges(None)),
                Located::Present { loc, found: Some(found) } if !found.extents().is_empty() => {
                    return self.parts_of_extents(core, table, loc, &found);
                }
                Located::Present { loc, .. } => return self.parts(core, table, loc),
            };
            if place.pages() == 1 {
                return Ok(Looked::Wait(Need::Reads(vec![place])));
            }
            match self.pages.get(&place.page()) {
                None => return Ok(Looked::Wait(self.need(place, self.likely(place)))),
                Some(Err(error)) => return Err(error.clone()),
                // Its head is enough to know whose it is.
                Some(Ok(first)) => self.known.add(place, first.payload.as_slice().into()),
            }
        }
    }

    /// The parts of the record that lies there, or what must be read for them.
    fn parts(&self, core: &Core, table: &Table, loc: Loc) -> Result<Looked, Error> {
        let in_pages = table.home() == TableHome::Persistent && place_of(loc).pages() > 1;
        // A longer record is known by its head alone.
        let nothing = Known::default();
        let known = if in_pages { &nothing } else { &self.known };
        let Sight::Found(found) = core.found_at(table, loc, known, Want::Record)? else {
            assert!(in_pages, "a record of one page was read whole");
            return self.parts_of_pages(loc);
        };
        if found.key() != self.key {
            return Err(corrupt(self.table, loc, OTHER_KEY));
        }
        Ranges::of(found.as_ref(), &self.ranges).map(|ranges| Looked::Ranges(Some(ranges)))
    }

    /// The parts of a record that was appended to: of the records that its value lies in, those are read that hold any of them.
    fn parts_of_extents(&self, core: &Core, table: &Table, loc: Loc, found: &Found<'_>) -> Result<Looked, Error> {
        let wanted = ranges::clipped(&self.ranges, found.total_bytes)?;
        let known = self.known.of_whole();
        let mut parts = vec![Vec::new(); wanted.len()];
        let (mut unread, mut behind) = (Vec::new(), 0);
        for extent in found.with_itself(place_of(loc)) {
            let span = behind..behind + extent.bytes as usize;
            behind = span.end;
            let common = |part: &std::ops::Range<usize>| part.start.max(span.start)..part.end.min(span.end);
            if wanted.iter().all(|part| common(part).is_empty()) {
                continue;
            }
            let value = core.extent(table, &self.key, extent, &known).map_err(|why| corrupt(self.table, loc, why))?;
            let Some(value) = value else {
                unread.push(extent.place);
                continue;
            };
            for (bytes, part) in parts.iter_mut().zip(wanted.iter().map(common)).filter(|(_, part)| !part.is_empty()) {
                bytes.extend_from_slice(&value[part.start - span.start..part.end - span.start]);
            }
        }
        if !unread.is_empty() {
            return Ok(Looked::Wait(Need::Reads(unread)));
        }
        Ok(Looked::Ranges(Some(Ranges {
            version: found.version,
            total_bytes: found.total_bytes as u64,
            expires_ms: found.expires_ms,
            compressed: found.compressed,
            parts,
        })))
    }

    /// The parts of a record of which pages alone are here.
    fn parts_of_pages(&self, loc: Loc) -> Result<Looked, Error> {
        let place = place_of(loc);
        let first = match self.pages.get(&place.page()) {
            // The head was in memory, and the rest is not any more.
            None => return Ok(Looked::Wait(self.need(place, self.likely(place)))),
            Some(first) => first.as_ref().map_err(Clone::clone)?,
        };
        let damaged = |_| corrupt(self.table, loc, "its header is not what was written");
        let head = record::head(&first.payload).map_err(damaged)?;
        if head.key != self.key {
            return Err(corrupt(self.table, loc, OTHER_KEY));
        }
        let wanted = ranges::clipped(&self.ranges, head.value_bytes)?;
        let in_record = wanted.iter().map(|part| head.value_at + part.start..head.value_at + part.end);
        let needed: BTreeSet<usize> = in_record
            .clone()
            .flat_map(|part| part.start / PAGE_PAYLOAD_BYTES..part.end.div_ceil(PAGE_PAYLOAD_BYTES))
            .collect();
        let missing: BTreeSet<usize> =
            needed.iter().copied().filter(|page| !self.pages.contains_key(&place.page().plus(*page as u64))).collect();
        if !missing.is_empty() {
            return Ok(Looked::Wait(self.need(place, missing)));
        }
        for page in needed {
            let part = self.pages[&place.page().plus(page as u64)].as_ref().map_err(Clone::clone)?;
            if !large::is_page_of(&first.header, head.record_bytes, page, &part.header) {
                return Err(corrupt(self.table, loc, "a page in it is another record's"));
            }
        }
        let mut parts = Vec::with_capacity(self.ranges.len());
        for part in in_record {
            let mut bytes = Vec::with_capacity(part.len());
            while bytes.len() < part.len() {
                let at = part.start + bytes.len();
                let page =
                    self.pages[&place.page().plus((at / PAGE_PAYLOAD_BYTES) as u64)].as_ref().map_err(Clone::clone)?;
                let rest = &page.payload[at % PAGE_PAYLOAD_BYTES..];
                bytes.extend_from_slice(&rest[..rest.len().min(part.end - at)]);
            }
            parts.push(bytes);
        }
        Ok(Looked::Ranges(Some(Ranges {
            version: head.version,
            total_bytes: head.value_bytes as u64,
            expires_ms: head.expires_ms,
            compressed: head.compressed,
            parts,
        })))
    }

    /// The record's first page, and of those in which the ranges lie the ones that it has in any case: so that most reads take one turn
    /// of the device. How long it is exactly is not known before its head has come.
    fn likely(&self, place: Place) -> BTreeSet<usize> {
        let value_at = RECORD_HEADER_BYTES + self.key.len();
        let sure = place.pages_min() as usize;
        let pages = self.ranges.iter().flat_map(|range| {
            let range = range.clipped(sure * PAGE_PAYLOAD_BYTES);
            let end = (value_at + BESIDE_BYTES + range.end).div_ceil(PAGE_PAYLOAD_BYTES).min(sure);
            if range.is_empty() { 0..0 } else { (value_at + range.start) / PAGE_PAYLOAD_BYTES..end }
        });
        core::iter::once(0).chain(pages).collect()
    }

    /// Asks for pages of a record, those that lie side by side together.
    fn need(&self, place: Place, pages: BTreeSet<usize>) -> Need {
        let mut runs: Vec<(PageNo, u32)> = Vec::new();
        for page in pages {
            let at = place.page().plus(page as u64);
            match runs.last_mut() {
                Some((first, count)) if first.plus(u64::from(*count)) == at => *count += 1,
                _ => runs.push((at, 1)),
            }
        }
        Need::Pages(runs)
    }
}
