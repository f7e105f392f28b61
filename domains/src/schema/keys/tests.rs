use super::*;
use proptest::prelude::*;

fn field(field_type: FieldType) -> Field {
    Field { name: "f".into(), field_type }
}

fn value_of(field_type: &FieldType) -> BoxedStrategy<KeyValue> {
    // Few different bytes, so that equal and nearly equal keys are common.
    let bytes = prop_oneof![
        prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 0xFE, 0xFF]), 0..5),
        prop::collection::vec(any::<u8>(), 0..70)
    ];
    match field_type {
        FieldType::Unsigned(bits) => {
            let low = low_bits(usize::from(bits / 8));
            prop_oneof![any::<u128>(), Just(0), Just(u128::MAX), 0..4_u128]
                .prop_map(move |value| KeyValue::Unsigned(value & low))
                .boxed()
        }
        FieldType::Signed(bits) => {
            let shift = 128 - bits;
            prop_oneof![any::<i128>(), Just(i128::MIN), Just(i128::MAX), -2..2_i128]
                .prop_map(move |value| KeyValue::Signed(value << shift >> shift))
                .boxed()
        }
        FieldType::Bool => any::<bool>().prop_map(KeyValue::Bool).boxed(),
        FieldType::Text => prop_oneof!["[\u{0}\u{1}a]{0,4}", ".{0,20}"].prop_map(KeyValue::Text).boxed(),
        FieldType::Bytes | FieldType::Pointer { .. } | FieldType::Other(_) => bytes.prop_map(KeyValue::Bytes).boxed(),
    }
}

fn type_of() -> impl Strategy<Value = FieldType> {
    prop_oneof![
        prop::sample::select(vec![8, 16, 32, 64, 128]).prop_map(FieldType::Unsigned),
        prop::sample::select(vec![8, 16, 32, 64, 128]).prop_map(FieldType::Signed),
        Just(FieldType::Bool),
        Just(FieldType::Bytes),
        Just(FieldType::Text),
    ]
}

type Case = (Vec<Field>, Vec<KeyValue>, Vec<KeyValue>);

