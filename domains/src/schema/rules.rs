//! Rules: what a table's fields are held to beyond their types, how its records have grown, and how wide its index's slots are.
//!
//! Contract: a rule is data of the table's spec, so every program and tool sees the same one. Who writes typed records is held to
//! the rules of its own type before anything is sent; who looks at a whole store ([`breach`] of each field) finds what others wrote.
//! A commit does not look at them: to the store a record is bytes, and a pointer's target may come later or go first.
//!
//! Invariants: a rule names a field that the record has, and one that it can speak of (`check`). Of each kind a field has one.

use super::envelope::{EnvelopeError, decode_field, pointer_target};
use super::limits::RECORD_FIELDS_MAX;
use super::{FieldType, TableKind, TableSpec};
use crate::error::Error;
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

/// Most rules of a spec: a requirement, a range and a default for each field, and as many steps of growth.
pub const RULES_MAX: usize = 4 * RECORD_FIELDS_MAX;

/// A rule of a table. Numbers are never reused. A field is named by its position in the record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Rule {
    /// The pointer is not null.
    Required {
        /// The field.
        field: u16,
    },
    /// The number lies between these two, both included.
    Range {
        /// The field.
        field: u16,
        /// The least that it may be.
        least: i128,
        /// The most that it may be.
        most: i128,
    },
    /// What the field is in records from before it was appended, as its bytes in an envelope. For tools: a program takes its own.
    Default {
        /// The field.
        field: u16,
        /// The bytes.
        value: Vec<u8>,
    },
    /// The record once had so many fields: those behind them were appended later. In the order of time.
    Grown {
        /// How many.
        fields: u16,
    },
    /// Of a hash table: its index has slots of 8 bytes. A hint: it changes what an overwrite reads, and never a result.
    CompactSlots,
}

/// What is wrong with a rule itself. Reads as `the rule of field '{field}' {why}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRule {
    /// The field's name, or its position when there is no such field.
    pub field: String,
    /// What is wrong.
    pub why: &'static str,
}

/// How a field is not what its rules say.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
#[non_exhaustive]
pub enum Breach {
    /// It is a pointer that must lead somewhere.
    #[error("is null and must not be")]
    Null,
    /// It is a number out of its range.
    #[error("is {value} and must lie between {least} and {most}")]
    OutOfRange {
        /// The number; of one above all `i128` the largest of those.
        value: i128,
        /// The least that it may be.
        least: i128,
        /// The most that it may be.
        most: i128,
    },
    /// It is not of its type.
    #[error("is not of its type: {0}")]
    NotOfType(#[from] EnvelopeError),
}

impl TableSpec {
    /// Whether the field is a pointer that must not be null.
    #[must_use]
    pub fn is_required(&self, field: u16) -> bool {
        self.rules.contains(&Rule::Required { field })
    }

    /// The least and the most that the field may be.
    #[must_use]
    pub fn range(&self, field: u16) -> Option<(i128, i128)> {
        self.rules.iter().find_map(|rule| match rule {
            Rule::Range { field: of, least, most } if *of == field => Some((*least, *most)),
            Rule::Range { .. }
            | Rule::Required { .. }
            | Rule::Default { .. }
            | Rule::Grown { .. }
            | Rule::CompactSlots => None,
        })
    }

    /// The bytes of the field in records from before it was appended, as far as the program that appended it has told.
    #[must_use]
    pub fn default_bytes(&self, field: u16) -> Option<&[u8]> {
        self.rules.iter().find_map(|rule| match rule {
            Rule::Default { field: of, value } if *of == field => Some(&value[..]),
            Rule::Default { .. }
            | Rule::Required { .. }
            | Rule::Range { .. }
            | Rule::Grown { .. }
            | Rule::CompactSlots => None,
        })
    }

    /// Whether its index is to have slots of 8 bytes.
    #[must_use]
    pub fn has_compact_slots(&self) -> bool {
        self.rules.contains(&Rule::CompactSlots)
    }

    /// How wide the slots of its index are to be, as commands and messages have it; nothing of a table that is no hash table.
    #[must_use]
    pub fn slots_name(&self) -> Option<&'static str> {
        match self.kind {
            TableKind::Hash | TableKind::ClientHash if self.has_compact_slots() => Some("compact"),
            TableKind::Hash | TableKind::ClientHash => Some("wide"),
            TableKind::Ordered | TableKind::Sack => None,
        }
    }

    /// Whether the slots that it asks for can be.
    pub(crate) fn check_slots(&self) -> Result<(), Error> {
        if self.has_compact_slots() && self.slots_name().is_none() {
            return Err(Error::SlotsOfKind { kind: self.kind });
        }
        Ok(())
    }

    /// How often the record has grown, plus one: the schema's version.
    #[must_use]
    pub fn revision(&self) -> usize {
        1 + self.growth().count()
    }

