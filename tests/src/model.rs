//! The oracle: what a store must hold, kept in sorted maps by something too simple to be wrong.
//!
//! Contract: the harness tells it what was submitted ([`Model::submitted`]), what was answered ([`Model::answered`]) and what was
//! announced ([`Model::noticed`]); it judges reads while the domain lives ([`Model::may_read`]) and, after a recovery, whether
//! what was found is exactly what survived ([`Model::judge`], then [`Model::settle`]).
//!
//! What must hold after a recovery with cut `D`: the pairs found are the fold, in the order of their versions, of all commits with an
//! epoch up to `D`, on top of what the recovery before had found; `D` is at least every epoch that was announced; every compare of
//! those commits held at its place in that order; volatile tables are empty; no version is ever issued twice.
//!
//! A commit without an answer when the power fails may have been applied or not. It is found by its *stamp*: a value that no other
//! commit has written. The workload sees to it that such a value is in every set of which it matters.

mod commit;
mod fold;
#[cfg(test)]
mod tests;
mod tokens;

pub use commit::{Content, Effect, Key, PartOf, Parts, Sent};
pub use fold::{Found, Recovered};

use commit::Done;
use domains::schema::TableHome;
use domains::{Committed, Failure, Level, Persistence, TableInfo};
use segments::{EpochId, Incarnation, TableId, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tokens::Tokens;
use txn::{CommitSet, Expect};

/// Something that the domain did and must not do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation(pub String);

/// A pair as the oracle knows it; without content it was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// The version of the pair, or of its deletion. `None` when it was applied without an answer.
    pub version: Option<Version>,
    /// What it holds.
    pub content: Option<Rc<Content>>,
}

impl Known {
    /// Whether nobody sees it: deleted, or its time is over.
    #[must_use]
    pub fn is_gone(&self, now_ms: u64) -> bool {
        self.content.as_ref().is_none_or(|content| content.is_over(now_ms))
    }
}

/// From when a read is judged.
#[derive(Clone, Debug)]
pub struct Mark {
    /// How much had been answered when it was submitted.
    pub since: usize,
    /// What its key held.
    pub held: Option<Known>,
    /// The wall clock then.
    pub asked_ms: u64,
}

/// Pairs by key, of all tables.
pub type State = BTreeMap<Key, Known>;

/// A table operation under way: what the catalog may look like afterwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableChange {
    /// A table of this name comes.
    Create {
        /// Its name.
        name: String,
        /// Where its pairs live.
        home: TableHome,
    },
    /// A table gets another name.
    Rename {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// A table goes.
    Destroy {
        /// Its name.
        name: String,
    },
}

/// The oracle.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Tables by name, as far as answers say.
    pub tables: BTreeMap<String, TableInfo>,
    /// A table operation without an answer.
    pub table_change: Option<TableChange>,
    table_ids: BTreeSet<TableId>,
    volatile: BTreeSet<TableId>,
    settled: State,
    now: State,
    history: Vec<Done>,
    /// Commits without an answer, and those of which the answer says that their fate is unknown.
    limbo: BTreeMap<u64, Sent>,
    issued: BTreeSet<Version>,
    highest: Version,
    noticed: EpochId,
    addresses: BTreeSet<(TableId, [u8; 8])>,
    tokens: Tokens,
    now_ms: u64,
}

impl Model {
    /// An oracle of an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The wall clock moves.
    pub fn clock(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// What the wall clock shows.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How many commits of this incarnation have been answered.
    #[must_use]
    pub fn commits(&self) -> usize {
        self.history.len()
    }

    /// How many of them joined an epoch up to this one.
    #[must_use]
    pub fn commits_up_to(&self, cut: EpochId) -> usize {
        self.history.iter().filter(|done| done.epoch <= cut).count()
    }

    /// The last epoch that an answered commit joined.
    #[must_use]
    pub fn last_epoch(&self) -> EpochId {
        let lasting = |done: &&Done| done.persistence != Persistence::Volatile;
        self.history.iter().filter(lasting).map(|done| done.epoch).max().unwrap_or_default()
    }

    /// What a key holds now, as far as answers say.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Known> {
        self.now.get(key).filter(|known| known.content.is_some())
    }

    /// The keys that hold something now, of one table.
    #[must_use]
    pub fn keys(&self, table: TableId) -> Vec<Vec<u8>> {
        let of_table = self.now.range((table, Vec::new())..).take_while(|((of, _), _)| *of == table);
        of_table.filter(|(_, known)| known.content.is_some()).map(|((_, key), _)| key.clone()).collect()
    }

    /// The token of the write that a key is at, when that can be reverted and no commit without an answer names the key.
    #[must_use]
    pub fn token(&self, key: &Key) -> Option<Version> {
        let version = self.get(key)?.version.filter(|version| self.tokens.has(key, *version))?;
        (!self.touched(key, self.history.len())).then_some(version)
    }

