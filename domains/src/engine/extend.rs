//! Records that were appended to: reading one through its extents, and what an append writes.
//!
//! Contract: a whole value is put together from records that each were checked against what names them. An append writes its own bytes,
//! and now and then those of the newest extents with them: runs of like size are merged, as in a log-structured tree. The fewer
//! extents there are, the longer a run may get before it is merged: from [`EXTENTS_MAX`] down to [`RUN_MIN`]. So a byte is written about
//! three times by a thousand appends of one size and six times by a hundred thousand, and the long beginning not before as much
//! has come behind it. A record that fits a page is written anew as a whole, since it then takes one read;
//! one that is to be packed also while it fits a few.
//!
//! What one transaction copies of earlier appends is bounded: past [`COPIED_BYTES_MAX`] it names extents where it would have merged them,
//! and where the list is full it is refused.

use super::core::Core;
use super::find::{Found, Known, Want};
use super::table::Table;
use crate::error::Error;
use crate::index::Loc;
use segments::Place;
use segments::limits::{EXTENTS_MAX, VALUE_BYTES_MAX};
use segments::log::room::{Extras, RoomNeed};
use segments::page::PAGE_PAYLOAD_BYTES;
use segments::record::{self, EXTENT_BYTES, Extent, Extents, REVERTIBLE_BYTES, RecordKind};
use std::borrow::Cow;
use txn::PutOptions;
use txn::limits::SET_BYTES_MAX;

/// The shortest run of records of like size that is merged.
const RUN_MIN: usize = 3;
/// Bytes of earlier appends that one transaction copies at most: as many as it may bring.
pub(crate) const COPIED_BYTES_MAX: usize = SET_BYTES_MAX;

/// How long a record that is to be [packed](PutOptions::compact) may get while each append writes it anew as a whole.
const COMPACT_BYTES_MAX: usize = 16 << 10;
/// Pages that such a record takes, and an append of it writes, at most.
const COMPACT_PAGES_MAX: usize = 5;
const _: () = assert!(
    record::encoded_bytes_max(COMPACT_BYTES_MAX) <= COMPACT_PAGES_MAX * PAGE_PAYLOAD_BYTES,
    "a value of 16 KiB with the longest key and all that a header may have fits five pages"
);

/// What an append makes of its record.
#[derive(Clone, Debug)]
pub(crate) struct Grown {
    /// The extents that the new record names, encoded.
    pub(crate) extents: Vec<u8>,
    /// What lies in it.
    pub(crate) value: Vec<u8>,
    /// What is kept with it.
    pub(crate) options: PutOptions,
    /// The record lies in memory and grows where it is; then the above are empty.
    pub(crate) in_place: bool,
    /// Bytes of the log that it has in common with the record before it: those of the extents that both live by.
    pub(crate) shared_bytes: u64,
}

impl Grown {
    /// The room that its record takes.
    pub(crate) fn add_to(&self, need: &mut RoomNeed, key_bytes: usize) {
        let (extents, options) = (self.extents.len() / EXTENT_BYTES, self.options);
        let (expires, revertible) = (options.expires_ms.is_some(), options.revertible_ms.is_some());
        need.add_with(key_bytes, self.value.len(), Extras { expires, revertible, extents });
    }
}

impl Found<'_> {
    /// The records that its value lies in, oldest first: its extents and, where it holds any, itself.
    pub(crate) fn with_itself(&self, place: Place) -> Vec<Extent> {
        let own = (self.own_bytes > 0).then(|| {
            let bytes = u32::try_from(self.own_bytes).expect("a value is at most 64 MiB");
            Extent { place, bytes, crc: self.value_crc }
        });
        self.extents().iter().chain(own).collect()
    }

    /// What writes the record again as it is, its extents named and not copied, but for what made it revertible.
    pub(crate) fn again(&self) -> Grown {
        let extents = Extents::encode(&self.extents().iter().collect::<Vec<_>>());
        let shared_bytes = self.extents().live_bytes(self.key().len());
        Grown { extents, value: self.own().to_vec(), options: self.options(), in_place: false, shared_bytes }
    }
}

/// Either a thing, or the records that must be read first.
pub(crate) type OrPlaces<T> = Result<T, Vec<Place>>;

