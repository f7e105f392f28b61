//! The client's half of the translation between the seam's types and the protocol's: operations out, answers in.
//!
//! Contract: one to one. What goes out is borrowed from the operation, what comes in is copied out of the frame; a list that the
//! protocol cannot carry is refused, never shortened.

use crate::error::{Error, ErrorKind, Failure};
use crate::ranges::Ranges;
use crate::schema::{Field, FieldType, Rule, TableHome, TableKind, TableSpec};
use crate::seam::{
    Answer, Chain, ChainEnd, Committed, Connections, Cursor, Direction, Followed, Horizon, Identified, Level, Op, Pair,
    Persistence, RequestFate, Segments, StageValue, Status, Stored, TableInfo, TableStatus, Versions,
};
use segments::{EpochId, Incarnation, Ordinal, TableId, Version};
use txn::{Change, CommitSet, Expect, PutOptions, RangeCompare, Staged};
use wire::codes::fault_kind;
use wire::limits::{KEYS_MAX, RULES_MAX};
use wire::{Bytes, List, Value};

mod space;

/// An operation as it travels; `None` when it has more parts or fields than the protocol carries.
pub(crate) fn op_out(op: &Op) -> Option<wire::Op<'_>> {
    Some(match op {
        Op::Lookup { table, key } => wire::Op::Lookup { table: table.0, key: Bytes(key) },
        Op::Next { table, from, until, direction, pairs_max, bytes_max } => wire::Op::Next {
            table: table.0,
            from: match from {
                Cursor::Start => wire::Cursor::Start,
                Cursor::At(key) => wire::Cursor::At(Bytes(key)),
                Cursor::Past(key) => wire::Cursor::Past(Bytes(key)),
            },
            until: until.as_deref().map(Bytes),
            direction: match direction {
                Direction::Next => wire::Direction::Next,
                Direction::Previous => wire::Direction::Previous,
            },
            pairs_max: *pairs_max,
            bytes_max: *bytes_max,
        },
        Op::LookupMany { table, keys } => wire::Op::LookupMany { table: table.0, keys: keys_out(keys)? },
        Op::ReadRanges { table, key, ranges } => {
            let ranges = ranges.iter().map(|range| wire::Range { from: range.from, bytes: range.bytes }).collect();
            wire::Op::ReadRanges { table: table.0, key: Bytes(key), ranges: List::new(ranges)? }
        }
        Op::Follow { table, key, field } => wire::Op::Follow { table: table.0, key: Bytes(key), field: *field },
        Op::Verify { table, key } => wire::Op::Verify { table: table.0, key: Bytes(key) },
        Op::FollowChain { table, key, fields, depth_max, records_max } => wire::Op::FollowChain {
            table: table.0,
            key: Bytes(key),
            fields: List::new(fields.clone())?,
            depth_max: *depth_max,
            records_max: *records_max,
        },
        Op::Commit { set, level } => {
            wire::Op::Commit { parts: List::new(parts_out(set).collect())?, options: options_out(*level) }
        }
        Op::CommitOnce { set, level, once } => wire::Op::CommitOnce {
            request: once.request,
            parts: List::new(parts_out(set).collect())?,
            options: options_out(*level),
        },
        Op::Identify { client, attempt } => wire::Op::Identify { client: client.0, attempt: *attempt },
        Op::Fates { requests, .. } => wire::Op::Fates { requests: List::new(requests.clone())? },
        Op::OpenStage => wire::Op::TxnOpen,
        Op::Stage(what) => stage_out(what)?,
        Op::ReadStaged { stage, number, table, key } => {
            wire::Op::TxnStaged { txn: stage.number(), number: *number, table: table.0, key: Bytes(key) }
        }
        Op::Reserve { table, count } => wire::Op::Reserve { table: table.0, count: *count },
        Op::Await { epoch } | Op::AwaitCommit { version: Version { epoch, .. } } => wire::Op::Await { epoch: epoch.0 },
        Op::Force => wire::Op::Force,
        Op::CreateTable { name, spec } if spec.rules.is_empty() => {
            wire::Op::CreateTable { name, spec: spec_out(spec)? }
        }
        Op::CreateTable { name, spec } => {
            wire::Op::CreateRuled { name, spec: spec_out(spec)?, rules: rules_out(&spec.rules, wire::FEATURES)? }
        }
        Op::OpenTable { name, spec: Some(spec) } if !spec.rules.is_empty() => {
            wire::Op::OpenRuled { name, spec: spec_out(spec)?, rules: rules_out(&spec.rules, wire::FEATURES)? }
        }
        Op::OpenTable { name, spec: Some(spec) } => wire::Op::OpenTable { name, spec: Some(spec_out(spec)?) },
        Op::OpenTable { name, spec: None } => wire::Op::OpenTable { name, spec: None },
        Op::RenameTable { from, to } => wire::Op::RenameTable { from, to },
        Op::DestroyTable { name } => wire::Op::DestroyTable { name },
        Op::ListTables => wire::Op::ListTables,
        Op::Status => wire::Op::Status,
        Op::DropCache => wire::Op::DropCache,
        Op::Reclaim => wire::Op::Reclaim,
        Op::Segments { from } => wire::Op::Segments { from: from.0 },
    })
}

