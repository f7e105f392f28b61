//! The verbs on pairs: get, put, append, revert, seal, del, scan, follow.
//!
//! Contract: each prints what it found or made and nothing else; a pair that is not there is exit 1. A write answers when it is
//! persistent, unless it was told not to wait.

use crate::args::{Del, Follow, Get, Put, Scan, Target, Token, Write};
use crate::failure::Failure;
use crate::output::{Format, Output};
use crate::reach::{AnyStore, reach};
use crate::shape::Shape;
use crate::words;
use domains::schema::{FieldType, TableKind};
use domains::{Answer, Op};
use lostore::{
    AnyBackend, Backend, EpochId, Expect, Followed, Incarnation, KeySpan, Pair, PutOptions, Ranges, RawTable, TableId,
    TableInfo, TxnOptions, Version,
};
use segments::Ordinal;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) mod append;

/// A table that a verb works on, and all others for the pointers in it.
pub(crate) struct Opened {
    pub(crate) table: RawTable<AnyBackend>,
    tables: Vec<TableInfo>,
    at: usize,
}

impl Opened {
    /// Opens a table by name.
    pub(crate) fn open(store: &AnyStore, name: &str) -> Result<Self, Failure> {
        let table = store.open_raw(name).map_err(|error| {
            let mut failure = Failure::from(error);
            if failure.code == Some(201) {
                failure.help = format!("make it first: `lostore table create {name}`");
            }
            failure
        })?;
        let mut tables = store.tables()?;
        // It may have been renamed or dropped since; the handle's own entry is good for its bytes.
        let at = tables.iter().position(|info| info.id == table.id()).unwrap_or_else(|| {
            tables.push(TableInfo { id: table.id(), name: name.to_owned(), spec: table.spec().clone() });
            tables.len() - 1
        });
        Ok(Self { table, tables, at })
    }

    pub(crate) fn shape(&self) -> Shape<'_> {
        Shape { info: &self.tables[self.at], tables: &self.tables }
    }

    /// The shape of a table, by its id.
    pub(crate) fn shape_at(&self, id: TableId) -> Option<Shape<'_>> {
        self.tables.iter().find(|info| info.id == id).map(|info| Shape { info, tables: &self.tables })
    }

    /// The shape of another table, by name.
    fn shape_of(&self, name: &str) -> Option<Shape<'_>> {
        self.tables.iter().find(|info| info.name == name).map(|info| Shape { info, tables: &self.tables })
    }
}

/// TABLE and KEY of a word.
pub(crate) fn split(word: &str) -> Result<(&str, &str), Failure> {
    match word.split_once('/') {
        Some((table, key)) if !table.is_empty() => Ok((table, key)),
        Some(_) | None => Err(Failure::usage(
            format!("'{word}' names no pair"),
            "write TABLE/KEY, as in users/alice; `lostore table list` shows the tables",
        )),
    }
}

/// A version as it is printed: incarnation, epoch, place in its order.
pub(crate) fn version_of(text: &str) -> Result<Version, Failure> {
    let wrong = || {
        Failure::usage(format!("'{text}' is not a version"), "write it as `lostore get -o json` prints it, like 1.42.7")
    };
    let numbers: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
    let Ok([incarnation, epoch, ordinal]) =
        numbers.as_deref().map(|numbers| <[u64; 3]>::try_from(numbers).unwrap_or([u64::MAX; 3]))
    else {
        return Err(wrong());
    };
    let incarnation = u32::try_from(incarnation).ok().filter(|number| *number <= segments::ids::INCARNATION_MAX);
    let incarnation = incarnation.ok_or_else(wrong)?;
    if epoch >> segments::ids::EPOCH_COUNTER_BITS != 0 {
        return Err(wrong());
    }
    Ok(Version { epoch: EpochId::new(Incarnation(incarnation), epoch), ordinal: Ordinal(ordinal) })
}

/// What must hold, from a word.
pub(crate) fn expect_of(text: &str) -> Result<Expect, Failure> {
    match text {
        "absent" => Ok(Expect::Absent),
        "present" => Ok(Expect::Present),
        version => version_of(version).map(Expect::At),
    }
}

/// A pair as a document.
pub(crate) fn document(shape: Shape<'_>, pair: &Pair) -> Value {
    let mut document = json!({
        "table": shape.info.name,
        "key": shape.key_to_json(&pair.key),
        "value": shape.record_to_json(&pair.value),
        "version": pair.version.to_string(),
    });
    if let Some(expires) = pair.expires_ms {
        document["expires_ms"] = expires.into();
    }
    if pair.compressed {
        document["compressed"] = true.into();
    }
    document
}

