//! Tables as such: create, open, rename, destroy, list, and who may be opened as what.

use super::pairs::PLAIN;
use super::{Cell, Ground, HOMES, KINDS, Line, On};
use crate::column::{Lack, field, plain};
use domains::schema::{FieldType, Rule, TableHome, TableKind, TableSpec};
use domains::{Answer, ErrorKind, Op};
use segments::TableId;

pub(super) const CHECKS: &[Line] = &[
    ("tables are created, listed by name, opened", On::Own, create_and_list),
    ("a name is taken once, and has 1 to 255 bytes", On::Own, names),
    ("a renamed table keeps its pairs", On::Each, rename),
    ("a destroyed table is gone, its id for ever", On::Each, destroy),
    ("an unknown table is an error by name and by id", On::Own, unknown),
    ("a table is not opened as another type, and the field is named", On::Own, incompatible),
    ("an appended field is taken into the catalog", On::Own, appended),
    ("rules of fields are kept with the table and grow with it", On::Own, ruled),
    ("the catalog is not writable as a table", On::Own, catalog_is_closed),
    ("a domain without persistence says so of its tables", On::Own, homes),
];

fn list(ground: &mut Ground) -> Vec<(String, TableId)> {
    match ground.on.call(Op::ListTables).unwrap() {
        Answer::Tables(tables) => tables.into_iter().map(|info| (info.name, info.id)).collect(),
        other => panic!("{other:?}"),
    }
}

fn reopen(ground: &mut Ground) {
    if !ground.on.lacks(Lack::Persistence) {
        ground.on.reopen();
    }
}

fn create_and_list(ground: &mut Ground) -> Cell {
    assert_eq!(list(ground), []);
    let mut tables = Vec::new();
    for (kind, kind_name) in KINDS {
        for (home, home_name) in HOMES {
            let name = format!("{kind_name}/{home_name}");
            let spec = TableSpec { pairs_hint: 1 << 40, ..plain(kind, home) };
            let info = ground.on.create(&name, spec.clone()).unwrap();
            let home = if ground.on.lacks(Lack::Persistence) { TableHome::Volatile } else { home };
            assert_eq!((&info.name, &info.spec), (&name, &TableSpec { home, ..spec.clone() }));
            assert_eq!(ground.on.open(&name, None).unwrap(), info);
            assert_eq!(ground.on.open(&name, Some(spec)).unwrap(), info);
            tables.push((name, info.id));
        }
    }
    tables.sort();
    assert_eq!(list(ground), tables);
    // Creating is persistent before the answer: nothing was forced.
    reopen(ground);
    assert_eq!(list(ground), tables);
    Cell::Holds
}

fn names(ground: &mut Ground) -> Cell {
    let spec = plain(TableKind::Hash, TableHome::Persistent);
    let long = "n".repeat(255);
    for name in ["a", long.as_str(), "with space", "\u{1f980}"] {
        ground.on.create(name, spec.clone()).unwrap();
        let again = ground.on.create(name, plain(TableKind::Ordered, TableHome::Volatile)).unwrap_err();
        assert_eq!((again.code(), again.kind()), (203, ErrorKind::Conflict), "{again}");
    }
    let longer = "n".repeat(256);
    for name in ["", longer.as_str(), "\0"] {
        assert_eq!(ground.on.create(name, spec.clone()).unwrap_err().code(), 204, "a name of {} bytes", name.len());
        let rename = Op::RenameTable { from: "a".to_owned(), to: name.to_owned() };
        assert_eq!(ground.on.call(rename).unwrap_err().code(), 204);
    }
    assert_eq!(list(ground).len(), 4);
    Cell::Holds
}

fn rename(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let key = ground.keys(table, 1).remove(0);
    ground.on.put(table, &key, b"v");
    ground.on.table("other", TableKind::Hash, TableHome::Volatile);
    let op = |from: &str, to: &str| Op::RenameTable { from: from.to_owned(), to: to.to_owned() };
    assert_eq!(ground.on.call(op("t", "other")).unwrap_err().code(), 203);
    assert_eq!(ground.on.call(op("gone", "new")).unwrap_err().code(), 201);
    assert_eq!(ground.on.call(op("t", "t")).unwrap_err().code(), 203);
    match ground.on.call(op("t", "u")).unwrap() {
        Answer::Table(info) => assert_eq!((info.name.as_str(), info.id), ("u", table)),
        other => panic!("{other:?}"),
    }
    assert_eq!(ground.on.open("t", None).unwrap_err().code(), 201);
    assert_eq!(ground.on.open("u", None).unwrap().id, table);
    assert_eq!(ground.on.value(table, &key).unwrap(), b"v");
    // The old name is free again.
    let new = ground.on.table("t", ground.kind, ground.home);
    assert_ne!(new, table);
    assert_eq!(ground.on.get(new, &key), None);
    reopen(ground);
    assert_eq!(list(ground).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["other", "t", "u"]);
    assert_eq!(ground.on.open("u", None).unwrap().id, table);
    if ground.home == TableHome::Persistent {
        assert_eq!(ground.on.value(table, &key).unwrap(), b"v");
    }
    Cell::Holds
}

