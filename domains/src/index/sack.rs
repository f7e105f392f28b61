//! The sack index: addresses that the store gives out, and the location behind each.
//!
//! An address packs, from the top, slot:32 | incarnation:24 | count:8. The index is an array by slot, so scanning by
//! address is scanning by slot, and of two addresses of one slot the greater is the younger.
//!
//! Contract: an address is given out once in the life of a domain. Within an incarnation the count of its slot tells it
//! from the slot's others, and a slot is given out at most 255 times; between incarnations the incarnation does. So what
//! is known of free slots need not survive: after a restart, a slot that no live pair holds starts anew.
//! A free slot waits until all that were freed before it have been given out, so a stale address stays recognisable long.
//!
//! Cost: 12 bytes a slot, given back when the index is dropped; every call is a few steps, whatever the size.
//!
//! Invariant: a slot is free and queued, free and not queued (given out 255 times, or not yet swept), reserved, or full.

use crate::index::chunks::Chunks;
use crate::index::{Loc, from_order_preserving, order_preserving};
use core::fmt;
use segments::Incarnation;
use segments::ids::INCARNATION_MAX;

/// How often a slot is given out in one incarnation: what eight bits count from 1. A count of 0 is never given, so
/// neither is address 0.
const COUNT_MAX: u32 = 255;
const COUNT_BITS: u32 = 8;
/// Slots that one reservation looks at for a free one nobody queued, before it takes a fresh slot.
const SWEEP_SLOTS_MAX: u32 = 64;
/// Slots of a sack by default: all that 32 bits number but the last, which marks the end of the queue.
const SLOTS_MAX: u32 = u32::MAX;
/// Slots of a chunk: 48 KiB.
const CHUNK: usize = 4096;
/// The end of the queue of free slots.
const NONE: u32 = u32::MAX;

const _: () = assert!(INCARNATION_MAX < 1 << 24, "an incarnation has 24 bits in an address");

/// The key of a pair in a sack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u64);

impl Address {
    /// Before every address that is ever given.
    pub const FIRST: Self = Self(0);

    /// An address from its bits. Any bits are an address, though perhaps one that nobody was given.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The address as an encoded key: eight bytes that compare as addresses do.
    #[must_use]
    pub fn to_key(self) -> [u8; 8] {
        order_preserving(self.0)
    }

    /// The address of an encoded key.
    #[must_use]
    pub fn from_key(key: [u8; 8]) -> Self {
        Self(from_order_preserving(key))
    }

    /// An address from a key of any length: only eight bytes are one.
    #[must_use]
    pub fn decode(key: &[u8]) -> Option<Self> {
        key.try_into().ok().map(Self::from_key)
    }

    /// The slot.
    #[must_use]
    pub fn slot(self) -> u32 {
        u32::try_from(self.0 >> 32).expect("32 bits remain after the shift")
    }

    /// The incarnation in which it was given out.
    #[must_use]
    pub fn incarnation(self) -> Incarnation {
        Incarnation(self.tag() >> COUNT_BITS)
    }

    /// How many times its slot had been given out in that incarnation, itself included.
    #[must_use]
    pub fn count(self) -> u8 {
        u8::try_from(self.tag() & COUNT_MAX).expect("masked to 8 bits")
    }

    /// The address after it, where an iteration goes on; nothing after the last.
    #[must_use]
    pub fn after(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    fn new(slot: u32, tag: u32) -> Self {
        Self(u64::from(slot) << 32 | u64::from(tag))
    }

    /// Incarnation and count.
    fn tag(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).expect("masked to 32 bits")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{}.{}.{}", self.slot(), self.incarnation().0, self.count())
    }
}

/// The address is not, or no longer, one to put a location at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale;

/// What a slot is, packed in 64 bits: the location plus [`State::FULL`], the next of the queue plus [`State::QUEUED`], ...
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Free, in no queue.
    Loose,
    /// Free, in the queue before this slot.
    Queued(u32),
    /// Given out, its location to come.
    Reserved,
    /// Given out, with a location.
    Full(Loc),
}

/// 12 bytes: the tag of the address last given out, and the packed state in two halves (a `u64` would pad it to 16).
#[derive(Clone, Copy, Default, Debug)]
struct Slot {
    tag: u32,
    state: [u32; 2],
}

const _: () = assert!(size_of::<Slot>() == 12);

