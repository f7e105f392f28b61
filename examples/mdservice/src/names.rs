//! Making and removing names: create, mkdir, symlink, link, unlink, rmdir.
//!
//! Making something new reads nothing: the new name must not be there, the directory must be, and the commit checks both. So many
//! can be sent without waiting, also into a directory whose own making is still under way: `b` is never there without `a`.

use crate::error::Error;
use crate::limits::TARGET_BYTES_MAX;
use crate::service::{MdService, Started, check_name};
use crate::tables::{Attributes, Directory, Dirent, Ino, Inode, Kind, Op, Parent, Symlink, Time};
use lostore::{Backend, Found, Ticket, Txn};
use std::fmt;

/// The stamp of the directory is the first part of a transaction that makes a name, the name itself the second.
const DIRECTORY_PART: u32 = 0;
const NAME_PART: u32 = 1;

/// Something to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewNode<'a> {
    /// In which directory.
    pub parent: Ino,
    /// By which name.
    pub name: &'a [u8],
    /// What.
    pub kind: Kind,
    /// With which attributes.
    pub attributes: Attributes,
    /// Of a symbolic link: where it leads. Nothing for all others.
    pub target: &'a [u8],
    /// The directory's time of change afterwards.
    pub parent_mtime: Time,
}

/// Something that was made.
#[derive(Debug)]
pub struct Made<B: Backend> {
    /// Its number.
    pub ino: Ino,
    /// Tells when it is persistent.
    pub ticket: Ticket<B>,
}

/// Something that is being made. Its number is known already, so what goes into it can be sent at once.
#[must_use = "it is made in any case, but only the answer says whether that succeeded"]
pub struct PendingMake<B: Backend> {
    ino: Ino,
    parent: Ino,
    name: Vec<u8>,
    started: Started<B>,
}

impl<B: Backend> PendingMake<B> {
    /// The number that it has if it succeeds.
    #[must_use]
    pub fn ino(&self) -> Ino {
        self.ino
    }

    /// Waits until it is decided.
    ///
    /// # Errors
    /// When the name is taken, or the parent is no directory.
    pub fn wait(self) -> Result<Made<B>, Error> {
        let ticket = self.started.wait().map_err(|error| refused(error, self.parent, &self.name))?;
        Ok(Made { ino: self.ino, ticket })
    }

    /// Looks whether it is decided; `None` when it is not yet.
    pub fn poll(&mut self) -> Option<Result<Made<B>, Error>> {
        let outcome = self.started.poll()?;
        let made = outcome.map(|ticket| Made { ino: self.ino, ticket });
        Some(made.map_err(|error| refused(error, self.parent, &self.name)))
    }
}

