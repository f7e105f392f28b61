//! What an operation is refused for.

use crate::tables::Ino;
use std::io;
use std::path::PathBuf;
use thiserror::Error as ThisError;

/// Why an operation did not happen.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The directory has no such name.
    #[error("no '{}' in directory {parent}", name.escape_ascii())]
    NotFound {
        /// The directory.
        parent: Ino,
        /// The name.
        name: Vec<u8>,
    },
    /// There is nothing with this number.
    #[error("there is no inode {ino}")]
    NoSuchInode {
        /// The number.
        ino: Ino,
    },
    /// The name is taken.
    #[error("directory {parent} already has '{}'", name.escape_ascii())]
    Exists {
        /// The directory.
        parent: Ino,
        /// The name.
        name: Vec<u8>,
    },
    /// It is no directory, or is there no more.
    #[error("{ino} is not a directory")]
    NotADirectory {
        /// Its number.
        ino: Ino,
    },
    /// It is a directory.
    #[error("{ino} is a directory")]
    IsADirectory {
        /// Its number.
        ino: Ino,
    },
    /// The directory has names in it.
    #[error("directory {ino} is not empty")]
    NotEmpty {
        /// Its number.
        ino: Ino,
    },
    /// A directory cannot be moved into itself or below.
    #[error("directory {ino} cannot be moved into itself")]
    IntoItself {
        /// The directory.
        ino: Ino,
    },
    /// A name that no directory can have.
    #[error("'{}' is not a name: {why}", name.escape_ascii())]
    BadName {
        /// The name.
        name: Vec<u8>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It has as many names as can be counted.
    #[error("{ino} has too many names")]
    TooManyLinks {
        /// Its number.
        ino: Ino,
    },
    /// Directories are nested deeper than the limit.
    #[error("directory {ino} is nested too deep")]
    TooDeep {
        /// The directory where the walk began.
        ino: Ino,
    },
    /// Others changed the same names each time it was tried.
    #[error("others kept changing the same names; try again")]
    Contended,
    /// A name points at something that is no inode.
    #[error("a name in directory {parent} does not point to an inode; run a check of the tree")]
    BadPointer {
        /// The directory.
        parent: Ino,
    },
    /// The directory to import or compare cannot be read.
    #[error("{} cannot be read: {why}", path.display())]
    Disk {
        /// Its path.
        path: PathBuf,
        /// The system's answer.
        why: io::Error,
    },
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] lostore::Error),
}

impl Error {
    /// Whether the operation met another that changed the same pairs, so that a new look may tell more.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Contended) || !self.failed_parts().is_empty()
    }

    /// The compares that did not hold.
    pub(crate) fn failed_parts(&self) -> &[lostore::Failure] {
        if let Self::Store(error) = self { error.failures() } else { &[] }
    }
}
