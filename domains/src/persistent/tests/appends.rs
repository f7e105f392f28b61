//! Records that grow: what they are, what growing costs, and what damage of a part does.

use super::*;
use crate::engine::extend::COPIED_BYTES_MAX;
use crate::engine::find::{Known, Located, Want};
use crate::engine::records::place_of;
use segments::limits::VALUE_BYTES_MAX;
use segments::record::EXTENT_BYTES;

fn append(bench: &mut Bench, table: TableId, key: &[u8], more: &[u8]) -> crate::Committed {
    let mut set = CommitSet::new();
    set.append(table, key, more, PutOptions::default(), Expect::Any).unwrap();
    bench.commit(set, Level::Committed).unwrap()
}

fn live_bytes(bench: &mut Bench, table: TableId) -> u64 {
    let Answer::Status(status) = bench.call(Op::Status).unwrap() else { panic!() };
    status.tables.iter().find(|status| status.info.id == table).unwrap().record_bytes
}

/// A listing keeps what it has read of a record until it has all of it, wherever the rest of it is meanwhile. It once forgot the parts of
/// a record that was itself in the cache, and when each part that came drove another out it read them for ever.
#[test]
fn a_listing_ends_with_a_cache_of_any_size() {
    for cache_bytes in (2_000..30_000).step_by(400) {
        let mut bench = Bench::new(Config { cache_bytes, tail_pages: 1, ..tiny() });
        let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
        for n in 0..24_u8 {
            append(&mut bench, table, &[n % 4], &[n; 1_500]);
            append(&mut bench, table, &[n % 4], &[n; 300]);
            bench.force();
        }
        bench.call(Op::DropCache).unwrap();
        for n in 0..12_u8 {
            assert_eq!(bench.all(table, 2).len(), 4);
            assert_eq!(bench.get(table, &[n % 4]).unwrap().value.len(), 6 * 1_800);
        }
    }
}

#[test]
fn a_record_that_was_appended_to_is_all_that_was_appended() {
    for (kind, home, fingerprint_bits) in [
        (TableKind::Hash, TableHome::Persistent, 64),
        (TableKind::Hash, TableHome::Persistent, 1),
        (TableKind::Ordered, TableHome::Persistent, 64),
        (TableKind::Ordered, TableHome::Volatile, 64),
    ] {
        let mut bench = Bench::new(Config { fingerprint_bits, ..tiny() });
        let table = bench.create("t", kind, home);
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for n in 0_u32..900 {
            let key = (n * 7 % 5).to_le_bytes().to_vec();
            let more = vec![n.to_le_bytes()[0]; (n as usize * 131) % [40, 900, 12_000][n as usize % 3]];
            if n % 97 == 0 {
                bench.put(table, &key, &more);
                model.insert(key.clone(), more);
            } else {
                append(&mut bench, table, &key, &more);
                model.entry(key.clone()).or_default().extend(more);
            }
            assert!(bench.get(table, &key).unwrap().value == model[&key], "{kind:?} {home:?}: append {n}");
            if n % 40 == 0 {
                bench.call(Op::DropCache).unwrap();
            }
            if n % 150 == 149 && home == TableHome::Persistent {
                bench.force();
                bench.reopen();
            }
        }
        bench.call(Op::DropCache).unwrap();
        let keys = model.keys().cloned().collect();
        let Answer::Many(pairs) = bench.call(Op::LookupMany { table, keys }).unwrap() else { panic!("another answer") };
        assert!(
            pairs.into_iter().map(|pair| pair.unwrap().value).eq(model.values().cloned()),
            "{kind:?} {home:?}: many"
        );
        bench.call(Op::DropCache).unwrap();
        let mut all = bench.all(table, 3);
        all.sort();
        assert!(all == model.into_iter().collect::<Vec<_>>(), "{kind:?} {home:?}: the iteration");
    }
}

/// Pages of log that a thousand appends to a record of 1 MiB write.
fn pages_of_a_thousand(bench: &mut Bench, table: TableId, bytes: usize, level: Level) -> u64 {
    bench.put(table, b"key", &[7; 1 << 20]);
    bench.force();
    let before = bench.engine.core.log().pages_written();
    for n in 0..1_000_u32 {
        let mut set = CommitSet::new();
        let more = vec![n.to_le_bytes()[0]; bytes];
        set.append(table, b"key", &more, PutOptions::default(), Expect::Any).unwrap();
        bench.commit(set, level).unwrap();
    }
    bench.force();
    bench.engine.core.log().pages_written() - before
}

/// Every page of the log is counted, headers, names, closes and padding included. Grouped, the log takes three to four bytes for each that is
/// added (894 and 150 pages), and by themselves, when each append waits until it is persistent, a page and a half each (1,518).
/// Rewritten as a whole they would be 1.5 GiB, 393,000 pages.
#[test]
fn a_thousand_appends_write_a_few_times_what_they_add() {
    for (level, bytes, pages_max) in
        [(Level::Committed, 1_024, 1_000), (Level::Committed, 100, 180), (Level::Persistent, 1_024, 3_000)]
    {
        let mut bench = Bench::new(Config { epoch_interval_nanos: 100_000_000, ..Config::default() });
        let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
        let pages = pages_of_a_thousand(&mut bench, table, bytes, level);
        assert!(pages <= pages_max, "{pages} pages for 1,000 appends of {bytes} bytes");
    }
}

