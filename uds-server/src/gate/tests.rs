use super::*;
use domains::schema::{Field, TableHome, TableKind, TableSpec};
use domains::{Cursor, Direction, Level};
use proptest::prelude::*;
use txn::PutOptions;

const MINE: TableId = TableId(1);
const THEIRS: TableId = TableId(2);
const UNKNOWN: TableId = TableId(99);

fn info(table: TableId, name: &str, target: &str) -> TableInfo {
    let pointer = Field { name: "to".into(), field_type: FieldType::Pointer { table: target.into() } };
    let spec = TableSpec {
        type_name: "t".into(),
        record: vec![pointer],
        ..TableSpec::plain(TableKind::Ordered, TableHome::Volatile)
    };
    TableInfo { id: table, name: name.into(), spec }
}

/// A gate whose rules give user 7 these rights on `mine`, and that knows `mine`, `theirs` and the catalog.
fn gate(rights: &str) -> Gate {
    let rules = if rights.is_empty() { "uid:7 nothing read".to_owned() } else { format!("uid:7 mine {rights}") };
    let mut gate = Gate::new(Owners::Users(vec![0, 500]), Rules::parse(&rules).unwrap());
    gate.learn_all(&[info(TableId(0), "", "mine"), info(MINE, "mine", "mine"), info(THEIRS, "theirs", "mine")]);
    gate
}

fn caller(uid: u32) -> Caller {
    Caller { uid, gid: uid, groups: Vec::new() }
}

fn standing(gate: &Gate, uid: u32) -> Standing {
    let mut standing = gate.admit(caller(uid)).expect("it is named by a rule");
    gate.refresh(&mut standing);
    standing
}

fn check(gate: &Gate, op: &Op) -> Result<(), Error> {
    Guard::new(gate, &standing(gate, 7)).check(op)
}

fn commit(make: impl FnOnce(&mut CommitSet)) -> Op {
    let mut set = CommitSet::new();
    make(&mut set);
    Op::Commit { set, level: Level::Committed }
}

/// Every operation on a table, and the rights that it takes.
fn on(table: TableId, name: &str) -> Vec<(Op, &'static [Right])> {
    use Right::{Create, Delete, Destroy, Insert, Iterate, Read, Update};
    let (key, none) = (b"k".to_vec(), PutOptions::default());
    let name = || name.to_owned();
    let at = Expect::At(segments::Version::default());
    let next =
        Op::Next { table, from: Cursor::Start, until: None, direction: Direction::Next, pairs_max: 1, bytes_max: 1 };
    vec![
        (Op::Lookup { table, key: key.clone() }, &[Read]),
        (Op::LookupMany { table, keys: vec![key.clone()] }, &[Read]),
        (Op::ReadRanges { table, key: key.clone(), ranges: Vec::new() }, &[Read]),
        (Op::Verify { table, key: key.clone() }, &[Read]),
        (Op::Follow { table, key: key.clone(), field: 0 }, &[Read]),
        (Op::FollowChain { table, key, fields: vec![0, 0], depth_max: u32::MAX, records_max: 9 }, &[Read]),
        (next, &[Iterate, Read]),
        (commit(|set| set.compare(table, b"k", Expect::Absent).unwrap()), &[Read]),
        (commit(|set| set.compare_range(table, b"a", None).unwrap()), &[Iterate, Read]),
        (commit(|set| set.insert(table, b"k", b"v", none).unwrap()), &[Insert]),
        (commit(|set| set.update(table, b"k", b"v", none).unwrap()), &[Update]),
        (commit(|set| set.upsert(table, b"k", b"v", none).unwrap()), &[Insert, Update]),
        (commit(|set| set.append(table, b"k", b"v", none, Expect::Any).unwrap()), &[Insert, Update]),
        (commit(|set| set.append(table, b"k", b"v", none, Expect::Absent).unwrap()), &[Insert]),
        (commit(|set| set.append(table, b"k", b"v", none, at).unwrap()), &[Update]),
        (commit(|set| set.delete(table, b"k").unwrap()), &[Delete]),
        (commit(|set| set.remove(table, b"k").unwrap()), &[Delete]),
        (commit(|set| set.revert(table, b"k", segments::Version::default()).unwrap()), &[Update]),
        (commit(|set| set.seal(table, b"k", segments::Version::default()).unwrap()), &[Update]),
        (Op::Reserve { table, count: 1 }, &[Insert]),
        (Op::DestroyTable { name: name() }, &[Destroy]),
        (Op::RenameTable { from: name(), to: name() }, &[Destroy, Create]),
        (Op::OpenTable { name: name(), spec: Some(spec_of_two()) }, &[Create]),
    ]
}

