//! What takes a process of its own: a file size limit, kill -9 with writes in flight, signals.
//!
//! A child is this very test binary, told by a variable of its environment which part to play, in the same test function.

use super::{TestPage, data_file, pages};
use crate::{Access, Caching, Error, File, IoError, IoKind, Op, Outcome, Patience, lock_directory, open, termination};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PART: &str = "URING_TEST_DIRECTORY";

/// The directory given to a child; `None` in the parent.
fn part() -> Option<PathBuf> {
    std::env::var_os(PART).map(PathBuf::from)
}

/// Starts this test again, as a child.
fn child(test: &str, dir: &Path) -> Child {
    command(test, dir).spawn().unwrap()
}

fn command(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("tests::children::{test}"), "--exact", "--nocapture"]).env(PART, dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Tells the parent that the child is where it should be.
fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{word}").unwrap();
    out.flush().unwrap();
}

/// Waits until the child says a word.
fn hear(child: &mut Child, word: &str) {
    let out = child.stdout.as_mut().unwrap();
    assert!(BufReader::new(out).lines().any(|line| line.unwrap() == word), "the child never said {word}");
}

#[test]
fn a_write_over_the_file_size_limit_is_an_error_and_not_a_short_success() {
    let test = "a_write_over_the_file_size_limit_is_an_error_and_not_a_short_success";
    if let Some(dir) = part() {
        // The limit is in the middle of the write, and the signal that comes with it must not end the process.
        termination().unwrap();
        let limit = Rlimit { current: Some(8 * 4096), maximum: None };
        rustix::process::setrlimit(Resource::Fsize, limit).unwrap();
        for (name, kind) in [("auto", IoKind::Auto), ("posix", IoKind::Posix)] {
            let file = File::create(&dir.join(name), Caching::Around).unwrap();
            let (mut io, _) = open(kind, 8).unwrap();
            io.submit(Op::Write { file, offset: 0, buffer: pages(1, 16) }, 1);
            let mut done = Vec::new();
            io.wait(None, &mut done);
            let error = done[0].result.as_ref().unwrap_err();
            let short = IoError::Short { moved: 8 * 4096, asked: 16 * 4096 };
            assert!(*error == short || error.errno() == rustix::io::Errno::FBIG.raw_os_error(), "{error}");
            assert_eq!(done[0].buffer.as_ref().unwrap().len(), 16);
        }
        say("seen");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = child(test, dir.path());
    hear(&mut child, "seen");
    assert!(child.wait().unwrap().success());
}

/// Holds both locks, the file's as one of several shards does if so told, and keeps 64 MiB of writes in flight until it is killed.
fn write_until_killed(dir: &Path) {
    let _lock = lock_directory(dir, Patience::None).unwrap();
    let file = File::open(&dir.join("data"), Access::ReadWrite, Caching::Around).unwrap();
    file.lock(Patience::None).unwrap();
    if dir.join(SHARDS).exists() {
        file.lock_shared(Patience::None).unwrap();
    }
    let (mut io, _) = open::<TestPage>(IoKind::Auto, 64).unwrap();
    let mut done = Vec::new();
    for index in 0..64 {
        io.submit(Op::Write { file: file.clone(), offset: index << 20, buffer: pages(1, 256) }, index);
    }
    io.poll(&mut done);
    say("writing");
    loop {
        io.wait(None, &mut done);
        for completion in done.drain(..) {
            // Each write differs from the last, so that one which lands late is seen.
            let (user, mut buffer) = (completion.user, completion.buffer.unwrap());
            for page in &mut buffer {
                page.0[0] = page.0[0].wrapping_add(1);
            }
            io.submit(Op::Write { file: file.clone(), offset: user << 20, buffer }, user);
        }
    }
}

/// A file that tells [`write_until_killed`] to share the lock.
const SHARDS: &str = "shards";

/// The first byte of the last page of each MiB, which is the last that its write changes.
fn samples(dir: &Path) -> Vec<u8> {
    let file = std::fs::File::open(dir.join("data")).unwrap();
    let sample = |index: u64| {
        let mut byte = [0];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, ((index + 1) << 20) - 4096).unwrap();
        byte[0]
    };
    (0..64).map(sample).collect()
}

