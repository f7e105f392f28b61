use super::*;
use crate::golden;
use proptest::prelude::*;

const SALT: u32 = 0x5a17_5a17;

fn header() -> PageHeader {
    PageHeader {
        kind: PageKind::Log,
        previous: 0x0102_0304,
        used: 11,
        log: ShardId(3),
        incarnation: Incarnation(0x0a_0b0c),
        segment: SegmentId(0x1112_1314),
        index: 0x2122_2324,
        seq: 0x3132_3334_3536_3738,
        epoch: EpochId::new(Incarnation(0x0a_0b0c), 0x41_4243_4445),
        horizon: EpochId::new(Incarnation(0x0a_0b0c), 0x41_4243_4444),
        owner: TableId(0x5152_5354),
        domain: 0x6162_6364_6566_6768,
    }
}

/// A page that reclaim copied records of a table to.
fn of_table(kind: PageKind) -> PageHeader {
    PageHeader { kind, epoch: EpochId(0), ..header() }
}

fn page(header: &PageHeader, salt: u32) -> [u8; PAGE_BYTES] {
    let mut page = [0xee; PAGE_BYTES];
    payload_mut(&mut page)[..11].copy_from_slice(b"hello world");
    seal(&mut page, header, salt);
    page
}

fn any_header() -> impl Strategy<Value = PageHeader> {
    let place = (any::<u32>(), any::<u32>(), any::<u64>());
    let rest = (any::<u32>(), 0..=4016_u16, 0..24_u8, 0..=INCARNATION_MAX, any::<(u64, u64, u32, u64)>());
    (1..=9_u8, place, rest).prop_map(|(kind, (segment, index, seq), (previous, used, log, incarnation, rest))| {
        PageHeader {
            kind: PageKind::from_byte(kind).expect("one of the nine kinds"),
            previous,
            used,
            log: ShardId(log),
            incarnation: Incarnation(incarnation),
            segment: SegmentId(segment),
            index,
            seq,
            epoch: EpochId(rest.0),
            horizon: EpochId(rest.1),
            owner: TableId(rest.2),
            domain: rest.3,
        }
    })
}

#[test]
fn the_bytes_are_those_of_the_first_version() {
    golden::check("page", include_str!("../golden/page.hex"), &page(&header(), SALT));
    golden::check("page_table", include_str!("../golden/page_table.hex"), &page(&of_table(PageKind::Table), SALT));
}

#[test]
fn only_what_its_chain_goes_through_is_of_a_log() {
    use PageKind::{
        Checkpoint, CheckpointFooter, LargeBody, LargeHead, Log, SegmentHeader, Summary, SummaryFooter, Table,
    };
    let all = [SegmentHeader, Log, LargeHead, LargeBody, Summary, SummaryFooter, Table, Checkpoint, CheckpointFooter];
    let of_log = |owner| all.map(|kind| PageHeader { owner: TableId(owner), ..of_table(kind) }.is_of_log());
    assert_eq!(of_log(0), [true, true, true, true, false, false, false, false, false]);
    assert_eq!(of_log(9), [true, true, false, false, false, false, false, false, false]);
}

