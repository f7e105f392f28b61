//! The writing end of a checkpoint: items become sealed pages, which whoever writes them fetches.
//!
//! Contract: [`CheckpointWriter::pages_left`] first, then [`CheckpointWriter::push`] cannot fail; every page that a push opens is
//! one of those. The owner fetches what is sealed with [`CheckpointWriter::take_writes`], writes it, and flushes. The footer comes
//! last: [`CheckpointWriter::end_items`] seals what is still open, so that all of it can be durable before
//! [`CheckpointWriter::finish`] makes it count.
//! Invariants: pages are sealed in the order of their sequence numbers, so each can name the one before; a page that was handed out
//! is never handed out again; a segment's first page is its header.
//! It does no I/O and does not know which segments are free.

use super::item::{ITEMS_HEADER_BYTES, Sort, put_header};
use super::{Footer, Item, Start, footer::CHECKPOINT_FOOTER_BYTES, seq_of};
use crate::frame::{Frames, PAGE_BYTES, Page};
use crate::ids::{EpochId, PageNo, SegmentId, TableId};
use crate::log::LogIdentity;
use crate::page::{self, PAGE_PAYLOAD_BYTES, PageHeader, PageKind, domain_mark};
use crate::segment::{Geometry, Purpose, SegmentHeader};
use std::collections::VecDeque;

/// Most pages of one write: 1 MiB.
const WRITE_PAGES_MAX: usize = 256;

/// The page that takes items.
#[derive(Debug)]
struct Open {
    sort: Sort,
    owner: TableId,
    count: u32,
    /// Bytes of the payload in use.
    used: usize,
    segment: SegmentId,
    index: u32,
}

/// The writing end of one checkpoint.
#[derive(Debug)]
pub struct CheckpointWriter {
    identity: LogIdentity,
    geometry: Geometry,
    number: u32,
    /// Every segment given so far.
    segments: Vec<SegmentId>,
    /// Those that are not begun.
    queued: VecDeque<SegmentId>,
    /// The segment that is being filled, and the index of its next page.
    current: Option<(SegmentId, u32)>,
    open: Option<Open>,
    /// The bytes of the open page.
    frame: Box<Page>,
    /// Sealed pages that were not fetched, adjacent ones together.
    sealed: Vec<(PageNo, Vec<Page>)>,
    /// Pages sealed so far.
    pages: u32,
    /// Checksum of the last of them.
    previous: u32,
    items: u64,
    /// Last persistent epoch that was told.
    horizon: EpochId,
    finished: bool,
}

impl CheckpointWriter {
    /// Checkpoint `number` of a shard, which has no segment yet. No other one of its incarnation has that number.
    #[must_use]
    pub fn new(identity: LogIdentity, geometry: Geometry, number: u32) -> Self {
        Self {
            identity,
            geometry,
            number,
            segments: Vec::new(),
            queued: VecDeque::new(),
            current: None,
            open: None,
            frame: Box::new(Page([0; PAGE_BYTES])),
            sealed: Vec::new(),
            pages: 0,
            previous: 0,
            items: 0,
            horizon: EpochId::base(identity.incarnation),
            finished: false,
        }
    }

    /// Gives it a segment, which is used once those before it are full.
    ///
    /// # Panics
    /// If it has that segment already.
    pub fn add_segment(&mut self, segment: SegmentId) {
        assert!(!self.segments.contains(&segment), "segment {segment} twice in one checkpoint");
        self.segments.push(segment);
        self.queued.push_back(segment);
    }

    /// All segments given so far, whether or not they are used.
    #[must_use]
    pub fn segments(&self) -> &[SegmentId] {
        &self.segments
    }

    /// How many pages can still be opened in the segments that it has; their headers are not counted.
    #[must_use]
    pub fn pages_left(&self) -> u64 {
        let segment_pages = self.geometry.segment_pages();
        let here = self.current.map_or(0, |(_, next)| segment_pages - next);
        u64::from(here) + self.queued.len() as u64 * u64::from(segment_pages - 1)
    }

    /// Pages sealed so far, headers of segments included.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Adds an item of the table `owner`; of 0 if the item is of no table by its sort. `horizon` is the last persistent epoch. It
    /// opens at most one page.
    ///
    /// # Panics
    /// If a page is needed and none is left, after [`Self::finish`], and for an item that cannot be: all are our mistakes.
    pub fn push(&mut self, owner: TableId, item: &Item<'_>, horizon: EpochId) {
        assert!(!self.finished, "an item behind the footer: {item:?}");
        let (sort, bytes) = (item.sort(), item.encoded_bytes());
        assert!(sort.is_of_table() || owner == TableId(0), "an item of {owner} that is of no table: {item:?}");
        self.horizon = self.horizon.max(horizon);
        let fits = |open: &Open| (open.sort, open.owner) == (sort, owner) && open.used + bytes <= PAGE_PAYLOAD_BYTES;
        if !self.open.as_ref().is_some_and(fits) {
            self.end_items();
            let (segment, index) = self.next_page();
            self.open = Some(Open { sort, owner, count: 0, used: ITEMS_HEADER_BYTES, segment, index });
        }
        let open = self.open.as_mut().expect("one was opened if there was none");
        item.encode(&mut page::payload_mut(&mut self.frame.0)[open.used..]);
        open.used += bytes;
        open.count += 1;
        self.items += 1;
    }

