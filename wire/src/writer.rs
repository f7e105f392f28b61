//! From messages to a stream of bytes.
//!
//! Contract: frames stand one behind the other in the order of the calls; a message that would make a frame above the limit is
//! refused and leaves no byte. The caller sends from the front and says how much was taken.

use crate::answer::{Horizon, Outcome, Push};
use crate::header::{Header, Kind};
use crate::hello::{Hello, Welcome};
use crate::limits::{BATCH_OPS_MAX, BUFFER_BYTES_KEPT, HEADER_BYTES};
use crate::message::{BatchReply, Item, Items, Reply};
use crate::op::Op;
use crate::value::{Bytes, List, lift};
use serde::ser::SerializeTuple;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// A message was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WriteError {
    /// Its frame would be larger than the limit.
    #[error("the message needs a frame of {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes of body and tail.
        bytes: u64,
        /// The most there may be.
        limit: u32,
    },
    /// The batch has too many operations.
    #[error("a batch has at most {BATCH_OPS_MAX} operations, this one has {ops}")]
    TooManyOps {
        /// How many.
        ops: usize,
    },
}

/// An element of a batch or of its reply, encoded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    body: Vec<u8>,
    tail: Vec<u8>,
}

impl Element {
    /// Encodes an operation.
    #[must_use]
    pub fn op(mut op: Op<'_>) -> Self {
        let tail = lift(&mut op);
        Self { body: encode(Vec::new(), &op), tail: tail.concat() }
    }

    /// Encodes an outcome.
    #[must_use]
    pub fn outcome(mut outcome: Outcome<'_>) -> Self {
        let tail = lift(&mut outcome);
        Self { body: encode(Vec::new(), &outcome), tail: tail.concat() }
    }

    /// Bytes it takes, to within the few of its lengths.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len() + self.tail.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty() && self.tail.is_empty()
    }
}

/// Gathers frames to be sent.
#[derive(Debug)]
pub struct FrameWriter {
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that have been sent.
    sent: usize,
    frame_bytes_max: u32,
}

impl FrameWriter {
    /// A writer of frames with at most so many bytes of body and tail.
    #[must_use]
    pub fn new(frame_bytes_max: u32) -> Self {
        Self { buffer: Vec::new(), sent: 0, frame_bytes_max }
    }

    /// Changes the limit.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: u32) {
        self.frame_bytes_max = frame_bytes_max;
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

    /// Gives back the memory that is kept for frames to come, when nothing waits.
    pub fn rest(&mut self) {
        if self.is_empty() {
            (self.buffer, self.sent) = (Vec::new(), 0);
        }
    }

    /// All that is to be sent, for a send that owns its buffer.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        let sent = core::mem::take(&mut self.sent);
        let mut buffer = core::mem::take(&mut self.buffer);
        buffer.drain(..sent);
        buffer
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

    /// Writes a hello.
    ///
    /// # Errors
    /// When it is too large, as for all that follow.
    pub fn hello(&mut self, id: u64, hello: &Hello<'_>) -> Result<(), WriteError> {
        self.write(Kind::Hello, id, 0, hello, &[])
    }

    /// Writes a welcome.
    ///
    /// # Errors
    /// When it is too large.
    pub fn welcome(&mut self, id: u64, welcome: &Welcome<'_>) -> Result<(), WriteError> {
        self.write(Kind::Welcome, id, 0, welcome, &[])
    }

    /// Writes one operation.
    ///
    /// # Errors
    /// When it is too large.
    pub fn request(&mut self, id: u64, deadline_ms: u32, mut op: Op<'_>) -> Result<(), WriteError> {
        let tail = lift(&mut op);
        self.write(Kind::Request, id, deadline_ms, &op, &tail)
    }

    /// Writes a batch of operations, each encoded by [`Element::op`].
    ///
    /// # Errors
    /// When there are too many, or it is too large.
    pub fn batch(&mut self, id: u64, deadline_ms: u32, ops: &[Element]) -> Result<(), WriteError> {
        let (items, tail) = gather(ops)?;
        self.write(Kind::Batch, id, deadline_ms, &items, &tail)
    }

    /// Writes the answer to one operation.
    ///
    /// # Errors
    /// When it is too large.
    pub fn reply(&mut self, id: u64, horizon: Horizon, mut outcome: Outcome<'_>) -> Result<(), WriteError> {
        let tail = lift(&mut outcome);
        self.write(Kind::Reply, id, 0, &Reply { horizon, outcome }, &tail)
    }

    /// Writes the answer to one operation, encoded before by [`Element::outcome`].
    ///
    /// # Errors
    /// When it is too large.
    pub fn reply_element(&mut self, id: u64, horizon: Horizon, outcome: &Element) -> Result<(), WriteError> {
        self.write(Kind::Reply, id, 0, &(horizon, Raw(&outcome.body)), &[&outcome.tail])
    }

    /// Writes the answer to a batch: an outcome for each operation, encoded by [`Element::outcome`].
    ///
    /// # Errors
    /// When it is too large.
    pub fn batch_reply(&mut self, id: u64, horizon: Horizon, outcomes: &[Element]) -> Result<(), WriteError> {
        let (items, tail) = gather(outcomes)?;
        self.write(Kind::BatchReply, id, 0, &BatchReply { horizon, items }, &tail)
    }

    /// Writes a push.
    ///
    /// # Errors
    /// When it is too large.
    pub fn push(&mut self, push: Push) -> Result<(), WriteError> {
        self.write(Kind::Push, 0, 0, &push, &[])
    }

    fn write(
        &mut self,
        kind: Kind,
        id: u64,
        deadline_ms: u32,
        body: &impl Serialize,
        tail: &[&[u8]],
    ) -> Result<(), WriteError> {
        if self.sent > 0 {
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEADER_BYTES]);
        self.buffer = encode(core::mem::take(&mut self.buffer), body);
        let body_bytes = self.buffer.len() - start - HEADER_BYTES;
        let tail_bytes: usize = tail.iter().map(|value| value.len()).sum();
        let bytes = (body_bytes + tail_bytes) as u64;
        if bytes > u64::from(self.frame_bytes_max) {
            self.buffer.truncate(start);
            self.buffer.shrink_to(start.max(BUFFER_BYTES_KEPT));
            return Err(WriteError::TooLarge { bytes, limit: self.frame_bytes_max });
        }
        for value in tail {
            self.buffer.extend_from_slice(value);
        }
        let header = Header {
            kind: kind.number(),
            flags: 0,
            body_bytes: u32::try_from(body_bytes).expect("within the limit, which is a u32"),
            tail_bytes: u32::try_from(tail_bytes).expect("within the limit, which is a u32"),
            deadline_ms,
            id,
        };
        self.buffer[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
        Ok(())
    }
}

/// Bytes that are encoded already and stand for themselves.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A tuple has no length in front of it, and a byte stands for itself.
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for byte in self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}

fn encode(buffer: Vec<u8>, message: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(message, buffer).expect("memory has room, and every length is known before its elements")
}

fn gather(elements: &[Element]) -> Result<(Items<'_>, Vec<&[u8]>), WriteError> {
    let item = |element: &'_ Element| u32::try_from(element.tail.len()).unwrap_or(u32::MAX);
    let items = elements.iter().map(|element| Item { body: Bytes(&element.body), tail_bytes: item(element) }).collect();
    let items = List::new(items).ok_or(WriteError::TooManyOps { ops: elements.len() })?;
    Ok((Items(items), elements.iter().map(|element| element.tail.as_slice()).collect()))
}
