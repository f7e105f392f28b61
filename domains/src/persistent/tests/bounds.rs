//! What one operation may hold, and for how long one step may work, whatever a table has.

use super::*;

/// Fills a table with so many pairs that end at once.
fn fill(bench: &mut Bench, table: TableId, kind: TableKind, pairs: u32, expires_ms: Option<u64>) {
    for first in (0..pairs).step_by(1000) {
        let keys: Vec<Vec<u8>> = if kind == TableKind::Sack {
            let Answer::Reserved(keys) = bench.call(Op::Reserve { table, count: 1000 }).unwrap() else { panic!() };
            keys.into_iter().map(Vec::from).collect()
        } else {
            (first..first + 1000).map(|n| n.to_le_bytes().to_vec()).collect()
        };
        let mut set = CommitSet::new();
        for key in keys {
            set.insert(
                table,
                &key,
                b"value",
                PutOptions { expires_ms, compressed: false, compact: false, revertible_ms: None },
            )
            .unwrap();
        }
        bench.commit(set, Level::Committed).unwrap();
    }
}

/// A compare wants a version: what it was read out of is not kept until the commit ends.
#[test]
fn a_commit_keeps_no_value_of_what_it_compares() {
    const RECORDS: u32 = 200;
    for kind in [TableKind::Hash, TableKind::Ordered] {
        let mut bench = Bench::new(tiny());
        let table = bench.create("t", kind, TableHome::Persistent);
        let mut set = CommitSet::new();
        for n in 0..RECORDS {
            let key = n.to_le_bytes();
            let version = bench.put(table, &key, &[7; 30_000]).versions.as_slice()[0];
            set.compare(table, &key, Expect::At(version)).unwrap();
        }
        bench.force();
        bench.call(Op::DropCache).unwrap();
        let reads = bench.engine.core.counters.device_reads;
        let set_bytes = set.bytes();
        bench.engine.submit(OpId(1 << 40), Op::Commit { set, level: Level::Committed }, bench.now);
        let (mut answers, mut held_max) = (Vec::new(), 0);
        while answers.is_empty() {
            held_max = held_max.max(bench.engine.compared_bytes());
            bench.run();
            bench.engine.take_answers(&mut answers);
        }
        assert!(answers[0].1.is_ok(), "{answers:?}");
        assert_eq!(bench.engine.core.counters.device_reads - reads, u64::from(RECORDS), "each is read once");
        assert!(held_max > 0 && held_max <= set_bytes + 48 * RECORDS as usize, "{held_max} bytes held");
    }
}

#[test]
fn an_iteration_through_what_has_expired_lets_others_have_their_turn() {
    for kind in [TableKind::Hash, TableKind::Ordered, TableKind::Sack] {
        let mut bench = Bench::new(tiny());
        let table = bench.create("t", kind, TableHome::Volatile);
        fill(&mut bench, table, kind, 40_000, Some(5));
        bench.now.unix_ms = 10;
        for pairs_max in [1, 100, 8_192] {
            let op = Op::Next {
                table,
                from: Cursor::Start,
                until: None,
                direction: Direction::Next,
                pairs_max,
                bytes_max: 1 << 20,
            };
            bench.engine.submit(OpId(1 << 40), op, bench.now);
            let (mut answers, mut turns) = (Vec::new(), 0);
            bench.engine.take_answers(&mut answers);
            while answers.is_empty() {
                let wake = bench.engine.turn(bench.now);
                bench.engine.take_answers(&mut answers);
                assert!(!answers.is_empty() || wake == Some(bench.now), "it asks for another turn at once");
                turns += 1;
            }
            assert_eq!(answers[0].1, Ok(Answer::Pairs { pairs: vec![], more: false }));
            assert!((3..=10).contains(&turns), "{turns} turns for 40,000 pairs, {kind:?}, {pairs_max} at a time");
        }
    }
}

#[test]
fn a_destroyed_table_gives_its_memory_back_a_little_a_turn() {
    for kind in [TableKind::Hash, TableKind::Ordered, TableKind::Sack] {
        for home in [TableHome::Volatile, TableHome::Persistent] {
            let mut bench = Bench::new(tiny());
            let kept = bench.create("kept", kind, TableHome::Volatile);
            fill(&mut bench, kept, kind, 1000, None);
            let heap_before = bench.engine.core.records.heap.bytes();
            let table = bench.create("t", kind, home);
            fill(&mut bench, table, kind, 50_000, None);
            bench.force();
            bench.engine.submit(OpId(1 << 40), Op::DestroyTable { name: "t".to_owned() }, bench.now);
            while bench.engine.core.table(table).is_ok() {
                bench.run();
            }
            let (mut turns, mut heap) = (0, bench.engine.core.records.heap.bytes());
            while !bench.engine.core.leaving.is_empty() {
                let wake = bench.engine.turn(bench.now);
                assert!(bench.engine.core.leaving.is_empty() || wake == Some(bench.now), "{wake:?}");
                let left = bench.engine.core.records.heap.bytes();
                assert!(heap - left <= 6_000 * 64, "one turn took {} bytes of records", heap - left);
                heap = left;
                turns += 1;
            }
            assert!(turns >= 4, "{turns} turns, {kind:?} {home:?}");
            assert_eq!(bench.engine.core.records.heap.bytes(), heap_before);
            assert_eq!(bench.all(kept, 100).len(), 1000);
        }
    }
}

/// Free segments are those that were taken ahead of the log.
#[test]
fn free_segments_are_counted() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let mut seen = std::collections::BTreeSet::new();
    for n in 0u32..200 {
        bench.put(table, &n.to_le_bytes(), &[1; 1000]);
        bench.run();
        let Answer::Status(status) = bench.call(Op::Status).unwrap() else { panic!() };
        assert!(status.segments_free < status.segments, "{status:?}");
        seen.insert(status.segments_free);
    }
    assert!(seen.contains(&0) && seen.contains(&1), "{seen:?}");
}
