//! Callers with few rights, over every protocol, against a domain that works.

use super::bench::hello;
use crate::acl::{Caller, Rules};
use crate::gate::{Gate, Owners};
use crate::limits::Limits;
use crate::session::{Direct, Facts};
use crate::sessions::{Connection, Round, Sessions};
use domains::light::Light;
use domains::schema::{TableHome, TableKind};
use domains::{Domain, Level, Op, OpId, Tick};
use segments::cuts::Cuts;
use segments::{Incarnation, TableId};
use wire::{Bytes, CommitOptions, Fault, FrameReader, FrameWriter, List, Outcome, Part, codes};

const OWNER: u32 = 500;
const GUEST: u32 = 7;

/// Sessions on a domain with the tables `mine` (1) and `theirs` (2), and a pair `k` in each.
struct House {
    sessions: Sessions,
    domain: Light,
    now: Tick,
}

/// The domain, within a call.
struct AtOnce<'a> {
    domain: &'a mut Light,
    now: Tick,
}

impl Direct<u64> for AtOnce<'_> {
    fn look(
        &mut self,
        table: TableId,
        key: &[u8],
        see: &mut dyn FnMut(Option<domains::PairRef<'_>>),
    ) -> Result<domains::Seen, domains::Error> {
        self.domain.lookup_now(table, key, self.now, see)
    }

    fn ask(&mut self, id: u64, op: Op) -> Option<Result<domains::Answer, domains::Error>> {
        self.domain.submit_now(domains::Asker::Nobody, OpId(id), op, self.now)
    }
}

impl House {
    fn new(rules: &str) -> Self {
        let mut domain = Light::new();
        for (number, name) in [(0, "mine"), (1, "theirs")] {
            let spec = lostore::plain_spec(TableKind::Ordered, TableHome::Volatile);
            domain.submit(OpId(number), Op::CreateTable { name: name.into(), spec }, Tick::default());
        }
        let mut set = txn::CommitSet::new();
        for table in [1, 2] {
            set.insert(segments::TableId(table), b"k", b"v", txn::PutOptions::default()).unwrap();
        }
        domain.submit(OpId(2), Op::Commit { set, level: Level::Committed }, Tick::default());
        domain.take_answers(&mut Vec::new());
        let facts = Facts {
            server_id: [7; 16],
            capabilities: domain.capabilities(),
            cuts: Cuts::none(Incarnation(1)),
            limits: Limits::default(),
            redis_level: Level::Committed,
        };
        let gate = Gate::new(Owners::Users(vec![OWNER]), Rules::parse(rules).unwrap());
        let mut house = Self { sessions: Sessions::new(facts, gate), domain, now: Tick { nanos: 1, unix_ms: 1 } };
        house.round(|sessions, round| sessions.list_tables(round.asked));
        house
    }

