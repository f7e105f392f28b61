//! Crashes: the data file as it is at some moment, opened as a store of its own. That is what a killed process leaves.

use crate::{check_sound, plain};
use lostore::open::DATA_FILE;
use mdservice::{MdService, ROOT};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Copies what a crash would leave right now.
fn crash(store: &Path, image: &Path) {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(image).unwrap();
    fs::copy(store.join(DATA_FILE), image.join(DATA_FILE)).unwrap();
}

#[test]
fn a_crash_leaves_a_tree() {
    let dir = TempDir::new().unwrap();
    let store_path = dir.path().join("store");
    let store = lostore::open_inline(&store_path).unwrap();
    let service = MdService::open(&store).unwrap();
    let (mut under_way, mut images) = (Vec::new(), Vec::new());
    let mut forced = 0;
    for number in 0..60_u64 {
        let directory = service.start_mkdir(ROOT, format!("a{number}").as_bytes(), &plain()).unwrap();
        let file = service.start_create(directory.ino(), b"b", &plain()).unwrap();
        under_way.extend([directory, file]);
        if number % 13 == 12 {
            store.force().unwrap();
            forced = number + 1;
        }
        if number % 7 == 6 {
            let image = dir.path().join(format!("image{number}"));
            crash(&store_path, &image);
            images.push((image, forced, number + 1));
        }
    }
    for pending in under_way {
        pending.wait().unwrap();
    }
    assert!(images.len() > 7);
    for (image, forced, made) in images {
        let service = MdService::open(&lostore::open_inline(&image).unwrap()).unwrap();
        check_sound(&service);
        let names: Vec<_> = service.readdir(ROOT).map(|dirent| dirent.unwrap().ino().unwrap()).collect();
        assert!((forced..=made).contains(&(names.len() as u64)), "{forced} <= {} <= {made}", names.len());
        // Transactions survive in their order: at most the last directory can be without its file.
        let full = names.iter().filter(|ino| service.lookup(**ino, b"b").unwrap().is_some()).count();
        assert!(full + 1 >= names.len());
        // What comes after the crash takes new numbers.
        service.mkdir(ROOT, b"after", &plain()).unwrap();
        check_sound(&service);
    }
}
