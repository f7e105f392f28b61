//! `WATCH`, `MULTI`, `EXEC`: all or nothing, on what was seen.

use super::bench::Bench;

#[test]
fn a_transaction_is_carried_out_as_one() {
    let mut bench = Bench::new();
    bench.check(&[
        ("MULTI", "+OK|"),
        ("SET a 1", "+QUEUED|"),
        ("INCR a", "+QUEUED|"),
        ("GET a", "+QUEUED|"),
        ("PING", "+QUEUED|"),
        ("DEL a b", "+QUEUED|"),
        ("EXISTS a", "+QUEUED|"),
        ("SET c 5", "+QUEUED|"),
    ]);
    assert_eq!(bench.say_as(0, ""), "");
    let other = bench.connect();
    assert_eq!(bench.say_as(other, "GET c"), "$-1|");
    bench.asked.clear();
    bench.check(&[("EXEC", "*7|+OK|:2|$1|2|+PONG|:1|:0|+OK|"), ("GET a", "$-1|"), ("GET c", "$1|5|")]);
    let commits = bench.asked.iter().filter(|op| *op == "Commit").count();
    assert_eq!(commits, 1, "one commit for all: {:?}", bench.asked);
    bench.check(&[
        ("EXEC", "-ERR EXEC without MULTI|"),
        ("DISCARD", "-ERR DISCARD without MULTI|"),
        ("MULTI", "+OK|"),
        ("MULTI", "-ERR MULTI calls can not be nested|"),
        ("WATCH a", "-ERR WATCH inside MULTI is not allowed|"),
        ("SET a 1", "+QUEUED|"),
        ("DISCARD", "+OK|"),
        ("GET a", "$-1|"),
        ("MULTI", "+OK|"),
        ("EXEC", "*0|"),
    ]);
}

#[test]
fn a_command_that_fails_leaves_nothing_of_its_transaction() {
    Bench::new().check(&[
        ("SET text x", "+OK|"),
        ("MULTI", "+OK|"),
        ("SET a 1", "+QUEUED|"),
        ("INCR text", "+QUEUED|"),
        (
            "EXEC",
            "-EXECABORT LS0302 command 2 of the transaction failed, so nothing was done: ERR value is not an integer or out of \
             range|",
        ),
        ("GET a", "$-1|"),
        ("MULTI", "+OK|"),
        ("SET a 1", "+QUEUED|"),
        ("SET a", "-ERR wrong number of arguments for 'set' command|"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors.|"),
        ("GET a", "$-1|"),
        ("MULTI", "+OK|"),
        ("SCAN 0", "-ERR LS0530 this command inside MULTI is not served: send it before or after|"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors.|"),
    ]);
}

#[test]
fn a_watched_key_that_moved_ends_the_transaction() {
    let mut bench = Bench::new();
    let other = bench.connect();
    // There, moved; there, not moved; not there, made; there, deleted and made again with the same value.
    let cases = [
        ("SET w 1", "SET w 1", "*-1|"),
        ("SET w 1", "SET v 1", "*1|+OK|"),
        ("DEL w", "SET w 1", "*-1|"),
        ("SET w 1", "DEL w", "*-1|"),
        ("DEL w", "DEL w", "*1|+OK|"),
    ];
    for (before, meanwhile, expected) in cases {
        bench.say("SET x before");
        bench.say(before);
        bench.check(&[("WATCH w other", "+OK|"), ("MULTI", "+OK|"), ("SET x y", "+QUEUED|")]);
        bench.say_as(other, meanwhile);
        assert_eq!(bench.say("EXEC"), expected, "{before}, {meanwhile}");
        let x = if expected == "*-1|" { "$6|before|" } else { "$1|y|" };
        assert_eq!(bench.say("GET x"), x);
    }
    // Forgotten, or used up by one transaction.
    bench.check(&[("WATCH w", "+OK|"), ("UNWATCH", "+OK|")]);
    bench.say_as(other, "SET w 9");
    bench.check(&[("MULTI", "+OK|"), ("GET w", "+QUEUED|"), ("EXEC", "*1|$1|9|"), ("WATCH w", "+OK|")]);
    bench.say_as(other, "SELECT 1");
    bench.check(&[
        ("SELECT 1", "+OK|"),
        ("MULTI", "+OK|"),
        ("INCR n", "+QUEUED|"),
        ("EXEC", "*1|:1|"),
        ("WATCH n", "+OK|"),
    ]);
    bench.say_as(other, "FLUSHDB");
    bench.check(&[("MULTI", "+OK|"), ("INCR n", "+QUEUED|"), ("EXEC", "*-1|"), ("GET n", "$-1|")]);
}

#[test]
fn what_others_change_between_the_reading_and_the_commit_is_read_again() {
    let mut bench = Bench::new();
    let other = bench.connect();
    bench.say("SET n 1");
    bench.say_as(other, "PING");
    bench.hold = true;
    // Both have read 1 before either commits: one of them must look again.
    assert_eq!(bench.say("INCR n"), "");
    assert_eq!(bench.say_as(other, "INCR n"), "");
    for _ in 0..6 {
        bench.release();
    }
    let replies = [bench.read(0), bench.read(other)];
    assert!(replies == [":2|", ":3|"] || replies == [":3|", ":2|"], "{replies:?}");
    bench.hold = false;
    assert_eq!(bench.say("GET n"), "$1|3|");
}

#[test]
fn a_connection_that_ends_while_it_empties_a_database_holds_up_nobody() {
    let mut bench = Bench::new();
    let other = bench.connect();
    bench.say("SET a 1");
    bench.say_as(other, "PING");
    bench.hold = true;
    assert_eq!(bench.say("FLUSHDB"), "");
    assert_eq!(bench.say_as(other, "SET b 1"), "", "it waits");
    bench.close(0);
    bench.hold = false;
    bench.release();
    bench.pass(2);
    assert_eq!(bench.read(other), "+OK|");
    assert_eq!(bench.say_as(other, "GET a"), "$-1|");
}
