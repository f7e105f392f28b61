//! `txn`: a transaction written as text, run as one.
//!
//! Contract: all statements become one commit set; nothing is sent when one of them cannot be read. The grammar is what
//! [`TXN_HELP`](crate::args::TXN_HELP) says. A failed compare is exit 1 and names each pair.

use crate::args::{Target, Txn};
use crate::failure::{Exit, Failure, SCRIPT, talk};
use crate::output::{Format, Output};
use crate::pairs::append::only_bytes;
use crate::pairs::{Opened, expect_of, split, txn_options};
use crate::reach::{AnyStore, reach};
use crate::words;
use lostore::{Expect, PutOptions};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A statement as it was written.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Statement {
    /// Where it stands, for messages.
    line: usize,
    table: String,
    key: Word,
    action: Action,
}

/// A key or value, as text or as JSON.
#[derive(Clone, PartialEq, Debug)]
enum Word {
    Text(String),
    Json(Value),
}

/// What a statement does.
#[derive(Clone, PartialEq, Debug)]
enum Action {
    If(Expect),
    Put { value: Word, verb: Put, expires_ms: Option<u64> },
    Del,
}

/// How a pair is put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Put {
    Upsert,
    Insert,
    Update,
    Append,
}

pub(crate) fn txn(target: &Target, args: &Txn, output: &mut Output) -> Result<(), Failure> {
    let text = String::from_utf8(words::read("-")?)
        .map_err(|_| refused(0, "the script is not UTF-8", "write other bytes as hex:.."))?;
    let statements = parse(&text)?;
    if statements.is_empty() {
        return Err(refused(0, "the script is empty", "`lostore txn --help` shows what may stand in one"));
    }
    run(&reach(target)?, &statements, args.no_wait, output)
}

