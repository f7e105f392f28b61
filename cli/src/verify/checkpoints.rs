//! The index checkpoints of a store: which of them count, whether these are whole, and what they name.
//!
//! Contract: those that count are the two newest that were finished. One that was begun and not finished says nothing, and one that was
//! finished and is not whole is damage. Its footer is written last, and the next one is begun when it is durable. What
//! is older than the two may lie in segments that have been used again since, and is not looked at.
//!
//! What it cannot tell: of the last one of an incarnation that was not closed in order, a power failure may have left the footer and not
//! all pages before it. Such a checkpoint never counted where a page of it is blank or an older one; where pages were written and
//! do not have their checksums it is called damaged, though they may have been torn.

use super::{Finding, Report, at_page};
use crate::failure::Failure;
use segments::blocking::Blocking;
use segments::checkpoint::{self, Footer, FoundCheckpoint, Item, Read};
use segments::log::run::Run;
use segments::log::scan::{DeviceIdentity, FoundRun, ScanError};
use segments::page::{self, PAGE_HEADER_BYTES, PAGE_MAGIC, PageError, PageHeader, PageKind, domain_mark};
use segments::segment::Geometry;
use segments::superblock::Superblock;
use segments::{EpochId, Incarnation, PAGE_BYTES, PageNo, Place, SegmentId, ShardId, TableId};
use std::collections::{BTreeMap, BTreeSet};

/// How many checkpoints are kept.
const KEPT: usize = 2;
/// What a device may tear: sectors are written whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Bytes that damage may have changed behind the sector that a footer lies in; where more are not zero, the rest is an older page's.
const STRAY_BYTES: usize = 8;

/// A record that a checkpoint names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Name {
    /// The page first: names are gone through in the order of the device.
    page: u64,
    offset: u16,
    bits: u64,
    /// Its pair's.
    pub(super) table: TableId,
    /// It is the pair's record, and the log is replayed on top of it.
    pub(super) base: bool,
    /// It is what a revert would bring back.
    pub(super) previous: bool,
}

impl Name {
    fn new(table: TableId, place: Place, base: bool) -> Self {
        Self { page: place.page().0, offset: place.offset(), bits: place.to_bits(), table, base, previous: false }
    }

    pub(super) fn place(&self) -> Place {
        Place::from_bits(self.bits)
    }
}

/// What there is before the part of the log that is judged.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// Of the oldest checkpoint that counts and is whole: the log is judged from its start on.
    pub(super) footer: Option<Footer>,
    /// The last epoch that one of them says was persistent.
    pub(super) persistent: EpochId,
    /// The cuts that the newest says.
    pub(super) said: Vec<EpochId>,
    /// What they name, in the order of the device.
    pub(super) names: Vec<Name>,
    /// Their segments.
    pub(super) segments: BTreeSet<SegmentId>,
}

/// A segment without a readable header whose pages say that they are of a checkpoint.
pub(super) struct Headless {
    pub(super) run: Run,
    pub(super) incarnation: Incarnation,
    pub(super) log: ShardId,
}

/// Where the pages of one checkpoint lie, as far as any page says so.
struct Candidate {
    found: FoundCheckpoint,
    /// Of those without a header, where they begin.
    headless: Vec<Run>,
}

/// What one checkpoint says, when it is whole.
#[derive(Default)]
struct Said {
    names: Vec<(TableId, Place, bool)>,
    cuts: Vec<EpochId>,
}

/// Judges the checkpoints.
pub(super) fn look(
    device: &mut Blocking<'_>,
    superblock: &Superblock,
    (runs, headless): (&[FoundRun], &[Headless]),
    report: &mut Report,
) -> Result<Base, Failure> {
    let identity = &identity_of(superblock);
    // The incarnation of the one before in the list, or the one that ended in order: what it wrote it made durable.
    let mut durable = superblock.closed.map(|_| superblock.incarnation);
    let mut base = Base::default();
    let mut whole: Vec<(Footer, Said)> = Vec::new();
    let mut damaged: Vec<(String, Vec<Finding>)> = Vec::new();
    for candidate in candidates(runs, headless) {
        if whole.len() + damaged.len() == KEPT {
            break;
        }
        let name = format!("checkpoint {} of incarnation {}", candidate.found.number, candidate.found.incarnation);
        let is_durable = durable == Some(candidate.found.incarnation);
        durable = Some(candidate.found.incarnation);
        let (why, walked) = match read(device, identity, &candidate)? {
            Ok((footer, said)) => {
                base.segments.extend(candidate.segments());
                report.checkpoints += 1;
                report.checkpoint_pages += u64::from(footer.pages) + 1;
                whole.push((footer, said));
                continue;
            }
            Err(why) => (why, Walked::over(device, identity, &candidate)?),
        };
        match walked.findings(identity, &candidate, is_durable, &why) {
            Some(findings) => {
                base.segments.extend(candidate.segments());
                damaged.push((name, findings));
            }
            None if whole.is_empty() && damaged.is_empty() => {
                report.notes.push(format!("{name} was begun and not finished: it says nothing ({why})"));
            }
            None => {}
        }
    }
    let instead = if whole.is_empty() {
        "there is no other, and the log before it may be gone"
    } else {
        "the other one serves, from which more of the log is replayed"
    };
    for (name, findings) in damaged {
        for finding in findings {
            let what = format!("{}; {name} does not count any more: {instead}", finding.what);
            report.find(Finding { what, ..finding });
        }
    }
    let oldest = whole.len().wrapping_sub(1);
    for (number, (footer, said)) in whole.into_iter().enumerate() {
        base.persistent = base.persistent.max(footer.persistent);
        base.names.extend(said.names.into_iter().map(|(table, place, pair)| {
            let name = Name::new(table, place, number == oldest && pair);
            Name { previous: !pair, ..name }
        }));
        if number == 0 {
            base.said = said.cuts;
        }
        base.footer = Some(footer);
    }
    base.names.sort_unstable();
    Ok(base)
}

