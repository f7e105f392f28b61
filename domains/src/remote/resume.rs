//! Going on over a lost connection: identification, the fates of what had no answer, and what is sent again.
//!
//! Contract: a client that resumes is not over when its connection ends, but *down*: what waits goes on waiting, reads that were under way
//! wait again, commits keep their numbers. Whoever carries its bytes connects anew and says so ([`Client::reconnect`]), or gives the
//! client up ([`Client::give_up`]). On the new connection nothing is sent before the server has said what became of everything.
//!
//! Other operations that change something (those on tables) have no numbers: one that was under way is answered as lost.

use super::asked::{Asked, Subject, op_bytes};
use super::keeper::{Keeper, Resume, Stage, Whereabouts};
use super::staging::Role;
use super::{Cause, Client, Lost, Refusal, lost};
use crate::seam::{Answer, Identified, Level, Op, OpId, Persistence, RequestFate};
use crate::translate;
use segments::EpochId;
use wire::limits::HELLO_FRAME_BYTES_MAX;
use wire::{Cut, FrameReader, FrameWriter, Known, List, Outcome, codes};

impl Client {
    /// A connection of a client that numbers its commits, and whose state outlives it.
    #[must_use]
    pub fn resuming(name: &str, known: Option<Known>, resume: Resume) -> Self {
        let mut client = Self::new(name, known);
        client.keeper = Some(Box::new(Keeper::new(resume)));
        client.say_hello(known);
        client
    }

