//! One item of a summary: a pair or tombstone of the segment, without its value.
//!
//! Contract: [`SummaryItem::encode`] appends the bytes; [`SummaryItem::decode`] gives them back and says where the next begins.
//! Invariants: items lie behind each other without padding and never straddle pages; a place is checked to be a record's start
//! before anybody uses it.

use super::SummaryError;
use crate::field::{Field, tiled};
use crate::ids::{EpochId, Ordinal, TableId, Version};
use crate::limits::KEY_BYTES_MAX;
use crate::page::{PAGE_HEADER_BYTES, PAGE_PAYLOAD_BYTES};
use crate::place::{PLACE_BITS, Place};
use crate::record::{REVERTIBLE_BYTES, Revertible};

/// Bytes of an item before its expiry and key.
pub const ITEM_HEADER_BYTES: usize = 32;
/// Bytes of the hash that stands for a key.
pub const HASH_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;
const LIVE_BYTES: usize = 8;

const KIND: Field = Field::new(0, 1, "kind");
const FLAGS: Field = Field::new(1, 1, "flags");
const KEY_BYTES: Field = Field::new(2, 2, "key_bytes");
const TABLE: Field = Field::new(4, 4, "table");
const EPOCH: Field = Field::new(8, 8, "epoch");
const ORDINAL: Field = Field::new(16, 8, "ordinal");
const PLACE: Field = Field::new(24, 8, "place");
pub(crate) const LAYOUT: [Field; 7] = [KIND, FLAGS, KEY_BYTES, TABLE, EPOCH, ORDINAL, PLACE];

const FLAG_HASHED: u8 = 1;
const FLAG_EXPIRES: u8 = 2;
const FLAG_REVERTIBLE: u8 = 4;
const FLAG_EXTENDS: u8 = 8;

const _: () = assert!(tiled(&LAYOUT) == ITEM_HEADER_BYTES, "the fields are the header");
const ITEM_BYTES_MAX: usize = ITEM_HEADER_BYTES + EXPIRY_BYTES + REVERTIBLE_BYTES + LIVE_BYTES + KEY_BYTES_MAX;
const _: () = assert!(ITEM_BYTES_MAX <= PAGE_PAYLOAD_BYTES, "every item fits a page");

/// What an item says of its pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemKind {
    /// It has a value, at the item's place.
    Pair,
    /// It is not there any more; the tombstone lies at the item's place.
    Tombstone,
}

/// How an item names its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SummaryKey<'a> {
    /// The whole key.
    Key(&'a [u8]),
    /// The 128-bit keyed hash of the key: all that a hash table's index wants.
    Hash(u128),
}

/// A pair or tombstone of a sealed segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SummaryItem<'a> {
    /// What it says.
    pub kind: ItemKind,
    /// The table of the pair.
    pub table: TableId,
    /// The record's version.
    pub version: Version,
    /// Where the record lies.
    pub place: Place,
    /// The pair's key.
    pub key: SummaryKey<'a>,
    /// When it ends, in milliseconds of the domain's clock.
    pub expires_ms: Option<u64>,
    /// Of a revertible write: what it can be reverted to, and until when.
    pub revertible: Option<Revertible>,
    /// Of a record with extents: bytes of the log that live as long as it does, those of its extents included.
    pub live_bytes: Option<u64>,
}

impl<'a> SummaryItem<'a> {
    /// Bytes that an item with such a key takes, with or without an expiry and extents.
    #[must_use]
    pub fn encoded_bytes(key: SummaryKey<'_>, expires: bool, revertible: bool, extends: bool) -> usize {
        let key_bytes = match key {
            SummaryKey::Key(key) => key.len(),
            SummaryKey::Hash(_) => HASH_BYTES,
        };
        let fields = if expires { EXPIRY_BYTES } else { 0 } + if revertible { REVERTIBLE_BYTES } else { 0 };
        ITEM_HEADER_BYTES + fields + if extends { LIVE_BYTES } else { 0 } + key_bytes
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let (expires, extends) = (self.expires_ms.is_some(), self.live_bytes.is_some());
        Self::encoded_bytes(self.key, expires, self.revertible.is_some(), extends)
    }

