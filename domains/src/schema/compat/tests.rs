use super::*;
use crate::schema::{TableHome, TableKind};

fn field(name: &str, field_type: FieldType) -> Field {
    Field { name: name.into(), field_type }
}

fn inode() -> TableSpec {
    TableSpec {
        type_name: "Inode".into(),
        kind: TableKind::Hash,
        home: TableHome::Persistent,
        key: vec![field("ino", FieldType::Unsigned(64))],
        record: vec![
            field("mode", FieldType::Unsigned(32)),
            field("parent", FieldType::Pointer { table: "inode".into() }),
        ],
        pairs_hint: 1000,
    }
}

/// Opening the inode table as what `change` makes of it is refused for this field, with these words.
fn check_refused(change: impl FnOnce(&mut TableSpec), name: &str, why: &str) {
    let mut wanted = inode();
    change(&mut wanted);
    let refusal = merge(&inode(), &wanted).expect_err("the specs differ");
    assert_eq!(refusal.field, name);
    assert!(refusal.why.contains(why), "{}", refusal.why);
}

#[test]
fn the_same_spec_is_compatible_whatever_its_hints_and_name() {
    let mut wanted = inode();
    wanted.pairs_hint = 7;
    wanted.type_name = "Renamed".into();
    assert_eq!(merge(&inode(), &wanted), Ok(inode()));
}

#[test]
fn appended_fields_are_taken_over_and_missing_ones_kept() {
    let mut longer = inode();
    longer.record.push(field("size", FieldType::Unsigned(64)));
    assert_eq!(merge(&inode(), &longer), Ok(longer.clone()));
    assert_eq!(merge(&longer, &inode()), Ok(longer));
}

#[test]
fn every_difference_names_its_field() {
    check_refused(|spec| spec.kind = TableKind::Ordered, "kind", "is ordered, but of the stored table hash");
    check_refused(|spec| spec.home = TableHome::Volatile, "home", "is volatile");
    check_refused(
        |spec| spec.key[0].field_type = FieldType::Unsigned(32),
        "ino",
        "is u32, but in the stored table u64",
    );
    check_refused(|spec| spec.key[0].name = "number".into(), "number", "has 'ino'");
    check_refused(|spec| spec.key.push(field("name", FieldType::Bytes)), "name", "one key field too many");
    check_refused(|spec| spec.key.clear(), "ino", "one key field too few");
    check_refused(|spec| spec.record[0].field_type = FieldType::Signed(32), "mode", "is i32");
    check_refused(|spec| spec.record.swap(0, 1), "parent", "has 'mode'");
    let other = FieldType::Pointer { table: "other".into() };
    check_refused(|spec| spec.record[1].field_type = other, "parent", "points to table 'other'");
}
