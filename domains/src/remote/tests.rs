use super::*;
use crate::seam::{Committed, Level, Persistence, Versions};
use segments::TableId;
use txn::{CommitSet, PutOptions};
use wire::Fault;
use wire::limits::HEADER_BYTES;

pub(super) const LIMITS: ConnectionLimits = ConnectionLimits {
    request_frame_bytes: 1 << 20,
    reply_frame_bytes: REPLY_FRAME_BYTES_MAX,
    batch_ops: 8,
    ops_in_flight: 10,
    transactions: 1,
    transaction_idle_ms: 1000,
};

fn welcome() -> Vec<u8> {
    let mut writer = FrameWriter::new(HELLO_FRAME_BYTES_MAX);
    let welcome = wire::Welcome {
        version: wire::VERSION,
        features: 0,
        limits: LIMITS,
        server_version: "test",
        server_id: [7; 16],
        domain: "persistent",
        abortable: true,
        persistence: true,
        horizon: wire::Horizon { incarnation: 1, persistent: 1 << 40 },
        cut: Cut::NotAsked,
    };
    writer.welcome(1, &welcome).unwrap();
    writer.take()
}

fn greeted() -> Client {
    let mut client = Client::new("test", None);
    client.sent(client.output().len());
    // Cut everywhere.
    for byte in welcome() {
        assert!(client.greeting().is_none());
        client.receive(&[byte]).unwrap();
    }
    assert_eq!(client.greeting().unwrap().capabilities.name, "persistent");
    client
}

/// A client that a server without features has welcomed.
pub(super) fn greeted_by(mut client: Client) -> Client {
    client.sent(client.output().len());
    let _ = client.receive(&welcome());
    client
}

fn lookup(key: u8) -> Op {
    Op::Lookup { table: TableId(1), key: vec![key] }
}

/// The frames in the output, as (number, operations).
fn frames(client: &mut Client) -> Vec<(u64, usize)> {
    let mut reader = FrameReader::new(REQUEST_FRAME_BYTES_MAX);
    reader.push(client.output());
    client.sent(client.output().len());
    let mut frames = Vec::new();
    while let Some(frame) = reader.frame().unwrap() {
        let ops = match Kind::from_u8(frame.header.kind) {
            Some(Kind::Request) => frame.op().map(|_| 1).unwrap(),
            Some(Kind::Batch) => frame.batch().unwrap().len(),
            other => panic!("{other:?}"),
        };
        frames.push((frame.header.id, ops));
        reader.advance();
    }
    assert!(reader.is_empty());
    frames
}

pub(super) fn answers(client: &mut Client) -> Vec<(OpId, Result<Answer, Refusal>)> {
    let mut answers = Vec::new();
    client.take_answers(&mut answers);
    answers
}

const HORIZON: wire::Horizon = wire::Horizon { incarnation: 1, persistent: (1 << 40) + 5 };

#[test]
fn what_is_started_together_travels_together_within_the_credits() {
    let mut client = greeted();
    for op in 0..14 {
        client.submit(OpId(op), lookup(1)).unwrap();
    }
    client.pack();
    assert_eq!(frames(&mut client), [(2, 8), (3, 2)], "batches of eight, credits for ten");
    assert_eq!((client.unanswered(), client.unpacked()), (14, 4));
    client.pack();
    assert!(client.output().is_empty());
    let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
    let nothing = || Element::outcome(Outcome::Ok(wire::Answer::Pair(None)));
    writer.batch_reply(3, HORIZON, &[nothing(), nothing()]).unwrap();
    client.receive(writer.bytes()).unwrap();
    assert_eq!(answers(&mut client), [(OpId(8), Ok(Answer::Pair(None))), (OpId(9), Ok(Answer::Pair(None)))]);
    assert_eq!(client.horizon().persistent.0, HORIZON.persistent);
    client.pack();
    assert_eq!(frames(&mut client), [(4, 2)]);
}

#[test]
fn what_takes_long_travels_alone() {
    let mut client = greeted();
    client.submit(OpId(0), lookup(1)).unwrap();
    client.submit(OpId(1), Op::Force).unwrap();
    client.submit(OpId(2), lookup(1)).unwrap();
    client.submit(OpId(3), lookup(1)).unwrap();
    client.pack();
    assert_eq!(frames(&mut client), [(2, 1), (3, 1), (4, 2)]);
}

