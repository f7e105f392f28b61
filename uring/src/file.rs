//! A data file: opened for direct I/O where the file system has it, buffered where not, and saying which.
//!
//! Contract: a [`File`] is a shared handle of one open file description; the descriptor is closed when the last clone is gone,
//! and operations in flight hold one. The mode is settled at open and never mixed. A last component that is a symbolic link
//! is refused. Locks lie on the description ([`File::lock`] in `lock.rs`), so they outlive a killed process until its last
//! write has let go.
//!
//! It does not read or write: that is what [`Io`](crate::Io) is for.

use crate::error::Error;
use crate::io::{Memory, Op};
use crate::limits::ZERO_PIECE_BYTES;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FallocateFlags, Mode as Permissions, OFlags, SeekFrom, StatxFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What every offset, length and address of a transfer is a multiple of: the most that any file system here asks for.
const ALIGN: u32 = 4096;

/// How room is given back: as a hole, and without a change of the file's length.
pub(crate) const PUNCH: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);

/// Which file, whatever descriptor it is reached through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reads alone.
    Read,
    /// Reads and writes.
    ReadWrite,
}

/// What the caller wants of the kernel's page cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// Go around it where the file system can: the store has a cache of its own.
    Around,
    /// Go through it.
    Buffered,
}

/// How transfers of a file travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Straight between buffer and device.
    Direct,
    /// Through the kernel's page cache.
    Buffered,
}

/// An open data file.
#[derive(Clone, Debug)]
pub struct File {
    inner: Arc<Opened>,
}

#[derive(Debug)]
struct Opened {
    fd: OwnedFd,
    path: PathBuf,
    id: FileId,
    mode: Mode,
}

/// What a file holds from some byte on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Data {
    /// The next byte that was written and not punched since, or one before it.
    At(u64),
    /// Nothing but zeros.
    NoMore,
}

impl File {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// When it is not, is a symbolic link, or may not be opened.
    pub fn open(path: &Path, access: Access, caching: Caching) -> Result<Self, Error> {
        let access = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        Self::with_flags("open", path, access, caching)
    }

    /// Makes a file that is not there yet, for the owner alone, and makes its name survive a power failure.
    ///
    /// # Errors
    /// When the name is taken or the directory refuses.
    pub fn create(path: &Path, caching: Caching) -> Result<Self, Error> {
        let file = Self::with_flags("create", path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, caching)?;
        sync_directory(parent(path))?;
        Ok(file)
    }

    fn with_flags(what: &'static str, path: &Path, flags: OFlags, caching: Caching) -> Result<Self, Error> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let permissions = Permissions::RUSR | Permissions::WUSR;
        let explain = |errno| match errno {
            Errno::LOOP => Error::Symlink { path: path.to_owned() },
            _ => Error::os(what, path, errno),
        };
        // A file system without direct I/O may refuse the open only after it has made the file, so the flag is added later.
        let fd = rustix::fs::open(path, flags, permissions).map_err(explain)?;
        let stat = rustix::fs::fstat(&fd).map_err(explain)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
            return Err(Error::os(what, path, Errno::INVAL));
        }
        let mode = match caching {
            Caching::Around => go_around_cache(&fd),
            Caching::Buffered => Mode::Buffered,
        };
        let id = FileId { device: stat.st_dev, inode: stat.st_ino };
        Ok(Self { inner: Arc::new(Opened { fd, path: path.to_owned(), id, mode }) })
    }

    /// How transfers travel.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn bytes(&self) -> Result<u64, Error> {
        let stat = rustix::fs::fstat(&self.inner.fd).map_err(|errno| Error::os("measure", &self.inner.path, errno))?;
        Ok(u64::try_from(stat.st_size).expect("a regular file's length is not negative"))
    }

    /// Makes it `bytes` long. New bytes read as zeros and take no room on the medium yet.
    ///
    /// # Errors
    /// When the file system refuses, with the operating system's number.
    pub fn set_bytes(&self, bytes: u64) -> Result<(), Error> {
        rustix::fs::ftruncate(&self.inner.fd, bytes).map_err(|errno| Error::os("resize", &self.inner.path, errno))
    }

    /// Makes everything written so far survive a power failure, waiting for it. For the edges of a file's life, not for commits.
    ///
    /// # Errors
    /// When the medium refuses; then nothing written since the last good sync may be trusted.
    pub fn sync(&self) -> Result<(), Error> {
        rustix::fs::fsync(&self.inner.fd).map_err(|errno| Error::os("sync", &self.inner.path, errno))
    }

    /// Where, from `byte` on, the file has bytes that were written and not punched since; what lies before reads as zeros. `None` when the file system
    /// does not say.
    #[must_use]
    pub fn data_from(&self, byte: u64) -> Option<Data> {
        match rustix::fs::seek(&self.inner.fd, SeekFrom::Data(byte)) {
            Ok(at) => Some(Data::At(at)),
            Err(Errno::NXIO) => Some(Data::NoMore),
            Err(_) => None,
        }
    }

    pub(crate) fn id(&self) -> FileId {
        self.inner.id
    }
}