/// With a field that no table here has.
fn spec_of_two() -> TableSpec {
    let mut spec = info(MINE, "mine", "mine").spec;
    spec.record.push(Field { name: "more".into(), field_type: FieldType::Bool });
    spec
}

fn names(rights: impl IntoIterator<Item = Right>) -> String {
    rights.into_iter().map(Right::name).collect::<Vec<_>>().join(",")
}

#[test]
fn each_operation_takes_its_rights_and_no_others() {
    for (op, needed) in on(MINE, "mine") {
        assert_eq!(check(&gate(&names(needed.iter().copied())), &op), Ok(()), "{op:?} takes {needed:?}");
        for missing in needed {
            let others = names(Right::ALL.into_iter().filter(|right| right != missing));
            let (user, right, table) = (7, missing.name(), Some("mine".to_owned()));
            assert_eq!(check(&gate(&others), &op), Err(Error::Denied { user, right, table }), "{op:?}");
        }
    }
}

#[test]
fn without_any_right_a_table_that_is_there_is_like_one_that_is_not() {
    for rights in ["", "all"] {
        let gate = gate(rights);
        for ((theirs, _), (unknown, _)) in on(THEIRS, "theirs").into_iter().zip(on(UNKNOWN, "unknown")) {
            let (theirs, unknown) = (check(&gate, &theirs).unwrap_err(), check(&gate, &unknown).unwrap_err());
            let same = match (&theirs, &unknown) {
                (Error::TableGone { table: THEIRS }, Error::TableGone { table: UNKNOWN }) => true,
                (Error::NoSuchTable { name }, Error::NoSuchTable { name: other }) => {
                    name == "theirs" && other == "unknown"
                }
                (_, _) => false,
            };
            assert!(same, "{theirs:?} {unknown:?}");
        }
        // The store's own tables have numbers, and everybody knows them.
        for (op, _) in on(TableId(0), "").into_iter().chain(on(TableId(u32::MAX), "")) {
            check(&gate, &op).unwrap_err();
        }
        // What is not permitted is said before the name is looked at.
        let create = |name: &str| check(&gate, &Op::CreateTable { name: name.into(), spec: spec_of_two() });
        for name in ["theirs", "unknown"] {
            let table = Some(name.to_owned());
            assert_eq!(create(name), Err(Error::Denied { user: 7, right: "create", table: table.clone() }));
            let onto = check(&gate, &Op::RenameTable { from: "mine".into(), to: name.into() });
            assert!(rights.is_empty() || onto == Err(Error::Denied { user: 7, right: "create", table }), "{onto:?}");
        }
    }
}

#[test]
fn the_order_of_a_set_does_not_tell_what_is_there() {
    let gate = gate("all");
    for table in [THEIRS, UNKNOWN] {
        let op = commit(|set| {
            // A compare that may fail stands before the table that is none of the caller's.
            set.compare(MINE, b"a", Expect::Present).unwrap();
            set.insert(table, b"k", b"v", PutOptions::default()).unwrap();
        });
        assert_eq!(check(&gate, &op), Err(Error::TableGone { table }));
    }
}

#[test]
fn owners_are_asked_nothing_and_strangers_are_not_admitted() {
    let gate = gate("read");
    for uid in [0, 500] {
        let standing = standing(&gate, uid);
        for (op, _) in on(THEIRS, "theirs").into_iter().chain(on(UNKNOWN, "unknown")).chain(on(TableId(0), "")) {
            assert_eq!(Guard::new(&gate, &standing).check(&op), Ok(()));
        }
        assert_eq!(Guard::new(&gate, &standing).shown(&Answer::Tables(Vec::new())), None);
    }
    assert!(gate.admit(caller(8)).is_none(), "no rule speaks of it");
    assert!(gate.admit(caller(u32::MAX)).is_none());
}

