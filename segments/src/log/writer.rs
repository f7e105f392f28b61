//! The writing end of a log: appends records to open pages, seals pages in order, hands out writes, takes in completions.
//!
//! Contract: [`LogWriter::room`] first, in the same turn as the appends it makes room for; then [`LogWriter::append`] cannot
//! fail. [`LogWriter::close`] seals everything before the close record. Requests are fetched with
//! [`LogWriter::take_requests`], completions brought to [`LogWriter::completed`].
//!
//! Invariants: open pages stand in order of sequence number and are sealed in that order; the last page of a run is never part
//! of the log; a failed page write is final (the owner must poison its domain).

use super::LogIdentity;
use super::room::RoomNeed;
use super::run::Run;
use super::tail::Tail;
use crate::device::{DeviceError, Request};
use crate::frame::{Frames, PAGE_BYTES};
use crate::ids::{EpochId, Ordinal, PageNo, SegmentId, TableId, Version};
use crate::large;
use crate::page::{self, PAGE_HEADER_BYTES, PAGE_PAYLOAD_BYTES, PageHeader, PageKind};
use crate::place::Place;
use crate::probes::{Probe, hit};
use crate::record::{self, Record, RecordKind};
use crate::segment::{Purpose, SegmentHeader};
use crate::summary::{ItemKind, Sealed, SummaryBuilder, SummaryItem, SummaryKey};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

mod runs;
mod space;
pub use runs::RunEvent;
use space::Space;
pub use space::SpaceStatus;

/// What a writer is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// Whose log it is.
    pub identity: LogIdentity,
    /// Pages of a segment.
    pub segment_pages: u32,
    /// Written pages kept in memory.
    pub tail_pages: usize,
    /// Pages zero-filled at a time.
    pub zero_pages: u32,
    /// Segments the device has; the log takes none of them, only new ones behind and those that are [given](LogWriter::give).
    pub segments: u32,
    /// The most pages the device may have.
    pub pages_max: Option<u64>,
    /// Last persistent epoch at the start.
    pub horizon: EpochId,
}

/// Whether a commit set may be appended now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// Yes, in this turn.
    Ready,
    /// Not yet: room is being made, or written pages must drain first. Ask again after a completion.
    Wait,
    /// The device refused to give room; nothing is under way. A later call tries again.
    Refused(DeviceError),
}

/// Sealed pages are handed out when this many have gathered, or at once when an epoch closes: 16 pages are 64 KiB, about where a
/// larger write stops being cheaper by the byte.
const GATHER_PAGES: u64 = 16;
/// Most pages of one write request: 1 MiB.
const WRITE_PAGES_MAX: u64 = 256;

#[derive(Debug)]
struct OpenPage {
    seq: u64,
    at: PageNo,
    epoch: EpochId,
    kind: PageKind,
    used: usize,
    full: bool,
}

#[derive(Debug)]
struct Flight {
    first: u64,
    last: u64,
    done: bool,
}

/// A run that is full and waits for its epochs to become persistent before its summary is written.
#[derive(Debug)]
struct Finished {
    summary: SummaryBuilder,
    sealed: Sealed,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Pages { first: u64 },
    Space,
    Summary { segment: SegmentId },
}

#[derive(Debug)]
struct Current {
    run: Run,
    /// Pages used, the header included.
    used: u64,
    summary: SummaryBuilder,
    /// The chain's checksum before the header page.
    previous: u32,
    epoch_last: EpochId,
}

