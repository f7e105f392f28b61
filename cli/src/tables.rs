//! `table`: lists, makes, shows, renames and drops tables.
//!
//! Contract: what `info -o json` prints of a table is enough to make another like it; fields are written as `create` takes them.

use crate::args::{KindArg, SlotsArg, Table, Target};
use crate::failure::Failure;
use crate::output::{Format, Output, count_text};
use crate::reach::{AnyStore, reach};
use crate::shape::Shape;
use domains::schema::{FieldType, Rule, TableHome, TableKind, TableSpec};
use lostore::TableInfo;
use serde_json::{Value, json};

pub(crate) mod fields;

pub(crate) fn table(target: &Target, verb: Table, output: &mut Output) -> Result<(), Failure> {
    match verb {
        Table::List => list(&reach(target)?, output),
        Table::Create { name, kind, volatile, slots, pairs, key, record } => {
            let mut spec = spec(kind, volatile, key.as_deref(), record.as_deref())?;
            spec.pairs_hint = pairs;
            if slots == SlotsArg::Compact {
                spec.rules.push(Rule::CompactSlots);
            }
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
                        or_bytes(&fields::key_text(spec)),
                        or_bytes(&fields::record_text(Shape { info, tables: &tables })),
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
    output.line(&format!("key     {}", or_bytes(&fields::key_text(spec))))?;
    output.line(&format!("record  {}", or_bytes(&fields::record_text(Shape { info, tables: &[] }))))?;
    if spec.has_compact_slots() {
        output.line("slots   compact, 8 bytes each")?;
    }
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
        "key": fields::key_text(spec),
        "record": fields::record_text(Shape { info, tables: &[] }),
        "pairs_hint": spec.pairs_hint,
        "slots": spec.slots_name(),
    })
}

fn or_bytes(fields: &str) -> String {
    if fields.is_empty() { "bytes".to_owned() } else { fields.to_owned() }
}

fn spec(kind: KindArg, volatile: bool, key: Option<&str>, record: Option<&str>) -> Result<TableSpec, Failure> {
    let kind = match kind {
        KindArg::Hash => TableKind::Hash,
        KindArg::Ordered => TableKind::Ordered,
        KindArg::Sack => TableKind::Sack,
        KindArg::ClientHash => TableKind::ClientHash,
    };
    let home = if volatile { TableHome::Volatile } else { TableHome::Persistent };
    let (key, key_rules) = fields::read(key.unwrap_or(""))?;
    let (record, rules) = fields::read(record.unwrap_or(""))?;
    if !key_rules.is_empty() {
        return Err(Failure::usage("a key field has a rule", "rules are for the record's fields; leave it away here"));
    }
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
    Ok(TableSpec { type_name: type_name.to_owned(), key, record, rules, ..TableSpec::plain(kind, home) })
}

#[cfg(test)]
mod tests;
