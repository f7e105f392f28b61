//! The interactive transactions of one connection: commit sets under handles.
//!
//! Contract: a handle is a place and its generation, so one that was given back never names another transaction; it means
//! nothing on another connection. A transaction that nobody names for its idle time is dropped, and one of whose parts one was
//! refused, so that a commit that was sent ahead never finds it without that part; so are all with the connection. Dropping one
//! touches nothing shared: that is what abort is.

use crate::limits::{Limits, PART_BYTES};
use domains::Tick;
use txn::{CommitSet, SetError};

/// The open transactions of a connection.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    set: CommitSet,
    /// What it has read, when it is strict.
    reads: Option<Reads>,
    used: Tick,
}

/// What a strict transaction has read.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// As compares, which are added to its set at the commit.
    seen: CommitSet,
    /// Reads that are not answered yet.
    under_way: u32,
}

impl Reads {
    /// A read was asked for.
    pub(crate) fn asked(&mut self) {
        self.under_way += 1;
    }

    /// A read was answered; what it has seen is to be added.
    pub(crate) fn answered(&mut self) -> &mut CommitSet {
        assert!(self.under_way > 0, "a read is answered once");
        self.under_way -= 1;
        &mut self.seen
    }
}

/// Why a transaction cannot be committed.
#[derive(Debug)]
pub(crate) enum Uncommitted {
    /// It is not open.
    Gone,
    /// It is strict, and reads of it are not answered.
    Reading,
    /// What it has read and what it changes is too much together.
    Refused(SetError),
}

/// Memory that a commit set takes.
pub(crate) fn memory_of(set: &CommitSet) -> usize {
    set.bytes() + (set.len() + set.ranges().len()) * PART_BYTES
}

impl Open {
    /// Bytes of keys and values.
    fn bytes(&self) -> usize {
        self.set.bytes() + self.reads.as_ref().map_or(0, |reads| reads.seen.bytes())
    }

    fn memory(&self) -> usize {
        memory_of(&self.set) + self.reads.as_ref().map_or(0, |reads| memory_of(&reads.seen))
    }
}

impl Transactions {
    /// Opens one that is gathered in this set, if there may be one more.
    pub(crate) fn open(&mut self, set: CommitSet, strict: bool, limits: &Limits, now: Tick) -> Option<u64> {
        if self.len() >= limits.transactions_max {
            return None;
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, open: None });
            u32::try_from(self.places.len() - 1).expect("a connection has few transactions")
        });
        let place = &mut self.places[at as usize];
        assert!(place.open.is_none(), "place {at} was free");
        place.generation = place.generation.wrapping_add(1);
        place.open = Some(Open { set, reads: strict.then(Reads::default), used: now });
        Some(u64::from(place.generation) << 32 | u64::from(at))
    }

    /// The set behind a handle, which is in use again.
    pub(crate) fn set(&mut self, handle: u64, now: Tick) -> Option<&mut CommitSet> {
        let at = self.place_of(handle)?;
        let open = self.places[at].open.as_mut()?;
        open.used = now;
        Some(&mut open.set)
    }

    /// What the transaction behind a handle has read; `None` when it is not open or not strict.
    pub(crate) fn reads(&mut self, handle: u64) -> Option<&mut Reads> {
        let at = self.place_of(handle)?;
        self.places[at].open.as_mut()?.reads.as_mut()
    }

    /// Takes out what is to be committed: the set, and of a strict transaction the compares of what it has read. The handle is gone.
    pub(crate) fn take_whole(&mut self, handle: u64) -> Result<CommitSet, Uncommitted> {
        let at = self.place_of(handle).ok_or(Uncommitted::Gone)?;
        let Some(Open { mut set, reads, .. }) = self.vacate_open(at) else { return Err(Uncommitted::Gone) };
        let Some(Reads { seen, under_way }) = reads else { return Ok(set) };
        if under_way > 0 {
            return Err(Uncommitted::Reading);
        }
        set.add_compares(&seen).map_err(Uncommitted::Refused)?;
        Ok(set)
    }

    /// Takes the set out; the handle is gone.
    pub(crate) fn take(&mut self, handle: u64) -> Option<CommitSet> {
        let at = self.place_of(handle)?;
        self.vacate(at)
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Bytes of keys and values in all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.places.iter().filter_map(|place| place.open.as_ref()).map(Open::bytes).sum()
    }

    /// Memory of all of them.
    pub(crate) fn held(&self) -> usize {
        if self.len() == 0 {
            return 0;
        }
        self.places.iter().filter_map(|place| place.open.as_ref()).map(Open::memory).sum()
    }

    /// Drops all of them.
    pub(crate) fn abort_all(&mut self) {
        for at in 0..self.places.len() {
            let _ = self.vacate(at);
        }
        assert_eq!(self.len(), 0, "no transaction outlives this");
    }

    /// Drops those that were idle for too long; says when the next one will have been.
    pub(crate) fn expire(&mut self, limits: &Limits, now: Tick) -> Option<Tick> {
        let mut next: Option<Tick> = None;
        for at in 0..self.places.len() {
            let Some(open) = &self.places[at].open else { continue };
            let due = crate::session::after(open.used, limits.transaction_idle);
            if due.nanos <= now.nanos {
                let _ = self.vacate(at);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    fn place_of(&self, handle: u64) -> Option<usize> {
        let generation = u32::try_from(handle >> 32).expect("32 bits remain after the shift");
        let at = usize::try_from(handle & u64::from(u32::MAX)).ok()?;
        self.places.get(at).filter(|place| place.generation == generation && place.open.is_some()).map(|_| at)
    }

    fn vacate(&mut self, at: usize) -> Option<CommitSet> {
        self.vacate_open(at).map(|open| open.set)
    }

    fn vacate_open(&mut self, at: usize) -> Option<Open> {
        let open = self.places[at].open.take()?;
        self.free.push(u32::try_from(at).expect("a connection has few transactions"));
        Some(open)
    }
}
