//! Each operation's rules, one by one.

use crate::{backends, check_sound, plain};
use lostore::Backend;
use lostore::mock::MapBackend;
use mdservice::{Error, Ino, Kind, MdService, NewNode, Op, ROOT, SetAttributes, Time};

fn open() -> MdService<MapBackend> {
    MdService::open(&backends::map()).unwrap()
}

fn names(service: &MdService<MapBackend>, directory: Ino) -> Vec<Vec<u8>> {
    service.readdir(directory).map(|dirent| dirent.unwrap().name.clone()).collect()
}

#[test]
fn what_is_made_is_found() {
    let service = open();
    let a = service.mkdir(ROOT, b"a", &plain()).unwrap().ino;
    let b = service.create(a, b"b", &plain()).unwrap().ino;
    let l = service.symlink(a, b"l", b"../a/b", &plain()).unwrap().ino;
    assert_eq!(service.lookup(a, b"b").unwrap().unwrap().ino, b);
    assert_eq!(service.resolve(b"/a//b").unwrap().unwrap().ino, b);
    assert_eq!(service.resolve(b"/").unwrap().unwrap().ino, ROOT);
    assert_eq!(service.resolve(b"/a/x/b").unwrap(), None);
    assert_eq!(service.readlink(l).unwrap().unwrap(), b"../a/b");
    assert_eq!(service.stat(l).unwrap().unwrap().size, 6);
    assert_eq!(service.readlink(b).unwrap(), None);
    assert_eq!(service.path_of(b).unwrap(), b"/a/b");
    assert_eq!(service.path_of(ROOT).unwrap(), b"/");
    assert_eq!(names(&service, a), [b"b".to_vec(), b"l".to_vec()]);
    check_sound(&service);
}

#[test]
fn names_have_rules() {
    let service = open();
    let long = [b'n'; 256];
    for bad in [&b""[..], b".", b"..", b"a/b", b"a\0b", &long] {
        assert!(matches!(service.create(ROOT, bad, &plain()), Err(Error::BadName { .. })), "{bad:?}");
    }
    for good in [&b"\xff\xfe"[..], b"...", b" ", &long[..255]] {
        service.create(ROOT, good, &plain()).unwrap();
        assert!(service.lookup(ROOT, good).unwrap().is_some());
    }
    assert!(matches!(service.symlink(ROOT, b"s", b"", &plain()), Err(Error::BadName { .. })));
    assert!(matches!(service.symlink(ROOT, b"s", &[b't'; 4096], &plain()), Err(Error::BadName { .. })));
    service.symlink(ROOT, b"s", &[b't'; 4095], &plain()).unwrap();
    assert!(matches!(service.rename(ROOT, b"...", ROOT, b".."), Err(Error::BadName { .. })));
    check_sound(&service);
}

#[test]
fn a_name_is_made_once() {
    let service = open();
    let file = service.create(ROOT, b"a", &plain()).unwrap().ino;
    assert!(matches!(service.mkdir(ROOT, b"a", &plain()), Err(Error::Exists { .. })));
    assert!(matches!(service.create(file, b"b", &plain()), Err(Error::NotADirectory { ino }) if ino == file));
    assert!(matches!(service.create(Ino(99), b"b", &plain()), Err(Error::NotADirectory { ino: Ino(99) })));
    check_sound(&service);
}

/// What goes into a directory need not wait for it, and is never there without it.
pub(crate) fn check_pipeline<B: Backend>(service: &MdService<B>) {
    let a = service.start_mkdir(ROOT, b"a", &plain()).unwrap();
    let b = service.start_create(a.ino(), b"b", &plain()).unwrap();
    assert_eq!(b.wait().unwrap().ino, service.resolve(b"/a/b").unwrap().unwrap().ino);
    a.wait().unwrap();
    let again = service.start_mkdir(ROOT, b"a", &plain()).unwrap();
    let inside = service.start_create(again.ino(), b"c", &plain()).unwrap();
    assert!(matches!(again.wait(), Err(Error::Exists { .. })));
    assert!(matches!(inside.wait(), Err(Error::NotADirectory { .. })));
    check_sound(service);
}

