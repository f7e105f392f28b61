//! What recovery must have left: the fold of the commits up to the cut, compared with what was found.

use super::commit::{Content, Done, Effect, Key, PartOf, Sent};
use super::{Known, Model, State, TableChange, Violation, name_of, violation};
use domains::{Persistence, TableInfo};
use segments::{EpochId, TableId, Version};
use std::collections::{BTreeMap, BTreeSet};
use txn::Expect;

/// A pair as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its version.
    pub version: Version,
    /// What it holds.
    pub content: Content,
}

impl Found {
    /// Whether it is what the oracle knows; a version that was never answered may be any.
    pub(super) fn is(&self, known: &Known) -> bool {
        let version = known.version.is_none_or(|version| version == self.version);
        version && known.content.as_deref() == Some(&self.content)
    }
}

/// Keys of commits without an answer that could not be placed, and whether one of those may have left nothing at the key: it deletes
/// it, or puts what is over by now.
type Doubtful = BTreeMap<Key, bool>;

/// Everything that was found after a recovery.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The tables, by the domain's own listing.
    pub tables: Vec<TableInfo>,
    /// Every pair of every table.
    pub pairs: BTreeMap<Key, Found>,
    /// The wall clock before and after the listing.
    pub within_ms: (u64, u64),
}

impl Model {
    /// Judges what a recovery left. `cut` is the cut of the last incarnation that served, when the recovery named it; a recovery
    /// that came after another was interrupted names the cut of that one, which served nobody.
    ///
    /// # Errors
    /// When no cut, or not the cut that was named, explains what was found.
    pub fn judge(&self, recovered: &Recovered, cut: Option<EpochId>) -> Result<EpochId, Violation> {
        self.judge_tables(&recovered.tables)?;
        let (commits, doubtful) = self.explained(recovered);
        let cuts = match cut {
            Some(cut) if cut < self.noticed => {
                return violation(format!("the cut is {cut}, and {} had been announced", self.noticed));
            }
            Some(cut) => BTreeSet::from([cut]),
            None => {
                let epochs = commits.iter().map(|done| done.epoch).filter(|epoch| *epoch > self.noticed);
                epochs.chain([self.noticed]).collect()
            }
        };
        let mut first = None;
        for cut in cuts.iter().rev() {
            match self.compare(recovered, &commits, &doubtful, *cut) {
                Ok(()) => return Ok(*cut),
                Err(what) => first = first.or(Some(what)),
            }
        }
        Err(first.expect("there is at least one cut to try"))
    }

    /// All commits that can be placed, in their order; and the keys of those that cannot.
    fn explained(&self, recovered: &Recovered) -> (Vec<Done>, Doubtful) {
        let mut commits = self.history.clone();
        let mut doubtful = Doubtful::new();
        for sent in self.limbo.values() {
            match self.stamp(sent, recovered) {
                Some(version) => commits.push(placed(sent, version, self.now_ms)),
                None => {
                    for part in sent.parts.iter().filter(|part| part.effect != Effect::None) {
                        let left = part.effect.content();
                        *doubtful.entry(part.key.clone()).or_default() |=
                            left.is_none_or(|content| content.is_over(recovered.within_ms.1));
                    }
                }
            }
        }
        commits.sort_by_key(|done| done.order);
        (commits, doubtful)
    }

    /// The version of a pair that only this commit can have written, if it is there.
    fn stamp(&self, sent: &Sent, recovered: &Recovered) -> Option<Version> {
        sent.parts.iter().find_map(|part| {
            let found = recovered.pairs.get(&part.key)?;
            let written = part.effect.content().is_some_and(|content| *content == found.content);
            (written && !self.issued.contains(&found.version)).then_some(found.version)
        })
    }

    fn compare(
        &self,
        recovered: &Recovered,
        commits: &[Done],
        doubtful: &Doubtful,
        cut: EpochId,
    ) -> Result<(), Violation> {
        let mut state = self.settled.clone();
        let survived = |done: &&Done| done.epoch <= cut && done.order != Version::default();
        for done in commits.iter().filter(survived) {
            for part in &done.parts {
                check_expect(&state, part, doubtful, done)?;
            }
            for part in done.parts.iter().filter(|part| part.effect != Effect::None) {
                // A delete that found nothing has no version, and putting nothing over nothing is right.
                let known = Known { version: part.version, content: part.effect.content() };
                state.insert(part.key.clone(), known);
            }
        }
        let tables: BTreeSet<TableId> = recovered.tables.iter().map(|info| info.id).collect();
        state.retain(|(table, _), known| {
            !known.is_gone(recovered.within_ms.0) && tables.contains(table) && !self.volatile.contains(table)
        });
        difference(&state, recovered, doubtful, cut)
    }

