//! Many independent transactions, sent one after the other without waiting for each answer.
//!
//! Contract: each is a transaction of its own, and they commit in the order in which they were pushed as far as they touch the
//! same keys. At most so many are under way as the batch was made for: pushing one more waits for the oldest.

use crate::backend::Backend;
use crate::error::Error;
use crate::ticket::Ticket;
use crate::txn::{PendingCommit, Txn};
use std::collections::VecDeque;
use std::fmt;

/// Transactions under way.
///
/// ```
/// # use lostore::TableType;
/// # #[derive(TableType)] struct Count { #[key] id: u32, count: u64 }
/// let store = lostore::open_memory()?;
/// # let counts = store.table::<Count>("count")?;
/// let mut batch = store.batch();
/// for id in 0..1000 {
///     let mut txn = store.txn();
///     txn.insert(&counts, Count { id, count: 0 })?;
///     batch.push(txn);
/// }
/// for (number, outcome) in batch.finish() {
///     outcome.map_err(|error| { eprintln!("transaction {number}: {error}"); error })?;
/// }
/// # Ok::<(), lostore::Error>(())
/// ```
#[must_use = "a batch that is dropped leaves its transactions to themselves"]
pub struct Batch<B: Backend> {
    in_flight_max: usize,
    pushed: u64,
    in_flight: VecDeque<(u64, PendingCommit<B>)>,
    done: Vec<(u64, Result<Ticket<B>, Error>)>,
}

impl<B: Backend> Batch<B> {
    pub(crate) fn new(in_flight_max: usize) -> Self {
        Self { in_flight_max, pushed: 0, in_flight: VecDeque::new(), done: Vec::new() }
    }

    /// The same with another bound of transactions under way (at least 1).
    pub fn in_flight_max(mut self, transactions: usize) -> Self {
        self.in_flight_max = transactions.max(1);
        self
    }

    /// Sends a transaction and gives it a number, counted from 0.
    pub fn push(&mut self, txn: Txn<B>) -> u64 {
        while self.in_flight.len() >= self.in_flight_max {
            self.wait_oldest();
        }
        let number = self.pushed;
        self.pushed += 1;
        self.in_flight.push_back((number, txn.commit_async()));
        number
    }

    /// What has been answered since the last call, without waiting.
    pub fn take_done(&mut self) -> Vec<(u64, Result<Ticket<B>, Error>)> {
        while let Some((number, pending)) = self.in_flight.front_mut() {
            let Some(outcome) = pending.poll() else { break };
            self.done.push((*number, outcome));
            self.in_flight.pop_front();
        }
        std::mem::take(&mut self.done)
    }

    /// Waits for all, and gives what has not been taken yet, in the order of the pushes.
    #[must_use]
    pub fn finish(mut self) -> Vec<(u64, Result<Ticket<B>, Error>)> {
        while !self.in_flight.is_empty() {
            self.wait_oldest();
        }
        self.done
    }

    fn wait_oldest(&mut self) {
        if let Some((number, pending)) = self.in_flight.pop_front() {
            self.done.push((number, pending.wait()));
        }
    }
}

impl<B: Backend> fmt::Debug for Batch<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} pushed, {} under way)", self.pushed, self.in_flight.len())
    }
}
