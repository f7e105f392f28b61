//! Transactions: compares and updates gathered privately, applied in one turn or not at all.
//!
//! Contract: adding to a transaction records the update and nothing else (an update of a table with fields that this program
//! does not know reads the record first, to keep them; the first of 64 records for a sack asks for addresses; an update that a
//! large transaction has no memory for has values written out). Its own reads
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
use crate::staged::{self, Own};
use crate::store::Store;
use crate::strict::Reads;
use crate::table::{Follow, Table, wrong_record};
use crate::ticket::{CommitReply, Ticket};
use crate::token::Token;
use ::txn::limits::SET_MEMORY_DEFAULT;
use ::txn::{CommitSet, Expect, PutOptions};
use domains::schema::envelope::{self, Rest};
use domains::schema::keys::KeyBuf;
use domains::{Level, Op, Pair, PairRef};
use segments::{TableId, Version};
use std::fmt;

mod raw;

pub use raw::RawTxn;

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
    /// Bytes of memory that its keys and values may take before values of 256 bytes and more are written out, to be read back when it
    /// reads them itself. Nobody else sees them before the commit, and of a transaction that is not committed they are dead bytes in
    /// the store. Without it a transaction may take 16 MiB where the store can write out ([`Capabilities::writes_out`]), and
    /// elsewhere the 128 MiB that it can have at all.
    ///
    /// [`Capabilities::writes_out`]: crate::Capabilities::writes_out
    pub memory_bytes: Option<usize>,
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
    /// It has taken an update and could not write it out: then it cannot be committed.
    broken: bool,
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
        let set = match options.memory_bytes {
            Some(bytes) => CommitSet::bounded(bytes),
            None if store.capabilities().writes_out => CommitSet::bounded(SET_MEMORY_DEFAULT),
            None => CommitSet::new(),
        };
        Self { store, set, options, reads, broken: false, scratch: Vec::new() }
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
        put.and_then(|()| self.write_out()).map(|()| Address::from_bytes(address))
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
        self.see(table, key.to_key())
    }

    /// What is under a key, as this transaction has it.
    fn see<T: TableType>(&self, table: &Table<T, B>, key: KeyBuf) -> Result<Option<Found<T>>, Error> {
        match self.own(table.raw(), &key)? {
            Own::Put { value, options } => table.decode(key, own_pair(&value, options)).map(Some),
            Own::Append { value, options } => {
                let pair = Pair::with_own_append(self.read_raw(table.raw(), &key)?, &key, &value, options);
                table.decode(key, pair.as_ref()).map(Some)
            }
            Own::Delete => Ok(None),
            Own::Nothing => self.read(table, key),
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
            Own::Nothing if target.is_null() => None,
            Own::Put { .. } | Own::Append { .. } | Own::Delete | Own::Nothing => {
                self.see(targets, KeyBuf::from(target.key_bytes()))?
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

    /// Bytes of memory that its keys and values take; what it has written out is not among them.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.set.memory()
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
        if self.broken {
            return Pending::refused(&self.store, Error::Domain(domains::Error::StageGone));
        }
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
        put.and_then(|()| self.write_out())
    }

    /// Has values written out, when the transaction has outgrown its memory.
    fn write_out(&mut self) -> Result<(), Error> {
        let outgrown = self.set.outgrown();
        if outgrown.is_empty() {
            return Ok(());
        }
        if self.set.stage().is_none() {
            match staged::open(&self.store) {
                Ok(stage) => self.set.stage_at(stage),
                // Nobody asked for a bound: where a stage is refused it goes on as where there are none.
                Err(Error::Domain(_) | Error::Remote { .. }) if self.options.memory_bytes.is_none() => {
                    self.set.unbound();
                    return Ok(());
                }
                Err(error) => {
                    self.broken = true;
                    return Err(error);
                }
            }
        }
        let written = staged::write_out(&self.store, &mut self.set, &outgrown);
        // The update is in the set, and its caller is told that it failed: so it must not be committed.
        self.broken |= written.is_err();
        written
    }

    /// The fields of the present record that a later program has appended.
    fn later_fields<T: TableType>(&self, table: &Table<T, B>, key: &KeyBuf) -> Result<Rest, Error> {
        let found = self.see(table, key.clone())?;
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

    /// What this transaction does to a key, what it has written out of it read back.
    fn own(&self, table: &RawTable<B>, key: &[u8]) -> Result<Own<'_>, Error> {
        match self.set.find(self.of(table)?, key) {
            None => Ok(Own::Nothing),
            Some(part) => staged::own(&self.store, self.set.stage(), &part),
        }
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
            self.set.parts().filter(|part| part.table == table.id()).map(|part| (part.key, part)).collect();
        RawIter::new(table, span).over(own, self.set.stage().cloned(), self.reads.clone())
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
