//! The clocks, read at the edge only: logic is told the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A moment, as logic is told it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Now {
    /// Nanoseconds since the clock was started; never goes back.
    pub nanos: u64,
    /// Milliseconds since 1970; held still while the machine's clock is set back.
    pub unix_ms: u64,
}

/// Reads the machine's clocks.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    unix_ms_last: u64,
}

impl Clock {
    /// A clock that counts from now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), unix_ms_last: 0 }
    }

    /// What time it is.
    pub fn now(&mut self) -> Now {
        // Before 1970 the machine's clock is not set; 0 is as good as any.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        self.unix_ms_last = self.unix_ms_last.max(unix_ms);
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).expect("five centuries fit 64 bits");
        Now { nanos, unix_ms: self.unix_ms_last }
    }
}
