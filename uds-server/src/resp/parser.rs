//! From a stream of bytes, cut anywhere, to commands: arrays of bulk strings, or lines of words.
//!
//! Contract: bytes are pushed as they come; [`Parser::poll`] says whether a whole command stands first, [`Parser::command`] shows
//! it without a copy, [`Parser::advance`] drops it. Nothing is allocated for what was only announced: memory grows with the
//! bytes that have come, and never past the command that was announced and one push. What has been looked at is not looked at
//! again, however the stream is cut. After an error the stream is lost.
//!
//! What it does not do: commands hold strings only; an array inside an array is an error.

use super::inline;
use std::fmt;
use thiserror::Error;

/// Arguments of a command.
pub const ARGS_MAX: usize = 1 << 20;
/// Bytes of an inline command, its line end not counted.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// Digits of a length and its sign.
const LENGTH_BYTES_MAX: usize = 20;
/// What an idle connection keeps of its buffer.
const BUFFER_BYTES_KEPT: usize = 4 << 10;
/// A string of so many bytes is large.
const LARGE_STRING_BYTES: usize = 16 << 10;
/// How many arguments an idle connection keeps room for.
const ARGS_KEPT: usize = 64;

/// Why the stream is not one of commands. The texts are those that Redis gives, so that a client shows what it knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ProtocolError {
    /// The count of an array is no number, or too large.
    #[error("invalid multibulk length")]
    Count,
    /// The length of a string is no number, or too large.
    #[error("invalid bulk length")]
    Length,
    /// Something else than a string stands where one should.
    #[error("expected '$', got '{}'", char::from(*found).escape_default())]
    NotAString {
        /// Its first byte.
        found: u8,
    },
    /// A string does not end where it said.
    #[error("a string is not followed by a line end")]
    NoLineEnd,
    /// A line of words is too long.
    #[error("too big inline request")]
    LineTooLong,
    /// Quotes in a line of words do not match.
    #[error("unbalanced quotes in request")]
    Quotes,
    /// The whole command is too large.
    #[error("a command has at most {limit} bytes")]
    TooLarge {
        /// How many it may have.
        limit: usize,
    },
}

/// Where an argument lies.
pub(crate) type Span = (u32, u32);

/// A command's arguments, the first of which is its name.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// How many there are, the name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none; never so for a command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// One of them.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn at(&self, position: usize) -> &'a [u8] {
        let (start, bytes) = self.spans[position];
        &self.bytes[start as usize..][..bytes as usize]
    }

    /// One of them, if there are so many.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<&'a [u8]> {
        (position < self.len()).then(|| self.at(position))
    }

    /// All from a position on.
    pub fn from(&self, position: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let args = *self;
        (position..args.len()).map(move |at| args.at(at))
    }

    /// Bytes of all of them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.spans.iter().map(|(_, bytes)| *bytes as usize).sum()
    }

    /// Whether an argument is this word, in any case.
    #[must_use]
    pub fn is(&self, position: usize, word: &str) -> bool {
        self.get(position).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.from(0).map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

/// A command that outlives the bytes it came with.
#[derive(Clone, Debug, Default)]
pub struct Request {
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
}

impl Request {
    /// A copy of a command.
    #[must_use]
    pub fn new(args: Args<'_>) -> Self {
        let mut bytes = Vec::with_capacity(args.bytes());
        let mut spans = Vec::with_capacity(args.len());
        for arg in args.from(0) {
            spans.push(span(bytes.len(), arg.len()));
            bytes.extend_from_slice(arg);
        }
        Self { bytes: bytes.into(), spans: spans.into() }
    }

    /// A command of these words.
    #[must_use]
    pub fn of(words: &[&[u8]]) -> Self {
        let mut at = 0;
        let spans = words.iter().map(|word| {
            let start = at;
            at += word.len();
            span(start, word.len())
        });
        Self { spans: spans.collect(), bytes: words.concat().into() }
    }

    /// Its arguments.
    #[must_use]
    pub fn args(&self) -> Args<'_> {
        Args { bytes: &self.bytes, spans: &self.spans }
    }
}

/// A span of the buffer. A command is smaller than 4 GiB, so positions fit.
fn span(start: usize, bytes: usize) -> Span {
    let number = |count: usize| u32::try_from(count).expect("a command is smaller than 4 GiB");
    (number(start), number(bytes))
}

