//! Connections that want more memory than there is: who waits, who is refused, and who never notices.

use super::bench::*;
use crate::budget::{request_bytes, request_of};
use crate::limits::{Limits, RECEIVE_BYTES};
use wire::{Bytes, FrameWriter, List, codes};

/// A bench with such limits, the largest request there is, and a value that makes one.
fn bench() -> (Bench, Vec<u8>) {
    let bench = Bench::new(Limits::of_small_memory());
    let most = bench.sessions.facts().limits.request_frame_bytes_max as usize;
    (bench, vec![b'v'; most - 100])
}

/// The frame of a commit that puts this value, as it is cut into receives.
fn pieces(id: u64, key: &[u8], value: &[u8]) -> Vec<Vec<u8>> {
    let mut writer = FrameWriter::new(u32::MAX);
    writer.request(id, 0, commit(vec![put(key, value)])).unwrap();
    writer.take().chunks(RECEIVE_BYTES).map(<[u8]>::to_vec).collect()
}

/// What all hold, when nothing is kept for what may come.
fn held_at_rest(bench: &mut Bench) -> u64 {
    for connection in bench.sessions.all() {
        bench.sessions.get_mut(connection).unwrap().rest();
    }
    bench.pass(0);
    held(bench)
}

fn held(bench: &Bench) -> u64 {
    let figures = bench.sessions.figures();
    assert!(figures.bytes <= figures.bytes_max, "{figures:?}");
    figures.bytes
}

#[test]
fn half_received_frames_wait_for_each_other_in_their_order_and_all_are_done() {
    let (mut bench, value) = bench();
    let mut idle = bench.client();
    let before = held_at_rest(&mut bench);
    let mut clients: Vec<Client> = (0..40).map(|_| bench.client()).collect();
    // All announce a large frame and send the beginning of it; only some of them are read on.
    let mut rest: Vec<_> = (0..40_u8).map(|at| pieces(7, &[at], &value).into_iter()).collect();
    for (client, pieces) in clients.iter().zip(&mut rest) {
        bench.send(client, &pieces.next().unwrap());
    }
    let reading: Vec<bool> = clients.iter().map(|client| bench.wants(client)).collect();
    let first = reading.iter().take_while(|reads| **reads).count();
    assert!((1..=2).contains(&first) && reading[first..].iter().all(|reads| !reads), "{reading:?}");
    let waiting = bench.sessions.figures().waiting;
    assert_eq!(waiting, 40 - first as u64);
    // A small client is served as if they were not there.
    assert_eq!(bench.ask(&mut idle, commit(vec![put(b"small", b"1")])), Ok("committed 1".into()));
    assert_eq!(bench.ask(&mut idle, lookup(b"small")), Ok("1".into()));
    // Whoever is read sends on, and makes room for the next; in the end all are done.
    for round in 0..40 {
        let next = clients.iter().position(|client| bench.wants(client)).unwrap();
        assert_eq!(next, 0, "in the order in which they asked");
        let mut client = clients.remove(0);
        for piece in rest.remove(0) {
            assert!(bench.wants(&client), "round {round}");
            bench.send(&client, &piece);
            held(&bench);
        }
        assert_eq!(bench.read(&mut client), [Seen::Reply(7, Ok("committed 1".into()))]);
        bench.sessions.close(client.connection);
        bench.pass(1);
    }
    assert_eq!(bench.domain.pairs.len(), 41);
    assert_eq!((held_at_rest(&mut bench), bench.sessions.figures().waiting), (before, 0));
}

#[test]
fn a_wait_that_is_too_long_is_refused_and_the_connection_goes_on() {
    let (mut bench, value) = bench();
    let [slow, mut late] = [bench.client(), bench.client()];
    let slow_pieces = pieces(1, b"slow", &value);
    bench.send(&slow, &slow_pieces[0]);
    // What is left is not enough for another of this size.
    let late_pieces = pieces(2, b"late", &value);
    bench.send(&late, &late_pieces[0]);
    assert!(!bench.wants(&late));
    bench.pass(29_000);
    assert_eq!(bench.read(&mut late), []);
    bench.send(&slow, &slow_pieces[1]);
    bench.pass(1_000);
    assert_eq!(bench.read(&mut late), [Seen::Reply(2, Err(codes::MEMORY_FULL))]);
    assert_eq!(bench.sessions.figures().refused, 1);
    // The rest of the frame is dropped as it comes, and costs nothing; what stands behind it is served.
    for piece in &late_pieces[1..] {
        assert!(bench.wants(&late));
        bench.send(&late, piece);
    }
    assert_eq!(bench.ask(&mut late, wire::Op::Ping), done());
    assert_eq!(bench.ask(&mut late, lookup(b"late")), Ok("absent".into()));
    assert!(bench.wants(&slow), "the one that sends is read on");
}

#[test]
fn a_large_frame_must_come_at_a_pace() {
    let (mut bench, value) = bench();
    let mut slow = bench.client();
    let bytes = pieces(1, b"slow", &value).concat();
    let mut seconds = 0;
    for piece in bytes.chunks(RECEIVE_BYTES / 64) {
        if !bench.wants(&slow) {
            break;
        }
        bench.send(&slow, piece);
        bench.pass(1_000);
        seconds += 1;
    }
    assert_eq!(bench.read(&mut slow), [Seen::Reply(0, Err(codes::TIMED_OUT))], "a kibibyte a second is too slow");
    assert_eq!(seconds, 31, "30 seconds, and one for the mebibyte");
    // A small one may take its time.
    let mut small = bench.client();
    for piece in pieces(1, b"small", &[7; 2000]).concat().chunks(40) {
        bench.send(&small, piece);
        bench.pass(1_000);
    }
    assert_eq!(bench.read(&mut small), [Seen::Reply(1, Ok("committed 1".into()))]);
}

