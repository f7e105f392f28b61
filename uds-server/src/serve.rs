//! A server's life: lock, open, listen, serve, stop.
//!
//! Contract: the directory's lock is taken before anything else and given back last; only its holder replaces a stale socket.
//! The socket is there only while the store is open and recovered. At SIGTERM or SIGINT nothing more is taken in, what was begun
//! is answered, everything committed is made persistent, and the socket's file is gone before [`serve`] returns, unless a service
//! manager has made it. At SIGHUP the rules are read again.

use crate::acl::Rules;
use crate::front::{SocketFront, Visitors};
use crate::limits::Limits;
use crate::session::Facts;
use domains::config::Config;
use domains::persistent::Report;
use domains::{Domain, Level};
use lostore::open::Options;
use lostore::shared::ShardOptions;
use lostore::{Error, OpenError};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use uring::{Choice, Doorbell, IoKind, Listener};

/// Room for what the device has in flight, beside two socket operations a connection.
const DEVICE_PLACES: u32 = 256;

/// What to serve, where, and to whom.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The store's directory, which must exist.
    pub directory: PathBuf,
    /// The socket's path: at most 107 bytes.
    pub socket: PathBuf,
    /// Permissions of the socket's file.
    pub permissions: u32,
    /// A socket that a service manager has made and passed ([`uring::passed`]): it is served instead of one at the path above.
    pub listener: Option<Listener>,
    /// Users that may do everything.
    pub uids: Vec<u32>,
    /// The file that says what others may do; it is read again at the signal HUP. Nobody else may connect without one.
    pub acl: Option<PathBuf>,
    /// How to reach the kernel.
    pub io: IoKind,
    /// Bounds of each connection, and of all of them.
    pub limits: Limits,
    /// When updates of a text connection are answered, until it chooses.
    pub redis_level: Level,
    /// How the shard's thread behaves.
    pub shard: ShardOptions,
    /// What asks the server to stop; `None` for the signals TERM and INT.
    pub termination: Option<Doorbell>,
}

impl ServeConfig {
    /// A server of `directory` at `socket`, for the present user and root only.
    #[must_use]
    pub fn new(directory: PathBuf, socket: PathBuf) -> Self {
        let mut uids = vec![uring::socket::own_uid(), 0];
        uids.dedup();
        Self {
            directory,
            socket,
            permissions: uring::socket::SOCKET_PERMISSIONS_DEFAULT,
            listener: None,
            uids,
            acl: None,
            io: IoKind::Auto,
            limits: Limits::default(),
            redis_level: Level::Committed,
            shard: ShardOptions { poll: poll(), ..ShardOptions::default() },
            termination: None,
        }
    }
}

/// How long an idle server looks for work before it sleeps. Where it would take the processor that its client or its device's
/// threads need, not at all: with two processors and others at work, a client that waited for each answer was served 5 thousand
/// times a second while the server looked for 50 µs, and 21 thousand times when it slept at once (`design/experiments/0003`).
fn poll() -> Duration {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if processors > 2 { ShardOptions::default().poll } else { Duration::ZERO }
}

/// What a server tells whoever started it, once clients can connect.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where it listens.
    pub socket: PathBuf,
    /// How it reaches the kernel, and why not otherwise.
    pub io: Choice,
    /// Up to where the store is persistent.
    pub horizon: domains::Horizon,
    /// What recovery found.
    pub report: Report,
}

/// Serves the persistent store in the directory until it is asked to stop; a directory without one gets one. `ready` is called
/// when clients can connect.
///
/// # Errors
/// When the directory is in use, the machine refuses something, the store cannot be opened, or the last commits could not be made
/// persistent.
pub fn serve(config: &ServeConfig, engine: &Config, ready: impl FnOnce(&Ready)) -> Result<(), Error> {
    let termination = match &config.termination {
        Some(doorbell) => doorbell.clone(),
        None => uring::termination().map_err(OpenError::from)?,
    };
    let visitors = visitors(config)?;
    let places = u32::try_from(config.limits.connections_max * 2).unwrap_or(u32::MAX).saturating_add(DEVICE_PLACES);
    let options =
        Options { io: config.io, config: engine.clone(), shard: config.shard.clone(), places, ..Options::default() };
    let (tell, told) = mpsc::sync_channel(1);
    let plan = config.clone();
    let (shared, report) = options.serve(&config.directory, move |grounds| {
        let listener = match plan.listener {
            Some(listener) => listener,
            None => Listener::bind(&plan.socket, plan.permissions, Some(grounds.lock)).map_err(OpenError::from)?,
        };
        let facts = Facts {
            server_id: grounds.report.domain.0.to_le_bytes(),
            capabilities: grounds.engine.capabilities(),
            cuts: grounds.report.cuts.clone(),
            limits: plan.limits,
            redis_level: plan.redis_level,
        };
        tell.send((grounds.choice.clone(), grounds.engine.horizon())).expect("whoever started the shard waits for it");
        Ok(SocketFront::new(listener, Some(termination), visitors, facts))
    })?;
    let (io, horizon) = told.recv().expect("a shard that started has told");
    let socket = config.listener.as_ref().map_or(config.socket.as_path(), Listener::path).to_owned();
    ready(&Ready { socket, io, horizon, report });
    shared.join()
}

/// Who may visit, by the rules as they are now. Wrong ones keep the server from starting.
fn visitors(config: &ServeConfig) -> Result<Visitors, Error> {
    let owners = config.uids.clone();
    let Some(path) = config.acl.clone() else {
        return Ok(Visitors { owners, rules: Rules::default(), reload: None });
    };
    let rules = Rules::read(&path).map_err(|error| OpenError::Rules { why: error.to_string() })?;
    let doorbell = uring::reloading().map_err(OpenError::from)?;
    Ok(Visitors { owners, rules, reload: Some((doorbell, Box::new(move || Rules::read(&path)))) })
}

#[cfg(test)]
mod tests;
