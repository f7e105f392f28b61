//! A toy log engine behind the domain seam, right by default, with flaws that can be switched on.
//!
//! Pages 0 and 1 are superblocks, written alternately: incarnation and checksum. The log begins at page 2: each page carries the checksum
//! of the page before it, its sequence, its incarnation and its epoch; the last page of an epoch says so. Recovery follows the
//! chain, drops what follows the last whole epoch, flushes, writes the next superblock, flushes, and only then serves. A new
//! incarnation writes over the dropped tail, which is what makes the chain necessary. Everything is kept in memory; nothing is read later.

use domains::schema::{TableHome, TableKind};
use domains::{
    Answer, Capabilities, Committed, Cursor, Direction, Domain, Driven, Error, Failure, Horizon, Level, Op, OpId, Pair,
    Persistence, TableInfo, TableSpec, Tick, Versions,
};
use segments::{
    Completion, Device, DeviceError, EpochId, Frames, Incarnation, Ordinal, PAGE_BYTES, PageNo, Request, TableId, Tag,
    Version,
};
use std::collections::BTreeMap;
use std::ops::Bound;
use tests::harness::Opened;
use tests::{Engine, Feature, Rng};
use txn::{Change, CommitSet, Expect};

const DEVICE_PAGES: u64 = 4096;
const LOG_START: u64 = 2;
const HEADER_BYTES: usize = 32;
const PAYLOAD_BYTES: usize = PAGE_BYTES - HEADER_BYTES;
const EPOCH_NANOS: u64 = 1_000_000;
const MAGIC: u32 = 0x7079_6f74;

/// What a toy may get wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flaw {
    /// Persistence is announced when the flush is issued.
    AnnouncesAtIssue,
    /// A page is believed by its own checksum and sequence.
    NoPreviousChecksum,
    /// Recovery serves what it read without making it durable.
    RecoversWithoutFlush,
    /// There is one superblock, written in place.
    OneSuperblock,
    /// A failed flush is tried again, and the second answer believed.
    RetriesFlush,
    /// A large transaction's records may fall into two epochs.
    SplitsTransactions,
}

/// The engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Toy {
    pub(super) flaw: Option<Flaw>,
}

#[derive(Clone, Debug)]
struct Record {
    value: Vec<u8>,
    version: Version,
    expires_ms: Option<u64>,
    compressed: bool,
}

/// What the log is doing. One epoch at a time is on its way.
#[derive(Debug)]
enum Log {
    Idle,
    Writing { epoch: EpochId, left: u64 },
    Flushing { epoch: EpochId },
    Poisoned,
}

#[derive(Debug)]
pub(super) struct ToyDomain {
    flaw: Option<Flaw>,
    pairs: BTreeMap<(TableId, Vec<u8>), Record>,
    tables: BTreeMap<String, TableInfo>,
    next_table: u32,
    horizon: Horizon,
    epoch: EpochId,
    ordinal: u64,
    /// Records of the open epoch, and since when it is open.
    batch: Vec<u8>,
    opened: Tick,
    forced: bool,
    log: Log,
    /// The next page of the log, its sequence, and the checksum of the one before.
    next_page: u64,
    previous: u32,
    next_tag: u64,
    requests: Vec<(Tag, Request)>,
    answers: Vec<(OpId, Result<Answer, Error>)>,
    waiting: Vec<(OpId, EpochId, Answer)>,
}

impl Engine for Toy {
    type Domain = ToyDomain;
    const FEATURES: &[Feature] = &[Feature::Tables, Feature::Sacks, Feature::Large, Feature::Swaps];

    fn format(&self, device: &mut dyn Device, _rng: &mut Rng) -> Result<(), Error> {
        write_superblock(device, Incarnation(0), 0)?;
        drive(device, Request::Flush).map(drop)
    }

