//! Requests that are applied once: sent again in the same life, in another, after a crash, by who does not speak for the client any
//! more, and so late that nothing is known of them.

use super::*;
use crate::seam::{ClientId, Committed, Identified, Once, REQUEST_WINDOW, RequestFate};
use segments::EpochId;

const REQUESTS: TableId = TableId(u32::MAX);
const ME: ClientId = ClientId(*b"fedcba9876543210");

impl<D: Device> Bench<D> {
    fn identify(&mut self, client: ClientId, attempt: u64) -> Result<Identified, Error> {
        let Answer::Identified(identified) = self.call(Op::Identify { client, attempt })? else { panic!() };
        Ok(identified)
    }

    /// Adds a letter to a pair: what is applied twice is seen.
    fn add(&mut self, table: TableId, once: Once, level: Level) -> Result<Committed, Error> {
        let Answer::Committed(committed) = self.call(Op::CommitOnce { set: adding(table), level, once })? else {
            panic!()
        };
        Ok(committed)
    }

    fn fate(&mut self, client: ClientId, request: u64) -> RequestFate {
        let Answer::Fates(fates) = self.call(Op::Fates { client, requests: vec![request] }).unwrap() else { panic!() };
        assert_eq!(fates.len(), 1);
        fates.into_iter().next().unwrap()
    }

    fn letters(&mut self, table: TableId) -> usize {
        self.get(table, b"letters").map_or(0, |pair| pair.value.len())
    }
}

fn adding(table: TableId) -> CommitSet {
    let mut set = CommitSet::new();
    set.append(table, b"letters", b"x", PutOptions::default(), Expect::Any).unwrap();
    set.upsert(table, b"other", b"o", PutOptions::default()).unwrap();
    set
}

fn once(attempt: u64, request: u64) -> Once {
    Once { client: ME, attempt, request }
}

fn with_table(config: Config, home: TableHome) -> (Bench, TableId) {
    let mut bench = Bench::new(config);
    let table = bench.create("letters", TableKind::Hash, home);
    (bench, table)
}

#[test]
fn what_comes_again_is_applied_once_and_answered_as_before() {
    let (mut bench, table) = with_table(tiny(), TableHome::Persistent);
    let identified = bench.identify(ME, 1).unwrap();
    let idle_ms = bench.config.client_idle_ms;
    assert_eq!(identified, Identified { accepted: true, attempt: 1, last: 0, idle_ms });
    let first = bench.add(table, once(1, 1), Level::Committed).unwrap();
    assert_eq!(first.versions.as_slice().len(), 2);
    assert_eq!(bench.add(table, once(1, 1), Level::Committed), Ok(first.clone()));
    // Asked to wait for its persistence, it does, as the first would have.
    let again = bench.add(table, once(1, 1), Level::Persistent).unwrap();
    let persistent = Committed { persistence: Persistence::Persistent, ..first };
    assert_eq!(again, persistent);
    assert_eq!((bench.letters(table), bench.fate(ME, 1)), (1, RequestFate::Applied(persistent.clone())));
    assert_eq!(bench.fate(ME, 2), RequestFate::NotApplied);
    // The same in another life, from the log, and from a summary.
    bench.reopen();
    assert_eq!(bench.identify(ME, 1).unwrap().last, 1, "the attempts of another life are over");
    assert_eq!(bench.add(table, once(1, 1), Level::Committed), Ok(persistent));
    assert_eq!(bench.letters(table), 1);
}

#[test]
fn requests_survive_exactly_as_their_effects_do() {
    let (mut bench, table) = with_table(tiny(), TableHome::Persistent);
    bench.identify(ME, 1).unwrap();
    bench.add(table, once(1, 1), Level::Persistent).unwrap();
    bench.add(table, once(1, 2), Level::Committed).unwrap();
    assert_eq!(bench.letters(table), 2);
    // The device has nothing of the second: it is lost with the open life.
    bench.reopen();
    assert_eq!(bench.letters(table), 1);
    bench.identify(ME, 2).unwrap();
    assert!(matches!(bench.fate(ME, 1), RequestFate::Applied(_)));
    assert_eq!(bench.fate(ME, 2), RequestFate::NotApplied);
    bench.add(table, once(2, 2), Level::Persistent).unwrap();
    assert_eq!(bench.letters(table), 2);
}

