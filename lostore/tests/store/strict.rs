//! Strict transactions and compare-and-swap: what is compared, and what is not.

use super::{Dirent, dirent, inode, open};
use lostore::mock::MapBackend;
use lostore::{Direction, Error, ErrorKind, Expect, New, PutOptions, Store, Txn, TxnOptions, Word};

const STRICT: TxnOptions =
    TxnOptions { abortable: true, notice: false, persistent: false, force: false, strict: true, memory_bytes: None };

fn strict(store: &Store<MapBackend>) -> Txn<MapBackend> {
    store.txn_with(STRICT).unwrap()
}

/// Runs `read` in a strict transaction, then `meanwhile`, and commits; says whether it failed.
fn fails(
    read: impl Fn(&mut Txn<MapBackend>, &super::Dirents, &super::Inodes),
    meanwhile: impl Fn(&super::Dirents, &super::Inodes),
) -> bool {
    let (store, dirents, inodes) = open();
    for name in [b"a", b"c", b"e"] {
        dirents.insert(dirent(1, name, 1)).unwrap();
    }
    inodes.insert(inode(1)).unwrap();
    let mut txn = strict(&store);
    read(&mut txn, &dirents, &inodes);
    txn.insert(&inodes, inode(99)).unwrap();
    meanwhile(&dirents, &inodes);
    let failed = match txn.commit() {
        Ok(_) => false,
        Err(error) => {
            assert!(!error.failures().is_empty(), "{error}");
            true
        }
    };
    assert_eq!(inodes.contains(99).unwrap(), !failed);
    failed
}

fn change_c(dirents: &super::Dirents, _: &super::Inodes) {
    dirents.update(dirent(1, b"c", 2)).unwrap();
}

fn add(name: &'static [u8]) -> impl Fn(&super::Dirents, &super::Inodes) {
    move |dirents, _| drop(dirents.insert(dirent(1, name, 1)).unwrap())
}

fn names(txn: &Txn<MapBackend>, dirents: &super::Dirents, direction: Direction, count: usize) -> Vec<Vec<u8>> {
    let iter = txn.prefix(dirents, (1_u64,));
    let iter = if direction == Direction::Previous { iter.backwards() } else { iter };
    iter.take(count).map(|found| found.unwrap().into_record().name).collect()
}

#[test]
fn what_was_looked_up_must_be_so_at_the_commit() {
    let nothing = |_: &super::Dirents, _: &super::Inodes| {};
    let get_c = |txn: &mut Txn<_>, dirents: &super::Dirents, _: &super::Inodes| {
        assert!(txn.get(dirents, (1_u64, &b"c"[..])).unwrap().is_some());
    };
    assert!(!fails(get_c, nothing));
    assert!(!fails(get_c, add(b"d")), "what was not read may change");
    assert!(fails(get_c, change_c));
    assert!(fails(get_c, |dirents, _| drop(dirents.delete((1_u64, &b"c"[..])).unwrap())));
    let get_d = |txn: &mut Txn<_>, dirents: &super::Dirents, _: &super::Inodes| {
        assert!(txn.get(dirents, (1_u64, &b"d"[..])).unwrap().is_none());
    };
    assert!(!fails(get_d, nothing));
    assert!(fails(get_d, add(b"d")), "an absence that was seen");
    let follow = |txn: &mut Txn<_>, dirents: &super::Dirents, inodes: &super::Inodes| {
        txn.follow(dirents, (1_u64, &b"c"[..]), Dirent::INO, inodes).unwrap().target().unwrap();
    };
    assert!(!fails(follow, nothing));
    assert!(fails(follow, change_c), "the pointer");
    assert!(fails(follow, |_, inodes| drop(inodes.update(inode(1)).unwrap())), "what it led to");
}

