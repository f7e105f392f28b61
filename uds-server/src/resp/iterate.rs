//! The commands that walk over keys: `SCAN`, `KEYS`, `RANDOMKEY`.
//!
//! Contract: a key that is there from the first call of an iteration to its last is returned at least once, in fact exactly once. A
//! cursor names a position that the server remembers; it may be used again, and by another connection.

use super::command::Call;
use super::connection::Connection;
use super::fault::Fault;
use super::glob;
use super::number;
use super::task::{Context, Found, OPENING, Opening, Step, Stepped, Task, Work};
use super::writer::Writer;
use crate::budget::reply_bytes;
use crate::limits::NEXT_BYTES_MAX;
use domains::{Answer, Cursor, Direction, Error, Op, Pair, Tick};
use segments::TableId;
use std::sync::Arc;

/// Pairs that one call looks at.
const PAIRS_MAX: u32 = 4096;
/// Pairs that it looks at when it is not told.
const PAIRS_DEFAULT: u32 = 10;
/// The number under which it asks for pairs.
const NEXT: u32 = 0;

/// What is made of the keys.
#[derive(Debug)]
enum Aim {
    /// A batch, and the cursor of the next.
    Scan { cursor: u64, count: u32 },
    /// All of them.
    All { keys: Writer, found: usize },
    /// Any one, from a place that the time chooses; from the start when nothing is behind it.
    Any { wrapped: bool },
}

/// A walk.
#[derive(Debug)]
struct Walk {
    opening: Opening,
    table: Option<TableId>,
    pattern: Option<Vec<u8>>,
    /// Only strings are there, so another type finds nothing.
    nothing: bool,
    aim: Aim,
    now: Tick,
}

impl Walk {
    fn task(connection: &Connection, pattern: Option<Vec<u8>>, nothing: bool, aim: Aim) -> Task {
        let opening = Opening::new(Arc::clone(&connection.keyspace), false);
        Box::new(Self { opening, table: None, pattern, nothing, aim, now: Tick::default() })
    }

    fn opened(&mut self, found: Found, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        let Found::Table(table) = found else {
            self.nothing = true;
            return self.came(&[], false, context, reply);
        };
        self.table = Some(table);
        let from = match &self.aim {
            Aim::Scan { cursor: 0, .. } | Aim::All { .. } => Cursor::Start,
            Aim::Scan { cursor, .. } => {
                Cursor::Past(context.shared.cursor(table, *cursor).ok_or(Fault::NoSuchCursor)?.to_vec())
            }
            Aim::Any { .. } => Cursor::At(context.now.nanos.to_le_bytes().to_vec()),
        };
        self.ask(from, context);
        Ok(Step::Wait)
    }

    fn ask(&self, from: Cursor, context: &mut Context<'_, '_>) {
        let table = self.table.expect("a walk begins when its table is known");
        let pairs_max = match &self.aim {
            Aim::Scan { count, .. } => *count,
            Aim::All { .. } => PAIRS_MAX,
            Aim::Any { .. } => 1,
        };
        let (direction, bytes_max) = (Direction::Next, NEXT_BYTES_MAX);
        context.ask(NEXT, Op::Next { table, from, until: None, direction, pairs_max, bytes_max });
    }

    fn wants(&self, key: &[u8]) -> bool {
        !self.nothing && self.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, key))
    }

    /// A batch has come.
    fn came(&mut self, pairs: &[Pair], more: bool, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        let wanted: Vec<&Pair> = pairs.iter().filter(|pair| self.wants(&pair.key)).collect();
        let past = pairs.last().filter(|_| more).map(|pair| pair.key.clone());
        match &mut self.aim {
            Aim::Scan { .. } => {
                let cursor = match (self.table, past) {
                    (Some(table), Some(past)) => context.shared.keep_cursor(table, past),
                    (_, None) | (None, _) => 0,
                };
                let mut text = Vec::new();
                number::push(&mut text, i64::try_from(cursor).expect("cursors are counted"));
                reply.array(2);
                reply.bulk(&text);
                reply.array(wanted.len());
                wanted.iter().for_each(|pair| reply.bulk(&pair.key));
            }
            Aim::All { keys, found } => {
                *found += wanted.len();
                wanted.iter().for_each(|pair| keys.bulk(&pair.key));
                let limit = context.limits.reply_frame_bytes_max as usize;
                if keys.len() > limit {
                    return Err(Fault::TooMuch { limit });
                }
                if let Some(past) = past {
                    self.ask(Cursor::Past(past), context);
                    return Ok(Step::Wait);
                }
                reply.array(*found);
                reply.append(keys);
            }
            Aim::Any { wrapped } => match pairs.first() {
                Some(pair) => reply.bulk(&pair.key),
                None if *wrapped || self.table.is_none() => reply.null(),
                None => {
                    *wrapped = true;
                    self.ask(Cursor::Start, context);
                    return Ok(Step::Wait);
                }
            },
        }
        Ok(Step::Done)
    }
}

impl Work for Walk {
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
        match result {
            Ok(Answer::Pairs { pairs, more }) => self.came(pairs, *more, context, reply),
            Ok(other) => unreachable!("pairs were asked for, and the answer is {other:?}"),
            // Emptied meanwhile: nothing is left of what the walk was to see.
            Err(Error::TableGone { table }) => {
                context.shared.forget_table(*table);
                self.came(&[], false, context, reply)
            }
            Err(error) => Err(error.clone().into()),
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
        match &self.aim {
            Aim::All { keys, .. } => reply_bytes(keys.len()),
            Aim::Scan { .. } | Aim::Any { .. } => 0,
        }
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`.
pub(crate) fn scan(connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let cursor = call.integer(1).ok().and_then(|cursor| u64::try_from(cursor).ok());
    let cursor = cursor.ok_or(Fault::Text("ERR invalid cursor"))?;
    let (mut pattern, mut count, mut nothing) = (None, PAIRS_DEFAULT, false);
    for at in (2..call.len()).step_by(2) {
        let operand = call.args.get(at + 1).ok_or(Fault::Syntax)?;
        if call.args.is(at, "MATCH") {
            pattern = Some(operand.to_vec()).filter(|pattern| pattern != b"*");
        } else if call.args.is(at, "COUNT") {
            let wanted = u64::try_from(call.integer(at + 1)?).ok().filter(|wanted| *wanted > 0).ok_or(Fault::Syntax)?;
            count = u32::try_from(wanted).map_or(PAIRS_MAX, |wanted| wanted.min(PAIRS_MAX));
        } else if call.args.is(at, "TYPE") {
            nothing = !operand.eq_ignore_ascii_case(b"string");
        } else {
            return Err(Fault::Syntax);
        }
    }
    Ok(Walk::task(connection, pattern, nothing, Aim::Scan { cursor, count }))
}

/// `KEYS pattern`.
pub(crate) fn keys(connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let aim = Aim::All { keys: Writer::new(connection.dialect), found: 0 };
    Ok(Walk::task(connection, Some(call.at(1).to_vec()), false, aim))
}

pub(crate) fn random_key(connection: &mut Connection, _call: &Call<'_>) -> Result<Task, Fault> {
    Ok(Walk::task(connection, None, false, Aim::Any { wrapped: false }))
}
