//! Memory over all connections: who holds how much, and who waits for how much.
//!
//! Contract:
//! * what the connections hold together is never more than the budget, and what those of one user hold never more than the
//!   user's part, but for what cannot be refused any more ([`Budget::settle`]): each holding was granted before;
//! * every connection has a share of its own, for requests and for replies, that is set aside and needs no grant; beside it two
//!   pages are set aside that it receives in, so that it can always be heard;
//! * what is beyond the shares comes from a pool. Neither requests nor replies take more than five eighths of it, so neither
//!   keeps the other out;
//! * who asks for more than there is waits; they are served in the order in which they asked, and nobody overtakes who waits
//!   for the same pool. Only who waits for the own user's pool lets other users pass;
//! * a wait ends: with the grant, with the end of the connection, or refused, when its patience is over or when no end of
//!   another's holding could help.
//!
//! Invariants: the sums over all and over each user are those over the connections; who is in the queue waits, and nobody else.
//!
//! It knows no socket, no protocol and no clock.

use crate::limits::{Limits, OP_BYTES, PART_BYTES, SEND_BYTES_MAX};
use crate::session::after;
use domains::{Connections, Tick};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use txn::limits::SET_PARTS_MAX;

/// What memory is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Bytes that come in, and what was begun with them: calls, transactions, queues.
    Request = 0,
    /// Bytes that go out.
    Reply = 1,
}

/// What is held, of each [`Kind`].
pub(crate) type Held = [usize; 2];

/// How a connection stands that asked for memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// It waits for nothing.
    Idle,
    /// It is in the queue.
    Waiting { more: usize, since: Tick },
    /// It has what it asked for.
    Granted,
    /// It has not, and will not without asking again.
    Refused,
}

/// Why a connection gets no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoPlace;

/// A pool, and what is taken from it.
#[derive(Clone, Copy, Debug)]
struct Room {
    pool: usize,
    taken: Held,
}

/// A pool's part that one kind may take, in eighths.
const KIND_EIGHTHS: usize = 5;

impl Room {
    fn new(pool: usize) -> Self {
        Self { pool, taken: [0; 2] }
    }

    /// The most that one kind may take.
    fn most(&self) -> usize {
        self.pool / 8 * KIND_EIGHTHS
    }

    fn fits(&self, kind: Kind, more: usize) -> bool {
        let sum = self.taken[0] + self.taken[1];
        self.taken[kind as usize] + more <= self.most() && sum + more <= self.pool
    }
}

#[derive(Debug)]
struct User {
    connections: usize,
    waiting: usize,
    room: Room,
}

#[derive(Debug)]
struct Holder {
    user: u32,
    held: Held,
    turn: Turn,
}

