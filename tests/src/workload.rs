//! What a client does, invented from a seed: tables of every kind, sets of every shape, values of every awkward length.
//!
//! Contract: it proposes, the harness performs. Most of what it proposes can succeed; the rest is refused by compares. What it
//! writes can be told apart: a value of at least 8 bytes begins with a stamp that is used once, a shorter one carries a
//! stamp as its time of expiry (far in the future), and a set that deletes carries a stamp of its own, most of the time. The oracle
//! needs that to place a commit whose answer was lost.

use crate::model::{Key, Known, Model, TableChange};
use crate::rng::Rng;
use domains::schema::{TableHome, TableKind};
use domains::{Level, TableInfo, TableSpec};
use segments::limits::KEY_BYTES_MAX;
use segments::{EpochId, TableId};
use std::collections::BTreeMap;
use txn::{Change, CommitSet, Expect, PutOptions};

/// Stamps that are times of expiry begin here: the year 2255.
const EXPIRY_STAMPS_MS: u64 = 9_000_000_000_000;
/// Name of the table that is never destroyed and takes the stamps.
const STAMPS: &str = "stamps";
/// Records do not grow past about this.
const GROWN_BYTES_MAX: usize = 120_000;
/// Most tables at a time, the one of the stamps included.
const TABLES_MAX: usize = 6;

/// What the client wants next.
#[derive(Clone, Debug)]
pub enum Action {
    /// Commit a set.
    Commit(CommitSet, Level),
    /// Look a key up.
    Lookup(Key),
    /// List a table to its end, in batches.
    Scan(TableId),
    /// Have addresses set aside.
    Reserve(TableId, u32),
    /// Wait for an epoch.
    Await(EpochId),
    /// Ask for persistence.
    Force,
    /// Change the catalog.
    Table(TableChange, Option<TableSpec>),
    /// Let reads be cold.
    DropCache,
    /// Do nothing for a while.
    Idle(u64),
}

/// How a seed's client behaves.
#[derive(Clone, Debug)]
pub struct Workload {
    rng: Rng,
    stamp: u64,
    keys: u64,
    value_bytes_max: usize,
    table_changes: u64,
    persistent_level: u64,
    reserved: BTreeMap<TableId, Vec<[u8; 8]>>,
}

impl Workload {
    /// A client of a seed's own habits.
    #[must_use]
    pub fn new(mut rng: Rng) -> Self {
        Self {
            stamp: 0,
            keys: rng.between(2, 24),
            value_bytes_max: *rng.pick(&[40, 300, 4_000, 9_000, 9_000, 70_000]),
            table_changes: *rng.pick(&[0, 0, 2, 10]),
            persistent_level: rng.below(5),
            reserved: BTreeMap::new(),
            rng,
        }
    }

    /// Nothing that was set aside is ours after a restart.
    pub fn restarted(&mut self) {
        self.reserved.clear();
    }

    /// Addresses came.
    pub fn reserved(&mut self, table: TableId, addresses: &[[u8; 8]]) {
        self.reserved.entry(table).or_default().extend_from_slice(addresses);
    }

    /// The tables to begin with.
    pub fn first_tables(&mut self) -> Vec<(String, TableSpec)> {
        let mut tables = vec![(STAMPS.to_owned(), spec(TableKind::Hash, TableHome::Persistent))];
        for _ in 0..self.rng.between(1, 4) {
            tables.push((self.name(), self.spec()));
        }
        tables
    }

    /// What comes next.
    pub fn next(&mut self, model: &Model) -> Action {
        match self.rng.below(100) {
            0..=54 => self.commit(model),
            55..=74 => Action::Lookup(self.key(model)),
            75..=78 => Action::Scan(self.table(model).id),
            79..=82 => self.reserve(model),
            83..=85 => Action::Await(model.last_epoch()),
            86..=88 => Action::Force,
            89..=90 => Action::DropCache,
            draw if draw < 91 + self.table_changes && model.table_change.is_none() => self.table_change(model),
            _ => Action::Idle(self.rng.below(1_500_000)),
        }
    }

    fn name(&mut self) -> String {
        format!("table-{}", self.next_stamp())
    }

