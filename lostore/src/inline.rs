//! One shard driven by the calling thread: the engine and its device behind a [`Backend`], without a hop.
//!
//! Contract: an operation that memory can serve is answered within `start`, without a lock, a system call or an allocation of
//! this layer's own. Whatever waits for the device or the clock moves on whenever the caller comes back, be it with another
//! operation, with `poll` or with `wait`. A caller that waits for nothing but the end of an epoch ends it: nobody else could
//! add to it meanwhile. Dropping the backend makes everything committed persistent and writes down an orderly end.
//!
//! Invariants: the engine is borrowed for the length of one call only; what is shown by `lookup_in_place` must not call back
//! into the same backend (it panics). After a panic inside the engine every later call answers [`Error::Stopped`].
//!
//! It cannot be sent to another thread. Of its futures: `poll` wakes its own waker at once when there is no answer yet, for
//! there is no other thread that could move the device on.

use crate::backend::Backend;
use crate::clock::Clock;
use crate::error::Error;
use crate::slots::Slots;
use domains::{Answer, Asker, Capabilities, Driven, Engine, Horizon, Op, OpId, PairRef, Seen, Tick};
use segments::{Completion, Device, Request, TableId, Tag};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Carries operations to an engine on the calling thread.
pub struct Inline<D: Driven = Engine, V: Device = Box<dyn Device>> {
    core: RefCell<Core<D, V>>,
    /// Apart from the engine, so that a pending operation can be dropped at any time.
    waiting: Rc<RefCell<Slots<Waiting>>>,
}

/// Whoever asks: there is one thread.
const CALLER: Asker = Asker::Thread(0);

/// An operation under way on the calling thread.
#[derive(Debug)]
pub struct InlinePending(State);

#[derive(Debug)]
enum State {
    Answered(Result<Answer, Error>),
    Waiting { id: OpId, waiting: Rc<RefCell<Slots<Waiting>>> },
    Taken,
}

#[derive(Debug)]
enum Waiting {
    Asked,
    Detached,
    Answered(Result<Answer, Error>),
}

struct Core<D, V> {
    domain: D,
    device: V,
    clock: Clock,
    /// When the engine next wants a turn by the clock alone.
    due: Option<Tick>,
    /// Set while the engine works; found set by a later call, it tells of a panic.
    working: bool,
    requests: Vec<(Tag, Request)>,
    done: Vec<Completion>,
    answers: Vec<(OpId, Result<Answer, domains::Error>)>,
}

impl<D: Driven, V: Device> Inline<D, V> {
    /// Drives `domain` on `device`.
    pub fn new(domain: D, device: V) -> Self {
        let core = Core {
            domain,
            device,
            clock: Clock::start(),
            due: None,
            working: false,
            requests: Vec::new(),
            done: Vec::new(),
            answers: Vec::new(),
        };
        Self { core: RefCell::new(core), waiting: Rc::new(RefCell::new(Slots::new())) }
    }

    /// Moves on what the device and the clock have made possible. Other calls do this too; a program that keeps away from
    /// its store for longer than an epoch's interval may call it now and then.
    pub fn turn(&self) {
        let mut core = self.core.borrow_mut();
        if core.enter().is_err() {
            return;
        }
        let now = core.clock.read();
        core.move_on(now, true);
        core.deliver(&self.waiting, None);
        core.working = false;
    }

    /// One look at the world for an operation under way: its answer, if it has come; else the rest that `park` asks for.
    fn look(&self, id: OpId, park: &mut Park) -> Result<Option<Result<Answer, Error>>, Error> {
        let mut core = self.core.borrow_mut();
        core.enter()?;
        let now = core.clock.read();
        core.move_on(now, true);
        core.deliver(&self.waiting, None);
        let answer = self.take(id);
        if answer.is_none() {
            *park = core.rest(now, *park, &self.waiting);
        }
        core.working = false;
        Ok(answer)
    }

