//! The clients whose requests are applied once: who they are, and which requests of theirs were applied.
//!
//! Contract: a request is remembered from the turn in which it is applied on, and in the log by a record among those of its own commit:
//! the two survive a crash together or not at all. A commit under a client's number is applied only while the attempt that sent it is
//! the last that was accepted, so what an earlier connection has left on its way changes nothing any more, and what is said of a
//! request's fate after an identification stays so.
//!
//! Bytes: a table of the engine's own, [`REQUESTS`]. The key is the client's 16 bytes and the place, 1 byte: the request's number
//! modulo 256. The value is the request's number, 8 bytes, and how many versions its commit gave, 4 bytes, both little-endian. They are
//! the versions right before that of the record itself. A place is written over by the next request that has it, so a client never has
//! more than 256 records; those of a forgotten client are deleted.
//!
//! Invariants: a request has the place of no other whose number is within the window; a client with an accepted attempt has its window
//! in memory, so a commit waits for no read on account of its number. A commit that changed volatile tables alone is remembered in
//! memory alone, since it is gone with it.

use super::catalog::CATALOG;
use super::commit::{After, Commit};
use super::core::{Core, Old};
use super::find::{Known, Sight};
use super::ops::{Need, Step};
use super::table::Index;
use crate::error::Error;
use crate::index::Loc;
use crate::seam::{
    Answer, ClientId, Committed, Direction, Identified, Level, Once, Persistence, REQUEST_WINDOW, RequestFate, Tick,
    Versions,
};
use segments::record::Record;
use segments::{EpochId, Ordinal, Place, TableId, Version};
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use txn::CommitSet;

/// The engine's own table of requests.
pub(crate) const REQUESTS: TableId = TableId(u32::MAX);
/// Bytes of a client's id.
const CLIENT_BYTES: usize = 16;
/// Bytes of a key: client and place.
pub(crate) const KEY_BYTES: usize = CLIENT_BYTES + 1;
/// Bytes of a value: number and count.
pub(crate) const VALUE_BYTES: usize = 12;
/// Most requests whose fates are asked for at a time.
const FATES_MAX: usize = 1024;
const NANOS_PER_MS: u64 = 1_000_000;

const _: () = assert!(REQUEST_WINDOW == 1 << u8::BITS, "a place is a byte");
const _: () = assert!(REQUESTS.0 != CATALOG.0);

/// A request that was applied.
#[derive(Clone, Copy, Debug)]
struct Applied {
    request: u64,
    epoch: EpochId,
    /// The first version's; the others follow without a gap.
    ordinal_first: Ordinal,
    versions: u32,
    /// Nothing of it is in the log.
    volatile: bool,
}

#[derive(Debug, Default)]
struct Client {
    /// The last attempt that was accepted in this incarnation.
    attempt: u64,
    /// When it was last heard of; nothing when it was not since the open.
    heard: Option<u64>,
    /// Its requests by their places; nothing while they have not been read.
    window: Option<BTreeMap<u8, Applied>>,
}

/// Every client that is remembered.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    clients: BTreeMap<ClientId, Client>,
    /// When the first client was heard of: those of earlier incarnations count as heard of then.
    since: Option<u64>,
}

/// The place of a request in its client's window.
fn place_of(request: u64) -> u8 {
    request.to_le_bytes()[0]
}

fn key_of(client: ClientId, place: u8) -> [u8; KEY_BYTES] {
    let mut key = [place; KEY_BYTES];
    key[..CLIENT_BYTES].copy_from_slice(&client.0);
    key
}

impl Applied {
    fn encode(&self) -> [u8; VALUE_BYTES] {
        let mut value = [0; VALUE_BYTES];
        value[..8].copy_from_slice(&self.request.to_le_bytes());
        value[8..].copy_from_slice(&self.versions.to_le_bytes());
        value
    }

    /// What a record of this version says.
    fn decode(value: &[u8], version: Version) -> Option<Self> {
        let (request, versions) = value.split_first_chunk::<8>()?;
        let versions = u32::from_le_bytes(versions.try_into().ok()?);
        let ordinal_first = Ordinal(version.ordinal.0.checked_sub(u64::from(versions))?);
        let request = u64::from_le_bytes(*request);
        Some(Self { request, epoch: version.epoch, ordinal_first, versions, volatile: false })
    }
}

impl Clients {
    /// A client of an earlier incarnation is remembered.
    fn recall(&mut self, client: ClientId) {
        self.clients.entry(client).or_default();
    }

    /// What was applied under this number; nothing if nothing was, and it may be.
    fn find(&self, once: &Once) -> Result<Option<&Applied>, Error> {
        let client = self.clients.get(&once.client);
        let accepted = client.map_or(0, |client| client.attempt);
        if accepted != once.attempt || accepted == 0 {
            return Err(Error::NotTheClient { attempt: once.attempt, accepted });
        }
        if once.request == 0 {
            return Err(Error::Limit { what: "the number of a request (at least 1)", value: 0, limit: u64::MAX });
        }
        let window = client.and_then(|client| client.window.as_ref());
        match window.and_then(|window| window.get(&place_of(once.request))) {
            Some(applied) if applied.request > once.request => {
                Err(Error::RequestForgotten { request: once.request, by: applied.request })
            }
            Some(applied) if applied.request == once.request => Ok(Some(applied)),
            Some(_) | None => Ok(None),
        }
    }

