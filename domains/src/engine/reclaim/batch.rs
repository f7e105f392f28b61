//! One batch of reclaim: some segments are read through, what lives in them is written elsewhere, and the indexes are told.
//!
//! Contract: an index names a copy only when it is durable: what is logged from then on may name it too, and whatever of the log survives
//! a crash, flushed or not, must find it. A batch that fails has changed nothing but where some records lie.

use super::pack::Target;
use super::parts::{self, Parts};
use super::{Asks, Figures};
use crate::engine::background::Job;
use crate::engine::core::Core;
use crate::engine::records::check_page;
use crate::error::Error;
use crate::schema::TableHome;
use crate::seam::Tick;
use segments::map::Use;
use segments::mutants::{Mutant, planted};
use segments::page::{self, PAGE_PAYLOAD_BYTES, PageError, PageKind};
use segments::probes::{Probe, hit};
use segments::record::{self, RecordHead, RecordKind};
use segments::{DeviceError, Frames, PAGE_BYTES, PageNo, Place, Request, SegmentId, TableId, large};
use std::ops::Range;
use std::sync::Arc;

/// Pages looked through in one turn: some hundred records.
const PAGES_AT_ONCE: u64 = 16;
/// Pages put together in one turn.
const PACKED_AT_ONCE: usize = 16;
/// Records pointed at anew in one turn.
const POINTS_AT_ONCE: usize = 512;
/// Writes in flight together.
const WRITES_AT_ONCE: usize = 4;

/// A segment that is to be emptied.
#[derive(Debug)]
pub(super) struct Victim {
    pub(super) segment: SegmentId,
    first: PageNo,
    /// The next page to be read, and how many there are.
    at: u64,
    pages: u64,
    /// When a record in it was last named, as it was before the first page was read.
    pub(super) named: u64,
    /// It cannot be emptied now.
    pub(super) stays: bool,
    /// A page of it is damaged or could not be read.
    damaged: bool,
    /// It may have fewer pages than are to be read: what comes behind them is of another life.
    open_end: bool,
}

impl Victim {
    /// Before how many checkpoints it is not looked at again.
    pub(super) fn not_before(&self, begun: u32) -> u32 {
        if self.damaged { u32::MAX } else { begun.saturating_add(1) }
    }
}

/// A record that lives.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) table: TableId,
    /// Its bytes among those of the batch, and its key there.
    pub(super) bytes: Range<usize>,
    pub(super) key: Range<usize>,
    pub(super) from: Place,
    /// Its time is over: it goes.
    over: bool,
    to: Option<Place>,
}

/// A large record of which not all pages have come.
#[derive(Debug)]
struct Large {
    gathered: Vec<u8>,
    bytes: usize,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Reading,
    /// What lives only because another record names it.
    Parts,
    Packing,
    /// What was written is to be durable.
    Syncing,
    Pointing,
    Over,
}

/// A batch under way.
#[derive(Debug)]
pub(super) struct Batch {
    victims: Vec<Victim>,
    reading: usize,
    stage: Stage,
    in_flight: usize,
    came: Option<Result<Frames, DeviceError>>,
    bytes: Vec<u8>,
    moves: Vec<Move>,
    large: Option<Large>,
    /// The last page that was looked at is none of its segment's, and no damaged one either.
    ended: bool,
    parts: Parts,
    /// How many are packed, or pointed at.
    done: usize,
    failed: bool,
    /// A flush that covers all that was written is with the device; it has come back.
    syncing: bool,
    synced: bool,
    /// Revertible writes that had been made when it began.
    kept_made: u64,
}

