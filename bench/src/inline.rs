//! The store inside the calling thread, its device in memory: what the engine itself costs.

use crate::keys::{Scatter, key};
use crate::report;
use domains::config::Config;
use domains::index::order_preserving;
use domains::persistent::{self, Entropy};
use lostore::inline::Inline;
use lostore::schema::{Field, FieldType, Rule, TableHome, TableKind, TableSpec};
use lostore::{Error, PutOptions, RawTable, Store, TxnOptions, plain_spec};
use segments::DomainId;
use segments::memory::MemoryDevice;
use std::hint::black_box;
use std::time::Instant;

type Engine = Inline<domains::Engine, MemoryDevice>;
const VALUE: [u8; 100] = [7; 100];

/// The tables that loads work on.
struct Tables {
    first: RawTable<Engine>,
    /// A quarter of the pairs.
    second: RawTable<Engine>,
    /// As the first, with compact slots.
    compact: RawTable<Engine>,
    /// Keys of 8 bytes, hashed by the store and by the client.
    numbers: [RawTable<Engine>; 2],
}

/// Fills tables and measures lookups, updates and transactions of four updates over two tables.
pub(crate) fn run(pairs: u64, count: u64, only: Option<&str>, rounds: u32, interval_ms: u64) -> Result<(), Error> {
    let store = open(interval_ms)?;
    let spec = || plain_spec(TableKind::Hash, TableHome::Persistent);
    let of_numbers = |kind| {
        let key = vec![Field { name: "id".to_owned(), field_type: FieldType::Unsigned(64) }];
        TableSpec { kind, key, ..spec() }
    };
    let tables = Tables {
        first: store.create_raw("first", spec())?,
        second: store.create_raw("second", spec())?,
        compact: store
            .create_raw("compact", TableSpec { rules: vec![Rule::CompactSlots], pairs_hint: pairs, ..spec() })?,
        numbers: [
            store.create_raw("by store", of_numbers(TableKind::Hash))?,
            store.create_raw("by client", of_numbers(TableKind::ClientHash))?,
        ],
    };
    let wants_numbers = only.is_none_or(|only| only.starts_with("number"));
    let wants_compact = only.is_none_or(|only| only.ends_with("compact"));
    let start = Instant::now();
    for number in 0..pairs {
        tables.first.upsert(&key(number), &VALUE, PutOptions::default())?;
        if number % 4 == 0 {
            tables.second.upsert(&key(number), &VALUE, PutOptions::default())?;
        }
        if wants_compact {
            tables.compact.upsert(&key(number), &VALUE, PutOptions::default())?;
        }
        for table in tables.numbers.iter().filter(|_| wants_numbers) {
            table.upsert(&order_preserving(number), &VALUE, PutOptions::default())?;
        }
    }
    report("load", pairs + pairs.div_ceil(4), start.elapsed());
    for table in &store.status()?.tables {
        if table.pairs == pairs && pairs > 0 {
            let hundredths = table.index_bytes * 100 / pairs;
            println!("{:<24} {}.{:02} bytes of index a pair", table.info.name, hundredths / 100, hundredths % 100);
        }
    }
    for _ in 0..rounds {
        for (name, load) in LOADS {
            if only.is_none_or(|only| only == name) {
                let start = Instant::now();
                load(&tables, pairs, count)?;
                report(name, count, start.elapsed());
            }
        }
    }
    Ok(())
}

type Load = fn(&Tables, u64, u64) -> Result<(), Error>;
const LOADS: [(&str, Load); 8] = [
    ("lookup", |tables, pairs, count| lookups(&tables.first, pairs, count)),
    ("lookup-compact", |tables, pairs, count| lookups(&tables.compact, pairs, count)),
    ("number-by-store", |tables, pairs, count| numbers(&tables.numbers[0], pairs, count)),
    ("number-by-client", |tables, pairs, count| numbers(&tables.numbers[1], pairs, count)),
    ("update", |tables, pairs, count| updates(&tables.first, pairs, count)),
    ("update-compact", |tables, pairs, count| updates(&tables.compact, pairs, count)),
    ("txn4", |tables, pairs, count| transactions(tables, pairs, count, true)),
    ("txn4-final", |tables, pairs, count| transactions(tables, pairs, count, false)),
];

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

fn lookups(table: &RawTable<Engine>, pairs: u64, count: u64) -> Result<(), Error> {
    let mut numbers = Scatter::new(pairs);
    let mut bytes = 0;
    for _ in 0..count {
        let key = key(numbers.next());
        table.get_with(&key, &mut |pair| bytes += pair.expect("every key was put").value.len())?;
    }
    black_box(bytes);
    Ok(())
}

fn numbers(table: &RawTable<Engine>, pairs: u64, count: u64) -> Result<(), Error> {
    let mut numbers = Scatter::new(pairs);
    let mut bytes = 0;
    for _ in 0..count {
        let key = order_preserving(numbers.next());
        table.get_with(&key, &mut |pair| bytes += pair.expect("every key was put").value.len())?;
    }
    black_box(bytes);
    Ok(())
}

fn updates(table: &RawTable<Engine>, pairs: u64, count: u64) -> Result<(), Error> {
    let mut numbers = Scatter::new(pairs);
    for _ in 0..count {
        table.upsert(&key(numbers.next()), &VALUE, PutOptions::default())?;
    }
    Ok(())
}

/// Transactions that may be aborted, or that may not.
fn transactions(tables: &Tables, pairs: u64, count: u64, abortable: bool) -> Result<(), Error> {
    let mut numbers = Scatter::new(pairs);
    let options = TxnOptions { abortable, ..TxnOptions::default() };
    for _ in 0..count {
        let mut txn = tables.first.store().txn_with(options)?;
        for table in [&tables.first, &tables.second] {
            for _ in 0..2 {
                txn.raw(table).upsert(&key(numbers.next()), &VALUE, PutOptions::default())?;
            }
        }
        txn.commit()?;
    }
    Ok(())
}
