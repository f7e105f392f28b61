//! A transaction as a table of bytes has it: keys and records encoded.
//!
//! Contract: as [`Txn`], whose updates these are.

use super::Txn;
use crate::backend::Backend;
use crate::error::Error;
use crate::iter::RawIter;
use crate::key::KeySpan;
use crate::raw::RawTable;
use crate::staged::Own;
use ::txn::{Expect, PutOptions};
use domains::Pair;
use segments::Version;
use std::fmt;

/// A transaction, for one table of bytes.
pub struct RawTxn<'t, B: Backend> {
    pub(super) txn: &'t mut Txn<B>,
    pub(super) table: &'t RawTable<B>,
}

impl<B: Backend> RawTxn<'_, B> {
    /// Puts a pair that must not be there.
    ///
    /// # Errors
    /// As [`Txn::insert`].
    pub fn insert(&mut self, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.insert(id, key, value, options).map_err(Error::refused)?;
        self.txn.write_out()
    }

    /// Replaces the record of a pair that must be there.
    ///
    /// # Errors
    /// As [`Txn::update`].
    pub fn update(&mut self, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.update(id, key, value, options).map_err(Error::refused)?;
        self.txn.write_out()
    }

    /// Puts a pair, there or not.
    ///
    /// # Errors
    /// As [`Txn::upsert`].
    pub fn upsert(&mut self, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.upsert(id, key, value, options).map_err(Error::refused)?;
        self.txn.write_out()
    }

    /// Adds bytes to the end of a pair's record, as [`RawTable::append`] says; a pair that is not there becomes these bytes, unless a
    /// [compare](Self::compare) says that it must be. Behind an own put or append of the key it joins that one.
    ///
    /// # Errors
    /// When a limit is met, or the transaction reverts or seals a write of the key.
    pub fn append(&mut self, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.append(id, key, value, options, Expect::Any).map_err(Error::refused)?;
        self.txn.write_out()
    }

    /// Deletes a pair that must be there.
    ///
    /// # Errors
    /// As [`Txn::delete`].
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.delete(id, key).map_err(Error::refused)
    }

    /// Deletes a pair if it is there.
    ///
    /// # Errors
    /// As [`Txn::remove`].
    pub fn remove(&mut self, key: &[u8]) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.remove(id, key).map_err(Error::refused)
    }

    /// Says what must hold of a key when the transaction commits.
    ///
    /// # Errors
    /// As [`Txn::compare`].
    pub fn compare(&mut self, key: &[u8], expect: Expect) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.compare(id, key, expect).map_err(Error::refused)
    }

    /// Looks a key up; sees the transaction's own updates.
    ///
    /// # Errors
    /// As [`RawTable::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Pair>, Error> {
        match self.txn.own(self.table, key)? {
            Own::Put { value, options } => Ok(Some(Pair {
                key: key.to_vec(),
                value: value.into_owned(),
                version: Version::default(),
                expires_ms: options.expires_ms,
                compressed: options.compressed,
            })),
            Own::Append { value, options } => {
                let below = self.txn.read_raw(self.table, key)?;
                Ok(Some(Pair::with_own_append(below, key, &value, options)))
            }
            Own::Delete => Ok(None),
            Own::Nothing => self.txn.read_raw(self.table, key),
        }
    }

    /// Says that from this key to that one (itself excluded; the table's end without one) there must be no pair but those that
    /// this transaction compares at a version. Ordered tables only. A failure of it names the range ([`Failure::range`]).
    ///
    /// [`Failure::range`]: crate::Failure::range
    ///
    /// # Errors
    /// As [`Txn::compare`].
    pub fn compare_range(&mut self, from: &[u8], until: Option<&[u8]>) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.compare_range(id, from, until).map_err(Error::refused)
    }

    /// The pairs of a span of keys, with the transaction's own updates laid over them.
    pub fn range(&self, span: KeySpan) -> RawIter<'_, B> {
        self.txn.over(self.table, span)
    }
}

impl<B: Backend> fmt::Debug for RawTxn<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {:?}", self.txn, self.table)
    }
}
