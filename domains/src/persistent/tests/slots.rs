//! Tables of compact slots: the feature is marked before the first of them is there, every result is that of a table of wide
//! slots, an overwrite reads what it replaces at most once, and nothing is placed where a slot could not name it.

use super::client_hash::{Deed, act, create, deeds, fail_creation, marked};
use super::failing::{How, Kind, Plan};
use super::*;
use crate::engine::table::Index;
use crate::schema::Rule;
use proptest::prelude::*;
use segments::superblock::Features;

fn spec(kind: TableKind) -> TableSpec {
    let id = Field { name: "id".to_owned(), field_type: FieldType::Unsigned(64) };
    let key = if kind == TableKind::ClientHash { vec![id] } else { vec![] };
    TableSpec { key, rules: vec![Rule::CompactSlots], ..TableSpec::plain(kind, TableHome::Persistent) }
}

fn is_compact<D: Device>(bench: &Bench<D>, table: TableId) -> bool {
    let Index::Hash(index) = &bench.engine.core.table(table).unwrap().index else { panic!("no hash table") };
    index.is_compact()
}

#[test]
fn the_first_table_of_compact_slots_marks_the_store() {
    let mut bench = Bench::new(tiny());
    for kind in [TableKind::Ordered, TableKind::Sack] {
        assert_eq!(create(&mut bench, "wrong", spec(kind)).unwrap_err().code(), 211);
    }
    bench.create("wide", TableKind::Hash, TableHome::Persistent);
    assert_eq!(marked(&mut bench.device) & Features::COMPACT_SLOTS, 0, "nothing that was refused marks it");
    let table = create(&mut bench, "t", spec(TableKind::Hash)).unwrap();
    assert_eq!(marked(&mut bench.device) & Features::COMPACT_SLOTS, 32);
    assert!(is_compact(&bench, table));
    bench.put(table, b"k", b"v");
    bench.force();
    bench.reopen();
    assert!(is_compact(&bench, table), "after an open too");
    assert_eq!(bench.get(table, b"k").unwrap().value, b"v");
    let info = bench.call(Op::OpenTable { name: "wide".to_owned(), spec: Some(spec(TableKind::Hash)) }).unwrap();
    let Answer::Table(info) = info else { panic!("another answer") };
    assert!(!info.spec.has_compact_slots() && !is_compact(&bench, info.id), "the stored hint holds");
}

#[test]
fn no_image_has_compact_slots_without_the_mark() {
    for kind in [Kind::Write, Kind::Flush] {
        let mut refused = 0;
        for n in 1.. {
            let plan = Plan { kind, n, sticky: true, how: How::Refused(BAD) };
            if fail_creation(plan, &spec(TableKind::Hash), Features::COMPACT_SLOTS) {
                break;
            }
            refused += 1;
        }
        assert!(refused >= 3, "{kind:?}: {refused} refused");
    }
}

fn reads<D: Device>(bench: &mut Bench<D>) -> u64 {
    bench.engine.core.counters.device_reads
}

/// What an update of a record that is not in memory reads: nothing where slots are wide, the record once where they are compact,
/// and of a key that is absent nothing in either.
#[test]
fn an_overwrite_reads_what_it_replaces_once() {
    for (compact, wanted) in [(false, 0), (true, 1)] {
        let mut bench = Bench::new(Config { cache_bytes: 1 << 20, ..tiny() });
        let mut wish = spec(TableKind::Hash);
        if !compact {
            wish.rules.clear();
        }
        let table = create(&mut bench, "t", wish).unwrap();
        for n in 0..200_u32 {
            bench.put(table, &n.to_le_bytes(), &[1; 300]);
            bench.force();
        }
        bench.call(Op::DropCache).unwrap();
        for n in 0..8_u32 {
            let before = reads(&mut bench);
            bench.put(table, &n.to_le_bytes(), b"another");
            assert_eq!(reads(&mut bench) - before, wanted, "record {n}, compact: {compact}");
            let before = reads(&mut bench);
            bench.put(table, &n.to_le_bytes(), b"and another");
            bench.put(table, &(1_000 + n).to_le_bytes(), b"new");
            assert_eq!(reads(&mut bench) - before, 0, "what was just written, and what was never there");
        }
        let before = reads(&mut bench);
        assert_eq!(bench.get(table, &20_u32.to_le_bytes()).unwrap().value, [1; 300]);
        assert_eq!(reads(&mut bench) - before, 1, "a lookup reads one record");
    }
}

