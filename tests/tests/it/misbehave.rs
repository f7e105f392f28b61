//! Clients that misbehave, against the real daemon: what they cost ends with them, and a client that does nothing wrong is served all
//! the while.
//!
//! Contract: each test has a daemon, a [`Probe`] that works beside the misbehaviour and must have no error, and a [`Baseline`] taken
//! before: descriptors, transactions, memory and waits of connections are back to it afterwards. Tests wait for that by asking
//! again, never by the clock. What single frames and directories may be is in `bad_input`.
//!
//! [`clients`] is what one client may do, or a thousand; [`greedy`] is to take more than one's part; [`memory`] is to want more than
//! the daemon's memory; [`storm`] is when all want one key.

mod clients;
mod greedy;
mod memory;
mod storm;

use crate::process::Daemon;
use lostore::schema::{TableHome, TableKind};
use lostore::{Connections, PutOptions, plain_spec};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// How often a state is looked at until it is believed not to come: at least two minutes.
const LOOKS_MAX: u32 = 12_000;

/// Looks until it is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS_MAX {
        if is_so() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    panic!("it has not come about: {what}");
}

/// Puts and gets small pairs beside the misbehaviour, one after the other.
struct Probe {
    thread: Option<std::thread::JoinHandle<u32>>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
}

impl Probe {
    fn start(daemon: &Daemon) -> Self {
        let store = daemon.connect();
        let table = store.create_raw("probe", plain_spec(TableKind::Ordered, TableHome::Persistent)).unwrap();
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&done));
        let began = Arc::new(Barrier::new(2));
        let begins = Arc::clone(&began);
        let thread = std::thread::spawn(move || {
            let mut rounds = 0_u32;
            while !stopped.load(Ordering::Relaxed) {
                let key = (rounds % 100).to_le_bytes();
                let value = vec![u8::try_from(rounds % 251).unwrap(); 1000];
                table.upsert(&key, &value, PutOptions::default()).expect("a well-behaved put is done");
                let found = table.get(&key).expect("a well-behaved get is done");
                assert_eq!(found.expect("what was put is there").value, value);
                rounds += 1;
                counted.store(rounds, Ordering::Relaxed);
                if rounds == 1 {
                    begins.wait();
                }
            }
            rounds
        });
        began.wait();
        Self { thread: Some(thread), stop, done }
    }

    /// Waits until it has done so many rounds more: it is served while the others misbehave.
    #[track_caller]
    fn goes_on(&self, rounds: u32) {
        let until_then = self.done.load(Ordering::Relaxed) + rounds;
        until("the probe is served", || {
            assert!(!self.thread.as_ref().unwrap().is_finished(), "the probe has failed");
            self.done.load(Ordering::Relaxed) >= until_then
        });
    }

    /// Stops it; it has had no error.
    fn stop(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("the probe had no error")
    }
}

/// What a daemon holds when nobody misbehaves.
#[derive(PartialEq, Eq, Debug)]
struct Baseline {
    descriptors: usize,
    connections: u64,
    waiting: u64,
    /// Whether connections hold more than their shares.
    holding: bool,
}

/// A daemon, looked at from outside and asked.
struct Watch {
    store: lostore::Store<lostore::AnyBackend>,
    process: PathBuf,
}

impl Watch {
    fn new(daemon: &Daemon) -> Self {
        let process = PathBuf::from(format!("/proc/{}", daemon.ready["pid"]));
        Self { store: daemon.connect(), process }
    }

    fn connections(&self) -> Connections {
        self.store.status().unwrap().connections
    }

    /// Bytes of the daemon's memory that are in use, as the system counts them.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(self.process.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(self.process.join("fd")).unwrap().count()
    }

    fn baseline(&self) -> Baseline {
        let Connections { count, bytes, waiting, .. } = self.connections();
        // The probe and the watch have a page or two under way.
        Baseline { descriptors: self.descriptors(), connections: count, waiting, holding: bytes > 256 << 10 }
    }

    #[track_caller]
    fn back_to(&self, before: &Baseline) {
        assert!(!before.holding, "{before:?}");
        let mut last = None;
        for _ in 0..LOOKS_MAX {
            let now = self.baseline();
            if now == *before {
                return;
            }
            last = Some(now);
            std::thread::park_timeout(Duration::from_millis(10));
        }
        panic!("it holds {last:?} and not {before:?}");
    }
}
