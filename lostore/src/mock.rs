//! A store in a map, for the tests of this crate and of the examples.
//!
//! Contract: it answers every operation as the seam says, at once, unless told to hold its answers back
//! ([`MapBackend::hold`]). It is not a domain: it has no log and forgets everything when it is dropped.

use crate::backend::Backend;
use crate::error::Error;
use crate::store::Store;
use ::txn::{Change, CommitSet, Expect, Part, RANGES_FIRST};
use domains::schema::{TableKind, TableSpec, compat, envelope};
use domains::{
    Answer, Capabilities, Committed, Cursor, Direction, Failure, Followed, Horizon, Level, Op, Pair, Persistence,
    Ranges, Status, TableInfo, Versions,
};
use segments::{EpochId, Incarnation, Ordinal, TableId, Version};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::task::{Poll, Waker};

/// A store for a test.
#[must_use]
pub fn doc_store() -> Store<MapBackend> {
    Store::new(MapBackend::default())
}

/// Carries operations to a map.
#[derive(Debug)]
pub struct MapBackend {
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    capabilities: Capabilities,
    incarnation: Incarnation,
    epochs: u64,
    persistent: u64,
    /// What survived of the lives before.
    cut: EpochId,
    tables: BTreeMap<TableId, (TableInfo, BTreeMap<Vec<u8>, Pair>)>,
    ids: u32,
    ordinals: u64,
    addresses: u64,
    /// While answers are held back: operations that wait, and who wants to know.
    held: Option<Held>,
    operations: Vec<&'static str>,
}

#[derive(Debug, Default)]
struct Held {
    waiting: VecDeque<Waker>,
}

impl Default for MapBackend {
    fn default() -> Self {
        let capabilities = Capabilities { name: "map", abortable: true, persistence: true, writes_out: false };
        let state = State {
            capabilities,
            incarnation: Incarnation(1),
            epochs: 0,
            persistent: 0,
            cut: EpochId::default(),
            tables: BTreeMap::new(),
            ids: 0,
            ordinals: 0,
            addresses: 0,
            held: None,
            operations: Vec::new(),
        };
        Self { state: RefCell::new(state) }
    }
}

impl MapBackend {
    /// One that promises neither abort nor persistence.
    #[must_use]
    pub fn light() -> Self {
        let light = Self::default();
        let capabilities = Capabilities { name: "light", abortable: false, persistence: false, writes_out: false };
        light.state.borrow_mut().capabilities = capabilities;
        light
    }

    /// From now on no answer comes.
    pub fn hold(&self) {
        self.state.borrow_mut().held = Some(Held::default());
    }

    /// The answers held back come, and those who wait for them are woken.
    pub fn release(&self) {
        let held = self.state.borrow_mut().held.take();
        for waker in held.unwrap_or_default().waiting {
            waker.wake();
        }
    }

    /// Everything committed so far is lost or kept, and the store begins another life.
    pub fn reopen(&self) {
        let mut state = self.state.borrow_mut();
        state.cut = state.horizon().persistent;
        state.incarnation = state.incarnation.next();
        state.epochs = 0;
        state.persistent = 0;
    }

    /// The names of the operations since the last call.
    pub fn take_operations(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state.borrow_mut().operations)
    }
}

impl Backend for MapBackend {
    type Pending = Result<Answer, Option<Error>>;

    fn start(&self, op: Op) -> Result<Self::Pending, Error> {
        Ok(self.state.borrow_mut().apply(op).map_err(|error| Some(Error::Domain(error))))
    }

    fn poll(&self, pending: &mut Self::Pending, waker: Option<&Waker>) -> Poll<Result<Answer, Error>> {
        if let Some(held) = &mut self.state.borrow_mut().held {
            held.waiting.extend(waker.cloned());
            return Poll::Pending;
        }
        Poll::Ready(take(pending))
    }

    fn wait(&self, mut pending: Self::Pending) -> Result<Answer, Error> {
        take(&mut pending)
    }

    fn horizon(&self) -> Horizon {
        self.state.borrow().horizon()
    }

    fn capabilities(&self) -> Capabilities {
        self.state.borrow().capabilities
    }
}

fn take(pending: &mut Result<Answer, Option<Error>>) -> Result<Answer, Error> {
    match pending {
        Ok(answer) => Ok(answer.clone()),
        Err(error) => Err(error.take().expect("an answer is taken once")),
    }
}

