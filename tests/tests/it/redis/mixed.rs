//! Both protocols on one socket, and a text client beside a bad one.

use super::{Client, Reply};
use crate::process::{Daemon, lostore, text};
use lostore::PutOptions;
use lostore::schema::{TableHome, TableKind};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

#[test]
fn both_protocols_see_the_same_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut redis = Client::connect(&daemon.socket()).unwrap();
    assert_eq!(redis.call(&["SET", "a", "by redis"]).unwrap(), Reply::Simple("OK".into()));
    let store = daemon.connect();
    let table = store.open_raw("redis.0").unwrap();
    assert_eq!(table.get(b"a").unwrap().unwrap().value, b"by redis");
    let mut txn = store.txn();
    txn.raw(&table).upsert(b"b", b"natively", PutOptions::default()).unwrap();
    txn.commit().unwrap();
    assert_eq!(redis.call(&["GET", "b"]).unwrap(), Reply::Bulk(b"natively".to_vec()));
    // A table that the other side destroys or gives another name is looked for anew.
    store.create_raw("other", lostore::plain_spec(TableKind::Ordered, TableHome::Persistent)).unwrap();
    assert_eq!(redis.call(&["LS.USE", "other"]).unwrap(), Reply::Simple("OK".into()));
    assert_eq!(redis.call(&["SET", "k", "1"]).unwrap(), Reply::Simple("OK".into()));
    store.destroy_table("other").unwrap();
    let gone = redis.call(&["GET", "k"]).unwrap();
    assert!(matches!(&gone, Reply::Error(text) if text.starts_with("ERR LS0201 ")), "{gone:?}");
}

/// A large value goes in and out in pieces; what comes with it is in order.
#[test]
fn the_largest_value_passes_and_one_byte_more_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut client = Client::connect(&daemon.socket()).unwrap();
    let largest = "v".repeat(64 << 20);
    let replies = client.pipeline(&[&["SET", "k", &largest], &["STRLEN", "k"], &["GET", "k"], &["PING"]]).unwrap();
    assert_eq!(replies[..2], [Reply::Simple("OK".into()), Reply::Integer(64 << 20)]);
    assert!(matches!(&replies[2], Reply::Bulk(bytes) if bytes == largest.as_bytes()));
    assert_eq!(replies[3], Reply::Simple("PONG".into()));
    let refused = client.call(&["APPEND", "k", "v"]).unwrap();
    assert!(matches!(&refused, Reply::Error(text) if text.starts_with("ERR string exceeds")), "{refused:?}");
    let mut raw = UnixStream::connect(daemon.socket()).unwrap();
    raw.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$67108865\r\n").unwrap();
    let mut said = String::new();
    raw.read_to_string(&mut said).unwrap();
    assert_eq!(said, "-ERR Protocol error: invalid bulk length\r\n");
}

/// Commands and the end of the input in one go, as `printf … | nc -U` sends them.
#[test]
fn a_client_that_sends_and_closes_is_answered_all() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut raw = UnixStream::connect(daemon.socket()).unwrap();
    raw.write_all(b"SET a 1\r\nINCR a\r\nINCR a\r\nMULTI\r\nINCR a\r\nEXEC\r\nWAITAOF 1 0 0\r\nGET a\r\n").unwrap();
    raw.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    raw.read_to_string(&mut said).unwrap();
    assert_eq!(said.replace("\r\n", "|"), "+OK|:2|:3|+OK|+QUEUED|*1|:4|*2|:1|:0|$1|4|");
}

/// Each connection in turn has its last update answered just before the kill.
#[test]
fn what_is_answered_when_persistent_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    for life in 0..8 {
        let arguments = ["serve", text(dir.path()), "-o", "json", "--segment", "1M", "--redis-level", "persistent"];
        let daemon = Daemon::run(dir.path(), lostore(&arguments));
        let mut client = Client::connect(&daemon.socket()).unwrap();
        assert_eq!(client.call(&["LS.LEVEL"]).unwrap(), Reply::Bulk(b"persistent".to_vec()));
        for before in 0..life {
            let found = client.call(&["MGET", &format!("a{before}"), &format!("b{before}")]).unwrap();
            assert_eq!(found, Reply::Array(vec![Reply::Bulk(b"1".to_vec()), Reply::Bulk(b"2".to_vec())]));
        }
        let replies = client.pipeline(&[&["SET", &format!("a{life}"), "1"], &["INCRBY", &format!("b{life}"), "2"]]);
        assert_eq!(replies.unwrap(), [Reply::Simple("OK".into()), Reply::Integer(2)]);
        daemon.kill();
    }
}
