//! What an open after a crash reads in search of what was announced: counted, in pages, requests and rounds of waiting.

use super::*;

/// A device that counts what is read.
struct Counting {
    device: MemoryDevice,
    /// Whether it knows which pages were never written, as a file does and a block device does not.
    sparse: bool,
    reads: u64,
    /// Whether any was asked for since the last wait.
    asked: bool,
    /// Times that a caller waited for reads.
    rounds: u64,
}

impl Device for Counting {
    fn pages(&self) -> u64 {
        self.device.pages()
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        if self.sparse { self.device.next_data(at) } else { at }
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        if matches!(request, Request::Read { .. }) {
            self.reads += 1;
            self.asked = true;
        }
        self.device.submit(tag, request);
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        self.device.poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.rounds += u64::from(std::mem::take(&mut self.asked));
        self.device.wait(done);
    }

    fn in_flight(&self) -> usize {
        self.device.in_flight()
    }
}

/// Opens after a crash, or after an orderly end; what that came to, and how many requests and rounds it took.
fn open_counted(closed: bool, sparse: bool) -> (Report, u64, u64) {
    let mut bench = Bench::new(Config::default());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for n in 0u8..20 {
        bench.put(table, &[n], &[n; 700]);
        bench.force();
    }
    if closed {
        assert!(bench.close(usize::MAX));
    }
    let mut device = Counting { device: bench.device, sparse, reads: 0, asked: false, rounds: 0 };
    let (_, report) = open(&mut device, &bench.config).unwrap();
    assert_eq!(report.pairs, 20);
    (report, device.reads, device.rounds)
}

/// One segment of 64 MiB is nearly empty. All of it was read, 1 MiB at a time, and each of the 64 reads was waited for.
#[test]
fn an_open_after_a_crash_searches_what_was_written_with_reads_in_flight_together() {
    let segment = u64::from(Config::default().segment_pages);
    let (closed, reads, rounds) = open_counted(true, false);
    assert_eq!(closed.pages_searched, 0, "after an orderly end there is nothing to search for: {closed:?}");
    // 21 commits, the catalog's included, each with its epoch in a page, behind the header.
    let (report, reads_all, rounds_all) = open_counted(false, false);
    assert_eq!(report.pages_searched, segment - 22, "the rest of the segment: {report:?}");
    assert_eq!((reads_all - reads, rounds_all - rounds), (64, 8), "eight reads at a time");
    let (report, reads_sparse, rounds_sparse) = open_counted(false, true);
    assert_eq!(report.pages_searched, 256, "no more than one read where the rest was never written: {report:?}");
    assert_eq!((reads_sparse - reads, rounds_sparse - rounds), (1, 1));
}
