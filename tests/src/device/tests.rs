//! The device does what the seam promises and takes every liberty that it does not exclude.

use super::*;
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
