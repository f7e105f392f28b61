//! Connections against a scripted domain: no socket, no clock, every cut of the stream.

mod bench;
mod http;
mod memory;
mod rights;
mod turns;

use crate::limits::Limits;
use bench::*;
use segments::{EpochId, Incarnation};
use wire::{Bytes, CommitOptions, Cut, Element, FrameWriter, Hello, Known, Level, List, Part, codes};

#[test]
fn the_first_frame_is_a_hello_and_only_the_first() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.silent();
    assert_eq!(bench.ask(&mut client, wire::Op::Ping), Err(codes::HELLO_EXPECTED));
    assert!(bench.ends(&client));
    let mut client = bench.client();
    client.writer.hello(2, &hello(None)).unwrap();
    assert_eq!(bench.talk(&mut client), [Seen::Reply(2, Err(codes::HELLO_EXPECTED))]);
    assert!(bench.ends(&client));
    let mut client = bench.silent();
    client.writer.hello(3, &Hello { version_min: 2, version_max: 9, ..hello(None) }).unwrap();
    assert_eq!(bench.talk(&mut client), [Seen::Reply(3, Err(codes::NO_COMMON_VERSION))]);
    let mut client = bench.silent();
    bench.send(&client, b"\xa0GET / HTTP/1.1\r\n\r\n");
    assert_eq!(bench.read(&mut client), [Seen::Reply(0, Err(codes::NOT_A_FRAME))]);
    assert!(bench.ends(&client));
}

#[test]
fn a_client_that_comes_back_is_told_the_cut() {
    let mut bench = Bench::new(Limits::default());
    let cases = [
        ([7; 16], 2, Cut::Running),
        ([7; 16], 1, Cut::At(EpochId::new(Incarnation(1), 9).0)),
        ([7; 16], 3, Cut::Unknown),
        ([8; 16], 1, Cut::Unknown),
    ];
    for (server_id, incarnation, cut) in cases {
        let mut client = bench.silent();
        client.writer.hello(1, &hello(Some(Known { server_id, incarnation }))).unwrap();
        assert_eq!(bench.talk(&mut client), [Seen::Welcome(cut)]);
    }
}

#[test]
fn requests_are_answered_however_the_stream_is_cut() {
    let mut writer = FrameWriter::new(u32::MAX);
    writer.hello(1, &hello(None)).unwrap();
    let large = vec![b'x'; 5000];
    writer.request(2, 0, commit(vec![put(b"a", b"1"), put(b"b", &large)])).unwrap();
    writer.request(3, 0, lookup(b"a")).unwrap();
    let batch = [Element::op(lookup(b"b")), Element::op(lookup(b"c")), Element::op(wire::Op::Ping)];
    writer.batch(4, 0, &batch).unwrap();
    let bytes = writer.take();
    let expected = [
        Seen::Welcome(Cut::NotAsked),
        Seen::Reply(2, Ok("committed 2".into())),
        Seen::Reply(3, Ok("1".into())),
        Seen::Batch(4, vec![Ok("x".repeat(5000)), Ok("absent".into()), done()]),
    ];
    for cut in (1..bytes.len()).filter(|cut| *cut < 250 || cut % 97 == 0) {
        let mut bench = Bench::new(Limits::default());
        let mut client = bench.silent();
        bench.send(&client, &bytes[..cut]);
        bench.send(&client, &bytes[cut..]);
        assert_eq!(bench.read(&mut client), expected, "cut at {cut}");
    }
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.silent();
    for byte in &bytes {
        bench.send(&client, &[*byte]);
    }
    assert_eq!(bench.read(&mut client), expected);
}

#[test]
fn a_thousand_coalesced_frames_are_a_thousand_answers() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    for id in 1..=1000 {
        client.writer.request(id, 0, wire::Op::Ping).unwrap();
    }
    let seen = bench.talk(&mut client);
    assert!(seen.iter().eq((1..=1000).map(|id| Seen::Reply(id, done())).collect::<Vec<_>>().iter()));
}

