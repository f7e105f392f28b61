//! Appends: to what is there and to what is not, with every option, over and over.

use super::pairs::{PLAIN, found};
use super::{Cell, Ground, Line, On};
use crate::column::Lack;
use domains::Direction;
use domains::schema::TableHome;
use segments::Version;
use txn::{CommitSet, Expect, PutOptions};

pub(super) const CHECKS: &[Line] = &[
    ("an append makes a pair, and then adds to it", On::Each, makes_and_adds),
    ("an append wants what it is told to expect", On::Each, expects),
    ("an append keeps what is kept with a pair, or changes it", On::Each, options),
    ("an append behind an own put, append or delete joins it", On::Each, joins),
    ("a revert of an append brings back what was there, a seal lets it stand", On::Each, reverts),
    ("records of every size grow and are read and listed whole", On::Each, sizes),
    ("a record that grew is there after a reopen, a volatile one is not", On::Each, reopened),
];

fn append(ground: &mut Ground, table: segments::TableId, key: &[u8], more: &[u8]) -> Version {
    let done = ground.on.change(|set| set.append(table, key, more, PLAIN, Expect::Any).unwrap()).unwrap();
    let &[version] = done.versions.as_slice() else { panic!("one part, one version: {done:?}") };
    version
}

fn makes_and_adds(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let key = ground.keys(table, 1).remove(0);
    let mut whole = Vec::new();
    let mut last = None;
    for number in 0..100_u8 {
        let more = vec![number; usize::from(number)];
        let version = append(ground, table, &key, &more);
        whole.extend(more);
        let pair = ground.on.get(table, &key).unwrap();
        assert_eq!((&pair.value, pair.version), (&whole, version), "append {number}");
        assert!(last.is_none_or(|last| last < version), "versions rise");
        last = Some(version);
    }
    let peeked = ground.on.peek(table, &key).unwrap();
    assert_eq!(peeked, last.map(|version| (whole, version)));
    Cell::Holds
}

fn expects(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let key = ground.keys(table, 1).remove(0);
    let with = |expect| {
        let key = key.clone();
        move |set: &mut CommitSet| set.append(table, &key, b"more", PLAIN, expect).unwrap()
    };
    assert_eq!(found(ground.on.change(with(Expect::Present))), [(0, None)]);
    let first = ground.on.change(with(Expect::Absent)).unwrap().versions.as_slice()[0];
    assert_eq!(found(ground.on.change(with(Expect::Absent))), [(0, Some(first))]);
    let second = ground.on.change(with(Expect::At(first))).unwrap().versions.as_slice()[0];
    assert_eq!(found(ground.on.change(with(Expect::At(first)))), [(0, Some(second))]);
    ground.on.change(with(Expect::Present)).unwrap();
    assert_eq!(ground.on.value(table, &key).unwrap(), b"moremoremore");
    Cell::Holds
}

fn options(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let later = ground.on.unix_ms() + 1_000_000;
    for (key, bytes) in ground.keys(table, 2).into_iter().zip([3, 9_000]) {
        let mut add = |options: PutOptions| {
            let fill = |set: &mut CommitSet| set.append(table, &key, &vec![7; bytes], options, Expect::Any).unwrap();
            ground.on.change(fill).unwrap();
            let pair = ground.on.get(table, &key).unwrap();
            (pair.value.len() / bytes, pair.expires_ms, pair.compressed)
        };
        assert_eq!(add(PLAIN), (1, None, false));
        assert_eq!(add(PutOptions { compressed: true, ..PLAIN }), (2, None, true));
        assert_eq!(add(PutOptions { expires_ms: Some(later), ..PLAIN }), (3, Some(later), true));
        assert_eq!(add(PLAIN), (4, Some(later), true));
        assert_eq!(add(PutOptions { expires_ms: Some(later + 5), ..PLAIN }), (5, Some(later + 5), true));
    }
    Cell::Holds
}

fn joins(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 3);
    ground.on.put(table, &keys[1], b"there");
    ground.on.put(table, &keys[2], b"gone");
    let done = ground.on.change(|set| {
        set.upsert(table, &keys[0], b"put", PLAIN).unwrap();
        set.delete(table, &keys[2]).unwrap();
        for key in &keys {
            set.append(table, key, b" and", PLAIN, Expect::Any).unwrap();
            set.append(table, key, b" more", PLAIN, Expect::Present).unwrap();
        }
    });
    assert_eq!(done.unwrap().versions.as_slice().len(), 3, "one version a key");
    for (key, whole) in keys.iter().zip(["put and more", "there and more", " and more"]) {
        assert_eq!(ground.on.value(table, key).unwrap(), whole.as_bytes());
    }
    Cell::Holds
}

