//! Keys and records as text and JSON, by what the catalog says of their table.
//!
//! Contract: what is shown is read back as the same bytes. Of a table with fields a key is its field, or an array of its fields,
//! and a record an object; bytes that are not what the catalog says are shown as `hex:..`, which stands for the whole encoded key
//! or record. Of a table without fields keys and records are bytes. A pointer is shown as the key it leads to.
//!
//! What it does not do: fields of a type of the user's own are shown as `hex:..` of their bytes; only the user's program knows more.

use crate::failure::Failure;
use crate::words;
use domains::schema::envelope::{self, EnvelopeReader, EnvelopeWriter, Rest};
use domains::schema::keys::{self, KeyBuf, KeyValue};
use domains::schema::{Field, FieldType, TableKind};
use lostore::TableInfo;
use serde_json::{Map, Value};

/// A table's structure, and those of the tables that its pointers may lead to.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// The table.
    pub(crate) info: &'a TableInfo,
    /// All tables.
    pub(crate) tables: &'a [TableInfo],
}

impl<'a> Shape<'a> {
    /// Whether keys are fields, and not just bytes.
    fn typed_key(self) -> bool {
        !self.info.spec.key.is_empty()
    }

    /// Whether records are fields, and not just bytes.
    fn typed_record(self) -> bool {
        !self.info.spec.record.is_empty()
    }

    /// A key's bytes from a word of the command line.
    pub(crate) fn key_from_word(self, word: &str) -> Result<Vec<u8>, Failure> {
        if !self.typed_key() || word.starts_with(words::HEX) {
            return words::read(word);
        }
        if self.info.spec.key.len() == 1 && !word.starts_with('[') {
            // Numbers and truth values are read from text too.
            return self.key_from_json(&Value::String(word.to_owned()));
        }
        self.key_from_json(&json(word)?)
    }

    /// The bytes that all keys begin with which begin so: all given fields but the last in full.
    pub(crate) fn prefix_from_word(self, word: &str) -> Result<Vec<u8>, Failure> {
        if word.is_empty() || !self.typed_key() || word.starts_with(words::HEX) {
            return words::read(word);
        }
        let single = self.info.spec.key.len() == 1 && !word.starts_with('[');
        let values = if single { vec![Value::String(word.to_owned())] } else { list(json(word)?) };
        let fields = &self.info.spec.key;
        let mut given = Vec::new();
        for (field, value) in fields.iter().zip(&values) {
            given.push(key_value(field, value)?);
        }
        if values.len() > fields.len() {
            return Err(self.too_many_fields(values.len()));
        }
        let open = match given.last() {
            Some(KeyValue::Text(text)) => Some(text.clone().into_bytes()),
            Some(KeyValue::Bytes(bytes)) => Some(bytes.clone()),
            Some(KeyValue::Unsigned(_) | KeyValue::Signed(_) | KeyValue::Bool(_)) | None => None,
        };
        if open.is_some() {
            given.pop();
        }
        let mut prefix = self.encode_key(&given)?;
        if let Some(open) = open {
            prefix.push_open_bytes(&open);
        }
        Ok(prefix.into_vec())
    }

    /// A key's bytes from JSON.
    pub(crate) fn key_from_json(self, value: &Value) -> Result<Vec<u8>, Failure> {
        if let Value::String(text) = value
            && let Some(bytes) = words::from_hex(text)
        {
            return bytes;
        }
        let fields = &self.info.spec.key;
        if fields.is_empty() {
            return match value {
                Value::String(text) => Ok(text.as_bytes().to_vec()),
                other => Err(self.not_bytes("key", other)),
            };
        }
        let values = if fields.len() == 1 && !value.is_array() { vec![value.clone()] } else { list(value.clone()) };
        if values.len() > fields.len() {
            return Err(self.too_many_fields(values.len()));
        }
        if values.len() < fields.len() {
            let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
            return Err(Failure::usage(
                format!("a key of '{}' has {} fields, {} were given", self.info.name, fields.len(), values.len()),
                format!("write them as [{}]", names.join(", ")),
            ));
        }
        let values: Result<Vec<KeyValue>, Failure> =
            fields.iter().zip(&values).map(|(field, value)| key_value(field, value)).collect();
        Ok(self.encode_key(&values?)?.into_vec())
    }

    /// A key as JSON.
    pub(crate) fn key_to_json(self, key: &[u8]) -> Value {
        let fields = &self.info.spec.key;
        if self.info.spec.kind == TableKind::Sack {
            return Value::String(words::to_hex(key));
        }
        if fields.is_empty() {
            return Value::String(words::show(key));
        }
        let Ok(values) = keys::decode(fields, key) else { return Value::String(words::to_hex(key)) };
        if let [value] = &values[..] {
            // Alone, `hex:..` would stand for the encoded key.
            return match value {
                KeyValue::Bytes(bytes) => text_json(bytes).unwrap_or_else(|| words::to_hex(key).into()),
                KeyValue::Text(text) => text_json(text.as_bytes()).unwrap_or_else(|| words::to_hex(key).into()),
                other => key_json(other),
            };
        }
        Value::Array(values.iter().map(key_json).collect())
    }

