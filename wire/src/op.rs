//! What a client asks. The variants' numbers are the protocol's verbs: append only.

use crate::limits::{CHAIN_FIELDS_MAX, FATES_MAX, FORGOTTEN_MAX, KEYS_MAX, PARTS_MAX, RANGES_MAX, RULES_MAX};
use crate::table::{Rule, TableSpec};
use crate::value::{Bytes, List, Value, Valued};
use serde::{Deserialize, Serialize};

/// A record's version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Version {
    /// The epoch that gave it.
    pub epoch: u64,
    /// Its number in its shard's order.
    pub ordinal: u64,
}

/// What commit verifies about a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expect<'a> {
    /// Nothing.
    Any,
    /// The key has no pair.
    Absent,
    /// The key has a pair.
    Present,
    /// The key's pair is at this version.
    At(Version),
    /// Contradictory compares: commit fails.
    Never,
    /// Of a range of an ordered table, from the part's key on: there is no pair in it but those that other parts compare at a
    /// version. The part changes nothing.
    Range {
        /// The first key behind the range; the table's end without one.
        #[serde(borrow)]
        until: Option<Bytes<'a>>,
    },
}

/// What a part does to its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change<'a> {
    /// Nothing: it only compares.
    None,
    /// The pair becomes this.
    Put {
        /// The record's bytes.
        #[serde(borrow)]
        value: Value<'a>,
        /// When the pair ceases to exist: milliseconds since the Unix epoch.
        expires_ms: Option<u64>,
        /// The client compressed the value.
        compressed: bool,
    },
    /// The pair goes.
    Delete,
    /// As `Put`, and the write may be reverted for a while; the version that it gives is the token.
    PutRevertible {
        /// The record's bytes.
        #[serde(borrow)]
        value: Value<'a>,
        /// When the pair ceases to exist: milliseconds since the Unix epoch.
        expires_ms: Option<u64>,
        /// The client compressed the value.
        compressed: bool,
        /// For how long: milliseconds from the commit on.
        lease_ms: u64,
    },
    /// A revertible write is undone.
    Revert {
        /// The version that it gave.
        token: Version,
    },
    /// A revertible write stands from now on.
    Seal {
        /// The version that it gave.
        token: Version,
    },
    /// The pair's record grows by this at its end; a pair that is not there becomes this.
    Append {
        /// The bytes to add.
        #[serde(borrow)]
        value: Value<'a>,
        /// When the pair ceases to exist from now on; nothing leaves it as it is.
        expires_ms: Option<u64>,
        /// The client compressed the bytes: the record's flag is set.
        compressed: bool,
        /// For how long it may be reverted, in milliseconds from the commit on; nothing: not at all.
        lease_ms: Option<u64>,
    },
    /// A write with any options: the pair becomes this, or its record grows by it.
    Write {
        /// The record's bytes, or those to add.
        #[serde(borrow)]
        value: Value<'a>,
        /// It is an append.
        append: bool,
        /// When the pair ceases to exist; of an append, nothing leaves it as it is.
        expires_ms: Option<u64>,
        /// For how long it may be reverted, in milliseconds from the commit on; nothing: not at all.
        lease_ms: Option<u64>,
        /// Bits of [`write_flag`]; others are refused.
        flags: u32,
    },
    /// As `Write`, of a value that begins with what its transaction has written out (`TxnStage`). In `TxnAdd` alone.
    Staged {
        /// The number under which it was written out.
        number: u32,
        /// How many bytes were.
        bytes: u32,
        /// The bytes behind them.
        #[serde(borrow)]
        value: Value<'a>,
        /// It is an append.
        append: bool,
        /// When the pair ceases to exist; of an append, nothing leaves it as it is.
        expires_ms: Option<u64>,
        /// For how long it may be reverted, in milliseconds from the commit on; nothing: not at all.
        lease_ms: Option<u64>,
        /// Bits of [`write_flag`]; others are refused.
        flags: u32,
    },
}

