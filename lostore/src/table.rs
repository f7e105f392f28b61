//! A typed table: records in, records out.
//!
//! Contract: a [`Table`] is a handle bound to one store; clones are the same table. Every method that writes is a transaction of
//! one update; [`Txn`](crate::Txn) joins several.

use crate::address::Address;
use crate::backend::Backend;
use crate::error::Error;
use crate::iter::Iter;
use crate::key::{AsKey, AsPrefix, KeyRange, KeySpan};
use crate::pending::{Pending, Reply};
use crate::ptr::Ptr;
use crate::raw::{PairReply, RawTable, ReadPair, Verdict};
use crate::record::{Found, Ordered, PtrField, RecordError, Sacked, TableType, Writes};
use crate::store::Store;
use crate::ticket::Ticket;
use crate::token::Token;
use crate::{PutOptions, Version};
use domains::schema::envelope;
use domains::schema::keys::KeyBuf;
use domains::{Answer, ChainEnd, Op, Pair, PairRef};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// A table whose pairs are values of `T`.
pub struct Table<T, B: Backend> {
    raw: RawTable<B>,
    /// Whether the stored records have fields that this program does not know.
    has_later_fields: bool,
    of: PhantomData<fn() -> T>,
}

/// A record seen in place, undecoded.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its version.
    pub version: Version,
    /// When it expires, and the compression flag.
    pub options: PutOptions,
}

impl<'a> RecordRef<'a> {
    /// The bytes of one field; `None` when the record was written before the field was appended.
    ///
    /// # Errors
    /// When the bytes are no record.
    pub fn field(&self, index: usize) -> Result<Option<&'a [u8]>, envelope::EnvelopeError> {
        envelope::field(self.bytes, index)
    }
}

/// What following a pointer field led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Follow<T, U> {
    /// The record that holds the pointer, and the one it names.
    Found {
        /// The holder.
        from: Found<T>,
        /// The target.
        to: Found<U>,
    },
    /// The record that was to hold the pointer is not there.
    Absent,
    /// The pointer is null.
    Null {
        /// The holder.
        from: Found<T>,
    },
    /// The pointer names a pair that is not there.
    Dangling {
        /// The holder.
        from: Found<T>,
        /// What it names.
        target: Ptr<U>,
    },
}

impl<T, U> Follow<T, U> {
    /// The target, when there is one.
    #[must_use]
    pub fn target(self) -> Option<Found<U>> {
        match self {
            Self::Found { to, .. } => Some(to),
            Self::Absent | Self::Null { .. } | Self::Dangling { .. } => None,
        }
    }
}

/// A lookup under way.
pub type PendingGet<T, B> = Pending<B, PairReply<ReadRecord<T>>>;
/// A follow under way.
pub type PendingFollow<T, U, B> = Pending<B, ReadFollow<T, U>>;

impl<T: TableType, B: Backend> Table<T, B> {
    pub(crate) fn new(raw: RawTable<B>) -> Self {
        let has_later_fields = raw.spec().record.len() > T::FIELDS;
        Self { raw, has_later_fields, of: PhantomData }
    }

    /// The same table as bytes.
    #[must_use]
    pub fn raw(&self) -> &RawTable<B> {
        &self.raw
    }

    /// The name it had when it was opened.
    #[must_use]
    pub fn name(&self) -> &str {
        self.raw.name()
    }

    /// The store it belongs to.
    #[must_use]
    pub fn store(&self) -> &Store<B> {
        self.raw.store()
    }

    /// Looks a key up. The record is decoded where it lies when the backend can show it there.
    ///
    /// # Errors
    /// When the pair cannot be read as a `T`, or the device fails.
    pub fn get(&self, key: impl AsKey<T::Key>) -> Result<Option<Found<T>>, Error> {
        self.get_at(key.to_key())
    }

    /// The same as a future.
    pub fn get_async(&self, key: impl AsKey<T::Key>) -> PendingGet<T, B> {
        let key = key.to_key();
        self.store().start_lookup(self.raw.id(), &key.clone(), ReadRecord::new(self.name(), key))
    }

    /// The same to be polled.
    ///
    /// # Errors
    /// When the lookup could not be sent.
    pub fn start_get(&self, key: impl AsKey<T::Key>) -> Result<PendingGet<T, B>, Error> {
        self.get_async(key).sent()
    }

    /// Looks many keys up with all their reads of the device in flight together; what is found stands in the order of the keys.
    ///
    /// # Errors
    /// As [`Self::get`], when it is so of one of them.
    pub fn get_many<K: AsKey<T::Key>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Found<T>>>, Error> {
        let keys: Vec<KeyBuf> = keys.into_iter().map(|key| key.to_key()).collect();
        let pairs = self.raw.get_many(&keys.iter().map(|key| &key[..]).collect::<Vec<_>>())?;
        let found = keys.into_iter().zip(pairs);
        found.map(|(key, pair)| pair.map(|pair| self.decode(key, pair.as_ref())).transpose()).collect()
    }

