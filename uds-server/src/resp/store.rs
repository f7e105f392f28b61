//! The commands on tables by name: what the store has and Redis has no words for.
//!
//! Keys and records are bytes here, as the table has them: a typed table's record is its envelope (`design/schema.md`).

use super::command::Call;
use super::connection::{Connection, database_of};
use super::expiry;
use super::fault::{Fault, quoted};
use super::task::{Context, Found, OPENING, Opening, Step, Stepped, Task, Work};
use super::words::{self, Set};
use super::writer::Writer;
use crate::limits::NEXT_BYTES_MAX;
use domains::{Answer, Cursor, Direction, Error, Followed, Level, Op, Pair, Tick};
use segments::{TableId, Version};
use std::sync::Arc;
use txn::{CommitSet, Expect, PutOptions};

/// Pairs of one `LS.NEXT`.
const PAIRS_MAX: u32 = 4096;
/// Pairs of one `LS.NEXT` that does not say how many.
const PAIRS_DEFAULT: u32 = 10;

/// What is asked of the tables, once their ids are known.
#[derive(Clone, Debug)]
enum Ask {
    /// `LS.GET`.
    Get { key: Vec<u8> },
    /// `LS.VERIFY`.
    Verify { key: Vec<u8> },
    /// `LS.NEXT`.
    Next { from: Cursor, direction: Direction, pairs_max: u32 },
    /// `LS.FOLLOW`.
    Follow { key: Vec<u8>, field: u16 },
    /// `LS.PUT` and `LS.CAS`.
    Commit { parts: Vec<Set>, level: Level },
    /// `LS.USE`: no more than that the table is there.
    Use,
}

/// A command on one table, or on several.
#[derive(Debug)]
struct OnTables {
    names: Vec<Arc<str>>,
    tables: Vec<TableId>,
    opening: Option<Opening>,
    ask: Ask,
    now: Tick,
}

impl OnTables {
    fn task(names: Vec<Arc<str>>, ask: Ask) -> Task {
        Box::new(Self { names, tables: Vec::new(), opening: None, ask, now: Tick::default() })
    }

    /// On the table that the first argument names.
    fn one(call: &Call<'_>, ask: Ask) -> Result<Task, Fault> {
        Ok(Self::task(vec![words::table(call.at(1))?], ask))
    }

    /// Finds the tables that are not found yet, then asks.
    fn go_on(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        while self.tables.len() < self.names.len() {
            let name = &self.names[self.tables.len()];
            let mut opening = match &self.ask {
                Ask::Use => Opening::new(Arc::clone(name), false),
                Ask::Commit { .. } if database_of(name).is_some() => Opening::new(Arc::clone(name), true),
                Ask::Get { .. } | Ask::Verify { .. } | Ask::Next { .. } | Ask::Follow { .. } | Ask::Commit { .. } => {
                    Opening::of_any_kind(Arc::clone(name))
                }
            };
            let found = opening.begin(context)?;
            self.opening = Some(opening);
            match found {
                Some(found) => self.found(found)?,
                None => return Ok(Step::Wait),
            }
        }
        self.ask(context, reply)
    }

    fn found(&mut self, found: Found) -> Result<(), Fault> {
        self.opening = None;
        let name = &self.names[self.tables.len()];
        match found {
            Found::Table(table) => self.tables.push(table),
            Found::Nothing => return Err(Error::NoSuchTable { name: name.to_string() }.into()),
        }
        Ok(())
    }

    fn ask(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        let table = self.tables[0];
        let op = match self.ask.clone() {
            Ask::Get { key } => Op::Lookup { table, key },
            Ask::Verify { key } => Op::Verify { table, key },
            Ask::Next { from, direction, pairs_max } => {
                Op::Next { table, from, until: None, direction, pairs_max, bytes_max: NEXT_BYTES_MAX }
            }
            Ask::Follow { key, field } => Op::Follow { table, key, field },
            Ask::Commit { parts, level } => {
                let mut set = CommitSet::new();
                for part in &parts {
                    part.add_to(&mut set, self.tables[part.table])?;
                }
                super::strings::commit(0, set, level, context);
                return Ok(Step::Wait);
            }
            Ask::Use => {
                context.connection.keyspace = Arc::clone(&self.names[0]);
                context.connection.database = database_of(&self.names[0]);
                reply.simple("OK");
                return Ok(Step::Done);
            }
        };
        context.ask(0, op);
        Ok(Step::Wait)
    }

