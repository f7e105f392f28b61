//! What a client keeps so that it can go on when its connection is lost: its commits under their numbers.
//!
//! Contract: a commit is kept from the moment it is sent until its answer is told; one that was answered and is not persistent yet is
//! kept on where the client replays. Nothing here sends anything: what is to be sent (again) stands in `again`.
//!
//! Invariants: numbers are given in the order of sending; those of commits without an answer lie within the server's window; where the
//! connection is open, every commit that is kept with its answer is of the server's present incarnation, or stands in `again`.

use super::Refusal;
use crate::seam::{Answer, ClientId, Committed, Horizon, Level, Once, OpId, Persistence, REQUEST_WINDOW};
use segments::{EpochId, Version};
use std::collections::{BTreeMap, BTreeSet};
use txn::CommitSet;
use wire::Known;

/// Commits that are kept at most. Above, and above as many bytes as may wait for a credit, no more are sent.
const KEPT_MAX: usize = 65_536;
/// Bytes of their keys and values.
const KEPT_BYTES_MAX: usize = super::WAITING_BYTES_MAX;
/// Versions whose successors are remembered; the oldest are forgotten first.
const RENAMED_MAX: usize = 1 << 18;

/// How a client goes on when its connection is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resume {
    /// Who it is.
    pub client: ClientId,
    /// The attempt of its first connection; each further one has the next.
    pub attempt: u64,
    /// Whether it commits again what was answered and lost in a crash of the server.
    pub replay: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Waiting for the welcome.
    Greeting,
    /// Waiting for the answer to its identification.
    Identifying,
    /// Waiting for the fates of what had no answer.
    Asking,
    /// At work.
    Open,
    /// There is none.
    Down,
}

/// A commit under its number.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: OpId,
    pub(super) set: CommitSet,
    pub(super) level: Level,
    /// What its caller was told, once it was.
    pub(super) told: Option<Committed>,
    /// The epoch that it is in, once it is known to be applied: of one that was told nothing means that it is to be applied again.
    pub(super) epoch: Option<EpochId>,
}

/// Where a commit stands whose persistence is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whereabouts {
    /// In this epoch.
    In(EpochId),
    /// It is about to be applied again.
    Underway,
}

/// The commits of a client.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) resume: Resume,
    pub(super) stage: Stage,
    /// It was open once: from then on the end of a connection is not the end of the client.
    pub(super) opened: bool,
    /// The server and incarnation that the client last worked with.
    pub(super) known: Option<Known>,
    /// What is to be sent before anything new: what was lost on the way, and what is applied again.
    pub(super) again: BTreeSet<u64>,
    last: u64,
    kept: BTreeMap<u64, Kept>,
    bytes: usize,
    /// Those without an answer.
    unanswered: BTreeSet<u64>,
    /// Those with one, by the last version that their callers were told.
    told: BTreeMap<Version, u64>,
    /// How many of them are to be applied again.
    replaying: usize,
    /// The versions that commits had given before they were applied again, and what they are now.
    renamed: BTreeMap<Version, Version>,
}

impl Keeper {
    pub(super) fn new(resume: Resume) -> Self {
        Self {
            resume,
            stage: Stage::Greeting,
            opened: false,
            known: None,
            again: BTreeSet::new(),
            last: 0,
            kept: BTreeMap::new(),
            bytes: 0,
            unanswered: BTreeSet::new(),
            told: BTreeMap::new(),
            replaying: 0,
            renamed: BTreeMap::new(),
        }
    }

