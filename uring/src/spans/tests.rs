//! The interval set against a bitmap.

use super::*;
use crate::{Caching, File};
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn two_files() -> (FileId, FileId) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name| File::create(&dir.path().join(name), Caching::Buffered).expect("a file");
    // Both exist at once, so that the second does not get the first one's inode.
    let (one, two) = (file("one"), file("two"));
    (one.id(), two.id())
}

/// Whether the range was taken in.
fn insert(spans: &mut Spans, file: FileId, start: u64, bytes: u64) -> bool {
    catch_unwind(AssertUnwindSafe(|| spans.insert(file, start, bytes))).is_ok()
}

#[test]
fn neighbours_are_no_overlap_and_one_byte_is() {
    let (one, two) = two_files();
    let mut spans = Spans::default();
    assert!(insert(&mut spans, one, 100, 10));
    for (start, bytes, fits) in [(90, 10, true), (110, 1, true), (109, 1, false), (100, 1, false), (0, 1000, false)] {
        assert_eq!(insert(&mut spans, one, start, bytes), fits, "{start} + {bytes}");
    }
    assert!(insert(&mut spans, two, 100, 10), "another file is another file");
    spans.remove(one, 100);
    assert!(insert(&mut spans, one, 100, 10));
    assert_eq!(spans.len(), 4);
}

proptest! {
    #[test]
    fn overlap_is_found_exactly_when_there_is_one(
        steps in proptest::collection::vec((0..64u64, 1..16u64, any::<bool>()), 1..60)
    ) {
        let (file, _) = two_files();
        let (mut spans, mut taken, mut inside) = (Spans::default(), [false; 80], Vec::new());
        for (start, bytes, remove) in steps {
            if remove && !inside.is_empty() {
                let (start, bytes): (u64, u64) = inside.swap_remove(usize::try_from(start).unwrap() % inside.len());
                spans.remove(file, start);
                taken[usize::try_from(start).unwrap()..][..usize::try_from(bytes).unwrap()].fill(false);
                continue;
            }
            let range = &mut taken[usize::try_from(start).unwrap()..][..usize::try_from(bytes).unwrap()];
            let free = !range.contains(&true);
            prop_assert_eq!(insert(&mut spans, file, start, bytes), free);
            if free {
                range.fill(true);
                inside.push((start, bytes));
            }
        }
        prop_assert_eq!(spans.len(), inside.len());
    }
}
