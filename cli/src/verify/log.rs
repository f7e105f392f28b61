//! The logs of a store, page by page: what is whole, what is not, and what of that had to be there.
//!
//! Contract: a page's sequence number follows from its place in its run, so each place is judged alone and one damaged page
//! hides no other. A place that should hold a page and does not is damage if it lies before the close of the last epoch that had
//! to survive: the recorded cut of an incarnation that has ended; of the last one, what was announced or can be recovered.
//! Behind that a crash may have left anything.
//!
//! Where a checkpoint counts, the logs are judged from the run on that the older one begins in: what lies before may be gone. Behind a
//! log's end, pages of an earlier use of the segment are nothing to stumble over.

use super::checkpoints::{self, Base};
use super::named;
use super::pairs::{Pairs, Seen};
use super::{Finding, Report, at_page};
use crate::failure::Failure;
use crate::progress;
use domains::index::HashConfig;
use segments::blocking::Blocking;
use segments::checkpoint::Start;
use segments::cuts::Cuts;
use segments::log::run::Run;
use segments::page::{
    self, PAGE_HEADER_BYTES, PAGE_MAGIC, PageDamage, PageError, PageHeader, PageKind, domain_mark, stored_checksum,
};
use segments::record::{self, RecordHead, RecordKind};
use segments::segment::{Geometry, SegmentHeader};
use segments::superblock::{Features, Superblock};
use segments::{EpochId, Frames, Incarnation, PAGE_BYTES, PageNo, Place, SegmentId, ShardId, TableId, large};
use std::collections::{BTreeMap, BTreeSet};

mod runs;
mod summary;

use runs::Segments;

/// Pages read at once: 1 MiB.
const CHUNK_PAGES: u64 = 256;
/// What a device may tear: sectors are written whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Whose a log is.
type Owner = (Incarnation, ShardId);
/// A page of a log.
type At = (Owner, u64);

fn at_of(header: &PageHeader) -> At {
    ((header.incarnation, header.log), header.seq)
}

/// A run of segments as it was found.
struct Found {
    run: Run,
    /// Its header, when that page is whole.
    header: Option<SegmentHeader>,
}

/// A place that should hold a page of the log and does not.
struct Gap {
    seq: u64,
    page: PageNo,
    what: String,
    tables: Vec<TableId>,
    /// It was written as a whole once: a torn write cannot look so.
    was_whole: bool,
    /// A whole page of something else lies there.
    is_foreign: bool,
}

/// One incarnation's log, as far as it was walked.
struct Log {
    incarnation: Incarnation,
    gaps: Vec<Gap>,
    /// Where each epoch's close was found.
    closes: BTreeMap<EpochId, u64>,
    /// The last page that is whole.
    last_seq: u64,
    last_page: PageNo,
    /// Pages found whole, by nothing but their count.
    pages: u64,
    announced: EpochId,
    /// Whether the last page seen was whole, its sequence number and checksum.
    before: Option<(u64, u32)>,
}

/// A walk over all logs.
pub(super) struct Walk<'r> {
    superblock: Superblock,
    geometry: Geometry,
    mark: u64,
    hash: HashConfig,
    cuts: Cuts,
    pairs: Pairs,
    report: &'r mut Report,
    bar: indicatif::ProgressBar,
    /// Where the oldest checkpoint that counts begins.
    start: Option<Start>,
    /// What checkpoints say was persistent.
    persistent: EpochId,
}

impl<'r> Walk<'r> {
    pub(super) fn new(superblock: &Superblock, hash: HashConfig, report: &'r mut Report) -> Self {
        Self {
            superblock: superblock.clone(),
            geometry: Geometry::new(superblock.segment_pages),
            mark: domain_mark(superblock.domain),
            hash,
            cuts: Cuts::none(superblock.incarnation),
            pairs: Pairs::new(Cuts::none(superblock.incarnation)),
            report,
            bar: indicatif::ProgressBar::hidden(),
            start: None,
            persistent: EpochId(0),
        }
    }

