//! Records that are to be packed: what that makes of appends and of reads, that the flag stays, and what small records take.

use super::ends::copy;
use super::*;
use crate::engine::find::{Known, Located, Want};
use segments::superblock::Features;

const COMPACT: PutOptions = PutOptions { expires_ms: None, compressed: false, compact: true, revertible_ms: None };

fn write(bench: &mut Bench, table: TableId, key: &[u8], appends: bool, options: PutOptions) {
    let mut set = CommitSet::new();
    match appends {
        true => set.append(table, key, &[7; 400], options, Expect::Any).unwrap(),
        false => set.upsert(table, key, &[7; 400], options).unwrap(),
    }
    bench.commit(set, Level::Persistent).unwrap();
}

/// Whether the record says that it is to be packed.
fn is_compact(bench: &mut Bench, table: TableId, key: &[u8]) -> bool {
    bench.get(table, key).expect("it is there, and in memory now");
    let (core, known) = (&bench.engine.core, Known::default());
    let entry = core.table(table).unwrap();
    match core.locate(entry, core.sought(entry, key), &known, Want::Head, bench.now).unwrap() {
        Located::Present { found, .. } => found.unwrap().options().compact,
        other @ (Located::Expired { .. } | Located::Absent | Located::Unread { .. }) => panic!("{other:?}"),
    }
}

/// How many reads an operation takes, and of how many pages.
fn reads_of(bench: &mut Bench, op: Op) -> (usize, usize) {
    bench.call(Op::DropCache).unwrap();
    bench.engine.submit(OpId(1 << 40), op, bench.now);
    let (mut reads, mut pages, mut answers) = (0, 0, Vec::new());
    loop {
        bench.engine.take_answers(&mut answers);
        if let Some((_, answer)) = answers.pop() {
            assert!(matches!(answer, Ok(Answer::Pair(Some(_)))), "{answer:?}");
            return (reads, pages);
        }
        let mut requests = Vec::new();
        bench.engine.take_requests(&mut requests);
        for (tag, request) in requests {
            if let Request::Read { frames, .. } = &request {
                reads += 1;
                pages += frames.pages();
            }
            bench.device.submit(tag, request);
        }
        let mut done = Vec::new();
        bench.device.poll(&mut done);
        done.into_iter().for_each(|completion| bench.engine.complete(completion, bench.now));
    }
}

/// Sixty-four records that grew to 12,800 bytes by appends of 400, each append persistent before the next: those to be packed take one
/// read each, of the pages that their bytes fill; the others a read for each of their extents.
#[test]
fn a_record_to_be_packed_is_read_with_one_request_however_it_grew() {
    let records = 64_u8;
    let [plain, packed] = [PutOptions::default(), COMPACT].map(|options| {
        let mut bench = Bench::new(Config { cache_bytes: 1 << 20, segment_pages: 256, ..tiny() });
        let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
        for _ in 0..32 {
            for n in 0..records {
                write(&mut bench, table, &[n], true, options);
            }
        }
        let (mut reads, mut pages) = (0, 0);
        for n in 0..records {
            let (more, of) = reads_of(&mut bench, Op::Lookup { table, key: vec![n] });
            (reads, pages) = (reads + more, pages + of);
        }
        let written = bench.engine.core.log().pages_written();
        (reads, pages, written)
    });
    let records = usize::from(records);
    assert_eq!(packed.0, records, "one read a record");
    assert!(packed.1 <= records * 5, "12,800 bytes lie in four pages, and a fifth when they do not begin one");
    assert!(plain.0 >= records * 2 && plain.1 > packed.1, "{plain:?} without, {packed:?} with");
}

