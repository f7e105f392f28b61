//! One shard's part in the epochs: when to leave one, close it, flush, acknowledge.
//!
//! Contract: the engine of the shard calls [`ShardEpochs::join`] for each commit, reports what its device did, and after
//! every such input calls [`ShardEpochs::turn`] and carries out the actions in their order. It calls `turn` too when
//! [`ShardEpochs::next_wake`] has come and when the shard's doorbell was rung.
//!
//! Invariants: epochs are closed in ascending order; one flush is in flight at a time and covers exactly the epochs whose
//! writes were reported complete before it was asked for; only the completion of that flush acknowledges them; after a
//! failure nothing is ever acknowledged, closed or flushed again.
//!
//! It does no I/O and reads no clock. It does not keep the notices: whoever does sends those for epochs up to
//! [`ShardEpochs::persistent`].

use super::FORCED_IN_FLIGHT_MAX;
use super::shared::{Shared, bit};
use super::state::{EpochInput, EpochState};
use super::sync::Arc;
use segments::{EpochId, ShardId};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};

/// Ties the completion of a flush to its asking.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlushTicket(pub u64);

/// What the engine is to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Ring the doorbells of these shards: each has something to do. Never this shard; with one shard it does not occur.
    Wake {
        /// The shards, a bit each.
        shards: u32,
    },
    /// Append the close record of this epoch, seal every open page before it whatever its tag, call
    /// [`ShardEpochs::closed`], submit the writes; call [`ShardEpochs::written`] once they have all completed.
    Close {
        /// The epoch.
        epoch: EpochId,
        /// Its members, for the close record.
        members: u32,
    },
    /// Submit a flush now, and call [`ShardEpochs::flushed`] when it has completed.
    Flush {
        /// To be handed back.
        ticket: FlushTicket,
    },
}

/// What a turn asks for, in order.
pub type Actions = SmallVec<[Action; 4]>;

/// An epoch of which this shard is a member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Own {
    epoch: EpochId,
    state: EpochState,
}

/// A wish that an epoch be left, and from when on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Due {
    epoch: EpochId,
    from_nanos: u64,
}

/// One shard's machine.
///
/// ```
/// use segments::{Incarnation, ShardId};
/// use std::sync::Arc;
/// use txn::epoch::{Action, ShardEpochs, Shared};
/// let mut epochs = ShardEpochs::new(Arc::new(Shared::new(Incarnation(1))), ShardId(0), 1_000_000);
/// let epoch = epochs.join(0);
/// assert_eq!(epochs.next_wake(), Some(1_000_000));
/// assert_eq!(epochs.turn(1_000_000).as_slice(), [Action::Close { epoch, members: 1 }]);
/// epochs.closed(epoch); // the close record is in the log
/// epochs.written(epoch); // and so are all pages before it
/// let actions = epochs.turn(1_000_000);
/// let [Action::Flush { ticket }] = actions[..] else { panic!("{actions:?}") };
/// epochs.flushed(ticket, true);
/// assert_eq!(epochs.persistent(), epoch);
/// ```
#[derive(Debug)]
pub struct ShardEpochs {
    shared: Arc<Shared>,
    shard: ShardId,
    interval_nanos: u64,
    /// Epochs of this shard that are not known to be persistent, ascending; so the states descend.
    own: VecDeque<Own>,
    /// The last epoch this shard has closed.
    closed_last: EpochId,
    /// For each lower bound, how many undecided parts were prepared under it.
    pins: BTreeMap<EpochId, u32>,
    /// When the open epoch is to be left because it has been open long enough.
    timer: Option<Due>,
    /// The open epoch is to be left because somebody waits for it.
    wish: Option<Due>,
    /// Epochs that this shard left because of a wish and that are not persistent.
    forced: SmallVec<[EpochId; FORCED_IN_FLIGHT_MAX]>,
    /// There is no room to leave the open epoch until this one is persistent; this shard has asked to be rung then.
    blocked_on: Option<EpochId>,
    flush: Option<FlushTicket>,
    flushes_asked: u64,
    /// Shards to be rung in the next turn.
    to_wake: u32,
    /// The first epoch of this shard that may be lost, once a write or flush has failed.
    in_doubt: Option<EpochId>,
}

impl ShardEpochs {
    /// The machine of a shard that is in no epoch. An epoch it joins is left after `interval_nanos` at the latest.
    #[must_use]
    pub fn new(shared: Arc<Shared>, shard: ShardId, interval_nanos: u64) -> Self {
        assert!(bit(shard) != 0, "the shard has a bit");
        let closed_last = EpochId::base(shared.incarnation());
        Self {
            shared,
            shard,
            interval_nanos,
            own: VecDeque::new(),
            closed_last,
            pins: BTreeMap::new(),
            timer: None,
            wish: None,
            forced: SmallVec::new(),
            blocked_on: None,
            flush: None,
            flushes_asked: 0,
            to_wake: 0,
            in_doubt: None,
        }
    }

