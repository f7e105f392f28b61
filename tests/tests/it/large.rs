//! Transactions larger than their memory, in the daemon and by a client of it: kills and lost connections leave nothing.

use crate::process::Daemon;
use crate::talk::Talk;
use lostore::key::KeySpan;
use lostore::remote::{ConnectOptions, Remote, Resume};
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, Backend, Options, Pair, PutOptions, RawTable, Store, TxnOptions, plain_spec};
use tests::rng::Rng;
use wire::{
    Answer, Bytes, Change, CommitOptions, Cursor, Direction, Expect, Level, List, Op, Outcome, Part, Value, Version,
};

const OPTIONS: CommitOptions = CommitOptions { level: Level::Persistent, force: true, notify: false };

fn begin() -> (tempfile::TempDir, Daemon, u32) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&dir.path().join("store"));
    let spec = plain_spec(TableKind::Ordered, TableHome::Persistent);
    let table = daemon.connect().create_raw("t", spec).unwrap().id().0;
    (dir, daemon, table)
}

fn open(talk: &mut Talk) -> u64 {
    talk.ask(Op::TxnOpen, |outcome| match outcome {
        Outcome::Ok(Answer::Opened { txn }) => txn,
        other => panic!("{other:?}"),
    })
}

fn part<'a>(table: u32, key: &'a [u8], change: Change<'a>) -> List<Part<'a>, { wire::limits::PARTS_MAX }> {
    List::new(vec![Part { table, key: Bytes(key), expect: Expect::Any, change }]).unwrap()
}

fn put(value: &[u8]) -> Change<'_> {
    Change::Put { value: Value::new(value), expires_ms: None, compressed: false }
}

/// A transaction of so many MiB, each of them a pair, which the daemon holds.
fn large(talk: &mut Talk, table: u32, count: u8) -> u64 {
    let txn = open(talk);
    for key in 0..count {
        let (value, key) = (vec![key; 1 << 20], [key]);
        let parts = part(table, &key, put(&value));
        talk.ask(Op::TxnAdd { txn, parts }, |outcome| {
            assert!(matches!(outcome, Outcome::Ok(Answer::Done)), "{outcome:?}");
        });
    }
    txn
}

fn table_of(daemon: &Daemon) -> RawTable<AnyBackend> {
    daemon.connect().open_raw("t").unwrap()
}

