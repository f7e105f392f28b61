//! The native protocol's bytes: frames, verbs, codes. `design/protocol.md` tells the same in tables, for other languages.
//!
//! Contract: bytes in, messages out, and back; no I/O, no state but a [`FrameReader`]'s buffer. Whatever comes from a peer is data:
//! decoding it gives a message or an error, never a panic, and never takes memory that the peer has not paid for in bytes.
//! Decoded messages borrow from their frame.
//!
//! Evolution: enums are appended to, structs never change, an unknown verb is answered with `Unsupported` and the connection
//! goes on. The golden vectors in `tests/wire/v1` hold this version still.
//!
//! Not here: what operations mean (`domains`), who may do them, and in which order they are answered (`uds-server`).

pub mod answer;
pub mod codes;
pub mod error;
pub mod fuzz;
pub mod header;
pub mod hello;
pub mod limits;
pub mod message;
pub mod op;
pub mod reader;
pub mod table;
pub mod value;
pub mod writer;

pub use answer::{
    Answer, ChainEnd, Counter, Failure, Fault, Followed, Horizon, Link, Outcome, Pair, Persistence, Push, Ranges,
    RequestFate, Status, Stored, TableStatus,
};
pub use error::{DecodeError, FrameError};
pub use header::{Header, Kind, MARK};
pub use hello::{
    ConnectionLimits, Cut, FEATURE_ONCE, FEATURE_RULES, FEATURE_SLOTS, FEATURE_STAGES, FEATURES, Hello, Known, VERSION,
    Welcome,
};
pub use message::{BatchReply, Encoded, Item, Items, Reply};
pub use op::{Change, CommitOptions, Cursor, Direction, Expect, Level, Op, Part, Range, Version, write_flag};
pub use reader::{Frame, FrameReader};
pub use table::{Field, FieldType, Rule, Ruled, TableHome, TableInfo, TableKind, TableSpec};
pub use value::{Bytes, List, Value};
pub use writer::{Element, FrameWriter, WriteError};

#[cfg(test)]
mod tests;
