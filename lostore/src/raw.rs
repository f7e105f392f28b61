//! A table as bytes: what typed tables stand on, and what tools use that know a table's spec and not its type.
//!
//! Contract: keys and records go in and come out as they are stored; nothing is encoded, decoded or checked here but by the
//! domain. A handle stays valid when its table is renamed, and answers *gone* when it is destroyed.

use crate::backend::{Backend, PairRef};
use crate::error::Error;
use crate::iter::RawIter;
use crate::key::KeySpan;
use crate::pending::{Pending, Reply};
use crate::store::Store;
use crate::ticket::Ticket;
use ::txn::{Expect, PutOptions};
use domains::schema::TableSpec;
use domains::{Answer, Cursor, Direction, Followed, Op, Pair, Ranges, TableInfo};
use segments::TableId;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Lookups of [`RawTable::get_many`] under way at most: where the device gives the most reads a second (`design/experiments`).
const GETS_IN_FLIGHT: usize = 128;

/// A table of bytes.
///
/// ```
/// use lostore::schema::{TableHome, TableKind};
/// use lostore::{PutOptions, plain_spec};
/// let store = lostore::open_memory()?;
/// let table = store.create_raw("plain", plain_spec(TableKind::Ordered, TableHome::Persistent))?;
/// table.upsert(b"key", b"value", PutOptions::default())?;
/// assert_eq!(table.get(b"key")?.unwrap().value, b"value");
/// # Ok::<(), lostore::Error>(())
/// ```
pub struct RawTable<B: Backend> {
    store: Store<B>,
    info: Arc<TableInfo>,
}

impl<B: Backend> RawTable<B> {
    pub(crate) fn new(store: Store<B>, info: Arc<TableInfo>) -> Self {
        Self { store, info }
    }

    /// Its id, which no other table ever has.
    #[must_use]
    pub fn id(&self) -> TableId {
        self.info.id
    }

    /// The name it had when it was opened.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Its structure when it was opened.
    #[must_use]
    pub fn spec(&self) -> &TableSpec {
        &self.info.spec
    }

    /// The store it belongs to.
    #[must_use]
    pub fn store(&self) -> &Store<B> {
        &self.store
    }

    /// Looks a key up.
    ///
    /// # Errors
    /// When the table is gone, or its device fails.
    pub fn get(&self, key: &[u8]) -> Result<Option<Pair>, Error> {
        self.start_get(key).wait()
    }

    /// The same without waiting.
    pub fn start_get(&self, key: &[u8]) -> Pending<B, PairReply<Whole>> {
        self.store.start_lookup(self.id(), key, Whole)
    }

