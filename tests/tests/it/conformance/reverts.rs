//! Revertible writes: what a revert restores, what a seal ends, and what a token is good for.

use super::pairs::{PLAIN, found};
use super::{Cell, Ground, Line, On};
use crate::column::Lack;
use domains::schema::TableHome;
use lostore::Error;
use segments::{TableId, Version};
use txn::{CommitSet, PutOptions};

pub(super) const CHECKS: &[Line] = &[
    ("a revert restores record, expiry, flag and absence, once", On::Each, restores),
    ("a seal, an overwrite and a delete end the time in which a write can be reverted", On::Each, ends),
    ("a lease ends at its time", On::Each, leases),
    ("a token is good after a reopen", On::Each, reopened),
    ("a domain that keeps no earlier records refuses revertible writes, reverts and seals", On::Each, refused),
];

const LEASE_MS: u64 = 60_000;

fn put(ground: &mut Ground, table: TableId, key: &[u8], value: &[u8], options: PutOptions) -> Version {
    let options = PutOptions { revertible_ms: Some(LEASE_MS), ..options };
    let done = ground.on.change(|set| set.upsert(table, key, value, options).unwrap()).unwrap();
    done.versions.as_slice()[0]
}

fn code(result: Result<domains::Committed, Error>) -> u16 {
    result.expect_err("it must be refused").code()
}

fn restores(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Reverts) {
        return Cell::Not(Lack::Reverts);
    }
    let table = ground.table();
    let keys = ground.keys(table, 2);
    let far = ground.on.unix_ms() + 1_000_000;
    for (expires_ms, compressed, value) in [(None, false, &b""[..]), (Some(far), true, &[7; 9000])] {
        let options = PutOptions { expires_ms, compressed, compact: false, revertible_ms: None };
        ground.on.change(|set| set.upsert(table, &keys[0], value, options).unwrap()).unwrap();
        let before = ground.on.status().revertible_writes;
        let tokens = [put(ground, table, &keys[0], &[1; 5000], PLAIN), put(ground, table, &keys[1], b"new", PLAIN)];
        assert_eq!(ground.on.status().revertible_writes, before + 2);
        let both = |set: &mut CommitSet| {
            set.revert(table, &keys[0], tokens[0]).unwrap();
            set.revert(table, &keys[1], tokens[1]).unwrap();
        };
        let done = ground.on.change(both).unwrap();
        let pair = ground.on.get(table, &keys[0]).unwrap();
        assert_eq!((&pair.value[..], pair.expires_ms, pair.compressed), (value, expires_ms, compressed));
        assert_eq!(pair.version, done.versions.as_slice()[0], "under a new version");
        assert_eq!(ground.on.get(table, &keys[1]), None);
        assert_eq!(found(ground.on.change(both)), [(0, Some(pair.version)), (1, None)], "a second time");
        if ground.kind == domains::schema::TableKind::Sack {
            return Cell::Holds; // An address that was given back is not put anew.
        }
    }
    Cell::Holds
}

fn ends(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Reverts) {
        return Cell::Not(Lack::Reverts);
    }
    let table = ground.table();
    let keys = ground.keys(table, 3);
    let tokens: Vec<Version> = keys.iter().map(|key| put(ground, table, key, b"v", PLAIN)).collect();
    let sealed = ground.on.change(|set| set.seal(table, &keys[0], tokens[0]).unwrap()).unwrap();
    let over = ground.on.put(table, &keys[1], b"w");
    ground.on.change(|set| set.delete(table, &keys[2]).unwrap()).unwrap();
    let all = |set: &mut CommitSet| {
        for (key, token) in keys.iter().zip(&tokens) {
            set.revert(table, key, *token).unwrap();
        }
    };
    let now = [(0, Some(sealed.versions.as_slice()[0])), (1, Some(over)), (2, None)];
    assert_eq!(found(ground.on.change(all)), now);
    assert_eq!(ground.on.value(table, &keys[0]).unwrap(), b"v");
    assert_eq!(code(ground.on.change(|set| set.revert(table, &keys[1], over).unwrap())), 306, "it was plain");
    let status = ground.on.status();
    assert_eq!((status.revertible_writes, status.kept_bytes), (0, 0));
    Cell::Holds
}

fn leases(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Reverts) {
        return Cell::Not(Lack::Reverts);
    }
    if ground.on.lacks(Lack::Clock) {
        return Cell::Not(Lack::Clock);
    }
    let table = ground.table();
    let keys = ground.keys(table, 2);
    let tokens: Vec<Version> = keys.iter().map(|key| put(ground, table, key, b"v", PLAIN)).collect();
    ground.on.pass(LEASE_MS - 1);
    ground.on.change(|set| set.revert(table, &keys[0], tokens[0]).unwrap()).unwrap();
    ground.on.pass(1);
    assert_eq!(code(ground.on.change(|set| set.revert(table, &keys[1], tokens[1]).unwrap())), 307);
    assert_eq!(code(ground.on.change(|set| set.seal(table, &keys[1], tokens[1]).unwrap())), 307);
    assert_eq!(ground.on.get(table, &keys[1]).unwrap().version, tokens[1], "nothing was changed");
    Cell::Holds
}

fn reopened(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Persistence) {
        return Cell::Not(Lack::Persistence);
    }
    let table = ground.table();
    let keys = ground.keys(table, 1);
    ground.on.put(table, &keys[0], b"old");
    let token = put(ground, table, &keys[0], b"new", PLAIN);
    ground.on.force();
    ground.on.reopen();
    let reverted = ground.on.change(|set| set.revert(table, &keys[0], token).unwrap());
    if ground.home == TableHome::Volatile {
        assert_eq!(code(reverted), 306, "the table is empty, and its writes are gone for good");
        return Cell::Holds;
    }
    reverted.unwrap();
    assert_eq!(ground.on.value(table, &keys[0]).unwrap(), b"old");
    Cell::Holds
}

fn refused(ground: &mut Ground) -> Cell {
    if !ground.on.lacks(Lack::Reverts) {
        return Cell::Holds;
    }
    let table = ground.table();
    let keys = ground.keys(table, 1);
    let version = ground.on.put(table, &keys[0], b"v");
    let options = PutOptions { revertible_ms: Some(LEASE_MS), ..PLAIN };
    assert_eq!(code(ground.on.change(|set| set.upsert(table, &keys[0], b"w", options).unwrap())), 106);
    assert_eq!(code(ground.on.change(|set| set.revert(table, &keys[0], version).unwrap())), 106);
    assert_eq!(code(ground.on.change(|set| set.seal(table, &keys[0], version).unwrap())), 106);
    assert_eq!(ground.on.value(table, &keys[0]).unwrap(), b"v");
    Cell::Holds
}
