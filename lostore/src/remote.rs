//! A store in another process: the protocol's client over a Unix socket, as a [`Backend`].
//!
//! Contract: operations that were started travel together at the next wait or poll of any of them, or when a handle flushes.
//! Each is answered once. Who reads the socket is the affair of the turns (`turns`); the thread that they need for futures starts
//! with the first future that waits. When the connection ends everything answers [`Error::Disconnected`] with
//! whether the operation may have been applied; connecting again is the caller's decision, unless the connection was made to
//! [resume](Resume): then it connects again by itself, and no commit is applied twice or left in doubt. The last handle to go waits
//! a bounded time for what was started, and for the persistence of what it would commit again.
//!
//! Invariant: neither the socket nor a new connection is waited for while the turns' lock is held, so a started operation never blocks
//! on the peer.

#![expect(clippy::disallowed_methods, reason = "this is where a client's clock and its reading thread are")]

use crate::backend::Backend;
use crate::error::{Error, OpenError};
use crate::shard::SharedHorizon;
use crate::turns::{Line, Polled, Turns};
use domains::remote::{self as resuming, Cause, Client, Greeting, Lost, Refusal};
use domains::{Answer, Capabilities, ClientId, Horizon, Op, OpId};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime};
use uring::socket::Stream;
use uring::{Bell, Doorbell};

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;
/// How long the last handle waits for what was started.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a server may take to answer the hello.
const WELCOME: Duration = Duration::from_secs(10);
/// How long it is waited before a server that was not there is looked for again.
const RETRY: Duration = Duration::from_millis(10);

/// How a connection behaves.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long a caller that waits polls the socket before it sleeps.
    pub spin: Duration,
    /// The program's name, as the server shows it.
    pub client_name: String,
    /// The server and incarnation of an earlier connection, whose cut is wanted.
    pub known: Option<wire::Known>,
    /// Whether it connects again when it is lost. Nothing is: operations then answer [`Error::Disconnected`].
    pub resume: Option<Resume>,
}

/// How a client goes on when its connection is lost: it connects again, by itself, for as long as its patience lasts.
///
/// Reads that were under way are sent again. So are commits, under the numbers that they had, so each is applied once; those that were
/// applied already are answered as they were. When the server was started anew, a commit that was answered and was not persistent
/// yet may be lost: its ticket says so, or, with `replay`, it is committed again. Operations on tables that were under way answer
/// [`Error::Disconnected`] as ever. Addresses of sacks that were set aside are gone with the server's life: a commit that adds a record
/// under one and was not applied in that life is refused (LS0208), and is to be made anew.
///
/// ```no_run
/// use lostore::remote::{ConnectOptions, Resume};
/// use lostore::{Options, Store};
///
/// let resume = Resume { replay: true, ..Resume::new() };
/// let connect = ConnectOptions { resume: Some(resume), ..ConnectOptions::default() };
/// let store = Store::new(Options { connect, ..Options::default() }.connect("data/lostore.sock".as_ref())?);
/// # Ok::<(), lostore::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resume {
    /// Who this is: drawn once, and kept as long as the program wants its commits told from others'. One connection at a time may have
    /// it.
    pub client: ClientId,
    /// How long a server that is gone is waited for. After it everything answers [`Error::Disconnected`].
    pub patience: Duration,
    /// Whether commits that were answered and are lost in a crash of the server are made again, in their order: each if what it compares
    /// still holds, where a version that another of them gave counts as the one that has taken its place. A ticket then waits for
    /// its commit whatever became of the epoch it was told, and answers [`EpochLost`](domains::Error::EpochLost) only if it could not be
    /// made again. Off, the ticket of each lost commit answers that, and what to do about it is its caller's decision.
    pub replay: bool,
}

impl Resume {
    /// A client that was not there before, which waits for thirty seconds and does not replay.
    #[must_use]
    pub fn new() -> Self {
        let mut client = [0; 16];
        uring::entropy::fill(&mut client);
        Self { client: ClientId(client), patience: Duration::from_secs(30), replay: false }
    }
}

