//! What a fuzzer calls: everything of RESP that a peer's bytes can reach before a command is known.
//!
//! Contract: returns for every input, with memory in proportion to the input; a stream is read the same whole and byte by byte, and
//! what was read is the same when it is written as a client would and read again.

use super::parser::{Parser, ProtocolError};

/// Bytes that a command may have.
const BYTES_MAX: usize = 1 << 20;

type Commands = Vec<Vec<Vec<u8>>>;

/// Reads `input` as a stream of commands; returns how many there were.
///
/// # Panics
/// When the stream means different things depending on how it is cut: a bug here.
pub fn stream(input: &[u8]) -> usize {
    let (whole, error) = read(&[input]);
    let pieces: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(read(&pieces), (whole.clone(), error), "a stream is read the same however it is cut");
    let mut written = Vec::new();
    for command in &whole {
        written.extend(format!("*{}\r\n", command.len()).bytes());
        for arg in command {
            written.extend(format!("${}\r\n", arg.len()).bytes());
            written.extend_from_slice(arg);
            written.extend_from_slice(b"\r\n");
        }
    }
    assert_eq!(read(&[&written]), (whole.clone(), None), "what was read is written and read again");
    whole.len()
}

fn read(pieces: &[&[u8]]) -> (Commands, Option<ProtocolError>) {
    let (mut parser, mut commands, mut came) = (Parser::new(BYTES_MAX), Vec::new(), 0);
    for piece in pieces {
        parser.push(piece);
        came += piece.len();
        loop {
            match parser.poll() {
                Ok(true) => {
                    commands.push(parser.command().from(0).map(<[u8]>::to_vec).collect());
                    parser.advance();
                }
                Ok(false) => break,
                Err(error) => return (commands, Some(error)),
            }
        }
        // Spans take eight bytes for each of at least five.
        assert!(parser.capacity() <= 8 * came + (8 << 10), "{} bytes for {came}", parser.capacity());
    }
    (commands, None)
}
