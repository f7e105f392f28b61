//! The engine behind the persistent and the volatile domain: tables, indexes, records, and the operations on them.
//!
//! Contract: one shard, one thread. Operations come through [`Domain::submit`]; what memory can answer is answered within the
//! call; the rest waits for what it has named (a page, room in the log, an epoch) and is stepped again when that has come.
//! Nothing here reads a clock, does I/O or draws a number: time, completions and the hash key come from outside.
//!
//! Invariants: a commit is checked and applied in one turn, so nobody sees half of it; an address that an index holds names a
//! record whose bytes are in the tail, in the cache or on the device; a poisoned engine applies nothing.
//!
//! Files: `core` is what all operations share, `ops` are the operations, `records` is where bytes are, `extend` is how records grow,
//! `catalog` and `table` are what there is, `clients` are those whose requests are applied once, `stage` is what transactions write
//! before they commit, `contention` and `lines` say who waits for whom. `background` drives what is done beside the operations: `checkpoint`
//! writes the indexes down, `reclaim` wins space back.

pub(crate) mod background;
pub(crate) mod cache;
pub(crate) mod catalog;
pub(crate) mod chain;
pub(crate) mod checkpoint;
pub(crate) mod clients;
pub(crate) mod commit;
pub(crate) mod contention;
pub(crate) mod core;
pub(crate) mod extend;
pub(crate) mod find;
mod flushes;
pub(crate) mod heap;
pub(crate) mod kept;
pub(crate) mod lines;
pub(crate) mod many;
pub(crate) mod marking;
pub(crate) mod next;
pub(crate) mod ops;
pub(crate) mod passes;
pub(crate) mod read_ranges;
pub(crate) mod reclaim;
pub(crate) mod records;
pub(crate) mod rewrite;
pub(crate) mod space;
pub(crate) mod stage;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod verify;

use crate::error::Error;
use crate::seam::{Answer, Asker, Capabilities, Domain, Driven, Horizon, Op, OpId, PairRef, Seen, Tick};
use background::Background;
use contention::Verdict;
use find::{Known, Located, Want};
use lines::Lines;
use marking::{InUse, Marking};
use ops::{Machine, Need, Running, Step};
use segments::mutants::{Mutant, planted};
use segments::probes::{Probe, hit};
use segments::superblock::Superblock;
use segments::{Completion, EpochId, PageNo, Place, Request, TableId, Tag};
use std::collections::{BTreeMap, VecDeque};
use std::task::Poll;
use txn::epoch::{Action, FlushTicket};

pub(crate) use self::core::Core;

/// Most operations in flight: each may hold a page read; 65,536 pages are 256 MiB.
const OPS_MAX: usize = 65_536;

/// What a read of the device brings.
#[derive(Debug)]
enum Fetch {
    /// These records, which lie in one page together, or one that is longer.
    Records(Vec<Place>),
    /// Pages of a longer record, from this one on.
    Pages(PageNo),
}

/// Which part of the engine a device request belongs to: the top byte of its tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TagClass {
    /// A read for an operation; the rest of the tag is its slot.
    Read = 1,
    /// The log's own.
    Log = 2,
    /// A flush; the rest of the tag counts them.
    Flush = 3,
    /// Of a superblock; the rest of the tag counts them.
    Superblock = 4,
    /// Of what is done beside the operations.
    Background = 5,
    /// A flush for that.
    Sync = 6,
}

const TAG_CLASS_SHIFT: u32 = 56;

fn tag(class: TagClass, rest: u64) -> Tag {
    assert!(rest >> TAG_CLASS_SHIFT == 0, "a tag's rest has 56 bits");
    Tag((class as u64) << TAG_CLASS_SHIFT | rest)
}

