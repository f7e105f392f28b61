//! The domain seam: what every engine is asked and answers, whatever stands behind it.
//!
//! Contract:
//! * operations submitted in one turn may be answered in any order; each is answered exactly once;
//! * an operation that needs no device is answered at once, within `submit`; but an iteration that has met thousands of expired
//!   pairs and nothing else goes on in the turns that follow, and commits on a key on which many fail have their turns: one may be
//!   looked at, or told that it has failed, some milliseconds later ([`Asker`]);
//! * what a domain cannot promise ([`Capabilities`]) it refuses with [`ErrorKind::Unsupported`](crate::ErrorKind), never ignores;
//! * a commit is one indivisible turn: every compare holds and every update is applied, or nothing is.

mod asker;
mod boxed;
mod connections;

use crate::error::Error;
use crate::ranges::{Range, Ranges};
use crate::schema::TableSpec;
pub use asker::Asker;
pub use connections::Connections;
use segments::{Completion, EpochId, Incarnation, Request, SegmentId, TableId, Tag, Version};
use std::task::Poll;
use txn::{CommitSet, PutOptions, Stage};

mod once;
mod reads;
mod space;
mod staged;
mod status;
mod versions;

pub use once::{ClientId, Identified, Once, REQUEST_WINDOW, RequestFate};
pub use reads::{Chain, ChainEnd, Stored};
pub use space::{
    CheckpointStatus, KeptCheckpoint, ReclaimStatus, Reclaimed, SegmentRun, SegmentUse, Segments, SpaceStatus,
    UseStatus,
};
pub use staged::StageValue;
pub use status::{Status, TableStatus};
pub use versions::Versions;

/// The only clock that logic knows: nanoseconds since the executor started (monotone), and the wall clock for expiry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Tick {
    /// Nanoseconds, monotone within an incarnation.
    pub nanos: u64,
    /// Milliseconds since the Unix epoch, made monotone by the executor.
    pub unix_ms: u64,
}

/// Names an operation in flight. The caller's to choose, unique among those not yet answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId(pub u64);

/// When a commit is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Level {
    /// As soon as it is visible and ordered.
    #[default]
    Committed,
    /// When it survives a power failure. A set that updates volatile tables only is answered at once, as [`Persistence::Volatile`].
    Persistent,
}

/// Where an iteration stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Cursor {
    /// Before the first pair (forward) or behind the last (backward).
    #[default]
    Start,
    /// At this key, itself included when it is there.
    At(Vec<u8>),
    /// Past this key, itself excluded; the key need not be there any more.
    Past(Vec<u8>),
}

/// Which way an iteration goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// To greater keys.
    #[default]
    Next,
    /// To smaller keys. Ordered tables only.
    Previous,
}

mod grown;

