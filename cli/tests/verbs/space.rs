//! `space` and `reclaim`: the table sums to the file, the map is drawn, and what is dead goes.

use super::{Server, command, data, lostore, refused, with_stdin};
use serde_json::Value;
use std::path::Path;

fn json(dir: &Path, args: &[&str]) -> Value {
    serde_json::from_str(data(&lostore(dir, &[args, &["-o", "json"]].concat()))).unwrap()
}

/// Writes the same pairs anew, so that most of what was written is dead.
fn fill(dir: &Path) {
    data(&lostore(dir, &["table", "create", "t"]));
    for round in 0..6 {
        // Each time fewer of them: what the others hold lives on, scattered among the dead. Each set is shorter than a segment: a
        // longer one has a run of segments of its own.
        for part in 0..8 {
            let keys = (0..80 - 10 * round).filter(|n| n % 8 == part);
            let puts: String = keys.map(|n| format!("put t/{n} {}\n", round.to_string().repeat(3_000))).collect();
            data(&with_stdin(dir, &["txn"], puts.as_bytes()));
        }
    }
}

/// All values are the last that were written.
fn check(dir: &Path) {
    for n in 0..80 {
        let value = data(&lostore(dir, &["get", &format!("t/{n}")])).trim().to_owned();
        let round = (0..6).rev().find(|round| n < 80 - 10 * round).unwrap();
        assert_eq!(value, round.to_string().repeat(3_000), "t/{n}");
    }
}

fn sums_to_the_device(dir: &Path) -> Value {
    let space = json(dir, &["space"]);
    let uses = space["uses"].as_array().unwrap();
    let sum = |field: &str| uses.iter().map(|of| of[field].as_u64().unwrap()).sum::<u64>();
    let bytes = sum("live_bytes") + sum("dead_bytes") + sum("free_bytes") + space["superblock_bytes"].as_u64().unwrap();
    assert_eq!(bytes, space["device_bytes"].as_u64().unwrap(), "{space}");
    let file = std::fs::metadata(dir.join("data/lostore.data")).unwrap().len();
    assert_eq!(bytes, file, "the device is the file");
    let text = lostore(dir, &["space"]);
    let text = data(&text);
    for name in ["log", "table", "checkpoint", "waiting", "free", "superblock", "device"] {
        assert!(text.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}: {text}");
    }
    space
}

fn dead(space: &Value) -> u64 {
    space["uses"].as_array().unwrap().iter().map(|of| of["dead_bytes"].as_u64().unwrap()).sum()
}

#[test]
fn a_server_reclaims_when_it_is_asked_to_and_shows_where_its_space_went() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // So much must be dead that nothing is reclaimed by itself.
    let server = Server::start_with(dir, &["--segment", "128K", "--reclaim", "on", "--reclaim-dead", "100"]);
    fill(dir);
    let before = sums_to_the_device(dir);
    let done = json(dir, &["reclaim"]);
    assert!(done["segments_freed"].as_u64().unwrap() > 2 && done["records_moved"].as_u64().unwrap() > 0, "{done}");
    assert_eq!((&done["segments_waiting"], &done["batches_failed"]), (&0.into(), &0.into()), "{done}");
    let after = sums_to_the_device(dir);
    assert!(dead(&after) < dead(&before) / 2, "{before} {after}");
    let status = json(dir, &["status"]);
    assert_eq!(
        (&status["reclaim"]["on"], &status["reclaim"]["segments_freed"]),
        (&true.into(), &done["segments_freed"])
    );
    assert_eq!(status["checkpoints"]["kept"].as_array().unwrap().len(), 2, "{status}");
    let text = lostore(dir, &["status"]);
    assert!(
        data(&text).contains("\nreclaim   on: ") && data(&text).contains("\ncheckpoints 2 kept"),
        "{}",
        data(&text)
    );
    data(&lostore(dir, &["space", "--map", "map.svg"]));
    let map = std::fs::read_to_string(dir.join("map.svg")).unwrap();
    assert_eq!(map.matches("<title>segment ").count() as u64, status["segments"].as_u64().unwrap());
    check(dir);
    drop(server);
    let server = Server::start_with(dir, &[]);
    assert!(json(dir, &["status"])["checkpoints"]["recovered_epoch"].is_string(), "it began with a checkpoint");
    check(dir);
    drop(server);
}

#[test]
fn reclaim_is_refused_by_a_server_where_it_is_off_and_done_here_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = Server::start_with(dir, &["--segment", "128K", "--reclaim", "off"]);
    fill(dir);
    refused(&lostore(dir, &["reclaim"]), 1, "LS0316");
    refused(&lostore(dir, &["space", "--map", "no/such/map.svg"]), 2, "LS0605");
    drop(server);
    let done = lostore(dir, &["reclaim"]);
    assert!(data(&done).starts_with("segments  "), "{}", data(&done));
    check(dir);
    let wrong = command(dir, &["serve", "data", "--reclaim-dead", "0"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
