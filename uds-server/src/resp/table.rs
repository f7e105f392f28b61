//! Every command that is served, by name.

use super::command::Does::{Connection, Exec, Read, Say, Task, Write};
use super::command::Group::{self, Generic, Server, Store, String, Transactions};
use super::command::{Does, Fast, Keys, Spec};
use super::{connect, expiry, feed, iterate, keys, part, persist, server, space, store, strings, tables, watch};

/// The longest name.
pub(crate) const NAME_BYTES_MAX: usize = 16;

const PART: Does = Read(part::look, Fast::Part(part::task));
const ONE: Keys = Keys::Range { first: 1, last: Some(1), step: 1 };
const TWO: Keys = Keys::Range { first: 1, last: Some(2), step: 1 };
const SECOND: Keys = Keys::Range { first: 2, last: Some(2), step: 1 };
const ALL: Keys = Keys::Range { first: 1, last: None, step: 1 };
const PAIRS: Keys = Keys::Range { first: 1, last: None, step: 2 };

const fn spec(name: &'static str, arity: i32, keys: Keys, (group, does): (Group, Does), summary: &'static str) -> Spec {
    Spec { name, arity, keys, group, does, summary }
}

/// All of them, sorted.
pub(crate) const COMMANDS: &[Spec] = &[
    spec("ACL", -2, Keys::None, (Server, Say(server::acl)), "Tells the user: WHOAMI"),
    spec("APPEND", 3, ONE, (String, Write(strings::append, Fast::No)), "Appends to a string"),
    spec("AUTH", -2, Keys::None, (Group::Connection, Connection(connect::auth)), "Is refused: there are no passwords"),
    spec("BGSAVE", -1, Keys::None, (Server, Task(persist::save)), "Makes everything committed so far persistent"),
    spec(
        "CLIENT",
        -2,
        Keys::None,
        (Group::Connection, Connection(connect::client)),
        "Names the connection, and tells of it",
    ),
    spec("COMMAND", -1, Keys::None, (Server, Say(server::commands)), "Tells what is served"),
    spec("CONFIG", -2, Keys::None, (Server, Say(server::config)), "Tells the configuration"),
    spec("COPY", -3, TWO, (Generic, Write(keys::copy, Fast::No)), "Copies a key to another"),
    spec("DBSIZE", 1, Keys::None, (Server, Task(server::size_task)), "Counts the keys"),
    spec("DECR", 2, ONE, (String, Write(strings::decr, Fast::No)), "Takes one from an integer"),
    spec("DECRBY", 3, ONE, (String, Write(strings::decrby, Fast::No)), "Takes a number from an integer"),
    spec("DEL", -2, ALL, (Generic, Write(keys::del, Fast::Put(keys::del_blind))), "Deletes keys"),
    spec("DELEX", -2, ONE, (String, Write(keys::delex, Fast::No)), "Deletes a key on a condition"),
    spec("DELIFEQ", 3, ONE, (String, Write(keys::delex, Fast::No)), "Deletes a key if it has this value"),
    spec("DIGEST", 2, ONE, (String, Read(keys::digest, Fast::No)), "Tells the XXH3 digest of a value"),
    spec("DISCARD", 1, Keys::None, (Transactions, Connection(connect::discard)), "Drops a transaction"),
    spec("ECHO", 2, Keys::None, (Group::Connection, Say(server::echo)), "Returns its argument"),
    spec("EXEC", 1, Keys::None, (Transactions, Exec), "Carries out a transaction, all of it or nothing"),
    spec("EXISTS", -2, ALL, (Generic, Read(keys::exists, Fast::No)), "Counts the keys that are there"),
    spec("EXPIRE", -3, ONE, (Generic, Write(expiry::expire, Fast::No)), "Says when a key goes, in seconds"),
    spec("EXPIREAT", -3, ONE, (Generic, Write(expiry::expire, Fast::No)), "Says when a key goes, in seconds"),
    spec(
        "EXPIRETIME",
        2,
        ONE,
        (Generic, Read(expiry::ttl, Fast::No)),
        "Tells the moment at which a key goes, in seconds",
    ),
    spec("FLUSHALL", -1, Keys::None, (Server, Task(persist::flushall)), "Deletes all keys of all databases"),
    spec("FLUSHDB", -1, Keys::None, (Server, Task(persist::flushdb)), "Deletes all keys of the database"),
    GET,
    spec("GETDEL", 2, ONE, (String, Write(strings::getdel, Fast::No)), "Tells a value and deletes its key"),
    spec("GETEX", -2, ONE, (String, Write(strings::getex, Fast::No)), "Tells a value and says when it goes"),
    spec("GETRANGE", 4, ONE, (String, PART), "Tells a part of a value"),
    spec("GETSET", 3, ONE, (String, Write(strings::getset, Fast::No)), "Puts a value and tells the one before it"),
    spec("HELLO", -1, Keys::None, (Group::Connection, Connection(connect::hello)), "Chooses the dialect"),
    spec("INCR", 2, ONE, (String, Write(strings::incr, Fast::No)), "Adds one to an integer"),
    spec("INCRBY", 3, ONE, (String, Write(strings::incrby, Fast::No)), "Adds to an integer"),
    spec("INCRBYFLOAT", 3, ONE, (String, Write(strings::incrbyfloat, Fast::No)), "Adds to a number"),
    spec("INFO", -1, Keys::None, (Server, Task(server::info_task)), "Tells how the server is"),
    spec("KEYS", 2, Keys::None, (Generic, Task(iterate::keys)), "Tells all keys that match a pattern"),
    spec(
        "LASTSAVE",
        1,
        Keys::None,
        (Server, Task(persist::lastsave)),
        "Tells when everything was last made persistent on request",
    ),
    spec("LATENCY", -2, Keys::None, (Server, Say(server::latency)), "Tells nothing: no latencies are kept"),
    spec("LS.ABORT", 1, Keys::None, (Store, Connection(connect::discard)), "Drops a transaction"),
    spec(
        "LS.CAS",
        -2,
        Keys::None,
        (Store, Task(store::cas)),
        "Compares several keys and changes several, all or nothing",
    ),
    spec("LS.CHANGES", -1, Keys::None, (Store, Say(store::later)), "Is refused: changes are not kept apart"),
    spec("LS.FLUSH", 1, Keys::None, (Store, Task(persist::flush)), "Makes everything committed so far persistent"),
    spec("LS.FOLLOW", 4, Keys::None, (Store, Task(store::follow)), "Reads a record and the one that its pointer names"),
    spec("LS.GET", 3, Keys::None, (Store, Task(store::get)), "Reads a record with its version"),
    spec("LS.JOBS", -1, Keys::None, (Store, Say(store::later)), "Is refused: nothing runs that could be listed"),
    spec(
        "LS.LEVEL",
        -1,
        Keys::None,
        (Store, Connection(connect::level)),
        "Chooses whether updates are answered when committed or when persistent",
    ),
    spec("LS.NEXT", -3, Keys::None, (Store, Task(store::next)), "Reads records from a position on"),
    spec("LS.PUT", -4, Keys::None, (Store, Task(store::put)), "Puts a record, perhaps on a condition"),
    spec("LS.RECLAIM", 1, Keys::None, (Store, Task(space::reclaim)), "Wins space back now and tells what was done"),
    spec(
        "LS.SPACE",
        1,
        Keys::None,
        (Store, Task(server::space_task)),
        "Tells what takes how much of device and memory",
    ),
    spec("LS.TABLE", -2, Keys::None, (Store, Task(tables::table)), "Makes, lists, describes and drops tables"),
    spec("LS.USE", 2, Keys::None, (Store, Task(store::use_table)), "Chooses the table that plain commands are about"),
    spec("LS.VERIFY", 2, Keys::None, (Store, Task(store::verify)), "Reads a record and checks every byte of it"),
    spec("MEMORY", -3, SECOND, (Server, Read(keys::memory, Fast::No)), "Tells the bytes of a key: USAGE"),
    spec("MGET", -2, ALL, (String, Read(strings::mget, Fast::No)), "Tells several values"),
    spec("MONITOR", 1, Keys::None, (Server, Task(feed::monitor)), "Shows the commands of all connections"),
    spec(
        "MSET",
        -3,
        PAIRS,
        (String, Write(strings::mset, Fast::Put(strings::mset_blind))),
        "Puts several values, all or nothing",
    ),
    spec(
        "MSETEX",
        -4,
        Keys::Counted(1),
        (String, Write(strings::msetex, Fast::No)),
        "Puts several values until a time, all or nothing",
    ),
    spec(
        "MSETNX",
        -3,
        PAIRS,
        (String, Write(strings::msetnx, Fast::No)),
        "Puts several values if none of the keys is there",
    ),
    spec("MULTI", 1, Keys::None, (Transactions, Connection(connect::multi)), "Begins a transaction"),
    spec(
        "OBJECT",
        -3,
        SECOND,
        (Generic, Read(keys::object, Fast::No)),
        "Tells how a value is kept: ENCODING, REFCOUNT",
    ),
    spec("PERSIST", 2, ONE, (Generic, Write(expiry::persist, Fast::No)), "Lets a key stay for ever"),
    spec("PEXPIRE", -3, ONE, (Generic, Write(expiry::expire, Fast::No)), "Says when a key goes, in milliseconds"),
    spec("PEXPIREAT", -3, ONE, (Generic, Write(expiry::expire, Fast::No)), "Says when a key goes, in milliseconds"),
    spec(
        "PEXPIRETIME",
        2,
        ONE,
        (Generic, Read(expiry::ttl, Fast::No)),
        "Tells the moment at which a key goes, in milliseconds",
    ),
    spec("PING", -1, Keys::None, (Group::Connection, Say(server::ping)), "Answers"),
    spec(
        "PSETEX",
        4,
        ONE,
        (String, Write(strings::setex, Fast::Put(strings::setex_blind))),
        "Puts a value for so many milliseconds",
    ),
    spec("PTTL", 2, ONE, (Generic, Read(expiry::ttl, Fast::No)), "Tells how long a key stays, in milliseconds"),
    spec("QUIT", -1, Keys::None, (Group::Connection, Connection(connect::quit)), "Ends the connection"),
    spec("RANDOMKEY", 1, Keys::None, (Generic, Task(iterate::random_key)), "Tells a key, any one"),
    spec("RENAME", 3, TWO, (Generic, Write(keys::rename, Fast::No)), "Gives a value another key"),
    spec(
        "RENAMENX",
        3,
        TWO,
        (Generic, Write(keys::rename, Fast::No)),
        "Gives a value another key that is not there yet",
    ),
    spec("RESET", 1, Keys::None, (Group::Connection, Connection(connect::reset)), "Makes the connection as new"),
    spec("SAVE", 1, Keys::None, (Server, Task(persist::save)), "Makes everything committed so far persistent"),
    spec("SCAN", -2, Keys::None, (Generic, Task(iterate::scan)), "Tells the keys, batch by batch"),
    spec("SELECT", 2, Keys::None, (Group::Connection, Connection(connect::select)), "Chooses a database"),
    spec("SET", -3, ONE, (String, Write(strings::set, Fast::Put(strings::set_blind))), "Puts a value"),
    spec(
        "SETEX",
        4,
        ONE,
        (String, Write(strings::setex, Fast::Put(strings::setex_blind))),
        "Puts a value for so many seconds",
    ),
    spec(
        "SETNX",
        3,
        ONE,
        (String, Write(strings::setnx, Fast::Put(strings::setnx_blind))),
        "Puts a value if the key is not there",
    ),
    spec("SETRANGE", 4, ONE, (String, Write(strings::setrange, Fast::No)), "Overwrites a part of a value"),
    spec("SHUTDOWN", -1, Keys::None, (Server, Say(server::shutdown)), "Is refused: end the server by a signal"),
    spec("SLOWLOG", -2, Keys::None, (Server, Say(server::slowlog)), "Tells nothing: no slow commands are kept"),
    spec("STRLEN", 2, ONE, (String, PART), "Tells the length of a value"),
    spec("SUBSTR", 4, ONE, (String, PART), "Tells a part of a value"),
    spec("TIME", 1, Keys::None, (Server, Say(server::time)), "Tells the server's time"),
    spec("TOUCH", -2, ALL, (Generic, Read(keys::exists, Fast::No)), "Counts the keys that are there"),
    spec("TTL", 2, ONE, (Generic, Read(expiry::ttl, Fast::No)), "Tells how long a key stays, in seconds"),
    spec("TYPE", 2, ONE, (Generic, Read(keys::type_of, Fast::No)), "Tells whether a key has a value"),
    spec("UNLINK", -2, ALL, (Generic, Write(keys::del, Fast::Put(keys::del_blind))), "Deletes keys"),
    spec("UNWATCH", 1, Keys::None, (Transactions, Connection(connect::unwatch)), "Forgets what was watched"),
    spec("WAIT", 3, Keys::None, (Generic, Say(persist::wait)), "Tells how many copies there are: none"),
    spec(
        "WAITAOF",
        4,
        Keys::None,
        (Generic, Task(persist::waitaof)),
        "Waits until everything committed so far is persistent",
    ),
    spec("WATCH", -2, ALL, (Transactions, Task(watch::watch)), "Lets the next transaction depend on keys"),
];

/// The command that a lookup is.
pub(crate) const GET: Spec = spec("GET", 2, ONE, (String, Read(strings::get, Fast::Get)), "Tells a value");
