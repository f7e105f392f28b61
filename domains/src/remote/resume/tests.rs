//! A client that resumes against a scripted server: what it sends when, and under which numbers.

use super::super::tests::{LIMITS, answers};
use super::*;
use crate::seam::{ClientId, Committed, REQUEST_WINDOW, Versions};
use segments::{Incarnation, Ordinal, TableId, Version};
use txn::{CommitSet, Expect, PutOptions};
use wire::limits::{REPLY_FRAME_BYTES_MAX, REQUEST_FRAME_BYTES_MAX};

const ME: ClientId = ClientId([9; 16]);

/// What the client has sent: the frame's number, and each operation in a word or two.
fn sent(client: &mut Client) -> Vec<(u64, Vec<String>)> {
    let mut reader = FrameReader::new(REQUEST_FRAME_BYTES_MAX);
    reader.push(client.output());
    client.sent(client.output().len());
    let mut frames = Vec::new();
    while let Some(frame) = reader.frame().unwrap() {
        let words = match wire::Kind::from_u8(frame.header.kind) {
            Some(wire::Kind::Request) => vec![word(&frame.op().unwrap())],
            Some(wire::Kind::Batch) => {
                let batch = frame.batch().unwrap();
                batch.iter().map(|(body, tail)| word(&wire::Op::decode(body, tail).unwrap())).collect()
            }
            other => vec![format!("{other:?}")],
        };
        frames.push((frame.header.id, words));
        reader.advance();
    }
    frames
}

fn word(op: &wire::Op<'_>) -> String {
    if let wire::Op::CommitOnce { request, parts, .. } = op {
        return if let wire::Expect::At(version) = parts[0].expect {
            format!("commit {request} at {}", version.ordinal)
        } else {
            format!("commit {request}")
        };
    }
    if let wire::Op::Identify { attempt, .. } = op {
        return format!("identify {attempt}");
    }
    if let wire::Op::Fates { requests } = op {
        return format!("fates {:?}", &requests[..]);
    }
    if let wire::Op::Await { epoch } = op {
        return format!("await {}", EpochId(*epoch));
    }
    format!("{op:?}")
}

fn epoch(incarnation: u32, counter: u64) -> EpochId {
    EpochId::new(Incarnation(incarnation), counter)
}

fn horizon(incarnation: u32, counter: u64) -> wire::Horizon {
    wire::Horizon { incarnation, persistent: epoch(incarnation, counter).0 }
}

fn welcome(client: &mut Client, incarnation: u32, cut: Cut) {
    let mut writer = FrameWriter::new(HELLO_FRAME_BYTES_MAX);
    let welcome = wire::Welcome {
        version: wire::VERSION,
        features: wire::FEATURE_ONCE,
        limits: wire::ConnectionLimits { ops_in_flight: 1024, ..LIMITS },
        server_version: "test",
        server_id: [7; 16],
        domain: "persistent",
        abortable: true,
        persistence: true,
        horizon: horizon(incarnation, 0),
        cut,
    };
    writer.welcome(1, &welcome).unwrap();
    client.receive(writer.bytes()).unwrap();
}

fn reply(client: &mut Client, frame: u64, horizon: wire::Horizon, answer: wire::Answer<'_>) {
    let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
    writer.reply(frame, horizon, Outcome::Ok(answer)).unwrap();
    client.receive(writer.bytes()).unwrap();
}

fn refuse(client: &mut Client, frame: u64, code: u16) -> Result<(), Lost> {
    let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
    let fault = wire::Fault { code, kind: 1, applied: false, message: "no", failures: List::default() };
    writer.reply(frame, horizon(1, 0), Outcome::Err(fault)).unwrap();
    client.receive(writer.bytes())
}

fn identified(attempt: u64, last: u64) -> wire::Answer<'static> {
    wire::Answer::Identified { accepted: true, attempt, last, window: REQUEST_WINDOW, idle_ms: 1000 }
}

fn committed(epoch: EpochId, ordinal: u64, persistence: wire::Persistence) -> wire::Answer<'static> {
    let versions = List::new(vec![wire::Version { epoch: epoch.0, ordinal }]).unwrap();
    wire::Answer::Committed { epoch: epoch.0, versions, persistence }
}

fn version(epoch: EpochId, ordinal: u64) -> Version {
    Version { epoch, ordinal: Ordinal(ordinal) }
}

fn told(epoch: EpochId, ordinal: u64, persistence: Persistence) -> Result<Answer, Refusal> {
    let mut versions = Versions::default();
    versions.push(version(epoch, ordinal));
    Ok(Answer::Committed(Committed { epoch, versions, persistence }))
}

fn commit(expect: Expect) -> Op {
    let mut set = CommitSet::new();
    set.compare(TableId(1), b"k", expect).unwrap();
    set.upsert(TableId(1), b"k", b"v", PutOptions::default()).unwrap();
    Op::Commit { set, level: Level::Committed }
}