fn keys_out(keys: &[Vec<u8>]) -> Option<List<Bytes<'_>, KEYS_MAX>> {
    List::new(keys.iter().map(|key| Bytes(key)).collect())
}

/// A value that is written out: its stage is a transaction of the server's.
fn stage_out(what: &StageValue) -> Option<wire::Op<'_>> {
    let (txn, table, key, onto) = (what.stage.number(), what.table.0, Bytes(&what.key), what.onto);
    let (value, forget) = (Value::new(&what.value), List::new(what.forget.clone())?);
    Some(wire::Op::TxnStage { txn, table, key, onto, value, forget })
}

/// An operation as the server knows it: to one that knows no rules of tables these are the affair of typed programs alone.
pub(crate) fn as_known(mut op: Op, features: u64) -> Op {
    if let Op::CreateTable { spec, .. } | Op::OpenTable { spec: Some(spec), .. } = &mut op {
        spec.rules.retain(|rule| is_told(rule, features));
    }
    op
}

/// Whether a rule is told to somebody who knows these features of the protocol.
#[must_use]
pub fn is_told(rule: &Rule, features: u64) -> bool {
    let slots = *rule != Rule::CompactSlots || features & wire::FEATURE_SLOTS != 0;
    slots && features & wire::FEATURE_RULES != 0
}

/// Why an operation has no form of its own to travel in: a list that is too long, how long it is and how long it may be.
pub(crate) fn too_long(op: &Op) -> Error {
    let most = |spec: &TableSpec| spec.key.len().max(spec.record.len());
    let rules = |spec: &TableSpec| spec.rules.len() > wire::limits::RULES_MAX;
    let (what, value, limit) = match op {
        Op::LookupMany { keys, .. } => ("the number of keys", keys.len(), wire::limits::KEYS_MAX),
        Op::ReadRanges { ranges, .. } => ("the number of ranges", ranges.len(), wire::limits::RANGES_MAX),
        Op::FollowChain { fields, .. } => {
            ("the number of fields of a chain", fields.len(), wire::limits::CHAIN_FIELDS_MAX)
        }
        Op::CreateTable { spec, .. } | Op::OpenTable { spec: Some(spec), .. } if rules(spec) => {
            ("the number of rules of a table", spec.rules.len(), wire::limits::RULES_MAX)
        }
        Op::CreateTable { spec, .. } => (FIELDS, most(spec), wire::limits::FIELDS_MAX),
        Op::OpenTable { spec, .. } => (FIELDS, spec.as_ref().map_or(0, most), wire::limits::FIELDS_MAX),
        Op::Stage(what) => ("the number of values to forget", what.forget.len(), wire::limits::FORGOTTEN_MAX),
        Op::Fates { requests, .. } => ("the number of requests to ask for", requests.len(), wire::limits::FATES_MAX),
        Op::Commit { set, .. } | Op::CommitOnce { set, .. } => {
            ("the number of parts", parts_out(set).count(), wire::limits::PARTS_MAX)
        }
        Op::Lookup { .. }
        | Op::Next { .. }
        | Op::Follow { .. }
        | Op::Verify { .. }
        | Op::Identify { .. }
        | Op::OpenStage
        | Op::ReadStaged { .. }
        | Op::Reserve { .. }
        | Op::Await { .. }
        | Op::AwaitCommit { .. }
        | Op::Force
        | Op::RenameTable { .. }
        | Op::DestroyTable { .. }
        | Op::ListTables
        | Op::Status
        | Op::DropCache
        | Op::Reclaim
        | Op::Segments { .. } => unreachable!("it has no list: {op:?}"),
    };
    Error::Limit { what, value: value as u64, limit: limit as u64 }
}