    fn take(&self, id: OpId) -> Option<Result<Answer, Error>> {
        let mut waiting = self.waiting.borrow_mut();
        if !matches!(waiting.get_mut(id), Some(Waiting::Answered(_))) {
            return None;
        }
        match waiting.remove(id) {
            Some(Waiting::Answered(answer)) => Some(answer),
            other => unreachable!("an answered operation turned into {other:?}"),
        }
    }
}

/// What a caller does that finds no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Park {
    /// Come back later.
    No,
    /// Wait for the device, or end the epoch if the device has nothing to do; from then on sleep.
    Force,
    /// Wait for the device or for the clock.
    Sleep,
}

impl<D: Driven, V: Device> Core<D, V> {
    fn enter(&mut self) -> Result<(), Error> {
        if self.working {
            return Err(Error::Stopped);
        }
        self.working = true;
        Ok(())
    }

    fn is_due(&self, now: Tick) -> bool {
        self.due.is_some_and(|due| due.nanos <= now.nanos)
    }

    /// Requests out, completions in, and a turn of the engine if anything calls for one.
    fn move_on(&mut self, now: Tick, turn: bool) {
        self.send_requests();
        let mut completed = false;
        if self.device.in_flight() > 0 {
            self.device.poll(&mut self.done);
            completed = self.take_completions(now);
        }
        if turn || completed || self.is_due(now) {
            self.due = self.domain.turn(now);
            self.send_requests();
        }
    }

    fn send_requests(&mut self) {
        self.domain.take_requests(&mut self.requests);
        for (tag, request) in self.requests.drain(..) {
            self.device.submit(tag, request);
        }
    }

    fn take_completions(&mut self, now: Tick) -> bool {
        let any = !self.done.is_empty();
        for completion in self.done.drain(..) {
            self.domain.complete(completion, now);
        }
        any
    }

    /// Hands the answers out and returns that of `own`, which has no waiter yet.
    fn deliver(&mut self, waiting: &RefCell<Slots<Waiting>>, own: Option<OpId>) -> Option<Result<Answer, Error>> {
        self.domain.take_answers(&mut self.answers);
        let mut mine = None;
        if self.answers.is_empty() {
            return mine;
        }
        let mut waiting = waiting.borrow_mut();
        for (id, answer) in self.answers.drain(..) {
            let answer = answer.map_err(Error::Domain);
            if own == Some(id) {
                assert!(mine.is_none(), "operation {id:?} was answered twice");
                waiting.remove(id);
                mine = Some(answer);
                continue;
            }
            match waiting.get_mut(id) {
                Some(place @ Waiting::Asked) => *place = Waiting::Answered(answer),
                Some(Waiting::Detached) => drop(waiting.remove(id)),
                other => unreachable!("an answer for {id:?}, which is {other:?}"),
            }
        }
        mine
    }

    /// Lets the domain write down its end.
    fn close(&mut self) -> Result<(), Error> {
        loop {
            let now = self.clock.read();
            self.move_on(now, true);
            if let Poll::Ready(result) = self.domain.close() {
                return result.map_err(Error::Domain);
            }
            self.send_requests();
            self.device.wait(&mut self.done);
            let now = self.clock.read();
            self.take_completions(now);
        }
    }

    /// Waits for whatever may bring the answer nearer, and says how to wait the next time.
    fn rest(&mut self, now: Tick, park: Park, waiting: &RefCell<Slots<Waiting>>) -> Park {
        // The engine wants another turn at once: it works in slices, and there is nothing to wait for.
        if park == Park::No || self.is_due(now) {
            return park;
        }
        if self.device.in_flight() > 0 {
            self.device.wait(&mut self.done);
            let now = self.clock.read();
            self.take_completions(now);
            return park;
        }
        if park == Park::Force {
            let id = waiting.borrow_mut().insert(Waiting::Detached);
            self.domain.submit_for(CALLER, id, Op::Force, now);
            return Park::Sleep;
        }
        let due = self.due.expect("an operation that waits for neither the device nor the clock has been answered");
        std::thread::park_timeout(Duration::from_nanos(due.nanos.saturating_sub(now.nanos)));
        park
    }
}