#[test]
fn a_lost_connection_answers_everything_and_says_what_may_have_happened() {
    let mut client = greeted();
    let mut set = CommitSet::new();
    set.upsert(TableId(1), b"k", b"v", PutOptions::default()).unwrap();
    let commit = || Op::Commit { set: set.clone(), level: Level::Persistent };
    client.submit(OpId(0), commit()).unwrap();
    client.submit(OpId(1), lookup(1)).unwrap();
    client.pack();
    client.submit(OpId(2), commit()).unwrap();
    client.end("gone");
    let lost = |maybe_applied| Err(Refusal::Lost { why: "gone".into(), maybe_applied });
    assert_eq!(answers(&mut client), [(OpId(0), lost(true)), (OpId(1), lost(false)), (OpId(2), lost(false))]);
    assert_eq!(client.submit(OpId(3), commit()), lost(false).map(|_: Answer| ()));
    assert!(client.receive(b"x").is_err());
    assert!(answers(&mut client).is_empty());
}

#[test]
fn errors_are_rebuilt_and_large_values_come_through_the_tail() {
    let mut client = greeted();
    let name = "t".to_owned();
    client.submit(OpId(0), Op::OpenTable { name: name.clone(), spec: None }).unwrap();
    client.submit(OpId(1), Op::RenameTable { from: "s".into(), to: name.clone() }).unwrap();
    client.submit(OpId(2), Op::Reserve { table: TableId(9), count: 1 }).unwrap();
    client.submit(OpId(3), Op::Status).unwrap();
    client.submit(OpId(4), lookup(1)).unwrap();
    client.submit(OpId(5), Op::Commit { set: CommitSet::new(), level: Level::Persistent }).unwrap();
    client.pack();
    assert_eq!(frames(&mut client).len(), 6);
    let fault = |code, failures: Vec<wire::Failure>| {
        Outcome::Err(Fault {
            code,
            kind: 1,
            applied: false,
            message: "as told",
            failures: List::new(failures).unwrap(),
        })
    };
    use wire::List;
    let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
    writer.reply(2, HORIZON, fault(201, vec![])).unwrap();
    writer.reply(3, HORIZON, fault(203, vec![])).unwrap();
    writer.reply(4, HORIZON, fault(202, vec![])).unwrap();
    writer.reply(5, HORIZON, fault(999, vec![])).unwrap();
    let value = vec![5; 100_000];
    let pair = wire::Pair {
        key: wire::Bytes(&[1]),
        value: wire::Value::new(&value),
        version: wire::Version { epoch: 3, ordinal: 4 },
        expires_ms: Some(9),
        compressed: true,
    };
    writer.reply(6, HORIZON, Outcome::Ok(wire::Answer::Pair(Some(pair)))).unwrap();
    writer.reply(7, HORIZON, fault(303, vec![wire::Failure { part: 2, found: None }])).unwrap();
    writer.push(wire::Push::Persistent(HORIZON)).unwrap();
    client.receive(writer.bytes()).unwrap();
    let mut got = answers(&mut client).into_iter().map(|(_, answer)| answer);
    assert_eq!(got.next(), Some(Err(Refusal::Domain(Error::NoSuchTable { name: name.clone() }))));
    assert_eq!(got.next(), Some(Err(Refusal::Domain(Error::TableExists { name }))));
    assert_eq!(got.next(), Some(Err(Refusal::Domain(Error::TableGone { table: TableId(9) }))));
    let told = Refusal::Fault { code: 999, kind: ErrorKind::Conflict, applied: false, message: "as told".into() };
    assert_eq!(got.next(), Some(Err(told)));
    let Some(Ok(Answer::Pair(Some(pair)))) = got.next() else { panic!("no pair") };
    assert_eq!((pair.value, pair.version.ordinal.0, pair.expires_ms, pair.compressed), (value, 4, Some(9), true));
    let Some(Err(Refusal::Domain(Error::CompareFailed { failures }))) = got.next() else { panic!("no failure") };
    assert_eq!(failures.len(), 1);
    assert_eq!((client.unanswered(), got.next()), (0, None));
}

