//! The suite that both backends pass, as functions over [`Io`], and the ratchets of the crate.

mod children;
mod files;
mod machine;
mod sockets;
mod source;

use crate::{Caching, Completion, File, Io, IoKind, Op, Outcome, open};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A page as the engine has them, aligned for direct I/O.
#[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C, align(4096))]
pub(crate) struct TestPage(pub(crate) [u8; 4096]);

impl core::fmt::Debug for TestPage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TestPage({})", self.0[0])
    }
}

/// `pages` pages of `fill`.
pub(crate) fn pages(fill: u8, pages: usize) -> Box<[TestPage]> {
    vec![TestPage([fill; 4096]); pages].into_boxed_slice()
}

/// A backend under test.
pub(crate) type Backend = Box<dyn Io<TestPage>>;

/// Runs a test on both backends, and on a ring with as few places as there can be.
pub(crate) fn on_both(test: impl Fn(&mut Backend, &Path)) {
    for (kind, places) in [(IoKind::Uring, 64), (IoKind::Uring, 8), (IoKind::Posix, 64)] {
        let dir = directory();
        let (mut io, choice) = match open(kind, places) {
            Ok(opened) => opened,
            // A machine without io_uring still tests the other backend; what the refusal says is tested elsewhere.
            Err(crate::Error::RingRefused { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        assert_eq!((choice.kind, choice.notice), (kind, None));
        test(&mut io, dir.path());
        assert_eq!(io.in_flight(), 0, "everything is home, on {kind}");
        assert_eq!(io.strays(), 0, "nothing came that was not asked for, on {kind}");
    }
}

/// A directory beside the test's binary: on a disk, more likely than the machine's place for temporary files, and never among
/// the sources.
pub(crate) fn directory() -> TempDir {
    let binary = std::env::current_exe().expect("a test is a program");
    TempDir::new_in(binary.parent().expect("a program lies in a directory")).expect("a directory for the test")
}

/// A new data file that goes around the cache where it can.
pub(crate) fn data_file(dir: &Path) -> File {
    File::create(&dir.join("data"), Caching::Around).expect("a data file")
}

/// Waits until `count` operations are complete.
pub(crate) fn take(io: &mut Backend, count: usize) -> Vec<Completion<TestPage>> {
    let mut done = Vec::new();
    while done.len() < count {
        let before = done.len();
        io.wait(Some(Duration::from_secs(60)), &mut done);
        assert!(done.len() > before, "{before} of {count} operations were answered, and then none for a minute");
    }
    assert_eq!(done.len(), count, "nothing is answered twice");
    done
}

/// Does one operation.
pub(crate) fn run(io: &mut Backend, op: Op<TestPage>) -> Completion<TestPage> {
    io.submit(op, 77);
    let completion = take(io, 1).remove(0);
    assert_eq!(completion.user, 77);
    completion
}

/// Does one operation that must succeed.
pub(crate) fn run_well(io: &mut Backend, op: Op<TestPage>) -> (Outcome, Option<Box<[TestPage]>>) {
    let completion = run(io, op);
    (completion.result.expect("the operation is done"), completion.buffer)
}