/// How far the first command has been looked at. Positions count from the command's first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Not at all.
    Start,
    /// As a line without an end, up to here.
    Line { seen: usize },
    /// As an array: so many strings are to come, the next one's header stands here.
    Header { left: usize, at: usize },
    /// As an array: a string of so many bytes stands here.
    Content { left: usize, at: usize, bytes: usize },
    /// It is whole, and ends here.
    Whole { end: usize },
}

/// Cuts a stream into commands.
#[derive(Debug)]
pub struct Parser {
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that have been dropped.
    start: usize,
    state: State,
    spans: Vec<Span>,
    /// The words of a line, without their quotes.
    words: Vec<u8>,
    /// Whether the spans lie in `words`.
    inline: bool,
    bytes_max: usize,
}

impl Parser {
    /// A parser of commands of at most so many bytes, headers included.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            state: State::Start,
            spans: Vec::new(),
            words: Vec::new(),
            inline: false,
            bytes_max,
        }
    }

    /// Takes bytes from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let needed = self.buffer.len() + bytes.len();
        if needed > self.buffer.capacity() {
            // Doubling, but not past what the first command needs: its bytes have to come before room for them is taken.
            let target = (self.buffer.capacity() * 2).min(self.announced()).max(needed);
            self.buffer.reserve_exact(target - self.buffer.len());
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether no byte waits: the stream may end here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == self.start
    }

    /// Bytes that the first command will have at least, as far as it has said. Where more strings follow a large one they are taken to
    /// be as large, so that memory for a command is asked for once and not string by string.
    #[must_use]
    pub fn announced(&self) -> usize {
        match self.state {
            State::Start => 0,
            State::Line { seen } => seen,
            State::Header { left, at } => at + 5 * left,
            State::Content { left, at, bytes } if bytes < LARGE_STRING_BYTES => at + bytes + 5 * left,
            State::Content { left, at, bytes } => (at + (bytes + 2) * left).min(self.bytes_max),
            State::Whole { end } => end,
        }
    }

    /// Gives back the memory that is kept for commands to come, when nothing waits.
    pub fn rest(&mut self) {
        if self.is_empty() && self.state == State::Start {
            *self = Self::new(self.bytes_max);
        }
    }

    /// Memory taken.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity() + self.words.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// Whether a whole command stands first. Empty lines and empty arrays are passed over.
    ///
    /// # Errors
    /// When the stream is not one of commands; it is lost then.
    pub fn poll(&mut self) -> Result<bool, ProtocolError> {
        loop {
            match self.state {
                State::Whole { .. } => return Ok(true),
                State::Start if self.is_empty() => return Ok(false),
                State::Start | State::Line { .. } | State::Header { .. } | State::Content { .. } => {}
            }
            let moved = match self.state {
                State::Start => self.begin()?,
                State::Line { seen } => self.line(seen)?,
                State::Header { left, at } => self.header(left, at)?,
                State::Content { left, at, bytes } => self.content(left, at, bytes)?,
                State::Whole { .. } => unreachable!("a whole command was returned above"),
            };
            if !moved {
                return Ok(false);
            }
        }
    }

    /// The first command.
    ///
    /// # Panics
    /// When [`Self::poll`] has not said that there is one.
    #[must_use]
    pub fn command(&self) -> Args<'_> {
        assert!(matches!(self.state, State::Whole { .. }), "only a whole command is shown, not {:?}", self.state);
        let bytes = if self.inline { &self.words } else { &self.buffer[self.start..] };
        Args { bytes, spans: &self.spans }
    }

    /// Drops the first command.
    ///
    /// # Panics
    /// When there is none.
    pub fn advance(&mut self) {
        let State::Whole { end } = self.state else {
            unreachable!("only a whole command is dropped: {:?}", self.state)
        };
        self.skip(end);
    }

    /// Drops bytes and what was learnt of them.
    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        assert!(self.start <= self.buffer.len(), "a command ends where its bytes end");
        self.state = State::Start;
        self.spans.clear();
        self.words.clear();
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_BYTES_KEPT);
            self.words.shrink_to(0);
            self.spans.shrink_to(ARGS_KEPT);
        }
    }

    /// The bytes of the first command that have come, and perhaps more.
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Looks at the first byte of a command.
    fn begin(&mut self) -> Result<bool, ProtocolError> {
        self.inline = self.bytes()[0] != b'*';
        if self.inline {
            self.state = State::Line { seen: 0 };
            return Ok(true);
        }
        let Some((count, at)) = number(self.bytes(), 1).map_err(|()| ProtocolError::Count)? else { return Ok(false) };
        match usize::try_from(count) {
            Ok(count) if count > ARGS_MAX => return Err(ProtocolError::Count),
            Ok(0) | Err(_) => self.skip(at),
            Ok(left) => self.state = State::Header { left, at },
        }
        Ok(true)
    }

    /// Looks for the end of a line, and takes it apart.
    fn line(&mut self, seen: usize) -> Result<bool, ProtocolError> {
        let bytes = &self.buffer[self.start..];
        let Some(length) = bytes[seen..].iter().position(|byte| *byte == b'\n').map(|at| seen + at) else {
            if bytes.len() > INLINE_BYTES_MAX {
                return Err(ProtocolError::LineTooLong);
            }
            self.state = State::Line { seen: bytes.len() };
            return Ok(false);
        };
        let line = bytes[..length].strip_suffix(b"\r").unwrap_or(&bytes[..length]);
        if line.len() > INLINE_BYTES_MAX {
            return Err(ProtocolError::LineTooLong);
        }
        inline::split(line, &mut self.words, &mut self.spans).ok_or(ProtocolError::Quotes)?;
        if self.spans.is_empty() {
            self.skip(length + 1);
        } else {
            self.state = State::Whole { end: length + 1 };
        }
        Ok(true)
    }

    /// Looks at a string's header.
    fn header(&mut self, left: usize, at: usize) -> Result<bool, ProtocolError> {
        if left == 0 {
            self.state = State::Whole { end: at };
            return Ok(true);
        }
        // The shortest string takes five bytes, so what was announced cannot fit any more.
        if at + 5 * left > self.bytes_max {
            return Err(ProtocolError::TooLarge { limit: self.bytes_max });
        }
        match self.bytes().get(at) {
            None => return Ok(false),
            Some(b'$') => {}
            Some(&found) => return Err(ProtocolError::NotAString { found }),
        }
        let Some((bytes, at)) = number(self.bytes(), at + 1).map_err(|()| ProtocolError::Length)? else {
            return Ok(false);
        };
        let bytes = usize::try_from(bytes).map_err(|_| ProtocolError::Length)?;
        if bytes > segments::limits::VALUE_BYTES_MAX {
            return Err(ProtocolError::Length);
        }
        if at + bytes + 2 > self.bytes_max {
            return Err(ProtocolError::TooLarge { limit: self.bytes_max });
        }
        self.state = State::Content { left, at, bytes };
        Ok(true)
    }

    /// Takes a string when all of it has come.
    fn content(&mut self, left: usize, at: usize, bytes: usize) -> Result<bool, ProtocolError> {
        let Some(end) = self.bytes().get(at + bytes..at + bytes + 2) else { return Ok(false) };
        if end != b"\r\n" {
            return Err(ProtocolError::NoLineEnd);
        }
        self.spans.push(span(at, bytes));
        self.state = State::Header { left: left - 1, at: at + bytes + 2 };
        Ok(true)
    }
}

/// The number that stands at `at` and ends its line, and where the next line begins; nothing while its end has not come.
fn number(bytes: &[u8], at: usize) -> Result<Option<(i64, usize)>, ()> {
    let rest = &bytes[at..];
    let window = &rest[..rest.len().min(LENGTH_BYTES_MAX + 2)];
    let Some(end) = window.iter().position(|byte| *byte == b'\r') else {
        // Too many digits, or something else than digits: no need to wait for the end of the line.
        let digits = window.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
        return if digits && window.len() <= LENGTH_BYTES_MAX { Ok(None) } else { Err(()) };
    };
    let number = super::number::integer(&window[..end]).ok_or(())?;
    match window.get(end + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((number, at + end + 2))),
        Some(_) => Err(()),
    }
}

#[cfg(test)]
mod tests;