impl Core {
    /// The value of one extent of a record, when memory has it.
    pub(crate) fn extent<'a>(
        &'a self,
        table: &Table,
        key: &[u8],
        extent: Extent,
        known: &'a Known,
    ) -> Result<Option<Cow<'a, [u8]>>, &'static str> {
        let held = known.get(extent.place, Want::Record).map(Cow::Borrowed);
        let Some(bytes) = held.or_else(|| self.records.bytes(table.home(), Loc::from(extent.place))) else {
            return Ok(None);
        };
        let head = record::head(&bytes).map_err(|_| "an earlier part of it is not what was written")?;
        let (from, until) = (head.value_at, head.value_at + head.value_bytes);
        let of_it = matches!(head.kind, RecordKind::Pair | RecordKind::Extent)
            && (head.table, head.key) == (table.info.id, key)
            && (head.value_bytes, head.value_crc) == (extent.bytes as usize, extent.crc);
        if !of_it {
            return Err("an earlier part of it is another record's");
        }
        head.check_value(&bytes).map_err(|_| "an earlier part of it is not what was written")?;
        Ok(Some(match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[from..until]),
            Cow::Owned(bytes) => Cow::Owned(bytes[from..until].to_vec()),
        }))
    }

    /// The values of some extents, one behind the other, with room for `more` bytes behind them.
    pub(crate) fn joined(
        &self,
        table: &Table,
        key: &[u8],
        extents: impl Iterator<Item = Extent> + Clone,
        known: &Known,
        more: usize,
    ) -> Result<OrPlaces<Vec<u8>>, &'static str> {
        let bytes = extents.clone().map(|extent| extent.bytes as usize).sum::<usize>();
        let (mut unread, mut whole) = (Vec::new(), Vec::new());
        for extent in extents {
            match self.extent(table, key, extent, known)? {
                None => unread.push(extent.place),
                Some(value) if unread.is_empty() => {
                    whole.reserve(if whole.is_empty() { bytes + more } else { 0 });
                    whole.extend_from_slice(&value);
                }
                Some(_) => {}
            }
        }
        Ok(if unread.is_empty() { Ok(whole) } else { Err(unread) })
    }

    /// What an append makes of a record of the log that was found with its head at least: of what was written out of it before, and
    /// of `added` behind that. `budget` is how many bytes of earlier appends may still be copied, and becomes less by those that are.
    pub(crate) fn grown(
        &self,
        table: &Table,
        place: Place,
        found: &Found<'_>,
        (staged, added, options): (&[Extent], &[u8], PutOptions),
        known: &Known,
        budget: &mut usize,
    ) -> Result<OrPlaces<Grown>, Error> {
        let key = found.key();
        let written = staged.iter().map(|extent| extent.bytes as usize).sum::<usize>();
        let total = found.total_bytes + written + added.len();
        check_total(total)?;
        let options = txn::appended(found.options(), options);
        let damaged = |why| Error::CorruptRecord { table: table.info.id, page: place.page().0, why };
        let beside = if options.revertible_ms.is_some() { REVERTIBLE_BYTES } else { 0 };
        let plain = record::encoded_bytes(key.len(), total + beside, options.expires_ms.is_some());
        let before = found.with_itself(place);
        let extents = [&before[..], staged].concat();
        let whole = plain <= PAGE_PAYLOAD_BYTES || options.compact && total <= COMPACT_BYTES_MAX;
        let merged = merge_within(&extents, added.len(), whole, *budget);
        let named = extents.len() - merged;
        let copied = extents[named..].iter().map(|extent| extent.bytes as usize).sum::<usize>();
        spend(budget, copied)?;
        let value = self.joined(table, key, extents[named..].iter().copied(), known, added.len()).map_err(damaged)?;
        Ok(value.map(|mut value| {
            value.extend_from_slice(added);
            let shared = Extents::encode(&extents[..named.min(before.len())]);
            let shared_bytes = Extents::new(&shared).live_bytes(key.len());
            let extents = Extents::encode(&extents[..named]);
            Grown { extents, value, options, in_place: false, shared_bytes }
        }))
    }
}

/// Takes what is copied from what may be.
pub(crate) fn spend(budget: &mut usize, copied: usize) -> Result<(), Error> {
    let Some(left) = budget.checked_sub(copied) else {
        let what = "the bytes of earlier appends that one transaction copies";
        let (value, limit) = ((COPIED_BYTES_MAX - *budget + copied) as u64, COPIED_BYTES_MAX as u64);
        return Err(Error::Limit { what, value, limit });
    };
    *budget = left;
    Ok(())
}

/// A value past the format's limit is refused.
pub(crate) fn check_total(total: usize) -> Result<(), Error> {
    if total <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::Limit { what: "the length of the record", value: total as u64, limit: VALUE_BYTES_MAX as u64 })
}

/// How many of the newest extents an append of so many bytes takes with it, when so much may be copied: all of a record that is
/// to be whole, and where nothing may be copied no more than the list demands.
pub(crate) fn merge_within(extents: &[Extent], added: usize, whole: bool, budget: usize) -> usize {
    let wished = if whole { extents.len() } else { merge_count(extents, added) };
    let bytes = extents.iter().rev().take(wished).map(|extent| extent.bytes as usize).sum::<usize>();
    match (bytes <= budget, extents.len() <= EXTENTS_MAX) {
        (true, _) => wished,
        (false, true) => 0,
        (false, false) => at_least(extents, 0, added),
    }
}

/// How many of the newest extents an append of so many bytes takes with it.
fn merge_count(extents: &[Extent], added: usize) -> usize {
    let (mut merged, mut size) = (0, added.max(1));
    let run_min = EXTENTS_MAX.saturating_sub(extents.len()).max(RUN_MIN);
    loop {
        let rest = &extents[..extents.len() - merged];
        let of_its_class = |extent: &&Extent| class(extent.bytes as usize) <= class(size);
        let run = rest.iter().rev().take_while(of_its_class).count();
        if run < run_min {
            break;
        }
        size += rest[rest.len() - run..].iter().map(|extent| extent.bytes as usize).sum::<usize>();
        merged += run;
    }
    at_least(extents, merged, size)
}

/// So many of the newest, or, where the others are too many to be named, more.
fn at_least(extents: &[Extent], mut merged: usize, mut size: usize) -> usize {
    while extents.len() - merged > EXTENTS_MAX {
        let rest = &extents[..extents.len() - merged];
        let more = cheapest(rest, size);
        size += rest[rest.len() - more..].iter().map(|extent| extent.bytes as usize).sum::<usize>();
        merged += more;
    }
    merged
}

/// Of the newest, so many that each place in the list that they free costs the fewest bytes.
fn cheapest(extents: &[Extent], size: usize) -> usize {
    let (mut best, mut bytes) = ((usize::MAX, 0), size);
    for (index, extent) in extents.iter().rev().enumerate() {
        bytes += extent.bytes as usize;
        let cost = bytes / (index + 1);
        if cost <= best.0 {
            best = (cost, index + 1);
        }
    }
    best.1
}

/// Sizes of one class differ by less than a factor of three.
fn class(bytes: usize) -> u32 {
    bytes.ilog(RUN_MIN)
}

#[cfg(test)]
mod tests;
