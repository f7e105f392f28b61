//! Segments: the arithmetic that places them on the device, and the header page that says whose a segment is.
//!
//! Contract: the header is page 0 of a segment, or of a run of adjacent segments taken together for one large record; it is a
//! page of its log, or of its checkpoint, like any other, with its own sequence number in the chain. [`SegmentHeader::parse`] checks that header and
//! page agree; whether the segment belongs to the chain that the reader follows, the reader compares.
//! Invariant: index 0 is the header and, once a segment of a log is sealed, the last index is the footer of its summary; in a run
//! the index counts on over all its segments.
//! It does not know which segments are free.

use crate::field::{Field, is_zero, tiled};
use crate::frame::PAGE_BYTES;
use crate::ids::{DomainId, EpochId, Incarnation, PageNo, SegmentId, ShardId, TableId};
use crate::limits::SEGMENT_PAGES_MIN;
use crate::page::{self, PageError, PageHeader, PageKind};
use crate::superblock::SUPERBLOCK_PAGES;
use thiserror::Error;

/// Bytes of a segment header that names no cut, in the payload of its page.
pub const SEGMENT_HEADER_BYTES: usize = 48;
/// Bytes of one that names a cut.
const WITH_CUT_BYTES: usize = 56;

const DOMAIN: Field = Field::new(0, 16, "domain");
const SEGMENT: Field = Field::new(16, 4, "segment");
const RUN: Field = Field::new(20, 4, "run");
const SEGMENT_PAGES: Field = Field::new(24, 4, "segment_pages");
const INCARNATION: Field = Field::new(28, 4, "incarnation");
const LOG: Field = Field::new(32, 1, "log");
const PURPOSE: Field = Field::new(33, 1, "purpose");
const ZERO: Field = Field::new(34, 6, "zero");
const FIRST_SEQ: Field = Field::new(40, 8, "first_seq");
const CUT_BEFORE: Field = Field::new(48, 8, "cut_before");
pub(crate) const LAYOUT: [Field; 10] =
    [DOMAIN, SEGMENT, RUN, SEGMENT_PAGES, INCARNATION, LOG, PURPOSE, ZERO, FIRST_SEQ, CUT_BEFORE];

const _: () = assert!(tiled(&LAYOUT) == WITH_CUT_BYTES, "the fields are the header");
const _: () = assert!(CUT_BEFORE.at == SEGMENT_HEADER_BYTES, "without a cut it ends before that field");

/// Where segments and their pages lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    segment_pages: u32,
}

/// What a segment was taken for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Purpose {
    /// It is part of a log.
    Log,
    /// Reclaim copied records of tables into it, which keep their versions. No chain of a log goes through it.
    Table,
    /// It is part of a [checkpoint](crate::checkpoint).
    Checkpoint,
}

/// Whose a segment is, and where its log goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// The domain's whole id.
    pub domain: DomainId,
    /// The segment; of a run the first.
    pub segment: SegmentId,
    /// How many adjacent segments were taken together; 1 but for a record larger than a segment.
    pub run: u32,
    /// Pages of each segment.
    pub segment_pages: u32,
    /// The incarnation that writes it.
    pub incarnation: Incarnation,
    /// The log that it belongs to, or the shard that wrote it.
    pub log: ShardId,
    /// What it was taken for. Who follows a log passes over all that are for something else.
    pub purpose: Purpose,
    /// The sequence number of this header's page.
    pub first_seq: u64,
    /// The cut before this incarnation, if any earlier one left anything.
    pub cut_before: Option<EpochId>,
}

/// Why a page is not a segment's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SegmentError {
    /// The page itself is blank or damaged.
    #[error(transparent)]
    Page(#[from] PageError),
    /// It is a page of another kind.
    #[error("the page is a {found:?}, not a segment's header")]
    Kind {
        /// Its kind.
        found: PageKind,
    },
    /// Its payload says something that no writer says, or contradicts the page's own header.
    #[error("the segment header's field {field} has a content that this version does not write")]
    Field {
        /// Its name in the description of the format.
        field: &'static str,
    },
}

