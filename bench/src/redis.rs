//! lostore beside Redis on Unix sockets, measured by `redis-benchmark`: one table, in one command.
//!
//! Contract: all servers run from beginning to end, each cell is measured on one after the other, and that again in each round, so
//! that what the machine does meanwhile falls on all of them; a figure is the median of its rounds. Each measurement takes about
//! the same time, whatever the rate: a trial of a few requests says how many there are to be.
//!
//! Compared are what is lost with the machine: Redis with its file synced every second beside lostore with epochs of as long, and Redis
//! with its file synced before each answer beside lostore answering when an update is persistent.

use crate::socket::{Ends, ended, server};
use domains::Level;
use domains::config::Config;
use lostore::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use uds_server::ServeConfig;

/// Keys that are chosen from.
const KEYS: u32 = 100_000;
/// How long a server of Redis may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to measure, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The folder of `redis-server` and `redis-benchmark`.
    pub(crate) programs: Option<PathBuf>,
    /// Where the stores lie while it lasts.
    pub(crate) directory: PathBuf,
    pub(crate) commands: Vec<String>,
    pub(crate) depths: Vec<u32>,
    pub(crate) clients: Vec<u32>,
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
    /// The longest epoch of the server that answers before persistence.
    pub(crate) interval_ms: u64,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Cell<'a> {
    command: &'a str,
    depth: u32,
    clients: u32,
}

/// The servers, in the order of the table: Redis and lostore, before and after persistence.
const COLUMNS: [&str; 4] = ["Redis, everysec", "lostore, committed", "Redis, always", "lostore, persistent"];

pub(crate) fn run(plan: &Plan) -> Result<(), Error> {
    let dir = tempfile::tempdir_in(&plan.directory).expect("a directory for the stores");
    let sockets = [0, 1, 2, 3].map(|at| dir.path().join(format!("{at}.sock")));
    let mut redis = Vec::new();
    for (at, sync) in [(0, "everysec"), (2, "always")] {
        redis.push(Redis::start(plan, &dir.path().join(format!("redis.{at}")), &sockets[at], sync));
    }
    let lostore = |at: usize, level, interval_ms: u64| {
        let mut config = ServeConfig::new(dir.path().join(format!("lostore.{at}")), sockets[at].clone());
        config.redis_level = level;
        server(config, Config { epoch_interval_nanos: interval_ms * 1_000_000, ..Config::default() })
    };
    let servers = [lostore(1, Level::Committed, plan.interval_ms)?, lostore(3, Level::Persistent, 1)?];
    for socket in &sockets {
        let load = Cell { command: "set", depth: 64, clients: 16 };
        measure(plan, load, socket, 3 * KEYS);
    }
    head(plan);
    for command in &plan.commands {
        for &depth in &plan.depths {
            for &clients in &plan.clients {
                line(plan, Cell { command, depth, clients }, &sockets);
            }
        }
    }
    drop(redis);
    servers.into_iter().try_for_each(|Ends { bell, thread }| ended(&bell, thread))
}

fn head(plan: &Plan) {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{processors} processors, kernel {}, load {}.", text("/proc/sys/kernel/osrelease"), text("/proc/loadavg"));
    println!(
        "Thousands of requests a second, medians of {} rounds of {} ms; values of 100 bytes, {KEYS} keys; epochs of {} ms \
         where nobody waits for them.\n",
        plan.rounds, plan.millis, plan.interval_ms
    );
    let [a, b, c, d] = COLUMNS;
    println!("| command | depth | clients | {a} | {b} | ratio | {c} | {d} | ratio |");
    println!("|---|---|---|---|---|---|---|---|---|");
}

/// Measures a line and prints it.
fn line(plan: &Plan, cell: Cell<'_>, sockets: &[PathBuf; 4]) {
    let trial = 200 * cell.depth.min(16) + 20 * cell.clients;
    let counts = sockets.each_ref().map(|socket| {
        let rate = measure(plan, cell, socket, trial);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some millions, not below zero")]
        let count = (rate * Duration::from_millis(plan.millis).as_secs_f64()) as u32;
        count.max(trial)
    });
    let mut rates = [const { Vec::new() }; 4];
    for _ in 0..plan.rounds {
        for (at, socket) in sockets.iter().enumerate() {
            rates[at].push(measure(plan, cell, socket, counts[at]));
        }
    }
    let [a, b, c, d] = rates.map(median);
    let Cell { command, depth, clients } = cell;
    println!(
        "| {} | {depth} | {clients} | {:.1} | {:.1} | {} | {:.1} | {:.1} | {} |",
        command.to_uppercase(),
        a / 1e3,
        b / 1e3,
        ratio(b, a),
        c / 1e3,
        d / 1e3,
        ratio(d, c)
    );
}

/// How ours compares, in bold where it is behind.
fn ratio(ours: f64, theirs: f64) -> String {
    let ratio = ours / theirs;
    if ratio < 1.0 { format!("**{ratio:.2}**") } else { format!("{ratio:.2}") }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Requests a second, as `redis-benchmark` counts them.
fn measure(plan: &Plan, cell: Cell<'_>, socket: &Path, count: u32) -> f64 {
    let mut command = program(plan, "redis-benchmark");
    command.arg("-s").arg(socket).args(["-t", cell.command, "-d", "100", "--csv"]);
    for (option, value) in [("-n", count), ("-r", KEYS), ("-P", cell.depth), ("-c", cell.clients)] {
        command.arg(option).arg(value.to_string());
    }
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    // The last line has the figures behind the test's name, the rate first.
    let rate = said.lines().last().and_then(|line| line.split("\",\"").nth(1)).and_then(|rate| rate.parse().ok());
    rate.unwrap_or_else(|| panic!("{command:?}: {said}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// A program of Redis, with the libraries beside it when it was unpacked into a folder.
fn program(plan: &Plan, name: &str) -> Command {
    let Some(folder) = &plan.programs else { return Command::new(name) };
    let mut command = Command::new(folder.join(name));
    let libraries = ["../lib/x86_64-linux-gnu", "../lib/aarch64-linux-gnu"].map(|inside| folder.join(inside));
    if libraries.iter().any(|folder| folder.exists()) {
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).expect("paths without a colon"));
    }
    command
}

/// A server of Redis; it ends with this.
struct Redis {
    child: Child,
}

impl Redis {
    fn start(plan: &Plan, directory: &Path, socket: &Path, sync: &str) -> Self {
        std::fs::create_dir(directory).expect("a directory for a store");
        let mut command = program(plan, "redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"]);
        command.args(["--appendfsync", sync, "--dir"]).arg(directory).arg("--unixsocket").arg(socket);
        command.stdout(Stdio::piped()).stdin(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self { child };
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            let ended = server.child.try_wait().expect("it is our child").is_some();
            if ended || begun.elapsed() > PATIENCE {
                let _ = server.child.kill();
                let mut said = String::new();
                let _ = server.child.stdout.take().expect("it is piped").read_to_string(&mut said);
                panic!("{command:?} does not listen: {said}");
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        server
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
