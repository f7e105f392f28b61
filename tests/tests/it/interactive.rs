//! Interactive transactions that live in the daemon: what they see, and that strict ones are serialisable.

use crate::histories::{joined, strict_and_loose};
use crate::process::Daemon;
use crate::talk::Talk;
use lostore::schema::{TableHome, TableKind};
use lostore::{PutOptions, plain_spec};
use std::collections::BTreeMap;
use tests::history::Committed;
use tests::rng::Rng;
use wire::{
    Answer, Bytes, Change, CommitOptions, Cursor, Direction, Expect, Level, List, Op, Outcome, Part, Value, Version,
};

const CONNECTIONS: u64 = 8;
const TRANSACTIONS: u64 = 300;

/// A pair as it was seen: key, value, version.
type Seen = (Vec<u8>, Vec<u8>, Version);

/// A daemon with an ordered table and a hash table, and their ids.
fn begin(kind: TableKind) -> (tempfile::TempDir, Daemon, u32) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&dir.path().join("store"));
    let table = daemon.connect().create_raw("words", plain_spec(kind, TableHome::Persistent)).unwrap();
    (dir, daemon, table.id().0)
}

fn open(talk: &mut Talk, strict: bool) -> u64 {
    talk.ask(if strict { Op::TxnOpenStrict } else { Op::TxnOpen }, |outcome| match outcome {
        Outcome::Ok(Answer::Opened { txn }) => txn,
        other => panic!("{other:?}"),
    })
}

fn seen(pair: &wire::Pair<'_>) -> Seen {
    (pair.key.0.to_vec(), pair.value.bytes().to_vec(), pair.version)
}

fn look(talk: &mut Talk, txn: u64, table: u32, key: &[u8]) -> Option<Seen> {
    talk.ask(Op::TxnLookup { txn, table, key: Bytes(key) }, |outcome| match outcome {
        Outcome::Ok(Answer::Pair(pair)) => pair.as_ref().map(seen),
        other => panic!("{other:?}"),
    })
}

/// A step of an iteration, or the code of its refusal.
fn next(
    talk: &mut Talk,
    txn: u64,
    table: u32,
    from: Cursor<'_>,
    until: Option<&[u8]>,
    (direction, pairs_max): (Direction, u32),
) -> Result<(Vec<Seen>, bool), u16> {
    let until = until.map(Bytes);
    let next = Op::TxnNext { txn, table, from, until, direction, pairs_max, bytes_max: 1 << 20 };
    talk.ask(next, |outcome| match outcome {
        Outcome::Ok(Answer::Pairs { pairs, more }) => Ok((pairs.iter().map(seen).collect(), more)),
        Outcome::Err(fault) => Err(fault.code),
        other => panic!("{other:?}"),
    })
}

fn add(talk: &mut Talk, txn: u64, table: u32, key: &[u8], change: Change<'_>) {
    let parts = List::new(vec![Part { table, key: Bytes(key), expect: Expect::Any, change }]).unwrap();
    talk.ask(Op::TxnAdd { txn, parts }, |outcome| assert!(matches!(outcome, Outcome::Ok(Answer::Done)), "{outcome:?}"));
}

fn put(value: &[u8]) -> Change<'_> {
    Change::Put { value: Value::new(value), expires_ms: None, compressed: false }
}

/// The versions that it gave, or the code of its refusal.
fn commit(talk: &mut Talk, txn: u64) -> Result<Vec<Version>, u16> {
    let options = CommitOptions { level: Level::Committed, force: false, notify: false };
    talk.ask(Op::TxnCommit { txn, options }, |outcome| match outcome {
        Outcome::Ok(Answer::Committed { versions, .. }) => Ok(versions.to_vec()),
        Outcome::Err(fault) => Err(fault.code),
        other => panic!("{other:?}"),
    })
}

fn version(of: Version) -> lostore::Version {
    lostore::Version { epoch: lostore::EpochId(of.epoch), ordinal: lostore::Ordinal(of.ordinal) }
}

