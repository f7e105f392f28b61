//! The demo where it is not wanted to end well: interrupted, and on a machine that refuses io_uring.

use super::{command, text};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The file of this name in the only demo's directory below `temp`, once it is there with so many bytes.
fn appeared(temp: &Path, name: &str, bytes: u64) -> PathBuf {
    loop {
        let found = std::fs::read_dir(temp).unwrap().find_map(|place| {
            let file = place.unwrap().path().join(name);
            std::fs::metadata(&file).is_ok_and(|found| found.len() >= bytes).then_some(file)
        });
        match found {
            Some(file) => return file,
            None => std::thread::park_timeout(Duration::from_millis(5)),
        }
    }
}

#[test]
fn an_interrupted_demo_leaves_neither_its_daemon_nor_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    // Once when the daemon has just begun, once in the middle of the import.
    for (signal, exit, bytes) in [("INT", 130, 1), ("TERM", 143, 1), ("INT", 130, 1 << 20)] {
        let mut demo = command(dir.path(), &["demo"]);
        let mut demo = demo.env("TMPDIR", dir.path()).stdin(Stdio::null()).spawn().unwrap();
        appeared(dir.path(), "store/lostore.data", bytes);
        let lock = appeared(dir.path(), "store/lock", 1);
        let daemon: u32 = std::fs::read_to_string(lock).unwrap().trim().parse().unwrap();
        assert!(Path::new(&format!("/proc/{daemon}")).exists());
        let sent = Command::new("kill").args(["-s", signal, &demo.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let output = demo.stderr.take().map(|stderr| std::io::read_to_string(stderr).unwrap()).unwrap();
        assert_eq!(demo.wait().unwrap().code(), Some(exit), "{output}");
        assert!(output.contains("interrupted: the demo's daemon was ended and its directory removed"), "{output}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the demo leaves nothing behind");
        assert!(!Path::new(&format!("/proc/{daemon}")).exists(), "its daemon has ended");
    }
}

/// Set in the process that is to become the command on a machine without io_uring: its arguments, separated by spaces.
const REFUSED: &str = "LOSTORE_TEST_REFUSED";
/// The number of `io_uring_setup` on every architecture.
const IO_URING_SETUP: i64 = 425;
const EPERM: u32 = 1;

/// Not a test of its own: it makes the kernel refuse io_uring to this process, and becomes the command.
#[test]
fn become_the_command_without_a_ring() {
    let Ok(arguments) = std::env::var(REFUSED) else { return };
    let rules = [(IO_URING_SETUP, vec![])].into_iter().collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EPERM), arch).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
    let error = Command::new(env!("CARGO_BIN_EXE_lostore")).args(arguments.split(' ')).exec();
    panic!("{error}");
}

fn without_a_ring(arguments: &str, temp: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "demo::become_the_command_without_a_ring", "--nocapture"]).env(REFUSED, arguments);
    command.env("TMPDIR", temp).current_dir(temp).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn where_the_kernel_refuses_a_ring_the_demo_runs_without_and_a_server_says_so_once() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    for directory in 0..20 {
        std::fs::create_dir_all(tree.join(format!("d{directory}/e"))).unwrap();
    }
    let temp = dir.path().join("temp");
    std::fs::create_dir(&temp).unwrap();
    let output = without_a_ring(&format!("demo --json --io auto --tree {}", tree.display()), &temp).output().unwrap();
    let stdout = text(&output.stdout);
    // The test harness says its own things first.
    let document = &stdout[stdout.find('{').unwrap_or_else(|| panic!("{stdout} {}", text(&output.stderr)))..];
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    assert_eq!((&document["failed"], &document["io"]), (&0.into(), &"posix".into()), "{document}");
    // Asked for by name, it is refused with what to change.
    let output = without_a_ring("serve store --io uring", &temp).output().unwrap();
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{talk}");
    assert!(talk.contains("LS0110 io_uring is not available") && talk.contains("or ask for --io posix"), "{talk}");
    // A server that was not asked takes the other, and says so once.
    let mut server = without_a_ring("serve store", &temp).spawn().unwrap();
    let ready = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(ready.into_iter().any(|line| line.contains("ready")), "the server tells when it is ready");
    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    let output = server.wait_with_output().unwrap();
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{talk}");
    assert_eq!(talk.matches("io_uring is not available").count(), 1, "{talk}");
    assert!(talk.contains("serving with posix") && talk.contains("stopped: everything committed"), "{talk}");
}
