//! What each command on strings answers, beside what Redis answers.

use super::bench::Bench;
use crate::resp::view::View;
use domains::Pair;
use segments::{TableId, Version};
use txn::{Change, CommitSet, Expect, PutOptions};

#[test]
fn values_are_put_and_read() {
    Bench::new().check(&[
        ("GET a", "$-1|"),
        ("SET a 1", "+OK|"),
        ("GET a", "$1|1|"),
        ("SET a 2 NX", "$-1|"),
        ("SET b 2 XX", "$-1|"),
        ("SET a 3 XX", "+OK|"),
        ("SET a 4 GET", "$1|3|"),
        ("SET c 4 GET", "$-1|"),
        ("SET c 5 NX GET", "$1|4|"),
        ("SET a 5 NX XX", "-ERR syntax error|"),
        ("SET a 5 what", "-ERR syntax error|"),
        ("SETNX a 9", ":0|"),
        ("SETNX d 9", ":1|"),
        ("GETSET d 10", "$1|9|"),
        ("GETDEL d", "$2|10|"),
        ("GETDEL d", "$-1|"),
        ("MSET x 1 y 2 x 3", "+OK|"),
        ("MGET x y z", "*3|$1|3|$1|2|$-1|"),
        ("MSET x", "-ERR wrong number of arguments for 'mset' command|"),
        ("MSET x 1 y", "-ERR wrong number of arguments for 'mset' command|"),
        ("MSETNX p 1 x 2", ":0|"),
        ("EXISTS p", ":0|"),
        ("MSETNX p 1 q 2", ":1|"),
        ("EXISTS p q p none", ":3|"),
        ("DEL p q none", ":2|"),
        ("DEL x", ":1|"),
        ("UNLINK x", ":0|"),
        ("TYPE y", "+string|"),
        ("TYPE x", "+none|"),
        ("STRLEN y", ":1|"),
        ("SET e ''", "+OK|"),
        ("GET e", "$0||"),
        ("TOUCH y e", ":2|"),
        ("OBJECT ENCODING y", "$3|raw|"),
        ("MEMORY USAGE none", "$-1|"),
    ]);
}

#[test]
fn parts_of_values_are_read_and_written() {
    Bench::new().check(&[
        ("APPEND a hello", ":5|"),
        ("APPEND a ' world'", ":11|"),
        ("GETRANGE a 0 4", "$5|hello|"),
        ("GETRANGE a -5 -1", "$5|world|"),
        ("SUBSTR a 6 100", "$5|world|"),
        ("GETRANGE a 5 2", "$0||"),
        ("GETRANGE a -100 -50", "$1|h|"),
        ("GETRANGE a -50 -100", "$0||"),
        ("GETRANGE none 0 -1", "$0||"),
        ("SETRANGE a 6 WORLD", ":11|"),
        ("GET a", "$11|hello WORLD|"),
        ("SETRANGE b 3 x", ":4|"),
        ("GET b", "$4|\0\0\0x|"),
        ("SETRANGE none 3 ''", ":0|"),
        ("EXISTS none", ":0|"),
        ("SETRANGE a -1 x", "-ERR offset is out of range|"),
        ("SETRANGE a 67108864 x", "-ERR string exceeds maximum allowed size (67108864 bytes)|"),
    ]);
}

#[test]
fn numbers_are_counted() {
    Bench::new().check(
        &[
            ("INCR n", ":1|"),
            ("INCRBY n 41", ":42|"),
            ("DECR n", ":41|"),
            ("DECRBY n 50", ":-9|"),
            ("GET n", "$2|-9|"),
            ("SET n 9223372036854775807", "+OK|"),
            ("INCR n", "-ERR increment or decrement would overflow|"),
            ("GET n", "$19|9223372036854775807|"),
            ("SET n ' 1'", "+OK|"),
            ("INCR n", "-ERR value is not an integer or out of range|"),
            ("INCRBY m x", "-ERR value is not an integer or out of range|"),
            ("DECRBY m -9223372036854775808", "-ERR decrement would overflow|"),
            ("INCRBYFLOAT f 10.5", "$4|10.5|"),
            ("INCRBYFLOAT f -0.5", "$2|10|"),
            ("INCRBYFLOAT f x", "-ERR value is not a valid float|"),
            ("INCRBYFLOAT f 1e308", "$309|1".to_owned().leak()),
        ][..15],
    );
}

