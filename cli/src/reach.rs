//! Which store a verb is for, reached: through a server's socket, or opened in this process.
//!
//! Contract: a directory that a server has open is reached through the server's socket, whichever verb it is; else the directory
//! is opened here, for as long as the verb takes. A verb never makes a store: only `serve` does.

use crate::args::{IoArg, Target};
use crate::failure::Failure;
use lostore::open::SOCKET_FILE;
use lostore::{AnyBackend, Error, OpenError, Options, Store};
use uring::IoKind;

/// A store, however it was reached.
pub(crate) type AnyStore = Store<AnyBackend>;

/// Reaches the store that the command line names.
pub(crate) fn reach(target: &Target) -> Result<AnyStore, Failure> {
    reach_with(target, options(target.io))
}

/// The same; if it is opened here, with these options.
pub(crate) fn reach_with(target: &Target, mut options: Options) -> Result<AnyStore, Failure> {
    if let Some(store) = &target.held {
        return Ok(store.clone());
    }
    options.create = false;
    if let Some(socket) = &target.socket {
        return Ok(Store::new(AnyBackend::Remote(options.connect(socket)?)));
    }
    let socket = target.store.join(SOCKET_FILE);
    let mut unreached = None;
    if std::fs::symlink_metadata(&socket).is_ok() {
        match options.connect(&socket) {
            Ok(remote) => return Ok(Store::new(AnyBackend::Remote(remote))),
            // Its server was killed: the socket is only a name, or the kernel is still taking it down, and resets who connects.
            Err(error @ Error::Open(OpenError::NoServer { .. })) => unreached = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match (options.open(&target.store), unreached) {
        (Ok((shared, _)), _) => Ok(Store::new(AnyBackend::Shared(shared))),
        // Somebody has it who does not answer at the socket: that is what is wrong.
        (Err(Error::Open(OpenError::Machine(uring::Error::InUse { .. }))), Some(unreached)) => Err(unreached.into()),
        (Err(error), _) => Err(Failure::from(error).or_serve(&target.store)),
    }
}

impl Failure {
    /// Of a store that is not there: how one is made.
    fn or_serve(mut self, dir: &std::path::Path) -> Self {
        if self.code == Some(131) {
            self.help = format!("name another with --store, or make one: `lostore serve {}` creates it", dir.display());
        }
        self
    }
}

/// Options with this way to the kernel.
pub(crate) fn options(io: IoArg) -> Options {
    let io = match io {
        IoArg::Auto => IoKind::Auto,
        IoArg::Uring => IoKind::Uring,
        IoArg::Posix => IoKind::Posix,
    };
    let mut options = Options { io, ..Options::default() };
    "lostore command".clone_into(&mut options.connect.client_name);
    options
}