    /// A key as a word of the command line.
    pub(crate) fn key_to_word(self, key: &[u8]) -> String {
        match self.key_to_json(key) {
            Value::String(text) if !text.starts_with('[') || !self.typed_key() => text,
            Value::String(_) => words::to_hex(key),
            other => other.to_string(),
        }
    }

    /// A record's bytes from a word of the command line.
    pub(crate) fn record_from_word(self, word: &str) -> Result<Vec<u8>, Failure> {
        let bytes = words::read(word)?;
        if !self.typed_record() || word.starts_with(words::HEX) {
            return Ok(bytes);
        }
        let text = String::from_utf8(bytes).map_err(|_| self.not_an_object())?;
        self.record_from_json(&json(&text)?)
    }

    /// A record's bytes from JSON.
    pub(crate) fn record_from_json(self, value: &Value) -> Result<Vec<u8>, Failure> {
        if let Value::String(text) = value
            && let Some(bytes) = words::from_hex(text)
        {
            return bytes;
        }
        if !self.typed_record() {
            return match value {
                Value::String(text) => Ok(text.as_bytes().to_vec()),
                other => Err(self.not_bytes("record", other)),
            };
        }
        let Value::Object(given) = value else { return Err(self.not_an_object()) };
        let fields = &self.info.spec.record;
        if let Some(name) = given.keys().find(|name| !fields.iter().any(|field| field.name == **name)) {
            let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
            return Err(Failure::usage(
                format!("'{}' has no field '{name}'", self.info.name),
                format!("its fields are {}", names.join(", ")),
            ));
        }
        let (mut out, rest) = (Vec::new(), Rest::default());
        let mut writer = EnvelopeWriter::new(&mut out, fields.len(), &rest);
        for (at, field) in fields.iter().enumerate() {
            self.write_ruled(at, given.get(&field.name), &mut writer)?;
        }
        writer.finish();
        Ok(out)
    }

    /// A record as JSON.
    pub(crate) fn record_to_json(self, record: &[u8]) -> Value {
        if !self.typed_record() {
            return Value::String(words::show(record));
        }
        self.fields_to_json(record).unwrap_or_else(|| Value::String(words::to_hex(record)))
    }

