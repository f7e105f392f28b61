//! The sockets of a shard: accepts, receives, sends, and carries operations between the sessions and the domain.
//!
//! Contract: at most one receive and one send of a connection are in flight; a receive only while its session wants bytes, and of one
//! that has been quiet for a second it takes no buffer until bytes are there. A
//! connection's place is free again when its socket operations are home. Peers that neither are owners nor named by a rule are told so
//! and not served; rules are read again when somebody asks, and wrong ones change nothing. When asked to stop, it takes no connection, finishes what was begun, and cuts what does not read its replies.
//!
//! It waits for nothing, and knows neither verbs nor transactions.

use crate::acl::{Caller, Rules, RulesError};
use crate::budget::NoPlace;
use crate::gate::{Gate, Owners};
use crate::limits::{RECEIVE_BYTES, SEND_BYTES_MAX};
use crate::session::{Direct, Facts, after};
use crate::sessions::{Connection, Round, Sessions, asker, asker_of};
use domains::{Answer, Error, Horizon, Op, PairRef, Seen, Tick};
use lostore::port::RingPort;
use lostore::shard::{Desk, Front, FrontOp, Life, Wish};
use segments::{PAGE_BYTES, Page, TableId};
use std::collections::BTreeSet;
use std::time::Duration;
use uring::{Doorbell, IoError, Listener, OpId, Outcome, Socket};
use wire::codes;
use zerocopy::IntoBytes;

/// What a socket operation was for: the upper bits of its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    Accept = 1,
    Terminate = 2,
    Receive = 3,
    Send = 4,
    Cancel = 5,
    /// Bytes have come where a quiet connection is.
    Heed = 6,
    /// The rules are to be read again.
    Reload = 7,
}

const PURPOSE_SHIFT: u32 = 32;
/// Pages that are kept for the next receives and sends: as many as come home in a turn of many connections, 512 KiB.
const SPARE_PAGES_MAX: usize = 128;
/// A connection to which nothing has come for so long is quiet: long against the pauses of one that is at work.
const QUIET: Duration = Duration::from_secs(1);

/// One connection's socket and what is in flight on it.
#[derive(Debug)]
struct Line {
    connection: Connection,
    socket: Socket,
    /// What waits for bytes: a receive, or the watch of a quiet connection.
    receiving: Option<OpId>,
    /// Since when nothing has come; `None` when nothing has for long, so that no buffer waits.
    heard: Option<Tick>,
    /// The bytes under way: which part of the buffer is not sent yet.
    sending: bool,
    /// Pages of the next receive: few while little comes.
    receive_pages: usize,
    /// The socket was shut down; what is in flight comes home soon.
    cut: bool,
}

/// How far a front is with stopping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stopping {
    No,
    /// It was asked to from outside, and asks the shard to close.
    Wanted,
    /// The shard closes; connections end until then.
    Until(Tick),
}

/// Who may visit a server, and what for.
pub struct Visitors {
    /// Users that may do everything.
    pub owners: Vec<u32>,
    /// What others may do.
    pub rules: Rules,
    /// What rings when the rules are to be read again, and what reads them.
    pub reload: Option<(Doorbell, Reader)>,
}

/// Reads the rules.
pub type Reader = Box<dyn FnMut() -> Result<Rules, RulesError> + Send>;

impl std::fmt::Debug for Visitors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visitors").field("owners", &self.owners).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// The front of a server on a Unix socket.
pub struct SocketFront {
    listener: Option<Listener>,
    accepting: Option<OpId>,
    /// Why no accept is in flight: descriptors ran out; try again then.
    accept_due: Option<Tick>,
    /// When connections have been quiet for long enough.
    quiet_due: Option<Tick>,
    termination: Option<Doorbell>,
    reload: Option<(Doorbell, Reader)>,
    sessions: Sessions,
    lines: Vec<Option<Line>>,
    /// Places that something has happened to since the last turn.
    touched: BTreeSet<u32>,
    horizon: Horizon,
    due: Option<Tick>,
    /// When the first of those that wait for memory has waited long enough.
    patience: Option<Tick>,
    /// When the last round of turns was: one between two looks at what has come.
    turned: Option<Tick>,
    stopping: Stopping,
    asked: Vec<(u64, Op)>,
    /// Pages that came home, for receives and sends to come: without them each would be zeroed first.
    spare: Vec<Box<[Page]>>,
}

