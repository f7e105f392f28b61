//! Errors of what is done at start or between operations: opening, locking, binding. Each has a code and says what to do.
//!
//! Operations in flight answer with [`IoError`](crate::IoError) instead.

use rustix::io::Errno;
use std::path::{Path, PathBuf};
use thiserror::Error as ThisError;

/// Why the machine did not give what was asked.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// io_uring was asked for by name, and the machine refuses it.
    #[error("{explanation}")]
    RingRefused {
        /// Cause, effect and what to change.
        explanation: String,
    },
    /// Somebody else has the store open.
    #[error("{} is in use by {}; stop it first", path.display(), holder(*pid))]
    InUse {
        /// What is locked.
        path: PathBuf,
        /// Who holds it, when that is known.
        pid: Option<u32>,
    },
    /// A socket's address does not fit.
    #[error("the socket path {} has {bytes} bytes, a Unix socket's path can have {max}; use a shorter one", path.display())]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// The longest possible.
        max: usize,
    },
    /// Something that is no socket is in a socket's place.
    #[error("{} is there and is not a socket; move it away or name another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket that a service manager has passed cannot be served.
    #[error("the socket that the service manager passed (LISTEN_FDS) is not served: {why}")]
    PassedSocket {
        /// Why, and what to change.
        why: &'static str,
    },
    /// A socket is there, and the caller has no right to replace it.
    #[error("there is already a socket at {}; only the holder of the store's lock may replace it", path.display())]
    SocketExists {
        /// The path.
        path: PathBuf,
    },
    /// The path is a symbolic link, which is not followed.
    #[error("{} is a symbolic link; name what it points to", path.display())]
    Symlink {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused a call.
    #[error("cannot {what} {}: {}", path.display(), std::io::Error::from_raw_os_error(*errno))]
    Os {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's error number.
        errno: i32,
    },
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) if pid == std::process::id() => format!("this very process (pid {pid})"),
        Some(pid) => format!("pid {pid}"),
        None => "another process".to_owned(),
    }
}

impl Error {
    /// The stable code, `LSnnnn` in messages: 011x, the machine.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::RingRefused { .. } => 110,
            Self::InUse { .. } => 111,
            Self::SocketPath { .. } => 112,
            Self::NotASocket { .. } => 113,
            Self::SocketExists { .. } => 114,
            Self::Symlink { .. } => 115,
            Self::Os { .. } => 116,
            Self::PassedSocket { .. } => 117,
        }
    }

    /// The call `what` on `path` was refused.
    pub(crate) fn os(what: &'static str, path: &Path, errno: Errno) -> Self {
        Self::Os { what, path: path.to_owned(), errno: errno.raw_os_error() }
    }
}
