//! Commands that look at a part of one value, or only at how long it is: `GETRANGE`, `SUBSTR`, `STRLEN`.
//!
//! Contract: what is answered is of one version. Of a value that is not in memory only the pages are read that the part lies in; one
//! that is, is not copied as a whole. Between `MULTI` and `EXEC` the commands look at a view, as all others do.
//!
//! A position that counts from the end is known when the length is: it is asked for first, and asked again when the value that
//! comes has another one.

use super::command::Call;
use super::connection::{Connection, database_of};
use super::fault::Fault;
use super::task::{Context, Found, OPENING, Opening, Step, Stepped, Task, Work};
use super::view::View;
use super::writer::Writer;
use core::ops::Range;
use domains::{Answer, Error, Op, Seen, Tick};
use segments::TableId;
use std::sync::Arc;

/// How often a value of another length may come before it is given up.
const TRIES_MAX: u32 = 4096;
/// The number under which parts are asked for.
const PARTS: u32 = 0;

/// What is wanted of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Length,
    /// From a first byte to a last one, both included; below zero they count from the end.
    Part {
        start: i64,
        end: i64,
    },
}

impl Wanted {
    /// The bytes in a value of so many; nothing when there are none.
    fn within(self, total: u64) -> Option<Range<u64>> {
        let Self::Part { start, end } = self else { return None };
        let length = i64::try_from(total).expect("a value is at most 64 MiB");
        let from_end = |at: i64| if at < 0 { length.saturating_add(at).max(0) } else { at };
        let crossed = start < 0 && end < 0 && start > end;
        let (start, end) = (from_end(start), from_end(end).min(length - 1));
        let position = |at: i64| u64::try_from(at).expect("it is not negative");
        (!crossed && start <= end).then(|| position(start)..position(end) + 1)
    }

    /// The bytes whatever the value's length, where they are counted from its start.
    fn anywhere(self) -> Option<Range<u64>> {
        match self {
            Self::Part { start, end } if start >= 0 && end >= 0 => self.within(i64::MAX.unsigned_abs()).or(Some(0..0)),
            Self::Part { .. } | Self::Length => None,
        }
    }

    /// Writes the reply for a value that is here as a whole, or for none.
    fn write(self, value: Option<&[u8]>, out: &mut Writer) {
        let value = value.unwrap_or_default();
        if self == Self::Length {
            return out.count(value.len());
        }
        let position = |at: u64| usize::try_from(at).expect("it lies in the value");
        let part = self.within(value.len() as u64).map_or(0..0, |part| position(part.start)..position(part.end));
        out.bulk(&value[part]);
    }

    fn of(call: &Call<'_>) -> Result<Self, Fault> {
        if call.len() == 2 {
            return Ok(Self::Length);
        }
        Ok(Self::Part { start: call.integer(2)?, end: call.integer(3)? })
    }
}

/// `GETRANGE`, `SUBSTR` and `STRLEN` on a view.
pub(crate) fn look(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let wanted = Wanted::of(call)?;
    wanted.write(view.get(call.at(1)).map(|value| value.bytes.as_slice()), out);
    Ok(())
}

/// The same by themselves.
pub(crate) fn task(connection: &Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let (key, wanted) = (call.at(1).to_vec(), Wanted::of(call)?);
    let opening = Opening::new(Arc::clone(&connection.keyspace), false);
    let (tries, total, table, now) = (0, None, None, Tick::default());
    Ok(Box::new(Parted { key, wanted, opening, table, total, tries, now }))
}

#[derive(Debug)]
struct Parted {
    key: Vec<u8>,
    wanted: Wanted,
    opening: Opening,
    /// Known when it is not being opened.
    table: Option<TableId>,
    /// The length that positions from the end were counted in.
    total: Option<u64>,
    tries: u32,
    now: Tick,
}

impl Parted {
    fn open(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.table = None;
        match self.opening.begin(context)? {
            Some(found) => self.found(found, context, reply),
            None => Ok(Step::Wait),
        }
    }

    fn found(&mut self, found: Found, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        let name = &self.opening.name;
        let table = match found {
            Found::Table(table) => table,
            Found::Nothing if database_of(name).is_none() => {
                return Err(Error::NoSuchTable { name: name.to_string() }.into());
            }
            Found::Nothing => {
                self.wanted.write(None, reply);
                return Ok(Step::Done);
            }
        };
        self.table = Some(table);
        let counters = &mut context.shared.counters;
        let shown = context.direct.look(table, &self.key, &mut |pair| {
            counters.looked(pair.is_some());
            self.wanted.write(pair.map(|pair| pair.value), reply);
        });
        if shown == Ok(Seen::Ready) {
            return Ok(Step::Done);
        }
        self.ask(context);
        Ok(Step::Wait)
    }

    /// The bytes to ask for, as far as that is known.
    fn range(&self) -> Option<Range<u64>> {
        self.wanted.anywhere().or_else(|| self.wanted.within(self.total?))
    }

    fn ask(&self, context: &mut Context<'_, '_>) {
        let table = self.table.expect("the table was found");
        let ranges = self.range().map(Into::into).into_iter().collect();
        context.ask(PARTS, Op::ReadRanges { table, key: self.key.clone(), ranges });
    }

    fn again(&mut self) -> Result<(), Fault> {
        self.tries += 1;
        if self.tries < TRIES_MAX { Ok(()) } else { Err(Fault::Contended { tries: self.tries }) }
    }
}

impl Work for Parted {
    fn start(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        self.open(context, reply)
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
                Some(found) => self.found(found, context, reply),
                None => Ok(Step::Wait),
            };
        }
        let ranges = match result {
            Ok(Answer::Ranges(ranges)) => ranges,
            Ok(other) => unreachable!("parts of a value were asked for, and the answer is {other:?}"),
            Err(Error::TableGone { table }) => {
                context.shared.forget_table(*table);
                self.again()?;
                return self.open(context, reply);
            }
            Err(error) => return Err(error.clone().into()),
        };
        let counted = self.wanted.anywhere().is_some() || self.wanted == Wanted::Length;
        if let Some(ranges) = ranges.as_ref().filter(|ranges| !counted && self.total != Some(ranges.total_bytes)) {
            self.total = Some(ranges.total_bytes);
            if self.range().is_some() {
                self.again()?;
                self.ask(context);
                return Ok(Step::Wait);
            }
        }
        context.shared.counters.looked(ranges.is_some());
        match ranges {
            Some(ranges) if self.wanted == Wanted::Length => {
                reply.integer(i64::try_from(ranges.total_bytes).unwrap_or(i64::MAX));
            }
            Some(ranges) => reply.bulk(ranges.parts.first().map_or(&[], Vec::as_slice)),
            None => self.wanted.write(None, reply),
        }
        Ok(Step::Done)
    }

    fn turn(&mut self, context: &mut Context<'_, '_>, reply: &mut Writer) -> Stepped {
        self.now = context.now;
        match self.opening.turn(context)? {
            Some(found) => self.found(found, context, reply),
            None => Ok(Step::Wait),
        }
    }

    fn due(&self) -> Option<Tick> {
        self.opening.due(self.now)
    }
}
