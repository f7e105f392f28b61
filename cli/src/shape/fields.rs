//! Single fields between JSON and the bytes of keys and records.
//!
//! Contract: a number is a JSON number when it fits one (64 bits), else its digits as text; both are read. Bytes are text when
//! they are plain text, else `hex:..`.

use crate::failure::Failure;
use crate::words;
use domains::schema::envelope::{EnvelopeWriter, decode_field};
use domains::schema::keys::KeyValue;
use domains::schema::{Field, FieldType};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use serde_json::Value;

/// Bytes that are a field's encoding already.
pub(super) struct Verbatim<'a>(pub(super) &'a [u8]);

impl Serialize for Verbatim<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A tuple of bytes is just these bytes: no length stands before it.
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for byte in self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}

/// Text as JSON.
pub(super) fn json(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("'{text}' is not JSON ({error})"), "quote it for the shell as in '{\"age\": 3}'")
    })
}

/// A list's elements, or the one thing that is no list.
pub(super) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        other => vec![other],
    }
}

/// Bytes that are plain text as JSON text.
pub(super) fn text_json(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    words::is_plain(text).then(|| Value::String(text.to_owned()))
}

/// A key's field from JSON.
pub(super) fn key_value(field: &Field, value: &Value) -> Result<KeyValue, Failure> {
    let wrong = || wrong_type(field);
    Ok(match &field.field_type {
        FieldType::Unsigned(_) => KeyValue::Unsigned(unsigned_of(value).ok_or_else(wrong)?),
        FieldType::Signed(_) => KeyValue::Signed(signed_of(value).ok_or_else(wrong)?),
        FieldType::Bool => KeyValue::Bool(match value {
            Value::String(text) => text.parse().map_err(|_| wrong())?,
            other => other.as_bool().ok_or_else(wrong)?,
        }),
        FieldType::Text => KeyValue::Text(value.as_str().ok_or_else(wrong)?.to_owned()),
        FieldType::Bytes => KeyValue::Bytes(bytes_of(field, value)?),
        FieldType::Pointer { .. } | FieldType::Other(_) => return Err(wrong()),
    })
}

/// A key's field as JSON, among others.
pub(super) fn key_json(value: &KeyValue) -> Value {
    match value {
        KeyValue::Unsigned(number) => unsigned_json(*number),
        KeyValue::Signed(number) => signed_json(*number),
        KeyValue::Bool(value) => (*value).into(),
        KeyValue::Bytes(bytes) => text_json(bytes).unwrap_or_else(|| words::to_hex(bytes).into()),
        KeyValue::Text(text) => text.clone().into(),
    }
}

pub(super) fn bytes_of(field: &Field, value: &Value) -> Result<Vec<u8>, Failure> {
    let text = value.as_str().ok_or_else(|| wrong_type(field))?;
    words::from_hex(text).unwrap_or_else(|| Ok(text.as_bytes().to_vec()))
}

pub(super) fn wrong_type(field: &Field) -> Failure {
    let form = match &field.field_type {
        FieldType::Unsigned(_) | FieldType::Signed(_) => "write a number",
        FieldType::Bool => "write true or false",
        FieldType::Text => "write a string",
        FieldType::Bytes => "write a string, or \"hex:..\"",
        FieldType::Pointer { .. } => "write the key it leads to, or null",
        FieldType::Other(_) => "its bytes as \"hex:..\" are all that can be given without the program's types",
    };
    Failure::usage(format!("field '{}' is of type {}", field.name, field.field_type), form)
}

pub(super) fn unsigned_json(number: u128) -> Value {
    u64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from)
}

pub(super) fn signed_json(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from)
}

fn unsigned_of(value: &Value) -> Option<u128> {
    match value {
        Value::Number(number) => number.as_u64().map(u128::from),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn signed_of(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn unsigned_field(bits: u8, bytes: &[u8]) -> Option<u128> {
    match bits {
        8 => decode_field::<u8>(bytes).ok().map(u128::from),
        16 => decode_field::<u16>(bytes).ok().map(u128::from),
        32 => decode_field::<u32>(bytes).ok().map(u128::from),
        64 => decode_field::<u64>(bytes).ok().map(u128::from),
        128 => decode_field::<u128>(bytes).ok(),
        _ => None,
    }
}

pub(super) fn signed_field(bits: u8, bytes: &[u8]) -> Option<i128> {
    match bits {
        8 => decode_field::<i8>(bytes).ok().map(i128::from),
        16 => decode_field::<i16>(bytes).ok().map(i128::from),
        32 => decode_field::<i32>(bytes).ok().map(i128::from),
        64 => decode_field::<i64>(bytes).ok().map(i128::from),
        128 => decode_field::<i128>(bytes).ok(),
        _ => None,
    }
}

pub(super) fn write_unsigned(
    bits: u8,
    value: &Value,
    field: &Field,
    writer: &mut EnvelopeWriter<'_>,
) -> Result<(), Failure> {
    let number = unsigned_of(value).ok_or_else(|| wrong_type(field))?;
    let large = |_| too_large(field);
    let written = match bits {
        8 => writer.field(&u8::try_from(number).map_err(large)?),
        16 => writer.field(&u16::try_from(number).map_err(large)?),
        32 => writer.field(&u32::try_from(number).map_err(large)?),
        64 => writer.field(&u64::try_from(number).map_err(large)?),
        128 => writer.field(&number),
        _ => return Err(wrong_type(field)),
    };
    written.map_err(|_| too_large(field))
}

pub(super) fn write_signed(
    bits: u8,
    value: &Value,
    field: &Field,
    writer: &mut EnvelopeWriter<'_>,
) -> Result<(), Failure> {
    let number = signed_of(value).ok_or_else(|| wrong_type(field))?;
    let large = |_| too_large(field);
    let written = match bits {
        8 => writer.field(&i8::try_from(number).map_err(large)?),
        16 => writer.field(&i16::try_from(number).map_err(large)?),
        32 => writer.field(&i32::try_from(number).map_err(large)?),
        64 => writer.field(&i64::try_from(number).map_err(large)?),
        128 => writer.field(&number),
        _ => return Err(wrong_type(field)),
    };
    written.map_err(|_| too_large(field))
}

fn too_large(field: &Field) -> Failure {
    Failure::usage(
        format!("the number for field '{}' does not fit {}", field.name, field.field_type),
        "write a number that fits",
    )
}
