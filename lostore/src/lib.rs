//! A transactional table store: embedded, or shared through a Unix socket, with one API.

/// The programs of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

// The derive macro writes paths from the outside; this lets the crate's own tests use it.
extern crate self as lostore;

mod address;
mod answer;
pub mod backend;
mod batch;
mod cas;
mod clock;
pub mod error;
mod explain;
#[cfg(test)]
mod fake;
mod inbox;
pub mod inline;
mod iter;
pub mod key;
pub mod limits;
#[doc(hidden)]
pub mod mock;
pub mod open;
mod pending;
pub mod port;
mod ptr;
mod raw;
pub mod record;
pub mod remote;
pub mod rules;
mod session;
pub mod shard;
pub mod shared;
mod slots;
mod space;
mod staged;
mod store;
mod strict;
mod sync;
mod table;
mod ticket;
mod token;
mod turns;
mod txn;

pub use crate::address::Address;
pub use crate::backend::Backend;
pub use crate::batch::Batch;
pub use crate::cas::{New, Word};
pub use crate::error::{Error, Fate, OpenError};
pub use crate::explain::{EXPLANATIONS, Explanation, explain, kind_help};
pub use crate::inline::Inline;
pub use crate::iter::{Iter, RawIter};
pub use crate::key::{AsKey, AsPrefix, KeyField, KeyRange, KeySpan, StartsWith};
pub use crate::open::{AnyBackend, Options, connect, open, open_inline, open_memory};
pub use crate::pending::{Pending, Reply};
pub use crate::ptr::Ptr;
pub use crate::raw::{RawTable, ReadPair, Verdict};
pub use crate::record::{Found, Keyed, Ordered, PtrField, RecordError, Sacked, TableType, Writes};
pub use crate::remote::Remote;
pub use crate::shared::Shared;
pub use crate::space::ReclaimReply;
pub use crate::store::{Store, plain_spec};
pub use crate::table::{Follow, PendingFollow, PendingGet, RecordRef, Table};
pub use crate::ticket::Ticket;
pub use crate::token::Token;
pub use crate::txn::{PendingCommit, RawTxn, Txn, TxnOptions};
pub use ::txn::{Expect, PutOptions, SetError};
pub use domains::schema;
pub use domains::{
    Capabilities, Chain, ChainEnd, CheckpointStatus, ClientId, Connections, Cursor, Direction, ErrorKind, Failure,
    Followed, Horizon, KeptCheckpoint, Pair, Persistence, Range, Ranges, ReclaimStatus, Reclaimed, SegmentRun,
    SegmentUse, Segments, SpaceStatus, Status, Stored, TableInfo, TableStatus, UseStatus,
};
pub use lostore_derive::TableType;
pub use segments::{DomainId, EpochId, Incarnation, Ordinal, TableId, Version};
