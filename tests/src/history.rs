//! What clients saw, judged: is there one order of all operations that explains every answer?
//!
//! Contract of [`linearizable`]: exact, in the time of a sort, because every answer names the version it saw or made and versions
//! are the order of the writes. For one key: writes go by version, a read stands between the write that it saw and the next one;
//! the history is linearizable if and only if nothing that ended before something else began stands behind it in that order.
//! Keys are judged one by one, which is enough: linearizability is local (Herlihy and Wing 1990, theorem 1).
//!
//! Contract of [`search`]: the same by looking through all orders (Wing and Gong 1993), for histories of a few operations: a
//! second opinion that knows nothing of sorting.
//!
//! Contract of [`serialisable`]: the graph of who saw or replaced whose version has no cycle (Adya 1999, PL-3 for items).

use segments::Version;
use std::collections::{BTreeMap, BTreeSet};

/// What one operation on one key did, as its client was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Did {
    /// It saw this version; nothing when the key had no pair yet. A compare that failed saw what it named.
    Saw(Option<Version>),
    /// It wrote this version, whatever was there.
    Wrote(Version),
    /// It wrote the second version over the first.
    Swapped(Option<Version>, Version),
}

/// One operation on one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The key.
    pub key: u32,
    /// When it was asked, in any unit.
    pub start: u64,
    /// When its answer was there.
    pub end: u64,
    /// What it did.
    pub did: Did,
}

impl Event {
    /// Its place in the order of the key: the version, and behind the write of it those that saw it.
    fn place(&self) -> (Option<Version>, bool) {
        match self.did {
            Did::Saw(version) => (version, true),
            Did::Wrote(version) | Did::Swapped(_, version) => (Some(version), false),
        }
    }
}

/// Why a history has no order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// One version was written twice.
    Twice(Box<[Event; 2]>),
    /// A version was seen that nobody wrote.
    Unborn(Event),
    /// A swap was over another version than the one before it.
    Lost(Event, Option<Version>),
    /// The first ended before the second began, and stands behind it.
    Order(Box<[Event; 2]>),
}

/// Judges a history of any length.
///
/// # Errors
/// The first thing that is wrong.
pub fn linearizable(events: &[Event]) -> Result<(), Wrong> {
    let mut keys: BTreeMap<u32, Vec<Event>> = BTreeMap::new();
    for event in events {
        keys.entry(event.key).or_default().push(*event);
    }
    keys.into_values().try_for_each(one_key)
}

fn one_key(mut events: Vec<Event>) -> Result<(), Wrong> {
    events.sort_by_key(Event::place);
    let mut newest: Option<Event> = None;
    let mut version = None;
    for event in &events {
        match event.did {
            Did::Saw(seen) if seen != version => return Err(Wrong::Unborn(*event)),
            Did::Saw(_) => continue,
            Did::Swapped(before, _) if before != version => return Err(Wrong::Lost(*event, version)),
            Did::Wrote(_) | Did::Swapped(..) => {}
        }
        if let Some(other) = newest.filter(|other| other.place() == event.place()) {
            return Err(Wrong::Twice(Box::new([other, *event])));
        }
        newest = Some(*event);
        version = event.place().0;
    }
    // By beginning, beside the one that stands furthest behind among those that had ended by then.
    let mut ended = events.clone();
    ended.sort_by_key(|event| event.end);
    events.sort_by_key(|event| event.start);
    let mut ended = ended.into_iter().peekable();
    let mut furthest: Option<Event> = None;
    for event in events {
        while let Some(before) = ended.next_if(|before| before.end < event.start) {
            if furthest.is_none_or(|furthest| furthest.place() < before.place()) {
                furthest = Some(before);
            }
        }
        if let Some(before) = furthest.filter(|before| before.place() > event.place()) {
            return Err(Wrong::Order(Box::new([before, event])));
        }
    }
    Ok(())
}

/// Judges a history of one key and at most 20 operations by trying every order.
#[must_use]
pub fn search(events: &[Event]) -> bool {
    assert!(events.len() <= 20, "the search tries every subset");
    let mut seen = BTreeSet::new();
    let mut open = vec![(0_u32, None)];
    while let Some((done, version)) = open.pop() {
        if done.count_ones() as usize == events.len() {
            return true;
        }
        if !seen.insert((done, version)) {
            continue;
        }
        let left = || (0..events.len()).filter(|at| done & 1 << at == 0);
        let first_end = left().map(|at| events[at].end).min().expect("something is left");
        for at in left().filter(|&at| events[at].start <= first_end) {
            // A write must be younger than what is there: that is what versions promise.
            let then = match events[at].did {
                Did::Saw(seen) => (seen == version).then_some(version),
                Did::Wrote(new) => (Some(new) > version).then_some(Some(new)),
                Did::Swapped(old, new) => (old == version && Some(new) > version).then_some(Some(new)),
            };
            open.extend(then.map(|version| (done | 1 << at, version)));
        }
    }
    false
}

/// A transaction that was committed: what it saw and what it made, by key.
#[derive(Clone, Default, Debug)]
pub struct Committed {
    /// The versions it saw before; nothing where there was no pair.
    pub reads: BTreeMap<u32, Option<Version>>,
    /// The versions it made.
    pub writes: BTreeMap<u32, Version>,
}

/// Whether there is an order in which the transactions, one at a time, would have seen and made just that. Pairs are never
/// deleted in these histories.
///
/// # Errors
/// The positions of transactions that are in a cycle or behind one.
pub fn serialisable(txns: &[Committed]) -> Result<(), Vec<usize>> {
    let mut writers: BTreeMap<u32, BTreeMap<Version, usize>> = BTreeMap::new();
    for (at, txn) in txns.iter().enumerate() {
        for (key, version) in &txn.writes {
            writers.entry(*key).or_default().insert(*version, at);
        }
    }
    let mut after: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); txns.len()];
    let mut add = |from: usize, to: usize| {
        if from != to {
            after[from].insert(to);
        }
    };
    for versions in writers.values() {
        versions.values().zip(versions.values().skip(1)).for_each(|(one, next)| add(*one, *next));
    }
    let none = BTreeMap::new();
    for (at, txn) in txns.iter().enumerate() {
        for (key, seen) in &txn.reads {
            let versions = writers.get(key).unwrap_or(&none);
            let next = match seen {
                Some(version) => {
                    versions.get(version).into_iter().for_each(|writer| add(*writer, at));
                    versions.range((std::ops::Bound::Excluded(*version), std::ops::Bound::Unbounded)).next()
                }
                None => versions.iter().next(),
            };
            next.into_iter().for_each(|(_, writer)| add(at, *writer));
        }
    }
    let mut before = vec![0_usize; txns.len()];
    after.iter().flatten().for_each(|&to| before[to] += 1);
    let mut free: Vec<usize> = (0..txns.len()).filter(|&at| before[at] == 0).collect();
    while let Some(at) = free.pop() {
        for &to in &after[at] {
            before[to] -= 1;
            if before[to] == 0 {
                free.push(to);
            }
        }
    }
    let stuck: Vec<usize> = (0..txns.len()).filter(|&at| before[at] > 0).collect();
    if stuck.is_empty() { Ok(()) } else { Err(stuck) }
}

#[cfg(test)]
mod tests;
