//! Transactions: own reads, aborts, compares; tickets; the three styles of every call.

use super::{Dirent, dirent, inode, open};
use lostore::mock::MapBackend;
use lostore::{ErrorKind, Expect, Follow, Persistence, PutOptions, Store, TxnOptions};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_transaction_sees_its_own_updates_and_nobody_else_does() {
    let (store, _dirents, inodes) = open();
    inodes.insert(inode(1)).unwrap();
    let mut txn = store.txn();
    txn.insert(&inodes, inode(2)).unwrap();
    txn.delete(&inodes, 1).unwrap();
    assert_eq!(txn.get(&inodes, 2).unwrap().unwrap().into_record(), inode(2));
    assert_eq!(txn.get(&inodes, 1).unwrap(), None);
    assert!(inodes.get(2).unwrap().is_none() && inodes.get(1).unwrap().is_some());
    txn.commit().unwrap();
    assert!(inodes.get(2).unwrap().is_some() && inodes.get(1).unwrap().is_none());
}

#[test]
fn aborted_and_dropped_transactions_leave_no_trace() {
    let (store, _dirents, inodes) = open();
    let mut txn = store.txn();
    txn.insert(&inodes, inode(1)).unwrap();
    txn.abort().unwrap();
    let mut txn = store.txn();
    txn.insert(&inodes, inode(1)).unwrap();
    drop(txn);
    assert_eq!(inodes.iter().count(), 0);
    assert!(!store.backend().take_operations().contains(&"commit"));
}

#[test]
fn all_compares_hold_or_nothing_is_applied() {
    let (store, _dirents, inodes) = open();
    inodes.insert(inode(1)).unwrap();
    let mut txn = store.txn();
    txn.upsert(&inodes, inode(2)).unwrap();
    txn.compare(&inodes, 1, Expect::Absent).unwrap();
    txn.compare(&inodes, 3, Expect::Present).unwrap();
    let error = txn.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let parts: Vec<_> = error.failures().iter().map(|failure| (failure.part, failure.found.is_some())).collect();
    assert_eq!(parts, [(1, true), (2, false)]);
    assert!(inodes.get(2).unwrap().is_none());
}

#[test]
fn compares_are_by_version_so_writing_back_the_same_bytes_is_a_change() {
    let (store, _dirents, inodes) = open();
    inodes.insert(inode(1)).unwrap();
    let found = inodes.get(1).unwrap().unwrap();
    inodes.update(inode(1)).unwrap();
    let mut txn = store.txn();
    txn.unchanged(&inodes, &found).unwrap();
    assert_eq!(txn.commit().unwrap_err().code(), 303);
}

/// The numbers of tables begin anew in every store, so without the check another table would be written.
#[test]
fn a_table_of_another_store_is_refused_by_every_call() {
    let (store, _, own) = open();
    let (_, _, inodes) = open();
    own.insert(inode(1)).unwrap();
    inodes.insert(inode(1)).unwrap();
    let mut txn = store.txn();
    let found = inodes.get(1).unwrap().unwrap();
    let refused = [
        txn.insert(&inodes, inode(2)).unwrap_err(),
        txn.update(&inodes, inode(1)).unwrap_err(),
        txn.upsert(&inodes, inode(1)).unwrap_err(),
        txn.delete(&inodes, 1).unwrap_err(),
        txn.remove(&inodes, 1).unwrap_err(),
        txn.compare(&inodes, 1, Expect::Present).unwrap_err(),
        txn.unchanged(&inodes, &found).unwrap_err(),
        txn.get(&inodes, 1).unwrap_err(),
        txn.iter(&inodes).next().unwrap().unwrap_err(),
        txn.raw(inodes.raw()).remove(b"key").unwrap_err(),
        txn.raw(inodes.raw()).append(b"key", b"more", PutOptions::default()).unwrap_err(),
        txn.raw(inodes.raw()).get(b"key").unwrap_err(),
        txn.raw(inodes.raw()).range(lostore::KeySpan::default()).next().unwrap().unwrap_err(),
    ];
    for error in refused {
        assert_eq!((error.code(), error.kind()), (309, ErrorKind::Invalid), "{error}");
    }
    assert!(txn.is_empty());
    let mut iteration = txn.iter(&inodes);
    assert!(iteration.next().unwrap().is_err());
    assert!(iteration.next().is_none(), "it does not go on in another store");
    drop(iteration);
    // Another handle of the same store is as good.
    let same: super::Inodes = store.clone().table(own.name()).unwrap();
    txn.delete(&same, 1).unwrap();
    txn.commit().unwrap();
    assert_eq!(own.get(1).unwrap(), None);
}

