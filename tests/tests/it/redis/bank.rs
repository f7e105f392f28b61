//! Money moved between accounts by `WATCH`, `MULTI` and `EXEC` over 64 connections, while the daemon is killed: none is made or lost.

use super::{Client, Reply};
use crate::process::Daemon;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use tests::rng::Rng;

const ACCOUNTS: u64 = 32;
const START: i64 = 1000;
const CLIENTS: u64 = 64;
/// Times that the daemon is killed.
const LIVES: u64 = 4;
/// Transfers of a life before the kill.
const TRANSFERS: usize = 1500;

fn account(number: u64) -> String {
    format!("account:{number}")
}

/// Moves money until the daemon is gone. Returns how many of its transfers `WAITAOF` has said to be persistent.
fn transfer(socket: &Path, client: u64, seed: u64, tell: &mpsc::Sender<()>) -> i64 {
    let mut rng = Rng::new(seed);
    let mut persistent = 0;
    let Ok(mut connection) = Client::connect(socket) else { return persistent };
    while let Ok(done) = one(&mut connection, client, &mut rng) {
        let _ = tell.send(());
        if done && rng.below(20) == 0 {
            let counted = connection.call(&["GET", &format!("done:{client}")]).map(|reply| reply.number());
            let waited = connection.call(&["WAITAOF", "1", "0", "0"]);
            if let (Ok(counted), Ok(Reply::Array(copies))) = (counted, waited) {
                assert_eq!(copies, [Reply::Integer(1), Reply::Integer(0)]);
                persistent = counted;
            }
        }
    }
    persistent
}

/// One attempt; `false` when somebody else was faster.
fn one(connection: &mut Client, client: u64, rng: &mut Rng) -> io::Result<bool> {
    let from = account(rng.below(ACCOUNTS));
    let to = account(rng.below(ACCOUNTS));
    if from == to {
        return Ok(false);
    }
    let seen = connection.pipeline(&[&["WATCH", &from, &to], &["MGET", &from, &to]])?;
    let Reply::Array(balances) = &seen[1] else { panic!("MGET was answered with {:?}", seen[1]) };
    let amount = i64::try_from(rng.below(50)).unwrap().min(balances[0].number());
    let (less, more) = ((balances[0].number() - amount).to_string(), (balances[1].number() + amount).to_string());
    let counter = format!("done:{client}");
    let replies = connection.pipeline(&[
        &["MULTI"],
        &["SET", &from, &less],
        &["SET", &to, &more],
        &["INCR", &counter],
        &["EXEC"],
    ])?;
    match &replies[4] {
        Reply::Array(results) => {
            assert_eq!(results[..2], [Reply::Simple("OK".into()), Reply::Simple("OK".into())]);
            Ok(true)
        }
        Reply::Null => Ok(false),
        other => panic!("EXEC was answered with {other:?}"),
    }
}

/// Reads all accounts at one moment.
fn sum(connection: &mut Client) -> i64 {
    let names: Vec<String> = (0..ACCOUNTS).map(account).collect();
    let all: Vec<&str> = std::iter::once("MGET").chain(names.iter().map(String::as_str)).collect();
    let replies = connection.pipeline(&[&["MULTI"], &all, &["EXEC"]]).unwrap();
    let Reply::Array(results) = &replies[2] else { panic!("EXEC was answered with {:?}", replies[2]) };
    let Reply::Array(balances) = &results[0] else { panic!("MGET was answered with {:?}", results[0]) };
    balances.iter().map(Reply::number).sum()
}

#[test]
fn the_sum_of_all_accounts_holds_over_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut persistent = vec![0; usize::try_from(CLIENTS).unwrap()];
    let mut transfers = 0;
    for life in 0..LIVES {
        let daemon = Daemon::start(dir.path());
        let mut connection = Client::connect(&daemon.socket()).unwrap();
        if life == 0 {
            for number in 0..ACCOUNTS {
                let set = connection.call(&["SET", &account(number), &START.to_string(), "NX"]).unwrap();
                assert_eq!(set, Reply::Simple("OK".into()));
            }
            assert_eq!(
                connection.call(&["WAITAOF", "1", "0", "0"]).unwrap(),
                Reply::Array(vec![Reply::Integer(1), Reply::Integer(0)])
            );
        }
        assert_eq!(sum(&mut connection), START * i64::try_from(ACCOUNTS).unwrap(), "after {life} kills");
        for (client, known) in (0..CLIENTS).zip(&persistent) {
            let done = connection.call(&["GET", &format!("done:{client}")]).unwrap();
            let done = if done == Reply::Null { 0 } else { done.number() };
            assert!(
                done >= *known,
                "client {client} was told that {known} of its transfers are persistent, {done} are there"
            );
        }
        let (tell, told) = mpsc::channel();
        let socket = daemon.socket();
        persistent = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (tell, socket) = (tell.clone(), &socket);
                    scope.spawn(move || transfer(socket, client, life << 32 | client, &tell))
                })
                .collect();
            for _ in 0..TRANSFERS {
                told.recv().unwrap();
                transfers += 1;
            }
            assert_eq!(sum(&mut connection), START * i64::try_from(ACCOUNTS).unwrap(), "while they move");
            daemon.kill();
            clients.into_iter().zip(&persistent).map(|(client, before)| client.join().unwrap().max(*before)).collect()
        });
    }
    println!("{transfers} transfers by {CLIENTS} connections over {LIVES} kills");
}
