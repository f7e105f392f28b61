//! Keys that many commits fail on: they are found out, and those who want them come one after the other.
//!
//! Failures are counted by key in a counting Bloom filter of two generations: a key is *hot* while it has failed often within the
//! present window and the one before. Of a hot key somebody has the **turn**: whoever was told last what is there, for the length of a
//! **lease** or until the key changes.
//!
//! * A commit that *fails* on a hot key while somebody has the turn is not answered: it waits in the key's queue, first come first
//!   served. It is answered when its turn comes, with the version that is there by then, so its retry is the one that succeeds.
//! * A commit that compares the key and comes from somebody else than who has the turn is not looked at before the turn ends. It is
//!   then looked at as if it had come then. Without this who has just succeeded, and knows the new version before anybody is told,
//!   would be first again and again.
//! * Who was told and came late, after the lease, is looked at at once until it has changed the key: it is still expected. A lease is as
//!   long as those who are late need, within bounds.
//! * A key that nobody waits for rests: who was told may still come. Somebody else waits for that, one lease and once.
//!
//! Contract: results never change, only who waits; nobody waits without a hot key; who would succeed waits for one lease, at most
//! [`LEASE_NANOS_MAX`], and who fails for [`WAIT_NANOS_MAX`] more. A full queue takes nobody, and who is not taken is looked at, or
//! answered, at once. Deterministic: time comes as ticks, hashes from the engine. Memory is bounded: two filters and [`KEYS_MAX`] keys.
//!
//! Two keys that the filter takes for one only wait for each other.

use crate::index::KeyHash;
use crate::seam::Asker;
use std::collections::{BTreeMap, VecDeque};

/// How long who was told has the key, at first: a round trip over the socket and its commit.
pub(crate) const LEASE_NANOS: u64 = 1_000_000;
/// The longest lease: a round trip on a machine with too much to do. A longer one would hold up all for who does not come back.
pub(crate) const LEASE_NANOS_MAX: u64 = 8 * LEASE_NANOS;
/// How long a failing commit waits at most to be told: 64 of the longest leases. Where those before it come back at once, or not at
/// all, it is 64 round trips, or 64 ms.
pub(crate) const WAIT_NANOS_MAX: u64 = 64 * LEASE_NANOS_MAX;
/// Commits that wait for one key: as many as a thousand clients have, whose round trips take the longest wait if each is 500 µs.
pub(crate) const QUEUE_MAX: usize = 1024;
/// Keys with turns at a time.
pub(crate) const KEYS_MAX: usize = 64;
/// How long failures count at least; after twice as long they are forgotten. So long a key rests, too.
pub(crate) const WINDOW_NANOS: u64 = 100_000_000;
/// Failures in two windows from which on a key is hot: a hundred a second are no contention worth a wait.
pub(crate) const HOT_FAILURES: u8 = 20;
/// Counters of a generation, a power of two: with a hundred failing keys one in a thousand others meets three counters of theirs.
const COUNTERS: usize = 4096;
/// Counters a key has.
const PROBES: u32 = 3;

/// What becomes of a commit on a hot key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It goes on: it is looked at, or answered, now.
    Now,
    /// It waits.
    Wait,
}

/// One generation of the filter.
#[derive(Debug)]
struct Counts(Box<[u8; COUNTERS]>);

/// A commit that waits.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    slot: u32,
    asker: Asker,
    since: u64,
}

/// A hot key that somebody was told of.
#[derive(Debug)]
struct HotKey {
    /// Who has the turn. While the key rests nobody has.
    holder: Option<Asker>,
    /// When the turn ends by the clock; of a key that rests, when it is forgotten.
    until: u64,
    /// How long a turn is.
    lease: u64,
    /// Commits that have failed, until they are told.
    queue: VecDeque<Waiter>,
    /// Commits that were not looked at, until the turn ends.
    unseen: VecDeque<Waiter>,
    /// Who was told and has not changed the key since, and when that was.
    told: BTreeMap<Asker, u64>,
}

/// The hot keys of an engine.
#[derive(Debug)]
pub(crate) struct Contention {
    present: Counts,
    past: Counts,
    began: u64,
    keys: BTreeMap<u128, HotKey>,
    released: Vec<u32>,
    /// Commits that waited, and turns that ended without a change of their key, since the open.
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

impl HotKey {
    /// A key that rests.
    fn new(now: u64) -> Self {
        let (queue, unseen) = (VecDeque::new(), VecDeque::new());
        Self { holder: None, until: now + WINDOW_NANOS, lease: LEASE_NANOS, queue, unseen, told: BTreeMap::new() }
    }

    fn give(&mut self, asker: Asker, now: u64) {
        (self.holder, self.until) = (Some(asker), now + self.lease);
        if asker != Asker::Nobody && self.told.len() < QUEUE_MAX {
            self.told.insert(asker, now);
        }
    }

    /// The turn has ended: those who waited for that are looked at, and the next is told.
    fn pass_on(&mut self, now: u64, released: &mut Vec<u32>) {
        released.extend(self.unseen.drain(..).map(|waiter| waiter.slot));
        match self.queue.pop_front() {
            Some(next) => {
                self.give(next.asker, now);
                released.push(next.slot);
            }
            None => (self.holder, self.until) = (None, now + WINDOW_NANOS),
        }
    }