#[test]
fn contradictions_inside_a_transaction_are_refused_and_leave_it_whole() {
    let (store, _dirents, inodes) = open();
    let mut txn = store.txn();
    txn.insert(&inodes, inode(1)).unwrap();
    assert_eq!(txn.insert(&inodes, inode(1)).unwrap_err().code(), 302);
    txn.update(&inodes, inode(1)).unwrap();
    txn.commit().unwrap();
    assert_eq!(inodes.iter().count(), 1);
}

#[test]
fn following_in_a_transaction_sees_its_own_updates() {
    let (store, dirents, inodes) = open();
    inodes.insert(inode(1)).unwrap();
    dirents.insert(dirent(0, b"old", 1)).unwrap();
    let mut txn = store.txn();
    store.backend().take_operations();
    assert!(txn.follow(&dirents, (0, b"old"), Dirent::INO, &inodes).unwrap().target().is_some());
    assert_eq!(store.backend().take_operations(), ["follow"], "one round trip while it has no updates");
    txn.insert(&inodes, inode(2)).unwrap();
    txn.insert(&dirents, dirent(0, b"new", 2)).unwrap();
    txn.delete(&inodes, 1).unwrap();
    assert_eq!(txn.follow(&dirents, (0, b"new"), Dirent::INO, &inodes).unwrap().target().unwrap().ino, 2);
    assert!(matches!(txn.follow(&dirents, (0, b"old"), Dirent::INO, &inodes).unwrap(), Follow::Dangling { .. }));
    assert_eq!(txn.follow(&dirents, (0, b"no"), Dirent::INO, &inodes).unwrap(), Follow::Absent);
}

#[test]
fn a_ticket_tells_committed_from_persistent() {
    let (store, _dirents, inodes) = open();
    let ticket = inodes.insert(inode(1)).unwrap();
    assert_eq!(ticket.versions().len(), 1);
    assert_eq!(inodes.get(1).unwrap().unwrap().version(), ticket.versions()[0]);
    assert!(!ticket.is_persistent());
    store.force().unwrap();
    assert!(ticket.is_persistent());
    store.backend().take_operations();
    assert_eq!(ticket.persistent().unwrap(), Persistence::Persistent);
    assert!(store.backend().take_operations().is_empty(), "what is known is not asked");
}

