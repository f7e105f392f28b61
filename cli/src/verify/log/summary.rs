//! The summary of a run, if it has one: whole, and true to the records that it stands for.
//!
//! Contract: a run that was never sealed has none, and that is no damage. Whatever lies in the footer's place and is not blank
//! must be a whole footer, and lead to a whole summary of exactly the run's records. Where segments are used again, it may also be a page
//! from before.

use super::Found;
use crate::failure::Failure;
use crate::verify::pairs::Seen;
use crate::verify::{Report, at_page};
use domains::index::HashConfig;
use segments::blocking::Blocking;
use segments::page::{self, PAGE_HEADER_BYTES, PageError};
use segments::segment::SegmentHeader;
use segments::summary::{Footer, ItemKind, SummaryItem, SummaryKey, SummaryReader};
use segments::superblock::Superblock;
use segments::{Frames, PAGE_BYTES, PageNo, Place, TableId, Version};

/// What a run's summary says of a record, with its key or the hash of it.
struct Item {
    is_pair: bool,
    table: TableId,
    version: Version,
    place: Place,
    key: Result<Box<[u8]>, u128>,
    expires_ms: Option<u64>,
    live_bytes: Option<u64>,
}

/// A run's summary.
#[derive(Default)]
pub(super) struct Summary {
    /// The footer, when it is whole.
    pub(super) footer: Option<Footer>,
    items: Vec<Item>,
    /// Why there is something and it is no summary.
    broken: Option<(PageNo, String)>,
}

/// Reads the summary of a run.
pub(super) fn read(
    device: &mut Blocking<'_>,
    superblock: &Superblock,
    found: &Found,
    reused: bool,
) -> Result<Summary, Failure> {
    let at = found.run.footer();
    let frame = super::read(device, at, 1)?;
    let Some(header) = found.header else { return Ok(Summary::default()) };
    if page::parse(frame.page(0), superblock.salt) == Err(PageError::Blank) {
        return Ok(Summary::default());
    }
    let first = super::read(device, found.run.start(), 1)?;
    let previous = SegmentHeader::parse(first.page(0), superblock.salt).map_or(0, |(_, outer)| outer.previous);
    let footer = match Footer::parse(frame.page(0), superblock.salt, &header, previous) {
        Ok(footer) => footer,
        Err(_) if reused && !is_meant(frame.page(0), &header) => return Ok(Summary::default()),
        Err(error) => return Ok(Summary { broken: Some((at, error.to_string())), ..Summary::default() }),
    };
    let first = found.run.start().plus(u64::from(footer.first_page));
    let frames: Option<Frames> =
        if footer.pages == 0 { None } else { Some(super::read(device, first, u64::from(footer.pages))?) };
    match SummaryReader::open(footer, &header, frames.as_ref(), superblock.salt) {
        Ok(reader) => Ok(Summary { footer: Some(footer), items: reader.items().map(item).collect(), broken: None }),
        Err(error) => Ok(Summary { footer: Some(footer), items: Vec::new(), broken: Some((first, error.to_string())) }),
    }
}

/// Whether a page that is no footer of this run says that it is: by its run's first sequence number, which no other run has.
fn is_meant(page: &[u8; PAGE_BYTES], header: &SegmentHeader) -> bool {
    let first_seq = PAGE_HEADER_BYTES + FOOTER_FIRST_SEQ;
    page[first_seq..first_seq + 8] == header.first_seq.to_le_bytes()
        && page[INCARNATION..INCARNATION + 4] == header.incarnation.0.to_le_bytes()
}

/// Where a page names its incarnation.
const INCARNATION: usize = 20;
/// Where a footer names the sequence number of its run's first page.
const FOOTER_FIRST_SEQ: usize = 16;

fn item(item: SummaryItem<'_>) -> Item {
    Item {
        is_pair: item.kind == ItemKind::Pair,
        table: item.table,
        version: item.version,
        place: item.place,
        key: match item.key {
            SummaryKey::Key(key) => Ok(key.into()),
            SummaryKey::Hash(hash) => Err(hash),
        },
        expires_ms: item.expires_ms,
        live_bytes: item.live_bytes,
    }
}

impl Summary {
    /// The tables of the records that lie in a page, once each.
    pub(super) fn tables_at(&self, page: PageNo) -> Vec<TableId> {
        let lies = |item: &&Item| {
            let (first, pages) = (item.place.page().0, u64::from(item.place.pages()));
            (first..first + pages).contains(&page.0)
        };
        let mut tables: Vec<TableId> = self.items.iter().filter(lies).map(|item| item.table).collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// Compares with the records of the run, if all its pages are whole.
    pub(super) fn compare(&self, hash: &HashConfig, records: &[Seen], whole: bool, found: &Found, report: &mut Report) {
        let geometry = found.run.geometry;
        if let Some((at, why)) = &self.broken {
            let what = format!("{why}; recovery reads the segment's records instead");
            report.find(at_page("summary", geometry, *at, Vec::new(), what));
            return;
        }
        if self.footer.is_none() || !whole {
            return;
        }
        let mut differ = |what: String, tables: Vec<TableId>| {
            report.find(at_page("summary", geometry, found.run.footer(), tables, what));
        };
        if self.items.len() != records.len() {
            differ(format!("it has {} items for {} records", self.items.len(), records.len()), Vec::new());
            return;
        }
        for (item, record) in self.items.iter().zip(records) {
            let key = match &item.key {
                Ok(key) => *key == record.key,
                Err(hashed) => *hashed == hash.hash(&record.key).0,
            };
            let same = (item.is_pair, item.table, item.version, item.place, item.expires_ms)
                == (record.value.is_some(), record.table, record.version, record.place, record.expires_ms);
            if !key || !same || item.live_bytes != record.live_bytes {
                let what = format!("its item for page {} is not that of the record there", item.place.page());
                differ(what, vec![item.table]);
                return;
            }
        }
    }
}
