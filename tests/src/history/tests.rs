use super::*;
use crate::rng::Rng;
use segments::{EpochId, Ordinal};

fn version(ordinal: u64) -> Version {
    Version { epoch: EpochId(7), ordinal: Ordinal(ordinal) }
}

/// A history of one key that is in order by its making: each operation happens at an instant between its ends.
fn made(rng: &mut Rng, operations: u64) -> Vec<Event> {
    let mut present = None;
    (1..=operations)
        .map(|number| {
            let instant = number * 10;
            let did = match rng.below(3) {
                0 => Did::Wrote(version(number)),
                1 => Did::Swapped(present, version(number)),
                _ => Did::Saw(present),
            };
            if let Did::Wrote(new) | Did::Swapped(_, new) = did {
                present = Some(new);
            }
            Event { key: 0, start: instant - rng.below(35).min(instant), end: instant + rng.below(35), did }
        })
        .collect()
}

#[test]
fn both_judges_agree() {
    let mut rng = Rng::new(5);
    let (mut good, mut bad) = (0, 0);
    for round in 0..20_000 {
        let mut events = made(&mut rng, 2 + round % 9);
        assert_eq!(linearizable(&events), Ok(()), "{events:?}");
        // Two answers change places: often still explicable.
        let (one, two) = (rng.index(events.len()), rng.index(events.len()));
        let did = events[one].did;
        events[one].did = events[two].did;
        events[two].did = did;
        let verdict = linearizable(&events);
        assert_eq!(verdict.is_ok(), search(&events), "{verdict:?} {events:?}");
        if verdict.is_ok() { good += 1 } else { bad += 1 }
    }
    assert!(good > 1000 && bad > 1000, "{good} good, {bad} bad");
}

#[test]
fn planted_violations_are_found() {
    let event = |start, end, did| Event { key: 3, start, end, did };
    let (one, two) = (version(1), version(2));
    let wrote = [event(0, 1, Did::Wrote(one)), event(2, 3, Did::Wrote(two))];
    let judged = |more: &[Event]| linearizable(&[&wrote[..], more].concat());
    assert_eq!(judged(&[event(4, 5, Did::Saw(Some(two)))]), Ok(()));
    assert!(matches!(judged(&[event(4, 5, Did::Saw(Some(one)))]), Err(Wrong::Order(..))), "a stale read");
    assert_eq!(judged(&[event(3, 5, Did::Saw(Some(one)))]), Ok(()), "not stale: the write may have come later");
    assert!(
        matches!(judged(&[event(4, 5, Did::Swapped(Some(one), version(3)))]), Err(Wrong::Lost(..))),
        "a lost update"
    );
    assert!(matches!(judged(&[event(4, 5, Did::Saw(Some(version(9))))]), Err(Wrong::Unborn(_))), "nobody wrote it");
    assert!(matches!(judged(&[event(4, 5, Did::Wrote(two))]), Err(Wrong::Twice(..))), "given twice");
    assert!(matches!(judged(&[event(4, 5, Did::Wrote(version(0)))]), Err(Wrong::Order(..))), "a write out of order");
    let reads = [event(4, 5, Did::Saw(Some(two))), event(0, 3, Did::Saw(Some(one))), event(6, 7, Did::Saw(Some(one)))];
    assert!(matches!(judged(&reads), Err(Wrong::Order(..))), "back in time");
    assert!(matches!(judged(&[event(4, 5, Did::Saw(None))]), Err(Wrong::Order(..))), "gone");
}

#[test]
fn a_cycle_is_found() {
    let txn = |reads: &[(u32, Option<u64>)], writes: &[(u32, u64)]| Committed {
        reads: reads.iter().map(|(key, seen)| (*key, seen.map(version))).collect(),
        writes: writes.iter().map(|(key, made)| (*key, version(*made))).collect(),
    };
    let begin = txn(&[], &[(0, 1), (1, 2)]);
    let skew =
        [begin.clone(), txn(&[(0, Some(1)), (1, Some(2))], &[(0, 3)]), txn(&[(0, Some(1)), (1, Some(2))], &[(1, 4)])];
    assert_eq!(serialisable(&skew), Err(vec![1, 2]), "write skew");
    let one_after = [begin.clone(), skew[1].clone(), txn(&[(0, Some(3)), (1, Some(2))], &[(1, 4)])];
    assert_eq!(serialisable(&one_after), Ok(()));
    let torn = [begin, txn(&[], &[(0, 3), (1, 4)]), txn(&[(0, Some(3)), (1, Some(2))], &[])];
    assert_eq!(serialisable(&torn), Err(vec![1, 2]), "half of a transaction was seen");
    let phantom = [txn(&[(5, None)], &[(6, 1)]), txn(&[(6, None)], &[(5, 2)])];
    assert_eq!(serialisable(&phantom), Err(vec![0, 1]), "absences count");
}
