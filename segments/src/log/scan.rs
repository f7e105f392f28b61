//! The reading end of a log: finds its runs, follows the chain of pages, shows each record, and says where and why it ended.
//!
//! Contract: only pages that continue the chain count. A page with a good checksum that does not continue it is not read as
//! data, wherever it lies: it may be of an earlier use of its place. What such pages say of the persistent horizon [`search`]
//! finds, since a horizon beyond the chain's end proves that announced data is missing.
//!
//! A run with a good summary is not read: its pages were persistent before the summary was written. A summary that is not whole,
//! or lies on bad sectors, is no loss: the data is read instead. A page of the log that cannot be read ends its chain; whether
//! anything is missing then, the caller knows.

use super::run::Run;
use crate::blocking::{Blocking, Failed};
use crate::frame::PAGE_BYTES;
use crate::ids::{DomainId, EpochId, PageNo, SegmentId};
use crate::large;
use crate::mutants::{Mutant, planted};
use crate::page::{
    self, PAGE_HEADER_BYTES, PAGE_PAYLOAD_BYTES, PageError, PageHeader, PageKind, domain_mark, stored_checksum,
};
use crate::place::Place;
use crate::probes::{Probe, hit};
use crate::record::{self, RecordHead, RecordKind};
use crate::segment::{Geometry, Purpose, SegmentHeader};
use crate::summary::{Footer, SummaryItem, SummaryReader};
use thiserror::Error;

mod search;
pub use search::{Stray, search};

/// Why a scan could not be done; not why a log ended.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ScanError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] Failed),
    /// Whoever looked on had enough.
    #[error("the scan was stopped")]
    Stopped,
    /// A page that is part of the chain holds bytes that no version of this program wrote.
    #[error("page {page} is part of the log but its content is not: {why}")]
    Content {
        /// The page.
        page: u64,
        /// What is wrong.
        why: String,
    },
}

/// What every page of a device says of whom it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct DeviceIdentity {
    /// The domain.
    pub domain: DomainId,
    /// Seed of the page checksums.
    pub salt: u32,
    /// Where segments lie.
    pub geometry: Geometry,
}

/// A run as its header page describes it.
#[derive(Clone, Copy, Debug)]
pub struct FoundRun {
    /// The run.
    pub run: Run,
    /// Its header: who wrote it, what for, and which of that incarnation's logs it is.
    pub header: SegmentHeader,
    /// Last persistent epoch known when the header was sealed.
    pub horizon: EpochId,
    /// The checksum that the header page names: of the last page in the run before, of the log or of the checkpoint.
    pub previous: u32,
}

impl FoundRun {
    /// Whether a log's chain that stands like this goes on with this run.
    #[must_use]
    pub fn continues(&self, chain: Chain) -> bool {
        let is_log = self.header.purpose == Purpose::Log;
        is_log && self.run.first_seq == chain.next_seq && self.previous == chain.previous
    }
}

/// Who looks on; the device is lent to it meanwhile.
pub type See<'s> = &'s mut dyn FnMut(&mut Blocking<'_>, Seen<'_>) -> Result<(), ScanError>;

/// What a scan shows.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A pair or tombstone from the log itself.
    Record {
        /// Its head: table, key, version, lengths.
        head: &'a RecordHead<'a>,
        /// Where it lies.
        place: Place,
    },
    /// A pair or tombstone from a summary.
    Item {
        /// What the summary says of it.
        item: &'a SummaryItem<'a>,
        /// Bytes of its record at most: up to the next one's, or to the end of its page.
        bytes_max: usize,
    },
    /// A close record.
    Close {
        /// The epoch that ends.
        epoch: EpochId,
        /// Its member shards.
        members: u32,
    },
    /// A summary stands for the run that begins here; everything in it is persistent.
    Summary {
        /// Last epoch whose close record lies in the run or before: what is whole without the pages behind the run.
        closed: EpochId,
        /// Last persistent epoch known when the summary was written.
        horizon: EpochId,
    },
    /// A page says that everything up to this epoch is persistent.
    Horizon(EpochId),
}

/// Where a chain stands between two runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Sequence number of the next page.
    pub next_seq: u64,
    /// Checksum that the next page must name.
    pub previous: u32,
}

