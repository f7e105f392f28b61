use super::*;
use domains::schema::{TableHome, TableKind, TableSpec};
use lostore::{AnyBackend, PutOptions, Store};

/// A store with a table of fields and one of bytes, in a directory that lives as long.
fn session() -> (tempfile::TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = lostore::Options::default().open(&dir.path().join("store")).unwrap();
    let store: AnyStore = Store::new(AnyBackend::Shared(shared));
    let (key, _) = crate::tables::fields::read("name:text").unwrap();
    let (record, rules) = crate::tables::fields::read("age:u32,agent:->users,boss:->users").unwrap();
    let spec = TableSpec { key, record, rules, ..TableSpec::plain(TableKind::Ordered, TableHome::Persistent) };
    let users = store.create_raw("users", spec).unwrap();
    let spec = TableSpec::plain(TableKind::Hash, TableHome::Persistent);
    let bytes = store.create_raw("used", spec).unwrap();
    for name in ["alice", "albert", "bob"] {
        let key = [name.as_bytes(), b"\0\x01"].concat();
        users.upsert(&key, b"\x01\x03\x01\x07\x01\x00\x01\x00", PutOptions::default()).unwrap();
        bytes.upsert(name.as_bytes(), b"", PutOptions::default()).unwrap();
    }
    let target = Target {
        store: dir.path().join("store"),
        socket: None,
        io: crate::args::IoArg::Auto,
        held: Some(store.clone()),
    };
    (dir, Session { store, target, format: Format::Table, open: None })
}

#[test]
fn words_are_those_of_a_command_line() {
    let check = |text: &str, want: &[&str]| assert_eq!(words::split(text).unwrap(), want, "{text}");
    check("  get   users/alice ", &["get", "users/alice"]);
    check("get users/o'brien", &["get", "users/o'brien"]);
    check("get 'users/a b'", &["get", "users/a b"]);
    check(r#"get users/"a \"b\"" x"#, &["get", "users/a \"b\"", "x"]);
    check(
        r#"put users/["a b", 1] {"k": "}] \" {"} --ttl 3"#,
        &["put", r#"users/["a b", 1]"#, r#"{"k": "}] \" {"}"#, "--ttl", "3"],
    );
    check(r#"put t/k """#, &["put", "t/k", ""]);
    check("", &[]);
    assert!(words::split("put t/k {").is_err());
    assert!(words::split("put t/k 'x").is_err());
}

#[test]
fn a_statement_is_whole_when_nothing_is_open() {
    for whole in ["", "get t/k", "put t/k {\"a\": [1,\n2]}", "get \\\n t/k", "put t/it's", "# {", "put t/k '{'"] {
        assert!(words::is_whole(whole), "{whole}");
    }
    for open in ["put t/k {", "put t/k {\"a\": \"}", "get \\", "put t/k 'a\nb", "put t/[1,", "put t/k \"a\\\""] {
        assert!(!words::is_whole(open), "{open}");
    }
    assert_eq!(words::joined("put \\\nt/k {\n}"), "put   t/k { }");
}

#[test]
fn a_script_runs_verbs_and_transactions_and_stops_where_it_fails() {
    let (_dir, mut session) = session();
    let run = |session: &mut Session, script: &str, keep: bool| session.script(script.as_bytes(), keep);
    let there = |session: &Session, name: &str| {
        let table = session.store.open_raw("used").unwrap();
        table.get(name.as_bytes()).unwrap().map(|pair| pair.value)
    };
    let script = "# a comment with {\nput used/one \\\n 1\n\nbegin\nput used/two 2; del used/bob\nif used/one present\ncommit\nexit\nget nothing/x";
    run(&mut session, script, false).unwrap();
    assert_eq!((there(&session, "one"), there(&session, "two")), (Some(b"1".to_vec()), Some(b"2".to_vec())));
    assert_eq!(there(&session, "bob"), None);

    run(&mut session, "begin\nput used/three 3\nabort\nput users/carol {\n \"age\": 5\n}\n", false).unwrap();
    assert_eq!(there(&session, "three"), None);
    let users = session.store.open_raw("users").unwrap();
    assert!(users.get(b"carol\0\x01").unwrap().is_some(), "JSON may span lines");

    let failure = run(&mut session, "put used/a 1\n\nget used/none\nput used/b 1\n", false).unwrap_err();
    assert_eq!(failure.exit, Exit::No);
    assert!(failure.what.contains("statement at line 3") && failure.what.contains("used/none"), "{}", failure.what);
    assert_eq!((there(&session, "a"), there(&session, "b")), (Some(b"1".to_vec()), None));
    let failure = run(&mut session, "get used/none\nput used/b 1\nget nothing/x\n", true).unwrap_err();
    assert_eq!((failure.exit, there(&session, "b")), (Exit::No, Some(b"1".to_vec())));

    for (script, says) in [
        ("begin\nput used/c 1\n", "inside a transaction"),
        ("put used/c {\n", "inside a statement"),
        ("commit\n", "no transaction is open"),
        ("begin\nbegin\n", "is open already"),
        ("update used/c 1", "inside a transaction only"),
        ("put used/c -", "stdin"),
        ("append used/c", "stdin"),
        ("txn", "begin"),
        ("serve x", "outside of the shell"),
        ("get used/c --store elsewhere", "one store"),
        ("nonsense", "not understood"),
        ("begin\nput used/c 1\ncommit now\n", "is no commit"),
    ] {
        let failure = run(&mut session, script, false).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{script}");
        assert!(format!("{} {}", failure.what, failure.help).contains(says), "{script}: {}", failure.what);
        session.open = None;
    }
    assert_eq!(there(&session, "c"), None);
}

#[test]
fn verbs_options_tables_keys_and_fields_are_completed() {
    let (_dir, session) = session();
    let check = |line: &str, start: usize, want: &[&str]| {
        assert_eq!(
            complete::candidates(line, &session.store),
            (start, want.iter().map(|w| (*w).to_owned()).collect()),
            "{line}"
        );
    };
    check("sc", 0, &["scan", "schema"]);
    check("beg", 0, &["begin"]);
    check("get us", 4, &["used/", "users/"]);
    check("get users/al", 4, &["users/albert", "users/alice"]);
    check("get users/alice users/b", 16, &["users/bob"]);
    check("get used/al", 4, &[]);
    check("table in", 6, &["info"]);
    check("table info user", 11, &["users"]);
    check("follow users/alice ", 19, &["agent", "boss"]);
    check("scan users --re", 11, &["--reverse"]);
    check("put users/x {\"ag", 14, &["age\":", "agent\":"]);
    check("put users/x {\"age\": 3, \"b", 24, &["boss\":"]);
    check("put users/x {\"age\": \"a", 12, &[]);
    check("update users/b", 7, &["users/bob"]);
    check("help sc", 5, &["scan", "schema"]);
    check("get nothing/", 4, &[]);
}

#[test]
fn the_history_is_its_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = history::made(dir.path()).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(history::made(dir.path()).unwrap(), path);
    assert_eq!(mode(&path), 0o600);
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(history::made(&dir.path().join("file")), None);
}
