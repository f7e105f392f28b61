//! Between the protocol's types and the domain's: one to one, in both directions.
//!
//! Contract: what comes in is copied out of the frame; what goes out is borrowed from the domain's answer. A list that the protocol
//! cannot carry makes a fault, never a shorter list.

use crate::faults::fault;
use crate::limits::NEXT_BYTES_MAX;
use domains::{
    Answer, ChainEnd, Cursor, Direction, Error, ErrorKind, Followed, Horizon, Level, Pair, Persistence, RequestFate,
    Status, TableInfo, TableSpec, is_told, rules_out, spec_in, spec_out,
};
use segments::{EpochId, Ordinal, SegmentId, TableId, Version};
use txn::{CommitSet, Expect, PutOptions, SetError, Staged};
use wire::codes::{REPLY_TOO_LARGE, fault_kind};
use wire::{Bytes, Fault, List, Outcome, Part, Value, write_flag};

mod space;

/// Adds parts to a set. An update with a presence compare speaks of the key as the set leaves it.
pub(crate) fn add_parts(set: &mut CommitSet, parts: &[Part<'_>]) -> Result<(), SetError> {
    for part in parts {
        let (table, key) = (TableId(part.table), part.key.0);
        let expect = match part.expect {
            wire::Expect::Range { until } if part.change == wire::Change::None => {
                set.compare_range(table, key, until.map(|until| until.0))?;
                continue;
            }
            wire::Expect::Range { .. } => return Err(SetError::RangeChange),
            wire::Expect::Any => Expect::Any,
            wire::Expect::Absent => Expect::Absent,
            wire::Expect::Present => Expect::Present,
            wire::Expect::At(version) => Expect::At(version_in(version)),
            wire::Expect::Never => Expect::Never,
        };
        match part.change {
            wire::Change::None => set.compare(table, key, expect)?,
            wire::Change::Put { value, expires_ms, compressed } => {
                let options = PutOptions { expires_ms, compressed, ..PutOptions::default() };
                put(set, (table, key), expect, value, options)?;
            }
            wire::Change::PutRevertible { value, expires_ms, compressed, lease_ms } => {
                let revertible_ms = Some(lease_ms);
                let options = PutOptions { expires_ms, compressed, compact: false, revertible_ms };
                put(set, (table, key), expect, value, options)?;
            }
            wire::Change::Write { value, append, expires_ms, lease_ms, flags } => {
                let options = PutOptions { expires_ms, revertible_ms: lease_ms, ..flags_in(flags)? };
                match append {
                    true => set.append(table, key, value.bytes(), options, expect)?,
                    false => put(set, (table, key), expect, value, options)?,
                }
            }
            wire::Change::Staged { number, bytes, value, append, expires_ms, lease_ms, flags } => {
                let options = PutOptions { expires_ms, revertible_ms: lease_ms, ..flags_in(flags)? };
                let (staged, value) = (Staged { number, bytes }, value.bytes());
                match append {
                    true => set.append_staged((table, key), staged, value, options, expect)?,
                    false => set.put_staged((table, key), staged, value, options, expect)?,
                }
            }
            wire::Change::Revert { token } => {
                set.compare(table, key, expect)?;
                set.revert(table, key, version_in(token))?;
            }
            wire::Change::Seal { token } => {
                set.compare(table, key, expect)?;
                set.seal(table, key, version_in(token))?;
            }
            wire::Change::Append { value, expires_ms, compressed, lease_ms } => {
                let options = PutOptions { expires_ms, compressed, compact: false, revertible_ms: lease_ms };
                set.append(table, key, value.bytes(), options, expect)?;
            }
            wire::Change::Delete => match expect {
                Expect::Present => set.delete(table, key)?,
                Expect::Any => set.remove(table, key)?,
                Expect::Absent | Expect::At(_) | Expect::Never => {
                    set.compare(table, key, expect)?;
                    set.remove(table, key)?;
                }
            },
        }
    }
    Ok(())
}

/// The flags of a write.
fn flags_in(flags: u32) -> Result<PutOptions, SetError> {
    let unknown = flags & !write_flag::KNOWN;
    if unknown != 0 {
        return Err(SetError::UnknownFlags { unknown });
    }
    let has = |flag| flags & flag != 0;
    let (compressed, compact) = (has(write_flag::COMPRESSED), has(write_flag::COMPACT));
    Ok(PutOptions { compressed, compact, ..PutOptions::default() })
}

fn put(
    set: &mut CommitSet,
    (table, key): (TableId, &[u8]),
    expect: Expect,
    value: Value<'_>,
    options: PutOptions,
) -> Result<(), SetError> {
    let value = value.bytes();
    match expect {
        Expect::Absent => set.insert(table, key, value, options),
        Expect::Present => set.update(table, key, value, options),
        Expect::Any => set.upsert(table, key, value, options),
        Expect::At(_) | Expect::Never => {
            set.compare(table, key, expect)?;
            set.upsert(table, key, value, options)
        }
    }
}

fn version_in(version: wire::Version) -> Version {
    Version { epoch: EpochId(version.epoch), ordinal: Ordinal(version.ordinal) }
}

pub(crate) fn level(level: wire::Level) -> Level {
    match level {
        wire::Level::Committed => Level::Committed,
        wire::Level::Persistent => Level::Persistent,
    }
}

fn create(name: &str, spec: TableSpec) -> domains::Op {
    domains::Op::CreateTable { name: name.to_owned(), spec }
}

fn open(name: &str, spec: Option<TableSpec>) -> domains::Op {
    domains::Op::OpenTable { name: name.to_owned(), spec }
}

/// What remains when the connection's own verbs are taken out: the domain's, one to one.
pub(crate) fn domain_op(op: &wire::Op<'_>) -> Option<domains::Op> {
    Some(match op {
        wire::Op::Lookup { table, key } => domains::Op::Lookup { table: TableId(*table), key: key.0.to_vec() },
        wire::Op::Next { table, from, until, direction, pairs_max, bytes_max } => domains::Op::Next {
            table: TableId(*table),
            from: match from {
                wire::Cursor::Start => Cursor::Start,
                wire::Cursor::At(key) => Cursor::At(key.0.to_vec()),
                wire::Cursor::Past(key) => Cursor::Past(key.0.to_vec()),
            },
            until: until.map(|until| until.0.to_vec()),
            direction: match direction {
                wire::Direction::Next => Direction::Next,
                wire::Direction::Previous => Direction::Previous,
            },
            pairs_max: (*pairs_max).min(PAIRS_MAX),
            bytes_max: (*bytes_max).min(NEXT_BYTES_MAX),
        },
        wire::Op::LookupMany { table, keys } => {
            domains::Op::LookupMany { table: TableId(*table), keys: keys.iter().map(|key| key.0.to_vec()).collect() }
        }
        wire::Op::ReadRanges { table, key, ranges } => domains::Op::ReadRanges {
            table: TableId(*table),
            key: key.0.to_vec(),
            ranges: ranges.iter().map(|range| domains::Range { from: range.from, bytes: range.bytes }).collect(),
        },
        wire::Op::Follow { table, key, field } => {
            domains::Op::Follow { table: TableId(*table), key: key.0.to_vec(), field: *field }
        }
        wire::Op::Verify { table, key } => domains::Op::Verify { table: TableId(*table), key: key.0.to_vec() },
        wire::Op::FollowChain { table, key, fields, depth_max, records_max } => domains::Op::FollowChain {
            table: TableId(*table),
            key: key.0.to_vec(),
            fields: fields.to_vec(),
            depth_max: *depth_max,
            records_max: *records_max,
        },
        wire::Op::Reserve { table, count } => domains::Op::Reserve { table: TableId(*table), count: *count },
        wire::Op::Await { epoch } => domains::Op::Await { epoch: EpochId(*epoch) },
        wire::Op::Force => domains::Op::Force,
        wire::Op::CreateTable { name, spec } => create(name, spec_in(spec, &[])),
        wire::Op::OpenTable { name, spec } => open(name, spec.as_ref().map(|spec| spec_in(spec, &[]))),
        wire::Op::CreateRuled { name, spec, rules } => create(name, spec_in(spec, rules)),
        wire::Op::OpenRuled { name, spec, rules } => open(name, Some(spec_in(spec, rules))),
        wire::Op::RenameTable { from, to } => {
            domains::Op::RenameTable { from: (*from).to_owned(), to: (*to).to_owned() }
        }
        wire::Op::DestroyTable { name } => domains::Op::DestroyTable { name: (*name).to_owned() },
        wire::Op::ListTables => domains::Op::ListTables,
        wire::Op::Status => domains::Op::Status,
        wire::Op::DropCache => domains::Op::DropCache,
        wire::Op::Reclaim => domains::Op::Reclaim,
        wire::Op::Segments { from } => domains::Op::Segments { from: SegmentId(*from) },
        wire::Op::Ping
        | wire::Op::Commit { .. }
        | wire::Op::CommitOnce { .. }
        | wire::Op::Identify { .. }
        | wire::Op::Fates { .. }
        | wire::Op::TxnCommitOnce { .. }
        | wire::Op::TxnOpen
        | wire::Op::TxnOpenStrict
        | wire::Op::TxnNext { .. }
        | wire::Op::TxnAdd { .. }
        | wire::Op::TxnStage { .. }
        | wire::Op::TxnStaged { .. }
        | wire::Op::TxnLookup { .. }
        | wire::Op::TxnCommit { .. }
        | wire::Op::TxnAbort { .. }
        | wire::Op::Cancel { .. } => return None,
    })
}

const PAIRS_MAX: u32 = 4096;
const _: () = assert!(PAIRS_MAX as usize == wire::limits::PAIRS_MAX);

/// A domain's answer as it travels to a client that knows these features, tables with the rules that it knows. `text` holds what
/// an error says.
pub(crate) fn outcome<'a>(result: &'a Result<Answer, Error>, features: u64, text: &'a mut String) -> Outcome<'a> {
    match result {
        Ok(answer) => answer_out(answer, features).map_or_else(|| fault(REPLY_TOO_LARGE), Outcome::Ok),
        Err(error) => {
            *text = error.to_string();
            Outcome::Err(fault_out(error, text))
        }
    }
}

fn fault_out<'a>(error: &Error, message: &'a str) -> Fault<'a> {
    let mut failures = Vec::new();
    if let Error::CompareFailed { failures: found } = error {
        failures.extend(found.iter().map(|f| wire::Failure { part: f.part, found: f.found.map(version_out) }));
    }
    let kind = match error.kind() {
        ErrorKind::Invalid => fault_kind::INVALID,
        ErrorKind::Conflict => fault_kind::CONFLICT,
        ErrorKind::NotFound => fault_kind::NOT_FOUND,
        ErrorKind::Unsupported => fault_kind::UNSUPPORTED,
        ErrorKind::Full => fault_kind::FULL,
        ErrorKind::Corrupt => fault_kind::CORRUPT,
        ErrorKind::Poisoned => fault_kind::POISONED,
        ErrorKind::Environment => fault_kind::ENVIRONMENT,
    };
    let applied = error.is_applied();
    let failures = List::new(failures).expect("a set has at most 65,536 parts");
    Fault { code: error.code(), kind, applied, message, failures }
}

