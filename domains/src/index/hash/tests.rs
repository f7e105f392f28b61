//! The hash index against a model, with good hashes and with the worst; its memory at every size; its scan under change.

use super::page::WRITTEN;
use super::slot::Slot;
use super::{CompactIndex, HashConfig, HashIndex, HashOrder, KeyHash, SlotIndex};
use crate::index::Loc;
use proptest::prelude::*;
use segments::{PageNo, Place};
use std::collections::{BTreeMap, BTreeSet};

const CONFIG: HashConfig =
    HashConfig { key: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], fingerprint_bits: 64 };

fn hash_of(number: u64) -> KeyHash {
    CONFIG.hash(&number.to_le_bytes())
}

/// A location of the form that records have.
fn loc(number: u64) -> Loc {
    Place::new(PageNo(number), 80, 1).into()
}

fn all<S: Slot>(index: &SlotIndex<S>) -> Vec<(HashOrder, Loc)> {
    let mut out = Vec::new();
    assert!(!index.scan(HashOrder::FIRST, usize::MAX / 2, &mut out));
    out
}

/// How many of the bytes 0, 1, 2, ... 255, 0, ... and their hash under the key 0, 1, ... 15.
const VECTORS: [(usize, u128); 9] = [
    (0, 0xbea58827b2bc7ee7_013030dd6adb62fd),
    (1, 0xa8edd36004376ffc_63f02f2bcc73055e),
    (7, 0xc3e0aaf223b98410_77ab4808c82e2fa6),
    (8, 0xb4dae3d5e1fe12aa_99c7f935ab164f72),
    (9, 0x9439f32c04b8dd81_427c1394000e72f4),
    (15, 0x6c52bdb205557ec1_09017e1eeccd2129),
    (16, 0xeb8e511557d9a8d0_93179e3df8b013b5),
    (63, 0x6f42fe4ee300584c_ad6052a70a6b9f07),
    (2048, 0x3773fe11ade2831f_5bf43a8139118e60),
];

/// `SipHash-1-3` with 128 bits, computed by a second implementation that gives the published vectors of `SipHash-2-4`.
/// A store on a device is found by these hashes: they never change.
#[test]
fn hashes_are_what_they_have_always_been() {
    let message: Vec<u8> = (0..=255).cycle().take(2048).collect();
    for (bytes, hash) in VECTORS {
        assert_eq!(CONFIG.hash(&message[..bytes]), KeyHash(hash), "{bytes} bytes");
    }
}

#[test]
fn the_order_keeps_the_first_73_bits() {
    let hash = KeyHash(u128::MAX);
    assert_eq!(hash.order(), HashOrder::LAST);
    assert_eq!(KeyHash(u128::MAX - ((1 << 55) - 1)).order(), HashOrder::LAST);
    assert_eq!(KeyHash((1 << 55) - 1).order(), HashOrder::FIRST);
    let second = KeyHash(1 << 55).order();
    assert_eq!(HashOrder::FIRST.after(), Some(second));
    let carried = KeyHash(1 << 64).order();
    assert_eq!(KeyHash((1 << 64) - 1).order().after(), Some(carried));
    assert_eq!(HashOrder::LAST.after(), None);
}

#[test]
fn the_first_and_the_last_hash_and_location_are_like_any_other() {
    for bits in [64, 1] {
        let mut index = HashIndex::new(bits);
        for hash in [KeyHash(0), KeyHash(u128::MAX)] {
            assert_eq!(index.candidates(hash).count(), index.candidates(hash).count());
            index.insert(hash, loc(0));
            index.insert(hash, Loc::MAX);
            assert!(index.candidates(hash).any(|there| there == loc(0)));
            assert!(index.candidates(hash).any(|there| there == Loc::MAX));
        }
        index.check();
        let mut out = Vec::new();
        assert!(!index.scan(HashOrder::LAST, 1, &mut out));
        assert_eq!(out, [(HashOrder::LAST, loc(0)), (HashOrder::LAST, Loc::MAX)]);
        for hash in [KeyHash(0), KeyHash(u128::MAX)] {
            assert!(index.remove(hash, loc(0)) && index.remove(hash, Loc::MAX));
            assert!(!index.remove(hash, loc(0)));
        }
        assert!(index.is_empty());
        index.check();
    }
}

