//! A metadata service on lostore: the names, attributes and links of a file tree, and a log of what was done to them.
//!
//! It is written to be copied. Contract: every operation is one transaction whose compares name all that it relied on, so any
//! number of clients may work on one tree, embedded or over a socket, and each operation happens whole or not at all. The file's
//! content is not kept; [`Inode::size`] is what the caller says.
//!
//! What the tables are for ([`tables`]):
//! * `inode`: what a thing is, and by how many names it is known;
//! * `directory`: one pair for each directory, stamped by every operation that changes a name in it. The stamp is written blindly,
//!   so two clients that create in one directory do not meet; that the stamp must find its pair says that the directory still
//!   is there; and whoever removes a directory compares the stamp's version, so no name slips in behind its look;
//! * `dirent`: from directory and name to the inode, a pointer, so that a lookup is one `follow`; ordered, so that a listing
//!   is one iteration;
//! * `parent`: from an inode back to its names;
//! * `symlink`: where symbolic links lead;
//! * `change` and `writer`: the changelog, below;
//! * `lease`: one pair, from which each service takes its writer's id once and inode numbers by the thousand, so that the only
//!   place where all clients meet is touched once in a thousand operations.
//!
//! # No cycles
//! A directory that moves to another directory must not end up inside itself. The rename walks from the target up to the root
//! and puts a compare of each step, the `parent` pair of each directory on the way, into its transaction. Two renames that would
//! make a cycle together each break a step that the other compares: the second one is refused, looks again, and sees it.
//!
//! # The changelog
//! Each operation adds one `change` pair, in its own transaction. One counter for all would make every client wait for every
//! other, so each service numbers its changes itself, below its own writer id. What orders them is the version that the store
//! gives each pair at commit: versions rise in the order of commits, and whatever has a version below one that was read can
//! be read too. [`MdService::changes_since`] first reads the newest version there is, then every change up to it that is newer
//! than the cursor. So nothing comes twice, nothing is skipped, and changes come in the order in which they happened, whichever
//! client made them.
//!
//! To find these changes without reading all: a change's transaction also stamps the pair of its writer, so the versions of these
//! few pairs tell the newest there is and who has anything new. Within a writer, numbers are nearly in the order of versions; not
//! quite, since of two commits under way the later may be decided first. Each change therefore says up to where all numbers were
//! `settled` (committed or refused) when it was sent. From that a reader knows how far behind a number it must look for an
//! earlier version: never further than its writer had operations under way. Refused operations leave numbers unused.

mod changes;
mod compare;
mod disk;
mod error;
mod fsck;
mod import;
pub mod limits;
mod look;
mod names;
mod rename;
mod service;
pub mod tables;

pub use crate::changes::{ChangeCursor, Changes, Happened};
pub use crate::compare::{CompareOptions, CompareReport, Field, Mismatch};
pub use crate::disk::Unreadable;
pub use crate::error::Error;
pub use crate::fsck::{FsckReport, Problem};
pub use crate::import::{ImportOptions, ImportReport, Progress};
pub use crate::look::SetAttributes;
pub use crate::names::{Made, NewNode, PendingMake};
pub use crate::service::MdService;
pub use crate::tables::{Attributes, Ino, Kind, Op, ROOT, Time};
