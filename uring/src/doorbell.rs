//! A doorbell: how another thread wakes one that waits for completions.
//!
//! The waiting side keeps a [`Doorbell`] and has one [`Op::Watch`](crate::Op::Watch) of it in flight; any number of threads
//! hold a [`Bell`] and ring it. Rings add up until they are heard, so none is ever lost, and ringing never blocks.

use crate::error::Error;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::path::Path;
use std::sync::Arc;
use zerocopy::IntoBytes;

/// The side that waits.
#[derive(Clone, Debug)]
pub struct Doorbell {
    fd: Arc<OwnedFd>,
}

/// The side that rings.
#[derive(Clone, Debug)]
pub struct Bell {
    fd: Arc<OwnedFd>,
}

impl Doorbell {
    /// A doorbell that nobody has rung.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> Result<Self, Error> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| Error::os("make", Path::new("a doorbell"), errno))?;
        Ok(Self { fd: Arc::new(fd) })
    }

    /// Hears the rings since the last time; `None` when there were none. It never blocks.
    pub(crate) fn hear(&self) -> Result<Option<u64>, Errno> {
        let mut count = [0; 8];
        match rustix::io::read(&self.fd, &mut count) {
            // The kernel's counter is in the machine's own byte order.
            Ok(8) => Ok(Some(zerocopy::transmute!(count))),
            Ok(bytes) => unreachable!("an eventfd gives 8 bytes or none, not {bytes}"),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// A button for somebody else to press.
    #[must_use]
    pub fn bell(&self) -> Bell {
        Bell { fd: Arc::clone(&self.fd) }
    }
}

#[cfg(test)]
impl Doorbell {
    /// How many handles share the descriptor.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.fd)
    }
}

impl Bell {
    /// Rings.
    pub fn ring(&self) {
        loop {
            match rustix::io::write(&self.fd, 1u64.as_bytes()) {
                // Full means rung four billion times and more without being heard: it will be heard.
                Ok(_) | Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(errno) => panic!("an eventfd that is open cannot be written: {errno}"),
            }
        }
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
