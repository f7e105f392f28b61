//! A scripted engine and device for the executors' own tests: small enough to see through, with every way of being answered.
//!
//! Keys that begin with `cold` need a device read, and so does a commit of keys that begin with `late`; the key `panic` panics; everything else is in memory. A commit opens an
//! epoch that is due one millisecond later; closing it writes one page, then flushes, then answers whoever waits.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a script has a few lines; everything else is a mistake of the test"
)]

use domains::{
    Answer, Capabilities, Committed, Domain, Driven, Error, Horizon, Level, Op, OpId, Pair, PairRef, Persistence, Seen,
    Tick, Versions,
};
use segments::{Completion, Device, EpochId, Frames, Incarnation, Ordinal, PageNo, Request, TableId, Tag, Version};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use txn::Change;

pub(crate) const EPOCH_NANOS: u64 = 1_000_000;
pub(crate) const TABLE: TableId = TableId(1);

/// What a test looks at from outside while the engine is owned by an executor.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) commits: AtomicU64,
    pub(crate) persistent: AtomicU64,
    pub(crate) turns: AtomicU64,
}

#[derive(Debug)]
enum Flight {
    Read(OpId, Vec<u8>),
    Commit(OpId, txn::CommitSet, Level),
    Write(EpochId),
    Flush(EpochId),
}

#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) marks: Arc<Marks>,
    pairs: BTreeMap<Vec<u8>, (Vec<u8>, Version)>,
    open: EpochId,
    horizon: Horizon,
    closing: bool,
    due: Option<Tick>,
    force: bool,
    ordinal: u64,
    waiters: Vec<(EpochId, OpId, Option<Committed>)>,
    flights: BTreeMap<u64, Flight>,
    tag: u64,
    requests: Vec<(Tag, Request)>,
    answers: Vec<(OpId, Result<Answer, Error>)>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let base = EpochId::base(Incarnation(1));
        Self {
            marks: Arc::default(),
            pairs: BTreeMap::new(),
            open: base.next(),
            horizon: Horizon { incarnation: Incarnation(1), persistent: base },
            closing: false,
            due: None,
            force: false,
            ordinal: 0,
            waiters: Vec::new(),
            flights: BTreeMap::new(),
            tag: 0,
            requests: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn request(&mut self, flight: Flight, request: Request) {
        self.tag += 1;
        self.flights.insert(self.tag, flight);
        self.requests.push((Tag(self.tag), request));
    }

    fn pair(&self, key: &[u8]) -> Option<Pair> {
        self.pairs.get(key).map(|(value, version)| Pair {
            key: key.to_vec(),
            value: value.clone(),
            version: *version,
            expires_ms: None,
            compressed: false,
        })
    }

    fn commit(&mut self, id: OpId, set: &txn::CommitSet, level: Level, now: Tick) {
        let mut versions = Versions::default();
        for part in set.parts() {
            self.ordinal += 1;
            let version = Version { epoch: self.open, ordinal: Ordinal(self.ordinal) };
            match part.change {
                Change::Put { value, .. } => drop(self.pairs.insert(part.key.to_vec(), (value.to_vec(), version))),
                Change::Append { value, .. } => {
                    let pair = self.pairs.entry(part.key.to_vec()).or_default();
                    pair.0.extend_from_slice(value);
                    pair.1 = version;
                }
                Change::Delete => drop(self.pairs.remove(part.key)),
                Change::None | Change::Revert { .. } | Change::Seal { .. } => continue,
            }
            versions.push(version);
        }
        self.marks.commits.fetch_add(1, Ordering::SeqCst);
        self.due.get_or_insert(Tick { nanos: now.nanos + EPOCH_NANOS, unix_ms: now.unix_ms });
        let committed = Committed { epoch: self.open, versions, persistence: Persistence::Pending };
        match level {
            Level::Committed => self.answers.push((id, Ok(Answer::Committed(committed)))),
            Level::Persistent => self.waiters.push((self.open, id, Some(committed))),
        }
    }

    fn passed(&mut self, epoch: EpochId) {
        self.horizon.persistent = epoch;
        self.closing = false;
        self.marks.persistent.store(self.marks.commits.load(Ordering::SeqCst), Ordering::SeqCst);
        let horizon = self.horizon;
        for (wanted, id, committed) in std::mem::take(&mut self.waiters) {
            if wanted > epoch {
                self.waiters.push((wanted, id, committed));
                continue;
            }
            let answer = match committed {
                Some(committed) => Answer::Committed(Committed { persistence: Persistence::Persistent, ..committed }),
                None => Answer::Persistent(horizon),
            };
            self.answers.push((id, Ok(answer)));
        }
    }
}

impl Domain for Fake {
    fn capabilities(&self) -> Capabilities {
        Capabilities { name: "fake", abortable: true, persistence: true, writes_out: false }
    }

    fn horizon(&self) -> Horizon {
        self.horizon
    }

