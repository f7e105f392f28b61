//! The commands about persistence and about whole databases: `WAITAOF`, `BGSAVE`, `LS.FLUSH`, `FLUSHDB`.

use super::command::Call;
use super::connection::{Connection, database_of};
use super::fault::Fault;
use super::shared::Keyspace;
use super::task::{Context, Step, Stepped, Task, Work};
use super::writer::Writer;
use crate::session::after;
use domains::{Answer, Error, Op, Tick};
use std::sync::Arc;
use std::time::Duration;

/// What is said when everything committed so far is persistent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    /// So many copies: one here, none elsewhere.
    Copies,
    /// A word of Redis.
    Word(&'static str),
    /// The epoch up to which it is.
    Epoch,
}

/// A force, waited for until a time.
#[derive(Debug)]
struct Force {
    said: Said,
    patience_ms: u64,
    end: Option<Tick>,
}

impl Work for Force {
    fn start(&mut self, context: &mut Context<'_, '_>, _reply: &mut Writer) -> Stepped {
        if self.patience_ms > 0 {
            self.end = Some(after(context.now, Duration::from_millis(self.patience_ms)));
        }
        context.ask(0, Op::Force);
        Ok(Step::Wait)
    }

    fn answered(
        &mut self,
        _number: u32,
        result: &Result<Answer, Error>,
        context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        let horizon = match result {
            Ok(Answer::Persistent(horizon)) => horizon,
            Ok(other) => unreachable!("a force was asked for, and the answer is {other:?}"),
            Err(error) => return Err(error.clone().into()),
        };
        context.shared.saved_s = context.now.unix_ms / 1000;
        match self.said {
            Said::Copies => copies(1, reply),
            Said::Word(word) => reply.simple(word),
            Said::Epoch => reply.bulk(horizon.persistent.to_string().as_bytes()),
        }
        Ok(Step::Done)
    }

    fn turn(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        if self.end.is_some_and(|end| end.nanos <= context.now.nanos) {
            copies(0, reply);
            return Ok(Step::Done);
        }
        Ok(Step::Wait)
    }

    fn due(&self) -> Option<Tick> {
        self.end
    }
}

fn copies(here: i64, reply: &mut Writer) {
    reply.array(2);
    reply.integer(here);
    reply.integer(0);
}

/// `WAITAOF here elsewhere milliseconds`: there is nothing elsewhere to wait for.
pub(crate) fn waitaof(_connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let (here, elsewhere, patience) = (call.integer(1)?, call.integer(2)?, call.integer(3)?);
    if !(0..=1).contains(&here) || elsewhere < 0 {
        return Err(Fault::Text("ERR value is out of range, must be between 0 and 1"));
    }
    let patience_ms = u64::try_from(patience).map_err(|_| Fault::Text("ERR timeout is negative"))?;
    Ok(Box::new(Force { said: Said::Copies, patience_ms, end: None }))
}

/// `WAIT copies milliseconds`: there are no copies.
pub(crate) fn wait(call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    call.integer(1)?;
    call.integer(2)?;
    out.integer(0);
    Ok(())
}

/// `SAVE` and `BGSAVE`: both answer when everything is persistent.
pub(crate) fn save(_connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let word = if call.args.is(0, "SAVE") { "OK" } else { "Background saving started" };
    Ok(Box::new(Force { said: Said::Word(word), patience_ms: 0, end: None }))
}

/// `LS.FLUSH`.
pub(crate) fn flush(_connection: &mut Connection, _call: &Call<'_>) -> Result<Task, Fault> {
    Ok(Box::new(Force { said: Said::Epoch, patience_ms: 0, end: None }))
}

/// `LASTSAVE`.
#[derive(Debug)]
struct LastSave;

impl Work for LastSave {
    fn start(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        let saved = context.shared.saved_s.max(context.shared.began_s);
        reply.integer(i64::try_from(saved).unwrap_or(i64::MAX));
        Ok(Step::Done)
    }
}

pub(crate) fn lastsave(_connection: &mut Connection, _call: &Call<'_>) -> Result<Task, Fault> {
    Ok(Box::new(LastSave))
}

/// `FLUSHDB` and `FLUSHALL`: the databases' tables are destroyed; each is made again by the next update.
#[derive(Debug)]
struct Empty {
    /// `None`: those that there are.
    names: Option<Vec<Arc<str>>>,
    now: Tick,
    /// It waits for another connection that empties the same.
    parked: bool,
}

impl Empty {
    fn go_on(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        let Some(names) = &self.names else {
            context.ask(0, Op::ListTables);
            return Ok(Step::Wait);
        };
        let Some(name) = names.last() else {
            reply.simple("OK");
            return Ok(Step::Done);
        };
        context.knows(name)?;
        self.parked = matches!(context.shared.keyspace(name), Keyspace::Busy(_));
        if !self.parked {
            context.shared.set_keyspace(name, Keyspace::Busy(context.connection.id));
            context.ask(1, Op::DestroyTable { name: name.to_string() });
        }
        Ok(Step::Wait)
    }
}

impl Work for Empty {
    fn start(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        self.go_on(context, reply)
    }

    fn answered(
        &mut self,
        _number: u32,
        result: &Result<Answer, Error>,
        context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        if let Ok(Answer::Tables(tables)) = result {
            let databases = tables.iter().filter(|table| database_of(&table.name).is_some());
            self.names = Some(databases.map(|table| table.name.as_str().into()).collect());
            return self.go_on(context, reply);
        }
        let Some(name) = self.names.as_mut().and_then(Vec::pop) else {
            return Err(result.clone().err().unwrap_or(Error::Closing).into());
        };
        context.shared.set_keyspace(&name, Keyspace::Unknown);
        match result {
            Ok(Answer::Done) | Err(Error::NoSuchTable { .. }) => self.go_on(context, reply),
            Ok(other) => unreachable!("a table was destroyed, and the answer is {other:?}"),
            Err(error) => Err(error.clone().into()),
        }
    }

    fn turn(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        if self.parked { self.go_on(context, reply) } else { Ok(Step::Wait) }
    }

    fn due(&self) -> Option<Tick> {
        self.parked.then(|| after(self.now, Duration::from_millis(1)))
    }
}

pub(crate) fn flushdb(connection: &mut Connection, _call: &Call<'_>) -> Result<Task, Fault> {
    if connection.database.is_none() {
        let instead = "use LS.TABLE DROP, or SELECT a database first";
        return Err(Fault::Unserved { what: "FLUSHDB of a table chosen by name", instead });
    }
    let names = Some(vec![Arc::clone(&connection.keyspace)]);
    Ok(Box::new(Empty { names, now: Tick::default(), parked: false }))
}

pub(crate) fn flushall(_connection: &mut Connection, _call: &Call<'_>) -> Result<Task, Fault> {
    Ok(Box::new(Empty { names: None, now: Tick::default(), parked: false }))
}