    /// A request was applied.
    fn note(&mut self, once: &Once, applied: Applied, now: Tick) {
        let client = self.clients.get_mut(&once.client).expect("its attempt was looked up in the same turn");
        assert_eq!(client.attempt, once.attempt, "the last attempt alone is applied");
        client.heard = Some(now.nanos);
        let window = client.window.as_mut().expect("an accepted client has its window in memory");
        window.insert(place_of(once.request), applied);
    }

    /// The client that may be forgotten for another: the one that was not heard of for longest.
    fn idlest(&self, now: Tick, idle_ms: u64) -> Option<ClientId> {
        let heard = |client: &Client| client.heard.or(self.since).unwrap_or(now.nanos);
        let (id, client) = self.clients.iter().min_by_key(|(_, client)| heard(client))?;
        let idle = now.nanos.saturating_sub(heard(client)) >= idle_ms.saturating_mul(NANOS_PER_MS);
        idle.then_some(*id)
    }
}

impl Core {
    /// Remembers the clients of whom recovery found requests.
    pub(crate) fn recall_clients(&mut self) {
        let table = self.catalog.table(REQUESTS).expect("the engine has it");
        let Index::Ordered(index) = &table.index else { unreachable!("it is an ordered table") };
        let _ = index.for_each_from(Bound::Unbounded, Direction::Next, |key, _| {
            if let Some(client) = key.first_chunk() {
                self.clients.recall(ClientId(*client));
            }
            ControlFlow::Continue(())
        });
    }

    /// The commit that was applied under this number before; nothing if none was, and this one may be.
    pub(crate) fn applied_before(&self, once: &Once) -> Result<Option<Committed>, Error> {
        Ok(self.clients.find(once)?.map(|applied| self.committed_of(applied)))
    }

    fn committed_of(&self, applied: &Applied) -> Committed {
        let versions = Versions::in_a_row(applied.epoch, applied.ordinal_first, applied.versions);
        let persistence = match applied.volatile {
            true => Persistence::Volatile,
            false if self.is_persistent(applied.epoch) => Persistence::Persistent,
            false => Persistence::Pending,
        };
        Committed { epoch: applied.epoch, versions, persistence }
    }

    /// Remembers a request that is being applied: in memory, and among the records of its commit if it has any.
    pub(crate) fn remember(&mut self, once: &Once, given: &Versions, epoch: EpochId, lasting: bool, now: Tick) {
        let Some(first) = given.as_slice().first() else { return };
        let versions = u32::try_from(given.as_slice().len()).expect("a set has at most 65,536 parts");
        let applied =
            Applied { request: once.request, epoch, ordinal_first: first.ordinal, versions, volatile: !lasting };
        self.clients.note(once, applied, now);
        if !lasting {
            return;
        }
        let version = self.next_version(epoch);
        assert_eq!(version.ordinal.0, first.ordinal.0 + u64::from(versions), "a commit's versions follow each other");
        let (key, value) = (key_of(once.client, place_of(once.request)), applied.encode());
        let table = self.catalog.table(REQUESTS).expect("the engine has it");
        let Index::Ordered(index) = &table.index else { unreachable!("it is an ordered table") };
        let loc = index.get(&key);
        let bytes = if loc.is_some() { table.record_bytes_mean() } else { 0 };
        let old = Old { loc, bytes, ..Old::default() };
        let record = Record::pair(REQUESTS, version, &key, &value);
        self.put(&record, &old);
    }

    /// The places of a client's requests in the log, and their keys.
    fn request_locs(&self, client: ClientId) -> Vec<(Vec<u8>, Loc)> {
        let table = self.catalog.table(REQUESTS).expect("the engine has it");
        let Index::Ordered(index) = &table.index else { unreachable!("it is an ordered table") };
        let (first, mut locs) = (key_of(client, 0), Vec::new());
        let _ = index.for_each_from(Bound::Included(&first), Direction::Next, |key, loc| {
            if !key.starts_with(&client.0) {
                return ControlFlow::Break(());
            }
            locs.push((key.to_vec(), loc));
            ControlFlow::Continue(())
        });
        locs
    }

    /// A client's requests, or what must be read first.
    fn read_window(&self, client: ClientId, known: &Known) -> Result<Result<BTreeMap<u8, Applied>, Vec<Place>>, Error> {
        let table = self.catalog.table(REQUESTS).expect("the engine has it");
        let (mut window, mut unread) = (BTreeMap::new(), Vec::new());
        for (_, loc) in self.request_locs(client) {
            match self.found_at(table, loc, known, super::find::Want::Record)? {
                Sight::Unread(places) => unread.extend(places),
                Sight::Found(found) => {
                    let applied = Applied::decode(found.value(), found.version);
                    let why = "it is no request of a client";
                    let applied = applied.ok_or(Error::CorruptRecord {
                        table: REQUESTS,
                        page: Place::from(loc).page().0,
                        why,
                    })?;
                    window.insert(place_of(applied.request), applied);
                }
            }
        }
        Ok(if unread.is_empty() { Ok(window) } else { Err(unread) })
    }
}

