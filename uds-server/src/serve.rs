//! A server's life: lock, open, listen, serve, stop.
//!
//! Contract: the directory's lock is taken before anything else and given back last; only its holder replaces a stale socket.
//! The socket is there only while the store is open and recovered. At SIGTERM or SIGINT nothing more is taken in, what was begun
//! is answered, everything committed is made persistent, and the socket's file is gone before [`serve_with`] returns.
//!
//! Which engine is served is the caller's: it opens one on the ring that it is given.

use crate::front::SocketFront;
use crate::limits::Limits;
use crate::session::Facts;
use domains::Driven;
use domains::Engine;
use domains::config::Config;
use domains::persistent::{self, Entropy, Report};
use domains::ring_device::RingDevice;
use lostore::port::RingPort;
use lostore::shared::{ShardOptions, Shared};
use lostore::{Error, OpenError};
use segments::{DomainId, EpochId, Incarnation, Page};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use uring::{Access, Caching, Choice, DirectoryLock, Doorbell, File, Io, IoKind, Listener, Patience};

/// Room for what the device has in flight, beside two socket operations a connection.
const DEVICE_PLACES: u32 = 256;

/// The name of the data file in the store's directory.
const DATA_FILE: &str = "data";

/// What to serve, where, and to whom.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The store's directory, which must exist.
    pub directory: PathBuf,
    /// The socket's path: at most 107 bytes.
    pub socket: PathBuf,
    /// Permissions of the socket's file.
    pub permissions: u32,
    /// Users that may connect.
    pub uids: Vec<u32>,
    /// How to reach the kernel.
    pub io: IoKind,
    /// Bounds of each connection.
    pub limits: Limits,
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
            uids,
            io: IoKind::Auto,
            limits: Limits::default(),
            shard: ShardOptions::default(),
            termination: None,
        }
    }
}

/// An engine on its device, ready to be asked.
pub struct Opened<D> {
    /// The engine.
    pub domain: D,
    /// Its device, on the ring that the sockets share.
    pub device: RingDevice,
    /// The store's identity.
    pub server_id: [u8; 16],
    /// The cuts of incarnations that have ended, as far as they are known.
    pub cuts: Vec<(Incarnation, EpochId)>,
    /// What recovery found, where there was one.
    pub report: Option<Report>,
}

impl<D> std::fmt::Debug for Opened<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("cuts", &self.cuts).finish_non_exhaustive()
    }
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
    /// What recovery found, where there was one.
    pub report: Option<Report>,
}

/// Serves the persistent store in the directory until it is asked to stop; a directory without one gets one.
///
/// # Errors
/// As [`serve_with`].
pub fn serve(config: &ServeConfig, engine: &Config, ready: impl FnOnce(&Ready)) -> Result<(), Error> {
    let engine = engine.clone();
    serve_with(config, move |lock, io| open_persistent(lock, io, &engine), ready)
}

/// Opens the persistent domain in the locked directory; formats its data file if there is none yet.
fn open_persistent(lock: &DirectoryLock, io: Box<dyn Io<Page>>, config: &Config) -> Result<Opened<Engine>, Error> {
    let path = lock.directory().join(DATA_FILE);
    let file = if path.exists() {
        File::open(&path, Access::ReadWrite, Caching::Around)
    } else {
        File::create(&path, Caching::Around)
    };
    let file = file.map_err(OpenError::from)?;
    file.lock(Patience::Dying).map_err(OpenError::from)?;
    let mut device = RingDevice::new(io, file).map_err(OpenError::from)?;
    if persistent::is_blank(&mut device)? {
        let domain = DomainId(uring::entropy::random_u128());
        let salt = u32::try_from(uring::entropy::random_u64() >> 32).expect("32 bits remain after the shift");
        let hash_key = uring::entropy::random_u128().to_le_bytes();
        persistent::format(&mut device, config, Entropy { domain, salt, hash_key })?;
    }
    let (domain, report) = persistent::open(&mut device, config)?;
    let (server_id, cuts) = (report.domain.0.to_le_bytes(), report.cuts.clone());
    Ok(Opened { domain, device, server_id, cuts, report: Some(report) })
}

/// Serves a store until it is asked to stop.
///
/// `open` is called on the shard's thread, with the lock held and the ring made; `ready` when clients can connect.
///
/// # Errors
/// When the directory is in use, the machine refuses something, the store cannot be opened, or the last commits could not be made
/// persistent.
pub fn serve_with<D: Driven + 'static>(
    config: &ServeConfig,
    open: impl FnOnce(&DirectoryLock, Box<dyn Io<Page>>) -> Result<Opened<D>, Error> + Send + 'static,
    ready: impl FnOnce(&Ready),
) -> Result<(), Error> {
    let termination = match &config.termination {
        Some(doorbell) => doorbell.clone(),
        None => uring::termination().map_err(OpenError::from)?,
    };
    let lock = Arc::new(uring::lock_directory(&config.directory, Patience::Dying).map_err(OpenError::from)?);
    let (tell, told) = mpsc::sync_channel(1);
    let plan = config.clone();
    let held = Arc::clone(&lock);
    let shared = Shared::start(&config.shard, move || {
        let places = u32::try_from(plan.limits.connections_max * 2).unwrap_or(u32::MAX).saturating_add(DEVICE_PLACES);
        let (io, choice) = uring::open(plan.io, places).map_err(OpenError::from)?;
        let Opened { domain, device, server_id, cuts, report } = open(&held, io)?;
        let port = RingPort::new(device).map_err(OpenError::from)?;
        let listener = Listener::bind(&plan.socket, plan.permissions, Some(&held)).map_err(OpenError::from)?;
        let facts = Facts { server_id, capabilities: domain.capabilities(), cuts, limits: plan.limits };
        let ready = Ready { socket: plan.socket.clone(), io: choice, horizon: domain.horizon(), report };
        tell.send(ready).expect("whoever started the shard waits for it");
        Ok((domain, port, SocketFront::new(listener, Some(termination), plan.uids, facts)))
    })?;
    ready(&told.recv().expect("a shard that started has told"));
    let result = shared.join();
    // Last: until here nobody else may touch the directory or the socket.
    drop(lock);
    result
}

#[cfg(test)]
mod tests;
