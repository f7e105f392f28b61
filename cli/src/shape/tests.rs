use super::*;
use domains::schema::{TableHome, TableSpec};
use lostore::TableId;

fn field(name: &str, field_type: FieldType) -> Field {
    Field { name: name.to_owned(), field_type }
}

fn table(name: &str, key: Vec<Field>, record: Vec<Field>) -> TableInfo {
    let (kind, home) = (TableKind::Ordered, TableHome::Persistent);
    let spec = TableSpec { type_name: "T".into(), key, record, ..TableSpec::plain(kind, home) };
    TableInfo { id: TableId(7), name: name.to_owned(), spec }
}

fn all_types() -> Vec<Field> {
    let mut fields: Vec<Field> = [8, 16, 32, 64, 128]
        .iter()
        .flat_map(|bits| {
            [
                field(&format!("u{bits}"), FieldType::Unsigned(*bits)),
                field(&format!("i{bits}"), FieldType::Signed(*bits)),
            ]
        })
        .collect();
    fields.push(field("yes", FieldType::Bool));
    fields.push(field("name", FieldType::Text));
    fields.push(field("raw", FieldType::Bytes));
    fields
}

#[test]
fn a_record_of_every_type_comes_back() {
    let mut fields = all_types();
    fields.push(field("to", FieldType::Pointer { table: "other".into() }));
    fields.push(field("own", FieldType::Other("Kind".into())));
    let tables =
        [table("t", Vec::new(), fields), table("other", vec![field("id", FieldType::Unsigned(64))], Vec::new())];
    let shape = Shape { info: &tables[0], tables: &tables };
    for text in [
        r#"{"u8":255,"i8":-128,"u16":65535,"i16":-1,"u32":0,"i32":7,"u64":18446744073709551615,"i64":-9223372036854775808,
           "u128":"340282366920938463463374607431768211455","i128":"-170141183460469231731687303715884105728",
           "yes":true,"name":"hex:no","raw":"hex:00ff","to":5,"own":"hex:0102"}"#,
        r#"{"u8":0,"i8":0,"u16":0,"i16":0,"u32":0,"i32":0,"u64":0,"i64":0,"u128":0,"i128":0,
           "yes":false,"name":"","raw":"plain","to":null,"own":"hex:"}"#,
    ] {
        let bytes = shape.record_from_word(text).unwrap();
        let json: Value = serde_json::from_str(text).unwrap();
        assert_eq!(shape.record_to_json(&bytes), json);
        assert_eq!(shape.record_from_word(&shape.record_to_word(&bytes)).unwrap(), bytes);
    }
}

#[test]
fn a_key_of_every_type_comes_back() {
    let tables = [table("t", all_types(), Vec::new())];
    let shape = Shape { info: &tables[0], tables: &tables };
    let text = r#"[255,-128,65535,-1,0,7,18446744073709551615,-1,"340282366920938463463374607431768211455",0,true,"a","hex:00"]"#;
    let key = shape.key_from_word(text).unwrap();
    assert_eq!(shape.key_to_word(&key), text);
    assert!(shape.key_from_word("[1]").is_err(), "a key has all its fields");
    assert!(key.starts_with(&shape.prefix_from_word("[255,-128]").unwrap()));
}

#[test]
fn keys_of_one_field_are_words() {
    for (field_type, key) in [
        (FieldType::Text, "alice"),
        (FieldType::Text, "hex:616c00"),
        (FieldType::Unsigned(64), "7"),
        (FieldType::Signed(8), "-7"),
        (FieldType::Bool, "true"),
        (FieldType::Bytes, "b"),
        (FieldType::Text, "42"),
        (FieldType::Unsigned(128), "340282366920938463463374607431768211455"),
    ] {
        let tables = [table("t", vec![field("id", field_type)], Vec::new())];
        let shape = Shape { info: &tables[0], tables: &tables };
        let bytes = shape.key_from_word(key).unwrap();
        assert_eq!(shape.key_from_word(&shape.key_to_word(&bytes)).unwrap(), bytes, "{key}");
        assert_eq!(shape.key_from_json(&shape.key_to_json(&bytes)).unwrap(), bytes, "{key}");
    }
}

