//! Iteration: batches underneath, pairs on top, resumable by key.
//!
//! Contract: a pair that is there throughout comes exactly once. Between two batches the table may change; what has come is not
//! looked at again. Inside a transaction its own updates are laid over the table's pairs. An error of the store ends the
//! iteration; [`RawIter::cursor`] says where another may go on. A pair that cannot be read as its type is an error of its own,
//! and the next call goes on behind it.

use crate::backend::Backend;
use crate::error::Error;
use crate::key::KeySpan;
use crate::limits::{ITER_BYTES_MAX, ITER_PAIRS_FIRST, ITER_PAIRS_MAX};
use crate::raw::RawTable;
use crate::record::{Found, Ordered, TableType};
use crate::staged::{self, Own};
use crate::strict::{Reads, unordered};
use crate::table::read_pair;
use ::txn::{Change, Part, Stage};
use domains::schema::TableKind;
use domains::{Cursor, Direction, Pair};
use segments::Version;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;

/// A transaction's own updates of one table, by key.
pub(crate) type Overlay<'t> = BTreeMap<&'t [u8], Part<'t>>;

/// Where an iteration's table stands.
enum Source {
    /// There may be more behind what was fetched.
    More(Cursor),
    /// All has been fetched.
    Exhausted,
}

/// The pairs of a table, as bytes.
#[must_use = "an iterator does nothing until it is asked"]
pub struct RawIter<'t, B: Backend> {
    table: RawTable<B>,
    span: KeySpan,
    direction: Direction,
    source: Source,
    fetched: VecDeque<Pair>,
    batch_pairs: u32,
    own: Overlay<'t>,
    /// Where it has written out what it does not hold.
    stage: Option<Stage>,
    /// Of a strict transaction: what must still be so when it commits.
    reads: Option<Reads>,
    last: Cursor,
    /// Why there is no iteration, until it is told.
    refusal: Option<Error>,
}

impl<'t, B: Backend> RawIter<'t, B> {
    pub(crate) fn new(table: &RawTable<B>, span: KeySpan) -> Self {
        let source = if span.empty { Source::Exhausted } else { Source::More(start_of(&span, Direction::Next)) };
        Self {
            table: table.clone(),
            span,
            direction: Direction::Next,
            source,
            fetched: VecDeque::new(),
            batch_pairs: ITER_PAIRS_FIRST,
            own: Overlay::new(),
            stage: None,
            reads: None,
            last: Cursor::Start,
            refusal: None,
        }
    }

    /// One that tells why there is none, and ends.
    pub(crate) fn refused(table: &RawTable<B>, error: Error) -> Self {
        Self { source: Source::Exhausted, refusal: Some(error), ..Self::new(table, KeySpan::default()) }
    }

    /// Lays a transaction's own updates over the table's pairs; what is read is noted in `reads`.
    pub(crate) fn over(mut self, mut own: Overlay<'t>, stage: Option<Stage>, reads: Option<Reads>) -> Self {
        (self.stage, self.reads) = (stage, reads);
        own.retain(|key, part| self.span.contains(key) && !matches!(part.change, Change::None | Change::Seal { .. }));
        self.own = own;
        self
    }

    /// From the last pair to the first. Ordered tables only. To be called before the first pair is taken.
    pub fn backwards(mut self) -> Self {
        assert!(self.last == Cursor::Start, "an iteration cannot turn round once it has begun");
        self.direction = Direction::Previous;
        if let Source::More(from) = &mut self.source {
            *from = start_of(&self.span, Direction::Previous);
        }
        self
    }

    /// Goes on where another iteration of the same span and direction stood.
    pub fn resume(mut self, cursor: Cursor) -> Self {
        let (Cursor::At(key) | Cursor::Past(key)) = &cursor else { return self };
        let (direction, key) = (self.direction, key.clone());
        let past = matches!(cursor, Cursor::Past(_));
        self.own.retain(|own, _| match direction {
            Direction::Next => *own > &key[..] || (!past && *own == &key[..]),
            Direction::Previous => *own < &key[..] || (!past && *own == &key[..]),
        });
        if let Source::More(from) = &mut self.source {
            *from = cursor.clone();
        }
        self.last = cursor;
        self
    }

