//! How a verb fails: what, why, what to do, a code, and the exit code that scripts look at.
//!
//! Contract: exit 0 done, 1 no or mismatch, 2 usage, 3 unreachable, 4 corruption. Every failure but *no* has a code `LSnnnn`
//! that `lostore explain` knows. A reader of stdout that has gone is not a failure to tell anybody of.

use lostore::{ErrorKind, OpenError};
use std::io::Write;
use std::process::ExitCode;

/// Code of a store of which pointers lead nowhere or records break their rules.
pub(crate) const SCHEMA: u16 = 606;
/// Code of a command line that cannot be understood beyond what its grammar says.
pub(crate) const USAGE: u16 = 601;
/// Code of a transaction's script that cannot be understood.
pub(crate) const SCRIPT: u16 = 602;
/// Code of a store in which an offline check has found damage.
pub(crate) const DAMAGE: u16 = 603;
/// Code of a demo of which a check has failed.
pub(crate) const DEMO: u16 = 604;
/// Code of a file or stream on this side that cannot be read or written.
pub(crate) const FILE: u16 = 605;

/// What the process answers to whoever started it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// The pair is not there, or a compare did not hold, or the store refused.
    No,
    /// The command line, or what came in on stdin, is wrong.
    Usage,
    /// The store or its server cannot be reached or opened.
    Unreachable,
    /// Bytes are not what was written.
    Corruption,
    /// The reader of the output has gone: nothing to say, nobody to say it to.
    Unheard,
}

/// Why a verb did not do what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// The code, when there is something to explain.
    pub(crate) code: Option<u16>,
    /// What and why.
    pub(crate) what: String,
    /// What to do.
    pub(crate) help: String,
}

impl Exit {
    /// As the process's exit code.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Unheard => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Corruption => 4,
        })
    }
}

impl Failure {
    /// Something that was asked for is not so: no explanation is needed.
    pub(crate) fn no(what: impl Into<String>) -> Self {
        Self { exit: Exit::No, code: None, what: what.into(), help: String::new() }
    }

    /// The arguments cannot be used.
    pub(crate) fn usage(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, code: Some(USAGE), what: what.into(), help: help.into() }
    }

    /// A file or stream of the caller's cannot be used.
    pub(crate) fn file(what: &str, name: &str, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Unheard, code: None, what: String::new(), help: String::new() };
        }
        let help = "check the path and its permissions".to_owned();
        Self { exit: Exit::Usage, code: Some(FILE), what: format!("cannot {what} {name}: {error}"), help }
    }

    /// Says it on stderr: what, and on a second line what to do.
    pub(crate) fn tell(&self) {
        if self.exit == Exit::Unheard {
            return;
        }
        let mut text = match self.code {
            Some(code) => format!("lostore: LS{code:04} {}\n", self.what),
            None => format!("lostore: {}\n", self.what),
        };
        if !self.help.is_empty() {
            text.push_str(&format!("  {}\n", self.help));
        }
        // Nobody is left to hear of a stderr that cannot be written.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// Says something on stderr that is no data: progress, notices.
pub(crate) fn talk(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl From<lostore::Error> for Failure {
    fn from(error: lostore::Error) -> Self {
        let exit = match (&error, error.kind()) {
            (lostore::Error::Domain(domains::Error::NotAStore { .. }), _) => Exit::Unreachable,
            (_, ErrorKind::Invalid) => Exit::Usage,
            (_, ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::Full) => Exit::No,
            (_, ErrorKind::Environment | ErrorKind::Poisoned) => Exit::Unreachable,
            (_, ErrorKind::Corrupt) => Exit::Corruption,
        };
        Self { exit, code: Some(error.code()), what: error.to_string(), help: error.help().to_owned() }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        lostore::Error::from(error).into()
    }
}

impl From<uring::Error> for Failure {
    fn from(error: uring::Error) -> Self {
        OpenError::from(error).into()
    }
}

impl From<domains::Error> for Failure {
    fn from(error: domains::Error) -> Self {
        lostore::Error::from(error).into()
    }
}