pub(crate) fn run(
    store: &AnyStore,
    statements: &[Statement],
    no_wait: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut tables: BTreeMap<&str, Opened> = BTreeMap::new();
    for statement in statements {
        if !tables.contains_key(&*statement.table) {
            tables.insert(&statement.table, Opened::open(store, &statement.table)?);
        }
    }
    let mut txn = store.txn_with(txn_options(store, no_wait))?;
    // Pairs by the number that a failed compare names them with, and whether they change.
    let mut parts: Vec<(String, Value, &str, bool)> = Vec::new();
    for statement in statements {
        let opened = &tables[&*statement.table];
        let (key, before) = (key_of(statement, opened)?, txn.len());
        add(statement, opened, &key, &mut txn).map_err(|failure| failure.at(statement.line))?;
        let changes = !matches!(statement.action, Action::If(_));
        let word = format!("{}/{}", statement.table, opened.shape().key_to_word(&key));
        if txn.len() > before {
            parts.push((word, opened.shape().key_to_json(&key), &statement.table, changes));
        } else if let Some(part) = parts.iter_mut().find(|part| part.0 == word) {
            part.3 |= changes;
        }
    }
    match txn.commit() {
        Ok(ticket) => {
            let changed = parts.iter().filter(|part| part.3).zip(ticket.versions());
            if matches!(output.format, Format::Json | Format::Jsonl) {
                let pairs: Vec<Value> = changed
                    .map(|((_, key, table, _), version)| {
                        json!({ "table": table, "key": key, "version": version.to_string() })
                    })
                    .collect();
                let (epoch, persistent) = (ticket.epoch().to_string(), ticket.is_persistent());
                return output.document(&json!({ "epoch": epoch, "persistent": persistent, "pairs": pairs }));
            }
            for ((word, ..), version) in changed {
                output.line(&format!("{word}\t{version}"))?;
            }
            Ok(())
        }
        Err(error) if !error.failures().is_empty() => {
            for failure in error.failures() {
                let part = usize::try_from(failure.part).ok().and_then(|part| parts.get(part));
                let word = part.map_or("a pair", |part| &part.0);
                match failure.found {
                    Some(version) => talk(&format!("{word} is there, at version {version}")),
                    None => talk(&format!("{word} is not there")),
                }
            }
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

fn key_of(statement: &Statement, opened: &Opened) -> Result<Vec<u8>, Failure> {
    let key = match &statement.key {
        Word::Text(text) if text == "-" => Err(Failure::usage("stdin is the script", "write the key into it")),
        Word::Text(text) => opened.shape().key_from_word(text),
        Word::Json(value) => opened.shape().key_from_json(value),
    };
    key.map_err(|failure| failure.at(statement.line))
}

fn add(
    statement: &Statement,
    opened: &Opened,
    key: &[u8],
    txn: &mut lostore::Txn<lostore::AnyBackend>,
) -> Result<(), Failure> {
    let mut raw = txn.raw(&opened.table);
    match &statement.action {
        Action::If(expect) => raw.compare(key, *expect)?,
        Action::Del => raw.delete(key)?,
        Action::Put { value, verb, expires_ms } => {
            if *verb == Put::Append {
                only_bytes(opened.shape(), &format!("{}/..", statement.table))?;
            }
            let record = match value {
                Word::Text(text) if text == "-" => Err(Failure::usage("stdin is the script", "use @file")),
                Word::Text(text) => opened.shape().record_from_word(text),
                Word::Json(value) => opened.shape().record_from_json(value),
            }?;
            let options = PutOptions { expires_ms: *expires_ms, ..PutOptions::default() };
            match verb {
                Put::Upsert => raw.upsert(key, &record, options)?,
                Put::Insert => raw.insert(key, &record, options)?,
                Put::Update => raw.update(key, &record, options)?,
                Put::Append => raw.append(key, &record, options)?,
            }
        }
    }
    Ok(())
}

/// The statements of a script.
pub(crate) fn parse(text: &str) -> Result<Vec<Statement>, Failure> {
    let mut statements = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with('#') {
            if rest.starts_with('{') {
                let (value, behind) = document(rest, number)?;
                statements.push(of_document(&value, number)?);
                rest = end_of_statement(behind, number)?;
            } else if let Some(behind) = rest.strip_prefix(';') {
                rest = behind.trim_start();
            } else {
                let (statement, behind) = of_words(rest, number)?;
                statements.push(statement);
                rest = end_of_statement(behind, number)?;
            }
        }
    }
    Ok(statements)
}

fn end_of_statement(rest: &str, line: usize) -> Result<&str, Failure> {
    let rest = rest.trim_start();
    match rest.strip_prefix(';') {
        Some(behind) => Ok(behind.trim_start()),
        None if rest.is_empty() => Ok(rest),
        None => Err(refused(line, &format!("'{rest}' is left behind a statement"), "begin the next with ; or a line")),
    }
}

/// A statement in words, and what stands behind it.
fn of_words(text: &str, line: usize) -> Result<(Statement, &str), Failure> {
    let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim_start();
    match verb {
        "if" => {
            let (table, key, rest) = pair(rest, line)?;
            let (key, property) = match key {
                Word::Text(text) => match text.strip_suffix(".version") {
                    Some(key) => (Word::Text(key.to_owned()), true),
                    None => (Word::Text(text), false),
                },
                json @ Word::Json(_) => (json, rest.starts_with(".version")),
            };
            let rest = if matches!(key, Word::Json(_)) { rest.strip_prefix(".version").unwrap_or(rest) } else { rest };
            let (state, rest) = until(rest.trim_start(), ';');
            let state = match (property, state.strip_prefix("==")) {
                (true, Some(version)) => version.trim(),
                (false, None) if matches!(state, "absent" | "present") => state,
                _ => {
                    let help = "write `if T/K.version == V`, `if T/K present` or `if T/K absent`";
                    return Err(refused(line, &format!("'{text}' is no condition"), help));
                }
            };
            let expect = expect_of(state).map_err(|failure| failure.at(line))?;
            Ok((Statement { line, table, key, action: Action::If(expect) }, rest))
        }
        "put" | "insert" | "update" | "append" => {
            let (table, key, rest) = pair(rest, line)?;
            let rest = rest.trim_start();
            let (value, rest) = if rest.starts_with(['{', '[', '"']) {
                let (value, rest) = document(rest, line)?;
                (Word::Json(value), rest)
            } else {
                let (value, rest) = until(rest, ';');
                (Word::Text(value.to_owned()), rest)
            };
            let verb = match verb {
                "insert" => Put::Insert,
                "update" => Put::Update,
                "append" => Put::Append,
                _ => Put::Upsert,
            };
            Ok((Statement { line, table, key, action: Action::Put { value, verb, expires_ms: None } }, rest))
        }
        "del" => {
            let (table, key, rest) = pair(rest, line)?;
            Ok((Statement { line, table, key, action: Action::Del }, rest))
        }
        other => Err(refused(
            line,
            &format!("'{other}' is no statement"),
            "statements begin with if, put, insert, update or del; `lostore txn --help` shows them",
        )),
    }
}

/// TABLE/KEY, and what stands behind it.
fn pair(text: &str, line: usize) -> Result<(String, Word, &str), Failure> {
    let (table, key) = split(text).map_err(|failure| failure.at(line))?;
    if table.contains(char::is_whitespace) {
        let help = "write TABLE/KEY, as in users/alice";
        return Err(refused(line, &format!("'{text}' names no pair"), help));
    }
    if key.starts_with(['{', '[', '"']) {
        let (value, rest) = document(key, line)?;
        return Ok((table.to_owned(), Word::Json(value), rest));
    }
    let end = key.find(|letter: char| letter.is_whitespace() || letter == ';').unwrap_or(key.len());
    Ok((table.to_owned(), Word::Text(key[..end].to_owned()), &key[end..]))
}

/// The JSON at the front, and what stands behind it.
fn document(text: &str, line: usize) -> Result<(Value, &str), Failure> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => Ok((value, &text[values.byte_offset()..])),
        Some(Err(error)) => Err(refused(line, &format!("'{text}' is not JSON ({error})"), "JSON stands on one line")),
        None => Err(refused(line, "JSON is missing", "write a value")),
    }
}