    fn spec(&mut self) -> TableSpec {
        let kind = *self.rng.pick(&[
            TableKind::Hash,
            TableKind::Hash,
            TableKind::Ordered,
            TableKind::Ordered,
            TableKind::Sack,
        ]);
        let home = if self.rng.chance(1, 4) { TableHome::Volatile } else { TableHome::Persistent };
        spec(kind, home)
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// A table that nobody is about to destroy.
    fn table<'m>(&mut self, model: &'m Model) -> &'m TableInfo {
        let doomed = match &model.table_change {
            Some(TableChange::Destroy { name }) => name.as_str(),
            _ => "",
        };
        let tables: Vec<_> = model.tables.values().filter(|info| info.name != doomed).collect();
        tables[self.rng.index(tables.len())]
    }

    fn key(&mut self, model: &Model) -> Key {
        let info = self.table(model);
        let key = match info.spec.kind {
            TableKind::Sack => {
                let known = model.keys(info.id);
                if known.is_empty() { vec![0; 8] } else { self.rng.pick(&known).clone() }
            }
            TableKind::Hash | TableKind::Ordered => key_of(self.rng.below(self.keys)),
        };
        (info.id, key)
    }

    fn reserve(&mut self, model: &Model) -> Action {
        let sacks: Vec<_> = model.tables.values().filter(|info| info.spec.kind == TableKind::Sack).collect();
        if sacks.is_empty() {
            return Action::Force;
        }
        Action::Reserve(
            sacks[self.rng.index(sacks.len())].id,
            u32::try_from(self.rng.between(1, 4)).expect("at most 4"),
        )
    }

    fn commit(&mut self, model: &Model) -> Action {
        let level = if self.rng.chance(self.persistent_level, 8) { Level::Persistent } else { Level::Committed };
        loop {
            let mut set = CommitSet::new();
            let parts = if self.rng.chance(1, 16) { self.rng.between(5, 20) } else { self.rng.between(1, 4) };
            for _ in 0..parts {
                self.add_part(&mut set, model);
            }
            self.add_stamp(&mut set, model);
            if loose_deletes(&set) <= 1 {
                return Action::Commit(set, level);
            }
        }
    }

    /// Adds a part. What the set itself refuses (two inserts of one key, say) is left out.
    fn add_part(&mut self, set: &mut CommitSet, model: &Model) {
        let info = self.table(model).clone();
        let (table, sensible) = (info.id, self.rng.chance(15, 16));
        let fresh = info.spec.kind == TableKind::Sack && self.rng.chance(1, 2);
        if let Some(address) = self.reserved.get_mut(&table).filter(|_| fresh).and_then(Vec::pop) {
            let (value, options) = self.value();
            let _ = set.insert(table, &address, &value, options);
            return;
        }
        let key = self.key(model);
        if info.id != key.0 || info.spec.kind == TableKind::Sack && model.get(&key).is_none() {
            return;
        }
        let present = if sensible { model.get(&key) } else { None };
        let (value, options) = self.value();
        let grows = |known: &Known| known.content.as_ref().is_some_and(|content| content.value.len() < GROWN_BYTES_MAX);
        let _ = match (present, self.rng.below(10)) {
            // The oracle knows what it becomes, since it says what it finds.
            (Some(known), 8 | 9) if known.version.is_some() && grows(known) => {
                let expect = known.version.map_or(Expect::Never, Expect::At);
                set.append(table, &key.1, &value, options, expect)
            }
            (None, 9) => set.append(table, &key.1, &value, options, Expect::Absent),
            (Some(known), 0 | 1) => set.compare(table, &key.1, known.version.map_or(Expect::Present, Expect::At)),
            (Some(_), 2 | 3) => set.update(table, &key.1, &value, options),
            (Some(_), 4) => set.delete(table, &key.1),
            (_, 5) => set.remove(table, &key.1),
            (None, 0) => set.compare(table, &key.1, Expect::Absent),
            (None, 1..=4) => set.insert(table, &key.1, &value, options),
            _ => set.upsert(table, &key.1, &value, options),
        };
    }

    /// A set that deletes leaves a stamp, unless it is to be seen what happens without.
    fn add_stamp(&mut self, set: &mut CommitSet, model: &Model) {
        let deletes = set.parts().any(|part| part.change == Change::Delete);
        if deletes && self.rng.chance(7, 8) {
            let stamp = self.next_stamp();
            let table = model.tables[STAMPS].id;
            let key = (stamp % 40).to_le_bytes();
            set.upsert(table, &key, &stamp.to_le_bytes(), PutOptions::default()).expect("a small set takes it");
        }
    }

    /// A value that nobody else writes.
    fn value(&mut self) -> (Vec<u8>, PutOptions) {
        let bytes = match self.rng.below(64) {
            0..=2 => 0,
            3..=5 => self.rng.between(1, 7),
            6..=43 => self.rng.between(8, 64),
            44..=53 => self.rng.between(65, 600),
            54..=58 => self.rng.between(600, 3_800),
            59..=60 => self.rng.between(3_800, 4_200),
            61..=62 => self.rng.between(4_200, 20_000),
            _ => self.rng.between(20_000, 70_000),
        };
        let bytes = usize::try_from(bytes).expect("small").min(self.value_bytes_max);
        let stamp = self.next_stamp();
        let mut value = vec![0; bytes];
        let mut options = PutOptions { expires_ms: None, compressed: self.rng.chance(1, 8) };
        self.rng.fill(&mut value);
        match value.first_chunk_mut() {
            Some(start) => *start = stamp.to_le_bytes(),
            None => options.expires_ms = Some(EXPIRY_STAMPS_MS + stamp),
        }
        (value, options)
    }

    fn table_change(&mut self, model: &Model) -> Action {
        let names: Vec<_> = model.tables.keys().filter(|name| *name != STAMPS).cloned().collect();
        let draw = self.rng.below(4);
        if names.is_empty() || draw < 2 && model.tables.len() < TABLES_MAX {
            let (name, spec) = (self.name(), self.spec());
            return Action::Table(TableChange::Create { name, home: spec.home }, Some(spec));
        }
        let name = self.rng.pick(&names).clone();
        if draw == 2 {
            return Action::Table(TableChange::Rename { from: name, to: self.name() }, None);
        }
        Action::Table(TableChange::Destroy { name }, None)
    }
}

/// Deletes that ask for nothing and may find nothing: the oracle can take one a set.
fn loose_deletes(set: &CommitSet) -> usize {
    set.parts().filter(|part| part.change == Change::Delete && part.expect == Expect::Any).count()
}

/// Keys of every awkward length: none, one byte, common beginnings, the longest.
#[must_use]
pub fn key_of(index: u64) -> Vec<u8> {
    let bytes = match index % 8 {
        0 if index == 0 => 0,
        1 => 1,
        2 => 2,
        3 | 4 => 8,
        5 => 40,
        6 => 200,
        _ if index == 7 => KEY_BYTES_MAX,
        _ => 16,
    };
    let mut key = vec![b'k'; bytes];
    if let Some(last) = key.last_mut() {
        *last = u8::try_from(index).expect("few keys");
    }
    key
}

fn spec(kind: TableKind, home: TableHome) -> TableSpec {
    TableSpec { type_name: "simulated".to_owned(), kind, home, key: Vec::new(), record: Vec::new(), pairs_hint: 0 }
}
