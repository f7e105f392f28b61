//! The record envelope: a version, a count, and each field as a length and postcard bytes.
//!
//! Contract: fields are only ever appended. A reader that knows fewer fields than a record has keeps the rest as bytes
//! ([`Rest`]) and writes them back; one that knows more finds them missing and takes its defaults. One field is found without
//! knowing any type ([`field`]), which is what following a pointer needs. The bytes are those of `design/schema.md`.
//!
//! Invariants: every length is checked against what is there; a number has one encoding only; no bytes are left over, neither
//! behind the last field nor inside one. Bad bytes are an error, never a panic.
//!
//! What it does not do: it has no checksum (the record's header has one) and does not know field names (the catalog does).

use super::limits::{NUMBER_BYTES_MAX, RECORD_FIELDS_MAX};
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};
use thiserror::Error as ThisError;

/// The envelope version that is written.
pub const ENVELOPE_VERSION: u8 = 1;

/// Why bytes are not a record, or a record cannot be written.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The bytes end before the record does.
    #[error("the record ends early, at byte {at}")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// The record was written by a later format.
    #[error("the record has envelope version {version}, this program reads {ENVELOPE_VERSION}")]
    Version {
        /// Its version.
        version: u8,
    },
    /// A count or length in more bytes than it needs, or too large.
    #[error("the record has a bad number at byte {at}")]
    BadNumber {
        /// Where.
        at: usize,
    },
    /// More fields than a record may have.
    #[error("the record has {fields} fields, the limit is {RECORD_FIELDS_MAX}")]
    TooManyFields {
        /// How many.
        fields: u64,
    },
    /// Bytes are left behind the last field.
    #[error("the record has {bytes} bytes behind its last field")]
    Leftover {
        /// How many.
        bytes: usize,
    },
    /// A field is not what its type asks for.
    #[error("the field's bytes are not of its type: {why}")]
    BadField {
        /// What the codec says.
        why: postcard::Error,
    },
    /// A field has bytes behind its value.
    #[error("the field has {bytes} bytes behind its value")]
    FieldLeftover {
        /// How many.
        bytes: usize,
    },
    /// A field's type cannot be written.
    #[error("the field cannot be written: {why}")]
    Unwritable {
        /// What the codec says.
        why: postcard::Error,
    },
}

/// Trailing fields of a record that the reader does not know, as they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rest {
    fields: usize,
    /// Each with its length before it.
    bytes: Vec<u8>,
}

impl Rest {
    /// How many fields.
    #[must_use]
    pub fn fields(&self) -> usize {
        self.fields
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields == 0
    }
}

/// Writes a record, field by field.
///
/// ```
/// use domains::schema::envelope::{EnvelopeWriter, Rest, field};
/// let (mut record, rest) = (Vec::new(), Rest::default());
/// let mut writer = EnvelopeWriter::new(&mut record, 2, &rest);
/// writer.field(&7_u32)?;
/// writer.bytes(b"name");
/// writer.finish();
/// assert_eq!(field(&record, 1)?, Some(&b"\x04name"[..]));
/// assert_eq!(field(&record, 2)?, None);
/// # Ok::<(), domains::schema::envelope::EnvelopeError>(())
/// ```
#[derive(Debug)]
pub struct EnvelopeWriter<'a> {
    out: &'a mut Vec<u8>,
    rest: &'a Rest,
    fields_to_come: usize,
}

impl<'a> EnvelopeWriter<'a> {
    /// Begins a record of `fields` fields and the rest.
    ///
    /// # Panics
    /// If those are more than a record may have: a type's fields are counted when it is compiled, a rest's when it is read.
    pub fn new(out: &'a mut Vec<u8>, fields: usize, rest: &'a Rest) -> Self {
        let all = fields + rest.fields;
        assert!(all <= RECORD_FIELDS_MAX, "a record has at most {RECORD_FIELDS_MAX} fields, not {all}");
        out.push(ENVELOPE_VERSION);
        push_number(out, all);
        Self { out, rest, fields_to_come: fields }
    }

    /// Appends a field of any serde type.
    ///
    /// # Errors
    /// When the type cannot be written (a sequence of unknown length, say).
    pub fn field<F: Serialize + ?Sized>(&mut self, value: &F) -> Result<(), EnvelopeError> {
        let length_at = self.begin();
        // Nearly every field is shorter than 128 bytes: its length takes this one byte.
        self.out.push(0);
        let start = self.out.len();
        postcard::serialize_with_flavor(value, Appender(self.out)).map_err(|why| EnvelopeError::Unwritable { why })?;
        let bytes = self.out.len() - start;
        if let Some(short) = u8::try_from(bytes).ok().filter(|&short| short < 0x80) {
            self.out[length_at] = short;
            return Ok(());
        }
        let mut length = Vec::with_capacity(NUMBER_BYTES_MAX);
        push_number(&mut length, bytes);
        self.out.splice(length_at..start, length);
        Ok(())
    }

    /// Appends a field of plain bytes: the same as a byte vector through [`Self::field`], but copied at once.
    pub fn bytes(&mut self, value: &[u8]) {
        self.begin();
        push_number(self.out, number_bytes(value.len()) + value.len());
        push_number(self.out, value.len());
        self.out.extend_from_slice(value);
    }

    /// Ends the record with the fields that its writer does not know.
    ///
    /// # Panics
    /// If fewer fields were written than announced.
    pub fn finish(self) {
        assert_eq!(self.fields_to_come, 0, "a record is finished when all its fields are written");
        self.out.extend_from_slice(&self.rest.bytes);
    }

