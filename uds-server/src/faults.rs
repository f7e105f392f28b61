//! The faults that the server itself gives: code, kind, and a message that says what to do.

use wire::codes::{self, fault_kind};
use wire::{Fault, List, Outcome};

/// A fault of the protocol's own codes.
pub(crate) fn fault(code: u16) -> Outcome<'static> {
    let (kind, message) = describe(code);
    Outcome::Err(Fault { code, kind, applied: false, message, failures: List::default() })
}

/// What happened and what to do, in a sentence.
pub(crate) fn message(code: u16) -> &'static str {
    describe(code).1
}

fn describe(code: u16) -> (u8, &'static str) {
    match code {
        codes::NOT_A_FRAME => {
            (fault_kind::INVALID, "this is not a frame of lostore's protocol; is the client one of lostore's?")
        }
        codes::FRAME_TOO_LARGE => (
            fault_kind::INVALID,
            "the frame is above the limit; send a large commit through an interactive transaction",
        ),
        codes::MALFORMED => (
            fault_kind::INVALID,
            "the request's body is malformed, nothing was done; use a client and server of versions that meet",
        ),
        codes::UNKNOWN_VERB => (fault_kind::UNSUPPORTED, "this server does not know the request; use a newer server"),
        codes::HELLO_EXPECTED => (fault_kind::INVALID, "a connection begins with one hello, and has only one"),
        codes::NO_COMMON_VERSION => {
            (fault_kind::UNSUPPORTED, "client and server have no protocol version in common; update one")
        }
        codes::DEADLINE => (fault_kind::FULL, "the request's deadline passed before it was begun; nothing was done"),
        codes::CANCELLED => {
            (fault_kind::CONFLICT, "the request was cancelled, nothing was done; send it again if it is wanted")
        }
        codes::NO_SUCH_TRANSACTION => (
            fault_kind::NOT_FOUND,
            "the transaction is not open: it was committed, aborted, or idle for too long; begin it anew",
        ),
        codes::TRANSACTIONS_FULL => {
            (fault_kind::FULL, "this connection's transactions are as many or as large as they may be; end one first")
        }
        codes::REPLY_TOO_LARGE => (fault_kind::INVALID, "the answer is larger than a frame; ask for less at a time"),
        codes::SLOW_READER => (fault_kind::FULL, "earlier replies have not been read; read them, then ask again"),
        codes::BAD_ID => (fault_kind::INVALID, "a request's correlation id is not 0; number requests from 1"),
        codes::DUPLICATE_ID => (
            fault_kind::INVALID,
            "a request has the correlation id of one that is not answered yet; give each a number of its own",
        ),
        codes::STOPPING => (fault_kind::ENVIRONMENT, "the server is stopping; nothing was done; connect again later"),
        codes::TIMED_OUT => (fault_kind::ENVIRONMENT, "the connection stood still for too long; connect again"),
        codes::TOO_MANY_PARTS => (fault_kind::INVALID, "the commits of one batch have at most 65,536 parts together"),
        codes::ACCESS_DENIED => (
            fault_kind::ENVIRONMENT,
            "this server serves its owner, root, and those that its rules name; run the client as the server's user, or ask for a rule",
        ),
        codes::CONNECTIONS_FULL => {
            (fault_kind::FULL, "the server, or this user of it, has as many connections as it may; close one first")
        }
        codes::MEMORY_FULL => (
            fault_kind::FULL,
            "the server's memory for connections is taken by others' requests and replies; nothing was done; try again later",
        ),
        codes::NOT_IDENTIFIED => (
            fault_kind::INVALID,
            "the connection has not said for which client it speaks; send Identify and wait for its answer; nothing was done",
        ),
        codes::READS_UNDER_WAY => (
            fault_kind::INVALID,
            "the strict transaction has reads that are not answered yet, so nothing says what must still hold; wait for them before \
             its commit; it is aborted",
        ),
        other => unreachable!("{other} is no code of the protocol's own"),
    }
}
