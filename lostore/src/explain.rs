//! What each error code means and what to do about it: the text behind `lostore explain LSnnnn`.
//!
//! Contract: every code that an error of the store can have is here once; a code is never reused. Codes: 01xx environment, 02xx
//! tables, 03xx transactions, 04xx damage, 05xx the protocol, 06xx the command line, 07xx types and records.

use domains::ErrorKind;

/// A code, explained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The code, `LSnnnn` in messages.
    pub code: u16,
    /// What happened.
    pub what: &'static str,
    /// What to do.
    pub help: &'static str,
}

const fn says(code: u16, what: &'static str, help: &'static str) -> Explanation {
    Explanation { code, what, help }
}

/// All of them, by code.
pub const EXPLANATIONS: &[Explanation] = &[
    says(101, "the file or directory is not a lostore store", "check the path; `lostore inspect` shows what is there"),
    says(
        102,
        "the store was made by a later version with features that this one does not know",
        "open it with that version or a later one",
    ),
    says(103, "the store is closing", "open it again; nothing was applied"),
    says(
        104,
        "the log has no room and the device cannot grow",
        "free space on the device or raise the store's cap, then try again; reads go on",
    ),
    says(105, "too many operations are in flight", "wait for answers before sending more; nothing was applied"),
    says(
        106,
        "this kind of domain does not promise what was asked",
        "ask for it on a domain that does, or open the transaction without it",
    ),
    says(
        107,
        "the store has been opened as often as its format can count",
        "nothing in it is lost; make a new store and fill it from a backup or from the programs that wrote this one",
    ),
    says(
        108,
        "the device failed a request: of an open, which served nothing, of a close, or for room, which a commit wanted that was not applied; nothing announced was lost",
        "look at the system's log for the device at this offset; then try again, from a copy of the device if it goes on failing",
    ),
    says(110, "the kernel refused io_uring", "the message names the limit or setting; or run with --io posix"),
    says(111, "another process has the store open", "stop that process, or connect to its socket instead"),
    says(112, "a Unix socket's path has at most 107 bytes", "use a shorter path"),
    says(113, "there is a file where the socket should be", "move it away or name another path"),
    says(114, "there is already a socket at the path", "stop the server behind it, or name another path"),
    says(115, "the path is a symbolic link", "name what it points to"),
    says(116, "the system refused a call", "the message has the call, the path and the system's answer"),
    says(
        117,
        "the service manager passed a socket that cannot be served",
        "pass one Unix stream socket with a path: ListenStream=/path and Accept=no in the unit",
    ),
    says(
        120,
        "the connection to the server ended",
        "connect again; look whether an operation that may have been applied was, before repeating it",
    ),
    says(
        121,
        "the thread that carries the operations ended by a fault",
        "open the store again; what was persistent is safe; please report the message printed before",
    ),
    says(130, "there is a file where the store's directory should be", "choose another path"),
    says(131, "there is no store at the path", "check the path, or let the store be created"),
    says(132, "the directory above the store's does not exist", "create it first"),
    says(133, "the directory has files that are not lostore's", "choose an empty or new directory"),
    says(
        134,
        "the directory or a file in it may not be written",
        "give this user the right to write there, or choose another directory",
    ),
    says(
        135,
        "nobody answers at the socket",
        "try again if a server is just starting or stopping; else start one with `lostore serve`, or check the path",
    ),
    says(
        136,
        "the peer does not speak this version of the protocol",
        "check the path; use a client and server of versions that meet",
    ),
    says(137, "the system refused a call", "the message has the call, the path and the system's answer"),
    says(
        150,
        "the server's rules do not give this user the right that the operation takes; nothing was done",
        "ask the server's owner for it; `lostore acl explain` says what the rules give to whom, and by which line",
    ),
    says(
        151,
        "the server's rules cannot be read or understood",
        "correct the lines that the message names; `lostore acl check FILE` tries again without a server",
    ),
    says(
        201,
        "no table has this name, or the server's rules give this user no right on it",
        "check the name; `lostore table list` shows those there are; ask the server's owner whether there is more",
    ),
    says(
        202,
        "the table was destroyed after it was opened, or the server's rules give this user no right on it any more",
        "open it again by name",
    ),
    says(203, "the name is taken", "open the table, or choose another name"),
    says(204, "a table's name has 1 to 255 bytes", "choose a name of that length"),
    says(
        205,
        "the stored table and the program's type differ in a way that would misread pairs",
        "only append fields, with #[default]; for any other change make a new table",
    ),
    says(206, "the field is not a pointer", "`lostore table info` lists the fields and which of them point where"),
    says(
        207,
        "the operation wants another kind of table",
        "ranges, prefixes and backwards want an ordered table, addresses a sack",
    ),
    says(208, "the key has a length that this table's keys never have", "make the key from the table's own type"),
    says(
        209,
        "a table's spec has a rule that cannot stand",
        "require pointers only, give ranges to numbers only, the least first, and each rule once",
    ),
    says(
        210,
        "the keys of a client-hash table are one field, a u32 or u64 that the client hashed",
        "give the table such a key, or make it a hash table, whose keys the store hashes",
    ),
    says(
        211,
        "compact slots are of hash tables; an ordered table and a sack have none",
        "leave the hint away, or make the table hash or client-hash",
    ),
    says(
        212,
        "compact slots tell 2^32 pages (16 TiB) apart, and the store has more",
        "make the table with wide slots: everything else is the same",
    ),
    says(
        213,
        "the store has grown past the 2^32 pages (16 TiB) that compact slots tell apart; nothing was applied",
        "reopen the store: from then on its tables have wide slots, and take everything again",
    ),
    says(301, "an argument is out of its bounds", "the message has the bound"),
    says(
        302,
        "the transaction does not take the update",
        "the message says which limit was met, or which update of the same transaction contradicts it",
    ),
    says(303, "compares of the transaction did not hold; nothing was applied", "read again and decide anew"),
    says(
        304,
        "a log write or flush has failed; the domain is read-only",
        "reopen the store; epochs that were announced survive, later ones may not",
    ),
    says(
        305,
        "the epoch was not yet persistent when the store ended its life: what its commits wrote is gone",
        "read again and decide anew",
    ),
    says(
        306,
        "the token names no revertible write that is still there: it was lost in a crash, or was never revertible",
        "read the record again and decide anew",
    ),
    says(
        307,
        "the lease of the revertible write has ended, so the write stands; nothing was changed",
        "write the earlier record anew, and give the next write a longer lease",
    ),
    says(
        308,
        "revertible writes keep as many earlier records as the store may keep",
        "seal or revert some, or wait until their leases end",
    ),
    says(
        309,
        "a transaction was given a table that another store or connection has opened",
        "open the table by the store that the transaction is of",
    ),
    says(
        310,
        "a request of a client is so old that it cannot be told from those that were applied",
        "keep the numbers of a client's requests under way within 256 of each other; ask for its fate before you give it up",
    ),
    says(
        311,
        "what was sent does not speak for the client: a later connection of the client does, or it was never identified",
        "nothing was applied; identify the client under a greater attempt, and send the request again under its number",
    ),
    says(
        312,
        "the store remembers the requests of as many clients as it may, all of them heard of lately",
        "let programs keep their client ids over restarts instead of drawing new ones, or wait until one has been idle for a day",
    ),
    says(
        313,
        "open transactions have written out as many bytes before their commits as the store allows all of them together",
        "commit or abort some of them, make the transaction smaller, or raise staged_bytes_max (`lostore serve --staged`)",
    ),
    says(
        314,
        "what a transaction was to have written out before its commit is not there; nothing was applied",
        "run the transaction again from its beginning; over a socket keep its pauses below the server's idle time",
    ),
    says(
        315,
        "a commit names a value that was not written out for its key, or names it twice; nothing was applied",
        "name each value once, for the table and key that it was written for",
    ),
    says(
        316,
        "space was to be won back in a store where reclaim is off; nothing was done",
        "open the store with Config::reclaims, or serve it with `lostore serve --reclaim on`, and ask again",
    ),
    says(
        401,
        "a record's bytes are not what was written",
        "restore it from a backup or delete it; `lostore verify` lists all damage",
    ),
    says(402, "the device failed a read", "look at the system's log for the device; everything else goes on"),
    says(
        403,
        "the superblock, or the log below an announced epoch, is damaged",
        "restore from a backup; `lostore inspect` shows what can be read",
    ),
    says(
        404,
        "the data file or device is shorter than the store on it: something else has cut it off",
        "put the missing end back or restore from a backup; `lostore inspect` shows what is there",
    ),
    says(
        501,
        "the bytes that were sent are not a frame of the protocol",
        "connect with a client of lostore's to a socket of lostore's",
    ),
    says(
        502,
        "a frame is above the limit",
        "send a large commit through an interactive transaction, piece by piece; an update on its own always fits",
    ),
    says(503, "a request's body is malformed; nothing was done", "use a client and server of versions that meet"),
    says(504, "the server does not know the request", "use a server as new as the client"),
    says(505, "a connection begins with one hello, and has only one", "say hello first, once"),
    says(506, "client and server have no protocol version in common", "update the older of the two"),
    says(
        507,
        "the request's deadline passed before it was begun; nothing was done",
        "send less at a time, or give it longer",
    ),
    says(508, "the request was cancelled", "send it again if it is wanted after all"),
    says(
        509,
        "the transaction is not open: it was committed, aborted, or idle for too long",
        "begin it anew and send all of it",
    ),
    says(
        510,
        "a connection's open transactions are as many or as large as they may be",
        "end one first, or use another connection",
    ),
    says(511, "the answer is larger than a frame", "ask for less at a time"),
    says(512, "the client has not read its earlier replies", "read them, then ask again"),
    says(513, "a request's correlation id is 0", "number requests from 1"),
    says(514, "the server is stopping; nothing was done", "connect again later"),
    says(515, "the connection stood still for too long and was ended", "connect again, and finish what is begun"),
    says(516, "the commits of one batch have more than 65,536 parts together", "send them in several batches"),
    says(
        517,
        "the server serves its owner, root, and those that its rules name; this user is none of them",
        "run the client as the server's user, or ask its owner for a rule (`lostore serve --acl`)",
    ),
    says(518, "the server, or this user of it, has as many connections as it may", "close one first"),
    says(
        519,
        "a request has the correlation id of one that is not answered yet",
        "give each request a number of its own",
    ),
    says(
        520,
        "the server's memory for all connections, or for this user's, is taken",
        "try again later, in smaller pieces, or raise the daemon's --memory; `lostore status` shows who waits",
    ),
    says(
        521,
        "the connection has not said for which client it speaks, or its identification is not answered yet",
        "send Identify first and wait until it is accepted; nothing was done",
    ),
    says(
        522,
        "a strict transaction was to be committed while reads of it were not answered",
        "the transaction is aborted; begin it anew, and wait for the answers to its reads before its commit",
    ),
    says(
        530,
        "the command of Redis, or the promised one, is not served",
        "the message says what to use instead; design/redis-differences.md lists what is served",
    ),
    says(531, "the cursor of a SCAN is not known", "begin the iteration again with SCAN 0"),
    says(
        601,
        "the command line names something that is not so, or in a form that cannot be read",
        "the message says which form is wanted; `lostore help VERB` has examples",
    ),
    says(
        602,
        "a transaction's script cannot be read",
        "the message names the line; `lostore txn --help` has the grammar",
    ),
    says(
        603,
        "an offline check found bytes that are not what was written",
        "the list names segment, page and table: restore from a backup, or open the store and copy what can be read",
    ),
    says(604, "a check of the demo failed", "the list above says which; please report it together with the output"),
    says(605, "a file or stream on the caller's side cannot be read or written", "check the path and its permissions"),
    says(
        606,
        "pointers lead nowhere, or records break the rules of their table",
        "mend the records that are listed, or put what they point to; `lostore schema` shows tables, pointers and rules",
    ),
    says(
        701,
        "a key's bytes are not of the table's type",
        "the pair was written through another type or as raw bytes; `lostore get -o hex` shows it",
    ),
    says(
        702,
        "a record is not an envelope of fields",
        "the pair was written as raw bytes or by a later format; `lostore get -o hex` shows it",
    ),
    says(
        703,
        "a field's bytes are not of its type",
        "the field's Rust type was changed, which the catalog cannot see; change it back, or append a new field",
    ),
    says(704, "a record lacks a field", "it was written before the field was appended: give the field #[default]"),
    says(
        705,
        "a field's type cannot be written",
        "sequences must know their length; maps and sequences of the standard library do",
    ),
    says(
        706,
        "a field breaks a rule of its table type: a pointer that must not be null is, or a number is out of its range",
        "nothing was written; give the field a value that its #[required] or #[range] allows",
    ),
    says(
        707,
        "an operation was answered with something that does not answer it",
        "use a client and server of the same release",
    ),
];

/// What a code means, when it is one.
///
/// ```
/// assert!(lostore::explain(303).unwrap().help.contains("read again"));
/// assert!(lostore::explain(9999).is_none());
/// ```
#[must_use]
pub fn explain(code: u16) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|explanation| explanation.code == code)
}

/// What to do about an error of this kind, whatever its code: for codes that a later server has.
#[must_use]
pub fn kind_help(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "correct the call: it can never succeed as it is",
        ErrorKind::Conflict => "read again and decide anew",
        ErrorKind::NotFound => "name something that exists",
        ErrorKind::Unsupported => "ask a domain that can do this",
        ErrorKind::Full => "wait, or make room, and try again",
        ErrorKind::Corrupt => "restore or repair the named thing; everything else goes on",
        ErrorKind::Poisoned => "the domain is read-only until it is opened again",
        ErrorKind::Environment => "the machine refused: the message says what to change",
    }
}

#[cfg(test)]
mod tests;
