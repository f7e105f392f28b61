//! What the text connections of a server have in common: which table a keyspace is, where iterations stand, and counts.
//!
//! Contract: a table's id is remembered until a table is renamed or destroyed through this server, or somebody is told that it is
//! gone; while one connection empties a keyspace the others wait, so none of them updates a table that is about to go.

use super::feed::Feed;
use domains::Tick;
use segments::TableId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Keyspaces that are remembered. One more and all are looked up again.
const KEYSPACES_MAX: usize = 1024;
/// Iterations that are remembered, over all connections: with the longest keys they take 8 MiB.
pub(crate) const CURSORS_MAX: usize = 4096;

/// What is known of a keyspace's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keyspace {
    /// Nothing: ask the domain.
    Unknown,
    /// It is this one.
    At(TableId),
    /// This connection is emptying it: wait.
    Busy(u64),
}

/// Where an iteration stands.
#[derive(Clone, Debug)]
struct Position {
    cursor: u64,
    table: TableId,
    past: Vec<u8>,
}

/// Counts since the server's start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// Connections that spoke RESP.
    pub(crate) connections: u64,
    /// Their commands.
    pub(crate) commands: u64,
    /// Commands that were answered with an error.
    pub(crate) errors: u64,
    /// Keys looked up and found, and not found.
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl Counters {
    /// A key was looked up.
    pub(crate) fn looked(&mut self, found: bool) {
        *if found { &mut self.hits } else { &mut self.misses } += 1;
    }
}

/// What the text connections share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    keyspaces: BTreeMap<Arc<str>, Keyspace>,
    cursors: VecDeque<Position>,
    cursor_last: u64,
    pub(crate) counters: Counters,
    pub(crate) feed: Feed,
    /// Connections at present, of all protocols.
    pub(crate) clients: usize,
    /// When the server began, and when somebody last asked for a save and had it; seconds since the Unix epoch.
    pub(crate) began_s: u64,
    pub(crate) saved_s: u64,
}

impl Shared {
    /// A connection was made: the first tells when the server began.
    pub(crate) fn begin(&mut self, now: Tick) {
        if self.began_s == 0 {
            self.began_s = now.unix_ms / 1000;
        }
    }

    pub(crate) fn keyspace(&self, name: &str) -> Keyspace {
        self.keyspaces.get(name).copied().unwrap_or(Keyspace::Unknown)
    }

    pub(crate) fn set_keyspace(&mut self, name: &Arc<str>, keyspace: Keyspace) {
        if keyspace == Keyspace::Unknown {
            self.keyspaces.remove(name);
            return;
        }
        if self.keyspaces.len() >= KEYSPACES_MAX {
            self.forget_names();
        }
        self.keyspaces.insert(Arc::clone(name), keyspace);
    }

    /// Tables were renamed or destroyed: whoever knew one by name looks again.
    pub(crate) fn forget_names(&mut self) {
        self.keyspaces.retain(|_, known| matches!(known, Keyspace::Busy(_)));
    }

    /// A connection has ended: nobody waits for it any more.
    pub(crate) fn ended(&mut self, connection: u64) {
        self.keyspaces.retain(|_, known| *known != Keyspace::Busy(connection));
        self.feed.leave(connection);
    }

    /// The table is gone: whoever knew it by name looks again.
    pub(crate) fn forget_table(&mut self, table: TableId) {
        self.keyspaces.retain(|_, known| *known != Keyspace::At(table));
    }

    /// Remembers a position under a new cursor; the oldest is forgotten for it.
    pub(crate) fn keep_cursor(&mut self, table: TableId, past: Vec<u8>) -> u64 {
        if self.cursors.len() == CURSORS_MAX {
            self.cursors.pop_front();
        }
        self.cursor_last += 1;
        self.cursors.push_back(Position { cursor: self.cursor_last, table, past });
        self.cursor_last
    }

    /// The position behind a cursor, which may be asked for again.
    pub(crate) fn cursor(&self, table: TableId, cursor: u64) -> Option<&[u8]> {
        let at = self.cursors.binary_search_by_key(&cursor, |position| position.cursor).ok()?;
        Some(&self.cursors[at]).filter(|position| position.table == table).map(|position| position.past.as_slice())
    }
}
