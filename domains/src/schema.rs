//! What a table's keys and records look like: kinds, fields, pointers, hints, as the catalog stores them.
//!
//! Contract: a spec is data. `follow`, verify and the catalog read it; nobody needs a user's code to understand a record.

use serde::{Deserialize, Serialize};

/// How a table's pairs are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TableKind {
    /// By key, in no order that means anything: one device read at most, 16 bytes of memory a pair.
    Hash,
    /// By key and in key order.
    Ordered,
    /// By an address that the store gives.
    Sack,
}

/// Whether a table's content outlives the incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TableHome {
    /// It survives power failures.
    Persistent,
    /// It is empty after every open; its catalog entry stays.
    Volatile,
}

/// What a field holds. Numbers are never reused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FieldType {
    /// An unsigned integer of this many bits (8 to 128).
    Unsigned(u8),
    /// A signed integer of this many bits (8 to 128).
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
        table: String,
    },
    /// A serde type of the user's, known to the store by its Rust name only.
    Other(String),
}

/// One field of a key or record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub field_type: FieldType,
}

/// The structure of a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableSpec {
    /// The type's name, for people.
    pub type_name: String,
    /// How pairs are found.
    pub kind: TableKind,
    /// Whether the content is persistent.
    pub home: TableHome,
    /// The key's fields, in order. Empty for a sack, and for a table of plain byte keys.
    pub key: Vec<Field>,
    /// The record's fields, in order; only ever appended to. Empty for a table of plain byte values.
    pub record: Vec<Field>,
    /// About how many pairs to expect; 0 when unknown. A hint: it never changes a result.
    pub pairs_hint: u64,
}
