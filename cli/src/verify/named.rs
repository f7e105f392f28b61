//! The records that indexes name outside the part of the log that is judged: moved ones, and those that lie before it.
//!
//! Contract: each is read where a checkpoint that counts says it is, its page, its place, its life and its bytes are checked, and the
//! records of the oldest checkpoint become the pairs on top of which the log is replayed. What a pair that is there names as the
//! beginning of its value is read and checked as well. One damaged page is one finding, with all tables whose records lie in it.
//!
//! Pages that nothing names are not read: who wrote there last does not matter.

use super::checkpoints::Base;
use super::pairs::{Pairs, Seen};
use super::{Report, at_page};
use crate::failure::Failure;
use crate::progress;
use segments::blocking::Blocking;
use segments::log::scan::{DeviceIdentity, FoundRun};
use segments::page::{self, PageHeader, PageKind, domain_mark};
use segments::record::{self, Extent, RecordKind};
use segments::segment::SegmentHeader;
use segments::{Frames, Incarnation, PAGE_BYTES, PageNo, Place, SegmentId, TableId, large};
use std::collections::{BTreeMap, BTreeSet};

/// Pages read together, of which one is needed.
const WINDOW_PAGES: u64 = 16;

/// A page that is needed and is not what was written.
struct Broken {
    what: String,
    tables: BTreeSet<TableId>,
    records: u64,
}

/// A page that belongs to its place, or why what lies there does not.
type Fetched = Result<(PageHeader, Box<[u8; PAGE_BYTES]>), String>;

/// Why a record cannot be had.
enum Lost {
    /// A page of it is not whole, or not the one that belongs there.
    Page(PageNo, String),
    /// Its pages are whole.
    Record(String),
}

/// Reads what is named.
pub(super) struct Reader<'d, 'b> {
    device: &'d mut Blocking<'b>,
    identity: DeviceIdentity,
    /// The lives of segments, by what their headers say; the later one where two reach over a segment.
    lives: BTreeMap<SegmentId, (Incarnation, u64)>,
    window: Option<(PageNo, Frames)>,
    broken: BTreeMap<PageNo, Broken>,
    /// First segments of the runs that named records lie in.
    pub(super) segments: BTreeSet<SegmentId>,
}

impl<'d, 'b> Reader<'d, 'b> {
    pub(super) fn new(device: &'d mut Blocking<'b>, identity: DeviceIdentity, runs: &[FoundRun]) -> Self {
        let life = |found: &FoundRun| (found.run.segment, (found.header.incarnation, found.run.first_seq));
        let lives = runs.iter().map(life).collect();
        Self { device, identity, lives, window: None, broken: BTreeMap::new(), segments: BTreeSet::new() }
    }

    /// Reads what the checkpoints name; `pairs` takes the pairs of the oldest.
    pub(super) fn names(&mut self, base: &Base, pairs: &mut Pairs, report: &mut Report) -> Result<(), Failure> {
        let bar = progress::bar(base.names.len() as u64, "named records");
        let mut extents = Vec::new();
        for name in &base.names {
            bar.inc(1);
            report.named += 1;
            let Some(seen) = self.one(name.table, name.place(), &[RecordKind::Pair], report)? else { continue };
            if name.previous {
                // Those of a pair that is there are looked at when it is known to be.
                extents.extend(seen.parts.iter().map(|extent| (name.table, *extent)));
            } else if name.base {
                pairs.base(seen);
            }
        }
        bar.finish_and_clear();
        self.extents(extents, report)
    }

    /// Reads records that are the beginning of a value.
    pub(super) fn extents(&mut self, mut extents: Vec<(TableId, Extent)>, report: &mut Report) -> Result<(), Failure> {
        extents.sort_unstable_by_key(|(_, extent)| (extent.place.page(), extent.place.offset()));
        for (table, extent) in extents {
            let kinds = [RecordKind::Pair, RecordKind::Extent];
            let Some(seen) = self.one(table, extent.place, &kinds, report)? else { continue };
            if seen.value != Some((extent.bytes as usize, extent.crc)) {
                let what = "a record that is the beginning of a value has another value than the one that was named";
                let page = extent.place.page();
                report.find(at_page("record", self.identity.geometry, page, vec![table], what.to_owned()));
            }
        }
        Ok(())
    }

    /// Tells what was found, and looks at the headers of the segments.
    pub(super) fn finish(mut self, report: &mut Report) -> Result<BTreeSet<SegmentId>, Failure> {
        let geometry = self.identity.geometry;
        for (page, Broken { what, tables, records }) in std::mem::take(&mut self.broken) {
            // The walk of the log may have come by here.
            let known = report.findings.iter_mut().find(|found| (found.kind, found.page) == ("page", Some(page.0)));
            if let Some(known) = known {
                let tables: BTreeSet<TableId> = known.tables.drain(..).chain(tables).collect();
                known.tables.extend(tables);
                continue;
            }
            let what = format!("{what}; {records} records that indexes name lie here and cannot be read");
            report.find(at_page("page", geometry, page, tables.into_iter().collect(), what));
        }
        for segment in &self.segments {
            let first = geometry.first_page(*segment);
            let frame = super::log::read(self.device, first, 1)?;
            if let Err(error) = SegmentHeader::parse(frame.page(0), self.identity.salt)
                && !report.findings.iter().any(|finding| finding.page == Some(first.0))
            {
                let what = format!("its header: {error}; its records can be read, but they are not moved any more");
                report.find(at_page("segment", geometry, first, Vec::new(), what));
            }
        }
        Ok(self.segments)
    }

