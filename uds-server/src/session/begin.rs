//! From a frame to the operations it asks for: which verb does what.
//!
//! The dispatcher reads as the list of verbs; what a verb does is below it, one function each.

use super::intake::Room;
use super::{Life, OwnAppend, Session, World, after};
use crate::acl::Right;
use crate::calls::Purpose;
use crate::convert::{add_parts, domain_op, level, outcome};
use crate::faults::fault;
use crate::limits::{Limits, OP_WORK, PART_BYTES};
use crate::transactions::memory_of;
use domains::{Capabilities, Error, Once};
use segments::TableId;
use std::time::Duration;
use txn::{Change, CommitSet, SetError};
use wire::codes;
use wire::{
    Answer, Bytes, CommitOptions, DecodeError, Encoded, Frame, FrameReader, Kind, Op, Outcome, Part, Value, Version,
};

type Place = (u32, u32);

impl Session {
    /// Begins the first frame; `false` when there is no room for it yet.
    pub(super) fn begin_frame(&mut self, frame: &Frame<'_>, reader: &FrameReader, world: &mut World<'_>) -> bool {
        if matches!(self.life, Life::Greeting(_)) {
            self.greet(frame, world);
            return true;
        }
        let header = frame.header;
        let kind = Kind::from_u8(header.kind);
        if let Some(code) = self.refusal(frame, kind, world) {
            self.miss(frame, kind);
            match code {
                codes::HELLO_EXPECTED => self.fail(header.id, code, world.horizon),
                // Under its own number it would be taken for the answer to the other.
                codes::DUPLICATE_ID => self.fail(0, code, world.horizon),
                _ => self.refuse_frame(header.id, code, world),
            }
            return true;
        }
        if kind == Some(Kind::Request) {
            let at = self.begin_call(frame, false, 1);
            self.begin_op((at, 0), (frame.body, frame.tail), &mut 0, world);
            return true;
        }
        match frame.batch() {
            Ok(elements) => self.begin_batch(frame, &elements, reader, world),
            Err(_) => {
                self.miss(frame, kind);
                self.refuse_frame(header.id, codes::MALFORMED, world);
                true
            }
        }
    }

    /// Answers a frame that is not begun, in its turn; when its number is none, or that of another, as what belongs to no request.
    pub(super) fn refuse_frame(&mut self, id: u64, code: u16, world: &mut World<'_>) {
        if id == 0 || self.calls.has(id) {
            return self.reply_at_once(0, fault(code), world.horizon);
        }
        let at = self.calls.begin(id, false, 1, 0);
        if self.in_order {
            self.order.push_back(at);
        }
        self.refuse((at, 0), code, world);
    }

    /// A frame is not begun: transactions that it would have added to must never be committed without that.
    fn miss(&mut self, frame: &Frame<'_>, kind: Option<Kind>) {
        let elements = match kind {
            Some(Kind::Request) => Some(vec![(frame.body, frame.tail)]),
            Some(Kind::Batch) => frame.batch().ok(),
            Some(Kind::Hello | Kind::Welcome | Kind::Reply | Kind::BatchReply | Kind::Push) | None => None,
        };
        let Some(elements) = elements else { return self.transactions.abort_all() };
        for (body, tail) in elements {
            match Op::decode(body, tail) {
                Ok(Op::TxnAdd { txn, .. }) => drop(self.transactions.take(txn)),
                Ok(_) => {}
                Err(_) => self.transactions.abort_all(),
            }
        }
    }

    /// Why a frame is not begun at all.
    fn refusal(&self, frame: &Frame<'_>, kind: Option<Kind>, world: &World<'_>) -> Option<u16> {
        let header = frame.header;
        let deadline = after(self.received_at, Duration::from_millis(u64::from(header.deadline_ms)));
        match kind {
            Some(Kind::Hello) => Some(codes::HELLO_EXPECTED),
            Some(Kind::Request | Kind::Batch) if header.flags == 0 => {
                if header.id == 0 {
                    Some(codes::BAD_ID)
                } else if self.calls.has(header.id) {
                    Some(codes::DUPLICATE_ID)
                } else if self.stopping {
                    Some(codes::STOPPING)
                } else if header.deadline_ms != 0 && deadline.nanos <= world.now.nanos {
                    Some(codes::DEADLINE)
                } else {
                    None
                }
            }
            Some(Kind::Request | Kind::Batch | Kind::Welcome | Kind::Reply | Kind::BatchReply | Kind::Push) | None => {
                Some(codes::UNKNOWN_VERB)
            }
        }
    }

