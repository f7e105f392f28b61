use super::*;
use crate::schema::{Field, FieldType, TableHome, TableKind, TableSpec};
use crate::seam::{Answer, Cursor, Direction, Domain, Driven, Level, Op, OpId, Pair, Persistence, Tick};
use crate::{Error, ErrorKind, Horizon};
use failing::{BAD, Failing};
use segments::memory::MemoryDevice;
use segments::{Completion, Device, DeviceError, Frames, PageNo, Request, TableId, Tag};
use std::collections::BTreeMap;
use txn::{CommitSet, Expect, PutOptions};

mod appends;
mod bounds;
mod client_hash;
mod clients;
mod compact;
mod damage;
mod doubt;
mod ends;
mod failing;
mod failures;
mod lives;
mod many;
mod ranges;
mod readers;
mod reclaim;
mod revert;
mod searched;
mod slots;
mod staged;
mod turns;
mod verify;

/// The pairs of a table.
type State = Vec<(Vec<u8>, Vec<u8>)>;

/// An engine on a device that a test can take away and open again.
struct Bench<D = MemoryDevice> {
    device: D,
    engine: Engine,
    config: Config,
    now: Tick,
    next: u64,
}

impl Bench {
    fn new(config: Config) -> Self {
        let mut device = MemoryDevice::new(0);
        let entropy = Entropy { domain: DomainId(7), salt: 3, hash_key: [9; 16] };
        format(&mut device, &config, entropy).unwrap();
        let (engine, _) = open(&mut device, &config).unwrap();
        Self { device, engine, config, now: Tick::default(), next: 0 }
    }

    fn reopen(&mut self) -> Report {
        let (engine, report) = open(&mut self.device, &self.config).unwrap();
        self.engine = engine;
        report
    }
}

impl<D: Device> Bench<D> {
    fn call(&mut self, op: Op) -> Result<Answer, Error> {
        self.next += 1;
        let id = OpId(self.next);
        self.engine.submit(id, op, self.now);
        let mut answers = Vec::new();
        for _ in 0..10_000 {
            self.engine.take_answers(&mut answers);
            if let Some(at) = answers.iter().position(|(answered, _)| *answered == id) {
                return answers.swap_remove(at).1;
            }
            self.run();
        }
        panic!("operation {id:?} was never answered");
    }

    fn run(&mut self) {
        self.run_seeing(&mut |_| {});
    }

    fn run_seeing(&mut self, see: &mut dyn FnMut(&Request)) {
        self.now.nanos += 100_000;
        self.engine.turn(self.now);
        let mut requests = Vec::new();
        self.engine.take_requests(&mut requests);
        for (tag, request) in requests {
            see(&request);
            self.device.submit(tag, request);
        }
        let mut done = Vec::new();
        self.device.poll(&mut done);
        for completion in done {
            self.engine.complete(completion, self.now);
        }
    }

    fn create(&mut self, name: &str, kind: TableKind, home: TableHome) -> TableId {
        let spec = TableSpec { type_name: name.to_owned(), ..TableSpec::plain(kind, home) };
        let Answer::Table(info) = self.call(Op::CreateTable { name: name.to_owned(), spec }).unwrap() else {
            panic!("another answer")
        };
        info.id
    }

    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> crate::Committed {
        let mut set = CommitSet::new();
        set.upsert(table, key, value, PutOptions::default()).unwrap();
        self.commit(set, Level::Committed).unwrap()
    }

    fn commit(&mut self, set: CommitSet, level: Level) -> Result<crate::Committed, Error> {
        let Answer::Committed(committed) = self.call(Op::Commit { set, level })? else { panic!("another answer") };
        Ok(committed)
    }

    fn get(&mut self, table: TableId, key: &[u8]) -> Option<Pair> {
        let Answer::Pair(pair) = self.call(Op::Lookup { table, key: key.to_vec() }).unwrap() else {
            panic!("another answer")
        };
        pair
    }