/// The next frame of the output, an operation of its own, as text; and its number.
fn next_step(client: &mut Client) -> (u64, String) {
    let mut reader = FrameReader::new(REQUEST_FRAME_BYTES_MAX);
    reader.push(client.output());
    client.sent(client.output().len());
    let frame = reader.frame().unwrap().expect("a step was sent");
    assert!(frame.body.len() + frame.tail.len() <= LIMITS.request_frame_bytes as usize);
    let op = frame.op().unwrap();
    let text = if let wire::Op::TxnAdd { txn, parts } = &op {
        format!("add {txn} {}", parts.len())
    } else if let wire::Op::TxnCommit { txn, options } = &op {
        format!("commit {txn} {:?} {}", options.level, options.notify)
    } else {
        format!("{op:?}")
    };
    let id = frame.header.id;
    reader.advance();
    assert!(reader.is_empty(), "one step at a time");
    (id, text)
}

fn answer(client: &mut Client, id: u64, outcome: Outcome<'_>) {
    let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
    writer.reply(id, HORIZON, outcome).unwrap();
    client.receive(writer.bytes()).unwrap();
}

/// A client that was given a commit of five parts, 300 KiB each, for frames of 1 MiB, and a read behind it; and asked for a transaction.
fn staging() -> Client {
    let mut client = greeted();
    let mut set = CommitSet::new();
    for key in 0..5 {
        set.upsert(TableId(1), &[key], &vec![key; 300 << 10], PutOptions::default()).unwrap();
    }
    client.submit(OpId(0), Op::Commit { set, level: Level::Persistent }).unwrap();
    client.submit(OpId(1), lookup(1)).unwrap();
    client.pack();
    assert_eq!(next_step(&mut client), (2, "TxnOpen".to_owned()));
    assert_eq!(client.unanswered(), 2);
    client
}

fn full<'a>() -> Outcome<'a> {
    let failures = wire::List::default();
    Outcome::Err(Fault { code: 520, kind: 4, applied: false, message: "no memory", failures })
}

#[test]
fn a_commit_above_the_frame_limit_travels_in_pieces_and_is_one_answer() {
    let mut client = staging();
    answer(&mut client, 2, Outcome::Ok(wire::Answer::Opened { txn: 9 }));
    for (id, parts) in [(3, 3), (4, 2)] {
        assert_eq!(next_step(&mut client), (id, format!("add 9 {parts}")));
        client.pack();
        assert!(client.output().is_empty(), "what stands behind the commit waits");
        answer(&mut client, id, Outcome::Ok(wire::Answer::Done));
    }
    assert_eq!(next_step(&mut client), (5, "commit 9 Persistent false".to_owned()));
    client.pack();
    assert_eq!(next_step(&mut client).0, 6, "the read is sent behind the commit, not behind its answer");
    let versions = wire::List::default();
    let persistence = wire::Persistence::Persistent;
    answer(&mut client, 5, Outcome::Ok(wire::Answer::Committed { epoch: 1, versions, persistence }));
    assert!(matches!(answers(&mut client)[..], [(OpId(0), Ok(Answer::Committed(_)))]));
    assert_eq!(client.unanswered(), 1);
}

#[test]
fn a_refused_piece_aborts_the_commit_and_what_waited_goes_on() {
    let mut client = staging();
    answer(&mut client, 2, full());
    assert!(matches!(answers(&mut client)[..], [(OpId(0), Err(Refusal::Fault { code: 520, applied: false, .. }))]));
    client.pack();
    assert_eq!(next_step(&mut client).0, 3, "the read");
    for end in [Outcome::Ok(wire::Answer::Done), full()] {
        let mut client = staging();
        answer(&mut client, 2, Outcome::Ok(wire::Answer::Opened { txn: 9 }));
        next_step(&mut client);
        answer(&mut client, 3, full());
        assert!(matches!(answers(&mut client)[..], [(OpId(0), Err(Refusal::Fault { code: 520, .. }))]));
        assert_eq!(next_step(&mut client), (4, "TxnAbort { txn: 9 }".to_owned()));
        answer(&mut client, 4, end);
        client.pack();
        assert_eq!(next_step(&mut client).0, 5, "the read");
        assert_eq!(answers(&mut client), []);
    }
}

