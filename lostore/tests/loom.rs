//! Models of the places where threads meet in this crate: the way into a shard and the way back.
//!
//! The shipped files are taken in by path and find loom's primitives where they look for the standard library's. The mutants
//! take the same files with one primitive weakened; the models must catch them.

#![expect(dead_code, reason = "each model uses a part of the files it takes in")]
#![expect(clippy::duplicate_mod, reason = "a mutant is the same file beside a weaker primitive")]

#[path = "../src"]
mod sound {
    pub(crate) mod sync {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
        pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
        pub(crate) use loom::thread::{Thread, current, park, yield_now as relax};
    }
    #[path = "answer.rs"]
    pub(crate) mod answer;
    #[path = "inbox.rs"]
    pub(crate) mod inbox;
    #[path = "slots.rs"]
    pub(crate) mod slots;
    #[path = "turns.rs"]
    pub(crate) mod turns;
}

/// The fence between "I sleep" and the second look, and between a message and the look at the sleeper, is missing.
#[path = "../src"]
mod no_fence {
    pub(crate) mod sync {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
        pub(crate) use loom::sync::{Arc, Mutex};
        pub(crate) use loom::thread::yield_now as relax;

        pub(crate) fn fence(_: Ordering) {}
    }
    #[path = "inbox.rs"]
    pub(crate) mod inbox;
}

/// Closing and giving out a place are two words in effect: the close can be overwritten.
#[path = "../src"]
mod torn_close {
    pub(crate) mod sync {
        pub(crate) use loom::sync::atomic::{AtomicBool, Ordering, fence};
        pub(crate) use loom::sync::{Arc, Mutex};
        pub(crate) use loom::thread::yield_now as relax;

        pub(crate) struct AtomicUsize(loom::sync::atomic::AtomicUsize);

        impl AtomicUsize {
            pub(crate) fn new(value: usize) -> Self {
                Self(loom::sync::atomic::AtomicUsize::new(value))
            }
            pub(crate) fn load(&self, order: Ordering) -> usize {
                self.0.load(order)
            }
            pub(crate) fn store(&self, value: usize, order: Ordering) {
                self.0.store(value, order);
            }
            pub(crate) fn compare_exchange_weak(
                &self,
                old: usize,
                new: usize,
                yes: Ordering,
                no: Ordering,
            ) -> Result<usize, usize> {
                self.0.compare_exchange_weak(old, new, yes, no)
            }
            pub(crate) fn fetch_or(&self, bits: usize, order: Ordering) -> usize {
                let old = self.0.load(order);
                self.0.store(old | bits, order);
                old
            }
        }
    }
    #[path = "inbox.rs"]
    pub(crate) mod inbox;
}

/// Whoever settles an answer does not wake its waiter.
#[path = "../src"]
mod no_unpark {
    pub(crate) mod sync {
        pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
        pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
        pub(crate) use loom::thread::{current as loom_current, park, yield_now as relax};

        #[derive(Clone)]
        pub(crate) struct Thread(loom::thread::Thread);

        impl Thread {
            pub(crate) fn unpark(&self) {
                let _ = &self.0;
            }
        }

        pub(crate) fn current() -> Thread {
            Thread(loom_current())
        }
    }
    #[path = "answer.rs"]
    pub(crate) mod answer;
    #[path = "slots.rs"]
    pub(crate) mod slots;
    #[path = "turns.rs"]
    pub(crate) mod turns;
}

#[path = "loom/turns.rs"]
mod turns;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // Three preemptions pass as well and take five times as long.
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// Runs the model in a process of its own, which must end badly: a model that fails in the middle may abort.
fn must_fail(test: &str, model: impl Fn() + Send + Sync + 'static) {
    const CHILD: &str = "LOSTORE_LOOM_MUTANT";
    if std::env::var_os(CHILD).is_some() {
        return explore(model);
    }
    let program = std::env::current_exe().expect("a test knows its own program");
    let child =
        std::process::Command::new(program).args(["--exact", test]).env(CHILD, "1").output().expect("it starts");
    assert!(!child.status.success(), "the model did not notice the mutant");
    let said = String::from_utf8_lossy(&child.stderr).into_owned() + &String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("panicked") || said.contains("deadlock"), "it failed in another way: {said}");
}

/// L2: two senders, a receiver that sleeps whenever it may; everything arrives, nobody sleeps for ever.
macro_rules! no_lost_wake_up {
    ($inbox:path) => {
        || {
            use $inbox as inbox;
            let sleeper = loom::thread::current();
            let (inbox, mut receiver) = inbox::Inbox::new(2, Box::new(move || sleeper.unpark()));
            for message in 0..2u32 {
                let inbox = loom::sync::Arc::clone(&inbox);
                loom::thread::spawn(move || assert!(inbox.push(message).is_ok()));
            }
            let mut sum = 0;
            let mut received = 0;
            while received < 2 {
                if let Some(message) = receiver.pop() {
                    sum += message;
                    received += 1;
                } else if receiver.begin_sleep() {
                    loom::thread::park();
                    receiver.end_sleep();
                }
            }
            assert_eq!(sum, 1);
        }
    };
}