    /// Walks all logs and gives the pairs that they say there are. `cut` is that of the last incarnation, if it could be recovered.
    pub(super) fn run(mut self, device: &mut Blocking<'_>, cut: Option<EpochId>) -> Result<Pairs, Failure> {
        let segments = self.segments(device)?;
        let Segments { runs, mut logs, headless, named, blank, unknown } = segments;
        let identity = checkpoints::identity_of(&self.superblock);
        let base = checkpoints::look(device, &self.superblock, (&runs, &headless), self.report)?;
        self.unknown_segments(&base, &unknown);
        self.cuts = self.known_cuts(&named, &base.said);
        self.pairs = Pairs::new(self.cuts.clone());
        let mut reader = named::Reader::new(device, identity, &runs);
        reader.names(&base, &mut self.pairs, self.report)?;
        let mut used = reader.finish(self.report)?;
        used.extend(&base.segments);

        self.start = base.footer.map(|footer| footer.start);
        self.persistent = base.persistent;
        self.pairs.announced(base.persistent);
        logs.retain(|owner, runs| {
            runs.sort_by_key(|found| found.run.first_seq);
            self.behind_start(*owner, runs)
        });
        let runs_of_logs = logs.values().flatten().map(|found| found.run);
        used.extend(runs_of_logs.flat_map(|run| (run.segment.0..run.segment.0 + run.segments).map(SegmentId)));
        self.report.segments = u32::try_from(used.len()).expect("segments are counted in 32 bits");
        self.report.segments_blank = u32::try_from(blank.difference(&used).count()).expect("no more than all");
        let all = self.geometry.segments_in(device.pages());
        self.report.segments_free = all.saturating_sub(self.report.segments + self.report.segments_blank);
        self.logs(device, logs, cut)?;

        if base.footer.is_some() {
            let mut reader = named::Reader::new(device, identity, &runs);
            reader.extents(self.pairs.extents(), self.report)?;
            reader.finish(self.report)?;
        }
        Ok(self.pairs)
    }

    fn logs(
        &mut self,
        device: &mut Blocking<'_>,
        logs: BTreeMap<Owner, Vec<Found>>,
        cut: Option<EpochId>,
    ) -> Result<(), Failure> {
        let pages = logs.values().flatten().map(|found| found.run.pages()).sum();
        self.bar = progress::bar(pages, "pages");
        for ((incarnation, log), runs) in logs {
            let walked = self.log(device, incarnation, log, &runs)?;
            let durable = self.durable(&walked, cut);
            self.judge(walked, durable);
        }
        self.bar.finish_and_clear();
        let cut = cut.unwrap_or(self.pairs.announced_last());
        self.pairs.cut(cut);
        self.report.cut = cut;
        self.report.records_behind_cut = self.pairs.behind_cut;
        Ok(())
    }

    /// Where segments are not used again, each was begun with a header.
    fn unknown_segments(&mut self, base: &Base, unknown: &[SegmentId]) {
        if base.footer.is_some() || self.is_reused() {
            return;
        }
        for segment in unknown {
            let what = "its first page is no header, and no page behind it says whose it is".to_owned();
            self.find("segment", self.geometry.first_page(*segment), Vec::new(), what);
        }
    }

    /// Whether segments may have been used before.
    fn is_reused(&self) -> bool {
        self.superblock.features.incompatible & Features::CHECKPOINTS != 0
    }

    /// Takes away the runs before the one that replay begins in; whether there are any left to look at.
    fn behind_start(&self, owner: Owner, runs: &mut Vec<Found>) -> bool {
        let Some(start) = self.start.filter(|start| owner.0 <= start.incarnation) else { return true };
        if owner != (start.incarnation, start.log) {
            return owner.0 == start.incarnation;
        }
        let next = start.chain.next_seq;
        let first = runs.iter().rposition(|found| found.run.first_seq <= next).unwrap_or(0);
        runs.drain(..first);
        if runs.first().is_some_and(|found| found.run.first_seq < next && !found.run.holds(next)) {
            runs.remove(0);
        }
        true
    }

    /// The cuts of earlier incarnations; those that the superblock records alone, when the segments' headers contradict them.
    fn known_cuts(&mut self, named: &BTreeSet<(Incarnation, EpochId)>, said: &[EpochId]) -> Cuts {
        Cuts::of(&self.superblock, named, said).unwrap_or_else(|error| {
            let (segment, page, tables) = (None, None, Vec::new());
            self.report.find(Finding { kind: "cuts", segment, page, tables, what: error.to_string() });
            Cuts::of(&self.superblock, &BTreeSet::new(), &[]).expect("what one superblock records ascends")
        })
    }

