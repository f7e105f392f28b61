//! The summary of a sealed segment: what lies in it and where, so that recovery and reclaim need not read the data.
//!
//! Contract: a summary is a hint. [`SummaryBuilder`] gathers the items while the segment fills; [`SummaryReader::open`] gives
//! them back only if every byte is right, and any error means: read the segment's pages instead.
//! Invariants: it is written only when every epoch of the segment is persistent, and it is no part of the log's chain: the
//! log's next page names the log's last page, not the summary's. The summary's own pages are chained behind the log's last page
//! too, so pages of an earlier life of the segment never pass for this one's.
//! It does not decide when a segment is sealed, and holds no close records: everything it describes is persistent.

use crate::checksum::checksum;
use crate::frame::Frames;
use crate::ids::{EpochId, PageNo, TableId};
use crate::page::{self, PAGE_PAYLOAD_BYTES, PageError, PageHeader, PageKind};
use crate::segment::{Geometry, SegmentHeader};
use thiserror::Error;

mod footer;
mod item;

#[cfg(test)]
pub(crate) use footer::LAYOUT as FOOTER_LAYOUT;
pub use footer::{FOOTER_BYTES, Footer};
#[cfg(test)]
pub(crate) use item::LAYOUT as ITEM_LAYOUT;
pub use item::{HASH_BYTES, ITEM_HEADER_BYTES, ItemKind, SummaryItem, SummaryKey};

/// Gathers a segment's items while it fills.
#[derive(Debug, Default)]
pub struct SummaryBuilder {
    /// The items, page behind page, without what the pages leave unused.
    bytes: Vec<u8>,
    /// Where each page but the last ends in `bytes`.
    page_ends: Vec<usize>,
    items: u32,
}

/// What a summary's pages say of their segment besides the items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// The segment's header.
    pub segment: SegmentHeader,
    /// The checksum of the log's last page before the segment.
    pub previous: u32,
    /// Pages of the log in it, its header included.
    pub log_pages: u32,
    /// The checksum of the last of them.
    pub last_checksum: u32,
    /// The table whose records alone lie here, or 0: the log's.
    pub owner: TableId,
    /// The latest epoch of any page here.
    pub highest_epoch: EpochId,
    /// The last persistent epoch.
    pub persistent: EpochId,
    /// The last epoch whose close record lies here or before; the base of the incarnation if there is none.
    pub closed: Option<EpochId>,
}

/// A finished summary, to be written.
#[derive(Debug)]
pub struct Summary {
    /// Its pages, which go right behind the log's; none if there are no items.
    pub pages: Option<Frames>,
    /// Where the first of them goes.
    pub at: PageNo,
    /// The footer: one page.
    pub footer: Frames,
    /// Where it goes: the last page of the segment, or run.
    pub footer_at: PageNo,
}

/// A summary whose every byte has been checked.
#[derive(Clone, Copy, Debug)]
pub struct SummaryReader<'a> {
    pages: Option<&'a Frames>,
    footer: Footer,
}

/// Why a summary cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SummaryError {
    /// A page of it is blank or damaged.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A page is whole but of another place, time or chain.
    #[error("a page of the summary is not of this life of the segment")]
    NotOurs,
    /// The footer says something that no writer says.
    #[error("the footer's field {field} has a content that this version does not write")]
    Footer {
        /// Its name in the description of the format.
        field: &'static str,
    },
    /// An item says something that no writer says.
    #[error("an item's field {field} has a content that this version does not write")]
    Item {
        /// Its name in the description of the format.
        field: &'static str,
    },
    /// Items are missing, too many, or not those that were summed up.
    #[error("the items are not those that the footer counts")]
    Items,
}

impl SummaryBuilder {
    /// Without an item.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item.
    pub fn push(&mut self, item: &SummaryItem<'_>) {
        let item_bytes = item.bytes();
        if self.last_page_bytes() + item_bytes > PAGE_PAYLOAD_BYTES {
            self.page_ends.push(self.bytes.len());
        }
        let before = self.bytes.len();
        item.encode(&mut self.bytes);
        assert!(self.bytes.len() == before + item_bytes, "an item takes the bytes that were foretold");
        self.items += 1;
    }