/// A list of a table's fields.
const FIELDS: &str = "the number of fields of a key or record";

/// How a set is committed.
pub(crate) fn options_out(level: Level) -> wire::CommitOptions {
    let level = level_out(level);
    // The notice is what moves the horizon of a client that asks for nothing else.
    wire::CommitOptions { level, force: false, notify: level == wire::Level::Committed }
}

fn level_out(level: Level) -> wire::Level {
    match level {
        Level::Committed => wire::Level::Committed,
        Level::Persistent => wire::Level::Persistent,
    }
}

/// The parts of a set and its ranges, as they travel.
pub(crate) fn parts_out(set: &CommitSet) -> impl Iterator<Item = wire::Part<'_>> {
    set.parts().map(|part| part_out(&part)).chain(set.ranges().map(range_out))
}

fn part_out<'a>(part: &txn::Part<'a>) -> wire::Part<'a> {
    wire::Part {
        table: part.table.0,
        key: Bytes(part.key),
        expect: match part.expect {
            Expect::Any => wire::Expect::Any,
            Expect::Absent => wire::Expect::Absent,
            Expect::Present => wire::Expect::Present,
            Expect::At(version) => wire::Expect::At(version_out(version)),
            Expect::Never => wire::Expect::Never,
        },
        change: match part.change {
            Change::None => wire::Change::None,
            Change::Put { value, options } if part.staged.is_some() => staged_out(part, value, false, options),
            Change::Append { value, options } if part.staged.is_some() => staged_out(part, value, true, options),
            Change::Put { value, options } if options.compact => write_out(value, false, options),
            Change::Append { value, options } if options.compact => write_out(value, true, options),
            Change::Put {
                value,
                options: PutOptions { expires_ms, compressed, revertible_ms: Some(lease_ms), .. },
            } => wire::Change::PutRevertible { value: Value::new(value), expires_ms, compressed, lease_ms },
            Change::Revert { token } => wire::Change::Revert { token: version_out(token) },
            Change::Seal { token } => wire::Change::Seal { token: version_out(token) },
            Change::Put { value, options } => wire::Change::Put {
                value: Value::new(value),
                expires_ms: options.expires_ms,
                compressed: options.compressed,
            },
            Change::Delete => wire::Change::Delete,
            Change::Append { value, options: PutOptions { expires_ms, compressed, revertible_ms, .. } } => {
                wire::Change::Append { value: Value::new(value), expires_ms, compressed, lease_ms: revertible_ms }
            }
        },
    }
}

