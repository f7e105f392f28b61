//! Every bound of the API, with the sum that gave it.

/// Pairs of an iteration's first batch: the screen of a listing that is looked at and left.
pub const ITER_PAIRS_FIRST: u32 = 16;
/// Pairs of a batch at most; each batch is twice the one before until then. At 100 bytes a pair it is 50 KiB, one round trip.
pub const ITER_PAIRS_MAX: u32 = 512;
/// Bytes of a batch at most: what a socket takes in one go.
pub const ITER_BYTES_MAX: u32 = 256 << 10;
/// Addresses of a sack that are set aside at a time: one round trip for so many inserts.
pub const ADDRESSES_RESERVED: u32 = 64;
/// Transactions of a [`Batch`](crate::Batch) under way by default: where a socket's throughput no longer rises with depth.
pub const BATCH_IN_FLIGHT: usize = 128;
/// Values of a large transaction that are written out at a time: what travels in one batch.
pub const STAGE_VALUES_AT_ONCE: usize = 64;
/// Bytes of them, of more than one: copies that are held while they are under way.
pub const STAGE_BYTES_AT_ONCE: usize = 1 << 20;
/// Tables remembered by type and name, so that following a pointer asks for its table once.
pub const TABLES_REMEMBERED_MAX: usize = 1024;
/// How often opening or creating a table is begun anew when others change the catalog at the same moment. Each time it loses,
/// another has created a table: 100 programs that start together would have to create one each.
pub const CATALOG_ATTEMPTS_MAX: u32 = 100;

const _: () = assert!(ITER_PAIRS_FIRST <= ITER_PAIRS_MAX);
const _: () = assert!(ADDRESSES_RESERVED <= 1024, "a reservation may ask for at most 1024 addresses");
/// Words of one compare-and-swap: what fits a small message; a transaction takes more.
pub const CAS_WORDS_MAX: usize = 64;
