//! The shipped engine under the simulator: crashed anywhere, recovered, and compared with the oracle.
//!
//! A failing seed is made short before it is told. It is played again, alone, with `cargo sim n`, or with `LOSTORE_SIM_SEED=n
//! cargo test -p tests crash`. `LOSTORE_SIM_CRASHES=n` asks for more crashes than the default, `LOSTORE_LONG=h` for so many hours
//! of them.

mod format;
mod mutants;
mod programs;
mod shrunk;

use segments::probes::{self, Probe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tests::harness::shrink::{RUNS_MAX, shrink};
use tests::harness::{self, Persistent};
use tests::{Failure, Fault, FaultKind, Options, Stats};

/// Crashes, each followed by a recovery, that a run of the tests reaches: 15 s on two idle cores.
const CRASHES_MIN: u64 = 60_000;
/// Threads that play seeds: the machine that checks changes has two cores.
const THREADS: usize = 2;

fn play(seed: u64) -> Result<Stats, Failure> {
    harness::run(&Persistent::of_seed(seed), seed, Options::default())
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not '{text}'")))
}

/// How long the simulator is to go on at least, when that is said.
fn long() -> Duration {
    let hours = std::env::var("LOSTORE_LONG").map_or(0.0, |text| {
        text.parse::<f64>().unwrap_or_else(|_| panic!("LOSTORE_LONG is a number of hours, not '{text}'"))
    });
    Duration::try_from_secs_f64(hours * 3_600.0).unwrap_or_else(|error| panic!("LOSTORE_LONG: {error}"))
}

/// A failure, made short, and how to see it again.
fn tell_short(failure: &Failure) -> String {
    let seed = failure.seed;
    let shrunk = shrink(&Persistent::of_seed(seed), seed, Options::default(), RUNS_MAX);
    let told = shrunk.map_or_else(|| format!("{failure}; played again it does not fail"), |shrunk| shrunk.to_string());
    format!("{told}\nagain: cargo sim {seed}")
}

#[test]
fn what_was_announced_survives_any_crash() {
    if let Some(seed) = number_from("LOSTORE_SIM_SEED") {
        let stats = play(seed).unwrap_or_else(|failure| panic!("{}", tell_short(&failure)));
        println!("seed {seed}: {stats:?}");
        return;
    }
    let wanted = number_from("LOSTORE_SIM_CRASHES").unwrap_or(CRASHES_MIN);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let (total, failures) = (Mutex::new(Stats::default()), Mutex::new(Vec::new()));
    let hits = Mutex::new([0; Probe::ALL.len()]);
    let (began, long) = (Instant::now(), long());
    let goes_on = || total.lock().expect("nobody panics with it").crashes < wanted || began.elapsed() < long;
    let worker = || {
        let _ = probes::take();
        while !failed.load(Ordering::Relaxed) && goes_on() {
            match play(next.fetch_add(1, Ordering::Relaxed)) {
                Ok(stats) => total.lock().expect("nobody panics with it").add(&stats),
                Err(failure) => {
                    failed.store(true, Ordering::Relaxed);
                    failures.lock().expect("nobody panics with it").push(failure);
                }
            }
        }
        let mut hits = hits.lock().expect("nobody panics with it");
        hits.iter_mut().zip(probes::take()).for_each(|(all, here)| *all += here);
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(worker);
        }
    });
    let stats = total.into_inner().expect("nobody panicked with it");
    println!("simulated {} seeds: {stats:?}", next.into_inner());
    let failures = failures.into_inner().expect("nobody panicked with it");
    assert!(failures.is_empty(), "{}", tell_short(&failures[0]));
    assert!(stats.crashes >= wanted, "{stats:?}");
    assert!(stats.in_recovery * 10 > stats.crashes && stats.kills * 20 > stats.crashes, "{stats:?}");
    assert!(stats.minimal_checks * 30 > stats.crashes && stats.commits_lost * 10 > stats.crashes, "{stats:?}");
    assert!(stats.rests * 20 > stats.crashes, "{stats:?}");
    assert!(stats.poisoned * 1_000 > stats.crashes, "{stats:?}");
    if wanted >= CRASHES_MIN {
        check_coverage(&stats, hits.into_inner().expect("nobody panicked with it"));
    }
}

/// The default run has come to every rare branch, and has done of everything that a client may do.
fn check_coverage(stats: &Stats, hits: [u64; Probe::ALL.len()]) {
    let hits: Vec<_> = Probe::ALL.into_iter().zip(hits).collect();
    println!("rare branches: {hits:?}");
    let unhit: Vec<_> = hits.iter().filter(|(_, times)| *times == 0).collect();
    assert!(unhit.is_empty(), "no seed comes to {unhit:?}");
    let done = [
        stats.ends,
        stats.ends_cut_short,
        stats.damage_named,
        stats.damage_harmless,
        stats.older_served,
        stats.expired,
        stats.followed,
        stats.followed_nowhere,
        stats.prefixes,
        stats.prefixes_backward,
        stats.staged,
        stats.given_up,
    ];
    assert!(done.iter().all(|times| *times >= 50), "{stats:?}");
}

/// Crashes of stores in which records move all the time.
const RESTLESS_CRASHES_MIN: u64 = 20_000;

#[test]
fn what_moves_all_the_time_survives_any_crash() {
    let (next, crashes) = (AtomicU64::new(0), AtomicU64::new(0));
    let worker = || {
        while crashes.load(Ordering::Relaxed) < RESTLESS_CRASHES_MIN {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let played = harness::run(&Persistent::restless(seed), seed, Options::default());
            let stats = played.unwrap_or_else(|failure| panic!("restless: {failure}"));
            crashes.fetch_add(stats.crashes, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(worker);
        }
    });
    println!("{} crashes", crashes.into_inner());
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..10 {
        assert_eq!(play(seed), play(seed));
    }
    assert_ne!(play(0), play(1));
}

#[test]
fn recovery_may_be_crashed_at_each_of_its_requests() {
    let (mut crashed, seeds) = (0, 40);
    for seed in 0..seeds {
        let engine = Persistent::of_seed(seed);
        for requests in 0.. {
            let options = Options { crash_recovery_at: Some(requests), ..Options::scripted() };
            let stats =
                harness::run(&engine, seed, options).unwrap_or_else(|failure| panic!("at {requests}: {failure}"));
            if stats.in_recovery == 0 {
                break;
            }
            crashed += stats.in_recovery;
        }
    }
    println!("{crashed} crashes in the recoveries of {seeds} stores");
    assert!(crashed > seeds * 5, "a recovery makes more than five requests");
}

#[test]
fn each_request_may_fail_once_or_from_then_on() {
    let mut given = 0;
    for seed in 0..8 {
        let engine = Persistent::of_seed(seed);
        for (kind, sticky, full) in FaultKind::ALL
            .into_iter()
            .flat_map(|kind| [(kind, false, false), (kind, true, false), (kind, false, true), (kind, true, true)])
        {
            let changes = !matches!(kind, FaultKind::Read | FaultKind::Flush);
            if full && !changes {
                continue;
            }
            for nth in 0.. {
                let make = if full { Fault::no_space } else { Fault::medium };
                let options = Options { fault: Some(make(kind, nth, sticky)), ..Options::scripted() };
                let stats = harness::run(&engine, seed, options)
                    .unwrap_or_else(|failure| panic!("{kind:?} {nth}, sticky {sticky}, full {full}: {failure}"));
                given += stats.faults;
                if stats.faults == 0 {
                    break;
                }
            }
        }
    }
    println!("{given} planned errors");
    assert!(given > 100, "{given} planned errors");
}