/// How a write is committed: so that its answer means persistent, unless nobody waits for that.
pub(crate) fn txn_options(store: &AnyStore, no_wait: bool) -> TxnOptions {
    let promises = store.capabilities();
    let persistent = promises.persistence && !no_wait;
    TxnOptions { abortable: promises.abortable, persistent, force: persistent, ..TxnOptions::default() }
}

pub(crate) fn get(target: &Target, args: &Get, output: &mut Output) -> Result<(), Failure> {
    let (name, key) = split(&args.pairs[0])?;
    if args.pairs.len() > 1 && !args.range.is_empty() {
        return Err(Failure::usage("--range is about one pair", "name one pair, or leave --range out"));
    }
    if args.pairs.len() > 1 {
        return get_many(target, name, &args.pairs, output);
    }
    let opened = Opened::open(&reach(target)?, name)?;
    let shape = opened.shape();
    let key = shape.key_from_word(key)?;
    let missing = || Failure::no(format!("{}/{} is not there", name, shape.key_to_word(&key)));
    if !args.range.is_empty() {
        let found = opened.table.read_ranges(&key, &args.range)?.ok_or_else(missing)?;
        return print_parts(&found, output);
    }
    let pair = opened.table.get(&key)?.ok_or_else(missing)?;
    match output.format {
        Format::Table => output.line(&shape.record_to_word(&pair.value)),
        Format::Raw => output.bytes(&pair.value),
        Format::Hex => output.line(&words::to_hex(&pair.value)),
        Format::Json | Format::Jsonl => output.document(&document(shape, &pair)),
    }
}

/// Prints parts of a record: as words one a line, or as they are, one behind the other.
fn print_parts(found: &Ranges, output: &mut Output) -> Result<(), Failure> {
    match output.format {
        Format::Table => found.parts.iter().try_for_each(|part| output.line(&words::show(part))),
        Format::Hex => found.parts.iter().try_for_each(|part| output.line(&words::to_hex(part))),
        Format::Raw => found.parts.iter().try_for_each(|part| output.bytes(part)),
        Format::Json | Format::Jsonl => output.document(&json!({
            "version": found.version.to_string(),
            "total_bytes": found.total_bytes,
            "parts": found.parts.iter().map(|part| words::show(part)).collect::<Vec<_>>(),
        })),
    }
}

/// Prints the pairs that are there, in the order of the words, and then says which are not.
fn get_many(target: &Target, name: &str, words: &[String], output: &mut Output) -> Result<(), Failure> {
    let opened = Opened::open(&reach(target)?, name)?;
    let shape = opened.shape();
    let mut keys = Vec::new();
    for word in words {
        let (table, key) = split(word)?;
        if table != name {
            let what = format!("'{word}' is not of the table '{name}'");
            return Err(Failure::usage(what, "name pairs of one table, or run `lostore get` once for each table"));
        }
        keys.push(shape.key_from_word(key)?);
    }
    let pairs = opened.table.get_many(&keys)?;
    let documents = matches!(output.format, Format::Json | Format::Jsonl);
    if documents {
        output.begin_list()?;
    }
    for pair in pairs.iter().flatten() {
        print(shape, pair, false, output)?;
    }
    if documents {
        output.end_list()?;
    }
    let missing = words.iter().zip(&pairs).filter(|(_, pair)| pair.is_none()).map(|(word, _)| &**word);
    let missing: Vec<&str> = missing.collect();
    match missing[..] {
        [] => Ok(()),
        [one] => Err(Failure::no(format!("{one} is not there"))),
        [first, ..] => Err(Failure::no(format!("{first} and {} others are not there", missing.len() - 1))),
    }
}

pub(crate) fn put(target: &Target, args: &Put, output: &mut Output) -> Result<(), Failure> {
    let (name, key) = split(&args.pair)?;
    one_from_stdin(key, &args.value)?;
    let expect = args.how.expect.as_deref().map(expect_of).transpose()?;
    let store = reach(target)?;
    let opened = Opened::open(&store, name)?;
    let shape = opened.shape();
    let record = shape.record_from_word(&args.value)?;
    let address = shape.info.spec.kind == TableKind::Sack && key.is_empty();
    let key = if address { next_address(&store, &opened)? } else { shape.key_from_word(key)? };
    let options = put_options(&args.how)?;

    let mut txn = store.txn_with(txn_options(&store, args.how.no_wait))?;
    let mut raw = txn.raw(&opened.table);
    if let Some(expect) = expect {
        raw.compare(&key, expect)?;
    }
    raw.upsert(&key, &record, options)?;
    let ticket = txn.commit().map_err(|error| mismatch(error, &args.pair))?;
    let version = *ticket.versions().first().ok_or(lostore::Error::WrongAnswer { asked: "a put" })?;
    let word = shape.key_to_word(&key);
    match output.format {
        Format::Table | Format::Raw | Format::Hex if address => output.line(&format!("{name}/{word}  {version}")),
        Format::Table | Format::Raw | Format::Hex => output.line(&version.to_string()),
        Format::Json | Format::Jsonl => output.document(&json!({
            "table": name, "key": shape.key_to_json(&key), "version": version.to_string(),
            "persistent": ticket.is_persistent(),
        })),
    }
}

