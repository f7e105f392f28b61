//! Unix sockets: listening, accepting, connecting, and who is on the other side.
//!
//! Contract: a socket file is for its owner alone unless the caller says otherwise, from the moment it exists; a stale socket
//! is replaced only by the holder of the store's lock, and nothing that is not a socket is ever replaced. Sockets of the
//! serving side never block and are not inherited by children. No abstract names: they have no permissions.
//!
//! It does not send or receive: that is what [`Io`](crate::Io) is for, except for a client's own blocking [`Stream`].

use crate::error::Error;
use crate::limits::{LISTEN_BACKLOG, SOCKET_PATH_BYTES_MAX};
use crate::lock::DirectoryLock;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode as Permissions};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A client's connection: blocking, with the time limits of the standard library.
pub use std::os::unix::net::UnixStream as Stream;

/// Permissions of a socket file by default: its owner may connect.
pub const SOCKET_PERMISSIONS_DEFAULT: u32 = 0o600;

/// A connection of the serving side.
#[derive(Clone, Debug)]
pub struct Socket {
    fd: Arc<OwnedFd>,
}

/// Who is on the other side of a connection, as of its connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The process, or 0 when it is not to be seen from here (it runs in a container of its own). For messages only: the
    /// number may be another process's by now.
    pub pid: u32,
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// A socket that takes connections. Its file is removed when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Listener {
    inner: Arc<Bound>,
}

#[derive(Debug)]
struct Bound {
    fd: OwnedFd,
    path: PathBuf,
    /// Device and inode of the socket file, so that a successor's is not removed.
    file: Option<(u64, u64)>,
}

impl Listener {
    /// Makes a socket at `path` with the given permissions and listens. With `lock`, a socket left there by a dead
    /// predecessor is replaced.
    ///
    /// # Errors
    /// [`Error::SocketPath`], [`Error::NotASocket`], [`Error::SocketExists`], or the operating system's own.
    pub fn bind(path: &Path, permissions: u32, lock: Option<&DirectoryLock>) -> Result<Self, Error> {
        let address = address(path)?;
        make_room(path, lock)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let os = |what| move |errno| Error::os(what, path, errno);
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(os("make a socket for"))?;
        let permissions = Permissions::from_raw_mode(permissions & 0o777);
        // The file takes its permissions from the unbound socket, so there is no moment at which it is open to others. That is
        // Linux's way and nobody's promise, hence the explicit chmod after.
        rustix::fs::fchmod(&fd, permissions).map_err(os("restrict the socket for"))?;
        rustix::net::bind(&fd, &address).map_err(os("bind the socket"))?;
        rustix::fs::chmod(path, permissions).map_err(os("restrict the socket"))?;
        refuse_passed_descriptors(&fd);
        rustix::net::listen(&fd, LISTEN_BACKLOG).map_err(os("listen at"))?;
        let file = rustix::fs::lstat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
        Ok(Self { inner: Arc::new(Bound { fd, path: path.to_owned(), file }) })
    }

    /// Around a socket that a service manager has bound, which keeps its file.
    pub(crate) fn of_manager(fd: OwnedFd, path: PathBuf) -> Self {
        refuse_passed_descriptors(&fd);
        Self { inner: Arc::new(Bound { fd, path, file: None }) }
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let there = rustix::fs::lstat(&self.path).ok().map(|stat| (stat.st_dev, stat.st_ino));
        if there.is_some() && there == self.file {
            // Nothing is lost if it stays: the next holder of the lock replaces it.
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

impl Socket {
    /// Around an accepted connection.
    pub(crate) fn from_accepted(fd: OwnedFd) -> Self {
        refuse_passed_descriptors(&fd);
        Self { fd: Arc::new(fd) }
    }

    /// Two ends of a connection, for tests and for talk inside a process.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn pair() -> Result<(Self, Self), Error> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (one, two) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|errno| Error::os("make", Path::new("a socket pair"), errno))?;
        Ok((Self { fd: Arc::new(one) }, Self { fd: Arc::new(two) }))
    }

    /// Who connected.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn peer(&self) -> Result<Peer, Error> {
        // Not through `rustix`, whose process ids cannot be 0.
        let mut credentials = [0u32; 3];
        match self.option(SO_PEERCRED, &mut credentials) {
            (true, 12) => Ok(Peer { pid: credentials[0], uid: credentials[1], gid: credentials[2] }),
            _ => Err(Error::os("ask for", Path::new("the peer's credentials"), Errno::NOTCONN)),
        }
    }

    /// The further groups of who connected, as of its connect.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn groups(&self) -> Result<Vec<u32>, Error> {
        let mut groups = vec![0u32; 32];
        loop {
            let (is_there, bytes) = self.option(SO_PEERGROUPS, &mut groups);
            let count = bytes as usize / 4;
            if is_there && count <= groups.len() {
                groups.truncate(count);
                return Ok(groups);
            }
            // Where there was no room for all of them it says how much they take.
            if is_there || count <= groups.len() || bytes > GROUPS_MAX * 4 {
                return Err(Error::os("ask for", Path::new("the peer's groups"), Errno::NOTCONN));
            }
            groups.resize(count, 0);
        }
    }

