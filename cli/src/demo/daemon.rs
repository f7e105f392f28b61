//! The daemon of a demo: this very program as a process of its own.
//!
//! Contract: it is started, asked to stop, and killed by its process id alone, and never outlives the demo unless it is kept, even
//! when the demo is [interrupted](super::interrupt).

use super::checks::Checks;
use super::interrupt::{Belongings, Started, locked};
use crate::args::IoArg;
use crate::failure::{DEMO, Exit, Failure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Memory for cached records: all of the demo's, since each is read several times at the end.
const CACHE: &str = "256M";

/// How often it is looked whether the daemon has ended.
const ENDED_PAUSE: Duration = Duration::from_millis(2);

/// A server process.
pub(super) struct Daemon {
    child: Started,
    belongings: Belongings,
    pid: u32,
    place: PathBuf,
    store: PathBuf,
    socket: PathBuf,
    /// What it said when it was ready.
    ready: Value,
}

impl Daemon {
    /// Starts a server of the store in `place`, and waits until it is ready.
    pub(super) fn start(belongings: &Belongings, place: &Path, io: IoArg) -> Result<Self, Failure> {
        let (store, socket) = (place.join("store"), place.join("lostore.sock"));
        let program = std::env::current_exe().map_err(|error| Failure::file("find", "this program", &error))?;
        let talk = place.join("daemon.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&talk);
        let log = log.map_err(|error| Failure::file("write", &talk.to_string_lossy(), &error))?;
        let io = match io {
            IoArg::Auto => "auto",
            IoArg::Uring => "uring",
            IoArg::Posix => "posix",
        };
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg(&store)
            .arg("--socket")
            .arg(&socket)
            .args(["--io", io, "-o", "json", "--cache", CACHE])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut begun = None;
        let child = belongings.start(|| {
            let mut child = command.spawn()?;
            begun = Some((child.id(), child.stdout.take().expect("its stdout was piped")));
            Ok(child)
        });
        let child = child.map_err(|error| Failure::file("start", "the daemon", &error))?;
        let (pid, stdout) = begun.expect("it was started");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let ready = read.ok().and_then(|_| serde_json::from_str(&line).ok());
        let (belongings, place) = (belongings.clone(), place.to_owned());
        let daemon = |ready| Self { child, belongings, pid, place, store, socket, ready };
        match ready {
            Some(ready) => Ok(daemon(ready)),
            None => {
                // Dropped, it is ended and waited for, whatever it does instead of being ready.
                drop(daemon(Value::Null));
                let said = std::fs::read_to_string(&talk).unwrap_or_default();
                Err(failed(format!("the daemon did not start: {}", said.trim())))
            }
        }
    }

    /// Starts another on the same store.
    pub(super) fn restart(&self, io: IoArg) -> Result<Self, Failure> {
        assert!(locked(&self.child).is_none(), "the one before has ended");
        Self::start(&self.belongings, &self.place, io)
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn store(&self) -> &Path {
        &self.store
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// How it reaches the kernel.
    pub(super) fn io(&self) -> String {
        self.ready["io"].as_str().unwrap_or("?").to_owned()
    }

    /// What recovery found.
    pub(super) fn recovery(&self) -> &Value {
        &self.ready["recovery"]
    }

    /// How long it took until it was ready, by its own count.
    pub(super) fn took_ms(&self) -> u64 {
        self.ready["took_ms"].as_u64().unwrap_or(0)
    }

    /// What another thread needs to kill it. Good as long as the process was not waited for.
    pub(super) fn kill_handle(&self) -> Result<KillHandle, Failure> {
        let child = locked(&self.child);
        let child = child.as_ref().ok_or_else(|| failed("the daemon has ended".to_owned()))?;
        Ok(KillHandle(Pid::from_child(child)))
    }

    /// Kills it on the spot. It still must be [waited for](Self::reap).
    pub(super) fn kill(&self) -> Result<(), Failure> {
        self.signal(Signal::KILL)
    }

    /// Waits for its end; whether it ended by itself and well.
    pub(super) fn reap(&self) -> Result<bool, Failure> {
        // Not one long wait: between two looks whoever interrupts the demo gets at the daemon.
        loop {
            let mut held = locked(&self.child);
            let Some(child) = held.as_mut() else { return Ok(true) };
            let ended = child.try_wait().map_err(|error| Failure::file("wait for", "the daemon", &error))?;
            if let Some(status) = ended {
                *held = None;
                return Ok(status.success());
            }
            drop(held);
            std::thread::sleep(ENDED_PAUSE);
        }
    }

    /// Asks it to stop, and checks that it does so well.
    pub(super) fn stop(&self, checks: &mut Checks<'_>) -> Result<(), Failure> {
        if locked(&self.child).is_none() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let well = self.reap()?;
        checks.check("the daemon stops well when it is asked to", well);
        checks.check("its socket is gone then", !self.socket.exists());
        Ok(())
    }

    /// Leaves it running.
    pub(super) fn keep(&self) {
        self.belongings.release();
        drop(locked(&self.child).take());
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let child = locked(&self.child);
        // Only while the child was not waited for is its number surely its own.
        let Some(child) = child.as_ref() else { return Ok(()) };
        kill_process(Pid::from_child(child), signal)
            .map_err(|errno| Failure::file("signal", "the daemon", &std::io::Error::from(errno)))
    }
}

/// The right to kill one daemon.
pub(super) struct KillHandle(Pid);

impl KillHandle {
    /// Kills it; whether that could be done.
    pub(super) fn kill(&self) -> bool {
        kill_process(self.0, Signal::KILL).is_ok()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = locked(&self.child).take() {
            // A demo that fails in the middle: nothing in the store is wanted any more.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(super) fn failed(what: String) -> Failure {
    Failure { exit: Exit::No, code: Some(DEMO), what, help: "the output above says how far it came".to_owned() }
}
