//! Reclaim and checkpoints: space comes back, nobody notices, and an open begins where the checkpoint is.

use super::*;
use proptest::prelude::*;
use segments::{SegmentId, Version};

/// Limits at which everything happens often.
fn busy() -> Config {
    Config {
        reclaims: true,
        spare_segments: 3,
        reclaim_dead_percent: 30,
        reclaim_batch_pages: 8,
        checkpoint_pages: 24,
        ..tiny()
    }
}

/// Lets what is done beside the operations come to its end.
fn rest<D: Device>(bench: &mut Bench<D>) {
    for _ in 0..400 {
        bench.run();
    }
}

fn segments<D: Device>(bench: &mut Bench<D>) -> (u32, u32) {
    let Answer::Status(status) = bench.call(Op::Status).unwrap() else { panic!("another answer") };
    (status.segments, status.segments_free)
}

#[test]
fn space_that_is_overwritten_comes_back() {
    for kind in [TableKind::Hash, TableKind::Ordered] {
        let mut bench = Bench::new(busy());
        let table = bench.create("t", kind, TableHome::Persistent);
        let cold: Vec<u32> = (1000..1020).collect();
        for n in &cold {
            bench.put(table, &n.to_le_bytes(), &[3; 700]);
        }
        for n in 0..6_000_u32 {
            bench.put(table, &(n % 40).to_le_bytes(), &n.to_le_bytes().repeat(100));
        }
        rest(&mut bench);
        let (all, free) = segments(&mut bench);
        // 6,000 values of 400 bytes are 44 segments of 14 pages; what lives are two.
        assert!(all < 24, "{all} segments, {free} free: space does not come back");
        let report = bench.reopen();
        assert!(report.checkpoint.is_some(), "{report:?}");
        assert!(report.checkpoints_passed_over.is_empty(), "{report:?}");
        for n in 5_960..6_000_u32 {
            assert_eq!(bench.get(table, &(n % 40).to_le_bytes()).unwrap().value, n.to_le_bytes().repeat(100));
        }
        for n in &cold {
            assert_eq!(bench.get(table, &n.to_le_bytes()).unwrap().value, [3; 700], "what is not written again moves");
        }
    }
}

#[test]
fn an_idle_store_is_idle() {
    let mut bench = Bench::new(busy());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for n in 0..800_u32 {
        bench.put(table, &(n % 40).to_le_bytes(), &[1; 400]);
    }
    bench.force();
    rest(&mut bench);
    let mut requests = Vec::new();
    for _ in 0..100 {
        bench.now.nanos += 10_000_000;
        let wake = bench.engine.turn(bench.now);
        bench.engine.take_requests(&mut requests);
        assert!(requests.is_empty() && wake.is_none(), "{requests:?}, {wake:?}");
    }
}

