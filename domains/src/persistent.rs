//! The persistent domain: tables in a log on a device, and how a device becomes one.
//!
//! Contract: [`format`] prepares a blank device; [`open`] recovers what the incarnation before left and begins the next. When
//! `open` returns, what it found is durable, the cut of the incarnation before is recorded, and only then is anybody answered.

use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use segments::blocking::{Blocking, Failed};
use segments::cuts::Cuts;
use segments::mutants::{Mutant, planted};
use segments::superblock::{
    Choice, CopyFound, SUPERBLOCK_COPY_PAGES, SUPERBLOCK_PAGES, Superblock, SuperblockError, copy_page, update_order,
};
use segments::{Device, DeviceError, DomainId, EpochId, Frames, Incarnation, PAGE_BYTES, PageNo};

mod load;
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
    /// The cuts of all earlier incarnations.
    pub cuts: Cuts,
    /// Pages read.
    pub pages_read: u64,
    /// Of them, those that no log reaches, read in search of pages that say what was announced: none after an orderly end. At most
    /// what the incarnation before had added to the device and not filled, and of a file only what was ever written.
    pub pages_searched: u64,
    /// Runs of segments looked at.
    pub segments: u32,
    /// Up to where the index checkpoint reaches that it began with, if there was one.
    pub checkpoint: Option<EpochId>,
    /// Why checkpoints that were found did not serve.
    pub checkpoints_passed_over: Vec<String>,
    /// Runs whose summary served instead of their data.
    pub summaries_used: u32,
    /// Live pairs found, all tables together.
    pub pairs: u64,
    /// Records behind the cut that were dropped: committed, never announced as persistent.
    pub records_dropped: u64,
    /// Good pages found behind the log's end; none are looked for when it was closed in order.
    pub pages_dropped: u64,
    /// Why the log of the incarnation before ended where it did.
    pub end: String,
}

/// Formats a device that has never been written.
///
/// # Errors
/// When a setting is out of its bounds, or the device holds anything, or fails.
pub fn format(device: &mut dyn Device, config: &Config, entropy: Entropy) -> Result<(), Error> {
    config.check()?;
    let limits = segments::limits::SEGMENT_PAGES_MIN;
    if config.segment_pages < limits {
        let (value, limit) = (u64::from(config.segment_pages), u64::from(limits));
        return Err(Error::Limit { what: "the pages of a segment (at least)", value, limit });
    }
    let mut device = Blocking::new(device);
    let ground = ground_of(&mut device)?;
    if ground == Ground::Taken {
        return Err(Error::NotAStore { why: "it holds something, which a format would destroy".to_owned() });
    }
    let superblock = Superblock::formatted(entropy.domain, entropy.salt, entropy.hash_key, config.segment_pages, 1);
    write_first(&mut device, &superblock, ground).map_err(|error| failed("formatting the device", error))
}

/// Opens a formatted device: recovers, and begins the next incarnation.
///
/// # Errors
/// When a setting is out of its bounds, or the device is not a store, is damaged below an announced epoch or cut off, or fails. Nothing
/// has been answered then, and another open starts from the same state.
pub fn open(device: &mut dyn Device, config: &Config) -> Result<(Engine, Report), Error> {
    config.check()?;
    recovery::recover(device, config)
}

/// Whether a device holds nothing at all, so that [`format`] loses nothing: it is empty, or a format of it was never finished.
///
/// # Errors
/// When the device fails.
pub fn is_blank(device: &mut dyn Device) -> Result<bool, Error> {
    Ok(ground_of(&mut Blocking::new(device))? != Ground::Taken)
}

/// What a device is to a format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ground {
    /// Nothing is there, or but one page, where a format makes its mark.
    Blank,
    /// A format was cut short behind its mark: no two copies agree, and no segment was ever made.
    Begun,
    /// Something that is not ours to overwrite.
    Taken,
}

/// The copy whose first page is a format's mark.
const MARK_COPY: u8 = 3;

