use super::*;
use crate::golden;
use crate::ids::{Incarnation, PageNo};
use crate::place::Place;
use proptest::prelude::*;

fn version() -> Version {
    Version { epoch: EpochId::new(Incarnation(0x0a_0b0c), 0x41_4243_4445), ordinal: Ordinal(0x3132_3334_3536_3738) }
}

fn pair<'a>(key: &'a [u8], value: &'a [u8]) -> Record<'a> {
    Record::pair(TableId(0x5152_5354), version(), key, value)
}

fn tombstone(key: &[u8]) -> Record<'_> {
    Record { kind: RecordKind::Tombstone, ..pair(key, b"") }
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut out = vec![0xee; record.encoded_bytes() + 16];
    let bytes = encode(record, &mut out);
    assert!(out[bytes..].iter().all(|&byte| byte == 0xee), "nothing is written behind the record");
    out.truncate(bytes);
    out
}

/// Makes the header's checksum right again after a field was changed.
fn resealed(mut bytes: Vec<u8>, key_end: usize) -> Vec<u8> {
    let sum = checksum(0, &bytes[4..key_end]);
    HEADER_CRC.put(&mut bytes, sum.to_le_bytes());
    bytes
}

#[test]
fn the_bytes_are_those_of_the_first_version() {
    let record = Record { expires_ms: Some(0x7172_7374), compressed: true, ..pair(b"a key", b"some value") };
    golden::check("record_pair", include_str!("../golden/record_pair.hex"), &encoded(&record));
    let revertible = Some(Revertible { previous: 0x11_2131_4151_6171, until_ms: 0x8182_8384 });
    let record = Record { revertible, ..record };
    golden::check("record_revertible", include_str!("../golden/record_revertible.hex"), &encoded(&record));
    let packed = Record { compact: true, ..pair(b"a key", b"some value") };
    golden::check("record_compact", include_str!("../golden/record_compact.hex"), &encoded(&packed));
    golden::check("record_tombstone", include_str!("../golden/record_tombstone.hex"), &encoded(&tombstone(b"a key")));
    let close = Record::close(version(), &[1, 2, 4, 0]);
    golden::check("record_close", include_str!("../golden/record_close.hex"), &encoded(&close));
    let names = Extents::encode(&some_extents());
    let extended = Record { extents: Extents::new(&names), ..record };
    golden::check("record_extended", include_str!("../golden/record_extended.hex"), &encoded(&extended));
    let part = Record { kind: RecordKind::Extent, ..pair(b"a key", b"some value") };
    golden::check("record_extent", include_str!("../golden/record_extent.hex"), &encoded(&part));
}

fn some_extents() -> [Extent; 2] {
    let of = |page, bytes, crc| Extent { place: Place::new(PageNo(page), 80, 1), bytes, crc };
    [of(0x61_6263, 0x1122_3344 % 5000, 0x8182_8384), of(0x64_6566, 9, 0x9192_9394)]
}

#[test]
fn a_record_names_its_extents_in_order_and_counts_with_them() {
    let names = Extents::encode(&some_extents());
    let record = Record { extents: Extents::new(&names), ..pair(b"a key", b"end") };
    let bytes = encoded(&record);
    let head = head(&bytes).expect("it was just encoded");
    assert_eq!(head.extents.iter().collect::<Vec<_>>(), some_extents());
    let value_bytes = some_extents().iter().map(|extent| extent.bytes as usize).sum::<usize>();
    assert_eq!(head.total_bytes(), value_bytes + 3);
    assert!(head.live_bytes() > (bytes.len() + value_bytes) as u64);
    assert_eq!(head.live_bytes(), record.live_bytes());
}

#[test]
fn extents_that_cannot_be_are_refused_under_a_right_checksum() {
    let names = Extents::encode(&some_extents()[..1]);
    let good = encoded(&Record { extents: Extents::new(&names), ..pair(b"key", b"value") });
    let end = RECORD_HEADER_BYTES + EXTENT_BYTES + 3;
    // A place past 55 bits, an empty extent, values of more than 64 MiB.
    for (at, bytes) in [(47, &[0xff_u8][..]), (48, &[0; 4]), (48, &[0xff, 0xff, 0xff, 3])] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(head(&resealed(bad, end)), Err(RecordError::Field { field: "extents" }), "byte {at}");
    }
    // A tombstone, or a part, that names any.
    for kind in [2, 4] {
        let mut bad = good.clone();
        bad[14] = kind;
        assert_eq!(head(&resealed(bad, end)), Err(RecordError::Field { field: "extents" }), "kind {kind}");
    }
    let mut bad = good;
    bad[20] = 33;
    assert_eq!(head(&bad), Err(RecordError::Field { field: "extents" }));
}

