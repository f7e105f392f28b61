//! What single structures say: copies, headers, pages, records.

use super::{Look, checkpoints, summary};
use crate::failure::Failure;
use crate::words;
use domains::schema::TableSpec;
use segments::page::{self, PAGE_HEADER_BYTES, PageError, PageHeader, PageKind, domain_mark, stored_checksum};
use segments::record::{self, RecordHead, RecordKind};
use segments::segment::{Geometry, Purpose, SegmentHeader};
use segments::superblock::{Choice, Superblock, SuperblockError};
use segments::{PAGE_BYTES, PageNo, TableId, large};
use serde_json::Value;

/// Columns of the list of pages.
pub(super) const PAGE_COLUMNS: &[&str] =
    &["index", "page", "kind", "seq", "epoch", "horizon", "used", "checksum", "previous", "state"];
const RECORD_COLUMNS: &[&str] =
    &["offset", "kind", "table", "version", "key", "value_bytes", "value", "expires_ms", "flags", "state"];
/// Bytes of a value that are shown beside others.
const VALUE_SHOWN: usize = 64;

/// What a copy of the superblock alone is.
pub(super) fn copy_found(copy: u8, alone: Result<Choice, SuperblockError>) -> String {
    match alone {
        Err(SuperblockError::NoQuorum { found }) => format!("{:?}", found[usize::from(copy)]),
        Err(error) => error.to_string(),
        Ok(_) => "Valid".to_owned(),
    }
}

pub(super) fn superblock(superblock: &Superblock) -> Vec<(&'static str, Value)> {
    vec![
        ("domain", superblock.domain.to_string().into()),
        ("sequence", superblock.sequence.into()),
        ("incarnation", superblock.incarnation.0.into()),
        ("shards", superblock.shards.into()),
        ("segment_pages", superblock.segment_pages.into()),
        ("salt", format!("{:#010x}", superblock.salt).into()),
        ("incompatible", format!("{:#x}", superblock.features.incompatible).into()),
        ("read_only_compatible", format!("{:#x}", superblock.features.read_only_compatible).into()),
        ("compatible", format!("{:#x}", superblock.features.compatible).into()),
        ("cuts", superblock.cuts.len().into()),
    ]
}

pub(super) fn purpose(header: &SegmentHeader) -> &'static str {
    match header.purpose {
        Purpose::Log => "log",
        Purpose::Table => "table",
        Purpose::Checkpoint => "checkpoint",
    }
}

pub(super) fn segment_header(header: &SegmentHeader) -> Vec<(&'static str, Value)> {
    vec![
        ("domain", header.domain.to_string().into()),
        ("segment", header.segment.0.into()),
        ("run", header.run.into()),
        ("segment_pages", header.segment_pages.into()),
        ("incarnation", header.incarnation.0.into()),
        ("log", header.log.0.into()),
        ("purpose", purpose(header).into()),
        ("first_seq", header.first_seq.into()),
        ("cut_before", header.cut_before.map_or(Value::Null, |cut| cut.to_string().into())),
    ]
}

/// A page's line without its place; none for a blank one.
pub(super) fn page_row(page: &[u8; PAGE_BYTES], salt: u32, mark: u64) -> Option<Vec<Value>> {
    let mut row = match page::parse(page, salt) {
        Err(PageError::Blank) => return None,
        Err(error) => {
            let mut row = vec![Value::Null; PAGE_COLUMNS.len() - 3];
            row.push(error.to_string().into());
            return Some(row);
        }
        Ok(header) => {
            let state = if header.domain == mark { "whole" } else { "of another domain" };
            vec![
                format!("{:?}", header.kind).into(),
                header.seq.into(),
                header.epoch.to_string().into(),
                header.horizon.to_string().into(),
                header.used.into(),
                format!("{:#010x}", stored_checksum(page)).into(),
                format!("{:#010x}", header.previous).into(),
                state.into(),
            ]
        }
    };
    row.resize(PAGE_COLUMNS.len() - 2, Value::Null);
    Some(row)
}

fn page_header(header: &PageHeader, checksum: u32) -> Vec<(&'static str, Value)> {
    vec![
        ("kind", format!("{:?}", header.kind).into()),
        ("checksum", format!("{checksum:#010x}").into()),
        ("previous", format!("{:#010x}", header.previous).into()),
        ("used", header.used.into()),
        ("log", header.log.0.into()),
        ("incarnation", header.incarnation.0.into()),
        ("segment", header.segment.0.into()),
        ("index", header.index.into()),
        ("seq", header.seq.into()),
        ("epoch", header.epoch.to_string().into()),
        ("horizon", header.horizon.to_string().into()),
        ("owner", header.owner.0.into()),
        ("domain", format!("{:016x}", header.domain).into()),
    ]
}

