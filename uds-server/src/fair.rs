//! Whose turn it is: deficit round robin over the connections that have work waiting.
//!
//! Contract: who takes more than its quantum waits behind all others that wait, and is then given one quantum more; so between two turns
//! of a connection each other one does at most a quantum of work, and the end of the request that crossed it. Who has waited for
//! nothing is served at once. As long as anybody waits somebody is served. A request larger than a quantum is begun whole and paid
//! for with later turns, up to [`DEBT_QUANTA`] of them.
//!
//! It knows no sessions and no clock: work is a number, bytes in and out and a fixed price for each operation.

use std::collections::VecDeque;

/// Turns that one request may cost its connection beyond the one in which it was begun: what is larger holds nobody up for longer
/// than it did already.
const DEBT_QUANTA: i64 = 8;

/// What a connection may still do in its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Allowance {
    left: i64,
    /// It stopped although there was more to do.
    short: bool,
}

impl Allowance {
    /// Whether a request may begin. Who asks has one to begin, and waits for its turn if not.
    pub(crate) fn has(&mut self) -> bool {
        self.short = self.left <= 0;
        !self.short
    }

    /// Work was done, which has been asked for.
    pub(crate) fn spend(&mut self, work: usize) {
        self.left = self.left.saturating_sub(i64::try_from(work).unwrap_or(i64::MAX));
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    left: i64,
    waits: bool,
}

/// The connections by their places, and the order in which those that wait are served.
#[derive(Debug)]
pub(crate) struct Fair {
    quantum: i64,
    places: Vec<Place>,
    ring: VecDeque<u32>,
}

impl Fair {
    pub(crate) fn new(quantum: usize) -> Self {
        assert!(quantum > 0, "a turn in which nothing may be done is none");
        let quantum = i64::try_from(quantum).unwrap_or(i64::MAX / (2 * DEBT_QUANTA));
        Self { quantum, places: Vec::new(), ring: VecDeque::new() }
    }

    /// A connection takes this place.
    pub(crate) fn open(&mut self, place: u32) {
        let at = place as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, Place::default());
        }
        self.places[at] = Place { left: self.quantum, waits: false };
    }

    /// The connection is gone.
    pub(crate) fn close(&mut self, place: u32) {
        if std::mem::take(&mut self.places[place as usize]).waits {
            self.ring.retain(|waiting| *waiting != place);
        }
    }

    /// Something has come from a connection: if it does not wait for its turn it has one.
    pub(crate) fn heard(&mut self, place: u32) {
        let at = &mut self.places[place as usize];
        if !at.waits {
            at.left = (at.left + self.quantum).min(self.quantum);
        }
    }

    /// What the connection may do now.
    pub(crate) fn allowance(&self, place: u32) -> Allowance {
        Allowance { left: self.places[place as usize].left, short: false }
    }

    /// What is left of it, and whether the connection waits for more.
    pub(crate) fn settle(&mut self, place: u32, allowance: Allowance) {
        let at = &mut self.places[place as usize];
        at.left = allowance.left.max(-DEBT_QUANTA * self.quantum);
        if allowance.short && !at.waits {
            at.waits = true;
            self.ring.push_back(place);
        }
    }

    /// How many wait: as many turns are a round.
    pub(crate) fn waiting(&self) -> usize {
        self.ring.len()
    }

    /// The next one's turn begins. It may still be in debt; then it waits again, behind the others, unless all are.
    pub(crate) fn next(&mut self) -> Option<u32> {
        // When nobody could do anything in the round to come, the rounds in which nobody could are over at once.
        let nearest = self.ring.iter().map(|place| self.places[*place as usize].left).max()?;
        let idle = if nearest + self.quantum > 0 { 0 } else { -nearest / self.quantum };
        for place in &self.ring {
            self.places[*place as usize].left += idle * self.quantum;
        }
        let place = self.ring.pop_front()?;
        let at = &mut self.places[place as usize];
        assert!(at.waits, "who is in the ring waits");
        at.left = (at.left + self.quantum).min(self.quantum);
        at.waits = false;
        Some(place)
    }
}

#[cfg(test)]
mod tests;