#[test]
fn an_update_may_depend_on_the_value() {
    // XXH3 of "hello", as the crate that is used and the tool xxhsum -H3 give it.
    let digest = "9555e8555c62dcfd";
    Bench::new().check(&[
        ("SET a hello", "+OK|"),
        ("SET a x IFEQ other", "$-1|"),
        ("SET a x IFNE hello", "$-1|"),
        ("DIGEST a", &format!("$16|{digest}|")),
        ("DIGEST none", "$-1|"),
        ("SET a x IFDNE 9555e8555c62dcfd", "$-1|"),
        ("SET a hello2 IFDEQ 9555e8555c62dcfd", "+OK|"),
        ("SET a hello3 IFEQ hello2", "+OK|"),
        ("SET a hello4 IFEQ hello2 GET", "$6|hello3|"),
        ("SET none x IFEQ a", "$-1|"),
        ("SET none x IFDEQ 9555e8555c62dcfd", "$-1|"),
        ("SET new1 x IFNE a", "+OK|"),
        ("SET new2 x IFDNE 9555e8555c62dcfd", "+OK|"),
        ("SET a x IFDEQ 12", "-ERR a digest has 16 hexadecimal digits, as DIGEST gives it|"),
        ("SET a x IFEQ", "-ERR syntax error|"),
        ("DELEX a IFEQ hello2", ":0|"),
        ("DELEX a IFEQ hello3", ":1|"),
        ("DELIFEQ new1 y", ":0|"),
        ("DELIFEQ new1 x", ":1|"),
        ("DELEX none IFNE a", ":0|"),
        ("DELEX new2", ":1|"),
        ("DELEX new2 IFXX a", "-ERR syntax error|"),
    ]);
}

#[test]
fn keys_are_renamed_and_copied_with_their_time() {
    Bench::new().check(&[
        ("SET a 1 EX 100", "+OK|"),
        ("SET b 2", "+OK|"),
        ("RENAMENX a b", ":0|"),
        ("RENAME a b", "+OK|"),
        ("GET a", "$-1|"),
        ("TTL b", ":100|"),
        ("RENAME a b", "-ERR no such key|"),
        ("RENAME b b", "+OK|"),
        ("GET b", "$1|1|"),
        ("COPY b c", ":1|"),
        ("COPY b c", ":0|"),
        ("COPY b c REPLACE", ":1|"),
        ("TTL c", ":100|"),
        ("COPY none c", ":0|"),
    ]);
}

#[test]
fn keys_go_when_their_time_has_come() {
    let mut bench = Bench::new();
    bench.check(&[
        ("SET a 1 PX 1500", "+OK|"),
        ("TTL a", ":2|"),
        ("PTTL a", ":1500|"),
        ("PEXPIRETIME a", ":1001500|"),
        ("SET b 1 EXAT 1002", "+OK|"),
        ("EXPIRETIME b", ":1002|"),
        ("SETEX c 1 x", "+OK|"),
        ("PSETEX d 10 x", "+OK|"),
        ("SET e 1", "+OK|"),
        ("TTL e", ":-1|"),
        ("TTL none", ":-2|"),
        ("EXPIRE e 10", ":1|"),
        ("EXPIRE e 5 GT", ":0|"),
        ("EXPIRE e 20 LT", ":0|"),
        ("EXPIRE e 20 NX", ":0|"),
        ("EXPIRE e 20 XX", ":1|"),
        ("EXPIRE e 30 GT", ":1|"),
        ("EXPIRE e 25 LT", ":1|"),
        ("TTL e", ":25|"),
        ("EXPIRE e 5 GT LT", "-ERR GT and LT options at the same time are not compatible|"),
        ("EXPIRE none 5", ":0|"),
        ("SET f 1", "+OK|"),
        ("EXPIRE f 5 GT", ":0|"),
        ("EXPIRE f 5 LT", ":1|"),
        ("PERSIST f", ":1|"),
        ("PERSIST f", ":0|"),
        ("EXPIRE f -1", ":1|"),
        ("EXISTS f", ":0|"),
        ("SET e 2 KEEPTTL", "+OK|"),
        ("TTL e", ":25|"),
        ("APPEND e x", ":2|"),
        ("TTL e", ":25|"),
        ("GETEX e PERSIST", "$2|2x|"),
        ("TTL e", ":-1|"),
        ("GETEX e EX 7", "$2|2x|"),
        ("TTL e", ":7|"),
        ("SET e 3", "+OK|"),
        ("TTL e", ":-1|"),
        ("SET a 1 EX 0", "-ERR invalid expire time in 'set' command|"),
        ("SET a 1 EX 9223372036854775807", "-ERR invalid expire time in 'set' command|"),
        ("SET a 1 EX x", "-ERR value is not an integer or out of range|"),
        ("SET a 1 EX 1 PX 1", "-ERR syntax error|"),
        ("SET a 1 PERSIST", "-ERR syntax error|"),
        ("GETEX e KEEPTTL", "-ERR syntax error|"),
        ("MSETEX 2 m 1 n 2 EX 10", ":1|"),
        ("MSETEX 2 m 1 o 2 NX", ":0|"),
        ("MSETEX 2 m 3 n 4 XX KEEPTTL", ":1|"),
        ("TTL m", ":10|"),
        ("MSETEX 3 m 1 n 2", "-ERR invalid numkeys value|"),
    ]);
    bench.pass(1000);
    bench.check(&[("GET c", "$-1|"), ("GET d", "$-1|"), ("GET a", "$1|1|"), ("SET c 2 NX", "+OK|"), ("INCR d", ":1|")]);
    bench.pass(1000);
    bench.check(&[("EXISTS a b", ":0|"), ("TTL c", ":-1|"), ("GET e", "$1|3|")]);
}

