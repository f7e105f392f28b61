//! `serve`: a store's directory behind a socket, until the process is told to stop.
//!
//! Contract: one line on stdout when clients can connect, `ready SOCKET`, or a document with the socket, the process and what
//! recovery found; everything else is talk. A service manager that listens is told when it is ready (`notify`), and one that
//! has made the socket has it served. It ends with exit 0 at SIGTERM and SIGINT, when everything committed is persistent.

use crate::args::{LevelArg, Serve, Switch, Target};
use crate::failure::{Failure, talk};
use crate::notify::Manager;
use crate::output::{Format, Output, count_text};
use crate::reach::options;
use domains::Level;
use domains::config::Config;
use domains::persistent::Report;
use lostore::open::SOCKET_FILE;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::{Duration, Instant};
use uds_server::{Limits, Ready, ServeConfig};

/// Bytes of a page, as sizes on the command line are counted.
const PAGE: u64 = 4096;
/// The longest path that fits a Unix socket's address: 108 bytes with the zero behind it.
const SOCKET_PATH_BYTES_MAX: usize = 107;

pub(crate) fn serve(target: &Target, args: &Serve, output: &mut Output) -> Result<(), Failure> {
    log_to_stderr();
    let socket = target.socket.clone().unwrap_or_else(|| args.dir.join(SOCKET_FILE));
    let bytes = socket.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        // Said before the store is opened or made, not after a long recovery.
        let (path, max) = (socket, SOCKET_PATH_BYTES_MAX);
        return Err(uring::Error::SocketPath { path, bytes, max }.into());
    }
    let mut config = ServeConfig::new(args.dir.clone(), socket);
    // Whom the rules name must get as far as to the rules.
    config.permissions = args.mode.unwrap_or(if args.acl.is_some() { 0o666 } else { config.permissions });
    config.acl.clone_from(&args.acl);
    config.listener = uring::passed()?;
    if let (Some(listener), Some(named)) = (&config.listener, &target.socket) {
        let what =
            format!("a service manager passed {}, and --socket names {}", listener.path().display(), named.display());
        return Err(Failure::usage(&what, "leave --socket out, or start the server without LISTEN_FDS"));
    }
    config.io = options(target.io).io;
    config.redis_level = match args.redis_level {
        LevelArg::Committed => Level::Committed,
        LevelArg::Persistent => Level::Persistent,
    };
    config.limits = limits(args)?;
    config.shard.poll = args.poll_us.map_or(config.shard.poll, Duration::from_micros);
    let engine = engine(args)?;
    let mut manager = Manager::of_environment();
    manager.status("opening the store");
    let began = Instant::now();
    // Whoever reads stdout may have gone; then the socket tells that the server is ready.
    let told = RefCell::new((output, &mut manager));
    uds_server::serve(&config, &engine, |ready| {
        let (output, manager) = &mut *told.borrow_mut();
        let took = began.elapsed().as_millis();
        tell(ready, took);
        manager.ready(&format!("serving at {}", ready.socket.display()));
        let done = announce(ready, took, output).and_then(|()| output.flush());
        if let Err(failure) = done {
            failure.tell();
        }
    })?;
    manager.stopped();
    talk("stopped: everything committed is persistent");
    Ok(())
}

/// The bounds of connections.
fn limits(args: &Serve) -> Result<Limits, Failure> {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let connections = args.connections as usize;
    let limits = Limits {
        connections_max: connections,
        connections_user_max: args.connections_per_user.map_or(connections.div_ceil(2), |of_user| of_user as usize),
        memory_bytes: bytes(args.memory),
        memory_user_bytes: bytes(args.memory_per_user.unwrap_or(args.memory / 2)),
        ..Limits::default()
    };
    let parts = [
        ("--memory", limits.memory_bytes, limits.connections_max),
        ("--memory-per-user", limits.memory_user_bytes, limits.connections_user_max),
    ];
    for (option, bytes, connections) in parts {
        let least = Limits::memory_bytes_min(connections);
        if bytes < least {
            let what = format!("{option} is {bytes} bytes, and {connections} connections need at least {least}");
            return Err(Failure::usage(&what, "give more memory, or allow fewer connections with --connections"));
        }
    }
    Ok(limits)
}

