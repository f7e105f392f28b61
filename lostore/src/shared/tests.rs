use super::*;
use crate::fake::{Disk, Fake, Marks, get, put, value};
use crate::port::DevicePort;
use crate::shard::NoFront;
use domains::Level;

fn shared(options: &ShardOptions, lag: u32) -> (Shared, Arc<Marks>) {
    let fake = Fake::new();
    let marks = Arc::clone(&fake.marks);
    let make = move || Ok((fake, DevicePort::new(Disk::new(lag)), NoFront::default()));
    (Shared::start(options, make).unwrap(), marks)
}

fn sleepy() -> ShardOptions {
    ShardOptions { poll: Duration::ZERO, spin: Duration::ZERO, ..ShardOptions::default() }
}

fn wait(backend: &Shared, op: Op) -> Result<Answer, Error> {
    backend.wait(backend.start(op)?)
}

#[test]
fn many_threads_each_read_what_they_wrote() {
    for options in [sleepy(), ShardOptions::default()] {
        let (backend, marks) = shared(&options, 1);
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let backend = backend.clone();
                scope.spawn(move || {
                    for round in 0..50u8 {
                        let key = [if round % 2 == 0 { b"cold".as_slice() } else { b"warm" }, &[thread]].concat();
                        wait(&backend, put(&key, &[round], Level::Committed)).unwrap();
                        assert_eq!(value(wait(&backend, get(&key))), Some(vec![round]));
                    }
                });
            }
        });
        drop(backend);
        assert_eq!(marks.persistent.load(std::sync::atomic::Ordering::SeqCst), 200, "closing makes all persistent");
    }
}

/// P4: nobody calls again, and the epoch still ends by its timer.
#[test]
fn an_idle_shard_ends_its_epoch_by_the_clock() {
    let (backend, _) = shared(&sleepy(), 0);
    let answer = wait(&backend, put(b"a", b"1", Level::Persistent)).unwrap();
    let Answer::Committed(committed) = answer else { panic!("{answer:?}") };
    assert!(backend.horizon().persistent >= committed.epoch, "the horizon is no older than an answer");
}

#[test]
fn an_idle_shard_sleeps() {
    let (backend, marks) = shared(&sleepy(), 0);
    wait(&backend, put(b"a", b"1", Level::Persistent)).unwrap();
    let turns = marks.turns.load(Ordering::SeqCst);
    assert!(turns < 100, "{turns} turns for one commit");
}

#[test]
fn a_dropped_pending_still_happens() {
    let (backend, marks) = shared(&sleepy(), 2);
    for _ in 0..10 {
        drop(backend.start(put(b"a", b"1", Level::Persistent)).unwrap());
        drop(backend.start(get(b"cold")).unwrap());
    }
    backend.close().unwrap();
    assert_eq!(marks.persistent.load(Ordering::SeqCst), 10);
    let error = backend.start(get(b"a")).unwrap_err();
    assert!(matches!(error, Error::Domain(domains::Error::Closing)), "{error}");
}

/// P5: a commit that still reads what it compares when the store is closed is applied behind the force, and is forced too.
#[test]
fn what_commits_while_the_shard_closes_is_persistent() {
    for lag in 0..8 {
        let (backend, marks) = shared(&sleepy(), lag);
        let pending = backend.start(put(b"late", b"1", Level::Committed)).unwrap();
        let other = backend.clone();
        backend.close().unwrap();
        assert!(matches!(other.wait(pending), Ok(Answer::Committed(_))));
        assert_eq!(marks.persistent.load(Ordering::SeqCst), 1, "lag {lag}");
    }
}

#[test]
fn pending_operations_outlive_the_handle() {
    let (backend, _) = shared(&sleepy(), 2);
    let pending = backend.start(put(b"a", b"1", Level::Persistent)).unwrap();
    let other = backend.clone();
    drop(backend);
    assert!(other.wait(pending).is_ok());
}

/// The closing shard answers everything it took in; what comes too late is refused; nobody hangs.
#[test]
fn closing_under_load_answers_everybody() {
    for round in 0..20 {
        let (backend, _) = shared(&if round % 2 == 0 { sleepy() } else { ShardOptions::default() }, 1);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let backend = backend.clone();
                scope.spawn(move || {
                    loop {
                        match wait(&backend, put(b"a", b"1", Level::Persistent)) {
                            Ok(_) => {}
                            Err(Error::Domain(domains::Error::Closing)) => return,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            for _ in 0..5 {
                wait(&backend, get(b"cold")).unwrap();
            }
            backend.close().unwrap();
        });
    }
}

#[test]
fn a_panic_reaches_everybody_and_nobody_hangs() {
    let (backend, _) = shared(&sleepy(), u32::MAX);
    let waiting = backend.start(Op::Await { epoch: segments::EpochId(u64::MAX) }).unwrap();
    let culprit = backend.start(get(b"panic")).unwrap();
    assert!(matches!(backend.wait(culprit), Err(Error::Stopped)));
    assert!(matches!(backend.wait(waiting), Err(Error::Stopped)));
    let late = wait(&backend, get(b"a")).unwrap_err();
    assert!(matches!(late, Error::Stopped), "{late}");
    assert!(matches!(backend.join(), Err(Error::Stopped)));
}

#[test]
fn what_fails_or_panics_at_the_start_is_told() {
    let failed = Shared::start::<Fake, DevicePort<Disk>, NoFront>(&sleepy(), || {
        Err(Error::Domain(domains::Error::NotAStore { why: "it is a test".into() }))
    });
    assert!(matches!(failed, Err(Error::Domain(domains::Error::NotAStore { .. }))));
    let panicked = Shared::start::<Fake, DevicePort<Disk>, NoFront>(&sleepy(), || panic!("as the test wanted"));
    assert!(matches!(panicked, Err(Error::Stopped)));
}

#[test]
fn a_future_is_woken() {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (backend, _) = shared(&sleepy(), 3);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut pending = backend.start(put(b"a", b"1", Level::Persistent)).unwrap();
    let answer = loop {
        match backend.poll(&mut pending, Some(&waker)) {
            Poll::Ready(answer) => break answer,
            Poll::Pending => std::thread::park(),
        }
    };
    assert!(matches!(answer, Ok(Answer::Committed(_))));
}

#[test]
fn a_full_mailbox_is_an_answer() {
    let (inbox, mut receiver) = Inbox::new(2, Box::new(|| ()));
    assert_eq!(receiver.pop(), None);
    for lap in 0..3 {
        inbox.push(lap).unwrap();
        inbox.push(lap + 10).unwrap();
        assert_eq!(inbox.push(99), Err(Refused::Full(99)));
        assert_eq!((receiver.pop(), receiver.pop(), receiver.pop()), (Some(lap), Some(lap + 10), None));
    }
    inbox.push(7).unwrap();
    inbox.close();
    assert_eq!(inbox.push(8), Err(Refused::Closed(8)));
    assert!(!receiver.is_drained());
    assert_eq!(receiver.pop(), Some(7));
    assert!(receiver.is_drained());
}
