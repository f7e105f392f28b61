//! Rename: within a directory or across, over an existing target, never into itself.

use crate::error::Error;
use crate::limits::DEPTH_MAX;
use crate::look::Named;
use crate::service::{MdService, check_name};
use crate::tables::{Dirent, Ino, Inode, Kind, Op, Parent, ROOT, Time};
use lostore::{Backend, Expect, Follow, Found, Ticket, Txn};

impl<B: Backend> MdService<B> {
    /// Moves a name. What had the target's name is replaced as POSIX says: a directory only by a directory and only when it is
    /// empty, anything else only by what is no directory. Two names of one thing stay as they are.
    ///
    /// # Errors
    /// When there is no such name, the target is no directory or lies inside what is moved, or may not be replaced.
    pub fn rename(&self, from: Ino, from_name: &[u8], to: Ino, to_name: &[u8]) -> Result<Ticket<B>, Error> {
        check_name(to_name)?;
        self.retry(|| {
            let moved = self.dirents.get((from, from_name))?;
            let moved = moved.ok_or_else(|| Error::NotFound { parent: from, name: from_name.to_vec() })?;
            let ino = moved.ino()?;
            let replaced = self.replaced(to, to_name)?;
            if let Some((there, inode)) = &replaced
                && inode.ino == ino
            {
                return self.both_stay(&moved, there);
            }
            let climbs = moved.kind == Kind::Directory && from != to;
            let mut txn = if climbs { self.outside(ino, to)? } else { self.store.txn() };
            self.stamp(&mut txn, from, Time::now())?;
            self.stamp(&mut txn, to, Time::now())?;
            txn.unchanged(&self.dirents, &moved)?;
            txn.delete(&self.dirents, (from, from_name))?;
            txn.delete(&self.parents, (ino, from, from_name))?;
            txn.insert(&self.parents, Parent::new(ino, to, to_name))?;
            let dirent = Dirent::new(to, to_name, ino, moved.kind);
            let replaced_ino = replaced.as_ref().map(|(_, inode)| inode.ino);
            match replaced {
                None => txn.insert(&self.dirents, dirent)?,
                Some((there, inode)) => {
                    txn.unchanged(&self.dirents, &there)?;
                    txn.update(&self.dirents, dirent)?;
                    self.make_way(&mut txn, moved.kind, inode, to, to_name)?;
                }
            }
            let (from_name, to_name) = (from_name.to_vec(), to_name.to_vec());
            self.commit(txn, Op::Renamed { ino, from, from_name, to, to_name, replaced: replaced_ino })
        })
    }

    /// What has the target's name.
    fn replaced(&self, to: Ino, name: &[u8]) -> Result<Option<Named>, Error> {
        match self.dirents.follow((to, name), Dirent::INODE)? {
            Follow::Found { from, to } => Ok(Some((from, to))),
            Follow::Absent if self.directories.contains(to)? => Ok(None),
            Follow::Absent => Err(Error::NotADirectory { ino: to }),
            Follow::Null { .. } | Follow::Dangling { .. } => Err(Error::Contended),
        }
    }

    /// Removes what had the target's name, if what is moved may take its place.
    fn make_way(&self, txn: &mut Txn<B>, moved: Kind, inode: Found<Inode>, to: Ino, name: &[u8]) -> Result<(), Error> {
        let ino = inode.ino;
        match (moved == Kind::Directory, inode.kind == Kind::Directory) {
            (true, true) => self.forget_directory(txn, ino, to, name),
            (true, false) => Err(Error::NotADirectory { ino }),
            (false, true) => Err(Error::IsADirectory { ino }),
            (false, false) => self.forget_name(txn, inode, to, name),
        }
    }

    /// Both names are of one thing: nothing changes, and the commit checks that it is so.
    fn both_stay(&self, moved: &Found<Dirent>, there: &Found<Dirent>) -> Result<Ticket<B>, Error> {
        let mut txn = self.store.txn();
        txn.unchanged(&self.dirents, moved)?;
        txn.unchanged(&self.dirents, there)?;
        Ok(txn.commit()?)
    }

    /// A transaction that commits only if `directory` does not lie inside `moved`: it compares each step up to the root.
    fn outside(&self, moved: Ino, directory: Ino) -> Result<Txn<B>, Error> {
        let mut txn = self.store.txn();
        let mut at = directory;
        for _ in 0..DEPTH_MAX {
            if at == moved {
                // The steps were read one by one. Only if they all hold at one moment is the refusal right.
                txn.commit()?;
                return Err(Error::IntoItself { ino: moved });
            }
            if at == ROOT {
                return Ok(txn);
            }
            let up = self.names_of(at).next().transpose()?.ok_or(Error::NotADirectory { ino: at })?;
            txn.compare(&self.parents, (at, up.parent, &up.name[..]), Expect::Present)?;
            at = up.parent;
        }
        Err(Error::TooDeep { ino: directory })
    }
}