    fn all(&mut self, table: TableId, batch: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.try_all(table, batch).unwrap()
    }

    fn try_all(&mut self, table: TableId, batch: u32) -> Result<State, Error> {
        let (mut from, mut all) = (Cursor::Start, Vec::new());
        loop {
            let op =
                Op::Next { table, from, until: None, direction: Direction::Next, pairs_max: batch, bytes_max: 1 << 20 };
            let Answer::Pairs { pairs, more } = self.call(op)? else { panic!() };
            from = pairs.last().map_or(Cursor::Start, |pair| Cursor::Past(pair.key.clone()));
            all.extend(pairs.into_iter().map(|pair| (pair.key, pair.value)));
            if !more {
                return Ok(all);
            }
        }
    }

    fn force(&mut self) -> Horizon {
        let Answer::Persistent(horizon) = self.call(Op::Force).unwrap() else { panic!("another answer") };
        horizon
    }
}

fn tiny() -> Config {
    Config { segment_pages: 16, tail_pages: 8, zero_pages: 4, cache_bytes: 4096, ..Config::default() }
}

#[test]
fn what_was_forced_is_there_after_a_reopen() {
    for fingerprint_bits in [64, 1] {
        for kind in [TableKind::Hash, TableKind::Ordered] {
            let mut bench = Bench::new(Config { fingerprint_bits, ..tiny() });
            let table = bench.create("t", kind, TableHome::Persistent);
            let mut model = BTreeMap::new();
            for n in 0u32..400 {
                let (key, value) =
                    ((n % 150).to_le_bytes().to_vec(), vec![n.to_le_bytes()[0]; (n as usize * 37) % 9000]);
                bench.put(table, &key, &value);
                model.insert(key, value);
                if n % 5 == 0 {
                    let key = (n % 70).to_le_bytes().to_vec();
                    let mut set = CommitSet::new();
                    set.remove(table, &key).unwrap();
                    bench.commit(set, Level::Committed).unwrap();
                    model.remove(&key);
                }
            }
            for _ in 0..3 {
                bench.force();
                let mut all = bench.all(table, 7);
                all.sort();
                assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
                for (key, value) in &model {
                    assert_eq!(bench.get(table, key).unwrap().value, *value);
                }
                assert!(bench.get(table, b"absent").is_none());
                let report = bench.reopen();
                assert_eq!(report.pairs, model.len() as u64, "{report:?}");
                bench.put(table, b"after", b"reopen");
                model.insert(b"after".to_vec(), b"reopen".to_vec());
            }
        }
    }
}

#[test]
fn compares_hold_or_nothing_is_applied() {
    let mut bench = Bench::new(tiny());
    let hash = bench.create("hash", TableKind::Hash, TableHome::Persistent);
    let volatile = bench.create("volatile", TableKind::Ordered, TableHome::Volatile);
    let first = bench.put(hash, b"a", b"1");
    let version = first.versions.as_slice()[0];
    let mut set = CommitSet::new();
    set.compare(hash, b"a", Expect::At(version)).unwrap();
    set.update(hash, b"a", b"2", PutOptions::default()).unwrap();
    set.insert(volatile, b"x", b"y", PutOptions::default()).unwrap();
    bench.commit(set.clone(), Level::Persistent).unwrap();
    let error = bench.commit(set, Level::Persistent).unwrap_err();
    let Error::CompareFailed { failures } = error else { panic!("{error:?}") };
    assert_eq!(failures.len(), 2);
    assert_eq!(bench.get(hash, b"a").unwrap().value, b"2");
    bench.reopen();
    assert_eq!(bench.get(hash, b"a").unwrap().value, b"2");
    assert!(bench.get(volatile, b"x").is_none(), "a volatile table is empty after an open");
    let committed = bench.put(volatile, b"x", b"z");
    assert_eq!(committed.persistence, Persistence::Volatile);
}

