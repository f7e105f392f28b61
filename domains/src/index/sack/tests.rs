//! Addresses are given once; stale ones are told; the index against a model; recovery into a new incarnation.

use super::{Address, SackIndex, Stale};
use crate::index::Loc;
use proptest::prelude::*;
use segments::Incarnation;
use std::collections::{BTreeMap, BTreeSet};

const FIRST: Incarnation = Incarnation(1);

fn loc(number: u64) -> Loc {
    Loc::new(number)
}

fn insert(sack: &mut SackIndex, incarnation: Incarnation, loc: Loc) -> Address {
    let address = sack.reserve(incarnation).expect("there is room");
    assert_eq!(sack.get(address), None, "an address that was only set aside has no pair");
    assert_eq!(sack.put(address, loc), Ok(None));
    address
}

#[test]
fn an_address_is_what_it_packs() {
    let mut sack = SackIndex::new();
    let incarnation = Incarnation((1 << 24) - 1);
    let first = insert(&mut sack, incarnation, loc(0));
    let second = insert(&mut sack, incarnation, Loc::MAX);
    assert_eq!((first.slot(), first.incarnation(), first.count()), (0, incarnation, 1));
    assert_eq!(second.slot(), 1);
    assert!(first < second && first.to_key() < second.to_key());
    assert_eq!(Address::from_key(first.to_key()), first);
    assert_eq!(Address::from_bits(first.to_bits()), first);
    assert_eq!(first.to_bits(), 0xffff_ff01);
    assert_eq!((sack.get(first), sack.get(second)), (Some(loc(0)), Some(Loc::MAX)));
}

#[test]
fn made_up_and_stale_addresses_are_refused() {
    let mut sack = SackIndex::new();
    let gone = insert(&mut sack, FIRST, loc(7));
    assert_eq!(sack.remove(gone), Some(loc(7)));
    let again = insert(&mut sack, FIRST, loc(8));
    assert_eq!(again.slot(), gone.slot(), "the slot is used again");
    for stale in [gone, Address::FIRST, Address::from_bits(u64::MAX), again.after().expect("not the last")] {
        assert_eq!(sack.get(stale), None);
        assert_eq!(sack.put(stale, loc(9)), Err(Stale));
        assert!(!sack.replace(stale, loc(8), loc(9)));
        assert_eq!(sack.remove(stale), None);
        assert!(!sack.release(stale));
    }
    assert_eq!(sack.get(again), Some(loc(8)));
    assert!(!sack.release(again), "a pair is removed, not released");
    assert!(!sack.replace(again, loc(7), loc(9)));
    assert!(sack.replace(again, loc(8), loc(9)));
    assert_eq!(sack.put(again, loc(10)), Ok(Some(loc(9))));
    assert_eq!(sack.len(), 1);
}

#[test]
fn a_released_address_is_not_given_again() {
    let mut sack = SackIndex::new();
    let mut seen = BTreeSet::new();
    for _ in 0..1_000 {
        let address = sack.reserve(FIRST).expect("there is room");
        assert!(seen.insert(address));
        assert!(sack.release(address));
        assert!(!sack.release(address));
        assert_eq!(sack.put(address, loc(1)), Err(Stale));
    }
    assert!(sack.is_empty());
    let mut out = Vec::new();
    assert!(!sack.next_batch(Address::FIRST, 10, &mut out));
    assert!(out.is_empty());
}

#[test]
fn free_slots_are_used_first_in_first_out() {
    let mut sack = SackIndex::new();
    let addresses: Vec<_> = (0..10).map(|number| insert(&mut sack, FIRST, loc(number))).collect();
    for at in [7, 2, 5] {
        assert!(sack.remove(addresses[at]).is_some());
    }
    let slots: Vec<u32> = (0..4).map(|_| sack.reserve(FIRST).expect("there is room").slot()).collect();
    assert_eq!(slots, [7, 2, 5, 10]);
}

/// The toy version keeps eight bits of generation and gives an address again after 256 rounds.
#[test]
fn a_million_rounds_of_churn_give_no_address_twice() {
    let mut sack = SackIndex::new();
    let mut live: Vec<Address> = (0..16).map(|number| insert(&mut sack, FIRST, loc(number))).collect();
    let mut given: Vec<Address> = live.clone();
    for round in 0..1_000_000_u64 {
        let at = (round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize;
        assert!(sack.remove(live[at]).is_some());
        live[at] = insert(&mut sack, FIRST, loc(round));
        given.push(live[at]);
    }
    let count = given.len();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), count);
    assert!(sack.memory_bytes() < 200 << 10, "255 lives a slot: {} bytes", sack.memory_bytes());
}

