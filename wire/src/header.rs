//! The frame's header: 24 bytes, little endian, in front of every message.
//!
//! ```text
//!  0      1      2          4              8              12               16                      24
//!  | mark | kind | flags    | body bytes   | tail bytes   | deadline ms    | correlation id        | body ... | tail ...
//! ```
//!
//! Contract: the first byte is [`MARK`], at least 0x80, so no text protocol can begin with it; its low four bits are the version
//! of the *header*. Header version and layout of these 24 bytes never change without a new mark. A header's lengths are checked
//! against a limit before anybody allocates anything. Which kinds and flags are known is not the header's business: an unknown
//! one is answered with an error, and the frame is skipped whole.

use crate::limits::HEADER_BYTES;

/// The first byte of every frame: 0xA0 plus the header's version, 1.
pub const MARK: u8 = 0xA1;

/// What a frame is. Numbers are never reused; a client's are below 0x80, a server's are not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The client's first frame: [`Hello`](crate::Hello).
    Hello = 0x01,
    /// One operation: [`Op`](crate::Op).
    Request = 0x02,
    /// Operations that have nothing to do with each other: [`Items`](crate::Items), each an encoded [`Op`](crate::Op).
    Batch = 0x03,
    /// The answer to a hello: [`Welcome`](crate::Welcome).
    Welcome = 0x81,
    /// The answer to anything that is answered with one outcome: [`Reply`](crate::Reply).
    Reply = 0x82,
    /// The answer to a batch: [`BatchReply`](crate::BatchReply).
    BatchReply = 0x83,
    /// Sent unasked: [`Push`](crate::Push).
    Push = 0x84,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Hello, Self::Request, Self::Batch, Self::Welcome, Self::Reply, Self::BatchReply, Self::Push];

    /// The kind of this number, if there is one.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// A [`Kind`]'s number, or one that this version does not know.
    pub kind: u8,
    /// None is defined yet: senders send 0, receivers answer anything else with `Unsupported`.
    pub flags: u16,
    /// Bytes of the body.
    pub body_bytes: u32,
    /// Bytes of the tail.
    pub tail_bytes: u32,
    /// In a request: milliseconds from its arrival after which it is not begun any more, 0 for never. Else 0.
    pub deadline_ms: u32,
    /// The client's name for the request, not 0; the same in its reply. 0 in a push, and in an error that belongs to no request.
    pub id: u64,
}

impl Header {
    /// The header as it travels.
    ///
    /// ```
    /// let header = wire::Header { kind: 2, flags: 0, body_bytes: 3, tail_bytes: 0, deadline_ms: 0, id: 7 };
    /// assert_eq!(wire::Header::decode(&header.encode()), Some(header));
    /// ```
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = MARK;
        bytes[1] = self.kind;
        bytes[2..4].copy_from_slice(&self.flags.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.tail_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.deadline_ms.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    /// The header in these bytes, if they begin with the mark.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        (bytes[0] == MARK).then(|| Self {
            kind: bytes[1],
            flags: u16::from_le_bytes([bytes[2], bytes[3]]),
            body_bytes: u32_at(4),
            tail_bytes: u32_at(8),
            deadline_ms: u32_at(12),
            id: u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32,
        })
    }

    /// Bytes of body and tail together.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        u64::from(self.body_bytes) + u64::from(self.tail_bytes)
    }
}
