//! Iteration: a batch of pairs from a position on, each read where it is.
//!
//! Contract: every pair returned was current at some instant of the operation; a pair that is there throughout is returned
//! exactly once when the caller resumes past the last key it was given. Ordered tables go by key; hash tables by (hash, key),
//! sacks by address: orders that growth and change never disturb.
//!
//! The index is read once; records that are not in memory are then read from the device, many in flight together. Where all that
//! was read has expired, the index is read on: thousands of pairs a step at most, then other operations have their turn.

use super::core::Core;
use super::find::{Known, OTHER_KEY, Sight, Want, corrupt};
use super::ops::{Need, READ_PAGES_AT_ONCE, Step};
use super::table::{Index, Table};
use crate::error::Error;
use crate::index::{Address, HashOrder, Loc};
use crate::seam::{Answer, Cursor, Direction, Pair, Tick};
use segments::TableId;
use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

/// Most pairs of one batch: with the smallest records about the largest frame.
const PAIRS_MAX: u32 = 8_192;
/// Most bytes of one batch beyond its first pair.
const BYTES_MAX: u32 = 16 << 20;
/// Slots that one step looks at, so that a table in which everything has expired holds nobody up: a few milliseconds.
const STEP_SLOTS: usize = PAIRS_MAX as usize;
/// Records read together: 128 is where the device gives the most reads a second (`design/experiments`).
const READS_AT_ONCE: usize = 128;

/// What the index says that a record's key is.
#[derive(Debug)]
enum Named {
    Key(Vec<u8>),
    Order(HashOrder),
    Address(Address),
}

impl Named {
    fn order(&self) -> Option<HashOrder> {
        match self {
            Self::Order(order) => Some(*order),
            Self::Key(_) | Self::Address(_) => None,
        }
    }

    fn names(&self, table: &Table, key: &[u8]) -> bool {
        match self {
            Self::Key(named) => named == key,
            Self::Order(order) => table.order_of(key) == Some(*order),
            Self::Address(address) => address.to_key() == key,
        }
    }
}

/// One pair of the batch, from its place to its content.
#[derive(Debug)]
enum Slot {
    At { loc: Loc, named: Named },
    Read { pair: Pair, order: Option<HashOrder> },
    Gone { order: Option<HashOrder> },
}

impl Slot {
    fn order(&self) -> Option<HashOrder> {
        match self {
            Self::At { named, .. } => named.order(),
            Self::Read { order, .. } | Self::Gone { order } => *order,
        }
    }
}

/// An iteration's batch on its way.
#[derive(Debug)]
pub(crate) struct Next {
    table: TableId,
    from: Cursor,
    until: Option<Vec<u8>>,
    direction: Direction,
    pairs_max: usize,
    bytes_max: usize,
    slots: Vec<Slot>,
    more: bool,
    /// Behind the last slot, where the index is read on when all slots turn out to be expired.
    resume: Option<Resume>,
    /// The hash of the cursor's key, in a hash table.
    own: Option<HashOrder>,
    pub(crate) known: Known,
    pub(crate) failed: Option<Error>,
}

