//! The requests of one connection that have no reply yet, and the gathering of their outcomes.
//!
//! Contract: a call has one outcome for each of its operations and is complete when the last has come; its place is given back
//! only then, so a [`Ticket`] names one call from its operation's start to its answer and never another. A cancelled call is
//! answered at once, but keeps its place and its credits until the domain is done with it.

use domains::Level;
use std::collections::BTreeSet;
use wire::Element;

/// Which operation of which call an answer belongs to. `None`: nobody waits for it.
pub(crate) type Ticket = Option<(u32, u32)>;

/// What the session does besides replying when an operation is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Purpose {
    /// The epoch is to be noticed.
    pub(crate) notify: bool,
    /// It changes nothing: it may be cancelled, and its answer dropped when the client does not read.
    pub(crate) reads: bool,
    /// It asks for the fate of this request, a commit that came again, which is answered as at this level if it was applied.
    pub(crate) recalls: Option<(u64, Level)>,
}

#[derive(Debug)]
enum Place {
    Waiting(Purpose),
    Done(Element),
}

/// A request without a reply.
#[derive(Debug)]
pub(crate) struct Call {
    /// The client's name for it.
    pub(crate) id: u64,
    /// Whether it is answered as a batch.
    pub(crate) batch: bool,
    /// Whether it is cancelled: the outcomes that come are thrown away.
    pub(crate) cancelled: bool,
    /// Whether its reply is written, though the domain may not be done with it: only of one that was cancelled.
    pub(crate) told: bool,
    /// What it counts towards the bytes of requests in flight.
    pub(crate) bytes: usize,
    /// Bytes that its answers were asked for to have, at most.
    expected: usize,
    ops: Vec<Place>,
    waiting: usize,
    /// Bytes of the outcomes that have come.
    gathered: usize,
}

impl Call {
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }

    pub(crate) fn gathered(&self) -> usize {
        self.gathered
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.waiting == 0
    }

    /// Whether nothing it does changes anything.
    pub(crate) fn only_reads(&self) -> bool {
        self.ops.iter().all(|place| matches!(place, Place::Waiting(purpose) if purpose.reads))
    }

    /// The outcomes, in the order of the operations.
    pub(crate) fn into_outcomes(self) -> Vec<Element> {
        let outcome = |place| match place {
            Place::Done(outcome) => outcome,
            Place::Waiting(purpose) => unreachable!("call {} is complete, yet one waits for {purpose:?}", self.id),
        };
        self.ops.into_iter().map(outcome).collect()
    }
}

/// The calls of a connection.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    places: Vec<Option<Call>>,
    free: Vec<u32>,
    /// The clients' names of those that have no reply yet.
    ids: BTreeSet<u64>,
    ops: usize,
    bytes: usize,
    /// Bytes that the answers to those in flight were asked for to have, at most.
    expected: usize,
    /// Bytes of outcomes whose replies are not written.
    gathered: usize,
}

impl Calls {
    /// Operations that hold credits.
    pub(crate) fn ops(&self) -> usize {
        self.ops
    }

    /// Bytes of requests in flight.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that the answers to come may have, where that was said.
    pub(crate) fn expected(&self) -> usize {
        self.expected
    }

    /// Bytes of outcomes that wait for others of their batch, or for their turn.
    pub(crate) fn gathered(&self) -> usize {
        self.gathered
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// Gives back the memory of places that nobody has.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// Begins a call of so many operations.
    pub(crate) fn begin(&mut self, id: u64, batch: bool, ops: usize, bytes: usize) -> u32 {
        let places = (0..ops).map(|_| Place::Waiting(Purpose::default())).collect();
        let call = Call {
            id,
            batch,
            cancelled: false,
            told: false,
            bytes,
            expected: 0,
            ops: places,
            waiting: ops,
            gathered: 0,
        };
        let new = self.ids.insert(id);
        assert!(new, "the session refuses {id}, which has no reply yet");
        self.ops += ops;
        self.bytes += bytes;
        if let Some(at) = self.free.pop() {
            assert!(self.places[at as usize].is_none(), "place {at} was free");
            self.places[at as usize] = Some(call);
            return at;
        }
        self.places.push(Some(call));
        u32::try_from(self.places.len() - 1).expect("credits bound the calls")
    }

    pub(crate) fn call(&self, at: u32) -> &Call {
        self.places[at as usize].as_ref().expect("a ticket names a call in flight")
    }

    fn call_mut(&mut self, at: u32) -> &mut Call {
        self.places[at as usize].as_mut().expect("a ticket names a call in flight")
    }

    pub(crate) fn purpose(&self, (at, op): (u32, u32)) -> Purpose {
        match self.call(at).ops[op as usize] {
            Place::Waiting(purpose) => purpose,
            Place::Done(_) => unreachable!("operation {op} of call {at} was answered before"),
        }
    }

    pub(crate) fn set_purpose(&mut self, (at, op): (u32, u32), purpose: Purpose) {
        let place = &mut self.call_mut(at).ops[op as usize];
        assert!(matches!(place, Place::Waiting(_)), "operation {op} of call {at} was answered before");
        *place = Place::Waiting(purpose);
    }

    pub(crate) fn add_bytes(&mut self, at: u32, bytes: usize) {
        self.call_mut(at).bytes += bytes;
        self.bytes += bytes;
    }

    /// An operation was begun whose answer may have so many bytes.
    pub(crate) fn expect_bytes(&mut self, at: u32, bytes: usize) {
        self.call_mut(at).expected += bytes;
        self.expected += bytes;
    }

    /// Notes an outcome; `true` when it was the call's last.
    pub(crate) fn answer(&mut self, (at, op): (u32, u32), outcome: Element) -> bool {
        self.gathered += outcome.len();
        let call = self.call_mut(at);
        let place = &mut call.ops[op as usize];
        assert!(matches!(place, Place::Waiting(_)), "operation {op} of call {at} is answered once");
        call.gathered += outcome.len();
        *place = Place::Done(outcome);
        call.waiting -= 1;
        call.waiting == 0
    }

    /// Whether a request of this id has no reply yet.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// A cancelled call's reply is written: its id may be used again, its place not before the domain is done with it.
    pub(crate) fn tell(&mut self, at: u32) {
        let call = self.call_mut(at);
        assert!(call.cancelled && !call.told, "a cancelled call is told so once");
        call.told = true;
        let id = call.id;
        self.ids.remove(&id);
    }

    /// Gives a complete call's place and credits back.
    pub(crate) fn finish(&mut self, at: u32) -> Call {
        let call = self.places[at as usize].take().expect("a complete call is finished once");
        assert!(call.is_complete(), "call {at} has operations without an outcome");
        self.free.push(at);
        if !call.told {
            self.ids.remove(&call.id);
        }
        self.ops -= call.len();
        self.bytes -= call.bytes;
        self.expected -= call.expected;
        self.gathered -= call.gathered;
        call
    }

    /// Marks the call of this id as cancelled, if it is there, waits and changes nothing; says where it is.
    pub(crate) fn cancel(&mut self, id: u64) -> Option<u32> {
        let wanted = |call: &Call| call.id == id && !call.cancelled && call.only_reads();
        let at = self.places.iter().position(|place| place.as_ref().is_some_and(wanted))?;
        let at = u32::try_from(at).expect("credits bound the calls");
        self.call_mut(at).cancelled = true;
        Some(at)
    }
}
