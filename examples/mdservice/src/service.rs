//! The service: its tables, and what each operation's commit has in common.
//!
//! Contract: an operation's transaction ends with its change and its writer's stamp, added here. A service may be used from
//! several threads where its backend may. The lock is held while a commit is sent, never while its answer is awaited; only taking
//! a lease waits under it, once in a thousand operations.

use crate::error::Error;
use crate::limits::{ATTEMPTS_MAX, INOS_LEASED, NAME_BYTES_MAX};
use crate::tables::{Change, Directory, Dirent, Ino, Inode, Kind, Lease, Op, Parent, ROOT, Symlink, Time, Writer};
use lostore::{Backend, PendingCommit, Store, Table, Ticket, Txn};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

/// A metadata service on a store.
///
/// ```
/// use mdservice::{Attributes, MdService, ROOT};
///
/// let store = lostore::open_memory()?;
/// let service = MdService::open(&store)?;
/// let etc = service.mkdir(ROOT, b"etc", &Attributes::new(0o755))?.ino;
/// service.create(etc, b"hosts.new", &Attributes::new(0o644))?;
/// service.rename(etc, b"hosts.new", etc, b"hosts")?;
/// let hosts = service.resolve(b"/etc/hosts")?.expect("it was just renamed");
/// assert_eq!(service.path_of(hosts.ino)?, b"/etc/hosts");
/// assert!(service.fsck()?.is_clean());
/// # Ok::<(), mdservice::Error>(())
/// ```
pub struct MdService<B: Backend> {
    pub(crate) store: Store<B>,
    pub(crate) inodes: Table<Inode, B>,
    pub(crate) directories: Table<Directory, B>,
    pub(crate) dirents: Table<Dirent, B>,
    pub(crate) parents: Table<Parent, B>,
    pub(crate) symlinks: Table<Symlink, B>,
    pub(crate) changes: Table<Change, B>,
    pub(crate) writers: Table<Writer, B>,
    pub(crate) leases: Table<Lease, B>,
    numbers: Arc<Mutex<Numbers>>,
}

/// The numbers that this service may give, and the changes it has under way.
#[derive(Debug)]
struct Numbers {
    /// Taken with the first lease.
    writer: Option<u32>,
    inos: Range<u64>,
    next_change: u64,
    under_way: BTreeSet<u64>,
}

impl Numbers {
    /// All changes with lower numbers have been committed or refused.
    fn settled(&self) -> u64 {
        self.under_way.first().copied().unwrap_or(self.next_change)
    }
}

impl<B: Backend> MdService<B> {
    /// Opens the tree of this store, or makes one with an empty root.
    ///
    /// # Errors
    /// When the store has tables of these names and other types, or fails.
    pub fn open(store: &Store<B>) -> Result<Self, Error> {
        let numbers = Numbers { writer: None, inos: 0..0, next_change: 0, under_way: BTreeSet::new() };
        let service = Self {
            store: store.clone(),
            inodes: store.table("inode")?,
            directories: store.table("directory")?,
            dirents: store.table("dirent")?,
            parents: store.table("parent")?,
            symlinks: store.table("symlink")?,
            changes: store.table("change")?,
            writers: store.table("writer")?,
            leases: store.table("lease")?,
            numbers: Arc::new(Mutex::new(numbers)),
        };
        if !service.inodes.contains(ROOT)? {
            service.make_root()?;
        }
        Ok(service)
    }

    /// The store it works on.
    #[must_use]
    pub fn store(&self) -> &Store<B> {
        &self.store
    }

    fn make_root(&self) -> Result<(), Error> {
        let mtime = Time::now();
        let root = Inode { ino: ROOT, kind: Kind::Directory, mode: 0o755, nlink: 1, uid: 0, gid: 0, size: 0, mtime };
        let mut txn = self.store.txn();
        txn.insert(&self.inodes, root)?;
        txn.insert(&self.directories, Directory { ino: ROOT, mtime })?;
        txn.insert(&self.leases, Lease { id: 0, next_ino: ROOT.0 + 1, next_writer: 0 })?;
        match txn.commit().map_err(Error::from) {
            // Another service was faster.
            Err(error) if error.is_conflict() => Ok(()),
            made => made.map(drop),
        }
    }

    /// A number that nothing has had yet.
    pub(crate) fn next_ino(&self) -> Result<Ino, Error> {
        let mut numbers = self.leased(|numbers| !numbers.inos.is_empty())?;
        let ino = numbers.inos.next().expect("the lease was just found to have numbers");
        Ok(Ino(ino))
    }