impl SocketFront {
    /// A front that takes connections at `listener` from these visitors, and stops when `termination` rings.
    #[must_use]
    pub fn new(listener: Listener, termination: Option<Doorbell>, visitors: Visitors, facts: Facts) -> Self {
        let Visitors { owners, rules, reload } = visitors;
        Self {
            listener: Some(listener),
            accepting: None,
            accept_due: None,
            quiet_due: None,
            termination,
            reload,
            sessions: Sessions::new(facts, Gate::new(Owners::Users(owners), rules)),
            lines: Vec::new(),
            touched: BTreeSet::new(),
            horizon: Horizon::default(),
            due: None,
            patience: None,
            turned: None,
            stopping: Stopping::No,
            asked: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Calls the sessions, and passes on to the domain what they ask.
    fn round<R>(&mut self, desk: &mut Desk<'_, RingPort>, call: impl FnOnce(&mut Sessions, &mut Round<'_>) -> R) -> R {
        let (now, horizon) = (desk.now, desk.horizon());
        let round = &mut Round { now, horizon, direct: &mut AtDesk(desk), asked: &mut self.asked };
        let result = call(&mut self.sessions, round);
        for (id, op) in self.asked.drain(..) {
            desk.submit(asker(id), FrontOp(id), op);
        }
        result
    }

    fn accept(&mut self, desk: &mut Desk<'_, RingPort>) {
        self.accept_due = None;
        if let (Some(listener), None) = (&self.listener, self.accepting) {
            let op = uring::Op::Accept { listener: listener.clone() };
            self.accepting = Some(desk.port.submit_io(op, number(Purpose::Accept, 0)));
        }
    }

    fn accepted(&mut self, result: Result<Outcome, IoError>, desk: &mut Desk<'_, RingPort>) {
        self.accepting = None;
        match result {
            Ok(Outcome::Accepted(socket)) => self.admit(socket, desk),
            Ok(other) => unreachable!("an accept came back as {other:?}"),
            Err(IoError::Cancelled) => return,
            Err(error) => {
                // Out of descriptors or memory, most likely: whoever is connected is served, newcomers wait in the backlog.
                tracing::warn!(%error, "cannot take a connection; trying again in 100 ms");
                self.accept_due = Some(after(desk.now, Duration::from_millis(100)));
                return;
            }
        }
        self.accept(desk);
    }

    fn admit(&mut self, socket: Socket, desk: &mut Desk<'_, RingPort>) {
        // Whom the kernel does not tell of is nobody.
        let caller = socket.peer().and_then(|peer| {
            let groups = socket.groups()?;
            Ok(Caller { uid: peer.uid, gid: peer.gid, groups })
        });
        let standing = caller.ok().and_then(|caller| self.sessions.admit(caller));
        let allowed = standing.is_some();
        let limits = &self.sessions.facts().limits;
        if self.sessions.len() > limits.connections_max + limits.connections_max / 8 {
            // Even those that are only told so take a place; beyond an eighth more of them nothing is said.
            socket.shut_down();
            return;
        }
        let (connection, place) = match standing {
            Some(standing) => self.sessions.open(standing, desk.now),
            None => (self.sessions.open_place(desk.now), Ok(())),
        };
        let at = connection.place as usize;
        if self.lines.len() <= at {
            self.lines.resize_with(at + 1, || None);
        }
        let line =
            Line { connection, socket, receiving: None, heard: None, sending: false, receive_pages: 1, cut: false };
        self.lines[at] = Some(line);
        self.touched.insert(connection.place);
        let refusal = match (allowed, place) {
            (false, _) => Some(codes::ACCESS_DENIED),
            (true, Err(NoPlace)) => Some(codes::CONNECTIONS_FULL),
            (true, Ok(())) => None,
        };
        if let Some(code) = refusal {
            tracing::warn!(code, "a connection was refused");
            self.sessions.refuse(connection, code, desk.horizon());
        }
    }

    fn heed_reload(&mut self, desk: &mut Desk<'_, RingPort>) {
        if let Some((doorbell, _)) = &self.reload {
            let op = uring::Op::Watch { doorbell: doorbell.clone() };
            desk.port.submit_io(op, number(Purpose::Reload, 0));
        }
    }

    /// Reads the rules again; when they are wrong those before stay.
    fn reload(&mut self, desk: &mut Desk<'_, RingPort>) {
        if self.stopping != Stopping::No {
            return;
        }
        let Some((_, read)) = &mut self.reload else { return };
        match read() {
            Ok(rules) => {
                tracing::info!(rules = rules.all().len(), "the rules were read again and hold from now on");
                self.sessions.set_rules(rules);
            }
            Err(error) => tracing::error!(%error, "the rules could not be read again; those before stay"),
        }
        self.heed_reload(desk);
    }

    fn received(&mut self, at: u32, completion: uring::Completion<Page>, desk: &mut Desk<'_, RingPort>) {
        let line = self.line(at);
        line.receiving = None;
        line.heard = Some(desk.now);
        let connection = line.connection;
        self.sessions.repay(connection);
        let line = self.line(at);
        let buffer = completion.buffer.expect("a receive brings its buffer home");
        match completion.result {
            Ok(Outcome::Moved(bytes)) if bytes > 0 => {
                let full = bytes == buffer.len() * PAGE_BYTES;
                line.receive_pages = if full { RECEIVE_BYTES / PAGE_BYTES } else { 1 };
                let bytes = &buffer.as_bytes()[..bytes];
                self.round(desk, |sessions, round| sessions.receive(connection, bytes, round));
                self.keep(buffer);
            }
            Ok(_) => {
                if let Some(session) = self.sessions.get_mut(connection) {
                    session.end_of_input(desk.horizon());
                }
            }
            Err(IoError::Cancelled) => self.rest(at),
            Err(_) => self.cut(at),
        }
    }

    /// Bytes have come where a quiet connection is.
    fn stirred(&mut self, at: u32, result: &Result<Outcome, IoError>, desk: &Desk<'_, RingPort>) {
        let line = self.line(at);
        line.receiving = None;
        line.heard = Some(desk.now);
        if result.is_err() {
            self.cut(at);
        }
    }

    /// A connection has been quiet: it keeps no memory for what may come.
    fn rest(&mut self, at: u32) {
        let line = self.line(at);
        line.heard = None;
        line.receive_pages = 1;
        let connection = line.connection;
        if let Some(session) = self.sessions.get_mut(connection) {
            session.rest();
        }
    }

    /// Takes back the buffers of connections that have been quiet for long enough. One that bytes come to just then keeps them.
    fn quieten(&mut self, desk: &mut Desk<'_, RingPort>) {
        if self.quiet_due.is_none_or(|due| due.nanos > desk.now.nanos) {
            return;
        }
        self.quiet_due = None;
        for line in self.lines.iter_mut().flatten() {
            let (Some(id), Some(heard)) = (line.receiving, line.heard) else { continue };
            let due = after(heard, QUIET);
            if due.nanos > desk.now.nanos {
                self.quiet_due = Some(self.quiet_due.map_or(due, |earlier| earlier.min(due)));
            } else {
                desk.port.submit_io(uring::Op::Cancel { id }, number(Purpose::Cancel, 0));
                // Asked once; if it comes too late the receive tells when it was heard.
                line.heard = None;
            }
        }
    }

    fn sent(&mut self, at: u32, completion: uring::Completion<Page>, desk: &mut Desk<'_, RingPort>) {
        let line = self.line(at);
        line.sending = false;
        let connection = line.connection;
        self.keep(completion.buffer.expect("a send brings its buffer home"));
        match completion.result {
            Ok(Outcome::Moved(bytes)) if bytes > 0 => {
                if let Some(session) = self.sessions.get_mut(connection) {
                    session.consume(bytes);
                }
                self.round(desk, |sessions, round| sessions.sent(connection, round));
            }
            Ok(_) | Err(_) => self.cut(at),
        }
    }

    /// Keeps a page for the next receive or send.
    fn keep(&mut self, buffer: Box<[Page]>) {
        if buffer.len() == 1 && self.spare.len() < SPARE_PAGES_MAX {
            self.spare.push(buffer);
        }
    }

    fn line(&mut self, at: u32) -> &mut Line {
        self.lines[at as usize].as_mut().expect("a line stays until its operations are home")
    }

    /// Ends a connection without a word.
    fn cut(&mut self, at: u32) {
        let line = self.line(at);
        if !line.cut {
            line.cut = true;
            line.socket.shut_down();
        }
    }

    /// Does for a connection what can be done now.
    fn pump(&mut self, at: u32, desk: &mut Desk<'_, RingPort>) {
        let Some(Some(line)) = self.lines.get_mut(at as usize) else { return };
        let session = self.sessions.get_mut(line.connection).expect("a line has a session");
        if session.is_over() && !line.cut && !line.sending {
            line.cut = true;
            line.socket.shut_down();
        }
        if line.cut {
            if line.receiving.is_none() && !line.sending {
                desk.gone(asker_of(line.connection));
                self.sessions.close(line.connection);
                self.lines[at as usize] = None;
            }
            return;
        }
        let output = session.output(SEND_BYTES_MAX);
        if !line.sending && !output.is_empty() {
            let bytes = output.len();
            let buffer = filled(pages(&mut self.spare, bytes.div_ceil(PAGE_BYTES)), output);
            let op = uring::Op::Send { socket: line.socket.clone(), buffer, range: 0..bytes };
            desk.port.submit_io(op, number(Purpose::Send, at));
            line.sending = true;
        }
        if line.receiving.is_none() && session.wants_bytes() {
            let Some(heard) = line.heard else {
                let op = uring::Op::Heed { socket: line.socket.clone() };
                line.receiving = Some(desk.port.submit_io(op, number(Purpose::Heed, at)));
                return;
            };
            self.quiet_due.get_or_insert(after(heard, QUIET));
            // A page is set aside for every connection; more only where there is memory for it.
            if !self.sessions.lend(line.connection, (line.receive_pages - 1) * PAGE_BYTES) {
                line.receive_pages = 1;
            }
            let buffer = pages(&mut self.spare, line.receive_pages);
            let range = 0..buffer.len() * PAGE_BYTES;
            let op = uring::Op::Receive { socket: line.socket.clone(), buffer, range };
            line.receiving = Some(desk.port.submit_io(op, number(Purpose::Receive, at)));
        }
    }

    /// Calls every session, when the clock or the horizon asks for it.
    fn turn_sessions(&mut self, desk: &mut Desk<'_, RingPort>) {
        let now = desk.now;
        let moved = desk.horizon() != self.horizon;
        if !moved && self.due.is_none_or(|due| due.nanos > now.nanos) && self.touched.is_empty() {
            return;
        }
        self.horizon = desk.horizon();
        // The touched ones only, unless time concerns all, or the horizon those that watch it.
        let connections = if self.due.is_some_and(|due| due.nanos <= now.nanos) {
            self.due = None;
            self.sessions.all()
        } else {
            if moved {
                self.touched.extend(self.sessions.watchers());
            }
            self.touched.iter().filter_map(|&place| self.sessions.at(place)).collect()
        };
        for connection in connections {
            let due = self.round(desk, |sessions, round| sessions.turn(connection, round));
            self.due = [self.due, due].into_iter().flatten().min();
            self.touched.insert(connection.place);
            let limits = self.sessions.facts().limits;
            if self.sessions.get_mut(connection).is_some_and(|session| session.is_stuck(&limits, now)) {
                let client = self.sessions.get_mut(connection).map_or("", |session| session.client());
                tracing::warn!(client, "a connection did not read its replies and was cut");
                self.cut(connection.place);
            }
        }
    }

    /// A turn for each connection that waits for one. The clock is read anew before what has come is looked at, so there is one
    /// round between two such looks, and who comes waits for no more than that.
    fn take_turns(&mut self, desk: &mut Desk<'_, RingPort>) {
        if self.turned == Some(desk.now) {
            return;
        }
        self.turned = Some(desk.now);
        for _ in 0..self.sessions.waiting() {
            if let Some(connection) = self.round(desk, |sessions, round| sessions.next_turn(round)) {
                self.touched.insert(connection.place);
            }
        }
    }

    /// Does for each connection what can be done now; what one gives back may be what another waits for.
    fn settle(&mut self, desk: &mut Desk<'_, RingPort>) {
        self.patience = self.sessions.expire(desk.now);
        loop {
            if let Some(connection) = self.sessions.woken() {
                let due = self.round(desk, |sessions, round| sessions.turn(connection, round));
                self.due = [self.due, due].into_iter().flatten().min();
                self.touched.insert(connection.place);
            } else if let Some(at) = self.touched.pop_first() {
                self.pump(at, desk);
            } else {
                return;
            }
        }
    }

    /// Whether everything has ended; cuts what has not in time.
    fn is_done(&mut self, now: Tick) -> bool {
        let Stopping::Until(end) = self.stopping else { return false };
        if end.nanos <= now.nanos {
            for connection in self.sessions.all() {
                self.cut(connection.place);
                self.touched.insert(connection.place);
            }
        }
        self.sessions.len() == 0
    }
}

impl std::fmt::Debug for SocketFront {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketFront")
            .field("stopping", &self.stopping)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

impl Front<RingPort> for SocketFront {
    fn start(&mut self, desk: &mut Desk<'_, RingPort>) {
        self.horizon = desk.horizon();
        if let Some(doorbell) = &self.termination {
            let op = uring::Op::Watch { doorbell: doorbell.clone() };
            desk.port.submit_io(op, number(Purpose::Terminate, 0));
        }
        self.heed_reload(desk);
        self.round(desk, |sessions, round| sessions.list_tables(round.asked));
        self.accept(desk);
    }