    fn submit(&mut self, id: OpId, op: Op, now: Tick) {
        match op {
            Op::Lookup { key, .. } if key == b"panic" => panic!("as the test wanted"),
            Op::Lookup { key, .. } if key.starts_with(b"cold") => {
                self.request(Flight::Read(id, key), Request::Read { at: PageNo(0), frames: Frames::zeroed(1) });
            }
            Op::Lookup { key, .. } => self.answers.push((id, Ok(Answer::Pair(self.pair(&key))))),
            Op::Commit { set, level } if set.parts().any(|part| part.key.starts_with(b"late")) => {
                let read = Request::Read { at: PageNo(0), frames: Frames::zeroed(1) };
                self.request(Flight::Commit(id, set, level), read);
            }
            Op::Commit { set, level } => self.commit(id, &set, level, now),
            Op::Await { epoch } => self.waiters.push((epoch, id, None)),
            Op::Force if self.due.is_none() && !self.closing => {
                self.answers.push((id, Ok(Answer::Persistent(self.horizon))));
            }
            Op::Force => {
                self.force = true;
                let epoch = if self.due.is_some() { self.open } else { self.horizon.persistent.next() };
                self.waiters.push((epoch, id, None));
            }
            Op::DestroyTable { name } => self.answers.push((id, Err(Error::NoSuchTable { name }))),
            other => unreachable!("the fake does not do {other:?}"),
        }
    }

    fn lookup_now(
        &mut self,
        _table: TableId,
        key: &[u8],
        _now: Tick,
        see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<Seen, Error> {
        if key.starts_with(b"cold") {
            return Ok(Seen::NeedsDevice);
        }
        see(self.pair(key).as_ref().map(Pair::as_ref));
        Ok(Seen::Ready)
    }

    fn turn(&mut self, now: Tick) -> Option<Tick> {
        self.marks.turns.fetch_add(1, Ordering::SeqCst);
        let due = self.due.is_some_and(|due| due.nanos <= now.nanos);
        if (due || (self.force && self.due.is_some())) && !self.closing {
            self.closing = true;
            self.force = false;
            self.due = None;
            let epoch = self.open;
            self.open = epoch.next();
            self.request(Flight::Write(epoch), Request::Write { at: PageNo(1), frames: Frames::zeroed(1) });
        }
        self.due
    }

    fn take_answers(&mut self, answers: &mut Vec<(OpId, Result<Answer, Error>)>) {
        answers.append(&mut self.answers);
    }
}

impl Driven for Fake {
    fn take_requests(&mut self, requests: &mut Vec<(Tag, Request)>) {
        requests.append(&mut self.requests);
    }

    fn complete(&mut self, completion: Completion, now: Tick) {
        completion.result.expect("the test's disk does not fail");
        match self.flights.remove(&completion.tag.0).expect("a completion belongs to a request") {
            Flight::Read(id, key) => {
                let answer = Answer::Pair(self.pair(&key));
                self.answers.push((id, Ok(answer)));
            }
            Flight::Commit(id, set, level) => self.commit(id, &set, level, now),
            Flight::Write(epoch) => self.request(Flight::Flush(epoch), Request::Flush),
            Flight::Flush(epoch) => self.passed(epoch),
        }
    }
}

/// A device that completes the oldest request at each poll, once it has been polled `lag` times in vain, or at each wait.
#[derive(Debug)]
pub(crate) struct Disk {
    lag: u32,
    polls: u32,
    queue: Vec<(Tag, Request)>,
}

impl Disk {
    pub(crate) fn new(lag: u32) -> Self {
        Self { lag, polls: 0, queue: Vec::new() }
    }

    fn one(&mut self, done: &mut Vec<Completion>) {
        if self.queue.is_empty() {
            return;
        }
        self.polls = 0;
        let (tag, request) = self.queue.remove(0);
        let frames = match request {
            Request::Read { frames, .. } | Request::Write { frames, .. } => Some(frames),
            Request::Flush | Request::Grow { .. } | Request::Zero { .. } | Request::Punch { .. } => None,
        };
        done.push(Completion { tag, frames, result: Ok(()) });
    }
}

impl Device for Disk {
    fn pages(&self) -> u64 {
        16
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        self.queue.push((tag, request));
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        self.polls += 1;
        if self.polls > self.lag {
            self.one(done);
        }
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.one(done);
    }

    fn in_flight(&self) -> usize {
        self.queue.len()
    }
}

/// A commit of one put.
pub(crate) fn put(key: &[u8], value: &[u8], level: Level) -> Op {
    let mut set = txn::CommitSet::new();
    set.upsert(TABLE, key, value, txn::PutOptions::default()).expect("a small set");
    Op::Commit { set, level }
}

/// A lookup.
pub(crate) fn get(key: &[u8]) -> Op {
    Op::Lookup { table: TABLE, key: key.to_vec() }
}

/// The value in a lookup's answer.
pub(crate) fn value(answer: Result<Answer, crate::Error>) -> Option<Vec<u8>> {
    match answer.expect("a lookup succeeds") {
        Answer::Pair(pair) => pair.map(|pair| pair.value),
        other => unreachable!("a lookup was answered with {other:?}"),
    }
}