fn sizes(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 6);
    let mut wholes = vec![Vec::new(); keys.len()];
    for round in 0..24_u8 {
        for (number, key) in keys.iter().enumerate() {
            let more = vec![round; [0, 1, 700, 4_000, 5_000, 30_000][(number + usize::from(round / 8)) % 6]];
            append(ground, table, key, &more);
            wholes[number].extend(more);
        }
        if round % 5 == 4 {
            ground.on.call(domains::Op::DropCache).unwrap();
        }
    }
    for (key, whole) in keys.iter().zip(&wholes) {
        assert!(ground.on.value(table, key).unwrap() == *whole, "{} bytes", whole.len());
    }
    ground.on.call(domains::Op::DropCache).unwrap();
    let mut listed: Vec<_> =
        ground.on.all(table, Direction::Next, 4).into_iter().map(|pair| (pair.key, pair.value)).collect();
    let mut expected: Vec<_> = keys.into_iter().zip(wholes).collect();
    listed.sort();
    expected.sort();
    assert!(listed == expected, "the iteration lists each record whole");
    Cell::Holds
}

fn reopened(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Persistence) {
        return Cell::Not(Lack::Persistence);
    }
    let persistent = ground.home == TableHome::Persistent;
    let table = ground.table();
    let key = ground.keys(table, 1).remove(0);
    let mut whole = Vec::new();
    for round in 0..3_u8 {
        for bytes in [6_000, 10, 300] {
            append(ground, table, &key, &vec![round; bytes]);
            whole.extend(vec![round; bytes]);
        }
        ground.on.force();
        ground.on.reopen();
        ground.on.open("t", None).unwrap();
        let value = ground.on.value(table, &key);
        if !persistent {
            assert_eq!(value, None);
            return Cell::Holds;
        }
        assert!(value.unwrap() == whole, "life {round}");
    }
    Cell::Holds
}

fn reverts(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Reverts) {
        let table = ground.table();
        let key = ground.keys(table, 1).remove(0);
        let lease = PutOptions { revertible_ms: Some(60_000), ..PLAIN };
        let refused = ground.on.change(|set| set.append(table, &key, b"more", lease, Expect::Any).unwrap());
        assert_eq!((refused.unwrap_err().code(), ground.on.value(table, &key)), (106, None));
        return Cell::Not(Lack::Reverts);
    }
    let table = ground.table();
    let later = ground.on.unix_ms() + 1_000_000;
    for (key, bytes) in ground.keys(table, 2).into_iter().zip([3, 9_000]) {
        let base = vec![6; bytes];
        ground.on.put(table, &key, &base);
        append(ground, table, &key, b"kept");
        let before = [&base[..], b"kept"].concat();
        let lease =
            PutOptions { expires_ms: Some(later), compressed: true, compact: false, revertible_ms: Some(60_000) };
        let more = vec![7; bytes];
        let done = ground.on.change(|set| set.append(table, &key, &more, lease, Expect::Any).unwrap()).unwrap();
        let token = done.versions.as_slice()[0];
        let grown = ground.on.get(table, &key).unwrap();
        assert_eq!((grown.value, grown.expires_ms), ([&before[..], &more].concat(), Some(later)));
        ground.on.change(|set| set.revert(table, &key, token).unwrap()).unwrap();
        let pair = ground.on.get(table, &key).unwrap();
        assert_eq!((&pair.value, pair.expires_ms, pair.compressed), (&before, None, false));
        let done = ground.on.change(|set| set.append(table, &key, &more, lease, Expect::Any).unwrap()).unwrap();
        let token = done.versions.as_slice()[0];
        let sealed = ground.on.change(|set| set.seal(table, &key, token).unwrap()).unwrap();
        let version = sealed.versions.as_slice()[0];
        assert_eq!(found(ground.on.change(|set| set.revert(table, &key, token).unwrap())), [(0, Some(version))]);
        append(ground, table, &key, b"behind");
        let pair = ground.on.get(table, &key).unwrap();
        assert_eq!(pair.value, [&before[..], &more, b"behind"].concat());
        assert_eq!((pair.expires_ms, pair.compressed), (Some(later), true));
    }
    let status = ground.on.status();
    assert_eq!((status.revertible_writes, status.kept_bytes), (0, 0));
    Cell::Holds
}
