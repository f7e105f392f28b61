//! Ranges of a record: what they read of the device, and that damage and other writers do not go unnoticed.

use super::*;
use crate::{Range, Ranges};

const LONG: usize = 1 << 20;

fn value_of(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| seed.wrapping_add((at % 251).to_le_bytes()[0])).collect()
}

/// Two long records and a short one, none of them in memory.
fn cold(fingerprint_bits: u8) -> (Bench, TableId) {
    let config = Config { segment_pages: 1024, fingerprint_bits, cache_bytes: 0, tail_pages: 2, ..tiny() };
    let mut bench = Bench::new(config);
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for (key, bytes) in [(b"a", LONG), (b"b", LONG), (b"c", 100)] {
        bench.put(table, key, &value_of(key[0], bytes));
    }
    bench.force();
    bench.call(Op::DropCache).unwrap();
    (bench, table)
}

/// Each from its first byte to the one behind its last.
fn op(table: TableId, key: &[u8], ranges: &[(u64, u64)]) -> Op {
    let ranges = ranges.iter().map(|&(from, to)| Range::from(from..to)).collect();
    Op::ReadRanges { table, key: key.to_vec(), ranges }
}

/// The answer, how often the device was waited for, and how many pages it read.
fn counted(bench: &mut Bench, op: Op) -> (Result<Option<Ranges>, Error>, usize, usize) {
    bench.engine.submit(OpId(1 << 40), op, bench.now);
    let (mut rounds, mut pages, mut answers) = (0, 0, Vec::new());
    loop {
        bench.engine.take_answers(&mut answers);
        match answers.pop() {
            Some((_, Ok(Answer::Ranges(ranges)))) => return (Ok(ranges), rounds, pages),
            Some((_, Ok(other))) => panic!("{other:?}"),
            Some((_, Err(error))) => return (Err(error), rounds, pages),
            None => {}
        }
        let mut requests = Vec::new();
        bench.engine.take_requests(&mut requests);
        assert!(!requests.is_empty(), "it waits for nothing");
        rounds += 1;
        for (tag, request) in requests {
            if let Request::Read { frames, .. } = &request {
                pages += frames.pages();
            }
            bench.device.submit(tag, request);
        }
        let mut done = Vec::new();
        bench.device.poll(&mut done);
        done.into_iter().for_each(|completion| bench.engine.complete(completion, bench.now));
    }
}

#[test]
fn a_range_of_a_long_record_reads_only_the_pages_that_hold_it() {
    let (mut bench, table) = cold(64);
    let value = value_of(b'a', LONG);
    let (found, rounds, pages) = counted(&mut bench, op(table, b"a", &[(500_000, 500_100)]));
    let found = found.unwrap().expect("it is there");
    assert_eq!((found.total_bytes, &found.parts[0][..]), (LONG as u64, &value[500_000..500_100]));
    assert!(rounds == 1 && pages <= 3, "{rounds} rounds, {pages} pages of 262");
    // Overlapping, empty, the very ends, over the end and past it.
    let end = LONG as u64;
    let ranges =
        [(0, 10), (5, 8000), (300, 300), (end - 1, end), (end - 5, end + 5), (end, u64::MAX), (4_000, 4_100), (5, 1)];
    let (found, rounds, pages) = counted(&mut bench, op(table, b"a", &ranges));
    let wanted: Vec<_> = ranges
        .iter()
        .map(|(from, to)| {
            let clip = |at: u64| usize::try_from(at.min(end)).unwrap();
            value.get(clip(*from)..clip(*to)).unwrap_or_default().to_vec()
        })
        .collect();
    assert_eq!(found.unwrap().unwrap().parts, wanted);
    assert!(rounds <= 2 && pages <= 6, "{rounds} rounds, {pages} pages");
    let (found, rounds, pages) = counted(&mut bench, op(table, b"a", &[]));
    assert_eq!(
        (found.unwrap().unwrap().total_bytes, rounds, pages),
        (LONG as u64, 1, 1),
        "its head says how long it is"
    );
    let (found, _, pages) = counted(&mut bench, op(table, b"a", &[(0, end)]));
    assert_eq!((found.unwrap().unwrap().parts, pages), (vec![value], 262), "no page is read twice");
    let (found, _, pages) = counted(&mut bench, op(table, b"c", &[(90, 200)]));
    assert_eq!((found.unwrap().unwrap().parts, pages), (vec![value_of(b'c', 100)[90..].to_vec()], 1));
}

