//! One message of each verb and of each answer, with a value of its own in every field.

use crate::limits::{REPLY_FRAME_BYTES_MAX, REQUEST_FRAME_BYTES_MAX};
use crate::*;

pub(super) const VERSION_A: Version = Version { epoch: 0x0100_0000_0005, ordinal: 300 };
pub(super) const HORIZON: Horizon = Horizon { incarnation: 3, persistent: 0x0300_0000_0011 };

pub(super) fn hello() -> Hello<'static> {
    Hello {
        version_min: 1,
        version_max: 2,
        features: 0,
        in_order: false,
        client_name: "example",
        client_version: "0.1",
        known: Some(Known { server_id: *b"0123456789abcdef", incarnation: 2 }),
    }
}

pub(super) fn welcome() -> Welcome<'static> {
    Welcome {
        version: VERSION,
        features: 0,
        limits: ConnectionLimits {
            request_frame_bytes: REQUEST_FRAME_BYTES_MAX,
            reply_frame_bytes: REPLY_FRAME_BYTES_MAX,
            batch_ops: 1024,
            ops_in_flight: 1024,
            transactions: 64,
            transaction_idle_ms: 60_000,
        },
        server_version: "0.1.0",
        server_id: *b"0123456789abcdef",
        domain: "persistent",
        abortable: true,
        persistence: true,
        horizon: HORIZON,
        cut: Cut::At(0x0200_0000_0009),
    }
}

pub(super) fn spec() -> TableSpec<'static> {
    TableSpec {
        type_name: "Dirent",
        kind: TableKind::Ordered,
        home: TableHome::Persistent,
        key: List::new(vec![
            Field { name: "parent", field_type: FieldType::Unsigned(64) },
            Field { name: "name", field_type: FieldType::Bytes },
        ])
        .unwrap(),
        record: List::new(vec![
            Field { name: "ino", field_type: FieldType::Pointer { table: "inode" } },
            Field { name: "delta", field_type: FieldType::Signed(32) },
            Field { name: "hidden", field_type: FieldType::Bool },
            Field { name: "note", field_type: FieldType::Text },
            Field { name: "kind", field_type: FieldType::Other("Kind") },
        ])
        .unwrap(),
        pairs_hint: 1000,
    }
}

/// A table whose keys the client hashed.
pub(super) fn client_hash_spec() -> TableSpec<'static> {
    let key = List::new(vec![Field { name: "id", field_type: FieldType::Unsigned(64) }]).unwrap();
    let (type_name, kind, home) = ("Object", TableKind::ClientHash, TableHome::Persistent);
    TableSpec { type_name, kind, home, key, record: List::new(vec![]).unwrap(), pairs_hint: 0 }
}

pub(super) fn info() -> TableInfo<'static> {
    TableInfo { id: 7, name: "dirent", spec: spec() }
}

pub(super) fn rules() -> List<Rule<'static>, { limits::RULES_MAX }> {
    List::new(vec![
        Rule::Required { field: 0 },
        Rule::Range { field: 1, least: -5, most: 1 << 70 },
        Rule::Grown { fields: 2 },
        Rule::Default { field: 2, value: Bytes(&[1]) },
    ])
    .unwrap()
}

pub(super) fn ruled() -> Ruled<'static> {
    Ruled { info: info(), rules: rules() }
}

pub(super) fn parts() -> List<Part<'static>, { limits::PARTS_MAX }> {
    let put =
        |value, expires_ms| Change::Put { value: Value::new(value), expires_ms, compressed: expires_ms.is_some() };
    List::new(vec![
        Part { table: 7, key: Bytes(b"a"), expect: Expect::Absent, change: put(b"one", None) },
        Part { table: 7, key: Bytes(b"b"), expect: Expect::At(VERSION_A), change: put(b"", Some(1_700_000_000_000)) },
        Part { table: 8, key: Bytes(b""), expect: Expect::Present, change: Change::Delete },
        Part { table: 8, key: Bytes(&[0xff]), expect: Expect::Any, change: Change::None },
        Part { table: 9, key: Bytes(b"n"), expect: Expect::Never, change: Change::None },
    ])
    .unwrap()
}

/// A set of a range compare and the one pair that is expected in it.
pub(super) fn range_parts() -> List<Part<'static>, { limits::PARTS_MAX }> {
    let range = |key, until| Part { table: 7, key, expect: Expect::Range { until }, change: Change::None };
    List::new(vec![
        Part { table: 7, key: Bytes(b"b"), expect: Expect::At(VERSION_A), change: Change::None },
        range(Bytes(b"a"), Some(Bytes(b"c"))),
        range(Bytes(b"x"), None),
    ])
    .unwrap()
}

