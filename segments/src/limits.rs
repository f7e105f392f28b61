//! Every bound of the data format, with the sum that gave it.

use crate::frame::PAGE_BYTES;

/// The longest key. It must lie in one page together with the page's and the record's header (at most 256 bytes together) and
/// the names of its extents.
pub const KEY_BYTES_MAX: usize = 2048;
/// The largest value: 64 MiB. A record of this size is read with one request.
pub const VALUE_BYTES_MAX: usize = 64 << 20;
/// Most earlier records that one names as the beginning of its value. Runs of like size are merged by threes
/// (`domains/src/engine/extend.rs`), so appends of any one size never get there; names of 512 bytes still share a page with the key.
pub const EXTENTS_MAX: usize = 32;
/// Most shards of a domain: the member bits of an epoch.
pub const SHARDS_MAX: u8 = 24;
/// Pages of a segment by default: 64 MiB.
pub const SEGMENT_PAGES_DEFAULT: u32 = 16_384;
/// Fewest pages of a segment: a header, a footer, a summary and a few pages of log.
pub const SEGMENT_PAGES_MIN: u32 = 8;

const _: () = assert!(KEY_BYTES_MAX + 256 + EXTENTS_MAX * 16 < PAGE_BYTES, "a key and its headers lie in one page");
const _: () = assert!(SEGMENT_PAGES_DEFAULT as usize * PAGE_BYTES == 64 << 20, "64 MiB of 4 KiB pages");
