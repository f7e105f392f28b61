//! A transactional table store: embedded, or shared through a Unix socket, with one API.

pub mod backend;
pub mod error;

pub use error::{Error, OpenError};
