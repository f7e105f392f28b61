//! The simulator's teeth: the shipped engine with one rule broken, and in how many crashes the default run notices.
//!
//! The rules and their numbers are the protocol's mutants (`segments::mutants`, `design/transactions.md`) as far as they apply to
//! one shard. Those that are missing need a second shard (1, 3 to 6, 13, 14, 16, 19, 23, 26), a client (25), an epoch without
//! incarnation (9), empty epochs (18, in `txn/tests/model.rs`), or a process whose writes land after its lock is gone (11). A segment is
//! never freed because a checkpoint has finished, so 30 has no place; 31 and 32 are one.

use segments::mutants::{Mutant, plant};
use tests::harness::{self, Persistent};
use tests::{Failure, Options};

/// Crashes within which each must be found; those of the default run are sixteen times as many.
pub(super) const BUDGET: u64 = 4_000;

/// Plays the seeds of the default run until one fails; answers how many crashes that took.
pub(super) fn hunt(mutant: Option<Mutant>, options: Options, crashes_max: u64) -> Result<(u64, Failure), u64> {
    plant(mutant);
    let (mut crashes, mut found) = (0, None);
    for seed in 0.. {
        // What goes wrong for a moment only, while records move, needs many such moments.
        let moves = mutant == Some(Mutant::PointsBeforeDurable);
        let engine = if moves { Persistent::restless(seed) } else { Persistent::of_seed(seed) };
        match harness::run(&engine, seed, options) {
            Ok(stats) => crashes += stats.crashes,
            Err(failure) => found = Some(failure),
        }
        if found.is_some() || crashes > crashes_max {
            break;
        }
    }
    plant(None);
    found.map_or(Err(crashes), |failure| Ok((crashes, failure)))
}

/// A page's incarnation, sequence number and place together are written once as long as no segment is used again, so either half of
/// the chain would do. Both are kept for when they are; without both (`ReadsWithoutChain`) the store is lost.
fn has_a_second_net(mutant: Mutant) -> bool {
    matches!(mutant, Mutant::IgnoresPrevious | Mutant::IgnoresSequence)
}

#[test]
fn mutants() {
    let mut alive = Vec::new();
    for mutant in Mutant::ALL {
        let expected = !has_a_second_net(mutant);
        let found = hunt(Some(mutant), Options::default(), if expected { BUDGET } else { BUDGET / 4 });
        match &found {
            Ok((crashes, failure)) => println!("{mutant:?} | {crashes} crashes | {failure}"),
            Err(crashes) => println!("{mutant:?} | not in {crashes} crashes"),
        }
        if found.is_ok() != expected {
            alive.push(mutant);
        }
    }
    assert!(alive.is_empty(), "the simulator has lost, or won, its teeth for {alive:?}");
}

#[test]
fn a_cache_that_shows_failed_writes_is_found() {
    let options = Options { buffered: true, ..Options::default() };
    let (crashes, failure) = hunt(None, options, 4 * BUDGET).expect("mutant 21 is found");
    println!("a cache that shows failed writes | {crashes} crashes | {failure}");
}