    /// The version of the schema that the field came with.
    #[must_use]
    pub fn revision_of(&self, field: u16) -> usize {
        1 + self.growth().filter(|fields| *fields <= field).count()
    }

    fn growth(&self) -> impl Iterator<Item = u16> {
        self.rules.iter().filter_map(|rule| match rule {
            Rule::Grown { fields } => Some(*fields),
            Rule::Required { .. } | Rule::Range { .. } | Rule::Default { .. } | Rule::CompactSlots => None,
        })
    }

    /// Checks a field's bytes, as they stand in an envelope, against the rules.
    ///
    /// # Errors
    /// How the field is not what they say.
    pub fn check_field(&self, field: u16, bytes: &[u8]) -> Result<(), Breach> {
        let Some(of) = self.record.get(usize::from(field)) else { return Ok(()) };
        if let FieldType::Pointer { .. } = of.field_type {
            return match pointer_target(bytes)? {
                None if self.is_required(field) => Err(Breach::Null),
                None | Some(_) => Ok(()),
            };
        }
        let Some((least, most)) = self.range(field) else { return Ok(()) };
        match number(&of.field_type, bytes)? {
            Some(value) if value < least || value > most => Err(Breach::OutOfRange { value, least, most }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Rule {
    /// The field it is about; none when it is about the record.
    #[must_use]
    pub fn field(&self) -> Option<u16> {
        match self {
            Self::Required { field } | Self::Range { field, .. } | Self::Default { field, .. } => Some(*field),
            Self::Grown { .. } | Self::CompactSlots => None,
        }
    }

    /// Whether the other says the same kind of thing about the same field.
    fn is_about_as(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.field() == other.field()
    }
}

/// Whether the rules of a spec can stand.
///
/// # Errors
/// The first that cannot.
pub fn check(spec: &TableSpec) -> Result<(), BadRule> {
    for (at, rule) in spec.rules.iter().enumerate() {
        let Some(field) = rule.field() else { continue };
        let bad = |field: &str, why| Err(BadRule { field: field.to_owned(), why });
        let Some(of) = spec.record.get(usize::from(field)) else {
            return bad(&field.to_string(), "is about a field that the record does not have");
        };
        let is_number = matches!(of.field_type, FieldType::Unsigned(_) | FieldType::Signed(_));
        let is_pointer = matches!(of.field_type, FieldType::Pointer { .. });
        match rule {
            Rule::Required { .. } if !is_pointer => {
                return bad(&of.name, "requires it, but only a pointer can be null");
            }
            Rule::Range { .. } if !is_number => return bad(&of.name, "gives a range, but it is no number"),
            Rule::Range { least, most, .. } if least > most => {
                return bad(&of.name, "gives a range with nothing in it");
            }
            Rule::Required { .. }
            | Rule::Range { .. }
            | Rule::Default { .. }
            | Rule::Grown { .. }
            | Rule::CompactSlots => {}
        }
        if let Rule::Default { value, .. } = rule
            && spec.check_field(field, value).is_err()
        {
            return bad(&of.name, "gives a default that breaks the field's own rules");
        }
        if spec.rules[..at].iter().any(|earlier| earlier.is_about_as(rule)) {
            return bad(&of.name, "is there twice");
        }
    }
    Ok(())
}

/// An integer field's number; of one above all `i128` the largest of those, none of a field that is no integer.
fn number(field_type: &FieldType, bytes: &[u8]) -> Result<Option<i128>, EnvelopeError> {
    Ok(Some(match field_type {
        FieldType::Unsigned(8) => decode_field::<u8>(bytes)?.into(),
        FieldType::Unsigned(16) => decode_field::<u16>(bytes)?.into(),
        FieldType::Unsigned(32) => decode_field::<u32>(bytes)?.into(),
        FieldType::Unsigned(64) => decode_field::<u64>(bytes)?.into(),
        FieldType::Unsigned(128) => i128::try_from(decode_field::<u128>(bytes)?).unwrap_or(i128::MAX),
        FieldType::Signed(8) => decode_field::<i8>(bytes)?.into(),
        FieldType::Signed(16) => decode_field::<i16>(bytes)?.into(),
        FieldType::Signed(32) => decode_field::<i32>(bytes)?.into(),
        FieldType::Signed(64) => decode_field::<i64>(bytes)?.into(),
        FieldType::Signed(128) => decode_field::<i128>(bytes)?,
        FieldType::Unsigned(_)
        | FieldType::Signed(_)
        | FieldType::Bool
        | FieldType::Bytes
        | FieldType::Text
        | FieldType::Pointer { .. }
        | FieldType::Other(_) => return Ok(None),
    }))
}

#[cfg(test)]
mod tests;