    /// Whether it is ready to work: welcomed, and identified if it numbers its commits.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.greeting.is_some() && self.keeper.as_ref().is_none_or(|keeper| keeper.stage == Stage::Open)
    }

    /// Whether its connection is lost and it waits for another.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.stage == Stage::Down)
    }

    /// Whether something is kept that is not persistent, or without an answer.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.unanswered() > 0 || self.keeper.as_ref().is_some_and(|keeper| keeper.len() > 0)
    }

    /// There is a new connection to the server: it begins, in the output.
    ///
    /// # Panics
    /// Unless the client is down.
    pub fn reconnect(&mut self) {
        assert!(self.is_down(), "a client has one connection at a time");
        let keeper = self.keeper.as_mut().expect("a client without one is never down");
        keeper.stage = Stage::Greeting;
        let known = keeper.known;
        self.say_hello(known);
    }

    fn say_hello(&mut self, known: Option<Known>) {
        self.writer = FrameWriter::new(HELLO_FRAME_BYTES_MAX);
        self.reader = FrameReader::new(HELLO_FRAME_BYTES_MAX);
        self.greeting = None;
        self.write_hello(wire::FEATURE_ONCE, known);
    }

    /// Whether the end of the connection is not that of the client.
    pub(super) fn outlives(&self, cause: Cause) -> bool {
        let tries = match cause {
            Cause::Ended => true,
            Cause::Broken => false,
            // It stops, or has no room for now: another try may find it otherwise.
            Cause::Refused { code, .. } => {
                [codes::STOPPING, codes::CONNECTIONS_FULL, codes::TIMED_OUT, codes::MEMORY_FULL].contains(&code)
            }
        };
        tries && self.keeper.as_ref().is_some_and(|keeper| keeper.opened)
    }

    /// The connection is lost and the client is not: what was under way waits again.
    pub(super) fn go_down(&mut self, why: &str) {
        let mut asked: Vec<Asked> = std::mem::take(&mut self.frames).into_values().flatten().collect();
        self.flying = 0;
        // What was being sent in pieces is kept under its number.
        self.staging = None;
        while let Some(Asked { id, changes, role, request, op, .. }) = asked.pop() {
            match (role, request, op) {
                (Role::Whole, None, Some(op)) => self.wait_first(id, op),
                (Role::Whole, None, None) => {
                    let refusal = Refusal::Lost { why: why.to_owned(), maybe_applied: changes };
                    self.answers.push((id, Err(refusal)));
                }
                (Role::Whole, Some(_), _) | (Role::Step | Role::Farewell | Role::Identify | Role::Fates, _, _) => {}
            }
        }
        let keeper = self.keeper.as_mut().expect("it outlives its connection");
        keeper.go_down();
        // What is left to send is the old connection's.
        self.writer = FrameWriter::new(HELLO_FRAME_BYTES_MAX);
    }

    /// Puts an operation before all that wait.
    pub(super) fn wait_first(&mut self, id: OpId, op: Op) {
        self.waiting_bytes += op_bytes(&op);
        self.waiting.push_front((id, op));
    }

    /// Everything of the keeper's is answered: its commits may have been applied.
    pub(super) fn answer_kept(&mut self, why: &str) {
        let refusal = |maybe_applied| Refusal::Lost { why: why.to_owned(), maybe_applied };
        let unanswered = self.keeper.as_mut().map_or_else(Vec::new, |keeper| keeper.give_up());
        self.answers.extend(unanswered.into_iter().map(|id| (id, Err(refusal(true)))));
        let parked = std::mem::take(&mut self.parked);
        self.answers.extend(parked.into_iter().map(|(id, _)| (id, Err(refusal(false)))));
    }

    /// The server has welcomed a client that numbers its commits.
    pub(super) fn identify(&mut self, features: u64) -> Result<(), Lost> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        if features & wire::FEATURE_ONCE == 0 {
            return Err(lost("it does not apply requests once, as a resuming client needs; update the server"));
        }
        let greeting = self.greeting.as_ref().expect("it was just welcomed");
        if keeper.known.is_some_and(|known| known.server_id != greeting.server_id) {
            return Err(lost("another store is served there now"));
        }
        if keeper.opened {
            keeper.resume.attempt += 1;
        }
        self.send_identity();
        Ok(())
    }

    fn send_identity(&mut self) {
        let keeper = self.keeper.as_mut().expect("the caller has looked");
        keeper.stage = Stage::Identifying;
        let Resume { client, attempt, .. } = keeper.resume;
        self.send_own(wire::Op::Identify { client: client.0, attempt }, Role::Identify);
    }

    /// Sends a frame of the client's own, whose answer no caller waits for.
    fn send_own(&mut self, op: wire::Op<'_>, role: Role) {
        let frame = self.frame_last + 1;
        self.writer.request(frame, 0, op).expect("what a client says itself is small");
        self.fly(frame, vec![Asked { role, ..Asked::of(OpId(0), Subject::Nothing) }]);
    }

    /// The server has answered the identification.
    pub(super) fn identified(&mut self, outcome: Outcome<'_>) -> Result<(), Lost> {
        let answer = own_answer(outcome)?;
        let Some(Answer::Identified(Identified { accepted, attempt, last, .. })) = answer else {
            return Err(lost("it answered with what was not asked"));
        };
        let (greeting, horizon) = (self.greeting.as_ref().expect("it is welcomed"), self.horizon);
        let keeper = self.keeper.as_mut().expect("it has identified itself");
        if !accepted {
            keeper.resume.attempt = attempt.saturating_add(1);
            self.send_identity();
            return Ok(());
        }
        keeper.go_on_behind(last);
        keeper.reconcile(match greeting.cut {
            Cut::Running | Cut::NotAsked => None,
            Cut::At(cut) => Some(EpochId(cut)),
            // Nothing is known to have survived; what has is answered as it was.
            Cut::Unknown => Some(EpochId::default()),
        });
        keeper.known = Some(Known { server_id: greeting.server_id, incarnation: horizon.incarnation.0 });
        let unanswered = keeper.unanswered();
        if unanswered.is_empty() {
            self.open();
            return Ok(());
        }
        keeper.stage = Stage::Asking;
        let requests = List::new(unanswered).expect("the window is smaller than the list may be");
        self.send_own(wire::Op::Fates { requests }, Role::Fates);
        Ok(())
    }

    /// The server has said what became of what had no answer.
    pub(super) fn fates_came(&mut self, outcome: Outcome<'_>) -> Result<(), Lost> {
        let Some(Answer::Fates(fates)) = own_answer(outcome)? else {
            return Err(lost("it answered with what was not asked"));
        };
        let keeper = self.keeper.as_ref().expect("it has asked");
        let requests = keeper.unanswered();
        if requests.len() != fates.len() {
            return Err(lost("it told the fates of another number of requests"));
        }
        for (request, fate) in requests.into_iter().zip(fates) {
            let level = self.keeper.as_ref().expect("it has asked").get(request).level;
            match fate {
                // Sent again, it is answered when it is persistent.
                RequestFate::Applied(committed)
                    if level == Level::Persistent && committed.persistence == Persistence::Pending => {}
                RequestFate::Applied(committed) => self.settle_request(request, Ok(Answer::Committed(committed))),
                RequestFate::NotApplied => {}
                RequestFate::Forgotten => {
                    let why = "the server has forgotten what became of it".to_owned();
                    self.settle_request(request, Err(Refusal::Lost { why, maybe_applied: true }));
                }
            }
        }
        self.open();
        Ok(())
    }

    fn open(&mut self) {
        let keeper = self.keeper.as_mut().expect("the caller has looked");
        (keeper.stage, keeper.opened) = (Stage::Open, true);
        keeper.trim(self.horizon);
        self.unpark();
    }

    /// A numbered commit was answered.
    pub(super) fn settle_request(&mut self, request: u64, result: Result<Answer, Refusal>) {
        let keeper = self.keeper.as_mut().expect("it has numbered the commit");
        if let Some(id) = keeper.answered(request, &result) {
            self.answers.push((id, result));
        }
        self.unpark();
    }

    /// Lets those who wait for the persistence of commits go on when all that were lost are applied again.
    fn unpark(&mut self) {
        let keeper = self.keeper.as_ref().expect("the caller has looked");
        if keeper.replaying() > 0 || self.parked.is_empty() {
            return;
        }
        while let Some((id, op)) = self.parked.pop() {
            self.wait_first(id, op);
        }
    }

    /// Whether what waits first cannot be sent yet, for a reason that is not the connection's. One who waits for a commit that is to be
    /// applied again is put aside.
    pub(super) fn must_wait(&mut self) -> bool {
        while let (Some(keeper), Some((_, Op::AwaitCommit { version }))) = (&self.keeper, self.waiting.front()) {
            if keeper.whereabouts(*version) != Whereabouts::Underway {
                return false;
            }
            let aside = self.take_waiting();
            self.parked.push(aside);
        }
        match (&self.keeper, self.waiting.front()) {
            (Some(keeper), Some((_, Op::Commit { .. }))) => keeper.room() == 0,
            (_, Some(_)) => false,
            (_, None) => true,
        }
    }

    /// Numbers an operation if it is a commit.
    pub(super) fn numbered(&mut self, op: Op) -> (Op, Option<u64>) {
        match (op, &mut self.keeper) {
            (Op::Commit { set, level }, Some(keeper)) => {
                let once = keeper.number();
                (Op::CommitOnce { set, level, once }, Some(once.request))
            }
            (op, _) => (op, None),
        }
    }

    /// What is noted of an operation that was just sent.
    pub(super) fn note(&mut self, id: OpId, mut op: Op, request: Option<u64>) -> Asked {
        let mut asked = super::asked::asked(id, &op);
        let Some(keeper) = &mut self.keeper else { return asked };
        asked.request = request;
        if let (Some(request), Op::CommitOnce { set, level, .. }) = (request, &mut op) {
            keeper.keep(request, id, std::mem::take(set), *level);
        } else if !asked.changes {
            asked.op = Some(op);
        }
        asked
    }

    /// An operation as it travels.
    pub(super) fn out<'o>(keeper: Option<&Keeper>, op: &'o Op) -> Option<wire::Op<'o>> {
        let mut sent = match (op, keeper) {
            (Op::AwaitCommit { version }, Some(keeper)) => match keeper.whereabouts(*version) {
                Whereabouts::In(epoch) => wire::Op::Await { epoch: epoch.0 },
                Whereabouts::Underway => unreachable!("it was looked at before"),
            },
            (op, _) => translate::op_out(op)?,
        };
        if let (wire::Op::CommitOnce { parts, .. }, Some(keeper)) = (&mut sent, keeper) {
            keeper.rename_in(parts.as_mut_slice());
        }
        Some(sent)
    }

    /// Sends the first of those that are to be sent again; `false` when there is none.
    pub(super) fn send_again(&mut self, frame_bytes: usize) -> bool {
        let Some(keeper) = &mut self.keeper else { return false };
        let Some(request) = keeper.again.pop_first() else { return false };
        let kept = keeper.get(request);
        let (id, once) = (kept.id, keeper.once(request));
        let op = Op::CommitOnce { set: kept.set.clone(), level: kept.level, once };
        if super::staging::is_larger(&op, frame_bytes) {
            let Op::CommitOnce { set, level, .. } = op else { unreachable!("it was just made") };
            self.begin_staging(id, set, level, Some(request));
            return true;
        }
        let frame = self.frame_last + 1;
        let sent = Self::out(self.keeper.as_deref(), &op).expect("it was sent before");
        let written = self.writer.request(frame, 0, sent);
        written.expect("it has fitted a frame before");
        let mut asked = super::asked::asked(id, &op);
        asked.request = Some(request);
        self.fly(frame, vec![asked]);
        true
    }

    /// An operation was refused because the server stops: the client goes on with the next. `None` when it does not resume.
    pub(super) fn survives(&mut self, asked: &mut Asked, result: &Result<Answer, Refusal>) -> Option<Lost> {
        let stops = matches!(result, Err(Refusal::Fault { code: codes::STOPPING, .. }));
        let keeper = self.keeper.as_mut().filter(|_| stops)?;
        match (asked.request, asked.op.take()) {
            (Some(request), _) => drop(keeper.again.insert(request)),
            (None, Some(op)) => self.wait_first(asked.id, op),
            (None, None) => return None,
        }
        Some(Lost { cause: Cause::Ended, why: "the server stops".to_owned() })
    }
}

/// The answer to what the client asks on its own account. A refusal ends the connection.
fn own_answer(outcome: Outcome<'_>) -> Result<Option<Answer>, Lost> {
    match outcome.into_result() {
        Ok(answer) => Ok(translate::answer_in(answer)),
        Err(fault) => {
            let cause = Cause::Refused { code: fault.code, kind: translate::kind_in(fault.kind) };
            Err(Lost { cause, why: fault.message.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests;
