//! What a command is refused with. Where Redis has a text for it, the same text, for clients look at it; otherwise one of lostore's
//! codes, what happened and what to do.

use super::writer::Writer;
use domains::{Error, ErrorKind};
use thiserror::Error as ThisError;

/// Why a command was not carried out. The first word of the text is the kind that clients tell apart.
#[derive(Clone, PartialEq, Debug, ThisError)]
pub(crate) enum Fault {
    /// Words that make no sense together.
    #[error("ERR syntax error")]
    Syntax,
    /// Text where an integer of 64 bits belongs.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// Text where a number belongs.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// The sum has no 64 bits.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The sum is no finite number.
    #[error("ERR increment would produce NaN or Infinity")]
    NotFinite,
    /// A count of arguments that the command does not have.
    #[error("ERR wrong number of arguments for '{name}' command")]
    ArgCount {
        /// The command.
        name: String,
    },
    /// A time that is none.
    #[error("ERR invalid expire time in '{name}' command")]
    BadExpiry {
        /// The command.
        name: String,
    },
    /// A position before the beginning.
    #[error("ERR offset is out of range")]
    BadOffset,
    /// A string that would be larger than any may be.
    #[error("ERR string exceeds maximum allowed size (67108864 bytes)")]
    TooLong,
    /// A database that is not there.
    #[error("ERR DB index is out of range")]
    NoSuchDatabase,
    /// The key to be renamed is not there.
    #[error("ERR no such key")]
    NoSuchKey,
    /// A word that is neither of those that the command knows.
    #[error("ERR unknown subcommand '{name}'. Try {command} HELP.")]
    Subcommand {
        /// The command.
        command: &'static str,
        /// The word.
        name: String,
    },
    /// A command that is not served.
    #[error("ERR LS0504 unknown command '{name}': lostore does not serve it, see design/redis-differences.md")]
    Unknown {
        /// Its name, cut short.
        name: String,
    },
    /// Something that Redis does and lostore does not.
    #[error("ERR LS0530 {what} is not served: {instead}")]
    Unserved {
        /// What was asked.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// An argument of an `LS.` command that cannot be read.
    #[error("ERR LS0503 '{found}' is not {want}; nothing was done")]
    Malformed {
        /// What was found.
        found: String,
        /// What belongs there.
        want: &'static str,
    },
    /// The iteration's cursor is not known.
    #[error(
        "ERR LS0531 the cursor is not known: it is of another table, or too many iterations came after it; begin with SCAN 0"
    )]
    NoSuchCursor,
    /// The same keys were changed by others again and again.
    #[error("TRYAGAIN LS0303 others changed the same keys {tries} times meanwhile; nothing was done; try again")]
    Contended {
        /// How often.
        tries: u32,
    },
    /// One command would take too much memory.
    #[error("ERR LS0511 the command's values have more than {limit} bytes together; ask for less at a time")]
    TooMuch {
        /// The bound.
        limit: usize,
    },
    /// The client does not read.
    #[error("ERR LS0512 earlier replies have not been read; read them, then ask again")]
    SlowReader,
    /// The server's memory is taken.
    #[error(
        "OOM LS0520 the server's memory for connections is taken by others' requests and replies; nothing was done; try again later"
    )]
    Memory,
    /// A table on which the user has no right, whether or not it is there.
    #[error("NOPERM LS0201 there is no table '{name}' for this user; the server's owner can say what its rules give")]
    NoTable {
        /// Its name.
        name: String,
    },
    /// The server ends.
    #[error("ERR LS0514 the server is stopping; nothing was done; connect again later")]
    Stopping,
    /// `EXEC` of what was refused before.
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    Aborted,
    /// A command of a transaction failed.
    #[error("EXECABORT LS0302 command {number} of the transaction failed, so nothing was done: {why}")]
    Failed {
        /// Its place, from 1.
        number: usize,
        /// Its own fault.
        why: Box<Fault>,
    },
    /// A dialect that there is not.
    #[error("NOPROTO unsupported protocol version")]
    NoSuchDialect,
    /// A text that only one command gives.
    #[error("{0}")]
    Text(&'static str),
    /// The domain's own.
    #[error("{} LS{:04} {}", prefix(.0), .0.code(), .0)]
    Domain(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl From<txn::SetError> for Fault {
    fn from(error: txn::SetError) -> Self {
        Self::Domain(Error::Set(error))
    }
}

/// The word that Redis has for this kind, where clients act on one.
fn prefix(error: &Error) -> &'static str {
    if matches!(error, Error::Denied { .. }) {
        return "NOPERM";
    }
    match error.kind() {
        ErrorKind::Poisoned => "MISCONF",
        ErrorKind::Full => "OOM",
        ErrorKind::Conflict => "TRYAGAIN",
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::Unsupported
        | ErrorKind::Corrupt
        | ErrorKind::Environment => "ERR",
    }
}

impl Fault {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.error(&self.to_string());
    }
}

/// At most so many bytes of what a client sent stand in a message.
const QUOTED_BYTES_MAX: usize = 64;

/// A client's word, fit to stand in a message.
pub(crate) fn quoted(word: &[u8]) -> String {
    word[..word.len().min(QUOTED_BYTES_MAX)].escape_ascii().to_string()
}
