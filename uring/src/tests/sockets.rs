//! Sockets, doorbells and cancels on both backends.

use super::{on_both, pages, run, run_well, take};
use crate::{Doorbell, Error, IoError, Listener, Op, Outcome, Socket, Stream, connect};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[test]
fn bytes_travel_both_ways_and_the_end_is_zero_bytes() {
    on_both(|io, dir| {
        let listener = Listener::bind(&dir.join("socket"), 0o600, None).unwrap();
        io.submit(Op::Accept { listener: listener.clone() }, 1);
        io.poll(&mut Vec::new());
        let mut client: Stream = connect(listener.path()).unwrap();
        let Outcome::Accepted(socket) = take(io, 1).remove(0).result.unwrap() else { panic!("not a connection") };
        let peer = socket.peer().unwrap();
        assert_eq!((peer.pid, peer.uid), (std::process::id(), crate::socket::own_uid()));

        // The receive is in flight before there is anything to receive.
        io.submit(Op::Receive { socket: socket.clone(), buffer: pages(0, 1), range: 100..4096 }, 2);
        io.poll(&mut Vec::new());
        client.write_all(b"hello").unwrap();
        let received = take(io, 1).remove(0);
        assert!(matches!(received.result, Ok(Outcome::Moved(5))), "{received:?}");
        assert_eq!(&received.buffer.as_ref().unwrap()[0].0[99..106], b"\0hello\0");

        let (sent, _) =
            run_well(io, Op::Send { socket: socket.clone(), buffer: received.buffer.unwrap(), range: 100..105 });
        assert!(matches!(sent, Outcome::Moved(5)));
        let mut back = [0; 5];
        client.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
        drop(client);
        let (end, _) = run_well(io, Op::Receive { socket, buffer: pages(0, 1), range: 0..4096 });
        assert!(matches!(end, Outcome::Moved(0)));
    });
}

#[test]
fn a_full_socket_waits_and_goes_on() {
    on_both(|io, _| {
        let (one, two) = Socket::pair().unwrap();
        let mut sent = 0;
        // Fill it until a send has to wait.
        let waiting = loop {
            let id = io.submit(Op::Send { socket: one.clone(), buffer: pages(1, 16), range: 0..65_536 }, 1);
            let mut done = Vec::new();
            io.wait(Some(Duration::from_millis(20)), &mut done);
            let Some(completion) = done.pop() else { break id };
            let Ok(Outcome::Moved(bytes)) = completion.result else { panic!("{completion:?}") };
            sent += bytes;
        };
        let (mut received, mut waiting_bytes) = (0, 0);
        while waiting_bytes == 0 {
            io.submit(Op::Receive { socket: two.clone(), buffer: pages(0, 16), range: 0..65_536 }, 2);
            let mut done = Vec::new();
            while !done.iter().any(|completion: &crate::Completion<_>| completion.user == 2) {
                io.wait(None, &mut done);
            }
            for completion in done {
                let Ok(Outcome::Moved(bytes)) = completion.result else { panic!("{completion:?}") };
                if completion.id == waiting { waiting_bytes = bytes } else { received += bytes }
            }
        }
        assert!(received > 0 && received <= sent + waiting_bytes);
    });
}

#[test]
fn a_send_to_nobody_is_an_error_and_no_signal() {
    on_both(|io, _| {
        let (one, two) = Socket::pair().unwrap();
        drop(two);
        let gone = run(io, Op::Send { socket: one, buffer: pages(1, 1), range: 0..10 });
        assert_eq!(gone.result.unwrap_err().errno(), rustix::io::Errno::PIPE.raw_os_error());
        assert!(gone.buffer.is_some());
    });
}

#[test]
fn rings_add_up_and_wake_the_waiter() {
    on_both(|io, _| {
        let doorbell = Doorbell::new().unwrap();
        let bell = doorbell.bell();
        bell.ring();
        bell.clone().ring();
        let (rang, _) = run_well(io, Op::Watch { doorbell: doorbell.clone() });
        assert!(matches!(rang, Outcome::Rang(2)));
        io.submit(Op::Watch { doorbell }, 1);
        let mut done = Vec::new();
        io.wait(Some(Duration::ZERO), &mut done);
        assert!(done.is_empty());
        let ringer = std::thread::spawn(move || bell.ring());
        let rang = take(io, 1).remove(0);
        assert!(matches!(rang.result, Ok(Outcome::Rang(1))));
        ringer.join().unwrap();
    });
}

#[test]
fn a_wait_with_nothing_in_flight_returns_and_one_with_a_limit_ends() {
    on_both(|io, _| {
        let mut done = Vec::new();
        io.wait(None, &mut done);
        let doorbell = Doorbell::new().unwrap();
        let id = io.submit(Op::Watch { doorbell }, 1);
        io.wait(Some(Duration::from_millis(5)), &mut done);
        assert!(done.is_empty());
        io.submit(Op::Cancel { id }, 2);
        let both = take(io, 2);
        for completion in both {
            match completion.user {
                1 => assert_eq!(completion.result.unwrap_err(), IoError::Cancelled),
                _ => assert!(matches!(completion.result, Ok(Outcome::Done))),
            }
        }
    });
}

