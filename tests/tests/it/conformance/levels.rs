//! Levels, notices, force, figures, and what a cold read costs.

use super::limits::page_value_bytes;
use super::pairs::PLAIN;
use super::{Cell, Ground, Line, On};
use crate::column::Lack;
use domains::schema::{TableHome, TableKind};
use domains::{Answer, ErrorKind, Level, Op, Persistence};
use segments::EpochId;
use txn::CommitSet;

pub(super) const CHECKS: &[Line] = &[
    ("a commit at the persistent level is answered when it is persistent", On::Own, persistent_level),
    ("a commit of volatile tables only is answered at once", On::Own, volatile_only),
    ("an await is answered when its epoch is persistent", On::Own, awaits),
    ("an await of an epoch that nobody was given is an error", On::Own, made_up_epochs),
    ("a force makes everything committed persistent", On::Own, force),
    ("what is not promised is refused", On::Own, refusals),
    ("figures are plausible", On::Each, figures),
    ("a dropped cache changes no answer", On::Each, dropped_cache),
    ("a cold lookup is exactly one device read, an absent key none", On::Each, cold_reads),
];

fn set(table: segments::TableId, key: &[u8]) -> CommitSet {
    let mut set = CommitSet::new();
    set.upsert(table, key, b"v", PLAIN).unwrap();
    set
}

fn persistent_level(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Persistence) {
        return Cell::Not(Lack::Persistence);
    }
    let table = ground.table();
    let volatile = ground.on.table("v", TableKind::Hash, TableHome::Volatile);
    for round in 0..10_u8 {
        let mut set = set(table, &[round]);
        set.upsert(volatile, &[round], b"v", PLAIN).unwrap();
        let done = ground.on.commit(set, Level::Persistent).unwrap();
        assert_eq!(done.persistence, Persistence::Persistent);
        assert!(ground.on.horizon().persistent >= done.epoch, "the horizon has passed it");
        let pending = ground.on.commit(self::set(table, b"p"), Level::Committed).unwrap();
        assert_eq!(pending.persistence, Persistence::Pending);
        assert!(pending.epoch > done.epoch || ground.on.horizon().persistent >= pending.epoch, "epochs only go on");
    }
    ground.on.reopen();
    for round in 0..10_u8 {
        assert!(ground.on.get(table, &[round]).is_some(), "what was answered as persistent is");
    }
    Cell::Holds
}

fn volatile_only(ground: &mut Ground) -> Cell {
    let table = ground.on.table("v", TableKind::Ordered, TableHome::Volatile);
    let level = if ground.on.capabilities().abortable { Level::Persistent } else { Level::Committed };
    let done = ground.on.commit(set(table, b"k"), level).unwrap();
    assert_eq!(done.persistence, Persistence::Volatile);
    let nothing = ground.on.change(|set| set.remove(table, b"gone").unwrap()).unwrap();
    assert_eq!(nothing.persistence, Persistence::Persistent, "a set that changed nothing has nothing to lose");
    assert_eq!(nothing.epoch, ground.on.horizon().persistent, "it reports the last persistent epoch");
    Cell::Holds
}

fn awaits(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let first = ground.on.change(|set| set.upsert(table, b"a", b"", PLAIN).unwrap()).unwrap();
    if ground.on.lacks(Lack::Persistence) {
        let refused = ground.on.call(Op::Await { epoch: first.epoch }).unwrap_err();
        assert_eq!((refused.code(), refused.kind()), (106, ErrorKind::Unsupported), "{refused}");
        return Cell::Not(Lack::Persistence);
    }
    for _ in 0..2 {
        match ground.on.call(Op::Await { epoch: first.epoch }).unwrap() {
            Answer::Persistent(horizon) => {
                assert!(horizon.persistent >= first.epoch);
                assert_eq!(horizon.incarnation, first.epoch.incarnation());
                assert_eq!(horizon, ground.on.horizon());
            }
            other => panic!("{other:?}"),
        }
    }
    ground.on.reopen();
    assert!(ground.on.get(table, b"a").is_some(), "what was noticed is there");
    Cell::Holds
}

fn made_up_epochs(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Persistence) {
        return Cell::Not(Lack::Persistence);
    }
    let table = ground.table();
    let done = ground.on.change(|set| set.upsert(table, b"a", b"", PLAIN).unwrap()).unwrap();
    let incarnation = done.epoch.incarnation();
    for epoch in [
        EpochId::new(incarnation, done.epoch.counter() + 1),
        EpochId::new(incarnation, (1 << 40) - 1),
        EpochId::new(incarnation.next(), 1),
        EpochId(u64::MAX),
    ] {
        let error = ground.on.call(Op::Await { epoch }).unwrap_err();
        assert_eq!((error.code(), error.kind()), (301, ErrorKind::Invalid), "{epoch}: {error}");
    }
    Cell::Holds
}

fn force(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Persistence) {
        let before = ground.on.horizon();
        assert_eq!(ground.on.force(), before, "nothing is ever persistent, so nothing is waited for");
        return Cell::Not(Lack::Persistence);
    }
    let table = ground.table();
    assert_eq!(ground.on.force(), ground.on.horizon(), "with nothing more to do");
    for round in 0..5_u8 {
        let done = ground.on.change(|set| set.upsert(table, &[round], b"v", PLAIN).unwrap()).unwrap();
        assert!(ground.on.force().persistent >= done.epoch);
        ground.on.reopen();
        assert!(ground.on.get(table, &[round]).is_some());
    }
    Cell::Holds
}

