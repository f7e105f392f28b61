//! Between the sessions and the domain: what a connection asks is held against the rights of who made it.
//!
//! Contract: every operation of every protocol passes here once, just before the domain is asked, and what memory shows at once passes
//! too; so nobody reads, changes or learns of a table without a right on it. A table on which a caller has no right at all is for that
//! caller like one that is not there: operations by number look into the caller's own map, in which neither is; operations by name ask
//! the rules alone, which know names and no tables. So forbidden and unknown are one error by one path. Who has some right on a
//! table is told which other one is missing.
//!
//! Invariants: a connection's map is built from the present rules, or it is built anew before it is used; it holds those tables alone on
//! which the caller has a right. The owner and root may do everything and are asked nothing.

use crate::acl::{Caller, Right, Rights, Rules};
use domains::schema::FieldType;
use domains::{Answer, Error, Op, Status, TableInfo};
use segments::TableId;
use std::collections::{BTreeMap, BTreeSet};
use txn::{Change, CommitSet, Expect};

/// Changes of the catalog that are kept for connections to catch up with; behind more they look at all tables again.
const CHANGES_MAX: usize = 1024;

/// Who may do everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Owners {
    /// These users.
    Users(Vec<u32>),
    /// Whoever connects: tests of what has nothing to do with rights.
    #[cfg(test)]
    Everybody,
}

/// The rules, and the tables that there are.
#[derive(Debug)]
pub(crate) struct Gate {
    owners: Owners,
    rules: Rules,
    /// How often the rules were read, and the changes forgotten.
    generation: u64,
    tables: BTreeMap<TableId, TableInfo>,
    names: BTreeMap<String, TableId>,
    /// Tables that were made, renamed or destroyed in this generation.
    changes: Vec<TableId>,
}

/// What a connection may do.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    caller: Caller,
    owner: bool,
    /// The rules for this caller, and what they give of the server.
    rules: Rules,
    server: Rights,
    /// Up to where the gate's tables were looked at.
    generation: u64,
    changes: usize,
    /// The tables on which the caller has a right.
    tables: BTreeMap<TableId, Rights>,
}

impl Standing {
    /// Of a connection that is told that it is not served, and nothing else.
    pub(crate) fn nobody() -> Self {
        Self::new(Caller { uid: u32::MAX, gid: u32::MAX, groups: Vec::new() }, false)
    }

    /// The user.
    pub(crate) fn uid(&self) -> u32 {
        self.caller.uid
    }

    fn new(caller: Caller, owner: bool) -> Self {
        // No gate has had its zeroth generation: the map is built before it is used.
        let (rules, tables) = (Rules::default(), BTreeMap::new());
        Self { caller, owner, rules, server: Rights::NONE, generation: 0, changes: 0, tables }
    }
}

impl Gate {
    pub(crate) fn new(owners: Owners, rules: Rules) -> Self {
        let (tables, names, changes) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { owners, rules, generation: 1, tables, names, changes }
    }

    /// How the caller stands; nothing when there is no place for it here at all.
    pub(crate) fn admit(&self, caller: Caller) -> Option<Standing> {
        let owner = match &self.owners {
            Owners::Users(uids) => uids.contains(&caller.uid),
            #[cfg(test)]
            Owners::Everybody => true,
        };
        (owner || self.rules.all().iter().any(|rule| rule.who.is(&caller))).then(|| Standing::new(caller, owner))
    }

