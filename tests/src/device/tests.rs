//! The device does what the seam promises and takes every liberty that it does not exclude.

use super::*;
use crate::image::SECTOR_BYTES;
use segments::PageNo;
use std::collections::BTreeSet;

fn frames(byte: u8) -> Frames {
    let mut frames = Frames::zeroed(1);
    frames.bytes_mut().fill(byte);
    frames
}

fn write(device: &mut SimDevice, tag: u64, at: u64, byte: u8) {
    device.submit(Tag(tag), Request::Write { at: PageNo(at), frames: frames(byte) });
}

fn drain(device: &mut SimDevice) -> Vec<Completion> {
    let mut done = Vec::new();
    while device.in_flight() > 0 {
        device.wait(&mut done);
    }
    done
}

fn read(device: &mut SimDevice, at: u64) -> u8 {
    device.submit(Tag(999), Request::Read { at: PageNo(at), frames: Frames::zeroed(1) });
    let done = drain(device);
    done.last().and_then(|done| done.frames.as_ref()).expect("frames come home").bytes()[0]
}

fn flush(device: &mut SimDevice) {
    device.submit(Tag(998), Request::Flush);
    drain(device);
}

#[test]
fn what_was_flushed_survives_every_crash() {
    for seed in 0..200 {
        let mut device = SimDevice::new(4, seed);
        write(&mut device, 1, 0, 7);
        drain(&mut device);
        flush(&mut device);
        write(&mut device, 2, 1, 8);
        drain(&mut device);
        assert_eq!(read(&mut device, 1), 8);
        let image = device.crash(&mut Rng::new(seed));
        assert_eq!(image.page(0), &[7; PAGE_BYTES]);
    }
}

#[test]
fn a_flush_covers_only_what_had_completed_when_it_was_submitted() {
    let mut lost = 0;
    for seed in 0..200 {
        let mut device = SimDevice::new(4, seed);
        write(&mut device, 1, 0, 7);
        device.submit(Tag(2), Request::Flush);
        drain(&mut device);
        lost += u64::from(device.minimal_image().page(0)[0] == 0);
    }
    assert_eq!(lost, 200, "the write was in flight when the flush was submitted");
}

#[test]
fn all_subsets_of_unflushed_writes_are_possible() {
    let mut seen = BTreeSet::new();
    let mut torn = 0;
    for seed in 0..3000 {
        let mut device = SimDevice::new(4, seed);
        for at in 0..4 {
            write(&mut device, at, at, 9);
        }
        let mut done = Vec::new();
        device.poll(&mut done);
        let image = device.crash(&mut Rng::new(seed));
        let whole = |at: u64| image.page(at) == &[9; PAGE_BYTES];
        let partial = |at: u64| !whole(at) && image.page(at) != &[0; PAGE_BYTES];
        torn += u64::from((0..4).any(partial));
        if !(0..4).any(partial) {
            seen.insert((0..4).map(whole).collect::<Vec<_>>());
        }
    }
    assert_eq!(seen.len(), 16, "each of four pages there or missing");
    assert!(torn > 100, "only {torn} torn images");
}

#[test]
fn completions_come_in_any_order() {
    let mut orders = BTreeSet::new();
    for seed in 0..500 {
        let mut device = SimDevice::new(3, seed);
        for at in 0..3 {
            write(&mut device, at, at, 1);
        }
        orders.insert(drain(&mut device).iter().map(|done| done.tag.0).collect::<Vec<_>>());
    }
    assert_eq!(orders.len(), 6);
}

#[test]
#[should_panic(expected = "is in flight")]
fn overlapping_writes_end_the_run() {
    let mut device = SimDevice::new(4, 1);
    write(&mut device, 1, 2, 1);
    write(&mut device, 2, 2, 1);
}

