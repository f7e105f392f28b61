//! The real daemon as a process of its own: killed a hundred times under load, and fed what no client sends.

use crate::process::{self, Daemon, text};
use domains::{Answer, Op};
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, Backend, EpochId, Error, Incarnation, PutOptions, RawTable, plain_spec};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;
use tests::rng::Rng;

/// What one client sent in one life of the daemon, in order, with the epoch of each that was answered.
struct Oracle {
    client: usize,
    answered: Vec<Option<EpochId>>,
    heard: EpochId,
}

fn key(life: u32, client: usize, number: usize) -> Vec<u8> {
    format!("{life:04}/{client}/{number:06}").into_bytes()
}

/// Puts pair after pair, sixteen under way, until the daemon is gone; tells of each answer. Of every tenth it waits for the notice.
fn client(table: &RawTable<AnyBackend>, life: u32, client: usize, tell: &mpsc::Sender<()>) -> Oracle {
    let store = table.store();
    let mut oracle = Oracle { client, answered: Vec::new(), heard: EpochId::default() };
    let mut under_way = std::collections::VecDeque::new();
    let mut gone = false;
    while !gone {
        let number = oracle.answered.len();
        let mut txn = store.txn();
        let value = vec![u8::try_from(number % 251).unwrap(); number % 300];
        txn.raw(table).insert(&key(life, client, number), &value, PutOptions::default()).unwrap();
        oracle.answered.push(None);
        under_way.push_back((number, txn.commit_async()));
        if under_way.len() == 16 {
            let (number, pending) = under_way.pop_front().unwrap();
            match pending.wait() {
                Ok(ticket) => {
                    oracle.answered[number] = Some(ticket.epoch());
                    let _ = tell.send(());
                    gone = number % 10 == 0 && ticket.persistent().is_err();
                }
                Err(_) => gone = true,
            }
        }
    }
    for (number, pending) in under_way {
        oracle.answered[number] = pending.wait().ok().map(|ticket| ticket.epoch());
    }
    oracle.heard = store.horizon().persistent;
    oracle
}

/// One life: four clients, and a kill once they have had so many answers together.
fn live(daemon: Daemon, life: u32, answers: usize) -> Vec<Oracle> {
    let tables: Vec<RawTable<AnyBackend>> = (0..4).map(|_| daemon.connect().open_raw("pairs").unwrap()).collect();
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let threads: Vec<_> = tables
            .iter()
            .enumerate()
            .map(|(number, table)| {
                let tell = tell.clone();
                scope.spawn(move || client(table, life, number, &tell))
            })
            .collect();
        for _ in 0..answers {
            told.recv().unwrap();
        }
        daemon.kill();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// What the store must have of a life, by what its clients knew and where the cut is; how many were noticed, and how many lost.
fn judge(table: &RawTable<AnyBackend>, life: u32, cut: EpochId, oracles: &[Oracle]) -> (usize, usize) {
    let prefix = lostore::KeySpan::of_prefix(format!("{life:04}/").as_bytes());
    let there: BTreeMap<Vec<u8>, usize> =
        table.range(prefix).map(|pair| pair.map(|pair| (pair.key, pair.value.len())).unwrap()).collect();
    let (mut noticed, mut lost, mut expected) = (0, 0, 0);
    for oracle in oracles {
        assert!(cut >= oracle.heard, "life {life}: the cut {cut} is before {}, which was announced", oracle.heard);
        let mut ended = false;
        for (number, epoch) in oracle.answered.iter().enumerate() {
            let found = there.get(&key(life, oracle.client, number));
            assert!(found.is_none_or(|bytes| *bytes == number % 300), "life {life}: a value has another length");
            assert!(!(ended && found.is_some()), "life {life}: {number} is there and one before it is not");
            ended |= found.is_none();
            expected += usize::from(found.is_some());
            if let Some(epoch) = epoch {
                assert_eq!(found.is_some(), *epoch <= cut, "life {life}: {number} of epoch {epoch}, the cut is {cut}");
                noticed += usize::from(*epoch <= oracle.heard);
                lost += usize::from(*epoch > cut);
            }
        }
    }
    assert_eq!(there.len(), expected, "life {life}: pairs are there that nobody sent");
    (noticed, lost)
}

/// A hundred real kills: nothing noticed is ever lost, and of the rest exactly what lies before the cut is there.
#[test]
fn a_hundred_kills_lose_nothing_that_was_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let mut rng = Rng::new(0x10_5704e);
    let mut daemon = Daemon::start(&store);
    daemon.connect().create_raw("pairs", plain_spec(TableKind::Ordered, TableHome::Persistent)).unwrap();
    let (mut noticed, mut lost, mut survivors) = (0, 0, 0);
    for life in 0..100 {
        let answers = usize::try_from(1 + rng.below(150)).unwrap();
        let oracles = live(daemon, life, answers);
        daemon = Daemon::start(&store);
        let table = daemon.connect().open_raw("pairs").unwrap();
        let (of_this, behind) = judge(&table, life, daemon.cut(), &oracles);
        noticed += of_this;
        lost += behind;
        let pairs = daemon.ready["recovery"]["pairs"].as_u64().unwrap();
        assert!(pairs >= survivors, "life {life}: {survivors} pairs had survived before, {pairs} are there");
        survivors = pairs;
    }
    println!("100 kills: {noticed} noticed and there, {lost} answered behind the cut and gone, {survivors} pairs");
    assert!(noticed > 1000 && lost > 0, "the kills came when something was at stake");
}