/// Overwrites a page with what nobody wrote.
fn damage(device: &mut MemoryDevice, page: u64) {
    let mut frames = Frames::zeroed(1);
    frames.bytes_mut().fill(0xa5);
    device.submit(Tag(0), Request::Write { at: PageNo(page), frames });
    device.wait(&mut Vec::new());
}

/// A setting that comes from a file or a command line is answered, not asserted.
#[test]
fn a_fingerprint_of_no_bits_or_too_many_is_refused() {
    let mut bench = Bench::new(tiny());
    let entropy = Entropy { domain: DomainId(7), salt: 3, hash_key: [9; 16] };
    for fingerprint_bits in [0, 65, 255] {
        let config = Config { fingerprint_bits, ..tiny() };
        let mut blank = MemoryDevice::new(0);
        let errors = [
            format(&mut blank, &config, entropy).unwrap_err(),
            open(&mut bench.device, &config).unwrap_err(),
            crate::volatile::open(&config, [1; 16]).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.code() == 301), "{errors:?}");
        assert_eq!(blank.pages(), 0, "nothing was written");
    }
}

/// A log that was recovered once, and served, does not shrink: if it does, the open says so instead of serving what is left.
#[test]
fn damage_in_the_log_of_an_earlier_incarnation_is_no_end() {
    for page in [SUPERBLOCK_PAGES, SUPERBLOCK_PAGES + 1, SUPERBLOCK_PAGES + 3] {
        let mut bench = Bench::new(tiny());
        let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
        for n in 0u8..6 {
            bench.put(table, &[n], &[n; 700]);
            bench.force();
        }
        bench.reopen();
        assert_eq!(bench.get(table, &[5]).unwrap().value, [5; 700]);
        damage(&mut bench.device, page);
        let error = open(&mut bench.device, &bench.config).unwrap_err();
        assert!(matches!(error, Error::CorruptStore { .. }), "page {page}: {error}");
    }
}

/// Four copies are there so that the store opens when one cannot be read.
#[test]
fn a_copy_of_the_superblock_on_bad_sectors_is_what_the_others_are_for() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    bench.put(table, b"a", b"1");
    bench.force();
    let config = bench.config.clone();
    let copies = |bad: std::ops::Range<u64>| bad.start * SUPERBLOCK_COPY_PAGES..bad.end * SUPERBLOCK_COPY_PAGES;
    let mut two = Failing::with_bad(bench.device, copies(1..3));
    let (engine, _) = open(&mut two, &config).unwrap();
    bench = Bench { device: two.device, engine, config, now: Tick::default(), next: 0 };
    assert_eq!(bench.get(table, b"a").unwrap().value, b"1");

    // What cannot be read may be a store: it is never taken for a format that was cut short.
    let mut device = Failing::with_bad(MemoryDevice::new(SUPERBLOCK_PAGES), copies(0..4));
    assert!(!is_blank(&mut device).unwrap());
    let error = open(&mut device, &bench.config).unwrap_err();
    assert!(matches!(error, Error::DeviceFailed { offset: 0, error: BAD, .. }), "{error}");
}

/// Recovery writes the superblock, which is just what such a feature forbids.
#[test]
fn a_store_that_may_only_be_read_is_not_recovered() {
    let mut bench = Bench::new(tiny());
    let mut copies = Blocking::new(&mut bench.device);
    let read = read_copies(&mut copies).unwrap();
    let mut superblock = read.choose().unwrap().superblock;
    superblock.features.read_only_compatible = 4;
    write_superblock(&mut copies, &superblock).unwrap();
    assert_eq!(open(&mut bench.device, &bench.config).unwrap_err(), Error::UnknownFeatures { mask: 4 });
}

