//! The page: 4 KiB with a header that says whose it is, where it belongs and which page of its log came before it.
//!
//! Contract: [`seal`] makes a page ready to be written; [`parse`] decides whether bytes from a device are such a page. A page
//! that parses is what its writer sealed; whether it belongs *here* and *now* the caller finds out by comparing domain, segment,
//! index, incarnation, sequence and the chain (`previous`) with what it expects.
//! Invariants: what the payload does not use is zero; a page of zeros is [`PageError::Blank`], never a page; a sealed page is
//! never changed, a changed one never parses.
//! It knows nothing of what the payload means.

use crate::checksum::checksum;
use crate::field::{Field, is_zero, tiled};
use crate::frame::PAGE_BYTES;
use crate::ids::{DomainId, EpochId, INCARNATION_MAX, Incarnation, SegmentId, ShardId, TableId};
use crate::limits::SHARDS_MAX;
use crate::place::RECORD_ALIGN;
use thiserror::Error;

/// Bytes of a page's header.
pub const PAGE_HEADER_BYTES: usize = 80;
/// Bytes that a page has for its content.
pub const PAGE_PAYLOAD_BYTES: usize = PAGE_BYTES - PAGE_HEADER_BYTES;
/// "lopg": every page behind the superblock begins with a checksum, a link and this.
pub const PAGE_MAGIC: u32 = u32::from_le_bytes(*b"lopg");

const CHECKSUM: Field = Field::new(0, 4, "checksum");
const PREVIOUS: Field = Field::new(4, 4, "previous");
const MAGIC: Field = Field::new(8, 4, "magic");
const KIND: Field = Field::new(12, 1, "kind");
const FLAGS: Field = Field::new(13, 1, "flags");
const USED: Field = Field::new(14, 2, "used");
const LOG: Field = Field::new(16, 1, "log");
const ZERO_A: Field = Field::new(17, 3, "zero");
const INCARNATION: Field = Field::new(20, 4, "incarnation");
const SEGMENT: Field = Field::new(24, 4, "segment");
const INDEX: Field = Field::new(28, 4, "index");
const SEQ: Field = Field::new(32, 8, "seq");
const EPOCH: Field = Field::new(40, 8, "epoch");
const HORIZON: Field = Field::new(48, 8, "horizon");
const OWNER: Field = Field::new(56, 4, "owner");
const ZERO_B: Field = Field::new(60, 4, "zero");
const DOMAIN: Field = Field::new(64, 8, "domain");
const ZERO_C: Field = Field::new(72, 8, "zero");
pub(crate) const LAYOUT: [Field; 18] = [
    CHECKSUM,
    PREVIOUS,
    MAGIC,
    KIND,
    FLAGS,
    USED,
    LOG,
    ZERO_A,
    INCARNATION,
    SEGMENT,
    INDEX,
    SEQ,
    EPOCH,
    HORIZON,
    OWNER,
    ZERO_B,
    DOMAIN,
    ZERO_C,
];

const _: () = assert!(tiled(&LAYOUT) == PAGE_HEADER_BYTES, "the fields are the header");
const _: () = assert!(PAGE_PAYLOAD_BYTES.is_multiple_of(RECORD_ALIGN), "records fill a payload to its last byte");
const _: () = assert!(PAGE_HEADER_BYTES.is_multiple_of(RECORD_ALIGN), "the first record starts aligned");

/// What a page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageKind {
    /// The first page of a segment (or of a run of segments): whose it is and where its log goes on.
    SegmentHeader,
    /// Whole records, one behind the other.
    Log,
    /// The first page of a record that is larger than a payload.
    LargeHead,
    /// A further page of such a record.
    LargeBody,
    /// A page of a sealed segment's summary.
    Summary,
    /// The last page of a sealed segment: where the summary is and how the log's chain goes on.
    SummaryFooter,
    /// Whole records of one table, the page's owner, which reclaim copied here. The page has no epoch; its records keep theirs.
    Table,
    /// Items of a checkpoint.
    Checkpoint,
    /// The last page of a checkpoint: from where the log is replayed, and what had to be persistent for it to count.
    CheckpointFooter,
}

/// All of a page's header but its checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageHeader {
    /// What the page holds.
    pub kind: PageKind,
    /// The checksum of the page before this one in its chain; 0 in the first page of an incarnation's log.
    pub previous: u32,
    /// Bytes of the payload in use; the rest is zero.
    pub used: u16,
    /// The log: the shard that wrote the page, by its number in that incarnation.
    pub log: ShardId,
    /// The incarnation that wrote it.
    pub incarnation: Incarnation,
    /// The segment it lies in; in a run of segments the first of the run.
    pub segment: SegmentId,
    /// Which page of the segment, or of the run, it is.
    pub index: u32,
    /// Which page of its log, or of its checkpoint, it is in this incarnation: rises by one.
    pub seq: u64,
    /// The epoch of everything in the page; 0 if the page has none.
    pub epoch: EpochId,
    /// The last persistent epoch that the writer knew of: a damaged page before a page with a later horizon is damage, not a tear.
    pub horizon: EpochId,
    /// The table whose records, or items, alone are here, or 0: the log's, with records of any table.
    pub owner: TableId,
    /// The domain's [mark](domain_mark).
    pub domain: u64,
}

