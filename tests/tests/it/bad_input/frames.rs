//! What a connection may be fed: bytes that are no frames, frames that are no requests, requests that no table takes.

use super::{Good, Refusal, check};
use crate::process::Daemon;
use lostore::schema::{Field, FieldType, TableHome, TableKind, TableSpec};
use lostore::{PutOptions, plain_spec};
use segments::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tests::rng::Rng;
use wire::limits::{HELLO_FRAME_BYTES_MAX, REQUEST_FRAME_BYTES_MAX};
use wire::{Bytes, Change, CommitOptions, Expect, FrameReader, FrameWriter, Header, Hello, Kind, List, Op, Outcome};

/// A connection on which anything may be sent.
pub(crate) struct Raw {
    pub(crate) stream: UnixStream,
    reader: FrameReader,
}

/// What came back for a request.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Welcome,
    Done,
    /// Code and text.
    Refused(u16, String),
    /// The connection has ended.
    End,
}

impl Raw {
    pub(crate) fn new(daemon: &Daemon) -> Self {
        Self::over(UnixStream::connect(daemon.socket()).unwrap())
    }

    /// Over a connection that somebody made.
    pub(crate) fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Self { stream, reader: FrameReader::new(u32::MAX) }
    }

    /// One that was greeted.
    pub(crate) fn greeted(daemon: &Daemon) -> Self {
        let mut raw = Self::new(daemon);
        raw.send(&hello());
        assert_eq!(raw.next(), Seen::Welcome);
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // The server may refuse and close before everything is written.
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn next(&mut self) -> Seen {
        let mut bytes = [0; 4096];
        loop {
            if let Some(frame) = self.reader.frame().unwrap() {
                let seen = match frame.reply().map(|reply| reply.outcome) {
                    Ok(Outcome::Err(fault)) => Seen::Refused(fault.code, fault.message.to_owned()),
                    Ok(Outcome::Ok(_)) => Seen::Done,
                    Err(_) => frame.welcome().map(|_| Seen::Welcome).unwrap(),
                };
                self.reader.advance();
                return seen;
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return Seen::End,
                Ok(count) => self.reader.push(&bytes[..count]),
                // A signal, that of being stopped and continued for one, ends a read that has a timeout.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                    return Seen::End;
                }
            }
        }
    }

    /// Reads whatever comes until the connection ends.
    pub(crate) fn drain(&mut self) {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn refusal(&mut self) -> Refusal {
        match self.next() {
            Seen::Refused(code, text) => Refusal { code, text },
            other => panic!("a refusal was wanted, not {other:?}"),
        }
    }
}

pub(crate) fn hello() -> Vec<u8> {
    let (client_name, client_version) = ("test", "1");
    let hello =
        Hello { version_min: 1, version_max: 1, features: 0, in_order: true, client_name, client_version, known: None };
    let mut writer = FrameWriter::new(u32::MAX);
    writer.hello(1, &hello).unwrap();
    writer.take()
}

pub(crate) fn request(id: u64, op: Op<'_>) -> Vec<u8> {
    let mut writer = FrameWriter::new(u32::MAX);
    writer.request(id, 0, op).unwrap();
    writer.take()
}

/// A header and what follows it, whatever that is.
fn frame(kind: u8, body_bytes: u32, body: &[u8]) -> Vec<u8> {
    let header = Header { kind, flags: 0, body_bytes, tail_bytes: 0, deadline_ms: 0, id: 7 };
    [&header.encode()[..], body].concat()
}

pub(crate) fn put(table: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
    let change = Change::Put { value: wire::Value::new(value), expires_ms: None, compressed: false };
    let part = wire::Part { table, key: Bytes(key), expect: Expect::Any, change };
    let options = CommitOptions { level: wire::Level::Persistent, force: false, notify: false };
    request(7, Op::Commit { parts: List::new(vec![part]).unwrap(), options })
}

/// A clause: its words, whether a hello goes before, the bytes, whether the client then stops sending, the code, the advice, and
/// whether the connection goes on.
struct Clause {
    words: &'static str,
    greeted: bool,
    bytes: Vec<u8>,
    stops: bool,
    refused: (u16, &'static str),
    goes_on: bool,
}

fn clause(words: &'static str, bytes: Vec<u8>, refused: (u16, &'static str), goes_on: bool) -> Clause {
    Clause { words, greeted: true, bytes, stops: false, refused, goes_on }
}

/// One before the hello.
fn first(words: &'static str, bytes: Vec<u8>, refused: (u16, &'static str)) -> Clause {
    Clause { words, greeted: false, bytes, stops: false, refused, goes_on: false }
}

