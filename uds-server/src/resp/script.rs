//! One command on keys, or all commands between `MULTI` and `EXEC`: read what they look at, run them, commit what they changed.
//!
//! Contract: all or nothing, and what the reply says is what was committed, for everything that was read is compared. When others
//! were faster it is run again, from the reading on. A watched key that has moved ends it with null.

use super::command::{Call, Does, Fast, Keys, Spec};
use super::connection::{Connection, Watched};
use super::fault::Fault;
use super::parser::Request;
use super::task::{Context, Found, OPENING, Opening, Step, Stepped, Work};
use super::view::View;
use super::writer::Writer;
use crate::budget::Kind;
use crate::transactions::memory_of;
use domains::{Answer, Error, Level, Op, Seen, Tick};
use segments::TableId;
use std::collections::BTreeSet;
use std::sync::Arc;
use txn::{CommitSet, Expect};

/// Keys that one operation looks up.
const LOOKUPS_MAX: usize = 4096;
/// What a script counts towards its connection's operations at most: reads of the device take their turns.
const CREDITS_MAX: usize = 256;
/// Bytes of values that one script reads: as many as a commit set has.
const VALUES_BYTES_MAX: usize = txn::limits::SET_BYTES_MAX;
/// How often a script is run before it gives up. Each time somebody else's was applied, and the scripts of as many connections as
/// there may be take turns.
const TRIES_MAX: u32 = 4096;
/// The number under which keys are looked up.
const LOOKUP: u32 = 0;
/// The number under which the set is committed.
pub(super) const COMMIT: u32 = 1;

/// What it waits for.
#[derive(Debug)]
enum State {
    /// For the tables' ids: of those before `at` they are known.
    Opening { opening: Opening, at: usize },
    /// For a lookup of keys, of which the first are read.
    Loading { keys: Vec<Box<[u8]>>, read: usize },
    /// For the commit, whose set takes so much memory.
    Committing { bytes: usize },
}

/// Commands that are carried out as one.
#[derive(Debug)]
pub(crate) struct Script {
    commands: Vec<(&'static Spec, Request)>,
    /// Whether it is a transaction, whose replies stand in an array.
    exec: bool,
    level: Level,
    watched: Vec<Watched>,
    /// The tables: first the one that the commands are about, then those of watched keys.
    tables: Vec<(Arc<str>, Option<TableId>)>,
    state: State,
    view: View,
    tries: u32,
    now: Tick,
}

impl Script {
    /// One command.
    pub(crate) fn single(spec: &'static Spec, request: Request, connection: &Connection) -> Self {
        Self::new(vec![(spec, request)], false, Vec::new(), connection)
    }

