//! The seam: operations that own their buffers go in, completions that give them back come out.
//!
//! Contract of both implementations:
//! * every operation taken is answered by exactly one [`Completion`], in any order; a buffer comes home with it whether the
//!   operation was done, failed or was cancelled;
//! * file transfers are whole: a short result is issued again from its start, a bounded number of times, then it is an error;
//!   a socket's short count is its answer;
//! * a completed write is not durable; it becomes so when a [`Op::Sync`] submitted after its completion was taken completes;
//! * overlapping writes and punches of one file are never in flight together: that is the caller's mistake and is asserted;
//! * `submit` never blocks; what finds no place in flight waits its turn inside.
//!
//! It does not order, link or batch operations on the caller's behalf.

use crate::doorbell::Doorbell;
use crate::file::File;
use crate::limits::TRANSFER_BYTES_MAX;
use crate::socket::{Listener, Socket};
use core::ops::Range;
use core::time::Duration;
use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What a buffer is made of: plain bytes, whatever their alignment, that a kernel or another thread may fill.
pub trait Memory: FromBytes + IntoBytes + Immutable + Send + 'static {}
impl<P: FromBytes + IntoBytes + Immutable + Send + 'static> Memory for P {}

/// Names an operation that was taken, so that it can be cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// What the kernel is asked to do.
#[derive(Debug)]
pub enum Op<P> {
    /// Fill the whole buffer from `offset` on. A file that ends earlier is an error.
    Read {
        /// The file.
        file: File,
        /// The first byte.
        offset: u64,
        /// Where the bytes go.
        buffer: Box<[P]>,
    },
    /// Write the whole buffer to `offset` and after.
    Write {
        /// The file.
        file: File,
        /// The first byte.
        offset: u64,
        /// The bytes.
        buffer: Box<[P]>,
    },
    /// Make every write whose completion was taken survive a power failure (fdatasync).
    Sync {
        /// The file.
        file: File,
    },
    /// Give the room of these bytes back to the file system: they read as zeros, the file stays as long as it is (fallocate). A
    /// file system that cannot says EOPNOTSUPP, and has changed nothing.
    Punch {
        /// The file.
        file: File,
        /// The first byte.
        offset: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// Wait for bytes and put them at the start of `range` of the buffer; zero bytes means that the peer is done.
    Receive {
        /// The connection.
        socket: Socket,
        /// Where the bytes go.
        buffer: Box<[P]>,
        /// The bytes of the buffer that may be filled.
        range: Range<usize>,
    },
    /// Wait until a receive would find bytes, or that the peer is done; it takes no buffer meanwhile.
    Heed {
        /// The connection.
        socket: Socket,
    },
    /// Send bytes; fewer than asked may go.
    Send {
        /// The connection.
        socket: Socket,
        /// Holds the bytes.
        buffer: Box<[P]>,
        /// The bytes of the buffer that are to go.
        range: Range<usize>,
    },
    /// Wait for a connection.
    Accept {
        /// Where.
        listener: Listener,
    },
    /// Wait until the doorbell rings. One watch of a doorbell at a time.
    Watch {
        /// Which.
        doorbell: Doorbell,
    },
    /// End an operation that waits. It still completes, as done or as [`IoError::Cancelled`]; the cancel completes on its own.
    Cancel {
        /// Which.
        id: OpId,
    },
}

/// What became of an operation.
#[derive(Debug)]
pub struct Completion<P> {
    /// The number given at `submit`.
    pub user: u64,
    /// The name given by `submit`.
    pub id: OpId,
    /// The buffer of an operation that has one, back home.
    pub buffer: Option<Box<[P]>>,
    /// What was done.
    pub result: Result<Outcome, IoError>,
}

/// What was done.
#[derive(Debug)]
pub enum Outcome {
    /// All that was asked: a whole transfer, a sync, bytes to be received, a cancel that found its operation.
    Done,
    /// So many bytes were received or sent.
    Moved(usize),
    /// A connection.
    Accepted(Socket),
    /// The doorbell rang so many times since it was last heard.
    Rang(u64),
}

/// Why an operation was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum IoError {
    /// The kernel's answer.
    #[error("the kernel answered with error {errno}")]
    Os {
        /// Its number.
        errno: i32,
    },
    /// A transfer came back short each time it was tried.
    #[error("only {moved} of {asked} bytes were transferred, each time it was tried")]
    Short {
        /// The bytes moved by the last attempt.
        moved: usize,
        /// The bytes asked for.
        asked: usize,
    },
    /// The file ends before the first byte of a read.
    #[error("the file ends before the {asked} bytes that were to be read")]
    EndOfFile {
        /// The bytes asked for.
        asked: usize,
    },
    /// The operation was cancelled.
    #[error("the operation was cancelled")]
    Cancelled,
}