/// The holdings of all connections, by their places.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    user_pool: usize,
    connections_max: usize,
    user_connections_max: usize,
    patience: Duration,
    share: usize,
    all: Room,
    /// Whether the first in the queue waits for the pool of all.
    narrow: bool,
    users: BTreeMap<u32, User>,
    holders: Vec<Option<Holder>>,
    connections: usize,
    bytes_held: usize,
    queue: VecDeque<u32>,
    /// Connections whose wait has ended, and who have not been told.
    woken: VecDeque<u32>,
    refused: u64,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let share = limits.share_bytes();
        Self {
            bytes_max: limits.memory_bytes,
            user_pool: limits.pool_user_bytes(),
            connections_max: limits.connections_max,
            user_connections_max: limits.connections_user_max,
            patience: limits.memory_patience,
            share,
            all: Room::new(limits.pool_bytes()),
            narrow: false,
            users: BTreeMap::new(),
            holders: Vec::new(),
            connections: 0,
            bytes_held: 0,
            queue: VecDeque::new(),
            woken: VecDeque::new(),
            refused: 0,
        }
    }

    /// A connection of this user takes a place, if there may be one more.
    pub(crate) fn open(&mut self, place: u32, user: u32) -> Result<(), NoPlace> {
        let of_user = self.users.get(&user).map_or(0, |user| user.connections);
        if self.connections >= self.connections_max || of_user >= self.user_connections_max {
            return Err(NoPlace);
        }
        let at = place as usize;
        if self.holders.len() <= at {
            self.holders.resize_with(at + 1, || None);
        }
        assert!(self.holders[at].is_none(), "place {place} is taken once");
        self.holders[at] = Some(Holder { user, held: [0; 2], turn: Turn::Idle });
        let room = Room::new(self.user_pool);
        self.users.entry(user).or_insert(User { connections: 0, waiting: 0, room }).connections += 1;
        self.connections += 1;
        Ok(())
    }

    /// A connection is gone; what it held is there for others. One that got no place has nothing to give back.
    pub(crate) fn close(&mut self, place: u32) {
        if self.holder(place).is_none() {
            return;
        }
        self.give_up(place);
        self.put(place, [0; 2]);
        let holder = self.holders[place as usize].take().expect("it was looked at just now");
        let user = self.users.get_mut(&holder.user).expect("a connection has a user");
        user.connections -= 1;
        if user.connections == 0 {
            assert_eq!((user.waiting, user.room.taken), (0, [0; 2]), "who has gone holds nothing");
            self.users.remove(&holder.user);
        }
        self.connections -= 1;
        self.serve();
    }

    fn holder(&self, place: u32) -> Option<&Holder> {
        self.holders.get(place as usize)?.as_ref()
    }

    fn holder_mut(&mut self, place: u32) -> &mut Holder {
        self.holders[place as usize].as_mut().expect("only who has a place holds or waits")
    }

    fn waits(&self, place: u32) -> bool {
        self.holder(place).is_some_and(|holder| matches!(holder.turn, Turn::Waiting { .. }))
    }

    /// What a holding takes from the pools.
    fn beyond(&self, held: usize) -> usize {
        held.saturating_sub(self.share)
    }

    /// What the pools would have to give for so much more.
    fn growth(&self, holder: &Holder, kind: Kind, more: usize) -> usize {
        let held = holder.held[kind as usize];
        self.beyond(held + more) - self.beyond(held)
    }

    /// Books a holding, larger or smaller.
    fn put(&mut self, place: u32, held: Held) {
        let before = std::mem::replace(&mut self.holder_mut(place).held, held);
        let user = self.holder_mut(place).user;
        let taken = |budget: &Self, held: Held| held.map(|held| budget.beyond(held));
        let (from, to) = (taken(self, before), taken(self, held));
        let user = self.users.get_mut(&user).expect("a connection has a user");
        for room in [&mut self.all, &mut user.room] {
            for kind in 0..2 {
                room.taken[kind] = room.taken[kind] - from[kind] + to[kind];
            }
        }
        self.bytes_held = self.bytes_held - before.iter().sum::<usize>() + held.iter().sum::<usize>();
    }

    fn add(&mut self, place: u32, kind: Kind, more: usize) {
        let mut held = self.holder_mut(place).held;
        held[kind as usize] += more;
        self.put(place, held);
    }

    /// Takes so much more now, or nothing. Requests do not overtake those that wait; replies have their own part.
    pub(crate) fn raise(&mut self, place: u32, kind: Kind, more: usize) -> bool {
        // Who got no place is told so and begins nothing.
        let Some(holder) = self.holder(place) else { return true };
        let growth = self.growth(holder, kind, more);
        let user = &self.users[&holder.user];
        let behind = kind == Kind::Request && (self.narrow || user.waiting > 0);
        if growth > 0 && (behind || !user.room.fits(kind, growth) || !self.all.fits(kind, growth)) {
            return false;
        }
        self.add(place, kind, more);
        // Who fills a user's pool moves that user's waits out of others' way.
        if !self.queue.is_empty() && (growth > 0 || self.waits(place)) {
            self.serve();
        }
        true
    }

    /// Takes so much more for a request, now or when those before have been served.
    pub(crate) fn ask(&mut self, place: u32, more: usize, now: Tick) -> Turn {
        if self.raise(place, Kind::Request, more) {
            return Turn::Granted;
        }
        let holder = self.holder(place).expect("who has no place is refused nothing");
        assert_eq!(holder.turn, Turn::Idle, "a connection asks for one thing at a time");
        // What it holds itself does not go while it waits for more.
        let alone = self.beyond(holder.held[Kind::Request as usize] + more);
        if alone > self.all.most().min(self.users[&holder.user].room.most()) {
            self.refused += 1;
            return Turn::Refused;
        }
        let user = holder.user;
        let turn = Turn::Waiting { more, since: now };
        self.holder_mut(place).turn = turn;
        self.users.get_mut(&user).expect("a connection has a user").waiting += 1;
        self.queue.push_back(place);
        self.serve();
        // Nobody was waiting for what it was refused just now, or it would not have been refused.
        assert_eq!(self.holder_mut(place).turn, turn, "what was not to be had is not to be had yet");
        turn
    }

    /// How the wait of a connection stands; an end is told once.
    pub(crate) fn turn(&mut self, place: u32) -> Turn {
        let turn = self.holder(place).map_or(Turn::Idle, |holder| holder.turn);
        if matches!(turn, Turn::Granted | Turn::Refused) {
            self.holder_mut(place).turn = Turn::Idle;
        }
        turn
    }

    /// The connection does not wait any more. What it was granted and does not know of is given back when it is settled.
    pub(crate) fn give_up(&mut self, place: u32) {
        if self.holder(place).is_none() {
            return;
        }
        let waits = self.waits(place);
        self.holder_mut(place).turn = Turn::Idle;
        if waits {
            self.leave_queue(place);
            self.serve();
        }
    }

    /// The connection holds this, which was granted, or less. More is booked too where it cannot be refused any more: the reply
    /// to a commit that has happened, for which the commit's own memory is given back, faults, notices.
    pub(crate) fn settle(&mut self, place: u32, held: Held) {
        let Some(holder) = self.holder(place) else { return };
        if holder.held == held {
            return;
        }
        let less = (0..2).any(|kind| self.beyond(held[kind]) < self.beyond(holder.held[kind]));
        // Who waits and gives back of its share needs less from the pool.
        let nearer = self.waits(place);
        self.put(place, held);
        if less || nearer {
            self.serve();
        }
    }

    /// Refuses those whose patience is over. Says when the next one's will be.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<Tick> {
        while let Some(&place) = self.queue.front() {
            let Turn::Waiting { since, .. } = self.holder_mut(place).turn else {
                unreachable!("who is in the queue waits")
            };
            let due = after(since, self.patience);
            // They came one after the other, so the first one's patience is over first.
            if due.nanos > now.nanos {
                return Some(due);
            }
            self.leave_queue(place);
            self.end_wait(place, Turn::Refused);
            self.refused += 1;
            self.serve();
        }
        None
    }

    /// A connection whose wait has ended, each once.
    pub(crate) fn woken(&mut self) -> Option<u32> {
        self.woken.pop_front()
    }

    /// How it stands.
    pub(crate) fn figures(&self) -> Connections {
        Connections {
            count: self.connections as u64,
            bytes_max: self.bytes_max as u64,
            bytes: self.bytes_held as u64,
            waiting: self.queue.len() as u64,
            refused: self.refused,
        }
    }

    /// Grants what can be granted, in the order of the queue.
    fn serve(&mut self) {
        self.narrow = false;
        let mut blocked = BTreeSet::new();
        let mut at = 0;
        while let Some(&place) = self.queue.get(at) {
            let holder = self.holder(place).expect("who waits has a place");
            let Turn::Waiting { more, .. } = holder.turn else { unreachable!("who is in the queue waits") };
            let (user, growth) = (holder.user, self.growth(holder, Kind::Request, more));
            if blocked.contains(&user) || !self.users[&user].room.fits(Kind::Request, growth) {
                blocked.insert(user);
                at += 1;
                continue;
            }
            if !self.all.fits(Kind::Request, growth) {
                self.narrow = true;
                return;
            }
            self.leave_queue(place);
            self.add(place, Kind::Request, more);
            self.end_wait(place, Turn::Granted);
        }
    }

    fn leave_queue(&mut self, place: u32) {
        let user = self.holder_mut(place).user;
        self.users.get_mut(&user).expect("a connection has a user").waiting -= 1;
        let at = self.queue.iter().position(|waiting| *waiting == place).expect("who waits is in the queue");
        self.queue.remove(at);
    }

    fn end_wait(&mut self, place: u32, turn: Turn) {
        self.holder_mut(place).turn = turn;
        self.woken.push_back(place);
    }
}