impl Default for Chain {
    /// Before a log's first page.
    fn default() -> Self {
        Self { next_seq: 1, previous: 0 }
    }
}

/// What the scan of one run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunEnd {
    /// Where the next run must continue.
    pub chain: Chain,
    /// Whether the summary served.
    pub summary_used: bool,
    /// Log pages up to where the chain ended, those before its beginning included.
    pub pages: u64,
    /// Why the run's pages ended.
    pub why: String,
    /// The page that should have come next, if the medium did not give it.
    pub unreadable: Option<Failed>,
}

/// What the first pages of the segments say.
#[derive(Debug, Default)]
pub struct FoundRuns {
    /// The runs, in the order of segments.
    pub runs: Vec<FoundRun>,
    /// Segments whose first page the medium did not give.
    pub unreadable: Vec<Failed>,
}

/// Finds every run on a device, whatever its purpose. One that reaches past the device's end is a run too: as far as it goes.
///
/// # Errors
/// When the device fails as a whole.
pub fn find_runs(device: &mut Blocking<'_>, identity: &DeviceIdentity) -> Result<FoundRuns, ScanError> {
    let segments = identity.geometry.segments_begun(device.pages());
    let starts: Vec<PageNo> = (0..segments).map(|segment| identity.geometry.first_page(SegmentId(segment))).collect();
    let mut found = FoundRuns::default();
    for (batch, places) in starts.chunks(HEADERS_AT_ONCE).enumerate() {
        for (number, header) in device.read_each(places)?.into_iter().enumerate() {
            let segment = u32::try_from(batch * HEADERS_AT_ONCE + number).expect("segments are counted in u32");
            // A run's further segments begin with pages of its records, so a good header inside a run is of a later run.
            match header {
                Ok(frames) => found.runs.extend(found_run(frames.page(0), SegmentId(segment), identity)),
                Err(failed) => found.unreadable.push(failed),
            }
        }
    }
    Ok(found)
}

/// Header pages read at once: one request each, far below what a ring takes.
const HEADERS_AT_ONCE: usize = 64;
/// Pages read at once while following a chain: 1 MiB.
const CHUNK_PAGES: u64 = 256;

fn found_run(page: &[u8; PAGE_BYTES], segment: SegmentId, identity: &DeviceIdentity) -> Option<FoundRun> {
    let (header, outer) = SegmentHeader::parse(page, identity.salt).ok()?;
    let ours = header.domain == identity.domain && header.segment_pages == identity.geometry.segment_pages();
    if !ours || header.segment != segment {
        return None;
    }
    let run = Run { segment, segments: header.run, geometry: identity.geometry, first_seq: header.first_seq };
    Some(FoundRun { run, header, horizon: outer.horizon, previous: outer.previous })
}

/// Follows a log's chain through one run, from where it stands, and shows what is there. `summaries` says whether a good summary may stand for the data.
///
/// # Errors
/// When the device fails as a whole, or a page of the chain holds what cannot be.
///
/// # Panics
/// If the run is not a log's: whoever looks for logs passes over those of another purpose.
pub fn follow(
    device: &mut Blocking<'_>,
    identity: &DeviceIdentity,
    found: &FoundRun,
    chain: Chain,
    summaries: bool,
    see: See<'_>,
) -> Result<RunEnd, ScanError> {
    assert!(found.header.purpose == Purpose::Log, "no log goes through {found:?}");
    let begins_here = found.run.first_seq == chain.next_seq;
    // A checkpoint may begin in the midst of a run: what comes before it there is not read.
    let from = chain.next_seq.checked_sub(found.run.first_seq).filter(|from| *from < found.run.pages());
    let previous = if begins_here { chain.previous } else { found.previous };
    let footer = if from.is_some() { footer_of(device, identity, found, previous)? } else { None };
    if let Some(footer) = footer {
        if summaries
            && begins_here
            && let Some(end) = from_summary(device, identity, found, footer, see)?
        {
            return Ok(end);
        }
        // It proves what was announced, whatever becomes of the data.
        see(device, Seen::Horizon(footer.persistent))?;
    }
    // Behind the log's own pages there may be a summary's, which is nothing to stumble over; the footer's page is never the log's.
    let log_pages = footer.map_or(found.run.pages() - 1, |footer| u64::from(footer.log_pages));
    let pages = from.unwrap_or(0);
    Follow { identity, found, chain, pages, large: None, ended: None, unreadable: None }.run(device, log_pages, see)
}

