//! A device that refuses: no room, failed writes, failed flushes.

use super::{Wanted, bench, check, commit, create, force, get, put, status};
use crate::bench::{Bench, tiny};
use domains::config::Config;
use domains::schema::{TableHome, TableKind};
use domains::{Engine, Error, ErrorKind, Level, Op};
use segments::memory::MemoryDevice;
use segments::{Completion, Device, DeviceError, Request, Tag};
use txn::{CommitSet, PutOptions};

/// A device in memory whose writes or flushes fail while a test wants it.
struct Failing {
    inner: MemoryDevice,
    writes: bool,
    flushes: bool,
    failed: Vec<Completion>,
}

impl Failing {
    fn new() -> Self {
        Self { inner: MemoryDevice::new(0), writes: false, flushes: false, failed: Vec::new() }
    }
}

impl Device for Failing {
    fn pages(&self) -> u64 {
        self.inner.pages()
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        let result = Err(DeviceError::Io { errno: 5 });
        match request {
            Request::Write { frames, .. } if self.writes => {
                self.failed.push(Completion { tag, frames: Some(frames), result });
            }
            Request::Flush if self.flushes => self.failed.push(Completion { tag, frames: None, result }),
            other => self.inner.submit(tag, other),
        }
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        done.append(&mut self.failed);
        self.inner.poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.poll(done);
    }

    fn in_flight(&self) -> usize {
        self.failed.len() + self.inner.in_flight()
    }
}

/// Fills the device until it answers that there is no room.
fn fill_up(bench: &mut Bench<Engine>, table: segments::TableId, wanted: &mut Wanted) {
    for number in 0..10_000_u16 {
        let (key, value) = (number.to_le_bytes().to_vec(), vec![number.to_le_bytes()[0]; 2500]);
        match put(bench, table, &key, &value) {
            Ok(_) => drop(wanted.insert(key, value)),
            Err(error) => {
                assert_eq!((error.code(), error.kind()), (104, ErrorKind::Full), "{error}");
                return;
            }
        }
    }
    panic!("10,000 pairs of 2,500 bytes fit a device of a few hundred pages");
}

#[test]
fn a_full_device_refuses_commits_serves_reads_and_recovers_when_there_is_room() {
    let mut bench = bench();
    let table = create(&mut bench, "t", TableKind::Hash);
    let spec = crate::column::plain(TableKind::Ordered, TableHome::Volatile);
    let Ok(domains::Answer::Table(volatile)) = bench.call(Op::CreateTable { name: "v".to_owned(), spec }) else {
        panic!("a table is created")
    };
    let mut wanted = Wanted::new();
    bench.device.set_pages_max(300);
    fill_up(&mut bench, table, &mut wanted);
    // An epoch that closes gives back the room kept for its close record: the last pages are full only when all are closed.
    force(&mut bench);
    fill_up(&mut bench, table, &mut wanted);
    force(&mut bench);
    assert!(wanted.len() > 50, "the room there was has been used: {}", wanted.len());
    for _ in 0..3 {
        assert_eq!(put(&mut bench, table, b"more", &[1; 3000]).unwrap_err().code(), 104);
        assert_eq!(get(&mut bench, table, b"more").unwrap(), None, "a refused commit leaves nothing");
        check(&mut bench, table, &wanted);
    }
    put(&mut bench, volatile.id, b"v", b"in memory").unwrap();
    force(&mut bench);
    bench.device.set_pages_max(600);
    put(&mut bench, table, b"more", &[1; 3000]).unwrap();
    wanted.insert(b"more".to_vec(), vec![1; 3000]);
    force(&mut bench);
    check(&mut bench, table, &wanted);
    bench.device.set_pages_max(600);
    let report = bench.reopen(&tiny()).unwrap();
    assert_eq!(report.pairs, wanted.len() as u64, "{report:?}");
    check(&mut bench, table, &wanted);
}

#[test]
fn a_cap_on_pages_is_kept() {
    let capped = Config { space_pages_max: Some(64 + 10 * 16), ..tiny() };
    let mut bench = Bench::format(MemoryDevice::new(0), &capped);
    let table = create(&mut bench, "t", TableKind::Hash);
    let mut wanted = Wanted::new();
    fill_up(&mut bench, table, &mut wanted);
    force(&mut bench);
    assert!(bench.device.pages() <= 64 + 10 * 16, "{} pages", bench.device.pages());
    // A full store opens, and is full still; with a greater cap it works again.
    bench.reopen(&capped).unwrap();
    check(&mut bench, table, &wanted);
    assert_eq!(put(&mut bench, table, b"more", &[1; 3000]).unwrap_err().code(), 104);
    bench.reopen(&tiny()).unwrap();
    put(&mut bench, table, b"more", &[1; 3000]).unwrap();
    check(&mut bench, table, &wanted);
}

#[test]
fn a_failed_write_or_flush_poisons_and_nothing_noticed_is_lost() {
    for (writes, flushes) in [(true, false), (false, true), (true, true)] {
        let mut bench = Bench::format(Failing::new(), &tiny());
        let table = create(&mut bench, "t", TableKind::Hash);
        let mut noticed = Wanted::new();
        let mut last = None;
        for number in 0..40_u8 {
            last = Some(put(&mut bench, table, &[number], &[number; 700]).unwrap());
            noticed.insert(vec![number], vec![number; 700]);
        }
        force(&mut bench);
        (bench.device.writes, bench.device.flushes) = (writes, flushes);
        let doubtful = put(&mut bench, table, b"doubtful", b"v").unwrap();
        let mut set = CommitSet::new();
        set.upsert(table, b"in doubt", b"v", PutOptions::default()).unwrap();
        let error = commit(&mut bench, set, Level::Persistent).unwrap_err();
        assert_eq!((error.code(), error.kind()), (304, ErrorKind::Poisoned), "{error}");
        assert!(matches!(error, Error::Poisoned { applied: true, epoch, .. } if epoch >= doubtful), "{error}");
        for _ in 0..3 {
            bench.turn();
        }
        // The device is well again, but what this incarnation wrote cannot be trusted any more.
        (bench.device.writes, bench.device.flushes) = (false, false);
        for refused in [put(&mut bench, table, b"new", b"v").unwrap_err(), {
            bench.call(Op::Await { epoch: doubtful }).unwrap_err()
        }] {
            assert_eq!((refused.code(), refused.is_applied()), (304, false), "{refused}");
        }
        assert!(get(&mut bench, table, b"new").unwrap().is_none(), "what is said not to be applied is not");
        assert!(get(&mut bench, table, b"in doubt").unwrap().is_some(), "what is said to be applied is visible");
        assert!(bench.call(Op::Await { epoch: last.unwrap() }).is_ok(), "what was persistent is");
        assert_eq!(bench.call(Op::DestroyTable { name: "t".to_owned() }).unwrap_err().code(), 304);
        assert!(status(&mut bench).poisoned.is_some());
        assert_eq!(get(&mut bench, table, b"doubtful").unwrap().unwrap(), b"v", "it was committed, and is visible");
        check(&mut bench, table, &noticed);
        bench.call(Op::DropCache).unwrap();
        check(&mut bench, table, &noticed);
        bench.reopen(&tiny()).unwrap();
        check(&mut bench, table, &noticed);
        assert_eq!(status(&mut bench).poisoned, None);
        put(&mut bench, table, b"new", b"v").unwrap();
        force(&mut bench);
    }
}
