//! `space`: where the room of a device has gone.
//!
//! Contract: every byte of the device is in exactly one cell of the table, so the table sums to the device, to the byte. Records are
//! counted; how many bytes of a segment live is that share of the pages it uses, for records differ in size.

use crate::args::{Space, Target};
use crate::failure::Failure;
use crate::output::{Format, Output, bytes_text, count_text};
use crate::reach::reach;
use lostore::{SegmentRun, SegmentUse, Segments};
use serde_json::{Value, json};

mod map;

const PAGE: u64 = 4096;

/// Bytes of segments of one use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Bytes {
    segments: u64,
    records: u64,
    live: u64,
    live_bytes: u64,
    dead_bytes: u64,
    /// In pages that nothing was written to yet.
    free_bytes: u64,
}

impl Bytes {
    fn all(&self) -> u64 {
        self.live_bytes + self.dead_bytes + self.free_bytes
    }

    fn add(&mut self, other: &Self) {
        self.segments += other.segments;
        self.records += other.records;
        self.live += other.live;
        self.live_bytes += other.live_bytes;
        self.dead_bytes += other.dead_bytes;
        self.free_bytes += other.free_bytes;
    }
}

/// What the bytes of a run are.
fn bytes_of(run: &SegmentRun, segment_pages: u32) -> Bytes {
    let all = u64::from(run.segments) * u64::from(segment_pages) * PAGE;
    let used = (u64::from(run.pages) * PAGE).min(all);
    let (records, live) = (u64::from(run.records), u64::from(run.live));
    let live_bytes = match run.used {
        SegmentUse::Free | SegmentUse::Waiting => 0,
        SegmentUse::Checkpoint => used,
        SegmentUse::Log | SegmentUse::Table => share(used, live, records),
    };
    let dead_bytes = used - live_bytes;
    Bytes { segments: run.segments.into(), records, live, live_bytes, dead_bytes, free_bytes: all - used }
}

/// So many of all of something.
fn share(of: u64, some: u64, all: u64) -> u64 {
    let part = u128::from(of) * u128::from(some.min(all)) / u128::from(all.max(1));
    u64::try_from(part).expect("a part is no more than the whole")
}

/// The table: a line a use, in order, each with its bytes.
fn by_use(segments: &Segments) -> [(SegmentUse, Bytes); 5] {
    SegmentUse::ALL.map(|used| {
        let mut bytes = Bytes::default();
        let runs = segments.runs.iter().filter(|run| run.used == used);
        runs.for_each(|run| bytes.add(&bytes_of(run, segments.segment_pages)));
        (used, bytes)
    })
}

pub(crate) fn space(target: &Target, args: &Space, output: &mut Output) -> Result<(), Failure> {
    let store = reach(target)?;
    let segments = store.segments()?;
    if segments.device_pages == 0 {
        let what = format!("a {} store has no device, so no segments", store.capabilities().name);
        return Err(Failure::no(what));
    }
    if let Some(path) = &args.map {
        let written = std::fs::write(path, map::draw(&segments));
        written.map_err(|error| Failure::file("write", &path.to_string_lossy(), &error))?;
    }
    match output.format {
        Format::Json | Format::Jsonl => output.document(&document(&segments)),
        Format::Table | Format::Raw | Format::Hex => text(&segments, output),
    }
}

/// Bytes that are in no segment: the superblock's, and what a device has that is no whole segment.
fn outside(segments: &Segments, all: &Bytes) -> u64 {
    (segments.device_pages * PAGE).saturating_sub(all.all())
}

fn total(uses: &[(SegmentUse, Bytes)]) -> Bytes {
    let mut all = Bytes::default();
    uses.iter().for_each(|(_, bytes)| all.add(bytes));
    all
}

fn document(segments: &Segments) -> Value {
    let uses = by_use(segments);
    let one = |(used, bytes): &(SegmentUse, Bytes)| {
        json!({
            "use": used.name(),
            "segments": bytes.segments,
            "records": bytes.records,
            "records_live": bytes.live,
            "live_bytes": bytes.live_bytes,
            "dead_bytes": bytes.dead_bytes,
            "free_bytes": bytes.free_bytes,
        })
    };
    json!({
        "device_bytes": segments.device_pages * PAGE,
        "segment_bytes": u64::from(segments.segment_pages) * PAGE,
        "superblock_bytes": outside(segments, &total(&uses)),
        "uses": uses.iter().map(one).collect::<Vec<_>>(),
    })
}

fn text(segments: &Segments, output: &mut Output) -> Result<(), Failure> {
    let uses = by_use(segments);
    let all = total(&uses);
    let row = |name: &str, bytes: &Bytes| {
        let records = match bytes.records {
            0 => "-".to_owned(),
            records => format!("{} of {}", count_text(bytes.live), count_text(records)),
        };
        let mut row = vec![name.to_owned(), count_text(bytes.segments), records];
        row.extend([bytes.live_bytes, bytes.dead_bytes, bytes.free_bytes, bytes.all()].map(bytes_text));
        row
    };
    let mut rows: Vec<Vec<String>> = uses.iter().map(|(used, bytes)| row(used.name(), bytes)).collect();
    let outside = Bytes { live_bytes: outside(segments, &all), ..Bytes::default() };
    rows.push(row("superblock", &outside));
    let mut device = all;
    device.add(&outside);
    rows.push(row("device", &device));
    output.rows(&["use", "segments", "records live", "live, about", "dead, about", "free", "bytes"], &rows)
}

#[cfg(test)]
mod tests;
