use super::*;
use proptest::prelude::*;

fn call(device: &mut MemoryDevice, request: Request) -> (Option<Frames>, Result<(), DeviceError>) {
    device.submit(Tag(7), request);
    assert_eq!(device.in_flight(), 1);
    let mut done = Vec::new();
    device.wait(&mut done);
    assert_eq!((device.in_flight(), done.len()), (0, 1));
    let done = done.pop().expect("one completion");
    assert_eq!(done.tag, Tag(7));
    (done.frames, done.result)
}

fn filled(pages: usize, byte: u8) -> Frames {
    let mut frames = Frames::zeroed(pages);
    frames.bytes_mut().fill(byte);
    frames
}

fn read(device: &mut MemoryDevice, at: u64, pages: usize) -> Vec<u8> {
    let (frames, result) = call(device, Request::Read { at: PageNo(at), frames: filled(pages, 0xee) });
    assert_eq!(result, Ok(()));
    frames.expect("frames come home").bytes().to_vec()
}

#[test]
fn what_was_never_written_reads_as_zeros_and_takes_no_memory() {
    let mut device = MemoryDevice::new(1 << 30);
    assert!(read(&mut device, (1 << 30) - 3, 3).iter().all(|&byte| byte == 0));
    assert_eq!(device.pages_held(), 0);
    assert_eq!(call(&mut device, Request::Zero { at: PageNo(0), pages: 1 << 30 }).1, Ok(()));
    assert_eq!(device.pages_held(), 0);
    let written = call(&mut device, Request::Write { at: PageNo(CHUNK_PAGES as u64 - 1), frames: filled(2, 1) });
    assert_eq!(written.1, Ok(()));
    assert_eq!(device.pages_held(), 2 * CHUNK_PAGES);
}

#[test]
fn requests_past_the_end_fail_and_give_the_frames_back() {
    let mut device = MemoryDevice::new(4);
    let (frames, result) = call(&mut device, Request::Write { at: PageNo(3), frames: filled(2, 1) });
    assert_eq!(result, Err(DeviceError::PastEnd { page: 4, end: 4 }));
    assert_eq!(frames.expect("frames come home").pages(), 2);
    let (frames, result) = call(&mut device, Request::Read { at: PageNo(u64::MAX), frames: filled(1, 1) });
    assert_eq!(result, Err(DeviceError::PastEnd { page: u64::MAX, end: 4 }));
    assert!(frames.is_some());
    assert!(read(&mut device, 3, 1).iter().all(|&byte| byte == 0), "a write that failed wrote nothing");
}

#[test]
fn growing_stops_at_the_limit_and_goes_on_when_it_moves() {
    let mut device = MemoryDevice::with_pages_max(4, 8);
    assert_eq!(call(&mut device, Request::Grow { pages: 8 }).1, Ok(()));
    assert_eq!(call(&mut device, Request::Grow { pages: 9 }).1, Err(DeviceError::NoSpace { errno: 28 }));
    assert_eq!(device.pages(), 8);
    device.set_pages_max(9);
    assert_eq!(call(&mut device, Request::Grow { pages: 9 }).1, Ok(()));
    assert_eq!(call(&mut device, Request::Grow { pages: 1 }).1, Ok(()));
    assert_eq!(device.pages(), 9, "a device does not shrink");
}

