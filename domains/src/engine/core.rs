//! What all operations of an engine share: catalog, records, epochs, counters.
//!
//! Contract: nothing here waits. An operation asks, and takes "not in memory", "no room yet" or "not persistent yet" for an
//! answer that it hands on as its need.

use super::background::Hope;
use super::cache::Cache;
use super::catalog::Catalog;
use super::clients::Clients;
use super::contention::Contention;
use super::extend::Grown;
use super::find::Sought;
use super::heap::Heap;
use super::kept::Kept;
use super::marking::InUse;
use super::passes::Passes;
use super::records::{PageIdentity, Records};
use super::stage::Stages;
use super::table::Table;
use crate::config::Config;
use crate::error::Error;
use crate::index::{HashConfig, KeyHash, Loc};
use crate::schema::TableHome;
use crate::seam::{Capabilities, CheckpointStatus, Horizon, ReclaimStatus, Tick};
use segments::cuts::Cuts;
use segments::log::room::RoomNeed;
use segments::log::writer::{LogWriter, Room, RunEvent};
use segments::map::{Life, SegmentMap, Use};
use segments::mutants::{Mutant, planted};
use segments::probes::{Probe, hit};
use segments::record::{self, Record, RecordKind};
use segments::{DeviceError, EpochId, Frames, Incarnation, Ordinal, PageNo, Place, Request, TableId, Version};
use std::ops::Range;
use std::sync::Arc;
use txn::PutOptions;
use txn::epoch::{Actions, FlushTicket, ShardEpochs, Shared};

/// Counts since the open.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) device_reads: u64,
    pub(crate) device_writes: u64,
    pub(crate) device_flushes: u64,
    pub(crate) lookups_memory: u64,
    pub(crate) lookups_device: u64,
    pub(crate) commits: u64,
    pub(crate) compare_failures: u64,
    /// Bytes of records and pages that reclaim wrote elsewhere.
    pub(crate) moved_bytes: u64,
    /// Bytes of checkpoints.
    pub(crate) checkpoint_bytes: u64,
}

/// The shared part of an engine.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) hash: HashConfig,
    pub(crate) catalog: Catalog,
    /// Tables that were destroyed, on their way out of memory.
    pub(crate) leaving: Vec<Table>,
    pub(crate) records: Records,
    /// What revertible writes keep.
    pub(crate) kept: Kept,
    pub(crate) epochs: Epochs,
    pub(crate) counters: Counters,
    pub(crate) contention: Contention,
    /// Those whose requests are applied once.
    pub(crate) clients: Clients,
    /// What transactions have written out before their commits.
    pub(crate) stages: Stages,
    /// Why nothing more is applied, once a log write or flush has failed.
    pub(crate) poisoned: Option<String>,
    /// The end is being written down: nothing more is applied.
    pub(crate) closed: bool,
    /// Which features the store may use already.
    pub(crate) in_use: InUse,
    next_ordinal: u64,
    /// The last epoch that a commit joined.
    pub(crate) joined: EpochId,
    /// What has become of the incarnations before.
    pub(crate) cuts: Cuts,
    /// A commit waits for space that the device does not give.
    pub(crate) short_of_space: bool,
    /// Whether that is of any use.
    pub(crate) hope: Hope,
    /// Pages that hold nothing any more, of which operations under way are to be told.
    pub(crate) forgotten: Vec<Range<PageNo>>,
    /// Reclaim that was asked for.
    pub(crate) passes: Passes,
    /// How checkpoints and reclaim go, as it was when somebody last asked.
    pub(crate) beside: (CheckpointStatus, ReclaimStatus),
    /// Up to where the checkpoint reaches that recovery began with.
    pub(crate) recovered: Option<EpochId>,
}

/// Epochs as a domain has them: the protocol, or, where nothing is ever persistent, one epoch for good.
#[derive(Debug)]
pub(crate) enum Epochs {
    Persistent(Box<ShardEpochs>),
    Volatile,
}

/// The only incarnation of a volatile domain.
pub(crate) const VOLATILE_INCARNATION: Incarnation = Incarnation(1);

/// The shard of a domain with one.
pub(crate) const ONLY_SHARD: segments::ShardId = segments::ShardId(0);