#[test]
fn rights_of_the_server() {
    let of = |rights: &str, op: &Op| check(&gate(rights), op);
    let denied = |right| Err(Error::Denied { user: 7, right, table: None });
    assert_eq!(of("read", &Op::Force), denied("force"));
    assert_eq!(of("force", &Op::Force), Ok(()));
    for op in [Op::DropCache, Op::Reclaim, Op::Segments { from: segments::SegmentId(0) }] {
        assert_eq!(of("read,force", &op), denied("admin"));
        assert_eq!(of("admin", &op), Ok(()));
    }
    let once = domains::Once { client: domains::ClientId([1; 16]), attempt: 1, request: 1 };
    let client = once.client;
    let mut set = CommitSet::new();
    set.compare(MINE, b"k", Expect::Absent).unwrap();
    let once = Op::CommitOnce { set, level: Level::Committed, once };
    for op in [&once, &Op::Identify { client, attempt: 1 }, &Op::Fates { client, requests: Vec::new() }] {
        assert_eq!(of("read,force", op), denied("txn"));
        assert_eq!(of("read,txn", op), Ok(()));
    }
    assert!(of("txn", &once).is_err(), "it takes the rights of its parts, too");
    let gate = gate("txn");
    let standing = standing(&gate, 7);
    assert_eq!(Guard::new(&gate, &standing).server(Right::Txn), Ok(()));
    assert_eq!(Guard::new(&gate, &standing).server(Right::Force), denied("force"));
}

#[test]
fn pointers_lead_nowhere_that_may_not_be_read() {
    let rules = Rules::parse("uid:7 a* read\nuid:7 b insert").unwrap();
    let mut gate = Gate::new(Owners::Users(Vec::new()), rules);
    let chain = [(1, "a1", "a2"), (2, "a2", "a3"), (3, "a3", "a1"), (4, "a4", "b"), (5, "b", "a1"), (6, "a6", "c")];
    let tables: Vec<TableInfo> = chain.iter().map(|(id, name, to)| info(TableId(*id), name, to)).collect();
    gate.learn_all(&tables);
    let follow = |table: u32| check(&gate, &Op::Follow { table: TableId(table), key: Vec::new(), field: 0 });
    let no_table = |name: &str| Err(Error::NoSuchTable { name: name.into() });
    assert_eq!(follow(1), Ok(()));
    assert_eq!(follow(4), Err(Error::Denied { user: 7, right: "read", table: Some("b".into()) }));
    assert_eq!(follow(6), no_table("c"), "whether or not there is one");
    assert_eq!(follow(5), Err(Error::Denied { user: 7, right: "read", table: Some("b".into()) }));
    gate.learn(&info(TableId(7), "c", "a1"));
    let chain = |table: u32, fields: &[u16], depth_max: u32| {
        let (table, fields) = (TableId(table), fields.to_vec());
        check(&gate, &Op::FollowChain { table, key: Vec::new(), fields, depth_max, records_max: 10 })
    };
    assert_eq!(chain(6, &[0], 9), no_table("c"), "it is there now, and that is not told");
    assert_eq!(chain(6, &[0], 0), Ok(()), "it is not followed");
    assert_eq!(chain(6, &[1], 9), Ok(()), "the field is no pointer");
    assert_eq!(chain(6, &[], 9), Ok(()), "the domain refuses this");
    assert_eq!(chain(1, &[0, 0, 0], u32::MAX), Ok(()), "a circle ends");
    // a3 leads to c from now on: the third step.
    gate.learn(&TableInfo { spec: info(TableId(3), "a3", "c").spec, ..info(TableId(3), "a3", "") });
    let chain = |depth_max| {
        let op = Op::FollowChain { table: TableId(1), key: Vec::new(), fields: vec![0], depth_max, records_max: 9 };
        check(&gate, &op)
    };
    assert_eq!((chain(2), chain(3)), (Ok(()), no_table("c")));
}

