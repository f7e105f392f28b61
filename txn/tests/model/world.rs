//! The world of the model: shards, their logs, a device that loses what was not flushed, and what must hold in every state.
//!
//! A world is rebuilt from its inputs, so it need not be copied. A crash is no input: after *every* step, every subset of the
//! unflushed tails that a power failure could leave is recovered with `txn::cut`.

use super::machine::{Action, FlushTicket, ShardEpochs};
use super::shared::Shared;
use super::sync::Arc;
use crate::search::{Bounds, Input, Mutant, Violation};
use segments::{EpochId, Incarnation, ShardId};
use txn::cut::{Close, cut};

const LIFE: Incarnation = Incarnation(1);
const INTERVAL: u64 = 10;

/// An update in a log, or a close record. A close seals everything before it into one write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Item {
    Update(EpochId),
    Close(EpochId, u32),
}

/// How far a write has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Write {
    Submitted,
    Completed,
    /// A flush that was submitted after the completion has completed.
    Durable,
    /// The device has failed to flush it and forgotten it.
    Dropped,
}

/// A shard with its log and device.
#[derive(Debug)]
struct Node {
    machine: ShardEpochs,
    log: Vec<Item>,
    /// For each close in the log, in order: where it ends, and how far its write has come.
    writes: Vec<(usize, Write)>,
    /// The flush in flight and the writes it covers.
    flush: Option<(FlushTicket, Vec<usize>)>,
    bell: bool,
    /// The epoch this shard joined last; only a mutant looks at it.
    joined_last: Option<EpochId>,
}

/// The one transaction over both shards.
#[derive(Debug, Default)]
struct Cross {
    bounds: [Option<EpochId>; 2],
    decided: Option<EpochId>,
    applied: [bool; 2],
}

#[derive(Debug)]
pub struct World {
    shared: Arc<Shared>,
    nodes: Vec<Node>,
    cross: Cross,
    /// The epochs of all visible updates, with their shards, in the order in which they became visible.
    history: Vec<(EpochId, usize)>,
    left: Bounds,
    failed: bool,
    mutant: Option<Mutant>,
}

impl World {
    pub fn new(shards: u8, bounds: Bounds, mutant: Option<Mutant>) -> Self {
        let shared = Arc::new(Shared::with_in_flight_max(LIFE, 2));
        let node = |shard| Node {
            machine: ShardEpochs::new(Arc::clone(&shared), ShardId(shard), INTERVAL),
            log: Vec::new(),
            writes: Vec::new(),
            flush: None,
            bell: false,
            joined_last: None,
        };
        let nodes = (0..shards).map(node).collect();
        Self { shared, nodes, cross: Cross::default(), history: Vec::new(), left: bounds, failed: false, mutant }
    }

    /// What may happen next. The second half must happen in the end, the first half need not.
    pub fn inputs(&self) -> (Vec<Input>, Vec<Input>) {
        let (mut may, mut must) = (Vec::new(), Vec::new());
        for (at, node) in self.nodes.iter().enumerate() {
            let alive = !node.machine.is_poisoned();
            if alive && self.left.commits > 0 {
                may.push(Input::Commit(at));
            }
            if alive && self.left.forces > 0 {
                may.push(Input::Force(at));
            }
            if alive && self.left.crosses > 0 && self.cross.bounds[at].is_none() {
                may.push(Input::Pin(at));
            }
            if node.machine.next_wake().is_some() {
                must.push(Input::Timer(at));
            }
            if node.bell {
                must.push(Input::Bell(at));
            }
            let submitted = node.writes.iter().enumerate().filter(|(_, (_, write))| *write == Write::Submitted);
            must.extend(submitted.map(|(write, _)| Input::Written(at, write)));
            if node.flush.is_some() {
                must.push(Input::Flushed(at));
                if self.left.failures > 0 {
                    may.push(Input::FlushFailed(at));
                }
            }
            if self.cross.decided.is_some() && !self.cross.applied[at] {
                must.push(Input::Apply(at));
            }
        }
        let pinned = self.nodes.len() == 2 && self.cross.bounds.iter().all(Option::is_some);
        if pinned && self.cross.decided.is_none() {
            must.push(if self.nodes[0].machine.is_poisoned() { Input::Abort } else { Input::Decide });
        } else if self.cross.decided.is_none() && self.cross.bounds.iter().any(Option::is_some) {
            must.push(Input::Abort);
        }
        (may, must)
    }

