//! Typed keys: which Rust types may be key fields, and what a caller may write where a key or the start of one is asked for.
//!
//! Contract: a table type's key is one field or a tuple of up to four; wherever a key is wanted, borrowed forms serve too
//! (`"a"` for a `String`, `b"a"` for a `Vec<u8>`), and wherever a range or prefix is wanted, the first fields alone do.
//!
//! What it does not do: the bytes are those of [`domains::schema::keys`]; this file only leads types to them.

use domains::schema::FieldType;
use domains::schema::keys::prefix_end;
pub use domains::schema::keys::{KeyBuf, KeyError, KeyReader};
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// A type that may be a field of a key. For a newtype of your own, lead each method to the inner type's.
pub trait KeyField: Sized {
    /// What the catalog says of it.
    fn field_type() -> FieldType;

    /// Appends its bytes, which must order as the values do.
    fn encode(&self, out: &mut KeyBuf);

    /// Reads it back.
    ///
    /// # Errors
    /// When the bytes are no such field.
    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError>;
}

/// A number that may be the key of a table whose keys the client hashed.
#[diagnostic::on_unimplemented(
    message = "the key of a `client_hash` table is a `u32` or `u64` that you hashed, not a `{Self}`",
    note = "leave `client_hash` away, and the store hashes the key"
)]
pub trait ClientHashed: KeyField {}

impl ClientHashed for u32 {}
impl ClientHashed for u64 {}

/// What the derive macro asks of the key of such a table.
#[doc(hidden)]
pub const fn hashed_by_client<K: ClientHashed>() {}

macro_rules! integer_field {
    ($($name:ident: $kind:ident, $push:ident, $read:ident);* $(;)?) => {$(
        impl KeyField for $name {
            fn field_type() -> FieldType {
                FieldType::$kind(u8::try_from($name::BITS).expect("an integer has at most 128 bits"))
            }

            fn encode(&self, out: &mut KeyBuf) {
                out.$push((*self).into(), size_of::<$name>());
            }

            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                let value = reader.$read(size_of::<$name>())?;
                Ok($name::try_from(value).expect("the reader took as many bytes as the type has"))
            }
        }
    )*};
}
integer_field! {
    u8: Unsigned, push_unsigned, unsigned;
    u16: Unsigned, push_unsigned, unsigned;
    u32: Unsigned, push_unsigned, unsigned;
    u64: Unsigned, push_unsigned, unsigned;
    u128: Unsigned, push_unsigned, unsigned;
    i8: Signed, push_signed, signed;
    i16: Signed, push_signed, signed;
    i32: Signed, push_signed, signed;
    i64: Signed, push_signed, signed;
    i128: Signed, push_signed, signed;
}

impl KeyField for bool {
    fn field_type() -> FieldType {
        FieldType::Bool
    }

    fn encode(&self, out: &mut KeyBuf) {
        out.push_bool(*self);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.bool()
    }
}

impl KeyField for String {
    fn field_type() -> FieldType {
        FieldType::Text
    }

    fn encode(&self, out: &mut KeyBuf) {
        out.push_bytes(self.as_bytes());
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.text()
    }
}

impl KeyField for Vec<u8> {
    fn field_type() -> FieldType {
        FieldType::Bytes
    }

    fn encode(&self, out: &mut KeyBuf) {
        out.push_bytes(self);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.bytes()
    }
}

/// A whole key: one [`KeyField`], or a tuple of two to four.
pub trait Key: Sized {
    /// Appends its bytes.
    fn encode(&self, out: &mut KeyBuf);

    /// Reads it back.
    ///
    /// # Errors
    /// When the bytes are no such key.
    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError>;
}

/// What may be written for the field `F` of a key.
pub trait AsField<F> {
    /// Appends the field's bytes.
    fn encode_field(&self, out: &mut KeyBuf);
}

impl<F: KeyField> AsField<F> for F {
    fn encode_field(&self, out: &mut KeyBuf) {
        self.encode(out);
    }
}

impl<F: KeyField> AsField<F> for &F {
    fn encode_field(&self, out: &mut KeyBuf) {
        (*self).encode(out);
    }
}

