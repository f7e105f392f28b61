use super::*;
use crate::{checkpoint, limits, page, place, record, segment, summary, superblock};

const DOCUMENT: &str = include_str!("../../../design/data-format.md");

/// The fields of the tables under `heading`: lines of the form `| offset | size | name | meaning |`.
fn documented(heading: &str) -> Vec<(usize, usize, &'static str)> {
    let mut lines = DOCUMENT.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading);
    assert!(lines.next().is_some(), "design/data-format.md has no heading {heading:?}");
    let mut fields = Vec::new();
    for line in lines.take_while(|line| !line.starts_with('#')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if let [_, at, size, name, ..] = cells[..]
            && let (Ok(at), Ok(size)) = (at.parse(), size.parse())
        {
            fields.push((at, size, name.trim_matches('`')));
        }
    }
    fields
}

#[test]
fn the_document_lists_the_fields_of_the_code() {
    let structures: [(&str, &[Field]); 6] = [
        ("Superblock copy", &superblock::LAYOUT),
        ("Page header", &page::LAYOUT),
        ("Record", &record::LAYOUT),
        ("Segment header", &segment::LAYOUT),
        ("Summary item", &summary::ITEM_LAYOUT),
        ("Summary footer", &summary::FOOTER_LAYOUT),
    ];
    let checkpoints = checkpoint::layouts().into_iter().chain([("Checkpoint footer", &checkpoint::FOOTER_LAYOUT[..])]);
    for (heading, layout) in structures.into_iter().chain(checkpoints) {
        let code: Vec<_> = layout.iter().map(|field| (field.at, field.size, field.name)).collect();
        assert_eq!(documented(heading), code, "{heading}");
    }
}

#[test]
fn the_document_states_the_numbers_of_the_code() {
    let numbers = [
        ("page", page::PAGE_HEADER_BYTES + page::PAGE_PAYLOAD_BYTES),
        ("page header", page::PAGE_HEADER_BYTES),
        ("page payload", page::PAGE_PAYLOAD_BYTES),
        ("record header", record::RECORD_HEADER_BYTES),
        ("record alignment", place::RECORD_ALIGN),
        ("longest key", limits::KEY_BYTES_MAX),
        ("largest value", limits::VALUE_BYTES_MAX),
        ("superblock copies", usize::from(superblock::SUPERBLOCK_COPIES)),
        ("superblock copy", superblock::SUPERBLOCK_COPY_BYTES),
        ("cuts of a superblock", superblock::CUTS_MAX),
        ("segment header", segment::SEGMENT_HEADER_BYTES),
        ("summary item header", summary::ITEM_HEADER_BYTES),
        ("summary footer", summary::FOOTER_BYTES),
        ("checkpoint page header", checkpoint::ITEMS_HEADER_BYTES),
        ("checkpoint footer", checkpoint::CHECKPOINT_FOOTER_BYTES),
        ("most shards", usize::from(limits::SHARDS_MAX)),
    ];
    for (name, number) in numbers {
        let line = format!("| {name} | {number} |");
        assert!(DOCUMENT.lines().any(|have| have.starts_with(&line)), "design/data-format.md has no line {line:?}");
    }
}

#[test]
fn one_bit_anywhere_is_not_zero() {
    for length in 0..40 {
        let mut bytes = vec![0; length];
        assert!(is_zero(&bytes));
        for at in 0..length {
            bytes[at] = 0x80;
            assert!(!is_zero(&bytes), "byte {at} of {length}");
            bytes[at] = 0;
        }
    }
}

#[test]
#[should_panic(expected = "does not begin where the one before it ends")]
fn fields_with_a_gap_are_refused() {
    tiled(&[Field::new(0, 4, "one"), Field::new(8, 4, "other")]);
}