/// Past 16 KiB an append writes its own bytes again, and names what was there.
#[test]
fn a_long_record_is_not_written_anew_for_being_packed() {
    let mut bench = Bench::new(Config { segment_pages: 1024, ..tiny() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let mut set = CommitSet::new();
    set.upsert(table, b"k", &vec![1; 1 << 20], COMPACT).unwrap();
    bench.commit(set, Level::Persistent).unwrap();
    let before = bench.engine.core.log().pages_written();
    write(&mut bench, table, b"k", true, PutOptions::default());
    assert!(bench.engine.core.log().pages_written() - before <= 2);
    assert!(is_compact(&mut bench, table, b"k"), "and the flag stays");
    assert_eq!(bench.get(table, b"k").unwrap().value.len(), (1 << 20) + 400);
}

/// An append keeps the flag and may add it, a write says it anew, a revert brings it back; all of that also after an open, and in
/// records in memory.
#[test]
fn the_flag_is_kept_with_the_record() {
    for home in [TableHome::Persistent, TableHome::Volatile] {
        let mut bench = Bench::new(Config { cache_bytes: 1 << 20, ..tiny() });
        let table = bench.create("t", TableKind::Ordered, home);
        let plain = PutOptions::default();
        for (appends, options, compact) in [
            (false, COMPACT, true),
            (true, plain, true),
            (false, plain, false),
            (true, plain, false),
            (true, COMPACT, true),
            (true, PutOptions { compressed: true, ..plain }, true),
            (true, PutOptions { expires_ms: Some(1 << 40), ..plain }, true),
        ] {
            write(&mut bench, table, b"k", appends, options);
            assert_eq!(is_compact(&mut bench, table, b"k"), compact, "{home:?}: {appends}, {options:?}");
        }
        let pair = bench.get(table, b"k").unwrap();
        assert_eq!((pair.compressed, pair.expires_ms), (true, Some(1 << 40)), "the others are kept beside it");
        if home == TableHome::Persistent {
            bench.reopen();
            assert!(is_compact(&mut bench, table, b"k"), "after an open");
        }
        let mut set = CommitSet::new();
        set.upsert(table, b"k", b"", PutOptions { revertible_ms: Some(9_000), ..plain }).unwrap();
        let token = bench.commit(set, Level::Committed).unwrap().versions.as_slice()[0];
        assert!(!is_compact(&mut bench, table, b"k"));
        let mut set = CommitSet::new();
        set.revert(table, b"k", token).unwrap();
        bench.commit(set, Level::Committed).unwrap();
        assert!(is_compact(&mut bench, table, b"k"), "a revert brings it back");
    }
}

/// A build that does not know the flag would take such a record for damage: the store says so before there is one.
#[test]
fn the_first_such_record_marks_the_store() {
    let mut bench = Bench::new(tiny());
    let marked = |bench: &mut Bench| {
        let pages = bench.device.pages();
        let mut image = copy(&mut bench.device, pages);
        let copies = read_copies(&mut Blocking::new(&mut image)).unwrap();
        copies.choose().unwrap().superblock.features.incompatible & Features::COMPACT != 0
    };
    let volatile = bench.create("v", TableKind::Hash, TableHome::Volatile);
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    write(&mut bench, volatile, b"k", false, COMPACT);
    write(&mut bench, table, b"k", false, PutOptions::default());
    assert!(!marked(&mut bench), "what no device sees needs no mark");
    write(&mut bench, table, b"k", true, COMPACT);
    assert!(marked(&mut bench));
    bench.reopen();
    assert_eq!(bench.get(table, b"k").unwrap().value.len(), 800);
}

/// 200,000 records of 100 bytes under keys of 8, in sets of 500: a fifth of the million that was promised, since a page fills the same way.
/// A record has a header of 40 bytes and is padded to a multiple of 8, 152 in all; a page of 4,096 holds 26 of them.
#[test]
fn small_records_take_about_their_bytes() {
    const RECORDS: u64 = 200_000;
    let mut bench = Bench::new(Config { tail_pages: 1024, zero_pages: 64, ..Config::default() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let before = bench.engine.core.log().pages_written();
    for start in (0..RECORDS).step_by(500) {
        let mut set = CommitSet::new();
        for n in start..start + 500 {
            set.insert(table, &crate::index::order_preserving(n), &[7; 100], PutOptions::default()).unwrap();
        }
        bench.commit(set, Level::Persistent).unwrap();
    }
    let pages = bench.engine.core.log().pages_written() - before;
    let full = RECORDS.div_ceil(26);
    // Each set is persistent before the next, so each ends a page early: at most one page a set.
    assert!((full..=full + RECORDS / 500 * 2).contains(&pages), "{pages} pages, {full} if all were full");
    let each = pages * 4096 / RECORDS;
    assert!(each <= 175, "{each} bytes of the device for a record of 100 and a key of 8");
}
