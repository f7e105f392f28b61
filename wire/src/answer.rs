//! What a server answers and pushes. Variants are appended only.

use crate::limits::{
    ADDRESSES_MAX, COUNTERS_MAX, FATES_MAX, KEYS_MAX, PAIRS_MAX, PARTS_MAX, RANGES_MAX, SEGMENTS_MAX, TABLES_MAX,
};
use crate::op::Version;
use crate::table::{Ruled, TableInfo};
use crate::value::{Bytes, List, Value, Valued};
use serde::{Deserialize, Serialize};

/// Up to where a domain is persistent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Horizon {
    /// The present life of the domain.
    pub incarnation: u32,
    /// The last persistent epoch.
    pub persistent: u64,
}

/// A pair as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pair<'a> {
    /// The key.
    #[serde(borrow)]
    pub key: Bytes<'a>,
    /// The record's bytes.
    #[serde(borrow)]
    pub value: Value<'a>,
    /// The record's version.
    pub version: Version,
    /// When it expires.
    pub expires_ms: Option<u64>,
    /// The client's compression flag.
    pub compressed: bool,
}

/// What following a pointer led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Followed<'a> {
    /// Both pairs.
    Found {
        /// The holder.
        #[serde(borrow)]
        from: Pair<'a>,
        /// The target.
        #[serde(borrow)]
        to: Pair<'a>,
    },
    /// The holder is not there.
    Absent,
    /// The pointer is null.
    Null {
        /// The holder.
        #[serde(borrow)]
        from: Pair<'a>,
    },
    /// The target is not there.
    Dangling {
        /// The holder.
        #[serde(borrow)]
        from: Pair<'a>,
        /// The key that the pointer names.
        #[serde(borrow)]
        target: Bytes<'a>,
    },
}

/// A record as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stored<'a> {
    /// The pair.
    #[serde(borrow)]
    pub pair: Pair<'a>,
    /// CRC-32C of the value, as it was computed when the value was written.
    pub value_crc: u32,
    /// Whether it was read from the device for this request.
    pub from_device: bool,
}

/// Parts of a record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ranges<'a> {
    /// The record's version.
    pub version: Version,
    /// Bytes of the whole value.
    pub total_bytes: u64,
    /// When the pair expires.
    pub expires_ms: Option<u64>,
    /// The client's compression flag.
    pub compressed: bool,
    /// What lies in each range, in the order of the request.
    #[serde(borrow)]
    pub parts: List<Value<'a>, RANGES_MAX>,
}

/// A record of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link<'a> {
    /// Its table.
    pub table: u32,
    /// The pair.
    #[serde(borrow)]
    pub pair: Pair<'a>,
}

/// Why a chain ends. What is said of a pointer is said of the last record's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ChainEnd<'a> {
    /// The first pair is not there.
    Absent,
    /// The pointer is null.
    Null,
    /// The pointer names a pair that is not there.
    Dangling {
        /// Its key.
        #[serde(borrow)]
        key: Bytes<'a>,
    },
    /// The pointer names a pair whose time is over.
    Expired {
        /// Its key.
        #[serde(borrow)]
        key: Bytes<'a>,
    },
    /// The pointer names a record of the chain.
    Cycle {
        /// Its place in it, from 0.
        link: u32,
    },
    /// The field is no pointer there, or leads to a table that is not there or cannot have its key.
    WrongType {
        /// The field's position.
        field: u16,
    },
    /// As many pointers as were asked for have been followed.
    Depth,
    /// As many records or bytes as fit have come.
    Count,
}

/// What became of a commit as far as power failures go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Persistence {
    /// It will become persistent with its epoch.
    Pending,
    /// It is persistent.
    Persistent,
    /// It never will be: volatile tables only.
    Volatile,
}

/// Figures of one table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableStatus<'a> {
    /// Which one.
    #[serde(borrow)]
    pub info: TableInfo<'a>,
    /// Pairs it has.
    pub pairs: u64,
    /// Memory of its index.
    pub index_bytes: u64,
    /// Bytes of its live records.
    pub record_bytes: u64,
}

/// A figure of the domain. A client skips those it does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counter {
    /// One of [`counter`].
    pub id: u16,
    /// The figure.
    pub value: u64,
}