#[test]
fn what_was_read_twice_and_differed_can_never_have_been_one_moment() {
    let (store, _dirents, inodes) = open();
    inodes.insert(inode(1)).unwrap();
    let txn = strict(&store);
    txn.get(&inodes, 1).unwrap();
    inodes.update(inode(1)).unwrap();
    txn.get(&inodes, 1).unwrap();
    assert_eq!(txn.commit().unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_scanned_stretch_has_no_phantoms() {
    for direction in [Direction::Next, Direction::Previous] {
        let all = |txn: &mut Txn<_>, dirents: &super::Dirents, _: &super::Inodes| {
            assert_eq!(names(txn, dirents, direction, 9).len(), 3);
        };
        assert!(!fails(all, |_, _| {}));
        for name in [&b"A"[..], b"b", b"d", b"z"] {
            assert!(fails(all, |dirents, _| drop(dirents.insert(dirent(1, name, 1)).unwrap())), "{name:?}");
        }
        assert!(fails(all, change_c));
        assert!(fails(all, |dirents, _| drop(dirents.delete((1_u64, &b"c"[..])).unwrap())));
        assert!(!fails(all, |dirents, _| drop(dirents.insert(dirent(2, b"b", 1)).unwrap())), "beyond the stretch");
    }
    // Only as far as it has come, whatever was fetched ahead.
    let two = |txn: &mut Txn<_>, dirents: &super::Dirents, _: &super::Inodes| {
        assert_eq!(names(txn, dirents, Direction::Next, 2), [b"a", b"c"]);
    };
    assert!(fails(two, add(b"b")));
    assert!(!fails(two, add(b"d")));
    let last_two = |txn: &mut Txn<_>, dirents: &super::Dirents, _: &super::Inodes| {
        assert_eq!(names(txn, dirents, Direction::Previous, 2), [b"e", b"c"]);
    };
    assert!(fails(last_two, add(b"d")));
    assert!(!fails(last_two, add(b"b")));
}

#[test]
fn own_updates_in_a_scanned_stretch_are_no_phantoms() {
    let own = |txn: &mut Txn<_>, dirents: &super::Dirents, _: &super::Inodes| {
        txn.insert(dirents, dirent(1, b"b", 7)).unwrap();
        txn.update(dirents, dirent(1, b"c", 7)).unwrap();
        txn.delete(dirents, (1_u64, &b"e"[..])).unwrap();
        assert_eq!(names(txn, dirents, Direction::Next, 9), [b"a", b"b", b"c"]);
        txn.insert(dirents, dirent(1, b"d", 7)).unwrap();
    };
    assert!(!fails(own, |_, _| {}));
    assert!(fails(own, add(b"f")));
    assert!(fails(own, add(b"d")));
    // An update of what the scan did not see cannot make it seen.
    let unseen = |txn: &mut Txn<_>, dirents: &super::Dirents, _: &super::Inodes| {
        names(txn, dirents, Direction::Next, 9);
        txn.update(dirents, dirent(1, b"d", 7)).unwrap();
    };
    assert!(fails(unseen, add(b"d")));
}

#[test]
fn what_cannot_be_strict_is_refused() {
    let (store, _dirents, inodes) = open();
    let txn = strict(&store);
    let mut iter = txn.iter(&inodes);
    let error = iter.next().unwrap().unwrap_err();
    assert_eq!(error.code(), 207, "{error}");
    assert!(iter.next().is_none());
    let light = Store::new(MapBackend::light());
    let refused = light.txn_with(TxnOptions { strict: true, ..TxnOptions::default() }).unwrap_err();
    assert_eq!((refused.code(), refused.kind()), (106, ErrorKind::Unsupported));
}

#[test]
fn two_transactions_that_read_what_the_other_writes_do_not_both_commit() {
    for (options, both) in [(STRICT, false), (TxnOptions { strict: false, ..STRICT }, true)] {
        let (store, _dirents, inodes) = open();
        inodes.insert(inode(1)).unwrap();
        inodes.insert(inode(2)).unwrap();
        let (mut one, mut two) = (store.txn_with(options).unwrap(), store.txn_with(options).unwrap());
        for txn in [&one, &two] {
            assert!(txn.get(&inodes, 1).unwrap().is_some() && txn.get(&inodes, 2).unwrap().is_some());
        }
        one.delete(&inodes, 1).unwrap();
        two.delete(&inodes, 2).unwrap();
        one.commit().unwrap();
        assert_eq!(two.commit().is_ok(), both);
    }
}

#[test]
fn words_are_swapped_together_or_not_at_all() {
    let (store, dirents, inodes) = open();
    let (a, b) = (dirents.raw(), inodes.raw());
    let word = |table, key: &'static [u8], expect, new| Word { table, key, expect, new };
    store.backend().take_operations();
    let ticket = store
        .cas(&[word(a, b"a", Expect::Absent, New::Put(b"1")), word(b, b"b", Expect::Absent, New::Put(b"1"))])
        .unwrap();
    assert_eq!(store.backend().take_operations(), ["commit"], "one message");
    let (first, second) = (ticket.versions()[0], ticket.versions()[1]);
    let error = store
        .cas(&[
            word(a, b"a", Expect::At(second), New::Put(b"2")),
            word(a, b"new", Expect::Absent, New::Put(b"2")),
            word(b, b"b", Expect::At(first), New::Delete),
            word(b, b"c", Expect::Present, New::Keep),
        ])
        .unwrap_err();
    let failures: Vec<_> = error.failures().iter().map(|failure| (failure.part, failure.found)).collect();
    assert_eq!(failures, [(0, Some(first)), (2, Some(second)), (3, None)], "all that failed, with what is there");
    assert!(a.get(b"new").unwrap().is_none());
    let done = store.cas(&[
        word(a, b"a", Expect::At(first), New::Put(b"2")),
        word(b, b"b", Expect::At(second), New::Delete),
        word(b, b"c", Expect::Absent, New::Keep),
    ]);
    assert_eq!(done.unwrap().versions().len(), 2);
    assert!(b.get(b"b").unwrap().is_none());
}

#[test]
fn a_word_that_was_changed_and_changed_back_is_another() {
    let (store, _dirents, inodes) = open();
    let table = inodes.raw();
    let put = |expect, value: &'static [u8]| {
        store.cas(&[Word { table, key: b"k", expect, new: New::Put(value) }]).map(|ticket| ticket.versions()[0])
    };
    let first = put(Expect::Absent, b"A").unwrap();
    let second = put(Expect::At(first), b"B").unwrap();
    let third = put(Expect::At(second), b"A").unwrap();
    assert_eq!(put(Expect::At(first), b"C").unwrap_err().failures()[0].found, Some(third));
    // Gone and put again is another too.
    store.cas(&[Word { table, key: b"k", expect: Expect::At(third), new: New::Delete }]).unwrap();
    put(Expect::Absent, b"A").unwrap();
    assert_eq!(put(Expect::At(third), b"C").unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_swap_has_at_most_64_words_each_once() {
    let (store, _dirents, inodes) = open();
    let table = inodes.raw();
    let keys: Vec<[u8; 1]> = (0..65).map(|n| [n]).collect();
    let words: Vec<_> =
        keys.iter().map(|key| Word { table, key: &key[..], expect: Expect::Absent, new: New::Put(b"") }).collect();
    let refused = |words: &[Word<'_, MapBackend>]| {
        matches!(store.cas(words).unwrap_err(), Error::Domain(domains::Error::Limit { .. }))
    };
    assert!(refused(&words));
    let twice = || Word { table, key: b"k", expect: Expect::Any, new: New::Delete };
    assert!(refused(&[twice(), twice()]));
    assert_eq!(store.cas(&words[..64]).unwrap().versions().len(), 64);
}

#[test]
fn what_an_own_append_stands_behind_must_be_so_when_it_was_read() {
    let (store, _dirents, inodes) = open();
    let table = inodes.raw();
    let mut expected = Vec::new();
    for reads in [false, true] {
        let mut txn = strict(&store);
        let mut raw = txn.raw(table);
        raw.append(b"k", b"own", PutOptions::default()).unwrap();
        if reads {
            assert_eq!(raw.get(b"k").unwrap().unwrap().value, [&expected[..], b"own"].concat());
        }
        table.append(b"k", b"other", PutOptions::default()).unwrap();
        expected.extend(b"other");
        assert_eq!(txn.commit().is_err(), reads, "a blind append does not mind another");
        expected.extend(if reads { &b""[..] } else { b"own" });
        assert_eq!(table.get(b"k").unwrap().unwrap().value, expected);
    }
}
