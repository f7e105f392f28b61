//! The store: from a backend to tables, transactions and pointers.
//!
//! Contract: a [`Store`] is a handle; clones share one backend. What it offers is the same whatever carries the operations.

use crate::backend::Backend;
use crate::batch::Batch;
use crate::error::Error;
use crate::limits::{ADDRESSES_RESERVED, BATCH_IN_FLIGHT, CATALOG_ATTEMPTS_MAX};
use crate::pending::Pending;
use crate::ptr::Ptr;
use crate::raw::{PairReply, RawTable, ReadPair};
use crate::record::{Found, TableType};
use crate::session::Session;
use crate::table::Table;
use crate::ticket::{NoticeReply, Ticket};
use crate::token::Token;
use crate::txn::{Txn, TxnOptions};
use domains::schema::{TableHome, TableKind, TableSpec};
use domains::{Answer, Capabilities, Followed, Horizon, Op, Status, TableInfo};
use segments::TableId;
use std::any::type_name;
use std::fmt;
use std::sync::Arc;

/// Code of the errors that say a table's name is not there.
const NO_SUCH_TABLE: u16 = 201;
/// Code of the errors that say a table's id is not there.
const TABLE_GONE: u16 = 202;
/// Code of the errors that say a table's name is taken.
const TABLE_EXISTS: u16 = 203;

/// A transactional table store.
///
/// ```
/// use lostore::TableType;
///
/// #[derive(TableType)]
/// #[table(ordered)]
/// struct User {
///     #[key]
///     name: String,
///     age: u32,
/// }
///
/// let store = lostore::open_memory()?;
/// let users = store.table::<User>("user")?;
/// users.insert(User { name: "alice".into(), age: 7 })?;
/// let mut txn = store.txn();
/// let mut alice = txn.get(&users, "alice")?.expect("she was just put there");
/// alice.age += 1;
/// txn.unchanged(&users, &alice)?;
/// txn.update(&users, &alice)?;
/// let ticket = txn.commit()?;
/// ticket.persistent()?;
/// assert_eq!(users.get("alice")?.unwrap().age, 8);
/// # Ok::<(), lostore::Error>(())
/// ```
pub struct Store<B: Backend> {
    session: Arc<Session<B>>,
}

impl<B: Backend> Store<B> {
    /// The store that this backend reaches. `open` and `connect` make both at once.
    #[must_use]
    pub fn new(backend: B) -> Self {
        Self { session: Arc::new(Session::new(backend)) }
    }