    fn log(
        &mut self,
        device: &mut Blocking<'_>,
        incarnation: Incarnation,
        log: ShardId,
        runs: &[Found],
    ) -> Result<Log, Failure> {
        let base = EpochId::base(incarnation);
        let mut walked = Log {
            incarnation,
            gaps: Vec::new(),
            closes: BTreeMap::new(),
            last_seq: 0,
            last_page: PageNo(0),
            pages: 0,
            announced: base,
            before: Some((0, 0)),
        };
        if self.persistent.incarnation() == incarnation {
            walked.announced = walked.announced.max(self.persistent);
        }
        let mut next_seq = 1;
        if let Some(start) = self.start_of(incarnation, log) {
            walked.before = None;
            next_seq = start.chain.next_seq;
            next_seq = runs.first().map_or(next_seq, |found| found.run.first_seq.min(next_seq));
        }
        for (number, found) in runs.iter().enumerate() {
            if found.run.first_seq > next_seq {
                let what = format!("pages {next_seq} to {} of the log are nowhere", found.run.first_seq - 1);
                let (page, tables) = (found.run.start(), Vec::new());
                walked.gaps.push(Gap { seq: next_seq, page, what, tables, was_whole: true, is_foreign: false });
                walked.before = None;
            }
            let next = runs.get(number + 1).map(|next| next.run.first_seq);
            next_seq = self.segment_run(device, log, found, next, &mut walked)?;
        }
        Ok(walked)
    }

    /// Walks one run; the sequence number at which the next one goes on.
    fn segment_run(
        &mut self,
        device: &mut Blocking<'_>,
        log: ShardId,
        found: &Found,
        next: Option<u64>,
        walked: &mut Log,
    ) -> Result<u64, Failure> {
        let summary = summary::read(device, &self.superblock, found, self.is_reused())?;
        let sealed = summary.footer.as_ref().map(|footer| footer.last_seq + 1);
        // The footer's page is no part of the log; behind the next run's first page there is nothing of this one.
        let places = found.run.first_seq + found.run.pages() - 1;
        let end = next.or(sealed).map_or(places, |end| end.min(places));
        let mut records = Vec::new();
        let mut at = found.run.first_seq;
        let gaps_before = walked.gaps.len();
        while at < end {
            let pages = CHUNK_PAGES.min(end - at);
            let first = found.run.start().plus(at - found.run.first_seq);
            let frames = read(device, first, pages)?;
            for index in 0..frames.pages() {
                let seq = at + index as u64;
                let place = first.plus(index as u64);
                self.page(device, found, log, seq, place, frames.page(index), walked, &mut records)?;
            }
            self.bar.inc(pages);
            at += pages;
        }
        if next.is_none() && sealed.is_none() {
            // The open end of the log: what was never written is no gap.
            let is_over = |gap: &Gap| gap.what == BLANK || gap.is_foreign;
            let mut was_used = false;
            while let Some(gap) = walked.gaps.pop_if(|gap| gap.seq > walked.last_seq && is_over(gap)) {
                was_used |= gap.is_foreign;
            }
            // Where an older page may lie beneath, one that was torn looks like one that was damaged.
            let last_seq = walked.last_seq;
            walked.gaps.iter_mut().filter(|gap| was_used && gap.seq > last_seq).for_each(|gap| gap.was_whole = false);
        }
        for gap in &mut walked.gaps[gaps_before..] {
            gap.tables = summary.tables_at(gap.page);
        }
        self.report.summaries += u32::from(summary.footer.is_some());
        let whole = walked.gaps.len() == gaps_before;
        summary.compare(&self.hash, &records, whole, found, self.report);
        if let Some(footer) = &summary.footer {
            walked.announced = walked.announced.max(footer.persistent);
            self.pairs.announced(footer.persistent);
        }
        Ok(end)
    }

    #[expect(clippy::too_many_arguments, reason = "a page is judged by its place, its log and what came before it")]
    fn page(
        &mut self,
        device: &mut Blocking<'_>,
        found: &Found,
        log: ShardId,
        seq: u64,
        at: PageNo,
        page: &[u8; PAGE_BYTES],
        walked: &mut Log,
        records: &mut Vec<Seen>,
    ) -> Result<(), Failure> {
        let before = walked.before.take();
        let index = u32::try_from(seq - found.run.first_seq).expect("a run's pages are counted in 32 bits");
        let header = match page::parse(page, self.superblock.salt) {
            Ok(header) => header,
            Err(error) => {
                let what = if error == PageError::Blank { BLANK.to_owned() } else { error.to_string() };
                let was_whole = matches!(error, PageError::Damaged(damage) if written_whole(page, damage))
                    && (!self.is_reused() || says_seq(page, walked.incarnation, seq));
                walked.gaps.push(Gap { seq, page: at, what, tables: Vec::new(), was_whole, is_foreign: false });
                return Ok(());
            }
        };
        let ours = (header.incarnation, header.log, header.seq) == (walked.incarnation, log, seq);
        if !ours || !header.lies_at(self.mark, found.run.segment, index) {
            let what = format!(
                "here lies page {} of log {} of incarnation {}, written for page {} of segment {}",
                header.seq, header.log, header.incarnation, header.index, header.segment
            );
            walked.gaps.push(Gap { seq, page: at, what, tables: Vec::new(), was_whole: false, is_foreign: true });
            return Ok(());
        }
        if let Some((_, checksum)) =
            before.filter(|(before, checksum)| *before + 1 == seq && *checksum != header.previous)
        {
            let what = format!("it names {:#010x} as the page before it, which has {checksum:#010x}", header.previous);
            walked.gaps.push(Gap { seq, page: at, what, tables: Vec::new(), was_whole: true, is_foreign: false });
        }
        walked.before = Some((seq, stored_checksum(page)));
        (walked.last_seq, walked.last_page) = (seq, at);
        walked.pages += 1;
        walked.announced = walked.announced.max(header.horizon);
        self.pairs.announced(header.horizon);
        self.report.pages += 1;
        self.content(device, found, &header, at, page, walked, records)
    }

