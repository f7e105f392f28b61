//! The reading end of checkpoints: which there are, and what is in one.
//!
//! Contract: [`find`] goes by segments' headers alone; [`read`] checks every page of a checkpoint up to its footer before it says
//! that the checkpoint is whole, and shows the items meanwhile. It reads 1 MiB at a time and keeps nothing else, whatever the pages
//! say.
//! Invariant: a page that is damaged, missing, unreadable, or of another checkpoint ends the reading with [`Read::Not`]; only a
//! device that fails as a whole is an error.

use super::item::Items;
use super::{CheckpointError, Footer, FoundCheckpoint, Item, Read, number_and_pages, seq_of};
use crate::blocking::Blocking;
use crate::frame::PAGE_BYTES;
use crate::ids::{EpochId, Incarnation, ShardId, TableId};
use crate::log::scan::{DeviceIdentity, FoundRun, ScanError};
use crate::page::{self, PageHeader, PageKind, domain_mark, stored_checksum};
use crate::segment::{Purpose, SegmentHeader};
use core::cmp::Reverse;
use core::fmt::Display;
use std::collections::BTreeMap;

/// Pages read at once: 1 MiB.
const CHUNK_PAGES: u32 = 256;

/// Who takes the items, each with the table that it is of; the device is lent to it meanwhile.
pub type SeeItem<'s> = &'s mut dyn FnMut(&mut Blocking<'_>, TableId, Item<'_>) -> Result<(), ScanError>;

/// What a page of a checkpoint holds, behind its segment's header.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// Items.
    Items(Items<'a>),
    /// The footer.
    Footer(Footer),
}

/// What tells checkpoints apart; the newest is the smallest.
type Name = (Reverse<(Incarnation, u32)>, ShardId);

/// The checkpoints that have a segment among these runs, the newest (by incarnation, then number) first.
#[must_use]
pub fn find(runs: &[FoundRun]) -> Vec<FoundCheckpoint> {
    let mut found: BTreeMap<Name, Vec<FoundRun>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.header.purpose == Purpose::Checkpoint) {
        let (number, _) = number_and_pages(run.header.first_seq);
        found.entry((Reverse((run.header.incarnation, number)), run.header.log)).or_default().push(*run);
    }
    let found = found.into_iter().map(|((Reverse((incarnation, number)), log), mut segments)| {
        segments.sort_by_key(|run| (run.header.first_seq, run.header.segment));
        FoundCheckpoint { incarnation, log, number, segments }
    });
    found.collect()
}

/// What a page says, in itself; whether it is the next one of a checkpoint, its header tells.
///
/// # Errors
/// If it is no page, or none that a checkpoint has behind a segment's header.
pub fn content(page: &[u8; PAGE_BYTES], salt: u32) -> Result<(PageHeader, Content<'_>), CheckpointError> {
    let header = page::parse(page, salt)?;
    let payload = page::payload(page, &header);
    let content = match header.kind {
        PageKind::Checkpoint => Content::Items(Items::parse(header.owner, payload)?),
        PageKind::CheckpointFooter => Content::Footer(Footer::parse(&header, payload)?),
        PageKind::SegmentHeader
        | PageKind::Log
        | PageKind::LargeHead
        | PageKind::LargeBody
        | PageKind::Summary
        | PageKind::SummaryFooter
        | PageKind::Table => return Err(CheckpointError::Kind { found: header.kind }),
    };
    Ok((header, content))
}

