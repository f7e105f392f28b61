#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a script has a few lines; everything else is a mistake of the test"
)]

use super::*;
use crate::fake::{TABLE, put, value};
use domains::Level;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;
use wire::{Element, FrameReader, FrameWriter, Kind, Outcome};

/// A server of one connection with one table in a map, at the other end of a socket pair. The key `hang up` ends it.
#[derive(Default)]
struct Served {
    frames: AtomicUsize,
    ops: AtomicUsize,
}

fn serve(mut stream: Stream, credits: u32, served: &Served) {
    let mut reader = FrameReader::new(wire::limits::REQUEST_FRAME_BYTES_MAX);
    let mut writer = FrameWriter::new(wire::limits::REPLY_FRAME_BYTES_MAX);
    let mut map = BTreeMap::new();
    let mut bytes = vec![0; 100_000];
    loop {
        let count = stream.read(&mut bytes).unwrap_or(0);
        if count == 0 {
            return;
        }
        reader.push(&bytes[..count]);
        while let Some(frame) = reader.frame().unwrap() {
            served.frames.fetch_add(1, Ordering::SeqCst);
            let (id, ops) = match Kind::from_u8(frame.header.kind).unwrap() {
                Kind::Hello => {
                    writer.welcome(frame.header.id, &welcome(credits)).unwrap();
                    (0, Vec::new())
                }
                Kind::Request => (frame.header.id, vec![(frame.body, frame.tail)]),
                Kind::Batch => (frame.header.id, frame.batch().unwrap()),
                other => panic!("{other:?}"),
            };
            served.ops.fetch_add(ops.len(), Ordering::SeqCst);
            let epoch = (1u64 << 40) + 1;
            let horizon = wire::Horizon { incarnation: 1, persistent: epoch };
            let mut outcomes = Vec::new();
            for (body, tail) in &ops {
                let Some(outcome) = answer(&mut map, wire::Op::decode(body, tail).unwrap()) else { return };
                outcomes.push(outcome);
            }
            match (Kind::from_u8(frame.header.kind).unwrap(), &outcomes[..]) {
                (Kind::Request, [outcome]) => writer.reply(id, horizon, owned(outcome)).unwrap(),
                (Kind::Batch, outcomes) => {
                    let elements: Vec<_> = outcomes.iter().map(|outcome| Element::outcome(owned(outcome))).collect();
                    writer.batch_reply(id, horizon, &elements).unwrap();
                }
                _ => {}
            }
            reader.advance();
        }
        if stream.write_all(writer.bytes()).is_err() {
            return;
        }
        writer.consume(writer.len());
    }
}

type Outcomes = Result<Option<(Vec<u8>, Vec<u8>)>, ()>;

fn answer(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, op: wire::Op<'_>) -> Option<Outcomes> {
    Some(match op {
        wire::Op::Lookup { key, .. } if key.0 == b"hang up" => return None,
        wire::Op::Lookup { key, .. } => Ok(map.get(key.0).map(|value| (key.0.to_vec(), value.clone()))),
        wire::Op::Commit { parts, .. } => {
            for part in parts.iter() {
                if let wire::Change::Put { value, .. } = part.change {
                    map.insert(part.key.0.to_vec(), value.bytes().to_vec());
                }
            }
            Err(())
        }
        other => panic!("{other:?}"),
    })
}

fn owned(outcome: &Outcomes) -> Outcome<'_> {
    Outcome::Ok(match outcome {
        Ok(pair) => wire::Answer::Pair(pair.as_ref().map(|(key, value)| wire::Pair {
            key: wire::Bytes(key),
            value: wire::Value::new(value),
            version: wire::Version { epoch: 1, ordinal: 1 },
            expires_ms: None,
            compressed: false,
        })),
        Err(()) => wire::Answer::Committed {
            epoch: (1 << 40) + 1,
            versions: wire::List::default(),
            persistence: wire::Persistence::Pending,
        },
    })
}

