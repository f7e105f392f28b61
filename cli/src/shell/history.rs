//! Where the shell's history is kept.
//!
//! Contract: `$XDG_STATE_HOME/lostore/history`, or `~/.local/state/lostore/history`; readable by its user only, for records stand in
//! it. Without a place to keep it, or when that cannot be written, there is none, and no error.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file of this user, made if it is not there.
pub(super) fn file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    made(&state.or_else(home)?)
}

/// The file in this directory of state.
pub(super) fn made(state: &Path) -> Option<PathBuf> {
    let folder = state.join("lostore");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    let path = folder.join("history");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).ok()?;
    // One that was there already may have been made by somebody less careful.
    file.set_permissions(Permissions::from_mode(0o600)).ok()?;
    Some(path)
}
