//! Replies as bytes, in the dialect that the client chose: RESP2, or RESP3 after `HELLO 3`.
//!
//! Contract: what RESP2 lacks is written as what Redis writes there: a map as an array of twice its length, a truth as 0 or 1, a
//! double as a string, null as the null string or the null array.

use super::number;

/// The dialect of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// Strings, integers, errors and arrays.
    #[default]
    Resp2,
    /// Maps, truths, doubles, one null and pushes beside them.
    Resp3,
}

/// What an idle connection keeps of its buffer.
const BUFFER_BYTES_KEPT: usize = 4 << 10;

/// Gathers replies to be sent.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that have been sent.
    sent: usize,
    dialect: Dialect,
}

impl Writer {
    /// A writer of this dialect.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, ..Self::default() }
    }

    /// The dialect that it writes.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Changes the dialect for what follows.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// What is to be sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.sent..]
    }

    /// Number of bytes to be sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.sent
    }

    /// Whether nothing is to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says that the first `count` bytes have been sent.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "{count} bytes sent of {}", self.len());
        self.sent += count;
        if self.sent == self.buffer.len() {
            self.sent = 0;
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        }
    }

    /// Appends what another writer wrote.
    pub fn append(&mut self, other: &Self) {
        self.reclaim();
        self.buffer.extend_from_slice(other.bytes());
    }

    /// Gives back the memory that is kept for replies to come, when nothing waits.
    pub fn rest(&mut self) {
        if self.is_empty() {
            (self.buffer, self.sent) = (Vec::new(), 0);
        }
    }

    /// Drops everything that is not sent.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.sent = 0;
    }

    /// Drops what was sent once it is the larger part, so that a reader who is always a little behind costs no memory.
    fn reclaim(&mut self) {
        if self.sent > self.len() && self.sent > BUFFER_BYTES_KEPT {
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
    }

    fn head(&mut self, mark: u8, count: usize) {
        self.buffer.push(mark);
        number::push(&mut self.buffer, i64::try_from(count).expect("a count of things in memory"));
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A short text without a line end.
    pub fn simple(&mut self, text: &str) {
        self.buffer.push(b'+');
        self.buffer.extend_from_slice(text.as_bytes());
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// An error: its first word is its kind. Line ends inside are written as spaces.
    pub fn error(&mut self, text: &str) {
        self.buffer.push(b'-');
        let plain = |byte: u8| if byte == b'\r' || byte == b'\n' { b' ' } else { byte };
        self.buffer.extend(text.bytes().map(plain));
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.buffer.push(b':');
        number::push(&mut self.buffer, value);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A count.
    pub fn count(&mut self, count: usize) {
        self.integer(i64::try_from(count).expect("a count of things in memory"));
    }

    /// A string of any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.head(b'$', bytes.len());
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A string of any bytes, or null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// Text for people, which RESP3 marks as such.
    pub fn verbatim(&mut self, text: &str) {
        if self.dialect == Dialect::Resp2 {
            return self.bulk(text.as_bytes());
        }
        self.head(b'=', text.len() + 4);
        self.buffer.extend_from_slice(b"txt:");
        self.buffer.extend_from_slice(text.as_bytes());
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// Nothing, where a string might stand.
    pub fn null(&mut self) {
        self.buffer.extend_from_slice(if self.dialect == Dialect::Resp2 { b"$-1\r\n" } else { b"_\r\n" });
    }

    /// Nothing, where an array might stand.
    pub fn null_array(&mut self) {
        self.buffer.extend_from_slice(if self.dialect == Dialect::Resp2 { b"*-1\r\n" } else { b"_\r\n" });
    }

    /// An array whose elements follow.
    pub fn array(&mut self, count: usize) {
        self.head(b'*', count);
    }

    /// A map whose keys and values follow in turn.
    pub fn map(&mut self, pairs: usize) {
        match self.dialect {
            Dialect::Resp2 => self.head(b'*', pairs * 2),
            Dialect::Resp3 => self.head(b'%', pairs),
        }
    }

    /// A set whose elements follow.
    pub fn set(&mut self, count: usize) {
        self.head(if self.dialect == Dialect::Resp2 { b'*' } else { b'~' }, count);
    }

    /// A message that no request asked for, whose elements follow.
    pub fn push(&mut self, count: usize) {
        self.head(if self.dialect == Dialect::Resp2 { b'*' } else { b'>' }, count);
    }

    /// A truth.
    pub fn truth(&mut self, value: bool) {
        match self.dialect {
            Dialect::Resp2 => self.integer(i64::from(value)),
            Dialect::Resp3 => self.buffer.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// A number that is no integer.
    pub fn double(&mut self, value: f64) {
        let text = number::float_text(value);
        match self.dialect {
            Dialect::Resp2 => self.bulk(text.as_bytes()),
            Dialect::Resp3 => {
                self.buffer.push(b',');
                self.buffer.extend_from_slice(text.as_bytes());
                self.buffer.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
mod tests;
