//! Devices that fail while a store is opened: it opens whole, or says what failed; the next open without fault has everything.

use super::ends::copy;
use super::*;

/// A device of which one read fails, or all from it on.
struct FailingReads {
    device: MemoryDevice,
    reads: u64,
    fail_at: u64,
    sticky: bool,
    failed: Vec<Completion>,
}

impl Device for FailingReads {
    fn pages(&self) -> u64 {
        self.device.pages()
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        if let Request::Read { .. } = &request {
            self.reads += 1;
            if self.reads == self.fail_at || self.sticky && self.reads > self.fail_at {
                let Request::Read { frames, .. } = request else { unreachable!("just seen") };
                self.failed.push(Completion { tag, frames: Some(frames), result: Err(DeviceError::Io { errno: 5 }) });
                return;
            }
        }
        self.device.submit(tag, request);
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

/// Whatever read fails, once or for good: nothing is missing from a store that opens.
#[test]
fn any_read_of_an_open_may_fail() {
    for (closed, fingerprint_bits) in [(false, 64), (true, 64), (false, 1)] {
        let (mut bench, table) = Bench::filled();
        let config = Config { fingerprint_bits, ..tiny() };
        // Two incarnations, of which the first is covered by its cut.
        bench.reopen();
        for n in 100u8..120 {
            bench.put(table, &[n], &[n; 700]);
            bench.force();
        }
        let whole = bench.all(table, 100);
        if closed {
            assert!(bench.close(usize::MAX));
        }
        let (mut opened, mut refused) = (0, 0);
        for sticky in [false, true] {
            let mut n = 0;
            loop {
                n += 1;
                let (reads, was_opened) = fail_one(&mut bench, &config, table, &whole, (n, sticky));
                opened += u32::from(was_opened);
                refused += u32::from(!was_opened);
                if reads < n {
                    break;
                }
            }
            assert!(n > 10, "an open takes {n} reads");
        }
        assert!(opened > 5 && refused > 5, "{opened} opened, {refused} refused");
    }
}

/// Opens a copy of the device with read `n` failing, and then, if that was refused, without; the reads of the first, and whether it
/// opened.
fn fail_one(
    bench: &mut Bench,
    config: &Config,
    table: TableId,
    whole: &[(Vec<u8>, Vec<u8>)],
    (n, sticky): (u64, bool),
) -> (u64, bool) {
    let pages = bench.device.pages();
    let device = copy(&mut bench.device, pages);
    let mut failing = FailingReads { device, reads: 0, fail_at: n, sticky, failed: Vec::new() };
    let answer = open(&mut failing, config);
    match answer {
        Ok((engine, _)) => {
            let (config, now) = (config.clone(), Tick::default());
            let mut after = Bench { device: failing.device, engine, config, now, next: 0 };
            assert_eq!(after.all(table, 100), whole, "read {n}, sticky {sticky}");
            (failing.reads, true)
        }
        Err(error) => {
            assert_eq!(error.code(), 108, "read {n}, sticky {sticky}: {error}");
            assert_eq!(Bench::opened(failing.device, table).unwrap(), whole, "read {n}, sticky {sticky}");
            (failing.reads, false)
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