    fn completed(&mut self, io: uring::Completion<Page>, desk: &mut Desk<'_, RingPort>) {
        let (purpose, at) = split(io.user);
        match purpose {
            Purpose::Accept => self.accepted(io.result, desk),
            Purpose::Terminate => {
                if self.stopping == Stopping::No {
                    self.stopping = Stopping::Wanted;
                }
            }
            Purpose::Receive => {
                self.touched.insert(at);
                self.received(at, io, desk);
            }
            Purpose::Send => {
                self.touched.insert(at);
                self.sent(at, io, desk);
            }
            Purpose::Heed => {
                self.touched.insert(at);
                self.stirred(at, &io.result, desk);
            }
            Purpose::Cancel => {}
            Purpose::Reload => self.reload(desk),
        }
    }

    fn answered(&mut self, id: FrontOp, answer: Result<Answer, Error>, desk: &mut Desk<'_, RingPort>) {
        if let Some(connection) = self.round(desk, |sessions, round| sessions.answered(id.0, &answer, round)) {
            self.touched.insert(connection.place);
        }
    }

    fn turn(&mut self, desk: &mut Desk<'_, RingPort>) -> Wish {
        if self.accept_due.is_some_and(|due| due.nanos <= desk.now.nanos) {
            self.accept(desk);
        }
        self.touched.extend(self.sessions.readers());
        self.turn_sessions(desk);
        self.quieten(desk);
        self.take_turns(desk);
        let done = self.is_done(desk.now);
        self.settle(desk);
        let (life, end) = match self.stopping {
            Stopping::No => (Life::Serving, None),
            // The shard tells us to stop before the next turn, which is due at once.
            Stopping::Wanted => (Life::Closing, Some(desk.now)),
            Stopping::Until(_) if done || self.sessions.len() == 0 => (Life::Done, None),
            Stopping::Until(end) => (Life::Closing, Some(end).filter(|end| end.nanos > desk.now.nanos)),
        };
        let turns = (self.sessions.waiting() > 0 || self.sessions.has_news()).then_some(desk.now);
        Wish {
            due: [turns, self.due, self.patience, self.quiet_due, self.accept_due, end].into_iter().flatten().min(),
            life,
        }
    }

