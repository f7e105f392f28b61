//! Every verb that changes a pair with every option, alone and with every other, on a pair that is there, is not there, or has
//! expired: what becomes of the pair is what a few lines of model say.
//!
//! What carries the operations to a domain has no part in how options go together: over a carrier each goes alone, and all at once.

use super::pairs::{PLAIN, found};
use super::{Cell, Ground, Line, On};
use crate::column::Lack;
use domains::{Committed, Level, Pair};
use lostore::Error;
use segments::{TableId, Version};
use txn::{CommitSet, Expect, PutOptions};

pub(super) const CHECKS: &[Line] = &[
    ("insert × compressed × compact × expiry × revertible × compare × persistent", On::Each, |ground| {
        all(ground, Verb::Insert)
    }),
    ("update × compressed × compact × expiry × revertible × compare × persistent", On::Each, |ground| {
        all(ground, Verb::Update)
    }),
    ("upsert × compressed × compact × expiry × revertible × compare × persistent", On::Each, |ground| {
        all(ground, Verb::Upsert)
    }),
    ("append × compressed × compact × expiry × revertible × compare × persistent", On::Each, |ground| {
        all(ground, Verb::Append)
    }),
    ("delete × compare × persistent", On::Each, |ground| all(ground, Verb::Delete)),
    ("remove × compare × persistent", On::Each, |ground| all(ground, Verb::Remove)),
    ("revert × compare × persistent", On::Each, |ground| all_of_tokens(ground, true)),
    ("seal × compare × persistent", On::Each, |ground| all_of_tokens(ground, false)),
];

const FAR_MS: u64 = 10_000_000;
const LEASE_MS: u64 = 5_000_000;
/// A moment before every clock that a column has.
const LONG_AGO_MS: u64 = 1_000;
/// What the pair held before, and what the verb puts there or adds.
const BEFORE: &[u8] = b"what was there before";
const NEW: &[u8] = &[0xE7; 700];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verb {
    Insert,
    Update,
    Upsert,
    Append,
    Delete,
    Remove,
}

/// The pair before the verb.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    Absent,
    Plain,
    WithOptions,
    Expired,
}

/// What the same set compares on another pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beside {
    Nothing,
    Holds,
    Fails,
}

/// One combination.
#[derive(Clone, Copy, Debug)]
struct Case {
    verb: Verb,
    before: Before,
    options: PutOptions,
    beside: Beside,
    level: Level,
}

/// What a pair is, but for its version.
type Shape = Option<(Vec<u8>, Option<u64>, bool)>;

fn shape(pair: Option<&Pair>) -> Shape {
    pair.map(|pair| (pair.value.clone(), pair.expires_ms, pair.compressed))
}

impl Case {
    /// Whether the verb wants of the pair what is not so.
    fn is_refused(self) -> bool {
        let is_there = matches!(self.before, Before::Plain | Before::WithOptions);
        match self.verb {
            Verb::Insert => is_there,
            Verb::Update | Verb::Delete => !is_there,
            Verb::Upsert | Verb::Append | Verb::Remove => false,
        }
    }

    /// The pair after it, when nothing refused it.
    fn after(self, was: Shape) -> Shape {
        let (expires_ms, compressed) = (self.options.expires_ms, self.options.compressed);
        match self.verb {
            Verb::Insert | Verb::Update | Verb::Upsert => Some((NEW.to_vec(), expires_ms, compressed)),
            Verb::Append => {
                let (mut value, until, was_compressed) = was.unwrap_or_default();
                value.extend_from_slice(NEW);
                Some((value, expires_ms.or(until), was_compressed || compressed))
            }
            Verb::Delete | Verb::Remove => None,
        }
    }

    fn add_to(self, set: &mut CommitSet, table: TableId, key: &[u8]) {
        match self.verb {
            Verb::Insert => set.insert(table, key, NEW, self.options),
            Verb::Update => set.update(table, key, NEW, self.options),
            Verb::Upsert => set.upsert(table, key, NEW, self.options),
            Verb::Append => set.append(table, key, NEW, self.options, Expect::Any),
            Verb::Delete => set.delete(table, key),
            Verb::Remove => set.remove(table, key),
        }
        .expect("within the limits");
    }
}