    /// Seals the page that is still open, if there is one: everything but the footer can be fetched then.
    pub fn end_items(&mut self) {
        let Some(open) = self.open.take() else { return };
        put_header(page::payload_mut(&mut self.frame.0), open.sort, open.count);
        self.seal(PageKind::Checkpoint, open.used, open.owner, open.segment, open.index);
    }

    /// Writes the footer; what is open is sealed before it. `persistent` is the last persistent epoch.
    ///
    /// # Panics
    /// If no page is left, `applied` is not persistent, or the checkpoint is finished already: all are our mistakes.
    pub fn finish(&mut self, start: Start, applied: EpochId, persistent: EpochId) {
        assert!(!self.finished, "a second footer");
        self.end_items();
        self.horizon = self.horizon.max(persistent);
        let (segment, index) = self.next_page();
        let (number, pages, items) = (self.number, self.pages, self.items);
        let footer = Footer { number, start, applied, persistent, pages, items };
        footer.encode(page::payload_mut(&mut self.frame.0), self.identity.incarnation);
        self.seal(PageKind::CheckpointFooter, CHECKPOINT_FOOTER_BYTES, TableId(0), segment, index);
        self.finished = true;
    }

    /// Appends the writes of what was sealed since the last call: adjacent pages together, at most 256 a write.
    pub fn take_writes(&mut self, writes: &mut Vec<(PageNo, Frames)>) {
        let sealed = self.sealed.drain(..);
        writes.extend(sealed.map(|(at, pages)| (at, Frames::from_inner(pages.into_boxed_slice()))));
    }

    /// Takes the next page, and the next segment if there is none left in this one.
    fn next_page(&mut self) -> (SegmentId, u32) {
        assert!(self.open.is_none(), "pages are sealed in order");
        let (segment, index) = match self.current {
            Some((segment, next)) if next < self.geometry.segment_pages() => (segment, next),
            Some(_) | None => {
                let segment = self.queued.pop_front().expect("whoever pushes asked whether a page is left");
                self.begin(segment);
                (segment, 1)
            }
        };
        self.current = Some((segment, index + 1));
        (segment, index)
    }

    /// Seals the header of a segment.
    fn begin(&mut self, segment: SegmentId) {
        let identity = self.identity;
        let header = SegmentHeader {
            domain: identity.domain,
            segment,
            run: 1,
            segment_pages: self.geometry.segment_pages(),
            incarnation: identity.incarnation,
            log: identity.log,
            purpose: Purpose::Checkpoint,
            first_seq: seq_of(self.number, self.pages),
            cut_before: identity.cut_before,
        };
        let checksum = header.seal(&mut self.frame.0, self.previous, self.horizon, TableId(0), identity.salt);
        self.take_sealed(checksum, self.geometry.first_page(segment));
    }

    fn seal(&mut self, kind: PageKind, used: usize, owner: TableId, segment: SegmentId, index: u32) {
        let identity = self.identity;
        let header = PageHeader {
            kind,
            previous: self.previous,
            used: u16::try_from(used).expect("at most a payload"),
            log: identity.log,
            incarnation: identity.incarnation,
            segment,
            index,
            seq: seq_of(self.number, self.pages),
            epoch: EpochId(0),
            horizon: self.horizon,
            owner,
            domain: domain_mark(identity.domain),
        };
        let checksum = page::seal(&mut self.frame.0, &header, identity.salt);
        self.take_sealed(checksum, self.geometry.page(segment, index));
    }

    /// Moves the sealed page to those that are fetched, and leaves a blank one.
    fn take_sealed(&mut self, checksum: u32, at: PageNo) {
        self.previous = checksum;
        self.pages = self.pages.checked_add(1).expect("a checkpoint has fewer than 2^32 pages, which are 16 TiB");
        let adjacent = self
            .sealed
            .last_mut()
            .filter(|(first, pages)| pages.len() < WRITE_PAGES_MAX && first.plus(pages.len() as u64) == at);
        match adjacent {
            Some((_, pages)) => pages.push(*self.frame),
            None => self.sealed.push((at, vec![*self.frame])),
        }
        self.frame.0.fill(0);
    }
}