    /// One command that was carried out on this table, and whose commit, which takes so much memory, is not answered yet.
    pub(super) fn begun(
        (spec, request): (&'static Spec, Request),
        connection: &Connection,
        (table, bytes): (TableId, usize),
        now: Tick,
    ) -> Self {
        let mut script = Self::single(spec, request, connection);
        (script.tables[0].1, script.state, script.now) = (Some(table), State::Committing { bytes }, now);
        script
    }

    /// A transaction.
    pub(crate) fn transaction(
        commands: Vec<(&'static Spec, Request)>,
        watched: Vec<Watched>,
        connection: &Connection,
    ) -> Self {
        Self::new(commands, true, watched, connection)
    }

    fn new(
        commands: Vec<(&'static Spec, Request)>,
        exec: bool,
        watched: Vec<Watched>,
        connection: &Connection,
    ) -> Self {
        let mut tables = vec![(Arc::clone(&connection.keyspace), None)];
        for watch in &watched {
            if tables.iter().all(|(name, _)| *name != watch.keyspace) {
                tables.push((Arc::clone(&watch.keyspace), None));
            }
        }
        Self {
            commands,
            exec,
            level: connection.level,
            watched,
            tables,
            state: State::Committing { bytes: 0 },
            view: View::default(),
            tries: 0,
            now: Tick::default(),
        }
    }

    /// Whether the table must be there.
    fn writes(&self) -> bool {
        self.commands.iter().any(|(spec, _)| spec.writes())
    }

    /// Finds the tables from the one at `at` on, and goes on to the reading.
    fn open(&mut self, at: usize, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        for at in at..self.tables.len() {
            let name = &self.tables[at].0;
            let create = at == 0 && self.writes() && super::connection::database_of(name).is_some();
            let mut opening = Opening::new(Arc::clone(name), create);
            let found = opening.begin(context)?;
            match found {
                Some(found) => self.found(at, found)?,
                None => {
                    self.state = State::Opening { opening, at };
                    return Ok(Step::Wait);
                }
            }
        }
        self.load(context, reply)
    }

    fn found(&mut self, at: usize, found: Found) -> Result<(), Fault> {
        let (name, table) = &mut self.tables[at];
        *table = match found {
            Found::Table(table) => Some(table),
            Found::Nothing => None,
        };
        let named = super::connection::database_of(name).is_none();
        if at == 0 && table.is_none() && named {
            return Err(Error::NoSuchTable { name: name.to_string() }.into());
        }
        Ok(())
    }

    /// Asks for everything that the commands look at.
    fn load(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.view = View::default();
        let mut keys = BTreeSet::new();
        for (spec, request) in &self.commands {
            if looks(spec, request, context.now.unix_ms) {
                keys.extend(spec.keys(request.args()));
            }
        }
        let keys: Vec<Box<[u8]>> = keys.into_iter().map(Into::into).collect();
        if self.tables[0].1.is_none() {
            for key in &keys {
                self.view.load(key, None);
            }
            return self.run(context, reply);
        }
        if keys.is_empty() {
            return self.run(context, reply);
        }
        if self.look(&keys, context)? {
            return self.run(context, reply);
        }
        self.view = View::default();
        self.state = State::Loading { keys, read: 0 };
        self.ask_lookup(context);
        Ok(Step::Wait)
    }

    /// Takes what memory shows, if it shows all. A script that has all of it commits within the same turn, so nobody can be faster.
    fn look(&mut self, keys: &[Box<[u8]>], context: &mut Context<'_, '_>) -> Result<bool, Fault> {
        let table = self.tables[0].1.expect("only a table that is there is read");
        for key in keys {
            let view = &mut self.view;
            let (memory, had) = (&mut *context.memory, &mut context.had);
            let mut full = false;
            let shown = context.direct.look(table, key, &mut |pair| {
                let bytes = pair.map_or(0, |pair| pair.value.len());
                full = !memory.raise(Kind::Request, bytes);
                if !full {
                    *had += bytes;
                    view.see(key, pair);
                }
            });
            if full {
                return Err(Fault::Memory);
            }
            // A failed look is asked as an operation, whose answer says why.
            if shown != Ok(Seen::Ready) || view.bytes() > VALUES_BYTES_MAX {
                return Ok(false);
            }
        }
        keys.iter().for_each(|key| context.shared.counters.looked(self.view.get(key).is_some()));
        Ok(true)
    }

    /// Asks for as many of the keys that are not read yet as one operation looks up: their reads are in flight together, and they
    /// are seen at one moment.
    fn ask_lookup(&mut self, context: &mut Context<'_, '_>) {
        let State::Loading { keys, read } = &self.state else { unreachable!("keys are asked for in {:?}", self.state) };
        let table = self.tables[0].1.expect("only a table that is there is read");
        let keys = keys[*read..].iter().take(LOOKUPS_MAX).map(|key| key.to_vec()).collect();
        context.ask(LOOKUP, Op::LookupMany { table, keys });
    }

    fn looked_up(
        &mut self,
        result: &Result<Answer, Error>,
        context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        let State::Loading { keys, read } = &mut self.state else {
            unreachable!("keys were looked up in {:?}", self.state)
        };
        let pairs = match result {
            Ok(Answer::Many(pairs)) => pairs,
            Ok(other) => unreachable!("keys were looked up, and the answer is {other:?}"),
            Err(error) => return self.failed(error, context, reply),
        };
        for (key, pair) in keys[*read..].iter().zip(pairs) {
            context.shared.counters.looked(pair.is_some());
            context.take_memory(pair.as_ref().map_or(0, |pair| pair.value.len()))?;
            self.view.load(key, pair.as_ref());
        }
        *read += pairs.len();
        let whole = *read == keys.len();
        if self.view.bytes() > VALUES_BYTES_MAX {
            return Err(Fault::TooMuch { limit: VALUES_BYTES_MAX });
        }
        if whole {
            return self.run(context, reply);
        }
        self.ask_lookup(context);
        Ok(Step::Wait)
    }

    /// Runs the commands and commits what they changed.
    fn run(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        reply.clear();
        if self.exec {
            reply.array(self.commands.len());
        }
        for number in 0..self.commands.len() {
            self.run_one(number, reply)?;
            if reply.len() > context.limits.reply_frame_bytes_max as usize {
                return Err(Fault::TooMuch { limit: context.limits.reply_frame_bytes_max as usize });
            }
        }
        let mut set = CommitSet::new();
        for watch in &self.watched {
            let table = self.tables.iter().find(|(name, _)| *name == watch.keyspace).and_then(|(_, table)| *table);
            match (table, watch.seen) {
                (Some(table), seen) => set.compare(table, &watch.key, seen.map_or(Expect::Absent, Expect::At))?,
                (None, Some(_)) => return Ok(moved(reply)),
                (None, None) => {}
            }
        }
        // What one lookup saw needs no compare, when nothing is made of it.
        let compared = self.view.is_changed() || self.exec && self.view.len() > 1;
        if let (Some(table), true) = (self.tables[0].1, compared) {
            self.view.add_to(&mut set, table)?;
        }
        if set.is_empty() {
            return Ok(Step::Done);
        }
        self.commit(set, context, reply)
    }

    /// Commits: at once where nobody has been faster yet, so that the connection's next command finds it done.
    fn commit(&mut self, set: CommitSet, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        let bytes = 2 * memory_of(&set);
        let op = Op::Commit { set, level: Level::Committed };
        self.state = State::Committing { bytes: 0 };
        if self.tries > 0 {
            context.ask(COMMIT, op);
            return Ok(Step::Wait);
        }
        context.take_memory(bytes)?;
        self.state = State::Committing { bytes };
        match context.ask_now(COMMIT, op) {
            Some(result) => self.committed(&result, context, reply),
            None => Ok(Step::Wait),
        }
    }

    fn committed(
        &mut self,
        result: &Result<Answer, Error>,
        context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        match result {
            Ok(Answer::Committed(committed)) => Ok(Step::after(committed, self.level)),
            Ok(other) => unreachable!("a set was committed, and the answer is {other:?}"),
            Err(error) => self.failed(error, context, reply),
        }
    }

    fn run_one(&mut self, number: usize, reply: &mut Writer) -> Result<(), Fault> {
        let (spec, request) = &self.commands[number];
        let call = Call { args: request.args(), now_ms: self.now.unix_ms };
        let done = match spec.does {
            Does::Read(run, _) | Does::Write(run, _) => run(&call, &mut self.view, reply),
            Does::Say(say) => say(&call, reply),
            Does::Connection(_) | Does::Task(_) | Does::Exec => unreachable!("{} is not put off", spec.name),
        };
        match done {
            Err(why) if self.exec => Err(Fault::Failed { number: number + 1, why: Box::new(why) }),
            done => done,
        }
    }

    /// An operation has failed: the script is run again where that may help.
    fn failed(&mut self, error: &Error, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        if let Error::TableGone { table } = error {
            context.shared.forget_table(*table);
        } else if let Error::CompareFailed { failures } = error {
            let watched = self.watched_parts();
            if failures.iter().any(|failure| (failure.part as usize) < watched) {
                return Ok(moved(reply));
            }
        } else {
            return Err(error.clone().into());
        }
        self.tries += 1;
        if self.tries >= TRIES_MAX {
            return Err(Fault::Contended { tries: self.tries });
        }
        self.open(0, context, reply)
    }

    /// How many of the set's parts are watched keys: the first ones.
    fn watched_parts(&self) -> usize {
        let named =
            |watch: &&Watched| self.tables.iter().any(|(name, table)| *name == watch.keyspace && table.is_some());
        let keys: BTreeSet<_> = self.watched.iter().filter(named).map(|watch| (&watch.keyspace, &watch.key)).collect();
        keys.len()
    }
}

/// A watched key is not as it was.
fn moved(reply: &mut Writer) -> Step {
    reply.clear();
    reply.null_array();
    Step::Done
}

/// Whether a command looks at its keys, or only puts them.
fn looks(spec: &Spec, request: &Request, now_ms: u64) -> bool {
    match spec.does {
        Does::Write(_, Fast::Put(put)) => {
            // The same question as whether it can be one commit; which table does not matter.
            let call = Call { args: request.args(), now_ms };
            !matches!(put(&call, TableId(0)), Ok(Some(blind)) if blind.set.parts().all(|part| part.expect == Expect::Any))
        }
        Does::Read(..) | Does::Write(..) => spec.keys != Keys::None,
        Does::Say(_) | Does::Connection(_) | Does::Task(_) | Does::Exec => false,
    }
}

impl Work for Script {
    fn start(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.open(0, context, reply)
    }

    fn answered(
        &mut self,
        number: u32,
        result: &Result<Answer, Error>,
        context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        match number {
            OPENING => {
                let State::Opening { opening, at } = &mut self.state else {
                    unreachable!("a table was opened in {:?}", self.state)
                };
                let at = *at;
                match opening.answered(result, context)? {
                    None => Ok(Step::Wait),
                    Some(found) => {
                        self.found(at, found)?;
                        self.open(at + 1, context, reply)
                    }
                }
            }
            COMMIT => self.committed(result, context, reply),
            LOOKUP => self.looked_up(result, context, reply),
            other => unreachable!("a script asks nothing under the number {other}"),
        }
    }

    fn turn(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        let State::Opening { opening, at } = &mut self.state else { return Ok(Step::Wait) };
        let at = *at;
        match opening.turn(context)? {
            None => Ok(Step::Wait),
            Some(found) => {
                self.found(at, found)?;
                self.open(at + 1, context, reply)
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        match &self.state {
            State::Opening { opening, .. } => opening.due(self.now),
            State::Loading { .. } | State::Committing { .. } => None,
        }
    }

    fn bytes(&self) -> usize {
        let commands =
            if self.exec { self.commands.iter().map(|(_, request)| request.args().bytes()).sum() } else { 0 };
        let watched: usize = self.watched.iter().map(Watched::bytes).sum();
        let set = if let State::Committing { bytes } = self.state { bytes } else { 0 };
        self.view.bytes() + commands + watched + set
    }

    fn credits(&self) -> usize {
        let keys: usize = self.commands.iter().map(|(_, request)| request.args().len()).sum();
        keys.clamp(1, CREDITS_MAX)
    }
}