/// Stdin is read once.
fn one_from_stdin(key: &str, value: &str) -> Result<(), Failure> {
    if key == "-" && value == "-" {
        return Err(Failure::usage("key and value cannot both come from stdin", "put one of them into a file: @file"));
    }
    Ok(())
}

/// What is kept with a record.
fn put_options(how: &Write) -> Result<PutOptions, Failure> {
    let expires_ms = how.ttl.map(expires_after).transpose()?.or(how.expires_ms);
    Ok(PutOptions { expires_ms, compressed: how.compressed, compact: how.compact, revertible_ms: how.revertible })
}

/// What becomes of a revertible write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Revert,
    Seal,
}

/// `revert` and `seal`. Prints the version that the pair has now; one that is not there any more has none.
pub(crate) fn end_lease(target: &Target, args: &Token, ending: Ending, output: &mut Output) -> Result<(), Failure> {
    let (name, key) = split(&args.pair)?;
    let version = version_of(&args.version)?;
    let store = reach(target)?;
    let opened = Opened::open(&store, name)?;
    let key = opened.shape().key_from_word(key)?;
    let token = lostore::Token { table: opened.table.id(), key: key.to_vec(), version };
    let mut txn = store.txn_with(txn_options(&store, args.no_wait))?;
    match ending {
        Ending::Revert => txn.revert(&token)?,
        Ending::Seal => txn.seal(&token)?,
    }
    let ticket = txn.commit().map_err(|error| mismatch(error, &args.pair))?;
    let version = *ticket.versions().first().ok_or(lostore::Error::WrongAnswer { asked: "a revert or a seal" })?;
    match output.format {
        Format::Table | Format::Raw | Format::Hex => output.line(&version.to_string()),
        Format::Json | Format::Jsonl => output.document(&json!({
            "table": name, "key": opened.shape().key_to_json(&key), "version": version.to_string(),
            "persistent": ticket.is_persistent(),
        })),
    }
}

pub(crate) fn del(target: &Target, args: &Del, output: &mut Output) -> Result<(), Failure> {
    let (name, key) = split(&args.pair)?;
    let expect = args.expect.as_deref().map(expect_of).transpose()?;
    let store = reach(target)?;
    let opened = Opened::open(&store, name)?;
    let key = opened.shape().key_from_word(key)?;
    let mut txn = store.txn_with(txn_options(&store, args.no_wait))?;
    let mut raw = txn.raw(&opened.table);
    if let Some(expect) = expect {
        raw.compare(&key, expect)?;
    }
    raw.delete(&key)?;
    let ticket = txn.commit().map_err(|error| mismatch(error, &args.pair))?;
    match output.format {
        Format::Table | Format::Raw | Format::Hex => Ok(()),
        Format::Json | Format::Jsonl => output.document(&json!({
            "table": name, "key": opened.shape().key_to_json(&key), "deleted": true,
            "persistent": ticket.is_persistent(),
        })),
    }
}