    fn round<R>(&mut self, call: impl FnOnce(&mut Sessions, &mut Round<'_>) -> R) -> R {
        let (horizon, now) = (self.domain.horizon(), self.now);
        let (domain, mut asked) = (&mut self.domain, Vec::new());
        let mut direct = AtOnce { domain, now };
        let result = call(&mut self.sessions, &mut Round { now, horizon, direct: &mut direct, asked: &mut asked });
        for (id, op) in asked {
            self.domain.submit(OpId(id), op, now);
        }
        self.answers();
        result
    }

    fn answers(&mut self) {
        let mut answers = Vec::new();
        self.domain.take_answers(&mut answers);
        for (id, answer) in answers {
            self.round(|sessions, round| sessions.answered(id.0, &answer, round));
        }
    }

    fn enter(&mut self, uid: u32) -> Connection {
        let standing = self.sessions.admit(Caller { uid, gid: uid, groups: vec![77] }).expect("a rule names it");
        let (connection, place) = self.sessions.open(standing, self.now);
        assert!(place.is_ok());
        connection
    }

    /// Sends bytes and returns all that comes back.
    fn send(&mut self, connection: Connection, bytes: &[u8]) -> Vec<u8> {
        self.round(|sessions, round| sessions.receive(connection, bytes, round));
        let mut heard = Vec::new();
        while let Some(session) = self.sessions.get_mut(connection) {
            let output = session.output(1 << 20).to_vec();
            if output.is_empty() {
                break;
            }
            session.consume(output.len());
            heard.extend(output);
            self.round(|sessions, round| sessions.sent(connection, round));
        }
        heard
    }

    fn native(&mut self, uid: u32) -> Connection {
        let connection = self.enter(uid);
        let mut writer = FrameWriter::new(u32::MAX);
        writer.hello(1, &hello(None)).unwrap();
        assert!(!self.send(connection, writer.bytes()).is_empty());
        connection
    }

    /// The bytes of the reply to one operation.
    fn reply(&mut self, connection: Connection, op: wire::Op<'_>) -> Vec<u8> {
        let mut writer = FrameWriter::new(u32::MAX);
        writer.request(2, 0, op).unwrap();
        self.send(connection, writer.bytes())
    }

    fn ask(&mut self, connection: Connection, op: wire::Op<'_>) -> Result<String, u16> {
        let bytes = self.reply(connection, op);
        let mut reader = FrameReader::new(u32::MAX);
        reader.push(&bytes);
        match reader.frame().unwrap().expect("one reply").reply().unwrap().outcome {
            Outcome::Ok(answer) => Ok(format!("{answer:?}")),
            Outcome::Err(Fault { code, applied, .. }) => {
                assert!(!applied);
                Err(code)
            }
        }
    }

    fn say(&mut self, connection: Connection, command: &str) -> String {
        let heard = self.send(connection, format!("{command}\r\n").as_bytes());
        String::from_utf8(heard).unwrap().replace("\r\n", "|")
    }

    /// What the owner finds, so that it is seen what others have done.
    fn whole(&mut self) -> Vec<String> {
        let owner = self.native(OWNER);
        let ops = [wire::Op::ListTables, scan(1), scan(2), scan(3)];
        ops.into_iter().map(|op| format!("{:?}", self.ask(owner, op))).collect()
    }
}

fn scan(table: u32) -> wire::Op<'static> {
    let (from, direction) = (wire::Cursor::Start, wire::Direction::Next);
    wire::Op::Next { table, from, until: None, direction, pairs_max: 10, bytes_max: 1000 }
}

fn spec() -> wire::TableSpec<'static> {
    let (kind, home) = (wire::TableKind::Ordered, wire::TableHome::Volatile);
    wire::TableSpec { type_name: "x", kind, home, key: List::default(), record: List::default(), pairs_hint: 0 }
}

fn part(table: u32, change: wire::Change<'static>) -> List<Part<'static>, { wire::limits::PARTS_MAX }> {
    List::new(vec![Part { table, key: Bytes(b"k"), expect: wire::Expect::Any, change }]).unwrap()
}

const OPTIONS: CommitOptions = CommitOptions { level: wire::Level::Committed, force: false, notify: false };

fn evil() -> wire::Change<'static> {
    wire::Change::Put { value: wire::Value::new(b"evil"), expires_ms: None, compressed: false }
}

/// Every verb that names a table, by number or by name.
fn verbs(table: u32, name: &str) -> Vec<wire::Op<'_>> {
    let key = Bytes(b"k");
    let commit = |change| wire::Op::Commit { parts: part(table, change), options: OPTIONS };
    let token = wire::Version::default();
    let ranges = List::new(vec![wire::Range { from: 0, bytes: 1 }]).unwrap();
    let fields = List::new(vec![0]).unwrap();
    vec![
        wire::Op::Lookup { table, key },
        wire::Op::LookupMany { table, keys: List::new(vec![key]).unwrap() },
        wire::Op::ReadRanges { table, key, ranges },
        wire::Op::Verify { table, key },
        wire::Op::Follow { table, key, field: 0 },
        wire::Op::FollowChain { table, key, fields, depth_max: 2, records_max: 2 },
        scan(table),
        commit(wire::Change::None),
        commit(evil()),
        commit(wire::Change::Delete),
        commit(wire::Change::Revert { token }),
        commit(wire::Change::Seal { token }),
        wire::Op::Reserve { table, count: 1 },
        wire::Op::OpenTable { name, spec: None },
        wire::Op::OpenTable { name, spec: Some(spec()) },
        wire::Op::DestroyTable { name },
        wire::Op::RenameTable { from: name, to: "mine" },
    ]
}