impl Batch {
    pub(super) fn new(core: &Core, victims: Vec<SegmentId>) -> Self {
        let victim = |segment: SegmentId| {
            let state = core.records.map.get(segment);
            let first = core.records.identity.geometry.first_page(segment);
            let (pages, named) = (u64::from(state.pages), state.named);
            // What was never gone through may hold what another record names.
            let stays = named > 0 && pages <= 1;
            let open_end = state.used == Use::Table;
            Victim { segment, first, at: 1, pages, named, stays, damaged: false, open_end }
        };
        Self {
            victims: victims.into_iter().map(victim).collect(),
            reading: 0,
            stage: Stage::Reading,
            in_flight: 0,
            came: None,
            bytes: Vec::new(),
            moves: Vec::new(),
            large: None,
            ended: false,
            parts: Parts::default(),
            done: 0,
            failed: false,
            syncing: false,
            synced: false,
            kept_made: core.kept.made(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over && self.in_flight == 0
    }

    /// Whether a pair may have become one that a revert brings back, and its parts with it, while they were thought to be nobody's.
    pub(super) fn is_outrun(&self, core: &Core) -> bool {
        core.kept.made() != self.kept_made
    }

    pub(super) fn victims(&self) -> &[Victim] {
        &self.victims
    }

    pub(super) fn wants_flush(&self) -> bool {
        let written = self.stage == Stage::Syncing && self.in_flight == 0 && !self.failed;
        written && !self.synced && self.moves.iter().any(|moved| moved.to.is_some())
    }

    pub(super) fn sync(&mut self) {
        self.syncing = self.wants_flush();
    }

    pub(super) fn synced(&mut self) {
        self.synced |= core::mem::take(&mut self.syncing);
    }

    pub(super) fn written(&mut self, result: Result<(), DeviceError>) {
        self.in_flight -= 1;
        self.failed |= result.is_err();
    }

    pub(super) fn pages_came(&mut self, frames: Result<Frames, DeviceError>) {
        self.in_flight -= 1;
        self.came = Some(frames);
    }

    pub(super) fn record_came(&mut self, place: Place, admitted: Result<Arc<[u8]>, Error>) {
        self.in_flight -= 1;
        self.parts.came(place, admitted);
    }

    /// Goes on; says whether it can go on at once.
    pub(super) fn step(
        &mut self,
        core: &mut Core,
        asks: &mut Asks,
        target: &mut Target,
        figures: &mut Figures,
        now: Tick,
    ) -> bool {
        match self.stage {
            Stage::Reading => {
                if let Some(came) = self.came.take() {
                    self.look_through(core, came, now);
                }
                self.in_flight == 0 && self.read_on(core, asks)
            }
            Stage::Parts if self.in_flight > 0 => false,
            Stage::Parts => self.step_parts(core, asks),
            Stage::Packing => self.pack(core, asks, target, figures),
            Stage::Syncing if self.in_flight > 0 => false,
            Stage::Syncing => {
                let durable = !self.wants_flush() && !self.syncing;
                if durable || planted(Mutant::PointsBeforeDurable) {
                    self.stage = Stage::Pointing;
                }
                durable
            }
            Stage::Pointing => {
                self.point(core, figures);
                true
            }
            Stage::Over => false,
        }
    }

    /// Asks for the next pages, or goes on with what all of them have brought.
    fn read_on(&mut self, core: &Core, asks: &mut Asks) -> bool {
        while let Some(victim) = self.victims.get_mut(self.reading) {
            let full = self.bytes.len() > 2 * PAGE_BYTES * core.config.reclaim_batch_pages as usize;
            if full && victim.at == 1 {
                // More lives there than was thought: another time.
                victim.stays = true;
            }
            if victim.stays || victim.at >= victim.pages {
                self.large = None;
                self.reading += 1;
                continue;
            }
            let pages = PAGES_AT_ONCE.min(victim.pages - victim.at);
            let frames = Frames::zeroed(usize::try_from(pages).expect("a few"));
            asks.ask(Job::Pages, Request::Read { at: victim.first.plus(victim.at), frames });
            self.in_flight += 1;
            return false;
        }
        self.stage = Stage::Parts;
        true
    }

    fn look_through(&mut self, core: &Core, came: Result<Frames, DeviceError>, now: Tick) {
        let at = self.victims[self.reading].at;
        let first = self.victims[self.reading].first.plus(at);
        let whole = came.ok().is_some_and(|frames| {
            let pages = 0..frames.pages();
            let whole =
                pages.clone().all(|index| self.page(core, frames.page(index), first.plus(index as u64), now).is_some());
            self.victims[self.reading].at += frames.pages() as u64;
            whole
        });
        let victim = &mut self.victims[self.reading];
        match (whole, victim.open_end) {
            (true, _) => {}
            // Whatever an index names behind it is still counted as living there.
            (false, true) if victim.named == 0 || self.ended => victim.at = victim.pages,
            (false, _) => {
                hit(Probe::VictimDamaged);
                (victim.stays, victim.damaged) = (true, true);
            }
        }
    }

    /// Takes what lives in a page; nothing when it is not what was written there.
    fn page(&mut self, core: &Core, bytes: &[u8; PAGE_BYTES], at: PageNo, now: Tick) -> Option<()> {
        let records = &core.records;
        self.ended = false;
        let header =
            match (check_page(&records.identity, &records.map, bytes, at), page::parse(bytes, records.identity.salt)) {
                (Ok(header), _) => header,
                (Err(_), parsed) => {
                    self.ended = parsed.is_ok() || parsed == Err(PageError::Blank);
                    return None;
                }
            };
        let payload = page::payload(bytes, &header);
        match header.kind {
            PageKind::Log | PageKind::Table => {
                let mut from = 0;
                while from < payload.len() {
                    let head = record::head(&payload[from..]).ok()?;
                    let offset = u16::try_from(page::PAGE_HEADER_BYTES + from).expect("an offset in a page");
                    let whole = &payload[from..from + head.record_bytes];
                    self.record(core, &head, whole, Place::new(at, offset, 1), now);
                    from += head.record_bytes;
                }
            }
            PageKind::LargeHead => {
                let head = record::head(payload).ok()?;
                let offset = u16::try_from(page::PAGE_HEADER_BYTES).expect("the header is smaller than a page");
                let place = Place::new(at, offset, large::pages_for(head.record_bytes));
                self.large = Some(Large { gathered: payload.to_vec(), bytes: head.record_bytes, place });
            }
            PageKind::LargeBody => {
                let large = self.large.as_mut()?;
                let left = large.bytes - large.gathered.len();
                large.gathered.extend_from_slice(&payload[..left.min(payload.len())]);
                if large.gathered.len() == large.bytes {
                    let Large { gathered, place, .. } = self.large.take().expect("just seen");
                    let head = record::head(&gathered).ok()?;
                    self.record(core, &head, &gathered, place, now);
                }
            }
            PageKind::SegmentHeader
            | PageKind::Summary
            | PageKind::SummaryFooter
            | PageKind::Checkpoint
            | PageKind::CheckpointFooter => return None,
        }
        Some(())
    }

    /// Takes a record, if it lives.
    fn record(&mut self, core: &Core, head: &RecordHead<'_>, whole: &[u8], place: Place, now: Tick) {
        let Some(table) = core.catalog.table(head.table).filter(|table| table.home() == TableHome::Persistent) else {
            return;
        };
        let victim = &self.victims[self.reading];
        match head.kind {
            RecordKind::Close | RecordKind::Tombstone => {}
            RecordKind::Pair if core.names(table, head.key, place) => {
                let key = head.value_at - head.key.len();
                let over = head.expires_ms.is_some_and(|at| at <= now.unix_ms);
                self.add(head.table, whole, key..head.value_at, place, over);
            }
            RecordKind::Pair | RecordKind::Extent if victim.named > 0 && table.named => {
                self.parts.suspect(head.table, head.key, place);
            }
            RecordKind::Pair | RecordKind::Extent => {}
        }
    }

    fn add(&mut self, table: TableId, whole: &[u8], key: Range<usize>, from: Place, over: bool) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(whole);
        let (bytes, key) = (at..self.bytes.len(), at + key.start..at + key.end);
        self.moves.push(Move { table, bytes, key, from, over, to: None });
    }

    /// Finds out which of the records that no index names are part of one that an index names, and makes those whole.
    fn step_parts(&mut self, core: &Core, asks: &mut Asks) -> bool {
        let limit = 4 * PAGE_BYTES * core.config.reclaim_batch_pages as usize;
        let room = limit.saturating_sub(self.bytes.len());
        let (places, again) = match self.parts.step(core, room) {
            parts::Found::Nothing => (Vec::new(), true),
            parts::Found::Unread(places) => (places, false),
            parts::Found::Whole { table, from, record, key } => {
                let segment = core.records.map.segment_of(from.page());
                if self.victims.iter().any(|victim| Some(victim.segment) == segment) {
                    // It moves anyway: but as a whole.
                    self.moves.retain(|moved| moved.from != from);
                }
                self.add(table, &record, key, from, false);
                (Vec::new(), true)
            }
            parts::Found::Stays(place) => {
                let segment = core.records.map.segment_of(place.page());
                for victim in self.victims.iter_mut().filter(|victim| Some(victim.segment) == segment) {
                    victim.stays = true;
                }
                (Vec::new(), true)
            }
            parts::Found::Over => {
                let Self { moves, bytes, .. } = self;
                moves.sort_by(|one, other| {
                    (one.table, &bytes[one.key.clone()]).cmp(&(other.table, &bytes[other.key.clone()]))
                });
                self.stage = Stage::Packing;
                (Vec::new(), true)
            }
        };
        for place in places {
            asks.ask(Job::Record(place), core.read_request(place));
            self.in_flight += 1;
        }
        again
    }

    /// Writes what lives to where it is to be.
    fn pack(&mut self, core: &mut Core, asks: &mut Asks, target: &mut Target, figures: &mut Figures) -> bool {
        if self.failed {
            return self.fail(target, figures);
        }
        if self.in_flight >= WRITES_AT_ONCE {
            return false;
        }
        let mut pages = 0;
        while let Some(moved) = self.moves.get_mut(self.done) {
            if pages > PACKED_AT_ONCE {
                break;
            }
            if !moved.over {
                match target.put(core, moved.table, &self.bytes[moved.bytes.clone()]) {
                    Ok(Some(place)) => moved.to = Some(place),
                    Ok(None) => return false,
                    Err(_) => return self.fail(target, figures),
                }
                pages += moved.bytes.len().div_ceil(PAGE_PAYLOAD_BYTES);
            }
            self.done += 1;
        }
        let over = self.done == self.moves.len();
        if over {
            target.end_page(core);
            (self.stage, self.done) = (Stage::Syncing, 0);
        }
        for (at, frames) in target.take_writes(over) {
            core.counters.moved_bytes += (frames.pages() * PAGE_BYTES) as u64;
            asks.ask(Job::Move, Request::Write { at, frames });
            self.in_flight += 1;
        }
        true
    }

    fn fail(&mut self, target: &mut Target, figures: &mut Figures) -> bool {
        hit(Probe::BatchFailed);
        figures.failed += 1;
        target.abandon();
        self.victims.iter_mut().for_each(|victim| victim.stays = true);
        self.stage = Stage::Over;
        true
    }

    /// Makes the indexes name the copies.
    fn point(&mut self, core: &mut Core, figures: &mut Figures) {
        if self.failed {
            figures.failed += 1;
            self.victims.iter_mut().for_each(|victim| victim.stays = true);
            self.stage = Stage::Over;
            return;
        }
        let until = self.moves.len().min(self.done + POINTS_AT_ONCE);
        for moved in &self.moves[self.done..until] {
            let key = &self.bytes[moved.key.clone()];
            if moved.over {
                if core.let_expire(moved.table, key, moved.from, moved.bytes.len() as u64) {
                    hit(Probe::ExpiredDropped);
                    figures.records_expired += 1;
                }
            } else if core.repoint(moved.table, key, moved.from, moved.to) {
                figures.records_moved += 1;
                figures.bytes_moved += moved.bytes.len() as u64;
            } else {
                hit(Probe::MovedInVain);
            }
        }
        self.done = until;
        if until == self.moves.len() {
            self.stage = Stage::Over;
        }
    }
}