    #[expect(clippy::too_many_arguments, reason = "what is in a page is judged by its place and its log")]
    fn content(
        &mut self,
        device: &mut Blocking<'_>,
        found: &Found,
        header: &PageHeader,
        at: PageNo,
        page: &[u8; PAGE_BYTES],
        walked: &mut Log,
        records: &mut Vec<Seen>,
    ) -> Result<(), Failure> {
        match header.kind {
            PageKind::SegmentHeader | PageKind::LargeBody => Ok(()),
            PageKind::Summary | PageKind::SummaryFooter => {
                self.find("page", at, Vec::new(), "a page of a summary lies among those of the log".to_owned());
                Ok(())
            }
            PageKind::Table | PageKind::Checkpoint | PageKind::CheckpointFooter => {
                let what = format!("a page of kind {:?} lies among those of the log", header.kind);
                self.find("page", at, Vec::new(), what);
                Ok(())
            }
            PageKind::LargeHead => self.large(device, found, header, at, page, records),
            PageKind::Log => {
                let end = PAGE_HEADER_BYTES + usize::from(header.used);
                let mut from = PAGE_HEADER_BYTES;
                while from < end {
                    let Some(bytes) = self.record(header, at, &page[..end], from, walked, records) else { break };
                    from += bytes;
                }
                Ok(())
            }
        }
    }

    /// Takes the record at `from`; its length, when that can be known.
    fn record(
        &mut self,
        header: &PageHeader,
        at: PageNo,
        page: &[u8],
        from: usize,
        walked: &mut Log,
        records: &mut Vec<Seen>,
    ) -> Option<usize> {
        let head = match record::head(&page[from..]) {
            Ok(head) => head,
            Err(error) => {
                self.find("record", at, Vec::new(), format!("at byte {from}: {error}"));
                return None;
            }
        };
        self.report.records += 1;
        if let Err(error) = record::decode(&page[from..]) {
            self.find("record", at, vec![head.table], format!("at byte {from}: {error}"));
            return Some(head.record_bytes);
        }
        if head.version.epoch != header.epoch {
            let what =
                format!("at byte {from}: a record of epoch {} in a page of {}", head.version.epoch, header.epoch);
            self.find("record", at, vec![head.table], what);
        }
        if head.kind == RecordKind::Close {
            walked.closes.insert(head.version.epoch, header.seq);
        } else if head.kind != RecordKind::Extent {
            let offset = u16::try_from(from).expect("an offset in a page");
            self.seen(&head, Place::new(at, offset, 1), &page[from..], at_of(header), records);
        }
        Some(head.record_bytes)
    }

    fn large(
        &mut self,
        device: &mut Blocking<'_>,
        found: &Found,
        header: &PageHeader,
        at: PageNo,
        page: &[u8; PAGE_BYTES],
        records: &mut Vec<Seen>,
    ) -> Result<(), Failure> {
        self.report.records += 1;
        let head = match record::head(page::payload(page, header)) {
            Ok(head) => head,
            Err(error) => {
                self.find("record", at, Vec::new(), error.to_string());
                return Ok(());
            }
        };
        let pages = large::pages_for(head.record_bytes);
        let left = found.run.start().plus(found.run.pages()).0 - at.0;
        let frames = read(device, at, u64::from(pages).min(left))?;
        let expected = large::Expected { domain: self.mark, segment: header.segment, index: header.index };
        // A page of it that is not whole is a gap of its own, which says whether it had to be there.
        if let Ok(bytes) = large::gather(&frames, self.superblock.salt, &expected) {
            match record::decode(&bytes) {
                // A part of a value says nothing by itself; it is read with the pair that names it.
                Ok(_) if head.kind == RecordKind::Extent => {}
                Ok(_) => {
                    let offset = u16::try_from(PAGE_HEADER_BYTES).expect("80");
                    self.seen(&head, Place::new(at, offset, pages), &bytes, at_of(header), records);
                }
                Err(error) => self.find("record", at, vec![head.table], error.to_string()),
            }
        }
        Ok(())
    }

