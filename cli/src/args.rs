//! What may stand on the command line: verbs, their arguments, and the help that people read.
//!
//! Contract: every argument that has a default can be set by a `LOSTORE_*` variable too where that makes sense; the command line
//! wins. The texts here are the help, so they are complete sentences about what happens.

use crate::output::Format;
use crate::reach::AnyStore;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

mod parse;
mod space;

use parse::{milliseconds, octal, range, size};
pub(crate) use space::{Reclaim, Space, Switch};

/// A transactional table store: embedded, or shared through a Unix socket.
#[derive(Parser, Debug)]
#[command(name = "lostore", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The form of data on stdout.
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value = "table", env = "LOSTORE_OUTPUT")]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER_HELP: &str = "\
A pair is named TABLE/KEY. Keys and values are text, hex:00ff, @file or - (stdin). A table with fields takes and gives JSON: an \
object for the record, for the key its field, or an array of its fields. What is printed can be pasted back.

Exit codes: 0 done, 1 not there or a compare did not hold, 2 usage, 3 the store cannot be reached or opened, 4 damage.
Errors have codes: `lostore explain LS0303`.";

/// Which store a verb is for.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Target {
    /// The store's directory. When a server runs on it the server is asked; when not, the directory is opened.
    #[arg(long, global = true, value_name = "DIR", default_value = "data", env = "LOSTORE_STORE")]
    pub(crate) store: PathBuf,
    /// The socket of the server to ask, wherever its store is.
    #[arg(long, global = true, value_name = "PATH", env = "LOSTORE_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// How to reach the kernel.
    #[arg(long, global = true, value_enum, default_value = "auto", env = "LOSTORE_IO")]
    pub(crate) io: IoArg,
    /// The store, when a shell has reached it already.
    #[arg(skip)]
    pub(crate) held: Option<AnyStore>,
}

/// How to reach the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum IoArg {
    /// `io_uring` where the machine lets us, POSIX calls otherwise.
    Auto,
    /// `io_uring` or nothing.
    Uring,
    /// POSIX calls on threads.
    Posix,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Serves a store on a Unix socket until it is told to stop (SIGTERM or SIGINT).
    Serve(Serve),
    /// Prints a pair's record; of several pairs each with its name, read together.
    Get(Get),
    /// Puts a pair, there or not, and prints its version. Of a sack, TABLE/ alone takes the next address and prints it too.
    Put(Put),
    /// Adds bytes to the end of a pair's record without rewriting it, and prints its version; a pair that is not there becomes them.
    Append(Append),
    /// Undoes a put or an append that was made with --revertible: the pair becomes what it was before.
    Revert(Token),
    /// Lets a put or an append that was made with --revertible stand: it cannot be reverted any more.
    Seal(Token),
    /// Deletes a pair.
    Del(Del),
    /// Prints the pairs of a table, or those whose key begins with a prefix.
    Scan(Scan),
    /// Reads a pair and the pair that one of its pointer fields leads to.
    Follow(Follow),
    /// Compares pairs and swaps them: all of them, or none when one is not as expected.
    #[command(after_help = CAS_HELP)]
    Cas(Cas),
    /// Runs a transaction that stdin describes: all of it or nothing.
    #[command(after_help = TXN_HELP)]
    Txn(Txn),
    /// Lists, makes, shows, renames and drops tables.
    #[command(subcommand)]
    Table(Table),
    /// Looks at rules of who may do what (see `serve --acl`), without a server.
    #[command(subcommand)]
    Acl(Acl),
    /// Shows all tables with their fields, references and rules, as text, JSON (-o json) or a diagram.
    Schema(Schema),
    /// Shows how the store is: tables, memory, device, persistence.
    Status,
    /// Runs verbs one after the other on one connection: typed, with history and completion, or from a script on stdin.
    Shell(Shell),
    /// Shows what a running server does, anew every second, until ^C.
    Top(Top),
    /// Shows what the device's segments are used for, and draws them.
    Space(Space),
    /// Wins space back now: live records leave segments that hold dead ones, and the segments are free again.
    Reclaim,
    /// Asks the store for a sign of life and says how long it took.
    Ping(Ping),
    /// Decodes a store's bytes, without opening it: superblock, segments, pages, records, summaries.
    Inspect(Inspect),
    /// Checks every checksum of a store that nobody has open, its indexes against its records, and its pointers and rules against its
    /// schema; with --socket the latter of a store in use; with --pair one record of a store in use, from its device to this
    /// program. Changes nothing.
    Verify(Verify),
    /// Shows on a real directory tree that all of it works: imports it through a daemon, races, kills, recovers, compares.
    Demo(Demo),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Prints the version.
    Version {
        /// And how it was built, what it can do, and what this machine offers.
        #[arg(long, short)]
        verbose: bool,
    },
    /// Explains an error's code.
    Explain {
        /// The code, as in LS0303; all of them when there is none.
        #[arg(default_value = "")]
        code: String,
    },
}

