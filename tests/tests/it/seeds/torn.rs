//! A log that ends anywhere: cut at every byte, it opens with the last record that is whole, or what it lost is told.
//!
//! What stands behind the cut is what a file has there: zeros of a page never written, or bytes that mean nothing.

use super::{bench, check, create, force, get, put};
use crate::bench::{Bench, tiny};
use domains::schema::TableKind;
use segments::memory::MemoryDevice;
use segments::{Device, Frames, PAGE_BYTES, PageNo, Request, TableId, Tag};
use std::collections::BTreeMap;

/// Epochs at the end of the log that are cut off byte by byte.
const EPOCHS: u8 = 4;
/// Bytes between two cuts of a page that is not cut at every byte.
const STRIDE: usize = 59;

/// The bytes of all pages of a device.
type Pages = Vec<Vec<u8>>;

fn copy_of(device: &mut MemoryDevice) -> Pages {
    let count = device.pages();
    let mut pages = Pages::new();
    for at in 0..count {
        device.submit(Tag(0), Request::Read { at: PageNo(at), frames: Frames::zeroed(1) });
        let mut done = Vec::new();
        device.poll(&mut done);
        let frames = done.pop().and_then(|completion| completion.frames);
        pages.push(frames.expect("a read brings its frames home").bytes().to_vec());
    }
    pages
}

fn device_of(pages: &Pages) -> MemoryDevice {
    let mut device = MemoryDevice::new(pages.len() as u64);
    for (at, bytes) in (0..).zip(pages).filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)) {
        let mut frames = Frames::zeroed(1);
        frames.bytes_mut().copy_from_slice(bytes);
        device.submit(Tag(0), Request::Write { at: PageNo(at), frames });
        device.poll(&mut Vec::new());
    }
    device
}

fn key(number: u8) -> Vec<u8> {
    vec![b'k', number]
}

/// A store of some records, then one record an epoch, the last of which spans two pages.
struct Log {
    bench: Bench,
    table: TableId,
    /// The device after each of the last epochs, oldest first; the first has none of them.
    after: Vec<Pages>,
}

impl Log {
    fn write() -> Self {
        let mut bench = bench();
        let table = create(&mut bench, "t", TableKind::Hash);
        for number in 0..20 {
            put(&mut bench, table, &key(100 + number), &[number; 90]).unwrap();
        }
        force(&mut bench);
        bench.reopen(&tiny()).unwrap();
        put(&mut bench, table, b"first", b"of this life").unwrap();
        force(&mut bench);
        let mut after = vec![copy_of(&mut bench.device)];
        for number in 0..EPOCHS {
            let length = if number == EPOCHS - 1 { 5_000 } else { 300 };
            put(&mut bench, table, &key(number), &vec![number; length]).unwrap();
            force(&mut bench);
            after.push(copy_of(&mut bench.device));
        }
        Self { bench, table, after }
    }

    /// The pages that each of the last epochs wrote, in the log's order.
    fn pages(&self) -> Vec<Vec<usize>> {
        let written = self.after.windows(2).map(|pair| {
            let (before, after) = (&pair[0], &pair[1]);
            (0..after.len()).filter(|&page| before.get(page) != after.get(page)).collect()
        });
        written.collect()
    }

    /// Opens the whole device as if the log ended at `cut` bytes into page `at`; tells how many of the last epochs are there.
    fn cut(&mut self, at: usize, cut: usize, behind: &[usize], rest: u8) -> usize {
        let mut pages = self.after.last().expect("there is one").clone();
        pages[at][cut..].fill(rest);
        for &page in behind {
            pages[page].fill(rest);
        }
        self.bench.device = device_of(&pages);
        let place = format!("byte {cut} of page {at}, {rest:#x} behind it");
        self.bench.reopen(&tiny()).unwrap_or_else(|error| panic!("{place}: {error}"));
        let there: Vec<bool> = (0..EPOCHS).map(|number| self.is_there(number)).collect();
        let whole = there.iter().take_while(|there| **there).count();
        assert!(there[whole..].iter().all(|there| !there), "{place}: {there:?} is not the beginning of the log");
        let older = (0..20).map(|number| (key(100 + number), vec![number; 90])).collect::<BTreeMap<_, _>>();
        check(&mut self.bench, self.table, &older);
        whole
    }

    fn is_there(&mut self, number: u8) -> bool {
        match get(&mut self.bench, self.table, &key(number)).unwrap() {
            Some(value) => {
                assert!(value.iter().all(|byte| *byte == number), "another's bytes");
                true
            }
            None => false,
        }
    }

    /// What is written after the cut is kept, and what was cut off does not come back behind it.
    fn goes_on(&mut self, whole: usize) {
        put(&mut self.bench, self.table, b"after", b"the cut").unwrap();
        force(&mut self.bench);
        self.bench.reopen(&tiny()).unwrap();
        assert_eq!(get(&mut self.bench, self.table, b"after").unwrap().unwrap(), b"the cut");
        for number in 0..EPOCHS {
            assert_eq!(self.is_there(number), usize::from(number) < whole, "epoch {number} of {whole} whole ones");
        }
    }
}

#[test]
fn a_log_cut_at_any_byte_opens_with_the_last_good_record() {
    let mut log = Log::write();
    let written = log.pages();
    assert_eq!(written.len(), usize::from(EPOCHS));
    let order: Vec<(usize, usize)> =
        written.iter().enumerate().flat_map(|(epoch, pages)| pages.iter().map(move |page| (epoch, *page))).collect();
    assert!(order.len() > usize::from(EPOCHS), "the last epoch spans pages: {order:?}");
    assert!(order.windows(2).all(|pair| pair[0].1 < pair[1].1), "the log goes forward here: {order:?}");
    let mut cuts = 0;
    for (index, &(epoch, page)) in order.iter().enumerate() {
        let behind: Vec<usize> = order[index + 1..].iter().map(|(_, page)| *page).collect();
        let is_last_of_epoch = order.get(index + 1).is_none_or(|(next, _)| *next != epoch);
        let mut lost = true;
        // Every byte of one page; the others, which differ from it in what they hold only, in steps.
        let step = if index == 1 { 1 } else { STRIDE };
        for cut in (0..PAGE_BYTES).step_by(step) {
            for rest in if cut % 16 == 0 { &[0, 0xA7][..] } else { &[0] } {
                let rest = *rest;
                let whole = log.cut(page, cut, &behind, rest);
                assert!(
                    whole == epoch || (is_last_of_epoch && whole == epoch + 1),
                    "{whole} whole ones, cut in {epoch}"
                );
                if rest == 0 && is_last_of_epoch {
                    assert!(lost || whole > epoch, "what a shorter log had is not lost by a longer one");
                    lost = whole == epoch;
                }
                if cut % 512 == 0 {
                    log.goes_on(whole);
                }
                cuts += 1;
            }
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > PAGE_BYTES);
}