/// Flags of [`Change::Write`].
pub mod write_flag {
    /// The client compressed the value.
    pub const COMPRESSED: u32 = 1;
    /// The record is to be packed with other small ones.
    pub const COMPACT: u32 = 2;
    /// Those that this version knows.
    pub const KNOWN: u32 = COMPRESSED | COMPACT;
}

/// One key of a commit set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part<'a> {
    /// The table.
    pub table: u32,
    /// The key.
    #[serde(borrow)]
    pub key: Bytes<'a>,
    /// What must hold before.
    #[serde(borrow)]
    pub expect: Expect<'a>,
    /// What is done.
    #[serde(borrow)]
    pub change: Change<'a>,
}

impl Part<'_> {
    /// Bytes of what it carries: its key, its value, and the end of its range.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        let value = match self.change {
            Change::Put { value, .. }
            | Change::PutRevertible { value, .. }
            | Change::Append { value, .. }
            | Change::Write { value, .. }
            | Change::Staged { value, .. } => value.bytes().len(),
            Change::None | Change::Delete | Change::Revert { .. } | Change::Seal { .. } => 0,
        };
        let until = match self.expect {
            Expect::Range { until } => until.map_or(0, |until| until.0.len()),
            Expect::Any | Expect::Absent | Expect::Present | Expect::At(_) | Expect::Never => 0,
        };
        self.key.0.len() + value + until
    }
}

/// When a commit is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Level {
    /// As soon as it is visible and ordered.
    Committed,
    /// When it survives a power failure.
    Persistent,
}

/// How a set is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommitOptions {
    /// When to answer.
    pub level: Level,
    /// Ask that it become persistent soon.
    pub force: bool,
    /// Push a notice when it is persistent.
    pub notify: bool,
}

/// Where an iteration stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Cursor<'a> {
    /// Before the first pair, or behind the last.
    Start,
    /// At this key, itself included.
    At(#[serde(borrow)] Bytes<'a>),
    /// Past this key, itself excluded.
    Past(#[serde(borrow)] Bytes<'a>),
}

/// Which way an iteration goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Direction {
    /// To greater keys.
    Next,
    /// To smaller keys.
    Previous,
}

