//! The index checkpoints: which there are, which of them count, what their pages say, and what the newest says of the segments.
//!
//! Contract: one that is not whole is shown with the reason; whether it was never finished or is damaged, `lostore verify` tells.

use super::Look;
use crate::failure::Failure;
use crate::words;
use segments::PAGE_BYTES;
use segments::SegmentId;
use segments::checkpoint::{self, Content, Footer, FoundCheckpoint, Item, Read, SegmentUse};
use segments::log::scan::{self, DeviceIdentity, ScanError};
use segments::segment::Geometry;
use segments::superblock::Superblock;
use serde_json::Value;
use std::collections::BTreeMap;

const COLUMNS: &[&str] = &[
    "number",
    "incarnation",
    "log",
    "state",
    "pages",
    "items",
    "applied",
    "persistent",
    "start_incarnation",
    "start_seq",
    "start_closed",
    "segments",
];
const ITEM_COLUMNS: &[&str] = &["item", "table", "page", "offset", "pages", "content"];

/// Checkpoints that count, when so many are whole.
const KEPT: u32 = 2;

/// What the newest checkpoint that is whole says of segments.
#[derive(Default)]
pub(super) struct Said(BTreeMap<SegmentId, String>);

impl Said {
    pub(super) fn of(&self, segment: SegmentId) -> Value {
        self.0.get(&segment).map_or(Value::Null, |said| said.clone().into())
    }
}

/// Shows all checkpoints.
pub(super) fn show(look: &mut Look<'_>, superblock: &Superblock) -> Result<Said, Failure> {
    let geometry = Geometry::new(superblock.segment_pages);
    let identity = DeviceIdentity { domain: superblock.domain, salt: superblock.salt, geometry };
    let found = scan::find_runs(&mut look.device, &identity).map_err(failed)?;
    let (mut rows, mut said, mut whole) = (Vec::new(), Said::default(), 0);
    for found in checkpoint::find(&found.runs) {
        let mut segments = Said::default();
        let read = checkpoint::read(&mut look.device, &identity, &found, &mut |_, _, item| {
            if let Item::Segment { segment, used, records, .. } = item {
                segments.0.insert(segment, use_text(used, records));
            }
            Ok(())
        });
        let read = read.map_err(failed)?;
        if matches!(read, Read::Whole(_)) {
            whole += 1;
            said = if whole == 1 { segments } else { said };
        }
        rows.push(row(&found, &read, whole));
    }
    look.show("checkpoints", COLUMNS, rows);
    Ok(said)
}

fn failed(error: ScanError) -> Failure {
    match error {
        ScanError::Device(failed) => domains::Error::ReadFailed { page: failed.page.0, error: failed.error }.into(),
        ScanError::Stopped | ScanError::Content { .. } => {
            domains::Error::CorruptStore { why: error.to_string() }.into()
        }
    }
}

fn use_text(used: SegmentUse, records: u32) -> String {
    match used {
        SegmentUse::Free => "free".to_owned(),
        SegmentUse::Log => format!("log, {records} records"),
        SegmentUse::Table => format!("table, {records} records"),
        SegmentUse::Checkpoint => "checkpoint".to_owned(),
        SegmentUse::Body => "a further one of a run".to_owned(),
    }
}

/// One line; `whole` counts it, if it is whole, and all newer ones that are.
fn row(found: &FoundCheckpoint, read: &Read, whole: u32) -> Vec<Value> {
    let segments: Vec<String> = found.segments.iter().map(|found| found.run.segment.to_string()).collect();
    let state = match read {
        Read::Not { why } => format!("not whole: {why}"),
        Read::Whole(_) if whole <= KEPT => "whole, counts".to_owned(),
        Read::Whole(_) => "whole, given up for newer ones".to_owned(),
    };
    let mut row = vec![found.number.into(), found.incarnation.0.into(), found.log.0.into(), state.into()];
    match read {
        Read::Not { .. } => row.resize(COLUMNS.len() - 1, Value::Null),
        Read::Whole(footer) => row.extend([
            (footer.pages + 1).into(),
            footer.items.into(),
            footer.applied.to_string().into(),
            footer.persistent.to_string().into(),
            footer.start.incarnation.0.into(),
            footer.start.chain.next_seq.into(),
            footer.start.closed.to_string().into(),
        ]),
    }
    row.push(segments.join(" ").into());
    row
}

/// What is in one page of a checkpoint.
pub(super) fn page(look: &mut Look<'_>, page: &[u8; PAGE_BYTES], salt: u32) {
    match checkpoint::content(page, salt) {
        Err(error) => look.fields("checkpoint", vec![("state", error.to_string().into())]),
        Ok((_, Content::Footer(footer))) => look.fields("checkpoint footer", footer_fields(&footer)),
        Ok((_, Content::Items(items))) => {
            let owner = items.owner().0;
            let rows = items.map(|item| match item {
                Ok(item) => item_row(owner, &item),
                Err(error) => {
                    let mut row = vec![Value::Null; ITEM_COLUMNS.len() - 1];
                    row.push(error.to_string().into());
                    row
                }
            });
            let rows = rows.collect();
            look.show("checkpoint items", ITEM_COLUMNS, rows);
        }
    }
}

fn footer_fields(footer: &Footer) -> Vec<(&'static str, Value)> {
    vec![
        ("number", footer.number.into()),
        ("pages", footer.pages.into()),
        ("items", footer.items.into()),
        ("applied", footer.applied.to_string().into()),
        ("persistent", footer.persistent.to_string().into()),
        ("start_seq", footer.start.chain.next_seq.into()),
        ("start_previous", format!("{:#010x}", footer.start.chain.previous).into()),
        ("start_incarnation", footer.start.incarnation.0.into()),
        ("start_log", footer.start.log.0.into()),
        ("start_closed", footer.start.closed.to_string().into()),
    ]
}

fn item_row(owner: u32, item: &Item<'_>) -> Vec<Value> {
    let (name, table, place, content) = match item {
        Item::Hash { high, low, place } => ("Hash", owner, Some(place), format!("hash {high:016x} {low:03x}")),
        Item::Ordered { key, place } => ("Ordered", owner, Some(place), words::show(key)),
        Item::Sack { address, place } => ("Sack", owner, Some(place), format!("address {address:016x}")),
        Item::Table { kind, pairs, record_bytes, expires, named } => {
            let flags = format!("{}{}", said(*expires, ", some expire"), said(*named, ", some named by others"));
            ("Table", owner, None, format!("{kind:?}, {pairs} pairs of {record_bytes} bytes{flags}"))
        }
        Item::Segment { segment, run, used, named, records, pages } => {
            let flags = said(*named, ", some named by others");
            let text = use_text(*used, *records);
            ("Segment", owner, None, format!("segment {segment}, run {run}: {text}, {pages} pages{flags}"))
        }
        Item::Cut { epoch } => ("Cut", owner, None, epoch.to_string()),
        Item::Kept { table, place, previous, until_ms, bytes } => {
            ("Kept", table.0, Some(place), format!("previous {previous:#x}, until {until_ms} ms, {bytes} bytes"))
        }
    };
    let place = |of: fn(&segments::Place) -> Value| place.map_or(Value::Null, of);
    vec![
        name.into(),
        table.into(),
        place(|place| place.page().0.into()),
        place(|place| place.offset().into()),
        place(|place| place.pages().into()),
        content.into(),
    ]
}

fn said(flag: bool, text: &str) -> &str {
    if flag { text } else { "" }
}
