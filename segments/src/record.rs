//! The record: one version of a pair, a tombstone, a part of a value, or the close of an epoch, as it lies in the log.
//!
//! Contract: [`encode`] writes one without allocating; [`head`] checks all but the value; [`decode`] checks everything. The
//! value has a checksum of its own over the value alone, so whoever receives the value can verify it, wherever it has been.
//! Invariants: a record decodes to what was encoded or to an error; one content has one encoding (unused bytes are zero and are
//! checked); bytes of zeros are not a record.
//! It does not know where a record lies, nor how one larger than a page is spread over several (see [`large`](crate::large)).

use crate::checksum::checksum;
use crate::field::{Field, is_zero, tiled};
use crate::ids::{EpochId, Ordinal, TableId, Version};
use crate::limits::{EXTENTS_MAX, KEY_BYTES_MAX, SHARDS_MAX, VALUE_BYTES_MAX};
use crate::place::{PLACE_BITS, RECORD_ALIGN};
use thiserror::Error;

mod extents;
mod grow;
pub use extents::{EXTENT_BYTES, Extent, Extents};
pub use grow::grow;

/// Bytes of a record's header, without the expiry that may follow it.
pub const RECORD_HEADER_BYTES: usize = 40;
/// Bytes of the expiry of a record that has one.
pub const EXPIRY_BYTES: usize = 8;
/// Bytes that a revertible write adds to its record: where the previous one lies, and the end of its lease.
pub const REVERTIBLE_BYTES: usize = 16;
/// Bytes of the member mask that is a close record's key.
pub const MEMBERS_BYTES: usize = 4;

const HEADER_CRC: Field = Field::new(0, 4, "header_crc");
const VALUE_CRC: Field = Field::new(4, 4, "value_crc");
const VALUE_BYTES: Field = Field::new(8, 4, "value_bytes");
const KEY_BYTES: Field = Field::new(12, 2, "key_bytes");
const KIND: Field = Field::new(14, 1, "kind");
const FLAGS: Field = Field::new(15, 1, "flags");
const TABLE: Field = Field::new(16, 4, "table");
const EXTENTS: Field = Field::new(20, 1, "extents");
const ZERO: Field = Field::new(21, 3, "zero");
const EPOCH: Field = Field::new(24, 8, "epoch");
const ORDINAL: Field = Field::new(32, 8, "ordinal");
pub(crate) const LAYOUT: [Field; 11] =
    [HEADER_CRC, VALUE_CRC, VALUE_BYTES, KEY_BYTES, KIND, FLAGS, TABLE, EXTENTS, ZERO, EPOCH, ORDINAL];

const FLAG_COMPRESSED: u8 = 1;
const FLAG_EXPIRES: u8 = 2;
const FLAG_REVERTIBLE: u8 = 4;
const FLAG_COMPACT: u8 = 16;
const FLAGS_KNOWN: u8 = FLAG_COMPRESSED | FLAG_EXPIRES | FLAG_REVERTIBLE | FLAG_COMPACT;

const _: () = assert!(tiled(&LAYOUT) == RECORD_HEADER_BYTES, "the fields are the header");
const _: () = assert!(KEY_BYTES_MAX <= u16::MAX as usize, "a key's length has 16 bits");
const _: () = assert!(VALUE_BYTES_MAX < u32::MAX as usize, "a value's length has 32 bits");
const _: () = assert!(SHARDS_MAX as usize <= MEMBERS_BYTES * 8, "a mask has a bit for each shard");

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    /// The pair has this value.
    Pair,
    /// The pair is not there any more.
    Tombstone,
    /// This shard has no more records of the epoch, and these are the epoch's members.
    Close,
    /// A part of a value, written before the pair that names it; by itself it says nothing.
    Extent,
}

/// What the record of a revertible write says of the state before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revertible {
    /// Where the pair's previous record lies, in the terms of its table's index: in a log its place's bits; 0 when the pair was
    /// not there.
    pub previous: u64,
    /// When its lease ends, in milliseconds of the domain's clock: from then on the write stands.
    pub until_ms: u64,
}