/// One shard's engine.
#[derive(Debug)]
pub struct Engine {
    pub(crate) core: Core,
    running: Vec<Option<Running>>,
    free: Vec<u32>,
    /// Operations whose need may have been met.
    ready: VecDeque<u32>,
    /// Commits that wait to be applied, be it for room, for records to compare, or for those before them, oldest first. None
    /// overtakes another: whoever sends two without waiting sees the second only with the first.
    commits: VecDeque<u32>,
    /// What stands behind commits that wait for their turn.
    lines: Lines,
    /// Operations that wait for an epoch to become persistent.
    persistent: BTreeMap<EpochId, Vec<u32>>,
    told: EpochId,
    /// Reads that are with the device: whose they are and of what. Records of one page come with one read.
    reads: BTreeMap<u64, (u32, Fetch)>,
    reads_asked: u64,
    flushes: BTreeMap<u64, FlushTicket>,
    flushes_asked: u64,
    /// Those that wait until a superblock is written: the device has one flush at a time.
    flushes_held: Vec<FlushTicket>,
    answers: Vec<(OpId, Result<Answer, Error>)>,
    requests: Vec<(Tag, Request)>,
    log_requests: Vec<(u64, Request)>,
    /// The superblock of this incarnation, of which the next one is made.
    superblock: Option<Box<Superblock>>,
    /// The next one, on its way to the device. Once the core is closed it is that of the end.
    marking: Option<Box<Marking>>,
    marks_asked: u64,
    /// What is done beside the operations; nothing where no space is to be won.
    background: Option<Box<Background>>,
    /// A flush for that is with the device.
    syncing: bool,
    /// Operations that have begun.
    born: u64,
    /// Operations that wait for the end of a pass of reclaim.
    passing: Vec<u32>,
}

impl Engine {
    pub(crate) fn new(mut core: Core, superblock: Option<Superblock>, background: Option<Background>) -> Self {
        core.in_use = superblock.as_ref().map_or(InUse::NO_SUPERBLOCK, InUse::of);
        let told = core.horizon().persistent;
        Self {
            core,
            running: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            commits: VecDeque::new(),
            lines: Lines::default(),
            persistent: BTreeMap::new(),
            told,
            reads: BTreeMap::new(),
            reads_asked: 0,
            flushes: BTreeMap::new(),
            flushes_asked: 0,
            flushes_held: Vec::new(),
            answers: Vec::new(),
            requests: Vec::new(),
            log_requests: Vec::new(),
            superblock: superblock.map(Box::new),
            marking: None,
            marks_asked: 0,
            background: background.map(Box::new),
            syncing: false,
            born: 0,
            passing: Vec::new(),
        }
    }

