//! Real trees: import, comparison, and what they do about trouble.

use crate::{backends, check_sound, plain};
use lostore::Backend;
use mdservice::{CompareOptions, Field, ImportOptions, MdService, ROOT};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// Directories of directories, odd names, links of both kinds, odd modes; returns how many names there are.
fn grow(top: &Path) -> u64 {
    let mut names = 0;
    for outer in 0..4_u8 {
        let directory = top.join(format!("d{outer}"));
        fs::create_dir(&directory).unwrap();
        for inner in 0..20_u8 {
            let path = directory.join(OsStr::from_bytes(&[b'f', inner + 200]));
            fs::write(&path, vec![0; usize::from(inner) * 100]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400 | u32::from(inner))).unwrap();
        }
        let deep = directory.join("x/y/z");
        fs::create_dir_all(&deep).unwrap();
        fs::hard_link(directory.join(OsStr::from_bytes(&[b'f', 201])), deep.join("linked")).unwrap();
        symlink("../nowhere", deep.join("symlink")).unwrap();
        fs::create_dir(deep.join("empty")).unwrap();
        names += 1 + 20 + 3 + 3;
    }
    names
}

pub(crate) fn check_import<B: Backend>(service: &MdService<B>) {
    let tree = TempDir::new().unwrap();
    let names = grow(tree.path());
    let mut told = 0;
    let mut progress = |progress: &mdservice::Progress| told = progress.entries;
    let options = ImportOptions { progress: Some(&mut progress), batch: 16, ..ImportOptions::default() };
    let report = service.import_tree(tree.path(), ROOT, options).unwrap();
    assert_eq!((report.entries, report.links, report.symlinks), (names, 4, 4));
    assert!(report.complete && report.unreadable == 0 && report.refused == 0, "{report:?}");
    assert_eq!(told, names);
    check_sound(service);
    let compared = service.compare_tree(tree.path(), ROOT, CompareOptions::default()).unwrap();
    assert!(compared.is_same(), "{:?}", compared.mismatches_first);
    assert_eq!((compared.entries, compared.changed, compared.unreadable), (names, 0, 0));
    assert!(compared.checks >= names * 9);
}

#[test]
fn a_comparison_sees_each_difference() {
    let tree = TempDir::new().unwrap();
    grow(tree.path());
    let service = MdService::open(&backends::map()).unwrap();
    let began = service.import_tree(tree.path(), ROOT, ImportOptions::default()).unwrap().began;
    let d0 = service.lookup(ROOT, b"d0").unwrap().unwrap().ino;
    let fields = || {
        let compared = service.compare_tree(tree.path(), ROOT, CompareOptions::default()).unwrap();
        compared.mismatches_first.iter().map(|mismatch| mismatch.field).collect::<Vec<_>>()
    };
    service.create(d0, b"more", &plain()).unwrap();
    let found = fields();
    assert!(found.contains(&Field::Name) && found.contains(&Field::Mtime), "{found:?}");
    service.unlink(d0, b"more").unwrap();
    let file = tree.path().join("d1").join(OsStr::from_bytes(&[b'f', 205]));
    fs::write(&file, "other").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o777)).unwrap();
    let found = fields();
    assert!(found.contains(&Field::Size) && found.contains(&Field::Mode), "{found:?}");
    let link = tree.path().join("d2/x/y/z/symlink");
    fs::remove_file(&link).unwrap();
    symlink("../elsewhere", &link).unwrap();
    assert!(fields().contains(&Field::Target));
    fs::remove_file(&link).unwrap();
    assert!(fields().contains(&Field::Name));
    // What the disk has done since the import is not the store's fault; what the store has done is.
    let options = CompareOptions { imported: Some(began), partial: false };
    let compared =
        service.compare_tree(&tree.path().join("d1"), service.lookup(ROOT, b"d1").unwrap().unwrap().ino, options);
    let compared = compared.unwrap();
    assert!(compared.is_same() && compared.changed == 1, "{compared:?}");
}

#[test]
fn an_import_can_be_ended() {
    let tree = TempDir::new().unwrap();
    let names = grow(tree.path());
    let service = MdService::open(&backends::map()).unwrap();
    let options = ImportOptions { entries_max: 10, ..ImportOptions::default() };
    let report = service.import_tree(tree.path(), ROOT, options).unwrap();
    assert_eq!((report.entries, report.complete), (10, false));
    let partial = CompareOptions { partial: true, imported: None };
    assert!(service.compare_tree(tree.path(), ROOT, partial).unwrap().is_same());
    assert!(!service.compare_tree(tree.path(), ROOT, CompareOptions::default()).unwrap().is_same());

    let cancel = AtomicBool::new(true);
    let second = service.mkdir(ROOT, b"second", &plain()).unwrap().ino;
    let options = ImportOptions { cancel: Some(&cancel), ..ImportOptions::default() };
    assert_eq!(service.import_tree(tree.path(), second, options).unwrap().entries, 0);
    cancel.store(false, Ordering::Relaxed);
    let options = ImportOptions { cancel: Some(&cancel), ..ImportOptions::default() };
    assert_eq!(service.import_tree(tree.path(), second, options).unwrap().entries, names);
    check_sound(&service);
}

#[test]
fn what_is_there_is_left_alone() {
    let tree = TempDir::new().unwrap();
    let names = grow(tree.path());
    let service = MdService::open(&backends::map()).unwrap();
    service.create(ROOT, b"d1", &plain()).unwrap();
    let report = service.import_tree(tree.path(), ROOT, ImportOptions::default()).unwrap();
    // The directory's own name, and all that would have been in it.
    assert_eq!(report.refused + report.entries, names);
    assert_eq!(report.refused, names / 4);
    check_sound(&service);
}

#[test]
fn an_import_of_what_is_no_directory_is_refused() {
    let service = MdService::open(&backends::map()).unwrap();
    let tree = TempDir::new().unwrap();
    fs::write(tree.path().join("file"), "").unwrap();
    for path in [tree.path().join("file"), tree.path().join("missing")] {
        let refused = service.import_tree(&path, ROOT, ImportOptions::default()).unwrap_err();
        assert!(matches!(refused, mdservice::Error::Disk { .. }), "{refused}");
    }
}
