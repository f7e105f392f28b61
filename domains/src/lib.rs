//! The domain seam and the engines behind it: persistent, volatile, light.
//!
//! Contract: an operation goes in ([`Domain::submit`]), an answer comes out ([`Domain::take_answers`]); nothing in between
//! blocks, reads a clock or does I/O. Device requests, where a domain has a device, are handed out and their completions
//! brought back by an executor.

pub mod config;
mod engine;
pub mod error;
pub mod index;
pub mod light;
pub mod persistent;
mod ranges;
pub mod remote;
pub mod ring_device;
pub mod schema;
pub mod seam;
mod translate;
pub mod volatile;

pub use engine::Engine;
pub use error::{Error, ErrorKind, Failure};
pub use ranges::{Range, Ranges};
pub use schema::TableSpec;
pub use seam::{
    Answer, Asker, Capabilities, Chain, ChainEnd, CheckpointStatus, ClientId, Committed, Connections, Cursor,
    Direction, Domain, Driven, Followed, Horizon, Identified, KeptCheckpoint, Level, Once, Op, OpId, Pair, PairRef,
    Persistence, REQUEST_WINDOW, ReclaimStatus, Reclaimed, RequestFate, Seen, SegmentRun, SegmentUse, Segments,
    SpaceStatus, StageValue, Status, Stored, TableInfo, TableStatus, Tick, UseStatus, Versions,
};
pub use translate::{is_told, rules_out, spec_in, spec_out};
