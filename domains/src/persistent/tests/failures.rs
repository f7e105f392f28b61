//! Devices that fail while a store is opened or ended: it opens whole, or says what failed; the next open without fault has
//! everything.

use super::ends::copy;
use super::failing::{BAD, Failing, How, Kind, Plan};
use super::*;
use std::task::Poll;

/// A store of two incarnations, of which the first is covered by its cut.
fn two_lives() -> (Bench, TableId, State) {
    let (mut bench, table) = Bench::filled();
    bench.reopen();
    for n in 100u8..120 {
        bench.put(table, &[n], &[n; 700]);
        bench.force();
    }
    let whole = bench.all(table, 100);
    (bench, table, whole)
}

/// Whatever request fails, once or for good: nothing is missing from a store that opens.
#[test]
fn any_request_of_an_open_may_fail() {
    for (closed, fingerprint_bits) in [(false, 64), (true, 64), (false, 1)] {
        let config = Config { fingerprint_bits, ..tiny() };
        let (mut bench, table, whole) = two_lives();
        if closed {
            assert!(bench.close(usize::MAX));
        }
        for kind in [Kind::Read, Kind::Write, Kind::Flush] {
            let (mut opened, mut refused) = (0, 0);
            for (sticky, how) in [(false, How::Refused(BAD)), (true, How::Refused(BAD)), (false, How::Short)] {
                for n in 1.. {
                    let plan = Plan { kind, n, sticky, how };
                    let (seen, was_opened) = fail_one(&mut bench, &config, table, &whole, plan);
                    opened += u32::from(was_opened);
                    refused += u32::from(!was_opened);
                    if seen < n {
                        break;
                    }
                }
            }
            match kind {
                Kind::Read | Kind::Room => assert!(opened > 5 && refused > 5, "{opened} opened, {refused} refused"),
                // Four copies of the superblock are written; the last try of each plan strikes nothing.
                Kind::Write => assert_eq!((opened, refused), (3, 12)),
                // What was read, and each pair of copies.
                Kind::Flush => assert_eq!((opened, refused), (3, 9)),
            }
        }
    }
}

/// Opens a copy of the device that fails as planned, and then, if that was refused, without; how many requests of the kind there
/// were, and whether it opened.
fn fail_one(bench: &mut Bench, config: &Config, table: TableId, whole: &State, plan: Plan) -> (u64, bool) {
    let (pages, mut seen) = (bench.device.pages(), 0);
    let mut failing = Failing::new(copy(&mut bench.device, pages), |request| plan.strikes(request, &mut seen));
    let answer = open(&mut failing, config);
    let images = failing.crashed();
    match answer {
        Ok((engine, _)) => {
            let [device, _] = images;
            let mut after = Bench { device, engine, config: config.clone(), now: Tick::default(), next: 0 };
            assert_eq!(after.all(table, 100), *whole, "{plan:?}");
            (seen, true)
        }
        Err(error) => {
            assert_eq!(error.code(), 108, "{plan:?}: {error}");
            for image in images {
                assert_eq!(Bench::opened(image, table).unwrap(), *whole, "{plan:?}");
            }
            (seen, false)
        }
    }
}

/// An end of which a write or a flush fails says so, and is a crash of which nothing is lost.
#[test]
fn any_request_of_an_end_may_fail() {
    for (kind, requests) in [(Kind::Write, 4), (Kind::Flush, 3)] {
        for (n, (sticky, how)) in (1..=requests + 1).flat_map(|n| {
            [(false, How::Refused(BAD)), (true, How::Refused(BAD)), (false, How::Short)].map(|fails| (n, fails))
        }) {
            let (mut bench, table, whole) = two_lives();
            bench.force();
            let (plan, mut seen) = (Plan { kind, n, sticky, how }, 0);
            let mut failing = Failing::new(bench.device, |request| plan.strikes(request, &mut seen));
            match end(&mut bench.engine, &mut failing) {
                Ok(()) => assert!(n > requests, "{plan:?}"),
                Err(error) => assert!(error.code() == 108 && n <= requests, "{plan:?}: {error}"),
            }
            for image in failing.crashed() {
                assert_eq!(Bench::opened(image, table).unwrap(), whole, "{plan:?}");
            }
        }
    }
}

/// Ends in order.
fn end(engine: &mut Engine, device: &mut Failing<'_>) -> Result<(), Error> {
    loop {
        if let Poll::Ready(result) = engine.close() {
            return result;
        }
        let (mut requests, mut done) = (Vec::new(), Vec::new());
        engine.take_requests(&mut requests);
        for (tag, request) in requests {
            device.submit(tag, request);
        }
        device.wait(&mut done);
        for completion in done {
            engine.complete(completion, Tick::default());
        }
    }
}

