//! Where reclaim puts records: pages that belong to one table, in segments of their own, one behind the other.
//!
//! Contract: a place is given at once, and is to be named when the page has been written. A segment is used on by the batches that
//! follow, until it is full; the next incarnation begins another.

use crate::engine::core::{Core, ONLY_SHARD};
use segments::log::LogIdentity;
use segments::map::{Life, Use};
use segments::page::{self, PAGE_HEADER_BYTES, PAGE_PAYLOAD_BYTES, PageHeader, PageKind};
use segments::segment::{Purpose, SegmentHeader};
use segments::{DeviceError, EpochId, Frames, PAGE_BYTES, Page, PageNo, Place, SegmentId, TableId, large};

/// Pages of one write.
const WRITE_PAGES: usize = 64;
/// Bits of a sequence number that count the pages of one segment.
const SEGMENT_SHIFT: u32 = 32;

#[derive(Debug)]
struct Open {
    segment: SegmentId,
    first_seq: u64,
    /// The next page.
    index: u32,
    previous: u32,
}

#[derive(Debug)]
struct OpenPage {
    table: TableId,
    page: Box<Page>,
    used: usize,
}

/// The segment that is being filled.
#[derive(Debug)]
pub(super) struct Target {
    identity: LogIdentity,
    /// Segments begun in this incarnation.
    begun: u64,
    open: Option<Open>,
    page: Option<OpenPage>,
    sealed: Vec<(PageNo, Box<Page>)>,
    /// Segments that are full, with records that no index names yet.
    full: Vec<SegmentId>,
}

impl Target {
    pub(super) fn new(identity: LogIdentity) -> Self {
        Self { identity, begun: 0, open: None, page: None, sealed: Vec::new(), full: Vec::new() }
    }

    /// Puts a record down; nothing while a segment for it is on its way.
    ///
    /// # Errors
    /// The device's, when there is no segment.
    pub(super) fn put(&mut self, core: &mut Core, table: TableId, record: &[u8]) -> Result<Option<Place>, DeviceError> {
        if record.len() > PAGE_PAYLOAD_BYTES {
            return self.put_large(core, table, record);
        }
        let fits = |page: &OpenPage| page.table == table && page.used + record.len() <= PAGE_PAYLOAD_BYTES;
        if !self.page.as_ref().is_some_and(fits) {
            self.end_page(core);
            if !self.has_room(core, 1)? {
                return Ok(None);
            }
            self.page = Some(OpenPage { table, page: Box::new(Page([0; PAGE_BYTES])), used: 0 });
        }
        let at = self.next_page(core);
        let page = self.page.as_mut().expect("opened above");
        let offset = PAGE_HEADER_BYTES + page.used;
        page.page.0[offset..offset + record.len()].copy_from_slice(record);
        page.used += record.len();
        let place = Place::new(at, u16::try_from(offset).expect("an offset in a page"), 1);
        core.records.map.put(place);
        Ok(Some(place))
    }

    fn put_large(&mut self, core: &mut Core, table: TableId, record: &[u8]) -> Result<Option<Place>, DeviceError> {
        self.end_page(core);
        let pages = large::pages_for(record.len());
        if !self.has_room(core, pages)? {
            return Ok(None);
        }
        let first = self.next_page(core);
        for (number, part) in record.chunks(PAGE_PAYLOAD_BYTES).enumerate() {
            let mut page = Box::new(Page([0; PAGE_BYTES]));
            page.0[PAGE_HEADER_BYTES..][..part.len()].copy_from_slice(part);
            let kind = if number == 0 { PageKind::LargeHead } else { PageKind::LargeBody };
            self.seal(core, kind, table, page, part.len());
        }
        let offset = u16::try_from(PAGE_HEADER_BYTES).expect("the header is smaller than a page");
        let place = Place::new(first, offset, pages);
        core.records.map.put(place);
        Ok(Some(place))
    }

    /// Seals the page that is open.
    pub(super) fn end_page(&mut self, core: &mut Core) {
        if let Some(OpenPage { table, page, used }) = self.page.take() {
            self.seal(core, PageKind::Table, table, page, used);
        }
    }

