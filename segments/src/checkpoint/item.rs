//! The items of a checkpoint, and the bytes of a page of them.
//!
//! Contract: [`Items::parse`] judges what stands before the items of a payload; the iterator then gives each item or says what is
//! wrong with it. It takes no memory, whatever the payload says of counts and lengths.
//! Invariants: a page holds items of one sort and, if their sort belongs to tables, of one table; items lie behind each other
//! without padding, fill what is used of the payload to its last byte, and never straddle pages.

use super::CheckpointError;
use crate::field::{Field, is_zero, tiled};
use crate::ids::{EpochId, PageNo, SegmentId, TableId};
use crate::limits::KEY_BYTES_MAX;
use crate::page::{PAGE_HEADER_BYTES, PAGE_PAYLOAD_BYTES};
use crate::place::{PLACE_BITS, Place};
use crate::superblock::SUPERBLOCK_PAGES;

/// Bytes of a page's payload before its items.
pub const ITEMS_HEADER_BYTES: usize = 8;

/// Bits of a [`Item::Hash`]'s `low`: what a packed place leaves of 64.
const LOW_BITS: u32 = u64::BITS - PLACE_BITS;

/// What kind of index a table has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexKind {
    /// A hash table with wide slots.
    HashWide,
    /// A hash table with compact slots.
    HashCompact {
        /// How many of the hash's bits its slots pass over.
        skip: u8,
    },
    /// An ordered table.
    Ordered,
    /// A sack.
    Sack,
}

/// What a segment was taken for when the checkpoint was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentUse {
    /// For nothing: it may be taken.
    Free,
    /// A log, as first segment of its run.
    Log,
    /// Records of tables that reclaim copied, as first segment of its run.
    Table,
    /// A checkpoint.
    Checkpoint,
    /// It is a further segment of a run.
    Body,
}

/// One thing that a checkpoint says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item<'a> {
    /// A pair of a hash table.
    Hash {
        /// The high half of its key's hash.
        high: u64,
        /// The top nine bits of the low half.
        low: u16,
        /// Where its record lies.
        place: Place,
    },
    /// A pair of an ordered table.
    Ordered {
        /// Its key.
        key: &'a [u8],
        /// Where its record lies.
        place: Place,
    },
    /// A pair of a sack.
    Sack {
        /// Its record address.
        address: u64,
        /// Where its record lies.
        place: Place,
    },
    /// What there is to say of a table besides its pairs: once for each, behind them.
    Table {
        /// Its index.
        kind: IndexKind,
        /// How many pairs it has.
        pairs: u64,
        /// How many bytes their records take.
        record_bytes: u64,
        /// Whether some of them expire.
        expires: bool,
        /// Whether some of them are named by others.
        named: bool,
    },
    /// A segment of the device.
    Segment {
        /// Which.
        segment: SegmentId,
        /// Of a run's first segment, how many segments the run has; else 0.
        run: u32,
        /// What it was taken for.
        used: SegmentUse,
        /// Whether some of its records are named by others.
        named: bool,
        /// How many of its records live.
        records: u32,
        /// How many of its pages they take.
        pages: u32,
    },
    /// The cut of an earlier incarnation.
    Cut {
        /// Its last epoch that survived.
        epoch: EpochId,
    },
    /// A pair that can be reverted, whose previous record is kept.
    Kept {
        /// Its table.
        table: TableId,
        /// Where its record lies.
        place: Place,
        /// The packed place of the previous one; 0: there was none.
        previous: u64,
        /// The end of its lease, in milliseconds of the domain's clock.
        until_ms: u64,
        /// How many bytes are kept for it.
        bytes: u64,
    },
}

const SORT: Field = Field::new(0, 1, "sort");
const ZERO: Field = Field::new(1, 3, "zero");
const COUNT: Field = Field::new(4, 4, "count");
const ITEMS: [Field; 3] = [SORT, ZERO, COUNT];
const _: () = assert!(tiled(&ITEMS) == ITEMS_HEADER_BYTES, "the fields are what stands before the items");

