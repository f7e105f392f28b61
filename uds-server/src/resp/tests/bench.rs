//! Connections over a domain in memory, and the turns between them.

use crate::acl::{Caller, Rules};
use crate::gate::{Gate, Owners};
use crate::limits::Limits;
use crate::session::{Direct, Facts, after};
use crate::sessions::{Connection, Round, Sessions};
use domains::light::Light;
use domains::{Answer, Domain, Error, Level, Op, OpId, PairRef, Persistence, Seen, Tick};
use segments::cuts::Cuts;
use segments::{Incarnation, TableId};
use std::time::Duration;

/// Sessions and the domain they ask.
pub(super) struct Bench {
    pub(super) sessions: Sessions,
    domain: Light,
    pub(super) now: Tick,
    connections: Vec<Connection>,
    /// Answers are kept until they are let go.
    pub(super) hold: bool,
    held: Vec<(OpId, Result<Answer, Error>)>,
    /// What was asked, in order.
    pub(super) asked: Vec<String>,
    /// Who waits for persistence is not answered until that is let go, and then with this error.
    pub(super) hold_waits: bool,
    pub(super) waits_fail: Option<Error>,
}

/// The domain, within a call. What is held is with the device: then nothing is there at once.
struct AtOnce<'a> {
    domain: &'a mut Light,
    now: Tick,
    hold: bool,
    asked: &'a mut Vec<String>,
}

impl Direct<u64> for AtOnce<'_> {
    fn look(&mut self, table: TableId, key: &[u8], see: &mut dyn FnMut(Option<PairRef<'_>>)) -> Result<Seen, Error> {
        if self.hold { Ok(Seen::NeedsDevice) } else { self.domain.lookup_now(table, key, self.now, see) }
    }

    fn ask(&mut self, id: u64, op: Op) -> Option<Result<Answer, Error>> {
        self.asked.push(name_of(&op));
        if self.hold {
            self.domain.submit(OpId(id), op, self.now);
            return None;
        }
        let mut answer = self.domain.submit_now(domains::Asker::Nobody, OpId(id), op, self.now);
        // A domain in memory makes nothing persistent; here it is taken to be on its way.
        if let Some(Ok(Answer::Committed(committed))) = &mut answer {
            committed.persistence = Persistence::Pending;
        }
        answer
    }
}

/// The operation's name.
fn name_of(op: &Op) -> String {
    format!("{op:?}").split(' ').next().unwrap_or_default().to_owned()
}

