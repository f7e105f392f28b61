//! A scripted domain, clients that speak frames, and the turns between them.

use crate::acl::{Caller, Rules};
use crate::gate::{Gate, Owners};
use crate::limits::Limits;
use crate::session::{Direct, Facts};
use crate::sessions::{Connection, Round, Sessions};
use domains::{Answer, Error, Horizon, Op, PairRef, Tick};
use domains::{Capabilities, Committed, Domain, OpId, Pair, Persistence, Versions};
use segments::cuts::Cuts;
use segments::{EpochId, Incarnation, Ordinal, TableId, Version};
use std::collections::BTreeMap;
use std::time::Duration;
use txn::{Change, Expect};
use wire::{
    Bytes, CommitOptions, Cut, FrameReader, FrameWriter, Hello, Kind, Known, Level, List, Outcome, Part, Value,
};

/// A domain of a few lines: a map, an epoch a commit, and answers that wait until they are let go.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) pairs: BTreeMap<(TableId, Vec<u8>), (Vec<u8>, Version)>,
    pub(super) epoch: u64,
    pub(super) persistent: u64,
    pub(super) held: Vec<(OpId, Result<Answer, Error>)>,
    pub(super) awaits: Vec<(OpId, EpochId)>,
    pub(super) hold: bool,
    pub(super) ready: Vec<(OpId, Result<Answer, Error>)>,
    pub(super) forces: usize,
    pub(super) status: domains::Status,
}

impl Fake {
    pub(super) fn epoch_id(&self, counter: u64) -> EpochId {
        EpochId::new(Incarnation(2), counter)
    }

    pub(super) fn commit(&mut self, set: &txn::CommitSet) -> Result<Answer, Error> {
        let found =
            |part: &txn::Part<'_>| self.pairs.get(&(part.table, part.key.to_vec())).map(|(_, version)| *version);
        let failures: Vec<domains::Failure> = (0..)
            .zip(set.parts())
            .filter(|(_, part)| match part.expect {
                Expect::Any => false,
                Expect::Absent => found(part).is_some(),
                Expect::Present => found(part).is_none(),
                Expect::At(version) => found(part) != Some(version),
                Expect::Never => true,
            })
            .map(|(at, part)| domains::Failure { part: at, found: found(&part) })
            .collect();
        if !failures.is_empty() {
            return Err(Error::CompareFailed { failures });
        }
        self.epoch += 1;
        let epoch = self.epoch_id(self.epoch);
        let mut versions = Versions::default();
        for (ordinal, part) in (0..).zip(set.parts()) {
            let version = Version { epoch, ordinal: Ordinal(ordinal) };
            let key = (part.table, part.key.to_vec());
            match part.change {
                Change::None | Change::Revert { .. } | Change::Seal { .. } => continue,
                Change::Put { value, .. } => drop(self.pairs.insert(key, (value.to_vec(), version))),
                Change::Append { value, .. } => {
                    let pair = self.pairs.entry(key).or_default();
                    pair.0.extend_from_slice(value);
                    pair.1 = version;
                }
                Change::Delete => drop(self.pairs.remove(&key)),
            }
            versions.push(version);
        }
        Ok(Answer::Committed(Committed { epoch, versions, persistence: Persistence::Pending }))
    }
}

impl Domain for Fake {
    fn capabilities(&self) -> Capabilities {
        Capabilities { name: "fake", abortable: true, persistence: true, writes_out: false }
    }

    fn horizon(&self) -> Horizon {
        Horizon { incarnation: Incarnation(2), persistent: self.epoch_id(self.persistent) }
    }

    fn submit(&mut self, id: OpId, op: Op, _now: Tick) {
        let answer = match op {
            Op::Lookup { table, key } => {
                let found = self.pairs.get(&(table, key.clone())).cloned();
                let pair = |(value, version)| Pair { key, value, version, expires_ms: None, compressed: false };
                Ok(Answer::Pair(found.map(pair)))
            }
            Op::Commit { set, .. } => self.commit(&set),
            Op::Await { epoch } => return self.awaits.push((id, epoch)),
            Op::Force => {
                self.forces += 1;
                Ok(Answer::Persistent(self.horizon()))
            }
            Op::ListTables => Ok(Answer::Tables(Vec::new())),
            Op::Status => Ok(Answer::Status(Box::new(self.status.clone()))),
            Op::LookupMany { .. }
            | Op::ReadRanges { .. }
            | Op::Next { .. }
            | Op::Follow { .. }
            | Op::Verify { .. }
            | Op::FollowChain { .. }
            | Op::CommitOnce { .. }
            | Op::Identify { .. }
            | Op::Fates { .. }
            | Op::AwaitCommit { .. }
            | Op::OpenStage
            | Op::Stage(_)
            | Op::ReadStaged { .. }
            | Op::Reserve { .. }
            | Op::CreateTable { .. }
            | Op::OpenTable { .. }
            | Op::RenameTable { .. }
            | Op::DestroyTable { .. }
            | Op::DropCache
            | Op::Reclaim
            | Op::Segments { .. } => unreachable!("no test asks for this"),
        };
        if self.hold { self.held.push((id, answer)) } else { self.ready.push((id, answer)) }
    }

