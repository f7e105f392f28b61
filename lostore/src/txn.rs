//! Transactions: compares and updates gathered privately, applied in one turn or not at all.
//!
//! Contract: adding to a transaction records the update and nothing else (an update of a table with fields that this program
//! does not know reads the record first, to keep them; the first of 64 records for a sack asks for addresses). Its own reads
//! and iterations see its own updates; nobody else does until `commit`. A transaction that is dropped is aborted.
//!
//! What it does not do: it does not isolate its reads from other transactions. State what must still hold with
//! [`Txn::compare`] or [`Txn::unchanged`], or open it as [strict](TxnOptions::strict).

use crate::address::Address;
use crate::backend::Backend;
use crate::error::Error;
use crate::iter::{Iter, Overlay, RawIter};
use crate::key::{AsKey, AsPrefix, KeyRange, KeySpan};
use crate::pending::Pending;
use crate::ptr::Ptr;
use crate::raw::RawTable;
use crate::record::{Found, Ordered, PtrField, Sacked, TableType, Writes};
use crate::store::Store;
use crate::strict::Reads;
use crate::table::{Follow, Table, wrong_record};
use crate::ticket::{CommitReply, Ticket};
use crate::token::Token;
use ::txn::{Change, CommitSet, Expect, PutOptions, SetError};
use domains::schema::envelope::{self, Rest};
use domains::schema::keys::KeyBuf;
use domains::{Level, Op, Pair, PairRef};
use segments::{TableId, Version};
use std::fmt;

/// How a transaction is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TxnOptions {
    /// It may be aborted.
    pub abortable: bool,
    /// Its ticket asks for the notice of persistence at once.
    pub notice: bool,
    /// Its commit answers only when it is persistent.
    pub persistent: bool,
    /// Its commit asks that persistence come soon.
    pub force: bool,
    /// It is serialisable: whatever it has read (records, absences, stretches of ordered tables) must still be so when it commits,
    /// as if all of it had happened at that moment. If not, the commit fails like one whose compare did not hold; nothing was
    /// applied, and the transaction is to be run again from its reads. Tables without an order cannot be iterated in it.
    pub strict: bool,
}

/// A commit under way.
pub type PendingCommit<B> = Pending<B, CommitReply>;

/// A transaction that is open.
#[must_use = "a transaction that is dropped is aborted"]
pub struct Txn<B: Backend> {
    store: Store<B>,
    set: CommitSet,
    options: TxnOptions,
    /// What it has read, when it is strict.
    reads: Option<Reads>,
    /// Where records are encoded.
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Insert,
    Update,
    Upsert,
}

impl<B: Backend> Txn<B> {
    pub(crate) fn new(store: Store<B>, options: TxnOptions) -> Self {
        let reads = options.strict.then(Reads::default);
        Self { store, set: CommitSet::new(), options, reads, scratch: Vec::new() }
    }

    /// Puts a pair that must not be there. A record that was found keeps its options, here as in [`Self::update`] and
    /// [`Self::upsert`]; any other has none.
    ///
    /// # Errors
    /// When a limit is met, or this transaction has put the key before.
    pub fn insert<T: TableType>(&mut self, table: &Table<T, B>, record: impl Writes<T>) -> Result<(), Error> {
        self.put(table, &record, Verb::Insert, record.options())
    }

    /// Replaces the record of a pair that must be there.
    ///
    /// # Errors
    /// When a limit is met, or this transaction has deleted the key before.
    pub fn update<T: TableType>(&mut self, table: &Table<T, B>, record: impl Writes<T>) -> Result<(), Error> {
        self.put(table, &record, Verb::Update, record.options())
    }

    /// Puts a pair, there or not.
    ///
    /// # Errors
    /// When a limit is met.
    pub fn upsert<T: TableType>(&mut self, table: &Table<T, B>, record: impl Writes<T>) -> Result<(), Error> {
        self.put(table, &record, Verb::Upsert, record.options())
    }

    /// [`Self::insert`] with options kept with the record.
    ///
    /// # Errors
    /// As it.
    pub fn insert_with<T: TableType>(
        &mut self,
        table: &Table<T, B>,
        record: impl Writes<T>,
        options: PutOptions,
    ) -> Result<(), Error> {
        self.put(table, &record, Verb::Insert, options)
    }