const HASH_HIGH: Field = Field::new(0, 8, "high");
const HASH_LOW: Field = Field::new(8, 8, "low_place");
const HASH: [Field; 2] = [HASH_HIGH, HASH_LOW];

const ORDERED_PLACE: Field = Field::new(0, 8, "place");
const KEY_BYTES: Field = Field::new(8, 2, "key_bytes");
const ORDERED: [Field; 2] = [ORDERED_PLACE, KEY_BYTES];

const ADDRESS: Field = Field::new(0, 8, "address");
const SACK_PLACE: Field = Field::new(8, 8, "place");
const SACK: [Field; 2] = [ADDRESS, SACK_PLACE];

const KIND: Field = Field::new(0, 1, "kind");
const SKIP: Field = Field::new(1, 1, "skip");
const TABLE_FLAGS: Field = Field::new(2, 1, "flags");
const TABLE_ZERO: Field = Field::new(3, 5, "zero");
const PAIRS: Field = Field::new(8, 8, "pairs");
const RECORD_BYTES: Field = Field::new(16, 8, "record_bytes");
const TABLE: [Field; 6] = [KIND, SKIP, TABLE_FLAGS, TABLE_ZERO, PAIRS, RECORD_BYTES];

const SEGMENT_NUMBER: Field = Field::new(0, 4, "segment");
const RUN: Field = Field::new(4, 4, "run");
const USED: Field = Field::new(8, 1, "used");
const SEGMENT_FLAGS: Field = Field::new(9, 1, "flags");
const SEGMENT_ZERO: Field = Field::new(10, 2, "zero");
const RECORDS: Field = Field::new(12, 4, "records");
const PAGES: Field = Field::new(16, 4, "pages");
const SEGMENT: [Field; 7] = [SEGMENT_NUMBER, RUN, USED, SEGMENT_FLAGS, SEGMENT_ZERO, RECORDS, PAGES];

const EPOCH: Field = Field::new(0, 8, "epoch");
const CUT: [Field; 1] = [EPOCH];

const KEPT_TABLE: Field = Field::new(0, 4, "table");
const KEPT_ZERO: Field = Field::new(4, 4, "zero");
const KEPT_PLACE: Field = Field::new(8, 8, "place");
const PREVIOUS: Field = Field::new(16, 8, "previous");
const UNTIL: Field = Field::new(24, 8, "until_ms");
const BYTES: Field = Field::new(32, 8, "bytes");
const KEPT: [Field; 6] = [KEPT_TABLE, KEPT_ZERO, KEPT_PLACE, PREVIOUS, UNTIL, BYTES];

/// The layouts of what stands in a page, by their headings in the description of the format.
#[cfg(test)]
pub(crate) fn layouts() -> [(&'static str, &'static [Field]); 8] {
    [
        ("Checkpoint page", &ITEMS),
        ("Hash item", &HASH),
        ("Ordered item", &ORDERED),
        ("Sack item", &SACK),
        ("Table item", &TABLE),
        ("Segment item", &SEGMENT),
        ("Cut item", &CUT),
        ("Kept item", &KEPT),
    ]
}

const FLAG_NAMED: u8 = 1;
const FLAG_EXPIRES: u8 = 2;

/// Which variant of [`Item`] a page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    Hash,
    Ordered,
    Sack,
    Table,
    Segment,
    Cut,
    Kept,
}

/// Bytes of the longest item.
const ITEM_BYTES_MAX: usize = tiled(&ORDERED) + KEY_BYTES_MAX;
const _: () = assert!(ITEMS_HEADER_BYTES + ITEM_BYTES_MAX <= PAGE_PAYLOAD_BYTES, "every item fits a page");

