//! Operations that wait for room while others change what they concluded before.
//!
//! Contract: after an open the log has no segment yet, so everything that writes waits; these tests start several at once and
//! check that each answers for what is there when it is applied, not for what was there when it was started.

use crate::bench::{Bench, tiny};
use crate::column::{field, plain};
use domains::schema::{FieldType, TableHome, TableKind, TableSpec};
use domains::{Answer, Error, Level, Op, OpId};
use segments::memory::MemoryDevice;
use txn::{CommitSet, PutOptions};

/// A freshly opened store with a table.
fn opened(record: &[&str]) -> (Bench, TableSpec) {
    let mut bench = Bench::format(MemoryDevice::new(0), &tiny());
    let record = record.iter().map(|name| field(name, FieldType::Text)).collect();
    let spec = TableSpec { record, ..plain(TableKind::Hash, TableHome::Persistent) };
    bench.call(Op::CreateTable { name: "a".to_owned(), spec: spec.clone() }).unwrap();
    bench.reopen(&tiny()).unwrap();
    (bench, spec)
}

/// Starts all, then waits for all.
fn together(bench: &mut Bench, ops: Vec<Op>) -> Vec<Result<Answer, Error>> {
    let ids: Vec<OpId> = ops.into_iter().map(|op| bench.start(op)).collect();
    ids.into_iter().map(|id| bench.wait(id)).collect()
}

fn names(bench: &mut Bench) -> Vec<String> {
    match bench.call(Op::ListTables).unwrap() {
        Answer::Tables(tables) => tables.into_iter().map(|info| info.name).collect(),
        other => panic!("{other:?}"),
    }
}

/// The second creation failed with a compare that its client knows nothing of.
#[test]
fn of_two_creations_of_one_name_the_second_finds_it_taken() {
    let (mut bench, spec) = opened(&[]);
    let create = Op::CreateTable { name: "b".to_owned(), spec };
    let answers = together(&mut bench, vec![create.clone(), create]);
    assert!(answers[0].is_ok(), "{answers:?}");
    assert_eq!(answers[1].as_ref().unwrap_err().code(), 203, "{answers:?}");
    assert_eq!(names(&mut bench), ["a", "b"]);
}

#[test]
fn a_rename_behind_a_destruction_finds_nothing() {
    let (mut bench, spec) = opened(&[]);
    let destroy = Op::DestroyTable { name: "a".to_owned() };
    let rename = Op::RenameTable { from: "a".to_owned(), to: "b".to_owned() };
    let answers = together(&mut bench, vec![destroy.clone(), rename.clone(), destroy.clone()]);
    assert!(answers[0].is_ok(), "{answers:?}");
    assert_eq!(answers[1].as_ref().unwrap_err().code(), 201, "{answers:?}");
    assert_eq!(answers[2].as_ref().unwrap_err().code(), 201, "{answers:?}");
    assert!(names(&mut bench).is_empty());
    bench.reopen(&tiny()).unwrap();
    assert!(names(&mut bench).is_empty());
    bench.call(Op::CreateTable { name: "a".to_owned(), spec }).unwrap();
    assert_eq!(names(&mut bench), ["a"], "both names are free");
}

/// The second opening took the first one's field away.
#[test]
fn of_two_openings_that_append_different_fields_the_second_is_refused() {
    let (mut bench, spec) = opened(&["x"]);
    let open = |name: &str| {
        let mut spec = spec.clone();
        spec.record.push(field(name, FieldType::Text));
        Op::OpenTable { name: "a".to_owned(), spec: Some(spec) }
    };
    let answers = together(&mut bench, vec![open("y"), open("z"), open("y")]);
    let Ok(Answer::Table(first)) = &answers[0] else { panic!("{answers:?}") };
    assert_eq!(answers[1].as_ref().unwrap_err().code(), 205, "{answers:?}");
    assert_eq!(answers[2], Ok(Answer::Table(first.clone())));
    bench.reopen(&tiny()).unwrap();
    assert_eq!(bench.call(Op::OpenTable { name: "a".to_owned(), spec: None }), Ok(Answer::Table(first.clone())));
}

#[test]
fn a_commit_behind_the_destruction_of_its_table_is_refused() {
    let (mut bench, _) = opened(&[]);
    let Ok(Answer::Table(info)) = bench.call(Op::OpenTable { name: "a".to_owned(), spec: None }) else {
        panic!("the table is there")
    };
    let mut set = CommitSet::new();
    set.upsert(info.id, b"k", b"v", PutOptions::default()).unwrap();
    let commit = Op::Commit { set, level: Level::Persistent };
    let destroy = Op::DestroyTable { name: "a".to_owned() };
    let answers = together(&mut bench, vec![commit.clone(), destroy, commit]);
    assert!(answers[0].is_ok() && answers[1].is_ok(), "{answers:?}");
    assert_eq!(answers[2].as_ref().unwrap_err().code(), 202, "{answers:?}");
    assert!(names(&mut bench).is_empty());
}

/// The first waits for a record that it compares, the second needs nothing: it was once applied before the first, so a crash
/// could keep it and lose what its client had sent before.
#[test]
fn a_commit_that_waits_for_a_read_is_not_overtaken() {
    let (mut bench, _) = opened(&[]);
    let Answer::Table(info) = bench.call(Op::OpenTable { name: "a".to_owned(), spec: None }).unwrap() else { panic!() };
    let put = |set: &mut CommitSet, key: &[u8]| set.upsert(info.id, key, b"v", PutOptions::default()).unwrap();
    let mut set = CommitSet::new();
    put(&mut set, b"cold");
    let Answer::Committed(first) = bench.call(Op::Commit { set, level: Level::Persistent }).unwrap() else { panic!() };
    bench.call(Op::DropCache).unwrap();
    let mut waits = CommitSet::new();
    waits.compare(info.id, b"cold", txn::Expect::At(first.versions.as_slice()[0])).unwrap();
    put(&mut waits, b"cold");
    let mut ready = CommitSet::new();
    put(&mut ready, b"warm");
    let commit = |set| Op::Commit { set, level: Level::Committed };
    let answers = together(&mut bench, vec![commit(waits), commit(ready)]);
    let versions: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer.unwrap() {
            Answer::Committed(committed) => committed.versions.as_slice()[0],
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(versions[0] < versions[1], "applied as sent: {versions:?}");
}