    /// [`Self::update`] with options kept with the record.
    ///
    /// # Errors
    /// As it.
    pub fn update_with<T: TableType>(
        &mut self,
        table: &Table<T, B>,
        record: impl Writes<T>,
        options: PutOptions,
    ) -> Result<(), Error> {
        self.put(table, &record, Verb::Update, options)
    }

    /// [`Self::upsert`] with options kept with the record.
    ///
    /// # Errors
    /// As it.
    pub fn upsert_with<T: TableType>(
        &mut self,
        table: &Table<T, B>,
        record: impl Writes<T>,
        options: PutOptions,
    ) -> Result<(), Error> {
        self.put(table, &record, Verb::Upsert, options)
    }

    /// Adds a record to a sack and says at once where it will lie. Pointers to it may stand in the same transaction.
    ///
    /// # Errors
    /// When a limit is met, or addresses cannot be set aside.
    pub fn add<T: Sacked>(&mut self, table: &Table<T, B>, record: &T) -> Result<Address<T>, Error> {
        let id = self.of(table.raw())?;
        let address = self.store.address(id)?;
        let mut value = std::mem::take(&mut self.scratch);
        value.clear();
        let encoded = record.encode_record(&Rest::default(), &mut value);
        let put = encoded.map_err(|error| wrong_record(table.name(), error)).and_then(|()| {
            let set = self.set.insert(id, &address, &value, PutOptions::default());
            set.map_err(Error::refused)
        });
        self.scratch = value;
        put.map(|()| Address::from_bytes(address))
    }

    /// Deletes a pair that must be there.
    ///
    /// # Errors
    /// When a limit is met, or this transaction has deleted the key before.
    pub fn delete<T: TableType>(&mut self, table: &Table<T, B>, key: impl AsKey<T::Key>) -> Result<(), Error> {
        let id = self.of(table.raw())?;
        self.set.delete(id, &key.to_key()).map_err(Error::refused)
    }

    /// Deletes a pair if it is there.
    ///
    /// # Errors
    /// When a limit is met.
    pub fn remove<T: TableType>(&mut self, table: &Table<T, B>, key: impl AsKey<T::Key>) -> Result<(), Error> {
        let id = self.of(table.raw())?;
        self.set.remove(id, &key.to_key()).map_err(Error::refused)
    }

    /// Undoes a revertible write: the pair becomes what it was before, whether that was another record, with its expiry, or
    /// nothing. The commit fails unless the pair is still at the token's version and the write's lease has not ended.
    ///
    /// # Errors
    /// When a limit is met, or this transaction has another update of the key.
    pub fn revert(&mut self, token: &Token) -> Result<(), Error> {
        self.set.revert(token.table, &token.key, token.version).map_err(Error::refused)
    }

    /// Lets a revertible write stand: from the commit on it cannot be reverted any more, and what it kept is let go. The pair
    /// gets a new version.
    ///
    /// # Errors
    /// As [`Self::revert`].
    pub fn seal(&mut self, token: &Token) -> Result<(), Error> {
        self.set.seal(token.table, &token.key, token.version).map_err(Error::refused)
    }

    /// Says what must hold of a key when the transaction commits, before its own updates.
    ///
    /// # Errors
    /// When a limit is met.
    pub fn compare<T: TableType>(
        &mut self,
        table: &Table<T, B>,
        key: impl AsKey<T::Key>,
        expect: Expect,
    ) -> Result<(), Error> {
        let id = self.of(table.raw())?;
        self.set.compare(id, &key.to_key(), expect).map_err(Error::refused)
    }

    /// Says that nobody may have changed a record since it was found.
    ///
    /// # Errors
    /// When a limit is met.
    pub fn unchanged<T: TableType>(&mut self, table: &Table<T, B>, found: &Found<T>) -> Result<(), Error> {
        let id = self.of(table.raw())?;
        self.set.compare(id, found.key_bytes(), Expect::At(found.version())).map_err(Error::refused)
    }