/// All options of a write, alone and together; over a carrier none, each, and all.
fn options(ground: &Ground) -> Vec<PutOptions> {
    let mut all = combinations(ground);
    let asked = |put: &PutOptions| {
        [put.compressed, put.compact, put.expires_ms.is_some(), put.revertible_ms.is_some()]
            .iter()
            .filter(|is| **is)
            .count()
    };
    if ground.on.is_carried() {
        let most = all.iter().map(asked).max().expect("none is one of them");
        all.retain(|put| asked(put) <= 1 || asked(put) == most);
    }
    all
}

fn combinations(ground: &Ground) -> Vec<PutOptions> {
    let far = ground.on.unix_ms() + FAR_MS;
    let leases: &[_] = if ground.on.lacks(Lack::Reverts) { &[None] } else { &[None, Some(LEASE_MS)] };
    let mut all = Vec::new();
    for compressed in [false, true] {
        for compact in [false, true] {
            for expires_ms in [None, Some(far)] {
                let of = |&revertible_ms: &Option<u64>| PutOptions { expires_ms, compressed, compact, revertible_ms };
                all.extend(leases.iter().map(of));
            }
        }
    }
    all
}

/// What a set may be told to compare beside the verb, and when to be answered.
fn surroundings(ground: &Ground) -> Vec<(Beside, Level)> {
    let levels: &[_] =
        if ground.on.lacks(Lack::Persistence) { &[Level::Committed] } else { &[Level::Committed, Level::Persistent] };
    let besides = [Beside::Nothing, Beside::Holds, Beside::Fails];
    let mut all: Vec<_> =
        besides.into_iter().flat_map(|beside| levels.iter().map(move |&level| (beside, level))).collect();
    if ground.on.is_carried() {
        // Each compare, and each level with one that holds and with one that does not.
        all.retain(|around| {
            !matches!(around, (Beside::Nothing, Level::Persistent) | (Beside::Fails, Level::Committed))
        });
    }
    all
}

/// The pair beside, and the set's compare of it.
fn compare_beside(set: &mut CommitSet, table: TableId, key: &[u8], at: Version, beside: Beside) {
    let expect = match beside {
        Beside::Nothing => return,
        Beside::Holds => Expect::At(at),
        Beside::Fails => Expect::Absent,
    };
    set.compare(table, key, expect).expect("within the limits");
}

fn prepare(ground: &mut Ground, table: TableId, key: &[u8], before: Before) {
    let now = ground.on.unix_ms();
    let options = match before {
        Before::Absent => return,
        Before::Plain => PLAIN,
        Before::WithOptions => PutOptions { expires_ms: Some(now + 2 * FAR_MS), compressed: true, ..PLAIN },
        // Its time is over when it is written.
        Before::Expired => PutOptions { expires_ms: Some(LONG_AGO_MS), compressed: true, ..PLAIN },
    };
    ground.on.change(|set| set.upsert(table, key, BEFORE, options).expect("within the limits")).expect("no compare");
}

/// That nothing was changed and the failure named: the part, by its number, and what is there.
fn check_refused(done: Result<Committed, Error>, case: &str, expected: &[(u32, Option<Version>)]) {
    assert_eq!(found(done), expected, "{case}");
}

fn all(ground: &mut Ground, verb: Verb) -> Cell {
    let table = ground.table();
    let writes = !matches!(verb, Verb::Delete | Verb::Remove);
    let options = if writes { options(ground) } else { vec![PLAIN] };
    let mut cases = Vec::new();
    for before in [Before::Absent, Before::Plain, Before::WithOptions, Before::Expired] {
        for &options in &options {
            let around = surroundings(ground).into_iter();
            cases.extend(around.map(|(beside, level)| Case { verb, before, options, beside, level }));
        }
    }
    let count = u32::try_from(cases.len()).expect("some hundreds");
    let mut keys = ground.keys(table, count + 1);
    let beside = keys.pop().expect("one more than cases");
    let at = ground.on.put(table, &beside, b"beside");
    for (case, key) in cases.into_iter().zip(&keys) {
        one(ground, table, key, case, (&beside, at));
    }
    Cell::Holds
}

