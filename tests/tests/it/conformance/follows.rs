//! Following pointers, from every kind of table to every kind.

use super::{Cell, Ground, HOMES, KINDS, Line, On};
use crate::column::{Lack, field, plain};
use domains::Followed;
use domains::schema::envelope::{EnvelopeWriter, Rest};
use domains::schema::{FieldType, TableHome, TableKind, TableSpec};
use segments::TableId;

pub(super) const CHECKS: &[Line] = &[
    ("follow across every pair of kinds and homes: found, null, dangling, absent", On::Own, across),
    ("follow refuses a field that is no pointer, and a target table that is not there", On::Own, refusals),
    ("a pointer to a volatile table dangles after a reopen", On::Own, volatile_target),
    ("a field appended since the record was written is null", On::Own, appended),
];

/// A spec whose record is a number and a pointer.
fn holder(kind: TableKind, home: TableHome, target: &str) -> TableSpec {
    let pointer = FieldType::Pointer { table: target.to_owned() };
    TableSpec { record: vec![field("n", FieldType::Unsigned(32)), field("to", pointer)], ..plain(kind, home) }
}

/// A record of a number and a pointer; an empty target is null.
fn record(target: &[u8]) -> Vec<u8> {
    let (mut bytes, rest) = (Vec::new(), Rest::default());
    let mut writer = EnvelopeWriter::new(&mut bytes, 2, &rest);
    writer.field(&7_u32).unwrap();
    writer.bytes(target);
    writer.finish();
    bytes
}

fn across(ground: &mut Ground) -> Cell {
    for (to_kind, to_name) in KINDS {
        for (to_home, to_home_name) in HOMES {
            let target = format!("to {to_name} {to_home_name}");
            let to = ground.on.table(&target, to_kind, to_home);
            let mut targets = ground.on.keys(to, to_kind, 2);
            if to_kind != TableKind::Sack {
                // The empty key is null; no key of these is empty.
                assert!(targets.iter().all(|key| !key.is_empty()));
            }
            let (there, gone) = (targets.remove(0), targets.remove(0));
            ground.on.put(to, &there, b"target");
            for (kind, name) in KINDS {
                for (home, home_name) in HOMES {
                    let spec = holder(kind, home, &target);
                    let from = ground.on.create(&format!("{name} {home_name} {target}"), spec).unwrap().id;
                    one_way(ground, (from, kind), (to, &there, &gone));
                }
            }
        }
    }
    Cell::Holds
}

fn one_way(ground: &mut Ground, (from, kind): (TableId, TableKind), (to, there, gone): (TableId, &[u8], &[u8])) {
    let keys = ground.on.keys(from, kind, 4);
    for (key, target) in keys.iter().zip([there, &[][..], gone]) {
        ground.on.put(from, key, &record(target));
    }
    for cold in [false, true] {
        if cold {
            ground.on.call(domains::Op::DropCache).unwrap();
        }
        let pairs: Vec<_> = keys.iter().map(|key| ground.on.get(from, key)).collect();
        if cold {
            ground.on.call(domains::Op::DropCache).unwrap();
        }
        let holder = |number: usize| pairs[number].clone().expect("the holder is there");
        match ground.on.follow(from, &keys[0], 1).unwrap() {
            Followed::Found { from: holding, to: found } => {
                assert_eq!((holding, found.key.as_slice(), &found.value[..]), (holder(0), there, &b"target"[..]));
                assert_eq!(Some(found.version), ground.on.get(to, there).map(|pair| pair.version));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(ground.on.follow(from, &keys[1], 1).unwrap(), Followed::Null { from: holder(1) });
        let dangling = Followed::Dangling { from: holder(2), target: gone.to_vec() };
        assert_eq!(ground.on.follow(from, &keys[2], 1).unwrap(), dangling);
        assert_eq!(ground.on.follow(from, &keys[3], 1).unwrap(), Followed::Absent);
    }
}

fn refusals(ground: &mut Ground) -> Cell {
    let spec = holder(TableKind::Hash, TableHome::Persistent, "later");
    let from = ground.on.create("from", spec).unwrap().id;
    ground.on.put(from, b"k", &record(b"x"));
    for no_pointer in [0, 2, u16::MAX] {
        assert_eq!(ground.on.follow(from, b"k", no_pointer).unwrap_err().code(), 206);
    }
    let missing = ground.on.follow(from, b"k", 1).unwrap_err();
    assert_eq!(missing.code(), 201, "the target table is not there yet: {missing}");
    let later = ground.on.table("later", TableKind::Ordered, TableHome::Persistent);
    ground.on.put(later, b"x", b"y");
    assert!(matches!(ground.on.follow(from, b"k", 1).unwrap(), Followed::Found { .. }));
    ground.on.put(from, b"bad", b"\xff\xff not a record");
    assert_eq!(ground.on.follow(from, b"bad", 1).unwrap_err().kind(), domains::ErrorKind::Corrupt);
    assert_eq!(ground.on.follow(TableId(999), b"k", 1).unwrap_err().code(), 202);
    Cell::Holds
}

fn volatile_target(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Persistence) {
        return Cell::Not(Lack::Persistence);
    }
    let to = ground.on.table("to", TableKind::Hash, TableHome::Volatile);
    let from = ground.on.create("from", holder(TableKind::Ordered, TableHome::Persistent, "to")).unwrap().id;
    ground.on.put(to, b"x", b"y");
    ground.on.put(from, b"k", &record(b"x"));
    assert!(matches!(ground.on.follow(from, b"k", 1).unwrap(), Followed::Found { .. }));
    ground.on.force();
    ground.on.reopen();
    let followed = ground.on.follow(from, b"k", 1).unwrap();
    assert!(matches!(&followed, Followed::Dangling { target, .. } if target == b"x"), "{followed:?}");
    Cell::Holds
}

fn appended(ground: &mut Ground) -> Cell {
    let mut spec = holder(TableKind::Hash, TableHome::Persistent, "t");
    let whole = spec.clone();
    spec.record.truncate(1);
    let table = ground.on.create("t", spec).unwrap().id;
    let (mut bytes, rest) = (Vec::new(), Rest::default());
    let mut writer = EnvelopeWriter::new(&mut bytes, 1, &rest);
    writer.field(&7_u32).unwrap();
    writer.finish();
    ground.on.put(table, b"old", &bytes);
    assert_eq!(ground.on.follow(table, b"old", 1).unwrap_err().code(), 206);
    ground.on.open("t", Some(whole)).unwrap();
    let followed = ground.on.follow(table, b"old", 1).unwrap();
    assert!(matches!(followed, Followed::Null { .. }), "{followed:?}");
    ground.on.put(table, b"new", &record(b"old"));
    assert!(matches!(ground.on.follow(table, b"new", 1).unwrap(), Followed::Found { .. }));
    Cell::Holds
}
