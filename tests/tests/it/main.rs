//! The one integration binary. Each module is one subject; what they share is the simulator library of this crate.
//!
//! It does not test what a crate can test alone: those tests stand beside the code.

#![expect(clippy::print_stdout, reason = "tests say what they counted and what they skipped")]
#![expect(clippy::unwrap_used, reason = "all of this is tests; clippy by itself sees only functions marked so")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the answer it wants; every other one is a failure")]

mod appends;
mod bad_input;
mod bench;
mod column;
mod conformance;
mod crash;
mod daemon;
mod evolution;
mod failures;
mod flipped;
mod guests;
mod histories;
mod http;
mod interactive;
mod large;
mod metadata;
mod misbehave;
mod once;
mod process;
mod races;
mod readme;
mod redis;
mod seeds;
mod simulator;
mod talk;
mod tidy;
mod told;
mod waits;
