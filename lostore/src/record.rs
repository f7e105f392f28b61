//! Typed records: what the derive macro writes for a table type, and a record as it was found.
//!
//! Contract: [`TableType`] turns a record into key and record bytes and back; `#[derive(TableType)]` is how one is made.
//! Fields of a record that this program does not know ride along in [`Found`] and are written back with it.

use crate::address::Address;
use crate::key::Key;
use crate::key::{KeyBuf, KeyError, KeyReader};
use crate::ptr::Ptr;
use crate::{PutOptions, Version};
use domains::PairRef;
use domains::schema::FieldType;
use domains::schema::TableSpec;
use domains::schema::envelope::{self, EnvelopeReader, EnvelopeWriter};
pub use domains::schema::envelope::{EnvelopeError, Rest};
use domains::schema::rules::Breach;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::type_name;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use thiserror::Error as ThisError;

/// A struct whose values are the pairs of a table. Made with `#[derive(TableType)]`.
pub trait TableType: Sized {
    /// The key's type: one field, a tuple, or an [`Address`].
    type Key: Key;
    /// The name of the table that pointers to this type lead to.
    const NAME: &'static str;
    /// How many fields the record has.
    const FIELDS: usize;

    /// The structure, as the catalog stores it.
    fn spec() -> TableSpec;

    /// Appends the key: of a sack's record the one it was `found` at, of any other what its key fields say.
    fn encode_key(&self, found: &[u8], out: &mut KeyBuf);

    /// Appends the record's bytes, those of unknown fields behind its own.
    ///
    /// # Errors
    /// When a field's type cannot be written.
    fn encode_record(&self, rest: &Rest, out: &mut Vec<u8>) -> Result<(), RecordError>;

    /// Reads a pair.
    ///
    /// # Errors
    /// When the bytes are no such pair.
    fn decode(key: &[u8], record: &[u8]) -> Result<(Self, Rest), RecordError>;
}

/// A table type whose key is in its fields.
#[diagnostic::on_unimplemented(
    message = "the records of `{Self}` have no key of their own",
    note = "a sack gives its records addresses: use `add`, or write back what was found"
)]
pub trait Keyed: TableType {}

/// A table type with an order: ranges, prefixes, backwards.
#[diagnostic::on_unimplemented(
    message = "the table type `{Self}` has no order",
    note = "write `#[table(ordered)]` above the struct, or use `iter`"
)]
pub trait Ordered: Keyed {}

/// A table type whose records lie at addresses that the store gives.
#[diagnostic::on_unimplemented(
    message = "the table type `{Self}` is not a sack",
    note = "write `#[table(sack)]` above the struct, or use `insert`"
)]
pub trait Sacked: TableType<Key = Address<Self>> {}

/// Why a pair's bytes are not a record of its type, or a record cannot be written.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
#[non_exhaustive]
pub enum RecordError {
    /// The key's bytes.
    #[error("key field '{field}': {why}")]
    Key {
        /// The field.
        field: &'static str,
        /// What is wrong.
        why: KeyError,
    },
    /// The envelope around the fields.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// One field.
    #[error("field '{field}': {why}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        why: EnvelopeError,
    },
    /// A field that the record lacks, and that has no default.
    #[error("field '{field}' is missing: the record was written before the field was, and it has no #[default]")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field breaks the rules of its own type; nothing was written.
    #[error("field '{field}' {breach}")]
    Rule {
        /// The field.
        field: &'static str,
        /// How.
        breach: Breach,
    },
}

/// A record as it was found in its table. It stands for the record itself; write it back (`txn.update(&table, &found)`) to keep
/// the fields that a later program has added, and its options: when it expires, and the compression flag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<T> {
    record: T,
    key: KeyBuf,
    version: Version,
    options: PutOptions,
    rest: Rest,
}

impl<T: TableType> Found<T> {
    pub(crate) fn decode(key: KeyBuf, pair: PairRef<'_>) -> Result<Self, RecordError> {
        let (record, rest) = T::decode(&key, pair.value)?;
        Ok(Self { record, key, version: pair.version, options: pair.options, rest })
    }
}

