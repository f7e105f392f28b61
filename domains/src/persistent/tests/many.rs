//! Many keys in one operation: their reads go out together, and what comes is of one moment.

use super::*;

/// A table of so many pairs, each in a page of its own, none of them in memory.
fn cold(count: u32) -> (Bench, TableId) {
    let mut bench = Bench::new(Config { cache_bytes: 0, tail_pages: 2, ..tiny() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for n in 0..count {
        bench.put(table, &n.to_le_bytes(), &value_of(n));
    }
    bench.force();
    bench.call(Op::DropCache).unwrap();
    (bench, table)
}

fn value_of(n: u32) -> Vec<u8> {
    [&n.to_le_bytes()[..], &[7; 3000]].concat()
}

fn keys(numbers: impl IntoIterator<Item = u32>) -> Vec<Vec<u8>> {
    numbers.into_iter().map(|n| n.to_le_bytes().to_vec()).collect()
}

/// Takes what the engine asks of the device.
fn requests(bench: &mut Bench) -> Vec<(Tag, Request)> {
    let mut requests = Vec::new();
    bench.engine.take_requests(&mut requests);
    requests
}

/// Carries requests out, the last first.
fn complete(bench: &mut Bench, requests: Vec<(Tag, Request)>) {
    for (tag, request) in requests.into_iter().rev() {
        bench.device.submit(tag, request);
        let mut done = Vec::new();
        bench.device.poll(&mut done);
        for completion in done {
            bench.engine.complete(completion, bench.now);
        }
    }
}

fn answer(bench: &mut Bench) -> Option<Result<Answer, Error>> {
    let mut answers = Vec::new();
    bench.engine.take_answers(&mut answers);
    answers.pop().map(|(_, answer)| answer)
}

#[test]
fn all_reads_are_with_the_device_before_any_is_waited_for() {
    let (mut bench, table) = cold(300);
    // In an order of its own, with keys that are not there, and with one that comes twice.
    let asked: Vec<u32> = (0..310).map(|n| (n * 7) % 310).chain([5]).collect();
    bench.engine.submit(OpId(1 << 40), Op::LookupMany { table, keys: keys(asked.iter().copied()) }, bench.now);
    let reads = requests(&mut bench);
    assert_eq!(reads.len(), 300, "one read for each record that is there, all in flight");
    assert!(reads.iter().all(|(_, request)| matches!(request, Request::Read { frames, .. } if frames.pages() == 1)));
    assert_eq!(answer(&mut bench), None);
    complete(&mut bench, reads);
    assert!(requests(&mut bench).is_empty(), "nothing is read twice");
    let Some(Ok(Answer::Many(pairs))) = answer(&mut bench) else { panic!("another answer") };
    assert_eq!(pairs.len(), asked.len());
    for (n, pair) in asked.into_iter().zip(pairs) {
        assert_eq!(pair.map(|pair| (pair.key, pair.value)), (n < 300).then(|| (n.to_le_bytes().to_vec(), value_of(n))));
    }
}

#[test]
fn what_comes_is_of_one_moment_although_a_pair_is_replaced_meanwhile() {
    let (mut bench, table) = cold(4);
    bench.engine.submit(OpId(1 << 40), Op::LookupMany { table, keys: keys(0..4) }, bench.now);
    let reads = requests(&mut bench);
    assert_eq!(reads.len(), 4);
    let mut set = CommitSet::new();
    set.upsert(table, &0_u32.to_le_bytes(), b"new", PutOptions::default()).unwrap();
    set.delete(table, &3_u32.to_le_bytes()).unwrap();
    bench.engine.submit(OpId(1 << 41), Op::Commit { set, level: Level::Committed }, bench.now);
    assert!(matches!(answer(&mut bench), Some(Ok(Answer::Committed(_)))));
    complete(&mut bench, reads);
    let Some(Ok(Answer::Many(pairs))) = answer(&mut bench) else { panic!("another answer") };
    let values: Vec<_> = pairs.into_iter().map(|pair| pair.map(|pair| pair.value)).collect();
    assert_eq!(values, [Some(b"new".to_vec()), Some(value_of(1)), Some(value_of(2)), None]);
}

#[test]
fn an_answer_stops_before_it_is_too_much_and_has_one_at_least() {
    let mut bench = Bench::new(Config { segment_pages: 2048, tail_pages: 8, ..Config::default() });
    let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
    for n in 0..3_u32 {
        bench.put(table, &n.to_le_bytes(), &vec![7; 20 << 20]);
    }
    bench.put(table, &3_u32.to_le_bytes(), b"small");
    let mut lengths = |asked: &[u32]| {
        let op = Op::LookupMany { table, keys: keys(asked.iter().copied()) };
        let Ok(Answer::Many(pairs)) = bench.call(op) else { panic!("another answer") };
        pairs.into_iter().map(|pair| pair.map_or(0, |pair| pair.value.len())).collect::<Vec<_>>()
    };
    assert_eq!(lengths(&[0, 1, 2, 3]), [20 << 20]);
    assert_eq!(lengths(&[3, 9, 1, 2]), [5, 0]);
    for count in [0, 4097] {
        let op = Op::LookupMany { table, keys: keys(0..count) };
        assert!(matches!(bench.call(op), Err(Error::Limit { .. })));
    }
}

/// With one bit of fingerprint nearly every key of a page is taken for nearly every other until its record is read.
#[test]
fn keys_that_look_alike_are_told_apart() {
    let mut bench = Bench::new(Config { fingerprint_bits: 1, cache_bytes: 0, tail_pages: 2, ..tiny() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for n in 0..200_u32 {
        bench.put(table, &n.to_le_bytes(), &value_of(n));
    }
    bench.force();
    bench.call(Op::DropCache).unwrap();
    let Ok(Answer::Many(pairs)) = bench.call(Op::LookupMany { table, keys: keys(0..250) }) else { panic!() };
    for (n, pair) in (0..250).zip(pairs) {
        assert_eq!(pair.map(|pair| pair.value), (n < 200).then(|| value_of(n)));
    }
}
