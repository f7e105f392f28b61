//! Which backend: io_uring where the machine lets us, POSIX where not, and an explanation when that was not the first choice.

use crate::error::Error;
use crate::io::{Io, Memory};
use crate::kernel::Lack;
use crate::limits::{PLACES_MAX, PLACES_MIN};
use crate::posix::Posix;
use crate::ring::Ring;
use core::fmt;
use core::str::FromStr;
use rustix::io::Errno;

/// What the user asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IoKind {
    /// io_uring if the machine lets us, POSIX otherwise.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// POSIX calls on threads.
    Posix,
}

/// What was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The backend: [`IoKind::Uring`] or [`IoKind::Posix`].
    pub kind: IoKind,
    /// To be shown to the user once: why it is not io_uring, what that costs and how to change it. `None` if there is
    /// nothing to say.
    pub notice: Option<String>,
}

/// Opens a backend on this thread, with room for about `places` operations in flight (more wait their turn inside).
/// Connections each take a place for as long as a receive waits: ask for more places than connections.
///
/// # Errors
/// When io_uring was asked for by name and is refused (the error explains it), or when the process has no descriptor or thread
/// left.
pub fn open<P: Memory>(kind: IoKind, places: u32) -> Result<(Box<dyn Io<P>>, Choice), Error> {
    open_with(kind, places, &mut |places| Ring::start(places).map(|ring| Box::new(ring) as Box<dyn Io<P>>))
}

/// As [`open`], with the setup of a ring given, so that a test can refuse it.
pub(crate) fn open_with<P: Memory>(
    kind: IoKind,
    places: u32,
    setup: &mut dyn FnMut(u32) -> Result<Box<dyn Io<P>>, Lack>,
) -> Result<(Box<dyn Io<P>>, Choice), Error> {
    let mut notice = None;
    if kind != IoKind::Posix {
        match setup(places.clamp(PLACES_MIN, PLACES_MAX).next_power_of_two()) {
            Ok(ring) => return Ok((ring, Choice { kind: IoKind::Uring, notice })),
            Err(lack) if kind == IoKind::Uring => return Err(Error::RingRefused { explanation: explain(lack, "") }),
            Err(lack) => notice = Some(explain(lack, EFFECT)),
        }
    }
    Ok((Box::new(Posix::start()?), Choice { kind: IoKind::Posix, notice }))
}

const EFFECT: &str =
    " POSIX calls on threads are used instead: everything works, device reads and small commits are slower.";

fn explain(lack: Lack, effect: &str) -> String {
    let (cause, change) = match lack {
        Lack::Setup(Errno::PERM | Errno::ACCESS) => (
            "the kernel does not permit io_uring to this process".to_owned(),
            "set `sysctl kernel.io_uring_disabled=0`, or, in a container, allow io_uring_setup, io_uring_enter and \
             io_uring_register in its seccomp profile (docker run --security-opt seccomp=PROFILE.json; in a systemd unit \
             SystemCallFilter=@system-service)",
        ),
        Lack::Setup(Errno::NOSYS) => (
            "this kernel has no io_uring".to_owned(),
            "use Linux 5.11 or newer with CONFIG_IO_URING, outside of sandboxes such as gVisor",
        ),
        Lack::Setup(Errno::NOMEM) => (
            "there is not enough lockable memory for io_uring".to_owned(),
            "raise the limit (`ulimit -l`, LimitMEMLOCK= in a systemd unit, --ulimit memlock= for docker)",
        ),
        Lack::Setup(Errno::MFILE | Errno::NFILE) => (
            "there is no file descriptor left for io_uring".to_owned(),
            "raise the limit (`ulimit -n`, LimitNOFILE= in a systemd unit)",
        ),
        Lack::Setup(errno) => (
            format!("setting io_uring up failed with error {} ({errno})", errno.raw_os_error()),
            "look that error up in io_uring_setup(2)",
        ),
        Lack::Feature(feature) => {
            (format!("this kernel's io_uring is too old: it lacks {feature}"), "use Linux 5.11 or newer")
        }
    };
    format!("io_uring is not available: {cause}.{effect} To change that, {change}; or ask for --io posix.")
}

impl fmt::Display for IoKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Uring => "uring",
            Self::Posix => "posix",
        })
    }
}

impl FromStr for IoKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "uring" => Ok(Self::Uring),
            "posix" => Ok(Self::Posix),
            other => Err(format!("'{other}' is none of auto, uring, posix")),
        }
    }
}

#[cfg(test)]
mod tests;
