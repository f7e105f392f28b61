//! What could come next on a line: verbs, options, tables, keys, fields.
//!
//! Contract: nothing is changed and little is read: the list of tables, and of keys a handful, of ordered tables only. When the store
//! does not answer there is nothing to offer.

use super::words;
use crate::args::Args;
use crate::reach::AnyStore;
use crate::shape::Shape;
use clap::{Command, CommandFactory};
use domains::schema::{FieldType, TableKind};
use lostore::{KeySpan, TableInfo};

/// Keys that are offered.
const KEYS_MAX: usize = 20;
/// What the shell understands beside the verbs.
const OWN: [&str; 6] = ["abort", "begin", "commit", "exit", "help", "quit"];

/// The words that could stand at the end of the line, each whole, and where on the line they begin.
pub(super) fn candidates(line: &str, store: &AnyStore) -> (usize, Vec<String>) {
    let tables = store.tables().unwrap_or_default();
    let words = words::begun(line);
    let last = words.last().map_or("", |word| &**word);
    // A word with quotes taken away is not where it seems: nothing is offered for it.
    let start = line.len() - if line.ends_with(last) { last.len() } else { return (line.len(), Vec::new()) };
    if let Some(names) = field_names(&words, last, &tables) {
        return names.within(start);
    }
    if let Some((table, key)) = last.split_once('/').filter(|_| words.len() > 1) {
        return (start, keys(store, &tables, table, key));
    }
    let mut offered = offers(&words, &tables);
    offered.retain(|word| word.starts_with(last) && word != last);
    offered.sort();
    offered.dedup();
    (start, offered)
}

/// Names that complete a part of the last word.
struct Inside {
    at: usize,
    names: Vec<String>,
}

impl Inside {
    fn within(self, start: usize) -> (usize, Vec<String>) {
        (start + self.at, self.names)
    }
}

/// Inside a JSON object that is a record: the fields whose names begin so.
fn field_names(words: &[String], last: &str, tables: &[TableInfo]) -> Option<Inside> {
    if !last.starts_with('{') {
        return None;
    }
    let open = last.rfind('"')?;
    let before = last[..open].trim_end();
    if last[..=open].matches('"').count().is_multiple_of(2) || !before.ends_with(['{', ',']) {
        return None;
    }
    let (table, _) = words.get(1)?.split_once('/')?;
    let info = tables.iter().find(|info| info.name == table)?;
    let begun = &last[open + 1..];
    let fits = info.spec.record.iter().filter(|field| field.name.starts_with(begun));
    Some(Inside { at: open + 1, names: fits.map(|field| format!("{}\":", field.name)).collect() })
}

/// The first keys of an ordered table that begin so.
fn keys(store: &AnyStore, tables: &[TableInfo], table: &str, key: &str) -> Vec<String> {
    let Some(info) = tables.iter().find(|info| info.name == table && info.spec.kind == TableKind::Ordered) else {
        return Vec::new();
    };
    let shape = Shape { info, tables };
    let span = match shape.prefix_from_word(key) {
        _ if key.is_empty() => KeySpan::default(),
        Ok(prefix) => KeySpan::of_prefix(&prefix),
        // A number that is not whole yet, or JSON that is not.
        Err(_) => return Vec::new(),
    };
    let Ok(opened) = store.open_raw(table) else { return Vec::new() };
    let word = |pair: lostore::Pair| format!("{table}/{}", shape.key_to_word(&pair.key));
    let plain = |word: &String| !word.contains(char::is_whitespace);
    opened.range(span).take(KEYS_MAX).map_while(Result::ok).map(word).filter(plain).collect()
}

/// Everything that could stand in the last word's place.
fn offers(words: &[String], tables: &[TableInfo]) -> Vec<String> {
    let mut command = Args::command();
    command.build();
    let names = |command: &Command| -> Vec<String> {
        command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
    };
    if words.len() < 2 {
        return [names(&command), OWN.map(str::to_owned).to_vec()].concat();
    }
    if words[0] == "help" {
        return names(&command);
    }
    let Some(verb) = command.find_subcommand(&words[0]) else {
        // Statements of a transaction that are no verbs: what they are about is a pair.
        return if matches!(&*words[0], "if" | "insert" | "update") { pairs(tables) } else { Vec::new() };
    };
    let last = &words[words.len() - 1];
    if last.starts_with('-') {
        let options = verb.get_arguments().filter_map(|option| option.get_long());
        return options.map(|name| format!("--{name}")).collect();
    }
    if verb.has_subcommands() {
        let plain = tables.iter().map(|info| info.name.clone());
        return if words.len() == 2 { names(verb) } else { plain.collect() };
    }
    match (&*words[0], words.len()) {
        ("follow", 3) => pointers(&words[1], tables),
        ("put" | "append" | "del" | "follow" | "revert" | "seal", 2) | ("get" | "cas" | "scan", _) => pairs(tables),
        ("verify", _) if words.iter().any(|word| word == "--pair") => pairs(tables),
        _ => Vec::new(),
    }
}

fn pairs(tables: &[TableInfo]) -> Vec<String> {
    tables.iter().map(|info| format!("{}/", info.name)).collect()
}

fn pointers(pair: &str, tables: &[TableInfo]) -> Vec<String> {
    let table = pair.split('/').next().unwrap_or("");
    let fields = tables.iter().filter(|info| info.name == table).flat_map(|info| &info.spec.record);
    let pointers = fields.filter(|field| matches!(field.field_type, FieldType::Pointer { .. }));
    pointers.map(|field| field.name.clone()).collect()
}