/// A client says who it is.
#[derive(Debug)]
pub(crate) struct Identify {
    client: ClientId,
    attempt: u64,
    pub(crate) known: Known,
    pub(crate) failed: Option<Error>,
}

/// How far an identification came.
pub(crate) enum Stepped {
    As(Step),
    /// It goes on as this: the records of a client that is forgotten for it are deleted.
    Becomes(Box<Commit>),
}

impl Identify {
    pub(crate) fn new(client: ClientId, attempt: u64) -> Result<Self, Error> {
        if attempt == 0 {
            return Err(Error::Limit { what: "the attempt of a client (at least 1)", value: 0, limit: u64::MAX });
        }
        Ok(Self { client, attempt, known: Known::default(), failed: None })
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick) -> Stepped {
        if let Some(error) = self.failed.take() {
            return Stepped::As(Step::Done(Err(error.in_table(REQUESTS))));
        }
        self.try_step(core, now).unwrap_or_else(|error| Stepped::As(Step::Done(Err(error))))
    }

    fn try_step(&mut self, core: &mut Core, now: Tick) -> Result<Stepped, Error> {
        core.clients.since.get_or_insert(now.nanos);
        let unread = core.clients.clients.get(&self.client).is_none_or(|client| client.window.is_none());
        let window = match unread.then(|| core.read_window(self.client, &self.known)).transpose()? {
            Some(Err(places)) => return Ok(Stepped::As(Step::Wait(Need::Reads(places)))),
            Some(Ok(window)) => Some(window),
            None => None,
        };
        let forgotten = self.make_room(core, now)?;
        let client = core.clients.clients.entry(self.client).or_default();
        client.heard = Some(now.nanos);
        if let Some(window) = window {
            client.window = Some(window);
        }
        let accepted = self.attempt > client.attempt;
        client.attempt = client.attempt.max(self.attempt);
        let requests = client.window.iter().flat_map(BTreeMap::values).map(|applied| applied.request);
        let identified = Identified {
            accepted,
            attempt: client.attempt,
            last: requests.max().unwrap_or(0),
            idle_ms: core.config.client_idle_ms,
        };
        let answer = Answer::Identified(identified);
        let Some(forgotten) = forgotten else { return Ok(Stepped::As(Step::Done(Ok(answer)))) };
        let after = After::Answer(Box::new(answer));
        Ok(Stepped::Becomes(Box::new(Commit::unchecked(core, forgotten, Level::Committed, after)?)))
    }

    /// Forgets another client if there is no room for this one; returns the deletion of its records.
    fn make_room(&self, core: &mut Core, now: Tick) -> Result<Option<CommitSet>, Error> {
        let clients = core.clients.clients.len();
        if clients < core.config.clients_max || core.clients.clients.contains_key(&self.client) {
            return Ok(None);
        }
        let idle_ms = core.config.client_idle_ms;
        let full = Error::ClientsFull { clients: clients as u64, idle_ms };
        let idlest = core.clients.idlest(now, idle_ms).ok_or(full)?;
        core.clients.clients.remove(&idlest);
        let mut set = CommitSet::new();
        for (key, _) in core.request_locs(idlest) {
            set.remove(REQUESTS, &key)?;
        }
        Ok((!set.is_empty()).then_some(set))
    }
}

/// A question for fates. It is answered in its turn among the commits.
#[derive(Debug)]
pub(crate) struct Fates {
    client: ClientId,
    requests: Vec<u64>,
}

impl Fates {
    pub(crate) fn new(client: ClientId, requests: Vec<u64>) -> Result<Self, Error> {
        if requests.len() > FATES_MAX {
            let (value, limit) = (requests.len() as u64, FATES_MAX as u64);
            return Err(Error::Limit { what: "the number of requests to ask for", value, limit });
        }
        Ok(Self { client, requests })
    }

    pub(crate) fn step(&mut self, core: &mut Core, now: Tick, behind: bool) -> Step {
        if behind && core.poisoned.is_none() {
            return Step::Wait(Need::Turn);
        }
        let Some(client) = core.clients.clients.get_mut(&self.client).filter(|client| client.attempt > 0) else {
            return Step::Done(Err(Error::NotTheClient { attempt: 0, accepted: 0 }));
        };
        client.heard = Some(now.nanos);
        let attempt = client.attempt;
        let fate = |&request: &u64| {
            let once = Once { client: self.client, attempt, request };
            match core.applied_before(&once) {
                Ok(Some(committed)) => Ok(RequestFate::Applied(committed)),
                Ok(None) => Ok(RequestFate::NotApplied),
                Err(Error::RequestForgotten { .. }) => Ok(RequestFate::Forgotten),
                Err(error) => Err(error),
            }
        };
        Step::Done(self.requests.iter().map(fate).collect::<Result<_, _>>().map(Answer::Fates))
    }
}
