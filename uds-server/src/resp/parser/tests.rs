//! Commands cut anywhere, too large, malformed; the same stream read by somebody else's parser.

use super::*;
use proptest::prelude::*;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

const BYTES_MAX: usize = 65 << 20;

/// All commands of a stream, or those before the error.
fn read(parser: &mut Parser) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
    let mut commands = Vec::new();
    loop {
        match parser.poll() {
            Ok(true) => {
                commands.push(parser.command().from(0).map(<[u8]>::to_vec).collect());
                parser.advance();
            }
            Ok(false) => return (commands, None),
            Err(error) => return (commands, Some(error)),
        }
    }
}

fn parse(stream: &[u8]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
    let mut parser = Parser::new(BYTES_MAX);
    parser.push(stream);
    read(&mut parser)
}

fn words(commands: &[&[&str]]) -> Vec<Vec<Vec<u8>>> {
    let word = |word: &&str| word.as_bytes().to_vec();
    commands.iter().map(|command| command.iter().map(word).collect()).collect()
}

const STREAM: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n*0\r\n\r\n*1\r\n$0\r\n\r\nset 'a b' \"x\\x41\\n\"\n*-1\r\n*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n";

#[test]
fn every_cut_of_a_stream_gives_the_same_commands() {
    let expected = words(&[&["GET", "a"], &["PING"], &[""], &["set", "a b", "xA\n"], &["ECHO", "\r\n"]]);
    for cut in 0..=STREAM.len() {
        let mut parser = Parser::new(BYTES_MAX);
        parser.push(&STREAM[..cut]);
        let (mut commands, error) = read(&mut parser);
        assert_eq!(error, None);
        parser.push(&STREAM[cut..]);
        let (rest, error) = read(&mut parser);
        assert_eq!(error, None);
        commands.extend(rest);
        assert_eq!(commands, expected, "cut at {cut}");
        assert!(parser.is_empty());
    }
    let mut parser = Parser::new(BYTES_MAX);
    let mut commands = Vec::new();
    for byte in STREAM {
        parser.push(&[*byte]);
        commands.extend(read(&mut parser).0);
    }
    assert_eq!(commands, expected, "byte by byte");
}

#[test]
fn what_is_no_command_is_an_error_that_says_which() {
    let cases: [(&[u8], ProtocolError); 14] = [
        (b"*x\r\n", ProtocolError::Count),
        (b"*1048577\r\n", ProtocolError::Count),
        (b"*99999999999999999999999\r\n", ProtocolError::Count),
        (b"*1\rx", ProtocolError::Count),
        (b"*+1\r\n", ProtocolError::Count),
        (b"*1\r\n:1\r\n", ProtocolError::NotAString { found: b':' }),
        (b"*1\r\n*1\r\n", ProtocolError::NotAString { found: b'*' }),
        (b"*1\r\n$-1\r\n", ProtocolError::Length),
        (b"*1\r\n$67108865\r\n", ProtocolError::Length),
        (b"*1\r\n$01\r\n", ProtocolError::Length),
        (b"*1\r\n$1\r\nab\r\n", ProtocolError::NoLineEnd),
        (b"get \"a\r\n", ProtocolError::Quotes),
        (b"get 'a'b\r\n", ProtocolError::Quotes),
        (b"get \"a\"b\r\n", ProtocolError::Quotes),
    ];
    for (stream, expected) in cases {
        assert_eq!(parse(stream).1, Some(expected), "{}", stream.escape_ascii());
    }
    assert_eq!(parse(&vec![b'x'; INLINE_BYTES_MAX + 2]).1, Some(ProtocolError::LineTooLong));
    // Refused as soon as it is announced, before its bytes come.
    let mut parser = Parser::new(100);
    parser.push(b"*2\r\n$3\r\nSET\r\n$90\r\n");
    assert_eq!(parser.poll(), Err(ProtocolError::TooLarge { limit: 100 }));
    let mut parser = Parser::new(100);
    parser.push(b"*50\r\n");
    assert_eq!(parser.poll(), Err(ProtocolError::TooLarge { limit: 100 }));
}

#[test]
fn what_is_only_announced_takes_no_memory() {
    let mut parser = Parser::new(BYTES_MAX);
    parser.push(b"*1048576\r\n$67108864\r\n");
    assert_eq!(parser.poll(), Ok(false));
    assert!(parser.capacity() < 1000, "{}", parser.capacity());
    // What has come is dropped with its command.
    let mut parser = Parser::new(BYTES_MAX);
    let value = vec![b'v'; 1 << 20];
    parser.push(format!("*1\r\n${}\r\n", value.len()).as_bytes());
    for piece in value.chunks(4096) {
        parser.push(piece);
        assert_eq!(parser.poll(), Ok(false));
    }
    parser.push(b"\r\n");
    assert_eq!(parser.poll(), Ok(true));
    assert_eq!(parser.command().at(0), value);
    parser.advance();
    assert!(parser.capacity() < 10_000, "{}", parser.capacity());
}

