//! One client, or a thousand, doing one thing wrong.

use super::{Probe, Watch, until};
use crate::bad_input::frames::{Raw, Seen, hello, put, request};
use crate::process::{self, Daemon, text};
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use wire::{Bytes, CommitOptions, FrameWriter, Level, List, Op};

/// A daemon with a small cache that takes this many connections, all of one user.
fn daemon(dir: &Path, shell: &str, connections: &str) -> Daemon {
    let line = [
        ["serve", text(dir)],
        ["-o", "json"],
        ["--segment", "1M"],
        ["--cache", "1M"],
        ["--connections", connections],
        ["--connections-per-user", connections],
    ];
    Daemon::run(dir, process::behind(shell, line.as_flattened()))
}

/// A daemon that serves while somebody misbehaves, and afterwards holds no more than before.
pub(super) fn beside(misbehave: impl FnOnce(&Daemon, &Watch, &Probe)) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let daemon = daemon(&dir, "true", "1100");
    let watch = Watch::new(&daemon);
    let probe = Probe::start(&daemon);
    probe.goes_on(5);
    let before = watch.baseline();
    misbehave(&daemon, &watch, &probe);
    watch.back_to(&before);
    probe.goes_on(5);
    probe.stop();
    drop(watch);
    daemon.stop();
}

fn txn_requests(table: u32) -> Vec<u8> {
    let txn = 1 << 32;
    let part = wire::Part {
        table,
        key: Bytes(b"never"),
        expect: wire::Expect::Any,
        change: wire::Change::Put { value: wire::Value::new(b"x"), expires_ms: None, compressed: false },
    };
    let options = CommitOptions { level: Level::Committed, force: false, notify: false };
    [
        request(2, Op::TxnOpen),
        request(3, Op::TxnAdd { txn, parts: List::new(vec![part]).unwrap() }),
        request(4, Op::TxnCommit { txn, options }),
    ]
    .concat()
}

/// The table that the probe works on.
pub(super) fn probes_table(watch: &Watch) -> u32 {
    watch.store.open_raw("probe").unwrap().id().0
}

#[test]
fn those_who_connect_and_say_nothing_cost_little_and_are_closed() {
    beside(|daemon, watch, probe| {
        let count = watch.connections().count;
        let silent: Vec<_> = (0..1000).map(|_| UnixStream::connect(daemon.socket()).unwrap()).collect();
        until("all are taken", || watch.connections().count >= count + 900);
        probe.goes_on(5);
        // Nobody waits for them for ever: after five seconds without a hello they are told so and closed.
        until("they are closed", || watch.connections().count == count);
        drop(silent);
    });
}

#[test]
fn a_thousand_idle_connections_hold_less_than_a_page_each() {
    beside(|daemon, watch, probe| {
        let resident = watch.resident();
        let mut idle: Vec<Raw> = (0..1000).map(|_| Raw::greeted(daemon)).collect();
        probe.goes_on(5);
        until("a page for each, at most", || watch.connections().bytes <= 1000 * 4096);
        let each = watch.resident().saturating_sub(resident) / 1000;
        println!("1000 idle connections: {each} bytes resident for each, with what the allocator keeps");
        // They are idle, not gone.
        for raw in &mut idle {
            raw.send(&request(9, Op::Ping));
        }
        assert!(idle.iter_mut().all(|raw| raw.next() == Seen::Done));
    });
}

#[test]
fn one_who_never_reads_is_not_read_either() {
    beside(|daemon, watch, probe| {
        let table = probes_table(watch);
        let mut raw = Raw::greeted(daemon);
        raw.send(&put(table, b"large", &vec![7; 100_000]));
        assert_eq!(raw.next(), Seen::Done);
        raw.stream.set_nonblocking(true).unwrap();
        let mut writer = FrameWriter::new(u32::MAX);
        for id in 1..=100_000 {
            writer.request(id, 0, Op::Lookup { table, key: Bytes(b"large") }).unwrap();
        }
        let (bytes, mut sent) = (writer.take(), 0);
        // It sends as long as it can; soon nothing is taken any more.
        until("it is not read", || {
            let count = raw.stream.write(&bytes[sent..]).unwrap_or(0);
            sent += count;
            assert!(sent < bytes.len(), "ten gigabytes of replies were begun");
            count == 0 && watch.connections().bytes > 1 << 20
        });
        probe.goes_on(5);
        let held = watch.connections().bytes;
        assert!(held < 64 << 20, "{held} bytes for one who does not read");
        // It sends no more and goes.
    });
}

#[test]
fn a_million_requests_in_one_go_are_answered_in_their_order() {
    const REQUESTS: u64 = 1_000_000;
    beside(|daemon, _watch, probe| {
        let mut raw = Raw::greeted(daemon);
        let mut stream = raw.stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut writer = FrameWriter::new(u32::MAX);
                for id in 1..=REQUESTS {
                    writer.request(id, 0, Op::Ping).unwrap();
                }
                stream.write_all(writer.bytes()).unwrap();
            });
            for id in 1..=REQUESTS {
                assert_eq!(raw.next(), Seen::Done, "request {id}");
            }
        });
        probe.goes_on(1);
    });
}

#[test]
fn every_flipped_bit_costs_no_more_than_its_own_connection() {
    beside(|daemon, watch, _probe| {
        // A table that is not there, so that no flip changes what others look at.
        let frames = [put(1 << 20, b"key", b"value"), request(7, Op::Lookup { table: 1 << 20, key: Bytes(b"key") })];
        let count = watch.connections().count;
        for frame in frames {
            for bit in 0..frame.len() * 8 {
                let mut flipped = frame.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let mut raw = Raw::new(daemon);
                raw.send(&[hello(), flipped].concat());
                raw.stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(raw.next(), Seen::Welcome);
                // Whatever it means now is answered, refused, or cut off by the end.
                raw.drain();
            }
        }
        until("all are gone", || watch.connections().count == count);
    });
}