    fn turn(&mut self, _now: Tick) -> Option<Tick> {
        let horizon = self.horizon();
        let (done, wait) = self.awaits.drain(..).partition(|(_, epoch)| *epoch <= horizon.persistent);
        self.awaits = wait;
        let done: Vec<(OpId, EpochId)> = done;
        self.ready.extend(done.into_iter().map(|(id, _)| (id, Ok(Answer::Persistent(horizon)))));
        None
    }

    fn take_answers(&mut self, answers: &mut Vec<(OpId, Result<Answer, Error>)>) {
        answers.append(&mut self.ready);
    }
}

/// A domain that answers nothing within the call.
struct Later<'a>(&'a mut Vec<(u64, Op)>);

impl Direct<u64> for Later<'_> {
    fn look(
        &mut self,
        _table: TableId,
        _key: &[u8],
        _see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<domains::Seen, Error> {
        Ok(domains::Seen::NeedsDevice)
    }

    fn ask(&mut self, id: u64, op: Op) -> Option<Result<Answer, Error>> {
        self.0.push((id, op));
        None
    }
}

/// Sessions and the domain they ask.
pub(super) struct Bench {
    pub(super) sessions: Sessions,
    pub(super) domain: Fake,
    pub(super) now: Tick,
}

/// A client: what it has written, and what came back.
pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) writer: FrameWriter,
    pub(super) reader: FrameReader,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Welcome(Cut),
    Reply(u64, Result<String, u16>),
    Batch(u64, Vec<Result<String, u16>>),
    Push(u64),
}

pub(super) fn said(outcome: Outcome<'_>) -> Result<String, u16> {
    match outcome.into_result() {
        Ok(wire::Answer::Pair(pair)) => {
            Ok(pair.map_or("absent".into(), |pair| String::from_utf8_lossy(pair.value.bytes()).into_owned()))
        }
        Ok(wire::Answer::Committed { versions, .. }) => Ok(format!("committed {}", versions.len())),
        Ok(wire::Answer::Opened { txn }) => Ok(format!("{txn}")),
        Ok(answer) => Ok(format!("{answer:?}")),
        Err(fault) => Err(fault.code),
    }
}

impl Bench {
    pub(super) fn new(limits: Limits) -> Self {
        let capabilities = Fake::default().capabilities();
        let cuts = Cuts::none(Incarnation(1)).ended(EpochId::new(Incarnation(1), 9));
        let facts = Facts { server_id: [7; 16], capabilities, cuts, limits, redis_level: domains::Level::Committed };
        Self {
            sessions: Sessions::new(facts, Gate::new(Owners::Everybody, Rules::default())),
            domain: Fake::default(),
            now: Tick::default(),
        }
    }

