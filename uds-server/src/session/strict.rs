//! What interactive transactions read: as they see it, and, of a strict one, to be so still when it commits.
//!
//! Contract: a strict transaction notes of each read what the domain had: each pair at its version, each absence as absent, and each stretch of a
//! table that an iteration went over as holding nothing else. A read is noted when it is answered, so a commit before that is refused,
//! and the transaction is gone. An iteration sees the transaction's own updates as they are when it is answered.

use super::staged::{Becomes, Missing, own_pair};
use super::{Session, World};
use crate::budget::Kind;
use crate::calls::Purpose;
use crate::transactions::{Reads, Uncommitted};
use domains::{Answer, Cursor, Direction, Error, Pair};
use segments::TableId;
use segments::limits::KEY_BYTES_MAX;
use std::collections::BTreeMap;
use txn::{Change, CommitSet, Expect, SetError, Staged};
use wire::codes;

type Place = (u32, u32);

/// Greater than every key: until it one may only go where there is an order.
const END: [u8; KEY_BYTES_MAX + 1] = [0xff; KEY_BYTES_MAX + 1];

/// A read of a transaction that is not answered.
#[derive(Debug)]
pub(super) struct TxnRead {
    txn: u64,
    table: TableId,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Of a strict transaction.
    Key(Vec<u8>),
    Span(Span),
}

/// An iteration's step.
#[derive(Debug)]
struct Span {
    from: Cursor,
    until: Option<Vec<u8>>,
    direction: Direction,
    pairs_max: usize,
    bytes_max: usize,
}

/// A pair as a transaction sees it, with what was written out of it and where in its value that belongs.
type Overlaid = (Pair, Option<(usize, Staged)>);

/// What becomes of an answer.
#[derive(Debug)]
pub(super) enum Came {
    /// It is passed on.
    AsIs,
    /// This is.
    Instead(Result<Answer, Error>),
    /// The domain was asked for more: all that came has been deleted by the transaction, or a part of it is written out.
    Again,
}

/// The least key that is greater.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

impl Span {
    /// The keys that it went over when it ended behind this one, or at its end: the first, and the first behind.
    fn passed(&self, last: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
        let ahead = match (&self.from, self.direction) {
            (Cursor::Start, _) => None,
            (Cursor::At(key), Direction::Next) | (Cursor::Past(key), Direction::Previous) => Some(key.clone()),
            (Cursor::Past(key), Direction::Next) | (Cursor::At(key), Direction::Previous) => Some(after(key)),
        };
        match self.direction {
            Direction::Next => (ahead.unwrap_or_default(), last.map(after).or_else(|| self.until.clone())),
            Direction::Previous => {
                let lower = last.map(<[u8]>::to_vec).or_else(|| self.until.as_deref().map(after));
                (lower.unwrap_or_default(), ahead)
            }
        }
    }

    /// Notes what the domain has as far as this key, or to the end.
    fn note(&self, seen: &mut CommitSet, table: TableId, pairs: &[Pair], last: Option<&[u8]>) -> Result<(), SetError> {
        let (from, until) = self.passed(last);
        let inside = |key: &[u8]| key >= &from[..] && until.as_deref().is_none_or(|end| key < end);
        seen.compare_range(table, &from, until.as_deref())?;
        let mut passed = pairs.iter().filter(|pair| inside(&pair.key));
        passed.try_for_each(|pair| seen.compare(table, &pair.key, Expect::At(pair.version)))
    }