fn answer_out(answer: &Answer, features: u64) -> Option<wire::Answer<'_>> {
    Some(match answer {
        Answer::Pair(pair) => wire::Answer::Pair(pair.as_ref().map(pair_out)),
        Answer::Many(pairs) => {
            wire::Answer::Many(List::new(pairs.iter().map(|pair| pair.as_ref().map(pair_out)).collect())?)
        }
        Answer::Ranges(None) => wire::Answer::Ranges(None),
        Answer::Ranges(Some(ranges)) => wire::Answer::Ranges(Some(wire::Ranges {
            version: version_out(ranges.version),
            total_bytes: ranges.total_bytes,
            expires_ms: ranges.expires_ms,
            compressed: ranges.compressed,
            parts: List::new(ranges.parts.iter().map(|part| Value::new(part)).collect())?,
        })),
        Answer::Pairs { pairs, more } => {
            wire::Answer::Pairs { pairs: List::new(pairs.iter().map(pair_out).collect())?, more: *more }
        }
        Answer::Followed(followed) => wire::Answer::Followed(match followed {
            Followed::Found { from, to } => wire::Followed::Found { from: pair_out(from), to: pair_out(to) },
            Followed::Absent => wire::Followed::Absent,
            Followed::Null { from } => wire::Followed::Null { from: pair_out(from) },
            Followed::Dangling { from, target } => {
                wire::Followed::Dangling { from: pair_out(from), target: Bytes(target) }
            }
        }),
        Answer::Stored(stored) => wire::Answer::Stored(stored.as_ref().map(|stored| wire::Stored {
            pair: pair_out(&stored.pair),
            value_crc: stored.value_crc,
            from_device: stored.from_device,
        })),
        Answer::Chain(chain) => {
            let links = chain.links.iter().map(|(table, pair)| wire::Link { table: table.0, pair: pair_out(pair) });
            wire::Answer::Chain { links: List::new(links.collect())?, end: end_out(&chain.end) }
        }
        Answer::Committed(committed) => wire::Answer::Committed {
            epoch: committed.epoch.0,
            versions: List::new(committed.versions.as_slice().iter().copied().map(version_out).collect())?,
            persistence: persistence_out(committed.persistence),
        },
        Answer::Identified(identified) => wire::Answer::Identified {
            accepted: identified.accepted,
            attempt: identified.attempt,
            last: identified.last,
            window: domains::REQUEST_WINDOW,
            idle_ms: identified.idle_ms,
        },
        Answer::Fates(fates) => wire::Answer::Fates(List::new(fates.iter().map(fate_out).collect())?),
        Answer::Stage(_) => unreachable!("a session opens stages for its transactions and tells nobody"),
        Answer::Staged(number) => wire::Answer::Staged(*number),
        Answer::Value(value) => wire::Answer::Value(Value::new(value)),
        Answer::Reserved(addresses) => wire::Answer::Reserved(List::new(addresses.clone())?),
        Answer::Persistent(horizon) => wire::Answer::Persistent(horizon_out(*horizon)),
        Answer::Table(info) if is_ruled(info, features) => wire::Answer::Ruled(ruled_out(info, features)?),
        Answer::Table(info) => wire::Answer::Table(info_out(info)?),
        Answer::Tables(tables) if tables.iter().any(|info| is_ruled(info, features)) => {
            let tables = tables.iter().map(|info| ruled_out(info, features));
            wire::Answer::RuledTables(List::new(tables.collect::<Option<_>>()?)?)
        }
        Answer::Tables(tables) => wire::Answer::Tables(List::new(tables.iter().map(info_out).collect::<Option<_>>()?)?),
        Answer::Status(status) => wire::Answer::Status(status_out(status)?),
        Answer::Reclaimed(reclaimed) => wire::Answer::Reclaimed(List::new(space::reclaimed_out(reclaimed))?),
        Answer::Segments(segments) => wire::Answer::Segments {
            device_pages: segments.device_pages,
            segment_pages: segments.segment_pages,
            runs: List::new(segments.runs.iter().map(space::run_out).collect())?,
            more: segments.more,
        },
        Answer::Done => wire::Answer::Done,
    })
}

