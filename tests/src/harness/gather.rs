//! Asking a domain questions, one at a time, and listing everything that it holds.

use crate::clock::SimClock;
use crate::device::SimDevice;
use crate::model::{Content, Found, Key, Recovered, Violation, name_of, violation};
use crate::workload::Range;
use domains::schema::TableKind;
use domains::{Answer, Cursor, Direction, Driven, Error, Op, OpId, Pair, TableInfo};
use segments::Device;
use std::collections::BTreeSet;

/// Steps without an answer after which a domain is stuck: far more than any operation on a small device takes.
pub(super) const STEPS_STUCK: u32 = 100_000;
/// Ids of questions; the workload's are below.
const QUESTIONS: u64 = 1 << 60;

/// A domain, its device and its time, borrowed for a while.
pub(super) struct Asking<'a, D> {
    pub(super) domain: &'a mut D,
    pub(super) device: &'a mut SimDevice,
    pub(super) clock: &'a mut SimClock,
}

impl<D: Driven> Asking<'_, D> {
    /// Asks and waits for the answer.
    pub(super) fn ask(&mut self, op: Op) -> Result<Result<Answer, Error>, Violation> {
        let id = OpId(QUESTIONS);
        let (mut answers, mut requests, mut done) = (Vec::new(), Vec::new(), Vec::new());
        self.domain.submit(id, op.clone(), self.clock.now());
        for _ in 0..STEPS_STUCK {
            let wake = self.domain.turn(self.clock.now());
            self.domain.take_requests(&mut requests);
            for (tag, request) in requests.drain(..) {
                self.device.submit(tag, request);
            }
            self.domain.take_answers(&mut answers);
            if let Some(at) = answers.iter().position(|(answered, _)| *answered == id) {
                return Ok(answers.swap_remove(at).1);
            }
            self.device.wait(&mut done);
            if done.is_empty() {
                match wake {
                    Some(wake) => self.clock.advance_to(wake),
                    None => self.clock.advance(100_000),
                }
            }
            for completion in done.drain(..) {
                self.domain.complete(completion, self.clock.now());
            }
        }
        violation(format!("a question was never answered: {op:?}"))
    }

    /// Everything there is: all tables, each listed to its end in batches of `batch` pairs.
    pub(super) fn gather(&mut self, batch: u32) -> Result<Recovered, Violation> {
        self.try_gather(batch)?.or_else(|error| violation(format!("a listing answered {error:?}")))
    }

    /// The same, where a listing may be refused: the first refusal.
    pub(super) fn try_gather(&mut self, batch: u32) -> Result<Result<Recovered, Error>, Violation> {
        let before_ms = self.clock.now().unix_ms;
        let tables = match self.ask(Op::ListTables)? {
            Ok(Answer::Tables(tables)) => tables,
            other => return violation(format!("listing the tables answered {other:?}")),
        };
        let mut recovered = Recovered::default();
        for info in &tables {
            if let Err(error) = self.list(info, batch, &mut recovered)? {
                return Ok(Err(error));
            }
        }
        recovered.tables = tables;
        recovered.within_ms = (before_ms, self.clock.now().unix_ms);
        Ok(Ok(recovered))
    }

    fn list(
        &mut self,
        info: &TableInfo,
        batch: u32,
        recovered: &mut Recovered,
    ) -> Result<Result<(), Error>, Violation> {
        let mut from = Cursor::Start;
        loop {
            let op = Op::Next {
                table: info.id,
                from: from.clone(),
                until: None,
                direction: Direction::Next,
                pairs_max: batch,
                bytes_max: 1 << 20,
            };
            let (pairs, more) = match self.ask(op)? {
                Ok(Answer::Pairs { pairs, more }) => (pairs, more),
                Err(error) => return Ok(Err(error)),
                other => return violation(format!("listing '{}' answered {other:?}", info.name)),
            };
            check_order(info, &Range { from: from.clone(), ..Range::whole(info.id) }, &pairs)?;
            if let Some(last) = pairs.last() {
                from = Cursor::Past(last.key.clone());
            } else if more {
                return violation(format!("a batch of '{}' is empty and promises more", info.name));
            }
            for pair in pairs {
                let (key, found) = found(info, pair);
                if recovered.pairs.insert(key.clone(), found).is_some() {
                    return violation(format!("{} is listed twice", name_of(&key)));
                }
            }
            if !more {
                return Ok(Ok(()));
            }
        }
    }

    /// Looks up every key that was listed, and keys that may not be there.
    pub(super) fn look_up(&mut self, recovered: &Recovered, others: &BTreeSet<Key>) -> Result<u64, Violation> {
        let keys: BTreeSet<&Key> = recovered.pairs.keys().chain(others).collect();
        for key in &keys {
            if !recovered.tables.iter().any(|info| info.id == key.0) {
                continue;
            }
            let answer = self.ask(Op::Lookup { table: key.0, key: key.1.clone() })?;
            let looked_up = match answer {
                Ok(Answer::Pair(pair)) => pair.map(content_of),
                other => return violation(format!("looking up {} answered {other:?}", name_of(key))),
            };
            let listed = recovered.pairs.get(*key);
            let now_ms = self.clock.now().unix_ms;
            let over = looked_up.is_none() && listed.is_some_and(|found| found.content.is_over(now_ms));
            if looked_up.as_ref() != listed && !over {
                return violation(format!("{}: the listing and the lookup differ", name_of(key)));
            }
        }
        Ok(keys.len() as u64)
    }
}

/// Ordered tables list in key order, what was asked for and nothing else.
pub(super) fn check_order(info: &TableInfo, range: &Range, pairs: &[Pair]) -> Result<(), Violation> {
    if info.spec.kind != TableKind::Ordered {
        return Ok(());
    }
    let sorted = match range.direction {
        Direction::Next => pairs.is_sorted_by(|a, b| a.key < b.key),
        Direction::Previous => pairs.is_sorted_by(|a, b| a.key > b.key),
    };
    if !sorted || !pairs.iter().all(|pair| range.holds(&pair.key)) {
        return violation(format!("'{}' lists its keys out of order, or other keys: {range:?}", info.name));
    }
    Ok(())
}

fn found(info: &TableInfo, pair: Pair) -> (Key, Found) {
    ((info.id, pair.key.clone()), content_of(pair))
}

/// A pair as the oracle compares it.
pub(super) fn content_of(pair: Pair) -> Found {
    let content = Content { value: pair.value, expires_ms: pair.expires_ms, compressed: pair.compressed };
    Found { version: pair.version, content }
}
