//! A store in another process: the protocol's client over a Unix socket, as a [`Backend`].
//!
//! Contract: operations that were started travel together at the next wait or poll of any of them, or when a handle flushes.
//! Each is answered once. Whoever waits reads the socket itself while nobody else does (the leader); the others sleep and are
//! handed their answers, and the leadership when the leader has its own. Futures are served by a thread that starts at the
//! first need and reads only while a future waits. When the connection ends everything answers [`Error::Disconnected`] with
//! whether the operation may have been applied; connecting again is the caller's decision. The last handle to go waits a
//! bounded time for what was started.
//!
//! Invariants: nobody reads the socket who has not set `reading`; the socket is never waited for while the lock is held, so a
//! started operation never blocks on the peer.

#![expect(clippy::disallowed_methods, reason = "this is where a client's clock and its reading thread are")]

use crate::backend::Backend;
use crate::error::{Error, OpenError};
use crate::shard::SharedHorizon;
use crate::slots::Slots;
use domains::remote::{Client, Greeting, Refusal};
use domains::{Answer, Capabilities, Horizon, Op, OpId};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::thread::Thread;
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
    stream: Stream,
    spin: Duration,
    greeting: Greeting,
    horizon: SharedHorizon,
    state: Mutex<State>,
    /// Wakes a sleeping leader that does not know that there is something to send.
    bell: Bell,
    doorbell: Doorbell,
}

struct State {
    client: Client,
    places: Slots<Place>,
    reading: bool,
    /// The sleeping leader waits for room in the socket too.
    wants_room: bool,
    /// Threads that sleep until they have an answer or the leadership.
    sleepers: VecDeque<(OpId, Thread)>,
    /// Operations whose waker is set; the thread reads while there are any.
    tasks: usize,
    reader: Option<Thread>,
    over: bool,
    buffer: Vec<u8>,
    answers: Vec<(OpId, Result<Answer, Refusal>)>,
}

#[derive(Debug)]
enum Place {
    Asked(Option<Waker>),
    Detached,
    Answered(Result<Answer, Refusal>),
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
    /// [`OpenError::Protocol`] when the peer does not speak it.
    pub fn over(stream: Stream, path: PathBuf, options: &ConnectOptions) -> Result<Self, Error> {
        let mut client = Client::new(&options.client_name, options.known);
        let mut buffer = vec![0; READ_BYTES];
        let refuse = |why: String| Error::Open(OpenError::Protocol { path: path.clone(), why });
        let end = Instant::now() + WELCOME;
        while client.greeting().is_none() {
            send(&stream, &mut client);
            receive(&stream, &mut client, &mut buffer);
            if let Some(lost) = client.lost() {
                return Err(refuse(lost.why.clone()));
            }
            if client.greeting().is_none() {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(refuse("it did not answer the hello in ten seconds".to_owned()));
                }
                rest(&stream, None, !client.output().is_empty(), Some(left));
            }
        }
        let doorbell = Doorbell::new().map_err(OpenError::Machine)?;
        let horizon = SharedHorizon::default();
        horizon.store(client.horizon());
        let greeting = client.greeting().expect("it was just awaited").clone();
        let state = State {
            client,
            places: Slots::new(),
            reading: false,
            wants_room: false,
            sleepers: VecDeque::new(),
            tasks: 0,
            reader: None,
            over: false,
            buffer,
            answers: Vec::new(),
        };
        let (bell, state) = (doorbell.bell(), Mutex::new(state));
        let link = Link { stream, spin: options.spin, greeting, horizon, state, bell, doorbell };
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
        let mut state = link.lock();
        let id = state.places.insert(Place::Asked(None));
        if let Err(refusal) = state.client.submit(id, op) {
            state.places.remove(id);
            return Err(error_of(refusal));
        }
        Ok(RemotePending { link: Arc::clone(link), id: Some(id) })
    }

    fn poll(&self, pending: &mut RemotePending, waker: Option<&Waker>) -> Poll<Result<Answer, Error>> {
        let link = &self.owner.link;
        let id = pending.id.expect("the answer was taken before");
        let mut state = link.lock();
        link.flush(&mut state);
        if !state.reading {
            link.read_now(&mut state);
        }
        if let Some(answer) = state.take(id) {
            pending.id = None;
            return Poll::Ready(answer);
        }
        if let Some(waker) = waker {
            state.wait_as_task(id, waker.clone());
            link.call_reader(&mut state);
        }
        Poll::Pending
    }

    fn wait(&self, mut pending: RemotePending) -> Result<Answer, Error> {
        let id = pending.id.expect("the answer was taken before");
        let answer = self.owner.link.wait_for(id);
        pending.id = None;
        answer
    }

    fn horizon(&self) -> Horizon {
        self.owner.link.horizon.load()
    }

    fn capabilities(&self) -> Capabilities {
        self.owner.link.greeting.capabilities
    }
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds a connection's state")
    }

    /// Sends what the socket takes now.
    fn flush(&self, state: &mut State) {
        state.client.pack();
        send(&self.stream, &mut state.client);
        self.deliver(state);
        if !state.client.output().is_empty() && state.reading && !state.wants_room {
            self.bell.ring();
        }
    }

    /// Takes what the socket has now.
    fn read_now(&self, state: &mut State) {
        let State { client, buffer, .. } = state;
        receive(&self.stream, client, buffer);
        self.deliver(state);
        // Answers give credits back.
        if state.client.unpacked() > 0 {
            state.client.pack();
            send(&self.stream, &mut state.client);
        }
    }

    /// Hands answers to their places and wakes who waits for them.
    fn deliver(&self, state: &mut State) {
        self.horizon.store(state.client.horizon());
        let mut answers = std::mem::take(&mut state.answers);
        state.client.take_answers(&mut answers);
        for (id, answer) in answers.drain(..) {
            match state.places.get_mut(id) {
                Some(place @ Place::Asked(_)) => {
                    let before = std::mem::replace(place, Place::Answered(answer));
                    if let Place::Asked(Some(waker)) = before {
                        state.tasks -= 1;
                        waker.wake();
                    }
                    state.sleepers.retain(|(sleeper, thread)| {
                        if *sleeper == id {
                            thread.unpark();
                        }
                        *sleeper != id
                    });
                }
                Some(Place::Detached) => drop(state.places.remove(id)),
                other => unreachable!("an answer for {id:?}, which is {other:?}"),
            }
        }
        state.answers = answers;
    }

    /// Waits on the calling thread: as the leader while nobody reads, else asleep.
    fn wait_for(&self, id: OpId) -> Result<Answer, Error> {
        let mut state = self.lock();
        // An answer that came with an earlier one needs nothing sent: what was started since goes with the next that must wait,
        // in one frame and one call.
        if state.client.unpacked() < UNSENT_MAX
            && let Some(answer) = state.take(id)
        {
            return answer;
        }
        self.flush(&mut state);
        loop {
            if let Some(answer) = state.take(id) {
                state.hand_over();
                return answer;
            }
            if state.reading {
                state.sleepers.push_back((id, std::thread::current()));
                drop(state);
                std::thread::park();
                state = self.lock();
                state.sleepers.retain(|(sleeper, _)| *sleeper != id);
            } else {
                state = self.lead(state, None);
            }
        }
    }

    /// One look at the socket as its only reader: polls for a while, then sleeps until there is something, or `most` is over.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>, most: Option<Duration>) -> MutexGuard<'a, State> {
        assert!(!state.reading, "the leader is the only reader");
        let before = state.client.unanswered();
        let start = Instant::now();
        loop {
            self.read_now(&mut state);
            if state.client.unanswered() < before || state.client.lost().is_some() {
                return state;
            }
            if start.elapsed() >= self.spin {
                break;
            }
            state.reading = true;
            drop(state);
            std::hint::spin_loop();
            state = self.lock();
            state.reading = false;
        }
        state.reading = true;
        state.wants_room = !state.client.output().is_empty();
        let wants_room = state.wants_room;
        drop(state);
        rest(&self.stream, Some(&self.doorbell), wants_room, most);
        state = self.lock();
        state.reading = false;
        state.wants_room = false;
        send(&self.stream, &mut state.client);
        self.read_now(&mut state);
        state
    }

    /// Sees to it that somebody reads for the tasks.
    fn call_reader(self: &Arc<Self>, state: &mut State) {
        if let Some(thread) = &state.reader {
            thread.unpark();
            return;
        }
        let link = Arc::clone(self);
        let reader = std::thread::Builder::new().name("lostore-reader".to_owned());
        match reader.spawn(move || link.read_for_tasks()) {
            Ok(handle) => state.reader = Some(handle.thread().clone()),
            Err(error) => {
                state.client.end(&format!("no thread could be started to read it: {error}"));
                self.deliver(state);
            }
        }
    }

    /// The life of the reading thread.
    fn read_for_tasks(&self) {
        let mut state = self.lock();
        while !state.over {
            if state.tasks > 0 && !state.reading {
                state = self.lead(state, None);
                continue;
            }
            // What a blocked caller could read must not wait for the next task.
            state.hand_over();
            drop(state);
            std::thread::park();
            state = self.lock();
        }
    }
}

