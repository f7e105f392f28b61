//! What the inline store asks of the allocator for each operation: nothing to look, little and bounded to change.
//!
//! The counts are upper bounds of a mean over many operations, so that the rare growth of an index page or of the log counts too.

#![expect(clippy::unwrap_used, reason = "a test that fails here has its message in the error")]
#![expect(clippy::print_stdout, reason = "the counts are worth seeing")]

use domains::config::Config;
use domains::persistent::{self, Entropy};
use lostore::inline::Inline;
use lostore::schema::{TableHome, TableKind};
use lostore::{PutOptions, RawTable, Store, plain_spec};
use segments::DomainId;
use segments::memory::MemoryDevice;

type Backend = Inline<domains::Engine, MemoryDevice>;

const PAIRS: u64 = 10_000;

fn key(number: u64) -> [u8; 16] {
    let mut key = [b'k'; 16];
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

/// A store in memory whose epochs do not end while somebody counts, with a table of `kind` in which every key has a value.
fn filled(kind: TableKind) -> RawTable<Backend> {
    let config =
        Config { tail_pages: 1 << 16, cache_bytes: 0, epoch_interval_nanos: 3_600_000_000_000, ..Config::default() };
    let mut device = MemoryDevice::new(0);
    let entropy = Entropy { domain: DomainId(1), salt: 2, hash_key: [3; 16] };
    persistent::format(&mut device, &config, entropy).unwrap();
    let (engine, _) = persistent::open(&mut device, &config).unwrap();
    let store = Store::new(Inline::new(engine, device));
    let table = store.create_raw("t", plain_spec(kind, TableHome::Persistent)).unwrap();
    for number in 0..PAIRS {
        table.upsert(&key(number), &[7; 100], PutOptions::default()).unwrap();
    }
    table
}

/// Allocations of one operation, in the mean over every key.
fn allocations(mut operation: impl FnMut(u64)) -> f64 {
    let counted = allocation_counter::measure(|| (0..PAIRS).for_each(&mut operation));
    let number = |total: u64| f64::from(u32::try_from(total).unwrap());
    number(counted.count_total) / number(PAIRS)
}

#[test]
fn a_look_at_what_memory_has_allocates_nothing() {
    for kind in [TableKind::Hash, TableKind::Ordered] {
        let table = filled(kind);
        let mut bytes = 0;
        let counted = allocation_counter::measure(|| {
            for number in 0..2 * PAIRS {
                table.get_with(&key(number), &mut |pair| bytes += pair.map_or(0, |pair| pair.value.len())).unwrap();
            }
        });
        assert_eq!(bytes, 100 * 10_000, "every key is there, and none of the others");
        assert_eq!(counted.count_total, 0, "{kind:?}: {counted:?}");
    }
}

/// The buffers of the commit set and the operation's place; the rest is the growth of index and log, and in an ordered index the
/// nodes that are made anew.
#[test]
fn a_change_allocates_its_commit_set_and_little_else() {
    for (kind, most) in [(TableKind::Hash, 3.5), (TableKind::Ordered, 5.5)] {
        let table = filled(kind);
        let update = allocations(|number| drop(table.upsert(&key(number), &[8; 100], PutOptions::default()).unwrap()));
        let delete = allocations(|number| drop(table.remove(&key(number)).unwrap()));
        let insert = allocations(|number| drop(table.upsert(&key(number), &[9; 100], PutOptions::default()).unwrap()));
        println!(
            "{kind:?}: {update:.2} allocations for an update, {delete:.2} for a delete, {insert:.2} for an insert"
        );
        for count in [update, delete, insert] {
            assert!(count <= most, "{kind:?}: {count} allocations");
        }
    }
}