/// A value that travels in the tail.
pub(super) const LARGE: &[u8] = &[0x5a; limits::TAIL_VALUE_BYTES_MIN];

pub(super) fn large_part() -> List<Part<'static>, { limits::PARTS_MAX }> {
    let change = Change::Put { value: Value::new(LARGE), expires_ms: None, compressed: false };
    List::new(vec![Part { table: 7, key: Bytes(b"large"), expect: Expect::Any, change }]).unwrap()
}

/// Writes with the options that have no form of their own.
pub(super) fn written_parts() -> List<Part<'static>, { limits::PARTS_MAX }> {
    let write = |value, append, expires_ms, lease_ms, flags| Change::Write {
        value: Value::new(value),
        append,
        expires_ms,
        lease_ms,
        flags,
    };
    let (compact, both) = (write_flag::COMPACT, write_flag::KNOWN);
    List::new(vec![
        Part { table: 7, key: Bytes(b"a"), expect: Expect::Absent, change: write(b"one", false, None, None, compact) },
        Part { table: 7, key: Bytes(b"b"), expect: Expect::Any, change: write(b"more", true, Some(5), Some(9), both) },
        Part { table: 7, key: Bytes(b"c"), expect: Expect::Any, change: write(LARGE, true, None, None, compact) },
    ])
    .unwrap()
}

/// Parts whose values begin with what was written out: a put, and an append with more behind it.
pub(super) fn staged_parts() -> List<Part<'static>, { limits::PARTS_MAX }> {
    let staged = |number, value, append, flags| {
        let (bytes, value, expires_ms, lease_ms) = (1 << 20, Value::new(value), Some(5), Some(9));
        Change::Staged { number, bytes, value, append, expires_ms, lease_ms, flags }
    };
    let part = |key, expect, change| Part { table: 7, key: Bytes(key), expect, change };
    let (put, append) = (staged(0, b"", false, 0), staged(300, b"more", true, write_flag::KNOWN));
    List::new(vec![part(b"a", Expect::Absent, put), part(b"b", Expect::At(VERSION_A), append)]).unwrap()
}

/// A revertible write whose value travels in the tail, a revert and a seal.
pub(super) fn reverting_parts() -> List<Part<'static>, { limits::PARTS_MAX }> {
    let value = Value::new(LARGE);
    let put = Change::PutRevertible { value, expires_ms: Some(1_700_000_000_000), compressed: true, lease_ms: 60_000 };
    let part = |key, change| Part { table: 7, key: Bytes(key), expect: Expect::Any, change };
    let (revert, seal) = (Change::Revert { token: VERSION_A }, Change::Seal { token: VERSION_A });
    List::new(vec![part(b"a", put), part(b"b", revert), part(b"c", seal)]).unwrap()
}

fn ranges() -> List<Range, { limits::RANGES_MAX }> {
    List::new(vec![Range { from: 0, bytes: 3 }, Range { from: 1 << 40, bytes: u64::MAX }]).unwrap()
}

fn parts_read() -> Ranges<'static> {
    let parts = List::new(vec![Value::new(b"one"), Value::new(b""), Value::new(LARGE)]).unwrap();
    Ranges { version: VERSION_A, total_bytes: 1 << 20, expires_ms: None, compressed: true, parts }
}

/// Parts that append: one into the body, one into the tail.
pub(super) fn appending_parts() -> List<Part<'static>, { limits::PARTS_MAX }> {
    let more = Change::Append { value: Value::new(b"more"), expires_ms: None, compressed: false, lease_ms: None };
    let (expires_ms, lease_ms) = (Some(1_700_000_000_000), Some(60_000));
    let large = Change::Append { value: Value::new(LARGE), expires_ms, compressed: true, lease_ms };
    let part = |key, expect, change| Part { table: 7, key: Bytes(key), expect, change };
    List::new(vec![part(b"a", Expect::Any, more), part(b"b", Expect::Present, large)]).unwrap()
}

pub(super) fn options(level: Level) -> CommitOptions {
    CommitOptions { level, force: level == Level::Persistent, notify: level == Level::Committed }
}

