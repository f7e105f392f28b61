//! What the shards of a domain share about epochs: the open one and its members, the ring, and the last persistent one.
//!
//! Contract: every method is one or a few atomic steps, callable from any shard at any time. Nothing here waits.
//!
//! Memory order. For membership Relaxed would be enough on the open word: it is one word, and whatever carried the causality
//! between two shards (a mailbox, a socket) is Release/Acquire. Leaving is Release and joining Acquire all the same, so that
//! who joins an epoch also sees how far persistence had come when the one before was left (a shard asserts it). The last persistent epoch and the waiters need sequentially consistent *fences*:
//! with AcqRel alone two shards that finish neighbouring epochs at once may each leave the move to the other.
//!
//! It does not ring doorbells: it answers with the shards that are to be rung.

use super::EPOCHS_IN_FLIGHT_MAX;
use super::ring::Ring;
use super::rules;
use super::sync::{AtomicBool, AtomicU64, Ordering, fence};
use segments::limits::SHARDS_MAX;
use segments::{EpochId, Incarnation, ShardId};

/// A word on a cache line of its own: the open word changes with every first join, the persistent one with every flush.
#[derive(Debug)]
#[repr(align(64))]
struct Line(AtomicU64);

/// The epochs of one incarnation of a domain, as its shards share them.
///
/// ```
/// use segments::{EpochId, Incarnation, ShardId};
/// use txn::epoch::Shared;
/// let shared = Shared::new(Incarnation(7));
/// let epoch = shared.register(0b1);
/// assert_eq!(epoch, EpochId::new(Incarnation(7), 1));
/// assert_eq!(shared.advance(epoch), Some(0b1));
/// assert_eq!(shared.ack(epoch, ShardId(0)), 0b1, "shard 0 is to be told");
/// assert_eq!(shared.persistent(), epoch);
/// ```
#[derive(Debug)]
pub struct Shared {
    /// The open epoch and its members so far.
    open: Line,
    /// The last persistent epoch, as a full id.
    persistent: Line,
    poison: AtomicBool,
    ring: Ring,
    incarnation: Incarnation,
    in_flight_max: u64,
}

impl Shared {
    /// The start of an incarnation: epoch 1 is open and empty, nothing of this incarnation is persistent.
    #[must_use]
    pub fn new(incarnation: Incarnation) -> Self {
        Self::with_in_flight_max(incarnation, EPOCHS_IN_FLIGHT_MAX)
    }

    /// As [`Self::new`], with another limit of epochs that were left and are not persistent: a small one makes corners common.
    ///
    /// # Panics
    /// If the limit is not a power of two.
    #[must_use]
    pub fn with_in_flight_max(incarnation: Incarnation, in_flight_max: usize) -> Self {
        Self {
            open: Line(AtomicU64::new(rules::word(1, 0))),
            persistent: Line(AtomicU64::new(EpochId::base(incarnation).0)),
            poison: AtomicBool::new(false),
            ring: Ring::new(in_flight_max),
            incarnation,
            in_flight_max: in_flight_max as u64,
        }
    }