impl Core {
    /// A core without a log: a volatile domain's, or one that recovery fills before it [begins](Self::begin).
    pub(crate) fn new(
        config: Config,
        hash: HashConfig,
        catalog: Catalog,
        identity: PageIdentity,
        incarnation: Incarnation,
    ) -> Self {
        let seed = u64::from_le_bytes(hash.key[..8].try_into().expect("eight of sixteen bytes"));
        let cache = Cache::new(config.cache_bytes, seed);
        let map = SegmentMap::new(identity.geometry);
        Self {
            hash,
            catalog,
            leaving: Vec::new(),
            records: Records { log: None, heap: Heap::default(), cache, identity, map },
            kept: Kept::default(),
            epochs: Epochs::Volatile,
            counters: Counters::default(),
            contention: Contention::new(),
            clients: Clients::default(),
            stages: Stages::default(),
            poisoned: None,
            closed: false,
            in_use: InUse::NO_SUPERBLOCK,
            next_ordinal: 1,
            joined: EpochId::base(incarnation),
            cuts: Cuts::none(incarnation),
            short_of_space: false,
            hope: Hope::Unknown,
            forgotten: Vec::new(),
            passes: Passes::default(),
            beside: Default::default(),
            recovered: None,
            config,
        }
    }

    /// Begins the incarnation after these cuts, which writes this log.
    pub(crate) fn begin(&mut self, cuts: Cuts, log: LogWriter) {
        let incarnation = cuts.present();
        let shared = Arc::new(Shared::new(incarnation));
        let epochs = ShardEpochs::new(shared, ONLY_SHARD, self.config.epoch_interval_nanos);
        self.epochs = Epochs::Persistent(Box::new(epochs));
        self.records.log = Some(log);
        self.joined = EpochId::base(incarnation);
        self.cuts = cuts;
        self.recall_clients();
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        let persistence = matches!(self.epochs, Epochs::Persistent(_));
        let name = if persistence { "persistent" } else { "volatile" };
        Capabilities { name, abortable: true, persistence, writes_out: persistence }
    }

    pub(crate) fn horizon(&self) -> Horizon {
        match &self.epochs {
            Epochs::Persistent(epochs) => {
                let persistent = epochs.persistent();
                Horizon { incarnation: persistent.incarnation(), persistent }
            }
            Epochs::Volatile => {
                Horizon { incarnation: VOLATILE_INCARNATION, persistent: EpochId::base(VOLATILE_INCARNATION) }
            }
        }
    }

    /// Whether no crash undoes what was committed in this epoch of the present incarnation; where nothing is ever persistent there
    /// is none to wait for.
    pub(crate) fn is_persistent(&self, epoch: EpochId) -> bool {
        match &self.epochs {
            Epochs::Persistent(epochs) => epoch <= epochs.persistent(),
            Epochs::Volatile => true,
        }
    }

    /// The epoch that commits join now.
    pub(crate) fn epoch_open(&self) -> EpochId {
        match &self.epochs {
            Epochs::Persistent(epochs) => epochs.open(),
            Epochs::Volatile => EpochId::new(VOLATILE_INCARNATION, 1),
        }
    }

    /// Joins the open epoch, for a commit with persistent updates.
    pub(crate) fn join(&mut self, now: Tick) -> EpochId {
        let Epochs::Persistent(epochs) = &mut self.epochs else {
            unreachable!("a volatile domain has no persistent table")
        };
        if planted(Mutant::KeepsEpoch) && self.joined.counter() > 0 && self.joined.next() == epochs.open() {
            return self.joined;
        }
        self.joined = epochs.join(now.nanos);
        self.joined
    }

    pub(crate) fn next_version(&mut self, epoch: EpochId) -> Version {
        let ordinal = Ordinal(self.next_ordinal);
        self.next_ordinal += 1;
        Version { epoch, ordinal }
    }

    pub(crate) fn force(&mut self, now: Tick) {
        if let Epochs::Persistent(epochs) = &mut self.epochs {
            epochs.force(now.nanos);
        }
    }

    pub(crate) fn epoch_actions(&mut self, now: Tick) -> Actions {
        match &mut self.epochs {
            Epochs::Persistent(epochs) => epochs.turn(now.nanos),
            Epochs::Volatile => Actions::new(),
        }
    }

    pub(crate) fn next_wake(&self) -> Option<u64> {
        match &self.epochs {
            Epochs::Persistent(epochs) => epochs.next_wake(),
            Epochs::Volatile => None,
        }
    }

