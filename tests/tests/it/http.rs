//! The real daemon, asked by HTTP while it serves the others.

use crate::process::Daemon;
use lostore::schema::{TableHome, TableKind};
use lostore::{PutOptions, plain_spec};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Status and body of the reply to a request that ends the connection.
fn ask(socket: &Path, path: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The value of a sample, named with its labels.
fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

#[test]
fn metrics_tell_what_the_clients_of_both_protocols_did() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let socket = daemon.socket();
    assert_eq!(ask(&socket, "/livez"), (200, "live\n".to_owned()));
    assert_eq!(ask(&socket, "/readyz"), (200, "ready\n".to_owned()));
    assert!(ask(&socket, "/").1.contains("<title>lostore</title>"));
    let before = ask(&socket, "/metrics").1;

    let store = daemon.connect();
    let table = store.create_raw("pairs", plain_spec(TableKind::Ordered, TableHome::Persistent)).unwrap();
    for number in 0..100_u32 {
        table.upsert(&number.to_le_bytes(), b"value", PutOptions::default()).unwrap();
    }
    store.force().unwrap();
    assert!(table.get(&7_u32.to_le_bytes()).unwrap().is_some());
    let mut redis = UnixStream::connect(&socket).unwrap();
    redis.write_all(b"PING\r\nNONSENSE\r\nQUIT\r\n").unwrap();
    redis.read_to_string(&mut String::new()).unwrap();

    let after = ask(&socket, "/metrics").1;
    let grown = |name: &str| sample(&after, name) - sample(&before, name);
    assert_eq!(sample(&after, "lostore_table_pairs{table=\"pairs\"}"), 100.0);
    assert_eq!(sample(&after, "lostore_operation_seconds_count{verb=\"commit\"}"), 100.0);
    assert_eq!(sample(&after, "lostore_operation_seconds_bucket{verb=\"create_table\",le=\"+Inf\"}"), 1.0);
    assert_eq!(sample(&after, "lostore_operation_seconds_count{verb=\"lookup\"}"), 1.0);
    assert!(grown("lostore_commits_total") >= 100.0);
    assert_eq!(
        (grown("lostore_redis_commands_total"), grown("lostore_redis_errors_total")),
        (2.0, 1.0),
        "what is no command is an error only"
    );
    assert!(grown("lostore_persistence_lag_seconds_count") >= 1.0, "the force has made an epoch persistent");
    assert!(grown("lostore_device_flushes_total") >= 1.0 && grown("lostore_log_bytes_total") >= 4096.0);
    assert_eq!(sample(&after, "lostore_read_only"), 0.0);
    daemon.stop();
}
