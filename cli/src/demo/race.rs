//! Eight clients, each with a connection of its own, rename their files over the same names of one directory.
//!
//! Contract: a rename happens whole or not at all: whatever the order, in the end each name is there once, every file that lost
//! its name is gone, and none is lost otherwise.

use super::checks::{Checks, seconds};
use super::daemon::{Daemon, failed};
use super::{Service, open, service_failed};
use crate::args::Target;
use crate::failure::Failure;
use crate::output::count_text;
use mdservice::{Attributes, Ino, ROOT};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Instant;

const CLIENTS: usize = 8;
/// Renames of each client.
const RENAMES: usize = 100;
/// Names that they all want.
const NAMES: usize = 40;

pub(super) fn race(
    daemon: &Daemon,
    target: &Target,
    service: &Service,
    checks: &mut Checks<'_>,
) -> Result<(), Failure> {
    let arena = service.mkdir(ROOT, b"race", &Attributes::new(0o755)).map_err(service_failed)?.ino;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = open(daemon, target)?;
        let name = format!("client {number}");
        let home = client.mkdir(ROOT, name.as_bytes(), &Attributes::new(0o755)).map_err(service_failed)?.ino;
        let files: Result<Vec<Ino>, mdservice::Error> = (0..RENAMES)
            .map(|file| client.create(home, file.to_string().as_bytes(), &Attributes::new(0o644)).map(|made| made.ino))
            .collect();
        clients.push((number, client, home, files.map_err(service_failed)?));
    }
    let refused_before = service.store().status()?.compare_failures;
    let began = Instant::now();
    let outcomes: Vec<Result<(u64, u64), Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter()
            .map(|(number, client, home, _)| scope.spawn(move || renames(*number, client, *home, arena)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(failed("a client of the race panicked".to_owned()))))
            .collect()
    });
    let took = began.elapsed();
    let retried = service.store().status()?.compare_failures - refused_before;
    let (mut renamed, mut contended) = (0, 0);
    for outcome in outcomes {
        let (done, lost) = outcome?;
        renamed += done;
        contended += lost;
    }
    judge(service, arena, &clients, contended, checks)?;
    checks.step(
        "race",
        &format!(
            "{CLIENTS} clients rename into one directory: {} ok, {} commits refused by a compare and tried again, {contended} given up, {}",
            count_text(renamed),
            count_text(retried),
            seconds(took)
        ),
    )?;
    checks.facts("race", json!({ "renamed": renamed, "refused_and_retried": retried, "given_up": contended }));
    Ok(())
}

/// One client's renames: how many were done, and how many given up because others were always faster.
fn renames(number: usize, client: &Service, home: Ino, arena: Ino) -> Result<(u64, u64), Failure> {
    let (mut done, mut lost) = (0, 0);
    for file in 0..RENAMES {
        let to = format!("name {}", (file + number * 7) % NAMES);
        match client.rename(home, file.to_string().as_bytes(), arena, to.as_bytes()) {
            Ok(_) => done += 1,
            Err(error) if error.is_conflict() => lost += 1,
            Err(error) => return Err(service_failed(error)),
        }
    }
    Ok((done, lost))
}

/// What must be so afterwards, whoever won.
fn judge(
    service: &Service,
    arena: Ino,
    clients: &[(usize, Service, Ino, Vec<Ino>)],
    contended: u64,
    checks: &mut Checks<'_>,
) -> Result<(), Failure> {
    let mut left = 0;
    let mut named = BTreeSet::new();
    for (_, client, home, _) in clients {
        for dirent in client.readdir(*home) {
            named.insert(dirent?.ino().map_err(service_failed)?);
            left += 1;
        }
    }
    checks.check("what was not given up has left its first directory", left == contended);
    let mut names = BTreeSet::new();
    for dirent in service.readdir(arena) {
        let dirent = dirent?;
        checks.check("a name is there once", names.insert(dirent.name.clone()));
        checks.check("a file has one name", named.insert(dirent.ino().map_err(service_failed)?));
    }
    checks.check("every wanted name is there", names.len() == NAMES);
    for ino in clients.iter().flat_map(|(_, _, _, files)| files) {
        let there = service.stat(*ino).map_err(service_failed)?.is_some();
        checks.check("a file is there exactly if it has a name", there == named.contains(ino));
    }
    Ok(())
}
