//! The service as a user sees it, on each backend there is.

#![expect(clippy::unwrap_used, reason = "a test that fails here has its message in the error")]

#[path = "tree/backends.rs"]
mod backends;
#[path = "tree/changelog.rs"]
mod changelog;
#[path = "tree/crash.rs"]
mod crash;
#[path = "tree/disk.rs"]
mod disk;
#[path = "tree/model.rs"]
mod model;
#[path = "tree/operations.rs"]
mod operations;
#[path = "tree/race.rs"]
mod race;

use lostore::Backend;
use mdservice::{Attributes, MdService};

/// Attributes for things whose attributes do not matter.
fn plain() -> Attributes {
    Attributes::new(0o644)
}

/// Checks the tree's invariants, and says which is broken.
fn check_sound<B: Backend>(service: &MdService<B>) {
    let report = service.fsck().unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems_first);
    assert!(report.checks > report.inodes, "a check that checks little: {report:?}");
}