impl Geometry {
    /// Segments of this many pages.
    ///
    /// # Panics
    /// If that is fewer than a segment needs: the superblock's codec refuses such a number.
    #[must_use]
    pub fn new(segment_pages: u32) -> Self {
        assert!(segment_pages >= SEGMENT_PAGES_MIN, "a segment of {segment_pages} pages has no room for a log");
        Self { segment_pages }
    }

    /// Pages of a segment.
    #[must_use]
    pub fn segment_pages(self) -> u32 {
        self.segment_pages
    }

    /// A segment's first page.
    ///
    /// ```
    /// use segments::{PageNo, SegmentId, segment::Geometry};
    /// let geometry = Geometry::new(100);
    /// assert_eq!(geometry.first_page(SegmentId(2)), PageNo(264));
    /// assert_eq!(geometry.segment_of(PageNo(265)), Some((SegmentId(2), 1)));
    /// ```
    #[must_use]
    pub fn first_page(self, segment: SegmentId) -> PageNo {
        PageNo(SUPERBLOCK_PAGES + u64::from(segment.0) * u64::from(self.segment_pages))
    }

    /// Page `index` of a segment, or of the run that begins with it.
    #[must_use]
    pub fn page(self, segment: SegmentId, index: u32) -> PageNo {
        self.first_page(segment).plus(u64::from(index))
    }

    /// The last page of a run: the place of the summary's footer.
    ///
    /// # Panics
    /// If the run is empty.
    #[must_use]
    pub fn footer_page(self, segment: SegmentId, run: u32) -> PageNo {
        self.page(segment, self.run_pages(run) - 1)
    }

    /// Pages of a run of segments.
    ///
    /// # Panics
    /// If the run is empty or has more pages than an index can count.
    #[must_use]
    pub fn run_pages(self, run: u32) -> u32 {
        assert!(run > 0, "a run has at least one segment");
        self.segment_pages.checked_mul(run).expect("the largest record takes far fewer than 2^32 pages")
    }

    /// How many adjacent segments hold this many pages.
    #[must_use]
    pub fn run_for(self, pages: u32) -> u32 {
        pages.div_ceil(self.segment_pages).max(1)
    }

    /// The segment in which a page lies and its index there; none for the superblock's pages and pages past the last segment's
    /// number.
    #[must_use]
    pub fn segment_of(self, page: PageNo) -> Option<(SegmentId, u32)> {
        let behind = page.0.checked_sub(SUPERBLOCK_PAGES)?;
        let segment = u32::try_from(behind / u64::from(self.segment_pages)).ok()?;
        let index = u32::try_from(behind % u64::from(self.segment_pages)).expect("below a segment's pages");
        Some((SegmentId(segment), index))
    }

    /// How many whole segments a device of this many pages has.
    #[must_use]
    pub fn segments_in(self, device_pages: u64) -> u32 {
        let whole = device_pages.saturating_sub(SUPERBLOCK_PAGES) / u64::from(self.segment_pages);
        u32::try_from(whole).unwrap_or(u32::MAX)
    }

    /// How many segments a device of this many pages has, one that is not whole included: it may hold what was written before the
    /// device became shorter, so nothing else goes there.
    #[must_use]
    pub fn segments_begun(self, device_pages: u64) -> u32 {
        let begun = device_pages.saturating_sub(SUPERBLOCK_PAGES).div_ceil(u64::from(self.segment_pages));
        u32::try_from(begun).unwrap_or(u32::MAX)
    }

    /// How many pages a device with this many segments has.
    #[must_use]
    pub fn pages_for(self, segments: u32) -> u64 {
        self.first_page(SegmentId(segments)).0
    }
}