/// The words of `cas`, which is what its `--help` says.
pub(crate) const CAS_HELP: &str = "\
Three words for each pair, up to 64 pairs of any tables:
  TABLE/KEY   the pair
  EXPECT      absent, present, any, or a version as get -o json and put print it
  NEW         its new record as for put, or del: to delete it, or keep: to leave it as it is

It prints the version of each pair that it changed. When a compare does not hold it names every pair that is not as expected \
and the version it has now, changes nothing, and exits with 1.";

/// Arguments of `cas`.
#[derive(clap::Args, Debug)]
pub(crate) struct Cas {
    /// TABLE/KEY EXPECT NEW, once for each pair.
    #[arg(required = true, num_args = 3.., value_name = "WORD", allow_negative_numbers = true)]
    pub(crate) words: Vec<String>,
    /// Answer when it is committed; do not wait until it is persistent.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// The grammar of `txn`, which is what its `--help` says.
pub(crate) const TXN_HELP: &str = "\
Statements, one a line or separated by `;`:
  if TABLE/KEY.version == VERSION     the pair is at this version, as get -o json and put print it
  if TABLE/KEY present                the pair is there
  if TABLE/KEY absent                 it is not
  put TABLE/KEY VALUE                 put it, there or not
  insert TABLE/KEY VALUE              put it; it must not be there
  update TABLE/KEY VALUE              put it; it must be there
  append TABLE/KEY VALUE              add to the end of its record, or make it; for tables without fields
  del TABLE/KEY                       delete it; it must be there
  # ...                               nothing
A key or value that begins with {, [ or \" is JSON and may have spaces and ; in it. Any other ends at a space (a key) or at ; or \
the line's end (a value).

Or JSON, one object a line: {\"table\": .., \"key\": .., \"value\": ..} puts, \"delete\": true instead of \"value\" deletes, \
\"if\": \"absent\", \"present\" or a version compares. What scan -o jsonl prints is such a script.

It prints the version of each pair that it changed. When a compare does not hold it says which, changes nothing, and exits with 1.";

/// Arguments of `serve`.
#[derive(clap::Args, Debug)]
pub(crate) struct Serve {
    /// The store's directory; made when it is not there.
    pub(crate) dir: PathBuf,
    /// The longest that a commit waits for others to become persistent with it, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) interval_ms: u64,
    /// How long a server with nothing to do looks for work before it sleeps, in microseconds: 50, but 0 with one or two processors.
    /// A sleeping server costs a client that waits for each answer the time of a wake-up; a looking one takes a processor from others.
    #[arg(long, value_name = "US", value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub(crate) poll_us: Option<u64>,
    /// The most room the store may take, as in 512M or 10G.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) space_max: Option<u64>,
    /// Memory for cached records, as in 64M.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) cache: Option<u64>,
    #[command(flatten)]
    pub(crate) reclaim: Reclaim,
    /// Size of the segments in which a new store takes room, as in 64M.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) segment: Option<u64>,
    /// Memory for all connections together, as in 512M: what has come in and is not answered, open transactions, replies not yet
    /// sent. Beyond it connections wait their turn, and are refused with LS0520 after 30 seconds.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    pub(crate) memory: u64,
    /// The part of that memory that one user may take; half of it by default.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory_per_user: Option<u64>,
    /// How much of the log all open transactions together may have written out before their commits, as in 4G: what is beyond a
    /// transaction's memory. Refused with LS0313 above it.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) staged: Option<u64>,
    /// The most connections at a time.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub(crate) connections: u32,
    /// The most connections of one user at a time; half of all by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub(crate) connections_per_user: Option<u32>,
    /// Permissions of the socket, octal. 600 by default: only the server's user may connect; with --acl 666, and the rules decide.
    #[arg(long, value_name = "MODE", value_parser = octal)]
    pub(crate) mode: Option<u32>,
    /// The file that says which users and groups may do what on which tables; read again at SIGHUP. Without it the server's user
    /// and root may do everything, and nobody else anything. `lostore acl check FILE` tries it.
    #[arg(long, value_name = "FILE", env = "LOSTORE_ACL")]
    pub(crate) acl: Option<PathBuf>,
    /// When updates of Redis clients are answered, until LS.LEVEL says otherwise.
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "committed")]
    pub(crate) redis_level: LevelArg,
}

/// What to find out about rules.
#[derive(Subcommand, Debug)]
pub(crate) enum Acl {
    /// Understands a file of rules, or says of each wrong line what is wrong with it.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Says what a caller may do on a table, and by which lines.
    Explain(Explain),
}

/// Arguments of `acl explain`.
#[derive(clap::Args, Debug)]
pub(crate) struct Explain {
    /// The file.
    pub(crate) file: PathBuf,
    /// The caller's user, as a number.
    #[arg(long, value_name = "N")]
    pub(crate) uid: u32,
    /// The caller's groups, as numbers; the one of the user's own number when none is given.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) gid: Vec<u32>,
    /// The table's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) table: String,
}

/// How far an update is when it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LevelArg {
    /// It is visible and ordered.
    Committed,
    /// It survives a power failure.
    Persistent,
}

/// Arguments of `get`.
#[derive(clap::Args, Debug)]
pub(crate) struct Get {
    /// TABLE/KEY, or several of them, of one table.
    #[arg(required = true, value_name = "PAIR")]
    pub(crate) pairs: Vec<String>,
    /// Print these parts of one record alone, by bytes: 0..100, or 0..100,4096..8192. The end is not in it; without one, as in 100..,
    /// it goes to the record's end.
    #[arg(long, value_name = "A..B", value_delimiter = ',', value_parser = range)]
    pub(crate) range: Vec<std::ops::Range<u64>>,
}

/// Arguments of `put`.
#[derive(clap::Args, Debug)]
pub(crate) struct Put {
    /// TABLE/KEY
    pub(crate) pair: String,
    /// The record: text, hex:.., @file or - for stdin; JSON for a table with fields.
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) how: Write,
}

