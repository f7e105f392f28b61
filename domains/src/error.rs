//! Errors of a domain: facts inside, one of few kinds outside, a stable code each.
//!
//! Every error says whether the effect happened: all mean *not applied* but the one of a commit that was waiting for its
//! persistence when the domain was poisoned ([`Error::is_applied`]). That one is visible, and survives the next open if its
//! epoch does.

use crate::schema::{Field, TableKind};
use segments::{DeviceError, EpochId, TableId, Version};
use thiserror::Error as ThisError;
use txn::{RANGES_FIRST, SetError};

/// A compare that did not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The part's position in its commit set; of a range compare its own position behind [`RANGES_FIRST`].
    pub part: u32,
    /// What is there: the pair's version, or nothing. In a range, the first pair that should not be there.
    pub found: Option<Version>,
}

impl Failure {
    /// Which of the set's range compares it is of; `None` when it is of a key.
    #[must_use]
    pub fn range(&self) -> Option<u32> {
        self.part.checked_sub(RANGES_FIRST)
    }
}

/// The failures of a set in words: how many, and which is the first.
fn failed(failures: &[Failure]) -> String {
    let first = failures.first().map_or_else(String::new, |first| match first.range() {
        None => format!("; the first is part {}", first.part),
        Some(range) => format!("; the first is range {range}, in which a pair was put since it was read"),
    });
    format!("{} of the transaction's compares did not hold{first}", failures.len())
}

/// The fields of a key in words.
fn key_is(key: &[Field]) -> String {
    match key {
        [] => "this key has no field".to_owned(),
        [field] => format!("the field '{}' of this key is {}", field.name, field.field_type),
        fields => format!("this key has {} fields", fields.len()),
    }
}

/// What the caller must do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// Correct the call: it can never succeed as it is.
    Invalid,
    /// Read again and decide anew: something is not as the call expected it.
    Conflict,
    /// Name something that exists.
    NotFound,
    /// Ask a domain that can do this.
    Unsupported,
    /// Wait, or make room, and try again.
    Full,
    /// Restore or repair the named thing; everything else goes on.
    Corrupt,
    /// The domain is read-only until it is opened again.
    Poisoned,
    /// The machine refused: the message says what to change.
    Environment,
}

