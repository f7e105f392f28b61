use super::*;

const T: TableId = TableId(1);

fn expect_of(set: &CommitSet, key: &[u8]) -> Expect {
    set.find(T, key).expect("the key was named").expect
}

#[test]
fn later_updates_win_and_the_first_states_the_compare() {
    let mut set = CommitSet::new();
    set.insert(T, b"k", b"1", PutOptions::default()).unwrap();
    set.update(T, b"k", b"2", PutOptions::default()).unwrap();
    assert_eq!(expect_of(&set, b"k"), Expect::Absent);
    assert!(matches!(set.find(T, b"k").unwrap().change, Change::Put { value: b"2", .. }));
    set.delete(T, b"k").unwrap();
    assert_eq!(set.find(T, b"k").unwrap().change, Change::Delete);
    assert_eq!(set.len(), 1);
}

#[test]
fn presence_is_checked_against_the_transactions_own_updates() {
    let mut set = CommitSet::new();
    set.upsert(T, b"k", b"", PutOptions::default()).unwrap();
    assert_eq!(set.insert(T, b"k", b"", PutOptions::default()), Err(SetError::PutBefore));
    set.remove(T, b"k").unwrap();
    assert_eq!(set.update(T, b"k", b"", PutOptions::default()), Err(SetError::DeletedBefore));
    assert_eq!(set.delete(T, b"k"), Err(SetError::DeletedBefore));
    set.insert(T, b"k", b"back", PutOptions::default()).unwrap();
    assert_eq!(expect_of(&set, b"k"), Expect::Any);
}

#[test]
fn contradicting_compares_can_never_hold() {
    let mut set = CommitSet::new();
    set.compare(T, b"k", Expect::Absent).unwrap();
    set.compare(T, b"k", Expect::Present).unwrap();
    assert_eq!(expect_of(&set, b"k"), Expect::Never);
}

#[test]
fn many_keys_are_found_through_the_index() {
    let mut set = CommitSet::new();
    for n in 0u32..1000 {
        set.upsert(T, &n.to_le_bytes(), b"v", PutOptions::default()).unwrap();
        set.upsert(T, &(n / 2).to_le_bytes(), b"w", PutOptions::default()).unwrap();
    }
    assert_eq!(set.len(), 1000);
    assert!(set.find(T, &999u32.to_le_bytes()).is_some());
    assert!(set.find(TableId(2), &0u32.to_le_bytes()).is_none());
    set.clear();
    assert!(set.find(T, &0u32.to_le_bytes()).is_none());
}

#[test]
fn limits_refuse_and_leave_the_set_as_it_was() {
    let mut set = CommitSet::new();
    set.upsert(T, &[7; KEY_BYTES_MAX], b"", PutOptions::default()).unwrap();
    let too_long = set.upsert(T, &[7; KEY_BYTES_MAX + 1], b"", PutOptions::default());
    assert_eq!(too_long, Err(SetError::KeyTooLong { bytes: KEY_BYTES_MAX + 1 }));
    assert_eq!(set.len(), 1);
}