    /// Joins the open epoch with a commit of this shard alone; the commit's updates are to be tagged with the answer, in
    /// the same turn. When the shard is in the epoch already this is one load.
    ///
    /// # Panics
    /// After a failure of this shard: the engine refuses commits then.
    pub fn join(&mut self, now_nanos: u64) -> EpochId {
        assert!(self.in_doubt.is_none(), "a failed shard takes no commit");
        let epoch = self.shared.register(bit(self.shard));
        if self.own.back().is_none_or(|last| last.epoch != epoch) {
            self.enter(epoch, now_nanos);
        }
        epoch
    }

    /// Decides a commit over the shards of `mask` (all that have persistent updates; each has said yes and is pinned):
    /// joins them all at once. This shard coordinates, and need not be among them. Each participant is then to be told the
    /// epoch and calls [`Self::applied`].
    ///
    /// # Panics
    /// After a failure of this shard, and if the mask is empty.
    pub fn decide(&mut self, mask: u32, now_nanos: u64) -> EpochId {
        assert!(self.in_doubt.is_none(), "a failed shard decides nothing");
        let epoch = self.shared.register(mask);
        self.arm(epoch, now_nanos);
        epoch
    }

    /// Notes that a part was prepared: until it is unpinned or applied, no epoch from the answer on is closed here. The
    /// answer is the part's lower bound.
    pub fn pin(&mut self) -> EpochId {
        let bound = self.shared.open();
        assert!(bound > self.closed_last, "the open epoch {bound} is after all that were left");
        *self.pins.entry(bound).or_insert(0) += 1;
        bound
    }

    /// Lets go of a part that was aborted.
    ///
    /// # Panics
    /// If no part is pinned at this bound.
    pub fn unpin(&mut self, bound: EpochId) {
        let Some(count) = self.pins.get_mut(&bound) else { panic!("no part is pinned at {bound}") };
        *count -= 1;
        if *count == 0 {
            self.pins.remove(&bound);
        }
    }

    /// Lets go of a part that was decided in `epoch` and has been appended and applied here with that tag. The epoch may be
    /// older than others this shard has joined meanwhile.
    ///
    /// # Panics
    /// If the decision is from before the prepare.
    pub fn applied(&mut self, bound: EpochId, epoch: EpochId, now_nanos: u64) {
        assert!(epoch >= bound, "a part prepared at {bound} was decided in {epoch}, before it");
        assert!(epoch > self.closed_last, "epoch {epoch} was closed over a part prepared at {bound}");
        if self.in_doubt.is_none() && self.own.iter().all(|own| own.epoch != epoch) {
            self.enter(epoch, now_nanos);
        }
        self.unpin(bound);
    }

    /// Asks that what is in the open epoch become persistent soon. It does not wait and promises no time: prepared parts
    /// and earlier epochs come first, and while two forced epochs are in flight the wish is kept until one is through, so
    /// that many wishes become few epochs.
    pub fn force(&mut self, now_nanos: u64) {
        let Some(epoch) = self.shared.open_joined() else { return };
        if self.in_doubt.is_none() && self.wish.is_none_or(|wish| wish.epoch < epoch) {
            self.wish = Some(Due { epoch, from_nanos: now_nanos });
        }
    }

    /// Asks that this shard be rung when an epoch of which it need not be a member is persistent. `false`: it is already.
    pub fn watch(&mut self, epoch: EpochId) -> bool {
        let (waits, displaced) = self.shared.wait_for(epoch, self.shard);
        self.ring(displaced);
        waits
    }

    /// What is to be done now, in this order.
    #[must_use]
    pub fn turn(&mut self, now_nanos: u64) -> Actions {
        let mut closes = Actions::new();
        if self.in_doubt.is_none() {
            self.retire();
            self.leave_if_due(now_nanos);
            self.close_what_may(&mut closes);
            self.flush_if_due(&mut closes);
            self.check();
        }
        if self.to_wake != 0 {
            // First: the others write their share while this shard writes its own.
            closes.insert(0, Action::Wake { shards: core::mem::take(&mut self.to_wake) });
        }
        closes
    }

    /// The close record of an epoch is in the log, and the pages before it are sealed.
    ///
    /// # Panics
    /// If its close was not asked for, or an earlier one is still to be appended.
    pub fn closed(&mut self, epoch: EpochId) {
        if self.in_doubt.is_some() {
            return;
        }
        let first = self.own.iter_mut().find(|own| own.state == EpochState::Closing);
        let Some(own) = first else { panic!("no close was asked for, and epoch {epoch} is said to be closed") };
        assert_eq!(own.epoch, epoch, "close records are appended in ascending order");
        own.state = own.state.after(EpochInput::Appended);
        self.check();
    }

