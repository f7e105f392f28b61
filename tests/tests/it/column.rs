//! A domain as the conformance suite meets it, whatever carries the operations: one column of the matrix.
//!
//! Contract: every column starts empty. What a column's kind lacks it says in [`Column::lacks`]; the suite believes a check that
//! did not apply only when its column lacks just that.

mod carried;
mod hinted;
mod staged;

use crate::bench::{Bench, tiny};
use domains::config::Config;
use domains::light::Light;
use domains::schema::{Field, FieldType, TableHome, TableKind};
use domains::{
    Answer, Capabilities, Committed, Cursor, Direction, Driven, Followed, Horizon, Level, Op, Pair, Seen, Status,
    TableInfo, TableSpec,
};
use lostore::Error;
use segments::memory::MemoryDevice;
use segments::{TableId, Version};
use txn::{CommitSet, PutOptions};

/// Why a check does not apply to a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lack {
    /// Nothing becomes persistent there.
    Persistence,
    /// An index of so few bits reads more than one candidate.
    WideFingerprints,
    /// The wall clock is the machine's.
    Clock,
    /// It keeps no earlier records to revert to.
    Reverts,
    /// Values lie apart from the records of their pairs.
    OneRecord,
}

impl Lack {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Persistence => "no persistence",
            Self::WideFingerprints => "narrow",
            Self::Clock => "real clock",
            Self::Reverts => "no reverts",
            Self::OneRecord => "in parts",
        }
    }
}

/// A domain and its carrier.
pub(crate) trait Column {
    /// What the domain can promise.
    fn capabilities(&self) -> Capabilities;

    /// Does an operation.
    fn call(&mut self, op: Op) -> Result<Answer, Error>;

    /// Looks a key up in place.
    fn peek(&mut self, table: TableId, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Error>;

    /// Up to where the domain is persistent.
    fn horizon(&self) -> Horizon;

    /// The present wall clock.
    fn unix_ms(&self) -> u64;

    /// Lets the wall clock go on.
    fn pass(&mut self, ms: u64);

    /// Whether checks that need this do not apply.
    fn lacks(&self, what: Lack) -> bool;

    /// Whether operations reach the domain through a backend, over a real file.
    fn is_carried(&self) -> bool {
        false
    }

    /// Ends this life of the domain and begins the next.
    fn reopen(&mut self);
}

/// How a column is made.
pub(crate) struct Maker {
    /// Its heading.
    pub(crate) name: &'static str,
    /// Makes it, empty.
    pub(crate) make: fn() -> Box<dyn Column>,
}

/// All columns.
pub(crate) const COLUMNS: &[Maker] = &[
    Maker { name: "persistent", make: || Box::new(Persistent::new(64)) },
    Maker { name: "1-bit", make: || Box::new(Persistent::new(1)) },
    Maker { name: "staged", make: || Box::new(staged::WrittenOut::new()) },
    Maker { name: "hinted", make: || Box::new(hinted::Hinted::new()) },
    Maker { name: "compact", make: || Box::new(hinted::Hinted::compact(64)) },
    Maker { name: "compact 1-bit", make: || Box::new(hinted::Hinted::compact(1)) },
    Maker { name: "volatile", make: || Box::new(volatile()) },
    Maker { name: "inline", make: || Box::new(carried::inline()) },
    Maker { name: "thread", make: || Box::new(carried::shared()) },
    Maker { name: "socket", make: || Box::new(carried::socket()) },
    Maker { name: "light", make: || Box::new(Bench::new(Light::new(), MemoryDevice::new(0))) },
];

fn volatile() -> Bench {
    Bench::new(domains::volatile::open(&tiny(), [0x5A; 16]).expect("the settings are in bounds"), MemoryDevice::new(0))
}

/// The persistent domain on a device in memory.
struct Persistent {
    bench: Bench,
    config: Config,
}

impl Persistent {
    fn new(fingerprint_bits: u8) -> Self {
        let config = Config { fingerprint_bits, ..tiny() };
        Self { bench: Bench::format(MemoryDevice::new(0), &config), config }
    }
}

impl<D: Driven> Column for Bench<D> {
    fn capabilities(&self) -> Capabilities {
        self.domain.capabilities()
    }

    fn call(&mut self, op: Op) -> Result<Answer, Error> {
        Bench::call(self, op).map_err(Error::Domain)
    }