fn persistence_out(persistence: Persistence) -> wire::Persistence {
    match persistence {
        Persistence::Pending => wire::Persistence::Pending,
        Persistence::Persistent => wire::Persistence::Persistent,
        Persistence::Volatile => wire::Persistence::Volatile,
    }
}

fn fate_out(fate: &RequestFate) -> wire::RequestFate {
    match fate {
        RequestFate::NotApplied => wire::RequestFate::NotApplied,
        RequestFate::Forgotten => wire::RequestFate::Forgotten,
        RequestFate::Applied(committed) => {
            let versions = committed.versions.as_slice();
            wire::RequestFate::Applied {
                epoch: committed.epoch.0,
                ordinal_first: versions.first().map_or(0, |version| version.ordinal.0),
                versions: u32::try_from(versions.len()).expect("a set has at most 65,536 parts"),
                persistence: persistence_out(committed.persistence),
            }
        }
    }
}

fn end_out(end: &ChainEnd) -> wire::ChainEnd<'_> {
    match end {
        ChainEnd::Absent => wire::ChainEnd::Absent,
        ChainEnd::Null => wire::ChainEnd::Null,
        ChainEnd::Dangling { key } => wire::ChainEnd::Dangling { key: Bytes(key) },
        ChainEnd::Expired { key } => wire::ChainEnd::Expired { key: Bytes(key) },
        ChainEnd::Cycle { link } => wire::ChainEnd::Cycle { link: *link },
        ChainEnd::WrongType { field } => wire::ChainEnd::WrongType { field: *field },
        ChainEnd::Depth => wire::ChainEnd::Depth,
        ChainEnd::Count => wire::ChainEnd::Count,
    }
}