    /// The incarnation whose epochs these are.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Most epochs that are left and not persistent.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        usize::try_from(self.in_flight_max).expect("it was given as a usize")
    }

    /// Joins the shards of `mask` to the open epoch and answers which one that is. There is no moment between learning the
    /// epoch and being in it. When all bits are there already this is one load; that load may be stale, which is safe: the
    /// bits are in that epoch's members, and no such shard can have closed it (its own part: it has not; another's: pinned).
    ///
    /// # Panics
    /// If the mask is empty or names more than 24 shards.
    pub fn register(&self, mask: u32) -> EpochId {
        assert!(mask != 0, "somebody joins");
        assert!(mask <= rules::MEMBERS_ALL, "mask {mask:#x} names shards past the limit of {SHARDS_MAX}");
        let mut seen = self.open.0.load(Ordering::Acquire);
        if rules::bits(seen) & mask != mask {
            seen = self.open.0.fetch_or(u64::from(mask), Ordering::Acquire);
        }
        self.id(rules::counter(seen))
    }

    /// The open epoch.
    #[must_use]
    pub fn open(&self) -> EpochId {
        self.id(rules::counter(self.open.0.load(Ordering::Relaxed)))
    }

    /// The open epoch, if it has a member.
    #[must_use]
    pub fn open_joined(&self) -> Option<EpochId> {
        let seen = self.open.0.load(Ordering::Relaxed);
        (rules::bits(seen) != 0).then(|| self.id(rules::counter(seen)))
    }

    /// Leaves the open epoch if it is still `expected`, has a member, and there is room for one more in flight. To whoever
    /// left it, it answers with the members: these are to be rung. Of several who try, one succeeds.
    pub fn advance(&self, expected: EpochId) -> Option<u32> {
        let leaving = self.counter(expected);
        let mut seen = self.open.0.load(Ordering::Relaxed);
        loop {
            if rules::counter(seen) != leaving {
                return None;
            }
            // `seen` may be so stale that the epoch is even persistent: then somebody else has left it.
            let in_flight = (leaving - 1).checked_sub(self.persistent().counter())?;
            if !rules::may_leave(rules::bits(seen), in_flight, self.in_flight_max) {
                return None;
            }
            let next = rules::word(expected.next().counter(), 0);
            match self.open.0.compare_exchange(seen, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        let members = rules::bits(seen);
        self.ring.publish(leaving, members);
        Some(members)
    }

    /// Whether one more epoch may be left.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let left = self.open().counter() - 1;
        left.saturating_sub(self.persistent().counter()) < self.in_flight_max
    }

    /// The members of an epoch that was left; `None` while it is open or not yet published, and when it is long past.
    #[must_use]
    pub fn members(&self, epoch: EpochId) -> Option<u32> {
        self.ring.members(self.counter(epoch))
    }

    /// Notes that a member has all of an epoch on its device, and moves the last persistent epoch as far as it goes. It
    /// answers with the shards to be rung: members and waiters of the epochs that became persistent by this call.
    ///
    /// # Panics
    /// If the shard has acknowledged the epoch before, or acknowledges one that was not left.
    #[must_use]
    pub fn ack(&self, epoch: EpochId, shard: ShardId) -> u32 {
        self.ring.ack(self.counter(epoch), bit(shard));
        // Pairs with the fence below: of two who finish neighbouring epochs at once, one sees the other's acknowledgement.
        fence(Ordering::SeqCst);
        let mut reached = self.persistent.0.load(Ordering::Acquire);
        let mut rung = 0;
        loop {
            let next = EpochId(reached).next();
            let Some(members) = self.ring.completed(next.counter()) else { return rung };
            let moved = self.persistent.0.compare_exchange(reached, next.0, Ordering::AcqRel, Ordering::Acquire);
            fence(Ordering::SeqCst);
            match moved {
                Ok(_) => {
                    rung |= members | self.ring.waiters(next.counter());
                    reached = next.0;
                }
                Err(now) => reached = now,
            }
        }
    }

    /// Asks that a shard that need not be a member be rung when an epoch has become persistent. It answers whether there is
    /// something to wait for, and with shards that must be rung at once (see the ring; nearly always none).
    #[must_use]
    pub fn wait_for(&self, epoch: EpochId, shard: ShardId) -> (bool, u32) {
        let displaced = self.ring.wait(self.counter(epoch), bit(shard));
        // Either this shard sees the epoch persistent, or whoever makes it so sees the bit.
        fence(Ordering::SeqCst);
        (self.persistent() < epoch, displaced)
    }

    /// The last persistent epoch: it and all before it survive.
    #[must_use]
    pub fn persistent(&self) -> EpochId {
        EpochId(self.persistent.0.load(Ordering::Acquire))
    }

    /// Says that a shard has failed to write or flush. Only to stop early: that the shard never acknowledges again is what
    /// keeps a promise from being given.
    pub fn poison(&self) {
        self.poison.store(true, Ordering::Release);
    }

    /// Whether some shard has failed to write or flush.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poison.load(Ordering::Acquire)
    }

    /// Every shard that is in, or waits for, an epoch that is not persistent: these are to be rung when the domain fails.
    #[must_use]
    pub fn involved(&self) -> u32 {
        let seen = self.open.0.load(Ordering::Relaxed);
        let in_flight = self.persistent().counter() + 1..rules::counter(seen);
        let joined = |counter| self.ring.members(counter).unwrap_or(0) | self.ring.waiters(counter);
        in_flight.map(joined).fold(rules::bits(seen), |all, some| all | some) | self.ring.waiters(rules::counter(seen))
    }

    fn id(&self, counter: u64) -> EpochId {
        EpochId::new(self.incarnation, counter)
    }

    /// The number of an epoch of this incarnation.
    fn counter(&self, epoch: EpochId) -> u64 {
        assert_eq!(epoch.incarnation(), self.incarnation, "epoch {epoch} is of another incarnation");
        epoch.counter()
    }
}

/// A shard's bit in a set of shards.
pub(super) fn bit(shard: ShardId) -> u32 {
    assert!(shard.0 < SHARDS_MAX, "{shard:?} has no bit");
    1 << shard.0
}