/// One connection's view of the budget.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    budget: &'a mut Budget,
    place: u32,
    /// Bytes of the buffer that is lent to receive in, which count beside what the session holds.
    lent: usize,
}

impl<'a> Account<'a> {
    /// The account of the connection in this place.
    pub(crate) fn new(budget: &'a mut Budget, place: u32, lent: usize) -> Self {
        Self { budget, place, lent }
    }

    /// As [`Budget::raise`].
    pub(crate) fn raise(&mut self, kind: Kind, more: usize) -> bool {
        self.budget.raise(self.place, kind, more)
    }

    /// As [`Budget::ask`].
    pub(crate) fn ask(&mut self, more: usize, now: Tick) -> Turn {
        self.budget.ask(self.place, more, now)
    }

    /// As [`Budget::turn`].
    pub(crate) fn turn(&mut self) -> Turn {
        self.budget.turn(self.place)
    }

    /// As [`Budget::settle`]; and who does not wait any more leaves the queue.
    pub(crate) fn settle(&mut self, held: Held, waits: bool) {
        if !waits {
            self.budget.give_up(self.place);
        }
        let [requests, replies] = held;
        self.budget.settle(self.place, [requests + self.lent, replies]);
    }

    /// As [`Budget::figures`].
    pub(crate) fn figures(&self) -> Connections {
        self.budget.figures()
    }
}

/// What a request of so many bytes takes: an operation, the bytes as they came, a copy of them, and what the parts of a commit take
/// beside their bytes; that is as much again for parts of 64 bytes, and no more than 65,536 parts need.
pub(crate) fn request_bytes(content: usize) -> usize {
    OP_BYTES + 2 * content + (2 * content).min(SET_PARTS_MAX * PART_BYTES)
}

/// The largest request that takes no more than this.
pub(crate) fn request_of(bytes: usize) -> usize {
    let (bytes, parts) = (bytes.saturating_sub(OP_BYTES), SET_PARTS_MAX * PART_BYTES);
    if bytes >= 2 * parts { (bytes - parts) / 2 } else { bytes / 4 }
}

/// What replies of so many bytes take: a buffer that grows by doubling, and the piece of it that is being sent.
pub(crate) fn reply_bytes(unsent: usize) -> usize {
    2 * unsent + unsent.min(SEND_BYTES_MAX)
}

#[cfg(test)]
mod tests;
