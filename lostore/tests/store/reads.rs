//! Reads that ask for more than one pair's record: chains, and records with their checksum.

use lostore::schema::{TableHome, TableKind};
use lostore::{Backend, ChainEnd, Ptr, PutOptions, Store, TableType, Verdict};

#[derive(TableType, Clone, Debug, PartialEq)]
struct Step {
    #[key]
    at: u32,
    next: Ptr<Step>,
}

fn steps<B: Backend>(store: &Store<B>) -> lostore::Table<Step, B> {
    let steps = store.table::<Step>("step").unwrap();
    for at in 0..5 {
        steps.insert(Step { at, next: Ptr::to(at + 1) }).unwrap();
    }
    steps
}

#[test]
fn a_chain_comes_typed_with_what_ends_it() {
    let store = lostore::open_memory().unwrap();
    let steps = steps(&store);
    let chain = |from: u32, depth, records| {
        let (found, end) = steps.chain(from, Step::NEXT, depth, records).unwrap();
        (found.iter().map(|step| step.at).collect::<Vec<_>>(), end)
    };
    let gone = ChainEnd::Dangling { key: vec![0, 0, 0, 5] };
    assert_eq!(chain(1, 100, 100), (vec![1, 2, 3, 4], gone));
    assert_eq!(chain(0, 1, 100), (vec![0, 1], ChainEnd::Depth));
    assert_eq!(chain(0, 100, 3), (vec![0, 1, 2], ChainEnd::Count));
    steps.update(Step { at: 4, next: Ptr::to(2_u32) }).unwrap();
    assert_eq!(chain(0, 100, 100), (vec![0, 1, 2, 3, 4], ChainEnd::Cycle { link: 2 }));
    assert_eq!(chain(9, 100, 100), (vec![], ChainEnd::Absent));
    assert_eq!(steps.chain(0, Step::NEXT, 1, 0).unwrap_err().code(), 301);
}

#[test]
fn a_typed_record_is_verified_by_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = lostore::open(dir.path()).unwrap();
    let steps = steps(&store);
    assert!(matches!(steps.verify(3).unwrap(), Verdict::Whole { from_device: true, .. }));
    assert_eq!(steps.verify(7).unwrap(), Verdict::Absent);
}

#[test]
fn many_keys_come_in_the_order_in_which_they_were_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = lostore::open_inline(dir.path()).unwrap();
    let steps = steps(&store);
    store.drop_cache().unwrap();
    let found = steps.get_many([3_u32, 9, 0, 3]).unwrap();
    let at: Vec<_> = found.iter().map(|step| step.as_ref().map(|step| step.at)).collect();
    assert_eq!(at, [Some(3), None, Some(0), Some(3)]);
    assert!(steps.get_many(Vec::<u32>::new()).unwrap().is_empty());
    // More than one operation takes, by their number and by their bytes.
    let many = steps.get_many((0..10_000).map(|at: u32| at % 7)).unwrap();
    assert!(many.iter().enumerate().all(|(at, found)| found.is_some() == (at % 7 < 5)));
    let large = store.create_raw("large", lostore::plain_spec(TableKind::Hash, TableHome::Persistent)).unwrap();
    for key in 0..40_u8 {
        large.upsert(&[key], &vec![key; 1 << 20], PutOptions::default()).unwrap();
    }
    store.drop_cache().unwrap();
    let keys: Vec<[u8; 1]> = (0..41).rev().map(|key| [key]).collect();
    let first = large.start_get_many(&keys).wait().unwrap();
    assert!((1..=17).contains(&first.len()), "{}", first.len());
    let pairs = large.get_many(&keys).unwrap();
    assert!(pairs[0].is_none());
    for (pair, key) in pairs[1..].iter().zip((0..40_u8).rev()) {
        assert_eq!(pair.as_ref().unwrap().value, vec![key; 1 << 20]);
    }
}
