use super::*;
use crate::page::PageKind;
use crate::{EpochId, ShardId, TableId};

fn place(segment: u32, index: u32) -> Place {
    Place::new(Geometry::new(8).page(SegmentId(segment), index), 80, 1)
}

#[test]
fn a_run_is_counted_at_its_first_segment() {
    let mut map = SegmentMap::new(Geometry::new(8));
    map.begin(SegmentId(1), 3, Use::Log, None);
    for index in [1, 8, 23] {
        map.put(place(1, index));
        map.point(place(1, index));
    }
    map.unpoint(place(1, 9));
    let state = map.get(SegmentId(1));
    assert_eq!((state.records, state.live, state.dead(), map.len()), (3, 2, 1, 4));
    assert_eq!(map.segment_of(place(3, 1).page()), Some(SegmentId(1)));
    map.free(SegmentId(1));
    assert!((1..4).all(|segment| map.get(SegmentId(segment)).used == Use::Free));
    assert_eq!(map.segment_of(place(3, 1).page()), Some(SegmentId(3)));
}

#[test]
fn each_use_is_another_life() {
    let mut map = SegmentMap::new(Geometry::new(8));
    let life = |first_seq| Some(Life { incarnation: Incarnation(2), first_seq });
    map.begin(SegmentId(0), 1, Use::Log, life(5));
    let at = place(0, 3).page();
    let header = |seq| PageHeader {
        kind: PageKind::Log,
        previous: 0,
        used: 0,
        log: ShardId(0),
        incarnation: Incarnation(2),
        segment: SegmentId(0),
        index: 3,
        seq,
        epoch: EpochId(0),
        horizon: EpochId(0),
        owner: TableId(0),
        domain: 0,
    };
    assert!(map.is_of_this_life(at, &header(8)));
    assert!(!map.is_of_this_life(at, &header(9)), "a page of another life of its place");
    let before = map.lives(at);
    map.free(SegmentId(0));
    map.begin(SegmentId(0), 1, Use::Table, life(9));
    assert!(map.lives(at) != before && map.is_of_this_life(at, &header(12)));
}

#[test]
fn what_is_named_is_noticed() {
    let mut map = SegmentMap::new(Geometry::new(8));
    map.begin(SegmentId(0), 1, Use::Log, None);
    assert_eq!(map.get(SegmentId(0)).named, 0);
    map.name(place(0, 2));
    let first = map.get(SegmentId(0)).named;
    map.name(place(0, 2));
    assert!(map.get(SegmentId(0)).named > first && first > 0);
}

#[test]
#[should_panic(expected = "was named")]
fn nothing_is_taken_back_that_was_not_told() {
    let mut map = SegmentMap::new(Geometry::new(8));
    map.begin(SegmentId(0), 1, Use::Log, None);
    map.unpoint(place(0, 1));
}