/// What pages of a store say of whom they belong to.
pub(super) fn identity_of(superblock: &Superblock) -> DeviceIdentity {
    let geometry = Geometry::new(superblock.segment_pages);
    DeviceIdentity { domain: superblock.domain, salt: superblock.salt, geometry }
}

/// Checkpoints of which a segment was found, the newest first.
fn candidates(runs: &[FoundRun], headless: &[Headless]) -> Vec<Candidate> {
    let mut lost: BTreeMap<(Incarnation, u64, ShardId), Vec<Run>> = BTreeMap::new();
    for segment in headless {
        let number = segment.run.first_seq >> 32;
        lost.entry((segment.incarnation, number, segment.log)).or_default().push(segment.run);
    }
    let mut candidates: Vec<Candidate> = checkpoint::find(runs)
        .into_iter()
        .map(|found| {
            let name = (found.incarnation, u64::from(found.number), found.log);
            Candidate { headless: lost.remove(&name).unwrap_or_default(), found }
        })
        .collect();
    candidates.extend(lost.into_iter().map(|((incarnation, number, log), headless)| {
        let number = u32::try_from(number).expect("half of a sequence number");
        Candidate { found: FoundCheckpoint { incarnation, log, number, segments: Vec::new() }, headless }
    }));
    candidates.sort_by_key(|candidate| std::cmp::Reverse((candidate.found.incarnation, candidate.found.number)));
    candidates
}

impl Candidate {
    /// Its segments, in the order of its pages.
    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = self.found.segments.iter().map(|found| found.run).collect();
        runs.extend(&self.headless);
        runs.sort_by_key(|run| (run.first_seq, run.segment));
        runs
    }

    fn segments(&self) -> impl Iterator<Item = SegmentId> {
        self.runs().into_iter().map(|run| run.segment)
    }
}

/// What a checkpoint says, or why it is not whole.
fn read(
    device: &mut Blocking<'_>,
    identity: &DeviceIdentity,
    candidate: &Candidate,
) -> Result<Result<(Footer, Said), String>, Failure> {
    if let Some(run) = candidate.headless.first() {
        return Ok(Err(format!("the header of segment {} is not whole", run.segment)));
    }
    let mut said = Said::default();
    let read = checkpoint::read(device, identity, &candidate.found, &mut |_, table, item| {
        match item {
            Item::Hash { place, .. } | Item::Ordered { place, .. } | Item::Sack { place, .. } => {
                said.names.push((table, place, true));
            }
            Item::Kept { table, place, previous, .. } => {
                said.names.push((table, place, false));
                said.names.extend((previous != 0).then(|| (table, Place::from_bits(previous), false)));
            }
            Item::Cut { epoch } => said.cuts.push(epoch),
            Item::Table { .. } | Item::Segment { .. } => {}
        }
        Ok(())
    });
    match read {
        Ok(Read::Whole(footer)) => Ok(Ok((footer, said))),
        Ok(Read::Not { why }) => Ok(Err(why)),
        Err(ScanError::Device(failed)) => {
            Err(domains::Error::ReadFailed { page: failed.page.0, error: failed.error }.into())
        }
        Err(error @ (ScanError::Stopped | ScanError::Content { .. })) => Ok(Err(error.to_string())),
    }
}

/// A place of a checkpoint that does not hold the page which belongs there.
struct Hole {
    at: PageNo,
    what: String,
    /// What is left of the page says that it was the footer.
    was_footer: bool,
    /// All of a page was written there, and it was not left from before.
    was_whole: bool,
    /// The table of the page before.
    owner: TableId,
}

/// The pages of a checkpoint that is not whole, each judged by its place.
#[derive(Default)]
struct Walked {
    holes: Vec<Hole>,
    /// Holes before the last page that is whole.
    inside: usize,
    /// Its footer was found.
    footer: bool,
    /// Every page from the first on has its place.
    complete: bool,
    last: PageNo,
}

