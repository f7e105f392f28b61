//! What a fuzzer calls: everything that a peer's bytes can reach.
//!
//! Contract: returns for every input, with memory in proportion to the input; what decodes is encoded again and must decode to
//! the same. It is run by `cargo test` on random and mutated inputs, and may be called from a coverage-guided fuzzer.

use crate::limits::REPLY_FRAME_BYTES_MAX;
use crate::{Element, Frame, FrameReader, FrameWriter, Op, Outcome};

/// Reads `input` as a stream and decodes every frame in it as every kind of message. Returns how many messages decoded.
///
/// # Panics
/// When a message that decoded does not come back from its own encoding: a bug here.
pub fn stream(input: &[u8]) -> usize {
    let mut reader = FrameReader::new(REPLY_FRAME_BYTES_MAX);
    reader.push(input);
    let mut decoded = 0;
    while let Ok(Some(frame)) = reader.frame() {
        decoded += messages(&frame);
        reader.advance();
    }
    decoded
}

/// Decodes one frame as every kind of message.
fn messages(frame: &Frame<'_>) -> usize {
    let mut decoded = 0;
    let mut writer = FrameWriter::new(u32::MAX);
    let mut again = |decoded_same: &dyn Fn(&Frame<'_>) -> bool, writer: &mut FrameWriter| {
        let mut reader = FrameReader::new(u32::MAX);
        reader.push(&writer.take());
        let frame = reader.frame().expect("we wrote it").expect("all of it");
        assert!(decoded_same(&frame), "what was decoded is encoded as itself: {frame:?}");
        decoded += 1;
    };
    if let Ok(hello) = frame.hello() {
        writer.hello(1, &hello).expect("no limit");
        again(&|frame| frame.hello() == Ok(hello), &mut writer);
    }
    if let Ok(welcome) = frame.welcome() {
        writer.welcome(1, &welcome).expect("no limit");
        again(&|frame| frame.welcome() == Ok(welcome), &mut writer);
    }
    if let Ok(op) = frame.op() {
        writer.request(1, 0, op.clone()).expect("no limit");
        again(&|frame| frame.op().as_ref() == Ok(&op), &mut writer);
    }
    if let Ok(reply) = frame.reply() {
        writer.reply(1, reply.horizon, reply.outcome.clone()).expect("no limit");
        again(&|frame| frame.reply().as_ref() == Ok(&reply), &mut writer);
    }
    if let Ok(push) = frame.push() {
        writer.push(push).expect("no limit");
        again(&|frame| frame.push() == Ok(push), &mut writer);
    }
    decoded + batches(frame)
}

fn batches(frame: &Frame<'_>) -> usize {
    let ops = frame.batch().map_or(0, |elements| {
        let ops: Vec<Op<'_>> = elements.iter().filter_map(|(body, tail)| Op::decode(body, tail).ok()).collect();
        let encoded: Vec<Element> = ops.into_iter().map(Element::op).collect();
        FrameWriter::new(u32::MAX).batch(1, 0, &encoded).expect("as many as there were");
        encoded.len()
    });
    let outcomes = frame
        .batch_reply()
        .map_or(0, |(_, elements)| elements.iter().filter(|(body, tail)| Outcome::decode(body, tail).is_ok()).count());
    ops + outcomes
}