impl<B: Backend> MdService<B> {
    /// Makes a file.
    ///
    /// # Errors
    /// When the name is taken, or the parent is no directory.
    pub fn create(&self, parent: Ino, name: &[u8], attributes: &Attributes) -> Result<Made<B>, Error> {
        self.start_create(parent, name, attributes)?.wait()
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// When the name is none, or nothing could be sent.
    pub fn start_create(&self, parent: Ino, name: &[u8], attributes: &Attributes) -> Result<PendingMake<B>, Error> {
        self.start_make(&new_node(parent, name, Kind::File, attributes, b""))
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn mkdir(&self, parent: Ino, name: &[u8], attributes: &Attributes) -> Result<Made<B>, Error> {
        self.start_mkdir(parent, name, attributes)?.wait()
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// As [`Self::start_create`].
    pub fn start_mkdir(&self, parent: Ino, name: &[u8], attributes: &Attributes) -> Result<PendingMake<B>, Error> {
        self.start_make(&new_node(parent, name, Kind::Directory, attributes, b""))
    }

    /// Makes a symbolic link. Its size is that of its target.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn symlink(&self, parent: Ino, name: &[u8], target: &[u8], attributes: &Attributes) -> Result<Made<B>, Error> {
        self.start_make(&new_node(parent, name, Kind::Symlink, attributes, target))?.wait()
    }

    /// Makes anything, without waiting.
    ///
    /// # Errors
    /// As [`Self::start_create`].
    pub fn start_make(&self, new: &NewNode<'_>) -> Result<PendingMake<B>, Error> {
        check_name(new.name)?;
        check_target(new)?;
        let ino = self.next_ino()?;
        let mut txn = self.store.txn();
        self.stamp(&mut txn, new.parent, new.parent_mtime)?;
        txn.insert(&self.dirents, Dirent::new(new.parent, new.name, ino, new.kind))?;
        txn.insert(&self.parents, Parent::new(ino, new.parent, new.name))?;
        txn.insert(&self.inodes, inode_of(ino, new))?;
        match new.kind {
            Kind::Directory => txn.insert(&self.directories, Directory { ino, mtime: new.attributes.mtime })?,
            Kind::Symlink => txn.insert(&self.symlinks, Symlink { ino, target: new.target.to_vec() })?,
            Kind::File | Kind::Fifo | Kind::Socket | Kind::BlockDevice | Kind::CharDevice => {}
        }
        let (parent, name) = (new.parent, new.name.to_vec());
        let op = Op::Made { ino, kind: new.kind, parent, name: name.clone() };
        Ok(PendingMake { ino, parent, name, started: self.start(txn, op)? })
    }

    /// Gives something one more name. Directories have only one.
    ///
    /// # Errors
    /// When there is no such thing, the name is taken, or the parent is no directory.
    pub fn link(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<Ticket<B>, Error> {
        self.link_at(ino, parent, name, Time::now())
    }

    /// The same, with the directory's time of change afterwards.
    pub(crate) fn link_at(&self, ino: Ino, parent: Ino, name: &[u8], parent_mtime: Time) -> Result<Ticket<B>, Error> {
        check_name(name)?;
        self.retry(|| {
            let mut inode = self.inodes.get(ino)?.ok_or(Error::NoSuchInode { ino })?;
            if inode.kind == Kind::Directory {
                return Err(Error::IsADirectory { ino });
            }
            let mut txn = self.store.txn();
            self.stamp(&mut txn, parent, parent_mtime)?;
            txn.insert(&self.dirents, Dirent::new(parent, name, ino, inode.kind))?;
            txn.insert(&self.parents, Parent::new(ino, parent, name))?;
            txn.unchanged(&self.inodes, &inode)?;
            inode.nlink = inode.nlink.checked_add(1).ok_or(Error::TooManyLinks { ino })?;
            txn.update(&self.inodes, &inode)?;
            let linked = self.commit(txn, Op::Linked { ino, parent, name: name.to_vec() });
            linked.map_err(|error| refused(error, parent, name))
        })
    }

    /// Removes a name; what it named goes with its last name.
    ///
    /// # Errors
    /// When there is no such name, or it names a directory.
    pub fn unlink(&self, parent: Ino, name: &[u8]) -> Result<Ticket<B>, Error> {
        self.retry(|| {
            let (dirent, inode) = self.find(parent, name)?;
            let ino = inode.ino;
            if inode.kind == Kind::Directory {
                return Err(Error::IsADirectory { ino });
            }
            let mut txn = self.store.txn();
            self.stamp(&mut txn, parent, Time::now())?;
            txn.unchanged(&self.dirents, &dirent)?;
            txn.delete(&self.dirents, (parent, name))?;
            self.forget_name(&mut txn, inode, parent, name)?;
            self.commit(txn, Op::Removed { ino, parent, name: name.to_vec() })
        })
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// When there is no such name, it names no directory, or there are names in it.
    pub fn rmdir(&self, parent: Ino, name: &[u8]) -> Result<Ticket<B>, Error> {
        self.retry(|| {
            let (dirent, inode) = self.find(parent, name)?;
            let ino = inode.ino;
            if inode.kind != Kind::Directory {
                return Err(Error::NotADirectory { ino });
            }
            let mut txn = self.store.txn();
            self.stamp(&mut txn, parent, Time::now())?;
            txn.unchanged(&self.dirents, &dirent)?;
            txn.delete(&self.dirents, (parent, name))?;
            self.forget_directory(&mut txn, ino, parent, name)?;
            self.commit(txn, Op::Removed { ino, parent, name: name.to_vec() })
        })
    }

    /// Takes a name from something that is no directory, and removes it when that was its last.
    pub(crate) fn forget_name(
        &self,
        txn: &mut Txn<B>,
        mut inode: Found<Inode>,
        parent: Ino,
        name: &[u8],
    ) -> Result<(), Error> {
        txn.delete(&self.parents, (inode.ino, parent, name))?;
        txn.unchanged(&self.inodes, &inode)?;
        if inode.nlink > 1 {
            inode.nlink -= 1;
            return Ok(txn.update(&self.inodes, &inode)?);
        }
        txn.delete(&self.inodes, inode.ino)?;
        if inode.kind == Kind::Symlink {
            txn.delete(&self.symlinks, inode.ino)?;
        }
        Ok(())
    }

    /// Removes a directory that is empty and stays so until the commit: whoever puts a name into it changes its stamp.
    pub(crate) fn forget_directory(&self, txn: &mut Txn<B>, ino: Ino, parent: Ino, name: &[u8]) -> Result<(), Error> {
        // The stamp is read before the names are looked at: what comes after the look comes after the stamp.
        let stamp = self.directories.get(ino)?.ok_or(Error::Contended)?;
        if self.readdir(ino).next().transpose()?.is_some() {
            return Err(Error::NotEmpty { ino });
        }
        txn.unchanged(&self.directories, &stamp)?;
        txn.delete(&self.directories, ino)?;
        txn.delete(&self.parents, (ino, parent, name))?;
        Ok(txn.delete(&self.inodes, ino)?)
    }
}

fn new_node<'a>(parent: Ino, name: &'a [u8], kind: Kind, attributes: &Attributes, target: &'a [u8]) -> NewNode<'a> {
    let mut attributes = *attributes;
    if kind == Kind::Symlink {
        attributes.size = target.len() as u64;
    }
    NewNode { parent, name, kind, attributes, target, parent_mtime: Time::now() }
}

fn inode_of(ino: Ino, new: &NewNode<'_>) -> Inode {
    let Attributes { mode, uid, gid, size, mtime } = new.attributes;
    Inode { ino, kind: new.kind, mode, nlink: 1, uid, gid, size, mtime }
}

fn check_target(new: &NewNode<'_>) -> Result<(), Error> {
    let why = match new.target.len() {
        0 if new.kind == Kind::Symlink => "a symbolic link leads somewhere",
        bytes if bytes > TARGET_BYTES_MAX => "the target is longer than 4,095 bytes",
        bytes if bytes > 0 && new.kind != Kind::Symlink => "only a symbolic link has a target",
        _ => return Ok(()),
    };
    Err(Error::BadName { name: new.target.to_vec(), why })
}

/// What a failed compare means for a transaction that makes a name.
fn refused(error: Error, parent: Ino, name: &[u8]) -> Error {
    let failed = |part| error.failed_parts().iter().any(|failure| failure.part == part);
    if failed(DIRECTORY_PART) {
        return Error::NotADirectory { ino: parent };
    }
    if failed(NAME_PART) {
        return Error::Exists { parent, name: name.to_vec() };
    }
    error
}

impl<B: Backend> fmt::Debug for PendingMake<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PendingMake({} in {})", self.ino, self.parent)
    }
}
