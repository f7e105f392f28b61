//! The ring: for each epoch that was left and is not yet persistent, who is in it, who has it on the device, and who waits.
//!
//! Contract: 2K slots for at most K such epochs and the open one, so the slot of an epoch in flight is never taken by
//! another. Every word carries the number of its epoch and is believed only for that one.
//!
//! Invariants: `members` is written once an epoch, by whoever left it, after `acks` was cleared; nobody acknowledges an epoch
//! whose members it has not read, so no acknowledgement is wiped.

use super::rules;
use super::sync::{AtomicU64, Ordering};

/// What the ring knows of one epoch. A line of its own: neighbours belong to other epochs and other writers.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    members: AtomicU64,
    acks: AtomicU64,
    waiters: AtomicU64,
}

/// The slots, indexed by an epoch's number.
#[derive(Debug)]
pub(super) struct Ring {
    slots: Box<[Slot]>,
}

impl Ring {
    /// A ring for `in_flight_max` epochs that were left. Number 0 is nobody's, so zeros mean "not yet published".
    pub(super) fn new(in_flight_max: usize) -> Self {
        assert!(in_flight_max > 0, "without an epoch in flight nothing ever becomes persistent");
        assert!(in_flight_max.is_power_of_two(), "the ring is indexed by masking");
        let empty = || Slot { members: AtomicU64::new(0), acks: AtomicU64::new(0), waiters: AtomicU64::new(0) };
        Self { slots: (0..2 * in_flight_max).map(|_| empty()).collect() }
    }

    fn slot(&self, counter: u64) -> &Slot {
        let mask = self.slots.len() - 1;
        // Only the low bits choose the slot, so narrowing before the mask loses nothing.
        let at = usize::try_from(counter & mask as u64).expect("the mask is a usize");
        &self.slots[at]
    }

    /// Says who the members of an epoch are that was just left. Release: who reads them sees `acks` cleared.
    pub(super) fn publish(&self, counter: u64, members: u32) {
        let slot = self.slot(counter);
        let before = rules::counter(slot.members.load(Ordering::Relaxed));
        assert!(before < counter, "slot of epoch {counter} already serves epoch {before}");
        slot.acks.store(rules::word(counter, 0), Ordering::Relaxed);
        slot.members.store(rules::word(counter, members), Ordering::Release);
    }

    /// The members of an epoch; `None` while they are not published, and again once the slot serves a later epoch.
    pub(super) fn members(&self, counter: u64) -> Option<u32> {
        rules::bits_of(self.slot(counter).members.load(Ordering::Acquire), counter)
    }

    /// Notes that a member has the epoch on the device.
    pub(super) fn ack(&self, counter: u64, bit: u32) {
        let before = self.slot(counter).acks.fetch_or(u64::from(bit), Ordering::AcqRel);
        assert_eq!(rules::counter(before), counter, "epoch {counter} is acknowledged in a slot of its own");
        assert_eq!(rules::bits(before) & bit, 0, "a member acknowledges epoch {counter} once");
    }

    /// The members of an epoch, if all of them have acknowledged it.
    pub(super) fn completed(&self, counter: u64) -> Option<u32> {
        let slot = self.slot(counter);
        let acks = rules::bits_of(slot.acks.load(Ordering::Acquire), counter)?;
        let members = self.members(counter)?;
        rules::complete(members, acks).then_some(members)
    }

    /// Notes that a shard waits for an epoch. It answers with shards that were noted for an epoch long past in the same slot
    /// and must be rung: whoever made that epoch persistent may not have got round to reading them, and now never will.
    pub(super) fn wait(&self, counter: u64, bit: u32) -> u32 {
        let slot = self.slot(counter);
        let mut before = slot.waiters.load(Ordering::Relaxed);
        loop {
            let (after, displaced) = match rules::counter(before).cmp(&counter) {
                core::cmp::Ordering::Equal => (before | u64::from(bit), 0),
                core::cmp::Ordering::Less => (rules::word(counter, bit), rules::bits(before)),
                // The slot serves a later epoch: the one asked for has been persistent for long.
                core::cmp::Ordering::Greater => return 0,
            };
            match slot.waiters.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return displaced,
                Err(now) => before = now,
            }
        }
    }

    /// Who waits for an epoch.
    pub(super) fn waiters(&self, counter: u64) -> u32 {
        rules::bits_of(self.slot(counter).waiters.load(Ordering::Acquire), counter).unwrap_or(0)
    }
}
