//! A bit that flips on the device or between a daemon and its client is an error there, never data.

use crate::process::{self, Daemon, text};
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, Options, PutOptions, Store, Verdict, plain_spec};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const MARKER: &[u8] = b"a value that is changed on its way";

/// Carries bytes until an end closes; when it is told to, it flips a bit in the marker.
fn carry(mut from: UnixStream, mut to: UnixStream, flips: &AtomicBool) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..count];
        let at = bytes.windows(MARKER.len()).position(|bytes| bytes == MARKER);
        if let Some(at) = at.filter(|_| flips.load(Ordering::SeqCst)) {
            bytes[at + 5] ^= 0x20;
        }
        if to.write_all(bytes).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// Stands between the clients of `path` and the daemon's socket, one connection long.
fn proxy(path: &Path, daemon: &Path, flips: &Arc<AtomicBool>) {
    let listener = UnixListener::bind(path).unwrap();
    let (daemon, flips) = (daemon.to_owned(), Arc::clone(flips));
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = UnixStream::connect(daemon).unwrap();
        let (client_in, server_out) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || carry(client_in, server_out, &AtomicBool::new(false)));
        carry(server, client, &flips);
    });
}

#[test]
fn a_bit_flipped_on_the_socket_is_found_by_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&dir.path().join("store"));
    let (flips, between) = (Arc::new(AtomicBool::new(false)), dir.path().join("proxy.sock"));
    proxy(&between, &daemon.socket(), &flips);
    let store = Store::new(AnyBackend::Remote(Options::default().connect(&between).unwrap()));
    let table = store.create_raw("t", plain_spec(TableKind::Hash, TableHome::Persistent)).unwrap();
    table.upsert(b"k", MARKER, PutOptions::default()).unwrap();
    assert!(matches!(table.verify(b"k").unwrap(), Verdict::Whole { from_device: true, pair } if pair.value == MARKER));
    assert_eq!(table.verify(b"other").unwrap(), Verdict::Absent);
    flips.store(true, Ordering::SeqCst);
    assert_ne!(table.get(b"k").unwrap().unwrap().value, MARKER, "a plain read does not notice");
    let verdict = table.verify(b"k").unwrap();
    assert!(
        matches!(verdict, Verdict::DamagedOnTheWay { expected, .. } if expected == crc32c::crc32c(MARKER)),
        "{verdict:?}"
    );
    flips.store(false, Ordering::SeqCst);
    assert!(matches!(table.verify(b"k").unwrap(), Verdict::Whole { .. }));
}

/// Flips a bit of the marker in the store's file, wherever it stands there.
fn flip(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    let places: Vec<_> =
        (0..bytes.len() - MARKER.len()).filter(|&at| bytes[at..].starts_with(MARKER)).map(|at| at + 5).collect();
    assert!(!places.is_empty(), "the record is in the file");
    for at in places {
        file.write_all_at(&[bytes[at] ^ 0x20], at as u64).unwrap();
    }
    file.sync_all().unwrap();
}

/// While the daemon that has the file open runs: its memory still has the record as it was.
#[test]
fn a_bit_flipped_in_the_file_is_found_by_who_verifies_and_by_who_reads_it_cold() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&dir.path().join("store"));
    let store = daemon.connect();
    let table = store.create_raw("t", plain_spec(TableKind::Hash, TableHome::Persistent)).unwrap();
    table.upsert(b"k", MARKER, PutOptions::default()).unwrap();
    table.upsert(b"other", b"whole", PutOptions::default()).unwrap();
    let verified = || {
        let socket = daemon.socket();
        process::lostore(&["verify", "--pair", "t/k", "--socket", text(&socket)])
            .stderr(std::process::Stdio::piped())
            .output()
            .unwrap()
    };
    assert_eq!(verified().status.code(), Some(0));
    flip(&dir.path().join("store").join(lostore::open::DATA_FILE));
    assert_eq!(table.get(b"k").unwrap().unwrap().value, MARKER, "memory has it");
    let verdict = table.verify(b"k").unwrap();
    assert!(matches!(&verdict, Verdict::DamagedInStore { why } if why.contains("checksum")), "{verdict:?}");
    let output = verified();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("whole"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("t/k is damaged"), "{output:?}");
    store.drop_cache().unwrap();
    assert_eq!(table.get(b"k").unwrap_err().code(), 401);
}
