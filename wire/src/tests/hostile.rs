//! A peer's bytes are data: whatever they are, they give a message or an error, and take no memory that did not come with them.

use super::samples;
use crate::*;
use proptest::prelude::*;

#[test]
fn every_truncation_is_an_unfinished_frame() {
    for (name, bytes) in samples::frames() {
        for end in 0..bytes.len().min(2_000) {
            let mut reader = FrameReader::new(limits::REPLY_FRAME_BYTES_MAX);
            reader.push(&bytes[..end]);
            assert_eq!(reader.frame(), Ok(None), "{name} cut at {end}");
        }
    }
}

/// A body that ends too early while the header says that it is whole.
#[test]
fn every_truncated_body_is_an_error() {
    for (name, op) in samples::ops() {
        let bytes = postcard::to_allocvec(&op).unwrap();
        for end in 0..bytes.len() {
            assert!(Op::decode(&bytes[..end], &[]).is_err(), "{name} cut at {end}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Op::decode(&longer, &[]), Err(DecodeError::Leftover { bytes: 1 }), "{name}");
        assert_eq!(Op::decode(&bytes, &[0]), Err(DecodeError::Tail), "{name}");
    }
}

#[test]
fn every_flipped_bit_is_survived() {
    for (_, mut bytes) in samples::frames() {
        for at in 0..bytes.len().min(400) {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                fuzz::stream(&bytes);
                bytes[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn a_verb_of_a_later_version_is_told_apart_from_garbage() {
    let next = u32::try_from(Op::NAMES.len()).unwrap();
    for number in [next, 127, 128, 300, u32::MAX] {
        let bytes = postcard::to_allocvec(&number).unwrap();
        assert_eq!(Op::decode(&bytes, &[]), Err(DecodeError::Unknown { number }));
    }
    assert_eq!(Op::decode(&[], &[]), Err(DecodeError::Malformed));
    assert_eq!(Op::decode(&[0xff; 6], &[]), Err(DecodeError::Malformed));
}

#[test]
fn a_count_above_the_bound_is_refused_before_its_elements() {
    // Commit with 65,537 parts, and with 2^32 - 1, announced in a body of a few bytes.
    for count in [65_537_u32, u32::MAX] {
        let bytes = [postcard::to_allocvec(&4u8).unwrap(), postcard::to_allocvec(&count).unwrap()].concat();
        assert_eq!(Op::decode(&bytes, &[]), Err(DecodeError::Malformed));
    }
    let ops = vec![Element::op(Op::Ping); limits::BATCH_OPS_MAX + 1];
    assert_eq!(FrameWriter::new(u32::MAX).batch(1, 0, &ops), Err(WriteError::TooManyOps { ops: 1025 }));
}

#[test]
fn an_unknown_verb_in_a_batch_leaves_its_neighbours_alone() {
    let mut large = samples::ops().swap_remove(4).1;
    if let Op::Commit { parts, .. } = &mut large {
        *parts = samples::large_part();
    }
    let mut writer = FrameWriter::new(u32::MAX);
    writer.batch(1, 0, &[Element::op(large.clone()), Element::op(Op::Ping), Element::op(large.clone())]).unwrap();
    let mut bytes = writer.take();
    // The second element, a body of one byte that says Ping, becomes verb 100.
    let at = (24..200).rev().find(|&at| bytes[at..].starts_with(&[1, 0, 0])).expect("its length, its verb, no tail");
    bytes[at + 1] = 100;
    let mut reader = FrameReader::new(u32::MAX);
    reader.push(&bytes);
    let frame = reader.frame().unwrap().unwrap();
    let results: Vec<_> = frame.batch().unwrap().into_iter().map(|(body, tail)| Op::decode(body, tail)).collect();
    assert_eq!(results, [Ok(large.clone()), Err(DecodeError::Unknown { number: 100 }), Ok(large)]);
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let frames: Vec<Vec<u8>> = samples::frames().into_iter().map(|(_, bytes)| bytes).collect();
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    (proptest::sample::select(frames), edits, any::<prop::sample::Index>()).prop_map(|(mut bytes, edits, end)| {
        for (at, byte) in edits {
            let at = at.index(bytes.len().min(300));
            bytes[at] = byte;
        }
        if end.index(4) == 0 {
            bytes.truncate(end.index(bytes.len()));
        }
        bytes
    })
}

fn random_body() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80)).prop_map(|(kind, body)| {
        let bytes = u32::try_from(body.len()).unwrap();
        let header = Header { kind, flags: 0, body_bytes: bytes, tail_bytes: 0, deadline_ms: 0, id: 1 };
        [header.encode().as_slice(), &body].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn mutated_frames_are_survived(bytes in mutated()) {
        fuzz::stream(&bytes);
    }

    #[test]
    fn random_bodies_are_survived(bytes in random_body()) {
        fuzz::stream(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz::stream(&bytes);
    }

    #[test]
    fn commits_come_back_whatever_their_values(values in proptest::collection::vec((any::<u32>(),
        proptest::collection::vec(any::<u8>(), 0..40), 0usize..9000, any::<bool>(), any::<Option<u64>>()), 0..5)) {
        let values: Vec<_> = values.into_iter().map(|(t, key, bytes, c, e)| (t, key, vec![7; bytes], c, e)).collect();
        let parts = values.iter().map(|(table, key, value, compressed, expires_ms)| Part {
            table: *table,
            key: Bytes(key),
            expect: Expect::Any,
            change: Change::Put { value: Value::new(value), compressed: *compressed, expires_ms: *expires_ms },
        });
        let op = Op::Commit { parts: List::new(parts.collect()).unwrap(), options: samples::options(Level::Committed) };
        let mut writer = FrameWriter::new(u32::MAX);
        writer.request(1, 0, op.clone()).unwrap();
        let mut reader = FrameReader::new(u32::MAX);
        reader.push(writer.bytes());
        prop_assert_eq!(reader.frame().unwrap().unwrap().op(), Ok(op));
    }
}