    /// Other rules hold from now on.
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        self.begin_generation();
    }

    fn begin_generation(&mut self) {
        self.generation += 1;
        self.changes.clear();
    }

    /// The domain has told of a table.
    pub(crate) fn learn(&mut self, info: &TableInfo) {
        // The catalog has no name, and nobody has a right on it but who has all.
        if info.name.is_empty() || self.tables.get(&info.id) == Some(info) {
            return;
        }
        let before = self.names.insert(info.name.clone(), info.id).filter(|before| *before != info.id);
        if let Some(gone) = before {
            self.forget(gone);
            self.names.insert(info.name.clone(), info.id);
        }
        let was = self.tables.insert(info.id, info.clone());
        if was.as_ref().is_some_and(|was| was.name == info.name) {
            return;
        }
        if let Some(was) = was
            && self.names.get(&was.name) == Some(&info.id)
        {
            self.names.remove(&was.name);
        }
        self.changed(info.id);
    }

    /// The domain has told of all tables.
    pub(crate) fn learn_all(&mut self, tables: &[TableInfo]) {
        let there: BTreeSet<TableId> = tables.iter().map(|table| table.id).collect();
        let gone: Vec<TableId> = self.tables.keys().copied().filter(|table| !there.contains(table)).collect();
        gone.into_iter().for_each(|table| self.forget(table));
        tables.iter().for_each(|table| self.learn(table));
    }

    fn forget(&mut self, table: TableId) {
        let Some(info) = self.tables.remove(&table) else { return };
        if self.names.get(&info.name) == Some(&table) {
            self.names.remove(&info.name);
        }
        self.changed(table);
    }

    fn changed(&mut self, table: TableId) {
        if self.changes.len() == CHANGES_MAX {
            self.begin_generation();
        } else {
            self.changes.push(table);
        }
    }

    /// Brings a standing up to the present rules and tables.
    pub(crate) fn refresh(&self, standing: &mut Standing) {
        if standing.owner || (standing.generation, standing.changes) == (self.generation, self.changes.len()) {
            return;
        }
        if standing.generation == self.generation {
            for table in &self.changes[standing.changes..] {
                let rights = self.tables.get(table).map_or(Rights::NONE, |info| standing.rules.on(&info.name));
                if rights.is_empty() {
                    standing.tables.remove(table)
                } else {
                    standing.tables.insert(*table, rights)
                };
            }
        } else {
            standing.rules = self.rules.of(&standing.caller);
            standing.server = standing.rules.of_server();
            let all = self.tables.iter().map(|(table, info)| (*table, standing.rules.on(&info.name)));
            standing.tables = all.filter(|(_, rights)| !rights.is_empty()).collect();
        }
        (standing.generation, standing.changes) = (self.generation, self.changes.len());
    }

    /// The name of the table that a field of this one points to.
    fn target(&self, table: TableId, field: u16) -> Option<&str> {
        match &self.tables.get(&table)?.spec.record.get(usize::from(field))?.field_type {
            FieldType::Pointer { table } => Some(table),
            FieldType::Unsigned(_)
            | FieldType::Signed(_)
            | FieldType::Bool
            | FieldType::Bytes
            | FieldType::Text
            | FieldType::Other(_) => None,
        }
    }
}

/// A connection's rights, held against what it asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard<'a> {
    gate: &'a Gate,
    standing: &'a Standing,
}

impl<'a> Guard<'a> {
    /// Of a standing that is up to date.
    pub(crate) fn new(gate: &'a Gate, standing: &'a Standing) -> Self {
        assert!(standing.owner || standing.generation == gate.generation, "a standing is refreshed before it is used");
        Self { gate, standing }
    }

    /// Whether the caller may do this of the server.
    pub(crate) fn server(&self, right: Right) -> Result<(), Error> {
        assert!(right.is_of_server(), "{right:?} is of a table");
        if self.standing.owner || self.standing.server.has(right) { Ok(()) } else { Err(self.denied(right, None)) }
    }

