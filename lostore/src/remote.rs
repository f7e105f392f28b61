//! A store in another process: the protocol's client over a Unix socket, as a [`Backend`].
//!
//! Contract: operations that were started travel together at the next wait or poll of any of them, or when a handle flushes.
//! Each is answered once. Who reads the socket is the affair of the turns (`turns`); the thread that they need for futures starts
//! with the first future that waits. When the connection ends everything answers [`Error::Disconnected`] with
//! whether the operation may have been applied; connecting again is the caller's decision. The last handle to go waits a
//! bounded time for what was started.
//!
//! Invariant: the socket is never waited for while the turns' lock is held, so a started operation never blocks on the peer.

#![expect(clippy::disallowed_methods, reason = "this is where a client's clock and its reading thread are")]

use crate::backend::Backend;
use crate::error::{Error, OpenError};
use crate::shard::SharedHorizon;
use crate::turns::{Line, Polled, Turns};
use domains::remote::{Cause, Client, Greeting, Lost, Refusal};
use domains::{Answer, Capabilities, Horizon, Op, OpId};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use uring::socket::Stream;
use uring::{Bell, Doorbell};

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;
/// How long the last handle waits for what was started.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a server may take to answer the hello.
const WELCOME: Duration = Duration::from_secs(10);

/// How a connection behaves.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long a caller that waits polls the socket before it sleeps.
    pub spin: Duration,
    /// The program's name, as the server shows it.
    pub client_name: String,
    /// The server and incarnation of an earlier connection, whose cut is wanted.
    pub known: Option<wire::Known>,
}

/// Started operations that are held back at most while answers come without waiting: about a frame of small ones.
const UNSENT_MAX: usize = 64;

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { spin: Duration::from_micros(20), client_name: "lostore".to_owned(), known: None }
    }
}

/// A handle to a connection. Clones share it.
#[derive(Clone, Debug)]
pub struct Remote {
    owner: Arc<Owner>,
}

/// An operation under way on a connection. Dropped, it is still sent, and its answer is thrown away.
#[derive(Debug)]
pub struct RemotePending {
    link: Arc<Link>,
    id: Option<OpId>,
}

/// Ends the connection when the last handle goes; the reading thread and pending operations hold the link only.
#[derive(Debug)]
struct Owner {
    link: Arc<Link>,
}

struct Link {
    greeting: Greeting,
    turns: Turns<Socket>,
}

/// The connection's socket, as the turns use it.
struct Socket {
    stream: Stream,
    spin: Duration,
    horizon: SharedHorizon,
    /// Wakes a resting leader that does not know that there is something to send.
    bell: Bell,
    doorbell: Doorbell,
}

/// What goes through the socket.
struct Talk {
    client: Client,
    buffer: Vec<u8>,
}

impl Remote {
    /// Connects to the server at `path`.
    ///
    /// # Errors
    /// [`OpenError::NoServer`], [`OpenError::Protocol`].
    pub fn connect(path: &Path, options: &ConnectOptions) -> Result<Self, Error> {
        let stream = uring::socket::connect(path).map_err(|error| {
            if matches!(error, uring::Error::Os { .. }) {
                OpenError::NoServer { path: path.to_owned(), why: error.to_string() }
            } else {
                OpenError::Machine(error)
            }
        })?;
        Self::over(stream, path.to_owned(), options)
    }

    /// Speaks over a stream that is connected already.
    ///
    /// # Errors
    /// [`OpenError::NoServer`] when the peer ends the connection or says nothing before it has welcomed this client: trying again
    /// may help. [`OpenError::Protocol`] when it says something else. [`Error::Remote`] when the server refuses the connection.
    pub fn over(stream: Stream, path: PathBuf, options: &ConnectOptions) -> Result<Self, Error> {
        let mut client = Client::new(&options.client_name, options.known);
        let mut buffer = vec![0; READ_BYTES];
        let end = Instant::now() + WELCOME;
        while client.greeting().is_none() {
            send(&stream, &mut client);
            receive(&stream, &mut client, &mut buffer);
            if let Some(lost) = client.lost() {
                return Err(not_welcomed(path, lost));
            }
            if client.greeting().is_none() {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let why = "it did not answer the hello in ten seconds".to_owned();
                    return Err(OpenError::NoServer { path, why }.into());
                }
                rest(&stream, None, !client.output().is_empty(), Some(left));
            }
        }
        let doorbell = Doorbell::new().map_err(OpenError::Machine)?;
        let horizon = SharedHorizon::default();
        horizon.store(client.horizon());
        let greeting = client.greeting().expect("it was just awaited").clone();
        let bell = doorbell.bell();
        let socket = Socket { stream, spin: options.spin, horizon, bell, doorbell };
        let link = Link { greeting, turns: Turns::new(socket, Talk { client, buffer }) };
        Ok(Self { owner: Arc::new(Owner { link: Arc::new(link) }) })
    }

    /// What the server said at the beginning; its `cut` tells what became of the incarnation that was named.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.owner.link.greeting
    }
}

impl Backend for Remote {
    type Pending = RemotePending;

    fn start(&self, op: Op) -> Result<RemotePending, Error> {
        let link = &self.owner.link;
        let id = link.turns.ask(|talk, id| talk.client.submit(id, op)).map_err(error_of)?;
        Ok(RemotePending { link: Arc::clone(link), id: Some(id) })
    }

    fn poll(&self, pending: &mut RemotePending, waker: Option<&Waker>) -> Poll<Result<Answer, Error>> {
        let link = &self.owner.link;
        let id = pending.id.expect("the answer was taken before");
        match link.turns.poll(id, waker) {
            Polled::Ready(answer) => {
                pending.id = None;
                return Poll::Ready(answer.map_err(error_of));
            }
            Polled::NeedsReader => link.start_reader(),
            Polled::Pending => {}
        }
        Poll::Pending
    }