#[test]
fn after_the_power_failed_everything_is_gone() {
    let mut device = SimDevice::new(4, 1);
    device.crash_after(1);
    write(&mut device, 1, 0, 1);
    write(&mut device, 2, 1, 1);
    let done = drain(&mut device);
    assert_eq!(done.iter().filter(|done| done.result.is_ok()).count(), 1);
    assert_eq!(done.iter().filter(|done| done.result == Err(DeviceError::Gone)).count(), 1);
    assert!(device.is_gone() && done.iter().all(|done| done.frames.is_some()));
    device.submit(Tag(3), Request::Flush);
    assert_eq!(drain(&mut device)[0].result, Err(DeviceError::Gone));
}

#[test]
fn a_killed_process_leaves_readable_volatile_pages() {
    let mut landed = BTreeSet::new();
    for seed in 0..50 {
        let mut device = SimDevice::new(4, seed);
        write(&mut device, 1, 0, 7);
        drain(&mut device);
        write(&mut device, 2, 1, 8);
        let mut device = device.kill(&mut Rng::new(seed));
        assert_eq!(read(&mut device, 0), 7, "what had completed is readable");
        assert_eq!(device.minimal_image().page(0)[0], 0, "and not durable");
        landed.insert(read(&mut device, 1));
        flush(&mut device);
        assert_eq!(device.minimal_image().page(0)[0], 7, "until the next process flushes");
    }
    assert_eq!(landed, BTreeSet::from([0, 8]), "what was in flight may land or not");
}

#[test]
fn a_failed_flush_is_never_made_good() {
    let mut device = SimDevice::new(4, 1);
    device.set_faults(Faults::plan(&[Fault::medium(FaultKind::Flush, 0, false)]));
    write(&mut device, 1, 0, 7);
    drain(&mut device);
    flush(&mut device);
    flush(&mut device);
    assert_eq!(device.minimal_image().page(0)[0], 0, "the second flush says nothing of what the first one failed");
    assert_eq!(device.faults_given(), 1);
}

#[test]
fn growth_may_be_lost_until_it_is_flushed() {
    let mut lengths = BTreeSet::new();
    for seed in 0..100 {
        let mut device = SimDevice::new(1, seed);
        device.submit(Tag(1), Request::Grow { pages: 8 });
        drain(&mut device);
        write(&mut device, 2, 7, 1);
        drain(&mut device);
        lengths.insert(device.crash(&mut Rng::new(seed)).pages());
    }
    assert_eq!(lengths, BTreeSet::from([1, 8]));
}