#[test]
fn a_commit_in_pieces_that_was_not_sent_has_not_happened() {
    let fates = |steps: usize| {
        let mut client = staging();
        let opened = Outcome::Ok(wire::Answer::Opened { txn: 9 });
        let outcomes = [opened, Outcome::Ok(wire::Answer::Done), Outcome::Ok(wire::Answer::Done)];
        for (id, outcome) in (2..).zip(outcomes).take(steps) {
            answer(&mut client, id, outcome);
            next_step(&mut client);
        }
        client.end("gone");
        answers(&mut client)
    };
    let lost = |maybe_applied| Err(Refusal::Lost { why: "gone".into(), maybe_applied });
    for steps in 0..3 {
        assert_eq!(fates(steps), [(OpId(0), lost(false)), (OpId(1), lost(false))], "after {steps} answers");
    }
    assert_eq!(fates(3), [(OpId(0), lost(true)), (OpId(1), lost(false))], "the commit was sent");
}

#[test]
fn what_fits_no_frame_is_refused_here_with_its_size() {
    let mut client = greeted();
    let mut set = CommitSet::new();
    set.upsert(TableId(1), b"k", &vec![0; 2 << 20], PutOptions::default()).unwrap();
    client.submit(OpId(0), Op::Commit { set, level: Level::Committed }).unwrap();
    let field =
        |number: usize| crate::schema::Field { name: format!("f{number}"), field_type: crate::schema::FieldType::Bool };
    let mut spec = crate::schema::TableSpec {
        key: vec![field(0)],
        record: (0..=wire::limits::FIELDS_MAX).map(field).collect(),
        ..crate::schema::TableSpec::plain(crate::schema::TableKind::Hash, crate::schema::TableHome::Persistent)
    };
    client.submit(OpId(1), Op::CreateTable { name: "t".into(), spec: spec.clone() }).unwrap();
    spec.record.pop();
    client.submit(OpId(2), Op::CreateTable { name: "t".into(), spec }).unwrap();
    client.pack();
    let refused = |id, what, value, limit| (id, Err(Refusal::Domain(Error::Limit { what, value, limit })));
    let (part, fields) = ("the largest part of the commit", "the number of fields of a key or record");
    let expected = [
        refused(OpId(0), part, (2 << 20) + 65, 1 << 20),
        refused(OpId(1), fields, 1025, wire::limits::FIELDS_MAX as u64),
    ];
    assert_eq!(answers(&mut client), expected);
    assert_eq!(frames(&mut client), [(2, 1)]);
}

#[test]
fn a_server_that_breaks_the_rules_loses_the_connection_not_the_client() {
    let reply = |id, answer| {
        let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
        writer.reply(id, HORIZON, Outcome::Ok(answer)).unwrap();
        writer.take()
    };
    let mut bad: Vec<Vec<u8>> = vec![
        vec![0x2a; HEADER_BYTES],
        reply(77, wire::Answer::Done),
        reply(2, wire::Answer::Opened { txn: 1 }),
        welcome(),
    ];
    let mut torn = reply(2, wire::Answer::Done);
    *torn.last_mut().unwrap() = 0xff;
    bad.push(torn);
    for bytes in bad {
        let mut client = greeted();
        client.submit(OpId(0), lookup(1)).unwrap();
        client.pack();
        assert!(client.receive(&bytes).is_err());
        assert!(matches!(answers(&mut client)[..], [(OpId(0), Err(Refusal::Lost { maybe_applied: false, .. }))]));
    }
    // Refused at the door: the text is the server's.
    let mut client = Client::new("test", None);
    let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
    let failures = wire::List::new(vec![]).unwrap();
    let fault = Fault { code: 506, kind: 3, applied: false, message: "no common version", failures };
    writer.reply(1, HORIZON, Outcome::Err(fault)).unwrap();
    assert!(client.receive(writer.bytes()).unwrap_err().why.contains("no common version"));
}

#[test]
fn a_commit_comes_back_whole() {
    let mut client = greeted();
    client.submit(OpId(0), Op::Commit { set: CommitSet::new(), level: Level::Committed }).unwrap();
    client.pack();
    let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
    let versions = wire::List::new(vec![wire::Version { epoch: 1, ordinal: 2 }]).unwrap();
    let answer = wire::Answer::Committed { epoch: 1, versions, persistence: wire::Persistence::Pending };
    writer.reply(2, HORIZON, Outcome::Ok(answer)).unwrap();
    client.receive(writer.bytes()).unwrap();
    let mut versions = Versions::default();
    versions.push(segments::Version { epoch: EpochId(1), ordinal: segments::Ordinal(2) });
    let committed = Committed { epoch: EpochId(1), versions, persistence: Persistence::Pending };
    assert_eq!(answers(&mut client), [(OpId(0), Ok(Answer::Committed(committed)))]);
}