type Outcome = Result<Answer, domains::Error>;

impl State {
    fn horizon(&self) -> Horizon {
        Horizon { incarnation: self.incarnation, persistent: EpochId::new(self.incarnation, self.persistent) }
    }

    fn apply(&mut self, op: Op) -> Outcome {
        self.operations.push(name_of(&op));
        match op {
            Op::Lookup { table, key } => Ok(Answer::Pair(self.pairs(table)?.get(&key).cloned())),
            Op::LookupMany { table, keys } => {
                let pairs = self.pairs(table)?;
                Ok(Answer::Many(keys.iter().map(|key| pairs.get(key).cloned()).collect()))
            }
            Op::ReadRanges { table, key, ranges } => {
                let pair = self.pairs(table)?.get(&key);
                pair.map(|pair| Ranges::of(pair.as_ref(), &ranges)).transpose().map(Answer::Ranges)
            }
            Op::Next { table, from, until, direction, pairs_max, bytes_max: _ } => {
                self.next(table, &from, until.as_deref(), direction, pairs_max as usize)
            }
            Op::Follow { table, key, field } => self.follow(table, &key, field).map(Answer::Followed),
            Op::Verify { .. } | Op::FollowChain { .. } => {
                let domain = self.capabilities.name;
                Err(domains::Error::Unsupported { domain, what: "verifications and chains" })
            }
            Op::Commit { set, level } => self.commit(&set, level),
            Op::OpenStage | Op::Stage(_) | Op::ReadStaged { .. } => {
                let (domain, what) = (self.capabilities.name, "writing out values of a transaction before its commit");
                Err(domains::Error::Unsupported { domain, what })
            }
            Op::CommitOnce { .. } | Op::Identify { .. } | Op::Fates { .. } => {
                let domain = self.capabilities.name;
                Err(domains::Error::Unsupported { domain, what: "requests that are applied once" })
            }
            Op::Reserve { table, count } => self.reserve(table, count),
            Op::Await { epoch } | Op::AwaitCommit { version: Version { epoch, .. } } => {
                if epoch.incarnation() == self.incarnation {
                    self.persistent = self.persistent.max(epoch.counter());
                } else if epoch > self.cut {
                    return Err(domains::Error::EpochLost { epoch });
                }
                Ok(Answer::Persistent(self.horizon()))
            }
            Op::Force => {
                self.persistent = self.epochs;
                Ok(Answer::Persistent(self.horizon()))
            }
            Op::CreateTable { name, spec } => self.create(name, spec),
            Op::OpenTable { name, spec } => self.open(name, spec),
            Op::RenameTable { from, to } => self.rename(from, to),
            Op::DestroyTable { name } => {
                let id = self.named(&name)?;
                self.tables.remove(&id);
                Ok(Answer::Done)
            }
            Op::ListTables => {
                let mut tables: Vec<_> = self.tables.values().map(|(info, _)| info.clone()).collect();
                tables.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(Answer::Tables(tables))
            }
            Op::Status => Ok(Answer::Status(Box::new(Status { horizon: self.horizon(), ..Status::default() }))),
            Op::DropCache => Ok(Answer::Done),
            Op::Reclaim => {
                let domain = self.capabilities.name;
                Err(domains::Error::Unsupported { domain, what: "reclaim, for it has no device" })
            }
            Op::Segments { .. } => Ok(Answer::Segments(domains::Segments::default())),
        }
    }

    fn table(&self, table: TableId) -> Result<&(TableInfo, BTreeMap<Vec<u8>, Pair>), domains::Error> {
        self.tables.get(&table).ok_or(domains::Error::TableGone { table })
    }

    fn pairs(&self, table: TableId) -> Result<&BTreeMap<Vec<u8>, Pair>, domains::Error> {
        self.table(table).map(|(_, pairs)| pairs)
    }

    fn named(&self, name: &str) -> Result<TableId, domains::Error> {
        let found = self.tables.values().find(|(info, _)| info.name == name).map(|(info, _)| info.id);
        found.ok_or_else(|| domains::Error::NoSuchTable { name: name.into() })
    }

