//! Transactions that write values out before they commit.

use super::*;
use crate::seam::{StageValue, Status};
use segments::limits::EXTENTS_MAX;
use txn::{Stage, Staged};

impl<D: Device> Bench<D> {
    fn stage(&mut self) -> Stage {
        let Answer::Stage(stage) = self.call(Op::OpenStage).unwrap() else { panic!("another answer") };
        stage
    }

    fn write(
        &mut self,
        stage: &Stage,
        (table, key): (TableId, &[u8]),
        onto: Option<u32>,
        value: &[u8],
    ) -> Result<Option<u32>, Error> {
        let (stage, key, value) = (stage.clone(), key.to_vec(), value.to_vec());
        let what = StageValue { stage, table, key, onto, value, forget: Vec::new() };
        let Answer::Staged(number) = self.call(Op::Stage(Box::new(what)))? else { panic!("another answer") };
        Ok(number)
    }

    fn staged(&mut self, stage: &Stage, table: TableId, key: &[u8], number: u32) -> Result<Vec<u8>, Error> {
        let op = Op::ReadStaged { stage: stage.clone(), number, table, key: key.to_vec() };
        let Answer::Value(value) = self.call(op)? else { panic!("another answer") };
        Ok(value)
    }

    fn status(&mut self) -> Box<Status> {
        let Answer::Status(status) = self.call(Op::Status).unwrap() else { panic!("another answer") };
        status
    }

    /// Bytes of the live records of all tables.
    fn live(&mut self) -> u64 {
        self.status().tables.iter().map(|table| table.record_bytes).sum()
    }

    /// Writes every value of a set out, all but its last bytes, and gives it their numbers.
    fn write_out(&mut self, set: &mut CommitSet, rest: usize) {
        let stage = self.stage();
        set.stage_at(stage.clone());
        for of in set.values_from(rest + 1) {
            let part = set.part(of.position).unwrap();
            let (table, key) = (part.table, part.key.to_vec());
            let value = set.outgrown_value(&of).unwrap().to_vec();
            match self.write(&stage, (table, &key), None, &value).unwrap() {
                Some(number) => set.staged(&of, number),
                None => set.stays(&of),
            }
        }
        set.compact();
    }
}

fn bytes(seed: usize, count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from((at * 7 + seed * 31) % 251).unwrap()).collect()
}

/// A set that puts values from a byte to more than a segment.
fn large(table: TableId) -> (CommitSet, State) {
    let mut set = CommitSet::new();
    let lengths = [1, 300, 4_000, 4_090, 20_000, 70_000];
    let pairs: State = lengths.iter().map(|&count| (count.to_string().into_bytes(), bytes(count, count))).collect();
    for (key, value) in &pairs {
        set.insert(table, key, value, PutOptions::default()).unwrap();
    }
    (set, pairs)
}

#[test]
fn what_was_written_out_lives_with_its_commit() {
    for kind in [TableKind::Hash, TableKind::Ordered] {
        let mut bench = Bench::new(tiny());
        let table = bench.create("t", kind, TableHome::Persistent);
        let (mut set, mut pairs) = large(table);
        bench.write_out(&mut set, 0);
        assert!(set.bytes() < 100, "{} bytes are still in memory", set.bytes());
        let before = bench.status();
        assert_eq!((before.stages, before.unstaged_bytes), (1, 0));
        assert!(before.staged_bytes > 98_000, "{before:?}");
        assert_eq!(bench.all(table, 10), [], "nobody sees it before the commit");
        bench.commit(set, Level::Persistent).unwrap();
        pairs.sort();
        let seen = |bench: &mut Bench| {
            let mut all = bench.all(table, 2);
            all.sort();
            all
        };
        assert_eq!(seen(&mut bench), pairs);
        bench.call(Op::DropCache).unwrap();
        assert_eq!(seen(&mut bench), pairs, "cold");
        let after = bench.status();
        assert_eq!((after.stages, after.staged_bytes, after.unstaged_bytes), (0, 0, 0));
        bench.reopen();
        assert_eq!(seen(&mut bench), pairs, "after a crash");
    }
}

