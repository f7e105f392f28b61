//! Commands against a domain in memory: no socket, and a clock that the test moves.

mod bench;
mod feed;
mod limits;
mod order;
mod store;
mod strings;
mod transactions;

use bench::Bench;

#[test]
fn a_connection_is_what_redis_clients_expect() {
    let mut bench = Bench::new();
    bench.check(&[
        ("PING", "+PONG|"),
        ("ping hello", "$5|hello|"),
        ("ECHO 'a b'", "$3|a b|"),
        ("SELECT 3", "+OK|"),
        ("SELECT 16", "-ERR DB index is out of range|"),
        ("SELECT x", "-ERR invalid DB index|"),
        ("CLIENT SETNAME me", "+OK|"),
        ("CLIENT GETNAME", "$2|me|"),
        ("CLIENT SETINFO LIB-NAME redis-py", "+OK|"),
        ("CLIENT ID", ":1|"),
        (
            "CLIENT SETNAME 'a b'",
            "-ERR Client names cannot contain spaces, newlines or special characters, and have at most 64 bytes.|",
        ),
        ("RESET", "+RESET|"),
        ("CLIENT GETNAME", "$-1|"),
        ("HELLO 4", "-NOPROTO unsupported protocol version|"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range|"),
        ("GET", "-ERR wrong number of arguments for 'get' command|"),
        ("get a b", "-ERR wrong number of arguments for 'get' command|"),
        ("CONFIG GET save", "*2|$4|save|$0||"),
        ("CONFIG GET append*", "*4|$11|appendfsync|$8|everysec|$10|appendonly|$3|yes|"),
        ("WAIT 0 10", ":0|"),
        ("ACL WHOAMI", "$7|default|"),
    ]);
    let hello = bench.say("HELLO 3 SETNAME x");
    assert!(hello.starts_with("%7|$6|server|$7|lostore|$7|version|"), "{hello}");
    assert!(hello.ends_with("|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|"), "{hello}");
    bench.check(&[("GET nothing", "_|"), ("CONFIG GET save", "%1|$4|save|$0||"), ("HELLO 2 AUTH a b", AUTH)]);
    assert!(bench.say("INFO server").starts_with('='));
    bench.check(&[("QUIT", "+OK|")]);
    assert!(bench.ends(0));
}

const AUTH: &str =
    "-ERR LS0530 AUTH is not served: there are no passwords, a client has the rights of its user; leave it out|";

#[test]
fn what_is_not_served_is_an_error_that_says_so_and_ends_nothing() {
    let mut bench = Bench::new();
    for command in
        ["LPUSH a 1", "SUBSCRIBE a", "EVAL 'return 1' 0", "CLUSTER INFO", "x\\y", "CONFIG SET a b", "SHUTDOWN"]
    {
        let reply = bench.say(command);
        assert!(reply.starts_with("-ERR LS05") && reply.ends_with('|'), "{command}: {reply}");
        assert!(reply.contains("not serve"), "{command}: {reply}");
    }
    bench.check(&[("PING", "+PONG|")]);
    let long = format!("{} a", "x".repeat(1000));
    assert!(bench.say(&long).len() < 200);
}

#[test]
fn the_table_of_commands_is_sorted_and_found_in_any_case() {
    use super::command::{Does, find};
    use super::table::{COMMANDS, NAME_BYTES_MAX};
    assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
    for spec in COMMANDS {
        assert!(spec.name.len() <= NAME_BYTES_MAX && spec.name.bytes().all(|byte| !byte.is_ascii_lowercase()));
        assert_eq!(find(spec.name.to_ascii_lowercase().as_bytes()).map(|found| found.name), Some(spec.name));
        let on_keys = matches!(spec.does, Does::Read(..) | Does::Write(..));
        assert!(!on_keys || spec.keys != super::command::Keys::None, "{} is on keys", spec.name);
    }
    let mut bench = Bench::new();
    let count = bench.say("COMMAND COUNT");
    assert_eq!(count, format!(":{}|", COMMANDS.len()));
    assert!(bench.say("COMMAND").starts_with(&format!("*{}|", COMMANDS.len())));
    assert!(bench.say("COMMAND INFO get nothing").starts_with("*2|*10|$3|get|:2|*2|+readonly|+fast|:1|:1|:1|"));
    assert!(bench.say("COMMAND DOCS get").starts_with("*2|$3|get|*6|$7|summary|"));
}

#[test]
fn the_document_lists_what_is_served() {
    let text = include_str!("../../../design/redis-differences.md");
    let list = text.split("```text\n").nth(1).and_then(|behind| behind.split("```").next()).unwrap();
    let served: Vec<&str> = super::table::COMMANDS.iter().map(|spec| spec.name).collect();
    assert_eq!(list.split_whitespace().collect::<Vec<_>>(), served);
}

#[test]
fn bytes_that_are_no_commands_end_their_connection_only() {
    let mut bench = Bench::new();
    let other = bench.connect();
    assert_eq!(bench.send(0, b"PING\r\n*1\r\n:1\r\nPING\r\n"), "+PONG|-ERR Protocol error: expected '$', got ':'|");
    assert!(bench.ends(0));
    assert_eq!(bench.send(other, b"PING\r\n"), "+PONG|");
    let http = bench.connect();
    assert!(bench.send(http, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200 "));
    assert!(!bench.ends(http), "it may ask again");
}

#[test]
fn databases_are_apart_and_can_be_emptied() {
    let mut bench = Bench::new();
    bench.check(&[
        ("DBSIZE", ":0|"),
        ("SET a 1", "+OK|"),
        ("SELECT 1", "+OK|"),
        ("GET a", "$-1|"),
        ("SET b 2", "+OK|"),
        ("SET c 3", "+OK|"),
        ("DBSIZE", ":2|"),
        ("FLUSHDB", "+OK|"),
        ("DBSIZE", ":0|"),
        ("GET b", "$-1|"),
        ("SET b 4", "+OK|"),
        ("SELECT 0", "+OK|"),
        ("GET a", "$1|1|"),
        ("FLUSHALL ASYNC", "+OK|"),
        ("GET a", "$-1|"),
        ("INCR a", ":1|"),
        ("SELECT 1", "+OK|"),
        ("GET b", "$-1|"),
    ]);
    let info = bench.say("INFO keyspace");
    assert!(info.contains("db0:keys=1,expires=0"), "{info}");
}

#[test]
fn a_scan_returns_every_key_that_stays_exactly_once() {
    let mut bench = Bench::new();
    for number in 0..100 {
        bench.say(&format!("SET key:{number} x"));
    }
    let (mut cursor, mut seen, mut rounds) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let reply = bench.say(&format!("SCAN {cursor} COUNT 7 MATCH key:*"));
        let mut words = reply.split('|').filter(|word| !word.starts_with(['*', '$']));
        cursor = words.next().unwrap().to_owned();
        seen.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
        bench.say(&format!("DEL gone:{rounds}"));
        bench.say(&format!("SET new:{rounds} x"));
        rounds += 1;
        if cursor == "0" {
            break;
        }
    }
    seen.sort();
    let before = seen.len();
    seen.dedup();
    assert_eq!((seen.len(), before), (100, 100));
    assert!(rounds >= 14, "{rounds}");
    bench.check(&[
        ("SCAN 99999", "-ERR LS0531 the cursor is not known: it is of another table, or too many iterations came after it; begin with SCAN 0|"),
        ("SCAN x", "-ERR invalid cursor|"),
        ("SCAN 0 COUNT 0", "-ERR syntax error|"),
        ("SCAN 0 TYPE list COUNT 1000", "*2|$1|0|*0|"),
        ("KEYS key:9?", &format!("*10|{}", (90..100).map(|n| format!("$6|key:{n}|")).collect::<String>())),
        ("SELECT 7", "+OK|"),
        ("SCAN 0", "*2|$1|0|*0|"),
        ("RANDOMKEY", "$-1|"),
        ("SET only x", "+OK|"),
        ("RANDOMKEY", "$4|only|"),
    ]);
}