    fn begin_call(&mut self, frame: &Frame<'_>, batch: bool, ops: usize) -> u32 {
        let bytes = frame.body.len() + frame.tail.len();
        let at = self.calls.begin(frame.header.id, batch, ops, bytes);
        if self.in_order {
            self.order.push_back(at);
        }
        at
    }

    fn begin_batch(
        &mut self,
        frame: &Frame<'_>,
        elements: &[Encoded<'_>],
        reader: &FrameReader,
        world: &mut World<'_>,
    ) -> bool {
        if elements.is_empty() {
            let at = self.begin_call(frame, true, 0);
            self.reply_to(at, world.horizon);
            return true;
        }
        self.stalled = Some(elements.len());
        match self.room(reader, world) {
            Room::Now => self.stalled = None,
            Room::Later => return false,
            Room::Never => {
                self.turn_away(&frame.header, world);
                return true;
            }
        }
        let at = self.begin_call(frame, true, elements.len());
        // The frame itself counts as one.
        world.allowance.spend((elements.len() - 1) * OP_WORK);
        let mut parts = 0;
        for (op, element) in (0..).zip(elements) {
            self.begin_op((at, op), *element, &mut parts, world);
        }
        true
    }

    /// An operation of its bytes. Of one that is not understood every transaction of the connection is aborted.
    fn decoded<'a>(&mut self, (body, tail): Encoded<'a>) -> Result<Op<'a>, u16> {
        Op::decode(body, tail).map_err(|error| {
            // It may have been meant for any of them.
            self.transactions.abort_all();
            match error {
                DecodeError::Unknown { .. } => codes::UNKNOWN_VERB,
                DecodeError::Malformed | DecodeError::Leftover { .. } | DecodeError::Tail => codes::MALFORMED,
            }
        })
    }

    /// Begins one operation. `parts` counts those of the frame's commit sets.
    fn begin_op(&mut self, place: Place, encoded: Encoded<'_>, parts: &mut usize, world: &mut World<'_>) {
        let op = match self.decoded(encoded) {
            Ok(op) => op,
            Err(code) => return self.refuse(place, code, world),
        };
        if let Err(code) = self.pay_for(place, &op, parts, world) {
            return self.refuse(place, code, world);
        }
        match op {
            Op::Ping => self.say(place, Answer::Done, world),
            Op::Commit { parts, options } => self.commit_whole(place, &parts, options, None, world),
            Op::CommitOnce { request, parts, options } => match self.once(request) {
                Some(once) => self.commit_whole(place, &parts, options, Some(once), world),
                None => self.refuse(place, codes::NOT_IDENTIFIED, world),
            },
            Op::TxnCommitOnce { request, txn, options } => self.txn_commit_once(place, request, (txn, options), world),
            Op::Identify { client, attempt } => self.identify(place, client, attempt, world),
            Op::Fates { requests } => self.fates(place, requests.into_vec(), world),
            Op::TxnOpen => self.txn_open(place, false, world),
            Op::TxnOpenStrict => self.txn_open(place, true, world),
            Op::TxnNext { txn, table, from, until, direction, pairs_max, bytes_max } => {
                let next = Op::Next { table, from, until, direction, pairs_max, bytes_max };
                self.txn_next(place, txn, &next, world);
            }
            Op::TxnAdd { txn, parts } => self.txn_add(place, txn, &parts, world),
            Op::TxnStage { .. } => self.txn_stage(place, &op, world),
            Op::TxnStaged { txn, number, table, key } => self.txn_staged(place, (txn, number), (table, key.0), world),
            Op::TxnLookup { txn, table, key } => self.txn_lookup(place, txn, (table, key), world),
            Op::TxnCommit { txn, options } => match self.transactions.take_whole(txn) {
                Ok(set) => self.commit_taken(place, set, options, None, world),
                Err(why) => self.refuse_commit(place, why, world),
            },
            Op::TxnAbort { txn } => match self.transactions.take(txn) {
                Some(_) => self.say(place, Answer::Done, world),
                None => self.refuse(place, codes::NO_SUCH_TRANSACTION, world),
            },
            Op::Cancel { id } => self.cancel(place, id, world),
            Op::Lookup { .. }
            | Op::LookupMany { .. }
            | Op::ReadRanges { .. }
            | Op::Next { .. }
            | Op::Follow { .. }
            | Op::Verify { .. }
            | Op::FollowChain { .. }
            | Op::Await { .. }
            | Op::Force
            | Op::ListTables
            | Op::Status
            | Op::Reclaim
            | Op::Segments { .. } => self.ask(place, &op, true, world),
            Op::Reserve { .. }
            | Op::CreateTable { .. }
            | Op::OpenTable { .. }
            | Op::CreateRuled { .. }
            | Op::OpenRuled { .. }
            | Op::RenameTable { .. }
            | Op::DestroyTable { .. }
            | Op::DropCache => self.ask(place, &op, false, world),
        }
    }

    /// Counts the parts that an operation adds to those of its frame, and takes memory for them; or says why it cannot be begun.
    fn pay_for(&mut self, place: Place, op: &Op<'_>, parts: &mut usize, world: &mut World<'_>) -> Result<(), u16> {
        let (Op::Commit { parts: added, .. } | Op::CommitOnce { parts: added, .. } | Op::TxnAdd { parts: added, .. }) =
            op
        else {
            return Ok(());
        };
        let before = *parts;
        *parts += added.len();
        let refusal = if *parts > wire::limits::PARTS_MAX {
            Some(codes::TOO_MANY_PARTS)
        } else {
            (!self.pay_parts(before, added.len(), world)).then_some(codes::MEMORY_FULL)
        };
        if let Some(code) = refusal {
            if let Op::TxnAdd { txn, .. } = op {
                drop(self.transactions.take(*txn));
            }
            return Err(code);
        }
        self.calls.add_bytes(place.0, added.len() * PART_BYTES);
        Ok(())
    }

    /// Passes an operation on to the domain.
    pub(super) fn ask(&mut self, place: Place, op: &Op<'_>, reads: bool, world: &mut World<'_>) {
        let op = domain_op(op).expect("the dispatcher passes the domain's verbs on, and only those");
        self.calls.set_purpose(place, Purpose { reads, ..Purpose::default() });
        if let domains::Op::Next { bytes_max, .. } = &op {
            // A walk may bring that much whenever it is answered, and others of this connection need not be begun before.
            self.calls.expect_bytes(place.0, *bytes_max as usize);
        }
        world.asked.push((Some(place), op));
    }

    /// Answers without the domain.
    fn say(&mut self, place: Place, answer: Answer<'_>, world: &mut World<'_>) {
        self.settle(place, Purpose::default(), Outcome::Ok(answer), world);
    }

    pub(super) fn refuse(&mut self, place: Place, code: u16, world: &mut World<'_>) {
        self.settle(place, Purpose::default(), fault(code), world);
    }

    pub(super) fn fault_of(&mut self, place: Place, error: Error, world: &mut World<'_>) {
        let mut text = String::new();
        let result = Err(error);
        self.settle(place, Purpose::default(), outcome(&result, self.features, &mut text), world);
    }

    fn commit_whole(
        &mut self,
        place: Place,
        parts: &[Part<'_>],
        options: CommitOptions,
        once: Option<Once>,
        world: &mut World<'_>,
    ) {
        let mut set = CommitSet::new();
        match add_parts(&mut set, parts) {
            Ok(()) => self.commit(place, set, options, once, world),
            Err(error) => self.fault_of(place, Error::Set(error), world),
        }
    }

    /// Commits a transaction's set, which the transactions hold no more.
    pub(super) fn commit_taken(
        &mut self,
        place: Place,
        set: CommitSet,
        options: CommitOptions,
        once: Option<Once>,
        world: &mut World<'_>,
    ) {
        self.calls.add_bytes(place.0, memory_of(&set));
        self.commit(place, set, options, once, world);
    }

    fn commit(
        &mut self,
        place: Place,
        set: CommitSet,
        options: CommitOptions,
        once: Option<Once>,
        world: &mut World<'_>,
    ) {
        if let (true, Err(error)) = (options.force, world.guard.server(Right::Force)) {
            return self.fault_of(place, error, world);
        }
        self.calls.set_purpose(place, Purpose { notify: options.notify, ..Purpose::default() });
        let level = level(options.level);
        let op = match once {
            None => domains::Op::Commit { set, level },
            Some(once) => domains::Op::CommitOnce { set, level, once },
        };
        world.asked.push((Some(place), op));
        if options.force {
            // Nobody waits for it: the commit's own answer says all, and the notice comes with the epoch.
            world.asked.push((None, domains::Op::Force));
        }
    }

    fn txn_open(&mut self, place: Place, strict: bool, world: &mut World<'_>) {
        if let Err(error) = world.guard.server(Right::Txn) {
            return self.fault_of(place, error, world);
        }
        let Capabilities { name: domain, abortable, .. } = world.facts.capabilities;
        if strict && !abortable {
            return self.fault_of(place, Error::Unsupported { domain, what: "strict transactions" }, world);
        }
        let limits = &world.facts.limits;
        let set = match world.facts.capabilities.writes_out {
            true => CommitSet::bounded(limits.transaction_memory_bytes),
            false => CommitSet::new(),
        };
        match self.transactions.open(set, strict, limits, world.now) {
            Some(txn) => self.say(place, Answer::Opened { txn }, world),
            None => self.refuse(place, codes::TRANSACTIONS_FULL, world),
        }
    }

    fn txn_add(&mut self, place: Place, txn: u64, parts: &[Part<'_>], world: &mut World<'_>) {
        let full = !self.fits_transactions(parts, &world.facts.limits);
        let Some(set) = self.transactions.set(txn, world.now) else {
            return self.refuse(place, codes::NO_SUCH_TRANSACTION, world);
        };
        // Refused parts are missing, whole or in part: nobody may commit the others.
        if full {
            drop(self.transactions.take(txn));
            return self.refuse(place, codes::TRANSACTIONS_FULL, world);
        }
        match add_parts(set, parts) {
            Ok(()) => self.spill(place, txn, world),
            Err(error) => {
                drop(self.transactions.take(txn));
                self.fault_of(place, Error::Set(error), world);
            }
        }
    }

    /// Parts were added, and what had to be written out for them is.
    pub(super) fn added(&mut self, place: Place, world: &mut World<'_>) {
        self.say(place, Answer::Done, world);
    }

    fn fits_transactions(&self, parts: &[Part<'_>], limits: &Limits) -> bool {
        let more: usize = parts.iter().map(Part::content_bytes).sum();
        self.transactions.bytes() + more <= limits.transaction_bytes_max
    }

    /// The transaction's own update if it has one; otherwise what the domain has.
    fn txn_lookup(&mut self, place: Place, txn: u64, (table, key): (u32, Bytes<'_>), world: &mut World<'_>) {
        let Some(set) = self.transactions.set(txn, world.now) else {
            return self.refuse(place, codes::NO_SUCH_TRANSACTION, world);
        };
        if let Some((found, missing, becomes)) = super::staged::own_lookup(set, txn, TableId(table), key.0) {
            let stage = set.stage().expect("what was written out has a stage").clone();
            return self.fill(place, (stage, TableId(table)), (vec![found], vec![missing]), becomes, world);
        }
        let outcome = match set.find(TableId(table), key.0).map(|part| part.change) {
            Some(Change::Put { value, options }) => Answer::Pair(Some(wire::Pair {
                key,
                value: Value::new(value),
                version: Version::default(),
                expires_ms: options.expires_ms,
                compressed: options.compressed,
            })),
            Some(Change::Append { value, options }) => {
                let own = OwnAppend { key: key.0.to_vec(), value: value.to_vec(), options };
                return self.lookup_below(place, txn, (table, key), own, world);
            }
            Some(Change::Delete) => Answer::Pair(None),
            Some(Change::Revert { .. }) => {
                return self.fault_of(place, Error::Set(SetError::RevertsAlone), world);
            }
            Some(Change::None | Change::Seal { .. }) | None => {
                self.note_lookup(place, txn, TableId(table), key.0);
                return self.ask(place, &Op::Lookup { table, key }, true, world);
            }
        };
        // The value lies in the set, which lies in this session: it is encoded before the session is used again.
        let element = wire::Element::outcome(Outcome::Ok(outcome));
        self.settle_element(place, true, element, world);
    }

    /// What a transaction has appended stands behind what the domain has, which is asked for it. Until the answer comes it is held
    /// twice, and counts so.
    pub(super) fn lookup_below(
        &mut self,
        place: Place,
        txn: u64,
        (table, key): (u32, Bytes<'_>),
        own: OwnAppend,
        world: &mut World<'_>,
    ) {
        let held = self.transactions.bytes() + self.own_append_bytes();
        if held + own.value.len() > world.facts.limits.transaction_bytes_max {
            return self.refuse(place, codes::TRANSACTIONS_FULL, world);
        }
        if !world.memory.raise(crate::budget::Kind::Request, own.value.len()) {
            return self.refuse(place, codes::MEMORY_FULL, world);
        }
        self.own_appends.insert(place, own);
        self.note_lookup(place, txn, TableId(table), key.0);
        self.ask(place, &Op::Lookup { table, key }, true, world);
    }

    fn cancel(&mut self, place: Place, id: u64, world: &mut World<'_>) {
        let found = self.calls.cancel(id);
        if let Some(at) = found {
            // Where replies come in order, so does this one; what stands behind it need not wait for the domain any more.
            self.reply_to(at, world.horizon);
        }
        self.say(place, Answer::Cancelled(found.is_some()), world);
    }
}
