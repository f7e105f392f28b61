//! Epochs by example: what one shard and two shards do, step by step. The orders that nobody thinks of are in the exhaustive
//! model and under loom (`tests/` of this crate).

use super::*;
use segments::{EpochId, Incarnation, ShardId};
use std::sync::Arc;

const LIFE: Incarnation = Incarnation(3);
const INTERVAL: u64 = 1000;

fn e(counter: u64) -> EpochId {
    EpochId::new(LIFE, counter)
}

fn machines<const N: usize>() -> [ShardEpochs; N] {
    let shared = Arc::new(Shared::new(LIFE));
    core::array::from_fn(|at| {
        ShardEpochs::new(Arc::clone(&shared), ShardId(u8::try_from(at).expect("few shards")), INTERVAL)
    })
}

/// Carries out every action at once on a device that never fails, until nothing is left to do; says what was done.
fn settle(shard: &mut ShardEpochs, now: u64) -> Vec<Action> {
    let mut done = Vec::new();
    loop {
        let actions = shard.turn(now);
        if actions.is_empty() {
            return done;
        }
        for action in actions {
            match action {
                Action::Wake { .. } => {}
                Action::Close { epoch, .. } => {
                    shard.closed(epoch);
                    shard.written(epoch);
                }
                Action::Flush { ticket } => shard.flushed(ticket, true),
            }
            done.push(action);
        }
    }
}

fn flush_of(actions: &[Action]) -> FlushTicket {
    let [Action::Flush { ticket }] = actions else { panic!("a flush alone, not {actions:?}") };
    *ticket
}

#[test]
fn an_idle_shard_costs_nothing() {
    let [mut shard] = machines();
    assert!(shard.idle());
    assert_eq!(shard.next_wake(), None);
    assert!(shard.turn(u64::MAX).is_empty());
    shard.force(5);
    assert_eq!(shard.next_wake(), None, "an empty epoch is never left, whoever wishes it");
    assert!(shard.turn(6).is_empty());
    assert_eq!(shard.open(), e(1));
    assert_eq!(shard.persistent(), e(0));
}

#[test]
fn commits_of_one_interval_share_an_epoch() {
    let [mut shard] = machines();
    assert_eq!(shard.join(10), e(1));
    assert_eq!(shard.join(700), e(1));
    assert_eq!(shard.next_wake(), Some(10 + INTERVAL), "counted from the first");
    assert!(shard.turn(9 + INTERVAL).is_empty());
    assert!(!shard.idle());
    assert_eq!(shard.turn(10 + INTERVAL).as_slice(), [Action::Close { epoch: e(1), members: 1 }]);
    assert_eq!(shard.next_wake(), None);
    assert_eq!(shard.join(10 + INTERVAL), e(2));
    shard.closed(e(1));
    assert!(shard.turn(11 + INTERVAL).is_empty(), "no flush before the writes are complete");
    shard.written(e(1));
    let ticket = flush_of(&shard.turn(11 + INTERVAL));
    assert_eq!(shard.persistent(), e(0), "asking for a flush proves nothing");
    shard.flushed(ticket, true);
    assert_eq!(shard.persistent(), e(1));
    assert!(!shard.idle(), "epoch 2 has a commit");
    settle(&mut shard, 10 + 2 * INTERVAL);
    assert_eq!(shard.persistent(), e(2));
    assert!(shard.idle());
}

#[test]
fn one_flush_serves_many_closes_and_only_those_written_before_it() {
    let [mut shard] = machines();
    for counter in 1..=3 {
        assert_eq!(shard.join(0), e(counter));
        assert_eq!(shard.turn(INTERVAL).as_slice(), [Action::Close { epoch: e(counter), members: 1 }]);
        shard.closed(e(counter));
    }
    shard.written(e(2));
    let first = flush_of(&shard.turn(INTERVAL));
    shard.written(e(3));
    assert!(shard.turn(INTERVAL).is_empty(), "one flush at a time");
    shard.flushed(first, true);
    assert_eq!(shard.persistent(), e(2), "epoch 3 was written after the flush was asked for");
    let second = flush_of(&shard.turn(INTERVAL));
    assert_ne!(first, second);
    shard.flushed(second, true);
    assert_eq!(shard.persistent(), e(3));
}