/// Reads a checkpoint and shows its items. What was shown counts only if the answer is [`Read::Whole`].
///
/// # Errors
/// When the device fails as a whole, and what `see` answers.
pub fn read(
    device: &mut Blocking<'_>,
    identity: &DeviceIdentity,
    found: &FoundCheckpoint,
    see: SeeItem<'_>,
) -> Result<Read, ScanError> {
    let mut reader = Reader { identity, found, pages: 0, previous: 0, items: 0 };
    for (number, run) in found.segments.iter().enumerate() {
        match reader.segment(device, run, see) {
            Ok(None) => {}
            Ok(Some(_)) if number + 1 < found.segments.len() => {
                let why = format!("{:?} lies behind its footer", found.segments[number + 1].run.segment);
                return Ok(Read::Not { why });
            }
            Ok(Some(footer)) => return Ok(Read::Whole(footer)),
            Err(Stop::Broken(why)) => return Ok(Read::Not { why }),
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    Ok(Read::Not { why: "it has no footer".to_owned() })
}

/// Why reading goes no further.
enum Stop {
    /// The checkpoint does not count.
    Broken(String),
    /// There is nothing to be said of the checkpoint.
    Failed(ScanError),
}

/// How far a checkpoint has been followed.
struct Reader<'f> {
    identity: &'f DeviceIdentity,
    found: &'f FoundCheckpoint,
    /// Its pages so far.
    pages: u32,
    /// The checksum of the last of them.
    previous: u32,
    /// The items in them.
    items: u64,
}

impl Reader<'_> {
    /// Goes through one segment; the footer, if it is here.
    fn segment(&mut self, device: &mut Blocking<'_>, run: &FoundRun, see: SeeItem<'_>) -> Result<Option<Footer>, Stop> {
        let pages = self.identity.geometry.segment_pages();
        let start = run.run.start();
        let there = device.pages().saturating_sub(start.0).min(u64::from(pages));
        let there = u32::try_from(there).expect("a segment's pages are counted in 32 bits");
        let mut index = 0;
        while index < there {
            let count = CHUNK_PAGES.min(there - index);
            let first = start.plus(u64::from(index));
            let read = device.read_what_can_be(first, usize::try_from(count).expect("at most 256"));
            let (frames, bad) = read.map_err(|failed| Stop::Failed(failed.into()))?;
            for (number, index) in (0..frames.pages()).zip(index..) {
                if let Some((_, failed)) = bad.iter().find(|(bad, _)| *bad == number) {
                    return Err(Stop::Broken(format!("page {} cannot be read: {failed}", failed.page)));
                }
                if let Some(footer) = self.page(device, run, index, frames.page(number), see)? {
                    return Ok(Some(footer));
                }
            }
            index += count;
        }
        if there < pages {
            return Err(Stop::Broken(format!("page {} is past the device's end", start.plus(u64::from(there)))));
        }
        Ok(None)
    }

    fn page(
        &mut self,
        device: &mut Blocking<'_>,
        run: &FoundRun,
        index: u32,
        page: &[u8; PAGE_BYTES],
        see: SeeItem<'_>,
    ) -> Result<Option<Footer>, Stop> {
        let broken =
            |why: &dyn Display| Stop::Broken(format!("page {}: {why}", run.run.start().plus(u64::from(index))));
        let footer = if index == 0 {
            let (segment, header) = SegmentHeader::parse(page, self.identity.salt).map_err(|error| broken(&error))?;
            self.follows(run, index, &header).map_err(|why| broken(&why))?;
            if !self.is_ours(&segment) {
                return Err(broken(&"it begins a segment of something else"));
            }
            None
        } else {
            let (header, content) = content(page, self.identity.salt).map_err(|error| broken(&error))?;
            self.follows(run, index, &header).map_err(|why| broken(&why))?;
            match content {
                Content::Items(items) => {
                    self.items += u64::from(items.left());
                    show(device, items, &broken, see)?;
                    None
                }
                Content::Footer(footer) if footer.items == self.items => Some(footer),
                Content::Footer(footer) => {
                    return Err(broken(&format!("it counts {} items, there are {}", footer.items, self.items)));
                }
            }
        };
        // A page that could not be counted would not follow this one.
        self.pages = self.pages.wrapping_add(1);
        self.previous = stored_checksum(page);
        Ok(footer)
    }

    /// Whether a page is the next of this checkpoint: what it is not yet known to say must be exactly this.
    fn follows(&self, run: &FoundRun, index: u32, header: &PageHeader) -> Result<(), String> {
        let wanted = PageHeader {
            previous: self.previous,
            log: self.found.log,
            incarnation: self.found.incarnation,
            segment: run.run.segment,
            index,
            seq: seq_of(self.found.number, self.pages),
            epoch: EpochId(0),
            domain: domain_mark(self.identity.domain),
            ..*header
        };
        if *header == wanted {
            return Ok(());
        }
        Err(format!(
            "it is page {} of {:?} by {} and follows {:#010x}; page {} of {:?} by {} and {:#010x} belong there",
            header.seq,
            header.incarnation,
            header.log,
            header.previous,
            wanted.seq,
            wanted.incarnation,
            wanted.log,
            wanted.previous
        ))
    }

    fn is_ours(&self, segment: &SegmentHeader) -> bool {
        let pages = self.identity.geometry.segment_pages();
        (segment.domain, segment.segment_pages) == (self.identity.domain, pages)
            && (segment.purpose, segment.run) == (Purpose::Checkpoint, 1)
    }
}

/// Shows the items of a page.
fn show(
    device: &mut Blocking<'_>,
    items: Items<'_>,
    broken: &dyn Fn(&dyn Display) -> Stop,
    see: SeeItem<'_>,
) -> Result<(), Stop> {
    let owner = items.owner();
    for item in items {
        let item = item.map_err(|error| broken(&error))?;
        see(device, owner, item).map_err(Stop::Failed)?;
    }
    Ok(())
}
