//! The binary: everything is in the library, so that tests can be the daemon without this file.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
