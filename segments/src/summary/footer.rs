//! The footer: the last page of a sealed segment, which says where the summary is and how the log's chain goes on behind the
//! segment, so that recovery need not read the data.
//!
//! Contract: [`Footer::parse`] accepts a footer only for the life of the segment that the reader has the header page of.
//! Invariants: sequence numbers and pages of the log part count together; no epoch of the segment is later than what was
//! persistent when the footer was written.

use super::SummaryError;
use crate::field::{Field, tiled};
use crate::frame::PAGE_BYTES;
use crate::ids::EpochId;
use crate::page::{self, PageHeader, PageKind};
use crate::segment::{Geometry, SegmentHeader};

/// Bytes of a footer, in the payload of its page.
pub const FOOTER_BYTES: usize = 64;

const FIRST_PAGE: Field = Field::new(0, 4, "first_page");
const PAGES: Field = Field::new(4, 4, "pages");
const ITEMS: Field = Field::new(8, 4, "items");
const LOG_PAGES: Field = Field::new(12, 4, "log_pages");
const FIRST_SEQ: Field = Field::new(16, 8, "first_seq");
const PREVIOUS: Field = Field::new(24, 4, "previous");
const LAST_CHECKSUM: Field = Field::new(28, 4, "last_checksum");
const LAST_SEQ: Field = Field::new(32, 8, "last_seq");
const HIGHEST_EPOCH: Field = Field::new(40, 8, "highest_epoch");
const PERSISTENT: Field = Field::new(48, 8, "persistent");
const ITEMS_CHECKSUM: Field = Field::new(56, 4, "items_checksum");
const ITEMS_BYTES: Field = Field::new(60, 4, "items_bytes");
pub(crate) const LAYOUT: [Field; 12] = [
    FIRST_PAGE,
    PAGES,
    ITEMS,
    LOG_PAGES,
    FIRST_SEQ,
    PREVIOUS,
    LAST_CHECKSUM,
    LAST_SEQ,
    HIGHEST_EPOCH,
    PERSISTENT,
    ITEMS_CHECKSUM,
    ITEMS_BYTES,
];

const _: () = assert!(tiled(&LAYOUT) == FOOTER_BYTES, "the fields are the footer");

/// What the footer of a sealed segment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Footer {
    /// The index of the summary's first page: right behind the log's pages.
    pub first_page: u32,
    /// Pages of the summary, this footer not counted.
    pub pages: u32,
    /// Items in them.
    pub items: u32,
    /// Pages of the log in this segment, its header included.
    pub log_pages: u32,
    /// The sequence number of the segment's header page.
    pub first_seq: u64,
    /// The checksum of the log's last page before this segment.
    pub previous: u32,
    /// The checksum of the log's last page in this segment: the `previous` of the log's next page.
    pub last_checksum: u32,
    /// The sequence number of that page.
    pub last_seq: u64,
    /// The latest epoch of any page here.
    pub highest_epoch: EpochId,
    /// The last persistent epoch when this was written; the cut is not before it.
    pub persistent: EpochId,
    /// The last epoch whose close record lies here or before; none in what was written before this was noted. What is persistent
    /// behind it needs pages that are not here.
    pub closed: Option<EpochId>,
    /// The checksum of all items, started from 0.
    pub items_checksum: u32,
    /// Their bytes.
    pub items_bytes: u32,
    /// The checksum of the summary's last page, or of the log's last page if the summary has none.
    pub chained_to: u32,
}

