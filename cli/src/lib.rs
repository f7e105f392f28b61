//! The command `lostore`: from words on a command line to calls of the API, and from answers to text.
//!
//! Contract: data goes to stdout and nothing else does; talk goes to stderr; the exit code says what happened ([`failure`]).
//! What is printed as data can be pasted back as input ([`shape`] has the rules).
//!
//! It knows no more of a table than its catalog entry says: any program's tables are shown as they are.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON and answers have one wanted kind, and a refusal for all others"
)]

mod acl;
mod args;
mod cas;
mod chain;
mod demo;
mod failure;
mod notify;
mod offline;
mod output;
mod pairs;
mod progress;
mod reach;
mod reclaim;
mod schema;
mod script;
mod serve;
mod shape;
mod shell;
mod space;
mod status;
mod tables;
mod top;
mod words;

mod inspect;
mod verify;

use crate::args::{Args, Verb};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command line, the program's name first, and says how it ended.
///
/// ```
/// // The exit code of a line that cannot be understood is 2, as for every command.
/// let code = cli::run(["lostore", "no-such-verb"].map(Into::into));
/// assert_eq!(code, std::process::ExitCode::from(2));
/// ```
pub fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(line) {
        Ok(args) => args,
        Err(error) => {
            let asked_for = !error.use_stderr();
            // Help that was asked for is data; a reader that has gone does not matter.
            let _ = error.print();
            return if asked_for { ExitCode::SUCCESS } else { Exit::Usage.code() };
        }
    };
    let mut output = Output::stdout(args.format);
    let done = dispatch(args, &mut output).and_then(|()| output.flush());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            failure.exit.code()
        }
    }
}

fn dispatch(args: Args, output: &mut Output) -> Result<(), Failure> {
    let target = args.target;
    match args.verb {
        Verb::Serve(serve) => serve::serve(&target, &serve, output),
        Verb::Get(get) => pairs::get(&target, &get, output),
        Verb::Put(put) => pairs::put(&target, &put, output),
        Verb::Append(append) => pairs::append::append(&target, &append, output),
        Verb::Revert(token) => pairs::end_lease(&target, &token, pairs::Ending::Revert, output),
        Verb::Seal(token) => pairs::end_lease(&target, &token, pairs::Ending::Seal, output),
        Verb::Del(del) => pairs::del(&target, &del, output),
        Verb::Scan(scan) => pairs::scan(&target, &scan, output),
        Verb::Follow(follow) => pairs::follow(&target, &follow, output),
        Verb::Cas(cas) => cas::cas(&target, &cas, output),
        Verb::Txn(txn) => script::txn(&target, &txn, output),
        Verb::Table(table) => tables::table(&target, table, output),
        Verb::Acl(acl) => acl::acl(&acl, output),
        Verb::Schema(schema) => schema::schema(&target, &schema, output),
        Verb::Status => status::status(&target, output),
        Verb::Shell(shell) => shell::shell(&target, &shell, output.format),
        Verb::Top(top) => top::top(&target, &top, output),
        Verb::Space(space) => space::space(&target, &space, output),
        Verb::Reclaim => reclaim::reclaim(&target, output),
        Verb::Ping(ping) => status::ping(&target, &ping, output),
        Verb::Inspect(inspect) => inspect::inspect(&inspect, output),
        Verb::Verify(verify) => verify::verify(&target, &verify, output),
        Verb::Demo(demo) => demo::demo(&target, &demo, output),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "lostore", &mut script);
            output.bytes(&script)
        }
        Verb::Version { verbose } => status::version(verbose, output),
        Verb::Explain { code } => status::explain(&code, output),
    }
}
