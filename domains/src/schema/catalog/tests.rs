use super::super::{FieldType, TableHome, TableKind};
use super::*;
use proptest::prelude::*;

fn dirent() -> TableSpec {
    let field = |name: &str, field_type| Field { name: name.into(), field_type };
    TableSpec {
        type_name: "Dirent".into(),
        kind: TableKind::Ordered,
        home: TableHome::Persistent,
        key: vec![field("parent", FieldType::Unsigned(64)), field("name", FieldType::Bytes)],
        record: vec![field("ino", FieldType::Pointer { table: "inode".into() })],
        pairs_hint: 300,
        rules: Vec::new(),
    }
}

/// The golden vector of `design/schema.md`.
#[test]
fn golden_spec() {
    let bytes = dirent().to_bytes();
    let mut want = vec![1, 6];
    want.extend(b"\x07\x06Dirent"); // type_name
    want.extend([1, 1]); // kind: ordered
    want.extend([1, 0]); // home: persistent
    want.extend(b"\x10\x02\x06parent\x00\x40\x04name\x03"); // key
    want.extend(b"\x0c\x01\x03ino\x05\x05inode"); // record
    want.extend([2, 0xAC, 2]); // pairs_hint
    assert_eq!(bytes, want);
    assert_eq!(TableSpec::from_bytes(&bytes), Ok(dirent()));
}

/// The same with rules: the vector of `design/schema.md`.
#[test]
fn golden_spec_with_rules() {
    let mut spec = dirent();
    spec.record.push(Field { name: "mode".into(), field_type: FieldType::Unsigned(32) });
    spec.rules = vec![
        Rule::Required { field: 0 },
        Rule::Grown { fields: 1 },
        Rule::Range { field: 1, least: 0, most: 4095 },
        Rule::Default { field: 1, value: vec![0xA4, 3] },
    ];
    let bytes = spec.to_bytes();
    let mut want = vec![1, 7];
    want.extend(b"\x07\x06Dirent\x01\x01\x01\x00");
    want.extend(b"\x10\x02\x06parent\x00\x40\x04name\x03"); // key
    want.extend(b"\x13\x02\x03ino\x05\x05inode\x04mode\x00\x20"); // record
    want.extend([2, 0xAC, 2]); // pairs_hint
    want.extend([15, 4]); // rules
    want.extend([0, 0]); // field 0 is required
    want.extend([3, 1]); // grown from 1 field
    want.extend([1, 1, 0, 0xFE, 0x3F]); // field 1 lies in 0..=4095
    want.extend([2, 1, 2, 0xA4, 3]); // field 1 was 420
    assert_eq!(bytes, want);
    assert_eq!(TableSpec::from_bytes(&bytes), Ok(spec));
}

/// The golden vector of a table whose keys the client hashed.
#[test]
fn golden_spec_of_keys_that_the_client_hashed() {
    let key = vec![Field { name: "id".into(), field_type: FieldType::Unsigned(64) }];
    let (kind, home) = (TableKind::ClientHash, TableHome::Persistent);
    let spec = TableSpec { type_name: "Object".into(), kind, home, key, record: vec![], pairs_hint: 0, rules: vec![] };
    let want = b"\x01\x06\x07\x06Object\x01\x03\x01\x00\x06\x01\x02id\x00\x40\x01\x00\x01\x00";
    assert_eq!(spec.to_bytes(), want);
    assert_eq!(TableSpec::from_bytes(want), Ok(spec));
}

/// The golden vector of a table of compact slots.
#[test]
fn golden_spec_of_compact_slots() {
    let spec =
        TableSpec { rules: vec![Rule::CompactSlots], ..TableSpec::plain(TableKind::Hash, TableHome::Persistent) };
    let want = b"\x01\x07\x06\x05bytes\x01\x00\x01\x00\x01\x00\x01\x00\x01\x00\x02\x01\x04";
    assert_eq!(spec.to_bytes(), want);
    assert_eq!(TableSpec::from_bytes(want), Ok(spec));
}

#[test]
fn a_spec_that_lacks_a_field_is_refused() {
    assert!(TableSpec::from_bytes(&[]).is_err());
    assert!(TableSpec::from_bytes(&[1, 0]).is_err());
    let bytes = dirent().to_bytes();
    for length in 0..bytes.len() {
        assert!(TableSpec::from_bytes(&bytes[..length]).is_err(), "cut at {length}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_spec_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0..60_usize, byte in any::<u8>()) {
        let _ = TableSpec::from_bytes(&bytes);
        bytes = dirent().to_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = TableSpec::from_bytes(&bytes);
    }
}
