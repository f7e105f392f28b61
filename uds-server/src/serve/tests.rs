//! A real socket, a real ring, and the loop of a shard; behind them a real store.

use super::*;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;
use uring::{Bell, Stream};
use wire::{FrameReader, FrameWriter, Hello, Outcome};

/// A server on a thread of its own, and the bell that stops it.
struct Server {
    thread: std::thread::JoinHandle<Result<(), Error>>,
    bell: Bell,
}

fn start(directory: &Path, io: IoKind, change: impl FnOnce(&mut ServeConfig)) -> Server {
    let doorbell = Doorbell::new().unwrap();
    let bell = doorbell.bell();
    let mut config = ServeConfig::new(directory.to_owned(), directory.join("socket"));
    config.termination = Some(doorbell);
    config.io = io;
    change(&mut config);
    let (ready, is_ready) = mpsc::channel();
    let thread = std::thread::spawn(move || serve(&config, &Config::default(), |_| ready.send(()).unwrap()));
    is_ready.recv().unwrap();
    Server { thread, bell }
}

impl Server {
    fn stop(self, socket: &Path) {
        self.bell.ring();
        self.thread.join().unwrap().unwrap();
        assert!(!socket.exists(), "the socket's file is gone");
    }
}

fn connect(socket: &Path) -> Stream {
    let stream = uring::socket::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Reads frames until so many have come, or the stream ends.
fn read(stream: &mut Stream, frames: usize) -> Vec<(u64, Option<u16>)> {
    let mut reader = FrameReader::new(u32::MAX);
    let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
    while seen.len() < frames {
        // A signal, that of being stopped and continued for one, ends a read that has a timeout.
        let count = match stream.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.unwrap(),
        };
        if count == 0 {
            break;
        }
        reader.push(&bytes[..count]);
        while let Some(frame) = reader.frame().unwrap() {
            let fault = frame.reply().ok().and_then(|reply| match reply.outcome {
                Outcome::Err(fault) => Some(fault.code),
                Outcome::Ok(_) => None,
            });
            seen.push((frame.header.id, fault));
            reader.advance();
        }
    }
    seen
}

fn greeting() -> FrameWriter {
    let (client_name, client_version) = ("test", "1");
    let hello =
        Hello { version_min: 1, version_max: 1, features: 0, in_order: true, client_name, client_version, known: None };
    let mut writer = FrameWriter::new(u32::MAX);
    writer.hello(1, &hello).unwrap();
    writer
}

fn serves_and_stops(io: IoKind) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let server = start(directory.path(), io, |_| {});
    let mut stream = connect(&socket);
    let mut writer = greeting();
    for id in 2..=1001 {
        writer.request(id, 0, wire::Op::Lookup { table: 0, key: wire::Bytes(b"k") }).unwrap();
    }
    stream.write_all(writer.bytes()).unwrap();
    let expected: Vec<_> = (1..=1001).map(|id| (id, None)).collect();
    assert_eq!(read(&mut stream, 1001), expected);
    // One that talks nonsense is told so and ended; the other is served on.
    let mut noise = connect(&socket);
    noise.write_all(b"\x01PING\r\n").unwrap();
    assert_eq!(read(&mut noise, 2), [(0, Some(wire::codes::NOT_A_FRAME))]);
    let mut more = FrameWriter::new(u32::MAX);
    more.request(5, 0, wire::Op::Ping).unwrap();
    stream.write_all(more.bytes()).unwrap();
    assert_eq!(read(&mut stream, 1), [(5, None)]);
    server.stop(&socket);
    assert_eq!(read(&mut stream, 1), [], "the stream ends with the server");
}

#[test]
fn a_thousand_requests_through_a_socket_and_a_clean_stop() {
    serves_and_stops(IoKind::Auto);
}

#[test]
fn the_same_without_a_ring() {
    serves_and_stops(IoKind::Posix);
}

#[test]
fn strangers_are_told_and_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let server = start(directory.path(), IoKind::Auto, |config| config.uids = vec![u32::MAX]);
    let mut stream = connect(&socket);
    assert_eq!(read(&mut stream, 2), [(0, Some(wire::codes::ACCESS_DENIED))]);
    server.stop(&socket);
}

