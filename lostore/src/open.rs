//! From a path to a backend: a store's directory opened in this process, a server's socket, or nothing but memory.
//!
//! Contract: a store is a directory that its owner alone may enter, with `lostore.data` and `lock` in it. It is opened by one
//! process at a time; the lock names it. Nothing that is not ours is ever written to: a directory with other people's files
//! and no data file is refused, and so is a data file that is no store. A device is formatted only while it is blank.
//!
//! Invariant: the lock outlives the device, so that a successor begins after the last write.

use crate::backend::Backend;
use crate::error::{Error, OpenError};
use crate::inline::Inline;
use crate::port::{DevicePort, RingPort};
use crate::remote::{ConnectOptions, Remote, RemotePending};
use crate::shard::{Front, NoFront};
use crate::shared::{ShardOptions, Shared, SharedPending};
use crate::store::Store;
pub use domains::config::Config;
pub use domains::persistent::Report;
use domains::persistent::{self, Entropy};
use domains::ring_device::RingDevice;
use domains::{Answer, Capabilities, Engine, Horizon, Op, PairRef};
use segments::memory::MemoryDevice;
use segments::{Completion, Device, DomainId, PAGE_BYTES, Page, PageNo, Request, TableId, Tag};
use std::ffi::OsStr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Once, mpsc};
use std::task::{Poll, Waker};
use uring::{Access, Caching, File, Patience};
pub use uring::{Choice, DirectoryLock, IoKind};

/// The data file's name in a store's directory.
pub const DATA_FILE: &str = "lostore.data";
/// The lock file's name in a store's directory.
pub const LOCK_FILE: &str = "lock";
/// The socket's usual name in a store's directory.
pub const SOCKET_FILE: &str = "lostore.sock";

/// Operations in flight that a ring has places for: the device's and a few hundred connections'.
const RING_PLACES: u32 = 1_024;

/// Opens the store in `dir`, or makes it, on a thread of its own; handles go to any thread.
///
/// # Errors
/// As [`Options::open`].
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let store = lostore::open(dir.path().join("store"))?;
/// assert!(store.capabilities().persistence);
/// # Ok::<(), lostore::Error>(())
/// ```
pub fn open(dir: impl AsRef<Path>) -> Result<Store<Shared>, Error> {
    Options::default().open(dir.as_ref()).map(|(backend, _)| Store::new(backend))
}

/// Opens the store in `dir`, or makes it, for the calling thread alone: the fastest way for one thread.
///
/// # Errors
/// As [`Options::open_inline`].
pub fn open_inline(dir: impl AsRef<Path>) -> Result<Store<Inline>, Error> {
    Options::default().open_inline(dir.as_ref()).map(|(backend, _)| Store::new(backend))
}

/// A store in memory for the calling thread: everything but the medium is real. For tests.
///
/// # Errors
/// As [`Options::memory_inline`].
pub fn open_memory() -> Result<Store<Inline>, Error> {
    Options::default().memory_inline().map(Store::new)
}

/// Reaches the store behind the server's socket at `path`.
///
/// # Errors
/// As [`Options::connect`].
pub fn connect(path: impl AsRef<Path>) -> Result<Store<Remote>, Error> {
    Options::default().connect(path.as_ref()).map(Store::new)
}

/// How a store is opened. The defaults suit a service on a small machine.
///
/// ```
/// use lostore::backend::Backend;
/// use lostore::open::Options;
/// # let dir = tempfile::tempdir().unwrap();
/// let (store, report) = Options::default().open_inline(&dir.path().join("store"))?;
/// assert_eq!(report.incarnation.0, 1);
/// assert!(store.capabilities().persistence);
/// # Ok::<(), lostore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// How the kernel is spoken to.
    pub io: IoKind,
    /// The engine's settings.
    pub config: Config,
    /// Whether a store that is not there is made.
    pub create: bool,
    /// How the shard's thread behaves.
    pub shard: ShardOptions,
    /// How a connection behaves.
    pub connect: ConnectOptions,
    /// Operations that the ring has room for at once: the device's, and two for each connection of a front.
    pub places: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            io: IoKind::Auto,
            config: Config::default(),
            create: true,
            shard: ShardOptions::default(),
            connect: ConnectOptions::default(),
            places: RING_PLACES,
        }
    }
}

