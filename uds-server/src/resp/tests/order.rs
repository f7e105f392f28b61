//! Pipelines: replies and effects in the order of the commands, whatever order the domain answers in.

use super::bench::Bench;
use domains::Error;
use segments::EpochId;

#[test]
fn a_burst_is_answered_in_its_order() {
    let mut bench = Bench::new();
    bench.say("MSET a 1 b 2 c 3");
    bench.hold = true;
    assert_eq!(bench.send(0, b"GET a\r\nGET b\r\nPING\r\nMGET c a\r\nGET none\r\nSET a 9\r\nGET a\r\nINCR a\r\n"), "");
    // The reads are in flight together; the update waits for them.
    assert_eq!(bench.asked[bench.asked.len() - 4..], ["Lookup", "Lookup", "LookupMany", "Lookup"]);
    bench.release();
    assert_eq!(bench.read(0), "$1|1|$1|2|+PONG|*2|$1|3|$1|1|$-1|");
    for _ in 0..5 {
        bench.release();
    }
    assert_eq!(bench.read(0), "+OK|$1|9|:10|");
}

#[test]
fn blind_updates_are_in_flight_together_and_others_are_not() {
    let mut bench = Bench::new();
    bench.say("SET a 0");
    bench.hold = true;
    bench.asked.clear();
    bench.send(0, b"SET a 1\r\nSET b 2\r\nMSET c 3 d 4\r\nDEL a\r\nSET e 1 NX\r\nINCR b\r\nSET f 1\r\n");
    assert_eq!(bench.asked, ["Commit"; 5]);
    for _ in 0..4 {
        bench.release();
    }
    assert_eq!(bench.read(0), "+OK|+OK|+OK|:1|+OK|:3|+OK|");
    assert_eq!(bench.asked[5..], ["LookupMany", "Commit", "Commit"]);
}

/// Every cut of a pipeline of commands of all kinds gives the same replies.
#[test]
fn a_pipeline_may_be_cut_anywhere() {
    let stream = b"SET a 1\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\nMULTI\r\nGET a\r\nEXEC\r\nSELECT 1\r\nGET a\r\nDBSIZE\r\nx\r\nHELLO 3\r\nGET a\r\n";
    let mut whole = Bench::new();
    let expected = whole.send(0, stream);
    assert!(expected.starts_with("+OK|:2|+OK|+QUEUED|*1|$1|2|+OK|$-1|:0|-ERR LS0504 "), "{expected}");
    assert!(expected.ends_with("*0|_|"), "{expected}");
    for cut in 1..stream.len() {
        let mut bench = Bench::new();
        let first = bench.send(0, &stream[..cut]);
        assert_eq!(first + &bench.send(0, &stream[cut..]), expected, "cut at {cut}");
    }
}

/// What is in memory is seen in the turn that asks, so a counter that everybody counts on is never read anew.
#[test]
fn what_memory_has_is_not_asked_for() {
    let mut bench = Bench::new();
    bench.say("SET n 1");
    bench.asked.clear();
    bench.check(&[("GET n", "$1|1|"), ("MGET n none", "*2|$1|1|$-1|"), ("STRLEN n", ":1|")]);
    assert!(bench.asked.is_empty(), "{:?}", bench.asked);
    bench.check(&[("INCR n", ":2|"), ("APPEND n 0", ":2|"), ("SET n x IFEQ 20", "+OK|")]);
    assert_eq!(bench.asked, ["Commit"; 3]);
}

/// Each sees what those before it did and is a commit of its own, and none waits for a turn of the domain.
#[test]
fn a_pipeline_that_reads_and_changes_is_carried_out_at_once() {
    let mut bench = Bench::new();
    bench.say("SET a 0");
    bench.asked.clear();
    let pipeline =
        b"INCR a\r\nAPPEND a 0\r\nGET a\r\nSET a 5 NX\r\nDEL a\r\nSETNX a 7\r\nMULTI\r\nINCR a\r\nEXEC\r\nGET a\r\n";
    assert_eq!(bench.send(0, pipeline), ":1|:2|$2|10|$-1|:1|:1|+OK|+QUEUED|*1|:8|$1|8|");
    assert_eq!(bench.asked, ["Commit"; 6]);
    bench.send(0, &b"INCR a\r\n".repeat(5000));
    assert_eq!(bench.say("GET a"), "$4|5008|");
}

/// Answers wait for persistence together, in their order, and what is begun behind them does not.
#[test]
fn a_persistent_pipeline_is_one_wait() {
    let mut bench = Bench::new();
    bench.check(&[("SET a 0", "+OK|"), ("LS.LEVEL persistent", "+OK|")]);
    bench.asked.clear();
    bench.hold_waits = true;
    let pipeline = b"INCR a\r\nSET b 1\r\nGET a\r\nPING\r\nMULTI\r\nINCR a\r\nINCR a\r\nEXEC\r\nINCR a\r\n";
    // Looking needs no persistence, but its turn has not come.
    assert_eq!(bench.send(0, pipeline), "");
    assert_eq!(bench.asked, ["Commit", "Commit", "Commit", "Commit", "Force", "Await"]);
    bench.connect();
    assert_eq!(bench.say_as(1, "GET a"), "$1|4|", "it is committed");
    assert_eq!(bench.say("INCR a"), "");
    assert_eq!(bench.asked[6..], ["Commit", "Force", "Await"]);
    // The later one is answered first: it speaks for all before it.
    bench.release();
    assert_eq!(bench.read(0), ":1|+OK|$1|1|+PONG|+OK|+QUEUED|+QUEUED|*2|:2|:3|:4|:5|");
    bench.hold_waits = false;
    bench.check(&[("INCR a", ":6|"), ("GET a", "$1|6|")]);
}

#[test]
fn what_never_becomes_persistent_is_answered_with_the_failure() {
    let mut bench = Bench::new();
    bench.check(&[("SET a 0", "+OK|"), ("LS.LEVEL persistent", "+OK|")]);
    bench.hold_waits = true;
    bench.waits_fail =
        Some(Error::Poisoned { why: "a flush failed".into(), epoch: EpochId::default(), applied: false });
    assert_eq!(bench.send(0, b"INCR a\r\nGET a\r\nSET a 1\r\n"), "");
    bench.release();
    let said = bench.read(0);
    let said: Vec<&str> = said.split_terminator('|').collect();
    assert!(said[0].starts_with("-MISCONF LS0304") && said[3].starts_with("-MISCONF LS0304"), "{said:?}");
    assert_eq!(said[1..3], ["$1", "1"]);
}

/// A connection that ends while its replies are held ends when they are out.
#[test]
fn replies_that_are_held_are_said_before_the_end() {
    let mut bench = Bench::new();
    bench.check(&[("SET a 0", "+OK|"), ("LS.LEVEL persistent", "+OK|")]);
    bench.hold_waits = true;
    assert_eq!(bench.send(0, b"INCR a\r\nQUIT\r\n"), "");
    assert!(!bench.ends(0));
    bench.release();
    assert_eq!(bench.read(0), ":1|+OK|");
    assert!(bench.ends(0));
}