#[test]
fn while_k_are_in_flight_commits_go_on_in_the_open_epoch() {
    let [mut shard] = machines();
    let full = EPOCHS_IN_FLIGHT_MAX as u64;
    for counter in 1..=full {
        assert_eq!(shard.join(0), e(counter));
        assert_eq!(shard.turn(INTERVAL).len(), 1);
        shard.closed(e(counter));
    }
    for _ in 0..3 {
        assert_eq!(shard.join(0), e(full + 1));
        assert!(shard.turn(INTERVAL).is_empty());
        assert_eq!(shard.next_wake(), None, "only the device brings room");
    }
    shard.force(0);
    assert!(shard.turn(INTERVAL).is_empty());
    shard.written(e(1));
    let ticket = flush_of(&shard.turn(INTERVAL));
    shard.flushed(ticket, true);
    assert_eq!(shard.next_wake(), Some(0));
    assert_eq!(shard.turn(INTERVAL).as_slice(), [Action::Close { epoch: e(full + 1), members: 1 }]);
    assert_eq!(shard.open(), e(full + 2));
}

#[test]
fn two_forced_epochs_are_in_flight_and_the_next_wish_is_kept() {
    let [mut shard] = machines();
    for counter in 1..=2 {
        shard.join(0);
        shard.force(7);
        shard.force(8);
        assert_eq!(shard.next_wake(), Some(7), "the first wish counts");
        assert_eq!(shard.turn(8).as_slice(), [Action::Close { epoch: e(counter), members: 1 }]);
        shard.closed(e(counter));
    }
    for _ in 0..100 {
        shard.join(9);
        shard.force(9);
        assert!(shard.turn(9).is_empty());
    }
    assert_eq!(shard.next_wake(), Some(9 + INTERVAL), "no more than the timer");
    shard.written(e(1));
    let ticket = flush_of(&shard.turn(9));
    shard.flushed(ticket, true);
    assert_eq!(shard.next_wake(), Some(9));
    assert_eq!(shard.turn(10).as_slice(), [Action::Close { epoch: e(3), members: 1 }], "a hundred wishes, one epoch");
}

#[test]
fn a_failed_flush_is_final() {
    let [mut shard] = machines();
    shard.join(0);
    settle(&mut shard, INTERVAL);
    shard.join(INTERVAL);
    let closes = shard.turn(2 * INTERVAL);
    assert_eq!(closes.as_slice(), [Action::Close { epoch: e(2), members: 1 }]);
    shard.closed(e(2));
    shard.written(e(2));
    let ticket = flush_of(&shard.turn(2 * INTERVAL));
    shard.join(2 * INTERVAL);
    assert!(!shard.is_poisoned());
    shard.flushed(ticket, false);
    assert!(shard.is_poisoned());
    assert_eq!(shard.first_in_doubt(), Some(e(2)));
    // Whatever comes later, also a success of the same flush: nothing is acknowledged or asked for any more.
    shard.flushed(ticket, true);
    shard.written(e(2));
    shard.force(0);
    shard.poison();
    assert!(shard.turn(u64::MAX).is_empty());
    assert_eq!(shard.next_wake(), None);
    assert_eq!(shard.persistent(), e(1));
    assert!(!shard.idle());
}

#[test]
fn a_failure_between_epochs_dooms_the_open_one() {
    let [mut shard] = machines();
    shard.join(0);
    settle(&mut shard, INTERVAL);
    shard.poison();
    assert_eq!(shard.first_in_doubt(), Some(e(2)));
    assert_eq!(shard.persistent(), e(1));
}