/// One after whose bytes the client sends no more.
fn last(words: &'static str, bytes: Vec<u8>, refused: (u16, &'static str)) -> Clause {
    Clause { stops: true, ..clause(words, bytes, refused, false) }
}

fn clauses() -> Vec<Clause> {
    const NO_FRAME: (u16, &str) = (501, "is the client one of lostore's?");
    const TOO_LARGE: (u16, &str) = (502, "send a large commit through an interactive transaction");
    const MALFORMED: (u16, &str) = (503, "use a client and server of versions that meet");
    const UNKNOWN: (u16, &str) = (504, "use a newer server");
    let mut rng = Rng::new(11);
    let mut noise: Vec<u8> = (0..5000).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
    noise[0] = 0x7f;
    let mut wrong_mark = request(7, Op::Ping);
    wrong_mark[0] ^= 0x01;
    let ping = request(7, Op::Ping);
    let lookup = request(7, Op::Lookup { table: 1, key: Bytes(b"some key") });
    let cut_body = frame(Kind::Request.number(), 3, &lookup[24..27]);
    let version = Hello {
        version_min: 200,
        version_max: 255,
        features: 0,
        in_order: false,
        client_name: "later",
        client_version: "9",
        known: None,
    };
    let mut later = FrameWriter::new(u32::MAX);
    later.hello(1, &version).unwrap();
    vec![
        first("wrong magic, at once", b"\xa2GET / HTTP/1.1\r\n\r\n".to_vec(), NO_FRAME),
        clause("wrong magic, of a frame", wrong_mark, NO_FRAME, false),
        first("random bytes, at once", noise.clone(), NO_FRAME),
        clause("random bytes", noise.clone(), NO_FRAME, false),
        clause("random bytes as a body", frame(Kind::Request.number(), 5000, &noise), UNKNOWN, true),
        clause("a body that is cut short", cut_body, MALFORMED, true),
        clause("a body with bytes left over", frame(Kind::Request.number(), 2, &[0, 0]), MALFORMED, true),
        last("a frame that ends in its header", ping[..20].to_vec(), MALFORMED),
        last("a frame that ends in its body", lookup[..30].to_vec(), MALFORMED),
        first("a hello larger than any", frame(Kind::Hello.number(), HELLO_FRAME_BYTES_MAX + 1, &[]), TOO_LARGE),
        clause(
            "a frame of max + 1 bytes",
            frame(Kind::Request.number(), REQUEST_FRAME_BYTES_MAX + 1, &[]),
            TOO_LARGE,
            false,
        ),
        clause("a frame of 2^31 bytes", frame(Kind::Request.number(), 1 << 31, &[]), TOO_LARGE, false),
        clause("a frame of 2^32 - 1 bytes", frame(Kind::Request.number(), u32::MAX, &[]), TOO_LARGE, false),
        first("a request before the hello", ping, (505, "begins with one hello")),
        clause("a second hello", hello(), (505, "has only one"), false),
        first("a hello of later versions", later.take(), (506, "update one")),
        clause("an unknown verb", frame(Kind::Request.number(), 1, &[100]), UNKNOWN, true),
        clause("an unknown kind of frame", frame(0x42, 1, &[0]), UNKNOWN, true),
        clause("a table that is not there", put(99, b"k", b"v"), (202, "it may have been destroyed"), true),
        clause("a key of max + 1 bytes", put(1, &[7; KEY_BYTES_MAX + 1], b"v"), (302, "2048"), true),
        clause("a value of max + 1 bytes", put(1, b"k", &vec![7; VALUE_BYTES_MAX + 1]), (302, "67108864"), true),
    ]
}

#[test]
fn what_is_no_request_is_refused_by_name_and_the_daemon_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let daemon = Daemon::start(&dir);
    let mut good = Good::new(&daemon);
    for Clause { words, greeted, bytes, stops, refused: (code, advice), goes_on } in clauses() {
        let mut raw = if greeted { Raw::greeted(&daemon) } else { Raw::new(&daemon) };
        raw.send(&bytes);
        if stops {
            raw.stream.shutdown(Shutdown::Write).unwrap();
        }
        check(words, &raw.refusal(), code, advice);
        if goes_on {
            raw.send(&request(8, Op::Ping));
            assert_eq!(raw.next(), Seen::Done, "{words}: the connection goes on");
        } else {
            assert_eq!(raw.next(), Seen::End, "{words}: the connection ends");
        }
        good.goes_on(words);
    }
    good.outlives(daemon, &dir);
}