/// A write whose value begins with what was written out.
fn staged_out<'a>(part: &txn::Part<'a>, value: &'a [u8], append: bool, options: PutOptions) -> wire::Change<'a> {
    let Staged { number, bytes } = part.staged.expect("the caller has looked");
    let PutOptions { expires_ms, revertible_ms: lease_ms, .. } = options;
    wire::Change::Staged {
        number,
        bytes,
        value: Value::new(value),
        append,
        expires_ms,
        lease_ms,
        flags: flags_out(options),
    }
}

fn flags_out(options: PutOptions) -> u32 {
    let flag = |flag, is: bool| if is { flag } else { 0 };
    flag(wire::write_flag::COMPRESSED, options.compressed) | flag(wire::write_flag::COMPACT, options.compact)
}

/// A write with options that only the general form has.
fn write_out(value: &[u8], append: bool, options: PutOptions) -> wire::Change<'_> {
    let PutOptions { expires_ms, revertible_ms: lease_ms, .. } = options;
    wire::Change::Write { value: Value::new(value), append, expires_ms, lease_ms, flags: flags_out(options) }
}

fn version_out(version: Version) -> wire::Version {
    wire::Version { epoch: version.epoch.0, ordinal: version.ordinal.0 }
}

fn range_out(range: RangeCompare<'_>) -> wire::Part<'_> {
    let expect = wire::Expect::Range { until: range.until.map(Bytes) };
    wire::Part { table: range.table.0, key: Bytes(range.from), expect, change: wire::Change::None }
}

/// A spec as the protocol has it, its rules apart; `None` when it has more fields than the protocol carries.
#[must_use]
pub fn spec_out(spec: &TableSpec) -> Option<wire::TableSpec<'_>> {
    Some(wire::TableSpec {
        type_name: &spec.type_name,
        kind: match spec.kind {
            TableKind::Hash => wire::TableKind::Hash,
            TableKind::Ordered => wire::TableKind::Ordered,
            TableKind::Sack => wire::TableKind::Sack,
            TableKind::ClientHash => wire::TableKind::ClientHash,
        },
        home: match spec.home {
            TableHome::Persistent => wire::TableHome::Persistent,
            TableHome::Volatile => wire::TableHome::Volatile,
        },
        key: List::new(spec.key.iter().map(field_out).collect())?,
        record: List::new(spec.record.iter().map(field_out).collect())?,
        pairs_hint: spec.pairs_hint,
    })
}

/// A spec's rules as the protocol has them, for somebody who knows these features; `None` when they are more than it carries.
#[must_use]
pub fn rules_out(rules: &[Rule], features: u64) -> Option<List<wire::Rule<'_>, RULES_MAX>> {
    List::new(rules.iter().filter(|rule| is_told(rule, features)).map(rule_out).collect())
}

fn rule_out(rule: &Rule) -> wire::Rule<'_> {
    match rule {
        Rule::Required { field } => wire::Rule::Required { field: *field },
        Rule::Range { field, least, most } => wire::Rule::Range { field: *field, least: *least, most: *most },
        Rule::Default { field, value } => wire::Rule::Default { field: *field, value: Bytes(value) },
        Rule::Grown { fields } => wire::Rule::Grown { fields: *fields },
        Rule::CompactSlots => wire::Rule::CompactSlots,
    }
}

/// A spec and its rules as they came.
#[must_use]
pub fn spec_in(spec: &wire::TableSpec<'_>, rules: &[wire::Rule<'_>]) -> TableSpec {
    TableSpec {
        type_name: spec.type_name.to_owned(),
        kind: match spec.kind {
            wire::TableKind::Hash => TableKind::Hash,
            wire::TableKind::Ordered => TableKind::Ordered,
            wire::TableKind::Sack => TableKind::Sack,
            wire::TableKind::ClientHash => TableKind::ClientHash,
        },
        home: match spec.home {
            wire::TableHome::Persistent => TableHome::Persistent,
            wire::TableHome::Volatile => TableHome::Volatile,
        },
        key: spec.key.iter().map(field_in).collect(),
        record: spec.record.iter().map(field_in).collect(),
        pairs_hint: spec.pairs_hint,
        rules: rules.iter().map(rule_in).collect(),
    }
}

