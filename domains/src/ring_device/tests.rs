//! The device on both backends, in a real file.

use super::*;
use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
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

/// A file system may not know what was never written, but it never takes what was written for that.
#[test]
fn what_was_written_is_never_said_to_be_a_hole() {
    devices(|mut device| {
        run(&mut device, Request::Grow { pages: 5000 });
        assert!(device.next_data(PageNo(0)).0 <= 5000);
        run(&mut device, Request::Write { at: PageNo(3000), frames: filled(1, 7) });
        run(&mut device, Request::Zero { at: PageNo(4000), pages: 10 });
        for (from, written) in [(0, 3000), (2999, 3000), (3000, 3000)] {
            let found = device.next_data(PageNo(from)).0;
            assert!((from..=written).contains(&found), "page {found} from {from} on");
        }
        assert!((3001..=5000).contains(&device.next_data(PageNo(3001)).0));
        assert_eq!(device.next_data(PageNo(9000)), PageNo(9000), "past the end there is nothing to skip");
    });
}

/// Room that was grown is a hole, or an extent that was never written, which file systems tell in the same way; after zeroing and
/// a flush it is neither, so a later write of the log changes nothing but its own pages.
#[test]
fn zeroed_room_is_written_room() {
    devices(|mut device| {
        run(&mut device, Request::Grow { pages: 300 });
        let knows = device.next_data(PageNo(0)) != PageNo(0);
        run(&mut device, Request::Zero { at: PageNo(20), pages: 200 });
        run(&mut device, Request::Flush);
        for page in 20..220 {
            assert_eq!(device.next_data(PageNo(page)), PageNo(page), "page {page} was never written");
        }
        // A file system that tells holes apart shows that the check can fail.
        assert!(!knows || device.next_data(PageNo(220)) == PageNo(300));
    });
}

/// Whether the file system gives room back, asked past the device; page 0 is lost.
fn gives_room_back(device: &mut RingDevice) -> bool {
    device.submit_own(Op::Punch { file: device.file().clone(), offset: 0, bytes: PAGE }, 5);
    let (mut disk, mut own) = (Vec::new(), Vec::new());
    while own.is_empty() {
        device.wait_all(None, &mut disk, &mut own);
    }
    own[0].result.is_ok()
}

/// Blocks of 512 bytes that the file has on the medium, once nothing of it waits to be written.
fn blocks(device: &RingDevice) -> u64 {
    device.file().sync().unwrap();
    std::fs::metadata(device.file().path()).unwrap().blocks()
}