    /// Behind the last pair that came: where another iteration may go on.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.last
    }

    fn ordered(&self) -> bool {
        self.table.spec().kind == TableKind::Ordered
    }

    /// Fetches the next batch when nothing is left of the last.
    fn fill(&mut self) -> Result<(), Error> {
        while self.fetched.is_empty() {
            let Source::More(from) = &self.source else { return Ok(()) };
            // Backwards the lower end is checked here: a domain is told only where to stop on the way up.
            let until = self.span.end.clone().filter(|_| self.direction == Direction::Next);
            let next = self.table.start_next(from.clone(), until, self.direction, self.batch_pairs, ITER_BYTES_MAX);
            let (pairs, more) = next.wait()?;
            self.batch_pairs = (self.batch_pairs * 2).min(ITER_PAIRS_MAX);
            self.source = match pairs.last() {
                Some(last) if more && self.span.contains(&last.key) => Source::More(Cursor::Past(last.key.clone())),
                Some(_) | None => Source::Exhausted,
            };
            self.fetched.extend(pairs.into_iter().filter(|pair| self.span.contains(&pair.key)));
        }
        Ok(())
    }

    /// The next pair of table and own updates together.
    fn step(&mut self) -> Result<Option<Pair>, Error> {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        if self.reads.is_some() && !self.ordered() {
            return Err(unordered(self.table.id()));
        }
        loop {
            self.fill()?;
            let (key, stored) = match (self.fetched.front(), self.next_own()) {
                (None, None) => return self.pass(None, None).map(|()| None),
                (Some(stored), Some(own)) if !self.own_comes_first(&stored.key, own) => (stored.key.clone(), true),
                (Some(stored), None) => (stored.key.clone(), true),
                (_, Some(own)) => (own.to_vec(), false),
            };
            let pair = if stored { self.fetched.pop_front() } else { None };
            self.pass(Some(&key), pair.as_ref())?;
            let own = match self.own.remove(&key[..]) {
                Some(part) => staged::own(self.table.store(), self.stage.as_ref(), &part)?,
                None => Own::Nothing,
            };
            let pair = match own {
                Own::Put { value, options } => Some(Pair {
                    key: key.clone(),
                    value: value.into_owned(),
                    version: Version::default(),
                    expires_ms: options.expires_ms,
                    compressed: options.compressed,
                }),
                Own::Append { value, options } => Some(Pair::with_own_append(pair, &key, &value, options)),
                Own::Delete => None,
                Own::Nothing => pair,
            };
            self.last = Cursor::Past(key);
            if pair.is_some() {
                return Ok(pair);
            }
        }
    }

    /// Notes, in a strict transaction, that the iteration goes on to this key, or to its end, and what the table has there.
    fn pass(&self, to: Option<&[u8]>, stored: Option<&Pair>) -> Result<(), Error> {
        let Some(reads) = &self.reads else { return Ok(()) };
        if let Some(pair) = stored {
            reads.saw(self.table.id(), &pair.key, Some(pair.version))?;
        }
        if self.span.empty {
            return Ok(());
        }
        reads.passed(self.table.id(), &self.span, self.direction, &self.last, to)
    }

    fn next_own(&self) -> Option<&'t [u8]> {
        let own = match self.direction {
            Direction::Next => self.own.first_key_value(),
            Direction::Previous => self.own.last_key_value(),
        };
        own.map(|(key, _)| *key)
    }

    /// Of a table without an order, own pairs that are not in it come last.
    fn own_comes_first(&self, stored: &[u8], own: &[u8]) -> bool {
        self.ordered()
            && match self.direction {
                Direction::Next => own < stored,
                Direction::Previous => own > stored,
            }
    }
}

impl<B: Backend> Iterator for RawIter<'_, B> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step();
        if next.is_err() {
            self.reads = None;
            self.fetched.clear();
            self.source = Source::Exhausted;
            self.own.clear();
        }
        next.transpose()
    }
}

fn start_of(span: &KeySpan, direction: Direction) -> Cursor {
    match (direction, &span.end) {
        (Direction::Next, _) if span.start.is_empty() => Cursor::Start,
        (Direction::Next, _) => Cursor::At(span.start.clone()),
        (Direction::Previous, Some(end)) => Cursor::Past(end.clone()),
        (Direction::Previous, None) => Cursor::Start,
    }
}

impl<B: Backend> fmt::Debug for RawIter<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iter({:?} {:?} from {:?})", self.table, self.direction, self.last)
    }
}

/// The records of a table.
#[must_use = "an iterator does nothing until it is asked"]
pub struct Iter<'t, T, B: Backend> {
    raw: RawIter<'t, B>,
    of: PhantomData<fn() -> T>,
}

impl<'t, T: TableType, B: Backend> Iter<'t, T, B> {
    pub(crate) fn new(raw: RawIter<'t, B>) -> Self {
        Self { raw, of: PhantomData }
    }

    /// Goes on where another iteration of the same range and direction stood.
    pub fn resume(self, cursor: Cursor) -> Self {
        Self::new(self.raw.resume(cursor))
    }

    /// Behind the last pair that came: where another iteration may go on.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        self.raw.cursor()
    }

    /// From the last pair to the first. To be called before the first pair is taken.
    pub fn backwards(self) -> Self
    where
        T: Ordered,
    {
        Self::new(self.raw.backwards())
    }
}

impl<T: TableType, B: Backend> Iterator for Iter<'_, T, B> {
    type Item = Result<Found<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.raw.next()?;
        Some(pair.and_then(|pair| read_pair(self.raw.table.name(), &pair)))
    }
}

impl<T, B: Backend> fmt::Debug for Iter<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
