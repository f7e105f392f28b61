//! Bad input against the real daemon, clause by clause: each is refused with a code and a text that says what to do; the daemon
//! goes on, and what was stored stays.
//!
//! [`frames`] is what a connection may be fed, [`machine`] what a directory or a device may be.

pub(crate) mod frames;
mod machine;

use crate::process::Daemon;
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, PutOptions, RawTable, explain, plain_spec};

/// A refusal as somebody sees it: the code, and all the text there is with it.
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl From<lostore::Error> for Refusal {
    fn from(error: lostore::Error) -> Self {
        Self { code: error.code(), text: format!("{error}; {}", error.help()) }
    }
}

/// Prints a clause with its refusal, and checks it: the code, the words that say what to do, an explanation of the code.
#[track_caller]
fn check(clause: &str, refusal: &Refusal, code: u16, advice: &str) {
    println!("{clause:<56} LS{:04}  {}", refusal.code, refusal.text.replace('\n', " "));
    assert_eq!(refusal.code, code, "{clause}: {}", refusal.text);
    assert!(refusal.text.contains(advice), "{clause}: '{advice}' is not in: {}", refusal.text);
    let explained = explain(code).unwrap_or_else(|| panic!("LS{code:04} is not explained"));
    assert!(!explained.help.is_empty());
}

/// Key number `n`, in the order of numbers.
fn key(n: u32) -> Vec<u8> {
    format!("{n:06}").into_bytes()
}

/// A client that does nothing wrong, and all that it has stored.
struct Good {
    table: RawTable<AnyBackend>,
    pairs: u32,
}

impl Good {
    fn new(daemon: &Daemon) -> Self {
        let store = daemon.connect();
        let table = store.create_raw("good", plain_spec(TableKind::Ordered, TableHome::Persistent)).unwrap();
        Self { table, pairs: 0 }
    }

    /// Stores one pair more, persistently, and finds all those before it.
    #[track_caller]
    fn goes_on(&mut self, clause: &str) {
        let ticket = self.table.upsert(&key(self.pairs), clause.as_bytes(), PutOptions::default()).unwrap();
        ticket.persistent().unwrap();
        self.pairs += 1;
        self.all_there();
    }

    #[track_caller]
    fn all_there(&self) {
        let found: Vec<_> = self.table.iter().map(|pair| pair.unwrap().key).collect();
        let wanted: Vec<_> = (0..self.pairs).map(key).collect();
        assert_eq!(found, wanted);
    }

    /// Stops the daemon and starts it again: everything is there.
    fn outlives(self, daemon: Daemon, dir: &std::path::Path) {
        let Self { table, pairs } = self;
        drop(table);
        daemon.stop();
        let daemon = Daemon::start(dir);
        let table = daemon.connect().open_raw("good").unwrap();
        Self { table, pairs }.all_there();
    }
}
