//! Load generators: one operation after another, counted and timed.
//!
//! Figures of one run are compared with figures of the same run only: machines are noisy. For instruction counts run twice under
//! `valgrind --tool=callgrind` with different `--count`s and divide the difference of instructions by the difference of counts.
#![expect(clippy::print_stdout, reason = "a load generator prints its figures")]

mod contention;
mod inline;
mod keys;
mod plot;
mod redis;
mod socket;

use clap::{Parser, Subcommand};
use std::time::Duration;

#[derive(Parser)]
#[command(about = "Measures lostore.")]
struct Arguments {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// One shard on the calling thread, its device in memory.
    Inline {
        /// Pairs that are there before.
        #[arg(long, default_value_t = 1_000_000)]
        pairs: u64,
        /// Operations of each kind.
        #[arg(long, default_value_t = 2_000_000)]
        count: u64,
        /// Only this kind: lookup, lookup-compact (compact slots), number-by-store, number-by-client (keys of 8 bytes, and who hashes them), update, update-compact, txn4, txn4-final
        /// (not abortable).
        #[arg(long)]
        only: Option<String>,
        /// Rounds; each kind is measured once a round.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Longest epoch; a long one leaves its closing out of instruction counts.
        #[arg(long, default_value_t = 1)]
        interval_ms: u64,
    },
    /// Clients that all change one key by compare-and-swap, with and without turns for those that fail.
    Contention {
        /// Numbers of clients, each with a connection of its own.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16, 32, 64])]
        clients: Vec<usize>,
        /// How long each number of clients is measured, in milliseconds.
        #[arg(long, default_value_t = 2000)]
        millis: u64,
        /// Where to draw the figures, as SVG.
        #[arg(long)]
        plot: Option<std::path::PathBuf>,
    },
    /// lostore beside Redis on Unix sockets, as redis-benchmark measures them; prints a table in Markdown.
    Redis(BesideRedis),
    /// One client over the socket, server and client on this machine.
    Socket {
        /// Pairs that are there before.
        #[arg(long, default_value_t = 200_000)]
        pairs: u64,
        /// Operations of each kind.
        #[arg(long, default_value_t = 400_000)]
        count: u64,
        /// Operations in flight.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 128])]
        depths: Vec<usize>,
        /// Rounds.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
}

/// lostore beside Redis, in one table: about nine minutes as it stands.
#[derive(clap::Args)]
struct BesideRedis {
    /// The folder with redis-server and redis-benchmark; without it they are looked for on the path.
    #[arg(long, value_name = "DIR")]
    programs: Option<std::path::PathBuf>,
    /// Where the stores lie while it lasts: a folder of the device that is to be measured.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: std::path::PathBuf,
    /// Commands that redis-benchmark knows.
    #[arg(long, value_delimiter = ',', default_values_t = ["get", "set", "mset"].map(String::from))]
    commands: Vec<String>,
    /// Commands in a pipeline.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    depths: Vec<u32>,
    /// Connections.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 50])]
    clients: Vec<u32>,
    /// Rounds; a figure is their median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each measurement takes, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    millis: u64,
    /// The longest epoch of the server that answers before persistence: what a power failure may cost, as `everysec` is for Redis.
    #[arg(long, default_value_t = 1000)]
    interval_ms: u64,
}

fn main() -> Result<(), lostore::Error> {
    match Arguments::parse().load {
        Load::Inline { pairs, count, only, rounds, interval_ms } => {
            inline::run(pairs, count, only.as_deref(), rounds, interval_ms)
        }
        Load::Contention { clients, millis, plot } => {
            contention::run(&clients, Duration::from_millis(millis), plot.as_deref())
        }
        Load::Redis(BesideRedis { programs, dir, commands, depths, clients, rounds, millis, interval_ms }) => {
            let directory = dir;
            redis::run(&redis::Plan { programs, directory, commands, depths, clients, rounds, millis, interval_ms })
        }
        Load::Socket { pairs, count, depths, rounds } => socket::run(pairs, count, &depths, rounds),
    }
}

/// Prints one figure.
fn report(what: &str, operations: u64, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = operations as f64 / took.as_secs_f64();
    println!("{what:<32} {:>9.0} k/s {:>8.0} ns", rate / 1e3, 1e9 / rate);
}
