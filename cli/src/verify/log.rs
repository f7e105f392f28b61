//! The logs of a store, page by page: what is whole, what is not, and what of that had to be there.
//!
//! Contract: a page's sequence number follows from its place in its run, so each place is judged alone and one damaged page
//! hides no other. A place that should hold a page and does not is damage if it lies before the close of the last epoch that had
//! to survive: the recorded cut of an incarnation that has ended; of the last one, what was announced or can be recovered.
//! Behind that a crash may have left anything.

use super::pairs::{Pairs, Seen};
use super::{Finding, Report, at_page};
use crate::failure::Failure;
use crate::progress;
use domains::index::HashConfig;
use segments::blocking::Blocking;
use segments::cuts::Cuts;
use segments::log::run::Run;
use segments::page::{
    self, PAGE_HEADER_BYTES, PAGE_MAGIC, PageDamage, PageError, PageHeader, PageKind, domain_mark, stored_checksum,
};
use segments::record::{self, RecordHead, RecordKind};
use segments::segment::{Geometry, Purpose, SegmentHeader};
use segments::superblock::Superblock;
use segments::{EpochId, Frames, Incarnation, PAGE_BYTES, PageNo, Place, SegmentId, ShardId, TableId, large};
use std::collections::{BTreeMap, BTreeSet};

mod summary;

