//! Tables whose keys the client hashed: the feature is marked before the first of them is there, and every result is that of a
//! table whose keys the store hashes.

use super::ends::copy;
use super::failing::{BAD, Failing, How, Kind, Plan};
use super::*;
use proptest::prelude::*;
use segments::superblock::Features;
use std::task::Poll;

fn spec(bits: u8) -> TableSpec {
    let key = vec![Field { name: "id".to_owned(), field_type: FieldType::Unsigned(bits) }];
    let (type_name, kind, home) = ("object".to_owned(), TableKind::ClientHash, TableHome::Persistent);
    TableSpec { type_name, kind, home, key, record: vec![], pairs_hint: 0, rules: vec![] }
}

/// A `u32` as a key has it.
fn key32(number: u32) -> [u8; 4] {
    let mut key = number.to_le_bytes();
    key.reverse();
    key
}

pub(super) fn create<D: Device>(bench: &mut Bench<D>, name: &str, spec: TableSpec) -> Result<TableId, Error> {
    let Answer::Table(info) = bench.call(Op::CreateTable { name: name.to_owned(), spec })? else {
        panic!("another answer")
    };
    Ok(info.id)
}

/// The features that the superblock on a device says.
pub(super) fn marked(device: &mut MemoryDevice) -> u64 {
    read_copies(&mut Blocking::new(device)).unwrap().choose().unwrap().superblock.features.incompatible
}

/// An older build, which does not know the bit, refuses the store by it; stores without such a table stay open to it.
#[test]
fn the_first_such_table_marks_the_store_and_no_other_does() {
    let mut bench = Bench::new(tiny());
    bench.create("t", TableKind::Hash, TableHome::Persistent);
    for wrong in [8, 16, 128] {
        assert_eq!(create(&mut bench, "wrong", spec(wrong)).unwrap_err().code(), 210);
    }
    assert_eq!(marked(&mut bench.device) & Features::CLIENT_HASH, 0, "nothing that was refused marks it");
    let flushes = bench.engine.core.counters.device_flushes;
    let first = create(&mut bench, "first", spec(64)).unwrap();
    assert_eq!(marked(&mut bench.device) & Features::CLIENT_HASH, Features::CLIENT_HASH);
    assert_ne!(Features::KNOWN.incompatible & Features::CLIENT_HASH, 0);
    assert!(bench.engine.core.counters.device_flushes > flushes, "and the table's own commit is persistent");
    let sequence = |bench: &mut Bench| {
        read_copies(&mut Blocking::new(&mut bench.device)).unwrap().choose().unwrap().superblock.sequence
    };
    let before = sequence(&mut bench);
    create(&mut bench, "second", spec(32)).unwrap();
    assert_eq!(sequence(&mut bench), before, "once is enough");
    bench.put(first, &[7; 8], b"v");
    bench.force();
    bench.reopen();
    assert_eq!(bench.get(first, &[7; 8]).unwrap().value, b"v");
    assert_ne!(marked(&mut bench.device) & Features::CLIENT_HASH, 0, "it stays for good");
}

/// Whichever write or flush fails while the first such table is made, and whatever a crash then leaves: no image has the table
/// without the mark, and each opens with all that was announced.
#[test]
fn no_image_has_such_a_table_without_the_mark() {
    for kind in [Kind::Write, Kind::Flush] {
        let (mut made, mut refused) = (0, 0);
        for n in 1.. {
            let plan = Plan { kind, n, sticky: true, how: How::Refused(BAD) };
            if fail_creation(plan, &spec(64), Features::CLIENT_HASH) {
                made += 1;
                break;
            }
            refused += 1;
        }
        assert!(made == 1 && refused >= 3, "{kind:?}: {refused} refused");
    }
}

/// Makes the first table of a feature on a device that fails as planned; whether it was made.
pub(super) fn fail_creation(plan: Plan, spec: &TableSpec, feature: u64) -> bool {
    let (mut bench, table, whole) = Bench::filled_with_all();
    let pages = bench.device.pages();
    let mut seen = 0;
    let device = Failing::new(copy(&mut bench.device, pages), |request| plan.strikes(request, &mut seen));
    let config = bench.config.clone();
    let mut failing = Bench { device, engine: bench.engine, config: config.clone(), now: bench.now, next: 100 };
    let answer = create(&mut failing, "objects", spec.clone());
    // Whoever ends after that has nothing to tell, and is not told of a failure that is not the end's.
    assert!(answer.is_ok() || failing.engine.close() == Poll::Ready(Ok(())), "{plan:?}");
    for mut image in failing.device.crashed() {
        let mark = marked(&mut image) & feature != 0;
        let (engine, _) = open(&mut image, &config).unwrap();
        let mut after = Bench { device: image, engine, config: config.clone(), now: Tick::default(), next: 0 };
        assert_eq!(after.all(table, 100), whole, "{plan:?}");
        let there = after.call(Op::OpenTable { name: "objects".to_owned(), spec: None }).is_ok();
        assert!(mark || !there, "{plan:?}: a table without the mark");
        assert!(there || answer.is_err(), "{plan:?}: a table that was told is there");
        assert!(create(&mut after, "others", spec.clone()).is_ok(), "{plan:?}: the next try makes one");
    }
    if let Err(error) = &answer {
        assert!(matches!(error.code(), 304 | 108), "{plan:?}: {error}");
    }
    answer.is_ok()
}

