//! Locks: one opener of a store at a time, and none before the last write of a killed one has landed.
//!
//! Two locks, both of the kind (`flock`) that belongs to an open file *description*, not to a process:
//! * on `<dir>/lock`, to keep living openers apart; the file names its holder's pid;
//! * on the data file, through the very description that reads and writes it. A killed process is gone at once, its writes in
//!   flight are not: each holds the description, so this lock goes only when the last of them has let go. A lock of the POSIX
//!   kind would go with the process, while its writes still land under the feet of the next opener.
//!
//! It does not break locks, and it never believes a pid more than the lock.

use crate::error::Error;
use crate::file::File;
use crate::limits::{DYING_WAIT_MAX, KILLED_GRACE, LOCK_PAUSE_MAX, LOCK_PAUSE_MIN};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FlockOperation, Mode as Permissions, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The name of the file of a directory's lock.
const LOCK_FILE: &str = "lock";
const ALONE: FlockOperation = FlockOperation::NonBlockingLockExclusive;

/// What to do about a lock that is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Answer at once.
    None,
    /// Wait, 30 seconds at most, for a holder that has been killed; answer at once for one that lives.
    Dying,
}

/// The right to open, replace and serve what lies in a directory. Given back when dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    path: PathBuf,
    file: OwnedFd,
}

impl DirectoryLock {
    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        crate::file::parent(&self.path)
    }
}

/// Takes the lock of a directory, which must exist.
///
/// # Errors
/// [`Error::InUse`] when somebody else has it; otherwise when the directory is not writable or not there.
pub fn lock_directory(directory: &Path, patience: Patience) -> Result<DirectoryLock, Error> {
    let path = directory.join(LOCK_FILE);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(&path, flags, Permissions::RUSR | Permissions::WUSR).map_err(|errno| match errno {
        Errno::LOOP => Error::Symlink { path: path.clone() },
        errno => Error::os("open the lock file", &path, errno),
    })?;
    take(file.as_fd(), &path, patience, ALONE, || read_pid(file.as_fd()))?;
    write_pid(file.as_fd()).map_err(|errno| Error::os("write the lock file", &path, errno))?;
    Ok(DirectoryLock { path, file })
}

impl File {
    /// Takes the data file for this description alone. To be called by the holder of the directory's lock, before it reads a
    /// byte: whoever still holds this one is a killed predecessor's write.
    ///
    /// # Errors
    /// [`Error::InUse`] while others hold it.
    pub fn lock(&self, patience: Patience) -> Result<(), Error> {
        // No pid: the directory's lock, which the caller holds, names the caller itself by now.
        take(self.as_fd(), self.path(), patience, ALONE, || None)
    }

    /// Shares the lock with further descriptions of this file, still keeping [`Self::lock`] out: other shards', and readers', which
    /// do not hold the directory's lock. Who has it alone is who is named there.
    ///
    /// # Errors
    /// [`Error::InUse`] while somebody has it alone.
    pub fn lock_shared(&self, patience: Patience) -> Result<(), Error> {
        let beside = crate::file::parent(self.path()).join(LOCK_FILE);
        let holder = || read_pid(std::fs::File::open(&beside).ok()?.as_fd());
        take(self.as_fd(), self.path(), patience, FlockOperation::NonBlockingLockShared, holder)
    }
}

fn take(
    fd: BorrowedFd<'_>,
    path: &Path,
    patience: Patience,
    operation: FlockOperation,
    holder: impl Fn() -> Option<u32>,
) -> Result<(), Error> {
    let start = Instant::now();
    let mut pause = LOCK_PAUSE_MIN;
    loop {
        match rustix::fs::flock(fd, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(Error::os("lock", path, errno)),
        }
        let pid = holder();
        let waited = start.elapsed();
        // A process that was just killed looks alive until it is scheduled next, hence the grace.
        let alive = pid.is_some_and(is_alive) && (waited > KILLED_GRACE || pid == Some(std::process::id()));
        if patience == Patience::None || alive || waited > DYING_WAIT_MAX {
            return Err(Error::InUse { path: path.to_owned(), pid });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LOCK_PAUSE_MAX);
    }
}

/// Whether a process runs: a zombie does not, its last writes may.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The state follows the name, which is in parentheses and may itself hold any character.
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X' | 'x') | None)
}

fn read_pid(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut text = [0; 16];
    let bytes = rustix::io::pread(fd, &mut text, 0).ok()?;
    core::str::from_utf8(&text[..bytes]).ok()?.trim().parse().ok()
}

fn write_pid(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::ftruncate(fd, 0)?;
    let text = format!("{}\n", std::process::id());
    let bytes = rustix::io::pwrite(fd, text.as_bytes(), 0)?;
    if bytes == text.len() { Ok(()) } else { Err(Errno::NOSPC) }
}

/// Lets go by word, not only by closing: a child that this process is just starting has a copy of every descriptor until it has become
/// its program, and the lock would stay with the copy for so long.
impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // It can only fail for a descriptor that is none, and closing comes next in any case.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

impl AsFd for DirectoryLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