#[test]
fn what_is_not_understood_costs_one_request() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    let raw = |kind: u8, flags: u16, id: u64, body: &[u8]| {
        let body_bytes = u32::try_from(body.len()).unwrap();
        let header = wire::Header { kind, flags, body_bytes, tail_bytes: 0, deadline_ms: 0, id };
        [&header.encode()[..], body].concat()
    };
    let stream = [
        raw(0x7f, 0, 1, b"what"),
        raw(2, 1, 2, &[0]),
        raw(2, 0, 3, &[100]),
        raw(2, 0, 4, &[0, 0]),
        raw(3, 0, 5, &[9]),
        raw(2, 0, 0, &[0]),
        raw(0x82, 0, 6, &[0]),
        raw(2, 0, 7, &[0]),
        raw(3, 0, 8, &[0]),
    ];
    bench.send(&client, &stream.concat());
    let seen = bench.read(&mut client);
    let faults = [
        (1, codes::UNKNOWN_VERB),
        (2, codes::UNKNOWN_VERB),
        (3, codes::UNKNOWN_VERB),
        (4, codes::MALFORMED),
        (5, codes::MALFORMED),
        (0, codes::BAD_ID),
        (6, codes::UNKNOWN_VERB),
    ];
    let mut expected: Vec<Seen> = faults.iter().map(|&(id, code)| Seen::Reply(id, Err(code))).collect();
    expected.push(Seen::Reply(7, done()));
    expected.push(Seen::Batch(8, Vec::new()));
    assert_eq!(seen, expected);
    assert!(bench.wants(&client));
}

#[test]
fn a_frame_above_the_limit_ends_its_connection_only() {
    let limits = Limits { request_frame_bytes_max: 100, ..Limits::default() };
    let mut bench = Bench::new(limits);
    let mut client = bench.client();
    let mut other = bench.client();
    let value = [0; 100];
    client.writer.request(9, 0, commit(vec![put(b"a", &value)])).unwrap();
    assert_eq!(bench.talk(&mut client), [Seen::Reply(9, Err(codes::FRAME_TOO_LARGE))]);
    assert!(bench.ends(&client));
    assert!(!bench.wants(&client));
    assert_eq!(bench.ask(&mut other, wire::Op::Ping), done());
    assert!(bench.domain.pairs.is_empty());
}

#[test]
fn credits_stop_the_reading_until_answers_make_room() {
    let mut bench = Bench::new(Limits { ops_in_flight_max: 4, ..Limits::default() });
    let mut client = bench.client();
    bench.domain.hold = true;
    for id in 1..=6 {
        client.writer.request(id, 0, lookup(b"a")).unwrap();
    }
    assert_eq!(bench.talk(&mut client), []);
    assert_eq!(bench.sessions.in_flight(), 4);
    assert!(!bench.wants(&client));
    bench.release();
    assert_eq!(bench.read(&mut client).len(), 4);
    assert_eq!(bench.sessions.in_flight(), 2);
    assert!(bench.wants(&client));
    bench.release();
    assert_eq!(bench.read(&mut client).len(), 2);
    // A batch waits whole until all of it fits.
    client.writer.request(1, 0, lookup(b"a")).unwrap();
    client
        .writer
        .batch(
            2,
            0,
            &[
                Element::op(lookup(b"a")),
                Element::op(lookup(b"b")),
                Element::op(lookup(b"c")),
                Element::op(lookup(b"d")),
            ],
        )
        .unwrap();
    assert_eq!(bench.talk(&mut client), []);
    assert_eq!((bench.sessions.in_flight(), bench.wants(&client)), (1, false));
    bench.release();
    assert_eq!(bench.sessions.in_flight(), 4);
    bench.release();
    assert_eq!(bench.read(&mut client).len(), 2);
}

fn number(seen: &Seen) -> u64 {
    match seen {
        Seen::Reply(id, _) => *id,
        Seen::Welcome(_) | Seen::Batch(..) | Seen::Push(_) => panic!("a reply was expected, not {seen:?}"),
    }
}

