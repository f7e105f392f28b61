//! Reading parts of a record: of one that was appended to, only the earlier records that they lie in.
//!
//! Contract: all parts are of one version, for the record is found anew whenever something had to be read.

use super::core::Core;
use super::extend::OrPlaces;
use super::find::{Found, Known, Located, Want};
use super::ops::{Need, Step};
use super::records::place_of;
use super::table::Table;
use crate::error::Error;
use crate::index::Loc;
use crate::seam::{Answer, Ranges, Tick};
use segments::TableId;
use segments::limits::VALUE_BYTES_MAX;
use segments::record::Extent;
use std::ops::Range;

/// Most ranges of one read.
pub(crate) const RANGES_MAX: usize = 1024;

/// A read of ranges on its way.
#[derive(Debug)]
pub(crate) struct ReadRanges {
    table: TableId,
    key: Vec<u8>,
    ranges: Vec<(u64, u32)>,
    pub(crate) known: Known,
    pub(crate) failed: Option<Error>,
}

impl ReadRanges {
    pub(crate) fn new(table: TableId, key: Vec<u8>, ranges: Vec<(u64, u32)>) -> Result<Self, Error> {
        check_ranges(&ranges)?;
        Ok(Self { table, key, ranges, known: Known::default(), failed: None })
    }

    pub(crate) fn step(&mut self, core: &Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.table)));
        }
        match self.look(core, now) {
            Ok(Ok(ranges)) => Step::Done(Ok(Answer::Ranges(ranges))),
            Ok(Err(places)) => Step::Wait(Need::Reads(places)),
            Err(error) => Step::Done(Err(error)),
        }
    }

    fn look(&self, core: &Core, now: Tick) -> Result<OrPlaces<Option<Ranges>>, Error> {
        let table = core.table(self.table)?;
        let (loc, found) = match core.locate(table, core.sought(table, &self.key), &self.known, Want::Head, now)? {
            Located::Unread { places } => return Ok(Err(places)),
            Located::Absent | Located::Expired { .. } => return Ok(Ok(None)),
            Located::Present { loc, found } => (loc, found.expect("the head was asked for")),
        };
        let wanted: Vec<Range<usize>> = clipped(&self.ranges, found.total_bytes).collect();
        Ok(self.parts(core, table, loc, &found, &wanted)?.map(|parts| {
            Some(Ranges {
                version: found.version,
                total_bytes: found.total_bytes as u64,
                expires_ms: found.expires_ms,
                compressed: found.compressed,
                parts,
            })
        }))
    }

    fn parts(
        &self,
        core: &Core,
        table: &Table,
        loc: Loc,
        found: &Found<'_>,
        wanted: &[Range<usize>],
    ) -> Result<OrPlaces<Vec<Vec<u8>>>, Error> {
        let bytes = u32::try_from(found.own_bytes).expect("a value is at most 64 MiB");
        let own = Extent { place: place_of(loc), bytes, crc: found.value_crc };
        let mut parts: Vec<Vec<u8>> = wanted.iter().map(|range| Vec::with_capacity(range.len())).collect();
        let (mut unread, mut from) = (Vec::new(), 0);
        for extent in found.extents().iter().chain([own]) {
            let lies = from..from + extent.bytes as usize;
            from = lies.end;
            if !wanted.iter().any(|range| range.start < lies.end && lies.start < range.end) {
                continue;
            }
            let damaged = |why| Error::CorruptRecord { table: self.table, page: extent.place.page().0, why };
            let Some(value) = core.extent(table, &self.key, extent, &self.known).map_err(damaged)? else {
                unread.push(extent.place);
                continue;
            };
            for (range, part) in wanted.iter().zip(&mut parts) {
                let (start, end) = (range.start.max(lies.start), range.end.min(lies.end));
                if start < end {
                    part.extend_from_slice(&value[start - lies.start..end - lies.start]);
                }
            }
        }
        Ok(if unread.is_empty() { Ok(parts) } else { Err(unread) })
    }
}

/// Refuses what asks for too much.
pub(crate) fn check_ranges(ranges: &[(u64, u32)]) -> Result<(), Error> {
    let (what, value, limit) = ("the number of ranges", ranges.len() as u64, RANGES_MAX as u64);
    if value > limit {
        return Err(Error::Limit { what, value, limit });
    }
    let value = ranges.iter().map(|(_, bytes)| u64::from(*bytes)).sum();
    let (what, limit) = ("the length of all ranges", VALUE_BYTES_MAX as u64);
    if value > limit { Err(Error::Limit { what, value, limit }) } else { Ok(()) }
}

/// The ranges as far as they lie in a record of so many bytes.
pub(crate) fn clipped(ranges: &[(u64, u32)], total: usize) -> impl Iterator<Item = Range<usize>> {
    let clip = move |at: u64| usize::try_from(at).map_or(total, |at| at.min(total));
    ranges.iter().map(move |&(from, bytes)| clip(from)..clip(from.saturating_add(u64::from(bytes))))
}