/// Why an operation failed.
#[derive(Clone, PartialEq, Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// No table has this name.
    #[error("there is no table '{name}' for this user; `lostore table list` shows those there are")]
    NoSuchTable {
        /// The name.
        name: String,
    },
    /// No table has this id (it was destroyed, or the id is made up).
    #[error("there is no table {table} for this user; it may have been destroyed")]
    TableGone {
        /// The id.
        table: TableId,
    },
    /// The name is taken.
    #[error("there is already a table '{name}'")]
    TableExists {
        /// The name.
        name: String,
    },
    /// A name that no table can have.
    #[error("a table's name has 1 to 255 bytes, this one has {bytes}")]
    TableName {
        /// Its length.
        bytes: usize,
    },
    /// The table is of another type.
    #[error("table '{name}' cannot be opened as {wanted}: field '{field}' {why}")]
    Incompatible {
        /// The table.
        name: String,
        /// The type it was to be opened as.
        wanted: String,
        /// The field that differs.
        field: String,
        /// How.
        why: String,
    },
    /// A spec has a rule that cannot stand.
    #[error("the rule of field '{field}' {why}")]
    BadRule {
        /// The field.
        field: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The table has no such pointer field.
    #[error("field {field} of table {table} is not a pointer")]
    NotAPointer {
        /// The table.
        table: TableId,
        /// The field's position.
        field: u16,
    },
    /// Compact slots are asked for where no index has slots.
    #[error(
        "compact slots are of hash tables, and this one is {}; leave them away, or make the table hash or client-hash",
        kind.name()
    )]
    SlotsOfKind {
        /// The table's kind.
        kind: TableKind,
    },
    /// Compact slots are asked for in a store that has more pages than they tell apart.
    #[error(
        "the store has {pages} pages, and compact slots tell the first {pages_max} of a device apart; make the table with wide slots"
    )]
    SlotsTooShort {
        /// How many it has.
        pages: u64,
        /// How many they tell apart.
        pages_max: u64,
    },
    /// The log has gone past the pages that a table's slots tell apart.
    #[error(
        "the store has grown to {pages} pages, and the compact slots of table {table} tell the first {pages_max} apart; nothing \
         was applied; reopen the store, and the table has wide slots"
    )]
    SlotsOutgrown {
        /// The table.
        table: TableId,
        /// How many pages the store has.
        pages: u64,
        /// How many the slots tell apart.
        pages_max: u64,
    },
    /// The operation wants another kind of table.
    #[error("{op} is not possible on table {table}: {why}")]
    WrongKind {
        /// The operation.
        op: &'static str,
        /// The table.
        table: TableId,
        /// Why.
        why: &'static str,
    },
    /// A key that the table cannot have.
    #[error("the key has {bytes} bytes, table {table} takes {want}")]
    BadKey {
        /// The table.
        table: TableId,
        /// The key's length.
        bytes: usize,
        /// What it takes.
        want: &'static str,
    },
    /// A table whose keys the client hashes, with keys that are no such numbers.
    #[error(
        "the keys of a client-hash table are one field, a u32 or u64 that the client hashed; {}; make it a hash table, whose \
         keys the store hashes",
        key_is(key)
    )]
    ClientHashKey {
        /// The fields of the key.
        key: Vec<Field>,
    },
    /// An argument is out of its bounds.
    #[error("{what} is {value}, the limit is {limit}")]
    Limit {
        /// The argument.
        what: &'static str,
        /// Its value.
        value: u64,
        /// Its bound.
        limit: u64,
    },
    /// The commit set itself was refused.
    #[error(transparent)]
    Set(#[from] SetError),
    /// Compares did not hold; nothing was applied.
    #[error("{}", failed(failures))]
    CompareFailed {
        /// Each of them.
        failures: Vec<Failure>,
    },
    /// The token names no revertible write.
    #[error(
        "version {token} is no revertible write of table {table} that is still there: it was lost in a crash before it was \
         persistent, or was not written as revertible; read the record again and decide anew"
    )]
    NoSuchToken {
        /// The table.
        table: TableId,
        /// The token.
        token: Version,
    },
    /// The time in which the write could be reverted is over.
    #[error(
        "the write of version {token} stands: its lease ended at {until_ms} ms, so it can neither be reverted nor sealed any \
         more; nothing was changed; give a longer lease, or write the old record anew"
    )]
    LeaseEnded {
        /// The token.
        token: Version,
        /// When it ended: milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// Revertible writes keep as much as they may.
    #[error(
        "revertible writes keep {writes} earlier records of {bytes} bytes, which is as much as the store may keep; seal or \
         revert some, or wait until their leases end"
    )]
    KeptFull {
        /// How many are not sealed yet.
        writes: u64,
        /// Bytes of the records they keep.
        bytes: u64,
    },
    /// Open transactions have written out as much as they may.
    #[error(
        "open transactions have written out {bytes} bytes before their commits, and with {more} more it would be beyond the limit of \
         {limit}; nothing was written; commit or abort some of them, make this one smaller, or raise staged_bytes_max"
    )]
    StagedFull {
        /// How many bytes they have.
        bytes: u64,
        /// How many more there would be.
        more: u64,
        /// How many there may be.
        limit: u64,
    },
    /// What a transaction has written out is there no more.
    #[error(
        "what the transaction was to have written out before its commit is not there: it could not be written, or the transaction \
         was committed or given up already; nothing was applied; run it again from its beginning"
    )]
    StageGone,
    /// A commit names a value that was not written out for it.
    #[error(
        "no value was written out under number {number} for the key that names it; nothing was applied; name each value once, for \
         the table and key that it was written for"
    )]
    NotStaged {
        /// The number.
        number: u32,
    },
    /// A request of a client is too old to be told from those that were applied.
    #[error(
        "request {request} of the client is {} or more behind its request {by}, which was applied: whether {request} was too is no \
         longer known; this time it was not applied; keep the numbers of requests under way closer together",
        crate::seam::REQUEST_WINDOW
    )]
    RequestForgotten {
        /// Its number.
        request: u64,
        /// The number of the one that has its place.
        by: u64,
    },
    /// Whoever sends this does not speak for the client, or not any more.
    #[error(
        "attempt {attempt} does not speak for the client: the last that was accepted is {accepted}; nothing was applied; identify \
         the client under a greater attempt"
    )]
    NotTheClient {
        /// Under which attempt it was sent.
        attempt: u64,
        /// The last that was accepted since the store was opened; 0 when none was.
        accepted: u64,
    },
    /// There are as many clients as may be remembered, and all were heard of lately.
    #[error(
        "the requests of {clients} clients are remembered, which is the limit, and each of them was heard of in the last {idle_ms} ms; \
         let programs keep their client ids instead of drawing new ones, or wait"
    )]
    ClientsFull {
        /// How many there are.
        clients: u64,
        /// After how long without a word one may be forgotten.
        idle_ms: u64,
    },
    /// The domain does not promise this.
    #[error("the {domain} domain does not offer {what}")]
    Unsupported {
        /// The domain's kind.
        domain: &'static str,
        /// What was asked.
        what: &'static str,
    },
    /// The log has no room and the device cannot grow.
    #[error("no room: the store may take {limit_pages} pages and the device refused to grow ({why})")]
    NoSpace {
        /// The cap, in pages.
        limit_pages: u64,
        /// The device's answer.
        why: String,
    },
    /// Too much is in flight.
    #[error("too many operations are in flight; wait for answers before sending more")]
    Busy,
    /// A record's bytes are not what was written.
    #[error("the record at page {page} of table {table} is damaged ({why}); `lostore verify` lists all damage")]
    CorruptRecord {
        /// The table.
        table: TableId,
        /// The page.
        page: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The device failed a read.
    #[error("reading page {page} failed: {error}")]
    ReadFailed {
        /// The page.
        page: u64,
        /// The device's answer.
        error: DeviceError,
    },
    /// A log write or flush has failed: what is not yet persistent may not survive.
    #[error(
        "the domain is read-only since a log write or flush failed ({why}); {} of epoch {epoch} may not survive; reopen it",
        if *applied { "this commit was applied and as one" } else { "this was not applied, and what is visible" }
    )]
    Poisoned {
        /// What failed.
        why: String,
        /// The first epoch in doubt; of a commit that was applied, its own: it survives if that is at most the next open's cut.
        epoch: EpochId,
        /// Whether the operation is a commit that was applied before.
        applied: bool,
    },
    /// The epoch was not persistent when its incarnation ended.
    #[error(
        "epoch {epoch} is lost: it was not yet persistent when incarnation {} ended, so what its commits wrote is gone; \
         read again and decide anew",
        epoch.incarnation().0
    )]
    EpochLost {
        /// The epoch.
        epoch: EpochId,
    },
    /// The device is not a lostore device.
    #[error("this is not a lostore store: {why}")]
    NotAStore {
        /// What was found instead.
        why: String,
    },
    /// The store was made by a version with features that this one does not know.
    #[error("the store uses features this version does not know (mask {mask:#x}); open it with a newer version")]
    UnknownFeatures {
        /// The unknown bits.
        mask: u64,
    },
    /// The store has been opened as often as its format can count.
    #[error(
        "the store has been opened {limit} times after a change, and its format counts no further; nothing in it is lost"
    )]
    OpensSpent {
        /// How often it can be.
        limit: u64,
    },
    /// The superblock, or the log below an announced epoch, is damaged.
    #[error("the store is damaged: {why}")]
    CorruptStore {
        /// What and where.
        why: String,
    },
    /// The device failed a request of the open, of the close, or for room in the log; a commit that asked for room was not applied.
    #[error("{doing} failed at byte {offset} of the device: {error}")]
    DeviceFailed {
        /// What was being done.
        doing: &'static str,
        /// Where, in bytes from the device's beginning.
        offset: u64,
        /// The device's answer.
        error: DeviceError,
    },
    /// The device is shorter than the store on it.
    #[error("the store was cut off from outside: it has {pages} pages of 4096 bytes and had {had}")]
    Truncated {
        /// Its length now.
        pages: u64,
        /// The length that was recorded, at an open or a close.
        had: u64,
    },
    /// Space was to be won back where that is switched off.
    #[error(
        "nothing was reclaimed: reclaim is off in this store; open it with Config::reclaims (`lostore serve --reclaim on`) and ask again"
    )]
    ReclaimOff,
    /// The domain is closing.
    #[error("the store is closing")]
    Closing,
    /// Who asks may not do this. Only a server says so: a store that is embedded is its program's.
    #[error(
        "user {user} may not do this: the server's rules give no right '{right}'{}; nothing was done",
        table.as_ref().map_or_else(String::new, |table| format!(" on table '{table}'"))
    )]
    Denied {
        /// Who.
        user: u32,
        /// The right that is missing.
        right: &'static str,
        /// The table; none where the right is of the server.
        table: Option<String>,
    },
}

