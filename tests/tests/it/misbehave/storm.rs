//! A storm of compare-and-swaps on one key: everybody gets through, over the socket and in one process, and who does something else is
//! served beside it.
//!
//! Contract: counted, not timed. 64 connections, each with one swap under way, are served by one thread, which asks again at once for
//! whoever was answered and begins each round with another. So no connection waits for a thread of its own, and how often each
//! succeeds is the server's doing.

use super::clients::beside;
use crate::process::Daemon;
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, Backend, Expect, PendingCommit, PutOptions, RawTable, Version, plain_spec};
use std::sync::atomic::{AtomicU64, Ordering};

const CLIENTS: usize = 64;
/// Swaps that each would have if all had the same.
const FAIR: u64 = 32;
const KEY: &[u8] = b"key";

/// One connection: what it believes to be there, and the swap that it has asked for.
struct Client {
    table: RawTable<AnyBackend>,
    believed: Version,
    asked: Option<PendingCommit<AnyBackend>>,
    won: u64,
    lost: u64,
}

/// Asks for a swap of what is believed to be there.
fn swap<B: Backend>(table: &RawTable<B>, believed: Version) -> PendingCommit<B> {
    let mut txn = table.store().txn();
    let mut raw = txn.raw(table);
    raw.compare(KEY, Expect::At(believed)).unwrap();
    raw.upsert(KEY, b"value", PutOptions::default()).unwrap();
    txn.commit_async()
}

impl Client {
    fn new(daemon: &Daemon, believed: Version) -> Self {
        let table = daemon.connect().open_raw("storm").unwrap();
        Self { table, believed, asked: None, won: 0, lost: 0 }
    }

    fn ask(&mut self) {
        self.asked = Some(swap(&self.table, self.believed));
    }

    /// Takes the answer when it has come: the version that is there now, whoever gave it.
    fn heed(&mut self) -> bool {
        let Some(answer) = self.asked.as_mut().and_then(PendingCommit::poll) else { return false };
        self.asked = None;
        match answer {
            Ok(ticket) => {
                self.believed = ticket.versions()[0];
                self.won += 1;
            }
            Err(error) => {
                self.believed = error.failures()[0].found.unwrap();
                self.lost += 1;
            }
        }
        true
    }
}

/// Misbehaviour 14.
#[test]
fn in_a_storm_on_one_key_every_connection_has_a_quarter_of_its_fair_share() {
    beside(|daemon, watch, probe| {
        let table = watch.store.create_raw("storm", plain_spec(TableKind::Hash, TableHome::Persistent)).unwrap();
        let believed = table.upsert(KEY, b"value", PutOptions::default()).unwrap().versions()[0];
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::new(daemon, believed)).collect();
        clients.iter_mut().for_each(Client::ask);
        let (mut won, mut rounds) = (0, 0);
        while won < CLIENTS as u64 * FAIR {
            let mut heard = false;
            for number in 0..CLIENTS {
                let client = &mut clients[(rounds + number) % CLIENTS];
                if client.heed() {
                    heard = true;
                    client.ask();
                }
            }
            rounds += 1;
            won = clients.iter().map(|client| client.won).sum();
            if !heard {
                std::thread::yield_now();
            }
        }
        probe.goes_on(5);
        let status = watch.store.status().unwrap();
        let wins = || clients.iter().map(|client| client.won);
        println!(
            "{won} swaps of {CLIENTS} clients: the least {}, the most {}; {} failed, {} waited in turn, {} turns ended by the clock",
            wins().min().unwrap(),
            wins().max().unwrap(),
            clients.iter().map(|client| client.lost).sum::<u64>(),
            status.contention_waits,
            status.lease_ends
        );
        assert!(status.contention_waits > 0, "the key was hot");
        for (number, won) in wins().enumerate() {
            assert!(won * 4 >= FAIR, "client {number} has won {won} of {FAIR}");
        }
    });
}

/// The same by threads of one process. Each goes on until the last has had its swaps, so whoever was starved would end it never.
#[test]
fn in_a_storm_in_one_process_every_thread_has_its_swaps() {
    const THREADS: u64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let store = lostore::open(dir.path()).unwrap();
    let table = store.create_raw("storm", plain_spec(TableKind::Hash, TableHome::Persistent)).unwrap();
    table.upsert(KEY, b"value", PutOptions::default()).unwrap();
    let (unfinished, all) = (AtomicU64::new(THREADS), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let (mut believed, mut won) = (table.get(KEY).unwrap().unwrap().version, 0);
                while unfinished.load(Ordering::Relaxed) > 0 {
                    match swap(&table, believed).wait() {
                        Ok(ticket) => {
                            believed = ticket.versions()[0];
                            won += 1;
                            if won == FAIR {
                                unfinished.fetch_sub(1, Ordering::Relaxed);
                            }
                        }
                        Err(error) => believed = error.failures()[0].found.unwrap(),
                    }
                }
                all.fetch_add(won, Ordering::Relaxed);
            });
        }
    });
    let (all, status) = (all.into_inner(), store.status().unwrap());
    println!("{all} swaps until each of {THREADS} threads had {FAIR}; {} waited in turn", status.contention_waits);
    assert!(status.contention_waits > 0, "the key was hot");
}