impl SegmentHeader {
    /// Writes and seals the header's page; the result is its checksum, the `previous` of the segment's next page. `previous` is
    /// the checksum of the log's last page before it, `horizon` the last persistent epoch, `owner` the table whose records alone
    /// will lie here (0: the log's).
    ///
    /// # Panics
    /// If the header breaks a rule that [`parse`](Self::parse) checks: it is ours.
    pub fn seal(&self, page: &mut [u8; PAGE_BYTES], previous: u32, horizon: EpochId, owner: TableId, salt: u32) -> u32 {
        assert!(self.run > 0 && self.segment_pages >= SEGMENT_PAGES_MIN, "a segment without room: {self:?}");
        let payload = page::payload_mut(page);
        let bytes = if self.cut_before.is_some() { WITH_CUT_BYTES } else { SEGMENT_HEADER_BYTES };
        payload[..bytes].fill(0);
        DOMAIN.put(payload, self.domain.0.to_le_bytes());
        SEGMENT.put(payload, self.segment.0.to_le_bytes());
        RUN.put(payload, self.run.to_le_bytes());
        SEGMENT_PAGES.put(payload, self.segment_pages.to_le_bytes());
        INCARNATION.put(payload, self.incarnation.0.to_le_bytes());
        LOG.put(payload, [self.log.0]);
        PURPOSE.put(payload, [self.purpose.to_byte()]);
        FIRST_SEQ.put(payload, self.first_seq.to_le_bytes());
        if let Some(cut) = self.cut_before {
            assert!(is_before(cut, self.incarnation), "a cut that is not before: {self:?}");
            CUT_BEFORE.put(payload, cut.0.to_le_bytes());
        }
        let header = PageHeader {
            kind: PageKind::SegmentHeader,
            previous,
            used: u16::try_from(bytes).expect("48 or 56"),
            log: self.log,
            incarnation: self.incarnation,
            segment: self.segment,
            index: 0,
            seq: self.first_seq,
            epoch: EpochId(0),
            horizon,
            owner,
            domain: page::domain_mark(self.domain),
        };
        page::seal(page, &header, salt)
    }

    /// The header in a page as it came from the device, and the page's own header.
    ///
    /// # Errors
    /// If it is no page, a page of another kind, or one that contradicts itself.
    pub fn parse(page: &[u8; PAGE_BYTES], salt: u32) -> Result<(Self, PageHeader), SegmentError> {
        let outer = page::parse(page, salt)?;
        if outer.kind != PageKind::SegmentHeader {
            return Err(SegmentError::Kind { found: outer.kind });
        }
        let payload = page::payload(page, &outer);
        if ![SEGMENT_HEADER_BYTES, WITH_CUT_BYTES].contains(&payload.len()) {
            return Err(SegmentError::Field { field: "used" });
        }
        let names_cut = payload.len() == WITH_CUT_BYTES;
        let purpose = Purpose::from_byte(PURPOSE.u8(payload)).ok_or(SegmentError::Field { field: PURPOSE.name })?;
        let header = Self {
            domain: DomainId(DOMAIN.u128(payload)),
            segment: SegmentId(SEGMENT.u32(payload)),
            run: RUN.u32(payload),
            segment_pages: SEGMENT_PAGES.u32(payload),
            incarnation: Incarnation(INCARNATION.u32(payload)),
            log: ShardId(LOG.u8(payload)),
            purpose,
            first_seq: FIRST_SEQ.u64(payload),
            cut_before: names_cut.then(|| EpochId(CUT_BEFORE.u64(payload))),
        };
        let refused = [
            (DOMAIN, page::domain_mark(header.domain) != outer.domain),
            (SEGMENT, header.segment != outer.segment || outer.index != 0),
            (RUN, header.run == 0 || header.segment_pages.checked_mul(header.run).is_none()),
            (SEGMENT_PAGES, header.segment_pages < SEGMENT_PAGES_MIN),
            (INCARNATION, header.incarnation != outer.incarnation),
            (LOG, header.log != outer.log),
            (ZERO, !is_zero(ZERO.of(payload))),
            (FIRST_SEQ, header.first_seq != outer.seq),
            (CUT_BEFORE, header.cut_before.is_some_and(|cut| !is_before(cut, header.incarnation))),
        ];
        match refused.into_iter().find(|(_, wrong)| *wrong) {
            Some((field, _)) => Err(SegmentError::Field { field: field.name }),
            None => Ok((header, outer)),
        }
    }
}

impl Purpose {
    fn to_byte(self) -> u8 {
        match self {
            Self::Log => 0,
            Self::Table => 1,
            Self::Checkpoint => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Log,
            1 => Self::Table,
            2 => Self::Checkpoint,
            _ => return None,
        })
    }
}

/// Whether it is an epoch of an earlier incarnation, and not the base of one, which is never a cut that is recorded.
fn is_before(cut: EpochId, incarnation: Incarnation) -> bool {
    cut.incarnation() < incarnation && cut.counter() > 0
}

#[cfg(test)]
mod tests;