impl Slot {
    const QUEUED: u64 = 1 << 62;
    const RESERVED: u64 = 2 << 62;
    const FULL: u64 = 3 << 62;
    const KIND: u64 = 3 << 62;

    fn state(self) -> State {
        let packed = u64::from(self.state[0]) << 32 | u64::from(self.state[1]);
        match packed & Self::KIND {
            Self::QUEUED => State::Queued(self.state[1]),
            Self::RESERVED => State::Reserved,
            Self::FULL => State::Full(Loc::new(packed & !Self::KIND)),
            _ => State::Loose,
        }
    }

    fn set(&mut self, state: State) {
        let packed = match state {
            State::Loose => 0,
            State::Queued(next) => Self::QUEUED | u64::from(next),
            State::Reserved => Self::RESERVED,
            State::Full(loc) => Self::FULL | loc.to_bits(),
        };
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("masked to 32 bits");
        self.state = [half(packed >> 32), half(packed)];
    }
}

/// The index.
///
/// ```
/// use domains::index::{Loc, SackIndex};
/// use segments::Incarnation;
/// let mut sack = SackIndex::new();
/// let address = sack.reserve(Incarnation(1)).expect("an empty sack has room");
/// assert_eq!(sack.put(address, Loc::new(5)), Ok(None));
/// assert_eq!(sack.remove(address), Some(Loc::new(5)));
/// assert_ne!(sack.reserve(Incarnation(1)), Some(address));
/// ```
#[derive(Debug)]
pub struct SackIndex {
    slots: Chunks<Slot, CHUNK>,
    /// Full slots of each chunk, so that iteration skips what is empty.
    full: Vec<u16>,
    slots_max: u32,
    /// The queue of free slots: whence they are taken, and where they are put.
    head: u32,
    tail: u32,
    /// The incarnation of the last reservation.
    incarnation: Incarnation,
    /// Slots below were looked at since it began: none of them is free, unqueued and fit to be given out.
    swept: u32,
    len: usize,
}