#[test]
fn an_absent_key_has_no_candidate() {
    let mut index = HashIndex::new(64);
    assert_eq!(index.candidates(hash_of(1)).next(), None);
    (0..50_000).for_each(|number| index.insert(hash_of(number), loc(number)));
    assert!((50_000..100_000).all(|number| index.candidates(hash_of(number)).next().is_none()));
    assert!((0..50_000).all(|number| index.candidates(hash_of(number)).eq([loc(number)])));
    assert!(index.trusts());
    assert!(!HashIndex::new(63).trusts());
}

#[test]
fn one_bit_of_fingerprint_offers_strangers_too() {
    let mut index = HashIndex::new(1);
    (0..10_000).for_each(|number| index.insert(hash_of(number), loc(number)));
    let offered: usize = (0..10_000).map(|number| index.candidates(hash_of(number)).count()).sum();
    assert!(offered > 30_000, "{offered} candidates for 10000 keys: about half of eight slots each");
    assert!((0..10_000).all(|number| index.candidates(hash_of(number)).any(|there| there == loc(number))));
    index.check();
}

/// The toy version grows by doubling: 32 bytes a key right after.
#[test]
fn twenty_bytes_a_key_at_every_size() {
    let mut index = HashIndex::new(64);
    let mut worst = 0.0_f64;
    for number in 0..2_000_000 {
        index.insert(hash_of(number), loc(number));
        if index.len() >= 10_000 && index.len().is_multiple_of(499) {
            let bytes_per_key = index.memory_bytes() as f64 / index.len() as f64;
            assert!(bytes_per_key <= 20.0, "{bytes_per_key} bytes a key at {}", index.len());
            worst = worst.max(bytes_per_key);
        }
    }
    assert!(worst > 16.0, "a slot alone has 16 bytes");
    for number in 0..1_990_000 {
        assert!(index.remove(hash_of(number), loc(number)));
        if index.len().is_multiple_of(499) {
            let bytes_per_key = index.memory_bytes() as f64 / index.len() as f64;
            assert!(bytes_per_key <= 20.5, "{bytes_per_key} bytes a key at {} on the way down", index.len());
        }
    }
    index.check();
    assert_eq!(all(&index).len(), 10_000);
}

#[test]
fn a_thousand_tables_of_ten_keys_are_small() {
    let mut index = HashIndex::new(64);
    (0..10).for_each(|number| index.insert(hash_of(number), loc(number)));
    assert!(index.memory_bytes() < 1024, "{} bytes", index.memory_bytes());
}

#[test]
fn equal_hashes_are_slow_but_right() {
    let mut index = HashIndex::new(64);
    let hash = hash_of(0);
    (0..3_000).for_each(|number| index.insert(hash, loc(number)));
    (0..3_000).for_each(|number| index.insert(hash_of(number + 1), loc(number)));
    index.check();
    let there: BTreeSet<Loc> = index.candidates(hash).collect();
    assert_eq!(there.len(), 3_000);
    let mut out = Vec::new();
    assert!(!index.scan(hash, 1, &mut out) || out.len() == 3_000, "a batch does not part them");
    assert_eq!(out.len(), 3_000);
    (0..3_000).for_each(|number| assert!(index.remove(hash, loc(number))));
    assert_eq!(index.candidates(hash).next(), None);
    assert_eq!(index.len(), 3_000);
    index.check();
}

#[test]
fn a_scan_is_in_hash_order_and_in_batches() {
    let mut index = HashIndex::new(64);
    let mut expected: Vec<_> = (0..20_000).map(|number| (hash_of(number).order(), loc(number))).collect();
    (0..20_000).for_each(|number| index.insert(hash_of(number), loc(number)));
    expected.sort_unstable();
    for slots_min in [1, 7, 100, 5_000, 19_999, 20_000, 20_001] {
        let (mut seen, mut from, mut more) = (Vec::new(), HashOrder::FIRST, true);
        while more {
            let before = seen.len();
            more = index.scan(from, slots_min, &mut seen);
            assert!(!more || seen.len() == before + slots_min, "no two hashes are equal here");
            from = seen.last().and_then(|(order, _)| order.after()).expect("there is a last one");
        }
        assert_eq!(seen, expected, "batches of {slots_min}");
    }
}