/// The footer of a run's summary, if there is a good one that can be read.
fn footer_of(
    device: &mut Blocking<'_>,
    identity: &DeviceIdentity,
    found: &FoundRun,
    previous: u32,
) -> Result<Option<Footer>, ScanError> {
    match device.read(found.run.footer(), 1) {
        Ok(page) => Ok(Footer::parse(page.page(0), identity.salt, &found.header, previous).ok()),
        Err(failed) if failed.is_local() => Ok(None),
        Err(failed) => Err(failed.into()),
    }
}

/// Shows a run's items from its summary, if that is whole.
fn from_summary(
    device: &mut Blocking<'_>,
    identity: &DeviceIdentity,
    found: &FoundRun,
    footer: Footer,
    see: See<'_>,
) -> Result<Option<RunEnd>, ScanError> {
    let pages = usize::try_from(footer.pages).expect("a run's pages fit memory");
    let at = found.run.start().plus(u64::from(footer.first_page));
    let frames = match (pages > 0).then(|| device.read(at, pages)).transpose() {
        Err(failed) if failed.is_local() => return Ok(None),
        read => read?,
    };
    let Ok(reader) = SummaryReader::open(footer, &found.header, frames.as_ref(), identity.salt) else {
        hit(Probe::SummaryIsNotWhole);
        return Ok(None);
    };
    // One that does not say what is whole without the pages behind it cannot stand for the data.
    let footer = *reader.footer();
    let Some(closed) = footer.closed else { return Ok(None) };
    hit(Probe::SummaryServes);
    see(device, Seen::Summary { closed, horizon: footer.persistent })?;
    let mut items = reader.items().peekable();
    while let Some(item) = items.next() {
        let bytes_max = bytes_max(item.place, items.peek().map(|next| next.place));
        see(device, Seen::Item { item: &item, bytes_max })?;
    }
    Ok(Some(RunEnd {
        chain: Chain { next_seq: footer.last_seq + 1, previous: footer.last_checksum },
        summary_used: true,
        pages: u64::from(footer.log_pages),
        why: "its last run has a summary".to_owned(),
        unreadable: None,
    }))
}

/// What a record at `place` takes at most, when `next` is appended behind it.
fn bytes_max(place: Place, next: Option<Place>) -> usize {
    let offset = usize::from(place.offset());
    let next = next.filter(|next| next.page() == place.page()).map(|next| usize::from(next.offset()));
    match next.and_then(|next| next.checked_sub(offset)) {
        Some(bytes) => bytes,
        None if place.pages() == 1 => PAGE_BYTES - offset,
        None => usize::try_from(place.pages()).expect("a record's pages fit memory") * PAGE_PAYLOAD_BYTES,
    }
}

/// The head of a large record whose body pages are still to come.
struct LargeOpen {
    head_page: Box<[u8; PAGE_BYTES]>,
    place: Place,
    pages_left: u32,
}

struct Follow<'a> {
    identity: &'a DeviceIdentity,
    found: &'a FoundRun,
    chain: Chain,
    pages: u64,
    large: Option<LargeOpen>,
    ended: Option<String>,
    unreadable: Option<Failed>,
}