/// Of a segment just below the threshold nothing moves; with one more dead record it is emptied, and its room goes back to the device.
#[test]
fn a_segment_is_reclaimed_when_enough_of_it_is_dead() {
    let mut bench = Bench::new(Config { reclaim_dead_percent: 50, spare_segments: 0, ..busy() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for n in 0..100_u32 {
        bench.put(table, &n.to_le_bytes(), &[7; 400]);
    }
    bench.force();
    let in_first = |bench: &Bench| bench.engine.core.records.map.get(SegmentId(0));
    let records = in_first(&bench).records;
    // What the catalog wrote there counts too, and some of it is dead already.
    let mut n = 0;
    while (in_first(&bench).dead() + 1) * 100 < 50 * records {
        bench.put(table, &u32::to_le_bytes(n), b"elsewhere");
        n += 1;
    }
    rest(&mut bench);
    assert_eq!(bench.engine.core.counters.moved_bytes, 0, "{:?}", in_first(&bench));
    bench.put(table, &n.to_le_bytes(), b"elsewhere");
    bench.put(table, &(n + 1).to_le_bytes(), b"elsewhere");
    let mut punched = 0;
    for _ in 0..400 {
        bench.run_seeing(&mut |request| punched += u32::from(matches!(request, Request::Punch { .. })));
    }
    assert!(bench.engine.core.counters.moved_bytes > 0, "{:?}", in_first(&bench));
    for n in 60..100_u32 {
        assert_eq!(bench.get(table, &n.to_le_bytes()).unwrap().value, [7; 400]);
    }
    for n in 0..2_000_u32 {
        bench.put(table, &(n % 10).to_le_bytes(), &[8; 400]);
        bench.run_seeing(&mut |request| punched += u32::from(matches!(request, Request::Punch { .. })));
    }
    assert!(punched > 0, "no room went back to the device");
}

/// A place that a reader has found is not used anew before it has read.
#[test]
fn what_a_reader_under_way_has_found_is_not_overwritten() {
    let mut bench = Bench::new(Config { cache_bytes: 0, ..busy() });
    let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
    for n in 0..60_u8 {
        bench.put(table, &[n], &[n; 600]);
    }
    bench.force();
    rest(&mut bench);
    bench.call(Op::DropCache).unwrap();
    let op = Op::Next {
        table,
        from: Cursor::Start,
        until: None,
        direction: Direction::Next,
        pairs_max: 40,
        bytes_max: 1 << 20,
    };
    bench.engine.submit(OpId(9_000), op, bench.now);
    let mut held = Vec::new();
    bench.engine.take_requests(&mut held);
    assert!(held.iter().any(|(_, request)| matches!(request, Request::Read { .. })), "it reads");
    let freed = bench.engine.reclaimed().segments_freed;
    for round in 0..60_u8 {
        for n in 0..60_u8 {
            bench.put(table, &[n], &[round; 600]);
        }
    }
    rest(&mut bench);
    assert_eq!(bench.engine.reclaimed().segments_freed, freed, "a segment was given back under a reader");
    for (tag, request) in held {
        bench.device.submit(tag, request);
    }
    let mut answers = Vec::new();
    for _ in 0..200 {
        bench.run();
        bench.engine.take_answers(&mut answers);
    }
    let Some((_, Ok(Answer::Pairs { pairs, .. }))) = answers.iter().find(|(id, _)| *id == OpId(9_000)) else {
        panic!("{answers:?}")
    };
    assert_eq!(pairs.len(), 40);
    assert!(pairs.iter().all(|pair| pair.value == vec![pair.key[0]; 600]), "it reads what was there when it began");
    rest(&mut bench);
    assert!(bench.engine.reclaimed().segments_freed > freed, "space waits for the reader, and comes back then");
}

/// One step of a program.
#[derive(Clone, Debug)]
enum Step {
    Put { table: usize, key: u8, bytes: u16 },
    Append { table: usize, key: u8, bytes: u16 },
    Delete { table: usize, key: u8 },
    Expiring { table: usize, key: u8, after_ms: u64 },
    Revertible { table: usize, key: u8 },
    Rest(u16),
    Force,
    Reopen,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (table, key) = (0..3_usize, 0..12_u8);
    let one = prop_oneof![
        12 => (table.clone(), key.clone(), prop_oneof![0..900_u16, 3_000..12_000_u16])
            .prop_map(|(table, key, bytes)| Step::Put { table, key, bytes }),
        6 => (table.clone(), key.clone(), 1..2_500_u16).prop_map(|(table, key, bytes)| Step::Append { table, key, bytes }),
        3 => (table.clone(), key.clone()).prop_map(|(table, key)| Step::Delete { table, key }),
        2 => (table.clone(), key.clone(), 1..40_u64)
            .prop_map(|(table, key, after_ms)| Step::Expiring { table, key, after_ms }),
        1 => (table, key).prop_map(|(table, key)| Step::Revertible { table, key }),
        4 => (1..60_u16).prop_map(Step::Rest),
        1 => Just(Step::Force),
        1 => Just(Step::Reopen),
        1 => Just(Step::Close),
    ];
    proptest::collection::vec(one, 30..160)
}

/// What a pair is: its value, its version, when its time is over.
type Known = BTreeMap<(usize, u8), (Vec<u8>, Version, Option<u64>)>;

struct Program {
    bench: Bench,
    tables: [TableId; 3],
    known: Known,
}

impl Program {
    fn new(config: Config) -> Self {
        let mut bench = Bench::new(config);
        let tables = [TableKind::Hash, TableKind::Ordered, TableKind::Hash].map(|kind| {
            let name = format!("t{}", bench.next);
            bench.create(&name, kind, TableHome::Persistent)
        });
        Self { bench, tables, known: BTreeMap::new() }
    }

    fn now_ms(&mut self) -> u64 {
        self.bench.now.unix_ms = self.bench.now.nanos / 1_000_000;
        self.bench.now.unix_ms
    }

    fn put(&mut self, table: usize, key: u8, value: Vec<u8>, options: PutOptions) {
        let mut set = CommitSet::new();
        set.upsert(self.tables[table], &[key], &value, options).unwrap();
        let committed = self.bench.commit(set, Level::Committed).unwrap();
        self.known.insert((table, key), (value, committed.versions.as_slice()[0], options.expires_ms));
    }

    fn step(&mut self, number: usize, step: &Step) {
        let now_ms = self.now_ms();
        let fill = u8::try_from(number % 251).unwrap();
        match *step {
            Step::Put { table, key, bytes } => {
                self.put(table, key, vec![fill; usize::from(bytes)], PutOptions::default())
            }
            Step::Expiring { table, key, after_ms } => {
                let options = PutOptions { expires_ms: Some(now_ms + after_ms), ..PutOptions::default() };
                self.put(table, key, vec![fill; 300], options);
            }
            Step::Revertible { table, key } => {
                let options = PutOptions { revertible_ms: Some(5), ..PutOptions::default() };
                self.put(table, key, vec![fill; 200], options);
            }
            Step::Append { table, key, bytes } => {
                let mut set = CommitSet::new();
                let added = vec![fill; usize::from(bytes)];
                set.append(self.tables[table], &[key], &added, PutOptions::default(), Expect::Any).unwrap();
                let committed = self.bench.commit(set, Level::Committed).unwrap();
                let before = self.known.remove(&(table, key)).filter(|(.., over)| over.is_none_or(|at| at > now_ms));
                let (mut value, _, over) = before.unwrap_or((Vec::new(), Version::default(), None));
                value.extend(added);
                self.known.insert((table, key), (value, committed.versions.as_slice()[0], over));
            }
            Step::Delete { table, key } => {
                let mut set = CommitSet::new();
                set.remove(self.tables[table], &[key]).unwrap();
                self.bench.commit(set, Level::Committed).unwrap();
                self.known.remove(&(table, key));
            }
            Step::Rest(turns) => (0..turns).for_each(|_| self.bench.run()),
            Step::Force => drop(self.bench.force()),
            Step::Reopen => {
                self.bench.force();
                self.bench.reopen();
            }
            Step::Close => {
                self.bench.force();
                while self.bench.engine.close().is_pending() {
                    self.bench.run();
                }
                self.bench.reopen();
            }
        }
    }

    /// What is counted by segment is what the indexes name.
    fn check_counts(&self) {
        let core = &self.bench.engine.core;
        let tables = core.catalog.tables().filter(|table| table.home() == TableHome::Persistent);
        let pairs: u64 = tables.map(|table| table.pairs()).sum();
        let live: u64 = core.records.map.iter().map(|(_, state)| u64::from(state.live)).sum();
        assert_eq!(live, pairs, "live records by segment, and pairs of all tables");
    }

    fn check(&mut self) {
        self.check_counts();
        let now_ms = self.now_ms();
        for table in 0..3 {
            for key in 0..12 {
                let found = self.bench.get(self.tables[table], &[key]).map(|pair| (pair.value, pair.version));
                let known = self.known.get(&(table, key)).filter(|(.., over)| over.is_none_or(|at| at > now_ms));
                let known = known.map(|(value, version, _)| (value.clone(), *version));
                assert_eq!(found.as_ref().map(|found| found.1), known.as_ref().map(|known| known.1), "{table} {key}");
                assert!(found == known, "table {table}, key {key}: another value under the same version");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn nobody_notices(
        program in steps(),
        (dead, checkpoint_pages) in prop_oneof![Just((1_u8, 8_u64)), Just((30, 24)), Just((60, 100))],
        (fingerprint_bits, cache_bytes) in prop_oneof![Just((64_u8, 4096_usize)), Just((64, 0)), Just((4, 100_000))],
        segment_pages in prop_oneof![Just(16_u32), Just(40)],
    ) {
        let config = Config { reclaim_dead_percent: dead, checkpoint_pages, fingerprint_bits, cache_bytes, segment_pages, ..busy() };
        let mut run = Program::new(config);
        for (number, step) in program.iter().enumerate() {
            run.step(number, step);
            if number % 16 == 0 {
                run.check();
            }
        }
        run.check();
        run.bench.force();
        rest(&mut run.bench);
        run.check();
        run.bench.reopen();
        run.check();
    }
}
