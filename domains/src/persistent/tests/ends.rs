//! What the next open knows of the end: after an orderly one everything, after a crash what the pages that are left say.

use super::*;
use std::task::Poll;

/// A device with the same bytes, cut to so many pages.
pub(super) fn copy(device: &mut MemoryDevice, pages: u64) -> MemoryDevice {
    let mut copy = MemoryDevice::new(pages);
    for (number, page) in pages_of(device).into_iter().enumerate().take(usize::try_from(pages).unwrap()) {
        write(&mut copy, number as u64, page);
    }
    copy
}

fn pages_of(device: &mut MemoryDevice) -> Vec<Frames> {
    let pages = device.pages();
    let mut device = Blocking::new(device);
    (0..pages).map(|page| device.read(PageNo(page), 1).unwrap()).collect()
}

pub(super) fn write(device: &mut MemoryDevice, page: u64, frames: Frames) {
    device.submit(Tag(0), Request::Write { at: PageNo(page), frames });
    device.wait(&mut Vec::new());
}

impl Bench {
    /// Ends in order; at most so many requests of the end are carried out, and `false` if that was too few.
    pub(super) fn close(&mut self, requests_max: usize) -> bool {
        self.force();
        let mut left = requests_max;
        loop {
            match self.engine.close() {
                Poll::Ready(result) => {
                    result.unwrap();
                    return true;
                }
                Poll::Pending => {}
            }
            let mut requests = Vec::new();
            self.engine.take_requests(&mut requests);
            let all = requests.len() <= left;
            for (tag, request) in requests.into_iter().take(left) {
                left -= 1;
                self.device.submit(tag, request);
            }
            let mut done = Vec::new();
            self.device.poll(&mut done);
            for completion in done {
                self.engine.complete(completion, self.now);
            }
            if !all {
                return false;
            }
        }
    }

    /// Some epochs over several segments; the last one holds the key 255 alone.
    pub(super) fn filled() -> (Self, TableId) {
        let mut bench = Self::new(tiny());
        let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
        for n in 0u8..30 {
            bench.put(table, &[n], &vec![n; 1 + usize::from(n) * 211]);
            bench.force();
        }
        bench.put(table, &[255], &[255; 3000]);
        bench.force();
        (bench, table)
    }

    /// Everything in a table as another open of this device finds it.
    pub(super) fn opened(device: MemoryDevice, table: TableId) -> Result<State, Error> {
        let config = tiny();
        let mut device = device;
        let (engine, _) = open(&mut device, &config)?;
        Self { device, engine, config, now: Tick::default(), next: 0 }.try_all(table, 100)
    }
}

fn damages() -> Vec<Frames> {
    let mut garbage = Frames::zeroed(1);
    garbage.bytes_mut().fill(0xa5);
    vec![garbage, Frames::zeroed(1)]
}

/// Damage in the last epoch looked like the torn tail of a crash, and what had been announced was silently gone.
#[test]
fn after_an_orderly_end_nothing_that_was_announced_goes_unnoticed() {
    let (mut bench, table) = Bench::filled();
    assert!(bench.close(usize::MAX));
    let whole = bench.all(table, 100);
    let (pages, mut refused) = (pages_of(&mut bench.device), 0);
    for page in SUPERBLOCK_PAGES..bench.device.pages() {
        for damage in damages() {
            let before = pages[usize::try_from(page).unwrap()].clone();
            write(&mut bench.device, page, damage);
            let length = bench.device.pages();
            match Bench::opened(copy(&mut bench.device, length), table) {
                Ok(state) => assert_eq!(state, whole, "page {page}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "page {page}: {error}");
                    refused += 1;
                }
            }
            write(&mut bench.device, page, before);
        }
    }
    assert!(refused > 10, "{refused} pages were found damaged");
    // However much is gone, down to everything.
    for from in [SUPERBLOCK_PAGES, SUPERBLOCK_PAGES + 17, SUPERBLOCK_PAGES + 40] {
        let length = bench.device.pages();
        let mut damaged = copy(&mut bench.device, length);
        for page in from..bench.device.pages() {
            write(&mut damaged, page, Frames::zeroed(1));
        }
        assert_eq!(Bench::opened(damaged, table).unwrap_err().code(), 403, "from page {from}");
    }
    let length = bench.device.pages();
    assert_eq!(Bench::opened(copy(&mut bench.device, length), table).unwrap(), whole);
}

/// A summary is written when what lies in its run is persistent, and names the last persistent epoch, whose own records may lie
/// behind the run. It vouched for these too.
#[test]
fn a_summary_does_not_vouch_for_what_lies_behind_its_run() {
    let mut refused = 0;
    for epochs in 12u8..24 {
        let mut bench = Bench::new(tiny());
        let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
        for n in 0..epochs {
            bench.put(table, &[n], &[n; 2900]);
            bench.force();
        }
        assert!(bench.close(usize::MAX));
        let whole = bench.all(table, 100);
        let pages = pages_of(&mut bench.device);
        let used = pages.iter().rposition(|page| page.bytes().iter().any(|byte| *byte != 0)).unwrap() as u64;
        for page in used.saturating_sub(2 * u64::from(tiny().segment_pages)).max(SUPERBLOCK_PAGES)..=used {
            write(&mut bench.device, page, Frames::zeroed(1));
            let length = bench.device.pages();
            match Bench::opened(copy(&mut bench.device, length), table) {
                Ok(state) => assert_eq!(state, whole, "{epochs} epochs, page {page}"),
                Err(error) => refused += u32::from(error.kind() == ErrorKind::Corrupt),
            }
            write(&mut bench.device, page, pages[usize::try_from(page).unwrap()].clone());
        }
    }
    assert!(refused > 50, "{refused} pages were found damaged");
}