    /// All page writes up to and including the close record of an epoch have completed; so those of earlier epochs have.
    ///
    /// # Panics
    /// If the close record of this or an earlier epoch was never appended.
    pub fn written(&mut self, epoch: EpochId) {
        if self.in_doubt.is_some() {
            return;
        }
        assert!(epoch <= self.closed_last, "epoch {epoch} was not closed");
        for own in self.own.iter_mut().filter(|own| own.epoch <= epoch && own.state < EpochState::Written) {
            own.state = own.state.after(EpochInput::WritesDone);
        }
        self.check();
    }

    /// The flush has completed: with success, what it covered is acknowledged; without, this shard has failed for good.
    ///
    /// # Panics
    /// If no such flush is in flight.
    pub fn flushed(&mut self, ticket: FlushTicket, ok: bool) {
        if self.in_doubt.is_some() {
            return;
        }
        assert_eq!(self.flush, Some(ticket), "the flush in flight is the one that completed");
        if !ok {
            return self.poison();
        }
        self.flush = None;
        let mut rung = 0;
        for own in self.own.iter_mut().filter(|own| own.state == EpochState::Flushing) {
            own.state = own.state.after(EpochInput::FlushDone);
            rung |= self.shared.ack(own.epoch, self.shard);
        }
        self.ring(rung);
        self.check();
    }

    /// A write or flush of this shard's log has failed. There is no way back: it never acknowledges again, so no epoch that
    /// it is in and has not acknowledged can become persistent.
    pub fn poison(&mut self) {
        if self.in_doubt.is_some() {
            return;
        }
        self.retire();
        let unacked = |own: &&mut Own| own.state != EpochState::Acked;
        let mut first = None;
        for own in self.own.iter_mut().filter(unacked) {
            own.state = own.state.after(EpochInput::Failed);
            first = first.or(Some(own.epoch));
        }
        self.in_doubt = Some(first.unwrap_or_else(|| self.shared.open()));
        (self.timer, self.wish, self.flush) = (None, None, None);
        self.shared.poison();
        self.ring(self.shared.involved());
    }

