//! RESP over the real daemon: a client of a few lines, a bank whose sums must hold over kills, and other people's clients.

mod bank;
mod clients;
mod mixed;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What a server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
}

/// A connection that speaks RESP2.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self { stream: BufReader::new(UnixStream::connect(socket)?) })
    }

    /// Sends commands in one go.
    pub(crate) fn send(&mut self, commands: &[&[&str]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for command in commands {
            bytes.extend(format!("*{}\r\n", command.len()).bytes());
            for word in *command {
                bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
            }
        }
        self.stream.get_mut().write_all(&bytes)
    }

    /// The next reply.
    pub(crate) fn receive(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some((mark, rest)) = line.trim_end().split_at_checked(1) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let number = || rest.parse::<i64>().map_err(|_| io::Error::other(format!("no number: {rest}")));
        Ok(match mark {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" | "*" if rest == "-1" => Reply::Null,
            "$" => {
                let mut bytes = vec![0; usize::try_from(number()?).unwrap() + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(bytes)
            }
            "*" => Reply::Array((0..number()?).map(|_| self.receive()).collect::<io::Result<_>>()?),
            other => panic!("'{other}' begins no reply of RESP2"),
        })
    }

    /// One command and its reply.
    pub(crate) fn call(&mut self, command: &[&str]) -> io::Result<Reply> {
        self.send(&[command])?;
        self.receive()
    }

    /// Several at once.
    pub(crate) fn pipeline(&mut self, commands: &[&[&str]]) -> io::Result<Vec<Reply>> {
        self.send(commands)?;
        commands.iter().map(|_| self.receive()).collect()
    }
}

impl Reply {
    /// The integer that a string holds.
    pub(crate) fn number(&self) -> i64 {
        match self {
            Self::Bulk(bytes) => std::str::from_utf8(bytes).unwrap().parse().unwrap(),
            Self::Integer(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }
}

/// Whoever watches is woken by what others ask, and by nothing of its own.
#[test]
fn monitor_shows_what_others_ask() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = crate::process::Daemon::start(&dir.path().join("store"));
    let [mut watcher, mut other] = [(); 2].map(|()| Client::connect(&daemon.socket()).unwrap());
    assert_eq!(watcher.call(&["MONITOR"]).unwrap(), Reply::Simple("OK".to_owned()));
    assert!(matches!(watcher.receive().unwrap(), Reply::Simple(line) if line.ends_with("\"MONITOR\"")));
    for round in 0..20 {
        let (key, value) = (format!("key{round}"), format!("value{round}"));
        assert_eq!(other.call(&["SET", &key, &value]).unwrap(), Reply::Simple("OK".to_owned()));
        let Reply::Simple(line) = watcher.receive().unwrap() else { panic!("it was shown something else") };
        assert!(line.ends_with(&format!("\"SET\" \"{key}\" \"{value}\"")), "{line}");
    }
    drop(watcher);
    assert_eq!(other.call(&["GET", "key0"]).unwrap(), Reply::Bulk(b"value0".to_vec()));
    daemon.stop();
}
