//! Frames: aligned copies of pages in memory, owned by whoever is to fill or read them next.
//!
//! Invariant: a [`Frames`] is always a whole number of pages and always aligned for direct I/O, by its type and without unsafe
//! code. It travels by value to the device and comes home with the completion.

use core::fmt;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Bytes of a page: the unit of transfer, checksum and ownership.
pub const PAGE_BYTES: usize = 4096;

/// One page, aligned as direct I/O wants it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4096))]
pub struct Page(pub [u8; PAGE_BYTES]);

const _: () = assert!(size_of::<Page>() == PAGE_BYTES && align_of::<Page>() == PAGE_BYTES);

/// One or more frames that lie side by side.
#[derive(Clone)]
pub struct Frames(Box<[Page]>);

impl Frames {
    /// `pages` zeroed frames.
    ///
    /// # Panics
    /// If `pages` is zero, or when the allocator has no memory left.
    #[must_use]
    pub fn zeroed(pages: usize) -> Self {
        assert!(pages > 0, "a transfer has at least one page");
        Self(<[Page] as FromZeros>::new_box_zeroed_with_elems(pages).expect("memory for a transfer within the limits"))
    }

    /// How many pages.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.0.len()
    }

    /// All bytes, in order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// All bytes, to be filled.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }

    /// The frame of page `index` of these.
    #[must_use]
    pub fn page(&self, index: usize) -> &[u8; PAGE_BYTES] {
        &self.0[index].0
    }

    /// The frame of page `index` of these, to be filled.
    #[must_use]
    pub fn page_mut(&mut self, index: usize) -> &mut [u8; PAGE_BYTES] {
        &mut self.0[index].0
    }

    /// The pages themselves, for a device that hands them to the kernel.
    #[must_use]
    pub fn into_inner(self) -> Box<[Page]> {
        self.0
    }

    /// Frames around pages that come back from the kernel.
    #[must_use]
    pub fn from_inner(pages: Box<[Page]>) -> Self {
        assert!(!pages.is_empty(), "a transfer has at least one page");
        Self(pages)
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frames({} pages)", self.pages())
    }
}
