//! What the first pages of the segments say: whose they are, and what they are used for.
//!
//! Contract: a segment whose header is not whole is known by the pages behind it, a log's or a checkpoint's. What nothing is known of is
//! left to whoever misses it: where segments are used again, one that is free may hold anything.

use super::super::at_page;
use super::super::checkpoints::Headless;
use super::{Found, Owner, Walk, read};
use crate::failure::Failure;
use segments::blocking::Blocking;
use segments::log::run::Run;
use segments::log::scan::FoundRun;
use segments::page::{self, PageError, PageKind};
use segments::segment::{Purpose, SegmentHeader};
use segments::{EpochId, Frames, Incarnation, SegmentId};
use std::collections::{BTreeMap, BTreeSet};

/// Pages looked at in a segment whose header cannot be read, to find out whose it is.
const PROBE_PAGES: u32 = 8;

/// What the first pages of all segments say.
#[derive(Default)]
pub(super) struct Segments {
    pub(super) runs: Vec<FoundRun>,
    pub(super) logs: BTreeMap<Owner, Vec<Found>>,
    pub(super) headless: Vec<Headless>,
    pub(super) named: BTreeSet<(Incarnation, EpochId)>,
    pub(super) blank: BTreeSet<SegmentId>,
    /// Those of which nothing says whose they are.
    pub(super) unknown: Vec<SegmentId>,
}

impl Walk<'_> {
    /// What all segments say of themselves.
    pub(super) fn segments(&mut self, device: &mut Blocking<'_>) -> Result<Segments, Failure> {
        let mut segments = Segments::default();
        let mut inside = 0;
        for number in 0..self.geometry.segments_in(device.pages()) {
            let segment = SegmentId(number);
            let first = self.geometry.first_page(segment);
            let pages = PROBE_PAGES.min(self.geometry.segment_pages());
            let frames = read(device, first, u64::from(pages))?;
            if let Some(mut found) = self.header(&frames, segment) {
                let left = self.geometry.segments_in(device.pages()) - number;
                if found.run.segments > left {
                    let what = "the run that begins here reaches behind the end of the store".to_owned();
                    self.report.find(at_page("segment", self.geometry, first, Vec::new(), what));
                    found.run.segments = left;
                }
                inside = number + found.run.segments;
                let FoundRun { run, header, .. } = found;
                segments.runs.push(found);
                segments.named.extend(header.cut_before.map(|cut| (header.incarnation, cut)));
                if header.purpose == Purpose::Log {
                    let owner = (header.incarnation, header.log);
                    segments.logs.entry(owner).or_default().push(Found { run, header: Some(header) });
                }
                continue;
            }
            let damaged = page::parse(frames.page(0), self.superblock.salt);
            if !matches!(damaged, Err(PageError::Damaged(_))) {
                // A further segment of a run, or one that nobody has begun.
                segments.blank.extend((damaged == Err(PageError::Blank) && number >= inside).then_some(segment));
                continue;
            }
            match self.probe(&frames, segment) {
                Some((owner, run, true)) => segments.logs.entry(owner).or_default().push(Found { run, header: None }),
                Some(((incarnation, log), run, false)) => segments.headless.push(Headless { run, incarnation, log }),
                None if number >= inside => segments.unknown.push(segment),
                None => {}
            }
        }
        Ok(segments)
    }

    /// The run that begins with a segment, by its header.
    fn header(&mut self, frames: &Frames, segment: SegmentId) -> Option<FoundRun> {
        let geometry = self.geometry;
        let (header, outer) = SegmentHeader::parse(frames.page(0), self.superblock.salt).ok()?;
        let ours = (header.domain, header.segment) == (self.superblock.domain, segment);
        if !ours || header.segment_pages != geometry.segment_pages() {
            return None;
        }
        let run = Run { segment, segments: header.run, geometry, first_seq: header.first_seq };
        if header.incarnation > self.superblock.incarnation {
            let what = format!("it is of incarnation {}, which has not begun", header.incarnation);
            self.report.find(at_page("segment", geometry, run.start(), Vec::new(), what));
        }
        Some(FoundRun { run, header, horizon: outer.horizon, previous: outer.previous })
    }

    /// Whose a segment is whose header is not whole, by the pages behind it: a log's, or a checkpoint's.
    fn probe(&self, frames: &Frames, segment: SegmentId) -> Option<(Owner, Run, bool)> {
        (1..frames.pages()).zip(1_u32..).find_map(|(at, index)| {
            let header = page::parse(frames.page(at), self.superblock.salt).ok()?;
            let first_seq = header.seq.checked_sub(u64::from(index))?;
            let of_checkpoint = matches!(header.kind, PageKind::Checkpoint | PageKind::CheckpointFooter);
            let known = header.is_of_log() || of_checkpoint;
            let run = Run { segment, segments: 1, geometry: self.geometry, first_seq };
            (header.lies_at(self.mark, segment, index) && known).then_some((
                (header.incarnation, header.log),
                run,
                !of_checkpoint,
            ))
        })
    }
}
