//! Every bound of this crate, with the sum that gave it.

use std::time::Duration;

/// Largest buffer of one operation: the kernel moves at most 2 GiB less a page in one call, and a record has 64 MiB.
pub const TRANSFER_BYTES_MAX: usize = 1 << 30;
/// Fewest places in flight of a ring: two for files, six for what may wait for ever.
pub const PLACES_MIN: u32 = 8;
/// Most places in flight of a ring: the kernel's largest completion queue has 65,536 places, and half of them stay free for
/// the completions of cancels and for room to drain.
pub const PLACES_MAX: u32 = 32_768;
/// Most requests handed over in one call: 1,024 of 64 bytes are 64 KiB, far below the smallest limit on locked memory.
pub const SUBMIT_MAX: u32 = 1_024;
/// How often a transfer that came back short is issued again, whole, before it fails.
pub const SHORT_RETRIES_MAX: u32 = 8;
/// How often a request that the kernel asked to repeat (EAGAIN, EINTR) is issued again before it fails.
pub const AGAIN_RETRIES_MAX: u32 = 65_536;
/// Threads of the POSIX backend that do file operations: one may sit in a flush while the other reads.
pub const FILE_THREADS: usize = 2;
/// Bytes zeroed by one write: large enough to cost one device command's overhead in a hundred, small enough to be cached.
pub const ZERO_PIECE_BYTES: usize = 1 << 20;
/// Longest path of a Unix socket: the address has 108 bytes and ends with a zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Connections that may wait to be accepted.
pub const LISTEN_BACKLOG: i32 = 128;
/// How long a starter waits for the last writes of a killed predecessor.
pub const DYING_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a living holder of a lock is taken for one that has been killed and does not know it yet.
pub const KILLED_GRACE: Duration = Duration::from_millis(500);
/// First pause between two attempts at a lock; each further one is twice as long.
pub const LOCK_PAUSE_MIN: Duration = Duration::from_millis(1);
/// Longest pause between two attempts at a lock.
pub const LOCK_PAUSE_MAX: Duration = Duration::from_millis(50);

const _: () = assert!(PLACES_MIN.is_power_of_two() && PLACES_MAX.is_power_of_two());
const _: () = assert!(SUBMIT_MAX <= PLACES_MAX);
const _: () = assert!(TRANSFER_BYTES_MAX < 0x7fff_f000, "one call can move it");
