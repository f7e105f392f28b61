//! Every bound of the service, with its reason.

use std::time::Duration;

/// Bytes of a name: what Linux allows.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a symbolic link's target: what Linux allows.
pub const TARGET_BYTES_MAX: usize = 4_095;
/// Directories above one another: a path of 4,096 bytes has at most 2,048 names.
pub const DEPTH_MAX: usize = 4_096;
/// How often an operation that lost against another is begun anew. The one it lost against has succeeded each time, so with
/// 8 clients on one name the odds to lose 100 times one after the other are below 10^-5 even if each is as likely to win.
pub const ATTEMPTS_MAX: u32 = 100;
/// Inode numbers taken from the lease at a time. A service that ends leaves at most so many of 2^64 unused.
pub const INOS_LEASED: u64 = 1_024;
/// Operations under way in an import: where a socket's throughput no longer rises with depth.
pub const IN_FLIGHT: usize = 128;
/// Names whose inodes are asked for together by a comparison: four lookups each, twice the depth that a socket gains from.
pub const COMPARED_TOGETHER: usize = 64;
/// Findings that a report lists; it counts all.
pub const LISTED_MAX: usize = 20;
/// Changes that a check reads at a time: about 100 bytes each.
pub const CHANGES_TOGETHER: usize = 4_096;
/// Names imported between two calls of the progress function.
pub const PROGRESS_EVERY: u64 = 256;

/// A file system stamps changes by a clock that ticks 100 to 1,000 times a second, so a change may bear a time that is up to 10 ms
/// before its own. Twice that is taken off when it is asked whether something changed since a moment.
pub const DISK_CLOCK_LAG: Duration = Duration::from_millis(20);

const _: () = assert!(IN_FLIGHT > 0 && COMPARED_TOGETHER > 0);