#[test]
fn requests_complete_in_order_at_one_poll() {
    let mut device = MemoryDevice::new(4);
    device.submit(Tag(1), Request::Write { at: PageNo(0), frames: filled(1, 9) });
    device.submit(Tag(2), Request::Write { at: PageNo(1), frames: filled(2, 8) });
    device.submit(Tag(3), Request::Flush);
    device.submit(Tag(4), Request::Read { at: PageNo(0), frames: filled(2, 0) });
    let mut done = Vec::new();
    device.poll(&mut done);
    assert_eq!(done.iter().map(|done| done.tag.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let frames = done[3].frames.as_ref().expect("a read has frames");
    assert_eq!((frames.page(0)[0], frames.page(1)[4095]), (9, 8));
}

#[test]
fn writes_that_overlap_in_flight_are_our_mistake() {
    for (at, pages) in [(4, 1), (0, 5), (6, 9), (5, 1), (0, 20)] {
        let overlap = std::panic::catch_unwind(|| {
            let mut device = MemoryDevice::new(40);
            device.submit(Tag(1), Request::Write { at: PageNo(4), frames: filled(3, 1) });
            device.submit(Tag(2), Request::Zero { at: PageNo(at), pages });
        });
        assert!(overlap.is_err(), "{at} + {pages}");
        let overlap = std::panic::catch_unwind(|| {
            let mut device = MemoryDevice::new(40);
            device.submit(Tag(1), Request::Punch { at: PageNo(4), pages: 3 });
            device.submit(Tag(2), Request::Punch { at: PageNo(at), pages });
        });
        assert!(overlap.is_err(), "punched: {at} + {pages}");
    }
    let mut device = MemoryDevice::new(40);
    device.submit(Tag(1), Request::Write { at: PageNo(4), frames: filled(3, 1) });
    device.submit(Tag(2), Request::Zero { at: PageNo(7), pages: 1 });
    device.submit(Tag(3), Request::Zero { at: PageNo(3), pages: 1 });
}

#[test]
fn what_is_punched_gives_its_memory_back() {
    let mut device = MemoryDevice::new(1_000);
    let chunk = CHUNK_PAGES as u64;
    assert_eq!(call(&mut device, Request::Write { at: PageNo(0), frames: filled(4 * CHUNK_PAGES, 1) }).1, Ok(()));
    // Half of two chunks and all of one between: the halves are still needed.
    assert_eq!(call(&mut device, Request::Punch { at: PageNo(chunk / 2), pages: 2 * chunk }).1, Ok(()));
    assert_eq!((device.pages_held(), device.pages()), (3 * CHUNK_PAGES, 1_000));
    let bytes = read(&mut device, 0, 4 * CHUNK_PAGES);
    for (page, bytes) in (0..).zip(bytes.chunks(PAGE_BYTES)) {
        let kept = !(chunk / 2..chunk / 2 + 2 * chunk).contains(&page);
        assert!(bytes.iter().all(|&byte| byte == u8::from(kept)), "page {page}");
    }
    // A chunk that is punched piece by piece goes back with its last piece.
    assert_eq!(call(&mut device, Request::Punch { at: PageNo(0), pages: chunk / 2 }).1, Ok(()));
    assert_eq!(device.pages_held(), 2 * CHUNK_PAGES);
    let past = call(&mut device, Request::Punch { at: PageNo(999), pages: 2 }).1;
    assert_eq!(past, Err(DeviceError::PastEnd { page: 1_000, end: 1_000 }));
    // Nothing is held there, so there is nothing to give back.
    assert_eq!(call(&mut device, Request::Punch { at: PageNo(900), pages: 100 }).1, Ok(()));
    assert_eq!(device.next_data(PageNo(0)), PageNo(2 * chunk), "what was punched is skipped");
}

/// What the model test asks for.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write,
    Zero,
    Punch,
}

proptest! {
    /// Against an array of one byte a page, and a list of the chunks that have memory.
    #[test]
    fn it_holds_what_an_array_holds(
        steps in proptest::collection::vec(
            (prop_oneof![Just(Step::Write), Just(Step::Zero), Just(Step::Punch)], 0..300_usize, 1..150_usize, 0..4_u8),
            1..12,
        )
    ) {
        let mut device = MemoryDevice::new(300);
        let (mut model, mut held) = (vec![0; 300], vec![false; 300_usize.div_ceil(CHUNK_PAGES)]);
        for (step, at, pages, byte) in steps {
            let pages = pages.min(300 - at);
            let (page, count) = (PageNo(at as u64), pages as u64);
            let (request, byte) = match step {
                Step::Write => (Request::Write { at: page, frames: filled(pages, byte) }, byte),
                Step::Zero => (Request::Zero { at: page, pages: count }, 0),
                Step::Punch => (Request::Punch { at: page, pages: count }, 0),
            };
            prop_assert_eq!(call(&mut device, request).1, Ok(()));
            model[at..at + pages].fill(byte);
            for (chunk, held) in held.iter_mut().enumerate() {
                let (first, end) = (chunk * CHUNK_PAGES, (chunk + 1) * CHUNK_PAGES);
                let touched = at < end && first < at + pages;
                let whole = at <= first && end <= at + pages;
                let zeros = model[first..end.min(300)].iter().all(|&byte| byte == 0);
                *held = match step {
                    Step::Write => *held || touched,
                    Step::Zero => *held && !whole,
                    Step::Punch => *held && !(touched && zeros),
                };
            }
            prop_assert_eq!(device.pages_held(), held.iter().filter(|held| **held).count() * CHUNK_PAGES);
        }
        let bytes = read(&mut device, 0, 300);
        for (page, byte) in bytes.chunks(PAGE_BYTES).zip(model) {
            prop_assert!(page.iter().all(|&have| have == byte));
        }
    }
}
