//! The store inside the calling thread, its device in memory: what the engine itself costs.

use crate::keys::{Scatter, key};
use crate::report;
use domains::config::Config;
use domains::persistent::{self, Entropy};
use lostore::inline::Inline;
use lostore::schema::{TableHome, TableKind};
use lostore::{Error, PutOptions, RawTable, Store, plain_spec};
use segments::DomainId;
use segments::memory::MemoryDevice;
use std::hint::black_box;
use std::time::Instant;

type Engine = Inline<domains::Engine, MemoryDevice>;
const VALUE: [u8; 100] = [7; 100];

/// Fills a table and measures lookups, updates and transactions of four updates over two tables.
pub(crate) fn run(pairs: u64, count: u64, only: Option<&str>, rounds: u32, interval_ms: u64) -> Result<(), Error> {
    let store = open(interval_ms)?;
    let spec = || plain_spec(TableKind::Hash, TableHome::Persistent);
    let (first, second) = (store.create_raw("first", spec())?, store.create_raw("second", spec())?);
    let start = Instant::now();
    for number in 0..pairs {
        first.upsert(&key(number), &VALUE, PutOptions::default())?;
        if number % 4 == 0 {
            second.upsert(&key(number), &VALUE, PutOptions::default())?;
        }
    }
    report("load", pairs + pairs.div_ceil(4), start.elapsed());
    for _ in 0..rounds {
        for (name, load) in LOADS {
            if only.is_none_or(|only| only == name) {
                let start = Instant::now();
                load(&first, &second, pairs, count)?;
                report(name, count, start.elapsed());
            }
        }
    }
    Ok(())
}

type Load = fn(&RawTable<Engine>, &RawTable<Engine>, u64, u64) -> Result<(), Error>;
const LOADS: [(&str, Load); 3] = [("lookup", lookups), ("update", updates), ("txn4", transactions)];

fn open(interval_ms: u64) -> Result<Store<Engine>, Error> {
    // Everything stays in memory: the tail holds all that is ever written here.
    let epoch_interval_nanos = interval_ms * 1_000_000;
    let config = Config { tail_pages: 4 << 20, cache_bytes: 0, epoch_interval_nanos, ..Config::default() };
    let mut device = MemoryDevice::new(0);
    let entropy = Entropy { domain: DomainId(1), salt: 2, hash_key: [3; 16] };
    persistent::format(&mut device, &config, entropy)?;
    let (engine, _) = persistent::open(&mut device, &config)?;
    Ok(Store::new(Inline::new(engine, device)))
}

fn lookups(first: &RawTable<Engine>, _: &RawTable<Engine>, pairs: u64, count: u64) -> Result<(), Error> {
    let mut numbers = Scatter::new(pairs);
    let mut bytes = 0;
    for _ in 0..count {
        let key = key(numbers.next());
        first.get_with(&key, &mut |pair| bytes += pair.expect("every key was put").value.len())?;
    }
    black_box(bytes);
    Ok(())
}

fn updates(first: &RawTable<Engine>, _: &RawTable<Engine>, pairs: u64, count: u64) -> Result<(), Error> {
    let mut numbers = Scatter::new(pairs);
    for _ in 0..count {
        first.upsert(&key(numbers.next()), &VALUE, PutOptions::default())?;
    }
    Ok(())
}

fn transactions(first: &RawTable<Engine>, second: &RawTable<Engine>, pairs: u64, count: u64) -> Result<(), Error> {
    let mut numbers = Scatter::new(pairs);
    for _ in 0..count {
        let mut txn = first.store().txn();
        for table in [first, second] {
            for _ in 0..2 {
                txn.raw(table).upsert(&key(numbers.next()), &VALUE, PutOptions::default())?;
            }
        }
        txn.commit()?;
    }
    Ok(())
}