/// Arguments of `append`.
#[derive(clap::Args, Debug)]
pub(crate) struct Append {
    /// TABLE/KEY
    pub(crate) pair: String,
    /// The bytes to add: text, hex:.., @file or - for stdin.
    #[arg(allow_hyphen_values = true, default_value = "-")]
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) how: Write,
}

/// How a pair is written.
#[derive(clap::Args, Debug)]
pub(crate) struct Write {
    /// Write only if the pair is `absent`, `present`, or at this version.
    #[arg(long = "if", value_name = "STATE")]
    pub(crate) expect: Option<String>,
    /// Let the pair cease to exist after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) ttl: Option<u64>,
    /// Let the pair cease to exist at this time: milliseconds since 1970, as get -o json prints it.
    #[arg(long, value_name = "MS", conflicts_with = "ttl")]
    pub(crate) expires_ms: Option<u64>,
    /// Keep with the record that its bytes are compressed; the store does not touch them.
    #[arg(long)]
    pub(crate) compressed: bool,
    /// Pack the record with other small ones at the next opportunity; appends to one of up to 16 KiB then keep it in one piece.
    #[arg(long)]
    pub(crate) compact: bool,
    /// Keep what was there before for so long, as in 60s or 5m: until then `revert` undoes the write and `seal` lets it stand.
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub(crate) revertible: Option<u64>,
    /// Answer as soon as it is committed, before it is persistent.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Arguments of `revert` and `seal`.
#[derive(clap::Args, Debug)]
pub(crate) struct Token {
    /// TABLE/KEY
    pub(crate) pair: String,
    /// The version that the write printed.
    pub(crate) version: String,
    /// Answer as soon as it is committed, before it is persistent.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Arguments of `del`.
#[derive(clap::Args, Debug)]
pub(crate) struct Del {
    /// TABLE/KEY
    pub(crate) pair: String,
    /// Delete it only if it is at this version.
    #[arg(long = "if", value_name = "VERSION")]
    pub(crate) expect: Option<String>,
    /// Answer as soon as it is committed, before it is persistent.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Arguments of `scan`.
#[derive(clap::Args, Debug)]
pub(crate) struct Scan {
    /// TABLE or TABLE/PREFIX. A prefix wants an ordered table.
    pub(crate) pair: String,
    /// Print at most so many pairs.
    #[arg(long, short = 'n', value_name = "PAIRS")]
    pub(crate) limit: Option<u64>,
    /// From the last to the first. Ordered tables only.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Begin at this key.
    #[arg(long, value_name = "KEY", conflicts_with = "reverse")]
    pub(crate) from: Option<String>,
    /// Print keys only.
    #[arg(long)]
    pub(crate) keys: bool,
}

/// Arguments of `follow`.
#[derive(clap::Args, Debug)]
pub(crate) struct Follow {
    /// TABLE/KEY of the pair that holds the pointer.
    pub(crate) pair: String,
    /// The pointer field's name.
    pub(crate) field: String,
    /// Follow the same field on, from record to record, over at most so many pointers, and print all of them and what ends
    /// the chain.
    #[arg(long, value_name = "N")]
    pub(crate) depth: Option<u32>,
    /// The same, with at most so many records printed; 4096 of them, or about 16 MiB, are the most there is.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) count: Option<u32>,
}

/// Arguments of `txn`.
#[derive(clap::Args, Debug)]
pub(crate) struct Txn {
    /// Answer as soon as it is committed, before it is persistent.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// What to do with tables.
#[derive(Subcommand, Debug)]
pub(crate) enum Table {
    /// Lists all tables.
    List,
    /// Makes a table, of plain bytes unless fields are given.
    Create {
        /// Its name.
        name: String,
        /// How pairs are found.
        #[arg(long, value_enum, default_value = "ordered")]
        kind: KindArg,
        /// Its pairs live in memory only and are gone after a restart.
        #[arg(long)]
        volatile: bool,
        /// How wide the slots of a hash table's index are: wide takes about 18 bytes of memory a pair, compact about 9, and an
        /// overwrite then reads a record that is not in memory.
        #[arg(long, value_enum, default_value = "wide")]
        slots: SlotsArg,
        /// About how many pairs to expect. A hint: it changes no result.
        #[arg(long, value_name = "N", default_value_t = 0)]
        pairs: u64,
        /// The key's fields, as in `parent:u64,name:text`. Types: u8 to u128, i8 to i128, bool, text, bytes.
        #[arg(long, value_name = "FIELDS")]
        key: Option<String>,
        /// The record's fields, as in `age:u32,boss:->user`. Types as for the key, and `->TABLE` for a pointer. Behind a type may stand
        /// rules: `required` (a pointer is not null), `in 0..=150` (a number's range), `default JSON` (what it is where it is missing).
        #[arg(long, value_name = "FIELDS")]
        record: Option<String>,
    },
    /// Shows a table's structure.
    Info {
        /// Its name.
        name: String,
    },
    /// Gives a table another name.
    Rename {
        /// The present name.
        from: String,
        /// The name to be.
        to: String,
    },
    /// Destroys a table and all its pairs.
    Drop {
        /// Its name.
        name: String,
    },
}

/// Arguments of `schema`.
#[derive(clap::Args, Debug)]
pub(crate) struct Schema {
    /// The store's directory, like --store.
    #[arg(conflicts_with = "socket")]
    pub(crate) dir: Option<PathBuf>,
    /// Draw it: an SVG that any browser shows, or the text that Mermaid draws.
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) diagram: Option<Diagram>,
}

/// A form to draw the schema in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Diagram {
    /// A picture that stands alone.
    Svg,
    /// The text of an entity relationship diagram.
    Mermaid,
}

/// How pairs are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum KindArg {
    /// By key, in no order: the least memory.
    Hash,
    /// By key and in key order.
    Ordered,
    /// By an address that the store gives.
    Sack,
    /// By a key that is one u32 or u64 which you hashed already (--key NAME:u64).
    ClientHash,
}

/// How wide the slots of a hash table's index are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum SlotsArg {
    /// 16 bytes: one device read at most, none to overwrite.
    Wide,
    /// 8 bytes, for many pairs; with --pairs, fewer reads of strangers.
    Compact,
}

