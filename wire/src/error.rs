//! Why bytes are not a message: errors of the stream, which end the connection, and errors of one body, which do not.

use thiserror::Error;

/// The stream cannot be cut into frames any more. The connection must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum FrameError {
    /// The bytes do not begin with the mark of a frame.
    #[error("a frame begins with {:#04x}, this begins with {found:#04x}", crate::MARK)]
    Mark {
        /// The first byte.
        found: u8,
    },
    /// The header announces more than the limit.
    #[error("the frame has {bytes} bytes, the limit is {limit}; send large commits through an interactive transaction")]
    TooLarge {
        /// The frame's correlation id.
        id: u64,
        /// Bytes of its body and tail.
        bytes: u64,
        /// The most that is taken.
        limit: u32,
    },
}

/// A frame's body is not what its kind says. Only this frame is lost; the connection goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    /// The operation (or outcome, or push) has a number that this version does not know.
    #[error("verb {number} is not known to this version")]
    Unknown {
        /// Its number.
        number: u32,
    },
    /// The bytes end too early, hold an unknown variant, a text that is not UTF-8, or a list that is too long.
    #[error("the body is malformed")]
    Malformed,
    /// Bytes are left over.
    #[error("the body has {bytes} bytes too many")]
    Leftover {
        /// How many.
        bytes: usize,
    },
    /// The tail is not exactly the values that the body says lie there.
    #[error("the tail does not match the body")]
    Tail,
}