fn ground_of(device: &mut Blocking<'_>) -> Result<Ground, Error> {
    if device.pages() == 0 {
        return Ok(Ground::Blank);
    }
    if device.pages() != SUPERBLOCK_PAGES {
        return Ok(Ground::Taken);
    }
    let copies = read_copies(device)?;
    let marked = |copy: usize, page: usize| copy == usize::from(MARK_COPY) && page == 0;
    let is_blank = |(copy, frames): (usize, &Option<Frames>)| {
        let Some(frames) = frames else { return false };
        (0..frames.pages()).all(|page| marked(copy, page) || frames.page(page).iter().all(|byte| *byte == 0))
    };
    // The mark alone may be anything: it was on its way when the power failed.
    let untouched = copies.frames.iter().enumerate().all(is_blank);
    Ok(match copies.choose() {
        Err(SuperblockError::NoQuorum { found }) if found.contains(&CopyFound::Unreadable) => Ground::Taken,
        Err(SuperblockError::NoQuorum { found })
            if matches!(found[usize::from(MARK_COPY)], CopyFound::Valid { .. }) =>
        {
            Ground::Begun
        }
        Err(_) if untouched => Ground::Blank,
        Ok(_) | Err(_) => Ground::Taken,
    })
}

/// Writes the first superblock so that a power failure at any moment leaves what [`ground_of`] knows again, whatever it makes of
/// the sectors under way: first the mark, one page alone; then, while that vouches for all of them, the other copies; then its own.
fn write_first(device: &mut Blocking<'_>, superblock: &Superblock, ground: Ground) -> Result<(), Failed> {
    let copy = |copy: u8| (copy_page(copy), superblock.encode(copy));
    device.grow(SUPERBLOCK_PAGES)?;
    if ground == Ground::Blank {
        let (at, whole) = copy(MARK_COPY);
        let mut mark = Frames::zeroed(1);
        mark.page_mut(0).copy_from_slice(whole.page(0));
        device.write_each(vec![(at, mark)])?;
        device.flush()?;
    }
    device.write_each((0..MARK_COPY).map(copy).collect())?;
    device.flush()?;
    device.write_each(vec![copy(MARK_COPY)])?;
    device.flush()
}

/// The superblock's copies as they were read.
struct Copies {
    /// Nothing stands for one that lies on bad sectors, which is what the others are there for.
    frames: [Option<Frames>; 4],
    /// Why the first of those could not be read.
    unreadable: Option<Failed>,
}

impl Copies {
    fn choose(&self) -> Result<Choice, SuperblockError> {
        Superblock::choose(self.frames.each_ref().map(|frames| frames.as_ref().map(Frames::bytes)))
    }
}

fn read_copies(device: &mut Blocking<'_>) -> Result<Copies, Error> {
    let pages = usize::try_from(SUPERBLOCK_COPY_PAGES).expect("16 pages");
    let (mut frames, mut unreadable) = ([None, None, None, None], None);
    for (copy, place) in frames.iter_mut().enumerate() {
        match device.read(PageNo(copy as u64 * SUPERBLOCK_COPY_PAGES), pages) {
            Ok(read) => *place = Some(read),
            Err(error) if error.is_local() => unreadable = unreadable.or(Some(error)),
            Err(error) => return Err(failed("reading the superblock", error)),
        }
    }
    Ok(Copies { frames, unreadable })
}

/// Writes all copies of a superblock, two at a time, so that at every moment two copies of the old or the new one are whole.
fn write_superblock(device: &mut Blocking<'_>, superblock: &Superblock) -> Result<(), Failed> {
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
fn flush(device: &mut Blocking<'_>) -> Result<(), Failed> {
    let flushed = device.flush();
    if planted(Mutant::RecoversOnFailedFlush) && matches!(flushed, Err(Failed { error: DeviceError::Io { .. }, .. })) {
        return Ok(());
    }
    flushed
}

fn failed(doing: &'static str, failed: Failed) -> Error {
    let Failed { page, error, .. } = failed;
    match error {
        DeviceError::NoSpace { .. } => Error::NoSpace { limit_pages: SUPERBLOCK_PAGES, why: error.to_string() },
        DeviceError::Io { .. } | DeviceError::PastEnd { .. } | DeviceError::Gone => {
            Error::DeviceFailed { doing, offset: page.0 * PAGE_BYTES as u64, error }
        }
    }
}

#[cfg(test)]
mod tests;
