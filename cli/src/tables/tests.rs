use super::*;
use lostore::TableId;

/// What the fields of a word are printed as.
fn printed(text: &str) -> String {
    let (record, rules) = fields::read(text).unwrap();
    let spec = TableSpec { record, rules, ..TableSpec::plain(TableKind::Hash, TableHome::Persistent) };
    fields::record_text(Shape { info: &TableInfo { id: TableId(1), name: "t".into(), spec }, tables: &[] })
}

#[test]
fn fields_are_printed_as_they_are_taken() {
    for text in [
        "a:u8,b:i128,c:bool,d:text,e:bytes,f:->user",
        "a:u8 in 1..=9,b:i64 in -5..=-1 default -2,f:->user required",
        r#"d:text default "x, \"y\" [",e:bytes default "z",f:->user default null,g:u128 default 1"#,
    ] {
        assert_eq!(printed(text), text);
    }
    assert_eq!(printed(""), "");
    assert_eq!(printed(" a:u8 , b:u8  in 0..=1 "), "a:u8,b:u8 in 0..=1");
}

#[test]
fn what_is_no_field_is_refused() {
    let bad = [
        "a",
        "a:",
        ":u8",
        "a:u7",
        "a:->",
        "a:u8,a:u8",
        "a:u8 requird",
        "a:u8 in 1..2",
        "a:u8 in 1",
        "a:u8 default x",
        "a:u8 default 300",
        "a:u8 default",
    ];
    for bad in bad {
        assert_eq!(fields::read(bad).unwrap_err().exit, crate::failure::Exit::Usage, "{bad}");
    }
    assert!(spec(KindArg::Sack, false, Some("a:u8"), None).is_err());
    assert!(spec(KindArg::Hash, false, Some("a:->t"), None).is_err());
    assert!(spec(KindArg::Hash, false, Some("a:u8 in 0..=1"), None).is_err());
    assert!(spec(KindArg::Sack, true, None, Some("a:u8")).is_ok());
}