fn welcome(credits: u32) -> wire::Welcome<'static> {
    wire::Welcome {
        version: wire::VERSION,
        features: 0,
        limits: wire::ConnectionLimits {
            request_frame_bytes: wire::limits::REQUEST_FRAME_BYTES_MAX,
            reply_frame_bytes: wire::limits::REPLY_FRAME_BYTES_MAX,
            batch_ops: 128,
            ops_in_flight: credits,
            transactions: 1,
            transaction_idle_ms: 1000,
        },
        server_version: "test",
        server_id: [7; 16],
        domain: "persistent",
        abortable: true,
        persistence: true,
        horizon: wire::Horizon { incarnation: 1, persistent: 1 << 40 },
        cut: wire::Cut::NotAsked,
    }
}

/// Runs `client` against a server and returns what that saw.
fn against(credits: u32, spin: Duration, client: impl FnOnce(Remote)) -> Served {
    let (one, two) = Stream::pair().unwrap();
    let served = Served::default();
    std::thread::scope(|scope| {
        scope.spawn(|| serve(two, credits, &served));
        let options = ConnectOptions { spin, ..ConnectOptions::default() };
        client(Remote::over(one, PathBuf::from("pair"), &options).unwrap());
    });
    served
}

fn get(key: &[u8]) -> Op {
    Op::Lookup { table: TABLE, key: key.to_vec() }
}

fn wait(remote: &Remote, op: Op) -> Result<Answer, Error> {
    remote.wait(remote.start(op)?)
}

#[test]
fn what_is_started_before_a_wait_travels_in_one_frame() {
    let served = against(64, Duration::ZERO, |remote| {
        assert_eq!(remote.capabilities().name, "persistent");
        assert_eq!(remote.horizon().persistent.counter(), 0);
        wait(&remote, put(b"a", b"1", Level::Committed)).unwrap();
        assert_eq!(remote.horizon().persistent.counter(), 1);
        let pending: Vec<_> = (0..50).map(|_| remote.start(get(b"a")).unwrap()).collect();
        for pending in pending {
            assert_eq!(value(remote.wait(pending)), Some(b"1".to_vec()));
        }
    });
    assert_eq!((served.frames.into_inner(), served.ops.into_inner()), (3, 51));
}

#[test]
fn more_than_the_credits_and_more_than_the_socket_holds() {
    against(4, Duration::ZERO, |remote| {
        let large = vec![7; 300_000];
        let puts: Vec<_> = (0..30u8).map(|at| remote.start(put(&[at], &large, Level::Committed)).unwrap()).collect();
        let gets: Vec<_> = (0..30u8).map(|at| remote.start(get(&[at])).unwrap()).collect();
        for got in gets.into_iter().rev() {
            assert_eq!(value(remote.wait(got)).map(|value| value.len()), Some(large.len()));
        }
        for put in puts {
            remote.wait(put).unwrap();
        }
    });
}

#[test]
fn many_threads_share_a_connection() {
    for spin in [Duration::ZERO, Duration::from_micros(20)] {
        against(8, spin, |remote| {
            std::thread::scope(|scope| {
                for thread in 0..4u8 {
                    let remote = remote.clone();
                    scope.spawn(move || {
                        for round in 0..100u8 {
                            wait(&remote, put(&[thread], &[round], Level::Committed)).unwrap();
                            assert_eq!(value(wait(&remote, get(&[thread]))), Some(vec![round]));
                        }
                    });
                }
            });
        });
    }
}

#[test]
fn a_dropped_pending_and_a_dropped_handle_still_send() {
    let served = against(8, Duration::ZERO, |remote| {
        for _ in 0..20 {
            drop(remote.start(put(b"a", b"1", Level::Committed)).unwrap());
        }
        let last = remote.start(put(b"b", b"1", Level::Committed)).unwrap();
        drop(remote);
        drop(last);
    });
    assert_eq!(served.ops.into_inner(), 21);
}

#[test]
fn a_lost_connection_is_told_apart_by_what_may_have_happened() {
    against(8, Duration::ZERO, |remote| {
        let hang_up = remote.start(get(b"hang up")).unwrap();
        let commit = remote.start(put(b"a", b"1", Level::Persistent)).unwrap();
        assert!(matches!(remote.wait(hang_up), Err(Error::Disconnected { maybe_applied: false, .. })));
        assert!(matches!(remote.wait(commit), Err(Error::Disconnected { maybe_applied: true, .. })));
        assert!(matches!(wait(&remote, get(b"a")), Err(Error::Disconnected { maybe_applied: false, .. })));
    });
}