    /// Whether this or another shard has failed: commits are to be refused, and what is committed and not persistent is
    /// answered with "outcome unknown".
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.in_doubt.is_some() || self.shared.is_poisoned()
    }

    /// The first epoch that this shard's failure has put in doubt.
    #[must_use]
    pub fn first_in_doubt(&self) -> Option<EpochId> {
        self.in_doubt
    }

    /// The last persistent epoch of the domain.
    #[must_use]
    pub fn persistent(&self) -> EpochId {
        self.shared.persistent()
    }

    /// The open epoch of the domain.
    #[must_use]
    pub fn open(&self) -> EpochId {
        self.shared.open()
    }

    /// When [`Self::turn`] is to be called even if nothing else happens. A time in the past means now; `None` means that
    /// only a completion or the doorbell brings anything new.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        let persistent = self.shared.persistent();
        if self.in_doubt.is_some() || self.blocked_on.is_some_and(|epoch| epoch > persistent) {
            return None;
        }
        let open = self.shared.open();
        let wish = self.wish.filter(|_| self.may_force());
        let current = |due: Due| (due.epoch == open).then_some(due.from_nanos);
        [self.timer.and_then(current), wish.and_then(current)].into_iter().flatten().min()
    }

    /// Whether this shard has nothing that is not persistent, holds no prepared part, and has nothing to leave.
    #[must_use]
    pub fn idle(&self) -> bool {
        let persistent = self.shared.persistent();
        let open = self.shared.open();
        self.own.back().is_none_or(|last| last.epoch <= persistent)
            && self.pins.is_empty()
            && [self.timer, self.wish].into_iter().flatten().all(|due| due.epoch < open)
    }

    /// Notes a membership that is new here, in its place: a part that was decided elsewhere may come late.
    fn enter(&mut self, epoch: EpochId, now_nanos: u64) {
        assert!(epoch > self.closed_last, "epoch {epoch} is joined after this shard closed {}", self.closed_last);
        self.retire();
        let at = self.own.partition_point(|own| own.epoch < epoch);
        self.own.insert(at, Own { epoch, state: EpochState::Open });
        self.arm(epoch, now_nanos);
        self.check();
    }

    /// Sees to it that an epoch this shard registered somebody in is left after the interval.
    fn arm(&mut self, epoch: EpochId, now_nanos: u64) {
        if self.timer.is_none_or(|timer| timer.epoch < epoch) {
            self.timer = Some(Due { epoch, from_nanos: now_nanos.saturating_add(self.interval_nanos) });
        }
    }

    /// Forgets what is persistent.
    fn retire(&mut self) {
        let persistent = self.shared.persistent();
        while let Some(first) = self.own.front().filter(|own| own.epoch <= persistent) {
            assert_eq!(first.state, EpochState::Acked, "epoch {} is persistent without this member", first.epoch);
            self.own.pop_front();
        }
        self.forced.retain(|epoch| *epoch > persistent);
    }

    fn may_force(&self) -> bool {
        let persistent = self.shared.persistent();
        self.forced.iter().filter(|epoch| **epoch > persistent).count() < FORCED_IN_FLIGHT_MAX
    }

    /// Leaves the open epoch when its time has come or somebody wants it left.
    fn leave_if_due(&mut self, now_nanos: u64) {
        let open = self.shared.open();
        // What speaks of an epoch that was left meanwhile is done.
        self.timer = self.timer.filter(|timer| timer.epoch >= open);
        self.wish = self.wish.filter(|wish| wish.epoch >= open);
        let by_wish = self.wish.is_some() && self.may_force();
        let by_time = self.timer.is_some_and(|timer| timer.from_nanos <= now_nanos);
        if !by_wish && !by_time {
            return;
        }
        let Some(members) = self.leave(open) else { return };
        (self.timer, self.wish) = (None, None);
        if by_wish {
            // The last persistent epoch may have moved since the turn began, and it is by that that there was room for a wish.
            self.retire();
            self.forced.push(open);
            if members & bit(self.shard) == 0 {
                // Members are rung when it is persistent; an outsider that counts it must ask. If it is persistent by now
                // the count takes it out by itself.
                self.watch(open);
            }
        }
        self.ring(members);
    }

    /// Leaves an epoch, unless somebody else does or there are too many in flight. In that case it asks to be rung when the
    /// first of them is persistent: nobody in it need be this shard.
    fn leave(&mut self, epoch: EpochId) -> Option<u32> {
        self.blocked_on = None;
        loop {
            if let Some(members) = self.shared.advance(epoch) {
                return Some(members);
            }
            if self.shared.open() != epoch {
                (self.timer, self.wish) = (None, None);
                return None;
            }
            let oldest = self.shared.persistent().next();
            if !self.shared.has_room() && self.watch(oldest) {
                self.blocked_on = Some(oldest);
                return None;
            }
            // It has become persistent meanwhile, so there is room now. A turn of this loop costs somebody a flush.
        }
    }

    /// Asks for the close records of all epochs that may be closed, in ascending order.
    fn close_what_may(&mut self, actions: &mut Actions) {
        let open = self.shared.open();
        let pinned_from = self.pins.keys().next().copied().unwrap_or(open);
        for own in self.own.iter_mut().filter(|own| own.state == EpochState::Open) {
            if own.epoch >= open.min(pinned_from) {
                return;
            }
            // Whoever left it rings the members once they are published.
            let Some(members) = self.shared.members(own.epoch) else { return };
            assert!(members & bit(self.shard) != 0, "{:?} is a member of {}", self.shard, own.epoch);
            assert!(own.epoch > self.closed_last, "epochs are closed in ascending order");
            own.state = own.state.after(EpochInput::Left);
            self.closed_last = own.epoch;
            actions.push(Action::Close { epoch: own.epoch, members });
        }
    }

    /// Asks for a flush if none is in flight and it would cover something.
    fn flush_if_due(&mut self, actions: &mut Actions) {
        if self.flush.is_some() || self.own.iter().all(|own| own.state != EpochState::Written) {
            return;
        }
        for own in self.own.iter_mut().filter(|own| own.state == EpochState::Written) {
            own.state = own.state.after(EpochInput::FlushAsked);
        }
        self.flushes_asked += 1;
        let ticket = FlushTicket(self.flushes_asked);
        self.flush = Some(ticket);
        actions.push(Action::Flush { ticket });
    }

    fn ring(&mut self, shards: u32) {
        self.to_wake |= shards & !bit(self.shard);
    }

    /// What must hold between any two inputs.
    fn check(&self) {
        if self.in_doubt.is_some() {
            return;
        }
        let pairs = self.own.iter().zip(self.own.iter().skip(1));
        assert!(pairs.clone().all(|(a, b)| a.epoch < b.epoch), "epochs ascend: {:?}", self.own);
        assert!(pairs.clone().all(|(a, b)| a.state >= b.state), "an older epoch is further along: {:?}", self.own);
        assert!(self.own.len() <= self.shared.in_flight_max() + 1, "K in flight and the open one: {:?}", self.own);
        assert!(self.forced.len() <= FORCED_IN_FLIGHT_MAX, "forced epochs are few: {:?}", self.forced);
        let flushing = self.own.iter().any(|own| own.state == EpochState::Flushing);
        assert_eq!(flushing, self.flush.is_some(), "a flush is in flight for something: {:?}", self.own);
    }
}
