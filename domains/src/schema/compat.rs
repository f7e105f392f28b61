//! May a table that is stored as one spec be opened as another?
//!
//! Contract: kind, home and key are the same; the record fields of the one are the first fields of the other, with the same
//! names, types and pointer targets. The answer is the spec that both can live with: the longer record, the stored hints.
//!
//! A field that is there already keeps its rules: an opener that says nothing of them is an older program, or one that knows
//! bytes only; one that would hold the field to another rule is refused, for records that break it may be there. Fields that the
//! opener appends bring their rules. A default is told by whoever appends the field: programs take their own, tools the stored one.
//!
//! What it does not do: it does not look at records, and does not know whether an appended field has a default.

use super::{Field, FieldType, Rule, TableSpec};

/// The field that differs, and how. Reads as `field '{field}' {why}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incompatibility {
    /// The field's name, or the property's when it is none of a field (`kind`, `home`, `key`).
    pub field: String,
    /// How it differs.
    pub why: String,
}

/// The spec that the table has from now on when it is opened as `wanted`: `stored`, with the fields that `wanted` appends.
///
/// # Errors
/// When a program of type `wanted` would misread the table's pairs.
pub fn merge(stored: &TableSpec, wanted: &TableSpec) -> Result<TableSpec, Incompatibility> {
    check_same("kind", stored.kind.name(), wanted.kind.name())?;
    check_same("home", stored.home.name(), wanted.home.name())?;
    check_key(stored, wanted)?;
    for (ours, theirs) in stored.record.iter().zip(&wanted.record) {
        check_field(ours, theirs)?;
    }
    let mut merged = stored.clone();
    merged.record.extend(wanted.record.iter().skip(stored.record.len()).cloned());
    if merged.record.len() > stored.record.len() {
        let fields = u16::try_from(stored.record.len()).expect("a record has at most 1024 fields");
        merged.rules.push(Rule::Grown { fields });
    }
    for rule in &wanted.rules {
        if takes_over(stored, rule)? {
            merged.rules.push(rule.clone());
        }
    }
    Ok(merged)
}

/// Whether a rule of the opener is new to the stored table, which then has it too.
fn takes_over(stored: &TableSpec, rule: &Rule) -> Result<bool, Incompatibility> {
    let Some(field) = rule.field() else { return Ok(false) };
    let Some(known) = stored.record.get(usize::from(field)) else { return Ok(true) };
    let refuse = |why: String| Err(Incompatibility { field: known.name.clone(), why });
    match rule {
        Rule::Required { .. } if stored.is_required(field) => Ok(false),
        Rule::Required { .. } => refuse("must not be null, but in the stored table it may be".to_owned()),
        Rule::Range { least, most, .. } => match stored.range(field) {
            Some(range) if range == (*least, *most) => Ok(false),
            Some((from, to)) => {
                refuse(format!("must lie in {least}..={most}, but in the stored table in {from}..={to}"))
            }
            None => refuse(format!("must lie in {least}..={most}, but in the stored table it has no range")),
        },
        Rule::Default { .. } | Rule::Grown { .. } | Rule::CompactSlots => Ok(false),
    }
}

fn check_key(stored: &TableSpec, wanted: &TableSpec) -> Result<(), Incompatibility> {
    for (ours, theirs) in stored.key.iter().zip(&wanted.key) {
        check_field(ours, theirs)?;
    }
    let (has, asks) = (stored.key.len(), wanted.key.len());
    if has != asks {
        let more = if has > asks { &stored.key[asks] } else { &wanted.key[has] };
        let why =
            format!("is one key field too {}: the stored key has {has}, the program's {asks}", few_or_many(has, asks));
        return Err(Incompatibility { field: more.name.clone(), why });
    }
    Ok(())
}

fn few_or_many(has: usize, asks: usize) -> &'static str {
    if asks < has { "few" } else { "many" }
}

fn check_field(stored: &Field, wanted: &Field) -> Result<(), Incompatibility> {
    let refuse = |why: String| Err(Incompatibility { field: wanted.name.clone(), why });
    if stored.name != wanted.name {
        return refuse(format!("stands where the stored table has '{}' (fields are only appended)", stored.name));
    }
    match (&stored.field_type, &wanted.field_type) {
        (ours, theirs) if ours == theirs => Ok(()),
        (FieldType::Pointer { table: ours }, FieldType::Pointer { table: theirs }) => {
            refuse(format!("points to table '{theirs}', but in the stored table to '{ours}'"))
        }
        (ours, theirs) => refuse(format!("is {theirs}, but in the stored table {ours}")),
    }
}

fn check_same(property: &str, stored: &str, wanted: &str) -> Result<(), Incompatibility> {
    if stored == wanted {
        return Ok(());
    }
    Err(Incompatibility { field: property.into(), why: format!("is {wanted}, but of the stored table {stored}") })
}

#[cfg(test)]
mod tests;
