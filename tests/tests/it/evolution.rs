//! Two programs of different ages at one table, for a million operations: neither loses what only the other knows.
//!
//! The old one's records have two fields, the new one's three more. Each reads and rewrites a half of the records in one transaction
//! while the other does so with the other half, over a connection of its own to the real daemon; then they change places. At every
//! visit each checks its own fields against what it wrote when it was last there: the other has rewritten the record since.

use crate::process::Daemon;
use lostore::{AnyBackend, PendingCommit, Store, Table};
use std::time::Instant;

mod old {
    use lostore::TableType;

    #[derive(TableType)]
    #[table(ordered)]
    pub(super) struct Account {
        #[key]
        pub(super) id: u64,
        pub(super) name: String,
        pub(super) visits: u64,
    }
}

mod new {
    use lostore::TableType;

    #[derive(TableType)]
    #[table(ordered)]
    pub(super) struct Account {
        #[key]
        pub(super) id: u64,
        pub(super) name: String,
        pub(super) visits: u64,
        #[default(18)]
        #[range(18..=1_000_000)]
        pub(super) level: u32,
        #[default]
        pub(super) tags: Vec<u8>,
        #[default("none".to_owned())]
        pub(super) note: String,
    }
}

/// Records of a half.
const HALF: u64 = 1_000;
/// A round is a read and a rewrite of every record of both halves.
const ROUNDS: u64 = 250;
const _: () = assert!(ROUNDS * 2 * HALF * 2 == 1_000_000);

/// Which records a program has in this round.
fn half(round: u64, program: u64) -> std::ops::Range<u64> {
    let half = (round + program) % 2;
    half * HALF..(half + 1) * HALF
}

/// How often the half of this program in this round had been visited by it before.
fn visits_before(round: u64) -> u64 {
    round / 2
}

fn old_visits(table: &Table<old::Account, AnyBackend>, round: u64) -> PendingCommit<AnyBackend> {
    let (mut txn, mut seen) = (table.store().txn(), 0);
    for found in table.range(half(round, 0)) {
        let mut account = found.unwrap();
        assert_eq!(account.visits, visits_before(round), "record {} in round {round}", account.id);
        assert_eq!(account.name, format!("name {} {}", account.id, account.visits));
        account.visits += 1;
        account.name = format!("name {} {}", account.id, account.visits);
        txn.update(table, &account).unwrap();
        seen += 1;
    }
    assert_eq!(seen, HALF);
    txn.commit_async()
}

/// What the new program's fields are after so many of its visits.
fn tags(id: u64, visits: u64) -> Vec<u8> {
    vec![u8::try_from(id % 251).unwrap(); usize::try_from(visits % 7).unwrap()]
}

fn new_visits(table: &Table<new::Account, AnyBackend>, round: u64) -> PendingCommit<AnyBackend> {
    let (mut txn, mut seen, visits) = (table.store().txn(), 0, visits_before(round));
    for found in table.range(half(round, 1)) {
        let mut account = found.unwrap();
        let expected = match visits {
            0 => (18, vec![], "none".to_owned()),
            visits => (18 + u32::try_from(visits).unwrap(), tags(account.id, visits), format!("note {visits}")),
        };
        let (level, tags_found, note) = (account.level, account.tags.clone(), account.note.clone());
        assert_eq!((level, tags_found, note), expected, "record {} in round {round}", account.id);
        account.level += 1;
        account.tags = tags(account.id, visits + 1);
        account.note = format!("note {}", visits + 1);
        txn.update(table, &account).unwrap();
        seen += 1;
    }
    assert_eq!(seen, HALF);
    txn.commit_async()
}

#[test]
fn an_old_and_a_new_program_share_a_table_for_a_million_operations() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&dir.path().join("store"));
    let connect = || -> Store<AnyBackend> { daemon.connect() };
    let old = connect().table::<old::Account>("account").unwrap();
    let mut txn = old.store().txn();
    for id in 0..2 * HALF {
        txn.insert(&old, old::Account { id, name: format!("name {id} 0"), visits: 0 }).unwrap();
    }
    txn.commit().unwrap();
    let new = connect().table::<new::Account>("account").unwrap();

    let began = Instant::now();
    for round in 0..ROUNDS {
        let (first, second) = (old_visits(&old, round), new_visits(&new, round));
        first.wait().unwrap();
        second.wait().unwrap();
    }
    println!("{} operations of two programs in {:.1} s", ROUNDS * 2 * HALF * 2, began.elapsed().as_secs_f64());

    // Nobody has lost anything, and a third program that comes now finds all of it.
    let third = connect().open_table::<new::Account>("account").unwrap();
    let visits = ROUNDS / 2;
    let mut seen = 0;
    for found in third.iter() {
        let account = found.unwrap();
        assert_eq!((account.visits, account.unknown_fields()), (visits, 0));
        assert_eq!(account.level, 18 + u32::try_from(visits).unwrap());
        assert_eq!((&account.tags, &account.note), (&tags(account.id, visits), &format!("note {visits}")));
        seen += 1;
    }
    assert_eq!(seen, 2 * HALF);
    let spec = third.raw().spec();
    assert_eq!((spec.record.len(), spec.revision(), spec.revision_of(1), spec.revision_of(2)), (5, 2, 1, 2));
}