    fn stop(&mut self, desk: &mut Desk<'_, RingPort>) {
        self.stopping = Stopping::Until(after(desk.now, self.sessions.facts().limits.drain_patience));
        // The file goes with the listener, so newcomers learn at once that nobody serves.
        self.listener = None;
        self.accept_due = None;
        if let Some(id) = self.accepting {
            desk.port.submit_io(uring::Op::Cancel { id }, number(Purpose::Cancel, 0));
        }
        for connection in self.sessions.all() {
            self.sessions.get_mut(connection).expect("it is one of all").stop();
            self.touched.insert(connection.place);
        }
    }
}

/// What the sessions ask within a call is asked at the desk.
struct AtDesk<'a, 'b>(&'a mut Desk<'b, RingPort>);

impl Direct<u64> for AtDesk<'_, '_> {
    fn look(&mut self, table: TableId, key: &[u8], see: &mut dyn FnMut(Option<PairRef<'_>>)) -> Result<Seen, Error> {
        self.0.lookup_now(table, key, see)
    }

    fn ask(&mut self, id: u64, op: Op) -> Option<Result<Answer, Error>> {
        self.0.ask(asker(id), FrontOp(id), op)
    }
}

fn number(purpose: Purpose, at: u32) -> u64 {
    (purpose as u64) << PURPOSE_SHIFT | u64::from(at)
}

fn split(number: u64) -> (Purpose, u32) {
    let all = [
        Purpose::Accept,
        Purpose::Terminate,
        Purpose::Receive,
        Purpose::Send,
        Purpose::Cancel,
        Purpose::Heed,
        Purpose::Reload,
    ];
    let purpose = all.into_iter().find(|purpose| *purpose as u64 == number >> PURPOSE_SHIFT);
    let at = u32::try_from(number & u64::from(u32::MAX)).expect("32 bits");
    (purpose.unwrap_or_else(|| unreachable!("{number:#x} is no number of the front's")), at)
}

/// So many pages: the spare one, whatever it holds, where one is enough.
fn pages(spare: &mut Vec<Box<[Page]>>, count: usize) -> Box<[Page]> {
    let kept = if count == 1 { spare.pop() } else { None };
    kept.unwrap_or_else(|| vec![Page([0; PAGE_BYTES]); count].into_boxed_slice())
}

/// The pages with these bytes at their start, for a send that owns its buffer.
fn filled(mut pages: Box<[Page]>, bytes: &[u8]) -> Box<[Page]> {
    for (page, piece) in pages.iter_mut().zip(bytes.chunks(PAGE_BYTES)) {
        page.0[..piece.len()].copy_from_slice(piece);
    }
    pages
}
