//! One connection that speaks HTTP/1.1: how the server is, for tools and for people. It reads; nothing can be changed by it.
//!
//! Contract: `GET` and `HEAD` of `/`, `/metrics`, `/livez` and `/readyz`; requests are answered one after the other, in the order
//! in which they came, and the connection stays for more unless the client says otherwise. A request's head has at most
//! [`HEAD_BYTES_MAX`] bytes and no body follows it; whatever else comes is answered by its status and ends the connection.
//!
//! It reads no clock and no socket: time comes as a [`Tick`], bytes as slices.

use crate::acl::Right;
use crate::budget::{Held, reply_bytes};
use crate::limits::Limits;
use crate::session::{World, after};
use domains::{Answer, Error, Op, Tick};

mod exposition;

/// Bytes of a request up to its empty line.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Fields of a request's head.
const FIELDS_MAX: usize = 64;
/// Bytes of replies not yet sent above which the next request waits.
const UNSENT_BYTES_MAX: usize = 64 << 10;

const TEXT: &str = "text/plain; charset=utf-8";
/// The page that shows the metrics to people: it reads `/metrics` every two seconds.
const PAGE: &str = include_str!("http/page.html");
const PATHS: &str = "/        figures for people\n/metrics figures for Prometheus\n/livez   whether the server turns\n\
    /readyz  whether it takes updates\n";

/// What is asked of the domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asks {
    Metrics,
    Ready,
}

/// A request that waits for the domain.
#[derive(Clone, Copy, Debug)]
struct Asked {
    asks: Asks,
    form: Form,
}

/// How a request is to be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Without the body.
    head: bool,
    /// The connection stays.
    keep: bool,
}

