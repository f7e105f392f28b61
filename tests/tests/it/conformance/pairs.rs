//! One pair: insert, lookup, update, upsert, delete, remove, compares, versions.

use super::{Cell, Ground, Line, On};
use lostore::Error;
use segments::{EpochId, Ordinal, Version};
use std::collections::BTreeSet;
use txn::{CommitSet, Expect, PutOptions};

pub(super) const CHECKS: &[Line] = &[
    ("an insert is looked up, and only once made", On::Each, insert_and_lookup),
    ("an update wants the pair, an upsert does not", On::Each, update_and_upsert),
    ("a delete wants the pair, a remove does not", On::Each, delete_and_remove),
    ("compares: absent, present, at a version, contradiction", On::Each, compares),
    ("a version is never given twice", On::Each, versions_are_new),
    ("an empty value is a value", On::Each, empty_value),
    ("options of a write come back", On::Each, options),
    ("what was done is there after a reopen, a volatile table is empty", On::Each, reopened),
];

pub(super) const PLAIN: PutOptions =
    PutOptions { expires_ms: None, compressed: false, compact: false, revertible_ms: None };

/// The versions that the failing parts found.
pub(super) fn found(result: Result<domains::Committed, Error>) -> Vec<(u32, Option<Version>)> {
    let error = result.expect_err("a compare that cannot hold");
    assert_eq!((error.code(), error.kind()), (303, domains::ErrorKind::Conflict), "{error}");
    assert!(!error.failures().is_empty(), "a failed compare is named");
    error.failures().iter().map(|failure| (failure.part, failure.found)).collect()
}

fn insert_and_lookup(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 40);
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(ground.on.get(table, key), None, "before the insert");
        let value = vec![number.to_le_bytes()[0]; number * 11];
        let insert = |set: &mut CommitSet| set.insert(table, key, &value, PLAIN).unwrap();
        let done = ground.on.change(insert).unwrap();
        let &[version] = done.versions.as_slice() else { panic!("one part, one version: {done:?}") };
        let pair = ground.on.get(table, key).expect("it was inserted");
        assert_eq!((&pair.value, pair.version), (&value, version));
        assert_eq!(found(ground.on.change(insert)), [(0, Some(version))], "a second insert names what is there");
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(ground.on.value(table, key).unwrap().len(), number * 11, "later inserts leave it alone");
    }
    Cell::Holds
}

fn update_and_upsert(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 2);
    let update = |value: &'static [u8]| {
        let key = keys[0].clone();
        move |set: &mut CommitSet| set.update(table, &key, value, PLAIN).unwrap()
    };
    assert_eq!(found(ground.on.change(update(b"1"))), [(0, None)]);
    assert_eq!(ground.on.get(table, &keys[0]), None, "a refused update leaves nothing");
    let first = ground.on.put(table, &keys[0], b"one");
    let second = ground.on.change(update(b"two")).unwrap().versions.as_slice()[0];
    let third = ground.on.put(table, &keys[0], b"three");
    assert!(first < second && second < third, "{first} {second} {third}");
    assert_eq!(ground.on.value(table, &keys[0]).unwrap(), b"three");
    assert_eq!(ground.on.get(table, &keys[1]), None);
    Cell::Holds
}

fn delete_and_remove(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 3);
    let delete = |key: &[u8]| {
        let key = key.to_vec();
        move |set: &mut CommitSet| set.delete(table, &key).unwrap()
    };
    let remove = |key: &[u8]| {
        let key = key.to_vec();
        move |set: &mut CommitSet| set.remove(table, &key).unwrap()
    };
    assert_eq!(found(ground.on.change(delete(&keys[0]))), [(0, None)]);
    let nothing = ground.on.change(remove(&keys[0])).unwrap();
    assert!(nothing.versions.as_slice().is_empty(), "removing what is not there changes nothing: {nothing:?}");
    for key in &keys {
        ground.on.put(table, key, b"here");
    }
    assert_eq!(ground.on.change(delete(&keys[0])).unwrap().versions.as_slice().len(), 1);
    assert_eq!(ground.on.change(remove(&keys[1])).unwrap().versions.as_slice().len(), 1);
    assert_eq!(ground.on.get(table, &keys[0]), None);
    assert_eq!(ground.on.get(table, &keys[1]), None);
    assert_eq!(ground.on.value(table, &keys[2]).unwrap(), b"here");
    assert_eq!(found(ground.on.change(delete(&keys[1]))), [(0, None)]);
    Cell::Holds
}

