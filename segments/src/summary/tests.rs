use super::*;
use crate::golden;
use crate::ids::{DomainId, Incarnation, Ordinal, SegmentId, ShardId, Version};
use crate::place::Place;
use crate::record::Revertible;
use crate::segment::Purpose;
use proptest::prelude::*;

const SALT: u32 = 0x5a17_5a17;
const PREVIOUS: u32 = 0x0a0b_0c0d;

fn segment() -> SegmentHeader {
    SegmentHeader {
        domain: DomainId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        segment: SegmentId(5),
        run: 1,
        segment_pages: 64,
        incarnation: Incarnation(9),
        log: ShardId(3),
        purpose: Purpose::Log,
        first_seq: 1000,
        cut_before: None,
    }
}

fn sealed() -> Sealed {
    Sealed {
        segment: segment(),
        previous: PREVIOUS,
        log_pages: 40,
        last_checksum: 0x1a1b_1c1d,
        owner: TableId(0),
        highest_epoch: EpochId::new(Incarnation(9), 70),
        persistent: EpochId::new(Incarnation(9), 71),
        closed: None,
    }
}

fn item(number: u64, key: SummaryKey<'_>) -> SummaryItem<'_> {
    let page = Geometry::new(64).page(SegmentId(5), u32::try_from(number % 39).expect("small") + 1);
    SummaryItem {
        kind: if number.is_multiple_of(3) { ItemKind::Tombstone } else { ItemKind::Pair },
        table: TableId(7),
        version: Version { epoch: EpochId::new(Incarnation(9), 70), ordinal: Ordinal(number) },
        place: Place::new(page, 80, 1),
        key,
        expires_ms: number.is_multiple_of(2).then_some(0x7172_7374),
        revertible: (number % 15 == 2).then_some(Revertible { previous: number << 40, until_ms: number }),
        live_bytes: (number % 12 == 7).then_some(0x8182_8384),
    }
}

fn built(items: &[SummaryItem<'_>]) -> Summary {
    let mut builder = SummaryBuilder::new();
    for item in items {
        let foretold = builder.pages_needed_with(item.bytes());
        builder.push(item);
        assert_eq!(builder.pages_needed(), foretold);
    }
    let needed = builder.pages_needed();
    assert_eq!(usize::try_from(builder.items()), Ok(items.len()));
    let summary = builder.finish(&sealed(), SALT);
    assert_eq!(usize::try_from(needed), Ok(summary.pages.as_ref().map_or(0, Frames::pages) + 1));
    summary
}

fn footer(summary: &Summary) -> Result<Footer, SummaryError> {
    Footer::parse(summary.footer.page(0), SALT, &segment(), PREVIOUS)
}

fn open(summary: &Summary) -> Result<SummaryReader<'_>, SummaryError> {
    SummaryReader::open(footer(summary)?, &segment(), summary.pages.as_ref(), SALT)
}

fn some_items() -> Vec<SummaryItem<'static>> {
    let key = |number: u64| {
        if number.is_multiple_of(5) {
            SummaryKey::Key(b"a whole key")
        } else {
            SummaryKey::Hash(u128::from(number) << 64 | 7)
        }
    };
    (0..200).map(|number| item(number, key(number))).collect()
}

#[test]
fn the_bytes_are_those_of_the_first_version() {
    let summary = built(&[item(1, SummaryKey::Key(b"a key")), item(6, SummaryKey::Hash(0x0102_0304 << 96 | 5))]);
    let pages = summary.pages.as_ref().expect("two items take a page");
    golden::check("summary", include_str!("../golden/summary.hex"), pages.bytes());
    golden::check("footer", include_str!("../golden/footer.hex"), summary.footer.bytes());
    let extended = built(&[item(7, SummaryKey::Key(b"a key"))]);
    let pages = extended.pages.as_ref().expect("an item takes a page");
    golden::check("summary_extended", include_str!("../golden/summary_extended.hex"), pages.bytes());
    assert_eq!((summary.at, summary.footer_at), (PageNo(64 + 320 + 40), PageNo(64 + 320 + 63)));
    assert_eq!(footer(&summary).expect("whole").closed, None);
}