fn destroy(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let keys = ground.keys(table, 50);
    for key in &keys {
        ground.on.put(table, key, &[1; 100]);
    }
    let op = Op::DestroyTable { name: "t".to_owned() };
    assert_eq!(ground.on.call(op.clone()).unwrap(), Answer::Done);
    assert_eq!(ground.on.call(op).unwrap_err().code(), 201);
    for life in 0..2 {
        assert_eq!(ground.on.open("t", None).unwrap_err().code(), 201);
        let lookup = ground.on.call(Op::Lookup { table, key: keys[0].clone() });
        assert_eq!(lookup.unwrap_err().code(), 202);
        let put = ground.on.change(|set| set.upsert(table, &keys[0], b"", PLAIN).unwrap());
        assert_eq!(put.unwrap_err().code(), 202);
        assert!(ground.on.status().tables.iter().all(|figures| figures.info.id != table));
        if life == 0 {
            reopen(ground);
        }
    }
    // The same name again is another table, and empty, whatever lies in the log.
    let new = ground.table();
    assert_ne!(new, table, "ids are never given twice");
    assert_eq!(ground.on.all(new, domains::Direction::Next, 10), []);
    reopen(ground);
    assert_eq!(ground.on.all(new, domains::Direction::Next, 10), []);
    Cell::Holds
}

fn unknown(ground: &mut Ground) -> Cell {
    let error = ground.on.open("gone", None).unwrap_err();
    assert_eq!((error.code(), error.kind()), (201, ErrorKind::NotFound));
    assert!(error.to_string().contains("'gone'"), "it names the table: {error}");
    let destroy = ground.on.call(Op::DestroyTable { name: "gone".to_owned() });
    assert_eq!(destroy.unwrap_err().code(), 201);
    Cell::Holds
}

fn incompatible(ground: &mut Ground) -> Cell {
    let number = |name: &str| field(name, FieldType::Unsigned(32));
    let spec = TableSpec {
        type_name: "User".to_owned(),
        key: vec![number("id")],
        record: vec![number("age"), field("to", FieldType::Pointer { table: "a".to_owned() })],
        ..plain(TableKind::Hash, TableHome::Persistent)
    };
    ground.on.create("t", spec.clone()).unwrap();
    let mut wrong: Vec<(&str, TableSpec)> = vec![
        ("kind", TableSpec { kind: TableKind::Ordered, ..spec.clone() }),
        ("key", TableSpec { key: vec![number("key")], ..spec.clone() }),
        ("name", TableSpec { key: vec![number("id"), number("name")], ..spec.clone() }),
        ("id", TableSpec { key: vec![field("id", FieldType::Text)], ..spec.clone() }),
        ("age", TableSpec { record: vec![field("age", FieldType::Signed(32))], ..spec.clone() }),
        ("years", TableSpec { record: vec![number("years")], ..spec.clone() }),
    ];
    let elsewhere = field("to", FieldType::Pointer { table: "b".to_owned() });
    wrong.push(("to", TableSpec { record: vec![number("age"), elsewhere], ..spec.clone() }));
    if !ground.on.lacks(Lack::Persistence) {
        wrong.push(("home", TableSpec { home: TableHome::Volatile, ..spec.clone() }));
    }
    for (name, wanted) in wrong {
        let error = ground.on.open("t", Some(wanted)).unwrap_err();
        assert_eq!((error.code(), error.kind()), (205, ErrorKind::Invalid), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("'{name}'")) && text.contains("'t'") && text.contains("User"), "{text}");
    }
    assert_eq!(ground.on.open("t", Some(spec)).unwrap().name, "t");
    Cell::Holds
}