fn until(text: &str, end: char) -> (&str, &str) {
    let at = text.find(end).unwrap_or(text.len());
    (text[..at].trim_end(), &text[at..])
}

/// A statement in JSON.
fn of_document(value: &Value, line: usize) -> Result<Statement, Failure> {
    let help = "write {\"table\": .., \"key\": .., \"value\": ..}, or \"delete\": true, or \"if\": ..";
    let object: &Map<String, Value> = value.as_object().ok_or_else(|| refused(line, "a statement is missing", help))?;
    let known = ["table", "key", "value", "delete", "if", "version", "expires_ms"];
    if let Some(name) = object.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(refused(line, &format!("'{name}' is no part of a statement"), help));
    }
    let table = object.get("table").and_then(Value::as_str);
    let (Some(table), Some(key)) = (table, object.get("key")) else {
        return Err(refused(line, "\"table\" or \"key\" is missing", help));
    };
    let action = match (object.get("value"), object.get("delete"), object.get("if")) {
        (Some(value), None, None) => {
            let expires_ms = object.get("expires_ms").and_then(Value::as_u64);
            Action::Put { value: Word::Json(value.clone()), verb: Put::Upsert, expires_ms }
        }
        (None, Some(Value::Bool(true)), None) => Action::Del,
        (None, None, Some(Value::String(state))) => Action::If(expect_of(state).map_err(|failure| failure.at(line))?),
        _ => return Err(refused(line, "a statement has one of \"value\", \"delete\": true and \"if\"", help)),
    };
    Ok(Statement { line, table: table.to_owned(), key: Word::Json(key.clone()), action })
}

fn refused(line: usize, what: &str, help: &str) -> Failure {
    let what = if line == 0 { what.to_owned() } else { format!("line {line}: {what}") };
    Failure { exit: Exit::Usage, code: Some(SCRIPT), what, help: help.to_owned() }
}

impl Failure {
    /// The same, naming the line of the script.
    fn at(mut self, line: usize) -> Self {
        if !self.what.starts_with("line ") {
            self.what = format!("line {line}: {}", self.what);
        }
        self
    }
}

#[cfg(test)]
mod tests;