#[test]
fn replies_come_as_they_are_ready_or_in_order_when_asked() {
    for in_order in [false, true] {
        let mut bench = Bench::new(Limits::default());
        let mut client = bench.silent();
        client.writer.hello(1, &Hello { in_order, ..hello(None) }).unwrap();
        bench.talk(&mut client);
        client.writer.request(1, 0, wire::Op::Await { epoch: EpochId::new(Incarnation(2), 1).0 }).unwrap();
        client.writer.request(2, 0, lookup(b"a")).unwrap();
        let mut bytes = client.writer.take();
        // Refusals have their turn too; one under a number that is taken belongs to nobody.
        for (kind, id) in [(2, 3), (0x7f, 4), (0x7f, 1)] {
            let flags = u16::from(kind == 2);
            let header = wire::Header { kind, flags, body_bytes: 0, tail_bytes: 0, deadline_ms: 0, id };
            bytes.extend(header.encode());
        }
        bench.send(&client, &bytes);
        let mut early = bench.read(&mut client);
        let all = early.len();
        early.retain(|seen| *seen != Seen::Reply(0, Err(codes::UNKNOWN_VERB)));
        assert_eq!((all - early.len(), early.len()), (1, if in_order { 0 } else { 3 }));
        bench.domain.persistent = 1;
        bench.answers();
        let late = bench.read(&mut client);
        let numbers: Vec<u64> = [early, late].concat().iter().map(number).collect();
        assert_eq!(numbers, if in_order { [1, 2, 3, 4] } else { [3, 4, 2, 1] });
    }
}

#[test]
fn work_that_waited_past_its_deadline_is_not_begun() {
    let mut bench = Bench::new(Limits { ops_in_flight_max: 1, ..Limits::default() });
    let mut client = bench.client();
    bench.domain.hold = true;
    client.writer.request(1, 10, lookup(b"a")).unwrap();
    client.writer.request(2, 10, commit(vec![put(b"a", b"1")])).unwrap();
    client.writer.request(3, 1000, commit(vec![put(b"b", b"1")])).unwrap();
    bench.talk(&mut client);
    bench.pass(11);
    bench.release();
    bench.release();
    let seen = bench.read(&mut client);
    assert!(seen.contains(&Seen::Reply(2, Err(codes::DEADLINE))), "{seen:?}");
    assert!(seen.contains(&Seen::Reply(3, Ok("committed 1".into()))), "{seen:?}");
    assert_eq!(bench.domain.pairs.len(), 1);
}

#[test]
fn a_client_that_does_not_read_costs_no_more_than_the_limits() {
    let limits =
        Limits { unsent_bytes_max: 10_000, unsent_bytes_hard: 20_000, ops_in_flight_max: 100, ..Limits::default() };
    let mut bench = Bench::new(limits);
    let mut client = bench.client();
    let value = vec![b'v'; 3000];
    assert!(bench.ask(&mut client, commit(vec![put(b"a", &value)])).is_ok());
    for id in 1..=1000 {
        client.writer.request(id, 0, lookup(b"a")).unwrap();
    }
    let bytes = client.writer.take();
    bench.send(&client, &bytes);
    let unsent = bench.sessions.get_mut(client.connection).unwrap().output(usize::MAX).len();
    assert!((10_000..=20_000 + 100 * 200).contains(&unsent), "{unsent} bytes wait");
    assert!(!bench.wants(&client));
    let seen = bench.read(&mut client);
    assert_eq!(seen.len(), 1000, "reading brings everything, in the end");
    let refused = seen.iter().filter(|seen| matches!(seen, Seen::Reply(_, Err(codes::SLOW_READER)))).count();
    assert!(refused < 1000);
    // What never reads is cut.
    client.writer.request(1, 0, lookup(b"a")).unwrap();
    let bytes = client.writer.take();
    bench.send(&client, &bytes);
    bench.pass(0);
    let limits = bench.sessions.facts().limits;
    assert!(!bench.sessions.get_mut(client.connection).unwrap().is_stuck(&limits, bench.now));
    bench.pass(30_000);
    assert!(bench.sessions.get_mut(client.connection).unwrap().is_stuck(&limits, bench.now));
}

