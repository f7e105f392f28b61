//! Keys that many commits fail on: they are found out, and their failing replies are handed out in turn.
//!
//! Failures are counted by key in a counting Bloom filter of two generations: a key is *hot* while it has failed often within the
//! present window and the one before. A commit that fails its compare on a hot key is not answered at once: it waits in the
//! key's queue, first come first served, until the one that was answered before it has changed the key or has had its **lease**
//! for it. It is then answered with the version that is there by then, so that its retry is the one that is likely to succeed.
//!
//! Contract: results never change, only who waits; nobody waits without a hot key; nobody waits longer than the queue before it
//! has leases ([`QUEUE_MAX`] × [`LEASE_NANOS`]): a full queue takes nobody, and who is not taken is answered at once. Deterministic:
//! time comes as ticks, hashes from the engine. Memory is bounded: two filters and [`KEYS_MAX`] queues.
//!
//! Two keys that the filter takes for one only wait for each other.

use crate::index::KeyHash;
use std::collections::{BTreeMap, VecDeque};

/// How long the one that was answered last has the key for itself: a round trip over the socket and its commit.
pub(crate) const LEASE_NANOS: u64 = 1_000_000;
/// Commits that wait for one key: 64 leases are 64 ms, the longest wait.
pub(crate) const QUEUE_MAX: usize = 64;
/// Keys with a lease at a time.
pub(crate) const KEYS_MAX: usize = 64;
/// How long failures count at least; after twice as long they are forgotten.
pub(crate) const WINDOW_NANOS: u64 = 100_000_000;
/// Failures in two windows from which on a key is hot: a hundred a second are no contention worth a wait.
pub(crate) const HOT_FAILURES: u8 = 20;
/// Counters of a generation, a power of two: with a hundred failing keys one in a thousand others meets three counters of theirs.
const COUNTERS: usize = 4096;
/// Counters a key has.
const PROBES: u32 = 3;

/// What becomes of a failing reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is answered now.
    Answer,
    /// It waits in the queue of the key.
    Wait,
}

/// One generation of the filter.
#[derive(Debug)]
struct Counts(Box<[u8; COUNTERS]>);

/// A hot key that was answered to somebody.
#[derive(Debug)]
struct Lease {
    until: u64,
    queue: VecDeque<u32>,
}

/// The hot keys of an engine.
#[derive(Debug)]
pub(crate) struct Contention {
    present: Counts,
    past: Counts,
    began: u64,
    leases: BTreeMap<u128, Lease>,
    released: Vec<u32>,
    /// Replies that waited, and leases that ended without a change of their key, since the open.
    pub(crate) waits: u64,
    pub(crate) lease_ends: u64,
}

impl Counts {
    fn new() -> Self {
        Self(Box::new([0; COUNTERS]))
    }

    fn of(&self, key: KeyHash) -> u8 {
        places(key).map(|place| self.0[place]).min().unwrap_or(0)
    }
}

/// The counters of a key: three pieces of its hash, which is as good as random.
fn places(key: KeyHash) -> impl Iterator<Item = usize> {
    let last = COUNTERS as u128 - 1;
    (0..PROBES).map(move |probe| usize::try_from(key.0 >> (32 * probe) & last).expect("fewer than there are counters"))
}

impl Contention {
    pub(crate) fn new() -> Self {
        Self {
            present: Counts::new(),
            past: Counts::new(),
            began: 0,
            leases: BTreeMap::new(),
            released: Vec::new(),
            waits: 0,
            lease_ends: 0,
        }
    }

    /// Counts a failure on a key; says whether the key is hot.
    pub(crate) fn count(&mut self, key: KeyHash, now: u64) -> bool {
        self.age(now);
        for place in places(key) {
            let counter = &mut self.present.0[place];
            *counter = counter.saturating_add(1);
        }
        self.present.of(key).saturating_add(self.past.of(key)) >= HOT_FAILURES
    }

    /// Whether a failing reply on a hot key waits. If it does, the operation in this slot stands in the key's queue.
    pub(crate) fn fails(&mut self, key: KeyHash, slot: u32, now: u64) -> Verdict {
        match self.leases.get_mut(&key.0) {
            Some(lease) if lease.queue.len() < QUEUE_MAX => {
                lease.queue.push_back(slot);
                self.waits += 1;
                Verdict::Wait
            }
            Some(_) => Verdict::Answer,
            None => {
                if self.leases.len() < KEYS_MAX {
                    self.leases.insert(key.0, Lease { until: now + LEASE_NANOS, queue: VecDeque::new() });
                }
                Verdict::Answer
            }
        }
    }

    /// Whether any key has a lease: if none has, nobody need say what it changes.
    pub(crate) fn is_calm(&self) -> bool {
        self.leases.is_empty()
    }

    /// A commit has changed the key: the next in its queue is answered, with what is there now.
    pub(crate) fn changed(&mut self, key: KeyHash, now: u64) {
        self.pass_on(key.0, now);
    }

    /// Ends the leases whose time is over.
    pub(crate) fn turn(&mut self, now: u64) {
        let over: Vec<u128> = self.leases.iter().filter(|(_, lease)| lease.until <= now).map(|(key, _)| *key).collect();
        for key in over {
            self.lease_ends += 1;
            self.pass_on(key, now);
        }
    }

    /// When the next lease ends by the clock alone, if somebody waits for that.
    pub(crate) fn next_wake(&self) -> Option<u64> {
        self.leases.values().filter(|lease| !lease.queue.is_empty()).map(|lease| lease.until).min()
    }

    /// The operations whose turn has come since the last call.
    pub(crate) fn take_released(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.released)
    }

    /// Keys that are leased now.
    pub(crate) fn hot_keys(&self) -> usize {
        self.leases.len()
    }

    fn pass_on(&mut self, key: u128, now: u64) {
        let Some(lease) = self.leases.get_mut(&key) else { return };
        match lease.queue.pop_front() {
            Some(slot) => {
                lease.until = now + LEASE_NANOS;
                self.released.push(slot);
            }
            None => drop(self.leases.remove(&key)),
        }
    }

    /// Forgets what was counted before the last window.
    fn age(&mut self, now: u64) {
        let windows = now.saturating_sub(self.began) / WINDOW_NANOS;
        if windows == 0 {
            return;
        }
        self.began += windows * WINDOW_NANOS;
        core::mem::swap(&mut self.past, &mut self.present);
        self.present.0.fill(0);
        if windows > 1 {
            self.past.0.fill(0);
        }
    }
}

const _: () = assert!(COUNTERS.is_power_of_two(), "counters are found by masking");

#[cfg(test)]
mod tests;
