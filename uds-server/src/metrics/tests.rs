use super::*;
use domains::Versions;
use segments::Incarnation;

fn at(nanos: u64) -> Tick {
    Tick { nanos, unix_ms: 0 }
}

fn committed(counter: u64, persistence: Persistence) -> Result<Answer, Error> {
    let epoch = EpochId::new(Incarnation(1), counter);
    Ok(Answer::Committed(Committed { epoch, versions: Versions::default(), persistence }))
}

fn horizon(counter: u64) -> Horizon {
    Horizon { incarnation: Incarnation(1), persistent: EpochId::new(Incarnation(1), counter) }
}

#[test]
fn a_duration_lies_below_the_first_bound_that_is_not_less() {
    for (nanos, bucket) in
        [(0, 0), (1, 0), (1000, 0), (1001, 1), (2000, 1), (2001, 2), (4000, 2), (4001, 3), (5_000_000, 13)]
    {
        let mut histogram = Histogram::default();
        histogram.observe(nanos);
        assert_eq!(histogram.counts.iter().position(|count| *count == 1), Some(bucket), "{nanos} ns");
    }
    let mut histogram = Histogram::default();
    histogram.observe((1_000 << (BUCKETS - 1)) + 1);
    histogram.observe(u64::MAX);
    histogram.observe(u64::MAX);
    assert_eq!((histogram.counts[BUCKETS], histogram.count()), (3, 3));
    assert!(histogram.nanos > u128::from(u64::MAX), "the sum does not run over");
}

#[test]
fn verbs_are_counted_with_their_time() {
    let mut metrics = Metrics::default();
    metrics.answered(verb(&Op::Force), 5_000, &Ok(Answer::Done), at(9_000));
    metrics.answered(verb(&Op::Force), 5_000, &Err(Error::Closing), at(5_000));
    metrics.answered(verb(&Op::Status), 5_000, &Ok(Answer::Done), at(4_000));
    let seen: Vec<_> = metrics.verbs().map(|(name, histogram)| (name, histogram.count(), histogram.nanos)).collect();
    assert_eq!(seen, [("force", 2, 4_000), ("status", 1, 0)]);
    assert_eq!(metrics.errors, 1);
}

#[test]
fn the_lag_is_that_of_the_first_commit_told_in_each_epoch() {
    let mut metrics = Metrics::default();
    let commit = named("commit");
    for (counter, now) in [(1, 1_000), (1, 2_000), (2, 4_000), (3, 5_000)] {
        metrics.answered(commit, 0, &committed(counter, Persistence::Pending), at(now));
    }
    metrics.answered(commit, 0, &committed(4, Persistence::Persistent), at(6_000));
    metrics.persistent(horizon(0), at(7_000));
    assert_eq!(metrics.lag.count(), 0);
    metrics.persistent(horizon(2), at(9_000));
    assert_eq!((metrics.lag.count(), metrics.lag.nanos), (2, 8_000 + 5_000));
    metrics.persistent(horizon(9), at(10_000));
    metrics.persistent(horizon(9), at(99_000));
    assert_eq!((metrics.lag.count(), metrics.lag.nanos), (3, 18_000));
}

#[test]
fn epochs_that_never_end_take_no_memory() {
    let mut metrics = Metrics::default();
    for counter in 1..1000 {
        metrics.answered(named("commit"), 0, &committed(counter, Persistence::Pending), at(counter));
    }
    assert_eq!(metrics.under_way.len(), EPOCHS_MAX);
}
