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
        rules: Vec::new(),
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
    let merged = merge(&inode(), &longer).unwrap();
    assert_eq!((&merged.record, &merged.rules), (&longer.record, &vec![Rule::Grown { fields: 2 }]));
    assert_eq!(merge(&longer, &inode()), Ok(longer.clone()));
    assert_eq!(merge(&merged, &longer), Ok(merged));
}

/// The inode's two fields and a third, with rules of all three.
fn ruled() -> TableSpec {
    let mut spec = inode();
    spec.record.push(field("size", FieldType::Unsigned(64)));
    let range = |field, most| Rule::Range { field, least: 0, most };
    spec.rules = vec![range(0, 0o7777), Rule::Required { field: 1 }, range(2, 1 << 40)];
    spec.rules.push(Rule::Default { field: 2, value: vec![0] });
    spec
}

#[test]
fn rules_stay_with_the_table_whoever_opens_it() {
    assert_eq!(merge(&ruled(), &ruled()), Ok(ruled()));
    assert_eq!(
        merge(&ruled(), &TableSpec { rules: vec![], ..ruled() }),
        Ok(ruled()),
        "who says nothing changes nothing"
    );
    let other = TableSpec { rules: vec![Rule::Default { field: 2, value: vec![7] }], ..ruled() };
    assert_eq!(merge(&ruled(), &other), Ok(ruled()), "the default told with the field stays");
    let told = TableSpec { rules: vec![Rule::Default { field: 0, value: vec![1] }], ..inode() };
    assert_eq!(merge(&inode(), &told), Ok(inode()), "only who appends fields changes the catalog");
}

#[test]
fn appended_fields_bring_their_rules() {
    let stored = TableSpec { rules: ruled().rules[..2].to_vec(), ..inode() };
    let merged = merge(&stored, &ruled()).unwrap();
    let mut want = ruled().rules;
    want.insert(2, Rule::Grown { fields: 2 });
    assert_eq!(merged.rules, want);
    assert_eq!((merged.revision_of(1), merged.revision_of(2)), (1, 2));
    assert_eq!(merge(&merged, &ruled()), Ok(merged.clone()));
    assert_eq!(merge(&merged, &stored), Ok(merged));
}

#[test]
fn another_rule_of_a_field_that_is_there_is_refused() {
    let check = |stored: &TableSpec, rule, name: &str, why: &str| {
        let refusal = merge(stored, &TableSpec { rules: vec![rule], ..ruled() }).expect_err("the rules differ");
        assert_eq!(refusal.field, name);
        assert!(refusal.why.contains(why), "{}", refusal.why);
    };
    let range = |field, most| Rule::Range { field, least: 0, most };
    check(&ruled(), range(0, 9), "mode", "must lie in 0..=9, but in the stored table in 0..=4095");
    check(&inode(), range(0, 9), "mode", "no range");
    check(&inode(), Rule::Required { field: 1 }, "parent", "must not be null, but in the stored table it may be");
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