    fn peek(&mut self, table: TableId, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Error> {
        let mut shown = Vec::new();
        let seen = self.domain.lookup_now(table, key, self.now, &mut |pair| {
            shown.push(pair.map(|pair| (pair.value.to_vec(), pair.version)));
        })?;
        match seen {
            Seen::Ready => assert_eq!(shown.len(), 1, "a lookup in place shows once"),
            Seen::NeedsDevice => {
                assert!(shown.is_empty(), "nothing is shown before the device was read");
                let pair = pair_of(Column::call(self, Op::Lookup { table, key: key.to_vec() })?);
                shown.push(pair.map(|pair| (pair.value, pair.version)));
            }
        }
        Ok(shown.swap_remove(0))
    }

    fn horizon(&self) -> Horizon {
        self.domain.horizon()
    }

    fn unix_ms(&self) -> u64 {
        self.now.unix_ms
    }

    fn pass(&mut self, ms: u64) {
        self.now.unix_ms += ms;
    }

    fn lacks(&self, what: Lack) -> bool {
        let promises = self.domain.capabilities();
        match what {
            Lack::Persistence => !promises.persistence,
            Lack::Reverts => promises.name == "light",
            Lack::WideFingerprints | Lack::Clock | Lack::OneRecord => false,
        }
    }

    fn reopen(&mut self) {
        panic!("a domain without persistence ends with its process");
    }
}

impl Column for Persistent {
    fn capabilities(&self) -> Capabilities {
        self.bench.capabilities()
    }

    fn call(&mut self, op: Op) -> Result<Answer, Error> {
        Column::call(&mut self.bench, op)
    }

    fn peek(&mut self, table: TableId, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Error> {
        self.bench.peek(table, key)
    }

    fn horizon(&self) -> Horizon {
        self.bench.horizon()
    }

    fn unix_ms(&self) -> u64 {
        self.bench.unix_ms()
    }

    fn pass(&mut self, ms: u64) {
        self.bench.pass(ms);
    }

    fn lacks(&self, what: Lack) -> bool {
        what == Lack::WideFingerprints && self.config.fingerprint_bits < 64
    }

    fn reopen(&mut self) {
        self.bench.reopen(&self.config).expect("the device opens again");
    }
}

/// The pair of a lookup's answer.
pub(crate) fn pair_of(answer: Answer) -> Option<Pair> {
    match answer {
        Answer::Pair(pair) => pair,
        other => panic!("a lookup was answered with {other:?}"),
    }
}

/// A spec of plain bytes; of numbers as keys where the client hashes them.
pub(crate) fn plain(kind: TableKind, home: TableHome) -> TableSpec {
    let number = || vec![field("number", FieldType::Unsigned(64))];
    let key = if kind == TableKind::ClientHash { number() } else { vec![] };
    TableSpec { type_name: "Plain".to_owned(), key, ..TableSpec::plain(kind, home) }
}

/// A field.
pub(crate) fn field(name: &str, field_type: FieldType) -> Field {
    Field { name: name.to_owned(), field_type }
}

/// Shorthands of the checks, each one operation or a few.
impl dyn Column {
    /// Creates a table of plain bytes.
    pub(crate) fn table(&mut self, name: &str, kind: TableKind, home: TableHome) -> TableId {
        self.create(name, plain(kind, home)).expect("a new name").id
    }

    /// Creates a table.
    pub(crate) fn create(&mut self, name: &str, spec: TableSpec) -> Result<TableInfo, Error> {
        match self.call(Op::CreateTable { name: name.to_owned(), spec })? {
            Answer::Table(info) => Ok(info),
            other => panic!("creating a table was answered with {other:?}"),
        }
    }

    /// Opens a table.
    pub(crate) fn open(&mut self, name: &str, spec: Option<TableSpec>) -> Result<TableInfo, Error> {
        match self.call(Op::OpenTable { name: name.to_owned(), spec })? {
            Answer::Table(info) => Ok(info),
            other => panic!("opening a table was answered with {other:?}"),
        }
    }

    /// Keys that the table can have: addresses of a sack, numbers of a client's, else keys of many lengths.
    pub(crate) fn keys(&mut self, table: TableId, kind: TableKind, count: u32) -> Vec<Vec<u8>> {
        match kind {
            TableKind::Hash | TableKind::Ordered => return (0..count).map(key_number).collect(),
            TableKind::ClientHash => return (0..u64::from(count)).map(client_hashed).collect(),
            TableKind::Sack => {}
        }
        let mut keys = Vec::new();
        while keys.len() < count as usize {
            let left = count - u32::try_from(keys.len()).expect("fewer than count");
            match self.call(Op::Reserve { table, count: left.min(1000) }).expect("a sack has room") {
                Answer::Reserved(addresses) => keys.extend(addresses.into_iter().map(|address| address.to_vec())),
                other => panic!("a reservation was answered with {other:?}"),
            }
        }
        keys
    }

