use super::*;
use crate::golden;
use proptest::prelude::*;

const SALT: u32 = 0x5a17_5a17;

fn header() -> SegmentHeader {
    SegmentHeader {
        domain: DomainId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        segment: SegmentId(0x1112_1314),
        run: 2,
        segment_pages: 16_384,
        incarnation: Incarnation(9),
        log: ShardId(3),
        purpose: Purpose::Log,
        first_seq: 0x3132_3334_3536_3738,
        cut_before: None,
    }
}

fn header_with_cut() -> SegmentHeader {
    SegmentHeader { cut_before: Some(EpochId::new(Incarnation(8), 0x41_4243_4445)), ..header() }
}

fn header_of_table() -> SegmentHeader {
    SegmentHeader { purpose: Purpose::Table, ..header() }
}

fn page(header: &SegmentHeader) -> [u8; PAGE_BYTES] {
    let mut page = [0xee; PAGE_BYTES];
    header.seal(&mut page, 0x0a0b_0c0d, EpochId::new(Incarnation(9), 4), TableId(0), SALT);
    page
}

#[test]
fn the_bytes_are_those_of_the_first_version() {
    golden::check("segment", include_str!("../golden/segment.hex"), &page(&header()));
    golden::check("segment_cut", include_str!("../golden/segment_cut.hex"), &page(&header_with_cut()));
    golden::check("segment_table", include_str!("../golden/segment_table.hex"), &page(&header_of_table()));
}

#[test]
fn header_and_page_agree() {
    let page = page(&header());
    let (read, outer) = SegmentHeader::parse(&page, SALT).expect("it was just sealed");
    assert_eq!(read, header());
    let checkpoint = SegmentHeader { purpose: Purpose::Checkpoint, ..header_with_cut() };
    for header in [header_with_cut(), header_of_table(), checkpoint] {
        assert_eq!(SegmentHeader::parse(&self::page(&header), SALT).map(|(read, _)| read), Ok(header));
    }
    assert_eq!((outer.previous, outer.seq, outer.index, outer.epoch.0), (0x0a0b_0c0d, header().first_seq, 0, 0));
    assert!(outer.lies_at(page::domain_mark(header().domain), header().segment, 0));
}

#[test]
fn a_header_that_contradicts_its_page_is_refused() {
    let plant = [
        ("domain", 0),
        ("segment", 16),
        ("run", 20),
        ("segment_pages", 25),
        ("incarnation", 28),
        ("log", 32),
        ("purpose", 33),
        ("zero", 34),
        ("zero", 39),
    ];
    for (field, at) in plant.into_iter().chain([("first_seq", 40)]) {
        let mut page = page(&header());
        let outer = page::parse(&page, SALT).expect("sealed");
        page::payload_mut(&mut page)[at] = if field == "run" || field == "segment_pages" { 0 } else { 0x77 };
        page::seal(&mut page, &outer, SALT);
        assert_eq!(SegmentHeader::parse(&page, SALT), Err(SegmentError::Field { field }), "byte {at}");
    }
    for cut in [EpochId::new(Incarnation(9), 1), EpochId::base(Incarnation(8))] {
        let mut page = page(&header_with_cut());
        let outer = page::parse(&page, SALT).expect("sealed");
        page::payload_mut(&mut page)[48..56].copy_from_slice(&cut.0.to_le_bytes());
        page::seal(&mut page, &outer, SALT);
        assert_eq!(SegmentHeader::parse(&page, SALT), Err(SegmentError::Field { field: "cut_before" }), "{cut}");
    }
    let mut log = page(&header());
    let outer = page::parse(&log, SALT).expect("sealed");
    page::seal(&mut log, &PageHeader { kind: PageKind::Log, ..outer }, SALT);
    assert_eq!(SegmentHeader::parse(&log, SALT), Err(SegmentError::Kind { found: PageKind::Log }));
    page::seal(&mut log, &PageHeader { used: 47, ..outer }, SALT);
    assert_eq!(SegmentHeader::parse(&log, SALT), Err(SegmentError::Field { field: "used" }));
    assert_eq!(SegmentHeader::parse(&[0; PAGE_BYTES], SALT), Err(SegmentError::Page(PageError::Blank)));
}

#[test]
fn segments_lie_behind_the_superblock_one_behind_the_other() {
    let geometry = Geometry::new(8);
    assert_eq!(geometry.first_page(SegmentId(0)), PageNo(64));
    assert_eq!(geometry.segment_of(PageNo(63)), None);
    assert_eq!(geometry.segment_of(PageNo(64)), Some((SegmentId(0), 0)));
    assert_eq!(geometry.segment_of(PageNo(71)), Some((SegmentId(0), 7)));
    assert_eq!(geometry.segment_of(PageNo(72)), Some((SegmentId(1), 0)));
    assert_eq!(geometry.segment_of(PageNo(u64::MAX)), None);
    let segments_in = [0, 63, 64, 71, 72, 79, 80].map(|pages| geometry.segments_in(pages));
    assert_eq!(segments_in, [0, 0, 0, 0, 1, 1, 2]);
    assert_eq!([1, 8, 9, 16, 17].map(|pages| geometry.run_for(pages)), [1, 1, 2, 2, 3]);
    assert_eq!(geometry.footer_page(SegmentId(1), 2), PageNo(64 + 8 + 15));
}

proptest! {
    #[test]
    fn places_round_trip(segment_pages in 8_u32.., segment: u32, index: u32) {
        let geometry = Geometry::new(segment_pages);
        let (segment, index) = (SegmentId(segment), index % segment_pages);
        prop_assert_eq!(geometry.segment_of(geometry.page(segment, index)), Some((segment, index)));
        prop_assert_eq!(geometry.segments_in(geometry.pages_for(segment.0)), segment.0);
    }

    #[test]
    fn random_payloads_under_a_right_checksum_never_panic(bytes in proptest::collection::vec(any::<u8>(), 48)) {
        let mut page = page(&header());
        let outer = page::parse(&page, SALT).expect("sealed");
        page::payload_mut(&mut page)[..48].copy_from_slice(&bytes);
        page::seal(&mut page, &outer, SALT);
        prop_assert!(SegmentHeader::parse(&page, SALT).is_err());
    }
}
