//! What reads answer that bring more than a pair: a record as it is stored, and chains of records.
//!
//! Contract: a chain has no record twice, and its end speaks of its last record.

use super::Pair;
use segments::TableId;

/// A record as it is stored, with the checksum that it has had since it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The pair.
    pub pair: Pair,
    /// CRC-32C of the value, as it was computed when the value was written. Whoever gets the value compares.
    pub value_crc: u32,
    /// Whether it came from the device just now; a volatile table's record comes from memory.
    pub from_device: bool,
}

impl Stored {
    /// The checksum that the value has here.
    #[must_use]
    pub fn crc_here(&self) -> u32 {
        segments::checksum::checksum(0, &self.pair.value)
    }
}

/// Records that lie one behind the other, each named by a pointer of the one before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// The records in their order, with their tables.
    pub links: Vec<(TableId, Pair)>,
    /// Why there are no more.
    pub end: ChainEnd,
}

/// Why a chain ends. What is said of a pointer is said of the last record's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChainEnd {
    /// The first pair is not there: the chain is empty.
    Absent,
    /// The pointer is null.
    Null,
    /// The pointer names a pair that is not there.
    Dangling {
        /// Its key.
        key: Vec<u8>,
    },
    /// The pointer names a pair whose time is over.
    Expired {
        /// Its key.
        key: Vec<u8>,
    },
    /// The pointer names a record that the chain has already.
    Cycle {
        /// Its place among the chain's records, from 0.
        link: u32,
    },
    /// The field is no pointer in the last record's table, or it leads to a table that is not there or cannot have its key.
    WrongType {
        /// The field's position.
        field: u16,
    },
    /// As many pointers as were asked for have been followed. The next key has not been looked up.
    Depth,
    /// As many records or bytes as fit have come. The next key has not been looked up.
    Count,
}
