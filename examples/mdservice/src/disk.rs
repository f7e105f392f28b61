//! The file system, as far as an import and a comparison look at it: listings with attributes, names as bytes.
//!
//! Contract: nothing is followed (a symbolic link is itself), a listing is in the order of its names, and what cannot be read is
//! counted, not fatal.

use crate::limits::LISTED_MAX;
use crate::tables::{Attributes, Kind, Time};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Something that a listing found.
#[derive(Clone, Debug)]
pub(crate) struct OnDisk {
    pub(crate) path: PathBuf,
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
    /// Where it leads, of a symbolic link; else nothing.
    pub(crate) target: Vec<u8>,
    pub(crate) device: u64,
    /// Which file of its device it is: two names with the same number are links.
    pub(crate) file: u64,
    pub(crate) nlink: u64,
    /// When anything about it last changed.
    pub(crate) changed: Time,
}

/// What could not be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its path.
    pub path: PathBuf,
    /// The system's answer.
    pub why: io::Error,
}

/// Counts what could not be read, and keeps the first of it.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    pub(crate) count: u64,
    pub(crate) first: Vec<Unreadable>,
}

impl Unread {
    /// The value, or a count of the error.
    pub(crate) fn or_count<V>(&mut self, path: &Path, value: io::Result<V>) -> Option<V> {
        match value {
            Ok(value) => Some(value),
            Err(why) => {
                self.count += 1;
                if self.first.len() < LISTED_MAX {
                    self.first.push(Unreadable { path: path.to_owned(), why });
                }
                None
            }
        }
    }
}

impl OnDisk {
    /// What is at this path.
    pub(crate) fn read(path: PathBuf) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(&path)?;
        let target = match metadata.is_symlink() {
            true => fs::read_link(&path)?.into_os_string().into_vec(),
            false => Vec::new(),
        };
        let name = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        Ok(Self {
            name,
            kind: kind_of(&metadata),
            attributes: attributes_of(&metadata, target.len() as u64),
            target,
            device: metadata.dev(),
            file: metadata.ino(),
            nlink: metadata.nlink(),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
            path,
        })
    }

    /// The device and file that other names may share; `None` when this is its only name or a directory.
    pub(crate) fn shared(&self) -> Option<(u64, u64)> {
        (self.nlink > 1 && self.kind != Kind::Directory).then_some((self.device, self.file))
    }
}

/// What is in a directory, in the order of the names.
pub(crate) fn list(directory: &Path, unread: &mut Unread) -> Vec<OnDisk> {
    let Some(names) = unread.or_count(directory, fs::read_dir(directory)) else { return Vec::new() };
    let paths = names.filter_map(|name| unread.or_count(directory, name).map(|name| name.path()));
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    paths.into_iter().filter_map(|path| unread.or_count(&path.clone(), OnDisk::read(path))).collect()
}

fn kind_of(metadata: &Metadata) -> Kind {
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => Kind::Directory,
        () if kind.is_symlink() => Kind::Symlink,
        () if kind.is_fifo() => Kind::Fifo,
        () if kind.is_socket() => Kind::Socket,
        () if kind.is_block_device() => Kind::BlockDevice,
        () if kind.is_char_device() => Kind::CharDevice,
        () => Kind::File,
    }
}

fn attributes_of(metadata: &Metadata, target_bytes: u64) -> Attributes {
    let size = match kind_of(metadata) {
        Kind::File => metadata.len(),
        Kind::Symlink => target_bytes,
        // What a file system says of the others is about itself.
        Kind::Directory | Kind::Fifo | Kind::Socket | Kind::BlockDevice | Kind::CharDevice => 0,
    };
    Attributes {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        size,
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
    }
}

fn time(s: i64, ns: i64) -> Time {
    Time { s, ns: u32::try_from(ns).expect("nanoseconds are below 10^9") }
}