impl Default for SackIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl SackIndex {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::with_slots_max(SLOTS_MAX)
    }

    /// Empty, and never of more than `slots_max` slots.
    #[must_use]
    pub fn with_slots_max(slots_max: u32) -> Self {
        Self {
            slots: Chunks::new(),
            full: Vec::new(),
            slots_max,
            head: NONE,
            tail: NONE,
            incarnation: Incarnation::default(),
            swept: 0,
            len: 0,
        }
    }

    /// Pairs: addresses that have a location.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no address has a location.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All its memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.slots.memory_bytes() + self.full.capacity() * size_of::<u16>()
    }

    /// Sets an address aside, one that was never given before; nothing when every slot is taken or used up.
    ///
    /// # Panics
    /// If the incarnation is an earlier one than before, or 0, in which no domain serves.
    pub fn reserve(&mut self, incarnation: Incarnation) -> Option<Address> {
        assert!(incarnation >= self.incarnation, "incarnation {incarnation} after {}", self.incarnation);
        assert!(incarnation.0 >= 1 && incarnation.0 <= INCARNATION_MAX, "incarnation {incarnation}");
        if incarnation > self.incarnation {
            // Slots that were used up have 255 lives more.
            self.incarnation = incarnation;
            self.swept = 0;
        }
        let number = self.vacant()?;
        let slot = self.slots.get_mut(number as usize);
        let first = incarnation.0 << COUNT_BITS | 1;
        slot.tag = first.max(slot.tag + 1);
        slot.set(State::Reserved);
        assert!(slot.tag >> COUNT_BITS == incarnation.0, "slot {number} was given out more than {COUNT_MAX} times");
        Some(Address::new(number, slot.tag))
    }

    /// Takes back an address that was set aside and got no location; it is not given again. Says whether it was.
    pub fn release(&mut self, address: Address) -> bool {
        let reserved = self.there(address).is_some_and(|slot| slot.state() == State::Reserved);
        if reserved {
            self.free(address.slot());
        }
        reserved
    }

    /// The location of an address.
    #[must_use]
    pub fn get(&self, address: Address) -> Option<Loc> {
        match self.there(address)?.state() {
            State::Full(loc) => Some(loc),
            State::Loose | State::Queued(_) | State::Reserved => None,
        }
    }

    /// Whether an address was set aside and has no location yet.
    #[must_use]
    pub fn is_reserved(&self, address: Address) -> bool {
        self.there(address).is_some_and(|slot| slot.state() == State::Reserved)
    }

    /// Gives an address its location, whether it was only set aside or has one: that is then returned.
    ///
    /// # Errors
    /// When the address was never set aside, was given back, or its pair was removed.
    pub fn put(&mut self, address: Address, loc: Loc) -> Result<Option<Loc>, Stale> {
        match self.there(address).ok_or(Stale)?.state() {
            State::Full(old) => {
                self.slots.get_mut(address.slot() as usize).set(State::Full(loc));
                Ok(Some(old))
            }
            State::Reserved => {
                self.fill(address.slot(), loc);
                Ok(None)
            }
            State::Loose | State::Queued(_) => Err(Stale),
        }
    }

    /// Puts `new` in the place of `old`, if that is the address's location; says whether it was.
    pub fn replace(&mut self, address: Address, old: Loc, new: Loc) -> bool {
        let is_old = self.get(address) == Some(old);
        if is_old {
            self.slots.get_mut(address.slot() as usize).set(State::Full(new));
        }
        is_old
    }

    /// Removes the pair of an address, which is then free for good; returns its location.
    pub fn remove(&mut self, address: Address) -> Option<Loc> {
        let loc = self.get(address)?;
        self.len -= 1;
        self.full[address.slot() as usize / CHUNK] -= 1;
        self.free(address.slot());
        Some(loc)
    }

    /// Whether the slot of an address is known to have been given out again after it.
    #[must_use]
    pub fn is_outdated(&self, address: Address) -> bool {
        let number = address.slot() as usize;
        number < self.slots.len() && self.slots.get(number).tag > address.tag()
    }

    /// Brings back a pair that recovery found, whose address an incarnation before this gave out. Of two addresses of one
    /// slot the younger stays: the older must have been removed before it was given. Returns the location that the same
    /// address had.
    ///
    /// # Errors
    /// When the slot is known to have been given out again after this address, or nobody can have been given it.
    ///
    /// # Panics
    /// After the first reservation: recovery ends before anybody is served.
    pub fn restore(&mut self, address: Address, loc: Loc) -> Result<Option<Loc>, Stale> {
        assert!(self.incarnation == Incarnation::default(), "{address:?} comes back after a reservation");
        if address.slot() >= self.slots_max || address.count() == 0 || address.incarnation().0 == 0 {
            return Err(Stale);
        }
        while self.slots.len() <= address.slot() as usize {
            self.extend().ok_or(Stale)?;
        }
        let slot = *self.slots.get(address.slot() as usize);
        if slot.tag > address.tag() {
            return Err(Stale);
        }
        match slot.state() {
            State::Full(old) => {
                let slot = self.slots.get_mut(address.slot() as usize);
                let same = slot.tag == address.tag();
                slot.tag = address.tag();
                slot.set(State::Full(loc));
                Ok(same.then_some(old))
            }
            State::Loose => {
                self.slots.get_mut(address.slot() as usize).tag = address.tag();
                self.fill(address.slot(), loc);
                Ok(None)
            }
            State::Queued(_) | State::Reserved => {
                unreachable!("nothing is reserved or queued before the first reservation")
            }
        }
    }

    /// Appends the pairs from `from` on (inclusive), by address: at most `pairs_max`. Returns whether there may be more;
    /// the next batch then starts from [`Address::after`] the last.
    pub fn next_batch(&self, from: Address, pairs_max: usize, out: &mut Vec<(Address, Loc)>) -> bool {
        let wanted = out.len() + pairs_max.max(1);
        let mut number = from.slot();
        while (number as usize) < self.slots.len() {
            if self.full[number as usize / CHUNK] == 0 {
                let Some(next) = next_chunk(number) else { return false };
                number = next;
                continue;
            }
            let slot = self.slots.get(number as usize);
            let address = Address::new(number, slot.tag);
            match slot.state() {
                State::Full(_) if address >= from && out.len() == wanted => return true,
                State::Full(loc) if address >= from => out.push((address, loc)),
                State::Full(_) | State::Loose | State::Queued(_) | State::Reserved => {}
            }
            number += 1;
        }
        false
    }

    /// Takes the index apart, a chunk of slots a call: appends their locations to `out`, until it says that none is left. For an
    /// index that nobody asks any more.
    pub fn dismantle(&mut self, out: &mut Vec<Loc>) -> bool {
        let any = self.slots.len() > 0;
        for _ in 0..CHUNK {
            let Some(slot) = self.slots.pop() else { break };
            if let State::Full(loc) = slot.state() {
                out.push(loc);
            }
        }
        any
    }

    /// The slot of an address, if it is the last that was given out of it.
    fn there(&self, address: Address) -> Option<Slot> {
        let number = address.slot() as usize;
        let slot = (number < self.slots.len()).then(|| *self.slots.get(number))?;
        (slot.tag == address.tag()).then_some(slot)
    }

    fn fill(&mut self, number: u32, loc: Loc) {
        self.slots.get_mut(number as usize).set(State::Full(loc));
        self.full[number as usize / CHUNK] += 1;
        self.len += 1;
    }

    /// Queues a slot that is free from now on, unless it is used up.
    fn free(&mut self, number: u32) {
        let used_up = self.used_up(number);
        let slot = self.slots.get_mut(number as usize);
        slot.set(if used_up { State::Loose } else { State::Queued(NONE) });
        if !used_up {
            self.enqueue(number);
        }
    }

    /// Whether a slot cannot be given out in this incarnation. Before the first reservation none can be, so that what
    /// recovery removes is left to the sweep, and recovery may bring a younger pair back into the slot.
    fn used_up(&self, number: u32) -> bool {
        let tag = self.slots.get(number as usize).tag;
        tag >= self.incarnation.0 << COUNT_BITS | COUNT_MAX || self.incarnation == Incarnation::default()
    }

    fn enqueue(&mut self, number: u32) {
        if self.tail == NONE {
            self.head = number;
        } else {
            self.slots.get_mut(self.tail as usize).set(State::Queued(number));
        }
        self.tail = number;
    }

    fn dequeue(&mut self) -> Option<u32> {
        let number = (self.head != NONE).then_some(self.head)?;
        let State::Queued(next) = self.slots.get(number as usize).state() else {
            unreachable!("slot {number} is first of the queue and not queued")
        };
        self.head = next;
        if next == NONE {
            self.tail = NONE;
        }
        Some(number)
    }

    /// A slot to give out. Only in a sack that cannot grow does it look at more than a few.
    fn vacant(&mut self) -> Option<u32> {
        self.dequeue()
            .or_else(|| self.sweep(SWEEP_SLOTS_MAX))
            .or_else(|| self.extend())
            .or_else(|| self.sweep(self.slots_max))
    }

    /// A free slot that nobody queued: recovery left it, or it was used up in an incarnation before.
    fn sweep(&mut self, slots_max: u32) -> Option<u32> {
        for _ in 0..slots_max {
            let number = self.swept;
            if number as usize >= self.slots.len() {
                return None;
            }
            self.swept += 1;
            if self.slots.get(number as usize).state() == State::Loose && !self.used_up(number) {
                return Some(number);
            }
        }
        None
    }

    /// A slot behind all there are.
    fn extend(&mut self) -> Option<u32> {
        let number = u32::try_from(self.slots.len()).expect("there are at most slots_max slots");
        if number >= self.slots_max {
            return None;
        }
        if self.slots.len().is_multiple_of(CHUNK) {
            self.full.push(0);
        }
        self.slots.push(Slot::default());
        Some(number)
    }

    /// Panics unless every invariant holds.
    #[cfg(test)]
    fn check(&self) {
        let mut full = vec![0; self.full.len()];
        let mut queued = 0;
        for number in 0..self.slots.len() {
            match self.slots.get(number).state() {
                State::Full(_) => full[number / CHUNK] += 1,
                State::Queued(_) => queued += 1,
                State::Loose | State::Reserved => {}
            }
        }
        assert_eq!(full, self.full, "the counts are those of the slots");
        assert_eq!(full.iter().map(|&count| usize::from(count)).sum::<usize>(), self.len);
        let mut number = self.head;
        while number != NONE {
            let State::Queued(next) = self.slots.get(number as usize).state() else { panic!("{number} is not queued") };
            assert!(next != NONE || number == self.tail, "the queue ends where it is added to");
            number = next;
            queued -= 1;
        }
        assert_eq!(queued, 0, "every queued slot is in the queue");
    }
}

/// The first slot of the chunk after that of slot `number`.
fn next_chunk(number: u32) -> Option<u32> {
    let chunk = u32::try_from(CHUNK).expect("a chunk is small");
    (number - number % chunk).checked_add(chunk)
}

#[cfg(test)]
mod tests;
