use super::*;
use std::collections::BTreeMap;

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

#[test]
fn an_append_joins_what_the_transaction_has_put_or_appended() {
    let (mut set, keeps) =
        (CommitSet::new(), PutOptions { expires_ms: Some(9), compressed: false, compact: false, revertible_ms: None });
    let plain = PutOptions::default();
    set.upsert(T, b"put", b"a", keeps).unwrap();
    set.append(T, b"put", b"b", PutOptions { compressed: true, ..plain }, Expect::Any).unwrap();
    let whole = PutOptions { expires_ms: Some(9), compressed: true, compact: false, revertible_ms: None };
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
    let lease = PutOptions { revertible_ms: Some(5), ..plain };
    set.append(T, b"lease", b"g", lease, Expect::Any).unwrap();
    set.append(T, b"lease", b"h", plain, Expect::Any).unwrap();
    assert_eq!(set.find(T, b"lease").unwrap().change, Change::Append { value: b"gh", options: lease });
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

/// Appends to several keys in turn, puts and deletes between them: what each key has is what a map of vectors has, and the memory is
/// about three times the bytes.
#[test]
fn appends_in_turn_are_whole_and_take_memory_for_about_three_times_their_bytes() {
    let (mut set, plain) = (CommitSet::new(), PutOptions::default());
    let (mut model, mut given) = (BTreeMap::<u8, Vec<u8>>::new(), 0);
    for n in 0..3_000_u32 {
        let (key, more) = ((n * 7 % 5).to_le_bytes()[0], vec![n.to_le_bytes()[0]; (n as usize * 31) % 90]);
        given += more.len();
        if n % 701 == 0 {
            set.upsert(T, &[key], &more, plain).unwrap();
            model.insert(key, more);
        } else if n % 997 == 0 {
            set.remove(T, &[key]).unwrap();
            model.remove(&key);
        } else {
            set.append(T, &[key], &more, plain, Expect::Any).unwrap();
            model.entry(key).or_default().extend(more);
        }
        for (key, value) in &model {
            let change = set.find(T, &[*key]).unwrap().change;
            let (Change::Put { value: own, .. } | Change::Append { value: own, .. }) = change else {
                panic!("{change:?}")
            };
            assert!(own == value, "append {n}");
        }
    }
    assert!(set.bytes() <= 3 * given, "{} bytes of memory for {given}", set.bytes());
}

#[test]
fn a_bounded_set_names_what_has_outgrown_it_and_lets_go_of_its_memory() {
    let mut set = CommitSet::bounded(10_000);
    let options = PutOptions::default();
    for key in 0..9_u8 {
        set.upsert(T, &[key], &[key; 1_000], options).unwrap();
        assert_eq!(set.outgrown(), []);
    }
    set.upsert(T, b"small", &[9; 100], options).unwrap();
    set.upsert(T, b"other", &[9; 1_000], options).unwrap();
    let outgrown = set.outgrown();
    assert_eq!(outgrown.len(), 10, "the small one stays");
    assert_eq!(set.outgrown(), [], "it was looked through just now");
    set.stage_at(Stage::new(1));
    // Meanwhile one value is replaced, one grows, one goes.
    set.upsert(T, &[0], b"new", options).unwrap();
    set.append(T, &[1], b"+", options, Expect::Any).unwrap();
    set.remove(T, &[2]).unwrap();
    assert_eq!(set.outgrown_value(&outgrown[0]), None);
    assert_eq!(set.outgrown_value(&outgrown[1]), Some(&[1; 1_000][..]), "what was named, and no more");
    for (number, of) in (0..).zip(&outgrown) {
        set.staged(of, number);
    }
    assert_eq!(set.take_forgotten(), [0, 2]);
    assert_eq!(set.take_forgotten(), []);
    set.compact();
    assert!(set.memory() < 250, "{} bytes", set.memory());
    let part = set.find(T, &[1]).unwrap();
    assert_eq!(part.staged, Some(Staged { number: 1, bytes: 1_000 }));
    assert!(matches!(part.change, Change::Put { value: b"+", .. }));
    assert!(matches!(set.find(T, &[0]).unwrap().change, Change::Put { value: b"new", .. }));
    assert_eq!(set.find(T, &[0]).unwrap().staged, None);
    // A value that is replaced after it was written out is forgotten too, and one that grows is not.
    set.append(T, &[3], b"more", options, Expect::Any).unwrap();
    set.upsert(T, &[4], b"", options).unwrap();
    assert_eq!(set.take_forgotten(), [4]);
    assert_eq!(set.find(T, &[3]).unwrap().staged, Some(Staged { number: 3, bytes: 1_000 }));
    assert_eq!(set.len(), 11);
    set.clear();
    assert!(set.stage().is_none() && set.is_empty());
}

#[test]
fn what_stays_is_not_named_again_and_memory_grows_little_beyond_the_bound() {
    let mut set = CommitSet::bounded(10_000);
    let options = PutOptions::default();
    let mut looked = 0;
    for key in 0..100_u8 {
        set.upsert(T, &[key], &[key; 1_000], options).unwrap();
        let outgrown = set.outgrown();
        looked += usize::from(!outgrown.is_empty());
        outgrown.iter().for_each(|of| set.stays(of));
    }
    assert!((10..50).contains(&looked), "{looked} times in 100");
    assert!(set.memory() < 110_000, "{} bytes", set.memory());
    // One key over and over: its earlier values take no memory.
    let mut set = CommitSet::bounded(10_000);
    for round in 0..200_u8 {
        set.upsert(T, b"key", &[round; 200], options).unwrap();
        assert_eq!(set.outgrown(), [], "too small to be written out");
        assert!(set.memory() <= 12_500 + 203, "{} bytes", set.memory());
    }
}

#[test]
fn a_value_that_was_written_out_stands_first() {
    let mut set = CommitSet::new();
    let (options, staged) = (PutOptions::default(), Staged { number: 7, bytes: 500 });
    set.compare(T, b"k", Expect::Present).unwrap();
    set.put_staged((T, b"k"), staged, b"rest", options, Expect::Any).unwrap();
    let part = set.find(T, b"k").unwrap();
    assert_eq!((part.staged, part.expect), (Some(staged), Expect::Present));
    let behind = set.append_staged((T, b"k"), staged, b"", options, Expect::Any);
    assert_eq!(behind, Err(SetError::StagedBehind));
    let most = Staged { number: 8, bytes: u32::try_from(VALUE_BYTES_MAX).unwrap() };
    let longer = set.put_staged((T, b"l"), most, b"x", options, Expect::Any);
    assert_eq!(longer, Err(SetError::ValueTooLarge { bytes: VALUE_BYTES_MAX + 1 }));
    set.put_staged((T, b"l"), most, b"", options, Expect::Any).unwrap();
    let grows = set.append(T, b"l", b"x", options, Expect::Any);
    assert_eq!(grows, Err(SetError::ValueTooLarge { bytes: VALUE_BYTES_MAX + 1 }));
}