/// What a domain is asked.
#[derive(Clone, Debug)]
pub enum Op {
    /// Looks a key up: [`Answer::Pair`].
    Lookup {
        /// The table.
        table: TableId,
        /// The key, encoded.
        key: Vec<u8>,
    },
    /// Looks many keys of one table up, with their reads in flight together: [`Answer::Many`].
    LookupMany {
        /// The table.
        table: TableId,
        /// The keys, encoded: at least 1, at most 4096. One may come more than once.
        keys: Vec<Vec<u8>>,
    },
    /// Reads parts of one record, all of one version: [`Answer::Ranges`]. Of a record that is longer than a page and not in memory
    /// only the pages that the parts lie in are read.
    ReadRanges {
        /// The table.
        table: TableId,
        /// The key, encoded.
        key: Vec<u8>,
        /// The parts: at most 1024, at most 64 MiB together, which may overlap.
        ranges: Vec<Range>,
    },
    /// A batch of pairs from a position on: [`Answer::Pairs`]. Ordered tables go in key order; hash tables and sacks in an
    /// order of their own that is complete: a pair that is there throughout is seen exactly once.
    Next {
        /// The table.
        table: TableId,
        /// From where.
        from: Cursor,
        /// Where to stop: the first key not wanted any more. Ordered tables only.
        until: Option<Vec<u8>>,
        /// Which way.
        direction: Direction,
        /// At most so many pairs (at least 1).
        pairs_max: u32,
        /// At most about so many bytes of keys and values; the first pair always comes.
        bytes_max: u32,
    },
    /// Reads a record and the record that one of its pointer fields names, both in one turn where memory serves:
    /// [`Answer::Followed`].
    Follow {
        /// The table of the pair that holds the pointer.
        table: TableId,
        /// Its key.
        key: Vec<u8>,
        /// The pointer field's position among the record's fields.
        field: u16,
    },
    /// Reads a record as it is stored, past every cache, for a caller who checks it himself: [`Answer::Stored`]. One that is not
    /// on the device yet is made persistent first.
    Verify {
        /// The table.
        table: TableId,
        /// The key, encoded.
        key: Vec<u8>,
    },
    /// Reads a record and the chain of records that its pointer leads to: [`Answer::Chain`].
    FollowChain {
        /// The table of the first pair.
        table: TableId,
        /// Its key.
        key: Vec<u8>,
        /// The pointer field of the first record, of the one it leads to, and so on; the last goes for all that follow. At least
        /// one.
        fields: Vec<u16>,
        /// At most so many pointers are followed.
        depth_max: u32,
        /// At most so many records come (at least 1, at most 4096), or as many as have about 16 MiB.
        records_max: u32,
    },
    /// Verifies and applies a commit set: [`Answer::Committed`].
    Commit {
        /// The set.
        set: CommitSet,
        /// When to answer.
        level: Level,
    },
    /// As [`Op::Commit`], applied once however often it is sent: [`Answer::Committed`]. The client must have been identified under
    /// this attempt.
    CommitOnce {
        /// The set.
        set: CommitSet,
        /// When to answer.
        level: Level,
        /// Which request of which client it is.
        once: Once,
    },
    /// A client says who it is; from then on what earlier attempts of it have under way is refused: [`Answer::Identified`].
    Identify {
        /// Who it is.
        client: ClientId,
        /// Greater than at any time before.
        attempt: u64,
    },
    /// What has become of requests of a client that is identified, after every commit that came before this: [`Answer::Fates`].
    Fates {
        /// Whose they are.
        client: ClientId,
        /// Their numbers (at most 1024).
        requests: Vec<u64>,
    },
    /// A transaction is about to write values out before it commits: [`Answer::Stage`]. They are let go when nobody has the stage
    /// any more, committed or not.
    OpenStage,
    /// Writes a value out for a transaction that is not committed; nobody sees it before: [`Answer::Staged`].
    Stage(Box<StageValue>),
    /// Reads what was written out so, as its own transaction may: [`Answer::Value`].
    ReadStaged {
        /// Where it was written out.
        stage: Stage,
        /// Its number there.
        number: u32,
        /// The table that it was written for.
        table: TableId,
        /// The key that it was written for, encoded.
        key: Vec<u8>,
    },
    /// Sets addresses of a sack aside for inserts to come: [`Answer::Reserved`].
    Reserve {
        /// The sack.
        table: TableId,
        /// How many (at most 1024).
        count: u32,
    },
    /// Answers when the epoch is persistent: [`Answer::Persistent`]. One of an earlier incarnation is or never will be
    /// ([`Error::EpochLost`]).
    Await {
        /// The epoch, as a commit returned it.
        epoch: EpochId,
    },
    /// As [`Op::Await`] of the epoch of the commit that gave this version: [`Answer::Persistent`]. A client that applies commits again
    /// after a crash of its server waits for the commit itself, whatever epoch it is in by then.
    AwaitCommit {
        /// The last version that the commit gave.
        version: Version,
    },
    /// Asks that everything committed so far become persistent soon, and answers when it is: [`Answer::Persistent`].
    Force,
    /// Creates a table, persistent before the answer: [`Answer::Table`].
    CreateTable {
        /// Its name: 1 to 255 bytes of UTF-8.
        name: String,
        /// Its structure.
        spec: TableSpec,
    },
    /// Opens a table by name; with a spec, checks that the table can be used as one: [`Answer::Table`].
    OpenTable {
        /// Its name.
        name: String,
        /// How the caller means to use it. An appended field is taken into the catalog.
        spec: Option<TableSpec>,
    },
    /// Gives a table another name, persistent before the answer: [`Answer::Table`].
    RenameTable {
        /// The present name.
        from: String,
        /// The name to be.
        to: String,
    },
    /// Destroys a table and all its pairs, persistent before the answer: [`Answer::Done`].
    DestroyTable {
        /// Its name.
        name: String,
    },
    /// All tables, by name: [`Answer::Tables`].
    ListTables,
    /// How the domain is: [`Answer::Status`].
    Status,
    /// Drops cached records, so that the next reads are cold (for measurements and tests): [`Answer::Done`].
    DropCache,
    /// Wins space back now: live records leave every segment of whose records at least one of a hundred is dead, then checkpoints are
    /// written until what holds nothing is free: [`Answer::Reclaimed`], when that is done. It goes on when nobody waits for it.
    Reclaim,
    /// What the segments are used for, from this one on: [`Answer::Segments`].
    Segments {
        /// The first wanted.
        from: SegmentId,
    },
}