/// Whoever is told that nothing had to be changed and that this is persistent must not find it changed after a crash.
#[test]
fn what_a_persistent_compare_saw_survives() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let put = bench.put(table, b"a", b"1");
    assert!(bench.engine.horizon().persistent < put.epoch, "the put is only committed");
    let mut compare = CommitSet::new();
    compare.compare(table, b"a", Expect::Present).unwrap();
    let seen = bench.commit(compare.clone(), Level::Committed).unwrap();
    assert_eq!((seen.epoch, seen.persistence), (put.epoch, Persistence::Pending));
    let seen = bench.commit(compare.clone(), Level::Persistent).unwrap();
    assert_eq!(seen.persistence, Persistence::Persistent);
    assert!(bench.engine.horizon().persistent >= put.epoch);
    assert_eq!(bench.commit(compare, Level::Committed).unwrap().persistence, Persistence::Persistent);
}

fn spec_of(fields: &[&str]) -> TableSpec {
    let field = |name: &&str| Field { name: (*name).to_owned(), field_type: FieldType::Bytes };
    let record = fields.iter().map(field).collect();
    let (kind, home) = (TableKind::Hash, TableHome::Persistent);
    TableSpec { type_name: "t".to_owned(), record, ..TableSpec::plain(kind, home) }
}

/// Changes of the catalog that wait for room together: each is made from what the one before has left.
#[test]
fn a_change_of_the_catalog_undoes_none_that_came_before_it() {
    let open = |name: &str, fields: &[&str]| Op::OpenTable { name: name.to_owned(), spec: Some(spec_of(fields)) };
    let rename = Op::RenameTable { from: "t".to_owned(), to: "u".to_owned() };
    for (ops, name, fails) in [
        ([open("t", &["a", "b"]), open("t", &["a", "c"])], "t", true),
        ([open("t", &["a", "b"]), open("t", &["a", "b"])], "t", false),
        ([open("t", &["a", "b"]), rename], "u", false),
    ] {
        let mut bench = Bench::new(tiny());
        bench.call(Op::CreateTable { name: "t".to_owned(), spec: spec_of(&["a"]) }).unwrap();
        bench.reopen();
        // A log that has just begun has no room yet, so neither is applied at once.
        for (op, id) in ops.into_iter().zip([1001, 1002]) {
            bench.engine.submit(OpId(id), op, bench.now);
        }
        let mut answers = Vec::new();
        while answers.len() < 2 {
            bench.run();
            bench.engine.take_answers(&mut answers);
        }
        answers.sort_by_key(|(id, _)| *id);
        assert!(answers[0].1.is_ok(), "{answers:?}");
        assert_eq!(matches!(answers[1].1, Err(Error::Incompatible { .. })), fails, "{answers:?}");
        for reopened in [false, true] {
            if reopened {
                bench.reopen();
            }
            let answer = bench.call(Op::OpenTable { name: name.to_owned(), spec: None }).unwrap();
            let Answer::Table(info) = answer else { panic!("{answer:?}") };
            assert_eq!(info.spec.record, spec_of(&["a", "b"]).record);
        }
    }
}