#[test]
fn the_bytes_that_live_are_those_of_the_records() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let empty = bench.live();
    let mut set = CommitSet::new();
    set.insert(table, b"key", &bytes(1, 1_000), PutOptions::default()).unwrap();
    bench.write_out(&mut set, 0);
    assert_eq!(bench.live(), empty, "nothing lives before the commit");
    let staged = bench.status().staged_bytes;
    assert_eq!(staged, 40 + 8 + 1_000 - 8 + 8, "a header, the key and the value, to a multiple of eight");
    bench.commit(set, Level::Committed).unwrap();
    // The pair's record: a header, one name, the key.
    assert_eq!(bench.live() - empty, staged + 64);
    let mut set = CommitSet::new();
    set.delete(table, b"key").unwrap();
    bench.commit(set, Level::Committed).unwrap();
    assert_eq!(bench.live(), empty);
}

#[test]
fn what_is_not_committed_is_dead_and_nobody_sees_it() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
    bench.put(table, b"300", b"before");
    let (live, state) = (bench.live(), bench.all(table, 10));
    // Aborted, failed by a compare, and open at the crash.
    let (mut aborted, _) = large(table);
    bench.write_out(&mut aborted, 0);
    let staged = bench.status().staged_bytes;
    drop(aborted);
    bench.run();
    let status = bench.status();
    assert_eq!((status.stages, status.staged_bytes, status.unstaged_bytes), (0, 0, staged));
    let (mut failed, _) = large(table);
    bench.write_out(&mut failed, 0);
    assert!(matches!(bench.commit(failed, Level::Committed), Err(Error::CompareFailed { .. })));
    let status = bench.status();
    assert_eq!((status.stages, status.staged_bytes, status.unstaged_bytes), (0, 0, 2 * staged));
    assert_eq!((bench.live(), bench.all(table, 10)), (live, state.clone()));
    let (mut open, _) = large(table);
    bench.write_out(&mut open, 0);
    bench.force();
    bench.reopen();
    assert_eq!(bench.all(table, 10), state);
    assert!(matches!(bench.commit(open, Level::Committed), Err(Error::StageGone)), "another life knows nothing of it");
}

#[test]
fn others_become_persistent_while_a_transaction_is_open() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let (mut set, _) = large(table);
    bench.write_out(&mut set, 0);
    for round in 0..20_u8 {
        let mut other = CommitSet::new();
        other.upsert(table, &[round], &bytes(1, 5_000), PutOptions::default()).unwrap();
        let committed = bench.commit(other, Level::Persistent).unwrap();
        assert_eq!(committed.persistence, Persistence::Persistent);
    }
    bench.commit(set, Level::Persistent).unwrap();
    assert_eq!(bench.all(table, 100).len(), 26);
}

#[test]
fn a_value_grows_in_few_pieces_and_is_read_back() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let (stage, mut whole, mut number) = (bench.stage(), Vec::new(), None);
    for round in 0..200 {
        let more = bytes(round, 300 + round);
        number = bench.write(&stage, (table, b"key"), number, &more).unwrap();
        whole.extend(more);
    }
    let number = number.expect("it was written");
    assert_eq!(bench.staged(&stage, table, b"key", number).unwrap(), whole);
    bench.call(Op::DropCache).unwrap();
    assert_eq!(bench.staged(&stage, table, b"key", number).unwrap(), whole, "cold");
    let status = bench.status();
    assert!(status.unstaged_bytes > 0 && status.unstaged_bytes < 8 * status.staged_bytes, "{status:?}");
    let mut set = CommitSet::new();
    set.stage_at(stage);
    let staged = Staged { number, bytes: u32::try_from(whole.len()).unwrap() };
    set.put_staged((table, b"key"), staged, b"the end", PutOptions::default(), Expect::Absent).unwrap();
    whole.extend(b"the end");
    bench.commit(set, Level::Persistent).unwrap();
    assert_eq!(bench.get(table, b"key").unwrap().value, whole);
    bench.reopen();
    assert_eq!(bench.get(table, b"key").unwrap().value, whole);
}