    fn open(&self, device: &mut dyn Device, now: Tick) -> Result<(ToyDomain, Opened), Error> {
        let slots = if self.flaw == Some(Flaw::OneSuperblock) { 1 } else { 2 };
        let mut newest = None;
        for slot in 0..slots {
            newest = newest.max(read_superblock(device, slot)?);
        }
        let Some(incarnation) = newest else {
            return Err(Error::NotAStore { why: "no superblock is whole".to_owned() });
        };
        let mut domain = ToyDomain::empty(self.flaw, incarnation, now);
        let cut = domain.replay(device)?;
        let flushes = self.flaw != Some(Flaw::RecoversWithoutFlush);
        if flushes {
            drive(device, Request::Flush)?;
        }
        let incarnation = incarnation.next();
        write_superblock(device, incarnation, u64::from(incarnation.0) % slots)?;
        if flushes {
            drive(device, Request::Flush)?;
        }
        domain.horizon = Horizon { incarnation, persistent: EpochId::base(incarnation) };
        domain.epoch = EpochId::base(incarnation).next();
        let cuts = vec![cut];
        Ok((domain, Opened { incarnation, cuts, searched: 0 }))
    }

    fn device_pages(&self) -> u64 {
        DEVICE_PAGES
    }

    fn is_capped(&self) -> bool {
        true
    }
}