/// One that is open: it has identified itself and knows of nothing.
fn open(replay: bool) -> Client {
    let mut client = Client::resuming("test", None, Resume { client: ME, attempt: 5, replay });
    assert_eq!(sent(&mut client)[0].1, ["Some(Hello)"]);
    welcome(&mut client, 1, Cut::NotAsked);
    assert_eq!(sent(&mut client), [(2, vec!["identify 5".to_owned()])]);
    assert!(!client.is_open());
    reply(&mut client, 2, horizon(1, 0), identified(5, 40));
    assert!(client.is_open());
    client
}

/// Connects anew, to this incarnation.
fn again(client: &mut Client, incarnation: u32, cut: Cut) -> u64 {
    assert!(client.is_down());
    client.reconnect();
    assert_eq!(sent(client).len(), 1, "a hello and nothing else");
    welcome(client, incarnation, cut);
    let frames = sent(client);
    let [(frame, words)] = &frames[..] else { panic!("{frames:?}") };
    assert!(words[0].starts_with("identify"), "{words:?}");
    *frame
}

fn submit(client: &mut Client, id: u64, op: Op) -> Vec<(u64, Vec<String>)> {
    client.submit(OpId(id), op).unwrap();
    client.pack();
    sent(client)
}

#[test]
fn commits_are_numbered_behind_the_last_and_within_the_window() {
    let mut client = open(false);
    for id in 0..300 {
        client.submit(OpId(id), commit(Expect::Any)).unwrap();
    }
    client.pack();
    let frames = sent(&mut client);
    let words: Vec<String> = frames.iter().flat_map(|(_, words)| words.clone()).collect();
    assert_eq!((words.len(), &words[0][..], &words[255][..]), (256, "commit 41", "commit 296"));
    client.pack();
    assert!(client.output().is_empty(), "the oldest has no answer");
    // The answers to the first frame make room for as many.
    let (frame, first) = &frames[0];
    let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
    let done = || wire::Element::outcome(Outcome::Ok(committed(epoch(1, 1), 7, wire::Persistence::Volatile)));
    writer.batch_reply(*frame, horizon(1, 0), &first.iter().map(|_| done()).collect::<Vec<_>>()).unwrap();
    client.receive(writer.bytes()).unwrap();
    client.pack();
    let more: usize = sent(&mut client).iter().map(|(_, words)| words.len()).sum();
    assert_eq!((answers(&mut client).len(), more), (first.len(), first.len()));
}

#[test]
fn what_had_no_answer_is_asked_for_and_sent_again_under_its_number() {
    let mut client = open(false);
    let lookup = Op::Lookup { table: TableId(1), key: vec![1] };
    for (id, op) in [(0, commit(Expect::Any)), (1, commit(Expect::Any)), (2, lookup), (3, Op::Force)] {
        client.submit(OpId(id), op).unwrap();
    }
    client.submit(OpId(4), Op::DestroyTable { name: "t".to_owned() }).unwrap();
    client.pack();
    assert_eq!(sent(&mut client).iter().map(|(_, words)| words.len()).sum::<usize>(), 5);
    client.end("cut");
    // What has no number and changes something may have been done.
    let lost = Err(Refusal::Lost { why: "cut".to_owned(), maybe_applied: true });
    assert_eq!(answers(&mut client), [(OpId(4), lost)]);
    assert!(submit(&mut client, 5, commit(Expect::Any)).is_empty(), "it waits");
    let frame = again(&mut client, 1, Cut::Running);
    reply(&mut client, frame, horizon(1, 0), identified(6, 41));
    client.pack();
    let frames = sent(&mut client);
    assert_eq!(frames[0].1, ["fates [41, 42]"]);
    assert_eq!(frames.len(), 1, "nothing else before the answer");
    let (at, persistence) = (epoch(1, 3), wire::Persistence::Persistent);
    let applied = wire::RequestFate::Applied { epoch: at.0, ordinal_first: 9, versions: 1, persistence };
    let fates = List::new(vec![applied, wire::RequestFate::NotApplied]).unwrap();
    reply(&mut client, frames[0].0, horizon(1, 0), wire::Answer::Fates(fates));
    assert_eq!(answers(&mut client), [(OpId(0), told(at, 9, Persistence::Persistent))]);
    assert_eq!(client.unpacked(), 4, "whoever carries its bytes sees that there is more to send");
    client.pack();
    let words: Vec<String> = sent(&mut client).into_iter().flat_map(|(_, words)| words).collect();
    assert_eq!(words[0], "commit 42", "before anything new");
    assert!(words[1].starts_with("Lookup") && words[2] == "Force", "{words:?}");
    assert_eq!(words[3], "commit 43");
}