    /// The domain's pairs with the transaction's own updates among them, as many as were asked for, and whether there may be more.
    fn merged(
        &self,
        set: &CommitSet,
        table: TableId,
        pairs: &[Pair],
        more: bool,
    ) -> Result<(Vec<Pair>, Vec<Missing>, bool), SetError> {
        let covered = self.passed(if more { pairs.last().map(|pair| &pair.key[..]) } else { None });
        let inside = |key: &[u8]| key >= &covered.0[..] && covered.1.as_deref().is_none_or(|end| key < end);
        let mut merged: BTreeMap<&[u8], Option<Overlaid>> =
            pairs.iter().map(|pair| (&pair.key[..], Some((pair.clone(), None)))).collect();
        for part in set.parts().filter(|part| part.table == table && inside(part.key)) {
            let staged = |offset| part.staged.map(|staged| (offset, staged));
            match part.change {
                Change::Put { value, options } => {
                    merged.insert(part.key, Some((own_pair(&part, value, options), staged(0))));
                }
                Change::Append { value, options } => {
                    let below = merged.remove(part.key).flatten().map(|(below, _)| below);
                    let offset = below.as_ref().map_or(0, |below| below.value.len());
                    let pair = Pair::with_own_append(below, part.key, value, options);
                    merged.insert(part.key, Some((pair, staged(offset))));
                }
                Change::Delete => drop(merged.insert(part.key, None)),
                Change::Revert { .. } => return Err(SetError::RevertsAlone),
                Change::None | Change::Seal { .. } => {}
            }
        }
        let mut all: Vec<_> = merged.into_values().flatten().collect();
        if self.direction == Direction::Previous {
            all.reverse();
        }
        let (mut bytes, mut count) = (0, 0);
        for (pair, staged) in &all {
            bytes += pair.key.len() + pair.value.len() + staged.map_or(0, |(_, staged)| staged.bytes as usize);
            if count > 0 && (count == self.pairs_max.max(1) || bytes > self.bytes_max) {
                break;
            }
            count += 1;
        }
        let cut = count < all.len();
        all.truncate(count);
        let staged = all.iter().enumerate().filter_map(|(at, (_, staged))| staged.map(|staged| (at, staged)));
        let missing = staged.map(|(at, (offset, staged))| Missing { at, offset, staged }).collect();
        Ok((all.into_iter().map(|(pair, _)| pair).collect(), missing, more || cut))
    }
}

impl Session {
    /// Notes that a strict transaction looks a key up.
    pub(super) fn note_lookup(&mut self, place: Place, txn: u64, table: TableId, key: &[u8]) {
        if let Some(reads) = self.transactions.reads(txn) {
            reads.asked();
            self.txn_reads.insert(place, TxnRead { txn, table, what: What::Key(key.to_vec()) });
        }
    }

    pub(super) fn txn_next(&mut self, place: Place, txn: u64, next: &wire::Op<'_>, world: &mut World<'_>) {
        if self.transactions.set(txn, world.now).is_none() {
            return self.refuse(place, codes::NO_SUCH_TRANSACTION, world);
        }
        let Some(domains::Op::Next { table, from, until, direction, pairs_max, bytes_max }) =
            crate::convert::domain_op(next)
        else {
            unreachable!("the dispatcher has made it")
        };
        if let Some(reads) = self.transactions.reads(txn) {
            reads.asked();
        }
        let (pairs_max, bytes_max) = (pairs_max as usize, bytes_max as usize);
        self.calls.set_purpose(place, Purpose { reads: true, ..Purpose::default() });
        self.ask_span(place, (txn, table), Span { from, until, direction, pairs_max, bytes_max }, world);
    }

    fn ask_span(&mut self, place: Place, (txn, table): (u64, TableId), span: Span, world: &mut World<'_>) {
        let until = match span.direction {
            Direction::Next => span.until.clone().or_else(|| Some(END.to_vec())),
            Direction::Previous => span.until.clone(),
        };
        let number = |most: usize| u32::try_from(most).unwrap_or(u32::MAX);
        let (pairs_max, bytes_max) = (number(span.pairs_max), number(span.bytes_max));
        let (from, direction) = (span.from.clone(), span.direction);
        self.txn_reads.insert(place, TxnRead { txn, table, what: What::Span(span) });
        world.asked.push((Some(place), domains::Op::Next { table, from, until, direction, pairs_max, bytes_max }));
    }

    pub(super) fn refuse_commit(&mut self, place: Place, why: Uncommitted, world: &mut World<'_>) {
        match why {
            Uncommitted::Gone => self.refuse(place, codes::NO_SUCH_TRANSACTION, world),
            Uncommitted::Reading => self.refuse(place, codes::READS_UNDER_WAY, world),
            Uncommitted::Refused(error) => self.fault_of(place, Error::Set(error), world),
        }
    }