#[test]
fn a_transaction_sees_its_own_updates_and_nobody_else_does() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    let mut other = bench.client();
    assert!(bench.ask(&mut other, commit(vec![put(b"old", b"0"), put(b"gone", b"0")])).is_ok());
    let txn: u64 = bench.ask(&mut client, wire::Op::TxnOpen).unwrap().parse().unwrap();
    let gone = Part { expect: wire::Expect::Present, change: wire::Change::Delete, ..put(b"gone", b"") };
    let parts = List::new(vec![put(b"new", b"1"), gone]).unwrap();
    assert_eq!(bench.ask(&mut client, wire::Op::TxnAdd { txn, parts }), done());
    for (key, own, others) in [(&b"new"[..], "1", "absent"), (b"gone", "absent", "0"), (b"old", "0", "0")] {
        assert_eq!(bench.ask(&mut client, wire::Op::TxnLookup { txn, table: 1, key: Bytes(key) }), Ok(own.into()));
        assert_eq!(bench.ask(&mut other, lookup(key)), Ok(others.into()));
    }
    let stolen = wire::Op::TxnCommit { txn, options: options(false) };
    assert_eq!(bench.ask(&mut other, stolen.clone()), Err(codes::NO_SUCH_TRANSACTION));
    assert_eq!(bench.ask(&mut client, stolen.clone()), Ok("committed 2".into()));
    assert_eq!(bench.ask(&mut client, stolen), Err(codes::NO_SUCH_TRANSACTION));
    assert_eq!(bench.ask(&mut other, lookup(b"new")), Ok("1".into()));
    let again: u64 = bench.ask(&mut client, wire::Op::TxnOpen).unwrap().parse().unwrap();
    assert_ne!(again, txn, "a handle is never given twice");
    assert_eq!(bench.ask(&mut client, wire::Op::TxnAbort { txn: again }), done());
}

#[test]
fn a_transaction_sees_what_it_appended_behind_what_is_there() {
    let mut bench = Bench::new(Limits { transaction_bytes_max: 100, ..Limits::default() });
    let mut client = bench.client();
    assert!(bench.ask(&mut client, commit(vec![put(b"a", b"there")])).is_ok());
    let txn: u64 = bench.ask(&mut client, wire::Op::TxnOpen).unwrap().parse().unwrap();
    let append = |key, value| {
        let change = wire::Change::Append {
            value: wire::Value::new(value),
            expires_ms: None,
            compressed: false,
            lease_ms: None,
        };
        wire::Op::TxnAdd { txn, parts: List::new(vec![Part { change, ..put(key, b"") }]).unwrap() }
    };
    let own = |key| wire::Op::TxnLookup { txn, table: 1, key: Bytes(key) };
    for (key, more, whole) in [(&b"a"[..], b" and more", "there and more"), (b"b", b" made now", " made now")] {
        assert_eq!(bench.ask(&mut client, append(key, more)), done());
        assert_eq!(bench.ask(&mut client, own(key)), Ok(whole.into()));
    }
    assert_eq!(bench.ask(&mut client, lookup(b"a")), Ok("there".into()));
    // Held twice while it is looked up, 40 bytes more are more than there may be.
    assert_eq!(bench.ask(&mut client, append(b"b", &[b'x'; 40])), done());
    assert_eq!(bench.ask(&mut client, own(b"b")), Err(codes::TRANSACTIONS_FULL));
    assert_eq!(bench.ask(&mut client, own(b"a")), Ok("there and more".into()));
    assert!(bench.ask(&mut client, wire::Op::TxnCommit { txn, options: options(false) }).is_ok());
    assert_eq!(bench.ask(&mut client, lookup(b"a")), Ok("there and more".into()));
}

#[test]
fn a_compare_that_fails_is_told_with_its_part() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    assert!(bench.ask(&mut client, commit(vec![put(b"a", b"1")])).is_ok());
    let insert = Part { expect: wire::Expect::Absent, ..put(b"a", b"2") };
    assert_eq!(bench.ask(&mut client, commit(vec![put(b"b", b"1"), insert])), Err(303));
    assert_eq!(bench.domain.pairs.len(), 1);
}

