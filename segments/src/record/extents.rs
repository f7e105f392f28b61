//! The extents of a record: earlier records whose values are the beginning of its own.
//!
//! Contract: a record that was appended to names what came before in place of holding it. An extent is a record of the same shard's
//! log and of the same table and key, written no later than the record that names it; it counts with the value that lies in it,
//! not with extents of its own. The names lie in the naming record's header, under its checksum.
//! Invariants: no extent is empty; there are at most [`EXTENTS_MAX`]; all values together are within the limit of one value.
//!
//! It does not know how a record is read, nor when it is worth naming one instead of holding it.

use super::encoded_bytes;
use crate::limits::{EXTENTS_MAX, VALUE_BYTES_MAX};
use crate::place::{PLACE_BITS, Place};

/// Bytes of one name.
pub const EXTENT_BYTES: usize = 16;

/// The name of an earlier record, and what its value must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where the record lies.
    pub place: Place,
    /// Bytes of the value that lies in it.
    pub bytes: u32,
    /// The checksum of that value alone, as its record has it.
    pub crc: u32,
}

/// The names in a record, oldest first: the order of their values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extents<'a>(&'a [u8]);

impl Extents<'static> {
    /// No names: the record's value lies in it alone.
    pub const NONE: Self = Self(&[]);
}

impl<'a> Extents<'a> {
    /// The names in these bytes; what is wrong with them is for [`Self::is_sound`] to say.
    #[must_use]
    pub(super) fn over(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The names, encoded by [`Self::encode`].
    ///
    /// # Panics
    /// If `bytes` are not whole names within the limits: they were encoded by us.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let extents = Self(bytes);
        assert!(bytes.len().is_multiple_of(EXTENT_BYTES) && extents.is_sound(0), "extents that no reader accepts");
        extents
    }

    /// Encodes names.
    #[must_use]
    pub fn encode(extents: &[Extent]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(extents.len() * EXTENT_BYTES);
        for extent in extents {
            bytes.extend_from_slice(&extent.place.to_bits().to_le_bytes());
            bytes.extend_from_slice(&extent.bytes.to_le_bytes());
            bytes.extend_from_slice(&extent.crc.to_le_bytes());
        }
        bytes
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() / EXTENT_BYTES
    }

    /// Whether the record's value lies in it alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Extent> + ExactSizeIterator + Clone + use<'a> {
        self.0.chunks_exact(EXTENT_BYTES).map(|name| Extent {
            place: Place::from_bits(u64::from_le_bytes(name[..8].try_into().expect("eight bytes"))),
            bytes: u32::from_le_bytes(name[8..12].try_into().expect("four bytes")),
            crc: u32::from_le_bytes(name[12..].try_into().expect("four bytes")),
        })
    }

    /// Bytes of all values.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        // At most 255 lengths of 32 bits.
        self.iter().map(|extent| extent.bytes as usize).sum()
    }

    /// Bytes of the log that live because they are named: of each, header, key and value. What else lies in it is dead.
    #[must_use]
    pub fn live_bytes(&self, key_bytes: usize) -> u64 {
        self.iter().map(|extent| encoded_bytes(key_bytes, extent.bytes as usize, false) as u64).sum()
    }

    /// As they are encoded.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Whether a record with a value of so many bytes may name these.
    pub(super) fn is_sound(&self, value_bytes: usize) -> bool {
        let fits = |name: &[u8]| u64::from_le_bytes(name[..8].try_into().expect("eight bytes")) >> PLACE_BITS == 0;
        self.0.chunks_exact(EXTENT_BYTES).all(fits)
            && self.len() <= EXTENTS_MAX
            && self.iter().all(|extent| extent.bytes > 0)
            && self.value_bytes() + value_bytes <= VALUE_BYTES_MAX
    }
}
