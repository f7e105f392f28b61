//! Other people's clients, unmodified, against the real daemon. Those that are not on this machine are skipped, loudly.
//!
//! `.ci/redis-clients DIR` brings them there; the tests look on the path and in the folder that `LOSTORE_REDIS_CLIENTS` names.

use crate::process::Daemon;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The folder that `.ci/redis-clients` has filled.
fn folder() -> Option<PathBuf> {
    std::env::var_os("LOSTORE_REDIS_CLIENTS").map(PathBuf::from)
}

/// A program, from the folder or the path; says so when it is in neither.
fn program(name: &'static str) -> Option<Command> {
    let mut candidates = vec![PathBuf::from(name)];
    candidates.splice(0..0, folder().map(|folder| folder.join("root/usr/bin").join(name)));
    for candidate in candidates {
        let mut command = Command::new(&candidate);
        if let Some(folder) = folder() {
            let libraries = ["root/usr/lib/x86_64-linux-gnu", "root/usr/lib/aarch64-linux-gnu"];
            let libraries: Vec<PathBuf> = libraries.iter().map(|inside| folder.join(inside)).collect();
            command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap());
        }
        let mut probe = Command::new(&candidate);
        probe.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?)))).arg("--version");
        if probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(command);
        }
    }
    println!("SKIPPED {name}: it is neither on the path nor in LOSTORE_REDIS_CLIENTS");
    None
}

/// Runs a command to its end; returns what it printed.
#[track_caller]
fn run(mut command: Command, input: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}\n{err}");
    out.into_owned()
}

/// One line of `redis-cli`.
#[track_caller]
fn cli(daemon: &Daemon, words: &[&str]) -> Option<String> {
    let mut command = program("redis-cli")?;
    command.arg("-s").arg(daemon.socket()).args(words);
    Some(run(command, b"").trim_end().to_owned())
}

#[test]
fn redis_cli_is_served_in_its_modes() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let Some(pong) = cli(&daemon, &["PING"]) else { return };
    assert_eq!(pong, "PONG");
    let say = |words: &[&str]| cli(&daemon, words).unwrap();
    assert_eq!(say(&["SET", "greeting", "hello"]), "OK");
    assert_eq!(say(&["-3", "GET", "greeting"]), "hello");
    assert_eq!(say(&["-3", "--json", "CONFIG", "GET", "appendonly"]), r#"{"appendonly":"yes"}"#);
    assert_eq!(say(&["INCR", "greeting"]), "ERR value is not an integer or out of range");
    assert!(say(&["LPUSH", "a", "1"]).contains("LS0504"));
    assert!(say(&["INFO", "server"]).contains("redis_version:"));
    assert!(say(&["-r", "3", "-i", "0.01", "INCR", "count"]).contains('3'));
    // Mass insertion: it counts replies and ends with an echo of its own.
    let mut pipe = program("redis-cli").unwrap();
    pipe.arg("-s").arg(daemon.socket()).arg("--pipe");
    let commands: String = (0..10_000).map(|number| format!("SET pipe:{number} {number}\r\n")).collect();
    let said = run(pipe, commands.as_bytes());
    assert!(said.contains("errors: 0, replies: 10000"), "{said}");
    assert_eq!(say(&["DBSIZE"]), "10002");
    assert_eq!(say(&["--scan", "--pattern", "pipe:*"]).lines().count(), 10_000);
    let big = say(&["--bigkeys", "-i", "0"]);
    assert!(big.contains("Sampled 10002 keys in the keyspace!"), "{big}");
    let memory = say(&["--memkeys", "-i", "0"]);
    assert!(memory.contains("Sampled 10002 keys"), "{memory}");
    // What it asks at the start of a conversation, to help with what is typed.
    assert!(say(&["COMMAND", "DOCS"]).contains("summary"));
    assert!(say(&["-3", "COMMAND", "DOCS", "get"]).contains("summary"));
    stat(&daemon);
}

/// `--stat` goes on for ever, so it is ended after its second line of figures.
fn stat(daemon: &Daemon) {
    let mut command = program("redis-cli").unwrap();
    command.arg("-s").arg(daemon.socket()).args(["--stat", "-i", "0.05"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut said, mut buffer) = (Vec::new(), [0; 1024]);
    while said.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"10002")).count() < 2 {
        let bytes = stdout.read(&mut buffer).unwrap();
        assert!(bytes > 0, "it ended early: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..bytes]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn redis_benchmark_runs_at_every_depth() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    for depth in ["1", "16", "64"] {
        let Some(mut command) = program("redis-benchmark") else { return };
        command.arg("-s").arg(daemon.socket()).args([
            "-t",
            "ping,set,get,incr,mset",
            "-n",
            "4000",
            "-r",
            "1000",
            "--csv",
        ]);
        command.args(["-P", depth]);
        let said = run(command, b"");
        for test in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"] {
            assert!(said.contains(&format!("\"{test}\"")), "depth {depth}, {test}: {said}");
        }
        assert!(!said.to_lowercase().contains("error"), "depth {depth}: {said}");
    }
}

/// Runs a script with an interpreter that has what it imports; the script prints a line for all that it has checked.
fn script(name: &'static str, mut interpreter: Command, probe: &[&str], file: &str) {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/redis").join(file);
    let mut probing = Command::new(interpreter.get_program());
    probing.envs(interpreter.get_envs().filter_map(|(key, value)| Some((key, value?))));
    if let Some(dir) = interpreter.get_current_dir() {
        probing.current_dir(dir);
    }
    let there = probing.args(probe).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("SKIPPED {name}: no interpreter that has it; .ci/redis-clients installs it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    interpreter.arg(text).arg(daemon.socket());
    let said = run(interpreter, b"");
    assert!(said.contains("checks passed"), "{said}");
    println!("{name}: {}", said.trim_end());
}

#[test]
fn redis_py_is_served() {
    let python = folder().map(|folder| folder.join("venv/bin/python3")).filter(|python| python.exists());
    let python = Command::new(python.unwrap_or_else(|| "python3".into()));
    script("redis-py", python, &["-c", "import redis"], "redis_py.py");
}

#[test]
fn ioredis_is_served() {
    script("ioredis", node(), &["-e", "require('ioredis')"], "ioredis.cjs");
}

#[test]
fn node_redis_is_served() {
    script("node-redis", node(), &["-e", "require('redis')"], "node_redis.cjs");
}

fn node() -> Command {
    let mut node = Command::new("node");
    if let Some(folder) = folder().filter(|folder| folder.exists()) {
        node.env("NODE_PATH", folder.join("node_modules"));
    }
    node
}

/// A daemon whose text clients come and go stays as it was.
#[test]
fn a_thousand_short_connections_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    for number in 0..1000 {
        let mut client = super::Client::connect(&daemon.socket()).unwrap();
        client.send(&[&["SET", "k", "v"], &["MULTI"], &["SET", "k", &number.to_string()]]).unwrap();
        if number % 2 == 0 {
            for _ in 0..3 {
                client.receive().unwrap();
            }
        }
    }
    let mut client = super::Client::connect(&daemon.socket()).unwrap();
    assert_eq!(client.call(&["GET", "k"]).unwrap(), super::Reply::Bulk(b"v".to_vec()));
    // The last ones end on their own thread's time; a little patience, and no count of it.
    for _ in 0..1000 {
        let super::Reply::Bulk(info) = client.call(&["INFO", "clients"]).unwrap() else { panic!("INFO is text") };
        if String::from_utf8_lossy(&info).contains("connected_clients:1\r\n") {
            return;
        }
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("connections that ended are still there");
}
