//! The README's five minutes in the shell, run as they stand there.
//!
//! What is tested is the text that a reader sees.
//! (The program in Rust is a documentation test of the crate `lostore`.)

use crate::process;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command};

fn start(line: &str, directory: &Path) -> Child {
    let arguments: Vec<&str> = line.split_whitespace().skip(1).map(|word| word.trim_matches('\'')).collect();
    process::lostore(&arguments).current_dir(directory).spawn().unwrap()
}

#[test]
fn the_readmes_five_minutes_in_the_shell_work() {
    let readme = include_str!("../../../README.md");
    let (_, from) = readme.split_once("```sh\n").expect("the README has a block of shell");
    let (block, _) = from.split_once("```").expect("the block ends");
    let directory = tempfile::tempdir().unwrap();
    let mut server = None;
    let mut said = String::new();
    for line in block.lines() {
        if let Some(line) = line.strip_suffix('&') {
            let mut child = start(line, directory.path());
            let ready = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            assert!(ready.into_iter().any(|line| line.contains("ready")), "the server tells when it is ready");
            server = Some(child);
        } else if line == "kill %1" {
            let mut child: Child = server.take().expect("a server was started");
            let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
            assert!(killed.success());
            assert!(child.wait().unwrap().success(), "the server stops cleanly");
        } else {
            let output = start(line, directory.path()).wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{line}: {text}");
            said.push_str(&text);
        }
    }
    assert!(said.contains("{\"age\":3}"), "{said}");
}