#[test]
fn every_flipped_bit_is_found() {
    let mut page = page(&header(), SALT);
    for bit in 0..PAGE_BYTES * 8 {
        page[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(parse(&page, SALT), Err(PageError::Damaged(_))), "bit {bit} went unnoticed");
        page[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(parse(&page, SALT), Ok(header()));
}

#[test]
fn every_tear_at_512_bytes_is_found() {
    let (old, new) = (page(&PageHeader { seq: 1, ..header() }, SALT), page(&PageHeader { seq: 2, ..header() }, SALT));
    let mut other = new;
    payload_mut(&mut other).fill(7);
    seal(&mut other, &PageHeader { seq: 3, used: 4016, ..header() }, SALT);
    for (below, above) in [(&old, &other), (&new, &other), (&other, &old), (&[0; PAGE_BYTES], &other)] {
        for sectors in 1..255_u32 {
            let mut torn = *below;
            for sector in (0..8).filter(|sector| sectors >> sector & 1 == 1) {
                torn[sector * 512..][..512].copy_from_slice(&above[sector * 512..][..512]);
            }
            assert!(torn == *below || torn == *above || parse(&torn, SALT).is_err(), "sectors {sectors:b}");
        }
    }
}

#[test]
fn zeros_are_blank_under_every_salt_and_never_a_page() {
    for salt in [0, 1, u32::MAX, SALT] {
        assert_eq!(parse(&[0; PAGE_BYTES], salt), Err(PageError::Blank));
    }
    let mut one_bit = [0; PAGE_BYTES];
    one_bit[4095] = 0x80;
    assert_eq!(parse(&one_bit, SALT), Err(PageError::Damaged(PageDamage::Magic { found: 0 })));
}

#[test]
fn a_page_of_another_salt_is_damaged() {
    let page = page(&header(), SALT);
    assert!(matches!(parse(&page, SALT + 1), Err(PageError::Damaged(PageDamage::Checksum { .. }))));
}

#[test]
fn what_the_payload_does_not_use_is_zero() {
    let page = page(&header(), SALT);
    assert!(is_zero(&page[PAGE_HEADER_BYTES + 11..]));
    assert_eq!(payload(&page, &header()), b"hello world");
}

#[test]
fn a_full_payload_fits_and_one_byte_more_does_not() {
    let full = PageHeader { used: 4016, ..header() };
    let mut page = page(&full, SALT);
    assert_eq!(parse(&page, SALT), Ok(full));
    USED.put(&mut page, 4017_u16.to_le_bytes());
    assert_eq!(parse(&resealed(page), SALT), Err(PageError::Damaged(PageDamage::Field { field: "used" })));
}

#[test]
fn fields_that_this_version_does_not_write_are_refused_under_a_right_checksum() {
    let plant: [(usize, u8, &str); 8] = [
        (12, 0, "kind"),
        (12, 10, "kind"),
        (13, 1, "flags"),
        (16, 24, "log"),
        (17, 1, "zero"),
        (23, 1, "incarnation"),
        (60, 1, "zero"),
        (79, 1, "zero"),
    ];
    for (at, byte, field) in plant {
        let mut page = page(&header(), SALT);
        page[at] = byte;
        assert_eq!(parse(&resealed(page), SALT), Err(PageError::Damaged(PageDamage::Field { field })), "byte {at}");
    }
}

fn resealed(mut page: [u8; PAGE_BYTES]) -> [u8; PAGE_BYTES] {
    let sum = checksum(SALT, &page[4..]);
    CHECKSUM.put(&mut page, sum.to_le_bytes());
    page
}

#[test]
fn a_page_knows_its_place() {
    let header = header();
    assert!(header.lies_at(header.domain, header.segment, header.index));
    assert!(!header.lies_at(header.domain + 1, header.segment, header.index));
    assert!(!header.lies_at(header.domain, SegmentId(0), header.index));
    assert!(!header.lies_at(header.domain, header.segment, header.index + 1));
    assert_eq!(domain_mark(DomainId(7 << 64 | 5)), 5);
}

proptest! {
    #[test]
    fn a_page_round_trips(header in any_header(), salt: u32, byte: u8) {
        let mut page = [byte; PAGE_BYTES];
        let sum = seal(&mut page, &header, salt);
        prop_assert_eq!(parse(&page, salt), Ok(header));
        prop_assert_eq!(stored_checksum(&page), sum);
        prop_assert_eq!(payload(&page, &header).len(), usize::from(header.used));
    }

    #[test]
    fn random_bytes_are_not_a_page(bytes in proptest::collection::vec(any::<u8>(), PAGE_BYTES), magic: bool, salt: u32) {
        let mut page: [u8; PAGE_BYTES] = bytes.try_into().expect("a page of bytes");
        if magic {
            MAGIC.put(&mut page, PAGE_MAGIC.to_le_bytes());
        }
        prop_assert!(parse(&page, salt).is_err());
    }
}
