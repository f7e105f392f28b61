//! Parts of a value: what is asked for, and what comes.
//!
//! Contract: a range is cut where the value ends, and one past the end is empty; ranges may overlap. How many there may be and how many
//! bytes they have together, cut, is bounded.

use crate::error::Error;
use crate::seam::PairRef;
use segments::Version;
use segments::limits::VALUE_BYTES_MAX;

/// Most ranges of one read.
const RANGES_MAX: usize = 1024;

/// A part of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Its first byte.
    pub from: u64,
    /// How many bytes it has; those past the value's end are left out.
    pub bytes: u64,
}

/// Parts of one record, all of one version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranges {
    /// The record's version.
    pub version: Version,
    /// Bytes of the whole value.
    pub total_bytes: u64,
    /// When the pair expires, milliseconds since the Unix epoch.
    pub expires_ms: Option<u64>,
    /// The client's compression flag.
    pub compressed: bool,
    /// What lies in each range, in the order in which they were asked.
    pub parts: Vec<Vec<u8>>,
}

impl Range {
    /// As far as it lies in a value of so many bytes.
    pub(crate) fn clipped(self, total: usize) -> core::ops::Range<usize> {
        let clip = |at: u64| usize::try_from(at).map_or(total, |at| at.min(total));
        clip(self.from)..clip(self.from.saturating_add(self.bytes))
    }
}

/// A range whose end is not behind its start is empty.
impl From<core::ops::Range<u64>> for Range {
    fn from(range: core::ops::Range<u64>) -> Self {
        Self { from: range.start, bytes: range.end.saturating_sub(range.start) }
    }
}

impl Ranges {
    /// The parts of a pair that is here as a whole.
    ///
    /// # Errors
    /// When the ranges are too many, or too much together.
    pub fn of(pair: PairRef<'_>, ranges: &[Range]) -> Result<Self, Error> {
        check(ranges)?;
        let parts = clipped(ranges, pair.value.len())?.into_iter().map(|part| pair.value[part].to_vec()).collect();
        Ok(Self {
            version: pair.version,
            total_bytes: pair.value.len() as u64,
            expires_ms: pair.options.expires_ms,
            compressed: pair.options.compressed,
            parts,
        })
    }
}

/// Refuses what asks for too much.
pub(crate) fn check(ranges: &[Range]) -> Result<(), Error> {
    let (value, limit) = (ranges.len() as u64, RANGES_MAX as u64);
    if value > limit { Err(Error::Limit { what: "the number of ranges", value, limit }) } else { Ok(()) }
}

/// The ranges as far as they lie in a value of so many bytes.
pub(crate) fn clipped(ranges: &[Range], total: usize) -> Result<Vec<core::ops::Range<usize>>, Error> {
    let clipped: Vec<_> = ranges.iter().map(|range| range.clipped(total)).collect();
    let value = clipped.iter().map(|part| part.len() as u64).sum();
    let limit = VALUE_BYTES_MAX as u64;
    if value > limit {
        return Err(Error::Limit { what: "the bytes of all ranges together", value, limit });
    }
    Ok(clipped)
}