#[test]
fn links_are_counted() {
    let service = open();
    let file = service.create(ROOT, b"a", &plain()).unwrap().ino;
    let directory = service.mkdir(ROOT, b"d", &plain()).unwrap().ino;
    service.link(file, directory, b"b").unwrap();
    assert_eq!(service.stat(file).unwrap().unwrap().nlink, 2);
    assert_eq!(service.names_of(file).count(), 2);
    assert!(matches!(service.link(file, ROOT, b"a"), Err(Error::Exists { .. })));
    assert!(matches!(service.link(directory, ROOT, b"e"), Err(Error::IsADirectory { .. })));
    assert!(matches!(service.link(Ino(77), ROOT, b"e"), Err(Error::NoSuchInode { .. })));
    assert!(matches!(service.link(file, file, b"e"), Err(Error::NotADirectory { .. })));
    service.unlink(ROOT, b"a").unwrap();
    assert_eq!(service.path_of(file).unwrap(), b"/d/b");
    check_sound(&service);
    service.unlink(directory, b"b").unwrap();
    assert_eq!(service.stat(file).unwrap(), None);
    assert!(matches!(service.unlink(directory, b"b"), Err(Error::NotFound { .. })));
    assert!(matches!(service.unlink(ROOT, b"d"), Err(Error::IsADirectory { .. })));
    check_sound(&service);
}

#[test]
fn only_empty_directories_go() {
    let service = open();
    let a = service.mkdir(ROOT, b"a", &plain()).unwrap().ino;
    service.create(a, b"b", &plain()).unwrap();
    assert!(matches!(service.rmdir(ROOT, b"a"), Err(Error::NotEmpty { ino }) if ino == a));
    assert!(matches!(service.rmdir(a, b"b"), Err(Error::NotADirectory { .. })));
    service.unlink(a, b"b").unwrap();
    service.rmdir(ROOT, b"a").unwrap();
    assert!(matches!(service.create(a, b"c", &plain()), Err(Error::NotADirectory { .. })));
    check_sound(&service);
}

#[test]
fn renames_follow_posix() {
    let service = open();
    let [d, e] = [b"d", b"e"].map(|name| service.mkdir(ROOT, name, &plain()).unwrap().ino);
    let f = service.create(d, b"f", &plain()).unwrap().ino;
    let g = service.create(e, b"g", &plain()).unwrap().ino;
    service.rename(d, b"f", d, b"f2").unwrap();
    service.rename(d, b"f2", e, b"g").unwrap();
    assert_eq!(service.stat(g).unwrap(), None, "the replaced file had one name");
    assert_eq!(service.path_of(f).unwrap(), b"/e/g");
    assert!(matches!(service.rename(d, b"f", d, b"x"), Err(Error::NotFound { .. })));
    assert!(matches!(service.rename(e, b"g", ROOT, b"d"), Err(Error::IsADirectory { .. })));
    assert!(matches!(service.rename(ROOT, b"d", e, b"g"), Err(Error::NotADirectory { .. })));
    assert!(matches!(service.rename(ROOT, b"d", ROOT, b"e"), Err(Error::NotEmpty { .. })));
    assert!(matches!(service.rename(ROOT, b"d", f, b"x"), Err(Error::NotADirectory { .. })));
    service.rename(ROOT, b"e", ROOT, b"d").unwrap();
    assert_eq!(service.stat(d).unwrap(), None, "an empty directory is replaced");
    assert_eq!(service.path_of(f).unwrap(), b"/d/g");
    let l = service.symlink(ROOT, b"l", b"nowhere", &plain()).unwrap().ino;
    service.rename(ROOT, b"l", e, b"g").unwrap();
    assert_eq!(service.readlink(l).unwrap().unwrap(), b"nowhere");
    assert_eq!(service.path_of(l).unwrap(), b"/d/g");
    service.create(ROOT, b"h", &plain()).unwrap();
    service.rename(ROOT, b"h", e, b"g").unwrap();
    assert_eq!(service.readlink(l).unwrap(), None, "a replaced link's target goes with it");
    check_sound(&service);
}