    fn create(&mut self, name: String, spec: TableSpec) -> Outcome {
        if self.named(&name).is_ok() {
            return Err(domains::Error::TableExists { name });
        }
        self.ids += 1;
        let info = TableInfo { id: TableId(self.ids), name, spec };
        self.tables.insert(info.id, (info.clone(), BTreeMap::new()));
        Ok(Answer::Table(info))
    }

    fn open(&mut self, name: String, spec: Option<TableSpec>) -> Outcome {
        let id = self.named(&name)?;
        let (info, _) = self.tables.get_mut(&id).expect("the table was just found");
        if let Some(wanted) = spec {
            info.spec = compat::merge(&info.spec, &wanted).map_err(|refusal| domains::Error::Incompatible {
                name,
                wanted: wanted.type_name,
                field: refusal.field,
                why: refusal.why,
            })?;
        }
        Ok(Answer::Table(info.clone()))
    }

    fn rename(&mut self, from: String, to: String) -> Outcome {
        let id = self.named(&from)?;
        if self.named(&to).is_ok() {
            return Err(domains::Error::TableExists { name: to });
        }
        let (info, _) = self.tables.get_mut(&id).expect("the table was just found");
        info.name = to;
        Ok(Answer::Table(info.clone()))
    }

    fn next(
        &self,
        table: TableId,
        from: &Cursor,
        until: Option<&[u8]>,
        direction: Direction,
        pairs_max: usize,
    ) -> Outcome {
        let (info, pairs) = self.table(table)?;
        if info.spec.kind != TableKind::Ordered && (until.is_some() || direction == Direction::Previous) {
            return Err(domains::Error::WrongKind { op: "a range", table, why: "it has no order" });
        }
        let mut found: Vec<_> = pairs.values().collect();
        if direction == Direction::Previous {
            found.reverse();
        }
        let before = |key: &[u8]| match (from, direction) {
            (Cursor::Start, _) => false,
            (Cursor::At(at), Direction::Next) => key < &at[..],
            (Cursor::Past(at), Direction::Next) => key <= &at[..],
            (Cursor::At(at), Direction::Previous) => key > &at[..],
            (Cursor::Past(at), Direction::Previous) => key >= &at[..],
        };
        let wanted = |key: &[u8]| until.is_none_or(|until| key < until);
        let mut rest = found.into_iter().skip_while(|pair| before(&pair.key)).take_while(|pair| wanted(&pair.key));
        let pairs = rest.by_ref().take(pairs_max).cloned().collect();
        Ok(Answer::Pairs { pairs, more: rest.next().is_some() })
    }

    fn follow(&self, table: TableId, key: &[u8], field: u16) -> Result<Followed, domains::Error> {
        use domains::schema::FieldType;
        let (info, pairs) = self.table(table)?;
        let Some(FieldType::Pointer { table: to }) =
            info.spec.record.get(usize::from(field)).map(|field| &field.field_type)
        else {
            return Err(domains::Error::NotAPointer { table, field });
        };
        let damaged = |_| domains::Error::CorruptRecord { table, page: 0, why: "not an envelope" };
        let Some(from) = pairs.get(key).cloned() else { return Ok(Followed::Absent) };
        let pointer = envelope::field(&from.value, usize::from(field)).map_err(damaged)?;
        let target = pointer.map(envelope::pointer_target).transpose().map_err(damaged)?.flatten();
        let Some(target) = target.map(<[u8]>::to_vec) else { return Ok(Followed::Null { from }) };
        let targets = self.named(to).ok().and_then(|id| self.pairs(id).ok());
        Ok(match targets.and_then(|targets| targets.get(&target)).cloned() {
            Some(to) => Followed::Found { from, to },
            None => Followed::Dangling { from, target },
        })
    }

    fn reserve(&mut self, table: TableId, count: u32) -> Outcome {
        let (info, _) = self.table(table)?;
        if info.spec.kind != TableKind::Sack {
            return Err(domains::Error::WrongKind { op: "reserve", table, why: "it is no sack" });
        }
        let first = self.addresses;
        self.addresses += u64::from(count);
        Ok(Answer::Reserved((first..self.addresses).map(u64::to_le_bytes).collect()))
    }