pub(crate) fn scan(target: &Target, args: &Scan, output: &mut Output) -> Result<(), Failure> {
    let (name, prefix) = args.pair.split_once('/').unwrap_or((&args.pair, ""));
    let opened = Opened::open(&reach(target)?, name)?;
    let shape = opened.shape();
    let mut span = KeySpan::default();
    if !prefix.is_empty() {
        span = KeySpan::of_prefix(&shape.prefix_from_word(prefix)?);
    }
    if let Some(from) = &args.from {
        span.start = span.start.max(shape.key_from_word(from)?);
    }
    let mut iter = opened.table.range(span);
    if args.reverse {
        iter = iter.backwards();
    }
    let documents = matches!(output.format, Format::Json | Format::Jsonl);
    if documents {
        output.begin_list()?;
    }
    let limit = usize::try_from(args.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    for pair in iter.take(limit) {
        print(shape, &pair?, args.keys, output)?;
    }
    if documents { output.end_list() } else { Ok(()) }
}

/// Prints one pair of a scan.
fn print(shape: Shape<'_>, pair: &Pair, keys: bool, output: &mut Output) -> Result<(), Failure> {
    match output.format {
        Format::Json | Format::Jsonl if keys => output.item(&shape.key_to_json(&pair.key)),
        Format::Json | Format::Jsonl => output.item(&document(shape, pair)),
        Format::Table if keys => output.line(&shape.key_to_word(&pair.key)),
        Format::Table => {
            output.line(&format!("{}\t{}", shape.key_to_word(&pair.key), shape.record_to_word(&pair.value)))
        }
        Format::Hex if keys => output.line(&words::to_hex(&pair.key)),
        Format::Hex => output.line(&format!("{}\t{}", words::to_hex(&pair.key), words::to_hex(&pair.value))),
        Format::Raw => {
            output.bytes(&pair.key)?;
            if !keys {
                output.bytes(b"\t")?;
                output.bytes(&pair.value)?;
            }
            output.bytes(b"\n")
        }
    }
}

pub(crate) fn follow(target: &Target, args: &Follow, output: &mut Output) -> Result<(), Failure> {
    let (name, key) = split(&args.pair)?;
    let opened = Opened::open(&reach(target)?, name)?;
    let shape = opened.shape();
    let (field, to) = pointer(shape, &args.field)?;
    let key = shape.key_from_word(key)?;
    if args.depth.is_some() || args.count.is_some() {
        return crate::chain::follow(&opened, &key, field, (args.depth, args.count), output);
    }
    let there = format!("{}/{}", name, shape.key_to_word(&key));
    let found = match opened.table.follow(&key, field)? {
        Followed::Absent => return Err(Failure::no(format!("{there} is not there"))),
        Followed::Null { .. } => return Err(Failure::no(format!("'{}' of {there} leads nowhere", args.field))),
        Followed::Dangling { target, .. } => {
            let target = opened.shape_of(to).map_or_else(|| words::to_hex(&target), |to| to.key_to_word(&target));
            return Err(Failure::no(format!("'{}' of {there} leads to {to}/{target}, which is not there", args.field)));
        }
        Followed::Found { from, to } => (from, to),
    };
    let (from, pair) = found;
    let target = opened.shape_of(to).unwrap_or(shape);
    match output.format {
        Format::Table => {
            output.line(&format!("{}\t{}", target.key_to_word(&pair.key), target.record_to_word(&pair.value)))
        }
        Format::Raw => output.bytes(&pair.value),
        Format::Hex => output.line(&words::to_hex(&pair.value)),
        Format::Json | Format::Jsonl => {
            output.document(&json!({ "from": document(shape, &from), "to": document(target, &pair) }))
        }
    }
}

/// The position and target of a pointer field.
fn pointer<'a>(shape: Shape<'a>, name: &str) -> Result<(u16, &'a str), Failure> {
    let fields = &shape.info.spec.record;
    let pointers = || {
        let names = fields.iter().filter(|field| matches!(field.field_type, FieldType::Pointer { .. }));
        names.map(|field| &*field.name).collect::<Vec<&str>>().join(", ")
    };
    let found = fields.iter().position(|field| field.name == name).map(|at| (at, &fields[at].field_type));
    match found {
        Some((at, FieldType::Pointer { table })) => {
            Ok((u16::try_from(at).expect("a record has at most 1024 fields"), table))
        }
        Some((_, other)) => Err(Failure::usage(
            format!("field '{name}' of '{}' is of type {other}, not a pointer", shape.info.name),
            format!("its pointers are: {}", pointers()),
        )),
        None => Err(Failure::usage(
            format!("'{}' has no field '{name}'", shape.info.name),
            format!("its pointers are: {}", pointers()),
        )),
    }
}

/// An address that the sack gives.
fn next_address(store: &AnyStore, opened: &Opened) -> Result<Vec<u8>, Failure> {
    let backend = store.backend();
    let answer = backend.wait(backend.start(Op::Reserve { table: opened.table.id(), count: 1 })?)?;
    match answer {
        Answer::Reserved(addresses) if !addresses.is_empty() => Ok(addresses[0].to_vec()),
        _ => Err(lostore::Error::WrongAnswer { asked: "setting an address aside" }.into()),
    }
}

/// So many seconds from now, as the store counts.
fn expires_after(seconds: u64) -> Result<u64, Failure> {
    let end = SystemTime::now().checked_add(Duration::from_secs(seconds));
    let since = end.and_then(|end| end.duration_since(UNIX_EPOCH).ok());
    since
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .ok_or_else(|| Failure::usage(format!("{seconds} seconds from now is past all time"), "give fewer seconds"))
}

/// A compare of the only pair of a transaction that did not hold, told as what it means for the pair.
fn mismatch(error: lostore::Error, pair: &str) -> Failure {
    let found = error.failures().first().map(|failure| failure.found);
    match found {
        None => error.into(),
        Some(None) => Failure::no(format!("{pair} is not there")),
        Some(Some(version)) => Failure::no(format!("{pair} is there, at version {version}")),
    }
}

#[cfg(test)]
mod tests;
