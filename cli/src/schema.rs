//! `schema`: tables, fields, references and rules, as text, as JSON and as diagrams.
//!
//! Contract: everything shown comes from the catalog; no record is read and no program's types are needed. The diagrams stand
//! alone: an SVG without scripts, fonts or links, and the text that Mermaid draws.

use crate::args::{Diagram, Schema, Target};
use crate::failure::Failure;
use crate::output::{Format, Output, count_text};
use crate::reach::reach;
use crate::shape::Shape;
use crate::tables::fields::rules_text;
use domains::schema::{FieldType, TableKind};
use lostore::TableInfo;
use serde_json::{Value, json};

mod mermaid;
mod svg;

/// A table as it is shown.
#[derive(Debug)]
struct Entity {
    name: String,
    type_name: String,
    kind: &'static str,
    home: &'static str,
    revision: usize,
    pairs_hint: u64,
    slots: Option<&'static str>,
    rows: Vec<Row>,
}

/// A field as it is shown.
#[derive(Debug)]
struct Row {
    name: String,
    /// Its type, as `table create` takes it.
    of: String,
    is_key: bool,
    /// Of a pointer: the table's name, and where that stands among the tables shown.
    to: Option<(String, Option<usize>)>,
    required: bool,
    range: Option<(i128, i128)>,
    default: Option<Value>,
    /// The rules in words.
    rules: String,
    revision: usize,
}

pub(crate) fn schema(target: &Target, args: &Schema, output: &mut Output) -> Result<(), Failure> {
    let mut target = target.clone();
    if let Some(dir) = &args.dir {
        target.store.clone_from(dir);
    }
    let tables = reach(&target)?.tables()?;
    let entities = entities(&tables);
    match (args.diagram, output.format) {
        (Some(Diagram::Svg), _) => output.bytes(svg::draw(&entities).as_bytes()),
        (Some(Diagram::Mermaid), _) => output.bytes(mermaid::draw(&entities).as_bytes()),
        (None, Format::Json | Format::Jsonl) => output.document(&document(&entities)),
        (None, Format::Table | Format::Raw | Format::Hex) => text(&entities, output),
    }
}

fn entities(tables: &[TableInfo]) -> Vec<Entity> {
    tables.iter().map(|info| entity(Shape { info, tables })).collect()
}

fn entity(shape: Shape<'_>) -> Entity {
    let spec = &shape.info.spec;
    let plain = |name: &str, of: &str, is_key| Row {
        name: name.to_owned(),
        of: of.to_owned(),
        is_key,
        to: None,
        required: false,
        range: None,
        default: None,
        rules: String::new(),
        revision: 1,
    };
    let mut rows: Vec<Row> =
        spec.key.iter().map(|field| plain(&field.name, &field.field_type.to_string(), true)).collect();
    match (spec.kind, rows.is_empty()) {
        (TableKind::Sack, _) => rows.push(plain("(address)", "u64", true)),
        (_, true) => rows.push(plain("(key)", "bytes", true)),
        (_, false) => {}
    }
    for (at, field) in spec.record.iter().enumerate() {
        let position = u16::try_from(at).expect("a record has at most 1024 fields");
        let to = match &field.field_type {
            FieldType::Pointer { table } => {
                Some((table.clone(), shape.tables.iter().position(|info| info.name == *table)))
            }
            _ => None,
        };
        rows.push(Row {
            to,
            required: spec.is_required(position),
            range: spec.range(position),
            default: shape.default_of(position),
            rules: rules_text(shape, at),
            revision: spec.revision_of(position),
            ..plain(&field.name, &field.field_type.to_string(), false)
        });
    }
    if spec.record.is_empty() {
        rows.push(plain("(record)", "bytes", false));
    }
    Entity {
        name: shape.info.name.clone(),
        type_name: spec.type_name.clone(),
        kind: spec.kind.name(),
        home: spec.home.name(),
        revision: spec.revision(),
        pairs_hint: spec.pairs_hint,
        slots: spec.slots_name(),
        rows,
    }
}

fn document(entities: &[Entity]) -> Value {
    let field = |row: &Row| {
        json!({
            "name": row.name, "type": row.of, "key": row.is_key,
            "to": row.to.as_ref().map(|(table, _)| table),
            "required": row.required,
            "range": row.range.map(|(least, most)| [number(least), number(most)]),
            "default": row.default, "revision": row.revision,
        })
    };
    let tables: Vec<Value> = entities
        .iter()
        .map(|entity| {
            json!({
                "table": entity.name, "type": entity.type_name, "kind": entity.kind, "home": entity.home,
                "revision": entity.revision, "pairs_hint": entity.pairs_hint, "slots": entity.slots,
                "fields": entity.rows.iter().map(field).collect::<Vec<_>>(),
            })
        })
        .collect();
    let references: Vec<Value> = references(entities)
        .map(|(entity, row, to, target)| {
            json!({
                "table": entity.name, "field": row.name, "to": to,
                "required": row.required, "table_exists": target.is_some(),
            })
        })
        .collect();
    json!({ "tables": tables, "references": references })
}

/// A bound as JSON: a number when it fits one, else its digits.
fn number(bound: i128) -> Value {
    i64::try_from(bound).map_or_else(|_| bound.to_string().into(), Value::from)
}

/// Every pointer field: its table, itself, the name of the table it leads to, and that table.
fn references(entities: &[Entity]) -> impl Iterator<Item = (&Entity, &Row, &str, Option<&Entity>)> {
    entities.iter().flat_map(move |entity| {
        entity.rows.iter().filter_map(move |row| {
            let (to, at) = row.to.as_ref()?;
            Some((entity, row, &**to, at.map(|at| &entities[at])))
        })
    })
}

fn text(entities: &[Entity], output: &mut Output) -> Result<(), Failure> {
    for (at, entity) in entities.iter().enumerate() {
        if at > 0 {
            output.line("")?;
        }
        let mut title = format!("{}  {}, {}, of type {}", entity.name, entity.kind, entity.home, entity.type_name);
        if entity.revision > 1 {
            title.push_str(&format!(", revision {}", entity.revision));
        }
        if entity.slots == Some("compact") {
            title.push_str(", compact slots");
        }
        if entity.pairs_hint > 0 {
            title.push_str(&format!(", about {} pairs", count_text(entity.pairs_hint)));
        }
        output.line(&title)?;
        let width = |of: fn(&Row) -> &str| entity.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (names, types) = (width(|row| &row.name), width(|row| &row.of));
        for row in &entity.rows {
            let key = if row.is_key { "key" } else { "" };
            let since = if row.revision > 1 { format!("  since revision {}", row.revision) } else { String::new() };
            let line = format!("  {key:<3}  {:<names$}  {:<types$}  {}{since}", row.name, row.of, row.rules);
            output.line(line.trim_end())?;
        }
    }
    let mut first = true;
    for (entity, row, to, target) in references(entities) {
        if std::mem::take(&mut first) {
            output.line("\nreferences")?;
        }
        let missing = if target.is_none() { "  (there is no such table)" } else { "" };
        output.line(&format!("  {}.{} -> {to}{missing}", entity.name, row.name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