/// Pages read at once: 1 MiB.
const CHUNK_PAGES: u64 = 256;
/// Pages looked at in a segment whose header cannot be read, to find out whose it is.
const PROBE_PAGES: u32 = 8;
/// What a device may tear: sectors are written whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Whose a log is.
type Owner = (Incarnation, ShardId);

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
        }
    }

    /// Walks all logs and gives the pairs that they say there are. `cut` is that of the last incarnation, if it could be recovered.
    pub(super) fn run(mut self, device: &mut Blocking<'_>, cut: Option<EpochId>) -> Result<Pairs, Failure> {
        let mut logs: BTreeMap<Owner, Vec<Found>> = BTreeMap::new();
        let mut named = BTreeSet::new();
        let mut segment = 0;
        let segments = self.geometry.segments_in(device.pages());
        while segment < segments {
            let (owner, found) = match self.header(device, SegmentId(segment))? {
                Some(found) => found,
                None => {
                    segment += 1;
                    continue;
                }
            };
            segment += found.run.segments;
            self.report.segments += found.run.segments;
            named.extend(found.header.and_then(|header| Some((header.incarnation, header.cut_before?))));
            // Only logs are walked.
            if found.header.is_some_and(|header| header.purpose != Purpose::Log) {
                continue;
            }
            logs.entry(owner).or_default().push(found);
        }
        self.cuts = self.known_cuts(&named);
        self.pairs = Pairs::new(self.cuts.clone());
        let pages = logs.values().flatten().map(|found| found.run.pages()).sum();
        self.bar = progress::bar(pages, "pages");
        for ((incarnation, log), mut runs) in logs {
            runs.sort_by_key(|found| found.run.first_seq);
            let walked = self.log(device, incarnation, log, &runs)?;
            let durable = self.durable(&walked, cut);
            self.judge(walked, durable);
        }
        self.bar.finish_and_clear();
        let cut = cut.unwrap_or(self.pairs.announced_last());
        self.pairs.cut(cut);
        self.report.cut = cut;
        self.report.records_behind_cut = self.pairs.behind_cut;
        Ok(self.pairs)
    }

    /// The cuts of earlier incarnations; those that the superblock records alone, when the segments' headers contradict them.
    fn known_cuts(&mut self, named: &BTreeSet<(Incarnation, EpochId)>) -> Cuts {
        Cuts::of(&self.superblock, named, &[]).unwrap_or_else(|error| {
            let (segment, page, tables) = (None, None, Vec::new());
            self.report.find(Finding { kind: "cuts", segment, page, tables, what: error.to_string() });
            Cuts::of(&self.superblock, &BTreeSet::new(), &[]).expect("what one superblock records ascends")
        })
    }

    /// The run that begins with a segment, and whose it is; none for a segment without a page.
    fn header(&mut self, device: &mut Blocking<'_>, segment: SegmentId) -> Result<Option<(Owner, Found)>, Failure> {
        let geometry = self.geometry;
        let pages = PROBE_PAGES.min(geometry.segment_pages());
        let frames = read(device, geometry.first_page(segment), u64::from(pages))?;
        if let Ok((header, _)) = SegmentHeader::parse(frames.page(0), self.superblock.salt)
            && (header.domain, header.segment) == (self.superblock.domain, segment)
            && header.segment_pages == geometry.segment_pages()
        {
            let run = Run { segment, segments: header.run, geometry, first_seq: header.first_seq };
            if header.incarnation > self.superblock.incarnation {
                let what = format!("it is of incarnation {}, which has not begun", header.incarnation);
                self.report.find(at_page("segment", geometry, run.start(), Vec::new(), what));
            }
            return Ok(Some(((header.incarnation, header.log), Found { run, header: Some(header) })));
        }
        for index in 1..pages {
            let at = usize::try_from(index).expect("at most eight");
            let Ok(header) = page::parse(frames.page(at), self.superblock.salt) else { continue };
            let seq = header.seq.checked_sub(u64::from(index));
            if header.lies_at(self.mark, segment, index)
                && let Some(first_seq) = seq
                && header.is_of_log()
            {
                let run = Run { segment, segments: 1, geometry, first_seq };
                return Ok(Some(((header.incarnation, header.log), Found { run, header: None })));
            }
        }
        self.report.segments_blank += 1;
        if page::parse(frames.page(0), self.superblock.salt) != Err(PageError::Blank) {
            let what = "its first page is no header, and no page behind it says whose it is".to_owned();
            self.report.find(at_page("segment", geometry, geometry.first_page(segment), Vec::new(), what));
        }
        Ok(None)
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
        let mut next_seq = 1;
        for (number, found) in runs.iter().enumerate() {
            if found.run.first_seq > next_seq {
                let what = format!("pages {next_seq} to {} of the log are nowhere", found.run.first_seq - 1);
                let (page, tables) = (found.run.start(), Vec::new());
                walked.gaps.push(Gap { seq: next_seq, page, what, tables, was_whole: true });
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
        let summary = summary::read(device, &self.superblock, found)?;
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
            while walked.gaps.last().is_some_and(|gap| gap.seq > walked.last_seq && gap.what == BLANK) {
                walked.gaps.pop();
            }
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
                let was_whole = matches!(error, PageError::Damaged(damage) if written_whole(page, damage));
                walked.gaps.push(Gap { seq, page: at, what, tables: Vec::new(), was_whole });
                return Ok(());
            }
        };
        let ours = (header.incarnation, header.log, header.seq) == (walked.incarnation, log, seq);
        if !ours || !header.lies_at(self.mark, found.run.segment, index) {
            let what = format!(
                "here lies page {} of log {} of incarnation {}, written for page {} of segment {}",
                header.seq, header.log, header.incarnation, header.index, header.segment
            );
            walked.gaps.push(Gap { seq, page: at, what, tables: Vec::new(), was_whole: false });
            return Ok(());
        }
        if let Some((_, checksum)) =
            before.filter(|(before, checksum)| *before + 1 == seq && *checksum != header.previous)
        {
            let what = format!("it names {:#010x} as the page before it, which has {checksum:#010x}", header.previous);
            walked.gaps.push(Gap { seq, page: at, what, tables: Vec::new(), was_whole: true });
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
            self.seen(&head, Place::new(at, offset, 1), &page[from..], records);
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
                    self.seen(&head, Place::new(at, offset, pages), &bytes, records);
                }
                Err(error) => self.find("record", at, vec![head.table], error.to_string()),
            }
        }
        Ok(())
    }

    fn seen(&mut self, head: &RecordHead<'_>, place: Place, record: &[u8], records: &mut Vec<Seen>) {
        let is_pair = head.kind == RecordKind::Pair;
        let value = &record[head.value_at..head.value_at + head.value_bytes];
        let seen = Seen {
            table: head.table,
            key: head.key.into(),
            version: head.version,
            place,
            value: is_pair.then_some((head.value_bytes, head.value_crc)),
            parts: head.extents.iter().map(|extent| (extent.bytes as usize, extent.crc)).collect(),
            live_bytes: (!head.extents.is_empty()).then(|| head.live_bytes()),
            expires_ms: head.expires_ms,
            catalog: (head.table == TableId(0) && is_pair).then(|| value.into()),
        };
        records.push(seen.clone());
        self.pairs.take(seen);
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
        let close = walked.closes.get(&durable).copied();
        let whole_until = if durable == base { 0 } else { close.unwrap_or(u64::MAX) };
        let mut damaged = false;
        for gap in walked.gaps {
            let torn = gap.seq > whole_until && !gap.was_whole;
            if torn {
                self.report.pages_behind_cut += u64::from(gap.what != BLANK);
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

/// Whether a page with a wrong checksum was written as a whole: no sector of what it uses is still blank.
fn written_whole(page: &[u8; PAGE_BYTES], damage: PageDamage) -> bool {
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

fn read(device: &mut Blocking<'_>, at: PageNo, pages: u64) -> Result<Frames, Failure> {
    let pages = usize::try_from(pages).expect("a chunk, or the pages of a record");
    device
        .read(at, pages)
        .map_err(|error| Failure::from(domains::Error::ReadFailed { page: error.page.0, error: error.error }))
}
