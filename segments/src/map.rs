//! What each segment of a device is used for, how many of its records are live, and when it may be used again.
//!
//! Contract: whoever makes an index name a place tells [`SegmentMap::point`], whoever makes it name it no more
//! [`SegmentMap::unpoint`]; what a live record names besides (a part of its value, the record that a revert brings back) is told to
//! [`SegmentMap::name`]. So the count of a segment is exactly how many of its records indexes name, and a segment that was never
//! named and whose count is 0 holds nothing that anybody can ask for.
//!
//! A segment that holds nothing is *empty*, and still not free: a checkpoint that is kept may name places in it, or replay may go
//! through it. It is free when both kept checkpoints were begun after it was found empty (`design/transactions.md`).
//!
//! Each use of a segment is a *life*, by what its header says: pages of another life are not read as this one's.
//!
//! Invariants: a run is one life, counted at its first segment; only sealed segments become empty.

use crate::ids::{Incarnation, PageNo, SegmentId};
use crate::page::PageHeader;
use crate::place::Place;
use crate::segment::Geometry;

/// What a segment is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Nothing: it may be taken.
    Free,
    /// A log.
    Log,
    /// Records that reclaim has put together by their tables.
    Table,
    /// An index checkpoint.
    Checkpoint,
}

/// Which use of a segment this is: what every page of it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// The incarnation that began it.
    pub incarnation: Incarnation,
    /// The sequence number of its first page.
    pub first_seq: u64,
}

/// A segment, or the run that begins with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentState {
    /// What it is used for.
    pub used: Use,
    /// Segments of the run that begins here; 0 for those behind a run's first.
    pub run: u32,
    /// The first segment of its run.
    pub first: SegmentId,
    /// What its pages must say; nothing while nobody has written any.
    pub life: Option<Life>,
    /// Counts lives, so that what was learned of an earlier one is told from it.
    pub lives: u32,
    /// Pages in use, header included.
    pub pages: u32,
    /// Records that were put here.
    pub records: u32,
    /// Of them, those that indexes name.
    pub live: u32,
    /// When a record here was last named by another, as a count of such events; 0 for never.
    pub named: u64,
    /// Nothing more will be written here.
    pub sealed: bool,
    /// It holds nothing: the last checkpoint that had been begun when that was found.
    pub empty_since: Option<u32>,
    /// It is not looked at before so many checkpoints have been begun: the last look brought nothing.
    pub not_before: u32,
}

impl SegmentState {
    const FREE: Self = Self {
        used: Use::Free,
        run: 1,
        first: SegmentId(0),
        life: None,
        lives: 0,
        pages: 0,
        records: 0,
        live: 0,
        named: 0,
        sealed: false,
        empty_since: None,
        not_before: 0,
    };

    /// Records that no index names.
    #[must_use]
    pub fn dead(&self) -> u32 {
        self.records.saturating_sub(self.live)
    }

    /// Whether reclaim may look at it: sealed, and not found empty yet.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        let holds_records = matches!(self.used, Use::Log | Use::Table);
        holds_records && self.run > 0 && self.sealed && self.empty_since.is_none()
    }
}

/// All segments of a device.
#[derive(Clone, Debug)]
pub struct SegmentMap {
    geometry: Geometry,
    segments: Vec<SegmentState>,
    /// How often a record was named.
    named: u64,
}

