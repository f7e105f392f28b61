//! Looking: names, paths, attributes; and setting attributes.

use crate::error::Error;
use crate::limits::DEPTH_MAX;
use crate::service::MdService;
use crate::tables::{Directory, Dirent, Ino, Inode, Kind, Op, Parent, ROOT, Time};
use lostore::{Backend, Follow, Found, Iter, Ticket};

/// A name and what it names.
pub(crate) type Named = (Found<Dirent>, Found<Inode>);

/// Attributes to be set; what is `None` stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The owner's group.
    pub gid: Option<u32>,
    /// Bytes of content.
    pub size: Option<u64>,
    /// When the content, or of a directory a name in it, last changed.
    pub mtime: Option<Time>,
}

impl<B: Backend> MdService<B> {
    /// What a name names, in one round trip. Of a directory, [`Self::stat`] tells the time of change.
    ///
    /// # Errors
    /// When the store fails.
    pub fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Option<Inode>, Error> {
        match self.retry(|| self.find(parent, name)) {
            Ok((_, inode)) => Ok(Some(inode.into_record())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A name and what it names.
    pub(crate) fn find(&self, parent: Ino, name: &[u8]) -> Result<Named, Error> {
        match self.dirents.follow((parent, name), Dirent::INODE)? {
            Follow::Found { from, to } => Ok((from, to)),
            Follow::Absent => Err(Error::NotFound { parent, name: name.to_vec() }),
            // The name was read, then removed together with what it named.
            Follow::Null { .. } | Follow::Dangling { .. } => Err(Error::Contended),
        }
    }

    /// What a path leads to, one name after the other from the root. Symbolic links are not followed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn resolve(&self, path: &[u8]) -> Result<Option<Inode>, Error> {
        let mut names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let Some(first) = names.next() else { return self.stat(ROOT) };
        let mut at = self.lookup(ROOT, first)?;
        for name in names {
            let Some(inode) = at else { return Ok(None) };
            at = self.lookup(inode.ino, name)?;
        }
        Ok(at)
    }

    /// The names in a directory, in order; none when it is no directory. [`Iter::cursor`] tells where a later listing may resume.
    pub fn readdir(&self, directory: Ino) -> Iter<'static, Dirent, B> {
        self.dirents.prefix((directory,))
    }

    /// The names of a thing, each with its directory.
    pub fn names_of(&self, ino: Ino) -> Iter<'static, Parent, B> {
        self.parents.prefix((ino,))
    }

    /// A path that leads to a thing: by the first of its names. It is read step by step, so while directories are renamed it may
    /// be one that never was.
    ///
    /// # Errors
    /// When there is no such thing.
    pub fn path_of(&self, ino: Ino) -> Result<Vec<u8>, Error> {
        let (mut names, mut at) = (Vec::new(), ino);
        while at != ROOT {
            if names.len() == DEPTH_MAX {
                return Err(Error::TooDeep { ino });
            }
            let up = self.names_of(at).next().transpose()?.ok_or(Error::NoSuchInode { ino: at })?.into_record();
            at = up.parent;
            names.push(up.name);
        }
        names.reverse();
        Ok([&b"/"[..], &names.join(&b'/')].concat())
    }

    /// What a thing is, in one round trip.
    ///
    /// # Errors
    /// When the store fails.
    pub fn stat(&self, ino: Ino) -> Result<Option<Inode>, Error> {
        let (inode, directory) = (self.inodes.get_async(ino), self.directories.get_async(ino));
        let (inode, directory) = (inode.wait()?, directory.wait()?);
        Ok(inode.map(|inode| with_stamp(inode.into_record(), directory.as_deref())))
    }

    /// Where a symbolic link leads; `None` when it is none.
    ///
    /// # Errors
    /// When the store fails.
    pub fn readlink(&self, ino: Ino) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.symlinks.get(ino)?.map(|link| link.into_record().target))
    }

    /// Sets attributes.
    ///
    /// # Errors
    /// When there is no such thing.
    pub fn set_attributes(&self, ino: Ino, set: &SetAttributes) -> Result<Ticket<B>, Error> {
        self.retry(|| {
            let mut inode = self.inodes.get(ino)?.ok_or(Error::NoSuchInode { ino })?;
            let mut txn = self.store.txn();
            txn.unchanged(&self.inodes, &inode)?;
            inode.mode = set.mode.unwrap_or(inode.mode);
            inode.uid = set.uid.unwrap_or(inode.uid);
            inode.gid = set.gid.unwrap_or(inode.gid);
            inode.size = set.size.unwrap_or(inode.size);
            inode.mtime = set.mtime.unwrap_or(inode.mtime);
            txn.update(&self.inodes, &inode)?;
            if let (Kind::Directory, Some(mtime)) = (inode.kind, set.mtime) {
                self.stamp(&mut txn, ino, mtime)?;
            }
            self.commit(txn, Op::Set { ino })
        })
    }
}

/// Puts a directory's time of change where that of all others is.
pub(crate) fn with_stamp(mut inode: Inode, stamp: Option<&Directory>) -> Inode {
    if let Some(stamp) = stamp {
        inode.mtime = stamp.mtime;
    }
    inode
}