impl Default for Resume {
    fn default() -> Self {
        Self::new()
    }
}

/// Started operations that are held back at most while answers come without waiting: about a frame of small ones.
const UNSENT_MAX: usize = 64;

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { spin: Duration::from_micros(20), client_name: "lostore".to_owned(), known: None, resume: None }
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
    /// The present connection. Another takes its place under the turns' lock only.
    stream: Mutex<Arc<Stream>>,
    path: PathBuf,
    resume: Option<Resume>,
    outage: Mutex<Outage>,
    spin: Duration,
    horizon: SharedHorizon,
    /// Wakes a resting leader that does not know that there is something to send.
    bell: Bell,
    doorbell: Doorbell,
}

/// How a connection that resumes stands without a server.
#[derive(Default)]
struct Outage {
    /// Since when nothing can be sent.
    since: Option<Instant>,
    /// There is no connection, and whoever rests is to make one.
    down: bool,
    /// When that was last tried.
    tried: Option<Instant>,
    /// One that was made.
    fresh: Option<Stream>,
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
        let mut client = match options.resume {
            None => Client::new(&options.client_name, options.known),
            Some(Resume { client, replay, .. }) => {
                let resume = resuming::Resume { client, attempt: first_attempt(), replay };
                Client::resuming(&options.client_name, options.known, resume)
            }
        };
        let mut buffer = vec![0; READ_BYTES];
        let end = Instant::now() + WELCOME;
        while !client.is_open() {
            send(&stream, &mut client);
            receive(&stream, &mut client, &mut buffer);
            if let Some(lost) = client.lost() {
                return Err(not_welcomed(path, lost));
            }
            if !client.is_open() {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let why = "it did not answer the hello in ten seconds".to_owned();
                    return Err(OpenError::NoServer { path, why }.into());
                }
                rest(Some(&stream), None, !client.output().is_empty(), Some(left));
            }
        }
        let doorbell = Doorbell::new().map_err(OpenError::Machine)?;
        let horizon = SharedHorizon::default();
        horizon.store(client.horizon());
        let greeting = client.greeting().expect("it was just awaited").clone();
        let bell = doorbell.bell();
        let (stream, outage) = (Mutex::new(Arc::new(stream)), Mutex::default());
        let (spin, resume) = (options.spin, options.resume);
        let socket = Socket { stream, path, resume, outage, spin, horizon, bell, doorbell };
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

    fn follows_commits(&self) -> bool {
        self.owner.link.turns.line().resume.is_some_and(|resume| resume.replay)
    }
}

impl Link {
    fn start_reader(self: &Arc<Self>) {
        let link = Arc::clone(self);
        let reader = std::thread::Builder::new().name("lostore-reader".to_owned());
        if let Err(error) = reader.spawn(move || link.turns.read_for_tasks()) {
            self.turns.end(|talk| talk.client.give_up(&format!("no thread could be started to read it: {error}")));
        }
    }
}

impl Line for Socket {
    type Talk = Talk;
    type Answer = Result<Answer, Refusal>;

    fn send(&self, talk: &mut Talk) {
        talk.client.pack();
        if !talk.client.is_down() {
            send(&self.stream(), &mut talk.client);
        }
    }

    fn receive(&self, talk: &mut Talk) {
        if talk.client.is_down() {
            self.renew(talk);
        }
        receive(&self.stream(), &mut talk.client, &mut talk.buffer);
        self.watch(talk);
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
        talk.client.is_owed()
    }

    fn look_again(&self, since: &mut Option<Instant>) -> bool {
        since.get_or_insert_with(Instant::now).elapsed() < self.spin
    }

    fn rest(&self, wants_room: bool, most: Option<Duration>) {
        let Some(most) = self.look_for_server(most) else { return };
        rest(Some(&self.stream()), Some(&self.doorbell), wants_room, most);
    }

