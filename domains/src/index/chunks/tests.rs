//! The array's positions, its hollow chunks, and its memory.

use super::Chunks;

const CHUNK: usize = 256;

#[test]
fn positions_are_stable_while_it_grows_and_shrinks() {
    let mut chunks = Chunks::<_, CHUNK>::new();
    for number in 0..3 * CHUNK + 1 {
        chunks.push(number);
        assert_eq!(*chunks.get(number), number);
    }
    assert_eq!(chunks.len(), 3 * CHUNK + 1);
    assert!((0..chunks.len()).all(|at| *chunks.get(at) == at));
    for number in (0..3 * CHUNK + 1).rev() {
        assert_eq!(chunks.pop(), Some(number));
    }
    assert_eq!(chunks.pop(), None);
    assert_eq!(chunks.len(), 0);
}

#[test]
fn the_memory_of_popped_elements_comes_back() {
    let mut chunks = Chunks::<_, CHUNK>::new();
    (0..100 * CHUNK).for_each(|number| chunks.push(number));
    let full = chunks.memory_bytes();
    assert!(full >= 100 * CHUNK * size_of::<usize>());
    (0..100 * CHUNK).for_each(|_| assert!(chunks.pop().is_some()));
    assert!(chunks.memory_bytes() < full / 50);
}

#[test]
fn hollow_chunks_take_no_memory_until_they_are_filled() {
    let mut chunks: Chunks<u64, CHUNK> = Chunks::hollow(2 * CHUNK + 7);
    assert_eq!(chunks.len(), 2 * CHUNK + 7);
    let hollow = chunks.memory_bytes();
    assert!(hollow < 256);
    chunks.fill(2 * CHUNK + 3);
    *chunks.get_mut(2 * CHUNK + 6) = 9;
    chunks.fill(2 * CHUNK + 6);
    assert_eq!(*chunks.get(2 * CHUNK + 6), 9, "filling again keeps what is there");
    assert!(chunks.memory_bytes() > hollow);
    chunks.release(2 * CHUNK);
    assert_eq!(chunks.memory_bytes(), hollow);
}
