//! Transactions larger than the memory that they may take: the same results, the same errors, and no trace of what is not committed.

use lostore::key::KeySpan;
use lostore::schema::{TableHome, TableKind};
use lostore::{Inline, Pair, PutOptions, RawTable, Store, TableType, Token, TxnOptions, plain_spec};
use proptest::prelude::*;

/// A store of this process with a table of each kind that has keys from its clients, in each home.
struct Ground {
    store: Store<Inline>,
    tables: Vec<RawTable<Inline>>,
}

const TABLES: [(TableKind, TableHome); 3] = [
    (TableKind::Hash, TableHome::Persistent),
    (TableKind::Ordered, TableHome::Persistent),
    (TableKind::Ordered, TableHome::Volatile),
];

impl Ground {
    fn new() -> Self {
        let store = lostore::open_memory().unwrap();
        let make = |(at, (kind, home)): (usize, (TableKind, TableHome))| {
            store.create_raw(&format!("t{at}"), plain_spec(kind, home)).unwrap()
        };
        let tables = TABLES.into_iter().enumerate().map(make).collect();
        Self { store, tables }
    }

    /// Everything that there is, but for versions.
    fn content(&self) -> Vec<Vec<Seen>> {
        let of = |table: &RawTable<Inline>| {
            let mut pairs: Vec<_> = table.range(KeySpan::default()).map(|pair| seen(&pair.unwrap())).collect();
            pairs.sort();
            pairs
        };
        self.tables.iter().map(of).collect()
    }
}

/// A pair without its version, which is not the same in two stores.
type Seen = (Vec<u8>, Vec<u8>, Option<u64>, bool);

fn seen(pair: &Pair) -> Seen {
    (pair.key.clone(), pair.value.clone(), pair.expires_ms, pair.compressed)
}

/// Far in the future.
const EXPIRES_MS: u64 = 9_000_000_000_000;

#[derive(Clone, Copy, Debug)]
enum Verb {
    Insert,
    Update,
    Upsert,
    Append,
    Delete,
    Remove,
    Get,
    All,
    Revert,
}

#[derive(Clone, Debug)]
struct Act {
    verb: Verb,
    table: usize,
    key: u8,
    bytes: usize,
    options: PutOptions,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let verb = prop_oneof![
        2 => Just(Verb::Insert),
        2 => Just(Verb::Update),
        4 => Just(Verb::Upsert),
        5 => Just(Verb::Append),
        1 => Just(Verb::Delete),
        1 => Just(Verb::Remove),
        3 => Just(Verb::Get),
        1 => Just(Verb::All),
        1 => Just(Verb::Revert),
    ];
    let options = (0..4_u8, any::<bool>(), 0..5_u8).prop_map(|(expires, compressed, revertible)| PutOptions {
        expires_ms: (expires == 0).then_some(EXPIRES_MS),
        compressed,
        compact: false,
        revertible_ms: (revertible == 0).then_some(1 << 40),
    });
    let bytes = prop_oneof![0..64_usize, 250..260_usize, 256..3_000_usize, 4_000..9_000_usize];
    let act = (verb, 0..TABLES.len(), 0..6_u8, bytes, options);
    prop::collection::vec(
        act.prop_map(|(verb, table, key, bytes, options)| Act { verb, table, key, bytes, options }),
        1..40,
    )
}

/// What a call showed: pairs, or the code of its error.
type Shown = Result<Vec<Seen>, u16>;

