//! Where record bytes are: the log's tail, the heap of volatile tables, the cache, or the device.
//!
//! Contract: [`Records::bytes`] answers from memory or not at all; what was read from the device comes in through
//! [`Records::admit`], which believes nothing that its checksums, its identity and its own key do not say.

use super::cache::Cache;
use super::heap::Heap;
use crate::error::Error;
use crate::index::Loc;
use crate::schema::TableHome;
use segments::log::writer::LogWriter;
use segments::map::SegmentMap;
use segments::page::{self, PAGE_HEADER_BYTES, PageHeader};
use segments::record::{self, Extents, Record, RecordKind, Revertible};
use segments::segment::Geometry;
use segments::{DeviceError, Frames, PageNo, Place, Request, TableId};
use std::borrow::Cow;
use std::sync::Arc;

/// What every page of the device must say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageIdentity {
    /// The domain's mark in page headers.
    pub(crate) domain_mark: u64,
    /// Seed of the page checksums.
    pub(crate) salt: u32,
    /// Where segments lie.
    pub(crate) geometry: Geometry,
}

/// A page that was read and checked.
#[derive(Clone, Debug)]
pub(crate) struct PagePart {
    pub(crate) header: PageHeader,
    /// As much of it as is in use.
    pub(crate) payload: Vec<u8>,
}

/// All places a record can be.
#[derive(Debug)]
pub(crate) struct Records {
    /// Absent in a volatile domain.
    pub(crate) log: Option<LogWriter>,
    pub(crate) heap: Heap,
    pub(crate) cache: Cache,
    pub(crate) identity: PageIdentity,
    /// What the device's segments are used for.
    pub(crate) map: SegmentMap,
}

impl Records {
    /// The record's bytes, from memory.
    pub(crate) fn bytes<'a>(&'a self, home: TableHome, loc: Loc) -> Option<Cow<'a, [u8]>> {
        match home {
            TableHome::Volatile => Some(Cow::Borrowed(self.heap.get(loc))),
            TableHome::Persistent => {
                let place = place_of(loc);
                let tail = self.log.as_ref().and_then(|log| log.read(place));
                tail.or_else(|| self.cached(place).map(Cow::Borrowed))
            }
        }
    }

    fn cached(&self, place: Place) -> Option<&[u8]> {
        // Of a place that has been used anew since, the cache may still have the record from before.
        self.cache.get(place, self.map.lives(place.page())).map(|record| &**record)
    }

    /// Counts a record that was put into the log: a pair is named by its index from now on, what was `before` is not, and what the
    /// record names lives with it.
    pub(crate) fn counts_put(&mut self, place: Place, record: &Record<'_>, before: Option<Loc>) {
        self.map.put(place);
        if record.kind == RecordKind::Pair {
            self.map.point(place);
        }
        if let Some(before) = before {
            self.map.unpoint(place_of(before));
        }
        self.counts_named(record.extents, record.revertible);
    }

    /// Counts what a live record names.
    pub(crate) fn counts_named(&mut self, extents: Extents<'_>, revertible: Option<Revertible>) {
        for extent in extents.iter() {
            self.map.name(extent.place);
        }
        if let Some(revertible) = revertible.filter(|revertible| revertible.previous != 0) {
            self.map.name(Place::from_bits(revertible.previous));
        }
    }

    /// The request that brings a record's pages.
    pub(crate) fn read_request(&self, place: Place) -> Request {
        let end = self.log.as_ref().map_or(u64::MAX, |log| log.space().pages);
        let pages = u64::from(place.pages()).min(end - place.page().0);
        Request::Read { at: place.page(), frames: Frames::zeroed(usize::try_from(pages).expect("a record's pages")) }
    }

    /// The request that brings so many pages, as far as the device goes.
    pub(crate) fn pages_request(&self, at: PageNo, pages: u32) -> Option<Request> {
        let end = self.log.as_ref().map_or(u64::MAX, |log| log.space().pages);
        let pages = u64::from(pages).min(end.saturating_sub(at.0));
        let pages = usize::try_from(pages).expect("a record's pages");
        (pages > 0).then(|| Request::Read { at, frames: Frames::zeroed(pages) })
    }

    /// Checks pages that were read, each by itself.
    pub(crate) fn page_parts(
        &self,
        at: PageNo,
        frames: Option<&Frames>,
        result: Result<(), DeviceError>,
    ) -> Vec<(PageNo, Result<PagePart, Error>)> {
        let frames = frames.expect("a read brings its frames home");
        let part = |index: usize| {
            let (page, bytes) = (at.plus(index as u64), frames.page(index));
            result.map_err(|error| Error::ReadFailed { page: page.0, error })?;
            let damaged = |why| Error::CorruptRecord { table: TableId(0), page: page.0, why };
            let header = check_page(&self.identity, &self.map, bytes, page).map_err(damaged)?;
            Ok(PagePart { header, payload: page::payload(bytes, &header).to_vec() })
        };
        (0..frames.pages()).map(|index| (at.plus(index as u64), part(index))).collect()
    }

    /// Checks what was read for a place and keeps it.
    pub(crate) fn admit(
        &mut self,
        place: Place,
        frames: Option<&Frames>,
        result: Result<(), DeviceError>,
    ) -> Result<Arc<[u8]>, Error> {
        let page = place.page().0;
        result.map_err(|error| Error::ReadFailed { page, error })?;
        let frames = frames.expect("a read brings its frames home");
        let record = extract(&self.identity, &self.map, place, frames)?;
        self.cache.put(place, self.map.lives(place.page()), Arc::clone(&record));
        Ok(record)
    }
}

