//! The store behind its socket: round trips of one client at several depths, server and client on this machine.

use crate::keys::{Scatter, key};
use crate::report;
use domains::config::Config;
use lostore::schema::{TableHome, TableKind};
use lostore::{Error, PutOptions, plain_spec};
use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;
use uds_server::{ServeConfig, serve};
use uring::{Bell, Doorbell};

/// Measures lookups and single updates at each depth.
pub(crate) fn run(pairs: u64, count: u64, depths: &[usize], rounds: u32) -> Result<(), Error> {
    with_server(Config::default(), |socket| measure(socket, pairs, count, depths, rounds))
}

/// How a server is ended, and what it says then.
pub(crate) struct Ends {
    pub(crate) bell: Bell,
    pub(crate) thread: JoinHandle<Result<(), Error>>,
}

/// Serves a fresh store on a thread of its own for as long as `measure` takes.
pub(crate) fn with_server(
    engine: Config,
    measure: impl FnOnce(&std::path::Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory for a store");
    let socket = directory.path().join("bench.sock");
    let config = ServeConfig::new(directory.path().join("store"), socket.clone());
    let Ends { bell, thread } = server(config, engine)?;
    measure(&socket)?;
    ended(&bell, thread)
}

/// Starts a server on a thread of its own; clients can connect when it is back.
pub(crate) fn server(mut config: ServeConfig, engine: Config) -> Result<Ends, Error> {
    let doorbell = Doorbell::new().map_err(lostore::OpenError::from)?;
    let bell = doorbell.bell();
    config.termination = Some(doorbell);
    let (ready, is_ready) = mpsc::channel();
    let thread = std::thread::spawn(move || serve(&config, &engine, |_| ready.send(()).expect("the measurer waits")));
    if is_ready.recv().is_err() {
        thread.join().expect("a server that does not panic")?;
        unreachable!("a server that never was ready ends with an error");
    }
    Ok(Ends { bell, thread })
}

/// Ends a server.
pub(crate) fn ended(bell: &Bell, thread: JoinHandle<Result<(), Error>>) -> Result<(), Error> {
    bell.ring();
    thread.join().expect("a server that does not panic")
}

fn measure(socket: &std::path::Path, pairs: u64, count: u64, depths: &[usize], rounds: u32) -> Result<(), Error> {
    let store = lostore::open::connect(socket)?;
    let table = store.create_raw("bench", plain_spec(TableKind::Hash, TableHome::Persistent))?;
    let value = [7; 100];
    let start = Instant::now();
    let mut flying = VecDeque::new();
    for number in 0..pairs {
        let mut txn = store.txn();
        txn.raw(&table).upsert(&key(number), &value, PutOptions::default())?;
        flying.push_back(txn.start_commit()?);
        if flying.len() == 128 {
            flying.pop_front().expect("128 are there").wait()?;
        }
    }
    for pending in flying.drain(..) {
        pending.wait()?;
    }
    report("load, 128 deep", pairs, start.elapsed());
    for _ in 0..rounds {
        for &depth in depths {
            // Each measurement takes about as long whatever the depth.
            let count = count.min(count * depth as u64 / 16 + 20_000);
            let mut numbers = Scatter::new(pairs);
            let start = Instant::now();
            let mut flying = VecDeque::with_capacity(depth);
            for _ in 0..count {
                flying.push_back(table.start_get(&key(numbers.next())));
                if flying.len() == depth {
                    flying.pop_front().expect("as many as the depth").wait()?;
                }
            }
            for pending in flying.drain(..) {
                pending.wait()?;
            }
            report(&format!("lookup, {depth} deep"), count, start.elapsed());
            let start = Instant::now();
            let mut flying = VecDeque::with_capacity(depth);
            for _ in 0..count {
                let mut txn = store.txn();
                txn.raw(&table).upsert(&key(numbers.next()), &value, PutOptions::default())?;
                flying.push_back(txn.start_commit()?);
                if flying.len() == depth {
                    flying.pop_front().expect("as many as the depth").wait()?;
                }
            }
            for pending in flying.drain(..) {
                pending.wait()?;
            }
            report(&format!("update, {depth} deep"), count, start.elapsed());
        }
    }
    Ok(())
}