    /// Commits a set.
    pub(crate) fn commit(&mut self, set: CommitSet, level: Level) -> Result<Committed, Error> {
        match self.call(Op::Commit { set, level })? {
            Answer::Committed(committed) => Ok(committed),
            other => panic!("a commit was answered with {other:?}"),
        }
    }

    /// Commits what `fill` puts into a set, at the committed level.
    pub(crate) fn change(&mut self, fill: impl FnOnce(&mut CommitSet)) -> Result<Committed, Error> {
        let mut set = CommitSet::new();
        fill(&mut set);
        self.commit(set, Level::Committed)
    }

    /// Puts a pair, there or not, and returns its version.
    pub(crate) fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Version {
        let done = self.change(|set| set.upsert(table, key, value, PutOptions::default()).expect("within the limits"));
        done.expect("an upsert cannot conflict").versions.as_slice()[0]
    }

    /// Looks a key up, as an operation and in place, which must agree.
    pub(crate) fn get(&mut self, table: TableId, key: &[u8]) -> Option<Pair> {
        let pair = pair_of(self.call(Op::Lookup { table, key: key.to_vec() }).expect("a lookup"));
        let shown = self.peek(table, key).expect("a lookup in place");
        assert_eq!(shown, pair.as_ref().map(|pair| (pair.value.clone(), pair.version)), "in place and as an operation");
        if let Some(pair) = &pair {
            assert_eq!(pair.key, key, "a lookup returns the key it was asked for");
        }
        pair
    }

    /// The value of a key.
    pub(crate) fn value(&mut self, table: TableId, key: &[u8]) -> Option<Vec<u8>> {
        self.get(table, key).map(|pair| pair.value)
    }

    /// One batch of an iteration.
    pub(crate) fn next(&mut self, op: Op) -> Result<(Vec<Pair>, bool), Error> {
        match self.call(op)? {
            Answer::Pairs { pairs, more } => Ok((pairs, more)),
            other => panic!("an iteration was answered with {other:?}"),
        }
    }

    /// All pairs, in the order of an iteration in batches.
    pub(crate) fn all(&mut self, table: TableId, direction: Direction, pairs_max: u32) -> Vec<Pair> {
        let (mut from, mut all) = (Cursor::Start, Vec::new());
        loop {
            let op = Op::Next { table, from, until: None, direction, pairs_max, bytes_max: 1 << 20 };
            let (pairs, more) = self.next(op).expect("an iteration");
            assert!(pairs.len() <= pairs_max as usize, "a batch is no larger than was asked");
            if !more {
                all.extend(pairs);
                return all;
            }
            from = Cursor::Past(pairs.last().expect("a batch with more behind it moves on").key.clone());
            all.extend(pairs);
        }
    }

    /// Follows a pointer.
    pub(crate) fn follow(&mut self, table: TableId, key: &[u8], field: u16) -> Result<Followed, Error> {
        match self.call(Op::Follow { table, key: key.to_vec(), field })? {
            Answer::Followed(followed) => Ok(followed),
            other => panic!("a follow was answered with {other:?}"),
        }
    }

    /// Makes everything committed persistent.
    pub(crate) fn force(&mut self) -> Horizon {
        match self.call(Op::Force).expect("a force") {
            Answer::Persistent(horizon) => horizon,
            other => panic!("a force was answered with {other:?}"),
        }
    }

    /// The figures.
    pub(crate) fn status(&mut self) -> Status {
        match self.call(Op::Status).expect("the figures") {
            Answer::Status(status) => *status,
            other => panic!("a status request was answered with {other:?}"),
        }
    }
}

/// Key number `n` of some order that is not theirs: lengths from 4 to 50 bytes, common prefixes among them.
fn key_number(n: u32) -> Vec<u8> {
    let mut key = vec![b'k'; (n % 7) as usize * 5];
    key.extend_from_slice(&n.wrapping_mul(2_654_435_761).to_le_bytes());
    key.extend(std::iter::repeat_n(0, (n % 3) as usize * 8));
    key
}

/// Number `n` of those that a client hashed, badly: by turns they differ in their lowest bits, their highest, or in between.
fn client_hashed(n: u64) -> Vec<u8> {
    let number = match n % 3 {
        0 => n,
        1 => n << 16,
        _ => n.reverse_bits(),
    };
    domains::index::order_preserving(number).to_vec()
}