impl Sort {
    fn to_byte(self) -> u8 {
        match self {
            Self::Hash => 1,
            Self::Ordered => 2,
            Self::Sack => 3,
            Self::Table => 4,
            Self::Segment => 5,
            Self::Cut => 6,
            Self::Kept => 7,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hash,
            2 => Self::Ordered,
            3 => Self::Sack,
            4 => Self::Table,
            5 => Self::Segment,
            6 => Self::Cut,
            7 => Self::Kept,
            _ => return None,
        })
    }

    /// Bytes of an item, of an ordered table's without its key.
    fn bytes(self) -> usize {
        const { assert!(tiled(&HASH) == 16 && tiled(&SACK) == 16, "the pairs of large tables are packed tightly") };
        match self {
            Self::Hash => tiled(&HASH),
            Self::Ordered => tiled(&ORDERED),
            Self::Sack => tiled(&SACK),
            Self::Table => tiled(&TABLE),
            Self::Segment => tiled(&SEGMENT),
            Self::Cut => tiled(&CUT),
            Self::Kept => tiled(&KEPT),
        }
    }

    /// Whether items of this sort are of the table that owns their page.
    pub(super) fn is_of_table(self) -> bool {
        matches!(self, Self::Hash | Self::Ordered | Self::Sack | Self::Table)
    }
}

/// What stands before the items of a page.
pub(super) fn put_header(payload: &mut [u8], sort: Sort, count: u32) {
    payload[..ITEMS_HEADER_BYTES].fill(0);
    SORT.put(payload, [sort.to_byte()]);
    COUNT.put(payload, count.to_le_bytes());
}

impl<'a> Item<'a> {
    pub(super) fn sort(&self) -> Sort {
        match self {
            Self::Hash { .. } => Sort::Hash,
            Self::Ordered { .. } => Sort::Ordered,
            Self::Sack { .. } => Sort::Sack,
            Self::Table { .. } => Sort::Table,
            Self::Segment { .. } => Sort::Segment,
            Self::Cut { .. } => Sort::Cut,
            Self::Kept { .. } => Sort::Kept,
        }
    }

