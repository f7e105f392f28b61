//! The commands on tables by name.

use super::bench::Bench;

/// The version in a reply's line that is one.
fn version(reply: &str) -> String {
    let is_version = |word: &&str| word.split('.').count() == 3;
    reply.split('|').find(is_version).unwrap_or_else(|| panic!("no version in {reply}")).to_owned()
}

/// A domain in memory makes all of its tables volatile.
#[test]
fn tables_are_made_used_and_dropped() {
    let mut bench = Bench::new();
    bench.check(&[
        ("LS.TABLE CREATE users ORDERED", "+OK|"),
        ("LS.TABLE CREATE users", "-TRYAGAIN LS0203 there is already a table 'users'|"),
        ("LS.TABLE CREATE cache VOLATILE HASH", "+OK|"),
        ("LS.TABLE CREATE x BLUE", "-ERR LS0503 'BLUE' is not HASH, ORDERED, SACK, CLIENTHASH32, CLIENTHASH64, COMPACTSLOTS or VOLATILE; nothing was done|"),
        ("LS.TABLE LIST", "*2|*4|$5|cache|$5|bytes|$4|hash|$8|volatile|*4|$5|users|$5|bytes|$7|ordered|$8|volatile|"),
        ("LS.USE users", "+OK|"),
        ("SET b 2", "+OK|"),
        ("SET a 1", "+OK|"),
        ("DBSIZE", ":2|"),
        ("FLUSHDB", "-ERR LS0530 FLUSHDB of a table chosen by name is not served: use LS.TABLE DROP, or SELECT a database first|"),
        ("SELECT 0", "+OK|"),
        ("GET a", "$-1|"),
        ("LS.GET users none", "*-1|"),
        ("LS.USE nothing", "-ERR LS0201 there is no table 'nothing' for this user; `lostore table list` shows those there are|"),
        ("LS.GET nothing a", "-ERR LS0201 there is no table 'nothing' for this user; `lostore table list` shows those there are|"),
    ]);
    let pair = bench.say("LS.GET users a");
    assert!(pair.starts_with("*4|$1|a|$1|1|$") && pair.ends_with("|$-1|"), "{pair}");
    let next = bench.say("LS.NEXT users START COUNT 1");
    assert!(next.starts_with("*1|*4|$1|a|"), "{next}");
    assert!(bench.say("LS.NEXT users AFTER a").starts_with("*1|*4|$1|b|"));
    assert!(bench.say("LS.NEXT users FROM b PREVIOUS COUNT 5").starts_with("*2|*4|$1|b|"));
    assert!(bench.say("LS.TABLE INFO users").contains("|$5|pairs|:2|"));
    bench.check(&[
        ("LS.USE users", "+OK|"),
        ("LS.VERIFY a", ":1|"),
        ("LS.VERIFY none", ":0|"),
        ("LS.TABLE DROP users", "+OK|"),
        ("GET a", "-ERR LS0201 there is no table 'users' for this user; `lostore table list` shows those there are|"),
        ("SET a 1", "-ERR LS0201 there is no table 'users' for this user; `lostore table list` shows those there are|"),
        ("LS.TABLE CREATE users", "+OK|"),
        ("SET a 5", "+OK|"),
        ("LS.TABLE CREATE sack SACK", "+OK|"),
        (
            "LS.USE sack",
            "-ERR LS0530 a sack as a keyspace is not served: use LS.GET and LS.NEXT, which name the table|",
        ),
        ("LS.NEXT sack START", "*0|"),
        ("LS.TABLE CREATE ids CLIENTHASH32 VOLATILE", "+OK|"),
        ("LS.TABLE CREATE many COMPACTSLOTS HASH", "+OK|"),
        ("LS.TABLE CREATE none COMPACTSLOTS ORDERED", "-ERR LS0211 compact slots are of hash tables, and this one is ordered; leave them away, or make the table hash or client-hash|"),
        ("LS.USE ids", "+OK|"),
        ("SET key1 1", "+OK|"),
        ("GET key1", "$1|1|"),
        ("GET key10", "$-1|"),
        ("LS.PUT ids key1 2 PRESENT COMPACT COMPRESSED EX", "-ERR syntax error|"),
        ("LS.PUT ids key2 2 COMPACT PRESENT", "-ERR syntax error|"),
        ("SET key10 1", "-ERR LS0208 the key has 5 bytes, table 5 takes 4 bytes, a u32|"),
    ]);
    for command in ["LS.CHANGES 0", "LS.JOBS"] {
        assert!(bench.say(command).starts_with("-ERR LS0530 LS."), "{command}");
    }
}

