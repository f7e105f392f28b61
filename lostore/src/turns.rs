//! Who reads a connection: one thread for all that wait, and the hand-over between them.
//!
//! Contract: every operation that was asked is answered once. Whoever waits reads the line itself while nobody else does (the
//! leader); the others sleep and are woken with their answer, or to lead when the leader has its own. Tasks are served by a
//! thread that reads only while one of them waits.
//!
//! Invariants: nobody rests at the line who has not set `reading`; nothing is waited for, no one is woken and no waker is
//! dropped while the lock is held, so a waker may do what it likes, also ask again.
//!
//! What the line is, it does not know: the model checker's is a queue. Threads meet through `super::sync` only.

use super::slots::Slots;
use super::sync::{Mutex, MutexGuard, Thread, current, park, relax};
use domains::OpId;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::task::Waker;
use std::time::{Duration, Instant};

/// What the turns need of a connection. All but [`Line::rest`] are called under the lock and must not wait.
pub(crate) trait Line {
    /// What only the holder of the lock may touch.
    type Talk;
    /// What is answered.
    type Answer;

    /// Sends what was asked, as far as the line takes it.
    fn send(&self, talk: &mut Self::Talk);
    /// Takes what has come, and sends what that made room for.
    fn receive(&self, talk: &mut Self::Talk);
    /// Appends the answers that have come.
    fn take_answers(&self, talk: &mut Self::Talk, answers: &mut Vec<(OpId, Self::Answer)>);
    /// Whether so much is unsent that even who has its answer should send it.
    fn should_send(&self, talk: &Self::Talk) -> bool;
    /// Whether something waits for room in the line.
    fn is_full(&self, talk: &Self::Talk) -> bool;
    /// Whether the line has ended.
    fn is_over(&self, talk: &Self::Talk) -> bool;
    /// Whether an operation is without an answer.
    fn owes(&self, talk: &Self::Talk) -> bool;
    /// Whether the leader should look again before it rests; `since` is nothing at its first look.
    fn look_again(&self, since: &mut Option<Instant>) -> bool;
    /// Sleeps until something has come (or, if wanted, there is room), [`Line::ring`] was called, or the time is over.
    fn rest(&self, wants_room: bool, most: Option<Duration>);
    /// Ends the present rest, or the next.
    fn ring(&self);
}

/// The turns of all who use one line.
pub(crate) struct Turns<L: Line> {
    line: L,
    state: Mutex<State<L>>,
}

struct State<L: Line> {
    talk: L::Talk,
    places: Slots<Place<L::Answer>>,
    reading: bool,
    /// The resting leader waits for room in the line too.
    wants_room: bool,
    /// Threads that sleep until they have an answer or the leadership; the farewell waits for no answer.
    sleepers: VecDeque<(Option<OpId>, Thread)>,
    /// Operations whose waker is set; the reader reads while there are any.
    tasks: usize,
    reader: Reader,
    over: bool,
    answers: Vec<(OpId, L::Answer)>,
    /// Who is woken, or let go, when the lock is free.
    wakes: Vec<Wake>,
    rings: bool,
}

enum Place<A> {
    Asked(Option<Waker>),
    Detached,
    Answered(A),
}

/// The thread that reads for tasks.
enum Reader {
    None,
    /// It was called for and has not begun.
    Coming,
    At(Thread),
}

enum Wake {
    Thread(Thread),
    Task(Waker),
    /// Nobody needs it any more.
    Gone(Waker),
}

/// What a poll finds.
pub(crate) enum Polled<A> {
    Ready(A),
    Pending,
    /// As pending, and the caller must see to it that a thread calls [`Turns::read_for_tasks`].
    NeedsReader,
}

/// The lock, held. Given back first, and then whoever is to be woken is.
struct Held<'a, L: Line> {
    turns: &'a Turns<L>,
    state: Option<MutexGuard<'a, State<L>>>,
}

impl<L: Line> Turns<L> {
    pub(crate) fn new(line: L, talk: L::Talk) -> Self {
        let state = State {
            talk,
            places: Slots::new(),
            reading: false,
            wants_room: false,
            sleepers: VecDeque::new(),
            tasks: 0,
            reader: Reader::None,
            over: false,
            answers: Vec::new(),
            wakes: Vec::new(),
            rings: false,
        };
        Self { line, state: Mutex::new(state) }
    }

    pub(crate) fn line(&self) -> &L {
        &self.line
    }

