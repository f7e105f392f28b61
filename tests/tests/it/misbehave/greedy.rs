//! Clients that send what they need not, or ask for more than their part: descriptors along with bytes, a thousand frames in one go,
//! a walk through a huge table that is read slowly, and floods beside which others want to be served.

use super::clients::{beside, probes_table};
use super::until;
use crate::bad_input::frames::{Raw, Seen, hello, request};
use lostore::schema::{TableHome, TableKind};
use lostore::{PutOptions, plain_spec};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use wire::{Bytes, FrameReader, FrameWriter, Op, Outcome};

/// Descriptors that Linux lets through with one message.
const PASSED_MAX: usize = 253;

/// Sends a byte with as many descriptors as can be; `false` when the kernel refuses to pass any here.
fn send_with_descriptors(stream: &UnixStream, byte: u8, file: &std::fs::File) -> bool {
    let descriptors = [file.as_fd(); PASSED_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)), "there is room for them");
    match sendmsg(stream, &[IoSlice::new(&[byte])], &mut control, SendFlags::empty()) {
        Ok(sent) => {
            assert_eq!(sent, 1);
            true
        }
        Err(rustix::io::Errno::PERM) => {
            let mut stream = stream;
            stream.write_all(&[byte]).unwrap();
            false
        }
        Err(error) => panic!("a byte with descriptors is not sent: {error}"),
    }
}

#[test]
fn descriptors_sent_along_with_every_byte_are_not_kept() {
    beside(|daemon, watch, probe| {
        let file = std::fs::File::open("/dev/null").unwrap();
        let before = watch.descriptors();
        let mut raw = Raw::new(daemon);
        let frames = [hello(), request(2, Op::Ping), request(3, Op::Status)].concat();
        let passed = frames.iter().filter(|byte| send_with_descriptors(&raw.stream, **byte, &file)).count();
        assert_eq!(raw.next(), Seen::Welcome);
        assert_eq!((raw.next(), raw.next()), (Seen::Done, Seen::Done), "the bytes are what counts");
        probe.goes_on(5);
        let most = before + 1;
        until("it has none of them", || watch.descriptors() <= most);
        println!(
            "{passed} of {} bytes had {PASSED_MAX} descriptors with them; the kernel refused the others",
            frames.len()
        );
    });
}

#[test]
fn a_thousand_frames_in_one_go_are_answered_in_their_order() {
    beside(|daemon, watch, _probe| {
        let table = probes_table(watch);
        let mut raw = Raw::greeted(daemon);
        let mut writer = FrameWriter::new(u32::MAX);
        for id in 1..=1000 {
            let op = if id % 3 == 0 { Op::Lookup { table: 1 << 20, key: Bytes(b"k") } } else { Op::Ping };
            writer.request(id, 0, if id % 5 == 0 { Op::Lookup { table, key: Bytes(b"never") } } else { op }).unwrap();
        }
        raw.send(writer.bytes());
        for id in 1..=1000 {
            match raw.next() {
                Seen::Refused(202, _) => assert!(id % 3 == 0 && id % 5 > 0, "{id}"),
                seen => assert!(seen == Seen::Done && (id % 3 > 0 || id % 5 == 0), "{id}: {seen:?}"),
            }
        }
    });
}

#[test]
fn a_huge_walk_that_is_read_slowly_holds_no_more_than_its_part() {
    const PAIRS: u32 = 2000;
    beside(|daemon, watch, probe| {
        let huge = watch.store.create_raw("huge", plain_spec(TableKind::Ordered, TableHome::Volatile)).unwrap();
        for number in 0..PAIRS {
            huge.upsert(&number.to_le_bytes(), &[7; 16 << 10], PutOptions::default()).unwrap();
        }
        let mut raw = Raw::greeted(daemon);
        let (from, direction) = (wire::Cursor::Start, wire::Direction::Next);
        let walk =
            Op::Next { table: huge.id().0, from, until: None, direction, pairs_max: u32::MAX, bytes_max: u32::MAX };
        // All of it, a hundred times over; and a page is read now and then.
        (2..102).for_each(|id| raw.send(&request(id, walk.clone())));
        let mut bytes = [0; 4096];
        let mut most = 0;
        for _ in 0..50 {
            raw.stream.read_exact(&mut bytes).unwrap();
            probe.goes_on(2);
            most = most.max(watch.connections().bytes);
        }
        assert!(most < 64 << 20, "{most} bytes are held for one walk");
        // What it walks through is nobody's: it is changed and destroyed meanwhile.
        watch.store.destroy_table("huge").unwrap();
        drop(raw);
    });
}