#[test]
fn no_verb_reaches_a_table_without_a_right_and_none_tells_that_it_is_there() {
    let mut house = House::new("uid:7 mine all");
    let before = house.whole();
    let guest = house.native(GUEST);
    // Names and numbers of the same length, so that the replies can be compared byte by byte.
    for (theirs, unknown) in verbs(2, "theirs").into_iter().zip(verbs(9, "nobody")) {
        let shown = format!("{theirs:?}");
        let (theirs, unknown) = (house.reply(guest, theirs), house.reply(guest, unknown));
        let text = String::from_utf8_lossy(&theirs).replace("theirs", "nobody").replace("table 2", "table 9");
        assert_eq!(text, String::from_utf8_lossy(&unknown), "{shown}");
        assert!(text.contains("there is no table"), "{shown}: {text}");
    }
    assert_eq!(house.whole(), before, "nothing was done");
}

#[test]
fn what_is_forbidden_takes_as_much_work_as_what_is_not_there() {
    let mut house = House::new("uid:7 mine all\nuid:7 their? read\nuid:8 * all");
    let guest = house.native(GUEST);
    house.sessions.set_rules(Rules::parse("uid:7 mine all\nuid:8 * all").unwrap());
    let mut work = |op: wire::Op<'_>| {
        let mut writer = FrameWriter::new(u32::MAX);
        writer.request(2, 0, op).unwrap();
        let counted = allocation_counter::measure(|| drop(house.send(guest, writer.bytes())));
        (counted.count_total, counted.bytes_total)
    };
    for _ in 0..3 {
        // The first time buffers grow; then each is done as the other.
        for (theirs, unknown) in verbs(2, "theirs").into_iter().zip(verbs(9, "nobody")) {
            let _ = (work(theirs), work(unknown));
        }
    }
    for (theirs, unknown) in verbs(2, "theirs").into_iter().zip(verbs(9, "nobody")) {
        let shown = format!("{theirs:?}");
        assert_eq!(work(theirs), work(unknown), "{shown}");
    }
}

#[test]
fn a_caller_does_what_the_rules_give_and_is_told_what_is_missing() {
    let mut house = House::new("uid:7 mine read\ngid:77 mine insert\n* mine txn");
    let guest = house.native(GUEST);
    let denied = Err(150);
    assert!(house.ask(guest, wire::Op::Lookup { table: 1, key: Bytes(b"k") }).unwrap().contains("Pair"));
    assert_eq!(house.ask(guest, scan(1)), denied);
    assert_eq!(house.ask(guest, wire::Op::Commit { parts: part(1, evil()), options: OPTIONS }), denied, "no update");
    assert_eq!(house.ask(guest, wire::Op::Force), denied);
    assert_eq!(house.ask(guest, wire::Op::DropCache), denied);
    assert_eq!(house.ask(guest, wire::Op::CreateTable { name: "new", spec: spec() }), denied);
    assert_eq!(house.ask(guest, wire::Op::DestroyTable { name: "mine" }), denied);
    let forced = CommitOptions { force: true, ..OPTIONS };
    let compare = part(1, wire::Change::None);
    assert_eq!(house.ask(guest, wire::Op::Commit { parts: compare, options: forced }), denied);
    let tables = house.ask(guest, wire::Op::ListTables).unwrap();
    assert!(tables.contains("mine") && !tables.contains("theirs"), "{tables}");
    let status = house.ask(guest, wire::Op::Status).unwrap();
    assert!(status.contains("mine") && !status.contains("theirs"), "{status}");
    let text = String::from_utf8_lossy(&house.reply(guest, wire::Op::Force)).into_owned();
    assert!(text.contains("user 7 may not do this: the server's rules give no right 'force'"), "{text}");
    // Interactive: parts are taken in, and refused where they would be carried out.
    let txn = 1 << 32;
    assert!(house.ask(guest, wire::Op::TxnOpen).is_ok());
    assert!(house.ask(guest, wire::Op::TxnAdd { txn, parts: part(1, evil()) }).is_ok());
    assert_eq!(house.ask(guest, wire::Op::TxnLookup { txn, table: 2, key: Bytes(b"k") }), Err(202));
    assert_eq!(house.ask(guest, wire::Op::TxnLookup { txn, table: 9, key: Bytes(b"k") }), Err(202));
    assert_eq!(house.ask(guest, wire::Op::TxnCommit { txn, options: OPTIONS }), denied);
    house.sessions.set_rules(Rules::parse("uid:7 mine read").unwrap());
    assert_eq!(house.ask(guest, wire::Op::TxnOpen), denied);
}

