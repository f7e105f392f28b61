//! The edge to the kernel: io_uring or POSIX behind one trait, owned buffers out, completions in.
//!
//! What is here: the [`Io`] trait with its two implementations [`Ring`] and [`Posix`], chosen by [`open`]; the handles they
//! work on ([`File`], [`Socket`], [`Listener`], [`Doorbell`]); and the rest of what a program needs from the machine: locks,
//! signals, clocks, random numbers.
//!
//! Invariants: a buffer is owned by exactly one side, the caller or an operation in flight, and comes home with the
//! operation's one completion; a descriptor stays open while an operation on it is in flight; nothing may be concluded from
//! the order of submission, and no two requests are ever linked. This is the only crate with `unsafe` in it, and a test counts
//! the blocks.
//!
//! It does not know pages, logs, frames or protocols.

pub mod choose;
pub mod clock;
pub mod doorbell;
pub mod entropy;
pub mod error;
pub mod file;
pub mod io;
pub mod limits;
pub mod lock;
pub mod passed;
pub mod posix;
pub mod ring;
pub mod signals;
pub mod socket;

mod kernel;
mod loan;
mod slots;
mod spans;
mod verdict;

pub use choose::{Choice, IoKind, open};
pub use clock::{Clock, Now};
pub use doorbell::{Bell, Doorbell};
pub use error::Error;
pub use file::{Access, Caching, Data, File, Mode, Zeroing, sync_directory};
pub use io::{Completion, Io, IoError, Memory, Op, OpId, Outcome};
pub use lock::{DirectoryLock, Patience, lock_directory};
pub use passed::passed;
pub use posix::Posix;
pub use ring::Ring;
pub use signals::{reloading, termination};
pub use socket::{Listener, Peer, Socket, Stream, connect};

#[cfg(test)]
mod tests;
