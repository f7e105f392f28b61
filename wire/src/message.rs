//! From a frame to its message. Everything is borrowed from the frame; leftovers are refused.

use crate::answer::{Answer, Fault, Horizon, Outcome, Push};
use crate::error::DecodeError;
use crate::hello::{Hello, Welcome};
use crate::limits::BATCH_OPS_MAX;
use crate::op::Op;
use crate::reader::Frame;
use crate::value::{Bytes, List, Valued, lower};
use serde::{Deserialize, Serialize};

/// One element of a batch or of its reply: an encoded [`Op`] or [`Outcome`], and how much of the frame's tail is its own. An
/// element that cannot be decoded does not spoil its neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item<'a> {
    /// The element, encoded.
    #[serde(borrow)]
    pub body: Bytes<'a>,
    /// Bytes of the tail that are its own, behind those of the elements before it.
    pub tail_bytes: u32,
}

/// An element as it came: its body and its part of the tail.
pub type Encoded<'a> = (&'a [u8], &'a [u8]);

/// The elements of a batch: the body of a frame of kind `Batch`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Items<'a>(#[serde(borrow)] pub List<Item<'a>, BATCH_OPS_MAX>);

/// The body of a frame of kind `Reply`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reply<'a> {
    /// Up to where the domain is persistent.
    pub horizon: Horizon,
    /// How the operation ended.
    #[serde(borrow)]
    pub outcome: Outcome<'a>,
}

/// The body of a frame of kind `BatchReply`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchReply<'a> {
    /// Up to where the domain is persistent.
    pub horizon: Horizon,
    /// An encoded [`Outcome`] for each operation of the batch, in the batch's order.
    #[serde(borrow)]
    pub items: Items<'a>,
}

impl<'a> Frame<'a> {
    /// The body of a `Hello`.
    ///
    /// # Errors
    /// When it is none.
    pub fn hello(&self) -> Result<Hello<'a>, DecodeError> {
        self.no_tail()?;
        whole(self.body)
    }

    /// The body of a `Welcome`.
    ///
    /// # Errors
    /// When it is none.
    pub fn welcome(&self) -> Result<Welcome<'a>, DecodeError> {
        self.no_tail()?;
        whole(self.body)
    }

    /// The body of a `Request`.
    ///
    /// # Errors
    /// When it is none.
    pub fn op(&self) -> Result<Op<'a>, DecodeError> {
        Op::decode(self.body, self.tail)
    }

    /// The elements of a `Batch`: body and tail of each.
    ///
    /// # Errors
    /// When the frame as a whole is malformed. An element is decoded by [`Op::decode`], each with its own result.
    pub fn batch(&self) -> Result<Vec<Encoded<'a>>, DecodeError> {
        let items: Items<'a> = whole(self.body)?;
        split(&items, self.tail)
    }

    /// The body of a `Reply`.
    ///
    /// # Errors
    /// When it is none.
    pub fn reply(&self) -> Result<Reply<'a>, DecodeError> {
        let mut reply: Reply<'a> = whole(self.body)?;
        lower(&mut reply.outcome, self.tail)?;
        Ok(reply)
    }

    /// The horizon and the elements of a `BatchReply`: body and tail of each, for [`Outcome::decode`].
    ///
    /// # Errors
    /// When the frame as a whole is malformed.
    pub fn batch_reply(&self) -> Result<(Horizon, Vec<Encoded<'a>>), DecodeError> {
        let reply: BatchReply<'a> = whole(self.body)?;
        Ok((reply.horizon, split(&reply.items, self.tail)?))
    }

    /// The body of a `Push`.
    ///
    /// # Errors
    /// When it is none, or a push that this version does not know (which a client skips).
    pub fn push(&self) -> Result<Push, DecodeError> {
        self.no_tail()?;
        known_variant(self.body, 1)?;
        whole(self.body)
    }

    fn no_tail(&self) -> Result<(), DecodeError> {
        if self.tail.is_empty() { Ok(()) } else { Err(DecodeError::Tail) }
    }
}

impl<'a> Op<'a> {
    /// The operation in these bytes.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for a verb of a later version.
    pub fn decode(body: &'a [u8], tail: &'a [u8]) -> Result<Self, DecodeError> {
        known_variant(body, Op::NAMES.len())?;
        with_tail(body, tail)
    }
}

impl<'a> Outcome<'a> {
    /// The outcome in these bytes.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(body: &'a [u8], tail: &'a [u8]) -> Result<Self, DecodeError> {
        with_tail(body, tail)
    }

    /// As a result.
    ///
    /// # Errors
    /// The fault.
    pub fn into_result(self) -> Result<Answer<'a>, Fault<'a>> {
        match self {
            Self::Ok(answer) => Ok(answer),
            Self::Err(fault) => Err(fault),
        }
    }
}

fn with_tail<'a, T: Deserialize<'a> + Valued<'a>>(body: &'a [u8], tail: &'a [u8]) -> Result<T, DecodeError> {
    let mut message: T = whole(body)?;
    lower(&mut message, tail)?;
    Ok(message)
}

/// Decodes all of `bytes`.
fn whole<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (message, rest) = postcard::take_from_bytes(bytes).map_err(|_| DecodeError::Malformed)?;
    if rest.is_empty() { Ok(message) } else { Err(DecodeError::Leftover { bytes: rest.len() }) }
}

/// Looks at an enum's number first, so that one of a later version is told apart from garbage.
fn known_variant(bytes: &[u8], count: usize) -> Result<(), DecodeError> {
    let (number, _) = postcard::take_from_bytes::<u32>(bytes).map_err(|_| DecodeError::Malformed)?;
    if (number as usize) < count { Ok(()) } else { Err(DecodeError::Unknown { number }) }
}

/// Gives each element its part of the tail; all of the tail must be some element's.
fn split<'a>(items: &Items<'a>, tail: &'a [u8]) -> Result<Vec<Encoded<'a>>, DecodeError> {
    let mut rest = tail;
    let mut elements = Vec::with_capacity(items.0.len());
    for item in items.0.iter() {
        let (own, behind) = rest.split_at_checked(item.tail_bytes as usize).ok_or(DecodeError::Tail)?;
        rest = behind;
        elements.push((item.body.0, own));
    }
    if rest.is_empty() { Ok(elements) } else { Err(DecodeError::Tail) }
}