/// The writing end of one shard's log.
#[derive(Debug)]
pub struct LogWriter {
    config: LogConfig,
    space: Space,
    tail: Tail,
    current: Option<Current>,
    /// Runs that pages of the tail may lie in, newest last.
    runs: VecDeque<Run>,
    finished: VecDeque<Finished>,
    /// Of runs whose summary is on its way: how many of its writes have not come back.
    summaries: BTreeMap<SegmentId, u32>,
    events: VecDeque<RunEvent>,
    open: VecDeque<OpenPage>,
    next_seq: u64,
    previous: u32,
    sealed: u64,
    sent: u64,
    written: u64,
    flights: VecDeque<Flight>,
    /// First and last page of each large record that is not written to its end.
    large: VecDeque<(u64, u64)>,
    closes: VecDeque<(u64, EpochId)>,
    /// Epochs that hold records here and have no close record yet: each keeps a page of room.
    unclosed: Vec<EpochId>,
    /// The last epoch whose close record was appended.
    closed: EpochId,
    horizon: EpochId,
    asked: BTreeMap<u64, Asked>,
    next_tag: u64,
    requests: Vec<(u64, Request)>,
    /// A commit waits until pages are written: send what is sealed.
    push: bool,
    pages_written: u64,
}

/// The sequence number before the first page of a log.
const SEQ_BEFORE: u64 = 0;

impl LogWriter {
    /// A log without pages; it takes its first segment when the first room is asked for.
    #[must_use]
    pub fn new(config: LogConfig) -> Self {
        assert!(config.segment_pages >= crate::limits::SEGMENT_PAGES_MIN, "segments have room for their own pages");
        Self {
            config,
            space: Space::new(&config),
            tail: Tail::new(SEQ_BEFORE + 1, config.tail_pages),
            current: None,
            runs: VecDeque::new(),
            finished: VecDeque::new(),
            summaries: BTreeMap::new(),
            events: VecDeque::new(),
            open: VecDeque::new(),
            next_seq: SEQ_BEFORE + 1,
            previous: 0,
            sealed: SEQ_BEFORE,
            sent: SEQ_BEFORE,
            written: SEQ_BEFORE,
            flights: VecDeque::new(),
            large: VecDeque::new(),
            closes: VecDeque::new(),
            unclosed: Vec::new(),
            closed: config.horizon,
            horizon: config.horizon,
            asked: BTreeMap::new(),
            next_tag: 0,
            requests: Vec::new(),
            push: false,
            pages_written: 0,
        }
    }

    /// Asks for room for a commit set. `Ready` holds until the next append of another set. `waited` says whether this set was
    /// told to wait before: only then is what the device refused since an answer to it.
    pub fn room(&mut self, need: &RoomNeed, waited: bool) -> Room {
        if !waited {
            self.space.asked_anew();
        }
        let pages = need.pages() + self.unclosed.len() as u64;
        // Pages still open cannot drain, so they are not waited for; sealed ones are sent now instead of with their epoch.
        if self.sealed > self.written && self.sealed - self.written + pages > self.unwritten_pages_max() {
            hit(Probe::TailIsFull);
            self.push = true;
            return Room::Wait;
        }
        if !self.fits(need, pages) {
            let wanted = pages + 1 + summary_pages(&SummaryBuilder::new(), need);
            let taken = match self.space.take(wanted) {
                Ok(Some(run)) => run,
                Ok(None) => {
                    self.ask_for_space();
                    return Room::Wait;
                }
                Err(error) => return Room::Refused(error),
            };
            self.begin(taken);
            assert!(self.fits(need, pages), "a fresh run was taken for this set");
        }
        let end = self.current.as_ref().map_or(0, |current| current.used) + pages;
        let ready = self.space.zero_ahead(end);
        self.ask_for_space();
        match ready {
            Ok(true) => Room::Ready,
            Ok(false) => Room::Wait,
            Err(error) => Room::Refused(error),
        }
    }