/// Takes operations, gives back completions. Used by one thread.
///
/// ```
/// use uring::{Access, Caching, File, Io, IoKind, Op, open};
/// # let dir = tempfile::tempdir().unwrap();
/// let file = File::create(&dir.path().join("data"), Caching::Buffered)?;
/// let (mut io, choice) = open::<u8>(IoKind::Auto, 64)?;
/// if let Some(notice) = &choice.notice {
///     eprintln!("{notice}");
/// }
/// io.submit(Op::Write { file: file.clone(), offset: 0, buffer: b"seven by".to_vec().into() }, 7);
/// let mut done = Vec::new();
/// while done.is_empty() {
///     io.wait(None, &mut done);
/// }
/// assert_eq!(done[0].user, 7);
/// assert!(done[0].result.is_ok());
/// assert_eq!(done[0].buffer.as_deref(), Some(&b"seven by"[..]));
/// # Ok::<(), uring::Error>(())
/// ```
pub trait Io<P: Memory> {
    /// Takes an operation; `user` comes back with its completion.
    fn submit(&mut self, op: Op<P>, user: u64) -> OpId;

    /// Hands what was submitted to the kernel and appends what is complete. It never waits.
    fn poll(&mut self, done: &mut Vec<Completion<P>>);

    /// As [`Self::poll`], but waits for at least one completion, `timeout` at most. Returns at once when nothing is in flight.
    fn wait(&mut self, timeout: Option<Duration>, done: &mut Vec<Completion<P>>);

    /// How many operations have been taken and not yet given back.
    fn in_flight(&self) -> usize;

    /// Answers of the kernel that belonged to nothing in flight; they were dropped. Always zero on a healthy machine.
    fn strays(&self) -> u64;
}

impl<P: Memory> Op<P> {
    /// Refuses what no caller may ask: these are our own mistakes, not the machine's.
    pub(crate) fn check(&self) {
        match self {
            Self::Read { offset, buffer, .. } | Self::Write { offset, buffer, .. } => {
                let bytes = buffer.as_bytes().len();
                assert!(bytes > 0, "a transfer has at least one byte");
                assert!(bytes <= TRANSFER_BYTES_MAX, "a transfer of {bytes} bytes is over the limit");
                assert!(i64::try_from(*offset).is_ok(), "offset {offset} is past what a file can have");
            }
            Self::Punch { offset, bytes, .. } => {
                assert!(*bytes > 0, "a punch has at least one byte");
                let end = offset.checked_add(*bytes).and_then(|end| i64::try_from(end).ok());
                assert!(end.is_some(), "{bytes} bytes from {offset} on reach past what a file can have");
            }
            Self::Receive { buffer, range, .. } | Self::Send { buffer, range, .. } => {
                let bytes = buffer.as_bytes().len();
                assert!(range.start < range.end, "bytes {range:?} of a buffer are none");
                assert!(range.end <= bytes, "bytes {range:?} are not all in a buffer of {bytes}");
                assert!(bytes <= TRANSFER_BYTES_MAX, "a buffer of {bytes} bytes is over the limit");
            }
            Self::Sync { .. } | Self::Heed { .. } | Self::Accept { .. } | Self::Watch { .. } | Self::Cancel { .. } => {}
        }
    }
}

impl IoError {
    /// The operating system's number that says the same.
    #[must_use]
    pub fn errno(self) -> i32 {
        use rustix::io::Errno;
        match self {
            Self::Os { errno } => errno,
            Self::Short { .. } | Self::EndOfFile { .. } => Errno::IO.raw_os_error(),
            Self::Cancelled => Errno::CANCELED.raw_os_error(),
        }
    }
}
