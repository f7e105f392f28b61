//! A connection to the daemon whose frames a test writes itself, one request at a time, as a client of another language would.

use crate::process::Daemon;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use wire::limits::{REPLY_FRAME_BYTES_MAX, REQUEST_FRAME_BYTES_MAX};
use wire::{Answer, Fault, FrameReader, FrameWriter, Hello, Op, Outcome};

pub(crate) struct Talk {
    stream: UnixStream,
    reader: FrameReader,
    last: u64,
    /// The features that both sides know.
    pub(crate) features: u64,
}

impl Talk {
    pub(crate) fn new(daemon: &Daemon, features: u64) -> Self {
        let stream = UnixStream::connect(daemon.socket()).unwrap();
        let mut talk = Self { stream, reader: FrameReader::new(REPLY_FRAME_BYTES_MAX), last: 1, features: 0 };
        let hello = Hello {
            version_min: wire::VERSION,
            version_max: wire::VERSION,
            features,
            in_order: false,
            client_name: "by hand",
            client_version: "1",
            known: None,
        };
        let mut writer = FrameWriter::new(REQUEST_FRAME_BYTES_MAX);
        writer.hello(1, &hello).unwrap();
        talk.stream.write_all(writer.bytes()).unwrap();
        talk.next_frame();
        talk.features = talk.reader.frame().unwrap().unwrap().welcome().unwrap().features;
        talk.reader.advance();
        talk
    }

    fn next_frame(&mut self) {
        let mut buffer = [0; 4096];
        while self.reader.frame().unwrap().is_none() {
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the daemon has ended the connection");
            self.reader.push(&buffer[..count]);
        }
    }

    /// Asks all at once and waits for the answers, which come in the order of the requests or not: each is shown with its place.
    pub(crate) fn ask_all(&mut self, ops: Vec<Op<'_>>, mut see: impl FnMut(usize, Result<Answer<'_>, Fault<'_>>)) {
        let (first, count) = (self.last + 1, ops.len());
        let mut writer = FrameWriter::new(REQUEST_FRAME_BYTES_MAX);
        for op in ops {
            self.last += 1;
            writer.request(self.last, 0, op).unwrap();
        }
        self.stream.write_all(writer.bytes()).unwrap();
        for _ in 0..count {
            self.next_frame();
            let frame = self.reader.frame().unwrap().unwrap();
            let at = usize::try_from(frame.header.id - first).unwrap();
            see(at, frame.reply().unwrap().outcome.into_result());
            self.reader.advance();
        }
    }

    /// Asks, and reads the answer.
    pub(crate) fn ask<R>(&mut self, op: Op<'_>, read: impl FnOnce(Outcome<'_>) -> R) -> R {
        let (mut read, mut result) = (Some(read), None);
        self.ask_all(vec![op], |_, outcome| {
            let outcome = match outcome {
                Ok(answer) => Outcome::Ok(answer),
                Err(fault) => Outcome::Err(fault),
            };
            result = Some(read.take().unwrap()(outcome));
        });
        result.unwrap()
    }
}