impl Walked {
    fn over(device: &mut Blocking<'_>, identity: &DeviceIdentity, candidate: &Candidate) -> Result<Self, Failure> {
        let mut walked = Self { complete: true, ..Self::default() };
        let mut next_seq = u64::from(candidate.found.number) << 32;
        let mut owner = TableId(0);
        for run in candidate.runs() {
            if walked.footer {
                break;
            }
            walked.complete &= run.first_seq == next_seq;
            next_seq = run.first_seq + run.pages();
            let frames = super::log::read(device, run.start(), run.pages())?;
            for (index, seq) in (0..frames.pages()).zip(run.first_seq..) {
                let (at, bytes) = (run.start().plus(index as u64), frames.page(index));
                match expected(bytes, identity, candidate, &run, seq) {
                    Ok(header) => {
                        (walked.inside, walked.last, owner) = (walked.holes.len(), at, header.owner);
                        walked.footer |= header.kind == PageKind::CheckpointFooter;
                        if walked.footer {
                            break;
                        }
                    }
                    Err(what) => {
                        let damage = match page::parse(bytes, identity.salt) {
                            Err(PageError::Damaged(damage)) => Some(damage),
                            Ok(_) | Err(PageError::Blank) => None,
                        };
                        let was_footer = damage.is_some() && was_footer(bytes, candidate, &run, seq);
                        let was_whole = damage.is_some_and(|damage| super::log::written_whole(bytes, damage));
                        walked.holes.push(Hole { at, what, was_footer, was_whole, owner });
                    }
                }
            }
        }
        Ok(walked)
    }

    /// What is damaged of it; nothing when it was not finished, or was given up since.
    fn findings(
        self,
        identity: &DeviceIdentity,
        candidate: &Candidate,
        is_durable: bool,
        why: &str,
    ) -> Option<Vec<Finding>> {
        let Self { mut holes, inside, footer, complete, last } = self;
        let lost_footer = holes.iter().skip(inside).position(|hole| hole.was_footer).map(|behind| inside + behind);
        let lost_footer = lost_footer.filter(|_| !footer);
        if !complete || !(footer || lost_footer.is_some()) {
            return None;
        }
        holes.truncate(lost_footer.map_or(inside, |at| at + 1));
        if !is_durable && holes.iter().any(|hole| !hole.was_whole) {
            return None;
        }
        let finding = |hole: Hole| {
            let tables = (hole.owner != TableId(0)).then_some(hole.owner);
            at_page("checkpoint", identity.geometry, hole.at, tables.into_iter().collect(), hole.what)
        };
        if holes.is_empty() {
            let what = format!("its pages are whole, but {why}");
            let at = candidate.runs().first().map_or(last, Run::start);
            return Some(vec![at_page("checkpoint", identity.geometry, at, Vec::new(), what)]);
        }
        Some(holes.into_iter().map(finding).collect())
    }
}

/// The header of the page that belongs to a place of a checkpoint, or what is there instead.
fn expected(
    page: &[u8; PAGE_BYTES],
    identity: &DeviceIdentity,
    candidate: &Candidate,
    run: &Run,
    seq: u64,
) -> Result<PageHeader, String> {
    let header = page::parse(page, identity.salt).map_err(|error: PageError| error.to_string())?;
    let index = u32::try_from(seq - run.first_seq).expect("a segment's pages are counted in 32 bits");
    let FoundCheckpoint { incarnation, log, .. } = candidate.found;
    let ours = (header.incarnation, header.log, header.seq) == (incarnation, log, seq)
        && header.lies_at(domain_mark(identity.domain), run.segment, index);
    if ours {
        return Ok(header);
    }
    Err(format!(
        "here lies page {} of log {} of incarnation {}, written for page {} of segment {}",
        header.seq, header.log, header.incarnation, header.index, header.segment
    ))
}

/// Whether a page that is not whole says in nearly everything that it is this checkpoint's footer: which one it is, it says twice. One
/// that was cut short when it was written over an older page is not meant: there much of the older page is left.
fn was_footer(page: &[u8; PAGE_BYTES], candidate: &Candidate, run: &Run, seq: u64) -> bool {
    let u32_at = |at: usize| u32::from_le_bytes(page[at..at + 4].try_into().expect("four bytes"));
    let index = u32::try_from(seq - run.first_seq).expect("a segment's pages are counted in 32 bits");
    let header = [
        u32_at(8) == PAGE_MAGIC,
        page[12] == 9,
        page[16] == candidate.found.log.0,
        u32_at(20) == candidate.found.incarnation.0,
        u32_at(24) == run.segment.0,
        u32_at(28) == index,
        page[32..40] == seq.to_le_bytes(),
    ];
    let wrong = header.iter().filter(|says| !**says).count();
    let (number, pages) = (u32_at(PAGE_HEADER_BYTES), u32_at(PAGE_HEADER_BYTES + 4));
    let payload = (u64::from(number) << 32 | u64::from(pages)) == seq;
    let stray = page[SECTOR_BYTES..].iter().filter(|byte| **byte != 0).count();
    stray <= STRAY_BYTES && (wrong == 0 || wrong == 1 && payload)
}