/// The ids of counters. Never reused.
pub mod counter {
    /// Segments of the device.
    pub const SEGMENTS: u16 = 1;
    /// Free ones among them.
    pub const SEGMENTS_FREE: u16 = 2;
    /// Pages of the device.
    pub const DEVICE_PAGES: u16 = 3;
    /// Read requests since the open.
    pub const DEVICE_READS: u16 = 4;
    /// Write requests since the open.
    pub const DEVICE_WRITES: u16 = 5;
    /// Flush requests since the open.
    pub const DEVICE_FLUSHES: u16 = 6;
    /// Pages written to the log since the open.
    pub const LOG_PAGES: u16 = 7;
    /// Bytes of cached records.
    pub const CACHE_BYTES: u16 = 8;
    /// Lookups served from memory.
    pub const LOOKUPS_MEMORY: u16 = 9;
    /// Lookups that read the device.
    pub const LOOKUPS_DEVICE: u16 = 10;
    /// Commits applied since the open.
    pub const COMMITS: u16 = 11;
    /// Commits refused by a compare since the open.
    pub const COMPARE_FAILURES: u16 = 12;
    /// Revertible writes that can still be reverted.
    pub const REVERTIBLE_WRITES: u16 = 13;
    /// Bytes of the earlier records that they keep.
    pub const KEPT_BYTES: u16 = 14;
    /// Keys on which so many commits fail that their answers are handed out in turn.
    pub const HOT_KEYS: u16 = 15;
    /// Answers that waited for their turn on such a key since the open.
    pub const CONTENTION_WAITS: u16 = 16;
    /// Of the turns, those that ended by the clock.
    pub const LEASE_ENDS: u16 = 17;
    /// Connections at present.
    pub const CONNECTIONS: u16 = 18;
    /// Memory that all connections together may take.
    pub const CONNECTION_BYTES_MAX: u16 = 19;
    /// Of it, what they hold.
    pub const CONNECTION_BYTES: u16 = 20;
    /// Connections that wait for memory.
    pub const CONNECTIONS_WAITING: u16 = 21;
    /// Requests that were refused for want of memory.
    pub const MEMORY_REFUSALS: u16 = 22;
    /// Open transactions that have written values out before their commit.
    pub const STAGES: u16 = 23;
    /// Bytes of the log that these have written.
    pub const STAGED_BYTES: u16 = 24;
    /// Bytes of the log that transactions have written out since the open and that no commit has named.
    pub const UNSTAGED_BYTES: u16 = 25;
    /// Segments of the log.
    pub const SEGMENTS_LOG: u16 = 26;
    /// Records that were put there.
    pub const RECORDS_LOG: u16 = 27;
    /// Of them, those that live.
    pub const LIVE_LOG: u16 = 28;
    /// Segments of records that reclaim has put together.
    pub const SEGMENTS_TABLE: u16 = 29;
    /// Records that were put there.
    pub const RECORDS_TABLE: u16 = 30;
    /// Of them, those that live.
    pub const LIVE_TABLE: u16 = 31;
    /// Segments of index checkpoints.
    pub const SEGMENTS_CHECKPOINT: u16 = 32;
    /// Segments that hold nothing that lives and are not free yet.
    pub const SEGMENTS_WAITING: u16 = 33;
    /// Records that were put there.
    pub const RECORDS_WAITING: u16 = 34;
    /// Segments that hold nothing and cannot be taken now.
    pub const SEGMENTS_ASIDE: u16 = 35;
    /// An index checkpoint that is kept: its incarnation in the high 32 bits, its number there in the low ones. Once for each, the
    /// older first.
    pub const CHECKPOINT_KEPT: u16 = 36;
    /// 1 while a checkpoint is being written.
    pub const CHECKPOINT_RUNNING: u16 = 37;
    /// Checkpoints that were begun since the open.
    pub const CHECKPOINTS_BEGUN: u16 = 38;
    /// Of them, those that could not be finished.
    pub const CHECKPOINTS_FAILED: u16 = 39;
    /// Bytes of checkpoints since the open.
    pub const CHECKPOINT_BYTES: u16 = 40;
    /// The epoch up to which the checkpoint reaches that this open began with. There when there was one.
    pub const CHECKPOINT_RECOVERED: u16 = 41;
    /// 1 where space is won back.
    pub const RECLAIM_ON: u16 = 42;
    /// 1 while records are moved.
    pub const RECLAIM_RUNNING: u16 = 43;
    /// Segments that were given back since the open.
    pub const SEGMENTS_FREED: u16 = 44;
    /// Records that were moved since the open.
    pub const RECORDS_MOVED: u16 = 45;
    /// Their bytes.
    pub const BYTES_MOVED: u16 = 46;
    /// Records whose time was over and that went instead.
    pub const RECORDS_EXPIRED: u16 = 47;
    /// Batches of reclaim that the device ended.
    pub const BATCHES_FAILED: u16 = 48;
    /// Segments that the pass which was asked for goes through.
    pub const PASS_SEGMENTS: u16 = 49;
    /// Of them, those that it has not come to yet.
    pub const PASS_LEFT: u16 = 50;
}

