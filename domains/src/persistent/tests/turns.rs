//! Turns on a hot key, as those see them who want it: who waits for whom, and that nothing is overtaken that could be noticed.

use super::*;
use crate::seam::Asker;
use segments::Version;

const ONE: Asker = Asker::Connection(1);
const TWO: Asker = Asker::Connection(2);
const HOT: &[u8] = b"hot";
/// More failures than make a key hot.
const FAILURES: u64 = 40;

/// An engine with a hot key, of which the first asker has the turn.
struct Crowd {
    bench: Bench,
    table: TableId,
    other: TableId,
    version: Version,
    answers: Vec<(OpId, Result<Answer, Error>)>,
}

fn swap(table: TableId, at: Version, value: &[u8]) -> Op {
    let mut set = CommitSet::new();
    set.compare(table, HOT, Expect::At(at)).unwrap();
    set.upsert(table, HOT, value, PutOptions::default()).unwrap();
    Op::Commit { set, level: Level::Committed }
}

fn upsert(table: TableId, value: &[u8]) -> Op {
    let mut set = CommitSet::new();
    set.upsert(table, b"key", value, PutOptions::default()).unwrap();
    Op::Commit { set, level: Level::Committed }
}

impl Crowd {
    fn new() -> Self {
        let mut bench = Bench::new(tiny());
        let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
        let other = bench.create("other", TableKind::Hash, TableHome::Persistent);
        let version = bench.put(table, HOT, b"0").versions.as_slice()[0];
        let mut crowd = Self { bench, table, other, version, answers: Vec::new() };
        // As soon as the key is hot the one who has failed has the turn, and it fails no more.
        while crowd.bench.engine.core.contention.is_calm() {
            crowd.ask(ONE, FAILURES, swap(table, Version::default(), b"x"));
            assert!(matches!(crowd.take(FAILURES), Some(Err(Error::CompareFailed { .. }))));
        }
        crowd
    }

    fn ask(&mut self, asker: Asker, id: u64, op: Op) {
        self.bench.engine.submit_for(asker, OpId(id), op, self.bench.now);
    }

    fn take(&mut self, id: u64) -> Option<Result<Answer, Error>> {
        self.bench.engine.take_answers(&mut self.answers);
        let at = self.answers.iter().position(|(answered, _)| *answered == OpId(id))?;
        Some(self.answers.swap_remove(at).1)
    }

    /// Lets time pass until the answer comes.
    #[track_caller]
    fn wait(&mut self, id: u64) -> Result<Answer, Error> {
        for _ in 0..1000 {
            if let Some(answer) = self.take(id) {
                return answer;
            }
            self.bench.run();
        }
        panic!("{id} was not answered in 100 ms")
    }