#[test]
fn an_append_that_was_written_out_goes_behind_what_is_there_however_many_pieces_both_have() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let (mut whole, options) = (Vec::new(), PutOptions::default());
    let check = |bench: &mut Bench, whole: &[u8]| {
        let found = bench.get(table, b"key").unwrap().value;
        let differs = found.iter().zip(whole).position(|(one, other)| one != other);
        assert_eq!((found.len(), differs), (whole.len(), None));
    };
    let append = |bench: &mut Bench, more: &[u8], out: bool| {
        let mut set = CommitSet::new();
        set.append(table, b"key", more, options, Expect::Any).unwrap();
        if out {
            bench.write_out(&mut set, 0);
        }
        bench.commit(set, Level::Committed).unwrap();
    };
    for round in 0..3 * EXTENTS_MAX {
        let more = bytes(round, 5_000 / (round % 7 + 1));
        append(&mut bench, &more, round % 3 == 0);
        whole.extend(more);
    }
    let (stage, mut number) = (bench.stage(), None);
    let mut set = CommitSet::new();
    let mut staged = 0;
    for round in 0..EXTENTS_MAX {
        // Each is a little shorter than the one before, so that few are merged.
        let more = bytes(round, 9_000 / (round + 1));
        number = bench.write(&stage, (table, b"key"), number, &more).unwrap();
        staged += more.len();
        whole.extend(more);
    }
    set.stage_at(stage);
    let staged = Staged { number: number.unwrap(), bytes: u32::try_from(staged).unwrap() };
    set.append_staged((table, b"key"), staged, b"", options, Expect::Present).unwrap();
    bench.commit(set, Level::Persistent).unwrap();
    bench.call(Op::DropCache).unwrap();
    check(&mut bench, &whole);
    append(&mut bench, b"more", true);
    whole.extend(b"more");
    bench.force();
    bench.reopen();
    check(&mut bench, &whole);
}

