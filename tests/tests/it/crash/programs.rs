//! Every short program with the power off at every moment, and what shows that nothing of that has become a toy.
//!
//! The default run has every program of three operations on a store that has one of the two keys: of small values, of values of two
//! pages, and of values that are written out before their commit. With small values it has the other beginnings too, and that
//! everything comes to rest between operations; with the others, every program of two operations with every beginning. Programs
//! of two have their requests done in either order. After each program of one comes a crash in each of five ways, at each moment,
//! a recovery that is crashed as well, and another life. That is what 25 s on one core allow (it takes 17 s).
//! `LOSTORE_SIM_OPS=3` adds every beginning, pace and order to all of it, and second lives after two operations: a quarter of an
//! hour. `LOSTORE_SIM_OPS=4` is for days.

use super::number_from;
use segments::mutants::{Mutant, plant};
use std::panic::catch_unwind;
use tests::Bounds;
use tests::harness::Persistent;
use tests::harness::exhaustive::{Act, Ending, Explored, Explorer, Shape, Start, Update, programs};
use tests::model::Violation;

/// Steps after an operation that bring everything to rest.
const TO_REST: u32 = 1_000;
/// Of eight pending sectors each of the 256 subsets; of more, and of up to eight requests, each subset of those, and each torn.
const BOUNDS: Bounds = Bounds { sectors: 8, requests: 8 };
/// Small values, values of two pages, and values that are written out before they commit.
const VALUES: [(usize, bool); 3] = [(8, false), (6_000, false), (3_000, true)];
/// Programs of the default run: their rules alone say which there are.
const PROGRAMS: u64 = 12_936;
/// Second lives, images judged and images recovered: how many there are the engine's requests say as well.
const LIVES_MIN: u64 = 1_000;
const JUDGED_MIN: u64 = 400_000;
const RECOVERED_MIN: u64 = 15_000;
/// What a second life does.
const AFTER: Act = Act::Update { txn: 0, key: 0, update: Update::Put };

/// The shipped engine, with segments so small that programs meet their ends, and nothing kept that could be read.
fn engine() -> Persistent {
    let mut engine = Persistent::default();
    (engine.config.segment_pages, engine.config.zero_pages) = (8, 4);
    (engine.config.tail_pages, engine.config.cache_bytes) = (8, 0);
    engine
}

/// What is explored: programs of up to so many operations, and up to how many before a second life.
#[derive(Clone, Copy, Debug)]
struct Plan {
    shape: Shape,
    longest: usize,
    longest_lives: usize,
}

impl Plan {
    /// The same on a device that does the newest request first.
    fn newest_first(self) -> Self {
        Self { shape: Shape { newest_first: true, ..self.shape }, ..self }
    }
}

fn plan((value_bytes, writes_out): (usize, bool), start: Start, steps_between: u32, longest: usize) -> Plan {
    let shape = Shape { start, value_bytes, writes_out, steps_between, newest_first: false, bounds: BOUNDS };
    Plan { shape, longest, longest_lives: 0 }
}

/// Programs of three operations on a store with one of the keys and, of small values, with both and neither; else of two.
fn default_plans() -> Vec<Plan> {
    let [small, large, out] = VALUES;
    let begins = |(value, longest)| [Start::Both, Start::Neither].map(|start| plan(value, start, 0, longest));
    let mut plans: Vec<Plan> = [(small, 3), (large, 2), (out, 2)].into_iter().flat_map(begins).collect();
    plans.push(plan(small, Start::First, TO_REST, 3));
    let with_lives = VALUES.map(|value| Plan { longest_lives: 1, ..plan(value, Start::First, 0, 3) });
    plans.extend(with_lives.map(|plan| Plan { longest: 2, ..plan.newest_first() }));
    plans.extend(with_lives);
    plans
}

/// Everything of programs of so many operations.
fn all_plans(longest: usize) -> Vec<Plan> {
    let paces = [0, 1, TO_REST];
    let of = |value| Start::ALL.into_iter().flat_map(move |start| paces.map(|pace| plan(value, start, pace, longest)));
    let with_lives = |plan| Plan { longest_lives: longest - 1, ..plan };
    let plans = VALUES.into_iter().flat_map(of).map(with_lives);
    plans.flat_map(|plan| [plan, plan.newest_first()]).collect()
}

/// Explores what is planned, with a rule of commit or recovery broken once the store to begin with is there.
fn explore(plan: &Plan, mutant: Option<Mutant>) -> Result<Explored, Violation> {
    let engine = engine();
    let mut explorer = Explorer::new(&engine, plan.shape)?;
    let all = |longest| (1..=longest).flat_map(|length| programs(length, plan.shape.start, plan.shape.writes_out));
    plant(mutant);
    for before in all(plan.longest_lives) {
        for ending in Ending::ALL {
            explorer.explore_lives(&before, ending, &[AFTER])?;
        }
    }
    explorer.explore(&all(plan.longest).collect::<Vec<_>>())?;
    Ok(explorer.explored())
}