/// Why bytes are not a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PageError {
    /// All bytes are zero: never written, or given back.
    #[error("the page is blank")]
    Blank,
    /// It was something else than what a writer sealed, or was sealed by a later format.
    #[error("the page is damaged: {0}")]
    Damaged(PageDamage),
}

/// What is wrong with a damaged page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PageDamage {
    /// It does not have our magic number.
    #[error("magic {found:#010x}")]
    Magic {
        /// What stands in its place.
        found: u32,
    },
    /// The checksum does not fit the bytes: torn, garbled, or of another domain.
    #[error("checksum {found:#010x}, its bytes have {expected:#010x}")]
    Checksum {
        /// Of the bytes as they are.
        expected: u32,
        /// As stored.
        found: u32,
    },
    /// The checksum is right and a field is not one that this version writes.
    #[error("field {field} has a content that this version does not write")]
    Field {
        /// Its name in the description of the format.
        field: &'static str,
    },
}

impl PageKind {
    fn to_byte(self) -> u8 {
        match self {
            Self::SegmentHeader => 1,
            Self::Log => 2,
            Self::LargeHead => 3,
            Self::LargeBody => 4,
            Self::Summary => 5,
            Self::SummaryFooter => 6,
            Self::Table => 7,
            Self::Checkpoint => 8,
            Self::CheckpointFooter => 9,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::SegmentHeader,
            2 => Self::Log,
            3 => Self::LargeHead,
            4 => Self::LargeBody,
            5 => Self::Summary,
            6 => Self::SummaryFooter,
            7 => Self::Table,
            8 => Self::Checkpoint,
            9 => Self::CheckpointFooter,
            _ => return None,
        })
    }
}

impl PageHeader {
    /// Whether a page like this is part of a log's chain. Summaries, what reclaim copied and checkpoints lie in segments too and are
    /// none; of a segment's header, what the segment is for decides besides.
    #[must_use]
    pub fn is_of_log(&self) -> bool {
        match self.kind {
            PageKind::SegmentHeader | PageKind::Log => true,
            PageKind::LargeHead | PageKind::LargeBody => self.owner == TableId(0),
            PageKind::Summary
            | PageKind::SummaryFooter
            | PageKind::Table
            | PageKind::Checkpoint
            | PageKind::CheckpointFooter => false,
        }
    }

    /// Whether the page says that it is page `index` of `segment` of the domain with this mark: one that was written to, or read
    /// from, another place says something else.
    #[must_use]
    pub fn lies_at(&self, domain: u64, segment: SegmentId, index: u32) -> bool {
        (self.domain, self.segment, self.index) == (domain, segment, index)
    }
}

/// The half of a domain's id that its pages carry; segment headers and the superblock carry all of it.
#[must_use]
pub fn domain_mark(domain: DomainId) -> u64 {
    u64::try_from(domain.0 & u128::from(u64::MAX)).expect("masked to 64 bits")
}

