//! Who asks.

/// Who asks an operation. Those who contend for a key have it one after the other, and the operations of one asker keep their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Asker {
    /// Nobody in particular: each operation is somebody else's, and keeps no order with others while it waits for its turn.
    #[default]
    Nobody,
    /// A thread of the program that has the domain.
    Thread(u64),
    /// A connection of its server.
    Connection(u64),
}