#[test]
#[should_panic(expected = "a failed shard takes no commit")]
fn a_failed_shard_takes_no_commit() {
    let [mut shard] = machines();
    shard.poison();
    shard.join(0);
}

#[test]
fn an_epoch_waits_for_all_its_members_and_for_those_before() {
    let [mut zero, mut one] = machines();
    assert_eq!(zero.join(0), e(1));
    assert_eq!(one.join(0), e(1));
    let actions = zero.turn(INTERVAL);
    assert_eq!(actions.as_slice(), [Action::Wake { shards: 0b10 }, Action::Close { epoch: e(1), members: 0b11 }]);
    // Epoch 2 has shard 1 alone, which is fast; shard 0 still holds epoch 1.
    assert_eq!(one.join(INTERVAL), e(2));
    let done = settle(&mut one, 2 * INTERVAL);
    assert_eq!(done[..2], [Action::Close { epoch: e(1), members: 0b11 }, Action::Close { epoch: e(2), members: 0b10 }]);
    assert_eq!(one.persistent(), e(0), "shard 0 has not acknowledged epoch 1, so 2 must not be announced");
    zero.closed(e(1));
    zero.written(e(1));
    let ticket = flush_of(&zero.turn(INTERVAL));
    zero.flushed(ticket, true);
    assert_eq!(one.persistent(), e(2));
    assert_eq!(zero.turn(INTERVAL).as_slice(), [Action::Wake { shards: 0b10 }]);
    assert!(one.turn(2 * INTERVAL).is_empty());
    assert!(one.idle());
    assert!(zero.idle());
}

#[test]
fn a_prepared_part_holds_its_epoch_open_while_commits_go_on() {
    let [mut zero, mut one] = machines();
    let (bound_zero, bound_one) = (zero.pin(), one.pin());
    assert_eq!(one.join(0), e(1));
    assert_eq!(one.turn(INTERVAL).as_slice(), [], "left, but a part may still be decided in it");
    assert_eq!(one.open(), e(2));
    assert_eq!(one.join(INTERVAL), e(2));
    assert!(one.turn(2 * INTERVAL).is_empty());
    // The decision falls in epoch 3, and shard 1 goes on to epoch 4 before it hears of it.
    let epoch = zero.decide(0b11, 2 * INTERVAL);
    assert_eq!(epoch, e(3));
    zero.applied(bound_zero, epoch, 2 * INTERVAL);
    assert_eq!(zero.turn(3 * INTERVAL)[0], Action::Wake { shards: 0b10 });
    assert_eq!(one.join(3 * INTERVAL), e(4));
    assert!(one.turn(3 * INTERVAL).is_empty());
    one.applied(bound_one, epoch, 3 * INTERVAL);
    let closes = one.turn(3 * INTERVAL);
    let expected = [(e(1), 0b10), (e(2), 0b10), (e(3), 0b11)].map(|(epoch, members)| Action::Close { epoch, members });
    assert_eq!(closes.as_slice(), expected, "in ascending order, the late part in its place");
}

#[test]
fn an_aborted_part_lets_go() {
    let [mut shard] = machines();
    let (a, b) = (shard.pin(), shard.pin());
    assert_eq!((a, b), (e(1), e(1)));
    shard.join(0);
    assert!(shard.turn(INTERVAL).is_empty());
    shard.unpin(a);
    assert!(shard.turn(INTERVAL).is_empty());
    let later = shard.pin();
    assert_eq!(later, e(2));
    shard.unpin(b);
    assert_eq!(shard.turn(INTERVAL).as_slice(), [Action::Close { epoch: e(1), members: 1 }]);
    assert!(!shard.idle());
}

#[test]
#[should_panic(expected = "decided in 3.1, before it")]
fn a_decision_before_the_prepare_is_our_mistake() {
    let [mut zero, mut one] = machines();
    zero.join(0);
    settle(&mut zero, INTERVAL);
    let bound = one.pin();
    one.applied(bound, e(1), 0);
}