impl ToyDomain {
    fn empty(flaw: Option<Flaw>, incarnation: Incarnation, now: Tick) -> Self {
        Self {
            flaw,
            pairs: BTreeMap::new(),
            tables: BTreeMap::new(),
            next_table: 1,
            horizon: Horizon { incarnation, persistent: EpochId::base(incarnation) },
            epoch: EpochId::base(incarnation),
            ordinal: 0,
            batch: Vec::new(),
            opened: now,
            forced: false,
            log: Log::Idle,
            next_page: LOG_START,
            previous: MAGIC,
            next_tag: 0,
            requests: Vec::new(),
            answers: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Follows the chain; returns the last whole epoch.
    fn replay(&mut self, device: &mut dyn Device) -> Result<EpochId, Error> {
        let (mut page, mut previous) = (self.next_page, self.previous);
        let mut cut = EpochId::default();
        let mut stream = Vec::new();
        while page < device.pages() {
            let frames = drive(device, Request::Read { at: PageNo(page), frames: Frames::zeroed(1) })?;
            let bytes = frames.expect("a read brings its frames home");
            let Some(found) = Header::decode(bytes.page(0)) else { break };
            let chained = self.flaw == Some(Flaw::NoPreviousChecksum) || found.previous == previous;
            if found.sequence != page || !chained {
                break;
            }
            stream.extend_from_slice(&bytes.page(0)[HEADER_BYTES..HEADER_BYTES + usize::from(found.payload)]);
            (page, previous) = (page + 1, found.checksum);
            if found.closes {
                self.apply_stream(&stream, found.epoch);
                stream.clear();
                cut = found.epoch;
                (self.next_page, self.previous) = (page, previous);
            }
        }
        Ok(cut)
    }

    fn apply_stream(&mut self, mut stream: &[u8], epoch: EpochId) {
        while let Some((&head, rest)) = stream.split_first_chunk::<28>() {
            let number = |at: usize, bytes: usize| {
                head[at..at + bytes].iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
            };
            let (table, put, compressed) = (number(0, 4), head[4] == 1, head[5] == 1);
            let (key_bytes, value_bytes) = (small(number(6, 2)), small(number(8, 4)));
            let (ordinal, expires) = (number(12, 8), number(20, 8));
            let (key, rest) = rest.split_at(key_bytes);
            let (value, rest) = rest.split_at(value_bytes);
            let version = Version { epoch, ordinal: Ordinal(ordinal) };
            let expires_ms = (expires > 0).then_some(expires);
            let table = TableId(u32::try_from(table).expect("four bytes"));
            let record = put.then(|| Record { value: value.to_vec(), version, expires_ms, compressed });
            self.apply(table, key, record);
            stream = rest;
        }
    }

    /// A change takes effect in memory. Table 0 is the catalog: name to id and kind.
    fn apply(&mut self, table: TableId, key: &[u8], record: Option<Record>) {
        if table == TableId(0) {
            let name = String::from_utf8(key.to_vec()).expect("names are text");
            match record {
                Some(record) => {
                    let id = TableId(u32::from_le_bytes(record.value[..4].try_into().expect("four bytes")));
                    let kind = if record.value[4] == 0 { TableKind::Hash } else { TableKind::Ordered };
                    self.next_table = self.next_table.max(id.0 + 1);
                    self.tables.insert(name.clone(), TableInfo { id, name, spec: spec(kind) });
                }
                None => drop(self.tables.remove(&name)),
            }
            return;
        }
        match record {
            Some(record) => drop(self.pairs.insert((table, key.to_vec()), record)),
            None => drop(self.pairs.remove(&(table, key.to_vec()))),
        }
    }

    /// Adds a change to the open epoch and applies it.
    fn append(&mut self, table: TableId, key: &[u8], change: Change<'_>, now: Tick) -> Version {
        if self.batch.is_empty() {
            self.opened = now;
        }
        self.ordinal += 1;
        let version = Version { epoch: self.epoch, ordinal: Ordinal(self.ordinal) };
        let there = self.pairs.get(&(table, key.to_vec()));
        let grown = |value, options| Pair::with_own_append(there.map(|there| pair_of(key, there)), key, value, options);
        let pair = if let Change::Append { value, options } = change { Some(grown(value, options)) } else { None };
        let (value, expires_ms, compressed) = match (change, &pair) {
            (_, Some(pair)) => (&pair.value[..], pair.expires_ms, pair.compressed),
            (Change::Put { value, options }, None) => (value, options.expires_ms, options.compressed),
            (_, None) => (&[][..], None, false),
        };
        let put = matches!(change, Change::Put { .. } | Change::Append { .. });
        self.batch.extend_from_slice(&table.0.to_le_bytes());
        self.batch.extend_from_slice(&[u8::from(put), u8::from(compressed)]);
        self.batch.extend_from_slice(&u16::try_from(key.len()).expect("keys are short").to_le_bytes());
        self.batch.extend_from_slice(&u32::try_from(value.len()).expect("values are below 4 GiB").to_le_bytes());
        self.batch.extend_from_slice(&self.ordinal.to_le_bytes());
        self.batch.extend_from_slice(&expires_ms.unwrap_or(0).to_le_bytes());
        self.batch.extend_from_slice(key);
        self.batch.extend_from_slice(value);
        self.apply(table, key, put.then(|| Record { value: value.to_vec(), version, expires_ms, compressed }));
        version
    }

    fn commit(&mut self, id: OpId, set: &CommitSet, level: Level, now: Tick) -> Result<Option<Answer>, Error> {
        self.check_poison()?;
        let mut failures = Vec::new();
        for (number, part) in set.parts().enumerate() {
            if !self.tables.values().any(|info| info.id == part.table) {
                return Err(Error::TableGone { table: part.table });
            }
            let found = self.pairs.get(&(part.table, part.key.to_vec())).map(|record| record.version);
            let holds = match part.expect {
                Expect::Any => true,
                Expect::Absent => found.is_none(),
                Expect::Present => found.is_some(),
                Expect::At(version) => found == Some(version),
                Expect::Never => false,
            };
            if !holds {
                failures.push(Failure { part: u32::try_from(number).expect("few parts"), found });
            }
        }
        if !failures.is_empty() {
            return Err(Error::CompareFailed { failures });
        }
        self.check_room(set.bytes())?;
        let mut versions = Versions::default();
        let epoch = self.epoch;
        for part in set.parts().filter(|part| part.change != Change::None) {
            let there = self.pairs.contains_key(&(part.table, part.key.to_vec()));
            if part.change == Change::Delete && !there {
                continue;
            }
            let split = self.flaw == Some(Flaw::SplitsTransactions) && self.batch.len() > 2_000;
            if split && matches!(self.log, Log::Idle) {
                self.close();
            }
            let version = self.append(part.table, part.key, part.change, now);
            versions.push(Version { epoch, ..version });
        }
        let nothing = versions.as_slice().is_empty();
        let (epoch, persistence) =
            if nothing { (self.horizon.persistent, Persistence::Persistent) } else { (epoch, Persistence::Pending) };
        let answer = Answer::Committed(Committed { epoch, versions, persistence });
        if level == Level::Persistent && !nothing {
            self.waiting.push((id, epoch, answer));
            return Ok(None);
        }
        Ok(Some(answer))
    }

    fn check_poison(&self) -> Result<(), Error> {
        match self.log {
            Log::Poisoned => {
                Err(Error::Poisoned { why: "a failed request".to_owned(), epoch: self.epoch, applied: false })
            }
            Log::Idle | Log::Writing { .. } | Log::Flushing { .. } => Ok(()),
        }
    }

    fn check_room(&self, bytes: usize) -> Result<(), Error> {
        let pages = (self.batch.len() + bytes) / PAYLOAD_BYTES + 64;
        if self.next_page + pages as u64 > DEVICE_PAGES {
            return Err(Error::NoSpace { limit_pages: DEVICE_PAGES, why: "the toy never reclaims".to_owned() });
        }
        Ok(())
    }

    fn change_table(&mut self, id: OpId, op: Op, now: Tick) -> Result<Option<Answer>, Error> {
        self.check_poison()?;
        self.check_room(1000)?;
        let answer = match op {
            Op::CreateTable { name, spec: wanted } => {
                if wanted.kind == TableKind::Sack || wanted.home == TableHome::Volatile {
                    return Err(Error::Unsupported { domain: "toy", what: "this kind of table" });
                }
                let table = TableId(self.next_table);
                let kind = u8::from(wanted.kind == TableKind::Ordered);
                self.put_table(&name, table, kind, now);
                Answer::Table(self.tables[&name].clone())
            }
            Op::RenameTable { from, to } => {
                let info = self.tables.get(&from).ok_or(Error::NoSuchTable { name: from.clone() })?.clone();
                self.put_table(&to, info.id, u8::from(info.spec.kind == TableKind::Ordered), now);
                self.append(TableId(0), from.as_bytes(), Change::Delete, now);
                Answer::Table(self.tables[&to].clone())
            }
            Op::DestroyTable { name } => {
                let info = self.tables.get(&name).ok_or(Error::NoSuchTable { name: name.clone() })?.clone();
                self.append(TableId(0), name.as_bytes(), Change::Delete, now);
                self.pairs.retain(|(table, _), _| *table != info.id);
                Answer::Done
            }
            other => unreachable!("{other:?} changes no table"),
        };
        self.waiting.push((id, self.epoch, answer));
        Ok(None)
    }

    fn put_table(&mut self, name: &str, id: TableId, kind: u8, now: Tick) {
        let mut value = id.0.to_le_bytes().to_vec();
        value.push(kind);
        let change = Change::Put { value: &value, options: txn::PutOptions::default() };
        self.append(TableId(0), name.as_bytes(), change, now);
    }

    fn next_pairs(&self, table: TableId, from: &Cursor, pairs_max: u32) -> Result<Answer, Error> {
        if !self.tables.values().any(|info| info.id == table) {
            return Err(Error::TableGone { table });
        }
        let start = match from {
            Cursor::Start => Bound::Included((table, Vec::new())),
            Cursor::At(key) => Bound::Included((table, key.clone())),
            Cursor::Past(key) => Bound::Excluded((table, key.clone())),
        };
        let end = Bound::Excluded((TableId(table.0 + 1), Vec::new()));
        let mut all = self.pairs.range((start, end));
        let pairs = all.by_ref().take(pairs_max as usize).map(|((_, key), record)| pair_of(key, record)).collect();
        Ok(Answer::Pairs { pairs, more: all.next().is_some() })
    }

    /// Closes the open epoch: its pages go to the device.
    fn close(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let chunks: Vec<_> = batch.chunks(PAYLOAD_BYTES).collect();
        for (number, chunk) in chunks.iter().enumerate() {
            let mut frames = Frames::zeroed(1);
            let header = Header {
                checksum: 0,
                previous: self.previous,
                sequence: self.next_page,
                epoch: self.epoch,
                payload: u16::try_from(chunk.len()).expect("below a page"),
                closes: number + 1 == chunks.len(),
            };
            self.previous = header.encode(frames.page_mut(0), chunk);
            self.request(Request::Write { at: PageNo(self.next_page), frames });
            self.next_page += 1;
        }
        self.log = Log::Writing { epoch: self.epoch, left: chunks.len() as u64 };
        self.epoch = self.epoch.next();
        self.forced = false;
    }

    fn request(&mut self, request: Request) {
        self.requests.push((Tag(self.next_tag), request));
        self.next_tag += 1;
    }

    fn announce(&mut self, epoch: EpochId) {
        self.horizon.persistent = epoch;
        let (due, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(_, at, _)| *at <= epoch);
        self.waiting = waiting;
        let due: Vec<(OpId, EpochId, Answer)> = due;
        for (id, _, answer) in due {
            let answer = match answer {
                Answer::Persistent(_) => Answer::Persistent(self.horizon),
                Answer::Committed(committed) => {
                    Answer::Committed(Committed { persistence: Persistence::Persistent, ..committed })
                }
                other => other,
            };
            self.answers.push((id, Ok(answer)));
        }
    }

    fn poison(&mut self) {
        self.log = Log::Poisoned;
        let error = Error::Poisoned {
            why: "a failed request".to_owned(),
            epoch: self.horizon.persistent.next(),
            applied: true,
        };
        for (id, _, _) in std::mem::take(&mut self.waiting) {
            self.answers.push((id, Err(error.clone())));
        }
    }

    fn wait_for(&mut self, id: OpId, epoch: EpochId) -> Result<Option<Answer>, Error> {
        if epoch <= self.horizon.persistent {
            return Ok(Some(Answer::Persistent(self.horizon)));
        }
        self.check_poison()?;
        self.waiting.push((id, epoch, Answer::Persistent(self.horizon)));
        Ok(None)
    }
}

impl Domain for ToyDomain {
    fn capabilities(&self) -> Capabilities {
        Capabilities { name: "toy", abortable: true, persistence: true, writes_out: false }
    }

    fn horizon(&self) -> Horizon {
        self.horizon
    }

    fn submit(&mut self, id: OpId, op: Op, now: Tick) {
        let answer = match op {
            Op::Lookup { table, key } => match self.tables.values().any(|info| info.id == table) {
                true => {
                    Ok(Some(Answer::Pair(self.pairs.get(&(table, key.clone())).map(|record| pair_of(&key, record)))))
                }
                false => Err(Error::TableGone { table }),
            },
            Op::Next { table, from, pairs_max, direction: Direction::Next, .. } => {
                self.next_pairs(table, &from, pairs_max).map(Some)
            }
            Op::Commit { set, level } => self.commit(id, &set, level, now),
            Op::Await { epoch } => self.wait_for(id, epoch),
            Op::Force => {
                self.forced = true;
                let pending = if self.batch.is_empty() { self.epoch.0 - 1 } else { self.epoch.0 };
                self.wait_for(id, EpochId(pending))
            }
            Op::CreateTable { .. } | Op::RenameTable { .. } | Op::DestroyTable { .. } => self.change_table(id, op, now),
            Op::ListTables => Ok(Some(Answer::Tables(self.tables.values().cloned().collect()))),
            Op::DropCache => Ok(Some(Answer::Done)),
            _ => Err(Error::Unsupported { domain: "toy", what: "this" }),
        };
        if let Some(answer) = answer.transpose() {
            self.answers.push((id, answer));
        }
    }

    fn turn(&mut self, now: Tick) -> Option<Tick> {
        let due = Tick { nanos: self.opened.nanos + EPOCH_NANOS, ..self.opened };
        if matches!(self.log, Log::Idle) && !self.batch.is_empty() && (self.forced || now >= due) {
            self.close();
        }
        (!self.batch.is_empty()).then_some(due)
    }

    fn take_answers(&mut self, answers: &mut Vec<(OpId, Result<Answer, Error>)>) {
        answers.append(&mut self.answers);
    }
}

impl Driven for ToyDomain {
    fn take_requests(&mut self, requests: &mut Vec<(Tag, Request)>) {
        requests.append(&mut self.requests);
    }

    fn complete(&mut self, completion: Completion, _now: Tick) {
        self.log = match (std::mem::replace(&mut self.log, Log::Idle), completion.result) {
            (Log::Poisoned, _) => Log::Poisoned,
            (Log::Flushing { epoch }, Err(error))
                if self.flaw == Some(Flaw::RetriesFlush) && error != DeviceError::Gone =>
            {
                self.request(Request::Flush);
                Log::Flushing { epoch }
            }
            (_, Err(_)) => return self.poison(),
            (Log::Writing { epoch, left: 1 }, Ok(())) => {
                self.request(Request::Flush);
                if self.flaw == Some(Flaw::AnnouncesAtIssue) {
                    self.announce(epoch);
                }
                Log::Flushing { epoch }
            }
            (Log::Writing { epoch, left }, Ok(())) => Log::Writing { epoch, left: left - 1 },
            (Log::Flushing { epoch }, Ok(())) => {
                self.announce(epoch);
                Log::Idle
            }
            (Log::Idle, Ok(())) => unreachable!("nothing was in flight"),
        };
    }
}

/// The first bytes of a page.
struct Header {
    checksum: u32,
    previous: u32,
    sequence: u64,
    epoch: EpochId,
    payload: u16,
    closes: bool,
}

impl Header {
    fn encode(&self, page: &mut [u8; PAGE_BYTES], payload: &[u8]) -> u32 {
        page[4..8].copy_from_slice(&self.previous.to_le_bytes());
        page[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        page[16..24].copy_from_slice(&self.epoch.0.to_le_bytes());
        page[24..26].copy_from_slice(&self.payload.to_le_bytes());
        page[26] = u8::from(self.closes);
        page[HEADER_BYTES..HEADER_BYTES + payload.len()].copy_from_slice(payload);
        let checksum = crc32c::crc32c(&page[4..]);
        page[..4].copy_from_slice(&checksum.to_le_bytes());
        checksum
    }

    fn decode(page: &[u8; PAGE_BYTES]) -> Option<Self> {
        let checksum = u32::from_le_bytes(page[..4].try_into().expect("four bytes"));
        let header = Self {
            checksum,
            previous: u32::from_le_bytes(page[4..8].try_into().expect("four bytes")),
            sequence: u64::from_le_bytes(page[8..16].try_into().expect("eight bytes")),
            epoch: EpochId(u64::from_le_bytes(page[16..24].try_into().expect("eight bytes"))),
            payload: u16::from_le_bytes(page[24..26].try_into().expect("two bytes")),
            closes: page[26] == 1,
        };
        (crc32c::crc32c(&page[4..]) == checksum && usize::from(header.payload) <= PAYLOAD_BYTES).then_some(header)
    }
}

fn write_superblock(device: &mut dyn Device, incarnation: Incarnation, slot: u64) -> Result<(), Error> {
    let mut frames = Frames::zeroed(1);
    let page = frames.page_mut(0);
    page[4..8].copy_from_slice(&MAGIC.to_le_bytes());
    page[8..12].copy_from_slice(&incarnation.0.to_le_bytes());
    // Its second half is as much part of it as the first, so that a torn one is seen.
    page[PAGE_BYTES - 4..].copy_from_slice(&incarnation.0.to_le_bytes());
    let checksum = crc32c::crc32c(&page[4..]);
    page[..4].copy_from_slice(&checksum.to_le_bytes());
    drive(device, Request::Write { at: PageNo(slot), frames }).map(drop)
}

fn read_superblock(device: &mut dyn Device, slot: u64) -> Result<Option<Incarnation>, Error> {
    let frames = drive(device, Request::Read { at: PageNo(slot), frames: Frames::zeroed(1) })?;
    let frames = frames.expect("a read brings its frames home");
    let page = frames.page(0);
    let whole = crc32c::crc32c(&page[4..]).to_le_bytes() == page[..4] && MAGIC.to_le_bytes() == page[4..8];
    Ok(whole.then(|| Incarnation(u32::from_le_bytes(page[8..12].try_into().expect("four bytes")))))
}

/// Performs one request.
fn drive(device: &mut dyn Device, request: Request) -> Result<Option<Frames>, Error> {
    device.submit(Tag(0), request);
    let mut done = Vec::new();
    device.wait(&mut done);
    let done = done.pop().expect("one request was in flight");
    done.result.map(|()| done.frames).map_err(|error| Error::ReadFailed { page: 0, error })
}

fn pair_of(key: &[u8], record: &Record) -> Pair {
    let Record { value, version, expires_ms, compressed } = record.clone();
    Pair { key: key.to_vec(), value, version, expires_ms, compressed }
}

fn spec(kind: TableKind) -> TableSpec {
    let home = TableHome::Persistent;
    TableSpec { type_name: "simulated".to_owned(), ..TableSpec::plain(kind, home) }
}

fn small(number: u64) -> usize {
    usize::try_from(number).expect("lengths are small")
}
