//! Bytes that change on the device: an error for what they hold, nothing for anybody else.

use super::{bench, check, create, fill, force, get, put, status};
use crate::bench::{Bench, tiny};
use domains::config::Config;
use domains::schema::TableKind;
use domains::{Error, ErrorKind, Op};
use segments::memory::MemoryDevice;
use segments::{Completion, Device, Frames, PageNo, Request, Tag};

/// Pages of a segment in these tests.
const SEGMENT_PAGES: u64 = 16;
/// Pages before the first segment.
const SUPERBLOCK_PAGES: u64 = 64;

fn one(device: &mut MemoryDevice, request: Request) -> Completion {
    device.submit(Tag(0), request);
    let mut done = Vec::new();
    device.poll(&mut done);
    done.pop().expect("a device in memory answers at once")
}

fn page(device: &mut MemoryDevice, page: u64) -> Frames {
    let done = one(device, Request::Read { at: PageNo(page), frames: Frames::zeroed(1) });
    done.frames.expect("a read brings its frames home")
}

fn set_page(device: &mut MemoryDevice, page: u64, frames: Frames) {
    one(device, Request::Write { at: PageNo(page), frames }).result.unwrap();
}

fn flip(device: &mut MemoryDevice, at: u64, byte: usize, bit: u8) {
    let mut frames = page(device, at);
    frames.bytes_mut()[byte] ^= 1 << bit;
    set_page(device, at, frames);
}

/// The pages that hold these bytes.
fn pages_with(device: &mut MemoryDevice, wanted: &[u8]) -> Vec<u64> {
    let holds = |bytes: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    (0..device.pages()).filter(|&at| holds(page(device, at).bytes())).collect()
}

/// Seed stores returned the flipped bytes, or dropped everything behind them.
#[test]
fn a_flipped_bit_in_a_value_is_an_error_never_data() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Hash);
    let wanted = fill(&mut bench, table, 60, 900);
    put(&mut bench, table, b"victim", b"a value that is easily found").unwrap();
    put(&mut bench, table, b"large", &[0xC3; 20_000]).unwrap();
    force(&mut bench);
    let places = pages_with(&mut bench.device, b"a value that is easily found");
    let &[place] = places.as_slice() else { panic!("{places:?}") };
    for byte in 0..4096_usize {
        let bit = (byte % 8).to_le_bytes()[0];
        bench.call(Op::DropCache).unwrap();
        flip(&mut bench.device, place, byte, bit);
        let error = get(&mut bench, table, b"victim").unwrap_err();
        assert_eq!((error.code(), error.kind()), (401, ErrorKind::Corrupt), "byte {byte}: {error}");
        if let Error::CorruptRecord { table: named, page, .. } = error {
            assert_eq!((named, page), (table, place), "the error names the damaged place");
        }
        flip(&mut bench.device, place, byte, bit);
    }
    flip(&mut bench.device, place, 2000, 3);
    bench.call(Op::DropCache).unwrap();
    let mut damaged = 0;
    for (key, value) in &wanted {
        match get(&mut bench, table, key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value), "other keys go on"),
            Err(error) => {
                assert_eq!(error.code(), 401);
                damaged += 1;
            }
        }
    }
    assert!(damaged <= 4, "only what shares the page is touched, not {damaged} pairs");
    put(&mut bench, table, b"victim", b"written again").unwrap();
    assert_eq!(get(&mut bench, table, b"victim").unwrap().unwrap(), b"written again");
    let body = pages_with(&mut bench.device, &[0xC3; 3000]);
    assert!(body.len() >= 5, "a large record lies in several pages: {body:?}");
    for at in body {
        bench.call(Op::DropCache).unwrap();
        flip(&mut bench.device, at, 1500, 0);
        assert_eq!(get(&mut bench, table, b"large").unwrap_err().code(), 401);
        flip(&mut bench.device, at, 1500, 0);
        assert_eq!(get(&mut bench, table, b"large").unwrap().unwrap(), [0xC3; 20_000]);
    }
}

#[test]
fn any_two_superblock_copies_may_be_damaged() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Ordered);
    let wanted = fill(&mut bench, table, 40, 100);
    let garble = |bench: &mut Bench, copy: u64| {
        for at in copy * 16..(copy + 1) * 16 {
            let mut frames = Frames::zeroed(1);
            frames.bytes_mut().fill(0x5C);
            set_page(&mut bench.device, at, frames);
        }
    };
    for first in 0..4 {
        for second in 0..first {
            garble(&mut bench, first);
            garble(&mut bench, second);
            bench.reopen(&tiny()).unwrap_or_else(|error| panic!("without copies {first} and {second}: {error}"));
            check(&mut bench, table, &wanted);
        }
    }
    for copy in 0..3 {
        garble(&mut bench, copy);
    }
    let error = bench.reopen(&tiny()).unwrap_err();
    assert!(matches!(error.code(), 101 | 403), "one copy is no quorum: {error}");
}

