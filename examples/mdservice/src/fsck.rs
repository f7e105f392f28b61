//! Checking the tree's own invariants.
//!
//! Contract: every check is counted, every breach is counted and the first are listed. It reads table after table, so the tree
//! must be at rest meanwhile. Memory: about 200 bytes for each name.
//!
//! That the changelog has no gap is checked by doing it all over: the changes from the first to the last, played from an empty root,
//! must give the very names that there are.

use crate::changes::ChangeCursor;
use crate::error::Error;
use crate::limits::{CHANGES_TOGETHER, LISTED_MAX};
use crate::service::MdService;
use crate::tables::{Ino, Kind, Op, ROOT};
use lostore::Backend;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error as ThisError;

/// A breach of an invariant.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
#[non_exhaustive]
pub enum Problem {
    /// A name leads nowhere.
    #[error("'{}' in directory {parent} leads to no inode", name.escape_ascii())]
    Dangling {
        /// The directory.
        parent: Ino,
        /// The name.
        name: Vec<u8>,
    },
    /// A name says another kind than its inode.
    #[error("'{}' in directory {parent} is of another kind than its inode", name.escape_ascii())]
    WrongKind {
        /// The directory.
        parent: Ino,
        /// The name.
        name: Vec<u8>,
    },
    /// A name is in something that is no directory.
    #[error("'{}' is in {parent}, which is no directory", name.escape_ascii())]
    InNoDirectory {
        /// What it is in.
        parent: Ino,
        /// The name.
        name: Vec<u8>,
    },
    /// A name has no parent pointer.
    #[error("'{}' in directory {parent} has no pointer back", name.escape_ascii())]
    NoPointerBack {
        /// The directory.
        parent: Ino,
        /// The name.
        name: Vec<u8>,
    },
    /// There are more parent pointers than names.
    #[error("{pointers} parent pointers for {names} names")]
    PointersLeft {
        /// Parent pointers.
        pointers: u64,
        /// Names.
        names: u64,
    },
    /// The link count is not the number of names.
    #[error("inode {ino} counts {nlink} names and has {names}")]
    WrongCount {
        /// The inode.
        ino: Ino,
        /// What it counts.
        nlink: u32,
        /// What it has.
        names: u32,
    },
    /// A directory without its stamp, or a stamp without a directory.
    #[error("inode {ino} and its directory stamp do not agree")]
    WrongStamp {
        /// The inode.
        ino: Ino,
    },
    /// A symbolic link without its target, or a target without a link.
    #[error("inode {ino} and its link target do not agree")]
    WrongTarget {
        /// The inode.
        ino: Ino,
    },
    /// No path from the root leads there: an orphan, or a cycle.
    #[error("no path leads from the root to inode {ino}")]
    Unreachable {
        /// The inode.
        ino: Ino,
    },
    /// The number was not given by the lease.
    #[error("inode {ino} has a number that was not given yet")]
    NotLeased {
        /// The inode.
        ino: Ino,
    },
    /// The changelog does not lead to the names that there are.
    #[error("the changes lead to {played} names that are not there, and not to {missed} that are")]
    LogDiffers {
        /// Names that only the changelog knows.
        played: u64,
        /// Names that it does not know.
        missed: u64,
    },
    /// A change that does not follow from those before.
    #[error("a change of inode {ino} does not follow from those before")]
    LogBroken {
        /// The inode.
        ino: Ino,
    },
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FsckReport {
    /// Inodes there are.
    pub inodes: u64,
    /// Names there are.
    pub names: u64,
    /// Changes there are.
    pub changes: u64,
    /// Single checks.
    pub checks: u64,
    /// Checks that failed.
    pub problems: u64,
    /// The first of them.
    pub problems_first: Vec<Problem>,
}

impl FsckReport {
    /// Whether all is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems == 0
    }

    fn check(&mut self, holds: bool, problem: impl FnOnce() -> Problem) {
        self.checks += 1;
        if holds {
            return;
        }
        self.problems += 1;
        if self.problems_first.len() < LISTED_MAX {
            self.problems_first.push(problem());
        }
    }
}

/// Directory and name, and what it names.
type Names = BTreeMap<(Ino, Vec<u8>), Ino>;

/// What is known of an inode.
struct Node {
    kind: Kind,
    nlink: u32,
    names: u32,
}

impl<B: Backend> MdService<B> {
    /// Checks the whole tree.
    ///
    /// # Errors
    /// When the store fails. A breach is not an error.
    pub fn fsck(&self) -> Result<FsckReport, Error> {
        let mut report = FsckReport::default();
        let mut nodes = self.nodes()?;
        let names = self.check_names(&mut nodes, &mut report)?;
        self.check_nodes(&nodes, &mut report)?;
        check_reach(&nodes, &names, &mut report);
        self.check_log(&names, &mut report)?;
        Ok(report)
    }

    fn nodes(&self) -> Result<BTreeMap<Ino, Node>, Error> {
        let mut nodes = BTreeMap::new();
        for inode in self.inodes.iter() {
            let inode = inode?;
            // The root is known by one name that is in no directory.
            let names = u32::from(inode.ino == ROOT);
            nodes.insert(inode.ino, Node { kind: inode.kind, nlink: inode.nlink, names });
        }
        Ok(nodes)
    }

