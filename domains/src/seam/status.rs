//! The figures of a domain.

use super::{CheckpointStatus, Connections, Horizon, ReclaimStatus, SpaceStatus, TableInfo};
use segments::EpochId;

/// Figures of one table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableStatus {
    /// Which one.
    pub info: TableInfo,
    /// Pairs it has.
    pub pairs: u64,
    /// Memory of its index.
    pub index_bytes: u64,
    /// Bytes of its live records, headers and keys included; those that revertible writes keep are counted too.
    pub record_bytes: u64,
}

/// Figures of a domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// Up to where it is persistent.
    pub horizon: Horizon,
    /// The open epoch.
    pub epoch_open: EpochId,
    /// Why it is read-only, when it is.
    pub poisoned: Option<String>,
    /// Its tables, the catalog included.
    pub tables: Vec<TableStatus>,
    /// Segments of the device.
    pub segments: u32,
    /// Of them, those that hold nothing and are there to be taken. One that holds only dead records is not free before reclaim has
    /// given it back.
    pub segments_free: u32,
    /// What the others are used for.
    pub space: SpaceStatus,
    /// How index checkpoints go.
    pub checkpoints: CheckpointStatus,
    /// How reclaim goes.
    pub reclaim: ReclaimStatus,
    /// Pages of the device.
    pub device_pages: u64,
    /// Read requests sent to the device since the open.
    pub device_reads: u64,
    /// Write requests sent to the device since the open.
    pub device_writes: u64,
    /// Flush requests sent to the device since the open.
    pub device_flushes: u64,
    /// Pages written to the log since the open.
    pub log_pages: u64,
    /// Bytes of cached records.
    pub cache_bytes: u64,
    /// Lookups served from memory.
    pub lookups_memory: u64,
    /// Lookups that read the device.
    pub lookups_device: u64,
    /// Commits applied since the open.
    pub commits: u64,
    /// Commits refused by a compare since the open.
    pub compare_failures: u64,
    /// Revertible writes that can still be reverted, as far as the end of their leases has been noticed.
    pub revertible_writes: u64,
    /// Bytes of the earlier records that they keep; part of the tables' bytes too.
    pub kept_bytes: u64,
    /// Open transactions that have written values out before their commit.
    pub stages: u64,
    /// Bytes of the log that these have written, and that live or die with their commits.
    pub staged_bytes: u64,
    /// Bytes of the log that transactions have written out since the open and that no commit has named: dead.
    pub unstaged_bytes: u64,
    /// Keys on which so many commits fail that they are looked at and answered in turn.
    pub hot_keys: u64,
    /// Times that a commit waited for its turn on such a key since the open.
    pub contention_waits: u64,
    /// Of the turns, those that ended by the clock, without a change of the key.
    pub lease_ends: u64,
    /// The connections of the server that the domain is behind; all zero where there is none.
    pub connections: Connections,
}