/// A record, borrowed from whoever has its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// What it says.
    pub kind: RecordKind,
    /// The table of the pair; the catalog's number in a close record.
    pub table: TableId,
    /// Given at commit; moves do not change it.
    pub version: Version,
    /// The pair's key; the member mask of a close record.
    pub key: &'a [u8],
    /// The pair's record, as the client gave it; of a record with extents, the end of it.
    pub value: &'a [u8],
    /// Earlier records of the pair whose values come before this one's.
    pub extents: Extents<'a>,
    /// When it ends, in milliseconds of the domain's clock.
    pub expires_ms: Option<u64>,
    /// Whether the client compressed the value.
    pub compressed: bool,
    /// Whether it is to be packed with other small records.
    pub compact: bool,
    /// Of a revertible write: what it can be reverted to, and until when.
    pub revertible: Option<Revertible>,
}

/// All of a record but its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHead<'a> {
    /// What it says.
    pub kind: RecordKind,
    /// The table of the pair.
    pub table: TableId,
    /// Given at commit.
    pub version: Version,
    /// The pair's key.
    pub key: &'a [u8],
    /// When it ends.
    pub expires_ms: Option<u64>,
    /// Whether the client compressed the value.
    pub compressed: bool,
    /// Whether it is to be packed with other small records.
    pub compact: bool,
    /// Of a revertible write: what it can be reverted to, and until when.
    pub revertible: Option<Revertible>,
    /// Earlier records of the pair whose values come before this one's.
    pub extents: Extents<'a>,
    /// The value's first byte, from the record's first.
    pub value_at: usize,
    /// The value's length.
    pub value_bytes: usize,
    /// The checksum of the value alone.
    pub value_crc: u32,
    /// The whole record's length, padding included: where the next one begins.
    pub record_bytes: usize,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RecordError {
    /// There are fewer bytes than the record says it has.
    #[error("the record has {needed} bytes, {found} are there")]
    Short {
        /// How many it takes to go on.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// The header or the key is not what was written.
    #[error("the record's header has checksum {found:#010x}, its bytes have {expected:#010x}")]
    HeaderChecksum {
        /// Of the bytes as they are.
        expected: u32,
        /// As stored.
        found: u32,
    },
    /// The value is not what was written.
    #[error("the record's value has checksum {found:#010x}, its bytes have {expected:#010x}")]
    ValueChecksum {
        /// Of the bytes as they are.
        expected: u32,
        /// As stored.
        found: u32,
    },
    /// A field has a content that this version does not write.
    #[error("the record's field {field} has a content that this version does not write")]
    Field {
        /// Its name in the description of the format.
        field: &'static str,
    },
}

impl<'a> Record<'a> {
    /// The close record of `version`'s epoch; `members` is the mask of its shards, little-endian.
    #[must_use]
    pub fn close(version: Version, members: &'a [u8; MEMBERS_BYTES]) -> Self {
        let kind = RecordKind::Close;
        Self { kind, ..Self::pair(TableId(0), version, members, &[]) }
    }

    /// A pair without options: the whole value in the record, which neither expires nor can be reverted.
    #[must_use]
    pub fn pair(table: TableId, version: Version, key: &'a [u8], value: &'a [u8]) -> Self {
        let (kind, extents) = (RecordKind::Pair, Extents::default());
        let (expires_ms, compressed, compact, revertible) = (None, false, false, None);
        Self { kind, table, version, key, value, extents, expires_ms, compressed, compact, revertible }
    }

    fn flags(&self) -> u8 {
        u8::from(self.compressed) * FLAG_COMPRESSED
            + u8::from(self.expires_ms.is_some()) * FLAG_EXPIRES
            + u8::from(self.revertible.is_some()) * FLAG_REVERTIBLE
            + u8::from(self.compact) * FLAG_COMPACT
    }

    /// Bytes that it takes, padding included.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        let fields = field_bytes(self.flags()) + self.extents.bytes().len();
        (RECORD_HEADER_BYTES + fields + self.key.len() + self.value.len()).next_multiple_of(RECORD_ALIGN)
    }

    /// Bytes of the log that live as long as it does; see [`RecordHead::live_bytes`].
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.encoded_bytes() as u64 + self.extents.live_bytes(self.key.len())
    }
}

