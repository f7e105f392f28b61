//! Sizes: keys and values at nothing, one, the most and one more, and where pages and segments end.

use super::pairs::PLAIN;
use super::{Cell, Ground, Line, On};
use domains::schema::{TableHome, TableKind};
use segments::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use segments::page::PAGE_PAYLOAD_BYTES;
use segments::record::encoded_bytes;
use txn::{CommitSet, SetError};

pub(super) const CHECKS: &[Line] = &[
    ("keys of 0, 1, most and most + 1 bytes", On::Own, keys),
    ("values of 0 and 1 bytes, at the ends of pages, larger than a segment", On::Each, values),
    ("a value of 64 MiB, and one byte more", On::Own, largest_value),
    ("a smaller and a larger record take the place of one", On::Each, overwrites),
];

/// The longest value of a record that lies in one page with a key of so many bytes.
pub(super) fn page_value_bytes(key_bytes: usize) -> usize {
    let bytes =
        (0..PAGE_PAYLOAD_BYTES).rev().find(|&bytes| encoded_bytes(key_bytes, bytes, false) <= PAGE_PAYLOAD_BYTES);
    bytes.expect("an empty value lies in a page")
}

fn keys(ground: &mut Ground) -> Cell {
    for (kind, home, name) in [
        (TableKind::Hash, TableHome::Persistent, "hp"),
        (TableKind::Ordered, TableHome::Persistent, "op"),
        (TableKind::Hash, TableHome::Volatile, "hv"),
        (TableKind::Ordered, TableHome::Volatile, "ov"),
    ] {
        let table = ground.on.table(name, kind, home);
        let longest = vec![0xff; KEY_BYTES_MAX];
        let mut other = longest.clone();
        other[KEY_BYTES_MAX - 1] = 0xfe;
        let keys = [vec![], vec![0], vec![0, 0], vec![0xff], longest[1..].to_vec(), other, longest];
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(ground.on.get(table, key), None);
            ground.on.put(table, key, &vec![1; number * 700]);
        }
        ground.on.call(domains::Op::DropCache).unwrap();
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(ground.on.value(table, key).unwrap().len(), number * 700);
        }
        let mut all: Vec<_> =
            ground.on.all(table, domains::Direction::Next, 2).into_iter().map(|pair| pair.key).collect();
        let mut sorted = keys.to_vec();
        sorted.sort();
        if kind == TableKind::Hash {
            all.sort();
        }
        assert_eq!(all, sorted);
        for key in &keys {
            ground.on.change(|set| set.delete(table, key).unwrap()).unwrap();
            assert_eq!(ground.on.get(table, key), None);
        }
        let too_long = vec![0xff; KEY_BYTES_MAX + 1];
        assert_eq!(ground.on.get(table, &too_long), None, "a key that cannot be is not there");
        let mut set = CommitSet::new();
        let refused = set.upsert(table, &too_long, b"", PLAIN);
        assert_eq!(refused, Err(SetError::KeyTooLong { bytes: KEY_BYTES_MAX + 1 }));
        assert!(set.is_empty());
    }
    Cell::Holds
}

fn values(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let sizes = |key: usize| {
        let page = page_value_bytes(key);
        // A segment of these tests has 16 pages.
        [0, 1, 7, 8, 9, page - 1, page, page + 1, 2 * page, 5 * 4096, 16 * 4096, 16 * 4096 + 1, 70 * 4096]
    };
    let keys = ground.keys(table, 13);
    let bytes_of =
        |number: usize, size: usize| -> Vec<u8> { (0..size).map(|at| (at * 31 + number).to_le_bytes()[0]).collect() };
    for (number, key) in keys.iter().enumerate() {
        ground.on.put(table, key, &bytes_of(number, sizes(key.len())[number]));
    }
    for round in 0..3 {
        for (number, key) in keys.iter().enumerate() {
            let size = sizes(key.len())[number];
            assert!(ground.on.value(table, key).unwrap() == bytes_of(number, size), "{size} bytes in round {round}");
        }
        if ground.on.lacks(crate::column::Lack::Persistence) || ground.home == TableHome::Volatile {
            break;
        }
        ground.on.force();
        match round {
            0 => drop(ground.on.call(domains::Op::DropCache).unwrap()),
            _ => ground.on.reopen(),
        }
    }
    assert_eq!(ground.on.all(table, domains::Direction::Next, 3).len(), 13);
    Cell::Holds
}

fn largest_value(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let mut largest = vec![9; VALUE_BYTES_MAX];
    largest[VALUE_BYTES_MAX - 1] = 10;
    ground.on.put(table, b"most", &largest);
    ground.on.put(table, b"after", b"small");
    if !ground.on.lacks(crate::column::Lack::Persistence) {
        ground.on.force();
        ground.on.call(domains::Op::DropCache).unwrap();
    }
    assert!(ground.on.value(table, b"most").unwrap() == largest);
    assert_eq!(ground.on.value(table, b"after").unwrap(), b"small");
    largest.push(11);
    let refused = CommitSet::new().upsert(table, b"more", &largest, PLAIN);
    assert_eq!(refused, Err(SetError::ValueTooLarge { bytes: VALUE_BYTES_MAX + 1 }));
    Cell::Holds
}

fn overwrites(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 3);
    for (round, size) in [5000, 3, 0, 4000, 100, 70_000, 1].into_iter().enumerate() {
        for key in &keys {
            ground.on.put(table, key, &vec![round.to_le_bytes()[0]; size]);
        }
        for key in &keys {
            assert_eq!(ground.on.value(table, key).unwrap(), vec![round.to_le_bytes()[0]; size]);
        }
        let status = ground.on.status();
        let figures = status.tables.iter().find(|figures| figures.info.id == table).unwrap();
        assert_eq!(figures.pairs, 3, "an overwrite makes no pair");
        // In the log the record that goes may be with the device, and then the table's mean is taken for it.
        let exact = ground.on.lacks(crate::column::Lack::Persistence) || ground.home == TableHome::Volatile;
        assert!(!exact || figures.record_bytes >= 3 * size as u64, "{figures:?}");
    }
    Cell::Holds
}
