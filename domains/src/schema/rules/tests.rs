use super::*;
use crate::schema::envelope::{EnvelopeReader, EnvelopeWriter, Rest};
use crate::schema::{Field, TableHome, TableKind};

/// Records of a number, a signed number, a large one, a pointer and a text.
fn spec(rules: Vec<Rule>) -> TableSpec {
    let field = |name: &str, field_type| Field { name: name.into(), field_type };
    let record = vec![
        field("size", FieldType::Unsigned(16)),
        field("delta", FieldType::Signed(64)),
        field("large", FieldType::Unsigned(128)),
        field("to", FieldType::Pointer { table: "other".into() }),
        field("note", FieldType::Text),
    ];
    TableSpec { record, rules, ..TableSpec::plain(TableKind::Hash, TableHome::Persistent) }
}

fn check_refused(rules: Vec<Rule>, field: &str, why: &str) {
    let refusal = check(&spec(rules)).expect_err("the rule cannot stand");
    assert_eq!(refusal.field, field);
    assert!(refusal.why.contains(why), "{}", refusal.why);
}

#[test]
fn a_rule_that_cannot_stand_names_its_field() {
    let range = |field, least, most| Rule::Range { field, least, most };
    assert_eq!(check(&spec(vec![Rule::Required { field: 3 }, range(0, 1, 9), range(1, -5, -5)])), Ok(()));
    check_refused(vec![Rule::Required { field: 0 }], "size", "only a pointer");
    check_refused(vec![Rule::Required { field: 5 }], "5", "does not have");
    check_refused(vec![range(4, 0, 1)], "note", "no number");
    check_refused(vec![range(1, 2, 1)], "delta", "nothing in it");
    check_refused(vec![range(1, 0, 1), range(0, 0, 1), range(1, 0, 2)], "delta", "twice");
    let broken = Rule::Default { field: 0, value: vec![5] };
    check_refused(vec![range(0, 0, 4), broken], "size", "breaks the field's own rules");
    let default = |value: &[u8]| Rule::Default { field: 2, value: value.to_vec() };
    check_refused(vec![default(b"\x01"), default(b"\x01")], "large", "twice");
}

/// The bytes of a record's fields.
fn fields(size: u16, delta: i64, large: u128, to: &[u8]) -> Vec<Vec<u8>> {
    let (mut out, rest) = (Vec::new(), Rest::default());
    let mut writer = EnvelopeWriter::new(&mut out, 4, &rest);
    writer.field(&size).unwrap();
    writer.field(&delta).unwrap();
    writer.field(&large).unwrap();
    writer.bytes(to);
    writer.finish();
    let mut reader = EnvelopeReader::new(&out).unwrap();
    std::iter::from_fn(|| reader.next_field().unwrap().map(<[u8]>::to_vec)).collect()
}

#[test]
fn fields_are_held_to_their_rules_and_to_both_ends_of_a_range() {
    let range = |field, least, most| Rule::Range { field, least, most };
    let spec = spec(vec![range(0, 10, 20), range(1, -3, 3), range(2, 0, i128::MAX - 1), Rule::Required { field: 3 }]);
    let breaches = |fields: Vec<Vec<u8>>| -> Vec<(u16, Breach)> {
        let one = |(at, bytes): (usize, &Vec<u8>)| {
            let at = u16::try_from(at).unwrap();
            spec.check_field(at, bytes).err().map(|breach| (at, breach))
        };
        fields.iter().enumerate().filter_map(one).collect()
    };
    for (size, delta) in [(10, -3), (20, 3), (15, 0)] {
        assert_eq!(breaches(fields(size, delta, 0, b"k")), []);
    }
    let sizes = [9, 21].map(|size| breaches(fields(size, 0, 0, b"k")));
    assert_eq!(sizes[0], [(0, Breach::OutOfRange { value: 9, least: 10, most: 20 })]);
    assert_eq!(sizes[1], [(0, Breach::OutOfRange { value: 21, least: 10, most: 20 })]);
    assert_eq!(breaches(fields(10, -4, 0, b"k"))[0].0, 1);
    // What is above every i128 is above every bound but the last.
    assert_eq!(breaches(fields(10, 0, u128::MAX, b"k"))[0].0, 2);
    assert_eq!(breaches(fields(10, 0, 0, b"")), [(3, Breach::Null)]);
    assert!(matches!(spec.check_field(0, &[0x80]), Err(Breach::NotOfType(_))));
    assert!(matches!(spec.check_field(3, b"\x05ab"), Err(Breach::NotOfType(_))));
    assert_eq!(spec.check_field(4, b"\xff"), Ok(()), "a field without rules is anybody's");
    assert_eq!(spec.check_field(9, b""), Ok(()));
}

#[test]
fn a_field_knows_the_revision_that_it_came_with() {
    let grown = |fields| Rule::Grown { fields };
    assert_eq!((spec(vec![]).revision(), spec(vec![]).revision_of(4)), (1, 1));
    let spec = spec(vec![grown(2), grown(3)]);
    assert_eq!(spec.revision(), 3);
    assert_eq!([0, 1, 2, 3, 4].map(|field| spec.revision_of(field)), [1, 1, 2, 3, 3]);
}