impl RecordHead<'_> {
    /// The members of the epoch that a close record closes.
    #[must_use]
    pub fn members(&self) -> Option<u32> {
        match self.kind {
            RecordKind::Close => Some(u32::from_le_bytes(self.key.try_into().expect("checked when it was parsed"))),
            RecordKind::Pair | RecordKind::Tombstone | RecordKind::Extent => None,
        }
    }

    /// Bytes of the pair's whole value: of its extents and of what lies here.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.extents.value_bytes() + self.value_bytes
    }

    /// Bytes of the log that live as long as this record does: its own, and of each extent header, key and value.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.record_bytes as u64 + self.extents.live_bytes(self.key.len())
    }

    /// The value out of the record's bytes, its checksum and the padding behind it checked.
    ///
    /// # Errors
    /// If there are too few bytes, or they are not what was written.
    pub fn check_value<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], RecordError> {
        let whole = part(bytes, self.record_bytes)?;
        let (value, padding) = whole[self.value_at..].split_at(self.value_bytes);
        let expected = checksum(0, value);
        if self.value_crc != expected {
            return Err(RecordError::ValueChecksum { expected, found: self.value_crc });
        }
        if !is_zero(padding) {
            return Err(RecordError::Field { field: "padding" });
        }
        Ok(value)
    }
}

impl RecordKind {
    fn to_byte(self) -> u8 {
        match self {
            Self::Pair => 1,
            Self::Tombstone => 2,
            Self::Close => 3,
            Self::Extent => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Pair,
            2 => Self::Tombstone,
            3 => Self::Close,
            4 => Self::Extent,
            _ => return None,
        })
    }
}

/// Bytes that the fields take which flags announce, between header and extents.
fn field_bytes(flags: u8) -> usize {
    let expiry = if flags & FLAG_EXPIRES == 0 { 0 } else { EXPIRY_BYTES };
    expiry + if flags & FLAG_REVERTIBLE == 0 { 0 } else { REVERTIBLE_BYTES }
}

/// Bytes that the record of a write takes which has no extents and is not revertible, padding included: a multiple of eight.
#[must_use]
pub fn encoded_bytes(key_bytes: usize, value_bytes: usize, expires: bool) -> usize {
    let expiry = if expires { EXPIRY_BYTES } else { 0 };
    (RECORD_HEADER_BYTES + expiry + key_bytes + value_bytes).next_multiple_of(RECORD_ALIGN)
}

/// Bytes that a record without extents takes at most whose value has so many.
#[must_use]
pub const fn encoded_bytes_max(value_bytes: usize) -> usize {
    RECORD_HEADER_BYTES + EXPIRY_BYTES + REVERTIBLE_BYTES + KEY_BYTES_MAX + value_bytes + RECORD_ALIGN
}

/// Writes a record to the front of `out` and returns how many bytes it took.
///
/// ```
/// use segments::record::{Record, decode, encode, encoded_bytes};
/// # use segments::{EpochId, Incarnation, Ordinal, TableId, Version};
/// # let version = Version { epoch: EpochId::new(Incarnation(1), 1), ordinal: Ordinal(1) };
/// let record = Record::pair(TableId(7), version, b"key", b"");
/// let mut out = [0; 64];
/// let bytes = encode(&record, &mut out);
/// assert_eq!(bytes, encoded_bytes(3, 0, false));
/// assert_eq!(decode(&out), Ok((record, bytes)));
/// ```
///
/// # Panics
/// If `out` is too short or the record breaks a limit: both were settled when the record was accepted.
pub fn encode(record: &Record<'_>, out: &mut [u8]) -> usize {
    encode_carried(record, checksum(0, record.value), out)
}