struct Unpark(Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(remote: &Remote, op: Op) -> Result<Answer, Error> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut pending = remote.start(op).unwrap();
    loop {
        match remote.poll(&mut pending, Some(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn futures_and_blocked_callers_mix() {
    against(8, Duration::ZERO, |remote| {
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let remote = remote.clone();
                scope.spawn(move || {
                    for round in 0..50u8 {
                        let run = if (thread + round) % 2 == 0 { block_on } else { wait };
                        run(&remote, put(&[thread], &[round], Level::Committed)).unwrap();
                        assert_eq!(value(run(&remote, get(&[thread]))), Some(vec![round]));
                    }
                });
            }
        });
        let mut polled = remote.start(get(&[0])).unwrap();
        while remote.poll(&mut polled, None).is_pending() {}
    });
}

#[test]
fn a_peer_that_is_no_server_is_refused() {
    let (one, mut two) = Stream::pair().unwrap();
    two.write_all(b"-ERR what\r\n this is something else entirely").unwrap();
    let refused = Remote::over(one, PathBuf::from("pair"), &ConnectOptions::default());
    assert!(matches!(refused, Err(Error::Open(OpenError::Protocol { .. }))), "{refused:?}");
    let missing = Remote::connect(Path::new("/nonexistent/socket"), &ConnectOptions::default());
    assert!(matches!(missing, Err(Error::Open(OpenError::NoServer { .. }))));
}

/// A peer that reads the hello, says this, and closes.
fn met_by(says: impl FnOnce(&mut FrameWriter) + Send, reads: bool) -> Error {
    let (one, mut two) = Stream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut hello = [0; 4096];
            // What is closed with unread bytes in it is a reset for its peer.
            if reads {
                assert!(two.read(&mut hello).unwrap() > 0);
            }
            let mut writer = FrameWriter::new(wire::limits::REPLY_FRAME_BYTES_MAX);
            says(&mut writer);
            two.write_all(writer.bytes()).unwrap();
        });
        Remote::over(one, PathBuf::from("pair"), &ConnectOptions::default()).unwrap_err()
    })
}

#[test]
fn who_is_not_welcomed_is_told_whether_to_try_again() {
    let fault = |code| {
        move |writer: &mut FrameWriter| {
            let (kind, failures) = (wire::codes::fault_kind::FULL, wire::List::default());
            let fault = wire::Fault { code, kind, applied: false, message: "no", failures };
            let horizon = wire::Horizon { incarnation: 1, persistent: 1 << 40 };
            writer.reply(0, horizon, Outcome::Err(fault)).unwrap();
        }
    };
    for reads in [true, false] {
        let gone = met_by(|_| {}, reads);
        assert!(matches!(gone, Error::Open(OpenError::NoServer { .. })), "{gone:?}");
    }
    let other = met_by(fault(wire::codes::NO_COMMON_VERSION), true);
    assert!(matches!(other, Error::Open(OpenError::Protocol { .. })), "{other:?}");
    let full = met_by(fault(wire::codes::CONNECTIONS_FULL), true);
    assert!(matches!(full, Error::Remote { code: 518, kind: domains::ErrorKind::Full, .. }), "{full:?}");
}

/// Starts an operation from within its wake, on whatever thread that is.
struct Asks(Remote, std::sync::mpsc::Sender<bool>);

impl std::task::Wake for Asks {
    fn wake(self: Arc<Self>) {
        let _ = self.1.send(self.0.start(get(b"a")).is_ok());
    }
}

#[test]
fn a_waker_may_use_the_connection() {
    against(8, Duration::ZERO, |remote| {
        let (tell, told) = std::sync::mpsc::channel();
        let waker = Waker::from(Arc::new(Asks(remote.clone(), tell)));
        let mut pending = remote.start(get(b"a")).unwrap();
        // Polled until it waits for the reader; an answer that is there at once wakes nobody.
        while remote.poll(&mut pending, Some(&waker)).is_ready() {
            pending = remote.start(get(b"a")).unwrap();
        }
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(true), "the wake got through");
    });
}
