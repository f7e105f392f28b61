//! Time, owned by the simulation: it moves when it is told to and never goes back.

use domains::Tick;

/// Nanoseconds of a millisecond.
const NANOS_PER_MS: u64 = 1_000_000;

/// The simulation's only clock.
#[derive(Clone, Debug)]
pub struct SimClock {
    nanos: u64,
    unix_ms_start: u64,
}

impl SimClock {
    /// A clock that shows `unix_ms` on the wall.
    #[must_use]
    pub fn new(unix_ms: u64) -> Self {
        Self { nanos: 0, unix_ms_start: unix_ms }
    }

    /// What logic is told.
    #[must_use]
    pub fn now(&self) -> Tick {
        Tick { nanos: self.nanos, unix_ms: self.unix_ms_start + self.nanos / NANOS_PER_MS }
    }

    /// Lets time pass.
    pub fn advance(&mut self, nanos: u64) {
        self.nanos += nanos;
    }

    /// Lets time pass until `tick`, if that is still to come.
    pub fn advance_to(&mut self, tick: Tick) {
        self.nanos = self.nanos.max(tick.nanos);
    }
}