/// Like [`encode`], with the value's checksum as it came from whoever computed it first: a value that was damaged on the way is
/// found out by its next reader, instead of getting a new checksum here.
///
/// # Panics
/// As [`encode`].
pub fn encode_carried(record: &Record<'_>, value_crc: u32, out: &mut [u8]) -> usize {
    let key_bytes = u16::try_from(record.key.len()).expect("keys are at most 2 KiB");
    let value_bytes = u32::try_from(record.value.len()).expect("values are at most 64 MiB");
    let flags = record.flags();
    // Lengths alone: key and value are the client's, and may be large.
    let refused = refused(record.kind, record.table, record.key, value_bytes, flags, record.extents);
    let kind = record.kind;
    assert!(
        refused.is_none(),
        "a record that no reader accepts: {refused:?} of a {kind:?}, {key_bytes} + {value_bytes} bytes"
    );
    let extents = record.extents.bytes();
    let total = record.encoded_bytes();
    let out = &mut out[..total];

    let (header, rest) = out.split_at_mut(RECORD_HEADER_BYTES);
    VALUE_CRC.put(header, value_crc.to_le_bytes());
    VALUE_BYTES.put(header, value_bytes.to_le_bytes());
    KEY_BYTES.put(header, key_bytes.to_le_bytes());
    KIND.put(header, [record.kind.to_byte()]);
    FLAGS.put(header, [flags]);
    TABLE.put(header, record.table.0.to_le_bytes());
    EXTENTS.put(header, [u8::try_from(record.extents.len()).expect("at most 32, as was just checked")]);
    ZERO.put(header, [0; 3]);
    EPOCH.put(header, record.version.epoch.0.to_le_bytes());
    ORDINAL.put(header, record.version.ordinal.0.to_le_bytes());
    let mut at = 0;
    if let Some(expires_ms) = record.expires_ms {
        rest[..EXPIRY_BYTES].copy_from_slice(&expires_ms.to_le_bytes());
        at = EXPIRY_BYTES;
    }
    if let Some(revertible) = record.revertible {
        assert!(revertible.previous >> PLACE_BITS == 0, "where the previous record lies has {PLACE_BITS} bits");
        rest[at..at + 8].copy_from_slice(&revertible.previous.to_le_bytes());
        rest[at + 8..at + REVERTIBLE_BYTES].copy_from_slice(&revertible.until_ms.to_le_bytes());
        at += REVERTIBLE_BYTES;
    }
    rest[at..at + extents.len()].copy_from_slice(extents);
    at += extents.len();
    rest[at..at + record.key.len()].copy_from_slice(record.key);
    at += record.key.len();
    rest[at..at + record.value.len()].copy_from_slice(record.value);
    rest[at + record.value.len()..].fill(0);

    let header_crc = checksum(0, &out[HEADER_CRC.size..RECORD_HEADER_BYTES + at]);
    HEADER_CRC.put(out, header_crc.to_le_bytes());
    total
}

/// Everything about a record but its value, which need not be there. The checksum of header, expiry and key is checked.
///
/// # Errors
/// If the bytes do not begin with a record that this version could have written.
pub fn head(bytes: &[u8]) -> Result<RecordHead<'_>, RecordError> {
    let header = part(bytes, RECORD_HEADER_BYTES)?;
    let (key_bytes, value_bytes, flags) =
        (usize::from(KEY_BYTES.u16(header)), VALUE_BYTES.u32(header), FLAGS.u8(header));
    if key_bytes > KEY_BYTES_MAX {
        return Err(RecordError::Field { field: KEY_BYTES.name });
    }
    let extents_at = RECORD_HEADER_BYTES + field_bytes(flags);
    let extents_bytes = usize::from(EXTENTS.u8(header)) * EXTENT_BYTES;
    if extents_bytes > EXTENTS_MAX * EXTENT_BYTES {
        return Err(RecordError::Field { field: EXTENTS.name });
    }
    let key_at = extents_at + extents_bytes;
    let value_at = key_at + key_bytes;
    let front = part(bytes, value_at)?;
    let (found, expected) = (HEADER_CRC.u32(header), checksum(0, &front[HEADER_CRC.size..]));
    if found != expected {
        return Err(RecordError::HeaderChecksum { expected, found });
    }

    let kind = RecordKind::from_byte(KIND.u8(header)).ok_or(RecordError::Field { field: KIND.name })?;
    let (table, key) = (TableId(TABLE.u32(header)), &front[key_at..]);
    if !is_zero(ZERO.of(header)) {
        return Err(RecordError::Field { field: ZERO.name });
    }
    let extents = Extents::over(&front[extents_at..key_at]);
    if let Some(field) = refused(kind, table, key, value_bytes, flags, extents) {
        return Err(RecordError::Field { field: field.name });
    }
    let value_bytes = usize::try_from(value_bytes).expect("at most 64 MiB, as was just checked");
    let expires = flags & FLAG_EXPIRES != 0;
    let expiry = Field::new(RECORD_HEADER_BYTES, EXPIRY_BYTES, "expires_ms");
    let revertible = revertible(front, flags)?;
    Ok(RecordHead {
        kind,
        table,
        version: Version { epoch: EpochId(EPOCH.u64(header)), ordinal: Ordinal(ORDINAL.u64(header)) },
        key,
        expires_ms: expires.then(|| expiry.u64(front)),
        compressed: flags & FLAG_COMPRESSED != 0,
        compact: flags & FLAG_COMPACT != 0,
        revertible,
        extents,
        value_at,
        value_bytes,
        value_crc: VALUE_CRC.u32(header),
        record_bytes: (value_at + value_bytes).next_multiple_of(RECORD_ALIGN),
    })
}