impl Error {
    /// The stable code, `LSnnnn` in messages. Never reused; 01xx environment, 02xx tables, 03xx transactions, 04xx damage.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::NotAStore { .. } => 101,
            Self::UnknownFeatures { .. } => 102,
            Self::Closing => 103,
            Self::NoSpace { .. } => 104,
            Self::Busy => 105,
            Self::Unsupported { .. } => 106,
            Self::OpensSpent { .. } => 107,
            Self::DeviceFailed { .. } => 108,
            Self::Denied { .. } => 150,
            Self::NoSuchTable { .. } => 201,
            Self::TableGone { .. } => 202,
            Self::TableExists { .. } => 203,
            Self::TableName { .. } => 204,
            Self::Incompatible { .. } => 205,
            Self::NotAPointer { .. } => 206,
            Self::WrongKind { .. } => 207,
            Self::BadKey { .. } => 208,
            Self::BadRule { .. } => 209,
            Self::ClientHashKey { .. } => 210,
            Self::SlotsOfKind { .. } => 211,
            Self::SlotsTooShort { .. } => 212,
            Self::SlotsOutgrown { .. } => 213,
            Self::Limit { .. } => 301,
            Self::Set(_) => 302,
            Self::CompareFailed { .. } => 303,
            Self::Poisoned { .. } => 304,
            Self::EpochLost { .. } => 305,
            Self::NoSuchToken { .. } => 306,
            Self::LeaseEnded { .. } => 307,
            Self::KeptFull { .. } => 308,
            Self::RequestForgotten { .. } => 310,
            Self::NotTheClient { .. } => 311,
            Self::ClientsFull { .. } => 312,
            Self::StagedFull { .. } => 313,
            Self::StageGone => 314,
            Self::NotStaged { .. } => 315,
            Self::ReclaimOff => 316,
            Self::CorruptRecord { .. } => 401,
            Self::ReadFailed { .. } => 402,
            Self::CorruptStore { .. } => 403,
            Self::Truncated { .. } => 404,
        }
    }

    /// The same error, naming the table that the operation was on where it did not know it.
    pub(crate) fn in_table(self, table: TableId) -> Self {
        if let Self::CorruptRecord { page, why, .. } = self {
            return Self::CorruptRecord { table, page, why };
        }
        self
    }

    /// Whether the effect happened in spite of the error.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Poisoned { applied: true, .. })
    }

    /// The same error, of a commit that was applied in this epoch.
    #[must_use]
    pub fn of_applied(self, of: EpochId) -> Self {
        if let Self::Poisoned { why, .. } = self {
            return Self::Poisoned { why, epoch: of, applied: true };
        }
        self
    }

    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TableName { .. }
            | Self::NotAPointer { .. }
            | Self::WrongKind { .. }
            | Self::BadKey { .. }
            | Self::BadRule { .. }
            | Self::ClientHashKey { .. }
            | Self::SlotsOfKind { .. }
            | Self::SlotsTooShort { .. }
            | Self::Limit { .. }
            | Self::RequestForgotten { .. }
            | Self::NotStaged { .. }
            | Self::Set(_)
            | Self::Incompatible { .. } => ErrorKind::Invalid,
            Self::CompareFailed { .. }
            | Self::TableExists { .. }
            | Self::EpochLost { .. }
            | Self::NotTheClient { .. }
            | Self::StageGone
            | Self::LeaseEnded { .. } => ErrorKind::Conflict,
            Self::NoSuchTable { .. } | Self::TableGone { .. } | Self::NoSuchToken { .. } => ErrorKind::NotFound,
            Self::Unsupported { .. } | Self::ReclaimOff => ErrorKind::Unsupported,
            Self::NoSpace { .. }
            | Self::Busy
            | Self::KeptFull { .. }
            | Self::StagedFull { .. }
            | Self::ClientsFull { .. } => ErrorKind::Full,
            Self::CorruptRecord { .. }
            | Self::ReadFailed { .. }
            | Self::CorruptStore { .. }
            | Self::Truncated { .. } => ErrorKind::Corrupt,
            Self::Poisoned { .. } => ErrorKind::Poisoned,
            Self::NotAStore { .. }
            | Self::UnknownFeatures { .. }
            | Self::OpensSpent { .. }
            | Self::DeviceFailed { .. }
            | Self::SlotsOutgrown { .. }
            | Self::Denied { .. }
            | Self::Closing => ErrorKind::Environment,
        }
    }
}