#[test]
fn idle_transactions_expire_and_too_many_are_refused() {
    let limits = Limits { transactions_max: 2, transaction_bytes_max: 100, ..Limits::default() };
    let mut bench = Bench::new(limits);
    let mut client = bench.client();
    let txn: u64 = bench.ask(&mut client, wire::Op::TxnOpen).unwrap().parse().unwrap();
    assert!(bench.ask(&mut client, wire::Op::TxnOpen).is_ok());
    assert_eq!(bench.ask(&mut client, wire::Op::TxnOpen), Err(codes::TRANSACTIONS_FULL));
    let value = [0; 100];
    let add = |value| wire::Op::TxnAdd { txn, parts: List::new(vec![put(b"a", value)]).unwrap() };
    assert_eq!(bench.ask(&mut client, add(&value[..99])), done());
    bench.pass(59_999);
    assert_eq!(
        bench.ask(&mut client, wire::Op::TxnLookup { txn, table: 1, key: Bytes(b"a") }).map(|v| v.len()),
        Ok(99)
    );
    bench.pass(60_000);
    assert_eq!(bench.ask(&mut client, wire::Op::TxnAbort { txn }), Err(codes::NO_SUCH_TRANSACTION));
    assert!(bench.ask(&mut client, wire::Op::TxnOpen).is_ok());
    assert!(bench.domain.pairs.is_empty());
}

#[test]
fn a_refused_part_aborts_its_transaction() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    let txn: u64 = bench.ask(&mut client, wire::Op::TxnOpen).unwrap().parse().unwrap();
    let insert = Part { expect: wire::Expect::Absent, ..put(b"a", b"2") };
    let parts = List::new(vec![put(b"a", b"1"), insert]).unwrap();
    assert_eq!(bench.ask(&mut client, wire::Op::TxnAdd { txn, parts }), Err(302));
    assert_eq!(
        bench.ask(&mut client, wire::Op::TxnCommit { txn, options: options(false) }),
        Err(codes::NO_SUCH_TRANSACTION)
    );
}

/// However a part is refused, a commit that was sent behind it in good faith finds no transaction.
#[test]
fn a_commit_sent_ahead_never_finds_a_transaction_without_a_refused_part() {
    fn add<'a>(txn: u64, value: &'a [u8]) -> wire::Op<'a> {
        wire::Op::TxnAdd { txn, parts: List::new(vec![put(b"b", value)]).unwrap() }
    }
    let frame = |deadline_ms, op| {
        let mut writer = FrameWriter::new(u32::MAX);
        writer.request(3, deadline_ms, op).unwrap();
        writer.take()
    };
    let too_large = |txn| frame(0, add(txn, &[0; 100]));
    let too_late = |txn| frame(1, add(txn, b"2"));
    let not_understood = |txn| {
        let mut bytes = frame(0, add(txn, b"2"));
        bytes[24] = 99;
        bytes
    };
    let batch_too_late = |txn| {
        let mut writer = FrameWriter::new(u32::MAX);
        writer.batch(3, 1, &[Element::op(add(txn, b"2")), Element::op(wire::Op::Ping)]).unwrap();
        writer.take()
    };
    type Frame<'a> = &'a dyn Fn(u64) -> Vec<u8>;
    let cases: [(Frame<'_>, u16); 4] = [
        (&too_large, codes::TRANSACTIONS_FULL),
        (&too_late, codes::DEADLINE),
        (&not_understood, codes::UNKNOWN_VERB),
        (&batch_too_late, codes::DEADLINE),
    ];
    for (refused, code) in cases {
        let mut bench = Bench::new(Limits { transaction_bytes_max: 100, ops_in_flight_max: 1, ..Limits::default() });
        let mut client = bench.client();
        let txn: u64 = bench.ask(&mut client, wire::Op::TxnOpen).unwrap().parse().unwrap();
        assert_eq!(bench.ask(&mut client, add(txn, b"1")), done());
        // Both wait behind a lookup, until the deadline is over where there is one.
        bench.domain.hold = true;
        client.writer.request(2, 0, lookup(b"a")).unwrap();
        bench.talk(&mut client);
        bench.send(&client, &refused(txn));
        client.writer.request(4, 0, wire::Op::TxnCommit { txn, options: options(false) }).unwrap();
        bench.talk(&mut client);
        bench.pass(2);
        bench.release();
        let seen = bench.read(&mut client);
        assert!(matches!(seen[1], Seen::Reply(3, Err(found)) if found == code), "{code}: {seen:?}");
        assert_eq!(seen[2], Seen::Reply(4, Err(codes::NO_SUCH_TRANSACTION)), "{code}");
        assert!(bench.domain.pairs.is_empty());
    }
}

