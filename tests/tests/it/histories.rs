//! What eight connections to the real daemon saw, judged: single operations are linearizable, strict transactions serialisable,
//! and the judge finds what transactions that are not strict do.

use crate::process::Daemon;
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, Expect, New, PutOptions, RawTable, Store, TxnOptions, Version, Word, plain_spec};
use std::collections::{BTreeMap, VecDeque};
use std::thread::ScopedJoinHandle;
use std::time::Instant;
use tests::history::{Committed, Did, Event, Wrong, linearizable, serialisable};
use tests::rng::Rng;

/// Connections of a history.
const CONNECTIONS: u64 = 8;
/// Operations that a connection has under way.
const WINDOW: usize = 16;
/// Keys of a history: few, so that they are fought for.
const KEYS: u64 = 64;

/// Operations of the long history.
const OPERATIONS: u64 = 1_000_000;
/// Transactions of each connection where they compete.
const TRANSACTIONS: u64 = 600;

fn daemon_with(kind: TableKind) -> (tempfile::TempDir, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&dir.path().join("store"));
    daemon.connect().create_raw("words", plain_spec(kind, TableHome::Persistent)).unwrap();
    (dir, daemon)
}

/// A word's key: numbers are below 256, so keys are in their order.
fn key(number: u32) -> [u8; 1] {
    [u8::try_from(number).unwrap()]
}

/// Waits for what was asked and says what it did.
type Asked = Box<dyn FnOnce() -> Did>;

/// One connection's operations: reads, writes, and swaps over what it saw last.
fn connection(store: &Store<AnyBackend>, began: Instant, seed: u64, count: u64) -> Vec<Event> {
    let table = store.open_raw("words").unwrap();
    let mut rng = Rng::new(seed);
    let mut last: BTreeMap<u32, Option<Version>> = BTreeMap::new();
    let (mut events, mut under_way) = (Vec::new(), VecDeque::new());
    let now = || u64::try_from(began.elapsed().as_nanos()).unwrap();
    let mut finish = |(key, start, asked): (u32, u64, Asked), last: &mut BTreeMap<_, _>| {
        let did = asked();
        let version = match did {
            Did::Saw(version) => version,
            Did::Wrote(version) | Did::Swapped(_, version) => Some(version),
        };
        last.insert(key, version);
        events.push(Event { key, start, end: now(), did });
    };
    for number in 0..count {
        let word = u32::try_from(rng.below(KEYS)).unwrap();
        let start = now();
        let value = number.to_le_bytes();
        let swap = |expect| {
            let new = New::Put(&value);
            store.start_cas(&[Word { table: &table, key: &key(word), expect, new }]).unwrap()
        };
        let asked: Asked = match (rng.below(4), last.get(&word)) {
            (0, _) => {
                let pending = swap(Expect::Any);
                Box::new(|| Did::Wrote(pending.wait().unwrap().versions()[0]))
            }
            (1, Some(&before)) => {
                let pending = swap(before.map_or(Expect::Absent, Expect::At));
                Box::new(move || match pending.wait() {
                    Ok(ticket) => Did::Swapped(before, ticket.versions()[0]),
                    Err(error) => Did::Saw(error.failures()[0].found),
                })
            }
            _ => {
                let pending = table.start_get(&key(word));
                Box::new(|| Did::Saw(pending.wait().unwrap().map(|pair| pair.version)))
            }
        };
        under_way.push_back((word, start, asked));
        if under_way.len() == WINDOW {
            finish(under_way.pop_front().unwrap(), &mut last);
        }
    }
    under_way.into_iter().for_each(|asked| finish(asked, &mut last));
    events
}

/// The whole history of many connections, and what a liar among them would have been caught with.
#[test]
fn what_eight_connections_see_is_linearizable() {
    let (_dir, daemon) = daemon_with(TableKind::Hash);
    let (began, each) = (Instant::now(), OPERATIONS / CONNECTIONS);
    let stores: Vec<_> = (0..CONNECTIONS).map(|_| daemon.connect()).collect();
    let mut events: Vec<Event> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .zip(&stores)
            .map(|(number, store)| scope.spawn(move || connection(store, began, number, each)))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let lost = |event: &&Event| matches!(event.did, Did::Swapped(..));
    let swaps = events.iter().filter(lost).count();
    println!("{} operations, {swaps} of them swaps, in {:?}", events.len(), began.elapsed());
    assert_eq!(linearizable(&events), Ok(()));
    assert!(swaps > events.len() / 100, "swaps succeed");
    // The same history with one answer changed.
    let late = events.iter().map(|event| event.end).max().unwrap() + 1;
    let stale = *events.iter().find(|event| matches!(event.did, Did::Saw(Some(_)))).unwrap();
    events.push(Event { start: late, end: late + 1, ..stale });
    assert!(matches!(linearizable(&events), Err(Wrong::Order(..))), "a stale read");
    events.pop();
    let at = events.iter().rposition(|event| lost(&event)).unwrap();
    if let Did::Swapped(before, _) = &mut events[at].did {
        *before = before.map(|version| Version { ordinal: segments::Ordinal(version.ordinal.0 + 1), ..version });
    }
    assert!(linearizable(&events).is_err(), "a lost update");
}