    /// The numbers, after taking a lease unless they are `enough`.
    fn leased(&self, enough: impl Fn(&Numbers) -> bool) -> Result<MutexGuard<'_, Numbers>, Error> {
        let mut numbers = held(&self.numbers);
        if !enough(&numbers) {
            self.retry(|| self.take_lease(&mut numbers))?;
        }
        Ok(numbers)
    }

    fn take_lease(&self, numbers: &mut Numbers) -> Result<(), Error> {
        let mut lease = self.leases.get(0)?.ok_or(Error::Contended)?;
        let inos = lease.next_ino..lease.next_ino + INOS_LEASED;
        let writer = numbers.writer.unwrap_or(lease.next_writer);
        let mut txn = self.store.txn();
        txn.unchanged(&self.leases, &lease)?;
        lease.next_ino = inos.end;
        if numbers.writer.is_none() {
            lease.next_writer += 1;
            txn.insert(&self.writers, Writer { id: writer, number: 0 })?;
        }
        txn.update(&self.leases, &lease)?;
        txn.commit()?;
        (numbers.writer, numbers.inos) = (Some(writer), inos);
        Ok(())
    }

    /// Adds the operation's change and sends its transaction.
    pub(crate) fn start(&self, mut txn: Txn<B>, op: Op) -> Result<Started<B>, Error> {
        let mut numbers = self.leased(|numbers| numbers.writer.is_some())?;
        let (writer, number) = (numbers.writer.expect("the lease was just taken"), numbers.next_change);
        txn.insert(&self.changes, Change { writer, number, settled: numbers.settled(), op })?;
        // The stamp comes last, so its version is above that of the change that it announces.
        txn.update(&self.writers, Writer { id: writer, number })?;
        let pending = txn.start_commit()?;
        numbers.next_change += 1;
        numbers.under_way.insert(number);
        drop(numbers);
        Ok(Started { pending, number, numbers: Arc::clone(&self.numbers) })
    }

    /// The same, and waits for the answer.
    pub(crate) fn commit(&self, txn: Txn<B>, op: Op) -> Result<Ticket<B>, Error> {
        self.start(txn, op)?.wait()
    }

    /// Looks, decides and commits anew as long as others change what was looked at.
    pub(crate) fn retry<R>(&self, mut attempt: impl FnMut() -> Result<R, Error>) -> Result<R, Error> {
        for _ in 0..ATTEMPTS_MAX {
            match attempt() {
                Err(error) if error.is_conflict() => {}
                decided => return decided,
            }
        }
        Err(Error::Contended)
    }

    /// Stamps a directory whose names the transaction changes; the commit fails when it is no directory (any more).
    pub(crate) fn stamp(&self, txn: &mut Txn<B>, directory: Ino, mtime: Time) -> Result<(), Error> {
        Ok(txn.update(&self.directories, Directory { ino: directory, mtime })?)
    }
}

/// An operation that has been sent.
pub(crate) struct Started<B: Backend> {
    pending: PendingCommit<B>,
    number: u64,
    numbers: Arc<Mutex<Numbers>>,
}

impl<B: Backend> Started<B> {
    pub(crate) fn wait(self) -> Result<Ticket<B>, Error> {
        let outcome = self.pending.wait();
        settle(&self.numbers, self.number, &outcome);
        Ok(outcome?)
    }

    pub(crate) fn poll(&mut self) -> Option<Result<Ticket<B>, Error>> {
        let outcome = self.pending.poll()?;
        settle(&self.numbers, self.number, &outcome);
        Some(outcome.map_err(Error::from))
    }
}

/// Strikes a change off those under way. After an answer that leaves the outcome open it stays there for good: readers then
/// look from it on, for ever a little too early, and miss nothing.
fn settle<B: Backend>(numbers: &Mutex<Numbers>, number: u64, outcome: &Result<Ticket<B>, lostore::Error>) {
    let decided = match outcome {
        Ok(_) => true,
        Err(error) => !error.failures().is_empty(),
    };
    if decided {
        held(numbers).under_way.remove(&number);
    }
}

fn held(numbers: &Mutex<Numbers>) -> MutexGuard<'_, Numbers> {
    numbers.lock().expect("nothing panics while it holds this lock")
}

/// Refuses what cannot be a name.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    let why = match name {
        b"" => "it is empty",
        b"." | b".." => "it has a meaning of its own",
        _ if name.len() > NAME_BYTES_MAX => "it is longer than 255 bytes",
        _ if name.contains(&b'/') || name.contains(&0) => "it has a slash or a zero byte in it",
        _ => return Ok(()),
    };
    Err(Error::BadName { name: name.to_vec(), why })
}

impl<B: Backend> fmt::Debug for MdService<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MdService({:?})", self.store)
    }
}