#[test]
fn text_that_looks_like_something_else_comes_back() {
    let tables = [table("t", vec![field("id", FieldType::Text)], Vec::new())];
    let shape = Shape { info: &tables[0], tables: &tables };
    for name in ["hex:00", "[1]", "-", "@file", "", "a\nb", "\u{0}"] {
        let key = keys::encode(&tables[0].spec.key, &[KeyValue::Text(name.to_owned())]).unwrap().into_vec();
        assert_eq!(shape.key_from_word(&shape.key_to_word(&key)).unwrap(), key, "{name:?}");
    }
}

#[test]
fn what_is_not_of_the_type_is_shown_as_it_is() {
    let tables = [table("t", vec![field("id", FieldType::Unsigned(64))], vec![field("age", FieldType::Unsigned(32))])];
    let shape = Shape { info: &tables[0], tables: &tables };
    assert_eq!(shape.key_to_word(b"abc"), "hex:616263");
    assert_eq!(shape.record_to_word(b"abc"), "hex:616263");
    assert_eq!(shape.record_from_word("hex:616263").unwrap(), b"abc");
}

#[test]
fn mistakes_are_told_by_field() {
    let tables = [table("t", Vec::new(), vec![field("age", FieldType::Unsigned(8))])];
    let shape = Shape { info: &tables[0], tables: &tables };
    for (text, told) in [
        ("{}", "'age' is missing"),
        (r#"{"age":256}"#, "does not fit u8"),
        (r#"{"age":"x"}"#, "is of type u8"),
        (r#"{"age":1,"nam":2}"#, "no field 'nam'"),
        ("3", "has fields"),
        ("{", "is not JSON"),
    ] {
        let failure = shape.record_from_word(text).unwrap_err();
        assert!(failure.what.contains(told), "{text}: {}", failure.what);
        assert!(!failure.help.is_empty());
    }
}

#[test]
fn bytes_alone_need_no_type() {
    let tables = [table("t", Vec::new(), Vec::new())];
    let shape = Shape { info: &tables[0], tables: &tables };
    for bytes in [&b""[..], b"\0", b"text", b"hex:00", b"{\"a\":1}"] {
        assert_eq!(shape.key_from_word(&shape.key_to_word(bytes)).unwrap(), bytes);
        assert_eq!(shape.record_from_json(&shape.record_to_json(bytes)).unwrap(), bytes);
    }
}

#[test]
fn records_are_held_to_their_rules_and_take_what_is_missing_from_the_catalog() {
    use domains::schema::Rule;
    let (record, rules) =
        crate::tables::fields::read(r#"age:u8 in 1..=99,boss:->t required,note:text default "x""#).unwrap();
    let spec = TableSpec { record, rules, ..TableSpec::plain(TableKind::Hash, TableHome::Persistent) };
    let info = TableInfo { id: TableId(1), name: "t".into(), spec };
    let shape = Shape { info: &info, tables: std::slice::from_ref(&info) };
    let written = shape.record_from_word(r#"{"age":7,"boss":"b"}"#).unwrap();
    let whole = serde_json::json!({"age": 7, "boss": "b", "note": "x"});
    assert_eq!(shape.record_to_json(&written), whole);
    for (word, says, code) in [
        (r#"{"age":0,"boss":"b"}"#, "'age' is 0", 706),
        (r#"{"age":100,"boss":"b"}"#, "between 1 and 99", 706),
        (r#"{"age":7,"boss":null}"#, "'boss' is null", 706),
        (r#"{"age":7}"#, "'boss' is null", 706),
        (r#"{"boss":"b"}"#, "'age' is missing", 601),
    ] {
        let failure = shape.record_from_word(word).unwrap_err();
        assert!(failure.what.contains(says), "{word}: {}", failure.what);
        assert_eq!(failure.code, Some(code), "{word}");
    }
    // A record from before `note` was appended.
    let (mut old, rest) = (Vec::new(), Rest::default());
    let mut writer = EnvelopeWriter::new(&mut old, 2, &rest);
    writer.field(&7_u8).unwrap();
    writer.bytes(b"b");
    writer.finish();
    assert_eq!(shape.record_to_json(&old), whole);
    let mut untold = info.clone();
    untold.spec.rules.retain(|rule| !matches!(rule, Rule::Default { .. }));
    let shape = Shape { info: &untold, tables: &[] };
    assert_eq!(shape.record_to_json(&old), serde_json::Value::String(words::to_hex(&old)));
}