    fn ring(&self) {
        self.bell.ring();
    }
}

impl Socket {
    fn stream(&self) -> Arc<Stream> {
        Arc::clone(&self.stream.lock().expect("nothing panics while it holds a stream"))
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().expect("nothing panics while it notes an outage")
    }

    /// Goes on with the new connection, if one was made.
    fn renew(&self, talk: &mut Talk) {
        let mut outage = self.outage();
        let Some(stream) = outage.fresh.take() else { return };
        outage.down = false;
        *self.stream.lock().expect("nothing panics while it holds a stream") = Arc::new(stream);
        talk.client.reconnect();
    }

    /// Notes how the connection stands, and gives it up when it has been without a server for too long.
    fn watch(&self, talk: &mut Talk) {
        let Some(resume) = &self.resume else { return };
        let mut outage = self.outage();
        if talk.client.is_open() || talk.client.lost().is_some() {
            *outage = Outage::default();
            return;
        }
        outage.down = talk.client.is_down();
        let waited = outage.since.get_or_insert_with(Instant::now).elapsed();
        if waited > resume.patience {
            talk.client.give_up(&format!("no server was there for {} seconds", waited.as_secs()));
        }
    }

    /// Makes a new connection if there is none. Otherwise says for how long one may rest: `None` when one should look again at once.
    fn look_for_server(&self, most: Option<Duration>) -> Option<Option<Duration>> {
        let (since, down, tried) = {
            let outage = self.outage();
            (outage.since, outage.down, outage.tried)
        };
        let (Some(since), Some(resume)) = (since, &self.resume) else { return Some(most) };
        let left = resume.patience.saturating_sub(since.elapsed()) + Duration::from_millis(1);
        let most = most.map_or(left, |most| most.min(left));
        if !down {
            return Some(Some(most));
        }
        let pause = tried.map_or(Duration::ZERO, |tried| RETRY.saturating_sub(tried.elapsed()));
        if pause.is_zero() {
            let made = uring::socket::connect(&self.path);
            let mut outage = self.outage();
            (outage.tried, outage.fresh) = (Some(Instant::now()), made.ok());
        } else {
            rest(None, Some(&self.doorbell), false, Some(pause.min(most)));
        }
        None
    }
}

/// Greater than that of any connection that the client has made before, unless its clock was put back: then the server tells the last.
fn first_attempt() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX / 2).max(1)
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
        self.link.turns.farewell(left, |talk| talk.client.give_up("the last handle is gone"));
        // Whoever reads now finds the end.
        let _ = self.link.turns.line().stream().shutdown(std::net::Shutdown::Both);
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
    while client.lost().is_none() && !client.is_down() {
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
fn rest(stream: Option<&Stream>, doorbell: Option<&Doorbell>, wants_room: bool, most: Option<Duration>) {
    let mut flags = PollFlags::IN;
    if wants_room {
        flags |= PollFlags::OUT;
    }
    let timeout = most.map(|most| Timespec {
        tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(most.subsec_nanos()),
    });
    let poll = |fds: &mut [PollFd<'_>]| rustix::event::poll(fds, timeout.as_ref());
    // Interrupted or in error: the caller looks at the socket again in any case.
    let _ = match (stream, doorbell) {
        (Some(stream), Some(doorbell)) => poll(&mut [PollFd::new(stream, flags), PollFd::new(doorbell, PollFlags::IN)]),
        (Some(stream), None) => poll(&mut [PollFd::new(stream, flags)]),
        (None, Some(doorbell)) => poll(&mut [PollFd::new(doorbell, PollFlags::IN)]),
        (None, None) => poll(&mut []),
    };
    if let Some(doorbell) = doorbell {
        let mut count = [0; 8];
        // Not blocking: it is empty unless it rang.
        let _ = rustix::io::read(doorbell, &mut count);
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("greeting", &self.greeting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
