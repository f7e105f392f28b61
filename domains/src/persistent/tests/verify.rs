//! Verify reads the device: a bit that flips there is found although memory has the record as it was.

use super::*;
use crate::Stored;
use segments::blocking::Blocking;

fn verify(bench: &mut Bench, table: TableId, key: &[u8]) -> Result<Option<Box<Stored>>, Error> {
    let Answer::Stored(stored) = bench.call(Op::Verify { table, key: key.to_vec() })? else { panic!("another answer") };
    Ok(stored)
}

/// Flips a bit of the first byte of `marker` on the device.
fn flip(bench: &mut Bench, marker: &[u8]) {
    let mut device = Blocking::new(&mut bench.device);
    for page in (0..device.pages()).map(PageNo) {
        let mut frames = device.read(page, 1).unwrap();
        if let Some(at) = frames.page(0).windows(marker.len()).position(|bytes| bytes == marker) {
            frames.page_mut(0)[at] ^= 0x10;
            return device.write_each(vec![(page, frames)]).unwrap();
        }
    }
    panic!("the marker is nowhere on the device");
}

#[test]
fn a_bit_flipped_on_the_device_is_found_although_memory_has_the_record() {
    for kind in [TableKind::Hash, TableKind::Ordered] {
        for fill in [0, 9000] {
            let mut bench = Bench::new(Config { cache_bytes: 1 << 20, tail_pages: 64, ..tiny() });
            let table = bench.create("t", kind, TableHome::Persistent);
            let value = [&b"a value to be found"[..], &vec![7; fill]].concat();
            let committed = bench.put(table, b"k", &value);
            let stored = verify(&mut bench, table, b"k").unwrap().expect("it is there");
            assert!(stored.from_device, "although it had not been written when it was asked for");
            assert_eq!((&stored.pair.value, stored.pair.version), (&value, committed.versions.as_slice()[0]));
            assert_eq!(stored.value_crc, stored.crc_here());
            assert_eq!(verify(&mut bench, table, b"other").unwrap(), None);
            flip(&mut bench, b"a value to be found");
            assert_eq!(bench.get(table, b"k").expect("memory has it").value, value);
            let error = verify(&mut bench, table, b"k").unwrap_err();
            assert!(matches!(error, Error::CorruptRecord { table: named, .. } if named == table), "{error}");
        }
    }
}

#[test]
fn a_record_of_a_volatile_table_is_verified_in_memory() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Volatile);
    bench.put(table, b"k", b"value");
    let stored = verify(&mut bench, table, b"k").unwrap().expect("it is there");
    assert_eq!((stored.from_device, stored.value_crc), (false, stored.crc_here()));
}

/// Every part of a record that grew is read from the device, and the checksum is made of those with which the parts were written.
#[test]
fn a_record_that_grew_is_verified_part_by_part() {
    for marker in [&b"the beginning"[..], b"the middle", b"the end"] {
        let mut bench = Bench::new(Config { cache_bytes: 1 << 20, tail_pages: 64, ..tiny() });
        let table = bench.create("t", TableKind::Ordered, TableHome::Persistent);
        let pieces = [b"the beginning", &b"the middle"[..], b"the end"].map(|words| [words, &[7; 9_000]].concat());
        for piece in &pieces {
            let mut set = CommitSet::new();
            set.append(table, b"k", piece, PutOptions::default(), Expect::Any).unwrap();
            bench.commit(set, Level::Committed).unwrap();
        }
        let stored = verify(&mut bench, table, b"k").unwrap().expect("it is there");
        assert!(stored.from_device && stored.pair.value == pieces.concat());
        assert_eq!(stored.value_crc, stored.crc_here());
        flip(&mut bench, marker);
        assert!(bench.get(table, b"k").expect("memory has it").value == pieces.concat());
        let error = verify(&mut bench, table, b"k").unwrap_err();
        assert!(matches!(error, Error::CorruptRecord { table: named, .. } if named == table), "{error}");
    }
}
