//! The simulator tested: it must find the three failures that toy logs have, and nothing in a toy that is right.
//!
//! The toy is small on purpose. It shares no code with the engine, so a mistake of the engine's cannot hide in it.

mod toy;

use tests::{Failure, Options, Stats, harness};
use toy::{Flaw, Toy};

/// Seeds within which a planted flaw must be found.
const SEEDS_TO_FIND: u64 = 400;

fn play(flaw: Option<Flaw>, seeds: u64) -> Result<Stats, Failure> {
    let mut all = Stats::default();
    for seed in 0..seeds {
        all.add(&harness::run(&Toy { flaw }, seed, Options::default())?);
    }
    Ok(all)
}

#[track_caller]
fn check_found(flaw: Flaw) {
    match play(Some(flaw), SEEDS_TO_FIND) {
        Ok(stats) => panic!("{flaw:?} went unnoticed: {stats:?}"),
        Err(failure) => println!("{flaw:?}: {failure}"),
    }
}

#[test]
fn a_sound_toy_log_passes() {
    let stats = play(None, 300).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{stats:?}");
    assert!(stats.crashes > 2_000 && stats.in_recovery > 200 && stats.kills > 200, "{stats:?}");
    assert!(stats.minimal_checks > 50 && stats.commits_lost > 100 && stats.refused > 100, "{stats:?}");
    assert!(stats.faults > 20 && stats.poisoned > 5, "{stats:?}");
}

#[test]
fn an_announcement_at_the_issue_of_the_flush_is_found() {
    check_found(Flaw::AnnouncesAtIssue);
}

#[test]
fn a_stale_tail_that_becomes_valid_again_is_found() {
    check_found(Flaw::NoPreviousChecksum);
}

#[test]
fn a_recovery_that_does_not_flush_what_it_read_is_found() {
    check_found(Flaw::RecoversWithoutFlush);
}

#[test]
fn a_superblock_that_a_crash_in_recovery_tears_is_found() {
    check_found(Flaw::OneSuperblock);
}

#[test]
fn a_flush_retried_and_believed_is_found() {
    check_found(Flaw::RetriesFlush);
}

#[test]
fn half_a_transaction_is_found() {
    check_found(Flaw::SplitsTransactions);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let toy = Toy { flaw: None };
    for seed in 0..20 {
        let one = harness::run(&toy, seed, Options::default());
        assert_eq!(one, harness::run(&toy, seed, Options::default()));
        assert_ne!(
            one.map(|stats| stats.trace),
            harness::run(&toy, seed + 1, Options::default()).map(|stats| stats.trace)
        );
    }
}
