//! An import into another directory, the daemon killed in the middle of it, and the judgement afterwards.
//!
//! Contract: the oracle is the client's own: what it sent, in order, what was answered and with which epoch, and up to which epoch
//! it had been told that all is persistent. After the restart everything noticed must be there; an answered commit must be there
//! exactly if its epoch is not behind the cut; and what is there must be a prefix of what was sent.

use super::checks::{Checks, seconds};
use super::daemon::{Daemon, failed};
use super::{Service, service_failed};
use crate::failure::Failure;
use crate::output::count_text;
use lostore::{EpochId, Horizon, Remote};
use mdservice::{Attributes, Ino, Kind, NewNode, PendingMake, ROOT, Time};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// Transactions under way.
const IN_FLIGHT: usize = 128;
/// Entries that the second import would have, were it not killed.
const ENTRIES: usize = 12_000;
/// The daemon is killed when so many were answered.
const KILL_AT: usize = ENTRIES * 61 / 100;

/// One name that was sent.
struct Sent {
    parent: Ino,
    name: Vec<u8>,
    ino: Ino,
    /// The commit's epoch, when it was answered.
    epoch: Option<EpochId>,
}

/// What the client knows of its import.
pub(super) struct Oracle {
    sent: Vec<Sent>,
    directories: Vec<Ino>,
    heard: Horizon,
}

/// An import under way.
struct Import<'s> {
    service: &'s Service,
    oracle: Oracle,
    under_way: VecDeque<(usize, PendingMake<Remote>)>,
    answered: usize,
    lost: bool,
}

pub(super) fn import_and_kill(
    service: &Service,
    daemon: &mut Daemon,
    tree: &Path,
    checks: &mut Checks<'_>,
) -> Result<Oracle, Failure> {
    let into = service.mkdir(ROOT, b"second", &Attributes::new(0o755)).map_err(service_failed)?;
    into.ticket.persistent()?;
    let oracle = Oracle { sent: Vec::new(), directories: vec![into.ino], heard: service.store().horizon() };
    let mut import = Import { service, oracle, under_way: VecDeque::new(), answered: 0, lost: false };
    let (tell, told) = mpsc::channel::<()>();
    let pid = daemon.kill_handle()?;
    let killed = std::thread::scope(|scope| {
        // The killer does not wait for the import, nor the import for it: the kill comes wherever it comes.
        let killer = scope.spawn(move || told.recv().is_ok() && pid.kill());
        let result = import.run(tree, into.ino, &tell);
        drop(tell);
        let killed = killer.join().unwrap_or(false);
        result.map(|()| killed)
    })?;
    if !killed {
        // The tree was smaller than the plan: the end is as good a moment.
        daemon.kill()?;
    }
    let ended_well = daemon.reap()?;
    import.settle();
    import.oracle.heard = service.store().horizon();
    let Import { oracle, answered, .. } = import;
    let noticed =
        oracle.sent.iter().filter(|sent| sent.epoch.is_some_and(|epoch| epoch <= oracle.heard.persistent)).count();
    checks.check("the daemon was killed and did not end by itself", !ended_well);
    checks.step(
        "kill -9",
        &format!(
            "in the middle of a second import: {} sent, {} answered, {} noticed as persistent (epoch {})",
            count_text(oracle.sent.len() as u64),
            count_text(answered as u64),
            count_text(noticed as u64),
            oracle.heard.persistent
        ),
    )?;
    checks.facts("kill", json!({ "sent": oracle.sent.len(), "answered": answered, "noticed": noticed }));
    Ok(oracle)
}

