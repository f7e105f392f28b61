//! What a client does, invented from a seed: tables of every kind, sets of every shape, values of every awkward length.
//!
//! Contract: it proposes, the harness performs. Most of what it proposes can succeed; the rest is refused by compares. What it
//! writes can be told apart: a value of at least 8 bytes begins with a stamp that is used once, a shorter one carries a
//! stamp as its time of expiry (far in the future), and a set that deletes, reverts or seals carries a stamp of its own, most of the time. The oracle
//! needs that to place a commit whose answer was lost. What it does at all are the seed's [`Features`].

use crate::features::{Feature, Features};
use crate::model::{Key, Known, Model, TableChange};
use crate::rng::Rng;
use domains::schema::envelope::{self, EnvelopeWriter, Rest};
use domains::schema::{Field, FieldType, Rule, TableHome, TableKind};
use domains::{Cursor, Direction, Level, TableInfo, TableSpec};
use segments::limits::KEY_BYTES_MAX;
use segments::{EpochId, TableId};
use std::collections::BTreeMap;
use txn::{Change, CommitSet, Expect, PutOptions};

/// Stamps that are times of expiry begin here: the year 2255.
const EXPIRY_STAMPS_MS: u64 = 9_000_000_000_000;
/// Leases of revertible writes: longer than any simulation.
const LEASE_MS: u64 = 1 << 50;
/// Name of the table that is never destroyed and takes the stamps; pointers name its keys.
pub const STAMPS: &str = "stamps";
/// Keys of that table.
const STAMP_KEYS: u64 = 40;
/// The field of a holder's record that is its pointer.
pub const POINTER_FIELD: u16 = 1;
/// How long pairs live that expire soon: as long as a few operations take, or some lives.
const LIFE_MS_MAX: u64 = 12;
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
    /// List pairs to the end, in batches.
    Scan(Range),
    /// Follow the pointer of a pair.
    Follow(Key),
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

/// Pairs of a table, in a direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// The table.
    pub table: TableId,
    /// From where.
    pub from: Cursor,
    /// The first key that is not wanted any more.
    pub until: Option<Vec<u8>>,
    /// Which way.
    pub direction: Direction,
}

impl Range {
    /// All pairs of a table.
    #[must_use]
    pub fn whole(table: TableId) -> Self {
        Self { table, from: Cursor::Start, until: None, direction: Direction::Next }
    }

    /// Whether a key lies in it, in a table that has its keys in order.
    #[must_use]
    pub fn holds(&self, key: &[u8]) -> bool {
        let begun = match (&self.from, self.direction) {
            (Cursor::Start, _) => true,
            (Cursor::At(from), Direction::Next) => key >= from.as_slice(),
            (Cursor::Past(from), Direction::Next) => key > from.as_slice(),
            (Cursor::At(from), Direction::Previous) => key <= from.as_slice(),
            (Cursor::Past(from), Direction::Previous) => key < from.as_slice(),
        };
        begun
            && self.until.as_deref().is_none_or(|until| match self.direction {
                Direction::Next => key < until,
                Direction::Previous => key > until,
            })
    }
}

/// The key that a holder's record points at; nothing when the pointer is null.
///
/// # Panics
/// If the record is no holder's.
#[must_use]
pub fn pointer_of(record: &[u8]) -> Option<Vec<u8>> {
    let field = envelope::field(record, usize::from(POINTER_FIELD)).expect("a holder's record is whole");
    let target = envelope::pointer_target(field.expect("it has its pointer")).expect("it is a pointer");
    target.map(<[u8]>::to_vec)
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
    features: Features,
    reserved: BTreeMap<TableId, Vec<[u8; 8]>>,
}

impl Workload {
    /// A client of a seed's own habits.
    #[must_use]
    pub fn new(mut rng: Rng, features: Features) -> Self {
        let sizes: &[usize] = if features.has(Feature::Large) { &[9_000, 9_000, 70_000] } else { &[40, 300, 4_000] };
        Self {
            stamp: 0,
            keys: rng.between(2, 24),
            value_bytes_max: *rng.pick(sizes),
            table_changes: if features.has(Feature::Tables) { *rng.pick(&[2, 8]) } else { 0 },
            persistent_level: rng.below(5),
            features,
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
        if self.features.has(Feature::Follows) {
            tables.push((self.name(), self.holder()));
        }
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
            75..=78 => Action::Scan(self.range(model)),
            79..=82 => self.reserve(model),
            83..=85 => Action::Await(model.last_epoch()),
            86..=88 => Action::Force,
            89 => Action::DropCache,
            draw if draw < 90 + self.table_changes && model.table_change.is_none() => self.table_change(model),
            98 | 99 if self.features.has(Feature::Follows) => self.follow(model),
            _ => Action::Idle(self.rng.below(1_500_000)),
        }
    }

    fn name(&mut self) -> String {
        format!("table-{}", self.next_stamp())
    }

