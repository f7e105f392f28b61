//! The compact index beside the wide one: its memory, its strangers, and how the one becomes the other.

use super::*;
use crate::index::HashConfig;
use segments::{PageNo, Place};

const CONFIG: HashConfig = HashConfig { key: [1; 16], fingerprint_bits: 64 };

fn hash_of(number: u64) -> KeyHash {
    CONFIG.hash(&number.to_le_bytes())
}

fn loc(number: u64) -> Loc {
    Place::new(PageNo(64 + number / 40), u16::try_from(80 + number % 40 * 96).unwrap(), 1).into()
}

fn filled(mut index: CompactIndex, pairs: u64) -> CompactIndex {
    (0..pairs).for_each(|number| index.insert(hash_of(number), loc(number)));
    index
}

/// Eight bytes a slot and a quarter more, at a million keys and at every count behind it, up and down.
#[test]
fn ten_bytes_a_key_from_a_million_on() {
    let mut index = filled(CompactIndex::for_pairs(64, 0), 1_000_000);
    let each = |index: &CompactIndex| index.memory_bytes() as f64 / index.len() as f64;
    assert!((8.0..=10.0).contains(&each(&index)), "{} bytes a key at a million", each(&index));
    for number in 1_000_000..2_200_000 {
        index.insert(hash_of(number), loc(number));
        if number % 499 == 0 {
            assert!(each(&index) <= 10.0, "{} bytes a key at {number}", each(&index));
        }
    }
    for number in 0..1_100_000 {
        assert!(index.remove(hash_of(number), loc(number)));
        if number % 499 == 0 {
            assert!(each(&index) <= 10.25, "{} bytes a key on the way down, without {number}", each(&index));
        }
    }
    index.check();
}

/// Of absent keys, as few find a stranger as 34 bits say: 58 in a million among a million. Without the bits of the pages' numbers
/// it would be a quarter of them.
#[test]
fn strangers_are_rare() {
    let index = filled(CompactIndex::for_pairs(64, 0), 1_000_000);
    let strangers: usize = (1_000_000..2_000_000).map(|number| index.candidates(hash_of(number)).count()).sum();
    assert!((20..150).contains(&strangers), "{strangers} strangers");
    let found = |number| index.candidates(hash_of(number)).any(|there| there == loc(number));
    assert!((0..1_000_000).step_by(7).all(found), "and every key is found");
    assert!(!index.trusts(), "a match is a candidate and no more");
}

/// A hint that is wrong costs what its pages cost, and a table of few pairs is not a burden.
#[test]
fn a_wrong_hint_costs_memory_within_bounds() {
    let empty = |hint| CompactIndex::for_pairs(64, hint).memory_bytes();
    for hint in [0, 1, 1_000_000, 1 << 40, u64::MAX] {
        assert!(empty(hint) < 8 << 10, "{} bytes for nothing at {hint}", empty(hint));
    }
    let few = |hint| filled(CompactIndex::for_pairs(64, hint), 1_000).memory_bytes();
    assert!(few(1) < 128 << 10, "{} bytes", few(1));
    assert!(few(0) < 256 << 10, "{} bytes", few(0));
    assert!(few(u64::MAX) < 3 << 20, "{} bytes", few(u64::MAX));
    let bits = |hint| CompactIndex::for_pairs(64, hint).skip + 22;
    assert_eq!([bits(1), bits(1_000_000), bits(1 << 28), bits(0)], [32, 33, 38, 34]);
}

#[test]
fn a_narrowed_index_has_the_same_pairs() {
    for (pairs, hint, bits) in [(0, 0, 64), (1, 0, 64), (100_000, 0, 64), (100_000, 5_000, 1)] {
        let mut wide = HashIndex::new(bits);
        (0..pairs).for_each(|number| wide.insert(hash_of(number), loc(number)));
        let mut any = AnyHashIndex::Wide(wide);
        assert!(!any.is_compact() && any.trusts() == (bits == 64));
        any.narrow(hint);
        any.narrow(hint);
        assert!(any.is_compact() && !any.trusts());
        assert_eq!(any.len() as u64, pairs);
        for number in 0..pairs {
            assert!(any.candidates(hash_of(number)).any(|there| there == loc(number)), "{number}");
        }
        let AnyHashIndex::Compact(index) = any else { unreachable!("just seen") };
        index.check();
        let mut out = Vec::new();
        assert!(!index.scan(HashOrder::FIRST, usize::MAX / 2, &mut out));
        assert!(out.is_sorted());
        assert_eq!(out.len() as u64, pairs);
    }
}

#[test]
fn a_compact_index_is_taken_apart_whole() {
    for skip in [0, 3, 10] {
        let mut index = filled(CompactIndex::with_pages(64, skip), 5_000);
        let mut locs = Vec::new();
        while index.dismantle(&mut locs) {}
        locs.sort_unstable();
        let mut expected: Vec<Loc> = (0..5_000).map(loc).collect();
        expected.sort_unstable();
        assert_eq!(locs, expected, "begun with 2^{skip} pages");
    }
}

/// Orders go on from each to the next that is kept, so a walk that resumes behind a batch neither stays nor skips.
#[test]
fn the_order_after_is_the_next_that_is_kept() {
    let index = CompactIndex::with_pages(64, 10);
    let order = index.order(hash_of(9));
    assert_eq!(order.high.trailing_zeros().min(32), 32);
    assert_eq!(index.after(order).unwrap().high, order.high + (1 << 32));
    assert_eq!(index.after(hash_of(9).order()), index.after(order), "of what is not kept nothing counts");
    assert_eq!(index.after(index.order(KeyHash(u128::MAX))), None);
}
