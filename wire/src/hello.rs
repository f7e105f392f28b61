//! How a connection begins: the client's hello and the server's welcome.

use crate::answer::Horizon;
use serde::{Deserialize, Serialize};

/// The version of the bodies that this crate speaks.
pub const VERSION: u8 = 1;

/// Feature: requests under a client's own numbers, applied once (`Identify`, `CommitOnce`, `TxnCommitOnce`, `Fates`).
pub const FEATURE_ONCE: u64 = 1;
/// Feature: tables have rules (`CreateRuled`, `OpenRuled`, `Ruled`, `RuledTables`).
pub const FEATURE_RULES: u64 = 2;
/// Feature: values of interactive transactions are written out before their commit. A server says so where its domain can.
pub const FEATURE_STAGES: u64 = 4;
/// Feature: tables may ask for compact slots (`Rule::CompactSlots`). To who does not know it the hint is not told.
pub const FEATURE_SLOTS: u64 = 8;
/// Every feature that this crate knows.
pub const FEATURES: u64 = FEATURE_ONCE | FEATURE_RULES | FEATURE_STAGES | FEATURE_SLOTS;

/// The client's first frame. Nothing else is answered before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// The oldest version the client speaks.
    pub version_min: u8,
    /// The newest version the client speaks.
    pub version_max: u8,
    /// Features the client would use: bits of [`FEATURES`]; others are ignored.
    pub features: u64,
    /// Replies are to come in the order of the requests.
    pub in_order: bool,
    /// The client's name, for people.
    pub client_name: &'a str,
    /// Its version, for people.
    pub client_version: &'a str,
    /// The server and incarnation that the client was connected to before, whose cut it wants to know.
    pub known: Option<Known>,
}

/// What a client remembers of an earlier connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Known {
    /// [`Welcome::server_id`] of then.
    pub server_id: [u8; 16],
    /// The incarnation of then.
    pub incarnation: u32,
}

/// What became of the incarnation that a client knew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Cut {
    /// The client named none.
    NotAsked,
    /// It still runs: nothing was lost, and the horizon says what is persistent.
    Running,
    /// It has ended: of its commits, exactly those up to this epoch survived.
    At(u64),
    /// The server does not know that incarnation (or it belongs to another store).
    Unknown,
}

/// What the server takes from one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConnectionLimits {
    /// Bytes of a request frame's body and tail.
    pub request_frame_bytes: u32,
    /// Bytes of a reply frame's body and tail: what the client must be ready for.
    pub reply_frame_bytes: u32,
    /// Operations of a batch.
    pub batch_ops: u32,
    /// Credits: operations without an answer. Above, the server stops reading.
    pub ops_in_flight: u32,
    /// Interactive transactions open at a time.
    pub transactions: u32,
    /// Milliseconds after which an idle interactive transaction is aborted.
    pub transaction_idle_ms: u32,
}

/// The server's answer to a hello.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome<'a> {
    /// The version that both speak from now on.
    pub version: u8,
    /// The features that both know.
    pub features: u64,
    /// What the server takes.
    pub limits: ConnectionLimits,
    /// The server's version, for people.
    pub server_version: &'a str,
    /// The store's identity: the same after a restart, another for another store.
    pub server_id: [u8; 16],
    /// The kind of domain served.
    pub domain: &'a str,
    /// Transactions are atomic, and an open one may be dropped.
    pub abortable: bool,
    /// Committed becomes persistent, with notices.
    pub persistence: bool,
    /// Up to where the domain is persistent.
    pub horizon: Horizon,
    /// What became of the incarnation that the client knew.
    pub cut: Cut,
}