/// The catalog reads back what it is given, or refuses it.
#[test]
fn a_spec_with_too_many_fields_is_refused() {
    let mut bench = Bench::new(tiny());
    let names: Vec<String> = (0..1025).map(|n| format!("f{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let create = |fields: &[&str]| Op::CreateTable { name: "t".to_owned(), spec: spec_of(fields) };
    assert!(matches!(bench.call(create(&names)), Err(Error::Limit { value: 1025, limit: 1024, .. })));
    let mut many_keys = spec_of(&[]);
    many_keys.key = spec_of(&names[..33]).record;
    let create_keys = Op::CreateTable { name: "t".to_owned(), spec: many_keys };
    assert!(matches!(bench.call(create_keys), Err(Error::Limit { value: 33, limit: 32, .. })));
    bench.call(create(&names[..1024])).unwrap();
    let more = Op::OpenTable { name: "t".to_owned(), spec: Some(spec_of(&names)) };
    assert!(matches!(bench.call(more), Err(Error::Limit { .. })));
}

/// What a batch of a hash table holds in memory is what it may answer, not all that its pairs together have.
#[test]
fn an_iteration_of_large_values_reads_few_at_a_time() {
    let mut bench = Bench::new(Config { segment_pages: 1024, tail_pages: 8, cache_bytes: 0, ..Config::default() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for n in 0u8..60 {
        bench.put(table, &[n], &[n; 400_000]);
    }
    bench.force();
    bench.call(Op::DropCache).unwrap();
    let reads = |bench: &mut Bench| {
        let Answer::Status(status) = bench.call(Op::Status).unwrap() else { panic!("another answer") };
        status.device_reads
    };
    let before = reads(&mut bench);
    let op = Op::Next {
        table,
        from: Cursor::Start,
        until: None,
        direction: Direction::Next,
        pairs_max: 1000,
        bytes_max: 1_000_000,
    };
    let Answer::Pairs { pairs, more } = bench.call(op).unwrap() else { panic!("another answer") };
    assert_eq!((pairs.len(), more), (2, true));
    assert!(reads(&mut bench) - before < 50, "{} reads", reads(&mut bench) - before);
    let mut all = bench.all(table, 1000);
    all.sort();
    assert_eq!(all, (0u8..60).map(|n| (vec![n], vec![n; 400_000])).collect::<Vec<_>>());
}

/// What a table's records take is known after an open too, about where summaries stood for them.
#[test]
fn the_bytes_of_a_tables_records_outlive_an_open() {
    for (kind, pairs, exact) in [(TableKind::Hash, 20u8, true), (TableKind::Ordered, 200, false)] {
        let mut bench = Bench::new(tiny());
        let table = bench.create("t", kind, TableHome::Persistent);
        for n in (0..pairs).chain(0..10) {
            bench.put(table, &[n], &[n; 500]);
        }
        let mut set = CommitSet::new();
        set.delete(table, &[3]).unwrap();
        bench.commit(set, Level::Persistent).unwrap();
        let bytes = |bench: &mut Bench| {
            let Answer::Status(status) = bench.call(Op::Status).unwrap() else { panic!("another answer") };
            status.tables.iter().find(|status| status.info.id == table).unwrap().record_bytes
        };
        let before = bytes(&mut bench);
        let report = bench.reopen();
        assert_eq!(report.summaries_used == 0, exact, "{report:?}");
        let after = bytes(&mut bench);
        assert!(if exact { after == before } else { after >= before && after < before * 3 / 2 }, "{before} {after}");
    }
}

/// A commit that must read what it compares is applied after a force that came right behind it, and yet is covered by it.
#[test]
fn a_force_covers_every_commit_that_came_before_it() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let first = bench.put(table, b"a", b"1");
    bench.force();
    bench.call(Op::DropCache).unwrap();
    let mut set = CommitSet::new();
    set.compare(table, b"a", Expect::At(first.versions.as_slice()[0])).unwrap();
    set.upsert(table, b"a", b"2", PutOptions::default()).unwrap();
    // Without the commit of another key nothing would be open for the force to end.
    let mut other = CommitSet::new();
    other.upsert(table, b"b", b"1", PutOptions::default()).unwrap();
    bench.engine.submit(OpId(900), Op::Commit { set: other, level: Level::Committed }, bench.now);
    bench.engine.submit(OpId(901), Op::Commit { set, level: Level::Committed }, bench.now);
    bench.engine.submit(OpId(902), Op::Force, bench.now);
    bench.now.nanos += 100_000;
    bench.engine.turn(bench.now);
    let mut answers = Vec::new();
    for _ in 0..100 {
        bench.run();
        bench.engine.take_answers(&mut answers);
    }
    answers.sort_by_key(|(id, _)| *id);
    let [_, (_, Ok(Answer::Committed(committed))), (_, Ok(Answer::Persistent(horizon)))] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert!(committed.epoch <= horizon.persistent, "{committed:?} is not covered by {horizon:?}");
}
