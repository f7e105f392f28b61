//! The models: each is one small meeting of shards, in all its interleavings. Included once for the shipped rules and once for
//! each weakened twin.

use super::machine::{Action, ShardEpochs};
use super::ring::Ring;
use super::shared::Shared;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;
use segments::{EpochId, Incarnation, ShardId};

const LIFE: Incarnation = Incarnation(1);
const INTERVAL: u64 = 1000;

fn e(counter: u64) -> EpochId {
    EpochId::new(LIFE, counter)
}

fn shared(in_flight_max: usize) -> Arc<Shared> {
    Arc::new(Shared::with_in_flight_max(LIFE, in_flight_max))
}

/// Runs `model` in every interleaving with at most this many forced switches (`None`: without a bound).
fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

/// Starts an actor of a model. All actors are threads of their own and the main thread only waits for them: loom 0.7.2 does not
/// explore every order of a main thread that takes part (one whose first step is a load never saw the others' later writes).
fn actor<T: 'static>(shared: &Arc<Shared>, act: impl FnOnce(&Shared) -> T + 'static) -> thread::JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || act(&shared))
}

/// Whoever was told an epoch is among the members of that epoch, and nobody else is.
pub fn membership() {
    explore(Some(3), || {
        let shared = shared(4);
        // A third shard is in it already, so the epoch may be left at any moment.
        shared.register(0b100);
        let committer = |bit| {
            // The second commit of a shard may take the short way.
            actor(&shared, move |shared| [shared.register(bit), shared.register(bit)].map(|epoch| (epoch, bit)))
        };
        let committers = [0b01, 0b10].map(committer);
        let advancer = actor(&shared, |shared| shared.advance(e(1)));
        let joined: Vec<_> = committers.into_iter().flat_map(|thread| thread.join().expect("the thread ends")).collect();
        advancer.join().expect("the thread ends");
        while shared.open_joined().is_some_and(|open| shared.advance(open).is_some()) {}
        for counter in 1..shared.open().counter() {
            let of_epoch = joined.iter().filter(|(epoch, _)| *epoch == e(counter));
            let expected = of_epoch.fold(if counter == 1 { 0b100 } else { 0 }, |all, (_, bit)| all | bit);
            assert_eq!(shared.members(e(counter)), Some(expected), "members of epoch {counter}");
        }
        assert!(joined.iter().all(|(epoch, _)| *epoch < shared.open()), "every epoch with a member was left");
    });
}

/// Of two who leave an epoch one succeeds, and who joins meanwhile is in the epoch it was told.
pub fn two_advancers() {
    explore(Some(3), || {
        let shared = shared(4);
        shared.register(0b011);
        let leaving = [(); 2].map(|()| actor(&shared, |shared| shared.advance(e(1))));
        let joiner = actor(&shared, |shared| shared.register(0b100));
        let left = leaving.map(|thread| thread.join().expect("the thread ends"));
        let joined = joiner.join().expect("the thread ends");
        let expected = if joined == e(1) { 0b111 } else { 0b011 };
        assert_eq!(left.into_iter().flatten().collect::<Vec<_>>(), [expected], "one of the two left it");
        assert_eq!(shared.open(), e(2));
        assert_eq!(shared.members(e(1)), Some(expected));
    });
}

/// A slot answers for the epoch asked about or not at all, while it passes from epoch 1 to epoch 3.
pub fn slot_by_tag() {
    explore(None, || {
        let ring = Arc::new(Ring::new(1));
        ring.publish(1, 0b01);
        let reader = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || (ring.members(3), ring.members(1)))
        };
        let publisher = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || ring.publish(3, 0b10))
        };
        publisher.join().expect("the thread ends");
        let (third, first) = reader.join().expect("the thread ends");
        assert!([None, Some(0b10)].contains(&third), "members of epoch 3 are {third:?}");
        assert!([None, Some(0b01)].contains(&first), "members of epoch 1 are {first:?}");
    });
}

/// Who has read the members of an epoch acknowledges in a cleared word, also when the slot served another epoch before.
pub fn publication() {
    explore(None, || {
        let ring = Arc::new(Ring::new(1));
        ring.publish(1, 0b11);
        ring.ack(1, 0b01);
        ring.ack(1, 0b10);
        let member = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                let published = ring.members(3).is_some();
                if published {
                    ring.ack(3, 0b10);
                }
                published
            })
        };
        let publisher = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                ring.publish(3, 0b11);
                ring.ack(3, 0b01);
            })
        };
        publisher.join().expect("the thread ends");
        let published = member.join().expect("the thread ends");
        assert_eq!(ring.completed(3).is_some(), published, "an acknowledgement was wiped or made up");
    });
}

/// Two shards finish epochs 1 and 2 at once: one of them moves the last persistent epoch to 2 and rings both.
pub fn last_acker() {
    explore(None, || {
        let shared = shared(4);
        for shard in 0..2 {
            let epoch = shared.register(1 << shard);
            shared.advance(epoch);
        }
        let acks = [0, 1].map(|shard: u8| {
            actor(&shared, move |shared| shared.ack(e(u64::from(shard) + 1), ShardId(shard)))
        });
        let [mine, theirs] = acks.map(|thread| thread.join().expect("the thread ends"));
        assert_eq!(shared.persistent(), e(2), "one of the two moved it");
        assert_eq!(mine | theirs, 0b11, "all members are rung");
        assert_eq!(mine & theirs, 0, "once");
    });
}

