//! Short programs: all that there are of a length, but for those that another one stands for.
//!
//! Contract: a program is some operations of two transactions on two keys; what is still open at its end is committed then, in the
//! order in which it was begun. [`programs`] leaves out what cannot make a difference, and nothing else:
//! * a program with the other names for its transactions, or for its keys where the store begins with both or neither;
//! * an update of one transaction moved before one of the other that is open too: nobody sees either before a commit;
//! * a commit or abort of a transaction that has nothing, a force when nothing was committed since the last, and a commit at the end
//!   that would come there anyway;
//! * an abort of what is only in the client's memory, of which the store hears nothing (where values are written out
//!   before the commit, it does, and these two are kept).

/// What an update does to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Update {
    /// Puts a value, whatever is there.
    Put,
    /// Removes the pair, which must be there.
    Delete,
    /// Puts bytes behind what is there, if it is what it was when this was said.
    Append,
    /// Puts a value, if the pair is at the version that it was at when this was said.
    Swap,
}

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// A transaction updates a key.
    Update {
        /// The transaction: 0 or 1.
        txn: usize,
        /// The key: 0 or 1.
        key: usize,
        /// What it does.
        update: Update,
    },
    /// A transaction is committed; the next operation with its number begins another.
    Commit(usize),
    /// The same, and it is to be answered when it is persistent.
    Persist(usize),
    /// A transaction is dropped.
    Abort(usize),
    /// Everything committed is to be made persistent.
    Force,
}

/// What is there at the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// The first key.
    First,
    /// Both keys.
    Both,
    /// Neither.
    Neither,
}

impl Start {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::First, Self::Both, Self::Neither];

    /// The keys that are there.
    pub(super) fn keys(self) -> &'static [usize] {
        match self {
            Self::First => &[0],
            Self::Both => &[0, 1],
            Self::Neither => &[],
        }
    }
}

/// A program that grows.
#[derive(Clone, Default)]
struct Growing {
    acts: Vec<Act>,
    /// Transactions with updates, in the order in which they were begun.
    open: Vec<usize>,
    /// Whether something was committed since the last force.
    committed: bool,
}

/// All programs of `length` operations. `writes_out` says that values are written out before their commit.
#[must_use]
pub fn programs(length: usize, start: Start, writes_out: bool) -> Vec<Vec<Act>> {
    let mut all = vec![Growing::default()];
    for _ in 0..length {
        all = all.iter().flat_map(|program| program.longer(start, writes_out)).collect();
    }
    all.retain(|program| !program.says_its_end());
    all.into_iter().map(|program| program.acts).collect()
}

/// Every operation that there is.
fn acts() -> Vec<Act> {
    let mut acts = vec![Act::Force];
    for txn in 0..2 {
        for update in [Update::Put, Update::Delete, Update::Append, Update::Swap] {
            acts.extend([0, 1].map(|key| Act::Update { txn, key, update }));
        }
        acts.extend([Act::Commit(txn), Act::Persist(txn), Act::Abort(txn)]);
    }
    acts
}

impl Growing {
    fn longer(&self, start: Start, writes_out: bool) -> Vec<Self> {
        let may_follow = |act: &Act| match *act {
            Act::Update { txn, key, .. } => {
                let named = |wanted: &dyn Fn(usize, usize) -> bool| {
                    self.acts.iter().any(|act| matches!(*act, Act::Update { txn, key, .. } if wanted(txn, key)))
                };
                let first_of_txns = txn == 0 || named(&|of, _| of == 0);
                let first_of_keys = start == Start::First || key == 0 || named(&|_, of| of == 0);
                first_of_txns && first_of_keys && (writes_out || !self.could_come_earlier(txn))
            }
            Act::Commit(txn) | Act::Persist(txn) => self.open.contains(&txn),
            Act::Abort(txn) => writes_out && self.open.contains(&txn),
            Act::Force => self.committed,
        };
        acts().into_iter().filter(may_follow).map(|act| self.with(act)).collect()
    }

    /// Whether an update of this open transaction would stand behind one of the other, before which it could stand as well.
    fn could_come_earlier(&self, of: usize) -> bool {
        let Some((Act::Update { txn, .. }, before)) = self.acts.split_last() else { return false };
        let ends = |act: &Act| matches!(*act, Act::Commit(txn) | Act::Persist(txn) | Act::Abort(txn) if txn == of);
        let begun = before.iter().rev().take_while(|act| !ends(act));
        *txn != of && begun.into_iter().any(|act| matches!(*act, Act::Update { txn, .. } if txn == of))
    }

    fn with(&self, act: Act) -> Self {
        let mut longer = self.clone();
        match act {
            Act::Update { txn, .. } if !longer.open.contains(&txn) => longer.open.push(txn),
            Act::Update { .. } => {}
            Act::Commit(txn) | Act::Persist(txn) => {
                longer.committed = true;
                longer.open.retain(|open| *open != txn);
            }
            Act::Abort(txn) => longer.open.retain(|open| *open != txn),
            Act::Force => longer.committed = false,
        }
        longer.acts.push(act);
        longer
    }

    /// Whether its last operation is what its end would do.
    fn says_its_end(&self) -> bool {
        matches!(self.acts.last(), Some(Act::Commit(_))) && self.open.is_empty()
    }
}
