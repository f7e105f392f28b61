//! The tables: what is stored under which key.

use lostore::schema::FieldType;
use lostore::schema::keys::{KeyBuf, KeyError, KeyReader};
use lostore::{KeyField, Ptr, TableType};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The number of a thing in the tree. Never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Ino(pub u64);

/// The directory that all paths begin at.
pub const ROOT: Ino = Ino(1);

impl KeyField for Ino {
    fn field_type() -> FieldType {
        u64::field_type()
    }

    fn encode(&self, out: &mut KeyBuf) {
        self.0.encode(out);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        KeyField::decode(reader).map(Self)
    }
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a thing is. It never changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Kind {
    /// A file.
    #[default]
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
}

/// A time: seconds since 1970, which may be negative, and nanoseconds from there on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Time {
    /// Seconds.
    pub s: i64,
    /// Nanoseconds, below 10^9.
    pub ns: u32,
}

impl Time {
    /// The system's present time.
    #[must_use]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { s: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), ns: since.subsec_nanos() }
    }
}

/// What a new thing begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// Permission bits (`0o7777`).
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// When its content last changed.
    pub mtime: Time,
}

impl Attributes {
    /// Those of something new: this mode, this moment, nothing else.
    #[must_use]
    pub fn new(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, size: 0, mtime: Time::now() }
    }
}

/// A thing in the tree.
#[derive(TableType, Clone, PartialEq, Debug)]
#[table(hash)]
pub struct Inode {
    /// Its number.
    #[key]
    pub ino: Ino,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// By how many names it is known. A directory has one; the root counts as known by one.
    pub nlink: u32,
    /// The owner.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// When its content last changed. Of a directory see [`Directory::mtime`]; [`MdService::stat`](crate::MdService::stat)
    /// puts that here.
    pub mtime: Time,
}

/// What a directory has beside its inode: the stamp of the last change of its names.
#[derive(TableType, Clone, PartialEq, Debug)]
#[table(hash)]
pub struct Directory {
    /// Its number.
    #[key]
    pub ino: Ino,
    /// When a name in it last changed.
    pub mtime: Time,
}

/// A name in a directory.
#[derive(TableType, Clone, PartialEq, Debug)]
#[table(ordered)]
pub struct Dirent {
    /// The directory.
    #[key]
    pub parent: Ino,
    /// The name: bytes, not text.
    #[key]
    pub name: Vec<u8>,
    /// What it names.
    pub inode: Ptr<Inode>,
    /// What kind of thing that is, so that a listing need not ask.
    pub kind: Kind,
}

impl Dirent {
    /// A name for `ino`.
    #[must_use]
    pub fn new(parent: Ino, name: &[u8], ino: Ino, kind: Kind) -> Self {
        Self { parent, name: name.to_vec(), inode: Ptr::to(ino), kind }
    }

    /// What it names.
    ///
    /// # Errors
    /// When the pointer was not made by this service.
    pub fn ino(&self) -> Result<Ino, crate::Error> {
        self.inode.key().ok().flatten().ok_or(crate::Error::BadPointer { parent: self.parent })
    }
}

/// A name, found from what it names.
#[derive(TableType, Clone, PartialEq, Debug)]
#[table(ordered)]
pub struct Parent {
    /// What is named.
    #[key]
    pub child: Ino,
    /// In which directory.
    #[key]
    pub parent: Ino,
    /// By which name.
    #[key]
    pub name: Vec<u8>,
}

impl Parent {
    /// A name of `child`.
    #[must_use]
    pub fn new(child: Ino, parent: Ino, name: &[u8]) -> Self {
        Self { child, parent, name: name.to_vec() }
    }
}

/// Where a symbolic link leads.
#[derive(TableType, Clone, PartialEq, Debug)]
#[table(hash)]
pub struct Symlink {
    /// The link.
    #[key]
    pub ino: Ino,
    /// Its target, as it was given.
    pub target: Vec<u8>,
}

/// One operation of the changelog.
#[derive(TableType, Clone, PartialEq, Debug)]
#[table(ordered)]
pub struct Change {
    /// Which service made it.
    #[key]
    pub writer: u32,
    /// Its number among those of this service.
    #[key]
    pub number: u64,
    /// When it was sent, all changes of this service with numbers below this had been committed or refused.
    pub settled: u64,
    /// What was done.
    pub op: Op,
}

/// What an operation did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Something new was made under a name.
    Made {
        /// What.
        ino: Ino,
        /// Of which kind.
        kind: Kind,
        /// In which directory.
        parent: Ino,
        /// By which name.
        name: Vec<u8>,
    },
    /// Something got one more name.
    Linked {
        /// What.
        ino: Ino,
        /// In which directory.
        parent: Ino,
        /// By which name.
        name: Vec<u8>,
    },
    /// A name was removed (by unlink or rmdir).
    Removed {
        /// What it named.
        ino: Ino,
        /// In which directory.
        parent: Ino,
        /// By which name.
        name: Vec<u8>,
    },
    /// A name was moved.
    Renamed {
        /// What it names.
        ino: Ino,
        /// From which directory.
        from: Ino,
        /// The name there.
        from_name: Vec<u8>,
        /// To which directory.
        to: Ino,
        /// The name there.
        to_name: Vec<u8>,
        /// What the target's name named before.
        replaced: Option<Ino>,
    },
    /// Attributes were set.
    Set {
        /// Of what.
        ino: Ino,
    },
}

/// A service that makes changes. Each change stamps the pair of its writer, whose version thus tells whether there are new ones.
#[derive(TableType, Clone, PartialEq, Debug)]
#[table(ordered)]
pub struct Writer {
    /// Which service.
    #[key]
    pub id: u32,
    /// The number of the change that stamped it; that of its first change, before there is any.
    pub number: u64,
}

/// What has been given to services so far: one pair, with the id 0.
#[derive(TableType, Clone, PartialEq, Debug)]
#[table(hash)]
pub struct Lease {
    /// Always 0.
    #[key]
    pub id: u8,
    /// The first inode number not given yet.
    pub next_ino: u64,
    /// The first writer id not given yet.
    pub next_writer: u32,
}