fn compares(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 2);
    let (there, gone) = (&keys[0], &keys[1]);
    let version = ground.on.put(table, there, b"v");
    let other = Version { epoch: version.epoch, ordinal: Ordinal(version.ordinal.0 + 1000) };
    let ancient = Version { epoch: EpochId(0), ordinal: Ordinal(0) };
    let holds: [(&[u8], Expect); 5] = [
        (there, Expect::Any),
        (there, Expect::Present),
        (there, Expect::At(version)),
        (gone, Expect::Absent),
        (gone, Expect::Any),
    ];
    for (key, expect) in holds {
        let done = ground.on.change(|set| set.compare(table, key, expect).unwrap()).unwrap();
        assert!(done.versions.as_slice().is_empty(), "a compare changes nothing: {done:?}");
    }
    let fails: [(&[u8], Expect, Option<Version>); 7] = [
        (there, Expect::Absent, Some(version)),
        (there, Expect::At(other), Some(version)),
        (there, Expect::At(ancient), Some(version)),
        (there, Expect::Never, Some(version)),
        (gone, Expect::Present, None),
        (gone, Expect::At(version), None),
        (gone, Expect::Never, None),
    ];
    for (key, expect, present) in fails {
        let result = ground.on.change(|set| {
            set.compare(table, key, expect).unwrap();
            set.upsert(table, key, b"never", PLAIN).unwrap();
        });
        assert_eq!(found(result), [(0, present)], "{expect:?}");
        assert_eq!(ground.on.get(table, key).map(|pair| pair.version), present, "{expect:?} changed nothing");
    }
    Cell::Holds
}

fn versions_are_new(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let mut seen = BTreeSet::new();
    for round in 0..20_u8 {
        let key = ground.keys(table, 1).remove(0);
        assert!(seen.insert(ground.on.put(table, &key, &[round])), "of an insert");
        assert!(seen.insert(ground.on.put(table, &key, &[round])), "of the same bytes written back");
        let done = ground.on.change(|set| set.delete(table, &key).unwrap()).unwrap();
        assert!(seen.insert(done.versions.as_slice()[0]), "of a delete");
        if round == 10 && !ground.on.lacks(crate::column::Lack::Persistence) {
            ground.on.force();
            ground.on.reopen();
        }
    }
    Cell::Holds
}

fn empty_value(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let key = ground.keys(table, 1).remove(0);
    let version = ground.on.put(table, &key, b"");
    let pair = ground.on.get(table, &key).expect("an empty value is a value");
    assert_eq!((pair.value.as_slice(), pair.version), (&b""[..], version));
    assert_eq!(found(ground.on.change(|set| set.insert(table, &key, b"", PLAIN).unwrap())), [(0, Some(version))]);
    ground.on.put(table, &key, b"full");
    ground.on.put(table, &key, b"");
    assert_eq!(ground.on.value(table, &key), Some(Vec::new()));
    assert_eq!(ground.on.all(table, domains::Direction::Next, 10).len(), 1);
    Cell::Holds
}

fn options(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 4);
    let later = ground.on.unix_ms() + 1_000_000;
    for (number, key) in keys.iter().enumerate() {
        let options = PutOptions {
            expires_ms: (number & 1 == 1).then_some(later),
            compressed: number & 2 == 2,
            compact: false,
            revertible_ms: None,
        };
        ground.on.change(|set| set.insert(table, key, b"v", options).unwrap()).unwrap();
    }
    for (number, key) in keys.iter().enumerate() {
        let pair = ground.on.get(table, key).unwrap();
        assert_eq!((pair.expires_ms.is_some(), pair.compressed), (number & 1 == 1, number & 2 == 2));
        assert!(pair.expires_ms.is_none_or(|at| at == later));
    }
    Cell::Holds
}

fn reopened(ground: &mut Ground) -> Cell {
    if ground.on.lacks(crate::column::Lack::Persistence) {
        return Cell::Not(crate::column::Lack::Persistence);
    }
    let persistent = ground.home == domains::schema::TableHome::Persistent;
    let table = ground.table();
    let keys = ground.keys(table, 200);
    let mut versions = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        versions.push(ground.on.put(table, key, &vec![7; number * 13]));
    }
    for key in &keys[..50] {
        ground.on.change(|set| set.delete(table, key).unwrap()).unwrap();
    }
    for (number, key) in keys.iter().enumerate().skip(150) {
        versions[number] = ground.on.put(table, key, b"again");
    }
    for _ in 0..2 {
        ground.on.force();
        ground.on.reopen();
        assert_eq!(ground.on.open("t", None).unwrap().id, table);
        for (number, key) in keys.iter().enumerate() {
            let there = persistent && number >= 50;
            assert_eq!(ground.on.get(table, key).map(|pair| pair.version), there.then(|| versions[number]), "{number}");
        }
        assert_eq!(ground.on.all(table, domains::Direction::Next, 9).len(), if persistent { 150 } else { 0 });
    }
    let key = ground.keys(table, 1).remove(0);
    ground.on.put(table, &key, b"new");
    assert_eq!(ground.on.value(table, &key).unwrap(), b"new");
    Cell::Holds
}