#[test]
fn long_records_that_look_alike_are_told_apart() {
    let (mut bench, table) = cold(1);
    for key in [b"a", b"b"] {
        let (found, _, pages) = counted(&mut bench, op(table, key, &[(500_000, 500_100)]));
        assert_eq!(found.unwrap().unwrap().parts, [&value_of(key[0], LONG)[500_000..500_100]]);
        assert!(pages <= 9, "{pages}");
    }
    for absent in 0..100_u8 {
        assert_eq!(counted(&mut bench, op(table, &[absent, 0], &[(0, 10)])).0, Ok(None));
    }
}

#[test]
fn a_damaged_page_is_an_error_of_the_ranges_in_it_alone() {
    let (mut bench, table) = cold(64);
    let mut requests = Vec::new();
    bench.engine.submit(OpId(1), op(table, b"a", &[]), bench.now);
    bench.engine.take_requests(&mut requests);
    let (tag, Request::Read { at, frames }) = requests.remove(0) else { panic!("a read") };
    assert_eq!(frames.pages(), 1);
    bench.device.submit(tag, Request::Read { at, frames });
    bench.run();
    bench.engine.take_answers(&mut Vec::new());
    let mut frames = Frames::zeroed(1);
    frames.bytes_mut().fill(0xa5);
    bench.device.submit(Tag(0), Request::Write { at: at.plus(100), frames });
    bench.device.wait(&mut Vec::new());
    let page = segments::page::PAGE_PAYLOAD_BYTES as u64;
    let (found, ..) = counted(&mut bench, op(table, b"a", &[(0, 10), (110 * page, 111 * page)]));
    assert_eq!(found.unwrap().unwrap().parts[1].len(), 4016);
    let (found, ..) = counted(&mut bench, op(table, b"a", &[(0, 10), (100 * page, 101 * page)]));
    let error = found.unwrap_err();
    assert!(matches!(error, Error::CorruptRecord { table: named, .. } if named == table), "{error}");
}

#[test]
fn all_parts_are_of_one_version_although_the_record_is_replaced_meanwhile() {
    let (mut bench, table) = cold(64);
    bench.engine.submit(OpId(1 << 40), op(table, b"a", &[(0, 10), (500_000, 500_010)]), bench.now);
    let mut requests = Vec::new();
    bench.engine.take_requests(&mut requests);
    let mut set = CommitSet::new();
    set.upsert(table, b"a", &[7; 100], PutOptions::default()).unwrap();
    bench.engine.submit(OpId(1 << 41), Op::Commit { set, level: Level::Committed }, bench.now);
    let mut answers = Vec::new();
    bench.engine.take_answers(&mut answers);
    assert!(matches!(answers[..], [(_, Ok(Answer::Committed(_)))]), "it is applied at once: {answers:?}");
    for (tag, request) in requests {
        bench.device.submit(tag, request);
    }
    let mut done = Vec::new();
    bench.device.poll(&mut done);
    done.into_iter().for_each(|completion| bench.engine.complete(completion, bench.now));
    bench.engine.take_answers(&mut answers);
    let ranges = answers.into_iter().find_map(|(_, answer)| match answer {
        Ok(Answer::Ranges(ranges)) => ranges,
        _ => None,
    });
    let ranges = ranges.expect("it is there");
    assert_eq!((ranges.total_bytes, ranges.parts), (100, vec![vec![7; 10], vec![]]));
}

/// Of a record that was appended to, those records are read that its value lies in where the ranges are.
#[test]
fn ranges_of_a_record_that_grew_read_the_extents_that_hold_them() {
    for fingerprint_bits in [64, 1] {
        let (mut bench, table) = cold(fingerprint_bits);
        let mut whole = value_of(b'a', LONG);
        for number in 1..4_u8 {
            let more = value_of(number, 6_000);
            let mut set = CommitSet::new();
            set.append(table, b"a", &more, PutOptions::default(), Expect::Any).unwrap();
            bench.commit(set, Level::Committed).unwrap();
            whole.extend(more);
        }
        bench.force();
        let end = whole.len() as u64;
        for (ranges, pages_max) in [
            (&[(end - 100, end), (end - 6_100, end - 5_900), (end, end + 5), (7, 7)][..], 8),
            (&[(0, 10), (LONG as u64 - 5, LONG as u64 + 5), (end - 1, end + 9)][..], 400),
            (&[(0, end), (3, 900_000), (LONG as u64 + 3, end - 7)][..], 400),
        ] {
            bench.call(Op::DropCache).unwrap();
            let (read, _, pages) = counted(&mut bench, op(table, b"a", ranges));
            let read = read.unwrap().unwrap();
            let at = |offset: u64| usize::try_from(offset.min(end)).unwrap();
            let expected: Vec<&[u8]> = ranges.iter().map(|&(from, to)| &whole[at(from)..at(to)]).collect();
            assert!(read.parts == expected && read.total_bytes == end, "{ranges:?}");
            assert!(pages <= pages_max, "{pages} pages for {ranges:?}");
        }
    }
}
