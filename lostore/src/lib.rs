//! A transactional table store: embedded, or shared through a Unix socket, with one API.

mod answer;
pub mod backend;
mod clock;
pub mod error;
#[cfg(test)]
mod fake;
mod inbox;
pub mod inline;
pub mod port;
pub mod shard;
pub mod shared;
mod slots;
mod sync;

pub use error::{Error, OpenError};
