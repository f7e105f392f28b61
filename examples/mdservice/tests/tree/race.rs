//! Clients on threads of their own, all at the same names.

use crate::{check_sound, plain};
use lostore::{Options, Shared, Store};
use mdservice::{ChangeCursor, Error, Ino, MdService, ROOT};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use tempfile::TempDir;

const CLIENTS: u64 = 8;

fn open(dir: &TempDir) -> Store<Shared> {
    lostore::open(dir.path().join("store")).unwrap()
}

/// Runs one client on each thread, each with a service of its own.
fn race(store: &Store<Shared>, client: impl Fn(u64, &MdService<Shared>) + Sync) {
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let client = &client;
            scope.spawn(move || client(number, &MdService::open(store).unwrap()));
        }
    });
}

#[test]
fn nothing_is_lost_when_all_rename_into_one_directory() {
    const FILES: u64 = 50;
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let service = MdService::open(&store).unwrap();
    let target = service.mkdir(ROOT, b"target", &plain()).unwrap().ino;
    race(&store, |number, service| {
        let own = service.mkdir(ROOT, format!("own{number}").as_bytes(), &plain()).unwrap().ino;
        for file in 0..FILES {
            let name = format!("{number}.{file}").into_bytes();
            service.create(own, &name, &plain()).unwrap();
            service.rename(own, &name, target, &name).unwrap();
            // One name that all want: the last one has it, all others are replaced.
            service.create(own, b"x", &plain()).unwrap();
            service.rename(own, b"x", target, b"x").unwrap();
        }
    });
    assert_eq!(service.readdir(target).count() as u64, CLIENTS * FILES + 1);
    let report = service.fsck().unwrap();
    assert_eq!(report.inodes, 2 + CLIENTS + CLIENTS * FILES + 1);
    assert_eq!(report.changes, 1 + CLIENTS + CLIENTS * FILES * 4);
    check_sound(&service);
}

#[test]
fn directories_that_race_make_no_cycle() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let service = MdService::open(&store).unwrap();
    let directories: Vec<Ino> = (b'a'..b'g').map(|name| service.mkdir(ROOT, &[name], &plain()).unwrap().ino).collect();
    let (moved, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    race(&store, |number, service| {
        let mut seed = number + 1;
        for _ in 0..150 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pick = |bits: u32| usize::try_from(seed >> bits & 0xFFFF).unwrap();
            let what = pick(20) % directories.len();
            let name = [b'a' + u8::try_from(what).unwrap()];
            let Some(from) = service.names_of(directories[what]).next() else { continue };
            let to = std::iter::once(&ROOT).chain(&directories).nth(pick(40) % (directories.len() + 1)).unwrap();
            match service.rename(from.unwrap().parent, &name, *to, &name) {
                Ok(_) => moved.fetch_add(1, Ordering::Relaxed),
                Err(Error::IntoItself { .. } | Error::NotFound { .. }) => refused.fetch_add(1, Ordering::Relaxed),
                Err(error) => panic!("{error}"),
            };
        }
    });
    assert!(moved.into_inner() > 0 && refused.into_inner() > 0);
    check_sound(&service);
}

#[test]
fn whoever_removes_a_directory_removes_an_empty_one() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let made = AtomicU64::new(0);
    race(&store, |number, service| {
        for _ in 0..60 {
            // Half make the directory and put something into it, half remove both as far as they can.
            if number % 2 == 0 {
                drop(service.mkdir(ROOT, b"d", &plain()));
                let Some(inode) = service.lookup(ROOT, b"d").unwrap() else { continue };
                let name = [b'0' + u8::try_from(number).unwrap()];
                made.fetch_add(u64::from(service.create(inode.ino, &name, &plain()).is_ok()), Ordering::Relaxed);
                drop(service.unlink(inode.ino, &name));
            } else {
                drop(service.rmdir(ROOT, b"d"));
            }
        }
    });
    assert!(made.into_inner() > 0);
    check_sound(&MdService::open(&store).unwrap());
}

#[test]
fn a_reader_of_the_changelog_misses_nothing() {
    const FILES: u64 = 100;
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (store, done) = (&store, &done);
        let reader = scope.spawn(move || {
            let service = MdService::open(store).unwrap();
            let (mut cursor, mut all) = (ChangeCursor::default(), Vec::new());
            loop {
                let last = done.load(Ordering::Acquire);
                let read = service.changes_since(&cursor, 10).unwrap();
                all.extend(read.changes);
                cursor = read.cursor;
                if last && !read.more {
                    return all;
                }
            }
        });
        race(store, |number, service| {
            // Sent without waiting, and every third refused: numbers are decided out of their order, or never used.
            let names = (0..FILES).map(|file| format!("{number}.{}", file - u64::from(file % 3 == 2)).into_bytes());
            let under_way: Vec<_> = names.map(|name| service.start_create(ROOT, &name, &plain()).unwrap()).collect();
            for (file, pending) in under_way.into_iter().enumerate() {
                assert_eq!(pending.wait().is_ok(), file % 3 != 2);
            }
        });
        done.store(true, Ordering::Release);
        let all = reader.join().unwrap();
        assert!(all.is_sorted_by(|a, b| a.version < b.version), "in the order of commits");
        let different: BTreeSet<_> = all.iter().map(|change| format!("{:?}", change.op)).collect();
        assert_eq!((all.len() as u64, different.len() as u64), (CLIENTS * 67, CLIENTS * 67));
    });
    check_sound(&MdService::open(&store).unwrap());
}

/// An import of 132,000 names once lost 167 of them: a directory's commit waited for room in the log, and what went into it was
/// checked before it and refused.
#[test]
fn what_waits_for_room_is_not_overtaken_by_what_needs_it() {
    const DIRECTORIES: usize = 1_000;
    let dir = TempDir::new().unwrap();
    let mut options = Options::default();
    // So little of the log is kept in memory that commits soon wait for the device.
    options.config.tail_pages = 64;
    options.config.segment_pages = 64;
    options.config.zero_pages = 16;
    let (backend, _) = options.open(&dir.path().join("store")).unwrap();
    let service = MdService::open(&Store::new(backend)).unwrap();
    let mut under_way = VecDeque::new();
    for number in 0..DIRECTORIES {
        let directory = service.start_mkdir(ROOT, format!("{number:0200}").as_bytes(), &plain()).unwrap();
        let file = service.start_create(directory.ino(), &[b'b'; 200], &plain()).unwrap();
        under_way.extend([directory, file]);
        while under_way.len() > 256 {
            under_way.pop_front().unwrap().wait().unwrap();
        }
    }
    for pending in under_way {
        pending.wait().unwrap();
    }
    check_sound(&service);
}
