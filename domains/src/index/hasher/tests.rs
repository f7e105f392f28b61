//! Numbers that the client hashed: their mix, that no two meet, and that an index of them stays even.

use super::{KeyHasher, mix, number};
use crate::index::{HashConfig, HashIndex, HashOrder, KeyHash, Loc, order_preserving};
use crate::schema::{Field, FieldType, TableHome, TableKind, TableSpec};
use std::collections::BTreeSet;

const CONFIG: HashConfig =
    HashConfig { key: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], fingerprint_bits: 64 };

/// The published finaliser's values, computed by a second implementation; and where the secret word comes in.
#[test]
fn the_mix_is_the_published_one() {
    for (number, mixed) in [
        (0, 0),
        (1, 0xb456_bcfc_34c2_cb2c),
        (2, 0x3abf_2a20_6506_83e7),
        (0x0102_0304_0506_0708, 0xd1af_0fbb_4178_c20e),
        (u64::MAX, 0x64b5_720b_4b82_5f21),
    ] {
        assert_eq!(mix(number), mixed, "{number:#x}");
    }
    let KeyHasher::Client { word, .. } = KeyHasher::of_client(&CONFIG, 8) else { unreachable!("it is the client's") };
    let zero = KeyHasher::of_client(&CONFIG, 8).hash(&order_preserving(word));
    assert_eq!(zero, KeyHash(0), "the word and the number cancel out");
}

/// Inverts what [`mix`] does, step by step: so no two numbers have one mix.
fn unmix(mut mixed: u64) -> u64 {
    let shift = |number: u64| number ^ number >> 33;
    mixed = shift(mixed).wrapping_mul(0x9cb4_b2f8_1293_37db);
    mixed = shift(mixed).wrapping_mul(0x4f74_430c_22a5_4005);
    shift(mixed)
}

proptest::proptest! {
    #[test]
    fn no_two_numbers_have_one_mix(number: u64) {
        assert_eq!(unmix(mix(number)), number);
    }
}

#[test]
fn bytes_that_are_no_number_have_a_hash_that_no_number_has() {
    for key_bytes in [4, 8] {
        let hasher = KeyHasher::of_client(&CONFIG, key_bytes);
        for wrong in [0, 3, 5, 7, 9, 2048] {
            let hash = hasher.hash(&vec![0; wrong]);
            assert_ne!(hash.order().low, hasher.hash(&vec![0; key_bytes]).order().low);
        }
    }
    assert_eq!((number(&[1, 2, 3, 4], 4), number(&[1, 2, 3, 4], 8)), (Some(0x0102_0304), None));
    assert_eq!(number(&order_preserving(77), 8), Some(77));
}

#[test]
fn only_one_field_of_u32_or_u64_is_such_a_key() {
    let field = |field_type| Field { name: "id".to_owned(), field_type };
    let spec = |kind, key| {
        let (type_name, home) = ("T".to_owned(), TableHome::Persistent);
        TableSpec { type_name, kind, home, key, record: vec![], pairs_hint: 0, rules: vec![] }
    };
    for (bits, bytes) in [(32, Some(4)), (64, Some(8)), (16, None), (128, None)] {
        let spec = spec(TableKind::ClientHash, vec![field(FieldType::Unsigned(bits))]);
        assert_eq!(spec.client_key_bytes(), bytes);
        assert_eq!(spec.check_client_hash().is_ok(), bytes.is_some());
        assert_eq!(KeyHasher::of(&CONFIG, &spec).stands_for_keys(), bytes.is_none());
    }
    let of_hash = spec(TableKind::Hash, vec![field(FieldType::Unsigned(64))]);
    assert_eq!(KeyHasher::of(&CONFIG, &of_hash), KeyHasher::Store(CONFIG));
    let two = vec![field(FieldType::Unsigned(64)), field(FieldType::Unsigned(64))];
    for key in [vec![], two, vec![field(FieldType::Text)], vec![field(FieldType::Signed(64))]] {
        let error = spec(TableKind::ClientHash, key.clone()).check_client_hash().unwrap_err();
        assert_eq!(error, crate::Error::ClientHashKey { key });
        assert_eq!(error.code(), 210);
    }
}

/// The keys that a client is most likely to give, and those that a plain cut of leading bits would put in one page.
fn patterns() -> Vec<(&'static str, Vec<u64>)> {
    const N: u64 = 20_000;
    vec![
        ("sequential", (0..N).collect()),
        ("multiples of 2^16", (0..N).map(|n| n << 16).collect()),
        ("one low half", (0..N).map(|n| n << 32 | 0xdead_beef).collect()),
        ("one high half", (0..N).map(|n| 0xdead_beef << 32 | n).collect()),
        ("from the top", (0..N).map(|n| u64::MAX - n).collect()),
        ("leading bits only", (0..N).map(|n| n.reverse_bits()).collect()),
    ]
}

/// An index of such numbers takes no more memory and no longer tails than one of hashed keys: every page is found by bits in
/// which the numbers differ.
#[test]
fn numbers_of_any_pattern_lie_as_even_as_hashed_keys() {
    for (name, numbers) in patterns() {
        let hasher = KeyHasher::of_client(&CONFIG, 8);
        let mut index = HashIndex::new(64);
        for (at, number) in numbers.iter().enumerate() {
            index.insert(hasher.hash(&order_preserving(*number)), Loc::new(at as u64));
        }
        let each = index.memory_bytes() as f64 / numbers.len() as f64;
        assert!(each <= 20.0, "{name}: {each} bytes a slot");
        let mut all = Vec::new();
        assert!(!index.scan(HashOrder::FIRST, usize::MAX / 2, &mut all));
        let hashes: BTreeSet<HashOrder> = all.iter().map(|(order, _)| *order).collect();
        assert_eq!(hashes.len(), numbers.len(), "{name}: no two numbers share a hash");
        for (at, number) in numbers.iter().enumerate() {
            let found: Vec<Loc> = index.candidates(hasher.hash(&order_preserving(*number))).collect();
            assert_eq!(found, [Loc::new(at as u64)], "{name}: a candidate is the pair");
        }
    }
}