    /// Looks many keys up, with the reads of the device in flight together; the answers stand in the keys' order.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Option<Pair>>, Error> {
        let mut flying = VecDeque::new();
        let mut pairs = Vec::new();
        for key in keys {
            if flying.len() == GETS_IN_FLIGHT {
                pairs.extend(flying.pop_front().map(Pending::wait).transpose()?);
            }
            flying.push_back(self.start_get(key.as_ref()));
        }
        for pending in flying {
            pairs.push(pending.wait()?);
        }
        Ok(pairs)
    }

    /// Parts of one record, all of one version; a range is its first byte and its length. What does not lie in the record is left
    /// out, and the answer says how long it is.
    ///
    /// # Errors
    /// When there are more than 1024 ranges or they ask for more than 64 MiB, or the device fails.
    pub fn read_ranges(&self, key: &[u8], ranges: &[(u64, u32)]) -> Result<Option<Ranges>, Error> {
        self.start_read_ranges(key, ranges).wait()
    }

    /// The same without waiting.
    pub fn start_read_ranges(&self, key: &[u8], ranges: &[(u64, u32)]) -> Pending<B, RangesReply> {
        let op = Op::ReadRanges { table: self.id(), key: key.to_vec(), ranges: ranges.to_vec() };
        Pending::start(&self.store, op, RangesReply)
    }

    /// Looks a key up and shows the pair in place, without a copy where the backend can.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_with(&self, key: &[u8], see: &mut dyn FnMut(Option<PairRef<'_>>)) -> Result<(), Error> {
        self.store.backend().lookup_in_place(self.id(), key, see)
    }

    /// All pairs: in key order when the table is ordered, in an order of its own otherwise.
    pub fn iter(&self) -> RawIter<'static, B> {
        self.range(KeySpan::default())
    }

    /// The pairs of a span of keys. Ordered tables only, unless the span is everything.
    pub fn range(&self, span: KeySpan) -> RawIter<'static, B> {
        RawIter::new(self, span)
    }

    /// One batch of pairs, without waiting: for those who iterate without blocking. The last pair's key is where the next goes on.
    pub fn start_next(
        &self,
        from: Cursor,
        until: Option<Vec<u8>>,
        direction: Direction,
        pairs_max: u32,
        bytes_max: u32,
    ) -> Pending<B, NextReply> {
        let op = Op::Next { table: self.id(), from, until, direction, pairs_max, bytes_max };
        Pending::start(&self.store, op, NextReply)
    }

    /// Reads a pair and what one of its pointer fields leads to, in one round trip.
    ///
    /// # Errors
    /// When the field is not a pointer.
    pub fn follow(&self, key: &[u8], field: u16) -> Result<Followed, Error> {
        self.start_follow(key, field).wait()
    }

    /// The same without waiting.
    pub fn start_follow(&self, key: &[u8], field: u16) -> Pending<B, FollowReply> {
        Pending::start(&self.store, Op::Follow { table: self.id(), key: key.to_vec(), field }, FollowReply)
    }

    /// Puts a pair, there or not.
    ///
    /// # Errors
    /// When a limit is met, or the store cannot write.
    pub fn upsert(&self, key: &[u8], value: &[u8], options: PutOptions) -> Result<Ticket<B>, Error> {
        let mut txn = self.store.txn();
        txn.raw(self).upsert(key, value, options)?;
        txn.commit()
    }

    /// Adds bytes to the end of a pair's record, which costs about what they take; a pair that is not there becomes them.
    /// [`RawTxn::append`](crate::RawTxn::append) can say what must be there. Appends by many land whole, one behind the other.
    ///
    /// # Errors
    /// When a limit is met, or the store cannot write.
    pub fn append(&self, key: &[u8], value: &[u8], options: PutOptions) -> Result<Ticket<B>, Error> {
        let mut txn = self.store.txn();
        txn.raw(self).append(key, value, options, Expect::Any)?;
        txn.commit()
    }

    /// Deletes a pair if it is there.
    ///
    /// # Errors
    /// As [`Self::upsert`].
    pub fn remove(&self, key: &[u8]) -> Result<Ticket<B>, Error> {
        let mut txn = self.store.txn();
        txn.raw(self).remove(key)?;
        txn.commit()
    }
}

impl<B: Backend> Clone for RawTable<B> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), info: Arc::clone(&self.info) }
    }
}

impl<B: Backend> fmt::Debug for RawTable<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} {:?})", self.id(), self.name())
    }
}

/// The answer of a lookup, read further.
#[derive(Clone, Copy, Debug)]
pub struct PairReply<R>(pub(crate) R);

/// A pair as it is.
#[derive(Clone, Copy, Debug)]
pub struct Whole;

/// The answer of an iteration's batch: the pairs, and whether there may be more.
#[derive(Clone, Copy, Debug)]
pub struct NextReply;

/// The answer of a read of ranges.
#[derive(Clone, Copy, Debug)]
pub struct RangesReply;

/// The answer of a follow.
#[derive(Clone, Copy, Debug)]
pub struct FollowReply;

/// Reads a pair as something else.
pub trait ReadPair {
    /// As what.
    type Output;

    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read as that.
    fn read_pair(self, pair: Option<Pair>) -> Result<Self::Output, Error>;
}

impl ReadPair for Whole {
    type Output = Option<Pair>;

    fn read_pair(self, pair: Option<Pair>) -> Result<Option<Pair>, Error> {
        Ok(pair)
    }
}

impl<B: Backend, R: ReadPair> Reply<B> for PairReply<R> {
    type Output = R::Output;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<R::Output, Error> {
        let Answer::Pair(pair) = answer else { return Err(Error::WrongAnswer { asked: "a lookup" }) };
        self.0.read_pair(pair)
    }
}

impl<B: Backend> Reply<B> for NextReply {
    type Output = (Vec<Pair>, bool);

    fn read(self, _: &Store<B>, answer: Answer) -> Result<(Vec<Pair>, bool), Error> {
        let Answer::Pairs { pairs, more } = answer else { return Err(Error::WrongAnswer { asked: "an iteration" }) };
        Ok((pairs, more))
    }
}

impl<B: Backend> Reply<B> for RangesReply {
    type Output = Option<Ranges>;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Option<Ranges>, Error> {
        let Answer::Ranges(ranges) = answer else { return Err(Error::WrongAnswer { asked: "a read of ranges" }) };
        Ok(ranges)
    }
}

impl<B: Backend> Reply<B> for FollowReply {
    type Output = Followed;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Followed, Error> {
        let Answer::Followed(followed) = answer else { return Err(Error::WrongAnswer { asked: "a follow" }) };
        Ok(followed)
    }
}