    /// Looks a key up and shows the record undecoded, in place where the backend can.
    ///
    /// # Errors
    /// When the device fails.
    pub fn get_with<O>(
        &self,
        key: impl AsKey<T::Key>,
        see: impl FnOnce(Option<RecordRef<'_>>) -> O,
    ) -> Result<O, Error> {
        let (mut see, mut output) = (Some(see), None);
        self.raw.get_with(&key.to_key(), &mut |pair| {
            let see = see.take().expect("a lookup shows its pair once");
            let record = pair.map(|pair| RecordRef { bytes: pair.value, version: pair.version, options: pair.options });
            output = Some(see(record));
        })?;
        output.ok_or(Error::WrongAnswer { asked: "a lookup" })
    }

    /// Whether the key has a pair.
    ///
    /// # Errors
    /// When the device fails.
    pub fn contains(&self, key: impl AsKey<T::Key>) -> Result<bool, Error> {
        self.get_with(key, |record| record.is_some())
    }

    /// The pair that a pointer leads to in this table; `None` when it is null or leads nowhere.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn target(&self, pointer: &Ptr<T>) -> Result<Option<Found<T>>, Error> {
        if pointer.is_null() {
            return Ok(None);
        }
        self.get_at(KeyBuf::from(pointer.key_bytes()))
    }

    /// Reads a pair and what one of its pointer fields leads to, in one round trip.
    ///
    /// # Errors
    /// When either cannot be read as its type.
    pub fn follow<U: TableType>(&self, key: impl AsKey<T::Key>, field: PtrField<T, U>) -> Result<Follow<T, U>, Error> {
        self.follow_async(key, field).wait()
    }

    /// The same as a future, also to be polled.
    pub fn follow_async<U: TableType>(&self, key: impl AsKey<T::Key>, field: PtrField<T, U>) -> PendingFollow<T, U, B> {
        let op = Op::Follow { table: self.raw.id(), key: key.to_key().into_vec(), field: field.position() };
        Pending::start(self.store(), op, ReadFollow { table: self.name().to_owned(), types: PhantomData })
    }

    /// Reads a record as it is stored, past every cache, and checks it here against the checksum that it was written with.
    ///
    /// # Errors
    /// As [`RawTable::verify`].
    pub fn verify(&self, key: impl AsKey<T::Key>) -> Result<Verdict, Error> {
        self.raw.verify(&key.to_key())
    }

    /// Reads a record and those that the same pointer field leads to from one to the next, in one round trip: at most `depth_max`
    /// pointers are followed and `records_max` (1 to 4096) records come. The end says what the last record's pointer is.
    ///
    /// # Errors
    /// When a record cannot be read as a `T`, or the device fails.
    pub fn chain(
        &self,
        key: impl AsKey<T::Key>,
        field: PtrField<T, T>,
        depth_max: u32,
        records_max: u32,
    ) -> Result<(Vec<Found<T>>, ChainEnd), Error> {
        let chain = self.raw.follow_chain(&key.to_key(), &[field.position()], depth_max, records_max)?;
        let found = chain.links.iter().map(|(_, pair)| read_pair(self.name(), pair));
        Ok((found.collect::<Result<_, _>>()?, chain.end))
    }

    /// All pairs: in key order when the table is ordered, in an order of its own otherwise.
    pub fn iter(&self) -> Iter<'static, T, B> {
        Iter::new(self.raw.iter())
    }

    /// Replaces the record of a pair that must be there.
    ///
    /// # Errors
    /// When it is not, or the store cannot write.
    pub fn update(&self, record: impl Writes<T>) -> Result<Ticket<B>, Error> {
        let mut txn = self.store().txn();
        txn.update(self, record)?;
        txn.commit()
    }

    /// Puts a pair, there or not.
    ///
    /// # Errors
    /// When the store cannot write.
    pub fn upsert(&self, record: impl Writes<T>) -> Result<Ticket<B>, Error> {
        let mut txn = self.store().txn();
        txn.upsert(self, record)?;
        txn.commit()
    }

    /// Puts a pair, there or not, so that the write can be reverted for the next `lease` ([`Store::revert`]).
    ///
    /// # Errors
    /// When the store cannot write, or revertible writes keep as much as they may (LS0308).
    pub fn put_revertible(&self, record: impl Writes<T>, lease: Duration) -> Result<(Token, Ticket<B>), Error> {
        let mut txn = self.store().txn();
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let mut key = KeyBuf::new();
        record.record().encode_key(record.found_key(), &mut key);
        let options = PutOptions { revertible_ms: Some(lease_ms), ..record.options() };
        txn.upsert_with(self, record, options)?;
        let ticket = txn.commit()?;
        let version = *ticket.versions().first().ok_or(Error::WrongAnswer { asked: "a revertible put" })?;
        Ok((Token { table: self.raw.id(), key: key.into_vec(), version }, ticket))
    }

    /// Puts a pair that must not be there.
    ///
    /// # Errors
    /// When it is, or the store cannot write.
    pub fn insert(&self, record: impl Writes<T>) -> Result<Ticket<B>, Error> {
        let mut txn = self.store().txn();
        txn.insert(self, record)?;
        txn.commit()
    }

    /// Replaces a record if nobody has changed it since it was found; it expires when it did.
    ///
    /// # Errors
    /// When somebody has, or the store cannot write.
    pub fn replace(&self, found: &Found<T>) -> Result<Ticket<B>, Error> {
        let mut txn = self.store().txn();
        txn.unchanged(self, found)?;
        txn.update(self, found)?;
        txn.commit()
    }

    /// Deletes a pair that must be there.
    ///
    /// # Errors
    /// When it is not, or the store cannot write.
    pub fn delete(&self, key: impl AsKey<T::Key>) -> Result<Ticket<B>, Error> {
        let mut txn = self.store().txn();
        txn.delete(self, key)?;
        txn.commit()
    }

    /// Deletes a pair if it is there.
    ///
    /// # Errors
    /// When the store cannot write.
    pub fn remove(&self, key: impl AsKey<T::Key>) -> Result<Ticket<B>, Error> {
        let mut txn = self.store().txn();
        txn.remove(self, key)?;
        txn.commit()
    }

    pub(crate) fn has_later_fields(&self) -> bool {
        self.has_later_fields
    }

    pub(crate) fn decode(&self, key: KeyBuf, pair: PairRef<'_>) -> Result<Found<T>, Error> {
        Found::decode(key, pair).map_err(|error| wrong_record(self.name(), error))
    }

    fn get_at(&self, key: KeyBuf) -> Result<Option<Found<T>>, Error> {
        let mut found = Ok(None);
        self.raw.get_with(&key, &mut |pair| {
            found = pair.map(|pair| self.decode(key.clone(), pair)).transpose();
        })?;
        found
    }
}