    /// Appends a record under an epoch's tag. [`Self::room`] must have said `Ready` for the set it belongs to.
    pub fn append(&mut self, epoch: EpochId, record: &Record<'_>, hash: Option<u128>) -> Place {
        assert_eq!(record.version.epoch, epoch, "a record lies in a page of its own epoch");
        if !self.unclosed.contains(&epoch) {
            self.unclosed.push(epoch);
        }
        let bytes = record.encoded_bytes();
        let place = if bytes > PAGE_PAYLOAD_BYTES {
            self.append_large(epoch, record, bytes)
        } else {
            self.append_small(epoch, record, bytes)
        };
        let current = self.current.as_mut().expect("room was made in a run");
        current.epoch_last = current.epoch_last.max(epoch);
        item_of(record, place, hash).iter().for_each(|item| current.summary.push(item));
        self.seal_full();
        place
    }

    fn append_small(&mut self, epoch: EpochId, record: &Record<'_>, bytes: usize) -> Place {
        let open = match self.open.iter().rposition(|page| page.epoch == epoch && !page.full) {
            Some(at) if self.open[at].used + bytes <= PAGE_PAYLOAD_BYTES => at,
            other => {
                if let Some(at) = other {
                    self.open[at].full = true;
                }
                self.open_page(epoch, PageKind::Log)
            }
        };
        let page = &mut self.open[open];
        let offset = PAGE_HEADER_BYTES + page.used;
        let written = record::encode(record, &mut self.tail.get_mut(page.seq)[offset..]);
        assert_eq!(written, bytes, "the encoder writes what it said");
        page.used += bytes;
        Place::new(page.at, u16::try_from(offset).expect("an offset in a page"), 1)
    }

    fn append_large(&mut self, epoch: EpochId, record: &Record<'_>, bytes: usize) -> Place {
        if let Some(at) = self.open.iter().rposition(|page| page.epoch == epoch && !page.full) {
            self.open[at].full = true;
        }
        let mut encoded = vec![0; bytes];
        record::encode(record, &mut encoded);
        let pages = large::pages_for(bytes);
        let mut first = None;
        for (number, part) in encoded.chunks(PAGE_PAYLOAD_BYTES).enumerate() {
            let kind = if number == 0 { PageKind::LargeHead } else { PageKind::LargeBody };
            let at = self.open_page(epoch, kind);
            let page = &mut self.open[at];
            self.tail.get_mut(page.seq)[PAGE_HEADER_BYTES..][..part.len()].copy_from_slice(part);
            page.used = part.len();
            page.full = true;
            first.get_or_insert(page.at);
            self.seal_full();
        }
        self.large.push_back((self.next_seq - u64::from(pages), self.next_seq - 1));
        let offset = u16::try_from(PAGE_HEADER_BYTES).expect("the header is smaller than a page");
        Place::new(first.expect("a large record has a first page"), offset, pages)
    }

    /// Appends an epoch's close record and seals every page before it.
    pub fn close(&mut self, epoch: EpochId, members: u32) {
        let at =
            self.unclosed.iter().position(|&open| open == epoch).expect("an epoch is closed once, after its records");
        self.unclosed.swap_remove(at);
        let members = members.to_le_bytes();
        let record = Record::close(Version { epoch, ordinal: Ordinal(0) }, &members);
        let bytes = record.encoded_bytes();
        let place = self.append_small(epoch, &record, bytes);
        let last = self.open.iter().rposition(|page| page.at == place.page()).expect("the close record's page is open");
        let seq = self.open[last].seq;
        for page in self.open.iter_mut().take(last + 1) {
            page.full = true;
        }
        self.seal_full();
        assert!(self.sealed >= seq, "everything up to the close record is sealed");
        self.closes.push_back((seq, epoch));
        self.closed = self.closed.max(epoch);
        if let Some(current) = &mut self.current {
            current.epoch_last = current.epoch_last.max(epoch);
        }
    }

