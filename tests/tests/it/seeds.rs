//! The failures of the projects that this one grew out of, each by its name, and none of them ours; and what damage may do.
//!
//! Contract: these tests change bytes of the device behind the store's back, refuse room, fail writes and flushes. After each
//! there is what was promised or an error that says what is wrong, never other data.

mod damage;
mod faults;
mod torn;

use crate::bench::{Bench, tiny};
use crate::column::{pair_of, plain};
use domains::config::Config;
use domains::schema::{TableHome, TableKind};
use domains::{Answer, Committed, Engine, Error, Level, Op, Status};
use segments::memory::MemoryDevice;
use segments::{Device, EpochId, TableId};
use std::collections::BTreeMap;
use txn::{CommitSet, PutOptions};

/// A table of plain bytes.
fn create<V: Device>(bench: &mut Bench<Engine, V>, name: &str, kind: TableKind) -> TableId {
    let op = Op::CreateTable { name: name.to_owned(), spec: plain(kind, TableHome::Persistent) };
    match bench.call(op).unwrap() {
        Answer::Table(info) => info.id,
        other => panic!("{other:?}"),
    }
}

fn commit<V: Device>(bench: &mut Bench<Engine, V>, set: CommitSet, level: Level) -> Result<Committed, Error> {
    match bench.call(Op::Commit { set, level })? {
        Answer::Committed(committed) => Ok(committed),
        other => panic!("{other:?}"),
    }
}

fn put<V: Device>(bench: &mut Bench<Engine, V>, table: TableId, key: &[u8], value: &[u8]) -> Result<EpochId, Error> {
    let mut set = CommitSet::new();
    set.upsert(table, key, value, PutOptions::default()).unwrap();
    commit(bench, set, Level::Committed).map(|committed| committed.epoch)
}

fn get<V: Device>(bench: &mut Bench<Engine, V>, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    bench.call(Op::Lookup { table, key: key.to_vec() }).map(|answer| pair_of(answer).map(|pair| pair.value))
}

fn force<V: Device>(bench: &mut Bench<Engine, V>) {
    bench.call(Op::Force).unwrap();
}

fn status<V: Device>(bench: &mut Bench<Engine, V>) -> Status {
    match bench.call(Op::Status).unwrap() {
        Answer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn bench() -> Bench {
    Bench::format(MemoryDevice::new(0), &tiny())
}

/// Everything that a test has put.
type Wanted = BTreeMap<Vec<u8>, Vec<u8>>;

#[track_caller]
fn check<V: Device>(bench: &mut Bench<Engine, V>, table: TableId, wanted: &Wanted) {
    for (key, value) in wanted {
        assert_eq!(get(bench, table, key).unwrap().as_ref(), Some(value), "{key:?}");
    }
}

/// Puts `count` pairs of about `bytes`, forcing every twentieth.
fn fill(bench: &mut Bench, table: TableId, count: u16, bytes: usize) -> Wanted {
    let mut wanted = Wanted::new();
    for number in 0..count {
        let (key, value) =
            (number.to_le_bytes().to_vec(), vec![number.to_le_bytes()[0]; bytes + usize::from(number % 9)]);
        put(bench, table, &key, &value).unwrap();
        wanted.insert(key, value);
        if number % 20 == 19 {
            force(bench);
        }
    }
    force(bench);
    wanted
}

/// Setting a key after a reopen emptied the index of all that the log had before.
#[test]
fn set_after_reopen_keeps_the_old_keys() {
    for kind in [TableKind::Hash, TableKind::Ordered] {
        let mut bench = bench();
        let table = create(&mut bench, "t", kind);
        let mut wanted = fill(&mut bench, table, 30, 50);
        for life in 0..5_u8 {
            bench.reopen(&tiny()).unwrap();
            put(&mut bench, table, &[life], b"after").unwrap();
            wanted.insert(vec![life], b"after".to_vec());
            check(&mut bench, table, &wanted);
            force(&mut bench);
        }
        let report = bench.reopen(&tiny()).unwrap();
        assert_eq!(report.pairs, wanted.len() as u64);
        check(&mut bench, table, &wanted);
    }
}

/// What was set while a segment was sealed fell between the old segment and the new one.
#[test]
fn set_after_seal_is_kept() {
    for kind in [TableKind::Hash, TableKind::Ordered] {
        let mut bench = bench();
        let table = create(&mut bench, "t", kind);
        let mut wanted = fill(&mut bench, table, 400, 400);
        // Every key once more, so that most of what the summaries name is dead.
        for (number, (key, value)) in wanted.iter_mut().enumerate().filter(|(number, _)| number % 3 != 0) {
            *value = vec![9; number % 700];
            put(&mut bench, table, key, value).unwrap();
        }
        force(&mut bench);
        assert!(status(&mut bench).segments >= 8, "several segments were sealed");
        let report = bench.reopen(&tiny()).unwrap();
        assert!(report.summaries_used >= 5, "recovery went through the summaries: {report:?}");
        check(&mut bench, table, &wanted);
        put(&mut bench, table, b"after", b"seal").unwrap();
        wanted.insert(b"after".to_vec(), b"seal".to_vec());
        force(&mut bench);
        let report = bench.reopen(&tiny()).unwrap();
        assert_eq!(report.pairs, wanted.len() as u64);
        check(&mut bench, table, &wanted);
    }
}

/// A restarted server answered from an empty map.
#[test]
fn a_restarted_store_is_not_empty() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Hash);
    let mut set = CommitSet::new();
    set.insert(table, b"k", b"v", PutOptions::default()).unwrap();
    commit(&mut bench, set, Level::Persistent).unwrap();
    let report = bench.reopen(&tiny()).unwrap();
    assert_eq!((report.pairs, report.incarnation.0), (1, 2));
    let Answer::Tables(tables) = bench.call(Op::ListTables).unwrap() else { panic!("a listing") };
    assert_eq!(tables.iter().map(|info| (info.name.as_str(), info.id)).collect::<Vec<_>>(), [("t", table)]);
    assert_eq!(get(&mut bench, table, b"k").unwrap().unwrap(), b"v");
}

