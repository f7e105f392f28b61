//! Comparing a tree in the store with the file system, name by name.
//!
//! Contract: every check is counted. What differs is looked at once more, on both sides; what has changed on disk since the import
//! began is counted apart. Names are compared both ways: those on disk must be in the store (after a complete import), those
//! in the store must be on disk.

use crate::disk::{OnDisk, Unread, Unreadable, list};
use crate::error::Error;
use crate::limits::{COMPARED_TOGETHER, LISTED_MAX};
use crate::look::with_stamp;
use crate::service::MdService;
use crate::tables::{Dirent, Ino, Inode, Kind, Time};
use lostore::Backend;
use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How to compare.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompareOptions {
    /// The import did not come to its end, so names may be missing in the store.
    pub partial: bool,
    /// When the import began: what has changed on disk since then is no mismatch.
    pub imported: Option<Time>,
}

/// What was compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// The name is on both sides.
    Name,
    /// What it is.
    Kind,
    /// Permission bits.
    Mode,
    /// Owner and group.
    Owner,
    /// Bytes of content.
    Size,
    /// When the content last changed.
    Mtime,
    /// Where a symbolic link leads.
    Target,
    /// The parent pointer leads back to the name.
    Parent,
    /// Two names are of one thing on both sides, or on none.
    Link,
}

/// Something that is not the same in the store and on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// Where.
    pub path: PathBuf,
    /// In what.
    pub field: Field,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} differs", self.path.display(), self.field)
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct CompareReport {
    /// Names that were compared.
    pub entries: u64,
    /// Single checks.
    pub checks: u64,
    /// Checks that failed.
    pub mismatches: u64,
    /// The first of them.
    pub mismatches_first: Vec<Mismatch>,
    /// Things that were different once and the same at the second look.
    pub rechecked: u64,
    /// Things that have changed on disk since the import.
    pub changed: u64,
    /// What could not be read.
    pub unreadable: u64,
    /// The first of it.
    pub unreadable_first: Vec<Unreadable>,
}

impl CompareReport {
    /// Whether store and disk are the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.mismatches == 0
    }
}

impl<B: Backend> MdService<B> {
    /// Compares what is in the directory `path` with the directory `at`.
    ///
    /// # Errors
    /// When `path` cannot be read, there is no `at`, or the store fails. A difference is not an error.
    pub fn compare_tree(&self, path: &Path, at: Ino, options: CompareOptions) -> Result<CompareReport, Error> {
        let top = OnDisk::read(path.to_owned()).map_err(|why| Error::Disk { path: path.to_owned(), why })?;
        let device = top.device;
        let mut compare = Compare {
            service: self,
            options,
            device,
            unread: Unread::default(),
            links: BTreeMap::new(),
            report: CompareReport::default(),
        };
        let mut listings = vec![(top, at)];
        while let Some((directory, ino)) = listings.pop() {
            compare.directory(&directory, ino, &mut listings)?;
        }
        Ok(compare.finish())
    }

    /// What the store has under these names, all asked for at once.
    fn stored(&self, dirents: &[Dirent]) -> Result<Vec<Option<Stored>>, Error> {
        let asked = dirents.iter().map(|dirent| {
            let ino = dirent.ino()?;
            let named = self.parents.get_async((ino, dirent.parent, &dirent.name[..]));
            Ok((self.inodes.get_async(ino), self.directories.get_async(ino), self.symlinks.get_async(ino), named))
        });
        let asked: Vec<_> = asked.collect::<Result<_, Error>>()?;
        let answers = asked.into_iter().map(|(inode, directory, symlink, named)| {
            let (inode, directory, symlink) = (inode.wait()?, directory.wait()?, symlink.wait()?);
            let named = named.wait()?.is_some();
            Ok(inode.map(|inode| Stored {
                inode: with_stamp(inode.into_record(), directory.as_deref()),
                target: symlink.map(|symlink| symlink.into_record().target).unwrap_or_default(),
                named,
            }))
        });
        answers.collect()
    }
}

/// What the store has under a name.
struct Stored {
    inode: Inode,
    target: Vec<u8>,
    /// Whether a parent pointer leads back to the name.
    named: bool,
}

struct Compare<'s, B: Backend> {
    service: &'s MdService<B>,
    options: CompareOptions,
    device: u64,
    unread: Unread,
    /// What has more than one name on disk, by device and file.
    links: BTreeMap<(u64, u64), Ino>,
    report: CompareReport,
}