/// Arguments of `shell`.
#[derive(clap::Args, Debug)]
pub(crate) struct Shell {
    /// Of a script: go on behind a statement that fails; the exit code is that of the first.
    #[arg(long)]
    pub(crate) keep_going: bool,
}

/// Arguments of `top`.
#[derive(clap::Args, Debug)]
pub(crate) struct Top {
    /// Print the figures of one interval, and end.
    #[arg(long)]
    pub(crate) once: bool,
    /// How long an interval is, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub(crate) interval_ms: u64,
}

/// Arguments of `ping`.
#[derive(clap::Args, Debug)]
pub(crate) struct Ping {
    /// How often.
    #[arg(long, short = 'c', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
}

/// Arguments of `inspect`.
#[derive(clap::Args, Debug)]
pub(crate) struct Inspect {
    /// The store's directory, or a file with the bytes of one.
    pub(crate) path: PathBuf,
    /// Show the pages of this segment.
    #[arg(long, value_name = "N")]
    pub(crate) segment: Option<u32>,
    /// Show what is in this page of the segment, or, without --segment, of the device.
    #[arg(long, value_name = "N")]
    pub(crate) page: Option<u64>,
    /// Show at most so many items of a kind.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) limit: u64,
}

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
pub(crate) struct Verify {
    /// The store's directory, or a file with the bytes of one.
    #[arg(conflicts_with = "socket")]
    pub(crate) path: Option<PathBuf>,
    /// Check this pair alone, TABLE/KEY, of a store that is running: read it from the device and check it here.
    #[arg(long, value_name = "PAIR", conflicts_with = "path")]
    pub(crate) pair: Option<String>,
    /// Name at most so many damaged places, and so many breaches of each field.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u64,
}

/// Arguments of `demo`.
#[derive(clap::Args, Debug)]
pub(crate) struct Demo {
    /// The tree to import.
    #[arg(long, value_name = "PATH", default_value = "/usr")]
    pub(crate) tree: PathBuf,
    /// Import so many entries, however long it takes. By default at least 20 000, and up to 40 000 as far as they
    /// fit two seconds.
    #[arg(long, value_name = "N")]
    pub(crate) entries: Option<u64>,
    /// Leave the daemon running at the end, and say how to use it.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print one JSON document at the end, and no text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests;
