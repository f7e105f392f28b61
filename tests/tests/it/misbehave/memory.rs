//! Many connections that want more memory together than the daemon may take.

use super::{Probe, Watch, until};
use crate::process::{self, Daemon, text};
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, PutOptions, Store, plain_spec};
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use wire::{FrameWriter, Header, Hello, Kind};

/// Connections that misbehave.
const CONNECTIONS: usize = 200;
/// The daemon's memory for all connections, for 256 of them, and the part of the one user that there is.
const MEMORY: [&str; 6] = ["--memory", "64M", "--memory-per-user", "48M", "--connections", "256"];
const MEMORY_BYTES: u64 = 64 << 20;
/// What the daemon may take beside: the memory that the allocator keeps, rounding, the probe's records and the log's pages.
const SLACK_BYTES: u64 = 32 << 20;

/// A daemon with that memory. Its cache is small, so that the connections' memory is what there is to see.
fn daemon(dir: &std::path::Path) -> Daemon {
    let mut line = vec!["serve", text(dir), "-o", "json", "--segment", "1M", "--cache", "1M"];
    line.extend(MEMORY);
    line.extend(["--connections-per-user", "250"]);
    Daemon::run(dir, process::lostore(&line))
}

fn hello() -> Vec<u8> {
    let (client_name, client_version) = ("slow", "1");
    let hello = Hello {
        version_min: 1,
        version_max: 1,
        features: 0,
        in_order: false,
        client_name,
        client_version,
        known: None,
    };
    let mut writer = FrameWriter::new(u32::MAX);
    writer.hello(1, &hello).unwrap();
    writer.take()
}

/// The largest frame that this daemon takes.
fn frame_bytes_max(watch: &Watch) -> u32 {
    let AnyBackend::Remote(remote) = watch.store.backend() else { panic!("the store is a daemon's") };
    remote.greeting().limits.request_frame_bytes
}

/// The beginning of the largest frame there may be.
fn native(bytes: u32) -> Vec<u8> {
    let header = Header {
        kind: Kind::Request.number(),
        flags: 0,
        body_bytes: 16,
        tail_bytes: bytes - 16,
        deadline_ms: 0,
        id: 7,
    };
    [&hello()[..], &header.encode()[..]].concat()
}

/// The beginning of a command whose value is nearly as large.
fn resp(bytes: u32) -> Vec<u8> {
    format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", bytes - 4096).into_bytes()
}

/// A connection that has announced a frame and sends it as fast or as slowly as it likes.
struct Sender {
    stream: UnixStream,
    left: usize,
}

impl Sender {
    fn new(daemon: &Daemon, begin: &[u8], left: usize) -> Self {
        let mut stream = UnixStream::connect(daemon.socket()).unwrap();
        stream.write_all(begin).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, left }
    }

    /// Sends at most so much; says how much the socket took.
    fn send(&mut self, bytes: &[u8]) -> usize {
        match self.stream.write(&bytes[..bytes.len().min(self.left)]) {
            Ok(count) => {
                self.left -= count;
                count
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "nobody is cut off while others wait: {error}");
                0
            }
        }
    }
}

/// So many of them are let in, one after the other, until the test has seen enough.
const TURNS: usize = 25;

/// 200 connections announce the largest frame there may be: all send a little now and then, and then as much as is taken from them.
/// One that was taken all of but the last bytes gives up, and the next one has its turn.
fn at_once(begin: fn(u32) -> Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(&dir.path().join("store"));
    let watch = Watch::new(&daemon);
    let probe = Probe::start(&daemon);
    probe.goes_on(50);
    let (before, resident) = (watch.baseline(), watch.resident());
    let frame = frame_bytes_max(&watch);
    assert!(u64::from(frame) * 200 > 8 * MEMORY_BYTES, "together they want far more than there is: {frame} each");
    let mut senders: Vec<Sender> =
        (0..CONNECTIONS).map(|_| Sender::new(&daemon, &begin(frame), frame as usize - 8192)).collect();
    until("all but those that fit wait", || watch.connections().waiting > 150);
    let check = || {
        let (now, held) = (watch.resident(), watch.connections());
        assert!(held.bytes <= held.bytes_max, "{held:?}");
        assert!(now <= resident + MEMORY_BYTES + SLACK_BYTES, "{now} bytes are resident, {resident} were before");
        now
    };
    for _ in 0..20 {
        senders.iter_mut().for_each(|sender| assert!(sender.send(&[0]) <= 1));
        probe.goes_on(1);
        check();
    }
    // As much as is taken: those that were let in are taken from to the end, the others no further than their sockets hold.
    let (piece, mut most, mut sent) = (vec![0; 128 << 10], 0, 0);
    until("everybody has a turn", || {
        sent += senders.iter_mut().map(|sender| sender.send(&piece) as u64).sum::<u64>();
        most = most.max(check());
        senders.retain(|sender| sender.left > 0);
        senders.len() <= CONNECTIONS - TURNS
    });
    probe.goes_on(20);
    println!("200 announced {frame} bytes each and sent {sent}; {resident} bytes resident before, {most} at most");
    assert!(sent > MEMORY_BYTES, "there was something to hold back");
    assert_eq!(watch.connections().refused, 0);
    drop(senders);
    watch.back_to(&before);
    println!("the probe did {} rounds", probe.stop());
    drop(watch);
    daemon.stop();
}