impl<T: Ordered, B: Backend> Table<T, B> {
    /// The pairs of a range of keys, in order; an end may be the first fields of a key alone.
    pub fn range(&self, range: impl KeyRange<T::Key>) -> Iter<'static, T, B> {
        Iter::new(self.raw.range(range.to_span()))
    }

    /// The pairs whose key begins so, in order.
    pub fn prefix(&self, prefix: impl AsPrefix<T::Key>) -> Iter<'static, T, B> {
        Iter::new(self.raw.range(KeySpan::of_prefix(&prefix.to_prefix())))
    }
}

impl<T: Sacked, B: Backend> Table<T, B> {
    /// Adds a record and says where it lies.
    ///
    /// # Errors
    /// When the store cannot write.
    pub fn add(&self, record: &T) -> Result<(Address<T>, Ticket<B>), Error> {
        let mut txn = self.store().txn();
        let address = txn.add(self, record)?;
        Ok((address, txn.commit()?))
    }
}

impl<T, B: Backend> Clone for Table<T, B> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), has_later_fields: self.has_later_fields, of: PhantomData }
    }
}

impl<T, B: Backend> fmt::Debug for Table<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

/// Reads a pair as a `T`.
pub struct ReadRecord<T> {
    table: String,
    key: KeyBuf,
    of: PhantomData<fn() -> T>,
}

impl<T> ReadRecord<T> {
    fn new(table: &str, key: KeyBuf) -> Self {
        Self { table: table.to_owned(), key, of: PhantomData }
    }
}

impl<T: TableType> ReadPair for ReadRecord<T> {
    type Output = Option<Found<T>>;

    fn read_pair(self, pair: Option<Pair>) -> Result<Option<Found<T>>, Error> {
        let found = pair.map(|pair| Found::decode(self.key, pair.as_ref())).transpose();
        found.map_err(|error| wrong_record(&self.table, error))
    }
}

/// Reads what a follow led to as a `T` and a `U`.
pub struct ReadFollow<T, U> {
    table: String,
    types: PhantomData<fn() -> (T, U)>,
}

impl<T: TableType, U: TableType, B: Backend> Reply<B> for ReadFollow<T, U> {
    type Output = Follow<T, U>;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Follow<T, U>, Error> {
        let Answer::Followed(followed) = answer else { return Err(Error::WrongAnswer { asked: "a follow" }) };
        let holder = |pair: Pair| read_pair::<T>(&self.table, &pair);
        Ok(match followed {
            domains::Followed::Absent => Follow::Absent,
            domains::Followed::Null { from } => Follow::Null { from: holder(from)? },
            domains::Followed::Dangling { from, target } => {
                Follow::Dangling { from: holder(from)?, target: Ptr::from_key(KeyBuf::from(&target[..])) }
            }
            domains::Followed::Found { from, to } => {
                Follow::Found { from: holder(from)?, to: read_pair::<U>(U::NAME, &to)? }
            }
        })
    }
}

pub(crate) fn read_pair<T: TableType>(table: &str, pair: &Pair) -> Result<Found<T>, Error> {
    let key = KeyBuf::from(&pair.key[..]);
    Found::decode(key, pair.as_ref()).map_err(|error| wrong_record(table, error))
}

pub(crate) fn wrong_record(table: &str, error: RecordError) -> Error {
    Error::Record { table: table.to_owned(), error }
}

impl<T> fmt::Debug for ReadRecord<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record of {:?}", self.table)
    }
}

impl<T, U> fmt::Debug for ReadFollow<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a pointer of {:?}", self.table)
    }
}
