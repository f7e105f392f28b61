//! An index that leads to another record than its key's: what is there is damage, and never data.

use super::*;
use crate::engine::find::{Known, Located, Want};
use crate::index::Loc;

pub(super) fn loc_of(bench: &Bench, table: TableId, key: &[u8]) -> Loc {
    let core = &bench.engine.core;
    let (table, known) = (core.table(table).unwrap(), Known::default());
    let located = core.locate(table, core.sought(table, key), &known, Want::Place, bench.now).unwrap();
    let Located::Present { loc, .. } = located else { panic!("{located:?}") };
    loc
}

/// Lets the key's pair lie where another record lies.
fn mislead(bench: &mut Bench, table: TableId, key: &[u8], to: Loc) {
    let old = loc_of(bench, table, key);
    let core = &mut bench.engine.core;
    let hash = core.sought(core.table(table).unwrap(), key).hash;
    let sought = crate::engine::find::Sought { key, hash };
    core.catalog.table_mut(table).unwrap().point(sought, Some(old), Some(to));
}

/// Two keys of a table: any, or addresses that it gives.
fn two_keys(bench: &mut Bench, table: TableId, kind: TableKind) -> [Vec<u8>; 2] {
    if kind != TableKind::Sack {
        return [b"one".to_vec(), b"two".to_vec()];
    }
    let Answer::Reserved(keys) = bench.call(Op::Reserve { table, count: 2 }).unwrap() else { panic!() };
    [keys[0].to_vec(), keys[1].to_vec()]
}

fn all_damaged(bench: &mut Bench, table: TableId, key: &[u8], version: segments::Version) {
    let next = Op::Next {
        table,
        from: Cursor::Start,
        until: None,
        direction: Direction::Next,
        pairs_max: 10,
        bytes_max: 1 << 20,
    };
    let mut set = CommitSet::new();
    set.compare(table, key, Expect::At(version)).unwrap();
    let ops = [Op::Lookup { table, key: key.to_vec() }, next, Op::Commit { set, level: Level::Committed }];
    for op in ops {
        let answer = bench.call(op.clone());
        let Err(error) = &answer else { panic!("{op:?} was answered {answer:?}") };
        assert!(matches!(error, Error::CorruptRecord { table: named, .. } if *named == table), "{op:?}: {error}");
    }
}

#[test]
fn a_record_of_another_table_or_key_is_damage() {
    for kind in [TableKind::Hash, TableKind::Ordered, TableKind::Sack] {
        for home in [TableHome::Persistent, TableHome::Volatile] {
            for (other_table, cold) in [(true, false), (true, true), (false, false), (false, true)] {
                let mut bench = Bench::new(tiny());
                let (table, other) = (bench.create("t", kind, home), bench.create("u", kind, home));
                let keys = two_keys(&mut bench, table, kind);
                let others = two_keys(&mut bench, other, kind);
                assert_eq!(keys, others, "sacks give the same addresses, so the key alone does not tell them apart");
                let versions = [&keys[0], &keys[1]].map(|key| bench.put(table, key, b"mine").versions.as_slice()[0]);
                bench.put(other, &keys[0], b"not mine");
                let to = if other_table { loc_of(&bench, other, &keys[0]) } else { loc_of(&bench, table, &keys[1]) };
                mislead(&mut bench, table, &keys[0], to);
                bench.force();
                if cold {
                    bench.call(Op::DropCache).unwrap();
                }
                all_damaged(&mut bench, table, &keys[0], versions[0]);
            }
        }
    }
}

/// Flips a bit in the middle of a page of the device.
pub(super) fn flip(bench: &mut Bench, page: u64) {
    let tag = Tag(u64::MAX);
    let mut done = Vec::new();
    bench.device.submit(tag, Request::Read { at: PageNo(page), frames: Frames::zeroed(1) });
    bench.device.poll(&mut done);
    let mut frames = done.remove(0).frames.unwrap();
    frames.page_mut(0)[2_000] ^= 4;
    bench.device.submit(tag, Request::Write { at: PageNo(page), frames });
    bench.device.poll(&mut done);
}