/// Transactions of one connection on the records 0 to 7: each reads two or scans three, either way, and writes another.
fn transactions(mut talk: Talk, table: u32, strict: bool, seed: u64) -> (Vec<Committed>, u64) {
    let mut rng = Rng::new(seed);
    let (mut committed, mut failed) = (Vec::new(), 0);
    for _ in 0..TRANSACTIONS {
        let txn = open(&mut talk, strict);
        let mut did = Committed::default();
        let word = |rng: &mut Rng, of| u8::try_from(rng.below(of)).unwrap();
        match rng.below(3) {
            0 => {
                for word in [word(&mut rng, 8), word(&mut rng, 8)] {
                    let seen = look(&mut talk, txn, table, &[word]).map(|(_, _, at)| version(at));
                    did.reads.insert(word.into(), seen);
                }
            }
            way => {
                let from = word(&mut rng, 6);
                did.reads.extend((from..from + 3).map(|word| (u32::from(word), None)));
                let (first, last) = ([from], [from + 2]);
                let (behind, before) = ([from + 3], from.checked_sub(1).map(|before| [before]));
                let (cursor, until, direction) = match way {
                    1 => (Cursor::At(Bytes(&first)), Some(&behind[..]), Direction::Next),
                    _ => (Cursor::At(Bytes(&last)), before.as_ref().map(|before| &before[..]), Direction::Previous),
                };
                // Two at a time: the iteration goes on where the first step has ended.
                let (mut pairs, more) = next(&mut talk, txn, table, cursor, until, (direction, 2)).unwrap();
                if more {
                    let last = pairs.last().unwrap().0.clone();
                    let (rest, _) =
                        next(&mut talk, txn, table, Cursor::Past(Bytes(&last)), until, (direction, 100)).unwrap();
                    pairs.extend(rest);
                }
                did.reads.extend(pairs.into_iter().map(|(key, _, at)| (u32::from(key[0]), Some(version(at)))));
            }
        }
        let word = word(&mut rng, 8);
        add(&mut talk, txn, table, &[word], put(b""));
        match commit(&mut talk, txn) {
            Ok(versions) => {
                did.writes.insert(word.into(), version(versions[0]));
                committed.push(did);
            }
            Err(code) => {
                assert_eq!(code, 303);
                failed += 1;
            }
        }
    }
    (committed, failed)
}

fn compete(strict: bool) -> (Vec<Committed>, u64) {
    let (_dir, daemon, table) = begin(TableKind::Ordered);
    let talks: Vec<_> = (0..CONNECTIONS).map(|_| Talk::new(&daemon, 0)).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(talks)
            .map(|(number, talk)| scope.spawn(move || transactions(talk, table, strict, number)))
            .collect();
        joined(threads)
    })
}

#[test]
fn strict_transactions_in_the_daemon_are_serialisable_and_others_are_not() {
    strict_and_loose(compete);
}

/// Each thing that may be read, and each change by another that must fail the commit of a strict transaction and no other.
#[test]
fn what_a_strict_transaction_has_read_must_still_be_so() {
    let (_dir, daemon, table) = begin(TableKind::Ordered);
    let other = daemon.connect().open_raw("words").unwrap();
    let mut talk = Talk::new(&daemon, 0);
    let both = (Direction::Next, 100);
    type Reads = fn(&mut Talk, u64, u32);
    let lookup: Reads = |talk, txn, table| drop(look(talk, txn, table, b"b"));
    let absent: Reads = |talk, txn, table| assert_eq!(look(talk, txn, table, b"x"), None);
    let scan: Reads = |talk, txn, table| {
        let (pairs, more) =
            next(talk, txn, table, Cursor::At(Bytes(b"b")), Some(b"d"), (Direction::Next, 100)).unwrap();
        assert_eq!((pairs.len(), more), (1, false));
    };
    let back: Reads = |talk, txn, table| {
        let (pairs, _) = next(talk, txn, table, Cursor::Start, Some(b"d"), (Direction::Previous, 1)).unwrap();
        assert_eq!(pairs[0].0, b"e");
    };
    // What is read, what another changes, and whether that matters.
    let cases: [(Reads, &[u8], bool, bool); 12] = [
        (lookup, b"b", false, true),
        (lookup, b"b", true, true),
        (lookup, b"c", false, false),
        (absent, b"x", false, true),
        (absent, b"y", false, false),
        (scan, b"b", false, true),
        (scan, b"c", false, true),
        (scan, b"d", false, false),
        (scan, b"a", false, false),
        (back, b"f", false, true),
        (back, b"e", true, true),
        (back, b"d", false, false),
    ];
    for strict in [true, false] {
        for (number, (reads, key, deletes, matters)) in cases.iter().enumerate() {
            for key in [b"c", b"d", b"f", b"x", b"y"] {
                other.remove(key).unwrap();
            }
            for key in [b"b", b"e"] {
                other.upsert(key, b"before", PutOptions::default()).unwrap();
            }
            let txn = open(&mut talk, strict);
            reads(&mut talk, txn, table);
            add(&mut talk, txn, table, b"Own", put(b""));
            if *deletes {
                other.remove(key).unwrap();
            } else {
                other.upsert(key, b"after", PutOptions::default()).unwrap();
            }
            let told = commit(&mut talk, txn).map(|versions| versions.len());
            let expected = if strict && *matters { Err(303) } else { Ok(1) };
            assert_eq!(told, expected, "case {number}, strict {strict}");
        }
    }
    // With nobody else about, what was read and changed commits.
    let txn = open(&mut talk, true);
    let all = next(&mut talk, txn, table, Cursor::Start, None, both).unwrap().0;
    for (key, _, _) in &all {
        assert!(look(&mut talk, txn, table, key).is_some());
        add(&mut talk, txn, table, key, put(b"mine"));
    }
    assert_eq!(commit(&mut talk, txn).map(|versions| versions.len()), Ok(all.len()));
}

