//! The persistent domain: tables in a log on a device, and how a device becomes one.
//!
//! Contract: [`format`] prepares a blank device; [`open`] recovers what the incarnation before left and begins the next. When
//! `open` returns, what it found is durable, the cut of the incarnation before is recorded, and only then is anybody answered.

use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use segments::blocking::Blocking;
use segments::mutants::{Mutant, planted};
use segments::superblock::{
    CopyFound, SUPERBLOCK_COPY_PAGES, SUPERBLOCK_PAGES, Superblock, SuperblockError, update_order,
};
use segments::{Device, DeviceError, DomainId, EpochId, Frames, Incarnation, PageNo};

mod recovery;
mod replay;

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
    /// The domain.
    pub domain: DomainId,
    /// The incarnation that now begins.
    pub incarnation: Incarnation,
    /// The last persistent epoch of the incarnation before: its cut.
    pub cut: EpochId,
    /// Cuts of all earlier incarnations that wrote anything.
    pub cuts: Vec<(Incarnation, EpochId)>,
    /// Pages read.
    pub pages_read: u64,
    /// Runs of segments looked at.
    pub segments: u32,
    /// Runs whose summary served instead of their data.
    pub summaries_used: u32,
    /// Live pairs found, all tables together.
    pub pairs: u64,
    /// Records behind the cut that were dropped: committed, never announced as persistent.
    pub records_dropped: u64,
    /// Good pages found behind the log's end.
    pub pages_dropped: u64,
    /// Why the log of the incarnation before ended where it did.
    pub end: String,
}

/// Formats a device that has never been written.
///
/// # Errors
/// When the device holds anything, or fails.
pub fn format(device: &mut dyn Device, config: &Config, entropy: Entropy) -> Result<(), Error> {
    let limits = segments::limits::SEGMENT_PAGES_MIN;
    if config.segment_pages < limits {
        let (value, limit) = (u64::from(config.segment_pages), u64::from(limits));
        return Err(Error::Limit { what: "the pages of a segment (at least)", value, limit });
    }
    let mut device = Blocking::new(device);
    device.grow(SUPERBLOCK_PAGES).map_err(|error| failed("growing the device", error))?;
    let superblock = Superblock::formatted(entropy.domain, entropy.salt, entropy.hash_key, config.segment_pages, 1);
    write_superblock(&mut device, &superblock).map_err(|error| failed("writing the superblock", error))
}

/// Opens a formatted device: recovers, and begins the next incarnation.
///
/// # Errors
/// When the device is not a store, is damaged below an announced epoch, or fails. Nothing has been answered then, and another
/// open starts from the same state.
pub fn open(device: &mut dyn Device, config: &Config) -> Result<(Engine, Report), Error> {
    recovery::recover(device, config)
}

/// Whether a device holds nothing at all, so that [`format`] loses nothing: it is empty, or a format of it was never finished.
///
/// # Errors
/// When the device fails.
pub fn is_blank(device: &mut dyn Device) -> Result<bool, Error> {
    let mut device = Blocking::new(device);
    if device.pages() == 0 {
        return Ok(true);
    }
    if device.pages() > SUPERBLOCK_PAGES {
        return Ok(false);
    }
    if device.pages() < SUPERBLOCK_PAGES {
        return Ok(false);
    }
    // Without a quorum and without a segment nothing was ever stored: a format that was cut short.
    let copies = read_copies(&mut device)?;
    Ok(match Superblock::choose(copies.each_ref().map(|copy| copy.as_ref().map(Frames::bytes))) {
        Err(SuperblockError::Empty) => true,
        Err(SuperblockError::NoQuorum { found }) => {
            found.iter().all(|copy| !matches!(copy, CopyFound::Foreign | CopyFound::Unreadable))
        }
        Ok(_) | Err(_) => false,
    })
}

/// The four copies; nothing stands for one that lies on bad sectors, which is what the others are there for.
fn read_copies(device: &mut Blocking<'_>) -> Result<[Option<Frames>; 4], Error> {
    let pages = usize::try_from(SUPERBLOCK_COPY_PAGES).expect("16 pages");
    let mut copies = Vec::new();
    for copy in 0..4 {
        let at = PageNo(copy * SUPERBLOCK_COPY_PAGES);
        copies.push(match device.read(at, pages) {
            Ok(frames) => Some(frames),
            Err(DeviceError::Io { .. }) => None,
            Err(error) => return Err(failed("reading the superblock", error)),
        });
    }
    Ok(copies.try_into().expect("four copies were read"))
}

/// Writes all copies of a superblock, two at a time, so that at every moment two copies of the old or the new one are whole.
fn write_superblock(device: &mut Blocking<'_>, superblock: &Superblock) -> Result<(), DeviceError> {
    for pair in update_order(superblock.sequence) {
        let writes = pair.map(|copy| (PageNo(u64::from(copy) * SUPERBLOCK_COPY_PAGES), superblock.encode(copy)));
        device.write_each(writes.into())?;
        if !planted(Mutant::ServesBeforeRecord) {
            flush(device)?;
        }
    }
    Ok(())
}

/// Makes what was written durable. A failure is final: what a second try would say of it proves nothing.
fn flush(device: &mut Blocking<'_>) -> Result<(), DeviceError> {
    let flushed = device.flush();
    if planted(Mutant::RecoversOnFailedFlush) && matches!(flushed, Err(DeviceError::Io { .. })) {
        return Ok(());
    }
    flushed
}

fn failed(doing: &str, error: DeviceError) -> Error {
    match error {
        DeviceError::NoSpace { .. } => Error::NoSpace { limit_pages: SUPERBLOCK_PAGES, why: error.to_string() },
        DeviceError::Io { .. } | DeviceError::PastEnd { .. } | DeviceError::Gone => {
            Error::CorruptStore { why: format!("{doing} failed: {error}") }
        }
    }
}

#[cfg(test)]
mod tests;
