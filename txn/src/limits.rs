//! Every bound of a transaction, with the sum that gave it.

/// Most parts (keys) of a commit set.
pub const SET_PARTS_MAX: usize = 65_536;
/// Most bytes of keys and values of a commit set: one value of the largest size and as much again.
pub const SET_BYTES_MAX: usize = 128 << 20;
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