impl Import<'_> {
    /// Imports breadth first until the daemon is gone, or the plan or the tree is at its end.
    fn run(&mut self, tree: &Path, into: Ino, kill: &mpsc::Sender<()>) -> Result<(), Failure> {
        let mut directories = VecDeque::from([(tree.to_owned(), into)]);
        while let Some((path, ino)) = directories.pop_front() {
            let Ok(names) = std::fs::read_dir(&path) else { continue };
            let mut paths: Vec<PathBuf> = names.filter_map(|name| Some(name.ok()?.path())).collect();
            paths.sort();
            for path in paths {
                if self.lost || self.oracle.sent.len() >= ENTRIES {
                    return Ok(());
                }
                if let Some(made) = self.send(&path, ino)? {
                    directories.push_back((path, made));
                    self.oracle.directories.push(made);
                }
                if self.answered >= KILL_AT {
                    // Once told it is gone, and further tellings are not heard.
                    let _ = kill.send(());
                }
            }
        }
        Ok(())
    }

    /// Sends one name; the number of a directory.
    fn send(&mut self, path: &Path, parent: Ino) -> Result<Option<Ino>, Failure> {
        let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(None) };
        let name = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        let kind = match () {
            () if found.is_dir() => Kind::Directory,
            () if found.is_symlink() => Kind::Symlink,
            () => Kind::File,
        };
        let target = match kind {
            Kind::Symlink => {
                std::fs::read_link(path).map_or_else(|_| b"?".to_vec(), |to| to.into_os_string().into_vec())
            }
            _ => Vec::new(),
        };
        let size = if kind == Kind::File { found.size() } else { target.len() as u64 };
        let attributes =
            Attributes { mode: found.mode() & 0o7777, uid: found.uid(), gid: found.gid(), size, mtime: Time::now() };
        let new = NewNode { parent, name: &name, kind, attributes, target: &target, parent_mtime: Time::now() };
        let pending = match self.service.start_make(&new) {
            Ok(pending) => pending,
            Err(mdservice::Error::Store(error)) if is_gone(&error) => {
                self.lost = true;
                return Ok(None);
            }
            Err(error) => return Err(service_failed(error)),
        };
        let ino = pending.ino();
        self.oracle.sent.push(Sent { parent, name, ino, epoch: None });
        self.under_way.push_back((self.oracle.sent.len() - 1, pending));
        if self.under_way.len() >= IN_FLIGHT {
            self.settle_one();
        }
        Ok((kind == Kind::Directory).then_some(ino))
    }

    fn settle_one(&mut self) {
        let Some((number, pending)) = self.under_way.pop_front() else { return };
        match pending.wait() {
            Ok(made) => {
                self.oracle.sent[number].epoch = Some(made.ticket.epoch());
                self.answered += 1;
            }
            // Its fate is not known: the daemon is gone.
            Err(_) => self.lost = true,
        }
    }

    /// Takes what is left of answers.
    fn settle(&mut self) {
        while !self.under_way.is_empty() {
            self.settle_one();
        }
    }
}

/// Whether the connection is gone.
fn is_gone(error: &lostore::Error) -> bool {
    matches!(error, lostore::Error::Disconnected { .. } | lostore::Error::Stopped)
}

pub(super) fn judge(
    service: &Service,
    daemon: &Daemon,
    oracle: Oracle,
    took: Duration,
    checks: &mut Checks<'_>,
) -> Result<(), Failure> {
    let recovery = daemon.recovery();
    let cut = cut_of(recovery).ok_or_else(|| failed("the restarted daemon told of no recovery".to_owned()))?;
    let mut there = BTreeMap::new();
    for directory in &oracle.directories {
        for dirent in service.readdir(*directory) {
            let dirent = dirent?;
            there.insert((dirent.parent, dirent.name.clone()), dirent.ino().map_err(service_failed)?);
        }
    }
    let survived: Vec<bool> =
        oracle.sent.iter().map(|sent| there.get(&(sent.parent, sent.name.clone())) == Some(&sent.ino)).collect();
    let prefix = survived.iter().position(|there| !there).unwrap_or(survived.len());
    for (at, (sent, there)) in oracle.sent.iter().zip(&survived).enumerate() {
        if let Some(epoch) = sent.epoch {
            if epoch <= oracle.heard.persistent {
                checks.check("what was noticed before the kill is there", *there);
            }
            checks.check(
                "an answered commit is there exactly if its epoch is not behind the cut",
                *there == (epoch <= cut),
            );
        }
        checks.check("what is there is a prefix of what was sent", *there == (at < prefix));
    }
    let kept = survived.iter().filter(|there| **there).count();
    checks.check("nothing is there that was not sent", there.len() == kept);
    checks.check("the cut is not before what was noticed", cut >= oracle.heard.persistent);
    let number = |name: &str| recovery[name].as_u64().unwrap_or(0);
    checks.step(
        "restart",
        &format!(
            "ready after {} (recovery {} ms): incarnation {}, cut {cut}, {} pairs from {} pages in {} segments ({} by summary), \
             {} records behind the cut dropped",
            seconds(took),
            daemon.took_ms(),
            number("incarnation"),
            count_text(number("pairs")),
            count_text(number("pages_read")),
            number("segments"),
            number("summaries_used"),
            count_text(number("records_dropped"))
        ),
    )?;
    checks.line(&format!(
        "           of the second import {} names are there and {} are not",
        count_text(kept as u64),
        count_text((survived.len() - kept) as u64)
    ))?;
    checks.facts("recovery", recovery.clone());
    checks.facts("second_import", json!({ "there": kept, "not_there": survived.len() - kept }));
    Ok(())
}

fn cut_of(recovery: &Value) -> Option<EpochId> {
    let (incarnation, counter) = recovery["cut"].as_str()?.split_once('.')?;
    Some(EpochId::new(lostore::Incarnation(incarnation.parse().ok()?), counter.parse().ok()?))
}