#[test]
fn an_empty_value_is_a_value() {
    let bytes = encoded(&pair(b"k", b""));
    let (record, _) = decode(&bytes).expect("it was just encoded");
    assert_eq!((record.kind, record.value), (RecordKind::Pair, &b""[..]));
    assert_ne!(bytes, encoded(&tombstone(b"k")));
}

#[test]
fn lengths_at_their_limits_round_trip_and_past_them_do_not() {
    let (key, value) = (vec![7; KEY_BYTES_MAX], vec![9; VALUE_BYTES_MAX]);
    for record in [pair(&key, b"v"), pair(b"", b""), pair(b"k", &value)] {
        assert_eq!(decode(&encoded(&record)).map(|(record, _)| record), Ok(record));
    }
    let mut bytes = encoded(&pair(b"key", b""));
    KEY_BYTES.put(&mut bytes, 2049_u16.to_le_bytes());
    assert_eq!(head(&bytes), Err(RecordError::Field { field: "key_bytes" }));
    for value_bytes in [(64 << 20) + 1, u32::MAX] {
        let mut bytes = encoded(&pair(b"key", b""));
        VALUE_BYTES.put(&mut bytes, u32::to_le_bytes(value_bytes));
        assert_eq!(head(&resealed(bytes, 43)), Err(RecordError::Field { field: "value_bytes" }));
    }
}

#[test]
#[should_panic(expected = "a record that no reader accepts")]
fn a_value_past_the_limit_is_not_encoded() {
    let value = vec![0; VALUE_BYTES_MAX + 1];
    encode(&pair(b"k", &value), &mut []);
}

#[test]
fn every_flipped_bit_is_found() {
    let expiring = Record { expires_ms: Some(5), compressed: true, ..pair(b"a key", b"some value") };
    let revertible = Record { revertible: Some(Revertible { previous: 0, until_ms: 7 }), ..expiring };
    let names = Extents::encode(&some_extents());
    let extended = Record { extents: Extents::new(&names), ..revertible };
    let close = Record::close(version(), &[1, 0, 0, 0]);
    for record in [pair(b"key", b"value"), expiring, revertible, extended, tombstone(b"key"), close] {
        let mut bytes = encoded(&record);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit} of {record:?} went unnoticed");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(decode(&bytes), Ok((record, bytes.len())));
    }
}