    /// Whether nothing is running, unpersistent or with the device.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.core.is_settled() && self.core.leaving.is_empty() && self.free.len() == self.running.len()
    }

    /// What reclaim has done.
    #[cfg(test)]
    pub(crate) fn reclaimed(&self) -> reclaim::Figures {
        self.background.as_ref().map(|background| background.reclaim.figures).unwrap_or_default()
    }

    /// Memory of the records that commits hold.
    #[cfg(test)]
    pub(crate) fn compared_bytes(&self) -> usize {
        let machines = self.running.iter().flatten().map(|running| &running.machine);
        let known =
            machines.map(|machine| if let Machine::Commit(commit) = machine { commit.known.bytes() } else { 0 });
        known.sum()
    }

    /// Begins to write down the end, if there is anything to tell. Nothing is applied from then on.
    fn end(&mut self) -> Option<&mut Marking> {
        let superblock = self.superblock.as_ref()?;
        if self.marking.is_none() {
            let last = self.core.horizon().persistent;
            let announced = last > EpochId::base(superblock.incarnation);
            if !announced || self.core.poisoned.is_some() || !self.core.is_settled() {
                return None;
            }
            self.core.closed = true;
            // Something was announced, so the log has taken a run and the device is as long as the log knows it.
            let superblock = superblock.with_close(last, self.core.log().space().pages);
            self.marking = Some(Box::new(Marking::new(superblock)));
        }
        self.marking.as_deref_mut()
    }

    /// Marks the features that commits wait for, a step of it each turn. A failure poisons: what the copies hold is known again
    /// at the next open, and another update before that might overwrite the only good ones.
    fn mark(&mut self) {
        if self.core.closed || self.core.poisoned.is_some() {
            return;
        }
        if let (None, Some(wanted), Some(superblock)) = (&self.marking, self.core.in_use.to_mark(), &self.superblock) {
            self.marking = Some(Box::new(Marking::new(superblock.with_features(wanted))));
        }
        let Some(marking) = &mut self.marking else { return };
        match marking.state() {
            Poll::Pending => self.ask_of_marking(),
            Poll::Ready(Err(error)) => self.core.poison(error.to_string()),
            Poll::Ready(Ok(())) => {
                let superblock = self.marking.take().expect("just seen").into_superblock();
                self.core.in_use.marked(&superblock);
                self.superblock = Some(Box::new(superblock));
                self.flush_held();
            }
        }
    }

    /// Asks for the next step of the superblock on its way, when no flush of the log is under way. Of two at a time one may fail and take
    /// the error with it, and the other succeed: then nothing says that what was written before both is lost.
    fn ask_of_marking(&mut self) {
        if !self.flushes.is_empty() || self.syncing {
            return;
        }
        let requests = self.marking.as_mut().map(|marking| marking.next()).unwrap_or_default();
        for request in requests {
            self.marks_asked += 1;
            self.requests.push((tag(TagClass::Superblock, self.marks_asked), request));
        }
    }

    /// Begins an operation, or answers why it cannot be.
    fn begin(&mut self, asker: Asker, id: OpId, op: Op, now: Tick) {
        if self.running.len() - self.free.len() + self.lines.ops() >= OPS_MAX {
            self.answers.push((id, Err(Error::Busy)));
        } else if self.lines.hold(asker, &op) {
            hit(Probe::StandsInLine);
            self.lines.push(asker, id, op);
        } else {
            if let (Op::Status, Some(background)) = (&op, &self.background) {
                self.core.beside = background.status(&self.core);
            }
            match ops::machine_for(&mut self.core, op) {
                Ok(machine) => self.start(asker, id, machine, now),
                Err(error) => self.answers.push((id, Err(error))),
            }
        }
    }

    fn start(&mut self, asker: Asker, id: OpId, mut machine: Machine, now: Tick) {
        if let Machine::Commit(commit) = &mut machine {
            commit.set_asker(asker);
        }
        self.born += 1;
        let running = Running { id, asker, born: self.born, machine, reads: 0, queued: false, unseen: false };
        let slot = if let Some(slot) = self.free.pop() {
            self.running[slot as usize] = Some(running);
            slot
        } else {
            self.running.push(Some(running));
            u32::try_from(self.running.len() - 1).expect("at most 65,536 operations run")
        };
        if !self.waits_unseen(slot, now) {
            self.step(slot, now);
        }
    }

    /// Lets a commit wait that is not to be looked at before its turn.
    fn waits_unseen(&mut self, slot: u32, now: Tick) -> bool {
        let running = self.running[slot as usize].as_mut().expect("it was started just now");
        let Machine::Commit(commit) = &running.machine else { return false };
        running.unseen = commit.waits_unseen(&mut self.core, slot, now);
        if running.unseen {
            hit(Probe::WaitsUnseen);
            self.lines.begin(running.asker, commit.set());
        }
        running.unseen
    }

    /// Steps one operation until it is done or waits; then what stands behind it may begin.
    fn step(&mut self, slot: u32, now: Tick) {
        let running = self.running[slot as usize].as_mut().expect("a ready operation is running");
        let (asker, led) = (running.asker, std::mem::take(&mut running.unseen));
        self.step_alone(slot, now);
        if !led {
            return;
        }
        // One of them may be such a commit itself: then the others stand behind that.
        for (id, op) in self.lines.end(asker) {
            self.begin(asker, id, op, now);
        }
    }

    fn step_alone(&mut self, slot: u32, now: Tick) {
        let mut running = self.running[slot as usize].take().expect("a ready operation is running");
        assert_eq!(running.reads, 0, "an operation is stepped when all its reads are home");
        let first = if running.queued { self.commits.front() == Some(&slot) } else { self.commits.is_empty() };
        let mut step = running.machine.step(&mut self.core, now, !first);
        if let Step::Wait(Need::Contended(key)) = step
            && self.core.contention.fails(key, (slot, running.asker), now.nanos) == Verdict::Now
        {
            step = running.machine.step(&mut self.core, now, !first);
        }
        self.ready.extend(self.core.contention.take_released());
        if matches!(step, Step::Wait(_)) && running.machine.waits_to_apply() && !running.queued {
            running.queued = true;
            self.commits.push_back(slot);
        }
        match step {
            Step::Done(answer) => {
                self.answers.push((running.id, answer));
                self.free.push(slot);
                return;
            }
            Step::Wait(Need::Reads(places)) => {
                assert!(!places.is_empty(), "an operation that waits for reads names them");
                for together in by_page(places) {
                    running.reads += 1;
                    let request = self.core.read_request(together[0]);
                    self.read(slot, request, Fetch::Records(together));
                }
            }
            Step::Wait(Need::Pages(runs)) => {
                for (at, pages) in runs {
                    let Some(request) = self.core.records.pages_request(at, pages) else { continue };
                    running.reads += 1;
                    self.read(slot, request, Fetch::Pages(at));
                }
                assert!(running.reads > 0, "the first page of a record is on the device");
            }
            Step::Wait(Need::Turn | Need::Contended(_)) => {}
            Step::Wait(Need::Pass) => self.passing.push(slot),
            Step::Wait(Need::Again) => self.ready.push_back(slot),
            Step::Wait(Need::Persistent(epoch)) => self.persistent.entry(epoch).or_default().push(slot),
        }
        self.running[slot as usize] = Some(running);
    }

    /// Asks the device for a read.
    fn read(&mut self, slot: u32, request: Request, fetch: Fetch) {
        self.reads_asked += 1;
        self.core.counters.device_reads += 1;
        self.requests.push((tag(TagClass::Read, self.reads_asked), request));
        self.reads.insert(self.reads_asked, (slot, fetch));
    }

    /// Steps each operation that is ready once; one that wants another step is ready again in the next turn.
    fn step_ready(&mut self, now: Tick) {
        for _ in 0..self.ready.len() {
            let slot = self.ready.pop_front().expect("nothing but this takes from what is ready");
            self.step(slot, now);
        }
    }

    /// Lets the commits that wait try, oldest first, until one must go on waiting.
    fn step_commits(&mut self, now: Tick) {
        while let Some(&slot) = self.commits.front() {
            let reading = self.running[slot as usize].as_ref().is_some_and(|running| running.reads > 0);
            if reading {
                return;
            }
            self.step(slot, now);
            if let Some(running) = &mut self.running[slot as usize] {
                if running.machine.waits_to_apply() {
                    return;
                }
                running.queued = false;
            }
            let front = self.commits.pop_front();
            assert_eq!(front, Some(slot), "only the oldest of those that wait was stepped");
        }
    }

    fn run_actions(&mut self, now: Tick) {
        for action in self.core.epoch_actions(now) {
            match action {
                Action::Close { epoch, members } => self.core.close_epoch(epoch, members),
                Action::Flush { ticket } if self.holds_flushes() => {
                    hit(Probe::FlushHeld);
                    self.flushes_held.push(ticket);
                }
                Action::Flush { ticket } => self.flush(ticket),
                // With one shard nobody else is to be woken.
                Action::Wake { .. } => {}
            }
        }
    }

    /// Wakes whoever waits for an epoch that is persistent by now; on poison, whoever waits at all.
    fn tell_persistent(&mut self) {
        let horizon = self.core.horizon().persistent;
        if horizon > self.told {
            self.told = horizon;
            self.core.persistent(horizon);
        }
        while let Some(entry) = self.persistent.first_entry() {
            if *entry.key() > horizon && self.core.poisoned.is_none() {
                break;
            }
            self.ready.extend(entry.remove());
        }
    }

    fn read_came(&mut self, read: u64, completion: Completion, now: Tick) {
        let (slot, fetch) = self.reads.remove(&read).expect("a completion belongs to a read");
        let running = self.running[slot as usize].as_mut().expect("an operation waits for its reads");
        running.reads -= 1;
        match fetch {
            Fetch::Records(places) => {
                for place in places {
                    let admitted = self.core.admit(place, completion.frames.as_ref(), completion.result);
                    running.machine.came(place, admitted);
                }
            }
            Fetch::Pages(at) => {
                let pages = self.core.records.page_parts(at, completion.frames.as_ref(), completion.result);
                running.machine.pages_came(pages);
            }
        }
        if running.reads > 0 {
            return;
        }
        // A commit is looked at again when it is its turn.
        if running.queued { self.step_commits(now) } else { self.step(slot, now) }
    }
}