#[test]
fn a_disconnect_at_every_byte_leaves_no_transaction() {
    beside(|daemon, watch, _probe| {
        let table = probes_table(watch);
        let bytes = txn_requests(table);
        let whole = bytes.len();
        for half in [false, true] {
            for end in 0..whole {
                let mut raw = Raw::greeted(daemon);
                raw.send(&bytes[..end]);
                if half {
                    raw.stream.shutdown(Shutdown::Write).unwrap();
                    raw.drain();
                }
            }
        }
        let found = watch.store.open_raw("probe").unwrap().get(b"never").unwrap();
        assert_eq!(found, None, "what was not committed has not happened");
    });
}

#[test]
fn transactions_that_are_held_or_forged_are_nobody_elses() {
    beside(|daemon, watch, probe| {
        let mut holder = Raw::greeted(daemon);
        for id in 1..=64 {
            holder.send(&request(id, Op::TxnOpen));
            assert_eq!(holder.next(), Seen::Done);
        }
        holder.send(&request(65, Op::TxnOpen));
        assert_eq!(holder.refusal().code, 510);
        probe.goes_on(5);
        // A handle means nothing on another connection, however it was come by.
        let mut thief = Raw::greeted(daemon);
        let options = CommitOptions { level: Level::Committed, force: false, notify: false };
        for txn in [0, 1, 1 << 32, (1 << 32) + 63, (2 << 32) + 1, u64::MAX] {
            thief.send(&request(1, Op::TxnCommit { txn, options }));
            assert_eq!(thief.refusal().code, 509);
            thief.send(&request(1, Op::TxnAbort { txn }));
            assert_eq!(thief.refusal().code, 509);
            thief.send(&request(1, Op::TxnLookup { txn, table: probes_table(watch), key: Bytes(b"k") }));
            assert_eq!(thief.refusal().code, 509);
        }
        for txn in [1_u64 << 32, (1 << 32) + 63] {
            holder.send(&request(1, Op::TxnAbort { txn }));
            assert_eq!(holder.next(), Seen::Done, "it is still the holder's");
            holder.send(&request(1, Op::TxnAbort { txn }));
            assert_eq!(holder.refusal().code, 509, "and only once");
        }
    });
}

/// A client as a process of its own, that pings without end.
fn pinging(daemon: &Daemon) -> Child {
    let socket = daemon.socket();
    let line = ["ping", "-c", "1000000", "--socket", text(&socket)];
    process::lostore(&line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn clients_that_are_stopped_or_killed_are_nobody_elses_trouble() {
    beside(|daemon, watch, probe| {
        let count = watch.connections().count;
        let mut clients: Vec<Child> = (0..4).map(|_| pinging(daemon)).collect();
        until("they are connected", || watch.connections().count == count + 4);
        for client in &clients {
            assert!(Command::new("kill").args(["-STOP", &client.id().to_string()]).status().unwrap().success());
        }
        probe.goes_on(20);
        assert_eq!(watch.connections().count, count + 4, "a client that stands still between requests may");
        for client in &mut clients {
            client.kill().unwrap();
            client.wait().unwrap();
        }
    });
}

#[test]
fn ten_thousand_short_connections_leave_nothing() {
    beside(|daemon, watch, probe| {
        let before = watch.resident();
        for number in 0..10_000 {
            let mut stream = UnixStream::connect(daemon.socket()).unwrap();
            if number % 3 > 0 {
                // Some say hello and do not wait for the answer.
                let _ = stream.write_all(&hello());
            }
        }
        probe.goes_on(5);
        until("what they took is given back", || watch.resident() < before + (8 << 20));
    });
}

#[test]
fn without_descriptors_those_who_are_connected_are_served_and_others_wait() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let daemon = daemon(&dir, "ulimit -n 48", "1000");
    let watch = Watch::new(&daemon);
    let probe = Probe::start(&daemon);
    let before = watch.baseline();
    let mut many: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(daemon.socket()).unwrap()).collect();
    until("there is no descriptor left", || watch.descriptors() >= 48);
    probe.goes_on(20);
    // The first that go make room for those that wait.
    many.drain(..90);
    for stream in &mut many {
        stream.write_all(&hello()).unwrap();
    }
    let mut raw = Raw::greeted(&daemon);
    raw.send(&request(1, Op::Ping));
    assert_eq!(raw.next(), Seen::Done);
    drop((many, raw));
    watch.back_to(&before);
    probe.stop();
    drop(watch);
    daemon.stop();
}

#[test]
fn a_socket_that_is_taken_away_ends_nobody_who_is_connected() {
    beside(|daemon, watch, probe| {
        let (socket, aside) = (daemon.socket(), daemon.socket().with_extension("aside"));
        std::fs::rename(&socket, &aside).unwrap();
        std::fs::write(&socket, "something else").unwrap();
        probe.goes_on(20);
        assert!(UnixStream::connect(&socket).is_err(), "nobody listens in a file");
        std::fs::remove_file(&socket).unwrap();
        std::fs::rename(&aside, &socket).unwrap();
        let mut raw = Raw::greeted(daemon);
        raw.send(&request(1, Op::Lookup { table: probes_table(watch), key: Bytes(b"k") }));
        assert_eq!(raw.next(), Seen::Done);
    });
}