/// A summary is a hint: on bad sectors, or with a flipped bit, it is not missed.
#[test]
fn a_summary_that_cannot_be_read_is_not_missed() {
    let (mut bench, table) = Bench::filled();
    let whole = bench.all(table, 100);
    let (pages, config) = (bench.device.pages(), tiny());
    let segment = u64::from(config.segment_pages);
    let (mut fell_back, mut named) = (0, 0);
    let used = |device: &mut dyn Device| open(device, &tiny()).map(|(_, report)| report.summaries_used);
    let summaries = used(&mut copy(&mut bench.device, pages)).unwrap();
    assert!(summaries >= 3, "{summaries} summaries");
    for page in SUPERBLOCK_PAGES..pages {
        // Also the whole rest of a segment, as a bad track would take it.
        for bad in [page..page + 1, page..page + (segment - (page - SUPERBLOCK_PAGES) % segment)] {
            let mut device = Failing::with_bad(copy(&mut bench.device, pages), bad.clone());
            match open(&mut device, &config) {
                Ok((engine, report)) => {
                    fell_back += u32::from(report.summaries_used < summaries);
                    let device = copy(&mut bench.device, pages);
                    let mut after = Bench { device, engine, config: config.clone(), now: Tick::default(), next: 0 };
                    assert_eq!(after.all(table, 100), whole, "page {page}");
                }
                Err(Error::DeviceFailed { offset, error, .. }) => {
                    assert!(bad.contains(&(offset / 4096)), "byte {offset} for {bad:?}");
                    assert_eq!(error, BAD);
                    named += 1;
                }
                Err(error) => panic!("page {page}: {error}"),
            }
        }
    }
    assert!(fell_back >= summaries && named > 10, "{fell_back} fell back, {named} named");
}

/// Two flushes at a time could share one error: one takes it, and the other succeeds for writes that are lost. So a superblock's flush and
/// the log's never meet, however many epochs end and however long the device takes.
#[test]
fn the_device_has_one_flush_at_a_time() {
    for delay in [1, 2, 5, 9] {
        let mut bench = Bench::new(Config { epoch_interval_nanos: 100_000, ..Config::default() });
        let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
        let key = vec![Field { name: "id".to_owned(), field_type: FieldType::Unsigned(64) }];
        let spec = TableSpec { key, ..TableSpec::plain(TableKind::ClientHash, TableHome::Persistent) };
        let create = Op::CreateTable {
            name: "marks a feature".to_owned(),
            spec: TableSpec { type_name: "T".to_owned(), ..spec },
        };
        let (mut create, mut with_device, mut answers) = (Some(create), Vec::new(), Vec::new());
        let (mut flushes, mut most, mut number) = (0, 0, 1000);
        for turn in 0..40 * delay {
            number += 1;
            let mut set = CommitSet::new();
            set.upsert(table, &u64::to_le_bytes(number), b"v", PutOptions::default()).unwrap();
            bench.engine.submit(OpId(number), Op::Commit { set, level: Level::Persistent }, bench.now);
            if turn > 3 * delay
                && let Some(op) = create.take()
            {
                bench.engine.submit(OpId(1), op, bench.now);
            }
            bench.now.nanos += 100_000;
            bench.engine.turn(bench.now);
            let mut requests = Vec::new();
            bench.engine.take_requests(&mut requests);
            for (tag, request) in requests {
                flushes += usize::from(matches!(request, Request::Flush));
                with_device.push((turn + delay, tag, request));
            }
            most = most.max(flushes);
            let (due, later) = with_device.into_iter().partition::<Vec<_>, _>(|(at, ..)| *at <= turn);
            with_device = later;
            for (_, tag, request) in due {
                flushes -= usize::from(matches!(request, Request::Flush));
                bench.device.submit(tag, request);
            }
            let mut done = Vec::new();
            bench.device.poll(&mut done);
            done.into_iter().for_each(|completion| bench.engine.complete(completion, bench.now));
            bench.engine.take_answers(&mut answers);
        }
        assert_eq!(most, 1, "with a device that takes {delay} turns");
        assert!(answers.iter().any(|(id, answer)| *id == OpId(1) && answer.is_ok()), "the table was made meanwhile");
        let persistent = answers.iter().filter(|(id, answer)| *id != OpId(1) && answer.is_ok()).count();
        assert!(persistent > 20, "{persistent} commits became persistent around it");
    }
}
