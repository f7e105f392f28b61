//! The simulator by hand: `cargo sim SEED` plays one seed and tells it, `cargo sim --hours N` plays fresh ones until one fails.
//!
//! Contract: what is printed on standard output is the program of a seed, its trace and its figures, or, of a failure, the seed and
//! the program made short; how it goes on is said on standard error. It ends with 1 when a seed fails and with 2 when it is
//! asked for what it does not do.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it says is for whoever runs it")]

use segments::mutants::{Mutant, plant};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tests::harness::shrink::{Only, RUNS_MAX, shrink, tell};
use tests::harness::{self, Persistent};
use tests::{Failure, Options, Stats};

const USAGE: &str = "\
usage: cargo sim SEED                play a seed, and tell what it does
       cargo sim --hours N           play fresh seeds for so long, on two threads, or until one fails
       cargo sim --seconds N         the same
       --from SEED                   not fresh seeds, but those from this one on
       --broken RULE                 with one rule of the engine broken: RULE is a name of segments::mutants";

/// How often it says how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// Threads that play seeds.
const THREADS: u64 = 2;

/// What is asked for.
#[derive(Default)]
struct Wish {
    seed: Option<u64>,
    time: Option<Duration>,
    from: Option<u64>,
    broken: Option<Mutant>,
}

fn main() -> ExitCode {
    if std::env::args().skip(1).any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let wish = match wish(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(what) => {
            eprintln!("{what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // What a failing seed panics with is in its failure; it fails hundreds of times while it is made short.
    std::panic::set_hook(Box::new(|_| {}));
    match (wish.seed, wish.time) {
        (Some(seed), _) => replay(seed, wish.broken),
        (None, time) => search(time.unwrap_or_default(), wish.from.unwrap_or_else(fresh), wish.broken),
    }
}

fn wish(arguments: impl Iterator<Item = String>) -> Result<Wish, String> {
    let (mut wish, mut arguments) = (Wish::default(), arguments);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--hours" => wish.time = Some(time(&value()?, 3_600.0)?),
            "--seconds" => wish.time = Some(time(&value()?, 1.0)?),
            "--from" => wish.from = Some(number(&value()?)?),
            "--broken" => {
                let name = value()?;
                let rule = Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name);
                wish.broken = Some(rule.ok_or_else(|| format!("'{name}' is none of {:?}", Mutant::ALL))?);
            }
            _ => wish.seed = Some(number(&argument)?),
        }
    }
    match (wish.seed, wish.time) {
        (None, None) => Err("say a seed, or how long".to_owned()),
        (Some(_), Some(_)) => Err("say either a seed or how long; --from says where to begin".to_owned()),
        (Some(_), None) | (None, Some(_)) => Ok(wish),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is no seed: seeds are numbers from 0 to {}", u64::MAX))
}

fn time(text: &str, unit: f64) -> Result<Duration, String> {
    let many = text.parse::<f64>().ok().and_then(|many| Duration::try_from_secs_f64(many * unit).ok());
    many.ok_or_else(|| format!("'{text}' is no length of time"))
}

/// Where nobody has been before, most likely.
fn fresh() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() << 20
}

fn replay(seed: u64, broken: Option<Mutant>) -> ExitCode {
    plant(broken);
    let engine = Persistent::of_seed(seed);
    let run = tell(&engine, seed, Options::default(), &Only::default());
    println!("seed {seed} with {:?}", engine.config);
    for line in &run.program {
        println!("    {line}");
    }
    match run.outcome {
        Ok(stats) => {
            println!("trace {:016x}", stats.trace);
            println!("{stats:?}");
            ExitCode::SUCCESS
        }
        Err(failure) => fail(&failure, broken),
    }
}

/// Says how a seed fails, made short.
fn fail(failure: &Failure, broken: Option<Mutant>) -> ExitCode {
    plant(broken);
    println!("FAILED {failure}");
    eprintln!("making it short");
    let seed = failure.seed;
    match shrink(&Persistent::of_seed(seed), seed, Options::default(), RUNS_MAX) {
        Some(shrunk) => println!("{shrunk}"),
        None => println!("played again, seed {seed} does not fail: something besides the seed has a say"),
    }
    let rule = broken.map_or_else(String::new, |mutant| format!(" --broken {mutant:?}"));
    println!("again: cargo sim {seed}{rule}");
    ExitCode::FAILURE
}

fn search(time: Duration, from: u64, broken: Option<Mutant>) -> ExitCode {
    eprintln!("seeds from {from} on, for {} s", time.as_secs());
    let began = Instant::now();
    let (mut total, mut seeds, mut told) = (Stats::default(), 0, began);
    while began.elapsed() < time {
        let played = std::thread::scope(|scope| {
            let play = |seed| {
                plant(broken);
                harness::run(&Persistent::of_seed(seed), seed, Options::default())
            };
            let threads: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || play(from.wrapping_add(seeds + thread)))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a run catches panics")).collect::<Vec<_>>()
        });
        for outcome in played {
            match outcome {
                Ok(stats) => total.add(&stats),
                Err(failure) => return fail(&failure, broken),
            }
        }
        seeds += THREADS;
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            progress(began.elapsed(), seeds, &total);
        }
    }
    progress(began.elapsed(), seeds, &total);
    println!("no failure in {seeds} seeds from {from} on, {} crashes", total.crashes);
    ExitCode::SUCCESS
}

fn progress(time: Duration, seeds: u64, total: &Stats) {
    let seconds = time.as_secs_f64().max(0.001);
    let per_second = |many: u64| f64::from(u32::try_from(many).unwrap_or(u32::MAX)) / seconds;
    eprintln!(
        "{seconds:.0} s: {seeds} seeds ({:.1}/s), {} crashes ({:.0}/s), {} of them in recoveries, {} commits",
        per_second(seeds),
        total.crashes,
        per_second(total.crashes),
        total.in_recovery,
        total.commits
    );
}
