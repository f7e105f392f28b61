//! The schema as text that Mermaid draws: an entity relationship diagram.
//!
//! Contract: whatever tables and fields are called, the text is one that Mermaid reads: names are quoted or made of letters it takes.

use super::{Entity, Row, references};
use std::fmt::Write;

pub(super) fn draw(entities: &[Entity]) -> String {
    let mut text = String::from("erDiagram\n");
    for entity in entities {
        put(&mut text, format_args!("  {} {{\n", quoted(&entity.name)));
        for row in &entity.rows {
            let key = if row.is_key { " PK" } else { row.to.as_ref().map_or("", |_| " FK") };
            let rules = if row.rules.is_empty() { String::new() } else { format!(" {}", quoted(&row.rules)) };
            put(&mut text, format_args!("    {} {}{key}{rules}\n", type_word(row), word(&row.name)));
        }
        text.push_str("  }\n");
    }
    for (entity, row, to, _) in references(entities) {
        // Many records may name one; one that must not be null names exactly one, any other none or one.
        let end = if row.required { "||" } else { "o|" };
        let (from, to, field) = (quoted(&entity.name), quoted(to), quoted(&row.name));
        put(&mut text, format_args!("  {from} }}o--{end} {to} : {field}\n"));
    }
    text
}

fn put(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).expect("text takes all that is written");
}

fn type_word(row: &Row) -> String {
    if row.to.is_some() { "pointer".to_owned() } else { word(&row.of) }
}

/// A name in quotes; a quote in it becomes another.
fn quoted(name: &str) -> String {
    let plain = |letter: char| match letter {
        '"' => '\'',
        letter if letter.is_control() => ' ',
        letter => letter,
    };
    format!("\"{}\"", name.chars().map(plain).collect::<String>())
}

/// A word of letters, digits and underscores that begins with a letter.
fn word(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let word: String = name.chars().map(plain).collect();
    let word = word.trim_matches('_');
    match word.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => word.to_owned(),
        Some(_) | None => format!("f_{word}"),
    }
}