impl Footer {
    /// Writes and seals the footer's page.
    pub(super) fn seal(&self, page: &mut [u8; PAGE_BYTES], header: &PageHeader, salt: u32) {
        let payload = page::payload_mut(page);
        FIRST_PAGE.put(payload, self.first_page.to_le_bytes());
        PAGES.put(payload, self.pages.to_le_bytes());
        ITEMS.put(payload, self.items.to_le_bytes());
        LOG_PAGES.put(payload, self.log_pages.to_le_bytes());
        FIRST_SEQ.put(payload, self.first_seq.to_le_bytes());
        PREVIOUS.put(payload, self.previous.to_le_bytes());
        LAST_CHECKSUM.put(payload, self.last_checksum.to_le_bytes());
        LAST_SEQ.put(payload, self.last_seq.to_le_bytes());
        HIGHEST_EPOCH.put(payload, self.highest_epoch.0.to_le_bytes());
        PERSISTENT.put(payload, self.persistent.0.to_le_bytes());
        ITEMS_CHECKSUM.put(payload, self.items_checksum.to_le_bytes());
        ITEMS_BYTES.put(payload, self.items_bytes.to_le_bytes());
        page::seal(page, header, salt);
    }

    /// The footer in a page as it came from the device. `segment` and `previous` are what the header page of the segment said:
    /// the footer of an earlier life of the segment, which may still lie there, says something else.
    ///
    /// # Errors
    /// If the page is not the whole footer of this life of the segment: the data must be read instead.
    pub fn parse(
        page: &[u8; PAGE_BYTES],
        salt: u32,
        segment: &SegmentHeader,
        previous: u32,
    ) -> Result<Self, SummaryError> {
        let header = page::parse(page, salt)?;
        let run_pages = Geometry::new(segment.segment_pages).run_pages(segment.run);
        let lies_here = header.lies_at(page::domain_mark(segment.domain), segment.segment, run_pages - 1);
        let ours = (header.incarnation, header.log) == (segment.incarnation, segment.log);
        let used = usize::from(header.used) == FOOTER_BYTES;
        if header.kind != PageKind::SummaryFooter || !lies_here || !ours || !used {
            return Err(SummaryError::NotOurs);
        }
        let footer = Self::fields(page::payload(page, &header), &header);
        if (footer.first_seq, footer.previous) != (segment.first_seq, previous) {
            return Err(SummaryError::NotOurs);
        }
        let last_seq = footer.first_seq.checked_add(u64::from(footer.log_pages)).and_then(|end| end.checked_sub(1));
        let fits = footer.log_pages.checked_add(footer.pages).is_some_and(|pages| pages < run_pages);
        let refused = [
            (LOG_PAGES, footer.log_pages == 0 || !fits),
            (FIRST_PAGE, footer.first_page != footer.log_pages),
            (PAGES, u64::from(footer.pages) != header.seq),
            (LAST_SEQ, Some(footer.last_seq) != last_seq),
            (HIGHEST_EPOCH, footer.highest_epoch > footer.persistent),
        ];
        let refused = refused.map(|(field, wrong)| (field.name, wrong));
        let of_header = ("epoch", footer.closed.is_some_and(|closed| closed > footer.persistent));
        match refused.into_iter().chain([of_header]).find(|(_, wrong)| *wrong) {
            Some((field, _)) => Err(SummaryError::Footer { field }),
            None => Ok(footer),
        }
    }

    fn fields(payload: &[u8], header: &PageHeader) -> Self {
        Self {
            first_page: FIRST_PAGE.u32(payload),
            pages: PAGES.u32(payload),
            items: ITEMS.u32(payload),
            log_pages: LOG_PAGES.u32(payload),
            first_seq: FIRST_SEQ.u64(payload),
            previous: PREVIOUS.u32(payload),
            last_checksum: LAST_CHECKSUM.u32(payload),
            last_seq: LAST_SEQ.u64(payload),
            highest_epoch: EpochId(HIGHEST_EPOCH.u64(payload)),
            persistent: EpochId(PERSISTENT.u64(payload)),
            items_checksum: ITEMS_CHECKSUM.u32(payload),
            items_bytes: ITEMS_BYTES.u32(payload),
            closed: Some(header.epoch).filter(|epoch| epoch.0 != 0),
            chained_to: header.previous,
        }
    }
}