    /// What the kernel says of the socket, in numbers of four bytes: whether it did, and how many bytes that has.
    fn option(&self, name: i32, into: &mut [u32]) -> (bool, u32) {
        let mut bytes = u32::try_from(size_of_val(into)).expect("room for some thousands of numbers");
        // SAFETY: `getsockopt` wants an open descriptor, which `fd` is, a length, and room for as many bytes, which `into` has:
        // numbers of four bytes, each of which may hold anything.
        let answer = unsafe { getsockopt(self.fd.as_raw_fd(), SOL_SOCKET, name, into.as_mut_ptr(), &raw mut bytes) };
        (answer == 0, bytes)
    }

    /// Ends both directions, so that whatever waits on either side is answered.
    pub fn shut_down(&self) {
        // The only error is that there is no connection any more, which is what was wanted.
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
    }
}

#[cfg(test)]
impl Socket {
    /// How many handles share the descriptor.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.fd)
    }
}

/// Connects to the socket at `path`, as a client.
///
/// # Errors
/// [`Error::SocketPath`], or the operating system's own: nobody listens, or may not be connected to.
pub fn connect(path: &Path) -> Result<Stream, Error> {
    let address = address(path)?;
    let os = |errno| Error::os("connect to", path, errno);
    let fd =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(os)?;
    loop {
        match rustix::net::connect(&fd, &address) {
            Ok(()) => return Ok(Stream::from(fd)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(os(errno)),
        }
    }
}

/// The user this process acts for.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn address(path: &Path) -> Result<SocketAddrUnix, Error> {
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        return Err(Error::SocketPath { path: path.to_owned(), bytes, max: SOCKET_PATH_BYTES_MAX });
    }
    SocketAddrUnix::new(path).map_err(|errno| Error::os("use as a socket path", path, errno))
}

/// Removes a dead predecessor's socket, if the caller may.
fn make_room(path: &Path, lock: Option<&DirectoryLock>) -> Result<(), Error> {
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(Error::os("look at", path, errno)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(Error::NotASocket { path: path.to_owned() });
    }
    if lock.is_none() {
        return Err(Error::SocketExists { path: path.to_owned() });
    }
    rustix::fs::unlink(path).map_err(|errno| Error::os("remove the stale socket", path, errno))
}

const SOL_SOCKET: i32 = 1;
const SO_PEERCRED: i32 = 17;
const SO_PEERGROUPS: i32 = 59;
const SO_PASSRIGHTS: i32 = 83;
/// The most groups that Linux gives a process.
const GROUPS_MAX: u32 = 65_536;

unsafe extern "C" {
    /// `getsockopt(2)` of the C library that std links anyway.
    fn getsockopt(fd: i32, level: i32, name: i32, value: *mut u32, bytes: *mut u32) -> i32;

    /// `setsockopt(2)`, likewise.
    fn setsockopt(fd: i32, level: i32, name: i32, value: *const i32, bytes: u32) -> i32;
}

/// Asks the kernel to refuse descriptors sent along with bytes. Kernels before 6.16 do not know how; there they are dropped as
/// they arrive, since plain receives ask for none.
fn refuse_passed_descriptors(fd: &OwnedFd) {
    let no = 0i32;
    // SAFETY: `setsockopt` wants an open descriptor, which `fd` is, and a value that can be read for the given length, which
    // `no` is: four bytes that outlive the call.
    let _ = unsafe { setsockopt(fd.as_raw_fd(), SOL_SOCKET, SO_PASSRIGHTS, &raw const no, 4) };
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_fd()
    }
}