/// A file that something else has made shorter is refused by that name.
#[test]
fn a_device_that_was_cut_off_is_refused_by_name() {
    let (mut bench, table) = Bench::filled();
    assert!(bench.close(usize::MAX));
    let had = bench.device.pages();
    for pages in SUPERBLOCK_PAGES..had {
        let error = Bench::opened(copy(&mut bench.device, pages), table).unwrap_err();
        assert_eq!(error, Error::Truncated { pages, had });
        assert_eq!((error.code(), error.kind()), (404, ErrorKind::Corrupt));
    }
    // Opened and not closed: the open has recorded the length too.
    bench.reopen();
    assert!(matches!(Bench::opened(copy(&mut bench.device, had - 1), table), Err(Error::Truncated { .. })));
}

/// After a crash there is no other evidence than the pages themselves: each names what was persistent when it was sealed, so only
/// what was announced after the last page was sealed has no witness.
#[test]
fn after_a_crash_only_what_no_page_names_can_go_unnoticed() {
    let (mut bench, table) = Bench::filled();
    let whole = bench.all(table, 100);
    let without_last: State = whole[..whole.len() - 1].to_vec();
    let pages = pages_of(&mut bench.device);
    let (mut refused, mut shorter) = (0, 0);
    for page in SUPERBLOCK_PAGES..bench.device.pages() {
        for damage in damages() {
            write(&mut bench.device, page, damage);
            let length = bench.device.pages();
            match Bench::opened(copy(&mut bench.device, length), table) {
                Ok(state) if state == without_last => shorter += 1,
                Ok(state) => assert_eq!(state, whole, "page {page}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "page {page}: {error}");
                    refused += 1;
                }
            }
        }
        write(&mut bench.device, page, pages[usize::try_from(page).unwrap()].clone());
    }
    assert_eq!(shorter, 2, "one page holds the last epoch and is damaged in two ways");
    assert!(refused > 10, "{refused} pages were found damaged");
    // A device that was cut off inside a segment: what its last pages say counts, and the rest of the segment is nobody's.
    for length in SUPERBLOCK_PAGES + 2..bench.device.pages() {
        if let Ok(state) = Bench::opened(copy(&mut bench.device, length), table) {
            assert!(whole.starts_with(&state), "{length} pages");
            let mut cut = copy(&mut bench.device, length);
            let again = [(); 2].map(|()| Bench::opened(copy(&mut cut, length), table).unwrap());
            drop(open(&mut cut, &tiny()).unwrap());
            assert_eq!(again[0], state);
        }
    }
}

/// The search for evidence once ended at 256 blank pages, the size of one read.
#[test]
fn evidence_behind_many_blank_pages_is_found() {
    let config = Config { segment_pages: 2048, tail_pages: 64, ..Config::default() };
    let mut bench = Bench::new(config);
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for n in 0u8..8 {
        bench.put(table, &[n], &vec![n; 500_000]);
        bench.force();
    }
    let last = pages_of(&mut bench.device).iter().rposition(|page| page.bytes().iter().any(|byte| *byte != 0)).unwrap();
    for page in SUPERBLOCK_PAGES + 20..last as u64 - 5 {
        write(&mut bench.device, page, Frames::zeroed(1));
    }
    assert!(last > 800);
    let error = open(&mut bench.device, &bench.config).unwrap_err();
    assert_eq!(error.code(), 403, "{error}");
}

/// The end is written like a recovery's record: wherever it is cut short, nothing is lost.
#[test]
fn an_end_that_is_cut_short_is_a_crash() {
    let (mut whole, mut requests_max) = (false, 0);
    while !whole {
        let (mut bench, table) = Bench::filled();
        let state = bench.all(table, 100);
        whole = bench.close(requests_max);
        let report = bench.reopen();
        assert_eq!(bench.all(table, 100), state, "after {requests_max} requests: {report:?}");
        requests_max += 1;
    }
    assert!(requests_max > 7, "three flushes and four writes");
}

/// Whoever has closed has said that nothing follows.
#[test]
fn nothing_is_applied_after_the_end() {
    let (mut bench, table) = Bench::filled();
    assert!(bench.close(usize::MAX));
    let mut set = CommitSet::new();
    set.upsert(table, b"late", b"", PutOptions::default()).unwrap();
    assert_eq!(bench.commit(set, Level::Committed), Err(Error::Closing));
    assert!(bench.close(usize::MAX), "an end that is over stays so");
}
