//! One connection of any protocol: the first bytes decide which, and it stays that.
//!
//! Contract: a byte that begins no text means the native protocol; a first line that names a version of HTTP means HTTP; all other
//! text is RESP. Until that is known nothing is answered but the end of patience.

use crate::budget::Held;
use crate::calls::Ticket;
use crate::http;
use crate::limits::Limits;
use crate::resp;
use crate::session::{Session, World, after};
use domains::{Answer, Error, Horizon, Tick};

/// What a connection may speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    /// `design/protocol.md`.
    Native,
    /// `design/redis-differences.md`.
    Resp,
    /// `design/metrics.md`.
    Http,
}

/// Bytes of text without a line end after which a protocol is decided on all the same.
const LINE_BYTES_MAX: usize = 4 << 10;

/// The protocol of these first bytes, when they suffice to tell.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Protocol> {
    let first = *bytes.first()?;
    if !(first.is_ascii_graphic() || first.is_ascii_whitespace()) {
        return Some(Protocol::Native);
    }
    if !first.is_ascii_alphabetic() {
        return Some(Protocol::Resp);
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return (bytes.len() > LINE_BYTES_MAX).then_some(Protocol::Resp);
    };
    let line = bytes[..end].trim_ascii_end();
    let version = line.rsplit(|byte| *byte == b' ').next().filter(|version| version.len() < line.len());
    let http = version.is_some_and(|version| version.starts_with(b"HTTP/1."));
    Some(if http { Protocol::Http } else { Protocol::Resp })
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Peer {
    /// It has not said enough.
    Silent(Silent),
    Native(Box<Session>),
    Resp(Box<resp::Session>),
    Http(Box<http::Session>),
    /// It ended before it had said enough.
    Gone,
}

/// A connection whose protocol is not known.
#[derive(Debug)]
pub(crate) struct Silent {
    since: Tick,
    id: u64,
    heard: Vec<u8>,
}

impl Peer {
    /// A connection that was made just now, the so-many-eth of the server.
    pub(crate) fn new(id: u64, now: Tick) -> Self {
        Self::Silent(Silent { since: now, id, heard: Vec::new() })
    }

    /// Takes bytes from the socket and begins what they ask for.
    pub(crate) fn receive(&mut self, bytes: &[u8], world: &mut World<'_>) {
        match self {
            Self::Native(session) => session.receive(bytes, world),
            Self::Resp(session) => session.receive(bytes, world),
            Self::Http(session) => session.receive(bytes, world),
            Self::Gone => {}
            Self::Silent(silent) => {
                silent.heard.extend_from_slice(bytes);
                if let Some(protocol) = recognise(&silent.heard) {
                    self.decide(protocol, world);
                }
            }
        }
    }

    /// The protocol is known: what was heard so far is taken as that.
    fn decide(&mut self, protocol: Protocol, world: &mut World<'_>) {
        let Self::Silent(silent) = self else { unreachable!("a protocol is decided on once") };
        let (since, id, heard) = (silent.since, silent.id, std::mem::take(&mut silent.heard));
        *self = match protocol {
            Protocol::Native => Self::Native(Box::new(Session::new(world.facts, since))),
            Protocol::Resp => {
                world.shared.counters.connections += 1;
                Self::Resp(Box::new(resp::Session::new(id, world.facts, since)))
            }
            Protocol::Http => Self::Http(Box::new(http::Session::new(since))),
        };
        self.receive(&heard, world);
    }

    /// The native session, which also speaks for a connection that has not said what it speaks.
    fn native(&mut self, facts: &crate::session::Facts) -> Option<&mut Session> {
        if let Self::Silent(silent) = self {
            *self = Self::Native(Box::new(Session::new(facts, silent.since)));
        }
        match self {
            Self::Native(session) => Some(session),
            Self::Silent(_) | Self::Resp(_) | Self::Http(_) | Self::Gone => None,
        }
    }

    /// The peer will send no more.
    pub(crate) fn end_of_input(&mut self, horizon: Horizon) {
        match self {
            Self::Native(session) => session.end_of_input(horizon),
            Self::Resp(session) => session.end_of_input(),
            Self::Http(session) => session.end_of_input(),
            Self::Silent(_) | Self::Gone => *self = Self::Gone,
        }
    }

    /// The connection is not served: the peer is told why. It has said nothing yet, so it is told natively.
    pub(crate) fn refuse_connection(&mut self, code: u16, facts: &crate::session::Facts, horizon: Horizon) {
        if let Some(session) = self.native(facts) {
            session.refuse_connection(code, horizon);
        }
    }

    /// The server stops.
    pub(crate) fn stop(&mut self) {
        match self {
            Self::Native(session) => session.stop(),
            Self::Resp(session) => session.stop(),
            Self::Http(session) => session.stop(),
            Self::Silent(_) | Self::Gone => *self = Self::Gone,
        }
    }

    /// The domain has answered.
    pub(crate) fn answered(&mut self, ticket: Ticket, result: &Result<Answer, Error>, world: &mut World<'_>) {
        match self {
            Self::Native(session) => session.answered(ticket, result, world),
            Self::Resp(session) => session.answered(ticket, result, world),
            Self::Http(session) => session.answered(result, world),
            Self::Gone | Self::Silent(_) => unreachable!("who asks nothing is answered nothing"),
        }
    }