/// Runs one transaction; what each call showed and how it ended.
fn run(ground: &Ground, acts: &[Act], memory_bytes: usize, commits: bool) -> (Vec<Shown>, Result<usize, u16>) {
    let before: Vec<_> = acts.iter().map(|act| ground.tables[act.table].get(&[act.key]).unwrap()).collect();
    let options = TxnOptions { abortable: true, memory_bytes: Some(memory_bytes), ..TxnOptions::default() };
    let mut txn = ground.store.txn_with(options).unwrap();
    let mut shown = Vec::new();
    for (number, (act, before)) in acts.iter().zip(&before).enumerate() {
        let (table, key, options) = (&ground.tables[act.table], [act.key], act.options);
        let value = vec![u8::try_from(number).unwrap(); act.bytes];
        let mut raw = txn.raw(table);
        let done = match (act.verb, before) {
            (Verb::Insert, _) => raw.insert(&key, &value, options).map(|()| Vec::new()),
            (Verb::Update, _) => raw.update(&key, &value, options).map(|()| Vec::new()),
            (Verb::Upsert, _) => raw.upsert(&key, &value, options).map(|()| Vec::new()),
            (Verb::Append, _) => raw.append(&key, &value, options).map(|()| Vec::new()),
            (Verb::Delete, _) => raw.delete(&key).map(|()| Vec::new()),
            (Verb::Remove, _) => raw.remove(&key).map(|()| Vec::new()),
            (Verb::Get, _) => raw.get(&key).map(|pair| pair.iter().map(seen).collect()),
            (Verb::All, _) => raw.range(KeySpan::default()).map(|pair| pair.map(|pair| seen(&pair))).collect(),
            (Verb::Revert, Some(pair)) => {
                let token = Token { table: table.id(), key: key.to_vec(), version: pair.version };
                txn.revert(&token).map(|()| Vec::new())
            }
            (Verb::Revert, None) => Ok(Vec::new()),
        };
        let mut done = done.map_err(|error| error.code());
        if let Ok(pairs) = &mut done {
            pairs.sort();
        }
        shown.push(done);
    }
    if !commits {
        txn.abort().unwrap();
        return (shown, Ok(0));
    }
    let ended = txn.commit().map(|ticket| ticket.versions().len());
    (shown, ended.map_err(|error| error.code()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Every update, own reads and iterations, commits and aborts: with hardly any memory as with all that it takes.
    #[test]
    fn a_transaction_without_memory_does_what_one_with_memory_does(
        txns in prop::collection::vec((acts(), 0..4_u8), 1..6),
        memory_bytes in prop_oneof![Just(0_usize), Just(600), Just(5_000)],
    ) {
        let (small, large) = (Ground::new(), Ground::new());
        for (acts, ends) in &txns {
            let commits = *ends > 0;
            let one = run(&small, acts, memory_bytes, commits);
            let other = run(&large, acts, usize::MAX, commits);
            prop_assert_eq!(one, other);
            prop_assert_eq!(small.content(), large.content());
            let status = small.store.status().unwrap();
            prop_assert_eq!((status.stages, status.staged_bytes), (0, 0), "whatever became of it, it is over");
            prop_assert_eq!(large.store.status().unwrap().unstaged_bytes, 0);
        }
        small.store.drop_cache().unwrap();
        prop_assert_eq!(small.content(), large.content(), "cold");
    }
}

#[derive(TableType, Clone, PartialEq, Debug)]
#[table(ordered)]
struct Page {
    #[key]
    number: u32,
    bytes: Vec<u8>,
}

fn page(number: u32, count: usize) -> Page {
    Page { number, bytes: vec![u8::try_from(number % 251).unwrap(); count] }
}

/// Twice the memory that a transaction may take, and it takes no more.
#[test]
fn a_transaction_of_twice_its_memory_is_written_out_and_its_memory_stays_bounded() {
    let store = lostore::open_memory().unwrap();
    let pages = store.table::<Page>("page").unwrap();
    let (count, bytes) = (8_192, 4_096);
    let mut txn = store.txn();
    let mut most = 0;
    for number in 0..count {
        txn.insert(&pages, page(number, bytes)).unwrap();
        most = most.max(txn.memory());
    }
    assert!(most <= (16 << 20) * 5 / 4 + 2 * bytes, "{most} bytes of memory");
    let status = store.status().unwrap();
    assert!(status.stages == 1 && status.staged_bytes > 16 << 20, "{status:?}");
    assert_eq!(pages.iter().count(), 0, "nobody sees it");
    assert_eq!(txn.get(&pages, 17).unwrap().unwrap().into_record(), page(17, bytes));
    txn.commit().unwrap();
    assert_eq!(
        pages.iter().map(|page| page.unwrap().into_record()).filter(|of| *of == page(of.number, bytes)).count(),
        count as usize
    );
}

#[test]
fn aborted_failed_and_conflicting_large_transactions_leave_the_store_as_it_was() {
    let store = lostore::open_memory().unwrap();
    let pages = store.table::<Page>("page").unwrap();
    pages.insert(page(3, 10)).unwrap();
    let options = TxnOptions { abortable: true, strict: true, memory_bytes: Some(1_000), ..TxnOptions::default() };
    let live = || -> u64 { store.status().unwrap().tables.iter().map(|table| table.record_bytes).sum() };
    let all = || pages.iter().map(|page| page.unwrap().into_record()).collect::<Vec<_>>();
    let (bytes, before) = (live(), all());
    let fill = || {
        let mut txn = store.txn_with(options).unwrap();
        assert_eq!(txn.iter(&pages).count(), 1);
        for number in 10..30 {
            txn.insert(&pages, page(number, 2_000)).unwrap();
        }
        assert_eq!(txn.iter(&pages).count(), 21, "it sees its own");
        txn
    };
    fill().abort().unwrap();
    drop(fill());
    let txn = fill();
    pages.insert(page(20, 10)).unwrap();
    assert_eq!(txn.commit().unwrap_err().code(), 303, "what it read has changed");
    pages.delete(20).unwrap();
    assert_eq!((live(), all()), (bytes, before));
    let status = store.status().unwrap();
    assert_eq!((status.stages, status.staged_bytes), (0, 0));
    assert!(status.unstaged_bytes > 3 * 19 * 2_000, "{status:?}");
    fill().commit().unwrap();
    assert_eq!(all().len(), 21);
}

/// A bound that a store cannot keep is refused, and without one it takes what it takes.
#[test]
fn a_bound_that_cannot_be_kept_is_refused() {
    let (store, _, _) = super::open();
    let refused = store.txn_with(TxnOptions { memory_bytes: Some(1 << 20), ..TxnOptions::default() }).unwrap_err();
    assert_eq!(refused.code(), 106);
    assert!(refused.to_string().contains("written out"), "{refused}");
    let volatile = Store::new(lostore::Options::default().volatile_inline().unwrap());
    let refused = volatile.txn_with(TxnOptions { memory_bytes: Some(1 << 20), ..TxnOptions::default() }).unwrap_err();
    assert_eq!(refused.code(), 106);
    let pages = volatile.table::<Page>("page").unwrap();
    let mut txn = volatile.txn();
    for number in 0..600 {
        txn.insert(&pages, page(number, 32 << 10)).unwrap();
    }
    assert!(txn.memory() > 16 << 20);
    txn.commit().unwrap();
}

/// A transaction whose updates cannot be written out says so, and is not committed without them.
#[test]
fn a_transaction_that_cannot_be_written_out_is_not_committed() {
    let config = lostore::open::Config { staged_bytes_max: 50_000, ..lostore::open::Config::default() };
    let store = Store::new(lostore::Options { config, ..lostore::Options::default() }.memory_inline().unwrap());
    let pages = store.table::<Page>("page").unwrap();
    let mut txn = store.txn_with(TxnOptions { memory_bytes: Some(10_000), ..TxnOptions::default() }).unwrap();
    let refused = (0..100).find_map(|number| txn.insert(&pages, page(number, 2_000)).err()).unwrap();
    assert_eq!(refused.code(), 313);
    assert_eq!(txn.commit().unwrap_err().code(), 314);
    assert_eq!(pages.iter().count(), 0);
    assert_eq!(store.status().unwrap().staged_bytes, 0, "others may go on");
}
