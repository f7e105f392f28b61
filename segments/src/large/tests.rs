use super::*;
use crate::ids::{EpochId, Incarnation, Ordinal, ShardId, TableId, Version};
use crate::record::{Record, encode, encoded_bytes};
use proptest::prelude::*;

const SALT: u32 = 9;
const EXPECTED: Expected = Expected { domain: 5, segment: SegmentId(2), index: 3 };

fn header() -> PageHeader {
    PageHeader {
        kind: PageKind::LargeHead,
        previous: 77,
        used: 0,
        log: ShardId(0),
        incarnation: Incarnation(1),
        segment: SegmentId(2),
        index: 3,
        seq: 40,
        epoch: EpochId::new(Incarnation(1), 6),
        horizon: EpochId::base(Incarnation(1)),
        owner: TableId(0),
        domain: 5,
    }
}

fn record_of(value: &[u8]) -> Vec<u8> {
    let version = Version { epoch: EpochId::new(Incarnation(1), 6), ordinal: Ordinal(3) };
    let record = Record::pair(TableId(7), version, b"key", value);
    let mut out = vec![0; encoded_bytes(3, value.len(), false)];
    encode(&record, &mut out);
    out
}

fn seal_from(frames: &mut Frames, from: usize, record_bytes: usize) {
    let mut previous = if from == 0 { 77 } else { page::stored_checksum(frames.page(from - 1)) };
    for index in from..frames.pages() {
        let (kind, used) = page_of(record_bytes, index);
        let step = u32::try_from(index).expect("few pages");
        let header = header();
        let header = PageHeader {
            kind,
            used,
            previous,
            index: header.index + step,
            seq: header.seq + u64::from(step),
            ..header
        };
        previous = page::seal(frames.page_mut(index), &header, SALT);
    }
}

fn pages_of(record: &[u8]) -> Frames {
    let mut frames = Frames::zeroed(usize::try_from(pages_for(record.len())).expect("few pages"));
    scatter(record, &mut frames);
    seal_from(&mut frames, 0, record.len());
    frames
}

#[test]
fn pages_are_counted_at_the_edges() {
    let counts = [1, PAGE_PAYLOAD_BYTES, PAGE_PAYLOAD_BYTES + 1, 2 * PAGE_PAYLOAD_BYTES].map(pages_for);
    assert_eq!(counts, [1, 1, 2, 2]);
    let largest = encoded_bytes(crate::limits::KEY_BYTES_MAX, crate::limits::VALUE_BYTES_MAX, true);
    assert_eq!(pages_for(largest), 16_711);
}

#[test]
fn a_damaged_foreign_or_missing_page_is_found() {
    let record = record_of(&[3; 10_000]);
    let good = pages_of(&record);
    assert_eq!(good.pages(), 3);
    assert_eq!(gather(&good, SALT, &EXPECTED), Ok(record.clone()));
    for page in 0..3 {
        let mut bad = good.clone();
        bad.page_mut(page)[4000] ^= 1;
        assert!(matches!(gather(&bad, SALT, &EXPECTED), Err(LargeError::Page { page: at, .. }) if at == page));
    }
    let mut swapped = good.clone();
    *swapped.page_mut(1) = *good.page(2);
    assert_eq!(gather(&swapped, SALT, &EXPECTED), Err(LargeError::Foreign { page: 1 }));
    let mut short = Frames::zeroed(2);
    short.bytes_mut().copy_from_slice(&good.bytes()[..8192]);
    assert_eq!(gather(&short, SALT, &EXPECTED), Err(LargeError::Short { needed: 3, found: 2 }));
    for expected in [
        Expected { domain: 6, ..EXPECTED },
        Expected { segment: SegmentId(3), ..EXPECTED },
        Expected { index: 4, ..EXPECTED },
    ] {
        assert_eq!(gather(&good, SALT, &expected), Err(LargeError::Foreign { page: 0 }));
    }
}

#[test]
fn a_page_of_an_older_record_in_the_same_place_breaks_the_chain() {
    let (old, new) = (pages_of(&record_of(&[1; 10_000])), pages_of(&record_of(&[2; 10_000])));
    let mut mixed = new.clone();
    *mixed.page_mut(2) = *old.page(2);
    assert_eq!(gather(&mixed, SALT, &EXPECTED), Err(LargeError::Foreign { page: 2 }));
}

#[test]
fn pages_behind_the_record_are_not_looked_at() {
    let record = record_of(&[3; 5000]);
    let good = pages_of(&record);
    let mut more = Frames::zeroed(4);
    more.bytes_mut()[..8192].copy_from_slice(good.bytes());
    more.page_mut(3).fill(0xaa);
    assert_eq!(gather(&more, SALT, &EXPECTED), Ok(record));
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    let mut frames = pages_of(&record_of(&[3; 5000]));
    // The record claims 64 MiB, under checksums that are right.
    let payload = page::payload_mut(frames.page_mut(0));
    payload[8..12].copy_from_slice(&(64_u32 << 20).to_le_bytes());
    let sum = crate::checksum::checksum(0, &payload[4..43]);
    payload[..4].copy_from_slice(&sum.to_le_bytes());
    seal_from(&mut frames, 0, encoded_bytes(3, 5000, false));
    assert_eq!(gather(&frames, SALT, &EXPECTED), Err(LargeError::Short { needed: 16_711, found: 2 }));
}

proptest! {
    #[test]
    fn a_large_record_round_trips(bytes in 4016..30_000_usize, fill: u8) {
        let record = record_of(&vec![fill; bytes]);
        prop_assert_eq!(gather(&pages_of(&record), SALT, &EXPECTED), Ok(record));
    }

    #[test]
    fn random_pages_are_not_a_record(bytes in proptest::collection::vec(any::<u8>(), 8192)) {
        let mut frames = Frames::zeroed(2);
        frames.bytes_mut().copy_from_slice(&bytes);
        prop_assert!(gather(&frames, SALT, &EXPECTED).is_err());
    }
}
