//! The table sums to the device, and the map shows every segment.

use super::*;
use lostore::SegmentUse::{Checkpoint, Free, Log, Table, Waiting};
use segments::SegmentId;

/// The superblock's pages.
const BEFORE: u64 = 8;

fn device(count: u32) -> Segments {
    let (mut runs, mut at) = (Vec::new(), 0);
    while at < count {
        let segments = if at % 7 == 3 { 3.min(count - at) } else { 1 };
        let used = [Log, Table, Checkpoint, Waiting, Free][at as usize % 5];
        let used = if segments > 1 { Log } else { used };
        let (pages, records, live) = match used {
            Free => (0, 0, 0),
            Checkpoint => (16, 0, 0),
            Waiting => (13, 40, 0),
            Log | Table => (11 * segments, 97, at % 98),
        };
        runs.push(SegmentRun { segment: SegmentId(at), segments, used, pages, records, live });
        at += segments;
    }
    Segments { device_pages: BEFORE + u64::from(count) * 16, segment_pages: 16, runs, more: false }
}

#[test]
fn the_table_sums_to_the_device() {
    for count in [0, 1, 10, 2_000] {
        let segments = device(count);
        let document = document(&segments);
        let sum = |field: &str| -> u64 {
            document["uses"].as_array().unwrap().iter().map(|of| of[field].as_u64().unwrap()).sum()
        };
        let bytes = sum("live_bytes") + sum("dead_bytes") + sum("free_bytes");
        assert_eq!(bytes + document["superblock_bytes"].as_u64().unwrap(), document["device_bytes"].as_u64().unwrap());
        assert_eq!(document["superblock_bytes"], BEFORE * PAGE);
        assert_eq!(sum("segments"), u64::from(count));
    }
}

#[test]
fn what_lives_is_estimated_by_records() {
    let of = |used, pages, records, live| {
        bytes_of(&SegmentRun { segment: SegmentId(0), segments: 1, used, pages, records, live }, 16)
    };
    let log = of(Log, 12, 100, 25);
    assert_eq!((log.live_bytes, log.dead_bytes, log.free_bytes), (3 * PAGE, 9 * PAGE, 4 * PAGE));
    assert_eq!(of(Log, 4, 0, 0).dead_bytes, 4 * PAGE, "no record lives there");
    assert_eq!(of(Checkpoint, 16, 0, 0).live_bytes, 16 * PAGE, "all of a checkpoint is needed");
    assert_eq!(of(Waiting, 16, 9, 0).dead_bytes, 16 * PAGE);
    assert_eq!(of(Free, 0, 0, 0).free_bytes, 16 * PAGE);
}

#[test]
fn the_map_shows_every_segment_inside_the_paper() {
    for count in [0_u32, 1, 10, 96, 97, 2_000, 20_000] {
        let drawn = map::draw(&device(count));
        assert_eq!(drawn.matches("<g><title>segment ").count(), count as usize);
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
        assert!(!drawn.contains("<script") && !drawn.contains("href"), "it stands alone");
        let number = |text: &str, name: &str| -> u32 {
            let from = text.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
            text[from..].split('"').next().unwrap().parse().unwrap()
        };
        let first = drawn.lines().next().unwrap();
        let (width, height) = (number(first, "width"), number(first, "height"));
        for line in drawn.lines().filter(|line| line.starts_with("<g>")) {
            for rect in line.split("<rect").skip(1) {
                assert!(number(rect, "x") + number(rect, "width") <= width, "{count} segments: {rect}");
                assert!(number(rect, "y") + number(rect, "height") <= height, "{count} segments: {rect}");
            }
        }
        // A drawing that is looked at, not scrolled through: not much higher than it is wide.
        assert!(count > 4_000 || height < 2 * width, "{count} segments make it {height} high");
    }
}
