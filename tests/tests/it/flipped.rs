//! A bit that flips between a daemon and its client: a proxy flips it, and the client's own check finds it.

use crate::process::Daemon;
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, Options, PutOptions, Store, Verdict, plain_spec};
use std::io::{Read, Write};
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