#[cfg(test)]
impl File {
    /// How many handles share the descriptor.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.inner)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_fd()
    }
}

/// Turns direct I/O on if the file system has it with our alignment.
fn go_around_cache(fd: &OwnedFd) -> Mode {
    // Since 6.1 the kernel says what alignment direct I/O wants; zero means that there is none. Before, one has to try.
    if let Ok(stat) = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
        let known = stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
        let (memory, offset) = (stat.stx_dio_mem_align, stat.stx_dio_offset_align);
        if known && (memory == 0 || offset == 0 || memory > ALIGN || offset > ALIGN) {
            return Mode::Buffered;
        }
    }
    let direct = rustix::fs::fcntl_getfl(fd).and_then(|flags| rustix::fs::fcntl_setfl(fd, flags | OFlags::DIRECT));
    if direct.is_ok() { Mode::Direct } else { Mode::Buffered }
}

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the names in a directory survive a power failure.
///
/// # Errors
/// When it cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<(), Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Permissions::empty())
        .map_err(|errno| Error::os("open the directory", path, errno))?;
    rustix::fs::fsync(&fd).map_err(|errno| Error::os("sync the directory", path, errno))
}

/// Overwrites a range with zeros, piece by piece, with one buffer that goes out and comes home.
///
/// Real zeros, not a hole or an unwritten extent: overwriting them later needs no change of the file system's own records,
/// which makes a small durable write more than twice as fast.
#[derive(Debug)]
pub struct Zeroing {
    file: File,
    at: u64,
    end: u64,
}

impl Zeroing {
    /// Zeros are to be written to `bytes` bytes from `offset` on. Both must be multiples of the buffer's element.
    #[must_use]
    pub fn new(file: File, offset: u64, bytes: u64) -> Self {
        Self { file, at: offset, end: offset + bytes }
    }

    /// The next write, with `zeros` if they are there and fit, with new ones if not; `None` when all are done.
    pub fn next<P: Memory + Clone>(&mut self, zeros: &mut Option<Box<[P]>>) -> Option<Op<P>> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let elements = left.min(ZERO_PIECE_BYTES.max(size_of::<P>())) / size_of::<P>();
        if elements == 0 {
            assert!(left == 0, "{left} bytes at the end are less than one element");
            return None;
        }
        let buffer = zeros.take_if(|zeros| zeros.len() == elements);
        let buffer = buffer.unwrap_or_else(|| vec![P::new_zeroed(); elements].into_boxed_slice());
        let offset = self.at;
        self.at += u64::try_from(elements * size_of::<P>()).expect("a piece's length fits 64 bits");
        Some(Op::Write { file: self.file.clone(), offset, buffer })
    }
}