#[test]
fn a_batch_is_refused_where_it_is_not_permitted_and_done_elsewhere() {
    let mut house = House::new("uid:7 mine read");
    let guest = house.native(GUEST);
    let lookup = |table| wire::Element::op(wire::Op::Lookup { table, key: Bytes(b"k") });
    let mut writer = FrameWriter::new(u32::MAX);
    writer.batch(4, 0, &[lookup(1), lookup(2), lookup(9), lookup(1)]).unwrap();
    let bytes = house.send(guest, writer.bytes());
    let mut reader = FrameReader::new(u32::MAX);
    reader.push(&bytes);
    let frame = reader.frame().unwrap().unwrap();
    let (_, elements) = frame.batch_reply().unwrap();
    let codes: Vec<u16> = elements
        .iter()
        .map(|(body, tail)| match Outcome::decode(body, tail).unwrap() {
            Outcome::Ok(_) => 0,
            Outcome::Err(fault) => fault.code,
        })
        .collect();
    assert_eq!(codes, [0, 202, 202, 0]);
}

#[test]
fn rules_and_names_that_change_hold_for_who_is_connected() {
    let mut house = House::new("uid:7 mine all");
    let (guest, owner) = (house.native(GUEST), house.native(OWNER));
    let lookup = |table| wire::Op::Lookup { table, key: Bytes(b"k") };
    assert!(house.ask(guest, wire::Op::TxnOpen).is_ok());
    let txn = 1 << 32;
    assert!(house.ask(guest, wire::Op::TxnAdd { txn, parts: part(1, evil()) }).is_ok());
    house.sessions.set_rules(Rules::parse("uid:7 theirs read").unwrap());
    assert_eq!(house.ask(guest, lookup(1)), Err(202));
    assert!(house.ask(guest, lookup(2)).is_ok());
    assert_eq!(house.ask(guest, wire::Op::TxnCommit { txn, options: OPTIONS }), Err(202), "what was begun before");
    // The owner takes the name away, and gives it to another table.
    assert!(house.ask(owner, wire::Op::RenameTable { from: "theirs", to: "aside" }).is_ok());
    assert_eq!(house.ask(guest, lookup(2)), Err(202));
    assert!(house.ask(owner, wire::Op::CreateTable { name: "theirs", spec: spec() }).is_ok());
    assert_eq!(house.ask(guest, lookup(3)), Ok("Pair(None)".into()));
    assert!(house.ask(owner, wire::Op::DestroyTable { name: "theirs" }).is_ok());
    assert_eq!(house.ask(guest, lookup(3)), Err(202));
    assert!(house.ask(owner, lookup(1)).unwrap().contains("Pair"));
}