impl<D: Driven, V: Device> Backend for Inline<D, V> {
    type Pending = InlinePending;

    fn start(&self, op: Op) -> Result<InlinePending, Error> {
        let mut core = self.core.borrow_mut();
        core.enter()?;
        let now = core.clock.read();
        let reads = matches!(
            op,
            Op::Lookup { .. }
                | Op::LookupMany { .. }
                | Op::ReadRanges { .. }
                | Op::Next { .. }
                | Op::Follow { .. }
                | Op::FollowChain { .. }
        );
        let id = self.waiting.borrow_mut().insert(Waiting::Asked);
        core.domain.submit_for(CALLER, id, op, now);
        core.move_on(now, !reads);
        let answer = core.deliver(&self.waiting, Some(id));
        core.working = false;
        Ok(InlinePending(match answer {
            Some(answer) => State::Answered(answer),
            None => State::Waiting { id, waiting: Rc::clone(&self.waiting) },
        }))
    }

    fn poll(&self, pending: &mut InlinePending, waker: Option<&Waker>) -> Poll<Result<Answer, Error>> {
        match std::mem::replace(&mut pending.0, State::Taken) {
            State::Answered(answer) => Poll::Ready(answer),
            State::Waiting { id, waiting } => match self.look(id, &mut Park::No) {
                Ok(Some(answer)) => Poll::Ready(answer),
                Ok(None) => {
                    pending.0 = State::Waiting { id, waiting };
                    if let Some(waker) = waker {
                        waker.wake_by_ref();
                    }
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error)),
            },
            State::Taken => panic!("the answer was taken before"),
        }
    }

    fn wait(&self, mut pending: InlinePending) -> Result<Answer, Error> {
        let id = match std::mem::replace(&mut pending.0, State::Taken) {
            State::Answered(answer) => return answer,
            State::Waiting { id, .. } => id,
            State::Taken => panic!("the answer was taken before"),
        };
        let mut park = Park::Force;
        loop {
            if let Some(answer) = self.look(id, &mut park)? {
                return answer;
            }
        }
    }

    fn horizon(&self) -> Horizon {
        self.core.borrow().domain.horizon()
    }

    fn capabilities(&self) -> Capabilities {
        self.core.borrow().domain.capabilities()
    }

    fn lookup_in_place(
        &self,
        table: TableId,
        key: &[u8],
        see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<(), Error> {
        {
            let mut core = self.core.borrow_mut();
            core.enter()?;
            let now = core.clock.read();
            core.move_on(now, false);
            core.deliver(&self.waiting, None);
            // Not `?` before the flag is down: a refused lookup is no panic.
            let seen = core.domain.lookup_now(table, key, now, see);
            core.working = false;
            match seen? {
                Seen::Ready => return Ok(()),
                Seen::NeedsDevice => {}
            }
        }
        crate::backend::lookup_by_operation(self, table, key, see)
    }
}

impl Drop for InlinePending {
    fn drop(&mut self) {
        let State::Waiting { id, waiting } = &self.0 else { return };
        let mut waiting = waiting.borrow_mut();
        match waiting.get_mut(*id) {
            Some(place @ Waiting::Asked) => *place = Waiting::Detached,
            Some(Waiting::Answered(_)) => drop(waiting.remove(*id)),
            other => unreachable!("a pending operation {id:?} is {other:?}"),
        }
    }
}

impl<D: Driven, V: Device> Drop for Inline<D, V> {
    fn drop(&mut self) {
        if self.core.get_mut().working || std::thread::panicking() {
            return;
        }
        let forced = self.start(Op::Force).and_then(|pending| self.wait(pending).map(drop));
        if let Err(error) = forced.and_then(|()| self.core.get_mut().close())
            && error.kind() != domains::ErrorKind::Unsupported
        {
            tracing::warn!(%error, "the store could not be closed in order");
        }
    }
}

impl<D: Driven, V: Device> std::fmt::Debug for Inline<D, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inline").field("waiting", &self.waiting.borrow().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
