//! The persistent domain: tables in a log on a device. (Under construction: the signatures stand.)

use crate::config::Config;
use crate::error::Error;
use segments::{Device, DomainId, EpochId, Incarnation};

/// Random numbers drawn by the edge, used once when a device is formatted.
#[derive(Clone, Copy, Debug)]
pub struct Entropy {
    /// The new domain's identity.
    pub domain: DomainId,
    /// Seed of the page checksums.
    pub salt: u32,
    /// Key of the keyed hash behind every fingerprint.
    pub hash_key: [u8; 16],
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The incarnation that now begins.
    pub incarnation: Incarnation,
    /// The last persistent epoch of the incarnation before: its cut.
    pub cut: EpochId,
    /// Pages read.
    pub pages_read: u64,
    /// Segments looked at.
    pub segments: u32,
    /// Segments whose summary served instead of their data.
    pub summaries_used: u32,
    /// Live pairs found.
    pub pairs: u64,
    /// Pages after the cut that were dropped.
    pub pages_dropped: u64,
    /// Why the log ended where it did.
    pub end: String,
}

/// Formats a device that has never been written.
///
/// # Errors
/// When the device holds anything, or fails.
pub fn format(device: &mut dyn Device, config: &Config, entropy: Entropy) -> Result<(), Error> {
    let _ = (device, config, entropy);
    Err(Error::Closing)
}
