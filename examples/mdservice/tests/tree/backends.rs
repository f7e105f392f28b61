//! The service on each backend that one process has: a map, the engine in memory, the engine on a file, on this thread and on
//! one of its own. A socket has its tests where the daemon is.

use crate::{changelog, disk, operations};
use lostore::mock::MapBackend;
use lostore::{Backend, Store};
use mdservice::MdService;
use tempfile::TempDir;

/// A store in a map.
pub(crate) fn map() -> Store<MapBackend> {
    lostore::mock::doc_store()
}

/// What must be the same everywhere; each on a tree of its own would say no more.
fn check_all<B: Backend>(store: &Store<B>) {
    disk::check_import(&MdService::open(store).unwrap());
    operations::check_pipeline(&MdService::open(store).unwrap());
    changelog::check_order(store);
}

#[test]
fn in_a_map() {
    check_all(&map());
}

#[test]
fn in_memory() {
    check_all(&lostore::open_memory().unwrap());
}

#[test]
fn on_this_thread_and_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    check_all(&lostore::open_inline(&path).unwrap());
    let service = MdService::open(&lostore::open_inline(&path).unwrap()).unwrap();
    assert!(service.fsck().unwrap().names > 100);
    crate::check_sound(&service);
}

#[test]
fn on_a_thread_of_its_own() {
    let dir = TempDir::new().unwrap();
    check_all(&lostore::open(dir.path().join("store")).unwrap());
}
