//! A domain in a box is one: for those that are told at run time which it is.

use super::{Answer, Asker, Capabilities, Domain, Driven, Horizon, Op, OpId, PairRef, Seen, Tick};
use crate::error::Error;
use segments::{Completion, Request, TableId, Tag};
use std::task::Poll;

impl<D: Domain + ?Sized> Domain for Box<D> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn horizon(&self) -> Horizon {
        (**self).horizon()
    }

    fn submit(&mut self, id: OpId, op: Op, now: Tick) {
        (**self).submit(id, op, now);
    }

    fn submit_for(&mut self, asker: Asker, id: OpId, op: Op, now: Tick) {
        (**self).submit_for(asker, id, op, now);
    }

    fn submit_now(&mut self, asker: Asker, id: OpId, op: Op, now: Tick) -> Option<Result<Answer, Error>> {
        (**self).submit_now(asker, id, op, now)
    }

    fn gone(&mut self, asker: Asker, now: Tick) {
        (**self).gone(asker, now);
    }

    fn lookup_now(
        &mut self,
        table: TableId,
        key: &[u8],
        now: Tick,
        see: &mut dyn FnMut(Option<PairRef<'_>>),
    ) -> Result<Seen, Error> {
        (**self).lookup_now(table, key, now, see)
    }

    fn turn(&mut self, now: Tick) -> Option<Tick> {
        (**self).turn(now)
    }

    fn take_answers(&mut self, answers: &mut Vec<(OpId, Result<Answer, Error>)>) {
        (**self).take_answers(answers);
    }
}

impl<D: Driven + ?Sized> Driven for Box<D> {
    fn take_requests(&mut self, requests: &mut Vec<(Tag, Request)>) {
        (**self).take_requests(requests);
    }

    fn complete(&mut self, completion: Completion, now: Tick) {
        (**self).complete(completion, now);
    }

    fn close(&mut self) -> Poll<Result<(), Error>> {
        (**self).close()
    }
}
