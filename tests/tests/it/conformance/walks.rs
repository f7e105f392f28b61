//! Iteration: order, positions, ends, batches, and pairs that come and go meanwhile.

use super::{Cell, Ground, Line, On};
use domains::schema::{TableHome, TableKind};
use domains::{Cursor, Direction, Op};
use segments::TableId;
use std::collections::{BTreeMap, BTreeSet};
use tests::Rng;

pub(super) const CHECKS: &[Line] = &[
    ("iteration in batches of any size sees every pair once", On::Each, batches),
    ("next and previous from a position, with an end", On::Own, positions),
    ("pairs below a prefix", On::Own, prefixes),
    ("a limit in bytes cuts a batch, the first pair always comes", On::Each, byte_limits),
    ("an iteration from a key that is gone goes on behind it", On::Each, from_a_gone_key),
    ("what is there throughout is seen exactly once while others come and go", On::Each, under_change),
    ("only an ordered table goes back or stops by key", On::Own, refusals),
    ("an empty table", On::Each, empty),
];

fn next(table: TableId, from: Cursor, direction: Direction, pairs_max: u32) -> Op {
    Op::Next { table, from, until: None, direction, pairs_max, bytes_max: 1 << 20 }
}

fn batches(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 300);
    let mut expected = BTreeMap::new();
    for (number, key) in keys.iter().enumerate() {
        let value = vec![3; number % 200];
        ground.on.put(table, key, &value);
        expected.insert(key.clone(), value);
    }
    for pairs_max in [1, 2, 7, 128, 299, 300, 301, 100_000] {
        let all = ground.on.all(table, Direction::Next, pairs_max);
        if matches!(ground.kind, TableKind::Ordered | TableKind::Sack) {
            assert!(all.windows(2).all(|two| two[0].key < two[1].key), "in order");
        }
        assert_eq!(all.len(), 300, "in batches of {pairs_max}");
        let all: BTreeMap<_, _> = all.into_iter().map(|pair| (pair.key, pair.value)).collect();
        assert_eq!(all, expected, "in batches of {pairs_max}");
    }
    if ground.kind == TableKind::Ordered {
        let back = ground.on.all(table, Direction::Previous, 7);
        assert!(back.iter().map(|pair| &pair.key).eq(expected.keys().rev()));
    }
    let (pairs, more) = ground.on.next(next(table, Cursor::Start, Direction::Next, 0)).unwrap();
    assert_eq!((pairs.len(), more), (1, true), "a batch has at least one pair");
    Cell::Holds
}

fn positions(ground: &mut Ground) -> Cell {
    for (home, name) in super::HOMES {
        let table = ground.on.table(name, TableKind::Ordered, home);
        let keys: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![b'k', n * 5]).collect();
        for key in &keys {
            ground.on.put(table, key, key);
        }
        for at in 0..=255_u8 {
            let at = vec![b'k', at];
            let walk = |ground: &mut Ground, from: Cursor, until: Option<&[u8]>, direction| {
                let until = until.map(<[u8]>::to_vec);
                let op = Op::Next { table, from, until, direction, pairs_max: 1000, bytes_max: 1 << 20 };
                let (pairs, more) = ground.on.next(op).unwrap();
                assert!(!more, "all of it fits a batch");
                pairs.into_iter().map(|pair| pair.key).collect::<Vec<_>>()
            };
            let wanted =
                |keep: &dyn Fn(&Vec<u8>) -> bool| keys.iter().filter(|key| keep(key)).cloned().collect::<Vec<_>>();
            let back = |mut keys: Vec<Vec<u8>>| {
                keys.reverse();
                keys
            };
            let (on, past) = (Cursor::At(at.clone()), Cursor::Past(at.clone()));
            assert_eq!(walk(ground, on.clone(), None, Direction::Next), wanted(&|key| *key >= at));
            assert_eq!(walk(ground, past.clone(), None, Direction::Next), wanted(&|key| *key > at));
            assert_eq!(walk(ground, on, None, Direction::Previous), back(wanted(&|key| *key <= at)));
            assert_eq!(walk(ground, past, None, Direction::Previous), back(wanted(&|key| *key < at)));
            let until = |direction| (Cursor::Start, Some(at.as_slice()), direction);
            let (from, end, way) = until(Direction::Next);
            assert_eq!(walk(ground, from, end, way), wanted(&|key| *key < at), "the end itself is left out");
            let (from, end, way) = until(Direction::Previous);
            assert_eq!(walk(ground, from, end, way), back(wanted(&|key| *key > at)));
        }
    }
    Cell::Holds
}