#[test]
fn a_frame_split_at_every_byte_is_answered_like_a_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let daemon = Daemon::start(&dir);
    let mut good = Good::new(&daemon);
    let table = good.table.id().0;
    let requests = [put(table, b"split", b"value"), request(8, Op::Lookup { table, key: Bytes(b"split") })];
    let bytes = [hello(), requests.concat()].concat();
    for cut in 1..bytes.len() {
        let mut raw = Raw::new(&daemon);
        raw.send(&bytes[..cut]);
        // Each part is a segment of its own for the server when it has answered what the first held, or has read what it could.
        let answered = if cut >= hello().len() { [Seen::Welcome].len() } else { 0 };
        for _ in 0..answered {
            assert_eq!(raw.next(), Seen::Welcome, "cut at {cut}");
        }
        raw.send(&bytes[cut..]);
        for wanted in [Seen::Welcome, Seen::Done, Seen::Done].into_iter().skip(answered) {
            assert_eq!(raw.next(), wanted, "cut at {cut}");
        }
    }
    let mut raw = Raw::new(&daemon);
    bytes.iter().for_each(|byte| raw.send(&[*byte]));
    assert_eq!([raw.next(), raw.next(), raw.next()], [Seen::Welcome, Seen::Done, Seen::Done]);
    good.table.remove(b"split").unwrap();
    good.goes_on("split");
    good.outlives(daemon, &dir);
}

#[test]
fn keys_and_values_at_their_limits_are_kept_and_past_them_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let daemon = Daemon::start(&dir);
    let mut good = Good::new(&daemon);
    let sizes = [(0, 0), (1, 1), (KEY_BYTES_MAX, 3), (2, VALUE_BYTES_MAX)];
    for kind in [TableKind::Hash, TableKind::Ordered] {
        let table = daemon.connect().create_raw(&format!("{kind:?}"), plain_spec(kind, TableHome::Persistent)).unwrap();
        for (key, value) in sizes {
            let ticket = table.upsert(&vec![b'k'; key], &vec![b'v'; value], PutOptions::default()).unwrap();
            ticket.persistent().unwrap();
            assert!(table.get(&vec![b'k'; key]).unwrap().unwrap().value == vec![b'v'; value]);
        }
        let put = |key: usize, value: usize| table.upsert(&vec![1; key], &vec![2; value], PutOptions::default());
        check("a key of max + 1 bytes", &put(KEY_BYTES_MAX + 1, 1).unwrap_err().into(), 302, "says which limit");
        check("a value of max + 1 bytes", &put(1, VALUE_BYTES_MAX + 1).unwrap_err().into(), 302, "says which limit");
        good.goes_on("limits");
    }
    good.outlives(daemon, &dir);
    let daemon = Daemon::start(&dir);
    for kind in [TableKind::Hash, TableKind::Ordered] {
        let table = daemon.connect().open_raw(&format!("{kind:?}")).unwrap();
        for (key, value) in sizes {
            assert!(table.get(&vec![b'k'; key]).unwrap().unwrap().value == vec![b'v'; value], "after a restart");
        }
    }
}

#[test]
fn a_table_of_another_type_is_refused_by_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let daemon = Daemon::start(&dir);
    let mut good = Good::new(&daemon);
    let store = daemon.connect();
    let field = |name: &str, field_type| Field { name: name.into(), field_type };
    let spec = |kind, home, key: FieldType, record: FieldType| TableSpec {
        type_name: "Thing".into(),
        key: vec![field("id", key)],
        record: vec![field("size", record)],
        ..TableSpec::plain(kind, home)
    };
    use FieldType::{Bytes as Blob, Text, Unsigned};
    let (hash, persistent) = (TableKind::Hash, TableHome::Persistent);
    store.create_raw("thing", spec(hash, persistent, Unsigned(64), Unsigned(32))).unwrap();
    let others = [
        ("a table of another kind", spec(TableKind::Ordered, persistent, Unsigned(64), Unsigned(32)), "ordered"),
        ("a table of another home", spec(hash, TableHome::Volatile, Unsigned(64), Unsigned(32)), "volatile"),
        ("a table of another key", spec(hash, persistent, Text, Unsigned(32)), "field 'id'"),
        ("a table of another field", spec(hash, persistent, Unsigned(64), Blob), "field 'size'"),
    ];
    for (words, other, names) in others {
        let open = lostore::Backend::start(
            store.backend(),
            domains::Op::OpenTable { name: "thing".into(), spec: Some(other) },
        );
        let refused = lostore::Backend::wait(store.backend(), open.unwrap()).unwrap_err();
        assert!(refused.to_string().contains(names), "{refused}");
        check(words, &refused.into(), 205, "only append fields");
        good.goes_on(words);
    }
    let unknown = store.open_raw("nothing").map(|_| ()).unwrap_err();
    check("a table that is not there", &unknown.into(), 201, "`lostore table list`");
    good.goes_on("a table that is not there");
    good.outlives(daemon, &dir);
}