/// Each verb, in the order of its number, with the name of its vector.
pub(super) fn ops() -> Vec<(&'static str, Op<'static>)> {
    let next = Op::Next {
        table: 7,
        from: Cursor::Past(Bytes(b"a")),
        until: Some(Bytes(b"z")),
        direction: Direction::Previous,
        pairs_max: 100,
        bytes_max: 65_536,
    };
    let (from, until) = (Cursor::At(Bytes(b"a")), Some(Bytes(b"z")));
    let direction = Direction::Next;
    let txn_next = Op::TxnNext { txn: 2, table: 7, from, until, direction, pairs_max: 100, bytes_max: 65_536 };
    let fields = List::new(vec![2, 300]).unwrap();
    let chain = Op::FollowChain { table: 7, key: Bytes(b"key"), fields, depth_max: 16, records_max: 300 };
    vec![
        ("ping", Op::Ping),
        ("lookup", Op::Lookup { table: 7, key: Bytes(b"key") }),
        ("next", next),
        ("follow", Op::Follow { table: 7, key: Bytes(b"key"), field: 2 }),
        ("commit", Op::Commit { parts: parts(), options: options(Level::Committed) }),
        ("reserve", Op::Reserve { table: 9, count: 16 }),
        ("await", Op::Await { epoch: 0x0300_0000_0012 }),
        ("force", Op::Force),
        ("create-table", Op::CreateTable { name: "dirent", spec: spec() }),
        ("open-table", Op::OpenTable { name: "dirent", spec: None }),
        ("rename-table", Op::RenameTable { from: "dirent", to: "link" }),
        ("destroy-table", Op::DestroyTable { name: "dirent" }),
        ("list-tables", Op::ListTables),
        ("status", Op::Status),
        ("drop-cache", Op::DropCache),
        ("txn-open", Op::TxnOpen),
        ("txn-add", Op::TxnAdd { txn: 0x0000_0001_0000_0002, parts: parts() }),
        ("txn-lookup", Op::TxnLookup { txn: 2, table: 7, key: Bytes(b"key") }),
        ("txn-commit", Op::TxnCommit { txn: 2, options: options(Level::Persistent) }),
        ("txn-abort", Op::TxnAbort { txn: 2 }),
        ("cancel", Op::Cancel { id: 99 }),
        ("verify", Op::Verify { table: 7, key: Bytes(b"key") }),
        ("follow-chain", chain),
        (
            "lookup-many",
            Op::LookupMany { table: 7, keys: List::new(vec![Bytes(b"key"), Bytes(b""), Bytes(b"key")]).unwrap() },
        ),
        ("read-ranges", Op::ReadRanges { table: 7, key: Bytes(b"key"), ranges: ranges() }),
        ("identify", Op::Identify { client: *b"fedcba9876543210", attempt: 300 }),
        ("commit-once", Op::CommitOnce { request: 300, parts: large_part(), options: options(Level::Committed) }),
        ("txn-commit-once", Op::TxnCommitOnce { request: 301, txn: 2, options: options(Level::Persistent) }),
        ("fates", Op::Fates { requests: List::new(vec![1, 300, u64::MAX]).unwrap() }),
        ("create-ruled", Op::CreateRuled { name: "dirent", spec: spec(), rules: rules() }),
        ("open-ruled", Op::OpenRuled { name: "dirent", spec: spec(), rules: rules() }),
        ("txn-open-strict", Op::TxnOpenStrict),
        ("txn-next", txn_next),
        (
            "txn-stage",
            Op::TxnStage {
                txn: 2,
                table: 7,
                key: Bytes(b"key"),
                onto: Some(300),
                value: Value::new(LARGE),
                forget: List::new(vec![1, 299]).unwrap(),
            },
        ),
        ("txn-staged", Op::TxnStaged { txn: 2, number: 300, table: 7, key: Bytes(b"key") }),
        ("reclaim", Op::Reclaim),
        ("segments", Op::Segments { from: 300 }),
    ]
}

pub(super) fn pair(key: &'static [u8], value: &'static [u8]) -> Pair<'static> {
    Pair { key: Bytes(key), value: Value::new(value), version: VERSION_A, expires_ms: Some(5), compressed: true }
}

fn status() -> Status<'static> {
    let table = TableStatus { info: info(), pairs: 1, index_bytes: 16, record_bytes: 128 };
    Status {
        horizon: HORIZON,
        epoch_open: 0x0300_0000_0012,
        poisoned: Some("a flush failed"),
        tables: List::new(vec![table]).unwrap(),
        counters: List::new(vec![Counter { id: answer::counter::COMMITS, value: 12 }]).unwrap(),
    }
}

