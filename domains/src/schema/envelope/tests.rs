use super::*;
use proptest::prelude::*;

fn record(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let rest = Rest::default();
    let mut writer = EnvelopeWriter::new(&mut out, fields.len(), &rest);
    for field in fields {
        writer.bytes(field);
    }
    writer.finish();
    out
}

/// The golden vectors of `design/schema.md`.
#[test]
fn golden_records() {
    let mut out = Vec::new();
    let rest = Rest::default();
    let mut writer = EnvelopeWriter::new(&mut out, 4, &rest);
    writer.field(&0o644_u32).unwrap();
    writer.field(&-1_i64).unwrap();
    writer.field("ab").unwrap();
    writer.bytes(&[0, 0, 0, 0, 0, 0, 0, 7]);
    writer.finish();
    let want = [1, 4, 2, 0xA4, 3, 1, 1, 3, 2, b'a', b'b', 9, 8, 0, 0, 0, 0, 0, 0, 0, 7];
    assert_eq!(out, want);
    assert_eq!(pointer_target(field(&out, 3).unwrap().unwrap()).unwrap(), Some(&[0, 0, 0, 0, 0, 0, 0, 7][..]));
    assert_eq!(record(&[]), [1, 0]);
    assert_eq!(record(&[b""]), [1, 1, 1, 0]);
    assert_eq!(pointer_target(&[0]), Ok(None), "an empty key is the null pointer");
}

#[test]
fn long_fields_have_longer_lengths() {
    for length in [0, 1, 125, 126, 127, 128, 129, 16_381, 16_382, 16_383, 16_384, 16_385, 3_000_000] {
        let value = vec![7_u8; length];
        let fast = record(&[&value, b"x"]);
        let mut slow = Vec::new();
        let rest = Rest::default();
        let mut writer = EnvelopeWriter::new(&mut slow, 2, &rest);
        writer.field(&value).unwrap();
        writer.field(&b"x".to_vec()).unwrap();
        writer.finish();
        assert!(fast == slow, "both ways write the same, at {length}");
        assert_eq!(field_bytes(field(&fast, 0).unwrap().unwrap()).unwrap(), &value[..]);
        assert_eq!(decode_field::<Vec<u8>>(field(&fast, 1).unwrap().unwrap()).unwrap(), b"x");
    }
}

#[test]
fn an_older_program_keeps_what_it_does_not_know() {
    let new = record(&[b"a", b"b", b"later", b"latest"]);
    let mut reader = EnvelopeReader::new(&new).unwrap();
    reader.next_field().unwrap();
    reader.next_field().unwrap();
    let rest = reader.rest().unwrap();
    assert_eq!(rest.fields(), 2);
    let mut out = Vec::new();
    let mut writer = EnvelopeWriter::new(&mut out, 2, &rest);
    writer.bytes(b"A");
    writer.bytes(b"b");
    writer.finish();
    assert_eq!(out, record(&[b"A", b"b", b"later", b"latest"]));
}

#[test]
fn a_newer_program_finds_fields_missing() {
    let old = record(&[b"a"]);
    assert_eq!(field(&old, 1), Ok(None));
    assert_eq!(field(&old, 1000), Ok(None));
    let mut reader = EnvelopeReader::new(&old).unwrap();
    assert!(reader.next_field().unwrap().is_some());
    assert_eq!(reader.next_field(), Ok(None));
    assert!(reader.rest().unwrap().is_empty());
}

#[test]
fn damage_has_its_error() {
    assert_eq!(field(b"", 0), Err(EnvelopeError::Truncated { at: 0 }));
    assert_eq!(field(&[2, 0], 0), Err(EnvelopeError::Version { version: 2 }));
    assert_eq!(field(&[1], 0), Err(EnvelopeError::Truncated { at: 1 }));
    assert_eq!(field(&[1, 1], 0), Err(EnvelopeError::Truncated { at: 2 }));
    assert_eq!(field(&[1, 1, 5, 0], 0), Err(EnvelopeError::Truncated { at: 4 }));
    assert_eq!(field(&[1, 0x81, 0], 0), Err(EnvelopeError::BadNumber { at: 1 }), "1 in two bytes");
    assert_eq!(field(&[1, 0x81, 8], 0), Err(EnvelopeError::TooManyFields { fields: 1025 }));
    assert_eq!(field(&[1, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F], 0), Err(EnvelopeError::BadNumber { at: 2 }), "33 bits");
    let mut reader = EnvelopeReader::new(&[1, 1, 1, 7, 9, 9]).unwrap();
    assert_eq!(reader.clone().rest(), Err(EnvelopeError::Leftover { bytes: 2 }));
    let field = reader.next_field().unwrap().unwrap();
    assert_eq!(decode_field::<u32>(field), Ok(7));
    assert_eq!(decode_field::<u32>(&[7, 0]), Err(EnvelopeError::FieldLeftover { bytes: 1 }));
    assert!(matches!(decode_field::<bool>(&[2]), Err(EnvelopeError::BadField { .. })));
    assert_eq!(pointer_target(&[]), Err(EnvelopeError::Truncated { at: 0 }));
    assert_eq!(pointer_target(&[2, 1]), Err(EnvelopeError::Truncated { at: 2 }));
    assert_eq!(pointer_target(&[1, 1, 1]), Err(EnvelopeError::FieldLeftover { bytes: 1 }));
}

#[test]
#[should_panic(expected = "all its fields are written")]
fn a_field_forgotten_is_our_own_mistake() {
    EnvelopeWriter::new(&mut Vec::new(), 1, &Rest::default()).finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), index in 0..6_usize) {
        let _ = field(&bytes, index);
        let _ = pointer_target(&bytes);
        let _ = decode_field::<(u32, String, Option<Vec<u8>>)>(&bytes);
    }

    #[test]
    fn damaged_records_are_read_or_refused(
        fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 0..5),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let slices: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        let mut bytes = record(&slices);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(rest) = EnvelopeReader::new(&bytes).and_then(EnvelopeReader::rest) {
            let mut out = Vec::new();
            EnvelopeWriter::new(&mut out, 0, &rest).finish();
            prop_assert_eq!(out, bytes, "one record has one encoding");
        }
    }

    #[test]
    fn fields_come_back(fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..9)) {
        let slices: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        let bytes = record(&slices);
        for (index, want) in fields.iter().enumerate() {
            prop_assert_eq!(field_bytes(field(&bytes, index).unwrap().unwrap()).unwrap(), &want[..]);
        }
        prop_assert_eq!(field(&bytes, fields.len()), Ok(None));
    }
}