#[test]
fn no_wake_up_is_lost() {
    explore(no_lost_wake_up!(crate::sound::inbox));
}

#[test]
fn without_the_fences_a_wake_up_is_lost() {
    must_fail("without_the_fences_a_wake_up_is_lost", no_lost_wake_up!(crate::no_fence::inbox));
}

/// L13: a sender against the close. What was taken in comes out, what was refused comes back, once each; the sleeping
/// receiver hears of the close.
macro_rules! drain_against_push {
    ($inbox:path) => {
        || {
            use $inbox as inbox;
            let sleeper = loom::thread::current();
            let (inbox, mut receiver) = inbox::Inbox::new(2, Box::new(move || sleeper.unpark()));
            let sender = {
                let inbox = loom::sync::Arc::clone(&inbox);
                loom::thread::spawn(move || (0..2u32).filter(|&message| inbox.push(message).is_ok()).count())
            };
            let closer = loom::thread::spawn(move || inbox.close());
            let mut received = 0;
            loop {
                let closed = receiver.is_closed();
                if receiver.pop().is_some() {
                    received += 1;
                } else if closed && receiver.is_drained() {
                    break;
                } else if closed {
                    loom::thread::yield_now();
                } else if receiver.begin_sleep() {
                    loom::thread::park();
                    receiver.end_sleep();
                }
            }
            closer.join().unwrap();
            assert_eq!(sender.join().unwrap(), received);
        }
    };
}

#[test]
fn everything_taken_in_comes_out_at_the_close() {
    explore(drain_against_push!(crate::sound::inbox));
}

#[test]
fn a_torn_close_is_noticed() {
    must_fail("a_torn_close_is_noticed", drain_against_push!(crate::torn_close::inbox));
}

/// A receiver that dies with messages in its mailbox drops each once, against a sender that is just coming.
#[test]
fn a_dropped_receiver_leaves_nobody_waiting() {
    explore(|| {
        let (inbox, receiver) = sound::inbox::Inbox::new(2, Box::new(|| ()));
        let sender = loom::thread::spawn(move || {
            let (reply, ticket) = sound::answer::ask::<u32>();
            match inbox.push(reply) {
                Ok(()) => assert!(ticket.wait().is_err()),
                Err(sound::inbox::Refused::Closed(_)) => {}
                Err(sound::inbox::Refused::Full(_)) => panic!("there is room for two"),
            }
        });
        drop(receiver);
        sender.join().unwrap();
    });
}

macro_rules! an_answer_arrives {
    ($answer:path) => {
        || {
            use $answer as answer;
            let (reply, ticket) = answer::ask();
            loom::thread::spawn(move || reply.send(7u32));
            assert_eq!(ticket.wait(), Ok(7));
        }
    };
}

#[test]
fn an_answer_wakes_its_waiter() {
    explore(an_answer_arrives!(crate::sound::answer));
}

#[test]
fn a_waiter_that_is_not_woken_is_noticed() {
    must_fail("a_waiter_that_is_not_woken_is_noticed", an_answer_arrives!(crate::no_unpark::answer));
}

#[test]
fn a_reply_that_is_dropped_wakes_its_waiter() {
    explore(|| {
        let (reply, ticket) = sound::answer::ask::<u32>();
        loom::thread::spawn(move || drop(reply));
        assert_eq!(ticket.wait(), Err(sound::answer::Abandoned));
    });
}

/// A polled answer: the waker that was left last is woken, whichever way the race goes.
#[test]
fn an_answer_wakes_its_task() {
    struct Unpark(loom::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    explore(|| {
        let (reply, mut ticket) = sound::answer::ask();
        loom::thread::spawn(move || reply.send(7u32));
        let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(loom::thread::current())));
        let answer = loop {
            match ticket.poll(Some(&waker)) {
                Some(answer) => break answer,
                None => loom::thread::park(),
            }
        };
        assert_eq!(answer, Ok(7));
    });
}

/// L14: an answer against the drop of its ticket. It is dropped exactly once, by one of the two.
#[test]
fn a_detached_answer_is_dropped_once() {
    struct Counted(loom::sync::Arc<loom::sync::atomic::AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, loom::sync::atomic::Ordering::SeqCst);
        }
    }
    explore(|| {
        let drops = loom::sync::Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let (reply, mut ticket) = sound::answer::ask();
        let counted = Counted(loom::sync::Arc::clone(&drops));
        let answerer = loom::thread::spawn(move || reply.send(counted));
        let taken = ticket.poll(None);
        drop(ticket);
        answerer.join().unwrap();
        drop(taken);
        assert_eq!(drops.load(loom::sync::atomic::Ordering::SeqCst), 1);
    });
}
