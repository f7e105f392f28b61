//! What a server adds to a domain's figures: its connections. A domain itself has none.

/// How the connections of a server stand, and the memory that they have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Connections {
    /// How many there are.
    pub count: u64,
    /// Memory that all of them together may take.
    pub bytes_max: u64,
    /// Of it, what they hold.
    pub bytes: u64,
    /// Connections that wait for memory.
    pub waiting: u64,
    /// Requests that were refused for want of memory since the start.
    pub refused: u64,
}