/// Who asks to be rung either sees the epoch persistent or is rung.
pub fn waiter() {
    explore(None, || {
        let shared = shared(4);
        shared.register(0b1);
        shared.advance(e(1));
        let waiting = actor(&shared, |shared| shared.wait_for(e(1), ShardId(5)));
        let acking = actor(&shared, |shared| shared.ack(e(1), ShardId(0)));
        let (waits, displaced) = waiting.join().expect("the thread ends");
        let rung = acking.join().expect("the thread ends");
        assert!(!waits || rung & 1 << 5 != 0, "shard 5 waits and nobody rings");
        assert_eq!(displaced, 0);
    });
}

/// What one shard did before it sent a message is before what the receiver does, in epochs too.
pub fn causality(sent: Ordering, received: Ordering) {
    explore(None, move || {
        let shared = shared(4);
        let mailbox = Arc::new(AtomicU64::new(0));
        shared.register(0b10);
        let (outbox, inbox) = (Arc::clone(&mailbox), mailbox);
        let sender = actor(&shared, move |shared| {
            shared.advance(e(1));
            outbox.store(shared.register(0b01).counter(), sent);
        });
        let receiver = actor(&shared, move |shared| (inbox.load(received), shared.register(0b10)));
        sender.join().expect("the thread ends");
        let (before, mine) = receiver.join().expect("the thread ends");
        assert!(mine.counter() >= before, "an effect in epoch {mine}, its cause in epoch {before}");
    });
}

/// The doorbells of two shards.
struct Bells([AtomicBool; 2]);

impl Bells {
    fn new() -> Arc<Self> {
        Arc::new(Self([AtomicBool::new(false), AtomicBool::new(false)]))
    }
}

/// Turns a shard until it has nothing to do, on a device that does everything at once. It answers with what was closed.
fn settle(shard: &mut ShardEpochs, bells: &Bells, now: u64) -> Vec<EpochId> {
    let mut closed = Vec::new();
    loop {
        let actions = shard.turn(now);
        if actions.is_empty() {
            return closed;
        }
        for action in actions {
            match action {
                Action::Wake { shards } => {
                    let rung = (0..2).filter(|at| shards & 1 << at != 0);
                    rung.for_each(|at: usize| bells.0[at].store(true, Ordering::Release));
                }
                Action::Close { epoch, .. } => {
                    closed.push(epoch);
                    shard.closed(epoch);
                    shard.written(epoch);
                }
                Action::Flush { ticket } => shard.flushed(ticket, true),
            }
        }
    }
}

/// Goes on with shards that have a reason to: a timer or a doorbell. Nobody turns without one.
fn finish(shards: &mut [ShardEpochs; 2], bells: &Bells) {
    loop {
        let mut turned = false;
        for (shard, bell) in shards.iter_mut().zip(&bells.0) {
            let wake = shard.next_wake();
            if bell.swap(false, Ordering::AcqRel) || wake.is_some() {
                settle(shard, bells, wake.unwrap_or(0));
                turned = true;
            }
        }
        if !turned {
            return;
        }
    }
}

/// Force, close by the timer and persistence at once: nothing is closed twice, nothing waits for ever, no bell is missed.
pub fn force_close_persist() {
    explore(Some(2), || {
        let shared = shared(2);
        let bells = Bells::new();
        let start = |shard: u8, forces: bool| {
            let mut machine = ShardEpochs::new(Arc::clone(&shared), ShardId(shard), INTERVAL);
            let bells = Arc::clone(&bells);
            move || {
                let epoch = machine.join(0);
                if forces {
                    machine.force(0);
                }
                settle(&mut machine, &bells, if forces { 0 } else { INTERVAL });
                (machine, epoch)
            }
        };
        let forcing = thread::spawn(start(0, true));
        let closing = thread::spawn(start(1, false));
        let (closing, second) = closing.join().expect("the thread ends");
        let (forcing, first) = forcing.join().expect("the thread ends");
        finish(&mut [forcing, closing], &bells);
        assert!(shared.persistent() >= first.max(second), "{first} and {second} wait for ever");
        assert_eq!(shared.open(), first.max(second).next(), "no epoch was left empty");
    });
}

/// A decision over two shards against the close of the participant: the epoch is not closed over the undecided part.
pub fn decision(pinned: bool) {
    explore(Some(2), move || {
        let shared = shared(4);
        let bells = Bells::new();
        let mailbox = Arc::new(AtomicU64::new(0));
        let mut machines = [0, 1].map(|shard| ShardEpochs::new(Arc::clone(&shared), ShardId(shard), INTERVAL));
        let bounds = machines.each_mut().map(ShardEpochs::pin);
        let [mut coordinator, mut participant] = machines;
        participant.join(0);
        if !pinned {
            participant.unpin(bounds[1]);
        }
        let deciding = {
            let (mailbox, bells) = (Arc::clone(&mailbox), Arc::clone(&bells));
            thread::spawn(move || {
                let epoch = coordinator.decide(0b11, 0);
                mailbox.store(epoch.counter(), Ordering::Release);
                coordinator.applied(bounds[0], epoch, 0);
                settle(&mut coordinator, &bells, INTERVAL);
                coordinator
            })
        };
        let closing = {
            let bells = Arc::clone(&bells);
            thread::spawn(move || {
                let closed = settle(&mut participant, &bells, INTERVAL);
                (participant, closed)
            })
        };
        let (mut participant, closed) = closing.join().expect("the thread ends");
        let coordinator = deciding.join().expect("the thread ends");
        let epoch = e(mailbox.load(Ordering::Acquire));
        assert!(!closed.contains(&epoch), "epoch {epoch} was closed over an undecided part");
        if !pinned {
            return;
        }
        participant.applied(bounds[1], epoch, 0);
        settle(&mut participant, &bells, INTERVAL);
        finish(&mut [coordinator, participant], &bells);
        assert!(shared.persistent() >= epoch, "the decided epoch {epoch} waits for ever");
    });
}