#[test]
fn a_damaged_summary_falls_back_to_the_data() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Hash);
    let wanted = fill(&mut bench, table, 300, 400);
    let whole = bench.reopen(&tiny()).unwrap();
    assert!(whole.summaries_used >= 4, "{whole:?}");
    let segments = (bench.device.pages() - SUPERBLOCK_PAGES) / SEGMENT_PAGES;
    for segment in 0..segments {
        let footer = SUPERBLOCK_PAGES + (segment + 1) * SEGMENT_PAGES - 1;
        // The footer, and the page of items before it where there is one.
        for at in [footer, footer - 1] {
            let before = page(&mut bench.device, at);
            flip(&mut bench.device, at, 90, 1);
            match bench.reopen(&tiny()) {
                Ok(report) => {
                    assert_eq!(report.pairs, wanted.len() as u64, "page {at}: {report:?}");
                    if at == footer {
                        assert!(report.summaries_used <= whole.summaries_used);
                        check(&mut bench, table, &wanted);
                    }
                }
                // The page before the footer may be one of the log, below an announced epoch.
                Err(error) => assert!(at != footer && error.kind() == ErrorKind::Corrupt, "page {at}: {error}"),
            }
            set_page(&mut bench.device, at, before);
        }
    }
    // All footers at once: recovery reads nothing but data.
    for segment in 0..segments {
        flip(&mut bench.device, SUPERBLOCK_PAGES + (segment + 1) * SEGMENT_PAGES - 1, 90, 1);
    }
    let report = bench.reopen(&tiny()).unwrap();
    assert_eq!((report.summaries_used, report.pairs), (0, wanted.len() as u64), "{report:?}");
    check(&mut bench, table, &wanted);
}

/// Data that was announced as persistent and is damaged must not be mistaken for the end of the log.
#[test]
fn a_torn_middle_below_an_announced_epoch_refuses_to_open() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Ordered);
    let mut wanted = super::Wanted::new();
    for number in 0..6_u8 {
        put(&mut bench, table, &[number], &[number; 3000]).unwrap();
        force(&mut bench);
        wanted.insert(vec![number], vec![number; 3000]);
    }
    let place = pages_with(&mut bench.device, &[2; 3000]);
    let &[place] = place.as_slice() else { panic!("{place:?}") };
    assert_eq!(status(&mut bench).segments, 1, "no summary stands for these pages");
    let before = page(&mut bench.device, place);
    let mut half = before.clone();
    half.bytes_mut()[512..1024].fill(0);
    for torn in [half, Frames::zeroed(1)] {
        set_page(&mut bench.device, place, torn);
        for _ in 0..2 {
            let error = bench.reopen(&tiny()).unwrap_err();
            assert_eq!((error.code(), error.kind()), (403, ErrorKind::Corrupt), "{error}");
        }
    }
    set_page(&mut bench.device, place, before);
    bench.reopen(&tiny()).unwrap();
    check(&mut bench, table, &wanted);
}

/// The end of an incarnation that is dropped once is dropped for ever, whatever later incarnations write behind it.
#[test]
fn a_second_incarnation_hides_what_was_dropped() {
    // A tail large enough that nothing waits for pages to be written.
    let never = Config { epoch_interval_nanos: u64::MAX / 4, tail_pages: 1024, ..tiny() };
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Hash);
    let mut wanted = fill(&mut bench, table, 20, 200);
    bench.reopen(&never).unwrap();
    // Most pages of this reach the device, but their epoch never ends.
    for number in 0..60_u8 {
        put(&mut bench, table, &[number, 0xDD], &[0xDD; 3000]).unwrap();
        put(&mut bench, table, &[number % 20, 0], b"overwritten in vain").unwrap();
        bench.turn();
    }
    assert!(!pages_with(&mut bench.device, &[0xDD; 3000]).is_empty(), "some of it was written");
    let report = bench.reopen(&tiny()).unwrap();
    assert!(report.records_dropped > 0, "{report:?}");
    for life in 0..4_u8 {
        check(&mut bench, table, &wanted);
        for number in 0..60_u8 {
            assert_eq!(get(&mut bench, table, &[number, 0xDD]).unwrap(), None, "in life {life}");
        }
        put(&mut bench, table, &[life], &[life; 3000]).unwrap();
        wanted.insert(vec![life], vec![life; 3000]);
        force(&mut bench);
        let report = bench.reopen(&tiny()).unwrap();
        assert_eq!(report.pairs, wanted.len() as u64, "{report:?}");
    }
}

/// What a client writes may look like the log's own pages, whichever place in a page it comes to lie at: it stays a value, and a
/// recovery that ends in the midst of it takes none of it for log.
#[test]
fn values_that_are_copies_of_log_pages_stay_values() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Hash);
    let mut wanted = fill(&mut bench, table, 60, 900);
    force(&mut bench);
    let mut life = 0;
    for shift in (0..4096).step_by(24) {
        // The superblock's first page, and the newest of the log with its close record.
        let blank = Frames::zeroed(1);
        let written: Vec<u64> = (SUPERBLOCK_PAGES..bench.device.pages()).collect();
        let log: Vec<Frames> = written.into_iter().map(|at| page(&mut bench.device, at)).collect();
        let log: Vec<&Frames> = log.iter().filter(|page| page.bytes() != blank.bytes()).collect();
        let mut forged = vec![0; shift];
        forged.extend_from_slice(page(&mut bench.device, 0).bytes());
        log[log.len() - 2..].iter().for_each(|page| forged.extend_from_slice(page.bytes()));
        let key = format!("forged {shift}").into_bytes();
        put(&mut bench, table, &key, &forged).unwrap();
        if shift % 5 == 0 {
            force(&mut bench);
            wanted.insert(key, forged);
            continue;
        }
        // Half a life: nobody was told that it is persistent, so it may be there whole or not at all.
        for _ in 0..shift % 7 {
            bench.turn();
        }
        let report = bench.reopen(&tiny()).unwrap();
        life += 1;
        match get(&mut bench, table, &key).unwrap() {
            Some(value) => assert!(value == forged, "{shift}: {report:?}"),
            None => assert_eq!(put(&mut bench, table, &key, b"again").map(|_| ()), Ok(())),
        }
        wanted.insert(key.clone(), get(&mut bench, table, &key).unwrap().unwrap());
        force(&mut bench);
        check(&mut bench, table, &wanted);
    }
    assert!(life > 100, "{life} lives");
}
