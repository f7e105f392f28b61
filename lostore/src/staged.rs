//! What a transaction has written out before its commit: writing it, and reading it back.
//!
//! Contract: a value that was written out reads as if it were in memory. Values are written in rounds, several at a time, and
//! a round is waited for.

use crate::backend::{Answer, Backend, Op};
use crate::error::Error;
use crate::limits::{STAGE_BYTES_AT_ONCE, STAGE_VALUES_AT_ONCE};
use crate::store::Store;
use ::txn::{Change, CommitSet, Outgrown, Part, PutOptions, SetError, Stage};
use domains::StageValue;
use std::borrow::Cow;

/// What a transaction does to a key.
pub(crate) enum Own<'s> {
    /// The pair becomes this.
    Put { value: Cow<'s, [u8]>, options: PutOptions },
    /// Its record grows by this.
    Append { value: Cow<'s, [u8]>, options: PutOptions },
    /// The pair goes.
    Delete,
    /// Nothing that is seen before the commit.
    Nothing,
}

/// What a part does to its key. What a revert will make of it is known at commit only, so such a key is not read.
pub(crate) fn own<'s, B: Backend>(store: &Store<B>, stage: Option<&Stage>, part: &Part<'s>) -> Result<Own<'s>, Error> {
    Ok(match part.change {
        Change::Put { value, options } => Own::Put { value: whole(store, stage, part, value)?, options },
        Change::Append { value, options } => Own::Append { value: whole(store, stage, part, value)?, options },
        Change::Delete => Own::Delete,
        Change::Revert { .. } => return Err(Error::refused(SetError::RevertsAlone)),
        Change::None | Change::Seal { .. } => Own::Nothing,
    })
}

/// What was written out of a part's value, and what was not.
fn whole<'s, B: Backend>(
    store: &Store<B>,
    stage: Option<&Stage>,
    part: &Part<'s>,
    rest: &'s [u8],
) -> Result<Cow<'s, [u8]>, Error> {
    let (Some(staged), Some(stage)) = (part.staged, stage) else { return Ok(Cow::Borrowed(rest)) };
    let (stage, number, table, key) = (stage.clone(), staged.number, part.table, part.key.to_vec());
    let Answer::Value(mut value) = store.call(Op::ReadStaged { stage, number, table, key })? else {
        return Err(Error::WrongAnswer { asked: "reading what a transaction has written out" });
    };
    value.extend_from_slice(rest);
    Ok(Cow::Owned(value))
}

/// What is asked for here.
const ASKED: &str = "writing out values of a transaction";

/// The stage of a transaction that is about to write values out.
pub(crate) fn open<B: Backend>(store: &Store<B>) -> Result<Stage, Error> {
    let Answer::Stage(stage) = store.call(Op::OpenStage)? else { return Err(Error::WrongAnswer { asked: ASKED }) };
    Ok(stage)
}

/// Writes values of a set out, and lets go of their memory.
pub(crate) fn write_out<B: Backend>(store: &Store<B>, set: &mut CommitSet, outgrown: &[Outgrown]) -> Result<(), Error> {
    let stage = set.stage().expect("it was opened first").clone();
    let mut left = outgrown;
    while !left.is_empty() {
        let (mut started, mut bytes) = (Vec::new(), 0);
        while let Some((of, rest)) = left.split_first()
            && started.len() < STAGE_VALUES_AT_ONCE
            && (started.is_empty() || bytes + of.bytes() <= STAGE_BYTES_AT_ONCE)
        {
            bytes += of.bytes();
            left = rest;
            let forget = set.take_forgotten();
            let (part, value) = (set.part(of.position), set.outgrown_value(of));
            let (part, value) = part.zip(value).expect("nothing changes the set while it is written out");
            let (table, key, onto) = (part.table, part.key.to_vec(), part.staged.map(|staged| staged.number));
            let what = StageValue { stage: stage.clone(), table, key, onto, value: value.to_vec(), forget };
            started.push((of, store.backend().start(Op::Stage(Box::new(what)))?));
        }
        for (of, pending) in started {
            let Answer::Staged(number) = store.backend().wait(pending)? else {
                return Err(Error::WrongAnswer { asked: ASKED });
            };
            match number {
                Some(number) => set.staged(of, number),
                None => set.stays(of),
            }
        }
    }
    set.compact();
    Ok(())
}
