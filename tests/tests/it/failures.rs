//! The n-th failure: scripts in which each request of the device in turn is refused, once, from then on, or with all that follow.
//!
//! Never a panic and never a hang; every error has a code that fits what was refused; a log write or a flush that failed poisons, and
//! nothing else does: after one other refusal the store goes on. What was announced survives.
//!
//! What a kernel makes of a request short of refusing it (a short count, EAGAIN, EINTR) never reaches a device's user: it is gone
//! through one layer below (`whatever_the_kernel_does_each_operation_is_answered_once_with_its_own_buffer`).

use domains::Level::{Committed, Persistent as Safe};
use domains::schema::TableKind::{Hash, Ordered};
use segments::DeviceError;
use segments::mutants::{Mutant, plant};
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use tests::harness::Persistent;
use tests::harness::script::Step::{
    Append, Close, Create, Delete, Destroy, Force, GivenUp, Kill, Open, Put, Read, Revert, Revertible, Staged,
};
use tests::harness::script::{Refusal, Report, Step, play};
use tests::model::Violation;

const BAD: DeviceError = DeviceError::Io { errno: 5 };
const FULL: DeviceError = DeviceError::NoSpace { errno: 28 };

/// What is done: each script is a few dozen requests long, so that each of them can be refused in each way.
const SCRIPTS: &[(&str, &[Step])] = &[
    ("an empty store, opened twice", &[Open, Close, Open, Create("a", Hash), Close, Open]),
    (
        "small commits",
        &[
            Open,
            Create("a", Hash),
            Put("a", 0, 3, 40, Committed),
            Put("a", 2, 2, 60, Safe),
            Delete("a", 0),
            Append("a", 1, 50),
            Force,
            Read("a", 1),
            Read("a", 0),
        ],
    ),
    (
        "records larger than a page, and than a segment",
        &[
            Open,
            Create("a", Ordered),
            Put("a", 0, 1, 9_000, Committed),
            Put("a", 1, 1, 70_000, Safe),
            Read("a", 1),
            Append("a", 0, 6_000),
            Force,
            Read("a", 0),
        ],
    ),
    (
        "segments that fill",
        &[
            Open,
            Create("a", Hash),
            Put("a", 0, 20, 900, Safe),
            Put("a", 10, 20, 900, Safe),
            Put("a", 20, 20, 900, Safe),
            Read("a", 5),
            Read("a", 25),
            Close,
            Open,
            Read("a", 5),
        ],
    ),
    (
        "a process that ends before what it wrote is durable",
        &[
            Open,
            Create("a", Hash),
            Put("a", 0, 3, 40, Safe),
            Put("a", 1, 3, 50, Committed),
            Kill(1),
            Open,
            Read("a", 3),
            Put("a", 0, 1, 60, Safe),
            Put("a", 5, 1, 6_000, Committed),
            Kill(3),
            Open,
            Read("a", 0),
        ],
    ),
    (
        "tables that come and go",
        &[
            Open,
            Create("a", Hash),
            Create("b", Ordered),
            Put("b", 0, 4, 3_000, Committed),
            Destroy("b"),
            Create("b", Hash),
            Put("b", 0, 1, 30, Safe),
            Close,
            Open,
            Read("b", 0),
        ],
    ),
    (
        "values that are written out before their commit",
        &[
            Open,
            Create("a", Hash),
            Staged("a", 0, 20_000),
            GivenUp("a", 0, 20_000),
            Staged("a", 1, 5_000),
            Force,
            Read("a", 0),
            Close,
            Open,
            Read("a", 1),
        ],
    ),
    (
        "writes that are taken back",
        &[
            Open,
            Create("a", Hash),
            Put("a", 0, 1, 5_000, Safe),
            Revertible("a", 0, 3_000),
            Force,
            Revert("a", 0),
            Revertible("a", 1, 300),
            Revert("a", 1),
            Force,
            Read("a", 0),
        ],
    ),
];

fn engine() -> Persistent {
    let mut engine = Persistent::default();
    (engine.config.segment_pages, engine.config.zero_pages) = (8, 4);
    (engine.config.tail_pages, engine.config.cache_bytes) = (2, 0);
    engine
}

/// The ways in which the n-th request is refused.
const WAYS: [fn(u64) -> Refusal; 5] = [
    |nth| Refusal::Once(nth, BAD),
    |nth| Refusal::From(nth, BAD),
    |nth| Refusal::Once(nth, FULL),
    |nth| Refusal::From(nth, FULL),
    Refusal::Gone,
];

/// What came of all refusals.
#[derive(Debug, Default)]
struct Total {
    refusals: u64,
    poisoned: u64,
    went_on: u64,
    hints: u64,
    judged: u64,
    /// The errors that ended scripts, by their codes; no code where nobody was refused anything.
    codes: BTreeMap<Option<u16>, u64>,
}

impl Total {
    fn add(&mut self, report: &Report) {
        self.refusals += 1;
        self.poisoned += u64::from(report.poisoned);
        self.went_on += u64::from(report.went_on);
        self.hints += report.hints;
        self.judged += report.judged;
        *self.codes.entry(report.code).or_default() += 1;
    }
}

/// Refuses each request of each script in each way; answers with what must not be.
fn refuse_each() -> Result<Total, String> {
    let (engine, mut total) = (engine(), Total::default());
    for (name, script) in SCRIPTS {
        for way in WAYS {
            for refusal in (0..).map(way) {
                let played = catch_unwind(|| play(&engine, script, Some(refusal)));
                let played = played.map_err(|_| format!("{name}, {refusal:?}: the engine panicked"))?;
                let report = played.map_err(|Violation(what)| format!("{name}, {refusal:?}: {what}"))?;
                if report.refused == 0 {
                    break;
                }
                total.add(&report);
            }
        }
        println!("{name}: {} refusals so far", total.refusals);
    }
    Ok(total)
}

#[test]
fn whatever_request_is_refused_nothing_announced_is_lost() {
    for (name, script) in SCRIPTS {
        let sound = play(&engine(), script, None).unwrap_or_else(|Violation(what)| panic!("{name}: {what}"));
        assert_eq!((sound.refused, sound.code, sound.judged), (0, None, 3), "{name}: {sound:?}");
    }
    let total = refuse_each().unwrap_or_else(|what| panic!("{what}"));
    println!("{total:?}");
    // 2,730 when this was written; how many there are is said by the engine's requests.
    assert!(total.refusals >= 2_200 && total.judged >= 6_000, "{total:?}");
    assert!(total.poisoned >= 200 && total.went_on >= 400 && total.hints >= 50, "{total:?}");
    for code in [None, Some(104), Some(108), Some(304), Some(402)] {
        assert!(total.codes.get(&code).is_some_and(|times| *times >= 50), "{code:?}: {total:?}");
    }
}

#[test]
fn a_flush_that_is_believed_although_it_failed_is_found() {
    for mutant in [Mutant::BelievesFailedFlush, Mutant::RecoversOnFailedFlush] {
        plant(Some(mutant));
        let found = refuse_each();
        plant(None);
        println!("{mutant:?} | {}", found.expect_err("the scripts show it"));
    }
}