#[test]
fn two_hundred_half_sent_frames_stay_within_the_memory() {
    at_once(native);
}

#[test]
fn two_hundred_half_sent_commands_stay_within_the_memory() {
    at_once(resp);
}

/// A store of this process.
fn inside(dir: &std::path::Path) -> Store<AnyBackend> {
    let dir = dir.join("inside");
    std::fs::create_dir(&dir).unwrap();
    Store::new(AnyBackend::Shared(lostore::Options::default().open(&dir).unwrap().0))
}

/// A commit larger than a frame goes through the socket as it does inside the process: whole or not at all, with the same answer.
#[test]
fn a_commit_above_the_frame_is_committed_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(&dir.path().join("store"));
    let watch = Watch::new(&daemon);
    let frame = frame_bytes_max(&watch) as usize;
    let inside = inside(dir.path());
    for store in [inside, daemon.connect()] {
        let table = store.create_raw("t", plain_spec(TableKind::Ordered, TableHome::Persistent)).unwrap();
        // As much as fits one frame, a byte more, and many times as much: 64 bytes are more than a part has beside key and value.
        for (round, bytes) in [(0_u8, frame - 200), (1, frame - 64 + 1), (2, 4 * frame + 1)] {
            let mut txn = store.txn();
            let values = [frame / 2, bytes % (frame / 2)];
            let halves = bytes / (frame / 2);
            for (number, value) in (0..halves).map(|_| values[0]).chain([values[1]]).enumerate() {
                let key = [round, u8::try_from(number).unwrap()];
                txn.raw(&table).insert(&key, &vec![round; value], PutOptions::default()).unwrap();
            }
            let ticket = txn.commit().unwrap();
            ticket.persistent().unwrap();
            let found: usize = table
                .iter()
                .map(|pair| pair.unwrap())
                .filter(|pair| pair.key[0] == round)
                .map(|pair| pair.value.len())
                .sum();
            assert_eq!(found, bytes);
            // All or nothing: one that is there already refuses all of them, and says which.
            let mut again = store.txn();
            for number in 0..=u8::try_from(halves).unwrap() {
                let key = [round + 100 * u8::from(number > 0), number];
                again.raw(&table).insert(&key, &vec![9; frame / 2], PutOptions::default()).unwrap();
            }
            assert_eq!(again.commit().map(|_| ()).unwrap_err().code(), 303);
            assert_eq!(table.get(&[round + 100, 1]).unwrap(), None);
        }
    }
    assert_eq!(watch.connections().refused, 0);
}

/// As many parts as a commit may have, and one more.
#[test]
fn a_commit_has_as_many_parts_over_the_socket_as_inside_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&dir.path().join("store"));
    let inside = inside(dir.path());
    for store in [inside, daemon.connect()] {
        let table = store.create_raw("t", plain_spec(TableKind::Ordered, TableHome::Volatile)).unwrap();
        let mut txn = store.txn();
        for number in 0..65_536_u32 {
            txn.raw(&table).upsert(&number.to_le_bytes(), b"", PutOptions::default()).unwrap();
        }
        let more = txn.raw(&table).upsert(b"one more", b"", PutOptions::default()).unwrap_err();
        assert_eq!(more.code(), 302, "{more}");
        txn.commit().unwrap();
        assert_eq!(table.iter().count(), 65_536);
    }
}