fn of_space() -> [(&'static str, Answer<'static>); 2] {
    [("reclaimed", reclaimed()), ("segments", segments())]
}

fn reclaimed() -> Answer<'static> {
    let counter = |id, value| Counter { id, value };
    let done = vec![counter(answer::reclaimed::SEGMENTS_FREED, 3), counter(answer::reclaimed::BYTES_MOVED, 300)];
    Answer::Reclaimed(List::new(done).unwrap())
}

fn segments() -> Answer<'static> {
    let log = answer::segment_use::LOG;
    let run = answer::SegmentRun { segment: 300, segments: 2, used: log, pages: 32_767, records: 70_000, live: 300 };
    let free = answer::segment_use::FREE;
    let next = answer::SegmentRun { segment: 302, segments: 1, used: free, pages: 0, records: 0, live: 0 };
    let runs = List::new(vec![run, next]).unwrap();
    Answer::Segments { device_pages: 5_000_000, segment_pages: 16_384, runs, more: true }
}

/// Each answer, in the order of its number; those with variants inside, once for each.
pub(super) fn outcomes() -> Vec<(&'static str, Outcome<'static>)> {
    let from = pair(b"a", b"1");
    let to = pair(b"b", b"2");
    let committed = |persistence| Answer::Committed {
        epoch: 0x0300_0000_0012,
        versions: List::new(vec![VERSION_A, Version { epoch: VERSION_A.epoch, ordinal: 301 }]).unwrap(),
        persistence,
    };
    let fault = Fault {
        code: 303,
        kind: codes::fault_kind::CONFLICT,
        applied: false,
        message: "a compare did not hold",
        failures: List::new(vec![Failure { part: 0, found: Some(VERSION_A) }, Failure { part: 1, found: None }])
            .unwrap(),
    };
    let stored = Stored { pair: pair(b"key", b"value"), value_crc: 0x0102_0304, from_device: true };
    let chain = |end| {
        let links = vec![Link { table: 7, pair: from }, Link { table: 8, pair: to }];
        Answer::Chain { links: List::new(links).unwrap(), end }
    };
    let answers = vec![
        ("done", Answer::Done),
        ("pair", Answer::Pair(Some(pair(b"key", b"value")))),
        ("pair-absent", Answer::Pair(None)),
        ("pairs", Answer::Pairs { pairs: List::new(vec![from, to]).unwrap(), more: true }),
        ("followed-found", Answer::Followed(Followed::Found { from, to })),
        ("followed-absent", Answer::Followed(Followed::Absent)),
        ("followed-null", Answer::Followed(Followed::Null { from })),
        ("followed-dangling", Answer::Followed(Followed::Dangling { from, target: Bytes(b"gone") })),
        ("committed-pending", committed(Persistence::Pending)),
        ("committed-persistent", committed(Persistence::Persistent)),
        ("committed-volatile", committed(Persistence::Volatile)),
        ("reserved", Answer::Reserved(List::new(vec![*b"\0\0\0\x01\0\0\0\x02"]).unwrap())),
        ("persistent", Answer::Persistent(HORIZON)),
        ("table", Answer::Table(info())),
        ("tables", Answer::Tables(List::new(vec![info()]).unwrap())),
        ("status", Answer::Status(status())),
        ("opened", Answer::Opened { txn: 0x0000_0001_0000_0002 }),
        ("cancelled", Answer::Cancelled(true)),
    ];
    let mut outcomes: Vec<_> = answers.into_iter().map(|(name, answer)| (name, Outcome::Ok(answer))).collect();
    outcomes.push(("fault", Outcome::Err(fault)));
    let identified = Answer::Identified { accepted: true, attempt: 300, last: 299, window: 256, idle_ms: 86_400_000 };
    let (epoch, persistence) = (0x0300_0000_0012, Persistence::Pending);
    let applied = RequestFate::Applied { epoch, ordinal_first: 300, versions: 2, persistence };
    let fates = vec![RequestFate::NotApplied, applied, RequestFate::Forgotten];
    let later = [
        ("stored", Answer::Stored(Some(stored))),
        ("stored-absent", Answer::Stored(None)),
        ("chain-absent", chain(ChainEnd::Absent)),
        ("chain-null", chain(ChainEnd::Null)),
        ("chain-dangling", chain(ChainEnd::Dangling { key: Bytes(b"gone") })),
        ("chain-expired", chain(ChainEnd::Expired { key: Bytes(b"old") })),
        ("chain-cycle", chain(ChainEnd::Cycle { link: 1 })),
        ("chain-wrong-type", chain(ChainEnd::WrongType { field: 2 })),
        ("chain-depth", chain(ChainEnd::Depth)),
        ("chain-count", chain(ChainEnd::Count)),
        ("many", Answer::Many(List::new(vec![Some(from), None, Some(pair(b"large", LARGE))]).unwrap())),
        ("ranges-absent", Answer::Ranges(None)),
        ("ranges", Answer::Ranges(Some(parts_read()))),
        ("identified", identified),
        ("fates", Answer::Fates(List::new(fates).unwrap())),
        ("ruled", Answer::Ruled(ruled())),
        ("ruled-tables", Answer::RuledTables(List::new(vec![ruled()]).unwrap())),
        ("staged", Answer::Staged(Some(300))),
        ("staged-kept", Answer::Staged(None)),
        ("value", Answer::Value(Value::new(b"value"))),
    ];
    outcomes.extend(later.into_iter().chain(of_space()).map(|(name, answer)| (name, Outcome::Ok(answer))));
    outcomes
}

