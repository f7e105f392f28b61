//! The commands that ask about the server: what it serves, how it is, how it is configured.

use super::command::{Call, Does, Keys, Spec};
use super::connect::REDIS_VERSION;
use super::connection::{Connection, database_of};
use super::fault::{Fault, quoted};
use super::table::COMMANDS;
use super::task::{Context, Step, Stepped, Task, Work};
use super::writer::Writer;
use super::{command, glob, space};
use domains::{Answer, Error, Op, Status};
use std::fmt::Write as _;

pub(crate) fn ping(call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    match call.len() {
        1 => out.simple("PONG"),
        2 => out.bulk(call.at(1)),
        _ => return Err(Fault::ArgCount { name: call.name() }),
    }
    Ok(())
}

pub(crate) fn echo(call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    out.bulk(call.at(1));
    Ok(())
}

pub(crate) fn time(call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    out.array(2);
    out.bulk((call.now_ms / 1000).to_string().as_bytes());
    out.bulk((call.now_ms % 1000 * 1000).to_string().as_bytes());
    Ok(())
}

/// `ACL WHOAMI`.
pub(crate) fn acl(call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    if !call.args.is(1, "WHOAMI") {
        return Err(Fault::Subcommand { command: "ACL", name: quoted(call.at(1)) });
    }
    out.bulk(b"default");
    Ok(())
}

/// `SLOWLOG GET|LEN|RESET`: nothing is kept.
pub(crate) fn slowlog(call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    match (call.args.is(1, "GET"), call.args.is(1, "LEN"), call.args.is(1, "RESET")) {
        (true, ..) => out.array(0),
        (_, true, _) => out.integer(0),
        (_, _, true) => out.simple("OK"),
        (false, false, false) => return Err(Fault::Subcommand { command: "SLOWLOG", name: quoted(call.at(1)) }),
    }
    Ok(())
}

/// `LATENCY LATEST|HISTORY|HISTOGRAM|GRAPH|DOCTOR|RESET`: nothing is kept for Redis's words; `/metrics` has histograms.
pub(crate) fn latency(call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    let is = |word| call.args.is(1, word);
    if is("LATEST") || is("HISTORY") {
        out.array(0);
    } else if is("HISTOGRAM") {
        out.map(0);
    } else if is("RESET") {
        out.integer(0);
    } else if is("GRAPH") || is("DOCTOR") {
        out.verbatim("nothing is watched under this name; GET /metrics on this socket has a histogram for each verb\n");
    } else {
        return Err(Fault::Subcommand { command: "LATENCY", name: quoted(call.at(1)) });
    }
    Ok(())
}

pub(crate) fn shutdown(_call: &Call<'_>, _out: &mut Writer) -> Result<(), Fault> {
    Err(Fault::Unserved {
        what: "SHUTDOWN",
        instead: "send the server the signal TERM: it answers what was begun and makes it persistent",
    })
}

/// What `CONFIG GET` knows. These are statements about lostore in words that clients look for.
const CONFIG: &[(&str, &str)] = &[
    ("appendfsync", "everysec"),
    ("appendonly", "yes"),
    ("databases", "16"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("proto-max-bulk-len", "67108864"),
    ("save", ""),
    ("timeout", "0"),
];

/// `CONFIG GET pattern …`, `CONFIG RESETSTAT`.
pub(crate) fn config(call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    if call.args.is(1, "RESETSTAT") {
        out.simple("OK");
        return Ok(());
    }
    if call.args.is(1, "SET") || call.args.is(1, "REWRITE") {
        return Err(Fault::Unserved {
            what: "CONFIG SET",
            instead: "`lostore serve --help` lists the server's options",
        });
    }
    if !call.args.is(1, "GET") || call.len() < 3 {
        return Err(Fault::Subcommand { command: "CONFIG", name: quoted(call.at(1)) });
    }
    let wanted =
        |name: &str| call.args.from(2).any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()));
    let found: Vec<_> = CONFIG.iter().filter(|(name, _)| wanted(name)).collect();
    out.map(found.len());
    for (name, value) in found {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    Ok(())
}

