//! Importing a tree from the file system: one transaction for each name, many under way.
//!
//! Contract: nothing is followed, other devices are not entered, what cannot be read is counted and left out. The import may be
//! ended at any moment; what is there then is a tree (a name is never there without its directory).

use crate::disk::{OnDisk, Unread, Unreadable, list};
use crate::error::Error;
use crate::limits::{DISK_CLOCK_LAG, IN_FLIGHT, PROGRESS_EVERY};
use crate::look::SetAttributes;
use crate::names::{NewNode, PendingMake};
use crate::service::MdService;
use crate::tables::{Attributes, Ino, Kind, Time};
use lostore::Backend;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How to import.
pub struct ImportOptions<'a> {
    /// Stop after so many names.
    pub entries_max: u64,
    /// Transactions under way at most (at least 1).
    pub batch: usize,
    /// Called now and then.
    pub progress: Option<&'a mut dyn FnMut(&Progress)>,
    /// Ends the import when it becomes true.
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for ImportOptions<'_> {
    fn default() -> Self {
        Self { entries_max: u64::MAX, batch: IN_FLIGHT, progress: None, cancel: None }
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Names that are in the store.
    pub entries: u64,
    /// Since the beginning.
    pub elapsed: Duration,
}

impl Progress {
    /// Names a second, since the beginning.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.entries as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// What an import did.
#[derive(Debug, Default)]
pub struct ImportReport {
    /// Names that were made, of all kinds.
    pub entries: u64,
    /// Directories among them.
    pub directories: u64,
    /// Symbolic links among them.
    pub symlinks: u64,
    /// Second and further names of one thing among them.
    pub links: u64,
    /// Names that the store refused because they were there.
    pub refused: u64,
    /// Directories on other devices, made and not entered.
    pub mounts: u64,
    /// What could not be read.
    pub unreadable: u64,
    /// The first of it.
    pub unreadable_first: Vec<Unreadable>,
    /// Whether it came to the end: neither cancelled nor stopped by `entries_max`.
    pub complete: bool,
    /// When it began, by the file system's clock, for a comparison to tell what has changed since.
    pub began: Time,
    /// How long it took.
    pub elapsed: Duration,
}

impl ImportReport {
    /// How far it came.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { entries: self.entries, elapsed: self.elapsed }
    }
}

impl<B: Backend> MdService<B> {
    /// Imports what is in the directory `from` into the directory `into`, which takes its attributes.
    ///
    /// # Errors
    /// When `from` cannot be read, `into` is no directory, or the store fails. The store has all names then that had been
    /// answered, and perhaps some more.
    pub fn import_tree(&self, from: &Path, into: Ino, options: ImportOptions<'_>) -> Result<ImportReport, Error> {
        let began = Time::from(SystemTime::now() - DISK_CLOCK_LAG);
        let top = OnDisk::read(from.to_owned()).map_err(|why| Error::Disk { path: from.to_owned(), why })?;
        if top.kind != Kind::Directory {
            return Err(Error::Disk { path: from.to_owned(), why: std::io::ErrorKind::NotADirectory.into() });
        }
        let Attributes { mode, uid, gid, mtime, .. } = top.attributes;
        let set = SetAttributes { mode: Some(mode), uid: Some(uid), gid: Some(gid), size: None, mtime: Some(mtime) };
        self.set_attributes(into, &set)?;
        let mut import = Import {
            service: self,
            options,
            device: top.device,
            started: Instant::now(),
            unread: Unread::default(),
            under_way: VecDeque::new(),
            links: BTreeMap::new(),
            sent: 0,
            report: ImportReport { began, ..ImportReport::default() },
        };
        import.run(Listing { path: top.path, ino: into, mtime })?;
        Ok(import.finish())
    }
}

/// A directory that is yet to be listed.
struct Listing {
    path: PathBuf,
    ino: Ino,
    mtime: Time,
}

