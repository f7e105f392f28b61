//! Reads of more than one pair, and of less.

use super::pairs::PLAIN;
use super::{Cell, Ground, Line, On};
use crate::column::Lack;
use domains::{Answer, Op, Pair, Range, Ranges};
use segments::TableId;
use txn::PutOptions;

pub(super) const CHECKS: &[Line] = &[
    ("many keys come in the order in which they were asked, warm and cold", On::Each, many),
    ("many keys: a pair that has expired is not there", On::Each, many_expired),
    ("ranges of a record: overlapping, empty, past the end, warm and cold", On::Each, ranges),
    ("ranges that are too many or too much together are refused", On::Own, ranges_refused),
    ("a lookup of no key, of too many, or in a table that is gone is refused", On::Own, many_refused),
];

fn look(ground: &mut Ground, table: TableId, keys: Vec<Vec<u8>>) -> Vec<Option<Pair>> {
    let Answer::Many(pairs) = ground.on.call(Op::LookupMany { table, keys }).unwrap() else { panic!("another answer") };
    pairs
}

fn many(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 60);
    // The last ten are not there; one value is longer than a page.
    for (number, key) in keys[..50].iter().enumerate() {
        ground.on.put(table, key, &vec![1; if number == 20 { 10_000 } else { number * 13 }]);
    }
    let asked: Vec<_> = (0..60).map(|n| keys[n * 7 % 60].clone()).chain([keys[0].clone(), keys[0].clone()]).collect();
    for cold in [false, true] {
        let wanted: Vec<_> = asked.iter().map(|key| ground.on.get(table, key)).collect();
        assert_eq!(wanted.iter().flatten().count(), 52);
        if cold {
            ground.on.call(Op::DropCache).unwrap();
        }
        assert_eq!(look(ground, table, asked.clone()), wanted);
    }
    assert_eq!(look(ground, table, vec![b"no such key".to_vec()]), [None]);
    Cell::Holds
}

fn many_expired(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Clock) {
        return Cell::Not(Lack::Clock);
    }
    let table = ground.table();
    let keys = ground.keys(table, 2);
    let options = PutOptions { expires_ms: Some(ground.on.unix_ms() + 10), ..PLAIN };
    ground.on.change(|set| set.upsert(table, &keys[0], b"goes", options).unwrap()).unwrap();
    ground.on.put(table, &keys[1], b"stays");
    ground.on.pass(10);
    let values: Vec<_> = look(ground, table, keys).into_iter().map(|pair| pair.map(|pair| pair.value)).collect();
    assert_eq!(values, [None, Some(b"stays".to_vec())]);
    Cell::Holds
}

fn many_refused(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let mut code = |table, count| {
        let op = Op::LookupMany { table, keys: vec![b"k".to_vec(); count] };
        ground.on.call(op).map_err(|error| error.code())
    };
    assert_eq!([code(table, 0), code(table, 4097)], [Err(301), Err(301)]);
    assert_eq!(code(TableId(999), 1), Err(202));
    assert_eq!(code(table, 4096), Ok(Answer::Many(vec![None; 4096])));
    Cell::Holds
}

fn parts(ground: &mut Ground, table: TableId, key: &[u8], ranges: &[(u64, u64)]) -> Option<Ranges> {
    let ranges = ranges.iter().map(|&(from, bytes)| Range { from, bytes }).collect();
    let op = Op::ReadRanges { table, key: key.to_vec(), ranges };
    let Answer::Ranges(ranges) = ground.on.call(op).unwrap() else { panic!("another answer") };
    ranges
}

fn ranges(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 6);
    for (key, bytes) in keys.iter().zip([0_usize, 1, 100, 9_000, 300_000]) {
        let value: Vec<u8> = (0..bytes).map(|at| (at % 251).to_le_bytes()[0]).collect();
        let version = ground.on.put(table, key, &value);
        let total = bytes as u64;
        let asked =
            [(0, 10), (5, 20), (50, 0), (8_000, 5_000), (total / 2, 7), (total, 1), (u64::MAX, 2), (1, u64::MAX)];
        let wanted: Vec<_> = asked
            .iter()
            .map(|&(from, bytes)| {
                let clip = |at: u64| usize::try_from(at.min(total)).unwrap();
                value[clip(from)..clip(from.saturating_add(bytes))].to_vec()
            })
            .collect();
        for cold in [false, true] {
            if cold {
                ground.on.call(Op::DropCache).unwrap();
            }
            let found = parts(ground, table, key, &asked).expect("it is there");
            assert_eq!((found.version, found.total_bytes, &found.parts), (version, total, &wanted));
        }
        assert_eq!(parts(ground, table, key, &[]).unwrap().total_bytes, total);
    }
    assert_eq!(parts(ground, table, &keys[5], &[(0, 1)]), None);
    Cell::Holds
}

fn ranges_refused(ground: &mut Ground) -> Cell {
    let table = ground.table();
    ground.on.put(table, b"k", &[7; 100_000]);
    for cold in [false, true] {
        if cold {
            ground.on.call(Op::DropCache).unwrap();
        }
        let mut code = |bytes, count| {
            let ranges = vec![Range { from: 0, bytes }; count];
            let op = Op::ReadRanges { table, key: b"k".to_vec(), ranges };
            ground.on.call(op).map_err(|error| error.code()).err()
        };
        assert_eq!([code(1, 1025), code(100_000, 1024)], [Some(301); 2]);
        assert_eq!([code(1, 1024), code(u64::MAX, 600)], [None; 2], "what is past the end does not count");
    }
    Cell::Holds
}
