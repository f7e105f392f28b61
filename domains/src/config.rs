//! What an engine is told at open. Plain values; defaults suit a service on a small machine.

use crate::error::Error;
use crate::index::hash::slot::COMPACT_PAGES_MAX;
use segments::limits::SEGMENT_PAGES_DEFAULT;

/// Settings of a persistent or volatile domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Pages of a segment; counts when the device is formatted, later the device's own figure holds.
    pub segment_pages: u32,
    /// The most pages the device may grow to; `None` for no cap.
    pub space_pages_max: Option<u64>,
    /// How long a commit waits at most for its epoch to be closed.
    pub epoch_interval_nanos: u64,
    /// Budget for cached records.
    pub cache_bytes: usize,
    /// Pages of the log's tail kept in memory.
    pub tail_pages: usize,
    /// Bits of a fingerprint that count, 1 to 64. Below 64 every match is confirmed by reading the record's key.
    pub fingerprint_bits: u8,
    /// The most pages that a device may have where compact slots name its records: those that such a slot tells apart, or fewer
    /// for a test.
    pub compact_pages_max: u64,
    /// Bytes of earlier records that revertible writes may keep, of all tables and writers together.
    pub kept_bytes_max: u64,
    /// Bytes of the log that all open transactions together may have written out before their commits. Those of one that is aborted
    /// are dead bytes, which reclaim gives back where it is on.
    pub staged_bytes_max: u64,
    /// Pages zero-filled ahead of the log at a time.
    pub zero_pages: u32,
    /// Whether space is won back by itself: checkpoints are written, and live records leave segments that are mostly dead.
    pub reclaims: bool,
    /// A segment of whose records so many of a hundred are dead is reclaimed; where space is short also one of which less is dead.
    pub reclaim_dead_percent: u8,
    /// Pages of live records that are moved together, about: so much is held in memory, and put in order.
    pub reclaim_batch_pages: u32,
    /// Free segments that are kept as they are, to be used again without delay; the room of more goes back to the device.
    pub spare_segments: u32,
    /// How often it is looked, while commits go on, whether there is space to be won.
    pub reclaim_interval_nanos: u64,
    /// Pages of log after which a checkpoint is written, at least: the log that an open goes through.
    pub checkpoint_pages: u64,
    /// Whether commits on a key on which many fail have their turns. Off for measurements.
    pub takes_turns: bool,
    /// Clients whose requests are remembered so that they are applied once. Each takes up to 12 KiB of memory and as many bytes on
    /// the device.
    pub clients_max: usize,
    /// A client that was not heard of for so long may be forgotten for another.
    pub client_idle_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_pages: SEGMENT_PAGES_DEFAULT,
            space_pages_max: None,
            epoch_interval_nanos: 1_000_000,
            cache_bytes: 64 << 20,
            tail_pages: 16_384,
            fingerprint_bits: 64,
            compact_pages_max: COMPACT_PAGES_MAX,
            kept_bytes_max: 256 << 20,
            staged_bytes_max: 4 << 30,
            zero_pages: 1_024,
            reclaims: false,
            reclaim_dead_percent: 50,
            reclaim_batch_pages: 4_096,
            spare_segments: 8,
            reclaim_interval_nanos: 1_000_000,
            checkpoint_pages: 65_536,
            takes_turns: true,
            clients_max: 1_024,
            client_idle_ms: 24 * 60 * 60 * 1_000,
        }
    }
}

/// The widest fingerprint: as many bits as an index compares.
const FINGERPRINT_BITS_MAX: u8 = 64;

impl Config {
    /// Whether an engine can run with this.
    ///
    /// # Errors
    /// [`Error::Limit`] names the setting that is out of its bounds.
    pub fn check(&self) -> Result<(), Error> {
        if !(1..=FINGERPRINT_BITS_MAX).contains(&self.fingerprint_bits) {
            let (value, limit) = (u64::from(self.fingerprint_bits), u64::from(FINGERPRINT_BITS_MAX));
            return Err(Error::Limit { what: "the bits of a fingerprint (at least 1)", value, limit });
        }
        if self.compact_pages_max > COMPACT_PAGES_MAX {
            let (value, limit) = (self.compact_pages_max, COMPACT_PAGES_MAX);
            return Err(Error::Limit { what: "the pages of a device whose records compact slots name", value, limit });
        }
        Ok(())
    }
}
