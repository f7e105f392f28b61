//! Reads of more than one pair, and of less.

use super::pairs::PLAIN;
use super::{Cell, Ground, Line, On};
use crate::column::Lack;
use domains::{Answer, Op, Pair};
use segments::TableId;
use txn::PutOptions;

pub(super) const CHECKS: &[Line] = &[
    ("many keys come in the order in which they were asked, warm and cold", On::Each, many),
    ("many keys: a pair that has expired is not there", On::Each, many_expired),
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
