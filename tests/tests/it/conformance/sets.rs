//! Sets of many parts: all or nothing, over several tables and both homes, and what a failure names.

use super::pairs::{PLAIN, found};
use super::{Cell, Ground, HOMES, KINDS, Line, On};
use crate::column::Lack;
use domains::Level;
use domains::schema::TableHome;
use segments::TableId;
use txn::{CommitSet, Expect, SetError};

pub(super) const CHECKS: &[Line] = &[
    ("one set changes tables of every kind and home, wholly or not at all", On::Own, all_tables),
    ("a failure names every failing part and what is there", On::Own, failures_are_named),
    ("a key named twice in a set: the last change counts, the first compare", On::Each, named_twice),
    ("a set of 3000 parts", On::Each, many_parts),
    ("an empty set, and a set on a table that is not there", On::Own, odd_sets),
];

fn all_tables(ground: &mut Ground) -> Cell {
    let mut tables = Vec::new();
    for (kind, kind_name) in KINDS {
        for (home, home_name) in HOMES {
            let table = ground.on.table(&format!("{kind_name} {home_name}"), kind, home);
            let keys = ground.on.keys(table, kind, 3);
            tables.push((table, home, keys));
        }
    }
    let fill = |set: &mut CommitSet, value: &[u8]| {
        for (table, _, keys) in &tables {
            set.insert(*table, &keys[0], value, PLAIN).unwrap();
            set.upsert(*table, &keys[1], value, PLAIN).unwrap();
        }
    };
    let done = ground.on.change(|set| fill(set, b"one")).unwrap();
    assert_eq!(done.versions.as_slice().len(), tables.len() * 2, "one version a part");
    assert!(done.versions.as_slice().windows(2).all(|two| two[0] < two[1]), "in the set's order");
    // The same again fails in all inserts, and none of the upserts may happen.
    assert_eq!(found(ground.on.change(|set| fill(set, b"two"))).len(), tables.len());
    for (number, (table, _, keys)) in tables.iter().enumerate() {
        for key in &keys[..2] {
            assert_eq!(ground.on.value(*table, key).unwrap(), b"one", "table {number}");
        }
        assert_eq!(ground.on.get(*table, &keys[0]).unwrap().version, done.versions.as_slice()[2 * number]);
    }
    if !ground.on.lacks(Lack::Persistence) {
        ground.on.force();
        ground.on.reopen();
        for (table, home, keys) in &tables {
            let there = (*home == TableHome::Persistent).then(|| b"one".to_vec());
            assert_eq!(ground.on.value(*table, &keys[0]), there, "a volatile table is empty after an open");
        }
    }
    Cell::Holds
}

fn failures_are_named(ground: &mut Ground) -> Cell {
    let hash = ground.on.table("hash", domains::schema::TableKind::Hash, TableHome::Persistent);
    let ordered = ground.on.table("ordered", domains::schema::TableKind::Ordered, TableHome::Volatile);
    let a = ground.on.put(hash, b"a", b"1");
    let b = ground.on.put(ordered, b"b", b"2");
    let before = ground.on.status().compare_failures;
    let result = ground.on.change(|set| {
        set.compare(hash, b"a", Expect::At(a)).unwrap();
        set.compare(ordered, b"b", Expect::At(a)).unwrap();
        set.insert(hash, b"new", b"", PLAIN).unwrap();
        set.update(hash, b"gone", b"", PLAIN).unwrap();
        set.delete(ordered, b"gone").unwrap();
        set.insert(ordered, b"b2", b"", PLAIN).unwrap();
    });
    assert_eq!(found(result), [(1, Some(b)), (3, None), (4, None)]);
    assert_eq!(ground.on.get(hash, b"new"), None);
    assert_eq!(ground.on.get(ordered, b"b2"), None);
    assert_eq!(ground.on.status().compare_failures, before + 1, "a refused set counts once");
    Cell::Holds
}

fn named_twice(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 2);
    let done = ground.on.change(|set| {
        set.insert(table, &keys[0], b"first", PLAIN).unwrap();
        set.update(table, &keys[0], b"second", PLAIN).unwrap();
        assert_eq!(set.insert(table, &keys[0], b"third", PLAIN), Err(SetError::PutBefore));
        set.insert(table, &keys[1], b"first", PLAIN).unwrap();
        set.delete(table, &keys[1]).unwrap();
        assert_eq!(set.delete(table, &keys[1]), Err(SetError::DeletedBefore));
    });
    assert_eq!(done.unwrap().versions.as_slice().len(), 1, "what was put and deleted again changed nothing");
    assert_eq!(ground.on.value(table, &keys[0]).unwrap(), b"second");
    assert_eq!(ground.on.get(table, &keys[1]), None);
    Cell::Holds
}

fn many_parts(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 3000);
    let fill = |set: &mut CommitSet| {
        for (number, key) in keys.iter().enumerate() {
            set.insert(table, key, &vec![1; number % 300], PLAIN).unwrap();
        }
    };
    assert_eq!(ground.on.change(fill).unwrap().versions.as_slice().len(), 3000);
    ground.on.change(|set| keys[1..].iter().for_each(|key| set.delete(table, key).unwrap())).unwrap();
    assert_eq!(ground.on.all(table, domains::Direction::Next, 100).len(), 1);
    if ground.kind != domains::schema::TableKind::Sack {
        assert_eq!(found(ground.on.change(fill)).len(), 1, "one key is there still");
        ground.on.change(|set| set.delete(table, &keys[0]).unwrap()).unwrap();
        ground.on.change(fill).unwrap();
        assert_eq!(ground.on.all(table, domains::Direction::Next, 1000).len(), 3000);
    }
    Cell::Holds
}

fn odd_sets(ground: &mut Ground) -> Cell {
    let empty = ground.on.commit(CommitSet::new(), Level::Committed).unwrap();
    assert!(empty.versions.as_slice().is_empty(), "{empty:?}");
    let table = ground.on.table("t", domains::schema::TableKind::Hash, TableHome::Persistent);
    let gone = TableId(table.0 + 100);
    let error = ground.on.change(|set| {
        set.insert(table, b"a", b"", PLAIN).unwrap();
        set.insert(gone, b"a", b"", PLAIN).unwrap();
    });
    assert_eq!(error.unwrap_err().code(), 202);
    assert_eq!(ground.on.get(table, b"a"), None, "the good half is not applied either");
    let lookup = ground.on.call(domains::Op::Lookup { table: gone, key: vec![] });
    assert_eq!(lookup.unwrap_err().code(), 202);
    assert_eq!(ground.on.peek(gone, b"").unwrap_err().code(), 202);
    Cell::Holds
}
