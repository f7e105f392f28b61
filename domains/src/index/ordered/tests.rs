//! The ordered index against a model: random keys, keys in order, long keys, keys of few bytes; iteration under change.

use super::OrderedIndex;
use crate::index::{Loc, order_preserving};
use crate::seam::Direction;
use core::ops::{Bound, ControlFlow};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn loc(number: u64) -> Loc {
    Loc::new(number)
}

fn forward(index: &OrderedIndex) -> Vec<(Vec<u8>, Loc)> {
    let mut out = Vec::new();
    assert!(!index.next_batch(Bound::Unbounded, usize::MAX / 2, &mut out));
    out
}

/// What a directory of a file tree looks like: the parent's number, then a name.
fn dirent(number: u64) -> Vec<u8> {
    let name = format!("lib{:x}.so.{}", number.wrapping_mul(0x9e37_79b9) & 0xff_ffff, number % 7);
    [&order_preserving(number / 40 + 1_000)[..], name.as_bytes(), &number.to_le_bytes()[..3]].concat()
}

/// Numbers below `count` in an order without pattern.
fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |number| number * 7_919 % count)
}

#[test]
fn keys_at_the_limits_of_length() {
    let mut index = OrderedIndex::new();
    let longest = vec![0xff; 2048];
    let keys: [&[u8]; 6] = [&[], &[0], &[0, 0], &[0xff], &longest[..2047], &longest];
    for (key, number) in keys.iter().zip(0..) {
        assert_eq!(index.insert(key, loc(number)), None);
    }
    index.check();
    for (key, number) in keys.iter().zip(0..) {
        assert_eq!(index.get(key), Some(loc(number)));
    }
    assert_eq!(forward(&index).len(), 6);
    let mut out = Vec::new();
    assert!(!index.previous_batch(Bound::Included(&longest), 10, &mut out));
    assert_eq!(out.len(), 6);
    for (key, number) in keys.iter().zip(0..) {
        assert_eq!(index.remove(key), Some(loc(number)));
        assert_eq!(index.remove(key), None);
    }
    assert!(index.is_empty());
    index.check();
}

#[test]
#[should_panic(expected = "2049 bytes")]
fn a_longer_key_is_refused() {
    let _ = OrderedIndex::new().insert(&[0; 2049], loc(1));
}

#[test]
fn locations_are_replaced_by_comparison() {
    let mut index = OrderedIndex::new();
    (0..1_000).for_each(|number| assert_eq!(index.insert(&dirent(number), loc(number)), None));
    assert!(index.replace(&dirent(500), loc(500), Loc::MAX));
    assert!(!index.replace(&dirent(500), loc(500), loc(1)));
    assert!(!index.replace(b"absent", loc(500), loc(1)));
    assert_eq!(index.insert(&dirent(500), loc(2)), Some(Loc::MAX));
    assert_eq!(index.get(&dirent(500)), Some(loc(2)));
    assert_eq!(index.len(), 1_000);
}

/// Whatever the order of inserts, memory is near the bytes that the keys need, and comes back with removals.
#[test]
fn memory_follows_the_pairs_up_and_down() {
    let count = 50_000;
    let orders: [Vec<u64>; 3] = [(0..count).collect(), (0..count).rev().collect(), shuffled(count).collect()];
    let key_bytes: usize = (0..count).map(|number| dirent(number).len()).sum();
    for order in orders {
        let mut index = OrderedIndex::new();
        let empty = index.memory_bytes();
        for &number in &order {
            assert_eq!(index.insert(&dirent(number), loc(number)), None);
        }
        index.check();
        let full = index.memory_bytes();
        assert!(full < key_bytes + 10 * 50_000, "{full} bytes for {key_bytes} bytes of keys");
        for &number in &order[..49_000] {
            assert_eq!(index.remove(&dirent(number)), Some(loc(number)));
        }
        index.check();
        assert!(index.memory_bytes() < full / 12, "{} of {full} bytes for a fiftieth", index.memory_bytes());
        for &number in &order[49_000..] {
            assert_eq!(index.remove(&dirent(number)), Some(loc(number)));
        }
        index.check();
        assert!(index.memory_bytes() < empty + (50 << 10), "36 bytes for each node that was");
    }
}

/// Inner nodes with long separators, whose prefixes are as long: spelled out they would burst a node.
#[test]
fn long_keys_with_long_prefixes_in_any_order() {
    let key_of = |number: u64| {
        let letter = b'a' + (number % 5) as u8;
        let mut key = vec![letter; 300 + (number % 5) as usize * 400];
        key.extend_from_slice(&order_preserving(number / 5));
        key
    };
    for order in [(0..20_000).collect::<Vec<u64>>(), (0..20_000).rev().collect(), shuffled(20_000).collect()] {
        let mut index = OrderedIndex::new();
        let mut model = BTreeMap::new();
        for &number in &order {
            index.insert(&key_of(number), loc(number));
            model.insert(key_of(number), loc(number));
        }
        index.check();
        assert!(forward(&index).into_iter().eq(model));
        for &number in &order {
            assert_eq!(index.remove(&key_of(number)), Some(loc(number)));
            if number % 1_000 == 0 {
                index.check();
            }
        }
        assert!(index.is_empty());
    }
}