    pub(super) fn round<R>(&mut self, call: impl FnOnce(&mut Sessions, &mut Round<'_>) -> R) -> R {
        let (mut asked, mut asked_now) = (Vec::new(), Vec::new());
        let horizon = self.domain.horizon();
        let mut round = Round { now: self.now, horizon, direct: &mut Later(&mut asked_now), asked: &mut asked };
        let result = call(&mut self.sessions, &mut round);
        for (id, op) in asked_now.into_iter().chain(asked) {
            self.domain.submit(OpId(id), op, self.now);
        }
        self.answers();
        self.wake();
        result
    }

    /// Calls those whose wait for memory has ended.
    fn wake(&mut self) {
        while let Some(connection) = self.sessions.woken() {
            self.round(|sessions, round| sessions.turn(connection, round));
        }
    }

    pub(super) fn answers(&mut self) {
        self.domain.turn(self.now);
        let mut answers = Vec::new();
        self.domain.take_answers(&mut answers);
        for (id, answer) in answers {
            self.round(|sessions, round| sessions.answered(id.0, &answer, round));
        }
    }

    pub(super) fn release(&mut self) {
        let held = std::mem::take(&mut self.domain.held);
        self.domain.ready.extend(held);
        self.answers();
        self.turns();
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now = crate::session::after(self.now, Duration::from_millis(millis));
        self.sessions.expire(self.now);
        self.wake();
        for connection in self.sessions.all() {
            self.round(|sessions, round| sessions.turn(connection, round));
        }
    }

    pub(super) fn silent(&mut self) -> Client {
        let caller = Caller { uid: 1000, gid: 1000, groups: Vec::new() };
        let standing = self.sessions.admit(caller).expect("everybody is served");
        let (connection, place) = self.sessions.open(standing, self.now);
        assert!(place.is_ok(), "the test has few connections");
        let max = wire::limits::REPLY_FRAME_BYTES_MAX;
        Client { connection, writer: FrameWriter::new(max), reader: FrameReader::new(max) }
    }

    pub(super) fn client(&mut self) -> Client {
        let mut client = self.silent();
        client.writer.hello(1, &hello(None)).unwrap();
        assert_eq!(self.talk(&mut client), [Seen::Welcome(Cut::NotAsked)]);
        client
    }

    pub(super) fn send(&mut self, client: &Client, bytes: &[u8]) {
        self.round(|sessions, round| sessions.receive(client.connection, bytes, round));
        self.turns();
    }

    /// Gives those that wait for it their turns.
    fn turns(&mut self) {
        while self.sessions.waiting() > 0 {
            self.round(|sessions, round| sessions.next_turn(round));
        }
    }

    /// Sends what the client has written and reads all that comes back.
    pub(super) fn talk(&mut self, client: &mut Client) -> Vec<Seen> {
        let bytes = client.writer.take();
        self.send(client, &bytes);
        self.read(client)
    }

    pub(super) fn read(&mut self, client: &mut Client) -> Vec<Seen> {
        while let Some(session) = self.sessions.get_mut(client.connection) {
            let output = session.output(1000).to_vec();
            if output.is_empty() {
                break;
            }
            session.consume(output.len());
            client.reader.push(&output);
            self.round(|sessions, round| sessions.sent(client.connection, round));
            self.turns();
        }
        let mut seen = Vec::new();
        while let Some(frame) = client.reader.frame().unwrap() {
            seen.push(match Kind::from_u8(frame.header.kind).unwrap() {
                Kind::Welcome => Seen::Welcome(frame.welcome().unwrap().cut),
                Kind::Reply => Seen::Reply(frame.header.id, said(frame.reply().unwrap().outcome)),
                Kind::BatchReply => {
                    let (_, elements) = frame.batch_reply().unwrap();
                    let outcomes = elements.iter().map(|(body, tail)| said(Outcome::decode(body, tail).unwrap()));
                    Seen::Batch(frame.header.id, outcomes.collect())
                }
                Kind::Push => match frame.push().unwrap() {
                    wire::Push::Persistent(horizon) => Seen::Push(horizon.persistent & 0xff),
                },
                kind @ (Kind::Hello | Kind::Request | Kind::Batch) => panic!("a server sent {kind:?}"),
            });
            client.reader.advance();
        }
        seen
    }

    pub(super) fn ask(&mut self, client: &mut Client, op: wire::Op<'_>) -> Result<String, u16> {
        client.writer.request(5, 0, op).unwrap();
        match self.talk(client).as_slice() {
            [Seen::Reply(5, answer)] => answer.clone(),
            other => panic!("one reply was expected, not {other:?}"),
        }
    }

    pub(super) fn ends(&mut self, client: &Client) -> bool {
        self.sessions.get_mut(client.connection).unwrap().is_over()
    }

    pub(super) fn wants(&mut self, client: &Client) -> bool {
        self.sessions.get_mut(client.connection).unwrap().wants_bytes()
    }
}

pub(super) fn hello(known: Option<Known>) -> Hello<'static> {
    let (client_name, client_version) = ("test", "1");
    Hello { version_min: 1, version_max: 1, features: 0, in_order: false, client_name, client_version, known }
}

pub(super) fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Part<'a> {
    let change = wire::Change::Put { value: Value::new(value), expires_ms: None, compressed: false };
    Part { table: 1, key: Bytes(key), expect: wire::Expect::Any, change }
}

pub(super) fn options(notify: bool) -> CommitOptions {
    CommitOptions { level: Level::Committed, force: false, notify }
}

pub(super) fn commit<'a>(parts: Vec<Part<'a>>) -> wire::Op<'a> {
    wire::Op::Commit { parts: List::new(parts).unwrap(), options: options(false) }
}

pub(super) fn lookup(key: &[u8]) -> wire::Op<'_> {
    wire::Op::Lookup { table: 1, key: Bytes(key) }
}

pub(super) fn done() -> Result<String, u16> {
    Ok("Done".into())
}