/// `COMMAND [COUNT|LIST|INFO name …|DOCS name …]`.
pub(crate) fn commands(call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    let is = |word| call.args.is(1, word);
    let named = || call.args.from(2).map(command::find).collect::<Vec<_>>();
    let all = || COMMANDS.iter().map(Some).collect::<Vec<_>>();
    if call.len() == 1 {
        describe_all(&all(), out);
    } else if is("COUNT") && call.len() == 2 {
        out.count(COMMANDS.len());
    } else if is("LIST") && call.len() == 2 {
        out.array(COMMANDS.len());
        COMMANDS.iter().for_each(|spec| out.bulk(spec.name.to_ascii_lowercase().as_bytes()));
    } else if is("INFO") {
        describe_all(&if call.len() == 2 { all() } else { named() }, out);
    } else if is("DOCS") {
        let specs: Vec<_> = if call.len() == 2 { all() } else { named() }.into_iter().flatten().collect();
        out.map(specs.len());
        specs.into_iter().for_each(|spec| document(spec, out));
    } else {
        return Err(Fault::Subcommand { command: "COMMAND", name: quoted(call.at(1)) });
    }
    Ok(())
}

fn describe_all(specs: &[Option<&Spec>], out: &mut Writer) {
    out.array(specs.len());
    for spec in specs {
        match spec {
            Some(spec) => describe(spec, out),
            None => out.null_array(),
        }
    }
}

/// Name, count of arguments, flags, places of the keys, and what lostore has none of.
fn describe(spec: &Spec, out: &mut Writer) {
    let (first, last, step) = match spec.keys {
        Keys::None | Keys::Counted(_) => (0, 0, 0),
        Keys::Range { first, last, step } => (first, last.map_or(-1, |last| i64::try_from(last).unwrap_or(-1)), step),
    };
    let flags: &[&str] = match spec.does {
        Does::Read(..) => &["readonly", "fast"],
        Does::Write(..) => &["write", "denyoom"],
        Does::Say(_) => &["fast", "loading", "stale"],
        Does::Connection(_) | Does::Exec => &["noscript", "loading", "stale", "fast"],
        Does::Task(_) => &["noscript"],
    };
    out.array(10);
    out.bulk(spec.name.to_ascii_lowercase().as_bytes());
    out.integer(i64::from(spec.arity));
    out.set(flags.len());
    flags.iter().for_each(|flag| out.simple(flag));
    out.count(first);
    out.integer(last);
    out.count(step);
    // Categories, tips, key specifications, subcommands.
    out.set(0);
    out.array(0);
    out.array(0);
    out.array(0);
}

fn document(spec: &Spec, out: &mut Writer) {
    out.bulk(spec.name.to_ascii_lowercase().as_bytes());
    let entries = [("summary", spec.summary), ("since", "1.0.0"), ("group", spec.group.name())];
    out.map(entries.len());
    for (key, value) in entries {
        out.bulk(key.as_bytes());
        out.bulk(value.as_bytes());
    }
}

/// `INFO`, `DBSIZE` and `LS.SPACE`: all are made of the domain's figures.
#[derive(Debug)]
enum Figures {
    Info { sections: Vec<String> },
    Size,
    Space,
}

impl Work for Figures {
    fn start(&mut self, context: &mut Context<'_, '_>, _reply: &mut Writer) -> Stepped {
        context.ask(0, Op::Status);
        Ok(Step::Wait)
    }

    fn answered(
        &mut self,
        _number: u32,
        result: &Result<Answer, Error>,
        context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        let status = match result {
            Ok(Answer::Status(status)) => status,
            Ok(other) => unreachable!("the domain was asked how it is, and the answer is {other:?}"),
            Err(error) => return Err(error.clone().into()),
        };
        match self {
            Self::Size => {
                let table = status.tables.iter().find(|table| *table.info.name == *context.connection.keyspace);
                reply.integer(table.map_or(0, |table| i64::try_from(table.pairs).unwrap_or(i64::MAX)));
            }
            Self::Info { sections } => reply.verbatim(&info(sections, status, context)),
            Self::Space => space::tell(status, reply),
        }
        Ok(Step::Done)
    }
}

/// `INFO [section …]`.
pub(crate) fn info_task(_connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let sections = call.args.from(1).map(|section| quoted(section).to_ascii_lowercase()).collect();
    Ok(Box::new(Figures::Info { sections }))
}

pub(crate) fn size_task(_connection: &mut Connection, _call: &Call<'_>) -> Result<Task, Fault> {
    Ok(Box::new(Figures::Size))
}

pub(crate) fn space_task(_connection: &mut Connection, _call: &Call<'_>) -> Result<Task, Fault> {
    Ok(Box::new(Figures::Space))
}

fn info(wanted: &[String], status: &Status, context: &Context<'_, '_>) -> String {
    let all = wanted.is_empty() || wanted.iter().any(|word| ["all", "default", "everything"].contains(&word.as_str()));
    let mut text = String::new();
    for (name, section) in sections(status, context) {
        if all || wanted.iter().any(|word| word.eq_ignore_ascii_case(name)) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            let _ = write!(text, "{gap}# {name}\r\n");
            for (key, value) in section {
                let _ = write!(text, "{key}:{value}\r\n");
            }
        }
    }
    text
}

