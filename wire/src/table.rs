//! Tables as they travel: kinds, fields, pointers, hints.
//!
//! Rule for every enum of the protocol: variants are appended, never reordered, never removed. For every struct: fields are
//! never added; what needs more becomes a new variant of the enum that holds it.

use crate::limits::{FIELDS_MAX, RULES_MAX};
use crate::value::{Bytes, List};
use serde::{Deserialize, Serialize};

/// How a table's pairs are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TableKind {
    /// By key, unordered.
    Hash,
    /// By key, in key order.
    Ordered,
    /// By an address that the store gives.
    Sack,
    /// By a key that is a number which the client hashed.
    ClientHash,
}

/// Whether a table's content outlives the incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TableHome {
    /// It survives power failures.
    Persistent,
    /// It is empty after every open.
    Volatile,
}

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FieldType<'a> {
    /// An unsigned integer of this many bits.
    Unsigned(u8),
    /// A signed integer of this many bits.
    Signed(u8),
    /// True or false.
    Bool,
    /// Any bytes.
    Bytes,
    /// UTF-8 text.
    Text,
    /// The key of a pair in the table named, or null.
    Pointer {
        /// The target table's name.
        table: &'a str,
    },
    /// A type of the user's.
    Other(&'a str),
}

/// One field of a key or record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it holds.
    #[serde(borrow)]
    pub field_type: FieldType<'a>,
}

/// The structure of a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableSpec<'a> {
    /// The type's name, for people.
    pub type_name: &'a str,
    /// How pairs are found.
    pub kind: TableKind,
    /// Whether the content is persistent.
    pub home: TableHome,
    /// The key's fields.
    #[serde(borrow)]
    pub key: List<Field<'a>, FIELDS_MAX>,
    /// The record's fields.
    #[serde(borrow)]
    pub record: List<Field<'a>, FIELDS_MAX>,
    /// About how many pairs to expect; 0 when unknown.
    pub pairs_hint: u64,
}

/// A table as the catalog knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableInfo<'a> {
    /// Its id, never reused.
    pub id: u32,
    /// Its name.
    pub name: &'a str,
    /// Its structure.
    #[serde(borrow)]
    pub spec: TableSpec<'a>,
}

/// What a table's record is held to beyond its types. A field is named by its position.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Rule<'a> {
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
    /// What the field is in records from before it was appended.
    Default {
        /// The field.
        field: u16,
        /// Its bytes in a record.
        #[serde(borrow)]
        value: Bytes<'a>,
    },
    /// The record once had so many fields.
    Grown {
        /// How many.
        fields: u16,
    },
    /// The index of a hash table has slots of 8 bytes.
    CompactSlots,
}

/// A table with its rules.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ruled<'a> {
    /// The table.
    #[serde(borrow)]
    pub info: TableInfo<'a>,
    /// Its rules.
    #[serde(borrow)]
    pub rules: List<Rule<'a>, RULES_MAX>,
}
