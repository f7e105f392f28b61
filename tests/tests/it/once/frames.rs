//! The verbs by hand, as a client of another language would speak them.

use crate::process::Daemon;
use crate::talk::Talk;
use wire::{
    Answer, Bytes, Change, CommitOptions, Expect, FEATURE_ONCE, Level, List, Op, Outcome, Part, RequestFate, Value,
};

const ME: [u8; 16] = *b"fedcba9876543210";

/// What a request came to: what is told of a commit, or a fault's code.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    Done,
    Opened(u64),
    Committed { epoch: u64, versions: Vec<wire::Version> },
    Identified { accepted: bool, attempt: u64, last: u64 },
    Fates(Vec<RequestFate>),
    Fault(u16),
}

/// A connection that asks under the client's numbers.
struct Asking(Talk);

impl Asking {
    fn new(daemon: &Daemon) -> Self {
        let talk = Talk::new(daemon, FEATURE_ONCE | 1 << 40);
        assert_eq!(talk.features, FEATURE_ONCE, "what both know");
        Self(talk)
    }

    fn ask(&mut self, op: Op<'_>) -> Told {
        self.0.ask(op, |outcome| match outcome {
            Outcome::Ok(Answer::Done) => Told::Done,
            Outcome::Ok(Answer::Opened { txn }) => Told::Opened(txn),
            Outcome::Ok(Answer::Committed { epoch, versions, .. }) => {
                Told::Committed { epoch, versions: versions.to_vec() }
            }
            Outcome::Ok(Answer::Identified { accepted, attempt, last, window, idle_ms }) => {
                assert_eq!((window, idle_ms), (256, 24 * 60 * 60 * 1_000));
                Told::Identified { accepted, attempt, last }
            }
            Outcome::Ok(Answer::Fates(fates)) => Told::Fates(fates.to_vec()),
            Outcome::Ok(other) => panic!("{other:?}"),
            Outcome::Err(fault) => {
                assert!(!fault.applied && !fault.message.is_empty());
                Told::Fault(fault.code)
            }
        })
    }

    fn identify(&mut self, attempt: u64) -> Told {
        self.ask(Op::Identify { client: ME, attempt })
    }

    fn add(&mut self, table: u32, request: u64) -> Told {
        self.ask(Op::CommitOnce { request, parts: letter(table), options: OPTIONS })
    }

    /// The same as an interactive transaction.
    fn add_in_steps(&mut self, table: u32, request: u64) -> Told {
        let Told::Opened(txn) = self.ask(Op::TxnOpen) else { panic!() };
        assert_eq!(self.ask(Op::TxnAdd { txn, parts: letter(table) }), Told::Done);
        let told = self.ask(Op::TxnCommitOnce { request, txn, options: OPTIONS });
        // The handle is gone; under its number the commit is answered as it was.
        let again = self.ask(Op::TxnCommitOnce { request, txn, options: OPTIONS });
        assert_eq!(again, if told == Told::Fault(310) { Told::Fault(509) } else { told.clone() });
        told
    }
}

const OPTIONS: CommitOptions = CommitOptions { level: Level::Persistent, force: true, notify: false };

fn letter(table: u32) -> List<Part<'static>, { wire::limits::PARTS_MAX }> {
    let change = Change::Append { value: Value::new(b"x"), expires_ms: None, compressed: false, lease_ms: None };
    List::new(vec![Part { table, key: Bytes(super::KEY), expect: Expect::Any, change }]).unwrap()
}

#[test]
fn a_client_that_writes_its_own_frames_is_told_what_became_of_each_request() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = super::begin(&dir.path().join("store"));
    let table = daemon.connect().open_raw("letters").unwrap().id().0;
    let mut talk = Asking::new(&daemon);
    assert_eq!(talk.add(table, 1), Told::Fault(521), "it has not said who it is");
    assert_eq!(talk.ask(Op::Fates { requests: List::new(vec![1]).unwrap() }), Told::Fault(521));
    assert_eq!(talk.identify(1), Told::Identified { accepted: true, attempt: 1, last: 0 });
    let first = talk.add(table, 1);
    assert_eq!(talk.add(table, 1), first);
    let second = talk.add_in_steps(table, 2);
    assert_eq!(talk.add(table, 2), second, "however it is sent");
    assert_eq!(super::letters(&daemon, super::KEY), 2);
    // Another connection of the client, or one that says so: the first is not heard any more.
    let mut late = std::mem::replace(&mut talk, Asking::new(&daemon));
    assert_eq!(talk.identify(1), Told::Identified { accepted: false, attempt: 1, last: 2 });
    assert_eq!(talk.add(table, 3), Told::Fault(521), "it was not accepted");
    assert_eq!(talk.identify(7), Told::Identified { accepted: true, attempt: 7, last: 2 });
    assert_eq!((late.add(table, 3), late.add(table, 1)), (Told::Fault(311), Told::Fault(311)));
    // All of it over a kill.
    daemon.kill();
    daemon = Daemon::start(&dir.path().join("store"));
    talk = Asking::new(&daemon);
    assert_eq!(talk.identify(8), Told::Identified { accepted: true, attempt: 8, last: 2 });
    assert_eq!((talk.add(table, 1), talk.add(table, 2)), (first, second));
    for request in 3..=258 {
        assert!(matches!(talk.add(table, request), Told::Committed { .. }), "request {request}");
    }
    let Told::Fates(fates) = talk.ask(Op::Fates { requests: List::new(vec![2, 3, 258, 259]).unwrap() }) else {
        panic!()
    };
    assert!(matches!(
        fates[..],
        [RequestFate::Forgotten, RequestFate::Applied { .. }, RequestFate::Applied { .. }, RequestFate::NotApplied]
    ));
    assert_eq!((talk.add(table, 2), talk.add_in_steps(table, 1)), (Told::Fault(310), Told::Fault(310)));
    assert_eq!(super::letters(&daemon, super::KEY), 258);
    daemon.stop();
}
