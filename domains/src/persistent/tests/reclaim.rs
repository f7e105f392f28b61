//! Reclaim and checkpoints: space comes back, nobody notices, and an open begins where the checkpoint is.

use super::*;
use crate::seam::{Reclaimed, SegmentUse, Status};
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

/// What a pass does is told once it is done.
fn reclaimed<D: Device>(bench: &mut Bench<D>) -> Reclaimed {
    let Answer::Reclaimed(done) = bench.call(Op::Reclaim).unwrap() else { panic!("another answer") };
    done
}

fn status<D: Device>(bench: &mut Bench<D>) -> Box<Status> {
    let Answer::Status(status) = bench.call(Op::Status).unwrap() else { panic!("another answer") };
    status
}

/// Limits at which nothing is reclaimed that nobody asks for.
fn patient() -> Config {
    Config { reclaim_dead_percent: 100, checkpoint_pages: 1 << 40, ..busy() }
}

/// Fills segments of which a third is dead.
fn fill(bench: &mut Bench, table: TableId) {
    for n in 0..600_u32 {
        bench.put(table, &n.to_le_bytes(), &[7; 300]);
    }
    for n in (0..600_u32).step_by(3) {
        bench.put(table, &n.to_le_bytes(), &[8; 20]);
    }
    bench.force();
}

#[test]
fn a_pass_that_is_asked_for_gives_back_what_is_below_the_threshold_too() {
    let mut bench = Bench::new(patient());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    fill(&mut bench, table);
    rest(&mut bench);
    let before = status(&mut bench);
    assert_eq!((before.reclaim.segments_freed, before.checkpoints.begun), (0, 0), "nobody has asked: {before:?}");
    assert!(before.reclaim.on && before.space.log.records > before.space.log.live, "{before:?}");
    let done = reclaimed(&mut bench);
    assert!(done.segments > 3 && done.segments_freed >= u64::from(done.segments), "{done:?}");
    assert!(done.records_moved >= 300 && done.bytes_moved > 300 * 300, "{done:?}");
    assert_eq!((done.segments_waiting, done.batches_failed, done.checkpoints_failed), (0, 0, 0), "{done:?}");
    assert!(done.checkpoints >= 2, "what was emptied is free when two later checkpoints are kept: {done:?}");
    let after = status(&mut bench);
    assert!(after.space.log.segments < before.space.log.segments, "{before:?} {after:?}");
    assert!(after.space.table.segments > 0 && after.space.table.records == after.space.table.live, "{after:?}");
    assert_eq!(after.reclaim.records_moved, done.records_moved);
    assert_eq!(after.checkpoints.kept.len(), 2, "{after:?}");
    assert_eq!((after.reclaim.pass_segments, after.reclaim.pass_left), (0, 0), "none is under way");
    for n in 0..600_u32 {
        let value = bench.get(table, &n.to_le_bytes()).unwrap().value;
        assert_eq!(value, if n % 3 == 0 { vec![8; 20] } else { vec![7; 300] });
    }
    let report = bench.reopen();
    assert_eq!(status(&mut bench).checkpoints.recovered, report.checkpoint);
    assert!(report.checkpoint.is_some(), "{report:?}");
}

#[test]
fn a_pass_with_nothing_to_win_writes_a_checkpoint_and_ends() {
    let mut bench = Bench::new(patient());
    for round in 1..=3_u64 {
        let done = reclaimed(&mut bench);
        assert_eq!((done.segments, done.segments_freed, done.records_moved), (0, 0, 0), "{done:?}");
        assert_eq!((done.checkpoints, done.checkpoints_failed), (1, 0), "round {round}: {done:?}");
        assert_eq!(status(&mut bench).checkpoints.begun, round);
    }
}

#[test]
fn who_asks_at_the_same_time_is_answered_together_and_the_store_is_idle_then() {
    let mut bench = Bench::new(patient());
    let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
    fill(&mut bench, table);
    let asked: Vec<OpId> = (0..3).map(|n| OpId((1 << 40) + n)).collect();
    asked.iter().for_each(|id| bench.engine.submit(*id, Op::Reclaim, bench.now));
    let mut answers = Vec::new();
    for _ in 0..4_000 {
        bench.run();
        bench.engine.take_answers(&mut answers);
    }
    let done: Vec<_> = answers.iter().filter(|(id, _)| asked.contains(id)).map(|(_, answer)| answer.clone()).collect();
    assert_eq!(done.len(), 3, "{answers:?}");
    assert!(done.iter().all(|one| *one == done[0]), "{done:?}");
    let Ok(Answer::Reclaimed(first)) = &done[0] else { panic!("{done:?}") };
    assert_eq!(status(&mut bench).checkpoints.begun, first.checkpoints, "one pass served all of them");
    let mut requests = Vec::new();
    for _ in 0..100 {
        bench.now.nanos += 10_000_000;
        let wake = bench.engine.turn(bench.now);
        bench.engine.take_requests(&mut requests);
        assert!(requests.is_empty() && wake.is_none(), "{requests:?}, {wake:?}");
    }
}

