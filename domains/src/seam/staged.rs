//! What a transaction writes out before it commits.
//!
//! Contract: it is seen by nobody, changes nothing, and ends with its transaction: a commit gives its parts' values life, anything else
//! leaves dead bytes.

use segments::TableId;
use txn::Stage;

/// A value that a transaction writes out before it commits.
#[derive(Clone, PartialEq, Debug)]
pub struct StageValue {
    /// Where.
    pub stage: Stage,
    /// The table of its pair.
    pub table: TableId,
    /// The key of its pair, encoded.
    pub key: Vec<u8>,
    /// The number under which the beginning of the value was written out before; then this goes behind it, under the same number.
    pub onto: Option<u32>,
    /// At least one byte.
    pub value: Vec<u8>,
    /// Numbers whose values the transaction has replaced: their bytes are let go.
    pub forget: Vec<u32>,
}
