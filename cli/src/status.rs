//! The verbs that ask how things are: status, ping, version, explain.
//!
//! Contract: `status` shows what the domain counts, and nothing that it would have to compute by reading pairs.

use crate::args::{Ping, Target};
use crate::failure::{Exit, Failure, USAGE};
use crate::output::{Format, Output, bytes_text, count_text};
use crate::reach::{options, reach};
use crate::tables::document as table_document;
use lostore::{Capabilities, Connections, EXPLANATIONS, Explanation, Status, TableStatus};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

mod space;

pub(crate) fn status(target: &Target, output: &mut Output) -> Result<(), Failure> {
    let store = reach(target)?;
    let mut status = store.status()?;
    // The figures come without the rules, of which one says how wide an index's slots are.
    let told = store.tables()?;
    for table in &mut status.tables {
        if let Some(info) = told.iter().find(|info| info.id == table.info.id) {
            table.info.spec.rules.clone_from(&info.spec.rules);
        }
    }
    let domain = store.capabilities();
    match output.format {
        Format::Json | Format::Jsonl => output.document(&document(domain, &status)),
        Format::Table | Format::Raw | Format::Hex => text(domain, &status, output),
    }?;
    match &status.poisoned {
        None => Ok(()),
        Some(why) => Err(Failure {
            exit: Exit::Unreachable,
            code: Some(304),
            what: format!("the store is read-only: {why}"),
            help: "restart its server, or open it again; what was announced survives".to_owned(),
        }),
    }
}

/// What all segments of a store are: whether they outlive it, and where they lie, seen from the process that has the store.
fn segments_are(domain: Capabilities) -> (&'static str, &'static str) {
    if domain.persistence { ("persistent", "local file") } else { ("volatile", "memory") }
}

fn document(domain: Capabilities, status: &Status) -> Value {
    let tables: Vec<Value> = status
        .tables
        .iter()
        .map(|table| {
            let mut document = table_document(&table.info);
            document["pairs"] = table.pairs.into();
            document["index_bytes"] = table.index_bytes.into();
            document["index_bytes_per_pair"] = per_pair(table).map_or(Value::Null, Value::from);
            document["record_bytes"] = table.record_bytes.into();
            document
        })
        .collect();
    json!({
        "domain": domain.name,
        "incarnation": status.horizon.incarnation.0,
        "epoch_persistent": status.horizon.persistent.to_string(),
        "epoch_open": status.epoch_open.to_string(),
        "poisoned": status.poisoned,
        "segments": status.segments,
        "segments_free": status.segments_free,
        "segments_log": status.space.log.segments,
        "segments_table": status.space.table.segments,
        "segments_checkpoint": status.space.checkpoint.segments,
        "segments_waiting": status.space.waiting.segments,
        "segments_aside": status.space.aside,
        "checkpoints": space::checkpoints(status),
        "reclaim": space::reclaim(status),
        "segments_home": segments_are(domain).0,
        "segments_place": segments_are(domain).1,
        "device_bytes": status.device_pages * 4096,
        "device_reads": status.device_reads,
        "device_writes": status.device_writes,
        "device_flushes": status.device_flushes,
        "log_pages": status.log_pages,
        "cache_bytes": status.cache_bytes,
        "lookups_memory": status.lookups_memory,
        "lookups_device": status.lookups_device,
        "commits": status.commits,
        "compare_failures": status.compare_failures,
        "revertible_writes": status.revertible_writes,
        "kept_bytes": status.kept_bytes,
        "stages": status.stages,
        "staged_bytes": status.staged_bytes,
        "unstaged_bytes": status.unstaged_bytes,
        "hot_keys": status.hot_keys,
        "contention_waits": status.contention_waits,
        "lease_ends": status.lease_ends,
        "connections": connections(status),
        "tables": tables,
    })
}

/// How the server's connections stand; null where no server is asked.
fn connections(status: &Status) -> Value {
    let Connections { count, bytes_max, bytes, waiting, refused } = status.connections;
    if bytes_max == 0 {
        return Value::Null;
    }
    json!({ "count": count, "memory_max": bytes_max, "memory": bytes, "waiting": waiting, "refused": refused })
}

/// Memory of the index for each pair, when there is one; of few pairs the figure says nothing.
fn per_pair(table: &TableStatus) -> Option<f64> {
    const PAIRS_MIN: u64 = 1000;
    let tenths = table.index_bytes.checked_mul(10)?.checked_div(table.pairs).filter(|_| table.pairs >= PAIRS_MIN)?;
    u32::try_from(tenths).ok().map(|tenths| f64::from(tenths) / 10.0)
}