/// What a front may build on: the store is open, and nobody has been answered yet.
#[derive(Debug)]
pub struct Grounds<'a> {
    /// What recovery found.
    pub report: &'a Report,
    /// The right to replace a stale socket in the store's directory.
    pub lock: &'a DirectoryLock,
    /// How the kernel is spoken to.
    pub choice: &'a Choice,
    /// The engine: what it promises, and up to where it is persistent.
    pub engine: &'a Engine,
}

impl Options {
    /// Opens the store in `dir` on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Open`] when the directory cannot be used, the domain's own when what lies there is no store or is damaged.
    pub fn open(&self, dir: &Path) -> Result<(Shared, Report), Error> {
        self.serve(dir, |_| Ok(NoFront::default()))
    }

    /// As [`Self::open`], with a front of sockets on the same thread and ring. `front` is called on that thread.
    ///
    /// # Errors
    /// As [`Self::open`], and what `front` answers.
    pub fn serve<F: Front<RingPort>>(
        &self,
        dir: &Path,
        front: impl FnOnce(&Grounds<'_>) -> Result<F, Error> + Send + 'static,
    ) -> Result<(Shared, Report), Error> {
        let (tell, told) = mpsc::sync_channel(1);
        let (options, dir) = (self.clone(), dir.to_owned());
        let shared = Shared::start(&self.shard, move || {
            let Ground { engine, report, device, lock, choice } = options.break_ground(&dir)?;
            let front = front(&Grounds { report: &report, lock: &lock, choice: &choice, engine: &engine })?;
            let port = RingPort::new(device, Some(lock)).map_err(OpenError::Machine)?;
            tell.send(report).expect("the opener waits for the report");
            Ok((engine, port, front))
        })?;
        let report = told.recv().expect("a shard that has started has told its report");
        Ok((shared, report))
    }

    /// Opens the store in `dir` for the calling thread alone, without a hop.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_inline(&self, dir: &Path) -> Result<(Inline, Report), Error> {
        let Ground { engine, report, device, lock, .. } = self.break_ground(dir)?;
        Ok((Inline::new(engine, Box::new(Locked { device, _lock: lock })), report))
    }

    /// A persistent domain on a device in memory, for the calling thread: everything but the medium is real.
    ///
    /// # Errors
    /// When the settings are out of bounds.
    pub fn memory_inline(&self) -> Result<Inline, Error> {
        let mut device = MemoryDevice::new(0);
        persistent::format(&mut device, &self.config, entropy())?;
        let (engine, _) = persistent::open(&mut device, &self.config)?;
        Ok(Inline::new(engine, Box::new(device)))
    }

    /// As [`Self::memory_inline`], on a thread of its own.
    ///
    /// # Errors
    /// As [`Self::memory_inline`].
    pub fn memory(&self) -> Result<Shared, Error> {
        let config = self.config.clone();
        Shared::start(&self.shard, move || {
            let mut device = MemoryDevice::new(0);
            persistent::format(&mut device, &config, entropy())?;
            let (engine, _) = persistent::open(&mut device, &config)?;
            Ok((engine, DevicePort::new(device), NoFront::default()))
        })
    }

    /// A volatile domain for the calling thread: empty, and never persistent.
    ///
    /// # Errors
    /// When the settings are out of bounds.
    pub fn volatile_inline(&self) -> Result<Inline, Error> {
        let engine = domains::volatile::open(&self.config, entropy().hash_key)?;
        Ok(Inline::new(engine, Box::new(MemoryDevice::new(0))))
    }