/// Places that one read each brings: records that lie in one page together, larger ones alone.
fn by_page(mut places: Vec<Place>) -> Vec<Vec<Place>> {
    places.sort_unstable();
    let mut reads: Vec<Vec<Place>> = Vec::new();
    for place in places {
        match reads.last_mut() {
            Some(read) if read[0].page() == place.page() && read[0].pages() == 1 && place.pages() == 1 => {
                read.push(place)
            }
            _ => reads.push(vec![place]),
        }
    }
    reads
}

impl Domain for Engine {
    fn capabilities(&self) -> Capabilities {
        self.core.capabilities()
    }

    fn horizon(&self) -> Horizon {
        self.core.horizon()
    }

    fn submit(&mut self, id: OpId, op: Op, now: Tick) {
        self.submit_for(Asker::Nobody, id, op, now);
    }

    fn submit_for(&mut self, asker: Asker, id: OpId, op: Op, now: Tick) {
        self.core.end_leases(now);
        self.begin(asker, id, op, now);
    }

    fn gone(&mut self, asker: Asker, now: Tick) {
        self.core.contention.gone(asker, now.nanos);
        self.leave_pass(asker);
        self.ready.extend(self.core.contention.take_released());
    }

    fn submit_now(&mut self, asker: Asker, id: OpId, op: Op, now: Tick) -> Option<Result<Answer, Error>> {
        self.submit_for(asker, id, op, now);
        self.answers.pop_if(|(answered, _)| *answered == id).map(|(_, answer)| answer)
    }