#[test]
fn a_pass_that_nobody_waits_for_any_more_is_given_up_and_nothing_is_lost() {
    let mut bench = Bench::new(patient());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    fill(&mut bench, table);
    let (id, asker) = (OpId(1 << 40), crate::seam::Asker::Connection(7));
    bench.engine.submit_for(asker, id, Op::Reclaim, bench.now);
    (0..3).for_each(|_| bench.run());
    bench.engine.gone(asker, bench.now);
    let mut answers = Vec::new();
    for _ in 0..4_000 {
        bench.run();
        bench.engine.take_answers(&mut answers);
    }
    let [(answered, Ok(Answer::Reclaimed(done)))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((*answered, done.checkpoints), (id, 0), "it is answered, and went no further: {done:?}");
    // The next who asks gets all of it.
    let done = reclaimed(&mut bench);
    assert!(done.segments_freed > 3, "{done:?}");
    for n in 0..600_u32 {
        assert!(bench.get(table, &n.to_le_bytes()).is_some());
    }
}

#[test]
fn reclaim_is_refused_where_it_is_off() {
    let mut bench = Bench::new(tiny());
    let refused = bench.call(Op::Reclaim);
    assert_eq!(refused.as_ref().map_err(Error::code), Err(316), "{refused:?}");
    assert!(!status(&mut bench).reclaim.on);
}

#[test]
fn segments_are_told_without_a_gap_and_sum_to_the_device() {
    let mut bench = Bench::new(busy());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let large = vec![9; 200_000];
    for n in 0..2_000_u32 {
        bench.put(table, &(n % 90).to_le_bytes(), &n.to_le_bytes().repeat(90));
        if n % 200 == 0 {
            bench.put(table, &n.to_le_bytes(), &large);
        }
        if n % 100 == 0 {
            check_segments(&mut bench);
        }
    }
    bench.force();
    bench.reopen();
    check_segments(&mut bench);
    reclaimed(&mut bench);
    check_segments(&mut bench);
}

fn check_segments<D: Device>(bench: &mut Bench<D>) {
    let status = status(bench);
    let Answer::Segments(told) = bench.call(Op::Segments { from: SegmentId(0) }).unwrap() else { panic!() };
    let mut next = 0;
    let mut by_use: BTreeMap<SegmentUse, (u32, u64, u64)> = BTreeMap::new();
    for run in &told.runs {
        assert_eq!(run.segment.0, next, "a gap, or twice: {run:?}");
        assert!(run.live <= run.records && run.pages <= run.segments * told.segment_pages, "{run:?}");
        next += run.segments;
        let of = by_use.entry(run.used).or_default();
        *of = (of.0 + run.segments, of.1 + u64::from(run.records), of.2 + u64::from(run.live));
    }
    assert_eq!((next, told.more), (status.segments, false));
    let of = |used: SegmentUse| by_use.get(&used).copied().unwrap_or_default();
    let space = status.space;
    for (used, of_status) in
        [(SegmentUse::Log, space.log), (SegmentUse::Table, space.table), (SegmentUse::Waiting, space.waiting)]
    {
        assert_eq!(of(used), (of_status.segments, of_status.records, of_status.live), "{used:?}");
    }
    assert_eq!(of(SegmentUse::Checkpoint).0, space.checkpoint.segments);
    assert_eq!(of(SegmentUse::Free).0, status.segments_free + space.aside, "{status:?}");
    // From a segment on it is the rest, from the middle of a run too.
    let from = SegmentId(next / 2);
    let Answer::Segments(rest) = bench.call(Op::Segments { from }).unwrap() else { panic!() };
    assert_eq!(rest.runs.first().map(|run| run.segment), Some(from).filter(|_| next > 0));
    assert_eq!(rest.runs.iter().map(|run| run.segments).sum::<u32>(), next - from.0);
}

/// A segment that is full of copies which no index names yet is not taken for an empty one.
#[test]
fn copies_are_not_given_back_before_they_are_named() {
    let config = Config { reclaim_batch_pages: 64, reclaim_dead_percent: 10, reclaim_interval_nanos: 0, ..busy() };
    let mut bench = Bench::new(config);
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for n in 0..400_u32 {
        bench.put(table, &n.to_le_bytes(), &[1; 500]);
    }
    for round in 0..40_u32 {
        for n in (round % 4..400).step_by(4) {
            bench.put(table, &n.to_le_bytes(), &round.to_le_bytes().repeat(120));
        }
    }
    rest(&mut bench);
    let core = &bench.engine.core;
    let pairs: u64 = core.catalog.tables().map(|table| table.pairs()).sum();
    let live: u64 = core.records.map.iter().map(|(_, state)| u64::from(state.live)).sum();
    assert_eq!(live, pairs);
    for n in 0..400_u32 {
        assert!(bench.get(table, &n.to_le_bytes()).is_some());
    }
}