    fn commit(&mut self, set: &CommitSet, level: Level) -> Outcome {
        let mut failures = Vec::new();
        let kept = |part: &Part<'_>| match part.change {
            Change::None | Change::Delete => false,
            Change::Put { options, .. } | Change::Append { options, .. } => options.revertible_ms.is_some(),
            Change::Revert { .. } | Change::Seal { .. } => true,
        };
        if set.parts().any(|part| kept(&part)) {
            let domain = self.capabilities.name;
            return Err(domains::Error::Unsupported { domain, what: "revertible writes" });
        }
        for (at, part) in set.parts().enumerate() {
            let found = self.pairs(part.table)?.get(part.key).map(|pair| pair.version);
            if !holds(part.expect, found) {
                failures.push(Failure { part: u32::try_from(at).expect("a set has at most 65,536 parts"), found });
            }
        }
        for (part, range) in (RANGES_FIRST..).zip(set.ranges()) {
            let mut inside = self.pairs(range.table)?.values().filter(|pair| range.contains(&pair.key));
            if let Some(stranger) = inside.find(|pair| !set.compares_at(range.table, &pair.key)) {
                failures.push(Failure { part, found: Some(stranger.version) });
            }
        }
        if !failures.is_empty() {
            return Err(domains::Error::CompareFailed { failures });
        }
        self.epochs += 1;
        let epoch = EpochId::new(self.incarnation, self.epochs);
        let mut versions = Versions::default();
        for part in set.parts() {
            self.apply_part(&part, epoch, &mut versions);
        }
        let persistence = match (self.capabilities.persistence, level) {
            (false, _) => Persistence::Volatile,
            (true, Level::Committed) => Persistence::Pending,
            (true, Level::Persistent) => {
                self.persistent = self.epochs;
                Persistence::Persistent
            }
        };
        Ok(Answer::Committed(Committed { epoch, versions, persistence }))
    }

    fn apply_part(&mut self, part: &Part<'_>, epoch: EpochId, versions: &mut Versions) {
        let (_, pairs) = self.tables.get_mut(&part.table).expect("the set's tables were checked");
        let version = Version { epoch, ordinal: Ordinal(self.ordinals + 1) };
        match part.change {
            Change::None | Change::Revert { .. } | Change::Seal { .. } => return,
            Change::Delete => drop(pairs.remove(part.key)),
            Change::Put { value, options } => {
                let pair = Pair {
                    key: part.key.to_vec(),
                    value: value.to_vec(),
                    version,
                    expires_ms: options.expires_ms,
                    compressed: options.compressed,
                };
                pairs.insert(part.key.to_vec(), pair);
            }
            Change::Append { value, options } => {
                let pair = Pair::with_own_append(pairs.remove(part.key), part.key, value, options);
                pairs.insert(part.key.to_vec(), Pair { version, ..pair });
            }
        }
        self.ordinals += 1;
        versions.push(version);
    }
}

fn holds(expect: Expect, found: Option<Version>) -> bool {
    match expect {
        Expect::Any => true,
        Expect::Absent => found.is_none(),
        Expect::Present => found.is_some(),
        Expect::At(version) => found == Some(version),
        Expect::Never => false,
    }
}

fn name_of(op: &Op) -> &'static str {
    match op {
        Op::Lookup { .. } => "lookup",
        Op::LookupMany { .. } => "lookup many",
        Op::ReadRanges { .. } => "read ranges",
        Op::Next { .. } => "next",
        Op::Follow { .. } => "follow",
        Op::Verify { .. } => "verify",
        Op::FollowChain { .. } => "follow chain",
        Op::Commit { .. } => "commit",
        Op::CommitOnce { .. } => "commit once",
        Op::Identify { .. } => "identify",
        Op::Fates { .. } => "fates",
        Op::OpenStage => "open stage",
        Op::Stage(_) => "stage",
        Op::ReadStaged { .. } => "read staged",
        Op::Reserve { .. } => "reserve",
        Op::Await { .. } | Op::AwaitCommit { .. } => "await",
        Op::Force => "force",
        Op::CreateTable { .. } => "create",
        Op::OpenTable { .. } => "open",
        Op::RenameTable { .. } => "rename",
        Op::DestroyTable { .. } => "destroy",
        Op::ListTables => "list",
        Op::Status => "status",
        Op::DropCache => "drop cache",
        Op::Reclaim => "reclaim",
        Op::Segments { .. } => "segments",
    }
}
