//! Every bound of the protocol, with the sum that gave it. A peer may be stricter and say so in its hello; nobody is laxer.

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 24;
/// The largest body and tail together that a client may send: one value of the largest size (64 MiB) and 1 MiB for everything
/// around it. A commit set with more than that is sent through an interactive transaction, piece by piece.
pub const REQUEST_FRAME_BYTES_MAX: u32 = (64 << 20) + (1 << 20);
/// The largest body and tail together that a server may send: a follow brings two values of 64 MiB, and 6 MiB around them (65,536
/// versions of at most 20 bytes are 1.25 MiB; a listing of tables takes the rest).
pub const REPLY_FRAME_BYTES_MAX: u32 = (128 << 20) + (6 << 20);
/// The largest frame before the hello is through: names, versions and a few numbers.
pub const HELLO_FRAME_BYTES_MAX: u32 = 4096;
/// Values from this size on travel in the tail: below, a copy costs less than the second piece.
pub const TAIL_VALUE_BYTES_MIN: usize = 4096;
/// Most operations of a batch.
pub const BATCH_OPS_MAX: usize = 1024;
/// Most parts of a commit set, and of all the sets of one batch together.
pub const PARTS_MAX: usize = 65_536;
/// Most pairs of one answer to `Next`.
pub const PAIRS_MAX: usize = 4096;
/// Most addresses of one answer to `Reserve`.
pub const ADDRESSES_MAX: usize = 1024;
/// Most fields of a key or of a record.
pub const FIELDS_MAX: usize = 1024;
/// Most rules of a table: three for each field, and as many steps of growth.
pub const RULES_MAX: usize = 4 * FIELDS_MAX;
/// Most tables in one listing.
pub const TABLES_MAX: usize = 65_536;
/// Most counters in one status.
pub const COUNTERS_MAX: usize = 1024;
/// Most runs of segments in one answer: 350 KiB at most.
pub const SEGMENTS_MAX: usize = 16_384;
/// Bytes a reader or writer keeps between frames; what a large frame needed beyond that is given back. Half of what a server sets
/// aside for a connection.
pub const BUFFER_BYTES_KEPT: usize = 16 << 10;
/// Elements reserved for a list before any has been decoded: a count is a claim until its elements have come.
pub const LIST_RESERVE_MAX: usize = 64;
/// Pointer fields that a chain names one by one.
pub const CHAIN_FIELDS_MAX: usize = 1024;
/// Most keys of one lookup.
pub const KEYS_MAX: usize = 4096;
/// Most ranges of one read.
pub const RANGES_MAX: usize = 1024;
/// Most requests whose fates are asked for at a time.
pub const FATES_MAX: usize = 1024;
/// Numbers of values that a transaction has written out and needs no more, told in one request.
pub const FORGOTTEN_MAX: usize = 4_096;

const _: () = assert!(REPLY_FRAME_BYTES_MAX as usize >= 2 * (64 << 20) + PARTS_MAX * 20);
const _: () = assert!(BATCH_OPS_MAX <= PARTS_MAX);