    /// Bytes that it takes in a page.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        let key = if let Self::Ordered { key, .. } = self { key.len() } else { 0 };
        self.sort().bytes() + key
    }

    /// Writes the item to the front of `out`, which has room for it and is zero.
    ///
    /// # Panics
    /// If it breaks a rule that [`decode`](Self::decode) checks: it is ours.
    pub(super) fn encode(&self, out: &mut [u8]) {
        match *self {
            Self::Hash { high, low, place } => {
                assert!(u32::from(low) >> LOW_BITS == 0, "nine bits of the hash: {self:?}");
                HASH_HIGH.put(out, high.to_le_bytes());
                HASH_LOW.put(out, (u64::from(low) << PLACE_BITS | packed(place)).to_le_bytes());
            }
            Self::Ordered { key, place } => {
                assert!(key.len() <= KEY_BYTES_MAX, "a key of {} bytes", key.len());
                ORDERED_PLACE.put(out, packed(place).to_le_bytes());
                KEY_BYTES.put(out, u16::try_from(key.len()).expect("at most 2 KiB").to_le_bytes());
                out[tiled(&ORDERED)..][..key.len()].copy_from_slice(key);
            }
            Self::Sack { address, place } => {
                ADDRESS.put(out, address.to_le_bytes());
                SACK_PLACE.put(out, packed(place).to_le_bytes());
            }
            Self::Table { kind, pairs, record_bytes, expires, named } => {
                let (kind, skip) = kind.to_bytes();
                KIND.put(out, [kind]);
                SKIP.put(out, [skip]);
                TABLE_FLAGS.put(out, [u8::from(named) * FLAG_NAMED + u8::from(expires) * FLAG_EXPIRES]);
                PAIRS.put(out, pairs.to_le_bytes());
                RECORD_BYTES.put(out, record_bytes.to_le_bytes());
            }
            Self::Segment { segment, run, used, named, records, pages } => {
                assert!(used.may_have_run(run), "only a run's first segment says how long it is: {self:?}");
                SEGMENT_NUMBER.put(out, segment.0.to_le_bytes());
                RUN.put(out, run.to_le_bytes());
                USED.put(out, [used.to_byte()]);
                SEGMENT_FLAGS.put(out, [u8::from(named) * FLAG_NAMED]);
                RECORDS.put(out, records.to_le_bytes());
                PAGES.put(out, pages.to_le_bytes());
            }
            Self::Cut { epoch } => EPOCH.put(out, epoch.0.to_le_bytes()),
            Self::Kept { table, place, previous, until_ms, bytes } => {
                assert!(previous >> PLACE_BITS == 0, "a packed place has 55 bits: {self:?}");
                KEPT_TABLE.put(out, table.0.to_le_bytes());
                KEPT_PLACE.put(out, packed(place).to_le_bytes());
                PREVIOUS.put(out, previous.to_le_bytes());
                UNTIL.put(out, until_ms.to_le_bytes());
                BYTES.put(out, bytes.to_le_bytes());
            }
        }
    }

    /// The item at the front of `bytes`, and how many bytes it took.
    fn decode(sort: Sort, bytes: &'a [u8]) -> Result<(Self, usize), CheckpointError> {
        let head = bytes.get(..sort.bytes()).ok_or(wrong(COUNT))?;
        let item = match sort {
            Sort::Hash => {
                let low = HASH_LOW.u64(head);
                let place = place(low & ((1 << PLACE_BITS) - 1), HASH_LOW)?;
                let low = u16::try_from(low >> PLACE_BITS).expect("nine bits remain after the shift");
                Self::Hash { high: HASH_HIGH.u64(head), low, place }
            }
            Sort::Ordered => {
                let (place, key_bytes) = (place(ORDERED_PLACE.u64(head), ORDERED_PLACE)?, KEY_BYTES.u16(head));
                let key = bytes[head.len()..].get(..usize::from(key_bytes));
                let key = key.filter(|key| key.len() <= KEY_BYTES_MAX).ok_or(wrong(KEY_BYTES))?;
                return Ok((Self::Ordered { key, place }, head.len() + key.len()));
            }
            Sort::Sack => Self::Sack { address: ADDRESS.u64(head), place: place(SACK_PLACE.u64(head), SACK_PLACE)? },
            Sort::Table => Self::table(head)?,
            Sort::Segment => Self::segment(head)?,
            Sort::Cut => Self::Cut { epoch: EpochId(EPOCH.u64(head)) },
            Sort::Kept => Self::kept(head)?,
        };
        Ok((item, head.len()))
    }

    fn table(head: &[u8]) -> Result<Self, CheckpointError> {
        let flags = TABLE_FLAGS.u8(head);
        refuse(TABLE_FLAGS, flags & !(FLAG_NAMED | FLAG_EXPIRES) != 0)?;
        refuse(TABLE_ZERO, !is_zero(TABLE_ZERO.of(head)))?;
        Ok(Self::Table {
            kind: IndexKind::from_bytes(KIND.u8(head), SKIP.u8(head))?,
            pairs: PAIRS.u64(head),
            record_bytes: RECORD_BYTES.u64(head),
            expires: flags & FLAG_EXPIRES != 0,
            named: flags & FLAG_NAMED != 0,
        })
    }

    fn segment(head: &[u8]) -> Result<Self, CheckpointError> {
        let (flags, run) = (SEGMENT_FLAGS.u8(head), RUN.u32(head));
        let used = SegmentUse::from_byte(USED.u8(head)).ok_or(wrong(USED))?;
        refuse(SEGMENT_FLAGS, flags & !FLAG_NAMED != 0)?;
        refuse(SEGMENT_ZERO, !is_zero(SEGMENT_ZERO.of(head)))?;
        refuse(RUN, !used.may_have_run(run))?;
        Ok(Self::Segment {
            segment: SegmentId(SEGMENT_NUMBER.u32(head)),
            run,
            used,
            named: flags & FLAG_NAMED != 0,
            records: RECORDS.u32(head),
            pages: PAGES.u32(head),
        })
    }

    fn kept(head: &[u8]) -> Result<Self, CheckpointError> {
        let previous = PREVIOUS.u64(head);
        refuse(KEPT_ZERO, !is_zero(KEPT_ZERO.of(head)))?;
        refuse(PREVIOUS, previous >> PLACE_BITS != 0)?;
        Ok(Self::Kept {
            table: TableId(KEPT_TABLE.u32(head)),
            place: place(KEPT_PLACE.u64(head), KEPT_PLACE)?,
            previous,
            until_ms: UNTIL.u64(head),
            bytes: BYTES.u64(head),
        })
    }
}