    /// Takes a place for an operation that `submit` gives to the line.
    pub(crate) fn ask<E>(&self, submit: impl FnOnce(&mut L::Talk, OpId) -> Result<(), E>) -> Result<OpId, E> {
        let mut held = self.hold();
        let id = held.places.insert(Place::Asked(None));
        match submit(&mut held.talk, id) {
            Ok(()) => Ok(id),
            Err(error) => {
                held.places.remove(id);
                Err(error)
            }
        }
    }

    /// Looks whether the answer is there; if not, leaves the waker.
    pub(crate) fn poll(&self, id: OpId, waker: Option<&Waker>) -> Polled<L::Answer> {
        let mut held = self.hold();
        self.flush(&mut held);
        if !held.reading {
            self.look(&mut held);
        }
        if let Some(answer) = held.take(id) {
            return Polled::Ready(answer);
        }
        let Some(waker) = waker else { return Polled::Pending };
        held.wait_as_task(id, waker.clone());
        if matches!(held.reader, Reader::None) {
            held.reader = Reader::Coming;
            return Polled::NeedsReader;
        }
        held.wake_reader();
        Polled::Pending
    }

    /// Waits on the calling thread: as the leader while nobody reads, else asleep.
    pub(crate) fn wait(&self, id: OpId) -> L::Answer {
        let mut held = self.hold();
        // An answer that came with an earlier one needs nothing sent: what was asked since goes with the next that must wait.
        if !self.line.should_send(&held.talk)
            && let Some(answer) = held.take(id)
        {
            return answer;
        }
        self.flush(&mut held);
        loop {
            if let Some(answer) = held.take(id) {
                held.hand_over();
                return answer;
            }
            held = if held.reading { self.sleep(held, Some(id)) } else { self.lead(held, None) };
        }
    }

    /// Nobody wants the answer any more; the operation is sent all the same.
    pub(crate) fn detach(&self, id: OpId) {
        let mut held = self.hold();
        match held.places.get_mut(id) {
            Some(place @ Place::Asked(_)) => {
                if let Place::Asked(Some(waker)) = std::mem::replace(place, Place::Detached) {
                    held.tasks -= 1;
                    held.wakes.push(Wake::Gone(waker));
                }
                self.flush(&mut held);
            }
            Some(Place::Answered(_)) => drop(held.places.remove(id)),
            Some(Place::Detached) | None => unreachable!("{id:?} is let go of once, before its answer is taken"),
        }
    }

    /// The life of the thread that reads for tasks.
    pub(crate) fn read_for_tasks(&self) {
        let mut held = self.hold();
        held.reader = Reader::At(current());
        while !held.over {
            if held.tasks > 0 && !held.reading {
                held = self.lead(held, None);
                continue;
            }
            // What a blocked caller could read must not wait for the next task.
            held.hand_over();
            drop(held);
            park();
            held = self.hold();
        }
        held.hand_over();
    }

    /// Ends the line; everything under way is answered by that.
    pub(crate) fn end(&self, end: impl FnOnce(&mut L::Talk)) {
        let mut held = self.hold();
        end(&mut held.talk);
        self.deliver(&mut held);
    }

    /// The last handle goes: waits for what was asked while `left` gives time, then ends the line. Nobody waits for an answer on
    /// a thread any more, since that takes a handle.
    pub(crate) fn farewell(&self, mut left: impl FnMut() -> Option<Duration>, end: impl FnOnce(&mut L::Talk)) {
        let mut held = self.hold();
        held.over = true;
        while held.reading {
            held.rings = true;
            held = self.sleep(held, None);
        }
        self.flush(&mut held);
        while self.line.owes(&held.talk) && !self.line.is_over(&held.talk) {
            let Some(left) = left() else { break };
            held = self.lead(held, Some(left));
        }
        end(&mut held.talk);
        self.deliver(&mut held);
        held.wake_reader();
    }