#[test]
fn a_slot_used_up_rests_until_the_next_incarnation() {
    let mut sack = SackIndex::with_slots_max(2);
    let mut given = BTreeSet::new();
    let mut spend = |sack: &mut SackIndex, incarnation| {
        let mut count = 0;
        while let Some(address) = sack.reserve(incarnation) {
            assert!(given.insert(address));
            assert_eq!(address.incarnation(), incarnation);
            assert_eq!(sack.put(address, loc(1)), Ok(None));
            assert_eq!(sack.remove(address), Some(loc(1)));
            count += 1;
        }
        count
    };
    assert_eq!(spend(&mut sack, FIRST), 2 * 255);
    assert_eq!(spend(&mut sack, FIRST), 0);
    assert_eq!(spend(&mut sack, Incarnation(2)), 2 * 255);
    assert_eq!(spend(&mut sack, Incarnation(9)), 2 * 255);
}

#[test]
fn a_full_sack_says_so_and_finds_every_slot_recovery_left_free() {
    let mut sack = SackIndex::with_slots_max(1_000);
    let last = Address::from_bits(999 << 32 | 1 << 8 | 1);
    assert_eq!(sack.restore(last, loc(1)), Ok(None));
    let beyond = Address::from_bits(1_000 << 32 | 1 << 8 | 1);
    assert_eq!(sack.restore(beyond, loc(1)), Err(Stale));
    let slots: BTreeSet<u32> = (0..999).map(|_| sack.reserve(Incarnation(2)).expect("999 are free").slot()).collect();
    assert_eq!(slots, (0..999).collect());
    assert_eq!(sack.reserve(Incarnation(2)), None);
    assert_eq!(sack.remove(last), Some(loc(1)));
    assert_eq!(sack.reserve(Incarnation(2)).map(Address::slot), Some(999));
}

#[test]
fn recovery_brings_pairs_back_in_any_order() {
    let mut before = SackIndex::new();
    let addresses: Vec<_> = (0..300).map(|number| insert(&mut before, FIRST, loc(number))).collect();
    let mut after = SackIndex::new();
    for (number, address) in addresses.iter().enumerate().rev().step_by(3) {
        assert_eq!(after.restore(*address, loc(number as u64)), Ok(None));
        assert_eq!(after.restore(*address, loc(number as u64 + 1_000)), Ok(Some(loc(number as u64))));
    }
    let gone = *addresses.last().expect("there are 300");
    assert_eq!(after.remove(gone), Some(loc(1_299)));
    let younger = Address::from_bits(gone.to_bits() + 1);
    assert_eq!(after.restore(younger, loc(5)), Ok(None));
    assert_eq!(after.restore(gone, loc(6)), Err(Stale));
    assert_eq!(after.len(), 100);
    let mut given: BTreeSet<Address> = addresses.iter().copied().chain([younger]).collect();
    for _ in 0..1_000 {
        assert!(given.insert(insert(&mut after, Incarnation(2), loc(1))));
    }
    assert_eq!(after.slots.len(), 1_100, "the 200 free slots were found");
}

#[test]
#[should_panic(expected = "after a reservation")]
fn recovery_does_not_come_after_the_first_reservation() {
    let mut sack = SackIndex::new();
    let _ = sack.reserve(FIRST);
    let _ = sack.restore(Address::from_bits(1 << 8 | 1), loc(1));
}

#[test]
fn twelve_bytes_a_slot() {
    let mut sack = SackIndex::new();
    let count = 200_000;
    let addresses: Vec<_> = (0..count).map(|number| insert(&mut sack, FIRST, loc(number))).collect();
    let bytes_per_pair = sack.memory_bytes() as f64 / count as f64;
    assert!(bytes_per_pair < 12.5, "{bytes_per_pair}");
    let (first, last) = (addresses[0], *addresses.last().expect("there are many"));
    // Iteration over what is nearly empty does not look at every slot, and finds what is there.
    addresses[1..addresses.len() - 1].iter().for_each(|address| assert!(sack.remove(*address).is_some()));
    let mut out = Vec::new();
    assert!(!sack.next_batch(Address::FIRST, 10, &mut out));
    assert_eq!(out, [(first, loc(0)), (last, loc(count - 1))]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert,
    Reserve,
    Release(usize),
    Put(usize),
    Replace(usize),
    Remove(usize),
    Next(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Insert),
        1 => Just(Step::Reserve),
        1 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::Put),
        2 => any::<usize>().prop_map(Step::Replace),
        5 => any::<usize>().prop_map(Step::Remove),
        3 => (1..5_usize).prop_map(Step::Next),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..300)
}