/// An iteration shows the transaction's own updates among the table's pairs, in either direction, however it is cut.
#[test]
fn an_iteration_sees_the_transaction_s_own_updates() {
    let (_dir, daemon, table) = begin(TableKind::Ordered);
    let other = daemon.connect().open_raw("words").unwrap();
    for key in (0..20_u8).step_by(2) {
        other.upsert(&[key], &[key], PutOptions::default()).unwrap();
    }
    let mut talk = Talk::new(&daemon, 0);
    for strict in [true, false] {
        let txn = open(&mut talk, strict);
        let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = (0..20).step_by(2).map(|key| (vec![key], vec![key])).collect();
        // Seven neighbours go: a step meets nothing but them and must go on.
        for key in (2..16).step_by(2) {
            add(&mut talk, txn, table, &[key], Change::Delete);
            expected.remove(&vec![key]);
        }
        for key in [0_u8, 17, 30] {
            add(&mut talk, txn, table, &[key], put(b"own"));
            expected.insert(vec![key], b"own".to_vec());
        }
        let more = Change::Append { value: Value::new(b"+"), expires_ms: None, compressed: false, lease_ms: None };
        add(&mut talk, txn, table, &[18], more);
        expected.insert(vec![18], vec![18, b'+']);
        for direction in [Direction::Next, Direction::Previous] {
            let mut wanted: Vec<_> = expected.clone().into_iter().collect();
            if direction == Direction::Previous {
                wanted.reverse();
            }
            for pairs_max in [1, 2, 3, 100] {
                let (mut found, mut last) = (Vec::new(), None);
                loop {
                    let from = last.as_deref().map_or(Cursor::Start, |last| Cursor::Past(Bytes(last)));
                    let (pairs, more) = next(&mut talk, txn, table, from, None, (direction, pairs_max)).unwrap();
                    assert!(pairs.len() <= pairs_max as usize && !(more && pairs.is_empty()));
                    found.extend(pairs.into_iter().map(|(key, value, _)| (key, value)));
                    last = found.last().map(|(key, _)| key.clone());
                    if !more {
                        break;
                    }
                }
                assert_eq!(found, wanted, "{direction:?}, {pairs_max} at a time");
            }
        }
        talk.ask(Op::TxnAbort { txn }, |outcome| assert!(matches!(outcome, Outcome::Ok(Answer::Done))));
        assert_eq!(next(&mut talk, txn, table, Cursor::Start, None, (Direction::Next, 1)), Err(509));
    }
    assert_eq!(other.iter().count(), 10, "nothing of it was committed");
}

#[test]
fn what_cannot_be_strict_is_refused_and_not_committed() {
    let (_dir, daemon, table) = begin(TableKind::Hash);
    let mut talk = Talk::new(&daemon, 0);
    for direction in [Direction::Next, Direction::Previous] {
        let txn = open(&mut talk, true);
        assert_eq!(next(&mut talk, txn, table, Cursor::Start, None, (direction, 10)), Err(207));
        assert_eq!(look(&mut talk, txn, table, b"k"), None);
        add(&mut talk, txn, table, b"k", put(b""));
        daemon.connect().open_raw("words").unwrap().upsert(b"k", b"theirs", PutOptions::default()).unwrap();
        assert_eq!(commit(&mut talk, txn), Err(303), "a refused read leaves the transaction as it was");
        daemon.connect().open_raw("words").unwrap().remove(b"k").unwrap();
    }
    // A commit that does not wait for a read that must go to the device.
    let other = daemon.connect();
    other.open_raw("words").unwrap().upsert(b"cold", &[7; 100_000], PutOptions::default()).unwrap();
    other.force().unwrap();
    talk.ask(Op::DropCache, |_| ());
    let txn = open(&mut talk, true);
    let options = CommitOptions { level: Level::Committed, force: false, notify: false };
    let mut told = [0; 2];
    talk.ask_all(
        vec![Op::TxnLookup { txn, table, key: Bytes(b"cold") }, Op::TxnCommit { txn, options }],
        |at, outcome| told[at] = outcome.map_or_else(|fault| fault.code, |_| 0),
    );
    assert_eq!(told[1], 522, "{told:?}");
    assert_eq!(commit(&mut talk, txn), Err(509), "it is gone");
}