fn text(domain: Capabilities, status: &Status, output: &mut Output) -> Result<(), Failure> {
    let health = if status.poisoned.is_some() { "READ-ONLY" } else { "healthy" };
    output.line(&format!("domain    {}, {health}, incarnation {}", domain.name, status.horizon.incarnation))?;
    output.line(&format!("epochs    {} open, persistent up to {}", status.epoch_open, status.horizon.persistent))?;
    output.line(&format!(
        "commits   {}, and {} refused by a compare",
        count_text(status.commits),
        count_text(status.compare_failures)
    ))?;
    output.line(&format!(
        "hot keys  {} now; {} times a commit waited its turn, {} turns ended by the clock",
        count_text(status.hot_keys),
        count_text(status.contention_waits),
        count_text(status.lease_ends)
    ))?;
    output.line(&format!(
        "lookups   {} from memory, {} from the device",
        count_text(status.lookups_memory),
        count_text(status.lookups_device)
    ))?;
    let (home, place) = segments_are(domain);
    output.line(&format!(
        "device    {} in {} segments ({} free; {home}, {place}), {} reads, {} writes, {} flushes",
        bytes_text(status.device_pages * 4096),
        status.segments,
        status.segments_free,
        count_text(status.device_reads),
        count_text(status.device_writes),
        count_text(status.device_flushes)
    ))?;
    space::text(status, output)?;
    output.line(&format!("memory    {} of cached records", bytes_text(status.cache_bytes)))?;
    let Connections { count, bytes_max, bytes, waiting, refused } = status.connections;
    if bytes_max > 0 {
        output.line(&format!(
            "clients   {} connected; {} of {} memory held, {} wait for some, {} requests refused for want of it",
            count_text(count),
            bytes_text(bytes),
            bytes_text(bytes_max),
            count_text(waiting),
            count_text(refused)
        ))?;
    }
    if status.revertible_writes > 0 {
        let (writes, bytes) = (count_text(status.revertible_writes), bytes_text(status.kept_bytes));
        output.line(&format!("revertible {writes} writes, which keep {bytes} of earlier records"))?;
    }
    if status.staged_bytes + status.unstaged_bytes > 0 {
        output.line(&format!(
            "staged    {} by {} open transactions that are not committed; {} since the open are dead",
            bytes_text(status.staged_bytes),
            count_text(status.stages),
            bytes_text(status.unstaged_bytes)
        ))?;
    }
    let rows: Vec<Vec<String>> = status.tables.iter().map(table_row).collect();
    output.rows(&["table", "kind", "pairs", "records", "index", "B/pair"], &rows)
}

/// The kind, and the width of its slots where that is the rarer one.
fn kind_text(table: &TableStatus) -> String {
    let spec = &table.info.spec;
    let compact = if spec.has_compact_slots() { ", compact" } else { "" };
    format!("{}{compact}", spec.kind.name())
}

fn table_row(table: &TableStatus) -> Vec<String> {
    let name = if table.info.name.is_empty() { "(catalog)" } else { &table.info.name };
    vec![
        name.to_owned(),
        kind_text(table),
        count_text(table.pairs),
        bytes_text(table.record_bytes),
        bytes_text(table.index_bytes),
        per_pair(table).map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.1}")),
    ]
}

pub(crate) fn ping(target: &Target, args: &Ping, output: &mut Output) -> Result<(), Failure> {
    let began = Instant::now();
    let store = reach(target)?;
    let reached = began.elapsed();
    let mut times = Vec::new();
    for _ in 0..args.count {
        let asked = Instant::now();
        store.tables()?;
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    let horizon = store.horizon();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    match output.format {
        Format::Json | Format::Jsonl => output.document(&json!({
            "incarnation": horizon.incarnation.0,
            "epoch_persistent": horizon.persistent.to_string(),
            "reach_us": micros(reached), "median_us": micros(median), "worst_us": micros(worst),
        })),
        Format::Table | Format::Raw | Format::Hex => output.line(&format!(
            "alive, incarnation {}; reached in {} us, answered in {} us{}",
            horizon.incarnation,
            micros(reached),
            micros(median),
            if args.count > 1 {
                format!(" (median of {}, worst {} us)", args.count, micros(worst))
            } else {
                String::new()
            }
        )),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn version(verbose: bool, output: &mut Output) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let json = matches!(output.format, Format::Json | Format::Jsonl);
    if !verbose {
        return if json {
            output.document(&json!({ "version": version }))
        } else {
            output.line(&format!("lostore {version}"))
        };
    }
    let (io, notice) = match uring::open::<segments::Page>(options(crate::args::IoArg::Auto).io, 8) {
        Ok((_, choice)) => (format!("{:?}", choice.kind).to_lowercase(), choice.notice),
        Err(error) => ("none".to_owned(), Some(error.to_string())),
    };
    let build = if cfg!(debug_assertions) { "with debug assertions" } else { "release" };
    let facts = [
        ("version", version.to_owned()),
        ("build", build.to_owned()),
        ("format", segments::superblock::FORMAT_VERSION.to_string()),
        ("protocol", wire::VERSION.to_string()),
        ("machine", format!("{} {}", std::env::consts::ARCH, std::env::consts::OS)),
        ("io", io),
        ("io notice", notice.unwrap_or_else(|| "none".to_owned())),
    ];
    if json {
        let document = facts.iter().map(|(name, value)| (name.replace(' ', "_"), Value::from(value.clone()))).collect();
        return output.document(&Value::Object(document));
    }
    output.line(&format!("lostore {version}"))?;
    facts[1..].iter().try_for_each(|(name, value)| output.line(&format!("{name:<10}{value}")))
}

pub(crate) fn explain(code: &str, output: &mut Output) -> Result<(), Failure> {
    let digits = code.trim_start_matches(['L', 'l']).trim_start_matches(['S', 's']);
    let wanted = if code.is_empty() { None } else { Some(digits.parse::<u16>()) };
    let found: Vec<&Explanation> = match &wanted {
        None => EXPLANATIONS.iter().collect(),
        Some(Ok(code)) => lostore::explain(*code).into_iter().collect(),
        Some(Err(_)) => Vec::new(),
    };
    if found.is_empty() {
        let (what, help) = (format!("there is no code '{code}'"), "`lostore explain` lists all".to_owned());
        return Err(Failure { exit: Exit::No, code: Some(USAGE), what, help });
    }
    if matches!(output.format, Format::Json | Format::Jsonl) {
        output.begin_list()?;
        for one in found {
            output.item(&json!({ "code": format!("LS{:04}", one.code), "what": one.what, "help": one.help }))?;
        }
        return output.end_list();
    }
    for one in found {
        output.line(&format!("LS{:04}  {}\n        {}", one.code, one.what, one.help))?;
    }
    Ok(())
}