/// What a record's front says of the state before a revertible write.
fn revertible(front: &[u8], flags: u8) -> Result<Option<Revertible>, RecordError> {
    if flags & FLAG_REVERTIBLE == 0 {
        return Ok(None);
    }
    let at = RECORD_HEADER_BYTES + field_bytes(flags & !FLAG_REVERTIBLE);
    let (previous, until_ms) = (Field::new(at, 8, "previous"), Field::new(at + 8, 8, "until_ms"));
    let revertible = Revertible { previous: previous.u64(front), until_ms: until_ms.u64(front) };
    if revertible.previous >> PLACE_BITS != 0 {
        return Err(RecordError::Field { field: previous.name });
    }
    Ok(Some(revertible))
}

/// A whole record, every byte of it checked, and how many bytes it took.
///
/// # Errors
/// If the bytes do not begin with a whole record that this version could have written.
pub fn decode(bytes: &[u8]) -> Result<(Record<'_>, usize), RecordError> {
    let head = head(bytes)?;
    let value = head.check_value(bytes)?;
    let record = Record {
        kind: head.kind,
        table: head.table,
        version: head.version,
        key: head.key,
        value,
        extents: head.extents,
        expires_ms: head.expires_ms,
        compressed: head.compressed,
        compact: head.compact,
        revertible: head.revertible,
    };
    Ok((record, head.record_bytes))
}

/// The first field of a record that breaks a rule which writer and reader share.
fn refused(
    kind: RecordKind,
    table: TableId,
    key: &[u8],
    value_bytes: u32,
    flags: u8,
    extents: Extents<'_>,
) -> Option<Field> {
    if key.len() > KEY_BYTES_MAX {
        return Some(KEY_BYTES);
    }
    if flags & !FLAGS_KNOWN != 0 {
        return Some(FLAGS);
    }
    let fits = usize::try_from(value_bytes).is_ok_and(|bytes| bytes <= VALUE_BYTES_MAX);
    if kind == RecordKind::Pair && fits {
        return (!extents.is_sound(value_bytes as usize)).then_some(EXTENTS);
    }
    if !extents.is_empty() {
        return Some(EXTENTS);
    }
    if kind == RecordKind::Extent {
        let named = fits && value_bytes != 0;
        return if named { (flags != 0).then_some(FLAGS) } else { Some(VALUE_BYTES) };
    }
    // Tombstones and closes have nothing to say about a value.
    if value_bytes != 0 {
        return Some(VALUE_BYTES);
    }
    if flags != 0 {
        return Some(FLAGS);
    }
    if kind == RecordKind::Tombstone {
        return None;
    }
    let Ok(members) = <[u8; MEMBERS_BYTES]>::try_from(key) else {
        return Some(KEY_BYTES);
    };
    let members = u32::from_le_bytes(members);
    let named = members != 0 && members >> SHARDS_MAX == 0;
    (table != TableId(0) || !named).then_some(TABLE)
}

/// The first `needed` bytes.
fn part(bytes: &[u8], needed: usize) -> Result<&[u8], RecordError> {
    bytes.get(..needed).ok_or(RecordError::Short { needed, found: bytes.len() })
}

#[cfg(test)]
mod tests;
