//! Iteration: order, batches, resuming, backwards, a transaction's own updates; against a model.

use super::{Dirents, Inodes, dirent, inode, open};
use lostore::{ErrorKind, StartsWith};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn fill(dirents: &Dirents, count: u64) {
    for number in 0..count {
        dirents.insert(dirent(number / 100, format!("{number:04}").as_bytes(), number)).unwrap();
    }
}

fn names<I: Iterator<Item = Result<lostore::Found<super::Dirent>, lostore::Error>>>(iter: I) -> Vec<String> {
    iter.map(|found| String::from_utf8(found.unwrap().name.clone()).unwrap()).collect()
}

#[test]
fn batches_are_not_seen_from_outside() {
    let (store, dirents, _inodes) = open();
    fill(&dirents, 1000);
    store.backend().take_operations();
    assert_eq!(names(dirents.iter()), (0..1000).map(|number| format!("{number:04}")).collect::<Vec<_>>());
    let batches = store.backend().take_operations();
    assert_eq!(batches, ["next"; 6], "16 + 32 + 64 + 128 + 256 + 504");
    assert_eq!(names(dirents.iter().backwards()).len(), 1000);
}

#[test]
fn a_directory_is_a_prefix() {
    let (_store, dirents, _inodes) = open();
    fill(&dirents, 300);
    assert_eq!(names(dirents.prefix((1,))).len(), 100);
    assert_eq!(names(dirents.prefix((1, StartsWith(b"01")))).len(), 100);
    assert_eq!(names(dirents.prefix((1, StartsWith(b"012")))).first().map(String::as_str), Some("0120"));
    assert_eq!(names(dirents.prefix((1,)).backwards()).first().map(String::as_str), Some("0199"));
    assert_eq!(names(dirents.range((1, &b"0190"[..])..(2, b""))).len(), 10);
    assert_eq!(names(dirents.range((1, b"0190")..=(2, b"0200"))).len(), 11);
    assert_eq!(names(dirents.range((2,)..(1,))).len(), 0);
    assert_eq!(names(dirents.prefix((9,))).len(), 0);
}

#[test]
fn an_iteration_goes_on_where_another_stood() {
    let (_store, dirents, _inodes) = open();
    fill(&dirents, 100);
    let mut first = dirents.iter();
    let seen = names(first.by_ref().take(30));
    let cursor = first.cursor().clone();
    dirents.delete((0, b"0029")).unwrap();
    let rest = names(dirents.iter().resume(cursor.clone()));
    assert_eq!((seen.len(), rest.len(), &rest[0][..]), (30, 70, "0030"));
    let back = names(dirents.iter().backwards().resume(cursor));
    assert_eq!((back.len(), &back[0][..]), (29, "0028"));
}

#[test]
fn pairs_that_stay_are_seen_once_while_others_come_and_go() {
    let (_store, dirents, _inodes) = open();
    fill(&dirents, 200);
    let mut seen = Vec::new();
    for (at, found) in dirents.iter().enumerate() {
        let found = found.unwrap();
        if at % 2 == 0 {
            dirents.remove((found.parent, &found.name)).unwrap();
        }
        let parent = 500 + at as u64 % 3;
        dirents.upsert(dirent(parent, b"new", 1)).unwrap();
        seen.push(found.into_record());
    }
    let old: Vec<_> = seen.iter().filter(|found| found.parent < 500).collect();
    assert_eq!(old.len(), 200);
    assert!(seen.windows(2).all(|two| (two[0].parent, &two[0].name) < (two[1].parent, &two[1].name)));
}

#[test]
fn a_store_that_fails_ends_the_iteration() {
    let (store, dirents, _inodes) = open();
    fill(&dirents, 100);
    let mut iter = dirents.iter();
    iter.next().unwrap().unwrap();
    store.destroy_table("dirent").unwrap();
    let (mut found, mut failed) = (0, 0);
    for item in iter {
        match item {
            Ok(_) => found += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                failed += 1;
            }
        }
    }
    assert_eq!((found, failed), (15, 1), "the rest of the batch, then the error, then nothing");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64),
    Remove(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..40_u64;
    prop::collection::vec(prop_oneof![key.clone().prop_map(Step::Put), key.prop_map(Step::Remove)], 0..40)
}

fn apply(model: &mut BTreeMap<u64, u32>, steps: &[Step], mode: u32) {
    for step in steps {
        match step {
            Step::Put(ino) => drop(model.insert(*ino, mode)),
            Step::Remove(ino) => drop(model.remove(ino)),
        }
    }
}

fn seed(inodes: &Inodes, dirents: &Dirents, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Put(ino) => {
                inodes.upsert(inode(*ino)).unwrap();
                dirents.upsert(dirent(*ino, b"", 0o644)).unwrap();
            }
            Step::Remove(ino) => {
                inodes.remove(*ino).unwrap();
                dirents.remove((*ino, b"")).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn own_updates_lie_over_the_table(before in steps(), own in steps(), low in 0..40_u64, high in 0..45_u64) {
        let (store, dirents, inodes) = open();
        let mut model = BTreeMap::new();
        apply(&mut model, &before, 0o644);
        seed(&inodes, &dirents, &before);
        apply(&mut model, &own, 0o755);
        let mut txn = store.txn();
        for step in &own {
            match step {
                Step::Put(ino) => {
                    let mut changed = inode(*ino);
                    changed.mode = 0o755;
                    txn.upsert(&inodes, changed).unwrap();
                    txn.upsert(&dirents, dirent(*ino, b"", 0o755)).unwrap();
                }
                Step::Remove(ino) => {
                    txn.remove(&inodes, *ino).unwrap();
                    txn.remove(&dirents, (*ino, b"")).unwrap();
                }
            }
        }
        let mode = |found: &super::Dirent| u32::try_from(found.ino.key().unwrap().unwrap()).unwrap();
        let ordered: Vec<_> = txn.range(&dirents, (low,)..(high,)).map(|found| { let found = found.unwrap(); (found.parent, mode(&found)) }).collect();
        let want: Vec<_> = model.iter().filter(|(ino, _)| (low..high).contains(ino)).map(|(&ino, &mode)| (ino, mode)).collect();
        prop_assert_eq!(&ordered, &want);
        let mut back: Vec<_> = txn.range(&dirents, (low,)..(high,)).backwards().map(|found| { let found = found.unwrap(); (found.parent, mode(&found)) }).collect();
        back.reverse();
        prop_assert_eq!(&back, &want);
        let mut unordered: Vec<_> = txn.iter(&inodes).map(|found| { let found = found.unwrap(); (found.ino, found.mode) }).collect();
        unordered.sort_unstable();
        prop_assert_eq!(&unordered, &model.iter().map(|(&ino, &mode)| (ino, mode)).collect::<Vec<_>>());
        for ino in 0..40 {
            prop_assert_eq!(txn.get(&inodes, ino).unwrap().map(|found| found.mode), model.get(&ino).copied());
        }
        txn.commit().unwrap();
        prop_assert_eq!(inodes.iter().count(), model.len());
        prop_assert_eq!(dirents.iter().count(), model.len());
    }
}