/// Every frame that has a golden vector: its name and its bytes.
pub(super) fn frames() -> Vec<(String, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut add = |name: String, write: &dyn Fn(&mut FrameWriter) -> Result<(), WriteError>| {
        let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
        write(&mut writer).expect("samples are small");
        frames.push((name, writer.take()));
    };
    add("hello".into(), &|writer| writer.hello(1, &hello()));
    add("welcome".into(), &|writer| writer.welcome(1, &welcome()));
    for (at, (name, op)) in ops().into_iter().enumerate() {
        add(format!("request-{name}"), &|writer| writer.request(0x10 + at as u64, 250, op.clone()));
    }
    let large = Op::Commit { parts: large_part(), options: options(Level::Committed) };
    let reverts = Op::Commit { parts: reverting_parts(), options: options(Level::Committed) };
    add("request-commit-revertible".into(), &|writer| writer.request(0x82, 0, reverts.clone()));
    let range = Op::Commit { parts: range_parts(), options: options(Level::Committed) };
    add("request-commit-range".into(), &|writer| writer.request(0x83, 0, range.clone()));
    let staged = Op::TxnAdd { txn: 2, parts: staged_parts() };
    add("request-txn-add-staged".into(), &|writer| writer.request(0x88, 0, staged.clone()));
    add("request-commit-tail".into(), &|writer| writer.request(0x80, 0, large.clone()));
    let appending = Op::Commit { parts: appending_parts(), options: options(Level::Committed) };
    add("request-commit-append".into(), &|writer| writer.request(0x80, 0, appending.clone()));
    let of_client = Op::CreateTable { name: "object", spec: client_hash_spec() };
    add("request-create-table-client-hash".into(), &|writer| writer.request(0x84, 0, of_client.clone()));
    let compact = Op::CreateRuled {
        name: "object",
        spec: client_hash_spec(),
        rules: List::new(vec![Rule::CompactSlots]).unwrap(),
    };
    add("request-create-compact-slots".into(), &|writer| writer.request(0x86, 0, compact.clone()));
    let writes = Op::Commit { parts: written_parts(), options: options(Level::Committed) };
    add("request-commit-write".into(), &|writer| writer.request(0x85, 0, writes.clone()));
    let batch = [Element::op(Op::Ping), Element::op(large.clone()), Element::op(ops().swap_remove(1).1)];
    add("batch".into(), &|writer| writer.batch(0x81, 0, &batch));
    for (at, (name, outcome)) in outcomes().into_iter().enumerate() {
        add(format!("reply-{name}"), &|writer| writer.reply(0x10 + at as u64, HORIZON, outcome.clone()));
    }
    let tail = Outcome::Ok(Answer::Pair(Some(pair(b"large", LARGE))));
    add("reply-pair-tail".into(), &|writer| writer.reply(0x80, HORIZON, tail.clone()));
    let replies = [Element::outcome(Outcome::Ok(Answer::Done)), Element::outcome(tail.clone())];
    add("batch-reply".into(), &|writer| writer.batch_reply(0x81, HORIZON, &replies));
    add("push-persistent".into(), &|writer| writer.push(Push::Persistent(HORIZON)));
    frames
}