    /// As [`Self::volatile_inline`], on a thread of its own.
    ///
    /// # Errors
    /// When the settings are out of bounds, or no thread can be started.
    pub fn volatile(&self) -> Result<Shared, Error> {
        let config = self.config.clone();
        Shared::start(&self.shard, move || {
            let engine = domains::volatile::open(&config, entropy().hash_key)?;
            Ok((engine, DevicePort::new(MemoryDevice::new(0)), NoFront::default()))
        })
    }

    /// Connects to the server whose socket is at `path`.
    ///
    /// # Errors
    /// [`OpenError::NoServer`], [`OpenError::Protocol`].
    pub fn connect(&self, path: &Path) -> Result<Remote, Error> {
        Remote::connect(path, &self.connect)
    }

    /// Everything up to a running engine, on the calling thread.
    fn break_ground(&self, dir: &Path) -> Result<Ground, Error> {
        let data = dir.join(DATA_FILE);
        let there = self.look_at(dir, &data)?;
        let lock = uring::lock_directory(dir, Patience::Dying).map_err(|error| refused(dir, error))?;
        let file = match there {
            true => File::open(&data, Access::ReadWrite, Caching::Around),
            false => File::create(&data, Caching::Around),
        };
        let file = file.map_err(|error| refused(dir, error))?;
        file.lock(Patience::Dying).map_err(|error| refused(dir, error))?;
        let (io, choice) = uring::open::<Page>(self.io, self.places).map_err(OpenError::Machine)?;
        if let Some(notice) = &choice.notice {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| tracing::warn!("{notice}"));
        }
        let bytes = file.bytes().map_err(|error| refused(dir, error))?;
        if bytes % PAGE_BYTES as u64 != 0 {
            // Not even a format that was cut short leaves part of a page; whatever it is, it is not overwritten.
            let why = format!("{} has {bytes} bytes, which is no whole number of pages", data.display());
            return Err(domains::Error::NotAStore { why }.into());
        }
        let mut device = RingDevice::new(io, file).map_err(OpenError::Machine)?;
        if persistent::is_blank(&mut device)? {
            if !self.create {
                return Err(OpenError::Missing { path: dir.to_owned() }.into());
            }
            persistent::format(&mut device, &self.config, entropy())?;
        }
        let (engine, report) = persistent::open(&mut device, &self.config)?;
        Ok(Ground { engine, report, device, lock, choice })
    }

    /// Whether the data file is there. Makes the directory if it may; writes to nobody else's.
    fn look_at(&self, dir: &Path, data: &Path) -> Result<bool, Error> {
        match std::fs::metadata(dir) {
            Ok(found) if !found.is_dir() => return Err(OpenError::NotADirectory { path: dir.to_owned() }.into()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !self.create {
                    return Err(OpenError::Missing { path: dir.to_owned() }.into());
                }
                make_directory(dir)?;
            }
            Err(error) => return Err(system("looking at the directory", dir, &error)),
        }
        if std::fs::symlink_metadata(data).is_ok() {
            return Ok(true);
        }
        let found = std::fs::read_dir(dir).map_err(|error| system("listing the directory", dir, &error))?;
        for file in found {
            let name = file.map_err(|error| system("listing the directory", dir, &error))?.file_name();
            if ![LOCK_FILE, SOCKET_FILE].map(OsStr::new).contains(&name.as_os_str()) {
                let found = name.to_string_lossy().into_owned();
                return Err(OpenError::NotOurs { path: dir.to_owned(), found }.into());
            }
        }
        if self.create { Ok(false) } else { Err(OpenError::Missing { path: dir.to_owned() }.into()) }
    }
}

/// A store that is open and not yet driven. The lock is dropped last.
struct Ground {
    engine: Engine,
    report: Report,
    device: RingDevice,
    lock: DirectoryLock,
    choice: Choice,
}

/// A device and the lock that outlives it.
struct Locked {
    device: RingDevice,
    _lock: DirectoryLock,
}

impl Device for Locked {
    fn pages(&self) -> u64 {
        self.device.pages()
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        self.device.next_data(at)
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        self.device.submit(tag, request);
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        self.device.poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.device.wait(done);
    }

