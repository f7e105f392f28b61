//! Requests that are applied once, over the real socket: through a proxy that cuts, delays and duplicates, over kills of the daemon, and
//! spoken by hand.
//!
//! What is counted are letters: each commit adds one to a record, so the record's length is how many were applied.

mod crashes;
mod frames;
mod proxy;

use crate::process::{self, Daemon};
use lostore::remote::{ConnectOptions, Resume};
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, Error, Options, PutOptions, RawTable, Store, Ticket, TxnOptions, plain_spec};
use proxy::Proxy;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use tests::rng::Rng;

const KEY: &[u8] = b"letters";
/// Commits that a client has under way.
const UNDER_WAY: usize = 8;
/// Longer than any test takes: nobody gives up because a machine is slow.
const PATIENCE: Duration = Duration::from_secs(600);

fn connect(socket: &Path, replay: bool) -> Store<AnyBackend> {
    let resume = Some(Resume { patience: PATIENCE, replay, ..Resume::new() });
    let connect = ConnectOptions { resume, ..ConnectOptions::default() };
    let remote = Options { connect, ..Options::default() }.connect(socket).unwrap();
    Store::new(AnyBackend::Remote(remote))
}

fn begin(dir: &Path) -> Daemon {
    let daemon = Daemon::start(dir);
    let spec = plain_spec(TableKind::Hash, TableHome::Persistent);
    daemon.connect().create_raw("letters", spec).unwrap();
    daemon
}

/// Adds so many letters, some under way, and tells of each answer; the tickets.
fn add(
    table: &RawTable<AnyBackend>,
    key: &[u8],
    count: usize,
    persistent: bool,
    answered: &mpsc::Sender<()>,
) -> Vec<Result<Ticket<AnyBackend>, Error>> {
    let (mut under_way, mut tickets) = (VecDeque::new(), Vec::new());
    for _ in 0..count {
        if under_way.len() == UNDER_WAY {
            let pending: lostore::PendingCommit<AnyBackend> = under_way.pop_front().unwrap();
            tickets.push(pending.wait());
            let _ = answered.send(());
        }
        let mut txn = table.store().txn_with(TxnOptions { persistent, ..TxnOptions::default() }).unwrap();
        txn.raw(table).append(key, b"x", PutOptions::default()).unwrap();
        under_way.push_back(txn.commit_async());
    }
    for pending in under_way {
        tickets.push(pending.wait());
        let _ = answered.send(());
    }
    tickets
}

fn letters(daemon: &Daemon, key: &[u8]) -> usize {
    let table = daemon.connect().open_raw("letters").unwrap();
    table.get(key).unwrap().map_or(0, |pair| pair.value.len())
}

#[test]
fn what_a_proxy_cuts_delays_and_duplicates_is_applied_once() {
    const CLIENTS: usize = 4;
    const COUNT: usize = 150;
    let dir = tempfile::tempdir().unwrap();
    let daemon = begin(&dir.path().join("store"));
    let proxy = Proxy::start(dir.path().join("proxy"), daemon.socket(), 0x0bad_cab1);
    let (answered, _told) = mpsc::channel();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (proxy, answered) = (&proxy, answered.clone());
            scope.spawn(move || {
                let table = connect(proxy.path(), client % 2 == 0).open_raw("letters").unwrap();
                for ticket in add(&table, KEY, COUNT, client / 2 == 0, &answered) {
                    ticket.unwrap().persistent().unwrap();
                }
            });
        }
    });
    // Whatever of it is still held up somewhere comes now, and changes nothing.
    let done = proxy.stop();
    assert_eq!(letters(&daemon, KEY), CLIENTS * COUNT, "{done:?}");
    assert!(done.cuts >= 10 && done.copies >= 50 && done.ghosts >= 10, "the proxy did what it is for: {done:?}");
    daemon.stop();
    assert!(process::lostore(&["verify", process::text(&dir.path().join("store"))]).status().unwrap().success());
}

/// Kills the daemon over and over while clients add letters, until all have been answered; how often, and the last daemon.
fn kill_over_and_over(mut daemon: Daemon, dir: &Path, told: &mpsc::Receiver<()>) -> (usize, Daemon) {
    let (mut rng, mut kills) = (Rng::new(0x000c_e000), 0);
    loop {
        let answers = usize::try_from(1 + rng.below(150)).unwrap();
        if told.iter().take(answers).count() < answers {
            return (kills, daemon);
        }
        daemon.kill();
        kills += 1;
        daemon = Daemon::start(dir);
    }
}

/// Clients that each have a record of their own, over kills: how many letters each added, how many of its tickets say that they are
/// persistent, and how many are there.
fn over_kills(persistent: bool, replay: bool) -> Vec<(usize, usize, usize)> {
    const CLIENTS: usize = 3;
    const COUNT: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let daemon = begin(&store);
    let (socket, (answered, told)) = (daemon.socket(), mpsc::channel());
    let key = |client: usize| format!("letters of {client}").into_bytes();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (socket, answered) = (&socket, answered.clone());
                scope.spawn(move || {
                    let table = connect(socket, replay).open_raw("letters").unwrap();
                    let tickets = add(&table, &key(client), COUNT, persistent, &answered);
                    drop(answered);
                    tickets.into_iter().map(stands).filter(|stands| *stands).count()
                })
            })
            .collect();
        drop(answered);
        let (kills, daemon) = kill_over_and_over(daemon, &store, &told);
        assert!(kills >= 5, "{kills} kills");
        let stand: Vec<usize> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let found = (0..CLIENTS).map(|client| letters(&daemon, &key(client)));
        stand.into_iter().zip(found).map(|(stand, there)| (COUNT, stand, there)).collect()
    })
}

/// Whether a commit is persistent. All were answered well; what is lost says so by its code.
fn stands(ticket: Result<Ticket<AnyBackend>, Error>) -> bool {
    match ticket.expect("every commit is answered well").persistent() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), 305, "{error}");
            false
        }
    }
}

#[test]
fn over_kills_what_is_answered_when_it_is_persistent_is_applied_once() {
    for (sent, stand, there) in over_kills(true, false) {
        assert_eq!((stand, there), (sent, sent));
    }
}

#[test]
fn over_kills_every_ticket_says_what_became_of_its_commit() {
    for (sent, stand, there) in over_kills(false, false) {
        assert_eq!(stand, there, "of {sent}");
    }
}

#[test]
fn over_kills_what_was_answered_and_lost_is_made_again_once() {
    for (sent, stand, there) in over_kills(false, true) {
        assert_eq!((stand, there), (sent, sent));
    }
}
