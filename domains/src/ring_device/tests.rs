//! The device on both backends, in a real file.

use super::*;
use uring::{Caching, Doorbell, IoKind, Outcome, open};

fn devices(test: impl Fn(RingDevice)) {
    for kind in [IoKind::Auto, IoKind::Posix] {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(&dir.path().join("data"), Caching::Around).unwrap();
        let (io, _) = open(kind, 16).unwrap();
        test(RingDevice::new(io, file).unwrap());
    }
}

/// Does one request.
fn run(device: &mut RingDevice, request: Request) -> Completion {
    device.submit(Tag(9), request);
    assert_eq!(device.in_flight(), 1);
    let mut done = Vec::new();
    device.wait(&mut done);
    assert_eq!((device.in_flight(), done.len(), done[0].tag), (0, 1, Tag(9)));
    done.remove(0)
}

fn filled(pages: usize, fill: u8) -> Frames {
    let mut frames = Frames::zeroed(pages);
    frames.bytes_mut().fill(fill);
    frames
}

#[test]
fn grows_zeroes_writes_flushes_and_reads() {
    devices(|mut device| {
        assert_eq!(device.pages(), 0);
        assert_eq!(run(&mut device, Request::Grow { pages: 700 }).result, Ok(()));
        assert_eq!((device.pages(), device.file().bytes().unwrap()), (700, 700 * 4096));
        assert_eq!(run(&mut device, Request::Grow { pages: 3 }).result, Ok(()));
        assert_eq!(device.pages(), 700);
        let written = run(&mut device, Request::Write { at: PageNo(0), frames: filled(700, 7) });
        assert_eq!((written.result, written.frames.unwrap().bytes()[0]), (Ok(()), 7));
        assert_eq!(run(&mut device, Request::Flush).result, Ok(()));
        assert_eq!(run(&mut device, Request::Zero { at: PageNo(1), pages: 698 }).result, Ok(()));
        assert_eq!(run(&mut device, Request::Zero { at: PageNo(5), pages: 0 }).result, Ok(()));
        let read = run(&mut device, Request::Read { at: PageNo(0), frames: Frames::zeroed(700) });
        let frames = read.frames.unwrap();
        let fills: Vec<u8> = (0..700).map(|index| frames.page(index)[4095]).collect();
        assert_eq!((fills[0], fills[699], fills[1..699].iter().max()), (7, 7, Some(&0)));
    });
}

#[test]
fn past_the_end_is_refused_with_frames_home() {
    devices(|mut device| {
        run(&mut device, Request::Grow { pages: 4 });
        let past = |page| Err(DeviceError::PastEnd { page, end: 4 });
        for (at, pages, wanted) in
            [(0, 4, Ok(())), (0, 5, past(4)), (3, 2, past(4)), (4, 1, past(4)), (u64::MAX, 1, past(u64::MAX))]
        {
            let frames = usize::try_from(pages).unwrap();
            let read = run(&mut device, Request::Read { at: PageNo(at), frames: Frames::zeroed(frames) });
            assert_eq!((read.result, read.frames.unwrap().pages()), (wanted, frames));
            let write = run(&mut device, Request::Write { at: PageNo(at), frames: Frames::zeroed(frames) });
            assert_eq!((write.result, write.frames.unwrap().pages()), (wanted, frames));
            assert_eq!(run(&mut device, Request::Zero { at: PageNo(at), pages }).result, wanted);
        }
        for pages in [u64::MAX, 1 << 52] {
            let grown = run(&mut device, Request::Grow { pages });
            assert!(
                matches!(grown.result, Err(DeviceError::NoSpace { .. } | DeviceError::Io { errno: 22 })),
                "{grown:?}"
            );
        }
        assert_eq!(device.pages(), 4);
    });
}

#[test]
fn the_owners_operations_share_the_ring_and_keep_apart() {
    devices(|mut device| {
        run(&mut device, Request::Grow { pages: 64 });
        let doorbell = Doorbell::new().unwrap();
        let bell = doorbell.bell();
        device.submit_own(Op::Watch { doorbell: doorbell.clone() }, 5);
        bell.ring();
        let (mut disk, mut own) = (Vec::new(), Vec::new());
        for tag in 0..64 {
            device.submit(Tag(tag), Request::Write { at: PageNo(tag), frames: filled(1, 3) });
        }
        while disk.len() < 64 || own.is_empty() {
            device.wait_all(None, &mut disk, &mut own);
        }
        let mut tags: Vec<u64> = disk.iter().map(|completion| completion.tag.0).collect();
        tags.sort_unstable();
        assert_eq!(tags, (0..64).collect::<Vec<_>>());
        assert!(matches!(own[..], [OwnCompletion { user: 5, result: Ok(Outcome::Rang(1)), .. }]));

        // A wait of the device alone keeps what it finds for the owner.
        device.submit_own(Op::Watch { doorbell }, 6);
        bell.ring();
        run(&mut device, Request::Flush);
        own.clear();
        device.wait_all(None, &mut disk, &mut own);
        assert_eq!(own[0].user, 6);
        device.wait_all(None, &mut disk, &mut own);
        assert_eq!(own.len(), 1, "with nothing in flight it returns");
    });
}

#[test]
fn a_length_that_is_no_whole_page_is_rounded_down() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(&dir.path().join("data"), Caching::Buffered).unwrap();
    file.set_bytes(4096 * 3 + 100).unwrap();
    let device = RingDevice::new(open(IoKind::Posix, 8).unwrap().0, file).unwrap();
    assert_eq!(device.pages(), 3);
}