    fn say(&self, answer: &Answer, reply: &mut Writer) {
        match (answer, &self.ask) {
            (Answer::Stored(stored), _) => reply.integer(stored.is_some().into()),
            (Answer::Pair(None), _) => reply.null_array(),
            (Answer::Pair(Some(pair)), _) => write_pair(pair, reply),
            (Answer::Pairs { pairs, .. }, _) => {
                reply.array(pairs.len());
                pairs.iter().for_each(|pair| write_pair(pair, reply));
            }
            (Answer::Followed(Followed::Found { from, to }), _) => {
                reply.array(2);
                write_pair(from, reply);
                write_pair(to, reply);
            }
            (Answer::Followed(Followed::Null { from } | Followed::Dangling { from, .. }), _) => {
                reply.array(2);
                write_pair(from, reply);
                reply.null_array();
            }
            (Answer::Followed(Followed::Absent), _) => reply.null_array(),
            (Answer::Committed(committed), _) => {
                let versions = committed.versions.as_slice();
                reply.array(versions.len());
                versions.iter().for_each(|version| write_version(*version, reply));
            }
            (other, ask) => unreachable!("{ask:?} was asked, and the answer is {other:?}"),
        }
    }
}

/// Key, record, version, and when it goes.
fn write_pair(pair: &Pair, reply: &mut Writer) {
    reply.array(4);
    reply.bulk(&pair.key);
    reply.bulk(&pair.value);
    write_version(pair.version, reply);
    match pair.expires_ms {
        Some(at) => reply.integer(i64::try_from(at).unwrap_or(i64::MAX)),
        None => reply.null(),
    }
}

fn write_version(version: Version, reply: &mut Writer) {
    reply.bulk(version.to_string().as_bytes());
}

impl Work for OnTables {
    fn start(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        self.go_on(context, reply)
    }

    fn answered(
        &mut self,
        number: u32,
        result: &Result<Answer, Error>,
        context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        if number == OPENING {
            let opening = self.opening.as_mut().expect("a table was opened, so one was looked for");
            let Some(found) = opening.answered(result, context)? else { return Ok(Step::Wait) };
            self.found(found)?;
            return self.go_on(context, reply);
        }
        match result {
            Ok(Answer::Stored(Some(stored))) if stored.value_crc != stored.crc_here() => {
                let why = "the value differs from its checksum where it arrived";
                Err(Error::CorruptRecord { table: self.tables[0], page: 0, why }.into())
            }
            Ok(answer) => {
                self.say(answer, reply);
                Ok(Step::Done)
            }
            Err(Error::CompareFailed { .. }) => {
                reply.null_array();
                Ok(Step::Done)
            }
            Err(error) => {
                if let Error::TableGone { table } = error {
                    context.shared.forget_table(*table);
                }
                Err(error.clone().into())
            }
        }
    }

    fn turn(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        let Some(opening) = &mut self.opening else { return Ok(Step::Wait) };
        let Some(found) = opening.turn(context)? else { return Ok(Step::Wait) };
        self.found(found)?;
        self.go_on(context, reply)
    }

    fn due(&self) -> Option<Tick> {
        self.opening.as_ref().and_then(|opening| opening.due(self.now))
    }
}

/// `LS.USE table`: what `GET`, `SET` and the others are about from here on.
pub(crate) fn use_table(_connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    OnTables::one(call, Ask::Use)
}

/// `LS.GET table key`.
pub(crate) fn get(_connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    OnTables::one(call, Ask::Get { key: call.at(2).to_vec() })
}

/// `LS.VERIFY key`: a key of the present keyspace.
pub(crate) fn verify(connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let ask = Ask::Verify { key: call.at(1).to_vec() };
    Ok(OnTables::task(vec![Arc::clone(&connection.keyspace)], ask))
}