fn prefixes(ground: &mut Ground) -> Cell {
    let table = ground.on.table("t", TableKind::Ordered, TableHome::Persistent);
    for name in ["a", "a/", "a/b", "a/c", "a/\u{ff}", "a0", "b", ""] {
        ground.on.put(table, name.as_bytes(), b"");
    }
    for pairs_max in [1, 2, 3, 10] {
        let (mut from, mut seen) = (Cursor::At(b"a/".to_vec()), Vec::new());
        loop {
            let until = Some(b"a0".to_vec());
            let op = Op::Next { table, from, until, direction: Direction::Next, pairs_max, bytes_max: 1 << 20 };
            let (pairs, more) = ground.on.next(op).unwrap();
            seen.extend(pairs.iter().map(|pair| String::from_utf8(pair.key.clone()).unwrap()));
            if !more {
                break;
            }
            from = Cursor::Past(pairs.last().expect("more pairs follow these").key.clone());
        }
        assert_eq!(seen, ["a/", "a/b", "a/c", "a/\u{ff}"], "in batches of {pairs_max}");
    }
    Cell::Holds
}

fn byte_limits(ground: &mut Ground) -> Cell {
    let table = ground.table();
    for key in ground.keys(table, 40) {
        ground.on.put(table, &key, &[1; 3000]);
    }
    for (bytes_max, most) in [(0, 1), (1, 1), (2999, 1), (9500, 3), (40_000, 13)] {
        let (mut from, mut seen) = (Cursor::Start, BTreeSet::new());
        loop {
            let op = Op::Next { table, from, until: None, direction: Direction::Next, pairs_max: 100, bytes_max };
            let (pairs, more) = ground.on.next(op).unwrap();
            assert!((1..=most).contains(&pairs.len()), "{} pairs for {bytes_max} bytes", pairs.len());
            from = Cursor::Past(pairs.last().expect("just seen").key.clone());
            seen.extend(pairs.into_iter().map(|pair| pair.key));
            if !more {
                break;
            }
        }
        assert_eq!(seen.len(), 40, "within {bytes_max} bytes");
    }
    Cell::Holds
}

fn from_a_gone_key(ground: &mut Ground) -> Cell {
    let table = ground.table();
    for key in ground.keys(table, 60) {
        ground.on.put(table, &key, b"v");
    }
    let order: Vec<_> = ground.on.all(table, Direction::Next, 1000).into_iter().map(|pair| pair.key).collect();
    for at in (0..60).step_by(2) {
        ground.on.change(|set| set.delete(table, &order[at]).unwrap()).unwrap();
        for from in [Cursor::Past(order[at].clone()), Cursor::At(order[at].clone())] {
            let (pairs, _) = ground.on.next(next(table, from, Direction::Next, 1)).unwrap();
            assert_eq!(pairs[0].key, order[at + 1], "behind number {at}");
        }
    }
    let (pairs, more) = ground.on.next(next(table, Cursor::Past(order[59].clone()), Direction::Next, 5)).unwrap();
    assert_eq!((pairs.len(), more), (0, false), "nothing is behind the last");
    Cell::Holds
}