#[test]
fn a_visitor_may_stop() {
    let mut index = OrderedIndex::new();
    (0..500).for_each(|number| assert_eq!(index.insert(&order_preserving(number), loc(number)), None));
    for direction in [Direction::Next, Direction::Previous] {
        let mut seen = Vec::new();
        let from = order_preserving(250);
        let flow = index.for_each_from(Bound::Excluded(&from), direction, |key, loc| {
            seen.push((key.to_vec(), loc.to_bits()));
            if seen.len() == 200 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(flow.is_break());
        let last = if direction == Direction::Next { 450 } else { 50 };
        assert_eq!(seen.last(), Some(&(order_preserving(last).to_vec(), last)));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>),
    /// Keys in order behind a common start.
    InsertMany(Vec<u8>, u16),
    Remove(usize),
    /// So many neighbours, from one on.
    RemoveMany(usize, usize),
    Replace(usize),
    Batch(usize),
    /// Looks from a key both ways.
    Around(Vec<u8>),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(0..3_u8, 0..6),
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (any::<u8>(), 0..2_048_usize).prop_map(|(byte, len)| vec![byte; len]),
        1 => prop::collection::vec(any::<u8>(), 1_000..2_048),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => key().prop_map(Step::Insert),
        3 => (prop::collection::vec(any::<u8>(), 0..1_000), 0..500_u16).prop_map(|(start, count)| Step::InsertMany(start, count)),
        4 => any::<usize>().prop_map(Step::Remove),
        3 => (any::<usize>(), 0..800_usize).prop_map(|(at, count)| Step::RemoveMany(at, count)),
        2 => any::<usize>().prop_map(Step::Replace),
        4 => (1..200_usize).prop_map(Step::Batch),
        2 => key().prop_map(Step::Around),
    ];
    prop::collection::vec(step, 1..60)
}

#[derive(Default)]
struct Pair {
    index: OrderedIndex,
    model: BTreeMap<Vec<u8>, Loc>,
    next_loc: u64,
    backward: bool,
    last: Option<Vec<u8>>,
    seen: Vec<(Vec<u8>, Loc)>,
    /// Keys that have been there since the iteration began.
    throughout: BTreeMap<Vec<u8>, ()>,
}

impl Pair {
    fn insert(&mut self, key: Vec<u8>) {
        self.next_loc += 1;
        let new = loc(self.next_loc);
        assert_eq!(self.index.insert(&key, new), self.model.insert(key, new));
    }

    fn remove(&mut self, key: &[u8]) {
        assert_eq!(self.index.remove(key), self.model.remove(key));
        self.throughout.remove(key);
    }

    fn pick(&self, at: usize) -> Option<Vec<u8>> {
        self.model.keys().nth(at % self.model.len().max(1)).cloned()
    }

    fn batch(&mut self, pairs_max: usize) {
        if self.last.is_none() {
            self.seen.clear();
            self.throughout = self.model.keys().map(|key| (key.clone(), ())).collect();
        }
        let from = self.last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let before = self.seen.len();
        let more = if self.backward {
            self.index.previous_batch(from, pairs_max, &mut self.seen)
        } else {
            self.index.next_batch(from, pairs_max, &mut self.seen)
        };
        assert!(self.seen.len() - before <= pairs_max);
        assert!(!more || self.seen.len() - before == pairs_max);
        self.last = self.seen.last().map(|(key, _)| key.clone());
        if !more {
            self.last = None;
            if self.backward {
                self.seen.reverse();
            }
            assert!(self.seen.windows(2).all(|two| two[0].0 < two[1].0), "in order, each once");
            let seen: BTreeMap<_, _> = self.seen.drain(..).collect();
            assert!(self.throughout.keys().all(|key| seen.contains_key(key)));
            self.backward = !self.backward;
        }
    }

    fn around(&self, key: &[u8]) {
        for from in [Bound::Included(key), Bound::Excluded(key)] {
            let mut out = Vec::new();
            let more = self.index.next_batch(from, 50, &mut out);
            let mut rest = self.model.range::<[u8], _>((from, Bound::Unbounded));
            assert!(out.iter().map(|(key, loc)| (key, loc)).eq(rest.by_ref().take(50)));
            assert_eq!(more, rest.next().is_some());
            out.clear();
            let more = self.index.previous_batch(from, 50, &mut out);
            let mut rest = self.model.range::<[u8], _>((Bound::Unbounded, from)).rev();
            assert!(out.iter().map(|(key, loc)| (key, loc)).eq(rest.by_ref().take(50)));
            assert_eq!(more, rest.next().is_some());
        }
        assert_eq!(self.index.get(key), self.model.get(key).copied());
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Insert(key) => self.insert(key),
            Step::InsertMany(start, count) => {
                (0..count).for_each(|number| self.insert([&start[..], &number.to_le_bytes()].concat()));
            }
            Step::Remove(at) => {
                if let Some(key) = self.pick(at) {
                    self.remove(&key);
                }
            }
            Step::RemoveMany(at, count) => {
                let keys: Vec<_> = self.model.keys().skip(at % self.model.len().max(1)).take(count).cloned().collect();
                keys.iter().for_each(|key| self.remove(key));
            }
            Step::Replace(at) => {
                let Some(key) = self.pick(at) else { return };
                self.next_loc += 1;
                let (old, new) = (self.model[&key], loc(self.next_loc));
                assert!(!self.index.replace(&key, new, old));
                assert!(self.index.replace(&key, old, new));
                self.model.insert(key, new);
            }
            Step::Batch(pairs_max) => self.batch(pairs_max),
            Step::Around(key) => self.around(&key),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn it_agrees_with_a_model(steps in steps()) {
        let mut pair = Pair::default();
        for step in steps {
            pair.step(step);
            pair.index.check();
        }
        assert_eq!(pair.index.len(), pair.model.len());
        assert!(forward(&pair.index).into_iter().eq(pair.model));
    }
}