#[test]
fn a_coordinator_that_is_no_member_still_sees_its_decision_through() {
    let [mut zero, mut one] = machines();
    let bound = one.pin();
    let epoch = zero.decide(0b10, 0);
    assert_eq!(zero.next_wake(), Some(INTERVAL));
    assert!(zero.watch(epoch));
    one.applied(bound, epoch, 0);
    assert_eq!(zero.turn(INTERVAL).as_slice(), [Action::Wake { shards: 0b10 }]);
    assert!(zero.idle());
    let done = settle(&mut one, INTERVAL);
    assert_eq!(done.last(), Some(&Action::Wake { shards: 0b01 }), "the waiter is rung");
    assert_eq!(zero.persistent(), epoch);
    assert!(!zero.watch(epoch));
}

#[test]
fn a_shard_without_room_is_rung_by_a_stranger() {
    let shared = Arc::new(Shared::with_in_flight_max(LIFE, 1));
    let [mut zero, mut one] = [0, 1].map(|shard| ShardEpochs::new(Arc::clone(&shared), ShardId(shard), INTERVAL));
    zero.join(0);
    zero.turn(INTERVAL).as_slice().iter().for_each(|action| assert!(matches!(action, Action::Close { .. })));
    assert_eq!(one.join(0), e(2));
    assert_eq!(one.next_wake(), Some(INTERVAL), "the timer is not due: nobody was asked to ring yet");
    assert!(one.turn(INTERVAL).is_empty());
    assert_eq!(one.next_wake(), None);
    zero.closed(e(1));
    zero.written(e(1));
    let ticket = flush_of(&zero.turn(INTERVAL));
    zero.flushed(ticket, true);
    assert_eq!(zero.turn(INTERVAL).as_slice(), [Action::Wake { shards: 0b10 }]);
    assert_eq!(one.turn(INTERVAL).as_slice(), [Action::Close { epoch: e(2), members: 0b10 }]);
}

#[test]
fn a_failure_wakes_everybody_who_waits() {
    let [mut zero, mut one] = machines();
    zero.join(0);
    one.join(0);
    zero.poison();
    assert_eq!(zero.turn(0).as_slice(), [Action::Wake { shards: 0b10 }]);
    assert!(one.is_poisoned());
    assert_eq!(one.first_in_doubt(), None, "its own log is whole");
    settle(&mut one, INTERVAL);
    assert_eq!(one.persistent(), e(0));
}

#[test]
fn slots_serve_many_epochs_in_turn() {
    let shared = Arc::new(Shared::with_in_flight_max(LIFE, 1));
    let mut shard = ShardEpochs::new(Arc::clone(&shared), ShardId(23), INTERVAL);
    for counter in 1..=100 {
        assert_eq!(shard.join(0), e(counter));
        settle(&mut shard, INTERVAL);
        assert_eq!(shard.persistent(), e(counter));
        assert_eq!(shared.members(e(counter)), Some(1 << 23));
    }
    assert_eq!(shared.members(e(98)), None, "its slot serves epoch 100");
    assert_eq!(shared.members(e(101)), None, "not left");
}

#[test]
fn the_transition_table_is_a_function_and_reaches_everything() {
    let mut seen = std::collections::BTreeSet::from([EpochState::Open]);
    for (at, (from, by, to)) in EPOCH_TRANSITIONS.iter().enumerate() {
        assert!(EPOCH_TRANSITIONS[..at].iter().all(|(f, b, _)| (f, b) != (from, by)), "{from:?} {by:?} twice");
        assert!(seen.contains(from), "{from:?} is reached before it is left");
        assert!(to > from, "there is no way back");
        assert_eq!(from.after(*by), *to);
        seen.insert(*to);
    }
    assert_eq!(seen.len(), 7);
}

#[test]
#[should_panic(expected = "an epoch in state Acked meets Failed")]
fn what_is_acknowledged_cannot_fail() {
    let _ = EpochState::Acked.after(EpochInput::Failed);
}