fn wrong(field: Field) -> CheckpointError {
    CheckpointError::Item { field: field.name }
}

fn refuse(field: Field, refused: bool) -> Result<(), CheckpointError> {
    if refused { Err(wrong(field)) } else { Ok(()) }
}

/// Whether a record can begin there: behind the superblock, and behind its page's header.
fn holds_records(place: Place) -> bool {
    place.page() >= PageNo(SUPERBLOCK_PAGES) && usize::from(place.offset()) >= PAGE_HEADER_BYTES
}

fn packed(place: Place) -> u64 {
    assert!(holds_records(place), "no record begins at {place:?}");
    place.to_bits()
}

fn place(bits: u64, field: Field) -> Result<Place, CheckpointError> {
    let place = (bits >> PLACE_BITS == 0).then(|| Place::from_bits(bits));
    place.filter(|place| holds_records(*place)).ok_or(wrong(field))
}

impl IndexKind {
    fn to_bytes(self) -> (u8, u8) {
        match self {
            Self::HashWide => (1, 0),
            Self::HashCompact { skip } => (2, skip),
            Self::Ordered => (3, 0),
            Self::Sack => (4, 0),
        }
    }

    fn from_bytes(kind: u8, skip: u8) -> Result<Self, CheckpointError> {
        let kind = match kind {
            1 => Self::HashWide,
            2 => Self::HashCompact { skip },
            3 => Self::Ordered,
            4 => Self::Sack,
            _ => return Err(wrong(KIND)),
        };
        refuse(SKIP, kind.to_bytes().1 != skip)?;
        Ok(kind)
    }
}

impl SegmentUse {
    fn to_byte(self) -> u8 {
        match self {
            Self::Free => 0,
            Self::Log => 1,
            Self::Table => 2,
            Self::Checkpoint => 3,
            Self::Body => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Free,
            1 => Self::Log,
            2 => Self::Table,
            3 => Self::Checkpoint,
            4 => Self::Body,
            _ => return None,
        })
    }

    /// Whether such a segment may say that its run has so many.
    fn may_have_run(self, run: u32) -> bool {
        match self {
            Self::Free | Self::Body => run == 0,
            Self::Log | Self::Table | Self::Checkpoint => true,
        }
    }
}

/// The items of one page. After an error there is no further item.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    owner: TableId,
    sort: Sort,
    left: u32,
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    /// The items of a payload, in a page with this owner.
    ///
    /// # Errors
    /// If what stands before them says something that no writer says.
    pub(super) fn parse(owner: TableId, payload: &'a [u8]) -> Result<Self, CheckpointError> {
        let (head, rest) = payload.split_at_checked(ITEMS_HEADER_BYTES).ok_or(wrong(SORT))?;
        let sort = Sort::from_byte(SORT.u8(head)).ok_or(wrong(SORT))?;
        let left = COUNT.u32(head);
        refuse(ZERO, !is_zero(ZERO.of(head)))?;
        refuse(Field { name: "owner", ..SORT }, !sort.is_of_table() && owner != TableId(0))?;
        // Items are not empty, so a count is no larger than what follows, and it is not 0.
        let most = rest.len() / sort.bytes();
        refuse(COUNT, left == 0 || usize::try_from(left).map_or(true, |left| left > most))?;
        Ok(Self { owner, sort, left, rest })
    }

    /// The table that the items are of; 0 if their sort is of none.
    #[must_use]
    pub fn owner(&self) -> TableId {
        self.owner
    }

    /// How many are to come.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, CheckpointError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let behind = !std::mem::take(&mut self.rest).is_empty();
            return behind.then(|| Err(wrong(COUNT)));
        }
        let decoded = Item::decode(self.sort, self.rest);
        (self.left, self.rest) = match &decoded {
            Ok((_, bytes)) => (self.left - 1, &self.rest[*bytes..]),
            Err(_) => (0, &[][..]),
        };
        Some(decoded.map(|(item, _)| item))
    }
}
