use super::*;

fn shapes(text: &str) -> Vec<String> {
    let shape = |statement: &Statement| {
        let key = match &statement.key {
            Word::Text(text) => text.clone(),
            Word::Json(value) => value.to_string(),
        };
        let action = match &statement.action {
            Action::If(expect) => format!("{expect:?}"),
            Action::Del => "Del".to_owned(),
            Action::Put { value: Word::Text(text), verb, .. } => format!("{verb:?} {text}"),
            Action::Put { value: Word::Json(value), verb, .. } => format!("{verb:?} {value}"),
        };
        format!("{}/{key}: {action}", statement.table)
    };
    parse(text).unwrap().iter().map(shape).collect()
}

#[test]
fn statements_stand_on_lines_or_between_semicolons() {
    let one = shapes("if users/alice.version == 1.2.3; put users/alice {\"age\": 4, \"a;b\": [1]}; del audit/1");
    let three =
        shapes("if users/alice.version == 1.2.3\nput users/alice {\"age\":4,\"a;b\":[1]}  \n\n# note\n del audit/1;;");
    assert_eq!(one, three);
    assert_eq!(one, ["users/alice: At(v1.2.3)", "users/alice: Upsert {\"a;b\":[1],\"age\":4}", "audit/1: Del"]);
}

#[test]
fn keys_and_values_may_be_json_or_words() {
    assert_eq!(
        shapes("insert dirent/[1,\"a b; c\"] hex:00ff; update kv/a some words; put kv/b \"x;y\"; put kv/c"),
        ["dirent/[1,\"a b; c\"]: Insert hex:00ff", "kv/a: Update some words", "kv/b: Upsert \"x;y\"", "kv/c: Upsert "]
    );
    assert_eq!(shapes("if t/\"a b\".version == 1.2.3; if t/x absent; if t/[1] present").len(), 3);
}

#[test]
fn what_scan_prints_is_a_script() {
    let text = r#"{"table":"t","key":"a","value":{"x":1},"version":"1.2.3"}
        {"table":"t","key":[1,2],"delete":true}
        {"table":"t","key":"b","if":"absent"}"#;
    assert_eq!(shapes(text), ["t/\"a\": Upsert {\"x\":1}", "t/[1,2]: Del", "t/\"b\": Absent"]);
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    for bad in [
        "drop t/a",
        "put",
        "put t",
        "put my table/a b",
        "if t/a",
        "if t/a == 1.2.3",
        "if t/a.version == x",
        "if t/a.version absent",
        "put t/a {",
        "put t/a {} del t/b",
        "{\"table\":\"t\"}",
        "{\"table\":\"t\",\"key\":\"a\"}",
        "{\"table\":\"t\",\"key\":\"a\",\"value\":1,\"delete\":true}",
        "{\"table\":\"t\",\"key\":\"a\",\"value\":1,\"what\":true}",
    ] {
        let failure = parse(&format!("\n{bad}")).unwrap_err();
        assert!(failure.what.starts_with("line 2: "), "{bad}: {}", failure.what);
        assert_eq!(failure.exit, Exit::Usage, "{bad}");
    }
}