/// A part of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Range {
    /// Its first byte.
    pub from: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// An operation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op<'a> {
    /// Nothing: `Done`.
    Ping,
    /// Looks a key up: `Pair`.
    Lookup {
        /// The table.
        table: u32,
        /// The key.
        #[serde(borrow)]
        key: Bytes<'a>,
    },
    /// A batch of pairs from a position on: `Pairs`.
    Next {
        /// The table.
        table: u32,
        /// From where.
        #[serde(borrow)]
        from: Cursor<'a>,
        /// The first key not wanted any more.
        #[serde(borrow)]
        until: Option<Bytes<'a>>,
        /// Which way.
        direction: Direction,
        /// At most so many pairs.
        pairs_max: u32,
        /// At most about so many bytes.
        bytes_max: u32,
    },
    /// Reads a record and the one that its pointer field names: `Followed`.
    Follow {
        /// The table of the pair that holds the pointer.
        table: u32,
        /// Its key.
        #[serde(borrow)]
        key: Bytes<'a>,
        /// The field's position.
        field: u16,
    },
    /// A whole transaction in one message: `Committed`.
    Commit {
        /// Compares and updates, one part a key.
        #[serde(borrow)]
        parts: List<Part<'a>, PARTS_MAX>,
        /// How.
        options: CommitOptions,
    },
    /// Sets addresses of a sack aside: `Reserved`.
    Reserve {
        /// The sack.
        table: u32,
        /// How many.
        count: u32,
    },
    /// Answers when the epoch is persistent: `Persistent`.
    Await {
        /// The epoch.
        epoch: u64,
    },
    /// Makes everything committed so far persistent: `Persistent`.
    Force,
    /// Creates a table: `Table`.
    CreateTable {
        /// Its name.
        name: &'a str,
        /// Its structure.
        #[serde(borrow)]
        spec: TableSpec<'a>,
    },
    /// Opens a table: `Table`.
    OpenTable {
        /// Its name.
        name: &'a str,
        /// How the client means to use it.
        #[serde(borrow)]
        spec: Option<TableSpec<'a>>,
    },
    /// Gives a table another name: `Table`.
    RenameTable {
        /// The present name.
        from: &'a str,
        /// The name to be.
        to: &'a str,
    },
    /// Destroys a table: `Done`.
    DestroyTable {
        /// Its name.
        name: &'a str,
    },
    /// All tables: `Tables`.
    ListTables,
    /// How the domain is: `Status`.
    Status,
    /// Drops cached records: `Done`.
    DropCache,
    /// Opens an interactive transaction: `Opened`.
    TxnOpen,
    /// Adds parts to it: `Done`. If a part is refused, the transaction is aborted.
    TxnAdd {
        /// The transaction.
        txn: u64,
        /// The parts, in order.
        #[serde(borrow)]
        parts: List<Part<'a>, PARTS_MAX>,
    },
    /// Looks a key up as the transaction sees it: `Pair`, at version (0, 0) when it is the transaction's own.
    TxnLookup {
        /// The transaction.
        txn: u64,
        /// The table.
        table: u32,
        /// The key.
        #[serde(borrow)]
        key: Bytes<'a>,
    },
    /// Commits it: `Committed`. The handle is gone, whatever the answer.
    TxnCommit {
        /// The transaction.
        txn: u64,
        /// How.
        options: CommitOptions,
    },
    /// Drops it: `Done`.
    TxnAbort {
        /// The transaction.
        txn: u64,
    },
    /// Gives up waiting for a request that changes nothing: `Cancelled`.
    Cancel {
        /// The request's correlation id.
        id: u64,
    },
    /// Reads a record from the device, past every cache, with its checksum: `Stored`.
    Verify {
        /// The table.
        table: u32,
        /// The key.
        #[serde(borrow)]
        key: Bytes<'a>,
    },
    /// Reads a record and the chain that its pointer leads to: `Chain`.
    FollowChain {
        /// The table of the first pair.
        table: u32,
        /// Its key.
        #[serde(borrow)]
        key: Bytes<'a>,
        /// The pointer field of each record in turn; the last goes for all that follow.
        fields: List<u16, CHAIN_FIELDS_MAX>,
        /// At most so many pointers.
        depth_max: u32,
        /// At most so many records.
        records_max: u32,
    },
    /// Looks many keys up: `Many`.
    LookupMany {
        /// The table.
        table: u32,
        /// The keys.
        #[serde(borrow)]
        keys: List<Bytes<'a>, KEYS_MAX>,
    },
    /// Reads parts of one record: `Ranges`.
    ReadRanges {
        /// The table.
        table: u32,
        /// The key.
        #[serde(borrow)]
        key: Bytes<'a>,
        /// The parts.
        ranges: List<Range, RANGES_MAX>,
    },
    /// Says for which client this connection speaks from now on: `Identified`.
    Identify {
        /// The client: a number that it chose at random and keeps.
        client: [u8; 16],
        /// Greater than at any of its connections before, and not 0.
        attempt: u64,
    },
    /// As `Commit`, applied once however often the client sends it: `Committed`.
    CommitOnce {
        /// The client's number for the request, on all its connections.
        request: u64,
        /// Compares and updates, one part a key.
        #[serde(borrow)]
        parts: List<Part<'a>, PARTS_MAX>,
        /// How.
        options: CommitOptions,
    },
    /// As `TxnCommit`, applied once however often the client sends the transaction: `Committed`.
    TxnCommitOnce {
        /// The client's number for the request, on all its connections.
        request: u64,
        /// The transaction.
        txn: u64,
        /// How.
        options: CommitOptions,
    },
    /// What has become of the client's requests: `Fates`.
    Fates {
        /// Their numbers.
        requests: List<u64, FATES_MAX>,
    },
    /// Creates a table with rules: `Ruled`.
    CreateRuled {
        /// Its name.
        name: &'a str,
        /// Its structure.
        #[serde(borrow)]
        spec: TableSpec<'a>,
        /// Its rules.
        #[serde(borrow)]
        rules: List<Rule<'a>, RULES_MAX>,
    },
    /// Opens a table with rules: `Ruled`, or `Table` when it has none.
    OpenRuled {
        /// Its name.
        name: &'a str,
        /// How the client means to use it.
        #[serde(borrow)]
        spec: TableSpec<'a>,
        /// The rules that it keeps.
        #[serde(borrow)]
        rules: List<Rule<'a>, RULES_MAX>,
    },
    /// As `TxnOpen`, of a transaction that is serialisable: what it reads must still be so when it commits: `Opened`.
    TxnOpenStrict,
    /// As `Next`, as the transaction sees it; ordered tables only: `Pairs`, at version (0, 0) where they are the transaction's own.
    TxnNext {
        /// The transaction.
        txn: u64,
        /// The table.
        table: u32,
        /// From where.
        #[serde(borrow)]
        from: Cursor<'a>,
        /// The first key not wanted any more.
        #[serde(borrow)]
        until: Option<Bytes<'a>>,
        /// Which way.
        direction: Direction,
        /// At most so many pairs.
        pairs_max: u32,
        /// At most about so many bytes.
        bytes_max: u32,
    },
    /// Writes a value of the transaction out, for a part that is added later: `Staged`. Nobody sees it before the commit.
    TxnStage {
        /// The transaction.
        txn: u64,
        /// The part's table.
        table: u32,
        /// Its key.
        #[serde(borrow)]
        key: Bytes<'a>,
        /// The number under which the value's beginning was written out; then this goes behind it.
        onto: Option<u32>,
        /// At least a byte.
        #[serde(borrow)]
        value: Value<'a>,
        /// Numbers whose values are needed no more.
        forget: List<u32, FORGOTTEN_MAX>,
    },
    /// Reads what the transaction has written out: `Value`.
    TxnStaged {
        /// The transaction.
        txn: u64,
        /// The number.
        number: u32,
        /// The table that it was written for.
        table: u32,
        /// The key that it was written for.
        #[serde(borrow)]
        key: Bytes<'a>,
    },
    /// Wins space back now: `Reclaimed`, when that is done.
    Reclaim,
    /// What the segments of the device are used for: `Segments`.
    Segments {
        /// The first wanted.
        from: u32,
    },
}