impl AsField<String> for &str {
    fn encode_field(&self, out: &mut KeyBuf) {
        out.push_bytes(self.as_bytes());
    }
}

impl AsField<Vec<u8>> for &[u8] {
    fn encode_field(&self, out: &mut KeyBuf) {
        out.push_bytes(self);
    }
}

impl<const N: usize> AsField<Vec<u8>> for &[u8; N] {
    fn encode_field(&self, out: &mut KeyBuf) {
        out.push_bytes(&self[..]);
    }
}

/// In a prefix, the beginning of a text or bytes field: `prefix((1, StartsWith("lib")))`.
#[derive(Clone, Copy, Debug)]
pub struct StartsWith<'a, S: ?Sized>(pub &'a S);

/// What may be written for the last field of a prefix: the field, or how it starts.
pub trait AsStart<F> {
    /// Appends the bytes that all such fields begin with.
    fn encode_start(&self, out: &mut KeyBuf);
}

impl<F, A: AsField<F>> AsStart<F> for A {
    fn encode_start(&self, out: &mut KeyBuf) {
        self.encode_field(out);
    }
}

impl AsStart<String> for StartsWith<'_, str> {
    fn encode_start(&self, out: &mut KeyBuf) {
        out.push_open_bytes(self.0.as_bytes());
    }
}

impl AsStart<Vec<u8>> for StartsWith<'_, [u8]> {
    fn encode_start(&self, out: &mut KeyBuf) {
        out.push_open_bytes(self.0);
    }
}

impl<const N: usize> AsStart<Vec<u8>> for StartsWith<'_, [u8; N]> {
    fn encode_start(&self, out: &mut KeyBuf) {
        out.push_open_bytes(&self.0[..]);
    }
}

/// What may be written for the key `K`.
pub trait AsKey<K> {
    /// Appends the key's bytes.
    fn encode_key(&self, out: &mut KeyBuf);

    /// The key's bytes.
    fn to_key(&self) -> KeyBuf {
        let mut out = KeyBuf::new();
        self.encode_key(&mut out);
        out
    }
}

/// What may be written for the start of a key `K`: its first fields, the last of them perhaps [`StartsWith`].
pub trait AsPrefix<K> {
    /// Appends the bytes that all such keys begin with.
    fn encode_prefix(&self, out: &mut KeyBuf);

    /// The bytes that all such keys begin with.
    fn to_prefix(&self) -> KeyBuf {
        let mut out = KeyBuf::new();
        self.encode_prefix(&mut out);
        out
    }
}

impl<F: KeyField> Key for F {
    fn encode(&self, out: &mut KeyBuf) {
        KeyField::encode(self, out);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        KeyField::decode(reader)
    }
}

impl<F: KeyField, A: AsField<F>> AsKey<F> for A {
    fn encode_key(&self, out: &mut KeyBuf) {
        self.encode_field(out);
    }
}

impl<F: KeyField, A: AsStart<F>> AsPrefix<F> for A {
    fn encode_prefix(&self, out: &mut KeyBuf) {
        self.encode_start(out);
    }
}

macro_rules! tuple_key {
    ($($field:ident $given:ident $at:tt),+) => {
        impl<$($field: KeyField),+> Key for ($($field,)+) {
            fn encode(&self, out: &mut KeyBuf) {
                $(KeyField::encode(&self.$at, out);)+
            }

            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(($(<$field as KeyField>::decode(reader)?,)+))
            }
        }

        impl<$($field: KeyField, $given: AsField<$field>),+> AsKey<($($field,)+)> for ($($given,)+) {
            fn encode_key(&self, out: &mut KeyBuf) {
                $(self.$at.encode_field(out);)+
            }
        }

        impl<$($field: KeyField, $given: AsField<$field>),+> AsKey<($($field,)+)> for &($($given,)+) {
            fn encode_key(&self, out: &mut KeyBuf) {
                $(self.$at.encode_field(out);)+
            }
        }
    };
}
tuple_key!(A GivenA 0, B GivenB 1);
tuple_key!(A GivenA 0, B GivenB 1, C GivenC 2);
tuple_key!(A GivenA 0, B GivenB 1, C GivenC 2, D GivenD 3);

