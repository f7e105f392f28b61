use super::*;
use crate::fake::{Disk, Fake, TABLE, get, put, value};
use domains::Level;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Wake;

fn inline(lag: u32) -> Inline<Fake, Disk> {
    Inline::new(Fake::new(), Disk::new(lag))
}

fn wait(backend: &Inline<Fake, Disk>, op: Op) -> Result<Answer, Error> {
    backend.wait(backend.start(op)?)
}

#[test]
fn memory_answers_within_start() {
    let backend = inline(0);
    let pending = backend.start(put(b"a", b"1", Level::Committed)).unwrap();
    assert!(matches!(pending.0, State::Answered(Ok(Answer::Committed(_)))));
    let mut pending = backend.start(get(b"a")).unwrap();
    let Poll::Ready(answer) = backend.poll(&mut pending, None) else { panic!("a lookup in memory waited") };
    assert_eq!(value(answer), Some(b"1".to_vec()));
    assert_eq!(backend.waiting.borrow().len(), 0);
}

#[test]
fn a_cold_lookup_waits_for_the_device_and_each_waiter_gets_its_own() {
    let backend = inline(3);
    for key in [b"cold1", b"cold2"] {
        wait(&backend, put(key, key, Level::Committed)).unwrap();
    }
    let one = backend.start(get(b"cold1")).unwrap();
    let two = backend.start(get(b"cold2")).unwrap();
    let gone = backend.start(get(b"cold3")).unwrap();
    assert!(matches!(two.0, State::Waiting { .. }));
    drop(gone);
    assert_eq!(value(backend.wait(two)), Some(b"cold2".to_vec()));
    assert_eq!(value(backend.wait(one)), Some(b"cold1".to_vec()));
    drop(backend.start(get(b"cold3")).unwrap());
    wait(&backend, Op::Force).unwrap();
    assert_eq!(backend.waiting.borrow().len(), 0, "detached operations leave nothing behind");
}

/// Somebody who waits for persistence is the only one who could still add to the epoch, so there is nothing to wait for.
#[test]
fn a_persistent_commit_ends_its_epoch_itself() {
    let backend = inline(0);
    let marks = std::sync::Arc::clone(&backend.core.borrow().domain.marks);
    for round in 1..=3 {
        let answer = wait(&backend, put(b"a", b"1", Level::Persistent)).unwrap();
        let Answer::Committed(committed) = answer else { panic!("{answer:?}") };
        assert_eq!(committed.persistence, domains::Persistence::Persistent);
        assert_eq!(backend.horizon().persistent, committed.epoch);
        assert_eq!(marks.persistent.load(Ordering::SeqCst), round);
    }
}

#[test]
fn an_epoch_ends_by_its_timer_when_the_caller_comes_back() {
    let backend = inline(0);
    let before = backend.horizon();
    wait(&backend, put(b"a", b"1", Level::Committed)).unwrap();
    while backend.horizon() == before {
        backend.lookup_in_place(TABLE, b"a", &mut |pair| assert!(pair.is_some())).unwrap();
    }
}

#[test]
fn dropping_makes_everything_persistent() {
    let backend = inline(2);
    let marks = std::sync::Arc::clone(&backend.core.borrow().domain.marks);
    let pending = backend.start(put(b"a", b"1", Level::Persistent)).unwrap();
    wait(&backend, put(b"b", b"1", Level::Committed)).unwrap();
    drop(backend);
    assert_eq!(marks.persistent.load(Ordering::SeqCst), 2);
    drop(pending);
}

#[test]
fn errors_come_through_and_in_place_falls_back_to_an_operation() {
    let backend = inline(1);
    let error = wait(&backend, Op::DestroyTable { name: "t".into() }).unwrap_err();
    assert!(matches!(error, Error::Domain(domains::Error::NoSuchTable { .. })), "{error}");
    wait(&backend, put(b"cold", b"1", Level::Committed)).unwrap();
    let mut seen = Vec::new();
    backend.lookup_in_place(TABLE, b"cold", &mut |pair| seen.push(pair.map(|pair| pair.value.to_vec()))).unwrap();
    backend.lookup_in_place(TABLE, b"none", &mut |pair| seen.push(pair.map(|pair| pair.value.to_vec()))).unwrap();
    assert_eq!(seen, [Some(b"1".to_vec()), None]);
}

#[test]
fn after_a_panic_every_call_says_so() {
    let backend = inline(0);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| backend.start(get(b"panic"))));
    assert!(panicked.is_err());
    assert!(matches!(backend.start(get(b"a")), Err(Error::Stopped)));
    assert!(matches!(backend.lookup_in_place(TABLE, b"a", &mut |_| ()), Err(Error::Stopped)));
}

struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_polled_operation_asks_to_be_polled_again() {
    let backend = inline(2);
    let count = std::sync::Arc::new(Count(AtomicU64::new(0)));
    let waker = Waker::from(std::sync::Arc::clone(&count));
    let mut pending = backend.start(get(b"cold")).unwrap();
    let mut polls = 0;
    while backend.poll(&mut pending, Some(&waker)).is_pending() {
        polls += 1;
        assert_eq!(count.0.load(Ordering::SeqCst), polls);
    }
    assert!(polls > 0);
}
