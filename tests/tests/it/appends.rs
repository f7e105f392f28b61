//! Appends of eight connections to one record of the real daemon: all land, each whole, and what was answered as persistent is there
//! after the daemon was killed.

use crate::process::{self, Daemon};
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, PutOptions, RawTable, TxnOptions, plain_spec};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc;

const CONNECTIONS: usize = 8;
/// Appends that a connection has under way.
const WINDOW: usize = 8;
/// The record that all append to.
const KEY: &[u8] = b"column";
/// What stands in it before.
static BASE: [u8; 100_000] = [b'.'; 100_000];

/// What one connection appends: it says whose it is and which, and its length follows from that.
fn piece(client: usize, number: usize) -> Vec<u8> {
    let filler = "x".repeat((client * 131 + number * 977) % [40, 900, 6_000][number % 3]);
    format!("<{client}:{number}:{filler}>").into_bytes()
}

/// How many pieces of each client stand in the record. It must be the base and then whole pieces, those of a client in their order.
#[track_caller]
fn pieces_in(record: &[u8], clients: usize) -> Vec<usize> {
    let mut rest = record.strip_prefix(&BASE).expect("the record begins as it was put");
    let mut counts = vec![0; clients];
    while !rest.is_empty() {
        let text = std::str::from_utf8(&rest[1..rest.len().min(40)]).expect("pieces are text");
        let client: usize = text.split(':').next().unwrap().parse().expect("a piece begins here");
        rest = rest.strip_prefix(&piece(client, counts[client])[..]).unwrap_or_else(|| {
            panic!("piece {} of client {client} does not stand whole at {}", counts[client], record.len() - rest.len())
        });
        counts[client] += 1;
    }
    counts
}

fn begin(dir: &Path) -> Daemon {
    let daemon = Daemon::start(dir);
    let spec = plain_spec(TableKind::Hash, TableHome::Persistent);
    daemon.connect().create_raw("columns", spec).unwrap().upsert(KEY, &BASE, PutOptions::default()).unwrap();
    daemon
}

/// Appends piece after piece, some under way, until there were so many or the daemon is gone; how many were answered as persistent.
fn append(table: &RawTable<AnyBackend>, client: usize, count: usize, tell: &mpsc::Sender<()>) -> usize {
    let mut under_way = VecDeque::new();
    let mut answered = 0;
    for number in 0..count {
        let mut txn = table.store().txn_with(TxnOptions { persistent: true, ..TxnOptions::default() }).unwrap();
        txn.raw(table).append(KEY, &piece(client, number), PutOptions::default()).unwrap();
        under_way.push_back(txn.commit_async());
        if under_way.len() == WINDOW {
            let Ok(ticket) = under_way.pop_front().unwrap().wait() else { return answered };
            assert!(ticket.is_persistent());
            answered += 1;
            let _ = tell.send(());
        }
    }
    for pending in under_way {
        let Ok(_) = pending.wait() else { return answered };
        answered += 1;
        let _ = tell.send(());
    }
    answered
}

/// Eight connections that each append so many pieces under numbers of their own; `then` happens beside them and is told of answers.
fn all_append(daemon: Daemon, first: usize, count: usize, then: impl FnOnce(Daemon, mpsc::Receiver<()>)) -> Vec<usize> {
    let tables: Vec<_> = (0..CONNECTIONS).map(|_| daemon.connect().open_raw("columns").unwrap()).collect();
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (first..)
            .zip(&tables)
            .map(|(client, table)| {
                let tell = tell.clone();
                scope.spawn(move || append(table, client, count, &tell))
            })
            .collect();
        drop(tell);
        then(daemon, told);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn appends_of_eight_connections_all_land_each_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let answered = all_append(begin(&store), 0, 250, |daemon, told| {
        assert_eq!(told.into_iter().count(), CONNECTIONS * 250);
        let record = daemon.connect().open_raw("columns").unwrap().get(KEY).unwrap().unwrap().value;
        assert_eq!(pieces_in(&record, CONNECTIONS), [250; CONNECTIONS]);
        daemon.stop();
    });
    assert_eq!(answered, [250; CONNECTIONS]);
    assert!(process::lostore(&["verify", process::text(&store)]).status().unwrap().success());
}

/// Lives of the daemon that end with a kill under load, on one record that all of them append to.
#[test]
fn what_was_appended_and_answered_as_persistent_survives_kills() {
    const LIVES: usize = 6;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let (mut daemon, mut answered) = (begin(&store), Vec::new());
    for life in 0..LIVES {
        let of_this = all_append(daemon, life * CONNECTIONS, usize::MAX, |daemon, told| {
            assert_eq!(told.into_iter().take(40 + life * 60).count(), 40 + life * 60);
            daemon.kill();
        });
        answered.extend(of_this);
        daemon = Daemon::start(&store);
        let record = daemon.connect().open_raw("columns").unwrap().get(KEY).unwrap().unwrap().value;
        let there = pieces_in(&record, answered.len());
        for (client, (there, answered)) in there.iter().zip(&answered).enumerate() {
            assert!(
                there >= answered,
                "life {life}, client {client}: {answered} answered as persistent, {there} there"
            );
            assert!(*there <= answered + WINDOW, "life {life}, client {client}: {there} there, {answered} answered");
        }
    }
    daemon.stop();
    assert!(process::lostore(&["verify", process::text(&store)]).status().unwrap().success());
}
