//! The order-preserving key codec: a tuple of fields as bytes that compare as the tuple does.
//!
//! Contract: for tuples of the same field types `a < b` exactly when `encode(a) < encode(b)` bytewise; the encoding of the first
//! fields of a tuple is a prefix of the encoding of the whole; no encoded tuple is a proper prefix of another with as many
//! fields. The bytes are those of `design/schema.md`, which is the system of record.
//!
//! Invariants: an encoding has exactly one decoding and the other way round, so equal keys are equal bytes.
//!
//! What it does not do: it writes no field types into the bytes (the catalog has them), and knows no null: a key has all its
//! fields.

use super::limits::{KEY_FIELDS_MAX, KEY_INLINE_BYTES};
use super::{Field, FieldType};
use smallvec::SmallVec;
use std::ops::Deref;
use thiserror::Error as ThisError;

/// Stands for a zero byte inside bytes or text, behind the zero itself.
const ZERO_INSIDE: u8 = 0xFF;
/// Ends bytes or text, behind a zero. Below [`ZERO_INSIDE`], so that what ends sorts before what goes on.
const ZERO_END: u8 = 0x01;

/// Why bytes are not a key, or values do not make one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ThisError)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes end inside a field.
    #[error("the key ends inside a field, at byte {at}")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// Bytes are left behind the last field.
    #[error("the key has {bytes} bytes behind its last field")]
    Leftover {
        /// How many.
        bytes: usize,
    },
    /// A zero byte inside bytes or text is followed by neither mark.
    #[error("the key has a zero byte at {at} that neither ends the field nor stands for itself")]
    BadMark {
        /// Where.
        at: usize,
    },
    /// A truth value that is neither 0 nor 1.
    #[error("the key has {value} at {at} where 0 or 1 belongs")]
    BadBool {
        /// Where.
        at: usize,
        /// What is there.
        value: u8,
    },
    /// Text that is not UTF-8.
    #[error("the key's text that ends at byte {at} is not utf-8")]
    BadText {
        /// Where it ends.
        at: usize,
    },
    /// A value of another type than the field's, or too large for it.
    #[error("the value given for key field {field} does not fit its type")]
    WrongType {
        /// The field's position.
        field: usize,
    },
    /// More values than the key has fields.
    #[error("{given} values were given for a key of {fields} fields")]
    TooManyFields {
        /// How many were given.
        given: usize,
        /// How many there are.
        fields: usize,
    },
    /// A field type that no key may have.
    #[error("key field {field} has a type without an order (pointers and own types stand in records only)")]
    NoOrder {
        /// The field's position.
        field: usize,
    },
}

/// A key being written. Short keys take no memory of their own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct KeyBuf(SmallVec<[u8; KEY_INLINE_BYTES]>);

impl KeyBuf {
    /// An empty key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes as they are: what is encoded already, or the start of bytes whose end is open (for a prefix).
    pub fn push_raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The bytes as a vector.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0.into_vec()
    }

    /// Appends an unsigned integer of `width` bytes.
    ///
    /// # Panics
    /// If the width is none of 1, 2, 4, 8, 16, or the value needs more: both are chosen by our own types.
    pub fn push_unsigned(&mut self, value: u128, width: usize) {
        assert!(matches!(width, 1 | 2 | 4 | 8 | 16), "a key's integer has 8 to 128 bits, not {}", width * 8);
        assert!(width == 16 || value >> (8 * width) == 0, "{value} needs more than {width} bytes");
        let mut bytes = value.to_le_bytes();
        bytes.reverse();
        self.push_raw(&bytes[16 - width..]);
    }

    /// Appends a signed integer of `width` bytes: its sign bit is turned round, so that negative numbers come first.
    ///
    /// # Panics
    /// As [`Self::push_unsigned`].
    pub fn push_signed(&mut self, value: i128, width: usize) {
        assert!(matches!(width, 1 | 2 | 4 | 8 | 16), "a key's integer has 8 to 128 bits, not {}", width * 8);
        let sign = 1_u128 << (8 * width - 1);
        let turned = value.cast_unsigned() & low_bits(width) ^ sign;
        assert_eq!(signed_of(turned, width), value, "{value} needs more than {width} bytes");
        self.push_unsigned(turned, width);
    }

    /// Appends a truth value; false sorts first.
    pub fn push_bool(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    /// Appends bytes with their end mark.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.push_open_bytes(bytes);
        self.push_raw(&[0, ZERO_END]);
    }

    /// Appends bytes without an end mark: all that begins with them has this prefix.
    pub fn push_open_bytes(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(zero) = rest.iter().position(|&byte| byte == 0) {
            self.push_raw(&rest[..=zero]);
            self.0.push(ZERO_INSIDE);
            rest = &rest[zero + 1..];
        }
        self.push_raw(rest);
    }
}

