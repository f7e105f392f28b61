//! Sacks: addresses are given by the store, used once, and never again.

use super::pairs::PLAIN;
use super::{Cell, Ground, HOMES, Line, On};
use crate::column::Lack;
use domains::schema::{TableHome, TableKind};
use domains::{Answer, Op};
use segments::TableId;
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Line] = &[
    ("reserve gives addresses, 0 to 1024 at a time, of sacks only", On::Own, reserve),
    ("an address that was not given, or was given back, is refused", On::Own, stale),
    ("an address is never given twice, also after a reopen", On::Own, never_twice),
];

fn reserve(ground: &mut Ground) -> Cell {
    for (home, name) in HOMES {
        let sack = ground.on.table(name, TableKind::Sack, home);
        let mut given = BTreeSet::new();
        for count in [0, 1, 2, 1024] {
            match ground.on.call(Op::Reserve { table: sack, count }).unwrap() {
                Answer::Reserved(addresses) => {
                    assert_eq!(addresses.len(), count as usize);
                    given.extend(addresses);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(given.len(), 1027, "no address twice");
        let too_many = ground.on.call(Op::Reserve { table: sack, count: 1025 });
        assert_eq!(too_many.unwrap_err().code(), 301, "on {name}");
        for address in given {
            assert_eq!(ground.on.get(sack, &address), None, "set aside is not there");
        }
    }
    let hash = ground.on.table("hash", TableKind::Hash, TableHome::Persistent);
    assert_eq!(ground.on.call(Op::Reserve { table: hash, count: 1 }).unwrap_err().code(), 207);
    assert_eq!(ground.on.call(Op::Reserve { table: TableId(999), count: 1 }).unwrap_err().code(), 202);
    Cell::Holds
}

fn stale(ground: &mut Ground) -> Cell {
    for (home, name) in HOMES {
        let sack = ground.on.table(name, TableKind::Sack, home);
        let address = ground.on.keys(sack, TableKind::Sack, 1).remove(0);
        let insert =
            |ground: &mut Ground, key: &[u8]| ground.on.change(|set| set.insert(sack, key, b"v", PLAIN).unwrap());
        insert(ground, &address).unwrap();
        ground.on.change(|set| set.delete(sack, &address).unwrap()).unwrap();
        assert_eq!(insert(ground, &address).unwrap_err().code(), 208, "its pair was deleted");
        let upsert = ground.on.change(|set| set.upsert(sack, &address, b"v", PLAIN).unwrap());
        assert_eq!(upsert.unwrap_err().code(), 208);
        for made_up in [[0; 8], [0xff; 8], [0, 0, 0, 9, 0, 0, 1, 1]] {
            assert_eq!(insert(ground, &made_up).unwrap_err().code(), 208, "nobody gave {made_up:?}");
            assert_eq!(ground.on.get(sack, &made_up), None);
        }
        for length in [0, 1, 7, 9, 2048] {
            let key = vec![1; length];
            assert_eq!(insert(ground, &key).unwrap_err().code(), 208, "{length} bytes are no address");
            assert_eq!(ground.on.get(sack, &key), None);
        }
        // A good address, refused together with a bad one, is still set aside.
        let good = ground.on.keys(sack, TableKind::Sack, 1).remove(0);
        let both = ground.on.change(|set| {
            set.insert(sack, &good, b"v", PLAIN).unwrap();
            set.insert(sack, &address, b"v", PLAIN).unwrap();
        });
        assert_eq!(both.unwrap_err().code(), 208);
        insert(ground, &good).unwrap();
        assert_eq!(ground.on.value(sack, &good).unwrap(), b"v");
    }
    Cell::Holds
}

fn never_twice(ground: &mut Ground) -> Cell {
    let sack = ground.on.table("s", TableKind::Sack, TableHome::Persistent);
    let mut given = BTreeSet::new();
    let lives = if ground.on.lacks(Lack::Persistence) { 1 } else { 3 };
    for life in 0..lives {
        let unused = ground.on.keys(sack, TableKind::Sack, 5);
        for round in 0..600 {
            let address = ground.on.keys(sack, TableKind::Sack, 1).remove(0);
            ground.on.put(sack, &address, b"v");
            if round % 3 != 0 {
                ground.on.change(|set| set.delete(sack, &address).unwrap()).unwrap();
            }
            assert!(given.insert(address), "life {life}, round {round}");
        }
        given.extend(unused.iter().cloned());
        if life + 1 < lives {
            ground.on.force();
            ground.on.reopen();
            assert_eq!(ground.on.all(sack, domains::Direction::Next, 64).len(), (life + 1) * 200);
            let old = ground.on.change(|set| set.insert(sack, &unused[0], b"v", PLAIN).unwrap());
            assert_eq!(old.unwrap_err().code(), 208, "what was set aside goes with the life it was set aside in");
        }
    }
    Cell::Holds
}
