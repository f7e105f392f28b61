//! A storm: many clients and one key, each of which swaps it for the next number over what it was last told, and asks again as soon as
//! it is answered.
//!
//! Measured with and without turns. The number at the end says that no swap was lost.

use crate::plot::{Line, plot};
use crate::socket::with_server;
use domains::config::Config;
use lostore::schema::{TableHome, TableKind};
use lostore::{Error, Expect, New, RawTable, Remote, Version, Word, plain_spec};
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// The one key.
const KEY: &[u8] = b"key";

/// What the clients of one run did together.
#[derive(Clone, Copy, Default)]
struct Tally {
    swapped: u64,
    failed: u64,
    /// Swaps of the client that had the fewest, and of the one that had the most.
    least: u64,
    most: u64,
    /// The longest that anybody waited for one answer, and from one swap to the next.
    answer: Duration,
    between: Duration,
    took: Duration,
    clients: usize,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
impl Tally {
    fn rate(self) -> f64 {
        self.swapped as f64 / self.took.as_secs_f64()
    }

    /// Attempts that succeed, of a hundred.
    fn success(self) -> f64 {
        100.0 * self.swapped as f64 / (self.swapped + self.failed).max(1) as f64
    }

    fn failures(self) -> f64 {
        self.failed as f64 / self.swapped.max(1) as f64
    }

    /// What a client had of what each would have if all had the same, in parts of a hundred.
    fn share(self, swapped: u64) -> f64 {
        100.0 * (swapped * self.clients as u64) as f64 / self.swapped.max(1) as f64
    }

    fn add(&mut self, one: Self) {
        self.swapped += one.swapped;
        self.failed += one.failed;
        self.least = self.least.min(one.swapped);
        self.most = self.most.max(one.swapped);
        self.answer = self.answer.max(one.answer);
        self.between = self.between.max(one.between);
    }
}

/// The figures of one way of answering, one for each number of clients.
struct Ways {
    name: &'static str,
    rates: Vec<f64>,
    success: Vec<f64>,
    least: Vec<f64>,
}

/// Measures each number of clients both ways, prints the figures as a table in Markdown and draws them.
pub(crate) fn run(clients: &[usize], took: Duration, to: Option<&Path>) -> Result<(), Error> {
    println!(
        "| turns | clients | swaps/s | failures a swap | least share | most share | longest answer | longest without a swap | waits |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut ways = Vec::new();
    for (takes_turns, name) in [(false, "without"), (true, "with")] {
        let mut way = Ways { name, rates: Vec::new(), success: Vec::new(), least: Vec::new() };
        for &count in clients {
            let mut tally = Tally::default();
            let mut waits = 0;
            with_server(Config { takes_turns, ..Config::default() }, |socket| {
                (tally, waits) = compete(socket, count, took)?;
                Ok(())
            })?;
            print(name, tally, waits);
            way.rates.push(tally.rate());
            way.success.push(tally.success());
            way.least.push(tally.share(tally.least));
        }
        ways.push(way);
    }
    let Some(to) = to else { return Ok(()) };
    let labels: Vec<String> = clients.iter().map(usize::to_string).collect();
    let lines = |values: fn(&Ways) -> &[f64]| {
        ways.iter().map(|way| Line { name: way.name, values: values(way) }).collect::<Vec<_>>()
    };
    let panels = [
        ("attempts that succeed, %", lines(|way| &way.success)),
        ("swaps a second", lines(|way| &way.rates)),
        ("of its fair share has the client with the least, %", lines(|way| &way.least)),
    ];
    let drawing = plot(&labels, "clients on one key", &panels);
    std::fs::write(to, drawing).expect("the drawing can be written");
    Ok(())
}

fn print(name: &str, tally: Tally, waits: u64) {
    println!(
        "| {name} | {} | {:.0} | {:.2} | {:.0} % | {:.0} % | {:.1} ms | {:.1} ms | {waits} |",
        tally.clients,
        tally.rate(),
        tally.failures(),
        tally.share(tally.least),
        tally.share(tally.most),
        1e3 * tally.answer.as_secs_f64(),
        1e3 * tally.between.as_secs_f64(),
    );
}

fn compete(socket: &Path, clients: usize, took: Duration) -> Result<(Tally, u64), Error> {
    let store = lostore::open::connect(socket)?;
    let table = store.create_raw("contended", plain_spec(TableKind::Hash, TableHome::Persistent))?;
    let first = table.upsert(KEY, &0_u64.to_le_bytes(), lostore::PutOptions::default())?.versions()[0];
    let tables = (0..clients).map(|_| lostore::open::connect(socket)?.open_raw("contended"));
    let tables = tables.collect::<Result<Vec<_>, Error>>()?;
    let start = Barrier::new(clients + 1);
    let mut all = Tally { least: u64::MAX, clients, ..Tally::default() };
    let compete_one = |table| {
        start.wait();
        client(table, first, Instant::now() + took)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = tables.iter().map(|table| scope.spawn(|| compete_one(table))).collect();
        start.wait();
        let began = Instant::now();
        for thread in threads {
            all.add(thread.join().expect("a client that does not panic")?);
        }
        all.took = began.elapsed();
        Ok::<(), Error>(())
    })?;
    let end = table.get(KEY)?.map_or(0, |pair| number(&pair.value));
    assert_eq!(end, all.swapped, "every swap counts once");
    Ok((all, store.status()?.contention_waits))
}

/// One client until then. What it believes is what the last answer said: a swap's own version, or the one that a failure names.
/// The number is known with it, for versions count swaps: each swap gives one.
fn client(table: &RawTable<Remote>, first: Version, until: Instant) -> Result<Tally, Error> {
    let (mut believed, mut tally, mut swapped) = (first, Tally::default(), Instant::now());
    loop {
        let asked = Instant::now();
        if asked >= until {
            tally.between = tally.between.max(asked - swapped);
            return Ok(tally);
        }
        let next = (believed.ordinal.0 - first.ordinal.0 + 1).to_le_bytes();
        let word = Word { table, key: KEY, expect: Expect::At(believed), new: New::Put(&next) };
        match table.store().cas(&[word]) {
            Ok(ticket) => {
                believed = ticket.versions()[0];
                tally.swapped += 1;
                tally.between = tally.between.max(swapped.elapsed());
                swapped = Instant::now();
            }
            Err(error) => {
                let Some(found) = error.failures().first().and_then(|failure| failure.found) else { return Err(error) };
                believed = found;
                tally.failed += 1;
            }
        }
        tally.answer = tally.answer.max(asked.elapsed());
    }
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().expect("the value is a number"))
}
