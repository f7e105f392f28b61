//! What `MONITOR` shows: the commands of all text connections as they are begun, a line each.
//!
//! Contract: nothing is written down while nobody watches. The latest [`LINES_MAX`] lines are kept, each at most [`LINE_BYTES_MAX`]
//! long; who watches and does not keep up is told how many it has missed, and holds nobody up. A line is made before it is known what
//! becomes of its command. Words that `AUTH` and `HELLO` bring are not shown.

use super::Session;
use super::command::{Call, Spec};
use super::fault::Fault;
use super::task::{Context, Step, Stepped, Task, Work};
use super::writer::Writer;
use super::{Connection, parser::Args};
use crate::acl::Right;
use crate::budget::{Kind, reply_bytes};
use crate::session::World;
use domains::Tick;
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

/// Lines that are kept for those who watch.
const LINES_MAX: usize = 1024;
/// Bytes of a line: with as many as are kept they are 512 KiB.
const LINE_BYTES_MAX: usize = 512;
/// Who has more than this to read is shown nothing more until it has read.
const UNREAD_BYTES_MAX: usize = 256 << 10;

/// The latest commands.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    lines: VecDeque<String>,
    /// The number of the first.
    first: u64,
    /// Connections that watch.
    watchers: BTreeSet<u64>,
    /// Lines have come since the watchers were called.
    news: bool,
}

impl Feed {
    /// A connection watches from now on; the number of the first line that it is shown.
    fn watch(&mut self, connection: u64) -> u64 {
        self.watchers.insert(connection);
        self.end()
    }

    /// A connection watches no more, if it did.
    pub(crate) fn leave(&mut self, connection: u64) {
        self.watchers.remove(&connection);
        if self.watchers.is_empty() {
            (self.first, self.news) = (self.end(), false);
            self.lines = VecDeque::new();
        }
    }

    fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    fn push(&mut self, line: String) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.first += 1;
        }
        self.lines.push_back(line);
        self.news = true;
    }

    /// How many lines from this number on are gone, and those that are there.
    fn from(&self, number: u64) -> (u64, impl Iterator<Item = &String>) {
        let missed = self.first.saturating_sub(number);
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (missed, self.lines.iter().skip(skip))
    }

    /// Whether those who watch are to be called.
    pub(crate) fn has_news(&self) -> bool {
        self.news
    }

    /// They are called now.
    pub(crate) fn told(&mut self) {
        self.news = false;
    }
}

/// A command as a line, cut at its bound.
fn line(spec: &Spec, args: Args<'_>, connection: &Connection, now: Tick) -> String {
    let (seconds, micros) = (now.unix_ms / 1000, now.unix_ms % 1000 * 1000);
    let place = connection.database.map_or_else(|| connection.keyspace.to_string(), |number| number.to_string());
    let mut line = format!("{seconds}.{micros:06} [{} unix:{}]", place.escape_default(), connection.id);
    for (number, arg) in args.from(0).enumerate() {
        // As many bytes as could be shown at most; an escaped one takes up to four.
        let shown = &arg[..arg.len().min(LINE_BYTES_MAX)];
        match (number > 0 && ["AUTH", "HELLO"].contains(&spec.name), line.len() < LINE_BYTES_MAX) {
            (_, false) => break,
            (true, true) => line.push_str(" (redacted)"),
            (false, true) => write!(line, " \"{}\"", shown.escape_ascii()).expect("a string takes everything"),
        }
    }
    if line.len() > LINE_BYTES_MAX {
        // All of it is ASCII but a table's name, which was escaped to it.
        line.truncate(LINE_BYTES_MAX - 3);
        line.push_str("...");
    }
    line
}

impl Session {
    /// Shows a command that is begun to those who watch.
    pub(super) fn show(&self, spec: &Spec, args: Args<'_>, world: &mut World<'_>) {
        let feed = &mut world.shared.feed;
        if !feed.watchers.is_empty() {
            feed.push(line(spec, args, &self.connection, world.now));
        }
    }

    /// What has come since, if this connection watches and reads.
    pub(super) fn show_news(&mut self, world: &mut World<'_>) {
        let Some(number) = self.connection.watches else { return };
        if self.unsent() > UNREAD_BYTES_MAX {
            return;
        }
        let feed = &world.shared.feed;
        let (missed, lines) = feed.from(number);
        let (mut news, end) = (Writer::new(self.connection.dialect), feed.end());
        if missed > 0 {
            news.simple(&format!("{missed} commands were not shown: they came faster than this client reads"));
        }
        lines.for_each(|line| news.simple(line));
        let unsent = self.unsent();
        let more = reply_bytes(unsent + news.len()) - reply_bytes(unsent);
        // Without memory for them they are shown later, or missed.
        if !news.is_empty() && world.memory.raise(Kind::Reply, more) {
            self.out.append(&news);
            self.connection.watches = Some(end);
        }
    }

    /// Whether it is shown the commands of all.
    pub(crate) fn watches(&self) -> bool {
        self.connection.watches.is_some()
    }
}

/// `MONITOR`.
#[derive(Debug)]
struct Monitor;

impl Work for Monitor {
    fn start(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        // It shows what others ask, values included.
        context.guard.server(Right::Admin)?;
        let id = context.connection.id;
        context.connection.watches = Some(context.shared.feed.watch(id));
        reply.simple("OK");
        Ok(Step::Done)
    }
}

/// `MONITOR`.
pub(crate) fn monitor(_connection: &mut Connection, _call: &Call<'_>) -> Result<Task, Fault> {
    Ok(Box::new(Monitor))
}
