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

#[test]
fn an_append_joins_what_the_transaction_has_put_or_appended() {
    let (mut set, keeps) = (CommitSet::new(), PutOptions { expires_ms: Some(9), compressed: false });
    let plain = PutOptions::default();
    set.upsert(T, b"put", b"a", keeps).unwrap();
    set.append(T, b"put", b"b", PutOptions { compressed: true, ..plain }, Expect::Any).unwrap();
    let whole = PutOptions { expires_ms: Some(9), compressed: true };
    assert_eq!(set.find(T, b"put").unwrap().change, Change::Put { value: b"ab", options: whole });
    set.append(T, b"there", b"c", plain, Expect::Present).unwrap();
    set.append(T, b"put", b"d", plain, Expect::Present).unwrap();
    set.append(T, b"there", b"e", plain, Expect::Any).unwrap();
    assert_eq!(set.find(T, b"there").unwrap().change, Change::Append { value: b"ce", options: plain });
    assert!(matches!(set.find(T, b"put").unwrap().change, Change::Put { value: b"abd", .. }));
    assert_eq!((expect_of(&set, b"there"), expect_of(&set, b"put")), (Expect::Present, Expect::Any));
    assert_eq!(set.append(T, b"there", b"f", plain, Expect::Absent), Err(SetError::PutBefore));
    assert_eq!(set.insert(T, b"there", b"f", plain), Err(SetError::PutBefore));
    set.remove(T, b"there").unwrap();
    assert_eq!(set.append(T, b"there", b"f", plain, Expect::Present), Err(SetError::DeletedBefore));
    set.append(T, b"there", b"f", plain, Expect::Any).unwrap();
    assert_eq!(set.find(T, b"there").unwrap().change, Change::Put { value: b"f", options: plain });
}

#[test]
fn an_append_past_the_largest_value_is_refused_and_leaves_the_set_as_it_was() {
    let (mut set, plain) = (CommitSet::new(), PutOptions::default());
    set.append(T, b"k", &vec![7; VALUE_BYTES_MAX], plain, Expect::Any).unwrap();
    let more = set.append(T, b"k", b"8", plain, Expect::Any);
    assert_eq!(more, Err(SetError::ValueTooLarge { bytes: VALUE_BYTES_MAX + 1 }));
    assert!(
        matches!(set.find(T, b"k").unwrap().change, Change::Append { value, .. } if value.len() == VALUE_BYTES_MAX)
    );
}