    fn judge_tables(&self, found: &[TableInfo]) -> Result<(), Violation> {
        let mut found: BTreeMap<&str, &TableInfo> = found.iter().map(|info| (info.name.as_str(), info)).collect();
        let mut known: BTreeMap<&str, &TableInfo> =
            self.tables.iter().map(|(name, info)| (name.as_str(), info)).collect();
        match &self.table_change {
            None => {}
            Some(TableChange::Create { name, home }) => {
                if let Some(info) = found.remove(name.as_str())
                    && (info.spec.home != *home || self.table_ids.contains(&info.id))
                {
                    return violation(format!("table '{name}' was recovered as {info:?}"));
                }
            }
            Some(TableChange::Rename { from, to }) => {
                let renamed = found.remove(to.as_str()).map(|info| info.id);
                if renamed.is_some() && known.remove(from.as_str()).map(|info| info.id) != renamed {
                    return violation(format!("table '{to}' was recovered as {renamed:?}, which was not '{from}'"));
                }
            }
            Some(TableChange::Destroy { name }) => known.retain(|known, _| known != name || found.contains_key(known)),
        }
        if found != known {
            return violation(format!("tables: found {:?}, expected {:?}", found.keys(), known.keys()));
        }
        Ok(())
    }
}

/// A commit without an answer that has been found, placed by one of its versions.
fn placed(sent: &Sent, version: Version, now_ms: u64) -> Done {
    Done {
        parts: sent.parts.clone(),
        epoch: version.epoch,
        persistence: Persistence::Pending,
        order: version,
        volatile_only: false,
        within_ms: (sent.sent_ms, now_ms),
    }
}

/// Every compare of a commit that survived held at its place.
fn check_expect(state: &State, part: &PartOf, doubtful: &Doubtful, done: &Done) -> Result<(), Violation> {
    if doubtful.contains_key(&part.key) {
        return Ok(());
    }
    let (sent_ms, applied_ms) = done.within_ms;
    // What was over when the commit was sent was not there; what was over later may have been.
    let there = state.get(&part.key).filter(|known| !known.is_gone(sent_ms));
    let holds = match part.expect {
        Expect::Any => true,
        Expect::Absent => there.is_none_or(|known| known.is_gone(applied_ms)),
        Expect::Present => there.is_some(),
        Expect::At(version) => there.is_some_and(|known| known.version.is_none_or(|found| found == version)),
        Expect::Never => false,
    };
    if holds {
        return Ok(());
    }
    violation(format!(
        "{} was committed though {:?} did not hold at {}: {:?}",
        done.order,
        part.expect,
        name_of(&part.key),
        there.map(show)
    ))
}

fn difference(state: &State, recovered: &Recovered, doubtful: &Doubtful, cut: EpochId) -> Result<(), Violation> {
    let pairs = &recovered.pairs;
    for (key, known) in state {
        match pairs.get(key) {
            Some(found) if found.is(known) => {}
            // A delete without an answer, of which no stamp is left, may have been applied.
            None if doubtful.get(key) == Some(&true) => {}
            // Its time came while everything was listed.
            None if known.is_gone(recovered.within_ms.1) => {}
            found => {
                return violation(format!(
                    "cut {cut}: at {} expected {}, found {}",
                    name_of(key),
                    show(known),
                    seen(found)
                ));
            }
        }
    }
    match pairs.iter().find(|(key, _)| !state.contains_key(*key)) {
        None => Ok(()),
        Some((key, found)) => {
            violation(format!("cut {cut}: at {} expected nothing, found {}", name_of(key), seen(Some(found))))
        }
    }
}

pub(super) fn show(known: &Known) -> String {
    let bytes = known.content.as_ref().map_or(0, |content| content.value.len());
    format!("{bytes} bytes at {:?}", known.version)
}

fn seen(found: Option<&Found>) -> String {
    found.map_or_else(
        || "nothing".to_owned(),
        |found| format!("{} bytes at {}", found.content.value.len(), found.version),
    )
}