    fn spec(&mut self) -> TableSpec {
        let sack = if self.features.has(Feature::Sacks) { TableKind::Sack } else { TableKind::Ordered };
        let kind = *self.rng.pick(&[TableKind::Hash, TableKind::Hash, TableKind::Ordered, TableKind::Ordered, sack]);
        let home = if self.rng.chance(1, 4) { TableHome::Volatile } else { TableHome::Persistent };
        let by_client = kind == TableKind::Hash && self.features.has(Feature::ClientHash) && self.rng.chance(1, 2);
        let mut spec = spec(if by_client { TableKind::ClientHash } else { kind }, home);
        if kind == TableKind::Hash && self.features.has(Feature::CompactSlots) && self.rng.chance(2, 3) {
            spec.rules.push(Rule::CompactSlots);
            spec.pairs_hint = *self.rng.pick(&[0, 1, 1 << 20]);
        }
        spec
    }

    /// A table whose records are bytes and a pointer into the table of the stamps.
    fn holder(&mut self) -> TableSpec {
        let field = |name: &str, field_type| Field { name: name.to_owned(), field_type };
        let pointer = FieldType::Pointer { table: STAMPS.to_owned() };
        TableSpec { record: vec![field("bytes", FieldType::Bytes), field("stamp", pointer)], ..self.spec() }
    }

    /// All of a table, or a prefix of one that has its keys in order, from either end.
    fn range(&mut self, model: &Model) -> Range {
        let info = self.table(model);
        let whole = Range::whole(info.id);
        if info.spec.kind != TableKind::Ordered || !self.features.has(Feature::Prefixes) {
            return whole;
        }
        let key = key_of(self.rng.below(self.keys));
        let prefix = key[..self.rng.index(key.len() + 1)].to_vec();
        let behind = successor(&prefix);
        if self.rng.chance(1, 2) {
            return Range { from: Cursor::At(prefix), until: behind, ..whole };
        }
        let from = behind.map_or(Cursor::Start, Cursor::Past);
        Range { from, until: Some(prefix), direction: Direction::Previous, ..whole }
    }

