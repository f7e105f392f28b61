//! Values that a transaction writes out before its commit: offered, and then seen by nobody before it, or refused.

use super::{Cell, Ground, Line, On};
use crate::column::Lack;
use domains::schema::TableHome;
use domains::{Answer, ErrorKind, Level, Op, StageValue};
use txn::{CommitSet, Expect, PutOptions, Staged};

pub(super) const CHECKS: &[Line] =
    &[("a value is written out before its commit, or stays, or that is refused", On::Each, written_out)];

fn written_out(ground: &mut Ground) -> Cell {
    let table = ground.table();
    let key = ground.keys(table, 1).remove(0);
    if !ground.on.capabilities().writes_out {
        let refused = ground.on.call(Op::OpenStage).unwrap_err();
        assert_eq!((refused.code(), refused.kind()), (106, ErrorKind::Unsupported), "{refused}");
        return if ground.on.lacks(Lack::Persistence) { Cell::Not(Lack::Persistence) } else { Cell::Holds };
    }
    let Answer::Stage(stage) = ground.on.call(Op::OpenStage).unwrap() else { panic!("a stage was asked for") };
    let write = |onto, value: &[u8]| {
        let (stage, key, value) = (stage.clone(), key.clone(), value.to_vec());
        Op::Stage(Box::new(StageValue { stage, table, key, onto, value, forget: Vec::new() }))
    };
    let first = ground.on.call(write(None, &[1; 700])).unwrap();
    if ground.home == TableHome::Volatile {
        assert_eq!(first, Answer::Staged(None), "it lies in memory, and stays where it is");
        return Cell::Holds;
    }
    let Answer::Staged(Some(number)) = first else { panic!("{first:?}") };
    assert_eq!(ground.on.call(write(Some(number), &[2; 5_000])).unwrap(), Answer::Staged(Some(number)));
    let whole = [vec![1; 700], vec![2; 5_000]].concat();
    let read = Op::ReadStaged { stage: stage.clone(), number, table, key: key.clone() };
    assert_eq!(ground.on.call(read.clone()).unwrap(), Answer::Value(whole.clone()));
    assert_eq!(ground.on.get(table, &key), None, "nobody sees it before the commit");
    let mut set = CommitSet::new();
    set.stage_at(stage.clone());
    let staged = Staged { number, bytes: 5_700 };
    set.put_staged((table, &key), staged, b"the end", PutOptions::default(), Expect::Absent).unwrap();
    ground.on.commit(set.clone(), Level::Committed).unwrap();
    assert_eq!(ground.on.value(table, &key), Some([&whole[..], b"the end"].concat()));
    assert_eq!(ground.on.call(read).unwrap_err().code(), 314, "what was committed is no longer the transaction's");
    assert_eq!(ground.on.commit(set, Level::Committed).unwrap_err().code(), 314);
    Cell::Holds
}
