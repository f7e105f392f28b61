//! How much room a commit set needs at most, so that nothing can fail once it is decided.
//!
//! Contract: the bound never falls short of what appending takes, whatever the order of the records.
//!
//! The sum: records of at most half a page's payload leave no page less than half full, so they take at most twice their bytes;
//! a record of more than half a page takes its own page and may end the one before early, two pages; a large record takes its
//! pages and may end the one before early. One page more for the page that is already open under another epoch's tag, one for
//! the first page begun, one for the close record.

use crate::limits::KEY_BYTES_MAX;
use crate::page::PAGE_PAYLOAD_BYTES;
use crate::record::{self, EXTENT_BYTES, REVERTIBLE_BYTES};
use crate::summary::{SummaryItem, SummaryKey};

/// A bound on pages, gathered record by record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoomNeed {
    small_bytes: usize,
    pages: u64,
    summary_bytes: usize,
}

/// Pages beside those of the records themselves: open page of another tag, first page begun, close record.
const EXTRA_PAGES: u64 = 3;

/// Bytes of the longest item of a summary.
pub(crate) const ITEM_BYTES_MAX: usize = KEY_BYTES_MAX + 64;

/// What a record has beside its key and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extras {
    /// It expires.
    pub expires: bool,
    /// It can be reverted.
    pub revertible: bool,
    /// So many earlier records are the beginning of its value.
    pub extents: usize,
}

/// Bytes that a record's item takes at most, whether its table keeps keys or hashes.
fn item_bytes(key_bytes: usize, extras: Extras) -> usize {
    let Extras { expires, revertible, extents } = extras;
    let hash = SummaryItem::encoded_bytes(SummaryKey::Hash(0), expires, revertible, extents > 0);
    let empty = SummaryItem::encoded_bytes(SummaryKey::Key(&[]), expires, revertible, extents > 0);
    let bytes = hash.max(empty + key_bytes);
    assert!(bytes <= ITEM_BYTES_MAX, "an item of {bytes} bytes");
    bytes
}

impl RoomNeed {
    /// Adds one record of a key and a value, which may expire, and no more.
    pub fn add(&mut self, key_bytes: usize, value_bytes: usize, expires: bool) {
        self.add_with(key_bytes, value_bytes, Extras { expires, ..Extras::default() });
    }

    /// Adds one record.
    pub fn add_with(&mut self, key_bytes: usize, value_bytes: usize, extras: Extras) {
        let beside = if extras.revertible { REVERTIBLE_BYTES } else { 0 } + extras.extents * EXTENT_BYTES;
        self.add_bytes(record::encoded_bytes(key_bytes, value_bytes + beside, extras.expires));
        self.summary_bytes += item_bytes(key_bytes, extras);
    }

    fn add_bytes(&mut self, bytes: usize) {
        if bytes <= PAGE_PAYLOAD_BYTES / 2 {
            self.small_bytes += bytes;
        } else if bytes <= PAGE_PAYLOAD_BYTES {
            self.pages += 2;
        } else {
            self.pages += 1 + u64::from(crate::large::pages_for(bytes));
        }
    }

    /// Pages of log that suffice.
    #[must_use]
    pub fn pages(&self) -> u64 {
        let small = (2 * self.small_bytes).div_ceil(PAGE_PAYLOAD_BYTES) as u64;
        small + self.pages + EXTRA_PAGES
    }

    /// Bytes that the records add to the segment's summary at most.
    #[must_use]
    pub fn summary_bytes(&self) -> usize {
        self.summary_bytes
    }
}