    /// Whether the caller may know if there is a table of this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.standing.owner || !self.standing.rules.on(name).is_empty()
    }

    /// Whether records of this table may be shown.
    pub(crate) fn read(&self, table: TableId) -> Result<(), Error> {
        if self.standing.owner { Ok(()) } else { self.table(table, Right::Read) }
    }

    fn denied(&self, right: Right, table: Option<&str>) -> Error {
        Error::Denied { user: self.standing.caller.uid, right: right.name(), table: table.map(str::to_owned) }
    }

    fn table(&self, table: TableId, right: Right) -> Result<(), Error> {
        match self.standing.tables.get(&table) {
            None => Err(Error::TableGone { table }),
            Some(rights) if rights.has(right) => Ok(()),
            Some(_) => Err(self.denied(right, self.gate.tables.get(&table).map(|info| info.name.as_str()))),
        }
    }

    fn name(&self, name: &str, right: Right) -> Result<(), Error> {
        let rights = self.standing.rules.on(name);
        if rights.has(right) {
            Ok(())
        } else if rights.is_empty() {
            Err(Error::NoSuchTable { name: name.to_owned() })
        } else {
            Err(self.denied(right, Some(name)))
        }
    }

    /// Whether the caller may have this done.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`] and [`Error::TableGone`] without any right on the table, whether or not there is one;
    /// [`Error::Denied`] without the right that it takes.
    pub(crate) fn check(&self, op: &Op) -> Result<(), Error> {
        if self.standing.owner {
            return Ok(());
        }
        match op {
            Op::Lookup { table, .. }
            | Op::LookupMany { table, .. }
            | Op::ReadRanges { table, .. }
            | Op::Verify { table, .. } => self.table(*table, Right::Read),
            Op::Next { table, .. } => self.walk(*table),
            Op::Follow { table, field, .. } => self.chain(*table, &[*field], 1),
            Op::FollowChain { table, fields, depth_max, .. } => self.chain(*table, fields, *depth_max),
            Op::Commit { set, .. } => self.set(set),
            // Clients and their requests are remembered by the server, as open transactions are.
            Op::CommitOnce { set, .. } => self.server(Right::Txn).and_then(|()| self.set(set)),
            Op::Identify { .. } | Op::Fates { .. } => self.server(Right::Txn),
            // A transaction of the caller's own reads what it has written out itself.
            Op::OpenStage | Op::ReadStaged { .. } => self.server(Right::Txn),
            Op::Stage(what) => self.table(what.table, Right::Insert).or_else(|_| self.table(what.table, Right::Update)),
            Op::Reserve { table, .. } => self.table(*table, Right::Insert),
            Op::Force => self.server(Right::Force),
            Op::DropCache | Op::Reclaim | Op::Segments { .. } => self.server(Right::Admin),
            Op::CreateTable { name, .. } => self.create(name),
            Op::OpenTable { name, spec } => self.open(name, spec.as_ref().map_or(0, |spec| spec.record.len())),
            Op::RenameTable { from, to } => self.name(from, Right::Destroy).and_then(|()| self.create(to)),
            Op::DestroyTable { name } => self.name(name, Right::Destroy),
            // What these show of tables is cut down to what the caller may know: `shown`.
            Op::Await { .. } | Op::AwaitCommit { .. } | Op::ListTables | Op::Status => Ok(()),
        }
    }

    fn walk(&self, table: TableId) -> Result<(), Error> {
        self.table(table, Right::Iterate)?;
        self.table(table, Right::Read)
    }

    /// Without the right the answer is the same whether or not the name is taken.
    fn create(&self, name: &str) -> Result<(), Error> {
        let may = self.standing.rules.on(name).has(Right::Create);
        if may { Ok(()) } else { Err(self.denied(Right::Create, Some(name))) }
    }

    /// To open is to learn that it is there; with fields that it does not have yet, to change it.
    fn open(&self, name: &str, fields: usize) -> Result<(), Error> {
        if !self.knows(name) {
            return Err(Error::NoSuchTable { name: name.to_owned() });
        }
        let stored = self.gate.names.get(name).and_then(|table| self.gate.tables.get(table));
        if stored.is_some_and(|stored| stored.spec.record.len() < fields) { self.create(name) } else { Ok(()) }
    }

    /// Every table that the pointers may lead to, whatever the records say.
    fn chain(&self, first: TableId, fields: &[u16], depth_max: u32) -> Result<(), Error> {
        self.table(first, Right::Read)?;
        let Some(last) = fields.len().checked_sub(1) else { return Ok(()) };
        let (mut at, mut met) = (first, BTreeSet::new());
        for step in 0..depth_max as usize {
            // From the last field on the same table leads to the same again.
            if step >= last && !met.insert(at) {
                break;
            }
            let Some(target) = self.gate.target(at, fields[step.min(last)]) else { break };
            self.name(target, Right::Read)?;
            let Some(table) = self.gate.names.get(target) else { break };
            at = *table;
        }
        Ok(())
    }

    fn set(&self, set: &CommitSet) -> Result<(), Error> {
        for part in set.parts() {
            let (table, expect) = (part.table, part.expect);
            match (part.change, expect) {
                (Change::None, _) => self.table(table, Right::Read)?,
                (Change::Put { .. } | Change::Append { .. }, Expect::Absent) => self.table(table, Right::Insert)?,
                (Change::Put { .. } | Change::Append { .. }, Expect::Present | Expect::At(_)) => {
                    self.table(table, Right::Update)?;
                }
                (Change::Put { .. } | Change::Append { .. }, Expect::Any | Expect::Never) => {
                    self.table(table, Right::Insert)?;
                    self.table(table, Right::Update)?;
                }
                (Change::Revert { .. } | Change::Seal { .. }, _) => self.table(table, Right::Update)?,
                (Change::Delete, _) => self.table(table, Right::Delete)?,
            }
        }
        set.ranges().try_for_each(|range| self.walk(range.table))
    }

    /// The answer as the caller may see it, where that is less than it is.
    pub(crate) fn shown(&self, answer: &Answer) -> Option<Answer> {
        let knows = |table: &TableInfo| self.standing.tables.contains_key(&table.id);
        match answer {
            _ if self.standing.owner => None,
            Answer::Tables(tables) => {
                Some(Answer::Tables(tables.iter().filter(|table| knows(table)).cloned().collect()))
            }
            Answer::Status(_) if self.standing.server.has(Right::Admin) => None,
            Answer::Status(status) => {
                let tables = status.tables.iter().filter(|table| knows(&table.info)).cloned().collect();
                Some(Answer::Status(Box::new(Status { tables, ..outline(status) })))
            }
            Answer::Pair(_)
            | Answer::Many(_)
            | Answer::Ranges(_)
            | Answer::Pairs { .. }
            | Answer::Followed(_)
            | Answer::Stored(_)
            | Answer::Chain(_)
            | Answer::Committed(_)
            | Answer::Identified(_)
            | Answer::Fates(_)
            | Answer::Stage(_)
            | Answer::Staged(_)
            | Answer::Value(_)
            | Answer::Reserved(_)
            | Answer::Persistent(_)
            | Answer::Table(_)
            | Answer::Reclaimed(_)
            | Answer::Segments(_)
            | Answer::Done => None,
        }
    }
}

/// What everybody may know of the server: whether it takes updates, and up to where it is persistent.
fn outline(status: &Status) -> Status {
    let (horizon, epoch_open, poisoned) = (status.horizon, status.epoch_open, status.poisoned.clone());
    Status { horizon, epoch_open, poisoned, ..Status::default() }
}

#[cfg(test)]
mod tests;