    /// Whether the table is volatile.
    #[must_use]
    pub fn is_volatile(&self, table: TableId) -> bool {
        self.volatile.contains(&table)
    }

    /// A commit goes to the domain.
    pub fn submitted(&mut self, op: u64, set: &CommitSet, level: Level) {
        let there =
            |key: &Key| self.get(key).and_then(|known| Some((known.version?, Rc::clone(known.content.as_ref()?))));
        let mut sent = Sent::new(set, level, self.highest, &self.volatile, (&self.tokens, &there));
        (sent.since, sent.sent_ms) = (self.history.len(), self.now_ms);
        let before = self.limbo.insert(op, sent);
        assert!(before.is_none(), "operation {op} was submitted twice");
    }

    /// A commit was refused: nothing of it was applied.
    pub fn refused(&mut self, op: u64) -> Sent {
        self.limbo.remove(&op).expect("it was submitted")
    }

    /// Judges the answer that compares did not hold.
    ///
    /// # Errors
    /// When no compare named in the answer can have failed.
    pub fn judge_failures(&self, sent: &Sent, failures: &[Failure]) -> Result<(), Violation> {
        if failures.is_empty() {
            return violation("a failed commit names no compare".to_owned());
        }
        for failure in failures {
            let Some(part) = sent.parts.get(failure.part as usize) else {
                return violation(format!("a failure names part {} of {}", failure.part, sent.parts.len()));
            };
            let holds = match part.expect {
                Expect::Any => true,
                Expect::Absent => failure.found.is_none(),
                Expect::Present => failure.found.is_some(),
                Expect::At(version) => failure.found == Some(version),
                Expect::Never => false,
            };
            if holds {
                return violation(format!(
                    "{:?} is said to have failed, having found {:?}",
                    part.expect, failure.found
                ));
            }
            let known = self.get(&part.key);
            let current = known.map(|known| known.version);
            let settled = current.is_none_or(|version| version.is_some()) && !self.touched(&part.key, sent.since);
            // Its time may have come while the commit was under way.
            let may_be_gone = known.is_some_and(|known| known.is_gone(self.now_ms));
            let must_be_gone = known.is_some_and(|known| known.is_gone(sent.sent_ms));
            let right = if failure.found.is_none() {
                current.is_none() || may_be_gone
            } else {
                failure.found == current.flatten() && !must_be_gone
            };
            if settled && !right {
                return violation(format!("{} found {:?}, there is {current:?}", name_of(&part.key), failure.found));
            }
        }
        Ok(())
    }

    /// A commit was answered.
    ///
    /// # Errors
    /// When its versions cannot be: issued before, out of order, of another epoch, or the wrong number.
    pub fn answered(&mut self, op: u64, committed: &Committed) -> Result<(), Violation> {
        let sent = self.limbo.remove(&op).expect("it was submitted");
        let done = Done::new(&sent, committed, self.now_ms).map_err(Violation)?;
        for version in committed.versions.as_slice() {
            if !self.issued.insert(*version) {
                return violation(format!("version {version} was issued twice"));
            }
            if *version <= sent.highest {
                return violation(format!("{version} was issued after {} had been answered", sent.highest));
            }
            self.highest = self.highest.max(*version);
        }
        if sent.level == Level::Persistent && committed.persistence == Persistence::Pending {
            return violation(format!("answered as persistent, and pending in epoch {}", committed.epoch));
        }
        if committed.persistence == Persistence::Persistent {
            self.noticed(committed.epoch);
        }
        if (committed.persistence == Persistence::Volatile) != done.volatile_only {
            return violation(format!("{:?} is wrong for {done:?}", committed.persistence));
        }
        for part in &done.parts {
            let known = Known { version: part.version, content: part.effect.content() };
            let newer = self.now.get(&part.key).is_none_or(|now| now.version < part.version);
            let before = self.now.get(&part.key).and_then(|now| now.content.clone());
            let certain = !self.limbo.values().flat_map(|sent| &sent.parts).any(|other| other.key == part.key);
            if let (true, true, Some(token), Effect::Put(content)) =
                (part.revertible, newer, part.version, &part.effect)
                && certain
            {
                self.tokens.add(part.key.clone(), token, before, Rc::clone(content));
            }
            if part.version.is_some() && newer {
                self.now.insert(part.key.clone(), known);
            }
        }
        self.history.push(done);
        Ok(())
    }

    /// Everything up to this epoch has been announced as persistent.
    pub fn noticed(&mut self, epoch: EpochId) {
        self.noticed = self.noticed.max(epoch);
    }

    /// The last epoch announced.
    #[must_use]
    pub fn last_noticed(&self) -> EpochId {
        self.noticed
    }