impl Deref for KeyBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for KeyBuf {
    fn from(bytes: &[u8]) -> Self {
        Self(SmallVec::from_slice(bytes))
    }
}

/// A key being read, field by field.
#[derive(Clone, Debug)]
pub struct KeyReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> KeyReader<'a> {
    /// Before the first field.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Reads an unsigned integer of `width` bytes.
    ///
    /// # Errors
    /// When the key ends before.
    ///
    /// # Panics
    /// If the width is none that a key may have.
    pub fn unsigned(&mut self, width: usize) -> Result<u128, KeyError> {
        assert!(matches!(width, 1 | 2 | 4 | 8 | 16), "a key's integer has 8 to 128 bits, not {}", width * 8);
        let taken = self.take(width)?;
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(taken.iter().rev()) {
            *to = *from;
        }
        Ok(u128::from_le_bytes(bytes))
    }

    /// Reads a signed integer of `width` bytes.
    ///
    /// # Errors
    /// When the key ends before.
    pub fn signed(&mut self, width: usize) -> Result<i128, KeyError> {
        Ok(signed_of(self.unsigned(width)?, width))
    }

    /// Reads a truth value.
    ///
    /// # Errors
    /// When the key ends before, or has neither 0 nor 1 there.
    pub fn bool(&mut self) -> Result<bool, KeyError> {
        let at = self.at;
        match self.take(1)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(KeyError::BadBool { at, value }),
        }
    }

    /// Reads bytes up to their end mark.
    ///
    /// # Errors
    /// When the mark is missing, or a zero byte stands for nothing.
    pub fn bytes(&mut self) -> Result<Vec<u8>, KeyError> {
        let mut out = Vec::new();
        loop {
            let rest = &self.bytes[self.at..];
            let Some(zero) = rest.iter().position(|&byte| byte == 0) else {
                return Err(KeyError::Truncated { at: self.bytes.len() });
            };
            out.extend_from_slice(&rest[..zero]);
            let mark = self.at + zero + 1;
            match self.bytes.get(mark) {
                None => return Err(KeyError::Truncated { at: mark }),
                Some(&ZERO_END) => {
                    self.at = mark + 1;
                    return Ok(out);
                }
                Some(&ZERO_INSIDE) => {
                    out.push(0);
                    self.at = mark + 1;
                }
                Some(_) => return Err(KeyError::BadMark { at: mark - 1 }),
            }
        }
    }

    /// Reads text up to its end mark.
    ///
    /// # Errors
    /// As [`Self::bytes`], and when it is not UTF-8.
    pub fn text(&mut self) -> Result<String, KeyError> {
        String::from_utf8(self.bytes()?).map_err(|_| KeyError::BadText { at: self.at })
    }

    /// Says that the key has no more fields.
    ///
    /// # Errors
    /// When it has more bytes.
    pub fn finish(&self) -> Result<(), KeyError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            bytes => Err(KeyError::Leftover { bytes }),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], KeyError> {
        let taken = self.bytes[self.at..].get(..count).ok_or(KeyError::Truncated { at: self.bytes.len() })?;
        self.at += count;
        Ok(taken)
    }
}

/// A key's field as a value: for those who know the table's spec but not the user's types (shell, inspect, verify).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum KeyValue {
    /// An unsigned integer of any width.
    Unsigned(u128),
    /// A signed integer of any width.
    Signed(i128),
    /// True or false.
    Bool(bool),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// UTF-8 text.
    Text(String),
}