fn refusals(ground: &mut Ground) -> Cell {
    let table = ground.table();
    if ground.on.capabilities().abortable {
        ground.on.commit(set(table, b"k"), Level::Persistent).unwrap();
        return Cell::Holds;
    }
    let refused = ground.on.commit(set(table, b"k"), Level::Persistent).unwrap_err();
    assert_eq!((refused.code(), refused.kind()), (106, ErrorKind::Unsupported), "{refused}");
    assert_eq!(ground.on.get(table, b"k"), None, "a refused commit leaves nothing");
    Cell::Holds
}

fn figures(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 100);
    let before = ground.on.status();
    for key in &keys {
        ground.on.put(table, key, &[5; 90]);
    }
    ground.on.change(|set| keys[..30].iter().for_each(|key| set.delete(table, key).unwrap())).unwrap();
    for key in &keys {
        ground.on.put(table, &keys[40], &[6; 90]);
        ground.on.get(table, key);
    }
    ground.on.force();
    let after = ground.on.status();
    let mine = after.tables.iter().find(|figures| figures.info.id == table).expect("each table has figures");
    assert_eq!((mine.pairs, mine.info.name.as_str()), (70, "t"));
    let bytes: usize = keys[30..].iter().map(|key| key.len() + 90).sum();
    let most = if ground.on.lacks(Lack::OneRecord) { 3 } else { 2 };
    assert!((bytes as u64..bytes as u64 * most).contains(&mine.record_bytes), "{mine:?} of {bytes}");
    assert_eq!(after.commits - before.commits, 201);
    assert_eq!((after.poisoned.as_deref(), after.horizon), (None, ground.on.horizon()));
    assert!(after.epoch_open > after.horizon.persistent, "the open epoch is not persistent yet");
    if ground.on.lacks(Lack::Persistence) {
        assert_eq!((after.device_reads, after.device_writes, after.device_pages), (0, 0, 0));
        return Cell::Holds;
    }
    assert!(mine.index_bytes > 0 && after.tables.iter().any(|figures| figures.info.id.0 == 0), "{after:?}");
    assert!(u64::from(after.segments) * 16 + 64 == after.device_pages, "{after:?}");
    assert!(after.device_writes > 0 && after.device_flushes > 0 && after.log_pages > 0, "{after:?}");
    assert!(after.cache_bytes > 0 && after.lookups_memory + after.lookups_device >= 100, "{after:?}");
    Cell::Holds
}

fn dropped_cache(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 120);
    for (number, key) in keys.iter().enumerate() {
        ground.on.put(table, key, &vec![8; number * 40]);
        if number % 7 == 0 {
            ground.on.call(Op::DropCache).unwrap();
        }
    }
    for forced in [false, true] {
        if forced {
            ground.on.force();
        }
        assert_eq!(ground.on.call(Op::DropCache).unwrap(), Answer::Done);
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(ground.on.value(table, key).unwrap().len(), number * 40);
        }
        ground.on.call(Op::DropCache).unwrap();
        assert_eq!(ground.on.all(table, domains::Direction::Next, 50).len(), 120);
    }
    Cell::Holds
}

fn cold_reads(ground: &mut Ground) -> Cell {
    if ground.on.lacks(Lack::Persistence) {
        return Cell::Not(Lack::Persistence);
    }
    if matches!(ground.kind, TableKind::Hash | TableKind::ClientHash) && ground.on.lacks(Lack::WideFingerprints) {
        return Cell::Not(Lack::WideFingerprints);
    }
    if ground.home == TableHome::Persistent && ground.on.lacks(Lack::OneRecord) {
        return Cell::Not(Lack::OneRecord);
    }
    let table = ground.table();
    let keys = ground.keys(table, 64);
    let (there, absent) = keys.split_at(40);
    for (number, key) in there.iter().enumerate() {
        let most = page_value_bytes(key.len());
        ground.on.put(table, key, &vec![4; if number % 4 == 0 { most } else { number * most / 40 }]);
    }
    ground.on.force();
    for key in there {
        ground.on.call(Op::DropCache).unwrap();
        let before = ground.on.status();
        // One lookup as an operation; in place it would then be served from the cache.
        let pair = crate::column::pair_of(ground.on.call(Op::Lookup { table, key: key.clone() }).unwrap());
        let after = ground.on.status();
        let wanted = u64::from(ground.home == TableHome::Persistent);
        assert_eq!(after.device_reads - before.device_reads, wanted, "for {} bytes", pair.unwrap().value.len());
        assert_eq!(after.lookups_device - before.lookups_device, wanted);
    }
    ground.on.call(Op::DropCache).unwrap();
    let before = ground.on.status().device_reads;
    for key in absent {
        assert_eq!(ground.on.get(table, key), None);
    }
    assert_eq!(ground.on.status().device_reads, before, "an absent key costs no read");
    Cell::Holds
}
