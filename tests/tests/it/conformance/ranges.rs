//! Range compares: exact, on ordered tables, whatever is in memory; refused where there is no order.

use super::pairs::{PLAIN, found};
use super::{Cell, Ground, HOMES, Line, On};
use domains::schema::TableKind;
use domains::{ErrorKind, Op};
use segments::{TableId, Version};
use txn::{CommitSet, Expect, PutOptions, RANGES_FIRST};

pub(super) const CHECKS: &[Line] = &[
    ("a range compare names the stranger in the range, and takes what the set compares", On::Own, strangers),
    ("a range compare does not see what has expired, nor the set's own updates", On::Own, not_strangers),
    ("a range of a table without an order is refused", On::Own, unordered),
];

/// From where to where, and what should be found there.
type Stretch<'a> = (&'a [u8], Option<&'a [u8]>, Option<Version>);

/// Whether the domain can compare ranges; one that cannot must say so.
fn offers(ground: &mut Ground, table: TableId) -> bool {
    if ground.on.capabilities().abortable {
        return true;
    }
    let refused = ground.on.change(|set| set.compare_range(table, b"", None).unwrap());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    false
}

fn strangers(ground: &mut Ground) -> Cell {
    for (home, name) in HOMES {
        let table = ground.on.table(name, TableKind::Ordered, home);
        if !offers(ground, table) {
            continue;
        }
        let versions: Vec<Version> = [b"a", b"c", b"e"].map(|key| ground.on.put(table, key, b"1")).to_vec();
        let over = |set: &mut CommitSet, from: &[u8], until: Option<&[u8]>| {
            set.compare(table, b"a", Expect::At(versions[0])).unwrap();
            set.compare_range(table, from, until).unwrap();
            set.upsert(table, b"done", b"", PLAIN).unwrap();
        };
        for cold in [false, true] {
            if cold {
                ground.on.force();
                ground.on.call(Op::DropCache).unwrap();
            }
            // Between, at and behind the ends; the first stranger in the range is named.
            let ranges: [Stretch<'_>; 6] = [
                (b"", Some(b"c"), None),
                (b"", Some(b"c\0"), Some(versions[1])),
                (b"c", Some(b"d"), Some(versions[1])),
                (b"b", None, Some(versions[1])),
                (b"c\0", Some(b"d"), None),
                (b"f", None, None),
            ];
            for (from, until, stranger) in ranges {
                let result = ground.on.change(|set| over(set, from, until));
                match stranger {
                    None => assert!(result.is_ok(), "{from:?} {until:?} {result:?}"),
                    Some(_) => assert_eq!(found(result), [(RANGES_FIRST, stranger)], "{from:?} {until:?}"),
                }
                ground.on.change(|set| set.remove(table, b"done").unwrap()).unwrap();
            }
        }
        // A key that must merely be there is not one that was read.
        let result = ground.on.change(|set| {
            set.compare(table, b"c", Expect::Present).unwrap();
            set.compare_range(table, b"b", Some(b"d")).unwrap();
        });
        assert_eq!(found(result), [(RANGES_FIRST, Some(versions[1]))]);
        // Both failures of a set are named, the key's first.
        let result = ground.on.change(|set| {
            set.compare(table, b"a", Expect::Absent).unwrap();
            set.compare_range(table, b"x", None).unwrap();
            set.compare_range(table, b"e", Some(b"f")).unwrap();
        });
        assert_eq!(found(result), [(0, Some(versions[0])), (RANGES_FIRST + 1, Some(versions[2]))]);
    }
    Cell::Holds
}

fn not_strangers(ground: &mut Ground) -> Cell {
    for (home, name) in HOMES {
        let table = ground.on.table(name, TableKind::Ordered, home);
        if !offers(ground, table) {
            continue;
        }
        let long_ago = PutOptions { expires_ms: Some(1), ..PLAIN };
        ground
            .on
            .change(|set| (0..300_u16).for_each(|n| set.upsert(table, &n.to_le_bytes(), b"", long_ago).unwrap()))
            .unwrap();
        ground.on.force();
        ground.on.call(Op::DropCache).unwrap();
        let insert = |set: &mut CommitSet| {
            set.compare_range(table, b"", None).unwrap();
            set.insert(table, b"own", b"", PLAIN).unwrap();
        };
        let version = ground.on.change(insert).unwrap().versions.as_slice()[0];
        let again = found(ground.on.change(insert));
        assert_eq!(again, [(0, Some(version)), (RANGES_FIRST, Some(version))], "by now it is a stranger");
    }
    Cell::Holds
}

fn unordered(ground: &mut Ground) -> Cell {
    for (home, name) in HOMES {
        for kind in [TableKind::Hash, TableKind::Sack] {
            let table = ground.on.table(&format!("{name} {kind:?}"), kind, home);
            if offers(ground, table) {
                let error = ground.on.change(|set| set.compare_range(table, b"", None).unwrap()).unwrap_err();
                assert_eq!(error.code(), 207, "{error}");
            }
        }
    }
    Cell::Holds
}