fn one(ground: &mut Ground, table: TableId, key: &[u8], case: Case, (beside, at): (&[u8], Version)) {
    prepare(ground, table, key, case.before);
    let was = ground.on.get(table, key);
    let name = format!("{case:?}");
    assert_eq!(was.is_some(), matches!(case.before, Before::Plain | Before::WithOptions), "{name}");
    let mut set = CommitSet::new();
    case.add_to(&mut set, table, key);
    compare_beside(&mut set, table, beside, at, case.beside);
    let done = ground.on.commit(set, case.level);
    let mut refused = Vec::new();
    if case.is_refused() {
        refused.push((0, was.as_ref().map(|pair| pair.version)));
    }
    if case.beside == Beside::Fails {
        refused.push((1, Some(at)));
    }
    if !refused.is_empty() {
        check_refused(done, &name, &refused);
        assert_eq!(ground.on.get(table, key), was, "what is refused changes nothing: {name}");
        return;
    }
    let done = done.unwrap_or_else(|error| panic!("{name}: {error}"));
    let is = ground.on.get(table, key);
    assert_eq!(shape(is.as_ref()), case.after(shape(was.as_ref())), "{name}");
    if let Some(pair) = &is {
        assert_eq!(pair.version, done.versions.as_slice()[0], "{name}");
        assert!(was.as_ref().is_none_or(|was| was.version < pair.version), "versions rise: {name}");
    }
    if case.level == Level::Persistent && table_is_persistent(ground) {
        assert!(ground.on.horizon().persistent >= done.epoch, "answered when persistent: {name}");
    }
    if case.options.revertible_ms.is_some() {
        let token = done.versions.as_slice()[0];
        ground
            .on
            .change(|set| set.revert(table, key, token).expect("one part"))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(shape(ground.on.get(table, key).as_ref()), shape(was.as_ref()), "reverted: {name}");
    }
}

fn table_is_persistent(ground: &Ground) -> bool {
    ground.home == domains::schema::TableHome::Persistent && !ground.on.lacks(Lack::Persistence)
}

/// A revert or a seal of each kind of write, beside each compare, at each level.
fn all_of_tokens(ground: &mut Ground, reverts: bool) -> Cell {
    if ground.on.lacks(Lack::Reverts) {
        return Cell::Not(Lack::Reverts);
    }
    let table = ground.table();
    let around = surroundings(ground);
    let befores = [Before::Absent, Before::Plain, Before::WithOptions];
    let verbs = [Verb::Upsert, Verb::Append];
    let count = around.len() * befores.len() * verbs.len();
    let mut keys = ground.keys(table, u32::try_from(count).expect("some tens") + 1);
    let beside = keys.pop().expect("one more than cases");
    let at = ground.on.put(table, &beside, b"beside");
    for verb in verbs {
        for before in befores {
            for &(compare, level) in &around {
                let key = keys.pop().expect("a key each");
                let options = PutOptions { revertible_ms: Some(LEASE_MS), ..PLAIN };
                let case = Case { verb, before, options, beside: compare, level };
                token(ground, table, &key, case, reverts, (&beside, at));
            }
        }
    }
    Cell::Holds
}

fn token(ground: &mut Ground, table: TableId, key: &[u8], case: Case, reverts: bool, (beside, at): (&[u8], Version)) {
    let name = format!("{} of {case:?}", if reverts { "revert" } else { "seal" });
    prepare(ground, table, key, case.before);
    let was = ground.on.get(table, key);
    let token = ground.on.change(|set| case.add_to(set, table, key)).expect("no compare").versions.as_slice()[0];
    let written = ground.on.get(table, key);
    let mut set = CommitSet::new();
    if reverts { set.revert(table, key, token) } else { set.seal(table, key, token) }.expect("one part");
    compare_beside(&mut set, table, beside, at, case.beside);
    let done = ground.on.commit(set, case.level);
    if case.beside == Beside::Fails {
        check_refused(done, &name, &[(1, Some(at))]);
        assert_eq!(ground.on.get(table, key), written, "what is refused changes nothing: {name}");
        return;
    }
    let done = done.unwrap_or_else(|error| panic!("{name}: {error}"));
    let is = ground.on.get(table, key);
    let wanted = if reverts { shape(was.as_ref()) } else { shape(written.as_ref()) };
    assert_eq!(shape(is.as_ref()), wanted, "{name}");
    assert!(is.is_none_or(|pair| pair.version == done.versions.as_slice()[0]), "under a new version: {name}");
    let again = ground.on.change(|set| set.revert(table, key, token).expect("one part"));
    assert!(again.is_err(), "a token is good once: {name}");
}