#[test]
fn options_are_honoured_or_refused() {
    let (store, _dirents, inodes) = open();
    let mut txn = store.txn_with(TxnOptions { persistent: true, ..TxnOptions::default() }).unwrap();
    txn.insert(&inodes, inode(1)).unwrap();
    assert!(txn.commit().unwrap().is_persistent());
    let mut txn = store.txn_with(TxnOptions { notice: true, ..TxnOptions::default() }).unwrap();
    txn.insert(&inodes, inode(2)).unwrap();
    store.backend().take_operations();
    drop(txn.commit().unwrap());
    assert_eq!(store.backend().take_operations(), ["commit", "await"]);
    let mut txn = store.txn();
    txn.insert(&inodes, inode(3)).unwrap();
    txn.force();
    drop(txn.commit().unwrap());
    assert_eq!(store.backend().take_operations(), ["commit", "force"]);
    let txn = store.txn_with(TxnOptions::default()).unwrap();
    assert_eq!(txn.abort().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_light_domain_refuses_what_it_cannot_promise() {
    let store = Store::new(MapBackend::light());
    let refused = |options| store.txn_with(options).unwrap_err().kind();
    assert_eq!(refused(TxnOptions { abortable: true, ..TxnOptions::default() }), ErrorKind::Unsupported);
    assert_eq!(refused(TxnOptions { persistent: true, ..TxnOptions::default() }), ErrorKind::Unsupported);
    assert_eq!(refused(TxnOptions { notice: true, ..TxnOptions::default() }), ErrorKind::Unsupported);
    assert_eq!(store.txn().abort().unwrap_err().kind(), ErrorKind::Unsupported);
    let inodes = store.table::<super::Inode>("inode").unwrap();
    let ticket = inodes.insert(inode(1)).unwrap();
    assert!(!ticket.is_persistent());
    assert_eq!(ticket.persistent().unwrap(), Persistence::Volatile);
}

#[test]
fn every_call_has_a_future_and_a_poll() {
    let (store, dirents, inodes) = open();
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    store.backend().hold();
    let mut txn = store.txn();
    txn.insert(&inodes, inode(1)).unwrap();
    txn.insert(&dirents, dirent(0, b"a", 1)).unwrap();
    let mut commit = pin!(txn.commit_async());
    assert!(commit.as_mut().poll(&mut context).is_pending());
    let mut lookup = inodes.start_get(1).unwrap();
    assert!(lookup.poll().is_none());
    assert_eq!(bell.0.load(Ordering::Relaxed), 0);
    store.backend().release();
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(Ok(ticket)) = commit.as_mut().poll(&mut context) else { panic!("the answer is there") };
    assert_eq!(lookup.poll().unwrap().unwrap().unwrap().ino, 1);
    assert!(lookup.poll().is_none(), "an answer is taken once");
    store.backend().hold();
    let mut notice = pin!(ticket);
    assert!(notice.as_mut().poll(&mut context).is_pending());
    store.backend().release();
    assert!(matches!(notice.as_mut().poll(&mut context), Poll::Ready(Ok(Persistence::Persistent))));
    let mut lookup = pin!(inodes.get_async(1));
    assert!(matches!(lookup.as_mut().poll(&mut context), Poll::Ready(Ok(Some(_)))));
    let mut follow = pin!(dirents.follow_async((0, b"a"), Dirent::INO));
    assert!(matches!(follow.as_mut().poll(&mut context), Poll::Ready(Ok(Follow::Found { .. }))));
    assert_eq!(inodes.start_get(1).unwrap().wait().unwrap().unwrap().ino, 1);
}

#[test]
fn a_dropped_pending_detaches() {
    let (store, _dirents, inodes) = open();
    let mut txn = store.txn();
    txn.insert(&inodes, inode(1)).unwrap();
    drop(txn.start_commit().unwrap());
    assert!(inodes.get(1).unwrap().is_some());
}

#[test]
fn a_commit_of_a_life_before_survived_or_is_lost() {
    let (store, _dirents, inodes) = open();
    let kept = inodes.insert(inode(1)).unwrap();
    store.force().unwrap();
    let lost = inodes.insert(inode(2)).unwrap();
    store.backend().reopen();
    assert!(!lost.is_persistent());
    assert_eq!(lost.persistent().unwrap_err().code(), 305);
    assert!(kept.persistent().is_ok());
}

#[test]
fn batches_commit_each_on_its_own() {
    let (store, _dirents, inodes) = open();
    let mut batch = store.batch().in_flight_max(3);
    for ino in [0, 1, 2, 1, 3] {
        let mut txn = store.txn();
        txn.insert(&inodes, inode(ino)).unwrap();
        batch.push(txn);
    }
    let early = batch.take_done().len();
    let late = batch.finish();
    assert_eq!(early + late.len(), 5);
    assert_eq!(inodes.iter().count(), 4, "the second insert of 1 fails alone");
    let mut batch = store.batch();
    for _ in 0..2 {
        let mut txn = store.txn();
        txn.insert(&inodes, inode(9)).unwrap();
        batch.push(txn);
    }
    let outcomes: Vec<_> = batch.finish().into_iter().map(|(number, outcome)| (number, outcome.is_ok())).collect();
    assert_eq!(outcomes, [(0, true), (1, false)]);
}
