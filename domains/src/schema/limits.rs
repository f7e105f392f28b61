//! Every bound of keys, envelopes and specs, with the sum that gave it.

/// Bytes of a key that lie inside a [`KeyBuf`](super::keys::KeyBuf) before it asks for memory: a 64-bit number and a name of
/// 26 bytes with its end mark (8 + 26 + 2 = 36), which is nearly every name of a file.
pub const KEY_INLINE_BYTES: usize = 36;
/// Most fields of a record: what a reader must step over to reach the last one, and 2 bytes of count.
pub const RECORD_FIELDS_MAX: usize = 1024;
/// Most bytes of a count or length in an envelope: 32 bits in groups of 7.
pub const NUMBER_BYTES_MAX: usize = 5;
/// Most fields of a key. A key has 2048 bytes; what has more parts than this is a record.
pub const KEY_FIELDS_MAX: usize = 32;

const _: () = assert!(RECORD_FIELDS_MAX < 1 << 14, "a count of fields takes at most 2 bytes");
const _: () = assert!(NUMBER_BYTES_MAX * 7 >= 32, "5 groups of 7 bits hold a 32-bit length");
const _: () = assert!(segments::limits::VALUE_BYTES_MAX < u32::MAX as usize, "a field's length has 32 bits");