fn appended(ground: &mut Ground) -> Cell {
    let text = |name: &str| field(name, FieldType::Text);
    let mut spec = plain(TableKind::Ordered, TableHome::Persistent);
    spec.record = vec![text("a")];
    let first = ground.on.create("t", spec.clone()).unwrap();
    ground.on.put(first.id, b"k", b"v");
    spec.record.push(text("b"));
    assert_eq!(ground.on.open("t", Some(spec.clone())).unwrap().spec.record, spec.record);
    // A program that knows less opens it too, and takes nothing away.
    let less = TableSpec { record: vec![text("a")], ..spec.clone() };
    assert_eq!(ground.on.open("t", Some(less.clone())).unwrap().spec.record, spec.record);
    reopen(ground);
    assert_eq!(ground.on.open("t", Some(less)).unwrap().spec.record, spec.record);
    assert_eq!(ground.on.value(first.id, b"k").unwrap(), b"v", "its pairs are as they were");
    Cell::Holds
}

fn ruled(ground: &mut Ground) -> Cell {
    let home = if ground.on.lacks(Lack::Persistence) { TableHome::Volatile } else { TableHome::Persistent };
    let number = |name: &str| field(name, FieldType::Unsigned(32));
    let range = |field, most| Rule::Range { field, least: -1, most };
    let to = field("to", FieldType::Pointer { table: "t".to_owned() });
    let mut spec = TableSpec { record: vec![number("age"), to], ..plain(TableKind::Hash, home) };
    for (rule, name) in [(Rule::Required { field: 0 }, "'age'"), (range(1, 0), "'to'"), (range(2, 0), "'2'")] {
        let bad = TableSpec { rules: vec![rule], ..spec.clone() };
        let error = ground.on.create("t", bad).unwrap_err();
        assert_eq!((error.code(), error.kind()), (209, ErrorKind::Invalid), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    spec.rules = vec![range(0, 1 << 100), Rule::Required { field: 1 }];
    assert_eq!(ground.on.create("t", spec.clone()).unwrap().spec, spec);
    // Who says nothing of rules finds them; who would have others is refused.
    assert_eq!(ground.on.open("t", None).unwrap().spec, spec);
    assert_eq!(ground.on.open("t", Some(TableSpec { rules: vec![], ..spec.clone() })).unwrap().spec, spec);
    let error = ground.on.open("t", Some(TableSpec { rules: vec![range(0, 7)], ..spec.clone() })).unwrap_err();
    assert_eq!(error.code(), 205);
    assert!(error.to_string().contains("field 'age' must lie in -1..=7"), "{error}");
    // What is appended brings its rules, and the catalog knows when.
    let mut more = spec.clone();
    more.record.push(number("size"));
    more.rules.extend([range(2, 9), Rule::Default { field: 2, value: vec![4] }]);
    let merged = ground.on.open("t", Some(more.clone())).unwrap().spec;
    let grown = [Rule::Grown { fields: 2 }];
    let rules = [&spec.rules[..], &grown, &more.rules[2..]].concat();
    assert_eq!(merged, TableSpec { rules, ..more });
    assert_eq!((merged.revision(), merged.revision_of(1), merged.revision_of(2)), (2, 1, 2));
    ground.on.create("plain", plain(TableKind::Hash, home)).unwrap();
    reopen(ground);
    assert_eq!(ground.on.open("t", Some(spec)).unwrap().spec, merged);
    let Answer::Tables(tables) = ground.on.call(Op::ListTables).unwrap() else { panic!("another answer") };
    assert_eq!((tables[0].spec.rules.len(), &tables[1].spec), (0, &merged));
    Cell::Holds
}

fn catalog_is_closed(ground: &mut Ground) -> Cell {
    ground.on.table("t", TableKind::Hash, TableHome::Persistent);
    for key in [&b"t"[..], b"new", &[0]] {
        let put = ground.on.change(|set| set.upsert(TableId(0), key, b"", PLAIN).unwrap());
        assert!(matches!(put.unwrap_err().code(), 202 | 207), "a catalog is closed, or no table at all");
        let delete = ground.on.change(|set| set.remove(TableId(0), key).unwrap());
        assert!(matches!(delete.unwrap_err().code(), 202 | 207));
    }
    assert_eq!(ground.on.open("t", None).unwrap().name, "t");
    Cell::Holds
}

fn homes(ground: &mut Ground) -> Cell {
    let info = ground.on.create("t", plain(TableKind::Hash, TableHome::Persistent)).unwrap();
    let persistent = ground.on.capabilities().persistence;
    assert_eq!(info.spec.home, if persistent { TableHome::Persistent } else { TableHome::Volatile });
    let done = ground.on.change(|set| set.upsert(info.id, b"k", b"", PLAIN).unwrap()).unwrap();
    assert_eq!(done.persistence == domains::Persistence::Volatile, !persistent, "{done:?}");
    Cell::Holds
}