#[test]
fn what_is_live_of_a_record_that_was_appended_to_is_its_value() {
    let mut bench = Bench::new(Config::default());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    pages_of_a_thousand(&mut bench, table, 100, Level::Committed);
    let value = bench.get(table, b"key").unwrap().value;
    assert_eq!(value.len(), (1 << 20) + 100_000);
    // Live is the value, and of each part no more than a header and a key.
    let live = live_bytes(&mut bench, table);
    assert!(live >= value.len() as u64 && live <= value.len() as u64 + 33 * (EXTENT_BYTES as u64 + 64), "{live}");
    bench.reopen();
    assert_eq!(live_bytes(&mut bench, table), live, "after a restart the same is live");
    let mut set = CommitSet::new();
    set.delete(table, b"key").unwrap();
    bench.commit(set, Level::Committed).unwrap();
    assert_eq!(live_bytes(&mut bench, table), 0);
}

/// A revertible append names what is there, so it keeps nothing for itself; its revert writes the record before it with the extents
/// that it had, its seal the record itself: neither copies a megabyte.
#[test]
fn a_revertible_append_keeps_and_costs_what_it_adds() {
    let mut bench = Bench::new(Config::default());
    bench.now.unix_ms = 1;
    let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
    bench.put(table, b"key", &[7; 1 << 20]);
    append(&mut bench, table, b"key", &[8; 5_000]);
    bench.force();
    let before = bench.engine.core.log().pages_written();
    for number in 0..100_u8 {
        let mut set = CommitSet::new();
        let options = PutOptions { revertible_ms: Some(1_000), ..PutOptions::default() };
        set.append(table, b"key", &[9; 5_000], options, Expect::Any).unwrap();
        let token = bench.commit(set, Level::Committed).unwrap().versions.as_slice()[0];
        let Answer::Status(status) = bench.call(Op::Status).unwrap() else { panic!() };
        assert_eq!(status.revertible_writes, 1);
        assert!(status.kept_bytes < 20_000, "{} bytes are kept", status.kept_bytes);
        bench.call(Op::DropCache).unwrap();
        let mut set = CommitSet::new();
        if number % 10 == 9 { set.seal(table, b"key", token) } else { set.revert(table, b"key", token) }.unwrap();
        bench.commit(set, Level::Committed).unwrap();
        let appended = 1 + usize::from((number + 1) / 10);
        let value = bench.get(table, b"key").unwrap().value;
        assert_eq!(value.len(), (1 << 20) + 5_000 * appended, "after {number}");
    }
    bench.force();
    let written = (bench.engine.core.log().pages_written() - before) * segments::PAGE_BYTES as u64;
    assert!(written < 6 << 20, "{written} bytes for 200 writes of 5,000 bytes");
    bench.reopen();
    let value = bench.get(table, b"key").unwrap().value;
    assert!(value[..1 << 20].iter().all(|&byte| byte == 7) && value[(1 << 20) + 5_000..].iter().all(|&byte| byte == 9));
}

/// One transaction copies at most as much of earlier appends as it may bring; past that it names what it would have merged.
#[test]
fn a_transaction_of_many_appends_copies_no_more_than_it_may() {
    let mut bench = Bench::new(Config { tail_pages: 4096, cache_bytes: 0, ..Config::default() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let keys: Vec<[u8; 2]> = (0..40_000_u16).map(u16::to_le_bytes).collect();
    let append_all = |bench: &mut Bench, more: &[u8]| {
        let mut set = CommitSet::new();
        for key in &keys {
            set.append(table, key, more, PutOptions::default(), Expect::Any).unwrap();
        }
        bench.commit(set, Level::Committed).unwrap();
    };
    // Those that fit the bound are whole, the others have an extent.
    let extents = |bench: &Bench, key: &[u8]| {
        let core = &bench.engine.core;
        let (table, known) = (core.table(table).unwrap(), Known::default());
        let located = core.locate(table, core.sought(table, key), &known, Want::Head, bench.now).unwrap();
        let Located::Present { found: Some(found), .. } = located else { panic!("not in the tail") };
        found.extents().len()
    };
    let last = &keys[39_999];
    append_all(&mut bench, &[1; 3_300]);
    bench.force();
    const { assert!(3_300 * 40_000 < COPIED_BYTES_MAX && 3_400 * 40_000 > COPIED_BYTES_MAX) };
    append_all(&mut bench, &[2; 100]);
    assert_eq!(extents(&bench, last), 0, "132 MB may be copied");
    append_all(&mut bench, b"3");
    assert_eq!(extents(&bench, last), 1, "136 MB may not");
    for key in [&keys[0], last] {
        assert_eq!(bench.get(table, key).unwrap().value, [&[1; 3_300][..], &[2; 100], b"3"].concat());
    }
}

#[test]
fn appends_to_a_volatile_record_copy_nothing_but_what_they_add() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Volatile);
    bench.put(table, b"key", &vec![7; 32 << 20]);
    for _ in 0..2_000 {
        append(&mut bench, table, b"key", &[8; 100]);
    }
    assert_eq!(bench.get(table, b"key").unwrap().value.len(), (32 << 20) + 200_000);
    assert!(bench.engine.core.records.heap.bytes() < 80 << 20, "room to grow, and nothing left behind");
}

