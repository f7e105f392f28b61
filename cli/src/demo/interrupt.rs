//! Ctrl-C in the middle of a demo: the daemon that it has started is ended, what it has made is removed, and then it ends.
//!
//! Contract: from [`Belongings::watch`] on, SIGHUP, SIGINT and SIGTERM end the process with 128 plus the signal's number. Whoever
//! starts a daemon or gives the directory away does so under the lock that the end takes for good, so nothing is missed.

use crate::failure::{Failure, talk};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A process that was started here, until it was waited for.
pub(super) type Started = Arc<Mutex<Option<Child>>>;

/// What must not outlive the demo.
#[derive(Clone, Default)]
pub(super) struct Belongings(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    directory: Option<PathBuf>,
    daemon: Started,
}

/// The lock of something that stays sound whoever panicked with it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Belongings {
    /// Nothing yet, watched over from now on.
    pub(super) fn watch() -> Result<Self, Failure> {
        let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]);
        let mut signals = signals.map_err(|error| Failure::file("watch for", "signals", &error))?;
        let belongings = Self::default();
        let held = Arc::clone(&belongings.0);
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Kept until the process is gone, so that nobody begins anything any more.
                let held = locked(&held);
                end(&held);
                std::process::exit(128 + signal);
            }
        });
        Ok(belongings)
    }

    /// Makes the demo's directory.
    pub(super) fn directory(&self) -> std::io::Result<tempfile::TempDir> {
        let mut held = locked(&self.0);
        let made = tempfile::Builder::new().prefix("lostore-demo.").tempdir()?;
        held.directory = Some(made.path().to_owned());
        Ok(made)
    }

    /// Starts a process in place of the one before, which has ended.
    pub(super) fn start(&self, start: impl FnOnce() -> std::io::Result<Child>) -> std::io::Result<Started> {
        let mut held = locked(&self.0);
        held.daemon = Arc::new(Mutex::new(Some(start()?)));
        Ok(Arc::clone(&held.daemon))
    }

    /// Returns at once, or never: when the demo is being ended, whoever failed for it must not be faster.
    pub(super) fn settle(&self) {
        drop(locked(&self.0));
    }

    /// Gives everything away: it outlives the demo.
    pub(super) fn release(&self) {
        *locked(&self.0) = Held::default();
    }
}

/// Ends and removes what is held.
fn end(held: &Held) {
    if let Some(child) = locked(&held.daemon).as_mut() {
        let _ = child.kill();
        let _ = child.wait();
    }
    match &held.directory {
        Some(directory) => {
            let _ = std::fs::remove_dir_all(directory);
            talk("interrupted: the demo's daemon was ended and its directory removed");
        }
        None => talk("interrupted"),
    }
}