impl SegmentMap {
    /// Of a device without a segment.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, segments: Vec::new(), named: 0 }
    }

    /// The first segment of the run that a page lies in.
    fn first_of(&self, page: PageNo) -> Option<usize> {
        let (segment, _) = self.geometry.segment_of(page)?;
        let state = self.segments.get(segment.0 as usize)?;
        Some(if state.run > 0 { segment.0 as usize } else { state.first.0 as usize })
    }

    /// The segment whose life a page belongs to.
    #[must_use]
    pub fn segment_of(&self, page: PageNo) -> Option<SegmentId> {
        self.first_of(page).map(|at| SegmentId(u32::try_from(at).expect("segments are counted in u32")))
    }

    /// A segment's state; a segment that nobody told of is free.
    #[must_use]
    pub fn get(&self, segment: SegmentId) -> SegmentState {
        let unknown = SegmentState { first: segment, ..SegmentState::FREE };
        self.segments.get(segment.0 as usize).copied().unwrap_or(unknown)
    }

    /// All segments, in order.
    pub fn iter(&self) -> impl Iterator<Item = (SegmentId, &SegmentState)> {
        self.segments.iter().enumerate().map(|(at, state)| (id_of(at), state))
    }

    /// How many segments were ever told of.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.segments.len()).expect("segments are counted in u32")
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// A run of segments is put to use.
    ///
    /// # Panics
    /// If the run is empty.
    pub fn begin(&mut self, segment: SegmentId, run: u32, used: Use, life: Option<Life>) {
        assert!(run > 0, "a run has at least one segment");
        let end = segment.0 as usize + run as usize;
        while self.segments.len() < end {
            let first = id_of(self.segments.len());
            self.segments.push(SegmentState { first, ..SegmentState::FREE });
        }
        for at in segment.0 as usize..end {
            self.detach(at);
        }
        for at in segment.0 as usize..end {
            let lives = self.segments[at].lives.wrapping_add(1);
            let run = if at == segment.0 as usize { run } else { 0 };
            self.segments[at] = SegmentState { used, run, first: segment, life, lives, ..SegmentState::FREE };
        }
    }

    /// Takes a segment out of its run, which is shorter then: the rest of it is nobody's.
    fn detach(&mut self, at: usize) {
        let first = self.segments[at].first.0 as usize;
        let run = self.segments[first].run;
        if run <= 1 {
            return;
        }
        self.segments[first].run = u32::try_from(at - first).expect("a part of a run").max(1);
        for rest in at.max(first + 1)..first + run as usize {
            let lives = self.segments[rest].lives.wrapping_add(1);
            let first = id_of(rest);
            self.segments[rest] = SegmentState { used: Use::Table, first, lives, sealed: true, ..SegmentState::FREE };
        }
    }

    /// A run gives its segments back: each is free by itself.
    pub fn free(&mut self, segment: SegmentId) {
        let run = self.segments[segment.0 as usize].run;
        for at in segment.0 as usize..(segment.0 + run) as usize {
            let lives = self.segments[at].lives.wrapping_add(1);
            self.segments[at] = SegmentState { first: id_of(at), lives, ..SegmentState::FREE };
        }
    }

    /// Changes what is known of a run.
    ///
    /// # Panics
    /// If nobody told of it.
    pub fn get_mut(&mut self, segment: SegmentId) -> &mut SegmentState {
        &mut self.segments[segment.0 as usize]
    }

    /// A record was put at a place, of which an index will name it or nothing will.
    pub fn put(&mut self, place: Place) {
        if let Some(first) = self.first_of(place.page()) {
            self.segments[first].records += 1;
        }
    }

    /// An index names this place from now on.
    pub fn point(&mut self, place: Place) {
        if let Some(first) = self.first_of(place.page()) {
            self.segments[first].live += 1;
        }
    }

    /// An index does not name this place any more.
    ///
    /// # Panics
    /// If none did: the count would be wrong for good.
    pub fn unpoint(&mut self, place: Place) {
        if let Some(first) = self.first_of(place.page()) {
            let state = &mut self.segments[first];
            state.live = state.live.checked_sub(1).expect("what is named no more was named");
        }
    }

    /// A live record names the one at this place.
    pub fn name(&mut self, place: Place) {
        if let Some(first) = self.first_of(place.page()) {
            self.named += 1;
            self.segments[first].named = self.named;
        }
    }

    /// Counts the lives of the segment in which a page lies.
    #[must_use]
    pub fn lives(&self, page: PageNo) -> u32 {
        let segment = self.geometry.segment_of(page).map_or(usize::MAX, |(segment, _)| segment.0 as usize);
        self.segments.get(segment).map_or(0, |state| state.lives)
    }

    /// Whether a page, which says that it lies where it was read, is of the present life of its segment.
    #[must_use]
    pub fn is_of_this_life(&self, at: PageNo, header: &PageHeader) -> bool {
        let Some(life) = self.first_of(at).and_then(|first| self.segments[first].life) else { return true };
        header.incarnation == life.incarnation && header.seq == life.first_seq + u64::from(header.index)
    }
}

fn id_of(at: usize) -> SegmentId {
    SegmentId(u32::try_from(at).expect("segments are counted in u32"))
}

#[cfg(test)]
mod tests;
