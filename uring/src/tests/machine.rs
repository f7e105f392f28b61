//! Locks inside one process, clocks, random numbers and error texts.

use super::data_file;
use crate::{Access, Caching, Clock, Error, File, Patience, lock_directory};

#[test]
fn a_directory_is_locked_once_and_the_holder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let lock = lock_directory(dir.path(), Patience::None).unwrap();
    assert_eq!(lock.directory(), dir.path());
    let own = std::process::id();
    assert_eq!(std::fs::read_to_string(dir.path().join("lock")).unwrap(), format!("{own}\n"));
    for patience in [Patience::None, Patience::Dying] {
        let refused = lock_directory(dir.path(), patience).unwrap_err();
        assert_eq!(
            (refused.code(), refused.clone()),
            (111, Error::InUse { path: dir.path().join("lock"), pid: Some(own) })
        );
        assert!(refused.to_string().contains("this very process"), "{refused}");
    }
    drop(lock);
    lock_directory(dir.path(), Patience::None).unwrap();
}

/// A child has copies of all descriptors until it has become its program; then they are closed.
#[test]
fn a_lock_that_was_given_back_does_not_stay_with_a_copy_of_its_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let lock = lock_directory(dir.path(), Patience::None).unwrap();
    let copy = rustix::io::dup(&lock).unwrap();
    drop(lock);
    let again = lock_directory(dir.path(), Patience::None).unwrap();
    drop(copy);
    assert!(lock_directory(dir.path(), Patience::None).is_err(), "closing the copy takes nothing from who has it now");
    drop(again);
}

#[test]
fn a_dead_holders_pid_alone_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["4194304\n", "", "not a number", "99999999999999999999"] {
        std::fs::write(dir.path().join("lock"), text).unwrap();
        lock_directory(dir.path(), Patience::None).unwrap();
    }
}

#[test]
fn a_directory_that_is_not_there_or_a_linked_lock_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = lock_directory(&dir.path().join("none"), Patience::None).unwrap_err();
    assert!(matches!(missing, Error::Os { errno: 2, .. }), "{missing}");
    std::os::unix::fs::symlink("/dev/null", dir.path().join("lock")).unwrap();
    let link = lock_directory(dir.path(), Patience::None).unwrap_err();
    assert!(matches!(link, Error::Symlink { .. }), "{link}");
}

#[test]
fn the_files_lock_goes_with_the_description_and_can_be_shared_by_shards() {
    let dir = tempfile::tempdir().unwrap();
    let one = data_file(dir.path());
    let open = || File::open(&dir.path().join("data"), Access::ReadWrite, Caching::Buffered).unwrap();
    one.lock(Patience::None).unwrap();
    let two = open();
    assert!(matches!(two.lock(Patience::None), Err(Error::InUse { pid: None, .. })));
    assert!(matches!(two.lock_shared(Patience::None), Err(Error::InUse { .. })));
    one.lock_shared(Patience::None).unwrap();
    two.lock_shared(Patience::None).unwrap();
    let three = open();
    assert!(three.lock(Patience::None).is_err());
    // A clone is the same description: the lock stays until both are gone.
    let clone = two.clone();
    drop((one, two));
    assert!(three.lock(Patience::None).is_err());
    drop(clone);
    three.lock(Patience::None).unwrap();
}

#[test]
fn clocks_do_not_go_back() {
    let mut clock = Clock::start();
    let mut before = clock.now();
    // 2020 is past.
    assert!(before.unix_ms > 1_577_836_800_000);
    for _ in 0..1_000 {
        let now = clock.now();
        assert!(now.nanos >= before.nanos && now.unix_ms >= before.unix_ms);
        before = now;
    }
}

#[test]
fn random_numbers_differ() {
    assert_ne!(crate::entropy::random_u64(), crate::entropy::random_u64());
    assert_ne!(crate::entropy::random_u128(), crate::entropy::random_u128());
    crate::entropy::fill(&mut []);
}

#[test]
fn closed_handles_stay_open_while_an_operation_holds_them() {
    for kind in [crate::IoKind::Auto, crate::IoKind::Posix] {
        let (one, two) = crate::Socket::pair().unwrap();
        let (mut io, _) = crate::open(kind, 8).unwrap();
        io.submit(crate::Op::Receive { socket: one, buffer: super::pages(0, 1), range: 0..10 }, 1);
        let mut done = Vec::new();
        io.poll(&mut done);
        // Our handle is gone; were the descriptor closed, the next one would get its number, and the bytes.
        let (_three, four) = crate::Socket::pair().unwrap();
        io.submit(crate::Op::Send { socket: two, buffer: super::pages(b'x', 1), range: 0..3 }, 2);
        drop(four);
        while done.len() < 2 {
            io.wait(None, &mut done);
        }
        for completion in done {
            assert!(matches!(completion.result, Ok(crate::Outcome::Moved(3))), "{completion:?}");
        }
    }
}