    /// Appends the item's bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (hash, flag);
        let key = match self.key {
            SummaryKey::Key(key) => {
                flag = 0;
                key
            }
            SummaryKey::Hash(number) => {
                (hash, flag) = (number.to_le_bytes(), FLAG_HASHED);
                &hash[..]
            }
        };
        assert!(key.len() <= KEY_BYTES_MAX, "a key of {} bytes", key.len());
        assert!(usize::from(self.place.offset()) >= PAGE_HEADER_BYTES, "a record inside a page's header: {self:?}");
        let mut header = [0; ITEM_HEADER_BYTES];
        KIND.put(&mut header, [if self.kind == ItemKind::Pair { 1 } else { 2 }]);
        let expires = u8::from(self.expires_ms.is_some()) * FLAG_EXPIRES;
        let extends = u8::from(self.live_bytes.is_some()) * FLAG_EXTENDS;
        let revertible = u8::from(self.revertible.is_some()) * FLAG_REVERTIBLE;
        FLAGS.put(&mut header, [flag + expires + revertible + extends]);
        KEY_BYTES.put(&mut header, u16::try_from(key.len()).expect("at most 2 KiB").to_le_bytes());
        TABLE.put(&mut header, self.table.0.to_le_bytes());
        EPOCH.put(&mut header, self.version.epoch.0.to_le_bytes());
        ORDINAL.put(&mut header, self.version.ordinal.0.to_le_bytes());
        PLACE.put(&mut header, self.place.to_bits().to_le_bytes());
        out.extend_from_slice(&header);
        if let Some(expires_ms) = self.expires_ms {
            out.extend_from_slice(&expires_ms.to_le_bytes());
        }
        if let Some(revertible) = self.revertible {
            out.extend_from_slice(&revertible.previous.to_le_bytes());
            out.extend_from_slice(&revertible.until_ms.to_le_bytes());
        }
        if let Some(live_bytes) = self.live_bytes {
            out.extend_from_slice(&live_bytes.to_le_bytes());
        }
        out.extend_from_slice(key);
    }

    /// The item at the front of `bytes`, and how many bytes it took.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<(Self, usize), SummaryError> {
        let wrong = |field: Field| SummaryError::Item { field: field.name };
        let header = bytes.get(..ITEM_HEADER_BYTES).ok_or(wrong(KEY_BYTES))?;
        let kind = match KIND.u8(header) {
            1 => ItemKind::Pair,
            2 => ItemKind::Tombstone,
            _ => return Err(wrong(KIND)),
        };
        let (flags, key_bytes) = (FLAGS.u8(header), usize::from(KEY_BYTES.u16(header)));
        let (hashed, expires) = (flags & FLAG_HASHED != 0, flags & FLAG_EXPIRES != 0);
        let (is_revertible, extends) = (flags & FLAG_REVERTIBLE != 0, flags & FLAG_EXTENDS != 0);
        let known = FLAG_HASHED | FLAG_EXPIRES | FLAG_REVERTIBLE | FLAG_EXTENDS;
        if flags & !known != 0 || ((is_revertible || extends) && kind != ItemKind::Pair) {
            return Err(wrong(FLAGS));
        }
        if key_bytes > KEY_BYTES_MAX || (hashed && key_bytes != HASH_BYTES) {
            return Err(wrong(KEY_BYTES));
        }
        let revertible_at = ITEM_HEADER_BYTES + if expires { EXPIRY_BYTES } else { 0 };
        let live_at = revertible_at + if is_revertible { REVERTIBLE_BYTES } else { 0 };
        let key_at = live_at + if extends { LIVE_BYTES } else { 0 };
        let whole = bytes.get(..key_at + key_bytes).ok_or(wrong(KEY_BYTES))?;
        let key = &whole[key_at..];
        let bits = PLACE.u64(header);
        if bits >> PLACE_BITS != 0 || usize::from(Place::from_bits(bits).offset()) < PAGE_HEADER_BYTES {
            return Err(wrong(PLACE));
        }
        let hash = Field::new(0, HASH_BYTES, "hash");
        let expiry = Field::new(ITEM_HEADER_BYTES, EXPIRY_BYTES, "expires_ms");
        let previous = Field::new(revertible_at, 8, "previous");
        let until = Field::new(revertible_at + 8, 8, "until_ms");
        let revertible =
            is_revertible.then(|| Revertible { previous: previous.u64(whole), until_ms: until.u64(whole) });
        if revertible.is_some_and(|revertible| revertible.previous >> PLACE_BITS != 0) {
            return Err(wrong(previous));
        }
        let live = Field::new(live_at, LIVE_BYTES, "live_bytes");
        let item = Self {
            kind,
            table: TableId(TABLE.u32(header)),
            version: Version { epoch: EpochId(EPOCH.u64(header)), ordinal: Ordinal(ORDINAL.u64(header)) },
            place: Place::from_bits(bits),
            key: if hashed { SummaryKey::Hash(hash.u128(key)) } else { SummaryKey::Key(key) },
            expires_ms: expires.then(|| expiry.u64(whole)),
            revertible,
            live_bytes: extends.then(|| live.u64(whole)),
        };
        Ok((item, whole.len()))
    }
}
