//! Reads that ask for more than one pair's record: chains, and records with their checksum.

use lostore::{Backend, ChainEnd, Ptr, Store, TableType, Verdict};

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
