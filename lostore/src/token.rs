//! The token of a revertible write: what it takes to revert or to seal it.
//!
//! Contract: a token is plain data. It stays good across restarts of program and store, as long as the pair is at its version and
//! the write's lease has not ended; whoever has it may write it down and read it again.

use segments::{TableId, Version};

/// Names a revertible write.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Token {
    /// The pair's table.
    pub table: TableId,
    /// The pair's key, encoded.
    pub key: Vec<u8>,
    /// The version that the write gave: versions are never issued twice.
    pub version: Version,
}
