//! What a text connection has chosen and begun: dialect, keyspace, level, names, and its transaction.

use super::command::Spec;
use super::parser::Request;
use super::writer::Dialect;
use domains::{Level, Tick};
use segments::Version;
use std::sync::Arc;

/// Databases that `SELECT` knows.
pub(crate) const DATABASES: u8 = 16;

/// A key that a transaction depends on.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) keyspace: Arc<str>,
    pub(crate) key: Box<[u8]>,
    /// What was there.
    pub(crate) seen: Option<Version>,
}

impl Watched {
    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + size_of::<Self>()
    }
}

/// Commands between `MULTI` and `EXEC`.
#[derive(Debug, Default)]
pub(crate) struct Multi {
    pub(crate) commands: Vec<(&'static Spec, Request)>,
    pub(crate) bytes: usize,
    /// One of them was refused, so `EXEC` will be.
    pub(crate) broken: bool,
}

/// The state of a connection that commands see.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) since: Tick,
    pub(crate) dialect: Dialect,
    /// The table that commands without a table's name are about.
    pub(crate) keyspace: Arc<str>,
    /// The number behind `SELECT`; `None` when the table was chosen by name.
    pub(crate) database: Option<u8>,
    /// When updates are answered.
    pub(crate) level: Level,
    /// The same, before it chose.
    level_first: Level,
    pub(crate) name: String,
    pub(crate) library: (String, String),
    pub(crate) multi: Option<Multi>,
    pub(crate) watched: Vec<Watched>,
    /// It is shown the commands of all connections, from this one on.
    pub(crate) watches: Option<u64>,
    /// It said `QUIT`.
    pub(crate) quit: bool,
    /// The last command's name.
    pub(crate) last: &'static str,
}

/// The table behind a database's number.
pub(crate) fn database_table(database: u8) -> Arc<str> {
    format!("redis.{database}").into()
}

/// The database whose table has this name.
pub(crate) fn database_of(table: &str) -> Option<u8> {
    let number = table.strip_prefix("redis.")?;
    let integer = super::number::integer(number.as_bytes())?;
    u8::try_from(integer).ok().filter(|number| *number < DATABASES)
}

impl Connection {
    pub(crate) fn new(id: u64, level: Level, since: Tick) -> Self {
        Self {
            id,
            since,
            dialect: Dialect::Resp2,
            keyspace: database_table(0),
            database: Some(0),
            level,
            level_first: level,
            name: String::new(),
            library: (String::new(), String::new()),
            multi: None,
            watched: Vec::new(),
            watches: None,
            quit: false,
            last: "",
        }
    }

    /// As it was when it began, but for its number.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.id, self.level_first, self.since);
    }

    /// Chooses a database.
    pub(crate) fn select(&mut self, database: u8) {
        self.keyspace = database_table(database);
        self.database = Some(database);
    }

    /// Memory of what it keeps for commands to come. What is put off counts twice: `EXEC` makes a set of it.
    pub(crate) fn held(&self) -> usize {
        let queued = self.multi.as_ref().map_or(0, |multi| 2 * multi.bytes);
        queued + self.watched.iter().map(Watched::bytes).sum::<usize>()
    }

    /// Drops the transaction and what it depends on; `false` when there was none.
    pub(crate) fn discard(&mut self) -> bool {
        self.watched.clear();
        self.multi.take().is_some()
    }

    /// Who it is, for people.
    pub(crate) fn title(&self) -> String {
        format!("{} {} {}", self.name, self.library.0, self.library.1).trim().to_owned()
    }
}
