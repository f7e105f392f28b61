//! Expiry: a pair whose time is over is not there, for nobody, and its key is free.

use super::pairs::found;
use super::{Cell, Ground, Line, On};
use crate::column::Lack;
use domains::{Cursor, Direction, Op};
use txn::{CommitSet, Expect, PutOptions};

pub(super) const CHECKS: &[Line] = &[
    ("an expired pair is absent for lookups and compares, and can be put anew", On::Each, absent),
    ("an expired pair is absent for iterations, which go on behind it", On::Each, walks),
    ("an expired pair stays expired after a reopen", On::Each, reopened),
];

/// How long the pairs of these checks live.
const LIFE_MS: u64 = 1000;

fn options(ground: &Ground) -> PutOptions {
    PutOptions {
        expires_ms: Some(ground.on.unix_ms() + LIFE_MS),
        compressed: false,
        compact: false,
        revertible_ms: None,
    }
}

fn absent(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Clock) {
        return Cell::Not(Lack::Clock);
    }
    let table = ground.table();
    let keys = ground.keys(table, 4);
    for round in 0..3 {
        let short = options(ground);
        for key in &keys {
            ground.on.change(|set| set.insert(table, key, b"short", short).unwrap()).unwrap();
        }
        ground.on.pass(LIFE_MS - 1);
        assert!(keys.iter().all(|key| ground.on.get(table, key).is_some()), "one tick before its time");
        ground.on.pass(1);
        assert!(keys.iter().all(|key| ground.on.get(table, key).is_none()), "at its time, in round {round}");
        assert_eq!(found(ground.on.change(|set| set.update(table, &keys[0], b"", short).unwrap())), [(0, None)]);
        assert_eq!(found(ground.on.change(|set| set.delete(table, &keys[0]).unwrap())), [(0, None)]);
        ground.on.change(|set| set.compare(table, &keys[0], Expect::Absent).unwrap()).unwrap();
        let present = ground.on.change(|set| set.compare(table, &keys[0], Expect::Present).unwrap());
        assert_eq!(found(present), [(0, None)]);
        ground.on.put(table, &keys[1], b"upserted");
        assert_eq!(ground.on.get(table, &keys[1]).unwrap().expires_ms, None, "the new record has its own time");
        ground.on.pass(10 * LIFE_MS);
        assert_eq!(ground.on.value(table, &keys[1]).unwrap(), b"upserted");
        // An overwritten expiry: the pair without one must go before the next round's inserts.
        ground.on.change(|set| set.upsert(table, &keys[1], b"short", options_at(ground_ms(short))).unwrap()).unwrap();
    }
    Cell::Holds
}

fn ground_ms(options: PutOptions) -> u64 {
    options.expires_ms.expect("these options have one")
}

/// Options of a pair that has expired by now.
fn options_at(ms: u64) -> PutOptions {
    PutOptions { expires_ms: Some(ms), compressed: false, compact: false, revertible_ms: None }
}

fn walks(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Clock) {
        return Cell::Not(Lack::Clock);
    }
    let table = ground.table();
    let keys = ground.keys(table, 60);
    let short = options(ground);
    for key in &keys {
        ground.on.put(table, key, b"v");
    }
    // By their place in the iteration: the first ten, the last ten, and runs in between.
    let order: Vec<_> = ground.on.all(table, Direction::Next, 100).into_iter().map(|pair| pair.key).collect();
    let goes = |at: usize| !(10..50).contains(&at) || at % 10 < 6;
    for (at, key) in order.iter().enumerate().filter(|(at, _)| goes(*at)) {
        let put = |set: &mut CommitSet| set.update(table, key, b"short", short).unwrap();
        ground.on.change(put).unwrap_or_else(|error| panic!("{at}: {error}"));
    }
    ground.on.pass(LIFE_MS);
    let stay: Vec<_> = order.iter().enumerate().filter(|(at, _)| !goes(*at)).map(|(_, key)| key.clone()).collect();
    for pairs_max in [1, 2, 3, 7, 100] {
        let (mut from, mut seen) = (Cursor::Start, Vec::new());
        loop {
            let op = Op::Next { table, from, until: None, direction: Direction::Next, pairs_max, bytes_max: 1 << 20 };
            let (pairs, more) = ground.on.next(op).unwrap();
            seen.extend(pairs.iter().map(|pair| pair.key.clone()));
            if !more {
                break;
            }
            let last = pairs.last().expect("a batch with more behind it has a pair to go on from");
            from = Cursor::Past(last.key.clone());
        }
        assert_eq!(seen, stay, "in batches of {pairs_max}");
    }
    Cell::Holds
}

fn reopened(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Persistence) {
        return Cell::Not(Lack::Persistence);
    }
    if ground.on.lacks(Lack::Clock) {
        return Cell::Not(Lack::Clock);
    }
    let table = ground.table();
    let keys = ground.keys(table, 80);
    let short = options(ground);
    for (number, key) in keys.iter().enumerate() {
        let options = if number % 2 == 0 { short } else { PutOptions::default() };
        ground.on.change(|set| set.insert(table, key, &[1; 900], options).unwrap()).unwrap();
    }
    ground.on.force();
    ground.on.reopen();
    ground.on.pass(LIFE_MS);
    let persistent = ground.home == domains::schema::TableHome::Persistent;
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(ground.on.get(table, key).is_some(), persistent && number % 2 == 1, "pair {number}");
    }
    let put = ground.on.change(|set| set.insert(table, &keys[0], b"new", PutOptions::default()).unwrap());
    if persistent || ground.kind != domains::schema::TableKind::Sack {
        put.unwrap();
        assert_eq!(ground.on.value(table, &keys[0]).unwrap(), b"new");
    }
    Cell::Holds
}