impl<T> Found<T> {
    /// The record's version, for compares. An update of the same transaction that is not committed yet has the version 0,
    /// which no pair ever has.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// When it expires, and the compression flag. Written back, it keeps both; `update_with` and the like give it others.
    #[must_use]
    pub fn options(&self) -> PutOptions {
        self.options
    }

    /// The key's bytes.
    #[must_use]
    pub fn key_bytes(&self) -> &[u8] {
        &self.key
    }

    /// How many fields the record has that this program does not know.
    #[must_use]
    pub fn unknown_fields(&self) -> usize {
        self.rest.fields()
    }

    /// The record alone, without what it was found with.
    #[must_use]
    pub fn into_record(self) -> T {
        self.record
    }
}

impl<T: Sacked> Found<T> {
    /// Where in its sack the record lies.
    ///
    /// # Panics
    /// Never: a sack's keys are addresses, which was checked when the record was read.
    #[must_use]
    pub fn address(&self) -> Address<T> {
        let mut reader = KeyReader::new(&self.key);
        <Address<T> as Key>::decode(&mut reader).expect("a sack's keys are addresses")
    }
}

impl<T> Deref for Found<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.record
    }
}

impl<T> DerefMut for Found<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.record
    }
}

/// What may be written to a table of `T`: a record, or one that was found.
pub trait Writes<T: TableType> {
    /// The record.
    fn record(&self) -> &T;

    /// The key it was found at; empty when it was not.
    fn found_key(&self) -> &[u8];

    /// Its unknown fields, when it is known which those are.
    fn rest(&self) -> Option<&Rest>;

    /// The options that it is written with unless others are given: those it was found with, else none.
    fn options(&self) -> PutOptions {
        PutOptions::default()
    }
}

impl<T: Keyed> Writes<T> for T {
    fn record(&self) -> &T {
        self
    }

    fn found_key(&self) -> &[u8] {
        &[]
    }

    fn rest(&self) -> Option<&Rest> {
        None
    }
}

impl<T: Keyed> Writes<T> for &T {
    fn record(&self) -> &T {
        self
    }

    fn found_key(&self) -> &[u8] {
        &[]
    }

    fn rest(&self) -> Option<&Rest> {
        None
    }
}

impl<T: TableType> Writes<T> for Found<T> {
    fn record(&self) -> &T {
        &self.record
    }

    fn found_key(&self) -> &[u8] {
        &self.key
    }

    fn rest(&self) -> Option<&Rest> {
        Some(&self.rest)
    }

    fn options(&self) -> PutOptions {
        self.options
    }
}

impl<T: TableType> Writes<T> for &Found<T> {
    fn record(&self) -> &T {
        &self.record
    }

    fn found_key(&self) -> &[u8] {
        &self.key
    }

    fn rest(&self) -> Option<&Rest> {
        Some(&self.rest)
    }

    fn options(&self) -> PutOptions {
        self.options
    }
}

/// Names a pointer field of the table type `T` that leads to `U`; the derive macro writes one for each, in capitals.
pub struct PtrField<T, U> {
    position: u16,
    types: PhantomData<fn(T) -> U>,
}

impl<T, U> PtrField<T, U> {
    /// The pointer field at this position of the record. For the derive macro.
    #[doc(hidden)]
    #[must_use]
    pub const fn at(position: u16) -> Self {
        Self { position, types: PhantomData }
    }

    /// Its position among the record's fields.
    #[must_use]
    pub const fn position(self) -> u16 {
        self.position
    }
}

impl<T, U> Clone for PtrField<T, U> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, U> Copy for PtrField<T, U> {}

impl<T, U> std::fmt::Debug for PtrField<T, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "field {} of {}", self.position, type_name::<T>())
    }
}

/// What a field's type is for the catalog. The few types that have a meaning there are named, any other by its Rust name.
#[must_use]
pub fn field_type_named(name: &str) -> FieldType {
    let plain: String = name.chars().filter(|letter| !letter.is_whitespace()).collect();
    match plain.as_str() {
        "u8" => FieldType::Unsigned(8),
        "u16" => FieldType::Unsigned(16),
        "u32" => FieldType::Unsigned(32),
        "u64" => FieldType::Unsigned(64),
        "u128" => FieldType::Unsigned(128),
        "i8" => FieldType::Signed(8),
        "i16" => FieldType::Signed(16),
        "i32" => FieldType::Signed(32),
        "i64" => FieldType::Signed(64),
        "i128" => FieldType::Signed(128),
        "bool" => FieldType::Bool,
        "String" => FieldType::Text,
        "Vec<u8>" => FieldType::Bytes,
        _ => FieldType::Other(plain),
    }
}

