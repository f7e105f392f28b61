//! The oracle accepts what it must and refuses what it must not.

use super::*;
use domains::Versions;
use txn::PutOptions;

const TABLE: TableId = TableId(1);

fn epoch(counter: u64) -> EpochId {
    EpochId::new(Incarnation(1), counter)
}

fn version(counter: u64, ordinal: u64) -> Version {
    Version { epoch: epoch(counter), ordinal: segments::Ordinal(ordinal) }
}

fn key(name: &[u8]) -> Key {
    (TABLE, name.to_vec())
}

fn content(value: &[u8]) -> Content {
    Content { value: value.to_vec(), expires_ms: None, compressed: false }
}

/// A model in which `a` and `b` were put in epoch 1 and `a` was overwritten in epoch 2, each commit answered.
fn three_commits() -> Model {
    let mut model = Model::new();
    for (op, (name, value, at)) in
        [(b"a", b"1", version(1, 1)), (b"b", b"2", version(1, 2)), (b"a", b"3", version(2, 3))].into_iter().enumerate()
    {
        let mut set = CommitSet::new();
        set.upsert(TABLE, name, value, PutOptions::default()).unwrap();
        model.submitted(op as u64, &set, Level::Committed);
        model.answered(op as u64, &committed(&[at])).unwrap();
    }
    model
}

fn committed(versions: &[Version]) -> Committed {
    let mut given = Versions::default();
    versions.iter().for_each(|version| given.push(*version));
    Committed { epoch: versions[0].epoch, versions: given, persistence: Persistence::Pending }
}

fn recovered(pairs: &[(&[u8], &[u8], Version)]) -> Recovered {
    let found = |(name, value, version): &(&[u8], &[u8], Version)| {
        (key(name), Found { version: *version, content: content(value) })
    };
    let spec = domains::TableSpec::plain(domains::schema::TableKind::Hash, TableHome::Persistent);
    let tables = vec![TableInfo { id: TABLE, name: "t".to_owned(), spec }];
    Recovered { tables, pairs: pairs.iter().map(found).collect(), within_ms: (0, 0) }
}

/// Judges a recovery of [`three_commits`] with the table known.
fn judge(pairs: &[(&[u8], &[u8], Version)], noticed: u64, cut: Option<u64>) -> Result<u64, Violation> {
    let mut model = three_commits();
    let recovered = recovered(pairs);
    model.table_is(recovered.tables[0].clone()).unwrap();
    model.noticed(epoch(noticed));
    model.judge(&recovered, cut.map(epoch)).map(EpochId::counter)
}

#[test]
fn whole_epochs_survive_or_not() {
    let (a1, b2, a3) = (version(1, 1), version(1, 2), version(2, 3));
    let after_two: &[(&[u8], &[u8], Version)] = &[(b"a", b"3", a3), (b"b", b"2", b2)];
    let after_one: &[(&[u8], &[u8], Version)] = &[(b"a", b"1", a1), (b"b", b"2", b2)];
    assert_eq!(judge(after_two, 0, Some(2)), Ok(2));
    assert_eq!(judge(after_one, 0, Some(1)), Ok(1));
    assert_eq!(judge(&[], 0, Some(0)), Ok(0));
    assert_eq!(judge(after_one, 1, None), Ok(1), "the cut is found when nobody names it");
    assert!(judge(after_one, 0, Some(2)).is_err(), "an epoch up to the cut is missing");
    assert!(judge(after_two, 0, Some(1)).is_err(), "an epoch past the cut is there");
    assert!(judge(after_one, 2, None).is_err(), "an announced epoch is missing");
    assert!(judge(after_two, 2, Some(1)).is_err(), "the cut is below an announced epoch");
    assert!(judge(&[(b"a", b"1", a1)], 0, None).is_err(), "half an epoch");
    assert!(judge(&[(b"a", b"3", a3)], 0, None).is_err(), "the later epoch without the earlier");
    assert!(judge(&[(b"a", b"x", a3), (b"b", b"2", b2)], 0, None).is_err(), "another value");
    assert!(judge(&[(b"a", b"3", version(2, 9)), (b"b", b"2", b2)], 0, None).is_err(), "another version");
}

#[test]
fn a_commit_without_an_answer_survives_whole_or_not_at_all() {
    let check = |pairs: &[(&[u8], &[u8], Version)]| {
        let mut model = three_commits();
        let recovered = recovered(pairs);
        model.table_is(recovered.tables[0].clone()).unwrap();
        let mut set = CommitSet::new();
        set.upsert(TABLE, b"c", b"stamp", PutOptions::default()).unwrap();
        set.upsert(TABLE, b"d", b"other", PutOptions::default()).unwrap();
        set.delete(TABLE, b"b").unwrap();
        model.submitted(9, &set, Level::Persistent);
        model.judge(&recovered, None).is_ok()
    };
    let (b2, a3) = (version(1, 2), version(2, 3));
    assert!(check(&[(b"a", b"3", a3), (b"b", b"2", b2)]), "not at all");
    assert!(check(&[(b"a", b"3", a3), (b"c", b"stamp", version(2, 4)), (b"d", b"other", version(2, 5))]), "whole");
    assert!(!check(&[(b"a", b"3", a3), (b"c", b"stamp", version(2, 4))]), "half");
    let undeleted: &[(&[u8], &[u8], Version)] =
        &[(b"a", b"3", a3), (b"b", b"2", b2), (b"c", b"stamp", version(2, 4)), (b"d", b"other", version(2, 5))];
    assert!(!check(undeleted), "the delete is missing");
}

