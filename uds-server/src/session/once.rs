//! Who the client is, and its requests that are applied once.
//!
//! Contract: a connection speaks for a client from the answer to its identification on, when that was accepted. What it sends under
//! the client's numbers goes to the domain with the attempt that was accepted, so the domain refuses it once a later attempt was.
//! The commit of a transaction that is gone is answered as it was the first time, if that was well.

use super::{Session, World};
use crate::calls::Purpose;
use crate::convert::level;
use crate::transactions::Uncommitted;
use domains::{Answer, ClientId, Error, Once, RequestFate};
use txn::CommitSet;
use wire::{CommitOptions, codes};

type Place = (u32, u32);

impl Session {
    /// What names a request of the client that this connection speaks for.
    pub(super) fn once(&self, request: u64) -> Option<Once> {
        self.identity.map(|(client, attempt)| Once { client, attempt, request })
    }

    pub(super) fn identify(&mut self, place: Place, client: [u8; 16], attempt: u64, world: &mut World<'_>) {
        let client = ClientId(client);
        self.claims.insert(place, client);
        world.asked.push((Some(place), domains::Op::Identify { client, attempt }));
    }

    /// An identification was answered: if it was accepted, the connection speaks for the client.
    pub(super) fn identified(&mut self, place: Place, result: &Result<Answer, Error>) {
        let Some(client) = self.claims.remove(&place) else { return };
        if let Ok(Answer::Identified(identified)) = result
            && identified.accepted
        {
            self.identity = Some((client, identified.attempt));
        }
    }

    pub(super) fn fates(&mut self, place: Place, requests: Vec<u64>, world: &mut World<'_>) {
        self.ask_fates(place, requests, Purpose { reads: true, ..Purpose::default() }, world);
    }

    fn ask_fates(&mut self, place: Place, requests: Vec<u64>, purpose: Purpose, world: &mut World<'_>) {
        let Some((client, _)) = self.identity else {
            return self.refuse(place, codes::NOT_IDENTIFIED, world);
        };
        self.calls.set_purpose(place, purpose);
        world.asked.push((Some(place), domains::Op::Fates { client, requests }));
    }

    pub(super) fn txn_commit_once(
        &mut self,
        place: Place,
        request: u64,
        (txn, options): (u64, CommitOptions),
        world: &mut World<'_>,
    ) {
        let set = self.transactions.take_whole(txn);
        match (self.once(request), set) {
            (None, _) => self.refuse(place, codes::NOT_IDENTIFIED, world),
            (Some(once), Ok(set)) => self.commit_taken(place, set, options, Some(once), world),
            (Some(_), Err(why @ (Uncommitted::Reading | Uncommitted::Refused(_)))) => {
                self.refuse_commit(place, why, world);
            }
            // It may have come before, and then it is the answer of then that is wanted.
            (Some(_), Err(Uncommitted::Gone)) => {
                let recalls = Some((request, level(options.level)));
                let purpose = Purpose { notify: options.notify, recalls, ..Purpose::default() };
                self.ask_fates(place, vec![request], purpose, world);
            }
        }
    }

    /// The fate of a commit that came again is known: of one that was applied, the commit is asked for as it was, and the domain waits
    /// for its persistence if that was asked for. Of any other nothing is known, and its transaction is gone.
    pub(super) fn recalled(&mut self, place: Place, result: &Result<Answer, Error>, world: &mut World<'_>) {
        let purpose = self.calls.purpose(place);
        let (request, level) = purpose.recalls.expect("the caller has looked");
        let applied = match result {
            Ok(Answer::Fates(fates)) => matches!(fates.first(), Some(RequestFate::Applied(_))),
            _ => false,
        };
        match self.once(request).filter(|_| applied) {
            Some(once) => {
                self.calls.set_purpose(place, Purpose { recalls: None, ..purpose });
                world.asked.push((Some(place), domains::Op::CommitOnce { set: CommitSet::new(), level, once }));
            }
            None => self.refuse(place, codes::NO_SUCH_TRANSACTION, world),
        }
    }
}