#[test]
fn text_clients_have_the_same_rights() {
    let mut house =
        House::new("uid:7 mine read,iterate\nuid:7 redis.5 read,insert,update,create,txn\nuid:7 redis.6 read");
    let before = house.whole();
    let guest = house.enter(GUEST);
    let is = |reply: &str, starts: &str| assert!(reply.starts_with(starts), "{reply} is not {starts}");
    // The database 0 is a table on which there is no right, and it is not told whether there is one.
    for command in ["GET k", "SET k v", "INCR k", "DEL k", "MGET k l", "SCAN 0", "DBSIZE", "FLUSHDB", "KEYS *"] {
        let reply = house.say(guest, command);
        if command == "DBSIZE" { is(&reply, ":0|") } else { is(&reply, "-NOPERM LS0201 there is no table") }
    }
    for name in ["theirs", "nobody"] {
        for command in ["LS.USE", "LS.GET", "LS.PUT", "LS.NEXT", "LS.FOLLOW"] {
            let rest = match command {
                "LS.USE" => "",
                "LS.GET" => " k",
                "LS.NEXT" => " START",
                "LS.FOLLOW" => " k 0",
                _ => " k v",
            };
            is(&house.say(guest, &format!("{command} {name}{rest}")), "-NOPERM LS0201 there is no table");
        }
        is(&house.say(guest, &format!("LS.TABLE INFO {name}")), "-ERR LS0201 there is no table");
        is(&house.say(guest, &format!("LS.TABLE DROP {name}")), "-ERR LS0201 there is no table");
        is(&house.say(guest, &format!("LS.TABLE CREATE {name}")), "-NOPERM LS0150 user 7 may not do this");
    }
    is(&house.say(guest, "LS.GET mine k"), "*4|$1|k|$1|v|");
    is(&house.say(guest, "LS.PUT mine k evil"), "-NOPERM LS0150 ");
    let list = house.say(guest, "LS.TABLE LIST");
    assert!(list.contains("mine") && !list.contains("theirs"), "{list}");
    assert_eq!(house.whole(), before, "nothing was done");
    is(&house.say(guest, "LS.USE mine"), "+OK|");
    is(&house.say(guest, "GET k"), "$1|v|");
    is(&house.say(guest, "SET k evil"), "-NOPERM LS0150 ");
    is(&house.say(guest, "DEL k"), "-NOPERM LS0150 ");
    is(&house.say(guest, "SELECT 6"), "+OK|");
    is(&house.say(guest, "GET k"), "$-1|");
    is(&house.say(guest, "SET k v"), "-NOPERM LS0150 ");
    is(&house.say(guest, "SELECT 5"), "+OK|");
    is(&house.say(guest, "SET k v"), "+OK|");
    is(&house.say(guest, "MULTI"), "+OK|");
    is(&house.say(guest, "INCR n"), "+QUEUED|");
    is(&house.say(guest, "EXEC"), "*1|:1|");
    house.sessions.set_rules(Rules::parse("uid:7 redis.5 read").unwrap());
    is(&house.say(guest, "MULTI"), "-NOPERM LS0150 ");
    is(&house.say(guest, "WATCH k"), "-NOPERM LS0150 ");
    is(&house.say(guest, "GET k"), "$1|v|");
    is(&house.say(guest, "INCR n"), "-NOPERM LS0150 ");
}

#[test]
fn figures_of_the_whole_server_take_a_right_of_their_own() {
    let mut house = House::new("uid:7 mine read\nuid:8 mine admin");
    let mut get = |uid, path: &str| {
        let connection = house.enter(uid);
        String::from_utf8(house.send(connection, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes())).unwrap()
    };
    for path in ["/", "/metrics"] {
        assert!(get(GUEST, path).starts_with("HTTP/1.1 403 "), "{path}");
        assert!(get(8, path).starts_with("HTTP/1.1 200 "), "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert!(get(GUEST, path).starts_with("HTTP/1.1 200 "), "{path}");
    }
    for uid in [8, OWNER] {
        assert!(get(uid, "/metrics").contains("table=\"theirs\""), "figures of all tables");
    }
}

#[test]
fn a_place_is_not_inherited() {
    let mut house = House::new("uid:7 mine read");
    let owner = house.native(OWNER);
    house.sessions.close(owner);
    let guest = house.native(GUEST);
    assert_eq!(guest.place, owner.place, "it sits where the owner sat");
    assert_eq!(house.ask(guest, wire::Op::Lookup { table: 2, key: Bytes(b"k") }), Err(202));
    assert!(house.sessions.admit(Caller { uid: 9, gid: 9, groups: Vec::new() }).is_none());
    let refused = house.sessions.open_place(house.now);
    house.sessions.refuse(refused, codes::ACCESS_DENIED, house.domain.horizon());
    house.sessions.close(refused);
}
