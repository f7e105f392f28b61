//! Iteration: a batch of pairs from a position on, each read where it is.
//!
//! Contract: every pair returned was current at some instant of the operation; a pair that is there throughout is returned
//! exactly once when the caller resumes past the last key it was given. Ordered tables go by key; hash tables by (hash, key),
//! sacks by address: orders that growth and change never disturb.
//!
//! The index is read once; records that are not in memory are then read from the device, many in flight together.

use super::core::Core;
use super::find::Known;
use super::ops::{Need, Step};
use super::records::place_of;
use super::table::Index;
use crate::error::Error;
use crate::index::{Address, HashOrder, Loc};
use crate::seam::{Answer, Cursor, Direction, Pair, Tick};
use segments::TableId;
use std::ops::Bound;

/// Most pairs of one batch: with the smallest records about the largest frame.
const PAIRS_MAX: u32 = 8_192;
/// Most bytes of one batch beyond its first pair.
const BYTES_MAX: u32 = 16 << 20;
/// Records read together: 128 is where the device gives the most reads a second (`design/experiments`).
const READS_AT_ONCE: usize = 128;

/// One pair of the batch, from its place to its content.
#[derive(Debug)]
enum Slot {
    At { loc: Loc, order: Option<HashOrder> },
    Read { pair: Pair, order: Option<HashOrder> },
    Gone,
}

/// An iteration's batch on its way.
#[derive(Debug)]
pub(crate) struct Next {
    table: TableId,
    from: Cursor,
    pairs_max: usize,
    bytes_max: usize,
    slots: Vec<Slot>,
    more: bool,
    pub(crate) known: Known,
    pub(crate) failed: Option<Error>,
}

impl Next {
    pub(crate) fn new(
        core: &Core,
        table: TableId,
        from: Cursor,
        until: Option<Vec<u8>>,
        direction: Direction,
        limits: (u32, u32),
    ) -> Result<Self, Error> {
        let entry = core.table(table)?;
        let pairs_max = usize::try_from(limits.0.clamp(1, PAIRS_MAX)).expect("thousands");
        let bytes_max = usize::try_from(limits.1.min(BYTES_MAX)).expect("millions");
        let mut slots = Vec::new();
        let more = match &entry.index {
            Index::Ordered(index) => {
                let mut batch = Vec::new();
                let more = match direction {
                    Direction::Next => index.next_batch(bound_of(&from), pairs_max, &mut batch),
                    Direction::Previous => index.previous_batch(bound_of(&from), pairs_max, &mut batch),
                };
                let wanted = |key: &[u8]| match (&until, direction) {
                    (None, _) => true,
                    (Some(until), Direction::Next) => key < until.as_slice(),
                    (Some(until), Direction::Previous) => key > until.as_slice(),
                };
                let before = batch.len();
                batch.retain(|(key, _)| wanted(key));
                slots.extend(batch.iter().map(|(_, loc)| Slot::At { loc: *loc, order: None }));
                more && batch.len() == before
            }
            Index::Hash(_) | Index::Sack(_) if until.is_some() || direction == Direction::Previous => {
                let why = "only an ordered table has an order to go back in or stop by";
                return Err(Error::WrongKind { op: "this iteration", table, why });
            }
            Index::Hash(index) => {
                let start = match &from {
                    Cursor::Start => HashOrder::FIRST,
                    Cursor::At(key) | Cursor::Past(key) => core.hash.hash(key).order(),
                };
                let mut batch = Vec::new();
                let more = index.scan(start, pairs_max + 1, &mut batch);
                slots.extend(batch.iter().map(|(order, loc)| Slot::At { loc: *loc, order: Some(*order) }));
                more
            }
            Index::Sack(index) => {
                let start = match &from {
                    Cursor::Start => Some(Address::FIRST),
                    Cursor::At(key) => Some(decode(table, key)?),
                    Cursor::Past(key) => decode(table, key)?.after(),
                };
                let mut batch = Vec::new();
                let more = start.is_some_and(|start| index.next_batch(start, pairs_max, &mut batch));
                slots.extend(batch.iter().map(|(_, loc)| Slot::At { loc: *loc, order: None }));
                more
            }
        };
        Ok(Self { table, from, pairs_max, bytes_max, slots, more, known: Known::default(), failed: None })
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.table)));
        }
        match self.gather(core, now) {
            Err(error) => Step::Done(Err(error)),
            Ok(Some(need)) => Step::Wait(need),
            Ok(None) => Step::Done(Ok(self.answer(core))),
        }
    }

    /// Takes every record that memory has; names those to be read.
    fn gather(&mut self, core: &Core, now: Tick) -> Result<Option<Need>, Error> {
        let table = core.table(self.table)?;
        let (mut unread, mut bytes) = (Vec::new(), 0);
        for slot in &mut self.slots {
            if let Slot::At { loc, order } = *slot {
                match core.found_at(table, loc, &self.known)? {
                    None => unread.push(place_of(loc)),
                    Some(found) if found.is_expired(now) => *slot = Slot::Gone,
                    Some(found) => *slot = Slot::Read { pair: found.to_pair(), order },
                }
            }
            if let Slot::Read { pair, .. } = slot {
                bytes += pair.key.len() + pair.value.len();
            }
            // In a hash table the batch is put in order at its end, so all of it is needed before any is cut off.
            if unread.len() == READS_AT_ONCE || (bytes > self.bytes_max && !matches!(table.index, Index::Hash(_))) {
                break;
            }
        }
        self.known = Known::default();
        Ok(if unread.is_empty() { None } else { Some(Need::Reads(unread)) })
    }

    fn answer(&mut self, core: &Core) -> Answer {
        let slots = core::mem::take(&mut self.slots);
        let mut read: Vec<(Option<HashOrder>, Pair)> = Vec::with_capacity(slots.len());
        let mut more = self.more;
        for slot in slots {
            match slot {
                Slot::Read { pair, order } => read.push((order, pair)),
                Slot::At { .. } => more = true,
                Slot::Gone => {}
            }
        }
        if read.iter().any(|(order, _)| order.is_some()) {
            read.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.key.cmp(&y.key)));
            self.skip_seen(core, &mut read);
        }
        let mut pairs = Vec::with_capacity(read.len());
        let mut bytes = 0;
        for (_, pair) in read {
            bytes += pair.key.len() + pair.value.len();
            if pairs.len() == self.pairs_max || (bytes > self.bytes_max && !pairs.is_empty()) {
                more = true;
                break;
            }
            pairs.push(pair);
        }
        Answer::Pairs { pairs, more }
    }

    /// Of the pairs with the cursor's own hash, those at or before the cursor's key have been seen.
    fn skip_seen(&self, core: &Core, read: &mut Vec<(Option<HashOrder>, Pair)>) {
        let (key, inclusive) = match &self.from {
            Cursor::Start => return,
            Cursor::At(key) => (key, true),
            Cursor::Past(key) => (key, false),
        };
        let order = core.hash.hash(key).order();
        read.retain(|(at, pair)| *at != Some(order) || pair.key > *key || (inclusive && pair.key == *key));
    }
}

fn bound_of(from: &Cursor) -> Bound<&[u8]> {
    match from {
        Cursor::Start => Bound::Unbounded,
        Cursor::At(key) => Bound::Included(key),
        Cursor::Past(key) => Bound::Excluded(key),
    }
}

fn decode(table: TableId, key: &[u8]) -> Result<Address, Error> {
    Address::decode(key).ok_or(Error::BadKey { table, bytes: key.len(), want: "8-byte addresses that it gave" })
}