fn under_change(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let mut rng = Rng::new(0x5eed);
    for (round, batch) in [1, 3, 10, 64].into_iter().enumerate() {
        let keys = ground.keys(table, 400);
        let (stay, go): (Vec<_>, Vec<_>) = keys.iter().enumerate().partition(|(number, _)| number % 2 == 0);
        for (_, key) in &stay {
            ground.on.put(table, key, &[1; 50]);
        }
        let mut present: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut absent: Vec<Vec<u8>> = go.into_iter().map(|(_, key)| key.clone()).collect();
        let (mut from, mut seen) = (Cursor::Start, Vec::new());
        loop {
            for _ in 0..batch {
                churn(ground, table, &mut rng, (&mut present, &mut absent), &stay);
            }
            let (pairs, more) = ground.on.next(next(table, from, Direction::Next, batch)).unwrap();
            seen.extend(pairs.iter().map(|pair| pair.key.clone()));
            if !more {
                break;
            }
            from = Cursor::Past(pairs.last().expect("a batch with more behind it moves on").key.clone());
        }
        for (_, key) in &stay {
            let times = seen.iter().filter(|seen| seen == key).count();
            assert_eq!(times, 1, "a pair that was there throughout, in round {round}");
        }
        let unique: BTreeSet<_> = seen.iter().collect();
        assert_eq!(unique.len(), seen.len(), "nothing is returned twice");
        ground.on.change(|set| stay.iter().for_each(|(_, key)| set.delete(table, key).unwrap())).unwrap();
        ground.on.change(|set| present.iter().for_each(|key| set.delete(table, key).unwrap())).unwrap();
    }
    Cell::Holds
}

/// One change: a pair comes, goes, or one of those that stay gets another record.
fn churn(
    ground: &mut Ground,
    table: TableId,
    rng: &mut Rng,
    (present, absent): (&mut BTreeSet<Vec<u8>>, &mut Vec<Vec<u8>>),
    stay: &[(usize, &Vec<u8>)],
) {
    match rng.below(3) {
        0 if !absent.is_empty() => {
            let at = usize::try_from(rng.below(absent.len() as u64)).unwrap();
            let key = absent.swap_remove(at);
            ground.on.put(table, &key, b"came");
            present.insert(key);
        }
        1 if !present.is_empty() => {
            let key = present.pop_first().unwrap();
            ground.on.change(|set| set.delete(table, &key).unwrap()).unwrap();
            // An address that was given back is never good again.
            if ground.kind != TableKind::Sack {
                absent.push(key);
            }
        }
        _ => {
            let at = usize::try_from(rng.below(stay.len() as u64)).unwrap();
            ground.on.put(table, stay[at].1, &[2; 60]);
        }
    }
}

fn refusals(ground: &mut Ground) -> Cell {
    for (kind, name) in [(TableKind::Hash, "hash"), (TableKind::Sack, "sack")] {
        let table = ground.on.table(name, kind, TableHome::Persistent);
        let back = ground.on.next(next(table, Cursor::Start, Direction::Previous, 1));
        assert_eq!(back.unwrap_err().code(), 207, "{name} goes back");
        let op = Op::Next {
            table,
            from: Cursor::Start,
            until: Some(vec![1]),
            direction: Direction::Next,
            pairs_max: 1,
            bytes_max: 1,
        };
        assert_eq!(ground.on.next(op).unwrap_err().code(), 207, "{name} stops by key");
    }
    let gone = ground.on.next(next(TableId(999), Cursor::Start, Direction::Next, 1));
    assert_eq!(gone.unwrap_err().code(), 202);
    Cell::Holds
}

fn empty(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let key = ground.keys(table, 1).remove(0);
    for from in [Cursor::Start, Cursor::At(key.clone()), Cursor::Past(key)] {
        assert_eq!(ground.on.next(next(table, from, Direction::Next, 10)).unwrap(), (vec![], false));
    }
    Cell::Holds
}
