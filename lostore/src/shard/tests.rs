use super::*;
use crate::fake::{Disk, Fake, get, put};
use crate::inbox::Inbox;
use crate::port::DevicePort;
use domains::Level;

/// A front that asks by itself and wants to close when all is answered.
#[derive(Default)]
struct Script {
    asked: u64,
    answered: Vec<u64>,
    stopped: bool,
    due_laps: u32,
}

impl Front<DevicePort<Disk>> for Script {
    fn start(&mut self, desk: &mut Desk<'_, DevicePort<Disk>>) {
        assert_eq!(desk.capabilities().name, "fake");
        desk.submit(Asker::Nobody, FrontOp(0), put(b"cold", b"1", Level::Persistent));
        desk.submit(Asker::Nobody, FrontOp(1), get(b"cold"));
        desk.submit(Asker::Nobody, FrontOp(2), get(b"warm"));
        self.asked = 3;
    }

    fn completed(&mut self, io: std::convert::Infallible, _desk: &mut Desk<'_, DevicePort<Disk>>) {
        match io {}
    }

    fn answered(&mut self, id: FrontOp, answer: Result<Answer, Error>, desk: &mut Desk<'_, DevicePort<Disk>>) {
        answer.unwrap();
        self.answered.push(id.0);
        if id == FrontOp(1) {
            desk.submit(Asker::Nobody, FrontOp(3), get(b"warm"));
            self.asked += 1;
        }
    }

    fn turn(&mut self, desk: &mut Desk<'_, DevicePort<Disk>>) -> Wish {
        let all = self.answered.len() as u64 == self.asked;
        let life = match (self.stopped, all) {
            (true, _) => Life::Done,
            (false, true) => Life::Closing,
            (false, false) => Life::Serving,
        };
        // A timer of its own: it must come round while nothing else happens.
        self.due_laps += 1;
        let due = Tick { nanos: desk.now.nanos + 10_000, ..desk.now };
        Wish { due: (life == Life::Serving).then_some(due), life }
    }

    fn stop(&mut self, _desk: &mut Desk<'_, DevicePort<Disk>>) {
        self.stopped = true;
    }
}

#[test]
fn a_front_asks_is_answered_and_closes_the_shard() {
    for poll_nanos in [0, 50_000] {
        let bell = crate::port::Bell::of_thread(std::thread::current());
        let (inbox, receiver) = Inbox::new(8, Box::new(move || bell.ring()));
        let fake = Fake::new();
        let marks = Arc::clone(&fake.marks);
        let horizon = Arc::new(SharedHorizon::default());
        let parts = (fake, DevicePort::new(Disk::new(2)), Script::default());
        let mut shard = Shard::new(parts, receiver, Arc::clone(&horizon), poll_nanos);
        let (reply, ticket) = crate::answer::ask();
        assert!(inbox.push(Message { asker: Asker::Nobody, op: put(b"mine", b"1", Level::Committed), reply }).is_ok());
        assert_eq!(shard.run(), None);
        let mut answered = shard.front.answered.clone();
        answered.sort_unstable();
        assert_eq!(answered, [0, 1, 2, 3]);
        assert!(matches!(ticket.wait(), Ok(Ok(Answer::Committed(_)))));
        assert_eq!(marks.persistent.load(Ordering::SeqCst), 2);
        assert!(horizon.load().persistent.counter() >= 1);
        assert_eq!(horizon.load().incarnation, segments::Incarnation(1));
    }
}