/// The place that a location of a persistent table names.
pub(crate) fn place_of(loc: Loc) -> Place {
    Place::from_bits(loc.to_bits())
}

/// The record at a place, out of the pages read for it, checked.
pub(crate) fn extract(
    identity: &PageIdentity,
    map: &SegmentMap,
    place: Place,
    frames: &Frames,
) -> Result<Arc<[u8]>, Error> {
    let damaged = |why| Error::CorruptRecord { table: TableId(0), page: place.page().0, why };
    check_page(identity, map, frames.page(0), place.page()).map_err(damaged)?;
    let from = usize::from(place.offset());
    let head = record::head(&frames.page(0)[from..]).map_err(|_| damaged("its header is not what was written"))?;
    let bytes = head.record_bytes;
    let gathered: Vec<u8> = if place.pages() == 1 {
        let whole = frames.page(0).get(from..from + bytes);
        whole.ok_or_else(|| damaged("it is longer than its page"))?.to_vec()
    } else {
        gather(identity, map, place, frames, bytes).map_err(damaged)?
    };
    record::decode(&gathered).map_err(|_| damaged("its value is not what was written"))?;
    Ok(gathered.into())
}

fn gather(
    identity: &PageIdentity,
    map: &SegmentMap,
    place: Place,
    frames: &Frames,
    bytes: usize,
) -> Result<Vec<u8>, &'static str> {
    let mut gathered = Vec::with_capacity(bytes);
    for index in 0..frames.pages() {
        let left = bytes - gathered.len();
        if left == 0 {
            break;
        }
        check_page(identity, map, frames.page(index), place.page().plus(index as u64))?;
        let part = &frames.page(index)[PAGE_HEADER_BYTES..];
        gathered.extend_from_slice(&part[..left.min(part.len())]);
    }
    if gathered.len() == bytes { Ok(gathered) } else { Err("it is longer than its pages") }
}

/// Whether a page is one of this domain, lies where it says, and is of the present life of its segment.
pub(crate) fn check_page(
    identity: &PageIdentity,
    map: &SegmentMap,
    page: &[u8; segments::PAGE_BYTES],
    at: PageNo,
) -> Result<PageHeader, &'static str> {
    let header = page::parse(page, identity.salt).map_err(|_| "its page does not have its checksum")?;
    let lies = identity.geometry.page(header.segment, header.index);
    if header.domain != identity.domain_mark {
        return Err("its page belongs to another domain");
    }
    if lies != at {
        return Err("its page was written for another place");
    }
    if !map.is_of_this_life(at, &header) {
        return Err("its page was written when its segment held something else");
    }
    Ok(header)
}
