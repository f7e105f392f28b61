//! The bytes of version 1 stand still: every vector is written and read back equal, and every variant keeps its number.
//!
//! `LOSTORE_BLESS=1 cargo test -p wire` writes missing vectors; it never overwrites one.

use super::samples;
use crate::*;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/wire/v1")
}

/// 32 bytes a line, so that a difference shows where it is.
fn hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test reads its vectors, and writes new ones when it is asked to")]
fn vector(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    if !bytes.is_empty() && !path.exists() && std::env::var("LOSTORE_BLESS").is_ok() {
        std::fs::write(&path, hex(bytes)).unwrap();
    }
    unhex(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

#[test]
fn what_is_written_equals_the_vectors() {
    for (name, bytes) in samples::frames() {
        assert_eq!(
            hex(&bytes),
            hex(&vector(&name, &bytes)),
            "{name} has changed: old clients and servers will not read it"
        );
    }
}

#[test]
fn there_is_no_vector_without_a_sample() {
    let names: Vec<String> = samples::frames().into_iter().map(|(name, _)| format!("{name}.hex")).collect();
    for file in std::fs::read_dir(folder()).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&file), "{file} is not compared with anything");
    }
}

fn read(name: &str) -> FrameReader {
    let mut reader = FrameReader::new(limits::REPLY_FRAME_BYTES_MAX);
    reader.push(&vector(name, &[]));
    assert!(reader.frame().unwrap().is_some(), "{name} is a frame");
    reader
}

#[test]
fn the_vectors_read_as_the_samples() {
    assert_eq!(read("hello").frame().unwrap().unwrap().hello(), Ok(samples::hello()));
    assert_eq!(read("welcome").frame().unwrap().unwrap().welcome(), Ok(samples::welcome()));
    for (name, op) in samples::ops() {
        let reader = read(&format!("request-{name}"));
        assert_eq!(reader.frame().unwrap().unwrap().op(), Ok(op));
        assert_eq!(reader.header().unwrap().unwrap().deadline_ms, 250);
    }
    for (name, outcome) in samples::outcomes() {
        let reader = read(&format!("reply-{name}"));
        assert_eq!(reader.frame().unwrap().unwrap().reply(), Ok(Reply { horizon: samples::HORIZON, outcome }));
    }
    let range = Op::Commit { parts: samples::range_parts(), options: samples::options(Level::Committed) };
    assert_eq!(read("request-commit-range").frame().unwrap().unwrap().op(), Ok(range));
    let of_client = Op::CreateTable { name: "object", spec: samples::client_hash_spec() };
    assert_eq!(read("request-create-table-client-hash").frame().unwrap().unwrap().op(), Ok(of_client));
    let writes = Op::Commit { parts: samples::written_parts(), options: samples::options(Level::Committed) };
    assert_eq!(read("request-commit-write").frame().unwrap().unwrap().op(), Ok(writes));
    let push = read("push-persistent");
    assert_eq!(push.frame().unwrap().unwrap().push(), Ok(Push::Persistent(samples::HORIZON)));
    let batch = read("batch");
    let elements = batch.frame().unwrap().unwrap().batch().unwrap();
    let ops: Vec<Op<'_>> = elements.iter().map(|(body, tail)| Op::decode(body, tail).unwrap()).collect();
    assert_eq!(ops[0], Op::Ping);
    assert!(matches!(&ops[1], Op::Commit { parts, .. } if *parts == samples::large_part()));
    let replies = read("batch-reply");
    let (horizon, elements) = replies.frame().unwrap().unwrap().batch_reply().unwrap();
    assert_eq!(horizon, samples::HORIZON);
    let (body, tail) = elements[1];
    let large = Outcome::Ok(Answer::Pair(Some(samples::pair(b"large", samples::LARGE))));
    assert_eq!(Outcome::decode(body, tail), Ok(large));
}

/// A number that moves makes old peers misunderstand new ones silently: the worst that can happen here.
#[test]
fn every_verb_keeps_its_number_and_name() {
    let ops = samples::ops();
    assert_eq!(ops.len(), Op::NAMES.len());
    for (number, (_, op)) in ops.into_iter().enumerate() {
        assert!(format!("{op:?}").starts_with(Op::NAMES[number]), "{op:?} is verb {number}");
        assert_eq!(usize::from(postcard::to_allocvec(&op).unwrap()[0]), number);
    }
}

#[test]
fn every_kind_keeps_its_number() {
    let numbers: Vec<u8> = Kind::ALL.iter().map(|kind| kind.number()).collect();
    assert_eq!(numbers, [1, 2, 3, 0x81, 0x82, 0x83, 0x84]);
    assert!((0..=255).filter_map(Kind::from_u8).eq(Kind::ALL));
}

/// One number for all vectors together: whoever changes the bytes of version 1 has to change it here, knowingly.
#[test]
fn the_schema_is_that_of_version_1() {
    let hash = samples::frames()
        .iter()
        .flat_map(|(name, bytes)| name.bytes().chain(bytes.iter().copied()))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!(format!("{hash:#018x}"), "0x21e259c103e909fa");
}

/// The examples in the document are the vectors.
#[test]
fn the_document_shows_the_vectors() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../design/protocol.md");
    let text = std::fs::read_to_string(document).unwrap();
    let mut shown = 0;
    for block in text.split("```hex ").skip(1) {
        let (name, rest) = block.split_once('\n').expect("a block begins with a vector's name");
        let (digits, _) = rest.split_once("```").expect("a block ends");
        // Behind a `|` stands what the bytes mean.
        let bytes: String = digits.lines().map(|line| line.split('|').next().unwrap_or("")).collect();
        assert_eq!(hex(&unhex(&bytes)), hex(&vector(name.trim(), &[])), "the document's {name}");
        shown += 1;
    }
    assert!(shown >= 6, "the document shows {shown} vectors");
    for (number, name) in Op::NAMES.iter().enumerate() {
        assert!(text.contains(&format!("| {number} | `{name}` |")), "the document lacks verb {number}, {name}");
    }
}
