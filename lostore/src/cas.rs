//! Compare-and-swap of one word or many, in one message.
//!
//! Contract: every word's compare holds and every change is made, or nothing is and the error names each word that failed with
//! the version that is there now ([`Error::failures`]; a failure's `part` is the word's position). A version is never given
//! twice, so a word that was changed and changed back does not compare equal.

use crate::backend::Backend;
use crate::error::Error;
use crate::limits::CAS_WORDS_MAX;
use crate::raw::RawTable;
use crate::store::Store;
use crate::ticket::Ticket;
use crate::txn::PendingCommit;
use ::txn::{Expect, PutOptions};

/// What becomes of a word when all compares hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum New<'a> {
    /// It stays as it is; it was only compared.
    Keep,
    /// It becomes this.
    Put(&'a [u8]),
    /// It goes; one that is not there stays away.
    Delete,
}

/// One word of a compare-and-swap: a pair of any table.
#[derive(Debug)]
pub struct Word<'a, B: Backend> {
    /// The table; [`Table::raw`](crate::Table::raw) of a typed one.
    pub table: &'a RawTable<B>,
    /// The key, encoded.
    pub key: &'a [u8],
    /// What must hold of it.
    pub expect: Expect,
    /// What it becomes.
    pub new: New<'a>,
}

impl<B: Backend> Store<B> {
    /// Compares up to 64 words, of any tables, and swaps them: all or nothing, in one message.
    ///
    /// # Errors
    /// When a compare does not hold: all that do not are named. When there are more than 64 words, or one is named twice.
    pub fn cas(&self, words: &[Word<'_, B>]) -> Result<Ticket<B>, Error> {
        self.start_cas(words)?.wait()
    }

    /// The same to be polled or awaited.
    ///
    /// # Errors
    /// When it could not be sent; nothing was changed.
    pub fn start_cas(&self, words: &[Word<'_, B>]) -> Result<PendingCommit<B>, Error> {
        let limit = |what, value: usize, limit: usize| {
            Err(Error::Domain(domains::Error::Limit { what, value: value as u64, limit: limit as u64 }))
        };
        if words.len() > CAS_WORDS_MAX {
            return limit("the number of words of a compare-and-swap", words.len(), CAS_WORDS_MAX);
        }
        let mut txn = self.txn();
        for (at, word) in words.iter().enumerate() {
            let mut raw = txn.raw(word.table);
            raw.compare(word.key, word.expect)?;
            match word.new {
                New::Keep => {}
                New::Put(value) => raw.upsert(word.key, value, PutOptions::default())?,
                New::Delete => raw.remove(word.key)?,
            }
            if txn.len() != at + 1 {
                return limit("the number of times that a compare-and-swap names one word", 2, 1);
            }
        }
        txn.start_commit()
    }
}