/// Writes a record's fields, each error with the field's name. For the derive macro.
#[derive(Debug)]
pub struct Writer<'a>(EnvelopeWriter<'a>);

impl<'a> Writer<'a> {
    /// Begins a record.
    pub fn new(out: &'a mut Vec<u8>, fields: usize, rest: &'a Rest) -> Self {
        Self(EnvelopeWriter::new(out, fields, rest))
    }

    /// A field of any serde type.
    ///
    /// # Errors
    /// When the type cannot be written.
    pub fn field<F: Serialize>(&mut self, field: &'static str, value: &F) -> Result<(), RecordError> {
        self.0.field(value).map_err(|why| RecordError::Field { field, why })
    }

    /// A field of bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.0.bytes(value);
    }

    /// A pointer.
    pub fn pointer<T>(&mut self, value: &Ptr<T>) {
        self.0.bytes(value.key_bytes());
    }

    /// Ends the record.
    pub fn finish(self) {
        self.0.finish();
    }
}

/// Reads a pair's fields in order, each error with the field's name. For the derive macro.
#[derive(Debug)]
pub struct Reader<'a> {
    key: KeyReader<'a>,
    record: EnvelopeReader<'a>,
}

impl<'a> Reader<'a> {
    /// Before the first field.
    ///
    /// # Errors
    /// When the record does not begin as one.
    pub fn new(key: &'a [u8], record: &'a [u8]) -> Result<Self, RecordError> {
        let record = EnvelopeReader::new(record).map_err(RecordError::Envelope)?;
        Ok(Self { key: KeyReader::new(key), record })
    }

    /// The key's next field.
    ///
    /// # Errors
    /// When the bytes are no such field.
    pub fn key<F: Key>(&mut self, field: &'static str) -> Result<F, RecordError> {
        F::decode(&mut self.key).map_err(|why| RecordError::Key { field, why })
    }

    /// The record's next field, of any serde type.
    ///
    /// # Errors
    /// When the bytes are no such field, or it is missing and has no default.
    pub fn field<F: DeserializeOwned>(
        &mut self,
        field: &'static str,
        default: Option<fn() -> F>,
    ) -> Result<F, RecordError> {
        self.read(field, default, envelope::decode_field)
    }

    /// The record's next field, of bytes.
    ///
    /// # Errors
    /// As [`Self::field`].
    pub fn bytes(&mut self, field: &'static str, default: Option<fn() -> Vec<u8>>) -> Result<Vec<u8>, RecordError> {
        self.read(field, default, |bytes| envelope::field_bytes(bytes).map(<[u8]>::to_vec))
    }

    /// The record's next field, a pointer.
    ///
    /// # Errors
    /// As [`Self::field`].
    pub fn pointer<T>(&mut self, field: &'static str, default: Option<fn() -> Ptr<T>>) -> Result<Ptr<T>, RecordError> {
        self.read(field, default, |bytes| envelope::field_bytes(bytes).map(|key| Ptr::from_key(KeyBuf::from(key))))
    }

    /// The fields that the type does not know; checks that key and record end there.
    ///
    /// # Errors
    /// When they do not.
    pub fn rest(self) -> Result<Rest, RecordError> {
        self.key.finish().map_err(|why| RecordError::Key { field: "(end)", why })?;
        self.record.rest().map_err(RecordError::Envelope)
    }

    fn read<F>(
        &mut self,
        field: &'static str,
        default: Option<fn() -> F>,
        decode: impl FnOnce(&'a [u8]) -> Result<F, EnvelopeError>,
    ) -> Result<F, RecordError> {
        match (self.record.next_field().map_err(RecordError::Envelope)?, default) {
            (Some(bytes), _) => decode(bytes).map_err(|why| RecordError::Field { field, why }),
            (None, Some(default)) => Ok(default()),
            (None, None) => Err(RecordError::Missing { field }),
        }
    }
}