    fn hold(&self) -> Held<'_, L> {
        Held {
            turns: self,
            state: Some(self.state.lock().expect("nothing panics while it holds a connection's state")),
        }
    }

    fn sleep<'a>(&'a self, mut held: Held<'a, L>, id: Option<OpId>) -> Held<'a, L> {
        held.sleepers.push_back((id, current()));
        drop(held);
        park();
        let mut held = self.hold();
        held.sleepers.retain(|(sleeper, _)| *sleeper != id);
        held
    }

    /// One look at the line as its only reader: repeated for a while, then a rest until there is something.
    fn lead<'a>(&'a self, mut held: Held<'a, L>, most: Option<Duration>) -> Held<'a, L> {
        assert!(!held.reading, "the leader is the only reader");
        let mut since = None;
        loop {
            if self.look(&mut held) {
                return held;
            }
            if !self.line.look_again(&mut since) {
                break;
            }
            held.reading = true;
            drop(held);
            relax();
            held = self.hold();
            held.reading = false;
        }
        held.reading = true;
        let wants_room = self.line.is_full(&held.talk);
        held.wants_room = wants_room;
        drop(held);
        self.line.rest(wants_room, most);
        let mut held = self.hold();
        held.reading = false;
        held.wants_room = false;
        self.line.send(&mut held.talk);
        self.look(&mut held);
        held
    }

    /// Sends what the line takes now.
    fn flush(&self, held: &mut Held<'_, L>) {
        self.line.send(&mut held.talk);
        self.deliver(held);
        if held.reading && !held.wants_room && self.line.is_full(&held.talk) {
            held.rings = true;
        }
    }

    /// Takes what the line has now; `false` when that was nothing.
    fn look(&self, held: &mut Held<'_, L>) -> bool {
        self.line.receive(&mut held.talk);
        self.deliver(held) || self.line.is_over(&held.talk)
    }

    /// Hands answers to their places and notes who is to be woken; `false` when there were none.
    fn deliver(&self, held: &mut Held<'_, L>) -> bool {
        let mut answers = std::mem::take(&mut held.answers);
        self.line.take_answers(&mut held.talk, &mut answers);
        let any = !answers.is_empty();
        for (id, answer) in answers.drain(..) {
            held.settle(id, answer);
        }
        held.answers = answers;
        any
    }
}

impl<L: Line> State<L> {
    fn settle(&mut self, id: OpId, answer: L::Answer) {
        match self.places.get_mut(id) {
            Some(place @ Place::Asked(_)) => {
                if let Place::Asked(Some(waker)) = std::mem::replace(place, Place::Answered(answer)) {
                    self.tasks -= 1;
                    self.wakes.push(Wake::Task(waker));
                }
                if let Some(at) = self.sleepers.iter().position(|(sleeper, _)| *sleeper == Some(id)) {
                    self.wakes.extend(self.sleepers.remove(at).map(|(_, thread)| Wake::Thread(thread)));
                }
            }
            Some(Place::Detached) => drop(self.places.remove(id)),
            Some(Place::Answered(_)) | None => unreachable!("{id:?} is answered once"),
        }
    }

    /// The answer, if it is there.
    fn take(&mut self, id: OpId) -> Option<L::Answer> {
        if !matches!(self.places.get_mut(id), Some(Place::Answered(_))) {
            return None;
        }
        match self.places.remove(id) {
            Some(Place::Answered(answer)) => Some(answer),
            Some(Place::Asked(_) | Place::Detached) | None => unreachable!("{id:?} was answered a moment ago"),
        }
    }

    /// Leaves a waker.
    fn wait_as_task(&mut self, id: OpId, waker: Waker) {
        match self.places.get_mut(id) {
            Some(Place::Asked(place)) => match place.replace(waker) {
                None => self.tasks += 1,
                Some(before) => self.wakes.push(Wake::Gone(before)),
            },
            Some(Place::Detached | Place::Answered(_)) | None => {
                unreachable!("{id:?} is polled while it has no answer")
            }
        }
    }

    /// Wakes who could read next, if anybody waits.
    fn hand_over(&mut self) {
        if self.reading {
            return;
        }
        if let Some((_, thread)) = self.sleepers.pop_front() {
            self.wakes.push(Wake::Thread(thread));
        } else if self.tasks > 0 {
            self.wake_reader();
        }
    }

    fn wake_reader(&mut self) {
        if let Reader::At(thread) = &self.reader {
            self.wakes.push(Wake::Thread(thread.clone()));
        }
    }
}

impl<L: Line> Deref for Held<'_, L> {
    type Target = State<L>;

    fn deref(&self) -> &State<L> {
        self.state.as_deref().expect("it is given back at the end only")
    }
}

impl<L: Line> DerefMut for Held<'_, L> {
    fn deref_mut(&mut self) -> &mut State<L> {
        self.state.as_deref_mut().expect("it is given back at the end only")
    }
}

impl<L: Line> Drop for Held<'_, L> {
    fn drop(&mut self) {
        let wakes = std::mem::take(&mut self.wakes);
        let rings = std::mem::take(&mut self.rings);
        drop(self.state.take());
        if rings {
            self.turns.line.ring();
        }
        for wake in wakes {
            match wake {
                Wake::Thread(thread) => thread.unpark(),
                Wake::Task(waker) => waker.wake(),
                Wake::Gone(waker) => drop(waker),
            }
        }
    }
}