    /// A record as a word of the command line.
    pub(crate) fn record_to_word(self, record: &[u8]) -> String {
        match self.record_to_json(record) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    fn fields_to_json(self, record: &[u8]) -> Option<Value> {
        let mut reader = EnvelopeReader::new(record).ok()?;
        let mut object = Map::new();
        for (at, field) in self.info.spec.record.iter().enumerate() {
            // A record from before the field was appended has none: it is what the catalog says it is then.
            let missing = || u16::try_from(at).ok().and_then(|at| self.info.spec.default_bytes(at));
            let Some(bytes) = reader.next_field().ok()?.or_else(missing) else { break };
            object.insert(field.name.clone(), self.field_json(field, bytes)?);
        }
        // Fields that the catalog does not know cannot be written back by name: the whole is shown as bytes.
        let rest = reader.rest().ok()?;
        let whole = object.len() == self.info.spec.record.len();
        (rest.is_empty() && whole).then_some(Value::Object(object))
    }

    fn field_json(self, field: &Field, bytes: &[u8]) -> Option<Value> {
        Some(match &field.field_type {
            FieldType::Unsigned(bits) => unsigned_json(unsigned_field(*bits, bytes)?),
            FieldType::Signed(bits) => signed_json(signed_field(*bits, bytes)?),
            FieldType::Bool => envelope::decode_field::<bool>(bytes).ok()?.into(),
            FieldType::Text => envelope::decode_field::<String>(bytes).ok()?.into(),
            FieldType::Bytes => {
                let bytes = envelope::field_bytes(bytes).ok()?;
                text_json(bytes).unwrap_or_else(|| words::to_hex(bytes).into())
            }
            FieldType::Pointer { table } => match envelope::pointer_target(bytes).ok()? {
                None => Value::Null,
                Some(key) => self.target(table).map_or_else(|| words::to_hex(key).into(), |to| to.key_to_json(key)),
            },
            FieldType::Other(_) => words::to_hex(bytes).into(),
        })
    }

    /// What the field at this position is where it is missing, as JSON.
    pub(crate) fn default_of(self, position: u16) -> Option<Value> {
        let spec = &self.info.spec;
        let (field, bytes) = (spec.record.get(usize::from(position))?, spec.default_bytes(position)?);
        self.field_json(field, bytes)
    }

    /// A field's bytes in a record, from JSON.
    pub(crate) fn field_to_bytes(self, field: &Field, value: &Value) -> Result<Vec<u8>, Failure> {
        let (mut record, rest) = (Vec::new(), Rest::default());
        let mut writer = EnvelopeWriter::new(&mut record, 1, &rest);
        self.write_field(field, Some(value), &mut writer)?;
        writer.finish();
        let field = envelope::field(&record, 0).ok().flatten();
        Ok(field.expect("one field was just written").to_vec())
    }

    /// Writes a field of a new record: what was given, else what it is where it is missing. It must keep its rules.
    fn write_ruled(self, at: usize, given: Option<&Value>, writer: &mut EnvelopeWriter<'_>) -> Result<(), Failure> {
        let (spec, field) = (&self.info.spec, &self.info.spec.record[at]);
        let position = u16::try_from(at).expect("a record has at most 1024 fields");
        let missing = if given.is_none() { spec.default_bytes(position) } else { None };
        let is_null = given.is_none() && matches!(field.field_type, FieldType::Pointer { .. });
        let told;
        let bytes = match missing {
            Some(bytes) => bytes,
            None if given.is_none() && !is_null => return self.write_field(field, None, writer),
            None if spec.is_required(position) || spec.range(position).is_some() => {
                told = self.field_to_bytes(field, given.unwrap_or(&Value::Null))?;
                &told
            }
            None => return self.write_field(field, given, writer),
        };
        spec.check_field(position, bytes).map_err(|breach| {
            let rules = crate::tables::fields::rules_text(self, at);
            let failure = Failure::usage(format!("field '{}' {breach}", field.name), format!("its rules are: {rules}"));
            Failure { code: Some(lostore::error::RULE_BROKEN), ..failure }
        })?;
        writer
            .field(&Verbatim(bytes))
            .map_err(|error| Failure::usage(format!("field '{}': {error}", field.name), "give another value"))
    }

    fn write_field(self, field: &Field, value: Option<&Value>, writer: &mut EnvelopeWriter<'_>) -> Result<(), Failure> {
        let wrong = || wrong_type(field);
        let wanted = || {
            Failure::usage(format!("field '{}' is missing", field.name), format!("it is of type {}", field.field_type))
        };
        if let FieldType::Pointer { table } = &field.field_type {
            let key = match value {
                None | Some(Value::Null) => Vec::new(),
                Some(value) => match self.target(table) {
                    Some(to) => to.key_from_json(value)?,
                    None => value.as_str().and_then(words::from_hex).ok_or_else(wrong)??,
                },
            };
            writer.bytes(&key);
            return Ok(());
        }
        let value = value.ok_or_else(wanted)?;
        let written = match &field.field_type {
            FieldType::Unsigned(bits) => return write_unsigned(*bits, value, field, writer),
            FieldType::Signed(bits) => return write_signed(*bits, value, field, writer),
            FieldType::Bool => writer.field(&value.as_bool().ok_or_else(wrong)?),
            FieldType::Text => writer.field(value.as_str().ok_or_else(wrong)?),
            FieldType::Bytes => {
                writer.bytes(&bytes_of(field, value)?);
                Ok(())
            }
            FieldType::Pointer { .. } => unreachable!("pointers were written above"),
            FieldType::Other(_) => {
                let bytes = value.as_str().and_then(words::from_hex).ok_or_else(wrong)??;
                writer.field(&Verbatim(&bytes))
            }
        };
        written.map_err(|error| Failure::usage(format!("field '{}': {error}", field.name), "give another value"))
    }

    fn target(self, table: &str) -> Option<Shape<'a>> {
        self.tables.iter().find(|info| info.name == table).map(|info| Shape { info, tables: self.tables })
    }

    fn encode_key(self, values: &[KeyValue]) -> Result<KeyBuf, Failure> {
        keys::encode(&self.info.spec.key, values).map_err(|error| {
            Failure::usage(
                format!("no key of '{}': {error}", self.info.name),
                "`lostore table info` shows the key's fields and their types",
            )
        })
    }

    fn too_many_fields(self, given: usize) -> Failure {
        let (fields, name) = (self.info.spec.key.len(), &self.info.name);
        Failure::usage(format!("a key of '{name}' has {fields} fields, {given} were given"), "leave the rest away")
    }

    fn not_an_object(self) -> Failure {
        let names: Vec<String> = self.info.spec.record.iter().map(|field| format!("\"{}\": ..", field.name)).collect();
        Failure::usage(
            format!("a record of '{}' has fields", self.info.name),
            format!("write it as {{{}}}", names.join(", ")),
        )
    }

    fn not_bytes(self, what: &str, value: &Value) -> Failure {
        Failure::usage(
            format!("table '{}' has no fields, so its {what} is text or hex:.., not {value}", self.info.name),
            "write it as a string, or make the table with fields (`lostore table create --help`)",
        )
    }
}

mod fields;

use fields::{
    Verbatim, bytes_of, json, key_json, key_value, list, signed_field, signed_json, text_json, unsigned_field,
    unsigned_json, write_signed, write_unsigned, wrong_type,
};

#[cfg(test)]
mod tests;