#[test]
fn a_cancelled_receive_brings_its_buffer_home_and_a_cancel_of_nothing_says_so() {
    on_both(|io, _| {
        let (one, _two) = Socket::pair().unwrap();
        // Ten, so that a ring of eight places has some in its backlog.
        let ids: Vec<_> = (0..10)
            .map(|user| io.submit(Op::Receive { socket: one.clone(), buffer: pages(4, 2), range: 0..8192 }, user))
            .collect();
        io.poll(&mut Vec::new());
        for id in &ids {
            io.submit(Op::Cancel { id: *id }, 100);
        }
        for completion in take(io, 20) {
            match completion.user {
                100 => assert!(completion.result.is_ok(), "{completion:?}"),
                _ => {
                    assert_eq!(completion.result.as_ref().unwrap_err(), &IoError::Cancelled);
                    assert_eq!(completion.buffer.unwrap().len(), 2);
                }
            }
        }
        let nothing = run(io, Op::Cancel { id: ids[0] });
        assert_eq!(nothing.result.unwrap_err().errno(), rustix::io::Errno::NOENT.raw_os_error());
    });
}

#[test]
fn waiting_sockets_leave_room_for_files() {
    on_both(|io, dir| {
        let file = super::data_file(dir);
        let (one, two) = Socket::pair().unwrap();
        for user in 0..100 {
            io.submit(Op::Receive { socket: one.clone(), buffer: pages(0, 1), range: 0..1 }, user);
        }
        io.submit(Op::Write { file, offset: 0, buffer: pages(1, 1) }, 1000);
        assert_eq!(take(io, 1)[0].user, 1000);
        drop(two);
        for completion in take(io, 100) {
            assert!(matches!(completion.result, Ok(Outcome::Moved(0))));
        }
    });
}

#[test]
fn a_socket_is_its_owners_and_replaces_only_a_stale_socket_under_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = Listener::bind(&path, crate::socket::SOCKET_PERMISSIONS_DEFAULT, None).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let there = Listener::bind(&path, 0o600, None).unwrap_err();
    assert!(matches!(there, Error::SocketExists { .. }), "{there}");
    let lock = crate::lock_directory(dir.path(), crate::Patience::None).unwrap();
    let second = Listener::bind(&path, 0o660, Some(&lock)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
    // The first one's end does not take the second one's file away.
    drop(listener);
    connect(&path).unwrap();
    drop(second);
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    let precious = Listener::bind(&path, 0o600, Some(&lock)).unwrap_err();
    assert!(matches!(precious, Error::NotASocket { .. }), "{precious}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_path_of_107_bytes_is_the_longest() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let fits = dir.path().join("x".repeat(107 - dir.path().as_os_str().len() - 1));
    assert_eq!(fits.as_os_str().len(), 107);
    let listener = Listener::bind(&fits, 0o600, None).unwrap();
    connect(listener.path()).unwrap();
    let long = dir.path().join("x".repeat(107 - dir.path().as_os_str().len()));
    for error in [Listener::bind(&long, 0o600, None).unwrap_err(), connect(&long).unwrap_err()] {
        assert!(matches!(error, Error::SocketPath { bytes: 108, max: 107, .. }), "{error}");
    }
    let nobody = connect(&dir.path().join("nobody")).unwrap_err();
    assert!(nobody.to_string().contains("cannot connect to"), "{nobody}");
}

#[test]
fn a_watched_socket_tells_of_bytes_and_of_the_end_and_leaves_them_there() {
    on_both(|io, _| {
        let (one, two) = Socket::pair().unwrap();
        let id = io.submit(Op::Heed { socket: one.clone() }, 1);
        let mut done = Vec::new();
        io.wait(Some(Duration::from_millis(5)), &mut done);
        assert!(done.is_empty(), "nothing has come: {done:?}");
        io.submit(Op::Cancel { id }, 2);
        for completion in take(io, 2) {
            let cancelled = matches!(completion.result, Err(IoError::Cancelled));
            assert!(completion.buffer.is_none() && cancelled == (completion.user == 1), "{completion:?}");
        }
        io.submit(Op::Heed { socket: one.clone() }, 1);
        io.poll(&mut Vec::new());
        let (sent, _) = run_beside(io, Op::Send { socket: two.clone(), buffer: pages(7, 1), range: 0..3 });
        assert!(matches!(sent, Outcome::Moved(3)));
        // Told again as long as the bytes are there.
        assert!(matches!(run_well(io, Op::Heed { socket: one.clone() }).0, Outcome::Done));
        let (received, buffer) = run_well(io, Op::Receive { socket: one.clone(), buffer: pages(0, 1), range: 0..4096 });
        assert!(matches!(received, Outcome::Moved(3)) && buffer.unwrap()[0].0[2] == 7);
        drop(two);
        assert!(matches!(run_well(io, Op::Heed { socket: one }).0, Outcome::Done), "the end is something to be told");
    });
}

/// Does one operation, and takes with it the end of the watch numbered 1.
fn run_beside(io: &mut super::Backend, op: Op<super::TestPage>) -> (Outcome, Option<Box<[super::TestPage]>>) {
    io.submit(op, 77);
    let (watch, other): (Vec<_>, Vec<_>) = take(io, 2).into_iter().partition(|completion| completion.user == 1);
    assert!(matches!(watch[0].result, Ok(Outcome::Done)), "{watch:?}");
    let completion = other.into_iter().next().unwrap();
    (completion.result.unwrap(), completion.buffer)
}
