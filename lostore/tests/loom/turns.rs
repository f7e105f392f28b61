//! Models of who reads a connection: the leader, those who sleep, the reader of tasks, and the farewell.
//!
//! The line is a queue with a peer at its other end that answers each operation by its own number.

#![expect(clippy::unwrap_used, reason = "all of this is tests; clippy by itself sees only functions marked so")]

use super::{explore, must_fail};
use domains::OpId;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// What lies between the two ends.
#[derive(Default)]
struct Queue {
    asked: Vec<OpId>,
    answered: Vec<OpId>,
    rung: bool,
    over: bool,
}

/// A line without bytes. Deaf, it does not hear its bell.
#[derive(Clone)]
struct Wire {
    queue: Arc<(Mutex<Queue>, Condvar)>,
    deaf: bool,
}

#[derive(Default)]
struct Talk {
    unsent: Vec<OpId>,
    come: Vec<OpId>,
    unanswered: usize,
    over: bool,
}

impl Wire {
    fn new(deaf: bool) -> Self {
        Self { queue: Arc::new((Mutex::new(Queue::default()), Condvar::new())), deaf }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Queue) -> R) -> R {
        let result = act(&mut self.queue.0.lock().unwrap());
        self.queue.1.notify_all();
        result
    }

    /// The peer: answers so many.
    fn answer(&self, count: usize) {
        for _ in 0..count {
            let mut queue = self.queue.0.lock().unwrap();
            while queue.asked.is_empty() {
                queue = self.queue.1.wait(queue).unwrap();
            }
            let id = queue.asked.remove(0);
            queue.answered.push(id);
            drop(queue);
            self.queue.1.notify_all();
        }
    }
}

/// The line's side, for each of the modules that the file is taken in by.
macro_rules! line_of {
    ($line:path) => {
        impl $line for Wire {
            type Talk = Talk;
            type Answer = OpId;

            fn send(&self, talk: &mut Talk) {
                if !talk.unsent.is_empty() {
                    self.with(|queue| queue.asked.append(&mut talk.unsent));
                }
            }

            fn receive(&self, talk: &mut Talk) {
                self.with(|queue| {
                    talk.come.append(&mut queue.answered);
                    talk.over |= queue.over;
                });
            }

            fn take_answers(&self, talk: &mut Talk, answers: &mut Vec<(OpId, OpId)>) {
                talk.unanswered -= talk.come.len();
                answers.extend(talk.come.drain(..).map(|id| (id, id)));
            }

            fn should_send(&self, _: &Talk) -> bool {
                false
            }

            fn is_full(&self, _: &Talk) -> bool {
                false
            }

            fn is_over(&self, talk: &Talk) -> bool {
                talk.over
            }

            fn owes(&self, talk: &Talk) -> bool {
                talk.unanswered > 0
            }

            fn look_again(&self, _: &mut Option<Instant>) -> bool {
                false
            }

            fn rest(&self, _: bool, _: Option<Duration>) {
                let mut queue = self.queue.0.lock().unwrap();
                while queue.answered.is_empty() && !queue.rung && !queue.over {
                    queue = self.queue.1.wait(queue).unwrap();
                }
                queue.rung = false;
            }

            fn ring(&self) {
                self.with(|queue| queue.rung = !self.deaf);
            }
        }
    };
}

line_of!(crate::sound::turns::Line);
line_of!(crate::no_unpark::turns::Line);

fn submit(talk: &mut Talk, id: OpId) -> Result<(), Infallible> {
    talk.unsent.push(id);
    talk.unanswered += 1;
    Ok(())
}

/// Two threads wait for an answer each, one of them reading for both: whoever leaves hands over.
macro_rules! both_are_answered {
    ($turns:path) => {
        || {
            use $turns as turns;
            let wire = Wire::new(false);
            let turns = Arc::new(turns::Turns::new(wire.clone(), Talk::default()));
            let peer = thread::spawn(move || wire.answer(2));
            let other = Arc::clone(&turns);
            let other = thread::spawn(move || {
                let Ok(id) = other.ask(submit);
                assert_eq!(other.wait(id), id);
            });
            let Ok(id) = turns.ask(submit);
            assert_eq!(turns.wait(id), id);
            other.join().unwrap();
            peer.join().unwrap();
        }
    };
}

#[test]
fn whoever_leads_hands_over() {
    explore(both_are_answered!(crate::sound::turns));
}

#[test]
fn a_hand_over_without_a_wake_is_noticed() {
    must_fail("turns::a_hand_over_without_a_wake_is_noticed", both_are_answered!(crate::no_unpark::turns));
}

struct Unpark(thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// A task beside a waiting thread, with the thread that reads for tasks; then the farewell, which ends that thread.
fn a_task_and_a_waiter(deaf: bool) {
    use crate::sound::turns::{Polled, Turns};
    let wire = Wire::new(deaf);
    let turns = Arc::new(Turns::new(wire.clone(), Talk::default()));
    let peer = {
        let wire = wire.clone();
        thread::spawn(move || wire.answer(1))
    };
    let Ok(task) = turns.ask(submit);
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    let mut reader = None;
    loop {
        match turns.poll(task, Some(&waker)) {
            Polled::Ready(answer) => {
                assert_eq!(answer, task);
                break;
            }
            Polled::NeedsReader => {
                let turns = Arc::clone(&turns);
                reader = Some(thread::spawn(move || turns.read_for_tasks()));
            }
            Polled::Pending => {}
        }
        thread::park();
    }
    peer.join().unwrap();
    turns.farewell(|| None, |talk| talk.over = true);
    if let Some(reader) = reader {
        reader.join().unwrap();
    }
}

#[test]
fn a_task_is_read_for_and_the_reader_ends() {
    explore(|| a_task_and_a_waiter(false));
}

/// The farewell finds the reader at rest, for a task that was let go of: the bell ends that.
fn the_last_handle_goes(deaf: bool) {
    use crate::sound::turns::{Polled, Turns};
    let wire = Wire::new(deaf);
    let turns = Arc::new(Turns::new(wire, Talk::default()));
    let Ok(task) = turns.ask(submit);
    let Polled::NeedsReader = turns.poll(task, Some(std::task::Waker::noop())) else { panic!("nobody answers") };
    let reader = {
        let turns = Arc::clone(&turns);
        thread::spawn(move || turns.read_for_tasks())
    };
    turns.farewell(
        || None,
        |talk| {
            talk.over = true;
            talk.come.append(&mut vec![task]);
        },
    );
    reader.join().unwrap();
}

#[test]
fn the_farewell_rings_the_reader_out_of_its_rest() {
    explore(|| the_last_handle_goes(false));
}

#[test]
fn a_bell_that_is_not_heard_is_noticed() {
    must_fail("turns::a_bell_that_is_not_heard_is_noticed", || the_last_handle_goes(true));
}
