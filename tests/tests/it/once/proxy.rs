//! A proxy between clients and the daemon that does what connections do at their worst: it holds frames up, cuts a connection anywhere,
//! sends the copy of a request right behind it, and sends all that a connection had sent once more, later, over another.
//!
//! Contract: it changes no frame, and answers to copies reach nobody. Without it nothing of this happens on a Unix socket; with it what
//! the client is told must still be what happened.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tests::rng::Rng;

/// Bytes of a frame's header, and where its lengths and its number are.
const HEADER_BYTES: usize = 24;
/// Set in the number of a copy.
const COPY: u64 = 1 << 63;
/// The kinds of a request and of a batch.
const REQUESTS: [u8; 2] = [2, 3];

/// How often it did what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) cuts: usize,
    pub(super) copies: usize,
    pub(super) ghosts: usize,
}

pub(super) struct Proxy {
    path: PathBuf,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

struct Shared {
    daemon: PathBuf,
    rng: Mutex<Rng>,
    ends: AtomicBool,
    cuts: AtomicUsize,
    copies: AtomicUsize,
    ghosts: AtomicUsize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The whole of the next frame, or nothing at the end.
fn frame(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; HEADER_BYTES];
    stream.read_exact(&mut frame).ok()?;
    let length = |at: usize| u32::from_le_bytes(frame[at..at + 4].try_into().unwrap()) as usize;
    let bytes = HEADER_BYTES + length(4) + length(8);
    frame.resize(bytes, 0);
    stream.read_exact(&mut frame[HEADER_BYTES..]).ok()?;
    Some(frame)
}

fn number(frame: &[u8]) -> u64 {
    u64::from_le_bytes(frame[16..24].try_into().unwrap())
}

fn copy_of(frame: &[u8]) -> Vec<u8> {
    let mut copy = frame.to_vec();
    copy[16..24].copy_from_slice(&(number(frame) | COPY).to_le_bytes());
    copy
}

impl Shared {
    fn chance(&self, of: u64) -> bool {
        self.rng.lock().unwrap().chance(1, of)
    }

    fn below(&self, limit: u64) -> u64 {
        self.rng.lock().unwrap().below(limit)
    }

    /// Does nothing for a while.
    fn hold_up(&self, millis: u64) {
        let (_never, nothing) = mpsc::channel::<()>();
        let _ = nothing.recv_timeout(Duration::from_millis(self.below(millis)));
    }

    /// Carries a client's frames to the daemon, until one side ends or it is cut.
    fn upstream(self: &Arc<Self>, mut client: UnixStream, mut daemon: UnixStream) {
        let mut sent = Vec::new();
        while let Some(frame) = frame(&mut client) {
            sent.extend_from_slice(&frame);
            if self.chance(40) {
                self.hold_up(5);
            }
            // What came so far is old enough to be told from the first connection's beginning.
            if sent.len() > 400 && self.chance(15) {
                let part = usize::try_from(self.below(frame.len() as u64 + 1)).unwrap();
                let _ = daemon.write_all(&frame[..part]);
                self.cuts.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if daemon.write_all(&frame).is_err() {
                break;
            }
            if REQUESTS.contains(&frame[1]) && self.chance(3) {
                self.copies.fetch_add(1, Ordering::SeqCst);
                if daemon.write_all(&copy_of(&frame)).is_err() {
                    break;
                }
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = daemon.shutdown(Shutdown::Both);
        self.ghosts.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(self);
        self.threads.lock().unwrap().push(std::thread::spawn(move || shared.ghost(&sent)));
    }

    /// Carries the daemon's frames to a client, those to copies excepted.
    fn downstream(&self, mut daemon: UnixStream, mut client: UnixStream) {
        while let Some(frame) = frame(&mut daemon) {
            if number(&frame) & COPY != 0 {
                continue;
            }
            if self.chance(40) {
                self.hold_up(5);
            }
            let cut = self.chance(30);
            if cut {
                self.cuts.fetch_add(1, Ordering::SeqCst);
            }
            if cut || client.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = daemon.shutdown(Shutdown::Both);
    }

    /// Sends a connection's frames once more, after a while, and reads whatever comes.
    fn ghost(&self, sent: &[u8]) {
        self.hold_up(30);
        let Ok(mut stream) = UnixStream::connect(&self.daemon) else { return };
        // All at once, so that the daemon has requests before it has answered who sends them; and in two pieces.
        let (first, rest) = sent.split_at(sent.len() / 2);
        let _ = stream.write_all(first);
        self.hold_up(10);
        let _ = stream.write_all(rest);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
}

impl Proxy {
    pub(super) fn start(path: PathBuf, daemon: PathBuf, seed: u64) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let count = AtomicUsize::default;
        let (ends, rng, threads) = (AtomicBool::new(false), Mutex::new(Rng::new(seed)), Mutex::default());
        let shared = Arc::new(Shared { daemon, rng, ends, cuts: count(), copies: count(), ghosts: count(), threads });
        let of_listener = Arc::clone(&shared);
        let listener = std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if of_listener.ends.load(Ordering::SeqCst) {
                    return;
                }
                // One that the daemon does not take is closed: the client tries again.
                let Ok(daemon) = UnixStream::connect(&of_listener.daemon) else { continue };
                let (up, down) = (Arc::clone(&of_listener), Arc::clone(&of_listener));
                let (from, to) = (client.try_clone().unwrap(), daemon.try_clone().unwrap());
                let up = std::thread::spawn(move || up.upstream(client, daemon));
                let down = std::thread::spawn(move || down.downstream(to, from));
                of_listener.threads.lock().unwrap().extend([up, down]);
            }
        });
        Self { path, shared, listener }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends when all that it holds up has arrived.
    pub(super) fn stop(self) -> Done {
        self.shared.ends.store(true, Ordering::SeqCst);
        drop(UnixStream::connect(&self.path));
        self.listener.join().unwrap();
        while let Some(thread) = { self.shared.threads.lock().unwrap().pop() } {
            thread.join().unwrap();
        }
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let Shared { cuts, copies, ghosts, .. } = &*self.shared;
        Done { cuts: count(cuts), copies: count(copies), ghosts: count(ghosts) }
    }
}