    /// Looks a key up; sees this transaction's own updates.
    ///
    /// # Errors
    /// When the pair cannot be read as a `T`, or the device fails.
    pub fn get<T: TableType>(&self, table: &Table<T, B>, key: impl AsKey<T::Key>) -> Result<Option<Found<T>>, Error> {
        let key = key.to_key();
        match self.own(table.raw(), &key)? {
            Some(Change::Put { value, options }) => table.decode(key, own_pair(value, options)).map(Some),
            Some(Change::Append { value, options }) => self.appended_to(table, key, value, options).map(Some),
            Some(Change::Delete) => Ok(None),
            Some(Change::None | Change::Revert { .. } | Change::Seal { .. }) | None => self.read(table, key),
        }
    }

    /// Reads a pair and what one of its pointer fields leads to; sees this transaction's own updates. One round trip when the
    /// transaction has none.
    ///
    /// # Errors
    /// When either cannot be read as its type.
    pub fn follow<T: TableType, U: TableType>(
        &self,
        table: &Table<T, B>,
        key: impl AsKey<T::Key>,
        field: PtrField<T, U>,
        targets: &Table<U, B>,
    ) -> Result<Follow<T, U>, Error> {
        if self.set.is_empty() && self.reads.is_none() {
            return table.follow(key, field);
        }
        let Some(from) = self.get(table, key)? else { return Ok(Follow::Absent) };
        let Some(target) = pointer_of(table, &from, field)? else { return Ok(Follow::Null { from }) };
        let found = match self.own(targets.raw(), target.key_bytes())? {
            Some(Change::Put { value, options }) => {
                Some(targets.decode(KeyBuf::from(target.key_bytes()), own_pair(value, options))?)
            }
            Some(Change::Append { value, options }) => {
                Some(self.appended_to(targets, KeyBuf::from(target.key_bytes()), value, options)?)
            }
            Some(Change::Delete) => None,
            Some(Change::None | Change::Revert { .. } | Change::Seal { .. }) | None if target.is_null() => None,
            Some(Change::None | Change::Revert { .. } | Change::Seal { .. }) | None => {
                self.read(targets, KeyBuf::from(target.key_bytes()))?
            }
        };
        Ok(match found {
            Some(to) => Follow::Found { from, to },
            None => Follow::Dangling { from, target },
        })
    }