fn status_out(status: &Status) -> Option<wire::Status<'_>> {
    use wire::answer::counter as id;
    let tables = status.tables.iter().map(|table| {
        Some(wire::TableStatus {
            info: info_out(&table.info)?,
            pairs: table.pairs,
            index_bytes: table.index_bytes,
            record_bytes: table.record_bytes,
        })
    });
    let counters = [
        (id::SEGMENTS, u64::from(status.segments)),
        (id::SEGMENTS_FREE, u64::from(status.segments_free)),
        (id::DEVICE_PAGES, status.device_pages),
        (id::DEVICE_READS, status.device_reads),
        (id::DEVICE_WRITES, status.device_writes),
        (id::DEVICE_FLUSHES, status.device_flushes),
        (id::LOG_PAGES, status.log_pages),
        (id::CACHE_BYTES, status.cache_bytes),
        (id::LOOKUPS_MEMORY, status.lookups_memory),
        (id::LOOKUPS_DEVICE, status.lookups_device),
        (id::COMMITS, status.commits),
        (id::COMPARE_FAILURES, status.compare_failures),
        (id::REVERTIBLE_WRITES, status.revertible_writes),
        (id::KEPT_BYTES, status.kept_bytes),
        (id::HOT_KEYS, status.hot_keys),
        (id::CONTENTION_WAITS, status.contention_waits),
        (id::LEASE_ENDS, status.lease_ends),
        (id::CONNECTIONS, status.connections.count),
        (id::CONNECTION_BYTES_MAX, status.connections.bytes_max),
        (id::CONNECTION_BYTES, status.connections.bytes),
        (id::CONNECTIONS_WAITING, status.connections.waiting),
        (id::MEMORY_REFUSALS, status.connections.refused),
        (id::STAGES, status.stages),
        (id::STAGED_BYTES, status.staged_bytes),
        (id::UNSTAGED_BYTES, status.unstaged_bytes),
    ];
    let mut counters = counters.map(|(id, value)| wire::Counter { id, value }).to_vec();
    space::counters_out(status, &mut counters);
    Some(wire::Status {
        horizon: horizon_out(status.horizon),
        epoch_open: status.epoch_open.0,
        poisoned: status.poisoned.as_deref(),
        tables: List::new(tables.collect::<Option<_>>()?)?,
        counters: List::new(counters)?,
    })
}

fn info_out(info: &TableInfo) -> Option<wire::TableInfo<'_>> {
    Some(wire::TableInfo { id: info.id.0, name: &info.name, spec: spec_out(&info.spec)? })
}

/// Whether there is a rule of this table to tell.
fn is_ruled(info: &TableInfo, features: u64) -> bool {
    info.spec.rules.iter().any(|rule| is_told(rule, features))
}

fn ruled_out(info: &TableInfo, features: u64) -> Option<wire::Ruled<'_>> {
    Some(wire::Ruled { info: info_out(info)?, rules: rules_out(&info.spec.rules, features)? })
}

pub(crate) fn pair_out(pair: &Pair) -> wire::Pair<'_> {
    wire::Pair {
        key: Bytes(&pair.key),
        value: Value::new(&pair.value),
        version: version_out(pair.version),
        expires_ms: pair.expires_ms,
        compressed: pair.compressed,
    }
}

pub(crate) fn version_out(version: Version) -> wire::Version {
    wire::Version { epoch: version.epoch.0, ordinal: version.ordinal.0 }
}

pub(crate) fn horizon_out(horizon: Horizon) -> wire::Horizon {
    wire::Horizon { incarnation: horizon.incarnation.0, persistent: horizon.persistent.0 }
}
