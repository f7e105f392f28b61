//! Many clients and one key: each reads it, swaps it for the next number over what it read, and tries again when it failed.
//!
//! Measured with and without turns for those that fail. The number at the end says that no swap was lost.

use crate::plot::{Line, plot};
use crate::socket::with_server;
use domains::config::Config;
use lostore::schema::{TableHome, TableKind};
use lostore::{Error, Expect, New, Word, plain_spec};
use std::path::Path;
use std::time::{Duration, Instant};

/// What the clients of one run did together.
#[derive(Clone, Copy, Default)]
struct Tally {
    swapped: u64,
    failed: u64,
    /// Swaps of the client that had the fewest.
    least: u64,
    took: Duration,
}

impl Tally {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn rate(self) -> f64 {
        self.swapped as f64 / self.took.as_secs_f64()
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn success(self) -> f64 {
        100.0 * self.swapped as f64 / (self.swapped + self.failed).max(1) as f64
    }
}

/// Measures each number of clients both ways, prints the figures and draws them.
pub(crate) fn run(clients: &[usize], took: Duration, to: Option<&Path>) -> Result<(), Error> {
    println!(
        "{:<8} {:>7} {:>12} {:>10} {:>12} {:>10}",
        "turns", "clients", "swaps/s", "succeed", "least/client", "waits"
    );
    let mut lines = Vec::new();
    for (takes_turns, name) in [(false, "without"), (true, "with")] {
        let (mut rates, mut success) = (Vec::new(), Vec::new());
        for &count in clients {
            let mut tally = Tally::default();
            let mut waits = 0;
            with_server(Config { takes_turns, ..Config::default() }, |socket| {
                (tally, waits) = compete(socket, count, took)?;
                Ok(())
            })?;
            let (rate, share) = (tally.rate(), tally.success());
            println!("{name:<8} {count:>7} {rate:>12.0} {share:>9.1}% {:>12} {waits:>10}", tally.least);
            rates.push(rate);
            success.push(share);
        }
        lines.push((name, rates, success));
    }
    let Some(to) = to else { return Ok(()) };
    let rates = lines.iter().map(|(name, rates, _)| Line { name, values: rates }).collect();
    let shares = lines.iter().map(|(name, _, shares)| Line { name, values: shares }).collect();
    let labels: Vec<String> = clients.iter().map(usize::to_string).collect();
    let drawing =
        plot(&labels, "clients on one key", &[("swaps a second", rates), ("attempts that succeed, %", shares)]);
    std::fs::write(to, drawing).expect("the drawing can be written");
    Ok(())
}

fn compete(socket: &Path, clients: usize, took: Duration) -> Result<(Tally, u64), Error> {
    let store = lostore::open::connect(socket)?;
    let table = store.create_raw("contended", plain_spec(TableKind::Hash, TableHome::Persistent))?;
    table.upsert(b"key", &0_u64.to_le_bytes(), lostore::PutOptions::default())?;
    let began = Instant::now();
    let tallies = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(|| client(socket, began + took))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a client that does not panic"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut all = Tally { took: began.elapsed(), least: u64::MAX, ..Tally::default() };
    for tally in tallies {
        all.swapped += tally.swapped;
        all.failed += tally.failed;
        all.least = all.least.min(tally.swapped);
    }
    let end = table.get(b"key")?.map_or(0, |pair| number(&pair.value));
    assert_eq!(end, all.swapped, "every swap counts once");
    Ok((all, store.status()?.contention_waits))
}

fn client(socket: &Path, until: Instant) -> Result<Tally, Error> {
    let store = lostore::open::connect(socket)?;
    let table = store.open_raw("contended")?;
    let mut tally = Tally::default();
    while Instant::now() < until {
        let Some(pair) = table.get(b"key")? else { return Err(Error::WrongAnswer { asked: "the key" }) };
        let next = (number(&pair.value) + 1).to_le_bytes();
        let word = Word { table: &table, key: &b"key"[..], expect: Expect::At(pair.version), new: New::Put(&next) };
        match store.cas(&[word]) {
            Ok(_) => tally.swapped += 1,
            Err(error) if !error.failures().is_empty() => tally.failed += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(tally)
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().expect("the value is a number"))
}
