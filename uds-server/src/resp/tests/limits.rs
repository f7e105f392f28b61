//! What a peer may cost.

use super::bench::Bench;
use crate::limits::Limits;

#[test]
fn credits_stop_the_reading_until_answers_make_room() {
    let mut bench = Bench::with(Limits { ops_in_flight_max: 4, ..Limits::default() });
    bench.say("SET a 1");
    bench.hold = true;
    bench.asked.clear();
    assert_eq!(bench.send(0, "GET a\r\n".repeat(10).as_bytes()), "");
    assert_eq!((bench.asked.len(), bench.wants(0)), (4, false));
    bench.release();
    assert_eq!(bench.asked.len(), 8);
    bench.release();
    bench.release();
    assert_eq!(bench.read(0), "$1|1|".repeat(10));
    assert!(bench.wants(0));
}

#[test]
fn a_client_that_does_not_read_costs_no_more_than_the_limits() {
    let limits = Limits { unsent_bytes_max: 10_000, unsent_bytes_hard: 20_000, ..Limits::default() };
    let mut bench = Bench::with(limits);
    bench.say(&format!("SET a {}", "v".repeat(3000)));
    assert!(bench.say("GET a").len() > 3000);
    let connection = bench.sessions.at(0).unwrap();
    bench.hold = true;
    bench.send(0, "GET a\r\n".repeat(1000).as_bytes());
    for _ in 0..1000 {
        bench.release();
    }
    let unsent = bench.sessions.get_mut(connection).unwrap().output(usize::MAX).len();
    assert!((6_000..=20_000).contains(&unsent), "{unsent}");
    assert!(!bench.wants(0));
    bench.hold = false;
    bench.release();
    let rest = bench.read(0);
    assert_eq!(rest.matches("$3000|").count(), 1000, "a client that reads again misses nothing");
    assert!(bench.wants(0));
}

#[test]
fn a_reply_that_is_too_large_is_an_error() {
    let mut bench = Bench::with(Limits { reply_frame_bytes_max: 10_000, ..Limits::default() });
    bench.say(&format!("SET a {}", "v".repeat(3000)));
    assert_eq!(bench.say("MGET a a a").matches("$3000|").count(), 3);
    let reply = bench.say("MGET a a a a");
    assert!(reply.starts_with("-ERR LS0511 "), "{reply}");
    assert_eq!(bench.say("PING"), "+PONG|");
}

#[test]
fn a_command_that_stops_in_the_middle_ends_its_connection() {
    let mut bench = Bench::new();
    let idle = bench.connect();
    bench.say_as(idle, "PING");
    assert_eq!(bench.send(0, b"*2\r\n$3\r\nGET\r\n"), "");
    bench.pass(29_000);
    assert!(!bench.ends(0));
    bench.pass(2_000);
    assert!(bench.read(0).starts_with("-ERR LS0515 "));
    assert!(bench.ends(0));
    assert_eq!(bench.say_as(idle, "PING"), "+PONG|", "one that is idle between commands stays");
}

#[test]
fn keys_and_values_have_the_store_s_limits() {
    let mut bench = Bench::new();
    let key = "k".repeat(2048);
    assert_eq!(bench.say(&format!("SET {key} x")), "+OK|");
    assert_eq!(bench.say(&format!("GET {key}")), "$1|x|");
    for command in ["SET {k}k x", "MSET a 1 {k}k x", "SET {k}k x NX", "INCR {k}k", "SETEX {k}k 1 x"] {
        let reply = bench.say(&command.replace("{k}", &key));
        assert!(reply.starts_with("-ERR LS0302 the key has 2049 bytes, the limit is 2048"), "{command}: {reply}");
    }
    assert_eq!(bench.say("EXISTS a"), ":0|");
}

#[test]
fn a_server_that_stops_answers_what_was_begun() {
    let mut bench = Bench::new();
    bench.say("SET a 1");
    bench.hold = true;
    bench.send(0, b"GET a\r\n");
    let connection = bench.sessions.at(0).unwrap();
    bench.sessions.get_mut(connection).unwrap().stop();
    assert!(bench.send(0, b"SET a 2\r\n").is_empty());
    assert!(!bench.ends(0));
    bench.release();
    let replies = bench.read(0);
    assert!(replies.starts_with("$1|1|-ERR LS0514 "), "{replies}");
    assert!(bench.ends(0));
}