#[test]
fn a_footer_says_what_is_closed_up_to_its_segments_end() {
    let closed = |counter| Some(EpochId::new(Incarnation(9), counter));
    let summary = SummaryBuilder::new().finish(&Sealed { closed: closed(69), ..sealed() }, SALT);
    golden::check("footer_closed", include_str!("../golden/footer_closed.hex"), summary.footer.bytes());
    assert_eq!(footer(&summary).expect("whole").closed, closed(69));
    let summary = SummaryBuilder::new().finish(&Sealed { closed: closed(72), ..sealed() }, SALT);
    assert_eq!(footer(&summary), Err(SummaryError::Footer { field: "epoch" }));
}

#[test]
fn the_chain_goes_on_without_the_data() {
    let footer = footer(&built(&some_items())).expect("whole");
    assert_eq!((footer.first_seq, footer.last_seq, footer.log_pages), (1000, 1039, 40));
    assert_eq!((footer.previous, footer.last_checksum), (PREVIOUS, 0x1a1b_1c1d));
    assert_eq!((footer.highest_epoch.counter(), footer.persistent.counter()), (70, 71));
}

#[test]
fn a_segment_without_items_has_a_footer_alone() {
    let summary = built(&[]);
    assert!(summary.pages.is_none());
    assert_eq!(open(&summary).expect("whole").items().count(), 0);
}

#[test]
fn the_longest_keys_fill_pages_one_by_one() {
    let key = [7; crate::limits::KEY_BYTES_MAX];
    let items = [item(2, SummaryKey::Key(&key)), item(4, SummaryKey::Key(&key)), item(6, SummaryKey::Key(b""))];
    let summary = built(&items);
    assert_eq!(summary.pages.as_ref().map(Frames::pages), Some(2));
    assert_eq!(open(&summary).expect("whole").items().collect::<Vec<_>>(), items);
}

