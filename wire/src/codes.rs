//! Codes of faults that the protocol itself gives (05xx), and the numbers of the kinds. Codes below 05xx are the domain's.
//! Numbers are never reused.

/// What the caller must do about a fault.
pub mod fault_kind {
    /// Correct the call.
    pub const INVALID: u8 = 0;
    /// Read again and decide anew.
    pub const CONFLICT: u8 = 1;
    /// Name something that exists.
    pub const NOT_FOUND: u8 = 2;
    /// Ask a domain or a version that can do this.
    pub const UNSUPPORTED: u8 = 3;
    /// Wait, or make room, and try again.
    pub const FULL: u8 = 4;
    /// Restore or repair the named thing.
    pub const CORRUPT: u8 = 5;
    /// The domain is read-only until it is opened again.
    pub const POISONED: u8 = 6;
    /// The machine, or who runs it, refused.
    pub const ENVIRONMENT: u8 = 7;
}

/// The stream is not made of frames; the connection ends.
pub const NOT_A_FRAME: u16 = 501;
/// The frame is larger than the limit; the connection ends.
pub const FRAME_TOO_LARGE: u16 = 502;
/// The frame's body is malformed.
pub const MALFORMED: u16 = 503;
/// The kind, verb or flag is not known to this version.
pub const UNKNOWN_VERB: u16 = 504;
/// The first frame must be a hello, and only the first; the connection ends.
pub const HELLO_EXPECTED: u16 = 505;
/// Client and server speak no version in common; the connection ends.
pub const NO_COMMON_VERSION: u16 = 506;
/// The request's deadline passed before it was begun.
pub const DEADLINE: u16 = 507;
/// The client cancelled the request.
pub const CANCELLED: u16 = 508;
/// The transaction handle is not open: committed, aborted, expired, or never given.
pub const NO_SUCH_TRANSACTION: u16 = 509;
/// The connection has as many open transactions, or bytes in them, as it may.
pub const TRANSACTIONS_FULL: u16 = 510;
/// The reply would be larger than a frame: ask for less at a time.
pub const REPLY_TOO_LARGE: u16 = 511;
/// The client does not read its replies: this read was not answered. Read, then ask again.
pub const SLOW_READER: u16 = 512;
/// The correlation id is 0, which is no request's.
pub const BAD_ID: u16 = 513;
/// The server is stopping; nothing new is begun.
pub const STOPPING: u16 = 514;
/// The peer said nothing, or stopped in the middle of a frame, for too long; the connection ends.
pub const TIMED_OUT: u16 = 515;
/// The commit sets of one batch have too many parts together.
pub const TOO_MANY_PARTS: u16 = 516;
/// The peer's user may not use this server at all; the connection ends.
pub const ACCESS_DENIED: u16 = 517;
/// The server has as many connections as it may; the connection ends.
pub const CONNECTIONS_FULL: u16 = 518;
/// The correlation id is that of a request without an answer, so no answer could be told from the other; the connection ends.
pub const DUPLICATE_ID: u16 = 519;
/// The server's memory for all connections, or for this user's, is taken; the request waited for it, or is one that does not wait.
pub const MEMORY_FULL: u16 = 520;
/// The connection has not said for which client it speaks.
pub const NOT_IDENTIFIED: u16 = 521;
/// A strict transaction was to be committed before its reads were answered.
pub const READS_UNDER_WAY: u16 = 522;
/// Something that Redis does, or that is promised, and is not served; the text says what to use instead.
pub const UNSERVED: u16 = 530;
/// The cursor of an iteration is not known.
pub const NO_SUCH_CURSOR: u16 = 531;
