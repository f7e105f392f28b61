//! A record larger than a page's payload: whole consecutive pages, each with its own header, the record's bytes flowing over
//! their payloads.
//!
//! Contract: [`scatter`] lays the bytes out, the log then seals page after page; [`gather`] takes them together again and
//! believes nothing: every page must be sealed, of the right kind, in its place and chained to the one before it.
//! Invariant: the record starts at the first byte of its first page's payload and nothing else lies in its pages.

use crate::frame::{Frames, PAGE_BYTES};
use crate::ids::SegmentId;
use crate::page::{self, PAGE_PAYLOAD_BYTES, PageError, PageHeader, PageKind};
use crate::record::{self, RecordError};
use thiserror::Error;

/// Where the first page of a large record is expected to lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The domain's [mark](page::domain_mark).
    pub domain: u64,
    /// The segment, or the first of the run.
    pub segment: SegmentId,
    /// The page's index there.
    pub index: u32,
}

/// Why pages do not make a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum LargeError {
    /// A page is blank or damaged.
    #[error("page {page} of the record: {error}")]
    Page {
        /// Which page of the record, from 0.
        page: usize,
        /// What is wrong with it.
        error: PageError,
    },
    /// A page is whole but not the one that belongs here: another kind, place, log or time, or a broken chain.
    #[error("page {page} of the record is another page")]
    Foreign {
        /// Which page of the record, from 0.
        page: usize,
    },
    /// There are fewer pages than the record needs.
    #[error("the record has {needed} pages, {found} are there")]
    Short {
        /// How many it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// The pages are right and what they hold is not a large record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// How many pages a record of this many bytes takes when it has them to itself.
#[must_use]
pub fn pages_for(record_bytes: usize) -> u32 {
    u32::try_from(record_bytes.div_ceil(PAGE_PAYLOAD_BYTES)).expect("records are at most 64 MiB and a little")
}

/// The kind and the used bytes of page `page` of a record of `record_bytes`.
#[must_use]
pub fn page_of(record_bytes: usize, page: usize) -> (PageKind, u16) {
    let before = page * PAGE_PAYLOAD_BYTES;
    assert!(before < record_bytes, "a record of {record_bytes} bytes has no page {page}");
    let used = u16::try_from((record_bytes - before).min(PAGE_PAYLOAD_BYTES)).expect("at most a payload");
    (if page == 0 { PageKind::LargeHead } else { PageKind::LargeBody }, used)
}

/// Whether a page with this header is page `page` of the record of `record_bytes` whose first page has the header `first`: for those who
/// read some pages of a record and not all before them.
#[must_use]
pub fn is_page_of(first: &PageHeader, record_bytes: usize, page: usize, header: &PageHeader) -> bool {
    let (kind, used) = page_of(record_bytes, page);
    let Ok(pages) = u32::try_from(page) else { return false };
    let wanted = PageHeader {
        kind,
        used,
        previous: header.previous,
        horizon: header.horizon,
        index: first.index.wrapping_add(pages),
        seq: first.seq.wrapping_add(u64::from(pages)),
        ..*first
    };
    *header == wanted
}

/// Lays a record's bytes into the payloads of `frames`; headers are left to be [sealed](page::seal).
///
/// # Panics
/// If the record does not take exactly these pages.
pub fn scatter(record_bytes: &[u8], frames: &mut Frames) {
    let needed = record_bytes.len().div_ceil(PAGE_PAYLOAD_BYTES);
    assert!(frames.pages() == needed, "a record of {needed} pages in {} frames", frames.pages());
    for (index, part) in record_bytes.chunks(PAGE_PAYLOAD_BYTES).enumerate() {
        page::payload_mut(frames.page_mut(index))[..part.len()].copy_from_slice(part);
    }
}

/// The bytes of the large record in `pages`, which may have further pages behind it. Each page is checked; the record's own
/// checksums are left to [`record::decode`].
///
/// # Errors
/// If a page is not the one that belongs there, or they do not begin with a large record.
pub fn gather(pages: &Frames, salt: u32, expected: &Expected) -> Result<Vec<u8>, LargeError> {
    let first = pages.page(0);
    let head = page::parse(first, salt).map_err(|error| LargeError::Page { page: 0, error })?;
    if head.kind != PageKind::LargeHead || !head.lies_at(expected.domain, expected.segment, expected.index) {
        return Err(LargeError::Foreign { page: 0 });
    }
    let record_bytes = record::head(page::payload(first, &head))?.record_bytes;
    let needed = record_bytes.div_ceil(PAGE_PAYLOAD_BYTES);
    if pages.pages() < needed {
        return Err(LargeError::Short { needed, found: pages.pages() });
    }
    let mut bytes = Vec::with_capacity(record_bytes);
    let mut before = (head, 0);
    for index in 0..needed {
        let page = pages.page(index);
        let header = page::parse(page, salt).map_err(|error| LargeError::Page { page: index, error })?;
        let (kind, used) = page_of(record_bytes, index);
        let follows = index == 0 || follows(&before.0, before.1, &header);
        if !follows || header.kind != kind || header.used != used {
            return Err(LargeError::Foreign { page: index });
        }
        bytes.extend_from_slice(page::payload(page, &header));
        before = (header, page::stored_checksum(page));
    }
    assert!(bytes.len() == record_bytes, "the used bytes of the pages add up to the record");
    Ok(bytes)
}

/// Whether `header` is the page right behind `before`, whose checksum is `checksum`.
fn follows(before: &PageHeader, checksum: u32, header: &PageHeader) -> bool {
    let next = PageHeader {
        kind: header.kind,
        previous: checksum,
        used: header.used,
        index: before.index.wrapping_add(1),
        seq: before.seq.wrapping_add(1),
        horizon: header.horizon,
        ..*before
    };
    *header == next
}

const _: () = assert!(PAGE_PAYLOAD_BYTES < PAGE_BYTES, "a payload lies in its page");

#[cfg(test)]
mod tests;
