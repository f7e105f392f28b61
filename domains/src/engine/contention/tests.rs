use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn key(number: u128) -> KeyHash {
    // Spread as a keyed hash is.
    KeyHash((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// An operation of an asker that has the same number.
fn by(number: u32) -> (u32, Asker) {
    (number, Asker::Connection(number.into()))
}

/// One step of the world around the queues.
#[derive(Clone, Copy, Debug)]
enum Event {
    Comes(u8, u8),
    Fails(u8, u8),
    Applied(u8, u8),
    Gone(u8),
    Passes(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let (keys, askers) = (0..5_u8, 0..8_u8);
    prop_oneof![
        3 => (keys.clone(), askers.clone()).prop_map(|(key, asker)| Event::Comes(key, asker)),
        3 => (keys.clone(), askers.clone()).prop_map(|(key, asker)| Event::Fails(key, asker)),
        2 => (keys, askers.clone()).prop_map(|(key, asker)| Event::Applied(key, asker)),
        1 => askers.prop_map(Event::Gone),
        1 => (1..9_000_000_u32).prop_map(Event::Passes),
    ]
}

/// Who waits: when it came, in the order in which it did.
#[derive(Default)]
struct Waiting {
    unseen: BTreeMap<u32, u64>,
    failed: BTreeMap<u32, (u8, u64)>,
}

impl Waiting {
    /// Takes out who was released, and holds each wait against its bound.
    fn released(&mut self, contention: &mut Contention, now: u64, all: bool) -> Result<(), TestCaseError> {
        for slot in contention.take_released() {
            if let Some(since) = self.unseen.remove(&slot) {
                prop_assert!(now - since <= LEASE_NANOS_MAX, "{slot} was not looked at for {} ns", now - since);
                continue;
            }
            let Some((key, since)) = self.failed.remove(&slot) else {
                return Err(TestCaseError::fail(format!("{slot} was released and did not wait")));
            };
            prop_assert!(now - since <= WAIT_NANOS_MAX, "{slot} was not told for {} ns", now - since);
            let overtaken = self.failed.iter().find(|(other, (of, _))| *of == key && **other < slot);
            prop_assert!(all || overtaken.is_none(), "{slot} was told before {overtaken:?}");
        }
        Ok(())
    }
}

proptest! {
    /// Who fails is told first come first served, key by key; nobody waits longer than the bounds, and nobody is left.
    #[test]
    fn queues_are_fair_and_waits_are_bounded(events in prop::collection::vec(event(), 1..400)) {
        let (mut contention, mut now, mut slot, mut waiting) = (Contention::new(), 0_u64, 0_u32, Waiting::default());
        for event in events {
            slot += 1;
            let asker = |asker: u8| Asker::Thread(asker.into());
            let mut gone = false;
            match event {
                Event::Comes(of, who) => {
                    if contention.comes(key(of.into()), (slot, asker(who)), now) == Verdict::Wait {
                        waiting.unseen.insert(slot, now);
                    }
                }
                Event::Fails(of, who) => {
                    if contention.fails(key(of.into()), (slot, asker(who)), now) == Verdict::Wait {
                        waiting.failed.insert(slot, (of, now));
                    }
                }
                Event::Applied(of, who) => contention.applied(key(of.into()), asker(who), who % 4 > 0, now),
                Event::Gone(who) => {
                    contention.gone(asker(who), now);
                    gone = true;
                }
                // An executor comes when it was asked to, not later.
                Event::Passes(nanos) => {
                    let end = now + u64::from(nanos);
                    while let Some(wake) = contention.next_wake().filter(|wake| *wake <= end) {
                        now = wake;
                        contention.turn(now);
                        waiting.released(&mut contention, now, false)?;
                    }
                    now = end;
                    contention.turn(now);
                }
            }
            waiting.released(&mut contention, now, gone)?;
            let longest = contention.keys.values().map(|hot| hot.queue.len().max(hot.unseen.len()).max(hot.told.len()));
            prop_assert!(longest.max().unwrap_or(0) <= QUEUE_MAX && contention.hot_keys() <= KEYS_MAX);
        }
        while let Some(wake) = contention.next_wake() {
            now = now.max(wake);
            contention.turn(now);
            waiting.released(&mut contention, now, false)?;
        }
        prop_assert!(waiting.unseen.is_empty() && waiting.failed.is_empty(), "nobody is left waiting");
    }
}

/// What a client of a storm waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Its next commit comes then.
    Away(u64),
    Unseen,
    Failed,
}

/// Clients that swap one key, each as soon as it has heard what became of its last swap.
struct Storm {
    contention: Contention,
    turns: bool,
    now: u64,
    version: u64,
    /// State, version that is believed to be there, swaps.
    clients: Vec<(State, u64, u64)>,
    failures: u64,
    /// How long an answer and the next commit are on their way: at least, and so much more at most.
    away: (u64, u64),
    random: u64,
}

impl Storm {
    fn new(clients: usize, away: (u64, u64), turns: bool) -> Self {
        let (contention, clients) = (Contention::new(), vec![(State::Away(0), 0, 0); clients]);
        Self { contention, turns, now: 0, version: 0, clients, failures: 0, away, random: 1 }
    }

    /// How many swaps the client with the fewest and that with the most have done when there were so many for each.
    fn run(&mut self, each: u64) -> (u64, u64) {
        let all = self.clients.len() as u64 * each;
        while self.version < all {
            let aways = self.clients.iter().filter_map(|client| match client.0 {
                State::Away(due) => Some(due),
                State::Unseen | State::Failed => None,
            });
            let next = aways.chain(self.contention.next_wake()).min().expect("somebody is to come");
            self.now = self.now.max(next);
            self.contention.turn(self.now);
            self.release();
            for client in 0..self.clients.len() {
                if matches!(self.clients[client].0, State::Away(due) if due <= self.now) {
                    self.come(client);
                }
            }
            self.release();
        }
        let won = || self.clients.iter().map(|client| client.2);
        (won().min().unwrap(), won().max().unwrap())
    }

    fn come(&mut self, client: usize) {
        let verdict = self.contention.comes(key(0), by(client.try_into().unwrap()), self.now);
        match verdict {
            Verdict::Wait => self.clients[client].0 = State::Unseen,
            Verdict::Now => self.look(client),
        }
    }

    fn look(&mut self, client: usize) {
        let (slot, asker) = by(client.try_into().unwrap());
        if self.clients[client].1 == self.version {
            self.version += 1;
            self.clients[client].2 += 1;
            self.contention.applied(key(0), asker, true, self.now);
            return self.tell(client);
        }
        self.failures += 1;
        let hot = self.contention.count(key(0), self.now) && self.turns;
        if hot && self.contention.fails(key(0), (slot, asker), self.now) == Verdict::Wait {
            self.clients[client].0 = State::Failed;
        } else {
            self.tell(client);
        }
    }

    fn tell(&mut self, client: usize) {
        // A linear congruential generator, after Knuth.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let away = self.away.0 + (self.random >> 33) % (self.away.1 + 1);
        self.clients[client] = (State::Away(self.now + away), self.version, self.clients[client].2);
    }

    fn release(&mut self) {
        loop {
            let released = self.contention.take_released();
            if released.is_empty() {
                return;
            }
            for slot in released {
                let client = slot as usize;
                match self.clients[client].0 {
                    State::Unseen => self.look(client),
                    State::Failed => self.tell(client),
                    State::Away(_) => panic!("{client} was released and did not wait"),
                }
            }
        }
    }
}

/// Whatever a round trip takes, up to the longest lease, and whether it is always the same or not.
#[test]
fn in_a_storm_everybody_has_a_quarter_of_the_fair_share() {
    let (each, micro) = (100, 1_000);
    let aways = [(10, 0), (10, 40), (200, 200), (900, 200), (1_000, 0), (3_000, 3_000), (5_000, 0), (7_000, 0)];
    for clients in [2, 3, 10, 60, 64, 200] {
        for (least, more) in aways {
            let away = (least * micro, more * micro);
            // Where a turn for each takes longer than anybody waits, some are told without one.
            if clients as u64 * (away.0 + away.1) * 10 > WAIT_NANOS_MAX * 9 {
                continue;
            }
            let mut storm = Storm::new(clients, away, true);
            let (fewest, most) = storm.run(each);
            assert!(fewest * 4 >= each, "{clients} clients, {least} µs and {more}: {fewest} to {most} of {each}");
            let failures = storm.failures / storm.version;
            assert!(failures <= 3, "{clients} clients, {least} µs and {more}: {failures} failures a swap");
        }
    }
}

#[test]
fn without_turns_the_same_storm_starves() {
    let mut storm = Storm::new(64, (10_000, 0), false);
    assert_eq!(storm.run(100).0, 0);
    assert!(storm.failures / storm.version > 30, "{} failures for {} swaps", storm.failures, storm.version);
}

#[test]
fn a_key_is_hot_after_many_failures_in_a_short_time_and_cools() {
    let mut contention = Contention::new();
    let hot = |contention: &mut Contention, now| (0..HOT_FAILURES).filter(|_| contention.count(key(1), now)).count();
    assert_eq!(hot(&mut contention, 0), 1, "the last of so many made it hot");
    assert!(contention.count(key(1), WINDOW_NANOS), "it is in the window after");
    assert!(!contention.count(key(2), WINDOW_NANOS), "another key is not");
    assert!(!contention.count(key(1), 3 * WINDOW_NANOS), "two windows later it is forgotten");
    assert_eq!(hot(&mut contention, 10 * WINDOW_NANOS), 1);
    // Spread over time they never add up.
    for tick in 0..1000 {
        assert!(!contention.count(key(3), 20 * WINDOW_NANOS + tick * WINDOW_NANOS / 9), "{tick}");
    }
}

#[test]
fn counters_do_not_run_over() {
    let mut contention = Contention::new();
    assert!((0..1000).filter(|_| contention.count(key(1), 0)).count() > 900);
}

#[test]
fn a_full_queue_and_too_many_keys_wait_for_nobody() {
    let mut contention = Contention::new();
    assert_eq!(contention.fails(key(0), by(0), 0), Verdict::Now, "the first has the turn");
    for slot in (1..).take(QUEUE_MAX) {
        assert_eq!(contention.fails(key(0), by(slot), 0), Verdict::Wait);
        assert_eq!(contention.comes(key(0), by(slot), 0), Verdict::Wait);
    }
    assert_eq!(contention.fails(key(0), by(9999), 0), Verdict::Now);
    assert_eq!(contention.comes(key(0), by(9999), 0), Verdict::Now);
    for other in 1..2 * KEYS_MAX as u128 {
        assert_eq!(contention.fails(key(other), by(1), 0), Verdict::Now);
    }
    assert_eq!(contention.hot_keys(), KEYS_MAX);
    assert_eq!(contention.fails(key(1000), by(1), 0), Verdict::Now, "without a turn there is no queue");
    contention.applied(key(1), by(1).1, true, 0);
    assert_eq!(contention.fails(key(1000), by(1), 0), Verdict::Now, "it has the place of a key that rests");
    assert_eq!(contention.fails(key(1000), by(2), 0), Verdict::Wait);
    assert_eq!(contention.hot_keys(), KEYS_MAX);
}

#[test]
fn the_next_is_told_when_the_key_has_changed_or_the_lease_is_over() {
    let mut contention = Contention::new();
    for slot in [7, 8, 9] {
        let _ = contention.fails(key(0), by(slot), 0);
    }
    assert_eq!(contention.take_released(), [0; 0]);
    contention.applied(key(1), by(7).1, true, 10);
    contention.applied(key(0), by(9).1, false, 10);
    assert_eq!(contention.take_released(), [0; 0], "another key, and somebody without the turn who changed nothing");
    contention.applied(key(0), by(7).1, true, 10);
    assert_eq!(contention.take_released(), [8], "7 has had its answer at once");
    assert_eq!(contention.next_wake(), Some(10 + LEASE_NANOS));
    contention.turn(10 + LEASE_NANOS - 1);
    assert_eq!(contention.take_released(), [0; 0]);
    contention.turn(10 + LEASE_NANOS);
    assert_eq!(contention.take_released(), [9]);
    assert_eq!(contention.next_wake(), None, "nobody waits");
    assert_eq!((contention.waits, contention.lease_ends), (2, 1));
    contention.applied(key(0), by(9).1, false, 20 + LEASE_NANOS);
    contention.turn(20 + LEASE_NANOS + WINDOW_NANOS);
    assert!(contention.is_calm(), "9 had the turn and was done with it");
}

/// Who has changed the key is not looked at before who was told; who was told is expected, also when it is late.
#[test]
fn who_was_told_comes_before_who_has_won() {
    let mut contention = Contention::new();
    let (first, second) = (by(1), by(2));
    assert_eq!(contention.fails(key(0), first, 0), Verdict::Now);
    assert_eq!(contention.fails(key(0), second, 0), Verdict::Wait);
    assert_eq!(contention.comes(key(0), first, 10), Verdict::Now, "it is its turn");
    contention.applied(key(0), first.1, true, 10);
    assert_eq!(contention.take_released(), [2]);
    assert_eq!(contention.comes(key(0), first, 20), Verdict::Wait, "the second was told and not the first");
    contention.turn(10 + LEASE_NANOS);
    assert_eq!(contention.take_released(), [1], "for one lease");
    assert_eq!(contention.next_wake(), None);
    // The key rests, and the second is still expected: once more, and for one lease.
    let late = 10 + LEASE_NANOS + WINDOW_NANOS / 2;
    assert_eq!(contention.comes(key(0), first, late), Verdict::Wait);
    assert_eq!(contention.comes(key(0), second, late), Verdict::Now);
    contention.turn(late + LEASE_NANOS);
    assert_eq!(contention.take_released(), [1]);
    assert_eq!(contention.comes(key(0), first, late + LEASE_NANOS), Verdict::Now, "nobody has come");
}

#[test]
fn a_lease_becomes_as_long_as_those_who_are_late_need() {
    let mut contention = Contention::new();
    let (one, two) = (by(1), by(2));
    let _ = contention.fails(key(0), one, 0);
    let _ = contention.fails(key(0), two, 0);
    contention.turn(LEASE_NANOS);
    assert_eq!(contention.take_released(), [2], "the first is late");
    assert_eq!(contention.comes(key(0), one, LEASE_NANOS + 1), Verdict::Now);
    contention.applied(key(0), one.1, true, LEASE_NANOS + 1);
    let _ = contention.fails(key(0), two, LEASE_NANOS + 2);
    let _ = contention.fails(key(0), one, LEASE_NANOS + 2);
    assert_eq!(contention.next_wake(), Some(LEASE_NANOS + 2 + 2 * LEASE_NANOS), "twice as long");
}

#[test]
fn who_is_gone_is_waited_for_no_more() {
    let mut contention = Contention::new();
    let _ = contention.fails(key(0), by(1), 0);
    let _ = contention.fails(key(0), by(2), 0);
    let _ = contention.comes(key(0), by(3), 0);
    let _ = contention.fails(key(0), by(4), 0);
    contention.gone(by(4).1, 0);
    assert_eq!(contention.take_released(), [4], "what it has asked is done");
    contention.gone(by(1).1, 0);
    assert_eq!(contention.take_released(), [3, 2], "its turn is over");
    contention.end();
    assert!(contention.is_calm());
}
