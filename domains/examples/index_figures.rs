//! Prints what the in-memory indexes cost: nanoseconds an operation and bytes a key, at sizes that fit the cache and that
//! do not, beside the standard library's map.
//!
//! `cargo run --release -p domains --example index_figures [KEYS]`

#![expect(clippy::print_stdout, reason = "it measures and reports; no engine code does")]

use core::hint::black_box;
use core::ops::{Bound, ControlFlow};
use domains::Direction;
use domains::index::{HashConfig, HashIndex, HashOrder, KeyHash, Loc, OrderedIndex, SackIndex, order_preserving};
use segments::Incarnation;
use std::collections::BTreeMap;

/// Keys looked up together: their cache misses overlap.
const BATCH: usize = 32;

fn main() {
    let count = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().expect("a number of keys"));
    for count in [10_000, 100_000, count] {
        println!("{count} keys");
        hash(count);
        ordered(count);
        sack(count);
    }
}

/// Nanoseconds that this thread has been on a processor: other work on the machine does not count.
fn processor_nanos() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts them");
    schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("the first field is a number")
}

/// Prints nanoseconds an operation and returns what was done.
fn timed<R>(what: &str, operations: u64, work: impl FnOnce() -> R) -> R {
    let start = processor_nanos();
    let result = work();
    println!("  {what:<44} {:>8.1} ns", (processor_nanos() - start) as f64 / operations as f64);
    result
}

/// Repeats so that small sizes take long enough to measure.
fn rounds(count: u64) -> u64 {
    (3_000_000 / count).max(1)
}

fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |number| number * 7_919_993 % count)
}

/// Bytes of the process that are in memory: what the map takes can only be seen from outside.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).map_or(0, |pages: u64| pages * 4096)
}

fn report(what: &str, bytes: usize, count: u64) {
    println!("  {what:<44} {:>8.1} bytes a key", bytes as f64 / count as f64);
}

fn hash(count: u64) {
    let config = HashConfig { key: [7; 16], fingerprint_bits: 64 };
    let operations = count * rounds(count);
    let hashes: Vec<KeyHash> = timed("siphash-1-3 of 16 bytes", count, || {
        (0..count).map(|number| config.hash(&[order_preserving(number), [1; 8]].concat())).collect()
    });
    let order: Vec<(KeyHash, u64)> =
        shuffled(count).map(|at| (hashes[usize::try_from(at).expect("small")], at)).collect();
    let mut index = HashIndex::new(config.fingerprint_bits);
    timed("hash: insert, growing", count, || {
        (0..).zip(&hashes).for_each(|(number, hash)| index.insert(*hash, Loc::new(number)));
    });
    report("hash", index.memory_bytes(), count);
    let found = timed("hash: lookup", operations, || {
        (0..rounds(count))
            .map(|_| order.iter().filter_map(|(hash, _)| index.candidates(*hash).next()).count())
            .sum::<usize>()
    });
    assert!(found as u64 == operations, "every key is found");
    timed("hash: lookup, in batches of 32", operations, || {
        for batch in (0..rounds(count)).flat_map(|_| order.chunks(BATCH)) {
            batch.iter().for_each(|(hash, _)| index.touch(*hash));
            batch.iter().for_each(|(hash, _)| assert!(black_box(index.candidates(*hash).next()).is_some()));
        }
    });
    let absent = timed("hash: lookup of what is absent", operations, || {
        let found = |hash: &KeyHash| index.candidates(KeyHash(!hash.0)).next().is_none();
        (0..rounds(count)).map(|_| order.iter().filter(|(hash, _)| found(hash)).count()).sum::<usize>()
    });
    assert!(absent as u64 == operations, "no absent key is found");
    timed("hash: replace", operations, || {
        for _ in 0..rounds(count) {
            order.iter().for_each(|(hash, number)| assert!(index.replace(*hash, Loc::new(*number), Loc::new(*number))));
        }
    });
    timed("hash: scan in batches of 1000", count, || {
        let (mut from, mut out, mut more) = (HashOrder::FIRST, Vec::new(), true);
        while more {
            out.clear();
            more = index.scan(from, 1_000, &mut out);
            from = out.last().and_then(|(order, _)| order.after()).unwrap_or(HashOrder::LAST);
        }
    });
    timed("hash: remove, shrinking", count, || {
        order.iter().for_each(|(hash, number)| assert!(index.remove(*hash, Loc::new(*number))));
    });
}