#[test]
fn past_the_end_is_an_error_that_brings_the_frames_home() {
    let mut device = SimDevice::new(2, 1);
    device.submit(Tag(1), Request::Read { at: PageNo(1), frames: Frames::zeroed(2) });
    let done = drain(&mut device);
    assert_eq!(done[0].result, Err(DeviceError::PastEnd { page: 2, end: 2 }));
    assert_eq!(done[0].frames.as_ref().map(Frames::pages), Some(2));
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    let run = |seed| {
        let mut device = SimDevice::new(8, seed);
        for at in 0..8 {
            write(&mut device, at, at, 1);
        }
        drain(&mut device);
        (device.trace(), device.crash(&mut Rng::new(seed)).digest())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

fn punch(device: &mut SimDevice, at: u64, pages: u64) -> Result<(), DeviceError> {
    device.submit(Tag(997), Request::Punch { at: PageNo(at), pages });
    drain(device).pop().expect("one request, one completion").result
}

/// A device of four pages that are all 7, durably, and of which the two in the middle were punched.
fn punched(seed: u64) -> SimDevice {
    let mut device = SimDevice::new(4, seed);
    (0..4).for_each(|at| write(&mut device, at, at, 7));
    drain(&mut device);
    flush(&mut device);
    assert_eq!(punch(&mut device, 1, 2), Ok(()));
    device
}

/// What the sectors of both punched pages are; each is of one kind, and the pages around them are as they were.
fn sectors(image: &Image) -> Vec<u8> {
    assert_eq!((image.page(0), image.page(3)), (&[7; PAGE_BYTES], &[7; PAGE_BYTES]));
    let both = [1, 2].map(|at| image.page(at).chunks(SECTOR_BYTES));
    let kind = |sector: &[u8]| {
        assert!(sector.iter().all(|byte| *byte == sector[0]), "a punch tears no sector");
        sector[0]
    };
    both.into_iter().flatten().map(kind).collect()
}

/// Wholly zeros, wholly what was there, or some of both.
fn manner(sectors: &[u8]) -> &'static str {
    assert!(sectors.iter().all(|sector| [0, 7].contains(sector)), "{sectors:?}");
    match (sectors.contains(&0), sectors.contains(&7)) {
        (true, false) => "zeros",
        (false, true) => "old",
        _ => "both",
    }
}

const MANNERS: [&str; 3] = ["both", "old", "zeros"];

/// What reads see of both punched pages.
fn read_sectors(device: &mut SimDevice) -> Vec<u8> {
    device.submit(Tag(999), Request::Read { at: PageNo(1), frames: Frames::zeroed(2) });
    let done = drain(device).pop().expect("one request, one completion");
    let frames = done.frames.expect("frames come home");
    assert_eq!(frames.bytes()[..PAGE_BYTES], device.view().page(1)[..], "the view is what reads see");
    sectors(device.view())
}

#[test]
fn punched_sectors_are_zeros_or_what_was_there() {
    let (mut seen, mut settled, mut changed) = (BTreeSet::new(), BTreeSet::new(), 0);
    for seed in 0..200 {
        let mut device = punched(seed);
        assert_eq!(manner(&sectors(&device.minimal_image())), "old", "it is not durable");
        let first = read_sectors(&mut device);
        seen.insert(manner(&first));
        changed += u64::from((0..8).any(|_| read_sectors(&mut device) != first));
        flush(&mut device);
        let stays = read_sectors(&mut device);
        settled.insert(manner(&stays));
        assert!((0..8).all(|_| read_sectors(&mut device) == stays), "after a flush it is the one or the other");
        assert_eq!(sectors(&device.minimal_image()), stays);
        assert_eq!(sectors(&device.crash(&mut Rng::new(seed))), stays);
        assert_eq!((device.counts().punches, device.counts().writes), (1, 4));
    }
    assert_eq!((seen, settled), (BTreeSet::from(MANNERS), BTreeSet::from(MANNERS)));
    assert!(changed > 100, "before the flush reads of {changed} of 200 devices differed");
}

#[test]
fn until_a_flush_a_power_failure_may_bring_back_what_was_punched() {
    let (mut left, mut unlike_reads) = (BTreeSet::new(), 0);
    for seed in 0..300 {
        let mut device = punched(seed);
        let before = read_sectors(&mut device);
        let after = sectors(&device.crash(&mut Rng::new(seed)));
        left.insert(manner(&after));
        unlike_reads += u64::from(manner(&before) == "zeros" && after.contains(&7));
        // In flight it is the same: it has happened, or not, or in part.
        let mut device = punched(seed);
        flush(&mut device);
        (1..3).for_each(|at| write(&mut device, at, at, 7));
        drain(&mut device);
        flush(&mut device);
        device.submit(Tag(1), Request::Punch { at: PageNo(1), pages: 2 });
        left.insert(manner(&sectors(&device.crash(&mut Rng::new(seed)))));
    }
    assert_eq!(left, BTreeSet::from(MANNERS));
    assert!(unlike_reads > 10, "{unlike_reads} power failures brought back what reads had seen as zeros");
}

#[test]
fn a_flush_in_flight_does_not_cover_a_punch() {
    for seed in 0..100 {
        let mut device = punched(seed);
        flush(&mut device);
        (1..3).for_each(|at| write(&mut device, at, at, 7));
        drain(&mut device);
        flush(&mut device);
        device.submit(Tag(1), Request::Punch { at: PageNo(1), pages: 2 });
        device.submit(Tag(2), Request::Flush);
        drain(&mut device);
        assert_eq!(manner(&sectors(&device.minimal_image())), "old");
    }
}

#[test]
fn what_is_written_to_punched_pages_is_read_and_kept() {
    for seed in 0..100 {
        let mut device = punched(seed);
        write(&mut device, 1, 1, 9);
        drain(&mut device);
        for _ in 0..4 {
            assert_eq!(read(&mut device, 1), 9, "whatever becomes of the page beside it");
            read(&mut device, 2);
        }
        assert_eq!(device.view().page(1), &[9; PAGE_BYTES]);
        flush(&mut device);
        assert_eq!(device.crash(&mut Rng::new(seed)).page(1), &[9; PAGE_BYTES]);
    }
}

#[test]
fn a_failed_punch_changes_nothing_or_some_of_it() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let mut device = SimDevice::new(4, seed);
        (0..4).for_each(|at| write(&mut device, at, at, 7));
        drain(&mut device);
        flush(&mut device);
        device.set_faults(Faults::plan(&[Fault::medium(FaultKind::Punch, 0, false)]));
        assert_eq!(punch(&mut device, 1, 2), Err(DeviceError::Io { errno: 5 }));
        assert_eq!(device.faults_given(), 1);
        let found = read_sectors(&mut device);
        seen.insert(manner(&found));
        assert_eq!(punch(&mut device, 3, 2), Err(DeviceError::PastEnd { page: 4, end: 4 }));
        assert_eq!(device.view().page(3), &[7; PAGE_BYTES], "what reaches past the end changes nothing");
    }
    assert_eq!(seen, BTreeSet::from(MANNERS));
}

