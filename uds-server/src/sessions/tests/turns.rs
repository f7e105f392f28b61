//! Greedy clients beside others: counted in requests, without a clock.

use super::bench::*;
use crate::limits::{Limits, OP_WORK};
use wire::codes;

/// A turn of so many small requests.
const TURN: usize = 10;

fn limits() -> Limits {
    // A ping has a byte, and its answer, which counts when it is there, some tens.
    Limits { turn_work: TURN * (OP_WORK + 40), ..Limits::default() }
}

fn pings(client: &mut Client, count: u64) -> Vec<u8> {
    (1..=count).for_each(|id| client.writer.request(id, 0, wire::Op::Ping).unwrap());
    client.writer.take()
}

/// What one client has been sent, without a turn for anybody.
fn read_one(bench: &mut Bench, client: &mut Client) -> usize {
    let count = replies(bench, client);
    let session = bench.sessions.get_mut(client.connection).unwrap();
    let bytes = session.output(usize::MAX).len();
    session.consume(bytes);
    count
}

/// Lets bytes in, and gives nobody a turn yet.
fn hear(bench: &mut Bench, client: &Client, bytes: &[u8]) {
    bench.round(|sessions, round| sessions.receive(client.connection, bytes, round));
}

/// Replies that wait to be sent.
fn replies(bench: &mut Bench, client: &Client) -> usize {
    let output = bench.sessions.get_mut(client.connection).unwrap().output(usize::MAX).to_vec();
    let mut reader = wire::FrameReader::new(u32::MAX);
    reader.push(&output);
    let mut count = 0;
    while reader.frame().unwrap().is_some() {
        reader.advance();
        count += 1;
    }
    count
}

#[test]
fn who_asks_once_is_answered_within_a_turn_of_a_greedy_one() {
    let mut bench = Bench::new(limits());
    let (mut greedy, mut other) = (bench.client(), bench.client());
    let flood = pings(&mut greedy, 1000);
    hear(&mut bench, &greedy, &flood);
    let mut so_far = replies(&mut bench, &greedy);
    assert!(so_far <= TURN + 2, "{so_far} at once");
    assert!(!bench.wants(&greedy), "no more is read before that is done");
    for _ in 0..20 {
        bench.round(|sessions, round| sessions.next_turn(round));
        let now = replies(&mut bench, &greedy);
        assert!((1..=TURN + 2).contains(&(now - so_far)), "{} in a turn", now - so_far);
        so_far = now;
        let one = pings(&mut other, 1);
        hear(&mut bench, &other, &one);
        assert_eq!(replies(&mut bench, &greedy), so_far, "nobody was served before it");
        assert_eq!(read_one(&mut bench, &mut other), 1);
    }
    // In the end all is answered, and in its order.
    while bench.sessions.waiting() > 0 {
        bench.round(|sessions, round| sessions.next_turn(round));
    }
    assert_eq!(replies(&mut bench, &greedy), 1000);
    assert!(bench.wants(&greedy));
}

#[test]
fn greedy_ones_have_equal_shares_whatever_they_ask() {
    let mut bench = Bench::new(limits());
    let mut clients: Vec<Client> = (0..3).map(|_| bench.client()).collect();
    // Small requests, batches of fifty, and requests with large values.
    let value = vec![7; OP_WORK * 5];
    let small = pings(&mut clients[0], 2000);
    let element = || wire::Element::op(wire::Op::Ping);
    (1..=100).for_each(|id| clients[1].writer.batch(id, 0, &vec![element(); 50]).unwrap());
    let batches = clients[1].writer.take();
    (1..=2000).for_each(|id| clients[2].writer.request(id, 0, commit(vec![put(b"k", &value)])).unwrap());
    let large = clients[2].writer.take();
    for (client, bytes) in clients.iter().zip([&small, &batches, &large]) {
        hear(&mut bench, client, bytes);
    }
    for _ in 0..3 * 100 {
        bench.round(|sessions, round| sessions.next_turn(round));
    }
    let counts: Vec<usize> = clients.iter().map(|client| replies(&mut bench, client)).collect();
    let work = [counts[0] * (OP_WORK + 40), counts[1] * 50 * (OP_WORK + 8), counts[2] * (OP_WORK * 6 + 60)];
    let (least, most) = (work.iter().min().unwrap(), work.iter().max().unwrap());
    assert!(most - least < most / 5, "{counts:?} {work:?}");
}

#[test]
fn numbers_wrap_and_one_in_flight_is_refused_a_second_time() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    bench.domain.hold = true;
    for id in [u64::MAX - 1, u64::MAX, 1, 2] {
        client.writer.request(id, 0, lookup(b"a")).unwrap();
    }
    assert_eq!(bench.talk(&mut client), [], "all are under way, over the end of the numbers");
    client.writer.request(u64::MAX, 0, lookup(b"b")).unwrap();
    client.writer.request(3, 0, lookup(b"b")).unwrap();
    assert_eq!(bench.talk(&mut client), [Seen::Reply(0, Err(codes::DUPLICATE_ID))], "not under the other's number");
    bench.release();
    let absent = || Ok("absent".to_owned());
    let answered: Vec<Seen> = [u64::MAX - 1, u64::MAX, 1, 2].map(|id| Seen::Reply(id, absent())).to_vec();
    assert_eq!(bench.read(&mut client), answered, "each once, and nothing that came behind");
    assert!(bench.ends(&client));
}

#[test]
fn a_number_is_free_again_with_its_answer() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    for _ in 0..3 {
        client.writer.request(u64::MAX, 0, wire::Op::Ping).unwrap();
        assert_eq!(bench.talk(&mut client), [Seen::Reply(u64::MAX, done())]);
    }
    // In one batch with its own number twice in flight as frames: the second is the duplicate.
    bench.domain.hold = true;
    client.writer.batch(7, 0, &[wire::Element::op(lookup(b"a"))]).unwrap();
    client.writer.batch(7, 0, &[wire::Element::op(lookup(b"a"))]).unwrap();
    assert_eq!(bench.talk(&mut client), [Seen::Reply(0, Err(codes::DUPLICATE_ID))]);
}
