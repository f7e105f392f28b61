//! From a socket to an operation and back: the native protocol's server side.
//!
//! Contract: a connection's requests become operations of one domain, in order; each is answered once, to that connection or
//! to nobody. What a peer sends can cost that peer its connection and nobody else anything.
//!
//! Inside out: a session is one connection without a socket (`session`), with its requests (`calls`) and transactions
//! (`transactions`); `sessions` is all of them, with the memory that they share (`budget`), whose turn it is (`fair`) and what each may
//! do (`gate`, by the rules of [`acl`]); [`SocketFront`] puts them on a shard's ring. Only the front knows sockets, only the caller of the shard knows a clock.

pub mod acl;
pub mod front;
pub mod fuzz;
pub mod limits;
pub mod serve;

mod budget;
mod calls;
mod convert;
mod fair;
mod faults;
mod gate;
mod http;
mod metrics;
mod peer;
pub mod resp;
mod session;
mod sessions;
mod transactions;

pub use front::{SocketFront, Visitors};
pub use limits::Limits;
pub use serve::{Ready, ServeConfig, serve};
pub use session::Facts;