    /// Items gathered so far.
    #[must_use]
    pub fn items(&self) -> u32 {
        self.items
    }

    /// Pages that the summary takes with its footer: what the log must leave free.
    #[must_use]
    pub fn pages_needed(&self) -> u32 {
        self.summary_pages() + 1
    }

    /// The same, if an item of `item_bytes` (see [`SummaryItem::encoded_bytes`]) were added.
    #[must_use]
    pub fn pages_needed_with(&self, item_bytes: usize) -> u32 {
        let page_more = self.bytes.is_empty() || self.last_page_bytes() + item_bytes > PAGE_PAYLOAD_BYTES;
        self.pages_needed() + u32::from(page_more)
    }

    fn last_page_bytes(&self) -> usize {
        self.bytes.len() - self.page_ends.last().copied().unwrap_or(0)
    }

    fn summary_pages(&self) -> u32 {
        let last = usize::from(!self.bytes.is_empty());
        u32::try_from(self.page_ends.len() + last).expect("a summary has fewer pages than its segment")
    }

    /// The sealed pages of the summary and its footer.
    ///
    /// # Panics
    /// If the log left too little room, or an epoch of the segment is not persistent: both are our mistakes.
    #[must_use]
    pub fn finish(self, sealed: &Sealed, salt: u32) -> Summary {
        let (segment, pages) = (&sealed.segment, self.summary_pages());
        let geometry = Geometry::new(segment.segment_pages);
        let footer_index = geometry.run_pages(segment.run) - 1;
        assert!(
            sealed.log_pages > 0 && sealed.log_pages + pages <= footer_index,
            "no room for {pages} pages: {sealed:?}"
        );
        assert!(sealed.highest_epoch <= sealed.persistent, "a summary of what is not persistent: {sealed:?}");
        let frames = (pages > 0).then(|| self.seal_pages(sealed, salt));
        let last_page = frames.as_ref().map(|frames| page::stored_checksum(frames.page(frames.pages() - 1)));
        let footer = Footer {
            first_page: sealed.log_pages,
            pages,
            items: self.items,
            log_pages: sealed.log_pages,
            first_seq: segment.first_seq,
            previous: sealed.previous,
            last_checksum: sealed.last_checksum,
            last_seq: segment.first_seq + u64::from(sealed.log_pages) - 1,
            highest_epoch: sealed.highest_epoch,
            persistent: sealed.persistent,
            closed: sealed.closed,
            items_checksum: checksum(0, &self.bytes),
            items_bytes: u32::try_from(self.bytes.len()).expect("fewer bytes than the segment has"),
            chained_to: last_page.unwrap_or(sealed.last_checksum),
        };
        let mut header = sealed.page_header(PageKind::SummaryFooter, footer_index, u64::from(pages));
        header.previous = footer.chained_to;
        header.epoch = footer.closed.unwrap_or_default();
        header.used = u16::try_from(FOOTER_BYTES).expect("64");
        let mut footer_frame = Frames::zeroed(1);
        footer.seal(footer_frame.page_mut(0), &header, salt);
        Summary {
            pages: frames,
            at: geometry.page(segment.segment, sealed.log_pages),
            footer: footer_frame,
            footer_at: geometry.page(segment.segment, footer_index),
        }
    }

    fn seal_pages(&self, sealed: &Sealed, salt: u32) -> Frames {
        let ends = self.page_ends.iter().copied().chain([self.bytes.len()]);
        let mut frames = Frames::zeroed(self.page_ends.len() + 1);
        let (mut start, mut previous) = (0, sealed.last_checksum);
        for (number, end) in (0..).zip(ends) {
            let part = &self.bytes[start..end];
            let page = frames.page_mut(usize::try_from(number).expect("counted by a usize before"));
            page::payload_mut(page)[..part.len()].copy_from_slice(part);
            let mut header = sealed.page_header(PageKind::Summary, sealed.log_pages + number, u64::from(number));
            header.previous = previous;
            header.used = u16::try_from(part.len()).expect("at most a payload");
            previous = page::seal(page, &header, salt);
            start = end;
        }
        frames
    }
}

