use super::*;
use crate::ids::{DomainId, EpochId, Incarnation, ShardId};
use crate::log::LogIdentity;

const INCARNATION: Incarnation = Incarnation(3);
const REFUSAL: DeviceError = DeviceError::NoSpace { errno: 28 };

/// A log's space on a device that may be so many pages long, and has room up to some page: as in a file system, where length
/// and room are two things.
struct Bench {
    space: Space,
    length: u64,
    room: u64,
    asked: u32,
}

impl Bench {
    /// Segments of eight pages, none of them there yet; room for so many.
    fn new(zero_pages: u32, pages_max: Option<u64>, segments: u32) -> Self {
        let identity =
            LogIdentity { domain: DomainId(5), salt: 77, incarnation: INCARNATION, log: ShardId(0), cut_before: None };
        let horizon = EpochId::base(INCARNATION);
        let config =
            LogConfig { identity, segment_pages: 8, tail_pages: 8, zero_pages, segments: 0, pages_max, horizon };
        let mut bench = Self { space: Space::new(&config), length: 0, room: 0, asked: 0 };
        bench.set_segments(segments);
        bench
    }

    /// Lets the device have so many segments, and room for them.
    fn set_segments(&mut self, segments: u32) {
        self.length = Geometry::new(8).pages_for(segments);
        self.room = self.length;
    }

    /// Carries out what is asked while so many pages of the run are used.
    fn settle(&mut self, used: u64) {
        while let Some(request) = self.space.next_request(used) {
            self.asked += 1;
            assert!(self.asked < 100, "it asks without end, now for {request:?}");
            let fits = match request {
                Request::Grow { pages } => pages <= self.length,
                Request::Zero { at, pages } => at.0 + pages <= self.room,
                Request::Read { .. } | Request::Write { .. } | Request::Flush | Request::Punch { .. } => {
                    unreachable!("space asks for room alone")
                }
            };
            self.space.completed(if fits { Ok(()) } else { Err(REFUSAL) });
        }
    }

    /// Waits for a run.
    fn take(&mut self, pages: u64, used: u64) -> Result<Run, DeviceError> {
        loop {
            if let Some(run) = self.space.take(pages)? {
                return Ok(run);
            }
            self.settle(used);
        }
    }

    /// Waits until the run can be written up to a page.
    fn zero(&mut self, end: u64) -> Result<(), DeviceError> {
        while !self.space.zero_ahead(end)? {
            self.settle(0);
        }
        Ok(())
    }
}

#[test]
fn who_waits_is_refused_once_and_may_try_again() {
    let mut bench = Bench::new(1, None, 0);
    for _ in 0..2 {
        let asked = bench.asked;
        assert_eq!(bench.take(5, 0), Err(REFUSAL));
        assert_eq!(bench.asked, asked + 1, "one request, one refusal");
        bench.settle(0);
        assert_eq!(bench.asked, asked + 1, "nobody waits any more");
    }
    bench.set_segments(100);
    assert_eq!(bench.take(5, 0).map(|run| (run.segment, run.segments)), Ok((SegmentId(0), 1)));
    bench.room = 0;
    assert_eq!(bench.zero(8), Err(REFUSAL));
    bench.room = 1000;
    assert_eq!(bench.zero(8), Ok(()));
}

/// A commit that fitted the segment in use was refused for want of the next one.
#[test]
fn growth_ahead_that_is_refused_is_nobodys_refusal() {
    let mut bench = Bench::new(1, None, 1);
    bench.take(1, 0).unwrap();
    bench.settle(7);
    assert_eq!(bench.zero(8), Ok(()), "it has room in the run");
    let asked = bench.asked;
    for _ in 0..10 {
        bench.settle(7);
    }
    assert!(bench.asked <= asked + 1, "what is refused ahead of its use is not asked for over and over");
    assert_eq!(bench.take(1, 7), Err(REFUSAL), "the next run is another matter");
}

/// A small commit was refused for a large one that had gone away.
#[test]
fn a_refusal_is_for_who_needs_as_much() {
    let mut bench = Bench::new(1, None, 1);
    assert_eq!(bench.space.take(20), Ok(None));
    bench.settle(0);
    // Whoever asked has gone; this one fits.
    assert_eq!(bench.take(5, 0).map(|run| run.segments), Ok(1));
    let mut bench = Bench::new(1, None, 1);
    bench.take(1, 0).unwrap();
    bench.room = Geometry::new(8).pages_for(0) + 4;
    assert_eq!(bench.space.zero_ahead(8), Ok(false));
    bench.settle(0);
    assert_eq!(bench.zero(4), Ok(()));
}

/// What was refused to somebody who has gone says nothing to who comes later: room may have been made since.
#[test]
fn who_asks_anew_is_not_told_of_an_old_refusal() {
    let mut bench = Bench::new(1, None, 0);
    assert_eq!(bench.space.take(5), Ok(None));
    bench.settle(0);
    bench.set_segments(1);
    bench.space.asked_anew();
    assert_eq!(bench.take(5, 0).map(|run| run.segments), Ok(1));
    bench.room = 0;
    assert_eq!(bench.space.zero_ahead(8), Ok(false));
    bench.settle(0);
    bench.set_segments(1);
    bench.space.asked_anew();
    assert_eq!(bench.zero(8), Ok(()));
}

/// Zero-filling goes in steps, and a commit was refused where only the whole step had no room.
#[test]
fn a_step_ahead_that_is_refused_is_tried_without_the_step() {
    let mut bench = Bench::new(6, None, 1);
    bench.room -= 3;
    assert_eq!(bench.take(2, 0).map(|run| run.segments), Ok(1), "two pages have room where six have not");
    assert_eq!(bench.zero(5), Ok(()));
    assert_eq!(bench.zero(6), Err(REFUSAL));
    bench.room += 3;
    assert_eq!(bench.zero(6), Ok(()));
}

/// A segment that had been grown ahead was forgotten when a larger run was refused, and also when it was granted.
#[test]
fn segments_that_were_grown_ahead_are_kept() {
    let grown = |room| {
        let mut bench = Bench::new(1, None, 2);
        bench.take(1, 0).unwrap();
        bench.settle(7);
        assert_eq!((bench.space.status().segments, bench.space.status().segments_free), (2, 1));
        bench.set_segments(room);
        bench
    };
    let mut refused = grown(2);
    assert_eq!(refused.take(20, 7), Err(REFUSAL));
    assert_eq!(refused.space.status().segments_free, 1, "it is there still");
    assert_eq!(refused.take(5, 7).map(|run| (run.segment, run.segments)), Ok((SegmentId(1), 1)));
    let mut granted = grown(4);
    assert_eq!(granted.take(20, 7).map(|run| (run.segment, run.segments)), Ok((SegmentId(1), 3)));
    assert_eq!(granted.space.status().segments, 4, "nothing lies idle between the runs");
}

/// The cap counted a segment twice that was grown ahead.
#[test]
fn a_cap_counts_what_was_grown_ahead_once() {
    let cap = Geometry::new(8).pages_for(4);
    let mut bench = Bench::new(1, Some(cap), 100);
    bench.take(1, 0).unwrap();
    bench.settle(7);
    assert_eq!(bench.take(25, 7), Err(REFUSAL), "four segments more are too many");
    assert_eq!(bench.take(20, 7).map(|run| run.segments), Ok(3));
    assert_eq!(bench.space.status().pages, cap);
}
