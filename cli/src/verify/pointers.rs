//! Pointers and rules: every record of the tables that have any, against the schema.
//!
//! Contract: nothing is written. Of each pointer field it is counted how many are null, lead to a pair, dangle (no such pair, or one
//! whose time is over), or are to a table that is not there or cannot have such a key; of each field with rules how many records break
//! them. The first of each field are named with their keys.
//!
//! At rest a volatile table has no pairs: pointers to one are counted apart and not judged.
//!
//! On a store in use others write meanwhile. A pointer that seems to dangle is looked at again, record and target at one moment,
//! before it counts; a record that came or went while the check ran may be in it or not.

use crate::failure::Failure;
use crate::progress;
use crate::shape::Shape;
use domains::schema::envelope::{EnvelopeReader, pointer_target};
use domains::schema::{FieldType, Rule, TableHome, TableKind, keys};
use lostore::{Backend, ChainEnd, Pair, RawTable, Store, TableInfo};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pairs whose pointers are looked up together.
const PAIRS_TOGETHER: usize = 512;
/// Code of the error that a table's name is not there, and of the one that its id is not.
const TABLE_WENT: [u16; 2] = [201, 202];

/// What a field came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) table: String,
    pub(crate) field: String,
    /// Of a pointer: the table it leads to.
    pub(crate) to: Option<String>,
    pub(crate) null: u64,
    pub(crate) found: u64,
    /// The pair is not there.
    pub(crate) dangling: u64,
    /// The pair's time is over: it counts as dangling, under its own name.
    pub(crate) expired: u64,
    /// The table is not there, or cannot have the key.
    pub(crate) wrong_table: u64,
    /// The table is volatile, and the store at rest.
    pub(crate) unjudged: u64,
    /// The field breaks its rules, or is not of its type.
    pub(crate) broken: u64,
    /// Whether it has a rule that can be broken.
    pub(crate) ruled: bool,
}

/// A record that is not as the schema says.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    pub(crate) kind: &'static str,
    pub(crate) table: String,
    /// The record's key, as a word of the command line.
    pub(crate) key: String,
    /// The field; none when the record has none.
    pub(crate) field: Option<String>,
    pub(crate) what: String,
}

/// What was checked, and what was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    /// Every field that has a pointer or a rule.
    pub(crate) fields: Vec<Tally>,
    pub(crate) breaches: Vec<Breach>,
    /// Records that are no records of fields.
    pub(crate) unreadable: u64,
    /// Records that were looked at.
    pub(crate) pairs: u64,
    /// Whether the check was ended before its end.
    pub(crate) interrupted: bool,
}

impl Tally {
    /// How many are not as they should be.
    pub(crate) fn bad(&self) -> u64 {
        self.dangling + self.expired + self.wrong_table + self.broken
    }
}

impl Sheet {
    /// How many fields and records are not as the schema says.
    pub(crate) fn bad(&self) -> u64 {
        self.unreadable + self.fields.iter().map(Tally::bad).sum::<u64>()
    }
}

/// Whether anybody has the store open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    InUse,
    AtRest,
}

/// Checks a store, and names at most so many breaches of each field.
pub(crate) fn check<B: Backend>(
    store: &Store<B>,
    state: State,
    limit: u64,
    stop: &AtomicBool,
) -> Result<Sheet, Failure> {
    let tables = store.tables()?;
    let status = store.status()?;
    let mut sheet = Sheet::default();
    for info in tables.iter().filter(|info| (0..info.spec.record.len()).any(|at| is_checked(info, at))) {
        let pairs = status.tables.iter().find(|table| table.info.id == info.id).map_or(0, |table| table.pairs);
        let mut run =
            Run { store, state, shape: Shape { info, tables: &tables }, limit, first: sheet.fields.len(), sheet };
        run.begin();
        let done = run.table(pairs, stop);
        sheet = run.sheet;
        match done {
            // It was dropped or renamed since the tables were listed.
            Err(error) if TABLE_WENT.contains(&error.code()) => {}
            done => done?,
        }
        if sheet.interrupted {
            break;
        }
    }
    Ok(sheet)
}

/// Whether the field at this position has anything to check.
fn is_checked(info: &TableInfo, at: usize) -> bool {
    matches!(info.spec.record[at].field_type, FieldType::Pointer { .. }) || is_ruled(info, at)
}