#[test]
fn every_flipped_bit_is_found() {
    let mut summary = built(&some_items());
    for bit in 0..4096 * 8 {
        summary.footer.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
        assert!(footer(&summary).is_err(), "bit {bit} of the footer went unnoticed");
        summary.footer.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
    }
    let bits = summary.pages.as_ref().expect("many items").bytes().len() * 8;
    for bit in (0..bits).step_by(7) {
        let pages = summary.pages.as_mut().expect("many items").bytes_mut();
        pages[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&summary).is_err(), "bit {bit} of the summary went unnoticed");
        summary.pages.as_mut().expect("many items").bytes_mut()[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(open(&summary).expect("whole again").items().collect::<Vec<_>>(), some_items());
}

#[test]
fn a_summary_of_an_earlier_life_of_the_segment_is_not_ours() {
    let summary = built(&some_items());
    let page = summary.footer.page(0);
    let now = segment();
    let others = [
        SegmentHeader { first_seq: 1001, ..now },
        SegmentHeader { incarnation: Incarnation(10), ..now },
        SegmentHeader { log: ShardId(0), ..now },
        SegmentHeader { segment: SegmentId(6), ..now },
        SegmentHeader { domain: DomainId(1), ..now },
        SegmentHeader { run: 2, ..now },
    ];
    for other in others {
        assert_eq!(Footer::parse(page, SALT, &other, PREVIOUS), Err(SummaryError::NotOurs), "{other:?}");
    }
    assert_eq!(Footer::parse(page, SALT, &now, PREVIOUS + 1), Err(SummaryError::NotOurs));
}

#[test]
fn a_page_of_an_older_summary_breaks_the_chain() {
    let (old, mut new) = (built(&some_items()), built(&[&some_items()[..1], &some_items()].concat()));
    let old_pages = old.pages.expect("many items");
    for page in 0..old_pages.pages() {
        let whole = new.pages.clone();
        *new.pages.as_mut().expect("many items").page_mut(page) = *old_pages.page(page);
        assert_eq!(open(&new).map(|_| ()), Err(SummaryError::NotOurs), "page {page}");
        new.pages = whole;
    }
    let found = footer(&new).expect("whole");
    assert_eq!(SummaryReader::open(found, &segment(), None, SALT).map(|_| ()), Err(SummaryError::Items));
}

#[test]
fn a_footer_that_cannot_be_is_refused_under_a_right_checksum() {
    let summary = built(&some_items());
    let header = page::parse(summary.footer.page(0), SALT).expect("sealed");
    for (at, byte, field) in
        [(0, 41, "first_page"), (4, 1, "pages"), (12, 62, "log_pages"), (15, 0xff, "log_pages"), (32, 9, "last_seq")]
    {
        let mut frame = summary.footer.clone();
        page::payload_mut(frame.page_mut(0))[at] = byte;
        page::seal(frame.page_mut(0), &header, SALT);
        let error = Footer::parse(frame.page(0), SALT, &segment(), PREVIOUS);
        assert_eq!(error, Err(SummaryError::Footer { field }), "byte {at}");
    }
    let mut frame = summary.footer.clone();
    page::payload_mut(frame.page_mut(0))[40] = 72;
    page::seal(frame.page_mut(0), &header, SALT);
    let error = Footer::parse(frame.page(0), SALT, &segment(), PREVIOUS);
    assert_eq!(error, Err(SummaryError::Footer { field: "highest_epoch" }));
}

#[test]
#[should_panic(expected = "a summary of what is not persistent")]
fn what_is_not_persistent_gets_no_summary() {
    let sealed = Sealed { persistent: EpochId::new(Incarnation(9), 69), ..sealed() };
    let _ = SummaryBuilder::new().finish(&sealed, SALT);
}

#[test]
#[should_panic(expected = "no room for 1 pages")]
fn a_log_that_left_no_room_is_our_mistake() {
    let mut builder = SummaryBuilder::new();
    builder.push(&item(1, SummaryKey::Hash(1)));
    let _ = builder.finish(&Sealed { log_pages: 63, ..sealed() }, SALT);
}

/// A summary page with any payload, under checksums that are all right.
fn planted(payload: &[u8]) -> Summary {
    let mut summary = built(&[item(1, SummaryKey::Hash(1))]);
    let page = summary.pages.as_mut().expect("one item").page_mut(0);
    let header = page::parse(page, SALT).expect("sealed");
    page::payload_mut(page)[..payload.len()].copy_from_slice(payload);
    let header = PageHeader { used: u16::try_from(payload.len()).expect("at most a payload"), ..header };
    let chained_to = page::seal(page, &header, SALT);
    let footer = Footer {
        items_bytes: u32::try_from(payload.len()).expect("small"),
        items_checksum: checksum(0, payload),
        chained_to,
        ..footer(&summary).expect("whole")
    };
    let header = page::parse(summary.footer.page(0), SALT).expect("sealed");
    footer.seal(summary.footer.page_mut(0), &PageHeader { previous: chained_to, ..header }, SALT);
    summary
}

#[test]
fn an_item_that_cannot_be_is_refused_under_a_right_checksum() {
    let mut good = Vec::new();
    item(1, SummaryKey::Hash(1)).encode(&mut good);
    assert!(open(&planted(&good)).is_ok());
    let plant = [
        (0, 0, "kind"),
        (0, 3, "kind"),
        (1, 16, "flags"),
        (2, 15, "key_bytes"),
        (3, 9, "key_bytes"),
        (31, 0x80, "place"),
        (28, 0x7f, "place"),
        (24, 0, "place"),
    ];
    for (at, byte, field) in plant {
        let mut bad = good.clone();
        bad[at] = byte;
        if at == 24 {
            bad[25] &= 0x80;
        }
        assert_eq!(open(&planted(&bad)).map(|_| ()), Err(SummaryError::Item { field }), "byte {at}");
    }
    assert_eq!(open(&planted(&[])).map(|_| ()), Err(SummaryError::Items));
    assert_eq!(open(&planted(&[&good[..], &good].concat())).map(|_| ()), Err(SummaryError::Items));
}

proptest! {
    #[test]
    fn a_summary_round_trips(keys in proptest::collection::vec((any::<Option<u128>>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..200)) {
        let key = |(hash, key): &'_ (Option<u128>, Vec<u8>)| hash.map_or(SummaryKey::Key(key.clone().leak()), SummaryKey::Hash);
        let items: Vec<_> = (0..).zip(&keys).map(|(number, pair)| item(number, key(pair))).collect();
        let summary = built(&items);
        prop_assert_eq!(open(&summary).expect("whole").items().collect::<Vec<_>>(), items);
    }

    #[test]
    fn random_items_under_right_checksums_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..4016)) {
        prop_assert!(open(&planted(&payload)).is_err());
    }
}