/// A pair as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// The key, encoded.
    pub key: Vec<u8>,
    /// The record's bytes.
    pub value: Vec<u8>,
    /// The record's version.
    pub version: Version,
    /// When it expires, milliseconds since the Unix epoch.
    pub expires_ms: Option<u64>,
    /// The client's compression flag.
    pub compressed: bool,
}

impl Pair {
    /// What is kept with the record: what a write of it must be given to keep it so.
    #[must_use]
    pub fn options(&self) -> PutOptions {
        PutOptions { expires_ms: self.expires_ms, compressed: self.compressed, compact: false, revertible_ms: None }
    }

    /// The pair, seen in place.
    #[must_use]
    pub fn as_ref(&self) -> PairRef<'_> {
        PairRef { value: &self.value, version: self.version, options: self.options() }
    }
}

/// A pair seen in place, without a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PairRef<'a> {
    /// The record's bytes.
    pub value: &'a [u8],
    /// The record's version.
    pub version: Version,
    /// What is kept with the record.
    pub options: PutOptions,
}

/// Whether memory alone could answer a lookup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Seen {
    /// It could: the pair, or its absence, has been shown.
    Ready,
    /// Nothing was shown; submit the lookup as an operation.
    NeedsDevice,
}

/// What following a pointer led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Followed {
    /// The pair that holds the pointer, and the pair it names.
    Found {
        /// The holder.
        from: Pair,
        /// The target.
        to: Pair,
    },
    /// The pair that was to hold the pointer is not there.
    Absent,
    /// The pointer is null.
    Null {
        /// The holder.
        from: Pair,
    },
    /// The pointer names a pair that is not there (deleted, expired, never made, or lost with a volatile table).
    Dangling {
        /// The holder.
        from: Pair,
        /// The key that the pointer names.
        target: Vec<u8>,
    },
}

/// What became of a commit as far as power failures go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// It will become persistent with its epoch.
    Pending,
    /// It is persistent.
    Persistent,
    /// It updated volatile tables only and never will be.
    Volatile,
}

/// A commit that was applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The epoch it joined. A set that changed nothing reports the last one joined by anybody, for what it saw may be of it, or
    /// the last persistent one.
    pub epoch: EpochId,
    /// The versions it gave.
    pub versions: Versions,
    /// Whether it survives a power failure yet.
    pub persistence: Persistence,
}

/// Up to where a domain is persistent. Epochs compare only within one incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Horizon {
    /// The present life of the domain.
    pub incarnation: Incarnation,
    /// The last persistent epoch.
    pub persistent: EpochId,
}

/// A table as the catalog knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableInfo {
    /// Its id, never reused.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// Its structure.
    pub spec: TableSpec,
}

