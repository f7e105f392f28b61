//! A seed that fails is made short, and what is left still fails.

use super::mutants::{BUDGET, hunt};
use super::play;
use segments::mutants::{Mutant, plant};
use tests::Options;
use tests::harness::Persistent;
use tests::harness::shrink::{Only, RUNS_MAX, shrink, tell};

#[test]
fn a_failure_is_made_short() {
    for mutant in [Mutant::KeepsEpoch, Mutant::ReplaysPastCut, Mutant::FlushesBeforeWritten] {
        let (_, failure) = hunt(Some(mutant), Options::default(), BUDGET).expect("the simulator finds it");
        let engine = Persistent::of_seed(failure.seed);
        let short = || {
            plant(Some(mutant));
            let shrunk = shrink(&engine, failure.seed, Options::default(), RUNS_MAX);
            plant(None);
            shrunk.expect("it fails again")
        };
        let shrunk = short();
        println!("{mutant:?}: {shrunk}");
        assert_eq!(shrunk.found, failure, "the seed alone explains it");
        assert!(shrunk.runs <= RUNS_MAX && shrunk.acts.1 * 2 <= shrunk.acts.0, "{shrunk}");
        assert!(shrunk.program.iter().any(|line| line.contains("begins")), "{shrunk}");
        assert_eq!(shrunk, short(), "it is made short in one way");
    }
    let sound = shrink(&Persistent::of_seed(1), 1, Options::default(), RUNS_MAX);
    assert_eq!(sound, None, "what does not fail is not made short");
}

#[test]
fn who_tells_has_no_say() {
    for seed in 0..5 {
        let run = tell(&Persistent::of_seed(seed), seed, Options::default(), &Only::default());
        assert_eq!(run.outcome, play(seed));
        assert!(run.program.len() as u64 > run.acts && run.lives > 0, "each operation has its line");
    }
}