    /// Goes on behind this number.
    pub(super) fn go_on_behind(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// How many more commits may be numbered and sent.
    pub(super) fn room(&self) -> usize {
        if self.kept.len() >= KEPT_MAX || self.bytes > KEPT_BYTES_MAX {
            return 0;
        }
        let oldest = self.unanswered.first().map_or(self.last + 1, |oldest| *oldest);
        let under_way = self.last + 1 - oldest;
        usize::try_from(u64::from(REQUEST_WINDOW).saturating_sub(under_way)).unwrap_or(0)
    }

    /// The name of the next commit.
    pub(super) fn number(&mut self) -> Once {
        self.last += 1;
        self.once(self.last)
    }

    pub(super) fn once(&self, request: u64) -> Once {
        Once { client: self.resume.client, attempt: self.resume.attempt, request }
    }

    /// Keeps a commit that was just sent, or is being sent.
    pub(super) fn keep(&mut self, request: u64, id: OpId, set: CommitSet, level: Level) {
        self.bytes += set.bytes();
        self.unanswered.insert(request);
        let before = self.kept.insert(request, Kept { id, set, level, told: None, epoch: None });
        assert!(before.is_none(), "number {request} is given once");
    }

    pub(super) fn get(&self, request: u64) -> &Kept {
        &self.kept[&request]
    }

    fn remove(&mut self, request: u64) -> Kept {
        let kept = self.kept.remove(&request).expect("it is kept until it is answered");
        self.bytes -= kept.set.bytes();
        self.unanswered.remove(&request);
        self.again.remove(&request);
        if let Some(version) = kept.told.as_ref().and_then(last_version) {
            self.told.remove(&version);
        }
        kept
    }

    /// A commit was answered. Returns whose answer it is, if its caller has none yet.
    pub(super) fn answered(&mut self, request: u64, result: &Result<Answer, Refusal>) -> Option<OpId> {
        self.again.remove(&request);
        let committed = match result {
            Ok(Answer::Committed(committed)) => Some(committed),
            Ok(_) | Err(_) => None,
        };
        // One that changed nothing has nothing to lose.
        let changed = |committed: &&Committed| !committed.versions.as_slice().is_empty();
        let pending = |committed: &&Committed| committed.persistence == Persistence::Pending;
        let stays = committed.filter(|_| self.resume.replay).filter(changed).filter(pending).cloned();
        let kept = self.kept.get_mut(&request).expect("it is kept until it is answered");
        let id = kept.id;
        let first = kept.told.is_none();
        if !first {
            self.replaying -= 1;
            let told = kept.told.clone();
            if let (Some(told), Some(committed)) = (told, committed) {
                self.rename(&told, committed);
            }
        }
        match stays {
            None => drop(self.remove(request)),
            Some(committed) => {
                let kept = self.kept.get_mut(&request).expect("looked up above");
                kept.epoch = Some(committed.epoch);
                if first {
                    self.unanswered.remove(&request);
                    if let Some(version) = last_version(&committed) {
                        self.told.insert(version, request);
                    }
                    kept.told = Some(committed);
                }
            }
        }
        first.then_some(id)
    }

    /// The versions that a commit gave are others now.
    fn rename(&mut self, told: &Committed, now: &Committed) {
        let (told, now) = (told.versions.as_slice(), now.versions.as_slice());
        if told.len() != now.len() {
            return;
        }
        self.renamed.extend(told.iter().copied().zip(now.iter().copied()));
        while self.renamed.len() > RENAMED_MAX {
            self.renamed.pop_first();
        }
    }

    /// Lets go of what is persistent.
    pub(super) fn trim(&mut self, horizon: Horizon) {
        while let Some((&request, kept)) = self.kept.first_key_value() {
            let covered = |epoch: EpochId| epoch.incarnation() == horizon.incarnation && epoch <= horizon.persistent;
            if kept.told.is_none() || !kept.epoch.is_some_and(covered) {
                return;
            }
            self.remove(request);
        }
    }

    /// A connection is lost: what was under way is to be sent again.
    pub(super) fn go_down(&mut self) {
        self.stage = Stage::Down;
        let open = self.kept.iter().filter(|(_, kept)| kept.epoch.is_none()).map(|(request, _)| *request);
        self.again.extend(open);
    }

    /// The client works with a server again, which says what survived of the incarnation it knew: `None` if that still runs.
    pub(super) fn reconcile(&mut self, cut: Option<EpochId>) {
        let Some(cut) = cut else { return };
        let answered: Vec<(u64, EpochId)> =
            self.kept.iter().filter_map(|(request, kept)| Some((*request, kept.epoch?))).collect();
        for (request, epoch) in answered {
            if epoch.incarnation() == cut.incarnation() && epoch <= cut {
                self.remove(request);
                continue;
            }
            self.kept.get_mut(&request).expect("just seen").epoch = None;
            self.replaying += 1;
            self.again.insert(request);
        }
    }

    /// The numbers of those without an answer.
    pub(super) fn unanswered(&self) -> Vec<u64> {
        self.unanswered.iter().copied().collect()
    }

    /// Whose answer is missing; they are let go of.
    pub(super) fn give_up(&mut self) -> Vec<OpId> {
        let unanswered = self.unanswered();
        unanswered.into_iter().map(|request| self.remove(request).id).collect()
    }

    /// Commits that are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Commits that are to be applied again and are not yet.
    pub(super) fn replaying(&self) -> usize {
        self.replaying
    }

    /// Where the commit is that gave this version.
    pub(super) fn whereabouts(&self, version: Version) -> Whereabouts {
        let kept = self.told.get(&version).map(|request| &self.kept[request]);
        match kept.map(|kept| kept.epoch) {
            Some(Some(epoch)) => Whereabouts::In(epoch),
            Some(None) => Whereabouts::Underway,
            None => Whereabouts::In(self.renamed.get(&version).copied().unwrap_or(version).epoch),
        }
    }

    /// Names the versions in a commit as they are now.
    pub(super) fn rename_in(&self, parts: &mut [wire::Part<'_>]) {
        if self.renamed.is_empty() {
            return;
        }
        let rename = |version: &mut wire::Version| {
            let was = Version { epoch: EpochId(version.epoch), ordinal: segments::Ordinal(version.ordinal) };
            if let Some(now) = self.renamed.get(&was) {
                *version = wire::Version { epoch: now.epoch.0, ordinal: now.ordinal.0 };
            }
        };
        for part in parts {
            if let wire::Expect::At(version) = &mut part.expect {
                rename(version);
            }
            if let wire::Change::Revert { token } | wire::Change::Seal { token } = &mut part.change {
                rename(token);
            }
        }
    }
}

fn last_version(committed: &Committed) -> Option<Version> {
    committed.versions.as_slice().last().copied()
}