/// How a domain is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status<'a> {
    /// Up to where it is persistent.
    pub horizon: Horizon,
    /// The open epoch.
    pub epoch_open: u64,
    /// Why it is read-only, when it is.
    pub poisoned: Option<&'a str>,
    /// Its tables.
    #[serde(borrow)]
    pub tables: List<TableStatus<'a>, TABLES_MAX>,
    /// Its figures.
    pub counters: List<Counter, COUNTERS_MAX>,
}

/// What has become of a client's request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RequestFate {
    /// It has not been applied, or nothing of it is left: sent again, it is applied.
    NotApplied,
    /// It was applied, and stands.
    Applied {
        /// The epoch it joined.
        epoch: u64,
        /// The ordinal of the first version it gave; the others follow without a gap.
        ordinal_first: u64,
        /// How many versions it gave.
        versions: u32,
        /// Whether it survives a power failure yet.
        persistence: Persistence,
    },
    /// It can no longer be told: a later request has taken its place in the client's window.
    Forgotten,
}

/// What an operation that succeeded is answered with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer<'a> {
    /// Nothing to say but that it is done.
    Done,
    /// Of a lookup: the pair, when it is there.
    Pair(#[serde(borrow)] Option<Pair<'a>>),
    /// Of an iteration.
    Pairs {
        /// The batch.
        #[serde(borrow)]
        pairs: List<Pair<'a>, PAIRS_MAX>,
        /// Whether there may be more behind it.
        more: bool,
    },
    /// Of a follow.
    Followed(#[serde(borrow)] Followed<'a>),
    /// Of a commit.
    Committed {
        /// The epoch it joined.
        epoch: u64,
        /// The versions it gave, one for each part that changed something.
        versions: List<Version, PARTS_MAX>,
        /// Whether it survives a power failure yet.
        persistence: Persistence,
    },
    /// Of a reservation.
    Reserved(List<[u8; 8], ADDRESSES_MAX>),
    /// Of an await or a force.
    Persistent(Horizon),
    /// Of a table operation.
    Table(#[serde(borrow)] TableInfo<'a>),
    /// Of a listing.
    Tables(#[serde(borrow)] List<TableInfo<'a>, TABLES_MAX>),
    /// Of a status request.
    Status(#[serde(borrow)] Status<'a>),
    /// Of an open: the transaction's handle, good on this connection only.
    Opened {
        /// The handle.
        txn: u64,
    },
    /// Of a cancel: whether the request is now answered as cancelled (else it was answered, is unknown, or cannot be).
    Cancelled(bool),
    /// Of a verification: the record, when it is there.
    Stored(#[serde(borrow)] Option<Stored<'a>>),
    /// Of a follow of many pointers.
    Chain {
        /// The records, one behind the other.
        #[serde(borrow)]
        links: List<Link<'a>, PAIRS_MAX>,
        /// Why there are no more.
        #[serde(borrow)]
        end: ChainEnd<'a>,
    },
    /// Of a lookup of many keys: what is there under each of the first of them.
    Many(#[serde(borrow)] List<Option<Pair<'a>>, KEYS_MAX>),
    /// Of a read of ranges: the parts, when the pair is there.
    Ranges(#[serde(borrow)] Option<Ranges<'a>>),
    /// Of an identification.
    Identified {
        /// Whether this connection speaks for the client now. If not, a connection of the same or a later attempt has.
        accepted: bool,
        /// The last attempt that was accepted.
        attempt: u64,
        /// The greatest number among the requests that were applied and are remembered; 0 when none is.
        last: u64,
        /// How far apart the numbers of requests that are under way may be.
        window: u32,
        /// For how long the client is remembered at least after it was last heard of, in milliseconds.
        idle_ms: u64,
    },
    /// What has become of requests, in the order in which they were named.
    Fates(List<RequestFate, FATES_MAX>),
    /// Of a table operation on a table that has rules.
    Ruled(#[serde(borrow)] Ruled<'a>),
    /// Of a listing in which a table has rules.
    RuledTables(#[serde(borrow)] List<Ruled<'a>, TABLES_MAX>),
    /// Of a value that was to be written out: its number; nothing when it is better kept and brought with its part, since its table lies
    /// in memory.
    Staged(Option<u32>),
    /// Of a read of what was written out.
    Value(#[serde(borrow)] Value<'a>),
    /// Of a pass of reclaim: what was done, as counters of their own, [`reclaimed`]. A client skips those that it does not know.
    Reclaimed(List<Counter, COUNTERS_MAX>),
    /// Of a question for segments.
    Segments {
        /// Pages of the device, those before the first segment included.
        device_pages: u64,
        /// Pages of a segment.
        segment_pages: u32,
        /// The segments from the one that was asked for on, without a gap.
        runs: List<SegmentRun, SEGMENTS_MAX>,
        /// Whether there are more behind them.
        more: bool,
    },
}

/// A segment, or a run of adjacent ones with one life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SegmentRun {
    /// The first of them.
    pub segment: u32,
    /// How many.
    pub segments: u32,
    /// What for: one of [`segment_use`]. A client shows one that it does not know as used.
    pub used: u8,
    /// Pages in use.
    pub pages: u32,
    /// Records that were put there.
    pub records: u32,
    /// Of them, those that live.
    pub live: u32,
}

/// What a segment is used for.
pub mod segment_use {
    /// It holds nothing.
    pub const FREE: u8 = 0;
    /// The log.
    pub const LOG: u8 = 1;
    /// Records that reclaim has put together.
    pub const TABLE: u8 = 2;
    /// An index checkpoint.
    pub const CHECKPOINT: u8 = 3;
    /// Nothing that lives; it is not free yet.
    pub const WAITING: u8 = 4;
}

/// The ids of what a pass of reclaim has done. Never reused.
pub mod reclaimed {
    /// Segments that it went through.
    pub const SEGMENTS: u16 = 1;
    /// Segments that were given back.
    pub const SEGMENTS_FREED: u16 = 2;
    /// Segments that hold nothing any more and are not free yet.
    pub const SEGMENTS_WAITING: u16 = 3;
    /// Records that were moved.
    pub const RECORDS_MOVED: u16 = 4;
    /// Their bytes.
    pub const BYTES_MOVED: u16 = 5;
    /// Records whose time was over and that went instead.
    pub const RECORDS_EXPIRED: u16 = 6;
    /// Batches that the device ended.
    pub const BATCHES_FAILED: u16 = 7;
    /// Checkpoints that were finished.
    pub const CHECKPOINTS: u16 = 8;
    /// Checkpoints that could not be.
    pub const CHECKPOINTS_FAILED: u16 = 9;
}

/// A compare that did not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The part's position in its commit set; of a range compare its position among those, behind the 65,536 that parts may have.
    pub part: u32,
    /// What is there.
    pub found: Option<Version>,
}

/// What an operation that failed is answered with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault<'a> {
    /// The stable code, `LSnnnn` in messages.
    pub code: u16,
    /// What the caller must do: one of [`fault_kind`](crate::codes::fault_kind).
    pub kind: u8,
    /// Whether the effect happened in spite of the error.
    pub applied: bool,
    /// What, why, and what to do.
    pub message: &'a str,
    /// Of a commit whose compares did not hold: which.
    pub failures: List<Failure, PARTS_MAX>,
}

/// How an operation ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome<'a> {
    /// Well.
    Ok(#[serde(borrow)] Answer<'a>),
    /// Not.
    Err(#[serde(borrow)] Fault<'a>),
}

/// Sent unasked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Push {
    /// The domain is persistent up to here; an epoch of a commit with `notify` is among it.
    Persistent(Horizon),
}

impl<'a> Valued<'a> for Outcome<'a> {
    fn each_value(&mut self, see: &mut dyn FnMut(&mut Value<'a>)) {
        match self {
            Self::Ok(Answer::Pair(Some(pair))) => see(&mut pair.value),
            Self::Ok(Answer::Pairs { pairs, .. }) => {
                pairs.as_mut_slice().iter_mut().for_each(|pair| see(&mut pair.value))
            }
            Self::Ok(Answer::Many(pairs)) => {
                pairs.as_mut_slice().iter_mut().flatten().for_each(|pair| see(&mut pair.value))
            }
            Self::Ok(Answer::Ranges(Some(ranges))) => ranges.parts.as_mut_slice().iter_mut().for_each(see),
            Self::Ok(Answer::Value(value)) => see(value),
            Self::Ok(Answer::Stored(Some(stored))) => see(&mut stored.pair.value),
            Self::Ok(Answer::Chain { links, .. }) => {
                links.as_mut_slice().iter_mut().for_each(|link| see(&mut link.pair.value))
            }
            Self::Ok(Answer::Followed(Followed::Found { from, to })) => {
                see(&mut from.value);
                see(&mut to.value);
            }
            Self::Ok(Answer::Followed(Followed::Null { from } | Followed::Dangling { from, .. })) => {
                see(&mut from.value)
            }
            Self::Ok(_) | Self::Err(_) => {}
        }
    }
}