impl State {
    /// The answer, if it is there.
    fn take(&mut self, id: OpId) -> Option<Result<Answer, Error>> {
        if !matches!(self.places.get_mut(id), Some(Place::Answered(_))) {
            return None;
        }
        match self.places.remove(id) {
            Some(Place::Answered(answer)) => Some(answer.map_err(error_of)),
            other => unreachable!("an answered operation turned into {other:?}"),
        }
    }

    /// Leaves a waker.
    fn wait_as_task(&mut self, id: OpId, waker: Waker) {
        match self.places.get_mut(id) {
            Some(Place::Asked(place)) => {
                if place.replace(waker).is_none() {
                    self.tasks += 1;
                }
            }
            other => unreachable!("a pending operation {id:?} is {other:?}"),
        }
    }

    /// Wakes who could read next, if anybody waits.
    fn hand_over(&mut self) {
        if self.reading {
            return;
        }
        if let Some((_, thread)) = self.sleepers.pop_front() {
            thread.unpark();
        } else if self.tasks > 0
            && let Some(reader) = &self.reader
        {
            reader.unpark();
        }
    }
}

impl Drop for RemotePending {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let mut state = self.link.lock();
        match state.places.get_mut(id) {
            Some(place @ Place::Asked(_)) => {
                if let Place::Asked(Some(_)) = std::mem::replace(place, Place::Detached) {
                    state.tasks -= 1;
                }
                self.link.flush(&mut state);
            }
            Some(Place::Answered(_)) => drop(state.places.remove(id)),
            other => unreachable!("a pending operation {id:?} is {other:?}"),
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let end = Instant::now() + FAREWELL;
        let mut state = self.link.lock();
        state.over = true;
        // Only the reading thread can still be at it: a blocked caller would hold a handle.
        while state.reading {
            self.link.bell.ring();
            drop(state);
            std::thread::yield_now();
            state = self.link.lock();
        }
        self.link.flush(&mut state);
        while state.client.unanswered() > 0 && state.client.lost().is_none() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.link.lead(state, Some(left));
        }
        state.client.end("the last handle is gone");
        self.link.deliver(&mut state);
        // Whoever reads now finds the end.
        let _ = self.link.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = &state.reader {
            reader.unpark();
        }
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