#[test]
fn what_was_refused_or_changed_nothing_is_as_if_it_had_not_come() {
    let (mut bench, table) = with_table(tiny(), TableHome::Persistent);
    bench.identify(ME, 1).unwrap();
    let mut set = CommitSet::new();
    set.update(table, b"letters", b"y", PutOptions::default()).unwrap();
    let update = || Op::CommitOnce { set: set.clone(), level: Level::Committed, once: once(1, 1) };
    assert!(matches!(bench.call(update()), Err(Error::CompareFailed { .. })));
    assert_eq!(bench.fate(ME, 1), RequestFate::NotApplied);
    bench.put(table, b"letters", b"");
    assert!(matches!(bench.call(update()), Ok(Answer::Committed(_))));
    assert_eq!(bench.letters(table), 1);
}

#[test]
fn an_earlier_attempt_is_not_heard_any_more() {
    let (mut bench, table) = with_table(tiny(), TableHome::Persistent);
    let unknown = bench.add(table, once(1, 1), Level::Committed);
    assert_eq!(unknown, Err(Error::NotTheClient { attempt: 1, accepted: 0 }));
    assert!(bench.identify(ME, 3).unwrap().accepted);
    for attempt in [2, 3] {
        let refused = bench.identify(ME, attempt).unwrap();
        assert_eq!((refused.accepted, refused.attempt), (false, 3), "attempt {attempt} comes too late");
    }
    assert!(bench.identify(ME, 4).unwrap().accepted);
    let late = bench.add(table, once(3, 1), Level::Committed);
    assert_eq!(late, Err(Error::NotTheClient { attempt: 3, accepted: 4 }));
    assert_eq!((bench.letters(table), bench.fate(ME, 1)), (0, RequestFate::NotApplied));
    // One that waits behind others when the later attempt comes is refused in its turn: its fate, once told, stays so.
    bench.engine.submit(OpId(1 << 40), waits_for_room(table), bench.now);
    let late = Op::CommitOnce { set: adding(table), level: Level::Committed, once: once(4, 2) };
    bench.engine.submit(OpId(1 << 41), late, bench.now);
    assert!(bench.identify(ME, 5).unwrap().accepted);
    assert_eq!(bench.fate(ME, 2), RequestFate::NotApplied);
    bench.force();
    assert_eq!((bench.letters(table), bench.fate(ME, 2)), (0, RequestFate::NotApplied));
}

/// A commit of more pages than the tail of a small log has room for.
fn waits_for_room(table: TableId) -> Op {
    let mut set = CommitSet::new();
    set.upsert(table, b"large", &[7; 64 << 10], PutOptions::default()).unwrap();
    Op::Commit { set, level: Level::Committed }
}

#[test]
fn the_window_is_bounded_and_says_when_it_is_left() {
    let (mut bench, table) = with_table(tiny(), TableHome::Persistent);
    bench.identify(ME, 1).unwrap();
    let window = u64::from(REQUEST_WINDOW);
    for request in 2..=2 * window {
        bench.add(table, once(1, request), Level::Committed).unwrap();
    }
    let letters = bench.letters(table);
    for _ in 0..2 {
        // 1 has the place that 257 has taken; all of the window are told.
        let forgotten = bench.add(table, once(1, 1), Level::Committed);
        assert_eq!(forgotten, Err(Error::RequestForgotten { request: 1, by: window + 1 }));
        assert_eq!(bench.fate(ME, 1), RequestFate::Forgotten);
        for request in window + 1..=2 * window {
            assert!(matches!(bench.fate(ME, request), RequestFate::Applied(_)), "request {request}");
        }
        assert_eq!(bench.letters(table), letters);
        assert_eq!(bench.all(REQUESTS, 1000).len() as u64, window, "as many as the window has places");
        bench.force();
        bench.reopen();
        assert_eq!(bench.identify(ME, 1).unwrap().last, 2 * window);
    }
    let none = bench.add(table, once(1, 0), Level::Committed);
    assert!(matches!(none, Err(Error::Limit { .. })), "{none:?}");
}

