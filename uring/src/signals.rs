//! The signals that ask a program to end, or to read its settings again, as doorbells.
//!
//! A handler may do next to nothing, so ours rings a doorbell that was made before it was installed, and the program hears it
//! as any other completion. The handlers stay until the process ends.

use crate::doorbell::{Bell, Doorbell};
use crate::error::Error;
use rustix::io::Errno;
use std::path::Path;
use std::sync::OnceLock;

/// Rung by the handler. A static, since a handler is given nothing.
static TERMINATION: OnceLock<(Doorbell, Bell)> = OnceLock::new();

/// The same of the signal that asks to read settings again.
static RELOADING: OnceLock<(Doorbell, Bell)> = OnceLock::new();

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
/// Comes along with the error of a write over the file size limit.
const SIGXFSZ: i32 = 25;
/// What `signal` answers when it fails.
const SIG_ERR: usize = usize::MAX;

unsafe extern "C" {
    /// `signal(2)` of the C library that std links anyway. The handler before, or `SIG_ERR`, comes back as a number.
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
}

extern "C" fn on_signal(_number: i32) {
    // An atomic load and a write(2) are all that happens here: both are allowed in a handler.
    if let Some((_, bell)) = TERMINATION.get() {
        bell.ring();
    }
}

extern "C" fn on_hangup(_number: i32) {
    if let Some((_, bell)) = RELOADING.get() {
        bell.ring();
    }
}

extern "C" fn on_nothing(_number: i32) {}

/// A doorbell that rings at SIGTERM and SIGINT, which no longer end the process by themselves. Nor does a write over the file
/// size limit: its error is answer enough.
///
/// # Errors
/// When the process has no descriptor left, or may not handle signals.
pub fn termination() -> Result<Doorbell, Error> {
    let doorbell = doorbell_of(&TERMINATION)?;
    handle(&[(SIGINT, on_signal), (SIGTERM, on_signal), (SIGXFSZ, on_nothing)], "the signals TERM and INT")?;
    Ok(doorbell)
}

/// A doorbell that rings at SIGHUP, which no longer ends the process.
///
/// # Errors
/// As [`termination`].
pub fn reloading() -> Result<Doorbell, Error> {
    let doorbell = doorbell_of(&RELOADING)?;
    handle(&[(SIGHUP, on_hangup)], "the signal HUP")?;
    Ok(doorbell)
}

/// The doorbell that a handler rings.
fn doorbell_of(place: &OnceLock<(Doorbell, Bell)>) -> Result<Doorbell, Error> {
    if place.get().is_none() {
        let doorbell = Doorbell::new()?;
        let bell = doorbell.bell();
        // Another thread may have been first; then its doorbell counts and ours is dropped.
        let _ = place.set((doorbell, bell));
    }
    let (doorbell, _) = place.get().expect("it was set above or by another thread");
    Ok(doorbell.clone())
}

/// A signal's number and what happens at it.
type Handler = (i32, extern "C" fn(i32));

fn handle(handlers: &[Handler], what: &str) -> Result<(), Error> {
    for &(number, handler) in handlers {
        // SAFETY: `signal` wants a number and a handler that is async-signal-safe and lives for ever: both are functions, one
        // does nothing, the other an atomic load and a write(2) through an Arc that a static keeps, and leaves errno alone.
        let before = unsafe { signal(number, handler) };
        if before == SIG_ERR {
            return Err(Error::os("handle", Path::new(what), Errno::INVAL));
        }
    }
    Ok(())
}
