//! A field: the name, offset and size of one number or byte string inside a structure of the data format.
//!
//! Contract: the codecs read and write through fields only, and `design/data-format.md` lists the same fields, so a test can
//! compare the two. All numbers are little-endian.
//! Invariant: the fields of a structure tile it: no gap, no overlap (checked when the crate is compiled).

/// One field of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// What the document calls it.
    pub(crate) name: &'static str,
    /// Its first byte, from the structure's first.
    pub(crate) at: usize,
    /// How many bytes it has.
    pub(crate) size: usize,
}

impl Field {
    pub(crate) const fn new(at: usize, size: usize, name: &'static str) -> Self {
        Self { name, at, size }
    }

    /// The field's bytes.
    #[inline]
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.at..self.at + self.size]
    }

    #[inline]
    fn array<const N: usize>(self, bytes: &[u8]) -> [u8; N] {
        assert!(self.size == N, "field {} has {} bytes, not {N}", self.name, self.size);
        bytes[self.at..self.at + N].try_into().expect("the range has N bytes")
    }

    #[inline]
    pub(crate) fn u8(self, bytes: &[u8]) -> u8 {
        self.array::<1>(bytes)[0]
    }

    #[inline]
    pub(crate) fn u16(self, bytes: &[u8]) -> u16 {
        u16::from_le_bytes(self.array(bytes))
    }

    #[inline]
    pub(crate) fn u32(self, bytes: &[u8]) -> u32 {
        u32::from_le_bytes(self.array(bytes))
    }

    #[inline]
    pub(crate) fn u64(self, bytes: &[u8]) -> u64 {
        u64::from_le_bytes(self.array(bytes))
    }

    #[inline]
    pub(crate) fn u128(self, bytes: &[u8]) -> u128 {
        u128::from_le_bytes(self.array(bytes))
    }

    /// Writes the field; numbers come as `to_le_bytes`.
    #[inline]
    pub(crate) fn put<const N: usize>(self, bytes: &mut [u8], content: [u8; N]) {
        assert!(self.size == N, "field {} has {} bytes, not {N}", self.name, self.size);
        bytes[self.at..self.at + N].copy_from_slice(&content);
    }
}

/// The bytes that `fields` cover, in order and without a gap or an overlap; evaluated when the crate is compiled.
pub(crate) const fn tiled(fields: &[Field]) -> usize {
    let mut end = 0;
    let mut index = 0;
    while index < fields.len() {
        assert!(fields[index].at == end, "a field does not begin where the one before it ends");
        end += fields[index].size;
        index += 1;
    }
    end
}

/// Whether all `bytes` are zero; eight at a time, since recovery asks it of every page behind a log's end.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| u64::from_le_bytes(*word) == 0) && rest.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests;