/// A toy parser begins anew at each push: a command of many arguments that comes in pieces would take minutes.
#[test]
fn a_command_of_the_most_arguments_comes_in_small_pieces() {
    let mut stream = format!("*{ARGS_MAX}\r\n").into_bytes();
    stream.extend(b"$1\r\na\r\n".repeat(ARGS_MAX));
    let mut parser = Parser::new(BYTES_MAX);
    for piece in stream.chunks(1 << 10) {
        parser.push(piece);
        let whole = parser.poll().unwrap();
        assert_eq!(whole, parser.buffer.len() == stream.len());
    }
    assert_eq!(parser.command().len(), ARGS_MAX);
    assert_eq!(parser.command().bytes(), ARGS_MAX);
}

#[test]
fn a_request_outlives_its_stream() {
    let mut parser = Parser::new(BYTES_MAX);
    parser.push(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    assert_eq!(parser.poll(), Ok(true));
    let request = Request::new(parser.command());
    parser.advance();
    assert_eq!(request.args().from(0).collect::<Vec<_>>(), [b"SET".as_slice(), b"k", b""]);
    assert_eq!(Request::of(&[b"GET", b"k"]).args().at(1), b"k");
}

/// A stream of commands as a client writes them.
fn encode(commands: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for command in commands {
        stream.extend(format!("*{}\r\n", command.len()).bytes());
        for arg in command {
            stream.extend(format!("${}\r\n", arg.len()).bytes());
            stream.extend_from_slice(arg);
            stream.extend_from_slice(b"\r\n");
        }
    }
    stream
}

/// The first command as somebody else reads it: its arguments, that more is to come, or that it is none.
fn other(stream: &[u8]) -> Result<Option<Vec<Vec<u8>>>, ()> {
    let string = |frame| match frame {
        OwnedFrame::BulkString(bytes) => Ok(bytes),
        OwnedFrame::Array(_)
        | OwnedFrame::Error(_)
        | OwnedFrame::Integer(_)
        | OwnedFrame::Null
        | OwnedFrame::SimpleString(_) => Err(()),
    };
    match decode(stream).map_err(|_| ())? {
        None => Ok(None),
        Some((OwnedFrame::Array(frames), _)) => frames.into_iter().map(string).collect::<Result<_, _>>().map(Some),
        Some(_) => Err(()),
    }
}

fn commands() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    use proptest::collection::vec;
    vec(vec(vec(any::<u8>(), 0..12), 1..5), 1..5)
}

/// Small changes of something that was right, where most faults hide.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![proptest::sample::select(b"*$\r\n0123459:-+ \"'\\x".to_vec()), any::<u8>()];
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), byte), 1..4);
    (commands(), edits, any::<prop::sample::Index>(), 0..4).prop_map(|(commands, edits, at, how)| {
        let mut stream = encode(&commands);
        for (at, byte) in edits {
            let at = at.index(stream.len());
            match how {
                0 => stream.insert(at, byte),
                1 => drop(stream.remove(at)),
                _ => stream[at] = byte,
            }
            if stream.is_empty() {
                stream.push(byte);
            }
        }
        if how == 3 {
            stream.truncate(at.index(stream.len()));
        }
        stream
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    #[test]
    fn what_a_client_writes_is_what_is_read(commands in commands(), cut in any::<prop::sample::Index>()) {
        let stream = encode(&commands);
        let cut = cut.index(stream.len() + 1);
        let mut parser = Parser::new(BYTES_MAX);
        parser.push(&stream[..cut]);
        let mut read_so_far = read(&mut parser).0;
        parser.push(&stream[cut..]);
        read_so_far.extend(read(&mut parser).0);
        prop_assert_eq!(read_so_far, commands);
    }

    /// Where ours finds an array of strings, so must theirs, with the same strings. Ours is the stricter one about numbers.
    #[test]
    fn another_parser_reads_the_same(stream in mutated()) {
        let mut parser = Parser::new(BYTES_MAX);
        parser.push(&stream);
        if stream.first() == Some(&b'*') && !stream.starts_with(b"*0") && !stream.starts_with(b"*-") {
            match parser.poll() {
                Ok(true) => {
                    let ours: Vec<Vec<u8>> = parser.command().from(0).map(<[u8]>::to_vec).collect();
                    prop_assert_eq!(other(&stream), Ok(Some(ours)));
                }
                Ok(false) => prop_assert!(other(&stream).is_ok_and(|found| found.is_none()) || other(&stream).is_err()),
                Err(_) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100_000) })]

    #[test]
    fn changed_streams_are_survived(stream in mutated()) {
        super::super::fuzz::stream(&stream);
    }

    #[test]
    fn random_streams_are_survived(stream in proptest::collection::vec(any::<u8>(), 0..64)) {
        super::super::fuzz::stream(&stream);
    }
}