fn set(key: &str, bytes: usize) -> Vec<u8> {
    let value = "v".repeat(bytes);
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${bytes}\r\n{value}\r\n", key.len()).into_bytes()
}

#[test]
fn commands_wait_for_memory_in_their_order_and_small_ones_do_not() {
    let mut bench = Bench::with(Limits::of_small_memory());
    let [second, third, other] = [bench.connect(), bench.connect(), bench.connect()];
    let command = set("k", 900 << 10);
    let pieces: Vec<&[u8]> = command.chunks(64 << 10).collect();
    for connection in [0, second, third] {
        assert_eq!(bench.send(connection, pieces[0]), "");
    }
    assert_eq!([bench.wants(0), bench.wants(second), bench.wants(third)], [true, false, false]);
    assert_eq!(bench.say_as(other, "SET small 1"), "+OK|");
    let info = bench.say_as(other, "INFO");
    assert!(info.contains("clients_waiting_for_memory:2|"), "{info}");
    for (connection, next) in [(0, second), (second, third)] {
        let replies: String = pieces[1..].iter().map(|piece| bench.send(connection, piece)).collect();
        assert_eq!(replies, "+OK|");
        assert!(bench.wants(next));
    }
    // The last one stops in the middle, and one behind it has waited long enough.
    assert_eq!(bench.send(0, pieces[0]), "");
    assert!(!bench.wants(0));
    bench.pass(15_000);
    bench.send(third, &pieces[1][..1000]);
    bench.pass(15_000);
    assert!(bench.read(0).starts_with("-OOM LS0520 "));
    assert!(bench.ends(0), "where the command would end is not known");
}

#[test]
fn what_commands_read_queue_and_commit_is_counted() {
    let mut bench = Bench::with(Limits::of_small_memory());
    let other = bench.connect();
    let held = |bench: &Bench| {
        let figures = bench.sessions.figures();
        assert!(figures.bytes <= figures.bytes_max, "{figures:?}");
        figures.bytes
    };
    for key in ["a", "b", "c", "d"] {
        assert_eq!(bench.send(0, &set(key, 1 << 20)), "+OK|");
    }
    let before = held(&bench);
    // What is read and what is made of it is more than its command.
    assert!(bench.say("MGET a b c d a b c d a b c d").starts_with("-ERR LS0511 "), "more than a reply may ever have");
    assert_eq!(bench.say("MGET a").len(), (1 << 20) + 13);
    assert_eq!(bench.say("APPEND a x"), format!(":{}|", (1 << 20) + 1));
    // What is put off counts, until it is refused; then the transaction is.
    assert_eq!(bench.say("MULTI"), "+OK|");
    let mut queued = 0;
    let refused = loop {
        match bench.send(0, &set("m", 500_000)) {
            reply if reply == "+QUEUED|" => queued += 1,
            reply => break reply,
        }
        assert!(held(&bench) > before + queued * 900_000);
    };
    assert!(refused.starts_with("-OOM LS0520 ") && queued >= 3, "{queued}: {refused}");
    assert_eq!(bench.say_as(other, "SET small 1"), "+OK|");
    assert!(bench.say("EXEC").starts_with("-EXECABORT "));
    assert!(held(&bench) <= before + (16 << 10), "what an idle connection keeps");
    // Reads that nobody takes.
    bench.hold = true;
    bench.send(0, "GET b\r\n".repeat(10).as_bytes());
    bench.hold = false;
    bench.release();
    held(&bench);
    let replies = bench.read(0);
    assert_eq!(replies.matches("$1048576|").count() + replies.matches("-OOM LS0520 ").count(), 10, "each is answered");
    assert_eq!(bench.say_as(other, "STRLEN b"), ":1048576|");
    assert!(held(&bench) <= before + (16 << 10), "what an idle connection keeps");
}