impl<B: Backend> Compare<'_, B> {
    /// Compares a directory's names, and puts the directories among them onto the list.
    fn directory(&mut self, directory: &OnDisk, ino: Ino, listings: &mut Vec<(OnDisk, Ino)>) -> Result<(), Error> {
        let unread = self.unread.count;
        let on_disk = list(&directory.path, &mut self.unread);
        let readable = unread == self.unread.count;
        let mut dirents = BTreeMap::new();
        for dirent in self.service.readdir(ino) {
            let dirent = dirent?.into_record();
            dirents.insert(dirent.name.clone(), dirent);
        }
        let (mut pairs, mut missing) = (Vec::new(), Vec::new());
        for found in on_disk {
            match dirents.remove(&found.name) {
                Some(dirent) => pairs.push((found, dirent)),
                None => missing.push(found),
            }
        }
        for chunk in pairs.chunks(COMPARED_TOGETHER) {
            self.names(chunk)?;
        }
        if self.options.partial {
            missing.clear();
        }
        for found in missing {
            self.judge(&found.path, &[Field::Name], Some(found.changed));
        }
        // What is in the store alone was removed, and its directory changed with it; unless the disk could not be read.
        for name in dirents.into_keys().filter(|_| readable) {
            let changed = OnDisk::read(directory.path.clone()).ok().map(|now| now.changed);
            self.judge(&directory.path.join(std::ffi::OsStr::from_bytes(&name)), &[Field::Name], changed);
        }
        for (found, dirent) in pairs {
            if found.kind == Kind::Directory && found.device == self.device {
                listings.push((found, dirent.ino()?));
            }
        }
        Ok(())
    }

    fn names(&mut self, pairs: &[(OnDisk, Dirent)]) -> Result<(), Error> {
        let dirents: Vec<Dirent> = pairs.iter().map(|(_, dirent)| dirent.clone()).collect();
        let stored = self.service.stored(&dirents)?;
        for ((found, dirent), stored) in pairs.iter().zip(stored) {
            self.report.entries += 1;
            let different = self.differences(found, dirent, stored.as_ref())?;
            if !different.is_empty() {
                self.look_again(found, dirent)?;
            }
        }
        Ok(())
    }

    /// A second look, at both sides, decides.
    fn look_again(&mut self, found: &OnDisk, dirent: &Dirent) -> Result<(), Error> {
        let Ok(now) = OnDisk::read(found.path.clone()) else {
            self.report.changed += 1;
            return Ok(());
        };
        let stored = self.service.stored(std::slice::from_ref(dirent))?.pop().flatten();
        let different = self.differences(&now, dirent, stored.as_ref())?;
        if different.is_empty() {
            self.report.rechecked += 1;
        }
        self.judge(&found.path, &different, Some(now.changed));
        Ok(())
    }

    /// Counts differences: as mismatches, unless the disk has changed since the import.
    fn judge(&mut self, path: &Path, fields: &[Field], changed: Option<Time>) {
        if fields.is_empty() {
            return;
        }
        if self.options.imported.zip(changed).is_some_and(|(imported, changed)| changed >= imported) {
            self.report.changed += 1;
            return;
        }
        for &field in fields {
            self.report.mismatches += 1;
            if self.report.mismatches_first.len() < LISTED_MAX {
                self.report.mismatches_first.push(Mismatch { path: path.to_owned(), field });
            }
        }
    }

    /// In what the two sides differ.
    fn differences(&mut self, disk: &OnDisk, dirent: &Dirent, stored: Option<&Stored>) -> Result<Vec<Field>, Error> {
        let Some(Stored { inode, target, named }) = stored else { return Ok(vec![Field::Name]) };
        let ino = dirent.ino()?;
        let linked = disk.shared().map(|file| *self.links.entry(file).or_insert(ino));
        let wanted = &disk.attributes;
        let checks = [
            (Field::Name, disk.name == dirent.name && inode.ino == ino),
            (Field::Kind, disk.kind == inode.kind && disk.kind == dirent.kind),
            (Field::Mode, wanted.mode == inode.mode),
            (Field::Owner, (wanted.uid, wanted.gid) == (inode.uid, inode.gid)),
            (Field::Size, wanted.size == inode.size),
            (Field::Mtime, wanted.mtime == inode.mtime),
            (Field::Target, disk.target == *target),
            (Field::Parent, *named),
            (Field::Link, linked.is_none_or(|linked| linked == ino)),
        ];
        self.report.checks += checks.len() as u64;
        Ok(checks.into_iter().filter(|(_, same)| !same).map(|(field, _)| field).collect())
    }

    fn finish(mut self) -> CompareReport {
        self.report.unreadable = self.unread.count;
        self.report.unreadable_first = self.unread.first;
        self.report
    }
}