/// Waits until the daemon has no transaction any more that has written values out. It asks as long as it takes.
fn wait_for_none(store: &Store<AnyBackend>) -> u64 {
    loop {
        let status = store.status().unwrap();
        if status.stages == 0 {
            assert_eq!(status.staged_bytes, 0);
            return status.unstaged_bytes;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_kill_in_the_middle_of_a_large_transaction_leaves_nothing() {
    let (dir, daemon, table) = begin();
    table_of(&daemon).upsert(b"before", b"1", PutOptions::default()).unwrap().persistent().unwrap();
    let mut talk = Talk::new(&daemon, 0);
    large(&mut talk, table, 40);
    let store = daemon.connect();
    let status = store.status().unwrap();
    assert!(status.stages == 1 && status.staged_bytes > 20 << 20, "{status:?}");
    let held = status.connections.bytes;
    assert!(held < 30 << 20, "{held} bytes of memory for 40 MiB");
    // What was written out is on the device, and others have made their commits persistent behind it.
    table_of(&daemon).upsert(b"beside", b"2", PutOptions::default()).unwrap().persistent().unwrap();
    daemon.kill();
    let daemon = Daemon::start(&dir.path().join("store"));
    let pairs: Vec<Pair> = table_of(&daemon).range(KeySpan::default()).map(Result::unwrap).collect();
    let keys: Vec<_> = pairs.iter().map(|pair| &pair.key[..]).collect();
    assert_eq!(keys, [&b"before"[..], b"beside"]);
    let status = daemon.connect().status().unwrap();
    assert_eq!((status.stages, status.staged_bytes), (0, 0));
    daemon.stop();
}

#[test]
fn a_client_that_goes_away_and_one_that_aborts_leave_nothing() {
    let (_dir, daemon, table) = begin();
    let (mut gone, mut stays) = (Talk::new(&daemon, 0), Talk::new(&daemon, 0));
    large(&mut gone, table, 24);
    let txn = large(&mut stays, table, 24);
    let store = daemon.connect();
    assert_eq!(store.status().unwrap().stages, 2);
    drop(gone);
    stays.ask(Op::TxnAbort { txn }, |outcome| assert!(matches!(outcome, Outcome::Ok(Answer::Done))));
    let dead = wait_for_none(&store);
    assert!(dead > 16 << 20, "{dead} bytes are dead");
    assert_eq!(table_of(&daemon).range(KeySpan::default()).count(), 0);
    daemon.stop();
}

#[test]
fn a_large_transaction_of_the_daemon_reads_its_own_and_commits_whole() {
    let (_dir, daemon, table) = begin();
    let mut talk = Talk::new(&daemon, 0);
    let append =
        |value| Change::Append { value: Value::new(value), expires_ms: None, compressed: false, lease_ms: None };
    table_of(&daemon).upsert(b"old", b"it was there, ", PutOptions::default()).unwrap();
    let txn = large(&mut talk, table, 20);
    let rest = vec![b'+'; 1 << 20];
    let (grows, keeps) = (part(table, b"old", append(&rest)), part(table, &[3], append(b" and more")));
    for parts in [grows, keeps, part(table, &[4], Change::Delete), part(table, &[5], put(b"another"))] {
        talk.ask(Op::TxnAdd { txn, parts }, |outcome| assert!(matches!(outcome, Outcome::Ok(_)), "{outcome:?}"));
    }
    // One more round, so that what has grown is written out too.
    for key in 100..120_u8 {
        let value = vec![key; 1 << 20];
        let parts = part(table, std::slice::from_ref(&key), put(&value));
        talk.ask(Op::TxnAdd { txn, parts }, |outcome| assert!(matches!(outcome, Outcome::Ok(_)), "{outcome:?}"));
    }
    let expected = |key: &[u8]| -> Option<Vec<u8>> {
        match key {
            b"old" => Some([b"it was there, ", &rest[..]].concat()),
            [3] => Some([&vec![3; 1 << 20][..], b" and more"].concat()),
            [4] => None,
            [5] => Some(b"another".to_vec()),
            [key] => Some(vec![*key; 1 << 20]),
            _ => None,
        }
    };
    for key in [&b"old"[..], &[0], &[3], &[4], &[5], &[110]] {
        let found = talk.ask(Op::TxnLookup { txn, table, key: Bytes(key) }, |outcome| match outcome {
            Outcome::Ok(Answer::Pair(pair)) => pair.map(|pair| (pair.value.bytes().to_vec(), pair.version)),
            other => panic!("{other:?}"),
        });
        assert!(found == expected(key).map(|value| (value, Version::default())), "key {key:?}");
    }
    let (mut from, mut seen) = (None::<Vec<u8>>, Vec::new());
    loop {
        let cursor = from.as_ref().map_or(Cursor::Start, |key| Cursor::Past(Bytes(key)));
        let (until, direction) = (None, Direction::Next);
        let next = Op::TxnNext { txn, table, from: cursor, until, direction, pairs_max: 7, bytes_max: 3 << 20 };
        let (pairs, more) = talk.ask(next, |outcome| match outcome {
            Outcome::Ok(Answer::Pairs { pairs, more }) => {
                (pairs.iter().map(|pair| (pair.key.0.to_vec(), pair.value.bytes().to_vec())).collect::<Vec<_>>(), more)
            }
            other => panic!("{other:?}"),
        });
        from = pairs.last().map(|(key, _)| key.clone());
        for (key, value) in pairs {
            assert!(expected(&key) == Some(value), "key {key:?}");
            seen.push(key);
        }
        if !more {
            break;
        }
    }
    assert_eq!(seen.len(), 40, "twenty but one deleted, twenty more, and the old one");
    assert_eq!(table_of(&daemon).range(KeySpan::default()).count(), 1, "nobody else sees it");
    talk.ask(Op::TxnCommit { txn, options: OPTIONS }, |outcome| {
        assert!(matches!(outcome, Outcome::Ok(Answer::Committed { .. })), "{outcome:?}");
    });
    for pair in table_of(&daemon).range(KeySpan::default()) {
        let pair = pair.unwrap();
        assert!(expected(&pair.key) == Some(pair.value), "key {:?}", pair.key);
    }
    let status = daemon.connect().status().unwrap();
    assert_eq!((status.stages, status.staged_bytes), (0, 0));
    daemon.stop();
}

/// A commit sent behind its parts without waiting is a commit of all of them, whatever is being written out.
#[test]
fn a_commit_that_does_not_wait_for_its_parts_has_all_of_them() {
    let (_dir, daemon, table) = begin();
    let mut talk = Talk::new(&daemon, 0);
    let txn = open(&mut talk);
    let values: Vec<(u8, Vec<u8>)> = (0..60).map(|key| (key, vec![key; 400_000])).collect();
    let mut ops: Vec<Op<'_>> = values
        .iter()
        .map(|(key, value)| Op::TxnAdd { txn, parts: part(table, std::slice::from_ref(key), put(value)) })
        .collect();
    ops.push(Op::TxnCommit { txn, options: OPTIONS });
    talk.ask_all(ops, |at, answer| assert!(answer.is_ok(), "request {at}: {answer:?}"));
    let table = table_of(&daemon);
    for (key, value) in &values {
        assert!(table.get(&[*key]).unwrap().unwrap().value == *value, "key {key}");
    }
    daemon.stop();
}

#[test]
fn a_client_names_only_what_it_has_written_out_itself() {
    let (_dir, daemon, table) = begin();
    let (mut talk, mut other) = (Talk::new(&daemon, wire::FEATURES), Talk::new(&daemon, 0));
    assert_eq!(talk.features & wire::FEATURE_STAGES, wire::FEATURE_STAGES);
    assert_eq!(other.features, 0);
    let txn = open(&mut talk);
    let stage = |talk: &mut Talk, key: &[u8], onto| {
        let (value, forget) = (Value::new(&[7; 500]), List::new(Vec::new()).unwrap());
        talk.ask(Op::TxnStage { txn, table, key: Bytes(key), onto, value, forget }, |outcome| match outcome {
            Outcome::Ok(Answer::Staged(number)) => Ok(number),
            Outcome::Err(fault) => Err(fault.code),
            other => panic!("{other:?}"),
        })
    };
    let read = |talk: &mut Talk, txn, number, key: &[u8]| {
        talk.ask(Op::TxnStaged { txn, number, table, key: Bytes(key) }, |outcome| match outcome {
            Outcome::Ok(Answer::Value(value)) => Ok(value.bytes().len()),
            Outcome::Err(fault) => Err(fault.code),
            other => panic!("{other:?}"),
        })
    };
    let commit = |talk: &mut Talk, txn, key: &[u8], number, bytes| {
        let (expires_ms, lease_ms) = (None, None);
        let change =
            Change::Staged { number, bytes, value: Value::new(b"!"), append: false, expires_ms, lease_ms, flags: 0 };
        talk.ask(Op::TxnAdd { txn, parts: part(table, key, change) }, |outcome| {
            assert!(matches!(outcome, Outcome::Ok(Answer::Done)), "{outcome:?}");
        });
        talk.ask(Op::TxnCommit { txn, options: OPTIONS }, |outcome| match outcome {
            Outcome::Ok(Answer::Committed { .. }) => Ok(()),
            Outcome::Err(fault) => Err(fault.code),
            other => panic!("{other:?}"),
        })
    };
    let number = stage(&mut talk, b"key", None).unwrap().expect("it was written");
    assert_eq!(stage(&mut talk, b"key", Some(number)), Ok(Some(number)));
    assert_eq!(stage(&mut talk, b"yek", Some(number)), Err(315), "another key's");
    assert_eq!(read(&mut talk, txn, number, b"key"), Ok(1_000));
    assert_eq!(read(&mut talk, txn, number, b"yek"), Err(315));
    assert_eq!(read(&mut other, txn, number, b"key"), Err(509), "another connection's");
    let theirs = open(&mut other);
    assert_eq!(read(&mut other, theirs, number, b"key"), Err(315), "it has written nothing out");
    assert_eq!(commit(&mut other, theirs, b"key", number, 1_000), Err(314), "nor may it commit that");
    let second = open(&mut talk);
    assert_eq!(commit(&mut talk, second, b"key", number, 1_000), Err(314), "another transaction's");
    assert_eq!(commit(&mut talk, txn, b"key", number, 1_000), Ok(()));
    assert_eq!(table_of(&daemon).get(b"key").unwrap().unwrap().value.len(), 1_001);
    assert_eq!(read(&mut talk, txn, number, b"key"), Err(509), "it is committed");
    daemon.stop();
}

/// What a transaction shows and leaves, embedded and by way of the daemon.
fn same_acts<B: Backend>(store: &Store<B>, seed: u64, memory_bytes: Option<usize>) -> Vec<String> {
    let mut rng = Rng::new(seed);
    let homes = [TableHome::Persistent, TableHome::Persistent, TableHome::Volatile];
    let tables: Vec<RawTable<B>> = homes
        .iter()
        .enumerate()
        .map(|(at, home)| store.create_raw(&format!("same-{at}"), plain_spec(TableKind::Ordered, *home)).unwrap())
        .collect();
    let mut seen = Vec::new();
    let show = |pair: &Pair| {
        format!("{:?} {} {:?}", pair.key, pair.value.len(), pair.value.iter().map(|at| u64::from(*at)).sum::<u64>())
    };
    for _ in 0..12 {
        let strict = rng.chance(1, 2);
        let options = TxnOptions { abortable: true, strict, memory_bytes, ..TxnOptions::default() };
        let mut txn = store.txn_with(options).unwrap();
        for act in 0..40_u8 {
            let table = &tables[rng.index(tables.len())];
            let (key, value) = ([u8::try_from(rng.below(6)).unwrap()], vec![act; rng.index(6_000)]);
            let mut raw = txn.raw(table);
            let done = match rng.below(8) {
                0 => raw.insert(&key, &value, PutOptions::default()),
                1 | 2 => raw.upsert(&key, &value, PutOptions::default()),
                3 | 4 => raw.append(&key, &value, PutOptions::default()),
                5 => raw.remove(&key),
                6 => raw.get(&key).map(|pair| seen.push(format!("{:?}", pair.as_ref().map(show)))),
                _ => raw.range(KeySpan::default()).try_for_each(|pair| pair.map(|pair| seen.push(show(&pair)))),
            };
            seen.push(format!("{:?}", done.map_err(|error| error.code())));
        }
        match rng.below(4) {
            0 => txn.abort().unwrap(),
            _ => seen.push(format!(
                "{:?}",
                txn.commit().map(|ticket| ticket.versions().len()).map_err(|error| error.code())
            )),
        }
        for table in &tables {
            table.range(KeySpan::default()).for_each(|pair| seen.push(show(&pair.unwrap())));
        }
    }
    seen
}

#[test]
fn a_client_without_memory_does_over_the_socket_what_an_embedded_program_does() {
    for seed in 0..3 {
        let (_dir, daemon, _) = begin();
        let embedded = same_acts(&lostore::open_memory().unwrap(), seed, None);
        let store = daemon.connect();
        assert!(store.capabilities().writes_out);
        let remote = same_acts(&store, seed, Some(2_000));
        let differs = embedded.iter().zip(&remote).position(|(one, other)| one != other);
        assert_eq!((embedded.len(), differs), (remote.len(), None), "seed {seed}");
        assert!(wait_for_none(&daemon.connect()) > 0, "something was written out and given up");
        daemon.stop();
    }
}

/// More than a frame, more than the set of one transaction in memory, by the same API.
#[test]
fn a_client_commits_more_than_a_frame_and_holds_little_of_it() {
    let (_dir, daemon, _) = begin();
    let (store, table) = (daemon.connect(), table_of(&daemon));
    let table = store.open_raw(table.name()).unwrap();
    let mut txn =
        store.txn_with(TxnOptions { memory_bytes: Some(1 << 20), strict: true, ..TxnOptions::default() }).unwrap();
    let mut most = 0;
    for number in 0..160_u32 {
        txn.raw(&table).insert(&number.to_le_bytes(), &vec![7; 1 << 20], PutOptions::default()).unwrap();
        most = most.max(txn.memory());
    }
    assert!(most < 3 << 20, "{most} bytes of memory for 160 MiB");
    assert_eq!(txn.raw(&table).get(&3_u32.to_le_bytes()).unwrap().unwrap().value, vec![7; 1 << 20]);
    txn.commit().unwrap();
    assert_eq!(
        table.range(KeySpan::default()).filter(|pair| pair.as_ref().unwrap().value.len() == 1 << 20).count(),
        160
    );
    // One that fails its compare leaves nothing.
    let mut txn = store.txn_with(TxnOptions { memory_bytes: Some(1 << 20), ..TxnOptions::default() }).unwrap();
    for number in 159..180_u32 {
        txn.raw(&table).insert(&number.to_le_bytes(), &vec![8; 1 << 20], PutOptions::default()).unwrap();
    }
    assert_eq!(txn.commit().unwrap_err().code(), 303);
    assert_eq!(table.range(KeySpan::default()).count(), 160);
    wait_for_none(&store);
    daemon.stop();
}

#[test]
fn a_client_that_resumes_keeps_its_commits_and_refuses_a_bound() {
    let (_dir, daemon, _) = begin();
    let connect = ConnectOptions { resume: Some(Resume::new()), ..ConnectOptions::default() };
    let remote: Remote = Options { connect, ..Options::default() }.connect(&daemon.socket()).unwrap();
    let store = Store::new(remote);
    assert!(!store.capabilities().writes_out);
    let refused = store.txn_with(TxnOptions { memory_bytes: Some(1 << 20), ..TxnOptions::default() }).unwrap_err();
    assert_eq!(refused.code(), 106);
    let table = store.open_raw("t").unwrap();
    let mut txn = store.txn();
    for number in 0..20_u32 {
        txn.raw(&table).insert(&number.to_le_bytes(), &vec![7; 1 << 20], PutOptions::default()).unwrap();
    }
    assert!(txn.memory() > 16 << 20);
    txn.commit().unwrap();
    assert_eq!(table.range(KeySpan::default()).count(), 20);
    daemon.stop();
}
