//! Frames cut anywhere and coalesced, limits, and what memory the two ends keep.

use super::samples;
use crate::*;

#[test]
fn frames_come_out_whole_however_the_stream_is_cut() {
    let frames: Vec<Vec<u8>> = samples::frames().into_iter().map(|(_, bytes)| bytes).collect();
    let stream = frames.concat();
    for piece in [1, 2, 7, 23, 24, 25, 1000, stream.len()] {
        let mut reader = FrameReader::new(limits::REPLY_FRAME_BYTES_MAX);
        let mut seen = 0;
        for bytes in stream.chunks(piece) {
            reader.push(bytes);
            while let Some(frame) = reader.frame().unwrap() {
                let header = frame.header.encode();
                assert_eq!([&header, frame.body, frame.tail].concat(), frames[seen], "pieces of {piece}");
                reader.advance();
                seen += 1;
            }
        }
        assert_eq!((seen, reader.is_empty()), (frames.len(), true));
    }
}

#[test]
fn a_frame_at_the_limit_is_taken_and_one_above_is_refused_by_its_header() {
    let header = |body_bytes, tail_bytes| Header { kind: 2, flags: 0, body_bytes, tail_bytes, deadline_ms: 0, id: 9 };
    for (body, tail) in [(0, 0), (1000, 0), (0, 1000), (400, 600)] {
        let mut reader = FrameReader::new(1000);
        reader.push(&header(body, tail).encode());
        reader.push(&vec![0; (body + tail) as usize]);
        assert!(reader.frame().unwrap().is_some());
    }
    for (body, tail) in [(1001, 0), (0, 1001), (501, 500), (1 << 31, 0), (u32::MAX, 0), (u32::MAX, u32::MAX)] {
        let mut reader = FrameReader::new(1000);
        reader.push(&header(body, tail).encode());
        let bytes = u64::from(body) + u64::from(tail);
        assert_eq!(reader.frame(), Err(FrameError::TooLarge { id: 9, bytes, limit: 1000 }));
        assert!(reader.capacity() < 100, "nothing is allocated on a claim");
    }
}

#[test]
fn memory_follows_the_bytes_that_came_not_those_announced() {
    let header = Header { kind: 2, flags: 0, body_bytes: 1 << 26, tail_bytes: 0, deadline_ms: 0, id: 9 };
    let mut reader = FrameReader::new(limits::REQUEST_FRAME_BYTES_MAX);
    reader.push(&header.encode());
    reader.push(&[0; 1000]);
    assert!(reader.capacity() <= 4096, "{} bytes are held for 1,024 that came", reader.capacity());
    let mut reader = FrameReader::new(1 << 20);
    reader.push(&Header { body_bytes: 1 << 20, ..header }.encode());
    for _ in 0..256 {
        reader.push(&[0; 4096]);
        assert!(reader.capacity() <= (1 << 20) + limits::HEADER_BYTES);
    }
    assert!(reader.frame().unwrap().is_some());
    reader.advance();
    assert!(reader.capacity() <= limits::BUFFER_BYTES_KEPT, "what a large frame needed is given back");
}

#[test]
fn the_first_byte_tells() {
    for first in (0..=255).filter(|&first| first != MARK) {
        let mut reader = FrameReader::new(1000);
        reader.push(&[first]);
        assert_eq!(reader.frame(), Err(FrameError::Mark { found: first }));
    }
    assert_eq!(MARK & 0x80, 0x80);
}

#[test]
fn a_message_above_the_limit_leaves_no_byte() {
    let mut writer = FrameWriter::new(100);
    writer.request(1, 0, Op::Ping).unwrap();
    let before = writer.len();
    let key = [0; 200];
    let refused = writer.request(2, 0, Op::Lookup { table: 1, key: Bytes(&key) });
    assert_eq!(refused, Err(WriteError::TooLarge { bytes: 204, limit: 100 }));
    assert_eq!(writer.len(), before);
    writer.consume(10);
    writer.request(3, 0, Op::Ping).unwrap();
    assert_eq!(writer.len(), before - 10 + before);
    let bytes = writer.take();
    assert_eq!(bytes[before - 10], MARK);
    assert!(writer.is_empty());
}

#[test]
fn an_outcome_encoded_before_makes_the_same_frame() {
    for (_, outcome) in samples::outcomes() {
        let mut writer = FrameWriter::new(u32::MAX);
        writer.reply(5, samples::HORIZON, outcome.clone()).unwrap();
        let direct = writer.take();
        writer.reply_element(5, samples::HORIZON, &Element::outcome(outcome)).unwrap();
        assert_eq!(writer.take(), direct);
    }
}