impl Bench {
    /// A store, a table of it, and all that is in the table, persistent.
    fn filled_with_all() -> (Self, TableId, State) {
        let (mut bench, table) = Self::filled();
        bench.force();
        let all = bench.all(table, 100);
        (bench, table, all)
    }
}

/// One step on both tables.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Put(u64, u16),
    Insert(u64),
    Append(u64),
    Delete(u64),
    Get(u64),
    Walk(u32),
    Reopen,
}

/// Few numbers, of the kinds that a bad hash would give: they meet often enough, and in low or high halves always.
fn numbers() -> impl Strategy<Value = u64> {
    (0..4_u8, 0..24_u64).prop_map(|(kind, n)| match kind {
        0 => n,
        1 => n << 16,
        2 => n << 32 | 0xffff_ffff,
        _ => 0xffff_ffff << 32 | n,
    })
}

pub(super) fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => (numbers(), 0..300_u16).prop_map(|(key, bytes)| Deed::Put(key, bytes)),
        3 => numbers().prop_map(Deed::Insert),
        2 => numbers().prop_map(Deed::Append),
        3 => numbers().prop_map(Deed::Delete),
        4 => numbers().prop_map(Deed::Get),
        1 => (1..40_u32).prop_map(Deed::Walk),
        1 => Just(Deed::Reopen),
    ];
    prop::collection::vec(deed, 1..60)
}

/// Does a step on a table; what of the answer may depend on nothing but what was done before.
pub(super) fn act(bench: &mut Bench, table: TableId, deed: &Deed) -> String {
    let commit = |bench: &mut Bench, fill: &dyn Fn(&mut CommitSet)| {
        let mut set = CommitSet::new();
        fill(&mut set);
        let done = bench.commit(set, Level::Committed);
        format!("{:?}", done.map(|done| done.versions.as_slice().len()).map_err(|error| error.code()))
    };
    let key = |number: &u64| crate::index::order_preserving(*number);
    let none = PutOptions::default();
    match deed {
        Deed::Put(of, bytes) => {
            commit(bench, &|set| set.upsert(table, &key(of), &vec![7; usize::from(*bytes)], none).unwrap())
        }
        Deed::Insert(of) => commit(bench, &|set| set.insert(table, &key(of), b"inserted", none).unwrap()),
        Deed::Append(of) => commit(bench, &|set| set.append(table, &key(of), b" more", none, Expect::Any).unwrap()),
        Deed::Delete(of) => commit(bench, &|set| set.delete(table, &key(of)).unwrap()),
        Deed::Get(of) => format!("{:?}", bench.get(table, &key(of)).map(|pair| pair.value)),
        Deed::Walk(batch) => {
            let mut all = bench.all(table, *batch);
            all.sort_unstable();
            format!("{all:?}")
        }
        Deed::Reopen => String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Nobody can tell from any answer who hashed the keys, whatever the numbers are, with narrow fingerprints too.
    #[test]
    fn no_answer_tells_who_hashed_the_keys(deeds in deeds(), bits in prop_oneof![Just(64_u8), Just(1)]) {
        let mut bench = Bench::new(Config { fingerprint_bits: bits, ..tiny() });
        let by_client = create(&mut bench, "client", spec(64)).unwrap();
        let by_store = create(&mut bench, "store", TableSpec { kind: TableKind::Hash, ..spec(64) }).unwrap();
        for deed in deeds.iter().chain([&Deed::Walk(3), &Deed::Reopen, &Deed::Walk(100)]) {
            if matches!(deed, Deed::Reopen) {
                bench.force();
                bench.reopen();
            }
            prop_assert_eq!(act(&mut bench, by_client, deed), act(&mut bench, by_store, deed), "{:?}", deed);
        }
    }
}

/// A sealed segment's summary keeps the numbers themselves, shorter than a hash, and recovery finds all pairs by them.
#[test]
fn summaries_keep_the_numbers() {
    let mut bench = Bench::new(tiny());
    let table = create(&mut bench, "objects", spec(32)).unwrap();
    for n in 0..400_u32 {
        bench.put(table, &key32(n), &[1; 200]);
        bench.force();
    }
    let report = bench.reopen();
    assert!(report.summaries_used > 2, "{} summaries", report.summaries_used);
    assert_eq!((report.pairs, bench.all(table, 50).len()), (400, 400));
    for n in 0..400_u32 {
        assert_eq!(bench.get(table, &key32(n)).unwrap().value, [1; 200]);
    }
    let next = |from| Op::Next { table, from, until: None, direction: Direction::Next, pairs_max: 1, bytes_max: 100 };
    for wrong in [&b""[..], b"abc", b"12345678"] {
        for from in [Cursor::At(wrong.to_vec()), Cursor::Past(wrong.to_vec())] {
            assert_eq!(bench.call(next(from)).unwrap_err().code(), 208, "a position that is no key");
        }
        assert_eq!(bench.get(table, wrong), None);
    }
}