#[test]
fn the_idlest_client_makes_room_and_nobody_else() {
    let config = Config { clients_max: 3, client_idle_ms: 1_000, ..tiny() };
    let (mut bench, table) = with_table(config, TableHome::Persistent);
    let client = |number: u8| ClientId([number; 16]);
    for number in 1..=3 {
        assert!(bench.identify(client(number), 1).unwrap().accepted);
        let once = Once { client: client(number), attempt: 1, request: 1 };
        bench.add(table, once, Level::Persistent).unwrap();
    }
    let full = bench.identify(client(4), 1);
    assert_eq!(full, Err(Error::ClientsFull { clients: 3, idle_ms: 1_000 }));
    // Over a restart all are remembered, and count as heard of when the first came.
    bench.reopen();
    assert!(bench.identify(client(4), 1).is_err());
    bench.now.nanos += 2_000_000_000;
    for number in [1, 3] {
        assert_eq!(bench.identify(client(number), 1).unwrap().last, 1);
    }
    assert_eq!(bench.identify(client(4), 1).unwrap().last, 0);
    bench.force();
    assert_eq!(bench.all(REQUESTS, 10).len(), 2, "what was remembered of the one that went is deleted");
    assert!(bench.identify(client(2), 1).is_err(), "now the others were heard of lately");
}

#[test]
fn volatile_changes_are_remembered_as_long_as_they_last() {
    let (mut bench, table) = with_table(tiny(), TableHome::Volatile);
    bench.identify(ME, 1).unwrap();
    let first = bench.add(table, once(1, 1), Level::Persistent).unwrap();
    assert_eq!(first.persistence, Persistence::Volatile);
    assert_eq!(bench.add(table, once(1, 1), Level::Persistent), Ok(first));
    assert_eq!(bench.letters(table), 1);
    bench.force();
    bench.reopen();
    bench.identify(ME, 1).unwrap();
    assert_eq!(bench.fate(ME, 1), RequestFate::NotApplied, "its effect is gone, and so is it");
    bench.add(table, once(1, 1), Level::Persistent).unwrap();
    assert_eq!(bench.letters(table), 1);
}

#[test]
fn nobody_else_writes_what_is_remembered() {
    let (mut bench, table) = with_table(tiny(), TableHome::Persistent);
    let mut set = CommitSet::new();
    set.upsert(REQUESTS, b"key", b"value", PutOptions::default()).unwrap();
    let refused = bench.commit(set, Level::Committed);
    assert!(matches!(refused, Err(Error::WrongKind { .. })), "{refused:?}");
    assert!(matches!(bench.identify(ME, 0), Err(Error::Limit { .. })));
    let many = Op::Fates { client: ME, requests: vec![1; 1025] };
    assert!(matches!(bench.call(many), Err(Error::Limit { value: 1025, .. })));
    let stranger = bench.call(Op::Fates { client: ME, requests: vec![1] });
    assert!(matches!(stranger, Err(Error::NotTheClient { .. })));
    assert_eq!(bench.letters(table), 0);
}

/// The bytes of a request in the log stand still: an older store is read by every later program.
#[test]
fn a_request_in_the_log_has_these_bytes() {
    let (mut bench, table) = with_table(tiny(), TableHome::Persistent);
    bench.identify(ME, 1).unwrap();
    let committed = bench.add(table, once(1, 0x0102_0304_0506_0708), Level::Persistent).unwrap();
    let [(key, value)] = <[_; 1]>::try_from(bench.all(REQUESTS, 10)).unwrap();
    assert_eq!(key, *b"fedcba9876543210\x08");
    assert_eq!(value, [8, 7, 6, 5, 4, 3, 2, 1, 2, 0, 0, 0]);
    let version = bench.get(REQUESTS, &key).unwrap().version;
    let last = *committed.versions.as_slice().last().unwrap();
    assert_eq!((version.epoch, version.ordinal.0), (last.epoch, last.ordinal.0 + 1));
    assert!(version.epoch > EpochId::default());
}