/// A directory's number, then a name.
fn dirent(number: u64) -> Vec<u8> {
    const WORDS: [&str; 8] = ["lib", "python3", "include", "share", "Makefile", "test_", "config", "README"];
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = WORDS[usize::try_from(mixed >> 61).expect("three bits")];
    let name = format!("{word}{:x}.{}", mixed >> 40 & 0xf_ffff, number % 30);
    [&order_preserving(number / 30 + 100_000)[..], name.as_bytes()].concat()
}

fn ordered(count: u64) {
    let keys: Vec<Vec<u8>> = (0..count).map(dirent).collect();
    let key_bytes: usize = keys.iter().map(Vec::len).sum();
    println!("  dirent-like keys of {:.1} bytes", key_bytes as f64 / count as f64);
    let order: Vec<&Vec<u8>> = shuffled(count).map(|at| &keys[usize::try_from(at).expect("small")]).collect();
    let before = resident_bytes();
    let mut map = BTreeMap::new();
    timed("BTreeMap<Vec<u8>, u64>: insert, shuffled", count, || {
        order.iter().for_each(|key| assert!(map.insert(key.to_vec(), 1_u64).is_none()));
    });
    let resident = resident_bytes().saturating_sub(before);
    println!("  {:<44} {:>8.1} bytes a key resident", "BTreeMap<Vec<u8>, u64>", resident as f64 / count as f64);
    timed("BTreeMap<Vec<u8>, u64>: lookup", count, || {
        order.iter().for_each(|key| assert!(black_box(map.get(*key)).is_some()))
    });
    drop(map);
    for (name, order) in [("in order", keys.iter().collect()), ("shuffled", order)] {
        let mut index = OrderedIndex::new();
        timed(&format!("ordered: insert, {name}"), count, || {
            order.iter().for_each(|key| assert!(index.insert(key, Loc::new(1)).is_none()));
        });
        report(&format!("ordered, {name}"), index.memory_bytes(), count);
        timed("ordered: lookup", count, || order.iter().for_each(|key| assert!(black_box(index.get(key)).is_some())));
        timed("ordered: visit all", count, || {
            let flow = index.for_each_from(Bound::Unbounded, Direction::Next, |key, loc| {
                black_box((key, loc));
                ControlFlow::Continue(())
            });
            assert!(flow.is_continue(), "nobody stopped it");
        });
        timed("ordered: remove", count, || order.iter().for_each(|key| assert!(index.remove(key).is_some())));
    }
}

fn sack(count: u64) {
    let incarnation = Incarnation(1);
    let mut sack = SackIndex::new();
    let addresses: Vec<_> = timed("sack: reserve and put", count, || {
        let mut insert = |number| {
            let address = sack.reserve(incarnation).expect("there is room");
            assert!(sack.put(address, Loc::new(number)).is_ok());
            address
        };
        (0..count).map(&mut insert).collect()
    });
    println!("  {:<44} {:>8.1} bytes a key", "sack", sack.memory_bytes() as f64 / count as f64);
    timed("sack: lookup", count, || {
        shuffled(count).for_each(|at| {
            assert!(black_box(sack.get(addresses[usize::try_from(at).expect("small")])).is_some());
        });
    });
    timed("sack: remove, reserve and put", count, || {
        for address in &addresses {
            let loc = sack.remove(*address).expect("it is there");
            let next = sack.reserve(incarnation).expect("there is room");
            assert!(sack.put(next, loc).is_ok());
        }
    });
}
