//! The metadata service behind the real daemon: the same program as embedded, the same results.

use crate::process::Daemon;
use lostore::{AnyBackend, Backend, Store};
use mdservice::{Attributes, ChangeCursor, Ino, MdService, ROOT, SetAttributes, Time};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

fn attributes(mode: u32) -> Attributes {
    Attributes { mode, uid: 1, gid: 2, size: 3, mtime: Time { s: 4, ns: 5 } }
}

/// Everything that one can see of a tree, by path: kind, attributes, count of names, target; and then the changes, in order.
fn seen<B: Backend>(service: &MdService<B>) -> Vec<String> {
    let mut all = Vec::new();
    let mut directories = vec![(Vec::new(), ROOT)];
    while let Some((path, directory)) = directories.pop() {
        for dirent in service.readdir(directory) {
            let dirent = dirent.unwrap();
            let ino = dirent.ino().unwrap();
            let inode = service.stat(ino).unwrap().unwrap();
            let path = [&path[..], b"/", &dirent.name].concat();
            assert_eq!(service.resolve(&path).unwrap().unwrap(), inode, "the path leads to the thing");
            let names = service.names_of(ino).count();
            assert!(names != 1 || service.path_of(ino).unwrap() == path, "the thing leads to the path");
            let target = service.readlink(ino).unwrap();
            all.push(format!("{} {:?} {inode:?} {names} {target:?}", path.escape_ascii(), dirent.kind));
            if dirent.kind == mdservice::Kind::Directory {
                directories.push((path, ino));
            }
        }
    }
    let changes = service.changes_since(&ChangeCursor::default(), 10_000).unwrap();
    assert!(!changes.more);
    all.extend(changes.changes.iter().map(|change| format!("{:?}", change.op)));
    let report = service.fsck().unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems_first);
    all
}

/// What a step answered: nothing, or the refusal's own words.
type Said = Vec<Result<(), String>>;

/// A scenario with every operation, and refusals of each.
fn scenario<B: Backend>(store: &Store<B>) -> (Said, Vec<String>) {
    let service = MdService::open(store).unwrap();
    let mut said = Said::new();
    let note = |result: Result<(), mdservice::Error>| result.map_err(|error| error.to_string());
    let mut inodes: BTreeMap<u32, Ino> = BTreeMap::from([(0, ROOT)]);
    for number in 1..40_u32 {
        let parent = inodes[&(number / 3 * 2 % number)];
        let name = format!("n{}", number % 7).into_bytes();
        let made = match number % 3 {
            0 => service.create(parent, &name, &attributes(number)),
            1 => service.mkdir(parent, &name, &attributes(number)),
            _ => service.symlink(parent, &name, b"../target", &attributes(number)),
        };
        // Who was refused stands for the root.
        inodes.insert(number, made.as_ref().map_or(ROOT, |made| made.ino));
        said.push(note(made.map(drop)));
    }
    for number in 0..40_u32 {
        let (from, to) = (inodes[&number], inodes[&(number * 7 % 40)]);
        let [old, new] = [number % 7, number % 5].map(|name| format!("n{name}").into_bytes());
        said.push(note(service.rename(from, &old, to, &new).map(drop)));
        said.push(note(service.link(inodes[&(number / 2)], from, &new).map(drop)));
        let set = SetAttributes { mode: Some(number), ..SetAttributes::default() };
        said.push(note(service.set_attributes(to, &set).map(drop)));
        said.push(match number % 2 {
            0 => note(service.unlink(from, &new).map(drop)),
            _ => note(service.rmdir(from, &old).map(drop)),
        });
    }
    (said, seen(&service))
}

