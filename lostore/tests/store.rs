//! The public API over a map: typed tables, transactions, pointers, sacks, futures, evolution, errors.
//!
//! What holds here holds for any backend that answers as the seam says; the conformance suite checks that they do.

#![expect(clippy::unwrap_used, reason = "a test that fails here has its message in the error")]

#[path = "store/evolution.rs"]
mod evolution;
#[path = "store/iterate.rs"]
mod iterate;
#[path = "store/keeps.rs"]
mod keeps;
#[path = "store/large.rs"]
mod large;
#[path = "store/reads.rs"]
mod reads;
#[path = "store/strict.rs"]
mod strict;
#[path = "store/transact.rs"]
mod transact;
#[path = "store/typed.rs"]
mod typed;

use lostore::mock::MapBackend;
use lostore::{Ptr, Store, Table, TableType};

#[derive(TableType, Clone, PartialEq, Debug)]
#[table(ordered, pairs = 1000)]
struct Dirent {
    #[key]
    parent: u64,
    #[key]
    name: Vec<u8>,
    ino: Ptr<Inode>,
}

#[derive(TableType, Clone, PartialEq, Debug)]
struct Inode {
    #[key]
    ino: u64,
    mode: u32,
    size: u64,
}

type Dirents = Table<Dirent, MapBackend>;
type Inodes = Table<Inode, MapBackend>;

fn open() -> (Store<MapBackend>, Dirents, Inodes) {
    let store = lostore::mock::doc_store();
    let (dirents, inodes) = (store.table("dirent").unwrap(), store.table("inode").unwrap());
    store.backend().take_operations();
    (store, dirents, inodes)
}

fn dirent(parent: u64, name: &[u8], ino: u64) -> Dirent {
    Dirent { parent, name: name.to_vec(), ino: Ptr::to(ino) }
}

fn inode(ino: u64) -> Inode {
    Inode { ino, mode: 0o644, size: ino * 10 }
}