/// The engine's settings.
fn engine(args: &Serve) -> Result<Config, Failure> {
    let mut engine = Config { epoch_interval_nanos: args.interval_ms * 1_000_000, ..Config::default() };
    engine.space_pages_max = args.space_max.map(|bytes| bytes / PAGE);
    if let Some(bytes) = args.cache {
        engine.cache_bytes = usize::try_from(bytes)
            .map_err(|_| Failure::usage("the cache is larger than this machine's memory can be", "give less"))?;
    }
    engine.reclaims = args.reclaim.reclaim.map_or(engine.reclaims, |switch| switch == Switch::On);
    engine.reclaim_dead_percent = args.reclaim.reclaim_dead.unwrap_or(engine.reclaim_dead_percent);
    engine.staged_bytes_max = args.staged.unwrap_or(engine.staged_bytes_max);
    if let Some(bytes) = args.segment {
        engine.segment_pages = u32::try_from(bytes / PAGE)
            .map_err(|_| Failure::usage("a segment has at most 16 TiB", "give less; 64M suits most"))?;
    }
    Ok(engine)
}

/// Says on stderr how the server runs and what recovery did. Why it is not io_uring was logged when the store was opened.
fn tell(ready: &Ready, took: u128) {
    let io = format!("{:?}", ready.io.kind).to_lowercase();
    talk(&format!("serving with {io} at {}", ready.socket.display()));
    talk(&report_text(&ready.report, took));
}

/// What recovery did, in one line for people.
pub(crate) fn report_text(report: &Report, took_ms: u128) -> String {
    format!(
        "incarnation {} began after {took_ms} ms: cut {}, {} pairs from {}{} pages read in {} segments ({} by summary), \
         {} of the pages in search of more; {} records behind the cut dropped; the log before it: {}",
        report.incarnation,
        report.cut,
        count_text(report.pairs),
        report.checkpoint.map_or_else(String::new, |epoch| format!("a checkpoint up to epoch {epoch} and ")),
        count_text(report.pages_read),
        report.segments,
        report.summaries_used,
        count_text(report.pages_searched),
        count_text(report.records_dropped),
        report.end
    )
}

/// What recovery did, for programs.
fn report_json(report: &Report) -> Value {
    json!({
        "domain": report.domain.to_string(),
        "incarnation": report.incarnation.0,
        "cut": report.cut.to_string(),
        "pages_read": report.pages_read,
        "pages_searched": report.pages_searched,
        "segments": report.segments,
        "summaries_used": report.summaries_used,
        "checkpoint": report.checkpoint.map(|epoch| epoch.to_string()),
        "checkpoints_passed_over": report.checkpoints_passed_over,
        "pairs": report.pairs,
        "records_dropped": report.records_dropped,
        "pages_dropped": report.pages_dropped,
        "end": report.end,
    })
}

fn announce(ready: &Ready, took: u128, output: &mut Output) -> Result<(), Failure> {
    match output.format {
        Format::Table | Format::Raw | Format::Hex => output.line(&format!("ready {}", ready.socket.display())),
        // One line also as json: whoever started the server reads a line and goes on.
        Format::Json | Format::Jsonl => output.line(
            &json!({
                "socket": ready.socket.to_string_lossy(),
                "pid": std::process::id(),
                "io": format!("{:?}", ready.io.kind).to_lowercase(),
                "took_ms": u64::try_from(took).unwrap_or(u64::MAX),
                "recovery": report_json(&ready.report),
            })
            .to_string(),
        ),
    }
}

/// Sends what the server logs to stderr; `LOSTORE_LOG` chooses what.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LOSTORE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second server in one process has its log already.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().try_init();
}
