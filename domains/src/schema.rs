//! What a table's keys and records look like: kinds, fields, pointers, hints, as the catalog stores them.
//!
//! Contract: a spec is data. `follow`, verify and the catalog read it; nobody needs a user's code to understand a record.
//! The bytes of keys and records are those of `design/schema.md`: [`keys`], [`envelope`]; [`compat`] says which specs may meet,
//! [`rules`] what fields are held to beyond their types.

pub mod catalog;
mod client_hash;
pub mod compat;
pub mod envelope;
pub mod keys;
pub mod limits;
pub mod rules;

pub use rules::Rule;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a table's pairs are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TableKind {
    /// By key, in no order that means anything: one device read at most, 16 bytes of memory a pair.
    Hash,
    /// By key and in key order.
    Ordered,
    /// By an address that the store gives.
    Sack,
    /// By a key that is one `u32` or `u64` which the client hashed already: as [`Self::Hash`], with the number itself in place of
    /// the store's keyed hash. Who chooses this sees to it that the numbers are spread well enough, above all where others choose
    /// them: see `design/schema.md`.
    ClientHash,
}

/// Whether a table's content outlives the incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TableHome {
    /// It survives power failures.
    Persistent,
    /// It is empty after every open; its catalog entry stays.
    Volatile,
}

impl TableKind {
    /// The word for it, as commands and messages have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Ordered => "ordered",
            Self::Sack => "sack",
            Self::ClientHash => "client-hash",
        }
    }
}

impl TableHome {
    /// The word for it, as commands and messages have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Persistent => "persistent",
            Self::Volatile => "volatile",
        }
    }
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
    /// What the record's fields are held to, what they are where they are missing, and how the record has grown.
    pub rules: Vec<Rule>,
}

impl TableSpec {
    /// Of a table of plain bytes: what a spec with fields begins from.
    ///
    /// ```
    /// use domains::schema::{Field, FieldType, TableHome, TableKind, TableSpec};
    /// let record = vec![Field { name: "age".into(), field_type: FieldType::Unsigned(32) }];
    /// let spec = TableSpec { record, ..TableSpec::plain(TableKind::Hash, TableHome::Persistent) };
    /// assert!(spec.key.is_empty() && spec.rules.is_empty());
    /// ```
    #[must_use]
    pub fn plain(kind: TableKind, home: TableHome) -> Self {
        let type_name = "bytes".to_owned();
        Self { type_name, kind, home, key: Vec::new(), record: Vec::new(), pairs_hint: 0, rules: Vec::new() }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(bits) => write!(f, "u{bits}"),
            Self::Signed(bits) => write!(f, "i{bits}"),
            Self::Bool => f.write_str("bool"),
            Self::Bytes => f.write_str("bytes"),
            Self::Text => f.write_str("text"),
            Self::Pointer { table } => write!(f, "-> {table}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}
