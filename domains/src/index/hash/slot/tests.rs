use super::*;
use crate::index::{HashConfig, KeyHash};
use segments::{PageNo, Place};

fn order(number: u64) -> HashOrder {
    HashConfig { key: [3; 16], fingerprint_bits: 64 }.hash(&number.to_le_bytes()).order()
}

/// Everywhere a record may start, of every length, in the first page that a slot tells apart and in the last.
#[test]
fn a_compact_slot_gives_every_place_back() {
    let starts = (PAGE_HEADER_BYTES..4096).step_by(RECORD_ALIGN).map(|start| (start, 1));
    let long = [2, 3, 4, 5, 8, 10, 12, 16, 100, 1 << 14, (1 << 14) + 9].map(|pages| (PAGE_HEADER_BYTES, pages));
    let mut seen = std::collections::BTreeSet::new();
    for (start, pages) in starts.chain(long) {
        for page in [0, 1, 64, COMPACT_PAGES_MAX - 1] {
            let place = Place::new(PageNo(page), u16::try_from(start).unwrap(), pages);
            assert!(Compact::reaches(place.into()));
            let slot = Compact::new(order(page), place.into());
            assert!(!slot.is_empty());
            assert_eq!(Place::from(slot.loc()), place);
            assert_eq!(slot.order().high, order(page).high >> 42 << 42);
            seen.insert((slot.0 << TAG_BITS, slot.loc()));
        }
    }
    assert_eq!(seen.len(), (502 + 11) * 4, "no two places are one");
    assert!(!Compact::reaches(Place::new(PageNo(COMPACT_PAGES_MAX), 80, 1).into()));
}

#[test]
#[should_panic(expected = "past those of compact slots")]
fn a_compact_slot_takes_no_place_that_it_would_forget() {
    let _ = Compact::new(HashOrder::FIRST, Place::new(PageNo(COMPACT_PAGES_MAX), 80, 1).into());
}

#[test]
fn a_wide_slot_gives_order_and_location_back() {
    for loc in [Loc::new(0), Loc::MAX] {
        for order in [HashOrder::FIRST, HashOrder::LAST, order(7)] {
            let slot = Wide::new(order, loc);
            assert!(!slot.is_empty());
            assert_eq!((slot.order(), slot.loc()), (order, loc));
        }
    }
    assert!(Wide::default().is_empty() && Compact::default().is_empty());
}

fn check_matching<S: Slot>(all: u8) {
    let loc = Place::new(PageNo(5), 80, 1).into();
    let one = S::new(HashOrder::FIRST, loc);
    for bits in [1, 2, 20, all] {
        let mask = S::mask(bits);
        assert!(one.matches(S::probe(HashOrder::FIRST), mask));
        assert!(!S::default().matches(S::probe(HashOrder::FIRST), mask), "what is empty matches nothing");
        let hashes = (0..2_000).map(|number| S::probe(order(number)));
        let met = hashes.filter(|probe| one.matches(*probe, mask)).count();
        match bits {
            1 => assert!((900..1_100).contains(&met), "{met} of half"),
            2 => assert!((400..600).contains(&met), "{met} of a quarter"),
            _ => assert!(met <= 2, "{met}"),
        }
    }
}

#[test]
fn as_many_bits_match_as_the_mask_says() {
    check_matching::<Wide>(64);
    check_matching::<Compact>(64);
    // All of a tag, and more than it has.
    assert_eq!(Compact::mask(22), Compact::mask(64));
}

/// What parts two slots of a page parts their choices of buckets, however few bits are left.
#[test]
fn choices_use_all_that_is_left_of_a_tag() {
    for depth in [0, 4, 12] {
        let left = 22 - depth;
        let choices: std::collections::BTreeSet<(u32, u32)> = (0..1_u64 << left.min(12))
            .map(|bits| Compact::probe(HashOrder { high: bits << (64 - 22), low: 0 }).choices(depth))
            .collect();
        assert_eq!(choices.len(), 1 << left.min(12), "at depth {depth}");
    }
    let hash = KeyHash(0x0123_4567_89ab_cdef_u128 << 64);
    assert_eq!(Wide::probe(hash.order()).choices(4), (0x1234_5678, 0x89ab_cdef));
}
