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
    /// Bytes of keys and values that one transaction gathers in memory; what is beyond is written out before its commit, where the domain
    /// can do that.
    pub transaction_memory_bytes: usize,
    /// After so long without a request that names it, a transaction is aborted.
    pub transaction_idle: Duration,
    /// How long a connection may take to say hello.
    pub hello_patience: Duration,
    /// How long a connection may stand still inside a frame, or while replies wait to be sent.
    pub stall_patience: Duration,
    /// How long connections may take to receive their last replies when the server stops.
    pub drain_patience: Duration,
    /// Connections at a time, and of them those of one user.
    pub connections_max: usize,
    /// Connections of one user at a time.
    pub connections_user_max: usize,
    /// Memory of all connections together: what came in and is not answered, transactions, replies not yet sent.
    pub memory_bytes: usize,
    /// Memory of one user's connections together.
    pub memory_user_bytes: usize,
    /// How long a request may wait for memory until it is refused.
    pub memory_patience: Duration,
    /// What a connection may do before others that wait have their turn: bytes in and out, and [`OP_WORK`] for each operation.
    pub turn_work: usize,
}

/// Memory of all connections by default: three requests of the largest size at once (138 MiB each, half of it for one user), and
/// 64 MiB set aside so that small ones are always served.
pub const MEMORY_BYTES: usize = 1 << 30;
/// Memory of a connection, for requests and again for replies, that is set aside: requests of up to 7 KiB and replies of up to 10 KiB
/// never wait for others.
pub const SHARE_BYTES_MAX: usize = 32 << 10;
/// The least that is set aside: a page to receive in, and a request of 3 KiB.
pub const SHARE_BYTES_MIN: usize = 16 << 10;
/// Memory of a connection that is set aside beside its shares: a page to receive in, and the page that came before.
pub const HEARD_BYTES: usize = 8 << 10;
/// The shares are at most this part of the memory.
const SHARES_PART: usize = 4;
/// Memory that an operation in flight takes beside its bytes.
pub const OP_BYTES: usize = 256;
/// Memory that is kept for the reply to an operation, before it is known.
pub const OP_REPLY_BYTES: usize = 512;
/// A frame beyond the connection's share must come at this pace, in bytes a second, so that nobody holds memory by sending slowly.
pub const PACE_BYTES: u64 = 1 << 20;
/// A reader must take so many bytes, or all there are, within the patience: less is not reading.
pub const READ_BYTES_MIN: usize = 64 << 10;

/// What an operation counts in a turn beside its bytes: about as much work as to take in or send so many.
pub const OP_WORK: usize = 256;
/// What a connection may do in a turn: 400 small operations or a receive of twice the usual size. A tenth of that would make a greedy
/// client's sends small, ten times as much would let each greedy one hold others up by some milliseconds.
pub const TURN_WORK: usize = 128 << 10;
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
    /// A connection that uses all it may takes 138 MiB for a frame coming in, 73 MiB for the one begun before it, 152 MiB in
    /// transactions and 264 MiB in replies; all connections together take what [`Limits::memory_bytes`] says. One that is idle takes
    /// less than 4 KiB. Who may connect is the owner's to say; no user takes more than its part of connections and memory.
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
            transaction_memory_bytes: txn::limits::SET_MEMORY_DEFAULT,
            transaction_idle: Duration::from_secs(60),
            hello_patience: Duration::from_secs(5),
            stall_patience: Duration::from_secs(30),
            drain_patience: Duration::from_secs(3),
            connections_max: 1024,
            connections_user_max: 512,
            memory_bytes: MEMORY_BYTES,
            memory_user_bytes: MEMORY_BYTES / 2,
            memory_patience: Duration::from_secs(30),
            turn_work: TURN_WORK,
        }
    }
}

impl Limits {
    /// A memory of 32 MiB for 256 connections, half of it for one user: commands of up to 1 MiB or frames that take up to 4.5 MiB of
    /// the pool of 10, and requests together up to 6.6 MiB.
    #[cfg(test)]
    pub(crate) fn of_small_memory() -> Self {
        Self {
            connections_max: 256,
            connections_user_max: 128,
            memory_bytes: 32 << 20,
            memory_user_bytes: 16 << 20,
            ..Self::default()
        }
    }

    /// What is set aside of each connection's memory, for requests and again for replies.
    #[must_use]
    pub fn share_bytes(&self) -> usize {
        let of = |bytes: usize, connections: usize| bytes / SHARES_PART / 2 / connections.max(1);
        let least =
            of(self.memory_bytes, self.connections_max).min(of(self.memory_user_bytes, self.connections_user_max));
        least.clamp(SHARE_BYTES_MIN, SHARE_BYTES_MAX)
    }

    /// The least memory that so many connections need.
    #[must_use]
    pub const fn memory_bytes_min(connections: usize) -> usize {
        SHARES_PART * 2 * connections * SHARE_BYTES_MIN
    }

    /// What is left of the memory for requests and replies beyond the shares.
    #[must_use]
    pub fn pool_bytes(&self) -> usize {
        self.memory_bytes.saturating_sub(self.connections_max * (2 * self.share_bytes() + HEARD_BYTES))
    }

    /// The same, for the connections of one user.
    #[must_use]
    pub fn pool_user_bytes(&self) -> usize {
        self.memory_user_bytes.saturating_sub(self.connections_user_max * (2 * self.share_bytes() + HEARD_BYTES))
    }

    /// The same, with frames no larger than the memory has room for: a request that could never be had is refused at once, by its
    /// size.
    #[must_use]
    pub fn fitted(mut self) -> Self {
        let pool = self.pool_bytes().min(self.pool_user_bytes());
        // Three eighths of the pool are there for requests whatever the replies take, and five eighths may be for replies.
        let request = crate::budget::request_of(pool / 8 * 3);
        let reply = (pool / 8 * 5).saturating_sub(SEND_BYTES_MAX) / 2;
        let number = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        self.request_frame_bytes_max = self.request_frame_bytes_max.min(number(request));
        self.reply_frame_bytes_max = self.reply_frame_bytes_max.min(number(reply));
        self
    }
}

const _: () = assert!(wire::limits::REQUEST_FRAME_BYTES_MAX as usize >= VALUE_BYTES_MAX + KEY_BYTES_MAX + (1 << 16));
const _: () = assert!(wire::limits::PARTS_MAX == txn::limits::SET_PARTS_MAX);