#[derive(Default)]
struct Pair {
    sack: SackIndex,
    incarnation: Incarnation,
    model: BTreeMap<Address, Loc>,
    reserved: Vec<Address>,
    given: BTreeSet<Address>,
    next_loc: u64,
    from: Address0,
    seen: Vec<(Address, Loc)>,
    throughout: BTreeSet<Address>,
}

struct Address0(Address);

impl Default for Address0 {
    fn default() -> Self {
        Self(Address::FIRST)
    }
}

impl Pair {
    fn step(&mut self, step: Step) {
        self.next_loc += 1;
        let new = loc(self.next_loc);
        match step {
            Step::Insert => {
                let address = insert(&mut self.sack, self.incarnation, new);
                assert!(self.given.insert(address));
                self.model.insert(address, new);
            }
            Step::Reserve => {
                let address = self.sack.reserve(self.incarnation).expect("there is room");
                assert!(self.given.insert(address));
                self.reserved.push(address);
            }
            Step::Release(at) if !self.reserved.is_empty() => {
                let address = self.reserved.swap_remove(at % self.reserved.len());
                assert!(self.sack.release(address));
            }
            Step::Put(at) => {
                let Some(address) = pick(&self.given, at) else { return };
                if let Some(reserved) = self.reserved.iter().position(|there| *there == address) {
                    self.reserved.swap_remove(reserved);
                    assert_eq!(self.sack.put(address, new), Ok(None));
                    self.model.insert(address, new);
                } else if let Some(old) = self.model.get_mut(&address) {
                    assert_eq!(self.sack.put(address, new), Ok(Some(*old)));
                    *old = new;
                } else {
                    assert_eq!(self.sack.put(address, new), Err(Stale));
                }
            }
            Step::Replace(at) => {
                let Some(address) = pick(&self.given, at) else { return };
                assert!(!self.sack.replace(address, new, new));
                if let Some(old) = self.model.get_mut(&address) {
                    assert!(self.sack.replace(address, *old, new));
                    *old = new;
                }
            }
            Step::Remove(at) => {
                let Some(address) = pick(&self.given, at) else { return };
                assert_eq!(self.sack.remove(address), self.model.remove(&address));
                self.throughout.remove(&address);
            }
            Step::Next(pairs_max) => self.next(pairs_max),
            Step::Restart => self.restart(),
            Step::Release(_) => {}
        }
    }

    fn next(&mut self, pairs_max: usize) {
        if self.from.0 == Address::FIRST {
            self.seen.clear();
            self.throughout = self.model.keys().copied().collect();
        }
        let more = self.sack.next_batch(self.from.0, pairs_max, &mut self.seen);
        self.from.0 = self.seen.last().and_then(|(address, _)| address.after()).unwrap_or(Address::FIRST);
        if !more {
            self.from.0 = Address::FIRST;
            assert!(self.seen.windows(2).all(|two| two[0].0 < two[1].0), "in order, each once");
            assert!(self.throughout.iter().all(|there| self.seen.iter().any(|(address, _)| address == there)));
        }
    }

    /// Everything but the live pairs is forgotten, and the incarnation is the next.
    fn restart(&mut self) {
        self.incarnation = self.incarnation.next();
        self.sack = SackIndex::new();
        self.reserved.clear();
        for (address, loc) in self.model.iter().rev() {
            assert_eq!(self.sack.restore(*address, *loc), Ok(None));
        }
    }

    fn check(&self) {
        assert_eq!(self.sack.len(), self.model.len());
        for address in &self.given {
            assert_eq!(self.sack.get(*address), self.model.get(address).copied());
        }
        let mut out = Vec::new();
        assert!(!self.sack.next_batch(Address::FIRST, usize::MAX / 2, &mut out));
        assert!(out.iter().copied().eq(self.model.iter().map(|(address, loc)| (*address, *loc))));
        self.sack.check();
    }
}

fn pick(given: &BTreeSet<Address>, at: usize) -> Option<Address> {
    given.iter().nth(at % given.len().max(1)).copied()
}

proptest! {
    #[test]
    fn it_agrees_with_a_model(steps in steps()) {
        let mut pair = Pair { incarnation: FIRST, ..Pair::default() };
        steps.into_iter().for_each(|step| pair.step(step));
        pair.check();
    }
}
