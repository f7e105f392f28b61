use super::*;
use segments::PageNo;

fn extent(bytes: usize) -> Extent {
    Extent { place: Place::new(PageNo(64), 80, 1), bytes: u32::try_from(bytes).unwrap(), crc: 0 }
}

/// Bytes written for values, and for names, by appends of these sizes behind a record of `base` bytes.
fn written(base: usize, sizes: impl Iterator<Item = usize>) -> (usize, usize) {
    let (mut extents, mut values, mut names) = (vec![extent(base)], 0, 0);
    for size in sizes {
        let merged = merge_count(&extents, size);
        let named = extents.len() - merged;
        let run = extents.drain(named..).map(|extent| extent.bytes as usize).sum::<usize>();
        assert!(extents.len() <= EXTENTS_MAX, "{} names", extents.len());
        values += run + size;
        names += extents.len() * segments::record::EXTENT_BYTES;
        extents.push(extent(run + size));
    }
    (values, names)
}

#[test]
fn a_byte_that_was_appended_is_written_again_a_few_times_and_no_more() {
    for (count, most) in [(1_000, 3), (10_000, 5), (100_000, 6)] {
        let (values, names) = written(1 << 20, std::iter::repeat_n(100, count));
        assert!(values <= most * 100 * count, "{count}: {values}");
        assert!(names <= 3 * 100 * count, "{count}: {names}");
    }
    let falling = || (0..1000).map(|n| 20_000 - 19 * n);
    assert!(written(1 << 20, falling()).0 <= 5 * falling().sum::<usize>());
    let mixed = || (0..1000).map(|n| if n % 2 == 0 { 10_000 } else { 100 });
    assert!(written(8_000, mixed()).0 <= 5 * mixed().sum::<usize>());
    let single = written(1 << 20, std::iter::repeat_n(1, 5_000)).0;
    assert!(single <= 6 * 5_000, "{single}");
}

#[test]
fn the_list_stays_bounded_whatever_the_sizes() {
    let geometric = (0..26).map(|n| 1 << (25 - n));
    written(1 << 25, geometric.clone());
    let mut seed = 7_u64;
    let random = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (seed >> 33) as usize % (1 << (seed >> 60))
    });
    written(5, random.take(20_000));
    written(1 << 20, (0..20_000).map(|n| 40_000 - n));
}
