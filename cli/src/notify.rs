//! Tells a service manager how the server is, by the datagrams that systemd reads (`sd_notify(3)`), without its library.
//!
//! Contract: nothing is told when `NOTIFY_SOCKET` is not set, and a manager that does not listen is nobody's trouble but its own: it is
//! said on stderr once. The variable is a path, or a name that begins with `@` for a socket without a file.

use crate::failure::talk;
use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where the manager listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// A service manager, if there is one.
pub(crate) struct Manager {
    socket: Option<OsString>,
}

impl Manager {
    /// The one that the environment names.
    pub(crate) fn of_environment() -> Self {
        Self { socket: std::env::var_os(SOCKET).filter(|name| !name.is_empty()) }
    }

    /// Clients can connect from now on.
    pub(crate) fn ready(&mut self, status: &str) {
        self.tell(&format!("READY=1\nMAINPID={}\nSTATUS={status}", std::process::id()));
    }

    /// Something that takes its time has begun.
    pub(crate) fn status(&mut self, status: &str) {
        self.tell(&format!("STATUS={status}"));
    }

    /// The server has stopped, and everything committed is persistent.
    pub(crate) fn stopped(&mut self) {
        self.tell("STOPPING=1\nSTATUS=stopped: everything committed is persistent");
    }

    fn tell(&mut self, message: &str) {
        let Some(name) = &self.socket else { return };
        if let Err(error) = send(name, message) {
            talk(&format!("the service manager at {} is not told: {error}", name.to_string_lossy()));
            self.socket = None;
        }
    }
}

fn send(name: &OsStr, message: &str) -> std::io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager whose queue is full must not hold the server up.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests;
