//! How changes become atomic, ordered and durable: commit sets, epochs, group commit, notices.
//!
//! Contract: deterministic, no I/O, no clock. A caller brings ticks and completions and carries out what is asked.

pub mod cut;
pub mod epoch;
pub mod lifecycle;
pub mod limits;
pub mod set;

pub use set::{
    Change, CommitSet, Expect, Outgrown, Part, PutOptions, RANGES_FIRST, RangeCompare, SetError, Stage, Staged,
    appended,
};