fn is_ruled(info: &TableInfo, at: usize) -> bool {
    let of =
        |rule: &Rule| matches!(rule, Rule::Required { .. } | Rule::Range { .. }) && rule.field() == Some(number(at));
    info.spec.rules.iter().any(of)
}

fn number(at: usize) -> u16 {
    u16::try_from(at).expect("a record has at most 1024 fields")
}

/// A pointer to look up: whose, which field, and its target's key.
struct Asked {
    pair: usize,
    field: usize,
    key: Vec<u8>,
}

/// The check of one table.
struct Run<'a, B: Backend> {
    store: &'a Store<B>,
    state: State,
    shape: Shape<'a>,
    limit: u64,
    /// Where the table's tallies begin.
    first: usize,
    sheet: Sheet,
}

impl<B: Backend> Run<'_, B> {
    fn begin(&mut self) {
        let info = self.shape.info;
        for (at, field) in info.spec.record.iter().enumerate().filter(|(at, _)| is_checked(info, *at)) {
            let to = match &field.field_type {
                FieldType::Pointer { table } => Some(table.clone()),
                _ => None,
            };
            let (table, name) = (info.name.clone(), field.name.clone());
            self.sheet.fields.push(Tally { table, field: name, to, ruled: is_ruled(info, at), ..Tally::default() });
        }
    }

    fn table(&mut self, pairs: u64, stop: &AtomicBool) -> Result<(), lostore::Error> {
        let table = self.store.open_raw(&self.shape.info.name)?;
        let bar = progress::bar(pairs, "pointers");
        let mut iter = table.iter();
        loop {
            if stop.load(Ordering::Relaxed) {
                self.sheet.interrupted = true;
                break;
            }
            let batch = iter.by_ref().take(PAIRS_TOGETHER).collect::<Result<Vec<Pair>, _>>()?;
            if batch.is_empty() {
                break;
            }
            bar.inc(batch.len() as u64);
            self.batch(&table, &batch)?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn batch(&mut self, table: &RawTable<B>, pairs: &[Pair]) -> Result<(), lostore::Error> {
        let mut asked: BTreeMap<String, Vec<Asked>> = BTreeMap::new();
        for (at, pair) in pairs.iter().enumerate() {
            self.sheet.pairs += 1;
            if let Err(why) = self.record(at, pair, &mut asked) {
                self.sheet.unreadable += 1;
                self.breach("record", pair, None, format!("is no record of fields: {why}"), self.sheet.unreadable);
            }
        }
        for (to, asked) in asked {
            let keys: Vec<&[u8]> = asked.iter().map(|asked| &*asked.key).collect();
            let found = match self.store.open_raw(&to) {
                Ok(target) => target.get_many(&keys)?,
                Err(error) if TABLE_WENT.contains(&error.code()) => vec![None; keys.len()],
                Err(error) => return Err(error),
            };
            for (asked, found) in asked.iter().zip(found) {
                match found {
                    Some(_) => self.tally(asked.field).found += 1,
                    None => self.again(table, &pairs[asked.pair], asked)?,
                }
            }
        }
        Ok(())
    }

    /// Checks a record's rules, counts the pointers that need no look, and gathers those that do.
    fn record(
        &mut self,
        at: usize,
        pair: &Pair,
        asked: &mut BTreeMap<String, Vec<Asked>>,
    ) -> Result<(), domains::schema::envelope::EnvelopeError> {
        let info = self.shape.info;
        let mut reader = EnvelopeReader::new(&pair.value)?;
        let mut bytes = Vec::with_capacity(info.spec.record.len());
        for field in 0..info.spec.record.len() {
            bytes.push(reader.next_field()?.or_else(|| info.spec.default_bytes(number(field))));
        }
        reader.rest()?;
        for (field, bytes) in bytes.into_iter().enumerate().filter(|(at, _)| is_checked(info, *at)) {
            // A pointer that is missing and has no default is as good as null; another field is not there to break a rule.
            let pointer = matches!(info.spec.record[field].field_type, FieldType::Pointer { .. });
            let Some(bytes) = bytes.or(pointer.then_some(&[0][..])) else { continue };
            if let Err(breach) = info.spec.check_field(number(field), bytes) {
                self.tally(field).broken += 1;
                let count = self.tally(field).broken;
                self.breach("rule", pair, Some(field), breach.to_string(), count);
            }
            if pointer {
                match pointer_target(bytes) {
                    Ok(None) => self.tally(field).null += 1,
                    Ok(Some(key)) => self.pointer(at, pair, field, key, asked),
                    // It was counted as broken just now.
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    fn pointer(&mut self, at: usize, pair: &Pair, field: usize, key: &[u8], asked: &mut BTreeMap<String, Vec<Asked>>) {
        let FieldType::Pointer { table: to } = &self.shape.info.spec.record[field].field_type else {
            unreachable!("only pointers come here");
        };
        let why = match self.shape.tables.iter().find(|info| info.name == *to) {
            None => format!("leads to table '{to}', which is not there"),
            Some(target) if self.state == State::AtRest && target.spec.home == TableHome::Volatile => {
                self.tally(field).unjudged += 1;
                return;
            }
            Some(target) if !can_have(target, key) => format!("leads to a key that table '{to}' cannot have"),
            Some(_) => return asked.entry(to.clone()).or_default().push(Asked { pair: at, field, key: key.to_vec() }),
        };
        self.tally(field).wrong_table += 1;
        let count = self.tally(field).wrong_table;
        self.breach("wrong table", pair, Some(field), why, count);
    }

    /// A target was not found: record and target once more, at one moment.
    fn again(&mut self, table: &RawTable<B>, pair: &Pair, asked: &Asked) -> Result<(), lostore::Error> {
        let chain = table.follow_chain(&pair.key, &[number(asked.field)], 1, 2)?;
        let to = self.target_word(asked.field, &asked.key);
        match chain.end {
            // The record went, and its pointer with it.
            ChainEnd::Absent => {}
            ChainEnd::Null if chain.links.len() < 2 => self.tally(asked.field).null += 1,
            ChainEnd::Dangling { .. } if chain.links.len() < 2 => {
                self.tally(asked.field).dangling += 1;
                let count = self.tally(asked.field).dangling;
                self.breach("dangling", pair, Some(asked.field), format!("leads to {to}, which is not there"), count);
            }
            ChainEnd::Expired { .. } if chain.links.len() < 2 => {
                self.tally(asked.field).expired += 1;
                let count = self.tally(asked.field).expired;
                self.breach("expired", pair, Some(asked.field), format!("leads to {to}, whose time is over"), count);
            }
            ChainEnd::WrongType { .. } if chain.links.len() < 2 => {
                self.tally(asked.field).wrong_table += 1;
                let count = self.tally(asked.field).wrong_table;
                let what = format!("leads to {to}, which its table cannot have, or whose table is not there");
                self.breach("wrong table", pair, Some(asked.field), what, count);
            }
            _ => self.tally(asked.field).found += 1,
        }
        Ok(())
    }

    fn target_word(&self, field: usize, key: &[u8]) -> String {
        let FieldType::Pointer { table: to } = &self.shape.info.spec.record[field].field_type else {
            unreachable!("only pointers come here");
        };
        let target = self.shape.tables.iter().find(|info| info.name == *to);
        let word = target.map(|info| Shape { info, tables: self.shape.tables }.key_to_word(key));
        format!("{to}/{}", word.unwrap_or_else(|| crate::words::to_hex(key)))
    }

    fn tally(&mut self, field: usize) -> &mut Tally {
        let before = (0..field).filter(|at| is_checked(self.shape.info, *at)).count();
        &mut self.sheet.fields[self.first + before]
    }

    /// Names a breach, unless so many of its kind have been named.
    fn breach(&mut self, kind: &'static str, pair: &Pair, field: Option<usize>, what: String, count: u64) {
        if count > self.limit {
            return;
        }
        let info = self.shape.info;
        let field = field.map(|at| info.spec.record[at].name.clone());
        let (table, key) = (info.name.clone(), self.shape.key_to_word(&pair.key));
        self.sheet.breaches.push(Breach { kind, table, key, field, what });
    }
}

/// Whether a table can have such a key at all.
fn can_have(info: &TableInfo, key: &[u8]) -> bool {
    match info.spec.kind {
        TableKind::Sack => key.len() == 8,
        TableKind::Hash | TableKind::Ordered if info.spec.key.is_empty() => true,
        TableKind::Hash | TableKind::Ordered | TableKind::ClientHash => keys::decode(&info.spec.key, key).is_ok(),
    }
}