#[test]
fn what_takes_how_much_is_told() {
    let mut bench = Bench::new();
    bench.check(&[("LS.TABLE CREATE a", "+OK|"), ("LS.USE a", "+OK|"), ("SET key value", "+OK|")]);
    let told = bench.say("LS.SPACE");
    assert!(told.starts_with("*32|$12|device_bytes|:0|$8|segments|:0|"), "{told}");
    assert!(told.contains("|$6|tables|*1|*8|$4|name|$1|a|$5|pairs|:1|$12|record_bytes|:"), "{told}");
    bench.check(&[("LS.SPACE more", "-ERR wrong number of arguments for 'ls.space' command|")]);
    // What is in memory has no room to be won back; where there is a device, a pass tells what it did.
    assert!(bench.say("LS.RECLAIM").starts_with("-ERR LS0106 "), "{}", bench.say("LS.RECLAIM"));
}

#[test]
fn several_keys_of_several_tables_are_compared_and_swapped_in_one_message() {
    let mut bench = Bench::new();
    bench.say("LS.TABLE CREATE a");
    bench.say("LS.TABLE CREATE b ORDERED");
    let one = version(&bench.say("LS.PUT a k 1 ABSENT"));
    bench.check(&[("LS.PUT a k 2 ABSENT", "*-1|"), ("LS.PUT a none 2 PRESENT", "*-1|")]);
    let two = version(&bench.say(&format!("LS.PUT a k 2 {one}")));
    assert_ne!(one, two);
    assert_eq!(bench.say(&format!("LS.PUT a k 3 {one}")), "*-1|", "the version has moved");
    let swap = |version: &str| format!("LS.CAS 2 a k {version} b m ABSENT THEN PUT b m x DEL a k PUT a l y");
    assert_eq!(bench.say(&swap(&one)), "*-1|");
    assert_eq!(bench.say("LS.GET b m"), "*-1|", "nothing of it was done");
    assert!(bench.say(&swap(&two)).starts_with("*3|"));
    assert_eq!(bench.say("LS.GET a k"), "*-1|");
    assert!(bench.say("LS.GET b m").starts_with("*4|$1|m|$1|x|"));
    assert_eq!(bench.say(&swap(&two)), "*-1|");
    bench.check(&[
        ("LS.CAS 1 a l PRESENT", "*0|"),
        ("LS.CAS 1 a k PRESENT", "*-1|"),
        ("LS.CAS 9 a l PRESENT", "-ERR LS0503 the count of compares is not that of what follows; nothing was done|"),
        (
            "LS.CAS 1 a l 1.2",
            "-ERR LS0503 '1.2' is not ANY, ABSENT, PRESENT or a version like 1.42.7; nothing was done|",
        ),
        (
            "LS.CAS 1 a l 99999999.1.1",
            "-ERR LS0503 '99999999.1.1' is not ANY, ABSENT, PRESENT or a version like 1.42.7; nothing was done|",
        ),
        ("LS.CAS 0 THEN SET a l", "-ERR LS0503 'SET' is not PUT or DEL; nothing was done|"),
        ("LS.CAS 0", "-ERR syntax error|"),
        ("LS.LEVEL", "$9|committed|"),
        ("LS.LEVEL persistent", "+OK|"),
        ("SET a 1", "+OK|"),
        ("LS.LEVEL", "$10|persistent|"),
        ("RESET", "+RESET|"),
        ("LS.LEVEL", "$9|committed|"),
        ("LS.ABORT", "-ERR LS.ABORT without MULTI|"),
    ]);
    assert!(bench.asked.contains(&"Force".to_owned()), "persistence was asked for: {:?}", bench.asked);
    assert!(bench.say("LS.FLUSH").starts_with('$'));
    assert_eq!(bench.say("WAITAOF 1 0 0"), "*2|:1|:0|");
}
