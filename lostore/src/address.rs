//! Where in a sack a record lies: an opaque key that the store gives.
//!
//! Contract: an address is never given twice while its domain lives; the record it names is found at it or nowhere.

use crate::key::{AsField, KeyField};
use domains::schema::FieldType;
use domains::schema::keys::{KeyBuf, KeyError, KeyReader};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// The address of a record of `T` in its sack.
pub struct Address<T> {
    bytes: [u8; 8],
    of: PhantomData<fn() -> T>,
}

impl<T> Address<T> {
    /// The address with these bytes, as [`Self::to_bytes`] gave them.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self { bytes, of: PhantomData }
    }

    /// Its bytes, which are the record's key.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.bytes
    }
}

impl<T> KeyField for Address<T> {
    /// To the catalog an address is a number of 64 bits; its bytes are as long and have no marks.
    fn field_type() -> FieldType {
        FieldType::Unsigned(64)
    }

    fn encode(&self, out: &mut KeyBuf) {
        out.push_raw(&self.bytes);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let number = u64::try_from(reader.unsigned(8)?).expect("8 bytes were read");
        let mut bytes = number.to_le_bytes();
        bytes.reverse();
        Ok(Self::from_bytes(bytes))
    }
}

impl<T> AsField<u64> for Address<T> {
    fn encode_field(&self, out: &mut KeyBuf) {
        out.push_raw(&self.bytes);
    }
}

impl<T> Clone for Address<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Address<T> {}

impl<T> PartialEq for Address<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Address<T> {}

impl<T> PartialOrd for Address<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Address<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl<T> Hash for Address<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<T> fmt::Display for Address<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<T> fmt::Debug for Address<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{self}")
    }
}

impl<T> Serialize for Address<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Address<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 8]>::deserialize(deserializer).map(Self::from_bytes)
    }
}