#[test]
fn all_open_transactions_together_may_write_out_so_much() {
    let mut bench = Bench::new(Config { staged_bytes_max: 10_000, ..tiny() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let (one, two) = (bench.stage(), bench.stage());
    let number = bench.write(&one, (table, b"a"), None, &bytes(1, 6_000)).unwrap().unwrap();
    let refused = bench.write(&two, (table, b"b"), None, &bytes(1, 6_000)).unwrap_err();
    assert_eq!((refused.code(), refused.kind()), (313, ErrorKind::Full));
    assert!(refused.to_string().contains("10000") && refused.to_string().contains("staged_bytes_max"), "{refused}");
    // What the first has replaced is no longer counted, and no longer there.
    let what = StageValue {
        stage: one.clone(),
        table,
        key: b"a".to_vec(),
        onto: None,
        value: bytes(2, 100),
        forget: vec![number],
    };
    bench.call(Op::Stage(Box::new(what))).unwrap();
    assert_eq!(bench.staged(&one, table, b"a", number).unwrap_err().code(), 315);
    bench.write(&two, (table, b"b"), None, &bytes(1, 6_000)).unwrap();
    drop((one, two));
    bench.run();
    let after = bench.stage();
    bench.write(&after, (table, b"b"), None, &bytes(1, 9_000)).unwrap();
}

#[test]
fn a_number_holds_for_one_transaction_one_key_and_one_commit() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let other = bench.create("u", TableKind::Hash, TableHome::Persistent);
    let (stage, elsewhere) = (bench.stage(), bench.stage());
    let number = bench.write(&stage, (table, b"key"), None, &bytes(1, 500)).unwrap().unwrap();
    let attempt = |bench: &mut Bench, stage: &Stage, names: &[(TableId, &[u8], u32, u32)]| {
        let mut set = CommitSet::new();
        set.stage_at(stage.clone());
        for &(table, key, number, bytes) in names {
            let staged = Staged { number, bytes };
            set.put_staged((table, key), staged, b"", PutOptions::default(), Expect::Any).unwrap();
        }
        bench.commit(set, Level::Committed).map_err(|error| error.code())
    };
    assert_eq!(attempt(&mut bench, &stage, &[(table, b"yek", number, 500)]).unwrap_err(), 315, "another key");
    assert_eq!(attempt(&mut bench, &stage, &[(other, b"key", number, 500)]).unwrap_err(), 315, "another table");
    assert_eq!(attempt(&mut bench, &stage, &[(table, b"key", number + 1, 500)]).unwrap_err(), 315, "no number");
    assert_eq!(attempt(&mut bench, &stage, &[(table, b"key", number, 499)]).unwrap_err(), 315, "another length");
    assert_eq!(attempt(&mut bench, &elsewhere, &[(table, b"key", number, 500)]).unwrap_err(), 315, "another stage");
    assert_eq!(bench.get(table, b"key"), None);
    assert_eq!(bench.staged(&stage, table, b"yek", number).unwrap_err().code(), 315);
    attempt(&mut bench, &stage, &[(table, b"key", number, 500)]).unwrap();
    assert_eq!(attempt(&mut bench, &stage, &[(table, b"key", number, 500)]).unwrap_err(), 314, "it was committed");
    assert_eq!(bench.write(&stage, (table, b"key"), None, b"x").unwrap_err().code(), 314);
    assert_eq!(
        attempt(&mut bench, &Stage::new(elsewhere.number()), &[(table, b"key", 0, 1)]).unwrap_err(),
        314,
        "forged"
    );
}

#[test]
fn what_need_not_or_may_not_be_written_out_is_told() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let volatile = bench.create("v", TableKind::Hash, TableHome::Volatile);
    let stage = bench.stage();
    assert_eq!(bench.write(&stage, (volatile, b"key"), None, &bytes(1, 500)).unwrap(), None, "it stays in memory");
    let code = |written: Result<Option<u32>, Error>| written.unwrap_err().code();
    assert_eq!(code(bench.write(&stage, (TableId(0), b"key"), None, b"x")), 207, "the catalog's");
    assert_eq!(code(bench.write(&stage, (TableId(77), b"key"), None, b"x")), 202);
    assert_eq!(code(bench.write(&stage, (table, &[0; 3_000]), None, b"x")), 302);
    assert_eq!(code(bench.write(&stage, (table, b"key"), None, b"")), 301);
    assert_eq!(code(bench.write(&stage, (table, b"key"), Some(9), b"x")), 315);
    let number = bench.write(&stage, (table, b"key"), None, b"x").unwrap().unwrap();
    bench.call(Op::DestroyTable { name: "t".to_owned() }).unwrap();
    let mut set = CommitSet::new();
    set.stage_at(stage.clone());
    let staged = Staged { number, bytes: 1 };
    set.put_staged((table, b"key"), staged, b"", PutOptions::default(), Expect::Any).unwrap();
    assert_eq!(bench.commit(set, Level::Committed).unwrap_err().code(), 202);
    let mut nothing = crate::volatile::open(&tiny(), [1; 16]).unwrap();
    nothing.submit(OpId(1), Op::OpenStage, Tick::default());
    let mut answers = Vec::new();
    nothing.take_answers(&mut answers);
    assert!(matches!(answers[0].1, Err(Error::Unsupported { .. })), "{answers:?}");
}

#[test]
fn a_revertible_write_that_was_written_out_is_reverted_and_lets_go() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    bench.put(table, b"key", b"before");
    let live = bench.live();
    for append in [false, true] {
        let mut set = CommitSet::new();
        let options = PutOptions { revertible_ms: Some(1_000_000), ..PutOptions::default() };
        match append {
            false => set.update(table, b"key", &bytes(1, 9_000), options).unwrap(),
            true => set.append(table, b"key", &bytes(1, 9_000), options, Expect::Present).unwrap(),
        }
        bench.write_out(&mut set, 0);
        let token = bench.commit(set, Level::Committed).unwrap().versions.as_slice()[0];
        let kept = bench.status().kept_bytes;
        // An append's record names the one before it, so that one lives anyway.
        assert_eq!(kept == 0, append, "{kept} bytes are kept");
        let mut set = CommitSet::new();
        set.revert(table, b"key", token).unwrap();
        bench.commit(set, Level::Committed).unwrap();
        assert_eq!(bench.get(table, b"key").unwrap().value, b"before");
        let status = bench.status();
        assert_eq!((status.revertible_writes, status.kept_bytes, status.staged_bytes), (0, 0, 0));
    }
    assert!(bench.live() <= live + 16, "{} and {live} bytes", bench.live());
}