#[test]
fn two_names_of_one_thing_stay() {
    let service = open();
    let a = service.create(ROOT, b"a", &plain()).unwrap().ino;
    service.link(a, ROOT, b"b").unwrap();
    service.rename(ROOT, b"a", ROOT, b"b").unwrap();
    service.rename(ROOT, b"a", ROOT, b"a").unwrap();
    assert_eq!(names(&service, ROOT), [b"a", b"b"]);
    assert_eq!(service.stat(a).unwrap().unwrap().nlink, 2);
    check_sound(&service);
}

#[test]
fn no_directory_goes_into_itself() {
    let service = open();
    let a = service.mkdir(ROOT, b"a", &plain()).unwrap().ino;
    let b = service.mkdir(a, b"b", &plain()).unwrap().ino;
    let c = service.mkdir(b, b"c", &plain()).unwrap().ino;
    for inside in [a, b, c] {
        assert!(matches!(service.rename(ROOT, b"a", inside, b"x"), Err(Error::IntoItself { ino }) if ino == a));
    }
    assert!(matches!(service.rename(b, b"c", ROOT, b"a"), Err(Error::NotEmpty { .. })));
    service.rename(b, b"c", ROOT, b"c").unwrap();
    service.rename(ROOT, b"a", c, b"a").unwrap();
    assert_eq!(service.path_of(b).unwrap(), b"/c/a/b");
    check_sound(&service);
}

#[test]
fn attributes_are_set_one_by_one() {
    let service = open();
    let a = service.mkdir(ROOT, b"a", &plain()).unwrap().ino;
    let old = Time { s: -5, ns: 999_999_999 };
    let set = SetAttributes { mode: Some(0o700), mtime: Some(old), ..SetAttributes::default() };
    service.set_attributes(a, &set).unwrap();
    let inode = service.stat(a).unwrap().unwrap();
    assert_eq!((inode.mode, inode.mtime, inode.uid), (0o700, old, 0));
    let new = NewNode {
        parent: a,
        name: b"f",
        kind: Kind::Fifo,
        attributes: plain(),
        target: b"",
        parent_mtime: Time { s: 7, ns: 0 },
    };
    service.start_make(&new).unwrap().wait().unwrap();
    assert_eq!(service.stat(a).unwrap().unwrap().mtime, new.parent_mtime, "a new name stamps its directory");
    let last = service.changes_since(&Default::default(), 100).unwrap().changes.pop().unwrap();
    assert!(matches!(last.op, Op::Made { kind: Kind::Fifo, .. }));
    check_sound(&service);
}

#[test]
fn a_check_finds_what_is_broken() {
    use mdservice::Problem;
    use mdservice::tables::{Dirent, Inode, Parent};
    let service = open();
    let a = service.mkdir(ROOT, b"a", &plain()).unwrap().ino;
    let b = service.create(a, b"b", &plain()).unwrap().ino;
    let store = service.store();
    let dirents = store.table::<Dirent>("dirent").unwrap();
    dirents.delete((ROOT, b"a")).unwrap();
    let problems = service.fsck().unwrap().problems_first;
    assert!(problems.contains(&Problem::Unreachable { ino: b }), "{problems:?}");
    assert!(problems.contains(&Problem::WrongCount { ino: a, nlink: 1, names: 0 }), "{problems:?}");
    assert!(problems.contains(&Problem::PointersLeft { pointers: 2, names: 1 }), "{problems:?}");
    assert!(problems.contains(&Problem::LogDiffers { played: 1, missed: 0 }), "{problems:?}");
    dirents.insert(Dirent::new(ROOT, b"a", a, Kind::Directory)).unwrap();
    check_sound(&service);
    store.table::<Parent>("parent").unwrap().delete((b, a, b"b")).unwrap();
    store.table::<Inode>("inode").unwrap().delete(b).unwrap();
    let problems = service.fsck().unwrap().problems_first;
    assert!(problems.contains(&Problem::Dangling { parent: a, name: b"b".to_vec() }), "{problems:?}");
    assert!(problems.contains(&Problem::NoPointerBack { parent: a, name: b"b".to_vec() }), "{problems:?}");
}