    /// A transaction's read has come: what it sees instead of what the domain has; or a refusal by code, and the transaction is gone.
    pub(super) fn read_came(
        &mut self,
        place: Place,
        read: TxnRead,
        result: &Result<Answer, Error>,
        world: &mut World<'_>,
    ) -> Result<Came, u16> {
        let (before, txn) = (self.transactions.held(), read.txn);
        let came = match (read.what, result) {
            (_, Err(_)) => {
                // Nothing was read.
                self.transactions.reads(txn).map(Reads::answered);
                return Ok(Came::AsIs);
            }
            (What::Key(key), Ok(answer)) => self.saw_key((txn, read.table), &key, answer)?,
            (What::Span(span), Ok(answer)) => self.saw_span(place, (txn, read.table), span, answer, world)?,
        };
        let limits = &world.facts.limits;
        let more = self.transactions.held().saturating_sub(before);
        let refusal = if self.transactions.bytes() > limits.transaction_bytes_max {
            Some(codes::TRANSACTIONS_FULL)
        } else {
            (more > 0 && !world.memory.raise(Kind::Request, more)).then_some(codes::MEMORY_FULL)
        };
        // What it has read and could not note is missing at the commit, so there is none.
        if refusal.is_some() || matches!(came, Came::Instead(Err(_))) {
            drop(self.transactions.take(txn));
        }
        match (refusal, came) {
            // The domain was asked already, and its answer finds no transaction.
            (Some(_), Came::Again) => Ok(Came::Again),
            (Some(code), _) => Err(code),
            (None, came) => Ok(came),
        }
    }

    fn saw_key(&mut self, (txn, table): (u64, TableId), key: &[u8], answer: &Answer) -> Result<Came, u16> {
        let Answer::Pair(pair) = answer else { unreachable!("a lookup is answered so") };
        let reads = self.transactions.reads(txn).ok_or(codes::NO_SUCH_TRANSACTION)?;
        let expect = pair.as_ref().map_or(Expect::Absent, |pair| Expect::At(pair.version));
        let noted = reads.answered().compare(table, key, expect);
        Ok(noted.map_or_else(|error| Came::Instead(Err(Error::Set(error))), |()| Came::AsIs))
    }

    fn saw_span(
        &mut self,
        place: Place,
        (txn, table): (u64, TableId),
        span: Span,
        answer: &Answer,
        world: &mut World<'_>,
    ) -> Result<Came, u16> {
        let Answer::Pairs { pairs, more } = answer else { unreachable!("an iteration is answered so") };
        let set = self.transactions.set(txn, world.now).ok_or(codes::NO_SUCH_TRANSACTION)?;
        let stage = set.stage().cloned();
        let (all, missing, more) = match span.merged(set, table, pairs, *more) {
            Ok(merged) => merged,
            Err(error) => return Ok(Came::Instead(Err(Error::Set(error)))),
        };
        // Behind the last that is shown; where nothing is, behind the last that the domain has shown.
        let last = all.last().or(pairs.last()).map(|pair| pair.key.clone()).filter(|_| more);
        if let Some(reads) = self.transactions.reads(txn)
            && let Err(error) = span.note(reads.answered(), table, pairs, last.as_deref())
        {
            return Ok(Came::Instead(Err(Error::Set(error))));
        }
        if let (true, Some(last)) = (all.is_empty(), last) {
            if let Some(reads) = self.transactions.reads(txn) {
                reads.asked();
            }
            self.ask_span(place, (txn, table), Span { from: Cursor::Past(last), ..span }, world);
            return Ok(Came::Again);
        }
        if let (Some(stage), false) = (stage, missing.is_empty()) {
            self.fill(place, (stage, table), (all, missing), Becomes::Pairs { more }, world);
            return Ok(Came::Again);
        }
        Ok(Came::Instead(Ok(Answer::Pairs { pairs: all, more })))
    }
}