    /// Tells the last persistent epoch: pages sealed from now on name it, and full runs whose epochs it covers get their summary.
    pub fn persistent(&mut self, horizon: EpochId) {
        assert!(horizon >= self.horizon, "the horizon moved back from {} to {horizon}", self.horizon);
        self.horizon = horizon;
        while self.finished.front().is_some_and(|finished| finished.sealed.highest_epoch <= horizon) {
            let finished = self.finished.pop_front().expect("just seen");
            let sealed = Sealed { persistent: horizon, ..finished.sealed };
            let summary = finished.summary.finish(&sealed, self.config.identity.salt);
            let segment = sealed.segment.segment;
            self.summaries.insert(segment, 1 + u32::from(summary.pages.is_some()));
            if let Some(frames) = summary.pages {
                self.ask(Asked::Summary { segment }, Request::Write { at: summary.at, frames });
            }
            self.ask(Asked::Summary { segment }, Request::Write { at: summary.footer_at, frames: summary.footer });
        }
    }

    /// The bytes of the record at a place, while its pages are in memory. A large record is gathered into a copy.
    #[must_use]
    pub fn read(&self, place: Place) -> Option<Cow<'_, [u8]>> {
        let seq = self.runs.iter().rev().find_map(|run| run.seq_of(place.page()))?;
        let first = self.tail.get(seq)?;
        let from = usize::from(place.offset());
        if place.pages() == 1 {
            return Some(Cow::Borrowed(&first[from..]));
        }
        let head = record::head(&first[from..]).ok()?;
        let mut left = head.record_bytes;
        let mut bytes = Vec::with_capacity(left);
        let mut seq = seq;
        while left > 0 {
            let part = left.min(PAGE_PAYLOAD_BYTES);
            bytes.extend_from_slice(&self.tail.get(seq)?[PAGE_HEADER_BYTES..][..part]);
            left -= part;
            seq += 1;
        }
        Some(Cow::Owned(bytes))
    }

    /// Moves the requests that have come about to `requests`, under tags of this log's own.
    pub fn take_requests(&mut self, requests: &mut Vec<(u64, Request)>) {
        let close_waits = self.closes.back().is_some_and(|&(seq, _)| seq > self.sent);
        if close_waits || self.push || self.sealed - self.sent >= GATHER_PAGES {
            self.push = false;
            self.send_pages();
        }
        self.ask_for_space();
        requests.append(&mut self.requests);
    }

    /// Takes a completion. An error is a failed page write: final.
    ///
    /// # Errors
    /// The device's error, when a page of the log could not be written.
    pub fn completed(&mut self, tag: u64, result: Result<(), DeviceError>) -> Result<(), DeviceError> {
        match self.asked.remove(&tag).expect("a completion belongs to a request") {
            Asked::Space => self.space.completed(result),
            // A summary is a hint: recovery reads the data when it is missing.
            Asked::Summary { segment } => self.summary_came(segment),
            Asked::Pages { first } => {
                result?;
                let flight = self.flights.iter_mut().find(|flight| flight.first == first);
                flight.expect("a written run of pages was in flight").done = true;
                while self.flights.front().is_some_and(|flight| flight.done) {
                    self.written = self.flights.pop_front().expect("just seen").last;
                }
                while self.large.front().is_some_and(|&(_, last)| last <= self.written) {
                    self.large.pop_front();
                }
            }
        }
        Ok(())
    }

    /// Epochs whose pages, close record included, have all been written since the last call, in closing order.
    pub fn take_written(&mut self) -> Option<EpochId> {
        let &(seq, epoch) = self.closes.front()?;
        if seq > self.written {
            return None;
        }
        self.closes.pop_front();
        Some(epoch)
    }

    /// Drops written pages from memory, so that reads of them are cold.
    pub fn drop_tail(&mut self) {
        self.tail.drop_written(self.readable());
    }

    /// Up to which page everything can be read from the device: a large record is read whole, so as long as its end is not
    /// written its beginning is not to leave the tail either.
    fn readable(&self) -> u64 {
        self.large.front().map_or(self.written, |&(first, _)| self.written.min(first - 1))
    }

    /// Twice the tail's budget: beyond it the device is behind, and commits wait for it.
    fn unwritten_pages_max(&self) -> u64 {
        2 * self.config.tail_pages.max(8) as u64
    }

    /// Whether `pages` more pages, and the summary they bring, lie in the present run.
    fn fits(&self, need: &RoomNeed, pages: u64) -> bool {
        let Some(current) = &self.current else { return false };
        current.used + pages + summary_pages(&current.summary, need) <= current.run.pages()
    }

    /// Ends the present run, if any, and begins the next with its header page.
    fn begin(&mut self, mut run: Run) {
        for page in &mut self.open {
            page.full = true;
        }
        self.seal_full();
        self.finish_current();
        run.first_seq = self.next_seq;
        self.events.push_back(RunEvent::Begun(run));
        self.runs.push_back(run);
        self.current = Some(Current {
            run,
            used: 0,
            summary: SummaryBuilder::new(),
            previous: self.previous,
            epoch_last: EpochId::base(self.config.identity.incarnation),
        });
        let at = self.open_page(EpochId(0), PageKind::SegmentHeader);
        self.open[at].full = true;
        self.seal_full();
        self.forget_runs();
    }

    fn finish_current(&mut self) {
        let Some(current) = self.current.take() else { return };
        let sealed = Sealed {
            segment: self.header_of(&current.run),
            previous: current.previous,
            log_pages: u32::try_from(current.used).expect("a run's pages are counted in u32"),
            last_checksum: self.previous,
            owner: TableId(0),
            highest_epoch: current.epoch_last,
            persistent: self.horizon,
            closed: Some(self.closed),
        };
        let (segment, pages) = (sealed.segment.segment, sealed.log_pages);
        self.events.push_back(RunEvent::Ended { segment, pages });
        self.finished.push_back(Finished { summary: current.summary, sealed });
    }

    /// Runs all of whose pages have left the tail are of no use to [`Self::read`].
    fn forget_runs(&mut self) {
        let first = self.tail.first();
        while self.runs.len() > 1 && self.runs[1].first_seq <= first {
            self.runs.pop_front();
        }
    }

    fn header_of(&self, run: &Run) -> SegmentHeader {
        let identity = &self.config.identity;
        SegmentHeader {
            domain: identity.domain,
            segment: run.segment,
            run: run.segments,
            segment_pages: self.config.segment_pages,
            incarnation: identity.incarnation,
            log: identity.log,
            purpose: Purpose::Log,
            first_seq: run.first_seq,
            cut_before: identity.cut_before,
        }
    }

    fn open_page(&mut self, epoch: EpochId, kind: PageKind) -> usize {
        let current = self.current.as_mut().expect("pages are opened in a run");
        assert!(current.used < current.run.pages() - 1, "the last page of a run is its footer's");
        let at = current.run.start().plus(current.used);
        current.used += 1;
        let readable = self.readable();
        let seq = self.tail.push(readable);
        assert_eq!(seq, self.next_seq, "tail and log count alike");
        self.next_seq += 1;
        self.open.push_back(OpenPage { seq, at, epoch, kind, used: 0, full: false });
        self.open.len() - 1
    }

    /// Seals full pages from the front; a page that is still open holds back those behind it, since each names the checksum of
    /// the one before.
    fn seal_full(&mut self) {
        while self.open.front().is_some_and(|page| page.full) {
            let page = self.open.pop_front().expect("just seen");
            assert_eq!(page.seq, self.sealed + 1, "pages are sealed in order");
            let run = self.runs.iter().rev().find(|run| run.seq_of(page.at).is_some());
            let run = *run.expect("an open page's run is kept");
            let identity = self.config.identity;
            if page.kind == PageKind::SegmentHeader {
                let header = self.header_of(&run);
                let frame = self.tail.get_mut(page.seq);
                self.previous = header.seal(frame, self.previous, self.horizon, TableId(0), identity.salt);
                self.sealed = page.seq;
                continue;
            }
            let header = PageHeader {
                kind: page.kind,
                used: u16::try_from(page.used).expect("a payload is smaller than a page"),
                log: identity.log,
                incarnation: identity.incarnation,
                segment: run.segment,
                index: u32::try_from(page.at.0 - run.start().0).expect("a run has at most 2^32 pages"),
                seq: page.seq,
                epoch: page.epoch,
                horizon: self.horizon,
                owner: TableId(0),
                domain: page::domain_mark(identity.domain),
                previous: self.previous,
            };
            self.previous = page::seal(self.tail.get_mut(page.seq), &header, identity.salt);
            self.sealed = page.seq;
        }
    }

    /// Hands out all sealed pages, in requests of adjacent pages.
    fn send_pages(&mut self) {
        while self.sent < self.sealed {
            let first = self.sent + 1;
            let at = self.page_of(first);
            let run_end =
                self.runs.iter().find(|run| run.seq_of(at).is_some()).map_or(0, |run| run.first_seq + run.pages());
            let mut last = self.sealed.min(first + WRITE_PAGES_MAX - 1).min(run_end - 1);
            if let Some(next) = self.runs.iter().map(|run| run.first_seq).find(|&next| next > first) {
                last = last.min(next - 1);
            }
            let pages = usize::try_from(last - first + 1).expect("at most 256");
            let mut frames = Frames::zeroed(pages);
            for (number, seq) in (first..=last).enumerate() {
                let page: &[u8; PAGE_BYTES] = self.tail.get(seq).expect("an unwritten page is kept");
                frames.page_mut(number).copy_from_slice(page);
            }
            self.flights.push_back(Flight { first, last, done: false });
            self.ask(Asked::Pages { first }, Request::Write { at, frames });
            self.pages_written += last - first + 1;
            self.sent = last;
        }
    }

    fn page_of(&self, seq: u64) -> PageNo {
        let run = self.runs.iter().rev().find(|run| run.first_seq <= seq).expect("an unwritten page's run is kept");
        run.start().plus(seq - run.first_seq)
    }

    fn ask_for_space(&mut self) {
        let used = self.current.as_ref().map_or(0, |current| current.used);
        if let Some(request) = self.space.next_request(used) {
            self.ask(Asked::Space, request);
        }
    }

    fn ask(&mut self, what: Asked, request: Request) {
        self.next_tag += 1;
        self.asked.insert(self.next_tag, what);
        self.requests.push((self.next_tag, request));
    }
}

