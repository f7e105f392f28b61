use super::*;
use crate::frame::Frames;
use crate::ids::{Incarnation, ShardId, TableId};
use crate::memory::MemoryDevice;
use core::ops::ControlFlow;

const INCARNATION: Incarnation = Incarnation(3);

fn identity() -> DeviceIdentity {
    DeviceIdentity { domain: DomainId(5), salt: 77, geometry: Geometry::new(8) }
}

fn header(segment: u32, purpose: Purpose) -> SegmentHeader {
    SegmentHeader {
        domain: identity().domain,
        segment: SegmentId(segment),
        run: 1,
        segment_pages: 8,
        incarnation: INCARNATION,
        log: ShardId(0),
        purpose,
        first_seq: 1,
        cut_before: None,
    }
}

/// Page 1 of a segment.
fn page(segment: u32, kind: PageKind, owner: u32) -> (PageNo, Frames) {
    let header = PageHeader {
        kind,
        previous: 0,
        used: 0,
        log: ShardId(0),
        incarnation: INCARNATION,
        segment: SegmentId(segment),
        index: 1,
        seq: 2,
        epoch: EpochId(0),
        horizon: EpochId::new(INCARNATION, 4),
        owner: TableId(owner),
        domain: domain_mark(identity().domain),
    };
    let mut frames = Frames::zeroed(1);
    page::seal(frames.page_mut(0), &header, identity().salt);
    (identity().geometry.page(SegmentId(segment), 1), frames)
}

/// A segment of each purpose, each with a header and a page.
fn device() -> MemoryDevice {
    let mut device = MemoryDevice::new(identity().geometry.pages_for(4));
    let mut writes = vec![
        page(0, PageKind::Log, 0),
        page(1, PageKind::Table, 9),
        page(2, PageKind::Checkpoint, 9),
        page(3, PageKind::LargeHead, 9),
    ];
    for (segment, purpose) in (0..).zip([Purpose::Log, Purpose::Table, Purpose::Checkpoint, Purpose::Table]) {
        let mut frames = Frames::zeroed(1);
        header(segment, purpose).seal(frames.page_mut(0), 0, EpochId::new(INCARNATION, 3), TableId(0), identity().salt);
        writes.push((identity().geometry.first_page(SegmentId(segment)), frames));
    }
    Blocking::new(&mut device).write_each(writes).expect("a memory device does not fail");
    device
}

#[test]
fn a_chain_goes_on_in_segments_of_logs_alone() {
    let mut device = device();
    let found = find_runs(&mut Blocking::new(&mut device), &identity()).expect("a memory device does not fail");
    let purposes: Vec<_> = found.runs.iter().map(|run| run.header.purpose).collect();
    assert_eq!(purposes, [Purpose::Log, Purpose::Table, Purpose::Checkpoint, Purpose::Table]);
    // All of them say that they begin a log: the purpose alone tells them apart.
    let goes_on: Vec<_> = found.runs.iter().map(|run| run.continues(Chain::default())).collect();
    assert_eq!(goes_on, [true, false, false, false]);
}

#[test]
#[should_panic(expected = "no log goes through")]
fn a_segment_of_another_purpose_is_not_followed() {
    let mut device = device();
    let mut device = Blocking::new(&mut device);
    let found = find_runs(&mut device, &identity()).expect("a memory device does not fail");
    let _ = follow(&mut device, &identity(), &found.runs[1], Chain::default(), true, &mut |_, _| Ok(()));
}

#[test]
fn pages_of_other_purposes_are_evidence_and_not_of_a_log() {
    let mut device = device();
    let mut seen = Vec::new();
    let pages = 64..identity().geometry.pages_for(4);
    search(&mut Blocking::new(&mut device), &identity(), INCARNATION, pages, &mut |stray| {
        seen.push(stray);
        ControlFlow::Continue(())
    })
    .expect("a memory device does not fail");
    let of_segment = |of_log| [3, 4].map(|counter| Stray::Page { horizon: EpochId::new(INCARNATION, counter), of_log });
    assert_eq!(seen, [true, false, false, false].map(of_segment).concat());
}
