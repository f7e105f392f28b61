use super::*;
use crate::backend::Backend;
use crate::fake::{Fake, get, put, value};
use crate::shard::NoFront;
use crate::shared::{ShardOptions, Shared};
use domains::Level;
use segments::{Frames, PageNo};
use uring::{Caching, File, IoKind};

fn ring(kind: IoKind, dir: &std::path::Path) -> RingPort {
    let file = File::create(&dir.join("data"), Caching::Around).unwrap();
    let (io, _) = uring::open(kind, 64).unwrap();
    let mut port = RingPort::new(RingDevice::new(io, file).unwrap(), None).unwrap();
    port.submit(Tag(0), Request::Grow { pages: 16 });
    let mut done = Vec::new();
    port.wait(&mut done);
    assert!(done[0].result.is_ok());
    port
}

#[test]
fn a_bell_rung_before_or_during_sleep_ends_it() {
    for kind in [IoKind::Auto, IoKind::Posix] {
        let dir = tempfile::tempdir().unwrap();
        let mut port = ring(kind, dir.path());
        let bell = port.bell();
        for _ in 0..3 {
            bell.ring();
            port.sleep(None);
            let mut io = Vec::new();
            port.poll_io(&mut io);
            assert!(io.is_empty(), "the bell is the port's own: {io:?}");
            std::thread::scope(|scope| {
                scope.spawn(|| bell.ring());
                port.sleep(None);
            });
        }
    }
}

#[test]
fn pages_come_back_through_the_ring_while_the_bell_is_watched() {
    let dir = tempfile::tempdir().unwrap();
    let mut port = ring(IoKind::Auto, dir.path());
    let mut frames = Frames::zeroed(1);
    frames.bytes_mut()[..3].copy_from_slice(b"abc");
    port.submit(Tag(1), Request::Write { at: PageNo(3), frames });
    let mut done = Vec::new();
    port.wait(&mut done);
    port.submit(Tag(2), Request::Read { at: PageNo(3), frames: Frames::zeroed(1) });
    while done.len() < 2 {
        port.sleep(None);
        port.poll(&mut done);
    }
    assert_eq!(done[1].tag, Tag(2));
    assert_eq!(done[1].frames.as_ref().unwrap().bytes()[..3], *b"abc");
    assert_eq!(port.in_flight(), 0);
}

#[test]
fn a_shard_lives_on_a_ring() {
    for kind in [IoKind::Auto, IoKind::Posix] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let options = ShardOptions { poll: Duration::ZERO, ..ShardOptions::default() };
        let make = move || Ok((Fake::new(), ring(kind, &path), NoFront::default()));
        let shared = Shared::start(&options, make).unwrap();
        for round in 0..20u8 {
            let pending = shared.start(put(b"cold", &[round], Level::Persistent)).unwrap();
            shared.wait(pending).unwrap();
            assert_eq!(value(shared.wait(shared.start(get(b"cold")).unwrap())), Some(vec![round]));
        }
        shared.close().unwrap();
    }
}