/// An empty value was taken for a deleted pair.
#[test]
fn an_empty_value_is_a_value() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Hash);
    put(&mut bench, table, b"k", b"").unwrap();
    for _ in 0..2 {
        assert_eq!(get(&mut bench, table, b"k").unwrap(), Some(Vec::new()));
        assert_eq!(get(&mut bench, table, b"other").unwrap(), None);
        force(&mut bench);
        bench.reopen(&tiny()).unwrap();
    }
}

/// Overwriting with fewer bytes panicked in the count of live bytes, or left the old end behind the new value.
#[test]
fn a_smaller_overwrite_works() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Hash);
    for bytes in [100_000, 5_000, 4_000, 10, 0, 1, 70_000, 2] {
        put(&mut bench, table, b"k", &vec![7; bytes]).unwrap();
        for _ in 0..2 {
            assert_eq!(get(&mut bench, table, b"k").unwrap().unwrap(), vec![7; bytes]);
            force(&mut bench);
            bench.call(Op::DropCache).unwrap();
        }
        let report = bench.reopen(&tiny()).unwrap();
        assert_eq!(report.pairs, 1);
    }
}

/// Two keys with one fingerprint shared a pair. Here every key shares its fingerprint with half of the others.
#[test]
fn two_keys_with_the_same_fingerprint_stay_apart() {
    let narrow = Config { fingerprint_bits: 1, ..tiny() };
    let mut bench = Bench::format(MemoryDevice::new(0), &narrow);
    let table = create(&mut bench, "t", TableKind::Hash);
    let mut wanted = fill(&mut bench, table, 120, 40);
    for number in (0..120_u16).step_by(3) {
        let mut set = CommitSet::new();
        set.delete(table, &number.to_le_bytes()).unwrap();
        commit(&mut bench, set, Level::Committed).unwrap();
        wanted.remove(number.to_le_bytes().as_slice());
    }
    for _ in 0..2 {
        check(&mut bench, table, &wanted);
        for number in (0..120_u16).step_by(3).chain(500..540) {
            assert_eq!(get(&mut bench, table, &number.to_le_bytes()).unwrap(), None, "{number}");
        }
        force(&mut bench);
        assert_eq!(bench.reopen(&narrow).unwrap().pairs, 80);
    }
}

/// An index of a million pairs has at most 20 bytes of memory for each, whatever the keys' length.
#[test]
fn an_index_has_at_most_twenty_bytes_a_pair() {
    const PAIRS: u32 = 1_000_000;
    let mut bench = Bench::format(MemoryDevice::new(0), &Config::default());
    let table = create(&mut bench, "t", TableKind::Hash);
    for first in (0..PAIRS).step_by(20_000) {
        let mut set = CommitSet::new();
        for number in first..first + 20_000 {
            let mut key = [0xEE; 24];
            key[..4].copy_from_slice(&number.to_le_bytes());
            set.upsert(table, &key, b"value", PutOptions::default()).unwrap();
        }
        commit(&mut bench, set, Level::Committed).unwrap();
    }
    let status = status(&mut bench);
    let figures = status.tables.iter().find(|figures| figures.info.id == table).unwrap();
    assert_eq!(figures.pairs, u64::from(PAIRS));
    println!("index: {} bytes for {} pairs", figures.index_bytes, figures.pairs);
    assert!(figures.index_bytes <= 20 * figures.pairs, "{figures:?}");
}

/// A listing of what was written together once read a page again for each record in it.
#[test]
fn a_cold_listing_reads_each_page_once() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Ordered);
    for number in 0u32..200 {
        put(&mut bench, table, &number.to_le_bytes(), &[7; 60]).unwrap();
    }
    force(&mut bench);
    let reads = |bench: &mut Bench| match bench.call(Op::Status).unwrap() {
        Answer::Status(status) => (status.device_reads, status.log_pages),
        other => panic!("{other:?}"),
    };
    bench.call(Op::DropCache).unwrap();
    let (before, pages) = reads(&mut bench);
    let (from, until) = (domains::Cursor::Start, None);
    let next = Op::Next { table, from, until, direction: domains::Direction::Next, pairs_max: 200, bytes_max: 1 << 20 };
    let Answer::Pairs { pairs, .. } = bench.call(next).unwrap() else { panic!("a batch of pairs") };
    assert_eq!(pairs.len(), 200);
    let (after, _) = reads(&mut bench);
    assert!(pages < 40, "the records lie together: {pages} pages");
    // The records are read in two batches, which may meet in one page.
    assert!(after - before <= pages + 1, "{} reads for {pages} pages", after - before);
}