    /// All pairs with this transaction's own updates laid over them. Of a table without an order, its own new pairs come last.
    pub fn iter<T: TableType>(&self, table: &Table<T, B>) -> Iter<'_, T, B> {
        Iter::new(self.over(table.raw(), KeySpan::default()))
    }

    /// The pairs of a range, with this transaction's own updates laid over them.
    pub fn range<T: Ordered>(&self, table: &Table<T, B>, range: impl KeyRange<T::Key>) -> Iter<'_, T, B> {
        Iter::new(self.over(table.raw(), range.to_span()))
    }

    /// The pairs whose key begins so, with this transaction's own updates laid over them.
    pub fn prefix<T: Ordered>(&self, table: &Table<T, B>, prefix: impl AsPrefix<T::Key>) -> Iter<'_, T, B> {
        Iter::new(self.over(table.raw(), KeySpan::of_prefix(&prefix.to_prefix())))
    }

    /// The same transaction, for a table of bytes.
    pub fn raw<'t>(&'t mut self, table: &'t RawTable<B>) -> RawTxn<'t, B> {
        RawTxn { txn: self, table }
    }

    /// How many keys it names: the next key named for the first time is the part with this number in a failed compare.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether it names no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Asks that persistence come soon after the commit.
    pub fn force(&mut self) {
        self.options.force = true;
    }

    /// Verifies every compare and applies every update in one turn, and waits for the answer.
    ///
    /// # Errors
    /// When a compare does not hold or the store cannot write; nothing was applied then. A poisoned store says so.
    pub fn commit(self) -> Result<Ticket<B>, Error> {
        self.commit_async().wait()
    }

    /// The same as a future.
    pub fn commit_async(mut self) -> PendingCommit<B> {
        if let Some(reads) = self.reads.take()
            && let Err(error) = reads.add_to(&mut self.set)
        {
            return Pending::refused(&self.store, error);
        }
        let level = if self.options.persistent { Level::Persistent } else { Level::Committed };
        let reply = CommitReply { notice: self.options.notice, force: self.options.force };
        Pending::start(&self.store, Op::Commit { set: self.set, level }, reply)
    }

    /// The same to be polled.
    ///
    /// # Errors
    /// When the commit could not be sent; nothing was applied.
    pub fn start_commit(self) -> Result<PendingCommit<B>, Error> {
        self.commit_async().sent()
    }

    /// Drops the transaction; it leaves no trace.
    ///
    /// # Errors
    /// When it was opened as one that is not abortable.
    pub fn abort(self) -> Result<(), Error> {
        if self.options.abortable {
            return Ok(());
        }
        let domain = self.store.capabilities().name;
        let what = "aborting a transaction that was not opened as abortable";
        Err(Error::Domain(domains::Error::Unsupported { domain, what }))
    }

    fn put<T: TableType>(
        &mut self,
        table: &Table<T, B>,
        record: &impl Writes<T>,
        verb: Verb,
        options: PutOptions,
    ) -> Result<(), Error> {
        let id = self.of(table.raw())?;
        let mut key = KeyBuf::new();
        record.record().encode_key(record.found_key(), &mut key);
        let mut read = Rest::default();
        if record.rest().is_none() && table.has_later_fields() && verb != Verb::Insert {
            read = self.later_fields(table, &key)?;
        }
        let mut value = std::mem::take(&mut self.scratch);
        value.clear();
        let encoded = record.record().encode_record(record.rest().unwrap_or(&read), &mut value);
        let put = encoded.map_err(|error| wrong_record(table.name(), error)).and_then(|()| {
            let set = match verb {
                Verb::Insert => self.set.insert(id, &key, &value, options),
                Verb::Update => self.set.update(id, &key, &value, options),
                Verb::Upsert => self.set.upsert(id, &key, &value, options),
            };
            set.map_err(Error::refused)
        });
        self.scratch = value;
        put
    }

    /// The fields of the present record that a later program has appended.
    fn later_fields<T: TableType>(&self, table: &Table<T, B>, key: &KeyBuf) -> Result<Rest, Error> {
        let found = match self.own(table.raw(), key)? {
            Some(Change::Put { value, options }) => Some(table.decode(key.clone(), own_pair(value, options))?),
            Some(Change::Append { value, options }) => Some(self.appended_to(table, key.clone(), value, options)?),
            Some(Change::Delete) => None,
            Some(Change::None | Change::Revert { .. } | Change::Seal { .. }) | None => self.read(table, key.clone())?,
        };
        Ok(found.and_then(|found| Writes::<T>::rest(&found).cloned()).unwrap_or_default())
    }

    /// Reads what the store has, and notes it where it must still be so at the commit.
    fn read<T: TableType>(&self, table: &Table<T, B>, key: KeyBuf) -> Result<Option<Found<T>>, Error> {
        let found = table.target(&Ptr::from_key(key.clone()))?;
        if let Some(reads) = &self.reads {
            reads.saw(table.raw().id(), &key, found.as_ref().map(Found::version))?;
        }
        Ok(found)
    }

    /// What the store has under a key of a table of bytes, noted where it must still be so at the commit.
    fn read_raw(&self, table: &RawTable<B>, key: &[u8]) -> Result<Option<Pair>, Error> {
        let pair = table.get(key)?;
        if let Some(reads) = &self.reads {
            reads.saw(table.id(), key, pair.as_ref().map(|pair| pair.version))?;
        }
        Ok(pair)
    }

    /// What it reads of a record to which it has appended bytes.
    fn appended_to<T: TableType>(
        &self,
        table: &Table<T, B>,
        key: KeyBuf,
        value: &[u8],
        options: PutOptions,
    ) -> Result<Found<T>, Error> {
        let pair = Pair::with_own_append(self.read_raw(table.raw(), &key)?, &key, value, options);
        table.decode(key, pair.as_ref())
    }

    /// What this transaction does to a key. What a revert will make of it is known at commit only, so such a key is not read.
    fn own(&self, table: &RawTable<B>, key: &[u8]) -> Result<Option<Change<'_>>, Error> {
        let own = self.set.find(self.of(table)?, key).map(|part| part.change);
        if let Some(Change::Revert { .. }) = own { Err(Error::refused(SetError::RevertsAlone)) } else { Ok(own) }
    }

    /// The table's id, when it is one of this store.
    fn of(&self, table: &RawTable<B>) -> Result<TableId, Error> {
        if self.store.is(table.store()) {
            Ok(table.id())
        } else {
            Err(Error::ForeignTable { table: table.name().to_owned() })
        }
    }

    fn over(&self, table: &RawTable<B>, span: KeySpan) -> RawIter<'_, B> {
        if let Err(error) = self.of(table) {
            return RawIter::refused(table, error);
        }
        let own: Overlay<'_> =
            self.set.parts().filter(|part| part.table == table.id()).map(|part| (part.key, part.change)).collect();
        RawIter::new(table, span).over(own, self.reads.clone())
    }
}