impl Sealed {
    fn page_header(&self, kind: PageKind, index: u32, seq: u64) -> PageHeader {
        PageHeader {
            kind,
            previous: 0,
            used: 0,
            log: self.segment.log,
            incarnation: self.segment.incarnation,
            segment: self.segment.segment,
            index,
            seq,
            epoch: EpochId(0),
            horizon: self.persistent,
            owner: self.owner,
            domain: page::domain_mark(self.segment.domain),
        }
    }
}

impl<'a> SummaryReader<'a> {
    /// Checks the pages of the summary that `footer` announces: every page, their chain, and every item. `pages` are those from
    /// `footer.first_page` on, none if it announces none.
    ///
    /// # Errors
    /// If anything is not as it was written: the data must be read instead.
    pub fn open(
        footer: Footer,
        segment: &SegmentHeader,
        pages: Option<&'a Frames>,
        salt: u32,
    ) -> Result<Self, SummaryError> {
        let found = pages.map_or(0, Frames::pages);
        if usize::try_from(footer.pages) != Ok(found) {
            return Err(SummaryError::Items);
        }
        let mut sum = Sum { items: 0, bytes: 0, checksum: 0 };
        let mut previous = footer.last_checksum;
        for (number, index) in (0..found).zip(footer.first_page..) {
            let page = pages.expect("there are pages to count").page(number);
            let header = page::parse(page, salt)?;
            let lies_here = header.lies_at(page::domain_mark(segment.domain), segment.segment, index);
            let ours = (header.incarnation, header.log) == (segment.incarnation, segment.log);
            let chained = (header.previous, header.seq) == (previous, number as u64);
            if header.kind != PageKind::Summary || !lies_here || !ours || !chained {
                return Err(SummaryError::NotOurs);
            }
            sum.add(page::payload(page, &header), &footer, segment)?;
            previous = page::stored_checksum(page);
        }
        if previous != footer.chained_to {
            return Err(SummaryError::NotOurs);
        }
        if (sum.items, sum.bytes, sum.checksum) != (footer.items, footer.items_bytes, footer.items_checksum) {
            return Err(SummaryError::Items);
        }
        Ok(Self { pages, footer })
    }

    /// The footer that announced it.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// All items, in the order in which they were added.
    pub fn items(&self) -> impl Iterator<Item = SummaryItem<'a>> + use<'a> {
        let pages = self.pages;
        (0..pages.map_or(0, Frames::pages)).flat_map(move |number| {
            let page = pages.expect("there are pages to count").page(number);
            Items { rest: page::used_payload(page) }
        })
    }
}

/// What the items seen so far add up to.
struct Sum {
    items: u32,
    bytes: u32,
    checksum: u32,
}

impl Sum {
    fn add(&mut self, payload: &[u8], footer: &Footer, segment: &SegmentHeader) -> Result<(), SummaryError> {
        let first = Geometry::new(segment.segment_pages).first_page(segment.segment);
        let log = first.plus(1)..first.plus(u64::from(footer.log_pages));
        let mut rest = payload;
        while !rest.is_empty() {
            let (item, bytes) = SummaryItem::decode(rest)?;
            if !log.contains(&item.place.page()) {
                return Err(SummaryError::Item { field: "place" });
            }
            self.items = self.items.checked_add(1).ok_or(SummaryError::Items)?;
            rest = &rest[bytes..];
        }
        let bytes = u32::try_from(payload.len()).expect("a payload has 4016 bytes");
        self.bytes = self.bytes.checked_add(bytes).ok_or(SummaryError::Items)?;
        self.checksum = checksum(self.checksum, payload);
        Ok(())
    }
}

/// The items of one checked page.
struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = SummaryItem<'a>;

    fn next(&mut self) -> Option<SummaryItem<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (item, bytes) = SummaryItem::decode(self.rest).expect("every item was decoded when the summary was opened");
        self.rest = &self.rest[bytes..];
        Some(item)
    }
}

#[cfg(test)]
mod tests;