#[test]
fn a_connection_too_many_is_told_and_room_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let server = start(directory.path(), IoKind::Auto, |config| config.limits.connections_max = 1);
    let mut first = connect(&socket);
    first.write_all(greeting().bytes()).unwrap();
    assert_eq!(read(&mut first, 1), [(1, None)]);
    let mut second = connect(&socket);
    assert_eq!(read(&mut second, 2), [(0, Some(wire::codes::CONNECTIONS_FULL))]);
    drop(first);
    // The server hears of it in its own time, but it does.
    loop {
        let mut third = connect(&socket);
        let _ = third.write_all(greeting().bytes());
        if read(&mut third, 1) == [(1, None)] {
            break;
        }
    }
    server.stop(&socket);
}

#[test]
fn a_second_server_is_refused_and_a_stale_socket_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let server = start(directory.path(), IoKind::Posix, |_| {});
    let config = ServeConfig::new(directory.path().to_owned(), socket.clone());
    let refused = serve(&config, &Config::default(), |_| unreachable!("it never serves"));
    assert!(matches!(refused, Err(Error::Open(OpenError::Machine(uring::Error::InUse { .. })))), "{refused:?}");
    assert!(socket.exists(), "the first one's socket is left alone");
    server.stop(&socket);
    drop(std::os::unix::net::UnixListener::from(rebind(&socket)));
    assert!(socket.exists(), "a dead server's socket stays behind");
    start(directory.path(), IoKind::Posix, |_| {}).stop(&socket);
}

fn rebind(socket: &Path) -> std::os::fd::OwnedFd {
    std::os::unix::net::UnixListener::bind(socket).unwrap().into()
}

/// Serves a real store while `talk` lasts.
fn with_store(directory: &Path, talk: impl FnOnce(&mut Stream)) {
    let socket = directory.join("socket");
    let doorbell = Doorbell::new().unwrap();
    let bell = doorbell.bell();
    let mut config = ServeConfig::new(directory.to_owned(), socket.clone());
    config.termination = Some(doorbell);
    let (ready, is_ready) = mpsc::channel();
    let thread = std::thread::spawn(move || serve(&config, &Config::default(), |_| ready.send(()).unwrap()));
    is_ready.recv().unwrap();
    let mut stream = connect(&socket);
    talk(&mut stream);
    bell.ring();
    thread.join().unwrap().unwrap();
}

fn spec() -> wire::TableSpec<'static> {
    let (kind, home) = (wire::TableKind::Hash, wire::TableHome::Persistent);
    let (key, record) = (wire::List::default(), wire::List::default());
    wire::TableSpec { type_name: "bytes", kind, home, key, record, pairs_hint: 0 }
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let value = vec![7; 10_000];
    with_store(directory.path(), |stream| {
        let mut writer = greeting();
        writer.request(2, 0, wire::Op::CreateTable { name: "t", spec: spec() }).unwrap();
        stream.write_all(writer.bytes()).unwrap();
        assert_eq!(read(stream, 2), [(1, None), (2, None)]);
        let change = wire::Change::Put { value: wire::Value::new(&value), expires_ms: None, compressed: false };
        let part = wire::Part { table: 1, key: wire::Bytes(b"k"), expect: wire::Expect::Absent, change };
        let options = wire::CommitOptions { level: wire::Level::Committed, force: false, notify: false };
        let mut writer = FrameWriter::new(u32::MAX);
        let parts = wire::List::new(vec![part]).unwrap();
        writer.request(3, 0, wire::Op::Commit { parts, options }).unwrap();
        stream.write_all(writer.bytes()).unwrap();
        assert_eq!(read(stream, 1), [(3, None)]);
    });
    with_store(directory.path(), |stream| {
        let mut writer = greeting();
        writer.request(2, 0, wire::Op::Lookup { table: 1, key: wire::Bytes(b"k") }).unwrap();
        stream.write_all(writer.bytes()).unwrap();
        let mut reader = FrameReader::new(u32::MAX);
        let mut bytes = [0; 4096];
        loop {
            // A signal, that of being stopped and continued for one, ends a read that has a timeout.
            let count = match stream.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.unwrap(),
            };
            assert!(count > 0, "the server goes on");
            reader.push(&bytes[..count]);
            let Some(frame) = reader.frame().unwrap() else { continue };
            if frame.header.id == 1 {
                reader.advance();
            }
            let Some(frame) = reader.frame().unwrap() else { continue };
            let Outcome::Ok(wire::Answer::Pair(Some(pair))) = frame.reply().unwrap().outcome else {
                panic!("the pair is there: {:?}", frame.reply());
            };
            assert_eq!(pair.value.bytes(), value);
            return;
        }
    });
}