#[test]
fn versions_are_issued_once_and_rise() {
    let mut model = three_commits();
    let mut set = CommitSet::new();
    set.upsert(TABLE, b"c", b"4", PutOptions::default()).unwrap();
    model.submitted(7, &set, Level::Committed);
    assert!(model.clone().answered(7, &committed(&[version(2, 3)])).is_err(), "issued before");
    assert!(model.clone().answered(7, &committed(&[version(1, 9)])).is_err(), "below what had been answered");
    assert!(model.clone().answered(7, &committed(&[version(2, 4)])).is_ok());
    let mut waits = committed(&[version(2, 4)]);
    waits.persistence = Persistence::Volatile;
    assert!(model.answered(7, &waits).is_err(), "a persistent table's update is not volatile");
}

#[test]
fn a_compare_that_did_not_hold_is_found() {
    let check = |found: u64| {
        let mut model = three_commits();
        let recovered =
            recovered(&[(b"a", b"3", version(2, 3)), (b"b", b"2", version(1, 2)), (b"c", b"4", version(2, 4))]);
        model.table_is(recovered.tables[0].clone()).unwrap();
        let mut set = CommitSet::new();
        set.compare(TABLE, b"a", Expect::At(version(found, if found == 1 { 1 } else { 3 }))).unwrap();
        set.upsert(TABLE, b"c", b"4", PutOptions::default()).unwrap();
        model.submitted(7, &set, Level::Committed);
        model.answered(7, &committed(&[version(2, 4)])).unwrap();
        model.judge(&recovered, Some(epoch(2))).is_ok()
    };
    assert!(check(2) && !check(1));
}

#[test]
fn reads_see_what_was_current_while_they_lasted() {
    let mut model = three_commits();
    let mark = model.mark(&key(b"a"));
    let mut set = CommitSet::new();
    set.upsert(TABLE, b"a", b"new", PutOptions::default()).unwrap();
    model.submitted(7, &set, Level::Committed);
    let found = |value: &[u8], version| Found { version, content: content(value) };
    let old = found(b"3", version(2, 3));
    let new = found(b"new", version(2, 4));
    let older = found(b"1", version(1, 1));
    assert!(model.may_read(&key(b"a"), &mark, Some(&old)) && model.may_read(&key(b"a"), &mark, Some(&new)));
    assert!(!model.may_read(&key(b"a"), &mark, Some(&older)) && !model.may_read(&key(b"a"), &mark, None));
    model.answered(7, &committed(&[version(2, 4)])).unwrap();
    assert!(model.may_read(&key(b"a"), &mark, Some(&old)) && model.may_read(&key(b"a"), &mark, Some(&new)));
    let mark = model.mark(&key(b"a"));
    assert!(!model.may_read(&key(b"a"), &mark, Some(&old)) && model.may_read(&key(b"a"), &mark, Some(&new)));
    assert!(model.may_read(&key(b"z"), &model.mark(&key(b"z")), None));
}

/// A pair that expires is there until its time and not from then on; a read that was under way meanwhile may see either.
#[test]
fn what_is_over_is_gone() {
    let (mut model, over) = (Model::new(), Content { expires_ms: Some(10), ..content(b"1") });
    let mut set = CommitSet::new();
    set.upsert(TABLE, b"a", b"1", PutOptions { expires_ms: Some(10), ..PutOptions::default() }).unwrap();
    model.clock(3);
    model.submitted(0, &set, Level::Committed);
    model.answered(0, &committed(&[version(1, 1)])).unwrap();
    let (a, found) = (key(b"a"), Found { version: version(1, 1), content: over });
    let early = model.mark(&a);
    assert!(model.may_read(&a, &early, Some(&found)) && !model.may_read(&a, &early, None), "before its time");
    model.clock(10);
    let late = model.mark(&a);
    assert!(model.may_read(&a, &early, Some(&found)) && model.may_read(&a, &early, None), "its time came meanwhile");
    assert!(!model.may_read(&a, &late, Some(&found)) && model.may_read(&a, &late, None), "after its time");

    let mut insert = CommitSet::new();
    insert.insert(TABLE, b"a", b"2", PutOptions::default()).unwrap();
    model.submitted(1, &insert, Level::Committed);
    let sent = model.refused(1);
    let failed = |found| [Failure { part: 0, found }];
    assert!(model.judge_failures(&sent, &failed(Some(version(1, 1)))).is_err(), "it was over when the insert was sent");
    model.submitted(2, &insert, Level::Committed);
    model.answered(2, &committed(&[version(1, 2)])).unwrap();

    let mut there = recovered(&[(b"a", b"2", version(1, 2))]);
    there.within_ms = (10, 10);
    model.table_is(there.tables[0].clone()).unwrap();
    assert_eq!(model.judge(&there, Some(epoch(1))), Ok(epoch(1)), "an insert over what is over holds");
    there.pairs.insert(a.clone(), found);
    assert!(model.judge(&there, Some(epoch(1))).is_err(), "what is over is not listed");
}
