//! Columns that reach the persistent domain through the API's backends, over a real file: inline, a shard's thread, a socket.
//!
//! Contract: each has a directory of its own, which goes with it; a reopen closes the store and opens it again.

use super::{Column, Lack};
use crate::bench::tiny;
use domains::{Answer, Capabilities, Horizon, Op};
use lostore::inline::Inline;
use lostore::open::Options;
use lostore::shared::Shared;
use lostore::{Backend, Error};
use segments::{TableId, Version};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use tempfile::TempDir;
use uds_server::serve::{ServeConfig, serve};
use uring::{Bell, Doorbell};

/// A wall clock that no test reaches: the year 2100. What expires after it is there.
const FAR_MS: u64 = 4_102_444_800_000;

/// A backend and where its store lies.
pub(super) struct Carried<B> {
    open: fn(&Path) -> Opened<B>,
    opened: Option<Opened<B>>,
    directory: TempDir,
}

/// A backend, and the server behind it if there is one. The backend goes first.
pub(super) struct Opened<B> {
    backend: B,
    // Fields go in the order in which they stand: the backend before its server.
    _server: Option<Server>,
}

/// A server on a thread of its own.
struct Server {
    bell: Bell,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.bell.ring();
        let ended = self.thread.take().expect("a server ends once").join();
        if !std::thread::panicking() {
            ended.expect("the server does not panic").expect("the server ends well");
        }
    }
}

fn options() -> Options {
    Options { config: tiny(), ..Options::default() }
}

/// On the calling thread.
pub(super) fn inline() -> Carried<Inline> {
    Carried::new(|directory| Opened {
        backend: options().open_inline(directory).expect("a store opens").0,
        _server: None,
    })
}

/// On a shard's thread.
pub(super) fn shared() -> Carried<Shared> {
    Carried::new(|directory| Opened { backend: options().open(directory).expect("a store opens").0, _server: None })
}

/// Behind a socket.
pub(super) fn socket() -> Carried<lostore::remote::Remote> {
    Carried::new(|directory| {
        let doorbell = Doorbell::new().expect("a descriptor");
        let bell = doorbell.bell();
        let socket = directory.join("socket");
        let mut config = ServeConfig::new(directory.to_owned(), socket.clone());
        config.termination = Some(doorbell);
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || serve(&config, &tiny(), |_| tell.send(()).expect("the test waits")));
        told.recv().expect("the server is ready");
        let backend = options().connect(&socket).expect("the server answers");
        Opened { backend, _server: Some(Server { bell, thread: Some(thread) }) }
    })
}

impl<B> Carried<B> {
    fn new(open: fn(&Path) -> Opened<B>) -> Self {
        let directory = TempDir::new().expect("a directory for the test");
        Self { opened: Some(open(directory.path())), open, directory }
    }

    fn backend(&self) -> &B {
        &self.opened.as_ref().expect("it is open").backend
    }
}

impl<B: Backend> Column for Carried<B> {
    fn capabilities(&self) -> Capabilities {
        self.backend().capabilities()
    }

    fn call(&mut self, op: Op) -> Result<Answer, Error> {
        let pending = self.backend().start(op)?;
        self.backend().wait(pending)
    }

    fn peek(&mut self, table: TableId, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Error> {
        let mut shown = Vec::new();
        self.backend().lookup_in_place(table, key, &mut |pair| {
            shown.push(pair.map(|pair| (pair.value.to_vec(), pair.version)));
        })?;
        assert_eq!(shown.len(), 1, "a lookup in place shows once");
        Ok(shown.swap_remove(0))
    }

    fn horizon(&self) -> Horizon {
        self.backend().horizon()
    }

    fn unix_ms(&self) -> u64 {
        FAR_MS
    }

    fn pass(&mut self, _ms: u64) {
        panic!("the clock is the machine's");
    }

    fn lacks(&self, what: Lack) -> bool {
        what == Lack::Clock
    }

    fn is_carried(&self) -> bool {
        true
    }

    fn reopen(&mut self) {
        drop(self.opened.take());
        self.opened = Some((self.open)(self.directory.path()));
    }
}