    /// Whether the other is a handle of this very store.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
    }

    /// Opens the table, or creates it when there is none of this name.
    ///
    /// # Errors
    /// When the stored table cannot be used as one of `T`; the error names the field.
    pub fn table<T: TableType>(&self, name: &str) -> Result<Table<T, B>, Error> {
        let mut opened = self.open_or_create::<T>(name);
        for _ in 1..CATALOG_ATTEMPTS_MAX {
            match &opened {
                // Somebody else created this table or another at the same moment.
                Err(error) if error.code() == TABLE_EXISTS || !error.failures().is_empty() => {
                    opened = self.open_or_create::<T>(name);
                }
                Ok(_) | Err(_) => break,
            }
        }
        opened.map(Table::new)
    }

    /// Creates the table.
    ///
    /// # Errors
    /// When the name is taken, or no name.
    pub fn create_table<T: TableType>(&self, name: &str) -> Result<Table<T, B>, Error> {
        self.create_as(name, T::spec(), Some(type_name::<T>())).map(Table::new)
    }

    /// Opens the table.
    ///
    /// # Errors
    /// When there is none, or it cannot be used as one of `T`.
    pub fn open_table<T: TableType>(&self, name: &str) -> Result<Table<T, B>, Error> {
        self.open_as(name, Some((T::spec(), type_name::<T>()))).map(Table::new)
    }

    /// Opens the table as one of plain bytes, whatever it holds: for tools that know its spec and not its type.
    ///
    /// # Errors
    /// When there is none.
    pub fn open_raw(&self, name: &str) -> Result<RawTable<B>, Error> {
        self.open_as(name, None)
    }

    /// Creates a table with any spec; [`plain_spec`] makes one of plain bytes.
    ///
    /// # Errors
    /// When the name is taken, or no name.
    pub fn create_raw(&self, name: &str, spec: TableSpec) -> Result<RawTable<B>, Error> {
        self.create_as(name, spec, None)
    }

    /// Gives a table another name. Pointers are bound to names: those to the old name lead nowhere until a table has it again.
    ///
    /// # Errors
    /// When there is no such table, or the new name is taken.
    pub fn rename_table(&self, from: &str, to: &str) -> Result<(), Error> {
        self.session.forget_table(from);
        self.session.forget_table(to);
        let Answer::Table(_) = self.call(Op::RenameTable { from: from.into(), to: to.into() })? else {
            return Err(Error::WrongAnswer { asked: "renaming a table" });
        };
        Ok(())
    }

    /// Destroys a table and all its pairs.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn destroy_table(&self, name: &str) -> Result<(), Error> {
        self.session.forget_table(name);
        let Answer::Done = self.call(Op::DestroyTable { name: name.into() })? else {
            return Err(Error::WrongAnswer { asked: "destroying a table" });
        };
        Ok(())
    }

    /// All tables, by name.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn tables(&self) -> Result<Vec<TableInfo>, Error> {
        let Answer::Tables(tables) = self.call(Op::ListTables)? else {
            return Err(Error::WrongAnswer { asked: "listing tables" });
        };
        Ok(tables)
    }

    /// A transaction, abortable where the domain can do that.
    pub fn txn(&self) -> Txn<B> {
        Txn::new(self.clone(), TxnOptions { abortable: self.capabilities().abortable, ..TxnOptions::default() })
    }

    /// A transaction with options.
    ///
    /// # Errors
    /// When the domain does not offer what they ask for: it is said here, not ignored later.
    pub fn txn_with(&self, options: TxnOptions) -> Result<Txn<B>, Error> {
        let domain = self.capabilities();
        let refuse = |what| Err(Error::Domain(domains::Error::Unsupported { domain: domain.name, what }));
        if options.abortable && !domain.abortable {
            return refuse("transactions that can be aborted");
        }
        if (options.persistent || options.notice) && !domain.persistence {
            return refuse("persistence");
        }
        // Without atomic transactions nothing can be checked and applied as one.
        if options.strict && !domain.abortable {
            return refuse("strict transactions");
        }
        // A bound that cannot be kept is said here.
        if options.memory_bytes.is_some() && !domain.writes_out {
            return refuse(
                "a bound on the memory of a transaction: its values cannot be written out before it commits",
            );
        }
        Ok(Txn::new(self.clone(), options))
    }

    /// Many independent transactions, sent one after the other without waiting for each.
    pub fn batch(&self) -> Batch<B> {
        Batch::new(BATCH_IN_FLIGHT)
    }

    /// The pair that a pointer leads to; `None` when it is null or leads nowhere. The pointer goes to the table that has the
    /// name of `T` ([`TableType::NAME`]), or, when this program has opened another one and only that as `T`, to that one. With
    /// several, [`Table::target`] says which.
    ///
    /// # Errors
    /// When there is no such table, or the pair is not of `T`.
    pub fn follow<T: TableType>(&self, pointer: &Ptr<T>) -> Result<Option<Found<T>>, Error> {
        if pointer.is_null() {
            return Ok(None);
        }
        let table = self.pointed_table::<T>()?;
        match table.target(pointer) {
            // The table was destroyed, and perhaps made anew, since its name was looked up.
            Err(error) if error.code() == TABLE_GONE => {
                self.session.forget_table(table.name());
                self.pointed_table::<T>()?.target(pointer)
            }
            found => found,
        }
    }

    /// Reads a pair and what one of its pointer fields leads to, in one round trip, as bytes.
    ///
    /// # Errors
    /// When the field is not a pointer.
    pub fn follow_raw(&self, table: &RawTable<B>, key: &[u8], field: u16) -> Result<Followed, Error> {
        table.follow(key, field)
    }

    /// Undoes a revertible write: the pair becomes what it was before, under a new version. A transaction of its own;
    /// [`Txn::revert`] joins it with other updates.
    ///
    /// # Errors
    /// When the pair is not at the token's version any more (LS0303, with the version that is there), the write was lost in a
    /// crash (LS0306), or its lease has ended (LS0307); nothing was changed then.
    pub fn revert(&self, token: &Token) -> Result<Ticket<B>, Error> {
        let mut txn = self.txn();
        txn.revert(token)?;
        txn.commit()
    }

    /// Lets a revertible write stand: what it kept is let go. The pair gets a new version.
    ///
    /// # Errors
    /// As [`Self::revert`].
    pub fn seal(&self, token: &Token) -> Result<Ticket<B>, Error> {
        let mut txn = self.txn();
        txn.seal(token)?;
        txn.commit()
    }

    /// Asks that everything committed so far become persistent soon, and waits until it is.
    ///
    /// # Errors
    /// When a device write has failed: the domain is read-only then.
    pub fn force(&self) -> Result<Horizon, Error> {
        self.start_force().wait()
    }

    /// The same without waiting.
    pub fn start_force(&self) -> Pending<B, NoticeReply> {
        Pending::start(self, Op::Force, NoticeReply)
    }

    /// Up to where the domain is persistent, as last heard.
    #[must_use]
    pub fn horizon(&self) -> Horizon {
        self.backend().horizon()
    }

    /// What the domain can promise.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.backend().capabilities()
    }

    /// How the domain is.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn status(&self) -> Result<Box<Status>, Error> {
        let Answer::Status(status) = self.call(Op::Status)? else {
            return Err(Error::WrongAnswer { asked: "a status request" });
        };
        Ok(status)
    }

    /// Drops cached records, so that the next reads are cold. For measurements.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn drop_cache(&self) -> Result<(), Error> {
        self.call(Op::DropCache).map(drop)
    }

    /// What carries the operations.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.session.backend
    }

    pub(crate) fn call(&self, op: Op) -> Result<Answer, Error> {
        self.backend().wait(self.backend().start(op)?)
    }

    /// Starts a lookup whose answer is read by `reply`.
    pub(crate) fn start_lookup<R: ReadPair>(&self, table: TableId, key: &[u8], reply: R) -> Pending<B, PairReply<R>> {
        Pending::start(self, Op::Lookup { table, key: key.to_vec() }, PairReply(reply))
    }

    /// An address of the sack, from those set aside; every 64th asks for more.
    pub(crate) fn address(&self, table: TableId) -> Result<[u8; 8], Error> {
        // As it was before they are asked for: if it changes meanwhile, they are thrown away instead of used too late.
        let incarnation = self.horizon().incarnation;
        if let Some(address) = self.session.take_address(table, incarnation) {
            return Ok(address);
        }
        let asked = "setting addresses aside";
        let Answer::Reserved(mut addresses) = self.call(Op::Reserve { table, count: ADDRESSES_RESERVED })? else {
            return Err(Error::WrongAnswer { asked });
        };
        let address = addresses.pop().ok_or(Error::WrongAnswer { asked })?;
        self.session.keep_addresses(table, incarnation, addresses);
        Ok(address)
    }

    fn pointed_table<T: TableType>(&self) -> Result<Table<T, B>, Error> {
        match self.session.pointed_table(type_name::<T>(), T::NAME) {
            Some(info) => Ok(Table::new(RawTable::new(self.clone(), info))),
            None => self.open_table(T::NAME),
        }
    }

    fn open_or_create<T: TableType>(&self, name: &str) -> Result<RawTable<B>, Error> {
        match self.open_as(name, Some((T::spec(), type_name::<T>()))) {
            Err(error) if error.code() == NO_SUCH_TABLE => self.create_as(name, T::spec(), Some(type_name::<T>())),
            opened => opened,
        }
    }

    fn open_as(&self, name: &str, spec: Option<(TableSpec, &'static str)>) -> Result<RawTable<B>, Error> {
        let (spec, of) = spec.unzip();
        let Answer::Table(info) = self.call(Op::OpenTable { name: name.into(), spec })? else {
            return Err(Error::WrongAnswer { asked: "opening a table" });
        };
        Ok(self.opened(info, of))
    }

    fn create_as(&self, name: &str, spec: TableSpec, of: Option<&'static str>) -> Result<RawTable<B>, Error> {
        let Answer::Table(info) = self.call(Op::CreateTable { name: name.into(), spec })? else {
            return Err(Error::WrongAnswer { asked: "creating a table" });
        };
        Ok(self.opened(info, of))
    }

    fn opened(&self, info: TableInfo, of: Option<&'static str>) -> RawTable<B> {
        let info = Arc::new(info);
        if let Some(of) = of {
            // Only a table whose spec was checked may be found by following a typed pointer.
            self.session.remember_table(of, &info);
        }
        RawTable::new(self.clone(), info)
    }
}

/// The spec of a table of plain bytes.
#[must_use]
pub fn plain_spec(kind: TableKind, home: TableHome) -> TableSpec {
    TableSpec::plain(kind, home)
}

impl<B: Backend> Clone for Store<B> {
    fn clone(&self) -> Self {
        Self { session: Arc::clone(&self.session) }
    }
}

impl<B: Backend> fmt::Debug for Store<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.capabilities().name)
    }
}