/// Frames that no client sends, while another client goes on.
#[test]
fn bad_input_costs_only_its_own_connection() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let daemon = Daemon::start(&store);
    let good = daemon.connect();
    let table = good.create_raw("pairs", plain_spec(TableKind::Hash, TableHome::Persistent)).unwrap();
    let mut rng = Rng::new(7);
    for round in 0..60_u32 {
        let mut bytes: Vec<u8> = (0..1 + rng.below(4000)).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
        match round % 4 {
            // Random bytes behind the first byte of a real frame, so that they are read as one.
            0 => bytes[0] = 0xB1,
            // A header that announces more than any frame may have.
            1 => bytes.iter_mut().take(24).for_each(|byte| *byte = 0xFF),
            // Nothing but the begin of something.
            2 => bytes.truncate(3),
            _ => {}
        }
        let mut bad = UnixStream::connect(daemon.socket()).unwrap();
        bad.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may close before everything is written.
        let _ = bad.write_all(&bytes);
        let _ = bad.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        // An answer or none; what matters is that the connection ends and the other does not.
        match bad.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
        let key = round.to_le_bytes();
        table.upsert(&key, b"still here", PutOptions::default()).unwrap();
        assert_eq!(table.get(&key).unwrap().unwrap().value, b"still here");
    }
    assert_eq!(table.iter().count(), 60);
}

/// A commit of the daemon that was killed survived or is lost; the next one tells which, and knows what has not been yet.
#[test]
fn the_next_daemon_tells_what_became_of_an_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let first = Daemon::start(&path);
    let table = first.connect().create_raw("t", plain_spec(TableKind::Hash, TableHome::Persistent)).unwrap();
    let mut txn = table.store().txn();
    txn.raw(&table).insert(b"a", b"1", PutOptions::default()).unwrap();
    let ticket = txn.commit().unwrap();
    let kept = ticket.epoch();
    ticket.persistent().unwrap();
    first.kill();

    let next = Daemon::start(&path);
    let (store, cut) = (next.connect(), next.cut());
    assert!(cut >= kept, "{cut} {kept}");
    let tells = |epoch| {
        let pending = store.backend().start(Op::Await { epoch }).unwrap();
        store.backend().wait(pending)
    };
    for survived in [kept, cut] {
        assert!(matches!(tells(survived), Ok(Answer::Persistent(_))), "{survived}");
    }
    let lost = cut.next();
    assert!(matches!(tells(lost), Err(Error::Domain(domains::Error::EpochLost { epoch })) if epoch == lost));
    for unborn in [EpochId::new(Incarnation(2), 1000), EpochId::new(Incarnation(3), 1)] {
        assert_eq!(tells(unborn).unwrap_err().code(), 301, "{unborn}");
    }
}

/// A socket that the manager has made is served, and stays when the server ends: who connects meanwhile waits for the next one.
#[test]
fn a_service_manager_may_make_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let (store, socket) = (dir.path().join("store"), dir.path().join("made.sock"));
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let start = |count: u32, socket: &str| {
        // A shell gives the descriptor the number that it must have.
        let shell = format!("exec 3<&0 0</dev/null && export LISTEN_PID=$$ LISTEN_FDS={count}");
        let line =
            ["serve", text(&store), "-o", "json", "--segment", "1M"].into_iter().chain(socket.split_whitespace());
        let mut command = process::behind(&shell, &line.collect::<Vec<_>>());
        command.stdin(std::os::fd::OwnedFd::from(listener.try_clone().unwrap()));
        command
    };
    let early = lostore::Options::default();
    let mut connects = Vec::new();
    for life in 0..3_u8 {
        // This one connects while there is no server.
        let (early, at) = (early.clone(), socket.clone());
        connects.push(std::thread::spawn(move || {
            let store = lostore::Store::new(lostore::AnyBackend::Remote(early.connect(&at).unwrap()));
            let spec = lostore::plain_spec(TableKind::Hash, TableHome::Persistent);
            let table = store.open_raw("t").or_else(|_| store.create_raw("t", spec)).unwrap();
            table.upsert(&[life], b"value", PutOptions::default()).unwrap().persistent().unwrap();
            assert_eq!(table.iter().count(), usize::from(life) + 1);
        }));
        let daemon = Daemon::run(&store, start(1, ""));
        assert_eq!(daemon.ready["socket"], text(&socket));
        connects.pop().unwrap().join().unwrap();
        daemon.stop();
        assert!(socket.exists());
    }
    for (mut command, said) in [(start(2, ""), "LS0117"), (start(1, "--socket elsewhere.sock"), "--socket")] {
        let output = command.stderr(std::process::Stdio::piped()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(said), "{text}");
    }
}

#[test]
fn a_service_manager_is_told_when_clients_can_connect() {
    let dir = tempfile::tempdir().unwrap();
    let heard = dir.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&heard).unwrap();
    let store = dir.path().join("store");
    let mut command = process::lostore(&["serve", text(&store), "-o", "json", "--segment", "1M"]);
    command.env("NOTIFY_SOCKET", &heard);
    let daemon = Daemon::run(&store, command);
    let hear = || {
        let mut bytes = [0; 4096];
        let count = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    assert_eq!(hear(), "STATUS=opening the store");
    let ready = hear();
    assert!(ready.starts_with(&format!("READY=1\nMAINPID={}\nSTATUS=serving at ", daemon.ready["pid"])), "{ready}");
    drop(daemon.connect());
    daemon.stop();
    assert!(hear().starts_with("STOPPING=1\n"));
}
