use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn key(number: u128) -> KeyHash {
    // Spread as a keyed hash is.
    KeyHash((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// One step of the world around the queues.
#[derive(Clone, Copy, Debug)]
enum Event {
    Fails(u8),
    Changes(u8),
    Passes(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..5_u8).prop_map(Event::Fails),
        2 => (0..5_u8).prop_map(Event::Changes),
        1 => (1..2_000_000_u32).prop_map(Event::Passes),
    ]
}

proptest! {
    /// First come, first served, key by key; and whoever waits is served within the leases of those before it.
    #[test]
    fn queues_are_fair_and_waits_are_bounded(events in prop::collection::vec(event(), 1..400)) {
        let (mut contention, mut now, mut slot) = (Contention::new(), 0_u64, 0_u32);
        let mut waiting: BTreeMap<u8, VecDeque<(u32, u64)>> = BTreeMap::new();
        let bound = QUEUE_MAX as u64 * LEASE_NANOS;
        for event in events {
            match event {
                Event::Fails(of) => {
                    if contention.fails(key(of.into()), slot, now) == Verdict::Wait {
                        waiting.entry(of).or_default().push_back((slot, now));
                    }
                    slot += 1;
                }
                Event::Changes(of) => contention.changed(key(of.into()), now),
                // An executor comes when it was asked to, not later.
                Event::Passes(nanos) => {
                    let end = now + u64::from(nanos);
                    while let Some(wake) = contention.next_wake().filter(|wake| *wake <= end) {
                        now = wake;
                        contention.turn(now);
                        served(&mut contention, &mut waiting, now, bound)?;
                    }
                    now = end;
                    contention.turn(now);
                }
            }
            served(&mut contention, &mut waiting, now, bound)?;
            let longest = contention.leases.values().map(|lease| lease.queue.len()).max();
            prop_assert!(longest.unwrap_or(0) <= QUEUE_MAX && contention.hot_keys() <= KEYS_MAX);
        }
        while let Some(wake) = contention.next_wake() {
            now = now.max(wake);
            contention.turn(now);
            served(&mut contention, &mut waiting, now, bound)?;
        }
        prop_assert!(waiting.values().all(VecDeque::is_empty), "nobody is left waiting");
    }
}

fn served(
    contention: &mut Contention,
    waiting: &mut BTreeMap<u8, VecDeque<(u32, u64)>>,
    now: u64,
    bound: u64,
) -> Result<(), TestCaseError> {
    for slot in contention.take_released() {
        let first = waiting.values_mut().find(|queue| queue.front().is_some_and(|(first, _)| *first == slot));
        let Some((_, since)) = first.and_then(VecDeque::pop_front) else {
            return Err(TestCaseError::fail(format!("{slot} was served before those that came before it")));
        };
        prop_assert!(now - since <= bound, "{slot} waited for {} ns", now - since);
    }
    Ok(())
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
    assert_eq!(contention.fails(key(0), 0, 0), Verdict::Answer, "the first has the lease");
    for slot in (0..).take(QUEUE_MAX) {
        assert_eq!(contention.fails(key(0), slot, 0), Verdict::Wait);
    }
    assert_eq!(contention.fails(key(0), 9999, 0), Verdict::Answer);
    for other in 1..2 * KEYS_MAX as u128 {
        assert_eq!(contention.fails(key(other), 1, 0), Verdict::Answer);
    }
    assert_eq!(contention.hot_keys(), KEYS_MAX);
    assert_eq!(contention.fails(key(1000), 1, 0), Verdict::Answer, "without a lease there is no queue");
    assert_eq!(contention.fails(key(1000), 1, 0), Verdict::Answer);
}

#[test]
fn the_next_is_answered_when_the_key_has_changed_or_the_lease_is_over() {
    let mut contention = Contention::new();
    for slot in [7, 8, 9] {
        let _ = contention.fails(key(0), slot, 0);
    }
    assert_eq!(contention.take_released(), [0; 0]);
    contention.changed(key(1), 10);
    assert_eq!(contention.take_released(), [0; 0], "another key");
    contention.changed(key(0), 10);
    assert_eq!(contention.take_released(), [8], "7 has had its answer at once");
    assert_eq!(contention.next_wake(), Some(10 + LEASE_NANOS));
    contention.turn(10 + LEASE_NANOS - 1);
    assert_eq!(contention.take_released(), [0; 0]);
    contention.turn(10 + LEASE_NANOS);
    assert_eq!(contention.take_released(), [9]);
    assert_eq!(contention.next_wake(), None, "nobody waits");
    assert_eq!((contention.waits, contention.lease_ends), (2, 1));
    contention.turn(10 + 3 * LEASE_NANOS);
    assert!(contention.is_calm());
}