    /// What is to be written: whole writes, or all there is.
    pub(super) fn take_writes(&mut self, all: bool) -> Vec<(PageNo, Frames)> {
        let mut writes = Vec::new();
        while self.sealed.len() >= WRITE_PAGES || all && !self.sealed.is_empty() {
            let first = self.sealed[0].0;
            let adjacent = self.sealed.iter().zip(0..).take_while(|((at, _), number)| *at == first.plus(*number));
            let pages = adjacent.count().min(WRITE_PAGES);
            let mut frames = Frames::zeroed(pages);
            for (number, (_, page)) in self.sealed.drain(..pages).enumerate() {
                frames.page_mut(number).copy_from_slice(&page.0);
            }
            writes.push((first, frames));
        }
        writes
    }

    /// Nothing more goes into this segment: a write to it has failed, or there is none to go on in.
    pub(super) fn abandon(&mut self) {
        self.page = None;
        self.sealed.clear();
        self.end_segment();
    }

    fn end_segment(&mut self) {
        self.full.extend(self.open.take().map(|open| open.segment));
    }

    /// A batch is over: what lives in the segments that it filled is named by now, and what is not named is dead.
    pub(super) fn settle(&mut self, core: &mut Core) {
        for segment in self.full.drain(..) {
            core.records.map.get_mut(segment).sealed = true;
        }
    }

    /// Whether so many pages more lie in the segment, or in a new one.
    fn has_room(&mut self, core: &mut Core, pages: u32) -> Result<bool, DeviceError> {
        let segment_pages = core.records.identity.geometry.segment_pages();
        if self.open.as_ref().is_some_and(|open| open.index + pages <= segment_pages) {
            return Ok(true);
        }
        if pages >= segment_pages {
            return Err(DeviceError::NoSpace { errno: 0 });
        }
        let Some(segment) = core.log_mut().take_segment()? else { return Ok(false) };
        self.end_segment();
        self.begun += 1;
        let first_seq = self.begun << SEGMENT_SHIFT;
        let life = Life { incarnation: self.identity.incarnation, first_seq };
        core.records.map.begin(segment, 1, Use::Table, Some(life));
        let header = SegmentHeader {
            domain: self.identity.domain,
            segment,
            run: 1,
            segment_pages,
            incarnation: self.identity.incarnation,
            log: ONLY_SHARD,
            purpose: Purpose::Table,
            first_seq,
            cut_before: self.identity.cut_before,
        };
        let mut page = Box::new(Page([0; PAGE_BYTES]));
        let horizon = core.horizon().persistent;
        let previous = header.seal(&mut page.0, 0, horizon, TableId(0), self.identity.salt);
        self.sealed.push((core.records.identity.geometry.first_page(segment), page));
        self.open = Some(Open { segment, first_seq, index: 1, previous });
        Ok(true)
    }

    fn next_page(&self, core: &Core) -> PageNo {
        let open = self.open.as_ref().expect("a segment was taken");
        core.records.identity.geometry.page(open.segment, open.index)
    }

    fn seal(&mut self, core: &mut Core, kind: PageKind, table: TableId, mut page: Box<Page>, used: usize) {
        let at = self.next_page(core);
        let open = self.open.as_mut().expect("a segment was taken");
        let header = PageHeader {
            kind,
            previous: open.previous,
            used: u16::try_from(used).expect("a payload is smaller than a page"),
            log: ONLY_SHARD,
            incarnation: self.identity.incarnation,
            segment: open.segment,
            index: open.index,
            seq: open.first_seq + u64::from(open.index),
            epoch: EpochId(0),
            horizon: core.horizon().persistent,
            owner: table,
            domain: page::domain_mark(self.identity.domain),
        };
        open.previous = page::seal(&mut page.0, &header, self.identity.salt);
        open.index += 1;
        core.records.map.get_mut(open.segment).pages = open.index;
        self.sealed.push((at, page));
    }
}