/// What a domain answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// Of a lookup: the pair, when it is there.
    Pair(Option<Pair>),
    /// Of a lookup of many keys: what is there under each, in the order in which they were asked, all at one moment. It is about
    /// the first keys alone, at least one, when all pairs would be more than about 16 MiB.
    Many(Vec<Option<Pair>>),
    /// Of a read of ranges: the parts, when the pair is there.
    Ranges(Option<Ranges>),
    /// Of an iteration.
    Pairs {
        /// The batch.
        pairs: Vec<Pair>,
        /// Whether there may be more behind it.
        more: bool,
    },
    /// Of a follow.
    Followed(Followed),
    /// Of a verification: the record, when it is there.
    Stored(Option<Box<Stored>>),
    /// Of a follow of many pointers.
    Chain(Chain),
    /// Of a commit.
    Committed(Committed),
    /// Of an identification.
    Identified(Identified),
    /// Of a question for fates: of each request, in their order.
    Fates(Vec<RequestFate>),
    /// Of the opening of a stage.
    Stage(Stage),
    /// Of a value that was to be written out: its number, under which the commit's set names it; nothing when it is better kept, since
    /// its table lies in memory.
    Staged(Option<u32>),
    /// Of a read of what was written out.
    Value(Vec<u8>),
    /// Of a reservation: addresses, encoded as the sack's keys.
    Reserved(Vec<[u8; 8]>),
    /// Of an await or a force: the domain is persistent up to here.
    Persistent(Horizon),
    /// Of a table operation.
    Table(TableInfo),
    /// Of a listing.
    Tables(Vec<TableInfo>),
    /// Of a status request.
    Status(Box<Status>),
    /// Of a pass of reclaim.
    Reclaimed(Reclaimed),
    /// Of a question for segments.
    Segments(Segments),
    /// Of what has nothing to say but that it is done.
    Done,
}

/// What a domain can promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// The kind's name, as the conformance matrix prints it.
    pub name: &'static str,
    /// Transactions are atomic, and an open one may be dropped.
    pub abortable: bool,
    /// Committed becomes persistent, with notices.
    pub persistence: bool,
    /// A transaction may be larger than memory: its values are written out before it commits ([`Op::Stage`]).
    pub writes_out: bool,
}

/// An engine behind the seam.
pub trait Domain {
    /// What it can promise.
    fn capabilities(&self) -> Capabilities;

    /// Up to where it is persistent.
    fn horizon(&self) -> Horizon;

    /// Starts an operation that nobody in particular asks; what needs no device is answered within the call, long ways through
    /// expired pairs excepted.
    fn submit(&mut self, id: OpId, op: Op, now: Tick);

    /// The same for somebody, whose operations take effect in their order as far as one sees what another does.
    fn submit_for(&mut self, asker: Asker, id: OpId, op: Op, now: Tick) {
        let _ = asker;
        self.submit(id, op, now);
    }

    /// The same, and hands the answer over when it is there at the end of the call; then it does not come through
    /// [`Self::take_answers`]. Whoever asks one operation after another gets each answer before it asks the next.
    fn submit_now(&mut self, asker: Asker, id: OpId, op: Op, now: Tick) -> Option<Result<Answer, Error>> {
        self.submit_for(asker, id, op, now);
        None
    }

    /// This asker will ask nothing more, and nobody need wait for it. What it has asked is done and answered all the same.
    fn gone(&mut self, asker: Asker, now: Tick) {
        let _ = (asker, now);
    }

    /// Looks a key up and shows the pair in place, without an operation, when memory alone can answer.
    ///
    /// # Errors
    /// As [`Op::Lookup`]; nothing was shown then.
    fn lookup_now(
        &mut self,
        table: TableId,
        key: &[u8],
        now: Tick,
        see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<Seen, Error> {
        let _ = (table, key, now, see);
        Ok(Seen::NeedsDevice)
    }

    /// Moves on what time or a completion has made possible; returns when it next wants to be called by the clock alone.
    fn turn(&mut self, now: Tick) -> Option<Tick>;

    /// Appends the answers that have come about since the last call.
    fn take_answers(&mut self, answers: &mut Vec<(OpId, Result<Answer, Error>)>);
}

/// A domain whose device an executor drives.
pub trait Driven: Domain {
    /// Moves the device requests that have come about since the last call to `requests`.
    fn take_requests(&mut self, requests: &mut Vec<(Tag, Request)>);

    /// Brings a completion home.
    fn complete(&mut self, completion: Completion, now: Tick);

    /// Writes down an orderly end, so that the next open knows up to where everything must be there. Asked again after each
    /// completion while it is pending; whatever is not persistent when it is first asked, and what is applied later, is refused
    /// or as after a crash. It never makes anything persistent: a force does.
    ///
    /// # Errors
    /// When the device fails; then the next open is as after a crash.
    fn close(&mut self) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
}
