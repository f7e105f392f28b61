//! Records that were appended to: reading one through its extents, and what an append writes.
//!
//! Contract: a whole value is put together from records that each were checked against what names them. An append writes its own bytes,
//! and now and then those of the newest extents with them: runs of like size are merged by threes, as in a log-structured tree,
//! so that a byte is written again about log3 of the appends times, and the long beginning not before as much has come behind it.
//! A record that fits a page is written anew as a whole, since it then takes one read.

use super::core::Core;
use super::find::{Found, Known, Want};
use super::table::Table;
use crate::error::Error;
use crate::index::Loc;
use segments::Place;
use segments::limits::{EXTENTS_MAX, VALUE_BYTES_MAX};
use segments::page::PAGE_PAYLOAD_BYTES;
use segments::record::{self, Extent, Extents, RecordKind};
use std::borrow::Cow;
use txn::PutOptions;

/// Records of about one size that may stand behind each other before they are merged.
const RUN_MAX: usize = 3;

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

    /// What an append of `added` makes of a record of the log that was found with its head at least.
    pub(crate) fn grown(
        &self,
        table: &Table,
        place: Place,
        found: &Found<'_>,
        added: &[u8],
        options: PutOptions,
        known: &Known,
    ) -> Result<OrPlaces<Grown>, Error> {
        let (key, total) = (found.key(), found.total_bytes + added.len());
        check_total(total)?;
        let options = txn::appended(found.as_ref().options, options);
        let damaged = |why| Error::CorruptRecord { table: table.info.id, page: place.page().0, why };
        let plain = record::encoded_bytes(key.len(), total, options.expires_ms.is_some());
        let mut extents: Vec<Extent> = found.extents().iter().collect();
        if found.own_bytes > 0 {
            let bytes = u32::try_from(found.own_bytes).expect("a value is at most 64 MiB");
            extents.push(Extent { place, bytes, crc: found.value_crc });
        }
        let merged = if plain <= PAGE_PAYLOAD_BYTES { extents.len() } else { merge_count(&extents, added.len()) };
        let named = extents.len() - merged;
        let value = self.joined(table, key, extents[named..].iter().copied(), known, added.len()).map_err(damaged)?;
        Ok(value.map(|mut value| {
            value.extend_from_slice(added);
            let extents = Extents::encode(&extents[..named]);
            Grown { extents, value, options, in_place: false }
        }))
    }
}

/// A value past the format's limit is refused.
pub(crate) fn check_total(total: usize) -> Result<(), Error> {
    if total <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::Limit { what: "the length of the record", value: total as u64, limit: VALUE_BYTES_MAX as u64 })
}

/// How many of the newest extents an append of so many bytes takes with it.
fn merge_count(extents: &[Extent], added: usize) -> usize {
    let (mut merged, mut size) = (0, added.max(1));
    loop {
        let rest = &extents[..extents.len() - merged];
        let of_its_class = |extent: &&Extent| class(extent.bytes as usize) <= class(size);
        let run = rest.iter().rev().take_while(of_its_class).count();
        if run < RUN_MAX {
            break;
        }
        size += rest[rest.len() - run..].iter().map(|extent| extent.bytes as usize).sum::<usize>();
        merged += run;
    }
    let named = extents.len() - merged;
    if named <= EXTENTS_MAX { merged } else { merged + cheapest(&extents[..named], size) }
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
    bytes.ilog(RUN_MAX)
}

#[cfg(test)]
mod tests;