#[test]
fn what_was_answered_and_lost_is_made_again_and_its_versions_are_followed() {
    let mut client = open(true);
    let (first, second) = (epoch(1, 3), epoch(1, 4));
    for (id, expect, at) in [(0, Expect::Any, first), (1, Expect::At(version(first, 1)), second)] {
        let frames = submit(&mut client, id, commit(expect));
        reply(&mut client, frames[0].0, horizon(1, 2), committed(at, 1 + id, wire::Persistence::Pending));
    }
    assert_eq!(answers(&mut client).len(), 2);
    assert!(client.is_owed(), "both are kept");
    client.end("cut");
    client.submit(OpId(2), Op::AwaitCommit { version: version(second, 2) }).unwrap();
    client.submit(OpId(3), commit(Expect::At(version(second, 2)))).unwrap();
    // The first has survived.
    let frame = again(&mut client, 2, Cut::At(first.0));
    reply(&mut client, frame, horizon(2, 0), identified(6, 41));
    client.pack();
    let frames = sent(&mut client);
    let words: Vec<&str> = frames.iter().map(|(_, words)| &words[0][..]).collect();
    assert_eq!(words[0], "commit 42 at 1", "the second, as it was");
    let now = epoch(2, 1);
    reply(&mut client, frames[0].0, horizon(2, 0), committed(now, 50, wire::Persistence::Pending));
    assert!(answers(&mut client).iter().all(|(id, _)| *id != OpId(1)), "its caller has its answer");
    client.pack();
    let words: Vec<String> = sent(&mut client).into_iter().flat_map(|(_, words)| words).collect();
    assert!(words.contains(&format!("await {now}")), "{words:?}");
    // One that names the version of then is about the version of now.
    let late = submit(&mut client, 4, commit(Expect::At(version(second, 2))));
    assert_eq!(late[0].1, ["commit 44 at 50"]);
}

#[test]
fn what_cannot_be_made_again_is_lost() {
    let mut client = open(true);
    let at = epoch(1, 3);
    let frames = submit(&mut client, 0, commit(Expect::Any));
    reply(&mut client, frames[0].0, horizon(1, 2), committed(at, 1, wire::Persistence::Pending));
    client.end("cut");
    client.submit(OpId(1), Op::AwaitCommit { version: version(at, 1) }).unwrap();
    let frame = again(&mut client, 2, Cut::At(epoch(1, 2).0));
    reply(&mut client, frame, horizon(2, 0), identified(6, 40));
    client.pack();
    let frames = sent(&mut client);
    assert_eq!(frames[0].1, ["commit 41"]);
    refuse(&mut client, frames[0].0, 303).unwrap();
    client.pack();
    let frames = sent(&mut client);
    assert_eq!(frames[0].1, [format!("await {at}")], "its server says that it is lost");
    refuse(&mut client, frames[0].0, 305).unwrap();
    let lost = Err(Refusal::Domain(crate::Error::EpochLost { epoch: at }));
    assert_eq!(answers(&mut client)[1..], [(OpId(1), lost)]);
    assert!(!client.is_owed());
}

#[test]
fn what_is_persistent_is_not_kept() {
    let mut client = open(true);
    let frames = submit(&mut client, 0, commit(Expect::Any));
    reply(&mut client, frames[0].0, horizon(1, 2), committed(epoch(1, 3), 1, wire::Persistence::Pending));
    let mut writer = FrameWriter::new(REPLY_FRAME_BYTES_MAX);
    writer.push(wire::Push::Persistent(horizon(1, 3))).unwrap();
    client.receive(writer.bytes()).unwrap();
    assert!(!client.is_owed());
}

#[test]
fn a_server_that_stops_is_left_and_one_that_is_another_is_not_gone_on_with() {
    let mut client = open(false);
    let frames = submit(&mut client, 0, commit(Expect::Any));
    refuse(&mut client, frames[0].0, codes::STOPPING).unwrap_err();
    assert!(client.is_down() && answers(&mut client).is_empty());
    client.reconnect();
    let mut writer = FrameWriter::new(HELLO_FRAME_BYTES_MAX);
    let welcome = wire::Welcome {
        version: wire::VERSION,
        features: wire::FEATURE_ONCE,
        limits: LIMITS,
        server_version: "test",
        server_id: [8; 16],
        domain: "persistent",
        abortable: true,
        persistence: true,
        horizon: horizon(1, 0),
        cut: Cut::Unknown,
    };
    writer.welcome(1, &welcome).unwrap();
    client.receive(writer.bytes()).unwrap_err();
    let answers = answers(&mut client);
    assert!(matches!(&answers[..], [(OpId(0), Err(Refusal::Lost { maybe_applied: true, .. }))]), "{answers:?}");
    assert!(!client.is_down() && client.lost().is_some());
}

#[test]
fn a_greater_attempt_is_taken_and_an_old_server_refused() {
    let mut client = Client::resuming("test", None, Resume { client: ME, attempt: 5, replay: false });
    sent(&mut client);
    welcome(&mut client, 1, Cut::NotAsked);
    sent(&mut client);
    let taken = wire::Answer::Identified { accepted: false, attempt: 90, last: 0, window: 256, idle_ms: 1 };
    reply(&mut client, 2, horizon(1, 0), taken);
    assert_eq!(sent(&mut client)[0].1, ["identify 91"]);
    let mut client = super::super::tests::greeted_by(Client::resuming(
        "test",
        None,
        Resume { client: ME, attempt: 5, replay: false },
    ));
    assert!(client.lost().unwrap().why.contains("update the server"), "{:?}", client.lost());
    assert!(answers(&mut client).is_empty());
}