struct Import<'s, 'o, B: Backend> {
    service: &'s MdService<B>,
    options: ImportOptions<'o>,
    device: u64,
    started: Instant,
    unread: Unread,
    under_way: VecDeque<PendingMake<B>>,
    /// What has more than one name on disk, by device and file.
    links: BTreeMap<(u64, u64), Ino>,
    sent: u64,
    report: ImportReport,
}

impl<B: Backend> Import<'_, '_, B> {
    fn run(&mut self, top: Listing) -> Result<(), Error> {
        let mut listings = vec![top];
        while let Some(directory) = listings.pop() {
            for found in list(&directory.path, &mut self.unread) {
                if self.is_to_stop() {
                    return self.wait_for_all();
                }
                let ino = self.import_one(&found, &directory)?;
                if found.kind == Kind::Directory && found.device == self.device {
                    listings.push(Listing { path: found.path, ino, mtime: found.attributes.mtime });
                }
            }
        }
        self.report.complete = true;
        self.wait_for_all()
    }

    fn is_to_stop(&self) -> bool {
        let cancelled = self.options.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed));
        cancelled || self.sent >= self.options.entries_max
    }

    /// Sends one name. Its number is known at once, so the names in it need not wait.
    fn import_one(&mut self, found: &OnDisk, directory: &Listing) -> Result<Ino, Error> {
        self.sent += 1;
        if let Some(&ino) = found.shared().and_then(|file| self.links.get(&file)) {
            return self.import_link(ino, found, directory);
        }
        let new = NewNode {
            parent: directory.ino,
            name: &found.name,
            kind: found.kind,
            attributes: found.attributes,
            target: &found.target,
            parent_mtime: directory.mtime,
        };
        let pending = self.service.start_make(&new)?;
        let ino = pending.ino();
        self.links.extend(found.shared().map(|file| (file, ino)));
        self.report.directories += u64::from(found.kind == Kind::Directory);
        self.report.symlinks += u64::from(found.kind == Kind::Symlink);
        self.report.mounts += u64::from(found.kind == Kind::Directory && found.device != self.device);
        self.under_way.push_back(pending);
        while self.under_way.len() >= self.options.batch.max(1) {
            self.wait_for_oldest()?;
        }
        Ok(ino)
    }

    /// One more name of what was imported before. A link reads the inode, so that must have been made.
    fn import_link(&mut self, ino: Ino, found: &OnDisk, directory: &Listing) -> Result<Ino, Error> {
        self.wait_for_all()?;
        let linked = self.service.link_at(ino, directory.ino, &found.name, directory.mtime);
        self.report.links += u64::from(linked.is_ok());
        self.count(linked.map(drop))?;
        Ok(ino)
    }

    fn wait_for_all(&mut self) -> Result<(), Error> {
        while !self.under_way.is_empty() {
            self.wait_for_oldest()?;
        }
        Ok(())
    }

    fn wait_for_oldest(&mut self) -> Result<(), Error> {
        let Some(oldest) = self.under_way.pop_front() else { return Ok(()) };
        self.count(oldest.wait().map(drop))
    }

    fn count(&mut self, made: Result<(), Error>) -> Result<(), Error> {
        match made {
            Ok(()) => self.report.entries += 1,
            // The directory itself was refused, and so is what would have been in it.
            Err(Error::Exists { .. } | Error::NotADirectory { .. } | Error::NoSuchInode { .. }) => {
                self.report.refused += 1;
            }
            Err(error) => return Err(error),
        }
        if self.report.entries.is_multiple_of(PROGRESS_EVERY) {
            self.tell();
        }
        Ok(())
    }

    fn tell(&mut self) {
        self.report.elapsed = self.started.elapsed();
        if let Some(progress) = &mut self.options.progress {
            progress(&self.report.progress());
        }
    }

    fn finish(mut self) -> ImportReport {
        self.tell();
        self.report.unreadable = self.unread.count;
        self.report.unreadable_first = self.unread.first;
        self.report
    }
}

impl fmt::Debug for ImportOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportOptions(at most {}, {} under way)", self.entries_max, self.batch)
    }
}