    fn follow(&mut self, model: &Model) -> Action {
        let Some(holder) = model.tables.values().find(|info| is_holder(info)) else { return Action::Idle(0) };
        let keys = model.keys(holder.id);
        let there = !keys.is_empty() && self.rng.chance(7, 8);
        let key = if there { self.rng.pick(&keys).clone() } else { key_in(holder, self.rng.below(self.keys)) };
        Action::Follow((holder.id, key))
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
            TableKind::Hash | TableKind::Ordered | TableKind::ClientHash => key_in(info, self.rng.below(self.keys)),
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
        if self.features.has(Feature::Crowds) && self.rng.chance(1, 2) {
            return Action::Commit(self.insist(model), level);
        }
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

    /// One of many that want one key: most insist on what it is not, and their answers name the version that is there; some have
    /// been told and know it.
    fn insist(&mut self, model: &Model) -> CommitSet {
        let table = model.tables[STAMPS].id;
        let (key, stamp) = (0u64.to_le_bytes(), self.next_stamp());
        let mut set = CommitSet::new();
        let there = model.get(&(table, key.to_vec())).and_then(|known| known.version);
        let known = there.filter(|_| stamp % 8 == 0).unwrap_or_default();
        set.compare(table, &key, Expect::At(known)).expect("a small set takes it");
        set.upsert(table, &key, &stamp.to_le_bytes(), PutOptions::default()).expect("a small set takes it");
        set
    }

    /// Adds a part. What the set itself refuses (two inserts of one key, say) is left out.
    fn add_part(&mut self, set: &mut CommitSet, model: &Model) {
        let info = self.table(model).clone();
        let (table, sensible) = (info.id, self.rng.chance(15, 16));
        let fresh = info.spec.kind == TableKind::Sack && self.rng.chance(1, 2);
        if let Some(address) = self.reserved.get_mut(&table).filter(|_| fresh).and_then(Vec::pop) {
            let (value, options) = self.value(&info, model);
            let _ = set.insert(table, &address, &value, options);
            return;
        }
        let key = self.key(model);
        if info.id != key.0 || info.spec.kind == TableKind::Sack && model.get(&key).is_none() {
            return;
        }
        if let Some(token) = model.token(&key).filter(|_| self.rng.chance(1, 3)) {
            let seals = self.rng.chance(1, 4);
            let _ = if seals { set.seal(table, &key.1, token) } else { set.revert(table, &key.1, token) };
            return;
        }
        let present = model.get(&key).filter(|known| sensible && !known.is_gone(model.now_ms()));
        let (value, options) = self.value(&info, model);
        if let Some(seen) = present.and_then(|known| known.version)
            && self.features.has(Feature::Swaps)
            && self.rng.chance(1, 4)
        {
            let _ = set.compare(table, &key.1, Expect::At(seen));
            let _ = if self.rng.chance(1, 8) {
                set.delete(table, &key.1)
            } else {
                set.update(table, &key.1, &value, options)
            };
            return;
        }
        // Bytes behind a record with fields would break it.
        let bytes = info.spec.record.is_empty();
        let grows = |known: &Known| {
            bytes && known.content.as_ref().is_some_and(|content| content.value.len() < GROWN_BYTES_MAX)
        };
        let _ = match (present, self.rng.below(10)) {
            // The oracle knows what it becomes, since it says what it finds.
            (Some(known), 8 | 9) if known.version.is_some() && grows(known) => {
                let expect = known.version.map_or(Expect::Never, Expect::At);
                set.append(table, &key.1, &value, options, expect)
            }
            (None, 9) if bytes => set.append(table, &key.1, &value, options, Expect::Absent),
            (Some(known), 0 | 1) => set.compare(table, &key.1, known.version.map_or(Expect::Present, Expect::At)),
            (Some(_), 2 | 3) => set.update(table, &key.1, &value, options),
            (Some(_), 4) => set.delete(table, &key.1),
            (_, 5) => set.remove(table, &key.1),
            (None, 0) => set.compare(table, &key.1, Expect::Absent),
            (None, 1..=4) => set.insert(table, &key.1, &value, options),
            _ => set.upsert(table, &key.1, &value, options),
        };
    }

    /// A set that deletes or puts back what was there leaves a stamp, unless it is to be seen what happens without.
    fn add_stamp(&mut self, set: &mut CommitSet, model: &Model) {
        let deletes = |change| matches!(change, Change::Delete | Change::Revert { .. } | Change::Seal { .. });
        if set.parts().any(|part| deletes(part.change)) && self.rng.chance(7, 8) {
            let stamp = self.next_stamp();
            let table = model.tables[STAMPS].id;
            let key = (stamp % STAMP_KEYS).to_le_bytes();
            set.upsert(table, &key, &stamp.to_le_bytes(), PutOptions::default()).expect("a small set takes it");
        }
    }

    /// A value that nobody else writes, and that the table may hold.
    fn value(&mut self, info: &TableInfo, model: &Model) -> (Vec<u8>, PutOptions) {
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
        let mut options =
            PutOptions { compressed: self.rng.chance(1, 8), compact: self.rng.chance(1, 8), ..PutOptions::default() };
        options.revertible_ms = (self.features.has(Feature::Reverts) && self.rng.chance(1, 4)).then_some(LEASE_MS);
        if is_holder(info) {
            value.resize(bytes.max(8), 0);
        }
        self.rng.fill(&mut value);
        match value.first_chunk_mut() {
            Some(start) => *start = stamp.to_le_bytes(),
            None => options.expires_ms = Some(EXPIRY_STAMPS_MS + stamp),
        }
        if options.expires_ms.is_none() && self.features.has(Feature::Expiry) && self.rng.chance(1, 3) {
            options.expires_ms = Some(model.now_ms() + self.rng.below(LIFE_MS_MAX));
        }
        if is_holder(info) {
            value = self.held(&value, model);
        }
        (value, options)
    }

    /// A holder's record: bytes and a pointer, which may be null or name what is not there.
    fn held(&mut self, bytes: &[u8], model: &Model) -> Vec<u8> {
        let stamps = model.keys(model.tables[STAMPS].id);
        let target = match self.rng.below(8) {
            0 => Vec::new(),
            1 => vec![0xee; 8],
            _ if stamps.is_empty() => self.rng.below(STAMP_KEYS).to_le_bytes().to_vec(),
            _ => self.rng.pick(&stamps).clone(),
        };
        let (mut record, rest) = (Vec::new(), Rest::default());
        let mut writer = EnvelopeWriter::new(&mut record, 2, &rest);
        writer.bytes(bytes);
        writer.bytes(&target);
        writer.finish();
        record
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

/// Deletes that may find nothing: the oracle can take one a set.
fn loose_deletes(set: &CommitSet) -> usize {
    let loose = |expect| matches!(expect, Expect::Any | Expect::Absent);
    set.parts().filter(|part| part.change == Change::Delete && loose(part.expect)).count()
}

/// Whether the table's records hold pointers.
fn is_holder(info: &TableInfo) -> bool {
    !info.spec.record.is_empty()
}

/// The first key behind all that begin like this; none when there is no such key.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
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

/// Key `index` of a table that has its keys from its clients: where they hash them, numbers that differ in leading bits only.
fn key_in(info: &TableInfo, index: u64) -> Vec<u8> {
    if info.spec.kind == TableKind::ClientHash { index.reverse_bits().to_le_bytes().to_vec() } else { key_of(index) }
}

fn spec(kind: TableKind, home: TableHome) -> TableSpec {
    let id = Field { name: "id".to_owned(), field_type: FieldType::Unsigned(64) };
    let key = if kind == TableKind::ClientHash { vec![id] } else { Vec::new() };
    TableSpec { type_name: "simulated".to_owned(), key, ..TableSpec::plain(kind, home) }
}
