//! An array that grows and shrinks at its end without ever copying more than one chunk.
//!
//! Contract: positions are stable; growing by one costs at most the copy of one chunk (and, once in n chunks, of n chunk
//! headers); a chunk whose elements are no longer wanted can be given back while the others stay.
//!
//! Invariant: every chunk but the last is full, or hollow: without memory, its elements not to be asked for.

/// The array, in chunks of `CHUNK` elements.
#[derive(Debug, Default)]
pub(crate) struct Chunks<T, const CHUNK: usize> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T: Default, const CHUNK: usize> Chunks<T, CHUNK> {
    /// Without elements or memory.
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }

    /// Of `len` elements, in hollow chunks: [`Chunks::fill`] a chunk before one of its elements is used.
    pub(crate) fn hollow(len: usize) -> Self {
        let mut chunks = Vec::new();
        chunks.resize_with(len.div_ceil(CHUNK), Vec::new);
        Self { chunks, len }
    }

    /// Elements, those of hollow chunks included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, at: usize) -> &T {
        &self.chunks[at / CHUNK][at % CHUNK]
    }

    /// The element, or nothing of a hollow chunk.
    pub(crate) fn get_filled(&self, at: usize) -> Option<&T> {
        self.chunks[at / CHUNK].get(at % CHUNK)
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at / CHUNK][at % CHUNK]
    }

    pub(crate) fn push(&mut self, element: T) {
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::new());
        }
        let last = self.chunks.last_mut().expect("a chunk was pushed when the one before was full");
        assert!(last.len() == self.len % CHUNK, "nothing is pushed behind a hollow chunk");
        last.push(element);
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.chunks.last_mut()?;
        let element = last.pop().expect("nothing is popped from a hollow chunk");
        self.len -= 1;
        if last.is_empty() {
            self.chunks.pop();
            if self.chunks.len() < self.chunks.capacity() / 4 {
                self.chunks.shrink_to(self.chunks.len() * 2);
            }
        }
        Some(element)
    }

    /// Makes sure that the chunk of element `at` has memory: default elements if it was hollow.
    pub(crate) fn fill(&mut self, at: usize) {
        let first = at - at % CHUNK;
        let chunk = &mut self.chunks[at / CHUNK];
        if chunk.is_empty() {
            chunk.resize_with(CHUNK.min(self.len - first), T::default);
        }
    }

    /// Gives the memory of the chunk of element `at` back.
    pub(crate) fn release(&mut self, at: usize) {
        self.chunks[at / CHUNK] = Vec::new();
    }

    /// Memory of the array itself, without what its elements own.
    pub(crate) fn memory_bytes(&self) -> usize {
        let elements: usize = self.chunks.iter().map(Vec::capacity).sum();
        elements * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests;
