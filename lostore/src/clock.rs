//! The clock of the executors: one cheap reading gives both halves of a [`Tick`].
//!
//! Invariants: ticks never go back, in neither half. The wall clock is asked at most once a second; in between it is carried
//! on by the monotone one, so that a reading costs one call into the kernel's mapped page and no system call.

#![expect(clippy::disallowed_methods, reason = "this is where an executor reads the clock")]

use domains::Tick;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds after which the wall clock is asked again.
const WALL_NANOS_MAX: u64 = 1_000_000_000;

/// Where ticks come from.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    wall_nanos: u64,
    wall_ms: u64,
    last: Tick,
}

impl Clock {
    /// A clock that starts at zero now.
    pub(crate) fn start() -> Self {
        let wall_ms = wall_ms();
        Self { origin: Instant::now(), wall_nanos: 0, wall_ms, last: Tick { nanos: 0, unix_ms: wall_ms } }
    }

    /// What time it is.
    pub(crate) fn read(&mut self) -> Tick {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).expect("a process lives less than 584 years");
        if nanos - self.wall_nanos >= WALL_NANOS_MAX {
            self.wall_nanos = nanos;
            self.wall_ms = wall_ms();
        }
        let unix_ms = self.wall_ms + (nanos - self.wall_nanos) / 1_000_000;
        self.last = Tick { nanos, unix_ms: unix_ms.max(self.last.unix_ms) };
        self.last
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).expect("the wall clock stands before the year 584 million")
}
