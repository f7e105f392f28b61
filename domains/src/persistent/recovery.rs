//! Recovery: what the incarnation before left, made durable, cut, and served again.
//!
//! The order is the protocol's (`design/transactions.md`) and every step of it is essential: scan, flush, record, flush, serve.
//! What the scan saw may sit in a cache, so it is flushed before the record that builds on it; the record carries the new
//! incarnation and the cut together, so that a crash at any point leaves either the old state, to be recovered again, or the new.
//!
//! A log that was announced as persistent further than it is whole is damaged, and nothing of it is served. What says so lies in
//! the pages of the log itself, also behind the damage, and in the superblock when the store was closed in order.
//!
//! The pages behind the cut are not erased: the cut hides them for good, and the new incarnation writes new segments only.

use super::load::{self, Loaded};
use super::replay::Replay;
use super::{Report, failed, read_copies, write_superblock};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::background::Background;
use crate::engine::catalog::Catalog;
use crate::engine::checkpoint::Kept;
use crate::engine::core::{Core, ONLY_SHARD};
use crate::engine::records::PageIdentity;
use crate::error::Error;
use crate::index::HashConfig;
use crate::schema::TableHome;
use segments::blocking::{Blocking, Failed};
use segments::checkpoint::Footer;
use segments::cuts::Cuts;
use segments::log::LogIdentity;
use segments::log::scan::{self, Chain, DeviceIdentity, FoundRun, FoundRuns, RunEnd, ScanError, Seen, Stray};
use segments::log::writer::{LogConfig, LogWriter};
use segments::map::Use;
use segments::mutants::{Mutant, planted};
use segments::page::domain_mark;
use segments::probes::{Probe, hit};
use segments::segment::{Geometry, Purpose};
use segments::superblock::{Choice, Features, SUPERBLOCK_PAGES, Superblock, SuperblockError, copy_page};
use segments::{Device, EpochId, Incarnation, SegmentId, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use txn::cut::{Close, cut};

/// Recovers a device and begins its next incarnation.
pub(super) fn recover(device: &mut dyn Device, config: &Config) -> Result<(Engine, Report), Error> {
    let mut device = Blocking::new(device);
    let choice = read_superblock(&mut device)?;
    let old = choice.superblock.clone();
    if device.pages() < old.pages {
        return Err(Error::Truncated { pages: device.pages(), had: old.pages });
    }
    let found = find_runs(&mut device, &old)?;
    let loaded = load::newest(&mut device, &identity_of(&old), &found.runs, config, &old)?;
    let Loaded { core, footer, kept, cuts: said, free, passed_over } = loaded;
    let named = cuts_named(&found);
    let cuts =
        Cuts::of(&old, &named, &said).map_err(|error| missing(found.unreadable.first().copied(), error.to_string()))?;
    let mut scan = Scan::new(&old, Replay::new(core, cuts.clone(), footer.is_some()), footer);
    let cut = scan.run(&mut device, &old, found, &cuts)?;

    if !planted(Mutant::RecoversWithoutFlush) {
        super::flush(&mut device).map_err(|error| failed("the flush before the recovery record", error))?;
    }
    repair_copies(&mut device, &choice).map_err(|error| failed("repairing the superblock's copies", error))?;
    // The flush above has made the length durable too.
    let named = named.into_iter().map(|(_, cut)| cut).chain(said).collect();
    let mut new = next_life(&old, cut, device.pages(), &named)?;
    let mut cuts_now = cuts.clone().ended(cut);
    if planted(Mutant::RecordsNoCut) {
        new.cuts.clone_from(&old.cuts);
        cuts_now = cuts.clone().ended(EpochId::base(old.incarnation));
    }
    if planted(Mutant::KeepsIncarnation) && old.incarnation.0 > 0 {
        (new.cuts, new.incarnation) = (old.cuts.clone(), old.incarnation);
        cuts_now = cuts;
    }
    write_superblock(&mut device, &new).map_err(|error| failed("writing the recovery record", error))?;

    let Scan { replay, ends, runs, summaries_used, pages_after, pages_searched, in_chain, .. } = scan;
    let (core, records_dropped) = replay.finish();
    let free = free_now(&core, free, &kept, &in_chain, old.incarnation);
    let mut engine = begin(core, config, &new, device.pages(), cuts_now.clone(), (kept, free));
    engine.core.recovered = footer.as_ref().map(|footer| footer.persistent);
    let tables = engine.core.catalog.tables().filter(|table| table.info.id.0 != 0);
    let report = Report {
        domain: new.domain,
        incarnation: new.incarnation,
        cut,
        cuts: cuts_now,
        pages_read: device.pages_read(),
        pages_searched,
        segments: runs,
        checkpoint: footer.map(|footer| footer.persistent),
        checkpoints_passed_over: passed_over,
        summaries_used,
        pairs: tables.map(|table| table.pairs()).sum(),
        records_dropped,
        pages_dropped: pages_after,
        end: if ends.is_empty() { "it wrote nothing".to_owned() } else { ends.join("; ") },
    };
    Ok((engine, report))
}

/// The superblock of the incarnation that begins now.
pub(super) fn next_life(
    old: &Superblock,
    cut: EpochId,
    pages: u64,
    named: &BTreeSet<EpochId>,
) -> Result<Superblock, Error> {
    let is_named = |oldest| named.contains(&oldest);
    old.with_recovery(cut, 1, pages, is_named).map_err(|error| match error {
        SuperblockError::CutsFull { max } => Error::OpensSpent { limit: max as u64 },
        SuperblockError::IncarnationsSpent { max } => Error::OpensSpent { limit: u64::from(max) },
        SuperblockError::Empty
        | SuperblockError::NotAStore
        | SuperblockError::NoQuorum { .. }
        | SuperblockError::OtherFormat { .. }
        | SuperblockError::UnknownFeatures { .. } => Error::CorruptStore { why: error.to_string() },
    })
}

/// Every run of segments on the device.
fn find_runs(device: &mut Blocking<'_>, superblock: &Superblock) -> Result<FoundRuns, Error> {
    let found = scan::find_runs(device, &identity_of(superblock)).map_err(scan_failed)?;
    let last = superblock.incarnation;
    if let Some(run) = found.runs.iter().find(|run| run.header.incarnation > last) {
        let why = format!("segment {} is of {:?}, the superblock of {last:?}", run.run.segment, run.header.incarnation);
        return Err(Error::CorruptStore { why });
    }
    Ok(found)
}

/// The error of a log that is not what it was: damaged, or on a medium that does not give it.
fn missing(unreadable: Option<Failed>, why: String) -> Error {
    match unreadable {
        Some(unreadable) => failed("reading the log", unreadable),
        None => Error::CorruptStore { why },
    }
}

/// The cuts that headers name, each with the incarnation whose headers do.
fn cuts_named(found: &FoundRuns) -> BTreeSet<(Incarnation, EpochId)> {
    found.runs.iter().filter_map(|run| Some((run.header.incarnation, run.header.cut_before?))).collect()
}

fn identity_of(superblock: &Superblock) -> DeviceIdentity {
    DeviceIdentity {
        domain: superblock.domain,
        salt: superblock.salt,
        geometry: Geometry::new(superblock.segment_pages),
    }
}

/// Makes all four copies whole again before two of them are overwritten: else a crash meanwhile could leave one of the old.
/// Only after the flush: what the scan read of the good ones may have been in a cache.
fn repair_copies(device: &mut Blocking<'_>, choice: &Choice) -> Result<(), Failed> {
    let stale = choice.stale();
    if stale.is_empty() {
        return Ok(());
    }
    hit(Probe::CopyRepaired);
    let writes = stale.into_iter().map(|copy| (copy_page(copy), choice.superblock.encode(copy)));
    device.write_each(writes.collect())?;
    super::flush(device)
}

fn read_superblock(device: &mut Blocking<'_>) -> Result<Choice, Error> {
    if device.pages() < SUPERBLOCK_PAGES {
        let why = format!("it has {} pages, a superblock alone has {SUPERBLOCK_PAGES}", device.pages());
        return Err(Error::NotAStore { why });
    }
    let copies = read_copies(device)?;
    match (copies.choose(), copies.unreadable) {
        (Ok(choice), _) => writable(choice),
        (Err(SuperblockError::UnknownFeatures { incompatible }), _) => {
            Err(Error::UnknownFeatures { mask: incompatible })
        }
        (
            Err(SuperblockError::NoQuorum { .. } | SuperblockError::Empty | SuperblockError::NotAStore),
            Some(unreadable),
        ) => Err(failed("reading the superblock", unreadable)),
        (Err(error @ (SuperblockError::Empty | SuperblockError::NotAStore)), None) => {
            Err(Error::NotAStore { why: error.to_string() })
        }
        (Err(error), _) => Err(Error::CorruptStore { why: error.to_string() }),
    }
}

/// Recovery writes, which the features of a store may forbid to who does not know them.
fn writable(choice: Choice) -> Result<Choice, Error> {
    if !choice.read_only {
        return Ok(choice);
    }
    let mask = choice.superblock.features.read_only_compatible & !Features::KNOWN.read_only_compatible;
    Err(Error::UnknownFeatures { mask })
}

/// A core without a log yet, into which the old records are replayed.
pub(super) fn core_for(config: &Config, superblock: &Superblock) -> Core {
    let hash = HashConfig { key: superblock.hash_key, fingerprint_bits: config.fingerprint_bits };
    let catalog = Catalog::new(TableHome::Persistent, hash);
    let identity = PageIdentity {
        domain_mark: domain_mark(superblock.domain),
        salt: superblock.salt,
        geometry: Geometry::new(superblock.segment_pages),
    };
    Core::new(config.clone(), hash, catalog, identity, superblock.incarnation)
}

/// Gives the replayed core its log and its epochs.
pub(super) fn begin(
    mut core: Core,
    config: &Config,
    new: &Superblock,
    device_pages: u64,
    cuts: Cuts,
    (kept, free): (Vec<Kept>, BTreeSet<SegmentId>),
) -> Engine {
    let identity = LogIdentity {
        domain: new.domain,
        salt: new.salt,
        incarnation: new.incarnation,
        log: ONLY_SHARD,
        cut_before: cuts.last(),
    };
    let log = LogWriter::new(LogConfig {
        identity,
        segment_pages: new.segment_pages,
        tail_pages: config.tail_pages,
        zero_pages: config.zero_pages,
        segments: first_new_segment(new, device_pages),
        pages_max: config.space_pages_max,
        horizon: EpochId::base(new.incarnation),
    });
    core.begin(cuts, log);
    for segment in free {
        core.records.map.begin(segment, 1, Use::Free, None);
        core.log_mut().give(segment, 0);
    }
    disown(&mut core, &kept);
    // Replay finds by hashes what summaries name by them, which only wide slots allow without a read each.
    if device_pages <= config.compact_pages_max {
        core.catalog.narrow();
    }
    let background = config.reclaims.then(|| Background::new(identity, kept));
    Engine::new(core, Some(new.clone()), background)
}

/// Which of the segments that were free when the checkpoint was written are free now: none that replay went through since, and none
/// that the last incarnation may have been writing to.
fn free_now(
    core: &Core,
    free: BTreeSet<SegmentId>,
    kept: &[Kept],
    in_chain: &BTreeSet<SegmentId>,
    last: Incarnation,
) -> BTreeSet<SegmentId> {
    let map = &core.records.map;
    let is_free = |segment: &SegmentId| {
        let state = map.get(*segment);
        let first = if state.run > 0 { *segment } else { state.first };
        let of_kept = kept.iter().any(|kept| kept.segments.contains(segment));
        // A segment that was taken since may hold what a record of the log names.
        let holds = state.live > 0 || state.named > 0;
        !of_kept
            && !holds
            && !in_chain.contains(&first)
            && map.get(first).life.is_none_or(|life| life.incarnation < last)
    };
    free.into_iter().filter(is_free).collect()
}

/// Pages of checkpoints that do not count hold nothing that anybody needs.
fn disown(core: &mut Core, kept: &[Kept]) {
    let owned: BTreeSet<SegmentId> = kept.iter().flat_map(|kept| kept.segments.iter().copied()).collect();
    let map = &mut core.records.map;
    let all: Vec<SegmentId> = map.iter().map(|(segment, _)| segment).collect();
    for segment in all {
        if map.get(segment).used == Use::Checkpoint && !owned.contains(&segment) {
            map.get_mut(segment).used = Use::Table;
        }
    }
}

/// Behind all that the device has, where no earlier incarnation wrote or still writes.
fn first_new_segment(new: &Superblock, device_pages: u64) -> u32 {
    let segments = Geometry::new(new.segment_pages).segments_begun(device_pages);
    if planted(Mutant::ReusesSegment) { segments.saturating_sub(1) } else { segments }
}

/// The scan of every log that still counts.
struct Scan {
    identity: DeviceIdentity,
    old: Incarnation,
    replay: Replay,
    closes: Vec<Close>,
    /// Last epoch of the last incarnation that a summary which was used says is closed there: its closes are not looked at.
    vouched: EpochId,
    /// Highest persistent epoch of the last incarnation that any page names.
    announced: EpochId,
    /// How far the logs of each incarnation still reach: the last epoch of which a close was met, or that a summary vouches for.
    reached: BTreeMap<Incarnation, Reached>,
    /// Pages that need not be searched for evidence: their chain went on, or their incarnation has a cut.
    settled: Vec<Range<u64>>,
    /// The first segment whose header the medium did not give.
    headless: Option<Failed>,
    runs: u32,
    summaries_used: u32,
    pages_after: u64,
    pages_searched: u64,
    ends: Vec<String>,
    /// The checkpoint that was loaded: logs before it are not followed.
    footer: Option<Footer>,
    /// First segments of the runs that a chain went through.
    in_chain: BTreeSet<SegmentId>,
    /// What no chain reaches of runs that lie before the device's end of when the last incarnation began.
    reused: Vec<Range<u64>>,
}

/// How far an incarnation's logs could be followed, and why no further.
#[derive(Debug, Default)]
struct Reached {
    epoch: EpochId,
    end: String,
    /// The place that the medium did not give and where it might have gone on.
    unreadable: Option<Failed>,
}

impl Scan {
    fn new(superblock: &Superblock, replay: Replay, footer: Option<Footer>) -> Self {
        let base = EpochId::base(superblock.incarnation);
        Self {
            identity: identity_of(superblock),
            old: superblock.incarnation,
            replay,
            closes: Vec::new(),
            vouched: base,
            announced: superblock.closed.filter(|_| !planted(Mutant::IgnoresTheEnd)).unwrap_or(base),
            reached: BTreeMap::new(),
            settled: Vec::new(),
            headless: None,
            runs: 0,
            summaries_used: 0,
            pages_after: 0,
            pages_searched: 0,
            ends: Vec::new(),
            footer,
            in_chain: BTreeSet::new(),
            reused: Vec::new(),
        }
    }

    /// Follows every log, replays what counts, and finds the cut of the last incarnation.
    fn run(
        &mut self,
        device: &mut Blocking<'_>,
        superblock: &Superblock,
        found: FoundRuns,
        cuts: &Cuts,
    ) -> Result<EpochId, Error> {
        self.headless = found.unreadable.first().copied();
        self.take_checkpoint(device)?;
        let mut logs: BTreeMap<(Incarnation, ShardId), Vec<FoundRun>> = BTreeMap::new();
        for run in found.runs {
            if run.header.purpose != Purpose::Log || self.is_before(&run) {
                // What it says of what was announced, later pages of the log or the checkpoint say too.
                let start = run.run.start().0;
                self.settled.push(start..start + run.run.pages());
                continue;
            }
            logs.entry((run.header.incarnation, run.header.log)).or_default().push(run);
        }
        for ((incarnation, log), runs) in logs {
            let runs = self.behind_checkpoint((incarnation, log), runs);
            self.runs += u32::try_from(runs.len()).expect("segments are counted in u32");
            self.follow_log(device, incarnation == self.old, &runs)?;
        }
        self.check_earlier(cuts)?;
        let found = cut(self.vouched, self.closes.iter().copied());
        let cut = found.map_err(|error| Error::CorruptStore { why: error.to_string() })?.last;
        self.check_announced(cut)?;
        if superblock.closed.is_none() {
            let before = device.pages_read();
            self.search(device, superblock.pages, cut)?;
            self.pages_searched = device.pages_read() - before;
        }
        self.replay.cut(device, cut)?;
        Ok(cut)
    }

    /// What the checkpoint says of the log before it.
    fn take_checkpoint(&mut self, device: &mut Blocking<'_>) -> Result<(), Error> {
        let Some(Footer { start, persistent, .. }) = self.footer else { return Ok(()) };
        if start.incarnation > self.old {
            let why = format!("a checkpoint is of {:?}, the superblock of {:?}", start.incarnation, self.old);
            return Err(Error::CorruptStore { why });
        }
        self.reached.entry(start.incarnation).or_default().epoch = start.closed;
        if start.incarnation == self.old {
            self.vouched = self.vouched.max(start.closed);
            self.announced = self.announced.max(persistent);
            self.replay.announced(device, persistent)?;
        }
        Ok(())
    }

    /// Whether a run is of an incarnation before the checkpoint's.
    fn is_before(&self, run: &FoundRun) -> bool {
        self.footer.is_some_and(|footer| run.header.incarnation < footer.start.incarnation)
    }

    /// The runs of a log, in order, from the one on that the checkpoint begins in.
    fn behind_checkpoint(&mut self, owner: (Incarnation, ShardId), mut runs: Vec<FoundRun>) -> Vec<FoundRun> {
        runs.sort_by_key(|run| run.run.first_seq);
        let Some(Footer { start, .. }) =
            self.footer.filter(|footer| (footer.start.incarnation, footer.start.log) == owner)
        else {
            return runs;
        };
        let first = runs.iter().rposition(|run| run.run.first_seq <= start.chain.next_seq).unwrap_or(0);
        for run in runs.drain(..first) {
            self.settled.push(run.run.start().0..run.run.start().0 + run.run.pages());
        }
        runs
    }

    /// Nothing beyond the cut was announced.
    fn check_announced(&self, cut: EpochId) -> Result<(), Error> {
        if self.announced <= cut {
            return Ok(());
        }
        let why = format!(
            "epoch {} was announced as persistent, but the log is whole only up to {cut} ({})",
            self.announced,
            self.ends.join("; ")
        );
        Err(self.missing(self.old, why))
    }

    fn missing(&self, incarnation: Incarnation, why: String) -> Error {
        missing(self.unreadable(incarnation), why)
    }

    /// The first place that the medium did not give and that may have been part of an incarnation's log.
    fn unreadable(&self, incarnation: Incarnation) -> Option<Failed> {
        self.reached.get(&incarnation).and_then(|reached| reached.unreadable).or(self.headless)
    }

    /// Looks through what no chain of the last incarnation reaches for proof that more was announced than the cut. It began behind
    /// the device's end of then; what lies before has its cuts. A page that the medium does not give might be the proof.
    fn search(&mut self, device: &mut Blocking<'_>, begin: u64, cut: EpochId) -> Result<(), Error> {
        let mut settled = std::mem::take(&mut self.settled);
        let end = device.pages();
        settled.push(end..end);
        settled.sort_by_key(|range| range.start);
        let mut at = begin.max(SUPERBLOCK_PAGES);
        let mut unreadable = self.unreadable(self.old).filter(|failed| failed.page.0 >= at);
        let mut ranges = std::mem::take(&mut self.reused);
        ranges.retain(|range| range.end <= at);
        for range in settled {
            ranges.push(at..range.start);
            at = at.max(range.end);
        }
        for range in ranges {
            let Self { identity, announced, pages_after, .. } = self;
            let searched = scan::search(device, identity, self.old, range, &mut |stray| {
                match stray {
                    Stray::Unreadable(failed) => unreadable = unreadable.or(Some(failed)),
                    Stray::Page { horizon, of_log } => {
                        *announced = (*announced).max(horizon);
                        *pages_after += u64::from(of_log);
                    }
                }
                if *announced > cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            searched.map_err(|error| failed("searching the log", error))?;
            self.check_announced(cut)?;
        }
        unreadable.map_or(Ok(()), |unreadable| Err(failed("searching the log", unreadable)))
    }

    /// What an earlier incarnation left was counted when it was recovered, and served since: its logs reach its cut for good. A
    /// chain that ends before is damage, of a page or of a whole run, and never the end of what was written.
    fn check_earlier(&self, cuts: &Cuts) -> Result<(), Error> {
        let from = self.footer.map_or(Incarnation(0), |footer| footer.start.incarnation);
        for cut in cuts.iter().filter(|cut| cut.incarnation() >= from) {
            let incarnation = cut.incarnation();
            let (reached, base) = (self.reached.get(&incarnation), EpochId::base(incarnation));
            if cut > reached.map_or(base, |reached| reached.epoch.max(base)) {
                let end = reached.map_or("none of its segments is there", |reached| &reached.end);
                let why = format!("{incarnation:?} was persistent up to {cut}, but its log ends before that ({end})");
                return Err(self.missing(incarnation, why));
            }
        }
        Ok(())
    }

    fn follow_log(&mut self, device: &mut Blocking<'_>, last: bool, runs: &[FoundRun]) -> Result<(), Error> {
        let mut chain = Chain::default();
        if let (Some(Footer { start, .. }), Some(run)) = (self.footer, runs.first())
            && (start.incarnation, start.log) == (run.header.incarnation, run.header.log)
        {
            chain = start.chain;
        }
        let mut end: Option<RunEnd> = None;
        for (number, run) in runs.iter().enumerate() {
            if last {
                self.announced = self.announced.max(run.horizon);
            }
            let whole = run.continues(chain);
            let continues = whole || run.run.holds(chain.next_seq);
            if whole {
                self.replay.begin_run(run.run.segment);
            }
            let ended = self.follow_run(device, last, run, chain)?;
            self.replay.end_run(run.run.segment, ended.pages);
            if continues {
                self.in_chain.insert(run.run.segment);
            }
            self.summaries_used += u32::from(ended.summary_used);
            chain = ended.chain;
            // Where the next run goes on, what follows here is a summary or nothing.
            let goes_on = runs.get(number + 1).is_some_and(|next| next.continues(chain));
            if !goes_on {
                let reached = self.reached.entry(run.header.incarnation).or_default();
                reached.unreadable = reached.unreadable.or(ended.unreadable);
            }
            let start = run.run.start().0;
            let settled = if goes_on || ended.summary_used || !last { run.run.pages() } else { ended.pages };
            self.settled.push(start..start + settled);
            self.reused.push(start + settled..start + run.run.pages());
            end = Some(ended);
        }
        if let (Some(end), Some(run)) = (end, runs.last()) {
            if last {
                self.ends.push(end.why.clone());
            }
            self.reached.entry(run.header.incarnation).or_default().end = end.why;
        }
        Ok(())
    }

    fn follow_run(
        &mut self,
        device: &mut Blocking<'_>,
        last: bool,
        run: &FoundRun,
        chain: Chain,
    ) -> Result<RunEnd, Error> {
        let Self { identity, replay, closes, vouched, announced, reached, .. } = self;
        let log = run.header.log;
        let reached = reached.entry(run.header.incarnation).or_default();
        let mut failure = None;
        let summaries = replay.takes_summaries();
        let followed = scan::follow(device, identity, run, chain, summaries, &mut |device, seen| {
            if let Seen::Close { epoch, .. } | Seen::Summary { closed: epoch, .. } = seen {
                reached.epoch = reached.epoch.max(epoch);
            }
            let taken = match seen {
                Seen::Record { head, place } => replay.record(device, head, place),
                Seen::Item { item, bytes_max } => replay.item(device, item, bytes_max),
                Seen::Close { epoch, members } if last => {
                    closes.push(Close { epoch, shard: log, members });
                    Ok(())
                }
                Seen::Summary { closed, horizon } if last => {
                    *vouched = (*vouched).max(closed);
                    *announced = (*announced).max(horizon);
                    replay.announced(device, *announced)
                }
                Seen::Horizon(horizon) if last && horizon > *announced => {
                    *announced = horizon;
                    replay.announced(device, horizon)
                }
                Seen::Close { .. } | Seen::Summary { .. } | Seen::Horizon(_) => Ok(()),
            };
            taken.map_err(|error| {
                failure = Some(error);
                ScanError::Stopped
            })
        });
        match (followed, failure) {
            (_, Some(error)) => Err(error),
            (Err(error), None) => Err(scan_failed(error)),
            (Ok(end), None) => Ok(end),
        }
    }
}

pub(super) fn scan_failed(error: ScanError) -> Error {
    match error {
        ScanError::Device(error) => failed("reading the log", error),
        ScanError::Content { .. } | ScanError::Stopped => Error::CorruptStore { why: error.to_string() },
    }
}