    fn in_flight(&self) -> usize {
        self.device.in_flight()
    }
}

/// A backend chosen at run time: a store of this process's own, or a server's.
#[derive(Clone, Debug)]
pub enum AnyBackend {
    /// On a thread of this process.
    Shared(Shared),
    /// Behind a socket.
    Remote(Remote),
}

/// An operation under way at either.
#[derive(Debug)]
pub enum AnyPending {
    /// On a thread of this process.
    Shared(SharedPending),
    /// Behind a socket.
    Remote(RemotePending),
}

impl Backend for AnyBackend {
    type Pending = AnyPending;

    fn start(&self, op: Op) -> Result<AnyPending, Error> {
        match self {
            Self::Shared(backend) => backend.start(op).map(AnyPending::Shared),
            Self::Remote(backend) => backend.start(op).map(AnyPending::Remote),
        }
    }

    fn poll(&self, pending: &mut AnyPending, waker: Option<&Waker>) -> Poll<Result<Answer, Error>> {
        match (self, pending) {
            (Self::Shared(backend), AnyPending::Shared(pending)) => backend.poll(pending, waker),
            (Self::Remote(backend), AnyPending::Remote(pending)) => backend.poll(pending, waker),
            (backend, pending) => unreachable!("{pending:?} was not started at {backend:?}"),
        }
    }

    fn wait(&self, pending: AnyPending) -> Result<Answer, Error> {
        match (self, pending) {
            (Self::Shared(backend), AnyPending::Shared(pending)) => backend.wait(pending),
            (Self::Remote(backend), AnyPending::Remote(pending)) => backend.wait(pending),
            (backend, pending) => unreachable!("{pending:?} was not started at {backend:?}"),
        }
    }

    fn horizon(&self) -> Horizon {
        match self {
            Self::Shared(backend) => backend.horizon(),
            Self::Remote(backend) => backend.horizon(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        match self {
            Self::Shared(backend) => backend.capabilities(),
            Self::Remote(backend) => backend.capabilities(),
        }
    }

    fn follows_commits(&self) -> bool {
        match self {
            Self::Shared(backend) => backend.follows_commits(),
            Self::Remote(backend) => backend.follows_commits(),
        }
    }

    fn lookup_in_place(
        &self,
        table: TableId,
        key: &[u8],
        see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<(), Error> {
        match self {
            Self::Shared(backend) => backend.lookup_in_place(table, key, see),
            Self::Remote(backend) => backend.lookup_in_place(table, key, see),
        }
    }
}

fn make_directory(dir: &Path) -> Result<(), Error> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        // Somebody else was faster: the lock decides whose it is.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(OpenError::MissingParent { parent: parent.to_owned() }.into());
        }
        Err(error) => return Err(system("making the directory", dir, &error)),
    }
    uring::sync_directory(parent).map_err(|error| refused(parent, error))
}

fn system(what: &'static str, path: &Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind;
    let (kind, path, why) = (error.kind(), path.to_owned(), error.to_string());
    if matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) {
        return OpenError::ReadOnly { path, why }.into();
    }
    if kind == ErrorKind::NotADirectory {
        return OpenError::NotADirectory { path }.into();
    }
    OpenError::System { what, path, why }.into()
}

fn refused(dir: &Path, error: uring::Error) -> Error {
    if let uring::Error::Os { errno, .. } = &error {
        let kind = std::io::Error::from_raw_os_error(*errno).kind();
        if matches!(kind, std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem) {
            return OpenError::ReadOnly { path: dir.to_owned(), why: error.to_string() }.into();
        }
    }
    OpenError::Machine(error).into()
}

fn entropy() -> Entropy {
    let mut hash_key = [0; 16];
    uring::entropy::fill(&mut hash_key);
    let mut salt = [0; 4];
    uring::entropy::fill(&mut salt);
    Entropy { domain: DomainId(uring::entropy::random_u128()), salt: u32::from_le_bytes(salt), hash_key }
}

#[cfg(test)]
mod tests;