type Section = Vec<(String, String)>;

fn sections(status: &Status, context: &Context<'_, '_>) -> [(&'static str, Section); 8] {
    let shared = &context.shared;
    let line = |key: &str, value: &dyn ToString| (key.to_owned(), value.to_string());
    let index_bytes: u64 = status.tables.iter().map(|table| table.index_bytes).sum();
    let memory = index_bytes + status.cache_bytes;
    let uptime = (context.now.unix_ms / 1000).saturating_sub(shared.began_s);
    let ok = if status.poisoned.is_some() { "err" } else { "ok" };
    let counters = &shared.counters;
    let server = vec![
        line("redis_version", &REDIS_VERSION),
        line("redis_mode", &"standalone"),
        line("lostore_version", &env!("CARGO_PKG_VERSION")),
        line("os", &std::env::consts::OS),
        line("arch_bits", &usize::BITS),
        line("process_id", &std::process::id()),
        line("tcp_port", &0),
        line("uptime_in_seconds", &uptime),
        line("uptime_in_days", &(uptime / 86_400)),
    ];
    let connections = context.memory.figures();
    let clients = vec![
        line("connected_clients", &shared.clients),
        line("blocked_clients", &0),
        line("clients_waiting_for_memory", &connections.waiting),
    ];
    let memory = vec![
        line("used_memory", &memory),
        line("used_memory_human", &format!("{:.2}M", human(memory))),
        line("used_memory_index", &index_bytes),
        line("used_memory_cache", &status.cache_bytes),
        line("maxmemory", &0),
        line("connections_memory", &connections.bytes),
        line("connections_memory_max", &connections.bytes_max),
        line("connections_memory_refusals", &connections.refused),
    ];
    let persistence = vec![
        line("loading", &0),
        line("async_loading", &0),
        line("rdb_bgsave_in_progress", &0),
        line("rdb_last_save_time", &shared.saved_s.max(shared.began_s)),
        line("rdb_last_bgsave_status", &ok),
        line("aof_enabled", &1),
        line("aof_last_write_status", &ok),
    ];
    let stats = vec![
        line("total_connections_received", &counters.connections),
        line("total_commands_processed", &counters.commands),
        line("total_error_replies", &counters.errors),
        line("keyspace_hits", &counters.hits),
        line("keyspace_misses", &counters.misses),
        line("expired_keys", &0),
        line("evicted_keys", &0),
    ];
    let replication = vec![line("role", &"master"), line("connected_slaves", &0)];
    let databases = status.tables.iter().filter_map(|table| Some((database_of(&table.info.name)?, table.pairs)));
    let keyspace = databases.filter(|(_, pairs)| *pairs > 0);
    let keyspace =
        keyspace.map(|(number, pairs)| line(&format!("db{number}"), &format!("keys={pairs},expires=0,avg_ttl=0")));
    [
        ("Server", server),
        ("Clients", clients),
        ("Memory", memory),
        ("Persistence", persistence),
        ("Stats", stats),
        ("Replication", replication),
        ("Keyspace", keyspace.collect()),
        ("Lostore", lostore(status, context)),
    ]
}

/// What Redis has no words for.
fn lostore(status: &Status, context: &Context<'_, '_>) -> Section {
    let line = |key: &str, value: &dyn ToString| (key.to_owned(), value.to_string());
    vec![
        line("epoch_open", &status.epoch_open),
        line("epoch_persistent", &context.horizon.persistent),
        line("poisoned", &u8::from(status.poisoned.is_some())),
        line("tables", &status.tables.len()),
        line("segments", &status.segments),
        line("segments_free", &status.segments_free),
        line("segments_log", &status.space.log.segments),
        line("segments_table", &status.space.table.segments),
        line("segments_checkpoint", &status.space.checkpoint.segments),
        line("segments_waiting", &status.space.waiting.segments),
        line("segments_freed", &status.reclaim.segments_freed),
        line("checkpoints", &status.checkpoints.begun),
        line("checkpoints_failed", &status.checkpoints.failed),
        line("device_reads", &status.device_reads),
        line("device_writes", &status.device_writes),
        line("device_flushes", &status.device_flushes),
        line("commits", &status.commits),
        line("compare_failures", &status.compare_failures),
        line("hot_keys", &status.hot_keys),
        line("contention_waits", &status.contention_waits),
        line("contention_lease_ends", &status.lease_ends),
    ]
}

/// Mebibytes, for people.
fn human(bytes: u64) -> f64 {
    let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
    f64::from(kib) / 1024.0
}