/// The commits that the store had seen, as a reply to `Status` tells.
fn commits_in(outcome: &Outcome<'_>) -> u64 {
    let Outcome::Ok(wire::Answer::Status(status)) = outcome else { panic!("no status: {outcome:?}") };
    let counter = status.counters.iter().find(|counter| counter.id == wire::answer::counter::COMMITS);
    counter.expect("commits are counted").value
}

#[test]
fn a_flood_lets_others_through_turn_by_turn() {
    /// Requests of the other one, all sent ahead, so that what passes between two of them does not depend on its own speed.
    const ASKED: u64 = 4000;
    /// A turn of small commits, twice: the one under way when the other's turn ended, and the next.
    const BETWEEN: u64 = 2 * (uds_server::limits::TURN_WORK / uds_server::limits::OP_WORK) as u64;
    beside(|daemon, watch, _probe| {
        let table = probes_table(watch);
        let mut greedy = Raw::greeted(daemon);
        let (mut flood, flood_end) = (greedy.stream.try_clone().unwrap(), greedy.stream.try_clone().unwrap());
        let stop = AtomicBool::new(false);
        let mut other = Raw::greeted(daemon);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let commit = crate::bad_input::frames::put(table, b"flood", b"x");
                let many = commit.repeat(1000);
                let mut ids = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let mut bytes = many.clone();
                    for frame in bytes.chunks_mut(commit.len()) {
                        ids += 1;
                        frame[16..24].copy_from_slice(&ids.to_le_bytes());
                    }
                    if flood.write_all(&bytes).is_err() {
                        return;
                    }
                }
            });
            scope.spawn(|| {
                let mut bytes = vec![0; 1 << 20];
                while greedy.stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
            });
            let before = watch.store.status().unwrap().commits;
            until("the flood has begun", || watch.store.status().unwrap().commits > before + 5000);
            let mut writer = FrameWriter::new(u32::MAX);
            (1..=ASKED).for_each(|id| writer.request(id, 0, Op::Status).unwrap());
            let bytes = writer.take();
            let mut sends = other.stream.try_clone().unwrap();
            scope.spawn(move || sends.write_all(&bytes).unwrap());
            let mut passed = Vec::new();
            let mut reader = FrameReader::new(u32::MAX);
            let mut last = None;
            let mut bytes = vec![0; 64 << 10];
            for _ in 0..ASKED {
                while reader.frame().unwrap().is_none() {
                    let count = other.stream.read(&mut bytes).unwrap();
                    assert!(count > 0, "the daemon goes on");
                    reader.push(&bytes[..count]);
                }
                let commits = commits_in(&reader.frame().unwrap().unwrap().reply().unwrap().outcome);
                reader.advance();
                passed.extend(last.replace(commits).map(|last| commits - last));
            }
            stop.store(true, Ordering::Relaxed);
            let more: Vec<u64> = passed.iter().copied().filter(|count| *count > BETWEEN).collect();
            let turns = passed.iter().filter(|count| **count > 0).count();
            println!(
                "{ASKED} requests beside a flood: {turns} turns of the flood between them, {} longer ones: {more:?}",
                more.len()
            );
            // Where its own bytes had to be received first the flood may have had several turns: a page at a time at least.
            let receives = 24 * usize::try_from(ASKED).unwrap() / 4096 + 8;
            assert!(more.len() <= receives, "{more:?}");
            flood_end.shutdown(std::net::Shutdown::Both).unwrap();
        });
    });
}