    /// Addresses were given out.
    ///
    /// # Errors
    /// When one of them was given out before.
    pub fn reserved(&mut self, table: TableId, addresses: &[[u8; 8]]) -> Result<(), Violation> {
        for address in addresses {
            if !self.addresses.insert((table, *address)) {
                return violation(format!("address {address:02x?} of {table:?} was given out twice"));
            }
        }
        Ok(())
    }

    /// A table came to be, or is known again.
    ///
    /// # Errors
    /// When its id has been another table's.
    pub fn table_is(&mut self, info: TableInfo) -> Result<(), Violation> {
        let known = self.tables.values().any(|table| table.id == info.id);
        if !self.table_ids.insert(info.id) && !known {
            return violation(format!("id {} has been given twice", info.id));
        }
        if info.spec.home == TableHome::Volatile {
            self.volatile.insert(info.id);
        }
        self.tables.retain(|_, table| table.id != info.id);
        self.tables.insert(info.name.clone(), info);
        Ok(())
    }

    /// A table is gone, with its pairs.
    pub fn table_gone(&mut self, name: &str) {
        if let Some(info) = self.tables.remove(name) {
            self.now.retain(|(table, _), _| *table != info.id);
        }
    }

    /// A mark from which a read is judged.
    #[must_use]
    pub fn mark(&self, key: &Key) -> Mark {
        Mark { since: self.history.len(), held: self.get(key).cloned(), asked_ms: self.now_ms }
    }

    /// Whether a read that began at `mark` may see `found` at `key`.
    #[must_use]
    pub fn may_read(&self, key: &Key, mark: &Mark, found: Option<&Found>) -> bool {
        if found.is_some_and(|found| found.content.is_over(mark.asked_ms)) {
            return false;
        }
        let matches = |known: Option<&Known>| match (found, known) {
            (None, None) => true,
            (Some(found), Some(known)) => found.is(known),
            (None, Some(known)) => known.is_gone(self.now_ms),
            (Some(_), None) => false,
        };
        if matches(mark.held.as_ref()) {
            return true;
        }
        let answered = self.history[mark.since..].iter().flat_map(|done| &done.parts);
        let changed = answered.filter(|part| part.key == *key && part.version.is_some());
        if changed
            .map(|part| Known { version: part.version, content: part.effect.content() })
            .any(|k| matches(Some(&k)))
        {
            return true;
        }
        let unanswered = self.limbo.values().flat_map(|sent| &sent.parts).filter(|part| part.key == *key);
        unanswered.filter(|part| part.effect != Effect::None).any(|part| match (found, part.effect.content()) {
            (None, content) => content.is_none_or(|content| content.is_over(self.now_ms)),
            (Some(found), Some(content)) => !self.issued.contains(&found.version) && *content == found.content,
            (Some(_), None) => false,
        })
    }

    /// A pair in a few words.
    #[must_use]
    pub fn show(known: Option<&Known>) -> String {
        known.map_or_else(|| "nothing".to_owned(), fold::show)
    }

    /// Whether a key was or may have been changed since `since` commits had been answered.
    #[must_use]
    pub fn touched(&self, key: &Key, since: usize) -> bool {
        let answered = self.history[since.min(self.history.len())..].iter().flat_map(|done| &done.parts);
        let unanswered = self.limbo.values().flat_map(|sent| &sent.parts);
        answered.chain(unanswered).any(|part| part.key == *key && part.effect != Effect::None)
    }

    /// Begins the next incarnation with what was found, once it has been judged.
    ///
    /// # Errors
    /// When a table has an id that another one had.
    pub fn settle(&mut self, recovered: &Recovered, incarnation: Incarnation) -> Result<(), Violation> {
        self.tables.clear();
        for info in &recovered.tables {
            self.table_ids.remove(&info.id);
            self.table_is(info.clone())?;
        }
        self.settled.clear();
        for (key, found) in &recovered.pairs {
            self.issued.insert(found.version);
            self.highest = self.highest.max(found.version);
            let known = Known { version: Some(found.version), content: Some(Rc::new(found.content.clone())) };
            self.settled.insert(key.clone(), known);
        }
        let settled = &self.settled;
        self.tokens.retain(|key, token| settled.get(key).is_some_and(|known| known.version == Some(token)));
        self.now = self.settled.clone();
        self.history.clear();
        self.limbo.clear();
        self.table_change = None;
        self.noticed = EpochId::base(incarnation);
        Ok(())
    }
}

/// A key as a person reads it: its table, its length and its last bytes, which tell it from others.
#[must_use]
pub fn name_of(key: &Key) -> String {
    let end = &key.1[key.1.len().saturating_sub(8)..];
    format!("{:?}/{} bytes ending in {end:02x?}", key.0, key.1.len())
}

pub(crate) fn violation<T>(what: String) -> Result<T, Violation> {
    Err(Violation(what))
}
