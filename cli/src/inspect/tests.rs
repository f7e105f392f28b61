use super::*;
use crate::verify::tests::reused::{Content, fill};
use std::path::Path;

fn look(overlay: &mut Overlay) -> Look<'_> {
    let mut look = Look { device: Blocking::new(overlay), superblock: None, limit: 10_000, sections: Vec::new() };
    look.superblock().unwrap();
    look
}

/// The cells of a section's columns, as text.
fn cells(look: &Look<'_>, section: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let section = look.sections.iter().find(|found| found.name == section).unwrap();
    let at = |column: &&str| section.columns.iter().position(|found| found == column).unwrap();
    let columns: Vec<usize> = columns.iter().map(at).collect();
    section.rows.iter().map(|row| columns.iter().map(|column| text(&row[*column])).collect()).collect()
}

fn with<T>(store: &Path, see: impl FnOnce(&mut Look<'_>) -> T) -> T {
    let mut overlay = Overlay::open(store).unwrap();
    see(&mut look(&mut overlay))
}

#[test]
fn checkpoints_and_what_segments_are_for_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fill(&store, 1, &mut Content::new(), |_| {});
    let (checkpoints, segments) = with(&store, |look| {
        look.segments().unwrap();
        let checkpoints = cells(look, "checkpoints", &["state", "pages", "segments", "start_incarnation", "number"]);
        (checkpoints, cells(look, "segments", &["segment", "state", "by_checkpoint", "summary"]))
    });
    let counts: Vec<&Vec<String>> = checkpoints.iter().filter(|row| row[0] == "whole, counts").collect();
    assert_eq!(counts.len(), 2, "{checkpoints:?}");
    assert!(counts.iter().all(|row| row[3] == "1"), "{checkpoints:?}");
    let numbers: Vec<u32> = counts.iter().map(|row| row[4].parse().unwrap()).collect();
    assert_eq!(numbers[0], numbers[1] + 1, "the newest comes first");
    // What came after the checkpoint it does not know, and a free segment may have been used for anything.
    for (state, by_checkpoint) in [("log", "log, "), ("table", "table, "), ("checkpoint", "checkpoint")] {
        let both = segments.iter().find(|row| row[1] == state && row[2].starts_with(by_checkpoint));
        assert!(both.is_some(), "{state} and {by_checkpoint}: {segments:?}");
    }
    let others = segments.iter().filter(|row| matches!(&*row[1], "table" | "checkpoint"));
    assert!(others.clone().all(|row| row[3] == "none"), "only a log's segment has a summary: {segments:?}");

    // The newest one's pages, item by item, up to the footer.
    let mut items = 0;
    for segment in counts[0][2].split(' ') {
        with(&store, |look| {
            let first = look.geometry().unwrap().first_page(SegmentId(segment.parse().unwrap()));
            (1..16).for_each(|index| look.page(first.plus(index)).unwrap());
            let shown = look.sections.iter().filter(|section| section.name == "checkpoint items");
            items += shown.map(|section| section.rows.len()).sum::<usize>();
        });
    }
    let pages: usize = counts[0][1].parse().unwrap();
    assert!(items > 40 && pages > 5, "{items} items in {pages} pages");
}
