//! One and two shards with their devices, in every order of commits, timers, doorbells, writes, flushes, failures and crashes
//! up to a bound: the shipped sources of `txn::epoch`, breadth first, one thread.
//!
//! What must hold is in `model/world.rs`. Each *mutant* breaks one rule, either in what the engine around the machine does or
//! in `rules`, of which a twin is included; each must be caught, with the property named here. The numbers are those of the
//! protocol's list of mutants in `design/transactions.md`.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::duplicate_mod,
    reason = "each twin includes all files and uses some of them"
)]

#[path = "model/search.rs"]
mod search;
#[path = "model/single.rs"]
mod single;

use search::{Bounds, Mutant, Violation, explore};

/// The sources of `txn::epoch` for one thread, with these `rules`.
macro_rules! twin {
    ($name:ident, $($rules:item)*) => {
        #[path = "../src/epoch"]
        mod $name {
            use txn::limits::{EPOCHS_IN_FLIGHT_MAX, FORCED_IN_FLIGHT_MAX};
            mod sync {
                pub(crate) use crate::single::{Arc, AtomicBool, AtomicU64, fence};
                pub(crate) use std::sync::atomic::Ordering;
            }
            $($rules)*
            mod machine;
            mod ring;
            mod shared;
            mod state;
            #[path = "../../tests/model/world.rs"]
            pub mod world;
        }
    };
}

twin!(shipped, mod rules;);
twin!(
    gaps,
    #[path = "."]
    mod rules {
        #[path = "rules.rs"]
        mod real;
        pub(crate) use real::{MEMBERS_ALL, bits, bits_of, counter, may_leave, word};
        /// Passes over an epoch that nobody has acknowledged.
        pub(crate) fn complete(members: u32, acks: u32) -> bool {
            members == acks || acks == 0
        }
    }
);
twin!(
    impatient,
    #[path = "."]
    mod rules {
        #[path = "rules.rs"]
        mod real;
        pub(crate) use real::{MEMBERS_ALL, bits, bits_of, counter, may_leave, word};
        /// Takes one member for all.
        pub(crate) fn complete(members: u32, acks: u32) -> bool {
            members & acks != 0
        }
    }
);
twin!(
    empties,
    #[path = "."]
    mod rules {
        #[path = "rules.rs"]
        mod real;
        pub(crate) use real::{MEMBERS_ALL, bits, bits_of, complete, counter, word};
        /// Leaves an epoch without members.
        pub(crate) fn may_leave(_: u32, in_flight: u64, in_flight_max: u64) -> bool {
            in_flight < in_flight_max
        }
    }
);

/// Explores a twin's world.
macro_rules! world {
    ($twin:ident, $shards:expr, $bounds:expr, $mutant:expr) => {
        explore(
            || $twin::world::World::new($shards, $bounds, $mutant),
            |w| w.inputs(),
            |w, input| w.step(input),
            |w| w.marks(),
        )
    };
}

/// All is well in all states, there are about as many as expected, and the rare situations are among them.
macro_rules! holds {
    ($shards:expr, $bounds:expr, at least $states:expr, with $marks:expr) => {{
        let found = world!(shipped, $shards, $bounds, None);
        let seen = found.unwrap_or_else(|(violation, path)| panic!("{violation:?}: {path:?}"));
        assert!(seen.states >= $states, "something is not reached any more: {seen:?}");
        for mark in $marks {
            assert!(seen.marks.contains(mark), "'{mark}' is not reached any more: {seen:?}");
        }
    }};
}

macro_rules! caught {
    ($twin:ident, $shards:expr, $bounds:expr, $mutant:expr, $violation:expr) => {{
        let (violation, path) = world!($twin, $shards, $bounds, $mutant).expect_err("the mutant lives");
        assert_eq!(violation, $violation, "{path:?}");
    }};
}

const SMALL: Bounds = Bounds { commits: 3, forces: 1, failures: 1, crosses: 0 };

#[test]
fn one_shard() {
    holds!(1, Bounds { commits: 5, forces: 2, failures: 1, crosses: 0 }, at least 6000, with ["no room to leave", "one flush for two closes", "writes out of order", "some kept, some in doubt"]);
}

#[test]
fn two_shards() {
    holds!(2, SMALL, at least 20_000, with ["no room to leave", "writes out of order", "some kept, some in doubt", "one fails, the other goes on"]);
}

#[test]
fn two_shards_with_a_commit_over_both() {
    holds!(2, Bounds { commits: 2, forces: 0, failures: 0, crosses: 1 }, at least 60_000, with ["late tag", "no room to leave", "two shards rung at once"]);
}

#[test]
fn mutant_2_acknowledges_when_the_flush_is_issued() {
    caught!(shipped, 1, SMALL, Some(Mutant::AckWhenIssued), Violation::NoticeLost);
}

#[test]
fn mutant_3_does_not_pin_undecided_parts() {
    let bounds = Bounds { commits: 2, forces: 0, failures: 0, crosses: 1 };
    caught!(shipped, 2, bounds, Some(Mutant::NoPin), Violation::Torn);
}

/// The machine itself notices, before anything was lost.
#[test]
#[should_panic(expected = "is persistent without this member")]
fn mutant_13_passes_a_gap() {
    let _ = world!(gaps, 2, SMALL, None);
}

#[test]
fn mutant_13_passes_an_unacknowledged_member() {
    caught!(impatient, 2, SMALL, None, Violation::NoticeLost);
}

#[test]
fn mutant_15_goes_on_with_the_epoch_it_joined() {
    caught!(shipped, 2, SMALL, Some(Mutant::StaleTag), Violation::Torn);
}

#[test]
fn mutant_18_leaves_empty_epochs() {
    caught!(empties, 1, SMALL, Some(Mutant::LeaveAnything), Violation::NoticeLost);
    // Under the shipped rules the same asking changes nothing.
    assert!(world!(shipped, 1, SMALL, Some(Mutant::LeaveAnything)).is_ok());
}

#[test]
fn mutant_20_retries_a_failed_flush_and_believes_it() {
    caught!(shipped, 1, SMALL, Some(Mutant::RetryBelieved), Violation::NoticeLost);
}

#[test]
fn mutant_22_flushes_before_the_close_is_written() {
    caught!(shipped, 1, SMALL, Some(Mutant::FlushBeforeWritten), Violation::NoticeLost);
}
