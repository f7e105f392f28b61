//! `MONITOR`: who watches sees what the others ask, and costs them nothing.

use super::bench::Bench;
use std::fmt::Write as _;

/// The lines that a connection was shown, without their times.
fn lines(shown: &str) -> Vec<&str> {
    let lines = shown.split('|').filter(|line| !line.is_empty());
    lines.map(|line| line.split_once(" [").map_or(line, |(_, line)| line)).collect()
}

#[test]
fn who_watches_sees_the_commands_of_all() {
    let mut bench = Bench::new();
    let watcher = bench.connect();
    bench.say("SET before 1");
    let shown = bench.say_as(watcher, "MONITOR");
    assert_eq!(lines(&shown), ["+OK", "0 unix:2] \"MONITOR\""], "its own command is one");
    bench.check(&[
        ("SET a 1", "+OK|"),
        ("SELECT 3", "+OK|"),
        ("MULTI", "+OK|"),
        ("INCR a", "+QUEUED|"),
        ("EXEC", "*1|:1|"),
        ("NOSUCH", "-ERR LS0504 unknown command 'NOSUCH': lostore does not serve it, see design/redis-differences.md|"),
        (
            "HELLO 2 AUTH me secret",
            "-ERR LS0530 AUTH is not served: there are no passwords, a client has the rights of its user; leave it out|",
        ),
    ]);
    let shown = bench.read(watcher);
    let expected = [
        "0 unix:1] \"SET\" \"a\" \"1\"",
        "3 unix:1] \"SELECT\" \"3\"",
        "3 unix:1] \"MULTI\"",
        "3 unix:1] \"INCR\" \"a\"",
        "3 unix:1] \"EXEC\"",
    ];
    assert_eq!(lines(&shown)[..5], expected);
    assert!(!shown.contains("secret") && !shown.contains("NOSUCH"), "{shown}");
    bench.send(0, b"*2\r\n$3\r\nGET\r\n$3\r\n\xff\r\n\r\n");
    let shown = bench.read(watcher);
    assert!(shown.contains("\"GET\" \"\\xff\\r\\n\""), "{shown}");
    assert_eq!(bench.say_as(watcher, "RESET"), "+RESET|");
    bench.read(watcher);
    bench.say("SET a 2");
    assert_eq!(bench.read(watcher), "", "it watches no more");
}

#[test]
fn long_commands_are_cut_and_missed_ones_are_counted() {
    let mut bench = Bench::new();
    let watcher = bench.connect();
    bench.say_as(watcher, "MONITOR");
    bench.read(watcher);
    bench.say(&format!("SET key {}", "x".repeat(5000)));
    let shown = bench.read(watcher);
    assert!(shown.len() < 520 && shown.ends_with("...|"), "{} bytes", shown.len());
    // More in one go than are kept.
    let mut many = String::new();
    for number in 0..1500 {
        write!(many, "GET {number}\r\n").unwrap();
    }
    bench.send(0, many.as_bytes());
    let shown = bench.read(watcher);
    let told = lines(&shown);
    assert!(told[0].ends_with("476 commands were not shown: they came faster than this client reads"), "{}", told[0]);
    assert_eq!((told.len(), told[1024]), (1025, "0 unix:1] \"GET\" \"1499\""));
    bench.close(watcher);
    bench.say("GET a");
}
