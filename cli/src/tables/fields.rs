//! Fields as `table create` takes them and every listing prints them: `age:u32 in 0..=150,boss:->user required,note:text default "x"`.
//!
//! Contract: what is printed is read back as the same fields and rules, but for the record's growth, which is history and not
//! structure. Commas separate fields, except inside JSON.

use crate::failure::Failure;
use crate::shape::Shape;
use domains::schema::{Field, FieldType, Rule, TableSpec};
use lostore::{TableId, TableInfo};

/// The key's fields.
pub(crate) fn key_text(spec: &TableSpec) -> String {
    spec.key.iter().map(field_text).collect::<Vec<String>>().join(",")
}

/// The record's fields, with their rules.
pub(crate) fn record_text(shape: Shape<'_>) -> String {
    let field = |(at, field)| match rules_text(shape, at) {
        rules if rules.is_empty() => field_text(field),
        rules => format!("{} {rules}", field_text(field)),
    };
    shape.info.spec.record.iter().enumerate().map(field).collect::<Vec<String>>().join(",")
}

fn field_text(field: &Field) -> String {
    match &field.field_type {
        FieldType::Pointer { table } => format!("{}:->{table}", field.name),
        other => format!("{}:{other}", field.name),
    }
}

/// The rules of the field at this position: none, or words.
pub(crate) fn rules_text(shape: Shape<'_>, at: usize) -> String {
    let spec = &shape.info.spec;
    let Ok(position) = u16::try_from(at) else { return String::new() };
    let mut words = Vec::new();
    if spec.is_required(position) {
        words.push("required".to_owned());
    }
    if let Some((least, most)) = spec.range(position) {
        words.push(format!("in {least}..={most}"));
    }
    if let Some(value) = shape.default_of(position) {
        words.push(format!("default {value}"));
    }
    words.join(" ")
}

/// The fields and rules of a word of the command line.
pub(crate) fn read(text: &str) -> Result<(Vec<Field>, Vec<Rule>), Failure> {
    let (mut spec, mut defaults) = (empty(), Vec::new());
    for word in pieces(text) {
        let (name, of) = word.split_once(':').ok_or_else(|| no_field(word))?;
        let (of, rules) = of.split_once(' ').unwrap_or((of, ""));
        let field_type = field_type(of).ok_or_else(|| no_field(word))?;
        if name.is_empty() {
            return Err(no_field(word));
        }
        if spec.record.iter().any(|field| field.name == name) {
            return Err(Failure::usage(format!("field '{name}' is there twice"), "give it another name"));
        }
        let position = u16::try_from(spec.record.len()).map_err(|_| no_field(word))?;
        spec.record.push(Field { name: name.to_owned(), field_type });
        read_rules(rules.trim_start(), position, &mut spec.rules, &mut defaults).ok_or_else(|| no_field(word))?;
    }
    let info = TableInfo { id: TableId(0), name: String::new(), spec: spec.clone() };
    for (field, value) in defaults {
        let value = Shape { info: &info, tables: &[] }.field_to_bytes(&spec.record[usize::from(field)], &value)?;
        spec.rules.push(Rule::Default { field, value });
    }
    Ok((spec.record, spec.rules))
}

fn empty() -> TableSpec {
    TableSpec::plain(domains::schema::TableKind::Hash, domains::schema::TableHome::Persistent)
}

/// Reads `required`, `in A..=B` and `default JSON`, in any order, the default last.
fn read_rules(
    mut text: &str,
    field: u16,
    rules: &mut Vec<Rule>,
    defaults: &mut Vec<(u16, serde_json::Value)>,
) -> Option<()> {
    while !text.is_empty() {
        if let Some(value) = text.strip_prefix("default ") {
            defaults.push((field, serde_json::from_str(value).ok()?));
            return Some(());
        }
        if let Some(rest) = text.strip_prefix("in ") {
            let (range, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let (least, most) = range.split_once("..=")?;
            rules.push(Rule::Range { field, least: least.parse().ok()?, most: most.parse().ok()? });
            text = rest.trim_start();
        } else {
            let rest = text.strip_prefix("required")?;
            rules.push(Rule::Required { field });
            text = rest.trim_start();
        }
    }
    Some(())
}

/// The pieces between commas that stand outside of JSON.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut from, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0_u32, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                pieces.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[from..]);
    pieces.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

fn field_type(word: &str) -> Option<FieldType> {
    Some(match word {
        "u8" => FieldType::Unsigned(8),
        "u16" => FieldType::Unsigned(16),
        "u32" => FieldType::Unsigned(32),
        "u64" => FieldType::Unsigned(64),
        "u128" => FieldType::Unsigned(128),
        "i8" => FieldType::Signed(8),
        "i16" => FieldType::Signed(16),
        "i32" => FieldType::Signed(32),
        "i64" => FieldType::Signed(64),
        "i128" => FieldType::Signed(128),
        "bool" => FieldType::Bool,
        "text" => FieldType::Text,
        "bytes" => FieldType::Bytes,
        other => match other.strip_prefix("->") {
            Some(table) if !table.is_empty() => FieldType::Pointer { table: table.to_owned() },
            Some(_) | None => return None,
        },
    })
}

fn no_field(word: &str) -> Failure {
    Failure::usage(
        format!("'{word}' is no field"),
        "write NAME:TYPE, with one of u8 to u128, i8 to i128, bool, text, bytes, or ->TABLE; behind it rules, as in \
         `age:u32 in 0..=150 default 18` or `boss:->user required`",
    )
}