#[test]
fn every_short_program_survives_every_power_failure() {
    let longest = number_from("LOSTORE_SIM_OPS").map(|longest| usize::try_from(longest).unwrap());
    let plans = longest.map_or_else(default_plans, all_plans);
    let mut all = Explored::default();
    for plan in &plans {
        let explored = explore(plan, None).unwrap_or_else(|found| panic!("{}", found.0));
        println!("{explored:?} of {plan:?}");
        all.add(&explored);
    }
    println!("{all:?}");
    assert!(all.programs == PROGRAMS || longest.is_some(), "{all:?}");
    if longest.is_none_or(|longest| longest > 2) {
        assert!(all.judged >= JUDGED_MIN && all.recovered >= RECOVERED_MIN && all.lives >= LIVES_MIN, "{all:?}");
    }
}

/// The rules of commit and recovery of which three operations and a crash show that they are broken.
///
/// Of the others two need a flush that fails (`failures`), one a pair that expires, one an orderly end, and two have a second net,
/// as `mutants` says.
const SHOWN: [Mutant; 12] = [
    Mutant::AcknowledgesAtIssue,
    Mutant::KeepsIncarnation,
    Mutant::RecordsNoCut,
    Mutant::RecoversWithoutFlush,
    Mutant::ServesBeforeRecord,
    Mutant::KeepsEpoch,
    Mutant::ClosesWithoutChain,
    Mutant::FlushesBeforeWritten,
    Mutant::ReusesSegment,
    Mutant::ReadsWithoutChain,
    Mutant::ReplaysPastCut,
    Mutant::StagedLives,
];

#[test]
fn short_programs_have_teeth() {
    // What two operations show is shown first.
    let shorter = default_plans().into_iter().map(|plan| Plan { longest: 2, ..plan });
    let plans: Vec<Plan> = shorter.chain(default_plans()).collect();
    let mut alive = Vec::new();
    for mutant in SHOWN {
        let plays = |plan| catch_unwind(|| explore(plan, Some(mutant)));
        let found = plans.iter().find_map(|plan| match plays(plan) {
            Ok(explored) => explored.err().map(|Violation(what)| what),
            Err(_) => Some("the engine panicked".to_owned()),
        });
        plant(None);
        match found {
            Some(what) => println!("{mutant:?} | {what}"),
            None => alive.push(mutant),
        }
    }
    assert!(alive.is_empty(), "programs of three operations no longer show {alive:?}");
}

#[test]
fn programs_that_another_one_stands_for_are_left_out() {
    let update = |txn, key, update| Act::Update { txn, key, update };
    let (put, delete) = (|txn, key| update(txn, key, Update::Put), |txn, key| update(txn, key, Update::Delete));
    let has = |start, writes_out, program: &[Act]| {
        programs(program.len(), start, writes_out).iter().filter(|other| *other == program).count()
    };
    // Once each, and not under other names.
    assert_eq!(has(Start::First, false, &[put(0, 1), delete(1, 0)]), 1);
    assert_eq!(has(Start::First, false, &[put(1, 1), delete(0, 0)]), 0);
    assert_eq!(has(Start::Both, false, &[put(0, 1), delete(1, 0)]), 0);
    assert_eq!(has(Start::Both, false, &[put(0, 0), delete(1, 1)]), 1);
    // Two orders of what nobody sees are one, unless the store sees it.
    assert_eq!(has(Start::First, false, &[put(0, 0), put(1, 0), put(0, 1)]), 0);
    assert_eq!(has(Start::First, true, &[put(0, 0), put(1, 0), put(0, 1)]), 1);
    // Between commits the order counts.
    assert_eq!(has(Start::First, false, &[put(0, 0), Act::Commit(0), put(0, 0)]), 1);
    assert_eq!(has(Start::First, false, &[put(0, 0), put(1, 0), Act::Commit(0)]), 1);
    // What says nothing, or what the end says.
    assert_eq!(has(Start::First, false, &[put(0, 0), Act::Commit(0)]), 0);
    assert_eq!(has(Start::First, false, &[put(0, 0), Act::Force]), 0);
    assert_eq!(has(Start::First, false, &[put(0, 0), Act::Abort(0)]), 0);
    assert_eq!(has(Start::First, true, &[put(0, 0), Act::Abort(0)]), 1);
    assert_eq!(has(Start::First, false, &[put(0, 0), Act::Commit(0), Act::Force]), 1);
}