#[test]
fn a_disconnect_at_every_byte_of_a_transaction_leaves_nothing() {
    let mut writer = FrameWriter::new(u32::MAX);
    writer.request(2, 0, wire::Op::TxnOpen).unwrap();
    let txn = 1 << 32;
    writer
        .request(3, 0, wire::Op::TxnAdd { txn, parts: List::new(vec![put(b"a", b"1"), put(b"b", b"2")]).unwrap() })
        .unwrap();
    let before = writer.len();
    writer.request(4, 0, wire::Op::TxnCommit { txn, options: options(false) }).unwrap();
    let bytes = writer.take();
    for end in 0..=bytes.len() {
        for half in [false, true] {
            let mut bench = Bench::new(Limits::default());
            let client = bench.client();
            bench.send(&client, &bytes[..end]);
            if half {
                bench.sessions.get_mut(client.connection).unwrap().end_of_input(domains::Horizon::default());
                assert!(!bench.wants(&client));
            } else {
                bench.sessions.close(client.connection);
                assert_eq!(bench.sessions.len(), 0);
            }
            let whole = end == bytes.len();
            assert_eq!(
                bench.domain.pairs.len(),
                if whole { 2 } else { 0 },
                "disconnected at {end}, commit at {before}"
            );
            assert_eq!(bench.sessions.in_flight(), 0);
        }
    }
}

#[test]
fn answers_for_those_who_have_gone_reach_nobody() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    bench.domain.hold = true;
    client.writer.request(1, 0, lookup(b"a")).unwrap();
    bench.talk(&mut client);
    bench.sessions.close(client.connection);
    let mut next = bench.client();
    assert_eq!(next.connection.place, client.connection.place);
    bench.release();
    assert_eq!(bench.read(&mut next), []);
    assert_eq!(bench.sessions.in_flight(), 0);
}

#[test]
fn notices_come_when_the_horizon_has_passed_and_only_to_who_asked() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    let mut other = bench.client();
    for notify in [true, true, false] {
        let parts = List::new(vec![put(b"a", b"1")]).unwrap();
        assert!(bench.ask(&mut client, wire::Op::Commit { parts, options: options(notify) }).is_ok());
    }
    for (persistent, pushes) in [(0, vec![]), (1, vec![Seen::Push(1)]), (3, vec![Seen::Push(3)]), (4, vec![])] {
        bench.domain.persistent = persistent;
        bench.pass(1);
        assert_eq!(bench.read(&mut client), pushes);
    }
    assert_eq!(bench.read(&mut other), []);
    let parts = List::new(vec![put(b"a", b"1")]).unwrap();
    let options = CommitOptions { level: Level::Persistent, force: true, notify: false };
    assert!(bench.ask(&mut client, wire::Op::Commit { parts, options }).is_ok());
    assert_eq!(bench.domain.forces, 1);
}

#[test]
fn waits_can_be_cancelled_and_commits_cannot() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    client.writer.request(1, 0, wire::Op::Await { epoch: u64::MAX >> 1 }).unwrap();
    bench.domain.hold = true;
    client.writer.request(2, 0, commit(vec![put(b"a", b"1")])).unwrap();
    for (at, id) in [1, 2, 77, 1].into_iter().enumerate() {
        client.writer.request(10 + at as u64, 0, wire::Op::Cancel { id }).unwrap();
    }
    let cancelled = |id, yes| Seen::Reply(id, Ok(format!("Cancelled({yes})")));
    let expected = [
        Seen::Reply(1, Err(codes::CANCELLED)),
        cancelled(10, true),
        cancelled(11, false),
        cancelled(12, false),
        cancelled(13, false),
    ];
    assert_eq!(bench.talk(&mut client), expected);
    bench.release();
    assert_eq!(bench.read(&mut client), [Seen::Reply(2, Ok("committed 1".into()))]);
    assert_eq!(bench.sessions.in_flight(), 1, "the domain still has the wait");
}