    /// What time and the domain's progress have brought. Says when to call again, by the clock alone.
    pub(crate) fn turn(&mut self, world: &mut World<'_>) -> Option<Tick> {
        match self {
            Self::Native(session) => session.turn(world),
            Self::Resp(session) => session.turn(world),
            Self::Http(session) => session.turn(world),
            Self::Gone => None,
            Self::Silent(silent) => {
                let due = after(silent.since, world.facts.limits.hello_patience);
                if due.nanos > world.now.nanos {
                    return Some(due);
                }
                self.native(world.facts)?.turn(world)
            }
        }
    }

    /// Whether it is to be called when the domain has become persistent further.
    pub(crate) fn watches_horizon(&self) -> bool {
        match self {
            Self::Native(session) => session.watches_horizon(),
            Self::Resp(_) | Self::Http(_) | Self::Gone | Self::Silent(_) => false,
        }
    }

    /// Whether it is to be called when somebody has sent a command.
    pub(crate) fn watches_commands(&self) -> bool {
        match self {
            Self::Resp(session) => session.watches(),
            Self::Native(_) | Self::Http(_) | Self::Gone | Self::Silent(_) => false,
        }
    }

    /// Whether the peer has not read for too long, so that the connection is cut.
    pub(crate) fn is_stuck(&self, limits: &Limits, now: Tick) -> bool {
        match self {
            Self::Native(session) => session.is_stuck(limits, now),
            Self::Resp(session) => session.is_stuck(limits, now),
            Self::Http(session) => session.is_stuck(limits, now),
            Self::Gone | Self::Silent(_) => false,
        }
    }

    /// Memory that the connection takes.
    pub(crate) fn held(&self) -> Held {
        match self {
            Self::Native(session) => session.held(),
            Self::Resp(session) => session.held(),
            Self::Silent(silent) => [silent.heard.capacity(), 0],
            Self::Http(session) => session.held(),
            Self::Gone => [0; 2],
        }
    }

    /// Whether the connection waits for memory.
    pub(crate) fn waits_for_memory(&self) -> bool {
        match self {
            Self::Native(session) => session.waits_for_memory(),
            Self::Resp(session) => session.waits_for_memory(),
            Self::Silent(_) | Self::Http(_) | Self::Gone => false,
        }
    }

    /// Nothing happens for a while: memory that is kept for what may come is given back.
    pub(crate) fn rest(&mut self) {
        match self {
            Self::Native(session) => session.rest(),
            Self::Resp(session) => session.rest(),
            Self::Silent(_) | Self::Http(_) | Self::Gone => {}
        }
    }

    /// Whether bytes should be received.
    pub(crate) fn wants_bytes(&self) -> bool {
        match self {
            Self::Native(session) => session.wants_bytes(),
            Self::Resp(session) => session.wants_bytes(),
            Self::Http(session) => session.wants_bytes(),
            Self::Gone => false,
            Self::Silent(_) => true,
        }
    }

    /// Whether the connection can be closed: all is answered and sent.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Native(session) => session.is_over(),
            Self::Resp(session) => session.is_over(),
            Self::Http(session) => session.is_over(),
            Self::Gone => true,
            Self::Silent(_) => false,
        }
    }

    /// Bytes to be sent next, at most so many. They stay until [`Self::consume`].
    pub(crate) fn output(&self, bytes_max: usize) -> &[u8] {
        match self {
            Self::Native(session) => session.output(bytes_max),
            Self::Resp(session) => session.output(bytes_max),
            Self::Http(session) => session.output(bytes_max),
            Self::Gone | Self::Silent(_) => &[],
        }
    }

    /// The socket has taken so many bytes.
    pub(crate) fn consume(&mut self, bytes: usize) {
        match self {
            Self::Native(session) => session.consume(bytes),
            Self::Resp(session) => session.consume(bytes),
            Self::Http(session) => session.consume(bytes),
            Self::Gone | Self::Silent(_) => unreachable!("nothing was sent to who said nothing"),
        }
    }

    /// The socket has taken bytes: the peer reads, and there may be room to go on.
    pub(crate) fn sent(&mut self, world: &mut World<'_>) {
        match self {
            Self::Native(session) => session.sent(world),
            Self::Resp(session) => session.sent(world),
            Self::Http(session) => session.sent(world),
            Self::Gone | Self::Silent(_) => {}
        }
    }

    /// Its turn has come: what waited for it goes on.
    pub(crate) fn go_on(&mut self, world: &mut World<'_>) {
        match self {
            Self::Native(session) => session.go_on(world),
            Self::Resp(session) => session.go_on(world),
            // One request at a time, and nothing waits for a turn.
            Self::Http(_) | Self::Gone | Self::Silent(_) => {}
        }
    }

    /// Bytes of replies that are not sent.
    pub(crate) fn unsent(&self) -> usize {
        match self {
            Self::Native(session) => session.unsent(),
            Self::Resp(session) => session.unsent(),
            Self::Http(_) | Self::Gone | Self::Silent(_) => 0,
        }
    }

    /// The number under which others may wait for it.
    pub(crate) fn text_id(&self) -> Option<u64> {
        match self {
            Self::Resp(session) => Some(session.id()),
            Self::Native(_) | Self::Http(_) | Self::Gone | Self::Silent(_) => None,
        }
    }

    /// Who it is, for people.
    pub(crate) fn client(&self) -> &str {
        match self {
            Self::Native(session) => session.client(),
            Self::Resp(session) => session.client(),
            Self::Http(_) | Self::Gone | Self::Silent(_) => "",
        }
    }
}

#[cfg(test)]
mod tests;