    fn begin(&mut self) -> usize {
        assert!(self.fields_to_come > 0, "a record gets as many fields as it announced");
        self.fields_to_come -= 1;
        self.out.len()
    }
}

/// Reads a record, field by field.
#[derive(Clone, Debug)]
pub struct EnvelopeReader<'a> {
    bytes: &'a [u8],
    at: usize,
    fields_left: usize,
}

impl<'a> EnvelopeReader<'a> {
    /// Before the first field.
    ///
    /// # Errors
    /// When the bytes do not begin as a record.
    pub fn new(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let version = *bytes.first().ok_or(EnvelopeError::Truncated { at: 0 })?;
        if version != ENVELOPE_VERSION {
            return Err(EnvelopeError::Version { version });
        }
        let (fields, at) = number(bytes, 1)?;
        if fields > RECORD_FIELDS_MAX {
            return Err(EnvelopeError::TooManyFields { fields: fields as u64 });
        }
        Ok(Self { bytes, at, fields_left: fields })
    }

    /// How many fields are still to come.
    #[must_use]
    pub fn fields_left(&self) -> usize {
        self.fields_left
    }

    /// The next field's bytes; `None` behind the last.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn next_field(&mut self) -> Result<Option<&'a [u8]>, EnvelopeError> {
        if self.fields_left == 0 {
            return Ok(None);
        }
        let (length, start) = number(self.bytes, self.at)?;
        let truncated = EnvelopeError::Truncated { at: self.bytes.len() };
        let field = self.bytes[start..].get(..length).ok_or(truncated)?;
        self.at = start + length;
        self.fields_left -= 1;
        Ok(Some(field))
    }

    /// All fields that are still to come, as they are. Checks that the record ends with them.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn rest(mut self) -> Result<Rest, EnvelopeError> {
        let (start, fields) = (self.at, self.fields_left);
        while self.next_field()?.is_some() {}
        match self.bytes.len() - self.at {
            0 => Ok(Rest { fields, bytes: self.bytes[start..].to_vec() }),
            bytes => Err(EnvelopeError::Leftover { bytes }),
        }
    }
}

/// One field's bytes, found without knowing any type; `None` when the record was written before the field was appended.
///
/// # Errors
/// When the record is damaged up to the field.
pub fn field(record: &[u8], index: usize) -> Result<Option<&[u8]>, EnvelopeError> {
    let mut reader = EnvelopeReader::new(record)?;
    for _ in 0..index {
        if reader.next_field()?.is_none() {
            return Ok(None);
        }
    }
    reader.next_field()
}

/// The key that a pointer field names, encoded; `None` when the pointer is null.
///
/// # Errors
/// When the field is not a pointer's bytes.
pub fn pointer_target(field: &[u8]) -> Result<Option<&[u8]>, EnvelopeError> {
    let target = field_bytes(field)?;
    Ok((!target.is_empty()).then_some(target))
}

/// The bytes of a field that was written by [`EnvelopeWriter::bytes`], in place.
///
/// # Errors
/// When the field is not that.
pub fn field_bytes(field: &[u8]) -> Result<&[u8], EnvelopeError> {
    let (length, start) = number(field, 0)?;
    let bytes = &field[start..];
    if bytes.len() < length {
        return Err(EnvelopeError::Truncated { at: field.len() });
    }
    match bytes.len() - length {
        0 => Ok(bytes),
        bytes => Err(EnvelopeError::FieldLeftover { bytes }),
    }
}

/// A field as a value of its type.
///
/// # Errors
/// When the bytes are not of that type, or are more than the value.
pub fn decode_field<F: DeserializeOwned>(field: &[u8]) -> Result<F, EnvelopeError> {
    decode_borrowed(field)
}

fn decode_borrowed<'a, F: Deserialize<'a>>(field: &'a [u8]) -> Result<F, EnvelopeError> {
    let (value, left) = postcard::take_from_bytes(field).map_err(|why| EnvelopeError::BadField { why })?;
    match left.len() {
        0 => Ok(value),
        bytes => Err(EnvelopeError::FieldLeftover { bytes }),
    }
}

/// Where postcard writes: behind what is there, with no copy afterwards.
struct Appender<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appender<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends a number in groups of 7 bits, low ones first; the high bit says that more follow.
fn push_number(out: &mut Vec<u8>, number: usize) {
    let mut left = u32::try_from(number).expect("a record has at most 64 MiB and 1024 fields");
    while left >= 0x80 {
        out.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    out.push(left.to_le_bytes()[0]);
}

fn number_bytes(number: usize) -> usize {
    let bits = usize::BITS - number.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

/// The number at `at`, and where what follows begins.
fn number(bytes: &[u8], at: usize) -> Result<(usize, usize), EnvelopeError> {
    let mut value = 0_u64;
    for group in 0..NUMBER_BYTES_MAX {
        let byte = *bytes.get(at + group).ok_or(EnvelopeError::Truncated { at: bytes.len() })?;
        value |= u64::from(byte & 0x7F) << (7 * group);
        if byte & 0x80 == 0 {
            let over_long = byte == 0 && group > 0;
            let small = u32::try_from(value).ok().filter(|_| !over_long);
            let small = small.ok_or(EnvelopeError::BadNumber { at })?;
            return Ok((small as usize, at + group + 1));
        }
    }
    Err(EnvelopeError::BadNumber { at })
}

#[cfg(test)]
mod tests;