/// Where replies come in order, a cancel is no exception: it only takes the wait out of the way of those behind.
#[test]
fn a_cancel_keeps_the_order_where_order_was_asked() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.silent();
    client.writer.hello(1, &Hello { in_order: true, ..hello(None) }).unwrap();
    bench.talk(&mut client);
    bench.domain.hold = true;
    client.writer.request(1, 0, lookup(b"a")).unwrap();
    client.writer.request(2, 0, wire::Op::Await { epoch: u64::MAX >> 1 }).unwrap();
    client.writer.request(3, 0, wire::Op::Ping).unwrap();
    client.writer.request(4, 0, wire::Op::Cancel { id: 2 }).unwrap();
    client.writer.request(5, 0, wire::Op::Cancel { id: 2 }).unwrap();
    assert_eq!(bench.talk(&mut client), [], "the first is not answered yet");
    bench.release();
    let cancelled = |id, yes| Seen::Reply(id, Ok(format!("Cancelled({yes})")));
    let expected = [
        Seen::Reply(1, Ok("absent".into())),
        Seen::Reply(2, Err(codes::CANCELLED)),
        Seen::Reply(3, done()),
        cancelled(4, true),
        cancelled(5, false),
    ];
    assert_eq!(bench.read(&mut client), expected);
    assert_eq!(bench.sessions.in_flight(), 1, "the domain still has the wait");
    // Its id is free, its credit is not; the late answer goes to nobody.
    bench.domain.hold = false;
    client.writer.request(2, 0, wire::Op::Ping).unwrap();
    assert_eq!(bench.talk(&mut client), [Seen::Reply(2, done())]);
    bench.domain.persistent = (1 << 40) - 1;
    bench.domain.awaits.iter_mut().for_each(|(_, epoch)| *epoch = EpochId::new(Incarnation(2), 1));
    bench.answers();
    assert_eq!(bench.read(&mut client), []);
    assert_eq!(bench.sessions.in_flight(), 0);
}

#[test]
fn an_id_that_is_in_use_ends_the_connection_and_is_nobodys_answer() {
    for id in [7, 8] {
        let mut bench = Bench::new(Limits::default());
        let mut client = bench.client();
        bench.domain.hold = true;
        client.writer.request(7, 0, commit(vec![put(b"a", b"1")])).unwrap();
        client.writer.batch(8, 0, &[Element::op(lookup(b"a"))]).unwrap();
        client.writer.request(id, 0, commit(vec![put(b"b", b"1")])).unwrap();
        assert_eq!(bench.talk(&mut client), [Seen::Reply(0, Err(codes::DUPLICATE_ID))]);
        assert!(!bench.ends(&client) && !bench.wants(&client));
        bench.release();
        let seen = bench.read(&mut client);
        assert!(matches!(&seen[..], [Seen::Reply(7, Ok(_)), Seen::Batch(8, _)]), "{seen:?}");
        assert!(bench.ends(&client));
        assert_eq!(bench.domain.pairs.len(), 1, "the second of the two has not happened");
    }
}

#[test]
fn a_stop_answers_what_was_begun_and_begins_nothing() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    let txn: u64 = bench.ask(&mut client, wire::Op::TxnOpen).unwrap().parse().unwrap();
    bench.domain.hold = true;
    client.writer.request(1, 0, commit(vec![put(b"a", b"1")])).unwrap();
    bench.talk(&mut client);
    bench.sessions.get_mut(client.connection).unwrap().stop();
    client.writer.request(2, 0, wire::Op::TxnCommit { txn, options: options(false) }).unwrap();
    assert_eq!(bench.talk(&mut client), [Seen::Reply(2, Err(codes::STOPPING))]);
    assert!(!bench.ends(&client));
    bench.release();
    assert!(!bench.ends(&client), "the reply is not sent yet");
    assert_eq!(bench.read(&mut client), [Seen::Reply(1, Ok("committed 1".into()))]);
    assert!(bench.ends(&client));
}

#[test]
fn silence_ends_a_connection_where_something_is_owed() {
    let mut bench = Bench::new(Limits::default());
    let mut mute = bench.silent();
    let mut idle = bench.client();
    let mut inside = bench.client();
    bench.send(&inside, &[wire::MARK]);
    bench.pass(5_000);
    assert_eq!(bench.read(&mut mute), [Seen::Reply(0, Err(codes::TIMED_OUT))]);
    assert!(bench.ends(&mute));
    bench.pass(25_000);
    assert_eq!(bench.read(&mut inside), [Seen::Reply(0, Err(codes::TIMED_OUT))]);
    assert_eq!(bench.ask(&mut idle, wire::Op::Ping), done());
}
