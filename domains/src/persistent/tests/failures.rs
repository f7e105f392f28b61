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
