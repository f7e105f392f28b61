use super::*;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

fn ours(process: &str, count: &str) -> Result<bool, Error> {
    is_ours(Some(process.into()), Some(count.into()), 7)
}

#[test]
fn a_socket_is_taken_by_whom_it_is_for() {
    assert_eq!(ours("7", "1"), Ok(true));
    assert_eq!(is_ours(None, Some("1".into()), 7), Ok(false));
    assert_eq!(is_ours(Some("7".into()), None, 7), Ok(false));
    for (process, count) in [("8", "1"), ("", "1"), ("seven", "1"), ("7", "0"), ("7", ""), ("7", "one"), ("8", "2")] {
        assert_eq!(ours(process, count), Ok(false), "{process:?} {count:?}");
    }
    assert_eq!(ours("7", "2").unwrap_err().code(), 117);
}

#[test]
fn only_a_unix_stream_socket_that_listens_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passed.sock");
    let bound = UnixListener::bind(&file).unwrap();
    let taken = listener(bound.into()).unwrap();
    assert_eq!(taken.path(), file);
    drop(taken);
    assert!(file.exists(), "the file is the manager's");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (connected, _other) = UnixStream::pair().unwrap();
    let wrong: [OwnedFd; 3] = [tcp.into(), connected.into(), UnixDatagram::unbound().unwrap().into()];
    for fd in wrong {
        let error = listener(fd).unwrap_err();
        assert!(matches!(error, Error::PassedSocket { .. }), "{error}");
    }
}
