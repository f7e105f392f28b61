//! `WATCH`: remembers what is there now, so that `EXEC` can compare it.

use super::command::Call;
use super::connection::{Connection, Watched};
use super::fault::Fault;
use super::task::{Context, Found, OPENING, Opening, Step, Stepped, Task, Work};
use super::writer::Writer;
use domains::{Answer, Error, Op, Tick};
use segments::Version;
use std::sync::Arc;

/// Keys that one connection watches.
const WATCHED_MAX: usize = 1024;
/// Lookups in flight together.
const LOOKUPS_MAX: usize = 256;

#[derive(Debug)]
struct Watch {
    opening: Opening,
    keys: Vec<Box<[u8]>>,
    seen: Vec<Option<Version>>,
    asked: usize,
    waiting: usize,
    failed: Option<Error>,
    now: Tick,
}

impl Watch {
    fn opened(&mut self, found: Found, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        match found {
            Found::Nothing => Ok(self.finish(context, reply)),
            Found::Table(table) => {
                while self.waiting < LOOKUPS_MAX && self.asked < self.keys.len() {
                    let number = u32::try_from(self.asked).expect("a command has at most 2^20 arguments");
                    context.ask(number, Op::Lookup { table, key: self.keys[self.asked].to_vec() });
                    self.asked += 1;
                    self.waiting += 1;
                }
                Ok(Step::Wait)
            }
        }
    }

    fn finish(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Step {
        let keyspace = &self.opening.name;
        for (key, seen) in self.keys.drain(..).zip(self.seen.drain(..)) {
            let same = |watch: &Watched| watch.keyspace == *keyspace && watch.key == key;
            // The first look counts: what moved between two looks has moved.
            if !context.connection.watched.iter().any(same) {
                context.connection.watched.push(Watched { keyspace: Arc::clone(keyspace), key, seen });
            }
        }
        reply.simple("OK");
        Step::Done
    }
}

impl Work for Watch {
    fn start(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        match self.opening.begin(context)? {
            Some(found) => self.opened(found, context, reply),
            None => Ok(Step::Wait),
        }
    }

    fn answered(
        &mut self,
        number: u32,
        result: &Result<Answer, Error>,
        context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        if number == OPENING {
            return match self.opening.answered(result, context)? {
                Some(found) => self.opened(found, context, reply),
                None => Ok(Step::Wait),
            };
        }
        self.waiting -= 1;
        match result {
            Ok(Answer::Pair(pair)) => self.seen[number as usize] = pair.as_ref().map(|pair| pair.version),
            Ok(other) => unreachable!("a key was looked up, and the answer is {other:?}"),
            // Emptied: nothing is there.
            Err(Error::TableGone { table }) => context.shared.forget_table(*table),
            Err(error) => self.failed = Some(error.clone()),
        }
        if self.waiting > 0 {
            return Ok(Step::Wait);
        }
        if let Some(error) = self.failed.take() {
            return Err(error.into());
        }
        if self.asked == self.keys.len() {
            return Ok(self.finish(context, reply));
        }
        match self.opening.begin(context)? {
            Some(found) => self.opened(found, context, reply),
            None => Ok(Step::Wait),
        }
    }

    fn turn(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        match self.opening.turn(context)? {
            Some(found) => self.opened(found, context, reply),
            None => Ok(Step::Wait),
        }
    }

    fn due(&self) -> Option<Tick> {
        self.opening.due(self.now)
    }

    fn bytes(&self) -> usize {
        self.keys.iter().map(|key| key.len() + size_of::<Watched>()).sum()
    }
}

/// `WATCH key …`.
pub(crate) fn watch(connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    if connection.multi.is_some() {
        return Err(Fault::Text("ERR WATCH inside MULTI is not allowed"));
    }
    let keys: Vec<Box<[u8]>> = call.args.from(1).map(Into::into).collect();
    if connection.watched.len() + keys.len() > WATCHED_MAX {
        return Err(Fault::Text("ERR LS0302 a connection watches at most 1024 keys; EXEC or UNWATCH first"));
    }
    let opening = Opening::new(Arc::clone(&connection.keyspace), false);
    let seen = vec![None; keys.len()];
    Ok(Box::new(Watch { opening, keys, seen, asked: 0, waiting: 0, failed: None, now: Tick::default() }))
}