    #[track_caller]
    fn versions(&mut self, id: u64) -> Vec<Version> {
        match self.wait(id) {
            Ok(Answer::Committed(committed)) => committed.versions.as_slice().to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn lookup(&self, table: TableId, key: &[u8]) -> Op {
        Op::Lookup { table, key: key.to_vec() }
    }
}

#[test]
fn who_does_not_have_the_turn_is_not_looked_at_before_it_ends() {
    let mut crowd = Crowd::new();
    let (table, at) = (crowd.table, crowd.version);
    crowd.ask(TWO, 1, swap(table, at, b"two"));
    assert_eq!(crowd.take(1), None, "it would succeed, and it is not its turn");
    crowd.ask(ONE, 2, swap(table, at, b"one"));
    let version = crowd.versions(2)[0];
    let Err(Error::CompareFailed { failures }) = crowd.wait(1) else { panic!("it was looked at behind the other") };
    assert_eq!(failures[0].found, Some(version));
    // Now it has the turn, and the first has not, which knew the version before.
    crowd.ask(ONE, 3, swap(table, version, b"one again"));
    assert_eq!(crowd.take(3), None);
    crowd.ask(TWO, 4, swap(table, version, b"two"));
    let version = crowd.versions(4)[0];
    let Err(Error::CompareFailed { failures }) = crowd.wait(3) else { panic!("it was looked at behind the other") };
    assert_eq!(failures[0].found, Some(version));
}

#[test]
fn who_waits_is_looked_at_when_the_lease_is_over() {
    let mut crowd = Crowd::new();
    let (table, at) = (crowd.table, crowd.version);
    crowd.ask(TWO, 1, swap(table, at, b"two"));
    let before = crowd.bench.now.nanos;
    assert_eq!(crowd.versions(1).len(), 1);
    assert!(crowd.bench.now.nanos - before <= 1_200_000, "a lease is one millisecond, and a turn here a tenth");
}

#[test]
fn what_an_asker_sends_behind_a_commit_that_waits_does_not_overtake_it() {
    let mut crowd = Crowd::new();
    let (table, other, at) = (crowd.table, crowd.other, crowd.version);
    let before = crowd.bench.put(other, b"key", b"before").versions.as_slice()[0];
    crowd.ask(TWO, 1, swap(table, at, b"two"));
    crowd.ask(TWO, 2, crowd.lookup(other, b"key"));
    let Some(Ok(Answer::Pair(Some(pair)))) = crowd.take(2) else { panic!("it has nothing to do with what waits") };
    assert_eq!(pair.version, before);
    crowd.ask(TWO, 3, upsert(other, b"behind"));
    let behind = [
        (4, crowd.lookup(other, b"key")),
        (5, crowd.lookup(table, HOT)),
        (6, Op::LookupMany { table, keys: vec![HOT.to_vec()] }),
        (7, Op::Force),
        (8, Op::ListTables),
        (9, Op::RenameTable { from: "other".into(), to: "another".into() }),
    ];
    for (id, op) in behind {
        crowd.ask(TWO, id, op);
    }
    for id in [1, 3, 4, 5, 6, 7, 8, 9] {
        assert_eq!(crowd.take(id), None, "{id}");
    }
    // Others are not held up.
    crowd.ask(ONE, 10, crowd.lookup(table, HOT));
    let Some(Ok(Answer::Pair(Some(pair)))) = crowd.take(10) else { panic!("a lookup of somebody else") };
    assert_eq!(pair.version, at);
    crowd.ask(ONE, 11, upsert(other, b"between"));
    let between = crowd.versions(11)[0];
    let (first, second) = (crowd.versions(1)[0], crowd.versions(3)[0]);
    assert!(between < first && first < second, "{between} {first} {second}");
    for (id, version) in [(4, second), (5, first)] {
        let Ok(Answer::Pair(Some(pair))) = crowd.wait(id) else { panic!("{id}") };
        assert_eq!(pair.version, version, "{id} sees what was committed before it");
    }
    let Ok(Answer::Many(pairs)) = crowd.wait(6) else { panic!() };
    assert_eq!(pairs[0].as_ref().unwrap().version, first);
    assert!(matches!(crowd.wait(7), Ok(Answer::Persistent(horizon)) if horizon.persistent >= second.epoch));
    assert!(matches!(crowd.wait(8), Ok(Answer::Tables(tables)) if tables.len() >= 2));
    assert!(crowd.wait(9).is_ok());
    for _ in 0..2_000 {
        crowd.bench.run();
    }
    assert!(crowd.bench.engine.is_idle(), "nothing is left");
}

#[test]
fn a_line_stands_behind_the_next_that_waits() {
    let mut crowd = Crowd::new();
    let (table, at) = (crowd.table, crowd.version);
    crowd.ask(TWO, 1, swap(table, Version::default(), b"never"));
    crowd.ask(TWO, 2, swap(table, at, b"two"));
    crowd.ask(TWO, 3, crowd.lookup(table, HOT));
    assert!(matches!(crowd.wait(1), Err(Error::CompareFailed { .. })));
    let version = crowd.versions(2)[0];
    assert!(matches!(crowd.wait(3), Ok(Answer::Pair(Some(pair))) if pair.version == version));
}

#[test]
fn who_is_gone_holds_nobody_up() {
    let mut crowd = Crowd::new();
    let (table, at) = (crowd.table, crowd.version);
    crowd.ask(TWO, 1, swap(table, at, b"two"));
    assert_eq!(crowd.take(1), None);
    crowd.bench.engine.gone(ONE, crowd.bench.now);
    let before = crowd.bench.now.nanos;
    assert_eq!(crowd.versions(1).len(), 1);
    assert!(crowd.bench.now.nanos - before < 1_000_000, "before the lease would have been over");
}

#[test]
fn a_poisoned_engine_lets_nobody_wait() {
    let mut crowd = Crowd::new();
    let (table, at) = (crowd.table, crowd.version);
    crowd.ask(TWO, 1, swap(table, at, b"two"));
    crowd.ask(TWO, 2, upsert(crowd.other, b"behind"));
    crowd.bench.engine.core.poison("a flush failed, says the test".to_owned());
    crowd.bench.engine.turn(crowd.bench.now);
    for id in [1, 2] {
        assert!(matches!(crowd.take(id), Some(Err(Error::Poisoned { .. }))), "{id}");
    }
    crowd.ask(TWO, 3, swap(table, at, b"two"));
    assert!(matches!(crowd.take(3), Some(Err(Error::Poisoned { .. }))));
}

#[test]
fn without_turns_nobody_waits() {
    let mut bench = Bench::new(Config { takes_turns: false, ..tiny() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    bench.put(table, HOT, b"0");
    for id in 0..3 * FAILURES {
        let asker = Asker::Connection(id % 5);
        bench.engine.submit_for(asker, OpId(id), swap(table, Version::default(), b"x"), bench.now);
    }
    let mut answers = Vec::new();
    bench.engine.take_answers(&mut answers);
    assert_eq!(answers.len() as u64, 3 * FAILURES);
}