/// Writes the header of a page whose payload is filled, zeroes what the payload does not use, and returns the page's checksum,
/// which the next page of the chain names as its `previous`.
///
/// ```
/// use segments::page::{PageHeader, PageKind, parse, payload, payload_mut, seal};
/// # use segments::{EpochId, Incarnation, SegmentId, ShardId, TableId};
/// # let header = PageHeader { kind: PageKind::Log, previous: 0, used: 5, log: ShardId(0), incarnation: Incarnation(1),
/// #     segment: SegmentId(0), index: 1, seq: 1, epoch: EpochId::new(Incarnation(1), 1),
/// #     horizon: EpochId::base(Incarnation(1)), owner: TableId(0), domain: 7 };
/// let (mut page, salt) = ([0; 4096], 0x5a17);
/// payload_mut(&mut page)[..5].copy_from_slice(b"bytes");
/// let checksum = seal(&mut page, &header, salt);
/// assert_eq!(parse(&page, salt), Ok(header));
/// assert_eq!(payload(&page, &header), b"bytes");
/// assert_eq!(segments::page::stored_checksum(&page), checksum);
/// ```
pub fn seal(page: &mut [u8; PAGE_BYTES], header: &PageHeader, salt: u32) -> u32 {
    let used = usize::from(header.used);
    assert!(used <= PAGE_PAYLOAD_BYTES, "a payload has {PAGE_PAYLOAD_BYTES} bytes, not {used}");
    assert!(header.log.0 < SHARDS_MAX, "log {} is past the last shard", header.log);
    assert!(header.incarnation.0 <= INCARNATION_MAX, "incarnation {} needs more than 24 bits", header.incarnation);
    page[PAGE_HEADER_BYTES + used..].fill(0);
    page[..PAGE_HEADER_BYTES].fill(0);
    PREVIOUS.put(page, header.previous.to_le_bytes());
    MAGIC.put(page, PAGE_MAGIC.to_le_bytes());
    KIND.put(page, [header.kind.to_byte()]);
    USED.put(page, header.used.to_le_bytes());
    LOG.put(page, [header.log.0]);
    INCARNATION.put(page, header.incarnation.0.to_le_bytes());
    SEGMENT.put(page, header.segment.0.to_le_bytes());
    INDEX.put(page, header.index.to_le_bytes());
    SEQ.put(page, header.seq.to_le_bytes());
    EPOCH.put(page, header.epoch.0.to_le_bytes());
    HORIZON.put(page, header.horizon.0.to_le_bytes());
    OWNER.put(page, header.owner.0.to_le_bytes());
    DOMAIN.put(page, header.domain.to_le_bytes());
    let sum = checksum(salt, &page[CHECKSUM.size..]);
    CHECKSUM.put(page, sum.to_le_bytes());
    sum
}

/// The header of a page as it came from the device.
///
/// # Errors
/// [`PageError::Blank`] for a page of zeros, [`PageError::Damaged`] for anything else that nobody sealed.
pub fn parse(page: &[u8; PAGE_BYTES], salt: u32) -> Result<PageHeader, PageError> {
    let magic = MAGIC.u32(page);
    if magic != PAGE_MAGIC {
        let blank = is_zero(page);
        return Err(if blank { PageError::Blank } else { PageError::Damaged(PageDamage::Magic { found: magic }) });
    }
    let (found, expected) = (stored_checksum(page), checksum(salt, &page[CHECKSUM.size..]));
    if found != expected {
        return Err(PageError::Damaged(PageDamage::Checksum { expected, found }));
    }
    fields(page).map_err(|field| PageError::Damaged(PageDamage::Field { field: field.name }))
}

/// The fields of a page whose checksum is right, or the first one that this version would not have written.
fn fields(page: &[u8; PAGE_BYTES]) -> Result<PageHeader, Field> {
    let kind = PageKind::from_byte(KIND.u8(page)).ok_or(KIND)?;
    let header = PageHeader {
        kind,
        previous: PREVIOUS.u32(page),
        used: USED.u16(page),
        log: ShardId(LOG.u8(page)),
        incarnation: Incarnation(INCARNATION.u32(page)),
        segment: SegmentId(SEGMENT.u32(page)),
        index: INDEX.u32(page),
        seq: SEQ.u64(page),
        epoch: EpochId(EPOCH.u64(page)),
        horizon: EpochId(HORIZON.u64(page)),
        owner: TableId(OWNER.u32(page)),
        domain: DOMAIN.u64(page),
    };
    let refused = [
        (FLAGS, FLAGS.u8(page) != 0),
        (USED, usize::from(header.used) > PAGE_PAYLOAD_BYTES),
        (LOG, header.log.0 >= SHARDS_MAX),
        (INCARNATION, header.incarnation.0 > INCARNATION_MAX),
        (ZERO_A, !is_zero(ZERO_A.of(page))),
        (ZERO_B, !is_zero(ZERO_B.of(page))),
        (ZERO_C, !is_zero(ZERO_C.of(page))),
    ];
    match refused.into_iter().find(|(_, wrong)| *wrong) {
        Some((field, _)) => Err(field),
        None => Ok(header),
    }
}

/// The checksum that a page carries, which the next page of its chain repeats. Meaningful only for a page that parses.
#[must_use]
pub fn stored_checksum(page: &[u8; PAGE_BYTES]) -> u32 {
    CHECKSUM.u32(page)
}

/// The part of a parsed page's payload that is in use.
#[must_use]
pub fn payload<'a>(page: &'a [u8; PAGE_BYTES], header: &PageHeader) -> &'a [u8] {
    &page[PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + usize::from(header.used)]
}

/// The same for a page that was parsed before and has not changed since.
pub(crate) fn used_payload(page: &[u8; PAGE_BYTES]) -> &[u8] {
    &page[PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + usize::from(USED.u16(page))]
}

/// A page's whole payload, to be filled before the page is sealed.
pub fn payload_mut(page: &mut [u8; PAGE_BYTES]) -> &mut [u8] {
    &mut page[PAGE_HEADER_BYTES..]
}

#[cfg(test)]
mod tests;