impl Op<'_> {
    /// The verbs' names, in the order of their numbers.
    pub const NAMES: [&'static str; 37] = [
        "Ping",
        "Lookup",
        "Next",
        "Follow",
        "Commit",
        "Reserve",
        "Await",
        "Force",
        "CreateTable",
        "OpenTable",
        "RenameTable",
        "DestroyTable",
        "ListTables",
        "Status",
        "DropCache",
        "TxnOpen",
        "TxnAdd",
        "TxnLookup",
        "TxnCommit",
        "TxnAbort",
        "Cancel",
        "Verify",
        "FollowChain",
        "LookupMany",
        "ReadRanges",
        "Identify",
        "CommitOnce",
        "TxnCommitOnce",
        "Fates",
        "CreateRuled",
        "OpenRuled",
        "TxnOpenStrict",
        "TxnNext",
        "TxnStage",
        "TxnStaged",
        "Reclaim",
        "Segments",
    ];
}

impl<'a> Valued<'a> for Op<'a> {
    fn each_value(&mut self, see: &mut dyn FnMut(&mut Value<'a>)) {
        if let Op::TxnStage { value, .. } = self {
            see(value);
        }
        if let Op::Commit { parts, .. } | Op::CommitOnce { parts, .. } | Op::TxnAdd { parts, .. } = self {
            for part in parts.as_mut_slice() {
                match &mut part.change {
                    Change::Put { value, .. }
                    | Change::PutRevertible { value, .. }
                    | Change::Append { value, .. }
                    | Change::Write { value, .. }
                    | Change::Staged { value, .. } => see(value),
                    Change::None | Change::Delete | Change::Revert { .. } | Change::Seal { .. } => {}
                }
            }
        }
    }
}