#[test]
fn what_is_shown_is_what_may_be_known() {
    let tables = [info(MINE, "mine", "mine"), info(THEIRS, "theirs", "mine")];
    let figures =
        |info: &TableInfo| domains::TableStatus { info: info.clone(), pairs: 5, index_bytes: 6, record_bytes: 7 };
    let status = Status {
        poisoned: Some("why".into()),
        tables: tables.iter().map(figures).collect(),
        commits: 9,
        cache_bytes: 10,
        ..Status::default()
    };
    let see = |rights: &str, answer: Answer| {
        let gate = gate(rights);
        Guard::new(&gate, &standing(&gate, 7)).shown(&answer)
    };
    assert_eq!(see("insert", Answer::Tables(tables.to_vec())), Some(Answer::Tables(tables[..1].to_vec())));
    assert_eq!(see("", Answer::Tables(tables.to_vec())), Some(Answer::Tables(Vec::new())));
    let Some(Answer::Status(seen)) = see("read", Answer::Status(Box::new(status.clone()))) else { panic!() };
    assert_eq!((seen.commits, seen.cache_bytes, seen.poisoned.as_deref()), (0, 0, Some("why")));
    assert_eq!(seen.tables, status.tables[..1]);
    assert_eq!(see("admin", Answer::Status(Box::new(status))), None, "all of it");
    assert_eq!(see("read", Answer::Done), None);
}

#[test]
fn names_move_and_rights_with_them() {
    let mut gate = gate("read");
    let lookup = Op::Lookup { table: THEIRS, key: Vec::new() };
    let mut open = standing(&gate, 7);
    let may = |gate: &Gate, standing: &mut Standing, op: &Op| {
        gate.refresh(standing);
        Guard::new(gate, standing).check(op).is_ok()
    };
    assert!(!may(&gate, &mut open, &lookup));
    gate.learn(&info(THEIRS, "mine", "mine"));
    assert!(may(&gate, &mut open, &lookup), "it has the name now");
    assert!(!may(&gate, &mut open, &Op::Lookup { table: MINE, key: Vec::new() }), "which the other lost");
    gate.learn(&info(THEIRS, "theirs", "mine"));
    assert!(!may(&gate, &mut open, &lookup));
    gate.set_rules(Rules::parse("uid:7 theirs read").unwrap());
    assert!(may(&gate, &mut open, &lookup), "other rules");
    gate.set_rules(Rules::default());
    assert!(!may(&gate, &mut open, &lookup), "and none");
    gate.set_rules(Rules::parse("uid:7 t* read").unwrap());
    gate.learn_all(&[]);
    assert!(!may(&gate, &mut open, &lookup), "it was destroyed");
    assert!(gate.tables.is_empty() && gate.names.is_empty());
}

proptest! {
    /// However the catalog and the rules change, and whenever a standing is looked at: it is as if it were built anew.
    #[test]
    fn a_map_that_catches_up_is_one_that_is_built(steps in prop::collection::vec((0u32..6, 0usize..4, 0u8..8), 1..60), many in 0usize..2) {
        let rules = ["uid:7 a read", "uid:7 [ab] read,insert", "* c* update", "uid:8 * all"];
        let mut gate = Gate::new(Owners::Users(Vec::new()), Rules::parse(rules[1]).unwrap());
        let mut old = gate.admit(caller(7)).unwrap();
        let mut there: BTreeMap<TableId, TableInfo> = BTreeMap::new();
        for (table, name, step) in steps {
            let told = info(TableId(table + 1), ["a", "b", "c1", "d"][name], "a");
            match step {
                0 => gate.set_rules(Rules::parse(rules[name]).unwrap()),
                1 => {
                    there.remove(&told.id);
                    gate.learn_all(&there.values().cloned().collect::<Vec<_>>());
                }
                2 => gate.refresh(&mut old),
                _ => {
                    there.retain(|_, other| other.name != told.name);
                    there.insert(told.id, told.clone());
                    gate.learn(&told);
                }
            }
            for _ in 0..many * 300 {
                gate.changed(TableId(0));
            }
            let mut new = Standing::new(caller(7), false);
            gate.refresh(&mut new);
            let mut caught_up = old.clone();
            gate.refresh(&mut caught_up);
            prop_assert_eq!(&caught_up.tables, &new.tables);
            prop_assert_eq!(&caught_up.rules, &new.rules);
        }
    }
}