macro_rules! tuple_prefix {
    ([$($field:ident),+] $($given:ident $of:ident $at:tt),*; $last:ident $last_of:ident $last_at:tt) => {
        impl<$($field: KeyField,)+ $($given: AsField<$of>,)* $last: AsStart<$last_of>> AsPrefix<($($field,)+)>
            for ($($given,)* $last,)
        {
            fn encode_prefix(&self, out: &mut KeyBuf) {
                $(self.$at.encode_field(out);)*
                self.$last_at.encode_start(out);
            }
        }
    };
}
tuple_prefix!([A, B] ; GivenA A 0);
tuple_prefix!([A, B] GivenA A 0; GivenB B 1);
tuple_prefix!([A, B, C] ; GivenA A 0);
tuple_prefix!([A, B, C] GivenA A 0; GivenB B 1);
tuple_prefix!([A, B, C] GivenA A 0, GivenB B 1; GivenC C 2);
tuple_prefix!([A, B, C, D] ; GivenA A 0);
tuple_prefix!([A, B, C, D] GivenA A 0; GivenB B 1);
tuple_prefix!([A, B, C, D] GivenA A 0, GivenB B 1; GivenC C 2);
tuple_prefix!([A, B, C, D] GivenA A 0, GivenB B 1, GivenC C 2; GivenD D 3);

/// From where to where an iteration goes, encoded: `start` itself included, `end` not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeySpan {
    /// The least key wanted; empty for the table's first.
    pub start: Vec<u8>,
    /// The first key not wanted any more; `None` for the table's end.
    pub end: Option<Vec<u8>>,
    /// Whether no key can lie in it.
    pub empty: bool,
}

impl KeySpan {
    /// All keys with this prefix.
    #[must_use]
    pub fn of_prefix(prefix: &[u8]) -> Self {
        Self { start: prefix.to_vec(), end: prefix_end(prefix), empty: false }
    }

    fn new<K, A: AsPrefix<K>>(start: Bound<&A>, end: Bound<&A>) -> Self {
        let mut span = Self::default();
        match start {
            Bound::Unbounded => {}
            Bound::Included(start) => span.start = start.to_prefix().into_vec(),
            Bound::Excluded(start) => match prefix_end(&start.to_prefix()) {
                Some(after) => span.start = after,
                None => span.empty = true,
            },
        }
        span.end = match end {
            Bound::Unbounded => None,
            Bound::Included(end) => prefix_end(&end.to_prefix()),
            Bound::Excluded(end) => Some(end.to_prefix().into_vec()),
        };
        span.empty |= span.end.as_ref().is_some_and(|end| *end <= span.start);
        span
    }

    /// Whether a key lies in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        !self.empty && key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }
}

/// What may be written for a range of keys `K`: any range whose ends are keys or their first fields. An end that is included
/// includes every key that begins with it.
pub trait KeyRange<K> {
    /// The range, encoded.
    fn to_span(&self) -> KeySpan;
}

impl<K> KeyRange<K> for RangeFull {
    fn to_span(&self) -> KeySpan {
        KeySpan::default()
    }
}

macro_rules! range {
    ($($range:ident: $it:ident => $start:expr, $end:expr;)*) => {$(
        impl<K, A: AsPrefix<K>> KeyRange<K> for $range<A> {
            fn to_span(&self) -> KeySpan {
                let $it = self;
                KeySpan::new::<K, A>($start, $end)
            }
        }
    )*};
}
range! {
    Range: it => Bound::Included(&it.start), Bound::Excluded(&it.end);
    RangeFrom: it => Bound::Included(&it.start), Bound::Unbounded;
    RangeTo: it => Bound::Unbounded, Bound::Excluded(&it.end);
    RangeInclusive: it => Bound::Included(it.start()), Bound::Included(it.end());
    RangeToInclusive: it => Bound::Unbounded, Bound::Included(&it.end);
}

impl<K, A: AsPrefix<K>> KeyRange<K> for (Bound<A>, Bound<A>) {
    fn to_span(&self) -> KeySpan {
        KeySpan::new::<K, A>(self.0.as_ref(), self.1.as_ref())
    }
}

#[cfg(test)]
mod tests;
