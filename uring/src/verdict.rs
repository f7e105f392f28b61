//! What an answer of the kernel means: done, issue it again, wait until the descriptor is ready, or failed.
//!
//! Pure, and the same for both backends. Transfers of files are whole or nothing: the *whole* request is issued again, never
//! the remainder, since a remainder would not be aligned as direct I/O wants it.

use crate::io::IoError;
use crate::limits::{AGAIN_RETRIES_MAX, SHORT_RETRIES_MAX};
use rustix::io::Errno;

/// What kind of request was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Read,
    Write,
    Sync,
    Punch,
    Receive,
    Send,
    Accept,
    Watch,
    Ready,
    Cancel,
}

/// How often a request was issued again, and why.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tries {
    short: u32,
    again: u32,
}

/// What is to be done about an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Verdict {
    /// It is done; the kernel's number is its count or descriptor.
    Done(u32),
    /// Issue the same request again.
    Again,
    /// Wait until the descriptor is ready, then issue the same request again.
    AwaitReady,
    /// It failed for good.
    Failed(IoError),
}

/// Judges `result`, the kernel's answer to a request of `kind` for `asked` bytes.
pub(crate) fn judge(kind: Kind, asked: usize, result: i32, tries: &mut Tries) -> Verdict {
    match u32::try_from(result) {
        Ok(count) => judge_count(kind, asked, count, tries),
        Err(_) => judge_error(kind, Errno::from_raw_os_error(-result), tries),
    }
}

fn judge_count(kind: Kind, asked: usize, count: u32, tries: &mut Tries) -> Verdict {
    let moved = count as usize;
    match kind {
        Kind::Read | Kind::Write if moved == asked => Verdict::Done(count),
        Kind::Read if moved == 0 => Verdict::Failed(IoError::EndOfFile { asked }),
        Kind::Read | Kind::Write => {
            assert!(moved < asked, "the kernel moved {moved} bytes of {asked}");
            if tries.short == SHORT_RETRIES_MAX || moved == 0 {
                return Verdict::Failed(IoError::Short { moved, asked });
            }
            tries.short += 1;
            Verdict::Again
        }
        Kind::Receive | Kind::Send => {
            assert!(moved <= asked, "the kernel moved {moved} bytes of {asked}");
            Verdict::Done(count)
        }
        // The descriptor is ready, so the request itself goes out now.
        Kind::Ready => Verdict::Again,
        Kind::Sync | Kind::Punch | Kind::Accept | Kind::Watch | Kind::Cancel => Verdict::Done(count),
    }
}

fn judge_error(kind: Kind, errno: Errno, tries: &mut Tries) -> Verdict {
    if errno == Errno::CANCELED {
        return Verdict::Failed(IoError::Cancelled);
    }
    let failed = Verdict::Failed(IoError::Os { errno: errno.raw_os_error() });
    // A connection that went away before it was accepted is none of the caller's business.
    let again = errno == Errno::INTR || errno == Errno::AGAIN || (errno == Errno::CONNABORTED && kind == Kind::Accept);
    if !again || kind == Kind::Cancel || tries.again == AGAIN_RETRIES_MAX {
        return failed;
    }
    tries.again += 1;
    match kind {
        Kind::Receive | Kind::Send | Kind::Accept | Kind::Watch if errno == Errno::AGAIN => Verdict::AwaitReady,
        _ => Verdict::Again,
    }
}

#[cfg(test)]
mod tests;