/// What is in one page behind the superblock.
pub(super) fn page(look: &mut Look<'_>, superblock: &Superblock, at: PageNo) -> Result<(), Failure> {
    let frame = look.read(at, 1)?;
    let page = frame.page(0);
    let header = match page::parse(page, superblock.salt) {
        Ok(header) => header,
        Err(error) => {
            look.fields("page", vec![("page", at.0.into()), ("state", error.to_string().into())]);
            return Ok(());
        }
    };
    let fields = page_header(&header, stored_checksum(page));
    look.fields("page", [vec![("page", at.0.into())], fields].concat());
    let geometry = Geometry::new(superblock.segment_pages);
    if header.domain != domain_mark(superblock.domain) || geometry.page(header.segment, header.index) != at {
        look.fields("note", vec![("place", "the page was written for another place or domain".into())]);
    }
    match header.kind {
        PageKind::SegmentHeader => {
            if let Ok((header, _)) = SegmentHeader::parse(page, superblock.salt) {
                let fields = segment_header(&header);
                look.fields("segment header", fields);
            }
            Ok(())
        }
        PageKind::Log | PageKind::Table => {
            let rows = records(page, &header);
            look.show("records", RECORD_COLUMNS, rows);
            Ok(())
        }
        PageKind::LargeHead => large_record(look, superblock, &header, at, page),
        PageKind::LargeBody => {
            look.fields("large record", vec![("part", "a further page of the record whose head lies before".into())]);
            Ok(())
        }
        PageKind::Checkpoint | PageKind::CheckpointFooter => {
            checkpoints::page(look, page, superblock.salt);
            Ok(())
        }
        PageKind::Summary | PageKind::SummaryFooter => {
            let first = look.read(geometry.first_page(header.segment), 1)?;
            if let Ok((segment, outer)) = SegmentHeader::parse(first.page(0), superblock.salt) {
                summary::of(look, superblock, &segment, outer.previous)?.show(look);
            }
            Ok(())
        }
    }
}

fn records(page: &[u8; PAGE_BYTES], header: &PageHeader) -> Vec<Vec<Value>> {
    let end = PAGE_HEADER_BYTES + usize::from(header.used);
    let mut rows = Vec::new();
    let mut from = PAGE_HEADER_BYTES;
    while from < end {
        let bytes = &page[from..end];
        match record::head(bytes) {
            Ok(head) => {
                let state = record::decode(bytes).map_or_else(|error| error.to_string(), |_| "whole".to_owned());
                rows.push(record_row(from, &head, bytes, &state));
                from += head.record_bytes;
            }
            Err(error) => {
                let mut row = vec![Value::Null; RECORD_COLUMNS.len()];
                row[0] = from.into();
                row[RECORD_COLUMNS.len() - 1] = error.to_string().into();
                rows.push(row);
                break;
            }
        }
    }
    rows
}

fn record_row(from: usize, head: &RecordHead<'_>, bytes: &[u8], state: &str) -> Vec<Value> {
    let value = bytes.get(head.value_at..).map(|rest| &rest[..head.value_bytes.min(rest.len())]);
    let shown = match (head.kind, value) {
        (RecordKind::Close, _) => format!("members {:#b}", head.members().unwrap_or(0)),
        (_, None) => String::new(),
        (RecordKind::Pair, Some(value)) if head.table == TableId(0) => catalog(value),
        (_, Some(value)) if value.len() > VALUE_SHOWN => format!("{}..", words::to_hex(&value[..VALUE_SHOWN])),
        (_, Some(value)) => words::show(value),
    };
    let key = if head.kind == RecordKind::Close { String::new() } else { words::show(head.key) };
    vec![
        from.into(),
        format!("{:?}", head.kind).into(),
        head.table.0.into(),
        head.version.to_string().into(),
        key.into(),
        head.value_bytes.into(),
        shown.into(),
        head.expires_ms.map_or(Value::Null, Value::from),
        flags(head).into(),
        state.into(),
    ]
}

/// What else a record says of itself.
fn flags(head: &RecordHead<'_>) -> String {
    let compressed = head.compressed.then(|| "compressed".to_owned());
    let extents = (!head.extents.is_empty()).then(|| {
        let places: Vec<String> = head.extents.iter().map(|extent| format!("{:?}", extent.place)).collect();
        format!("behind {} bytes at {}", head.extents.value_bytes(), places.join(" "))
    });
    let revertible = head.revertible.map(|_| "revertible".to_owned());
    let compact = head.compact.then(|| "compact".to_owned());
    compressed.into_iter().chain(compact).chain(revertible).chain(extents).collect::<Vec<_>>().join(", ")
}

/// A record of the catalog: a table's id and structure.
fn catalog(value: &[u8]) -> String {
    let spec = value.split_first_chunk::<4>().map(|(id, spec)| (u32::from_le_bytes(*id), TableSpec::from_bytes(spec)));
    match spec {
        Some((id, Ok(spec))) => {
            let info = lostore::TableInfo { id: TableId(id), name: String::new(), spec };
            let mut document = crate::tables::document(&info);
            if let Value::Object(fields) = &mut document {
                fields.remove("table");
            }
            document.to_string()
        }
        Some((number, Err(_))) if value.len() == 4 => format!("next table id {number}"),
        Some((_, Err(_))) | None => words::to_hex(value),
    }
}

fn large_record(
    look: &mut Look<'_>,
    superblock: &Superblock,
    header: &PageHeader,
    at: PageNo,
    page: &[u8; PAGE_BYTES],
) -> Result<(), Failure> {
    let head = match record::head(page::payload(page, header)) {
        Ok(head) => head,
        Err(error) => {
            look.fields("large record", vec![("state", error.to_string().into())]);
            return Ok(());
        }
    };
    let pages = large::pages_for(head.record_bytes);
    let here = look.device.pages() - at.0;
    let count = usize::try_from(u64::from(pages).min(here)).expect("the pages of one record");
    let frames = look.read(at, count)?;
    let expected =
        large::Expected { domain: domain_mark(superblock.domain), segment: header.segment, index: header.index };
    let state = match large::gather(&frames, superblock.salt, &expected) {
        Ok(bytes) => record::decode(&bytes).map_or_else(|error| error.to_string(), |_| "whole".to_owned()),
        Err(error) => error.to_string(),
    };
    let rows = vec![record_row(PAGE_HEADER_BYTES, &head, page::payload(page, header), &state)];
    look.show("records", RECORD_COLUMNS, rows);
    look.fields("large record", vec![("pages", pages.into()), ("record_bytes", head.record_bytes.into())]);
    Ok(())
}