/// What is behind the end is appended: the commit does not write again what was read.
#[test]
fn bytes_behind_the_end_are_appended_and_others_put_as_a_whole() {
    let (key, value, expires_ms) = (b"k".to_vec(), b"there".to_vec(), Some(9));
    let pair = Pair { key, value, version: Version::default(), expires_ms, compressed: true };
    let set_of = |see: bool, change: &dyn Fn(&mut View)| {
        let (mut view, mut set) = (View::default(), CommitSet::new());
        view.load(b"k", see.then_some(&pair));
        change(&mut view);
        view.add_to(&mut set, TableId(1)).unwrap();
        set
    };
    let check = |set: &CommitSet, change: Change<'_>, expect: Expect| {
        let part = set.part(0).unwrap();
        assert_eq!((set.len(), part.change, part.expect), (1, change, expect));
    };
    let (plain, seen) = (PutOptions::default(), Expect::At(pair.version));
    let twice = set_of(true, &|view| {
        assert_eq!(view.append(b"k", 5, b" and"), 9);
        assert_eq!(view.append(b"k", 10, b"on"), 12);
    });
    check(&twice, Change::Append { value: b" and\0on", options: plain }, seen);
    let put = set_of(true, &|view| {
        view.put(b"k", b"new".to_vec(), None);
        view.append(b"k", 3, b"er");
    });
    check(&put, Change::Put { value: b"newer", options: plain }, seen);
    let absent = set_of(false, &|view| assert_eq!(view.append(b"k", 0, b"made"), 4));
    check(&absent, Change::Put { value: b"made", options: plain }, Expect::Absent);
    let again = set_of(true, &|view| {
        assert!(view.delete(b"k"));
        view.append(b"k", 0, b"made");
    });
    check(&again, Change::Put { value: b"made", options: plain }, seen);
}

/// A value that is not in memory is not read for a part of it.
#[test]
fn parts_of_values_are_read_as_parts() {
    let mut bench = Bench::new();
    bench.say("SET a 0123456789");
    bench.hold = true;
    bench.asked.clear();
    assert_eq!(
        bench.send(0, b"GETRANGE a 2 4\r\nSTRLEN a\r\nSUBSTR a 8 100\r\nGETRANGE a 10 20\r\nSTRLEN none\r\n"),
        ""
    );
    assert_eq!(bench.asked, ["ReadRanges"; 5], "they are in flight together");
    bench.release();
    assert_eq!(bench.read(0), "$3|234|:10|$2|89|$0||:0|");
    // What counts from the end asks for the length, and for the part when that is known.
    bench.asked.clear();
    bench.send(
        0,
        b"GETRANGE a -3 -2\r\nGETRANGE a -2 -3\r\nGETRANGE none -3 -2\r\nGETRANGE a 3 2\r\nGETRANGE a x 2\r\n",
    );
    assert_eq!(bench.asked, ["ReadRanges"; 4]);
    bench.release();
    assert_eq!(bench.asked, ["ReadRanges"; 5]);
    bench.release();
    assert_eq!(bench.read(0), "$2|78|$0||$0||$0||-ERR value is not an integer or out of range|");
}

/// The length that a part was counted from is that of the value that it is taken of.
#[test]
fn a_part_that_counts_from_the_end_is_of_one_value() {
    let mut bench = Bench::new();
    bench.connect();
    bench.say("SET a 0123456789");
    bench.hold = true;
    bench.send(0, b"GETRANGE a -3 -1\r\n");
    bench.release();
    // The part that is on its way was counted in ten bytes.
    assert_eq!(bench.say_as(1, "SET a abc"), "");
    bench.release();
    assert_eq!(bench.read(0), "$3|789|");
    assert_eq!(bench.read(1), "+OK|");
    bench.send(0, b"GETRANGE a -2 -1\r\n");
    bench.hold = false;
    assert_eq!(bench.say_as(1, "SET a abcdef"), "+OK|");
    bench.hold = true;
    bench.release();
    bench.release();
    bench.release();
    assert_eq!(bench.read(0), "$2|ef|");
}