#[test]
fn the_metadata_service_does_the_same_embedded_and_behind_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (said, tree) = scenario(&lostore::open_memory().unwrap());
    let [ok, refused] = [true, false].map(|ok| said.iter().filter(|said| said.is_ok() == ok).count());
    println!("{ok} steps done, {refused} refused, {} lines of tree and changes", tree.len());
    assert!(ok > 40 && refused > 20 && tree.len() > 50, "the scenario does something");
    assert_eq!(scenario(&lostore::open(dir.path().join("embedded")).unwrap()), (said.clone(), tree.clone()));
    let store = dir.path().join("store");
    let daemon = Daemon::start(&store);
    assert_eq!(scenario(&daemon.connect()), (said, tree.clone()));
    daemon.stop();
    // And the service finds it again, in another life of the daemon.
    let daemon = Daemon::start(&store);
    assert_eq!(seen(&MdService::open(&daemon.connect()).unwrap()), tree);
}

/// Sends `mkdir a; touch a/b` again and again without waiting, until so many were answered; the daemon may go meanwhile.
fn pairs(service: &MdService<AnyBackend>, life: u32, wanted: u32, answered: &dyn Fn(u32)) {
    let mut under_way = std::collections::VecDeque::new();
    for number in 0..wanted {
        let Ok(a) = service.start_mkdir(ROOT, format!("{life}.{number}").as_bytes(), &attributes(0)) else { return };
        let Ok(b) = service.start_create(a.ino(), b"b", &attributes(0)) else { return };
        under_way.push_back((a, b));
        if under_way.len() == 16 {
            let (a, b) = under_way.pop_front().unwrap();
            if a.wait().is_err() || b.wait().is_err() {
                return;
            }
            answered(number);
        }
    }
}

/// How many of these directories are there, and how many have their file. Files are looked for by their directory's own number, so
/// that a file is found without its name leading there.
fn look(service: &MdService<AnyBackend>) -> (usize, usize) {
    // Files first, then directories: whatever was made between the two looks is no excuse for a file without its directory.
    let files: Vec<Ino> = service
        .changes_since(&ChangeCursor::default(), 100_000)
        .unwrap()
        .changes
        .iter()
        .filter_map(|change| match &change.op {
            mdservice::Op::Made { parent, name, .. } if name == b"b" => Some(*parent),
            _ => None,
        })
        .collect();
    let directories: std::collections::BTreeSet<Ino> =
        service.readdir(ROOT).map(|dirent| dirent.unwrap().ino().unwrap()).collect();
    for parent in &files {
        assert!(directories.contains(parent), "a/b is there and a is not");
        assert!(service.lookup(*parent, b"b").unwrap().is_some(), "a change that did not happen");
    }
    (directories.len(), files.len())
}

#[test]
fn b_is_never_seen_without_a_however_fast_and_whatever_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let mut daemon = Daemon::start(&store);
    let (mut looks, mut halves, mut partial) = (0, 0, 0);
    for life in 0..10_u32 {
        let (writer, reader) =
            (MdService::open(&daemon.connect()).unwrap(), MdService::open(&daemon.connect()).unwrap());
        let kill_at = 20 + life * 23;
        let done = AtomicBool::new(false);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let answered = |number| {
                    if number == kill_at {
                        tell.send(()).unwrap();
                    }
                };
                pairs(&writer, life, kill_at + 400, &answered);
            });
            let watcher = scope.spawn(|| {
                let (mut looks, mut halves) = (0, 0);
                while !done.load(Ordering::Acquire) {
                    let (directories, files) = look(&reader);
                    looks += 1;
                    halves += usize::from(files < directories);
                }
                (looks, halves)
            });
            told.recv().unwrap();
            done.store(true, Ordering::Release);
            let seen = watcher.join().unwrap();
            looks += seen.0;
            halves += seen.1;
            daemon.kill();
        });
        daemon = Daemon::start(&store);
        let service = MdService::open(&daemon.connect()).unwrap();
        let (directories, files) = look(&service);
        partial += usize::from(files < directories);
        assert!(service.fsck().unwrap().is_clean());
        drop((writer, reader));
    }
    println!("{looks} looks while it was written, {halves} saw an a without its b; {partial} of 10 kills left one");
    assert!(looks >= 10, "the reader looked while it was written");
}
