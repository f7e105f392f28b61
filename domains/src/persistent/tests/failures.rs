//! Devices that fail while a store is opened: it opens whole, or says what failed; the next open without fault has everything.

use super::ends::copy;
use super::*;
use std::task::Poll;

/// What a device may fail at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Read,
    Write,
    Flush,
}

/// Which requests fail: the n-th of a kind, or all from it on.
#[derive(Clone, Copy, Debug)]
struct Plan {
    kind: Kind,
    n: u64,
    sticky: bool,
}

/// A device of which requests fail as planned.
struct Failing {
    device: MemoryDevice,
    plan: Plan,
    seen: u64,
    failed: Vec<Completion>,
}

impl Failing {
    fn new(device: MemoryDevice, plan: Plan) -> Self {
        Self { device, plan, seen: 0, failed: Vec::new() }
    }
}

impl Device for Failing {
    fn pages(&self) -> u64 {
        self.device.pages()
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        let kind = match &request {
            Request::Read { .. } => Some(Kind::Read),
            Request::Write { .. } => Some(Kind::Write),
            Request::Flush => Some(Kind::Flush),
            Request::Grow { .. } | Request::Zero { .. } => None,
        };
        self.seen += u64::from(kind == Some(self.plan.kind));
        let strikes = self.seen == self.plan.n || self.plan.sticky && self.seen > self.plan.n;
        if kind != Some(self.plan.kind) || !strikes {
            return self.device.submit(tag, request);
        }
        let frames = match request {
            Request::Read { frames, .. } | Request::Write { frames, .. } => Some(frames),
            Request::Flush | Request::Grow { .. } | Request::Zero { .. } => None,
        };
        self.failed.push(Completion { tag, frames, result: Err(DeviceError::Io { errno: 5 }) });
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        done.append(&mut self.failed);
        self.device.poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.poll(done);
    }

    fn in_flight(&self) -> usize {
        self.failed.len() + self.device.in_flight()
    }
}

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
            for sticky in [false, true] {
                for n in 1.. {
                    let plan = Plan { kind, n, sticky };
                    let (seen, was_opened) = fail_one(&mut bench, &config, table, &whole, plan);
                    opened += u32::from(was_opened);
                    refused += u32::from(!was_opened);
                    if seen < n {
                        break;
                    }
                }
            }
            let least = if kind == Kind::Read { (5, 5) } else { (1, 5) };
            assert!(opened > least.0 && refused > least.1, "{kind:?}: {opened} opened, {refused} refused");
        }
    }
}

/// Opens a copy of the device that fails as planned, and then, if that was refused, without; how many requests of the kind there
/// were, and whether it opened.
fn fail_one(bench: &mut Bench, config: &Config, table: TableId, whole: &State, plan: Plan) -> (u64, bool) {
    let pages = bench.device.pages();
    let mut failing = Failing::new(copy(&mut bench.device, pages), plan);
    match open(&mut failing, config) {
        Ok((engine, _)) => {
            let (config, now) = (config.clone(), Tick::default());
            let mut after = Bench { device: failing.device, engine, config, now, next: 0 };
            assert_eq!(after.all(table, 100), *whole, "{plan:?}");
            (failing.seen, true)
        }
        Err(error) => {
            assert_eq!(error.code(), 108, "{plan:?}: {error}");
            assert_eq!(Bench::opened(failing.device, table).unwrap(), *whole, "{plan:?}");
            (failing.seen, false)
        }
    }
}

/// An end of which a write or a flush fails says so, and is a crash of which nothing is lost.
#[test]
fn any_request_of_an_end_may_fail() {
    for (kind, requests) in [(Kind::Write, 4), (Kind::Flush, 3)] {
        for (n, sticky) in (1..=requests + 1).flat_map(|n| [(n, false), (n, true)]) {
            let (mut bench, table, whole) = two_lives();
            bench.force();
            let mut failing = Failing::new(bench.device, Plan { kind, n, sticky });
            let ended = end(&mut bench.engine, &mut failing);
            match ended {
                Ok(()) => assert!(n > requests, "{kind:?} {n}"),
                Err(error) => assert!(error.code() == 108 && n <= requests, "{kind:?} {n}: {error}"),
            }
            assert_eq!(Bench::opened(failing.device, table).unwrap(), whole, "{kind:?} {n}, sticky {sticky}");
        }
    }
}

/// Ends in order.
fn end(engine: &mut Engine, device: &mut Failing) -> Result<(), Error> {
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
            let mut device = copy(&mut bench.device, pages);
            let mut device = BadSectors { device: &mut device, bad: bad.clone(), failed: Vec::new() };
            match open(&mut device, &config) {
                Ok((engine, report)) => {
                    fell_back += u32::from(report.summaries_used < summaries);
                    let device = copy(&mut bench.device, pages);
                    let mut after = Bench { device, engine, config: config.clone(), now: Tick::default(), next: 0 };
                    assert_eq!(after.all(table, 100), whole, "page {page}");
                }
                Err(Error::DeviceFailed { offset, error, .. }) => {
                    assert!(bad.contains(&(offset / 4096)), "byte {offset} for {bad:?}");
                    assert_eq!(error, DeviceError::Io { errno: 5 });
                    named += 1;
                }
                Err(error) => panic!("page {page}: {error}"),
            }
        }
    }
    assert!(fell_back >= summaries && named > 10, "{fell_back} fell back, {named} named");
}