    fn wait(&self, mut pending: RemotePending) -> Result<Answer, Error> {
        let id = pending.id.expect("the answer was taken before");
        let answer = self.owner.link.turns.wait(id);
        pending.id = None;
        answer.map_err(error_of)
    }

    fn horizon(&self) -> Horizon {
        self.owner.link.turns.line().horizon.load()
    }

    fn capabilities(&self) -> Capabilities {
        self.owner.link.greeting.capabilities
    }
}

impl Link {
    fn start_reader(self: &Arc<Self>) {
        let link = Arc::clone(self);
        let reader = std::thread::Builder::new().name("lostore-reader".to_owned());
        if let Err(error) = reader.spawn(move || link.turns.read_for_tasks()) {
            self.turns.end(|talk| talk.client.end(&format!("no thread could be started to read it: {error}")));
        }
    }
}

impl Line for Socket {
    type Talk = Talk;
    type Answer = Result<Answer, Refusal>;

    fn send(&self, talk: &mut Talk) {
        talk.client.pack();
        send(&self.stream, &mut talk.client);
    }

    fn receive(&self, talk: &mut Talk) {
        receive(&self.stream, &mut talk.client, &mut talk.buffer);
        // Answers give credits back, and a commit in pieces goes on with them.
        if talk.client.unpacked() > 0 || !talk.client.output().is_empty() {
            self.send(talk);
        }
    }

    fn take_answers(&self, talk: &mut Talk, answers: &mut Vec<(OpId, Self::Answer)>) {
        // Before the answers: whoever has one reads a horizon that is at least as new.
        self.horizon.store(talk.client.horizon());
        talk.client.take_answers(answers);
    }

    fn should_send(&self, talk: &Talk) -> bool {
        talk.client.unpacked() >= UNSENT_MAX
    }

    fn is_full(&self, talk: &Talk) -> bool {
        !talk.client.output().is_empty()
    }

    fn is_over(&self, talk: &Talk) -> bool {
        talk.client.lost().is_some()
    }

    fn owes(&self, talk: &Talk) -> bool {
        talk.client.unanswered() > 0
    }

    fn look_again(&self, since: &mut Option<Instant>) -> bool {
        since.get_or_insert_with(Instant::now).elapsed() < self.spin
    }

    fn rest(&self, wants_room: bool, most: Option<Duration>) {
        rest(&self.stream, Some(&self.doorbell), wants_room, most);
    }

    fn ring(&self) {
        self.bell.ring();
    }
}

impl Drop for RemotePending {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.link.turns.detach(id);
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let end = Instant::now() + FAREWELL;
        let left = || Some(end.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero());
        self.link.turns.farewell(left, |talk| talk.client.end("the last handle is gone"));
        // Whoever reads now finds the end.
        let _ = self.link.turns.line().stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Why there is no connection, when it was lost before the welcome.
fn not_welcomed(path: PathBuf, lost: &Lost) -> Error {
    let why = lost.why.clone();
    match lost.cause {
        Cause::Ended => OpenError::NoServer { path, why }.into(),
        Cause::Broken => OpenError::Protocol { path, why }.into(),
        Cause::Refused { code: wire::codes::NO_COMMON_VERSION, .. } => OpenError::Protocol { path, why }.into(),
        Cause::Refused { code, kind } => Error::Remote { code, kind, applied: false, message: why },
    }
}

fn error_of(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Domain(error) => Error::Domain(error),
        Refusal::Fault { code, kind, applied, message } => Error::Remote { code, kind, applied, message },
        Refusal::Lost { why, maybe_applied } => Error::Disconnected { why, maybe_applied },
    }
}

/// Sends what the socket takes without waiting.
fn send(stream: &Stream, client: &mut Client) {
    while !client.output().is_empty() {
        match rustix::net::send(stream, client.output(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => client.sent(count),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return,
            // What the server said before it closed is still to be read: reading finds the end.
            Err(Errno::PIPE | Errno::CONNRESET) => return client.sent(client.output().len()),
            Err(errno) => return client.end(&errno.to_string()),
        }
    }
}

/// Takes what the socket has without waiting.
fn receive(stream: &Stream, client: &mut Client, buffer: &mut [u8]) {
    while client.lost().is_none() {
        match rustix::net::recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => client.end("the server closed it"),
            Ok((count, _)) => {
                // A broken rule has ended the client already; everything has its answer.
                let _ = client.receive(&buffer[..count]);
                if count < buffer.len() {
                    return;
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return,
            Err(errno) => client.end(&errno.to_string()),
        }
    }
}

/// Sleeps until the socket has something (or, if wanted, room), the doorbell rings, or the time is over.
fn rest(stream: &Stream, doorbell: Option<&Doorbell>, wants_room: bool, most: Option<Duration>) {
    let mut flags = PollFlags::IN;
    if wants_room {
        flags |= PollFlags::OUT;
    }
    let timeout = most.map(|most| Timespec {
        tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(most.subsec_nanos()),
    });
    let socket = PollFd::new(stream, flags);
    // Interrupted or in error: the caller looks at the socket again in any case.
    let _ = match doorbell {
        None => rustix::event::poll(&mut [socket], timeout.as_ref()),
        Some(doorbell) => {
            let heard = rustix::event::poll(&mut [socket, PollFd::new(doorbell, PollFlags::IN)], timeout.as_ref());
            let mut count = [0; 8];
            // Not blocking: it is empty unless it rang.
            let _ = rustix::io::read(doorbell, &mut count);
            heard
        }
    };
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("greeting", &self.greeting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