#[test]
fn a_killed_writers_lock_is_held_until_its_last_write_is_over() {
    let test = "a_killed_writers_lock_is_held_until_its_last_write_is_over";
    if let Some(dir) = part() {
        return write_until_killed(&dir);
    }
    let dir = super::directory();
    data_file(dir.path()).set_bytes(64 << 20).unwrap();
    for round in 0..5 {
        let shards = dir.path().join(SHARDS);
        if round % 2 == 0 {
            drop(std::fs::remove_file(shards))
        } else {
            std::fs::write(shards, "").unwrap()
        }
        let mut child = child(test, dir.path());
        hear(&mut child, "writing");
        // While it lives, its pid is named, whether we are patient or not. The patient wait out a grace, so they try once.
        let patiences = [Patience::None, Patience::Dying];
        for patience in &patiences[..if round == 0 { 2 } else { 1 }] {
            let refused = lock_directory(dir.path(), *patience).unwrap_err();
            assert!(matches!(refused, Error::InUse { pid: Some(pid), .. } if pid == child.id()), "{refused}");
        }
        let file = File::open(&dir.path().join("data"), Access::ReadWrite, Caching::Around).unwrap();
        assert!(matches!(file.lock(Patience::None), Err(Error::InUse { .. })));
        let reader = File::open(&dir.path().join("data"), Access::Read, Caching::Buffered).unwrap();
        if round % 2 == 0 {
            // So it is for somebody who only reads, and does not take the directory.
            let refused = reader.lock_shared(Patience::Dying).unwrap_err();
            assert!(matches!(refused, Error::InUse { pid: Some(pid), .. } if pid == child.id()), "{refused}");
        }
        child.kill().unwrap();
        reader.lock_shared(Patience::Dying).unwrap();
        drop(reader);
        let _lock = lock_directory(dir.path(), Patience::Dying).unwrap();
        file.lock(Patience::Dying).unwrap();
        let other = File::open(&dir.path().join("data"), Access::Read, Caching::Buffered).unwrap();
        assert!(matches!(other.lock(Patience::None), Err(Error::InUse { .. })), "it is held, by us");
        // From here on nothing changes any more: its last write has let go. The samples are taken in a moment, and reading it
        // all takes longer than a write that is still on its way.
        let before = samples(dir.path());
        child.wait().unwrap();
        assert_eq!(std::fs::read(dir.path().join("data")).unwrap().len(), 64 << 20);
        assert!(samples(dir.path()) == before, "round {round}: a write landed after the lock was taken");
    }
}

#[test]
fn a_signal_to_end_rings_a_doorbell_on_both_backends() {
    let test = "a_signal_to_end_rings_a_doorbell_on_both_backends";
    if part().is_some() {
        let doorbell = termination().unwrap();
        // Asked for again, it is the same one.
        let again = termination().unwrap();
        assert_eq!((doorbell.handles(), again.handles()), (4, 4), "two here, two with the handler");
        for kind in [IoKind::Auto, IoKind::Posix] {
            let (mut io, _) = open::<u8>(kind, 8).unwrap();
            io.submit(Op::Watch { doorbell: doorbell.clone() }, 1);
            let mut done = Vec::new();
            io.poll(&mut done);
            say("watching");
            while done.is_empty() {
                io.wait(None, &mut done);
            }
            assert!(matches!(done[0].result, Ok(Outcome::Rang(1))));
        }
        say("ending");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = child(test, dir.path());
    let pid = Pid::from_child(&child);
    for signal in [Signal::TERM, Signal::INT] {
        hear(&mut child, "watching");
        rustix::process::kill_process(pid, signal).unwrap();
    }
    hear(&mut child, "ending");
    assert!(child.wait().unwrap().success(), "it ended in its own way");
}

#[test]
fn another_user_without_lockable_memory_gets_a_backend_that_works() {
    let test = "another_user_without_lockable_memory_gets_a_backend_that_works";
    if let Some(dir) = part() {
        rustix::process::setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
        let (mut io, choice) = open::<TestPage>(IoKind::Auto, crate::limits::PLACES_MAX).unwrap();
        assert_eq!(choice.kind == IoKind::Posix, choice.notice.is_some(), "{choice:?}");
        let file = data_file(&dir);
        io.submit(Op::Write { file, offset: 0, buffer: pages(1, 1) }, 1);
        let mut done = Vec::new();
        io.wait(None, &mut done);
        assert!(done[0].result.is_ok());
        say("works");
        return;
    }
    let dir = super::directory();
    std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap_or_default();
    let mut command = command(test, dir.path());
    if crate::socket::own_uid() == 0 {
        std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
    }
    // A test binary that another user may not run shows nothing; where it can be run, it must work.
    let Ok(mut child) = command.spawn() else { return };
    hear(&mut child, "works");
    assert!(child.wait().unwrap().success());
}

/// The user without rights.
const NOBODY: u32 = 65_534;
