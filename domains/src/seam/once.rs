//! Requests that are applied once: what names one, and what becomes of it.
//!
//! Contract: a commit that is sent again under the same client and request is applied once, and answered as it was the first time. An
//! attempt to apply it that changed nothing (a compare did not hold, nothing had to be changed) is as if it had not come.

use super::Committed;
use std::fmt;

/// How far apart the numbers of a client's requests may be that are under way: the numbers of the last requests that were applied are
/// remembered in so many places, each in that of its number modulo this.
pub const REQUEST_WINDOW: u32 = 256;

/// A client: a number that it has drawn at random and keeps, over connections and its own restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub [u8; 16]);

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientId(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Names a request of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Once {
    /// Whose it is.
    pub client: ClientId,
    /// Of which of the client's connections: what an earlier one has left on its way is refused.
    pub attempt: u64,
    /// The client's number for it, from 1 on.
    pub request: u64,
}

/// The answer to a client that has said who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identified {
    /// Whether its attempt is the last one: else it is refused, and `attempt` says which was.
    pub accepted: bool,
    /// The last attempt that was accepted.
    pub attempt: u64,
    /// The greatest number among the requests that were applied and are remembered; 0 when none is.
    pub last: u64,
    /// For how long the client is remembered at least after it was last heard of, in milliseconds.
    pub idle_ms: u64,
}

/// What has become of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestFate {
    /// It has not been applied, or nothing of it is left: sent again, it is applied.
    NotApplied,
    /// It was applied and stands.
    Applied(Committed),
    /// It can no longer be told: a later request has its place among those that are remembered.
    Forgotten,
}