fn rule_in(rule: &wire::Rule<'_>) -> Rule {
    match *rule {
        wire::Rule::Required { field } => Rule::Required { field },
        wire::Rule::Range { field, least, most } => Rule::Range { field, least, most },
        wire::Rule::Default { field, value } => Rule::Default { field, value: value.0.to_vec() },
        wire::Rule::Grown { fields } => Rule::Grown { fields },
        wire::Rule::CompactSlots => Rule::CompactSlots,
    }
}

fn field_out(field: &Field) -> wire::Field<'_> {
    let field_type = match &field.field_type {
        FieldType::Unsigned(bits) => wire::FieldType::Unsigned(*bits),
        FieldType::Signed(bits) => wire::FieldType::Signed(*bits),
        FieldType::Bool => wire::FieldType::Bool,
        FieldType::Bytes => wire::FieldType::Bytes,
        FieldType::Text => wire::FieldType::Text,
        FieldType::Pointer { table } => wire::FieldType::Pointer { table },
        FieldType::Other(name) => wire::FieldType::Other(name),
    };
    wire::Field { name: &field.name, field_type }
}

/// An answer that has come; `None` for one that only the protocol's own verbs get.
pub(crate) fn answer_in(answer: wire::Answer<'_>) -> Option<Answer> {
    Some(match answer {
        wire::Answer::Done => Answer::Done,
        wire::Answer::Pair(pair) => Answer::Pair(pair.map(pair_in)),
        wire::Answer::Pairs { pairs, more } => {
            Answer::Pairs { pairs: pairs.into_vec().into_iter().map(pair_in).collect(), more }
        }
        wire::Answer::Followed(followed) => Answer::Followed(match followed {
            wire::Followed::Found { from, to } => Followed::Found { from: pair_in(from), to: pair_in(to) },
            wire::Followed::Absent => Followed::Absent,
            wire::Followed::Null { from } => Followed::Null { from: pair_in(from) },
            wire::Followed::Dangling { from, target } => {
                Followed::Dangling { from: pair_in(from), target: target.0.to_vec() }
            }
        }),
        wire::Answer::Committed { epoch, versions, persistence } => {
            let mut given = Versions::default();
            versions.iter().for_each(|version| given.push(version_in(*version)));
            let persistence = persistence_in(persistence);
            Answer::Committed(Committed { epoch: EpochId(epoch), versions: given, persistence })
        }
        wire::Answer::Identified { accepted, attempt, last, window: _, idle_ms } => {
            Answer::Identified(Identified { accepted, attempt, last, idle_ms })
        }
        wire::Answer::Fates(fates) => Answer::Fates(fates.iter().map(fate_in).collect()),
        wire::Answer::Reserved(addresses) => Answer::Reserved(addresses.into_vec()),
        wire::Answer::Persistent(horizon) => Answer::Persistent(horizon_in(horizon)),
        wire::Answer::Table(info) => Answer::Table(info_in(&info)),
        wire::Answer::Tables(tables) => Answer::Tables(tables.iter().map(info_in).collect()),
        wire::Answer::Ruled(ruled) => Answer::Table(ruled_in(&ruled)),
        wire::Answer::RuledTables(tables) => Answer::Tables(tables.iter().map(ruled_in).collect()),
        wire::Answer::Reclaimed(counters) => Answer::Reclaimed(space::reclaimed_in(&counters)),
        wire::Answer::Segments { device_pages, segment_pages, runs, more } => {
            let runs = runs.iter().map(space::run_in).collect();
            Answer::Segments(Segments { device_pages, segment_pages, runs, more })
        }
        wire::Answer::Status(status) => Answer::Status(Box::new(status_in(&status))),
        wire::Answer::Stored(stored) => Answer::Stored(stored.map(|stored| {
            let wire::Stored { pair, value_crc, from_device } = stored;
            Box::new(Stored { pair: pair_in(pair), value_crc, from_device })
        })),
        wire::Answer::Many(pairs) => Answer::Many(pairs.into_vec().into_iter().map(|pair| pair.map(pair_in)).collect()),
        wire::Answer::Ranges(ranges) => Answer::Ranges(ranges.map(|ranges| Ranges {
            version: version_in(ranges.version),
            total_bytes: ranges.total_bytes,
            expires_ms: ranges.expires_ms,
            compressed: ranges.compressed,
            parts: ranges.parts.iter().map(|part| part.bytes().to_vec()).collect(),
        })),
        wire::Answer::Chain { links, end } => {
            let links = links.into_vec().into_iter().map(|link| (TableId(link.table), pair_in(link.pair))).collect();
            Answer::Chain(Chain { links, end: end_in(end) })
        }
        wire::Answer::Staged(number) => Answer::Staged(number),
        wire::Answer::Value(value) => Answer::Value(value.bytes().to_vec()),
        wire::Answer::Opened { .. } | wire::Answer::Cancelled(_) => return None,
    })
}