/// A reply's status.
type Status = (u16, &'static str);
const OK: Status = (200, "OK");
const BAD_REQUEST: Status = (400, "Bad Request");
const FORBIDDEN: Status = (403, "Forbidden");
const NOT_FOUND: Status = (404, "Not Found");
const METHOD_NOT_ALLOWED: Status = (405, "Method Not Allowed");
const TIMED_OUT: Status = (408, "Request Timeout");
const BODY_TOO_LARGE: Status = (413, "Content Too Large");
const HEAD_TOO_LARGE: Status = (431, "Request Header Fields Too Large");
const UNAVAILABLE: Status = (503, "Service Unavailable");

/// What the first bytes of the buffer are.
pub(crate) enum Next {
    /// No whole head yet.
    Part,
    /// A request for a path, of so many bytes.
    Request { bytes: usize, path: String, form: Form, reads: bool, body: bool },
    /// None that can be answered.
    Bad(Status, String),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// Bytes that have come and belong to no request yet.
    heard: Vec<u8>,
    heard_at: Tick,
    /// Replies, and how much of them is sent.
    out: Vec<u8>,
    sent: usize,
    unsent_since: Option<Tick>,
    asked: Option<Asked>,
    /// Nothing more is taken; it ends when what was begun is answered and sent.
    ending: bool,
    /// The server stops.
    stopping: bool,
}

impl Session {
    pub(crate) fn new(now: Tick) -> Self {
        Self {
            heard: Vec::new(),
            heard_at: now,
            out: Vec::new(),
            sent: 0,
            unsent_since: None,
            asked: None,
            ending: false,
            stopping: false,
        }
    }

    /// Takes bytes from the socket and begins what they ask for.
    pub(crate) fn receive(&mut self, bytes: &[u8], world: &mut World<'_>) {
        if self.ending {
            return;
        }
        self.heard.extend_from_slice(bytes);
        self.heard_at = world.now;
        self.proceed(world);
    }

    /// The peer will send no more: what it has asked is answered.
    pub(crate) fn end_of_input(&mut self) {
        self.stopping = true;
    }

    /// The server stops: what was begun is answered.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// The domain has answered.
    pub(crate) fn answered(&mut self, result: &Result<Answer, Error>, world: &mut World<'_>) {
        let Asked { asks, form } = self.asked.take().expect("the domain answers what it was asked");
        match result {
            Ok(Answer::Status(status)) => match (asks, &status.poisoned) {
                (Asks::Metrics, _) => {
                    let domain = world.facts.capabilities.name;
                    let (metrics, memory) = (&world.metrics.borrow(), world.memory.figures());
                    let seen = exposition::Seen { status, metrics, memory, shared: world.shared, domain };
                    self.reply(OK, "text/plain; version=0.0.4; charset=utf-8", &exposition::text(&seen), form);
                }
                (Asks::Ready, None) => self.reply(OK, TEXT, "ready\n", form),
                (Asks::Ready, Some(why)) => {
                    let text = format!(
                        "LS0304 the store is read-only: {why}\nrestart its server; what was announced survives\n"
                    );
                    self.reply(UNAVAILABLE, TEXT, &text, form);
                }
            },
            Ok(other) => unreachable!("a status was answered with {other:?}"),
            Err(error) => self.reply(UNAVAILABLE, TEXT, &format!("{error}\n"), form),
        }
        self.proceed(world);
    }

    /// Memory that the connection takes.
    pub(crate) fn held(&self) -> Held {
        [self.heard.capacity(), reply_bytes(self.out.len())]
    }

    /// What time has brought. Says when to call again, by the clock alone.
    pub(crate) fn turn(&mut self, world: &mut World<'_>) -> Option<Tick> {
        let limits = &world.facts.limits;
        let inside = !self.ending && self.asked.is_none() && !self.heard.is_empty();
        let reading = inside.then(|| after(self.heard_at, limits.stall_patience));
        if reading.is_some_and(|due| due.nanos <= world.now.nanos) {
            self.fail(TIMED_OUT, "the request did not come to its end in time");
        }
        if self.unsent_since.is_none() && !self.output(1).is_empty() {
            self.unsent_since = Some(world.now);
        }
        let sending = self.unsent_since.map(|since| after(since, limits.stall_patience));
        [reading.filter(|_| !self.ending), sending].into_iter().flatten().min()
    }

    /// Whether the peer has not read for too long, so that the connection is cut.
    pub(crate) fn is_stuck(&self, limits: &Limits, now: Tick) -> bool {
        self.unsent_since.is_some_and(|since| after(since, limits.stall_patience).nanos <= now.nanos)
    }

    /// Whether bytes should be received.
    pub(crate) fn wants_bytes(&self) -> bool {
        !self.ending && !self.stopping && self.asked.is_none() && self.heard.len() <= HEAD_BYTES_MAX
    }

    /// Whether the connection can be closed: all is answered and sent.
    pub(crate) fn is_over(&self) -> bool {
        (self.ending || self.stopping) && self.asked.is_none() && self.output(1).is_empty()
    }

    /// Bytes to be sent next, at most so many. They stay until [`Self::consume`].
    pub(crate) fn output(&self, bytes_max: usize) -> &[u8] {
        let bytes = &self.out[self.sent..];
        &bytes[..bytes.len().min(bytes_max)]
    }

    /// The socket has taken so many bytes.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.out.len() {
            // Nothing is kept for who only asks now and then.
            (self.out, self.sent) = (Vec::new(), 0);
        }
    }

    /// The socket has taken bytes: the peer reads, and there may be room to go on.
    pub(crate) fn sent(&mut self, world: &mut World<'_>) {
        self.unsent_since = (!self.output(1).is_empty()).then_some(world.now);
        self.proceed(world);
    }

    /// Begins what waits in the buffer, as far as there is room.
    fn proceed(&mut self, world: &mut World<'_>) {
        while !self.ending && self.asked.is_none() && self.out.len() - self.sent <= UNSENT_BYTES_MAX {
            match parse(&self.heard) {
                Next::Part => break,
                Next::Bad(status, why) => self.fail(status, &why),
                Next::Request { bytes, path, form, reads, body } => {
                    self.heard.drain(..bytes);
                    if body {
                        self.fail(BODY_TOO_LARGE, "no request has a body here");
                    } else if !reads {
                        self.reply(
                            METHOD_NOT_ALLOWED,
                            TEXT,
                            "GET and HEAD only: nothing can be changed by HTTP\n",
                            form,
                        );
                    } else {
                        self.begin(&path, form, world);
                    }
                }
            }
        }
        if self.heard.is_empty() {
            self.heard = Vec::new();
        }
    }

    fn begin(&mut self, path: &str, form: Form, world: &mut World<'_>) {
        let asks = match path {
            "/" | "/metrics" if world.guard.server(Right::Admin).is_err() => {
                let text = "LS0150 the server's rules give this user no right 'admin', which figures of the whole server take\n";
                return self.reply(FORBIDDEN, TEXT, text, form);
            }
            "/" => return self.reply(OK, "text/html; charset=utf-8", PAGE, form),
            "/livez" => return self.reply(OK, TEXT, "live\n", form),
            "/metrics" => Asks::Metrics,
            "/readyz" => Asks::Ready,
            _ => return self.reply(NOT_FOUND, TEXT, &format!("there is nothing here; there is\n{PATHS}"), form),
        };
        self.asked = Some(Asked { asks, form });
        world.asked.push((Some((0, 0)), Op::Status));
    }

    /// Says why the connection ends.
    fn fail(&mut self, status: Status, why: &str) {
        self.heard = Vec::new();
        self.reply(status, TEXT, &format!("{why}\n"), Form { head: false, keep: false });
    }

    fn reply(&mut self, (code, name): Status, kind: &str, body: &str, form: Form) {
        let connection = if form.keep { "" } else { "Connection: close\r\n" };
        let allow = if code == METHOD_NOT_ALLOWED.0 { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {code} {name}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'\r\n\
             {allow}{connection}\r\n",
            body.len(),
        );
        self.out.extend_from_slice(head.as_bytes());
        if !form.head {
            self.out.extend_from_slice(body.as_bytes());
        }
        self.ending |= !form.keep;
    }
}

/// Looks for a request at the beginning of the bytes.
pub(crate) fn parse(bytes: &[u8]) -> Next {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let too_large = || {
        Next::Bad(
            HEAD_TOO_LARGE,
            format!("a request's head has at most {HEAD_BYTES_MAX} bytes and {FIELDS_MAX} fields"),
        )
    };
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => return Next::Part,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return too_large(),
        Err(error) => return Next::Bad(BAD_REQUEST, format!("this is no request of HTTP/1.1: {error}")),
    };
    let (method, path) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let named = |name: &'static str| {
        request.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    };
    let body =
        named("Content-Length").any(|value| value.trim_ascii() != b"0") || named("Transfer-Encoding").next().is_some();
    let closes = named("Connection")
        .any(|value| value.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close")));
    Next::Request {
        bytes: length,
        path: path.split('?').next().unwrap_or_default().to_owned(),
        form: Form { head: method == "HEAD", keep: request.version == Some(1) && !closes },
        reads: matches!(method, "GET" | "HEAD"),
        body,
    }
}