/// Transactions of one connection on the records 0 to 7 of an ordered table: each reads two or scans a few, and writes another.
fn transactions(store: &Store<AnyBackend>, strict: bool, seed: u64) -> (Vec<Committed>, u64) {
    let table = store.open_raw("words").unwrap();
    let mut rng = Rng::new(seed);
    let (mut committed, mut failed) = (Vec::new(), 0);
    for _ in 0..TRANSACTIONS {
        let mut txn = store.txn_with(TxnOptions { strict, ..TxnOptions::default() }).unwrap();
        let mut did = Committed::default();
        let mut raw = txn.raw(&table);
        if rng.chance(1, 2) {
            for word in [rng.below(8), rng.below(8)].map(|word| u32::try_from(word).unwrap()) {
                did.reads.insert(word, raw.get(&key(word)).unwrap().map(|pair| pair.version));
            }
        } else {
            let from = u32::try_from(rng.below(6)).unwrap();
            let span = lostore::KeySpan { start: key(from).to_vec(), end: Some(key(from + 3).to_vec()), empty: false };
            did.reads.extend((from..from + 3).map(|word| (word, None)));
            for pair in raw.range(span) {
                let pair = pair.unwrap();
                let word = pair.key[0].into();
                did.reads.insert(word, Some(pair.version));
            }
        }
        let word = u32::try_from(rng.below(8)).unwrap();
        raw.upsert(&key(word), b"", PutOptions::default()).unwrap();
        match txn.commit() {
            Ok(ticket) => {
                did.writes.insert(word, ticket.versions()[0]);
                committed.push(did);
            }
            Err(error) => {
                assert!(!error.failures().is_empty(), "{error}");
                failed += 1;
            }
        }
    }
    (committed, failed)
}

/// Eight connections at once; what each committed, and how many failed.
fn compete(strict: bool) -> (Vec<Committed>, u64) {
    let (_dir, daemon) = daemon_with(TableKind::Ordered);
    let stores: Vec<_> = (0..CONNECTIONS).map(|_| daemon.connect()).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .zip(&stores)
            .map(|(number, store)| scope.spawn(move || transactions(store, strict, number)))
            .collect();
        joined(threads)
    })
}

/// What the connections of all threads committed, and how many failed.
pub(crate) fn joined(threads: Vec<ScopedJoinHandle<'_, (Vec<Committed>, u64)>>) -> (Vec<Committed>, u64) {
    let ends = threads.into_iter().map(|thread| thread.join().unwrap());
    ends.fold((Vec::new(), 0), |(mut all, failed), (of, more)| {
        all.extend(of);
        (all, failed + more)
    })
}

#[test]
fn strict_transactions_are_serialisable_and_others_are_not() {
    strict_and_loose(compete);
}

/// That what competes is serialisable where it is strict, and that the judge finds what it does where it is not.
pub(crate) fn strict_and_loose(compete: fn(bool) -> (Vec<Committed>, u64)) {
    let (strict, failed) = compete(true);
    assert_eq!(serialisable(&strict), Ok(()));
    println!("strict: {} committed, {failed} failed", strict.len());
    assert!(failed > 0 && strict.len() > 100, "they met each other");
    let (loose, failed) = compete(false);
    assert_eq!(failed, 0, "nothing was compared");
    let cycle = serialisable(&loose).unwrap_err();
    println!("not strict: {} committed, {} in or behind a cycle", loose.len(), cycle.len());
}

fn balance(table: &RawTable<AnyBackend>, account: u32) -> (u64, Version) {
    let pair = table.get(&key(account)).unwrap().unwrap();
    (u64::from_le_bytes(pair.value[..].try_into().unwrap()), pair.version)
}

const ACCOUNTS: u32 = 100;
const OPENING: u64 = 1000;

