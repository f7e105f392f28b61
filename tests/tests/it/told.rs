//! What of a table is told to whom: rules to who knows rules, the hint of compact slots to who knows that too.
//!
//! Contract: by hand over the socket of a real daemon. A client of before the hint gets frames that it can read, and every table is
//! open to it; a present client talks to a present daemon through the library, and the hint arrives.

use crate::process::Daemon;
use crate::talk::Talk;
use domains::schema::{Rule, TableHome, TableKind};
use lostore::{PutOptions, TableInfo, plain_spec};
use wire::{Answer, FEATURE_RULES, FEATURE_SLOTS, Op, Outcome};

/// How a table's answer comes, and its rules.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    Table,
    Ruled(Vec<String>),
}

/// What a connection of these features is told when it opens a table, and of all tables when it lists them.
fn told(daemon: &Daemon, features: u64, name: &str) -> (Told, bool) {
    let mut talk = Talk::new(daemon, features);
    assert_eq!(talk.features, features, "the daemon knows them");
    let opened = talk.ask(Op::OpenTable { name, spec: None }, |outcome| match outcome {
        Outcome::Ok(Answer::Table(info)) => {
            assert_eq!(info.name, name);
            Told::Table
        }
        Outcome::Ok(Answer::Ruled(ruled)) => Told::Ruled(ruled.rules.iter().map(|rule| format!("{rule:?}")).collect()),
        other => panic!("{other:?}"),
    });
    let listed = talk.ask(Op::ListTables, |outcome| match outcome {
        Outcome::Ok(Answer::Tables(_)) => false,
        Outcome::Ok(Answer::RuledTables(tables)) => {
            tables.iter().any(|table| table.rules.contains(&wire::Rule::CompactSlots))
        }
        other => panic!("{other:?}"),
    });
    (opened, listed)
}

#[test]
fn compact_slots_are_told_to_who_knows_them_and_open_to_all() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&dir.path().join("store"));
    let store = daemon.connect();
    let mut spec = plain_spec(TableKind::Hash, TableHome::Persistent);
    spec.rules = vec![Rule::CompactSlots];
    let table = store.create_raw("many", spec.clone()).unwrap();
    assert_eq!(*table.spec(), spec);
    let grown =
        lostore::schema::TableSpec { rules: vec![Rule::CompactSlots, Rule::Grown { fields: 0 }], ..spec.clone() };
    store.create_raw("both", grown).unwrap();
    let TableInfo { spec: listed, .. } = store.tables().unwrap().into_iter().find(|info| info.name == "many").unwrap();
    assert!(listed.has_compact_slots());
    for n in 0..2_000_u32 {
        table.upsert(&n.to_le_bytes(), &(n + 1).to_le_bytes(), PutOptions::default()).unwrap();
    }

    let slots = || "CompactSlots".to_owned();
    let grown = || "Grown { fields: 0 }".to_owned();
    let all = FEATURE_RULES | FEATURE_SLOTS;
    assert_eq!(told(&daemon, all, "many"), (Told::Ruled(vec![slots()]), true));
    assert_eq!(told(&daemon, all, "both"), (Told::Ruled(vec![slots(), grown()]), true));
    assert_eq!(told(&daemon, FEATURE_RULES, "many"), (Told::Table, false));
    assert_eq!(told(&daemon, FEATURE_RULES, "both"), (Told::Ruled(vec![grown()]), false));
    for features in [0, FEATURE_SLOTS] {
        assert_eq!(told(&daemon, features, "many"), (Told::Table, false));
        assert_eq!(told(&daemon, features, "both"), (Told::Table, false));
    }

    // The index is what was asked for: by its own count of its memory, which over 2,000 wide slots would be 38 KiB in few pages.
    let status = store.status().unwrap();
    let figures = status.tables.iter().find(|table| table.info.name == "many").unwrap();
    assert_eq!(figures.pairs, 2_000);
    assert!(figures.index_bytes > 128 << 10, "{} bytes: of 4,096 pages' heads", figures.index_bytes);
    for n in 0..2_000_u32 {
        assert_eq!(table.get(&n.to_le_bytes()).unwrap().unwrap().value, (n + 1).to_le_bytes());
    }
    daemon.stop();
}