#[test]
fn a_head_needs_no_value_and_finds_every_flip_before_it() {
    let bytes = encoded(&pair(b"key", b"a value that is not there"));
    let (front, head_end) = (&bytes[..RECORD_HEADER_BYTES + 3], RECORD_HEADER_BYTES + 3);
    let head_ = head(front).expect("header and key are there");
    assert_eq!((head_.key, head_.value_bytes, head_.value_at), (&b"key"[..], 25, head_end));
    assert_eq!(head_.record_bytes, bytes.len());
    assert_eq!(head_.value_crc, checksum(0, b"a value that is not there"));
    let mut front = front.to_vec();
    for bit in 0..front.len() * 8 {
        front[bit / 8] ^= 1 << (bit % 8);
        assert!(head(&front).is_err(), "bit {bit} went unnoticed");
        front[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_record_cut_short_at_any_byte_is_an_error() {
    let bytes = encoded(&pair(b"key", b"value"));
    for found in 0..bytes.len() {
        let error = decode(&bytes[..found]).expect_err("it is cut short");
        assert!(matches!(error, RecordError::Short { found: seen, .. } if seen == found), "{found}: {error}");
    }
}

#[test]
fn zeros_are_not_a_record() {
    assert!(decode(&[0; 64]).is_err());
    assert!(head(&[0; RECORD_HEADER_BYTES]).is_err());
}

#[test]
fn fields_that_this_version_does_not_write_are_refused_under_a_right_checksum() {
    let plant: [(usize, u8, &str); 7] = [
        (14, 0, "kind"),
        (14, 5, "kind"),
        (15, 8, "flags"),
        (15, 0x80, "flags"),
        (21, 1, "zero"),
        (23, 1, "zero"),
        (11, 0x80, "value_bytes"),
    ];
    for (at, byte, field) in plant {
        let mut bytes = encoded(&pair(b"key", b"value"));
        bytes[at] = byte;
        assert_eq!(head(&resealed(bytes, 43)), Err(RecordError::Field { field }), "byte {at}");
    }
}

#[test]
fn where_a_previous_record_lies_has_no_more_bits_than_a_place() {
    let revertible = Some(Revertible { previous: (1 << PLACE_BITS) - 1, until_ms: u64::MAX });
    let good = encoded(&Record { revertible, ..pair(b"key", b"value") });
    assert_eq!(head(&good).map(|head| head.revertible), Ok(revertible));
    let mut bytes = good;
    bytes[RECORD_HEADER_BYTES + 6] |= 0x80;
    assert_eq!(head(&resealed(bytes, 40 + 16 + 3)), Err(RecordError::Field { field: "previous" }));
}

#[test]
fn tombstones_and_closes_have_no_value_and_no_flags() {
    let tombstone = encoded(&tombstone(b"key"));
    let close = encoded(&Record::close(version(), &[1, 0, 0, 0]));
    for (bytes, key_end) in [(&tombstone, 43), (&close, 44)] {
        for (at, field) in [(8, "value_bytes"), (15, "flags")] {
            let mut bytes = bytes.clone();
            bytes[at] = 1;
            assert_eq!(head(&resealed(bytes, key_end)), Err(RecordError::Field { field }));
        }
    }
}

#[test]
fn a_close_names_at_least_one_shard_and_none_that_cannot_be() {
    let good = encoded(&Record::close(version(), &[0, 0, 0x80, 0]));
    assert_eq!(head(&good).expect("shard 23 is the last").members(), Some(1 << 23));
    assert_eq!(head(&encoded(&tombstone(b"key!"))).expect("a tombstone").members(), None);
    for members in [[0; 4], [0, 0, 0, 1], [0xff; 4]] {
        let mut bytes = good.clone();
        bytes[40..44].copy_from_slice(&members);
        assert_eq!(head(&resealed(bytes, 44)), Err(RecordError::Field { field: "table" }));
    }
    let mut short = good.clone();
    KEY_BYTES.put(&mut short, 3_u16.to_le_bytes());
    assert_eq!(head(&resealed(short, 43)), Err(RecordError::Field { field: "key_bytes" }));
    let mut of_a_table = good;
    TABLE.put(&mut of_a_table, [1, 0, 0, 0]);
    assert_eq!(head(&resealed(of_a_table, 44)), Err(RecordError::Field { field: "table" }));
}

#[test]
fn a_carried_checksum_is_kept_so_that_damage_on_the_way_shows() {
    let mut out = [0; 64];
    encode_carried(&pair(b"k", b"valve"), checksum(0, b"value"), &mut out);
    assert!(matches!(decode(&out), Err(RecordError::ValueChecksum { .. })));
    assert!(head(&out).is_ok(), "the header is right");
}

proptest! {
    #[test]
    fn a_record_round_trips(
        key in proptest::collection::vec(any::<u8>(), 0..100),
        value in proptest::collection::vec(any::<u8>(), 0..300),
        (table, epoch, ordinal) in any::<(u32, u64, u64)>(),
        (expires_ms, compressed, compact) in any::<(Option<u64>, bool, bool)>(),
        revertible in any::<Option<(u64, u64)>>(),
        behind in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let version = Version { epoch: EpochId(epoch), ordinal: Ordinal(ordinal) };
        let revertible =
            revertible.map(|(bits, until_ms)| Revertible { previous: bits >> (64 - PLACE_BITS), until_ms });
        let record =
            Record { table: TableId(table), version, expires_ms, compressed, compact, revertible, ..pair(&key, &value) };
        let mut bytes = encoded(&record);
        let length = bytes.len();
        prop_assert_eq!(length % 8, 0);
        bytes.extend(behind);
        prop_assert_eq!(decode(&bytes), Ok((record, length)));
    }

    #[test]
    fn a_record_that_grows_is_the_longer_record(
        value in proptest::collection::vec(any::<u8>(), 0..60),
        added in proptest::collection::vec(any::<u8>(), 0..60),
        (ordinal, before, after) in any::<(u64, Option<u64>, Option<u64>)>(),
        (was, is) in any::<((bool, bool), (bool, bool))>(),
    ) {
        let mut bytes = encoded(&Record { expires_ms: before, compressed: was.0, compact: was.1, ..pair(b"key", &value) });
        let version = Version { ordinal: Ordinal(ordinal), ..version() };
        let expires_ms = after.or(before);
        grow(&mut bytes, version, &added, expires_ms, is);
        let whole = [value, added].concat();
        let longer = Record { version, expires_ms, compressed: is.0, compact: is.1, ..pair(b"key", &whole) };
        prop_assert_eq!(bytes, encoded(&longer));
    }

    #[test]
    fn random_bytes_are_not_a_record(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(decode(&bytes).is_err());
        prop_assert!(head(&bytes).is_err());
    }

    #[test]
    fn random_bytes_under_a_right_checksum_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 48..3000)) {
        bytes[13] &= 7;
        bytes[20] &= 3;
        let fields = field_bytes(bytes[15]) + usize::from(bytes[20]) * EXTENT_BYTES;
        let key_end = RECORD_HEADER_BYTES + fields + usize::from(KEY_BYTES.u16(&bytes));
        if key_end <= bytes.len() {
            let bytes = resealed(bytes, key_end);
            let _ = (head(&bytes), decode(&bytes));
        }
    }
}
