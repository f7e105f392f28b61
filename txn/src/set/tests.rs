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

fn ranges_of(set: &CommitSet) -> Vec<(&[u8], Option<&[u8]>)> {
    set.ranges().map(|range| (range.from, range.until)).collect()
}

#[test]
fn ranges_that_touch_are_one() {
    let mut set = CommitSet::new();
    set.compare_range(T, b"c", Some(b"f")).unwrap();
    set.compare_range(T, b"d", Some(b"e")).unwrap();
    assert_eq!(ranges_of(&set), [(&b"c"[..], Some(&b"f"[..]))], "one inside the other says nothing new");
    set.compare_range(T, b"f", Some(b"h")).unwrap();
    set.compare_range(T, b"a", Some(b"c")).unwrap();
    assert_eq!(ranges_of(&set), [(&b"a"[..], Some(&b"h"[..]))], "on both sides");
    set.compare_range(T, b"h\0", Some(b"i")).unwrap();
    set.compare_range(TableId(2), b"a", Some(b"i")).unwrap();
    assert_eq!(set.ranges().len(), 3, "a gap of one key, and another table");
    set.compare_range(T, b"b", None).unwrap();
    assert!(set.ranges().any(|range| range.from == b"a" && range.until.is_none() || range.from == b"b"));
    set.compare_range(T, b"z", Some(b"y")).unwrap();
    set.compare_range(T, b"y", Some(b"y")).unwrap();
    assert_eq!(set.ranges().len(), 3, "nothing lies in an empty range");
    assert_eq!(set.len(), 0);
    assert!(!set.is_empty());
    set.clear();
    assert!(set.is_empty());
}

#[test]
fn compares_of_another_set_are_joined() {
    let version = |ordinal| Version { epoch: segments::EpochId(1), ordinal: segments::Ordinal(ordinal) };
    let (mut set, mut reads) = (CommitSet::new(), CommitSet::new());
    set.upsert(T, b"a", b"1", PutOptions::default()).unwrap();
    set.insert(T, b"b", b"1", PutOptions::default()).unwrap();
    reads.compare(T, b"a", Expect::At(version(1))).unwrap();
    reads.compare(T, b"b", Expect::At(version(2))).unwrap();
    reads.compare(T, b"c", Expect::Absent).unwrap();
    reads.compare_range(T, b"a", Some(b"d")).unwrap();
    set.add_compares(&reads).unwrap();
    assert_eq!(expect_of(&set, b"a"), Expect::At(version(1)));
    assert_eq!(expect_of(&set, b"b"), Expect::Never, "it was read as there and inserted");
    assert_eq!(expect_of(&set, b"c"), Expect::Absent);
    assert_eq!(set.ranges().len(), 1);
    assert!(set.compares_at(T, b"a") && !set.compares_at(T, b"c"));
}

#[test]
fn ranges_count_as_parts() {
    let mut set = CommitSet::new();
    for number in (0..).take(SET_PARTS_MAX) {
        set.compare_range(TableId(number), b"", None).unwrap();
    }
    let last = TableId(u32::try_from(SET_PARTS_MAX - 1).unwrap());
    assert_eq!(set.compare_range(last, b"", None), Ok(()), "it is there already");
    assert_eq!(set.compare_range(TableId(70_000), b"", None), Err(SetError::TooManyParts));
    assert_eq!(set.compare(T, b"a", Expect::Absent), Err(SetError::TooManyParts));
}