/// `LS.NEXT table START|AFTER key|FROM key [COUNT count] [PREVIOUS]`.
pub(crate) fn next(_connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let key = || call.args.get(3).map(<[u8]>::to_vec).ok_or(Fault::Syntax);
    let (from, mut at) = match (call.args.is(2, "START"), call.args.is(2, "AFTER"), call.args.is(2, "FROM")) {
        (true, ..) => (Cursor::Start, 3),
        (_, true, _) => (Cursor::Past(key()?), 4),
        (_, _, true) => (Cursor::At(key()?), 4),
        (false, false, false) => {
            return Err(Fault::Malformed { found: quoted(call.at(2)), want: "START, AFTER key or FROM key" });
        }
    };
    let (mut pairs_max, mut direction) = (PAIRS_DEFAULT, Direction::Next);
    while at < call.len() {
        if call.args.is(at, "PREVIOUS") {
            direction = Direction::Previous;
            at += 1;
        } else if call.args.is(at, "COUNT") && at + 1 < call.len() {
            let count =
                u32::try_from(call.integer(at + 1)?).ok().filter(|count| *count > 0).ok_or(Fault::NotInteger)?;
            pairs_max = count.min(PAIRS_MAX);
            at += 2;
        } else {
            return Err(Fault::Syntax);
        }
    }
    OnTables::one(call, Ask::Next { from, direction, pairs_max })
}

/// `LS.FOLLOW table key field`: the field's position among the record's.
pub(crate) fn follow(_connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let field = u16::try_from(call.integer(3)?).map_err(|_| Fault::NotInteger)?;
    OnTables::one(call, Ask::Follow { key: call.at(2).to_vec(), field })
}

/// Takes a word that is a flag of the record into the options; false when it is none.
fn flag(call: &Call<'_>, at: usize, options: &mut PutOptions) -> bool {
    let (compressed, compact) = (call.args.is(at, "COMPRESSED"), call.args.is(at, "COMPACT"));
    options.compressed |= compressed;
    options.compact |= compact;
    compressed || compact
}

/// `LS.PUT table key record [ABSENT|PRESENT|version] [COMPRESSED] [COMPACT] [EX …]`.
pub(crate) fn put(connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let (mut expect, mut options, mut at) = (Expect::Any, PutOptions::default(), 4);
    let flag_first = at < call.len() && flag(call, at, &mut options);
    if at < call.len() && !flag_first && expiry::parse(call, at)?.is_none() {
        expect = words::expect(call.at(at))?;
        at += 1;
    }
    while at < call.len() && flag(call, at, &mut options) {
        at += 1;
    }
    if at < call.len() {
        let (expiry, words) = expiry::parse(call, at)?.ok_or(Fault::Syntax)?;
        options.expires_ms = expiry.at();
        at += words;
        if options.expires_ms.is_none() {
            return Err(Fault::Syntax);
        }
    }
    if at != call.len() {
        return Err(Fault::Syntax);
    }
    let key = call.at(2).to_vec();
    let compare = Set { table: 0, key: key.clone(), change: words::Change::Compare(expect) };
    let put = Set { table: 0, key, change: words::Change::Put(call.at(3).to_vec(), options) };
    OnTables::one(call, Ask::Commit { parts: vec![compare, put], level: connection.level })
}

/// `LS.CAS count (table key expectation) … THEN (PUT table key record | DEL table key) …`.
pub(crate) fn cas(connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let (names, parts) = words::cas(call)?;
    Ok(OnTables::task(names, Ask::Commit { parts, level: connection.level }))
}

/// What others serve under such a name, and what there is here instead.
pub(crate) fn later(call: &Call<'_>, _out: &mut Writer) -> Result<(), Fault> {
    Err(if call.args.is(0, "LS.CHANGES") {
        Fault::Unserved {
            what: "LS.CHANGES",
            instead: "the log is not kept as a feed; have each transaction also put what it did into an ordered table of your own, and read on in it with LS.NEXT",
        }
    } else {
        Fault::Unserved {
            what: "LS.JOBS",
            instead: "no work outlives its command; what the engine does by itself is counted in GET /metrics",
        }
    })
}
