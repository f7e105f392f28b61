//! Space: what segments are used for, and reclaim that is asked for.

use super::{Cell, Ground, Line, On};
use crate::column::Lack;
use domains::{Answer, Op, Status};
use segments::SegmentId;

pub(super) const CHECKS: &[Line] = &[
    ("segments are told without a gap, as many as the status says", On::Own, segments),
    ("reclaim is refused where it is off or there is no device", On::Own, reclaim),
];

fn status(ground: &mut Ground) -> Box<Status> {
    let Answer::Status(status) = ground.on.call(Op::Status).unwrap() else { panic!("another answer") };
    status
}

fn segments(ground: &mut Ground) -> Cell {
    let table = ground.table();
    for n in 0..50_u32 {
        ground.on.put(table, &n.to_le_bytes(), &[3; 900]);
    }
    ground.on.call(Op::Force).unwrap();
    let status = status(ground);
    let Answer::Segments(told) = ground.on.call(Op::Segments { from: SegmentId(0) }).unwrap() else {
        panic!("another answer")
    };
    let mut next = 0;
    for run in &told.runs {
        assert_eq!(run.segment.0, next, "{told:?}");
        next += run.segments;
    }
    assert_eq!((next, told.more, told.device_pages), (status.segments, false, status.device_pages));
    let space = status.space;
    let used = space.log.segments + space.table.segments + space.checkpoint.segments + space.waiting.segments;
    assert_eq!(used + space.aside + status.segments_free, status.segments, "{status:?}");
    if ground.on.lacks(Lack::Persistence) {
        assert_eq!(next, 0, "there is no device");
    } else {
        assert!(space.log.live >= 50, "{status:?}");
    }
    Cell::Holds
}

fn reclaim(ground: &mut Ground) -> Cell {
    assert!(!status(ground).reclaim.on);
    let refused = ground.on.call(Op::Reclaim).unwrap_err();
    let wanted = if ground.on.lacks(Lack::Persistence) { 106 } else { 316 };
    assert_eq!(refused.code(), wanted, "{refused}");
    Cell::Holds
}