    fn lookup_now(
        &mut self,
        table: TableId,
        key: &[u8],
        now: Tick,
        see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<Seen, Error> {
        let known = Known::default();
        let table = self.core.table(table)?;
        match self.core.locate(table, self.core.sought(table, key), &known, Want::Record, now)? {
            Located::Present { found, .. } => {
                let found = found.expect("the record was asked for");
                see(Some(found.as_ref()));
            }
            Located::Absent | Located::Expired { .. } => see(None),
            Located::Unread { .. } => return Ok(Seen::NeedsDevice),
        }
        self.core.counters.lookups_memory += 1;
        Ok(Seen::Ready)
    }

    fn turn(&mut self, now: Tick) -> Option<Tick> {
        // Before an epoch is closed: its pages are the first that can say that those before it are persistent.
        self.tell_persistent();
        match self.core.poisoned {
            None => self.core.contention.turn(now.nanos),
            Some(_) => self.core.contention.end(),
        }
        self.ready.extend(self.core.contention.take_released());
        self.run_actions(now);
        self.mark();
        self.step_ready(now);
        let background = self.step_background(now);
        self.step_commits(now);
        self.mark();
        self.core.stages.sweep();
        let leaving = self.core.dismantle();
        let leases = self.core.end_leases(now);
        if leaving || leases || !self.ready.is_empty() {
            return Some(now);
        }
        let wakes = [self.core.next_wake(), self.core.contention.next_wake(), background];
        Some(Tick { nanos: wakes.into_iter().flatten().min()?, unix_ms: now.unix_ms })
    }

    fn take_answers(&mut self, answers: &mut Vec<(OpId, Result<Answer, Error>)>) {
        answers.append(&mut self.answers);
    }
}

impl Driven for Engine {
    fn take_requests(&mut self, requests: &mut Vec<(Tag, Request)>) {
        self.core.take_log_requests(&mut self.log_requests);
        requests.append(&mut self.requests);
        requests.extend(self.log_requests.drain(..).map(|(rest, request)| (tag(TagClass::Log, rest), request)));
        if let Some(background) = &mut self.background {
            requests
                .extend(background.take_requests().map(|(rest, request)| (tag(TagClass::Background, rest), request)));
        }
    }

    fn complete(&mut self, completion: Completion, now: Tick) {
        let (class, rest) = (completion.tag.0 >> TAG_CLASS_SHIFT, completion.tag.0 & ((1 << TAG_CLASS_SHIFT) - 1));
        match class {
            1 => self.read_came(rest, completion, now),
            2 => self.core.log_completed(rest, completion.result),
            3 => {
                let ticket = self.flushes.remove(&rest).expect("a completion belongs to a flush");
                if !planted(Mutant::AcknowledgesAtIssue) {
                    self.core.flushed(ticket, completion.result);
                }
            }
            5 => {
                let background = self.background.as_mut().expect("a completion belongs to a request");
                background.completed(&mut self.core, rest, completion);
            }
            6 => self.synced(completion.result),
            4 => self.marking.as_mut().expect("a completion belongs to a superblock").completed(completion.result),
            other => unreachable!("no request has a tag of class {other}"),
        }
    }

    fn close(&mut self) -> Poll<Result<(), Error>> {
        if let Some(background) = &mut self.background {
            background.end();
            if background.in_flight() > 0 || self.syncing {
                return Poll::Pending;
            }
        }
        if self.superblock.is_some() && self.core.poisoned.is_none() && self.core.log().in_flight() > 0 {
            return Poll::Pending;
        }
        if !self.core.closed {
            // A feature's superblock on its way is seen through first; where it has failed there is nothing to tell.
            self.mark();
            match (&self.core.poisoned, &self.marking) {
                (Some(_), _) => return Poll::Ready(Ok(())),
                (None, Some(_)) => return Poll::Pending,
                (None, None) => {}
            }
        }
        if self.end().is_none() {
            return Poll::Ready(Ok(()));
        }
        self.ask_of_marking();
        self.marking.as_ref().map_or(Poll::Ready(Ok(())), |marking| marking.state())
    }
}
