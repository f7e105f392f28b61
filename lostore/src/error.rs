//! The error of the public API: a code, a kind that says what to do, and whether the effect happened.

use domains::ErrorKind;
use thiserror::Error as ThisError;

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
        /// What and why.
        message: String,
    },
}
