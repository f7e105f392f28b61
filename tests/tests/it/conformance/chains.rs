//! Chains of pointers and every way they end; and records that are read with their checksum.

use super::{Cell, Ground, HOMES, KINDS, Line, On};
use crate::column::{Lack, field, plain};
use domains::schema::envelope::{EnvelopeWriter, Rest};
use domains::schema::{FieldType, TableHome, TableKind, TableSpec};
use domains::{Answer, Chain, ChainEnd, Op};
use segments::TableId;
use txn::PutOptions;

pub(super) const CHECKS: &[Line] = &[
    ("a chain in one table ends: absent, null, dangling, cycle, depth, count", On::Each, ends),
    ("a chain goes over tables of every kind and home, by a list of fields", On::Own, across),
    ("a chain ends at a field or a table of a wrong type, and refuses what cannot be", On::Own, wrong_types),
    ("a chain ends at a pair that has expired", On::Each, expired),
    ("a record is read with the checksum that it was written with", On::Each, verified),
];

fn node(kind: TableKind, home: TableHome, targets: &[&str]) -> TableSpec {
    let pointer = |to: &&str| field(to, FieldType::Pointer { table: (*to).to_owned() });
    let record = std::iter::once(field("n", FieldType::Unsigned(32))).chain(targets.iter().map(pointer)).collect();
    TableSpec { record, ..plain(kind, home) }
}

/// A record of a number and pointers; an empty target is null.
fn record(targets: &[&[u8]]) -> Vec<u8> {
    let (mut bytes, rest) = (Vec::new(), Rest::default());
    let mut writer = EnvelopeWriter::new(&mut bytes, 1 + targets.len(), &rest);
    writer.field(&7_u32).unwrap();
    targets.iter().for_each(|target| writer.bytes(target));
    writer.finish();
    bytes
}

fn chain(
    ground: &mut Ground,
    (table, key): (TableId, &[u8]),
    fields: &[u16],
    depth_max: u32,
    records_max: u32,
) -> Chain {
    ground.on.call(Op::DropCache).unwrap();
    let op = Op::FollowChain { table, key: key.to_vec(), fields: fields.to_vec(), depth_max, records_max };
    let Answer::Chain(chain) = ground.on.call(op).unwrap() else { panic!("another answer") };
    chain
}

/// The keys of a chain, and its end.
fn keys_of(chain: Chain) -> (Vec<Vec<u8>>, ChainEnd) {
    (chain.links.into_iter().map(|(_, pair)| pair.key).collect(), chain.end)
}

fn ends(ground: &mut Ground) -> Cell {
    let table = ground.on.create("node", node(ground.kind, ground.home, &["node"])).unwrap().id;
    let keys = ground.keys(table, 6);
    for (number, key) in keys[..5].iter().enumerate() {
        ground.on.put(table, key, &record(&[&keys[number + 1]]));
    }
    let mut from = |at: usize, depth, records| keys_of(chain(ground, (table, &keys[at]), &[1], depth, records));
    let (all, gone) = (keys[..5].to_vec(), ChainEnd::Dangling { key: keys[5].clone() });
    assert_eq!(from(0, 100, 100), (all.clone(), gone.clone()));
    assert_eq!(from(5, 100, 100), (Vec::new(), ChainEnd::Absent));
    assert_eq!(from(0, 0, 100), (all[..1].to_vec(), ChainEnd::Depth));
    assert_eq!(from(0, 3, 100), (all[..4].to_vec(), ChainEnd::Depth));
    assert_eq!(from(0, 100, 1), (all[..1].to_vec(), ChainEnd::Count));
    assert_eq!(from(0, 100, 4), (all[..4].to_vec(), ChainEnd::Count));
    assert_eq!(from(0, 4, 100), (all.clone(), ChainEnd::Depth), "whether there is a fifth is not looked up");
    assert_eq!(from(0, 100, 5), (all.clone(), ChainEnd::Count));
    assert_eq!(from(0, 5, 6), (all.clone(), gone));
    // What takes no look is known at the limits too.
    for (depth, records) in [(100, 100), (4, 100), (100, 5)] {
        ground.on.put(table, &keys[4], &record(&[&[]]));
        let found = keys_of(chain(ground, (table, &keys[0]), &[1], depth, records));
        assert_eq!(found, (all.clone(), ChainEnd::Null));
        for at in [0, 3, 4] {
            ground.on.put(table, &keys[4], &record(&[&keys[at]]));
            let link = u32::try_from(at).unwrap();
            let found = keys_of(chain(ground, (table, &keys[0]), &[1], depth, records));
            assert_eq!(found, (all.clone(), ChainEnd::Cycle { link }));
        }
    }
    Cell::Holds
}

