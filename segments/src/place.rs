//! A record's place: the page it starts in, where in that page, and how many pages to read for it, in 55 bits.
//!
//! Invariant: the packed form round-trips; it fits the 55 bits that an index slot keeps for it.

use crate::frame::PAGE_BYTES;
use crate::ids::PageNo;
use crate::limits::VALUE_BYTES_MAX;
use core::fmt;

/// Bits of a packed place: 40 of page, 9 of offset (in steps of 8 bytes), 6 of size class.
pub const PLACE_BITS: u32 = 55;
/// Devices have at most 2^40 pages: 4 PiB.
pub const DEVICE_PAGES_MAX: u64 = 1 << 40;
/// Records start at multiples of this.
pub const RECORD_ALIGN: usize = 8;

const _: () = assert!(PAGE_BYTES / RECORD_ALIGN == 1 << 9, "nine bits name every start of a record in a page");

/// Where a record lies and how many pages hold it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

impl Place {
    /// The place of a record that starts `offset` bytes into `page` and ends at most `pages` pages further on.
    ///
    /// # Panics
    /// If a part does not fit: places are made by the log, so that is our mistake.
    #[must_use]
    pub fn new(page: PageNo, offset: u16, pages: u32) -> Self {
        assert!(page.0 < DEVICE_PAGES_MAX, "page {page} is past 4 PiB");
        assert!(usize::from(offset) < PAGE_BYTES && usize::from(offset) % RECORD_ALIGN == 0, "offset {offset}");
        let offset_steps = u64::from(offset) / RECORD_ALIGN as u64;
        Self(page.0 << 15 | offset_steps << 6 | u64::from(class_of(pages)))
    }

    /// The page in which the record starts.
    #[must_use]
    pub fn page(self) -> PageNo {
        PageNo(self.0 >> 15)
    }

    /// The byte of the page at which it starts.
    #[must_use]
    pub fn offset(self) -> u16 {
        u16::try_from((self.0 >> 6 & 0x1ff) * RECORD_ALIGN as u64).expect("nine bits of eight bytes are below 4096")
    }

    /// How many pages to read to have all of it: exact up to 4 pages, at most an eighth too many above.
    #[must_use]
    pub fn pages(self) -> u32 {
        pages_of(u8::try_from(self.0 & 0x3f).expect("six bits"))
    }

    /// How many pages it has at least: one more than the class below has room for.
    #[must_use]
    pub fn pages_min(self) -> u32 {
        let class = u8::try_from(self.0 & 0x3f).expect("six bits");
        class.checked_sub(1).map_or(1, |below| pages_of(below) + 1)
    }

    /// The packed form, below 2^55.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// A place from its packed form.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        debug_assert!(bits >> PLACE_BITS == 0, "a packed place has 55 bits");
        Self(bits)
    }
}

/// The smallest class that holds `pages`. Classes 0..=3 are 1..=4 pages; above, four steps a doubling up to 2^16+ pages.
fn class_of(pages: u32) -> u8 {
    assert!(pages >= 1, "a record lies in at least one page");
    (0..64).find(|&class| pages_of(class) >= pages).expect("64 MiB and its headers are below the last class")
}

/// Pages of a class: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ...
fn pages_of(class: u8) -> u32 {
    if class < 4 {
        return u32::from(class) + 1;
    }
    let doubling = u32::from(class) / 4 - 1;
    let step = u32::from(class) % 4 + 1;
    (4 + step) << doubling
}

const _: () =
    assert!((8 << 14) * PAGE_BYTES > 2 * VALUE_BYTES_MAX, "the last class, 512 MiB, holds the largest record");

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}x{}", self.page(), self.offset(), self.pages())
    }
}

#[cfg(test)]
mod tests;