#[test]
fn what_is_punched_gives_its_room_back_and_is_skipped() {
    devices(|mut device| {
        run(&mut device, Request::Grow { pages: 700 });
        let tells_holes = device.next_data(PageNo(0)) != PageNo(0);
        let gives_back = gives_room_back(&mut device);
        run(&mut device, Request::Write { at: PageNo(0), frames: filled(700, 7) });
        let before = blocks(&device);
        for (at, pages) in [(1, 512), (600, 0), (690, 10)] {
            let punched = run(&mut device, Request::Punch { at: PageNo(at), pages });
            assert!(punched.frames.is_none());
            assert_eq!(punched.result, Ok(()), "whether the file system can or not");
        }
        assert_eq!(run(&mut device, Request::Flush).result, Ok(()));
        let after = blocks(&device);
        // The file system's own records may have grown by a little: an eighth of the 4,176 blocks is left for them.
        assert_eq!(after + 3_654 <= before, gives_back, "{before} blocks before, {after} after");
        assert_eq!((device.pages(), device.file().bytes().unwrap()), (700, 700 * PAGE), "the length is kept");
        let read = run(&mut device, Request::Read { at: PageNo(0), frames: Frames::zeroed(700) });
        let frames = read.frames.unwrap();
        for index in 0..700 {
            let kept = !gives_back || !((1..513).contains(&index) || index >= 690);
            assert!(frames.page(index).iter().all(|byte| *byte == if kept { 7 } else { 0 }), "page {index}");
        }
        // Whoever looks for what is not zero is led past the holes, and never past what is there.
        for (from, skipped_to) in [(0, 0), (1, 513), (300, 513), (513, 513), (689, 689), (690, 700), (699, 700)] {
            let wanted = if gives_back && tells_holes { skipped_to } else { from };
            assert_eq!(device.next_data(PageNo(from)), PageNo(wanted), "from {from} on");
        }
        // What was punched is room like any other when it is written again.
        run(&mut device, Request::Write { at: PageNo(300), frames: filled(1, 9) });
        assert!(device.next_data(PageNo(299)) <= PageNo(300));
        let read = run(&mut device, Request::Read { at: PageNo(300), frames: Frames::zeroed(1) });
        assert_eq!(read.frames.unwrap().page(0)[4095], 9);
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
            assert_eq!(run(&mut device, Request::Punch { at: PageNo(at), pages }).result, wanted);
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

/// A backend that answers in the order in which it was last asked, the newest first, and with errors as told.
#[derive(Default)]
struct Backwards {
    ops: Vec<(u64, Op<Page>)>,
    /// The error number with which writes, punches and flushes are answered; 0 for none.
    errno: i32,
    /// How many punches it was asked for.
    punches: Rc<Cell<u64>>,
    ids: Option<OpId>,
}

impl Backwards {
    fn answer(&mut self, done: &mut Vec<OwnCompletion>, count: usize) {
        for _ in 0..count {
            let Some((user, op)) = self.ops.pop() else { return };
            let failed = Err(uring::IoError::Os { errno: self.errno });
            let (buffer, result) = match op {
                Op::Read { buffer, .. } => (Some(buffer), Ok(Outcome::Done)),
                Op::Write { buffer, .. } => (Some(buffer), if self.errno == 0 { Ok(Outcome::Done) } else { failed }),
                Op::Sync { .. } | Op::Punch { .. } => (None, if self.errno == 0 { Ok(Outcome::Done) } else { failed }),
                Op::Receive { .. }
                | Op::Heed { .. }
                | Op::Send { .. }
                | Op::Accept { .. }
                | Op::Watch { .. }
                | Op::Cancel { .. } => {
                    unreachable!("the device asks for nothing of sockets")
                }
            };
            let id = self.ids.expect("it was given at submit");
            done.push(uring::Completion { user, id, buffer, result });
        }
    }
}

impl Io<Page> for Backwards {
    fn submit(&mut self, op: Op<Page>, user: u64) -> OpId {
        self.punches.set(self.punches.get() + u64::from(matches!(op, Op::Punch { .. })));
        self.ops.push((user, op));
        // Names of operations are a backend's own to make, so one is borrowed from a real backend, once.
        *self.ids.get_or_insert_with(|| {
            let (mut io, _) = open::<Page>(IoKind::Posix, 8).unwrap();
            io.submit(Op::Watch { doorbell: Doorbell::new().unwrap() }, 0)
        })
    }

    fn poll(&mut self, _done: &mut Vec<OwnCompletion>) {}

    fn wait(&mut self, _timeout: Option<Duration>, done: &mut Vec<OwnCompletion>) {
        self.answer(done, 1);
    }

    fn in_flight(&self) -> usize {
        self.ops.len()
    }

    fn strays(&self) -> u64 {
        0
    }
}

fn backwards(errno: i32) -> RingDevice {
    counting(errno).0
}

/// As [`backwards`], and the count of the punches that it was asked for.
fn counting(errno: i32) -> (RingDevice, Rc<Cell<u64>>) {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(&dir.path().join("data"), Caching::Buffered).unwrap();
    file.set_bytes(1_000 * PAGE).unwrap();
    let backend = Backwards { errno, ..Backwards::default() };
    let punches = Rc::clone(&backend.punches);
    (RingDevice::new(Box::new(backend), file).unwrap(), punches)
}

#[test]
fn completions_in_any_order_find_their_requests() {
    let mut device = backwards(0);
    for (index, pages) in (0..50).zip((1..=7).cycle()) {
        device.submit(Tag(index), Request::Read { at: PageNo(index), frames: filled(pages, 1) });
    }
    device.submit(Tag(100), Request::Zero { at: PageNo(100), pages: 900 });
    device.submit(Tag(101), Request::Flush);
    let mut done = Vec::new();
    while device.in_flight() > 0 {
        device.wait(&mut done);
    }
    let tags: Vec<u64> = done.iter().map(|completion| completion.tag.0).collect();
    let wanted: Vec<u64> = [101, 100].into_iter().chain((0..50).rev()).collect();
    assert_eq!(tags, wanted);
    for completion in &done[2..] {
        let pages = completion.frames.as_ref().unwrap().pages();
        assert_eq!(pages as u64, 1 + completion.tag.0 % 7, "its own frames");
    }
}

#[test]
fn errors_keep_their_number_and_no_room_is_told_apart() {
    let io = |errno| DeviceError::Io { errno };
    let no_space = |errno| DeviceError::NoSpace { errno };
    for (errno, wanted) in [(5, io(5)), (28, no_space(28)), (122, no_space(122)), (27, no_space(27)), (125, io(125))] {
        let mut device = backwards(errno);
        let written = run(&mut device, Request::Write { at: PageNo(1), frames: filled(3, 9) });
        assert_eq!((written.result, written.frames.unwrap().pages()), (Err(wanted), 3));
        assert_eq!(run(&mut device, Request::Flush).result, Err(wanted));
        // The first of four pieces fails, and the others are not tried.
        assert_eq!(run(&mut device, Request::Zero { at: PageNo(0), pages: 1_000 }).result, Err(wanted));
        assert_eq!(device.io().in_flight(), 0);
    }
}

#[test]
fn a_file_system_that_gives_no_room_back_is_asked_once() {
    let (mut device, punches) = counting(EOPNOTSUPP);
    // Those that are in flight when the first is refused are refused as well.
    device.submit(Tag(1), Request::Punch { at: PageNo(10), pages: 5 });
    device.submit(Tag(2), Request::Punch { at: PageNo(20), pages: 5 });
    let mut done = Vec::new();
    while device.in_flight() > 0 {
        device.wait(&mut done);
    }
    let answered: Vec<_> = done.iter().map(|completion| (completion.tag.0, completion.result)).collect();
    assert_eq!((answered, punches.get()), (vec![(2, Ok(())), (1, Ok(()))], 2));
    for _ in 0..3 {
        assert_eq!(run(&mut device, Request::Punch { at: PageNo(0), pages: 1_000 }).result, Ok(()));
    }
    let past = run(&mut device, Request::Punch { at: PageNo(0), pages: 1_001 });
    assert_eq!(past.result, Err(DeviceError::PastEnd { page: 1_000, end: 1_000 }), "our own mistakes are told still");
    assert_eq!(punches.get(), 2, "the kernel was not asked again");
    // Of writes the same number is an error like any other.
    let written = run(&mut device, Request::Write { at: PageNo(1), frames: filled(1, 9) });
    assert_eq!(written.result, Err(DeviceError::Io { errno: EOPNOTSUPP }));
}

#[test]
fn a_punch_that_fails_is_an_error_and_the_next_is_tried() {
    for (errno, wanted) in [(5, DeviceError::Io { errno: 5 }), (28, DeviceError::NoSpace { errno: 28 })] {
        let (mut device, punches) = counting(errno);
        for asked in 1..=3 {
            assert_eq!(run(&mut device, Request::Punch { at: PageNo(7), pages: 3 }).result, Err(wanted));
            assert_eq!(punches.get(), asked);
        }
    }
}