/// Recovery finds by hashes what summaries name by them: the slots are wide until the log was read, and narrow then.
#[test]
fn recovery_goes_by_summaries_and_reads_no_record_for_its_key() {
    let mut bench = Bench::new(tiny());
    let table = create(&mut bench, "t", spec(TableKind::Hash)).unwrap();
    for n in 0..400_u32 {
        bench.put(table, &(n % 100).to_le_bytes(), &[n.to_le_bytes()[0]; 200]);
        bench.force();
    }
    let report = bench.reopen();
    assert!(report.summaries_used > 2, "{} summaries", report.summaries_used);
    assert!(is_compact(&bench, table));
    assert_eq!((report.pairs, bench.all(table, 50).len()), (100, 100));
    for n in 300..400_u32 {
        assert_eq!(bench.get(table, &(n % 100).to_le_bytes()).unwrap().value, [n.to_le_bytes()[0]; 200]);
    }
}

/// A store that outgrows what slots tell apart says so before anything is applied, reads on, and has wide slots from its next open.
#[test]
fn nothing_is_placed_where_a_slot_could_not_name_it() {
    let config = Config { compact_pages_max: 160, ..tiny() };
    let mut bench = Bench::new(config);
    let table = create(&mut bench, "t", spec(TableKind::Hash)).unwrap();
    let wide = bench.create("wide", TableKind::Hash, TableHome::Persistent);
    let volatile = TableSpec { home: TableHome::Volatile, ..spec(TableKind::Hash) };
    let volatile = create(&mut bench, "volatile", volatile).unwrap();
    let put = |bench: &mut Bench, table, n: u32| {
        let mut set = CommitSet::new();
        set.upsert(table, &n.to_le_bytes(), &[1; 3000], PutOptions::default()).unwrap();
        bench.commit(set, Level::Persistent)
    };
    let mut there = 0;
    let error = loop {
        match put(&mut bench, table, there) {
            Ok(_) => there += 1,
            Err(error) => break error,
        }
        assert!(there < 160, "no more pages than there can be");
    };
    assert!(there > 20, "{there} records before");
    assert_eq!((error.code(), error.kind()), (213, ErrorKind::Environment), "{error}");
    assert!(error.to_string().contains("reopen the store") && !error.is_applied());
    assert!(bench.get(table, &there.to_le_bytes()).is_none(), "nothing was applied");
    for n in 0..there {
        assert_eq!(bench.get(table, &n.to_le_bytes()).unwrap().value, [1; 3000]);
    }
    // A deletion names no place, and other tables take what they took before.
    let mut set = CommitSet::new();
    set.delete(table, &0_u32.to_le_bytes()).unwrap();
    bench.commit(set, Level::Committed).unwrap();
    put(&mut bench, wide, 1).unwrap();
    put(&mut bench, volatile, 1).unwrap();
    let refusal = create(&mut bench, "late", spec(TableKind::Hash)).unwrap_err();
    assert_eq!((refusal.code(), refusal.kind()), (212, ErrorKind::Invalid), "{refusal}");
    bench.force();
    bench.reopen();
    assert!(!is_compact(&bench, table), "wide from now on");
    for n in there..there + 20 {
        put(&mut bench, table, n).unwrap();
    }
    assert_eq!(u32::try_from(bench.all(table, 7).len()).unwrap(), there + 19);
    let too_many = Config { compact_pages_max: (1 << 32) + 1, ..tiny() };
    assert_eq!(too_many.check().unwrap_err().code(), 301, "a slot tells 2^32 pages apart and no more");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Nobody can tell from any answer how wide the slots are, with tags of one bit too.
    #[test]
    fn no_answer_tells_how_wide_the_slots_are(
        deeds in deeds(),
        bits in prop_oneof![Just(64_u8), Just(1)],
        kind in prop_oneof![Just(TableKind::Hash), Just(TableKind::ClientHash)],
        home in prop_oneof![2 => Just(TableHome::Persistent), 1 => Just(TableHome::Volatile)],
    ) {
        let mut bench = Bench::new(Config { fingerprint_bits: bits, ..tiny() });
        let compact = TableSpec { home, ..spec(kind) };
        let wide = TableSpec { rules: vec![], ..compact.clone() };
        let compact = create(&mut bench, "compact", compact).unwrap();
        let wide = create(&mut bench, "wide", wide).unwrap();
        for deed in deeds.iter().chain([&Deed::Walk(3), &Deed::Reopen, &Deed::Walk(100)]) {
            if matches!(deed, Deed::Reopen) {
                bench.force();
                bench.reopen();
            }
            prop_assert_eq!(act(&mut bench, compact, deed), act(&mut bench, wide, deed), "{:?}", deed);
        }
    }
}
