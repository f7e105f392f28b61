use super::*;

type Dirent = (u64, Vec<u8>);

fn key<K>(given: impl AsKey<K>) -> Vec<u8> {
    given.to_key().into_vec()
}

fn span<K>(given: impl KeyRange<K>) -> KeySpan {
    given.to_span()
}

#[test]
fn borrowed_forms_serve_for_keys() {
    let owned = key::<Dirent>((1, b"a".to_vec()));
    assert_eq!(owned, [0, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 1]);
    assert_eq!(key::<Dirent>((1, b"a")), owned);
    assert_eq!(key::<Dirent>((&1, &b"a"[..])), owned);
    assert_eq!(key::<Dirent>(&(1, b"a")), owned);
    assert_eq!(key::<u64>(7), key::<u64>(&7));
    assert_eq!(key::<String>("a"), key::<String>("a".to_owned()));
}

#[test]
fn keys_are_read_back() {
    let bytes = key::<(i8, bool, String, u128)>((-1, true, "a\0b", u128::MAX));
    let mut reader = KeyReader::new(&bytes);
    assert_eq!(<(i8, bool, String, u128) as Key>::decode(&mut reader), Ok((-1, true, "a\0b".into(), u128::MAX)));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn ranges_take_first_fields() {
    let directory = span::<Dirent>((1,)..=(1,));
    for (parent, name, inside) in [(0, &b"z"[..], false), (1, b"", true), (1, b"\xFF\xFF", true), (2, b"", false)] {
        assert_eq!(directory.contains(&key::<Dirent>((parent, name))), inside, "{parent} {name:?}");
    }
    assert_eq!(directory, KeySpan::of_prefix(&AsPrefix::<Dirent>::to_prefix(&(1,))));
    assert!(span::<Dirent>((1, b"b")..).contains(&key::<Dirent>((9, b"a"))));
    assert!(!span::<Dirent>((1, b"b")..).contains(&key::<Dirent>((1, b"a"))));
    assert!(span::<Dirent>(..).contains(&key::<Dirent>((0, b""))));
    assert!(span::<u64>(5..).contains(&key::<u64>(u64::MAX)));
    assert!(!span::<u64>(5..7).contains(&key::<u64>(7)));
    assert!(span::<u64>(..=7).contains(&key::<u64>(7)));
    assert!(span::<String>("a".."b").contains(&key::<String>("az")));
}

#[test]
fn ranges_that_hold_nothing_say_so() {
    assert!(span::<u64>(7..7).empty);
    assert!(span::<u64>((Bound::Included(8), Bound::Excluded(7))).empty);
    assert!(span::<u64>((Bound::Excluded(u64::MAX), Bound::Unbounded)).empty);
    assert!(!span::<u64>(u64::MAX..).empty);
}

#[test]
fn a_prefix_may_end_inside_a_name() {
    let prefix = AsPrefix::<Dirent>::to_prefix(&(1, StartsWith(b"li")));
    assert!(key::<Dirent>((1, b"lib")).starts_with(&prefix));
    assert!(!key::<Dirent>((1, b"l")).starts_with(&prefix));
    let text = AsPrefix::<String>::to_prefix(&StartsWith("li"));
    assert!(key::<String>("lib").starts_with(&text));
}
