//! Records that were read from the device, kept while the budget allows: records, not pages, since in a log the neighbours of a
//! record that is often read are not often read.
//!
//! Contract: what goes is what has not been used since the hand last passed (CLOCK). A miss costs one read, never a result.
//!
//! Invariant: the bytes held never exceed the budget by more than the newest record.

use ahash::RandomState;
use hashbrown::HashMap;
use segments::Place;
use std::cell::Cell;
use std::sync::Arc;

#[derive(Debug)]
struct Held {
    place: Place,
    /// Which life of its segment it was read in.
    life: u32,
    record: Arc<[u8]>,
    used: Cell<bool>,
}

/// Encoded records by their place.
#[derive(Debug)]
pub(crate) struct Cache {
    by_place: HashMap<Place, u32, RandomState>,
    held: Vec<Held>,
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

/// What a record costs besides its bytes: its place here, its map slot, its reference counts.
const OVERHEAD_BYTES: usize = 64;

impl Cache {
    /// An empty cache with a budget.
    pub(crate) fn new(bytes_max: usize, seed: u64) -> Self {
        let hasher = RandomState::with_seeds(seed, !seed, seed.rotate_left(17), seed ^ 0x5eed);
        Self { by_place: HashMap::with_hasher(hasher), held: Vec::new(), hand: 0, bytes: 0, bytes_max }
    }

    /// The record of a place in this life of its segment, marked as used. One of an earlier life is nobody's any more.
    pub(crate) fn get(&self, place: Place, life: u32) -> Option<&Arc<[u8]>> {
        let &index = self.by_place.get(&place)?;
        let held = &self.held[index as usize];
        if held.life != life {
            return None;
        }
        held.used.set(true);
        Some(&held.record)
    }

    /// Keeps a record; others go for it.
    pub(crate) fn put(&mut self, place: Place, life: u32, record: Arc<[u8]>) {
        let cost = record.len() + OVERHEAD_BYTES;
        match self.by_place.get(&place) {
            Some(&index) if self.held[index as usize].life == life => return,
            Some(&index) => self.drop_at(index as usize),
            None => {}
        }
        if cost > self.bytes_max {
            return;
        }
        while self.bytes + cost > self.bytes_max {
            self.drop_one();
        }
        self.bytes += cost;
        let index = u32::try_from(self.held.len()).expect("a cache holds at most 2^32 records");
        self.held.push(Held { place, life, record, used: Cell::new(false) });
        self.by_place.insert(place, index);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.by_place.clear();
        self.held.clear();
        self.bytes = 0;
        self.hand = 0;
    }

    /// Memory held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_one(&mut self) {
        loop {
            assert!(!self.held.is_empty(), "a cache over its budget holds something");
            if self.hand >= self.held.len() {
                self.hand = 0;
            }
            if !self.held[self.hand].used.replace(false) {
                break;
            }
            self.hand += 1;
        }
        self.drop_at(self.hand);
    }

    fn drop_at(&mut self, at: usize) {
        let gone = self.held.swap_remove(at);
        self.by_place.remove(&gone.place);
        self.bytes -= gone.record.len() + OVERHEAD_BYTES;
        if let Some(moved) = self.held.get(at) {
            let index = u32::try_from(at).expect("a cache holds at most 2^32 records");
            self.by_place.insert(moved.place, index);
        }
    }
}

#[cfg(test)]
mod tests;
