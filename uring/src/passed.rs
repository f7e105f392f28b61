//! A socket that a service manager made, and listens at until we do (`sd_listen_fds(3)`), without its library.
//!
//! Contract: nothing is taken but a Unix stream socket that listens, and only when the manager says that it is for this very
//! process; it is taken once. Its file and its permissions are the manager's: neither is changed, and the file stays when we end, so
//! that whoever connects then waits for our successor.

use crate::error::Error;
use crate::socket::Listener;
use rustix::fd::{AsFd, FromRawFd, OwnedFd};
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The process that the sockets are for, and how many they are.
const PROCESS: &str = "LISTEN_PID";
const COUNT: &str = "LISTEN_FDS";
/// The first of them.
const FIRST: i32 = 3;

/// The listener that the environment names, if it names one for this process.
///
/// # Errors
/// [`Error::PassedSocket`] when there are several, or it is no Unix stream socket that listens.
pub fn passed() -> Result<Option<Listener>, Error> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if !is_ours(std::env::var_os(PROCESS), std::env::var_os(COUNT), std::process::id())? {
        return Ok(None);
    }
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(None);
    }
    // SAFETY: `from_raw_fd` wants an open descriptor that nobody else owns: the manager has left this one open for this process, by
    // its number, before the process began, so nobody here got it from the kernel; and it is taken once.
    let fd = unsafe { OwnedFd::from_raw_fd(FIRST) };
    listener(fd).map(Some)
}

/// Whether one socket is for this process. What is for another one, as for a parent that did not take it, is nobody's here.
fn is_ours(process: Option<OsString>, count: Option<OsString>, own: u32) -> Result<bool, Error> {
    let number = |text: Option<OsString>| text.and_then(|text| text.to_str()?.parse::<u32>().ok());
    match (number(process) == Some(own), number(count)) {
        (true, Some(1)) => Ok(true),
        (false, _) | (true, None | Some(0)) => Ok(false),
        (true, Some(_)) => Err(Error::PassedSocket { why: "there are several, and one is served" }),
    }
}

/// The listener of a socket that listens already.
fn listener(fd: OwnedFd) -> Result<Listener, Error> {
    let wrong = |why| Err(Error::PassedSocket { why });
    if sockopt::socket_domain(&fd) != Ok(AddressFamily::UNIX) {
        return wrong("it is not a Unix socket; the unit's ListenStream= wants a path");
    }
    if sockopt::socket_type(&fd) != Ok(SocketType::STREAM) {
        return wrong("it is not a stream; use ListenStream=");
    }
    if sockopt::socket_acceptconn(&fd) != Ok(true) {
        return wrong("nobody listens at it; use Accept=no");
    }
    let Some(path) = path(&fd) else { return wrong("it has no file; the unit's ListenStream= wants a path") };
    let os = |what, errno| Error::os(what, &path, errno);
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).map_err(|errno| os("keep from children", errno))?;
    rustix::io::ioctl_fionbio(&fd, true).map_err(|errno| os("listen without waiting at", errno))?;
    Ok(Listener::of_manager(fd, path))
}

/// Where a socket's file was when it was bound.
fn path(fd: &impl AsFd) -> Option<PathBuf> {
    let address = rustix::net::getsockname(fd).ok()?;
    let address = rustix::net::SocketAddrUnix::try_from(address).ok()?;
    use std::os::unix::ffi::OsStrExt;
    Some(Path::new(std::ffi::OsStr::from_bytes(address.path()?.to_bytes())).to_owned())
}

#[cfg(test)]
mod tests;