#[test]
fn a_killed_process_leaves_punched_pages_in_any_state() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let mut device = punched(seed).kill(&mut Rng::new(seed));
        assert_eq!(manner(&sectors(&device.minimal_image())), "old");
        seen.insert(manner(&read_sectors(&mut device)));
    }
    assert_eq!(seen, BTreeSet::from(MANNERS));
}

#[test]
fn nothing_overlaps_a_punch_in_flight() {
    let read = || Request::Read { at: PageNo(2), frames: Frames::zeroed(1) };
    let write = || Request::Write { at: PageNo(2), frames: Frames::zeroed(1) };
    let zero = || Request::Zero { at: PageNo(0), pages: 3 };
    let punch = || Request::Punch { at: PageNo(2), pages: 2 };
    let makes: [&dyn Fn() -> Request; 4] = [&read, &write, &zero, &punch];
    let submit = |requests: [Request; 2]| {
        let mut device = SimDevice::new(8, 1);
        for (tag, request) in (0..).zip(requests) {
            device.submit(Tag(tag), request);
        }
    };
    for other in makes {
        for requests in [[other(), punch()], [punch(), other()]] {
            let text = format!("{requests:?}");
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| submit(requests)));
            assert!(ended.is_err(), "{text}");
        }
    }
    // Side by side they may be in flight, and a read beside a write as ever.
    let beside = || Request::Punch { at: PageNo(3), pages: 5 };
    makes[..3].iter().for_each(|other| submit([other(), beside()]));
    submit([read(), write()]);
    submit([write(), read()]);
}

#[test]
fn every_state_of_punched_pages_is_shown_and_no_other() {
    let device = punched(1);
    let (mut shown, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut see = |image: Image| {
        let sectors = sectors(&image);
        seen.insert(manner(&sectors));
        shown.insert(sectors);
        Ok::<(), ()>(())
    };
    device.power_failures(true, &mut see).expect("nothing is refused");
    assert_eq!(seen, BTreeSet::from(MANNERS));
    // Four subsets of two pages; with the other page there and missing, one sector of eight alone and all but one, of each page.
    assert_eq!(shown.len(), 4 + 2 * 2 * 16);
}

#[test]
fn the_trace_tells_punches_apart() {
    let run = |at, pages| {
        let mut device = SimDevice::new(8, 5);
        assert_eq!(punch(&mut device, at, pages), Ok(()));
        device.trace()
    };
    assert_eq!(run(1, 2), run(1, 2));
    assert!(run(1, 2) != run(1, 3) && run(1, 2) != run(2, 2));
    let mut zeroed = SimDevice::new(8, 5);
    zeroed.submit(Tag(997), Request::Zero { at: PageNo(1), pages: 2 });
    drain(&mut zeroed);
    assert!(run(1, 2) != zeroed.trace());
}

/// The bytes of two pages, and the device's length, in each way of failing.
fn left(device: &SimDevice, bounds: Bounds) -> (u64, BTreeSet<(u64, Vec<u8>)>) {
    let mut seen = BTreeSet::new();
    let see = &mut |left: &Left<'_>| {
        let image = left.image();
        let sectors = (0..image.pages()).flat_map(|at| image.page(at).chunks(512).map(|sector| sector[0]));
        seen.insert((image.pages(), sectors.collect()));
        Ok::<_, ()>(())
    };
    let shown = device.sectors_left(bounds, see).unwrap();
    (shown, seen)
}