/// Encodes values as the first fields of a key; fewer values than fields make a prefix.
///
/// ```
/// use domains::schema::keys::{KeyValue, decode, encode};
/// use domains::schema::{Field, FieldType};
/// let fields = [Field { name: "parent".into(), field_type: FieldType::Unsigned(64) }];
/// let key = encode(&fields, &[KeyValue::Unsigned(7)])?;
/// assert_eq!(&key[..], [0, 0, 0, 0, 0, 0, 0, 7]);
/// assert_eq!(decode(&fields, &key)?, [KeyValue::Unsigned(7)]);
/// # Ok::<(), domains::schema::keys::KeyError>(())
/// ```
///
/// # Errors
/// When a value does not fit its field.
pub fn encode(fields: &[Field], values: &[KeyValue]) -> Result<KeyBuf, KeyError> {
    if values.len() > fields.len() {
        return Err(KeyError::TooManyFields { given: values.len(), fields: fields.len() });
    }
    let mut out = KeyBuf::new();
    for (at, (field, value)) in fields.iter().zip(values).enumerate() {
        encode_value(at, &field.field_type, value, &mut out)?;
    }
    Ok(out)
}

/// Decodes a whole key.
///
/// # Errors
/// When the bytes are not a key of these fields.
pub fn decode(fields: &[Field], bytes: &[u8]) -> Result<Vec<KeyValue>, KeyError> {
    if fields.len() > KEY_FIELDS_MAX {
        return Err(KeyError::TooManyFields { given: fields.len(), fields: KEY_FIELDS_MAX });
    }
    let mut reader = KeyReader::new(bytes);
    let mut values = Vec::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        values.push(match &field.field_type {
            FieldType::Unsigned(bits) => KeyValue::Unsigned(reader.unsigned(width_of(at, *bits)?)?),
            FieldType::Signed(bits) => KeyValue::Signed(reader.signed(width_of(at, *bits)?)?),
            FieldType::Bool => KeyValue::Bool(reader.bool()?),
            FieldType::Bytes => KeyValue::Bytes(reader.bytes()?),
            FieldType::Text => KeyValue::Text(reader.text()?),
            FieldType::Pointer { .. } | FieldType::Other(_) => return Err(KeyError::NoOrder { field: at }),
        });
    }
    reader.finish()?;
    Ok(values)
}

/// The least key that is greater than every key with this prefix; `None` when there is none (nothing but 0xFF).
///
/// ```
/// use domains::schema::keys::prefix_end;
/// assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
/// assert_eq!(prefix_end(&[7, 0xFF]), Some(vec![8]));
/// assert_eq!(prefix_end(&[0xFF]), None);
/// ```
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xFF)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn encode_value(at: usize, field_type: &FieldType, value: &KeyValue, out: &mut KeyBuf) -> Result<(), KeyError> {
    match (field_type, value) {
        (FieldType::Unsigned(bits), KeyValue::Unsigned(value)) => {
            let width = width_of(at, *bits)?;
            if *value > low_bits(width) {
                return Err(KeyError::WrongType { field: at });
            }
            out.push_unsigned(*value, width);
        }
        (FieldType::Signed(bits), KeyValue::Signed(value)) => {
            let width = width_of(at, *bits)?;
            if !fits_signed(*value, width) {
                return Err(KeyError::WrongType { field: at });
            }
            out.push_signed(*value, width);
        }
        (FieldType::Bool, KeyValue::Bool(value)) => out.push_bool(*value),
        (FieldType::Bytes, KeyValue::Bytes(value)) => out.push_bytes(value),
        (FieldType::Text, KeyValue::Text(value)) => out.push_bytes(value.as_bytes()),
        (FieldType::Pointer { .. } | FieldType::Other(_), _) => return Err(KeyError::NoOrder { field: at }),
        _ => return Err(KeyError::WrongType { field: at }),
    }
    Ok(())
}

/// The bytes of an integer of so many bits. A spec comes from a device, so a width that cannot be is an error.
fn width_of(at: usize, bits: u8) -> Result<usize, KeyError> {
    match bits {
        8 | 16 | 32 | 64 | 128 => Ok(usize::from(bits / 8)),
        _ => Err(KeyError::NoOrder { field: at }),
    }
}

fn low_bits(width: usize) -> u128 {
    u128::MAX >> (128 - 8 * width)
}

fn fits_signed(value: i128, width: usize) -> bool {
    let shift = 128 - 8 * width;
    value << shift >> shift == value
}

/// The number whose sign bit was turned round.
fn signed_of(turned: u128, width: usize) -> i128 {
    let shift = 128 - 8 * width;
    let sign = 1_u128 << (8 * width - 1);
    ((turned ^ sign) << shift).cast_signed() >> shift
}

#[cfg(test)]
mod tests;