/// A place in the index.
#[derive(Debug)]
enum Resume {
    Past(Vec<u8>),
    Order(Option<HashOrder>),
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
        let mut next = Self {
            table,
            from,
            until,
            direction,
            pairs_max: usize::try_from(limits.0.clamp(1, PAIRS_MAX)).expect("thousands"),
            bytes_max: usize::try_from(limits.1.min(BYTES_MAX)).expect("millions"),
            slots: Vec::new(),
            more: false,
            resume: None,
            own: None,
            known: Known::default(),
            failed: None,
        };
        next.scan(core)?;
        Ok(next)
    }

    /// Reads the index from where the iteration stands.
    fn scan(&mut self, core: &Core) -> Result<(), Error> {
        let table = self.table;
        let resume = self.resume.take();
        let from = match &resume {
            Some(Resume::Past(key)) => &Cursor::Past(key.clone()),
            Some(Resume::Order(_)) | None => &self.from,
        };
        let entry = core.table(table)?;
        match &entry.index {
            Index::Ordered(index) => {
                let (slots, until, direction) = (&mut self.slots, self.until.as_deref(), self.direction);
                let (mut bytes, mut full) = (0, false);
                let _ = index.for_each_from(bound_of(from), direction, |key, loc| {
                    let wanted = match direction {
                        Direction::Next => until.is_none_or(|until| key < until),
                        Direction::Previous => until.is_none_or(|until| key > until),
                    };
                    full = wanted && (slots.len() == self.pairs_max || bytes > self.bytes_max);
                    if !wanted || full {
                        return ControlFlow::Break(());
                    }
                    bytes += key.len();
                    slots.push(Slot::At { loc, named: Named::Key(key.to_vec()) });
                    ControlFlow::Continue(())
                });
                self.more = full;
                self.resume = match slots.last() {
                    Some(Slot::At { named: Named::Key(key), .. }) if full => Some(Resume::Past(key.clone())),
                    Some(_) | None => None,
                };
            }
            Index::Hash(_) | Index::Sack(_) if self.until.is_some() || self.direction == Direction::Previous => {
                let why = "only an ordered table has an order to go back in or stop by";
                return Err(Error::WrongKind { op: "this iteration", table, why });
            }
            Index::Hash(index) => {
                let start = match (&resume, from) {
                    (Some(Resume::Order(order)), _) => *order,
                    (_, Cursor::Start) => Some(HashOrder::FIRST),
                    (_, Cursor::At(key) | Cursor::Past(key)) => {
                        entry.check_key(key)?;
                        self.own = Some(index.order(entry.hasher.hash(key)));
                        self.own
                    }
                };
                let mut batch = Vec::new();
                self.more = start.is_some_and(|start| index.scan(start, self.pairs_max + 1, &mut batch));
                let slots = batch.iter().map(|&(order, loc)| Slot::At { loc, named: Named::Order(order) });
                self.slots.extend(slots);
                self.resume = batch.last().map(|(order, _)| Resume::Order(index.after(*order)));
            }
            Index::Sack(index) => {
                let start = match from {
                    Cursor::Start => Some(Address::FIRST),
                    Cursor::At(key) => Some(decode(table, key)?),
                    Cursor::Past(key) => decode(table, key)?.after(),
                };
                let mut batch = Vec::new();
                self.more = start.is_some_and(|start| index.next_batch(start, self.pairs_max, &mut batch));
                let slots = batch.iter().map(|&(address, loc)| Slot::At { loc, named: Named::Address(address) });
                self.slots.extend(slots);
                self.resume = batch.last().map(|(address, _)| Resume::Past(address.to_key().to_vec()));
            }
        }
        Ok(())
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick) -> Step {
        if let Some(error) = self.failed.take() {
            return Step::Done(Err(error.in_table(self.table)));
        }
        let mut looked_at = 0;
        loop {
            looked_at += self.slots.len();
            match self.gather(core, now) {
                Err(error) => return Step::Done(Err(error)),
                Ok(Some(need)) => return Step::Wait(need),
                Ok(None) => {}
            }
            let answer = self.answer();
            // A caller goes on from the last pair it got: a batch in which everything has expired would leave it nowhere.
            let stuck = matches!(&answer, Answer::Pairs { pairs, more: true } if pairs.is_empty());
            if !stuck {
                return Step::Done(Ok(answer));
            }
            if let Err(error) = self.scan(core) {
                return Step::Done(Err(error));
            }
            if looked_at >= STEP_SLOTS {
                return Step::Wait(Need::Again);
            }
        }
    }

    /// Takes every record that memory has; names those to be read.
    fn gather(&mut self, core: &Core, now: Tick) -> Result<Option<Need>, Error> {
        let table = core.table(self.table)?;
        let own = self.own;
        let (mut unread, mut pages, mut bytes) = (Vec::new(), 0, 0);
        // What is there of records of which not all is there yet.
        let mut kept = BTreeSet::new();
        let mut slots = self.slots.iter_mut().peekable();
        while let Some(slot) = slots.next() {
            if let Slot::At { loc, named } = &*slot {
                let (loc, order) = (*loc, named.order());
                match core.found_at(table, loc, &self.known, Want::Record)? {
                    Sight::Unread(places) => {
                        pages += places.iter().map(|place| place.pages()).sum::<u32>();
                        unread.extend(places);
                        // Also when the record itself is in the cache: what was read of its parts would be read again and again.
                        kept.extend(core.parts_of(loc, &self.known));
                    }
                    Sight::Found(found) if !named.names(table, found.key()) => {
                        return Err(corrupt(self.table, loc, OTHER_KEY));
                    }
                    Sight::Found(found) if found.is_expired(now) => *slot = Slot::Gone { order },
                    Sight::Found(found) => *slot = Slot::Read { pair: found.into_pair(), order },
                }
            }
            match slot {
                // Those that were seen before are taken out in the end, so what has their hash fills nothing.
                Slot::Read { order, .. } if order.is_some() && *order == own => {}
                Slot::Read { pair, .. } => bytes += pair.key.len() + pair.value.len(),
                Slot::At { .. } | Slot::Gone { .. } => {}
            }
            // Pairs of one hash are put in order by their keys in the end, so all of them are needed before they are cut off.
            let group_ends = slot.order().is_none() || slots.peek().is_none_or(|next| next.order() != slot.order());
            let enough = bytes > self.bytes_max && group_ends;
            if enough || unread.len() >= READS_AT_ONCE || pages >= READ_PAGES_AT_ONCE {
                break;
            }
        }
        self.known.keep_only(&kept);
        Ok(if unread.is_empty() { None } else { Some(Need::Reads(unread)) })
    }

    fn answer(&mut self) -> Answer {
        let slots = core::mem::take(&mut self.slots);
        let mut read: Vec<(Option<HashOrder>, Pair)> = Vec::with_capacity(slots.len());
        let mut more = self.more;
        for slot in slots {
            match slot {
                Slot::Read { pair, order } => read.push((order, pair)),
                Slot::At { .. } => more = true,
                Slot::Gone { .. } => {}
            }
        }
        if read.iter().any(|(order, _)| order.is_some()) {
            read.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.key.cmp(&y.key)));
            self.skip_seen(&mut read);
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
    fn skip_seen(&self, read: &mut Vec<(Option<HashOrder>, Pair)>) {
        let (key, inclusive) = match &self.from {
            Cursor::Start => return,
            Cursor::At(key) => (key, true),
            Cursor::Past(key) => (key, false),
        };
        read.retain(|(at, pair)| *at != self.own || pair.key > *key || (inclusive && pair.key == *key));
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