#[test]
fn each_subset_of_few_sectors_is_left_and_no_other() {
    let mut device = SimDevice::new(2, 1);
    let mut torn = Frames::zeroed(1);
    (torn.bytes_mut()[0], torn.bytes_mut()[700]) = (9, 9);
    torn.bytes_mut()[512] = 9;
    device.submit(Tag(1), Request::Write { at: PageNo(0), frames: torn });
    let few = Bounds { sectors: 4, requests: 1 };
    // Two sectors are new, the others are what they were.
    assert_eq!((left(&device, few).0, left(&device, few).1.len()), (4, 4));
    device.submit(Tag(2), Request::Grow { pages: 3 });
    assert_eq!(left(&device, few).1.len(), 8, "with and without the growth");
    drain(&mut device);
    assert_eq!(left(&device, few).1.len(), 8, "what has completed is no more durable than what has not");
    flush(&mut device);
    assert_eq!(left(&device, few), (1, BTreeSet::from([(3, left(&device, few).1.first().unwrap().1.clone())])));
}

#[test]
fn of_many_sectors_whole_requests_and_torn_ones_are_left() {
    let mut device = SimDevice::new(2, 1);
    write(&mut device, 1, 0, 1);
    write(&mut device, 2, 1, 2);
    let (shown, seen) = left(&device, Bounds { sectors: 8, requests: 8 });
    let of = |first: [u8; 8], second: [u8; 8]| (2, [first, second].concat());
    // Four subsets of the two; of each its halves and all but one of its eight sectors, with and without the other.
    assert_eq!((shown, seen.len()), (4 + 2 * 10 * 2, 4 + 2 * 10 * 2));
    for whole in [of([0; 8], [0; 8]), of([1; 8], [0; 8]), of([0; 8], [2; 8]), of([1; 8], [2; 8])] {
        assert!(seen.contains(&whole), "{whole:?}");
    }
    assert!(
        seen.contains(&of([1, 1, 1, 1, 0, 0, 0, 0], [2; 8])) && seen.contains(&of([0; 8], [0, 0, 0, 0, 2, 2, 2, 2]))
    );
    assert!(
        seen.contains(&of([1, 0, 1, 1, 1, 1, 1, 1], [0; 8])) && !seen.contains(&of([1, 0, 0, 1, 1, 1, 1, 1], [0; 8]))
    );
    // A later write of the same sector goes over the earlier one, or is missing.
    drain(&mut device);
    write(&mut device, 3, 0, 3);
    let (_, seen) = left(&device, Bounds { sectors: 8, requests: 8 });
    assert!(
        seen.contains(&of([3; 8], [0; 8])) && seen.contains(&of([1; 8], [0; 8])) && seen.contains(&of([0; 8], [2; 8]))
    );
    assert!(seen.contains(&of([1, 1, 1, 1, 3, 3, 3, 3], [2; 8])));
    let (shown, _) = left(&device, Bounds { sectors: 8, requests: 2 });
    assert_eq!(shown, 8 + 3 * 10 * 2, "of three requests the last two in each way, with and without the first");
}
