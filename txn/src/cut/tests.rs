//! The cut by example, and against a model that knows nothing of maps or order.

use super::*;
use proptest::prelude::*;
use segments::Incarnation;

const LIFE: Incarnation = Incarnation(5);

fn e(counter: u64) -> EpochId {
    EpochId::new(LIFE, counter)
}

fn close(counter: u64, shard: u8, members: u32) -> Close {
    Close { epoch: e(counter), shard: ShardId(shard), members }
}

fn check(known: u64, closes: &[Close], last: u64) -> Cut {
    let found = cut(e(known), closes.iter().copied()).expect("closes that agree");
    assert_eq!(found.last, e(last), "after {known} with {closes:?}");
    found
}

#[test]
fn nothing_found_keeps_what_is_known() {
    for known in [0, 1, 77] {
        let found = check(known, &[], known);
        assert_eq!((found.next_found, found.next_missing, found.last_seen), (0, 0, e(known)));
    }
}

#[test]
fn one_shard_is_plain_group_commit() {
    check(0, &[close(1, 0, 1), close(2, 0, 1), close(3, 0, 1)], 3);
    check(0, &[close(1, 0, 1), close(3, 0, 1)], 1);
    check(0, &[close(2, 0, 1)], 0);
}

#[test]
fn a_missing_number_was_lost_and_never_empty() {
    let found = check(0, &[close(1, 0, 1), close(3, 0, 1), close(4, 0, 1)], 1);
    assert_eq!((found.next_found, found.next_missing, found.last_seen), (0, 0, e(4)));
}

#[test]
fn an_epoch_needs_every_member_and_no_other() {
    let found = check(0, &[close(1, 0, 0b101)], 0);
    assert_eq!((found.next_found, found.next_missing), (0b001, 0b100));
    check(0, &[close(1, 0, 0b101), close(1, 2, 0b101)], 1);
    check(0, &[close(1, 3, 0b1000), close(2, 0, 0b1), close(3, 0, 0b1001), close(3, 3, 0b1001)], 3);
}

#[test]
fn a_whole_epoch_after_a_broken_one_is_dropped() {
    check(0, &[close(1, 0, 0b11), close(2, 0, 0b01), close(3, 1, 0b10)], 0);
}

#[test]
fn what_a_checkpoint_knows_needs_no_close() {
    // The logs are read from the checkpoints on, so closes before it may be there from one shard only.
    check(7, &[close(6, 0, 0b11), close(7, 1, 0b11), close(8, 0, 0b01)], 8);
    check(7, &[close(9, 0, 0b01)], 7);
}

#[test]
fn the_limits_are_members() {
    check(0, &[close(1, 23, 1 << 23)], 1);
    let all = (1 << 24) - 1;
    let closes: Vec<_> = (0..24).map(|shard| close(1, shard, all)).collect();
    check(0, &closes, 1);
    check(0, &closes[1..], 0);
}

#[test]
fn the_last_number_of_an_incarnation_has_no_next() {
    let max = (1 << 40) - 1;
    check(max - 1, &[close(max, 0, 1)], max);
    check(max, &[close(max, 0, 1)], max);
    check(max - 1, &[], max - 1);
}

#[test]
fn closes_that_cannot_be_ours_are_errors() {
    let fails = |closes: &[Close]| cut(e(0), closes.iter().copied()).expect_err("a contradiction");
    let old = Close { epoch: EpochId::new(Incarnation(4), 1), shard: ShardId(0), members: 1 };
    assert_eq!(fails(&[old]), CutError::OtherIncarnation { epoch: old.epoch, shard: old.shard, known: e(0) });
    for (shard, members) in [(0, 0), (0, 0b10), (24, 1 << 24), (0, 1 << 24 | 1), (255, u32::MAX)] {
        assert_eq!(
            fails(&[close(1, shard, members)]),
            CutError::NotAMember { epoch: e(1), shard: ShardId(shard), members }
        );
    }
    let error = fails(&[close(1, 0, 0b01), close(1, 1, 0b11)]);
    assert_eq!(error, CutError::Contradiction { epoch: e(1), members: 0b01, others: 0b11 });
}

/// The definition, word for word, with no thought for speed.
fn by_definition(known: u64, closes: &[Close]) -> u64 {
    let whole = |counter: u64| {
        let of_epoch: Vec<_> = closes.iter().filter(|close| close.epoch == e(counter)).collect();
        let has_close = |shard: u8| of_epoch.iter().any(|close| close.shard == ShardId(shard));
        !of_epoch.is_empty() && (0..4).all(|shard| of_epoch[0].members & 1 << shard == 0 || has_close(shard))
    };
    (known..=12).filter(|&last| (known + 1..=last).all(whole)).max().expect("known itself qualifies")
}

proptest! {
    #[test]
    fn the_cut_is_the_one_defined(
        shards in 1_u32..=4,
        masks in prop::collection::vec(1_u32..16, 12),
        kept in prop::collection::vec(prop::bool::weighted(0.93), 48),
        known in 0_u64..12,
        turn in 0_usize..48,
        repeat in any::<bool>(),
    ) {
        let every = (1 << shards) - 1;
        let mut closes = Vec::new();
        for (counter, mask) in (1..).zip(masks) {
            let members = if mask & every == 0 { 1 } else { mask & every };
            for shard in (0..4).filter(|shard| members & 1 << shard != 0) {
                closes.push(close(counter, shard, members));
            }
        }
        let mut at = 0..;
        closes.retain(|_| kept[at.next().expect("endless") % kept.len()]);
        if !closes.is_empty() {
            let by = turn % closes.len();
            closes.rotate_left(by);
        }
        if repeat {
            closes.extend_from_within(..);
        }
        let found = cut(e(known), closes.iter().copied()).expect("closes that agree");
        prop_assert_eq!(found.last, e(by_definition(known, &closes)));
        // A recovery of the recovery: what is known now needs no close.
        let again = cut(found.last, closes.iter().copied()).expect("closes that agree");
        prop_assert_eq!(again, found);
    }
}