    fn one(
        &mut self,
        table: TableId,
        place: Place,
        kinds: &[RecordKind],
        report: &mut Report,
    ) -> Result<Option<Seen>, Failure> {
        match self.record(table, place, kinds)? {
            Ok(found) => Ok(Some(found)),
            Err(Lost::Page(at, what)) => {
                let broken = self.broken.entry(at).or_insert(Broken { what, tables: BTreeSet::new(), records: 0 });
                broken.tables.insert(table);
                broken.records += 1;
                Ok(None)
            }
            Err(Lost::Record(what)) => {
                report.find(at_page("record", self.identity.geometry, place.page(), vec![table], what));
                Ok(None)
            }
        }
    }

    /// The record of one of these kinds at a place.
    fn record(&mut self, table: TableId, place: Place, kinds: &[RecordKind]) -> Result<Result<Seen, Lost>, Failure> {
        let at = place.page();
        let bytes = match self.page(at)? {
            Ok((header, bytes)) if header.kind == PageKind::LargeHead => {
                match self.large(table, place, &header, &bytes)? {
                    Ok(bytes) => bytes,
                    Err(lost) => return Ok(Err(lost)),
                }
            }
            Ok((header, bytes)) => {
                if let Err(what) = belongs(&header, table) {
                    return Ok(Err(Lost::Page(at, what)));
                }
                let end = page::PAGE_HEADER_BYTES + usize::from(header.used);
                let from = usize::from(place.offset());
                let Some(bytes) = bytes[..end].get(from..) else {
                    return Ok(Err(Lost::Record(format!("at byte {from}: the page ends before"))));
                };
                bytes.to_vec()
            }
            Err(what) => return Ok(Err(Lost::Page(at, what))),
        };
        let head = match record::decode(&bytes).and_then(|_| record::head(&bytes)) {
            Ok(head) => head,
            Err(error) => return Ok(Err(Lost::Record(format!("at byte {}: {error}", place.offset())))),
        };
        if !kinds.contains(&head.kind) || head.table != table {
            let what = format!(
                "at byte {}: a {:?} of table {} lies where an index names another",
                place.offset(),
                head.kind,
                head.table
            );
            return Ok(Err(Lost::Record(what)));
        }
        Ok(Ok(Seen::of(&head, place, &bytes)))
    }

    /// The bytes of a record of several pages.
    fn large(
        &mut self,
        table: TableId,
        place: Place,
        header: &PageHeader,
        first: &[u8; PAGE_BYTES],
    ) -> Result<Result<Vec<u8>, Lost>, Failure> {
        if let Err(what) = belongs(header, table) {
            return Ok(Err(Lost::Page(place.page(), what)));
        }
        let head = match record::head(page::payload(first, header)) {
            Ok(head) => head,
            Err(error) => return Ok(Err(Lost::Record(error.to_string()))),
        };
        let pages = u64::from(large::pages_for(head.record_bytes));
        let end = self.device.pages();
        for index in 1..pages {
            let at = place.page().plus(index);
            if at.0 >= end {
                return Ok(Err(Lost::Page(at, "it lies behind the end of the store".to_owned())));
            }
            if let Err(what) = self.page(at)? {
                return Ok(Err(Lost::Page(at, what)));
            }
        }
        let frames = super::log::read(self.device, place.page(), pages)?;
        let mark = domain_mark(self.identity.domain);
        let expected = large::Expected { domain: mark, segment: header.segment, index: header.index };
        Ok(large::gather(&frames, self.identity.salt, &expected).map_err(|error| Lost::Record(error.to_string())))
    }

    /// A page, or why it is not the one that belongs to its place.
    fn page(&mut self, at: PageNo) -> Result<Fetched, Failure> {
        let end = self.device.pages();
        if at.0 >= end {
            return Ok(Err("it lies behind the end of the store".to_owned()));
        }
        let inside = |(first, frames): &(PageNo, Frames)| at.0 >= first.0 && at.0 - first.0 < frames.pages() as u64;
        if !self.window.as_ref().is_some_and(inside) {
            let frames = super::log::read(self.device, at, WINDOW_PAGES.min(end - at.0))?;
            self.window = Some((at, frames));
        }
        let (first, frames) = self.window.as_ref().expect("just read");
        let bytes = frames.page(usize::try_from(at.0 - first.0).expect("at most sixteen"));
        let header = match page::parse(bytes, self.identity.salt) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let here = self.identity.geometry.page(header.segment, header.index) == at;
        if header.domain != domain_mark(self.identity.domain) || !here {
            let what =
                format!("here lies a page that was written for page {} of segment {}", header.index, header.segment);
            return Ok(Err(what));
        }
        self.segments.insert(header.segment);
        let life = (header.incarnation, header.seq.wrapping_sub(u64::from(header.index)));
        if self.lives.get(&header.segment).is_some_and(|of_header| *of_header != life) {
            return Ok(Err("it was written when its segment held something else".to_owned()));
        }
        Ok(Ok((header, Box::new(*bytes))))
    }
}

/// Whether a page may hold records of a table.
fn belongs(header: &PageHeader, table: TableId) -> Result<(), String> {
    let holds = matches!(header.kind, PageKind::Log | PageKind::LargeHead | PageKind::Table);
    if holds && (header.owner == TableId(0) || header.owner == table) {
        return Ok(());
    }
    Err(format!("here lies a page of kind {:?} of table {}", header.kind, header.owner))
}
