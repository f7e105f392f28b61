//! The error of the public API: a code, a kind that says what to do, and whether the effect happened.

use crate::explain::{explain, kind_help};
use crate::record::RecordError;
use ::txn::SetError;
use domains::schema::envelope::EnvelopeError;
use domains::{ErrorKind, Failure};
use std::path::PathBuf;
use thiserror::Error as ThisError;

/// Code of a record that breaks a rule of its table, whoever found it out.
pub const RULE_BROKEN: u16 = 706;

/// Why a call failed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The domain refused or failed the operation.
    #[error(transparent)]
    Domain(#[from] domains::Error),
    /// The server answered with an error of a kind that travels as code and text only.
    #[error("{message}")]
    Remote {
        /// Its stable code.
        code: u16,
        /// What to do about it.
        kind: ErrorKind,
        /// Whether the effect happened in spite of it.
        applied: bool,
        /// What and why.
        message: String,
    },
    /// The store's directory, or the server's socket, cannot be used as it is.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The connection to the server is gone.
    #[error(
        "the connection to the server is lost ({why}); the operation {}; connect again",
        if *maybe_applied { "may have been applied" } else { "was not applied" }
    )]
    Disconnected {
        /// What ended it.
        why: String,
        /// Whether the operation may have been applied: it was sent, and its answer has not come.
        maybe_applied: bool,
    },
    /// The thread that carries the operations ended by a fault of this program.
    #[error("the store's thread has stopped by a fault in it; what was persistent is safe, open the store again")]
    Stopped,
    /// A pair's bytes are not of the table's type, or a record cannot be written as it is.
    #[error("table '{table}': {error}")]
    Record {
        /// The table's name.
        table: String,
        /// The field, and what is wrong.
        error: RecordError,
    },
    /// A transaction was given a table of another store, or of another connection.
    #[error(
        "table '{table}' was opened by another store or connection than the transaction; open it by the transaction's own"
    )]
    ForeignTable {
        /// The table's name.
        table: String,
    },
    /// The backend answered something else than was asked.
    #[error("{asked} was answered with something else; the server and this program do not belong together")]
    WrongAnswer {
        /// What was asked.
        asked: &'static str,
    },
}

/// What became of an operation that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It did not happen and will not.
    NotApplied,
    /// It happened and is visible; the store could not make it persistent. It survives if its epoch is at most the cut of the
    /// next open.
    Applied,
    /// It may have happened. Connect again and read what it would have written.
    Unknown,
}

/// Why a store could not be opened or reached.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
#[non_exhaustive]
pub enum OpenError {
    /// There is something at the path, and it is not a directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory is not there, and it was not to be made.
    #[error("there is no store at {}", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The directory that should hold the store's directory is not there.
    #[error("{} does not exist; create it first", parent.display())]
    MissingParent {
        /// The missing directory.
        parent: PathBuf,
    },
    /// The directory has files of somebody else's.
    #[error("{} has files in it that are not lostore's ({found}); choose another directory", path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
        /// One of the files.
        found: String,
    },
    /// The directory or a file in it may not be written.
    #[error("{} cannot be written ({why})", path.display())]
    ReadOnly {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        why: String,
    },
    /// The machine refused: a lock that another process holds, io_uring, a socket's path, a system call.
    #[error(transparent)]
    Machine(#[from] uring::Error),
    /// Nobody listens at the socket.
    #[error("no server answers at {} ({why}); start one with `lostore serve`", path.display())]
    NoServer {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        why: String,
    },
    /// The peer does not speak the protocol, or not a version of it that this program knows.
    #[error("the peer at {} does not speak this version of the protocol ({why})", path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What it said.
        why: String,
    },
    /// What the server's rules say cannot be understood, so nobody is served by them.
    #[error("{why}")]
    Rules {
        /// The file, its lines, and what to write.
        why: String,
    },
    /// The system refused something else.
    #[error("{what} failed at {}: {why}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's answer.
        why: String,
    },
}

impl Error {
    /// The stable code, `LSnnnn` in messages; never reused. A domain's own errors keep theirs.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Domain(error) => error.code(),
            Self::Remote { code, .. } => *code,
            Self::Open(error) => error.code(),
            Self::Disconnected { .. } => 120,
            Self::Stopped => 121,
            Self::Record { error, .. } => match error {
                RecordError::Key { .. } => 701,
                RecordError::Envelope(_) => 702,
                RecordError::Field { why: EnvelopeError::Unwritable { .. }, .. } => 705,
                RecordError::Field { .. } => 703,
                RecordError::Missing { .. } => 704,
                RecordError::Rule { .. } => RULE_BROKEN,
            },
            Self::ForeignTable { .. } => 309,
            Self::WrongAnswer { .. } => 707,
        }
    }

    /// What the caller must do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Domain(error) => error.kind(),
            Self::Remote { kind, .. } => *kind,
            Self::Open(_) | Self::Disconnected { .. } => ErrorKind::Environment,
            Self::Stopped => ErrorKind::Poisoned,
            Self::Record { error: RecordError::Field { why: EnvelopeError::Unwritable { .. }, .. }, .. } => {
                ErrorKind::Invalid
            }
            Self::ForeignTable { .. } | Self::Record { error: RecordError::Rule { .. }, .. } => ErrorKind::Invalid,
            Self::Record { .. } | Self::WrongAnswer { .. } => ErrorKind::Corrupt,
        }
    }

    /// What to do about it, in one or two sentences. [`explain`](crate::explain) says more.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match explain(self.code()) {
            Some(explanation) => explanation.help,
            None => kind_help(self.kind()),
        }
    }

    /// Whether the operation happened in spite of the error.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self {
            Self::Domain(error) if error.is_applied() => Fate::Applied,
            Self::Remote { applied: true, .. } => Fate::Applied,
            Self::Disconnected { maybe_applied: true, .. } => Fate::Unknown,
            Self::Stopped | Self::WrongAnswer { .. } => Fate::Unknown,
            Self::Domain(_)
            | Self::Remote { .. }
            | Self::Open(_)
            | Self::Disconnected { .. }
            | Self::Record { .. }
            | Self::ForeignTable { .. } => Fate::NotApplied,
        }
    }

    /// The commit set's own refusal.
    pub(crate) fn refused(error: SetError) -> Self {
        Self::Domain(domains::Error::Set(error))
    }

    /// The compares that did not hold, when that is why a commit failed.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        match self {
            Self::Domain(domains::Error::CompareFailed { failures }) => failures,
            Self::Domain(_)
            | Self::Remote { .. }
            | Self::Open(_)
            | Self::Disconnected { .. }
            | Self::Stopped
            | Self::Record { .. }
            | Self::ForeignTable { .. }
            | Self::WrongAnswer { .. } => &[],
        }
    }
}

impl OpenError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Machine(error) => error.code(),
            Self::NotADirectory { .. } => 130,
            Self::Missing { .. } => 131,
            Self::MissingParent { .. } => 132,
            Self::NotOurs { .. } => 133,
            Self::ReadOnly { .. } => 134,
            Self::NoServer { .. } => 135,
            Self::Protocol { .. } => 136,
            Self::System { .. } => 137,
            Self::Rules { .. } => 151,
        }
    }
}