/// Pages that the summary and its footer take at most once this set's items are in it.
///
/// An item lies in one page, so a page may be left with less than one item's room unused: each counts as holding no fewer than
/// its payload less the longest item.
fn summary_pages(summary: &SummaryBuilder, need: &RoomNeed) -> u64 {
    let page = PAGE_PAYLOAD_BYTES - super::room::ITEM_BYTES_MAX;
    u64::from(summary.pages_needed()) + 1 + need.summary_bytes().div_ceil(page) as u64
}

/// What the summary keeps of a record: a hash table's index needs no more than the hash of the key, and of a part of a value there
/// is nothing to index.
fn item_of<'a>(record: &Record<'a>, place: Place, hash: Option<u128>) -> Option<SummaryItem<'a>> {
    let kind = match record.kind {
        RecordKind::Pair => ItemKind::Pair,
        RecordKind::Tombstone => ItemKind::Tombstone,
        RecordKind::Extent => return None,
        RecordKind::Close => unreachable!("close records are no part of a summary"),
    };
    let key = hash.map_or(SummaryKey::Key(record.key), SummaryKey::Hash);
    let live_bytes = (!record.extents.is_empty()).then(|| record.live_bytes());
    let (table, version, expires_ms, revertible) = (record.table, record.version, record.expires_ms, record.revertible);
    Some(SummaryItem { kind, table, version, place, key, expires_ms, revertible, live_bytes })
}

#[cfg(test)]
mod tests;
