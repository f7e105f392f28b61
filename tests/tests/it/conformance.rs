//! The conformance suite: one list of checks, run on every domain, printed as one matrix.
//!
//! Contract: a cell is `ok` or names the capability that its column lacks; anything else fails the test. A domain that cannot
//! promise something refuses it where it is asked for, and that is checked too.
//! A check begins with an empty domain. Checks of pairs run for each kind of table in each home.

mod appends;
mod catalog;
mod chains;
mod follows;
mod levels;
mod limits;
mod options;
mod pairs;
mod ranges;
mod reads;
mod reverts;
mod sacks;
mod sets;
mod space;
mod staged;
mod time;
mod walks;

use crate::column::{COLUMNS, Column, Lack, Maker};
use domains::schema::{TableHome, TableKind};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What became of a check that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cell {
    /// It holds.
    Holds,
    /// It does not apply, for this reason.
    Not(Lack),
}

/// What a check is tried on: an empty domain, and the table that it is about.
struct Ground {
    on: Box<dyn Column>,
    kind: TableKind,
    home: TableHome,
}

impl Ground {
    /// The table that the check is about.
    fn table(&mut self) -> segments::TableId {
        self.on.table("t", self.kind, self.home)
    }

    /// Its key number `n`, and those before it.
    fn keys(&mut self, table: segments::TableId, count: u32) -> Vec<Vec<u8>> {
        self.on.keys(table, self.kind, count)
    }
}

/// A check.
type Check = fn(&mut Ground) -> Cell;

/// Which tables a check runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum On {
    /// Every kind in each home.
    Each,
    /// Its own choice, once.
    Own,
}

/// A line of a list of checks: its name, its tables, itself.
type Line = (&'static str, On, Check);

const KINDS: [(TableKind, &str); 4] = [
    (TableKind::Hash, "hash"),
    (TableKind::Ordered, "ordered"),
    (TableKind::Sack, "sack"),
    (TableKind::ClientHash, "client-hash"),
];
const HOMES: [(TableHome, &str); 2] = [(TableHome::Persistent, "persistent"), (TableHome::Volatile, "volatile")];

#[test]
fn every_domain_conforms() {
    let lists = [
        pairs::CHECKS,
        appends::CHECKS,
        limits::CHECKS,
        sets::CHECKS,
        ranges::CHECKS,
        walks::CHECKS,
        follows::CHECKS,
        chains::CHECKS,
        reads::CHECKS,
        sacks::CHECKS,
        catalog::CHECKS,
        levels::CHECKS,
        time::CHECKS,
        reverts::CHECKS,
        options::CHECKS,
        staged::CHECKS,
        space::CHECKS,
    ];
    let checks: Vec<_> = lists.into_iter().flatten().flat_map(|line| one_each(*line)).collect();
    let checks = &checks;
    // A column a thread: those over files mostly wait for them.
    let columns: Vec<Vec<_>> = std::thread::scope(|scope| {
        let run = |maker| {
            scope.spawn(move || checks.iter().map(|(_, check, kind, home)| cell(maker, *check, *kind, *home)).collect())
        };
        let threads: Vec<_> = COLUMNS.iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("panics of checks are caught")).collect()
    });
    println!("{}", heading());
    let (mut failures, mut cells) = (Vec::new(), BTreeMap::new());
    for (number, (name, ..)) in checks.iter().enumerate() {
        let mut line = format!("{name:<96}");
        for (maker, column) in COLUMNS.iter().zip(&columns) {
            let word = match &column[number] {
                Ok(Cell::Holds) => "ok",
                Ok(Cell::Not(lack)) => lack.word(),
                Err(why) => {
                    failures.push(format!("{name} on {}: {why}", maker.name));
                    "FAILED"
                }
            };
            *cells.entry(word).or_insert(0_u32) += 1;
            line.push_str(&format!("{word:<16}"));
        }
        println!("{}", line.trim_end());
    }
    println!("{} checks: {cells:?}", checks.len());
    assert!(failures.is_empty(), "{} cells failed:\n  {}", failures.len(), failures.join("\n  "));
}

/// A line of a list as the checks that it stands for: one, or one for each kind of table and home.
fn one_each((name, on, check): Line) -> Vec<(String, Check, TableKind, TableHome)> {
    match on {
        On::Own => vec![(name.to_owned(), check, TableKind::Hash, TableHome::Persistent)],
        On::Each => KINDS
            .iter()
            .flat_map(|&(kind, k)| HOMES.map(|(home, h)| (format!("{name} [{k}, {h}]"), check, kind, home)))
            .collect(),
    }
}

fn heading() -> String {
    let names: String = COLUMNS.iter().map(|maker| format!("{:<16}", maker.name)).collect();
    format!("{:<96}{}", "check", names.trim_end())
}

/// Runs one check on one column; a panic is its failure.
fn cell(maker: &Maker, check: Check, kind: TableKind, home: TableHome) -> Result<Cell, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut ground = Ground { on: (maker.make)(), kind, home };
        let cell = check(&mut ground);
        if let Cell::Not(lack) = cell {
            assert!(ground.on.lacks(lack), "the check was left out for {lack:?}, which is not lacking");
        }
        cell
    }));
    outcome.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap_or_else(|_| Box::new("a panic without words"))).to_owned(),
    })
}