#[test]
fn open_transactions_and_unread_replies_count_and_are_given_back() {
    let (mut bench, value) = bench();
    let mut client = bench.client();
    let before = held_at_rest(&mut bench);
    let txn: u64 = bench.ask(&mut client, wire::Op::TxnOpen).unwrap().parse().unwrap();
    let add = |key| wire::Op::TxnAdd { txn, parts: List::new(vec![put(key, &value)]).unwrap() };
    assert_eq!(bench.ask(&mut client, add(b"a")), done());
    assert!(held(&bench) >= before + value.len() as u64);
    // With its own transaction in the way it cannot have so much more, so it need not wait to be told.
    let mut most = 0;
    let refused = loop {
        match bench.ask(&mut client, add(b"b")) {
            Ok(_) => most = held(&bench),
            Err(code) => break code,
        }
    };
    assert_eq!(refused, codes::MEMORY_FULL);
    assert!(most > before + 2 * value.len() as u64, "a few fit");
    // One of its parts was refused, so the others are gone too.
    let options = options(false);
    assert_eq!(bench.ask(&mut client, wire::Op::TxnCommit { txn, options }), Err(codes::NO_SUCH_TRANSACTION));
    assert_eq!(held_at_rest(&mut bench), before);
    assert_eq!(bench.ask(&mut client, commit(vec![put(b"a", &value)])), Ok("committed 1".into()));
    assert_eq!(held_at_rest(&mut bench), before);
    // Reads that nobody takes: beyond what there is they are refused, and those of others still have the shares.
    let mut other = bench.client();
    let mut refused = 0;
    for id in 1..=20 {
        client.writer.request(id, 0, lookup(b"a")).unwrap();
    }
    let bytes = client.writer.take();
    bench.send(&client, &bytes);
    held(&bench);
    assert_eq!(bench.ask(&mut other, commit(vec![put(b"s", b"1")])), Ok("committed 1".into()));
    assert_eq!(bench.ask(&mut other, lookup(b"s")), Ok("1".into()));
    assert_eq!(bench.ask(&mut other, lookup(b"a")), Err(codes::MEMORY_FULL));
    for seen in bench.read(&mut client) {
        refused += u32::from(matches!(seen, Seen::Reply(_, Err(codes::MEMORY_FULL))));
    }
    assert!((1..20).contains(&refused), "{refused} of 20");
    assert_eq!(bench.ask(&mut other, lookup(b"a")).map(|value| value.len()), Ok(value.len()));
    bench.sessions.close(other.connection);
    assert_eq!(held_at_rest(&mut bench), before);
}

#[test]
fn a_disconnect_while_waiting_lets_the_next_pass() {
    let (mut bench, value) = bench();
    let clients: Vec<Client> = (0..10).map(|_| bench.client()).collect();
    for (at, client) in (0..).zip(&clients) {
        bench.send(client, &pieces(1, &[at], &value)[0]);
    }
    for left in (0..10).rev() {
        let client = &clients[9 - left];
        let half = left % 2 == 0;
        if half {
            bench.sessions.get_mut(client.connection).unwrap().end_of_input(domains::Horizon::default());
            bench.round(|sessions, round| sessions.turn(client.connection, round));
        }
        bench.sessions.close(client.connection);
        bench.pass(0);
        assert!(left == 0 || bench.wants(&clients[10 - left]), "{left} are left");
    }
    assert_eq!((held(&bench), bench.sessions.figures().waiting), (0, 0));
}

#[test]
fn tiny_parts_and_large_batches_pay_for_what_they_take() {
    let mut bench = Bench::new(Limits::of_small_memory());
    let limits = bench.sessions.facts().limits;
    let mut client = bench.client();
    // Each takes 128 bytes and is sent in seven: they are paid for, and given back.
    let keys: Vec<[u8; 2]> = (0..20_000_u16).map(u16::to_le_bytes).collect();
    let parts = || keys.iter().map(|key| put(key, b"")).collect::<Vec<_>>();
    bench.domain.hold = true;
    client.writer.request(1, 0, commit(parts())).unwrap();
    bench.talk(&mut client);
    assert!(held(&bench) >= 20_000 * 128);
    bench.domain.hold = false;
    bench.release();
    assert_eq!(bench.read(&mut client), [Seen::Reply(1, Ok("committed 20000".into()))]);
    // When others have the memory they are refused, and nothing of it is done.
    let hog = bench.client();
    let most = limits.request_frame_bytes_max as usize;
    bench.send(&hog, &pieces(1, b"hog", &vec![1; most - 100])[0]);
    let hog = bench.client();
    let left = limits.pool_user_bytes() / 8 * 5 - request_bytes(most) + 2 * limits.share_bytes();
    bench.send(&hog, &pieces(1, b"hog", &vec![1; request_of(left - (1 << 20))])[0]);
    let pairs = bench.domain.pairs.len();
    client.writer.request(2, 0, commit(parts())).unwrap();
    assert_eq!(bench.talk(&mut client), [Seen::Reply(2, Err(codes::MEMORY_FULL))]);
    assert_eq!(bench.domain.pairs.len(), pairs);
    let element = || wire::Element::op(wire::Op::Lookup { table: 1, key: Bytes(b"k") });
    let batch: Vec<_> = (0..1000).map(|_| element()).collect();
    client.writer.batch(3, 0, &batch).unwrap();
    let seen = bench.talk(&mut client);
    assert!(matches!(&seen[..], [Seen::Batch(3, outcomes)] if outcomes.len() == 1000), "replies have their own part");
}