    /// Lets `input` happen, and says what no longer holds.
    pub fn step(&mut self, input: Input) -> Result<(), Violation> {
        match input {
            Input::Commit(at) => self.commit(at),
            Input::Force(at) => self.force(at),
            Input::Timer(at) => {
                let wake = self.nodes[at].machine.next_wake().expect("the input was offered");
                self.turn(at, wake);
            }
            Input::Bell(at) => {
                self.nodes[at].bell = false;
                self.turn(at, 0);
            }
            Input::Written(at, write) => self.written(at, write),
            Input::Flushed(at) => self.flushed(at),
            Input::FlushFailed(at) => self.flush_failed(at),
            Input::Pin(at) => {
                let machine = &mut self.nodes[at].machine;
                let bound = machine.pin();
                if self.mutant == Some(Mutant::NoPin) {
                    machine.unpin(bound);
                }
                self.cross.bounds[at] = Some(bound);
            }
            Input::Decide => {
                self.cross.decided = Some(self.nodes[0].machine.decide(0b11, 0));
                self.left.crosses -= 1;
                self.turn(0, 0);
            }
            Input::Abort => self.abort(),
            Input::Apply(at) => self.apply(at),
        }
        self.check()
    }

    /// The rare situations that this state shows: a model that never meets them would prove little.
    pub fn marks(&self) -> Vec<&'static str> {
        let tags = |node: &Node| -> Vec<EpochId> {
            let tag = |item: &Item| match item {
                Item::Update(epoch) => Some(*epoch),
                Item::Close(..) => None,
            };
            node.log.iter().filter_map(tag).collect()
        };
        let covered = |node: &Node| node.flush.as_ref().map_or(0, |(_, covered)| covered.len());
        let out_of_order = |node: &Node| {
            let late = node.writes.iter().skip_while(|(_, write)| *write != Write::Submitted);
            late.into_iter().any(|(_, write)| *write == Write::Completed)
        };
        let doubt = self.nodes.iter().filter(|node| node.machine.first_in_doubt().is_some()).count();
        let some_persistent = self.shared.persistent() > EpochId::base(LIFE);
        let all = [
            ("late tag", self.nodes.iter().any(|node| tags(node).windows(2).any(|pair| pair[0] > pair[1]))),
            ("no room to leave", !self.shared.has_room()),
            ("one flush for two closes", self.nodes.iter().any(|node| covered(node) > 1)),
            ("writes out of order", self.nodes.iter().any(out_of_order)),
            ("two shards rung at once", self.nodes.iter().filter(|node| node.bell).count() == 2),
            ("some kept, some in doubt", doubt > 0 && some_persistent),
            ("one fails, the other goes on", doubt == 1 && self.nodes.len() == 2),
        ];
        all.into_iter().filter(|(_, is_so)| *is_so).map(|(name, _)| name).collect()
    }

    fn commit(&mut self, at: usize) {
        self.left.commits -= 1;
        let node = &mut self.nodes[at];
        let joined = node.machine.join(0);
        let stale = (self.mutant == Some(Mutant::StaleTag)).then_some(node.joined_last).flatten();
        let epoch = stale.unwrap_or(joined);
        node.joined_last = Some(epoch);
        node.log.push(Item::Update(epoch));
        self.history.push((epoch, at));
        self.turn(at, 0);
    }

    fn force(&mut self, at: usize) {
        self.left.forces -= 1;
        if self.mutant == Some(Mutant::LeaveAnything) {
            // Under the shipped rules this would be refused for an empty epoch, whoever asks.
            self.shared.advance(self.shared.open());
        }
        self.nodes[at].machine.force(0);
        self.turn(at, 0);
    }

    fn abort(&mut self) {
        self.left.crosses -= 1;
        for at in 0..self.nodes.len() {
            if let Some(bound) = self.cross.bounds[at].take()
                && self.mutant != Some(Mutant::NoPin)
            {
                self.nodes[at].machine.unpin(bound);
                self.turn(at, 0);
            }
        }
    }

    fn apply(&mut self, at: usize) {
        let epoch = self.cross.decided.expect("the input was offered");
        let bound = self.cross.bounds[at].expect("decided after all were pinned");
        self.cross.applied[at] = true;
        self.nodes[at].log.push(Item::Update(epoch));
        if self.mutant != Some(Mutant::NoPin) {
            self.nodes[at].machine.applied(bound, epoch, 0);
        }
        self.turn(at, 0);
    }

    fn written(&mut self, at: usize, write: usize) {
        let node = &mut self.nodes[at];
        node.writes[write].1 = Write::Completed;
        // Reported is what is complete up to a close: never over a gap.
        let complete = node.writes.iter().take_while(|(_, write)| *write != Write::Submitted).last();
        if let Some((end, _)) = complete
            && let Item::Close(epoch, _) = node.log[end - 1]
        {
            node.machine.written(epoch);
        }
        self.turn(at, 0);
    }

    fn flushed(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let (ticket, covered) = node.flush.take().expect("the input was offered");
        for write in covered {
            if node.writes[write].1 == Write::Completed {
                node.writes[write].1 = Write::Durable;
            }
        }
        if self.mutant != Some(Mutant::AckWhenIssued) {
            node.machine.flushed(ticket, true);
        }
        self.turn(at, 0);
    }

    fn flush_failed(&mut self, at: usize) {
        self.left.failures -= 1;
        self.failed = true;
        let node = &mut self.nodes[at];
        let (ticket, covered) = node.flush.take().expect("the input was offered");
        covered.into_iter().for_each(|write| node.writes[write].1 = Write::Dropped);
        // The mutant flushes once more, is told that all is well, and believes it.
        node.machine.flushed(ticket, self.mutant == Some(Mutant::RetryBelieved));
        self.turn(at, 0);
    }

    /// What an engine does after every input.
    fn turn(&mut self, at: usize, now: u64) {
        loop {
            let actions = self.nodes[at].machine.turn(now);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(at, action);
            }
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        match action {
            Action::Wake { shards } => {
                let rung = self.nodes.iter_mut().enumerate().filter(|(other, _)| shards & 1 << other != 0);
                rung.for_each(|(_, node)| node.bell = true);
            }
            Action::Close { epoch, members } => {
                let node = &mut self.nodes[at];
                node.log.push(Item::Close(epoch, members));
                node.writes.push((node.log.len(), Write::Submitted));
                node.machine.closed(epoch);
                if self.mutant == Some(Mutant::FlushBeforeWritten) {
                    node.machine.written(epoch);
                }
            }
            Action::Flush { ticket } => {
                let node = &mut self.nodes[at];
                let completed = node.writes.iter().enumerate().filter(|(_, (_, write))| *write == Write::Completed);
                node.flush = Some((ticket, completed.map(|(write, _)| write).collect()));
                if self.mutant == Some(Mutant::AckWhenIssued) {
                    node.machine.flushed(ticket, true);
                }
            }
        }
    }

    fn check(&self) -> Result<(), Violation> {
        if self.history.windows(2).any(|pair| pair[0].0 > pair[1].0) {
            return Err(Violation::Causality);
        }
        for node in &self.nodes {
            let closes: Vec<_> = node.log.iter().filter_map(|item| close_of(*item)).collect();
            if closes.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
                return Err(Violation::CloseOrder);
            }
            if closes.iter().any(|(_, members)| *members == 0) {
                return Err(Violation::EmptyEpoch);
            }
        }
        self.crash()?;
        if self.inputs().1.is_empty() && !self.failed { self.check_quiet() } else { Ok(()) }
    }

    /// Every crash at this moment: each log ends after any of its writes that could be there.
    fn crash(&self) -> Result<(), Violation> {
        let ends: Vec<Vec<usize>> = self.nodes.iter().map(Node::ends_after_crash).collect();
        for first in &ends[0] {
            for second in ends.get(1).unwrap_or(&vec![0]) {
                self.recover(&[*first, *second])?;
            }
        }
        Ok(())
    }

    fn recover(&self, ends: &[usize]) -> Result<(), Violation> {
        let logs = || self.nodes.iter().zip(ends).enumerate();
        let closes = logs().flat_map(|(at, (node, end))| {
            let shard = ShardId(u8::try_from(at).expect("two shards"));
            let found = node.log[..*end].iter().filter_map(|item| close_of(*item));
            found.map(move |(epoch, members)| Close { epoch, shard, members })
        });
        let last = cut(EpochId::base(LIFE), closes).map_err(|_| Violation::Contradiction)?.last;
        if last < self.shared.persistent() {
            return Err(Violation::NoticeLost);
        }
        // Every update that counts by its epoch is there: those of the logs, and a decided part that is still on its way.
        let lost = logs().any(|(_, (node, end))| {
            node.log[*end..].iter().any(|item| matches!(item, Item::Update(epoch) if *epoch <= last))
        });
        let on_its_way = self.cross.decided.is_some_and(|epoch| epoch <= last && self.cross.applied != [true; 2]);
        if lost || on_its_way { Err(Violation::Torn) } else { Ok(()) }
    }

    /// Nothing more will happen by itself: everything committed is persistent, and no shard waits.
    fn check_quiet(&self) -> Result<(), Violation> {
        let persistent = self.shared.persistent();
        let committed = self.nodes.iter().flat_map(|node| &node.log);
        let waits = committed.into_iter().any(|item| matches!(item, Item::Update(epoch) if *epoch > persistent));
        let pinned = self.cross.bounds.iter().any(Option::is_some) && self.cross.decided.is_none();
        let idle = pinned || self.nodes.iter().all(|node| node.machine.idle());
        let tidy = self.shared.open_joined().is_none();
        if waits || !idle || !tidy { Err(Violation::Progress) } else { Ok(()) }
    }
}

impl Node {
    /// Where the log may end after a power failure: after a prefix of its writes that holds all durable ones in reach.
    fn ends_after_crash(&self) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut end = 0;
        for (to, write) in &self.writes {
            match write {
                // It may be lost, and with it the chain ends; or it may be there.
                Write::Submitted | Write::Completed => ends.push(end),
                Write::Durable => {}
                Write::Dropped => {
                    ends.push(end);
                    return ends;
                }
            }
            end = *to;
        }
        ends.push(end);
        ends
    }
}

fn close_of(item: Item) -> Option<(EpochId, u32)> {
    match item {
        Item::Update(_) => None,
        Item::Close(epoch, members) => Some((epoch, members)),
    }
}