/// Moves money until the daemon is gone: each transfer is one swap of two balances and a line of the ledger. Gives the lines
/// whose persistence was acknowledged.
fn transfers(store: &Store<AnyBackend>, client: u32) -> Vec<Vec<u8>> {
    let (accounts, ledger) = (store.open_raw("words").unwrap(), store.open_raw("ledger").unwrap());
    let mut rng = Rng::new(client.into());
    let mut acknowledged = Vec::new();
    for number in 0_u32.. {
        let (from, to) = (u32::try_from(rng.below(100)).unwrap(), u32::try_from(rng.below(99)).unwrap());
        let to = if to == from { 99 } else { to };
        let read = |account| accounts.get(&key(account)).ok().flatten();
        let (Some(a), Some(b)) = (read(from), read(to)) else { break };
        let of = |pair: &lostore::Pair| u64::from_le_bytes(pair.value[..].try_into().unwrap());
        let amount = rng.below(20).min(of(&a));
        let (less, more) = ((of(&a) - amount).to_le_bytes(), (of(&b) + amount).to_le_bytes());
        let line = [client.to_le_bytes(), number.to_le_bytes()].concat();
        let entry = [&key(from)[..], &key(to), &amount.to_le_bytes()].concat();
        let word = |table, key, expect, new| Word { table, key, expect, new };
        let swapped = store.cas(&[
            word(&accounts, &key(from)[..], Expect::At(a.version), New::Put(&less)),
            word(&accounts, &key(to)[..], Expect::At(b.version), New::Put(&more)),
            word(&ledger, &line[..], Expect::Absent, New::Put(&entry)),
        ]);
        match swapped {
            Ok(ticket) => {
                if number % 4 == 0 && ticket.persistent().is_ok() {
                    acknowledged.push(line);
                }
            }
            Err(error) if !error.failures().is_empty() => {}
            Err(_) => break,
        }
    }
    acknowledged
}

/// 64 connections, and the daemon is killed under them: no money comes or goes, and what was acknowledged is there.
#[test]
fn a_bank_is_killed_in_the_middle() {
    let (dir, mut daemon) = daemon_with(TableKind::Ordered);
    let store = daemon.connect();
    let accounts = store.open_raw("words").unwrap();
    store.create_raw("ledger", plain_spec(TableKind::Ordered, TableHome::Persistent)).unwrap();
    (0..ACCOUNTS).for_each(|account| {
        drop(accounts.upsert(&key(account), &OPENING.to_le_bytes(), PutOptions::default()).unwrap());
    });
    store.force().unwrap();
    let (mut acknowledged, mut lines) = (Vec::new(), 0);
    for life in 0..3_u32 {
        let stores: Vec<_> = (0..64).map(|_| daemon.connect()).collect();
        let watcher = daemon.connect().open_raw("ledger").unwrap();
        acknowledged.extend(std::thread::scope(|scope| {
            let threads: Vec<_> = stores
                .iter()
                .zip(0..)
                .map(|(store, number)| scope.spawn(move || transfers(store, life * 64 + number)))
                .collect();
            // Killed once each client has made a few transfers.
            while watcher.iter().count() < lines + 400 {
                std::thread::yield_now();
            }
            daemon.kill();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        }));
        daemon = Daemon::start(&dir.path().join("store"));
        let store = daemon.connect();
        let (accounts, ledger) = (store.open_raw("words").unwrap(), store.open_raw("ledger").unwrap());
        let mut expected = vec![OPENING; ACCOUNTS as usize];
        lines = 0;
        for line in ledger.iter() {
            let entry = line.unwrap().value;
            let (from, to) = (usize::from(entry[0]), usize::from(entry[1]));
            let amount = u64::from_le_bytes(entry[2..].try_into().unwrap());
            // In the order of the lines a balance may be below nothing for a while.
            expected[from] = expected[from].wrapping_sub(amount);
            expected[to] = expected[to].wrapping_add(amount);
            lines += 1;
        }
        let balances: Vec<u64> = (0..ACCOUNTS).map(|account| balance(&accounts, account).0).collect();
        assert_eq!(balances.iter().sum::<u64>(), u64::from(ACCOUNTS) * OPENING, "life {life}: money came or went");
        assert_eq!(balances, expected, "life {life}: the ledger explains every balance");
        for line in &acknowledged {
            assert!(ledger.get(line).unwrap().is_some(), "life {life}: {line:?} was acknowledged and is gone");
        }
    }
    println!("{lines} transfers there, {} acknowledged as persistent", acknowledged.len());
    assert!(acknowledged.len() > 100, "there was something to lose");
}