fn two_keys() -> impl Strategy<Value = Case> {
    prop::collection::vec(type_of(), 1..5).prop_flat_map(|types| {
        let key: Vec<_> = types.iter().map(value_of).collect();
        let other: Vec<_> = types.iter().map(value_of).collect();
        (Just(types.into_iter().map(field).collect::<Vec<_>>()), key, other)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bytes_order_as_the_tuples_do((fields, one, two) in two_keys()) {
        let (a, b) = (encode(&fields, &one).unwrap(), encode(&fields, &two).unwrap());
        prop_assert_eq!(a.cmp(&b), one.cmp(&two));
        prop_assert_eq!(a[..].cmp(&b[..]), one.cmp(&two));
    }

    #[test]
    fn what_was_encoded_is_decoded((fields, key, _) in two_keys()) {
        let bytes = encode(&fields, &key).unwrap();
        prop_assert_eq!(decode(&fields, &bytes).unwrap(), key);
    }

    #[test]
    fn the_first_fields_are_a_prefix((fields, key, other) in two_keys(), count in 0..5_usize) {
        let count = count.min(key.len());
        let whole = encode(&fields, &key).unwrap();
        let start = encode(&fields, &key[..count]).unwrap();
        prop_assert!(whole.starts_with(&start));
        let other_whole = encode(&fields, &other).unwrap();
        prop_assert_eq!(other_whole.starts_with(&start), key[..count] == other[..count]);
        if let Some(end) = prefix_end(&start) {
            prop_assert_eq!(other_whole[..] >= start[..] && other_whole[..] < end[..], key[..count] == other[..count]);
        }
    }

    #[test]
    fn any_bytes_decode_or_are_refused(types in prop::collection::vec(type_of(), 0..4), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let fields: Vec<_> = types.into_iter().map(field).collect();
        if let Ok(values) = decode(&fields, &bytes) {
            let again = encode(&fields, &values).unwrap();
            prop_assert_eq!(&again[..], &bytes[..], "one key has one encoding");
        }
    }

    #[test]
    fn open_bytes_find_all_that_begin_so(start in prop::collection::vec(0..3_u8, 0..4), whole in prop::collection::vec(0..3_u8, 0..6)) {
        let (mut open, mut key) = (KeyBuf::new(), KeyBuf::new());
        open.push_open_bytes(&start);
        key.push_bytes(&whole);
        prop_assert_eq!(key.starts_with(&open), whole.starts_with(&start));
    }
}

/// The golden vectors of `design/schema.md`.
#[test]
fn golden_keys() {
    let check = |field_type: FieldType, value: KeyValue, hex: &str| {
        let bytes = encode(&[field(field_type)], &[value]).unwrap();
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, hex);
    };
    check(FieldType::Unsigned(8), KeyValue::Unsigned(255), "ff");
    check(FieldType::Unsigned(16), KeyValue::Unsigned(258), "0102");
    check(FieldType::Unsigned(64), KeyValue::Unsigned(7), "0000000000000007");
    check(FieldType::Unsigned(128), KeyValue::Unsigned(u128::MAX), "ffffffffffffffffffffffffffffffff");
    check(FieldType::Signed(8), KeyValue::Signed(-128), "00");
    check(FieldType::Signed(8), KeyValue::Signed(-1), "7f");
    check(FieldType::Signed(8), KeyValue::Signed(0), "80");
    check(FieldType::Signed(32), KeyValue::Signed(-2), "7ffffffe");
    check(FieldType::Signed(64), KeyValue::Signed(i128::from(i64::MAX)), "ffffffffffffffff");
    check(FieldType::Bool, KeyValue::Bool(true), "01");
    check(FieldType::Bytes, KeyValue::Bytes(vec![]), "0001");
    check(FieldType::Bytes, KeyValue::Bytes(vec![0, 1, 0xFF]), "00ff01ff0001");
    check(FieldType::Text, KeyValue::Text("ab".into()), "61620001");
    let dirent = [field(FieldType::Unsigned(64)), field(FieldType::Bytes)];
    let key = encode(&dirent, &[KeyValue::Unsigned(1), KeyValue::Bytes(b"a".to_vec())]).unwrap();
    assert_eq!(&key[..], [0, 0, 0, 0, 0, 0, 0, 1, 0x61, 0, 1]);
}

#[test]
fn each_kind_of_damage_has_its_error() {
    let bytes = [field(FieldType::Bytes)];
    assert_eq!(decode(&bytes, b"ab"), Err(KeyError::Truncated { at: 2 }));
    assert_eq!(decode(&bytes, b"ab\0"), Err(KeyError::Truncated { at: 3 }));
    assert_eq!(decode(&bytes, b"a\0\x02"), Err(KeyError::BadMark { at: 1 }));
    assert_eq!(decode(&bytes, b"\0\x01x"), Err(KeyError::Leftover { bytes: 1 }));
    assert_eq!(decode(&[field(FieldType::Text)], b"\xFF\0\x01"), Err(KeyError::BadText { at: 3 }));
    assert_eq!(decode(&[field(FieldType::Bool)], &[2]), Err(KeyError::BadBool { at: 0, value: 2 }));
    assert_eq!(decode(&[field(FieldType::Unsigned(64))], &[0; 7]), Err(KeyError::Truncated { at: 7 }));
    assert_eq!(decode(&[field(FieldType::Unsigned(9))], &[0; 7]), Err(KeyError::NoOrder { field: 0 }));
    assert_eq!(decode(&[field(FieldType::Other("X".into()))], &[]), Err(KeyError::NoOrder { field: 0 }));
    assert_eq!(decode(&[], &[]), Ok(vec![]));
}

#[test]
fn values_must_fit_their_fields() {
    let byte = [field(FieldType::Unsigned(8))];
    assert!(encode(&byte, &[KeyValue::Unsigned(255)]).is_ok());
    assert_eq!(encode(&byte, &[KeyValue::Unsigned(256)]), Err(KeyError::WrongType { field: 0 }));
    assert_eq!(encode(&byte, &[KeyValue::Bool(true)]), Err(KeyError::WrongType { field: 0 }));
    let two = [KeyValue::Unsigned(1), KeyValue::Unsigned(1)];
    assert_eq!(encode(&byte, &two), Err(KeyError::TooManyFields { given: 2, fields: 1 }));
    let signed = [field(FieldType::Signed(8))];
    assert!(encode(&signed, &[KeyValue::Signed(-128)]).is_ok());
    assert_eq!(encode(&signed, &[KeyValue::Signed(128)]), Err(KeyError::WrongType { field: 0 }));
}

#[test]
#[should_panic(expected = "needs more than 1 bytes")]
fn a_number_too_wide_is_our_own_mistake() {
    KeyBuf::new().push_unsigned(256, 1);
}
