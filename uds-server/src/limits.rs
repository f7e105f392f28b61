//! Every bound of the server, with the sum that gave it. Tests shrink them until the corners are common.

use segments::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use std::time::Duration;

/// What one connection may use. [`Limits::default`] is what a daemon runs with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a request frame's body and tail.
    pub request_frame_bytes_max: u32,
    /// Bytes of a reply frame's body and tail.
    pub reply_frame_bytes_max: u32,
    /// Operations without an answer. At least those of the largest batch, else that batch would wait for ever.
    pub ops_in_flight_max: usize,
    /// Bytes of requests without an answer; above, nothing new is begun. A single request may be larger.
    pub request_bytes_max: usize,
    /// Bytes of replies not yet sent above which nothing new is begun.
    pub unsent_bytes_max: usize,
    /// Bytes of replies not yet sent above which reads are not answered any more.
    pub unsent_bytes_hard: usize,
    /// Interactive transactions open at a time.
    pub transactions_max: usize,
    /// Bytes of keys and values in all open transactions together.
    pub transaction_bytes_max: usize,
    /// After so long without a request that names it, a transaction is aborted.
    pub transaction_idle: Duration,
    /// How long a connection may take to say hello.
    pub hello_patience: Duration,
    /// How long a connection may stand still inside a frame, or while replies wait to be sent.
    pub stall_patience: Duration,
    /// How long connections may take to receive their last replies when the server stops.
    pub drain_patience: Duration,
    /// Connections at a time.
    pub connections_max: usize,
}

/// Bytes received at a time. Two of them may come after a session has asked for no more: the one that made it, and the one that
/// was under way.
pub const RECEIVE_BYTES: usize = 64 << 10;
/// Bytes sent at a time.
pub const SEND_BYTES_MAX: usize = 256 << 10;
/// Memory that a part of a commit set takes beside its key and value.
pub const PART_BYTES: usize = 128;
/// The most bytes that one iteration gathers beside its first pair.
pub const NEXT_BYTES_MAX: u32 = 1 << 20;
/// Distinct epochs that a connection waits to hear of. At most eight are in flight in a healthy domain.
pub const NOTICES_MAX: usize = 64;
/// Room in a batch's reply for outcomes that must be told, beside the reads: 65,536 versions of at most 20 bytes are 1.25 MiB, 1,024
/// faults of some hundred bytes are far less.
pub const BATCH_RESERVE_BYTES: usize = 4 << 20;

impl Default for Limits {
    /// A connection that uses all it may takes 65 MiB for a frame coming in, 65 MiB for the one begun before it, 144 MiB in
    /// transactions and 262 MiB in replies: 0.5 GiB, all of it only by sending and not reading as much. One that is idle takes
    /// less than 4 KiB. Only the owner and root may connect, so these limits guard against mistakes rather than enemies.
    fn default() -> Self {
        Self {
            request_frame_bytes_max: wire::limits::REQUEST_FRAME_BYTES_MAX,
            reply_frame_bytes_max: wire::limits::REPLY_FRAME_BYTES_MAX,
            ops_in_flight_max: 1024,
            request_bytes_max: 4 << 20,
            unsent_bytes_max: 4 << 20,
            unsent_bytes_hard: (128 << 20) + (4 << 20),
            transactions_max: 64,
            transaction_bytes_max: txn::limits::SET_BYTES_MAX + (16 << 20),
            transaction_idle: Duration::from_secs(60),
            hello_patience: Duration::from_secs(5),
            stall_patience: Duration::from_secs(30),
            drain_patience: Duration::from_secs(3),
            connections_max: 1024,
        }
    }
}

const _: () = assert!(wire::limits::REQUEST_FRAME_BYTES_MAX as usize >= VALUE_BYTES_MAX + KEY_BYTES_MAX + (1 << 16));
const _: () = assert!(wire::limits::PARTS_MAX == txn::limits::SET_PARTS_MAX);