impl Follow<'_> {
    fn run(mut self, device: &mut Blocking<'_>, log_pages: u64, see: See<'_>) -> Result<RunEnd, ScanError> {
        let start = self.found.run.start();
        let there = log_pages.min(device.pages().saturating_sub(start.0));
        let mut at = self.pages;
        while at < there && (self.ended.is_none() || reads_on()) {
            let pages = CHUNK_PAGES.min(there - at);
            self.chunk(device, start.plus(at), usize::try_from(pages).expect("at most 256"), see)?;
            at += pages;
        }
        if self.large.is_some() {
            hit(Probe::LargeRecordIsCut);
        }
        if there < log_pages {
            self.ended.get_or_insert_with(|| format!("page {} is past the device's end", start.plus(there)));
        }
        Ok(RunEnd {
            chain: self.chain,
            summary_used: false,
            pages: self.pages,
            why: self.ended.unwrap_or_else(|| "the run is full".to_owned()),
            unreadable: self.unreadable,
        })
    }

    /// Takes one chunk, up to the chain's end if that is here.
    fn chunk(&mut self, device: &mut Blocking<'_>, first: PageNo, pages: usize, see: See<'_>) -> Result<(), ScanError> {
        let (frames, bad) = device.read_what_can_be(first, pages)?;
        for index in 0..pages {
            let at = first.plus(index as u64);
            if let Some((_, failed)) = bad.iter().find(|(bad, _)| *bad == index) {
                self.ended = Some(format!("page {at} cannot be read: {failed}"));
                self.unreadable = Some(*failed);
                return Ok(());
            }
            let page = frames.page(index);
            let parsed = page::parse(page, self.identity.salt);
            match self.judge(&parsed, at) {
                Ok(header) => {
                    self.chain = Chain { next_seq: header.seq + 1, previous: stored_checksum(page) };
                    self.pages += 1;
                    see(device, Seen::Horizon(header.horizon))?;
                    self.content(device, &header, page, at, see)?;
                }
                Err(why) => {
                    self.ended.get_or_insert(why);
                    if !reads_on() {
                        return Ok(());
                    }
                    self.after_the_end(device, &parsed, page, at, see)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a page continues the chain.
    fn judge(&self, parsed: &Result<PageHeader, PageError>, at: PageNo) -> Result<PageHeader, String> {
        if let Some(why) = self.ended.as_ref().filter(|_| !planted(Mutant::ReadsWithoutChain)) {
            return Err(why.clone());
        }
        let header = match parsed {
            Ok(header) => *header,
            Err(error) => return Err(format!("page {at}: {error}")),
        };
        if !self.is_ours(&header) || header.segment != self.found.run.segment {
            return Err(format!("page {at} belongs to {:?} of {:?}", header.log, header.incarnation));
        }
        let index = u64::from(header.index);
        let in_sequence = header.seq == self.chain.next_seq
            || header.seq > self.chain.next_seq
                && (planted(Mutant::ReadsWithoutChain) || planted(Mutant::IgnoresSequence));
        if self.found.run.start().plus(index) != at || !in_sequence {
            return Err(format!("page {at} has sequence number {}, not {}", header.seq, self.chain.next_seq));
        }
        let anywhere = planted(Mutant::ReadsWithoutChain) || planted(Mutant::IgnoresPrevious);
        if header.previous != self.chain.previous && !anywhere {
            return Err(format!("page {at} follows another page than the one before it"));
        }
        Ok(header)
    }

    fn is_ours(&self, header: &PageHeader) -> bool {
        header.domain == domain_mark(self.identity.domain)
            && header.incarnation == self.found.header.incarnation
            && header.log == self.found.header.log
    }

    /// What a planted fault takes from behind the chain's end.
    fn after_the_end(
        &mut self,
        device: &mut Blocking<'_>,
        parsed: &Result<PageHeader, PageError>,
        page: &[u8; PAGE_BYTES],
        at: PageNo,
        see: See<'_>,
    ) -> Result<(), ScanError> {
        let Ok(header) = parsed else { return Ok(()) };
        if header.kind != PageKind::Log || !self.is_ours(header) || header.seq < self.chain.next_seq {
            return Ok(());
        }
        if planted(Mutant::ClosesWithoutChain) {
            self.large = None;
            self.records(device, header, page, at, see)?;
        }
        Ok(())
    }

    fn content(
        &mut self,
        device: &mut Blocking<'_>,
        header: &PageHeader,
        page: &[u8; PAGE_BYTES],
        at: PageNo,
        see: See<'_>,
    ) -> Result<(), ScanError> {
        match header.kind {
            PageKind::SegmentHeader => Ok(()),
            PageKind::Log => self.records(device, header, page, at, see),
            PageKind::LargeHead => self.large_head(header, page, at),
            PageKind::LargeBody => self.large_body(device, at, see),
            PageKind::Summary | PageKind::SummaryFooter => {
                Err(ScanError::Content { page: at.0, why: "a summary page in the chain".to_owned() })
            }
            PageKind::Table | PageKind::Checkpoint | PageKind::CheckpointFooter => {
                Err(ScanError::Content { page: at.0, why: format!("a page of kind {:?} in the chain", header.kind) })
            }
        }
    }

    fn records(
        &mut self,
        device: &mut Blocking<'_>,
        header: &PageHeader,
        page: &[u8; PAGE_BYTES],
        at: PageNo,
        see: See<'_>,
    ) -> Result<(), ScanError> {
        self.whole(at)?;
        let end = PAGE_HEADER_BYTES + usize::from(header.used);
        let mut from = PAGE_HEADER_BYTES;
        while from < end {
            let head = head_of(&page[from..end], at)?;
            check_epoch(&head, header, at)?;
            let offset = u16::try_from(from).expect("an offset in a page");
            from += head.record_bytes;
            match head.kind {
                RecordKind::Close => {
                    let members = head.members().ok_or_else(|| content(at, &"a close record without members"))?;
                    see(device, Seen::Close { epoch: head.version.epoch, members })?;
                }
                RecordKind::Pair | RecordKind::Tombstone => {
                    see(device, Seen::Record { head: &head, place: Place::new(at, offset, 1) })?;
                }
                RecordKind::Extent if planted(Mutant::StagedLives) => {
                    see(device, Seen::Record { head: &head, place: Place::new(at, offset, 1) })?;
                }
                // Whoever names it knows where it lies.
                RecordKind::Extent => hit(Probe::StagedPassedOver),
            }
        }
        Ok(())
    }

    fn large_head(&mut self, header: &PageHeader, page: &[u8; PAGE_BYTES], at: PageNo) -> Result<(), ScanError> {
        self.whole(at)?;
        let head = head_of(&page[PAGE_HEADER_BYTES..], at)?;
        check_epoch(&head, header, at)?;
        let pages = large::pages_for(head.record_bytes);
        if pages < 2 || !matches!(head.kind, RecordKind::Pair | RecordKind::Extent) {
            return Err(content(at, &"a large record that is not large"));
        }
        let offset = u16::try_from(PAGE_HEADER_BYTES).expect("an offset in a page");
        let place = Place::new(at, offset, pages);
        self.large = Some(LargeOpen { head_page: Box::new(*page), place, pages_left: pages - 1 });
        Ok(())
    }

    fn large_body(&mut self, device: &mut Blocking<'_>, at: PageNo, see: See<'_>) -> Result<(), ScanError> {
        let Some(open) = &mut self.large else { return Err(content(at, &"a large record's body without its head")) };
        open.pages_left -= 1;
        if open.pages_left == 0 {
            let open = self.large.take().expect("just seen");
            let head = head_of(&open.head_page[PAGE_HEADER_BYTES..], open.place.page())?;
            if head.kind == RecordKind::Pair {
                see(device, Seen::Record { head: &head, place: open.place })?;
            }
        }
        Ok(())
    }

    /// No large record is half read.
    fn whole(&self, at: PageNo) -> Result<(), ScanError> {
        match &self.large {
            None => Ok(()),
            Some(open) => Err(content(at, &format!("the large record at page {} ends early", open.place.page()))),
        }
    }
}

/// Whether a planted fault reads behind the chain's end.
fn reads_on() -> bool {
    planted(Mutant::ReadsWithoutChain) || planted(Mutant::ClosesWithoutChain)
}

fn head_of(bytes: &[u8], at: PageNo) -> Result<RecordHead<'_>, ScanError> {
    record::head(bytes).map_err(|error| content(at, &error))
}

fn check_epoch(head: &RecordHead<'_>, header: &PageHeader, at: PageNo) -> Result<(), ScanError> {
    if head.version.epoch == header.epoch {
        Ok(())
    } else {
        Err(content(at, &"a record of another epoch than its page's"))
    }
}

fn content(at: PageNo, why: &dyn core::fmt::Display) -> ScanError {
    ScanError::Content { page: at.0, why: why.to_string() }
}

#[cfg(test)]
mod tests;
