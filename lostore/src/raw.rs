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
use crate::token::Token;
use ::txn::PutOptions;
use domains::schema::TableSpec;
use domains::{Answer, Chain, Cursor, Direction, Followed, Op, Pair, Range, Ranges, Stored, TableInfo};
use segments::TableId;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// LS0401: a record's bytes in the store are not what was written.
const DAMAGED_RECORD: u16 = 401;
/// Keys that one operation looks up.
const KEYS_MAX: usize = 4096;

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

    /// Looks many keys up with all their reads of the device in flight together; the pairs stand in the order of the keys.
    ///
    /// Up to 4,096 keys are looked up at one moment, unless their pairs come to more than about 16 MiB; beyond that there are
    /// several such moments.
    ///
    /// ```
    /// # use lostore::schema::{TableHome, TableKind};
    /// # use lostore::{PutOptions, plain_spec};
    /// let store = lostore::open_memory()?;
    /// let table = store.create_raw("plain", plain_spec(TableKind::Hash, TableHome::Persistent))?;
    /// table.upsert(b"a", b"1", PutOptions::default())?;
    /// let pairs = table.get_many(&["b", "a"])?;
    /// assert!(pairs[0].is_none() && pairs[1].as_ref().unwrap().value == b"1");
    /// # Ok::<(), lostore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::get`], when it is so of one of them.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Pair>>, Error> {
        let mut pairs = Vec::with_capacity(keys.len());
        while pairs.len() < keys.len() {
            let rest = &keys[pairs.len()..];
            pairs.extend(self.start_get_many(&rest[..rest.len().min(KEYS_MAX)]).wait()?);
        }
        Ok(pairs)
    }

    /// The same without waiting, of 1 to 4,096 keys. The answer is about the first of them alone, at least one, when all pairs
    /// would be more than about 16 MiB: as many as it has elements.
    pub fn start_get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Pending<B, ManyReply> {
        let op = Op::LookupMany { table: self.id(), keys: keys.iter().map(|key| key.as_ref().to_vec()).collect() };
        Pending::start(&self.store, op, ManyReply { asked: keys.len() })
    }

    /// Reads parts of one record, all of one version: at most 1,024, at most 64 MiB together. Each is cut where the record ends, and
    /// the answer says where that is. Of a long record that is not in memory only the pages that the parts lie in are read.
    ///
    /// ```
    /// # use lostore::schema::{TableHome, TableKind};
    /// # use lostore::{PutOptions, plain_spec};
    /// let store = lostore::open_memory()?;
    /// let table = store.create_raw("plain", plain_spec(TableKind::Hash, TableHome::Persistent))?;
    /// table.upsert(b"key", b"a long record", PutOptions::default())?;
    /// let found = table.read_ranges(b"key", &[2..6, 7..100, 100..200])?.unwrap();
    /// assert_eq!((found.total_bytes, found.parts), (13, vec![b"long".to_vec(), b"record".to_vec(), vec![]]));
    /// # Ok::<(), lostore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::get`], and when the ranges are too many or too much together.
    pub fn read_ranges(&self, key: &[u8], ranges: &[std::ops::Range<u64>]) -> Result<Option<Ranges>, Error> {
        self.start_read_ranges(key, ranges).wait()
    }

    /// The same without waiting.
    pub fn start_read_ranges(&self, key: &[u8], ranges: &[std::ops::Range<u64>]) -> Pending<B, RangesReply> {
        let wanted = ranges.iter().cloned().map(Range::from).collect();
        let op = Op::ReadRanges { table: self.id(), key: key.to_vec(), ranges: wanted };
        Pending::start(&self.store, op, RangesReply { asked: ranges.len() })
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

    /// Reads a record as it is stored, past every cache, and checks it here against the checksum that it was written with: from
    /// the device to this program nothing can have changed a bit of the value unnoticed.
    ///
    /// # Errors
    /// When the table is gone, or the store does not answer. That the record is damaged is a [`Verdict`], not an error.
    pub fn verify(&self, key: &[u8]) -> Result<Verdict, Error> {
        let asked = Pending::start(&self.store, Op::Verify { table: self.id(), key: key.to_vec() }, StoredReply);
        match asked.wait() {
            Ok(None) => Ok(Verdict::Absent),
            Ok(Some(stored)) if stored.pair.key != key => {
                Err(Error::WrongAnswer { asked: "a verification of another key" })
            }
            Ok(Some(stored)) => {
                let (expected, found) = (stored.value_crc, stored.crc_here());
                if expected != found {
                    return Ok(Verdict::DamagedOnTheWay { expected, found });
                }
                Ok(Verdict::Whole { from_device: stored.from_device, pair: stored.pair })
            }
            // The store's own check of what it has just read.
            Err(error) if error.code() == DAMAGED_RECORD => Ok(Verdict::DamagedInStore { why: error.to_string() }),
            Err(error) => Err(error),
        }
    }

    /// Reads a record and the chain of records that its pointer leads to, in one round trip. `fields` are the pointer fields of
    /// the first record, of the next, and so on; the last goes for all that follow. At most `depth_max` pointers are followed
    /// and `records_max` records come.
    ///
    /// # Errors
    /// When the first field is not a pointer, a limit is out of its bounds, or a record cannot be read.
    pub fn follow_chain(&self, key: &[u8], fields: &[u16], depth_max: u32, records_max: u32) -> Result<Chain, Error> {
        let (table, key, fields) = (self.id(), key.to_vec(), fields.to_vec());
        Pending::start(&self.store, Op::FollowChain { table, key, fields, depth_max, records_max }, ChainReply).wait()
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

    /// Puts a pair, there or not, so that the write can be reverted for the next `lease`: until then the state before it is kept.
    ///
    /// ```
    /// # use lostore::schema::{TableHome, TableKind};
    /// # use lostore::{PutOptions, plain_spec};
    /// # use std::time::Duration;
    /// let store = lostore::open_memory()?;
    /// let table = store.create_raw("plain", plain_spec(TableKind::Ordered, TableHome::Persistent))?;
    /// table.upsert(b"key", b"old", PutOptions::default())?;
    /// let (token, _) = table.put_revertible(b"key", b"new", PutOptions::default(), Duration::from_secs(60))?;
    /// store.revert(&token)?;
    /// assert_eq!(table.get(b"key")?.unwrap().value, b"old");
    /// # Ok::<(), lostore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::upsert`], and when revertible writes keep as much as they may (LS0308).
    pub fn put_revertible(
        &self,
        key: &[u8],
        value: &[u8],
        options: PutOptions,
        lease: Duration,
    ) -> Result<(Token, Ticket<B>), Error> {
        let ticket = self.upsert(key, value, PutOptions { revertible_ms: Some(lease_ms(lease)), ..options })?;
        Ok((self.token(key, &ticket, "a revertible put")?, ticket))
    }

    fn token(&self, key: &[u8], ticket: &Ticket<B>, asked: &'static str) -> Result<Token, Error> {
        let version = *ticket.versions().first().ok_or(Error::WrongAnswer { asked })?;
        Ok(Token { table: self.id(), key: key.to_vec(), version })
    }

    /// Adds bytes to the end of a pair's record; a pair that is not there becomes these bytes. What is there is not rewritten: an append
    /// to a long record writes its own bytes and now and then those of the latest appends with them. Appends by many land whole, one
    /// behind the other.
    ///
    /// An expiry replaces the record's, the flag of compression is added to it; what is not given stays. What must be there before
    /// is said in a transaction, with [`RawTxn::compare`](crate::RawTxn::compare).
    ///
    /// Records of a typed table have a form of their own, which bytes at their end break; append to tables of plain bytes.
    ///
    /// ```
    /// # use lostore::schema::{TableHome, TableKind};
    /// # use lostore::{PutOptions, plain_spec};
    /// let store = lostore::open_memory()?;
    /// let table = store.create_raw("plain", plain_spec(TableKind::Ordered, TableHome::Persistent))?;
    /// table.append(b"key", b"one", PutOptions::default())?;
    /// table.append(b"key", b", two", PutOptions::default())?;
    /// assert_eq!(table.get(b"key")?.unwrap().value, b"one, two");
    /// # Ok::<(), lostore::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a limit is met (the longer record must not pass 64 MiB: LS0302), or the store cannot write.
    pub fn append(&self, key: &[u8], value: &[u8], options: PutOptions) -> Result<Ticket<B>, Error> {
        let mut txn = self.store.txn();
        txn.raw(self).append(key, value, options)?;
        txn.commit()
    }

    /// Adds bytes to the end of a pair's record so that this can be reverted for the next `lease`: then the record is again what it was
    /// before, or not there.
    ///
    /// # Errors
    /// As [`Self::append`], and when revertible writes keep as much as they may (LS0308).
    pub fn append_revertible(
        &self,
        key: &[u8],
        value: &[u8],
        options: PutOptions,
        lease: Duration,
    ) -> Result<(Token, Ticket<B>), Error> {
        let ticket = self.append(key, value, PutOptions { revertible_ms: Some(lease_ms(lease)), ..options })?;
        Ok((self.token(key, &ticket, "a revertible append")?, ticket))
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

fn lease_ms(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
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

/// The answer of a lookup of many keys.
#[derive(Clone, Copy, Debug)]
pub struct ManyReply {
    asked: usize,
}

/// The answer of a read of ranges.
#[derive(Clone, Copy, Debug)]
pub struct RangesReply {
    asked: usize,
}

/// The answer of an iteration's batch: the pairs, and whether there may be more.
#[derive(Clone, Copy, Debug)]
pub struct NextReply;

/// The answer of a follow.
#[derive(Clone, Copy, Debug)]
pub struct FollowReply;

/// What a verification from end to end came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The pair is not there.
    Absent,
    /// Every bit of the value is as it was written.
    Whole {
        /// The pair.
        pair: Pair,
        /// Whether it was read from the device just now; a volatile table's record is in memory only.
        from_device: bool,
    },
    /// The bytes on the device are not what was written.
    DamagedInStore {
        /// What the store says of it.
        why: String,
    },
    /// What came here is not what the store read: it was changed between its device and this program.
    DamagedOnTheWay {
        /// The value's checksum as it was written.
        expected: u32,
        /// Of the bytes that came.
        found: u32,
    },
}

/// The answer of a verification.
#[derive(Clone, Copy, Debug)]
struct StoredReply;

/// The answer of a follow of many pointers.
#[derive(Clone, Copy, Debug)]
struct ChainReply;

impl<B: Backend> Reply<B> for StoredReply {
    type Output = Option<Box<Stored>>;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Option<Box<Stored>>, Error> {
        let Answer::Stored(stored) = answer else { return Err(Error::WrongAnswer { asked: "a verification" }) };
        Ok(stored)
    }
}

impl<B: Backend> Reply<B> for ChainReply {
    type Output = Chain;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Chain, Error> {
        let Answer::Chain(chain) = answer else { return Err(Error::WrongAnswer { asked: "a chain" }) };
        Ok(chain)
    }
}

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

impl<B: Backend> Reply<B> for ManyReply {
    type Output = Vec<Option<Pair>>;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Vec<Option<Pair>>, Error> {
        let wrong = Error::WrongAnswer { asked: "a lookup of many keys" };
        let Answer::Many(pairs) = answer else { return Err(wrong) };
        if (1..=self.asked).contains(&pairs.len()) { Ok(pairs) } else { Err(wrong) }
    }
}

impl<B: Backend> Reply<B> for RangesReply {
    type Output = Option<Ranges>;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Option<Ranges>, Error> {
        let wrong = Error::WrongAnswer { asked: "a read of ranges" };
        let Answer::Ranges(ranges) = answer else { return Err(wrong) };
        if ranges.as_ref().is_none_or(|ranges| ranges.parts.len() == self.asked) { Ok(ranges) } else { Err(wrong) }
    }
}

impl<B: Backend> Reply<B> for NextReply {
    type Output = (Vec<Pair>, bool);

    fn read(self, _: &Store<B>, answer: Answer) -> Result<(Vec<Pair>, bool), Error> {
        let Answer::Pairs { pairs, more } = answer else { return Err(Error::WrongAnswer { asked: "an iteration" }) };
        Ok((pairs, more))
    }
}

impl<B: Backend> Reply<B> for FollowReply {
    type Output = Followed;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Followed, Error> {
        let Answer::Followed(followed) = answer else { return Err(Error::WrongAnswer { asked: "a follow" }) };
        Ok(followed)
    }
}