#[test]
fn the_parts_of_a_cold_record_are_read_together() {
    let mut bench = Bench::new(Config { cache_bytes: 16 << 20, ..tiny() });
    let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
    bench.put(table, b"key", &[7; 20_000]);
    for _ in 0..40 {
        append(&mut bench, table, b"key", &[8; 3_000]);
    }
    bench.force();
    bench.call(Op::DropCache).unwrap();
    bench.engine.submit(OpId(1 << 40), Op::Lookup { table, key: b"key".to_vec() }, bench.now);
    let (mut answers, mut turns) = (Vec::new(), 0);
    while answers.is_empty() {
        bench.run();
        bench.engine.take_answers(&mut answers);
        turns += 1;
    }
    let Ok(Answer::Pair(Some(pair))) = &answers[0].1 else { panic!("{answers:?}") };
    assert_eq!(pair.value.len(), 140_000);
    assert_eq!(turns, 2, "the newest record first, then all that it names");
}

#[test]
fn options_of_an_append_are_kept_and_what_it_expects_is_checked() {
    for home in [TableHome::Persistent, TableHome::Volatile] {
        let mut bench = Bench::new(tiny());
        let table = bench.create("t", TableKind::Hash, home);
        let mut appends = |key: &[u8], options: PutOptions, expect: Expect, now_ms: u64| {
            bench.now.unix_ms = now_ms;
            let mut set = CommitSet::new();
            set.append(table, key, b"more", options, expect).unwrap();
            let outcome = bench.commit(set, Level::Persistent);
            (outcome, bench.get(table, key))
        };
        let plain = PutOptions::default();
        assert!(matches!(appends(b"a", plain, Expect::Present, 0).0, Err(Error::CompareFailed { .. })));
        let ends = PutOptions { expires_ms: Some(100), compressed: true, compact: false, revertible_ms: None };
        let made = appends(b"a", ends, Expect::Absent, 0).0.unwrap();
        assert!(matches!(appends(b"a", plain, Expect::Absent, 0).0, Err(Error::CompareFailed { .. })));
        let pair = appends(b"a", plain, Expect::At(made.versions.as_slice()[0]), 0).1.unwrap();
        assert_eq!((pair.value.as_slice(), pair.options()), (&b"moremore"[..], ends));
        let later = PutOptions { expires_ms: Some(200), compressed: false, compact: false, revertible_ms: None };
        let pair = appends(b"a", later, Expect::Any, 50).1.unwrap();
        assert_eq!(
            pair.options(),
            PutOptions { expires_ms: Some(200), compressed: true, compact: false, revertible_ms: None }
        );
        let pair = appends(b"a", plain, Expect::Any, 200).1.unwrap();
        assert_eq!((pair.value.as_slice(), pair.options()), (&b"more"[..], plain), "what had ended is begun anew");
    }
}

#[test]
fn a_record_does_not_grow_past_the_largest_value() {
    for home in [TableHome::Persistent, TableHome::Volatile] {
        let mut bench = Bench::new(Config { tail_pages: 4096, ..Config::default() });
        let table = bench.create("t", TableKind::Hash, home);
        bench.put(table, b"key", &vec![7; VALUE_BYTES_MAX - 5]);
        append(&mut bench, table, b"key", b"12345");
        let mut set = CommitSet::new();
        set.append(table, b"key", b"6", PutOptions::default(), Expect::Any).unwrap();
        set.upsert(table, b"other", b"7", PutOptions::default()).unwrap();
        let error = bench.commit(set, Level::Committed).unwrap_err();
        assert!(matches!(error, Error::Limit { limit, .. } if limit == VALUE_BYTES_MAX as u64), "{error}");
        assert!(bench.get(table, b"other").is_none(), "nothing of the set was applied");
        assert_eq!(bench.get(table, b"key").unwrap().value.len(), VALUE_BYTES_MAX);
    }
}

#[test]
fn a_damaged_part_is_an_error_of_its_record_alone() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
    bench.put(table, b"key", &[7; 20_000]);
    let base = place_of(super::damage::loc_of(&bench, table, b"key"));
    append(&mut bench, table, b"key", &[8; 6_000]);
    bench.put(table, b"other", b"whole");
    bench.force();
    bench.call(Op::DropCache).unwrap();
    super::damage::flip(&mut bench, base.page().0 + 2);
    let error = bench.call(Op::Lookup { table, key: b"key".to_vec() }).unwrap_err();
    assert!(matches!(error, Error::CorruptRecord { table: named, .. } if named == table), "{error}");
    assert_eq!(bench.get(table, b"other").unwrap().value, b"whole");
    // The next append names the damaged part and does not need it.
    append(&mut bench, table, b"key", b"more");
}