fn persistence_in(persistence: wire::Persistence) -> Persistence {
    match persistence {
        wire::Persistence::Pending => Persistence::Pending,
        wire::Persistence::Persistent => Persistence::Persistent,
        wire::Persistence::Volatile => Persistence::Volatile,
    }
}

fn fate_in(fate: &wire::RequestFate) -> RequestFate {
    match *fate {
        wire::RequestFate::NotApplied => RequestFate::NotApplied,
        wire::RequestFate::Forgotten => RequestFate::Forgotten,
        wire::RequestFate::Applied { epoch, ordinal_first, versions, persistence } => {
            let epoch = EpochId(epoch);
            let versions = Versions::in_a_row(epoch, Ordinal(ordinal_first), versions);
            RequestFate::Applied(Committed { epoch, versions, persistence: persistence_in(persistence) })
        }
    }
}

fn end_in(end: wire::ChainEnd<'_>) -> ChainEnd {
    match end {
        wire::ChainEnd::Absent => ChainEnd::Absent,
        wire::ChainEnd::Null => ChainEnd::Null,
        wire::ChainEnd::Dangling { key } => ChainEnd::Dangling { key: key.0.to_vec() },
        wire::ChainEnd::Expired { key } => ChainEnd::Expired { key: key.0.to_vec() },
        wire::ChainEnd::Cycle { link } => ChainEnd::Cycle { link },
        wire::ChainEnd::WrongType { field } => ChainEnd::WrongType { field },
        wire::ChainEnd::Depth => ChainEnd::Depth,
        wire::ChainEnd::Count => ChainEnd::Count,
    }
}

fn pair_in(pair: wire::Pair<'_>) -> Pair {
    Pair {
        key: pair.key.0.to_vec(),
        value: pair.value.bytes().to_vec(),
        version: version_in(pair.version),
        expires_ms: pair.expires_ms,
        compressed: pair.compressed,
    }
}

fn version_in(version: wire::Version) -> Version {
    Version { epoch: EpochId(version.epoch), ordinal: Ordinal(version.ordinal) }
}

fn horizon_in(horizon: wire::Horizon) -> Horizon {
    Horizon { incarnation: Incarnation(horizon.incarnation), persistent: EpochId(horizon.persistent) }
}

fn info_in(info: &wire::TableInfo<'_>) -> TableInfo {
    TableInfo { id: TableId(info.id), name: info.name.to_owned(), spec: spec_in(&info.spec, &[]) }
}

fn ruled_in(ruled: &wire::Ruled<'_>) -> TableInfo {
    TableInfo { spec: spec_in(&ruled.info.spec, &ruled.rules), ..info_in(&ruled.info) }
}