    /// Names against inodes, directories and parent pointers.
    fn check_names(&self, nodes: &mut BTreeMap<Ino, Node>, report: &mut FsckReport) -> Result<Names, Error> {
        let mut pointers = BTreeSet::new();
        for pointer in self.parents.iter() {
            let pointer = pointer?.into_record();
            pointers.insert((pointer.child, pointer.parent, pointer.name));
        }
        let mut names = Names::new();
        for dirent in self.dirents.iter() {
            let dirent = dirent?.into_record();
            let (ino, kind, parent, name) = (dirent.ino()?, dirent.kind, dirent.parent, dirent.name);
            let directory = nodes.get(&parent).is_some_and(|parent| parent.kind == Kind::Directory);
            report.check(directory, || Problem::InNoDirectory { parent, name: name.clone() });
            let back = pointers.contains(&(ino, parent, name.clone()));
            report.check(back, || Problem::NoPointerBack { parent, name: name.clone() });
            let node = nodes.get_mut(&ino);
            report.check(node.is_some(), || Problem::Dangling { parent, name: name.clone() });
            if let Some(node) = node {
                report.check(node.kind == kind, || Problem::WrongKind { parent, name: name.clone() });
                node.names += 1;
            }
            names.insert((parent, name), ino);
        }
        report.names = names.len() as u64;
        let (pointers, names_found) = (pointers.len() as u64, report.names);
        report.check(pointers == names_found, || Problem::PointersLeft { pointers, names: names_found });
        Ok(names)
    }

    /// Inodes against their counts, stamps, targets and the lease.
    fn check_nodes(&self, nodes: &BTreeMap<Ino, Node>, report: &mut FsckReport) -> Result<(), Error> {
        let stamps: BTreeSet<Ino> =
            self.directories.iter().map(|pair| pair.map(|pair| pair.ino)).collect::<Result<_, _>>()?;
        let targets: BTreeSet<Ino> =
            self.symlinks.iter().map(|pair| pair.map(|pair| pair.ino)).collect::<Result<_, _>>()?;
        let next_ino = self.leases.get(0)?.map_or(0, |lease| lease.next_ino);
        report.inodes = nodes.len() as u64;
        for (&ino, node) in nodes {
            let (nlink, names) = (node.nlink, node.names);
            report.check(nlink == names, || Problem::WrongCount { ino, nlink, names });
            report.check(ino.0 < next_ino, || Problem::NotLeased { ino });
            let single = node.kind != Kind::Directory || names == 1;
            report.check(single, || Problem::WrongCount { ino, nlink, names });
        }
        for &ino in nodes.keys().chain(&stamps) {
            let directory = nodes.get(&ino).is_some_and(|node| node.kind == Kind::Directory);
            report.check(directory == stamps.contains(&ino), || Problem::WrongStamp { ino });
        }
        for &ino in nodes.keys().chain(&targets) {
            let symlink = nodes.get(&ino).is_some_and(|node| node.kind == Kind::Symlink);
            report.check(symlink == targets.contains(&ino), || Problem::WrongTarget { ino });
        }
        Ok(())
    }

    /// Plays the changelog and compares where it leads.
    fn check_log(&self, names: &Names, report: &mut FsckReport) -> Result<(), Error> {
        let (mut played, mut cursor) = (Names::new(), ChangeCursor::default());
        loop {
            let read = self.changes_since(&cursor, CHANGES_TOGETHER)?;
            for change in read.changes {
                report.changes += 1;
                let (ino, follows) = play(&mut played, change.op);
                report.check(follows, || Problem::LogBroken { ino });
            }
            cursor = read.cursor;
            if !read.more {
                break;
            }
        }
        let only = |these: &Names, others: &Names| {
            these.iter().filter(|(name, ino)| others.get(name) != Some(ino)).count() as u64
        };
        let (extra, missed) = (only(&played, names), only(names, &played));
        report.check(extra == 0 && missed == 0, || Problem::LogDiffers { played: extra, missed });
        Ok(())
    }
}

/// Does to the names what an operation did; tells whether they were as it must have found them.
fn play(names: &mut Names, op: Op) -> (Ino, bool) {
    match op {
        Op::Made { ino, parent, name, .. } | Op::Linked { ino, parent, name } => {
            (ino, names.insert((parent, name), ino).is_none())
        }
        Op::Removed { ino, parent, name } => (ino, names.remove(&(parent, name)) == Some(ino)),
        Op::Renamed { ino, from, from_name, to, to_name, replaced } => {
            let was_there = names.remove(&(from, from_name)) == Some(ino);
            (ino, names.insert((to, to_name), ino) == replaced && was_there)
        }
        Op::Set { ino } => (ino, true),
    }
}

/// From the root every inode must be reached. Names lead from directories, so a cycle cannot be reached.
fn check_reach(nodes: &BTreeMap<Ino, Node>, names: &Names, report: &mut FsckReport) {
    let (mut reached, mut waiting) = (BTreeSet::from([ROOT]), vec![ROOT]);
    while let Some(directory) = waiting.pop() {
        let inside = names.range((directory, Vec::new())..).take_while(|((parent, _), _)| *parent == directory);
        for (_, &ino) in inside {
            if reached.insert(ino) {
                waiting.push(ino);
            }
        }
    }
    for &ino in nodes.keys() {
        report.check(reached.contains(&ino), || Problem::Unreachable { ino });
    }
}
