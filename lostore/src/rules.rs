//! Rules of a table type, as the derive macro writes them: into the spec, and as checks before a record is written.
//!
//! Contract: a record that breaks a rule of its own type is refused before anything is sent, with the field's name. What other
//! programs wrote is read as it is.

use crate::Ptr;
use crate::record::RecordError;
use domains::schema::envelope::{EnvelopeError, EnvelopeReader, EnvelopeWriter, Rest};
use domains::schema::rules::{Breach, Rule};
use serde::Serialize;

/// The rules of a type, gathered field by field. For the derive macro.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// The pointer must not be null.
    #[must_use]
    pub fn required(mut self, field: u16) -> Self {
        self.0.push(Rule::Required { field });
        self
    }

    /// The number lies between these.
    #[must_use]
    pub fn range<N: Number>(mut self, field: u16, least: N, most: N) -> Self {
        self.0.push(Rule::Range { field, least: least.wide(), most: most.wide() });
        self
    }

    /// What the field is where it is missing. A value that cannot be written is not told.
    #[must_use]
    pub fn missing<F: Serialize>(self, field: u16, value: &F) -> Self {
        self.told(field, |writer| writer.field(value))
    }

    /// The same, of a field of bytes.
    #[must_use]
    pub fn missing_bytes(self, field: u16, value: &[u8]) -> Self {
        self.told(field, |writer| {
            writer.bytes(value);
            Ok(())
        })
    }

    /// The same, of a pointer.
    #[must_use]
    pub fn missing_pointer<T>(self, field: u16, value: &Ptr<T>) -> Self {
        self.missing_bytes(field, value.key_bytes())
    }

    /// The table's index has slots of 8 bytes.
    #[must_use]
    pub fn compact_slots(mut self) -> Self {
        self.0.push(Rule::CompactSlots);
        self
    }

    /// All of them.
    #[must_use]
    pub fn finish(self) -> Vec<Rule> {
        self.0
    }

    fn told(mut self, field: u16, write: impl FnOnce(&mut EnvelopeWriter<'_>) -> Result<(), EnvelopeError>) -> Self {
        let (mut record, rest) = (Vec::new(), Rest::default());
        let mut writer = EnvelopeWriter::new(&mut record, 1, &rest);
        if write(&mut writer).is_ok() {
            writer.finish();
            let mut reader = EnvelopeReader::new(&record).expect("it was just written");
            let value = reader.next_field().expect("it was just written").expect("it has one field").to_vec();
            self.0.push(Rule::Default { field, value });
        }
        self
    }
}

/// An integer, which may have a range.
pub trait Number: Copy + PartialOrd {
    /// As the widest signed one; above that its largest.
    fn wide(self) -> i128;
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Number for $number {
            fn wide(self) -> i128 {
                i128::from(self)
            }
        })*
    };
}

numbers!(u8 u16 u32 u64 i8 i16 i32 i64 i128);

impl Number for u128 {
    fn wide(self) -> i128 {
        i128::try_from(self).unwrap_or(i128::MAX)
    }
}

/// Checks a number against its range.
///
/// # Errors
/// When it lies outside.
pub fn check_range<N: Number>(field: &'static str, value: N, least: N, most: N) -> Result<(), RecordError> {
    if least <= value && value <= most {
        return Ok(());
    }
    let (value, least, most) = (value.wide(), least.wide(), most.wide());
    Err(RecordError::Rule { field, breach: Breach::OutOfRange { value, least, most } })
}

/// Checks that a pointer is not null.
///
/// # Errors
/// When it is.
pub fn check_required<T>(field: &'static str, value: &Ptr<T>) -> Result<(), RecordError> {
    if value.is_null() {
        return Err(RecordError::Rule { field, breach: Breach::Null });
    }
    Ok(())
}
