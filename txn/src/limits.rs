//! Every bound of a transaction, with the sum that gave it.

/// Most parts (keys) of a commit set.
pub const SET_PARTS_MAX: usize = 65_536;
/// Most bytes of keys and values of a commit set: one value of the largest size and as much again.
pub const SET_BYTES_MAX: usize = 128 << 20;
/// Values below this many bytes are not written out before their commit: what a domain keeps of one that is, and what its record takes
/// beside it, is about as much. All values of a set that are too small are below 16 MiB together.
pub const STAGED_VALUE_BYTES_MIN: usize = 256;
/// Numbers of values that were written out and are needed no more, told at a time.
pub const FORGOTTEN_AT_ONCE_MAX: usize = 4_096;
/// The memory of keys and values that a transaction takes by default before it writes values out.
pub const SET_MEMORY_DEFAULT: usize = 16 << 20;
/// Epochs that may be left but not yet persistent (`K`).
pub const EPOCHS_IN_FLIGHT_MAX: usize = 8;
/// Epochs that one shard leaves because of a wish before the first of them must be persistent: one on the device and one on
/// its way to it. More would only cut the same commits into smaller epochs.
pub const FORCED_IN_FLIGHT_MAX: usize = 2;
/// From this many parts on a set keeps an index of its keys; below, a scan of the parts is as fast.
pub const SET_INDEX_PARTS_MIN: usize = 16;

const _: () = assert!(SET_BYTES_MAX >= segments::limits::VALUE_BYTES_MAX + segments::limits::KEY_BYTES_MAX);
const _: () = assert!(EPOCHS_IN_FLIGHT_MAX.is_power_of_two(), "the ring of 2K slots is indexed by masking");
const _: () = assert!(FORCED_IN_FLIGHT_MAX < EPOCHS_IN_FLIGHT_MAX, "the timer finds room beside the wishes");
const _: () =
    assert!(SET_PARTS_MAX * STAGED_VALUE_BYTES_MIN <= SET_MEMORY_DEFAULT, "small values alone stay within it");