impl Bench {
    /// One connection.
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let domain = Light::new();
        let cuts = Cuts::none(Incarnation(1));
        let redis_level = Level::Committed;
        let facts = Facts { server_id: [7; 16], capabilities: domain.capabilities(), cuts, limits, redis_level };
        let now = Tick { nanos: 1, unix_ms: 1_000_000 };
        let (connections, held, asked) = (Vec::new(), Vec::new(), Vec::new());
        let sessions = Sessions::new(facts, Gate::new(Owners::Everybody, Rules::default()));
        let (hold, hold_waits, waits_fail) = (false, false, None);
        let mut bench = Self { sessions, domain, now, connections, hold, held, asked, hold_waits, waits_fail };
        bench.connect();
        bench
    }

    /// One more connection; returns its number.
    pub(super) fn connect(&mut self) -> usize {
        let caller = Caller { uid: 1000, gid: 1000, groups: Vec::new() };
        let standing = self.sessions.admit(caller).expect("everybody is served");
        let (connection, place) = self.sessions.open(standing, self.now);
        assert!(place.is_ok(), "the test has few connections");
        self.connections.push(connection);
        self.connections.len() - 1
    }

    fn round<R>(&mut self, call: impl FnOnce(&mut Sessions, &mut Round<'_>) -> R) -> R {
        let mut asked = Vec::new();
        let horizon = self.domain.horizon();
        let (now, hold) = (self.now, self.hold);
        let mut direct = AtOnce { domain: &mut self.domain, now, hold, asked: &mut self.asked };
        let result = call(&mut self.sessions, &mut Round { now, horizon, direct: &mut direct, asked: &mut asked });
        for (id, op) in asked {
            self.asked.push(name_of(&op));
            if self.hold_waits && matches!(op, Op::Await { .. }) {
                let answer = Ok(Answer::Persistent(self.domain.horizon()));
                self.held.push((OpId(id), self.waits_fail.clone().map_or(answer, Err)));
                continue;
            }
            // What a domain in memory does not promise is done all the same: it is persistent as soon as it is committed.
            let op = if matches!(op, Op::Await { .. }) { Op::Force } else { op };
            let op = if let Op::Commit { set, .. } = op { Op::Commit { set, level: Level::Committed } } else { op };
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

    fn answers(&mut self) {
        let mut answers = Vec::new();
        self.domain.take_answers(&mut answers);
        if self.hold {
            self.held.extend(answers);
            return;
        }
        for (id, answer) in answers {
            self.round(|sessions, round| sessions.answered(id.0, &answer, round));
        }
    }

    /// Lets go the answers that were held, the last first: a domain may answer in any order.
    pub(super) fn release(&mut self) {
        for (id, answer) in std::mem::take(&mut self.held).into_iter().rev() {
            self.round(|sessions, round| sessions.answered(id.0, &answer, round));
        }
        self.turns();
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now = after(self.now, Duration::from_millis(millis));
        self.sessions.expire(self.now);
        self.wake();
        for connection in self.sessions.all() {
            self.round(|sessions, round| sessions.turn(connection, round));
        }
    }

    /// Sends bytes and returns all that comes back, line ends as bars.
    pub(super) fn send(&mut self, connection: usize, bytes: &[u8]) -> String {
        let connection = self.connections[connection];
        self.round(|sessions, round| sessions.receive(connection, bytes, round));
        self.turns();
        self.read_from(connection)
    }

    /// Gives those that wait for it their turns.
    fn turns(&mut self) {
        while self.sessions.waiting() > 0 {
            self.round(|sessions, round| sessions.next_turn(round));
        }
        for place in self.sessions.readers() {
            let connection = self.sessions.at(place).expect("it was found just now");
            self.round(|sessions, round| sessions.turn(connection, round));
        }
    }

    pub(super) fn read(&mut self, connection: usize) -> String {
        self.read_from(self.connections[connection])
    }

    fn read_from(&mut self, connection: Connection) -> String {
        let mut seen = Vec::new();
        while let Some(session) = self.sessions.get_mut(connection) {
            let output = session.output(1000).to_vec();
            if output.is_empty() {
                break;
            }
            session.consume(output.len());
            seen.extend(output);
            self.round(|sessions, round| sessions.sent(connection, round));
            self.turns();
        }
        String::from_utf8_lossy(&seen).replace("\r\n", "|")
    }

    /// One command of the first connection, as a person types it.
    pub(super) fn say(&mut self, command: &str) -> String {
        self.send(0, format!("{command}\r\n").as_bytes())
    }

    /// The same of another.
    pub(super) fn say_as(&mut self, connection: usize, command: &str) -> String {
        self.send(connection, format!("{command}\r\n").as_bytes())
    }

    /// Commands and the replies to them.
    #[track_caller]
    pub(super) fn check(&mut self, cases: &[(&str, &str)]) {
        for (command, reply) in cases {
            assert_eq!(self.say(command), *reply, "{command}");
        }
    }

    pub(super) fn close(&mut self, connection: usize) {
        self.sessions.close(self.connections[connection]);
    }

    pub(super) fn ends(&mut self, connection: usize) -> bool {
        self.sessions.get_mut(self.connections[connection]).unwrap().is_over()
    }

    pub(super) fn wants(&mut self, connection: usize) -> bool {
        self.sessions.get_mut(self.connections[connection]).unwrap().wants_bytes()
    }
}