    /// Whether everything committed is persistent and nothing is with the device.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.epochs {
            Epochs::Persistent(epochs) => epochs.idle() && self.log().in_flight() == 0,
            Epochs::Volatile => true,
        }
    }

    pub(crate) fn close_epoch(&mut self, epoch: EpochId, members: u32) {
        self.log_mut().close(epoch, members);
        self.with_epochs(|epochs| epochs.closed(epoch));
        if planted(Mutant::FlushesBeforeWritten) {
            self.with_epochs(|epochs| epochs.written(epoch));
        }
    }

    /// Everything up to `horizon` is persistent.
    pub(crate) fn persistent(&mut self, horizon: EpochId) {
        self.log_mut().persistent(horizon);
    }

    pub(crate) fn take_log_requests(&mut self, requests: &mut Vec<(u64, Request)>) {
        let Some(log) = &mut self.records.log else { return };
        let before = requests.len();
        log.take_requests(requests);
        self.counters.device_writes +=
            requests[before..].iter().filter(|(_, request)| matches!(request, Request::Write { .. })).count() as u64;
    }

    pub(crate) fn log_completed(&mut self, tag: u64, result: Result<(), DeviceError>) {
        if let Err(error) = self.log_mut().completed(tag, result) {
            hit(Probe::PoisonedByWrite);
            self.poison(format!("a log write failed: {error}"));
        }
        self.note_runs();
        while let Some(epoch) = self.log_mut().take_written() {
            self.with_epochs(|epochs| epochs.written(epoch));
        }
    }

    pub(crate) fn flushed(&mut self, ticket: FlushTicket, result: Result<(), DeviceError>) {
        let believes = planted(Mutant::BelievesFailedFlush) && matches!(result, Err(DeviceError::Io { .. }));
        let result = if believes { Ok(()) } else { result };
        if let Err(error) = result {
            hit(Probe::PoisonedByFlush);
            self.poison(format!("a flush failed: {error}"));
        }
        self.with_epochs(|epochs| epochs.flushed(ticket, result.is_ok()));
    }

    /// Nothing more is applied or announced in this incarnation.
    pub(crate) fn poison(&mut self, why: String) {
        self.poisoned.get_or_insert(why);
        self.with_epochs(ShardEpochs::poison);
    }

    /// The error of an engine that is poisoned or has ended.
    pub(crate) fn check_poison(&self) -> Result<(), Error> {
        if self.closed {
            return Err(Error::Closing);
        }
        let Some(why) = &self.poisoned else { return Ok(()) };
        let epoch = match &self.epochs {
            Epochs::Persistent(epochs) => epochs.first_in_doubt().unwrap_or_else(|| epochs.persistent().next()),
            Epochs::Volatile => EpochId::default(),
        };
        Err(Error::Poisoned { why: why.clone(), epoch, applied: false })
    }

    pub(crate) fn room(&mut self, need: &RoomNeed, waited: bool) -> Room {
        let room = self.log_mut().room(need, waited);
        self.note_runs();
        match room {
            Room::Refused(DeviceError::NoSpace { .. }) if self.config.reclaims && self.hope != Hope::No => {
                hit(Probe::WaitsForSpace);
                self.short_of_space = true;
                Room::Wait
            }
            Room::Refused(error) => {
                self.hope = Hope::Unknown;
                Room::Refused(error)
            }
            Room::Ready | Room::Wait => room,
        }
    }

    /// Takes over what the log says of its runs.
    fn note_runs(&mut self) {
        let Records { log: Some(log), map, .. } = &mut self.records else { return };
        while let Some(event) = log.take_event() {
            match event {
                RunEvent::Begun(run) => {
                    let life = Life { incarnation: self.cuts.present(), first_seq: run.first_seq };
                    map.begin(run.segment, run.segments, Use::Log, Some(life));
                }
                RunEvent::Ended { segment, pages } => map.get_mut(segment).pages = pages,
                RunEvent::Sealed { segment } => map.get_mut(segment).sealed = true,
            }
        }
    }

    pub(crate) fn log(&self) -> &LogWriter {
        self.records.log.as_ref().expect("a persistent domain has a log")
    }

    pub(crate) fn log_mut(&mut self) -> &mut LogWriter {
        self.records.log.as_mut().expect("a persistent domain has a log")
    }

    pub(crate) fn read_request(&self, place: Place) -> Request {
        self.records.read_request(place)
    }

    pub(crate) fn admit(
        &mut self,
        place: Place,
        frames: Option<&Frames>,
        result: Result<(), DeviceError>,
    ) -> Result<Arc<[u8]>, Error> {
        self.records.admit(place, frames, result)
    }

    /// The name under which commits contend for a key: two tables' equal keys are two.
    pub(crate) fn contended(&self, table: TableId, key: &[u8]) -> KeyHash {
        KeyHash(self.hash.hash(key).0 ^ u128::from(table.0).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    fn with_epochs(&mut self, act: impl FnOnce(&mut ShardEpochs)) {
        if let Epochs::Persistent(epochs) = &mut self.epochs {
            act(epochs);
        }
    }

    /// Puts one record of a commit where its table's records are, and points the index at it instead of at `old`.
    pub(crate) fn put(&mut self, record: &Record<'_>, old: &Old) {
        let table = self.catalog.table(record.table).expect("the table was checked in the same turn");
        let (home, stands) = (table.home(), table.hasher.stands_for_keys());
        if let Some(loc) = old.loc {
            self.release(home, loc);
        }
        let is_pair = record.kind == RecordKind::Pair;
        let keeps = record.revertible.is_some_and(|revertible| revertible.previous != 0);
        let new = match home {
            TableHome::Persistent => {
                let log = self.records.log.as_mut().expect("a persistent domain has a log");
                let place = log.append(record.version.epoch, record, old.hash.filter(|_| stands).map(|hash| hash.0));
                self.records.counts_put(place, record, old.loc);
                is_pair.then(|| place.into())
            }
            TableHome::Volatile => {
                if let Some(loc) = old.loc.filter(|_| !keeps) {
                    self.records.heap.take(loc);
                }
                is_pair.then(|| {
                    let mut encoded = vec![0; record.encoded_bytes()];
                    record::encode(record, &mut encoded);
                    self.records.heap.put(encoded)
                })
            }
        };
        if let (Some(revertible), Some(new)) = (record.revertible, new) {
            self.keep(record.table, new, revertible, old.kept_bytes());
        }
        let entry = self.catalog.table_mut(record.table).expect("the table was checked in the same turn");
        entry.expires |= record.expires_ms.is_some();
        entry.named |= !record.extents.is_empty() || keeps;
        let came = if is_pair { record.live_bytes() } else { 0 };
        entry.record_bytes = (entry.record_bytes + came).saturating_sub(old.bytes);
        entry.point(Sought { key: record.key, hash: old.hash }, old.loc, new);
    }

    /// Lets a record of a volatile table grow where it is.
    pub(crate) fn grow(&mut self, table: TableId, version: Version, added: &[u8], options: PutOptions, old: &Old) {
        let loc = old.loc.expect("what grows in place was found there");
        let bytes = self.records.heap.grow(loc, version, added, options) as u64;
        let entry = self.catalog.table_mut(table).expect("the table was checked in the same turn");
        entry.expires |= options.expires_ms.is_some();
        entry.record_bytes = (entry.record_bytes + bytes).saturating_sub(old.bytes);
    }
}

/// What a revert or a seal makes of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Restores {
    /// It is neither.
    #[default]
    Nothing,
    /// The pair goes: there was none before the write.
    Absence,
    /// The record that lies here is written again.
    Record(Loc),
}

/// What a key's pair is before a commit changes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Old {
    /// The key's hash, in a hash table.
    pub(crate) hash: Option<KeyHash>,
    pub(crate) loc: Option<Loc>,
    /// Its record's bytes, extents included, or the table's mean where the record is not in memory.
    pub(crate) bytes: u64,
    /// Whether it is there for everybody: else it has expired, or there is none.
    pub(crate) live: bool,
    /// Of a revert or a seal: what becomes of the key.
    pub(crate) restores: Restores,
    /// What an append makes of it, when it is there.
    pub(crate) grown: Option<Box<Grown>>,
}

impl Old {
    /// Whether an append lets the record grow where it lies.
    pub(crate) fn grows_in_place(&self) -> bool {
        self.grown.as_ref().is_some_and(|grown| grown.in_place)
    }
}