fn field_in(field: &wire::Field<'_>) -> Field {
    let field_type = match field.field_type {
        wire::FieldType::Unsigned(bits) => FieldType::Unsigned(bits),
        wire::FieldType::Signed(bits) => FieldType::Signed(bits),
        wire::FieldType::Bool => FieldType::Bool,
        wire::FieldType::Bytes => FieldType::Bytes,
        wire::FieldType::Text => FieldType::Text,
        wire::FieldType::Pointer { table } => FieldType::Pointer { table: table.to_owned() },
        wire::FieldType::Other(name) => FieldType::Other(name.to_owned()),
    };
    Field { name: field.name.to_owned(), field_type }
}

fn status_in(status: &wire::Status<'_>) -> Status {
    use wire::answer::counter as id;
    let figure =
        |wanted: u16| status.counters.iter().find(|counter| counter.id == wanted).map_or(0, |counter| counter.value);
    let small = |wanted| u32::try_from(figure(wanted)).unwrap_or(u32::MAX);
    Status {
        horizon: horizon_in(status.horizon),
        epoch_open: EpochId(status.epoch_open),
        poisoned: status.poisoned.map(str::to_owned),
        tables: status
            .tables
            .iter()
            .map(|table| TableStatus {
                info: info_in(&table.info),
                pairs: table.pairs,
                index_bytes: table.index_bytes,
                record_bytes: table.record_bytes,
            })
            .collect(),
        segments: small(id::SEGMENTS),
        segments_free: small(id::SEGMENTS_FREE),
        device_pages: figure(id::DEVICE_PAGES),
        device_reads: figure(id::DEVICE_READS),
        device_writes: figure(id::DEVICE_WRITES),
        device_flushes: figure(id::DEVICE_FLUSHES),
        log_pages: figure(id::LOG_PAGES),
        cache_bytes: figure(id::CACHE_BYTES),
        lookups_memory: figure(id::LOOKUPS_MEMORY),
        lookups_device: figure(id::LOOKUPS_DEVICE),
        commits: figure(id::COMMITS),
        compare_failures: figure(id::COMPARE_FAILURES),
        revertible_writes: figure(id::REVERTIBLE_WRITES),
        kept_bytes: figure(id::KEPT_BYTES),
        stages: figure(id::STAGES),
        staged_bytes: figure(id::STAGED_BYTES),
        unstaged_bytes: figure(id::UNSTAGED_BYTES),
        hot_keys: figure(id::HOT_KEYS),
        contention_waits: figure(id::CONTENTION_WAITS),
        lease_ends: figure(id::LEASE_ENDS),
        space: space::space_in(&figure),
        checkpoints: space::checkpoints_in(&status.counters),
        reclaim: space::reclaim_in(&figure),
        connections: Connections {
            count: figure(id::CONNECTIONS),
            bytes_max: figure(id::CONNECTION_BYTES_MAX),
            bytes: figure(id::CONNECTION_BYTES),
            waiting: figure(id::CONNECTIONS_WAITING),
            refused: figure(id::MEMORY_REFUSALS),
        },
    }
}

/// The compares that did not hold.
pub(crate) fn failures_in(failures: &[wire::Failure]) -> Vec<Failure> {
    failures.iter().map(|failure| Failure { part: failure.part, found: failure.found.map(version_in) }).collect()
}

/// A fault's kind; one of a later version is the machine's affair.
pub(crate) fn kind_in(kind: u8) -> ErrorKind {
    match kind {
        fault_kind::INVALID => ErrorKind::Invalid,
        fault_kind::CONFLICT => ErrorKind::Conflict,
        fault_kind::NOT_FOUND => ErrorKind::NotFound,
        fault_kind::UNSUPPORTED => ErrorKind::Unsupported,
        fault_kind::FULL => ErrorKind::Full,
        fault_kind::CORRUPT => ErrorKind::Corrupt,
        fault_kind::POISONED => ErrorKind::Poisoned,
        _ => ErrorKind::Environment,
    }
}