/// The pointer in a record's field, by way of the bytes: the type's own field cannot be named by position.
fn pointer_of<T: TableType, U, B: Backend>(
    table: &Table<T, B>,
    from: &Found<T>,
    field: PtrField<T, U>,
) -> Result<Option<Ptr<U>>, Error> {
    let wrong = |error| wrong_record(table.name(), error);
    let mut record = Vec::new();
    from.encode_record(&Rest::default(), &mut record).map_err(wrong)?;
    let bytes = envelope::field(&record, usize::from(field.position())).map_err(|why| wrong(why.into()))?;
    let target = bytes.map(envelope::pointer_target).transpose().map_err(|why| wrong(why.into()))?;
    Ok(target.flatten().map(|key| Ptr::from_key(KeyBuf::from(key))))
}

/// What a transaction reads of its own updates: they have no version yet.
fn own_pair(value: &[u8], options: PutOptions) -> PairRef<'_> {
    PairRef { value, version: Version::default(), options }
}

impl<B: Backend> fmt::Debug for Txn<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Txn({} keys, {:?})", self.set.len(), self.options)
    }
}

/// A transaction, for one table of bytes.
pub struct RawTxn<'t, B: Backend> {
    txn: &'t mut Txn<B>,
    table: &'t RawTable<B>,
}

impl<B: Backend> RawTxn<'_, B> {
    /// Puts a pair that must not be there.
    ///
    /// # Errors
    /// As [`Txn::insert`].
    pub fn insert(&mut self, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.insert(id, key, value, options).map_err(Error::refused)
    }

    /// Replaces the record of a pair that must be there.
    ///
    /// # Errors
    /// As [`Txn::update`].
    pub fn update(&mut self, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.update(id, key, value, options).map_err(Error::refused)
    }

    /// Puts a pair, there or not.
    ///
    /// # Errors
    /// As [`Txn::upsert`].
    pub fn upsert(&mut self, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.upsert(id, key, value, options).map_err(Error::refused)
    }

    /// Adds bytes to the end of a pair's record, as [`RawTable::append`] says; a pair that is not there becomes these bytes, unless a
    /// [compare](Self::compare) says that it must be. Behind an own put or append of the key it joins that one.
    ///
    /// # Errors
    /// When a limit is met, or the transaction reverts or seals a write of the key.
    pub fn append(&mut self, key: &[u8], value: &[u8], options: PutOptions) -> Result<(), Error> {
        let id = self.txn.of(self.table)?;
        self.txn.set.append(id, key, value, options, Expect::Any).map_err(Error::refused)
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
            Some(Change::Put { value, options }) => Ok(Some(Pair {
                key: key.to_vec(),
                value: value.to_vec(),
                version: Version::default(),
                expires_ms: options.expires_ms,
                compressed: options.compressed,
            })),
            Some(Change::Append { value, options }) => {
                let below = self.txn.read_raw(self.table, key)?;
                Ok(Some(Pair::with_own_append(below, key, value, options)))
            }
            Some(Change::Delete) => Ok(None),
            Some(Change::None | Change::Revert { .. } | Change::Seal { .. }) | None => {
                self.txn.read_raw(self.table, key)
            }
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
