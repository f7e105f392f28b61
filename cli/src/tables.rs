//! `table`: lists, makes, shows, renames and drops tables.
//!
//! Contract: what `info -o json` prints of a table is enough to make another like it; fields are written as `create` takes them.

use crate::args::{KindArg, Table, Target};
use crate::failure::Failure;
use crate::output::{Format, Output, count_text};
use crate::reach::{AnyStore, reach};
use domains::schema::{Field, FieldType, TableHome, TableKind, TableSpec};
use lostore::TableInfo;
use serde_json::{Value, json};

pub(crate) fn table(target: &Target, verb: Table, output: &mut Output) -> Result<(), Failure> {
    match verb {
        Table::List => list(&reach(target)?, output),
        Table::Create { name, kind, volatile, key, record } => {
            let spec = spec(kind, volatile, key.as_deref(), record.as_deref())?;
            let store = reach(target)?;
            let table = store.create_raw(&name, spec)?;
            show(&TableInfo { id: table.id(), name, spec: table.spec().clone() }, output)
        }
        Table::Info { name } => {
            let store = reach(target)?;
            let table = store.open_raw(&name)?;
            show(&TableInfo { id: table.id(), name, spec: table.spec().clone() }, output)
        }
        Table::Rename { from, to } => Ok(reach(target)?.rename_table(&from, &to)?),
        Table::Drop { name } => Ok(reach(target)?.destroy_table(&name)?),
    }
}

fn list(store: &AnyStore, output: &mut Output) -> Result<(), Failure> {
    let tables = store.tables()?;
    match output.format {
        Format::Table => {
            let rows: Vec<Vec<String>> = tables
                .iter()
                .map(|info| {
                    let spec = &info.spec;
                    vec![
                        info.name.clone(),
                        info.id.to_string(),
                        spec.kind.name().to_owned(),
                        spec.home.name().to_owned(),
                        or_bytes(&fields_text(&spec.key)),
                        or_bytes(&fields_text(&spec.record)),
                    ]
                })
                .collect();
            output.rows(&["table", "id", "kind", "home", "key", "record"], &rows)
        }
        Format::Raw | Format::Hex => tables.iter().try_for_each(|info| output.line(&info.name)),
        Format::Json | Format::Jsonl => {
            output.begin_list()?;
            for info in &tables {
                output.item(&document(info))?;
            }
            output.end_list()
        }
    }
}

fn show(info: &TableInfo, output: &mut Output) -> Result<(), Failure> {
    if matches!(output.format, Format::Json | Format::Jsonl) {
        return output.document(&document(info));
    }
    let spec = &info.spec;
    output.line(&format!("table   {} (id {})", info.name, info.id))?;
    output.line(&format!("type    {}", spec.type_name))?;
    output.line(&format!("kind    {}, {}", spec.kind.name(), spec.home.name()))?;
    output.line(&format!("key     {}", or_bytes(&fields_text(&spec.key))))?;
    output.line(&format!("record  {}", or_bytes(&fields_text(&spec.record))))?;
    if spec.pairs_hint > 0 {
        output.line(&format!("hint    about {} pairs", count_text(spec.pairs_hint)))?;
    }
    Ok(())
}

/// A table as a document.
pub(crate) fn document(info: &TableInfo) -> Value {
    let spec = &info.spec;
    json!({
        "table": info.name,
        "id": info.id.0,
        "type": spec.type_name,
        "kind": spec.kind.name(),
        "home": spec.home.name(),
        "key": fields_text(&spec.key),
        "record": fields_text(&spec.record),
        "pairs_hint": spec.pairs_hint,
    })
}

fn or_bytes(fields: &str) -> String {
    if fields.is_empty() { "bytes".to_owned() } else { fields.to_owned() }
}

/// Fields as `create` takes them.
fn fields_text(fields: &[Field]) -> String {
    let text = |field: &Field| match &field.field_type {
        FieldType::Pointer { table } => format!("{}:->{table}", field.name),
        other => format!("{}:{other}", field.name),
    };
    fields.iter().map(text).collect::<Vec<String>>().join(",")
}

fn spec(kind: KindArg, volatile: bool, key: Option<&str>, record: Option<&str>) -> Result<TableSpec, Failure> {
    let kind = match kind {
        KindArg::Hash => TableKind::Hash,
        KindArg::Ordered => TableKind::Ordered,
        KindArg::Sack => TableKind::Sack,
    };
    let home = if volatile { TableHome::Volatile } else { TableHome::Persistent };
    let (key, record) = (fields(key.unwrap_or(""))?, fields(record.unwrap_or(""))?);
    if kind == TableKind::Sack && !key.is_empty() {
        return Err(Failure::usage("the keys of a sack are addresses that the store gives", "leave --key away"));
    }
    if let Some(field) = key.iter().find(|field| matches!(field.field_type, FieldType::Pointer { .. })) {
        return Err(Failure::usage(
            format!("key field '{}' is a pointer", field.name),
            "pointers stand in records only; give the key the type of the key it would lead to",
        ));
    }
    let type_name = if key.is_empty() && record.is_empty() { "bytes" } else { "command line" };
    Ok(TableSpec { type_name: type_name.to_owned(), kind, home, key, record, pairs_hint: 0 })
}

fn fields(text: &str) -> Result<Vec<Field>, Failure> {
    let field = |word: &str| {
        let (name, of) = word.split_once(':').unwrap_or((word, ""));
        let field_type = match of {
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
                Some(_) | None => return Err(no_field(word)),
            },
        };
        if name.is_empty() {
            return Err(no_field(word));
        }
        Ok(Field { name: name.to_owned(), field_type })
    };
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let fields = words.map(field).collect::<Result<Vec<Field>, Failure>>()?;
    match fields.iter().enumerate().find(|(at, field)| fields[..*at].iter().any(|other| other.name == field.name)) {
        Some((_, twice)) => {
            Err(Failure::usage(format!("field '{}' is there twice", twice.name), "give it another name"))
        }
        None => Ok(fields),
    }
}

fn no_field(word: &str) -> Failure {
    Failure::usage(
        format!("'{word}' is no field"),
        "write NAME:TYPE, with one of u8 to u128, i8 to i128, bool, text, bytes, or ->TABLE",
    )
}

#[cfg(test)]
mod tests;