fn across(ground: &mut Ground) -> Cell {
    let names: Vec<String> = KINDS.iter().flat_map(|(_, k)| HOMES.map(|(_, h)| format!("{k} {h}"))).collect();
    let spots: Vec<_> = KINDS.iter().flat_map(|(kind, _)| HOMES.map(|(home, _)| (*kind, home))).collect();
    let mut tables = Vec::new();
    for (number, (kind, home)) in spots.iter().enumerate() {
        // The pointer to the next table is the second in every other one, so the fields differ from step to step.
        let next = names[(number + 1) % names.len()].as_str();
        let targets = if number % 2 == 0 { vec![next] } else { vec!["n/a", next] };
        let table = ground.on.create(&names[number], node(*kind, *home, &targets)).unwrap().id;
        tables.push((table, ground.on.keys(table, *kind, 1).remove(0)));
    }
    for (number, (table, key)) in tables.iter().enumerate() {
        let next = &tables[(number + 1) % tables.len()].1;
        let value = if number % 2 == 0 { record(&[next]) } else { record(&[&[], next]) };
        ground.on.put(*table, key, &value);
    }
    let fields: Vec<u16> = (1..=2).cycle().take(tables.len()).collect();
    let found = chain(ground, (tables[0].0, &tables[0].1), &fields, 100, 100);
    assert_eq!(found.end, ChainEnd::Cycle { link: 0 });
    let links: Vec<_> = found.links.into_iter().map(|(table, pair)| (table, pair.key)).collect();
    assert_eq!(links, tables);
    let last_repeats = chain(ground, (tables[0].0, &tables[0].1), &[1], 100, 100);
    assert_eq!((last_repeats.links.len(), last_repeats.end), (2, ChainEnd::Null));
    Cell::Holds
}

fn wrong_types(ground: &mut Ground) -> Cell {
    let (hash, home) = (TableKind::Hash, TableHome::Persistent);
    let a = ground.on.create("a", node(hash, home, &["b", "nowhere", "sack"])).unwrap().id;
    let b = ground.on.create("b", plain(hash, home)).unwrap().id;
    ground.on.create("sack", plain(TableKind::Sack, home)).unwrap();
    ground.on.put(a, b"k", &record(&[b"k", b"k", b"k"]));
    ground.on.put(b, b"k", b"bytes");
    let mut ends = |field| keys_of(chain(ground, (a, b"k"), &[field], 9, 9));
    assert_eq!(ends(1), (vec![b"k".to_vec(); 2], ChainEnd::WrongType { field: 1 }), "b has no pointer");
    assert_eq!(ends(2), (vec![b"k".to_vec()], ChainEnd::WrongType { field: 2 }), "there is no such table");
    assert_eq!(ends(3), (vec![b"k".to_vec()], ChainEnd::WrongType { field: 3 }), "no address of a sack");
    let mut refused = |table, fields: Vec<u16>, records_max| {
        let op = Op::FollowChain { table, key: b"k".to_vec(), fields, depth_max: 1, records_max };
        ground.on.call(op).unwrap_err().code()
    };
    assert_eq!(refused(a, vec![0], 1), 206);
    assert_eq!(refused(b, vec![0], 1), 206);
    assert_eq!([refused(a, vec![], 1), refused(a, vec![1], 0), refused(a, vec![1], 4097)], [301; 3]);
    Cell::Holds
}

fn expired(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Clock) {
        return Cell::Not(Lack::Clock);
    }
    let table = ground.on.create("node", node(ground.kind, ground.home, &["node"])).unwrap().id;
    let keys = ground.keys(table, 2);
    ground.on.put(table, &keys[0], &record(&[&keys[1]]));
    let options = PutOptions { expires_ms: Some(ground.on.unix_ms() + 10), ..PutOptions::default() };
    ground.on.change(|set| set.upsert(table, &keys[1], &record(&[&[]]), options).unwrap()).unwrap();
    assert_eq!(chain(ground, (table, &keys[0]), &[1], 9, 9).end, ChainEnd::Null);
    ground.on.pass(10);
    assert_eq!(chain(ground, (table, &keys[0]), &[1], 9, 9).end, ChainEnd::Expired { key: keys[1].clone() });
    Cell::Holds
}

fn verified(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 4);
    for (key, value) in keys.iter().zip([vec![], vec![1; 100], vec![2; 20_000]]) {
        let version = ground.on.put(table, key, &value);
        let op = Op::Verify { table, key: key.clone() };
        let Answer::Stored(Some(stored)) = ground.on.call(op).unwrap() else { panic!("it is there") };
        assert_eq!((&stored.pair.key, &stored.pair.value, stored.pair.version), (key, &value, version));
        assert_eq!(stored.value_crc, crc32c::crc32c(&value));
        let persists = ground.home == TableHome::Persistent && !ground.on.lacks(Lack::Persistence);
        assert_eq!(stored.from_device, persists);
    }
    let op = Op::Verify { table, key: keys[3].clone() };
    assert_eq!(ground.on.call(op).unwrap(), Answer::Stored(None));
    Cell::Holds
}