    /// When something happens by the clock alone.
    fn wake(&self) -> Option<u64> {
        let turn = (!self.queue.is_empty() || !self.unseen.is_empty()).then_some(self.until);
        let patience = self.queue.front().map(|first| first.since + WAIT_NANOS_MAX);
        [turn, patience].into_iter().flatten().min()
    }
}

impl Contention {
    pub(crate) fn new() -> Self {
        Self {
            present: Counts::new(),
            past: Counts::new(),
            began: 0,
            keys: BTreeMap::new(),
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

    /// A commit of this asker that compares the key has come. If it waits, it is not to be looked at before it is released.
    pub(crate) fn comes(&mut self, key: KeyHash, (slot, asker): (u32, Asker), now: u64) -> Verdict {
        let Some(hot) = self.keys.get_mut(&key.0) else { return Verdict::Now };
        if let Some(told) = hot.told.get(&asker) {
            if hot.holder != Some(asker) && now - told <= LEASE_NANOS_MAX {
                hot.lease = (2 * hot.lease).min(LEASE_NANOS_MAX);
            }
            return Verdict::Now;
        }
        if hot.holder.is_none() {
            if hot.told.is_empty() {
                return Verdict::Now;
            }
            hot.give(Asker::Nobody, now);
        }
        if hot.unseen.len() >= QUEUE_MAX {
            return Verdict::Now;
        }
        hot.unseen.push_back(Waiter { slot, asker, since: now });
        self.waits += 1;
        Verdict::Wait
    }

    /// A commit of this asker has failed on a hot key. If it waits, it is to be told when it is released.
    pub(crate) fn fails(&mut self, key: KeyHash, (slot, asker): (u32, Asker), now: u64) -> Verdict {
        if !self.keys.contains_key(&key.0) && self.keys.len() >= KEYS_MAX {
            let rests = self.keys.iter().find(|(_, hot)| hot.holder.is_none()).map(|(key, _)| *key);
            let Some(rests) = rests else { return Verdict::Now };
            self.keys.remove(&rests);
        }
        let hot = self.keys.entry(key.0).or_insert_with(|| HotKey::new(now));
        if hot.holder.is_none() {
            hot.give(asker, now);
            return Verdict::Now;
        }
        if hot.queue.len() >= QUEUE_MAX {
            return Verdict::Now;
        }
        hot.queue.push_back(Waiter { slot, asker, since: now });
        self.waits += 1;
        Verdict::Wait
    }

    /// Whether no key has turns: if none has, nobody need say what it compares or changes.
    pub(crate) fn is_calm(&self) -> bool {
        self.keys.is_empty()
    }

    /// A commit of this asker that compared the key, or changed it, was applied.
    pub(crate) fn applied(&mut self, key: KeyHash, asker: Asker, changes: bool, now: u64) {
        let Some(hot) = self.keys.get_mut(&key.0) else { return };
        let in_turn = asker != Asker::Nobody && hot.holder == Some(asker);
        if in_turn {
            hot.lease = (hot.lease - hot.lease / 8).max(LEASE_NANOS);
        }
        if changes {
            hot.told.remove(&asker);
        }
        if changes || in_turn {
            hot.pass_on(now, &mut self.released);
        }
    }

    /// This asker is no more: nobody waits for it, and what it has left waits for nobody.
    pub(crate) fn gone(&mut self, asker: Asker, now: u64) {
        for hot in self.keys.values_mut() {
            hot.told.remove(&asker);
            for waiters in [&mut hot.unseen, &mut hot.queue] {
                self.released.extend(waiters.iter().filter(|waiter| waiter.asker == asker).map(|waiter| waiter.slot));
                waiters.retain(|waiter| waiter.asker != asker);
            }
            if hot.holder == Some(asker) {
                hot.pass_on(now, &mut self.released);
            }
        }
    }

    /// Ends the turns and the waits whose time is over, and forgets the keys that have rested.
    pub(crate) fn turn(&mut self, now: u64) {
        let Self { keys, released, lease_ends, .. } = self;
        keys.retain(|_, hot| {
            while let Some(first) = hot.queue.front().filter(|first| first.since + WAIT_NANOS_MAX <= now) {
                released.push(first.slot);
                hot.queue.pop_front();
            }
            if hot.until > now {
                return true;
            }
            if hot.holder.is_some() {
                *lease_ends += 1;
                if hot.holder == Some(Asker::Nobody) {
                    // Those who were told had one more lease to come.
                    hot.told.clear();
                }
                hot.pass_on(now, released);
                return true;
            }
            false
        });
    }

    /// Nobody can succeed any more: everybody is told now.
    pub(crate) fn end(&mut self) {
        for (_, hot) in core::mem::take(&mut self.keys) {
            self.released.extend(hot.unseen.iter().chain(&hot.queue).map(|waiter| waiter.slot));
        }
    }

    /// When something happens by the clock alone.
    pub(crate) fn next_wake(&self) -> Option<u64> {
        self.keys.values().filter_map(HotKey::wake).min()
    }

    /// The operations whose turn has come since the last call.
    pub(crate) fn take_released(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.released)
    }

    /// Keys that are wanted in turn now.
    pub(crate) fn hot_keys(&self) -> usize {
        self.keys.len()
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
