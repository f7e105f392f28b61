//! The words of the `LS.` commands: tables, expectations, and the parts of a compare-and-swap over several keys.

use super::command::Call;
use super::fault::{Fault, quoted};
use segments::ids::{EPOCH_COUNTER_BITS, INCARNATION_MAX};
use segments::{EpochId, Incarnation, Ordinal, TableId, Version};
use std::sync::Arc;
use txn::{CommitSet, Expect, PutOptions, SetError};

/// What becomes of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Compare(Expect),
    Put(Vec<u8>, PutOptions),
    Delete,
}

/// One part of a commit set whose table is named by its position in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Set {
    pub(crate) table: usize,
    pub(crate) key: Vec<u8>,
    pub(crate) change: Change,
}

impl Set {
    pub(crate) fn add_to(&self, set: &mut CommitSet, table: TableId) -> Result<(), SetError> {
        match &self.change {
            Change::Compare(expect) => set.compare(table, &self.key, *expect),
            Change::Put(record, options) => set.upsert(table, &self.key, record, *options),
            Change::Delete => set.remove(table, &self.key),
        }
    }
}

/// A table's name.
pub(crate) fn table(word: &[u8]) -> Result<Arc<str>, Fault> {
    let name =
        std::str::from_utf8(word).map_err(|_| Fault::Malformed { found: quoted(word), want: "a table's name" })?;
    Ok(name.into())
}

/// A version, as replies have it: `1.42.7`.
pub(crate) fn version(word: &[u8]) -> Option<Version> {
    let mut numbers = std::str::from_utf8(word).ok()?.split('.');
    let incarnation: u32 = numbers.next()?.parse().ok()?;
    let counter: u64 = numbers.next()?.parse().ok()?;
    let ordinal = numbers.next()?.parse().ok()?;
    // An epoch is the two in 64 bits; numbers that have no room there are of no epoch.
    let fits = incarnation <= INCARNATION_MAX && counter >> EPOCH_COUNTER_BITS == 0 && numbers.next().is_none();
    fits.then(|| Version { epoch: EpochId::new(Incarnation(incarnation), counter), ordinal: Ordinal(ordinal) })
}

/// `ANY`, `ABSENT`, `PRESENT`, or a version.
pub(crate) fn expect(word: &[u8]) -> Result<Expect, Fault> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match (is("ANY"), is("ABSENT"), is("PRESENT"), version(word)) {
        (true, ..) => Ok(Expect::Any),
        (_, true, ..) => Ok(Expect::Absent),
        (_, _, true, _) => Ok(Expect::Present),
        (.., Some(version)) => Ok(Expect::At(version)),
        (false, false, false, None) => {
            Err(Fault::Malformed { found: quoted(word), want: "ANY, ABSENT, PRESENT or a version like 1.42.7" })
        }
    }
}

/// The tables and parts of `LS.CAS`.
pub(crate) fn cas(call: &Call<'_>) -> Result<(Vec<Arc<str>>, Vec<Set>), Fault> {
    let mut parts = Parts { names: Vec::new(), sets: Vec::new() };
    let compares = usize::try_from(call.integer(1)?).ok().filter(|count| *count <= call.len() / 3);
    let compares = compares
        .ok_or(Fault::Text("ERR LS0503 the count of compares is not that of what follows; nothing was done"))?;
    let mut at = 2;
    for _ in 0..compares {
        let expect = expect(call.args.get(at + 2).ok_or(Fault::Syntax)?)?;
        parts.add(call, at, Change::Compare(expect))?;
        at += 3;
    }
    if at < call.len() && !call.args.is(at, "THEN") {
        return Err(Fault::Malformed { found: quoted(call.at(at)), want: "THEN" });
    }
    at += 1;
    while at < call.len() {
        if call.args.is(at, "PUT") {
            let record = call.args.get(at + 3).ok_or(Fault::Syntax)?.to_vec();
            parts.add(call, at + 1, Change::Put(record, PutOptions::default()))?;
            at += 4;
        } else if call.args.is(at, "DEL") {
            parts.add(call, at + 1, Change::Delete)?;
            at += 3;
        } else {
            return Err(Fault::Malformed { found: quoted(call.at(at)), want: "PUT or DEL" });
        }
    }
    if parts.names.is_empty() {
        return Err(Fault::Syntax);
    }
    Ok((parts.names, parts.sets))
}

/// What was read so far.
struct Parts {
    names: Vec<Arc<str>>,
    sets: Vec<Set>,
}

impl Parts {
    /// A part whose table and key stand at `at`.
    fn add(&mut self, call: &Call<'_>, at: usize, change: Change) -> Result<(), Fault> {
        let (Some(name), Some(key)) = (call.args.get(at), call.args.get(at + 1)) else { return Err(Fault::Syntax) };
        let name = table(name)?;
        let position = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        self.sets.push(Set { table: position, key: key.to_vec(), change });
        Ok(())
    }
}