#[test]
fn clearing_gives_everything_back() {
    let mut index = HashIndex::new(1);
    let empty = index.memory_bytes();
    (0..10_000).for_each(|number| index.insert(hash_of(number), loc(number)));
    index.clear();
    assert_eq!((index.len(), index.memory_bytes()), (0, empty));
    assert!(!index.trusts(), "the setting stays");
    index.check();
}

/// How a test makes hashes of small numbers.
#[derive(Clone, Copy, Debug)]
enum Hashing {
    Good,
    AllEqual,
    /// Four hashes.
    FewFirst,
    /// Equal in the first 40 bits: one page has all.
    OnePage,
    /// Equal but in the bits behind the 73.
    BeyondKept,
}

impl Hashing {
    fn hash(self, number: u64) -> KeyHash {
        let good = hash_of(number).0;
        KeyHash(match self {
            Self::Good => good,
            Self::AllEqual => 0x5555 << 100,
            Self::FewFirst => good >> 126 << 126,
            Self::OnePage => good >> 40,
            Self::BeyondKept => u128::MAX << 55 | good >> 73,
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert { first: u64, count: u64 },
    Replace { number: u64 },
    Remove { first: u64, count: u64 },
    Scan { slots_min: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_000_u64, 1..600_u64).prop_map(|(first, count)| Step::Insert { first, count }),
        2 => (0..3_000_u64).prop_map(|number| Step::Replace { number }),
        3 => (0..3_000_u64, 1..600_u64).prop_map(|(first, count)| Step::Remove { first, count }),
        4 => (1..400_usize).prop_map(|slots_min| Step::Scan { slots_min }),
    ];
    prop::collection::vec(step, 1..40)
}

/// The index beside a model, and a scan that goes on while both change.
struct Pair<S: Slot> {
    index: SlotIndex<S>,
    hashing: Hashing,
    model: BTreeMap<u64, Loc>,
    next_loc: u64,
    from: Option<HashOrder>,
    seen: Vec<(HashOrder, Loc)>,
    /// Keys that have been there since the scan began.
    throughout: BTreeMap<u64, Loc>,
}

impl<S: Slot> Pair<S> {
    fn new(hashing: Hashing, index: SlotIndex<S>) -> Self {
        Self {
            index,
            hashing,
            model: BTreeMap::new(),
            next_loc: 0,
            from: Some(HashOrder::FIRST),
            seen: Vec::new(),
            throughout: BTreeMap::new(),
        }
    }

    fn insert(&mut self, number: u64) {
        if self.model.contains_key(&number) {
            return;
        }
        self.next_loc += 1;
        self.index.insert(self.hashing.hash(number), loc(self.next_loc));
        self.model.insert(number, loc(self.next_loc));
    }

    fn replace(&mut self, number: u64) {
        self.next_loc += 1;
        let (hash, new) = (self.hashing.hash(number), loc(self.next_loc));
        assert!(!self.index.replace(hash, new, new), "a location that is not there is not replaced");
        if let Some(old) = self.model.get_mut(&number) {
            assert!(self.index.replace(hash, *old, new));
            *old = new;
            self.throughout.remove(&number);
        }
    }

    fn remove(&mut self, number: u64) {
        let hash = self.hashing.hash(number);
        match self.model.remove(&number) {
            Some(old) => assert!(self.index.remove(hash, old)),
            None => assert!(!self.index.remove(hash, loc(u64::from(u32::MAX)))),
        }
        self.throughout.remove(&number);
    }

    fn scan(&mut self, slots_min: usize) {
        let from = self.from.expect("set anew at the end of each scan");
        if from == HashOrder::FIRST {
            self.seen.clear();
            self.throughout.clone_from(&self.model);
        }
        let before = self.seen.len();
        let more = self.index.scan(from, slots_min, &mut self.seen);
        assert!(!more || self.seen.len() >= before + slots_min, "a batch that is not the last is full");
        self.from = self.seen.last().and_then(|(order, _)| self.index.after(*order));
        if !more || self.from.is_none() {
            self.from = Some(HashOrder::FIRST);
            let mut locs: Vec<Loc> = self.seen.iter().map(|(_, loc)| *loc).collect();
            locs.sort_unstable();
            assert!(self.seen.is_sorted());
            for there in self.throughout.values() {
                assert_eq!(locs.iter().filter(|loc| *loc == there).count(), 1, "{there:?} is seen exactly once");
            }
        }
    }

    fn check(&self) {
        self.index.check();
        assert_eq!(self.index.len(), self.model.len());
        let mut expected: Vec<_> =
            self.model.iter().map(|(number, loc)| (self.index.order(self.hashing.hash(*number)), *loc)).collect();
        expected.sort_unstable();
        assert_eq!(all(&self.index), expected);
        for (number, loc) in self.model.iter().step_by(17) {
            let hash = self.hashing.hash(*number);
            let offered: Vec<Loc> = self.index.candidates(hash).collect();
            assert!(offered.contains(loc));
            let unique: BTreeSet<Loc> = offered.iter().copied().collect();
            assert_eq!(unique.len(), offered.len(), "each is offered once");
            if self.index.fingerprint_bits == 64 {
                let equal = expected.iter().filter(|(order, _)| *order == self.index.order(hash)).count();
                assert_eq!(offered.len(), equal);
            }
        }
    }
}

/// Does the steps on an index and on a model.
fn check_agrees<S: Slot>(hashing: Hashing, index: SlotIndex<S>, steps: &[Step]) {
    let mut pair = Pair::new(hashing, index);
    for step in steps {
        match *step {
            Step::Insert { first, count } => (first..first + count).for_each(|number| pair.insert(number)),
            Step::Replace { number } => pair.replace(number),
            Step::Remove { first, count } => (first..first + count).for_each(|number| pair.remove(number)),
            Step::Scan { slots_min } => pair.scan(slots_min),
        }
    }
    pair.check();
}

fn hashings() -> impl Strategy<Value = Hashing> {
    prop_oneof![
        3 => Just(Hashing::Good),
        1 => Just(Hashing::AllEqual),
        1 => Just(Hashing::FewFirst),
        1 => Just(Hashing::OnePage),
        1 => Just(Hashing::BeyondKept),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn it_agrees_with_a_model(
        hashing in hashings(),
        bits in prop_oneof![Just(64), Just(1), Just(20)],
        steps in steps(),
    ) {
        check_agrees(hashing, HashIndex::new(bits), &steps);
    }

    /// With few pages to begin with there are splits and joins, and all of the tag parts slots; with many, most pages are empty.
    #[test]
    fn compact_slots_agree_with_a_model(
        hashing in hashings(),
        bits in prop_oneof![Just(64), Just(1), Just(20)],
        skip in prop_oneof![Just(0_u32), Just(1), Just(3), Just(10)],
        steps in steps(),
    ) {
        check_agrees(hashing, CompactIndex::with_pages(bits, skip), &steps);
    }
}

/// Slots of a page at most, but once in a billion pages: twice the mean, when it is the next to be parted, and six deviations more.
const PAGE_SLOTS_MAX: usize = 2 * super::PAGE_SLOTS + 6 * 23;

/// The longest work of one insert or removal, counted in slots that it writes, is that of two pages: one that is built anew since it is
/// full, and one that is parted or joined because of the count. A slot that is placed moves at most two others. So the bound is the
/// same at a million keys as at ten thousand; a table that copied itself would write all of them at once.
#[test]
fn no_insert_or_removal_writes_more_than_two_pages() {
    check_work(HashIndex::new(64));
    check_work(CompactIndex::with_pages(64, 4));
}

fn check_work<S: Slot>(mut index: SlotIndex<S>) {
    let longest = |numbers: &mut dyn Iterator<Item = u64>, work: &mut dyn FnMut(u64)| {
        let mut longest = 0;
        for number in numbers {
            let before = WRITTEN.get();
            work(number);
            longest = longest.max(WRITTEN.get() - before);
        }
        longest
    };
    let (few, many) = (10_000, 600_000);
    let mut insert = |number| index.insert(hash_of(number), loc(number));
    let at_few = longest(&mut (0..few), &mut insert);
    let at_many = longest(&mut (few..many), &mut insert);
    let removed = longest(&mut (0..many), &mut |number| assert!(index.remove(hash_of(number), loc(number))));
    assert!(at_few > super::PAGE_SLOTS / 2, "pages are built anew: {at_few}");
    for longest in [at_few, at_many, removed] {
        assert!(longest <= 2 * 3 * PAGE_SLOTS_MAX, "{longest} slots in one call");
    }
}
