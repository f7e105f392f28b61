//! A table's spec as the catalog's record: an envelope of postcard fields, so that a spec may grow as any record may.
//!
//! Contract: [`TableSpec::from_bytes`] of [`TableSpec::to_bytes`] is the same spec; bytes that no spec has are an error.
//!
//! What it does not do: fields that a later program appended to a spec are not carried through a rewrite. A field without which pairs
//! would be misread has a bit of its own in the superblock's feature mask; rules have none, for who passes over them misreads nothing.
//! A rule of a later kind than a program knows is a spec that it cannot read, so such a kind has its bit too.

use super::envelope::{EnvelopeError, EnvelopeReader, EnvelopeWriter, Rest, decode_field};
use super::limits::{KEY_FIELDS_MAX, RECORD_FIELDS_MAX};
use super::rules::RULES_MAX;
use super::{Field, Rule, TableSpec};
use serde::de::DeserializeOwned;

/// Fields of a spec's record: name, kind, home, key, record, hint.
const SPEC_FIELDS: usize = 6;
/// The same and the rules, which a spec that has none does without.
const SPEC_FIELDS_RULED: usize = 7;

impl TableSpec {
    /// The spec as the catalog stores it.
    ///
    /// # Panics
    /// Never: everything in a spec can be written.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let rest = Rest::default();
        let mut writer = EnvelopeWriter::new(&mut out, self.fields(), &rest);
        let written = writer
            .field(&self.type_name)
            .and_then(|()| writer.field(&self.kind))
            .and_then(|()| writer.field(&self.home))
            .and_then(|()| writer.field(&self.key))
            .and_then(|()| writer.field(&self.record))
            .and_then(|()| writer.field(&self.pairs_hint))
            .and_then(|()| if self.rules.is_empty() { Ok(()) } else { writer.field(&self.rules) });
        written.expect("strings, numbers and lists of them can be written");
        writer.finish();
        out
    }

    /// The spec that these bytes hold.
    ///
    /// # Errors
    /// When they hold none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut reader = EnvelopeReader::new(bytes)?;
        let spec = Self {
            type_name: next(&mut reader)?,
            kind: next(&mut reader)?,
            home: next(&mut reader)?,
            key: next::<Vec<Field>>(&mut reader)?,
            record: next::<Vec<Field>>(&mut reader)?,
            pairs_hint: next(&mut reader)?,
            rules: reader.next_field()?.map_or(Ok(Vec::new()), decode_field::<Vec<Rule>>)?,
        };
        reader.rest()?;
        let sizes =
            [(spec.key.len(), KEY_FIELDS_MAX), (spec.record.len(), RECORD_FIELDS_MAX), (spec.rules.len(), RULES_MAX)];
        for (fields, limit) in sizes {
            if fields > limit {
                return Err(EnvelopeError::TooManyFields { fields: fields as u64 });
            }
        }
        Ok(spec)
    }

    fn fields(&self) -> usize {
        if self.rules.is_empty() { SPEC_FIELDS } else { SPEC_FIELDS_RULED }
    }
}

fn next<F: DeserializeOwned>(reader: &mut EnvelopeReader<'_>) -> Result<F, EnvelopeError> {
    decode_field(reader.next_field()?.ok_or(EnvelopeError::Truncated { at: 0 })?)
}

#[cfg(test)]
mod tests;