    fn seen(&mut self, head: &RecordHead<'_>, place: Place, record: &[u8], (owner, seq): At, records: &mut Vec<Seen>) {
        let seen = Seen::of(head, place, record);
        records.push(seen.clone());
        // What the checkpoint's run says before its start, the checkpoint says better: some of it may have moved since.
        if self.start_of(owner.0, owner.1).is_none_or(|start| seq >= start.chain.next_seq) {
            self.pairs.take(seen);
        }
    }

    /// Where replay begins in a log, if a checkpoint begins there.
    fn start_of(&self, incarnation: Incarnation, log: ShardId) -> Option<Start> {
        self.start.filter(|start| (start.incarnation, start.log) == (incarnation, log))
    }

    /// The last epoch of a log that had to survive.
    fn durable(&self, walked: &Log, cut: Option<EpochId>) -> EpochId {
        let base = EpochId::base(walked.incarnation);
        if walked.incarnation == self.superblock.incarnation {
            let closed = self.superblock.closed.unwrap_or(base);
            return walked.announced.max(closed).max(cut.unwrap_or(base));
        }
        self.cuts.cut_of(walked.incarnation).unwrap_or(base)
    }

    /// Tells damage from what a crash may leave.
    fn judge(&mut self, walked: Log, durable: EpochId) {
        let base = EpochId::base(walked.incarnation);
        let start = self.start.filter(|start| start.incarnation == walked.incarnation);
        let closed = start.filter(|start| durable <= start.closed).map(|start| start.chain.next_seq - 1);
        let close = closed.or(walked.closes.get(&durable).copied());
        let whole_until = if durable == base { 0 } else { close.unwrap_or(u64::MAX) };
        let mut damaged = false;
        for gap in walked.gaps {
            let torn = gap.seq > whole_until && !gap.was_whole;
            if torn {
                self.report.pages_behind_cut += u64::from(gap.what != BLANK && !gap.is_foreign);
            } else {
                damaged = true;
                self.report.find(at_page("page", self.geometry, gap.page, gap.tables, gap.what));
            }
        }
        if walked.last_seq > whole_until {
            self.report.pages_behind_cut += walked.last_seq - whole_until;
        }
        if whole_until == u64::MAX && !damaged {
            let what = format!("the log ends here, before the close of epoch {durable}, which was persistent");
            self.report.find(at_page("log", self.geometry, walked.last_page, Vec::new(), what));
        }
    }

    fn find(&mut self, kind: &'static str, at: PageNo, tables: Vec<TableId>, what: String) {
        let finding: Finding = at_page(kind, self.geometry, at, tables, what);
        self.report.find(finding);
    }
}

/// What is said of a place where nothing was ever written.
const BLANK: &str = "the page is blank";

/// Whether a page with a wrong checksum says that it is the one of this log that belongs there, and not one from before.
fn says_seq(page: &[u8; PAGE_BYTES], incarnation: Incarnation, seq: u64) -> bool {
    page[20..24] == incarnation.0.to_le_bytes() && page[32..40] == seq.to_le_bytes()
}

/// Whether a page with a wrong checksum was written as a whole: no sector of what it uses is still blank.
pub(super) fn written_whole(page: &[u8; PAGE_BYTES], damage: PageDamage) -> bool {
    match damage {
        PageDamage::Field { .. } => true,
        PageDamage::Magic { .. } | PageDamage::Checksum { .. } => {
            let magic = PAGE_MAGIC.to_le_bytes();
            let used = usize::from(u16::from_le_bytes([page[14], page[15]]));
            let end = (PAGE_HEADER_BYTES + used).min(PAGE_BYTES);
            page[8..12] == magic && page[..end].chunks(SECTOR_BYTES).all(|sector| sector.iter().any(|byte| *byte != 0))
        }
    }
}

pub(super) fn read(device: &mut Blocking<'_>, at: PageNo, pages: u64) -> Result<Frames, Failure> {
    let pages = usize::try_from(pages).expect("a chunk, or the pages of a record");
    device
        .read(at, pages)
        .map_err(|error| Failure::from(domains::Error::ReadFailed { page: error.page.0, error: error.error }))
}
